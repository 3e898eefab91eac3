# src/ledger/holdings.c
# what a reversal could not take of items is not said
# pgtap/contents.sql
s/one->amount = all->of\[i\]\.amount - Abs\(all->of\[i\]\.delta\);/one->amount = 0;/
