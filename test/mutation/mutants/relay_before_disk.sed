# src/realtime/relay.c
# the relay tells what a crash may take
s/XLogFlush\(relay->upto\);/;/
