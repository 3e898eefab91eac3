-- segment: many purchases, or users, in the batches of the jobs

-- Many purchases are taken up user by user, before the refresh that is to score them:
-- rows are made or put right, and what comes meanwhile is new to that refresh.

CREATE FUNCTION economy_internal.rfm_many(max_users integer, OUT purchases boolean, OUT due boolean)
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp SET enable_seqscan = off AS $$
DECLARE
    since bigint := (SELECT economy_internal.position_of(economy_internal.rfm_unsee(t))
                     FROM economy.rfm_state t);
BEGIN
    -- the bound stands in the statement, so that it is planned for what it finds
    EXECUTE format('SELECT count(*) > %s FROM (
            SELECT FROM economy.shop_transactions t WHERE t.position >= %s LIMIT %1$s + 1) n',
        5 * max_users::bigint, coalesce(since, 0)) INTO purchases;
    SELECT count(*) > max_users INTO due
    FROM (SELECT FROM economy_internal.rfm_awaited(economy.now()) LIMIT max_users + 1) n;
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_many(integer) IS
    'Whether more purchases wait than five times as many users have, and whether more users are '
    'due than that; it counts no further.';

CREATE FUNCTION economy_internal.rfm_taken(seen bigint) RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        UPDATE economy.rfm_state
        SET seen_before = seen, installation = economy_internal.rfm_installation()
        WHERE seen IS NOT NULL;
    END;
COMMENT ON FUNCTION economy_internal.rfm_taken(bigint) IS
    'Notes that every purchase of a transaction before this one is in the buckets; null: nothing.';

CREATE FUNCTION economy_internal.rfm_take(
    from_user bigint, max_users integer, OUT written bigint, OUT users bigint, OUT upto bigint
)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD'
    -- of few of many users
    SET work_mem = '64MB' SET jit = off SET enable_seqscan = off AS $$
DECLARE
    state economy.rfm_state := economy_internal.rfm_lock();
    never text;
BEGIN
    -- so many users, or as have 200,000 entries, or one
    SELECT max(n.user_id) FILTER (WHERE n.number = max_users OR n.entries > 200000), count(*)
    INTO upto, users
    FROM (SELECT m.user_id, m.seq, row_number() OVER w AS number, sum(m.seq) OVER w AS entries
          FROM (SELECT a.user_id, a.seq FROM economy.accounts a WHERE a.user_id >= from_user
                ORDER BY a.user_id LIMIT max_users) m
          WINDOW w AS (ORDER BY m.user_id ROWS UNBOUNDED PRECEDING)) n
    WHERE n.entries - n.seq <= 200000;
    upto := coalesce(upto, 9223372036854775807);
    SELECT economy_internal.rfm_never_bought(s) INTO never
    FROM economy.rfm_snapshots s WHERE s.snapshot_id = state.snapshot_id;
    PERFORM economy_internal.rfm_apply_reversals(from_user, upto);
    written := economy_internal.rfm_rebuild(never, from_user, upto);
    -- the row that the lock made before the first refresh is no state
    DELETE FROM economy.rfm_state s WHERE s.snapshot_id = 0;
    -- what is taken up is not scored
    UPDATE economy.rfm_state SET next_user = '-9223372036854775808';
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_take(bigint, integer) IS
    'Takes up the purchases of the next users from an id on, at most max_users: '
    'how many rows were written, of how many users, and up to which.';

CREATE FUNCTION economy_internal.rfm_rescore() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD'
    SET work_mem = '64MB' SET jit = off AS $$
DECLARE
    state    economy.rfm_state := economy_internal.rfm_lock();
    snapshot economy.rfm_snapshots;
    seen     bigint := pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
    -- never back in time: the rows describe one moment
    as_of    timestamptz := greatest(economy.now(), state.as_of);
    oldest   timestamptz;
