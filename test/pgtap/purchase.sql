-- economy.purchase(): what it charges, grants, refuses, repeats and foresees.
BEGIN;
SELECT no_plan();

SELECT economy.register('pgtap buyer') AS u \gset
SELECT economy.register('pgtap other') AS other \gset
SELECT success AS x FROM economy.adjust_gold(:u, 1000, 'open', 'pgtap', 'pgtap') \gset
SELECT count(*) AS x FROM (VALUES
    ('{"product_id": "pgtap_item",  "category": "item", "price_gold": 10, "effect_code": "glow", "monetary": 5}'),
    ('{"product_id": "pgtap_plain", "category": "item", "price_gold": 3}'),
    ('{"product_id": "pgtap_free",  "category": "item", "price_gold": 0}'),
    ('{"product_id": "pgtap_conv",  "category": "conversion", "source_points": 7, "granted_gold": 100}'),
    ('{"product_id": "pgtap_once",  "category": "item", "price_gold": 1, "limit_once": true}'),
    ('{"product_id": "pgtap_three", "category": "item", "price_gold": 1, "per_user_limit": 3}'),
    ('{"product_id": "pgtap_stock", "category": "item", "price_gold": 1}'),
    ('{"product_id": "pgtap_off",   "category": "item", "price_gold": 1, "active": false}'),
    ('{"product_id": "pgtap_sale",  "category": "item", "price_gold": 1, "starts_at": "2031-05-01T00:00:00Z", "ends_at": "2031-06-01T00:00:00Z"}'),
    ('{"product_id": "pgtap_dear",  "category": "item", "price_gold": 9007199254740991}'),
    ('{"product_id": "pgtap_rich",  "category": "conversion", "granted_gold": 9007199254740991}'),
    ('{"product_id": "pgtap_money", "category": "item", "price_gold": 0, "monetary": 9007199254740991}')
) v (product), economy.upsert_product(product::jsonb, 'pgtap') \gset

CREATE FUNCTION pg_temp.account(id bigint) RETURNS text LANGUAGE sql AS
    $$ SELECT a::text FROM economy.accounts a WHERE a.user_id = id $$;
-- the state, code and detail of an answer
CREATE FUNCTION pg_temp.brief(p economy.purchase_result) RETURNS text LANGUAGE sql AS
    $$ SELECT concat_ws(' ', p.state, p.code, p.detail) $$;

-- an item charges, a conversion grants
SELECT row_eq(format('SELECT * FROM economy.purchase(%s, ''pgtap_item'', ''i1'', 2)', :u),
    ROW(true, 'new', 'OK', 'P' || :u || '-2', 2, -20, 980, NULL, NULL, NULL, '{"apply": true, "effect_code": "glow"}', NULL)::economy.purchase_result,
    'an item charges price_gold * quantity');
SELECT row_eq(format('SELECT * FROM economy.purchase(%s, ''pgtap_conv'', ''c1'', 3)', :u),
    ROW(true, 'new', 'OK', 'P' || :u || '-3', 3, 300, 1280, NULL, NULL, NULL, '{"charge_outside": true}', NULL)::economy.purchase_result,
    'a conversion grants granted_gold * quantity and says that the outside points are not charged');
SELECT row_eq(format('SELECT * FROM economy.purchase(%s, ''pgtap_plain'', ''p1'')', :u),
    ROW(true, 'new', 'OK', 'P' || :u || '-4', 1, -3, 1277, NULL, NULL, NULL, '{"apply": true}', NULL)::economy.purchase_result,
    'quantity is 1 unless given');
SELECT row_eq(format('SELECT * FROM economy.purchase(%s, ''pgtap_free'', ''f1'', 1000000)', :u),
    ROW(true, 'new', 'OK', 'P' || :u || '-5', 1000000, 0, 1277, NULL, NULL, NULL, '{"apply": true}', NULL)::economy.purchase_result,
    'a free item is an entry with delta 0');
SELECT is((SELECT row(t.gold_delta, t.xp_delta, t.gold, t.experience_points, t.monetary, t.quantity, t.status, t.category, t.product_id,
                      t.idempotency_key, t.effect_code, t.context, t.stock_slot, t.hash_algo_version)::text
           FROM economy.shop_transactions t WHERE t.user_id = :u AND t.seq = 2),
    '(-20,0,980,0,10,2,SUCCESS,item,pgtap_item,i1,glow,,,1)', 'the entry holds the purchase, monetary for all units');
