# src/ledger/entry.c
# accounts are read, not locked
s/lock = eco_row_lock\(&account->row, user_id, ECO_WAIT\);/lock = ECO_LOCKED;/
