# src/shop/purchase.c
# per-user limits do not hold
s/ \|\| p->quantity <= p->user_limit_left\)/ || p->quantity > 0)/
