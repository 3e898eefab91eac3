-- Units of products with limits in the account: packed, left out, spilled into rows, counted
-- again, damaged, corrected; and user code between.
BEGIN;
SELECT no_plan();
SET LOCAL standard_conforming_strings = on;
SELECT economy.register('pgtap units') AS u, economy.register('pgtap units 2') AS v \gset
SELECT count(*) AS x FROM unnest(ARRAY[:u, :v]) i, economy.adjust_gold(i, 1000000, 'open', 'pgtap', 'pgtap') \gset
CREATE FUNCTION pg_temp.product(id text, per_user integer, period text DEFAULT 'ever') RETURNS void LANGUAGE sql AS $$
    SELECT FROM economy.upsert_product(jsonb_build_object('product_id', id, 'category', 'item', 'price_gold', 1, 'per_user_limit', per_user, 'limit_period', period), 'pgtap') $$;
CREATE FUNCTION pg_temp.buy(u bigint, clock text, product text, n integer DEFAULT 1) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('economy.test_clock', clock, true);
    RETURN (SELECT concat_ws(' ', p.code, p.user_limit_remaining) FROM economy.purchase(u, product, gen_random_uuid()::text, n) p);
END
$$;
CREATE FUNCTION pg_temp.hex(u bigint) RETURNS text LANGUAGE sql AS $$ SELECT encode(a.sections, 'hex') FROM economy.accounts a WHERE a.user_id = u $$;
CREATE FUNCTION pg_temp.rows(u bigint) RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM economy_internal.shop_user_units_more m WHERE m.user_id = u $$;
CREATE FUNCTION pg_temp.units(u bigint, product text) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', s.units, s.day_units, s.week_units, s.month_units, s.last_on - date '2000-01-01') FROM economy_internal.shop_user_units s WHERE s.user_id = u AND s.product_id = product $$;
CREATE FUNCTION pg_temp.wrong() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', kind, expected, actual), ', ') FROM (SELECT * FROM economy_internal.audit_units() UNION ALL SELECT * FROM economy_internal.audit_twice()) f $$;

