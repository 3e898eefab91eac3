# src/ledger/holdings.c
# what a reversal took back of items can be taken back again
# pgtap/contents.sql
s/one->amount = Max\(one->amount \+ Min\(delta, 0\), 0\);/;/
