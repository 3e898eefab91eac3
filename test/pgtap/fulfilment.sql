-- Purchases that workers fulfil: unfulfilled(), fulfil(), and what keeps them from being forgotten or done twice.
BEGIN;
SELECT no_plan();

SELECT economy.register('pgtap waiting') AS u \gset
SELECT success AS x FROM economy.adjust_gold(:u, 1000, 'open', 'pgtap', 'pgtap') \gset
SET LOCAL economy.test_clock = '2031-01-02 03:00:00+00';
SELECT count(*) AS x FROM unnest(ARRAY['{"product_id": "pgtap_mail", "category": "item", "price_gold": 10, "fulfilment": true, "effect_code": "post"}', '{"product_id": "pgtap_call", "category": "item", "price_gold": 0, "fulfilment": true}',
    '{"product_id": "pgtap_none", "category": "item", "price_gold": 0}']) i, economy.upsert_product(i::jsonb, 'ann') \gset
CREATE FUNCTION pg_temp.take(worker text, n integer DEFAULT 10, lease interval DEFAULT '5 minutes', product text DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', q.transaction_id, q.product_id, q.quantity, q.effect_code, q.context, q.attempts, to_char(q.leased_until AT TIME ZONE 'UTC', 'HH24:MI:SS')), ', ' ORDER BY q.created_at, q.transaction_id)
    FROM economy.unfulfilled(worker, n, lease, product) q WHERE q.product_id LIKE 'pgtap%' $$;
CREATE FUNCTION pg_temp.done(id text, worker text, note jsonb DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', f.success, f.state, f.code, f.transaction_id, f.worker, to_char(f.fulfilled_at AT TIME ZONE 'UTC', 'HH24:MI:SS'), f.attempts, f.detail)
    FROM economy.fulfil((SELECT economy.user_id_of('pgtap waiting')), id, worker, note) f $$;
CREATE FUNCTION pg_temp.wrong() RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(concat_ws(' ', f.kind, f.expected, '|', f.actual), ', ') FROM economy_internal.audit_shop() f $$;

SELECT is(p.code, 'OK', 'bought') FROM economy.purchase(:u, 'pgtap_mail', 'k1', 2, '{"to": "home"}') p;
SELECT is(p.code, 'OK', 'what needs nobody') FROM economy.purchase(:u, 'pgtap_none', 'k1') p;
SELECT is(p.code, 'OK', 'only tried') FROM economy.purchase(:u, 'pgtap_mail', 'dry', dry_run => true) p;
SELECT is(p.state, 'reuse', 'sent again') FROM economy.purchase(:u, 'pgtap_mail', 'k1', 2, '{"to": "home"}') p;
SELECT is(p.code, 'INSUFFICIENT_GOLD', 'refused') FROM economy.purchase(:u, 'pgtap_mail', 'dear', 1000) p;
SET LOCAL economy.test_clock = '2031-01-02 03:00:10+00';
SELECT is((SELECT string_agg(p.code, ' ') FROM economy.purchases(ARRAY[:u, :u, :u]::bigint[], ARRAY['pgtap_call', 'pgtap_mail', 'pgtap_call'], ARRAY['b1', 'b2', 'b1']) p), 'OK OK OK', 'and in a batch');
SELECT is((SELECT string_agg(concat_ws(' ', f.seq, f.product_id, f.attempts, to_char(f.due_at AT TIME ZONE 'UTC', 'HH24:MI:SS'), f.visible_at = f.due_at), ', ' ORDER BY f.seq) FROM economy.fulfilments f WHERE f.user_id = :u), '2 pgtap_mail 0 03:00:00 t, 4 pgtap_call 0 03:00:10 t, 5 pgtap_mail 0 03:00:10 t', 'each waits, once');

SELECT is(pg_temp.take('a', 1), 'P' || :u || '-2 pgtap_mail 2 post {"to": "home"} 1 03:05:10', 'the longest first');
SELECT is(pg_temp.take('b', 10, '1 minute', 'pgtap_call'), 'P' || :u || '-4 pgtap_call 1 1 03:01:10', 'of one product');
SELECT is(pg_temp.take('b'), 'P' || :u || '-5 pgtap_mail 1 post 1 03:05:10', 'and the others');
SELECT is(pg_temp.take('a'), NULL, 'what is out is not handed out again');
SELECT is(pg_temp.done('P' || :u || '-2', 'b'), 'f refused LEASED P' || :u || '-2 a 1 {"leased_until": "2031-01-02T03:05:10+00:00"}', 'nor fulfilled by another one');
SELECT is(pg_temp.done('P' || :u || '-2', 'a', '{"letter": 7}'), 't new OK P' || :u || '-2 a 03:00:10 1', 'fulfilled');
SELECT is(pg_temp.done('P' || :u || '-2', who), 't reuse OK P' || :u || '-2 a 03:00:10 1', 'once, and ' || who || ' is told so') FROM unnest(ARRAY['a', 'b']) who;
SELECT is((SELECT f.note FROM economy.fulfilments f WHERE f.user_id = :u AND f.seq = 2), '{"letter": 7}', 'with the note of who did');
SET LOCAL economy.test_clock = '2031-01-02 03:01:10+00';
SELECT is(pg_temp.take('c'), 'P' || :u || '-4 pgtap_call 1 2 03:06:10', 'at the end of its lease it is handed out again');
SELECT is(pg_temp.done('P' || :u || '-4', 'b'), 'f refused LEASED P' || :u || '-4 c 2 {"leased_until": "2031-01-02T03:06:10+00:00"}', 'and not fulfilled by who had it');
SET LOCAL economy.test_clock = '2031-01-02 04:00:00+00';
SELECT is(pg_temp.done('P' || :u || '-4', 'b'), 't new OK P' || :u || '-4 b 04:00:00 2', 'unless nobody has it');
SELECT is(pg_temp.take('c', 100, '24 hours'), 'P' || :u || '-5 pgtap_mail 1 post 2 04:00:00', 'what is fulfilled is not handed out');
SELECT is(pg_temp.done(id, 'c'), 'f refused NOTHING_TO_FULFIL ' || id, 'nothing: ' || id) FROM (VALUES ('P' || :u || '-3'), ('P' || :u || '-99'), ('R' || :u || '-2'), ('P0-2'), ('P' || :u || '-02'), ('P' || :u || '-99999999999999999999'), ('')) v (id);
SELECT is((SELECT f.code FROM economy.fulfil(-1, 'P-1-2', 'c') f), 'NOTHING_TO_FULFIL', 'nor of nobody');
SELECT throws_ok('SELECT economy.' || call, code, says, call)
FROM (VALUES ('unfulfilled(NULL)', 'XE001', 'worker must not be null'), ('unfulfilled('''')', 'XE002', 'worker must have 1 to 255 bytes'), ('unfulfilled(repeat(''w'', 256))', 'XE002', 'worker must have 1 to 255 bytes'),
    ('unfulfilled(''w'', 0)', 'XE002', NULL), ('unfulfilled(''w'', NULL)', 'XE001', NULL), ('unfulfilled(''w'', 1, NULL)', 'XE001', 'lease must not be null'), ('unfulfilled(''w'', 1, ''0.9 seconds'')', 'XE002', 'lease must be from 1 second to 24 hours'),
    ('unfulfilled(''w'', 1, ''24:00:00.000001'')', 'XE002', 'lease must be from 1 second to 24 hours'), ('fulfil(NULL, ''P1-2'', ''w'')', 'XE001', 'user_id must not be null'), ('fulfil(1, NULL, ''w'')', 'XE001', 'transaction_id must not be null'),
    ('fulfil(1, ''P1-2'', NULL)', 'XE001', 'worker must not be null'), ('fulfil(1, ''P1-2'', ''w'', ''[]'')', 'XE002', 'note must be a JSON object'), ('fulfil(1, ''P1-2'', ''w'', jsonb_build_object(''a'', repeat(''x'', 4096)))', 'XE003', 'note is too long')) v (call, code, says);
-- the lease is so many seconds, whatever the calendar says
SAVEPOINT leases;
SET LOCAL economy.test_clock = '2031-11-01 12:00:00+00';
SET LOCAL TimeZone = 'America/New_York';
SELECT is(pg_temp.take('c', 1, '1 day'), 'P' || :u || '-5 pgtap_mail 1 post 3 12:00:00', 'a day has 24 hours');
SET LOCAL economy.test_clock = '2032-02-10 12:00:00+00';
SELECT is(pg_temp.take('c', 1, '1 mon -30 days 1 hour'), 'P' || :u || '-5 pgtap_mail 1 post 4 13:00:00', 'and a month 30 of them');
SET LOCAL economy.test_clock = '2032-02-10 13:00:00+00';
SELECT is(pg_temp.take('c', 1, '1 second'), 'P' || :u || '-5 pgtap_mail 1 post 5 13:00:01', 'a lease may be of a second');
SET LOCAL economy.test_clock = '2032-02-10 13:00:01+00';
SELECT is(pg_temp.done('P' || :u || '-5', 'd', jsonb_build_object('a', repeat('x', 4087))), 't new OK P' || :u || '-5 d 13:00:01 5', 'who had it has it no more at its end; a note may have 4,096 bytes');
ROLLBACK TO leases;
UPDATE economy.fulfilments SET attempts = 2147483647 WHERE user_id = :u AND seq = 5;
SET LOCAL economy.test_clock = '2031-01-04 00:00:00+00';
SELECT is(pg_temp.take('c'), 'P' || :u || '-5 pgtap_mail 1 post 2147483647 00:05:00', 'no number of attempts keeps it from being handed out');
ROLLBACK TO leases;
-- a clock that was ahead when it was bought
SELECT success AS x FROM economy.purchase(:u, 'pgtap_mail', 'ahead') \gset
SET LOCAL economy.test_clock = '2031-01-02 03:59:00+00';
SELECT is((SELECT f.state FROM economy.fulfil(:u, 'P' || :u || '-6', 'd') f), 'new', 'what nobody has had is fulfilled by whoever does');
-- by the time at which they were bought, whatever the clock was
SAVEPOINT turns;
SELECT count(*) AS x FROM generate_series(1, 3) n, set_config('economy.test_clock', format('2031-02-03 04:00:%s+00', 50 - 10 * n), true) c, economy.purchase(:u, 'pgtap_call', 't' || n || left(c, 0)) p WHERE p.success \gset
SET LOCAL economy.test_clock = '2031-02-03 04:00:40+00';
SELECT is((SELECT string_agg(replace(q.transaction_id, 'P' || :u || '-', ''), ' ') FROM economy.unfulfilled('e', 2, '1 second', 'pgtap_call') q), '9 8', 'the two that wait the longest, the longest first');
ROLLBACK TO turns;
SELECT is(pg_temp.wrong(), NULL, 'the audit finds nothing');

-- a purchase that waits is not archived
CREATE SCHEMA pgtap_fulfilment;
CREATE TABLE pgtap_fulfilment.purchases (LIKE economy.shop_transactions);
SET LOCAL economy.test_clock = '2031-06-02 00:00:00+00';
SELECT code AS x FROM economy.purchase(:u, 'pgtap_none', 'late') \gset
SELECT entries AS x FROM economy.archive('economy.shop_transactions', 'pgtap_fulfilment.purchases', '90 days', 1000000) \gset
SELECT is((SELECT string_agg(t.seq::text, ' ' ORDER BY t.seq) FROM economy.shop_transactions t WHERE t.user_id = :u), '4 5 6 7', 'what is in front of it is');
SELECT is(pg_temp.wrong(), NULL, 'which the audit knows');
SELECT is(pg_temp.take('c'), 'P' || :u || '-5 pgtap_mail 1 post 3 00:05:00', 'it goes on waiting');

-- beside a trigger of a DBA's that keeps it from being written
SAVEPOINT kept;
CREATE FUNCTION pg_temp.nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER pgtap BEFORE UPDATE ON economy.fulfilments FOR EACH ROW EXECUTE FUNCTION pg_temp.nothing();
SELECT throws_ok(format('SELECT economy.fulfil(%s, ''P%s-5'', ''c'')', :u, :u), 'XE103', 'a purchase would be fulfilled in another way than was asked for', 'what is not written down is not new');
ROLLBACK TO kept;

-- damage
SELECT is(pg_temp.wrong(), NULL, 'sound before');
SAVEPOINT damage;
DELETE FROM economy.fulfilments WHERE user_id = :u AND seq = 5;
SELECT is(pg_temp.wrong(), 'orphan_row a purchase of pgtap_mail that is to be fulfilled | none is written down', 'a row that is gone is found');
ROLLBACK TO damage;
DELETE FROM economy.fulfilments WHERE user_id = :u AND seq = 2;
SELECT is(pg_temp.wrong(), 'orphan_row a purchase of pgtap_mail that is to be fulfilled | none is written down', 'also when its purchase is archived');
ROLLBACK TO damage;
SELECT fulfilment AS x FROM economy.upsert_product('{"product_id": "pgtap_mail", "fulfilment": null}', 'tester') \gset
DELETE FROM economy.fulfilments WHERE user_id = :u AND seq = 5;
SELECT is(pg_temp.wrong(), NULL, 'but of a product that once had no fulfilment nobody knows');
ROLLBACK TO damage;
UPDATE economy.fulfilments SET product_id = 'pgtap_none' WHERE user_id = :u AND seq = 5;
SELECT is(pg_temp.wrong(), 'orphan_row a purchase of pgtap_none | none that is to be fulfilled', 'a row of another product is found');
ROLLBACK TO damage;
INSERT INTO economy.fulfilments SELECT user_id, 77, product_id, due_at, visible_at, attempts FROM economy.fulfilments WHERE user_id = :u AND seq = 5;
SELECT is(pg_temp.wrong(), 'orphan_row a purchase of pgtap_mail | none that is to be fulfilled', 'and one of no purchase');
SET LOCAL economy.test_clock = '2031-06-03 00:00:00+00';
SELECT is(pg_temp.take('c', 2), 'P' || :u || '-5 pgtap_mail 1 post 4 00:05:00, P' || :u || '-77 pgtap_mail 4 00:05:00', 'which is handed out as what there is of it, and keeps no other waiting');
ROLLBACK TO damage;
ALTER TABLE economy.fulfilments DROP CONSTRAINT fulfilments_pkey;
INSERT INTO economy.fulfilments SELECT * FROM economy.fulfilments WHERE user_id = :u AND seq = 5;
SET LOCAL plpgsql.extra_errors = 'none';
SELECT throws_ok(format('SELECT economy.fulfil(%s, ''P%s-5'', ''c'')', :u, :u), 'XE103', 'a purchase would be fulfilled in another way than was asked for', 'of one that is there twice it is not said that it is done');
ROLLBACK TO damage;
SELECT is(pg_temp.wrong(), NULL, 'sound again');

SELECT * FROM finish();
ROLLBACK;
