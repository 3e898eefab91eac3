# src/realtime/changes.c
# a reader with a snapshot older than his cursor is told that he missed something
# tap/540_feed.pl
s/!RecoveryInProgress\(\) && !IsolationUsesXactSnapshot\(\)/!RecoveryInProgress()/
