# src/ledger/installation.c
# an installation counts as recorded although the savepoint that recorded it was rolled back
# tap/060_rollback.pl
s/event != SUBXACT_EVENT_ABORT_SUB/event != SUBXACT_EVENT_COMMIT_SUB/
