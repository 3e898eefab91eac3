# src/reward/level.c
# an arm gets one ticket of the next
s/if \(ticket < upto\)/if (ticket <= upto)/
