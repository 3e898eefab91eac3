-- Rate limits: set_rate_limit(), take_rate(), remove_rate_limit(), and what the job forgets.
BEGIN;
SELECT no_plan();

-- what redis-cell says
\set vectors `cat test/data/gcra_vectors.json`
CREATE TEMPORARY TABLE vectors AS SELECT :'vectors'::jsonb AS v;
SELECT is(jsonb_array_length(v -> 'cases'), 15, 'test/data/gcra_vectors.json is here: run the files from the root of the source') FROM vectors;
SET LOCAL economy.test_clock = '2026-03-01 00:00:00+00';
SELECT is(l::text, '(pgtap,5,1,1)', 'a rate limit') FROM vectors, economy.set_rate_limit(jsonb_build_object('limit_id', 'pgtap', 'burst', v -> 'limit', 'refill', 1, 'period_seconds', v -> 'period_s'), 'ann') l;
CREATE FUNCTION pg_temp.at(seconds numeric) RETURNS text LANGUAGE sql AS
    $$ SELECT set_config('economy.test_clock', to_char(timestamp '2026-03-01' + seconds * interval '1 second', 'YYYY-MM-DD HH24:MI:SS.US') || '+00', true) $$;
CREATE FUNCTION pg_temp.brief(r economy.rate_result) RETURNS text LANGUAGE sql AS
    $$ SELECT concat_ws(' ', r.code, r.remaining, 'retry ' || round(extract(epoch FROM r.retry_after), 6), 'full ' || round(extract(epoch FROM r.full_after), 6)) $$;
CREATE FUNCTION pg_temp.taken() RETURNS bigint LANGUAGE sql AS
    $$ SELECT count(*) FROM economy_internal.rate_taken WHERE limit_id LIKE 'pgtap%' $$;
