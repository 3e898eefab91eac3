-- segment: scores and segments of the users, kept up to date

CREATE TABLE economy.user_segments (
    user_id        bigint   NOT NULL CONSTRAINT user_segments_pkey PRIMARY KEY,
    seq            bigint   NOT NULL,
    frequency      bigint,
    monetary       bigint,
    segment_since  timestamptz,
    next_change_at timestamptz,
    changes        integer  NOT NULL DEFAULT 0,
    r              smallint,
    f              smallint,
    m              smallint,
    segment        text     COLLATE "C",
    buckets        bytea    NOT NULL
) WITH (fillfactor = 80);
ALTER TABLE economy.user_segments ALTER COLUMN buckets SET STORAGE EXTERNAL;
CREATE INDEX user_segments_next_change_at_idx ON economy.user_segments (next_change_at);
SELECT pg_catalog.pg_extension_config_dump('economy.user_segments', '');
COMMENT ON TABLE economy.user_segments IS
    'Scores and segment of each user that ever bought, as of the last refresh, '
    'with the daily buckets they come from.';
COMMENT ON COLUMN economy.user_segments.seq IS
    'Newest purchase in the buckets; purchases of a user commit in the order of seq.';
COMMENT ON COLUMN economy.user_segments.frequency IS 'Purchases in the window.';
COMMENT ON COLUMN economy.user_segments.monetary IS
    'Their sum in minor units of money, at most 2^63-1.';
COMMENT ON COLUMN economy.user_segments.segment_since IS
    'As-of time of the refresh that put the user in this segment.';
COMMENT ON COLUMN economy.user_segments.next_change_at IS
    'When this row changes without a new purchase: one leaves the window, '
    'or a day more of recency matters.';
COMMENT ON COLUMN economy.user_segments.changes IS 'Rows of the user in segment_history.';
COMMENT ON COLUMN economy.user_segments.buckets IS
    'Purchases by UTC day, packed; economy.rfm_days shows them.';

CREATE TABLE economy.segment_history (
    user_id      bigint      NOT NULL,
    change_no    integer     NOT NULL,
    from_segment text        NOT NULL COLLATE "C",
    to_segment   text        NOT NULL COLLATE "C",
    changed_at   timestamptz NOT NULL,
    snapshot_id  bigint      NOT NULL,
    CONSTRAINT segment_history_pkey PRIMARY KEY (user_id, change_no)
);
SELECT pg_catalog.pg_extension_config_dump('economy.segment_history', '');
COMMENT ON TABLE economy.segment_history IS
    'Every change of a user''s segment: from, to, when, and by the bounds of which snapshot.';
COMMENT ON COLUMN economy.segment_history.changed_at IS
    'As-of time of the refresh that found the change.';

CREATE TABLE economy.rfm_snapshots (
    snapshot_id bigint      NOT NULL CONSTRAINT rfm_snapshots_pkey PRIMARY KEY,
    as_of       timestamptz NOT NULL,
    model       jsonb       NOT NULL,
    rules       jsonb       NOT NULL,
    recency_bounds   numeric[],
    frequency_bounds numeric[],
    monetary_bounds  numeric[],
    p50         numeric,
    p60         numeric,
    p95         numeric,
    degenerate  text[]      NOT NULL,
    users       bigint      NOT NULL,
    active      bigint      NOT NULL,
    changed     bigint      NOT NULL,
    started_at  timestamptz NOT NULL,
    duration    interval    NOT NULL,
    program     bigint[]    NOT NULL,
    segments    text[]      NOT NULL
);
SELECT pg_catalog.pg_extension_config_dump('economy.rfm_snapshots', '');
COMMENT ON TABLE economy.rfm_snapshots IS
    'Full refreshes: the model, rules and bounds that everything is '
    'scored against until the next one.';
COMMENT ON COLUMN economy.rfm_snapshots.degenerate IS
    'Axes (recency, frequency, monetary) on which all who were '
    'ranked have one value: they score 3.';
COMMENT ON COLUMN economy.rfm_snapshots.users IS
    'Accounts that were there, also without a purchase.';
COMMENT ON COLUMN economy.rfm_snapshots.active IS 'Users with a purchase in the window.';
COMMENT ON COLUMN economy.rfm_snapshots.changed IS 'Rows of user_segments that it wrote.';
COMMENT ON COLUMN economy.rfm_snapshots.program IS
    'Model, bounds and rules, compiled by rfm_program().';
COMMENT ON COLUMN economy.rfm_snapshots.segments IS 'Segment of each rule in the program.';

CREATE TABLE economy.rfm_state (
    only_row      boolean     NOT NULL DEFAULT true CONSTRAINT rfm_state_pkey PRIMARY KEY
        CONSTRAINT rfm_state_only_row_check CHECK (only_row),
    snapshot_id   bigint      NOT NULL,
    as_of         timestamptz NOT NULL,
    refreshed_at  timestamptz NOT NULL,
    cluster       bigint      NOT NULL,
    seen_before   bigint      NOT NULL,
    summarised    bigint      NOT NULL,
    change_lag    interval,
    next_user     bigint,
    written       bigint      NOT NULL DEFAULT 0,
    spent         interval    NOT NULL DEFAULT '0'
);
SELECT pg_catalog.pg_extension_config_dump('economy.rfm_state', '');
COMMENT ON TABLE economy.rfm_state IS 'Where the refreshes stand: one row after the first.';
COMMENT ON COLUMN economy.rfm_state.as_of IS 'The moment that user_segments describes.';
COMMENT ON COLUMN economy.rfm_state.cluster IS
    'System identifier of the server that seen_before belongs to; '
    'another one reads the whole journal once.';
COMMENT ON COLUMN economy.rfm_state.seen_before IS
    'Every purchase of a transaction before this one is in the buckets.';
COMMENT ON COLUMN economy.rfm_state.summarised IS
    'Blocks of the journal that its BRIN index summarises.';
COMMENT ON COLUMN economy.rfm_state.change_lag IS
    'At the last refresh: how long the oldest thing it took up had been waiting.';
COMMENT ON COLUMN economy.rfm_state.next_user IS
    'From this user on the rows are still scored by an earlier snapshot: '
    'a full refresh writes them batch by batch. Null when all are done.';
COMMENT ON COLUMN economy.rfm_state.written IS
    'Rows of user_segments that the full refresh wrote so far.';
COMMENT ON COLUMN economy.rfm_state.spent IS 'How long its transactions took so far.';

CREATE TABLE economy.rfm_reversals (
    user_id bigint  NOT NULL,
    seq     bigint  NOT NULL,
    applied boolean NOT NULL DEFAULT false,
    CONSTRAINT rfm_reversals_pkey PRIMARY KEY (user_id, seq)
);
CREATE INDEX rfm_reversals_applied_idx ON economy.rfm_reversals (user_id) WHERE NOT applied;
SELECT pg_catalog.pg_extension_config_dump('economy.rfm_reversals', '');
COMMENT ON TABLE economy.rfm_reversals IS 'Purchases that were taken back and count no longer.';
COMMENT ON COLUMN economy.rfm_reversals.applied IS 'The day of the purchase no longer holds it.';

