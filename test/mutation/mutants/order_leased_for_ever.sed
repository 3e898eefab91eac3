# src/settle/orders.sql
# an order whose last attempt was never told of is handed out again, and again
# pgtap/payment_orders.sql
s/    FROM taken t WHERE t.worker IS NOT NULL ORDER BY/    FROM taken t ORDER BY/
