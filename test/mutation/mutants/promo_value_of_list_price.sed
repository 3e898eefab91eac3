# src/shop/purchase.c
# a purchase is worth what it would have cost without the code
# pgtap/promo_codes.sql
s/\(p->product\.price_gold \* p->quantity - p->promo->gold\)/(p->product.price_gold * p->quantity)/
