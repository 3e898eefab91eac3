# src/shop/limit.c
# to products(), what the user has few purchases of was never bought
# pgtap/shop_page.sql
s/bought->digests\[i\] >= least/false/
