# src/core/encode.c
# the hash before is not in the hash
# pgtap/chain.sql
s/EVP_DigestUpdate\(ctx, prev, ECO_HASH_LEN\)/EVP_DigestUpdate(ctx, prev, 0)/