SELECT is((SELECT row(a.seq, a.gold)::text FROM economy.accounts a WHERE a.user_id = :u), '(5,1277)', 'the account follows');
SELECT is((SELECT string_agg(row(l.seq, l.journal, l.transaction_id = left(l.transaction_id, 1) || :'u' || '-' || l.seq, l.gold_delta, l.gold)::text, ' ' ORDER BY l.seq)
           FROM economy.ledger l WHERE l.user_id = :u),
    '(1,gold_adjustments,t,1000,1000) (2,shop_transactions,t,-20,980) (3,shop_transactions,t,300,1280) (4,shop_transactions,t,-3,1277) (5,shop_transactions,t,0,1277)',
    'the ledger view shows the stream');

-- sizes at the limit
SELECT is(pg_temp.brief(p), 'new OK {"apply": true}', 'a key of 255 bytes is taken') FROM economy.purchase(:u, 'pgtap_free', repeat('k', 255)) p;
SELECT is(pg_temp.brief(p), 'new OK {"apply": true}', 'a key of 255 bytes in 85 characters is taken')
FROM economy.purchase(:u, 'pgtap_free', repeat(E'\u20ac', 85)) p;
SELECT is(pg_temp.brief(p), 'reuse OK {"apply": true}', 'and found again') FROM economy.purchase(:u, 'pgtap_free', repeat(E'\u20ac', 85)) p;
SELECT lives_ok(format($$SELECT economy.upsert_product('{"product_id": "%s", "category": "item", "price_gold": 0}', 'pgtap')$$, repeat(E'\u00e9', 32)),
    'a product_id of 64 bytes is taken');
SELECT is(pg_temp.brief(p), 'new OK {"apply": true}', 'and bought') FROM economy.purchase(:u, repeat(E'\u00e9', 32), 'k') p;
SELECT is(pg_temp.brief(p), 'new OK {"apply": true}', 'a context of 4096 bytes is taken')
FROM economy.purchase(:u, 'pgtap_free', 'c4096', 1, jsonb_build_object('t', repeat('x', 4087))) p;
SELECT is((SELECT octet_length(context::text) FROM economy.shop_transactions t WHERE t.user_id = :u AND idempotency_key = 'c4096'), 4096, 'and stored');
SELECT is(pg_temp.brief(p), 'new OK {"apply": true}', 'an empty context is one') FROM economy.purchase(:u, 'pgtap_free', 'c0', 1, '{}') p;
SELECT is(pg_temp.brief(p), 'new OK {"apply": true}', 'a key of quotes and control characters is a key')
FROM economy.purchase(:u, 'pgtap_free', E'"\\\n\x01''; --') p;
SELECT is(pg_temp.brief(p), 'new OK {"apply": true}', 'keys differ by case and by trailing space') FROM economy.purchase(:u, 'pgtap_item', 'I1 ', 1, NULL, true) d,
    LATERAL (SELECT * FROM economy.purchase(:u, 'pgtap_plain', 'P1 ')) p;

-- a repeated key
SELECT row_eq(format('SELECT * FROM economy.purchase(%s, ''pgtap_item'', ''i1'', 2)', :u),
    ROW(true, 'reuse', 'OK', 'P' || :u || '-2', 2, -20, 980, NULL, NULL, NULL, '{"apply": true, "effect_code": "glow"}', NULL)::economy.purchase_result,
    'a repeated key answers the first result, with the balance of then');
