# src/ledger/lock.h
# locks on names are of a class that users can take
# isolation/user_locks
s/ECO_LOCK_CLASS_NAME 101/ECO_LOCK_CLASS_NAME 1/
