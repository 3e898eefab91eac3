-- What the sweeps keep: a finding once while it is there, gone when a full sweep
-- finds it no more, and a damaged stream that keeps no other waiting.
BEGIN;
SELECT no_plan();
SET LOCAL jit = off;
DELETE FROM economy.audit_findings;
DELETE FROM economy.audit_runs;
DELETE FROM economy_internal.audit_checkpoints;
INSERT INTO economy.audit_runs (run_id, kind, started_at, finished_at, users, entries, findings) OVERRIDING SYSTEM VALUE
SELECT n, kind, pg_catalog.now(), pg_catalog.now(), 10, 100, 1 FROM (VALUES (1, 'full'), (2, 'incremental'), (3, 'full'), (4, 'since')) v (n, kind);
CREATE FUNCTION pg_temp.found(run bigint, kinds text) RETURNS void LANGUAGE sql AS $$
    SELECT economy_internal.audit_record(run, 2, 30, ARRAY(SELECT (7, k, 'e', 'a', 'x', 1)::economy.finding FROM string_to_table(kinds, ' ') k)) $$;
CREATE FUNCTION pg_temp.kept() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', f.kind, f.run_id, f.last_run_id, f.gone_run_id), ', ' ORDER BY f.kind, f.run_id) FROM economy.audit_findings f $$;

-- --- findings -------------------------------------------------------------------

SELECT pg_temp.found(1, 'a b b');
SELECT is(pg_temp.kept(), 'a 1 1, b 1 1', 'each is kept once');
SELECT is((SELECT concat_ws(' ', users, entries, findings) FROM economy.audit_runs WHERE run_id = 1), '12 130 4', 'and all are counted');
SELECT is((SELECT concat_ws(' ', users, entries, findings) FROM economy.audit_runs WHERE run_id = 2), '10 100 1', 'for that run alone');
SELECT pg_temp.found(2, 'b c');
SELECT is(pg_temp.kept(), 'a 1 1, b 1 2, c 2 2', 'what was known is found again');
SELECT pg_temp.found(1, 'b');
SELECT is(pg_temp.kept(), 'a 1 1, b 1 2, c 2 2', 'by an older sweep, which changes nothing');
SELECT economy_internal.audit_finish(2);
SELECT economy_internal.audit_finish(4);
SELECT is(pg_temp.kept(), 'a 1 1, b 1 2, c 2 2', 'one that looks at a part ends no finding');
SELECT pg_temp.found(3, 'c');
SELECT economy_internal.audit_finish(3);
SELECT is(pg_temp.kept(), 'a 1 1 3, b 1 2 3, c 2 3', 'a full one those that it has not found');
SELECT pg_temp.found(4, 'a c');
SELECT is(pg_temp.kept(), 'a 1 1 3, a 4 4, b 1 2 3, c 2 4', 'what comes again is a new finding');
SELECT is((SELECT concat_ws(' ', user_id, expected, actual, entry, seq) FROM economy.audit_findings WHERE kind = 'c'), '7 e a x 1', 'with all that it says');
SELECT is((SELECT finished_at > started_at AND next_user IS NULL FROM economy.audit_runs WHERE run_id = 3), true, 'the run has an end');

-- what readers are told: the oldest first, with the begins of their sweeps
UPDATE economy.audit_runs SET started_at = timestamptz '2031-01-01 00:00+00' + run_id * interval '1 day';
CREATE FUNCTION pg_temp.open_ones(max integer) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', o.kind, to_char(o.first_seen AT TIME ZONE 'UTC', 'DD'), to_char(o.last_seen AT TIME ZONE 'UTC', 'DD'), o.user_id, o.expected, o.actual, o.entry, o.seq), ', ' ORDER BY o.ordinality)
    FROM economy.audit_open(max) WITH ORDINALITY o $$;