CREATE FUNCTION economy.rfm_pack_add(state internal, at timestamptz, monetary bigint, seq bigint)
    RETURNS internal
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_rfm_pack_add';
COMMENT ON FUNCTION economy.rfm_pack_add(internal, timestamptz, bigint, bigint) IS
    'Step of the aggregate rfm_pack().';
CREATE FUNCTION economy.rfm_pack_end(state internal) RETURNS bytea
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_rfm_pack_end';
COMMENT ON FUNCTION economy.rfm_pack_end(internal) IS 'End of the aggregate rfm_pack().';
CREATE AGGREGATE economy.rfm_pack(at timestamptz, monetary bigint, seq bigint)
    (SFUNC = economy.rfm_pack_add, STYPE = internal, SSPACE = 400, FINALFUNC = economy.rfm_pack_end, PARALLEL = SAFE);
COMMENT ON AGGREGATE economy.rfm_pack(timestamptz, bigint, bigint) IS
    'A user''s purchases as packed daily buckets; any order of rows.';

CREATE FUNCTION economy.rfm_merge(a bytea, b bytea) RETURNS bytea
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_rfm_merge';
COMMENT ON FUNCTION economy.rfm_merge(bytea, bytea) IS 'The days of two packed strings together.';

CREATE FUNCTION economy.rfm_buckets(
    buckets bytea,
    OUT day date, OUT purchases bigint, OUT monetary bigint, OUT first_at timestamptz,
    OUT last_at timestamptz, OUT first_seq bigint, OUT last_seq bigint
) RETURNS SETOF record
    LANGUAGE c IMMUTABLE PARALLEL SAFE ROWS 10 AS 'MODULE_PATHNAME', 'eco_rfm_buckets';
COMMENT ON FUNCTION economy.rfm_buckets(bytea) IS 'The days of packed buckets, the newest first.';

CREATE VIEW economy.rfm_days AS
    SELECT u.user_id, b.day, b.purchases, b.monetary, b.first_at, b.last_at, b.first_seq, b.last_seq
    FROM economy.user_segments u CROSS JOIN LATERAL economy.rfm_buckets(u.buckets) b;
COMMENT ON VIEW economy.rfm_days IS
    'Daily buckets: purchases and their sum per user and UTC day, as of the last refresh.';

CREATE FUNCTION economy.rfm_window(
    user_id bigint, buckets bytea, as_of timestamptz, window_us bigint,
    OUT last_on date, OUT frequency bigint, OUT monetary bigint
)
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_rfm_window';
COMMENT ON FUNCTION economy.rfm_window(bigint, bytea, timestamptz, bigint) IS
    'Day of the last purchase up to as_of, and number and sum of those in the window before it, '
    'in microseconds, 0 for all time.';

CREATE FUNCTION economy.rfm_assess(
    user_id bigint, buckets bytea, as_of timestamptz, program bigint[], segments text[],
    before_frequency bigint, before_monetary bigint, before_r smallint, before_f smallint,
    before_m smallint, before_segment text, before_next_change_at timestamptz,
    OUT frequency bigint, OUT monetary bigint, OUT r smallint, OUT f smallint, OUT m smallint,
    OUT segment text, OUT next_change_at timestamptz, OUT recency_days integer
)
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_rfm_assess';
COMMENT ON FUNCTION economy.rfm_assess(
    bigint, bytea, timestamptz, bigint[], text[], bigint, bigint, smallint, smallint, smallint,
    text, timestamptz) IS
    'Scores and segment of a user by a compiled snapshot; '
    'null when they are what they were before.';

CREATE FUNCTION economy.rfm_program(
    snapshot economy.rfm_snapshots,
    OUT program bigint[], OUT segments text[]
)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH axis (n, name, bounds) AS (
            VALUES (1, 'recency', snapshot.recency_bounds), (2, 'frequency', snapshot.frequency_bounds), (3, 'monetary', snapshot.monetary_bounds)
        ), word (part, n, value) AS (
            SELECT 1, 1, coalesce((snapshot.model ->> 'window_days')::bigint * 86400000000, 0)
            UNION ALL SELECT 1, 2, coalesce((snapshot.model ->> 'recency_clamp')::bigint, 1000000)
            UNION ALL SELECT 1, 3, (snapshot.model ->> 'population' = 'all')::integer
            UNION ALL SELECT 2, a.n, (a.name = ANY (snapshot.degenerate))::integer FROM axis a
            -- the least whole number that has passed the bound
            UNION ALL
            SELECT 3, a.n * 10 + i, coalesce(CASE snapshot.model ->> (a.name || '_kind') WHEN 'quantile_plus_one' THEN ceil(a.bounds[i])
                                                                                        ELSE floor(a.bounds[i]) + 1 END::bigint, 0)
            FROM axis a CROSS JOIN generate_series(1, 4) i
            UNION ALL
            SELECT 4, g.position * 10 + v.n, v.value
            FROM economy.rfm_rule_ranges(snapshot.rules, snapshot.p50, snapshot.p60, snapshot.p95) g
            CROSS JOIN LATERAL (VALUES
                (1, coalesce(g.bought::integer, -1)), (2, g.recency_from), (3, g.recency_to), (4, g.frequency_from), (5, g.frequency_to),
                (6, greatest(ceil(g.monetary_from), floor(g.monetary_above) + 1, -9223372036854775807)::bigint),
                (7, least(ceil(g.monetary_below) - 1, floor(g.monetary_to), 9223372036854775807)::bigint)) v (n, value)
        )
        SELECT (SELECT array_agg(w.value ORDER BY w.part, w.n) FROM word w),
               (SELECT array_agg(g.segment ORDER BY g.position) FROM economy.rfm_rule_ranges(snapshot.rules, snapshot.p50, snapshot.p60, snapshot.p95) g);
    END;
COMMENT ON FUNCTION economy.rfm_program(economy.rfm_snapshots) IS
    'A snapshot''s model, bounds and rules in the form that rfm_assess() takes.';

CREATE FUNCTION economy.rfm_with_bounds(snapshot economy.rfm_snapshots, bounds economy.score_bounds)
    RETURNS economy.rfm_snapshots
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    snapshot.recency_bounds := bounds.recency;
    snapshot.frequency_bounds := bounds.frequency;
    snapshot.monetary_bounds := bounds.monetary;
    snapshot.p50 := bounds.p50;
    snapshot.p60 := bounds.p60;
    snapshot.p95 := bounds.p95;
    snapshot.degenerate := bounds.degenerate;
    snapshot.active := bounds.active;
    RETURN snapshot;
END
$$;
COMMENT ON FUNCTION economy.rfm_with_bounds(economy.rfm_snapshots, economy.score_bounds) IS
    'The snapshot with what was measured for it.';

CREATE FUNCTION economy.rfm_never_bought(snapshot economy.rfm_snapshots) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT g.segment FROM economy.rfm_rule_ranges(snapshot.rules, snapshot.p50, snapshot.p60, snapshot.p95) g
        WHERE NOT coalesce(g.bought, false) AND g.frequency_from = 0 AND 0 >= g.monetary_from AND 0 > g.monetary_above AND 0 < g.monetary_below AND 0 <= g.monetary_to
          AND coalesce((snapshot.model ->> 'recency_clamp')::bigint, 1000000) BETWEEN g.recency_from AND g.recency_to
        ORDER BY g.position LIMIT 1;
    END;
