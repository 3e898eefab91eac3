# src/shop/purchase.c
# per-user limits do not hold
# pgtap/shop_limits.sql
s/ \|\| p->quantity <= p->user_limit_left - p->held\)/ || p->quantity > 0)/
