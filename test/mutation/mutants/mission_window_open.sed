# src/mission/observe.c
# a window has its last moment twice
# pgtap/mission_kinds.sql
s/^		at < eco_cycle_ends\(&mission->cycle, last->period\) \?/		at <= eco_cycle_ends(\&mission->cycle, last->period) ?/
