# src/core/streak.c
# grace never has to be earned again
s/missed == 1 && grace_available\(policy, before, missed_day\)/missed == 1 \&\& (grace_available(policy, before, missed_day) || missed)/
