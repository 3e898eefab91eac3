# src/settle/orders.sql
# an order that a worker has is given up
# pgtap/payment_orders.sql
s|OR \(o\.worker IS NOT NULL AND o\.due_at > at AND .*$|OR false;|
