# src/ledger/guard.c
# a drop does not see entries that are newer than the snapshot of its transaction
# tap/030_drop.pl
s/table_beginscan\(rel, GetLatestSnapshot\(\)/table_beginscan(rel, GetTransactionSnapshot()/
