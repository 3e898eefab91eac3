# src/shop/units_section.c
# a purchase by a clock that was set back counts for the newest period
s/now == before && of/of/
