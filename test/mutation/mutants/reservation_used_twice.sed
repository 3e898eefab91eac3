# src/shop/reservation.c
# a reservation that is used, released or over can be used again
# pgtap/reservations.sql
s/\tif \(is_held\(status\)\)$/\tif (status.len > 0)/
