-- economy.refund_purchase(): what a purchase moved is moved back, once for each key, never more
-- than it bought, and never below zero; stock, limits, workers and scores go with it.
BEGIN;
SELECT no_plan();
SET LOCAL economy.test_clock = '2026-03-02 12:00:00+00';

SELECT economy.register('pgtap refunds') AS u \gset
SELECT economy.register('pgtap refunds other') AS other \gset
SELECT count(i.kind) AS x FROM (VALUES ('pgtap_key', 'stack'), ('pgtap_gem', 'currency'), ('pgtap_vip', 'pass')) v (id, kind),
    economy.upsert_item(jsonb_build_object('item_id', v.id, 'kind', v.kind), 'pgtap') i \gset
SELECT count(p.product_id) AS x FROM (VALUES
    ('chest', '{"category": "item", "price_gold": 20, "monetary": 7, "contents": {"pgtap_key": 3, "pgtap_vip": 3600}, "price_items": {"pgtap_gem": 5}, "per_user_limit": 4, "limit_period": "day"}'),
    ('once', '{"category": "item", "price_gold": 10, "limit_once": true}'), ('letter', '{"category": "item", "price_gold": 10, "fulfilment": true}'),
    ('pack', '{"category": "conversion", "source_points": 5, "granted_gold": 500, "monetary": 99}'),
    ('freeze', '{"category": "item", "price_gold": 1, "effect_code": "streak_freeze"}')) v (id, product),
    economy.upsert_product(v.product::jsonb || jsonb_build_object('product_id', 'pgtap_' || v.id), 'pgtap') p \gset
SELECT economy.add_stock('pgtap_chest', 10, 'pgtap', 3) AS x \gset
SELECT code AS x FROM economy.adjust_gold(:u, 1000, 'o', 'opening', 'pgtap') \gset
SELECT code AS x FROM economy.grant_items(:u, '{"pgtap_gem": 100}', 'opening', 'o') \gset
CREATE FUNCTION pg_temp.buy(product text, key text, n integer DEFAULT 1) RETURNS text LANGUAGE sql AS $$
    SELECT replace(concat_ws(' ', p.code, p.transaction_id, p.user_limit_remaining, p.stock_remaining), u.user_id || '-', 'U-')
    FROM economy.users u, economy.purchase(u.user_id, 'pgtap_' || product, key, n) p WHERE u.external_id = 'pgtap refunds' $$;
CREATE FUNCTION pg_temp.back(entry text, key text, n integer DEFAULT NULL, policy text DEFAULT 'refuse', restock boolean DEFAULT true) RETURNS text LANGUAGE sql AS $$
    SELECT replace(concat_ws(' ', r.state, r.code, r.transaction_id, r.quantity, 'left', r.quantity_left, 'gold', r.gold_delta, r.gold, r.detail,
        (SELECT string_agg(concat_ws(' ', i -> 'item', i -> 'delta', i -> 'balance'), ', ' ORDER BY i ->> 'item') FROM jsonb_array_elements(r.items) i WHERE i ->> 'item' <> 'pgtap_vip'),
        (SELECT (i -> 'delta')::text FROM jsonb_array_elements(r.items) i WHERE i ->> 'item' = 'pgtap_vip')), u.user_id || '-', 'U-')
    FROM economy.users u, economy.refund_purchase(u.user_id, replace(entry, 'U', u.user_id::text), key, n, 'a reason', 'an actor', policy, restock) r
    WHERE u.external_id = 'pgtap refunds' $$;
CREATE FUNCTION pg_temp.wrong() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT format('%s: %s | %s', a.kind, a.expected, a.actual) FROM economy.audit_sweep() a ORDER BY 1 $$;

-- an item: gold, items, stock and the limit
SELECT is(pg_temp.buy('chest', 'k1', 4), 'OK PU-3 0 6', 'bought');
SELECT is(pg_temp.buy('chest', 'k2'), 'USER_LIMIT 0', 'no more today');
SELECT is(pg_temp.back('PU-3', 'r1', 1), 'new OK BU-4 1 left 3 gold 20 940 "pgtap_gem" 5 85, "pgtap_key" -3 9 -3600', 'a part is taken back');
SELECT is(pg_temp.back('PU-3', 'r1', 1), 'reuse OK BU-4 1 left gold 20 940 "pgtap_gem" 5 85, "pgtap_key" -3 9 -3600', 'once for each key');
SELECT is(pg_temp.back('PU-3', 'r1'), 'refused IDEMPOTENCY_MISMATCH BU-4 left gold 0 {"now": null, "field": "quantity", "first": 1}', 'all is something else');
SELECT is(pg_temp.buy('chest', 'k2'), 'OK PU-5 0 6', 'the limit is open again, and the stock has the unit');
SELECT is(pg_temp.back('PU-3', 'r2', 4), 'refused EXCEEDS_PURCHASE left 3 gold 0 920 {"bought": 4, "refunded": 1}', 'not more than is left');
SELECT is((SELECT string_agg(concat_ws(' ', p.product_id, p.quantity, p.refunded), ', ' ORDER BY p.seq) FROM economy.purchases_of(:u) p),
    'pgtap_chest 4 1, pgtap_chest 1 0', 'a list of purchases says so');
