# src/hold/seed.c
# a commitment later than the snapshot is not looked for
# isolation/draws
s/^\teco_rows_must_be_newest\(&eco_draw_seeds.*$//
