# src/shop/stock.c
# a slot keeps the units it sold
# pgtap/shop_limits.sql
s/eco_row_int\(row, STK_REMAINING\) - units\)/eco_row_int(row, STK_REMAINING) - 0 * units)/
