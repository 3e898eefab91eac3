# src/shop/purchases.c
# a purchase of a batch does not see items that the one before it wrote to a row
# pgtap/contents.sql
s/ \|\| wrote_items\)/)/
