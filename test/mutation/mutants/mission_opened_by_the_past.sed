# src/mission/observe.c
# a version that was over when another mission required it unlocks that one
# pgtap/missions.sql
s/ && eco_mission_opens\(of, next\)\)/)/
