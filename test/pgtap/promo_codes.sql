-- Promo codes: upsert_promo_code(), retire_promo_code(), a purchase with context.promo, promo_preview(), what a refund gives back, and what the audit recomputes.
BEGIN;
SELECT no_plan();
SET LOCAL economy.test_clock = '2031-01-02 03:00:00+00';

SELECT economy.register('pgtap promo u') AS u, economy.register('pgtap promo v') AS v, economy.register('pgtap promo w') AS w \gset
SELECT count(*) AS x FROM unnest(ARRAY[:u, :v, :w]) i, economy.adjust_gold(i, 10000, 'open', 'pgtap', 'pgtap') \gset
SELECT count(*) AS x FROM economy.upsert_item('{"item_id": "pgtap_promo_gem", "kind": "stack"}', 'pgtap') \gset
SELECT code AS x FROM economy.grant_items(:u, '{"pgtap_promo_gem": 50}', 'opening', 'o') \gset
SELECT count(*) AS x FROM (VALUES ('sword', '{"category": "item", "price_gold": 105, "monetary": 200}'), ('shield', '{"category": "item", "price_gold": 50}'), ('free', '{"category": "item", "price_gold": 0}'),
    ('mixed', '{"category": "item", "price_gold": 40, "price_items": {"pgtap_promo_gem": 3}}'), ('dear', '{"category": "item", "price_gold": 9007199254740991}'), ('rare', '{"category": "item", "price_gold": 30}'),
    ('code', '{"category": "item", "price_gold": 30, "global_key": true}'), ('lim', '{"category": "item", "price_gold": 30, "per_user_limit": 1}'),
    ('pack', '{"category": "conversion", "source_points": 5, "granted_gold": 500, "monetary": 99}')) v (id, product), economy.upsert_product(v.product::jsonb || jsonb_build_object('product_id', 'pgtap_' || v.id), 'ann') \gset
