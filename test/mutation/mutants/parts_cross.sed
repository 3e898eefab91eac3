# src/reward/grants.c
# the parts of a large batch follow its own order, and two wait in a circle
s/if \(batch->n > PART\)/if (batch->n < 0)/
