# src/ledger/guard.c
# while a user is pruned entries may be changed
# pgtap/play_prune.sql
s/pruning && TRIGGER_FIRED_BY_DELETE\(trigger->tg_event\)/pruning/
