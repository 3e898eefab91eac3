\echo Use "ALTER EXTENSION economy UPDATE TO '0.2.0'" to load this file. \quit

SET LOCAL search_path TO pg_catalog, pg_temp;
SET LOCAL client_min_messages TO warning;

-- jobs are noted when they begin, by a procedure

ALTER TABLE economy.job_runs
    DROP CONSTRAINT job_runs_state_check,
    ADD CONSTRAINT job_runs_state_check CHECK (state IN ('running', 'done', 'failed', 'skipped', 'lost')),
    ALTER ended_at DROP NOT NULL,
    ADD CONSTRAINT job_runs_ended_check CHECK ((state = 'running') = (ended_at IS NULL));
CREATE UNIQUE INDEX job_runs_running_key ON economy.job_runs (job) WHERE state = 'running';
COMMENT ON COLUMN economy.job_runs.state IS
    'running; done; failed: all it did was rolled back; skipped: the run before it was still going; lost: killed, which the next run of the job finds.';
COMMENT ON COLUMN economy.job_runs.ended_at IS 'Null while it runs; when a lost run was found.';

CREATE FUNCTION economy.begin_job(job text) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    run economy.job_runs;
BEGIN
    PERFORM economy.require_given('job', job IS NOT NULL);
    IF NOT EXISTS (SELECT FROM economy.job_list() l WHERE l.job = begin_job.job) THEN
        RAISE EXCEPTION 'job "%" does not exist', left(job, 64) USING ERRCODE = 'XE002', HINT = 'See economy.job_list().';
    END IF;
    IF pg_try_advisory_xact_lock(hashtextextended('economy.job:' || job, 0)) THEN
        UPDATE economy.job_runs r SET state = 'lost', ended_at = clock_timestamp(), error = 'it had not ended, and was not going, when the next run began'
            WHERE r.job = begin_job.job AND r.state = 'running';
        INSERT INTO economy.job_runs (job, state, started_at) VALUES (job, 'running', clock_timestamp()) RETURNING * INTO run;
    ELSE
        INSERT INTO economy.job_runs (job, state, started_at, ended_at, error)
            VALUES (job, 'skipped', clock_timestamp(), clock_timestamp(), 'the run before is still going');
    END IF;
    RETURN run.run_id;
END
$$;
COMMENT ON FUNCTION economy.begin_job(text) IS
    'First transaction of run_job(): notes that a run begins, or that it is skipped, which is null, and tells the run before when that is lost.';

CREATE FUNCTION economy.do_job(run_id bigint) RETURNS text
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    run     economy.job_runs;
    number  bigint;
    message text;
    code    text;
BEGIN
    SELECT * INTO run FROM economy.job_runs r WHERE r.run_id = do_job.run_id;
    PERFORM pg_advisory_xact_lock(hashtextextended('economy.job:' || run.job, 0));
    PERFORM FROM economy.job_runs r WHERE r.run_id = do_job.run_id AND r.state = 'running' FOR UPDATE;
    IF NOT found THEN
        UPDATE economy.job_runs r SET state = 'skipped', error = 'another run overtook it' WHERE r.run_id = do_job.run_id AND r.state = 'lost';
        RETURN 'skipped';
    END IF;
    BEGIN
        EXECUTE (SELECT l.statement FROM economy.job_list() l WHERE l.job = run.job) INTO number;
    EXCEPTION WHEN OTHERS OR query_canceled THEN
        GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, code = RETURNED_SQLSTATE;
        message := format('%s: %s', code, message);
        RAISE WARNING 'job "%" failed', run.job USING DETAIL = message;
    END;
    UPDATE economy.job_runs r SET state = CASE WHEN message IS NULL THEN 'done' ELSE 'failed' END, ended_at = clock_timestamp(), rows = number, error = message
        WHERE r.run_id = do_job.run_id RETURNING * INTO run;
    RETURN run.state;
END
$$;
COMMENT ON FUNCTION economy.do_job(bigint) IS
    'Second transaction of run_job(): does the work and notes its end, also that of a failure.';

CREATE FUNCTION economy.outside_transaction() RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_outside_transaction';
COMMENT ON FUNCTION economy.outside_transaction() IS 'Raises 25001 inside a transaction block: run_job() commits.';

-- PostgreSQL lets no procedure commit that runs as its owner or has settings
CREATE PROCEDURE economy.run_job(job text, INOUT state text DEFAULT NULL)
    LANGUAGE plpgsql AS $$
