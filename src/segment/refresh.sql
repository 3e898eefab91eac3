-- segment: the full refresh

-- One refresh at a time. The row lock also makes a refresh with an old snapshot fail.
CREATE FUNCTION economy_internal.rfm_lock() RETURNS economy.rfm_state
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    state economy.rfm_state;
BEGIN
    PERFORM economy_internal.open_tables(
        'shop_transactions', 'archived_keys', 'accounts', 'rfm_models', 'segment_rules',
        'economy_internal.rfm_reversals', 'economy_internal.rfm_due', 'rfm_snapshots',
        'rfm_state', 'user_segments', 'segment_history');
    PERFORM economy_internal.lock_name('economy.rfm_refresh');
    SELECT * INTO state FROM economy.rfm_state FOR UPDATE;
    IF NOT found THEN
        -- the row that rfm_advance() will fill is what a first refresh locks
        INSERT INTO economy.rfm_state
                (snapshot_id, as_of, refreshed_at, installation, seen_before, summarised)
            VALUES (0, '-infinity', economy.now(), 0, 0, 0)
            ON CONFLICT ON CONSTRAINT rfm_state_pkey DO NOTHING;
    END IF;
    RETURN state;
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_lock() IS
    'Waits for a refresh that runs, and returns where the refreshes stand.';

CREATE FUNCTION economy_internal.rfm_summarise(from_block bigint) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    range  CONSTANT bigint := 32;
    blocks CONSTANT bigint := pg_relation_size('economy.shop_transactions')
                              / current_setting('block_size')::bigint;
    -- the last range is still being filled
    upto   CONSTANT bigint := blocks / range * range;
    block  bigint := from_block;
BEGIN
    IF economy_internal.is_spread('economy.shop_transactions') THEN
        PERFORM economy_internal.summarise_parts('economy.shop_transactions');
        RETURN from_block;
    END IF;
    BEGIN
        -- VACUUM has this lock for long; it summarises as well
        LOCK TABLE economy.shop_transactions IN SHARE UPDATE EXCLUSIVE MODE NOWAIT;
        WHILE block < upto LOOP
            PERFORM brin_summarize_range('economy.shop_transactions_position_idx', block);
            block := block + range;
        END LOOP;
    EXCEPTION WHEN lock_not_available THEN
        RETURN from_block;
    END;
    RETURN block;
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_summarise(bigint) IS
    'Brings the journal''s BRIN index up to its last full range.';

CREATE FUNCTION economy_internal.rfm_advance(
    snapshot_id bigint, as_of timestamptz, seen_before bigint, change_lag interval,
    started_summarised bigint
) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    INSERT INTO economy.rfm_state AS s
            (snapshot_id, as_of, refreshed_at, installation, seen_before, summarised,
             change_lag)
        SELECT rfm_advance.snapshot_id, rfm_advance.as_of, economy.now(),
               economy_internal.rfm_installation(), rfm_advance.seen_before,
               economy_internal.rfm_summarise(coalesce(rfm_advance.started_summarised, 0)),
               rfm_advance.change_lag
        ON CONFLICT ON CONSTRAINT rfm_state_pkey DO UPDATE SET
            snapshot_id = excluded.snapshot_id, as_of = excluded.as_of,
            refreshed_at = excluded.refreshed_at, installation = excluded.installation,
            seen_before = excluded.seen_before, summarised = excluded.summarised,
            change_lag = excluded.change_lag;
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_advance(bigint, timestamptz, bigint, interval, bigint) IS
    'Notes what a refresh has taken up.';

CREATE FUNCTION economy_internal.rfm_measure_buckets_query(relation text) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    RETURN economy_internal.rfm_measure_query(format($query$
        SELECT least(($1 AT TIME ZONE 'UTC')::date - (x.w).last_on, ($2).recency_clamp) AS recency,
               (x.w).frequency, (x.w).monetary
        FROM (SELECT economy_internal.rfm_window(
                         u.user_id, u.buckets, $1,
                         coalesce(($2).window_days * 86400000000, 0)) AS w
              FROM %s u OFFSET 0) x
        WHERE (x.w).last_on IS NOT NULL
        $query$, relation));
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_measure_buckets_query(text) IS
    'rfm_measure_query() for the buckets of a relation with user_id and buckets.';

CREATE FUNCTION economy_internal.rfm_fill(
    query text, window_us bigint, as_of timestamptz, model economy.rfm_models,
    snapshot economy.rfm_snapshots,
    OUT bounds economy.score_bounds, OUT program bigint[], OUT segments text[],
    OUT written bigint, OUT oldest timestamptz
)
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_rfm_fill';
COMMENT ON FUNCTION economy_internal.rfm_fill(
    text, bigint, timestamptz, economy.rfm_models, economy.rfm_snapshots) IS
    'Folds the journal into the relation fresh (last_on, frequency, monetary), of those who bought '
    'by then, of a query for (bounds, program, segments), which has the last three arguments as '
    'its own, and writes the row of each user by them, and rfm_due: how many, and the moment of '
    'the oldest purchase.';

