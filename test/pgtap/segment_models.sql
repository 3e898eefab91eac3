-- Models and rules: published figures, the order of rows, boundaries, every case
-- has one segment, and what is refused.
BEGIN;
SELECT no_plan();
-- the statements are many and small, and nothing has statistics
SET LOCAL jit = off;

-- --- published figures of test/data -----------------------------------------

\set orders `cat test/data/rfm_orders.csv`
CREATE TABLE public.pgtap_orders (id text, ts date, amount integer);
INSERT INTO pgtap_orders SELECT c[1], c[2]::date, c[3]::integer
FROM string_to_table(:'orders', E'\n') WITH ORDINALITY t (line, n), string_to_array(line, ',') c WHERE n > 1 AND line <> '';
SELECT is((SELECT count(*) FROM pgtap_orders), 4906::bigint, 'test/data/rfm_orders.csv is here: run the files from the root of the source');
SELECT is((SELECT (b.users, b.recency, b.frequency, b.monetary, b.degenerate)::text
           FROM economy.rfm_bounds('all_time', 'pgtap_orders', '2006-12-31 00:00:00+00') b),
    '(995,"{115,181,297.4,482}","{4,5,6,8}","{255.8,382,506.4,666}",{})', 'the published bounds');
SET LOCAL quote_all_identifiers = on;
SELECT is((SELECT b.users FROM economy.rfm_bounds('all_time', 'pgtap_orders', '2006-12-31 00:00:00+00') b), 995::bigint, 'a date is one, also where names are in quotes');
SET LOCAL quote_all_identifiers = off;
SELECT is((s.recency_days, s.frequency, s.monetary, s.r || '' || s.f || s.m)::text, format('(%s)', published), id)
FROM (VALUES ('Abbey O''Reilly', '205,6,472,343'), ('Add Senger', '140,3,340,412'), ('Aden Lesch', '194,4,405,323'),
             ('Aden Murphy', '98,7,596,544'), ('Admiral Senger', '132,5,448,433'), ('Brion Stark', '229,8,852,355'),
             ('Hosteen Jacobi', '545,4,300,122'), ('Julisa Halvorson', '127,12,987,455')) v (id, published)
LEFT JOIN economy.rfm_score('all_time', 'pgtap_orders', '2006-12-31 00:00:00+00') s USING (id);
SELECT is((SELECT string_agg(n::text, ',' ORDER BY frequency) FROM
           (SELECT frequency, count(*) AS n FROM economy.rfm_score('all_time', 'pgtap_orders', '2006-12-31 00:00:00+00') GROUP BY 1) h),
    '42,83,143,187,176,150,94,51,38,20,3,5,2,1', 'the published histogram of orders');

-- --- a made-up table ---------------------------------------------------------

CREATE TABLE public.pgtap_source (id bigint, ts timestamptz, amount numeric);
SELECT setseed(0.5);
INSERT INTO pgtap_source SELECT (random() * random() * 200)::int, timestamptz '2031-03-01 12:00:00+00' - random() * interval '60 days', (random() * 100)::int
FROM generate_series(1, 3000);
CREATE TABLE public.pgtap_shuffled AS SELECT * FROM pgtap_source ORDER BY md5(id::text || ts);
SELECT set_eq($$SELECT s::text FROM economy.rfm_score('standard', 'pgtap_source', '2031-03-01 12:00:00+00') s$$,
              $$SELECT s::text FROM economy.rfm_score('standard', 'pgtap_shuffled', '2031-03-01 12:00:00+00') s$$, 'the order of rows does not matter');
SELECT is((SELECT count(DISTINCT (f, m)::text) - count(DISTINCT (frequency, monetary)::text) <= 0 FROM economy.rfm_score('standard', 'pgtap_source', '2031-03-01 12:00:00+00')),
    true, 'equal values have equal scores');
SELECT is((SELECT max(n) FROM (SELECT count(DISTINCT f) AS n FROM economy.rfm_score('standard', 'pgtap_source', '2031-03-01 12:00:00+00') GROUP BY frequency) x), 1::bigint,
    'one score of F per frequency');
SELECT cmp_ok((SELECT corr(f, frequency) FROM economy.rfm_score('standard', 'pgtap_source', '2031-03-01 12:00:00+00')), '>', 0.5::double precision, '5 is the most frequent');
SELECT cmp_ok((SELECT corr(m, monetary) FROM economy.rfm_score('standard', 'pgtap_source', '2031-03-01 12:00:00+00')), '>', 0.5::double precision, 'and the most money');
SELECT cmp_ok((SELECT corr(r, recency_days) FROM economy.rfm_score('standard', 'pgtap_source', '2031-03-01 12:00:00+00')), '<', -0.5::double precision, 'and the most recent');

