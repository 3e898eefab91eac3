-- economy.purchases(): order of the answers, bad elements, repeats inside a batch, both inputs.
-- That it does what single purchases do is purchases_model.sql.
BEGIN;
SELECT no_plan();

SELECT economy.register('pgtap buys a') AS a \gset
SELECT economy.register('pgtap buys b') AS b \gset
SELECT economy.register('pgtap buys c') AS c \gset
SELECT count(*) AS x FROM unnest(ARRAY[:a, :b, :c]) u, economy.adjust_gold(u, 100, 'open', 'pgtap', 'pgtap') \gset
SELECT count(*) AS x FROM (VALUES
    ('{"product_id": "pgtap_item",  "category": "item", "price_gold": 10, "effect_code": "glow", "monetary": 5}'),
    ('{"product_id": "pgtap_conv",  "category": "conversion", "source_points": 7, "granted_gold": 100}'),
    ('{"product_id": "pgtap_once",  "category": "item", "price_gold": 1, "limit_once": true}'),
    ('{"product_id": "pgtap_three", "category": "item", "price_gold": 1, "per_user_limit": 3}'),
    ('{"product_id": "pgtap_stock", "category": "item", "price_gold": 1}'),
    ('{"product_id": "pgtap_code",  "category": "item", "price_gold": 0, "global_key": true}'),
    ('{"product_id": "pgtap_ice",   "category": "item", "price_gold": 0, "effect_code": "streak_freeze"}'),
    ('{"product_id": "pgtap_rich",  "category": "conversion", "granted_gold": 9007199254740991}')
) v (product), economy.upsert_product(product::jsonb, 'pgtap') \gset
SELECT economy.add_stock('pgtap_stock', 5, 'pgtap', 2) AS x \gset

-- 'a', 'b' and 'c' stand for the users; entries are told as theirs
CREATE FUNCTION pg_temp.brief(r economy.purchase_result) RETURNS text LANGUAGE sql AS $$
    SELECT replace(replace(replace(concat_ws(' ', r.state, r.code, coalesce(r.transaction_id, '-'), r.quantity || 'x', r.gold_delta, r.gold, 'stock ' || r.stock_remaining,
                                             'limit ' || r.user_limit_remaining, r.detail),
                   'P' || economy.user_id_of('pgtap buys a') || '-', 'A'), 'P' || economy.user_id_of('pgtap buys b') || '-', 'B'),
                   'P' || economy.user_id_of('pgtap buys c') || '-', 'C') $$;
CREATE FUNCTION pg_temp.named(template text) RETURNS text LANGUAGE sql AS $$
    SELECT replace(replace(replace(template, '"a"', economy.user_id_of('pgtap buys a')::text), '"b"', economy.user_id_of('pgtap buys b')::text),
                   '"c"', economy.user_id_of('pgtap buys c')::text) $$;
