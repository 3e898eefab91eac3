# src/mission/observe.c
# a mission repeats once more than it says
# pgtap/mission_kinds.sql
s/if \(last->period >= mission->cycle.n\)/if (last->period > mission->cycle.n)/
