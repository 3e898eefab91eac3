# src/ledger/entry.c
# the position of a transaction that waited long falls behind those of the entries before
# tap/540_feed.pl
s/account->position = Max\(account->position, (eco_position_to_post\(xid\))\);/account->position = \1;/
