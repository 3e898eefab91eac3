# src/shop/purchase.c
# a suspended user can buy
s/if \(account->suspended\)/if (account->suspended \&\& p->quantity < 0)/
