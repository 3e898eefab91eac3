# src/realtime/cursor.c
# a cursor of another database is taken
# tap/550_feed_lives.pl
s/^(\t+)here\.database, here\.extension/\10u, here.extension/
