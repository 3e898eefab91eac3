# src/mission/condition.c
# a text that one part of "any" needs is taken for one that all need
# pgtap/missions.sql
s/^	if \(condition->steps\[place\]\.op == OP_ALL\)$/	if (condition->steps[place].op <= OP_ANY)/
