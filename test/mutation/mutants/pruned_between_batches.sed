# src/play/gone.c
# between the rows that are written at a time a prune leaves one out
# pgtap/play_prune.sql
s/start \+= WRITE_ROWS, MemoryContextReset/start += WRITE_ROWS + (start > 0), MemoryContextReset/
