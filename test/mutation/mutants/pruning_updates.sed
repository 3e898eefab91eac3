# src/ledger/guard.c
# while a user is pruned entries may be changed
s/pruning && TRIGGER_FIRED_BY_DELETE\(trigger->tg_event\)/pruning/