SELECT economy.add_stock('pgtap_rare', 3, 'ann', 2) AS x \gset
CREATE FUNCTION pg_temp.made(promo jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', p.code, p.kind, p.value, p.products, p.max_quantity, p.max_per_user, 'uses ' || p.max_uses, 'gold ' || p.budget_gold, p.new_users, p.active, to_char(p.starts_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI')) FROM economy.upsert_promo_code(promo, 'ann') p $$;
CREATE FUNCTION pg_temp.left_of(id text) RETURNS text LANGUAGE sql AS $$ SELECT concat_ws(' of ', sum(s.remaining), count(*)) FROM economy.promo_stock s WHERE s.name = id $$;
CREATE FUNCTION pg_temp.said(p economy.purchase_result) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', p.success, p.state, p.code, p.gold_delta, 'stock ' || p.stock_remaining, nullif(p.detail - 'apply' - 'charge_outside', '{}')) $$;
CREATE FUNCTION pg_temp.buy(id bigint, product text, key text, code text, n integer DEFAULT 1, more jsonb DEFAULT '{}') RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.said(economy.purchase(id, 'pgtap_' || product, key, n, more || jsonb_build_object('promo', code))) $$;
CREATE FUNCTION pg_temp.back(id bigint, key text, again text, n integer DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', r.code, r.quantity, 'left', r.quantity_left, r.gold_delta) FROM economy.shop_transactions t,
        economy.refund_purchase(id, 'P' || id || '-' || t.seq, again, n, 'pgtap', 'ann') r WHERE t.user_id = id AND t.idempotency_key = key $$;
CREATE FUNCTION pg_temp.uses(id bigint) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', t.idempotency_key, p.code, p.gold), ', ' ORDER BY p.seq) FROM economy.promo_uses p JOIN economy.shop_transactions t USING (user_id, seq) WHERE p.user_id = id $$;
CREATE FUNCTION pg_temp.wrong() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', f.kind, f.expected, '|', f.actual), ', ' ORDER BY f.kind, f.expected) FROM economy_internal.audit_promos() f $$;

-- made
SELECT is(pg_temp.made('{"code": "Summer_10", "kind": "percent", "value": 10, "max_quantity": 5, "max_per_user": 2, "max_uses": 100, "budget_gold": 1000}'), 'SUMMER_10 percent 10 5 2 uses 100 gold 1000 f t', 'in capital letters');
SELECT is(pg_temp.left_of('SUMMER_10') || ', ' || pg_temp.left_of('SUMMER_10/gold'), '100 of 32, 1000 of 32', 'what may be used lies in slots');
SELECT is((SELECT max(s.remaining) - min(s.remaining) FROM economy.promo_stock s WHERE s.name = 'SUMMER_10'), 1::bigint, 'evenly');
SELECT is(pg_temp.made('{"code": "TWENTY", "kind": "amount", "value": 20, "products": ["pgtap_sword", "pgtap_shield"], "max_per_user": null}'), 'TWENTY amount 20 ["pgtap_sword", "pgtap_shield"] 1 f t', 'of some products, without a maximum');
SELECT is(pg_temp.made('{"code": "FREE-SHIELD", "kind": "percent", "value": 100, "products": ["pgtap_shield", "pgtap_mixed", "pgtap_free"], "new_users": true}'), 'FREE-SHIELD percent 100 ["pgtap_shield", "pgtap_mixed", "pgtap_free"] 1 1 t t', 'one for new users');
SELECT is(pg_temp.made('{"code": "BONUS", "kind": "bonus", "value": 50, "max_uses": 2, "max_per_user": 3, "max_quantity": 2}'), 'BONUS bonus 50 2 3 uses 2 f t', 'gold beside a conversion');
SELECT is(pg_temp.made('{"code": "soon", "kind": "amount", "value": 1, "starts_at": "2031-01-03T00:00:00Z", "ends_at": "2031-01-04T00:00:00Z", "max_per_user": 9}'), 'SOON amount 1 1 9 f t 2031-01-03 00:00', 'of a time');
SELECT is(pg_temp.made('{"code": "LITTLE", "kind": "amount", "value": 30, "max_uses": 4, "budget_gold": 50, "max_per_user": null, "max_quantity": 3}'), 'LITTLE amount 30 3 uses 4 gold 50 f t', 'and one with a small budget');

-- changed
SELECT is(pg_temp.made('{"code": "summer_10", "max_uses": 103, "budget_gold": 1001, "max_per_user": 4}'), 'SUMMER_10 percent 10 5 4 uses 103 gold 1001 f t', 'there is more of it');
SELECT is(pg_temp.left_of('SUMMER_10') || ', ' || pg_temp.left_of('SUMMER_10/gold'), '103 of 32, 1001 of 32', 'that many more');
SELECT is(pg_temp.made('{"code": "SUMMER_10", "kind": "percent", "value": 10, "products": null, "max_uses": 103}'), 'SUMMER_10 percent 10 5 4 uses 103 gold 1001 f t', 'the same again changes nothing');
SELECT is((SELECT string_agg(c.action || ' ' || c.actor, ', ' ORDER BY c.change_no) FROM economy.config_changes c WHERE c.relation = 'promo_codes' AND c.key = 'SUMMER_10'), 'create ann, change ann, change ann', 'all is noted');
CREATE FUNCTION pg_temp.refused(promo text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE says text;
BEGIN
    PERFORM economy.upsert_promo_code(promo::jsonb, 'ann');
    RETURN 'taken';
EXCEPTION WHEN SQLSTATE 'XE304' THEN
    GET STACKED DIAGNOSTICS says = PG_EXCEPTION_DETAIL;
    RETURN coalesce(nullif(says, ''), SQLERRM);
END
$$;
SELECT is(pg_temp.refused(promo), says, says) FROM (VALUES
    ('[]', 'promo must be a JSON object with a code'), ('{"kind": "percent"}', 'promo must be a JSON object with a code'),
    ('{"code": "A B", "kind": "amount", "value": 1}', 'code must have 3 to 40 letters of A to Z, digits, - and _.'), ('{"code": "ÄÖÜ", "kind": "amount", "value": 1}', 'code must have 3 to 40 letters of A to Z, digits, - and _.'),
    ('{"code": "NEW", "value": 1}', 'kind must not be null.'), ('{"code": "NEW", "kind": "half", "value": 1}', 'kind must be percent, amount or bonus.'), ('{"code": "NEW", "kind": "percent", "value": 101}', 'value of a percent must be at most 100.'),
    ('{"code": "NEW", "kind": "percent"}', 'value must not be null.'), ('{"code": "NEW", "kind": "amount", "value": 1, "uses": 3}', '"uses" is no such column.'), ('{"code": "NEW", "kind": "amount", "value": 1, "products": ["pgtap_none"]}', 'product "pgtap_none" does not exist.'),
    ('{"code": "NEW", "kind": "amount", "value": 1, "products": [1]}', 'products must be an array of 1 to 64 product ids, or null.'), ('{"code": "NEW", "kind": "amount", "value": 1, "products": "pgtap_sword"}', 'products must be an array of 1 to 64 product ids, or null.'),
    ('{"code": "NEW", "kind": "amount", "value": 1, "starts_at": "tomorrow"}', 'starts_at must be a text in ISO 8601 with time zone, such as 2026-01-31T12:00:00Z.'), ('{"code": "NEW", "kind": "amount", "value": 1, "max_uses": 0}', 'max_uses must be from 1 to 2^53-1, or null.'),
    ('{"code": "SUMMER_10", "value": 20}', 'value is fixed when a code is made: make another one.'), ('{"code": "SUMMER_10", "products": ["pgtap_sword"]}', 'products is fixed when a code is made: make another one.'), ('{"code": "summer_10", "max_uses": 102}', 'max_uses can only be raised, from 103.'),
    ('{"code": "SUMMER_10", "budget_gold": null}', 'budget_gold can only be raised, from 1001.'), ('{"code": "TWENTY", "max_uses": 5}', 'max_uses can only be raised, from no limit.'), ('{"code": "SUMMER_10", "max_uses": "104"}', 'max_uses can only be raised, from 103.')) v (promo, says);
SELECT is((SELECT string_agg(p.code, ' ' ORDER BY p.code) FROM economy.promo_codes p), 'BONUS FREE-SHIELD LITTLE SOON SUMMER_10 TWENTY', 'what is refused makes nothing');

-- previewed, and bought
SELECT is(pg_temp.said(economy.promo_preview(:u, 'pgtap_sword', 'summer_10', 3)), 't new OK -284 {"promo": {"code": "SUMMER_10", "gold": 31}, "dry_run": true}', 'what it would cost: a part of a gold is not taken off');
SELECT is(pg_temp.left_of('SUMMER_10') || coalesce(pg_temp.uses(:u), ''), '103 of 32', 'nothing is used');
SELECT is(pg_temp.buy(:u, 'sword', 'a', 'summer_10', 3), 't new OK -284 {"promo": {"code": "SUMMER_10", "gold": 31}}', 'that it costs');
SELECT is(pg_temp.left_of('SUMMER_10') || ', ' || pg_temp.left_of('SUMMER_10/gold'), '102 of 32, 970 of 32', 'a use, and its gold, are gone');
SELECT is(pg_temp.buy(:u, 'sword', 'a', 'summer_10', 3), 't reuse OK -284 {"promo": {"code": "SUMMER_10", "gold": 31}}', 'called again: the same answer');
SELECT is(pg_temp.left_of('SUMMER_10') || ', ' || pg_temp.uses(:u), '102 of 32, a SUMMER_10 31', 'and no other use');
SELECT is(p.code || ' ' || (p.detail ->> 'field'), 'IDEMPOTENCY_MISMATCH context', 'without the code it is another call') FROM economy.purchase(:u, 'pgtap_sword', 'a', 3) p;
SELECT is((SELECT concat_ws(' ', t.gold_delta, t.monetary, t.context) FROM economy.purchases_of(:u) l JOIN economy.shop_transactions t USING (seq) WHERE t.user_id = :u AND l.seq = t.seq), '-284 540 {"promo": "summer_10", "promo_use": {"code": "SUMMER_10", "gold": 31}}', 'the entry says it, and is worth what was paid');
SELECT is(valid::text || ' ' || reason, 'true OK', 'and is signed with it') FROM economy.shop_transactions t, economy.verify_receipt(:u, 'P' || :u || '-' || t.seq) WHERE t.user_id = :u;
SELECT is(pg_temp.buy(:u, 'shield', 'b', 'TWENTY'), 't new OK -30 {"promo": {"code": "TWENTY", "gold": 20}}', 'an amount');
SELECT is(pg_temp.buy(:u, 'shield', 'b2', 'TWENTY', 1, '{"expected_price": 50}'), 't new OK -30 {"promo": {"code": "TWENTY", "gold": 20}}', 'expected_price is that of a unit without it');
SELECT is(pg_temp.buy(:u, 'shield', 'b3', 'TWENTY', 1, '{"expected_price": 30}'), 'f refused PRICE_CHANGED 0 {"price_gold": 50}', 'and no other');
SELECT is(pg_temp.buy(:u, 'pack', 'c', 'Bonus', 2), 't new OK 1050 {"promo": {"code": "BONUS", "gold": 50}}', 'gold beside what is granted, once');
SELECT is(split_part(pg_temp.buy(:w, 'mixed', 'd', 'free-shield'), ' ', 3), 'INSUFFICIENT_ITEMS', 'items of a price stay to be paid');
SELECT is(pg_temp.buy(:w, 'shield', 'e', 'free-shield'), 't new OK 0 {"promo": {"code": "FREE-SHIELD", "gold": 50}}', 'free for a new user');
SELECT is(pg_temp.buy(:w, 'free', 'k', NULL), 't new OK 0', 'null is no code');

-- refused, with what would help
SELECT is(pg_temp.buy(id, product, 'no', code, n), 'f refused ' || says, says) FROM (VALUES
    (:u, 'sword', 'NONE', 1, 'PROMO_NOT_FOUND 0'), (:u, 'sword', '', 1, 'PROMO_NOT_FOUND 0'), (:u, 'sword', 'SUMMER 10', 1, 'PROMO_NOT_FOUND 0'), (:u, 'sword', repeat('x', 3000), 1, 'PROMO_NOT_FOUND 0'), (:u, 'sword', 'ſUMMER_10', 1, 'PROMO_NOT_FOUND 0'),
    (:u, 'sword', 'SOON', 1, 'PROMO_NOT_ACTIVE 0 {"reason": "not_started", "starts_at": "2031-01-03T00:00:00+00:00"}'), (:u, 'rare', 'TWENTY', 1, 'PROMO_NOT_FOR_PRODUCT 0 {"reason": "product", "products": ["pgtap_sword", "pgtap_shield"]}'),
    (:u, 'sword', 'BONUS', 1, 'PROMO_NOT_FOR_PRODUCT 0 {"reason": "category"}'), (:u, 'pack', 'SUMMER_10', 1, 'PROMO_NOT_FOR_PRODUCT 0 {"reason": "category"}'), (:w, 'free', 'FREE-SHIELD', 1, 'PROMO_NOT_FOR_PRODUCT 0 {"reason": "nothing_off"}'),
    (:u, 'sword', 'SUMMER_10', 6, 'PROMO_QUANTITY 0 {"at_most": 5}'), (:u, 'shield', 'FREE-SHIELD', 1, 'PROMO_NEW_USERS 0'), (:u, 'dear', 'SUMMER_10', 1, 'INSUFFICIENT_GOLD 0 {"gold": 10706, "price_gold": 9007199254740991}'),
    (:u, 'dear', 'SUMMER_10', 5, 'PROMO_NOT_FOR_PRODUCT 0 {"reason": "nothing_off"}'), (:u, 'none', 'SUMMER_10', 1, 'PRODUCT_NOT_FOUND 0'), (-1, 'sword', 'SUMMER_10', 1, 'USER_NOT_FOUND 0')) v (id, product, code, n, says);
SELECT is(pg_temp.buy(:v, 'pack', 'f1', 'BONUS') || ', ' || pg_temp.buy(:v, 'pack', 'f2', 'BONUS'), 't new OK 550 {"promo": {"code": "BONUS", "gold": 50}}, f refused PROMO_USED_UP 0 {"left": 0, "needed": 1}', 'the last use');
SELECT is(pg_temp.said(economy.promo_preview(:v, 'pgtap_pack', 'BONUS')), 'f refused PROMO_USED_UP 0 {"left": 0, "needed": 1, "dry_run": true}', 'as the preview says');
SELECT is(pg_temp.buy(:u, 'rare', 'g1', 'LITTLE') || ', ' || pg_temp.buy(:u, 'rare', 'g2', 'LITTLE'), 't new OK 0 stock 2 {"promo": {"code": "LITTLE", "gold": 30}}, f refused PROMO_BUDGET 0 {"left": 20, "needed": 30}', 'the budget is not enough');
SELECT is(pg_temp.left_of('LITTLE') || ', ' || pg_temp.left_of('LITTLE/gold') || ', ' || (SELECT sum(s.remaining) FROM economy.shop_stock s WHERE s.product_id = 'pgtap_rare'), '3 of 32, 20 of 32, 2', 'neither use nor unit is gone with it');
SELECT is(pg_temp.buy(:u, 'code', 'gk', 'SUMMER_10') || ', ' || pg_temp.buy(:v, 'code', 'gk', 'SUMMER_10'), 't new OK -27 {"promo": {"code": "SUMMER_10", "gold": 3}}, f refused KEY_USED 0', 'a key of all users');
SELECT is(pg_temp.buy(:u, 'lim', 'l1', 'SUMMER_10') || ', ' || pg_temp.buy(:u, 'lim', 'l2', 'SUMMER_10'), 't new OK -27 {"promo": {"code": "SUMMER_10", "gold": 3}}, f refused USER_LIMIT 0', 'limits of the product come first');
SELECT is(pg_temp.buy(:u, 'sword', 'h1', 'SUMMER_10') || ', ' || pg_temp.buy(:u, 'sword', 'h2', 'SUMMER_10'), 't new OK -95 {"promo": {"code": "SUMMER_10", "gold": 10}}, f refused PROMO_USER_LIMIT 0 {"limit": 4}', 'so often for a user');
SELECT is(pg_temp.buy(:v, 'sword', 'h1', 'SUMMER_10'), 't new OK -95 {"promo": {"code": "SUMMER_10", "gold": 10}}', 'another may');
SELECT is(pg_temp.left_of('SUMMER_10') || ', ' || pg_temp.left_of('SUMMER_10/gold'), '98 of 32, 944 of 32', 'what was refused used nothing');
SET LOCAL economy.test_clock = '2031-01-03 00:00:00+00';
SELECT is(pg_temp.buy(:u, 'sword', 's1', 'SOON'), 't new OK -104 {"promo": {"code": "SOON", "gold": 1}}', 'its time has come');
SET LOCAL economy.test_clock = '2031-01-04 00:00:00+00';
SELECT is(pg_temp.buy(:u, 'sword', 's2', 'SOON'), 'f refused PROMO_NOT_ACTIVE 0 {"reason": "ended", "ends_at": "2031-01-04T00:00:00+00:00"}', 'and is over');
SELECT is(p.code || ' ' || p.active, 'TWENTY false', 'retired') FROM economy.retire_promo_code('twenty', 'bob') p;
SELECT is(pg_temp.buy(:u, 'sword', 's3', 'TWENTY'), 'f refused PROMO_NOT_ACTIVE 0 {"reason": "inactive"}', 'it serves no more');
SELECT throws_ok($$SELECT economy.retire_promo_code('NONE', 'bob')$$, 'XE305', 'promo code "NONE" does not exist', 'one that there is not');
SELECT throws_ok(format('SELECT economy.purchase(%s, ''pgtap_sword'', ''z'', 1, %L)', :u, context), 'XE002', 'context.promo must be a text', context) FROM unnest(ARRAY['{"promo": 1}', '{"promo": ["A"]}', '{"promo_use": {"code": "SUMMER_10", "gold": 9}}']) context;
SELECT throws_ok(format('SELECT economy.purchases(%L)', jsonb_build_array(jsonb_build_object('user_id', :u, 'product_id', 'pgtap_sword', 'idempotency_key', 'z', 'context', context::jsonb))), 'XE002', 'purchase 1: context.promo is for economy.purchase()', 'in a batch: ' || context) FROM unnest(ARRAY['{"promo": "SUMMER_10"}', '{"promo_use": 1}']) context;
SELECT is(pg_temp.wrong(), NULL, 'nothing is wrong');

-- stock that is reserved
SELECT is(r.code, 'OK', 'reserved') FROM economy.reserve(:v, 'pgtap_rare', 'r1', 1) r;
SELECT is(pg_temp.buy(:v, 'rare', 'r', 'LITTLE', 1, '{"reservation": "r1"}'), 'f refused PROMO_BUDGET 0 {"left": 20, "needed": 30}', 'with a reservation, refused');
SELECT is((SELECT r.state FROM economy.shop_reservations r WHERE r.user_id = :v), 'held', 'which is held yet');
SELECT is(pg_temp.buy(:v, 'rare', 'r', 'SUMMER_10', 1, '{"reservation": "r1"}'), 't new OK -27 {"promo": {"code": "SUMMER_10", "gold": 3}}', 'and used');

-- taken back: with the last unit the use comes back, and what was paid
SELECT is(pg_temp.back(:u, 'a', 'x1', 2), 'OK 2 left 1 189', 'two of three: what was paid for them');
SELECT is(pg_temp.left_of('SUMMER_10') || ', ' || pg_temp.left_of('SUMMER_10/gold'), '97 of 32, 941 of 32', 'a part of a purchase is a use yet');
SELECT is(pg_temp.back(:u, 'a', 'x2'), 'OK 1 left 0 95', 'the third: 284 in all');
SELECT is(pg_temp.left_of('SUMMER_10') || ', ' || pg_temp.left_of('SUMMER_10/gold'), '98 of 32, 972 of 32', 'a use, and its gold, came back');
SELECT is(pg_temp.back(:u, 'a', 'x2'), 'OK 1 left 95', 'called again');
SELECT is(pg_temp.left_of('SUMMER_10'), '98 of 32', 'they come back once');
SELECT is(pg_temp.buy(:u, 'sword', 'h3', 'SUMMER_10') || ', ' || pg_temp.buy(:u, 'sword', 'h4', 'SUMMER_10'), 't new OK -95 {"promo": {"code": "SUMMER_10", "gold": 10}}, f refused PROMO_USER_LIMIT 0 {"limit": 4}', 'its user may use it again, once');
SELECT is(pg_temp.back(:v, 'f1', 'x3'), 'OK 1 left 0 -550', 'the bonus goes back with what it was beside');
SELECT is(pg_temp.left_of('BONUS'), '1 of 32', 'and is a use for somebody else');
SELECT is(pg_temp.back(:w, 'e', 'x4'), 'OK 1 left 0 0', 'what was free gives nothing back');
SELECT is(pg_temp.buy(:w, 'shield', 'e2', 'FREE-SHIELD'), 'f refused PROMO_NEW_USERS 0', 'who has another purchase is not new');
SELECT is(pg_temp.back(:w, 'k', 'x5'), 'OK 1 left 0 0', 'all that he has bought is taken back');
SELECT is(pg_temp.buy(:w, 'shield', 'e2', 'FREE-SHIELD'), 't new OK 0 {"promo": {"code": "FREE-SHIELD", "gold": 50}}', 'so he is');
SELECT is(pg_temp.wrong(), NULL, 'nothing is wrong');
SELECT is_empty(format('SELECT f.* FROM unnest(ARRAY[%s, %s, %s]) i, economy.verify_chain(i) f', :u, :v, :w), 'nor in a stream');
SELECT is((SELECT string_agg(f.kind || ' ' || f.expected, ', ') FROM economy_internal.audit_config() f WHERE f.expected LIKE '%promo%'), NULL, 'nor in what is noted');

-- what the audit finds
CREATE FUNCTION pg_temp.found_after(damage text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text;
BEGIN
    EXECUTE damage;
    answer := pg_temp.wrong();
    RAISE EXCEPTION USING ERRCODE = 'UNDO0', MESSAGE = coalesce(answer, 'nothing');
EXCEPTION WHEN SQLSTATE 'UNDO0' THEN
    RETURN SQLERRM;
END
$$;
SELECT is(pg_temp.found_after(damage), says, damage) FROM (VALUES
    ('UPDATE economy.promo_stock SET remaining = remaining + 1 WHERE name = ''BONUS'' AND slot = 3', 'wrong_promo 2 of BONUS | 2 left in 32 slots and 1 used'), ('DELETE FROM economy.promo_stock WHERE name = ''BONUS'' AND slot = 31', 'wrong_promo 2 of BONUS | 1 left in 31 slots and 1 used'),
    ('ALTER TABLE economy.promo_stock DROP CONSTRAINT promo_stock_pkey; ALTER TABLE economy.promo_stock ALTER slot DROP NOT NULL; UPDATE economy.promo_stock SET slot = NULL WHERE name = ''BONUS'' AND slot = 7', 'wrong_promo 2 of BONUS | 1 left in 31 slots and 1 used'),
    ('UPDATE economy.promo_codes SET max_uses = 3 WHERE code = ''BONUS''', 'wrong_promo 3 of BONUS | 1 left in 32 slots and 1 used'), ('DELETE FROM economy.promo_stock WHERE name = ''LITTLE/gold''', 'wrong_promo 50 of LITTLE/gold | 0 left in 0 slots and 30 used'),
    ('INSERT INTO economy.promo_stock SELECT ''TWENTY'', n, 1 FROM generate_series(0, 31) n', 'wrong_promo no limit of TWENTY | 32 left in 32 slots and 2 used'),
    ('DELETE FROM economy.promo_uses WHERE code = ''TWENTY'' AND seq = (SELECT min(seq) FROM economy.promo_uses WHERE code = ''TWENTY'')', 'wrong_promo a use of TWENTY for 20 gold | none is noted'),
    ('UPDATE economy.promo_uses SET gold = 21 WHERE code = ''TWENTY'' AND seq = (SELECT min(seq) FROM economy.promo_uses WHERE code = ''TWENTY'')', 'wrong_promo a use of TWENTY for 20 gold | TWENTY for 21 gold'),
    ('INSERT INTO economy.promo_uses SELECT user_id, ''TWENTY'', 1, 5 FROM economy.users WHERE external_id = ''pgtap promo v''', 'wrong_promo no use of a code | TWENTY for 5 gold'),
    ('UPDATE economy.promo_codes SET value = 51 WHERE code = ''BONUS''', 'wrong_promo bonus 51, at most 2 of any product | BONUS: 50 gold for 1 pgtap_pack at 550, wrong_promo bonus 51, at most 2 of any product | BONUS: 50 gold for 2 pgtap_pack at 1050')) v (damage, says);
SELECT is(pg_temp.wrong(), NULL, 'nothing is wrong');

-- archived: what is noted counts on, and the audit knows that the entries are elsewhere
CREATE SCHEMA pgtap_promo;
CREATE TABLE pgtap_promo.archived (LIKE economy.shop_transactions);
SET LOCAL economy.test_clock = '2031-08-01 12:00:00+00';
SELECT code AS x FROM economy.purchase(:u, 'pgtap_free', 'late') \gset
SELECT code AS x FROM economy.purchase(:v, 'pgtap_free', 'late') \gset
SELECT code AS x FROM economy.purchase(:w, 'pgtap_free', 'late') \gset
SET LOCAL economy.test_clock = '2031-12-01 12:00:00+00';
SELECT is((SELECT count(*) FROM economy.archive('economy.shop_transactions', 'pgtap_promo.archived', '90 days', 1000) r WHERE r.entries > 0), 1::bigint, 'archived');
SELECT is((SELECT count(*) FROM economy.shop_transactions t WHERE t.context ? 'promo_use'), 0::bigint, 'with all that says what was used');
SELECT is(pg_temp.wrong(), NULL, 'nothing is wrong');
SELECT is(pg_temp.buy(:u, 'sword', 'later', 'SUMMER_10'), 'f refused PROMO_USER_LIMIT 0 {"limit": 4}', 'what a user has used counts');
SELECT is(pg_temp.buy(:w, 'shield', 'later', 'FREE-SHIELD'), 'f refused PROMO_NEW_USERS 0', 'and what he has bought');
SELECT is(pg_temp.buy(:v, 'sword', 'h1', 'SUMMER_10'), 'f refused RESYNC_REQUIRED 0 {"reason": "archived"}', 'a call that was made then is not made again');
SELECT is(pg_temp.found_after('DELETE FROM economy.promo_uses WHERE code = ''BONUS'''), 'wrong_promo 2 of BONUS | 1 left in 32 slots and 0 used', 'a use that is missing then, by its number');

-- a trigger that changes what is written
CREATE FUNCTION pg_temp.error_after(damage text, call text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE damage;
    EXECUTE call;
    RAISE EXCEPTION USING ERRCODE = 'UNDO0', MESSAGE = 'no error';
EXCEPTION WHEN SQLSTATE 'UNDO0' THEN
    RETURN SQLERRM;
WHEN SQLSTATE 'XE103' THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;
CREATE FUNCTION pg_temp.less() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.remaining := NEW.remaining - 1; RETURN NEW; END $$;
CREATE FUNCTION pg_temp.nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
SELECT is(pg_temp.error_after(damage, format(call, :u)), says, says) FROM (VALUES
    ('CREATE TRIGGER t BEFORE UPDATE ON economy.promo_stock FOR EACH ROW EXECUTE FUNCTION pg_temp.less()', $$SELECT economy.upsert_promo_code('{"code": "SUMMER_10", "max_uses": 200}', 'ann')$$, 'XE103 what is left of promo code "SUMMER_10" would be another than was asked for'),
    ('CREATE TRIGGER t BEFORE UPDATE ON economy.promo_codes FOR EACH ROW EXECUTE FUNCTION pg_temp.nothing()', $$SELECT economy.retire_promo_code('SUMMER_10', 'ann')$$, 'XE103 a row of economy.promo_codes would be kept in another way than was asked for'),
    ('DELETE FROM economy.promo_stock WHERE name = ''SUMMER_10/gold''', $$SELECT economy.upsert_promo_code('{"code": "SUMMER_10", "budget_gold": 2000}', 'ann')$$, 'XE103 what is left of promo code "SUMMER_10/gold" would be another than was asked for')) v (damage, call, says);
CREATE FUNCTION pg_temp.more() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.remaining := NEW.remaining + 100; RETURN NEW; END $$;
CREATE FUNCTION pg_temp.some() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN CASE WHEN NEW.slot < 4 THEN NEW END; END $$;
SELECT is(pg_temp.error_after(damage, $$SELECT economy.upsert_promo_code('{"code": "FRESH", "kind": "bonus", "value": 50, "max_uses": 10}', 'ann')$$), 'XE103 a row of economy.promo_stock would be kept in another way than was asked for', damage) FROM unnest(ARRAY[
    'CREATE TRIGGER t BEFORE INSERT ON economy.promo_stock FOR EACH ROW EXECUTE FUNCTION pg_temp.more()', 'CREATE TRIGGER t BEFORE INSERT ON economy.promo_stock FOR EACH ROW EXECUTE FUNCTION pg_temp.some()',
    'INSERT INTO economy.promo_stock VALUES (''FRESH'', 3, 50)']) damage;
-- a use that a trigger keeps is not given back, nor is the purchase
SELECT code AS x FROM economy.upsert_promo_code('{"code": "KEPT", "kind": "bonus", "value": 5, "max_uses": 3}', 'ann') \gset
SELECT p.transaction_id AS kept, p.code AS x FROM economy.purchase(:w, 'pgtap_pack', 'kept', 1, '{"promo": "KEPT"}') p \gset
SELECT is(:'x'::text, 'OK', 'one that uses a code');
SELECT is(pg_temp.error_after('CREATE TRIGGER t BEFORE DELETE ON economy.promo_uses FOR EACH ROW EXECUTE FUNCTION pg_temp.nothing()', format($$SELECT economy.refund_purchase(%s, %L, 'kept', NULL, 'why', 'ann')$$, :w, :'kept')),
    'XE103 a row of economy.promo_uses would be kept in another way than was asked for', 'a use that is kept');
SELECT is((SELECT r.code FROM economy.refund_purchase(:w, :'kept', 'kept', NULL, 'why', 'ann') r), 'OK', 'without the trigger it is refunded');
SELECT is(pg_temp.wrong(), NULL, 'nothing is wrong');
SELECT * FROM finish();
ROLLBACK;
