# src/play/stats.c
# the highest win is the last one
s/if \(action->win > eco_row_int\(row, STA_MAX_WIN\)\)/if (action->win > 0)/
