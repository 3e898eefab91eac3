# src/realtime/feed.c
# the feed goes by a watermark and loses late commits
s/eco_snapshot_sees\(feed->old, xact\)/(xact < feed->old->xmax)/