SELECT is(pg_temp.open_ones(max), says, 'open, at most ' || coalesce(max::text, 'all')) FROM (VALUES (NULL, 'c 03 05 7 e a x 1, a 05 05 7 e a x 1'), (2, 'c 03 05 7 e a x 1, a 05 05 7 e a x 1'), (1, 'c 03 05 7 e a x 1')) v (max, says);
SELECT is((SELECT string_agg(concat_ws(' ', h.run_id, h.kind, to_char(h.started_at AT TIME ZONE 'UTC', 'DD'), h.finished_at = r.finished_at, h.users, h.entries, h.findings, h.new_findings), ', ' ORDER BY h.ordinality) FROM economy.audit_history(max) WITH ORDINALITY h JOIN economy.audit_runs r USING (run_id)), says, 'history, at most ' || coalesce(max::text, 'all'))
FROM (VALUES (NULL, '4 since 05 t 12 130 3 1, 3 full 04 t 12 130 2 0, 2 incremental 03 t 12 130 3 1, 1 full 02 t 14 160 5 2'), (2, '4 since 05 t 12 130 3 1, 3 full 04 t 12 130 2 0')) v (max, says);
SAVEPOINT s;
DELETE FROM economy.audit_runs WHERE run_id = 2;
SELECT is(pg_temp.open_ones(1), 'c 05 7 e a x 1', 'a finding stays open when its sweep is forgotten');
ROLLBACK TO s;

