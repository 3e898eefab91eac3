# src/reward/reverse.c
# a date is given back although XP of its claim was not taken
# pgtap/streak_corrections.sql
/r->xp < eco_row_int\(&r->reward, ECO_COL_XP_DELTA\) - before->xp \|\|/d
