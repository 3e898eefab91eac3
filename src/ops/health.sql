-- health: what an operator should know, one row per check

CREATE TYPE economy.health_item AS (
    item   text,
    state  text,
    detail text,
    hint   text
);
COMMENT ON TYPE economy.health_item IS
    'One check of health(): its name, ok, warn or bad, what was found, and what to do about it.';

-- Bad outweighs a warning.
CREATE FUNCTION economy_internal.health_state(bad boolean, warn boolean) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT CASE WHEN bad THEN 'bad' WHEN warn THEN 'warn' ELSE 'ok' END;
    END;
COMMENT ON FUNCTION economy_internal.health_state(boolean, boolean) IS
    'The state of a check; null counts as false.';

CREATE FUNCTION economy_internal.health_installation() RETURNS SETOF economy.health_item
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.open_tables('signing_keys');
        SELECT 'library',
               economy_internal.health_state(economy.library_version() <> e.extversion, false),
               format('library %s, objects %s', economy.library_version(), e.extversion),
               CASE WHEN economy.library_version() <> e.extversion
                    THEN 'Restart the server; then ALTER EXTENSION economy UPDATE '
                         'if the objects are the older ones.' END
        FROM pg_extension e WHERE e.extname = 'economy'
        UNION ALL
        SELECT 'schema', economy_internal.health_state(count(*) > 0, false),
               format('%s findings%s', count(*),
                      ', such as ' || left(min(f.expected || ' is ' || f.actual), 200)),
               CASE WHEN count(*) > 0 THEN 'SELECT * FROM economy.audit_schema().' END
        FROM economy.audit_schema() f
        UNION ALL
        SELECT 'signing key', economy_internal.health_state(false, k.is_old),
               coalesce('active since ' || k.created_at::date, 'none yet'),
               CASE WHEN k.is_old THEN 'SELECT economy.rotate_signing_key().' END
        FROM (SELECT min(k.created_at) AS created_at,
                     min(k.created_at) < clock_timestamp() - interval '9600 hours' AS is_old
              FROM economy.signing_keys k WHERE k.state = 'active') k
        UNION ALL
        SELECT 'test clock', economy_internal.health_state(false, c.at <> ''),
               CASE WHEN c.at <> '' THEN 'all rules see ' || c.at ELSE 'off' END,
               CASE WHEN c.at <> ''
                    THEN 'RESET economy.test_clock, or take it out of the configuration: '
                         'it is for tests.' END
        FROM (SELECT coalesce(current_setting('economy.test_clock', true), '')) c (at);
    END;
COMMENT ON FUNCTION economy_internal.health_installation() IS
    'Part of health(): library, schema, signing key, test clock.';

