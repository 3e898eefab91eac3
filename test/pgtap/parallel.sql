-- What is marked PARALLEL SAFE or RESTRICTED works in parallel plans.
BEGIN;
SELECT plan(30);

SELECT economy.register('pgtap parallel') AS u \gset
SELECT economy.upsert_product('{"product_id": "pgtap_p", "category": "item", "price_gold": 1}', 'pgtap') IS NULL AS x \gset
SELECT success AS x FROM economy.adjust_gold(:u, 100, 'open', 'r', 'a') \gset
SELECT transaction_id AS t FROM economy.purchase(:u, 'pgtap_p', 'k') \gset
SELECT success AS x FROM economy.grant_reward(:u, 'pgtap', 'e', 5, 600) \gset

-- named force_parallel_mode before PostgreSQL 16
SELECT set_config(name, 'on', true) AS x FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query') \gset
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
-- a key that this session has not used yet
SELECT economy.rotate_signing_key() AS x \gset

SELECT lives_ok(replace(replace(call, '{u}', :'u'), '{t}', :'t'), replace(call, '{u}', 'U'))
FROM (VALUES ($$SELECT * FROM economy.verify_receipt({u}, '{t}')$$), ($$SELECT * FROM economy.verify_chain({u})$$),
             ($$SELECT v.* FROM economy.accounts a, economy.verify_receipt(a.user_id, '{t}') v$$),
             ($$SELECT count(*) FROM economy.accounts a, economy.verify_chain(a.user_id) v$$),
             ($$SELECT * FROM economy.receipt({u}, '{t}')$$), ($$SELECT w.* FROM economy.accounts a, economy.verify_webhook(a.user_id::text, '{}', '') w$$), ($$SELECT * FROM economy.account({u})$$), ($$SELECT * FROM economy.statement({u})$$),
             ($$SELECT * FROM economy.products({u})$$), ($$SELECT * FROM economy.product('pgtap_item', {u})$$), ($$SELECT * FROM economy.purchases_of({u})$$), ($$SELECT * FROM economy.holdings({u})$$), ($$SELECT * FROM economy.item_catalogue()$$), ($$SELECT * FROM economy.leaderboard_info()$$), ($$SELECT * FROM economy.leaderboard_parity()$$), ($$SELECT economy.verify_draw(repeat('ab', 32), 'x', user_id, '{"hand": {}}'), economy.simulate_draws('{"entries": [{"entry": "a", "weight": 1}]}', 10) FROM economy.accounts$$), ($$SELECT economy.holds({u}, 'x')$$), ($$SELECT * FROM economy.profile({u})$$),
             ($$SELECT economy.level_for(1000), economy.user_id_of('pgtap parallel'), economy.timezone_name('europe/berlin')$$),
             ($$SELECT economy.level_of(user_id, experience_points) FROM economy.accounts$$), ($$SELECT economy.now() FROM economy.accounts$$),
             ($$SELECT * FROM economy.streak_state({u})$$), ($$SELECT * FROM economy.streak_preview({u})$$), ($$SELECT economy.streak_reward(2) FROM economy.accounts$$),
             ($$SELECT * FROM economy.purchase({u}, 'pgtap_p', 'new')$$), ($$SELECT * FROM economy.audit_sweep()$$)) v (call);
SELECT is(v.reason, 'OK', 'and answers the same') FROM economy.verify_receipt(:u, :'t') v;
SELECT is((SELECT count(*) FROM economy.verify_chain(:u)), 0::bigint, 'and finds nothing where nothing is');

-- a function that catches errors begins a subtransaction, which no parallel plan
-- allows, nor does it in what calls the function
SELECT is((WITH RECURSIVE function AS (
        SELECT p.oid, p.proname, p.proparallel, l.lanname,
               -- names in texts call nothing
               regexp_replace(concat(p.prosrc, pg_get_function_sqlbody(p.oid)), '''[^'']*''', '', 'g') AS source
        FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE p.pronamespace IN ('economy'::regnamespace, 'economy_internal'::regnamespace) AND p.prokind IN ('f', 'p')
    ), catching AS (
        SELECT f.* FROM function f WHERE f.lanname = 'plpgsql' AND f.source ~ E'\\mEXCEPTION\\s+WHEN\\M'
        UNION
        SELECT f.* FROM catching c JOIN function f ON f.source ~ (E'\\meconomy(_internal)?\\.' || c.proname || E'\\s*\\(')
    )
    SELECT concat(string_agg(c.proname, ' ' ORDER BY c.proname) FILTER (WHERE c.proparallel <> 'u'), CASE WHEN count(*) < 5 THEN 'none found' END) FROM catching c), '',
    'what catches errors, and what calls it, is PARALLEL UNSAFE');

-- workers take over settings before they know any time zone abbreviation
SET LOCAL economy.test_clock = '2031-01-01T12:00:00Z';
SELECT max(economy.now()) AS at FROM economy.accounts \gset
SELECT is(:'at', '2031-01-01 12:00+00'::timestamptz, 'the test clock, in a parallel worker');

SELECT * FROM finish();
ROLLBACK;
