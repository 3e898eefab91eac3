# src/play/gone.c
# the id of a pruned action can be used again
# isolation/play_prune
s/^\teach_rows\(gone, &eco_keys_to_keep, fill_key, eco_rows_insert\);$/\t(void) fill_key;/
