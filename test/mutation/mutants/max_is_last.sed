# src/play/stats.c
# the highest win is the last one
s/f->max_win = Max\(f->max_win, action->win\);/f->max_win = action->win;/