CREATE FUNCTION economy_internal.rfm_first(
    snapshot economy.rfm_snapshots, model economy.rfm_models,
    OUT scored economy.rfm_snapshots, OUT oldest timestamptz
)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    result record;
BEGIN
    DELETE FROM economy_internal.rfm_due;
    result := economy_internal.rfm_fill(
        format($query$
            SELECT b.bounds, p.program, p.segments
            FROM (%s) b
            CROSS JOIN LATERAL economy_internal.rfm_program(
                economy_internal.rfm_with_bounds($3, b.bounds)) p
            $query$, economy_internal.rfm_measure_query($query$
                SELECT least(($1 AT TIME ZONE 'UTC')::date - f.last_on, ($2).recency_clamp)
                           AS recency, f.frequency, f.monetary
                FROM fresh f
                $query$)),
        coalesce(model.window_days * 86400000000, 0), snapshot.as_of, model, snapshot);
    scored := economy_internal.rfm_with_bounds(snapshot, result.bounds);
    scored.program := result.program;
    scored.segments := result.segments;
    scored.changed := result.written;
    oldest := result.oldest;
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_first(economy.rfm_snapshots, economy.rfm_models) IS
    'The first refresh, of users that have no row yet: folds the journal, measures, and writes '
    'every row; the snapshot with that, and the moment of the oldest purchase.';

CREATE FUNCTION economy_internal.rfm_take_up(state economy.rfm_state, rebuild boolean)
    RETURNS timestamptz
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    -- what rfm_write() will find a user without a score to have been
    never   CONSTANT text := (
        SELECT economy_internal.rfm_never_bought(s)
        FROM economy.rfm_snapshots s WHERE s.snapshot_id = state.snapshot_id);
    waiting timestamptz;
    oldest  timestamptz;
    unseen  bigint;
BEGIN
    IF rebuild THEN
        -- once, and not for every row of a table that is read without its index
        unseen := coalesce(economy_internal.rfm_unsee(state), 0);
        SELECT min(t.created_at) INTO waiting FROM economy_internal.rfm_unfolded t
            WHERE t.xact >= unseen;
        PERFORM economy_internal.rfm_rebuild(never);
    END IF;
    -- EXECUTE, so that it is planned for the tables as they are now: a plan that the session
    -- keeps is for those of its first refresh
    EXECUTE $query$
        WITH fresh AS MATERIALIZED (
            SELECT * FROM economy_internal.rfm_fresh
        ), folded AS (
            UPDATE economy.user_segments u SET seq = f.seq, buckets = f.buckets
            FROM fresh f WHERE u.ctid = f.place
        ), added AS (
            INSERT INTO economy.user_segments (user_id, seq, segment, buckets)
            SELECT f.user_id, f.seq, $1, f.buckets FROM fresh f WHERE f.place IS NULL
        )
        SELECT min(f.since) FROM fresh f
        $query$ INTO oldest USING never;
    RETURN least(oldest, waiting);
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_take_up(economy.rfm_state, boolean) IS
    'Puts new purchases into the buckets, with rebuild after making anew what is damaged; '
    'the moment of the oldest of them.';

-- A full refresh is two things: a snapshot, which is in force at once, and after it
-- the scores, which may come in many transactions. Readers score a user by the
-- snapshot in force, whatever the row says; what else reads rows has the segment of
-- before until the row is reached.
CREATE FUNCTION economy_internal.rfm_begin(
    as_of timestamptz, rebuild boolean, taken bigint DEFAULT NULL
) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD'
    SET work_mem = '64MB' SET jit = off SET enable_hashjoin = on SET enable_mergejoin = on AS $$
DECLARE
    started  CONSTANT timestamptz := clock_timestamp();
    state    economy.rfm_state;
    snapshot economy.rfm_snapshots;
    model    economy.rfm_models;
    first    record;
    measured record;
    seen     bigint;
    oldest   timestamptz;
    next     bigint;