COMMENT ON FUNCTION economy.rfm_never_bought(economy.rfm_snapshots) IS
    'The segment of users that never bought anything.';

CREATE FUNCTION economy.rfm_reverse(user_id bigint, seq bigint) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_variable
BEGIN
    PERFORM economy.require_given('user_id', user_id IS NOT NULL);
    PERFORM economy.require_given('seq', seq IS NOT NULL);
    PERFORM economy.open_tables('shop_transactions', 'rfm_reversals');
    IF NOT EXISTS (SELECT FROM economy.shop_transactions t WHERE t.user_id = rfm_reverse.user_id AND t.seq = rfm_reverse.seq) THEN
        RETURN false;
    END IF;
    INSERT INTO economy.rfm_reversals (user_id, seq) VALUES (user_id, seq) ON CONFLICT ON CONSTRAINT rfm_reversals_pkey DO NOTHING;
    RETURN found;
END
$$;
COMMENT ON FUNCTION economy.rfm_reverse(bigint, bigint) IS
    'Takes a purchase that was reversed out of its day at the next refresh; '
    'false when it is out already or there is none. For the function that reverses '
    'purchases, in its transaction.';

-- One refresh at a time. The row lock also makes a refresh with an old snapshot fail.
CREATE FUNCTION economy.rfm_lock() RETURNS economy.rfm_state
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    state economy.rfm_state;
BEGIN
    PERFORM economy.open_tables('shop_transactions', 'accounts', 'rfm_models', 'segment_rules', 'rfm_reversals', 'rfm_snapshots',
                                'rfm_state', 'user_segments', 'segment_history');
    PERFORM economy.lock_name('economy.rfm_refresh');
    SELECT * INTO state FROM economy.rfm_state FOR UPDATE;
    IF NOT found THEN
        -- before the first refresh the row that rfm_advance() will fill does as well
        INSERT INTO economy.rfm_state (snapshot_id, as_of, refreshed_at, cluster, seen_before, summarised)
            VALUES (0, '-infinity', economy.now(), 0, 0, 0) ON CONFLICT ON CONSTRAINT rfm_state_pkey DO NOTHING;
    END IF;
    RETURN state;
END
$$;
COMMENT ON FUNCTION economy.rfm_lock() IS
    'Waits for a refresh that runs, and returns where the refreshes stand.';

CREATE FUNCTION economy.rfm_unsee(state economy.rfm_state) RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT CASE WHEN state.cluster = (SELECT c.system_identifier FROM pg_control_system() c) THEN state.seen_before ELSE 0 END;
    END;
COMMENT ON FUNCTION economy.rfm_unsee(economy.rfm_state) IS
    'The first transaction whose purchases may not be in the buckets yet.';

CREATE FUNCTION economy.rfm_apply_reversals() RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH taken AS (
            UPDATE economy.rfm_reversals r SET applied = true WHERE NOT r.applied RETURNING r.user_id, r.seq
        )
        -- next_change_at: the incremental refresh has to look at them
        UPDATE economy.user_segments u SET next_change_at = '-infinity', buckets = coalesce((
            SELECT economy.rfm_pack(t.created_at, t.monetary, t.seq) FROM economy.shop_transactions t
            WHERE t.user_id = u.user_id AND t.seq <= u.seq AND t.status = 'SUCCESS'
              AND NOT EXISTS (SELECT FROM economy.rfm_reversals r WHERE r.user_id = t.user_id AND r.seq = t.seq)), '')
        WHERE u.user_id IN (SELECT k.user_id FROM taken k JOIN economy.user_segments s ON s.user_id = k.user_id AND k.seq <= s.seq);
    END;
COMMENT ON FUNCTION economy.rfm_apply_reversals() IS
    'Recounts the days of users with purchases that were reversed since the last refresh.';

CREATE FUNCTION economy.rfm_summarise(from_block bigint) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    range CONSTANT bigint := 32;
    -- the last range is still being filled
    upto  bigint := pg_relation_size('economy.shop_transactions') / current_setting('block_size')::bigint / range * range;
    block bigint := from_block;
BEGIN
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
COMMENT ON FUNCTION economy.rfm_summarise(bigint) IS
    'Brings the journal''s BRIN index up to its last full range.';

CREATE FUNCTION economy.rfm_advance(
    snapshot_id bigint, as_of timestamptz, seen_before bigint, change_lag interval,
    started_summarised bigint
) RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        INSERT INTO economy.rfm_state AS s (snapshot_id, as_of, refreshed_at, cluster, seen_before, summarised, change_lag)
            SELECT $1, $2, economy.now(), c.system_identifier, $3, economy.rfm_summarise(coalesce($5, 0)), $4 FROM pg_control_system() c
            ON CONFLICT ON CONSTRAINT rfm_state_pkey DO UPDATE SET
                snapshot_id = excluded.snapshot_id, as_of = excluded.as_of, refreshed_at = excluded.refreshed_at, cluster = excluded.cluster,
                seen_before = excluded.seen_before, summarised = excluded.summarised, change_lag = excluded.change_lag;
    END;
COMMENT ON FUNCTION economy.rfm_advance(bigint, timestamptz, bigint, interval, bigint) IS
    'Notes what a refresh has taken up.';

CREATE VIEW economy.rfm_unfolded AS
    SELECT t.user_id, t.seq, t.created_at, t.monetary, t.xact, t.position
    FROM economy.shop_transactions t LEFT JOIN economy.user_segments u USING (user_id)
    WHERE t.status = 'SUCCESS' AND t.seq > coalesce(u.seq, 0)
      AND NOT EXISTS (SELECT FROM economy.rfm_reversals r WHERE r.user_id = t.user_id AND r.seq = t.seq);
COMMENT ON VIEW economy.rfm_unfolded IS
    'Purchases that are not in the buckets yet; those since rfm_state.seen_before '
    'are all, and found by an index.';

CREATE FUNCTION economy.rfm_fold(
    transaction bigint, unheld boolean,
    OUT user_id bigint, OUT first_seq bigint, OUT seq bigint, OUT since timestamptz,
    OUT buckets bytea
) RETURNS SETOF record
    LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_rfm_fold';
COMMENT ON FUNCTION economy.rfm_fold(bigint, boolean) IS
    'Purchases of a transaction and later ones, as packed buckets of each user, '
    'in the order of users; or only those of them that user_segments does not hold.';

CREATE VIEW economy.rfm_fresh AS
    SELECT f.user_id, f.seq, u.ctid AS place, u.frequency, u.monetary, u.segment_since, u.next_change_at, u.changes, u.r, u.f, u.m, u.segment,
           -- a transaction that was open for long has the purchases of others read again
           CASE WHEN f.first_seq > coalesce(u.seq, 0) THEN f.since
                ELSE (SELECT min(t.created_at) FROM economy.rfm_unfolded t WHERE t.user_id = f.user_id) END AS since,
           CASE WHEN u.user_id IS NULL THEN f.buckets
                WHEN f.first_seq > u.seq THEN economy.rfm_merge(u.buckets, f.buckets)
                ELSE economy.rfm_merge(u.buckets, (SELECT economy.rfm_pack(t.created_at, t.monetary, t.seq)
                                                   FROM economy.rfm_unfolded t WHERE t.user_id = f.user_id)) END AS buckets
    FROM (SELECT coalesce((SELECT economy.rfm_unsee(s) FROM economy.rfm_state s), 0) AS transaction) s
    CROSS JOIN LATERAL economy.rfm_fold(s.transaction, s.transaction = 0) f
    LEFT JOIN economy.user_segments u USING (user_id)
    WHERE f.seq > coalesce(u.seq, 0);
