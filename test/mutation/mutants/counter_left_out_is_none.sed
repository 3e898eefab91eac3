# src/shop/limit.c
# what a period had that is over, and left out, is taken for nothing
# pgtap/shop_units.sql
s/number < last \|\| \(number == last && of->units\[period\] == 0\)/number < last/
