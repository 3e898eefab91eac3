# src/ledger/calls.c
# a batch does not look its keys up again when it has waited for an account
# isolation/purchases
s/if \(moved \|\| kind->may_have != NULL\)/if (kind->may_have != NULL)/
