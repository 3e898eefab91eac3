-- Stock that is held for a time: reserve(), release_reservation(), a purchase with context.reservation, and what gives it back.
BEGIN;
SELECT no_plan();

SELECT economy.register('pgtap reserve u') AS u \gset
SELECT economy.register('pgtap reserve v') AS v \gset
SELECT success AS x FROM economy.adjust_gold(:u, 1000, 'open', 'pgtap', 'pgtap') \gset
SET LOCAL economy.test_clock = '2031-01-02 03:00:00+00';
SELECT count(*) AS x FROM unnest(ARRAY['{"product_id": "pgtap_r", "category": "item", "price_gold": 10}', '{"product_id": "pgtap_lim", "category": "item", "price_gold": 1, "per_user_limit": 3}',
    '{"product_id": "pgtap_once", "category": "item", "price_gold": 1, "limit_once": true}', '{"product_id": "pgtap_free", "category": "item", "price_gold": 0}', '{"product_id": "pgtap_off", "category": "item", "price_gold": 0, "active": false}',
    '{"product_id": "pgtap_all", "category": "item", "price_gold": 1, "global_key": true}', '{"product_id": "pgtap_cold", "category": "item", "price_gold": 1, "effect_code": "streak_freeze"}']) i, economy.upsert_product(i::jsonb, 'ann') \gset
SELECT count(*) AS x FROM unnest(ARRAY['pgtap_r', 'pgtap_lim', 'pgtap_once', 'pgtap_off', 'pgtap_all', 'pgtap_cold']) i, economy.add_stock(i, 10, 'ann', 3) \gset
CREATE FUNCTION pg_temp.said(r economy.reservation_result) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', r.success, r.state, r.code, r.reservation, r.product_id, r.quantity, r.status, to_char(r.expires_at AT TIME ZONE 'UTC', 'HH24:MI:SS'), 'left ' || r.stock_remaining, 'limit ' || r.user_limit_remaining, r.detail) $$;
CREATE FUNCTION pg_temp.bought(p economy.purchase_result) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', p.success, p.state, p.code, p.quantity, p.gold, 'left ' || p.stock_remaining, nullif(p.detail - 'apply', '{}')) $$;
CREATE FUNCTION pg_temp.held(id bigint) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', r.idempotency_key, r.product_id, r.quantity, r.state, coalesce(r.seq - r.after_seq, 0), to_char(r.due_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')), ', ' ORDER BY r.idempotency_key COLLATE "C")
    FROM economy.shop_reservations r WHERE r.user_id = id $$;
CREATE FUNCTION pg_temp.wrong() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', f.kind, f.expected, '|', f.actual), ', ' ORDER BY f.kind, f.expected) FROM (SELECT * FROM economy_internal.audit_stock() UNION ALL SELECT * FROM economy_internal.audit_shop()) f $$;
CREATE FUNCTION pg_temp.left_of(id text) RETURNS bigint LANGUAGE sql AS $$ SELECT sum(s.remaining) FROM economy.shop_stock s WHERE s.product_id = id $$;

-- made, once
SELECT is(pg_temp.said(economy.reserve(:u, 'pgtap_r', 'c1', 2)), 't new OK c1 pgtap_r 2 held 03:10:00 left 8', 'reserved');
SELECT is(pg_temp.said(economy.reserve(:u, 'pgtap_r', 'c1', 2)), 't reuse OK c1 pgtap_r 2 held 03:10:00', 'once');
SELECT is(pg_temp.said(economy.reserve(:v, 'pgtap_r', 'c1', 3, '1 hour')), 't new OK c1 pgtap_r 3 held 04:00:00 left 5', 'another user has other keys');
SELECT is(pg_temp.said(economy.reserve(:v, 'pgtap_r', 'dry', 5, '1 hour', true)), 't new OK dry pgtap_r 5 held 04:00:00 left 0 {"dry_run": true}', 'only tried');
SELECT is(pg_temp.left_of('pgtap_r'), 5::bigint, 'nothing of that is taken');
SELECT is(pg_temp.said(economy.reserve(:u, 'pgtap_lim', 'c1', 2)), 'f refused IDEMPOTENCY_MISMATCH c1 pgtap_lim 2 held 03:10:00 {"now": "pgtap_lim", "field": "product_id", "first": "pgtap_r"}', 'of another product');
SELECT is(pg_temp.said(economy.reserve(:u, 'pgtap_r', 'c1', 1)), 'f refused IDEMPOTENCY_MISMATCH c1 pgtap_r 1 held 03:10:00 {"now": 1, "field": "quantity", "first": 2}', 'of another quantity');
SELECT is(pg_temp.said(economy.reserve(:u, 'pgtap_r', 'c1', 2, '1 minute')), 'f refused IDEMPOTENCY_MISMATCH c1 pgtap_r 2 held 03:10:00 {"now": 60, "field": "ttl", "first": 600}', 'for another time');
SELECT is(r.code, 'IDEMPOTENCY_MISMATCH', 'nor of more, or for longer: ' || n || ', ' || ttl) FROM (VALUES (3, '10 minutes'::interval), (2, '10 minutes 1 second')) v (n, ttl), economy.reserve(:u, 'pgtap_r', 'c1', n, ttl) r;
SELECT is((SELECT concat_ws(' ', a.seq, a.gold) FROM economy.accounts a WHERE a.user_id = :u), '1 1000', 'nothing moves');
SELECT is(p.stock_remaining, 5::bigint, 'the shop shows what is not reserved') FROM economy.product('pgtap_r', :u) p;
SELECT is(pg_temp.wrong(), NULL, 'what is reserved is counted');

