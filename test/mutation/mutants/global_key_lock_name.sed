# src/shop/global_key.c
# the lock of a global key forgets the product
# isolation/global_key
s/psprintf\("economy.key:%.\*s:%.\*s", product_id->len, product_id->data,/psprintf("economy.key:%.*s",/
