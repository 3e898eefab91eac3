-- The catalogue: products made, changed, retired, stocked; each change recorded.
BEGIN;
SELECT no_plan();

SET LOCAL economy.test_clock = '2031-01-02 03:04:05+00';
SELECT results_eq(
    $$SELECT p::text FROM economy.upsert_product('{"product_id": "pgtap_p", "category": "item", "price_gold": 0}', 'ann') p$$,
    ARRAY['(pgtap_p,item,0,0,0,0,f,,ever,f,f,,,t,0,,{},{},0,{},,,,,)'], 'a product needs an id, a category and a price; the rest has defaults');
SELECT results_eq(
    $$SELECT p::text FROM economy.upsert_product('{"product_id": "pgtap_p", "price_gold": 7, "monetary": 9, "per_user_limit": 4, "limit_period": "week",
        "starts_at": "2031-01-01T00:00:00Z", "ends_at": "2031-01-03T00:00:00Z", "effect_code": "glow", "extra": {"a": 1}, "tags": ["t", "u"], "position": -3, "texts": {"en": {"name": "P"}}}', 'bob') p$$,
    $$SELECT row('pgtap_p','item',7,0,0,9,false,4,'week',true,false,'2031-01-01 00:00+00'::timestamptz,'2031-01-03 00:00+00'::timestamptz,true,0,'glow','{"a": 1}','{t,u}','-3','{"en": {"name": "P"}}',NULL,NULL,NULL,NULL,NULL)::text$$,
    'every column can be given');
SELECT results_eq(
    $$SELECT p::text FROM economy.upsert_product('{"product_id": "pgtap_p", "price_gold": 8}', 'bob') p$$,
    $$SELECT row('pgtap_p','item',8,0,0,9,false,4,'week',true,false,'2031-01-01 00:00+00'::timestamptz,'2031-01-03 00:00+00'::timestamptz,true,0,'glow','{"a": 1}','{t,u}','-3','{"en": {"name": "P"}}',NULL,NULL,NULL,NULL,NULL)::text$$,
    'a change of one column keeps the others');
SELECT results_eq(
    $$SELECT p::text FROM economy.upsert_product('{"product_id": "pgtap_p", "per_user_limit": null, "limit_period": null, "ends_at": null, "effect_code": null}', 'bob') p$$,
    $$SELECT row('pgtap_p','item',8,0,0,9,false,NULL::int,'ever',true,false,'2031-01-01 00:00+00'::timestamptz,NULL::timestamptz,true,0,NULL::text,'{"a": 1}','{t,u}','-3','{"en": {"name": "P"}}',NULL,NULL,NULL,NULL,NULL)::text$$,
    'null clears a column');
SELECT results_eq(
    $$SELECT row(c.action, c.actor, c.before ->> 'price_gold', c.after ->> 'price_gold', c.units, c.changed_at)::text
      FROM economy.shop_product_changes c WHERE c.product_id = 'pgtap_p' ORDER BY change_id$$,
    $$SELECT row(action, actor, b, a, NULL::bigint, '2031-01-02 03:04:05+00'::timestamptz)::text
      FROM (VALUES ('create', 'ann', NULL::text, '0'), ('change', 'bob', '0', '7'), ('change', 'bob', '7', '8'), ('change', 'bob', '8', '8'))
           v (action, actor, b, a)$$,
    'each change is recorded with actor, before, after and time');
