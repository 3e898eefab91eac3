# src/segment/fold.c
# memory for sorting stays as small as the first part was
# pgtap/segment_refresh.sql
s/if \(fold->spare_room == fold->room\)/if (fold->spare != NULL)/
