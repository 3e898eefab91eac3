# src/shop/purchase.c
# another quantity under the same key is a replay
# pgtap/purchase.sql
s/if \(DatumGetInt32\(first->values\[quantity\]\) != p->quantity\)/if (p->quantity < 0)/
