# src/mission/observe.c
# a reversal takes back what is completed
# pgtap/missions.sql
/^take_back/,/^}/s/ \|\| record->state != ECO_MISSION_ACTIVE//
