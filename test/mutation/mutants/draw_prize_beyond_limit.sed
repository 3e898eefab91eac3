# src/hold/prize.c
# one prize more is given than there are
# pgtap/draws.sql
s/prize->number > limit/prize->number > limit + 1/
