# src/realtime/replay.c
# replay leaves out the newest entry
# pgtap/events.sql
s/return Min\(account->seq, after \+ max\)/return Min(account->seq - 1, after + max)/
