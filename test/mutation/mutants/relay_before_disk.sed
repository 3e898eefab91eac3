# src/realtime/relay.c
# the relay tells what a crash may take
# tap/575_async_commit.pl
s/XLogFlush\(relay->upto\);/;/
