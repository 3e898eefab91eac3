# src/ledger/entry.c
# gold may pass 2^53-1
# pgtap/adjust.sql
s/if \(gold > ECO_MAX_AMOUNT \|\|/if (/
