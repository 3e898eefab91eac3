# src/shop/purchase.c
# a replay is answered as new
s/"reuse", "OK"/"new", "OK"/