BEGIN
    PERFORM economy_internal.require_given('as_of', as_of IS NOT NULL);
    PERFORM economy_internal.require_given('rebuild', rebuild IS NOT NULL);
    IF NOT isfinite(as_of) THEN
        RAISE EXCEPTION 'as_of must be a finite time' USING ERRCODE = 'XE002';
    END IF;
    PERFORM set_config('work_mem', economy_internal.rfm_setting('economy.rfm_memory'), true);
    state := economy_internal.rfm_lock();
    PERFORM economy_internal.rfm_taken(taken);
    model := economy.rfm_model(economy_internal.rfm_setting('economy.rfm_model'));
    snapshot.model := to_jsonb(model);
    snapshot.rules := (SELECT jsonb_agg(to_jsonb(r)) FROM economy.rfm_rules() r);
    -- they were checked when they were set, but not against another model
    IF NOT EXISTS (SELECT FROM economy.rfm_snapshots s
                   WHERE s.snapshot_id = state.snapshot_id
                     AND s.rules = snapshot.rules AND s.model = snapshot.model) THEN
        PERFORM economy_internal.check_segment_rules(snapshot.rules, model);
    END IF;

    PERFORM economy_internal.report_progress('rfm_refresh', 0, 1);
    snapshot.snapshot_id :=
        coalesce((SELECT max(s.snapshot_id) FROM economy.rfm_snapshots s), 0) + 1;
    snapshot.as_of := as_of;
    snapshot.users := (SELECT count(*) FROM economy.accounts);
    snapshot.changed := 0;
    snapshot.started_at := economy.now();
    -- before the statements that take purchases up, so that none is passed over
    seen := pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
    PERFORM economy_internal.rfm_apply_reversals();
    IF state.snapshot_id IS NULL AND NOT EXISTS (SELECT FROM economy.user_segments) THEN
        SELECT * INTO first FROM economy_internal.rfm_first(snapshot, model);
        snapshot := first.scored;
        oldest := first.oldest;
    ELSE
        oldest := economy_internal.rfm_take_up(state, rebuild);
        -- as after the batches that have done the same
        IF rebuild OR taken IS NOT NULL THEN
            PERFORM economy_internal.rfm_await_all();
        END IF;
        -- EXECUTE, because the measuring is a text
        EXECUTE economy_internal.rfm_measure_buckets_query('economy.user_segments')
            INTO measured USING as_of, model;
        snapshot := economy_internal.rfm_with_bounds(snapshot, measured.bounds);
        SELECT p.program, p.segments INTO snapshot.program, snapshot.segments
            FROM economy_internal.rfm_program(snapshot) p;
        next := -9223372036854775808;
    END IF;
    snapshot.duration := clock_timestamp() - started;
    INSERT INTO economy.rfm_snapshots SELECT (snapshot).*;
    PERFORM economy.note_change(
        'rfm_snapshots', snapshot.snapshot_id::text, 'measure', session_user::text);
    PERFORM economy_internal.rfm_advance(
        snapshot.snapshot_id, as_of, seen, as_of - oldest, state.summarised);
    UPDATE economy.rfm_state
        SET next_user = next, written = snapshot.changed, spent = snapshot.duration;
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_begin(timestamptz, boolean, bigint) IS
    'Begin of a full refresh: takes up new purchases and freezes new bounds in a snapshot, '
    'which is in force from now on; rfm_write() writes the rows.';

CREATE FUNCTION economy_internal.rfm_write(max_users integer, OUT written bigint, OUT more boolean)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD'
    SET work_mem = '64MB' SET jit = off SET enable_hashjoin = on SET enable_mergejoin = on AS $$
DECLARE
    started  CONSTANT timestamptz := clock_timestamp();
    state    economy.rfm_state;
    snapshot economy.rfm_snapshots;
    last     bigint;
    told     bigint;
    awaited  text;
