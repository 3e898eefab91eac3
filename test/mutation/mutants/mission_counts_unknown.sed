# src/mission/observe.c
# an entry counts of which the condition is unknown
# pgtap/missions.sql
s/eco_condition_of\(mission->condition, entry\) != ECO_TRUE/eco_condition_of(mission->condition, entry) == ECO_FALSE/
