-- Limits per user and period, keys of all users together, and stock that comes and goes.
BEGIN;
SELECT no_plan();
\i test/writable_views.sql
SELECT economy.register('pgtap limited') AS u \gset
SELECT economy.register('pgtap limited too') AS v \gset
SELECT count(*) AS x FROM unnest(ARRAY[:u, :v]) i, economy.adjust_gold(i, 1000000, 'open', 'pgtap', 'pgtap') \gset
CREATE FUNCTION pg_temp.at(clock text) RETURNS void LANGUAGE sql AS $$ SELECT set_config('economy.test_clock', clock, true) $$;
CREATE FUNCTION pg_temp.product(product jsonb) RETURNS void LANGUAGE sql AS $$ SELECT FROM economy.upsert_product(product, 'pgtap') $$;
-- code, units left and detail of a purchase
CREATE FUNCTION pg_temp.buy(clock text, product text, n integer DEFAULT 1, who text DEFAULT 'pgtap limited') RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_temp.at(clock);
    RETURN (SELECT concat_ws(' ', p.code, p.user_limit_remaining, p.detail - 'apply') FROM economy.purchase(economy.user_id_of(who), product, gen_random_uuid()::text, n) p);
END
$$;
CREATE FUNCTION pg_temp.audit() RETURNS text LANGUAGE sql AS $$ SELECT string_agg(concat_ws(' ', kind, expected, actual), ', ') FROM (SELECT * FROM economy_internal.audit_shop() UNION ALL SELECT * FROM economy_internal.audit_units()) f $$;

-- a limit renews at midnight UTC, on Monday, on the first
SELECT pg_temp.product(format('{"product_id": "pgtap_%s", "category": "item", "price_gold": 1, "per_user_limit": 3, "limit_period": "%s"}', period, period)::jsonb)
FROM unnest(ARRAY['ever', 'day', 'week', 'month']) period \g /dev/null
SET LOCAL TimeZone = 'Pacific/Kiritimati';
SET LOCAL DateStyle = 'German';
SELECT economy.set_timezone(:u, 'America/Los_Angeles') AS x \gset
SELECT is(pg_temp.buy(clock, 'pgtap_day', q), want, 'a day: ' || clock || ', ' || q)
FROM (VALUES (1, '2031-02-28T00:00:00Z', 2, 'OK 1 {}'), (2, '2031-02-28T12:00:00Z', 2, 'USER_LIMIT 1 {"limit": 3, "period": "day", "renews_at": "2031-03-01T00:00:00+00:00"}'),
             (3, '2031-02-28T23:59:59.999999Z', 1, 'OK 0 {}'), (4, '2031-02-28T23:59:59.999999Z', 1, 'USER_LIMIT 0 {"limit": 3, "period": "day", "renews_at": "2031-03-01T00:00:00+00:00"}'),
             (5, '2031-03-01T00:00:00Z', 3, 'OK 0 {}'), (6, '2031-03-05T00:00:00Z', 1, 'OK 2 {}'), (7, '2031-03-05T00:00:01Z', 2, 'OK 0 {}')) t (n, clock, q, want) ORDER BY n;
SELECT is(pg_temp.buy(clock, 'pgtap_week', q), want, 'a week: ' || clock || ', ' || q)
FROM (VALUES (1, '2031-12-28T23:59:59Z', 3, 'OK 0 {}'), (2, '2031-12-29T00:00:00Z', 2, 'OK 1 {}'), (3, '2031-12-31T23:00:00Z', 1, 'OK 0 {}'),
             (4, '2032-01-04T23:59:59.999999Z', 1, 'USER_LIMIT 0 {"limit": 3, "period": "week", "renews_at": "2032-01-05T00:00:00+00:00"}'),
             (5, '2032-01-05T00:00:00Z', 3, 'OK 0 {}')) t (n, clock, q, want) ORDER BY n;
