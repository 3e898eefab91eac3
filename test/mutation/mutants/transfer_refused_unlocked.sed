# src/hold/transfer.c
# a transfer is refused for a receiver whom somebody is changing
# isolation/in_passing_refused
s/^\t\teco_account_hold\(to\);$/\t\t;/