-- refused
SELECT is(pg_temp.said(economy.reserve(id, what, 'no', n)), 'f refused ' || says, says)
FROM (VALUES (-1::bigint, 'pgtap_r', 1, 'USER_NOT_FOUND no pgtap_r 1'), (:u, 'pgtap_none', 1, 'PRODUCT_NOT_FOUND no pgtap_none 1'), (:u, 'pgtap_free', 1, 'UNLIMITED_STOCK no pgtap_free 1'), (:u, 'pgtap_off', 1, 'NOT_ON_SALE no pgtap_off 1 {"reason": "inactive"}'),
    (:u, 'pgtap_r', 6, 'SOLD_OUT no pgtap_r 6 left 5'), (:u, 'pgtap_lim', 4, 'USER_LIMIT no pgtap_lim 4 limit 3'), (:u, 'pgtap_once', 2, 'LIMIT_ONCE no pgtap_once 2 limit 1'), (:u, 'pgtap_cold', 9, 'USER_LIMIT no pgtap_cold 9 {"held": 0, "at_most": 5}')) v (id, what, n, says);
SELECT economy.set_user_status(:v, 'suspended', 'pgtap') AS x \gset
SELECT is(pg_temp.said(economy.reserve(:v, 'pgtap_r', 'no')), 'f refused USER_SUSPENDED no pgtap_r 1', 'nor may who is suspended');
SELECT economy.set_user_status(:v, 'active', 'pgtap') AS x \gset

-- nobody holds more than he may buy
SELECT is(pg_temp.said(economy.reserve(:u, 'pgtap_lim', 'l1', 2)), 't new OK l1 pgtap_lim 2 held 03:10:00 left 8 limit 1', 'within the limit');
SELECT is(pg_temp.said(economy.reserve(:u, 'pgtap_lim', 'l2', 2)), 'f refused USER_LIMIT l2 pgtap_lim 2 limit 1', 'what is held counts');
SELECT is(pg_temp.said(economy.reserve(:u, 'pgtap_once', 'o1')), 't new OK o1 pgtap_once 1 held 03:10:00 left 9 limit 0', 'once');
SELECT is(pg_temp.said(economy.reserve(:u, 'pgtap_once', 'o2')), 'f refused LIMIT_ONCE o2 pgtap_once 1 limit 0', 'and no more');
SAVEPOINT sixteen;
SELECT is((SELECT count(*) FROM generate_series(1, 13) i, economy.reserve(:u, 'pgtap_cold', 'm' || i) r WHERE r.code = 'OK'), 5::bigint, 'freezes are limited');
SELECT is((SELECT sum(r.quantity) FROM generate_series(1, 5) i, economy.reserve(:u, 'pgtap_r', 'n' || i) r WHERE r.code = 'OK'), 5::bigint, 'up to ten');
SELECT is((SELECT sum(r.quantity) FROM generate_series(1, 9) i, economy.reserve(:u, 'pgtap_all', 'p' || i) r WHERE r.code = 'OK'), 3::bigint, 'up to sixteen');
SELECT is(pg_temp.said(economy.reserve(:u, 'pgtap_all', 'q')), 'f refused RESERVATION_LIMIT q pgtap_all 1 {"at_most": 16}', 'reservations at a time');
SET LOCAL economy.test_clock = '2031-01-02 03:10:00+00';
SELECT is(r.code, 'OK', 'those whose time is over do not count') FROM economy.reserve(:u, 'pgtap_all', 'q') r;
ROLLBACK TO sixteen;

