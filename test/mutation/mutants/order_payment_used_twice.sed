# src/settle/orders.sql
# the payment of an order in conflict pays for another one, too
# pgtap/payment_orders.sql
s|AND NOT is_used THEN|AND conflict IS NULL THEN|
