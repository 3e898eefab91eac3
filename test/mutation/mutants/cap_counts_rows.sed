# src/shop/limit.c
# per-user limits count purchases, not units
s/eco_units_count\(&units->of, quantity,/eco_units_count(\&units->of, 1,/