-- what stands in the account, byte by byte; 2000-01-05 is a Wednesday
SELECT pg_temp.product('pu_b', 200), pg_temp.product('pu_a', 200, 'day') \g /dev/null
SELECT is(pg_temp.hex(:u), NULL, 'none before the first');
SELECT is(pg_temp.buy(:u, '2000-01-05 12:00+00', 'pu_b', 130), 'OK 70', 'a first purchase');
SELECT is(pg_temp.hex(:u), '03010010' || '00' || '04' || encode('pu_b', 'hex') || '07' || '8201' || '08' || '8201' || '8201' || '8201', 'as it is packed');
SELECT is(pg_temp.buy(:u, '2000-01-05 23:59:59.999999+00', 'pu_a', 2), 'OK 198', 'and another product');
SELECT is(pg_temp.hex(:u), '0301001b' || '00' || '04' || encode('pu_a', 'hex') || '07' || '02' || '08' || '02' || '02' || '02' || '04' || encode('pu_b', 'hex') || '07' || '8201' || '08' || '8201' || '8201' || '8201', 'in front of it');
SELECT is(pg_temp.units(:u, 'pu_b'), '130 130 130 130 4', 'as the view shows it');
SELECT is(pg_temp.units(:v, 'pu_b'), NULL, 'nothing of others');
-- what is over is left out when the account is written next
SELECT is(pg_temp.buy(:u, '2000-01-06 00:00+00', 'pu_a'), 'OK 199', 'the day after');
SELECT is(pg_temp.units(:u, 'pu_a'), '3 1 3 3 5', 'counts by day, week and month');
SELECT is(pg_temp.units(:u, 'pu_b'), '130 0 130 130 4', 'and ends the day of the other');
SELECT is(pg_temp.buy(:u, '2000-01-10 00:00+00', 'pu_a'), 'OK 199', 'the Monday after');
SELECT is(pg_temp.units(:u, 'pu_b'), '130 0 0 130 4', 'ends its week');
SELECT is(pg_temp.buy(:u, '2000-02-01 00:00+00', 'pu_a'), 'OK 199', 'February');
SELECT is(pg_temp.units(:u, 'pu_b'), '130 0 0 0 4', 'ends its month');
SELECT is(pg_temp.units(:u, 'pu_a'), '5 1 1 1 31', 'and its own go on');
SELECT is(pg_temp.wrong(), NULL, 'which the audit takes for right');
-- a week that goes on in another month: the month is over, and the week is not
SELECT is(pg_temp.buy(:u, '2000-02-29 12:00+00', 'pu_b'), 'OK 69', 'on a Tuesday');
SELECT is(pg_temp.buy(:u, '2000-03-01 12:00+00', 'pu_a'), 'OK 199', 'and on a Wednesday');
SELECT is(pg_temp.units(:u, 'pu_b'), '131 0 1 0 59', 'in another month of the same week');
SELECT is(pg_temp.buy(:u, '2000-03-02 12:00+00', 'pu_b'), 'OK 68', 'on Thursday');
SELECT is(pg_temp.units(:u, 'pu_b'), '132 1 2 1 61', 'counted on');
-- a clock that is set back to a time that was left out: the entries are counted
SELECT pg_temp.product('pu_b', 200, 'day') \g /dev/null
SELECT is(pg_temp.buy(:u, '2000-03-06 12:00+00', 'pu_a'), 'OK 199', 'the Monday after again');
SELECT is(pg_temp.units(:u, 'pu_b'), '132 0 0 1 61', 'day and week are over');
SELECT is(pg_temp.buy(:u, '2000-03-02 12:00+00', 'pu_b', 2), 'OK 197', 'back on Thursday: what was bought of it counts');
SELECT is(pg_temp.units(:u, 'pu_b'), '134 0 0 3 61', 'what is not known stays unknown');
SELECT is(pg_temp.buy(:u, '2000-03-02 12:00+00', 'pu_b', 197), 'OK 0', 'all of the day');
SELECT is(pg_temp.buy(:u, '2000-03-02 12:00+00', 'pu_b'), 'USER_LIMIT 0', 'and no more');
SELECT is(pg_temp.buy(:u, '2000-03-03 12:00+00', 'pu_b'), 'OK 199', 'a day later, still in the past');
SELECT is(pg_temp.units(:u, 'pu_b'), '332 1 0 201 62', 'a day of a week that is not known');
SELECT is(pg_temp.wrong(), NULL, 'is right');
SELECT pg_temp.product('pu_b', 1000, 'week') \g /dev/null
SELECT is(pg_temp.buy(:u, '2000-03-05 12:00+00', 'pu_b'), 'OK 797', 'nor is its week, of which all days are counted');
SELECT pg_temp.product('pu_b', 1000) \g /dev/null
SELECT is(pg_temp.buy(:u, '2000-03-07 12:00+00', 'pu_b'), 'OK 666', 'ever is ever, whatever the limit was meanwhile');
SELECT is(pg_temp.wrong(), NULL, 'sound');
-- nothing else of the account depends on it, and what has no limit leaves it
SELECT pg_temp.hex(:u) AS before \gset
SELECT economy.upsert_product('{"product_id": "pu_free", "category": "item", "price_gold": 1}', 'pgtap') IS NULL AS x \gset
SELECT is(pg_temp.buy(:u, '2000-04-07 12:00+00', 'pu_free'), 'OK', 'a product without a limit');
SELECT economy.upsert_product('{"product_id": "pu_once", "category": "item", "price_gold": 1, "limit_once": true}', 'pgtap') IS NULL AS x \gset
SELECT is(pg_temp.buy(:u, '2000-04-07 12:00+00', 'pu_once'), 'OK 0', 'or to have once');
SELECT is(pg_temp.buy(:u, '2000-04-07 12:00+00', 'pu_once'), 'LIMIT_ONCE 0', 'which is known without');
SELECT is(pg_temp.hex(:u), :'before', 'takes no room');
-- of one that has been counted, what is kept says it
SELECT economy.upsert_product('{"product_id": "pu_a", "per_user_limit": null, "limit_period": null, "limit_once": true}', 'pgtap') IS NULL AS x \gset
SELECT is(pg_temp.buy(:u, '2000-04-08 12:00+00', 'pu_a'), 'LIMIT_ONCE 0', 'to be had once, and had');
SELECT is(pg_temp.buy(:v, '2000-04-08 12:00+00', 'pu_a'), 'OK 0', 'not had');
SELECT is(pg_temp.buy(:v, '2000-04-08 12:00+00', 'pu_a'), 'LIMIT_ONCE 0', 'had now');
SELECT is(pg_temp.units(:v, 'pu_a'), '1 1 1 1 98', 'and counted');
-- what is rolled back does not count
SAVEPOINT s;
SELECT is(pg_temp.buy(:v, '2000-04-08 12:00+00', 'pu_b', 1000), 'OK 0', 'all of it');
ROLLBACK TO s;
SELECT is(pg_temp.buy(:v, '2000-04-08 12:00+00', 'pu_b', 999), 'OK 1', 'and taken back');
SELECT set_config('economy.test_clock', '', true) AS x \gset

