-- health() at the border of each of its answers: its parts as they are, only that the
-- clock, the server's views and the settings they ask are tables of this test.
--
-- Run as superuser.
BEGIN;
SELECT no_plan();
SET LOCAL quote_all_identifiers = off;
SET LOCAL intervalstyle = 'postgres';
SET LOCAL timezone = 'UTC';
SET LOCAL datestyle = 'ISO, YMD';
SET LOCAL extra_float_digits = 1;
CREATE SCHEMA pgtap_seen;
CREATE FUNCTION pgtap_seen.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$ SELECT timestamptz '2096-06-10 12:00:00+00' $$;
CREATE TABLE pgtap_seen.setting (name text, value text);
CREATE FUNCTION pgtap_seen.current_setting(name text, missing boolean DEFAULT true) RETURNS text LANGUAGE sql AS $$ SELECT (SELECT s.value FROM pgtap_seen.setting s WHERE s.name = $1) $$;
CREATE TABLE pgtap_seen.ring (database oid, pid integer, waiting integer, queued bigint, sent bigint, overflowed bigint, batches bigint, fallbacks bigint, lag_ms double precision, max_lag_ms double precision, unserved bigint, read_back bigint);
CREATE FUNCTION pgtap_seen.relay_status() RETURNS TABLE (database oid, pid integer, waiting integer, queued bigint, sent bigint, overflowed bigint, batches bigint, fallbacks bigint, lag_ms double precision, max_lag_ms double precision, unserved bigint, read_back bigint)
    LANGUAGE sql AS $$ SELECT * FROM pgtap_seen.ring $$;
CREATE TABLE pgtap_seen.pg_database (oid oid, datname name, datfrozenxid bigint);
INSERT INTO pgtap_seen.pg_database VALUES (1, current_database(), 7), (2, 'another', 6);
CREATE TABLE pgtap_seen.pg_prepared_xacts (database name, prepared timestamptz);
CREATE TABLE pgtap_seen.pg_stat_activity (backend_type text, backend_xid integer, backend_xmin integer, xact_start timestamptz);
CREATE TABLE pgtap_seen.pg_replication_slots (slot_name name, active boolean, wal_status text, restart_lsn pg_lsn);
CREATE TABLE pgtap_seen.pg_extension (extname name, extversion text);
CREATE TABLE pgtap_seen.job (jobid bigint, jobname text, database name, active boolean);
CREATE TABLE pgtap_seen.job_run_details (jobid bigint, runid bigint, status text, return_message text, start_time timestamptz);
CREATE FUNCTION pgtap_seen.age(n bigint) RETURNS bigint LANGUAGE sql AS $$ SELECT n $$;
CREATE TABLE pgtap_seen.queue (used double precision);
INSERT INTO pgtap_seen.queue VALUES (0);
CREATE FUNCTION pgtap_seen.pg_notification_queue_usage() RETURNS double precision LANGUAGE sql AS $$ SELECT used FROM pgtap_seen.queue $$;
CREATE FUNCTION pgtap_seen.pg_is_in_recovery() RETURNS boolean LANGUAGE sql AS $$ SELECT EXISTS (SELECT FROM pgtap_seen.setting WHERE name = 'standby') $$;
CREATE FUNCTION pgtap_seen.pg_current_wal_lsn() RETURNS pg_lsn LANGUAGE sql AS $$ SELECT CASE WHEN NOT pgtap_seen.pg_is_in_recovery() THEN pg_lsn '100/0' END $$;
CREATE FUNCTION pgtap_seen.pg_last_wal_replay_lsn() RETURNS pg_lsn LANGUAGE sql AS $$ SELECT CASE WHEN pgtap_seen.pg_is_in_recovery() THEN pg_lsn '100/0' END $$;
CREATE TABLE pgtap_seen.stale (users bigint, age interval);
CREATE FUNCTION pgtap_seen.rfm_freshness_seen() RETURNS TABLE (snapshot_id bigint, snapshot_as_of timestamptz, as_of timestamptz, stale_users bigint, oldest_stale_age interval, last_change_lag interval)
    LANGUAGE sql AS $$ SELECT 1, now(), now(), s.users, s.age, NULL::interval FROM pgtap_seen.stale s $$;
-- the parts, with the names of what they ask in place of the server's
DO $do$
DECLARE
    part record;
