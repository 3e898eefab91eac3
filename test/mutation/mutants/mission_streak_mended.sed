# src/mission/observe.c
# a day that is missed does not end a streak
# pgtap/mission_kinds.sql
s/period > last->period \+ Min\(last->progress, mission->target - 1\)/period > last->period + Min(last->progress + 1, mission->target - 1)/
