# src/mission/template.c
# a streak ends with the day that it has come to
# pgtap/mission_kinds.sql
s/last \+= Min\(record->progress, mission->target - 1\);/last += Max(record->progress - 1, 0);/
