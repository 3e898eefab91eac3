# src/mission/template.c
# what was published while the call waited for its account is not heard of
# isolation/missions
/^	AcceptInvalidationMessages/d
