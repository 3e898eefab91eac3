-- dry_run => true says exactly what the call would do, and changes nothing.
BEGIN;
SELECT plan(117);

SELECT economy.register('pgtap dry') AS u \gset
SELECT success AS x FROM economy.adjust_gold(:u, 1000, 'open', 'pgtap', 'pgtap') \gset
SELECT count(*) AS x FROM (VALUES
    ('{"product_id": "pgtap_item",  "category": "item", "price_gold": 10, "effect_code": "glow", "monetary": 5}'),
    ('{"product_id": "pgtap_conv",  "category": "conversion", "source_points": 7, "granted_gold": 100}'),
    ('{"product_id": "pgtap_once",  "category": "item", "price_gold": 1, "limit_once": true}'),
    ('{"product_id": "pgtap_three", "category": "item", "price_gold": 1, "per_user_limit": 3}'),
    ('{"product_id": "pgtap_stock", "category": "item", "price_gold": 1, "per_user_limit": 20}'),
    ('{"product_id": "pgtap_off",   "category": "item", "price_gold": 0, "active": false}'),
    ('{"product_id": "pgtap_dear",  "category": "item", "price_gold": 9007199254740991}'),
    ('{"product_id": "pgtap_rich",  "category": "conversion", "granted_gold": 9007199254740991}')
) v (product), economy.upsert_product(product::jsonb, 'pgtap') \gset
SELECT economy.add_stock('pgtap_stock', 10, 'pgtap', 4) AS x \gset

-- everything that a purchase can change, in one text
CREATE FUNCTION pg_temp.state(id bigint) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws('|',
        (SELECT a::text || a.xmin || a.ctid FROM economy.accounts a WHERE a.user_id = id),
        (SELECT string_agg(s::text || s.xmin || s.ctid, ',' ORDER BY slot) FROM economy.shop_stock s WHERE product_id = 'pgtap_stock'),
        (SELECT count(*) FROM economy.ledger l WHERE l.user_id = id),
        (SELECT count(*) FROM economy.signing_keys))
$$;
-- the dry answer, then the real one, in what they promise
CREATE FUNCTION pg_temp.promise(p economy.purchase_result) RETURNS text LANGUAGE sql AS $$
    SELECT row(p.success, p.state, p.code, p.quantity, p.gold_delta, p.gold, p.stock_remaining, p.user_limit_remaining,
               nullif(p.detail - 'dry_run', '{}'))::text
$$;
CREATE TEMP TABLE call (n int, product text, key text, quantity int, context jsonb);
INSERT INTO call VALUES
    (1, 'pgtap_item', 'k1', 1, NULL), (2, 'pgtap_item', 'k1', 1, NULL), (3, 'pgtap_item', 'k1', 2, NULL),
    (4, 'pgtap_item', 'k4', 7, '{"a": 1}'), (5, 'pgtap_item', 'k4', 7, '{"a": 2}'), (6, 'pgtap_conv', 'k6', 3, NULL),
    (7, 'pgtap_once', 'k7', 2, NULL), (8, 'pgtap_once', 'k7', 1, NULL), (9, 'pgtap_once', 'k9', 1, NULL),
    (10, 'pgtap_three', 'k10', 2, NULL), (11, 'pgtap_three', 'k11', 2, NULL), (12, 'pgtap_three', 'k11', 1, NULL),
    (13, 'pgtap_stock', 'k13', 11, NULL), (14, 'pgtap_stock', 'k14', 9, NULL), (15, 'pgtap_stock', 'k15', 2, NULL),
    (16, 'pgtap_stock', 'k15', 1, NULL), (17, 'pgtap_stock', 'k17', 1, NULL), (18, 'pgtap_off', 'k18', 1, NULL),
    (19, 'pgtap_dear', 'k19', 1, NULL), (20, 'pgtap_dear', 'k19', 1000000, NULL), (21, 'pgtap_rich', 'k21', 1, NULL),
    (22, 'pgtap_none', 'k22', 1, NULL), (23, 'pgtap_item', 'k23', 1, '{"expected_price": 11}'),
    (24, 'pgtap_item', 'k23', 1, '{"expected_price": 10}'), (25, 'pgtap_stock', 'k14', 9, NULL);

