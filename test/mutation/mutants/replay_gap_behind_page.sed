# src/realtime/replay.c
# replay() looks for gaps behind its page
s/is_missing\(user_id, after, Min\(account.pruned_seq, last_of_page\(&account, after, max\)\)\)/is_missing(user_id, after, account.pruned_seq)/
