# src/hold/change.c
# what is spent in gold stays
# pgtap/holdings.sql
s/entry->gold_delta = -c->gold;/entry->gold_delta = 0;/