COMMENT ON VIEW economy.rfm_fresh IS
    'Users with purchases that are not in their buckets yet: the row of user_segments as it '
    'is, and the buckets with them.';

-- What is damaged in user_segments is made anew of the journal and the history.
CREATE FUNCTION economy.rfm_rebuild(never text) RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        DELETE FROM economy.user_segments u WHERE NOT EXISTS (SELECT FROM economy.accounts a WHERE a.user_id = u.user_id);
        WITH folded AS MATERIALIZED (
            SELECT f.user_id, f.seq, f.buckets FROM economy.rfm_fold(0, false) f
        ), last AS MATERIALIZED (
            SELECT DISTINCT ON (h.user_id) h.user_id, h.change_no, h.to_segment, h.changed_at FROM economy.segment_history h ORDER BY h.user_id, h.change_no DESC
        ), repaired AS (
            UPDATE economy.user_segments u SET seq = d.seq, buckets = d.buckets, changes = d.changes, segment = d.segment, segment_since = d.segment_since
            FROM (SELECT u.user_id, coalesce(f.seq, 0) AS seq, coalesce(f.buckets, '') AS buckets, coalesce(l.change_no, 0) AS changes,
                         coalesce(l.to_segment, u.segment) AS segment, coalesce(l.changed_at, u.segment_since) AS segment_since
                  FROM economy.user_segments u JOIN economy.accounts a USING (user_id) LEFT JOIN folded f USING (user_id) LEFT JOIN last l USING (user_id)
                  -- where the newest purchase was reversed, seq may be beyond those that count
                  WHERE u.buckets <> coalesce(f.buckets, '') OR u.seq NOT BETWEEN coalesce(f.seq, 0) AND a.seq
                     OR (u.changes, u.segment, u.segment_since) IS DISTINCT FROM
                        (coalesce(l.change_no, 0), coalesce(l.to_segment, u.segment), coalesce(l.changed_at, u.segment_since))) d
            WHERE u.user_id = d.user_id
        )
        INSERT INTO economy.user_segments (user_id, seq, segment, segment_since, changes, buckets)
            SELECT f.user_id, f.seq, coalesce(l.to_segment, never), l.changed_at, coalesce(l.change_no, 0), f.buckets
            FROM folded f LEFT JOIN last l USING (user_id)
            WHERE NOT EXISTS (SELECT FROM economy.user_segments u WHERE u.user_id = f.user_id)
              AND EXISTS (SELECT FROM economy.accounts a WHERE a.user_id = f.user_id);
    END;
COMMENT ON FUNCTION economy.rfm_rebuild(text) IS
    'Compares user_segments with the journal and segment_history, and puts right what differs.';

-- A full refresh is two things: a snapshot, which is in force at once, and after it
-- the scores, which may come in many transactions. Readers score a user by the
-- snapshot in force, whatever the row says; what else reads rows has the segment of
-- before until the row is reached.
CREATE FUNCTION economy.rfm_begin(as_of timestamptz, rebuild boolean) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD'
    SET work_mem = '64MB' SET jit = off SET enable_hashjoin = on SET enable_mergejoin = on AS $$
#variable_conflict use_variable
DECLARE
    started  CONSTANT timestamptz := clock_timestamp();
    state    economy.rfm_state;
    snapshot economy.rfm_snapshots;
    model    economy.rfm_models;
    result   record;
    inputs   text;
    seen     bigint;
    oldest   timestamptz;
    waiting  timestamptz;
    never    text;
    next     bigint;
BEGIN
    PERFORM economy.require_given('as_of', as_of IS NOT NULL);
    PERFORM economy.require_given('rebuild', rebuild IS NOT NULL);
    IF NOT isfinite(as_of) THEN
        RAISE EXCEPTION 'as_of must be a finite time' USING ERRCODE = 'XE002';
    END IF;
    PERFORM set_config('work_mem', economy.rfm_setting('economy.rfm_memory'), true);
    state := economy.rfm_lock();
    model := economy.rfm_model(economy.rfm_setting('economy.rfm_model'));
    snapshot.model := to_jsonb(model);
    snapshot.rules := (SELECT jsonb_agg(to_jsonb(r)) FROM economy.rfm_rules() r);
    -- they were checked when they were set, but not against another model
    IF NOT EXISTS (SELECT FROM economy.rfm_snapshots s WHERE s.snapshot_id = state.snapshot_id AND s.rules = snapshot.rules AND s.model = snapshot.model) THEN
        PERFORM economy.check_segment_rules(snapshot.rules, model);
    END IF;

    -- the buckets: an older snapshot than that of the statement below
    PERFORM economy.report_progress('rfm_refresh', 0, 1);
    snapshot.snapshot_id := coalesce((SELECT max(s.snapshot_id) FROM economy.rfm_snapshots s), 0) + 1;
    snapshot.as_of := as_of;
    snapshot.users := (SELECT count(*) FROM economy.accounts);
    snapshot.changed := 0;
    snapshot.started_at := economy.now();
    seen := pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
    inputs := format(
        'SELECT least(($1 AT TIME ZONE ''UTC'')::date - (w).last_on, %s) AS recency, (w).frequency, (w).monetary
         FROM (SELECT economy.rfm_window(u.user_id, u.buckets, $1, %s) AS w FROM %%s u OFFSET 0) x
         WHERE (w).last_on IS NOT NULL',
        coalesce(model.recency_clamp::text, 'NULL'), coalesce(model.window_days * 86400000000::bigint, 0));
    PERFORM economy.rfm_apply_reversals();
    IF state.snapshot_id IS NULL AND NOT EXISTS (SELECT FROM economy.user_segments) THEN
        -- the first: each row is written once, scored
        EXECUTE 'WITH fresh AS MATERIALIZED (
                SELECT * FROM economy.rfm_fold(0, false)
            ), bounds AS MATERIALIZED (
                SELECT b AS b FROM (' || economy.rfm_measure_query(model, format(inputs, 'fresh')) || ') q
                CROSS JOIN LATERAL economy.rfm_measured($2, q.users, q.active, q.recency, q.frequency, q.monetary, q.flat, q.p) b
            ), compiled AS MATERIALIZED (
                SELECT p.program, p.segments FROM bounds b CROSS JOIN LATERAL economy.rfm_program(economy.rfm_with_bounds($3, b.b)) p
            ), written AS (
                INSERT INTO economy.user_segments (user_id, seq, frequency, monetary, segment_since, next_change_at, r, f, m, segment, buckets)
                SELECT x.user_id, x.seq, (x.a).frequency, (x.a).monetary, $1, (x.a).next_change_at, (x.a).r, (x.a).f, (x.a).m, (x.a).segment, x.buckets
                FROM (SELECT f.user_id, f.seq, f.buckets,
                             economy.rfm_assess(f.user_id, f.buckets, $1, p.program, p.segments, NULL, NULL, NULL, NULL, NULL, NULL, NULL) AS a
                      FROM fresh f CROSS JOIN compiled p OFFSET 0) x
                RETURNING 1
            )
            SELECT b.b AS bounds, p.program, p.segments, (SELECT count(*) FROM written) AS written, (SELECT min(f.since) FROM fresh f) AS oldest FROM bounds b CROSS JOIN compiled p'
            INTO result USING as_of, model, snapshot;
        snapshot := economy.rfm_with_bounds(snapshot, result.bounds);
        snapshot.program := result.program;
        snapshot.segments := result.segments;
        snapshot.changed := result.written;
        oldest := result.oldest;
    ELSE
        -- the buckets
        SELECT economy.rfm_never_bought(s) INTO never FROM economy.rfm_snapshots s WHERE s.snapshot_id = state.snapshot_id;
        IF rebuild THEN
            SELECT min(t.created_at) INTO waiting FROM economy.rfm_unfolded t WHERE t.xact >= coalesce(economy.rfm_unsee(state), 0);
            PERFORM economy.rfm_rebuild(never);
        END IF;
        EXECUTE 'WITH fresh AS MATERIALIZED (
                SELECT f.place, f.user_id, f.seq, f.since, f.buckets FROM economy.rfm_fresh f
            ), folded AS (
                UPDATE economy.user_segments u SET seq = f.seq, buckets = f.buckets FROM fresh f WHERE u.ctid = f.place
            ), added AS (
                INSERT INTO economy.user_segments (user_id, seq, segment, buckets) SELECT f.user_id, f.seq, $1, f.buckets FROM fresh f WHERE f.place IS NULL
            )
            SELECT min(f.since) FROM fresh f' INTO oldest USING never;
        oldest := least(oldest, waiting);
        snapshot := economy.rfm_with_bounds(snapshot, economy.rfm_measure(model, format(inputs, 'economy.user_segments'), as_of));
        SELECT p.program, p.segments INTO snapshot.program, snapshot.segments FROM economy.rfm_program(snapshot) p;
        next := -9223372036854775808;
    END IF;
    snapshot.duration := clock_timestamp() - started;
    INSERT INTO economy.rfm_snapshots SELECT (snapshot).*;
    PERFORM economy.note_change('rfm_snapshots', snapshot.snapshot_id::text, 'measure', session_user::text);
    PERFORM economy.rfm_advance(snapshot.snapshot_id, as_of, seen, as_of - oldest, state.summarised);
    UPDATE economy.rfm_state SET next_user = next, written = snapshot.changed, spent = snapshot.duration;
