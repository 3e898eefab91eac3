-- Batch functions with an input of n, 2n and 4n: what they read grows no faster
-- than n log n. Pages do not scatter as a time does.
BEGIN;
SELECT no_plan();
SET LOCAL jit = off;
CREATE FUNCTION pg_temp.clock(at timestamptz) RETURNS text LANGUAGE sql AS $$ SELECT set_config('economy.test_clock', to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00'), true) $$;
SELECT pg_temp.clock('2097-01-01 12:00:00+00') AS x \gset
SELECT economy.register_game('pgtap_growth') AS x \gset
SELECT count(*) AS x FROM economy.upsert_product('{"product_id": "pgtap_growth", "category": "conversion", "granted_gold": 1, "monetary": 100}', 'pgtap') \gset
SELECT count(*) AS x FROM economy.upsert_product('{"product_id": "pgtap_counted", "category": "item", "price_gold": 0, "per_user_limit": 1000000}', 'pgtap') \gset
SELECT count(*) AS x FROM economy.upsert_product('{"product_id": "pgtap_limited", "category": "item", "price_gold": 0}', 'pgtap'), economy.add_stock('pgtap_limited', 1000000, 'pgtap') \gset
CREATE TEMP TABLE crowd AS SELECT n, economy.register('pgtap growth ' || n) AS user_id FROM generate_series(1, 1600) n;
CREATE TEMP SEQUENCE key;
CREATE TEMP TABLE work (what text, n integer, pages bigint);

-- the pages that a statement touches
CREATE FUNCTION pg_temp.pages(statement text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ' || statement INTO plan;
    RETURN (plan -> 0 -> 'Plan' ->> 'Shared Hit Blocks')::bigint + (plan -> 0 -> 'Plan' ->> 'Shared Read Blocks')::bigint;
END
$$;
CREATE FUNCTION pg_temp.buy(size integer) RETURNS void LANGUAGE sql AS $$
    SELECT count(*) FROM crowd c, economy.purchase(c.user_id, 'pgtap_growth', 'k' || nextval('key')) WHERE c.n <= size $$;
-- what is to be done before the statement that is measured; {n} is the size
CREATE FUNCTION pg_temp.measure(what text, before text, statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    -- the first fills caches, makes the rows and does what is left over
    sizes CONSTANT integer[] := '{1600,400,800,1600}';
    size  integer;
    one   bigint;
    four  bigint;
BEGIN
    FOREACH size IN ARRAY sizes LOOP
        DELETE FROM work w WHERE w.what = measure.what AND w.n = size;
        EXECUTE replace(coalesce(before, 'SELECT 1'), '{n}', size::text);
        INSERT INTO work SELECT what, size, pg_temp.pages(replace(statement, '{n}', size::text));
    END LOOP;
    SELECT w.pages INTO one FROM work w WHERE w.what = measure.what AND w.n = 400;
    SELECT w.pages INTO four FROM work w WHERE w.what = measure.what AND w.n = 1600;
    RETURN NEXT cmp_ok(four::numeric, '<=', round(4 * one * ln(1600.0) / ln(400.0)) + 50,
        format('%s of 400, 800 and 1600: %s pages', what, (SELECT string_agg(w.pages::text, ', ' ORDER BY w.n) FROM work w WHERE w.what = measure.what)));
    RETURN NEXT cmp_ok(four, '>', 0::bigint, what || ' reads something');
END
$$;

SELECT pg_temp.measure('record_actions() by as many users', NULL, $$SELECT count(*) FROM economy.record_actions((SELECT jsonb_agg(jsonb_build_object(
    'user_id', c.user_id, 'game', 'pgtap_growth', 'action_type', 'X', 'action_id', 'a' || nextval('key'), 'bet', 0, 'win', 1)) FROM crowd c WHERE c.n <= {n}))$$);
SELECT pg_temp.measure('record_actions() by one user', NULL, $$SELECT count(*) FROM economy.record_actions((SELECT jsonb_agg(jsonb_build_object(
    'user_id', (SELECT user_id FROM crowd WHERE n = 1), 'game', 'pgtap_growth', 'action_type', 'X', 'action_id', 'b' || nextval('key'), 'bet', 0, 'win', 1)) FROM crowd c WHERE c.n <= {n}))$$);
SELECT pg_temp.measure('record_actions() of games that are not there', NULL, $$SELECT count(*) FROM economy.record_actions((SELECT jsonb_agg(jsonb_build_object(
    'user_id', c.user_id, 'game', 'none' || c.n, 'action_type', 'X', 'action_id', 'c' || nextval('key'), 'bet', 0, 'win', 1)) FROM crowd c WHERE c.n <= {n}))$$);
SELECT pg_temp.measure('grant_rewards() to as many users', NULL, $$SELECT count(*) FROM economy.grant_rewards((SELECT jsonb_agg(jsonb_build_object(
    'user_id', c.user_id, 'source', 'pgtap', 'external_event_id', 'd' || nextval('key'), 'gold', 1, 'xp', 1)) FROM crowd c WHERE c.n <= {n}))$$);
SELECT pg_temp.measure('grant_rewards() to one user', NULL, $$SELECT count(*) FROM economy.grant_rewards((SELECT jsonb_agg(jsonb_build_object(
    'user_id', (SELECT user_id FROM crowd WHERE n = 1), 'source', 'pgtap', 'external_event_id', 'j' || nextval('key'), 'gold', 1, 'xp', 1)) FROM crowd c WHERE c.n <= {n}))$$);
SELECT pg_temp.measure('purchases() by as many users', NULL, $$SELECT count(*) FROM economy.purchases((SELECT jsonb_agg(jsonb_build_object(
    'user_id', c.user_id, 'product_id', 'pgtap_growth', 'idempotency_key', 'f' || nextval('key'))) FROM crowd c WHERE c.n <= {n}))$$);
SELECT pg_temp.measure('purchases() by one user', NULL, $$SELECT count(*) FROM economy.purchases((SELECT jsonb_agg(jsonb_build_object(
    'user_id', (SELECT user_id FROM crowd WHERE n = 1), 'product_id', 'pgtap_growth', 'idempotency_key', 'g' || nextval('key'))) FROM crowd c WHERE c.n <= {n}))$$);
SELECT pg_temp.measure('purchases() of a counted product by one user', NULL, $$SELECT count(*) FROM economy.purchases((SELECT jsonb_agg(jsonb_build_object(
    'user_id', (SELECT user_id FROM crowd WHERE n = 1), 'product_id', 'pgtap_counted', 'idempotency_key', 'h' || nextval('key'))) FROM crowd c WHERE c.n <= {n}))$$);
SELECT pg_temp.measure('purchases() of stock', NULL, $$SELECT count(*) FROM economy.purchases((SELECT jsonb_agg(jsonb_build_object(
    'user_id', c.user_id, 'product_id', 'pgtap_limited', 'idempotency_key', 'i' || nextval('key'))) FROM crowd c WHERE c.n <= {n}))$$);
SELECT pg_temp.measure('rfm_refresh_incremental() after as many purchases', 'SELECT pg_temp.buy({n})', 'SELECT * FROM economy.rfm_refresh_incremental()');
SELECT pg_temp.measure('rfm_refresh() after as many purchases', 'SELECT pg_temp.buy({n})', 'SELECT * FROM economy.rfm_refresh()');
SELECT pg_temp.measure('rollup_stats() of as many actions', $$SELECT count(*) FROM economy.record_actions((SELECT jsonb_agg(jsonb_build_object(
    'user_id', c.user_id, 'game', 'pgtap_growth', 'action_type', 'X', 'action_id', 'e' || nextval('key'), 'bet', 0, 'win', 1)) FROM crowd c WHERE c.n <= {n}))$$, 'SELECT * FROM economy.rollup_stats()');
SELECT pg_temp.measure('audit_segments() of as many users', NULL, 'SELECT count(*) FROM economy_internal.audit_segments((SELECT user_id FROM crowd WHERE n = 1), (SELECT user_id FROM crowd WHERE n = {n}))');
SELECT pg_temp.measure('audit_sweep_incremental() of as many users', 'SELECT pg_temp.buy({n})', 'SELECT count(*) FROM economy.audit_sweep_incremental()');
SELECT economy.set_recommendations('pgtap growth', '{"policy": "thompson", "attribution_window": "1 day"}', '[{"segment": "New", "arm": "a", "cta": "a"}]', 'pgtap') AS x \gset
PREPARE decide AS INSERT INTO economy.recommendations SELECT c.user_id, nextval('key'), $2, 1, 'New', 'a', 'a', 'pgtap_growth', false, 'thompson', 1, '2096-01-01', 0, '2096-01-01 00:00+00', '2096-01-02 00:00+00'
    FROM crowd c WHERE c.n <= $1;
CREATE FUNCTION pg_temp.measure_learning(what text) RETURNS SETOF text LANGUAGE sql AS $f$
    SELECT pg_temp.measure('learn_recommendations() of as many decisions' || what, $$
        EXECUTE decide({n}, 'pgtap growth');
        UPDATE economy_internal.recommendation_progress SET learned_until = '-infinity' WHERE placement = 'pgtap growth';
        DELETE FROM economy.recommendations WHERE placement = 'pgtap growth' AND number < currval('key') - {n} + 1$$, 'SELECT * FROM economy.learn_recommendations(100000)')
    UNION ALL
    SELECT pg_temp.measure('learn_recommendations() that removes as many decisions' || what, $$
        DELETE FROM economy.recommendations WHERE placement = 'pgtap growth';
        EXECUTE decide({n}, 'pgtap growth');
        EXECUTE decide({n}, 'pgtap growth');
        UPDATE economy_internal.recommendation_progress SET learned_until = 'infinity', pruned_until = '-infinity' WHERE placement = 'pgtap growth'$$, 'SELECT * FROM economy.learn_recommendations(100000)') $f$;
-- analysed when nobody sees a row, as while a transaction adds many; by one that is of another placement; in the middle
EXECUTE decide(1600, 'pgtap other');
DELETE FROM economy.recommendations;
ANALYZE economy.recommendations;
SELECT pg_temp.measure_learning(', analysed when empty');
DELETE FROM economy.recommendations;
INSERT INTO economy.recommendations SELECT (SELECT user_id FROM crowd WHERE n = 1), nextval('key'), 'pgtap other', 1, 'New', 'a', 'a', 'pgtap_growth', false, 'thompson', 1, '2095-01-01', 0, '2095-01-01 00:00+00', '2095-01-02 00:00+00'
    FROM generate_series(1, 3000);
ANALYZE economy.recommendations;
SELECT pg_temp.measure_learning(', analysed when there were others');
ANALYZE economy.recommendations;
SELECT pg_temp.measure_learning(', analysed');
-- a queue that was worked off is not read again, though its dead rows are still there
SELECT count(*) AS x FROM generate_series(1, 3) n, economy.rollup_stats(1000000 + 0 * n) \gset
SELECT pg_temp.pages('SELECT * FROM economy.rollup_stats()') AS idle \gset
INSERT INTO economy_internal.rollup_queue SELECT 1000000000000 + n FROM generate_series(1, 100000) n;
UPDATE economy_internal.rollup_state SET next_user = 1000000000001;
SELECT pg_temp.pages('SELECT * FROM economy.rollup_stats(50)') AS first \gset
SELECT count(*) AS x FROM economy.rollup_stats(99900) \gset
SELECT pg_temp.pages('SELECT * FROM economy.rollup_stats(50)') AS last \gset
SELECT is((SELECT next_user FROM economy_internal.rollup_state), NULL, 'a queue of 100,000 is worked off');
SELECT cmp_ok(:last::bigint, '<=', :first + 100::bigint, format('its last 50 as the first: %s and %s pages', :first, :last));
SELECT cmp_ok(pg_temp.pages('SELECT * FROM economy.rollup_stats()'), '<=', :idle + 20::bigint, 'and whoever comes after it finds nothing to do in as many pages as before it: ' || :idle);
-- leaderboards, of whose tables nothing is known: users are looked at, results closed, prizes paid
CREATE TEMP SEQUENCE day;
-- nor are there dead rows of what came before
TRUNCATE economy_internal.leaderboard_queue;
CREATE FUNCTION pg_temp.new_board(size integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE economy.leaderboards SET active = false;
    PERFORM economy.upsert_leaderboard(jsonb_build_object('board', 'pgtap growth ' || nextval('day'), 'figure', 'xp', 'period', 'all', 'audience', 'all'), 'pgtap');
    PERFORM economy.refresh_leaderboards(size);
    UPDATE economy.leaderboard_periods p SET fill_from = '-9223372036854775808' WHERE p.board = 'pgtap growth ' || currval('day');
END
$$;
SELECT pg_temp.measure('a look at a board of as many', 'SELECT pg_temp.new_board({n})', 'SELECT * FROM economy_internal.leaderboard_fill({n})');
SELECT pg_temp.measure('leaderboard_of() as many', 'SELECT pg_temp.new_board({n}); UPDATE economy.leaderboard_periods SET fill_from = NULL',
    $$SELECT * FROM economy.leaderboard_of('pgtap growth ' || currval('day'), ARRAY(SELECT c.user_id FROM crowd c WHERE c.n <= {n}))$$);
UPDATE economy.leaderboards SET active = false;
TRUNCATE economy_internal.leaderboard_queue;
UPDATE economy_internal.rollup_state SET next_user = NULL;
SELECT economy.upsert_leaderboard('{"board": "pgtap season", "figure": "wins", "period": "season", "first_day": "2090-01-01", "last_day": "2090-01-01", "prizes": [{"upto": 1000000, "gold": 1}]}', 'pgtap') IS NULL AS x \gset
CREATE FUNCTION pg_temp.over(size integer, closed boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    past date := date '2090-01-01' + nextval('day')::integer;
BEGIN
    UPDATE economy.leaderboard_periods p SET paid_at = economy.now() WHERE p.closed_at IS NOT NULL AND p.paid_at IS NULL;
    INSERT INTO economy.leaderboard_periods (board, first_day, last_day, await_fills) VALUES ('pgtap season', past, past, -1);
    INSERT INTO economy_internal.leaderboard_buckets VALUES ('pgtap season', past, '-9223372036854775808', 0);
    PERFORM economy_internal.leaderboard_set(array_agg(text 'pgtap season'), array_agg(past), array_agg(c.user_id), array_agg(c.n::bigint)) FROM crowd c WHERE c.n <= size;
    IF closed THEN
        PERFORM economy_internal.leaderboard_close();
    END IF;
END
$$;
SELECT pg_temp.measure('leaderboard_set() to the places where as many are', 'SELECT pg_temp.over({n}, false)', $$SELECT economy_internal.leaderboard_set(array_agg(text 'pgtap season'),
    array_agg(date '2090-01-01' + currval('day')::integer), array_agg(c.user_id), array_agg(c.n::bigint)) FROM crowd c WHERE c.n <= {n}$$);
SELECT pg_temp.measure('the close of a period of as many', 'SELECT pg_temp.over({n}, false)', 'SELECT economy_internal.leaderboard_close()');
SELECT pg_temp.measure('pay_leaderboard_prizes() to as many', 'SELECT pg_temp.over({n}, true)', 'SELECT * FROM economy.pay_leaderboard_prizes(2000)');
SELECT pg_temp.over(1600, true) IS NULL AS x \gset
SELECT count(p.paid) AS x FROM economy.pay_leaderboard_prizes(50) p \gset
SELECT pg_temp.pages('SELECT * FROM economy.pay_leaderboard_prizes(50)') AS first \gset
SELECT count(p.paid) AS x FROM economy.pay_leaderboard_prizes(1449) p \gset
SELECT cmp_ok(pg_temp.pages('SELECT * FROM economy.pay_leaderboard_prizes(52)'), '<=', :first + 100::bigint, 'the last 51 prizes of 1,600 as the first 50: ' || :first);
SELECT is((SELECT concat_ws(' ', p.paid, p.refused, p.paid_at IS NOT NULL) FROM economy.leaderboard_periods p WHERE p.board = 'pgtap season' ORDER BY p.first_day DESC LIMIT 1), '1600 0 t', 'and all are paid');

-- what looks keys up reads no more under statistics of a moment when the journals looked empty,
-- which make the index of the stream, whose keys are shorter, cheaper than that of the key
CREATE FUNCTION pg_temp.looked(way text, tuples bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('economy.row_access', way, true);
    UPDATE pg_class SET relpages = pg_relation_size(oid) / 8192, reltuples = tuples WHERE oid IN ('economy.user_actions'::regclass, 'economy.reward_audit'::regclass, 'economy.shop_transactions'::regclass);
END
$$;
CREATE FUNCTION pg_temp.keys(of text, statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    way     text;
    counted bigint;
    empty   bigint;
BEGIN
    statement := replace(replace(statement, '{key}', 'rpad(''key'', 200, ''y'') || nextval(''key'')'), '{user}', (SELECT user_id FROM crowd WHERE n = 2)::text);
    PERFORM pg_temp.pages(replace(statement, '{n}', '1600'));
    FOREACH way IN ARRAY ARRAY['auto', 'sql'] LOOP
        PERFORM pg_temp.looked(way, 20000), pg_temp.pages(replace(statement, '{n}', '50'));
        counted := pg_temp.pages(replace(statement, '{n}', '50'));
        PERFORM pg_temp.looked(way, 0), pg_temp.pages(replace(statement, '{n}', '50'));
        empty := pg_temp.pages(replace(statement, '{n}', '50'));
        RETURN NEXT cmp_ok(empty, '<=', counted + counted / 2, format('%s by %s: %s pages, and %s when the journal looked empty', of, way, counted, empty));
    END LOOP;
END
$$;
DELETE FROM pg_statistic WHERE starelid IN ('economy.user_actions'::regclass, 'economy.reward_audit'::regclass, 'economy.shop_transactions'::regclass);
SELECT pg_temp.keys('record_actions() of one user', $$SELECT count(*) FROM economy.record_actions((SELECT jsonb_agg(jsonb_build_object(
    'user_id', {user}, 'game', 'pgtap_growth', 'action_type', 'X', 'action_id', {key}, 'bet', 0, 'win', 1)) FROM crowd c WHERE c.n <= {n}))$$);
SELECT pg_temp.keys('purchases() by one user', $$SELECT count(*) FROM economy.purchases((SELECT jsonb_agg(jsonb_build_object(
    'user_id', {user}, 'product_id', 'pgtap_growth', 'idempotency_key', {key})) FROM crowd c WHERE c.n <= {n}))$$);
SELECT pg_temp.keys('grant_rewards() to one user', $$SELECT count(*) FROM economy.grant_rewards((SELECT jsonb_agg(jsonb_build_object(
    'user_id', {user}, 'source', 'pgtap', 'external_event_id', {key}, 'gold', 1, 'xp', 1)) FROM crowd c WHERE c.n <= {n}))$$);
-- the first purchase of a day has nothing to count of the days before
SELECT FROM economy.upsert_product('{"product_id": "pgtap_growth_daily", "category": "item", "price_gold": 0, "per_user_limit": 10000, "limit_period": "day"}', 'pgtap') \g /dev/null
CREATE FUNCTION pg_temp.daily() RETURNS bigint LANGUAGE sql AS
    $$ SELECT pg_temp.pages('SELECT * FROM economy.purchase((SELECT user_id FROM crowd WHERE n = 3), ''pgtap_growth_daily'', ''k'' || nextval(''key''))') $$;
SELECT count(*) AS x FROM generate_series(1, 1000) n, LATERAL (SELECT user_id FROM crowd WHERE crowd.n = 3 + 0 * n.n) c, economy.purchase(c.user_id, 'pgtap_growth_daily', 'k' || n.n) p WHERE p.state = 'new' \gset
SELECT pg_temp.daily() AS same_day, pg_temp.clock('2097-01-02 12:00:00+00') AS x, pg_temp.daily() AS next_day \gset
SELECT cmp_ok(:next_day::bigint, '<=', :same_day + 100::bigint, format('a purchase after 1,000 of the day: %s pages, and on the next day %s', :same_day, :next_day));

-- what grows with the square is noticed
SELECT cmp_ok(pg_temp.pages(replace(q, '{n}', '80'))::numeric, '>', round(4 * pg_temp.pages(replace(q, '{n}', '20')) * ln(1600.0) / ln(400.0)) + 50, 'a square is more than n log n')
FROM (VALUES ('SELECT count(*) FROM crowd a CROSS JOIN crowd b CROSS JOIN LATERAL (SELECT FROM economy.accounts k WHERE k.user_id = b.user_id + 0 * a.user_id OFFSET 0) x WHERE a.n <= {n} AND b.n <= {n}')) v (q);
SELECT * FROM finish();
ROLLBACK;
