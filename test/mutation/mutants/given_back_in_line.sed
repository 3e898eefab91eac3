# src/shop/reservation.sql
# a buyer who gives reservations back waits for one that somebody has
# isolation/reservations
s/LIMIT 16 FOR NO KEY UPDATE SKIP LOCKED/LIMIT 16 FOR NO KEY UPDATE/