SELECT is(pg_temp.buy(clock, 'pgtap_month', q), want, 'a month: ' || clock || ', ' || q)
FROM (VALUES (1, '2032-02-01T00:00:00Z', 3, 'OK 0 {}'), (2, '2032-02-29T23:59:59.999999Z', 1, 'USER_LIMIT 0 {"limit": 3, "period": "month", "renews_at": "2032-03-01T00:00:00+00:00"}'),
             (3, '2032-03-01T00:00:00Z', 2, 'OK 1 {}'), (4, '2032-12-31T23:00:00Z', 3, 'OK 0 {}'),
             (5, '2032-12-31T23:59:59Z', 1, 'USER_LIMIT 0 {"limit": 3, "period": "month", "renews_at": "2033-01-01T00:00:00+00:00"}')) t (n, clock, q, want) ORDER BY n;
SELECT is(pg_temp.buy(clock, 'pgtap_ever', q), want, 'ever: ' || clock || ', ' || q)
FROM (VALUES (1, '2031-01-01T00:00:00Z', 2, 'OK 1 {}'), (2, '2041-01-01T00:00:00Z', 2, 'USER_LIMIT 1'), (3, '2041-01-01T00:00:00Z', 1, 'OK 0 {}'),
             (4, '2051-01-01T00:00:00Z', 1, 'USER_LIMIT 0')) t (n, clock, q, want) ORDER BY n;
SELECT is(pg_temp.buy('2041-01-01T00:00:00Z', 'pgtap_ever', 3, 'pgtap limited too'), 'OK 0 {}', 'each user has his own');
RESET TimeZone;
RESET DateStyle;

-- a clock that is set back: the days before are counted from the entries, and nothing is locked for long
SELECT is(pg_temp.buy(clock, 'pgtap_day', q), want, 'set back: ' || clock || ', ' || q)
FROM (VALUES (1, '2035-01-01T12:00:00Z', 2, 'OK 1 {}'), (2, '2034-01-01T12:00:00Z', 2, 'OK 1 {}'), (3, '2034-01-01T12:00:00Z', 2, 'USER_LIMIT 1 {"limit": 3, "period": "day", "renews_at": "2034-01-02T00:00:00+00:00"}'),
             (4, '2034-01-01T12:00:00Z', 1, 'OK 0 {}'), (5, '2031-02-28T12:00:00Z', 1, 'USER_LIMIT 0 {"limit": 3, "period": "day", "renews_at": "2031-03-01T00:00:00+00:00"}'),
             (6, '2035-01-01T13:00:00Z', 2, 'USER_LIMIT 1 {"limit": 3, "period": "day", "renews_at": "2035-01-02T00:00:00+00:00"}'), (7, '2035-01-01T13:00:00Z', 1, 'OK 0 {}')) t (n, clock, q, want) ORDER BY n;
SELECT is(pg_temp.audit(), NULL, 'units are what the entries add up to');

