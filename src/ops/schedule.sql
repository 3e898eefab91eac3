-- ops: jobs, run by pg_cron

CREATE TABLE economy.job_runs (
    run_id     bigint      GENERATED ALWAYS AS IDENTITY CONSTRAINT job_runs_pkey PRIMARY KEY,
    job        text        NOT NULL COLLATE "C",
    state      text        NOT NULL CONSTRAINT job_runs_state_check
        CHECK (state IN ('running', 'done', 'failed', 'skipped', 'lost')),
    started_at timestamptz NOT NULL,
    ended_at   timestamptz,
    rows       bigint,
    batches    integer     NOT NULL DEFAULT 0,
    position   jsonb,
    error      text,
    CONSTRAINT job_runs_ended_check CHECK ((state = 'running') = (ended_at IS NULL))
);
CREATE INDEX job_runs_job_idx ON economy.job_runs (job, run_id);
CREATE UNIQUE INDEX job_runs_running_key ON economy.job_runs (job) WHERE state = 'running';
SELECT pg_catalog.pg_extension_config_dump('economy.job_runs', '');
SELECT pg_catalog.pg_extension_config_dump('economy.job_runs_run_id_seq', '');
COMMENT ON SEQUENCE economy.job_runs_run_id_seq IS 'Numbers of the runs.';
COMMENT ON TABLE economy.job_runs IS
    'Every run of a job in the last 30 days: when, '
    'how many rows it wrote or found, and what went wrong.';
COMMENT ON COLUMN economy.job_runs.state IS
    'running; done; failed: the batch that failed was rolled back, those before it stand; skipped: '
    'the run before it was still going; lost: killed, which the next run of the job finds.';
COMMENT ON COLUMN economy.job_runs.ended_at IS 'Null while it runs; when a lost run was found.';
COMMENT ON COLUMN economy.job_runs.rows IS 'What its batches so far wrote or found.';
COMMENT ON COLUMN economy.job_runs.batches IS 'Batches that were committed.';
COMMENT ON COLUMN economy.job_runs.position IS
    'Where the next batch begins; null before the first and after the last.';

CREATE FUNCTION economy_internal.jobs()
    RETURNS TABLE (job text, schedule text, statement text, overdue interval)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        VALUES
            ('rfm_refresh', '5 2 * * *',
             'SELECT users_changed, next FROM economy_internal.rfm_job_batch(true, $1)',
             interval '26 hours'),
            ('rfm_refresh_incremental', '7 * * * *',
             'SELECT users_changed, next FROM economy_internal.rfm_job_batch(false, $1)',
             interval '3 hours'),
            ('learn_recommendations', '25 0 * * *',
             'SELECT decisions, CASE WHEN more THEN jsonb ''{}'' END '
             'FROM economy.learn_recommendations()', interval '26 hours'),
            ('rollup_stats', '* * * * *',
             'SELECT rows_written, CASE WHEN users = 2000 THEN jsonb ''{}'' END '
             'FROM economy.rollup_stats(2000)', interval '10 minutes'),
            ('leaderboards', '* * * * *',
             'SELECT users, CASE WHEN more THEN jsonb ''{}'' END '
             'FROM economy.refresh_leaderboards(2000)', interval '10 minutes'),
            ('leaderboard_prizes', '*/5 * * * *',
             'SELECT paid, CASE WHEN more THEN jsonb ''{}'' END '
             'FROM economy.pay_leaderboard_prizes(500)', interval '1 hour'),
            ('escrows', '* * * * *',
             'SELECT expired, next FROM economy_internal.expire_escrows($1)',
             interval '10 minutes'),
            ('debts', '* * * * *',
             'SELECT collected, next FROM economy_internal.collect_debts($1)',
             interval '10 minutes'),
            ('missions', '*/5 * * * *',
             'SELECT claimed, next FROM economy_internal.claim_missions($1)',
             interval '1 hour'),
            ('expire_reservations', '* * * * *',
             'SELECT reservations, next FROM economy_internal.expire_reservations(500, $1)',
             interval '10 minutes'),
            ('expire_orders', '* * * * *',
             'SELECT orders, next FROM economy_internal.expire_orders(500, $1)',
             interval '10 minutes'),
            ('rate_limits', '*/5 * * * *',
             'SELECT forgotten, next FROM economy_internal.forget_rates($1)',
             interval '1 hour'),
            ('seasons', '*/5 * * * *',
             'SELECT claimed, next FROM economy_internal.close_seasons($1)',
             interval '1 hour'),
            ('audit_sweep', '35 2 * * *',
             'SELECT findings, CASE WHEN users > 0 THEN jsonb ''{}'' END '
             'FROM economy.audit_step()', interval '26 hours'),
            ('anchor', '55 2 * * *',
             'SELECT users, CASE WHEN users > 0 THEN jsonb ''{}'' END '
             'FROM economy.anchor_step() users', interval '26 hours'),
            ('prune', '15 3 * * *',
             'SELECT actions, CASE WHEN more THEN jsonb ''{}'' END '
             'FROM economy.prune(max_users => 200)', interval '26 hours');
    END;
