# src/account/change.c
# a keyed call with the zone of before leaves no entry, so its key is free
# pgtap/user_changes.sql
s/change.key.data != NULL \|\| !same_text\(before, zone\)/!same_text(before, zone)/
