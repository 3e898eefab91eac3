-- segment: what applications and monitors read

CREATE FUNCTION economy_internal.segment_seen(
    user_id bigint,
    OUT segment text, OUT r integer, OUT f integer, OUT m integer, OUT score numeric,
    OUT recency_days integer, OUT frequency bigint, OUT monetary bigint, OUT degenerate boolean,
    OUT segment_since timestamptz, OUT scored_at timestamptz, OUT snapshot_id bigint
) RETURNS SETOF record
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER ROWS 1
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    state    economy.rfm_state;
    snapshot economy.rfm_snapshots;
BEGIN
    PERFORM economy_internal.require_given('user_id', user_id IS NOT NULL);
    SELECT * INTO state FROM economy.rfm_state;
    SELECT * INTO snapshot FROM economy.rfm_snapshots s WHERE s.snapshot_id = state.snapshot_id;
    -- who never bought has no row, and is scored here, with no bucket at all
    RETURN QUERY
        SELECT (a.x).segment, (a.x).r::integer, (a.x).f::integer, (a.x).m::integer,
               (snapshot.model ->> 'recency_weight')::numeric * (a.x).r
                   + (snapshot.model ->> 'frequency_weight')::numeric * (a.x).f
                   + (snapshot.model ->> 'monetary_weight')::numeric * (a.x).m,
               -- where nothing clamps it, who had bought nothing by then has no recency
               nullif((a.x).recency_days,
                      CASE WHEN snapshot.model ->> 'recency_clamp' IS NULL THEN 1000000 END),
               (a.x).frequency, (a.x).monetary, snapshot.degenerate <> '{}',
               -- a row that the refresh has not reached yet will say the same
               CASE WHEN u.user_id >= state.next_user AND u.segment IS DISTINCT FROM (a.x).segment
                    THEN state.as_of ELSE u.segment_since END,
               state.as_of, snapshot.snapshot_id
        FROM economy.accounts k LEFT JOIN economy.user_segments u USING (user_id)
        CROSS JOIN LATERAL (
            SELECT economy_internal.rfm_assess(k.user_id, coalesce(u.buckets, ''), state.as_of,
                                      snapshot.program, snapshot.segments,
                                      NULL, NULL, NULL, NULL, NULL, NULL, NULL) AS x OFFSET 0) a
        WHERE k.user_id = segment_seen.user_id AND state.snapshot_id IS NOT NULL;
END
$$;
COMMENT ON FUNCTION economy_internal.segment_seen(bigint) IS
    'What segment() answers, under its snapshot.';

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

CREATE FUNCTION economy_internal.segment_summary_seen(
    OUT segment text, OUT users bigint, OUT share numeric, OUT active bigint, OUT frequency numeric,
    OUT monetary numeric
) RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH snapshot AS (
            SELECT s.rules, s.p50, s.p60, s.p95, economy_internal.rfm_never_bought(s) AS never
            FROM economy.rfm_snapshots s JOIN economy.rfm_state t USING (snapshot_id)
        ), counted AS (
            -- a row that the first refresh has not reached is of somebody who was in no other
            SELECT coalesce(u.segment, s.never) AS segment, count(*) AS users,
                   count(*) FILTER (WHERE u.frequency > 0) AS active,
                   sum(u.frequency) AS frequency, sum(u.monetary) AS monetary
            FROM snapshot s CROSS JOIN economy.user_segments u GROUP BY 1
            UNION ALL
            SELECT s.never,
                   (SELECT count(*) FROM economy.accounts)
                       - (SELECT count(*) FROM economy.user_segments), 0, 0, 0
            FROM snapshot s
        ), listed AS (
            SELECT g.segment, min(g.position) AS position
            FROM snapshot s
            CROSS JOIN LATERAL economy.rfm_rule_ranges(s.rules, s.p50, s.p60, s.p95) g
            GROUP BY 1
        )
        -- what the job has not reached may be in a segment that only the rules of before had
        SELECT segment, coalesce(sum(c.users), 0)::bigint,
               round(coalesce(sum(c.users), 0) / nullif(sum(sum(c.users)) OVER (), 0), 4),
               coalesce(sum(c.active), 0)::bigint, coalesce(sum(c.frequency), 0),
               coalesce(sum(c.monetary), 0)
        FROM listed l FULL JOIN counted c USING (segment)
        GROUP BY segment, l.position ORDER BY l.position, segment;
    END;
COMMENT ON FUNCTION economy_internal.segment_summary_seen() IS
    'segment_summary(), once its tables are open.';

CREATE FUNCTION economy.segment_summary()
    RETURNS TABLE (
        segment text, users bigint, share numeric, active bigint, frequency numeric,
        monetary numeric
    )
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.open_tables(
            'accounts', 'rfm_snapshots', 'rfm_state', 'user_segments');
        SELECT * FROM economy_internal.segment_summary_seen();
    END;
COMMENT ON FUNCTION economy.segment_summary() IS
    'Size of each segment as of the last refresh: users, their share, those with a purchase in the '
    'window, purchases and their sum in it.';

CREATE FUNCTION economy_internal.rfm_freshness_seen(
    OUT snapshot_id bigint, OUT snapshot_as_of timestamptz, OUT as_of timestamptz,
    OUT stale_users bigint, OUT oldest_stale_age interval, OUT last_change_lag interval
)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, economy, pg_temp SET jit = off AS $$
DECLARE
    state  economy.rfm_state;
    now    CONSTANT timestamptz := economy.now();
    unseen bigint;
BEGIN
    SELECT * INTO state FROM economy.rfm_state;
    unseen := coalesce(economy_internal.rfm_unsee(state), 0);
    snapshot_id := state.snapshot_id;
    SELECT s.as_of INTO snapshot_as_of FROM economy.rfm_snapshots s
        WHERE s.snapshot_id = state.snapshot_id;
    as_of := state.as_of;
    last_change_lag := state.change_lag;
    -- EXECUTE, so that it is planned for the position of now: a monitor's session lives long,
    -- and a plan that it keeps may read the journal whole
    EXECUTE $query$
        SELECT count(DISTINCT s.user_id), $2 - min(s.at) FROM (
            SELECT t.user_id, t.created_at AS at FROM economy_internal.rfm_unfolded t
            WHERE t.position >= $3 AND t.xact >= $1
              AND ($1 = 0 OR t.xact < pg_snapshot_xmax(pg_current_snapshot())::text::bigint
                   OR t.xact = pg_current_xact_id_if_assigned()::text::bigint)
            UNION ALL
            SELECT u.user_id, u.next_change_at FROM economy_internal.rfm_awaited($2) u) s
        $query$ INTO stale_users, oldest_stale_age
        USING unseen, now, economy_internal.position_of(unseen);
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_freshness_seen() IS
    'rfm_freshness(), once its tables are open.';

CREATE FUNCTION economy.rfm_freshness()
    RETURNS TABLE (
        snapshot_id bigint, snapshot_as_of timestamptz, as_of timestamptz, stale_users bigint,
        oldest_stale_age interval, last_change_lag interval
    )
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 1
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.open_tables(
            'shop_transactions', 'archived_keys', 'economy_internal.rfm_reversals',
            'economy_internal.rfm_due',
            'rfm_snapshots', 'rfm_state', 'user_segments');
        SELECT * FROM economy_internal.rfm_freshness_seen();
    END;
COMMENT ON FUNCTION economy.rfm_freshness() IS
    'How stale segments are: users whose row is no longer right and for how long the oldest of '
    'them, and how long the oldest thing that the last refresh took up had waited.';