-- the definition in plain SQL
CREATE FUNCTION pg_temp.definition(as_of timestamptz) RETURNS TABLE (id text, recency_days integer, frequency bigint, monetary numeric, r integer, f integer, m integer, score numeric, segment text)
LANGUAGE sql AS $$
    WITH input AS (
        SELECT s.id::text AS id, least(90, (as_of AT TIME ZONE 'UTC')::date - (max(ts) AT TIME ZONE 'UTC')::date) AS days,
               count(*) FILTER (WHERE ts > as_of - interval '30 days' AND ts <= as_of) AS f,
               coalesce(sum(amount) FILTER (WHERE ts > as_of - interval '30 days' AND ts <= as_of), 0) AS m
        FROM pgtap_source s WHERE ts <= as_of GROUP BY 1
    ), bound AS (
        SELECT percentile_disc(ARRAY[0.2, 0.4, 0.6, 0.8]) WITHIN GROUP (ORDER BY f) AS f, percentile_disc(ARRAY[0.2, 0.4, 0.6, 0.8]) WITHIN GROUP (ORDER BY m) AS m,
               percentile_disc(0.5) WITHIN GROUP (ORDER BY m) AS p50, percentile_disc(0.6) WITHIN GROUP (ORDER BY m) AS p60, percentile_disc(0.95) WITHIN GROUP (ORDER BY m) AS p95
        FROM input WHERE f >= 1
    ), scored AS (
        SELECT i.*, p50, p60, p95, CASE WHEN days <= 1 THEN 5 WHEN days <= 3 THEN 4 WHEN days <= 7 THEN 3 WHEN days <= 14 THEN 2 ELSE 1 END AS sr,
               (SELECT 1 + count(*) FILTER (WHERE x < i.f) FROM unnest(b.f) x)::integer AS sf, (SELECT 1 + count(*) FILTER (WHERE x < i.m) FROM unnest(b.m) x)::integer AS sm
        FROM input i CROSS JOIN bound b
    )
    SELECT id, days, f, m, sr, sf, sm, 0.4 * sr + 0.3 * sf + 0.3 * sm,
           CASE WHEN f >= 1 AND (m > p95 OR (m = p95 AND p95 > p50)) AND p95 > 0 THEN 'Whale' WHEN f >= 10 AND days <= 7 THEN 'HighEngaged' WHEN days > 21 THEN 'AtRisk'
                WHEN f >= 4 OR (m >= p60 AND m < p95) THEN 'Medium' WHEN f BETWEEN 1 AND 3 AND days BETWEEN 8 AND 21 THEN 'Low'
                WHEN f BETWEEN 1 AND 3 AND days <= 7 THEN 'New' END
    FROM scored
$$;
SELECT set_eq(format('SELECT s::text FROM economy.rfm_score(''standard'', ''pgtap_source'', %L) s', at), format('SELECT d::text FROM pg_temp.definition(%L) d', at),
    'rfm_score() is the definition, as of ' || at)
FROM unnest(ARRAY['2031-03-01 12:00:00+00', '2031-02-10 00:00:00+00', '2031-02-09 23:59:59.999999+00', '2031-01-02 00:00:00+00']) at;
SELECT cmp_ok((SELECT count(DISTINCT segment) FROM economy.rfm_score('standard', 'pgtap_source', '2031-03-01 12:00:00+00')), '>=', 5::bigint, 'with many segments among them');
SELECT set_eq($$SELECT s::text FROM economy.rfm_score_query('standard', 'SELECT id + 0 AS id, ts, amount FROM public.pgtap_source', '2031-03-01 12:00:00+00') s$$,
              $$SELECT s::text FROM economy.rfm_score('standard', 'pgtap_source', '2031-03-01 12:00:00+00') s$$, 'a query does as well');

-- --- boundaries of the window and of recency ----------------------------------

TRUNCATE pgtap_source;
INSERT INTO pgtap_source VALUES (1, '2031-03-01 12:00:00+00', 1), (2, '2031-03-31 12:00:00+00', 1), (3, '2031-03-31 12:00:00.000001+00', 1),
    (4, '2031-03-01 12:00:00.000001+00', 1), (5, '2030-12-31 23:59:59+00', 1), (6, '2031-03-30 23:59:59.999999+00', 1), (7, '2030-01-01 00:00:00+00', 1);
SELECT results_eq($$SELECT id, recency_days, frequency FROM economy.rfm_score('standard', 'pgtap_source', '2031-03-31 12:00:00+00') ORDER BY id$$,
    $$VALUES ('1', 30, 0::bigint), ('2', 0, 1), ('4', 30, 1), ('5', 90, 0), ('6', 1, 1), ('7', 90, 0)$$,
    'the window is open at its begin and closed at its end; recency is in UTC days, at most 90');
SET LOCAL timezone = 'Pacific/Auckland';
SELECT results_eq($$SELECT id, recency_days, frequency FROM economy.rfm_score('standard', 'pgtap_source', '2031-03-31 12:00:00+00') ORDER BY id$$,
    $$VALUES ('1', 30, 0::bigint), ('2', 0, 1), ('4', 30, 1), ('5', 90, 0), ('6', 1, 1), ('7', 90, 0)$$, 'in any time zone');
-- clocks go forward in this time: a day is 24 hours all the same
SET LOCAL timezone = 'Europe/Berlin';
SELECT results_eq($$SELECT id, recency_days, frequency FROM economy.rfm_score('standard', 'pgtap_source', '2031-03-31 12:00:00+00') ORDER BY id$$,
    $$VALUES ('1', 30, 0::bigint), ('2', 0, 1), ('4', 30, 1), ('5', 90, 0), ('6', 1, 1), ('7', 90, 0)$$, 'also where an hour is missing');
