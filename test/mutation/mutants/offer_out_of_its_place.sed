# src/shop/products.c
# products of one position come in any order
# pgtap/shop_page.sql
s/return order != 0 \? order : /return order == 0 ? order : /
