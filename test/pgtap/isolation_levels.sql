-- The same calls at SERIALIZABLE, where all statements share one snapshot.
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT plan(20);

SELECT economy.register('pgtap serial') AS u \gset
SELECT success AS x FROM economy.adjust_gold(:u, 100, 'open', 'pgtap', 'pgtap') \gset
SELECT economy.upsert_product('{"product_id": "pgtap_item", "category": "item", "price_gold": 1, "per_user_limit": 60}', 'pgtap') IS NULL AS x \gset
SELECT economy.add_stock('pgtap_item', 55, 'pgtap', 8) AS x \gset

SELECT is(p.state || p.gold, 'new99', 'a purchase') FROM economy.purchase(:u, 'pgtap_item', 'k') p;
SELECT is(p.state || p.gold, 'reuse99', 'a replay sees it') FROM economy.purchase(:u, 'pgtap_item', 'k') p;
SELECT is((SELECT count(*) FILTER (WHERE p.state = 'new') FROM generate_series(1, 30) n, economy.purchase(:u, 'pgtap_item', 'k' || n) p), 30::bigint, '30 in one statement');
SELECT is(p.code || p.stock_remaining, 'OK4', 'several slots for one purchase') FROM economy.purchase(:u, 'pgtap_item', 'big', 20) p;
SELECT is(p.code || p.stock_remaining, 'SOLD_OUT4', 'sold out') FROM economy.purchase(:u, 'pgtap_item', 'big2', 5) p;
SELECT is(p.code || p.stock_remaining, 'OK0', 'the rest') FROM economy.purchase(:u, 'pgtap_item', 'big2', 4) p;
SELECT is(economy.set_user_status(:u, 'suspended', 'pgtap'), 'suspended', 'a suspension');
SELECT is(p.code, 'USER_SUSPENDED', 'is seen') FROM economy.purchase(:u, 'pgtap_item', 'k99') p;
SELECT is(economy.rotate_signing_key() > 0, true, 'a new signing key');
SELECT economy.set_user_status(:u, 'active', 'pgtap') AS x \gset
SELECT is(p.code, 'OK', 'an adjustment') FROM economy.adjust_gold(:u, 5, 'a', 'r', 'a') p;
SELECT economy.add_stock('pgtap_item', 1, 'pgtap') AS x \gset
SELECT is(p.code, 'OK', 'a purchase signed by it') FROM economy.purchase(:u, 'pgtap_item', 'k98') p;
SELECT is(v.reason, 'OK', 'verifies') FROM economy.shop_transactions t, economy.verify_receipt(:u, 'P' || :u || '-' || t.seq) v
WHERE t.user_id = :u AND t.idempotency_key IN ('k', 'k98', 'big');
SELECT economy.add_stock('pgtap_item', 2, 'pgtap') AS x \gset
-- what this very transaction has changed is nothing that is newer than it
ALTER TABLE economy.accounts ADD COLUMN pgtap text;
ALTER TABLE economy.shop_products ALTER COLUMN price_gold SET STATISTICS 10;
SELECT economy_internal.is_spread('economy.gold_adjustments') AS spread \gset
\if :spread
CREATE TABLE pgtap_below ();
\else
CREATE TABLE pgtap_below () INHERITS (economy.gold_adjustments);
\endif
CREATE TRIGGER pgtap BEFORE INSERT OR UPDATE OR DELETE ON pgtap_below FOR EACH ROW EXECUTE FUNCTION economy_internal.forbid_change();
SELECT is(p.code, 'OK', 'a purchase after its own ALTER TABLE') FROM economy.purchase(:u, 'pgtap_item', 'k97') p;
SELECT is(p.code, 'OK', 'an adjustment beside its own table below the journal') FROM economy.adjust_gold(:u, 5, 'below', 'r', 'a') p;
SELECT is((SELECT count(*) FROM economy.statement(:u) s WHERE s.seq > 38) > 0, true, 'a reader in C');
SELECT is((SELECT count(*) FROM economy.stats_parity()), 0::bigint, 'and one in SQL');
SELECT economy.upsert_product('{"product_id": "pgtap_item", "price_gold": 2}', 'pgtap') IS NULL AS x \gset
SELECT is(p.code, 'OK', 'and a price that it has set itself') FROM economy.purchase(:u, 'pgtap_item', 'k96') p;
SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s)', :u), 'the chain is clean');

SELECT * FROM finish();
ROLLBACK;
