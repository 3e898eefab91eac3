# src/shop/fulfilment.sql
# two workers that ask at once are handed the same
# isolation/fulfilment
s/ORDER BY f\.visible_at LIMIT unfulfilled\.max FOR NO KEY UPDATE SKIP LOCKED/ORDER BY f.visible_at LIMIT unfulfilled.max/
