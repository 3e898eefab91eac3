-- Access to rows: what it keeps of them, and what it leaves out.

-- Where a row of configuration was found last is only where to look first: what is
-- there now, and what the snapshot sees of it, decides.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SELECT economy.register('regress places') AS u \gset
SELECT state, gold FROM economy.adjust_gold(:u, 1000000, 'k', 'to spend', 'regress');

-- products that fill three pages and more, of which the last stands on the last
INSERT INTO economy.shop_products (product_id, category, price_gold, effect_code)
SELECT 'regress_place_' || n, 'item', n, repeat('x', 64) FROM generate_series(1, 150) n;
SELECT state, gold_delta FROM economy.purchase(:u, 'regress_place_150', 'once');
SELECT state, gold_delta FROM economy.purchase(:u, 'regress_place_1', 'once');

-- changed in its place, moved to another, and changed back
UPDATE economy.shop_products SET price_gold = 7 WHERE product_id = 'regress_place_1';
SELECT state, gold_delta FROM economy.purchase(:u, 'regress_place_1', 'changed');
UPDATE economy.shop_products SET price_gold = 8, effect_code = repeat('y', 63) WHERE product_id ~ '^regress_place_\d$';
SELECT state, gold_delta FROM economy.purchase(:u, 'regress_place_1', 'moved');
BEGIN;
UPDATE economy.shop_products SET price_gold = 9 WHERE product_id = 'regress_place_1';
SELECT state, gold_delta FROM economy.purchase(:u, 'regress_place_1', 'in between');
ROLLBACK;
SELECT state, gold_delta FROM economy.purchase(:u, 'regress_place_1', 'rolled back');

-- gone, and another in its place, of which a vacuum that finds the table as large as
-- before tells nobody
VACUUM (INDEX_CLEANUP on) economy.shop_products;
SELECT state, gold_delta FROM economy.purchase(:u, 'regress_place_150', 'kept');
SELECT ctid AS place FROM economy.shop_products WHERE product_id = 'regress_place_150' \gset
DELETE FROM economy.shop_products WHERE product_id = 'regress_place_150';
SELECT state, code FROM economy.purchase(:u, 'regress_place_150', 'gone');
INSERT INTO economy.shop_products (product_id, category, price_gold, effect_code)
VALUES ('regress_place_x0', 'item', 1000, repeat('x', 62));
VACUUM (INDEX_CLEANUP on) economy.shop_products;
INSERT INTO economy.shop_products (product_id, category, price_gold, effect_code)
SELECT 'regress_place_x' || n, 'item', 1000 + n, repeat('x', 62) FROM generate_series(1, 150) n;
SELECT product_id ~ '^regress_place_x' AS another FROM economy.shop_products WHERE ctid = :'place';
SELECT state, code FROM economy.purchase(:u, 'regress_place_150', 'another');

-- the page itself is gone, of which a vacuum that leaves as many as the last one tells nobody
DELETE FROM economy.shop_products WHERE product_id ~ '^regress_place_x';
VACUUM (INDEX_CLEANUP on) economy.shop_products;
INSERT INTO economy.shop_products (product_id, category, price_gold, effect_code)
SELECT 'regress_place_x' || n, 'item', 1000 + n, repeat('x', 62) FROM generate_series(1, 150) n;
SELECT product_id AS last FROM economy.shop_products ORDER BY ctid DESC LIMIT 1 \gset
SELECT state, code FROM economy.purchase(:u, :'last', 'last');
DELETE FROM economy.shop_products WHERE product_id ~ '^regress_place_x';
VACUUM (INDEX_CLEANUP on) economy.shop_products;
SELECT state, code FROM economy.purchase(:u, :'last', 'beyond the end');

-- rewritten
VACUUM FULL economy.shop_products;
SELECT state, gold_delta FROM economy.purchase(:u, 'regress_place_1', 'rewritten');
SELECT state, gold_delta FROM economy.purchase(:u, 'regress_place_149', 'rewritten');

-- an older snapshot sees what was
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT state, gold_delta FROM economy.purchase(:u, 'regress_place_1', 'before', dry_run => true);
COMMIT;
DELETE FROM economy.shop_products WHERE product_id ~ '^regress_place_';

