# src/segment/buckets.sql
# a reversal changes the buckets, and nobody looks at the scores
# pgtap/segment_refresh.sql
s/SET next_change_at = '-infinity', buckets = coalesce/SET buckets = coalesce/
