# src/hold/change.c
# items in rows are moved before the account is known to be the one that was read
# isolation/in_passing_refused
s/in_passing && c->items.n == 0/in_passing/
