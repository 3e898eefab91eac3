# src/core/streak.c
# what a change of zone passes over is missed
# unit
s/covered < streak->excused_to/false/
