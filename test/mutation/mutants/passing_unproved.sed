# src/ledger/entry.c
# what an account that was not locked became meanwhile is not told: the entry is lost or wrong
# isolation/in_passing
/else if \(!eco_row_try_update/,/return false/s/return false;/account->is_unlocked = false;/
