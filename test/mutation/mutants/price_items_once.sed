# src/shop/purchase.c
# several units cost the items of one
# pgtap/contents.sql
s/(DatumGetJsonbP\(product->price_items\)), p->quantity/\1, 1/
