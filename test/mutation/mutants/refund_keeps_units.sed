# src/shop/refund.c
# units that were taken back still count against the limits of the user
# pgtap/refunds.sql
s/ECO_COL_SEQ\), r->units,$/ECO_COL_SEQ), 0,/
