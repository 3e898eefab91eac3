# src/ledger/calls.c
# of a user with several actions in a batch no key is found
s/\tif \(found\[i\]\)/\tif (found[i] \&\& n == 0)/
