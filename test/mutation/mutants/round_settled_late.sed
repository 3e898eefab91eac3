# src/account/rounds.sql
# a round is settled after its time, until the job runs
# pgtap/rounds.sql
s/ELSIF round.how IS NULL AND economy.now\(\) >= round.expires_at THEN/ELSIF round.how IS NULL AND false THEN/
