-- The jobs as SQL sees them: how a run begins, what is forgotten, where it goes on,
-- and every job of several batches to its end, also after an error in one.
-- test/tap/t/710_schedule.pl runs them by the procedure and by pg_cron.
BEGIN;
SELECT no_plan();
SET LOCAL jit = off;
DELETE FROM economy.job_runs;
CREATE FUNCTION pg_temp.runs(job text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', r.state, r.rows, r.batches, r.position::text, r.error), ', ' ORDER BY r.run_id) FROM economy.job_runs r WHERE r.job = runs.job $$;
-- runs of another time: state, age of the begin, position, error
CREATE FUNCTION pg_temp.was(job text, state text, age interval, "position" jsonb DEFAULT NULL, error text DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
    INSERT INTO economy.job_runs (job, state, started_at, ended_at, position, error)
    VALUES (job, state, clock_timestamp() - age, CASE WHEN state <> 'running' THEN clock_timestamp() - age + interval '1 second' END, position, error) $$;

-- --- begin ---------------------------------------------------------------------

SELECT throws_ok('SELECT economy_internal.begin_job(''mischief'', true)', 'XE002', 'job "mischief" does not exist', 'no such job');
SELECT throws_ok('SELECT economy_internal.begin_job(''mischief'', false)', 'XE002', NULL, 'whether one goes or not');
SELECT is(economy_internal.begin_job('prune', true) IS NOT NULL, true, 'a run begins');
SELECT is(economy_internal.begin_job('prune', false), NULL, 'one beside it is skipped');
SELECT is(pg_temp.runs('prune'), 'running 0, skipped 0 the run before is still going', 'and both are noted');
SELECT is((SELECT bool_and(started_at BETWEEN statement_timestamp() - interval '1 hour' AND clock_timestamp() AND (ended_at >= started_at) IS NOT DISTINCT FROM CASE state WHEN 'skipped' THEN true END) FROM economy.job_runs), true, 'with their times');
SELECT is(economy_internal.begin_job('prune', true) IS NOT NULL, true, 'a run that nobody holds any more');
SELECT is(pg_temp.runs('prune'), 'lost 0 it had not ended, and was not going, when the next run began, skipped 0 the run before is still going, running 0', 'is lost');
SELECT is(economy_internal.begin_job('anchor', true) IS NOT NULL, true, 'another job');
SELECT is((SELECT string_agg(job, ' ' ORDER BY job) FROM economy.job_runs WHERE state = 'running'), 'anchor prune', 'does not touch it');

-- runs of 720 hours are kept, those that are older are not, but for one that is going
DELETE FROM economy.job_runs;
SELECT pg_temp.was(job, state, age) FROM (VALUES ('prune', 'done', interval '720 hours 1 second'), ('prune', 'failed', '9000 hours'), ('prune', 'skipped', '721 hours'), ('prune', 'lost', '721 hours'), ('prune', 'done', '719 hours 59 minutes'), ('anchor', 'done', '721 hours'), ('prune', 'running', '800 hours')) v (job, state, age) \g /dev/null
SELECT is(economy_internal.begin_job('prune', false), NULL, 'a run that is skipped');
SELECT is((SELECT count(*) FROM economy.job_runs), 8::bigint, 'forgets nothing');
SELECT is(economy_internal.begin_job('prune', true) IS NOT NULL, true, 'one that begins');
SELECT is((SELECT string_agg(job || ' ' || state, ', ' ORDER BY run_id) FROM economy.job_runs), 'prune done, anchor done, prune lost, prune skipped, prune running', 'forgets the old runs of its job');
DELETE FROM economy.job_runs;
SELECT count(pg_temp.was('prune', 'done', interval '721 hours')) AS x FROM generate_series(1, 1100) \gset
SELECT economy_internal.begin_job('prune', true) AS x \gset
SELECT is((SELECT count(*) FROM economy.job_runs WHERE state = 'done'), 100::bigint, 'a thousand at once');
SELECT count(pg_temp.was('prune', 'done', interval '1 hour')) AS x FROM generate_series(1, 1000) \gset
SELECT economy_internal.begin_job('prune', true) AS x \gset
SELECT is((SELECT count(*) FROM economy.job_runs WHERE state = 'done'), 1000::bigint, 'the oldest of many');

-- where the run before was cut off, the next goes on: not where it met something bad
CREATE FUNCTION pg_temp.taken_up(runs text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    run bigint;
BEGIN
    DELETE FROM economy.job_runs;
    -- job state place error, the oldest first
    PERFORM pg_temp.was(r[1], r[2], interval '1 hour', to_jsonb(r[3]), nullif(r[4], '')) FROM string_to_table(runs, ', ') WITH ORDINALITY t (line, n), regexp_match(line, '^([a-z]+) ([a-z]+) ([0-9]+) ?(.*)$') r ORDER BY n;
    run := economy_internal.begin_job('prune', true);
    RETURN (SELECT coalesce(r.position #>> '{}', 'the begin') FROM economy.job_runs r WHERE r.run_id = run);
END
$$;
SELECT is(pg_temp.taken_up(runs), answer, runs)
FROM (VALUES ('prune failed 7 40001: could not serialize', '7'), ('prune failed 7 40P01: deadlock', '7'), ('prune failed 7 55P03: lock timeout', '7'), ('prune failed 7 57014: timeout', '7'), ('prune failed 7 57P01: shutdown', '7'),
    ('prune failed 7 23514: broken', 'the begin'), ('prune failed 7 XX000: 57014', 'the begin'), ('prune failed 7 53200: memory', 'the begin'), ('prune failed 7 42501: denied', 'the begin'), ('prune failed 7 58030: disk', 'the begin'),
    ('prune lost 7 gone', '7'), ('prune running 7', '7'), ('prune done 7', 'the begin'), ('prune failed 7 57014: t, prune skipped 9 no', '7'), ('prune failed 7 57014: t, prune done 8', 'the begin'), ('prune failed 7 57014: t, prune failed 8 23514: b', 'the begin'),
    ('prune failed 7 23514: b, prune failed 8 57014: t', '8'), ('anchor failed 7 57014: t', 'the begin'), ('prune failed 7 57014: t, anchor failed 8 57014: t', '7')) v (runs, answer);

-- --- a batch ---------------------------------------------------------------------

SELECT is(economy_internal.do_job(run_id), 'lost', 'a run that is not going: ' || coalesce(run_id::text, 'null')) FROM (VALUES (NULL::bigint), (-1)) v (run_id);
-- to the end of a job, or its first error; what is told of it
CREATE FUNCTION pg_temp.finish_job(job text, run bigint DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    id     CONSTANT bigint := coalesce(run, economy_internal.begin_job(job, true));
    answer text;
BEGIN
    FOR i IN 1 .. 100 LOOP
        answer := economy_internal.do_job(id);
        EXIT WHEN answer <> 'running';
    END LOOP;
    RETURN (SELECT concat_ws(' ', answer, r.state, r.batches > 1, r.rows, r.position::text, r.error, (r.ended_at >= r.started_at)::text) FROM economy.job_runs r WHERE r.run_id = id);
END
$$;
-- with work for two batches or more
SELECT economy.register('pgtap job ' || n) AS x FROM generate_series(1, 201) n \g /dev/null
CREATE TEMP TABLE who AS SELECT economy.user_id_of('pgtap job ' || n) AS user_id FROM generate_series(1, 201) n;
SELECT set_config('economy.test_clock', '2097-01-01 00:00:00+00', true) AS x \gset
SELECT count(*) AS x FROM economy.record_actions((SELECT jsonb_agg(jsonb_build_object('user_id', user_id, 'game', 'slot', 'action_type', 'T', 'action_id', id) ORDER BY id) FROM who, unnest(ARRAY['a', 'b']) id)) \gset
SELECT count(*) AS x FROM generate_series(1, 100) n, economy.rollup_stats() \gset
SELECT set_config('economy.test_clock', '2097-06-01 00:00:00+00', true) AS x \gset
SELECT economy.set_recommendations('pgtap job', '{"policy": "thompson"}', '[{"segment": "*", "arm": "a", "cta": "a"}]', 'pgtap') AS x \gset
INSERT INTO economy.recommendations SELECT user_id, 1, 'pgtap job', 1, 'S', 'a', 'a', NULL, false, 'thompson', 1, '2097-05-01', 0, '2097-05-01 00:00:00+00', '2097-05-02 00:00:00+00' FROM who;
SELECT count(*) AS x FROM economy.rfm_refresh('2097-05-30 00:00:00+00') \gset
DELETE FROM economy.audit_runs;
DELETE FROM economy.job_runs;
CREATE TEMP TABLE anchors_before AS SELECT coalesce(max(anchor_id), 0) AS n FROM economy.anchors;
-- what was done of each job's work
CREATE FUNCTION pg_temp.done(job text) RETURNS text LANGUAGE sql AS $$
    SELECT CASE job WHEN 'prune' THEN (SELECT count(*) FROM economy.user_actions a JOIN who USING (user_id) WHERE a.action_id = 'a') || ' left'
        WHEN 'learn_recommendations' THEN (SELECT count(*) FROM economy.recommendation_days WHERE placement = 'pgtap job' AND day = '2097-06-01') || ' published'
        WHEN 'anchor' THEN (SELECT format('%s open, %s new', count(*) FILTER (WHERE signature IS NULL), coalesce(max(anchor_id), 0) - (SELECT n FROM anchors_before)) FROM economy.anchors)
        WHEN 'audit_sweep' THEN (SELECT format('%s open, %s ended', count(*) FILTER (WHERE finished_at IS NULL), count(finished_at)) FROM economy.audit_runs WHERE kind = 'full')
        WHEN 'rfm_refresh' THEN (SELECT format('as of %s, %s', (as_of AT TIME ZONE 'UTC')::date - date '2097-05-30', CASE WHEN next_user IS NULL THEN 'all written' ELSE 'rows are left' END) FROM economy.rfm_state) END $$;
-- the batch after the first fails by this
CREATE TEMP TABLE job (job text, relation text, broken text, before text, between text, after text);
INSERT INTO job VALUES
    ('prune', 'pruned_stats', 'user_id < 0', '201 left', '1 left', '0 left'), ('learn_recommendations', 'recommendation_progress', 'learned_until IS NULL', '0 published', '1 published', '1 published'),
    ('anchor', 'anchor_config', 'anchor_id < 0', '0 open, 0 new', '1 open, 1 new', '0 open, 1 new'), ('audit_sweep', 'audit_runs', 'finished_at IS NULL', '0 open, 0 ended', '1 open, 0 ended', '0 open, 1 ended'),
    ('rfm_refresh', 'rfm_state', 'next_user IS NOT NULL', 'as of 0, all written', 'as of 2, rows are left', 'as of 2, all written');
SELECT is(pg_temp.done(job), before, 'before ' || job) FROM job ORDER BY job;
SAVEPOINT fresh;
SELECT matches(pg_temp.finish_job(job), '^done done t [0-9]+ true$', job || ' takes its batches one after the other') FROM job ORDER BY job;
SELECT is(pg_temp.done(job), after, 'to the end of ' || job) FROM job ORDER BY job;
SELECT is((SELECT batches || ' ' || rows FROM economy.job_runs WHERE job = 'prune'), '2 201', 'prune takes 200 users at once, and tells of all');
SELECT cmp_ok((SELECT rows FROM economy.job_runs r WHERE r.job = j), '>=', 201::bigint, j || ' tells of all its work') FROM unnest(ARRAY['anchor', 'learn_recommendations']) j;
ROLLBACK TO fresh;
CREATE FUNCTION pg_temp.interrupted(job text, relation text, broken text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    run CONSTANT bigint := economy_internal.begin_job(job, true);
    target CONSTANT regclass := coalesce(to_regclass('economy.' || relation), to_regclass('economy_internal.' || relation));
BEGIN
    RETURN NEXT economy_internal.do_job(run);
    EXECUTE format('ALTER TABLE %s ADD CONSTRAINT broken CHECK (%s) NOT VALID', target, broken);
    RETURN NEXT economy_internal.do_job(run);
    RETURN NEXT economy_internal.do_job(run);
    RETURN NEXT regexp_replace(pg_temp.runs(job), ' [0-9]+ 1 ', ' n 1 ');
    RETURN NEXT pg_temp.done(job);
    EXECUTE format('ALTER TABLE %s DROP CONSTRAINT broken', target);
    RETURN NEXT split_part(pg_temp.finish_job(job), ' ', 1);
    RETURN NEXT pg_temp.done(job);
END
$$;
SET LOCAL client_min_messages = error;
SELECT is((SELECT array_agg(i) FROM pg_temp.interrupted(job, relation, broken) i), ARRAY['running', 'failed', 'lost', format('failed n 1 {} 23514: new row for relation "%s" violates check constraint "broken"', relation), between, 'done', after], job || ': a batch that fails leaves what was before it')
FROM job ORDER BY job;

-- --- history ---------------------------------------------------------------------------

DELETE FROM economy.job_runs;
INSERT INTO economy.job_runs (job, state, started_at, ended_at, rows, batches, error) SELECT CASE WHEN n > 10002 THEN 'anchor' ELSE 'prune' END, 'done', pg_catalog.now(), pg_catalog.now(), n, 1, 'e' || n FROM generate_series(1, 10005) n;
SELECT is((SELECT concat_ws(' ', count(*), min(h.rows), max(h.rows), bool_and(h.error = 'e' || h.rows)) FROM economy.job_history(job, max) h), answer, format('job_history(%s, %s)', job, max))
FROM (VALUES (NULL, 3, '3 10003 10005 t'), ('prune', 2, '2 10001 10002 t'), ('anchor', 5, '3 10003 10005 t'), (NULL, 20000, '10000 6 10005 t'), (NULL, 10000, '10000 6 10005 t'), (NULL, 9999, '9999 7 10005 t'), (NULL, NULL, '10000 6 10005 t'), ('none', 5, '0'), (NULL, 0, '0')) v (job, max, answer);
SELECT is((SELECT count(*) FROM economy.job_history()), 100::bigint, 'a hundred unless it is said');
SELECT is((SELECT array_agg(h.rows) FROM economy.job_history('prune', 3) h), '{10002,10001,10000}', 'the newest first');
SELECT * FROM finish();
ROLLBACK;
