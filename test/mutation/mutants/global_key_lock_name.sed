# src/shop/global_key.c
# the lock of a global key forgets the product
s/psprintf\("economy.key:%.\*s:%.\*s", product_id->len, product_id->data,/psprintf("economy.key:%.*s",/
