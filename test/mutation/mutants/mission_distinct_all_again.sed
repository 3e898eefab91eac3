# src/mission/distinct.c
# a value that was counted counts again
# pgtap/mission_kinds.sql
s/^		return 0;$/		return 1;/