CREATE FUNCTION economy_internal.health_delivery() RETURNS SETOF economy.health_item
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT 'relay',
               economy_internal.health_state(
                   n.way = 'relay' AND r.pid IS NULL AND late.items > 0,
                   n.way = 'off'
                   OR (n.way = 'relay' AND (o.inline_because IS NOT NULL OR l.is_late))),
               CASE WHEN n.way = 'off' THEN 'economy.notify is off: nothing is sent'
                    WHEN n.way IS DISTINCT FROM 'relay' THEN 'events are sent inline'
                    WHEN r.pid IS NULL AND r.waiting = 0 AND o.inline_because IS NOT NULL
                    THEN 'events are sent inline: ' || o.inline_because
                    WHEN r.database IS NULL
                    THEN coalesce('events are sent inline: ' || o.inline_because,
                                  'nothing to send yet')
                    ELSE format('%s, %s waiting, last %s ms behind, %s overflows',
                                coalesce('process ' || r.pid,
                                         CASE WHEN late.items > 0 THEN 'not running'
                                              ELSE 'gone until the next event' END),
                                r.waiting, round(r.lag_ms::numeric), r.overflowed) END,
               CASE WHEN n.way = 'off'
                    THEN 'Set economy.notify to relay or inline; changes() tells what was not sent.'
                    WHEN n.way = 'relay' AND r.pid IS NULL AND late.items > 0
                    THEN 'See the server''s log, and whether max_worker_processes is used up.'
                    WHEN n.way = 'relay' AND o.inline_because IS NOT NULL
                    THEN 'Raise ' || o.setting || ': commits that send wait for each other.'
                    WHEN n.way = 'relay' AND l.is_late
                    THEN 'The machine is short of CPU, or a listener that is idle in a transaction '
                         'holds up the notification queue.' END
        FROM (SELECT current_setting('economy.notify', true),
                     current_setting('economy.relay_databases', true)::bigint) n (way, rings)
        LEFT JOIN economy.relay_status() r
            ON r.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
        -- what is prepared waits for its commit, and not for the relay
        CROSS JOIN LATERAL (
            SELECT CASE WHEN EXISTS (SELECT FROM pg_prepared_xacts p
                                     WHERE p.database = current_database())
                        THEN 0 ELSE r.waiting END) late (items)
        CROSS JOIN LATERAL (
            SELECT (late.items > 0 AND r.lag_ms > 10000) OR r.waiting > 10000) l (is_late)
        LEFT JOIN (VALUES
                ('no_worker', 'no worker process is to be had', 'max_worker_processes'),
                ('no_ring', 'other databases have all relays', 'economy.relay_databases'))
                o (reason, inline_because, setting)
            ON o.reason = CASE
                WHEN r.pid IS NULL AND r.unserved > 0 THEN 'no_worker'
                WHEN r.database IS NULL AND n.rings <= (SELECT count(*) FROM economy.relay_status())
                THEN 'no_ring' END
        UNION ALL
        SELECT 'notification queue', economy_internal.health_state(q.used > 0.5, q.used > 0.05),
               format('%s %% used', round(100 * q.used::numeric, 1)),
               CASE WHEN q.used > 0.05
                    THEN 'End the listener that is idle in a transaction (pg_stat_activity, '
                         'oldest xact_start, in any database): it keeps what was sent since.' END
        FROM pg_notification_queue_usage() q (used)
        UNION ALL
        -- to anybody else pg_stat_activity shows of others' sessions that they are there
        SELECT 'sessions', economy_internal.health_state(false, NOT o.sees_all),
               CASE WHEN o.sees_all THEN 'all are seen'
                    ELSE format('%s, who owns the extension, sees only its own', current_user) END,
               CASE WHEN NOT o.sees_all
                    THEN format('GRANT pg_read_all_stats TO %I: connections, oldest transaction, '
                                'pg_cron and progress() go by what it sees.', current_user) END
        FROM (SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')) o (sees_all)
        UNION ALL
        SELECT 'connections',
               economy_internal.health_state(c.used >= c.possible, c.used > 0.8 * c.possible),
               format('%s of %s', c.used, c.possible),
               CASE WHEN c.used > 0.8 * c.possible
                    THEN 'Raise max_connections, or put a pool before it: '
                         'apps and economy_tail come in last.' END
        FROM (SELECT count(*),
                     current_setting('max_connections')::integer
                         - current_setting('superuser_reserved_connections')::integer
                         - coalesce(current_setting('reserved_connections', true)::integer, 0)
              FROM pg_stat_activity a WHERE a.backend_type = 'client backend') c (used, possible)
        UNION ALL
        SELECT 'prepared transactions',
               economy_internal.health_state(p.oldest < clock_timestamp() - interval '24 hours',
                                    p.oldest < clock_timestamp() - interval '1 hour'),
               format('%s%s', p.number, ', the oldest of ' || p.oldest),
               CASE WHEN p.oldest < clock_timestamp() - interval '1 hour'
                    THEN 'COMMIT PREPARED or ROLLBACK PREPARED: it keeps its accounts locked, '
                         'VACUUM and the feed behind it.' END
        FROM (SELECT count(*) AS number, min(p.prepared) AS oldest FROM pg_prepared_xacts p) p
        UNION ALL
        SELECT 'oldest transaction',
               economy_internal.health_state(a.oldest < clock_timestamp() - interval '24 hours',
                                    a.oldest < clock_timestamp() - interval '1 hour'),
               coalesce('since ' || a.oldest, 'none'),
               CASE WHEN a.oldest < clock_timestamp() - interval '1 hour'
                    THEN 'End it (pg_stat_activity): VACUUM and the feed wait for it, '
                         'also from another database.' END
        FROM (SELECT min(a.xact_start) AS oldest FROM pg_stat_activity a
              WHERE a.backend_xid IS NOT NULL OR a.backend_xmin IS NOT NULL) a
        UNION ALL
        SELECT 'transaction ids',
               economy_internal.health_state(d.oldest > 1600000000, d.oldest > 1000000000),
               format('%s million since the last freeze', d.oldest / 1000000),
               CASE WHEN d.oldest > 1000000000
                    THEN 'VACUUM the database with the greatest age(datfrozenxid), '
                         'and find what holds its xmin.' END
        FROM (SELECT max(age(d.datfrozenxid)) AS oldest FROM pg_database d) d
        UNION ALL
        SELECT 'replication slots',
               economy_internal.health_state(
                   max(w.kept) > 16::numeric * 2 ^ 30
                   OR count(*) FILTER (WHERE s.wal_status IN ('unreserved', 'lost')) > 0,
                   max(w.kept) > 4::numeric * 2 ^ 30
                   OR count(*) FILTER (WHERE NOT s.active) > 0),
               concat_ws(', ',
                   format('%s not in use', count(*) FILTER (WHERE NOT s.active)),
                   'such as ' || min(s.slot_name) FILTER (WHERE NOT s.active),
                   pg_size_pretty(max(w.kept)) || ' of WAL kept',
                   'without its WAL: ' || string_agg(s.slot_name, ' ' ORDER BY s.slot_name)
                       FILTER (WHERE s.wal_status IN ('unreserved', 'lost'))),
               CASE WHEN count(*) FILTER (WHERE s.wal_status = 'lost') > 0
                    THEN 'pg_drop_replication_slot(), and make its standby or subscriber anew: '
                         'WAL that it needs is gone.'
                    WHEN max(w.kept) > 4::numeric * 2 ^ 30
                      OR count(*) FILTER (WHERE s.wal_status = 'unreserved' OR NOT s.active) > 0
                    THEN 'Let its standby or subscriber go on, or pg_drop_replication_slot(): '
                         'WAL is kept for it until the disk is full, '
                         'or max_slot_wal_keep_size is reached.' END
        FROM pg_replication_slots s
        CROSS JOIN LATERAL (
            SELECT pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                                        ELSE pg_current_wal_lsn() END, s.restart_lsn)) w (kept);
    END;
