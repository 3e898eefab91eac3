# src/ledger/holdings.c
# an item that is to be kept is used up
# pgtap/holdings.sql
s/if \(DatumGetBool\(item->values\[ITM_CONSUMABLE\]\) \&\& one->balance >= 0\)/if (one->balance >= 0)/
