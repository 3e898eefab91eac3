# src/settle/orders.sql
# a report in the middle of another one is written over
# pgtap/payment_orders.sql
s/ AND \(p\.\*\) IS NOT DISTINCT FROM before$//
