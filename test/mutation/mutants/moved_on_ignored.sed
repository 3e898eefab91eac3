# src/ledger/entry.c
# an account is written over what a trigger made of it in the middle
s/account->flush == flushes/account->flush <= flushes/