BEGIN
    SELECT * INTO snapshot FROM economy.rfm_snapshots s WHERE s.snapshot_id = state.snapshot_id;
    PERFORM economy_internal.rfm_apply_reversals();
    oldest := economy_internal.rfm_take_up(state, false);
    PERFORM economy_internal.rfm_advance(
        state.snapshot_id, as_of, seen, as_of - oldest, state.summarised);
    UPDATE economy.rfm_state SET next_user = '-9223372036854775808', written = snapshot.changed,
                                 spent = snapshot.duration;
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_rescore() IS
    'Begin of an incremental refresh of many users: takes up new purchases; rfm_write() scores all '
    'rows by the snapshot in force, as of now.';

CREATE FUNCTION economy_internal.rfm_job_batch(
    full_one boolean, at jsonb, max_users integer DEFAULT 20000,
    OUT users_changed bigint, OUT next jsonb
)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    here  bigint := economy_internal.rfm_installation();
    first boolean;
    more  boolean := true;
    many  record;
BEGIN
    PERFORM economy_internal.open_tables(
        'rfm_state', 'shop_transactions', 'archived_keys', 'user_segments', 'accounts',
        'economy_internal.rfm_due');
    first := NOT EXISTS (SELECT FROM economy.rfm_state);
    users_changed := 0;
    -- one that was cut off in another installation knows nothing of this one's transactions
    IF at IS NULL OR (at ->> 'installation')::bigint <> here THEN
        SELECT * INTO many FROM economy_internal.rfm_many(max_users);
        IF many.purchases OR (full_one AND economy_internal.segments_found_damaged()) THEN
            next := jsonb_build_object(
                'installation', here, 'take', '-9223372036854775808', 'done', 0,
                'seen', pg_snapshot_xmin(pg_current_snapshot())::text);
            RETURN;
        ELSIF full_one OR first THEN
            SELECT s.users_changed, s.more INTO users_changed, more
            FROM economy_internal.rfm_refresh_step(true, max_users) s;
        ELSIF many.due THEN
            PERFORM economy_internal.rfm_rescore();
        ELSE
            SELECT i.users_changed, false INTO users_changed, more
            FROM economy.rfm_refresh_incremental() i;
        END IF;
    ELSIF at ? 'take' THEN
        PERFORM economy_internal.report_progress('rfm_take', (at ->> 'done')::bigint, greatest(
            (at ->> 'done')::bigint, (SELECT c.reltuples::bigint FROM pg_class c
                                      WHERE c.oid = 'economy.accounts'::regclass)));
        SELECT t.written,
               CASE WHEN t.upto = 9223372036854775807 THEN (at - 'take') || '{"begin": true}'
                    ELSE at || jsonb_build_object('take', (t.upto + 1)::text,
                                                  'done', (at ->> 'done')::bigint + t.users) END
        INTO users_changed, next
        FROM economy_internal.rfm_take((at ->> 'take')::bigint, max_users) t;
        PERFORM economy_internal.report_progress(NULL, NULL, NULL);
        RETURN;
    ELSIF at ? 'begin' AND (full_one OR first) THEN
        PERFORM economy_internal.rfm_begin(economy.now(), false, (at ->> 'seen')::bigint);
    ELSIF at ? 'begin' THEN
        PERFORM economy_internal.rfm_taken((at ->> 'seen')::bigint);
        PERFORM economy_internal.rfm_rescore();
    ELSE
        SELECT s.users_changed, s.more INTO users_changed, more
        FROM economy_internal.rfm_refresh_step(false, max_users) s;
    END IF;
    PERFORM economy_internal.report_progress(NULL, NULL, NULL);
    -- which rows are left is in rfm_state
    next := CASE WHEN more THEN jsonb '{}' END;
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_job_batch(boolean, jsonb, integer) IS
    'A transaction of the job rfm_refresh (full_one) or rfm_refresh_incremental, and where the '
    'next one begins, null when all is done: takes up many purchases user by user, '
    'begins a refresh, writes rows of at most max_users users.';
