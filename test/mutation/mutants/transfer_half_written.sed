# src/hold/transfer.c
# the items that arrive in rows are not written
# pgtap/transfer.sql
s/\(void\) eco_holdings_write\(&t->received, to->user_id\);//
