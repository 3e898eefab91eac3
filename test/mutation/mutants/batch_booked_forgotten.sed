# src/shop/purchase.c
# a batch sells what is limited to once as often as it is asked
# pgtap/purchases.sql
s/has_booked\(p\) \|\| \(!never_bought/(!never_bought/
