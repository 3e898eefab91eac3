# src/core/streak.c
# a second change of zone takes back what the first one excused
# unit
s/if \(in_user_zone > today && in_user_zone > after->excused_to\)/if (in_user_zone > today)/
