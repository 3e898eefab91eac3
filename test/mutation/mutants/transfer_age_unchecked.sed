# src/hold/transfer.c
# who has just come sends gold
# pgtap/transfer.sql
s/if \(hours == 0\)/if (true)/
