# src/reward/streaks.c
# a date that was paid is paid again when the streak was put back
# pgtap/streak_corrections.sql
s/date <= d->paid_to; n\+\+/false; n++/
