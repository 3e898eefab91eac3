# src/shop/purchase.c
# a changed price is not told
# pgtap/purchase.sql
s/value\.type == jbvNull\)/value.type == jbvNull || context != NULL)/
