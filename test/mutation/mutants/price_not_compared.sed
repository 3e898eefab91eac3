# src/shop/purchase.c
# a changed price is not told
s/value\.type == jbvNull\)/value.type == jbvNull || context != NULL)/
