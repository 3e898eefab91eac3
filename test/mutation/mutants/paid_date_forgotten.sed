# src/reward/streaks.c
# a date that was paid is paid again when the streak was put back
s/date <= d->paid_to; n\+\+/false; n++/
