# src/shop/purchases.c
# reserved stock is kept in memory where triggers may buy of it
# pgtap/user_code.sql
/^keep_stock\(EcoCalls/,/^}/{/calls->one_by_one/,/return/d}
