# src/shop/purchase.c
# who waits for a use of a code holds the units of the product meanwhile
# isolation/promo
s/if \(p->promo != NULL && takes_several\(p\) && !p->dry_run/if (false \&\& takes_several(p) \&\& !p->dry_run/