SELECT is(pg_temp.brief(p), 'refused IDEMPOTENCY_MISMATCH {"now": 3, "field": "quantity", "first": 2}', 'another quantity is refused by name')
FROM economy.purchase(:u, 'pgtap_item', 'i1', 3) p;
SELECT is(pg_temp.brief(p), 'refused IDEMPOTENCY_MISMATCH {"now": {}, "field": "context", "first": null}', 'a context where there was none is refused by name')
FROM economy.purchase(:u, 'pgtap_item', 'i1', 2, '{}') p;
SELECT is(pg_temp.brief(p), 'new OK {"apply": true}', 'a purchase with a context')
FROM economy.purchase(:u, 'pgtap_plain', 'ctx', 1, '{"a": 1, "b": [true, null]}') p;
SELECT is(pg_temp.brief(p), 'refused IDEMPOTENCY_MISMATCH {"now": null, "field": "context", "first": {"a": 1, "b": [true, null]}}', 'no context where there was one is refused')
FROM economy.purchase(:u, 'pgtap_plain', 'ctx') p;
SELECT is(pg_temp.brief(p), 'refused IDEMPOTENCY_MISMATCH {"now": {"a": 2, "b": [true, null]}, "field": "context", "first": {"a": 1, "b": [true, null]}}', 'another context is refused')
FROM economy.purchase(:u, 'pgtap_plain', 'ctx', 1, '{"a": 2, "b": [true, null]}') p;
SELECT is(pg_temp.brief(p), 'reuse OK {"apply": true}', 'the same context in another order of keys is the same')
FROM economy.purchase(:u, 'pgtap_plain', 'ctx', 1, '{"b": [true, null], "a": 1.0}') p;
SELECT is(p.gold_delta || ' ' || p.transaction_id, '0 P' || :'u' || '-2', 'a mismatch moves nothing, and names the first purchase') FROM economy.purchase(:u, 'pgtap_item', 'i1', 3) p;
SELECT is(pg_temp.brief(p), 'new OK {"apply": true}', 'the same key for another product is another purchase') FROM economy.purchase(:u, 'pgtap_plain', 'i1') p;
SELECT is(pg_temp.brief(p), 'refused INSUFFICIENT_GOLD {"gold": 0, "price_gold": 3}', 'and so is the same key of another user')
FROM economy.purchase(:other, 'pgtap_plain', 'ctx') p;
SELECT lives_ok($$SELECT economy.upsert_product('{"product_id": "pgtap_item", "price_gold": 99, "effect_code": "dim"}', 'pgtap')$$, 'the product changes');
SELECT is(pg_temp.brief(p) || p.gold_delta, 'reuse OK {"apply": true, "effect_code": "glow"}-20', 'a repeated key still answers what was bought then')
FROM economy.purchase(:u, 'pgtap_item', 'i1', 2) p;
SELECT lives_ok($$SELECT economy.retire_product('pgtap_item', 'pgtap')$$, 'the product is retired');
SELECT is(pg_temp.brief(p), 'reuse OK {"apply": true, "effect_code": "glow"}', 'and a repeated key still answers') FROM economy.purchase(:u, 'pgtap_item', 'i1', 2) p;

-- refusals: each leaves the account as it was and does not use up its key
SELECT pg_temp.account(:u) AS account \gset
SELECT is(pg_temp.brief(p), 'refused NOT_ON_SALE {"reason": "inactive"}', 'NOT_ON_SALE: inactive') FROM economy.purchase(:u, 'pgtap_off', 'r1') p;
SET LOCAL economy.test_clock = '2031-04-30 23:59:59.999999+00';
SELECT is(pg_temp.brief(p), 'refused NOT_ON_SALE {"reason": "not_started"}', 'NOT_ON_SALE: a microsecond before the sale') FROM economy.purchase(:u, 'pgtap_sale', 'r2') p;
SET LOCAL economy.test_clock = '2031-06-01 00:00:00+00';
SELECT is(pg_temp.brief(p), 'refused NOT_ON_SALE {"reason": "ended"}', 'NOT_ON_SALE: at its end') FROM economy.purchase(:u, 'pgtap_sale', 'r3') p;
SET LOCAL economy.test_clock = '';
SELECT is(pg_temp.brief(p), 'refused PRICE_CHANGED {"price_gold": 3}', 'PRICE_CHANGED: ' || price)
FROM (VALUES ('4'), ('2'), ('3.5'), ('-3'), ('1e300'), ('92233720368547758070'), ('0')) v (price),
     economy.purchase(:u, 'pgtap_plain', 'r4', 1, jsonb_build_object('expected_price', price::numeric)) p;
