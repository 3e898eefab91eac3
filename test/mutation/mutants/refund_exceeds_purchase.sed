# src/shop/refund.c
# a refund takes back more units than are left of the purchase
# isolation/refund
s/r->units > 0 \&\& r->units <= left/r->units > 0/