-- products without end: those for which there is no room have rows
SELECT economy.register('pgtap units 3') AS w, economy.register('pgtap units 4') AS y \gset
SELECT count(*) AS x FROM unnest(ARRAY[:w, :y]) i, economy.adjust_gold(i, 1000000000, 'open', 'pgtap', 'pgtap') \gset
CREATE FUNCTION pg_temp.long(n integer) RETURNS text LANGUAGE sql AS $$ SELECT format('pu long %s %s', lpad(n::text, 2, '0'), repeat('x', 53)) $$;
SELECT pg_temp.product(pg_temp.long(n), 10000) FROM generate_series(1, 12) n \g /dev/null
CREATE FUNCTION pg_temp.all_of(u bigint, first int, last int, q int DEFAULT 1) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(DISTINCT concat_ws(' ', r.code, r.user_limit_remaining), ', ')
    FROM economy.purchases((SELECT jsonb_agg(jsonb_build_object('user_id', u, 'product_id', pg_temp.long(n), 'idempotency_key', gen_random_uuid(), 'quantity', q) ORDER BY n) FROM generate_series(first, last) n)) r $$;
SELECT is(pg_temp.all_of(:w, 1, 12), 'OK 9999', 'twelve products in one call');
SELECT is((SELECT string_agg(DISTINCT pg_temp.buy(:y, '', pg_temp.long(n)), ',') FROM generate_series(1, 12) n), 'OK 9999', 'and one by one');
SELECT is(pg_temp.rows(:w), 5::bigint, 'five have rows');
SELECT is(pg_temp.rows(:y), 5::bigint, 'either way');
SELECT is(pg_temp.hex(:w), pg_temp.hex(:y), 'the others stand in the account');
SELECT cmp_ok(octet_length(pg_temp.hex(:w)) / 2, '<=', 516, 'which has at most so many bytes');
SELECT is(pg_temp.wrong(), NULL, 'as the entries say');
SELECT is(pg_temp.all_of(:w, 1, 12, 2), 'OK 9997', 'again');
SELECT is((SELECT string_agg(DISTINCT pg_temp.buy(:y, '', pg_temp.long(n), 2), ',') FROM generate_series(1, 12) n), 'OK 9997', 'one by one');
SELECT is((SELECT string_agg(DISTINCT concat_ws(' ', r.code, r.user_limit_remaining), ', ') FROM economy.purchases((SELECT jsonb_agg(jsonb_build_object('user_id', i, 'product_id', pg_temp.long(n), 'idempotency_key', k || '-' || n, 'quantity', 3333) ORDER BY k, n DESC)
    FROM unnest(ARRAY[:w, :y]) i, generate_series(1, 12) n, generate_series(1, 3) k)) r), 'OK 3331, OK 6664, USER_LIMIT 3331', 'often in one call, up to the limit');
SELECT is(pg_temp.rows(:w) || ' ' || pg_temp.rows(:y), '6 6', 'who has a row keeps it, and one has grown');
SELECT is(pg_temp.wrong(), NULL, 'as the entries say again');
SELECT is((SELECT p.code || ' ' || p.user_limit_remaining FROM economy.purchase(:w, pg_temp.long(12), 'dry', 3331, dry_run => true) p), 'OK 0', 'a dry run of one with a row');
SELECT is((SELECT m.units FROM economy_internal.shop_user_units_more m WHERE m.user_id = :w AND m.product_id = pg_temp.long(12)), 6669::bigint, 'changes nothing');
-- products grow out of the account
SELECT pg_temp.product(pg_temp.long(n), 2000000000) FROM generate_series(1, 12) n \g /dev/null
SELECT is((SELECT string_agg(DISTINCT r.code, ',') FROM economy.purchases((SELECT jsonb_agg(jsonb_build_object('user_id', :w, 'product_id', pg_temp.long(n), 'idempotency_key', k || '+' || n, 'quantity', 1000000)) FROM generate_series(1, 12) n, generate_series(1, 2) k)) r), 'OK', 'larger numbers');
SELECT cmp_ok(pg_temp.rows(:w), '>', 5::bigint, 'need more room');
SELECT is((SELECT array_agg(DISTINCT s.units) FROM economy_internal.shop_user_units s WHERE s.user_id = :w), '{2006669}'::bigint[], 'and nothing is lost');
SELECT is(pg_temp.wrong(), NULL, 'of what the entries say');

-- of two products with rows one is taken back: the other is still known to have one
SELECT economy.register('pgtap units of rows') AS w5 \gset
SELECT economy.adjust_gold(:w5, 1000000, 'open', 'pgtap', 'pgtap') IS NULL AS x \gset
SELECT pg_temp.product(pg_temp.long(n), 10) FROM generate_series(1, 12) n \g /dev/null
SELECT is(pg_temp.all_of(:w5, 1, 9, 9), 'OK 1', 'nine products');
SELECT is((SELECT string_agg(right(trim(trailing 'x' FROM m.product_id), 3), ',' ORDER BY m.product_id) FROM economy_internal.shop_user_units_more m WHERE m.user_id = :w5), '08 ,09 ', 'two have rows');
SELECT is((SELECT r.code FROM economy.purchases_of(:w5) p, economy.refund_purchase(:w5, p.transaction_id, 'back', 9, 'pgtap', 'pgtap') r WHERE p.product_id = pg_temp.long(9)), 'OK', 'one is refunded whole');
SELECT is(pg_temp.rows(:w5), 1::bigint, 'and has none');
SELECT is(pg_temp.buy(:w5, '', pg_temp.long(8), 2), 'USER_LIMIT 1', 'the other keeps what was bought');
SELECT is(pg_temp.buy(:w5, '', pg_temp.long(9), 11) || ', ' || pg_temp.buy(:w5, '', pg_temp.long(9), 10), 'USER_LIMIT 10, OK 0', 'the one can be bought again');
SELECT is(pg_temp.wrong(), NULL, 'as the entries say');
SELECT pg_temp.product(pg_temp.long(n), 2000000000) FROM generate_series(1, 12) n \g /dev/null

