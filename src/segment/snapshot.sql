-- segment: a model, its bounds and the rules, frozen and compiled; a user is scored by that

CREATE FUNCTION economy_internal.rfm_assess(
    user_id bigint, buckets bytea, as_of timestamptz, program bigint[], segments text[],
    before_frequency bigint, before_monetary bigint, before_r smallint, before_f smallint,
    before_m smallint, before_segment text, before_next_change_at timestamptz,
    OUT frequency bigint, OUT monetary bigint, OUT r smallint, OUT f smallint, OUT m smallint,
    OUT segment text, OUT next_change_at timestamptz, OUT recency_days integer
)
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_rfm_assess';
COMMENT ON FUNCTION economy_internal.rfm_assess(
    bigint, bytea, timestamptz, bigint[], text[], bigint, bigint, smallint, smallint, smallint,
    text, timestamptz) IS
    'Scores and segment of a user by a compiled snapshot; '
    'null when they are what they were before.';

CREATE FUNCTION economy_internal.rfm_program(
    snapshot economy.rfm_snapshots,
    OUT program bigint[], OUT segments text[]
)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH axis (n, name, bounds) AS (
            VALUES (1, 'recency', snapshot.recency_bounds),
                   (2, 'frequency', snapshot.frequency_bounds),
                   (3, 'monetary', snapshot.monetary_bounds)
        ), ranges AS (
            SELECT g.* FROM economy.rfm_rule_ranges(
                snapshot.rules, snapshot.p50, snapshot.p60, snapshot.p95) g
        ), word (part, n, value) AS (
            SELECT 1, 1, coalesce((snapshot.model ->> 'window_days')::bigint * 86400000000, 0)
            UNION ALL
            SELECT 1, 2, coalesce((snapshot.model ->> 'recency_clamp')::bigint, 1000000)
            UNION ALL
            SELECT 1, 3, (snapshot.model ->> 'population' = 'all')::integer
            UNION ALL
            SELECT 2, a.n, (a.name = ANY (snapshot.degenerate))::integer FROM axis a
            UNION ALL
            -- the least whole number that has passed the bound
            SELECT 3, a.n * 10 + i,
                   coalesce(CASE snapshot.model ->> (a.name || '_kind')
                                WHEN 'quantile_plus_one' THEN ceil(a.bounds[i])
                                ELSE floor(a.bounds[i]) + 1 END::bigint, 0)
            FROM axis a CROSS JOIN generate_series(1, 4) i
            UNION ALL
            SELECT 4, g.position * 10 + v.n, v.value
            FROM ranges g
            CROSS JOIN LATERAL (VALUES
                (1, coalesce(g.bought::integer, -1)),
                (2, g.recency_from), (3, g.recency_to),
                (4, g.frequency_from), (5, g.frequency_to),
                (6, greatest(ceil(g.monetary_from), floor(g.monetary_above) + 1,
                             -9223372036854775807)::bigint),
                (7, least(ceil(g.monetary_below) - 1, floor(g.monetary_to),
                          9223372036854775807)::bigint)) v (n, value)
        )
        SELECT (SELECT array_agg(w.value ORDER BY w.part, w.n) FROM word w),
               (SELECT array_agg(g.segment ORDER BY g.position) FROM ranges g);
    END;
COMMENT ON FUNCTION economy_internal.rfm_program(economy.rfm_snapshots) IS
    'A snapshot''s model, bounds and rules in the form that rfm_assess() takes.';

CREATE FUNCTION economy_internal.rfm_with_bounds(
    snapshot economy.rfm_snapshots, bounds economy.score_bounds
) RETURNS economy.rfm_snapshots
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
COMMENT ON FUNCTION economy_internal.rfm_with_bounds(economy.rfm_snapshots, economy.score_bounds) IS
    'The snapshot with what was measured for it.';

CREATE FUNCTION economy_internal.rfm_never_bought(snapshot economy.rfm_snapshots) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT g.segment
        FROM economy.rfm_rule_ranges(snapshot.rules, snapshot.p50, snapshot.p60, snapshot.p95) g
        WHERE NOT coalesce(g.bought, false) AND g.frequency_from = 0
          AND 0 >= g.monetary_from AND 0 > g.monetary_above
          AND 0 < g.monetary_below
          AND coalesce((snapshot.model ->> 'recency_clamp')::bigint, 1000000)
              BETWEEN g.recency_from AND g.recency_to
        ORDER BY g.position LIMIT 1;
    END;
COMMENT ON FUNCTION economy_internal.rfm_never_bought(economy.rfm_snapshots) IS
    'The segment of users that never bought anything.';
