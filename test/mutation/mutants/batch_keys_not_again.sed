# src/ledger/calls.c
# a batch does not look its keys up again when it has waited for an account
s/if \(lock_accounts\(calls\)\)/if (lock_accounts(calls) \&\& calls->n == 0)/
