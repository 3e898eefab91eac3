-- Writes the events of all entries of the database to \:events, one per line.
SELECT to_regclass('economy.event_types') IS NOT NULL AS has_economy \gset
\if :has_economy
\pset tuples_only on
\pset format unaligned
\o :events
SELECT e.event
FROM economy.ledger l, economy_internal.entry_events(l.user_id, l.seq, l.transaction_id::"char") e;
\o
\endif