-- used
SELECT is(pg_temp.bought(economy.purchase(:u, 'pgtap_r', 'k1', 2, '{"reservation": "c1", "way": "card"}', true)), 't new OK 2 980 {"dry_run": true}', 'could be bought');
SELECT is(pg_temp.bought(economy.purchase(:u, 'pgtap_r', 'k1', 2, '{"reservation": "c9"}')), 'f refused RESERVATION_NOT_FOUND 2 1000', 'there is no such one');
SELECT is(pg_temp.bought(economy.purchase(:v, 'pgtap_r', 'k1', 2, '{"reservation": "l1"}')), 'f refused INSUFFICIENT_GOLD 2 0 {"gold": 0, "price_gold": 10}', 'gold is asked first');
SELECT is(pg_temp.bought(economy.purchase(:v, 'pgtap_free', 'k1', 2, '{"reservation": "l1"}')), 'f refused RESERVATION_NOT_FOUND 2 0', 'nor is another user''s');
SELECT is(pg_temp.bought(economy.purchase(:u, 'pgtap_r', 'k1', 3, '{"reservation": "c1"}')), 'f refused RESERVATION_MISMATCH 3 1000 {"field": "quantity", "reserved": 2}', 'not as many');
SELECT is(pg_temp.bought(economy.purchase(:u, 'pgtap_free', 'k1', 2, '{"reservation": "c1"}')), 'f refused RESERVATION_MISMATCH 2 1000 {"field": "product_id", "reserved": "pgtap_r"}', 'not of that');
SELECT is(pg_temp.bought(economy.purchase(:u, 'pgtap_r', 'k1', 2, '{"reservation": "c1"}')), 't new OK 2 980', 'bought');
SELECT is(pg_temp.bought(economy.purchase(:u, 'pgtap_r', 'k1', 2, '{"reservation": "c1"}')), 't reuse OK 2 980', 'once');
SELECT is(p.code, 'IDEMPOTENCY_MISMATCH', 'a retry names it, too') FROM economy.purchase(:u, 'pgtap_r', 'k1', 2) p;
SELECT is(pg_temp.bought(economy.purchase(:u, 'pgtap_r', 'k2', 2, '{"reservation": "c1"}')), 'f refused RESERVATION_CLOSED 2 980 {"status": "used", "expires_at": "2031-01-02T03:10:00+00:00"}', 'and for one purchase');
SELECT is(pg_temp.left_of('pgtap_r'), 5::bigint, 'no slot was touched');
SELECT is(pg_temp.said(economy.reserve(:u, 'pgtap_r', 'c1', 2)), 't reuse OK c1 pgtap_r 2 used 03:10:00', 'its retry says so');
SELECT is(pg_temp.said(economy.release_reservation(:u, 'c1')), 'f refused RESERVATION_CLOSED c1 pgtap_r 2 used 03:10:00 {"status": "used", "transaction_id": "P' || :u || '-2"}', 'and it is not given back');
SELECT is(v.reason, 'OK', 'the receipt') FROM economy.verify_receipt(:u, 'P' || :u || '-2') v;
SELECT is(pg_temp.wrong(), NULL, 'and the audit');
SELECT is(pg_temp.bought(economy.purchase(:u, 'pgtap_lim', 'k1', 2, '{"reservation": "l1"}')), 't new OK 2 978', 'what is limited');
SELECT is(p.user_limit_remaining, 1::bigint, 'counts when it is bought') FROM economy.product('pgtap_lim', :u) p;
-- a key that is unique over all users
SELECT is(r.code, 'OK', 'reserved') FROM economy.reserve(:u, 'pgtap_all', 'a1', 2) r;
SELECT is(p.code, 'OK', 'the key is used') FROM economy.purchase(:u, 'pgtap_all', 'voucher') p;
SELECT is(r.code, 'OK', 'gold') FROM economy.adjust_gold(:v, 100, 'open', 'pgtap', 'pgtap') r;
SELECT is(r.code, 'OK', 'reserved') FROM economy.reserve(:v, 'pgtap_all', 'a1', 2) r;
SELECT is(pg_temp.bought(economy.purchase(:v, 'pgtap_all', 'voucher', 2, '{"reservation": "a1"}')), 'f refused KEY_USED 2 100', 'by another user');
SELECT is(pg_temp.bought(economy.purchase(:v, 'pgtap_all', 'voucher2', 2, '{"reservation": "a1"}')), 't new OK 2 98', 'which leaves the reservation as it is');
-- without stock
SELECT economy.remove_stock('pgtap_all', 'ann') AS x \gset
SELECT is(pg_temp.bought(economy.purchase(:u, 'pgtap_all', 'voucher3', 2, '{"reservation": "a1"}')), 't new OK 2 975', 'of what is not limited any more');
SELECT is(pg_temp.wrong(), NULL, 'all are counted');

