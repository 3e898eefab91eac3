-- Scores by every kind of model against the definition in plain SQL, with random
-- tables: by rfm_score() and by the compiled program of the refresh; what a model
-- and a rule may be, at each border.
BEGIN;
SELECT no_plan();
SET LOCAL jit = off;
SET LOCAL timezone = 'UTC';
SET LOCAL datestyle = 'ISO, YMD';
SET LOCAL extra_float_digits = 1;

-- --- models ----------------------------------------------------------------------

CREATE TEMP TABLE kind (n integer, kind text, recency text, frequency text, monetary text);
INSERT INTO kind VALUES (0, 'fixed', '[2, 5, 9, 20]', '[1, 2, 3, 5]', '[50, 100, 200, 400.5]'), (1, 'quantile', '[0.1, 0.35, 0.6, 0.85]', '[0.15, 0.4, 0.65, 0.9]', '[0.25, 0.5, 0.75, 0.95]'),
    (2, 'quantile_plus_one', '[0.2, 0.4, 0.6, 0.8]', '[0.1, 0.3, 0.5, 0.7]', '[0.2, 0.45, 0.7, 0.9]');
SELECT setseed(0.75);
CREATE TEMP TABLE model AS
    SELECT 'pgtap score ' || i.n AS model, jsonb_build_object('model', 'pgtap score ' || i.n, 'recency_kind', r.kind, 'recency_breaks', r.recency::jsonb, 'frequency_kind', f.kind, 'frequency_breaks', f.frequency::jsonb,
        'monetary_kind', m.kind, 'monetary_breaks', m.monetary::jsonb, 'population', (ARRAY['active', 'all'])[1 + i.n % 2], 'window_days', (ARRAY[30, 7, NULL])[1 + i.n / 2 % 3], 'recency_clamp', (ARRAY[90, NULL, 25])[1 + i.n / 5 % 3],
        'recency_weight', round(random()::numeric, 3), 'frequency_weight', round(random()::numeric, 3), 'monetary_weight', round(random()::numeric, 3)) AS given
    FROM generate_series(0, 26) i (n) JOIN kind r ON r.n = i.n % 3 JOIN kind f ON f.n = i.n / 3 % 3 JOIN kind m ON m.n = i.n / 9;
