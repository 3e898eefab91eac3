# src/ledger/calls.c
# an account is written over what a trigger made of it in the middle
# pgtap/user_code.sql
s/calls->reading\+\+;//
