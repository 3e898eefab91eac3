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
CREATE INDEX job_runs_running_idx ON economy.job_runs (job) WHERE state = 'running';
SELECT pg_catalog.pg_extension_config_dump('economy.job_runs', '');
SELECT pg_catalog.pg_extension_config_dump('economy.job_runs_run_id_seq', '');
COMMENT ON SEQUENCE economy.job_runs_run_id_seq IS 'Numbers of the runs.';
COMMENT ON TABLE economy.job_runs IS 'Every run of a job: when, how many rows it wrote or found, and what went wrong.';
COMMENT ON COLUMN economy.job_runs.state IS
    'running; done; failed: all it did was rolled back; skipped: the run before it was still going; lost: its session ended before it did.';
COMMENT ON COLUMN economy.job_runs.ended_at IS 'Null while it runs; of a lost run, when that was found.';

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
