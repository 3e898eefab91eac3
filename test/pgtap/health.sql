-- health(): each check says ok, and warns of what it is for; one that cannot be asked
-- keeps nobody from the others.
BEGIN;
SELECT plan(33);
SELECT economy.register('pgtap health') AS u \gset
SELECT economy.register_game('pgtap health') \g /dev/null
DELETE FROM economy.job_runs;
DELETE FROM economy.audit_findings;
DELETE FROM economy.audit_runs;
UPDATE economy.signing_keys SET created_at = pg_catalog.now();
SELECT economy_internal.note_key(version) FROM economy.signing_keys \g /dev/null

CREATE FUNCTION pg_temp.state_after(item text, change text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    BEGIN
        EXECUTE change;
        SELECT h.state || CASE WHEN h.state <> 'ok' AND h.hint IS NULL THEN ' without a hint' ELSE '' END || ': ' || h.detail INTO answer FROM economy.health() h WHERE h.item = state_after.item;
        RAISE EXCEPTION USING ERRCODE = 'XT000';
    EXCEPTION WHEN SQLSTATE 'XT000' THEN
        RETURN answer;
    END;
END
$$;
CREATE FUNCTION pg_temp.run(state text, ended interval, error text DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT format('INSERT INTO economy.job_runs (job, state, started_at, ended_at, error) VALUES (''prune'', %L, clock_timestamp() - %L::interval, clock_timestamp() - %L::interval, %L);',
                  state, ended, CASE WHEN state <> 'running' THEN ended END, error) $$;

SELECT set_has('SELECT item FROM economy.health()', $$VALUES ('library'), ('schema'), ('signing key'), ('test clock'), ('relay'), ('notification queue'), ('sessions'), ('connections'),
    ('prepared transactions'), ('oldest transaction'), ('transaction ids'), ('replication slots'), ('pg_cron'), ('last full audit'), ('findings'), ('rollup'), ('segments'), ('leaderboard prizes'), ('payment orders')$$, 'every check is there');
SELECT set_has('SELECT item FROM economy.health()', $$SELECT 'job ' || job FROM economy.job_list()$$, 'and every job');
SELECT is((SELECT string_agg(item, ', ') FROM economy.health() WHERE item NOT IN ('last full audit', 'relay', 'rollup', 'pg_cron', 'oldest transaction') AND item NOT LIKE 'job %' AND state <> 'ok'), NULL, 'a new installation is well');
SELECT is((SELECT string_agg(item, ', ') FROM economy.health() WHERE state <> 'ok' AND hint IS NULL OR state = 'ok' AND hint IS NOT NULL OR state NOT IN ('ok', 'warn', 'bad') OR item IS NULL OR detail IS NULL), NULL,
    'what is not well has a hint');
SELECT matches(pg_temp.state_after(item, change), '^' || answer, item || ': ' || answer) FROM (VALUES
    ('library', 'UPDATE pg_extension SET extversion = ''9.9.9'' WHERE extname = ''economy''', E'bad: library .*, objects 9\\.9\\.9'),
    ('schema', 'ALTER TABLE economy.accounts DROP CONSTRAINT accounts_gold_check', 'bad: 1 findings, such as constraint accounts_gold_check'),
    ('signing key', 'UPDATE economy.signing_keys SET created_at = pg_catalog.now() - interval ''401 days''', 'warn: active since'),
    ('test clock', 'SET LOCAL economy.test_clock = ''2031-01-31 12:00:00+00''', 'warn: all rules see 2031'),
    ('relay', 'SET LOCAL economy.notify = off', 'warn: economy.notify is off'),
    ('relay', 'SET LOCAL economy.notify = inline', 'ok: events are sent inline'),
    ('connections', 'SELECT', E'ok: \\d+ of \\d+$'),
    ('job prune', 'SELECT', 'warn: never done'),
    ('job prune', pg_temp.run('done', '5 minutes'), 'ok: last done'),
    ('job prune', pg_temp.run('done', '27 hours'), 'warn: last done'),
    ('job prune', pg_temp.run('done', '80 hours'), 'bad: last done'),
    ('job prune', pg_temp.run('done', '5 minutes') || pg_temp.run('failed', '1 minute', 'XX000: broken'), 'warn: last done .*; failed .*: XX000: broken'),
    ('job prune', pg_temp.run('failed', '5 minutes', 'XX000: broken'), 'bad: never done; failed .*: XX000: broken'),
    ('job prune', pg_temp.run('done', '5 minutes') || pg_temp.run('lost', '1 minute', 'gone'), 'warn: last done .*; lost .*: gone'),
    ('job prune', pg_temp.run('failed', '9 minutes', 'XX000: broken') || pg_temp.run('done', '5 minutes') || pg_temp.run('skipped', '1 minute'), 'ok: last done'),
    ('job prune', pg_temp.run('done', '5 minutes') || pg_temp.run('running', '1 minute'), 'ok: last done .*; running since .*, 0 batches'),
    ('last full audit', 'SELECT', 'warn: never'),
    ('last full audit', 'SELECT * FROM economy.audit_sweep()', 'ok: ended'),
    ('last full audit', 'SELECT * FROM economy.audit_sweep(); UPDATE economy.audit_runs SET finished_at = finished_at - interval ''9 days''', 'warn: ended'),
    ('rollup', 'DELETE FROM economy_internal.rollup_state; SELECT economy.record_action(' || :'u' || ', ''pgtap health'', ''T'', ''a'', 0, 0)', 'warn: no action was rolled up yet'),
    ('rollup', 'SELECT economy.record_action(' || :'u' || ', ''pgtap health'', ''T'', ''a'', 0, 0); SELECT economy.rollup_stats()', 'ok: 0 users'),
    ('leaderboard prizes', 'INSERT INTO economy.leaderboard_refusals VALUES (''pgtap'', ''2031-01-01'', 1, 1, ''{}'', ''USER_SUSPENDED'', pg_catalog.now())', 'ok: 0 could not be paid$'),
    ('leaderboard prizes', 'INSERT INTO economy.leaderboard_refusals VALUES (''pgtap'', ''2031-01-01'', 1, 1, ''{}'', ''ITEM_INACTIVE'', pg_catalog.now())', 'warn: 1 could not be paid, such as ITEM_INACTIVE$'),
    ('findings', 'ALTER TABLE economy.accounts DISABLE TRIGGER ALL; UPDATE economy.accounts SET gold = gold + 1 WHERE user_id = ' || :'u' || '; SELECT economy.audit_sweep()', 'bad: [1-9]'),
    ('findings', 'UPDATE economy.accounts SET gold = gold + 1 WHERE user_id = ' || :'u' || '; SELECT economy.audit_sweep(); UPDATE economy.accounts SET gold = gold - 1 WHERE user_id = ' || :'u' || '; SELECT economy.audit_sweep()', 'ok: 0'),
    ('proof', 'SET LOCAL economy.allow_drop = on; ALTER TABLE economy.rfm_state RENAME TO gone', E'bad: could not be checked: table economy\\.rfm_state'),
    ('library', 'SET LOCAL economy.allow_drop = on; ALTER TABLE economy.rfm_state RENAME TO gone', 'ok: ')) v (item, change, answer);
SELECT is(length(regexp_replace(pg_temp.state_after('schema', 'ALTER TYPE economy.grant_result RENAME TO other'), '^bad: [0-9]+ findings, such as type ', '')), 195, 'of a long finding the begin');
SELECT is(pg_temp.state_after('oldest transaction', 'SELECT') ~ '^ok: since', true, 'oldest transaction');
SELECT * FROM finish();
ROLLBACK;