SET LOCAL timezone = 'UTC';
TRUNCATE pgtap_source;
INSERT INTO pgtap_source SELECT n, timestamptz '2031-03-31 12:00:00+00' - n * interval '1 day', 1 FROM generate_series(0, 29) n;
SELECT results_eq($$SELECT r, min(recency_days), max(recency_days) FROM economy.rfm_score('standard', 'pgtap_source', '2031-03-31 12:00:00+00') GROUP BY 1 ORDER BY 1 DESC$$,
    'VALUES (5, 0, 1), (4, 2, 3), (3, 4, 7), (2, 8, 14), (1, 15, 29)', 'R by its breaks');
SELECT is((SELECT b.degenerate FROM economy.rfm_bounds('standard', 'pgtap_source', '2031-03-31 12:00:00+00') b), '{frequency,monetary}', 'bounds that collapse are named');
SELECT is((SELECT array_agg(DISTINCT (f, m)::text) FROM economy.rfm_score('standard', 'pgtap_source', '2031-03-31 12:00:00+00')), '{"(3,3)"}', 'and give the middle score');
INSERT INTO pgtap_source VALUES (99, '2030-01-01', 5);
SELECT is((SELECT (recency_days, frequency, f, m, segment)::text FROM economy.rfm_score('standard', 'pgtap_source', '2031-03-31 12:00:00+00') WHERE id = '99'), '(90,0,1,1,AtRisk)',
    'but not to who was not ranked');
TRUNCATE pgtap_source;
SELECT is_empty($$SELECT * FROM economy.rfm_score('standard', 'pgtap_source', '2031-03-31 12:00:00+00')$$, 'nobody, nothing');
SELECT is((SELECT b.degenerate FROM economy.rfm_bounds('all_time', 'pgtap_source', '2031-03-31 12:00:00+00') b), '{recency,frequency,monetary}', 'and no bounds');

-- --- a value that equals a bound stays below it ---------------------------------

INSERT INTO pgtap_source SELECT n, timestamptz '2031-03-20 12:00:00+00' + k * interval '1 hour', 10
FROM generate_series(1, 100) n CROSS JOIN generate_series(1, 3) k WHERE k = 1 OR (k = 2 AND n > 75) OR (k = 3 AND n > 90);
SELECT results_eq(format('SELECT frequency, f, m, count(*) FROM economy.rfm_score(%L, ''pgtap_source'', ''2031-03-31 12:00:00+00'') GROUP BY 1, 2, 3 ORDER BY 1', model),
    'VALUES (1::bigint, 1, 1, 75::bigint), (2, 4, 4, 15), (3, 5, 5, 10)', '75 of 100 bought once, 15 twice, 10 three times, by ' || model)
FROM unnest(ARRAY['standard', 'all_time']) model;
TRUNCATE pgtap_source;
INSERT INTO pgtap_source SELECT n, timestamptz '2031-03-30 12:00:00+00', CASE WHEN n <= 960 THEN 499 ELSE 1000 END FROM generate_series(1, 1000) n;
SELECT results_eq($$SELECT monetary, m, segment, count(*) FROM economy.rfm_score('standard', 'pgtap_source', '2031-03-31 12:00:00+00') GROUP BY 1, 2, 3 ORDER BY 1$$,
    $$VALUES (499::numeric, 1, 'New', 960::bigint), (1000, 5, 'Whale', 40)$$, '960 of 1,000 bought the same pack: the others are Whales');
SELECT is((SELECT (b.p50, b.p95, b.degenerate)::text FROM economy.rfm_bounds('standard', 'pgtap_source', '2031-03-31 12:00:00+00') b), '(499,499,{frequency})', 'because p95 is the median');
INSERT INTO pgtap_source VALUES (5001, '2031-03-30 12:00:00+00', -1), (1, '2031-03-31 12:00:00+00', -499);
SELECT is((SELECT (count(*), max(frequency), sum(monetary), min(recency_days))::text FROM economy.rfm_score('standard', 'pgtap_source', '2031-03-31 12:00:00+00')), '(1000,1,519040,1)', 'a return is no purchase');
TRUNCATE pgtap_source;

-- --- every (R, F, M) has one segment, and it is the right one ------------------

CREATE FUNCTION pg_temp.segment_of(bought boolean, r bigint, f bigint, m bigint, p50 numeric, p60 numeric, p95 numeric) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN NOT bought THEN 'NoPurchase' WHEN f >= 1 AND (m > p95 OR (m = p95 AND p95 > p50)) AND p95 > 0 THEN 'Whale' WHEN f >= 10 AND r <= 7 THEN 'HighEngaged'
        WHEN r > 21 THEN 'AtRisk' WHEN (f BETWEEN 4 AND 9) OR f >= 10 OR (m >= p60 AND m < p95) THEN 'Medium'
        WHEN f BETWEEN 1 AND 3 AND r BETWEEN 8 AND 21 THEN 'Low' WHEN f BETWEEN 1 AND 3 AND r <= 7 THEN 'New' END
