# src/settle/orders.sql
# a report does not lock the order that it is of
# isolation/payment_orders
s/lock_order\.order_id FOR NO KEY UPDATE;/lock_order.order_id;/
