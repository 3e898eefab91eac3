# src/realtime/replay.c
# replay() looks for gaps behind its page
# pgtap/play_prune.sql
s/Min\(account.pruned_seq, last_of_page\(&account, after, max\)\)\)\)/account.pruned_seq))/