BEGIN
    state := economy_internal.rfm_lock();
    written := 0;
    more := false;
    IF state.next_user IS NULL THEN
        RETURN;
    END IF;
    SELECT * INTO snapshot FROM economy.rfm_snapshots s WHERE s.snapshot_id = state.snapshot_id;
    PERFORM economy_internal.report_progress(
        'rfm_refresh', state.written, greatest(snapshot.users, state.written));
    SELECT max(n.user_id), count(*) = max_users INTO last, more
        FROM (SELECT u.user_id FROM economy.user_segments u WHERE u.user_id >= state.next_user
              ORDER BY u.user_id LIMIT max_users) n;
    -- EXECUTE, and the bounds stand in the statement, so that it is planned for so many rows;
    -- they are bounds of both tables, since the planner carries no inequality over a join
    EXECUTE format($query$
        WITH assessed AS MATERIALIZED (
            SELECT * FROM (
                SELECT u.user_id, u.segment AS was, u.changes,
                       economy_internal.rfm_due_hour(u.next_change_at) AS due_hour,
                       economy_internal.rfm_assess(u.user_id, u.buckets, $1, $2, $3, u.frequency,
                                          u.monetary, u.r, u.f, u.m, u.segment,
                                          u.next_change_at) AS a
                FROM economy.user_segments u WHERE u.user_id BETWEEN %1$L AND %2$L OFFSET 0) x
            WHERE x.a IS NOT NULL
        ), written AS (
            UPDATE economy.user_segments u SET
                frequency = (c.a).frequency, monetary = (c.a).monetary,
                r = (c.a).r, f = (c.a).f, m = (c.a).m,
                segment = (c.a).segment, next_change_at = (c.a).next_change_at,
                segment_since = CASE WHEN c.was IS DISTINCT FROM (c.a).segment
                                     THEN $1 ELSE u.segment_since END,
                changes = u.changes + coalesce(c.was <> (c.a).segment, false)::integer
            FROM assessed c WHERE u.user_id = c.user_id AND u.user_id BETWEEN %1$L AND %2$L
            RETURNING 1
        ), remembered AS (
            INSERT INTO economy.segment_history
            SELECT c.user_id, c.changes + 1, c.was, (c.a).segment, $1, $4
            FROM assessed c WHERE c.was <> (c.a).segment
        )
        SELECT (SELECT count(*) FROM written),
               (SELECT count(economy_internal.publish_profile(
                           c.user_id, 'segment', c.was, (c.a).segment))
                FROM assessed c WHERE c.was <> (c.a).segment),
               (SELECT economy_internal.rfm_await(array_agg(n.user_id), array_agg(n.due_hour))
                FROM (SELECT c.user_id,
                             economy_internal.rfm_due_hour((c.a).next_change_at) AS due_hour
                      FROM assessed c
                      WHERE economy_internal.rfm_due_hour((c.a).next_change_at)
                            IS DISTINCT FROM c.due_hour) n)
        $query$, state.next_user, coalesce(last, state.next_user))
        INTO written, told, awaited
        USING state.as_of, snapshot.program, snapshot.segments, snapshot.snapshot_id;
    UPDATE economy.rfm_state s SET
            next_user = CASE WHEN more THEN last + 1 END,
            written = s.written + rfm_write.written,
            spent = s.spent + (clock_timestamp() - started)
        RETURNING * INTO state;
    IF NOT more THEN
        -- every row is as of then: nobody waits for an hour that is over
        DELETE FROM economy_internal.rfm_due d
            WHERE d.due_hour < economy_internal.rfm_due_hour(state.as_of);
    END IF;
    IF NOT more AND state.written > 0 THEN
        UPDATE economy.rfm_snapshots s SET changed = state.written, duration = state.spent
            WHERE s.snapshot_id = state.snapshot_id;
        PERFORM economy.note_change(
            'rfm_snapshots', state.snapshot_id::text, 'score', session_user::text);
    END IF;
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_write(integer) IS
    'The next rows of the full refresh that is going, of at most max_users users: '
    'writes those that the snapshot in force changed; more says that others are left.';

CREATE FUNCTION economy.rfm_refresh(
    as_of timestamptz DEFAULT economy.now(), rebuild boolean DEFAULT true
)
    RETURNS TABLE (snapshot_id bigint, users_scored bigint, users_changed bigint)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    PERFORM economy_internal.rfm_begin(as_of, rebuild);
    WHILE (SELECT s.more FROM economy_internal.rfm_write(100000) s) LOOP
    END LOOP;
    PERFORM economy_internal.report_progress(NULL, NULL, NULL);
    RETURN QUERY
        SELECT s.snapshot_id, s.users, s.changed
        FROM economy.rfm_snapshots s JOIN economy.rfm_state t USING (snapshot_id);
END
$$;
COMMENT ON FUNCTION economy.rfm_refresh(timestamptz, boolean) IS
    'Scores every user as of a moment: takes up new purchases, freezes new bounds in a snapshot, '
    'writes the rows that changed. With rebuild it reads the whole journal and puts right what is '
    'damaged. Visible at once at the commit; purchases go on meanwhile. '
    'The job does the same in many transactions.';

CREATE FUNCTION economy_internal.rfm_refresh_step(
    start boolean, max_users integer DEFAULT 20000,
    OUT users_changed bigint, OUT more boolean
)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    PERFORM economy_internal.require_given('start', start IS NOT NULL);
    PERFORM economy_internal.require_given('max_users', max_users IS NOT NULL);
    IF max_users < 1 THEN
        RAISE EXCEPTION 'max_users must be 1 or more' USING ERRCODE = 'XE002';
    END IF;
    IF start THEN
        PERFORM economy_internal.rfm_begin(
            economy.now(), economy_internal.segments_found_damaged());
        SELECT s.written, s.next_user IS NOT NULL INTO users_changed, more
            FROM economy.rfm_state s;
    ELSE
        SELECT s.written, s.more INTO users_changed, more
            FROM economy_internal.rfm_write(max_users) s;
    END IF;
    PERFORM economy_internal.report_progress(NULL, NULL, NULL);
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_refresh_step(boolean, integer) IS
    'The job''s part of a full refresh, a transaction each: begins one, '
    'or writes the rows of the next max_users users; more says that there are others. '
    'A refresh that was cut off goes on where it was.';
