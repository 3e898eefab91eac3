# src/core/streak.c
# freezes are not used up
s/after->freezes -= missed;/after->freezes -= 0;/
