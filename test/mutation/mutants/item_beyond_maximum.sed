# src/ledger/holdings.c
# more of an item is given than may be held
# pgtap/holdings.sql
s/if \(one->balance - since <= most\)/if (one->balance - since <= most || true)/
