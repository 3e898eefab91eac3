# src/realtime/witness.c
# a cursor takes any entry of the same name for its own
s/memcmp\(hash, witness->hash, ECO_WITNESS_HASH\) == 0/true/
