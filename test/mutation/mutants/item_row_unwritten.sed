# src/hold/change.c
# items that stand in rows are not written
# pgtap/holdings.sql
s/^\teco_holdings_write\(.*$//