CREATE FUNCTION pg_temp.as_published(case_of jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    r economy.rate_result;
BEGIN
    PERFORM pg_temp.at((case_of ->> 'at_s')::numeric);
    r := economy.take_rate('pgtap', 'a published one', (case_of ->> 'quantity')::integer);
    RETURN concat_ws(' ', NOT r.allowed, r.remaining, round(extract(epoch FROM r.retry_after), 1));
END
$$;
CREATE TEMPORARY TABLE seen AS SELECT n, c, pg_temp.as_published(c) AS answer
    FROM (SELECT n, c FROM vectors, jsonb_array_elements(v -> 'cases') WITH ORDINALITY e (c, n) ORDER BY n) o;
SELECT is(answer, concat_ws(' ', (c ->> 'limited')::boolean, c ->> 'remaining', c ->> 'retry_after_s'), 'published: ' || c::text) FROM seen ORDER BY n;

-- evenly, and never more than refill in a period
SELECT is(l::text, '(pgtap_3,3,3,1)', 'three a second') FROM economy.set_rate_limit('{"limit_id": "pgtap_3", "burst": 3, "refill": 3, "period_seconds": 1}', 'ann') l;
SELECT pg_temp.at(100) AS x \gset
SELECT is(pg_temp.brief(economy.take_rate('pgtap_3', 's', 0)), 'OK 3 full 0.000000', '0 tells what there is');
SELECT is(pg_temp.brief(economy.take_rate('pgtap_3', 's', 4)), 'ABOVE_BURST 3 full 0.000000', 'more than there ever is');
SELECT is(pg_temp.taken(), 1::bigint, 'neither is kept');
SELECT is(pg_temp.brief(economy.take_rate('pgtap_3', 's', 3)), 'OK 0 full 1.000002', 'all');
SELECT is(pg_temp.brief(economy.take_rate('pgtap_3', 's', 2)), 'RATE_LIMITED 0 retry 0.666668 full 1.000002', 'two are not there');
SELECT is(pg_temp.brief(economy.take_rate('pgtap_3', 'S')), 'OK 2 full 0.333334', 'another subject');
SELECT is(pg_temp.brief(economy.take_rate('pgtap', 's')), 'OK 4 full 1.000000', 'or of another limit');
SELECT pg_temp.at(100.333333) AS x \gset
SELECT is(pg_temp.brief(economy.take_rate('pgtap_3', 's')), 'RATE_LIMITED 0 retry 0.000001 full 0.666669', 'a microsecond too early');
SELECT pg_temp.at(100.333334) AS x \gset
SELECT is(pg_temp.brief(economy.take_rate('pgtap_3', 's')), 'OK 0 full 1.000002', 'there it is');
SELECT is(pg_temp.brief(economy.take_rate('pgtap_3', 's', 0)), 'OK 0 full 1.000002', 'nothing is more than nothing');

-- a clock that is set back, and a limit that is changed
SELECT pg_temp.at(-1000000) AS x \gset
SELECT is(pg_temp.brief(economy.take_rate('pgtap_3', 's')), 'RATE_LIMITED 0 retry 0.333334 full 1.000002', 'a clock set back keeps nobody out for longer than the whole burst needs');
SELECT pg_temp.at(-999999) AS x \gset
SELECT is(pg_temp.brief(economy.take_rate('pgtap_3', 's')), 'RATE_LIMITED 0 retry 0.333334 full 1.000002', 'but for as long as it is back: what was taken is not forgotten');
SELECT pg_temp.at(200) AS x \gset
SELECT is(pg_temp.brief(economy.take_rate('pgtap_3', 's', 3)), 'OK 0 full 1.000002', 'all again');
SELECT is(l::text, '(pgtap_3,2,1,10)', 'less') FROM economy.set_rate_limit('{"limit_id": "pgtap_3", "burst": 2, "refill": 1, "period_seconds": 10}', 'bob') l;
SELECT is(pg_temp.brief(economy.take_rate('pgtap_3', 's')), 'OK 0 full 11.000002', 'who had taken all has it back when he would have had');
SELECT is(l::text, '(pgtap_3,2,1000000,1)', 'and at once') FROM economy.set_rate_limit('{"limit_id": "pgtap_3", "refill": 1000000, "period_seconds": 1}', 'bob') l;
SELECT is(pg_temp.brief(economy.take_rate('pgtap_3', 's')), 'RATE_LIMITED 0 retry 0.000001 full 0.000002', 'a limit that is higher holds nobody to the lower one');
SELECT is(l::text, '(pgtap_most,1000000,1000000,31622400)', 'the largest numbers') FROM economy.set_rate_limit('{"limit_id": "pgtap_most", "burst": 1000000, "refill": 1000000, "period_seconds": 31622400}', 'bob') l;
SELECT is(pg_temp.brief(economy.take_rate('pgtap_most', repeat('s', 255), 1000000)), 'OK 0 full 31622400.000000', 'are taken');
SELECT is(pg_temp.brief(economy.take_rate('pgtap_most', repeat('s', 255), 2147483647)), 'ABOVE_BURST 0 full 31622400.000000', 'or are not there');

-- savepoints
SAVEPOINT s;
SELECT is(pg_temp.brief(economy.take_rate('pgtap', 'undone', 5)), 'OK 0 full 5.000000', 'taken in a savepoint');
ROLLBACK TO s;
SELECT is(pg_temp.brief(economy.take_rate('pgtap', 'undone', 0)), 'OK 5 full 0.000000', 'is not taken when it is rolled back');

-- arguments
SELECT throws_ok('SELECT economy.take_rate(' || args || ')', code, says, args)
FROM (VALUES ('NULL, ''s''', 'XE001', 'limit_id must not be null'), ('''pgtap'', NULL', 'XE001', 'subject must not be null'), ('''pgtap'', ''s'', NULL', 'XE001', 'quantity must not be null'),
             ('''pgtap'', ''''', 'XE002', 'subject must have 1 to 255 bytes'), ('''pgtap'', repeat(''s'', 256)', 'XE002', 'subject must have 1 to 255 bytes'),
             ('''pgtap'', ''s'', -1', 'XE002', 'quantity must not be negative'), ('''Pgtap'', ''s''', 'XE812', 'rate limit "Pgtap" does not exist')) v (args, code, says);
SELECT throws_ok(format('SELECT economy.set_rate_limit(%s)', args), code, says, args)
FROM (VALUES ('''[]'', ''a''', 'XE811', 'rate must be a JSON object with a limit_id'), ('''{"burst": 1}'', ''a''', 'XE811', 'rate must be a JSON object with a limit_id'),
             ('NULL, ''a''', 'XE001', 'rate must not be null'), ('''{}'', NULL', 'XE001', 'actor must not be null'),
             ('''{"limit_id": "pgtap_x", "burst": 1, "refill": 1}'', ''a''', 'XE811', 'rate limit "pgtap_x" is not valid'),
             ('''{"limit_id": "pgtap", "burst": 0}'', ''a''', 'XE811', 'rate limit "pgtap" is not valid'), ('''{"limit_id": "pgtap", "burst": "x"}'', ''a''', 'XE811', 'rate limit "pgtap" is not valid'),
             ('''{"limit_id": "pgtap", "bursts": 1}'', ''a''', 'XE811', 'rate limit "pgtap" is not valid'), ('''{"limit_id": "", "burst": 1, "refill": 1, "period_seconds": 1}'', ''a''', 'XE811', 'rate limit "" is not valid'),
             ('''{"limit_id": "pgtap_x", "burst": 11, "refill": 1, "period_seconds": 31622400}'', ''a''', 'XE811', 'rate limit "pgtap_x" is not valid')) v (args, code, says);
SELECT throws_ok('SELECT economy.remove_rate_limit(' || args || ')', 'XE001', NULL, args) FROM unnest(ARRAY['NULL, ''a''', '''pgtap'', NULL']) args;
SELECT is((SELECT l::text FROM economy.rate_limits l WHERE limit_id = 'pgtap'), '(pgtap,5,1,1)', 'what is refused changes nothing');

-- what suppresses rows
CREATE FUNCTION pg_temp.nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER pgtap_nothing BEFORE INSERT OR UPDATE ON economy_internal.rate_taken FOR EACH ROW EXECUTE FUNCTION pg_temp.nothing();
SELECT throws_ok(format('SELECT economy.take_rate(''pgtap'', %L)', subject), 'XE103', 'what is taken of rate limit "pgtap" would not be kept', subject || ': who was given it would not have it taken')
FROM unnest(ARRAY['a published one', 'a new one']) subject;
DROP TRIGGER pgtap_nothing ON economy_internal.rate_taken;

-- the job, in batches: 'a published one', 's' twice, 'S' and the longest
SELECT is(pg_temp.taken(), 5::bigint, 'subjects that have taken something');
CREATE FUNCTION pg_temp.swept(batch integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    forgot bigint := 0;
    place  jsonb;
    answer record;
BEGIN
    FOR batches IN 1 .. 100 LOOP
        SELECT * INTO answer FROM economy_internal.forget_rates(place, batch);
        forgot := forgot + answer.forgotten;
        IF answer.next IS NULL THEN
            RETURN format('%s forgotten, %s kept', forgot, pg_temp.taken());
        END IF;
        place := answer.next;
    END LOOP;
END
$$;
SAVEPOINT s;
SELECT is(pg_temp.swept(2000), '3 forgotten, 2 kept', 'who has all back is forgotten');
ROLLBACK TO s;
SELECT is(pg_temp.swept(1), '3 forgotten, 2 kept', 'in batches of one too');
SELECT is(string_agg(limit_id || ' ' || left(subject, 3), ', ' ORDER BY limit_id), 'pgtap_3 s, pgtap_most sss', 'and nobody else') FROM (SELECT * FROM economy_internal.rate_taken WHERE limit_id LIKE 'pgtap%') t;
SELECT ok(economy.remove_rate_limit('pgtap_most', 'ann'), 'a limit is removed');
SELECT ok(NOT economy.remove_rate_limit('pgtap_most', 'ann'), 'once');
SELECT throws_ok('SELECT economy.take_rate(''pgtap_most'', ''s'')', 'XE812', NULL, 'and known no more');
SELECT is(pg_temp.swept(2000), '1 forgotten, 1 kept', 'what was taken of it goes');

-- the history
SELECT is((SELECT string_agg(concat_ws(' ', c.action, c.actor, c.after::text), ' | ' ORDER BY c.change_id) FROM economy.config_changes c WHERE c.relation = 'rate_limits' AND c.key = 'pgtap_most'),
    'create bob {"burst": 1000000, "refill": 1000000, "limit_id": "pgtap_most", "period_seconds": 31622400} | remove ann', 'each change is recorded');
SELECT is_empty($$SELECT * FROM economy_internal.audit_config() WHERE kind <> 'wrong_seed'$$, 'and true');
UPDATE economy.rate_limits SET burst = 7 WHERE limit_id = 'pgtap';
SELECT is((SELECT count(*) FROM economy_internal.audit_config() WHERE kind = 'wrong_config'), 1::bigint, 'one that is changed by hand is found');

SELECT * FROM finish();
ROLLBACK;
