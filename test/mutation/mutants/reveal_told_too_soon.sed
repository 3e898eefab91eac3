# src/hold/seed.c
# a seed is told by the transaction that ends it, which may be rolled back
# pgtap/draws.sql
s/^\tif \(is_over\)/\tif (is_over || true)/