$$;
CREATE FUNCTION pg_temp.differing(p50 numeric, p60 numeric, p95 numeric) RETURNS bigint LANGUAGE sql AS $$
    WITH snapshot AS (
        SELECT p.program, p.segments FROM economy_internal.rfm_program((jsonb_populate_record(NULL::economy.rfm_snapshots, jsonb_build_object(
            'model', to_jsonb(economy.rfm_model('standard')), 'rules', (SELECT jsonb_agg(to_jsonb(r)) FROM economy.rfm_rules() r),
            'recency_bounds', '{1,3,7,14}', 'degenerate', '{frequency,monetary}', 'p50', p50, 'p60', p60, 'p95', p95)))) p
    ), history AS (
        -- r days ago, f purchases of m together
        -- 30 days ago only what is later in the day is within the window
        SELECT r, f, m, economy_internal.rfm_pack(timestamptz '2031-06-30 12:00:00+00' - r * interval '1 day' + CASE r WHEN 30 THEN interval '1 hour' ELSE '0' END,
                                         CASE WHEN n = 1 THEN m ELSE 0 END, n) AS buckets
        FROM generate_series(0, 30) r CROSS JOIN generate_series(1, 12) f
        CROSS JOIN (SELECT DISTINCT unnest(ARRAY[0, p60 - 1, p60, p60 + 1, p95 - 1, p95, p95 + 1])::bigint) v (m) CROSS JOIN LATERAL generate_series(1, f) n
        WHERE m >= 0 GROUP BY 1, 2, 3
        UNION ALL
        SELECT r, 0, 0, economy_internal.rfm_pack(timestamptz '2031-06-30 12:00:00+00' - r * interval '1 day', 100, 1) FROM generate_series(30, 120) r GROUP BY r
    )
    SELECT count(*) FROM history h CROSS JOIN snapshot s
    WHERE (economy_internal.rfm_assess(1, h.buckets, '2031-06-30 12:00:00+00', s.program, s.segments, NULL, NULL, NULL, NULL, NULL, NULL, NULL)).segment
          IS DISTINCT FROM pg_temp.segment_of(true, least(h.r, 90), h.f, h.m, p50, p60, p95)
$$;
SELECT is(pg_temp.differing(p50, p60, p95), 0::bigint, format('every (R, F, M) with p50 = %s, p60 = %s and p95 = %s', p50, p60, p95))
FROM (VALUES (50, 100, 500), (0, 0, 0), (0, 0, 7), (0, 7, 7), (7, 7, 7), (1, 1, 1), (100, 100, 500)) v (p50, p60, p95);

-- --- changing rules and models --------------------------------------------------

CREATE FUNCTION pg_temp.rules(but text DEFAULT NULL) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_agg(to_jsonb(r) - 'version' - 'position' ORDER BY r.position) FROM economy.rfm_rules() r WHERE r.segment IS DISTINCT FROM but
$$;
SELECT cmp_ok(economy.set_segment_rules(pg_temp.rules(), 'pgtap'), '>', 0, 'rules that leave nobody out are taken');
SELECT is((SELECT actor FROM economy.segment_rule_changes ORDER BY version DESC LIMIT 1), 'pgtap', 'with who changed them');
SELECT throws_ok(format('SELECT economy.set_segment_rules(pg_temp.rules(%L), ''pgtap'')', s), 'XE601', 'the segment rules leave users without a segment', 'not without ' || s)
FROM unnest(ARRAY['NoPurchase', 'AtRisk', 'Medium', 'Low', 'New']) s;
SELECT lives_ok(format('SELECT economy.set_segment_rules(pg_temp.rules(%L), ''pgtap'')', s), 'but without ' || s) FROM unnest(ARRAY['HighEngaged']) s;
SELECT lives_ok($$SELECT economy.set_segment_rules('[{"segment": "Everybody"}]', 'pgtap')$$, 'one for all');
SELECT throws_ok(format('SELECT economy.set_segment_rules(%L, ''pgtap'')', rules), 'XE601', NULL, rules)
FROM unnest(ARRAY['[]', '{}', '[1]', '[{"segment": "A", "colour": 1}]', '[{"segment": "A", "version": 1}]', '[{}]', '[{"segment": null}]', '[{"segment": "A", "recency_from": -1}]',
    '[{"segment": "A", "recency_from": 5, "recency_to": 4}]', '[{"segment": "A", "monetary_from": "p50"}]', '[{"segment": "A", "recency_from": "x"}]',
    '[{"segment": "A", "recency_to": 5}]', '[{"segment": "A", "bought": true}]', '[{"segment": "A", "monetary_below": "p95"}]', '[{"segment": "A", "monetary_from": "5"}]']) rules;
SELECT throws_ok('SELECT economy.set_segment_rules(NULL, ''pgtap'')', 'XE001', 'rules must not be null', 'null rules');
SELECT throws_ok($$SELECT economy.set_segment_rules('[{"segment": "A"}]', NULL)$$, 'XE001', 'actor must not be null', 'no actor');
SELECT is((SELECT count(DISTINCT segment) FROM economy.rfm_rules()), 1::bigint, 'what was refused changed nothing');

