# src/hold/hold.sql
# freezes of entries from before there were items are not added up
# pgtap/streak_freezes.sql
s/'streak_freeze' COLLATE \"C\", t\.quantity, NULL/'streak_freeze' COLLATE \"C\", 0, NULL/
