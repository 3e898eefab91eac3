# src/ledger/result.c
# a set whose type an older release has with fewer columns is refused there
# pgtap/statement.sql
s/desc->natts == first \? pnstrdup\(types, first\) : types/types/
