# src/realtime/feed.c
# a page of the feed begins with the last entry of the page before
# tap/540_feed.pl
s/eco_place_compare\(&entry.place, &feed->after\) <= 0/eco_place_compare(\&entry.place, \&feed->after) < 0/