SELECT is((SELECT c.after FROM economy.shop_product_changes c WHERE c.product_id = 'pgtap_p' ORDER BY change_id DESC LIMIT 1),
          (SELECT to_jsonb(p) || jsonb_build_object('starts_at', to_char(p.starts_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS+00:00')) FROM economy.shop_products p WHERE p.product_id = 'pgtap_p'), 'after is the whole row');
SELECT is((SELECT c.before FROM economy.shop_product_changes c WHERE c.product_id = 'pgtap_p' ORDER BY change_id DESC LIMIT 1),
          (SELECT c.after FROM economy.shop_product_changes c WHERE c.product_id = 'pgtap_p' ORDER BY change_id DESC LIMIT 1 OFFSET 1),
          'before is the row as the last change left it');

-- what is not a product
SELECT throws_ok(format('SELECT economy.upsert_product(%L, %L)', product, 'ann'), 'XE301', NULL, 'not a product: ' || left(product, 70))
FROM (VALUES
    ('{}'), ('[]'), ('1'), ('null'), ('{"product_id": null}'), ('{"product_id": ""}'), ('{"product_id": "pgtap_new"}'),
    ('{"product_id": "pgtap_new", "category": "lootbox"}'), ('{"product_id": "pgtap_new", "category": null}'),
    ('{"product_id": "pgtap_new", "category": "item", "colour": "red"}'), ('{"product_id": "pgtap_p", "stock_slots": 4}'),
    ('{"product_id": "pgtap_new", "category": "item", "Price_Gold": 1}'),
    ('{"product_id": "pgtap_p", "price_gold": -1}'), ('{"product_id": "pgtap_p", "price_gold": 9007199254740992}'),
    ('{"product_id": "pgtap_p", "price_gold": 9223372036854775808}'), ('{"product_id": "pgtap_p", "price_gold": "seven"}'),
    ('{"product_id": "pgtap_p", "price_gold": 1.5}'), ('{"product_id": "pgtap_p", "price_gold": null}'),
    ('{"product_id": "pgtap_p", "price_gold": {"gold": 1}}'), ('{"product_id": "pgtap_p", "price_gold": true}'),
    ('{"product_id": "pgtap_p", "granted_gold": 1}'), ('{"product_id": "pgtap_p", "source_points": -1}'),
    ('{"product_id": "pgtap_p", "monetary": -1}'), ('{"product_id": "pgtap_p", "monetary": 9007199254740992}'),
    ('{"product_id": "pgtap_p", "limit_once": "maybe"}'), ('{"product_id": "pgtap_p", "limit_once": null}'),
    ('{"product_id": "pgtap_p", "active": null}'), ('{"product_id": "pgtap_p", "active": 2}'),
    ('{"product_id": "pgtap_p", "per_user_limit": 0}'), ('{"product_id": "pgtap_p", "per_user_limit": -1}'),
    ('{"product_id": "pgtap_p", "per_user_limit": 2147483648}'),
    ('{"product_id": "pgtap_p", "limit_once": true, "per_user_limit": 1}'), ('{"product_id": "pgtap_p", "limit_period": "day"}'),
    ('{"product_id": "pgtap_p", "per_user_limit": 1, "limit_period": "year"}'), ('{"product_id": "pgtap_p", "counted": false}'),
    ('{"product_id": "pgtap_p", "global_key": true}'), ('{"product_id": "pgtap_p", "global_key": null}'),
    ('{"product_id": "pgtap_new", "category": "item"}'), ('{"product_id": "pgtap_new", "category": "item", "price_gold": null}'),
    ('{"product_id": "pgtap_new", "category": "conversion"}'), ('{"product_id": "pgtap_new", "category": "conversion", "price_gold": 0}'),
    ('{"product_id": "pgtap_p", "category": "conversion", "price_gold": 0}'),
    ('{"product_id": "pgtap_p", "starts_at": "tomorrowish"}'), ('{"product_id": "pgtap_p", "starts_at": "now"}'), ('{"product_id": "pgtap_p", "starts_at": "tomorrow"}'),
    ('{"product_id": "pgtap_p", "starts_at": "2031-01-01"}'), ('{"product_id": "pgtap_p", "starts_at": "2031-01-01T00:00:00"}'),
    ('{"product_id": "pgtap_p", "starts_at": "01/02/2031 00:00:00Z"}'), ('{"product_id": "pgtap_p", "starts_at": "2031-01-01T00:00:00 Europe/Berlin"}'),
    ('{"product_id": "pgtap_p", "starts_at": "2031-02-30T00:00:00Z"}'), ('{"product_id": "pgtap_p", "starts_at": "infinity"}'),
    ('{"product_id": "pgtap_p", "starts_at": 1}'), ('{"product_id": "pgtap_p", "ends_at": "epoch"}'), ('{"product_id": "pgtap_p", "ends_at": "2030-12-31T00:00:00Z"}'),
    ('{"product_id": "pgtap_p", "ends_at": "2031-01-01T00:00:00Z"}'),
    ('{"product_id": "pgtap_p", "effect_code": ""}'), (format('{"product_id": "pgtap_p", "effect_code": "%s"}', repeat('e', 65))),
    ('{"product_id": "pgtap_p", "extra": []}'), ('{"product_id": "pgtap_p", "extra": null}'), ('{"product_id": "pgtap_p", "extra": 1}'),
    (format('{"product_id": "%s", "category": "item", "price_gold": 1}', repeat('p', 65))),
    (format('{"product_id": "%s", "category": "item", "price_gold": 1}', repeat(E'\u00e9', 32) || 'p')),
    ('{"product_id": "pgtap_new", "category": "conversion", "price_gold": 1}')
) v (product);
SELECT is((SELECT count(*) FROM economy.shop_product_changes c WHERE c.product_id LIKE 'pgtap%'), 4::bigint, 'none of that was recorded');
SELECT is((SELECT p::text FROM economy.shop_products p WHERE p.product_id = 'pgtap_p'),
          (SELECT row('pgtap_p','item',8,0,0,9,false,NULL::int,'ever',true,false,'2031-01-01 00:00+00'::timestamptz,NULL::timestamptz,true,0,NULL::text,'{"a": 1}','{t,u}','-3','{"en": {"name": "P"}}',NULL,NULL,NULL,NULL,NULL)::text),
          'nor done');

-- every column that a change names is stored as it is answered
SELECT economy.upsert_product(product, 'ann') FROM (VALUES
    ('{"product_id": "pgtap_new c", "category": "conversion", "granted_gold": 0}'::jsonb), ('{"product_id": "pgtap_new i", "category": "item", "price_gold": 0}')) v (product) \g /dev/null
CREATE TEMP TABLE answered AS
SELECT p.* FROM (VALUES
    ('{"product_id": "pgtap_new c", "source_points": 3, "granted_gold": 4, "monetary": 5, "limit_once": true, "active": false, "effect_code": "glow", "extra": {"a": 1}}'),
    ('{"product_id": "pgtap_new i", "price_gold": 2, "per_user_limit": 6, "limit_period": "day", "starts_at": "2031-01-01T00:00:00Z", "ends_at": "2031-01-03T00:00:00Z"}')) v (product),
    economy.upsert_product(product::jsonb, 'ann') p;
SELECT results_eq($$SELECT p.* FROM economy.shop_products p WHERE p.product_id IN ('pgtap_new c', 'pgtap_new i') ORDER BY product_id$$, 'SELECT * FROM answered ORDER BY product_id', 'what is answered is stored');
SELECT results_eq('SELECT a::text FROM answered a ORDER BY product_id',
    $$VALUES (row('pgtap_new c','conversion',0,3,4,5,true,NULL::int,'ever',false,false,NULL::timestamptz,NULL::timestamptz,false,0,'glow','{"a": 1}','{}',0,'{}',NULL,NULL,NULL,NULL,NULL)::text),
             (row('pgtap_new i','item',2,0,0,0,false,6,'day',true,false,'2031-01-01 00:00+00'::timestamptz,'2031-01-03 00:00+00'::timestamptz,true,0,NULL::text,'{}','{}',0,'{}',NULL,NULL,NULL,NULL,NULL)::text)$$,
    'in each column');

-- stock
SELECT is(economy.add_stock('pgtap_p', 0, 'ann', 3), 0::bigint, 'a stock of nothing makes a product limited');
SELECT is(p.code, 'SOLD_OUT', 'and sold out') FROM economy.purchase(economy.register('pgtap stocked'), 'pgtap_p', 'k', dry_run => true) p
WHERE EXISTS (SELECT FROM economy.adjust_gold(economy.register('pgtap stocked'), 100, 'k', 'r', 'a'));
SELECT is(economy.add_stock('pgtap_p', 10, 'ann'), 10::bigint, 'ten units');
SELECT is((SELECT string_agg(remaining::text, ' ' ORDER BY slot) FROM economy.shop_stock WHERE product_id = 'pgtap_p'), '4 3 3', 'in the slots of the first call');
SELECT is(economy.add_stock('pgtap_p', -3, 'bob'), 7::bigint, 'three taken away');
SELECT is(economy.add_stock('pgtap_p', -7, 'bob'), 0::bigint, 'the rest taken away');
SELECT is(economy.add_stock('pgtap_p', 9007199254740991, 'bob'), 9007199254740991::bigint, 'a stock of 2^53-1');
SELECT is((SELECT sum(remaining) FROM economy.shop_stock WHERE product_id = 'pgtap_p'), 9007199254740991::numeric, 'is all there');
SELECT results_eq($$SELECT units FROM economy.shop_product_changes c WHERE c.product_id = 'pgtap_p' AND action = 'stock' ORDER BY change_id$$,
    ARRAY[0, 10, -3, -7, 9007199254740991]::bigint[], 'each delivery is recorded');
SELECT is((SELECT p.stock_slots FROM economy.upsert_product('{"product_id": "pgtap_p", "price_gold": 1}', 'ann') p), 3::smallint, 'a change keeps the stock');

SELECT throws_ok($$SELECT economy.add_stock('pgtap_p', 1, 'bob')$$, 'XE303', 'stock of "pgtap_p" cannot change by 1', 'and no more');
SELECT throws_ok(format('SELECT economy.add_stock(''pgtap_p'', %s, ''bob'')', units), 'XE303', 'units must be a number up to 2^53-1', 'units ' || units)
FROM (VALUES ('9007199254740992'), ('-9007199254740992')) v (units);
SELECT throws_ok($$SELECT economy.add_stock('pgtap_p', -9007199254740992 + 1, 'bob'), economy.add_stock('pgtap_p', -1, 'bob')$$, 'XE303', 'stock of "pgtap_p" cannot change by -1', 'all of it can be taken away');
-- a stock of one slot is one, and units of several slots are noted for the first of them
SELECT economy.register('pgtap slots') AS slots \gset
SELECT p.product_id AS x, economy.add_stock(p.product_id, 3, 'ann', n) AS y FROM (VALUES (1), (3)) v (n), economy.upsert_product(jsonb_build_object('product_id', 'pgtap_slots ' || n, 'category', 'item', 'price_gold', 0), 'ann') p \g /dev/null
SELECT is((SELECT concat_ws(' ', p.code, p.stock_remaining) FROM economy.purchase(:slots, 'pgtap_slots ' || n, 'k' || q, q) p), says, format('%s units of 3 in %s slots', q, n))
FROM (VALUES (1, 4, 'SOLD_OUT 3'), (1, 3, 'OK 0'), (3, 4, 'SOLD_OUT 3'), (3, 2, 'OK 1')) v (n, q, says) ORDER BY n, q DESC;
SELECT is((SELECT string_agg(t.stock_slot::text, ' ' ORDER BY t.seq) FROM economy.shop_transactions t WHERE t.user_id = :slots), '0 0', 'from the first slot on');
SELECT is(economy.remove_stock('pgtap_slots ' || n, 'ann') || ' ' || (SELECT p.code FROM economy.purchase(:slots, 'pgtap_slots ' || n, 'k', 9) p), says, format('without its %s slots', n))
FROM (VALUES (1, '0 OK'), (3, '1 OK')) v (n, says);
SELECT is((SELECT p.starts_at::text FROM economy.upsert_product('{"product_id": "pgtap_slots 1", "starts_at": "12031-01-02T03:04:05.123456Z"}', 'ann') p), (timestamptz '12031-01-02 03:04:05.123456+00')::text, 'a sale in ten thousand years');
SELECT throws_ok($$SELECT economy.upsert_product('{"product_id": "pgtap_slots 1", "starts_at": "2031-01-02T03:04:05.1234567Z"}', 'ann')$$, 'XE301', NULL, 'but no moment between two microseconds');

-- retirement
SELECT is((SELECT p.active FROM economy.retire_product('pgtap_p', 'carl') p), false, 'a retired product is not active');
SELECT is((SELECT row(c.action, c.actor, c.before ->> 'active', c.after ->> 'active')::text FROM economy.shop_product_changes c
           WHERE c.product_id = 'pgtap_p' ORDER BY change_id DESC LIMIT 1), '(retire,carl,true,false)', 'which is recorded');
SELECT is(p.detail ->> 'reason', 'inactive', 'and not sold') FROM economy.purchase(economy.register('pgtap stocked'), 'pgtap_p', 'k') p;
SELECT is((SELECT p.active FROM economy.upsert_product('{"product_id": "pgtap_p", "active": true}', 'carl') p), true, 'it can come back');

SELECT * FROM finish();
ROLLBACK;
