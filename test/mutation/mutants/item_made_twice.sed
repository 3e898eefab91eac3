# src/hold/hold.sql
# two admins make one item at once
# isolation/config_turns
s/PERFORM economy_internal.lock_name\('economy.item:' \|\| id\);/NULL;/