END
$$;
COMMENT ON FUNCTION economy.rfm_begin(timestamptz, boolean) IS
    'Begin of a full refresh: takes up new purchases and freezes new bounds in a snapshot, '
    'which is in force from now on; rfm_write() writes the rows.';

CREATE FUNCTION economy.rfm_write(max_users integer, OUT written bigint, OUT more boolean)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD'
    SET work_mem = '64MB' SET jit = off SET enable_hashjoin = on SET enable_mergejoin = on AS $$
DECLARE
    started CONSTANT timestamptz := clock_timestamp();
    state    economy.rfm_state;
    snapshot economy.rfm_snapshots;
    last     bigint;
    told     bigint;
BEGIN
    state := economy.rfm_lock();
    written := 0;
    more := false;
    IF state.next_user IS NULL THEN
        RETURN;
    END IF;
    SELECT * INTO snapshot FROM economy.rfm_snapshots s WHERE s.snapshot_id = state.snapshot_id;
    PERFORM economy.report_progress('rfm_refresh', state.written, greatest(snapshot.users, state.written));
    SELECT max(n.user_id), count(*) = max_users INTO last, more
        FROM (SELECT u.user_id FROM economy.user_segments u WHERE u.user_id >= state.next_user ORDER BY u.user_id LIMIT max_users) n;
    -- the bounds stand in the statement, so that it is planned for so many
    EXECUTE format('WITH assessed AS MATERIALIZED (
            SELECT * FROM (
                SELECT u.user_id, u.segment AS was, u.changes,
                       economy.rfm_assess(u.user_id, u.buckets, $1, $2, $3, u.frequency, u.monetary, u.r, u.f, u.m, u.segment, u.next_change_at) AS a
                FROM economy.user_segments u WHERE u.user_id BETWEEN %1$L AND %2$L OFFSET 0) x
            WHERE x.a IS NOT NULL
        ), written AS (
            UPDATE economy.user_segments u SET
                frequency = (c.a).frequency, monetary = (c.a).monetary, r = (c.a).r, f = (c.a).f, m = (c.a).m,
                segment = (c.a).segment, next_change_at = (c.a).next_change_at,
                segment_since = CASE WHEN c.was IS DISTINCT FROM (c.a).segment THEN $1 ELSE u.segment_since END,
                changes = u.changes + coalesce(c.was <> (c.a).segment, false)::integer
            FROM assessed c WHERE u.user_id = c.user_id AND u.user_id BETWEEN %1$L AND %2$L
            RETURNING 1
        ), remembered AS (
            INSERT INTO economy.segment_history
            SELECT c.user_id, c.changes + 1, c.was, (c.a).segment, $1, $4 FROM assessed c WHERE c.was <> (c.a).segment
        )
        SELECT (SELECT count(*) FROM written),
               (SELECT count(economy.publish_profile(c.user_id, ''segment'', c.was, (c.a).segment))
                FROM assessed c WHERE c.was <> (c.a).segment)', state.next_user, coalesce(last, state.next_user))
        INTO written, told USING state.as_of, snapshot.program, snapshot.segments, snapshot.snapshot_id;
    UPDATE economy.rfm_state s SET next_user = CASE WHEN more THEN last + 1 END, written = s.written + rfm_write.written,
            spent = s.spent + (clock_timestamp() - started) RETURNING * INTO state;
    IF NOT more AND state.written > 0 THEN
        UPDATE economy.rfm_snapshots s SET changed = state.written, duration = state.spent WHERE s.snapshot_id = state.snapshot_id;
        PERFORM economy.note_change('rfm_snapshots', state.snapshot_id::text, 'score', session_user::text);
    END IF;
END
$$;
COMMENT ON FUNCTION economy.rfm_write(integer) IS
    'The next rows of the full refresh that is going, of at most max_users users: '
    'writes those that the snapshot in force changed; more says that others are left.';

CREATE FUNCTION economy.rfm_refresh(
    as_of timestamptz DEFAULT economy.now(), rebuild boolean DEFAULT true
)
    RETURNS TABLE (snapshot_id bigint, users_scored bigint, users_changed bigint)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    PERFORM economy.rfm_begin(as_of, rebuild);
    WHILE (SELECT s.more FROM economy.rfm_write(100000) s) LOOP
    END LOOP;
    PERFORM economy.report_progress(NULL, NULL, NULL);
    RETURN QUERY SELECT s.snapshot_id, s.users, s.changed FROM economy.rfm_snapshots s JOIN economy.rfm_state t USING (snapshot_id);
