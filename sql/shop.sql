-- The shop: catalogue, stock, purchases, receipts.
\set SHOW_CONTEXT never
SELECT economy.register('regress shop') AS u \gset
SELECT success FROM economy.adjust_gold(:u, 1000, 'open', 'opening balance', 'ann');
SELECT * FROM economy.upsert_product('{"product_id": "regress_sword", "category": "item", "price_gold": 250, "effect_code": "sword"}', 'ann');
SELECT * FROM economy.upsert_product('{"product_id": "regress_gold", "category": "conversion", "source_points": 10, "granted_gold": 100, "monetary": 99}', 'ann');
SELECT * FROM economy.upsert_product('{"product_id": "regress_pack", "category": "item", "price_gold": 10, "per_user_limit": 5}', 'ann');
SELECT * FROM economy.upsert_product('{"product_id": "regress_once", "category": "item", "price_gold": 10, "limit_once": true}', 'ann');
SELECT * FROM economy.upsert_product('{"product_id": "regress_sword", "price_gold": 200}', 'bob');
SELECT economy.upsert_product('{"product_id": "regress_bad", "category": "lootbox"}', 'ann');
SELECT economy.upsert_product('{"product_id": "regress_bad", "category": "item", "colour": "red"}', 'ann');
SELECT economy.upsert_product('{"product_id": "regress_bad", "category": "item", "stock_slots": 4}', 'ann');
SELECT economy.upsert_product('{"product_id": "regress_sword", "price_gold": -1}', 'ann');
SELECT economy.add_stock('regress_pack', 4, 'ann', 3);
SELECT economy.add_stock('regress_pack', -5, 'ann');
SELECT economy.add_stock('regress_none', 1, 'ann');
SELECT slot, remaining FROM economy.shop_stock WHERE product_id = 'regress_pack' ORDER BY slot;

\set columns 'success, state, code, quantity, gold_delta, gold, stock_remaining AS stock, user_limit_remaining AS lim, detail'
SELECT :columns FROM economy.purchase(:u, 'regress_sword', 'k1');
SELECT :columns FROM economy.purchase(:u, 'regress_gold', 'k2', 3);
SELECT :columns FROM economy.purchase(:u, 'regress_gold', 'k2', 3);
SELECT :columns FROM economy.purchase(:u, 'regress_gold', 'k2', 4);
SELECT :columns FROM economy.purchase(:u, 'regress_gold', 'k2', 3, '{"a": 1}');
SELECT :columns FROM economy.purchase(:u, 'regress_sword', 'k3', 6);
SELECT :columns FROM economy.purchase(:u, 'regress_sword', 'k3', 1, '{"expected_price": 250}');
SELECT :columns FROM economy.purchase(:u, 'regress_sword', 'k3', 1, '{"expected_price": 200}');
SELECT :columns FROM economy.purchase(:u, 'regress_once', 'k4');
SELECT :columns FROM economy.purchase(:u, 'regress_once', 'k5');
SELECT :columns FROM economy.purchase(:u, 'regress_pack', 'k6', 3, dry_run => true);
SELECT :columns FROM economy.purchase(:u, 'regress_pack', 'k6', 3);
SELECT :columns FROM economy.purchase(:u, 'regress_pack', 'k7', 3);
SELECT :columns FROM economy.purchase(:u, 'regress_pack', 'k7', 2);
SELECT :columns FROM economy.purchase(:u, 'regress_pack', 'k7', 1);
SELECT :columns FROM economy.purchase(:u, 'regress_none', 'k8');
SELECT :columns FROM economy.purchase(-1, 'regress_sword', 'k8');
SELECT active FROM economy.retire_product('regress_sword', 'ann');
SELECT :columns FROM economy.purchase(:u, 'regress_sword', 'k8');
SELECT economy.retire_product('regress_none', 'ann');
SELECT economy.purchase(NULL, 'regress_gold', 'k9');
SELECT economy.purchase(:u, '', 'k9');
SELECT economy.purchase(:u, 'regress_gold', repeat('k', 256));
SELECT economy.purchase(:u, 'regress_gold', 'k9', 0);
SELECT economy.purchase(:u, 'regress_gold', 'k9', 1, '[]');

-- what is left of it
SELECT seq, product_id, quantity, gold_delta, gold, monetary, status, effect_code, context FROM economy.shop_transactions WHERE user_id = :u ORDER BY seq;
SELECT action, product_id, actor, before ->> 'price_gold' AS before, after ->> 'price_gold' AS after, units
FROM economy.shop_product_changes WHERE product_id LIKE 'regress\_%' ORDER BY change_id;
SELECT sum(remaining) FROM economy.shop_stock WHERE product_id = 'regress_pack';

-- receipts
SELECT 'P' || :u || '-3' AS t \gset
SELECT product_id, category, quantity, gold_delta, gold, monetary, status, effect_code, length(hash), hash_algo_version, length(receipt_signature)
FROM economy.receipt(:u, :'t');
SELECT * FROM economy.verify_receipt(:u, :'t');
SELECT * FROM economy.verify_receipt(:u + 1, :'t');
SELECT * FROM economy.verify_receipt(:u, 'junk');
SELECT * FROM economy.verify_chain(:u);
SELECT * FROM economy_internal.audit_stock();
