-- Recommendations against models of their own, in plain SQL and with random data:
-- what is recommended, what came of it, what is learned of it and what is kept.
BEGIN;
SELECT no_plan();
-- the statements are many and small, and nothing has statistics
SET LOCAL jit = off;
CREATE FUNCTION pg_temp.clock(at timestamptz) RETURNS text LANGUAGE sql AS $$ SELECT set_config('economy.test_clock', to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00'), true) $$;
SELECT pg_temp.clock('2096-03-01 12:00:00+00') AS x \gset
SELECT setseed(0.125);
CREATE TEMP TABLE who AS SELECT n, economy.register('pgtap learn ' || n) AS user_id FROM generate_series(1, 60) n;
SELECT economy.set_segment_rules('[{"segment": "Never", "bought": false}, {"segment": "Twice", "frequency_from": 2}, {"segment": "Once"}]', 'pgtap') AS x \gset

-- --- rules: the first arm that can be shown, else the first of the fallback, else none --

CREATE TEMP TABLE product (id text, offered boolean, given jsonb);
INSERT INTO product VALUES
    ('pgtap_plain', true, '{}'), ('pgtap_dear', true, '{"category": "item", "price_gold": 1000000, "granted_gold": null}'), ('pgtap_none', false, NULL),
    ('pgtap_off', false, '{"active": false}'), ('pgtap_since', true, '{"starts_at": "2096-03-01T12:00:00Z"}'), ('pgtap_soon', false, '{"starts_at": "2096-03-01T12:00:00.000001Z"}'),
    ('pgtap_till', true, '{"ends_at": "2096-03-01T12:00:00.000001Z"}'), ('pgtap_over', false, '{"ends_at": "2096-03-01T12:00:00Z"}'),
    ('pgtap_last', true, '{"category": "item", "price_gold": 1, "granted_gold": null}'), ('pgtap_sold', false, '{"category": "item", "price_gold": 1, "granted_gold": null}');
SELECT economy.upsert_product(jsonb_strip_nulls(jsonb_build_object('product_id', id, 'category', 'conversion', 'granted_gold', 1, 'monetary', 1) || given), 'pgtap') AS x FROM product WHERE given IS NOT NULL \g /dev/null
SELECT economy.upsert_product('{"product_id": "pgtap_once", "category": "conversion", "granted_gold": 1, "monetary": 1, "limit_once": true}', 'pgtap') AS x \g /dev/null
SELECT economy.add_stock('pgtap_last', 1, 'pgtap'), economy.add_stock('pgtap_sold', 1, 'pgtap'), economy.add_stock('pgtap_sold', -1, 'pgtap') \g /dev/null
SELECT count(*) AS x FROM who w, economy.purchase(w.user_id, 'pgtap_once', 'k') WHERE w.n % 3 > 0 \gset
SELECT count(*) AS x FROM who w, economy.purchase(w.user_id, 'pgtap_plain', 'k') WHERE w.n % 3 > 1 \gset
SELECT count(*) AS x FROM economy.rfm_refresh() \gset
SELECT count(economy.set_user_status(w.user_id, 'suspended', 'pgtap')) AS x FROM who w WHERE w.n > 54 \gset
-- places of one to five arms a segment, in an order that is not that of their names; some have no fallback
CREATE TEMP TABLE arm AS
    SELECT p AS place, s AS segment, n AS position, chr(97 + (hashint8extended(n * 100 + p, 3) & 15)::integer) || n AS arm,
           (SELECT array_agg(id ORDER BY id) FROM (SELECT id FROM product UNION ALL SELECT 'pgtap_once' UNION ALL SELECT NULL) x)[1 + (hashint8extended(p * 1000 + n * 10 + length(s), 5) & 1023) % 13] AS product
    FROM generate_series(1, 24) p CROSS JOIN unnest(ARRAY['Never', 'Twice', 'Once', '*']) s CROSS JOIN LATERAL generate_series(1, 1 + (hashint8extended(p * 10 + length(s), 1) & 1023)::integer % 5) n
    WHERE NOT (s = '*' AND p % 6 = 0);
SELECT economy.set_recommendations('pgtap place ' || p, '{}', (SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('segment', a.segment, 'arm', a.arm, 'cta', 'show ' || a.arm, 'product_id', a.product)) ORDER BY a.position) FROM arm a WHERE a.place = p), 'pgtap') AS x
FROM generate_series(1, 24) p \g /dev/null
CREATE TEMP TABLE wanted AS
    WITH person AS (
        SELECT w.n, w.user_id, CASE w.n % 3 WHEN 0 THEN 'Never' WHEN 1 THEN 'Once' ELSE 'Twice' END AS segment FROM who w
    ), shown AS (
        SELECT p.user_id, a.place, a.segment = '*' AS fallback, a.position, a.arm, a.product FROM person p JOIN arm a ON a.segment IN (p.segment, '*') LEFT JOIN product d ON d.id = a.product
        WHERE a.product IS NULL OR p.n <= 54 AND (CASE a.product WHEN 'pgtap_once' THEN p.segment = 'Never' ELSE d.offered END)
    )
    SELECT p.user_id, i AS place, p.segment, coalesce(s.arm, 'none') AS arm, coalesce('show ' || s.arm, 'none') AS cta, s.product, coalesce(s.fallback, true) AS fallback
    FROM person p CROSS JOIN generate_series(1, 24) i LEFT JOIN LATERAL (SELECT * FROM shown x WHERE x.user_id = p.user_id AND x.place = i ORDER BY x.fallback, x.position LIMIT 1) s ON true;
