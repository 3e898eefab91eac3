# src/hold/change.c
# items that stand in rows are not written
# pgtap/holdings.sql
s/^\t\(void\) eco_holdings_write\(.*$//
