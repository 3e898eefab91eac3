# src/shop/stock.c
# a batch says that a product is sold out which was delivered after its snapshot
# isolation/purchases
/eco_rows_must_be_newest\(.*&reserved->product_id.datum\);/d
