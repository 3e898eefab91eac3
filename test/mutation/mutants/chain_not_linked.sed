# src/core/encode.c
# the hash before is not in the hash
s/EVP_DigestUpdate\(ctx, prev, ECO_HASH_LEN\)/EVP_DigestUpdate(ctx, prev, 0)/
