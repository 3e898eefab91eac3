# src/ledger/batch.c
# a text of exactly the greatest length is refused in batches
s/value->val.string.len > max\)/value->val.string.len >= max)/
