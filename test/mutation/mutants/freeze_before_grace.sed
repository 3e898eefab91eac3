# src/core/streak.c
# a bought freeze goes before the free grace
# unit
s/else if \(missed == 1 \&\& grace_available\(policy, before, missed_day\)\)/else if (missed > before->freezes \&\& missed == 1 \&\& grace_available(policy, before, missed_day))/