SELECT is((SELECT concat_ws(' ', v.code, v.quantity) FROM economy.consume(:u, 'pgtap_key', 'c', 5) c, economy.refund_purchase(:u, format('P%s-3', :u), 'r2', NULL, 'r', 'a') v),
    'INSUFFICIENT_ITEMS', 'what is used up is missing');
SELECT is(pg_temp.back('PU-3', 'r2', NULL, 'take_available', false),
    'new OK BU-7 3 left 0 gold 60 980 {"already_used": {"pgtap_key": 2}} "pgtap_gem" 15 95, "pgtap_key" -7 0 -10800', 'or is left out, and said');
SELECT is(pg_temp.back('PU-3', 'r3'), 'refused EXCEEDS_PURCHASE left 0 gold 0 980 {"bought": 4, "refunded": 4}', 'nothing is left');
SELECT is((SELECT array_agg(s.remaining ORDER BY s.remaining) FROM (SELECT sum(t.remaining) AS remaining FROM economy.shop_stock t WHERE t.product_id = 'pgtap_chest') s), '{6}', 'those were not for the stock');
SELECT is((SELECT concat_ws(' ', s.units, s.day_units) FROM economy_internal.shop_user_units s WHERE s.user_id = :u), '1 1', 'one counts');
SELECT is(pg_temp.back('PU-5', 'r1'), 'refused INSUFFICIENT_ITEMS left 1 gold 0 980 {"held": 0, "item": "pgtap_key", "needed": 3}', 'what is missing is named');
SELECT is(pg_temp.back('PU-5', 'r1', 1, 'take_available'), 'new OK BU-8 1 left 0 gold 20 1000 {"already_used": {"pgtap_key": 3}} "pgtap_gem" 5 100 -3600', 'the last one');
SELECT is_empty('SELECT * FROM economy_internal.shop_user_units WHERE user_id = ' || :u, 'none counts');
SELECT is_empty('SELECT pg_temp.wrong()', 'all of it agrees');

-- what may be bought once
SELECT is(pg_temp.buy('once', 'k1'), 'OK PU-9 0', 'bought once');
SELECT is(pg_temp.buy('once', 'k2'), 'LIMIT_ONCE 0', 'not twice');
SELECT alike(pg_temp.back('PU-9', 'r1'), 'new OK BU-10 1 left 0 gold 10 1000', 'taken back');
SELECT is((SELECT p.code FROM economy.product('pgtap_once', :u) p), 'OK', 'the shop offers it again');
SELECT is(pg_temp.buy('once', 'k2'), 'OK PU-11 0', 'and once more it is bought');
SELECT is(pg_temp.buy('once', 'k3'), 'LIMIT_ONCE 0', 'once');
SELECT is((SELECT string_agg(p.code, ' ') FROM economy.purchases(ARRAY[:u], '{pgtap_once}', '{k4}') p), 'LIMIT_ONCE', 'of many, too');

