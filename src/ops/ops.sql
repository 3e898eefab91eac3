-- ops: the account as a whole, access

CREATE FUNCTION economy.account(user_id bigint)
    RETURNS TABLE (user_id bigint, gold bigint, experience_points bigint, level integer,
                   xp_into_level bigint, xp_to_next bigint, seq bigint, streak_day integer, last_claim_on date)
    LANGUAGE sql STABLE PARALLEL RESTRICTED SECURITY DEFINER ROWS 1
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT a.user_id, a.gold, a.experience_points, l.level, l.xp_into_level, l.xp_to_next, a.seq,
               s.streak_day, s.last_claim_on
        FROM economy.accounts a
        CROSS JOIN LATERAL economy.level_of(a.user_id, a.experience_points) l
        CROSS JOIN LATERAL economy.streak_state(a.user_id) s
        WHERE a.user_id = $1;
    END;
COMMENT ON FUNCTION economy.account(bigint) IS 'Balances, level on the user''s curve, streak as of now and newest seq; no row for an unknown user.';

CREATE FUNCTION economy.statement(user_id bigint, after_seq bigint DEFAULT 0, max integer DEFAULT 100)
    RETURNS TABLE (seq bigint, journal text, transaction_id text, gold_delta bigint, xp_delta bigint,
                   gold bigint, experience_points bigint, created_at timestamptz)
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT l.seq, l.journal, l.transaction_id, l.gold_delta, l.xp_delta, l.gold, l.experience_points, l.created_at
        FROM economy.ledger l WHERE l.user_id = $1 AND l.seq > $2 ORDER BY l.seq LIMIT least($3, 10000);
    END;
COMMENT ON FUNCTION economy.statement(bigint, bigint, integer) IS
    'A user''s entries after a seq, oldest first, at most max (10,000) of them.';

-- access

CREATE FUNCTION economy.access_list() RETURNS TABLE (level text, object text)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        VALUES
            ('app', 'FUNCTION economy.account(bigint)'),
            ('app', 'FUNCTION economy.asyncapi()'),
            ('app', 'FUNCTION economy.changes(text, integer)'),
            ('app', 'FUNCTION economy.claim_daily_reward(bigint)'),
            ('app', 'FUNCTION economy.game_stats_me(bigint)'),
            ('app', 'FUNCTION economy.record_action(bigint, text, text, text, bigint, bigint, text, jsonb)'),
            ('app', 'FUNCTION economy.record_actions(jsonb)'),
            ('app', 'FUNCTION economy.grant_reward(bigint, text, text, bigint, bigint, jsonb)'),
            ('app', 'FUNCTION economy.grant_rewards(jsonb)'),
            ('app', 'FUNCTION economy.level_for(bigint, text)'),
            ('app', 'FUNCTION economy.level_of(bigint, bigint)'),
            ('app', 'FUNCTION economy.now()'),
            ('app', 'FUNCTION economy.purchase(bigint, text, text, integer, jsonb, boolean)'),
            ('app', 'FUNCTION economy.receipt(bigint, text)'),
            ('app', 'FUNCTION economy.recommend(bigint, text)'),
            ('app', 'FUNCTION economy.recommendation_feedback(text, text)'),
            ('app', 'FUNCTION economy.register(text, text, jsonb)'),
            ('app', 'FUNCTION economy.replay(bigint, bigint, integer)'),
            ('app', 'FUNCTION economy.segment(bigint)'),
            ('app', 'FUNCTION economy.set_timezone(bigint, text)'),
            ('app', 'FUNCTION economy.statement(bigint, bigint, integer)'),
            ('app', 'FUNCTION economy.streak_preview(bigint, integer)'),
            ('app', 'FUNCTION economy.streak_reward(integer)'),
            ('app', 'FUNCTION economy.streak_state(bigint)'),
            ('app', 'FUNCTION economy.timezone_name(text)'),
            ('app', 'FUNCTION economy.user_id_of(text)'),
            ('app', 'FUNCTION economy.verify_receipt(bigint, text)'),
            ('admin', 'FUNCTION economy.add_stock(text, bigint, text, integer)'),
            ('admin', 'FUNCTION economy.adjust_gold(bigint, bigint, text, text, text)'),
            ('admin', 'FUNCTION economy.capture_actions()'),
            ('admin', 'FUNCTION economy.prune(interval, integer)'),
            ('admin', 'FUNCTION economy.register_game(text, jsonb)'),
            ('admin', 'FUNCTION economy.retire_product(text, text)'),
            ('admin', 'FUNCTION economy.retire_signing_key(integer)'),
            ('admin', 'FUNCTION economy.revoke_reward(bigint, text, text, text, bigint, bigint, text)'),
            ('admin', 'FUNCTION economy.rotate_signing_key()'),
            ('admin', 'FUNCTION economy.schedule()'),
            ('admin', 'FUNCTION economy.set_level_curve(text, bigint[])'),
            ('admin', 'FUNCTION economy.set_level_experiment(text, jsonb, boolean)'),
            ('admin', 'FUNCTION economy.set_recommendations(text, jsonb, jsonb, text)'),
            ('admin', 'FUNCTION economy.set_rfm_model(jsonb, text)'),
            ('admin', 'FUNCTION economy.set_segment_rules(jsonb, text)'),
            ('admin', 'FUNCTION economy.set_user_status(bigint, text, text)'),
            ('admin', 'FUNCTION economy.unschedule()'),
            ('admin', 'FUNCTION economy.upsert_product(jsonb, text)'),
            ('monitor', 'FUNCTION economy.account(bigint)'),
            ('monitor', 'FUNCTION economy.asyncapi()'),
            ('monitor', 'FUNCTION economy.audit_sweep(timestamptz)'),
            ('monitor', 'FUNCTION economy.audit_sweep_incremental(integer)'),
            ('monitor', 'FUNCTION economy.changes(text, integer)'),
            ('monitor', 'FUNCTION economy.game_stats_me(bigint)'),
            ('monitor', 'FUNCTION economy.progress()'),
            ('monitor', 'FUNCTION economy.relay_status()'),
            ('monitor', 'FUNCTION economy.beta_quantile(double precision, double precision, double precision)'),
            ('monitor', 'FUNCTION economy.recommendation_posteriors(text, text, timestamptz)'),
            ('monitor', 'FUNCTION economy.recommendation_stats(timestamptz)'),
            ('monitor', 'FUNCTION economy.rfm_bounds(text, regclass, timestamptz)'),
            ('monitor', 'FUNCTION economy.rfm_bounds_query(text, text, timestamptz)'),
            ('monitor', 'FUNCTION economy.rfm_freshness()'),
            ('monitor', 'FUNCTION economy.rfm_measure(economy.rfm_models, text, timestamptz)'),
            ('monitor', 'FUNCTION economy.rfm_measure_query(economy.rfm_models, text)'),
            ('monitor', 'FUNCTION economy.rfm_measured(economy.rfm_models, bigint, bigint, numeric[], numeric[], numeric[], boolean[], numeric[])'),
            ('monitor', 'FUNCTION economy.rfm_model(text)'),
            ('monitor', 'FUNCTION economy.rfm_passed(text, numeric[], text)'),
            ('monitor', 'FUNCTION economy.rfm_refresh(timestamptz)'),
            ('monitor', 'FUNCTION economy.rfm_refresh_incremental()'),
            ('monitor', 'FUNCTION economy.rfm_rule_ranges(jsonb, numeric, numeric, numeric)'),
            ('monitor', 'FUNCTION economy.rfm_rules()'),
            ('monitor', 'FUNCTION economy.rfm_score(text, regclass, timestamptz)'),
            ('monitor', 'FUNCTION economy.rfm_score_query(text, text, timestamptz)'),
            ('monitor', 'FUNCTION economy.require_given(text, boolean)'),
            ('monitor', 'FUNCTION economy.rfm_source(economy.rfm_models, text, timestamptz)'),
            ('monitor', 'FUNCTION economy.job_list()'),
            ('monitor', 'FUNCTION economy.rfm_report()'),
            ('monitor', 'FUNCTION economy.begin_job(text)'),
            ('monitor', 'FUNCTION economy.do_job(bigint)'),
            ('monitor', 'FUNCTION economy.outside_transaction()'),
            ('monitor', 'PROCEDURE economy.run_job(text, text)'),
            ('monitor', 'FUNCTION economy.segment(bigint)'),
            ('monitor', 'FUNCTION economy.segment_summary()'),
            ('monitor', 'FUNCTION economy.rollup_stats(integer)'),
            ('monitor', 'FUNCTION economy.stats_parity(integer)'),
            ('monitor', 'FUNCTION economy.wilson_interval(bigint, bigint)'),
            ('monitor', 'FUNCTION economy.win_rate_anomalies(text, double precision)'),
            ('monitor', 'FUNCTION economy.statement(bigint, bigint, integer)'),
            ('monitor', 'FUNCTION economy.verify_chain(bigint)'),
            ('monitor', 'FUNCTION economy.verify_receipt(bigint, text)');
    END;
