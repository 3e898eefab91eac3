# src/realtime/ring.c
# what waited too long in the ring is lost, not told from the journals
# tap/510_relay_overflow.pl
/^settle\(/,/^}/s/set_late\(ring, item->xid, now\);/;/
