# src/ledger/batch.c
# a batch locks users in the wrong order
# isolation/reward_batch
s/x->user_id < y->user_id \? -1 : 1/x->user_id < y->user_id ? 1 : -1/
