# src/play/stats.c
# stakes are summed as wins
s/f->bet_sum \+= action->bet;/f->bet_sum += action->win;/
