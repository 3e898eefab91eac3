# src/realtime/witness.c
# a cursor of a life that was lost passes over what stands behind its newest entry
# tap/555_feed_copies.pl
s/alone = eco_feed_next\(feed\) == NULL;/alone = true;/
