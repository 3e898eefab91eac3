-- The benchmark's data: users with gold, products on sale, one known purchase per user.
-- psql variable: users

SET client_min_messages = warning;
SET economy.notify = off;
SET synchronous_commit = off;

CREATE EXTENSION economy;

SELECT economy.upsert_product(jsonb_build_object(
           'product_id', id, 'category', 'item', 'price_gold', 15, 'monetary', 99, 'effect_code', 'heal_50',
           'starts_at', now() - interval '1 day', 'ends_at', now() + interval '1 day'), 'bench')
FROM unnest(ARRAY['item', 'flash', 'capped']) id;
SELECT economy.upsert_product('{"product_id": "capped", "per_user_limit": 1000000, "limit_period": "week"}', 'bench');
-- more than a run can sell, in the default number of slots
SELECT economy.add_stock('flash', 1000000000, 'bench');
-- a page of a shop: twenty products, as many plain as limited per user, and four with a stock
SELECT count(economy.upsert_product(jsonb_build_object(
           'product_id', 'page' || n, 'category', 'item', 'price_gold', 10 * n, 'tags', ARRAY['page'], 'position', n,
           'texts', jsonb_build_object('en', jsonb_build_object('name', 'Thing ' || n)), 'per_user_limit', CASE WHEN n % 2 = 0 THEN 5 END), 'bench'))
FROM generate_series(1, 20) n;
SELECT count(economy.add_stock('page' || n, 1000, 'bench')) FROM generate_series(1, 16, 5) n;

SELECT count(economy.register('bench-' || n)) FROM generate_series(1, :users) n;
SELECT count(*) FILTER (WHERE success)
FROM generate_series(1, :users) n, economy.adjust_gold(n, 1000000000, 'bench-gold', 'play money', 'bench');

-- users who have items, behind the others
SELECT count(*) FILTER (WHERE success)
FROM generate_series(1, :users / 4) n, economy.register('bench-holder-' || n) u, economy.adjust_gold(u, 1000000000, 'bench-gold', 'play money', 'bench');
SELECT count(economy.upsert_item(jsonb_build_object('item_id', i, 'kind', CASE i WHEN 'vip' THEN 'pass' ELSE 'stack' END), 'bench')) FROM unnest(ARRAY['gem', 'key', 'vip']) i;
SELECT FROM economy.set_rate_limit('{"limit_id": "bench", "burst": 1000000, "refill": 1, "period_seconds": 1}', 'bench');
SELECT FROM economy.set_transfer_rules('{"enabled": true}', 'bench');
SELECT count(*) FILTER (WHERE success)
FROM generate_series(:users + 1, :users + :users / 4) n, economy.grant_items(n, '{"gem": 1000000000, "key": 5, "vip": 86400}', 'bench', 'bench-items');
-- ten prizes, one of them rare
SELECT FROM economy.upsert_draw_table(jsonb_build_object('table_id', 'chest', 'draft', jsonb_build_object('price', '{"gold": 1}'::jsonb, 'pity', '{"class": "rare", "after": 50}'::jsonb,
    'entries', (SELECT jsonb_agg(jsonb_build_object('entry', 'prize ' || i, 'weight', i * i, 'class', CASE i WHEN 1 THEN 'rare' ELSE 'common' END,
        'gold', i, 'items', jsonb_build_object(CASE WHEN i < 5 THEN 'gem' ELSE 'key' END, 11 - i))) FROM generate_series(1, 10) i))), 'bench'), economy.publish_draw_table('chest', 'bench');
SELECT count(*) FILTER (WHERE d.success) FROM generate_series(:users + 1, :users + :users / 4) n, economy.draw_commit(n) d;

-- a leaderboard of all users; one that is switched off is read as others are, and no refresh asks who is on it
SELECT FROM economy.upsert_leaderboard('{"board": "bench", "figure": "wins", "period": "all"}', 'bench');
SELECT FROM economy.upsert_leaderboard('{"board": "bench", "active": false}', 'bench');
UPDATE economy.leaderboard_periods SET fill_from = NULL;
SELECT sum(economy_internal.leaderboard_set(b.boards, b.days, b.users, b.places))
FROM (SELECT array_agg(text 'bench') AS boards, array_agg(date '-infinity') AS days, array_agg(n::bigint) AS users, array_agg(-(n::bigint * 7919 % 100003)) AS places
      FROM generate_series(1, :users) n GROUP BY n / 2000) b;

SELECT economy.upsert_product('{"product_id": "bundle", "category": "item", "price_gold": 15, "contents": {"gem": 5, "key": 1, "vip": 60}}', 'bench');

-- what is paid for at a provider
SELECT FROM economy.set_payment_provider('{"provider": "bank", "profile": "standard", "currency": "EUR"}', 'bench');
SELECT economy.upsert_product('{"product_id": "coins", "category": "conversion", "source_points": 499, "granted_gold": 100, "monetary": 499, "settlement": "bank"}', 'bench');

-- replay.pgbench asks for these again, select.pgbench reads them as seq 2
SELECT count(*) FILTER (WHERE success)
FROM generate_series(1, :users) n,
     economy.purchase(n, 'item', '5f0c3d2a-7b1e-4c' || 1000000000000000000 + n);

-- A slice must measure purchases, not a table of refusals.
DO $$
BEGIN
    ASSERT (SELECT min(seq) = 2 AND max(seq) = 2 FROM economy.accounts), 'users are not set up';
    ASSERT (SELECT state = 'reuse' FROM economy.purchase(1, 'item', '5f0c3d2a-7b1e-4c1000000000000000001')),
        'the known purchase is not replayed';
END
$$;

-- Autovacuum would start within somebody's slice: the runner vacuums between slices instead.
SELECT format('ALTER TABLE %s SET (autovacuum_enabled = off)', c.oid::regclass) FROM pg_class c
WHERE c.relkind = 'r' AND c.relnamespace IN ('economy'::regnamespace, 'economy_internal'::regnamespace)
  AND c.relname ~ '^(accounts|shop_transactions|reward_audit|user_actions|holding_changes|draw_seeds|draw_pity|escrows|shop_reservations|payment_orders|payment_order_history)(_p[0-9]+)?$' \gexec
