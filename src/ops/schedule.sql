-- ops: jobs, run by pg_cron

CREATE TABLE economy.job_runs (
    run_id     bigint      GENERATED ALWAYS AS IDENTITY CONSTRAINT job_runs_pkey PRIMARY KEY,
    job        text        NOT NULL COLLATE "C",
    state      text        NOT NULL CONSTRAINT job_runs_state_check CHECK (state IN ('done', 'failed', 'skipped')),
    started_at timestamptz NOT NULL,
    ended_at   timestamptz NOT NULL,
    rows       bigint,
    error      text
);
CREATE INDEX job_runs_job_idx ON economy.job_runs (job, run_id);
SELECT pg_catalog.pg_extension_config_dump('economy.job_runs', '');
SELECT pg_catalog.pg_extension_config_dump('economy.job_runs_run_id_seq', '');
COMMENT ON SEQUENCE economy.job_runs_run_id_seq IS 'Numbers of the runs.';
COMMENT ON TABLE economy.job_runs IS 'Every run of a job: when, how many rows it wrote or found, and what went wrong.';
COMMENT ON COLUMN economy.job_runs.state IS 'done; failed: all it did was rolled back; skipped: the run before it was still going.';

CREATE FUNCTION economy.job_list() RETURNS TABLE (job text, schedule text, statement text)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        VALUES ('rfm_refresh',             '5 2 * * *',  'SELECT users_changed FROM economy.rfm_refresh()'),
               ('rfm_refresh_incremental', '7 * * * *',  'SELECT users_changed FROM economy.rfm_refresh_incremental()'),
               ('rollup_stats',            '* * * * *',  'SELECT rows_written FROM economy.rollup_stats()'),
               ('audit_sweep',             '35 2 * * *', 'SELECT count(*) FROM economy.audit_sweep()'),
               ('prune',                   '15 3 * * *', 'SELECT actions FROM economy.prune()');
    END;
COMMENT ON FUNCTION economy.job_list() IS 'The jobs that schedule() makes: when, in UTC, and the statement whose answer is the number of rows.';

CREATE FUNCTION economy.run_job(job text) RETURNS text
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    what    text;
    began   CONSTANT timestamptz := clock_timestamp();
    state   text := 'done';
    rows    bigint;
    message text;
    code    text;
BEGIN
    IF job IS NULL THEN
        RAISE EXCEPTION 'job must not be null' USING ERRCODE = 'XE001';
    END IF;
    SELECT l.statement INTO what FROM economy.job_list() l WHERE l.job = run_job.job;
    IF NOT found THEN
        RAISE EXCEPTION 'job "%" does not exist', left(job, 64) USING ERRCODE = 'XE002', HINT = 'See economy.job_list().';
    END IF;
    IF NOT pg_try_advisory_xact_lock(hashtextextended('economy.job:' || job, 0)) THEN
        state := 'skipped';
        message := 'the run before is still going';
    ELSE
        BEGIN
            EXECUTE what INTO rows;
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, code = RETURNED_SQLSTATE;
            message := format('%s: %s', code, message);
            state := 'failed';
            RAISE WARNING 'job "%" failed', job USING DETAIL = message;
        END;
    END IF;
    INSERT INTO economy.job_runs (job, state, started_at, ended_at, rows, error) VALUES (job, state, began, clock_timestamp(), rows, message);
    RETURN state;
END
$$;
COMMENT ON FUNCTION economy.run_job(text) IS
    'Runs a job of job_list() unless it runs already, and notes the run in job_runs: done, failed or skipped. An error of the job does not raise.';

CREATE FUNCTION economy.cron_there() RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension e WHERE e.extname = 'pg_cron') THEN
        RAISE EXCEPTION 'pg_cron is not installed in this database' USING ERRCODE = 'XE802',
            HINT = format('Install it (Debian: postgresql-15-cron), add pg_cron to shared_preload_libraries, set cron.database_name = ''%s'', restart, and CREATE EXTENSION pg_cron; or let another scheduler call economy.run_job().', current_database());
    END IF;
END
$$;
COMMENT ON FUNCTION economy.cron_there() IS 'Raises XE802 with what to do when pg_cron is not there.';

CREATE FUNCTION economy.schedule() RETURNS TABLE (job text, schedule text, command text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    PERFORM economy.cron_there();
    FOR job, schedule IN SELECT l.job, l.schedule FROM economy.job_list() l LOOP
        command := format('SELECT economy.run_job(%L)', job);
        EXECUTE 'SELECT cron.schedule($1, $2, $3)' USING 'economy: ' || job, schedule, command;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION economy.schedule() IS 'Makes the pg_cron jobs of job_list(), or puts them right; a second call changes nothing. XE802 without pg_cron.';

CREATE FUNCTION economy.unschedule() RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    removed integer;
BEGIN
    PERFORM economy.cron_there();
    EXECUTE 'SELECT count(cron.unschedule(j.jobid)) FROM cron.job j WHERE j.jobname LIKE ''economy: %'' AND j.database = current_database()' INTO removed;
    RETURN removed;
END
$$;
COMMENT ON FUNCTION economy.unschedule() IS 'Removes the jobs that schedule() made and returns their number.';
