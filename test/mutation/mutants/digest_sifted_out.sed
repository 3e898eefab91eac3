# src/ledger/calls.c
# of a user with several actions in a batch no key is found
# isolation/play_batch
s/\tif \(found\[i\]\)/\tif (found[i] \&\& n == 0)/
