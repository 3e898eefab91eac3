# src/core/streak.c
# freezes are not used up
# unit
s/after->freezes -= missed;/after->freezes -= 0;/