-- the period changes, the limit goes and comes back: what was bought counts
SELECT pg_temp.product('{"product_id": "pgtap_moves", "category": "item", "price_gold": 1}') \g /dev/null
SELECT is(pg_temp.buy('2036-05-01T12:00:00Z', 'pgtap_moves', 5), 'OK {}', 'without a limit');
SELECT is_empty($$SELECT FROM economy_internal.shop_user_units WHERE product_id = 'pgtap_moves'$$, 'nothing is counted');
SELECT pg_temp.product('{"product_id": "pgtap_moves", "per_user_limit": 6}') \g /dev/null
SELECT is(p.code || ' ' || p.user_limit_remaining, 'USER_LIMIT 1', 'a dry run counts') FROM economy.purchase(:u, 'pgtap_moves', 'dry', 2, dry_run => true) p;
SELECT is_empty($$SELECT FROM economy_internal.shop_user_units WHERE product_id = 'pgtap_moves'$$, 'and keeps nothing');
SELECT is(pg_temp.buy('2036-05-02T12:00:00Z', 'pgtap_moves', 2), 'USER_LIMIT 1', 'what was bought before counts');
SELECT is((SELECT units FROM economy_internal.shop_user_units WHERE product_id = 'pgtap_moves'), 5::bigint, 'and is kept, though this was refused');
SELECT pg_temp.product('{"product_id": "pgtap_moves", "limit_period": "month"}') \g /dev/null
SELECT is(pg_temp.buy('2036-05-03T12:00:00Z', 'pgtap_moves', 1), 'OK 0 {}', 'in the month');
SELECT pg_temp.product('{"product_id": "pgtap_moves", "per_user_limit": null, "limit_period": null}') \g /dev/null
SELECT is(pg_temp.buy('2036-05-03T12:00:01Z', 'pgtap_moves', 4), 'OK {}', 'without a limit again');
SELECT pg_temp.product('{"product_id": "pgtap_moves", "per_user_limit": 5, "limit_period": "day"}') \g /dev/null
SELECT is(pg_temp.buy('2036-05-03T12:00:02Z', 'pgtap_moves', 1), 'USER_LIMIT 0 {"limit": 5, "period": "day", "renews_at": "2036-05-04T00:00:00+00:00"}', 'all of the day counts');
SELECT pg_temp.product('{"product_id": "pgtap_moves", "per_user_limit": 3}') \g /dev/null
SELECT is(pg_temp.buy('2036-05-03T12:00:02Z', 'pgtap_moves', 1), 'USER_LIMIT 0 {"limit": 3, "period": "day", "renews_at": "2036-05-04T00:00:00+00:00"}', 'never less than nothing is left');
SELECT pg_temp.product('{"product_id": "pgtap_moves", "per_user_limit": null, "limit_period": "ever", "limit_once": true}') \g /dev/null
SELECT is(pg_temp.buy('2037-05-03T12:00:02Z', 'pgtap_moves', 1), 'LIMIT_ONCE 0', 'once is once');
-- the first purchase under a limit counts those from before it, and itself
SELECT pg_temp.product('{"product_id": "pgtap_later", "category": "item", "price_gold": 1}') \g /dev/null
SELECT is(pg_temp.buy('2036-05-01T12:00:00Z', 'pgtap_later', 2), 'OK {}', 'two before there is a limit');
SELECT pg_temp.product('{"product_id": "pgtap_later", "per_user_limit": 6}') \g /dev/null
SELECT is(pg_temp.buy('2036-05-02T12:00:00Z', 'pgtap_later', 3), 'OK 1 {}', 'three of six');
SELECT is((SELECT row(units, day_units)::text FROM economy_internal.shop_user_units WHERE product_id = 'pgtap_later'), '(5,3)', 'are five in all');
SELECT is(pg_temp.audit(), NULL, 'units are what the entries add up to');
-- also what a batch has counted to refuse it
SELECT pg_temp.product('{"product_id": "pgtap_batch", "category": "item", "price_gold": 1}') \g /dev/null
SELECT is(pg_temp.buy('2036-05-01T12:00:00Z', 'pgtap_batch', 2), 'OK {}', 'two before there is a limit');
SELECT pg_temp.product('{"product_id": "pgtap_batch", "per_user_limit": 2}') \g /dev/null
SELECT is((SELECT string_agg(p.code, ' ') FROM economy.purchases(ARRAY[:u]::bigint[], '{pgtap_batch}', '{b}') p), 'USER_LIMIT', 'of a batch');
SELECT is((SELECT units FROM economy_internal.shop_user_units WHERE product_id = 'pgtap_batch'), 2::bigint, 'are kept');
-- a product that was counted, deleted by hand and made again is counted from the first purchase on
DELETE FROM economy.shop_products WHERE product_id = 'pgtap_batch';
SELECT pg_temp.product('{"product_id": "pgtap_batch", "category": "item", "price_gold": 1}') \g /dev/null
SELECT is((SELECT counted FROM economy.shop_products WHERE product_id = 'pgtap_batch'), true, 'a product that is made again');
SELECT is(pg_temp.buy('2036-05-01T12:00:00Z', 'pgtap_batch', 1), 'OK {}', 'and bought without a limit');
SELECT is((SELECT units FROM economy_internal.shop_user_units WHERE product_id = 'pgtap_batch'), 3::bigint, 'is counted all the same');
SELECT is(pg_temp.audit(), NULL, 'units are what the entries add up to');
-- one that gets a stock in the middle of a batch, which has reserved none of it
SELECT pg_temp.product('{"product_id": "pgtap_mid", "category": "item", "price_gold": 1}') \g /dev/null
SELECT pg_temp.product('{"product_id": "pgtap_mid_key", "category": "item", "price_gold": 1, "global_key": true}') \g /dev/null
CREATE FUNCTION pg_temp.deliver() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM economy.add_stock('pgtap_mid', 5, 'pgtap', 1);
    RETURN NULL;
