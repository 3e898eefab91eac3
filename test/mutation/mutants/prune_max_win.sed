# src/play/gone.c
# a second prune of a day forgets the greatest win of the first
# pgtap/play_prune.sql
s/Max\(before, sum->numbers\[i\]\)/sum->numbers[i]/
