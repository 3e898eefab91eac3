# src/shop/purchase.c
# a changed price is not told
s/if \(found == NULL \|\| found->type == jbvNull\)/if (found == NULL || found->type == jbvNull || p->quantity > 0)/
