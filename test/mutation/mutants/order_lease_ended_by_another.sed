# src/settle/orders.sql
# who is no worker of an order ends the lease of its worker
# pgtap/payment_orders.sql
s/       AND \(o\.worker IS NULL OR o\.worker = reporter OR o\.due_at <= at\) THEN/       AND true THEN/