CREATE FUNCTION pg_temp.dry_then_real(id bigint, c call) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    before text := pg_temp.state(id);
    label  text := format('call %s, %s of %s', c.n, c.quantity, c.product);
    dry    economy.purchase_result;
    again  economy.purchase_result;
    real   economy.purchase_result;
BEGIN
    SELECT * INTO dry FROM economy.purchase(id, c.product, c.key, c.quantity, c.context, true);
    SELECT * INTO again FROM economy.purchase(id, c.product, c.key, c.quantity, c.context, true);
    RETURN NEXT is(pg_temp.state(id), before, label || ': a dry run changes nothing');
    RETURN NEXT is(dry.detail ->> 'dry_run', 'true', label || ': and says that it is one');
    SELECT * INTO real FROM economy.purchase(id, c.product, c.key, c.quantity, c.context);
    RETURN NEXT is(pg_temp.promise(dry), pg_temp.promise(real), label || ': says what the call then does: ' || real.state || ' ' || real.code);
    RETURN NEXT is(dry, again, label || ': twice the same');
END
$$;
SELECT pg_temp.dry_then_real(:u, c) FROM call c ORDER BY n;

SELECT set_eq('SELECT DISTINCT code FROM call, economy.purchase(' || :u || ', product, key, quantity, context, true)',
    ARRAY['OK', 'IDEMPOTENCY_MISMATCH', 'LIMIT_ONCE', 'USER_LIMIT', 'SOLD_OUT', 'NOT_ON_SALE', 'INSUFFICIENT_GOLD', 'GOLD_OVERFLOW',
          'PRODUCT_NOT_FOUND'], 'the calls went every way');
SELECT is(p.transaction_id, NULL, 'a dry run names no entry') FROM economy.purchase(:u, 'pgtap_item', 'new', dry_run => true) p;
SELECT is(p.code, 'USER_NOT_FOUND', 'a dry run for an unknown user') FROM economy.purchase(-1, 'pgtap_item', 'new', dry_run => true) p;
-- whoever only asks keeps nobody waiting
SELECT economy.register('pgtap asked') AS asked \gset
SELECT is(p.code || ' ' || economy_internal.purchase_probe(:asked, 'pgtap_item'), 'INSUFFICIENT_GOLD INSUFFICIENT_GOLD', 'a dry run and a probe')
FROM economy.purchase(:asked, 'pgtap_item', 'new', dry_run => true) p;
SELECT is((SELECT a.xmax::text FROM economy.accounts a WHERE a.user_id = :asked), '0', 'lock no account');
-- a probe has no key of its own
SELECT (economy.upsert_product('{"product_id": "pgtap_global", "category": "conversion", "granted_gold": 5, "global_key": true}', 'pgtap')).product_id AS x \gset
SELECT code AS x FROM economy.purchase(:u, 'pgtap_global', 'used') \gset
SELECT is(economy_internal.purchase_probe(:u, t.product), p.code, format('a probe of %s answers as a dry run does under a new key', t.product))
FROM (SELECT DISTINCT product FROM call WHERE product <> 'pgtap_none' UNION ALL SELECT 'pgtap_global') t,
     LATERAL economy.purchase(:u, t.product, 'a new key', dry_run => true) p ORDER BY 1;
SET TRANSACTION READ ONLY;
SELECT is(p.state, 'new', 'a dry run in a read-only transaction') FROM economy.purchase(:u, 'pgtap_item', 'new', dry_run => true) p;
SELECT throws_ok(format('SELECT economy.purchase(%s, ''pgtap_item'', ''new'')', :u), '25006', NULL, 'where a purchase is refused');
SELECT throws_ok(format('SELECT economy.adjust_gold(%s, 1, ''new'', ''r'', ''a'')', :u), '25006', NULL, 'and an adjustment');

SELECT * FROM finish();
ROLLBACK;
