# src/ledger/call.c
# a key is not looked up again when the account moved
# isolation/same_key
s/if \(lock != ECO_ACCOUNT_MOVED\)/if (true)/
s/return lock == ECO_ACCOUNT_LOCKED \?/return lock != ECO_ACCOUNT_MISSING ?/
