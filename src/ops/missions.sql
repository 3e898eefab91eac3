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
