# src/ledger/entry.c
# a refusal without the account's lock is told, whoever has the account
/^eco_account_hold/,/^}/s/account->is_unlocked =$/account->is_unlocked = false \&\&/
