# src/ledger/entry.c
# gold may fall below zero
# pgtap/adjust.sql
s/if \(gold < 0\)/if (gold < -ECO_MAX_AMOUNT)/
