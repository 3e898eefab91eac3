# src/shop/reserve.c
# the time of a reservation begins before it has waited for its units
# isolation/reservations
s/^	TimestampTz at;$/	TimestampTz at = eco_now();/
/^	at = eco_now\(\);$/d