END
$$;
COMMENT ON FUNCTION economy.rfm_refresh(timestamptz, boolean) IS
    'Scores every user as of a moment: takes up new purchases, freezes new bounds in a snapshot, '
    'writes the rows that changed. With rebuild it reads the whole journal and puts right what is '
    'damaged. Visible at once at the commit; purchases go on meanwhile. '
    'The job does the same in many transactions.';

CREATE FUNCTION economy.rfm_refresh_step(
    start boolean, max_users integer DEFAULT 20000,
    OUT users_changed bigint, OUT more boolean
)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    PERFORM economy.require_given('start', start IS NOT NULL);
    PERFORM economy.require_given('max_users', max_users IS NOT NULL);
    IF max_users < 1 THEN
        RAISE EXCEPTION 'max_users must be 1 or more' USING ERRCODE = 'XE002';
    END IF;
    IF start THEN
        PERFORM economy.rfm_begin(economy.now(), economy.segments_found_damaged());
        SELECT s.written, s.next_user IS NOT NULL INTO users_changed, more FROM economy.rfm_state s;
    ELSE
        SELECT s.written, s.more INTO users_changed, more FROM economy.rfm_write(max_users) s;
    END IF;
    PERFORM economy.report_progress(NULL, NULL, NULL);
END
$$;
COMMENT ON FUNCTION economy.rfm_refresh_step(boolean, integer) IS
    'The job''s part of a full refresh, a transaction each: begins one, '
    'or writes the rows of the next max_users users; more says that there are others. '
    'A refresh that was cut off goes on where it was.';

CREATE FUNCTION economy.rfm_refresh_incremental()
    RETURNS TABLE (snapshot_id bigint, users_scored bigint, users_changed bigint)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD'
    -- few of many users: their rows are looked up
    SET work_mem = '64MB' SET jit = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_variable
DECLARE
    state    economy.rfm_state;
    snapshot economy.rfm_snapshots;
    as_of    timestamptz;
    seen     bigint;
    oldest   timestamptz;
    told     bigint;
BEGIN
    PERFORM set_config('work_mem', economy.rfm_setting('economy.rfm_memory'), true);
    state := economy.rfm_lock();
    IF state.snapshot_id IS NULL THEN
        RETURN QUERY SELECT * FROM economy.rfm_refresh();
        RETURN;
    END IF;
    -- never back in time: the rows describe one moment
    as_of := greatest(economy.now(), state.as_of);
    SELECT * INTO snapshot FROM economy.rfm_snapshots s WHERE s.snapshot_id = state.snapshot_id;
    seen := pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
    PERFORM economy.rfm_apply_reversals();
    EXECUTE 'WITH fresh AS MATERIALIZED (
            SELECT * FROM economy.rfm_fresh
        ), touched AS (
            SELECT f.place, f.user_id, f.seq, f.since, f.buckets, f.frequency, f.monetary, f.segment_since, f.next_change_at,
                   coalesce(f.changes, 0) AS changes, f.r, f.f, f.m, CASE WHEN f.place IS NULL THEN $5 ELSE f.segment END AS segment
            FROM fresh f
            UNION ALL
            SELECT u.ctid, u.user_id, u.seq, u.next_change_at, u.buckets, u.frequency, u.monetary, u.segment_since, u.next_change_at,
                   u.changes, u.r, u.f, u.m, u.segment
            FROM economy.user_segments u WHERE u.next_change_at <= $1 AND u.user_id NOT IN (SELECT f.user_id FROM fresh f)
        ), assessed AS MATERIALIZED (
            SELECT t.*, economy.rfm_assess(t.user_id, t.buckets, $1, $2, $3, t.frequency, t.monetary, t.r, t.f, t.m, t.segment, t.next_change_at) AS a
            FROM touched t OFFSET 0
        ), changed AS MATERIALIZED (
            SELECT c.place, c.user_id, c.seq, coalesce((c.a).frequency, c.frequency) AS frequency, coalesce((c.a).monetary, c.monetary) AS monetary,
                   CASE WHEN c.segment IS DISTINCT FROM coalesce((c.a).segment, c.segment) THEN $1 ELSE c.segment_since END AS segment_since,
                   coalesce((c.a).next_change_at, c.next_change_at) AS next_change_at,
                   c.changes + coalesce(c.segment <> (c.a).segment, false)::integer AS changes,
                   coalesce((c.a).r, c.r) AS r, coalesce((c.a).f, c.f) AS f, coalesce((c.a).m, c.m) AS m,
                   coalesce((c.a).segment, c.segment) AS segment, c.buckets
            FROM assessed c
        ), updated AS (
            -- nobody else writes there, so rows stay in their place
            UPDATE economy.user_segments u SET
                seq = c.seq, frequency = c.frequency, monetary = c.monetary, segment_since = c.segment_since,
                next_change_at = c.next_change_at, changes = c.changes, r = c.r, f = c.f, m = c.m, segment = c.segment, buckets = c.buckets
            FROM changed c WHERE u.ctid = c.place
            RETURNING 1
        ), inserted AS (
            INSERT INTO economy.user_segments
            SELECT c.user_id, c.seq, c.frequency, c.monetary, c.segment_since, c.next_change_at, c.changes, c.r, c.f, c.m, c.segment, c.buckets
            FROM changed c WHERE c.place IS NULL
            RETURNING 1
        ), remembered AS (
            INSERT INTO economy.segment_history
            SELECT c.user_id, c.changes + 1, c.segment, (c.a).segment, $1, $4 FROM assessed c WHERE c.segment <> (c.a).segment
        )
        SELECT (SELECT count(*) FROM assessed), (SELECT count(*) FROM updated) + (SELECT count(*) FROM inserted),
               -- a reversal is taken up without a moment of its own
               (SELECT min(c.since) FROM assessed c WHERE isfinite(c.since)),
               (SELECT count(economy.publish_profile(c.user_id, ''segment'', c.segment, (c.a).segment))
                FROM assessed c WHERE c.segment <> (c.a).segment)'
        INTO users_scored, users_changed, oldest, told
        USING as_of, snapshot.program, snapshot.segments, snapshot.snapshot_id, economy.rfm_never_bought(snapshot);
    PERFORM economy.rfm_advance(snapshot.snapshot_id, as_of, seen, as_of - oldest, state.summarised);
    snapshot_id := snapshot.snapshot_id;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION economy.rfm_refresh_incremental() IS
    'Scores the users with new purchases, and those whose window slid or whose recency crossed a '
    'bound, by the newest snapshot; the first call is a full rfm_refresh().';

-- Readers

CREATE FUNCTION economy.segment_seen(
    user_id bigint,
    OUT segment text, OUT r integer, OUT f integer, OUT m integer, OUT score numeric,
    OUT recency_days integer, OUT frequency bigint, OUT monetary bigint, OUT degenerate boolean,
    OUT segment_since timestamptz, OUT scored_at timestamptz, OUT snapshot_id bigint
) RETURNS SETOF record
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER ROWS 1
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_column
DECLARE
    who      CONSTANT bigint := user_id;
    state    economy.rfm_state;
    snapshot economy.rfm_snapshots;