COMMENT ON FUNCTION economy_internal.jobs() IS
    'The jobs of job_list(), with the statement of one batch, which is given the position where '
    'it begins (null at first) and answers the number of rows and the position of the next batch '
    '(null when all is done).';

CREATE FUNCTION economy.job_list()
    RETURNS TABLE (job text, schedule text, command text, overdue interval)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT j.job, j.schedule, format('CALL economy.run_job(%L)', j.job), j.overdue
        FROM economy_internal.jobs() j;
    END;
COMMENT ON FUNCTION economy.job_list() IS
    'The jobs that schedule() makes: when, in UTC; the command that a scheduler runs; and how '
    'long after its last good run health() calls it overdue.';

CREATE FUNCTION economy_internal.begin_job(job text, free boolean) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    keep CONSTANT interval := '720 hours';
    last economy.job_runs;
    run  economy.job_runs;
BEGIN
    IF NOT EXISTS (SELECT FROM economy.job_list() l WHERE l.job = begin_job.job) THEN
        RAISE EXCEPTION 'job "%" does not exist', left(job, 64)
            USING ERRCODE = 'XE002', HINT = 'See economy.job_list().';
    END IF;
    PERFORM economy_internal.open_tables('job_runs');
    IF NOT free THEN
        INSERT INTO economy.job_runs (job, state, started_at, ended_at, error)
            VALUES (job, 'skipped', clock_timestamp(), clock_timestamp(),
                    'the run before is still going');
        RETURN NULL;
    END IF;
    DELETE FROM economy.job_runs r WHERE r.run_id IN (
        SELECT o.run_id
        FROM (SELECT j.run_id, j.started_at FROM economy.job_runs j
              WHERE j.job = begin_job.job AND j.state <> 'running'
              ORDER BY j.run_id LIMIT 1000) o
        WHERE o.started_at < clock_timestamp() - keep);
    UPDATE economy.job_runs r SET
            state = 'lost', ended_at = clock_timestamp(),
            error = 'it had not ended, and was not going, when the next run began'
        WHERE r.job = begin_job.job AND r.state = 'running';
    SELECT * INTO last FROM economy.job_runs r
        WHERE r.job = begin_job.job AND r.state <> 'skipped' ORDER BY r.run_id DESC LIMIT 1;
    INSERT INTO economy.job_runs (job, state, started_at, position)
        VALUES (job, 'running', clock_timestamp(),
                -- a run that was cut off goes on, unless by what it met where it was
                CASE WHEN last.state = 'lost' OR last.error ~ '^(40|55|57)'
                     THEN last.position END)
        RETURNING * INTO run;
    RETURN run.run_id;
END
$$;
COMMENT ON FUNCTION economy_internal.begin_job(text, boolean) IS
    'Begin of run_job(): notes a run, or, when the job is not free, that it is skipped, '
    'which is null; tells the run before when that is lost, goes on where one was cut off, '
    'and forgets runs of more than 30 days ago.';

CREATE FUNCTION economy_internal.do_job(run_id bigint) RETURNS text
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    run     economy.job_runs;
    number  bigint;
    next    jsonb;
    message text;
    code    text;
BEGIN
    PERFORM economy_internal.open_tables('job_runs');
    SELECT * INTO run FROM economy.job_runs r
        WHERE r.run_id = do_job.run_id AND r.state = 'running' FOR UPDATE;
    IF NOT found THEN
        RETURN 'lost';
    END IF;
    BEGIN
        -- EXECUTE, because the statement is that of the job
        EXECUTE (SELECT j.statement FROM economy_internal.jobs() j WHERE j.job = run.job)
            INTO number, next USING run.position;
    EXCEPTION WHEN OTHERS OR query_canceled THEN
        GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, code = RETURNED_SQLSTATE;
        message := format('%s: %s', code, message);
        next := run.position;
        RAISE WARNING 'job "%" failed', run.job USING DETAIL = message;
    END;
    UPDATE economy.job_runs r SET
            state = CASE WHEN message IS NOT NULL THEN 'failed'
                         WHEN next IS NOT NULL THEN 'running' ELSE 'done' END,
            ended_at = CASE WHEN message IS NOT NULL OR next IS NULL THEN clock_timestamp() END,
            rows = coalesce(r.rows + number, number, r.rows),
            batches = r.batches + (message IS NULL)::integer,
            position = next, error = message
        WHERE r.run_id = do_job.run_id RETURNING * INTO run;
    RETURN run.state;