SELECT is(to_jsonb(economy.set_rfm_model(given, 'pgtap')), given || '{"builtin": false}', model || ' is what was given') FROM model;
-- a change of every column, in place
SELECT economy.set_rfm_model((SELECT given FROM model WHERE model = 'pgtap score 3') || '{"model": "pgtap changed"}', 'pgtap') AS x \gset
SELECT is(to_jsonb(economy.set_rfm_model(given || '{"model": "pgtap changed"}', 'pgtap')), given || '{"model": "pgtap changed", "builtin": false}', 'changed to ' || model) FROM model WHERE model IN ('pgtap score 22', 'pgtap score 14');
SELECT is(to_jsonb(economy.set_rfm_model(given || '{"model": "pgtap changed"}', 'pgtap')), given || '{"model": "pgtap changed", "builtin": false}', 'changed to ' || model) FROM model WHERE model = 'pgtap score 9';
SELECT is((SELECT to_jsonb(m) FROM economy.rfm_models m WHERE m.model = 'pgtap changed'), (SELECT given || '{"model": "pgtap changed", "builtin": false}' FROM model WHERE model = 'pgtap score 9'), 'as it is kept');
-- borders of what one may be
CREATE FUNCTION pg_temp.taken(given text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM economy.set_rfm_model(jsonb_build_object('model', 'pgtap border') || given::jsonb, 'pgtap');
    RETURN 'taken';
EXCEPTION WHEN SQLSTATE 'XE603' THEN
    RETURN 'refused';
END
$$;
SELECT is(pg_temp.taken(given), answer, left(given, 100)) FROM (VALUES
    ('{"window_days": 1}', 'taken'), ('{"window_days": 0}', 'refused'), ('{"window_days": 36500}', 'taken'), ('{"window_days": 36501}', 'refused'), ('{"recency_clamp": 1}', 'taken'), ('{"recency_clamp": 0}', 'refused'), ('{"recency_clamp": 36500}', 'taken'),
    ('{"recency_clamp": 36501}', 'refused'), ('{"recency_weight": 0, "frequency_weight": 1}', 'taken'), ('{"recency_weight": -0.001}', 'refused'), ('{"frequency_weight": 1.001}', 'refused'), ('{"monetary_weight": -1}', 'refused'), ('{"monetary_weight": 1}', 'taken'),
    ('{"recency_breaks": [0, 1, 2, 9007199254740991]}', 'taken'), ('{"recency_breaks": [0, 1, 2, 9007199254740992]}', 'refused'), ('{"recency_breaks": [-0.5, 1, 2, 3]}', 'refused'), ('{"recency_breaks": [0, 1, 2, 3, 4]}', 'refused'),
    ('{"recency_breaks": [[0, 1], [2, 3]]}', 'refused'), ('{"recency_breaks": [0, 1, 2, "NaN"]}', 'refused'), ('{"recency_breaks": [0, 1, 1, 2]}', 'refused'), ('{"recency_breaks": [0, 2, 1, 3]}', 'refused'), ('{"recency_breaks": []}', 'refused'),
    ('{"recency_kind": "quantile"}', 'refused'), ('{"recency_kind": "quantile", "recency_breaks": [0.01, 0.2, 0.3, 0.99]}', 'taken'), ('{"recency_kind": "quantile", "recency_breaks": [0, 0.2, 0.3, 0.99]}', 'refused'), ('{"recency_kind": "quantile_plus_one", "recency_breaks": [0.1, 0.2, 0.3, 1]}', 'refused'),
    ('{"frequency_breaks": [0.2, 0.4, 0.6, 1]}', 'refused'), ('{"monetary_breaks": [0, 0.4, 0.6, 0.8]}', 'refused'), ('{"monetary_kind": "fixed", "monetary_breaks": [0, 4, 6, 8]}', 'taken'), ('{"frequency_kind": "fixed", "frequency_breaks": [1, 4, 6, null]}', 'refused'),
    ('{"population": "all"}', 'taken'), ('{"population": null}', 'refused'), (format('{"model": "%s"}', repeat('m', 64)), 'taken'), (format('{"model": "%s"}', repeat('m', 65)), 'refused')) v (given, answer);
SELECT throws_ok($$SELECT economy.set_rfm_model('{"model": "x", "window_days": 0}', 'pgtap')$$, 'XE603', 'model is not valid', 'in words');
SELECT throws_ok(format('SELECT economy.set_segment_rules(%L, ''pgtap'')', (SELECT jsonb_agg('{"segment": "A"}'::jsonb) FROM generate_series(1, 101))), 'XE601', 'rules must be an array of 1 to 100 JSON objects', 'a hundred rules and one');
SELECT lives_ok(format('SELECT economy.set_segment_rules(%L, ''pgtap'')', (SELECT jsonb_agg('{"segment": "A"}'::jsonb) FROM generate_series(1, 100))), 'not a hundred');

-- --- rules ------------------------------------------------------------------------

SELECT economy.set_segment_rules('[{"segment": "Never", "bought": false}, {"segment": "Top", "monetary_from": "p95", "p95_positive": true}, {"segment": "Rich", "monetary_from": "p60", "recency_to": 9, "frequency_from": 2},
    {"segment": "Some", "monetary_below": "p60", "frequency_from": 1, "frequency_to": 3, "recency_from": 2, "recency_to": 12}, {"segment": "Band", "monetary_from": "100", "monetary_below": "150"}, {"segment": "Gone", "recency_from": 20, "frequency_to": 0}, {"segment": "Rest"}]', 'pgtap') AS x \gset

-- --- random tables -----------------------------------------------------------------

CREATE TABLE public.pgtap_scored (id bigint, ts timestamptz, amount numeric);
CREATE FUNCTION pg_temp.fill(kind integer) RETURNS void LANGUAGE sql AS $$
    TRUNCATE pgtap_scored;
    -- many values, few, or one for all
    INSERT INTO pgtap_scored
    SELECT CASE kind WHEN 3 THEN n ELSE 1 + (random() * random() * 60)::int END, timestamptz '2031-03-01 12:00:00+00' - CASE kind WHEN 3 THEN interval '5 days' WHEN 2 THEN interval '1 day' * (random() * 6)::int ELSE random() * random() * interval '70 days' END,
           CASE kind WHEN 1 THEN (random() * 90)::int WHEN 2 THEN 10 * (random() * 2)::int ELSE 25 END FROM generate_series(1, 240) n;
    INSERT INTO pgtap_scored VALUES (500, '2031-03-01 12:00:00.000001+00', 9), (501, '2031-01-30 12:00:00+00', 0), (502, '2031-02-22 12:00:00+00', 20), (503, '2031-02-22 12:00:00.000001+00', 0), (504, '2030-02-01', 30), (505, '2031-03-01', -5) $$;
CREATE FUNCTION pg_temp.passed(value numeric, bounds numeric[], kind text) RETURNS integer LANGUAGE sql AS $$
    SELECT count(*)::integer FROM unnest(bounds) b WHERE CASE WHEN kind = 'quantile_plus_one' THEN value >= b ELSE value > b END $$;
CREATE FUNCTION pg_temp.wanted(which text) RETURNS TABLE (id text, recency_days integer, frequency bigint, monetary numeric, r integer, f integer, m integer, score numeric, segment text) LANGUAGE sql AS $$
    WITH model AS (
        SELECT x.*, CASE x.recency_kind WHEN 'fixed' THEN '{}' ELSE x.recency_breaks END::float8[] AS rq, CASE x.frequency_kind WHEN 'fixed' THEN '{}' ELSE x.frequency_breaks END::float8[] AS fq, CASE x.monetary_kind WHEN 'fixed' THEN '{}' ELSE x.monetary_breaks END::float8[] AS mq
        FROM economy.rfm_models x WHERE x.model = which
    ), a AS (SELECT timestamptz '2031-03-01 12:00:00+00' AS at), input AS (
        SELECT s.id, least(x.recency_clamp, date '2031-03-01' - max(s.ts)::date) AS days, count(*) FILTER (WHERE w.inside) AS f, coalesce(sum(s.amount) FILTER (WHERE w.inside), 0) AS m
        FROM pgtap_scored s CROSS JOIN model x CROSS JOIN a CROSS JOIN LATERAL (SELECT coalesce(s.ts > a.at - x.window_days * interval '24 hours', true) AS inside) w
        WHERE s.ts <= a.at AND s.amount >= 0 GROUP BY s.id, x.recency_clamp
    ), ranked AS (
        SELECT i.*, x.population = 'all' OR i.f > 0 AS counted FROM input i CROSS JOIN model x
    ), bound AS (
        SELECT CASE x.recency_kind WHEN 'fixed' THEN x.recency_breaks WHEN 'quantile' THEN (percentile_disc(x.rq) WITHIN GROUP (ORDER BY days) FILTER (WHERE counted))::numeric[]
                   ELSE ARRAY(SELECT b + 1 FROM unnest((percentile_cont(x.rq) WITHIN GROUP (ORDER BY days::float8) FILTER (WHERE counted))::numeric[]) b) END AS r,
               CASE x.frequency_kind WHEN 'fixed' THEN x.frequency_breaks WHEN 'quantile' THEN (percentile_disc(x.fq) WITHIN GROUP (ORDER BY f) FILTER (WHERE counted))::numeric[]
                   ELSE ARRAY(SELECT b + 1 FROM unnest((percentile_cont(x.fq) WITHIN GROUP (ORDER BY f::float8) FILTER (WHERE counted))::numeric[]) b) END AS f,
               CASE x.monetary_kind WHEN 'fixed' THEN x.monetary_breaks WHEN 'quantile' THEN (percentile_disc(x.mq) WITHIN GROUP (ORDER BY m) FILTER (WHERE counted))::numeric[]
                   ELSE ARRAY(SELECT b + 1 FROM unnest((percentile_cont(x.mq) WITHIN GROUP (ORDER BY m::float8) FILTER (WHERE counted))::numeric[]) b) END AS m,
               x.recency_kind <> 'fixed' AND count(DISTINCT days) FILTER (WHERE counted) < 2 AS flat_r, x.frequency_kind <> 'fixed' AND count(DISTINCT f) FILTER (WHERE counted) < 2 AS flat_f,
               x.monetary_kind <> 'fixed' AND count(DISTINCT m) FILTER (WHERE counted) < 2 AS flat_m,
               percentile_disc(0.5) WITHIN GROUP (ORDER BY m) FILTER (WHERE f > 0) AS p50, percentile_disc(0.6) WITHIN GROUP (ORDER BY m) FILTER (WHERE f > 0) AS p60, percentile_disc(0.95) WITHIN GROUP (ORDER BY m) FILTER (WHERE f > 0) AS p95
        FROM ranked CROSS JOIN model x GROUP BY x.recency_kind, x.recency_breaks, x.frequency_kind, x.frequency_breaks, x.monetary_kind, x.monetary_breaks, x.rq, x.fq, x.mq
    ), scored AS (
        SELECT i.*, b.p50, b.p60, b.p95, CASE WHEN flat_r THEN 3 ELSE 5 - pg_temp.passed(days, b.r, x.recency_kind) END AS sr,
               CASE WHEN NOT flat_f THEN 1 + pg_temp.passed(i.f, b.f, x.frequency_kind) WHEN counted THEN 3 ELSE 1 END AS sf,
               CASE WHEN NOT flat_m THEN 1 + pg_temp.passed(i.m, b.m, x.monetary_kind) WHEN counted THEN 3 ELSE 1 END AS sm
        FROM ranked i CROSS JOIN bound b CROSS JOIN model x
    )
    SELECT s.id::text, days, f, m, sr, sf, sm, x.recency_weight * sr + x.frequency_weight * sf + x.monetary_weight * sm,
           CASE WHEN p95 > 0 AND (m > p95 OR (m = p95 AND p95 <> p50)) THEN 'Top' WHEN (m > p60 OR (m = p60 AND p95 <> p50)) AND days <= 9 AND f >= 2 THEN 'Rich'
                WHEN (m < p60 OR (m = p60 AND p95 = p50)) AND f BETWEEN 1 AND 3 AND days BETWEEN 2 AND 12 THEN 'Some' WHEN m >= 100 AND m < 150 THEN 'Band' WHEN days >= 20 AND f = 0 THEN 'Gone' ELSE 'Rest' END
    FROM scored s CROSS JOIN model x $$;
CREATE TEMP TABLE met (segment text, r integer, f integer, m integer);
-- by the program that a refresh compiles of the same bounds
CREATE FUNCTION pg_temp.compiled(which text) RETURNS TABLE (id text, recency_days integer, frequency bigint, monetary numeric, r integer, f integer, m integer, segment text) LANGUAGE sql AS $$
    WITH program AS MATERIALIZED (
        SELECT p.* FROM economy_internal.rfm_program(economy_internal.rfm_with_bounds(jsonb_populate_record(NULL::economy.rfm_snapshots, jsonb_build_object('model', to_jsonb(economy.rfm_model(which)), 'rules', (SELECT jsonb_agg(to_jsonb(r)) FROM economy.rfm_rules() r))),
            economy.rfm_bounds(which, 'pgtap_scored', '2031-03-01 12:00:00+00'))) p
    ), history AS (
        SELECT s.id, economy_internal.rfm_pack(s.ts, s.amount::bigint, n) AS buckets, min(s.ts) AS first FROM (SELECT *, row_number() OVER (PARTITION BY x.id ORDER BY x.ts DESC) AS n FROM pgtap_scored x WHERE x.amount >= 0) s GROUP BY s.id
    )
    SELECT h.id::text, (a.x).recency_days, (a.x).frequency, (a.x).monetary, (a.x).r::integer, (a.x).f::integer, (a.x).m::integer, (a.x).segment
    FROM history h CROSS JOIN program p CROSS JOIN LATERAL (SELECT economy_internal.rfm_assess(1, h.buckets, '2031-03-01 12:00:00+00', p.program, p.segments, NULL, NULL, NULL, NULL, NULL, NULL, NULL) AS x OFFSET 0) a WHERE h.first <= '2031-03-01 12:00:00+00' $$;
CREATE FUNCTION pg_temp.compare(kind integer) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    x text;
BEGIN
    PERFORM pg_temp.fill(kind);
    FOR x IN SELECT model FROM model ORDER BY model LOOP
        RETURN NEXT bag_eq(format('SELECT s::text FROM economy.rfm_score(%L, ''pgtap_scored'', ''2031-03-01 12:00:00+00'') s', x), format('SELECT w::text FROM pg_temp.wanted(%L) w', x), format('table %s by %s', kind, x));
        RETURN NEXT bag_eq(format('SELECT s::text FROM pg_temp.compiled(%L) s', x), format('SELECT (w.id, w.recency_days, w.frequency, w.monetary, w.r, w.f, w.m, w.segment)::text FROM pg_temp.wanted(%L) w', x), 'also compiled');
        INSERT INTO met SELECT w.segment, w.r, w.f, w.m FROM pg_temp.wanted(x) w;
    END LOOP;
END
$$;
SELECT pg_temp.compare(kind) FROM generate_series(1, 3) kind;
SELECT is((SELECT string_agg(DISTINCT segment, ' ' ORDER BY segment) FROM met), 'Band Gone Rest Rich Some Top', 'every segment was met');
SELECT is((SELECT count(DISTINCT r) + count(DISTINCT f) + count(DISTINCT m) FROM met), 15::bigint, 'and every score');
-- a time without a zone, or a date, is UTC
SELECT pg_temp.fill(1);
SET LOCAL timezone = 'Pacific/Auckland';
SELECT bag_eq($$SELECT s::text FROM economy.rfm_score_query('pgtap score 4', 'SELECT id, ts AT TIME ZONE ''UTC'' AS ts, amount FROM public.pgtap_scored', '2031-03-01 12:00:00+00') s$$,
    $$SELECT s::text FROM economy.rfm_score('pgtap score 4', 'pgtap_scored', '2031-03-01 12:00:00+00') s$$, 'a timestamp without time zone');
SET LOCAL timezone = 'UTC';

-- --- who never bought, whom no row is kept of, is in the segment that a row would be in --------

CREATE FUNCTION pg_temp.one_of(choices jsonb) RETURNS jsonb LANGUAGE sql VOLATILE AS $$ SELECT choices -> (random() * 1000)::integer % jsonb_array_length(choices) $$;
CREATE TEMP TABLE never AS
    SELECT n, jsonb_populate_record(NULL::economy.rfm_snapshots, jsonb_build_object('model', jsonb_build_object('window_days', 30, 'recency_clamp', pg_temp.one_of('[90, 20, null]'), 'population', 'active', 'recency_kind', 'fixed', 'frequency_kind', 'fixed', 'monetary_kind', 'fixed'),
               'degenerate', '{}', 'recency_bounds', '{1,3,7,14}', 'frequency_bounds', '{1,2,3,4}', 'monetary_bounds', '{1,2,3,4}', 'p50', q -> 0, 'p60', q -> 1, 'p95', q -> 2, 'rules', r.rules || jsonb_build_object('version', 1, 'position', 99, 'segment', 'rest', 'p95_positive', false))) AS snapshot
    FROM generate_series(1, 3000) n CROSS JOIN LATERAL (SELECT pg_temp.one_of('[[null, null, null], [0, 0, 0], [0, 0, 7], [0, 7, 7], [5, 5, 5], [1, 2, 3]]') AS q, n AS m) p
    CROSS JOIN LATERAL (SELECT jsonb_agg(jsonb_build_object('version', 1, 'position', i, 'segment', 'rule ' || i, 'bought', pg_temp.one_of('[null, null, false, true]'), 'recency_from', pg_temp.one_of('[null, null, 20, 21, 90, 91]'), 'recency_to', pg_temp.one_of('[null, null, null, 19, 20, 89, 90, 99999]'),
            'frequency_from', pg_temp.one_of('[null, null, 0, 1]'), 'frequency_to', pg_temp.one_of('[null, 0, 5]'), 'monetary_from', pg_temp.one_of('[null, null, "0", "1", "p60", "p95"]'), 'monetary_below', pg_temp.one_of('[null, null, "0", "1", "p60", "p95"]'), 'p95_positive', pg_temp.one_of('[false, false, true]'))) AS rules
        FROM generate_series(1, 4) i WHERE p.m = n) r;
SELECT is_empty($$SELECT n.*, a.segment FROM never n CROSS JOIN LATERAL economy_internal.rfm_program(n.snapshot) p CROSS JOIN LATERAL economy_internal.rfm_assess(1, '', '2031-03-01', p.program, p.segments, NULL, NULL, NULL, NULL, NULL, NULL, NULL) a
    WHERE economy_internal.rfm_never_bought(n.snapshot) IS DISTINCT FROM a.segment$$, 'the first rule that matches with nothing bought');
SELECT cmp_ok((SELECT min(n) FROM (SELECT count(*) AS n FROM never GROUP BY economy_internal.rfm_never_bought(snapshot)) x), '>', 50::bigint, 'which may be each of them');
SELECT is((SELECT count(DISTINCT economy_internal.rfm_never_bought(snapshot)) FROM never), 5::bigint, 'of five');

-- --- a program and its segments, in one statement with others ------------------------------------

CREATE TEMP TABLE program AS
    SELECT p.program, v.segments
    FROM economy_internal.rfm_program(jsonb_populate_record(NULL::economy.rfm_snapshots, '{"model": {"window_days": 30, "recency_clamp": 90, "population": "active"}, "degenerate": "{}", "rules": [{"position": 1, "segment": "x", "p95_positive": false}]}')) p,
         (VALUES ('{a}'::text[]), ('{b}')) v (segments);
SELECT is((SELECT string_agg((a.x).segment, ' ' ORDER BY n) FROM (SELECT n, economy_internal.rfm_assess(1, '', '2031-03-01', p.program, p.segments, NULL, NULL, NULL, NULL, NULL, NULL, NULL) AS x
    FROM generate_series(1, 2) n, program p ORDER BY n, p.segments OFFSET 0) a), 'a b a b', 'the same program with other names');
SELECT is((SELECT string_agg(concat_ws('', (a.x).r, (a.x).recency_days), ' ' ORDER BY n, clamp) FROM (SELECT n, clamp, economy_internal.rfm_assess(1, '', '2031-03-01', p.program[:1] || clamp || p.program[3:], p.segments, NULL, NULL, NULL, NULL, NULL, NULL, NULL) AS x
    FROM generate_series(1, 2) n, program p, unnest(ARRAY[80::bigint, 85]) clamp WHERE p.segments = '{a}' ORDER BY n, clamp OFFSET 0) a), '180 185 180 185', 'the same names with another program');
SELECT throws_ok(format('SELECT economy_internal.rfm_assess(1, %L, %L, %L, %L, NULL, NULL, NULL, NULL, NULL, NULL, NULL)', '', '2031-03-01', program, v.names), 'XE002', 'program must be one made by economy_internal.rfm_program()', 'with ' || v.what)
FROM program, (VALUES ('one name too many', '{a,b}'), ('none', '{}'), ('a null', '{NULL}')) v (what, names) WHERE segments = '{a}';
SELECT throws_ok(format('SELECT economy_internal.rfm_assess(1, %L, %L, %L, %L, NULL, NULL, NULL, NULL, NULL, NULL, NULL)', '', '2031-03-01', program[:2] || NULL::bigint || program[4:], '{a}'), 'XE002', 'program must be one made by economy_internal.rfm_program()', 'with no number')
FROM program WHERE segments = '{a}';
SELECT * FROM finish();
ROLLBACK;
