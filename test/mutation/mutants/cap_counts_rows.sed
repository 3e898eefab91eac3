# src/shop/limit.c
# per-user limits count purchases, not units
# pgtap/shop_limits.sql
s/eco_units_count\(&units->of, quantity,/eco_units_count(\&units->of, 1,/
