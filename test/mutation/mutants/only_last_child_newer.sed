# src/ledger/rows_open.c
# only the last child of a table is looked at for a rewrite
s/newer \|= is_newer\(/newer = is_newer(/
