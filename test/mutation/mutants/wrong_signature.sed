# src/ledger/entry.c
# the receipt signs the hash before
# pgtap/receipts.sql
/eco_key_sign\(/,/signature\);/s/hash, ECO_HASH_LEN, signature/account->head, ECO_HASH_LEN, signature/
