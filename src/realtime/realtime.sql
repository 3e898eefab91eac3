-- realtime: events for clients that were away, the feed for servers, the relay

CREATE FUNCTION economy.replay(user_id bigint, after_seq bigint, max integer DEFAULT 100)
    RETURNS TABLE (code text, seq bigint, type text, event json)
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_replay';
COMMENT ON FUNCTION economy.replay(bigint, bigint, integer) IS
    'A user''s events after an entry, of at most max (10,000) entries, with code EVENT; the last row says MORE, CAUGHT_UP, RESYNC_REQUIRED or USER_NOT_FOUND, and in seq where to go on.';

CREATE FUNCTION economy.entry_events(user_id bigint, seq bigint, journal "char") RETURNS TABLE (type text, event json)
    LANGUAGE c STABLE PARALLEL SAFE ROWS 2 AS 'MODULE_PATHNAME', 'eco_entry_events';
COMMENT ON FUNCTION economy.entry_events(bigint, bigint, "char") IS 'The events of one entry.';

CREATE FUNCTION economy.publish_profile(user_id bigint, field text, before text, after text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_publish_profile';
COMMENT ON FUNCTION economy.publish_profile(bigint, text, text, text) IS
    'Sends profile_update for a change that is no entry, with the transaction.';

CREATE FUNCTION economy.feed_epoch() RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_feed_epoch';
COMMENT ON FUNCTION economy.feed_epoch() IS 'System identifier and timeline: a cursor of changes() is good within them.';

CREATE FUNCTION economy.feed_snapshot() RETURNS pg_snapshot
    LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'eco_feed_snapshot';
COMMENT ON FUNCTION economy.feed_snapshot() IS
    'The current snapshot, in which the own transaction and, on a standby, those of the primary are still running.';

-- The bounds stand in the statement: for a few new transactions the planner then
-- takes the index on xact, and for a whole history the primary keys.
CREATE FUNCTION economy.entries_between(old pg_snapshot, new pg_snapshot, after_user bigint, after_seq bigint, max integer)
    RETURNS TABLE (user_id bigint, seq bigint, journal "char")
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    RETURN QUERY EXECUTE format($query$
        SELECT l.user_id, l.seq, l.transaction_id::"char" FROM economy.ledger l
        WHERE l.position >= %s AND l.xact < %s
          AND pg_visible_in_snapshot(l.xact::text::xid8, $2) AND NOT pg_visible_in_snapshot(l.xact::text::xid8, $1)
          AND (l.user_id, l.seq) > ($3, $4)
        ORDER BY l.user_id, l.seq LIMIT $5
        $query$, economy.position_of(pg_snapshot_xmin(old)::text::bigint), pg_snapshot_xmax(new)) USING old, new, after_user, after_seq, max;
END
$$;
COMMENT ON FUNCTION economy.entries_between(pg_snapshot, pg_snapshot, bigint, bigint, integer) IS
    'Entries that are visible in the new snapshot and not in the old one, by user and seq, after one of them.';

CREATE FUNCTION economy.changes(cursor text DEFAULT NULL, max integer DEFAULT 1000)
    RETURNS TABLE (code text, user_id bigint, seq bigint, type text, event json, next_cursor text)
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    -- epoch|old snapshot, or epoch|old|new|user|seq within a pair of snapshots
    parts   text[] := string_to_array($1, '|');
    epoch   text := economy.feed_epoch();
    nowhere CONSTANT text := '3:3:';
    old     pg_snapshot;
    new     pg_snapshot;
    u       bigint := -9223372036854775808;
    s       bigint := 0;
    entries integer := 0;
    r       record;
BEGIN
    PERFORM economy.require_given('max', max IS NOT NULL);
    IF max NOT BETWEEN 1 AND 10000 THEN
        RAISE EXCEPTION 'max must be from 1 to 10000' USING ERRCODE = 'XE002';
    END IF;
    IF $1 IS NULL THEN
        RETURN QUERY SELECT 'CAUGHT_UP', NULL::bigint, NULL::bigint, NULL, NULL::json, epoch || '|' || economy.feed_snapshot()::text;
        RETURN;
    END IF;
    IF $1 = 'start' THEN
        parts := ARRAY[epoch, nowhere];
    END IF;
    BEGIN
        old := parts[2]::pg_snapshot;
        new := coalesce(parts[3]::pg_snapshot, economy.feed_snapshot());
        u := coalesce(parts[4]::bigint, u);
        s := coalesce(parts[5]::bigint, s);
    EXCEPTION WHEN data_exception THEN
        old := NULL;
    END;
    IF old IS NULL OR cardinality(parts) NOT IN (2, 5) THEN
        RAISE EXCEPTION 'this is no cursor of economy.changes()' USING ERRCODE = 'XE002',
            HINT = 'Pass next_cursor of the last row of the call before, null to begin now, or start to begin with the first entry.';
    END IF;
    -- another cluster or timeline, or one that was set back, or some of it was pruned
    IF parts[1] <> epoch OR pg_snapshot_xmax(new) > pg_snapshot_xmax(economy.feed_snapshot())
       OR pg_snapshot_xmax(old) > pg_snapshot_xmax(new)
       OR old::text <> nowhere AND (SELECT max(i.pruned_xact) FROM economy.installations i WHERE i.number = economy.position_of(1) >> 48)
                                   >= pg_snapshot_xmin(old)::text::bigint THEN
        RETURN QUERY SELECT 'RESYNC_REQUIRED', NULL::bigint, NULL::bigint, NULL, NULL::json, epoch || '|' || economy.feed_snapshot()::text;
        RETURN;
    END IF;
    FOR r IN SELECT b.user_id, b.seq, b.journal FROM economy.entries_between(old, new, u, s, max) b LOOP
        RETURN QUERY SELECT 'EVENT', r.user_id, r.seq, e.type, e.event, NULL FROM economy.entry_events(r.user_id, r.seq, r.journal) e;
        u := r.user_id;
        s := r.seq;
        entries := entries + 1;
    END LOOP;
    IF entries = max THEN
        RETURN QUERY SELECT 'MORE', NULL::bigint, NULL::bigint, NULL, NULL::json, concat_ws('|', epoch, old, new, u, s);
    ELSE
        RETURN QUERY SELECT 'CAUGHT_UP', NULL::bigint, NULL::bigint, NULL, NULL::json, epoch || '|' || new::text;
    END IF;
END
$$;
COMMENT ON FUNCTION economy.changes(text, integer) IS
    'The events of all users since a cursor, of at most max (10,000) entries, by user and seq, with code EVENT; the last row says MORE, CAUGHT_UP or RESYNC_REQUIRED and has the next cursor. A null cursor begins now, start with the first entry.';

CREATE FUNCTION economy.relay_status()
    RETURNS TABLE (database oid, pid integer, waiting integer, queued bigint, sent bigint, overflowed bigint,
                   batches bigint, fallbacks bigint, lag_ms double precision, max_lag_ms double precision)
    LANGUAGE c VOLATILE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'eco_relay_status';
COMMENT ON FUNCTION economy.relay_status() IS
    'Per database the relay and its counters: entries queued, events sent, transactions that found the ring full, batches, times the journals were read, lag from commit to NOTIFY. No row without preload or before the first event.';
