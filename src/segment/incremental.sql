-- segment: the incremental refresh

CREATE FUNCTION economy.rfm_refresh_incremental()
    RETURNS TABLE (snapshot_id bigint, users_scored bigint, users_changed bigint)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD'
    -- few of many users: their rows are looked up
    SET work_mem = '64MB' SET jit = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    state    economy.rfm_state;
    snapshot economy.rfm_snapshots;
    as_of    timestamptz;
    seen     bigint;
    oldest   timestamptz;
    told     bigint;
BEGIN
    PERFORM set_config('work_mem', economy_internal.rfm_setting('economy.rfm_memory'), true);
    state := economy_internal.rfm_lock();
    IF state.snapshot_id IS NULL THEN
        RETURN QUERY SELECT * FROM economy.rfm_refresh();
        RETURN;
    END IF;
    -- never back in time: the rows describe one moment
    as_of := greatest(economy.now(), state.as_of);
    SELECT * INTO snapshot FROM economy.rfm_snapshots s WHERE s.snapshot_id = state.snapshot_id;
    seen := pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
    PERFORM economy_internal.rfm_apply_reversals();
    -- EXECUTE, so that it is planned for the tables as they are now: a plan that the session
    -- keeps is for those of its first refresh
    EXECUTE $query$
        WITH fresh AS MATERIALIZED (
            SELECT * FROM economy_internal.rfm_fresh
        ), touched AS (
            SELECT f.place, f.user_id, f.seq, f.since, f.buckets, f.frequency, f.monetary,
                   f.segment_since, f.next_change_at, coalesce(f.changes, 0) AS changes,
                   f.r, f.f, f.m, CASE WHEN f.place IS NULL THEN $5 ELSE f.segment END AS segment
            FROM fresh f
            UNION ALL
            SELECT u.ctid, u.user_id, u.seq, u.next_change_at, u.buckets, u.frequency, u.monetary,
                   u.segment_since, u.next_change_at, u.changes, u.r, u.f, u.m, u.segment
            FROM economy.user_segments u
            WHERE u.next_change_at <= $1 AND u.user_id NOT IN (SELECT f.user_id FROM fresh f)
        ), assessed AS MATERIALIZED (
            SELECT t.*, economy_internal.rfm_assess(t.user_id, t.buckets, $1, $2, $3, t.frequency,
                                           t.monetary, t.r, t.f, t.m, t.segment,
                                           t.next_change_at) AS a
            FROM touched t OFFSET 0
        ), changed AS MATERIALIZED (
            SELECT c.place, c.user_id, c.seq,
                   coalesce((c.a).frequency, c.frequency) AS frequency,
                   coalesce((c.a).monetary, c.monetary) AS monetary,
                   CASE WHEN c.segment IS DISTINCT FROM coalesce((c.a).segment, c.segment)
                        THEN $1 ELSE c.segment_since END AS segment_since,
                   coalesce((c.a).next_change_at, c.next_change_at) AS next_change_at,
                   c.changes + coalesce(c.segment <> (c.a).segment, false)::integer AS changes,
                   coalesce((c.a).r, c.r) AS r,
                   coalesce((c.a).f, c.f) AS f,
                   coalesce((c.a).m, c.m) AS m,
                   coalesce((c.a).segment, c.segment) AS segment, c.buckets
            FROM assessed c
        ), updated AS (
            -- by ctid: nobody else writes there, so rows stay in their place
            UPDATE economy.user_segments u SET
                seq = c.seq, frequency = c.frequency, monetary = c.monetary,
                segment_since = c.segment_since, next_change_at = c.next_change_at,
                changes = c.changes, r = c.r, f = c.f, m = c.m, segment = c.segment,
                buckets = c.buckets
            FROM changed c WHERE u.ctid = c.place
            RETURNING 1
        ), inserted AS (
            INSERT INTO economy.user_segments
            SELECT c.user_id, c.seq, c.frequency, c.monetary, c.segment_since, c.next_change_at,
                   c.changes, c.r, c.f, c.m, c.segment, c.buckets
            FROM changed c WHERE c.place IS NULL
            RETURNING 1
        ), remembered AS (
            INSERT INTO economy.segment_history
            SELECT c.user_id, c.changes + 1, c.segment, (c.a).segment, $1, $4
            FROM assessed c WHERE c.segment <> (c.a).segment
        )
        SELECT (SELECT count(*) FROM assessed),
               (SELECT count(*) FROM updated) + (SELECT count(*) FROM inserted),
               -- a reversal is taken up without a moment of its own
               (SELECT min(c.since) FROM assessed c WHERE isfinite(c.since)),
               (SELECT count(economy_internal.publish_profile(
                           c.user_id, 'segment', c.segment, (c.a).segment))
                FROM assessed c WHERE c.segment <> (c.a).segment)
        $query$ INTO users_scored, users_changed, oldest, told
        USING as_of, snapshot.program, snapshot.segments, snapshot.snapshot_id,
              economy_internal.rfm_never_bought(snapshot);
    PERFORM economy_internal.rfm_advance(
        snapshot.snapshot_id, as_of, seen, as_of - oldest, state.summarised);
    snapshot_id := snapshot.snapshot_id;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION economy.rfm_refresh_incremental() IS
    'Scores the users with new purchases, and those whose window slid or whose recency crossed a '
    'bound, by the newest snapshot; the first call is a full rfm_refresh().';
