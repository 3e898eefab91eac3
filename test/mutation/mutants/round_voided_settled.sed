# src/account/rounds.sql
# a round that was voided is settled
# pgtap/rounds.sql
s/    IF round.how IS NOT NULL AND round.reason <> 'settle' THEN/    IF round.how = 'expired' THEN/
