-- Calls that return their code alone: the code of the row, and the same entry.
BEGIN;
SET client_min_messages = warning;
SELECT plan(11);

SELECT economy.register('pgtap codes') AS u \gset
SELECT FROM economy.adjust_gold(:u, 100, 'open', 'r', 'a') \g /dev/null
SELECT economy.upsert_product('{"product_id": "pgtap_code", "category": "item", "price_gold": 10}', 'pgtap') IS NULL AS x \gset

SELECT results_eq(format($$SELECT * FROM (VALUES
    (economy.purchase_code(%1$s, 'pgtap_code', 'k1')),
    (economy.purchase_code(%1$s, 'pgtap_code', 'k1')),
    (economy.purchase_code(%1$s, 'pgtap_code', 'k1', 2)),
    (economy.purchase_code(%1$s, 'pgtap_code', 'k2', 99)),
    (economy.purchase_code(%1$s, 'pgtap_code', 'k3', 1, '{"expected_price": 9}')),
    (economy.purchase_code(%1$s, 'pgtap_code', 'k4', dry_run => true)),
    (economy.purchase_code(%1$s, 'pgtap_none', 'k5')),
    (economy.purchase_code(0, 'pgtap_code', 'k6'))) v$$, :u),
    $$VALUES ('OK'), ('OK'), ('IDEMPOTENCY_MISMATCH'), ('INSUFFICIENT_GOLD'), ('PRICE_CHANGED'), ('OK'), ('PRODUCT_NOT_FOUND'), ('USER_NOT_FOUND')$$, 'purchases');
SELECT results_eq(format($$SELECT * FROM (VALUES
    (economy.grant_reward_code(%1$s, 'quest', 'e1', 5, 5)),
    (economy.grant_reward_code(%1$s, 'quest', 'e1', 5, 5)),
    (economy.grant_reward_code(%1$s, 'quest', 'e1', 6, 5)),
    (economy.grant_reward_code(%1$s, 'quest', 'e2', 9007199254740991)),
    (economy.grant_reward_code(0, 'quest', 'e3'))) v$$, :u),
    $$VALUES ('OK'), ('OK'), ('IDEMPOTENCY_MISMATCH'), ('GOLD_OVERFLOW'), ('USER_NOT_FOUND')$$, 'rewards');
SELECT results_eq(format($$SELECT * FROM (VALUES
    (economy.record_action_code(%1$s, 'rps', 'PLAY', 'a1', 5, 12)),
    (economy.record_action_code(%1$s, 'rps', 'PLAY', 'a1', 5, 12)),
    (economy.record_action_code(%1$s, 'rps', 'PLAY', 'a1', 5, 13)),
    (economy.record_action_code(%1$s, 'chess', 'MOVE', 'a2')),
    (economy.record_action_code(%1$s, 'rps', 'PLAY', 'a3', 1000)),
    (economy.record_action_code(0, 'rps', 'PLAY', 'a4'))) v$$, :u),
    $$VALUES ('OK'), ('OK'), ('IDEMPOTENCY_MISMATCH'), ('GAME_NOT_FOUND'), ('INSUFFICIENT_GOLD'), ('USER_NOT_FOUND')$$, 'actions');

-- each was made once, and is what a call for the row finds
SELECT is((SELECT concat_ws(' ', state, code, transaction_id, gold_delta) FROM economy.purchase(:u, 'pgtap_code', 'k1')), format('reuse OK P%s-2 -10', :u), 'the purchase');
SELECT is((SELECT concat_ws(' ', state, code, transaction_id, gold_delta) FROM economy.grant_reward(:u, 'quest', 'e1', 5, 5)), format('reuse OK R%s-3 5', :u), 'the reward');
SELECT is((SELECT concat_ws(' ', state, code, transaction_id, gold_delta) FROM economy.record_action(:u, 'rps', 'PLAY', 'a1', 5, 12)), format('reuse OK A%s-4 7', :u), 'the action');
SELECT is((SELECT concat_ws(' ', seq, gold) FROM economy.account(:u)), '4 102', 'and nothing else');

-- many in one query, of which each keeps its own code
SELECT is((SELECT string_agg(c, ' ' ORDER BY n) FROM (SELECT n, economy.purchase_code(:u, CASE WHEN n % 2 = 0 THEN 'pgtap_code' ELSE 'pgtap_none' END, 'many' || n) AS c FROM generate_series(1, 6) n) s),
          'PRODUCT_NOT_FOUND OK PRODUCT_NOT_FOUND OK PRODUCT_NOT_FOUND OK', 'several in one query');
SELECT is((SELECT string_agg(c, ' ' ORDER BY n) FROM (SELECT n, economy.record_action_code(:u, CASE WHEN n % 2 = 0 THEN 'rps' ELSE 'chess' END, 'PLAY', 'many' || n) AS c FROM generate_series(1, 4) n) s),
          'GAME_NOT_FOUND OK GAME_NOT_FOUND OK', 'of actions too');

SELECT throws_ok(format('SELECT economy.purchase_code(%s, NULL, ''k'')', :u), 'XE001', NULL, 'a null argument');

-- what returns neither the row nor its code
CREATE FUNCTION pg_temp.purchase_number(bigint, text, text, integer, jsonb, boolean) RETURNS integer LANGUAGE c AS '$libdir/economy', 'eco_purchase';
SELECT throws_ok(format('SELECT pg_temp.purchase_number(%s, ''pgtap_code'', ''k'', 1, NULL, false)', :u), 'XX000', 'return type must be a row type', 'a number');

SELECT * FROM finish();
ROLLBACK;
