# src/ledger/holdings.c
# a pass that is given again begins now, whatever was left of it
# pgtap/holdings.sql
s/held = Max\(held, now\);/held = now;/
