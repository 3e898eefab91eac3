# src/hold/catalogue.c
# the catalogue shows items that are not given any more
# pgtap/holdings.sql
s/\(DatumGetBool\(item\.values\[ITM_ACTIVE\]\) \|\| !only_active\)/(only_active || !only_active)/