DECLARE
    run_id bigint;
BEGIN
    PERFORM economy.outside_transaction();
    COMMIT;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
    run_id := economy.begin_job(job);
    COMMIT;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
    state := CASE WHEN run_id IS NULL THEN 'skipped' ELSE economy.do_job(run_id) END;
END
$$;
COMMENT ON PROCEDURE economy.run_job(text, text) IS
    'Runs a job of job_list() unless it runs already; job_runs shows the run from its begin on, and at its end whether it is done, failed or skipped, which is also the answer. An error of the job does not raise.';

REVOKE ALL ON ROUTINE economy.begin_job(text), economy.do_job(bigint), economy.outside_transaction(), economy.run_job(text, text) FROM PUBLIC;
DO $$
DECLARE
    holder regrole;
BEGIN
    FOR holder IN SELECT DISTINCT a.grantee FROM pg_proc p CROSS JOIN aclexplode(p.proacl) a
                  WHERE p.oid = 'economy.run_job(text)'::regprocedure AND a.grantee NOT IN (0, p.proowner) LOOP
        EXECUTE format('GRANT EXECUTE ON ROUTINE economy.begin_job(text), economy.do_job(bigint), economy.outside_transaction(), economy.run_job(text, text) TO %s', holder);
    END LOOP;
END
$$;
DROP FUNCTION economy.run_job(text);

CREATE OR REPLACE FUNCTION economy.cron_there() RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    home CONSTANT text := current_setting('cron.database_name', true);
BEGIN
    IF EXISTS (SELECT FROM pg_extension e WHERE e.extname = 'pg_cron') THEN
        RETURN;
    END IF;
    IF home <> current_database() THEN
        RAISE EXCEPTION 'pg_cron is not installed in this database' USING ERRCODE = 'XE802',
            DETAIL = format('It runs the jobs of the database "%s".', home),
            HINT = format('There, for each row of economy.job_list(): SELECT cron.schedule_in_database(''economy %1$s: '' || job, schedule, format(''CALL economy.run_job(%%L)'', job), %1$L); or set cron.database_name = %1$L, restart, and CREATE EXTENSION pg_cron here.', current_database());
    END IF;
    RAISE EXCEPTION 'pg_cron is not installed in this database' USING ERRCODE = 'XE802',
        HINT = format('Install it (Debian: postgresql-15-cron), add pg_cron to shared_preload_libraries, set cron.database_name = %L, restart, and CREATE EXTENSION pg_cron; or let another scheduler CALL economy.run_job().', current_database());
END
$$;