-- The slots of a stock are looked for where all of them were found last.
INSERT INTO economy.shop_products (product_id, category, price_gold, stock_slots)
SELECT 'regress_slots_' || n, 'item', 1, 8 FROM generate_series(1, 2) n;
INSERT INTO economy.shop_stock SELECT 'regress_slots_' || n, slot, 10 * n FROM generate_series(1, 2) n, generate_series(0, 7) slot;
SELECT state, stock_remaining FROM economy.purchase(:u, 'regress_slots_1', 'first', dry_run => true);
BEGIN;
UPDATE economy.shop_stock SET remaining = remaining + 100 WHERE product_id = 'regress_slots_1';
SELECT state, stock_remaining FROM economy.purchase(:u, 'regress_slots_1', 'in between');
SELECT state, stock_remaining FROM economy.purchase(:u, 'regress_slots_1', 'again', 120);
ROLLBACK;
SELECT state, stock_remaining FROM economy.purchase(:u, 'regress_slots_1', 'rolled back', dry_run => true);

-- one is gone, and that of another product in its place; there are as many as before, also
-- for a vacuum, which then tells nobody
VACUUM FULL economy.shop_stock;
INSERT INTO economy.shop_stock VALUES ('regress_slots_2', 8, 0);
VACUUM (INDEX_CLEANUP on) economy.shop_stock;
SELECT state, stock_remaining FROM economy.purchase(:u, 'regress_slots_1', 'compact', dry_run => true);
SELECT ctid AS place FROM economy.shop_stock WHERE (product_id, slot) = ('regress_slots_1', 7) \gset
DELETE FROM economy.shop_stock WHERE (product_id, slot) = ('regress_slots_1', 7);
SELECT state, stock_remaining FROM economy.purchase(:u, 'regress_slots_1', 'gone', dry_run => true);
INSERT INTO economy.shop_stock VALUES ('regress_slots_2', 9, 0);
VACUUM (INDEX_CLEANUP on) economy.shop_stock;
UPDATE economy.shop_stock SET slot = slot + 10 WHERE product_id = 'regress_slots_2';
SELECT product_id AS another FROM economy.shop_stock WHERE ctid = :'place';
INSERT INTO economy.shop_stock VALUES ('regress_slots_1', 7, 1000);
SELECT state, stock_remaining FROM economy.purchase(:u, 'regress_slots_1', 'another', dry_run => true);

-- on pages that are gone
UPDATE economy.shop_stock SET slot = slot + 100 WHERE product_id = 'regress_slots_1';
INSERT INTO economy.shop_stock SELECT 'regress_slots_2', n, 0 FROM generate_series(1000, 3000) n;
UPDATE economy.shop_stock SET slot = slot - 100 WHERE product_id = 'regress_slots_1';
SELECT state, stock_remaining FROM economy.purchase(:u, 'regress_slots_1', 'far behind', dry_run => true);
DELETE FROM economy.shop_stock WHERE product_id IN ('regress_slots_1', 'regress_slots_2');
VACUUM (INDEX_CLEANUP on) economy.shop_stock;
INSERT INTO economy.shop_stock SELECT 'regress_slots_1', n, 5 FROM generate_series(0, 7) n;
SELECT state, stock_remaining FROM economy.purchase(:u, 'regress_slots_1', 'beyond the end', dry_run => true);

-- rewritten, and seen by an older snapshot
VACUUM FULL economy.shop_stock;
SELECT state, stock_remaining FROM economy.purchase(:u, 'regress_slots_1', 'rewritten', dry_run => true);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT state, stock_remaining FROM economy.purchase(:u, 'regress_slots_1', 'before', dry_run => true);
COMMIT;
DELETE FROM economy.shop_stock WHERE product_id ~ '^regress_slots_';
DELETE FROM economy.shop_products WHERE product_id ~ '^regress_slots_';

-- an index that sums up blocks is told of each value that a block gets, and of equal ones once
BEGIN;
CREATE TEMP TABLE sums AS SELECT n, economy.register('regress sums ' || n) AS u FROM generate_series(1, 6) n;
SELECT state FROM economy.grant_reward((SELECT u FROM sums WHERE n = 1), 's', 'first');
UPDATE economy.accounts a SET position = r.position + 1000000 * (n / 2) FROM sums, economy.reward_audit r WHERE u = a.user_id AND (r.source, r.external_event_id) = ('s', 'first');
SELECT brin_summarize_new_values > 0 AS summed_up FROM brin_summarize_new_values('economy.reward_audit_position_idx');
SELECT count(*) FROM economy.grant_rewards((SELECT array_agg(u ORDER BY n) FROM sums), array_fill('s'::text, ARRAY[6]), array_fill('e'::text, ARRAY[6]));
SET LOCAL enable_seqscan = off;
SET LOCAL enable_indexscan = off;
SELECT n, (SELECT count(*) FROM economy.reward_audit r WHERE r.position = a.position AND r.user_id + 0 = u) FROM sums JOIN economy.accounts a ON u = a.user_id ORDER BY n;
ROLLBACK;
