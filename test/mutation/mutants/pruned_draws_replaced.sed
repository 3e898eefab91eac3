# src/play/prune.c
# a second prune of a day forgets the draws of the first
s/draws = s.draws \+ excluded.draws/draws = excluded.draws/