END
$$;
CREATE TRIGGER pgtap_deliver AFTER INSERT ON economy_internal.shop_keys FOR EACH ROW EXECUTE FUNCTION pg_temp.deliver();
SELECT is((SELECT string_agg(concat_ws(' ', p.code, p.stock_remaining), ', ') FROM economy.purchases(array_fill(:u::bigint, '{5}'), '{pgtap_mid,pgtap_mid_key,pgtap_mid,pgtap_mid,pgtap_mid}', '{m1,m2,m3,m4,m5}', '{1,1,2,2,2}') p),
    'OK, OK, OK 3, OK 1, SOLD_OUT 1', 'a product that gets a stock in the middle of a batch');
DROP TRIGGER pgtap_deliver ON economy_internal.shop_keys;
SAVEPOINT s;
SELECT is(pg_temp.buy('2038-01-01T12:00:00Z', 'pgtap_month', 2), 'OK 1 {}', 'a purchase');
ROLLBACK TO s;
SELECT is(pg_temp.buy('2038-01-01T12:00:00Z', 'pgtap_month', 3), 'OK 0 {}', 'that is rolled back does not count');
DELETE FROM economy_internal.shop_user_units WHERE product_id IN ('pgtap_month', 'pgtap_week');
SELECT is(pg_temp.buy('2038-01-01T12:00:01Z', 'pgtap_month', 1), 'USER_LIMIT 0 {"limit": 3, "period": "month", "renews_at": "2038-02-01T00:00:00+00:00"}', 'lost units are counted again');
SELECT is(pg_temp.audit(), NULL, 'units are what the entries add up to');
SAVEPOINT s;
UPDATE economy_internal.shop_user_units SET units = units - 1 WHERE product_id = 'pgtap_day' AND user_id = :u;
SELECT is(pg_temp.audit(), 'parity units of pgtap_day: 15 0 0 0 2035-01-01 14 0 0 0 2035-01-01', 'damaged units are found');
ROLLBACK TO s;
SELECT is((SELECT string_agg(kind, ' ') FROM economy.audit_sweep() WHERE kind IN ('parity', 'duplicate_effect')), NULL, 'the sweep is clean');

