# src/shop/limit.c
# what a period had that is over, and left out, is taken for nothing
s/number < last \|\| \(number == last && of->units\[period\] == 0\)/number < last/
