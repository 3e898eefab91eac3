# src/mission/observe.c
# a mission that repeats begins anew before it is claimed
# pgtap/mission_kinds.sql
s/if \(last->state != ECO_MISSION_CLAIMED\)/if (last->state == ECO_MISSION_ACTIVE)/
