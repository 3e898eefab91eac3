# src/ops/checks.sql
# the audit takes what a user got later for what was held at the claim
# pgtap/seasons.sql
s/PARTITION BY l\.user_id, l\.item_id ORDER BY l\.seq, l\.moved NULLS FIRST/PARTITION BY l.user_id, l.item_id/; s/^                       ROWS UNBOUNDED PRECEDING\) AS before/                       ) AS before/