SELECT is((economy.set_rfm_model('{"model": "pgtap week", "window_days": 7, "recency_clamp": 30}', 'pgtap')).window_days, 7, 'a model of a week');
SELECT is((SELECT (frequency_kind, recency_weight, builtin)::text FROM economy.rfm_model('pgtap week')), '(quantile,0.4,f)', 'with the standard for the rest');
SELECT is((economy.set_rfm_model('{"model": "pgtap week", "window_days": null}', 'pgtap')).recency_clamp, 30, 'a change keeps what it does not name');
INSERT INTO pgtap_source SELECT n, timestamptz '2031-03-31 12:00:00+00' - n * interval '1 day', n FROM generate_series(0, 29) n;
SELECT is((economy.set_rfm_model('{"model": "pgtap fixed", "recency_breaks": [0, 1, 2, 3], "frequency_kind": "fixed", "frequency_breaks": [1, 2, 3, 4], "monetary_kind": "fixed", "monetary_breaks": [5, 10, 15, 20]}', 'pgtap')).model, 'pgtap fixed', 'fixed breaks');
SELECT results_eq($$SELECT recency_days, r, f, m FROM economy.rfm_score('pgtap fixed', 'pgtap_source', '2031-03-31 12:00:00+00') WHERE recency_days IN (0, 1, 2, 3, 4, 5, 9, 10, 20) ORDER BY 1$$,
    'VALUES (0, 5, 1, 1), (1, 4, 1, 1), (2, 3, 1, 1), (3, 2, 1, 1), (4, 1, 1, 1), (5, 1, 1, 1), (9, 1, 1, 2), (10, 1, 1, 2), (20, 1, 1, 4)', 'are bounds as they stand');
SELECT throws_ok(format('SELECT economy.set_rfm_model(%L, ''pgtap'')', model), 'XE603', NULL, model)
FROM unnest(ARRAY['[]', '{}', '{"model": "standard"}', '{"model": "x", "builtin": true}', '{"model": "x", "window": 5}', '{"model": "x", "window_days": 0}',
    '{"model": "x", "recency_kind": "guess"}', '{"model": "x", "recency_breaks": [1, 2, 3]}', '{"model": "x", "recency_breaks": [1, 2, 2, 3]}', '{"model": "x", "recency_breaks": [4, 3, 2, 1]}',
    '{"model": "x", "frequency_breaks": [0.2, 0.4, 0.6, 1]}', '{"model": "x", "frequency_breaks": [0, 0.4, 0.6, 0.8]}', '{"model": "x", "monetary_breaks": null}', '{"model": "x", "recency_weight": 2}',
    '{"model": "", "window_days": 5}', '{"model": "x", "population": "some"}', '{"model": "x", "recency_breaks": [1, 2, 3, null]}', '{"model": "x", "recency_breaks": ["NaN", 2, 3, 4]}']) model;
SELECT throws_ok('SELECT economy.set_rfm_model(NULL, ''pgtap'')', 'XE001', 'model must not be null', 'null model');
-- of all time nobody bought before the window
SET LOCAL economy.rfm_model = 'all_time';
SELECT lives_ok($$SELECT economy.set_segment_rules('[{"segment": "A", "bought": false}, {"segment": "B", "frequency_from": 1}]', 'pgtap')$$, 'rules that are complete for a model of all time');
SET LOCAL economy.rfm_model = 'standard';
SELECT throws_ok($$SELECT economy.set_segment_rules('[{"segment": "A", "bought": false}, {"segment": "B", "frequency_from": 1}]', 'pgtap')$$, 'XE601', NULL, 'are not for one of thirty days');
SELECT lives_ok($$SELECT economy.set_segment_rules('[{"segment": "A", "monetary_below": "p95"}, {"segment": "B", "monetary_from": "p95"}, {"segment": "C", "frequency_to": 0}]', 'pgtap')$$, 'below p95 and from p95 on is everybody');
-- a hundred rules, each with bounds of its own
SELECT lives_ok(format('SELECT economy.set_segment_rules(%L, ''pgtap'')', (SELECT jsonb_agg(jsonb_build_object('segment', 'S' || n, 'recency_from', n, 'recency_to', 3 * n,
    'frequency_from', n, 'frequency_to', n * 7, 'monetary_from', (n * 1000)::text, 'monetary_below', (n * 5000)::text)) FROM generate_series(1, 99) n) || '[{"segment": "Z"}]'::jsonb), 'a hundred rules');
-- a week's window and the rules of a month do not fit
CREATE FUNCTION pg_temp.three(recency integer) RETURNS jsonb LANGUAGE sql AS $$
    SELECT format('[{"segment": "A", "bought": false}, {"segment": "B", "frequency_from": 1}, {"segment": "C", "recency_from": %s}]', recency)::jsonb $$;
SELECT cmp_ok(economy.set_segment_rules(pg_temp.three(30), 'pgtap'), '>', 0, 'rules for a month: who bought nothing in it last bought 30 days ago or more');
SELECT throws_ok('SELECT economy.set_segment_rules(pg_temp.three(31), ''pgtap'')', 'XE601', NULL, 'not 31');
SELECT is((economy.set_rfm_model('{"model": "pgtap short", "window_days": 7}', 'pgtap')).window_days, 7, 'another week');
SET LOCAL economy.rfm_model = 'pgtap short';
SELECT throws_ok('SELECT * FROM economy.rfm_refresh()', 'XE601', NULL, 'a refresh refuses a model that the rules do not fit');
SELECT throws_ok('SELECT economy.set_segment_rules(pg_temp.three(8), ''pgtap'')', 'XE601', NULL, 'as a change does');
SELECT cmp_ok(economy.set_segment_rules(pg_temp.three(7), 'pgtap'), '>', 0, 'and takes those that fit');
SELECT lives_ok('SELECT * FROM economy.rfm_refresh()', 'as the refresh does');
SELECT throws_ok($$SELECT economy.set_rfm_model('{"model": "pgtap short", "window_days": 5}', 'pgtap')$$, 'XE601', NULL, 'the model in use is not changed to one that the rules do not fit');
SELECT is((economy.set_rfm_model('{"model": "pgtap other", "window_days": 5}', 'pgtap')).window_days, 5, 'another one is');
SET LOCAL economy.rfm_model = 'pgtap none';
SELECT throws_ok('SELECT * FROM economy.rfm_refresh()', 'XE603', NULL, 'no such model');