COMMENT ON FUNCTION economy_internal.health_delivery() IS
    'Part of health(): relay, notification queue, connections, '
    'and what holds back VACUUM and the feed.';

CREATE FUNCTION economy_internal.health_proof() RETURNS SETOF economy.health_item
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.open_tables(
            'audit_findings', 'audit_runs', 'economy_internal.rollup_queue',
            'economy_internal.rollup_state', 'user_actions', 'shop_transactions', 'archived_keys',
            'economy_internal.rfm_reversals', 'economy_internal.rfm_due', 'rfm_snapshots',
            'rfm_state', 'user_segments', 'leaderboard_refusals', 'payment_orders');
        SELECT 'last full audit', economy_internal.health_state(false, r.is_due),
               coalesce('ended ' || r.ended_at, 'never'),
               CASE WHEN r.is_due
                    THEN 'CALL economy.run_job(''audit_sweep''), and schedule it.' END
        FROM (SELECT max(r.finished_at) AS ended_at,
                     coalesce(max(r.finished_at) < clock_timestamp() - interval '200 hours', true)
                         AS is_due
              FROM economy.audit_runs r WHERE r.kind = 'full') r
        UNION ALL
        SELECT 'findings', economy_internal.health_state(count(*) > 0, false),
               format('%s open', count(*)),
               CASE WHEN count(*) > 0
                    THEN 'See economy.audit_open(), and compare with a backup '
                         'before anything is corrected.' END
        FROM economy.audit_findings f WHERE f.gone_run_id IS NULL
        UNION ALL
        SELECT 'rollup',
               economy_internal.health_state(
                   false, q.users > 100000 OR (s.position IS NULL AND a.played)),
               CASE WHEN s.position IS NULL AND a.played THEN 'no action was rolled up yet'
                    ELSE format('%s users with actions that are seen and not rolled up',
                                q.users) END,
               CASE WHEN q.users > 100000 OR (s.position IS NULL AND a.played)
                    THEN 'CALL economy.run_job(''rollup_stats''), and schedule it.' END
        FROM (SELECT count(*)
              FROM (SELECT FROM economy_internal.rollup_queue w
                    WHERE w.user_id >= (SELECT s.next_user FROM economy_internal.rollup_state s)
                    LIMIT 1000000) u) q (users)
        CROSS JOIN (SELECT EXISTS (SELECT FROM economy.user_actions)) a (played)
        LEFT JOIN economy_internal.rollup_state s ON true
        UNION ALL
        SELECT 'segments',
               economy_internal.health_state(false, f.oldest_stale_age > interval '26 hours'),
               format('%s users with a stale segment%s', f.stale_users,
                      ', the oldest for ' || f.oldest_stale_age),
               CASE WHEN f.oldest_stale_age > interval '26 hours'
                    THEN 'CALL economy.run_job(''rfm_refresh_incremental''), and schedule it.' END
        FROM economy_internal.rfm_freshness_seen() f
        UNION ALL
        -- to who was suspended afterwards nothing is owed
        SELECT 'leaderboard prizes', economy_internal.health_state(false, r.owed > 0),
               format('%s could not be paid%s', r.owed, ', such as ' || r.code),
               CASE WHEN r.owed > 0
                    THEN 'See economy.leaderboard_refusals; when its reason is mended: '
                         'economy.retry_leaderboard_prizes().' END
        FROM (SELECT count(*) AS owed, min(o.code) AS code FROM economy.leaderboard_refusals o
              WHERE o.code <> 'USER_SUSPENDED') r
        UNION ALL
        SELECT 'payment orders', economy_internal.health_state(false, o.problems > 0),
               format('%s wait for an operator, %s for their provider%s', o.problems, o.waiting,
                      ', the oldest since ' || o.since),
               CASE WHEN o.problems > 0
                    THEN 'See economy.payment_order_problems, ask the provider, and '
                         'economy.resolve_order() or economy.settlement_report().' END
        FROM (SELECT count(*) FILTER (WHERE p.due_at = 'infinity') AS problems,
                     count(*) FILTER (WHERE p.due_at < 'infinity') AS waiting,
                     min(p.made_at) FILTER (WHERE p.due_at < 'infinity') AS since
              FROM economy.payment_orders p
              WHERE p.state IN ('CREATED', 'PENDING', 'CONFLICT')) o;
    END;