-- released
SELECT is(pg_temp.said(economy.release_reservation(:u, 'o1')), 't new OK o1 pgtap_once 1 released 03:10:00', 'given back');
SELECT is(pg_temp.said(economy.release_reservation(:u, 'o1')), 't reuse OK o1 pgtap_once 1 released 03:10:00', 'once');
SELECT is(pg_temp.left_of('pgtap_once'), 10::bigint, 'all of it');
SELECT is(pg_temp.said(economy.release_reservation(:u, 'o9')), 'f refused RESERVATION_NOT_FOUND o9', 'there is no such one');
SELECT is(pg_temp.bought(economy.purchase(:u, 'pgtap_once', 'k1', 1, '{"reservation": "o1"}')), 'f refused RESERVATION_CLOSED 1 975 {"status": "released", "expires_at": "2031-01-02T03:10:00+00:00"}', 'and buys nothing');
SELECT is(pg_temp.bought(economy.purchase(:u, 'pgtap_once', 'k1', 1)), 't new OK 1 974 left 9', 'what is there does');

-- at the end of its time
SELECT is(pg_temp.said(economy.reserve(:u, 'pgtap_r', 'e1', 5, '1 minute')), 't new OK e1 pgtap_r 5 held 03:01:00 left 0', 'the rest');
SELECT is(pg_temp.bought(economy.purchase(:v, 'pgtap_r', 'k3')), 'f refused SOLD_OUT 1 98 left 0', 'so that there is none');
SET LOCAL economy.test_clock = '2031-01-02 03:01:00+00';
SELECT is(pg_temp.bought(economy.purchase(:u, 'pgtap_r', 'k4', 5, '{"reservation": "e1"}')), 'f refused RESERVATION_CLOSED 5 974 {"status": "expired", "expires_at": "2031-01-02T03:01:00+00:00"}', 'it is over');
SELECT is(pg_temp.said(economy.reserve(:u, 'pgtap_r', 'e1', 5, '1 minute')), 't reuse OK e1 pgtap_r 5 expired 03:01:00', 'as its retry says');
SELECT is(p.stock_remaining, 5::bigint, 'what is to be given back is for sale') FROM economy.product('pgtap_r', :v) p;
SELECT is(pg_temp.bought(economy.purchase(:v, 'pgtap_r', 'k3', 6, NULL, true)), 'f refused SOLD_OUT 6 98 left 5 {"dry_run": true}', 'so many');
SELECT is(pg_temp.bought(economy.purchase(:v, 'pgtap_r', 'k3', 2, NULL, true)), 't new OK 2 78 left 3 {"dry_run": true}', 'and no more');
SELECT is(pg_temp.bought(economy.purchase(:v, 'pgtap_r', 'k3', 2)), 't new OK 2 78 left 3', 'whoever buys gives it back');
SELECT is(pg_temp.held(:u), 'a1 pgtap_all 2 used 2 2031-02-01 03:00:00, c1 pgtap_r 2 used 1 2031-02-01 03:00:00, e1 pgtap_r 5 expired 0 2031-02-01 03:01:00, l1 pgtap_lim 2 used 2 2031-02-01 03:00:00, o1 pgtap_once 1 released 0 2031-02-01 03:00:00', 'what became of all');
SELECT is(pg_temp.said(economy.release_reservation(:u, 'e1')), 't reuse OK e1 pgtap_r 5 expired 03:01:00', 'it needs no release');
SELECT is(pg_temp.said(economy.reserve(:u, 'pgtap_r', 'e2', 3, '1 minute')), 't new OK e2 pgtap_r 3 held 03:02:00 left 0', 'the rest again');
SET LOCAL economy.test_clock = '2031-01-02 04:00:00+00';
SELECT is(pg_temp.said(economy.reserve(:u, 'pgtap_r', 'e3', 6)), 't new OK e3 pgtap_r 6 held 04:10:00 left 0', 'who reserves does so, too, also what is another user''s');
SELECT is(pg_temp.wrong(), NULL, 'all are counted');
-- by the job
SET LOCAL economy.test_clock = '2031-01-02 04:10:00+00';
SELECT is((SELECT concat_ws(' ', j.reservations, j.next) FROM economy_internal.expire_reservations(500, NULL) j), '1', 'the job');
SELECT is(pg_temp.left_of('pgtap_r'), 6::bigint, 'gives back');
SELECT is((SELECT concat_ws(' ', j.reservations, j.next) FROM economy_internal.expire_reservations(500, NULL) j), '0', 'once');
SELECT is((SELECT count(*) FROM generate_series(1, 3) i, economy.reserve(:v, 'pgtap_r', 'j' || i, 1, make_interval(secs => i)) r WHERE r.code = 'OK'), 3::bigint, 'three more');
SET LOCAL economy.test_clock = '2031-01-02 04:20:00+00';
SELECT j.reservations, j.next FROM economy_internal.expire_reservations(2, NULL) j \gset
SELECT is(concat_ws(' ', :'reservations', :'next'), '2 {"due_at": "2031-01-02T04:10:02+00:00"}', 'in batches');
SELECT is((SELECT concat_ws(' ', j.reservations, j.next) FROM economy_internal.expire_reservations(2, :'next') j), '1', 'until all is done');
SET LOCAL economy.test_clock = '2031-02-01 03:59:59+00';
SELECT is((SELECT concat_ws(' ', j.reservations, j.next) FROM economy_internal.expire_reservations(500, NULL) j), '0', 'what is over');
SELECT is((SELECT string_agg(r.idempotency_key, ' ' ORDER BY r.idempotency_key COLLATE "C") FROM economy.shop_reservations r WHERE r.product_id LIKE 'pgtap%'), 'c1 e2 e3 j1 j2 j3', 'is forgotten after 30 days');
SELECT is(pg_temp.wrong(), NULL, 'which the audit does not mind');
-- what is used or released stays so, however long nobody comes to forget it
SAVEPOINT old;
SET LOCAL economy.test_clock = '2031-03-05 00:00:00+00';
SELECT is(r.code, 'OK', 'one that is over') FROM economy.reserve(:u, 'pgtap_r', 'old', 1, '1 second') r;
SET LOCAL economy.test_clock = '2031-03-05 00:00:01+00';
SELECT is(economy_internal.give_back_over('pgtap_r'), 1::bigint, 'is given back, at the moment of its end');
SELECT is(pg_temp.wrong(), NULL, 'alone');
-- in the order of their ends
SELECT is((SELECT count(*) FROM generate_series(1, 6) i, economy.reserve(:u, 'pgtap_r', 'six' || i, 1, make_interval(secs => 10 - i)) r WHERE r.code = 'OK'), 6::bigint, 'six others');
SET LOCAL economy.test_clock = '2031-03-05 00:00:05+00';
SELECT is((SELECT concat_ws(' ', j.reservations, j.next) FROM economy_internal.expire_reservations(1, '{"due_at": "2031-03-04T00:00:00+00:00"}') j), '0 {"due_at": "2031-03-05T00:00:05+00:00"}', 'none is over yet') WHERE false;
SET LOCAL economy.test_clock = '2031-03-05 00:00:06+00';
SELECT is((SELECT concat_ws(' ', j.reservations, j.next) FROM economy_internal.expire_reservations(1, '{"due_at": "2031-03-04T00:00:00+00:00"}') j), '1 {"due_at": "2031-03-05T00:00:05+00:00"}', 'of several the job gives back the one that was over first');
ROLLBACK TO old;
-- of several that are over a buyer may have all
SET LOCAL economy.test_clock = '2031-03-06 00:00:00+00';
SELECT is(count(r.code), 2::bigint, 'two of one and two units') FROM generate_series(1, 2) n, economy.reserve(:v, 'pgtap_r', 'show' || n, n, '1 second') r WHERE r.code = 'OK';
SELECT p.stock_remaining AS shown FROM economy.product('pgtap_r', :u) p \gset
SET LOCAL economy.test_clock = '2031-03-06 00:00:01+00';
SELECT is((SELECT concat_ws(' ', p.code, p.stock_remaining - :shown) FROM economy.purchase(:u, 'pgtap_r', 'show', :shown + n, NULL, true) p), says, 'three more, and no four: ' || n) FROM (VALUES (3, 'OK ' || -:shown), (4, 'SOLD_OUT 3')) v (n, says);
ROLLBACK TO old;
-- to the slot that it came from
UPDATE economy.shop_stock SET remaining = CASE slot WHEN 2 THEN 7 ELSE 0 END WHERE product_id = 'pgtap_lim';
SELECT is(r.code, 'OK', 'reserved from the last slot') FROM economy.reserve(:u, 'pgtap_lim', 's1', 1) r;
SELECT is(r.code, 'OK', 'given back') FROM economy.release_reservation(:u, 's1') r;
SELECT is((SELECT array_agg(s.remaining ORDER BY s.slot) FROM economy.shop_stock s WHERE s.product_id = 'pgtap_lim'), '{0,0,7}'::bigint[], 'to where it came from');
ROLLBACK TO old;
-- a product that is gone
SELECT is(r.code, 'OK', 'reserved') FROM economy.reserve(:u, 'pgtap_lim', 'g1', 1) r;
DELETE FROM economy.shop_stock WHERE product_id = 'pgtap_lim';
SELECT throws_ok(format('SELECT economy.release_reservation(%s, %L)', :u, 'g1'), 'XE103', 'product "pgtap_lim" has no slot 0');
SET LOCAL economy.test_clock = '2031-02-02 03:00:00+00';
SELECT is((SELECT concat_ws(' ', j.reservations, j.next) FROM economy_internal.expire_reservations(500, NULL) j), '0', 'does not stop the job');
SELECT j.next FROM economy_internal.expire_reservations(1, NULL) j \gset
SELECT is((SELECT concat_ws(' ', j.reservations, j.next) FROM economy_internal.expire_reservations(1, :'next') j), '0', 'which comes to its end');
SELECT isnt(pg_temp.wrong(), NULL, 'and is found');
INSERT INTO economy.shop_stock SELECT 'pgtap_lim', i, CASE i WHEN 0 THEN 7 ELSE 0 END FROM generate_series(0, 2) i;