-- bought before it was counted: counted once, and kept, also by a batch that refuses
SELECT count(*) AS x FROM generate_series(1, 3) n, economy.upsert_product(jsonb_build_object('product_id', 'pu_late' || n, 'category', 'item', 'price_gold', 1), 'pgtap') \gset
SELECT count(*) AS x FROM unnest(ARRAY[:v, :w]) i, generate_series(1, 3) n, economy.purchase(i, 'pu_late' || n, 'first', 5) \gset
SELECT pg_temp.product('pu_late' || n, 6) FROM generate_series(1, 3) n \g /dev/null
SELECT is((SELECT string_agg(concat_ws(' ', r.code, r.user_limit_remaining), ', ') FROM economy.purchases(ARRAY[:v, :w, :v, :w], ARRAY['pu_late1', 'pu_late1', 'pu_late1', 'pu_late2'], '{a,a,b,a}', '{2,2,1,1}') r), 'USER_LIMIT 1, USER_LIMIT 1, OK 0, OK 0', 'a batch after the limit came');
SELECT is((SELECT string_agg(s.units::text, ' ' ORDER BY s.user_id, s.product_id) FROM economy_internal.shop_user_units s WHERE s.user_id IN (:v, :w) AND s.product_id LIKE 'pu_late%'), '6 5 6', 'keeps what it counted');
SELECT is(pg_temp.buy(:w, '', 'pu_late3', 2), 'USER_LIMIT 1', 'a single purchase');
SELECT is((SELECT s.units FROM economy_internal.shop_user_units s WHERE s.user_id = :w AND s.product_id = 'pu_late3'), 5::bigint, 'does, too');
SELECT is((SELECT count(*) FROM economy.verify_chain(i)), 0::bigint, 'with streams as they were') FROM unnest(ARRAY[:u, :v, :w, :y]) i;
SELECT is(pg_temp.wrong(), NULL, 'as the entries say');

-- user code buys in between, of the same product: each finds the other's, in the account and in rows
CREATE FUNCTION pg_temp.one_more() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.idempotency_key NOT LIKE 'within%' THEN
        PERFORM FROM economy.purchase(NEW.user_id, NEW.product_id, 'within ' || NEW.idempotency_key, 10);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER pgtap AFTER INSERT ON economy.shop_transactions FOR EACH ROW EXECUTE FUNCTION pg_temp.one_more();
SELECT pg_temp.product('pu_short', 1000), pg_temp.product(pg_temp.long(12), 2006669 + 1000) \g /dev/null
SELECT is((SELECT concat_ws(' ', p.code, p.user_limit_remaining) FROM economy.purchase(:w, product, 't1', 5) p), 'OK 995', 'a purchase with one within: ' || product)
FROM unnest(ARRAY['pu_short', pg_temp.long(12)]) product;
SELECT is((SELECT string_agg(concat_ws(' ', r.code, r.user_limit_remaining), ', ') FROM economy.purchases((SELECT jsonb_agg(jsonb_build_object('user_id', :w, 'product_id', product, 'idempotency_key', key, 'quantity', q) ORDER BY n, product)
    FROM (VALUES (1, 't2', 5), (2, 't3', 2000), (3, 't4', 5), (4, 't4', 5), (5, 't5', 955)) k (n, key, q), unnest(ARRAY['pu_short', pg_temp.long(12)]) product)) r),
    'OK 980, OK 980, USER_LIMIT 970, USER_LIMIT 970, OK 965, OK 965, OK, OK, OK 0, OK 0', 'and in a batch');
SELECT is(pg_temp.wrong(), NULL, 'as the entries say');
SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s)', :w), 'clean');
DROP TRIGGER pgtap ON economy.shop_transactions;
CREATE FUNCTION pg_temp.at_account() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('pgtap.within', true) <> '' THEN
        PERFORM set_config('pgtap.within', '', true);
        PERFORM FROM unnest(ARRAY['pu_short', pg_temp.long(12)]) product, economy.purchase(NEW.user_id, product, 'at account ' || NEW.seq, 10);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER pgtap AFTER UPDATE ON economy.accounts FOR EACH ROW EXECUTE FUNCTION pg_temp.at_account();
