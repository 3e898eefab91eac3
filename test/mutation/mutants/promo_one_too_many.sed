# src/shop/purchase.c
# a maximum of uses is looked at, and not taken from
# pgtap/promo_codes.sql
s/^(\t\t\t\t\t\t   p->dry_run \? ECO_STOCK_LOOK : )ECO_STOCK_TAKE(, &p->attempt, &left,)/\1ECO_STOCK_LOOK\2/
