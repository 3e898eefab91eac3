-- products(), product(), purchases_of(), profile(): the screens of a shop and of its user.
BEGIN;
SELECT plan(62);

SELECT economy.register('pgtap page', 'Asia/Tokyo', '{"name": "Ann"}') AS u \gset
SELECT economy.register('pgtap poor') AS poor \gset
SELECT success AS x FROM economy.adjust_gold(:u, 1000, 'open', 'pgtap', 'pgtap') \gset
SET LOCAL economy.test_clock = '2026-03-11 15:30:00+00';
SELECT count(*) AS x FROM (VALUES
    ('{"product_id": "pgtap_c",     "category": "item", "price_gold": 10, "effect_code": "glow", "position": 2, "tags": ["pgtap", "new"], "extra": {"icon": "c.png"}}'),
    ('{"product_id": "pgtap_b",     "category": "item", "price_gold": 5000, "position": 2, "tags": ["pgtap"]}'),
    ('{"product_id": "pgtap_bb",    "category": "item", "price_gold": 1, "position": 2, "tags": ["pgtap"]}'),
    ('{"product_id": "pgtap_a",     "category": "conversion", "source_points": 7, "granted_gold": 100, "position": 3, "tags": ["pgtap"]}'),
    ('{"product_id": "pgtap_first", "category": "item", "price_gold": 0, "position": -7, "tags": ["pgtap"], "texts": {"en": {"name": "First"}, "de": {"name": "Erstes"}}}'),
    ('{"product_id": "pgtap_once",  "category": "item", "price_gold": 1, "limit_once": true, "tags": ["pgtap"], "position": 4}'),
    ('{"product_id": "pgtap_day",   "category": "item", "price_gold": 1, "per_user_limit": 3, "limit_period": "day", "tags": ["pgtap"], "position": 5}'),
    ('{"product_id": "pgtap_month", "category": "item", "price_gold": 1, "per_user_limit": 3, "limit_period": "month", "tags": ["pgtap"], "position": 5}'),
    ('{"product_id": "pgtap_ever",  "category": "item", "price_gold": 1, "per_user_limit": 9, "tags": ["pgtap"], "position": 5}'),
    ('{"product_id": "pgtap_stock", "category": "item", "price_gold": 900, "per_user_limit": 20, "tags": ["pgtap"], "position": 6}'),
    ('{"product_id": "pgtap_gone",  "category": "item", "price_gold": 1, "tags": ["pgtap"], "position": 6}'),
    ('{"product_id": "pgtap_frost", "category": "item", "price_gold": 1, "effect_code": "streak_freeze", "tags": ["pgtap"], "position": 7}'),
    ('{"product_id": "pgtap_code",  "category": "conversion", "granted_gold": 1, "global_key": true, "tags": ["pgtap"], "position": 7}'),
    ('{"product_id": "pgtap_off",   "category": "item", "price_gold": 0, "active": false, "tags": ["pgtap"], "position": 8}'),
    ('{"product_id": "pgtap_soon",  "category": "item", "price_gold": 0, "starts_at": "2026-03-11T15:30:01Z", "tags": ["pgtap"], "position": 8}'),
    ('{"product_id": "pgtap_late",  "category": "item", "price_gold": 0, "ends_at": "2026-03-11T15:30:00Z", "tags": ["pgtap"], "position": 8}'),
    ('{"product_id": "pgtap_now",   "category": "item", "price_gold": 0, "starts_at": "2026-03-11T15:30:00Z", "ends_at": "2026-03-11T15:30:01Z", "tags": ["pgtap"], "position": 8}')
) v (product), economy.upsert_product(product::jsonb, 'pgtap') \gset
SELECT economy.add_stock('pgtap_stock', 10, 'pgtap', 4) AS x \gset
SELECT economy.add_stock('pgtap_gone', 1, 'pgtap', 4), economy.add_stock('pgtap_gone', -1, 'pgtap') \g /dev/null
SELECT count(*) AS x FROM (VALUES ('pgtap_once', 1), ('pgtap_day', 3), ('pgtap_month', 1), ('pgtap_ever', 2), ('pgtap_stock', 1), ('pgtap_first', 4)) v (product, n),
    LATERAL economy.purchase(:u, v.product, 'k', v.n, '{"from": "pgtap"}') p WHERE p.state = 'new' \gset
SELECT is(:x, 6, 'six purchases');

CREATE FUNCTION pg_temp.shown(r economy.product_offer) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', r.product_id, r.code, r.may_buy, 'stock ' || r.stock_remaining, 'limit ' || r.user_limit, r.limit_period, 'left ' || r.user_limit_remaining,
                     'renews ' || to_char(r.renews_at AT TIME ZONE 'UTC', 'MM-DD HH24:MI'), r.detail::text)
