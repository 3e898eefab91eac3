# src/shop/shop.sql
# a product whose limit was taken away is not counted until it has one again
# pgtap/shop_units.sql
s/old_row.counted IS TRUE OR new_row/new_row/