SELECT pg_temp.product('pu_short', 2000), pg_temp.product(pg_temp.long(12), 2006669 + 2000) \g /dev/null
SELECT pg_temp.units(:w, 'pu_short') AS short, pg_temp.units(:w, pg_temp.long(12)) AS long \gset
SELECT set_config('pgtap.within', 'on', true) AS x \gset
SELECT is((SELECT concat_ws(' ', p.code, p.user_limit_remaining) FROM economy.purchase(:w, pg_temp.long(12), 'a1', 5) p), 'OK 995', 'a trigger on accounts that buys');
SELECT set_config('pgtap.within', 'on', true) AS x \gset
SELECT is((SELECT concat_ws(' ', p.code, p.user_limit_remaining) FROM economy.purchase(:w, 'pu_short', 'a1', 5) p), 'OK 985', 'of either kind');
SELECT set_config('pgtap.within', '', true) AS x \gset
SELECT is(split_part(pg_temp.units(:w, 'pu_short'), ' ', 1)::int - split_part(:'short', ' ', 1)::int, 25, 'counts all');
SELECT is(split_part(pg_temp.units(:w, pg_temp.long(12)), ' ', 1)::int - split_part(:'long', ' ', 1)::int, 25, 'also in the row');
SELECT is(pg_temp.wrong(), NULL, 'as the entries say');
DROP TRIGGER pgtap ON economy.accounts;

-- a product that is deleted and made anew is the one that it was
SET LOCAL session_replication_role = replica;
DELETE FROM economy.shop_products WHERE product_id = 'pu_short';
RESET session_replication_role;
SELECT pg_temp.units(:w, 'pu_short') AS short \gset
INSERT INTO economy.shop_products (product_id, category, price_gold, per_user_limit, counted) VALUES ('pu_short', 'item', 1, 1026, true);
SELECT is(pg_temp.buy(:w, '', 'pu_short', 2), 'USER_LIMIT 1', 'made anew, bought as before');
SELECT pg_temp.product('pu_anew', 9) \g /dev/null
SELECT is(pg_temp.buy(:w, '', 'pu_anew', 2), 'OK 7', 'two of one more');
DELETE FROM economy.shop_products WHERE product_id = 'pu_anew';
SELECT pg_temp.product('pu_anew', NULL) \g /dev/null
SELECT is(pg_temp.buy(:w, '', 'pu_anew', 3), 'OK', 'three, while it is made anew without a limit');
SELECT pg_temp.product('pu_anew', 9) \g /dev/null
SELECT is(pg_temp.buy(:w, '', 'pu_anew', 5), 'USER_LIMIT 4', 'are counted, too');
SELECT is(pg_temp.wrong(), NULL, 'as the entries say');

-- what a period had that is over is counted with what the batch has bought of it
SELECT pg_temp.product('pu_back', 3, 'day'), pg_temp.buy(:v, '2031-01-20 12:00+00', 'pu_back') \g /dev/null
SELECT set_config('economy.test_clock', '2031-01-10 12:00+00', true) AS x \gset
SELECT is((SELECT string_agg(concat_ws(' ', r.code, r.user_limit_remaining), ', ') FROM economy.purchases(array_fill(:v::bigint, ARRAY[5]), array_fill('pu_back'::text, ARRAY[5]), '{back1,back2,back3,back2,back4}', '{1,2,1,2,1}') r),
    'OK 2, OK 0, USER_LIMIT 0, OK, USER_LIMIT 0', 'a batch by a clock that was set back');
SELECT is(pg_temp.wrong(), NULL, 'as the entries say');
SELECT set_config('economy.test_clock', '', true) AS x \gset

-- user code between the account and the journal's row finds nothing that was bought to have once
CREATE FUNCTION pg_temp.once_more() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('pgtap.within', true) <> '' THEN
        PERFORM set_config('pgtap.within', '', true);
        PERFORM FROM economy.purchase(NEW.user_id, 'pu_once', 'within');
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER pgtap AFTER UPDATE ON economy.accounts FOR EACH ROW EXECUTE FUNCTION pg_temp.once_more();
SELECT limit_once AS x FROM economy.upsert_product('{"product_id": "pu_once", "category": "item", "price_gold": 1, "limit_once": true}', 'pgtap') \gset
SELECT set_config('pgtap.within', 'on', true) AS x \gset
SELECT throws_ok(format('SELECT economy.purchase(%s, ''pu_once'', ''o1'')', :w), '27000', NULL, 'twice at once');
SELECT throws_ok(format('SELECT economy.purchases(''{%1$s,%1$s}'', ''{pu_once,pu_once}'', ''{o1,o2}'')', :w), '27000', NULL, 'also in a batch');
SELECT set_config('pgtap.within', '', true) AS x \gset
SELECT is(pg_temp.buy(:w, '', 'pu_once'), 'OK 0', 'and once it is bought');
DROP TRIGGER pgtap ON economy.accounts;

