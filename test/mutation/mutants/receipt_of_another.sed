# src/shop/receipt.c
# a receipt of another user is taken as one's own
# pgtap/receipts.sql
s| && owner == user_id \?| ?|
