# src/play/action.c
# the relay tells another level than an action led to
# tap/585_relay_rows.pl
s/level = totals->level;/level = totals->level + 1;/
