# src/core/streak.c
# a day of the streak pays 201 more, not 200
# unit
s/GOLD_PER_DAY	200/GOLD_PER_DAY	201/
