# src/account/prizes.sql
# a damaged account of one winner stops the prizes of all others
# pgtap/leaderboards.sql
s/EXCEPTION WHEN SQLSTATE 'XE103' OR integrity_constraint_violation THEN/EXCEPTION WHEN SQLSTATE 'XT103' THEN/
