# src/segment/learn.sql
# a user's newest decision is removed too, and its number given again
# pgtap/segment_learning.sql
s/AND d.number < \(SELECT max\(l.number\)/AND d.number <= (SELECT max(l.number)/
