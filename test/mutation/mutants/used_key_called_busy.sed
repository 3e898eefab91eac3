# src/shop/global_key.c
# a key whose user is letting go of his locks is busy
# isolation/global_key
s/return ECO_GLOBAL_KEY_USED;/return busy ? ECO_GLOBAL_KEY_BUSY : ECO_GLOBAL_KEY_USED;/