-- a worker's work
SELECT is(pg_temp.buy('letter', 'k1', 3), 'OK PU-12', 'to be fulfilled');
SELECT is(pg_temp.back('PU-12', 'r1', 1), 'new OK BU-13 1 left 2 gold 10 970 {"fulfilment": "reduced"}', 'less of it');
SELECT is((SELECT string_agg(concat_ws(' ', f.product_id, f.quantity), ' ') FROM economy.unfulfilled('w') f), 'pgtap_letter 2', 'the worker is told so');
SELECT is(pg_temp.back('PU-12', 'r2'), 'refused LEASED left 2 gold 0 970', 'while he is at it');
SET LOCAL economy.test_clock = '2026-03-02 12:05:00+00';
SELECT is(pg_temp.back('PU-12', 'r2'), 'new OK BU-14 2 left 0 gold 20 990 {"fulfilment": "cancelled"}', 'he was not in time');
SELECT is((SELECT concat_ws(' ', f.success, f.code, f.detail) FROM economy.fulfil(:u, format('P%s-12', :u), 'w') f), 'f REFUNDED {"refunded_at": "2026-03-02T12:05:00+00:00"}', 'and is told so');
SELECT is((SELECT f.code FROM economy.fulfil(:u, format('P%s-12', :u), 'another') f), 'REFUNDED', 'as is every other one');
SELECT is_empty('SELECT * FROM economy.unfulfilled(''w'')', 'nothing waits');
SELECT is(pg_temp.buy('letter', 'k2'), 'OK PU-15', 'another');
SELECT is((SELECT f.code FROM economy.fulfil(:u, format('P%s-15', :u), 'w') f), 'OK', 'done');
SELECT is(pg_temp.back('PU-15', 'r1'), 'new OK BU-16 1 left 0 gold 10 990 {"fulfilment": "fulfilled"}', 'the app is told that it was');

-- what cannot be taken back of what it gave leaves the worker's work, and each of several is left out
SAVEPOINT kit;
SELECT i.kind AS x FROM economy.upsert_item('{"item_id": "pgtap_box", "kind": "stack"}', 'pgtap') i \gset
SELECT p.product_id AS x FROM economy.upsert_product('{"product_id": "pgtap_kit", "category": "item", "price_gold": 10, "fulfilment": true, "contents": {"pgtap_box": 2, "pgtap_key": 3}}', 'pgtap') p \gset
SELECT transaction_id AS kit FROM economy.purchase(:u, 'pgtap_kit', 'k1') \gset
SELECT is((SELECT string_agg(c.code, ' ') FROM economy.holdings(:u) h, economy.consume(:u, h.item_id, 'c' || h.item_id, h.quantity) c WHERE h.item_id IN ('pgtap_box', 'pgtap_key')), 'OK OK', 'both are used up');
SELECT is((SELECT r.code FROM economy.refund_purchase(:u, :'kit', 'r1', NULL, 'r', 'a') r), 'INSUFFICIENT_ITEMS', 'and not there');
SELECT is((SELECT string_agg(f.product_id, ' ') FROM economy.unfulfilled('w', product_id => 'pgtap_kit', lease => '1 second') f), 'pgtap_kit', 'what was not taken back is handed out');
SET LOCAL economy.test_clock = '2026-03-02 12:07:00+00';
SELECT is((SELECT concat_ws(' ', r.code, r.detail -> 'already_used') FROM economy.refund_purchase(:u, :'kit', 'r1', NULL, 'r', 'a', 'take_available') r), 'OK {"pgtap_box": 2, "pgtap_key": 3}', 'each of them is told');
ROLLBACK TO kit;

-- a conversion takes its gold back
SELECT is(pg_temp.buy('pack', 'k1', 3), 'OK PU-17', 'three packs');
SELECT is((SELECT s.gold FROM economy.spend(:u, 2400, 'r', 's1') s), 90::bigint, 'most of it is spent');
SELECT is(pg_temp.back('PU-17', 'r1', 1), 'refused INSUFFICIENT_GOLD left 3 gold 0 90 {"needed": 500, "needed_xp": 0}', 'and not there');
SELECT is(pg_temp.back('PU-17', 'r1', 1, 'take_available'), 'new OK BU-19 1 left 2 gold -90 0 {"debt_gold": 410}', 'what is there is taken, the rest is said');
SELECT is(pg_temp.back('PU-17', 'r2', 2, 'take_available'), 'new OK BU-20 2 left 0 gold 0 0 {"debt_gold": 1000}', 'never below zero');
SELECT is((SELECT sum(r.monetary) FROM economy.shop_refunds r WHERE r.user_id = :u AND r.reverses = 17), 297::numeric, 'the value of all of it');
SELECT is((SELECT count(*) FROM economy_internal.rfm_reversals v WHERE v.user_id = :u), 6::bigint, 'purchases that count no more');

