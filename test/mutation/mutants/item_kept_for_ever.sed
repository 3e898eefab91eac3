# src/ledger/holdings.c
# an item that is to be kept is used up
# pgtap/holdings.sql
s/return DatumGetBool\(item->values\[ITM_CONSUMABLE\]\) \? NULL : "ITEM_NOT_CONSUMABLE";/return NULL;/
