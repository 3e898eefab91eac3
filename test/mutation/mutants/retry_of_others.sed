# src/account/prizes.sql
# a retry of the prizes of some users is one of all
# pgtap/leaderboards.sql
s/\(user_ids IS NULL OR r\.user_id = ANY \(user_ids\)\)/coalesce(r.user_id = ANY (user_ids), true)/