$$;
-- what the page says
CREATE TEMP TABLE page AS SELECT row_number() OVER () AS n, pg_temp.shown(p) AS says, pg_temp.shown(q) AS alone FROM economy.products(:u, tag => 'pgtap') p, LATERAL economy.product(p.product_id, :u) q;
SELECT is(concat_ws('; ', r.says, nullif(r.alone, r.says)), e.says, coalesce(e.says, 'no more'))
FROM page r FULL JOIN unnest(ARRAY[
    'pgtap_first OK t',
    'pgtap_b INSUFFICIENT_GOLD f {"gold": 93, "price_gold": 5000}',
    'pgtap_bb OK t',
    'pgtap_c OK t',
    'pgtap_a OK t',
    'pgtap_once LIMIT_ONCE f limit 1 ever left 0',
    'pgtap_day USER_LIMIT f limit 3 day left 0 renews 03-12 00:00 {"limit": 3, "period": "day", "renews_at": "2026-03-12T00:00:00+00:00"}',
    'pgtap_ever OK t limit 9 ever left 7',
    'pgtap_month OK t limit 3 month left 2 renews 04-01 00:00',
    'pgtap_gone SOLD_OUT f stock 0',
    'pgtap_stock INSUFFICIENT_GOLD f stock 9 limit 20 ever left 19 {"gold": 93, "price_gold": 900}',
    'pgtap_code OK t',
    'pgtap_frost OK t',
    'pgtap_now OK t']) WITH ORDINALITY e (says, n) USING (n) ORDER BY n;