-- a day has 24 hours, and a clock that was ahead changes nothing
SET LOCAL TimeZone = 'America/New_York';
SET LOCAL economy.test_clock = '2031-11-01 12:00:00+00';
SELECT is(to_char(r.expires_at AT TIME ZONE 'UTC', 'DD HH24:MI:SS'), '02 12:00:00', 'a day') FROM economy.reserve(:u, 'pgtap_r', 'd1', 1, '1 day') r;
SET LOCAL economy.test_clock = '2031-10-01 12:00:00+00';
SELECT is(pg_temp.bought(economy.purchase(:u, 'pgtap_r', 'kd', 1, '{"reservation": "d1"}')), 't new OK 1 964', 'bought before it was made');
SAVEPOINT days;
SET LOCAL economy.test_clock = '2031-10-25 12:00:00+00';
SELECT is(r.code, 'OK', 'reserved') FROM economy.reserve(:u, 'pgtap_r', 'd2') r;
SELECT is(r.code, 'OK', 'given back') FROM economy.release_reservation(:u, 'd2') r;
SELECT is((SELECT r.due_at - r.closed_at FROM economy.shop_reservations r WHERE r.user_id = :u AND r.idempotency_key = 'd2'), interval '720 hours', 'and kept for 30 of them, whatever the clocks do meanwhile');
ROLLBACK TO days;
SELECT is(pg_temp.wrong(), NULL, 'all are counted');

