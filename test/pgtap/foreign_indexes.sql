-- A DBA's index beside the extension's own: it may order and compare in any way,
-- and come first in the catalogue; keys are found as `=` finds them.
BEGIN;
SELECT plan(32);

SELECT economy.register('pgtap index') AS u \gset
SELECT success AS x FROM economy.adjust_gold(:u, 1000, 'open', 'r', 'a') \gset
SELECT economy.upsert_product('{"product_id": "pgtap_p", "category": "item", "price_gold": 1, "active": true}', 'pgtap') IS NULL AS x \gset
SELECT success AS x FROM economy.purchase(:u, 'pgtap_p', 'Order-a') \gset
CREATE COLLATION public.pgtap_ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);

-- the own key made anew after the DBA's index: it has the higher OID then
CREATE FUNCTION pg_temp.renew(key text, columns text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    target text := (SELECT c.conrelid::regclass FROM pg_constraint c WHERE c.conname = key);
BEGIN
    EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I, ADD CONSTRAINT %2$I UNIQUE (%s)', target, key, columns);
END $$;
SELECT state AS x FROM economy.adjust_gold(:u, 1, 'Order-a', 'r', 'a') \gset
CREATE INDEX pgtap ON economy.gold_adjustments (user_id, idempotency_key COLLATE public.pgtap_ci);
SELECT pg_temp.renew('gold_adjustments_key', 'user_id, idempotency_key') AS x \gset
SELECT is(state, 'new', 'a key that another collation calls the same is another') FROM economy.adjust_gold(:u, 1, 'ORDER-A', 'r', 'a');
SELECT is(state, 'reuse', 'the same is the same') FROM economy.adjust_gold(:u, 1, 'Order-a', 'r', 'a');
DROP INDEX economy.pgtap;

CREATE INDEX pgtap ON economy.gold_adjustments (user_id, idempotency_key text_pattern_ops);
SELECT pg_temp.renew('gold_adjustments_key', 'user_id, idempotency_key') AS x \gset
SELECT is(state, 'reuse', 'beside another operator class') FROM economy.adjust_gold(:u, 1, 'ORDER-A', 'r', 'a');
DROP INDEX economy.pgtap;

-- an index that counts down: readers of a stream go by the order
SELECT state AS x FROM economy.purchase(:u, 'pgtap_p', 'Order-b') \gset
ALTER TABLE economy.shop_transactions DROP CONSTRAINT shop_transactions_pkey;
CREATE UNIQUE INDEX pgtap ON economy.shop_transactions (user_id, seq DESC);
ALTER TABLE economy.shop_transactions ADD CONSTRAINT shop_transactions_pkey PRIMARY KEY (user_id, seq);
SELECT is((SELECT count(*) FROM economy.verify_chain(:u)), 0::bigint, 'a chain is read in its order');
SELECT is((SELECT array_agg(r.seq ORDER BY r.ordinality) FROM economy.replay(:u, 0) WITH ORDINALITY r WHERE r.code = 'EVENT'), ARRAY[1, 2, 3, 4, 5]::bigint[], 'so is a replay');
DROP INDEX economy.pgtap;

-- nor does one whose operator class turns the order round
CREATE FUNCTION public.pgtap_reversed(bigint, bigint) RETURNS integer LANGUAGE sql IMMUTABLE AS $$ SELECT btint8cmp($2, $1) $$;
CREATE OPERATOR CLASS public.pgtap_reversed FOR TYPE bigint USING btree AS OPERATOR 1 >, OPERATOR 2 >=, OPERATOR 3 =, OPERATOR 4 <=, OPERATOR 5 <, FUNCTION 1 public.pgtap_reversed(bigint, bigint);
DROP INDEX economy.shop_transactions_key;
CREATE INDEX pgtap ON economy.shop_transactions (user_id, key_digest public.pgtap_reversed);
SELECT is(state, 'reuse', 'a digest where only an index of reversed operators has it') FROM economy.purchase(:u, 'pgtap_p', 'Order-a');
CREATE INDEX shop_transactions_key ON economy.shop_transactions (user_id, key_digest);
SELECT is(state, 'reuse', 'and beside one') FROM economy.purchase(:u, 'pgtap_p', 'Order-a');
SELECT is(state, 'new', 'other letters are another key') FROM economy.purchase(:u, 'pgtap_p', 'ORDER-A');
DROP INDEX economy.pgtap;
ALTER TABLE economy.shop_transactions DROP CONSTRAINT shop_transactions_pkey;
CREATE UNIQUE INDEX pgtap ON economy.shop_transactions (user_id, seq public.pgtap_reversed);
ALTER TABLE economy.shop_transactions ADD CONSTRAINT shop_transactions_pkey PRIMARY KEY (user_id, seq);
SELECT is((SELECT count(*) FROM economy.verify_chain(:u)), 0::bigint, 'a chain beside an index of reversed operators');
SELECT is((SELECT array_agg(r.seq ORDER BY r.ordinality) FROM economy.replay(:u, 0) WITH ORDINALITY r WHERE r.code = 'EVENT'), ARRAY[1, 2, 3, 4, 5, 6]::bigint[], 'and a replay');
DROP INDEX economy.pgtap;

-- one whose building failed lacks entries, and serves no key; as soon as it is ready it takes what comes
DROP INDEX economy.shop_transactions_key;
CREATE INDEX pgtap ON economy.shop_transactions (user_id, key_digest);
UPDATE pg_index SET indisvalid = false, indisready = false WHERE indexrelid = 'economy.pgtap'::regclass;
CREATE INDEX shop_transactions_key ON economy.shop_transactions (user_id, key_digest);
SELECT is(state, 'new', 'a purchase that an index does not take yet') FROM economy.purchase(:u, 'pgtap_p', 'passed over');
DROP INDEX economy.shop_transactions_key;
UPDATE pg_index SET indisready = true WHERE indexrelid = 'economy.pgtap'::regclass;
CREATE INDEX shop_transactions_key ON economy.shop_transactions (user_id, key_digest);
SELECT is(state, 'reuse', 'is known beside it') FROM economy.purchase(:u, 'pgtap_p', 'passed over');
SELECT is(state, 'new', 'the next one') FROM economy.purchase(:u, 'pgtap_p', 'taken');
DROP INDEX economy.shop_transactions_key;
SELECT is(state, 'reuse', 'the first one is known, too, where that index is the only one') FROM economy.purchase(:u, 'pgtap_p', 'passed over');
-- which is a test, for it lacks the one and has the other
UPDATE pg_index SET indisvalid = true WHERE indexrelid = 'economy.pgtap'::regclass;
CREATE INDEX pgtap_other ON economy.shop_transactions (created_at);
SAVEPOINT s;
-- of partitions each has an index of its own, and those were never said to be invalid
SELECT is(state, CASE WHEN k = 'taken' OR economy_internal.is_spread('economy.shop_transactions') THEN 'reuse' ELSE 'new' END, 'called valid, it says of the one ' || k) FROM (VALUES ('taken'), ('passed over')) v (k), economy.purchase(:u, 'pgtap_p', k);
ROLLBACK TO s;
DROP INDEX economy.pgtap_other;
DROP INDEX economy.pgtap;
CREATE INDEX shop_transactions_key ON economy.shop_transactions (user_id, key_digest);

-- partial, by expression, with more columns: never in the way
CREATE INDEX pgtap1 ON economy.shop_transactions (user_id, seq) WHERE seq < 2;
CREATE INDEX pgtap2 ON economy.shop_transactions (user_id, (seq + 1));
CREATE UNIQUE INDEX pgtap3 ON economy.shop_transactions (user_id, seq) INCLUDE (product_id);
SELECT is(state, 'new', 'a purchase beside more indexes') FROM economy.purchase(:u, 'pgtap_p', 'more');
SELECT is((SELECT valid FROM economy.verify_receipt(:u, 'P' || :u || '-9')), true, 'its receipt is found');
SELECT is((SELECT count(*) FROM economy.verify_chain(:u)), 0::bigint, 'and the chain is sound');

-- more of them than are kept in mind, and just as many
CREATE FUNCTION pg_temp.beside(n integer, u bigint) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE INDEX pgtap_more%s ON economy.gold_adjustments (user_id, seq, gold) WITH (fillfactor = %s)', n, 50 + n);
    RETURN (SELECT string_agg(a.state, ' ') FROM unnest(ARRAY['r', 'r again']) r, economy.adjust_gold(u, 1, 'beside ' || n, r, 'a') a);
END $$;
SELECT is(pg_temp.beside(n, :u), 'new reuse', 'an adjustment beside ' || n || ' more indexes, and again') FROM generate_series(1, 12) n;
SELECT is((SELECT count(*) FROM economy.verify_chain(:u)), 0::bigint, 'and sound');

SELECT * FROM finish();
ROLLBACK;