-- which of them a rebuild of the segments may put right
CREATE FUNCTION pg_temp.rebuilds(kind text, gone bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM economy.audit_findings;
    INSERT INTO economy.audit_findings (digest, run_id, last_run_id, gone_run_id, kind) VALUES (sha256('x'), 1, 1, gone, kind);
    RETURN economy_internal.segments_found_damaged();
END
$$;
SELECT is(pg_temp.rebuilds(kind, gone), answer, concat_ws(' ', kind, gone)) FROM (VALUES ('parity', NULL, true), ('orphan_row', NULL, true), ('wrong_hash', NULL, false), ('parity', 3, false), ('orphan_row', 3, false)) v (kind, gone, answer);

-- --- damaged streams ------------------------------------------------------------------

DELETE FROM economy.audit_findings;
SELECT economy.register('pgtap runs a') AS a, economy.register('pgtap runs b') AS b \gset
-- a full sweep that finds no more of a user gives the stream back to the incremental one
CREATE FUNCTION pg_temp.given_back(run bigint, user_id bigint, gone bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    a CONSTANT bigint := economy.user_id_of('pgtap runs a');
BEGIN
    DELETE FROM economy.audit_findings;
    DELETE FROM economy_internal.audit_checkpoints;
    INSERT INTO economy_internal.audit_checkpoints VALUES (a, 3, 0, 0, sha256('x'), 5);
    INSERT INTO economy.audit_findings (digest, run_id, last_run_id, gone_run_id, user_id, kind) SELECT sha256('x'), 3, 3, gone, given_back.user_id, 'wrong_hash' WHERE given_back.user_id IS NOT NULL;
    PERFORM economy_internal.audit_finish(run);
    RETURN (SELECT concat_ws(' ', c.seq, c.damaged_seq) FROM economy_internal.audit_checkpoints c WHERE c.user_id = a);
END
$$;
SELECT is(pg_temp.given_back(run, user_id, gone), answer, format('run %s, a finding of %s, gone %s', run, user_id, gone))
FROM (VALUES (3, NULL::bigint, NULL, '3'), (3, :b, NULL, '3'), (3, :a, NULL, '3 5'), (3, :a, 2, '3'), (2, NULL, NULL, '3 5'), (4, NULL, NULL, '3 5')) v (run, user_id, gone, answer);
DELETE FROM economy.audit_findings;
DELETE FROM economy_internal.audit_checkpoints;
CREATE FUNCTION pg_temp.sweep() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', f.kind, f.seq), ', ') FROM economy.audit_sweep_incremental() f;
    SELECT concat_ws(' ', r.users, r.entries, r.findings) FROM economy.audit_runs r ORDER BY r.run_id DESC LIMIT 1 $$;
SELECT setval('economy.audit_runs_run_id_seq', 10) AS x \gset
SELECT count(*) AS x FROM unnest(ARRAY[:a, :b]) u, generate_series(1, 2) n, economy.adjust_gold(u, 10, 'k' || n, 'r', 'a') \gset
SELECT pg_temp.sweep() AS x \gset
SELECT is(pg_temp.sweep(), '0 0 0', 'all streams are looked at once');
ALTER TABLE economy.gold_adjustments DISABLE TRIGGER gold_adjustments_append_only;
SELECT count(*) AS x FROM unnest(ARRAY[:a, :b]) u, economy.adjust_gold(u, 10, 'k3', 'r', 'a') \gset
UPDATE economy.gold_adjustments SET reason = 'forged' WHERE user_id = :a AND seq = 3;
SELECT is(pg_temp.sweep(), '2 2 1', 'the new entries, one of them damaged');
SELECT is(pg_temp.sweep(), '0 0 0', 'which is looked at once, though it was never found clean');
SELECT is((SELECT concat_ws(' ', seq, damaged_seq) FROM economy_internal.audit_checkpoints WHERE user_id = :a), '2 3', 'as is noted');
SELECT success AS x FROM economy.adjust_gold(:a, 10, 'k4', 'r', 'a') \gset
SELECT is(pg_temp.sweep(), '1 2 1', 'and again when there is more of it, from where it was clean');
UPDATE economy.gold_adjustments SET reason = 'r' WHERE user_id = :a AND seq = 3;
SELECT is(pg_temp.sweep(), '0 0 0', 'what was put right waits');
SELECT count(*) AS x FROM economy.audit_sweep() WHERE user_id = :a \gset
SELECT is(:x, 0, 'for a full sweep');
SELECT is(pg_temp.sweep(), '1 2 0', 'that gives it back');
SELECT is((SELECT concat_ws(' ', seq, damaged_seq) FROM economy_internal.audit_checkpoints WHERE user_id = :a), '4', 'found clean');
-- what was put right before the next entry is found clean with it, and looked at no more
SELECT economy.register('pgtap runs c') AS c \gset
SELECT count(*) AS x FROM generate_series(1, 3) n, economy.adjust_gold(:c, 10, 'k' || n, 'r', 'a') \gset
UPDATE economy.gold_adjustments SET reason = 'forged' WHERE user_id = :c AND seq = 3;
SELECT is(pg_temp.sweep(), '1 3 1', 'a stream is damaged');
UPDATE economy.gold_adjustments SET reason = 'r' WHERE user_id = :c AND seq = 3;
SELECT success AS x FROM economy.adjust_gold(:c, 10, 'k4', 'r', 'a') \gset
SELECT is(pg_temp.sweep(), '1 4 0', 'put right, it is clean with its next entry');
SELECT is(pg_temp.sweep(), '0 0 0', 'and looked at no more');
SELECT is((SELECT concat_ws(' ', seq, damaged_seq) FROM economy_internal.audit_checkpoints WHERE user_id = :c), '4', 'nothing is noted of the damage');
-- --- batches -----------------------------------------------------------------------

-- a batch ends with the user whose entries are too many for it, or with as many users as are asked for
SELECT economy.register('pgtap batch 1') AS one, economy.register('pgtap batch 2') AS two, economy.register('pgtap batch 3') AS three \gset
CREATE FUNCTION pg_temp.ends(seqs bigint[], most integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    UPDATE economy.accounts a SET seq = s.seq FROM unnest(seqs) WITH ORDINALITY s (seq, n) WHERE a.user_id = economy.user_id_of('pgtap batch ' || s.n);
    SELECT concat_ws(' ', CASE b.upto_user WHEN 9223372036854775807 THEN 'all' ELSE (SELECT right(u.external_id, 1) FROM economy.users u WHERE u.user_id = b.upto_user) END, b.users, b.entries) INTO answer
    FROM economy_internal.audit_next(economy.user_id_of('pgtap batch 1'), most) b;
    RAISE EXCEPTION USING ERRCODE = 'XT000';
EXCEPTION WHEN SQLSTATE 'XT000' THEN
    RETURN answer;
END
$$;
SELECT is(pg_temp.ends(seqs, most), says, format('%s entries, at most %s users', seqs, most))
FROM (VALUES ('{1,1,1}'::bigint[], 10, 'all 3 3'), ('{1,1,1}', 3, '3 3 3'), ('{1,1,1}', 2, '2 2 2'), ('{1,1,1}', 1, '1 1 1'), ('{200000,1,1}', 10, '2 2 200001'), ('{200001,1,1}', 10, '1 1 200001'), ('{199999,1,1}', 10, '3 3 200001'), ('{199998,1,1}', 10, 'all 3 200000'), ('{1,500000,1}', 10, '2 2 500001')) v (seqs, most, says);

-- --- checks that end with an error ------------------------------------------------------

-- each is a finding, and keeps no other from being asked
CREATE FUNCTION pg_temp.fails(change text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    EXECUTE change;
    SELECT string_agg(concat_ws('|', CASE f.user_id WHEN economy.user_id_of('pgtap runs a') THEN 'a' WHEN economy.user_id_of('pgtap runs b') THEN 'b' ELSE f.user_id::text END, f.kind, f.expected, f.actual, f.entry, f.seq), '; ' ORDER BY f.kind, f.user_id, f.expected) INTO answer
    FROM economy.audit_sweep() f WHERE f.kind <> 'wrong_schema';
    RAISE EXCEPTION USING ERRCODE = 'XT000';
EXCEPTION WHEN SQLSTATE 'XT000' THEN
    RETURN replace(answer, 'function economy_internal.', '');
END
$$;
SET LOCAL client_min_messages = error;
SELECT economy.upsert_product('{"product_id": "pgtap_runs", "category": "item", "price_gold": 1}', 'pgtap') IS NULL AS x \gset
SELECT is(pg_temp.fails('UPDATE economy.accounts SET streak_freezes = 9 WHERE user_id = economy.user_id_of(''pgtap runs a''); ALTER FUNCTION economy_internal.audit_units(bigint, bigint) RENAME TO gone'),
          'sweep_failed|audit_units() to end for the users from -9223372036854775808|audit_units(bigint, bigint) does not exist; a|wrong_balance|0 streak freezes|9 streak freezes', 'a check of the users');
SELECT is(pg_temp.fails('ALTER FUNCTION economy_internal.audit_keys() RENAME TO gone; DELETE FROM economy_internal.config_heads WHERE key = ''pgtap_runs'''),
          'sweep_failed|audit_keys() to end|audit_keys() does not exist; wrong_config|shop_products pgtap_runs: change 1 is the newest|no head says so', 'a check of the rest');
-- every check that there is is asked
CREATE FUNCTION pg_temp.is_asked(part text, name text, args text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    answer boolean;
BEGIN
    EXECUTE format('ALTER FUNCTION %s(%s) RENAME TO gone', name, args);
    answer := EXISTS (SELECT FROM unnest(economy_internal.audit_pieces(part, 2, 1)) f WHERE f.kind = 'sweep_failed' AND f.actual ~ split_part(name, '.', 2));
    RAISE EXCEPTION USING ERRCODE = 'XT000';
EXCEPTION WHEN SQLSTATE 'XT000' THEN
    RETURN answer;
END
$$;
SELECT is(pg_temp.is_asked(CASE WHEN p.pronargs = 2 THEN 'users' ELSE 'rest' END, p.pronamespace::regnamespace || '.' || p.proname, pg_get_function_identity_arguments(p.oid)), true, p.proname || '() is asked')
FROM pg_proc p WHERE p.pronamespace IN ('economy'::regnamespace, 'economy_internal'::regnamespace) AND p.proname ~ '^audit_' AND p.prorettype = 'economy.finding'::regtype AND p.proretset
                 AND (p.pronargs = 0 OR p.proargtypes = '20 20'::oidvector) ORDER BY p.proname;
CREATE FUNCTION pg_temp.no_chain() RETURNS text LANGUAGE sql AS $$ SELECT $do$
    DO $x$
    BEGIN
        EXECUTE replace(replace(pg_get_functiondef('economy.verify_chain(bigint)'::regprocedure), 'economy.verify_chain(', 'public.pgtap_verify_chain('), 'CREATE OR REPLACE', 'CREATE');
    END
    $x$;
    CREATE OR REPLACE FUNCTION economy.verify_chain(user_id bigint) RETURNS SETOF economy.finding LANGUAGE plpgsql AS $v$
    BEGIN
        IF user_id = economy.user_id_of('pgtap runs a') THEN
            RAISE EXCEPTION 'no chain';
        END IF;
        RETURN QUERY SELECT * FROM public.pgtap_verify_chain(user_id);
    END
    $v$;
    UPDATE economy.accounts SET gold = gold + 1 WHERE user_id = economy.user_id_of('pgtap runs b')
$do$ $$;
SELECT is(pg_temp.fails(pg_temp.no_chain()), 'a|sweep_failed|verify_chain() to end|no chain; b|wrong_balance|account gold 30|account gold 31|3', 'a stream');
SELECT * FROM finish();
ROLLBACK;
