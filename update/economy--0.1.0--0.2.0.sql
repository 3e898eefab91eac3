-- complain if the script is sourced in psql rather than run by ALTER EXTENSION
\echo Use "ALTER EXTENSION economy UPDATE TO '0.2.0'" to load this file. \quit

SET LOCAL search_path TO pg_catalog, pg_temp;
SET LOCAL client_min_messages TO warning;

-- a run of a job is a row from its beginning
ALTER TABLE economy.job_runs DROP CONSTRAINT job_runs_state_check;
ALTER TABLE economy.job_runs ALTER COLUMN ended_at DROP NOT NULL,
    ADD CONSTRAINT job_runs_state_check CHECK (state IN ('running', 'done', 'failed', 'skipped', 'lost')),
    ADD CONSTRAINT job_runs_ended_check CHECK ((state = 'running') = (ended_at IS NULL));
CREATE INDEX job_runs_running_idx ON economy.job_runs (job) WHERE state = 'running';
COMMENT ON COLUMN economy.job_runs.state IS
    'running; done; failed: all it did was rolled back; skipped: the run before it was still going; lost: its session ended before it did.';
COMMENT ON COLUMN economy.job_runs.ended_at IS 'Null while it runs; of a lost run, when that was found.';

CREATE TEMP TABLE caller ON COMMIT DROP AS
    SELECT a.grantee FROM pg_proc p, aclexplode(p.proacl) a
    WHERE p.oid = 'economy.run_job(text)'::regprocedure AND a.grantee NOT IN (0, p.proowner);
DROP FUNCTION economy.run_job(text);

-- One run at a time holds the job's advisory lock, from the transaction that
-- notes the run until the end of the one that does it. A run without it is lost.

CREATE FUNCTION economy.job_lock(job text) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC SELECT hashtextextended('economy.job:' || job, 0); END;
COMMENT ON FUNCTION economy.job_lock(text) IS 'Key of the advisory lock that a run of the job holds.';

CREATE FUNCTION economy.release_job(job text) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET client_min_messages = error AS $$
BEGIN
    -- the last time there is nothing to give back, with a warning
    WHILE pg_advisory_unlock(economy.job_lock(job)) LOOP
    END LOOP;
END
$$;
COMMENT ON FUNCTION economy.release_job(text) IS 'Gives back what this session holds of the job''s lock beyond the transaction.';

CREATE FUNCTION economy.begin_job(job text) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    key     bigint;
    free    boolean;
    run_id  bigint;
