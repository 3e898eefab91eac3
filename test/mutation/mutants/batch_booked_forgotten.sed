# src/shop/purchase.c
# a batch sells what is limited to once as often as it is asked
# pgtap/purchases.sql
s/has_booked\(p\) \|\| eco_units_any/eco_units_any/