SELECT throws_ok(replace('SELECT economy.' || call, 'USER', :'u'), code, says, call)
FROM (VALUES ('reserve(NULL, ''p'', ''k'')', 'XE001', 'user_id must not be null'), ('reserve(USER, NULL, ''k'')', 'XE001', 'product_id must not be null'), ('reserve(USER, ''p'', NULL)', 'XE001', 'idempotency_key must not be null'), ('reserve(USER, '''', ''k'')', 'XE002', 'product_id must not be empty'),
    ('reserve(USER, ''p'', '''')', 'XE002', 'idempotency_key must not be empty'), ('reserve(USER, repeat(''p'', 65), ''k'')', 'XE003', 'product_id is too long'), ('reserve(USER, ''p'', repeat(''k'', 256))', 'XE003', 'idempotency_key is too long'),
    ('reserve(USER, ''p'', ''k'', NULL)', 'XE001', 'quantity must not be null'), ('reserve(USER, ''p'', ''k'', 0)', 'XE002', 'quantity 0 is out of range'), ('reserve(USER, ''p'', ''k'', 1000001)', 'XE002', 'quantity 1000001 is out of range'),
    ('reserve(USER, ''p'', ''k'', 1, NULL)', 'XE001', 'ttl must not be null'), ('reserve(USER, ''p'', ''k'', 1, ''0.9 s'')', 'XE002', 'ttl must be from 1 second to 24 hours'), ('reserve(USER, ''p'', ''k'', 1, ''24:00:01'')', 'XE002', 'ttl must be from 1 second to 24 hours'),
    ('reserve(USER, ''p'', ''k'', 1, ''-1 day'')', 'XE002', 'ttl must be from 1 second to 24 hours'), ('reserve(USER, ''p'', ''k'', 1, ''178956970 years'')', 'XE002', 'ttl must be from 1 second to 24 hours'), ('reserve(USER, ''p'', ''k'', 1, ''1 day'', NULL)', 'XE001', 'dry_run must not be null'),
    ('release_reservation(NULL, ''k'')', 'XE001', 'user_id must not be null'), ('release_reservation(USER, NULL)', 'XE001', 'reservation must not be null'),
    ('purchase(USER, ''pgtap_r'', ''k'', 1, ''{"reservation": 1}'')', 'XE002', 'context.reservation must be a text of 1 to 255 bytes'), ('purchase(USER, ''pgtap_r'', ''k'', 1, ''{"reservation": ""}'')', 'XE002', 'context.reservation must be a text of 1 to 255 bytes'),
    ('purchase(USER, ''pgtap_r'', ''k'', 1, jsonb_build_object(''reservation'', repeat(''r'', 256)))', 'XE002', 'context.reservation must be a text of 1 to 255 bytes'),
    ('purchases(''[{"user_id": USER, "product_id": "pgtap_r", "idempotency_key": "k", "context": {"reservation": "c1"}}]'')', 'XE002', 'purchase 1: context.reservation is for economy.purchase()')) v (call, code, says);
