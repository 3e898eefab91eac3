# src/account/seasons.sql
# the end of a season waits for one account with others locked
# isolation/seasons
/a\.user_id = who FOR NO KEY UPDATE SKIP LOCKED/s/ SKIP LOCKED//
