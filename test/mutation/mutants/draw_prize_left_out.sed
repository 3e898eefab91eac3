# src/hold/prize.c
# a prize for which there was no more room beside others is not asked for
# pgtap/draws.sql
s/\*most = \*prize;/most->n = 0;/
