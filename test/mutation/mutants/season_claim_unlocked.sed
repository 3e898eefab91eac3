# src/account/seasons.sql
# two claims of a tier read the same account
# isolation/seasons
/a.user_id = claim_tier.user_id FOR NO KEY UPDATE/s/ FOR NO KEY UPDATE//
