# src/realtime/cursor.c
# a cursor of another database is taken
s/^(\t+)here\.database, here\.extension/\10u, here.extension/
