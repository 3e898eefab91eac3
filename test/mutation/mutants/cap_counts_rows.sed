# src/shop/limit.c
# per-user limits count purchases, not units
s/count\(row, DatumGetInt32\(entry\.values\[TXN_QUANTITY\]\)/count(row, 1/
