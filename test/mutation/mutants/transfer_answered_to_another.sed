# src/hold/transfer.c
# a retry to another receiver is answered as the first
# pgtap/transfer.sql
s/!same_int\(t, "to_user_id", first_int\(detail, TO\), t->to\)/false/