SELECT is(array_agg(product_id ORDER BY product_id), '{pgtap_late,pgtap_off,pgtap_soon}', 'what is not on sale is shown when asked for')
FROM economy.products(:u, tag => 'pgtap', only_available => false) WHERE code = 'NOT_ON_SALE' AND NOT may_buy;
SELECT is(array_agg(detail ->> 'reason' ORDER BY product_id), '{ended,inactive,not_started}', 'and why it is not')
FROM economy.products(:u, tag => 'pgtap', only_available => false) WHERE code = 'NOT_ON_SALE';
SELECT is((SELECT count(*) FROM economy.products(:u, tag => 'pgtap', only_available => false)), 17::bigint, 'all of them');
SELECT is((SELECT array_agg(product_id) FROM economy.products(:u, category => 'conversion', tag => 'pgtap')), '{pgtap_a,pgtap_code}', 'one category');
SELECT is((SELECT array_agg(product_id) FROM economy.products(:u, tag => 'new')), '{pgtap_c}', 'one tag');
SELECT is_empty($$SELECT * FROM economy.products(tag => 'ne')$$, 'a part of a tag is none');
SELECT (economy.upsert_product(jsonb_build_object('product_id', 'pgtap_long', 'category', 'item', 'price_gold', 1, 'tags', ARRAY[repeat('t', 512)]), 'pgtap')).product_id AS x \gset
SELECT is((SELECT array_agg(product_id) FROM economy.products(tag => repeat('t', 512))), '{pgtap_long}', 'the longest tag');
SELECT throws_ok($$SELECT * FROM economy.products(tag => repeat('t', 513))$$, 'XE003', 'tag is too long', 'no longer one');
SELECT is((SELECT array_agg(product_id) FROM economy.products(:u, category => 'item', tag => 'new')), '{pgtap_c}', 'both');
SELECT ok((SELECT count(*) FROM economy.products()) >= 13, 'without any, all that is on sale');
SELECT is(row(category, price_gold, source_points, granted_gold, expected_price, effect_code, global_key, extra)::text, '(item,10,0,0,10,glow,f,"{""icon"": ""c.png""}")', 'an item')
FROM economy.product('pgtap_c');
SELECT is(row(category, price_gold, source_points, granted_gold, expected_price, effect_code, global_key, extra)::text, '(conversion,0,7,100,7,,f,{})', 'a conversion, whose price is in points')
FROM economy.product('pgtap_a');
SELECT is(row(texts #>> '{de,name}', tags, global_key)::text, '(Erstes,{pgtap},f)', 'its texts') FROM economy.product('pgtap_first');
SELECT is(global_key, true, 'a code to redeem') FROM economy.product('pgtap_code');
SELECT is(row(starts_at, ends_at)::text, row(timestamptz '2026-03-11 15:30+00', timestamptz '2026-03-11 15:30:01+00')::text, 'its time') FROM economy.product('pgtap_now');
-- what it says is what a purchase then says: the price to send back, what is left, and whether
SELECT is((SELECT string_agg(concat_ws(' ', r.product_id, p.code, p.user_limit_remaining + (p.code = 'OK')::int, p.stock_remaining + (p.code = 'OK')::int, p.detail - 'dry_run' - 'apply' - 'effect_code' - 'charge_outside'), E'\n' ORDER BY r.product_id)
           FROM economy.products(id, only_available => false) r,
                LATERAL economy.purchase(id, r.product_id, 'another', 1, jsonb_build_object('expected_price', r.expected_price), true) p),
          (SELECT string_agg(concat_ws(' ', r.product_id, r.code, CASE WHEN p.user_limit_remaining IS NOT NULL THEN r.user_limit_remaining END,
                                       CASE WHEN p.stock_remaining IS NOT NULL THEN r.stock_remaining END, coalesce(r.detail, '{}')), E'\n' ORDER BY r.product_id)
           FROM economy.products(id, only_available => false) r,
                LATERAL economy.purchase(id, r.product_id, 'another', 1, jsonb_build_object('expected_price', r.expected_price), true) p),
          'a dry run of each says the same: ' || who)
FROM (VALUES (:u, 'the buyer'), (:poor, 'the poor'), (-1, 'nobody')) v (id, who);
-- who has no account
SELECT is((SELECT string_agg(DISTINCT code, ' ') FROM economy.products(-1, tag => 'pgtap', only_available => false)), 'USER_NOT_FOUND', 'an unknown user may buy nothing');
SELECT is((SELECT string_agg(DISTINCT code, ' ' ORDER BY code) FROM economy.products(NULL, tag => 'pgtap', only_available => false)), 'NOT_ON_SALE OK SOLD_OUT', 'without one it is asked what anybody may');
SELECT is(pg_temp.shown(p), 'pgtap_stock OK t stock 9 limit 20 ever', 'with the stock, and no limit that is left') FROM economy.product('pgtap_stock') p;
SELECT is(economy.set_user_status(:poor, 'suspended', 'pgtap'), 'suspended', 'a user is suspended');
SELECT is((SELECT string_agg(DISTINCT code, ' ') FROM economy.products(:poor, tag => 'pgtap')), 'USER_SUSPENDED', 'and may buy nothing');
SELECT is(pg_temp.shown(p), 'pgtap_stock USER_SUSPENDED f stock 9 limit 20 ever left 20', 'but sees what there is') FROM economy.product('pgtap_stock', :poor) p;
-- a freeze more than may be held
SET LOCAL economy.streak_max_freezes = 0;
SELECT is(pg_temp.shown(p), 'pgtap_frost USER_LIMIT f {"held": 0, "at_most": 0}', 'freezes have a limit of their own') FROM economy.product('pgtap_frost', :u) p;
-- the day after
SET LOCAL economy.test_clock = '2026-03-12 00:00:00+00';
SELECT is(pg_temp.shown(p), 'pgtap_day OK t limit 3 day left 3 renews 03-13 00:00', 'a limit begins again') FROM economy.product('pgtap_day', :u) p;

-- tags and texts that are none
SELECT throws_ok(format('SELECT economy.upsert_product(%L, ''pgtap'')', '{"product_id": "pgtap_c"}'::jsonb || change::jsonb), 'XE301', 'product "pgtap_c" is not valid', left(change, 40))
FROM (VALUES ('{"tags": ["a", null]}'), ('{"tags": [""]}'), ('{"tags": [["a"]]}'), ('{"tags": "a"}'), ('{"tags": null}'), ('{"tags": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17]}'),
             (jsonb_build_object('tags', ARRAY[repeat('t', 513)])::text), ('{"texts": []}'), ('{"texts": {"en": "Sword"}}'), ('{"texts": {"en": [{}]}}'), ('{"position": "first"}')) v (change);

-- what was bought, from the newest on
SELECT is((SELECT array_agg(product_id) FROM economy.purchases_of(:u, max => 2)), '{pgtap_first,pgtap_stock}', 'the newest first');
SELECT is((SELECT array_agg(product_id) FROM economy.purchases_of(:u, (SELECT min(seq) FROM economy.purchases_of(:u, max => 2)), 2)), '{pgtap_ever,pgtap_month}', 'and those before');
SELECT is((SELECT count(*) FROM economy.purchases_of(:u, max => NULL)), 6::bigint, 'all of them');
SELECT is_empty(format('SELECT * FROM economy.purchases_of(%s, 0)', :u), 'before the first is nothing');
SELECT is_empty(format('SELECT * FROM economy.purchases_of(%s, max => 0)', :u), 'nor in none');
SELECT is(row(p.transaction_id, p.quantity, p.gold_delta, p.gold, p.status, p.category, p.effect_code, p.context)::text, row('P' || :u || '-' || p.seq, 1, -900, 93, 'SUCCESS', 'item', NULL::text, '{"from": "pgtap"}'::jsonb)::text, 'a line')
FROM economy.purchases_of(:u) p WHERE p.product_id = 'pgtap_stock';
SELECT is((SELECT array_agg(seq) FROM economy.purchases_of(:u)), (SELECT array_agg(seq ORDER BY seq DESC) FROM economy.shop_transactions WHERE user_id = :u), 'no other entries, and in order');

-- who it is
SET LOCAL economy.test_clock = '2026-03-11 15:30:00+00';
SELECT is(row(p.user_id, p.external_id, p.status, p.timezone, p.local_date - date '2026-03-12', p.profile)::text, row(:u, 'pgtap page', 'active', 'Asia/Tokyo', 0, '{"name": "Ann"}'::jsonb)::text, 'a profile, with the date there')
FROM economy.profile(:u) p;
SELECT is(p.status, 'suspended', 'of one who is suspended') FROM economy.profile(:poor) p;
SELECT is(p.created_at, u.created_at, 'and since when') FROM economy.profile(:u) p JOIN economy.users u USING (user_id);

SELECT * FROM finish();
ROLLBACK;