-- damage is found, and no call goes on over it
CREATE FUNCTION pg_temp.after(u bigint, change text, question text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
    code   text;
BEGIN
    EXECUTE replace(change, '{u}', u::text);
    BEGIN
        EXECUTE replace(question, '{u}', u::text) INTO answer;
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE;
        answer := code || ' ' || regexp_replace(sqlerrm, '[0-9]+', 'N');
    END;
    RAISE EXCEPTION USING ERRCODE = 'XT000';
EXCEPTION WHEN SQLSTATE 'XT000' THEN
    RETURN answer;
END
$$;
SELECT economy.register('pgtap units 5') AS z \gset
SELECT success AS x FROM economy.adjust_gold(:z, 1000, 'open', 'pgtap', 'pgtap') \gset
SELECT is(pg_temp.buy(:z, '2000-01-02 12:00+00', 'pu_b', 3), 'OK 997', 'three, of a user who has nothing else');
SELECT is(pg_temp.hex(:z), '0301000c' || '00' || '04' || encode('pu_b', 'hex') || '07' || '03' || '02' || '030303', 'packed');
CREATE TEMP TABLE damaged AS SELECT what, format('UPDATE economy.accounts SET sections = decode(%L, ''hex'') WHERE user_id = {u}',
    '03' || CASE what WHEN 'another version' THEN '02' ELSE '01' END || lpad(to_hex(octet_length(payload) / 2), 4, '0') || payload) AS change
FROM (VALUES ('another version', '000470755f6207030203' || '0303'), ('a flag of its own', '020470755f620703020303' || '03'), ('an id without a byte', '0000070302030303'),
    ('an id without end', '004170755f620703020303' || '03'), ('an id that is too long', '0041' || repeat('61', 65) || '070302030303'), ('ids out of order', '000162070302030303' || '0161070302030303'), ('an id twice', '000162070302030303' || '0162070302030303'),
    ('no units', '000470755f6200' || '00' || '02'), ('more by day than ever', '000470755f6201030204'), ('more by day than by week', '000470755f6207030203' || '0203'), ('more by day than by month', '000470755f6207030203' || '0302'),
    ('a counter of nothing', '000470755f6207030200' || '0303'), ('a counter that nobody knows', '000470755f620f030203' || '030303'), ('one counter less', '000470755f62070302' || '0303'), ('a byte more', '000470755f6207030203' || '030300'),
    ('a date after the last', '000470755f6200' || '03' || 'feffffff0f'), ('a number that is too long', '000470755f6200' || '8300' || '02'), ('units without end', '000470755f6200' || 'ffffffffffffffff7f' || '02'), ('nothing behind the id', '000470755f62'), ('an id that is cut', '000470755f')) v (what, payload);
SELECT is(pg_temp.after(:z, change, 'SELECT string_agg(kind || '' '' || actual, '', '') FROM economy_internal.audit_units({u}, {u}) WHERE actual LIKE ''damaged%'''), 'parity damaged sections of the account', 'the audit sees ' || what) FROM damaged;
SELECT is(pg_temp.after(:z, change, call), 'XE103 account of user N has damaged units of products', format('%s: %s', call, what))
FROM damaged, unnest(ARRAY['SELECT code FROM economy.purchase({u}, ''pu_b'', ''x'')', 'SELECT code FROM economy.purchase({u}, ''pu_a'', ''x'')', 'SELECT count(*) FROM economy.purchases(''{{u}}'', ''{pu_b}'', ''{x}'')']) call;
SELECT is(pg_temp.after(:z, change, 'SELECT code FROM economy.purchase({u}, ''pu_free'', ''x'')'), 'OK', 'whoever has no limit goes on: ' || what) FROM damaged;
SELECT is(pg_temp.after(:z, $$UPDATE economy.accounts SET sections = decode('00', 'hex') WHERE user_id = {u}$$, call), says, 'no sections')
FROM (VALUES ('SELECT code FROM economy.purchase({u}, ''pu_b'', ''x'')', 'XE103 account of user N has damaged sections'), ('SELECT count(*) FROM economy_internal.audit_units({u}, {u})', '1'), ('SELECT count(*) FROM economy_internal.shop_user_units WHERE user_id = {u}', '0')) v (call, says);
SELECT is(pg_temp.after(:z, format('UPDATE economy.accounts SET sections = economy_internal.with_units(%s) WHERE user_id = {u}', args), 'SELECT string_agg(concat_ws('' '', kind, expected, ''|'', actual), '', '' ORDER BY expected) FROM economy_internal.audit_units({u}, {u})'), says, args)
FROM (VALUES ('sections, ''pu_b'', 4, 3, 3, 3, ''2000-01-02''', 'parity units of pu_b: 3 3 3 3 2000-01-02 | 4 3 3 3 2000-01-02'), ('sections, ''pu_b'', 3, 2, 3, 3, ''2000-01-02''', 'parity units of pu_b: 3 3 3 3 2000-01-02 | 3 2 3 3 2000-01-02'),
    ('sections, ''pu_b'', 3, 0, 2, 3, ''2000-01-02''', 'parity units of pu_b: 3 0 3 3 2000-01-02 | 3 0 2 3 2000-01-02'), ('sections, ''pu_b'', 3, 3, 3, 3, ''2000-01-03''', 'parity units of pu_b: 3 3 3 3 2000-01-02 | 3 3 3 3 2000-01-03'),
    ('sections, ''pu_b'', 3, 3, 3, 3, ''1999-01-02''', 'parity units of pu_b: 3 3 3 3 2000-01-02 | 3 3 3 3 1999-01-02'), ('sections, ''pu_c'', 1, 1, 1, 1, ''2000-01-02''', 'parity units of pu_c:  | 1 1 1 1 2000-01-02'), ('sections, ''pu_b'', NULL, NULL, NULL, NULL, NULL', NULL)) v (args, says);
SELECT is(pg_temp.after(:z, $$UPDATE economy.accounts SET sections = economy_internal.with_units(sections, 'pu_b', NULL, NULL, NULL, NULL, NULL) WHERE user_id = {u}$$, $$SELECT concat_ws(' ', code, user_limit_remaining) FROM economy.purchase({u}, 'pu_b', 'x', 997)$$), 'OK 0', 'what is taken out is counted again');
SELECT is(pg_temp.after(:z, 'UPDATE economy.accounts SET sections = set_byte(sections, 4, 1) WHERE user_id = {u}', 'SELECT count(*) FROM economy_internal.audit_units({u}, {u})'), '1', 'a flag without rows is found');
SELECT is(pg_temp.after(:z, 'INSERT INTO economy_internal.shop_user_units_more SELECT s.* FROM economy_internal.shop_user_units s WHERE s.user_id = {u}', 'SELECT string_agg(f, '', '') FROM (SELECT kind || '' '' || actual AS f FROM economy_internal.audit_units({u}, {u}) UNION ALL SELECT kind || '' '' || actual FROM economy_internal.audit_twice({u}, {u})) q'),
    'parity damaged sections of the account, duplicate_row 2 rows', 'and a product that stands in both');
SELECT is(pg_temp.after(:w, change, 'SELECT count(*) > 0 FROM economy_internal.audit_units({u}, {u})'), 'true', change)
FROM unnest(ARRAY['UPDATE economy_internal.shop_user_units_more SET units = units + 1 WHERE user_id = {u}', 'UPDATE economy_internal.shop_user_units_more SET last_on = last_on + 1 WHERE user_id = {u}', 'UPDATE economy_internal.shop_user_units_more SET user_id = -7 WHERE user_id = {u}', 'DELETE FROM economy_internal.shop_user_units_more WHERE user_id = {u}',
    'UPDATE economy.accounts SET sections = set_byte(sections, 4, 0) WHERE user_id = {u}']) change;
SELECT is(pg_temp.after(:w, 'UPDATE economy_internal.shop_user_units_more SET user_id = -7 WHERE user_id = {u}', 'SELECT count(*) > 0 FROM economy_internal.audit_units(-7, -7)'), 'true', 'rows of nobody are found');
ALTER TABLE economy_internal.shop_user_units_more DROP CONSTRAINT shop_user_units_more_check, DROP CONSTRAINT shop_user_units_more_last_on_check;
SELECT is(pg_temp.after(:w, 'UPDATE economy_internal.shop_user_units_more SET ' || change || ' WHERE user_id = {u}', format('SELECT code FROM economy.purchase({u}, %L, ''x'')', pg_temp.long(12))), 'XE103 account of user N has damaged units of products', 'a row with ' || change)
FROM unnest(ARRAY['units = 0', 'units = 9223372036854775807', 'day_units = -1', 'week_units = units + 1', 'last_on = ''infinity''']) change;

-- corrected by hand
SELECT is(encode(economy_internal.with_units(decode('0500000178', 'hex'), 'a', 1, 0, 0, 0, '2000-01-01'), 'hex'), '03010006' || '00' || '0161' || '00' || '01' || '00' || '0500000178', 'other sections stay');
SELECT is(economy_internal.with_units(NULL, 'a', NULL, NULL, NULL, NULL, NULL), NULL, 'none of none is none');
SELECT is(economy_internal.with_units(economy_internal.with_units(NULL, 'a', 3, 1, 2, 3, '5874897-12-31'), 'a', NULL, NULL, NULL, NULL, NULL), NULL, 'nothing is left');
SELECT is(encode(economy_internal.with_units(decode('03010006' || '01' || '0161' || '00' || '01' || '00', 'hex'), 'a', NULL, NULL, NULL, NULL, NULL), 'hex'), '03010001' || '01', 'but that there are further ones in rows');
SELECT is(encode(economy_internal.with_units(NULL, 'a', 4611686018427387903, 1, 0, 0, '4713-01-01 BC'), 'hex') IS NULL, false, 'the largest');
SET LOCAL datestyle = 'ISO';
SELECT is(u::text, '(a,4611686018427387903,1,0,4611686018427387903,0001-01-01)', 'as it was put') FROM economy_internal.units_of(economy_internal.with_units(NULL, 'a', 4611686018427387903, 1, 0, 4611686018427387903, '0001-01-01')) u;
RESET datestyle;
SELECT throws_ok(call, code, message, call)
FROM (VALUES ('SELECT economy_internal.with_units(NULL, NULL, 1, 1, 1, 1, now()::date)', 'XE001', 'product_id must not be null'), ('SELECT economy_internal.with_units(NULL, '''', 1, 1, 1, 1, now()::date)', 'XE002', 'product_id must not be empty'),
    ('SELECT economy_internal.with_units(NULL, repeat(''x'', 65), 1, 1, 1, 1, now()::date)', 'XE003', 'product_id is too long'), ('SELECT economy_internal.with_units(NULL, ''a'', 0, 0, 0, 0, now()::date)', 'XE002', 'there are no such units'),
    ('SELECT economy_internal.with_units(NULL, ''a'', 1, NULL, 1, 1, now()::date)', 'XE001', 'day_units must not be null'), ('SELECT economy_internal.with_units(NULL, ''a'', 1, 1, 1, NULL, now()::date)', 'XE001', 'month_units must not be null'),
    ('SELECT economy_internal.with_units(NULL, ''a'', 1, 1, 1, 1, NULL)', 'XE001', 'last_on must not be null'), ('SELECT economy_internal.with_units(NULL, ''a'', 1, 1, 1, 1, ''infinity'')', 'XE002', 'there are no such units'), ('SELECT economy_internal.with_units(NULL, ''a'', 1, 1, 1, 1, ''-infinity'')', 'XE002', 'there are no such units'),
    ('SELECT economy_internal.with_units(NULL, ''a'', 9223372036854775807, 1, 1, 1, now()::date)', 'XE002', 'there are no such units'), ('SELECT economy_internal.with_units(NULL, ''a'', 1, -1, 1, 1, now()::date)', 'XE002', 'there are no such units'), ('SELECT economy_internal.with_units(NULL, ''a'', 2, 2, 1, 2, now()::date)', 'XE002', 'there are no such units'),
    ('SELECT economy_internal.with_units(decode(''00'', ''hex''), ''a'', 1, 1, 1, 1, now()::date)', 'XE103', 'these are no sections of an account'), ('SELECT economy_internal.with_units(decode(''0301000102'', ''hex''), ''a'', 1, 1, 1, 1, now()::date)', 'XE103', 'these units of products are damaged'),
    ('SELECT economy_internal.units_sound(NULL, NULL)', 'XE001', 'further must not be null')) v (call, code, message);
SELECT throws_ok(format('SELECT economy_internal.with_units((SELECT sections FROM economy.accounts WHERE user_id = %s), repeat(''y'', 64), 1, 1, 1, 1, now()::date)', :y), 'XE002', 'there is no room for this product in the account', 'no room');
SELECT is(economy_internal.units_sound(NULL, false), true, 'none are sound');
SELECT is(economy_internal.units_sound(NULL, true), false, 'without rows');
SELECT is((SELECT string_agg(product_id, ',') FROM economy_internal.units_of(decode('0301000d' || '00' || '016100' || '0100' || '0261' || 'ff' || '000100' || '00', 'hex'))), 'a', 'units before the damage: an id that is no text');

-- limited in the middle of a batch: what it has sold, and not written yet, counts
SELECT economy.register('pgtap units in the middle') AS m \gset
SELECT count(economy.upsert_product(p::jsonb, 'pgtap')) AS x FROM unnest(ARRAY['{"product_id": "pgtap_mid", "category": "item", "price_gold": 0}',
    '{"product_id": "pgtap_key", "category": "conversion", "granted_gold": 1, "global_key": true}']) p \gset
CREATE FUNCTION pg_temp.limit_it() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM economy.upsert_product('{"product_id": "pgtap_mid", "per_user_limit": 1}', 'pgtap');
    RETURN NULL;
END $$;
CREATE TRIGGER pgtap AFTER INSERT ON economy_internal.shop_keys FOR EACH ROW EXECUTE FUNCTION pg_temp.limit_it();
SELECT is(string_agg(p.code, ' '), 'OK OK USER_LIMIT', 'a product that is limited between two purchases of a batch')
FROM economy.purchases(ARRAY[:m, :m, :m]::bigint[], '{pgtap_mid,pgtap_key,pgtap_mid}', '{m1,m2,m3}') p;
SELECT is((SELECT sum(quantity) FROM economy.shop_transactions WHERE user_id = :m AND product_id = 'pgtap_mid'), 1::bigint, 'is sold once');
SELECT finish();
ROLLBACK;
