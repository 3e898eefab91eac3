# src/hold/draw.c
# a draw does not look for a commitment that is later than its snapshot
# isolation/draws
s/^\t\teco_rows_must_be_newest\(&eco_draw_seeds.*$//
