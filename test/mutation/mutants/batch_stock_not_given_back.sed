# src/shop/stock.c
# what a used key gives back of reserved stock is not there for the next
# pgtap/shop_limits.sql
/reserved->units \+= units;/d
