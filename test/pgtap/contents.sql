-- Items that products and rewards give, that prices are in, and that reversals take back.
BEGIN;
SELECT no_plan();

SELECT economy.register('pgtap buyer') AS u \gset
SELECT economy.register('pgtap other buyer') AS v \gset
SELECT success AS x FROM economy.adjust_gold(:u, 1000, 'open', 'pgtap', 'pgtap') \gset
SELECT success AS x FROM economy.adjust_gold(:v, 1000, 'open', 'pgtap', 'pgtap') \gset
SET LOCAL economy.test_clock = '2031-01-02 03:04:05.5+00';
SELECT count(*) AS x FROM unnest(ARRAY['{"item_id": "pgtap_gem", "kind": "currency", "maximum": 100}', '{"item_id": "pgtap_sword", "kind": "stack", "consumable": false}',
    '{"item_id": "pgtap_vip", "kind": "pass"}', '{"item_id": "pgtap_key", "kind": "stack"}']) i, economy.upsert_item(i::jsonb, 'ann') \gset
CREATE FUNCTION pg_temp.bought(p economy.purchase_result) RETURNS text LANGUAGE sql AS
    $$ SELECT concat_ws(' ', p.state, p.code, p.transaction_id, p.gold_delta, p.gold, p.items, p.detail) $$;
CREATE FUNCTION pg_temp.given(p economy.grant_result) RETURNS text LANGUAGE sql AS
    $$ SELECT concat_ws(' ', p.state, p.code, p.transaction_id, p.gold_delta, p.xp_delta, p.gold, p.items, p.detail) $$;
