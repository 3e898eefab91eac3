# src/settle/orders.sql
# another amount than was ordered is a payment
# pgtap/payment_orders.sql
s/WHEN amount <> o.amount THEN 'AMOUNT'/WHEN false THEN 'AMOUNT'/