-- a limit of a week, of which one of two days was taken back
SAVEPOINT week;
SELECT code AS x FROM economy.adjust_gold(:u, 50, 'week', 'r', 'pgtap') \gset
SELECT p.product_id AS x FROM economy.upsert_product('{"product_id": "pgtap_week", "category": "item", "price_gold": 1, "per_user_limit": 2, "limit_period": "week"}', 'pgtap') p \gset
SET LOCAL economy.test_clock = '2026-03-09 12:00:00+00';
SELECT is(p.code, 'OK', 'on Monday') FROM economy.purchase(:u, 'pgtap_week', 'monday') p;
SET LOCAL economy.test_clock = '2026-03-11 12:00:00+00';
SELECT p.transaction_id AS wednesday FROM economy.purchase(:u, 'pgtap_week', 'wednesday') p \gset
SELECT is(r.code, 'OK', 'and on Wednesday, which is taken back') FROM economy.refund_purchase(:u, :'wednesday', 'r', NULL, 'r', 'a') r;
SELECT is((SELECT concat_ws(' ', p.code, p.user_limit_remaining) FROM economy.purchase(:u, 'pgtap_week', 'two', 2) p) || ' ' || (SELECT concat_ws(' ', p.code, p.user_limit_remaining) FROM economy.purchase(:u, 'pgtap_week', 'one', 1) p), 'USER_LIMIT 1 OK 0', 'one of the week is left');
ROLLBACK TO week;

-- what nobody has had is nobody's work, whatever the clock was when it was bought; a row that damage has doubled is none
SAVEPOINT ahead;
SELECT code AS x FROM economy.adjust_gold(:u, 50, 'ahead', 'r', 'pgtap') \gset
SET LOCAL economy.test_clock = '2026-03-02 13:00:00+00';
SELECT replace(p.transaction_id, :u || '-', 'U-') AS ahead FROM economy.purchase(:u, 'pgtap_letter', 'ahead', 2) p \gset
SET LOCAL economy.test_clock = '2026-03-02 12:30:00+00';
SELECT alike(pg_temp.back(:'ahead', 'r1', 1), 'new OK % {"fulfilment": "reduced"}', 'of a clock that was ahead');
ALTER TABLE economy.fulfilments DROP CONSTRAINT fulfilments_pkey;
INSERT INTO economy.fulfilments SELECT * FROM economy.fulfilments WHERE user_id = :u AND 'PU-' || seq = :'ahead';
SET LOCAL plpgsql.extra_errors = 'none';
SELECT throws_ok(format('SELECT pg_temp.back(%L, ''r2'')', :'ahead'), 'XE103', 'a purchase would wait for a worker after it was refunded', 'nothing is cancelled of one that is there twice');
ROLLBACK TO ahead;

-- what is owed is taken from what comes later, when the operator says so
SELECT is((SELECT string_agg(concat_ws(' ', replace(d.refund, :u || '-', 'U-'), d.gold), ', ') FROM economy.debts_of(:u) d), 'BU-19 410, BU-20 1000', 'what is owed');
SELECT is((SELECT a.code FROM economy.adjust_gold(:u, 500, 'd', 'r', 'pgtap') a), 'OK', 'gold comes');
SELECT is((SELECT concat_ws(' ', c.collected, c.next) FROM economy_internal.collect_debts() c), '0', 'nobody has switched it on');
SET LOCAL economy.collect_debts = on;
SELECT economy.set_user_status(:u, 'suspended', 'pgtap', 's1', 'owes') IS NULL AS x \gset
-- one that cannot be collected keeps no other from it
SELECT count(*) AS x FROM (VALUES (:u, 500)) v (id, gold), LATERAL (SELECT economy.adjust_gold(:other, 500, 'o', 'r', 'pgtap')) a,
    LATERAL (SELECT p.transaction_id FROM economy.purchase(:other, 'pgtap_pack', 'k') p) b, LATERAL (SELECT economy.spend(:other, 1000, 'r', 's')) c,
    LATERAL (SELECT economy.refund_purchase(:other, b.transaction_id, 'r', NULL, 'r', 'a', 'take_available')) d, LATERAL (SELECT economy.adjust_gold(:other, 5, 'o2', 'r', 'pgtap')) e \gset
