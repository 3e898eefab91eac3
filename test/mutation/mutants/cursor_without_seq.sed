# src/realtime/cursor.c
# a page that ends within a user's transaction loses the rest of it
# tap/540_feed.pl
s/return \(a->seq > b->seq\) - \(a->seq < b->seq\);/return 0;/
