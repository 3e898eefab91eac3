# src/shop/reservation.sql
# the job that gives reservations back waits for a slot
# isolation/reservations
s/close_reservation\(r, 'expired', false\)/close_reservation(r, 'expired', true)/
