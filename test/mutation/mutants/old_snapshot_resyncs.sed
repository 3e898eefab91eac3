# src/realtime/changes.c
# a reader with a snapshot older than his cursor is told that he missed something
s/!RecoveryInProgress\(\) && !IsolationUsesXactSnapshot\(\)/!RecoveryInProgress()/