SELECT is(pg_temp.brief(p), 'refused LIMIT_ONCE', 'LIMIT_ONCE for two at once') FROM economy.purchase(:u, 'pgtap_once', 'r5', 2) p;
SELECT is(p.user_limit_remaining, 1::bigint, 'one is left') FROM economy.purchase(:u, 'pgtap_once', 'r5', 2) p;
SELECT is(pg_temp.brief(p) || ' ' || p.user_limit_remaining, 'refused USER_LIMIT 3', 'USER_LIMIT, with what is left') FROM economy.purchase(:u, 'pgtap_three', 'r6', 4) p;
SELECT is(pg_temp.brief(p) || ' ' || p.gold, 'refused INSUFFICIENT_GOLD {"gold": 1268, "price_gold": 9007199254740991} 1268', 'INSUFFICIENT_GOLD, with the price and the balance')
FROM economy.purchase(:u, 'pgtap_dear', 'r7') p;
SELECT is(pg_temp.brief(p), 'refused INSUFFICIENT_GOLD {"gold": 1268, "price_gold": 9007199254740991}', 'the dearest price there is, expected as text')
FROM economy.purchase(:u, 'pgtap_dear', 'r7', 1, '{"expected_price": "9007199254740991"}') p;
SELECT is(pg_temp.brief(p), 'refused INSUFFICIENT_GOLD {"gold": 1268, "price_gold": 9007199254740991}', 'a price beyond 64 bits is too little gold')
FROM economy.purchase(:u, 'pgtap_dear', 'r7', 1000000) p;
SELECT is(pg_temp.brief(p), 'refused GOLD_OVERFLOW', 'GOLD_OVERFLOW: a grant past 2^53-1') FROM economy.purchase(:u, 'pgtap_rich', 'r8') p;
SELECT is(pg_temp.brief(p), 'refused GOLD_OVERFLOW', 'GOLD_OVERFLOW: a grant beyond 64 bits') FROM economy.purchase(:u, 'pgtap_rich', 'r8', 1000000) p;
SELECT is(pg_temp.brief(p), 'refused GOLD_OVERFLOW', 'GOLD_OVERFLOW: a monetary value past 2^53-1') FROM economy.purchase(:u, 'pgtap_money', 'r9', 2) p;
SELECT is(pg_temp.brief(p), 'refused GOLD_OVERFLOW', 'GOLD_OVERFLOW: a monetary value beyond 64 bits') FROM economy.purchase(:u, 'pgtap_money', 'r9', 1000000) p;
SELECT is(pg_temp.account(:u), :'account', 'no refusal has touched the account');
SELECT economy.set_user_status(:u, 'suspended', 'pgtap') AS x \gset
SELECT pg_temp.account(:u) AS account \gset
SELECT is(pg_temp.brief(p), 'refused USER_SUSPENDED', 'USER_SUSPENDED') FROM economy.purchase(:u, 'pgtap_plain', 'r10') p;
SELECT is(pg_temp.brief(p), 'refused USER_SUSPENDED', 'USER_SUSPENDED, whatever is asked for') FROM economy.purchase(:u, 'pgtap_nothing', 'r10') p;
SELECT is(pg_temp.brief(p), 'refused USER_SUSPENDED {"dry_run": true}', 'USER_SUSPENDED in a dry run') FROM economy.purchase(:u, 'pgtap_plain', 'r10', dry_run => true) p;
SELECT is(pg_temp.account(:u), :'account', 'nor has this one');
SELECT economy.set_user_status(:u, 'active', 'pgtap') AS x \gset
SELECT is_empty(format($$SELECT FROM economy.shop_transactions t WHERE t.user_id = %s AND t.idempotency_key ~ '^r'$$, :u), 'nor left an entry');
SELECT is(pg_temp.brief(p), 'new OK {"apply": true}', 'the key of a refused attempt buys: after a suspension') FROM economy.purchase(:u, 'pgtap_plain', 'r10') p;
SELECT is(pg_temp.brief(p), 'new OK {"apply": true}', 'after a changed price') FROM economy.purchase(:u, 'pgtap_plain', 'r4', 1, '{"expected_price": 3}') p;
SELECT is(pg_temp.brief(p), 'new OK {"apply": true}', 'after too many') FROM economy.purchase(:u, 'pgtap_once', 'r5') p;
SET LOCAL economy.test_clock = '2031-05-01 00:00:00+00';
SELECT is(pg_temp.brief(p), 'new OK {"apply": true}', 'after the wrong time, at the first moment of the sale') FROM economy.purchase(:u, 'pgtap_sale', 'r2') p;
SET LOCAL economy.test_clock = '2031-05-31 23:59:59.999999+00';
SELECT is(pg_temp.brief(p), 'new OK {"apply": true}', 'and at its last') FROM economy.purchase(:u, 'pgtap_sale', 'r3') p;
SELECT is((SELECT created_at FROM economy.shop_transactions t WHERE t.user_id = :u AND idempotency_key = 'r3'),
    '2031-05-31 23:59:59.999999+00'::timestamptz, 'an entry bears the time that the rules used');
