# src/shop/refund.c
# units that were taken back go to the stock twice
# pgtap/refunds.sql
s/r->product_id\.datum, Int64GetDatum\(r->units\)/r->product_id.datum, Int64GetDatum(2 * (int64) r->units)/
