# src/ledger/holdings.c
# an item that has a row is written into the account as well
# pgtap/holdings.sql
s/if \(one->has_row \|\| pack\(/if (pack(/