CREATE FUNCTION pg_temp.batch(template text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT pg_temp.brief(r) FROM economy.purchases(pg_temp.named(template)::jsonb) r $$;
CREATE FUNCTION pg_temp.state() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', a.seq, a.gold, (SELECT count(*) FROM economy.shop_transactions t WHERE t.user_id = a.user_id)), ', ' ORDER BY a.user_id)
    FROM economy.accounts a WHERE a.user_id IN (economy.user_id_of('pgtap buys a'), economy.user_id_of('pgtap buys b'), economy.user_id_of('pgtap buys c')) $$;

SELECT results_eq($$SELECT * FROM pg_temp.batch('[
    {"user_id": "c", "product_id": "pgtap_item", "idempotency_key": "1", "quantity": 2},
    {"user_id": "a", "product_id": "pgtap_item", "idempotency_key": "1", "quantity": 11},
    {"user_id": "a", "product_id": "pgtap_conv", "idempotency_key": "1", "context": {"from": "x"}},
    {"user_id": "b", "product_id": "pgtap_item", "idempotency_key": "1", "context": null},
    {"user_id": "a", "product_id": "pgtap_item", "idempotency_key": "1", "quantity": 11},
    {"user_id": "c", "product_id": "pgtap_none", "idempotency_key": "1"},
    {"user_id": -5,  "product_id": "pgtap_item", "idempotency_key": "1"}]')$$,
    ARRAY['new OK C2 2x -20 80 {"apply": true, "effect_code": "glow"}', 'refused INSUFFICIENT_GOLD - 11x 0 100 {"gold": 100, "price_gold": 10}',
          'new OK A2 1x 100 200 {"charge_outside": true}', 'new OK B2 1x -10 90 {"apply": true, "effect_code": "glow"}',
          'new OK A3 11x -110 90 {"apply": true, "effect_code": "glow"}', 'refused PRODUCT_NOT_FOUND - 1x 0 80', 'refused USER_NOT_FOUND - 1x 0'],
    'a row per element, in their order; a refused one stops nothing, and its key is free for a later one');
SELECT is(pg_temp.state(), '3 90 2, 2 90 1, 2 80 1', 'accounts and journal follow');
SELECT is((SELECT string_agg(concat_ws(' ', t.seq, t.gold, t.monetary, t.category, t.effect_code, t.context), ', ' ORDER BY t.user_id, t.seq)
           FROM economy.shop_transactions t WHERE t.user_id IN (:a, :b, :c)),
    '2 200 0 conversion {"from": "x"}, 3 90 55 item glow, 2 90 5 item glow, 2 80 10 item glow', 'the entries hold the purchases');

SELECT results_eq($$SELECT * FROM pg_temp.batch('[
    {"user_id": "b", "product_id": "pgtap_item", "idempotency_key": "x"},
    {"user_id": "b", "product_id": "pgtap_item", "idempotency_key": "x"},
    {"user_id": "b", "product_id": "pgtap_item", "idempotency_key": "x", "quantity": 2},
    {"user_id": "b", "product_id": "pgtap_item", "idempotency_key": "x", "context": {"from": "y"}},
    {"user_id": "b", "product_id": "pgtap_item", "idempotency_key": "x", "context": {"expected_price": 11}},
    {"user_id": "b", "product_id": "pgtap_item", "idempotency_key": "1"},
    {"user_id": "c", "product_id": "pgtap_item", "idempotency_key": "x"},
    {"user_id": "b", "product_id": "pgtap_conv", "idempotency_key": "x"}]')$$,
    ARRAY['new OK B3 1x -10 80 {"apply": true, "effect_code": "glow"}', 'reuse OK B3 1x -10 80 {"apply": true, "effect_code": "glow"}',
          'refused IDEMPOTENCY_MISMATCH B3 2x 0 {"now": 2, "field": "quantity", "first": 1}',
          'refused IDEMPOTENCY_MISMATCH B3 1x 0 {"now": {"from": "y"}, "field": "context", "first": null}', 'reuse OK B3 1x -10 80 {"apply": true, "effect_code": "glow"}',
          'reuse OK B2 1x -10 90 {"apply": true, "effect_code": "glow"}', 'new OK C3 1x -10 70 {"apply": true, "effect_code": "glow"}', 'new OK B4 1x 100 180 {"charge_outside": true}'],
    'a key repeated within a batch, from an earlier one, of another user and of another product');
SELECT is(pg_temp.brief(r), 'reuse OK B4 1x 100 180 {"charge_outside": true}', 'a single purchase knows the batch''s keys') FROM economy.purchase(:b, 'pgtap_conv', 'x') r;

-- what earlier ones took counts, and he who is first in the batch is served first
SELECT results_eq($$SELECT * FROM pg_temp.batch('[
    {"user_id": "c", "product_id": "pgtap_once",  "idempotency_key": "l1"},
    {"user_id": "c", "product_id": "pgtap_once",  "idempotency_key": "l2"},
    {"user_id": "c", "product_id": "pgtap_three", "idempotency_key": "l1", "quantity": 2},
    {"user_id": "c", "product_id": "pgtap_three", "idempotency_key": "l2", "quantity": 2},
    {"user_id": "c", "product_id": "pgtap_three", "idempotency_key": "l3"},
    {"user_id": "c", "product_id": "pgtap_stock", "idempotency_key": "l1", "quantity": 3},
    {"user_id": "a", "product_id": "pgtap_stock", "idempotency_key": "l1", "quantity": 3},
    {"user_id": "a", "product_id": "pgtap_stock", "idempotency_key": "l2", "quantity": 2},
    {"user_id": "b", "product_id": "pgtap_code",  "idempotency_key": "l1"},
    {"user_id": "a", "product_id": "pgtap_code",  "idempotency_key": "l1"},
    {"user_id": "a", "product_id": "pgtap_ice",   "idempotency_key": "l1", "quantity": 2},
    {"user_id": "a", "product_id": "pgtap_ice",   "idempotency_key": "l2", "quantity": 4},
    {"user_id": "a", "product_id": "pgtap_rich",  "idempotency_key": "l1"}]') t (answer)$$,
    ARRAY['new OK C4 1x -1 69 limit 0 {"apply": true}', 'refused LIMIT_ONCE - 1x 0 69 limit 0', 'new OK C5 2x -2 67 limit 1 {"apply": true}',
          'refused USER_LIMIT - 2x 0 67 limit 1', 'new OK C6 1x -1 66 limit 0 {"apply": true}', 'new OK C7 3x -3 63 stock 2 {"apply": true}',
          'refused SOLD_OUT - 3x 0 90 stock 2', 'new OK A4 2x -2 88 stock 0 {"apply": true}', 'new OK B5 1x 0 180 {"apply": true}', 'refused KEY_USED - 1x 0 88',
          'new OK A5 2x 0 88 {"apply": true, "effect_code": "streak_freeze"}', 'refused USER_LIMIT - 4x 0 88 {"held": 2, "at_most": 5}', 'refused GOLD_OVERFLOW - 1x 0 88'],
    'limits, stock, keys of all users and freezes, within one batch');
SELECT economy.set_user_status(:c, 'suspended', 'pgtap') AS x \gset
SELECT results_eq($$SELECT * FROM pg_temp.batch('[
    {"user_id": "c", "product_id": "pgtap_item", "idempotency_key": "s"},
    {"user_id": "b", "product_id": "pgtap_item", "idempotency_key": "s", "context": {"expected_price": "9"}},
    {"user_id": "b", "product_id": "pgtap_item", "idempotency_key": "s", "context": {"expected_price": "10"}},
    {"user_id": "c", "product_id": "pgtap_item", "idempotency_key": "1", "quantity": 2}]')$$,
    ARRAY['refused USER_SUSPENDED - 1x 0 63', 'refused PRICE_CHANGED - 1x 0 180 {"price_gold": 10}', 'new OK B6 1x -10 170 {"apply": true, "effect_code": "glow"}',
          'reuse OK C2 2x -20 80 {"apply": true, "effect_code": "glow"}'], 'a suspended user in a batch and his replay, and a price');
SELECT is_empty($$SELECT * FROM pg_temp.batch('[]')$$, 'an empty batch');

-- what is reserved is of the product alone, be its id the begin of another one's; each with one slot and with several
SELECT economy.adjust_gold(economy.register('pgtap buys d'), 100, 'open', 'pgtap', 'pgtap') AS x \gset
SELECT count(*) AS x FROM (VALUES ('', 3, 1), ('_2', 4, 3), ('_20', 2, 1)) v (rest, units, slots),
    economy.upsert_product(jsonb_build_object('product_id', 'pgtap_pair' || rest, 'category', 'item', 'price_gold', 1), 'pgtap') p, economy.add_stock(p.product_id, units, 'pgtap', slots) \gset
SELECT is((SELECT string_agg(concat_ws(' ', coalesce(r.rest, 'all'), r.code, r.stock_remaining), ', ' ORDER BY r.n)
           FROM ROWS FROM (unnest('{_2,"",_20,_2,"",_20,_2,""}'::text[]),
                           economy.purchases(array_fill(economy.user_id_of('pgtap buys d'), '{8}'),
                               '{pgtap_pair_2,pgtap_pair,pgtap_pair_20,pgtap_pair_2,pgtap_pair,pgtap_pair_20,pgtap_pair_2,pgtap_pair}',
                               '{1,1,1,2,2,2,3,3}', '{3,2,2,1,2,1,1,1}')) WITH ORDINALITY
               r (rest, success, state, code, transaction_id, quantity, gold_delta, gold, stock_remaining, user_limit_remaining, retry_after_ms, detail, n)),
    '_2 OK 1,  OK 1, _20 OK 0, _2 OK 0,  SOLD_OUT 1, _20 SOLD_OUT 0, _2 SOLD_OUT 0,  OK 0', 'products of which one''s id begins the other''s have each their own stock');
SELECT is_empty('SELECT * FROM economy_internal.audit_stock()', 'and it is sold once');

-- arrays
SELECT results_eq(format($$SELECT pg_temp.brief(r) FROM economy.purchases(ARRAY[%1$s, %2$s, %1$s], ARRAY['pgtap_item', 'pgtap_item', 'pgtap_conv'], ARRAY['r1', 'r1', 'r2']) r$$, :b, :a),
    ARRAY['new OK B7 1x -10 160 {"apply": true, "effect_code": "glow"}', 'new OK A6 1x -10 78 {"apply": true, "effect_code": "glow"}', 'new OK B8 1x 100 260 {"charge_outside": true}'],
    'arrays, a unit each');
SELECT results_eq(format($$SELECT pg_temp.brief(r) FROM economy.purchases(ARRAY[%1$s, %1$s], ARRAY['pgtap_item', 'pgtap_item'], ARRAY['r3', 'r4'], ARRAY[2, 1],
                              ARRAY[NULL, '{"expected_price": 9}']::jsonb[]) r$$, :b),
    ARRAY['new OK B9 2x -20 240 {"apply": true, "effect_code": "glow"}', 'refused PRICE_CHANGED - 1x 0 240 {"price_gold": 10}'], 'with quantities and contexts');
SELECT results_eq(format($$SELECT pg_temp.brief(r) FROM economy.purchases(idempotency_keys => ARRAY['r3'], user_ids => '{%s}', product_ids => '[7:7]={pgtap_item}', contexts => '{null}',
                              quantities => ARRAY[2]) r$$, :b),
    ARRAY['reuse OK B9 2x -20 240 {"apply": true, "effect_code": "glow"}'], 'whatever the bounds and the order of the arguments');
SELECT is_empty($$SELECT * FROM economy.purchases('{}', '{}', '{}')$$, 'arrays of nothing');

-- many users and repeats at once: every answer in its place, every account written once
CREATE TEMP TABLE crowd AS SELECT n AS place, economy.register('pgtap crowd ' || n) AS u FROM generate_series(0, 49) n;
SELECT count(*) AS x FROM crowd, economy.adjust_gold(u, 10000, 'open', 'pgtap', 'pgtap') \gset
CREATE TEMP TABLE sent AS SELECT n, u, 'a' || n % 1900 AS id, 1 + n % 1900 * 3 % 7 AS quantity FROM generate_series(0, 1999) n JOIN crowd c ON c.place = n % 1900 * 7 % 50;
SELECT is((SELECT count(*) FROM economy.purchases((SELECT jsonb_agg(jsonb_build_object('user_id', u, 'product_id', 'pgtap_item', 'idempotency_key', id, 'quantity', quantity) ORDER BY n) FROM sent))
           WITH ORDINALITY r JOIN sent s ON s.n = r.ordinality - 1
           WHERE r.gold_delta = -10 * s.quantity AND r.transaction_id LIKE 'P' || s.u || '-%' AND r.state = CASE WHEN s.n < 1900 THEN 'new' ELSE 'reuse' END),
    2000::bigint, 'a batch of 2000 with 100 repeats');
SELECT is((SELECT row(sum(a.seq), sum(10000 - a.gold))::text FROM economy.accounts a JOIN crowd c ON c.u = a.user_id),
    (SELECT row(50 + 1900, sum(10 * quantity))::text FROM sent WHERE n < 1900), 'is on the accounts once');
SELECT is_empty('SELECT v.* FROM crowd c, economy.verify_chain(c.u) v', 'all their chains are clean');
SELECT is((SELECT count(*) FROM crowd c JOIN economy.shop_transactions t ON t.user_id = c.u, economy.verify_receipt(c.u, 'P' || c.u || '-' || t.seq) r WHERE r.valid), 1900::bigint, 'and their receipts');
SELECT is((SELECT count(*) FILTER (WHERE r.state = 'new') FROM economy.purchases((SELECT array_agg(c.u) FROM crowd c, generate_series(1, 163)), (SELECT array_agg('pgtap_item'::text) FROM generate_series(1, 8150)),
    (SELECT array_agg('largest ' || n) FROM generate_series(1, 8150) n)) r), 8150::bigint, 'a large batch');
-- more keys of all users than a transaction may lock
SELECT is((SELECT string_agg(DISTINCT concat_ws(' ', r.state, r.code), ', ') FROM economy.purchases((SELECT array_agg(c.u) FROM crowd c, generate_series(1, 8)),
    (SELECT array_agg('pgtap_code'::text) FROM generate_series(1, 400)), (SELECT array_agg('code ' || n) FROM generate_series(1, 400) n)) r), 'new OK', 'many keys of all users');
SELECT is((SELECT string_agg(DISTINCT concat_ws(' ', r.state, r.code), ', ') FROM economy.purchases((SELECT array_agg(:b::bigint) FROM generate_series(1, 400)),
    (SELECT array_agg('pgtap_code'::text) FROM generate_series(1, 400)), (SELECT array_agg('code ' || n) FROM generate_series(1, 400) n)) r), 'refused KEY_USED', 'are used then');

-- one bad element takes all back
CREATE TEMP TABLE before AS SELECT pg_temp.state() AS state, (SELECT count(*) FROM economy.shop_transactions) AS purchases, (SELECT sum(remaining) FROM economy.shop_stock) AS stock;
CREATE FUNCTION pg_temp.with_good(template text) RETURNS text LANGUAGE sql AS $$
    SELECT replace(replace(template, 'GOOD', '{"user_id": "b", "product_id": "pgtap_item", "idempotency_key": "good"}'),
                   'BASE', '"user_id": 1, "product_id": "pgtap_item", "idempotency_key": "i"') $$;
SELECT throws_ok(format('SELECT * FROM pg_temp.batch(%L)', pg_temp.with_good(batch)), code, message, left(batch, 80))
FROM (VALUES
    ('{}',                                     'XE002', 'purchases must be a JSON array of objects'),
    ('{BASE}',                                 'XE002', 'purchases must be a JSON array of objects'),
    ('null',                                   'XE002', 'purchases must be a JSON array of objects'),
    ('"text"',                                 'XE002', 'purchases must be a JSON array of objects'),
    ('17',                                     'XE002', 'purchases must be a JSON array of objects'),
    ('[' || repeat('{},', 8190) || '{}]',      'XE002', 'purchases must be at most 8190 objects'),
    ('[1]',                                    'XE002', 'purchase 1 is not a JSON object'),
    ('[[]]',                                   'XE002', 'purchase 1 is not a JSON object'),
    ('[null]',                                 'XE002', 'purchase 1 is not a JSON object'),
    ('[GOOD, "x"]',                            'XE002', 'purchase 2 is not a JSON object'),
    ('[GOOD, {}]',                             'XE002', 'purchase 2: user_id must be a number'),
    ('[GOOD, GOOD, {"product_id": "p", "idempotency_key": "i"}]', 'XE002', 'purchase 3: user_id must be a number'),
    ('[GOOD, {"user_id": "seven", "product_id": "p", "idempotency_key": "i"}]', 'XE002', 'purchase 2: user_id must be a whole number'),
    ('[GOOD, {"user_id": null, "product_id": "p", "idempotency_key": "i"}]', 'XE002', 'purchase 2: user_id must be a number'),
    ('[GOOD, {"user_id": 1.5, "product_id": "p", "idempotency_key": "i"}]', 'XE002', 'purchase 2: user_id must be a whole number'),
    ('[GOOD, {"user_id": 1e30, "product_id": "p", "idempotency_key": "i"}]', 'XE002', 'purchase 2: user_id must be a number that fits bigint'),
    ('[GOOD, {"user_id": 1, "idempotency_key": "i"}]', 'XE002', 'purchase 2: product_id must be a text'),
    ('[GOOD, {"user_id": 1, "product_id": null, "idempotency_key": "i"}]', 'XE002', 'purchase 2: product_id must be a text'),
    ('[GOOD, {"user_id": 1, "product_id": "", "idempotency_key": "i"}]', 'XE003', 'purchase 2: product_id must have 1 to 64 bytes'),
    ('[GOOD, {"user_id": 1, "product_id": "' || repeat('p', 65) || '", "idempotency_key": "i"}]', 'XE003', 'purchase 2: product_id must have 1 to 64 bytes'),
    ('[GOOD, {"user_id": 1, "product_id": "p"}]', 'XE002', 'purchase 2: idempotency_key must be a text'),
    ('[GOOD, {"user_id": 1, "product_id": "p", "idempotency_key": 5}]', 'XE002', 'purchase 2: idempotency_key must be a text'),
    ('[GOOD, {"user_id": 1, "product_id": "p", "idempotency_key": ""}]', 'XE003', 'purchase 2: idempotency_key must have 1 to 255 bytes'),
    ('[GOOD, {"user_id": 1, "product_id": "p", "idempotency_key": "' || repeat('i', 256) || '"}]', 'XE003', 'purchase 2: idempotency_key must have 1 to 255 bytes'),
    ('[GOOD, {BASE, "quantity": null}]',       'XE002', 'purchase 2: quantity must be a number'),
    ('[GOOD, {BASE, "quantity": "2.0"}]',      'XE002', 'purchase 2: quantity must be a whole number'),
    ('[GOOD, {BASE, "quantity": 0.5}]',        'XE002', 'purchase 2: quantity must be a whole number'),
    ('[GOOD, {BASE, "quantity": 0}]',          'XE002', 'purchase 2: quantity must be from 1 to 1000000'),
    ('[GOOD, {BASE, "quantity": -1}]',         'XE002', 'purchase 2: quantity must be from 1 to 1000000'),
    ('[GOOD, {BASE, "quantity": 1000001}]',    'XE002', 'purchase 2: quantity must be from 1 to 1000000'),
    ('[GOOD, {BASE, "quantity": 4294967297}]', 'XE002', 'purchase 2: quantity must be from 1 to 1000000'),
    ('[GOOD, {BASE, "quantity": 9223372036854775808}]', 'XE002', 'purchase 2: quantity must be a number that fits bigint'),
    ('[GOOD, {BASE, "context": []}]',          'XE002', 'purchase 2: context must be a JSON object'),
    ('[GOOD, {BASE, "context": "x"}]',         'XE002', 'purchase 2: context must be a JSON object'),
    ('[GOOD, {BASE, "context": {"t": "' || repeat('x', 4088) || '"}}]', 'XE003', 'purchase 2: context has more than 4096 bytes as text'),
    ('[GOOD, {BASE, "context": {"expected_price": "ten"}}]', 'XE002', 'purchase 2: context.expected_price must be a number'),
    ('[GOOD, {BASE, "context": {"expected_price": [10]}}]', 'XE002', 'purchase 2: context.expected_price must be a number'),
    ('[GOOD, {BASE, "dry_run": true}]',        'XE002', 'purchase 2 has an unknown key'),
    ('[{BASE, "Quantity": 1}, GOOD]',          'XE002', 'purchase 1 has an unknown key')
) v (batch, code, message);
SELECT throws_ok(format('SELECT economy.purchases(%s)', arguments), code, message, left(arguments, 80))
FROM (VALUES
    ('NULL',                                             'XE001', 'purchases must not be null'),
    ($$NULL, '{p}', '{k}'$$,                             'XE001', 'user_ids must not be null'),
    ($$'{1}', NULL, '{k}'$$,                             'XE001', 'product_ids must not be null'),
    ($$'{1}', '{p}', NULL$$,                             'XE001', 'idempotency_keys must not be null'),
    ($$'{1,NULL}', '{p,p}', '{k,k}'$$,                   'XE001', 'purchase 2: user_id must not be null'),
    ($$'{1,1}', '{p,NULL}', '{k,k}'$$,                   'XE001', 'purchase 2: product_id must not be null'),
    ($$'{1,1}', '{p,p}', '{k,NULL}'$$,                   'XE001', 'purchase 2: idempotency_key must not be null'),
    ($$'{1,1}', '{p,p}', '{k,k}', '{1,NULL}'$$,          'XE001', 'purchase 2: quantity must not be null'),
    ($$'{1,1}', '{p}', '{k,k}'$$,                        'XE002', 'product_ids has 1 elements where user_ids has 2'),
    ($$'{1,1}', '{p,p}', '{k,k,k}'$$,                    'XE002', 'idempotency_keys has 3 elements where user_ids has 2'),
    ($$'{1}', '{p}', '{k}', '{}'$$,                      'XE002', 'quantities has 0 elements where user_ids has 1'),
    ($$'{1}', '{p}', '{k}', '{1}', '{null,null}'$$,      'XE002', 'contexts has 2 elements where user_ids has 1'),
    ($$'{{1,1}}', '{p,p}', '{k,k}'$$,                    'XE002', 'user_ids must be at most 8190 elements in one dimension'),
    ($$'{1,1}', '{{p},{p}}', '{k,k}'$$,                  'XE002', 'product_ids must be at most 8190 elements in one dimension'),
    ($$array_fill(1::bigint, ARRAY[8191]), array_fill('p'::text, ARRAY[8191]), array_fill('k'::text, ARRAY[8191])$$, 'XE002', 'user_ids must be at most 8190 elements in one dimension'),
    ($$'{1,1}', '{p,""}', '{k,k}'$$,                     'XE003', 'purchase 2: product_id must have 1 to 64 bytes'),
    ($$'{1,1}', ARRAY['p', repeat('p', 65)], '{k,k}'$$,  'XE003', 'purchase 2: product_id must have 1 to 64 bytes'),
    ($$'{1,1}', '{p,p}', ARRAY['k', repeat('k', 256)]$$, 'XE003', 'purchase 2: idempotency_key must have 1 to 255 bytes'),
    ($$'{1,1}', '{p,p}', '{k,k}', '{1,0}'$$,             'XE002', 'purchase 2: quantity must be from 1 to 1000000'),
    ($$'{1,1}', '{p,p}', '{k,k}', '{1,1000001}'$$,       'XE002', 'purchase 2: quantity must be from 1 to 1000000'),
    ($$'{1,1}', '{p,p}', '{k,k}', NULL, ARRAY['{}', '[]']::jsonb[]$$, 'XE002', 'purchase 2: context must be a JSON object'),
    ($$'{1,1}', '{p,p}', '{k,k}', NULL, ARRAY['{}', 'null']::jsonb[]$$, 'XE002', 'purchase 2: context must be a JSON object'),
    ($$'{1,1}', '{p,p}', '{k,k}', NULL, ARRAY['{}', jsonb_build_object('t', repeat('x', 4089))]$$, 'XE003', 'purchase 2: context has more than 4096 bytes as text'),
    ($$'{1,1}', '{p,p}', '{k,k}', NULL, ARRAY['{}', '{"expected_price": true}']::jsonb[]$$, 'XE002', 'purchase 2: context.expected_price must be a number')
) v (arguments, code, message);
SELECT is(pg_temp.state(), b.state, 'none of them moved an account') FROM before b;
SELECT is((SELECT count(*) FROM economy.shop_transactions), b.purchases, 'or wrote a purchase') FROM before b;
SELECT is((SELECT sum(remaining) FROM economy.shop_stock), b.stock, 'or took a unit') FROM before b;

-- just what is allowed, and back to a savepoint
SELECT is(pg_temp.brief(r), 'new OK B10 1000000x 0 240 {"apply": true}', 'texts and a quantity of just the size allowed') FROM
    economy.upsert_product(jsonb_build_object('product_id', repeat('p', 64), 'category', 'item', 'price_gold', 0), 'pgtap') p,
    economy.purchases(jsonb_build_array(jsonb_build_object('user_id', :'b', 'product_id', p.product_id, 'idempotency_key', repeat('k', 255), 'quantity', '1000000',
                                                           'context', jsonb_build_object('t', repeat('x', 4086))))) r;
SAVEPOINT before;
SELECT results_eq($$SELECT split_part(b, ' -', 1) FROM pg_temp.batch('[{"user_id": "a", "product_id": "pgtap_item", "idempotency_key": "sp"}, {"user_id": "b", "product_id": "pgtap_item", "idempotency_key": "sp"}]') b$$,
    ARRAY['new OK A7 1x', 'new OK B11 1x'], 'a batch in a savepoint');
ROLLBACK TO before;
SELECT results_eq($$SELECT split_part(b, ' -', 1) FROM pg_temp.batch('[{"user_id": "b", "product_id": "pgtap_item", "idempotency_key": "sp"}, {"user_id": "a", "product_id": "pgtap_item", "idempotency_key": "sp"}]') b$$,
    ARRAY['new OK B11 1x', 'new OK A7 1x'], 'is new again after its rollback');
SELECT is((SELECT count(*) FROM economy.replay(:a, 0, 1000) r WHERE r.event ->> 'type' = 'purchase_update'), (SELECT count(*) FROM economy.shop_transactions WHERE user_id = :a), 'each purchase is an event');
SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s)', id), 'the chain of ' || name) FROM (VALUES (:a, 'a'), (:b, 'b'), (:c, 'c')) v (id, name);
SELECT is_empty('SELECT * FROM economy_internal.audit_stock() UNION ALL SELECT * FROM economy_internal.audit_shop()', 'stock, units and keys are what the entries say');
SELECT * FROM finish();
ROLLBACK;
