# src/core/snapshot.c
# a transaction that was running and is the newest that was pruned is no news
# unit
s/old->running\[i\] <= xid; i\+\+/old->running[i] < xid; i++/
