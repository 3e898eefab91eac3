# src/reward/streaks.c
# a date that was given back in debt counts as paid
# pgtap/streak_corrections.sql
s/ \|\| reversed\.gave_back\)/)/
