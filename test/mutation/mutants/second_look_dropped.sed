# src/ledger/call.c
# a key is not looked up again when the account moved
/case ECO_ACCOUNT_MOVED:/a return ECO_CALL_NEW;
