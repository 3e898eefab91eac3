# src/hold/transfer_rules.c
# the fee of a transfer is rounded down
# pgtap/transfer.sql
s/ \+ PER_MILLE - 1\) \/ PER_MILLE/) \/ PER_MILLE/
