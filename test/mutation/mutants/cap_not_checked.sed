# src/shop/purchase.c
# per-user limits do not hold
s/if \(p->quantity <= p->user_limit_left\)/if (p->quantity > 0)/
