# src/shop/purchase.c
# a dry run takes the lock of a global key
# isolation/global_key
s/&p->key, !p->dry_run\)/\&p->key, true)/
