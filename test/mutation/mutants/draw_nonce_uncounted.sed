# src/hold/seed.c
# every draw with a seed has the same nonce
# pgtap/draws.sql
s/eco_row_int\(row, SED_NEXT_NONCE\) \+ 1/eco_row_int(row, SED_NEXT_NONCE)/
