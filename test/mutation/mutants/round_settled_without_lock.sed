# src/account/rounds.sql
# a round is read before the account is locked
# isolation/rounds
s/    PERFORM FROM economy.accounts a WHERE a.user_id = lock_round.user_id FOR NO KEY UPDATE;/    PERFORM FROM economy.accounts a WHERE a.user_id = lock_round.user_id;/