CREATE OR REPLACE FUNCTION economy.schedule() RETURNS TABLE (job text, schedule text, command text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    PERFORM economy.cron_there();
    FOR job, schedule IN SELECT l.job, l.schedule FROM economy.job_list() l LOOP
        command := format('CALL economy.run_job(%L)', job);
        EXECUTE 'SELECT cron.schedule($1, $2, $3)' USING 'economy: ' || job, schedule, command;
        RETURN NEXT;
    END LOOP;
END
$$;

-- the jobs call what is gone
DO $$
DECLARE
    scheduled boolean;
BEGIN
    IF EXISTS (SELECT FROM pg_extension e WHERE e.extname = 'pg_cron') THEN
        EXECUTE 'SELECT EXISTS (SELECT FROM cron.job j WHERE j.jobname LIKE ''economy: %'' AND j.database = current_database())' INTO scheduled;
        IF scheduled THEN
            PERFORM economy.schedule();
        END IF;
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION economy.access_list() RETURNS TABLE (level text, object text)
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
            ('monitor', 'FUNCTION economy.rfm_measure(economy.rfm_models, text)'),
            ('monitor', 'FUNCTION economy.rfm_measure_query(economy.rfm_models, text)'),
            ('monitor', 'FUNCTION economy.rfm_measured(economy.rfm_models, bigint, bigint, numeric[], numeric[], numeric[], numeric[])'),
            ('monitor', 'FUNCTION economy.rfm_model(text)'),
            ('monitor', 'FUNCTION economy.rfm_refresh(timestamptz)'),
            ('monitor', 'FUNCTION economy.rfm_refresh_incremental()'),
            ('monitor', 'FUNCTION economy.rfm_rule_ranges(jsonb, numeric, numeric)'),
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

-- SQL functions are planned at each call

CREATE OR REPLACE FUNCTION economy.draw_uniform(key text) RETURNS double precision
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    -- 52 bits of the hash, and a half: never 0 or 1
    RETURN (('x' || left(encode(sha256(convert_to(key, 'UTF8')), 'hex'), 13))::bit(52)::bigint + 0.5::double precision) / 4503599627370496;
END
$$;

CREATE OR REPLACE FUNCTION economy.product_offered(user_id bigint, product_id text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_variable
BEGIN
    IF product_id IS NULL THEN
        RETURN true;
    END IF;
    -- too little gold can change by the time of the click; stock is asked after it
    RETURN EXISTS (SELECT FROM economy.shop_products p WHERE p.product_id = product_offered.product_id
                   AND (p.stock_slots = 0 OR EXISTS (SELECT FROM economy.shop_stock s WHERE s.product_id = p.product_id AND s.remaining > 0)))
       AND (SELECT c.code IN ('OK', 'INSUFFICIENT_GOLD') FROM economy.purchase(user_id, product_id, 'recommend', 1, NULL, true) c);
END
$$;

-- a number on a cell of the middle can be read

CREATE OR REPLACE FUNCTION economy.svg_matrix(title text, row_title text, column_title text, cells jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH size AS (
            SELECT jsonb_array_length(cells -> 'rows') AS nrows, jsonb_array_length(cells -> 'columns') AS ncolumns,
                   (SELECT max(v.value::numeric) FROM jsonb_array_elements(cells -> 'values') r, jsonb_array_elements_text(r) v) AS most
        ), cell AS (
            SELECT r.ordinality AS y, c.ordinality AS x, c.value::numeric AS n
            FROM jsonb_array_elements(cells -> 'values') WITH ORDINALITY r, jsonb_array_elements_text(r.value) WITH ORDINALITY c
        )
        SELECT format('<svg role="img" viewBox="0 0 %s %s" width="%s" height="%s"><title>%s</title>',
                      130 + 84 * s.ncolumns, 60 + 40 * s.nrows, 130 + 84 * s.ncolumns, 60 + 40 * s.nrows, economy.html_text(title))
            || format('<text x="120" y="16" class="axis">%s &#8594;</text><text x="4" y="38" class="axis">%s &#8595;</text>',
                      economy.html_text(column_title), economy.html_text(row_title))
            || (SELECT coalesce(string_agg(format('<text x="%s" y="38" text-anchor="middle">%s</text>', 162 + 84 * (c.ordinality - 1), economy.html_text(c.value)), '' ORDER BY c.ordinality), '')
                FROM jsonb_array_elements_text(cells -> 'columns') WITH ORDINALITY c)
            || (SELECT coalesce(string_agg(format('<text x="112" y="%s" text-anchor="end">%s</text>', 71 + 40 * (r.ordinality - 1), economy.html_text(r.value)), '' ORDER BY r.ordinality), '')
                FROM jsonb_array_elements_text(cells -> 'rows') WITH ORDINALITY r)
            || (SELECT coalesce(string_agg(format('<rect x="%s" y="%s" width="80" height="36" fill="#1f6f8b" fill-opacity="%s"/><text x="%s" y="%s" text-anchor="middle" class="%s">%s</text>',
                        122 + 84 * (c.x - 1), 48 + 40 * (c.y - 1), round(0.04 + 0.96 * c.n / greatest(s.most, 1), 3),
                        162 + 84 * (c.x - 1), 71 + 40 * (c.y - 1), CASE WHEN c.n > s.most * 0.8 THEN 'light' ELSE 'dark' END, c.n), '' ORDER BY c.y, c.x), '') FROM cell c)
            || '</svg>'
        FROM size s;
    END;

-- more slots by default
CREATE OR REPLACE FUNCTION economy.add_stock(product_id text, units bigint, actor text, slots integer DEFAULT 32) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    product economy.shop_products;
    nslots  integer;
    total   bigint;
    part    bigint;
    rest    bigint;
    s       record;
BEGIN
    PERFORM economy.require_actor(actor);
    PERFORM economy.require_given('product_id', product_id IS NOT NULL);
    PERFORM economy.require_given('units', units IS NOT NULL);
    PERFORM economy.require_given('slots', slots IS NOT NULL);
    IF units NOT BETWEEN -9007199254740991 AND 9007199254740991 THEN
        RAISE EXCEPTION 'units must be a number up to 2^53-1' USING ERRCODE = 'XE303';
    END IF;
    IF slots NOT BETWEEN 1 AND 64 THEN
        RAISE EXCEPTION 'slots must be 1 to 64' USING ERRCODE = 'XE303';
    END IF;
    SELECT * INTO product FROM economy.shop_products p WHERE p.product_id = add_stock.product_id FOR NO KEY UPDATE;
    IF NOT found THEN
        RAISE EXCEPTION 'product "%" does not exist', product_id USING ERRCODE = 'XE302';
    END IF;
    nslots := product.stock_slots;
    IF nslots = 0 THEN
        nslots := slots;
        INSERT INTO economy.shop_stock SELECT product_id, n, 0 FROM generate_series(0, nslots - 1) n;
        UPDATE economy.shop_products p SET stock_slots = nslots WHERE p.product_id = add_stock.product_id;
    END IF;
    -- slots in their order, as a waiting buyer locks them
    PERFORM 1 FROM economy.shop_stock t WHERE t.product_id = add_stock.product_id ORDER BY t.slot FOR NO KEY UPDATE;
    SELECT sum(t.remaining) INTO total FROM economy.shop_stock t WHERE t.product_id = add_stock.product_id;
    IF total + units < 0 OR total + units > 9007199254740991 THEN
        RAISE EXCEPTION 'stock of "%" cannot change by %', product_id, units USING ERRCODE = 'XE303',
            DETAIL = format('It holds %s units; a stock is from 0 to 2^53-1.', total);
    END IF;
    -- even out: every slot gets its share of what there is now
    rest := total + units;
    FOR s IN SELECT t.slot FROM economy.shop_stock t WHERE t.product_id = add_stock.product_id ORDER BY t.slot LOOP
        part := (total + units) / nslots + CASE WHEN s.slot < (total + units) % nslots THEN 1 ELSE 0 END;
        UPDATE economy.shop_stock t SET remaining = part WHERE t.product_id = add_stock.product_id AND t.slot = s.slot;
        rest := rest - part;
    END LOOP;
    ASSERT rest = 0, 'slots must add up';
    INSERT INTO economy.shop_product_changes (product_id, action, actor, units, changed_at)
        VALUES (product_id, 'stock', actor, units, economy.now());
    RETURN total + units;
END
$$;

-- as quick however long the journal
CREATE OR REPLACE FUNCTION economy.rollup_stats(max_users integer DEFAULT 100000)
    RETURNS TABLE (users bigint, actions bigint, rows_written bigint)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    PERFORM economy.require_given('max_users', max_users IS NOT NULL);
    IF max_users < 1 THEN
        RAISE EXCEPTION 'max_users must be 1 or more' USING ERRCODE = 'XE002';
    END IF;
    -- one rollup at a time; the next one begins where this one ends
    PERFORM pg_advisory_xact_lock(hashtextextended('economy.rollup_stats', 0));
    RETURN QUERY
    WITH fresh AS MATERIALIZED (
        SELECT a.user_id, coalesce(p.seq, 0) AS after_seq, a.seq AS upto_seq
        FROM economy.accounts a LEFT JOIN economy.rollup_positions p USING (user_id)
        WHERE a.seq > coalesce(p.seq, 0) ORDER BY a.user_id LIMIT max_users
    ), counted AS MATERIALIZED (
        SELECT u.user_id, (u.created_at AT TIME ZONE 'UTC')::date AS day, u.game,
               count(*) AS total, count(*) FILTER (WHERE u.outcome = 'win') AS wins,
               count(*) FILTER (WHERE u.outcome = 'loss') AS losses, count(*) FILTER (WHERE u.outcome = 'draw') AS draws,
               max(u.win) AS max_win, sum(u.bet)::bigint AS bet_sum, sum(u.win)::bigint AS win_sum,
               max(u.created_at) AS last_action_at
        FROM fresh f CROSS JOIN LATERAL (
            SELECT * FROM economy.user_actions t
            WHERE t.user_id = f.user_id AND t.seq > f.after_seq AND t.seq <= f.upto_seq
            OFFSET 0) u     -- user by user: a join would read every action
        GROUP BY 1, 2, 3
    ), moved AS (
        INSERT INTO economy.rollup_positions AS p SELECT f.user_id, f.upto_seq FROM fresh f
            ON CONFLICT ON CONSTRAINT rollup_positions_pkey DO UPDATE SET seq = excluded.seq
    ), written AS (
        INSERT INTO economy.user_game_stats_summary AS s SELECT c.* FROM counted c
            ON CONFLICT ON CONSTRAINT user_game_stats_summary_pkey DO UPDATE SET
                total = s.total + excluded.total, wins = s.wins + excluded.wins,
                losses = s.losses + excluded.losses, draws = s.draws + excluded.draws,
                max_win = greatest(s.max_win, excluded.max_win),
                bet_sum = s.bet_sum + excluded.bet_sum, win_sum = s.win_sum + excluded.win_sum,
                last_action_at = greatest(s.last_action_at, excluded.last_action_at)
            RETURNING 1
    )
    SELECT (SELECT count(*) FROM fresh), (SELECT coalesce(sum(c.total), 0)::bigint FROM counted c), (SELECT count(*) FROM written);
END
$$;

-- cursors beyond the range of bigint, and from before a prune; what was pruned
-- before this update is not known
ALTER TABLE economy.installations ADD COLUMN pruned_xact bigint;
CREATE OR REPLACE FUNCTION economy.changes(cursor text DEFAULT NULL, max integer DEFAULT 1000)
    RETURNS TABLE (code text, user_id bigint, seq bigint, type text, event json, next_cursor text)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    -- epoch|old snapshot, or epoch|old|new|user|seq within a pair of snapshots
    parts   text[] := string_to_array($1, '|');
    epoch   text := economy.feed_epoch();
    nowhere CONSTANT text := '3:3:';
    old     pg_snapshot;
    new     pg_snapshot;
    u       bigint := -9223372036854775808;
    s       bigint := 0;
    entries integer := 0;
    r       record;
BEGIN
    PERFORM economy.require_given('max', max IS NOT NULL);
    IF max NOT BETWEEN 1 AND 10000 THEN
        RAISE EXCEPTION 'max must be from 1 to 10000' USING ERRCODE = 'XE002';
    END IF;
    IF $1 IS NULL THEN
        RETURN QUERY SELECT 'CAUGHT_UP', NULL::bigint, NULL::bigint, NULL, NULL::json, epoch || '|' || economy.feed_snapshot()::text;
        RETURN;
    END IF;
    IF $1 = 'start' THEN
        parts := ARRAY[epoch, nowhere];
    END IF;
    BEGIN
        old := parts[2]::pg_snapshot;
        new := coalesce(parts[3]::pg_snapshot, economy.feed_snapshot());
        u := coalesce(parts[4]::bigint, u);
        s := coalesce(parts[5]::bigint, s);
    EXCEPTION WHEN data_exception THEN
        old := NULL;
    END;
    IF old IS NULL OR cardinality(parts) NOT IN (2, 5) THEN
        RAISE EXCEPTION 'this is no cursor of economy.changes()' USING ERRCODE = 'XE002',
            HINT = 'Pass next_cursor of the last row of the call before, null to begin now, or start to begin with the first entry.';
    END IF;
    -- another cluster or timeline, or one that was set back, or some of it was pruned
    IF parts[1] <> epoch OR pg_snapshot_xmax(new) > pg_snapshot_xmax(economy.feed_snapshot())
       OR pg_snapshot_xmax(old) > pg_snapshot_xmax(new)
       OR old::text <> nowhere AND (SELECT i.pruned_xact FROM economy.installations i ORDER BY i.since DESC LIMIT 1)
                                   >= pg_snapshot_xmin(old)::text::bigint THEN
        RETURN QUERY SELECT 'RESYNC_REQUIRED', NULL::bigint, NULL::bigint, NULL, NULL::json, epoch || '|' || economy.feed_snapshot()::text;
        RETURN;
    END IF;
    FOR r IN SELECT b.user_id, b.seq, b.journal FROM economy.entries_between(old, new, u, s, max) b LOOP
        RETURN QUERY SELECT 'EVENT', r.user_id, r.seq, e.type, e.event, NULL FROM economy.entry_events(r.user_id, r.seq, r.journal) e;
        u := r.user_id;
        s := r.seq;
        entries := entries + 1;
    END LOOP;
    IF entries = max THEN
        RETURN QUERY SELECT 'MORE', NULL::bigint, NULL::bigint, NULL, NULL::json, concat_ws('|', epoch, old, new, u, s);
    ELSE
        RETURN QUERY SELECT 'CAUGHT_UP', NULL::bigint, NULL::bigint, NULL, NULL::json, epoch || '|' || new::text;
    END IF;
END
$$;
