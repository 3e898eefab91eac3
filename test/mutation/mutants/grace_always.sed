# src/core/streak.c
# grace never has to be earned again
# unit
s/missed == 1 && grace_available\(policy, before, missed_day\)/missed == 1 \&\& (grace_available(policy, before, missed_day) || missed)/
