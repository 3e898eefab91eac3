# src/mission/condition.c
# what is not unknown is true
# pgtap/missions.sql
s/else if \(stack\[n\] != ECO_UNKNOWN\)/else/