COMMENT ON FUNCTION economy.access_list() IS 'What each access level may call; admin includes app and monitor.';

CREATE FUNCTION economy.change_access(action text, role name, level text) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    item record;
    direction text := CASE action WHEN 'grant' THEN 'TO' ELSE 'FROM' END;
BEGIN
    IF level IS NULL OR level NOT IN ('app', 'admin', 'monitor') THEN
        RAISE EXCEPTION 'access level must be app, admin or monitor' USING ERRCODE = 'XE801';
    END IF;
    IF role IS NULL OR NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = role) THEN
        RAISE EXCEPTION 'role "%" does not exist', role USING ERRCODE = 'XE801',
            HINT = 'Create it with CREATE ROLE; access is never given to PUBLIC.';
    END IF;
    EXECUTE format('%s USAGE ON SCHEMA economy %s %I', action, direction, role);
    FOR item IN SELECT DISTINCT a.object FROM economy.access_list() a
                WHERE a.level = change_access.level OR change_access.level = 'admin' LOOP
        EXECUTE format('%s %s ON %s %s %I', action, 'EXECUTE', item.object, direction, role);
    END LOOP;
END
$$;
COMMENT ON FUNCTION economy.change_access(text, name, text) IS 'Common part of grant_access() and revoke_access().';

CREATE FUNCTION economy.grant_access(role name, level text) RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC SELECT economy.change_access('grant', role, level); END;
COMMENT ON FUNCTION economy.grant_access(name, text) IS
    'Lets a role call what its level needs: app (play and buy), monitor (read figures, audit), admin (all). No level touches a table.';

CREATE FUNCTION economy.revoke_access(role name, level text) RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC SELECT economy.change_access('revoke', role, level); END;
COMMENT ON FUNCTION economy.revoke_access(name, text) IS
    'Takes a level away again, with everything it shares with other levels, and the use of the schema.';
