# src/reward/reverse.c
# the claim that is taken back need not be the newest
# pgtap/streak_corrections.sql
s/^\t\td->last_seq != eco_row_int\(&r->reward, ECO_COL_SEQ\)\)/\t\tfalse)/
