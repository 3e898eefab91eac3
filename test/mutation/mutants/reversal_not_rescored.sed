# src/segment/buckets.sql
# a reversal changes the buckets, and nobody looks at the scores
s/SET next_change_at = '-infinity', buckets = coalesce/SET buckets = coalesce/
