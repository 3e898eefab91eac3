# src/shop/purchase.c
# what a user has used is not noted, so that he may use it again
# pgtap/promo_codes.sql
s/^\t\teco_promo_note\(p->promo, &entry\);/\t\t;/
