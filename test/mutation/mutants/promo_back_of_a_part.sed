# src/shop/refund.c
# a part of a purchase that is taken back gives the use of its code back
# pgtap/promo_codes.sql
s/^\tif \(r->before \+ r->units == r->bought\)/\tif (r->units > 0)/