CREATE TEMP TABLE got AS SELECT w.user_id, i AS place, r.* FROM who w CROSS JOIN generate_series(1, 24) i CROSS JOIN LATERAL economy.recommend(w.user_id, 'pgtap place ' || i) r;
SELECT bag_eq('SELECT user_id, place, segment, arm, cta, product_id, fallback, 1::float8 FROM got WHERE propensity = 1', 'SELECT *, 1::float8 FROM wanted', 'every user is shown the first arm that can be shown, of the segment, then of the fallback');
SELECT cmp_ok((SELECT min(n) FROM (SELECT count(*) AS n FROM wanted GROUP BY fallback, arm = 'none', segment) x), '>', 5::bigint, 'of which there is every kind');
SELECT is_empty('SELECT g.* FROM got g CROSS JOIN LATERAL economy.recommend(g.user_id, ''pgtap place '' || g.place) r WHERE r.decision_id <> g.decision_id', 'asked again, it is the same decision');
SELECT is((SELECT (policy, attribution_window, half_life, exploration) = ('rules', interval '7 days', interval '30 days', 0.05) FROM economy.recommendation_placements WHERE placement = 'pgtap place 1'), true, 'the settings that are not given');
SELECT is_empty($$SELECT g.* FROM got g JOIN economy.recommendations d ON (d.user_id, d.number) = (g.user_id, split_part(g.decision_id, '-', 2)::bigint) WHERE (d.placement, d.version, d.segment, d.arm, d.cta, d.fallback, d.policy, d.day, d.matures_at - d.decided_at, d.decided_at)
    IS DISTINCT FROM ('pgtap place ' || g.place, 1, g.segment, g.arm, g.cta, g.fallback, 'rules', '2096-03-01', interval '168 hours', '2096-03-01 12:00:00+00') OR d.product_id IS DISTINCT FROM g.product_id$$, 'as it is kept');
-- one of another day, version, placement, segment or kind is another decision
SELECT user_id AS u FROM who WHERE n = 3 \gset
CREATE FUNCTION pg_temp.ask(place text DEFAULT 'pgtap one') RETURNS text LANGUAGE sql AS $$ SELECT r.decision_id || ' ' || r.fallback FROM economy.recommend(economy.user_id_of('pgtap learn 3'), place) r $$;
CREATE FUNCTION pg_temp.place(arms jsonb, place text DEFAULT 'pgtap one') RETURNS integer LANGUAGE sql AS $$ SELECT economy.set_recommendations(place, '{}', arms, 'pgtap') $$;
SELECT pg_temp.place('[{"segment": "Never", "arm": "a", "cta": "a", "product_id": "pgtap_plain"}, {"segment": "*", "arm": "a", "cta": "b"}]'), pg_temp.place('[{"segment": "Never", "arm": "a", "cta": "a"}]', 'pgtap two') \g /dev/null
SELECT is(ARRAY[pg_temp.ask(), pg_temp.ask('pgtap two'), pg_temp.ask(), pg_temp.ask('pgtap two')]::text, format('{"D%1$s-25 false","D%1$s-26 false","D%1$s-25 false","D%1$s-26 false"}', :u), 'two placements, two decisions');
SELECT economy.upsert_product('{"product_id": "pgtap_plain", "active": false}', 'pgtap') IS NULL AS x \gset
SELECT is(pg_temp.ask(), format('D%s-27 true', :u), 'the same arm as the fallback is another one');
SELECT is(pg_temp.ask(), format('D%s-27 true', :u), 'once');
SELECT economy.upsert_product('{"product_id": "pgtap_plain", "active": true}', 'pgtap') IS NULL AS x \gset
SELECT is(pg_temp.ask(), format('D%s-25 false', :u), 'the first one is there again');
SELECT pg_temp.place('[{"segment": "Never", "arm": "a", "cta": "new"}]') AS x \gset
SELECT is(pg_temp.ask(), format('D%s-28 false', :u), 'of another version');
SELECT pg_temp.clock('2096-03-02 00:00:00+00') AS x \gset
SELECT is(pg_temp.ask(), format('D%s-29 false', :u), 'of another day');
SELECT pg_temp.clock('2096-03-01 23:59:59.999999+00') AS x \gset
SELECT is(pg_temp.ask(), format('D%s-28 false', :u), 'which begins at midnight');

