# src/play/prune.c
# a second prune of a day forgets the greatest win of the first
s/max_win = greatest\(s.max_win, excluded.max_win\)/max_win = excluded.max_win/
