# src/ledger/level.c
# an arm gets one ticket of the next
# pgtap/level_experiments.sql
s/if \(ticket < upto\)/if (ticket <= upto)/
