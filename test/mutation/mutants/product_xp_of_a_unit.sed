# src/shop/purchase.c
# a purchase of many units gives the XP of one
# pgtap/contents.sql
s/pg_mul_s64_overflow\(p->product.granted_xp, p->quantity, /pg_mul_s64_overflow(p->product.granted_xp, 1, /