BEGIN
    FOR part IN SELECT p.proname, pg_get_functiondef(p.oid) AS source FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
                WHERE n.nspname IN ('economy', 'economy_internal') AND p.proname IN ('health_installation', 'health_delivery', 'health_proof', 'health_jobs', 'health_cron') LOOP
        EXECUTE regexp_replace(regexp_replace(regexp_replace(regexp_replace(part.source, '^(CREATE OR REPLACE FUNCTION )[a-z_]+[.]', E'\\1pgtap_seen.'), '[a-z_]+[.](relay_status|rfm_freshness_seen)[(]', E'pgtap_seen.\\1(', 'g'),
            '(^|[^a-z_.])(clock_timestamp|current_setting|age|pg_notification_queue_usage|pg_is_in_recovery|pg_current_wal_lsn|pg_last_wal_replay_lsn)[(]', E'\\1pgtap_seen.\\2(', 'g'),
            '(FROM|JOIN)( [(]?|[(]+)(cron[.])?(pg_database|pg_prepared_xacts|pg_stat_activity|pg_replication_slots|pg_extension|job|job_run_details) ', E'\\1\\2pgtap_seen.\\4 ', 'g');
    END LOOP;
END
$do$;
CREATE FUNCTION pg_temp.said(part text, item text, change text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    BEGIN
        EXECUTE change;
        EXECUTE format('SELECT concat_ws('' | '', h.state, h.detail, h.hint) FROM pgtap_seen.health_%s() h WHERE h.item = %L', part, item) INTO STRICT answer;
        RAISE EXCEPTION USING ERRCODE = 'XT000';
    EXCEPTION WHEN SQLSTATE 'XT000' THEN
        RETURN answer;
    END;
END
$$;
CREATE FUNCTION pg_temp.ago(length interval) RETURNS text LANGUAGE sql AS $$ SELECT quote_literal(timestamptz '2096-06-10 12:00:00+00' - length) $$;
-- a case: an item, what is planted, and how its answer begins
CREATE FUNCTION pg_temp.case(part text, item text, change text, answer text) RETURNS text LANGUAGE sql AS $$
    SELECT is(CASE WHEN starts_with(s, answer) AND (s LIKE 'ok |%') = (s NOT LIKE '% | % | %') THEN answer ELSE s END, answer, item || ': ' || change) FROM pg_temp.said(part, item, change) s $$;

-- --- delivery ------------------------------------------------------------------

INSERT INTO pgtap_seen.setting VALUES ('economy.notify', 'relay'), ('economy.relay_databases', '2');
CREATE FUNCTION pg_temp.ring(pid text, waiting integer, lag double precision, unserved integer DEFAULT 0, database integer DEFAULT 1) RETURNS text LANGUAGE sql AS $$
    SELECT format('INSERT INTO pgtap_seen.ring VALUES (%s, %s, %s, 0, 0, 3, 0, 0, %s, 0, %s, 0);', database, pid, waiting, lag, unserved) $$;
CREATE FUNCTION pg_temp.notify(way text) RETURNS text LANGUAGE sql AS $$ SELECT format('UPDATE pgtap_seen.setting SET value = %L WHERE name = ''economy.notify'';', way) $$;
CREATE FUNCTION pg_temp.prepared(length interval, database text DEFAULT current_database()) RETURNS text LANGUAGE sql AS $$ SELECT format('INSERT INTO pgtap_seen.pg_prepared_xacts VALUES (%L, %s);', database, pg_temp.ago(length)) $$;
SELECT pg_temp.case('delivery', 'relay', change, answer) FROM (VALUES
    ('SELECT', 'ok | nothing to send yet'),
    (pg_temp.ring('7', 0, 0, 0, 2), 'ok | nothing to send yet'),
    (pg_temp.ring('7', 0, 0, 0, 2) || pg_temp.ring('8', 0, 0, 0, 3), 'warn | events are sent inline: other databases have all relays | Raise economy.relay_databases:'),
    (pg_temp.ring('7', 0, 0, 0, 2) || pg_temp.ring('8', 0, 0, 0, 3) || pg_temp.notify('inline'), 'ok | events are sent inline'),
    (pg_temp.ring('7', 0, 0, 0, 2) || pg_temp.ring('8', 0, 0), 'ok | process 8, 0 waiting, last 0 ms behind, 3 overflows'),
    (pg_temp.ring('7', 10000, 10000), 'ok | process 7, 10000 waiting, last 10000 ms behind'),
    (pg_temp.ring('7', 10001, 0), 'warn | process 7, 10001 waiting, last 0 ms behind, 3 overflows | The machine is short'),
    (pg_temp.ring('7', 1, 10000.75), 'warn | process 7, 1 waiting, last 10001 ms behind, 3 overflows | The machine is short'),
    (pg_temp.ring('7', 0, 99999), 'ok | process 7'),
    (pg_temp.ring('7', 1, 99999) || pg_temp.prepared('1 minute'), 'ok | process 7, 1 waiting'),
    (pg_temp.ring('7', 1, 99999) || pg_temp.prepared('1 minute', 'another'), 'warn | process 7, 1 waiting'),
    (pg_temp.ring('7', 10001, 0) || pg_temp.prepared('1 minute'), 'warn | process 7'),
    (pg_temp.ring('7', 1, 99999) || pg_temp.notify('inline'), 'ok | events are sent inline'),
    (pg_temp.ring('NULL', 0, 99999), 'ok | gone until the next event, 0 waiting'),
    (pg_temp.ring('NULL', 1, 0), 'bad | not running, 1 waiting, last 0 ms behind, 3 overflows | See the server''s log, and whether max_worker_processes'),
    (pg_temp.ring('NULL', 1, 0, 1), 'bad | not running, 1 waiting'),
    (pg_temp.ring('NULL', 1, 0) || pg_temp.prepared('1 minute'), 'ok | gone until the next event, 1 waiting'),
    (pg_temp.ring('NULL', 1, 0) || pg_temp.notify('inline'), 'ok | events are sent inline'),
    (pg_temp.ring('NULL', 1, 0) || pg_temp.notify('off'), 'warn | economy.notify is off: nothing is sent | Set economy.notify'),
    (pg_temp.ring('NULL', 0, 0, 1), 'warn | events are sent inline: no worker process is to be had | Raise max_worker_processes:'),
    (pg_temp.ring('7', 0, 0, 1), 'ok | process 7')) v (change, answer);
SELECT pg_temp.case('delivery', 'notification queue', 'UPDATE pgtap_seen.queue SET used = ' || used, answer) FROM (VALUES (0.05, 'ok | 5.0 % used'), (0.0501, 'warn | 5.0 % used | End the listener'), (0.12345, 'warn | 12.3 % used'), (0.5, 'warn | 50.0 %'), (0.5001, 'bad | 50.0 %')) v (used, answer);
INSERT INTO pgtap_seen.setting VALUES ('max_connections', '105'), ('superuser_reserved_connections', '3'), ('reserved_connections', '2');
SELECT pg_temp.case('delivery', 'connections', format('INSERT INTO pgtap_seen.pg_stat_activity SELECT CASE WHEN n > 50 THEN ''client backend'' ELSE ''walsender'' END FROM generate_series(1, 50 + %s) n', used), answer)
FROM (VALUES (0, 'ok | 0 of 100'), (80, 'ok | 80 of 100'), (81, 'warn | 81 of 100 | Raise max_connections'), (99, 'warn | 99 of 100'), (100, 'bad | 100 of 100'), (101, 'bad | 101 of 100')) v (used, answer);
SELECT pg_temp.case('delivery', 'connections', 'DELETE FROM pgtap_seen.setting WHERE name = ''reserved_connections''', 'ok | 0 of 102');
SELECT pg_temp.case('delivery', 'prepared transactions', change, answer) FROM (VALUES ('SELECT', 'ok | 0'), (pg_temp.prepared('1 hour'), 'ok | 1, the oldest of 2096-06-10 11:00:00+00'), (pg_temp.prepared('1 hour 1 microsecond'), 'warn | 1, the oldest of 2096-06-10 10:59:59.999999+00 | COMMIT PREPARED'),
    (pg_temp.prepared('24 hours'), 'warn | 1'), (pg_temp.prepared('24 hours 1 microsecond', 'another') || pg_temp.prepared('1 minute'), 'bad | 2, the oldest of 2096-06-09')) v (change, answer);
SELECT pg_temp.case('delivery', 'oldest transaction', format('INSERT INTO pgtap_seen.pg_stat_activity VALUES (''x'', %s, %s), (''x'', 5, 5, %s)', held, pg_temp.ago(length::interval), pg_temp.ago('1 minute')), answer)
FROM (VALUES ('5, NULL', '1 hour', 'ok | since 2096-06-10 11:00:00+00'), ('5, NULL', '1 hour 1 microsecond', 'warn | since 2096-06-10 10:59:59.999999+00 | End it'), ('NULL, 5', '24 hours', 'warn | since'), ('NULL, 5', '24 hours 1 microsecond', 'bad | since'), ('NULL, NULL', '99 hours', 'ok | since 2096-06-10 11:59:00+00')) v (held, length, answer);
SELECT pg_temp.case('delivery', 'oldest transaction', 'SELECT', 'ok | none');
SELECT pg_temp.case('delivery', 'transaction ids', format('UPDATE pgtap_seen.pg_database SET datfrozenxid = %s WHERE oid = 2', n), answer)
FROM (VALUES (1000000000, 'ok | 1000 million since'), (1000000001, 'warn | 1000 million since the last freeze | VACUUM'), (1600000000, 'warn | 1600 million'), (1600000001, 'bad | 1600 million')) v (n, answer);
CREATE FUNCTION pg_temp.slot(name text, active boolean, kept numeric, status text DEFAULT 'reserved') RETURNS text LANGUAGE sql AS $$ SELECT format('INSERT INTO pgtap_seen.pg_replication_slots VALUES (%L, %L, %L, pg_lsn ''100/0'' - %s);', name, active, status, kept) $$;
SELECT pg_temp.case('delivery', 'replication slots', before || change, answer)
FROM (VALUES ('SELECT', 'ok | 0 not in use'), (pg_temp.slot('a', true, 0), 'ok | 0 not in use, 0 bytes of WAL kept'), (pg_temp.slot('a', true, 4294967296), 'ok | 0 not in use, 4096 MB of WAL kept'),
    (pg_temp.slot('a', true, 4294967297) || pg_temp.slot('b', true, 0), 'warn | 0 not in use, 4096 MB of WAL kept | Let its standby'), (pg_temp.slot('a', true, 17179869184), 'warn | 0 not in use, 16 GB of WAL kept'),
    (pg_temp.slot('a', true, 17179869185), 'bad | 0 not in use, 16 GB of WAL kept | Let its standby'), (pg_temp.slot('c', false, 0) || pg_temp.slot('b', false, 0) || pg_temp.slot('a', true, 0), 'warn | 2 not in use, such as b, 0 bytes of WAL kept | Let its standby'),
    (pg_temp.slot('a', true, 0, 'extended'), 'ok | 0'), (pg_temp.slot('a', true, 0, 'unreserved'), 'bad | 0 not in use, 0 bytes of WAL kept, without its WAL: a | Let its standby'),
    (pg_temp.slot('b', true, 0, 'lost') || pg_temp.slot('a', true, 0, 'unreserved'), 'bad | 0 not in use, 0 bytes of WAL kept, without its WAL: a b | pg_drop_replication_slot(), and make its standby')) v (change, answer)
CROSS JOIN unnest(ARRAY['', 'INSERT INTO pgtap_seen.setting VALUES (''standby'');']) before;

-- --- jobs ------------------------------------------------------------------------

DELETE FROM economy.job_runs;
CREATE FUNCTION pg_temp.run(job text, state text, ended interval) RETURNS text LANGUAGE sql AS $$
    SELECT format('INSERT INTO economy.job_runs (job, state, started_at, ended_at, batches) VALUES (%L, %L, %s, %s, 4);', job, state, pg_temp.ago(ended), CASE WHEN state <> 'running' THEN pg_temp.ago(ended) ELSE 'NULL' END) $$;
SELECT pg_temp.case('jobs', 'job ' || job, pg_temp.run(job, 'done', ended), answer)
FROM (VALUES ('rfm_refresh', interval '26 hours'), ('rfm_refresh_incremental', '3 hours'), ('learn_recommendations', '26 hours'), ('rollup_stats', '10 minutes'), ('audit_sweep', '26 hours'), ('anchor', '26 hours'), ('prune', '26 hours')) j (job, overdue)
CROSS JOIN LATERAL (VALUES (overdue, 'ok | last done'), (overdue + interval '1 microsecond', 'warn | last done'), (3 * overdue, 'warn | last done'), (3 * overdue + interval '1 microsecond', 'bad | last done')) v (ended, answer);
SELECT pg_temp.case('jobs', 'job prune', change, answer) FROM (VALUES
    (pg_temp.run('prune', 'done', '2 hours') || pg_temp.run('prune', 'done', '90 hours'), 'bad | last done 2096-06-06 18:00:00+00 | If nothing runs it: SELECT * FROM'), (pg_temp.run('prune', 'done', '90 hours') || pg_temp.run('prune', 'done', '2 hours'), 'ok | last done 2096-06-10 10:00:00+00'),
    (pg_temp.run('prune', 'failed', '2 hours') || pg_temp.run('prune', 'done', '1 hour'), 'ok'), (pg_temp.run('prune', 'done', '90 hours') || pg_temp.run('prune', 'failed', '2 hours'), 'bad | last done'),
    (pg_temp.run('prune', 'lost', '2 hours'), 'warn | never done; lost'), (pg_temp.run('prune', 'running', '2 hours'), 'warn | never done; running since 2096-06-10 10:00:00+00, 4 batches'),
    (pg_temp.run('prune', 'skipped', '2 hours'), 'warn | never done |'), (pg_temp.run('prune', 'failed', '3 hours') || pg_temp.run('prune', 'skipped', '2 hours'), 'bad | never done; failed 2096-06-10 09:00:00+00: '),
    (pg_temp.run('anchor', 'done', '2 hours'), 'warn | never done |')) v (change, answer);

-- --- pg_cron ----------------------------------------------------------------------

SELECT pg_temp.case('cron', 'pg_cron', format('INSERT INTO pgtap_seen.setting VALUES (''cron.database_name'', %L)', home), answer) FROM (VALUES (NULL, 'ok | not installed here'), (current_database(), 'ok | not installed here'), ('another', 'ok | it runs the jobs of database another')) v (home, answer);
INSERT INTO pgtap_seen.pg_extension VALUES ('pg_cron');
INSERT INTO pgtap_seen.setting VALUES ('cron.database_name', current_database());
INSERT INTO pgtap_seen.pg_stat_activity VALUES ('pg_cron launcher');
INSERT INTO pgtap_seen.job VALUES (1, 'economy: prune', current_database(), true), (2, 'economy: anchor', current_database(), true), (3, 'other', current_database(), false), (4, 'economy: prune', 'another', false), (5, 'economy another: prune', current_database(), false);
INSERT INTO pgtap_seen.job_run_details VALUES (1, 9, 'failed', 'no', pg_catalog.now()), (2, 10, 'succeeded', 'yes', pg_catalog.now()), (3, 11, 'failed', 'no', pg_catalog.now()), (4, 12, 'failed', 'no', pg_catalog.now()), (5, 13, 'failed', 'no', pg_catalog.now());
SELECT pg_temp.case('cron', 'pg_cron', change, answer) FROM (VALUES ('SELECT', 'ok | 2 jobs, last run succeeded: yes'), ('DELETE FROM pgtap_seen.job WHERE jobid < 3', 'warn | 0 jobs, last run never | SELECT * FROM'),
    ('DELETE FROM pgtap_seen.pg_stat_activity', 'bad | 2 jobs, last run succeeded: yes; it does not run here | It must be in shared_preload_libraries'), ('UPDATE pgtap_seen.setting SET value = ''another''', 'bad | 2 jobs, last run succeeded: yes; it does not run here'),
    ('DELETE FROM pgtap_seen.setting', 'bad | 2 jobs, last run succeeded: yes; it does not run here'), ('DELETE FROM pgtap_seen.pg_stat_activity; INSERT INTO pgtap_seen.setting VALUES (''standby'')', 'ok | 2 jobs'),
    ('UPDATE pgtap_seen.job_run_details SET runid = 14 WHERE jobid = 1', 'bad | 2 jobs, last run failed: no | Where it cannot connect'), ('UPDATE pgtap_seen.job_run_details SET runid = 14 WHERE jobid = 1; UPDATE pgtap_seen.job SET active = false', 'bad | 2 jobs, last run failed'),
    ('UPDATE pgtap_seen.job SET active = false WHERE jobid = 1', 'warn | 2 jobs, last run succeeded: yes | The first run'), ('DELETE FROM pgtap_seen.job_run_details WHERE runid < 11', 'warn | 2 jobs, last run never | The first run'),
    ('UPDATE pgtap_seen.job_run_details SET return_message = repeat(''x'', 300)', 'ok | 2 jobs, last run succeeded: ' || repeat('x', 200)), ('UPDATE pgtap_seen.job_run_details SET return_message = NULL', 'ok | 2 jobs, last run succeeded')) v (change, answer);
SELECT is(length(pg_temp.said('cron', 'pg_cron', 'UPDATE pgtap_seen.job_run_details SET return_message = repeat(''x'', 300)')), length('ok | 2 jobs, last run succeeded: ') + 200, 'of a long message the begin');

-- --- proof and installation ---------------------------------------------------------

DELETE FROM economy.audit_findings;
DELETE FROM economy.audit_runs;
INSERT INTO pgtap_seen.stale VALUES (0, NULL);
CREATE FUNCTION pg_temp.audit(kind text, ended text) RETURNS text LANGUAGE sql AS $$ SELECT format('INSERT INTO economy.audit_runs (kind, started_at, finished_at, users, entries, findings) VALUES (%L, pg_catalog.now(), %s, 0, 0, 0);', kind, ended) $$;
SELECT pg_temp.case('proof', 'last full audit', change, answer) FROM (VALUES (pg_temp.audit('full', pg_temp.ago('200 hours')), 'ok | ended 2096-06-02 04:00:00+00'), (pg_temp.audit('full', pg_temp.ago('200 hours 1 microsecond')), 'warn | ended 2096-06-02 03:59:59.999999+00 | CALL'),
    (pg_temp.audit('full', pg_temp.ago('1 hour')) || pg_temp.audit('full', pg_temp.ago('201 hours')) || pg_temp.audit('full', 'NULL'), 'ok | ended'), (pg_temp.audit('full', 'NULL'), 'warn | never |'), (pg_temp.audit('incremental', pg_temp.ago('1 hour')), 'warn | never |')) v (change, answer);
SELECT pg_temp.case('proof', 'findings', format('INSERT INTO economy.audit_findings SELECT sha256(n::text::bytea), 1, 1, CASE WHEN n > %s THEN 1 END, 1, ''x'' FROM generate_series(1, 3) n', n), answer) FROM (VALUES (0, 'ok | 0 open'), (1, 'bad | 1 open | See'), (3, 'bad | 3 open')) v (n, answer);
DELETE FROM economy_internal.rollup_state;
DELETE FROM economy_internal.rollup_queue;
INSERT INTO economy_internal.rollup_state (position, summarized, next_user) VALUES (1, 0, 1000);
INSERT INTO economy_internal.rollup_queue SELECT generate_series(900, 100999);
SELECT pg_temp.case('proof', 'rollup', change, answer) FROM (VALUES ('SELECT', 'ok | 100000 users'), ('INSERT INTO economy_internal.rollup_queue VALUES (200000)', 'warn | 100001 users with actions that are seen and not rolled up | CALL'), ('INSERT INTO economy_internal.rollup_queue VALUES (1)', 'ok | 100000 users'), ('UPDATE economy_internal.rollup_state SET next_user = NULL', 'ok | 0 users')) v (change, answer);
SELECT pg_temp.case('proof', 'segments', format('UPDATE pgtap_seen.stale SET users = 3, age = %L', length), answer) FROM (VALUES (NULL, 'ok | 3 users with a stale segment'), ('26 hours', 'ok | 3 users with a stale segment, the oldest for 26:00:00'), ('26 hours 1 microsecond', 'warn | 3 users with a stale segment, the oldest for 26:00:00.000001 | CALL')) v (length, answer);
SELECT economy.register('pgtap health state'), economy.rotate_signing_key() \g /dev/null
UPDATE economy.signing_keys SET created_at = timestamptz '2090-01-01' WHERE state <> 'active';
UPDATE economy.signing_keys SET created_at = pgtap_seen.clock_timestamp() WHERE state = 'active';
INSERT INTO pgtap_seen.pg_extension SELECT e.extname, e.extversion FROM pg_catalog.pg_extension e WHERE e.extname = 'economy';
SELECT pg_temp.case('installation', 'signing key', format('UPDATE economy.signing_keys SET created_at = %s WHERE state = ''active''', pg_temp.ago(length::interval)), answer) FROM (VALUES ('9600 hours', 'ok | active since 2095-05-07'), ('9600 hours 1 microsecond', 'warn | active since 2095-05-07 | SELECT')) v (length, answer);
SELECT pg_temp.case('installation', 'test clock', format('INSERT INTO pgtap_seen.setting VALUES (''economy.test_clock'', %L)', value), answer) FROM (VALUES (NULL, 'ok | off'), ('', 'ok | off'), ('2031-01-01', 'warn | all rules see 2031-01-01 | RESET')) v (value, answer);
SELECT * FROM finish();
ROLLBACK;
