# src/ledger/holdings.c
# a pass is given to another user
# pgtap/transfer.sql
s/ && !one->is_pass \? NULL/ ? NULL/
