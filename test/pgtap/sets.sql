-- Many calls in one statement and one transaction.
BEGIN;
SELECT plan(27);

SELECT economy.register('pgtap sets') AS u \gset
SELECT success AS x FROM economy.adjust_gold(:u, 1000, 'open', 'pgtap', 'pgtap') \gset
SELECT count(*) AS x FROM (VALUES
    ('{"product_id": "pgtap_item", "category": "item", "price_gold": 1}'),
    ('{"product_id": "pgtap_lim", "category": "item", "price_gold": 1, "per_user_limit": 7}'),
    ('{"product_id": "pgtap_few", "category": "item", "price_gold": 1}')) v (product), economy.upsert_product(product::jsonb, 'pgtap') \gset
SELECT economy.add_stock('pgtap_few', 13, 'pgtap', 5) AS x \gset

SELECT results_eq(format($$SELECT p.state, p.code, p.gold FROM generate_series(1, 4) n, economy.purchase(%s, 'pgtap_item', 'k' || n / 2) p$$, :u),
    $$VALUES ('new', 'OK', 999::bigint), ('new', 'OK', 998), ('reuse', 'OK', 998), ('new', 'OK', 997)$$,
    'the same key twice in one statement is one purchase');
SELECT results_eq(format($$SELECT (economy.purchase(%s, 'pgtap_item', 'same')).state FROM generate_series(1, 3)$$, :u),
    ARRAY['new', 'reuse', 'reuse'], 'also in a target list');
SELECT results_eq(format($$WITH a AS (SELECT * FROM economy.purchase(%1$s, 'pgtap_item', 'cte')), b AS (SELECT * FROM economy.purchase(%1$s, 'pgtap_item', 'cte'))
        SELECT (SELECT count(*) FROM (TABLE a UNION ALL TABLE b) t WHERE state = 'new'), (SELECT count(*) FROM (TABLE a UNION ALL TABLE b) t WHERE state = 'reuse')$$, :u),
    $$VALUES (1::bigint, 1::bigint)$$, 'and in two CTEs');
SELECT is((SELECT count(*) FILTER (WHERE p.state = 'new') FROM generate_series(1, 300) n, economy.purchase(:u, 'pgtap_item', 'many' || n) p), 300::bigint,
    '300 purchases in one statement');
SELECT is((SELECT count(*) FILTER (WHERE p.state = 'reuse') FROM generate_series(1, 300) n, economy.purchase(:u, 'pgtap_item', 'many' || n) p), 300::bigint,
    'and 300 replays');
SELECT is((SELECT array_agg(p.code ORDER BY n) FROM generate_series(1, 9) n, economy.purchase(:u, 'pgtap_lim', 'l' || n) p),
    array_cat(array_fill('OK'::text, ARRAY[7]), ARRAY['USER_LIMIT', 'USER_LIMIT']), 'a limit holds within a statement');
SELECT is((SELECT array_agg(p.code || p.stock_remaining ORDER BY n) FROM generate_series(1, 5) n, economy.purchase(:u, 'pgtap_few', 's' || n, 3) p),
    ARRAY['OK10', 'OK7', 'OK4', 'OK1', 'SOLD_OUT1'], 'so does the stock, gathered from slots where it must be');
SELECT is((SELECT count(*) FILTER (WHERE p.code = 'OK') FROM generate_series(1, 2000) n, economy.purchase(:u, 'pgtap_item', 'poor' || n) p),
    (SELECT 1000 - 3 - 1 - 1 - 300 - 7 - 12)::bigint, 'gold does not go below 0');
SELECT is((SELECT row(a.gold, a.seq)::text FROM economy.accounts a WHERE a.user_id = :u), '(0,993)', 'nothing is left');
SELECT is((SELECT count(*) FILTER (WHERE p.state = 'new') FROM generate_series(1, 200) n, economy.adjust_gold(:u, 1, 'a' || n, 'r', 'a') p), 200::bigint,
    '200 adjustments in one statement');
SELECT is((SELECT count(DISTINCT u) FROM generate_series(1, 300) n, economy.register('pgtap set ' || n) u), 300::bigint, '300 registrations');

-- savepoints: what is rolled back has not happened
SAVEPOINT s;
SELECT is(p.state, 'new', 'a purchase in a savepoint') FROM economy.purchase(:u, 'pgtap_item', 'sp') p;
ROLLBACK TO s;
SELECT is(p.state, 'new', 'is new again after its rollback') FROM economy.purchase(:u, 'pgtap_item', 'sp') p;
CREATE FUNCTION pg_temp.fail_after_purchase(id bigint) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM economy.purchase(id, 'pgtap_item', 'fail');
    RAISE division_by_zero;
EXCEPTION WHEN division_by_zero THEN
    RETURN (SELECT state FROM economy.purchase(id, 'pgtap_item', 'fail', dry_run => true));
END
$$;
SELECT is(pg_temp.fail_after_purchase(:u), 'new', 'nor does an exception block keep it');

-- a stream without a gap
SELECT is((SELECT row(count(*), min(seq), max(seq), count(DISTINCT seq))::text FROM economy.ledger l WHERE l.user_id = :u), '(1194,1,1194,1194)', 'seq has no gap');
SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s)', :u), 'the chain is clean');
SELECT is((SELECT count(*) FROM economy.statement(:u)), 100::bigint, 'a statement has 100 entries unless told');
SELECT is((SELECT row(count(*), min(seq), max(seq))::text FROM economy.statement(:u, 1000, 50)), '(50,1001,1050)', 'or as many as told, after a seq');
SELECT is((SELECT array_agg(seq ORDER BY n) = array_agg(seq ORDER BY seq) FROM (SELECT seq, row_number() OVER () AS n FROM economy.statement(:u, 0, 2000)) s), true,
    'in order');
SELECT economy.register('pgtap statement') AS long \gset
SELECT is((SELECT count(*) FROM (SELECT jsonb_agg(jsonb_build_object('user_id', :long, 'source', 's', 'external_event_id', n::text)) AS batch FROM generate_series(1, 10000) n) b,
    economy.grant_rewards(b.batch) r WHERE r.code = 'OK'), 10000::bigint, 'the largest batch');
SELECT FROM economy.grant_reward(:long, 's', 'one more') \g /dev/null
SELECT is((SELECT count(*) FROM economy.statement(:long, 0, max)), most, 'a statement of at most ' || coalesce(max::text, 'null'))
FROM (VALUES (0, 0::bigint), (1, 1), (10000, 10000), (10001, 10000), (2147483647, 10000), (NULL, 10000)) v (max, most);
SELECT is((SELECT row(count(*), min(seq), max(seq))::text FROM economy.statement(:long, 10000, NULL)), '(1,10001,10001)', 'and the last of 10,001');

SELECT * FROM finish();
ROLLBACK;
