# src/ledger/rows_open.c
# only the last child of a table is looked at for a rewrite
# isolation/rewrite_children
s/newer \|= eco_relation_is_newer\(/newer = eco_relation_is_newer(/