-- --- what cannot be scored -------------------------------------------------------

SELECT throws_ok(call, code, NULL, call) FROM (VALUES
    ($$SELECT * FROM economy.rfm_score(NULL, 'pgtap_source', pg_catalog.now())$$, 'XE001'), ($$SELECT * FROM economy.rfm_score('standard', NULL, pg_catalog.now())$$, 'XE001'),
    ($$SELECT * FROM economy.rfm_score('standard', 'pgtap_source', NULL)$$, 'XE001'), ($$SELECT * FROM economy.rfm_score('none', 'pgtap_source', pg_catalog.now())$$, 'XE603'),
    ($$SELECT * FROM economy.rfm_score('standard', 'pgtap_source', 'infinity')$$, 'XE002'), ($$SELECT * FROM economy.rfm_score('standard', 'pg_class', pg_catalog.now())$$, 'XE604'),
    ($$SELECT * FROM economy.rfm_bounds('standard', NULL, pg_catalog.now())$$, 'XE001'),
    ($$SELECT * FROM economy.rfm_score_query('standard', NULL, pg_catalog.now())$$, 'XE001'), ($$SELECT * FROM economy.rfm_score_query('standard', 'nonsense', pg_catalog.now())$$, 'XE604'),
    ($$SELECT * FROM economy.rfm_score_query('standard', 'SELECT 1 AS id, 2 AS ts, 3 AS amount', pg_catalog.now())$$, 'XE604'),
    ($$SELECT * FROM economy.rfm_score_query('standard', 'SELECT 1 AS id, pg_catalog.now() AS ts, NULL::int AS amount', pg_catalog.now())$$, 'XE604'),
    ($$SELECT * FROM economy.rfm_score_query('standard', 'SELECT NULL::int AS id, pg_catalog.now() AS ts, 1 AS amount', pg_catalog.now())$$, 'XE604'),
    ($$SELECT * FROM economy.rfm_score_query('standard', 'SELECT 1 AS id, pg_catalog.now() AS ts, ''NaN''::float8 AS amount', pg_catalog.now())$$, 'XE604'),
    ($$SELECT * FROM economy.rfm_score_query('standard', 'SELECT 1 AS id, ''infinity''::date AS ts, 1 AS amount', pg_catalog.now())$$, 'XE604'),
    ($$SELECT * FROM economy.rfm_bounds_query('standard', NULL, pg_catalog.now())$$, 'XE001')) v (call, code);

-- a role reads its own tables and no others
CREATE ROLE pgtap_analyst;
SELECT economy.grant_access('pgtap_analyst', 'monitor') AS x \gset
CREATE TABLE public.pgtap_secret AS TABLE pgtap_source;
GRANT SELECT ON pgtap_source TO pgtap_analyst;
SET LOCAL ROLE pgtap_analyst;
SELECT lives_ok($$SELECT * FROM economy.rfm_score('standard', 'pgtap_source', '2031-03-31 12:00:00+00')$$, 'a table that the caller may read');
SELECT throws_ok($$SELECT * FROM economy.rfm_score('standard', 'pgtap_secret', '2031-03-31 12:00:00+00')$$, '42501', NULL, 'not one that only the owner may read');
SELECT throws_ok($$SELECT * FROM economy.rfm_score_query('standard', 'SELECT user_id AS id, created_at AS ts, monetary AS amount FROM economy.shop_transactions', pg_catalog.now())$$, '42501', NULL, 'nor the journal');
RESET ROLE;

-- --- every refusal in words: code, message, detail and hint ---------------------