-- a limit costs the same however much was bought: what the backend asks the buffers for
CREATE FUNCTION pg_temp.buffers(who bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE format('EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) SELECT * FROM economy.purchase(%s, ''pgtap_much'', %L)', who, gen_random_uuid()) INTO plan;
    RETURN (plan #>> '{0,Plan,Shared Hit Blocks}')::bigint + (plan #>> '{0,Plan,Shared Read Blocks}')::bigint;
END
$$;
SELECT pg_temp.product('{"product_id": "pgtap_much", "category": "item", "price_gold": 0, "per_user_limit": 1000000}') \g /dev/null
SELECT count(*) AS x FROM generate_series(1, 50) n, economy.purchase(:v, 'pgtap_much', n::text) \gset
SELECT pg_temp.buffers(:v) AS x \gset
SELECT pg_temp.buffers(:v) AS few \gset
SELECT count(*) AS x FROM generate_series(51, 1000) n, economy.purchase(:v, 'pgtap_much', n::text) \gset
SELECT pg_temp.buffers(:v) AS many \gset
-- one transaction's versions of the account are all there still
SELECT cmp_ok(:many, '<=', :few + 150, 'after 1,000 purchases nearly as after 50: ' || :many || ' and ' || :few);

-- a key of all users together
SELECT pg_temp.at('');
SELECT pg_temp.product('{"product_id": "pgtap_store", "category": "conversion", "granted_gold": 10, "global_key": true}') \g /dev/null
CREATE FUNCTION pg_temp.redeem(who text, key text, dry boolean DEFAULT false, n integer DEFAULT 1) RETURNS text LANGUAGE sql AS
    $$ SELECT concat_ws(' ', p.state, p.code, p.gold_delta) FROM economy.purchase(economy.user_id_of(who), 'pgtap_store', key, n, dry_run => dry) p $$;
SELECT is(pg_temp.redeem('pgtap limited', 'GPA.1', true), 'new OK 10', 'a dry run');
SELECT is(pg_temp.redeem('pgtap limited', 'GPA.1'), 'new OK 10', 'a store''s id is redeemed');
SELECT is(pg_temp.redeem('pgtap limited', 'GPA.1'), 'reuse OK 10', 'again by the same user: the first result');
SELECT is(pg_temp.redeem('pgtap limited too', 'GPA.1'), 'refused KEY_USED 0', 'not by another');
SELECT is(pg_temp.redeem('pgtap limited too', 'GPA.1', true), 'refused KEY_USED 0', 'nor in a dry run');
SELECT is((SELECT code FROM economy.purchase(economy.user_id_of('pgtap limited too'), 'pgtap_store', 'GPA.1', 1, '{"expected_price": -1}')), 'KEY_USED',
          'and that comes before the price, which may change again');
SELECT is(pg_temp.redeem('pgtap limited', 'GPA.1', false, 2), 'refused IDEMPOTENCY_MISMATCH 0', 'nor with another quantity');
SELECT is(pg_temp.redeem('pgtap limited too', 'gpa.1'), 'new OK 10', 'keys have a case');
SAVEPOINT s;
SELECT is(pg_temp.redeem('pgtap limited', 'GPA.2'), 'new OK 10', 'one');
ROLLBACK TO s;
SELECT is(pg_temp.redeem('pgtap limited too', 'GPA.2'), 'new OK 10', 'that was rolled back is free');
SELECT economy.retire_product('pgtap_store', 'pgtap') IS NULL AS x \gset
SELECT is(pg_temp.redeem('pgtap limited too', 'GPA.3'), 'refused NOT_ON_SALE 0', 'a refusal');
SELECT is_empty($$SELECT FROM economy_internal.shop_keys WHERE idempotency_key = 'GPA.3'$$, 'uses no key');
SELECT is(pg_temp.audit(), NULL, 'keys and purchases agree');
SAVEPOINT s;
DELETE FROM economy_internal.shop_keys WHERE idempotency_key = 'GPA.1';
SELECT is(pg_temp.audit(), format('duplicate_effect key GPA.1 of pgtap_store used by P%s not noted', (SELECT t.user_id || '-' || t.seq FROM economy.shop_transactions t WHERE t.idempotency_key = 'GPA.1')), 'a key that is not noted is found');
ROLLBACK TO s;
INSERT INTO economy_internal.shop_keys VALUES ('pgtap_store', 'forged', :u, 1);
SELECT is(pg_temp.audit(), format('duplicate_effect key forged of pgtap_store used by nobody noted for P%s-1', :u), 'and one that nobody used');
ROLLBACK TO s;

-- beyond a transaction's share of locks a key may turn out to be used when the stock is taken already, which then goes back
SELECT pg_temp.product('{"product_id": "pgtap_store 2", "category": "conversion", "granted_gold": 10, "global_key": true}') \g /dev/null
SELECT economy.add_stock('pgtap_store 2', 2000, 'pgtap', 2) AS x \gset
SAVEPOINT s;
SELECT count(*) AS x FROM generate_series(1, current_setting('max_locks_per_transaction')::integer + 1) n, economy.purchase(:u, 'pgtap_store 2', 'many ' || n) \gset
SELECT cmp_ok((SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 100), '<=', current_setting('max_locks_per_transaction')::bigint, 'so many calls lock no more keys than that');
CREATE FUNCTION pg_temp.use_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO economy_internal.shop_keys VALUES ('pgtap_store 2', 'meanwhile', -1, 1);
    RETURN NULL;
END
$$;
CREATE TRIGGER pgtap_use_key AFTER UPDATE ON economy.shop_stock FOR EACH ROW EXECUTE FUNCTION pg_temp.use_key();
SELECT sum(remaining) AS stock FROM economy.shop_stock WHERE product_id = 'pgtap_store 2' \gset
CREATE FUNCTION pg_temp.meanwhile(who bigint) RETURNS text LANGUAGE sql AS
    $$ SELECT concat_ws(' ', p.state, p.code, p.gold_delta, p.stock_remaining) FROM economy.purchase(who, 'pgtap_store 2', 'meanwhile', 3) p $$;
SELECT is(pg_temp.meanwhile(:v), 'refused KEY_USED 0', 'a key that somebody used meanwhile');
SELECT is((SELECT sum(remaining) FROM economy.shop_stock WHERE product_id = 'pgtap_store 2'), :stock::numeric, 'takes no stock');
SELECT is_empty($$SELECT * FROM economy_internal.audit_stock()$$, 'which adds up');
ROLLBACK TO SAVEPOINT s;
-- and what a batch has reserved goes back to those behind it
CREATE FUNCTION pg_temp.use_first() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO economy_internal.shop_keys VALUES (NEW.product_id, NEW.idempotency_key, -1, 1);
    RETURN NEW;
END
$$;
CREATE TRIGGER pgtap_use_first BEFORE INSERT ON economy_internal.shop_keys FOR EACH ROW WHEN (NEW.idempotency_key = 'meanwhile' AND NEW.user_id > 0) EXECUTE FUNCTION pg_temp.use_first();
SELECT is((SELECT string_agg(concat_ws(' ', p.code, p.gold_delta, p.stock_remaining), ', ') FROM economy.purchases(ARRAY[:v, :v, :v]::bigint[], array_fill('pgtap_store 2'::text, ARRAY[3]), '{meanwhile,all,one}', '{3,2000,1}') p),
    'KEY_USED 0, OK 20000 0, SOLD_OUT 0 0', 'in a batch all of it is there for the next');
SELECT is_empty($$SELECT * FROM economy_internal.audit_stock()$$, 'and adds up');
ROLLBACK TO SAVEPOINT s;

-- messages say what is wrong
SELECT throws_matching(format('SELECT economy.upsert_product(%L, ''pgtap'')', product), 'not valid', product)
FROM (VALUES ('{"product_id": "pgtap_w", "category": "lootbox"}')) t (product);
CREATE FUNCTION pg_temp.wrong(product text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    PERFORM economy.upsert_product(product::jsonb, 'pgtap');
    RETURN 'nothing';
EXCEPTION WHEN SQLSTATE 'XE301' THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN detail;
END
$$;
SELECT is(pg_temp.wrong(product), says, product)
FROM (VALUES ('{"product_id": "pgtap_w", "category": "lootbox"}', 'category must be conversion or item.'),
             ('{"product_id": "pgtap_w", "category": "item"}', 'price_gold must be given, be it 0.'),
             ('{"product_id": "pgtap_w", "category": "conversion"}', 'granted_gold must be given, be it 0.'),
             ('{"product_id": "pgtap_w", "category": "item", "price_gold": 1, "starts_at": "tomorrow"}', 'starts_at must be a text in ISO 8601 with time zone, such as 2026-01-31T12:00:00Z.'),
             ('{"product_id": "pgtap_w", "category": "item", "price_gold": 1, "limit_once": true, "per_user_limit": 2}', 'limit_once and per_user_limit exclude each other.'),
             ('{"product_id": "pgtap_w", "category": "item", "price_gold": 1, "limit_period": "day"}', 'limit_period is that of a per_user_limit, which is not given.'),
             ('{"product_id": "pgtap_store", "global_key": false}', 'global_key is fixed when a product is made.'),
             ('{"product_id": "pgtap_store", "stock_slots": 0}', '"stock_slots" is no such column that can be set; stock is given by economy.add_stock() and ended by economy.remove_stock().')) t (product, says);
-- nothing that is stored depends on the session
SET LOCAL TimeZone = '+13:45';
SET LOCAL DateStyle = 'SQL, DMY';
SELECT is((SELECT p.starts_at FROM economy.upsert_product('{"product_id": "pgtap_w", "category": "item", "price_gold": 0, "starts_at": "2031-03-04T05:06:07.5+02:00"}', 'pgtap') p),
    timestamptz '2031-03-04 03:06:07.5+00', 'a moment is read by ISO 8601');
SELECT is((SELECT p.ends_at FROM economy.upsert_product(jsonb_build_object('product_id', 'pgtap_w', 'ends_at', timestamptz '2031-03-05 03:06:07.123456+00'), 'pgtap') p),
    timestamptz '2031-03-05 03:06:07.123456+00', 'a timestamptz is taken as it is');
SELECT is((SELECT string_agg(c.after ->> 'starts_at', ' ' ORDER BY change_id) FROM economy.shop_product_changes c WHERE c.product_id = 'pgtap_w'),
    '2031-03-04T03:06:07.5+00:00 2031-03-04T03:06:07.5+00:00', 'and written by UTC');
RESET TimeZone;
RESET DateStyle;

-- stock ends, and begins again with nothing
SELECT is(economy.add_stock('pgtap_w', 10, 'pgtap', 4), 10::bigint, 'limited');
SELECT throws_ok($$SELECT economy.add_stock('pgtap_w', -11, 'pgtap')$$, 'XE303', 'stock of "pgtap_w" cannot change by -11', 'more than there is');
SELECT pg_temp.at('2031-03-04 12:00+00');
SELECT is((SELECT concat_ws(' ', p.code, p.stock_remaining) FROM economy.purchase(:u, 'pgtap_w', '1', 3) p), 'OK 7', 'three sold');
SELECT is(economy.remove_stock('pgtap_w', 'pgtap'), 7::bigint, 'unlimited again: seven were left');
SELECT is((SELECT concat_ws(' ', p.code, p.stock_remaining) FROM economy.purchase(:u, 'pgtap_w', '2', 100) p), 'OK', 'more than seven sold');
SELECT throws_ok($$SELECT economy.remove_stock('pgtap_w', 'pgtap')$$, 'XE303', 'product "pgtap_w" has no stock', 'not twice');
SELECT throws_ok($$SELECT economy.remove_stock('pgtap_none', 'pgtap')$$, 'XE302', NULL, 'nor of nothing');
SELECT throws_ok(format('SELECT economy.remove_stock(%s)', args), 'XE001', NULL, 'remove_stock(' || args || ')') FROM unnest(ARRAY['NULL, ''a''', '''pgtap_w'', NULL']) args;
SELECT is_empty($$SELECT FROM economy_internal.audit_stock()$$, 'the stock adds up');
SELECT is(economy.add_stock('pgtap_w', 2, 'pgtap', 8), 2::bigint, 'limited again');
SELECT is((SELECT concat_ws(' ', p.code, p.stock_remaining) FROM economy.purchase(:u, 'pgtap_w', '3', 3) p), 'SOLD_OUT 2', 'to two');
SELECT is_empty($$SELECT FROM economy_internal.audit_stock()$$, 'the stock adds up');
SELECT results_eq($$SELECT action, units, (before ->> 'stock_slots')::int, (after ->> 'stock_slots')::int FROM economy.shop_product_changes WHERE product_id = 'pgtap_w' ORDER BY change_id OFFSET 2$$,
    $$VALUES ('stock', 10::bigint, 0, 4), ('change', NULL, 4, 0), ('stock', -7, 0, 0), ('stock', 2, 0, 4)$$, 'each is recorded, with the slots before and after');
-- slots that somebody removed by hand take no delivery, and do not keep who takes away waiting for ever
SELECT pg_temp.product('{"product_id": "pgtap_emptied", "category": "item", "price_gold": 1}') \g /dev/null
SELECT economy.add_stock('pgtap_emptied', 10, 'pgtap', 4) AS x \gset
DELETE FROM economy.shop_stock WHERE product_id = 'pgtap_emptied';
SET LOCAL statement_timeout = '60s';
SELECT throws_ok($$SELECT economy.add_stock('pgtap_emptied', -1, 'pgtap')$$, 'XE303', NULL, 'nothing can be taken away from no slot');
SELECT throws_ok($$SELECT economy.add_stock('pgtap_emptied', 1, 'pgtap')$$, 'XE103', NULL, 'nor delivered');
SELECT * FROM finish();
ROLLBACK;
