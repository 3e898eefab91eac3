# src/ledger/verify.c
# the first entry need not follow who the user was
# pgtap/user_changes.sql
s/v->linked = v->user\.exists/v->linked = false/
