# src/shop/purchase.c
# another quantity under the same key is a replay
# pgtap/purchase.sql
s/if \(DatumGetInt32\(first->values\[TXN_QUANTITY\]\) != p->quantity\)/if (p->quantity < 0)/
