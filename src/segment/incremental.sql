-- segment: the incremental refresh

CREATE FUNCTION economy_internal.rfm_renew(
    transaction bigint, due bigint[], as_of timestamptz, program bigint[], segments text[],
    snapshot_id bigint,
    OUT user_id bigint, OUT since timestamptz, OUT before text, OUT segment text
) RETURNS SETOF record
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_rfm_renew';
COMMENT ON FUNCTION economy_internal.rfm_renew(
    bigint, bigint[], timestamptz, bigint[], text[], bigint) IS
    'Takes up the purchases of a transaction and later ones, and scores their users and those of '
    'due who are, with segment_history and rfm_due: since when it had waited, and the segment '
    'before and now when it is another.';

CREATE FUNCTION economy.rfm_refresh_incremental()
    RETURNS TABLE (snapshot_id bigint, users_scored bigint, users_changed bigint)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD'
    SET work_mem = '64MB' SET jit = off AS $$
DECLARE
    state    economy.rfm_state;
    snapshot economy.rfm_snapshots;
    as_of    timestamptz;
    seen     bigint;
    due      bigint[];
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
    due := economy_internal.rfm_take_due(as_of);
    SELECT count(*),
           -- a reversal is taken up without a moment of its own
           min(n.since) FILTER (WHERE isfinite(n.since)),
           count(economy_internal.publish_profile(n.user_id, 'segment', n.before, n.segment))
               FILTER (WHERE n.segment IS NOT NULL)
    INTO users_scored, oldest, told
    FROM economy_internal.rfm_renew(
        economy_internal.rfm_unsee(state), due, as_of, snapshot.program, snapshot.segments,
        snapshot.snapshot_id) n;
    users_changed := users_scored;
    PERFORM economy_internal.rfm_advance(
        snapshot.snapshot_id, as_of, seen, as_of - oldest, state.summarised);
    snapshot_id := snapshot.snapshot_id;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION economy.rfm_refresh_incremental() IS
    'Scores the users with new purchases, and those whose window slid or whose recency crossed a '
    'bound, by the newest snapshot; the first call is a full rfm_refresh().';
