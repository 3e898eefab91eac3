-- Thompson sampling: draws and propensities without bias, whatever is withdrawn
-- and whatever the session's settings; exposures, their learning and their
-- retention in bounded work.
BEGIN;
SELECT no_plan();
SET LOCAL jit = off;
-- how the tests write what they compare
SET LOCAL extra_float_digits = 1;
CREATE FUNCTION pg_temp.clock(at timestamptz) RETURNS text LANGUAGE sql AS $$ SELECT set_config('economy.test_clock', to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00'), true) $$;
SELECT pg_temp.clock('2098-03-01 12:00:00+00') AS x \gset
SELECT count(*) AS x FROM economy.set_segment_rules('[{"segment": "Never", "bought": false}, {"segment": "Buyer"}]', 'pgtap'), economy.rfm_refresh() \gset

-- --- the draw, of users that are always the same ---------------------------------

CREATE TEMP TABLE draw AS
    SELECT u, e AS exploration, d.pick, d.propensity
    FROM generate_series(1, 5000) u CROSS JOIN unnest(ARRAY[0, 0.1, 1]) e
    CROSS JOIN LATERAL economy_internal.recommendation_draw(u, 'p', 1, '2031-01-01', 0, '{a,b,c}', '{2,0,3}', '{1,2,2}', e) d;
-- posteriors Beta(3,2), Beta(1,3), Beta(4,3)
CREATE TEMP TABLE stated AS
    SELECT e AS exploration, i AS pick, e / 3 + (1 - e) * s AS share
    FROM unnest(ARRAY[0, 0.1, 1]) e CROSS JOIN unnest(economy_internal.beta_shares('{3,1,4}', '{2,3,3}')) WITH ORDINALITY t (s, i);
SELECT is((SELECT bool_and(d.propensity = s.share) FROM draw d JOIN stated s USING (exploration, pick)), true, 'the propensity is the share');
CREATE FUNCTION pg_temp.chi_square(observed bigint[], expected double precision[]) RETURNS double precision LANGUAGE sql AS $$
    SELECT sum((o - e) ^ 2 / e) FROM unnest(observed, expected) v (o, e) $$;
-- 5 % of what is drawn by chance is beyond 5.991 with two degrees of freedom, 3.841 with one
SELECT cmp_ok(pg_temp.chi_square(array_agg(n ORDER BY pick), array_agg(5000 * share ORDER BY pick)), '<', 5.991::double precision, format('draws with exploration %s, by chi-square', exploration))
FROM (SELECT s.exploration, s.pick, s.share, (SELECT count(*) FROM draw d WHERE d.pick = s.pick AND d.exploration = s.exploration) AS n FROM stated s) x GROUP BY exploration;
-- each arm is shown to everybody, by the weights of those to whom it was
SELECT cmp_ok(abs(sum(1 / propensity) FILTER (WHERE d.pick = s.pick) - 5000), '<', 2 * sqrt(5000 * (1 / s.share - 1)), format('inverse propensities of arm %s with exploration %s', s.pick, s.exploration))
FROM draw d JOIN stated s USING (exploration) GROUP BY s.exploration, s.pick, s.share;

-- the arm is withdrawn: who had it is spread over the others as anybody is
CREATE TEMP TABLE redraw AS
    SELECT w.first, w.exploration, d.pick, d.propensity
    FROM (SELECT u, exploration, pick AS first FROM draw ORDER BY first OFFSET 0) w
    CROSS JOIN LATERAL (SELECT array_agg(v.arm ORDER BY i) AS arms, array_agg(v.win ORDER BY i) AS wins, array_agg(v.loss ORDER BY i) AS losses
                        FROM unnest('{a,b,c}'::text[], '{2,0,3}'::float8[], '{1,2,2}'::float8[]) WITH ORDINALITY v (arm, win, loss, i) WHERE i <> w.first) l
    CROSS JOIN LATERAL economy_internal.recommendation_draw(w.u, 'p', 1, '2031-01-01', 1, l.arms, l.wins, l.losses, w.exploration) d;
SELECT cmp_ok(pg_temp.chi_square(ARRAY[count(*) FILTER (WHERE pick = 1), count(*) FILTER (WHERE pick = 2)], ARRAY[count(*) * min(p), count(*) * (1 - min(p))]), '<', 3.841::double precision,
    format('the second draw of those who had arm %s with exploration %s, by chi-square', first, exploration))
FROM (SELECT *, min(CASE pick WHEN 1 THEN propensity ELSE 1 - propensity END) OVER (PARTITION BY first, exploration) AS p FROM redraw) x
GROUP BY first, exploration HAVING count(*) > 100;
SELECT cmp_ok(abs(sum(1 / propensity) FILTER (WHERE pick = arm) - count(*)), '<',
    2 * sqrt(count(*) * (1 / min(propensity) FILTER (WHERE pick = arm) - 1)), format('inverse propensities of arm %s after %s with exploration %s', arm, first, exploration))
FROM redraw CROSS JOIN generate_series(1, 2) arm GROUP BY first, exploration, arm HAVING count(*) > 100;
-- nor does the first draw tell the second when the arms are the same again
SELECT cmp_ok(abs(count(*) - 5000 / 3.0), '<', 2 * sqrt(5000 * 2 / 9.0), 'a second attempt with the same arms is a draw of its own')
FROM draw d CROSS JOIN LATERAL economy_internal.recommendation_draw(d.u, 'p', 1, '2031-01-01', 1, '{a,b,c}', '{2,0,3}', '{1,2,2}', 1) n WHERE d.exploration = 1 AND n.pick = d.pick;
SELECT is((SELECT (pick, round(propensity::numeric, 6))::text FROM economy_internal.recommendation_draw(1, 'p', 1, '2031-01-01', 0, '{a,b}', '{1e12,1}', '{1e12,1e9}', 0)), '(1,1.000000)', 'any amount of evidence');

-- --- users ------------------------------------------------------------------------

SELECT count(*) AS x FROM unnest(ARRAY['a', 'b', 'c']) arm, economy.upsert_product(jsonb_build_object('product_id', 'pgtap_' || arm, 'category', 'conversion', 'granted_gold', 1, 'monetary', 1, 'limit_once', true), 'pgtap') \gset
SELECT economy.set_recommendations('pgtap', '{"policy": "thompson", "exploration": 1, "attribution_window": "7 days", "half_life": "1 hour"}',
    '[{"segment": "Never", "arm": "a", "cta": "a", "product_id": "pgtap_a"}, {"segment": "Never", "arm": "b", "cta": "b", "product_id": "pgtap_b"}, {"segment": "Never", "arm": "c", "cta": "c", "product_id": "pgtap_c"}]', 'pgtap') AS x \gset
CREATE TEMP TABLE crowd AS SELECT n, economy.register('pgtap bandit ' || n) AS user_id FROM generate_series(1, 600) n;
CREATE TEMP TABLE shown AS SELECT c.user_id, r.* FROM crowd c, economy.recommend(c.user_id, 'pgtap') r;
SELECT count(*) AS x FROM shown s, economy.purchase(s.user_id, 'pgtap_a', 'k') WHERE s.arm = 'a' \gset
CREATE TEMP TABLE next AS SELECT s.user_id, r.* FROM shown s, economy.recommend(s.user_id, 'pgtap') r WHERE s.arm = 'a';
SELECT cmp_ok(abs(count(*) FILTER (WHERE arm = 'b') - count(*) / 2.0), '<', 4 * sqrt(count(*) / 4.0), 'who has just bought arm a is spread over the others') FROM next;
SELECT is((SELECT array_agg(DISTINCT propensity) FROM next), '{0.5}', 'with the propensity of it');
SELECT is((SELECT array_agg(DISTINCT split_part(decision_id, '-', 2)) FROM next), '{2}', 'as another decision');
SELECT is_empty('SELECT s.* FROM shown s, economy.recommend(s.user_id, ''pgtap'') r WHERE s.arm <> ''a'' AND s.decision_id <> r.decision_id', 'the others keep theirs');

-- the same whatever the session's settings
CREATE FUNCTION pg_temp.again() RETURNS bigint LANGUAGE sql AS $$
    DELETE FROM economy.recommendations r WHERE r.user_id IN (SELECT s.user_id FROM shown s WHERE s.arm <> 'a');
    SELECT count(*) FROM shown s, economy.recommend(s.user_id, 'pgtap') r WHERE s.arm <> 'a' AND (s.arm, s.propensity) <> (r.arm, r.propensity) $$;
SET LOCAL timezone = '<+1345>-13:45';
SET LOCAL bytea_output = 'escape';
SET LOCAL extra_float_digits = -15;
SELECT is((set_config('datestyle', style, true), pg_temp.again())::text, (style, 0)::text, 'the same draws with dates as ' || style)
FROM unnest(ARRAY['German, DMY', 'SQL, DMY', 'Postgres, MDY', 'ISO, YMD']) style;
SET LOCAL extra_float_digits = 1;
RESET bytea_output;
RESET timezone;

-- an app's own key tells nothing of what may be bought
SELECT user_id AS u FROM shown WHERE arm = 'b' LIMIT 1 \gset
SELECT economy.upsert_product('{"product_id": "pgtap_d", "category": "conversion", "granted_gold": 1}', 'pgtap') IS NULL AS x \gset
SELECT economy.set_recommendations('pgtap key', '{}', '[{"segment": "Buyer", "arm": "d", "cta": "d", "product_id": "pgtap_d"}]', 'pgtap') AS x \gset
SELECT count(*) AS x FROM economy.purchase(:u, 'pgtap_d', 'recommend', 2), economy.rfm_refresh_incremental() \gset
SELECT is((SELECT arm FROM economy.recommend(:u, 'pgtap key')), 'd', 'a purchase under the key "recommend" hides no product');

-- days of a window are of 24 hours
SET LOCAL timezone = 'America/New_York';
SELECT pg_temp.clock('2098-03-08 00:30:00+00') AS x \gset
SELECT count(*) AS x FROM crowd c, economy.recommend(c.user_id, 'pgtap') WHERE c.n <= 10 \gset
SELECT is((SELECT array_agg(DISTINCT extract(epoch FROM r.matures_at - r.decided_at)) FROM economy.recommendations r WHERE r.placement = 'pgtap'), '{604800}', 'where clocks go forward in between, too');
RESET timezone;

-- --- exposures ----------------------------------------------------------------------

SELECT economy.set_recommendations('pgtap poll', '{"policy": "thompson", "exploration": 0, "attribution_window": "1 day", "half_life": "10 days"}',
    '[{"segment": "Never", "arm": "x", "cta": "x"}, {"segment": "Never", "arm": "y", "cta": "y"}]', 'pgtap') AS x \gset
SELECT economy.register('pgtap poller') AS poller \gset
SELECT pg_temp.clock('2098-05-01 12:00:00+00') AS x \gset
SELECT is((SELECT count(DISTINCT r.decision_id) FROM generate_series(1, 1000) n, LATERAL economy.recommend(:poller + 0 * n, 'pgtap poll') r), 1::bigint, 'a page that polls a thousand times sees one decision');
SELECT pg_temp.clock('2098-05-03 12:00:00+00') AS x \gset
SELECT is((SELECT max(decisions) FROM economy.learn_recommendations()), 600 + (SELECT count(*) FROM next) + 10, 'those of the crowd come first');
CREATE FUNCTION pg_temp.learned(batch integer DEFAULT 10000) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    total bigint := 0;
    step  record;
BEGIN
    LOOP
        SELECT * INTO step FROM economy.learn_recommendations(batch);
        EXIT WHEN NOT step.more;
        total := total + step.decisions;
    END LOOP;
    RETURN total;
END
$$;
SELECT is(pg_temp.learned(), 1::bigint, 'then the one');
SELECT is((SELECT round((sum(wins + losses) * 2 ^ 0.05)::numeric, 9) FROM economy.recommendation_days WHERE placement = 'pgtap poll'), 1.0, 'which is one exposure, half a day after its window');
-- as is one that is there twice
INSERT INTO economy.recommendations SELECT user_id, number + n, placement, version + n, segment, arm, cta, product_id, fallback, policy, propensity, day, seq, decided_at, matures_at
FROM economy.recommendations, generate_series(1, 50) n WHERE user_id = :poller;
SELECT is((SELECT round((sum(wins + losses) * 2 ^ 0.05)::numeric, 9) FROM economy.recommendation_posteriors('pgtap poll', 'Never', '2098-05-03 00:00:00+00')), 1.0, 'however often it was decided anew');

-- in batches of any size the same is learned as counted at once
SELECT setseed(0.5);
INSERT INTO economy.recommendations
SELECT c.user_id, 1000 + k, 'pgtap poll', 1, 'Never', CASE WHEN random() < 0.5 THEN 'x' ELSE 'y' END, 'x', NULL, false, 'thompson', 0.5, (at AT TIME ZONE 'UTC')::date, 0, at, at + interval '24 hours',
       NULL, CASE WHEN random() < 0.3 THEN at + random() * interval '30 hours' END
FROM crowd c CROSS JOIN generate_series(1, 3) k CROSS JOIN LATERAL (SELECT timestamptz '2098-05-10 00:00:00+00' + k * interval '1 day' + c.n * interval '97 seconds' AS at) a;
SELECT pg_temp.clock('2098-05-16 00:00:00+00') AS x \gset
SELECT is(pg_temp.learned(70), 1800::bigint, 'eighteen hundred in batches of seventy');
SELECT is_empty($$SELECT p.arm, p.wins, d.wins FROM economy.recommendation_posteriors('pgtap poll', 'Never', '2098-05-16 00:00:00+00') p
    LEFT JOIN economy.recommendation_days d ON d.placement = 'pgtap poll' AND d.segment = 'Never' AND d.arm = p.arm AND d.day = '2098-05-16'
    WHERE (abs(p.wins - d.wins) < 1e-6 AND abs(p.losses - d.losses) < 1e-6) IS NOT TRUE$$, 'are what counting them at once gives');

-- what is long ago is nothing, and no error: half-lives of an hour, for 75 years
SELECT pg_temp.clock('2173-05-16 00:00:00+00') AS x \gset
SELECT is((SELECT sum(wins + losses) FROM economy.recommendation_posteriors('pgtap', 'Never', economy.now())), 0::double precision, 'an outcome of thousands of half-lives ago');
SELECT lives_ok('SELECT pg_temp.learned()', 'is learned as well');
SELECT lives_ok(format('SELECT economy.recommend(%s, ''pgtap'')', :poller), 'and recommended by');
SELECT is(economy_internal.halved(5, age, 1), x, format('5 after %s half-lives', age)) FROM (VALUES (0, 5.0::double precision), (1, 2.5), (3, 0.625), (1075, 0), (1e300, 0)) v (age, x);

-- --- retention ------------------------------------------------------------------------

SELECT is((SELECT count(*) FROM (SELECT r.user_id FROM economy.recommendations r JOIN crowd USING (user_id) GROUP BY 1 HAVING count(*) > 1) x), 0::bigint, 'what is older than the retention is gone');
SELECT is((SELECT count(DISTINCT r.user_id) FROM economy.recommendations r JOIN crowd USING (user_id)), 600::bigint, 'but for the newest of each user');
SELECT pg_temp.clock('2173-05-17 00:00:00+00') AS x \gset
SELECT is((SELECT count(*) FROM economy.recommend((SELECT user_id FROM crowd WHERE n = 1), 'pgtap') r WHERE split_part(r.decision_id, '-', 2) = '1004'), 1::bigint, 'whose number is not given again');
SET LOCAL economy.recommendation_retention = 36500;
SELECT is(pg_temp.learned(), 0::bigint, 'a longer retention keeps');
SELECT throws_ok('SELECT economy.learn_recommendations(NULL)', 'XE001', 'max_decisions must not be null', 'null batch');
SELECT throws_ok('SELECT economy.learn_recommendations(0)', 'XE002', 'max_decisions must be 1 or more', 'no batch');

-- --- work -------------------------------------------------------------------------------

-- pages that a statement touches
CREATE FUNCTION pg_temp.pages(statement text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ' || statement INTO plan;
    RETURN (plan -> 0 -> 'Plan' ->> 'Shared Hit Blocks')::bigint + (plan -> 0 -> 'Plan' ->> 'Shared Read Blocks')::bigint;
END
$$;
CREATE FUNCTION pg_temp.decisions(from_n integer, upto integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO economy.recommendations
    SELECT c.user_id, 2000 + k.n, 'pgtap', 1, 'Never', 'b', 'b', 'pgtap_b', false, 'thompson', 0.5, (at AT TIME ZONE 'UTC')::date, 0, at, at + interval '168 hours'
    FROM generate_series(from_n, upto) k (n) JOIN crowd c ON c.n = 1 + k.n % 600 CROSS JOIN LATERAL (SELECT economy.now() - interval '30 days' + k.n * interval '10 seconds') a (at);
    ANALYZE economy.recommendations;
$$;
CREATE TEMP TABLE work (n integer, what text, pages bigint);
CREATE FUNCTION pg_temp.measure(size integer, poller bigint) RETURNS void LANGUAGE sql AS $$
    -- the first call fills caches
    INSERT INTO work SELECT size, 'warm', pg_temp.pages(format('SELECT * FROM economy.recommend(%s, ''pgtap'')', poller));
    INSERT INTO work SELECT size, 'recommend again', pg_temp.pages(format('SELECT * FROM economy.recommend(%s, ''pgtap'')', poller));
    DELETE FROM economy.recommendations WHERE user_id = poller AND day = (economy.now() AT TIME ZONE 'UTC')::date;
    INSERT INTO work SELECT size, 'recommend', pg_temp.pages(format('SELECT * FROM economy.recommend(%s, ''pgtap'')', poller));
    INSERT INTO work SELECT size, 'learn', pg_temp.pages('SELECT * FROM economy.learn_recommendations(500)');
$$;
SELECT pg_temp.decisions(1, 10000), pg_temp.measure(1, :poller), pg_temp.decisions(10001, 100000), pg_temp.measure(10, :poller) \gset
SELECT cmp_ok(l.pages, '<=', s.pages * 3 / 2 + 30, format('%s with ten times the decisions: %s pages, %s before', s.what, l.pages, s.pages))
FROM work s JOIN work l USING (what) WHERE s.n = 1 AND l.n = 10 AND what <> 'warm';
SELECT cmp_ok(max(pages), '<', 400::bigint, 'recommend() reads a few pages') FROM work WHERE what LIKE 'recommend%';

-- arms that are withdrawn and come back: what is drawn again is another decision, also of an arm that was
-- shown before, and a fallback is not the arm of the day
SELECT economy.register('pgtap bandit back') AS back \gset
SELECT count(economy.upsert_product(jsonb_build_object('product_id', p, 'category', 'item', 'price_gold', 0), 'pgtap')) AS x FROM unnest(ARRAY['pgtap_back_a', 'pgtap_back_b']) p \gset
SELECT economy.set_recommendations('pgtap back', '{"policy": "thompson", "exploration": 0}', '[{"segment": "Never", "arm": "a", "cta": "a", "product_id": "pgtap_back_a"}, {"segment": "Never", "arm": "b", "cta": "b", "product_id": "pgtap_back_b"}, {"segment": "*", "arm": "rest", "cta": "rest"}]', 'pgtap') AS x \gset
CREATE FUNCTION pg_temp.shown(a boolean, b boolean, who bigint) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM economy.upsert_product('{"product_id": "pgtap_back_a"}' || jsonb_build_object('active', a), 'pgtap'), economy.upsert_product('{"product_id": "pgtap_back_b"}' || jsonb_build_object('active', b), 'pgtap');
    RETURN (SELECT replace(r.decision_id, 'D' || who || '-', '') || r.arm FROM economy.recommend(who, 'pgtap back') r);
END $$;
SELECT is(pg_temp.shown(true, false, :back) || ' ' || pg_temp.shown(true, true, :back) || ' ' || pg_temp.shown(false, true, :back) || ' ' || pg_temp.shown(true, false, :back), '1a 1a 2b 3a', 'drawn again: another decision');
SELECT is(pg_temp.shown(false, false, :back) || ' ' || pg_temp.shown(true, false, :back), '4rest 3a', 'after a fallback the arm of the day');
SELECT * FROM finish();
ROLLBACK;
