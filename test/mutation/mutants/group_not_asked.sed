# src/ledger/rows_direct.c
# whatever rows stand where the slots of a stock were found last are its slots
# regress/rows
s/isnull\[att\] \|\| !datum_image_eq/false \&\& !datum_image_eq/
