-- realtime: events for clients that were away, the feed for servers, the relay

CREATE TYPE economy.replayed_event AS (code text, seq bigint, type text, event json);
COMMENT ON TYPE economy.replayed_event IS
    'An event that a client missed, or how replay() goes on: a row of economy.replay().';

CREATE FUNCTION economy.replay(user_id bigint, after_seq bigint, max integer DEFAULT 100)
    RETURNS SETOF economy.replayed_event
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_replay';
COMMENT ON FUNCTION economy.replay(bigint, bigint, integer) IS
    'A user''s events after an entry, of at most max (10,000) entries, '
    'with code EVENT; the last row says MORE, CAUGHT_UP, '
    'RESYNC_REQUIRED or USER_NOT_FOUND, and in seq where to go on.';

CREATE FUNCTION economy_internal.entry_events(user_id bigint, seq bigint, journal "char")
    RETURNS TABLE (type text, event json)
    LANGUAGE c STABLE PARALLEL SAFE ROWS 2 AS 'MODULE_PATHNAME', 'eco_entry_events';
COMMENT ON FUNCTION economy_internal.entry_events(bigint, bigint, "char") IS
    'The events of one entry.';

CREATE FUNCTION economy_internal.publish_profile(
    user_id bigint, field text, before text, after text
) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_publish_profile';
COMMENT ON FUNCTION economy_internal.publish_profile(bigint, text, text, text) IS
    'Sends profile_update for a change that is no entry, with the transaction.';

CREATE FUNCTION economy.changes(cursor text DEFAULT NULL, max integer DEFAULT 1000)
    RETURNS TABLE (code text, user_id bigint, seq bigint, type text, event json, next_cursor text)
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS 'MODULE_PATHNAME', 'eco_changes';
COMMENT ON FUNCTION economy.changes(text, integer) IS
    'The events of all users since a cursor, of at most max (10,000) entries, '
    'in an order that keeps each user''s, with code EVENT; the last row says MORE, '
    'CAUGHT_UP or RESYNC_REQUIRED and has the next cursor. '
    'A null cursor begins now, start with the first entry.';

CREATE FUNCTION economy.relay_status()
    RETURNS TABLE (
        database oid, pid integer, waiting integer, queued bigint, sent bigint, overflowed bigint,
        batches bigint, fallbacks bigint, lag_ms double precision, max_lag_ms double precision,
        unserved bigint, read_back bigint
    )
    LANGUAGE c VOLATILE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'eco_relay_status';
COMMENT ON FUNCTION economy.relay_status() IS
    'Per database the relay and its counters: entries queued, events sent, '
    'transactions that found the ring full, batches, times the journals were read, '
    'lag from commit to NOTIFY, times since its last relay that no worker was to be had, '
    'entries whose rows the relay has read. '
    'No row without preload or before the first event.';
