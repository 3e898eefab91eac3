# src/hold/transfer.c
# a transfer is refused by an account that another session has changed by now
# isolation/in_passing_refused
s/^\t\teco_account_hold\(from\);$/\t\t;/
