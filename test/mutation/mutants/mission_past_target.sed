# src/mission/observe.c
# progress goes on past the target
# pgtap/missions.sql
s/Min\(record->progress \+ increment, mission->target\)/record->progress + increment/
