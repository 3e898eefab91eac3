# src/reward/set_streak.c
# a grace on the date of the corrected claim stays used
# pgtap/streak_corrections.sql
s/d->streak.last_grace >= c->last_claim/d->streak.last_grace > c->last_claim/
