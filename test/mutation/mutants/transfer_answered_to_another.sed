# src/hold/transfer.c
# a retry to another receiver is answered as the first
# pgtap/transfer.sql
s/!eco_hch_same_int\(&t->detail, "to_user_id", eco_hch_int\(detail, TO\), t->to\)/false/
