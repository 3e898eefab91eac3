-- Which refusal comes first: a call that has everything against it, and what it says as
-- one hindrance after the other is taken away.
BEGIN;
SELECT no_plan();
SET LOCAL economy.test_clock = '2031-01-01 12:00+00';
SET LOCAL economy.streak_max_freezes = 1;
SELECT economy.register('pgtap refused') AS u \gset
SELECT economy.register('pgtap refused other') AS other \gset
CREATE TEMP TABLE who AS SELECT :u::bigint AS u, :other::bigint AS other;
CREATE FUNCTION pg_temp.product(product jsonb) RETURNS text LANGUAGE sql AS
    $$ SELECT product_id FROM economy.upsert_product('{"product_id": "pgtap_against"}' || product, 'pgtap') $$;
-- what a call answers, and then takes the hindrance away
CREATE FUNCTION pg_temp.then(call text, remedy text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    w      record;
    answer text;
BEGIN
    SELECT * INTO w FROM who;
    EXECUTE format('SELECT concat_ws('' '', r.state, r.code, r.detail) FROM %s r', replace(replace(call, '{u}', w.u::text), '{o}', w.other::text)) INTO answer;
    EXECUTE replace(replace(remedy, '{u}', w.u::text), '{o}', w.other::text);
    RETURN answer;
END
$$;

-- a purchase: user, product, sale, key, price, limits, gold, stock
SELECT is(pg_temp.then($$economy.purchase({u}, 'pgtap_against', 'k', 2, '{"expected_price": 8}')$$, remedy), says, says)
FROM (VALUES
    (1, 'SELECT', 'refused PRODUCT_NOT_FOUND'),
    (2, $$SELECT pg_temp.product('{"category": "item", "price_gold": 1, "global_key": true, "effect_code": "streak_freeze"}'), economy.purchase({o}, 'pgtap_against', 'k'),
              economy.adjust_gold({o}, 1, 'k', 'r', 'a')$$, 'refused PRODUCT_NOT_FOUND'),
    (3, $$SELECT economy.purchase({o}, 'pgtap_against', 'k')$$, 'refused PRICE_CHANGED {"price_gold": 1}'),
    (4, $$SELECT economy.set_user_status({u}, 'suspended', 'a'), pg_temp.product('{"active": false, "price_gold": 9, "limit_once": true}'), economy.add_stock('pgtap_against', 0, 'a')$$, 'refused KEY_USED'),
    (5, $$SELECT economy.set_user_status({u}, 'active', 'a')$$, 'refused USER_SUSPENDED'),
    (6, $$SELECT pg_temp.product('{"active": true}')$$, 'refused NOT_ON_SALE {"reason": "inactive"}'),
    (7, $$DELETE FROM economy_internal.shop_keys$$, 'refused KEY_USED'),
    (8, $$SELECT pg_temp.product('{"price_gold": 8}')$$, 'refused PRICE_CHANGED {"price_gold": 9}'),
    (9, $$SELECT pg_temp.product('{"limit_once": false, "per_user_limit": 1}')$$, 'refused LIMIT_ONCE'),
    (10, $$SELECT pg_temp.product('{"per_user_limit": 3}')$$, 'refused USER_LIMIT'),
    (11, $$SELECT set_config('economy.streak_max_freezes', '2', true)$$, 'refused USER_LIMIT {"held": 0, "at_most": 1}'),
    (12, $$SELECT economy.adjust_gold({u}, 15, 'k1', 'r', 'a')$$, 'refused INSUFFICIENT_GOLD {"gold": 0, "price_gold": 8}'),
    (13, $$SELECT economy.adjust_gold({u}, 1, 'k2', 'r', 'a')$$, 'refused INSUFFICIENT_GOLD {"gold": 15, "price_gold": 8}'),
    (14, $$SELECT economy.add_stock('pgtap_against', 1, 'a')$$, 'refused SOLD_OUT'),
    (15, $$SELECT economy.add_stock('pgtap_against', 1, 'a')$$, 'refused SOLD_OUT'),
    (16, 'SELECT', 'new OK {"apply": true, "effect_code": "streak_freeze"}'),
    (17, $$SELECT economy.set_user_status({u}, 'suspended', 'a')$$, 'reuse OK {"apply": true, "effect_code": "streak_freeze"}'),
    (18, $$SELECT economy.set_user_status({u}, 'active', 'a')$$, 'reuse OK {"apply": true, "effect_code": "streak_freeze"}')) v (n, remedy, says) ORDER BY n;

-- a grant: user, amounts
SELECT economy.set_user_status(:u, 'suspended', 'a') AS x \gset
SELECT is(pg_temp.then($$economy.grant_reward({u}, 's', 'e', 9007199254740991, 9007199254740991)$$, remedy), says, 'a grant: ' || says)
FROM (VALUES
    (1, $$SELECT economy.adjust_gold({u}, 1, 'k3', 'r', 'a')$$, 'refused USER_SUSPENDED'),
    (2, $$SELECT economy.set_user_status({u}, 'active', 'a')$$, 'refused USER_SUSPENDED'),
    (3, $$SELECT economy.adjust_gold({u}, -1, 'k4', 'r', 'a')$$, 'refused GOLD_OVERFLOW'),
    (4, 'SELECT', 'new OK'),
    (5, 'SELECT', 'reuse OK')) v (n, remedy, says) ORDER BY n;

-- a daily claim: a date that was paid, user, amounts
SELECT economy.set_user_status(:u, 'suspended', 'a') AS x \gset
SELECT is(pg_temp.then($$economy.claim_daily_reward({u})$$, remedy), says, 'a claim: ' || says)
FROM (VALUES
    (1, $$SELECT economy.set_user_status({u}, 'active', 'a')$$, 'refused USER_SUSPENDED'),
    (2, $$SELECT economy.adjust_gold({u}, -1000, 'k5', 'r', 'a')$$, 'refused GOLD_OVERFLOW'),
    (3, $$SELECT economy.revoke_reward({u}, r.transaction_id, 'r', 'a', 0, 50, idempotency_key => 'room') FROM economy.grant_reward({u}, 's', 'e', 9007199254740991, 9007199254740991) r$$,
        'refused GOLD_OVERFLOW'),
    (4, $$SELECT economy.set_user_status({u}, 'suspended', 'a')$$, 'new CLAIMED'),
    (5, $$SELECT economy.set_user_status({u}, 'active', 'a')$$, 'reuse ALREADY_CLAIMED')) v (n, remedy, says) ORDER BY n;

-- a reversal: user, reward, amounts, what is left of it, what there is
SELECT transaction_id AS id FROM economy.grant_reward(:other, 's', 'e', 10, 5) \gset
SELECT FROM economy.adjust_gold(:other, -10, 'gone', 'r', 'a') \g /dev/null
SELECT is(pg_temp.then(format('economy.revoke_reward({o}, %L, ''r'', ''a'', 10, 5, idempotency_key => ''k'')', :'id'), remedy), says, 'a reversal: ' || says)
FROM (VALUES
    (1, $$SELECT economy.revoke_reward({o}, '$$ || :'id' || $$', 'r', 'a', 0, 1, idempotency_key => 'part')$$, 'refused INSUFFICIENT_GOLD {"xp": 5, "gold": 10, "debt_xp": 0, "debt_gold": 10}'),
    (2, $$SELECT economy.adjust_gold({o}, 9, 'some', 'r', 'a')$$, 'refused EXCEEDS_REWARD {"xp": 5, "gold": 10, "left_xp": 4, "left_gold": 10}')) v (n, remedy, says) ORDER BY n;
SELECT is(pg_temp.then(format('economy.revoke_reward({o}, %L, ''r'', ''a'', idempotency_key => ''k'')', :'id'), remedy), says, 'the rest: ' || says)
FROM (VALUES
    (1, $$SELECT economy.adjust_gold({o}, 1, 'enough', 'r', 'a')$$, 'refused INSUFFICIENT_GOLD {"xp": 4, "gold": 10, "debt_xp": 0, "debt_gold": 1}'),
    (2, 'SELECT', 'new OK {"xp": 4, "gold": 10, "debt_xp": 0, "debt_gold": 0}'),
    (3, 'SELECT', 'reuse OK {"xp": 4, "gold": 10, "debt_xp": 0, "debt_gold": 0}')) v (n, remedy, says) ORDER BY n;

-- an external id: user, what he has, who else has it
SELECT economy.set_user_status(:u, 'suspended', 'a') AS x \gset
SELECT is(pg_temp.then($$economy.link_external_id({u}, 'pgtap refused other', 'l')$$, remedy), says, 'an id: ' || says)
FROM (VALUES
    (1, $$SELECT economy.set_user_status({u}, 'active', 'a')$$, 'refused USER_SUSPENDED'),
    (2, $$SELECT economy.unlink_external_id({u}, 'away')$$, 'refused ALREADY_LINKED'),
    (3, $$SELECT economy.unlink_external_id({o}, 'away')$$, 'refused EXTERNAL_ID_TAKEN'),
    (4, $$SELECT economy.set_user_status({u}, 'suspended', 'a')$$, 'new OK'),
    (5, 'SELECT', 'reuse OK')) v (n, remedy, says) ORDER BY n;
SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s)', id), 'and the chain is clean') FROM (VALUES (:u), (:other)) v (id);
SELECT * FROM finish();
ROLLBACK;
