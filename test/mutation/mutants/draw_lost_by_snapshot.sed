# src/hold/draw.c
# a seed that was sealed anew since the snapshot is lost
# isolation/draws
s/^\t\teco_rows_must_be_newest\(&eco_draw_seeds.*$//