COMMENT ON FUNCTION economy_internal.health_proof() IS
    'Part of health(): audits, their findings, rollup, stale segments, prizes of leaderboards, '
    'payment orders.';

CREATE FUNCTION economy_internal.health_jobs() RETURNS SETOF economy.health_item
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.open_tables('job_runs');
        SELECT 'job ' || l.job,
               economy_internal.health_state(
                   good.ended_at < clock_timestamp() - 3 * l.overdue
                   OR (last.state = 'failed' AND good.ended_at IS NULL),
                   d.is_overdue OR last.state IN ('failed', 'lost')),
               concat_ws('; ', coalesce('last done ' || good.ended_at, 'never done'),
                   CASE WHEN last.state = 'running'
                        THEN format('running since %s, %s batches', last.started_at, last.batches)
                        WHEN last.state IN ('failed', 'lost')
                        THEN format('%s %s: %s', last.state, last.ended_at, last.error) END),
               CASE WHEN last.state IN ('failed', 'lost')
                    THEN format('SELECT * FROM economy.job_history(%L).', l.job)
                    WHEN d.is_overdue
                    THEN format('If nothing runs it: SELECT * FROM economy.schedule(), '
                                'or let another scheduler CALL economy.run_job(%L).', l.job) END
        FROM economy.job_list() l
        LEFT JOIN LATERAL (
            SELECT r.ended_at FROM economy.job_runs r WHERE r.job = l.job AND r.state = 'done'
            ORDER BY r.run_id DESC LIMIT 1) good ON true
        LEFT JOIN LATERAL (
            SELECT r.* FROM economy.job_runs r WHERE r.job = l.job AND r.state <> 'skipped'
            ORDER BY r.run_id DESC LIMIT 1) last ON true
        CROSS JOIN LATERAL (
            SELECT coalesce(good.ended_at < clock_timestamp() - l.overdue, true)) d (is_overdue);
    END;