END
$$;
COMMENT ON FUNCTION economy_internal.do_job(bigint) IS
    'One batch of a run, in the transaction in which it is noted: '
    'running when there is another one to do.';

CREATE PROCEDURE economy.run_job(job text, INOUT state text DEFAULT NULL)
    LANGUAGE c AS 'MODULE_PATHNAME', 'eco_run_job';
COMMENT ON PROCEDURE economy.run_job(text, text) IS
    'Runs a job of job_list(), batch after batch with a commit after each, unless it runs already; '
    'job_runs shows the run from its begin on, and at its end whether it is done, '
    'failed or skipped, which is also the answer. An error of the job does not raise.';

CREATE FUNCTION economy.job_history(job text DEFAULT NULL, max integer DEFAULT 100)
    RETURNS TABLE (
        run_id bigint, job text, state text, started_at timestamptz, ended_at timestamptz,
        rows bigint, batches integer, error text
    )
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.require_limit('max', job_history.max);
        SELECT economy_internal.open_tables('job_runs');
        SELECT r.run_id, r.job, r.state, r.started_at, r.ended_at, r.rows, r.batches, r.error
        FROM economy.job_runs r WHERE job_history.job IS NULL OR r.job = job_history.job
        ORDER BY r.run_id DESC LIMIT least(job_history.max, 10000);
    END;
COMMENT ON FUNCTION economy.job_history(text, integer) IS
    'The runs of a job, or of all, newest first, at most max (10,000) of them.';

CREATE FUNCTION economy_internal.cron_there() RETURNS void
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
            HINT = format(
                'There, for each row of economy.job_list(): '
                'SELECT cron.schedule_in_database(''economy %1$s: '' || job, schedule, '
                'command, %1$L); '
                'or set cron.database_name = %1$L, restart, and CREATE EXTENSION pg_cron here.',
                current_database());
    END IF;
    RAISE EXCEPTION 'pg_cron is not installed in this database' USING ERRCODE = 'XE802',
        HINT = format('Install it (Debian: postgresql-%s-cron), '
                      'add pg_cron to shared_preload_libraries, '
                      'set cron.database_name = %L, restart, and CREATE EXTENSION pg_cron; '
                      'or let another scheduler CALL economy.run_job().',
                      current_setting('server_version_num')::integer / 10000, current_database());
END
$$;
COMMENT ON FUNCTION economy_internal.cron_there() IS
    'Raises XE802 with what to do when pg_cron is not there.';

CREATE FUNCTION economy.schedule() RETURNS TABLE (job text, schedule text, command text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    own text;
BEGIN
    PERFORM economy_internal.cron_there();
    FOR job, schedule, command IN
        SELECT l.job, l.schedule, l.command FROM economy.job_list() l
    LOOP
        -- EXECUTE, because pg_cron's objects are not there where it is not installed
        EXECUTE $query$
            SELECT j.schedule FROM cron.job j
            WHERE j.jobname = $1 AND j.database = current_database()
              AND j.username = current_user
            $query$ INTO own USING 'economy: ' || job;
        schedule := coalesce(own, schedule);
        EXECUTE 'SELECT cron.schedule($1, $2, $3)' USING 'economy: ' || job, schedule, command;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION economy.schedule() IS
    'Makes the pg_cron jobs of job_list(), or puts their commands right; '
    'a job that is there keeps its time. XE802 without pg_cron.';

CREATE FUNCTION economy.unschedule() RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    removed integer;
BEGIN
    PERFORM economy_internal.cron_there();
    -- EXECUTE, because pg_cron's objects are not there where it is not installed
    EXECUTE $query$
        SELECT count(cron.unschedule(j.jobid)) FROM cron.job j
        WHERE j.jobname LIKE 'economy: %' AND j.database = current_database()
        $query$ INTO removed;
    RETURN removed;
END
$$;
COMMENT ON FUNCTION economy.unschedule() IS
    'Removes the jobs that schedule() made and returns their number.';
