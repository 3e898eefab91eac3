# src/mission/template.c
# a session that waits does not hear of what was published meanwhile
# isolation/missions
s/^	AcceptInvalidationMessages\(\);//