BEGIN
    PERFORM economy.require_given('user_id', who IS NOT NULL);
    SELECT * INTO state FROM economy.rfm_state;
    SELECT * INTO snapshot FROM economy.rfm_snapshots s WHERE s.snapshot_id = state.snapshot_id;
    -- who never bought is scored here, with no bucket at all
    RETURN QUERY
        SELECT (a.x).segment, (a.x).r::integer, (a.x).f::integer, (a.x).m::integer,
               (snapshot.model ->> 'recency_weight')::numeric * (a.x).r + (snapshot.model ->> 'frequency_weight')::numeric * (a.x).f
                   + (snapshot.model ->> 'monetary_weight')::numeric * (a.x).m,
               CASE WHEN u.user_id IS NOT NULL OR snapshot.model ->> 'recency_clamp' IS NOT NULL THEN (a.x).recency_days END,
               (a.x).frequency, (a.x).monetary, snapshot.degenerate <> '{}',
               -- a row that the refresh has not reached yet will say the same
               CASE WHEN u.user_id >= state.next_user AND u.segment IS DISTINCT FROM (a.x).segment THEN state.as_of ELSE u.segment_since END,
               state.as_of, snapshot.snapshot_id
        FROM economy.accounts k LEFT JOIN economy.user_segments u USING (user_id)
        CROSS JOIN LATERAL (SELECT economy.rfm_assess(k.user_id, coalesce(u.buckets, ''), state.as_of, snapshot.program, snapshot.segments,
                                                      NULL, NULL, NULL, NULL, NULL, NULL, NULL) AS x OFFSET 0) a
        WHERE k.user_id = who AND state.snapshot_id IS NOT NULL;
END
$$;
COMMENT ON FUNCTION economy.segment_seen(bigint) IS 'What segment() answers, under its snapshot.';

CREATE FUNCTION economy.segment(user_id bigint)
    RETURNS TABLE (
        segment text, r integer, f integer, m integer, score numeric, recency_days integer,
        frequency bigint, monetary bigint, degenerate boolean, segment_since timestamptz,
        scored_at timestamptz, snapshot_id bigint
    )
    LANGUAGE c STABLE PARALLEL SAFE ROWS 1 AS 'MODULE_PATHNAME', 'eco_segment';
COMMENT ON FUNCTION economy.segment(bigint) IS
    'A user''s segment, scores and what they come from, as of scored_at, the last refresh; '
    'no row for an unknown user or before the first refresh.';

CREATE FUNCTION economy.audit_segments(
    first_user bigint DEFAULT NULL, last_user bigint DEFAULT NULL
) RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC'
    SET datestyle = 'ISO, YMD' SET jit = off
    BEGIN ATOMIC
        WITH state AS MATERIALIZED (
            SELECT t.as_of, t.next_user, CASE WHEN t.cluster = (SELECT c.system_identifier FROM pg_control_system() c) THEN economy.position_of(t.seen_before) END AS seen_before,
                   -- who compares with a damaged program finds everybody damaged
                   CASE WHEN s.program = p.program AND s.segments = p.segments THEN s.program END AS program, s.segments
            FROM economy.rfm_state t LEFT JOIN economy.rfm_snapshots s USING (snapshot_id) LEFT JOIN LATERAL economy.rfm_program(s) p ON true
        ), held AS MATERIALIZED (
            SELECT coalesce(a.user_id, u.user_id) AS user_id, a.user_id IS NOT NULL AS known, a.seq AS newest, u.user_id IS NOT NULL AS has_row, u.seq,
                   u.frequency, u.monetary, u.r, u.f, u.m, u.segment, u.segment_since, u.next_change_at, u.changes, u.buckets,
                   coalesce((SELECT economy.rfm_pack(t.created_at, t.monetary, t.seq) FROM economy.shop_transactions t
                             WHERE t.user_id = u.user_id AND t.seq <= u.seq AND t.status = 'SUCCESS'
                               AND NOT EXISTS (SELECT FROM economy.rfm_reversals r WHERE r.user_id = t.user_id AND r.seq = t.seq AND r.applied)), '') AS right_buckets
            FROM (SELECT * FROM economy.accounts x WHERE x.user_id BETWEEN coalesce(first_user, -9223372036854775808) AND coalesce(last_user, 9223372036854775807)) a
            FULL JOIN (SELECT * FROM economy.user_segments x WHERE x.user_id BETWEEN coalesce(first_user, -9223372036854775808) AND coalesce(last_user, 9223372036854775807)) u USING (user_id)
        )
        SELECT h.user_id, 'orphan_row', 'an account', 'only a segment', NULL::text, NULL::bigint FROM held h WHERE NOT h.known
        UNION ALL
        SELECT h.user_id, 'parity', 'buckets of the purchases up to ' || h.seq, 'others', NULL, NULL
        FROM held h WHERE h.known AND h.has_row AND (h.buckets <> h.right_buckets OR h.seq > h.newest)
        UNION ALL
        SELECT h.user_id, 'parity', 'every purchase of before the last refresh', format('none of P%s-%s', h.user_id, l.seq), format('P%s-%s', h.user_id, l.seq), l.seq
        FROM held h CROSS JOIN state s
        CROSS JOIN LATERAL (SELECT min(t.seq) AS seq FROM economy.shop_transactions t
                            WHERE t.user_id = h.user_id AND t.seq > coalesce(h.seq, 0) AND t.status = 'SUCCESS' AND t.position < s.seen_before
                              AND NOT EXISTS (SELECT FROM economy.rfm_reversals r WHERE r.user_id = t.user_id AND r.seq = t.seq)) l
        WHERE h.known AND l.seq IS NOT NULL
        UNION ALL
        SELECT h.user_id, 'parity', format('segment %s, scores %s%s%s, %s purchases of %s', x.segment, x.r, x.f, x.m, x.frequency, x.monetary),
               format('segment %s, scores %s%s%s, %s purchases of %s', h.segment, h.r, h.f, h.m, h.frequency, h.monetary), NULL, NULL
        FROM (SELECT k.*, s.as_of, s.program, s.segments FROM held k CROSS JOIN state s
              WHERE (k.user_id >= s.next_user) IS NOT TRUE AND k.known AND k.has_row AND k.buckets = k.right_buckets AND s.program IS NOT NULL OFFSET 0) h
        CROSS JOIN LATERAL economy.rfm_assess(h.user_id, h.buckets, h.as_of, h.program, h.segments, h.frequency, h.monetary, h.r, h.f, h.m,
                                              h.segment, h.next_change_at) x
        WHERE x.segment IS NOT NULL
        UNION ALL
        SELECT h.user_id, 'parity', format('%s changes, the last to %s at %s', l.n, l.to_segment, l.changed_at), format('%s changes, %s since %s', h.changes, h.segment, h.segment_since), NULL, NULL
        FROM held h
        CROSS JOIN LATERAL (SELECT count(*) AS n, max(y.change_no) AS change_no, (array_agg(y.to_segment ORDER BY y.change_no DESC))[1] AS to_segment,
                                   (array_agg(y.changed_at ORDER BY y.change_no DESC))[1] AS changed_at, coalesce(bool_or(y.from_segment <> y.before), false) AS broken
                            FROM (SELECT g.*, lag(g.to_segment) OVER (ORDER BY g.change_no) AS before FROM economy.segment_history g WHERE g.user_id = h.user_id) y) l
        WHERE h.known AND (l.broken OR l.n <> coalesce(l.change_no, 0) OR coalesce(h.changes, 0) <> l.n
                             OR (l.n > 0 AND (h.segment, h.segment_since) IS DISTINCT FROM (l.to_segment, l.changed_at)));
    END;
