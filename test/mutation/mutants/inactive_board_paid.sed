# src/account/prizes.sql
# prizes of a board that is off are tried again, when one that is on has some
# pgtap/leaderboards.sql
/INTO of_one FROM/,/LIMIT 1/{/AND EXISTS/d;}
