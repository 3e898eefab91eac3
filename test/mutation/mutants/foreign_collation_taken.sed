# src/ledger/rows_relation.c
# an index of another collation is taken for a lookup
# pgtap/foreign_indexes.sql
/rd_indcollation\[c\] != att->attcollation/d
