# src/ledger/batch.c
# a text of exactly the greatest length is refused in batches
# pgtap/reward_batch.sql
s/result.len > max\)/result.len >= max)/