BEGIN
    IF job IS NULL THEN
        RAISE EXCEPTION 'job must not be null' USING ERRCODE = 'XE001';
    END IF;
    IF NOT EXISTS (SELECT FROM economy.job_list() l WHERE l.job = begin_job.job) THEN
        RAISE EXCEPTION 'job "%" does not exist', left(job, 64) USING ERRCODE = 'XE002', HINT = 'See economy.job_list().';
    END IF;
    key := economy.job_lock(job);
    free := pg_try_advisory_xact_lock(key);
    BEGIN
        UPDATE economy.job_runs r SET state = 'lost', ended_at = clock_timestamp(), error = 'the session ended before the run did'
        WHERE r.state = 'running' AND CASE WHEN r.job = begin_job.job THEN free ELSE NOT EXISTS (
            SELECT FROM pg_locks l
            WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
              AND l.classid::bigint = (economy.job_lock(r.job) >> 32) & 4294967295 AND l.objid::bigint = economy.job_lock(r.job) & 4294967295) END;
    EXCEPTION WHEN serialization_failure THEN
        -- another session has told
        NULL;
    END;
    INSERT INTO economy.job_runs (job, state, started_at, ended_at, error)
        VALUES (job, CASE WHEN free THEN 'running' ELSE 'skipped' END, clock_timestamp(), CASE WHEN NOT free THEN clock_timestamp() END,
                CASE WHEN NOT free THEN 'the run before is still going' END)
        RETURNING job_runs.run_id INTO run_id;
    IF free THEN
        -- over the end of this transaction; do_job() gives it back
        PERFORM pg_advisory_lock(key);
        RETURN run_id;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION economy.begin_job(text) IS
    'First half of run_job(): takes the job''s lock, notes the run, and tells lost runs of all jobs; null when the job is running.';

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
    SELECT * INTO run FROM economy.job_runs r WHERE r.run_id = do_job.run_id AND r.state = 'running';
    IF NOT found OR NOT pg_try_advisory_xact_lock(economy.job_lock(run.job)) THEN
        RAISE EXCEPTION 'run % is not one that this session has begun', run_id USING ERRCODE = 'XE002', HINT = 'CALL economy.run_job().';
    END IF;
    -- from here on the end of the transaction gives the lock back, whatever ends it
    PERFORM economy.release_job(run.job);
    BEGIN
        EXECUTE (SELECT l.statement FROM economy.job_list() l WHERE l.job = run.job) INTO number;
    EXCEPTION WHEN OTHERS OR query_canceled THEN
        GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, code = RETURNED_SQLSTATE;
        message := format('%s: %s', code, message);
        RAISE WARNING 'job "%" failed', run.job USING DETAIL = message;
    END;
    UPDATE economy.job_runs r SET state = CASE WHEN message IS NULL THEN 'done' ELSE 'failed' END, ended_at = clock_timestamp(), rows = number, error = message
        WHERE r.run_id = do_job.run_id RETURNING r.state INTO message;
    RETURN message;
END
$$;
COMMENT ON FUNCTION economy.do_job(bigint) IS 'Second half of run_job(), in a transaction of its own: does the work and notes its end, also that of a failure.';

-- PostgreSQL lets no procedure commit that has settings or runs as its owner
CREATE PROCEDURE economy.run_job(job text, INOUT state text DEFAULT NULL)
    LANGUAGE plpgsql AS $$
DECLARE
    run_id bigint;
BEGIN
    -- raises in a transaction of the caller's, before anything is held
    COMMIT;
    run_id := economy.begin_job(job);
    COMMIT;
    state := CASE WHEN run_id IS NULL THEN 'skipped' ELSE economy.do_job(run_id) END;
END
$$;
COMMENT ON PROCEDURE economy.run_job(text, text) IS
    'Runs a job of job_list() unless it runs already, and notes the run in job_runs when it begins and when it ends: done, failed or skipped. An error of the job does not raise.';

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
COMMENT ON FUNCTION economy.cron_there() IS 'Raises XE802 with what to do when pg_cron is not there.';

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
COMMENT ON FUNCTION economy.schedule() IS 'Makes the pg_cron jobs of job_list(), or puts them right; a second call changes nothing. XE802 without pg_cron.';

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
            ('monitor', 'FUNCTION economy.rfm_source(economy.rfm_models, text, timestamptz)'),
            ('monitor', 'FUNCTION economy.job_list()'),
            ('monitor', 'FUNCTION economy.rfm_report()'),
            ('monitor', 'FUNCTION economy.begin_job(text)'),
            ('monitor', 'FUNCTION economy.do_job(bigint)'),
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

REVOKE ALL ON FUNCTION economy.job_lock(text), economy.release_job(text), economy.begin_job(text), economy.do_job(bigint) FROM PUBLIC;
REVOKE ALL ON PROCEDURE economy.run_job(text, text) FROM PUBLIC;

-- who could run jobs still can
DO $$
DECLARE
    name regrole;
BEGIN
    FOR name IN SELECT grantee FROM pg_temp.caller LOOP
        EXECUTE format('GRANT EXECUTE ON ROUTINE economy.begin_job(text), economy.do_job(bigint), economy.run_job(text, text) TO %s', name);
    END LOOP;
END
$$;
DROP TABLE pg_temp.caller;
