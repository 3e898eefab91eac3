-- ops: jobs, run by pg_cron

CREATE TABLE economy.job_runs (
    run_id     bigint      GENERATED ALWAYS AS IDENTITY CONSTRAINT job_runs_pkey PRIMARY KEY,
    job        text        NOT NULL COLLATE "C",
    state      text        NOT NULL CONSTRAINT job_runs_state_check CHECK (state IN ('running', 'done', 'failed', 'skipped', 'lost')),
    started_at timestamptz NOT NULL,
    ended_at   timestamptz,
    rows       bigint,
    error      text,
    CONSTRAINT job_runs_ended_check CHECK ((state = 'running') = (ended_at IS NULL))
);
CREATE INDEX job_runs_job_idx ON economy.job_runs (job, run_id);
CREATE UNIQUE INDEX job_runs_running_key ON economy.job_runs (job) WHERE state = 'running';
SELECT pg_catalog.pg_extension_config_dump('economy.job_runs', '');
SELECT pg_catalog.pg_extension_config_dump('economy.job_runs_run_id_seq', '');
COMMENT ON SEQUENCE economy.job_runs_run_id_seq IS 'Numbers of the runs.';
COMMENT ON TABLE economy.job_runs IS 'Every run of a job: when, how many rows it wrote or found, and what went wrong.';
COMMENT ON COLUMN economy.job_runs.state IS
    'running; done; failed: all it did was rolled back; skipped: the run before it was still going; lost: killed, which the next run of the job finds.';
COMMENT ON COLUMN economy.job_runs.ended_at IS 'Null while it runs; when a lost run was found.';

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

-- A run is noted in one transaction and done in the next, each under the job's
-- advisory lock. Who gets the lock meets no other run at work: a row that still
-- says so is that of a run which was killed, or which is overtaken between its two
-- transactions: that one finds its row lost, and skips itself.

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
    IF economy.try_lock_name('economy.job:' || job) THEN
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
    PERFORM economy.lock_name('economy.job:' || run.job);
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

CREATE FUNCTION economy.cron_there() RETURNS void
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

CREATE FUNCTION economy.schedule() RETURNS TABLE (job text, schedule text, command text)
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
