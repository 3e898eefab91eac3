# src/play/stats.c
# stakes are summed as wins
# pgtap/play_stats.sql
s/f->bet_sum \+= action->bet;/f->bet_sum += action->win;/
