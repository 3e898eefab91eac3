# src/realtime/witness.c
# a cursor takes any entry of the same name for its own
# tap/555_feed_copies.pl
s/memcmp\(hash, witness->hash, ECO_WITNESS_HASH\) == 0/true/
