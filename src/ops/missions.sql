-- ops: what missions would be, and what they are

CREATE FUNCTION economy.mission_dry_run(
    template jsonb, since timestamptz, until timestamptz DEFAULT NULL
) RETURNS TABLE (
        users bigint, entries bigint, incomplete bigint, progressed bigint, completed bigint,
        completions bigint, gold numeric, xp numeric, items jsonb
    )
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    -- in the order of the users, whatever their statistics say
    SET enable_seqscan = off SET jit = off AS $$
DECLARE
    mission economy.mission_templates;
    part    record;
    ids     bigint[];
    total   bigint;
    after   bigint := -9223372036854775808;
BEGIN
    PERFORM economy_internal.require_given('template', template IS NOT NULL);
    PERFORM economy_internal.require_given('since', since IS NOT NULL);
    until := coalesce(until, economy.now());
    IF since >= until THEN
        RAISE EXCEPTION 'since must be before until' USING ERRCODE = 'XE002';
    END IF;
    BEGIN
        SELECT (p.new_row).* INTO mission FROM economy_internal.put_mission(template) p;
        -- it is as it would be published, and is not
        RAISE EXCEPTION 'taken back';
    EXCEPTION WHEN raise_exception THEN
        IF mission.number IS NULL THEN
            RAISE;
        END IF;
    END;
    PERFORM economy_internal.open_tables('accounts');
    SELECT count(*) INTO total FROM economy.accounts;
    users := 0;
    entries := 0;
    incomplete := 0;
    progressed := 0;
    completed := 0;
    completions := 0;
    LOOP
        PERFORM economy_internal.report_progress(
            'mission_dry_run', users, greatest(total, users));
        ids := ARRAY(SELECT a.user_id FROM economy.accounts a WHERE a.user_id > after
                     ORDER BY a.user_id LIMIT 1000);
        EXIT WHEN cardinality(ids) = 0;
        after := ids[cardinality(ids)];
        SELECT * INTO STRICT part
            FROM economy_internal.mission_would_be(mission, since, until, ids);
        users := users + part.users;
        entries := entries + part.entries;
        incomplete := incomplete + part.incomplete;
        progressed := progressed + part.progressed;
        completed := completed + part.completed;
        completions := completions + part.completions;
    END LOOP;
    PERFORM economy_internal.report_progress(NULL, NULL, NULL);
    gold := mission.gold::numeric * completions;
    xp := mission.xp::numeric * completions;
    items := (SELECT jsonb_object_agg(i.key, i.value::numeric * completions)
              FROM jsonb_each_text(mission.items) i);
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION economy.mission_dry_run(jsonb, timestamptz, timestamptz) IS
    'What a mission would have been, had it been published at since and ended at until: how many '
    'users would have got on in it and completed it, how often, and what that would have paid. '
    'Valid is what publish_mission() takes; starts_at and ends_at of the template are not asked. '
    'Changes nothing; progress in economy.progress(). XE403 for one that is not valid.';

