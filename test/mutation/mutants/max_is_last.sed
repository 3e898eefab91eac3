# src/play/stats.c
# the highest win is the last one
# pgtap/play_stats.sql
s/f->max_win = Max\(f->max_win, action->win\);/f->max_win = action->win;/
