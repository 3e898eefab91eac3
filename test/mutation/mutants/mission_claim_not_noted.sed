# src/mission/observe.c
# a claim leaves the mission completed
# pgtap/missions.sql
s/record->state = ECO_MISSION_CLAIMED;/record->state = ECO_MISSION_COMPLETED;/
