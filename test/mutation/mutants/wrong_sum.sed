# src/play/stats.c
# stakes are summed as wins
s/add\(row, STA_BET_SUM, action->bet\);/add(row, STA_BET_SUM, action->win);/
