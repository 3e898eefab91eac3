-- segment: the figures of the report that tools/economy_report draws

CREATE FUNCTION economy_internal.segment_figures_seen() RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC' SET jit = off
    BEGIN ATOMIC
        SELECT jsonb_build_object(
            'as_of', t.as_of,
            'snapshot', jsonb_build_object(
                'snapshot_id', s.snapshot_id, 'as_of', s.as_of, 'model', s.model ->> 'model',
                'users', s.users, 'active', s.active, 'p60', s.p60, 'p95', s.p95,
                'degenerate', s.degenerate),
            'segments', (
                SELECT jsonb_agg(to_jsonb(g)) FROM economy_internal.segment_summary_seen() g),
            'scores', (
                SELECT coalesce(jsonb_agg(to_jsonb(c) ORDER BY c.r DESC, c.f), '[]')
                FROM (SELECT u.r, u.f, count(*) AS users FROM economy.user_segments u
                      WHERE u.frequency > 0 GROUP BY u.r, u.f) c),
            -- orders of magnitude, each in three: from 1, 2 and 5
            'monetary', (
                SELECT coalesce(jsonb_agg(to_jsonb(b) ORDER BY b.least), '[]')
                FROM (SELECT CASE WHEN u.monetary > 0 THEN (
                                 power(10::numeric, length(u.monetary::text) - 1)
                                 * CASE WHEN left(u.monetary::text, 1) >= '5' THEN 5
                                        WHEN left(u.monetary::text, 1) >= '2' THEN 2
                                        ELSE 1 END)::bigint ELSE 0 END AS least,
                             count(*) AS users
                      FROM economy.user_segments u WHERE u.frequency > 0 GROUP BY 1) b),
            'moves', (
                SELECT coalesce(jsonb_agg(jsonb_build_object(
                           'from', m.from_segment, 'to', m.to_segment, 'changes', m.changes)
                           ORDER BY m.from_segment, m.to_segment), '[]')
                FROM (SELECT h.from_segment, h.to_segment, count(*) AS changes
                      FROM economy.segment_history h
                      WHERE h.changed_at > t.as_of - interval '30 days' GROUP BY 1, 2) m))
        FROM economy.rfm_state t JOIN economy.rfm_snapshots s USING (snapshot_id);
    END;
COMMENT ON FUNCTION economy_internal.segment_figures_seen() IS
    'segment_figures(), once its tables are open.';

CREATE FUNCTION economy.segment_figures() RETURNS jsonb
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.open_tables(
            'accounts', 'rfm_snapshots', 'rfm_state', 'segment_history', 'user_segments');
        SELECT economy_internal.segment_figures_seen();
    END;
COMMENT ON FUNCTION economy.segment_figures() IS
    'What economy_report draws, of one moment: the snapshot in force, segment sizes, users by '
    'recency and frequency and by monetary value, and movement between segments in 30 days; '
    'null before the first refresh.';
