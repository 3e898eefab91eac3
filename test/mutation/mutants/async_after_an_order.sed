# src/ledger/async.c
# a row of the app does not wait when an action comes after it
s/others \|= pgWalUsage\.wal_records != records_known;/;/
