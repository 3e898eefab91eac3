# src/shop/purchase.c
# orders that are open do not count for a limit
# pgtap/payment_orders.sql
s/p->user_limit_left - p->ordered/p->user_limit_left/
