# src/ledger/calls.c
# the parts of a large batch follow its own order, and two wait in a circle
# isolation/reward_batch
s/n > ECO_CALLS_PART \? by_turns/n < 0 ? by_turns/
