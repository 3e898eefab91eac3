# src/ledger/journal.c
# items of purchases and rewards are no part of the hash
# pgtap/contents.sql
s/while \(row->isnull\[n - 1\] && \(/while ((/
