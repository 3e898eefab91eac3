# src/realtime/replay.c
# replay leaves out the newest entry
s/last = Min\(account.seq, after \+ max\);/last = Min(account.seq - 1, after + max);/
