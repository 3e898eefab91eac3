# src/ledger/holdings.c
# a full bag takes more than the maximum
# pgtap/daily_rewards.sql
s/one->delta = Min\(one->amount, Max\(room, 0\)\);/one->delta = Max(one->amount, room - room);/
