# src/realtime/feed.c
# the feed goes by a watermark and loses late commits
# tap/540_feed.pl
s/eco_snapshot_sees\(feed->old, xact\)/(xact < feed->old->xmax)/