SELECT is(p.code, 'OK', 'null is none') FROM economy.purchase(:u, 'pgtap_free', 'kn', 1, '{"reservation": null}') p;

-- user code on its table: whatever it does, units are neither lost nor invented
SAVEPOINT code;
SELECT is(r.code, 'OK', 'reserved') FROM economy.reserve(:v, 'pgtap_r', 'u1', 1) r;
SELECT is(r.code, 'OK', 'and again') FROM economy.reserve(:v, 'pgtap_r', 'u2', 1) r;
SELECT array_agg(c.c) AS calls FROM unnest(ARRAY['reserve(%s, ''pgtap_r'', ''u3'')', 'purchase(%s, ''pgtap_r'', ''ku1'', 1, ''{"reservation": "u1"}'')', 'release_reservation(%s, ''u1'')']) c (c) \gset
CREATE FUNCTION pg_temp.raised(t text, what text, u bigint, calls text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
    said   text;
    c      text;
BEGIN
    EXECUTE format('CREATE TRIGGER pgtap BEFORE INSERT OR UPDATE ON economy.%I FOR EACH ROW EXECUTE FUNCTION pg_temp.%I()', t, what);
    FOREACH c IN ARRAY calls LOOP
        BEGIN
            EXECUTE format('SELECT x.code FROM economy.' || c || ' x', u) INTO said;
            said := said || coalesce(' ' || pg_temp.wrong(), '');
            RAISE EXCEPTION USING ERRCODE = 'UNDO0', MESSAGE = said;
        EXCEPTION WHEN SQLSTATE 'UNDO0' THEN
            answer := concat_ws(', ', answer, said);
        WHEN OTHERS THEN
            answer := concat_ws(', ', answer, sqlstate);
        END;
    END LOOP;
    EXECUTE format('DROP TRIGGER pgtap ON economy.%I', t);
    RETURN answer;
END
$$;
CREATE FUNCTION pg_temp.nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE FUNCTION pg_temp.another_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state <> 'held' THEN
        NEW.due_at := NEW.due_at + interval '1 day';
    END IF;
    RETURN NEW;
END $$;
CREATE FUNCTION pg_temp.another_stock() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.remaining := NEW.remaining + 1; RETURN NEW; END $$;
CREATE FUNCTION pg_temp.paid() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM economy.grant_reward(NEW.user_id, 'pgtap', NEW.idempotency_key || NEW.state, 1);
    RETURN NEW;
END $$;
SELECT is(pg_temp.raised(t, what, :v, :'calls'), says, t || ' ' || what)
FROM (VALUES ('shop_reservations', 'nothing', 'XE103, XE103, XE103'), ('shop_reservations', 'another_state', 'OK, XE103, XE103'), ('shop_reservations', 'paid', 'OK, 27000, OK'),
    ('shop_stock', 'nothing', 'XE103, OK, XE103'), ('shop_stock', 'another_stock', 'XE103, OK, XE103')) c (t, what, says);
CREATE FUNCTION pg_temp.bought_at_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state = 'held' THEN
        PERFORM economy.purchase(NEW.user_id, NEW.product_id, 'with ' || NEW.idempotency_key, NEW.quantity, jsonb_build_object('reservation', NEW.idempotency_key));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER pgtap AFTER INSERT ON economy.shop_reservations FOR EACH ROW EXECUTE FUNCTION pg_temp.bought_at_once();
SELECT is(r.code, 'OK', 'one that is bought as soon as it is made') FROM economy.reserve(:v, 'pgtap_r', 'u4', 1) r;
DROP TRIGGER pgtap ON economy.shop_reservations;
SELECT is((SELECT concat_ws(' ', r.state, t.quantity) FROM economy.shop_reservations r JOIN economy.shop_transactions t USING (user_id, seq) WHERE r.user_id = :v AND r.idempotency_key = 'u4'), 'used 1', 'is');
SET LOCAL economy.test_clock = '2031-11-02 12:00:00+00';
CREATE TRIGGER pgtap BEFORE UPDATE ON economy.shop_reservations FOR EACH ROW EXECUTE FUNCTION pg_temp.nothing();
SELECT is((SELECT j.reservations FROM economy_internal.expire_reservations(500, NULL) j), 0::bigint, 'nor does the job invent any');
SELECT is(pg_temp.wrong(), NULL, 'and all are counted');
DROP TRIGGER pgtap ON economy.shop_reservations;
CREATE TRIGGER pgtap BEFORE UPDATE ON economy.shop_stock FOR EACH ROW EXECUTE FUNCTION pg_temp.another_stock();
SELECT is((SELECT j.reservations FROM economy_internal.expire_reservations(500, NULL) j), 0::bigint, 'nor pass it over in silence');
SELECT is(pg_temp.wrong(), NULL, 'and all are counted');
DROP TRIGGER pgtap ON economy.shop_stock;
SELECT is(pg_temp.wrong(), NULL, 'all are counted');
ROLLBACK TO code;

-- what the audit finds
CREATE FUNCTION pg_temp.found_after(damage text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    EXECUTE damage;
    answer := pg_temp.wrong();
    RAISE EXCEPTION USING ERRCODE = 'UNDO0', MESSAGE = coalesce(answer, 'nothing');
EXCEPTION WHEN SQLSTATE 'UNDO0' THEN
    RETURN SQLERRM;
END
$$;
SELECT is(r.code, 'OK', 'reserved') FROM economy.reserve(:u, 'pgtap_r', 'w1', 2) r;
SELECT is(pg_temp.found_after(replace('UPDATE economy.shop_reservations SET ' || damage || ' AND user_id = USER', 'USER', :'u')), replace(says, 'USER', :'u'), damage)
FROM (VALUES ('quantity = 3 WHERE idempotency_key = ''w1''', 'wrong_stock 10 units issued of pgtap_r | 3 left, 3 reserved and 5 sold'), ('product_id = ''pgtap_x'' WHERE idempotency_key = ''w1''', 'wrong_stock 0 units issued of pgtap_x | 0 left, 2 reserved and 0 sold, wrong_stock 10 units issued of pgtap_r | 3 left and 5 sold'),
    ('state = ''released'', closed_at = made_at WHERE idempotency_key = ''w1''', 'wrong_stock 10 units issued of pgtap_r | 3 left and 5 sold'), ('quantity = 2 WHERE idempotency_key = ''d1''', 'orphan_row a purchase of 2 pgtap_r with reservation d1 | none')) v (damage, says);
SELECT alike(pg_temp.found_after(format('ALTER TABLE economy.shop_reservations DROP CONSTRAINT shop_reservations_used_check; UPDATE economy.shop_reservations SET state = ''released'' WHERE idempotency_key = ''d1'' AND user_id = %s', :u)),
    format('wrong_reservation reservation d1 used by P%s-%% | released P%1$s-%%', :u), 'one that was used says so');

-- a trigger of the app that refuses one reservation stops no other
SELECT is(pg_temp.said(economy.reserve(:u, 'pgtap_r', k, 1)) ~ '^t new OK', true, k) FROM unnest(ARRAY['t1', 't2', 't3']) k;
SELECT set_config('economy.test_clock', to_char((economy.now() + interval '1 hour') AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS+00'), true) AS x \gset
CREATE FUNCTION pg_temp.not_this() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this one'; END $$;
CREATE TRIGGER pgtap AFTER UPDATE ON economy.shop_reservations FOR EACH ROW WHEN (NEW.idempotency_key = 't2') EXECUTE FUNCTION pg_temp.not_this();
SELECT count(*) AS x FROM economy_internal.expire_reservations(500, NULL) \gset
SELECT is((SELECT string_agg(r.idempotency_key || ' ' || r.state, ', ' ORDER BY r.idempotency_key) FROM economy.shop_reservations r WHERE r.user_id = :u AND r.idempotency_key LIKE 't_'), 't1 expired, t2 held, t3 expired', 'the others are given back');
DROP TRIGGER pgtap ON economy.shop_reservations;
SELECT is((SELECT j.reservations FROM economy_internal.expire_reservations(500, NULL) j), 1::bigint, 'and this one when it is gone');
SELECT is(pg_temp.wrong(), NULL, 'nothing is wrong');
SELECT * FROM finish();
ROLLBACK;
