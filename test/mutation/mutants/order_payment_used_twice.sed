# src/settle/orders.sql
# the payment of an order in conflict pays for another one, too
# pgtap/payment_orders.sql
s/ AND conflict IS DISTINCT FROM 'PROVIDER_REF_USED' THEN/ AND conflict IS NULL THEN/