SET LOCAL economy.test_clock = '';

-- expected_price that fits
SELECT is(pg_temp.brief(p), 'new OK {"apply": true}', 'expected_price ' || price || ' is the price')
FROM (VALUES ('3'), ('3.000'), ('3e0'), ('null')) v (price),
     economy.purchase(:u, 'pgtap_plain', 'e' || price, 1, format('{"expected_price": %s}', price)::jsonb) p;
SELECT is(pg_temp.brief(p), want, 'expected_price of a conversion in outside points: ' || price)
FROM (VALUES (1, '7', 'new OK {"charge_outside": true}'), (2, '8', 'refused PRICE_CHANGED {"source_points": 7}'), (3, '0', 'refused PRICE_CHANGED {"source_points": 7}'),
             (4, '"7"', 'new OK {"charge_outside": true}'), (5, '"6"', 'refused PRICE_CHANGED {"source_points": 7}')) v (n, price, want),
     economy.purchase(:u, 'pgtap_conv', 'v' || n, 1, format('{"expected_price": %s}', price)::jsonb) p;
SELECT throws_ok(format('SELECT economy.purchase(%s, ''pgtap_plain'', ''w'', 1, ''{"expected_price": %s}'')', :u, price), 'XE002', 'context.expected_price must be a number', 'no price: ' || price)
FROM (VALUES ('""'), ('"seven"'), ('"-7"'), ('"7.0"'), ('"12345678901234567"'), ('true'), ('[7]'), ('{}')) v (price);
-- it is a condition of the first call and no part of what was bought
SELECT is(pg_temp.brief(p), 'reuse OK {"apply": true}', 'a retry with expected_price ' || coalesce(price, 'none'))
FROM (VALUES (NULL), ('3'), ('99'), ('"99"')) v (price), economy.purchase(:u, 'pgtap_plain', 'e3', 1, CASE WHEN price IS NOT NULL THEN format('{"expected_price": %s}', price)::jsonb END) p;
SELECT is(pg_temp.brief(p), 'reuse OK {"apply": true}', 'nor where the first had none') FROM economy.purchase(:u, 'pgtap_plain', 'p1', 1, '{"expected_price": 4}') p;
SELECT is(pg_temp.brief(p), 'reuse OK {"apply": true}', 'beside other context') FROM economy.purchase(:u, 'pgtap_plain', 'ctx', 1, '{"a": 1, "b": [true, null], "expected_price": 4}') p;
SELECT is(pg_temp.brief(p), 'refused IDEMPOTENCY_MISMATCH {"now": {"a": 2, "expected_price": 3}, "field": "context", "first": {"expected_price": 3}}', 'which still counts')
FROM economy.purchase(:u, 'pgtap_plain', 'e3', 1, '{"a": 2, "expected_price": 3}') p;

-- limits
SELECT is(pg_temp.brief(p) || ' ' || p.user_limit_remaining, 'refused LIMIT_ONCE 0', 'a second limit_once purchase') FROM economy.purchase(:u, 'pgtap_once', 'l1') p;
SELECT is(p.code || ' ' || p.user_limit_remaining, 'OK 1', 'two of three') FROM economy.purchase(:u, 'pgtap_three', 'l2', 2) p;
SELECT is(p.code || ' ' || p.user_limit_remaining, 'USER_LIMIT 1', 'two more are too many') FROM economy.purchase(:u, 'pgtap_three', 'l3', 2) p;
SELECT is(p.code || ' ' || p.user_limit_remaining, 'OK 0', 'one more is not') FROM economy.purchase(:u, 'pgtap_three', 'l3', 1) p;
SELECT is(p.code || ' ' || p.user_limit_remaining, 'USER_LIMIT 0', 'then none') FROM economy.purchase(:u, 'pgtap_three', 'l4', 1) p;
SELECT is(p.code || ' ' || p.user_limit_remaining, 'USER_LIMIT 0', 'nor a million') FROM economy.purchase(:u, 'pgtap_three', 'l4', 1000000) p;
SELECT is(pg_temp.brief(p), 'new OK {"apply": true}', 'a monetary value of 2^53-1') FROM economy.purchase(:u, 'pgtap_money', 'm1') p;

