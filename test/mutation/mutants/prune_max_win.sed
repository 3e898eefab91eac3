# src/play/gone.c
# a second prune of a day forgets the greatest win of the first
s/Max\(before, sum->numbers\[i\]\)/sum->numbers[i]/
