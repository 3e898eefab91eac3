# src/shop/purchases.c
# reserved stock is kept in memory where triggers may buy of it
/^keep_stock\(EcoCalls/,/^}/{/calls->one_by_one/,/return/d}