-- stock in slots
SELECT is(economy.add_stock('pgtap_stock', 10, 'pgtap', 4), 10::bigint, 'ten units in four slots');
SELECT is((SELECT string_agg(remaining::text, ' ' ORDER BY slot) FROM economy.shop_stock WHERE product_id = 'pgtap_stock'), '3 3 2 2', 'spread evenly');
SELECT is(p.code || ' ' || p.stock_remaining, 'SOLD_OUT 10', 'eleven are not there') FROM economy.purchase(:u, 'pgtap_stock', 's1', 11) p;
SELECT is(p.code || ' ' || p.stock_remaining, 'OK 1', 'nine are gathered from several slots') FROM economy.purchase(:u, 'pgtap_stock', 's1', 9) p;
SELECT is((SELECT sum(remaining) FROM economy.shop_stock WHERE product_id = 'pgtap_stock'), 1::numeric, 'and taken from them');
SELECT is(p.code || ' ' || p.stock_remaining, 'SOLD_OUT 1', 'two are too many') FROM economy.purchase(:u, 'pgtap_stock', 's2', 2) p;
SELECT is(p.code || ' ' || p.stock_remaining, 'OK 0', 'the last one, wherever it lies') FROM economy.purchase(:u, 'pgtap_stock', 's2', 1) p;
SELECT is(p.code || ' ' || p.stock_remaining, 'SOLD_OUT 0', 'sold out') FROM economy.purchase(:u, 'pgtap_stock', 's3') p;
SELECT is(p.state, 'reuse', 'the winner''s key still answers') FROM economy.purchase(:u, 'pgtap_stock', 's2', 1) p;
SELECT is(economy.add_stock('pgtap_stock', 5, 'pgtap', 64), 5::bigint, 'new units');
SELECT is((SELECT count(*) FROM economy.shop_stock WHERE product_id = 'pgtap_stock'), 4::bigint, 'the number of slots stays');
SELECT is(p.code || ' ' || p.stock_remaining, 'OK 0', 'exactly all of them') FROM economy.purchase(:u, 'pgtap_stock', 's4', 5) p;
SELECT is((SELECT coalesce(sum(c.units), 0) FROM economy.shop_product_changes c WHERE c.product_id = 'pgtap_stock'),
          (SELECT sum(t.quantity)::numeric FROM economy.shop_transactions t WHERE t.product_id = 'pgtap_stock'), 'all that was issued was sold');
SELECT is((SELECT bool_and(stock_slot IS NOT NULL) FROM economy.shop_transactions t WHERE t.product_id = 'pgtap_stock'), true, 'each entry names a slot');
SELECT is((SELECT array_agg(t.stock_slot ORDER BY t.seq) FROM economy.shop_transactions t WHERE t.product_id = 'pgtap_stock' AND t.idempotency_key IN ('s1', 's4')), '{0,0}', 'of several the first');
SELECT product_id AS x FROM economy.upsert_product('{"product_id": "pgtap_slots", "category": "item", "price_gold": 0, "active": true}', 'pgtap') \gset
SELECT is(economy.add_stock('pgtap_slots', 64, 'pgtap', 64), 64::bigint, 'as many slots as there can be');
SELECT is(p.code || ' ' || p.stock_remaining, 'OK 0', 'are sold to the last') FROM economy.purchase(:u, 'pgtap_slots', 'slots', 64) p;

-- gold at its limit
SELECT is(p.code || ' ' || p.gold, 'OK 9007199254740991', 'gold can be 2^53-1')
FROM economy.accounts a, economy.adjust_gold(:u, 9007199254740991 - a.gold, 'top', 'pgtap', 'pgtap') p WHERE a.user_id = :u;
SELECT is(p.code, 'GOLD_OVERFLOW', 'and no more by conversion') FROM economy.purchase(:u, 'pgtap_conv', 'o1') p;
SELECT is(p.code, 'GOLD_OVERFLOW', 'nor by adjustment') FROM economy.adjust_gold(:u, 1, 'o2', 'pgtap', 'pgtap') p;
SELECT is(p.code || ' ' || p.gold, 'OK 0', 'the dearest item takes it all') FROM economy.purchase(:u, 'pgtap_dear', 'o3') p;
SELECT is(p.code || ' ' || p.gold, 'OK 9007199254740991', 'the richest conversion gives it back') FROM economy.purchase(:u, 'pgtap_rich', 'o4') p;

SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s)', :u), 'the chain is clean');
SELECT * FROM finish();
ROLLBACK;
