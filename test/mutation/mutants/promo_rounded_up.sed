# src/shop/promo.c
# a part of a gold is taken off
# pgtap/promo_codes.sql
s/\(price \* value \/ 100\)/((price * value + 99) \/ 100)/