CREATE FUNCTION pg_temp.buy(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    says text;
BEGIN
    EXECUTE format('SELECT pg_temp.bought(p) FROM economy.purchase(%s) p', call) INTO says;
    RETURN says;
END
$$;
CREATE FUNCTION pg_temp.grant(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    says text;
BEGIN
    EXECUTE format('SELECT pg_temp.given(p) FROM economy.%s p', call) INTO says;
    RETURN says;
END
$$;
CREATE FUNCTION pg_temp.has(id bigint) RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(concat_ws(' ', h.item_id, h.quantity, to_char(h.ends_at AT TIME ZONE 'UTC', 'MM-DD HH24:MI:SS')), ', ' ORDER BY h.item_id) FROM economy.holdings(id) h $$;
CREATE FUNCTION pg_temp.wrong() RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(concat_ws(' ', f.kind, f.expected, '|', f.actual), ', ') FROM (SELECT * FROM economy_internal.audit_holdings() UNION ALL SELECT * FROM economy_internal.audit_effects() UNION ALL SELECT * FROM economy_internal.audit_rewards()) f $$;

-- products
SELECT is(p.contents::text || p.price_items::text, '{"pgtap_gem": 5, "pgtap_vip": 60, "pgtap_sword": 1}{"pgtap_key": 2}', 'a product gives items, and may cost some')
FROM economy.upsert_product('{"product_id": "pgtap_bundle", "category": "item", "price_gold": 100, "contents": {"pgtap_gem": 5, "pgtap_sword": 1, "pgtap_vip": 60}, "price_items": {"pgtap_key": 2}}', 'ann') p;
SELECT is(p.price_items, NULL, 'until it does not') FROM economy.upsert_product('{"product_id": "pgtap_bundle", "price_items": null}', 'ann') p;
SELECT count(*) AS x FROM unnest(ARRAY['{"product_id": "pgtap_shield", "category": "item", "price_gold": 10, "price_items": {"pgtap_gem": 3}, "effect_code": "shield"}',
    '{"product_id": "pgtap_swap", "category": "item", "price_gold": 0, "price_items": {"pgtap_gem": 4}, "contents": {"pgtap_key": 1}, "per_user_limit": 3}',
    '{"product_id": "pgtap_pack", "category": "conversion", "source_points": 5, "granted_gold": 50, "contents": {"pgtap_gem": 1}}']) i, economy.upsert_product(i::jsonb, 'ann') \gset
SELECT throws_ok(format('SELECT economy.upsert_product(%L, ''ann'')', '{"product_id": "pgtap_bundle", ' || part || '}'), 'XE301', NULL, 'no product: ' || part)
FROM (VALUES ('"contents": {}'), ('"contents": []'), ('"contents": "pgtap_gem"'), ('"contents": {"pgtap_gem": 0}'), ('"contents": {"pgtap_gem": 1.5}'), ('"contents": {"pgtap_gem": "1"}'), ('"contents": {"pgtap_gem": null}'),
    ('"contents": {"pgtap_gem": 9007199254740992}'), ('"contents": {"pgtap_none": 1}'), ('"contents": {"": 1}'), ('"price_items": {}'), ('"price_items": {"pgtap_gem": -1}'), ('"price_items": {"pgtap_none": 1}'),
    ('"price_items": {"pgtap_sword": 1}'), ('"price_items": {"pgtap_vip": 1}'), ('"price_items": {"pgtap_gem": 1}')) v (part);
CREATE FUNCTION pg_temp.why(product jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    says text;
BEGIN
    PERFORM economy.upsert_product(product, 'ann');
    RETURN 'nothing';
EXCEPTION WHEN SQLSTATE 'XE301' THEN
    GET STACKED DIAGNOSTICS says = PG_EXCEPTION_DETAIL;
    RETURN says;
END
$$;
SELECT is(pg_temp.why(product::jsonb), says, 'and why: ' || says)
FROM (VALUES ('{"product_id": "pgtap_bundle", "contents": {"pgtap_none": 1}}', 'item "pgtap_none" of contents does not exist.'), ('{"product_id": "pgtap_shield", "price_items": {"pgtap_vip": 1}}', 'item "pgtap_vip" of price_items is not consumable.'),
    ('{"product_id": "pgtap_bundle", "price_items": {"pgtap_gem": 1}}', 'contents and price_items must be of different items, 16 together.'),
    (jsonb_build_object('product_id', 'pgtap_bundle', 'contents', (SELECT jsonb_object_agg(n || repeat(chr(1), 60), 1) FROM generate_series(1, 9) n))::text, 'contents and price_items must have 3072 bytes as text together.'),
    ('{"product_id": "pgtap_bundle", "contents": {}}', 'contents must be an object of 1 to 16 items, each with a whole number from 1 to 2^53-1.'), ('{"product_id": "pgtap_shield", "price_items": 1}', 'price_items must be an object of 1 to 16 items, each with a whole number from 1 to 2^53-1.')) v (product, says);
-- what fits exactly, wherever items are given: an id of control characters takes six bytes for each
CREATE FUNCTION pg_temp.sized(plain integer) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_object_agg(i.id, 1) FROM (SELECT n || repeat(chr(1), 63) FROM generate_series(1, 7) n UNION ALL SELECT repeat('p', plain) || repeat(chr(1), 60)) i (id) $$;
SELECT count(*) AS x FROM (SELECT DISTINCT k FROM generate_series(3, 4) plain, jsonb_object_keys(pg_temp.sized(plain)) k) i, economy.upsert_item(jsonb_build_object('item_id', i.k, 'kind', 'stack'), 'ann') \gset
SELECT is(octet_length(pg_temp.sized(3)::text) || ' ' || octet_length(pg_temp.sized(4)::text), '3072 3073', 'items of exactly so many bytes');
SELECT economy.upsert_item('{"item_id": "pgtap_season", "kind": "stack", "consumable": false}', 'ann') IS NULL AS x \gset
CREATE FUNCTION pg_temp.tried(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    says text;
BEGIN
    EXECUTE call;
    RAISE 'undone' USING DETAIL = 'taken';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS says = PG_EXCEPTION_DETAIL;
    RETURN says;
END
$$;
SELECT is(pg_temp.tried(format('SELECT ' || call, of.items)), CASE of.plain WHEN 3 THEN 'taken' ELSE says END, call)
FROM (SELECT plain, pg_temp.sized(plain) FROM generate_series(3, 4) plain) of (plain, items),
     (VALUES ('economy.upsert_product(jsonb_build_object(''product_id'', ''pgtap_sized'', ''category'', ''item'', ''price_gold'', 1, ''contents'', %L::jsonb), ''ann'')', 'contents and price_items must have 3072 bytes as text together.'),
             ('economy.set_daily_rewards(jsonb_build_array(jsonb_build_object(''contents'', %L::jsonb)), ''ann'')', 'day 1: contents must have 3072 bytes as text.'),
             ('economy.publish_mission(jsonb_build_object(''mission'', ''pgtap_sized'', ''trigger'', ''purchase'', ''target'', 1, ''items'', %L::jsonb), ''ann'')', 'items must have 3072 bytes as text.'),
             ('economy.publish_season(jsonb_build_object(''season'', ''pgtap_sized'', ''xp_item'', ''pgtap_season'', ''ends_at'', ''2100-01-01T00:00:00Z'', ''tiers'', jsonb_build_array(jsonb_build_object(''xp'', 1, ''rewards'', jsonb_build_object(''free'', jsonb_build_object(''items'', %L::jsonb))))), ''ann'')', 'tier 1: items must have 3072 bytes as text.')) t (call, says);
SELECT is((SELECT p.contents::text FROM economy.shop_products p WHERE p.product_id = 'pgtap_bundle'), '{"pgtap_gem": 5, "pgtap_vip": 60, "pgtap_sword": 1}', 'nothing of it was changed');
SELECT is((SELECT c.after -> 'contents' FROM economy.config_changes c WHERE c.relation = 'shop_products' AND c.key = 'pgtap_swap'), '{"pgtap_key": 1}'::jsonb, 'changes are recorded');

-- bought
SELECT is(pg_temp.buy(format('%s, ''pgtap_bundle'', ''k1'', 2', :u)), 'new OK P' || :u || '-2 -200 800 [{"item": "pgtap_gem", "delta": 10, "balance": 10}, {"item": "pgtap_vip", "delta": 120, "balance": 1925089566}, {"item": "pgtap_sword", "delta": 2, "balance": 2}] {"apply": false}', 'units give items, and there is nothing to apply');
SELECT is(pg_temp.has(:u), 'pgtap_gem 10, pgtap_sword 2, pgtap_vip 01-02 03:06:06', 'which are held');
SELECT is(pg_temp.buy(format('%s, ''pgtap_bundle'', ''k1'', 2', :u)), 'reuse OK P' || :u || '-2 -200 800 [{"item": "pgtap_gem", "delta": 10, "balance": 10}, {"item": "pgtap_vip", "delta": 120, "balance": 1925089566}, {"item": "pgtap_sword", "delta": 2, "balance": 2}] {"apply": false}', 'a retry answers the same');
SELECT is(pg_temp.buy(format('%s, ''pgtap_shield'', ''k2''', :u)), 'new OK P' || :u || '-3 -10 790 [{"item": "pgtap_gem", "delta": -3, "balance": 7}] {"apply": true, "effect_code": "shield"}', 'gold and items are paid');
SELECT is(pg_temp.buy(format('%s, ''pgtap_swap'', ''k3''', :u)), 'new OK P' || :u || '-4 0 790 [{"item": "pgtap_gem", "delta": -4, "balance": 3}, {"item": "pgtap_key", "delta": 1, "balance": 1}] {"apply": false}', 'items for items');
SELECT is(pg_temp.buy(format('%s, ''pgtap_pack'', ''k4''', :u)), 'new OK P' || :u || '-5 50 840 [{"item": "pgtap_gem", "delta": 1, "balance": 4}] {"charge_outside": true}', 'a conversion with a present');
SELECT is(pg_temp.buy(format('%s, ''pgtap_bundle'', ''k5'', dry_run => true', :u)), 'new OK -100 740 [{"item": "pgtap_gem", "delta": 5, "balance": 9}, {"item": "pgtap_vip", "delta": 60, "balance": 1925089626}, {"item": "pgtap_sword", "delta": 1, "balance": 3}] {"apply": false, "dry_run": true}', 'a dry run says what would be');
SELECT is(pg_temp.has(:u), 'pgtap_gem 4, pgtap_key 1, pgtap_sword 2, pgtap_vip 01-02 03:06:06', 'and changes nothing');

-- refused
SELECT is(pg_temp.buy(format(call, :u)), says, call)
FROM (VALUES ('%s, ''pgtap_shield'', ''f'', 2', 'refused INSUFFICIENT_ITEMS 0 840 {"held": 4, "item": "pgtap_gem", "needed": 6}'), ('%s, ''pgtap_bundle'', ''f'', 9', 'refused INSUFFICIENT_GOLD 0 840 {"gold": 840, "price_gold": 100}'),
    ('%s, ''pgtap_pack'', ''f'', 97', 'refused ITEM_LIMIT 0 840 {"held": 4, "item": "pgtap_gem", "at_most": 100}'), ('%s, ''pgtap_swap'', ''f'', 3', 'refused USER_LIMIT 0 840'),
    ('%s, ''pgtap_swap'', ''f'', 2', 'refused INSUFFICIENT_ITEMS 0 840 {"held": 4, "item": "pgtap_gem", "needed": 8}')) v (call, says);
SELECT count(*) AS x FROM unnest(ARRAY['{"item_id": "pgtap_vip", "active": false}', '{"item_id": "pgtap_key", "active": false}']) i, economy.upsert_item(i::jsonb, 'ann') \gset
SELECT is(pg_temp.buy(format('%s, ''pgtap_bundle'', ''f''', :u)), 'refused ITEM_INACTIVE 0 840 {"item": "pgtap_vip"}', 'an item that is not given');
SELECT is(pg_temp.has(:u), 'pgtap_gem 4, pgtap_key 1, pgtap_sword 2, pgtap_vip 01-02 03:06:06', 'nothing has changed');
SELECT is((SELECT string_agg(o.product_id || ' ' || o.code || coalesce(' ' || o.detail::text, ''), ', ' ORDER BY o.product_id) FROM economy.products(:u) o WHERE o.product_id LIKE 'pgtap%'),
    'pgtap_bundle ITEM_INACTIVE {"item": "pgtap_vip"}, pgtap_pack OK, pgtap_shield OK, pgtap_swap ITEM_INACTIVE {"item": "pgtap_key"}', 'the shop knows');
SELECT count(*) AS x FROM unnest(ARRAY['{"item_id": "pgtap_vip", "active": true}', '{"item_id": "pgtap_key", "active": true}']) i, economy.upsert_item(i::jsonb, 'ann') \gset
SELECT is((SELECT o.contents::text || o.price_items::text || o.may_buy FROM economy.product('pgtap_swap', :u) o), '{"pgtap_key": 1}{"pgtap_gem": 4}true', 'and shows what it gives and costs');
SELECT is((SELECT o.may_buy FROM economy.product('pgtap_swap') o), true, 'also to nobody');

-- what an entry cannot carry is not bought, whoever has written it down
SAVEPOINT damage;
UPDATE economy.shop_products SET price_items = '{"pgtap_gem": 1}' WHERE product_id = 'pgtap_bundle';
SELECT throws_ok(format('SELECT economy.purchase(%s, ''pgtap_bundle'', ''f'')', :u), 'XE105', 'item "pgtap_gem" is both given and paid', 'an item in both');
ROLLBACK TO damage;

-- many at once: each sees what the one before it has moved
SELECT results_eq(format($$SELECT p.code, p.items FROM economy.purchases(ARRAY[%1$s, %1$s, %2$s, %1$s, %1$s]::bigint[], ARRAY['pgtap_shield', 'pgtap_shield', 'pgtap_bundle', 'pgtap_bundle', 'pgtap_shield'], ARRAY['b1', 'b2', 'b3', 'b4', 'b5']) p$$, :u, :v),
    $$VALUES ('OK', '[{"item": "pgtap_gem", "delta": -3, "balance": 1}]'::jsonb), ('INSUFFICIENT_ITEMS', NULL), ('OK', '[{"item": "pgtap_gem", "delta": 5, "balance": 5}, {"item": "pgtap_vip", "delta": 60, "balance": 1925089506}, {"item": "pgtap_sword", "delta": 1, "balance": 1}]'),
        ('OK', '[{"item": "pgtap_gem", "delta": 5, "balance": 6}, {"item": "pgtap_vip", "delta": 60, "balance": 1925089626}, {"item": "pgtap_sword", "delta": 1, "balance": 3}]'), ('OK', '[{"item": "pgtap_gem", "delta": -3, "balance": 3}]')$$, 'in the order of the batch');
SELECT is(pg_temp.has(:u), 'pgtap_gem 3, pgtap_key 1, pgtap_sword 3, pgtap_vip 01-02 03:07:06', 'and all of it is held');

-- read again
SELECT is((SELECT string_agg(p.product_id || coalesce(' ' || p.items::text, ''), ', ' ORDER BY p.seq) FROM economy.purchases_of(:u, 5) p), 'pgtap_bundle [{"item": "pgtap_gem", "delta": 10, "balance": 10}, {"item": "pgtap_vip", "delta": 120, "balance": 1925089566}, {"item": "pgtap_sword", "delta": 2, "balance": 2}], pgtap_shield [{"item": "pgtap_gem", "delta": -3, "balance": 7}], pgtap_swap [{"item": "pgtap_gem", "delta": -4, "balance": 3}, {"item": "pgtap_key", "delta": 1, "balance": 1}]', 'purchases show their items');
SELECT is((SELECT r.items::text || v.valid FROM economy.receipt(:u, 'P' || :u || '-3') r, economy.verify_receipt(:u, 'P' || :u || '-3') v), '[{"item": "pgtap_gem", "delta": -3, "balance": 7}]true', 'a receipt shows and proves them');
SELECT is((SELECT (r.event -> 'data' -> 'items')::jsonb FROM economy.replay(:u, 2) r WHERE r.type = 'purchase_update' LIMIT 1), '[{"item": "pgtap_gem", "delta": -3, "balance": 7}]', 'an event tells them');

-- rewards
SELECT is(pg_temp.grant(format('grant_reward(%s, ''quest'', ''e1'', 5, 0, NULL, ''{"pgtap_gem": 20, "pgtap_vip": 100, "pgtap_sword": 1}'')', :v)), 'new OK R' || :v || '-3 5 0 905 [{"item": "pgtap_gem", "delta": 20, "balance": 25}, {"item": "pgtap_vip", "delta": 100, "balance": 1925089606}, {"item": "pgtap_sword", "delta": 1, "balance": 2}]', 'a reward gives items');
SELECT is(pg_temp.grant(format('grant_reward(%s, ''quest'', ''e1'', 5, 0, NULL, ''{"pgtap_sword": 1, "pgtap_gem": 20, "pgtap_vip": 100}'')', :v)), 'reuse OK R' || :v || '-3 5 0 905 [{"item": "pgtap_gem", "delta": 20, "balance": 25}, {"item": "pgtap_vip", "delta": 100, "balance": 1925089606}, {"item": "pgtap_sword", "delta": 1, "balance": 2}]', 'once');
SELECT is(pg_temp.grant(format(call, :v)), says, call)
FROM (VALUES ('grant_reward(%s, ''quest'', ''e1'', 5)', 'refused IDEMPOTENCY_MISMATCH R' || :v || '-3 {"now": null, "field": "items", "first": [{"item": "pgtap_gem", "delta": 20, "balance": 25}, {"item": "pgtap_vip", "delta": 100, "balance": 1925089606}, {"item": "pgtap_sword", "delta": 1, "balance": 2}]}'),
    ('grant_reward(%s, ''quest'', ''f'', items => ''{"pgtap_gem": 76}'')', 'refused ITEM_LIMIT 905 {"held": 25, "item": "pgtap_gem", "at_most": 100}'), ('grant_reward(%s, ''quest'', ''f'', items => ''{"pgtap_none": 1}'')', 'refused ITEM_NOT_FOUND 905 {"item": "pgtap_none"}')) t (call, says);
SELECT throws_ok(format('SELECT economy.grant_reward(%s, ''quest'', ''f'', items => %L)', :v, items), 'XE002', NULL, 'no items: ' || items) FROM (VALUES ('{}'), ('[]'), ('{"pgtap_gem": 0}'), ('{"pgtap_gem": "1"}')) t (items);
SELECT throws_ok($$SELECT economy.grant_rewards('[{"user_id": 1, "source": "quest", "external_event_id": "f", "items": {"pgtap_gem": -1}}]')$$, 'XE002', 'the amount of "pgtap_gem" in reward 1: items must be a whole number from 1 to 2^53-1', 'nor in a batch');
SELECT results_eq(format($$SELECT p.code, p.items FROM economy.grant_rewards(jsonb_build_array(
        jsonb_build_object('user_id', %1$s, 'source', 'quest', 'external_event_id', 'm1', 'items', '{"pgtap_gem": 70}'::jsonb), jsonb_build_object('user_id', %1$s, 'source', 'quest', 'external_event_id', 'm2', 'items', '{"pgtap_gem": 6}'::jsonb),
        jsonb_build_object('user_id', %1$s, 'source', 'quest', 'external_event_id', 'm3', 'xp', 10, 'items', '{"pgtap_gem": 5}'::jsonb), jsonb_build_object('user_id', %1$s, 'source', 'quest', 'external_event_id', 'm1', 'items', '{"pgtap_gem": 70}'::jsonb))) p$$, :v),
    $$VALUES ('OK', '[{"item": "pgtap_gem", "delta": 70, "balance": 95}]'::jsonb), ('ITEM_LIMIT', NULL), ('OK', '[{"item": "pgtap_gem", "delta": 5, "balance": 100}]'), ('OK', '[{"item": "pgtap_gem", "delta": 70, "balance": 95}]')$$, 'in a batch each sees the one before it');
SELECT is((SELECT p.items FROM economy.grant_rewards(ARRAY[:u], ARRAY['quest'], ARRAY['a1'], items => ARRAY['{"pgtap_key": 3}'::jsonb]) p), '[{"item": "pgtap_key", "delta": 3, "balance": 4}]', 'by arrays');
SELECT is((SELECT (r.event -> 'data' -> 'items')::jsonb FROM economy.replay(:u, 0) r WHERE r.type = 'reward_granted'), '[{"item": "pgtap_key", "delta": 3, "balance": 4}]', 'an event tells them');

-- taken back
SELECT is(pg_temp.grant(format('revoke_reward(%1$s, ''R%1$s-3'', ''mistake'', ''ann'', 1, 0, idempotency_key => ''r1'', items => ''{"pgtap_gem": 8}'')', :v)), 'new OK R' || :v || '-6 -1 0 904 [{"item": "pgtap_gem", "delta": -8, "balance": 92}] {"xp": 0, "gold": 1, "items": {"pgtap_gem": 8}, "debt_xp": 0, "debt_gold": 0}', 'a part of it');
SELECT is(pg_temp.grant(format('revoke_reward(%1$s, ''R%1$s-3'', ''mistake'', ''ann'', 1, 0, idempotency_key => ''r1'', items => ''{"pgtap_gem": 8}'')', :v)), 'reuse OK R' || :v || '-6 -1 0 904 [{"item": "pgtap_gem", "delta": -8, "balance": 92}] {"xp": 0, "gold": 1, "items": {"pgtap_gem": 8}, "debt_xp": 0, "debt_gold": 0}', 'once');
SELECT is(pg_temp.grant(format(call, :v)), says, call)
FROM (VALUES ('revoke_reward(%1$s, ''R%1$s-3'', ''mistake'', ''ann'', 1, 0, idempotency_key => ''r1'', items => ''{"pgtap_gem": 7}'')', 'refused IDEMPOTENCY_MISMATCH R' || :v || '-6 {"now": {"pgtap_gem": 7}, "field": "items", "first": {"pgtap_gem": 8}}'),
    ('revoke_reward(%1$s, ''R%1$s-3'', ''mistake'', ''ann'', 1, 0, idempotency_key => ''r1'', items => ''{}'')', 'refused IDEMPOTENCY_MISMATCH R' || :v || '-6 {"now": null, "field": "items", "first": {"pgtap_gem": 8}}'),
    ('revoke_reward(%1$s, ''R%1$s-3'', ''mistake'', ''ann'', 0, 0, idempotency_key => ''r2'', items => ''{"pgtap_gem": 13}'')', 'refused EXCEEDS_REWARD 904 {"xp": 0, "gold": 0, "items": {"pgtap_gem": 13}, "left_xp": 0, "left_gold": 4, "left_items": {"pgtap_gem": 12, "pgtap_vip": 100, "pgtap_sword": 1}}')) t (call, says);
SELECT throws_ok(format('SELECT economy.revoke_reward(%1$s, ''R%1$s-3'', ''mistake'', ''ann'', 0, 0, idempotency_key => ''r2'', items => %2$L)', :v, items), 'XE002', 'a reversal cannot take more than the reward gave', 'nor ' || items) FROM (VALUES ('{"pgtap_gem": 21}'), ('{"pgtap_key": 1}')) t (items);
SET LOCAL economy.test_clock = '2031-01-02 03:06:00+00';
SELECT is(pg_temp.grant(format('revoke_reward(%1$s, ''R%1$s-3'', ''mistake'', ''ann'')', :v)), 'refused INSUFFICIENT_ITEMS 904 {"held": 46, "item": "pgtap_vip", "needed": 100}', 'time that has passed is not there');
SELECT is(pg_temp.grant(format('revoke_reward(%1$s, ''R%1$s-3'', ''mistake'', ''ann'', policy => ''take'')', :v)), 'new OK R' || :v || '-7 -4 0 900 [{"item": "pgtap_gem", "delta": -12, "balance": 80}, {"item": "pgtap_vip", "delta": -46, "balance": 1925089560}, {"item": "pgtap_sword", "delta": -1, "balance": 1}] {"xp": 0, "gold": 4, "items": {"pgtap_gem": 12, "pgtap_vip": 100, "pgtap_sword": 1}, "debt_xp": 0, "debt_gold": 0, "debt_items": {"pgtap_vip": 54}}', 'take takes what is there, also what is not consumable');
SELECT is(pg_temp.grant(format('revoke_reward(%1$s, ''R%1$s-3'', ''mistake'', ''ann'', policy => ''take'')', :v)), 'reuse OK R' || :v || '-7 -4 0 900 [{"item": "pgtap_gem", "delta": -12, "balance": 80}, {"item": "pgtap_vip", "delta": -46, "balance": 1925089560}, {"item": "pgtap_sword", "delta": -1, "balance": 1}] {"xp": 0, "gold": 4, "items": {"pgtap_gem": 12, "pgtap_vip": 100, "pgtap_sword": 1}, "debt_xp": 0, "debt_gold": 0, "debt_items": {"pgtap_vip": 54}}', 'once');
SELECT is(pg_temp.has(:v), 'pgtap_gem 80, pgtap_sword 1', 'what is left');
SELECT is(pg_temp.grant(format('revoke_reward(%1$s, ''R%1$s-3'', ''mistake'', ''ann'', 0, 0, ''take'', ''r3'', ''{"pgtap_vip": 54}'')', :v)), 'new OK R' || :v || '-8 0 0 900 {"xp": 0, "gold": 0, "items": {"pgtap_vip": 54}, "debt_xp": 0, "debt_gold": 0, "debt_items": {"pgtap_vip": 54}}', 'of what is not there nothing is taken');
SELECT is(pg_temp.wrong(), NULL, 'the audit finds nothing');
SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s) UNION ALL SELECT * FROM economy.verify_chain(%s)', :u, :v), 'and the chain proves it');

-- XP of a product, of either category, with items and without
SELECT economy.register('pgtap learner') AS y \gset
SELECT success AS x FROM economy.adjust_gold(:y, 1000, 'open', 'pgtap', 'pgtap') \gset
SELECT count(*) AS x FROM unnest(ARRAY['{"product_id": "pgtap_lesson", "category": "item", "price_gold": 10, "granted_xp": 300}', '{"product_id": "pgtap_school", "category": "item", "price_gold": 20, "granted_xp": 500, "contents": {"pgtap_key": 1}, "effect_code": "hat"}',
    '{"product_id": "pgtap_tuition", "category": "conversion", "granted_gold": 5, "granted_xp": 1, "limit_once": true}', '{"product_id": "pgtap_degree", "category": "item", "price_gold": 0, "granted_xp": 9007199254740991}']) i, economy.upsert_product(i::jsonb, 'ann') \gset
SELECT is(pg_temp.why(format('{"product_id": "pgtap_lesson", "granted_xp": %s}', xp)::jsonb), says, 'no XP: ' || xp) FROM (VALUES ('-1', 'granted_xp must be from 0 to 2^53-1.'), ('9007199254740992', 'granted_xp must be from 0 to 2^53-1.')) v (xp, says);
SELECT is(economy_internal.purchase_probe(:y, 'pgtap_lesson'), 'OK', 'a recommendation asks for one, too');
SELECT is((SELECT string_agg(o.product_id || ' ' || o.granted_xp || ' ' || o.may_buy, ', ' ORDER BY o.product_id) FROM economy.products(:y) o WHERE o.product_id ~ '^pgtap_(pack|lesson|tuition)$'), 'pgtap_lesson 300 true, pgtap_pack 0 true, pgtap_tuition 1 true', 'the shop shows what XP a product gives');
SELECT is(pg_temp.buy(format(call, :y)), says, call)
FROM (VALUES ('%s, ''pgtap_lesson'', ''x1'', dry_run => true', 'new OK -10 990 {"apply": false, "level": 1, "dry_run": true, "xp_delta": 300, "leveled_up": false, "experience_points": 300}'),
    ('%s, ''pgtap_lesson'', ''x1'', 2', 'new OK P' || :y || '-2 -20 980 {"apply": false, "level": 2, "xp_delta": 600, "leveled_up": true, "experience_points": 600}'),
    ('%s, ''pgtap_lesson'', ''x1'', 2', 'reuse OK P' || :y || '-2 -20 980 {"apply": false, "level": 2, "xp_delta": 600, "leveled_up": true, "experience_points": 600}'),
    ('%s, ''pgtap_school'', ''x2''', 'new OK P' || :y || '-3 -20 960 [{"item": "pgtap_key", "delta": 1, "balance": 1}] {"apply": true, "level": 3, "xp_delta": 500, "leveled_up": true, "effect_code": "hat", "experience_points": 1100}'),
    ('%s, ''pgtap_tuition'', ''x3''', 'new OK P' || :y || '-4 5 965 {"level": 3, "xp_delta": 1, "leveled_up": false, "charge_outside": true, "experience_points": 1101}'),
    ('%s, ''pgtap_degree'', ''f''', 'refused GOLD_OVERFLOW 0 965 {"at_most": 9007199254740991, "experience_points": 1101}'), ('%s, ''pgtap_degree'', ''f'', 1000000', 'refused GOLD_OVERFLOW 0 965 {"at_most": 9007199254740991, "experience_points": 1101}')) v (call, says);
SELECT results_eq(format($$SELECT p.code, p.detail FROM economy.purchases(ARRAY[%1$s, %1$s, %1$s, %1$s]::bigint[], ARRAY['pgtap_lesson', 'pgtap_degree', 'pgtap_lesson', 'pgtap_lesson'], ARRAY['xb1', 'xb2', 'xb3', 'xb1']) p$$, :y),
    $$VALUES ('OK', '{"apply": false, "level": 3, "xp_delta": 300, "leveled_up": false, "experience_points": 1401}'::jsonb), ('GOLD_OVERFLOW', '{"at_most": 9007199254740991, "experience_points": 1401}'), ('OK', '{"apply": false, "level": 4, "xp_delta": 300, "leveled_up": true, "experience_points": 1701}'),
        ('OK', '{"apply": false, "level": 3, "xp_delta": 300, "leveled_up": false, "experience_points": 1401}')$$, 'many at once, each with the XP of those before it');
SELECT is((SELECT concat_ws(' ', a.level, a.experience_points, (SELECT sum(l.xp_delta) FROM economy.ledger l WHERE l.user_id = :y)) FROM economy.account(:y) a), '4 1701 1701', 'the account has what the entries gave');
SELECT is((SELECT string_agg(p.xp_delta::text, ' ' ORDER BY p.seq) FROM economy.purchases_of(:y) p), '600 500 1 300 300', 'purchases show it');
SELECT is((SELECT string_agg(concat_ws(' ', r.seq, r.event #>> '{data,xp_delta}', r.event #>> '{data,before}', r.event #>> '{data,after}'), ', ') FROM economy.replay(:y, 1) r WHERE r.code = 'EVENT'), '2 600, 2 1 2, 3 500, 3 2 3, 4 1, 5 300, 6 300, 6 3 4', 'events tell each, and each level');
SELECT is(pg_temp.wrong(), NULL, 'the audit finds nothing');
SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s)', :y), 'nor the chain');

-- items that have no room in the account have rows, which a batch sees as well
SELECT count(*) AS x FROM generate_series(1, 30) n, economy.upsert_item(jsonb_build_object('item_id', 'pgtap_' || repeat('x', 50) || n, 'kind', 'stack'), 'ann') \gset
SELECT economy.register('pgtap crowded') AS w \gset
SELECT success AS x FROM economy.grant_items(:w, (SELECT jsonb_object_agg('pgtap_' || repeat('x', 50) || n, 1) FROM generate_series(1, 15) n), 'r', 'c1') \gset
SELECT product_id AS x FROM economy.upsert_product(jsonb_build_object('product_id', 'pgtap_crowd', 'category', 'item', 'price_gold', 0, 'contents', jsonb_build_object('pgtap_' || repeat('x', 50) || 15, 1, 'pgtap_' || repeat('x', 50) || 20, 2)), 'ann') \gset
SELECT is((SELECT string_agg(e ->> 'balance', ' ' ORDER BY n) FROM (SELECT row_number() OVER () AS n, p.items FROM economy.purchases(ARRAY[:w, :w, :w], array_fill('pgtap_crowd'::text, ARRAY[3]), ARRAY['c1', 'c2', 'c3']) p) b, jsonb_array_elements(b.items) e), '2 2 3 4 4 6', 'purchases of items in rows');
SELECT is((SELECT string_agg(e ->> 'balance', ' ' ORDER BY n) FROM (SELECT row_number() OVER () AS n, p.items FROM economy.grant_rewards(ARRAY[:w, :w], ARRAY['q', 'q'], ARRAY['c1', 'c2'], items => array_fill(jsonb_build_object('pgtap_' || repeat('x', 50) || 15, 2), ARRAY[2])) p) b, jsonb_array_elements(b.items) e), '6 8', 'and rewards');
SELECT cmp_ok((SELECT count(*) FROM economy_internal.user_holdings_more m WHERE m.user_id = :w), '>', 5::bigint, 'they have rows');
SELECT is(pg_temp.wrong(), NULL, 'the audit finds nothing');

-- what is archived leaves behind what the balances go on from, be the archive older than items
CREATE SCHEMA pgtap_contents;
CREATE TABLE pgtap_contents.purchases (LIKE economy.shop_transactions);
ALTER TABLE pgtap_contents.purchases DROP COLUMN items;
CREATE FUNCTION pg_temp.archive() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    entries bigint := 0; batch record;
BEGIN
    LOOP
        SELECT * INTO STRICT batch FROM economy.archive('economy.shop_transactions', 'pgtap_contents.purchases', '90 days');
        entries := entries + batch.entries;
        EXIT WHEN NOT batch.more;
    END LOOP;
    RETURN entries;
END
$$;
SET LOCAL economy.test_clock = '2031-06-02 00:00:00+00';
SELECT code AS x FROM economy.purchase(:u, 'pgtap_pack', 'late') \gset
SELECT throws_like('SELECT pg_temp.archive()', '% does not have what was archived of user %', 'an archive without the column takes no items');
ALTER TABLE pgtap_contents.purchases ADD COLUMN items jsonb;
SELECT cmp_ok(pg_temp.archive(), '>=', 4::bigint, 'one with it does');
SELECT is((SELECT string_agg(t.seq::text, ' ' ORDER BY t.seq) FROM economy.shop_transactions t WHERE t.user_id = :u), '4 7 8 10', 'the newest entries of each item stay');
SELECT is_empty($$SELECT * FROM economy.verify_archive('economy.shop_transactions', 'pgtap_contents.purchases')$$, 'the others are there');
SELECT is(pg_temp.wrong(), NULL, 'the audit finds nothing');
SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s)', :u), 'nor the chain');
SELECT success AS x FROM economy.consume(:u, 'pgtap_key', 'late', 4) \gset
SELECT is(pg_temp.buy(format('%s, ''pgtap_shield'', ''late''', :u)), 'new OK P' || :u || '-12 -10 760 [{"item": "pgtap_gem", "delta": -3, "balance": 1}] {"apply": true, "effect_code": "shield"}', 'and all goes on');
SELECT is(pg_temp.wrong(), NULL, 'as it was');
ALTER TABLE economy.shop_transactions DISABLE TRIGGER ALL;
UPDATE economy.shop_transactions SET items = jsonb_set(items, '{0,balance}', '77') WHERE user_id = :u AND seq = 4;
SELECT isnt_empty(format('SELECT * FROM economy.verify_chain(%s)', :u), 'what stays is proved');
SELECT is(pg_temp.buy(format('%s, ''pgtap_bundle'', ''k1'', 2', :u)), 'refused RESYNC_REQUIRED P' || :u || '-2 0 {"reason": "archived"}', 'a retry of what went has no effect');

SELECT * FROM finish();
ROLLBACK;
