# src/shop/refund.sql
# a purchase that was taken back still waits for a worker
# isolation/refund
s/CASE WHEN is_whole THEN at END/NULL::timestamptz/
s/CASE WHEN is_whole THEN 'infinity' ELSE q\.visible_at END/q.visible_at/
