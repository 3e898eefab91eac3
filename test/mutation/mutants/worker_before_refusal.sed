# src/shop/refund.c
# a refund that is refused takes the work from the worker
# pgtap/refunds.sql
s/^\tcount_moved\(r\);$/\tcount_moved(r);\n\t(void) check_worker(r);/
