# src/hold/escrow_close.c
# another user gets the bet of a round
# pgtap/rounds.sql
s/c->escrow.is_round != c->of_round/c->of_round \&\& !c->escrow.is_round/
