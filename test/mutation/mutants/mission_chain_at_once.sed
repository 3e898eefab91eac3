# src/mission/observe.c
# the entry that completes a mission counts for the next one
# pgtap/missions.sql
s/^			!record->just_now && /			/
