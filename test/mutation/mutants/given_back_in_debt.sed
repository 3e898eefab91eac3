# src/reward/streaks.c
# a date that was given back in debt counts as paid
s/return reversed\.gave_back \|\|/return/
