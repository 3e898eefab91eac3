# src/shop/purchase.c
# per-user limits count purchases, not units
s/bought \+= DatumGetInt32\(row.values\[TXN_QUANTITY\]\);/bought += 1;/
