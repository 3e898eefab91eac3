# src/mission/observe.c
# an entry that completes a mission is told from its row, which does not say so
# tap/580_notify_types.pl
s/return o\.completed;/return false;/