CREATE FUNCTION economy_internal.mission_figures(only_mission text) RETURNS TABLE (
        mission text, version integer, published_at timestamptz, ended_at timestamptz,
        joined bigint, active bigint, completed bigint, claimed bigint,
        claims bigint, taken_back bigint, gold numeric, xp numeric, to_complete interval
    )
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp SET jit = off
    BEGIN ATOMIC
        WITH asked AS MATERIALIZED (
            SELECT t FROM economy.mission_templates t
            WHERE only_mission IS NULL OR t.mission = only_mission
        ), stands AS MATERIALIZED (
            SELECT p.number, count(*) AS joined, sum(p.active)::bigint AS active,
                   sum(p.completed)::bigint AS completed, sum(p.claimed)::bigint AS claimed
            FROM economy.accounts a
            LEFT JOIN economy_internal.mission_progress_more m ON m.user_id = a.user_id
            CROSS JOIN LATERAL (
                SELECT r.number, count(*) FILTER (WHERE r.state = 0) AS active,
                       count(*) FILTER (WHERE r.state = 1) AS completed,
                       count(*) FILTER (WHERE r.state = 2) AS claimed
                FROM economy_internal.mission_progress_of(a.sections, m.progress) r
                GROUP BY r.number) p
            WHERE a.sections IS NOT NULL
            GROUP BY p.number
        ), back AS MATERIALIZED (
            SELECT r.user_id, r.reverses, sum(r.gold_delta) AS gold, sum(r.xp_delta) AS xp
            FROM economy.reward_audit r WHERE r.reverses IS NOT NULL GROUP BY 1, 2
        ), paid AS MATERIALIZED (
            -- a range, as texts have here: those that begin so
            SELECT r.source, r.details ->> 'version' AS version, count(*) AS claims,
                   count(b.user_id) AS taken_back,
                   sum(r.gold_delta) + coalesce(sum(b.gold), 0) AS gold,
                   sum(r.xp_delta) + coalesce(sum(b.xp), 0) AS xp
            FROM economy.reward_audit r
            LEFT JOIN back b ON b.user_id = r.user_id AND b.reverses = r.seq
            WHERE r.source >= 'economy:mission:' AND r.source < 'economy:mission;'
              AND r.reverses IS NULL
            GROUP BY 1, 2
        ), drawn AS MATERIALIZED (
            SELECT p.number, p.period, a.user_id, p.since
            FROM economy.accounts a
            LEFT JOIN economy_internal.mission_progress_more m ON m.user_id = a.user_id
            CROSS JOIN LATERAL economy_internal.mission_progress_of(a.sections, m.progress) p
            JOIN stands n ON n.number = p.number
            WHERE a.sections IS NOT NULL AND p.state > 0
              AND (hashint8extended(a.user_id, 0) & 1048575)
                  % greatest((n.completed + n.claimed) / 200, 1) = 0
        ), took AS MATERIALIZED (
            SELECT k.number, percentile_disc(0.5) WITHIN GROUP (ORDER BY k.took) AS to_complete
            FROM (SELECT s.number,
                         -- not joined: the entries of all would be read
                         (SELECT l.created_at FROM economy.ledger l
                          WHERE l.user_id = s.user_id AND l.seq = s.since)
                         - greatest((q.t).starts_at, economy_internal.mission_period_starts(
                                        (q.t).period, s.period)) AS took
                  FROM drawn s JOIN asked q ON (q.t).number = s.number
                  -- when a run begins is not known
                  WHERE (q.t).period !~ '^repeat') k
            GROUP BY 1
        )
        SELECT (k.t).mission, (k.t).version, (k.t).published_at,
               least((k.t).ends_at, (k.t).retired_at), coalesce(n.joined, 0),
               coalesce(n.active, 0), coalesce(n.completed, 0), coalesce(n.claimed, 0),
               coalesce(p.claims, 0), coalesce(p.taken_back, 0), coalesce(p.gold, 0),
               coalesce(p.xp, 0), o.to_complete
        FROM asked k
        LEFT JOIN stands n ON n.number = (k.t).number
        LEFT JOIN paid p ON p.source = 'economy:mission:' || (k.t).mission
                        AND p.version = (k.t).version::text
        LEFT JOIN took o ON o.number = (k.t).number
        ORDER BY (k.t).mission, (k.t).version;
    END;
COMMENT ON FUNCTION economy_internal.mission_figures(text) IS
    'mission_stats(), as one snapshot sees it.';

CREATE FUNCTION economy.mission_stats(only_mission text DEFAULT NULL) RETURNS TABLE (
        mission text, version integer, published_at timestamptz, ended_at timestamptz,
        joined bigint, active bigint, completed bigint, claimed bigint,
        claims bigint, taken_back bigint, gold numeric, xp numeric, to_complete interval
    )
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    PERFORM economy_internal.open_all_tables();
    RETURN QUERY SELECT * FROM economy_internal.mission_figures(only_mission);
END
$$;
COMMENT ON FUNCTION economy.mission_stats(text) IS
    'How missions go, a row per version: users who have joined, and their periods that are '
    'active, completed and claimed, as far as progress stands; all claims, what of them was taken '
    'back, and what they have paid; how long it took half of some 200 of those who completed it. '
    'Reads all accounts twice, and all rewards.';
