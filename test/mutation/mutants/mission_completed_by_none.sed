# src/mission/observe.c
# progress does not say which entry has completed it
# pgtap/missions.sql
s/record->since = eco_row_int\(entry, ECO_COL_SEQ\);/record->since = 0;/
