# src/shop/refund.sql
# a purchase that was taken back still waits for a worker
# isolation/refund
s/ELSIF NOT is_whole THEN/ELSIF true THEN/
