# src/ledger/lock.c
# the share of locks is that of the session, not of a transaction
# isolation/same_key
s/counted_in != eco_my_lxid/counted_in == InvalidLocalTransactionId/