SET LOCAL economy.rfm_model = 'standard';
CREATE FUNCTION pg_temp.said(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint   text;
BEGIN
    EXECUTE 'SELECT economy' || call;
    RETURN 'nothing';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', SQLSTATE, SQLERRM, nullif(detail, ''), nullif(hint, ''));
END
$$;
CREATE TABLE public.pgtap_moments AS SELECT * FROM (VALUES ('infinity'::timestamptz, 1::numeric), ('-infinity', 1), ('2031-01-01', 'NaN'), (NULL, 1), ('2031-01-01', NULL), ('2031-01-01', 1)) v (t, a);
CREATE TEMP TABLE compiled AS SELECT p.* FROM economy_internal.rfm_program(jsonb_populate_record(NULL::economy.rfm_snapshots, '{"model": {"window_days": 30, "recency_clamp": 90, "population": "active"}, "degenerate": "{}", "rules": [{"position": 1, "segment": "x", "bought": true, "p95_positive": false}]}')) p;
SELECT is(pg_temp.said(call), error, left(call, 100)) FROM (VALUES
    ($$.set_segment_rules('[{"segment": "A", "bought": false}, {"segment": "B", "frequency_from": 1}]', 'p')$$,
        'XE601 | the segment rules leave users without a segment | No rule matches recency 30, frequency 0, monetary 0, with p60 = null and p95 = null and the model "standard". | Add a last rule without conditions.'),
    ($$.set_segment_rules('[{"segment": "A", "bought": false}, {"segment": "B", "frequency_to": 0}, {"segment": "C", "monetary_below": "p60"}, {"segment": "D", "monetary_from": "p95"}]', 'p')$$,
        'XE601 | the segment rules leave users without a segment | No rule matches recency 0, frequency 1, monetary 0, with p60 = 0 and p95 = 1 and the model "standard". | Add a last rule without conditions.'),
    ($$.set_segment_rules('[{"segment": "A", "bought": true}]', 'p')$$, 'XE601 | the segment rules leave users without a segment | No rule matches a user that never bought anything. | Add a last rule without conditions.'),
    ($$.set_segment_rules('[{"segment": "A"}, 1]', 'p')$$, 'XE601 | rules must be an array of 1 to 100 JSON objects'),
    ($$.set_segment_rules('[{"segment": "A"}, {"segment": "A", "colour": 1}]', 'p')$$, 'XE601 | a rule has an unknown key "colour" | The keys are the conditions of economy.segment_rules; the order is that of the array.'),
    ($$.set_segment_rules('[{"segment": ""}]', 'p')$$, 'XE601 | a segment rule is not valid | segment must have 1 to 64 bytes. | The keys are the conditions of economy.segment_rules; the order is that of the array.'),
    ($$.set_rfm_model('[]', 'p')$$, 'XE603 | model must be a JSON object with a name, "model"'),
    ($$.set_rfm_model('{"window_days": 5}', 'p')$$, 'XE603 | model must be a JSON object with a name, "model"'),
    ($$.set_rfm_model('{"model": "x", "ctid": "(0,1)"}', 'p')$$, 'XE603 | model has an unknown key "ctid" | The keys are the column names of economy.rfm_models.'),
    ($$.set_rfm_model('{"model": "x", "builtin": true}', 'p')$$, 'XE603 | model has an unknown key "builtin" | The keys are the column names of economy.rfm_models.'),
    ($$.set_rfm_model('{"model": "standard"}', 'p')$$, 'XE603 | model "standard" is built in | Make a model of another name and set economy.rfm_model to it.'),
    ($$.set_rfm_model('{"model": "x", "window_days": 0}', 'p')$$, 'XE603 | model is not valid | window_days must be from 1 to 36500. | The keys are the column names of economy.rfm_models.'),
    ($$.rfm_model('none')$$, 'XE603 | model "none" does not exist | Models are made by economy.set_rfm_model().'),
    ($$.set_recommendations('p', '[]', '[]', 'p')$$, 'XE607 | settings must be a JSON object, and arms an array of at most 1000'),
    ($$.set_recommendations('p', '{}', '{}', 'p')$$, 'XE607 | settings must be a JSON object, and arms an array of at most 1000'),
    ($$.set_recommendations('p', '{}', '[{}, 1]', 'p')$$, 'XE607 | settings must be a JSON object, and arms an array of at most 1000'),
    ($$.set_recommendations('p', '{"policy": "rules", "a": 1}', '[]', 'p')$$, 'XE607 | unknown key "a" | Settings are columns of economy.recommendation_placements; an arm has segment, arm, cta and product_id.'),
    ($$.set_recommendations('p', '{}', '[{}, {"b": 1}]', 'p')$$, 'XE607 | unknown key "b" | Settings are columns of economy.recommendation_placements; an arm has segment, arm, cta and product_id.'),
    ($$.set_recommendations(repeat('p', 70), '{}', '[]', 'p')$$, format('XE607 | recommendations of "%s" are not valid | placement must have 1 to 64 bytes. | Settings are columns of economy.recommendation_placements; an arm has segment, arm, cta and product_id.', repeat('p', 64))),
    ($$.recommend(1, 'nowhere')$$, 'XE606 | placement "nowhere" does not exist | Placements are made by economy.set_recommendations().'),
    ($$.recommend(-1, 'home')$$, 'XE202 | user -1 does not exist | Users are made by economy.register().'),
    ($$.recommendation_feedback('D1-1', 'look')$$, 'XE002 | kind must be click or conversion'),
    ($$.recommendation_feedback('D0-1', 'click')$$, 'XE605 | decision "D0-1" does not exist | Decisions are made by economy.recommend().'),
    ($$.recommendation_feedback(repeat('x', 70), 'click')$$, format('XE605 | decision "%s" does not exist | Decisions are made by economy.recommend().', repeat('x', 64))),
    ($$.rfm_score_query('standard', 'SELECT 1 AS id, 2 AS ts, 3 AS amount', pg_catalog.now())$$, 'XE604 | ts must be a date or a timestamp | It is of type integer.'),
    ($$.rfm_score_query('standard', 'SELECT 1 AS id, pg_catalog.now() AS ts', pg_catalog.now())$$, 'XE604 | source must have the columns id, ts and amount | column s.amount does not exist. | For a table of another shape, give economy.rfm_score_query() a query; qualify its names.'),
    ($$.rfm_score_query('standard', 'SELECT 1 AS id, pg_catalog.now() AS ts, ARRAY[1] AS amount', pg_catalog.now())$$, 'XE604 | source must have the columns id, ts and amount | cannot cast type integer[] to numeric. | For a table of another shape, give economy.rfm_score_query() a query; qualify its names.'),
    ($$.rfm_score_query('standard', 'SELECT 1 AS id, pg_catalog.now() AS ts, ''x''::text AS amount', pg_catalog.now())$$, 'XE604 | source must have the columns id, ts and amount | invalid input syntax for type numeric: "x". | For a table of another shape, give economy.rfm_score_query() a query; qualify its names.'),
    ($$.rfm_score_query('standard', 'SELECT * FROM nowhere', pg_catalog.now())$$, 'XE604 | source must have the columns id, ts and amount | relation "nowhere" does not exist. | For a table of another shape, give economy.rfm_score_query() a query; qualify its names.'),
    ($$.rfm_score_query('standard', 'SELECT 1 AS id, t AS ts, a AS amount FROM public.pgtap_moments', pg_catalog.now())$$, 'XE604 | source has 5 rows with a null id, ts or amount, or one that is not finite'),
    ($$.rfm_score_query('standard', 'SELECT 1 AS id, t AS ts, ''Infinity''::float8 * n AS amount FROM unnest(ARRAY[1, -1]) n, pg_catalog.now() t', pg_catalog.now())$$, 'XE604 | source has 2 rows with a null id, ts or amount, or one that is not finite'),
    ($$_internal.rfm_assess(7, '', '2031-03-01', (SELECT program FROM compiled), '{x}', NULL, NULL, NULL, NULL, NULL, NULL, NULL)$$,
        'XE602 | no segment rule matches user 7 | Recency is 90 days, frequency 0, monetary 0. | Give the rules a last one without conditions, with economy.set_segment_rules().'),
    ($$_internal.segment_rules_gap('{1}', 1, 1)$$, 'XE002 | rules must be an array of 8 numbers for each of 1 to 100 rules'),
    ($$_internal.segment_rules_gap('{}', 1, 1)$$, 'XE002 | rules must be an array of 8 numbers for each of 1 to 100 rules'),
    ($$_internal.segment_rules_gap(array_fill(1::bigint, ARRAY[808]), 1, 1)$$, 'XE002 | rules must be an array of 8 numbers for each of 1 to 100 rules'),
    ($$_internal.rfm_pack(pg_catalog.now(), NULL, 1)$$, 'XE001 | monetary must not be null'), ($$_internal.rfm_pack(pg_catalog.now(), 1, NULL)$$, 'XE001 | seq must not be null'),
    ($$_internal.rfm_pack(NULL, 1, 1)$$, 'XE001 | at must not be null'), ($$_internal.rfm_fold(NULL, true)$$, 'XE001 | transaction must not be null'), ($$_internal.rfm_fold(1, NULL)$$, 'XE001 | unheld must not be null'),
    ($$_internal.rfm_window(1, '', pg_catalog.now(), NULL)$$, 'XE001 | window_us must not be null'), ($$_internal.rfm_window(1, '', NULL, 1)$$, 'XE001 | as_of must not be null'), ($$_internal.rfm_window(1, NULL, pg_catalog.now(), 1)$$, 'XE001 | buckets must not be null'),
    ($$_internal.rfm_window(NULL, '', pg_catalog.now(), 1)$$, 'XE001 | user_id must not be null'), ($$_internal.rfm_window(1, decode('00', 'hex'), pg_catalog.now(), 1)$$, 'XE002 | buckets must be what economy_internal.rfm_pack() makes')) v (call, error);
SET LOCAL economy.rfm_model = 'all_time';
SELECT is(pg_temp.said($$.set_segment_rules('[{"segment": "A", "bought": false}, {"segment": "B", "recency_to": 1000}]', 'p')$$),
    'XE601 | the segment rules leave users without a segment | No rule matches recency 1001, frequency 1, monetary 0, with p60 = 1 and p95 = 1 and the model "all_time". | Add a last rule without conditions.', 'where nothing clamps it, recency goes on');
SET LOCAL economy.rfm_model = 'standard';
-- who makes a model of a name that exists changes that one alone, and who changed it is noted
SELECT (economy.set_segment_rules('[{"segment": "Everybody"}]', 'pgtap rules')) AS version, (economy.set_rfm_model('{"model": "pgtap noted", "window_days": 6}', 'pgtap models')).window_days AS x, economy.set_recommendations('pgtap noted', '{}', '[]', 'pgtap places') AS place \gset
SELECT is((SELECT string_agg(concat_ws(' ', c.relation, c.key, c.action, c.actor), ', ' ORDER BY c.relation) FROM economy.config_changes c WHERE (c.relation, c.key) IN (('segment_rules', :'version'), ('rfm_models', 'pgtap noted'), ('recommendation_placements', 'pgtap noted:' || :place))),
    format('recommendation_placements pgtap noted:1 set pgtap places, rfm_models pgtap noted set pgtap models, segment_rules %s set pgtap rules', :version), 'who changed what is noted');
SELECT set_config('economy.test_clock', '2099-01-01 12:00:00+00', true) AS x \gset
SELECT economy.set_segment_rules('[{"segment": "Everybody"}]', 'pgtap') AS version, economy.set_recommendations('pgtap noted', '{}', '[]', 'pgtap late') AS place \gset
SELECT is((SELECT (changed_at, actor)::text FROM economy.segment_rule_changes WHERE version = :version), (SELECT (economy.now(), 'pgtap')::text), 'and when');
SELECT is((SELECT (changed_at, actor)::text FROM economy.recommendation_placements WHERE placement = 'pgtap noted' AND version = :place), (SELECT (economy.now(), 'pgtap late')::text), 'of a placement too');
SELECT * FROM finish();
ROLLBACK;