COMMENT ON FUNCTION economy.audit_segments(bigint, bigint) IS
    'Recomputes the rows of user_segments of a range of users, null for no end, '
    'from their purchases and the snapshot in force, and compares them with segment_history.';

CREATE FUNCTION economy.audit_segment_state() RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD'
    BEGIN ATOMIC
        SELECT NULL::bigint, 'parity', 'a snapshot of before ' || t.as_of, format('rfm_state with snapshot %s', t.snapshot_id), NULL::text, NULL::bigint
        FROM economy.rfm_state t LEFT JOIN economy.rfm_snapshots s USING (snapshot_id)
        WHERE (s.as_of <= t.as_of AND isfinite(t.as_of)) IS NOT TRUE
        UNION ALL
        SELECT NULL, 'parity', 'transactions that have begun', format('rfm_state that has seen those before %s', t.seen_before), NULL, NULL
        FROM economy.rfm_state t
        WHERE t.cluster = (SELECT c.system_identifier FROM pg_control_system() c)
          AND (t.seen_before < 0 OR t.seen_before > pg_snapshot_xmax(pg_current_snapshot())::text::bigint)
        UNION ALL
        SELECT NULL, 'parity', 'rfm_state', 'none beside segments', NULL, NULL
        WHERE NOT EXISTS (SELECT FROM economy.rfm_state) AND EXISTS (SELECT FROM economy.user_segments)
        UNION ALL
        SELECT NULL, 'parity', format('the program of snapshot %s', s.snapshot_id), 'another one', NULL, NULL
        FROM economy.rfm_snapshots s CROSS JOIN LATERAL economy.rfm_program(s) p
        WHERE s.snapshot_id IN (SELECT x.snapshot_id FROM economy.rfm_snapshots x ORDER BY x.snapshot_id DESC LIMIT 100)
          AND (s.program, s.segments) IS DISTINCT FROM (p.program, p.segments)
        UNION ALL
        SELECT r.user_id, 'orphan_row', format('purchase P%s-%s', r.user_id, r.seq), 'only its reversal', format('P%s-%s', r.user_id, r.seq), r.seq
        FROM economy.rfm_reversals r WHERE NOT EXISTS (SELECT FROM economy.shop_transactions t WHERE t.user_id = r.user_id AND t.seq = r.seq);
    END;
COMMENT ON FUNCTION economy.audit_segment_state() IS
    'Compares rfm_state, rfm_snapshots and rfm_reversals with each other and the journal.';

CREATE FUNCTION economy.segment_summary_seen(
    OUT segment text, OUT users bigint, OUT share numeric, OUT active bigint, OUT frequency numeric,
    OUT monetary numeric
) RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH counted AS (
            SELECT u.segment, count(*) AS users, count(*) FILTER (WHERE u.frequency > 0) AS active,
                   sum(u.frequency) AS frequency, sum(u.monetary) AS monetary
            FROM economy.user_segments u GROUP BY 1
            UNION ALL
            SELECT economy.rfm_never_bought(s),
                   (SELECT count(*) FROM economy.accounts) - (SELECT count(*) FROM economy.user_segments), 0, 0, 0
            FROM economy.rfm_snapshots s JOIN economy.rfm_state t USING (snapshot_id)
        ), listed AS (
            SELECT g.segment, min(g.position) AS position FROM economy.rfm_snapshots s JOIN economy.rfm_state t USING (snapshot_id)
            CROSS JOIN LATERAL economy.rfm_rule_ranges(s.rules, s.p50, s.p60, s.p95) g GROUP BY 1
        )
        SELECT l.segment, coalesce(sum(c.users), 0)::bigint, round(coalesce(sum(c.users), 0) / nullif(sum(sum(c.users)) OVER (), 0), 4),
               coalesce(sum(c.active), 0)::bigint, coalesce(sum(c.frequency), 0), coalesce(sum(c.monetary), 0)
        FROM listed l LEFT JOIN counted c USING (segment) GROUP BY l.segment, l.position ORDER BY l.position;
    END;
COMMENT ON FUNCTION economy.segment_summary_seen() IS
    'segment_summary(), once its tables are open.';

CREATE FUNCTION economy.segment_summary()
    RETURNS TABLE (
        segment text, users bigint, share numeric, active bigint, frequency numeric,
        monetary numeric
    )
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy.open_tables('accounts', 'rfm_snapshots', 'rfm_state', 'user_segments');
        SELECT * FROM economy.segment_summary_seen();
    END;
COMMENT ON FUNCTION economy.segment_summary() IS
    'Size of each segment as of the last refresh: users, their share, those with a purchase in the '
    'window, purchases and their sum in it.';

CREATE FUNCTION economy.rfm_freshness_seen(
    OUT snapshot_id bigint, OUT snapshot_as_of timestamptz, OUT as_of timestamptz,
    OUT stale_users bigint, OUT oldest_stale_age interval, OUT last_change_lag interval
)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, economy, pg_temp SET jit = off AS $$
#variable_conflict use_variable
DECLARE
    state economy.rfm_state;
    now   timestamptz := economy.now();
BEGIN
    SELECT * INTO state FROM economy.rfm_state;
    snapshot_id := state.snapshot_id;
    SELECT s.as_of INTO snapshot_as_of FROM economy.rfm_snapshots s WHERE s.snapshot_id = state.snapshot_id;
    as_of := state.as_of;
    last_change_lag := state.change_lag;
    EXECUTE 'SELECT count(DISTINCT s.user_id), $2 - min(s.at) FROM (
            SELECT t.user_id, t.created_at AS at FROM economy.rfm_unfolded t
            WHERE t.position >= $3 AND t.xact >= $1 AND ($1 = 0 OR t.xact < pg_snapshot_xmax(pg_current_snapshot())::text::bigint
                                    OR t.xact = pg_current_xact_id_if_assigned()::text::bigint)
            UNION ALL
            SELECT u.user_id, u.next_change_at FROM economy.user_segments u WHERE u.next_change_at <= $2) s'
        INTO stale_users, oldest_stale_age USING coalesce(economy.rfm_unsee(state), 0), now,
                                               economy.position_of(coalesce(economy.rfm_unsee(state), 0));
END
$$;
COMMENT ON FUNCTION economy.rfm_freshness_seen() IS 'rfm_freshness(), once its tables are open.';

CREATE FUNCTION economy.rfm_freshness()
    RETURNS TABLE (
        snapshot_id bigint, snapshot_as_of timestamptz, as_of timestamptz, stale_users bigint,
        oldest_stale_age interval, last_change_lag interval
    )
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 1
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy.open_tables('shop_transactions', 'rfm_reversals', 'rfm_snapshots', 'rfm_state', 'user_segments');
        SELECT * FROM economy.rfm_freshness_seen();
    END;
COMMENT ON FUNCTION economy.rfm_freshness() IS
    'How stale segments are: users whose row is no longer right and for how long the oldest of '
    'them, and how long the oldest thing that the last refresh took up had waited.';
