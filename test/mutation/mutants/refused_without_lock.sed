# src/ledger/entry.c
# a refusal that was not made under the lock stands
# isolation/in_passing_refused
s/eco_row_lock\(&account->row, account->user_id, ECO_SKIP\) != ECO_LOCKED;$/false;/