COMMENT ON FUNCTION economy_internal.health_jobs() IS
    'Part of health(): when each job of job_list() was done last.';

CREATE FUNCTION economy_internal.health_cron() RETURNS SETOF economy.health_item
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    home   CONSTANT text := current_setting('cron.database_name', true);
    answer economy.health_item := ROW('pg_cron', 'ok', NULL, NULL);
    jobs   bigint;
    idle   bigint;
    runs   boolean;
    last   record;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension e WHERE e.extname = 'pg_cron') THEN
        answer.detail := coalesce(
            'it runs the jobs of database ' || nullif(home, current_database()),
            'not installed here');
        RETURN NEXT answer;
        RETURN;
    END IF;
    -- the jobs of a standby are run by the primary
    runs := pg_is_in_recovery()
        OR (home = current_database()
            AND EXISTS (SELECT FROM pg_stat_activity a
                        WHERE a.backend_type = 'pg_cron launcher'));
    -- EXECUTE, because pg_cron's tables are not there where it is not installed
    EXECUTE $query$
        SELECT count(*), count(*) FILTER (WHERE NOT j.active) FROM cron.job j
        WHERE j.jobname LIKE 'economy: %' AND j.database = current_database()
        $query$ INTO jobs, idle;
    EXECUTE $query$
        SELECT d.status, d.return_message, d.start_time
        FROM cron.job_run_details d JOIN cron.job j USING (jobid)
        WHERE j.jobname LIKE 'economy: %' AND j.database = current_database()
        ORDER BY d.runid DESC LIMIT 1
        $query$ INTO last;
    answer.detail := format('%s jobs, last run %s', jobs, coalesce(
        last.status || coalesce(': ' || left(last.return_message, 200), ''), 'never'));
    IF jobs = 0 THEN
        answer.state := 'warn';
        answer.hint := 'SELECT * FROM economy.schedule(), unless another scheduler runs the jobs.';
    ELSIF runs IS NOT TRUE THEN
        answer.state := 'bad';
        answer.detail := answer.detail || '; it does not run here';
        answer.hint := 'It must be in shared_preload_libraries, and cron.database_name must be '
                       'this database; then restart.';
    ELSIF last.status = 'failed' THEN
        answer.state := 'bad';
        answer.hint := 'Where it cannot connect: cron.use_background_workers = on, '
                       'or let it in by cron.host and pg_hba.conf; then restart.';
    ELSIF last.status IS NULL OR idle > 0 THEN
        answer.state := 'warn';
        answer.hint := 'The first run is due within a minute. Else see cron.job, '
                       'whether the jobs are active, and the server''s log.';
    END IF;
    RETURN NEXT answer;
END
$$;
COMMENT ON FUNCTION economy_internal.health_cron() IS
    'Part of health(): whether pg_cron has the jobs, and how its last run ended.';

CREATE FUNCTION economy.health() RETURNS SETOF economy.health_item
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp SET "TimeZone" = 'UTC'
    SET "DateStyle" = 'ISO, YMD' AS $$
DECLARE
    part    text;
    message text;
BEGIN
    FOREACH part IN ARRAY ARRAY['installation', 'delivery', 'jobs', 'cron', 'proof'] LOOP
        -- what cannot be asked keeps nobody from the rest
        BEGIN
            -- EXECUTE, because the function is not the same each time
            RETURN QUERY EXECUTE format('SELECT * FROM economy_internal.health_%s()', part);
        EXCEPTION WHEN serialization_failure THEN
            RAISE;
        WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS message = MESSAGE_TEXT;
            RETURN QUERY SELECT part, 'bad', 'could not be checked: ' || message,
                                format('SELECT * FROM economy_internal.health_%s().', part);
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION economy.health() IS
    'One row per check, each ok, warn or bad, with what was found and what to do: '
    'library, schema, key, relay, notification queue, connections, old transactions, '
    'jobs, pg_cron, audits, segments, prizes of leaderboards, payment orders.';
