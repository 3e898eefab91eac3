# src/ops/anchor.sql
# an anchor that is kept loses heads that it needs
# pgtap/anchor.sql
s/(n\.user_id = h\.user_id AND n\.anchor_id > h\.anchor_id) AND n\.anchor_id <= oldest/\1/
