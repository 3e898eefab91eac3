# src/mission/observe.c
# what was done while the mission was locked is taken back all the same
# pgtap/missions.sql
s/^		eco_row_int\(entry, ECO_COL_SEQ\) < record->since\)/		false)/