-- --- Thompson sampling: what it knows of today, and which draw it is ---------------------

-- evidence beyond doubt: the arm is that of the day's row, and of no other
SELECT economy.set_recommendations(place, '{"policy": "thompson", "exploration": 0}', '[{"segment": "Never", "arm": "a", "cta": "a"}, {"segment": "Never", "arm": "b", "cta": "b"}, {"segment": "Once", "arm": "a", "cta": "a"}, {"segment": "Once", "arm": "b", "cta": "b"}]', 'pgtap') AS x
FROM unnest(ARRAY['pgtap day', 'pgtap day 2']) place \g /dev/null
CREATE FUNCTION pg_temp.drawn(at timestamptz, days text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    DELETE FROM economy.recommendation_days;
    DELETE FROM economy.recommendations;
    INSERT INTO economy.recommendation_days
    SELECT 'pgtap day' || d[1], d[2], d[3]::date, arm, CASE WHEN arm = d[4] THEN 1e6 ELSE 0 END, CASE WHEN arm = d[4] THEN 0 ELSE 1e6 END
    FROM unnest(string_to_array(days, ', ')) t CROSS JOIN string_to_array(t, '/') d CROSS JOIN unnest(ARRAY['a', 'b']) arm;
    PERFORM pg_temp.clock(at);
    SELECT string_agg(DISTINCT r.arm || ' ' || r.propensity, ', ') INTO answer FROM who w, economy.recommend(w.user_id, 'pgtap day') r WHERE w.n % 3 = 0;
    RETURN answer;
END
$$;
SELECT is(pg_temp.drawn(at::timestamptz, days), arm || ' 1', format('known %s at %s', days, at)) FROM (VALUES
    ('2096-03-05 00:00:00+00', '/Never/2096-03-05/a, /Never/2096-03-06/b', 'a'), ('2096-03-05 23:59:59.999999+00', '/Never/2096-03-05/b, /Never/2096-03-06/a', 'b'),
    ('2096-03-05 12:00:00+00', '/Never/2096-03-05/a, /Never/2096-03-04/b', 'a'), ('2096-03-05 12:00:00+00', '/Never/2096-03-05/b, /Never/2096-03-04/a, /Never/2096-03-01/a', 'b'),
    ('2096-03-05 12:00:00+00', '/Never/2096-03-02/a, /Never/2096-03-01/b, /Never/2096-03-06/b', 'a'), ('2096-03-05 12:00:00+00', '/Never/2096-03-04/b, /Once/2096-03-05/a, /Once/2096-03-04/a', 'b'),
    ('2096-03-05 12:00:00+00', '/Never/2096-03-04/a, /Once/2096-03-05/b, /Once/2096-03-04/b', 'a'), ('2096-03-05 12:00:00+00', '/Never/2096-03-04/a, 2/Never/2096-03-05/b, 2/Never/2096-03-04/b', 'a'),
    ('2096-03-05 12:00:00+00', '/Never/2096-03-04/b, 2/Never/2096-03-05/a,  2/Never/2096-03-04/a', 'b')) v (at, days, arm);
-- the draw is that of the decisions of this day at this placement
SELECT economy.set_recommendations('pgtap draw', '{"policy": "thompson", "exploration": 1}', (SELECT jsonb_agg(jsonb_build_object('segment', s, 'arm', a, 'cta', s)) FROM unnest(ARRAY['Never', 'Once', 'Twice']) s, generate_series(1, 9) a), 'pgtap') AS x \gset
DELETE FROM economy.recommendation_days;
DELETE FROM economy.recommendations;
SELECT pg_temp.clock('2096-03-05 12:00:00+00') AS x \gset
INSERT INTO economy.recommendations
SELECT w.user_id, k, CASE WHEN k <= 2 THEN 'pgtap other' ELSE 'pgtap draw' END, 1, 'Gone', 'gone', 'gone', NULL, k = 5, 'thompson', 0.5, CASE k WHEN 3 THEN '2096-03-04' WHEN 4 THEN '2096-03-06' ELSE '2096-03-05' END::date,
    0, economy.now(), economy.now() + interval '1 day'
FROM who w CROSS JOIN generate_series(1, 7) k WHERE k <= w.n % 8;
CREATE TEMP TABLE known AS SELECT w.user_id, count(d.number) FILTER (WHERE d.placement = 'pgtap draw' AND d.day = '2096-03-05') AS attempt, coalesce(max(d.number), 0) AS number FROM who w LEFT JOIN economy.recommendations d USING (user_id) GROUP BY 1;
CREATE TEMP TABLE draw AS SELECT k.user_id, k.attempt, k.number, r.* FROM known k, economy.recommend(k.user_id, 'pgtap draw') r;
SELECT is((SELECT count(DISTINCT attempt) FROM draw), 4::bigint, 'first draws, and later ones');
SELECT is_empty($$SELECT d.*, x.* FROM draw d CROSS JOIN LATERAL economy_internal.recommendation_draw(d.user_id, 'pgtap draw', 1, '2096-03-05', d.attempt, '{1,2,3,4,5,6,7,8,9}', '{0,0,0,0,0,0,0,0,0}', '{0,0,0,0,0,0,0,0,0}', 1) x
    WHERE (d.arm, d.propensity, d.decision_id, d.fallback) IS DISTINCT FROM (x.pick::text, x.propensity, format('D%s-%s', d.user_id, d.number + 1), false)$$, 'each is the next attempt of its day and placement');
SELECT is_empty('SELECT d.*, r.* FROM draw d, economy.recommend(d.user_id, ''pgtap draw'') r WHERE (d.arm, d.propensity, d.decision_id) <> (r.arm, r.propensity, r.decision_id)', 'and is kept');
-- what was shown last is shown again, also after a fallback, and with its propensity
UPDATE economy.recommendations SET propensity = 0.25 WHERE placement = 'pgtap draw' AND segment <> 'Gone';
INSERT INTO economy.recommendations SELECT user_id, 100, 'pgtap draw', 1, segment, CASE arm WHEN '1' THEN '2' ELSE '1' END, 'x', NULL, true, 'thompson', 0.5, '2096-03-05', 0, economy.now(), economy.now() FROM draw;
INSERT INTO economy.recommendations SELECT user_id, 101, 'pgtap other', 1, segment, CASE arm WHEN '1' THEN '2' ELSE '1' END, 'x', NULL, false, 'thompson', 0.5, '2096-03-05', 0, economy.now(), economy.now() FROM draw;
INSERT INTO economy.recommendations SELECT user_id, 102, 'pgtap draw', 1, segment, CASE arm WHEN '1' THEN '2' ELSE '1' END, 'x', NULL, false, 'thompson', 0.5, '2096-03-04', 0, economy.now(), economy.now() FROM draw;
SELECT is_empty('SELECT d.*, r.* FROM draw d, economy.recommend(d.user_id, ''pgtap draw'') r WHERE (d.arm, d.decision_id) <> (r.arm, r.decision_id) OR r.propensity <> 0.25', 'whatever was shown as a fallback, elsewhere or on another day');
INSERT INTO economy.recommendations SELECT user_id, 103, 'pgtap draw', 1, segment, CASE arm WHEN '1' THEN '2' ELSE '1' END, 'x', NULL, false, 'thompson', 0.125, '2096-03-05', 0, economy.now(), economy.now() FROM draw;
SELECT is_empty('SELECT d.*, r.* FROM draw d, economy.recommend(d.user_id, ''pgtap draw'') r WHERE d.arm = r.arm OR r.propensity <> 0.125 OR r.decision_id NOT LIKE ''%-103''', 'of two, the later one');
SELECT economy.set_recommendations('pgtap draw', '{"policy": "thompson", "exploration": 1}', (SELECT jsonb_agg(jsonb_build_object('segment', s, 'arm', a, 'cta', s)) FROM unnest(ARRAY['Never', 'Once', 'Twice']) s, generate_series(1, 9) a), 'pgtap') AS x \gset
SELECT is((SELECT string_agg(DISTINCT split_part(r.decision_id, '-', 2) || ' ' || round(r.propensity::numeric, 6), ', ') FROM who w, economy.recommend(w.user_id, 'pgtap draw') r), '104 0.111111', 'another version is drawn anew');
-- the fallback is not drawn
SELECT economy.set_recommendations('pgtap back', '{"policy": "thompson", "exploration": 1}', '[{"segment": "*", "arm": "c", "cta": "c", "product_id": "pgtap_off"}, {"segment": "*", "arm": "b", "cta": "b"}, {"segment": "*", "arm": "a", "cta": "a"}]', 'pgtap') AS x \gset
SELECT is((SELECT string_agg(DISTINCT concat_ws(' ', r.arm, r.propensity, r.fallback), ', ') FROM who w, economy.recommend(w.user_id, 'pgtap back') r), 'b 1 t', 'the fallback is the first arm that can be shown, for all');
SELECT is_empty('SELECT * FROM who w, economy.recommend(w.user_id, ''pgtap back'') r, economy.recommend(w.user_id, ''pgtap back'') s WHERE r.decision_id <> s.decision_id', 'and one decision');
-- an arm that went and came back is drawn anew, and then the newest decision is the one
SELECT economy.set_recommendations('pgtap turn', '{"policy": "thompson"}', '[{"segment": "Never", "arm": "a", "cta": "a", "product_id": "pgtap_plain"}, {"segment": "Never", "arm": "b", "cta": "b", "product_id": "pgtap_off"}]', 'pgtap') AS x \gset
DELETE FROM economy.recommendations WHERE user_id = :u;
CREATE FUNCTION pg_temp.turn(plain boolean, off boolean) RETURNS text LANGUAGE sql AS $$
    SELECT economy.upsert_product(jsonb_build_object('product_id', 'pgtap_plain', 'active', plain), 'pgtap'), economy.upsert_product(jsonb_build_object('product_id', 'pgtap_off', 'active', off), 'pgtap');
    SELECT r.arm || ' ' || split_part(r.decision_id, '-', 2) FROM economy.recommend(economy.user_id_of('pgtap learn 3'), 'pgtap turn') r $$;
SELECT is(ARRAY[pg_temp.turn(true, false), pg_temp.turn(false, true), pg_temp.turn(true, true), pg_temp.turn(true, false), pg_temp.turn(true, true)]::text, '{"a 1","b 2","b 2","a 3","a 3"}', 'an arm that comes back');
-- nor is one of another segment, or of none, the same
SELECT economy.set_recommendations('pgtap all', '{}', '[{"segment": "*", "arm": "a", "cta": "a"}]', 'pgtap') AS x \gset
SELECT is(ARRAY[pg_temp.ask('pgtap all'), pg_temp.ask('pgtap all')]::text, format('{"D%1$s-4 true","D%1$s-4 true"}', :u), 'for a segment');
CREATE TEMP TABLE state AS SELECT * FROM economy.rfm_state;
DELETE FROM economy.rfm_state;
SELECT is(ARRAY[pg_temp.ask('pgtap all'), pg_temp.ask('pgtap all')]::text, format('{"D%1$s-5 true","D%1$s-5 true"}', :u), 'for nobody''s segment');
INSERT INTO economy.rfm_state SELECT * FROM state;
SELECT is(pg_temp.ask('pgtap all'), format('D%s-4 true', :u), 'and for the first again');
-- evidence counts up to a million
SELECT is((SELECT array_agg(round(d.propensity::numeric, 3)) FROM economy_internal.recommendation_draw(1, 'p', 1, '2096-03-05', 0, '{a,b}', '{50000,48000}', '{50000,52000}', 0) d), '{1.000}', 'of a hundred thousand each there is little doubt');

-- --- what came of it: each purchase is the conversion of the last decision before it ----------

DELETE FROM economy.recommendations;
INSERT INTO economy.recommendations
SELECT w.user_id, k, 'pgtap o' || (k % 2), 1, (ARRAY['A', 'B', NULL])[1 + k % 3], (ARRAY['x', 'y'])[1 + (random() * 10)::integer % 2], 'x', (ARRAY['pgtap_o1', 'pgtap_o2', NULL])[1 + (random() * 10)::integer % 3], random() < 0.2, 'rules', 1, at::date, 3 * k, at, at + interval '30 hours',
       CASE WHEN random() < 0.3 THEN at + interval '1 minute' END, CASE WHEN random() < 0.2 THEN at + random() * interval '40 hours' END
FROM who w CROSS JOIN generate_series(1, 12) k CROSS JOIN LATERAL (SELECT timestamptz '2096-04-01 00:00:00+00' + k * interval '11 hours' + w.n * interval '1 minute' AS at) a;
INSERT INTO economy.shop_transactions (user_id, seq, gold_delta, xp_delta, gold, experience_points, created_at, xact, position, key_digest, live, monetary, quantity,
        receipt_signature_version, hash_algo_version, hash, receipt_signature, category, status, product_id, idempotency_key)
SELECT w.user_id, 3 * k + j, 1, 0, 1, 0, at, 1, 1, 0, false, k, 1, 1, 1, sha256('pgtap'), sha256('pgtap'), 'conversion', CASE WHEN random() < 0.2 THEN 'PENDING' ELSE 'SUCCESS' END, 'pgtap_o' || (1 + (random() * 10)::integer % 2), format('o %s %s', k, j)
FROM who w CROSS JOIN generate_series(1, 12) k CROSS JOIN generate_series(0, 2) j
CROSS JOIN LATERAL (SELECT timestamptz '2096-04-01 00:00:00+00' + k * interval '11 hours' + w.n * interval '1 minute' + CASE j WHEN 0 THEN interval '0' WHEN 1 THEN interval '30 hours' - interval '1 microsecond' * (k % 2) ELSE random() * interval '80 hours' END AS at) a
WHERE random() < 0.4 AND 3 * k + j > 9;
INSERT INTO economy_internal.rfm_reversals (user_id, seq) SELECT t.user_id, t.seq FROM economy.shop_transactions t JOIN who USING (user_id) WHERE t.idempotency_key LIKE 'o %' AND random() < 0.1;
CREATE TEMP TABLE outcome AS
    WITH bought AS (
        SELECT t.user_id, t.created_at, (SELECT max(d.number) FROM economy.recommendations d WHERE d.user_id = t.user_id AND d.product_id = t.product_id AND d.seq < t.seq) AS number
        FROM economy.shop_transactions t JOIN who USING (user_id) WHERE t.status = 'SUCCESS' AND (t.user_id, t.seq) NOT IN (SELECT r.user_id, r.seq FROM economy_internal.rfm_reversals r)
    )
    SELECT d.user_id, d.number, d.placement, d.segment, d.arm, d.fallback, d.decided_at, d.clicked_at,
           (SELECT min(c) FROM (SELECT d.converted_at UNION ALL SELECT b.created_at FROM bought b WHERE b.user_id = d.user_id AND b.number = d.number AND b.created_at < d.matures_at) x (c)) AS converted_at
    FROM economy.recommendations d;
SELECT bag_eq('SELECT user_id, number, placement, segment, arm, fallback, decided_at, clicked_at, converted_at FROM economy.recommendation_outcomes', 'TABLE outcome', 'the outcome of every decision');
SELECT cmp_ok((SELECT count(*) FROM outcome o JOIN economy.recommendations d USING (user_id, number) WHERE o.converted_at IS DISTINCT FROM d.converted_at), '>', 50::bigint, 'many by a purchase');
SELECT bag_eq(format('SELECT s::text FROM economy.recommendation_stats(%L) s', since), format('SELECT (placement, segment, arm, count(*), count(clicked_at), round(avg((clicked_at IS NOT NULL)::integer), 4), count(converted_at), round(avg((converted_at IS NOT NULL)::integer), 4),
    count(*) FILTER (WHERE fallback), round(avg(fallback::integer), 4))::text FROM outcome WHERE decided_at >= %L GROUP BY placement, segment, arm', coalesce(since, '-infinity')), 'and its statistics since ' || coalesce(since::text, 'ever'))
FROM unnest(ARRAY[NULL, '2096-04-03 07:01:00+00', '2096-04-03 07:01:00.000001+00']::timestamptz[]) since;

-- --- what is learned of it, and kept ------------------------------------------------------------

DELETE FROM economy.recommendations;
DELETE FROM economy.recommendation_days;
DELETE FROM economy_internal.recommendation_progress;
DELETE FROM economy_internal.recommendation_beliefs;
CREATE TEMP TABLE place (placement text, policy text, half_life interval);
INSERT INTO place VALUES ('pgtap l1', 'thompson', '36 hours'), ('pgtap l2', 'thompson', '1 hour'), ('pgtap l3', 'rules', '36 hours'), ('pgtap l4', 'thompson', '10 days');
SELECT economy.set_recommendations(placement, jsonb_build_object('policy', 'rules', 'half_life', '90 days'), '[]', 'pgtap'), economy.set_recommendations(placement, jsonb_build_object('policy', policy, 'half_life', half_life), '[]', 'pgtap') FROM place \g /dev/null
CREATE TEMP TABLE told AS SELECT * FROM economy.recommendations;
CREATE TEMP TABLE kept AS TABLE told;
CREATE TEMP TABLE forgotten AS SELECT timestamptz '-infinity' AS upto, timestamptz '-infinity' AS learned;
-- a day's decisions: some as a fallback, some without a segment, some twice, many of one moment, some at midnight
CREATE FUNCTION pg_temp.decide(at date) RETURNS void LANGUAGE sql AS $$
    WITH made AS (
        INSERT INTO economy.recommendations
        SELECT w.user_id, extract(day FROM at) * 1000 + row_number() OVER (PARTITION BY w.user_id ORDER BY random()), 'pgtap l' || p, 1 + i, (ARRAY['A', 'A', 'B', 'B', NULL])[1 + (random() * 10)::integer % 5], (ARRAY['x', 'y', 'z'])[1 + (random() * 10)::integer % 3],
               'x', NULL, random() < 0.15, 'thompson', 0.5, at, 0, ripe - interval '24 hours', ripe, NULL,
               CASE (random() * 100)::integer % 6 WHEN 0 THEN ripe WHEN 1 THEN ripe - interval '1 microsecond' WHEN 2 THEN ripe + interval '1 microsecond' WHEN 3 THEN ripe - interval '5 hours' END
        FROM who w CROSS JOIN generate_series(1, 4) p CROSS JOIN generate_series(0, 2) i
        CROSS JOIN LATERAL (SELECT at::timestamp AT TIME ZONE 'UTC' + interval '1 day' + ((random() * 40)::integer % 12) * interval '2 hours' AS ripe) r WHERE random() < 0.4
        RETURNING *
    ), noted AS (
        INSERT INTO told SELECT * FROM made
    )
    INSERT INTO kept SELECT * FROM made $$;
-- how many decisions it took up
CREATE FUNCTION pg_temp.learned(batch integer) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    step  record;
    calls integer := 0;
    total bigint := 0;
BEGIN
    LOOP
        SELECT * INTO step FROM economy.learn_recommendations(batch);
        EXIT WHEN NOT step.more;
        calls := calls + 1;
        total := total + step.decisions;
        IF calls > 1000 THEN
            RAISE EXCEPTION 'there is always more to learn';
        END IF;
    END LOOP;
    RETURN total;
END
$$;
-- what a day knows: every first exposure of a user, day, segment and arm that ripened before it
CREATE TEMP TABLE day (placement text, segment text, day date, arm text, wins float8, losses float8);
CREATE FUNCTION pg_temp.know(upto timestamptz) RETURNS void LANGUAGE sql AS $$
    INSERT INTO day
    SELECT p.placement, x.segment, upto::date, x.arm, coalesce(sum(w) FILTER (WHERE x.converted_at < x.matures_at), 0), coalesce(sum(w) FILTER (WHERE (x.converted_at < x.matures_at) IS NOT TRUE), 0)
    FROM place p JOIN (SELECT DISTINCT ON (t.user_id, t.placement, t.day, t.segment, t.arm) t.* FROM told t WHERE t.segment IS NOT NULL AND NOT t.fallback ORDER BY t.user_id, t.placement, t.day, t.segment, t.arm, t.number) x USING (placement)
    CROSS JOIN LATERAL (SELECT 0.5 ^ (extract(epoch FROM upto - x.matures_at) / extract(epoch FROM p.half_life))::float8 AS w) v
    WHERE p.policy = 'thompson' AND x.matures_at <= upto GROUP BY 1, 2, 4 HAVING sum(w) >= 1e-8 $$;
-- a job at this moment, of these batches
CREATE FUNCTION pg_temp.job(at timestamptz, batch integer, keep integer) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    before CONSTANT timestamptz := at - keep * interval '24 hours';
    today  CONSTANT timestamptz := date_trunc('day', at, 'UTC');
    due    CONSTANT bigint := (SELECT count(*) FILTER (WHERE t.matures_at > f.learned AND t.matures_at <= today AND t.placement <> 'pgtap l3') FROM told t, forgotten f)
                              + (SELECT count(*) FILTER (WHERE k.matures_at > f.upto AND k.matures_at <= before) FROM kept k, forgotten f);
    took   bigint;
BEGIN
    PERFORM pg_temp.clock(at), set_config('economy.recommendation_retention', keep::text, true), pg_temp.know(today);
    took := pg_temp.learned(batch);
    -- those of one moment are taken up together, and not told one by one
    RETURN NEXT is(took BETWEEN CASE WHEN batch > 1000 THEN due ELSE due / 3 END AND due, true, format('decisions taken up at %s: %s of %s', at, took, due));
    -- but for who is the newest of its user when its turn comes, until it is a later one's turn; a day's knowledge as long as there is no newer one
    DELETE FROM kept t USING forgotten f WHERE t.matures_at <= before AND EXISTS (SELECT FROM kept l WHERE l.user_id = t.user_id AND l.number > t.number AND (t.matures_at > f.upto OR l.matures_at > f.upto AND l.matures_at <= before));
    UPDATE forgotten SET upto = before, learned = today;
    DELETE FROM day d WHERE d.day < before::date AND EXISTS (SELECT FROM day l WHERE (l.placement, l.segment) = (d.placement, d.segment) AND l.day > d.day);
    RETURN NEXT is_empty('SELECT d.*, r.* FROM day d FULL JOIN economy.recommendation_days r USING (placement, segment, day, arm) WHERE (abs(d.wins - r.wins) < 1e-8 AND abs(d.losses - r.losses) < 1e-8) IS NOT TRUE AND coalesce(r.wins + r.losses, 1) > 1e-8',
        format('what is known at %s, in batches of %s', at, batch));
    RETURN NEXT is_empty('(TABLE kept EXCEPT TABLE economy.recommendations) UNION ALL (TABLE economy.recommendations EXCEPT TABLE kept)', 'and what is kept');
    RETURN NEXT is((SELECT count(*) FROM economy_internal.recommendation_beliefs WHERE NOT wins + losses >= 1e-9), 0::bigint, 'and no belief in nothing');
END
$$;
SET LOCAL timezone = 'UTC';
SELECT pg_temp.decide(date '2096-05-01' + n) FROM generate_series(0, 2) n \g /dev/null
SELECT pg_temp.job('2096-05-03 00:00:00+00', 60, 3);
SELECT pg_temp.job('2096-05-04 23:59:59.999999+00', 10000, 3);
SELECT pg_temp.decide('2096-05-04') \g /dev/null
SELECT pg_temp.job('2096-05-06 12:00:00+00', 50, 3);
SELECT pg_temp.job('2096-05-09 00:00:00+00', 33, 3);
SELECT pg_temp.decide('2096-05-09') \g /dev/null
SELECT pg_temp.job('2096-05-20 06:00:00+00', 100, 3);
SELECT is((SELECT count(DISTINCT user_id)::text || ' of ' || count(*) FROM economy.recommendations), '60 of 60', 'in the end the newest of each user is left, and it alone');
-- days go whether or not there are decisions that go
SELECT pg_temp.job('2096-05-30 06:00:00+00', 100, 3);
SELECT is((SELECT array_agg(DISTINCT day) FROM economy.recommendation_days WHERE placement = 'pgtap l4'), '{2096-05-30}', 'a day that nobody can draw by any more');
SELECT cmp_ok((SELECT count(*) FROM kept), '<', (SELECT count(*) / 4 FROM told), 'of many');
SELECT is((SELECT (decisions, more)::text FROM economy.learn_recommendations(1)), '(0,f)', 'and nothing is to do');
SELECT * FROM finish();
ROLLBACK;
