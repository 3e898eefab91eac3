# src/shop/purchase.c
# an entry of objects without items is hashed with them
# update
s/p->items != NULL && eco_table_is_open\(&eco_items\)/p->items != NULL/
