# src/play/prune.c
# a prune locks accounts in whatever order it is given
# pgtap/play_prune.sql
s/\(i > 0 && prunes\[i\]\.user_id <= prunes\[i - 1\]\.user_id\)/false/
