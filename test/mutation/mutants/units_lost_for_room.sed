# src/shop/limit.c
# units that find no room in the account are not written elsewhere
# pgtap/shop_units.sql
s/^	units->unwritten = true;/	units->unwritten = false;/
