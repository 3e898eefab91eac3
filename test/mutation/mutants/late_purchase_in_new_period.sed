# src/shop/units_section.c
# a purchase by a clock that was set back counts for the newest period
# pgtap/shop_units.sql
s/now == before && of/of/
