# src/ledger/holdings.c
# an item that has a row is written into the account as well
# pgtap/holdings.sql
s/if \(one->delta == 0 \|\| one->has_row \|\| pack\(/if (one->delta == 0 || pack(/
