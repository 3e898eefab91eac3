-- Recommendations: rules, fallbacks, feedback, attribution, Thompson sampling.
BEGIN;
SELECT no_plan();
-- the statements are many and small, and nothing has statistics
SET LOCAL jit = off;
-- how the tests write what they compare
SET LOCAL extra_float_digits = 1;
CREATE FUNCTION pg_temp.clock(at timestamptz) RETURNS text LANGUAGE sql AS $$ SELECT set_config('economy.test_clock', to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00'), true) $$;
SELECT pg_temp.clock('2099-05-01 10:00:00+00') AS x \gset
SELECT economy.register('pgtap rec a') AS a, economy.register('pgtap rec b') AS b, economy.register('pgtap rec c') AS c \gset
SELECT count(*) AS x FROM (VALUES ('{"product_id": "pgtap_one", "category": "conversion", "granted_gold": 1, "monetary": 10, "limit_once": true}'),
    ('{"product_id": "pgtap_two", "category": "item", "price_gold": 5}'), ('{"product_id": "pgtap_few", "category": "item", "price_gold": 5}'),
    ('{"product_id": "pgtap_late", "category": "conversion", "granted_gold": 1, "starts_at": "2099-06-01T00:00:00Z"}')) v (product), economy.upsert_product(product::jsonb, 'pgtap') \gset
SELECT economy.add_stock('pgtap_few', 0, 'pgtap') AS x \gset
SELECT economy.set_segment_rules('[{"segment": "Never", "bought": false}, {"segment": "Buyer"}]', 'pgtap') AS x \gset

-- --- rules --------------------------------------------------------------------

SELECT cmp_ok(economy.set_recommendations('pgtap', '{}', '[{"segment": "Never", "arm": "late", "cta": "wait", "product_id": "pgtap_late"},
    {"segment": "Never", "arm": "few", "cta": "few", "product_id": "pgtap_few"}, {"segment": "Never", "arm": "gone", "cta": "gone", "product_id": "pgtap_none"},
    {"segment": "Never", "arm": "one", "cta": "buy", "product_id": "pgtap_one"}, {"segment": "Buyer", "arm": "mission", "cta": "extend"}, {"segment": "*", "arm": "daily", "cta": "claim"}]', 'pgtap'), '>', 0, 'a placement');
DELETE FROM economy.rfm_state;
CREATE FUNCTION pg_temp.shown(u bigint, place text DEFAULT 'pgtap') RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', r.segment, r.arm, r.cta, r.product_id, r.fallback, r.propensity) FROM economy.recommend(u, place) r $$;
SELECT is(pg_temp.shown(:a), 'daily claim t 1', 'cold start: nobody has a segment, and the fallback is marked');
DELETE FROM economy.user_segments;
DELETE FROM economy.segment_history;
SELECT count(*) AS x FROM economy.rfm_refresh() \gset
SELECT is(pg_temp.shown(:a), 'Never one buy pgtap_one f 1', 'the first arm whose product is on sale, in stock and allowed');
SELECT economy.add_stock('pgtap_few', 5, 'pgtap') AS x \gset
SELECT is(pg_temp.shown(:a), 'Never few few pgtap_few f 1', 'in the order of the arms, also without the gold');
SELECT economy.add_stock('pgtap_few', -5, 'pgtap') AS x \gset
SELECT is(pg_temp.shown(:a), 'Never one buy pgtap_one f 1', 'not when it is sold out');
SELECT code AS x FROM economy.purchase(:a, 'pgtap_one', 'k') \gset
SELECT is(pg_temp.shown(:a), 'Never daily claim t 1', 'nothing of the segment is left that the user may buy');
SELECT count(*) AS x FROM economy.rfm_refresh_incremental() \gset
SELECT is(pg_temp.shown(:a), 'Buyer mission extend f 1', 'a new segment, another arm');
SELECT is((SELECT array_agg(DISTINCT policy) FROM economy.recommendation_placements WHERE placement IN ('home', 'pgtap') AND version IN (0, (SELECT max(version) FROM economy.recommendation_placements WHERE placement = 'pgtap'))), '{rules}', 'sampling is off by default');
SELECT is((SELECT array_agg(number ORDER BY number) FROM economy.recommendations WHERE user_id = :a), '{1,2,3,4,5}', 'every decision is kept, once a day');
SELECT economy.set_user_status(:c, 'suspended', 'pgtap') AS x \gset
SELECT is(pg_temp.shown(:c), 'Never daily claim t 1', 'a suspended user can buy nothing');
SELECT is(economy.set_recommendations('pgtap empty', '{}', '[]', 'pgtap') > 0, true, 'a placement without arms');
SELECT is(pg_temp.shown(:b, 'pgtap empty'), 'Never none none t 1', 'says so');
SELECT is((SELECT count(*) FROM economy.recommendation_arms WHERE placement = 'home' AND version = 0 AND segment IN ('AtRisk', 'Whale', 'HighEngaged', 'Medium', 'Low', 'New', 'NoPurchase', '*')), 8::bigint, 'every segment has an arm at home');

-- --- feedback and attribution ----------------------------------------------------

SELECT decision_id AS d FROM economy.recommend(:b, 'pgtap') \gset
SELECT is(:'d', format('D%s-2', :b), 'decisions have an id');
SELECT is(economy.recommendation_feedback(:'d', 'click'), 'new', 'a click');
SELECT is(economy.recommendation_feedback(:'d', 'click'), 'reuse', 'once');
SELECT pg_temp.clock('2099-04-30 10:00:00+00') AS x \gset
SELECT decision_id AS d0 FROM economy.recommend(:c, 'pgtap empty') \gset
SELECT pg_temp.clock('2099-04-30 09:59:59+00') AS x \gset
SELECT is(economy.recommendation_feedback(:'d0', 'click') || economy.recommendation_feedback(:'d0', 'conversion'), 'newnew', 'the clock was set back');
SELECT is((SELECT (clicked_at, converted_at) = (decided_at, decided_at) FROM economy.recommendations WHERE user_id = :c AND placement = 'pgtap empty'), true, 'and no answer is older than the question');
SELECT pg_temp.clock('2099-05-02 10:00:00+00') AS x \gset
SELECT decision_id AS d2 FROM economy.recommend(:b, 'pgtap') \gset
SELECT is((SELECT array_agg(converted_at) FROM economy.recommendation_outcomes WHERE user_id = :b), '{NULL,NULL,NULL}', 'nothing is bought yet');
SELECT pg_temp.clock('2099-05-09 09:59:59.999999+00') AS x \gset
SELECT code AS x FROM economy.purchase(:b, 'pgtap_one', 'k') \gset
SELECT is((SELECT array_agg(converted_at ORDER BY number) FROM economy.recommendation_outcomes WHERE user_id = :b), ARRAY[NULL, NULL, '2099-05-09 09:59:59.999999+00']::timestamptz[], 'a purchase is the conversion of the last decision before it');
SELECT is(economy.recommendation_feedback(:'d2', 'conversion') || economy.recommendation_feedback(:'d2', 'conversion'), 'newreuse', 'feedback for it changes nothing');
SELECT is((SELECT (shown, clicks, ctr, conversions, conversion_rate, fallbacks, fallback_rate)::text FROM economy.recommendation_stats('2099-05-01') WHERE placement = 'pgtap' AND segment = 'Never' AND arm = 'one'),
    '(3,1,0.3333,2,0.6667,0,0.0000)', 'statistics of an arm');
SELECT is((SELECT (shown, fallbacks, fallback_rate)::text FROM economy.recommendation_stats('2099-05-01') WHERE placement = 'pgtap' AND segment = 'Never' AND arm = 'daily'), '(2,2,1.0000)', 'and of the fallback');
SELECT is((SELECT count(*) FROM economy.recommendation_stats('2099-06-01') WHERE placement = 'pgtap'), 0::bigint, 'since a moment');
SELECT is(economy_internal.rfm_reverse(:b, (SELECT max(seq) FROM economy.shop_transactions WHERE user_id = :b)), true, 'a purchase that is reversed');
SELECT is((SELECT count(converted_at) FROM economy.recommendation_outcomes WHERE user_id = :b AND number < 3), 0::bigint, 'is no conversion');
SELECT pg_temp.clock('2099-05-20 00:00:00+00') AS x \gset
SELECT economy.register('pgtap rec d') AS d \gset
SELECT decision_id AS d3 FROM economy.recommend(:d, 'pgtap') \gset
SELECT pg_temp.clock('2099-05-27 00:00:00+00') AS x \gset
SELECT code AS x FROM economy.purchase(:d, 'pgtap_one', 'k') \gset
SELECT is((SELECT converted_at FROM economy.recommendation_outcomes WHERE user_id = :d), NULL, 'the window ends with its last moment');

-- a product that is bought again and again: a decision has the purchases after it, up to the next one
SELECT economy.register('pgtap rec again') AS again \gset
SELECT economy.upsert_product('{"product_id": "pgtap_again", "category": "conversion", "granted_gold": 1, "monetary": 10}', 'pgtap') IS NULL AS x \gset
SELECT economy.set_recommendations('pgtap again', '{}', '[{"segment": "*", "arm": "again", "cta": "again", "product_id": "pgtap_again"}]', 'pgtap') AS x \gset
CREATE FUNCTION pg_temp.converted(u bigint) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(coalesce(to_char(converted_at AT TIME ZONE 'UTC', 'DD'), '-'), ' ' ORDER BY number) FROM economy.recommendation_outcomes WHERE user_id = u $$;
SELECT code AS x FROM economy.purchase(:again, 'pgtap_again', 'k1') \gset
SELECT decision_id AS x FROM economy.recommend(:again, 'pgtap again') \gset
SELECT is(pg_temp.converted(:again), '-', 'the purchase before a decision is not its conversion');
SELECT pg_temp.clock('2099-05-28 00:00:00+00') AS x \gset
SELECT code AS x FROM economy.purchase(:again, 'pgtap_again', 'k2') \gset
SELECT decision_id AS x FROM economy.recommend(:again, 'pgtap again') \gset
SELECT is(pg_temp.converted(:again), '28 -', 'a decision right after the purchase leaves it to the one before');
SELECT is((SELECT array_agg(shown ORDER BY since) FROM (VALUES (timestamptz '2099-05-28 00:00:00+00'), ('2099-05-28 00:00:00.000001+00')) v (since)
    LEFT JOIN LATERAL (SELECT r.shown FROM economy.recommendation_stats(v.since) r WHERE r.placement = 'pgtap again') r ON true), '{1,NULL}', 'statistics begin with their first moment');

SELECT throws_ok(format('SELECT economy.recommendation_feedback(%L, ''click'')', id), 'XE605', NULL, 'no decision: ' || id) FROM unnest(ARRAY['D1-' || repeat('9', 30), 'D' || repeat('9', 30) || '-1']) id;
SELECT is(economy.set_recommendations('pgtap many', '{}', (SELECT jsonb_agg(jsonb_build_object('segment', '*', 'arm', n::text, 'cta', 'c')) FROM generate_series(1, 1000) n), 'pgtap'), 1, 'a thousand arms');
SELECT throws_ok($$SELECT economy.set_recommendations('pgtap many', '{}', (SELECT jsonb_agg(jsonb_build_object('segment', '*', 'arm', n::text, 'cta', 'c')) FROM generate_series(1, 1001) n), 'pgtap')$$, 'XE607', NULL, 'and not one more');
SELECT throws_ok(call, code, NULL, call) FROM (VALUES
    ('SELECT * FROM economy.recommend(NULL, ''pgtap'')', 'XE001'), ('SELECT * FROM economy.recommend(1, NULL)', 'XE001'), ('SELECT * FROM economy.recommend(1, ''nowhere'')', 'XE606'),
    ('SELECT * FROM economy.recommend(-1, ''pgtap'')', 'XE202'), ('SELECT economy.recommendation_feedback(NULL, ''click'')', 'XE001'), ('SELECT economy.recommendation_feedback(''D1-1'', NULL)', 'XE001'),
    ('SELECT economy.recommendation_feedback(''D1-1'', ''look'')', 'XE002'), ('SELECT economy.recommendation_feedback(''D0-1'', ''click'')', 'XE605'), ('SELECT economy.recommendation_feedback(''nonsense'', ''click'')', 'XE605'),
    ('SELECT economy.set_recommendations(NULL, ''{}'', ''[]'', ''a'')', 'XE001'), ('SELECT economy.set_recommendations(''p'', NULL, ''[]'', ''a'')', 'XE001'), ('SELECT economy.set_recommendations(''p'', ''{}'', NULL, ''a'')', 'XE001'),
    ('SELECT economy.set_recommendations(''p'', ''{}'', ''[]'', NULL)', 'XE001'), ('SELECT economy.set_recommendations(''p'', ''{"version": 1}'', ''[]'', ''a'')', 'XE607'),
    ('SELECT economy.set_recommendations(''p'', ''{"policy": "guess"}'', ''[]'', ''a'')', 'XE607'), ('SELECT economy.set_recommendations(''p'', ''{"exploration": 2}'', ''[]'', ''a'')', 'XE607'),
    ('SELECT economy.set_recommendations(''p'', ''{}'', ''[{"segment": "A", "arm": "a"}]'', ''a'')', 'XE607'), ('SELECT economy.set_recommendations('''', ''{}'', ''[]'', ''a'')', 'XE607'),
    ('SELECT economy.set_recommendations(''p'', ''{"half_life": "soon"}'', ''[]'', ''a'')', 'XE607'),
    ('SELECT economy.beta_quantile(NULL, 1, 1)', 'XE001'), ('SELECT economy.beta_quantile(0.5, NULL, 1)', 'XE001'), ('SELECT economy.beta_quantile(0.5, 1, NULL)', 'XE001'), ('SELECT economy.beta_quantile(2, 1, 1)', 'XE002'),
    ('SELECT economy.beta_quantile(''NaN'', 1, 1)', 'XE002'), ('SELECT economy.beta_quantile(0.5, 0, 1)', 'XE002'), ('SELECT economy.beta_quantile(0.5, 1, ''NaN'')', 'XE002'),
    ('SELECT economy_internal.beta_shares(NULL, ''{1}'')', 'XE001'), ('SELECT economy_internal.beta_shares(''{1}'', NULL)', 'XE001'), ('SELECT economy_internal.beta_shares(''{}'', ''{}'')', 'XE002'), ('SELECT economy_internal.beta_shares(''{1}'', ''{1,2}'')', 'XE002'),
    ('SELECT economy_internal.beta_shares(''{0.5}'', ''{1}'')', 'XE002'), ('SELECT economy_internal.beta_shares(''{NULL}'', ''{1}'')', 'XE002')) v (call, code);

-- --- Thompson sampling -------------------------------------------------------------

SELECT cmp_ok(abs(economy.beta_quantile(p, a, b) / x - 1), '<', 1e-12::double precision, format('the %s quantile of Beta(%s, %s)', p, a, b))
FROM (VALUES (.025, 18, 3, 0.6830172859809176), (.975, 19, 2, 0.9876514728297052), (.025, 4, 17, 0.05733399705003284), (.975, 191, 10, 0.975765834527891)) v (p, a, b, x);
SELECT is((SELECT array_agg(round(s::numeric, 6)) FROM unnest(economy_internal.beta_shares('{3,1,4}', '{2,3,3}')) s), '{0.523776,0.049650,0.426573}', 'the known shares');
SELECT is((SELECT array_agg(round(s::numeric, 6)) FROM unnest(economy_internal.beta_shares('{3,1}', '{2,3}')) s), '{0.885714,0.114286}', 'of other arms: 31 and 4 of 35');
SELECT is((SELECT array_agg(round(s::numeric, 6)) FROM unnest(economy_internal.beta_shares('{3,1,4}', '{2,3,4}')) s) <> '{0.523776,0.049650,0.426573}', true, 'and of one that differs');
-- the last answer is kept for who asks the same, and for nobody who asks for one number else
SELECT is((SELECT array_agg(round(s::numeric, 6)) FROM unnest(economy_internal.beta_shares(a, b)) s), shares::numeric[], format('the shares of %s and %s', a, b))
FROM (VALUES ('{1,2}'::double precision[], '{1,1}'::double precision[], '{0.333333,0.666667}'), ('{1,2}', '{1,2}', '{0.500000,0.500000}'), ('{2,2}', '{1,2}', '{0.700000,0.300000}')) v (a, b, shares);
SELECT is((SELECT string_agg(DISTINCT round(s::numeric, 6)::text, ' ') FROM unnest(economy_internal.beta_shares(array_fill(1, ARRAY[100])::double precision[], array_fill(1, ARRAY[100])::double precision[])) s), '0.010000', 'a hundred arms');
SELECT is(round(economy.beta_quantile(p, a, b)::numeric, 6), x, format('the least and the most: %s of Beta(%s, %s)', p, a, b))
FROM (VALUES (0, 2, 3, 0), (1, 2, 3, 1), (0.5, 0.001, 0.001, 0.5), (0.5, 1000000, 1000000, 0.5)) v (p, a, b, x);
SELECT is(round((economy_internal.beta_shares('{1000000,1}', '{1000000,1}'))[1]::numeric, 6), 0.5, 'also of the shares');
SELECT throws_ok('SELECT economy' || call, 'XE002', message, call)
FROM (VALUES ('.beta_quantile(-0.001, 1, 1)', 'p must be from 0 to 1'), ('.beta_quantile(1.001, 1, 1)', 'p must be from 0 to 1'),
             ('.beta_quantile(0.5, 0.0009, 1)', 'a and b must be from 0.001 to 1e+06'), ('.beta_quantile(0.5, 1, 1000000.1)', 'a and b must be from 0.001 to 1e+06'),
             ('_internal.beta_shares(''{1}'', ''{0.999}'')', 'a and b must be from 1 to 1e+06'), ('_internal.beta_shares(''{1000000.1}'', ''{1}'')', 'a and b must be from 1 to 1e+06'),
             ('_internal.beta_shares(''{1,2}'', ''{1}'')', 'a and b must have the same length'), ('_internal.beta_shares(''{1}'', ''{1,2}'')', 'a and b must have the same length'),
             ('_internal.beta_shares(''{{1,2}}'', ''{1,2}'')', 'a must be an array of 1 to 100 numbers'), ('_internal.beta_shares(''{1,2}'', ''{1,NULL}'')', 'b must be an array of 1 to 100 numbers'),
             (format('_internal.beta_shares(%L, %L)', array_fill(1, ARRAY[101]), array_fill(1, ARRAY[101])), 'a must be an array of 1 to 100 numbers')) v (call, message);
SELECT is(economy_internal.draw_uniform('economy'), 0.5 / 4503599627370496 + ('x' || left(encode(sha256('economy'), 'hex'), 13))::bit(52)::bigint / 4503599627370496::double precision, 'a draw is a hash');
SELECT pg_temp.clock('2099-07-01 12:00:00+00') AS x \gset
SELECT is(economy.set_recommendations('pgtap ts', '{"policy": "thompson", "exploration": 0.1, "attribution_window": "1 day", "half_life": "10 days"}',
    '[{"segment": "Never", "arm": "x", "cta": "x"}, {"segment": "Never", "arm": "y", "cta": "y"}, {"segment": "Never", "arm": "z", "cta": "z"}]', 'pgtap') > 0, true, 'a placement that learns');
CREATE TEMP TABLE crowd AS SELECT n, economy.register('pgtap crowd ' || n) AS user_id FROM generate_series(1, 600) n;
-- wins and losses of a cohort, of a moment
CREATE FUNCTION pg_temp.cohort(arm text, wins integer, losses integer, at timestamptz) RETURNS void LANGUAGE sql AS $$
    INSERT INTO economy.recommendations
    SELECT c.user_id, coalesce((SELECT max(r.number) FROM economy.recommendations r WHERE r.user_id = c.user_id), 0) + 1, 'pgtap ts',
           (SELECT max(version) FROM economy.recommendation_placements WHERE placement = 'pgtap ts'), 'Never', arm, arm, NULL, false, 'thompson', 0.3,
           (at AT TIME ZONE 'UTC')::date, 0, at, at + interval '24 hours', NULL, CASE WHEN c.n <= wins THEN at + interval '1 hour' END
    FROM crowd c WHERE c.n <= wins + losses $$;
SELECT pg_temp.cohort('x', 2, 1, '2099-06-30 00:00:00+00');
SELECT pg_temp.cohort('y', 0, 2, '2099-06-30 00:00:00+00');
SELECT pg_temp.cohort('z', 3, 2, '2099-06-30 00:00:00+00');
SELECT is((SELECT string_agg(concat_ws(' ', arm, wins, losses), ', ' ORDER BY arm) FROM economy.recommendation_posteriors('pgtap ts', 'Never', '2099-07-01 00:00:00+00')), 'x 2 1, y 0 2, z 3 2', 'wins and losses of matured cohorts');
SELECT is((SELECT string_agg(concat_ws(' ', arm, wins, losses), ', ' ORDER BY arm) FROM economy.recommendation_posteriors('pgtap ts', 'Never', '2099-06-30 23:59:59+00')), 'x 0 0, y 0 0, z 0 0', 'none before they are mature');
SELECT is((SELECT string_agg(concat_ws(' ', arm, wins, losses), ', ' ORDER BY arm) FROM economy.recommendation_posteriors('pgtap ts', 'Never', '2099-07-11 00:00:00+00')), 'x 1 0.5, y 0 1, z 1.5 1', 'half after a half-life');
SELECT is((SELECT string_agg(concat_ws(' ', arm, wins, losses), ', ' ORDER BY arm) FROM economy.recommendation_posteriors('pgtap ts', 'Other', '2099-07-01 00:00:00+00')), NULL, 'another segment has no arms');
SELECT is((SELECT (decisions, more)::text FROM economy.learn_recommendations()), '(10,t)', 'a job counts them');
SELECT is((SELECT (decisions, more)::text FROM economy.learn_recommendations()), '(0,f)', 'once');
CREATE TEMP TABLE made AS SELECT c.n, c.user_id, r.* FROM crowd c, economy.recommend(c.user_id, 'pgtap ts') r;
SELECT is((SELECT string_agg(concat_ws(' ', segment, to_char(day, 'YYYY-MM-DD'), arm, wins, losses), ', ' ORDER BY arm) FROM economy.recommendation_days WHERE placement = 'pgtap ts'),
    'Never 2099-07-01 x 2 1, Never 2099-07-01 y 0 2, Never 2099-07-01 z 3 2', 'what they were drawn from is kept');
-- what was drawn against what was to be drawn: posteriors Beta(3,2), Beta(1,3), Beta(4,3) and a tenth spread evenly
SELECT cmp_ok(abs(count(*) FILTER (WHERE m.arm = v.arm) - 600 * v.share), '<', 4 * sqrt(600 * v.share * (1 - v.share)), format('arm %s is shown as often as it should', v.arm))
FROM made m, (VALUES ('x', 0.1 / 3 + 0.9 * 0.523776), ('y', 0.1 / 3 + 0.9 * 0.049650), ('z', 0.1 / 3 + 0.9 * 0.426573)) v (arm, share) GROUP BY v.arm, v.share;
SELECT is((SELECT string_agg(DISTINCT m.arm || ' ' || round(m.propensity::numeric, 5), ', ') FROM made m),
    format('x %s, y %s, z %s', round(0.1 / 3 + 0.9 * 0.523776, 5), round(0.1 / 3 + 0.9 * 0.049650, 5), round(0.1 / 3 + 0.9 * 0.426573, 5)), 'with its propensity');
SELECT pg_temp.clock('2099-07-01 23:59:59+00') AS x \gset
SELECT is_empty('SELECT m.* FROM made m CROSS JOIN LATERAL economy.recommend(m.user_id, ''pgtap ts'') r WHERE (r.arm, r.propensity, r.decision_id) <> (m.arm, m.propensity, m.decision_id)', 'the same decision all day');
SELECT pg_temp.clock('2099-07-02 00:00:00+00') AS x \gset
SELECT cmp_ok((SELECT count(*) FROM made m CROSS JOIN LATERAL economy.recommend(m.user_id, 'pgtap ts') r WHERE r.arm <> m.arm), '>', 100::bigint, 'and drawn anew on the next');
-- the same inputs, the same choice
DELETE FROM economy.recommendations WHERE placement = 'pgtap ts' AND decided_at >= '2099-07-01';
SELECT pg_temp.clock('2099-07-01 03:00:00+00') AS x \gset
SELECT is_empty('SELECT m.* FROM made m CROSS JOIN LATERAL economy.recommend(m.user_id, ''pgtap ts'') r WHERE r.arm <> m.arm OR r.propensity <> m.propensity', 'the same draw from the same inputs');
SELECT is(economy.set_recommendations('pgtap ts', '{"policy": "thompson"}', '[{"segment": "Never", "arm": "x", "cta": "x", "product_id": "pgtap_none"}]', 'pgtap') > 0, true, 'an arm that cannot be shown');
SELECT is((SELECT array_agg(DISTINCT arm || fallback) FROM crowd c, economy.recommend(c.user_id, 'pgtap ts') r), '{nonetrue}', 'is not shown');
-- a draw is of a user, placement, version, day, attempt and set of arms: each changed, nine of ten are others
CREATE TEMP TABLE drawn AS SELECT w.what, u, d.pick FROM generate_series(1, 300) u CROSS JOIN (VALUES ('as it is', 0, 'p', 1, date '2031-01-01', 0, 'a'), ('another user', 1000, 'p', 1, '2031-01-01', 0, 'a'), ('another placement', 0, 'q', 1, '2031-01-01', 0, 'a'),
    ('another version', 0, 'p', 2, '2031-01-01', 0, 'a'), ('another day', 0, 'p', 1, '2031-01-02', 0, 'a'), ('another attempt', 0, 'p', 1, '2031-01-01', 1, 'a'), ('other arms', 0, 'p', 1, '2031-01-01', 0, 'b')) w (what, more, place, version, day, attempt, name)
    CROSS JOIN LATERAL (SELECT array_agg(w.name || i) AS arms, array_agg(0::float8) AS none FROM generate_series(1, 10) i) l CROSS JOIN LATERAL economy_internal.recommendation_draw(u + w.more, w.place, w.version, w.day, w.attempt, l.arms, l.none, l.none, 1) d;
SELECT cmp_ok((SELECT count(*) FROM drawn o JOIN drawn d USING (u, pick) WHERE o.what = 'as it is' AND d.what = w.what), '<', 75::bigint, w.what || ', another draw') FROM (SELECT DISTINCT what FROM drawn WHERE what <> 'as it is') w;
-- whether it explores is a draw of its own: it may take what is hopeless
SELECT cmp_ok(abs(count(*) - 250), '<', 65::bigint, 'of 1,000 a half explores, and half of it takes the arm that is hopeless')
FROM generate_series(1, 1000) u CROSS JOIN LATERAL economy_internal.recommendation_draw(u, 'p', 1, '2031-01-01', 0, '{a,b}', '{1e6,0}', '{0,1e6}', 0.5) d WHERE d.pick = 2;

-- before the first refresh a user has no segment, and what was shown is shown again all the same
DELETE FROM economy.rfm_state;
SELECT economy.register('pgtap recommend early') AS early \gset
SELECT is((SELECT string_agg(concat_ws(' ', replace(r.decision_id, 'D' || :early, 'D'), coalesce(r.segment, 'none'), r.fallback), ', ') FROM generate_series(1, 2) n, LATERAL (SELECT x.* FROM economy.recommend(:early + 0 * n, 'home') x) r), 'D-1 none t, D-1 none t', 'one decision, without a segment');
SELECT * FROM finish();
ROLLBACK;
