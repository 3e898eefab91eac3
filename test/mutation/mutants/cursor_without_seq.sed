# src/realtime/cursor.c
# a page that ends within a user's transaction loses the rest of it
s/return \(a->seq > b->seq\) - \(a->seq < b->seq\);/return 0;/
