# src/play/gone.c
# a second prune of a day forgets the draws of the first
# pgtap/play_prune.sql
s/= exists \? eco_row_int\(&row, i\) : 0;/= exists \&\& i != PST_DRAWS ? eco_row_int(\&row, i) : 0;/