SELECT is((SELECT sum(d.gold) FROM economy.debts_of(:other) d), 500::numeric, 'another debtor');
CREATE FUNCTION pg_temp.in_the_way() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.user_id = economy.user_id_of('pgtap refunds') THEN RETURN NULL; END IF; RETURN NEW; END $$;
CREATE TRIGGER in_the_way BEFORE UPDATE ON economy.shop_debts FOR EACH ROW EXECUTE FUNCTION pg_temp.in_the_way();
SAVEPOINT before;
SELECT is((SELECT concat_ws(' ', c.collected, c.failed, c.next) FROM economy_internal.collect_debts() c), '2 1', 'of a trigger that keeps a debt as it is');
SELECT is((SELECT string_agg(d.gold::text, ' ') FROM economy.debts_of(:u) d), '1000', 'that debt stays');
SELECT is((SELECT sum(d.gold) FROM economy.debts_of(:other) d), 495::numeric, 'that of the other is less');
SELECT is_empty('SELECT * FROM economy_internal.audit_refunds()', 'and they are what entries say');
ROLLBACK TO before;
DROP TRIGGER in_the_way ON economy.shop_debts;
-- however much there is: of a debt behind one that takes it all nothing is tried, and nothing fails
CREATE FUNCTION pg_temp.collected(have bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    debtor CONSTANT bigint := economy.user_id_of('pgtap refunds');
    says   text;
BEGIN
    PERFORM economy.adjust_gold(debtor, have - a.gold, 'have', 'r', 'pgtap') FROM economy.account(debtor) a WHERE a.gold <> have;
    says := (SELECT concat_ws(' ', c.failed, 'failed', c.next) FROM economy_internal.collect_debts() c);
    says := concat_ws(', ', says, (SELECT a.gold FROM economy.account(debtor) a) || ' gold', 'owed ' || (SELECT string_agg(d.gold::text, ' ') FROM economy.debts_of(debtor) d));
    RAISE EXCEPTION USING ERRCODE = 'PT001';
EXCEPTION WHEN SQLSTATE 'PT001' THEN
    RETURN says;
END
$$;
SELECT is(pg_temp.collected(have), says, 'of ' || have || ' gold')
FROM (VALUES (0, '0 failed, 0 gold, owed 410 1000'), (1, '0 failed, 0 gold, owed 409 1000'), (409, '0 failed, 0 gold, owed 1 1000'), (410, '0 failed, 0 gold, owed 1000'),
    (411, '0 failed, 0 gold, owed 999'), (1409, '0 failed, 0 gold, owed 1'), (1410, '0 failed, 0 gold'), (1411, '0 failed, 1 gold')) v (have, says);
SELECT is((SELECT concat_ws(' ', c.collected, c.next -> 'seq') FROM economy_internal.collect_debts(NULL, 1) c), '1 19', 'the oldest first, of a suspended user, too');
SELECT is((SELECT concat_ws(' ', c.collected, c.next) FROM economy_internal.collect_debts(NULL, 9) c), '2', 'and what there is for the next, and of the other');
SELECT is((SELECT string_agg(concat_ws(' ', replace(h.reason, h.user_id || '-', 'U-'), h.gold_delta, h.gold), ', ' ORDER BY h.seq) FROM economy.holding_changes h WHERE h.user_id = :u AND h.operation = 'debt'), 'BU-19 -410 90, BU-20 -90 0', 'each an entry');
SELECT is((SELECT string_agg(d.gold::text, ' ') FROM economy.debts_of(:u) d), '910', 'the rest is owed');
SELECT is((SELECT concat_ws(' ', c.collected, c.next) FROM economy_internal.collect_debts() c), '0', 'nothing is there');
SELECT economy.set_user_status(:u, 'active', 'pgtap', 's2', 'pays') IS NULL AS x \gset
SELECT is_empty('SELECT pg_temp.wrong()', 'and the audit agrees');
SAVEPOINT more;
SELECT is((SELECT a.code FROM economy.adjust_gold(:u, 100, 'd2', 'r', 'pgtap') a), 'OK', 'more comes');
SELECT is((SELECT concat_ws(' ', c.collected, c.next) FROM economy_internal.collect_debts(jsonb_build_object('user_id', :u, 'seq', 20), 1) c), '0', 'none is owed behind the last debt');
SELECT is((SELECT concat_ws(' ', c.collected, c.failed) FROM economy_internal.collect_debts() c) || ' ' || (SELECT string_agg(d.gold::text, ' ') FROM economy.debts_of(:u) d), '1 0 810', 'of one that was collected in part the next part is');
ROLLBACK TO more;
SET LOCAL economy.collect_debts = off;

-- streak freezes
SELECT is((SELECT a.code FROM economy.adjust_gold(:u, 10, 'p', 'r', 'pgtap') a), 'OK', 'gold for some');
SELECT is(pg_temp.buy('freeze', 'k1', 2), 'OK PU-27', 'two freezes');
SELECT is(pg_temp.back('PU-27', 'r1', 1), 'new OK BU-28 1 left 1 gold 1 9 "streak_freeze" -1 1', 'one goes back');
SELECT is((SELECT a.streak_freezes FROM economy.accounts a WHERE a.user_id = :u), 1, 'one is held');

-- XP, and the level that it led to
SELECT is((SELECT p.granted_xp FROM economy.upsert_product('{"product_id": "pgtap_tome", "category": "item", "price_gold": 1, "granted_xp": 600}', 'pgtap') p), 600::bigint, 'a product with XP');
SELECT is(pg_temp.buy('tome', 'k1', 2), 'OK PU-29', 'XP is bought');
SELECT is(pg_temp.back('PU-29', 'r1', 1), 'new OK BU-30 1 left 1 gold 1 8', 'and goes back');
SELECT is((SELECT concat_ws(' ', r.xp_delta, r.experience_points) FROM economy.shop_refunds r WHERE r.user_id = :u AND r.seq = 30), '-600 600', 'so much of it');
SELECT is((SELECT string_agg(concat_ws(' ', r.type, r.event::jsonb #> '{data,before}', r.event::jsonb #> '{data,after}'), ', ') FROM economy.replay(:u, 29) r WHERE r.code = 'EVENT'),
    'purchase_refunded, profile_update 3 2', 'the level is told');

-- what a DBA's trigger suppresses is no refund
CREATE FUNCTION pg_temp.nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE FUNCTION pg_temp.suppressed(tab text, event text, entry text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    state text;
BEGIN
    EXECUTE format('CREATE TRIGGER aaa_nothing BEFORE %s ON %s FOR EACH ROW EXECUTE FUNCTION pg_temp.nothing()', event, tab);
    PERFORM pg_temp.back(entry, 'suppressed', NULL, 'take_available');
    RAISE EXCEPTION 'it was made' USING ERRCODE = 'P0099';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE;
    RETURN state;
END
$$;
SELECT is((SELECT a.code FROM economy.adjust_gold(:u, 100, 'p9', 'r', 'pgtap') a), 'OK', 'gold');
SELECT alike(pg_temp.buy('letter', 'k9'), 'OK PU-%', 'one that waits');
SELECT alike(pg_temp.buy('chest', 'k9'), 'OK PU-%', 'one of a stock');
SELECT alike(pg_temp.buy('pack', 'k9'), 'OK PU-%', 'one that leaves a debt');
SELECT is((SELECT s.gold FROM economy.account(:u) a, economy.spend(:u, a.gold, 'r', 's9') s), 0::bigint, 'when all is spent');
SELECT is(pg_temp.suppressed(v.tab, v.event, replace(p.transaction_id, :u || '-', 'U-')), 'XE103', v.event || ' of ' || v.tab)
FROM (VALUES ('economy_internal.rfm_reversals', 'INSERT', 'pgtap_letter'), ('economy.fulfilments', 'UPDATE', 'pgtap_letter'),
             ('economy.shop_stock', 'UPDATE', 'pgtap_chest'), ('economy.shop_debts', 'INSERT', 'pgtap_pack'), ('economy.shop_refunds', 'INSERT', 'pgtap_letter'),
             ('economy.accounts', 'UPDATE', 'pgtap_letter')) v (tab, event, product)
JOIN LATERAL (SELECT l.transaction_id FROM economy.purchases_of(:u) l WHERE l.product_id = v.product AND l.refunded = 0 ORDER BY l.seq DESC LIMIT 1) p ON true;

-- nor is it one when user code takes back the same units, or buys what may be had once, before the entry can be seen
CREATE FUNCTION pg_temp.back_too() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() = 1 THEN
        IF current_setting('pgtap.buys') = '' THEN
            PERFORM economy.refund_purchase(NEW.user_id, current_setting('pgtap.takes'), 'from within', 1, 'r', 'a', 'take_available');
        ELSE
            PERFORM economy.purchase(NEW.user_id, current_setting('pgtap.buys'), 'from within');
        END IF;
    END IF;
    RETURN NEW;
END $$;
CREATE FUNCTION pg_temp.meddled(tab text, event text, takes text, buys text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    state text;
BEGIN
    EXECUTE format('CREATE TRIGGER zzz_too %s ON %s FOR EACH ROW EXECUTE FUNCTION pg_temp.back_too()', event, tab);
    PERFORM set_config('pgtap.takes', takes, true), set_config('pgtap.buys', buys, true);
    IF buys = '' THEN
        PERFORM economy.refund_purchase(economy.user_id_of('pgtap refunds'), takes, 'meddled', 1, 'r', 'a', 'take_available');
    ELSE
        PERFORM economy.purchase(economy.user_id_of('pgtap refunds'), buys, 'meddled');
    END IF;
    RAISE EXCEPTION 'it was made' USING ERRCODE = 'P0099';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE;
    RETURN state;
END
$$;
SELECT b.transaction_id AS chest FROM economy.adjust_gold(:u, 500, 'p10', 'r', 'pgtap') a, economy.purchase(:u, 'pgtap_chest', 'k10', 2) b \gset
SELECT string_agg(r.code, ' ') AS x FROM economy.purchases_of(:u) p, economy.refund_purchase(:u, p.transaction_id, 'again', NULL, 'r', 'a') r
WHERE p.product_id = 'pgtap_once' AND p.refunded = 0 \gset
SELECT is(pg_temp.meddled(v.tab, v.event, :'chest', v.buys), '27000', concat_ws(' ', v.event, v.tab, v.buys))
FROM (VALUES ('economy.accounts', 'AFTER UPDATE', ''), ('economy.shop_refunds', 'BEFORE INSERT', ''),
             ('economy.accounts', 'AFTER UPDATE', 'pgtap_once'), ('economy.shop_transactions', 'BEFORE INSERT', 'pgtap_once')) v (tab, event, buys);
-- nor does it take back another purchase of the same product then, whose units would be counted without it
SELECT b.transaction_id AS chest2 FROM economy.purchase(:u, 'pgtap_chest', 'k11', 1) b \gset
CREATE FUNCTION pg_temp.other_too() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() = 1 THEN
        PERFORM economy.refund_purchase(NEW.user_id, current_setting('pgtap.takes'), 'of another', 1, 'r', 'a', 'take_available');
    END IF;
    RETURN NEW;
END $$;
CREATE FUNCTION pg_temp.other_meddled(tab text, event text, takes text, other text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    state text;
BEGIN
    EXECUTE format('CREATE TRIGGER zzz_other %s ON %s FOR EACH ROW EXECUTE FUNCTION pg_temp.other_too()', event, tab);
    PERFORM set_config('pgtap.takes', other, true);
    PERFORM economy.refund_purchase(economy.user_id_of('pgtap refunds'), takes, 'meddled', 1, 'r', 'a', 'take_available');
    RAISE EXCEPTION 'it was made' USING ERRCODE = 'P0099',
        DETAIL = concat_ws(' ', 'made', (SELECT count(*) FROM economy_internal.audit_units(economy.user_id_of('pgtap refunds'), economy.user_id_of('pgtap refunds'))));
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, takes = PG_EXCEPTION_DETAIL;
    RETURN CASE state WHEN 'P0099' THEN takes ELSE state END;
END
$$;
SELECT is(pg_temp.other_meddled(v.tab, v.event, :'chest', :'chest2'), v.says, concat_ws(' ', v.event, v.tab, 'another'))
FROM (VALUES ('economy.accounts', 'AFTER UPDATE', '27000'), ('economy.shop_refunds', 'BEFORE INSERT', '27000'), ('economy.shop_refunds', 'AFTER INSERT', 'made 0')) v (tab, event, says);
SELECT is((SELECT r.code FROM economy.refund_purchase(:u, :'chest', 'all', NULL, 'r', 'a') r), 'OK', 'without it, it is one');

-- what is none
SELECT is(pg_temp.back('PU-99', 'x'), 'refused PURCHASE_NOT_FOUND left gold 0', 'no such purchase');
SELECT is(pg_temp.back('BU-28', 'x'), 'refused PURCHASE_NOT_FOUND left gold 0 {"is": "refund"}', 'a refund is none');
SELECT is(pg_temp.back('nonsense', 'x'), 'refused PURCHASE_NOT_FOUND left gold 0', 'nor is a word');
SELECT is((SELECT r.code FROM economy.refund_purchase(:other, format('P%s-3', :u), 'x', 1, 'r', 'a') r), 'PURCHASE_NOT_FOUND', 'nor that of another user');
SELECT is((SELECT r.code FROM economy.refund_purchase(-1, 'P-1-3', 'x', 1, 'r', 'a') r), 'USER_NOT_FOUND', 'nor one of nobody');
SELECT throws_ok(format('SELECT economy.refund_purchase(%s, %L, %L, 0, %L, %L)', :u, 'P', 'k', 'r', 'a'), 'XE002', 'quantity 0 is out of range');
SELECT throws_ok(format('SELECT economy.refund_purchase(%s, %L, %L, 1, %L)', :u, 'P', 'k', 'r'), 'XE001', 'actor must not be null');
SELECT throws_ok(format('SELECT economy.refund_purchase(%s, %L, %L, 1, %L, %L, %L)', :u, 'P', 'k', 'r', 'a', 'all'), 'XE002', 'policy "all" is not known');
SELECT is_empty('SELECT pg_temp.wrong()', 'all of it agrees');
SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s)', :u), 'and is a chain');


-- damage is found
CREATE FUNCTION pg_temp.planted(damage text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    found_now text;
BEGIN
    EXECUTE damage;
    -- what a sweep asks of this user, and of the stock
    SELECT string_agg(DISTINCT a.kind, ' ' ORDER BY a.kind) INTO found_now
    FROM (SELECT u.user_id FROM economy.users u WHERE u.external_id = 'pgtap refunds') w (u),
         LATERAL (SELECT * FROM economy_internal.audit_refunds(w.u, w.u) UNION ALL SELECT * FROM economy_internal.audit_holdings(w.u, w.u)
                  UNION ALL SELECT * FROM economy.verify_chain(w.u) UNION ALL SELECT * FROM economy_internal.audit_stock()) a;
    RAISE EXCEPTION 'planted' USING ERRCODE = 'P0099', DETAIL = coalesce(found_now, 'nothing');
EXCEPTION WHEN SQLSTATE 'P0099' THEN
    GET STACKED DIAGNOSTICS found_now = PG_EXCEPTION_DETAIL;
    RETURN found_now;
END
$$;
-- damage is no call
ALTER TABLE economy.shop_refunds DISABLE TRIGGER USER;
SELECT alike(pg_temp.planted(replace(v.damage, '{u}', :'u')), '%' || v.kind || '%', v.damage)
FROM (VALUES
    ('wrong_refund', 'UPDATE economy.shop_refunds SET quantity = 2, restocked = 0, asked = NULL WHERE user_id = {u} AND seq = 8'),
    ('wrong_refund', 'UPDATE economy.shop_refunds SET monetary = monetary + 1 WHERE user_id = {u} AND seq = 19'),
    ('wrong_refund', 'UPDATE economy.shop_refunds SET debt_gold = debt_gold + 1 WHERE user_id = {u} AND seq = 20'),
    ('wrong_refund', 'UPDATE economy.shop_refunds SET product_id = ''pgtap_once'' WHERE user_id = {u} AND seq = 19'),
    ('wrong_stock', 'UPDATE economy.shop_refunds SET restocked = 0 WHERE user_id = {u} AND seq = 4'),
    ('wrong_refund', 'UPDATE economy.shop_refunds SET items = NULL WHERE user_id = {u} AND seq = 28'),
    ('wrong_refund', 'UPDATE economy.shop_refunds SET items = jsonb_set(items, ''{0,delta}'', ''-2'') WHERE user_id = {u} AND seq = 4'),
    ('parity', 'DELETE FROM economy_internal.rfm_reversals WHERE user_id = {u} AND seq = 3'),
    ('parity', 'INSERT INTO economy_internal.rfm_reversals VALUES ({u}, 27)'),
    ('parity', 'UPDATE economy.fulfilments SET refunded_at = NULL, visible_at = due_at WHERE user_id = {u} AND seq = 12'),
    ('parity', 'UPDATE economy.shop_debts SET gold = gold + 1 WHERE user_id = {u}'), ('parity', 'DELETE FROM economy.shop_debts WHERE user_id = {u}'),
    ('missing_entry', 'DELETE FROM economy.shop_refunds WHERE user_id = {u} AND seq = 4')) v (kind, damage);

-- many purchases know of what was taken back
SELECT economy.register('pgtap refunds many') AS many \gset
SELECT code AS x FROM economy.adjust_gold(:many, 100, 'o', 'opening', 'pgtap') \gset
SELECT code AS x FROM economy.purchase(:many, 'pgtap_once', 'k1') \gset
SELECT code AS x FROM economy.refund_purchase(:many, format('P%s-2', :many), 'r1', NULL, 'r', 'a') \gset
SELECT results_eq('SELECT p.code FROM economy.purchases(ARRAY[' || :many || ', ' || :many || ']::bigint[], ARRAY[''pgtap_once'', ''pgtap_once''], ARRAY[''k2'', ''k3'']) p',
    ARRAY['OK', 'LIMIT_ONCE'], 'what may be had once is bought again, once');

SELECT * FROM finish();
ROLLBACK;
