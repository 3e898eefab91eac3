-- What test/damage/run damages: rows in every table, and a clean audit.
\set ON_ERROR_STOP 1
\o /dev/null
SET client_min_messages = warning;
SET economy.test_clock = '2026-05-01 12:00+00';
SELECT * FROM economy.seed_demo();
SELECT economy.set_level_curve('steep', ARRAY[0, 10, 100, 1000]::bigint[]), economy.set_level_curve('flat', ARRAY[0, 1000]::bigint[]);
SELECT economy.set_level_experiment('levels', '[{"arm": "a", "curve": "steep", "share": 3000}, {"arm": "b", "curve": "linear", "share": 3000}]', true);
SELECT economy.register_game('chess', '{"fee": 1}'), economy.register_game('go');
SELECT economy.set_rfm_model('{"model": "own", "window_days": 60}', 'damage');
SELECT economy.set_segment_rules('[{"segment": "NoPurchase", "bought": false}, {"segment": "Often", "frequency_from": 3}, {"segment": "Some"}]', 'damage');
SELECT economy.upsert_product('{"product_id": "freeze", "category": "item", "price_gold": 1, "effect_code": "streak_freeze"}', 'damage');
SELECT economy.publish_mission(m::jsonb, 'damage')
FROM (VALUES ('{"mission": "spins", "trigger": "action", "condition": {"eq": ["event.game", "slot"]}, "target": 2, "period": "weekly", "gold": 5, "claim_hours": 200, "texts": {"en": {"name": "Two spins"}}}'),
    ('{"mission": "buyer", "trigger": "purchase", "progress": "sum", "field": "event.quantity", "increment_cap": 9, "target": 3, "xp": 4, "starts_at": "2026-05-01T13:00:00Z", "ends_at": "2026-12-01T12:00:00Z"}'),
    ('{"mission": "rich", "trigger": "entry", "progress": "max", "field": "user.gold", "target": 1000000, "requires": ["buyer"]}'), ('{"mission": "old", "trigger": "reward", "target": 1}')) v (m);
SELECT economy.set_recommendations('home', '{"policy": "thompson"}',
    '[{"segment": "Often", "arm": "one", "cta": "c1", "product_id": "potion"}, {"segment": "Often", "arm": "two", "cta": "c2", "product_id": "sword"},
      {"segment": "Some", "arm": "one", "cta": "c3"}, {"segment": "*", "arm": "rest", "cta": "c4"}]', 'damage');
CREATE TEMP TABLE who AS SELECT n, economy.register('u' || n, (ARRAY['UTC', 'Asia/Tokyo', 'Europe/Berlin'])[1 + n % 3], jsonb_build_object('n', n)) AS id FROM generate_series(1, 12) n;
SELECT economy.adjust_gold(id, 100000, 'open', 'damage', 'damage') FROM who WHERE n <= 10;
DO $$
DECLARE
    d integer;
BEGIN
    FOR d IN 0 .. 9 LOOP
        PERFORM set_config('economy.test_clock', ('2026-05-01 12:00+00'::timestamptz + d * interval '1 day')::text, false);
        PERFORM economy.claim_daily_reward(w.id) FROM who w WHERE w.n <= 6 AND (w.n + d) % 5 <> 0;
        PERFORM economy.record_action(w.id, (ARRAY['slot', 'rps', 'chess'])[1 + (w.n + d) % 3], 'PLAY', format('a%s', d), 10, (w.n + d) % 3 * 10, NULL, '{"d": 1}') FROM who w WHERE w.n <= 8;
        PERFORM economy.purchase(w.id, (ARRAY['potion', 'gold_100', 'summer_pack', 'freeze'])[1 + (w.n + d) % 4], format('p%s', d), 1, '{"c": 1}') FROM who w WHERE w.n <= 7 AND (w.n + d) % 2 = 0;
        PERFORM economy.grant_reward(w.id, 'damage', format('g%s', d), 5, 20, '{"g": 1}') FROM who w WHERE w.n <= 9 AND d % 3 = 0;
        IF d = 3 THEN
            PERFORM economy.rotate_signing_key();
        ELSIF d = 5 THEN
            PERFORM economy.rotate_signing_key();
            PERFORM economy.retire_signing_key(1);
            PERFORM economy.rfm_refresh();
            PERFORM economy.recommend(w.id, 'home') FROM who w;
            PERFORM economy.anchor();
        END IF;
    END LOOP;
END
$$;
-- what some have completed is claimed, one mission ends, and one has another version
SELECT economy.claim_all(id) FROM who WHERE n % 2 = 0;
SELECT economy.retire_mission('old', 'damage'), economy.publish_mission('{"mission": "spins", "trigger": "action", "target": 50, "period": "weekly", "gold": 5}', 'damage');
-- more games than an account has room for
SELECT economy.register_game(format('game %s %s', lpad(g::text, 2, '0'), repeat('x', 50))) FROM generate_series(1, 20) g;
SELECT economy.record_action(id, format('game %s %s', lpad(g::text, 2, '0'), repeat('x', 50)), 'PLAY', 'a', 0, g) FROM who, generate_series(1, 20) g WHERE n IN (3, 10);
SELECT economy.set_user_status(id, 'suspended', 'damage') FROM who WHERE n IN (2, 9);
SELECT economy.set_user_status(id, 'active', 'damage') FROM who WHERE n = 2;
SELECT economy.revoke_reward(l.user_id, l.transaction_id, 'damage', 'damage') FROM economy.ledger l JOIN economy.reward_audit r USING (user_id, seq) WHERE r.external_event_id = 'g3' LIMIT 2;
SELECT * FROM economy.rollup_stats();
SET economy.test_clock = '2026-05-13 12:00+00';
SELECT * FROM economy.prune('6 days');
SELECT * FROM economy.rfm_refresh();
SELECT * FROM economy.audit_sweep_incremental();
SELECT economy.anchor();
SELECT economy.record_action(id, 'slot', 'PLAY', 'last', 1, 2) FROM who WHERE n <= 3;
SELECT economy.purchase(id, 'founder_pack', 'last') FROM who WHERE n <= 2;
SELECT * FROM economy.rfm_refresh_incremental();
SELECT * FROM economy.rollup_stats();
SELECT economy.upsert_product('{"product_id": "voucher", "category": "item", "price_gold": 1, "global_key": true, "per_user_limit": 5}', 'damage');
SELECT economy.purchase(id, 'voucher', 'code ' || n) FROM who WHERE n <= 4;
-- more products with a limit than an account has room for
SELECT economy.upsert_product(jsonb_build_object('product_id', rpad('pack ' || p, 64, 'x'), 'category', 'item', 'price_gold', 0, 'per_user_limit', 9, 'limit_period', (ARRAY['ever', 'day', 'week'])[1 + p % 3]), 'damage') FROM generate_series(1, 9) p;
SELECT economy.purchase(id, rpad('pack ' || p, 64, 'x'), 'p') FROM who, generate_series(1, 9) p WHERE n IN (4, 5, 8);
-- more items than an account has room for, a pass that ends and one that does not
SELECT economy.upsert_item(jsonb_build_object('item_id', i, 'kind', CASE i WHEN 'gem' THEN 'currency' WHEN 'trial' THEN 'pass' WHEN 'vip' THEN 'pass' ELSE 'stack' END), 'damage')
FROM (SELECT unnest(ARRAY['gem', 'vip', 'trial']) UNION ALL SELECT rpad('item ' || n, 64, 'x') FROM generate_series(1, 9) n) i (i);
SELECT economy.grant_items(id, '{"gem": 50, "vip": 100000000, "trial": 86400}', 'damage', 'i', '{"c": 1}') FROM who WHERE n <= 7;
SELECT economy.grant_items(id, jsonb_build_object(rpad('item ' || i, 64, 'x'), i), 'damage', 'i' || i) FROM who, generate_series(1, 9) i WHERE n IN (4, 5, 8);
SELECT economy.consume(id, rpad('item 9', 64, 'x'), 'i', 2) FROM who WHERE n IN (4, 5);
SELECT economy.spend(id, 5, 'damage', 'i', '{"gem": 7}') FROM who WHERE n <= 5;
-- products that give and cost items, in the account and in rows, and rewards with items, of some of which a part was taken back
SELECT economy.upsert_item('{"item_id": "badge", "kind": "stack", "consumable": false, "maximum": 40}', 'damage');
SELECT economy.upsert_product(jsonb_build_object('product_id', p, 'category', 'item', 'price_gold', 2, 'contents', gives, 'price_items', costs), 'damage')
FROM (VALUES ('bundle', jsonb_build_object('gem', 3, 'vip', 3600, 'badge', 1), NULL), ('trade', jsonb_build_object('badge', 2, rpad('item 8', 64, 'x'), 1), jsonb_build_object('gem', 4)),
    ('melt', NULL, jsonb_build_object(rpad('item 8', 64, 'x'), 1))) v (p, gives, costs);
SELECT economy.purchase(id, 'bundle', 'b' || k, k) FROM who, generate_series(1, 2) k WHERE n <= 5;
SELECT economy.purchase(id, 'trade', 't', 2), economy.purchase(id, 'melt', 'm') FROM who WHERE n IN (3, 4, 5);
SELECT economy.purchases(array_agg(id), array_agg('bundle'::text), array_agg('many'::text)) FROM who WHERE n IN (6, 7);
SELECT economy.grant_reward(id, 'damage', 'items', 1, 0, '{"g": 1}', jsonb_build_object('gem', 2, 'badge', 3, 'vip', 600, rpad('item 7', 64, 'x'), 2)) FROM who WHERE n <= 5;
SELECT economy.grant_rewards(array_agg(id), array_agg('damage'::text), array_agg('more items'::text), items => array_agg('{"badge": 1}'::jsonb)) FROM who WHERE n IN (4, 6, 7);
SELECT economy.revoke_reward(r.user_id, format('R%s-%s', r.user_id, r.seq), 'damage', 'damage', 0, 0, idempotency_key => 'part', items => '{"badge": 1, "gem": 2}') FROM economy.reward_audit r JOIN who ON id = user_id WHERE r.external_event_id = 'items' AND n IN (3, 4);
SELECT economy.revoke_reward(r.user_id, format('R%s-%s', r.user_id, r.seq), 'damage', 'damage', policy => 'take') FROM economy.reward_audit r JOIN who ON id = user_id WHERE r.external_event_id = 'items' AND n IN (4, 5);
-- draws of a table that has a second version and of one that has not, with seeds that are revealed and such that are not
SELECT economy.upsert_draw_table('{"table_id": "chest", "draft": {"price": {"gold": 1, "items": {"gem": 1}}, "pity": {"class": "rare", "after": 2}, "entries": [{"entry": "a", "weight": 5, "gold": 2, "items": {"gem": 3}}, {"entry": "b", "class": "rare", "weight": 1, "items": {"vip": 60}, "limit": 3, "else": "a"}]}}', 'damage'),
    economy.upsert_draw_table('{"table_id": "dice", "draft": {"dice": {"count": 2, "sides": 6}}}', 'damage'), economy.upsert_draw_table('{"table_id": "next", "draft": {"hand": {}}, "texts": {"en": {"name": "Next"}}}', 'damage');
SELECT economy.publish_draw_table(t, 'damage') FROM unnest(ARRAY['chest', 'dice']) t;
SELECT economy.upsert_product('{"product_id": "letter", "category": "item", "price_gold": 1, "fulfilment": true}', 'a');
SELECT economy.purchase(id, 'letter', 'letter') FROM who WHERE n <= 4;
SELECT economy.fulfil(u.user_id, u.transaction_id, 'w', '{"n": 1}') FROM economy.unfulfilled('w', 2) u;
SELECT economy.draw_commit(id) FROM who WHERE n <= 6;
SELECT economy.draw(id, CASE d % 3 WHEN 0 THEN 'dice' ELSE 'chest' END, 'd' || d, 'client ' || n) FROM who, generate_series(1, 7) d WHERE n <= 5;
SELECT economy.upsert_draw_table('{"table_id": "chest", "draft": {"pity": {"class": "rare", "after": 3}, "entries": [{"entry": "a", "weight": 5, "gold": 2}, {"entry": "b", "class": "rare", "weight": 1}]}}', 'damage'), economy.publish_draw_table('chest', 'damage');
SELECT economy.draw_reveal(id, 1) FROM who WHERE n IN (2, 3, 6);
SELECT economy.draw(id, 'chest', 'e' || d, 'again') FROM who, generate_series(1, 3) d WHERE n IN (1, 2);
SELECT economy.set_payment_provider(jsonb_build_object('provider', p, 'profile', p), 'damage') FROM unnest(ARRAY['standard', 'stripe']) p;
SELECT economy.add_payment_secret(p, s, 'damage') FROM (VALUES ('standard', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'), ('stripe', 'whsec_of_the_damage_1'), ('stripe', 'whsec_of_the_damage_2')) s (p, s);
SELECT economy.retire_payment_secret('stripe', 1, 'damage');
-- orders that are open, paid, given up, paid back and in conflict
SELECT economy.set_payment_provider('{"provider": "stripe", "currency": "EUR"}', 'damage'), economy.upsert_product('{"product_id": "paid", "category": "conversion", "source_points": 5, "granted_gold": 50, "settlement": "stripe", "per_user_limit": 20}', 'damage'), economy.add_stock('paid', 60, 'damage');
SELECT economy.purchase(id, 'paid', 'order ' || k, 1 + k % 2) FROM who, generate_series(1, 5) k WHERE n <= 4;
SELECT economy.settlement_report(o.order_id, r.report, 'damage', 'ref ' || o.order_id, o.amount, o.currency, 'why')
FROM (VALUES (1, 'order 2', 'confirmed'), (2, 'order 3', 'voided'), (3, 'order 4', 'confirmed'), (4, 'order 4', 'refunded'), (5, 'order 5', 'voided'), (6, 'order 5', 'confirmed')) r (n, key, report) JOIN economy.payment_orders o ON o.idempotency_key = r.key ORDER BY r.n;
SELECT economy.settlement_lease('damage', 2);
SELECT economy.set_rate_limit('{"limit_id": "login", "burst": 5, "refill": 1, "period_seconds": 60}', 'damage'), economy.take_rate('login', 'an address', 2);
SELECT economy.set_transfer_rules('{"enabled": true, "fee_per_mille": 15, "daily_gold": 100000, "minimum_age_hours": 1}', 'damage'), economy.upsert_item('{"item_id": "gem", "tradable": true}', 'damage');
SELECT economy.transfer(a.id, b.id, 'i', a.n * 5, '{"gem": 2}', 'damage', '{"c": 1}') FROM who a JOIN who b ON b.n = a.n % 5 + 1 WHERE a.n <= 5;
-- escrows that were passed on, given back, expired, and such that are open
SELECT economy.hold_escrow(id, 'e' || k, n * 3 * k, CASE k WHEN 2 THEN NULL ELSE '{"gem": 2}'::jsonb END, CASE k WHEN 4 THEN interval '4800 hours' ELSE '36 hours' END, 'damage', '{"c": 1}') FROM who, generate_series(1, 4) k WHERE n <= 5;
SELECT economy.open_action(id, 'slot', 'SPIN', 'round ' || k, n + k, CASE k WHEN 2 THEN interval '4800 hours' ELSE '36 hours' END) FROM who, generate_series(1, 2) k WHERE n <= 3;
SELECT economy.settle_action(id, 'slot', 'round 1', 2) FROM who WHERE n <= 2;
SELECT economy.capture_escrow(h.user_id, format('H%s-%s', h.user_id, h.seq), b.id, 2, '{"gem": 1}', 'damage') FROM economy.holding_changes h JOIN who a ON a.id = h.user_id JOIN who b ON b.n = a.n % 5 + 1 WHERE h.operation = 'escrow_hold' AND h.idempotency_key = 'e1';
SELECT economy.release_escrow(h.user_id, format('H%s-%s', h.user_id, h.seq)) FROM economy.holding_changes h WHERE h.operation = 'escrow_hold' AND h.idempotency_key = 'e2';
SELECT economy.capture_escrow(h.user_id, format('H%s-%s', h.user_id, h.seq), b.id) FROM economy.holding_changes h JOIN who a ON a.id = h.user_id JOIN who b ON b.n = a.n % 5 + 1 WHERE h.operation = 'escrow_hold' AND h.idempotency_key = 'e3' AND a.n <= 2;
-- leaderboards of all kinds, a day that is closed and half paid, with a prize that could not be
SELECT economy.upsert_leaderboard(b::jsonb, 'damage')
FROM (VALUES ('{"board": "xp", "figure": "xp", "period": "all", "audience": "all"}'), ('{"board": "gems", "figure": "item", "item_id": "gem", "period": "all"}'), ('{"board": "streaks", "figure": "streak", "period": "all"}'),
    ('{"board": "day", "figure": "win_sum", "period": "day", "prizes": [{"upto": 1, "gold": 5}, {"percent": 80, "gold": 2, "xp": 1}]}'), ('{"board": "season", "figure": "total", "period": "season", "first_day": "2026-05-01", "last_day": "2026-12-31", "ascending": true}')) v (b);
SELECT * FROM economy.refresh_leaderboards();
SET economy.test_clock = '2026-05-14 12:00+00';
SELECT * FROM economy.refresh_leaderboards();
SELECT * FROM economy.rollup_stats();
SELECT * FROM economy.refresh_leaderboards();
CREATE TEMP TABLE second AS SELECT l.user_id FROM economy.leaderboard('day', 2, day => (SELECT min(p.first_day) FROM economy.leaderboard_periods p WHERE p.board = 'day' AND p.closed_at IS NOT NULL)) l OFFSET 1;
SELECT economy.set_user_status(s.user_id, 'suspended', 'damage') FROM second s;
SELECT * FROM economy.pay_leaderboard_prizes(2);
SELECT economy.set_user_status(s.user_id, 'active', 'damage') FROM second s;
SELECT * FROM economy.refresh_leaderboards();
SET economy.test_clock = '2026-05-30 12:00+00';
SELECT economy_internal.expire_escrows(max => 2);
-- reservations that were used, released, expired, and such that are open, one whose time is over among them
SELECT economy.upsert_product('{"product_id": "ticket", "category": "item", "price_gold": 2}', 'damage'), economy.add_stock('ticket', 90, 'damage', 3);
SELECT economy.reserve(id, 'ticket', 'r' || k, 1 + k % 3, CASE WHEN k > 4 THEN interval '12 hours' ELSE interval '2 hours' END) FROM who, generate_series(1, 5) k WHERE n IN (1, 3, 4, 5);
SELECT economy.purchase(id, 'ticket', 'order', 2, '{"reservation": "r1"}'), economy.release_reservation(id, 'r2') FROM who WHERE n IN (1, 3, 4, 5);
-- promo codes that were used, and given back
SELECT economy.upsert_promo_code(p::jsonb, 'damage') FROM unnest(ARRAY['{"code": "HALF", "kind": "percent", "value": 50, "max_quantity": 9, "max_per_user": 4, "max_uses": 40, "budget_gold": 90, "ends_at": "2027-01-01T00:00:00Z"}', '{"code": "MORE", "kind": "bonus", "value": 7, "products": ["gold_550"]}']) p;
SELECT economy.purchase(id, 'ticket', 'half ' || k, k, '{"promo": "half"}'), economy.purchase(id, 'gold_550', 'more', 1, '{"promo": "MORE"}') FROM who, generate_series(1, 2) k WHERE n IN (1, 3, 4, 5);
SELECT economy.refund_purchase(t.user_id, format('P%s-%s', t.user_id, t.seq), 'half', NULL, 'damage', 'damage') FROM economy.shop_transactions t JOIN who ON id = t.user_id WHERE t.idempotency_key = 'half 2' AND n IN (3, 5);
-- a season that goes on, some of which is claimed, also of a track that was refunded since, and one that the job has closed
SELECT economy.upsert_item(jsonb_build_object('item_id', i, 'kind', 'stack', 'consumable', false), 'damage') FROM unnest(ARRAY['fire_xp', 'fire_pass', 'ice_xp']) i;
SELECT economy.upsert_product('{"product_id": "fire_pass", "category": "item", "price_gold": 3, "contents": {"fire_pass": 1}}', 'damage');
SELECT economy.publish_season(s::jsonb, 'damage')
FROM (VALUES ('{"season": "fire", "xp_item": "fire_xp", "ends_at": "2026-09-01T00:00:00Z", "at_end": "forfeit", "tracks": [{"track": "free"}, {"track": "pass", "item": "fire_pass"}], "texts": {"en": {"name": "Fire"}},
        "tiers": [{"xp": 10, "rewards": {"free": {"gold": 5}, "pass": {"xp": 3, "items": {"gem": 1}}}}, {"xp": 25, "rewards": {"pass": {"gold": 7}}}], "excess": {"every": 10, "times": 4, "rewards": {"free": {"gold": 1}}}}'),
    ('{"season": "ice", "xp_item": "ice_xp", "ends_at": "2026-05-30T12:30:00Z", "claim_hours": 0, "tiers": [{"xp": 1, "rewards": {"free": {"gold": 2}}}]}')) v (s);
SELECT economy.purchase(id, 'fire_pass', 'fire') FROM who WHERE n IN (1, 3, 4, 5);
SELECT economy.grant_items(id, jsonb_build_object('fire_xp', n * 12, 'ice_xp', 1), 'damage', 'seasons') FROM who WHERE n <= 6;
SELECT economy.claim_season(id, 'fire') FROM who WHERE n IN (1, 3, 4);
SELECT economy.claim_tier(id, 'fire', 1, 'pass') FROM who WHERE n = 5;
SELECT economy.refund_purchase(p.user_id, format('P%s-%s', p.user_id, p.seq), 'fire', 1, 'damage', 'damage') FROM economy.shop_transactions p JOIN who ON id = p.user_id WHERE p.product_id = 'fire_pass' AND n IN (4, 5);
SET economy.test_clock = '2026-05-30 12:30+00';
SELECT economy_internal.close_seasons() FROM generate_series(1, 3);
-- a calendar of daily rewards, and claims that gave items; one has no room for any more of one
SELECT economy.set_daily_rewards('[{"gold": 5, "contents": {"gem": 2, "badge": 3, "vip": 3600}}, {"xp": 7}]', 'damage', 1);
SELECT economy.grant_items(h.user_id, jsonb_build_object('badge', 39 - h.balance), 'damage', 'full') FROM economy.user_holdings h JOIN who ON id = h.user_id WHERE h.item_id = 'badge' AND n IN (3, 4);
SELECT economy.claim_daily_reward(id) FROM who WHERE n IN (1, 2, 3, 4, 5);
SET economy.test_clock = '2026-05-30 15:00+00';
SELECT economy_internal.expire_reservations(6, NULL);
SELECT * FROM economy.rfm_refresh();
SELECT economy.purchase(id, 'gold_550', 'late') FROM who WHERE n <= 3;
SELECT * FROM economy.rfm_refresh();
-- owed for refunds: all of it, and what was collected in part
SELECT economy.purchase(id, 'gold_550', 'owed') FROM who WHERE n IN (2, 5);
SELECT economy.spend(a.user_id, a.gold, 'damage', 'owed') FROM economy.accounts a JOIN who ON id = user_id WHERE n IN (2, 5);
SELECT economy.refund_purchase(t.user_id, format('P%s-%s', t.user_id, t.seq), 'owed', NULL, 'damage', 'damage', 'take_available') FROM economy.shop_transactions t WHERE t.idempotency_key = 'owed';
SELECT economy.adjust_gold(id, 40, 'owed', 'damage', 'damage') FROM who WHERE n = 5;
SET economy.collect_debts = on;
SELECT * FROM economy_internal.collect_debts();
RESET economy.collect_debts;
SELECT economy.adjust_gold(id, 3000, 'after owed', 'damage', 'damage') FROM who WHERE n IN (2, 5);
-- learned, moved between segments, reversed, waiting, refused, run
SELECT economy.refund_purchase(t.user_id, format('P%s-%s', t.user_id, t.seq), 'whole', NULL, 'damage', 'damage', 'take_available') FROM (SELECT * FROM economy.shop_transactions ORDER BY user_id, seq LIMIT 1) t;
-- taken back: parts, to the stock, of items, of what waits, with a debt
SELECT economy.refund_purchase(t.user_id, format('P%s-%s', t.user_id, t.seq), 'part', 1, 'damage', 'damage', 'take_available', t.seq % 2 = 0)
    FROM (SELECT DISTINCT ON (s.product_id, s.user_id % 2) s.* FROM economy.shop_transactions s WHERE s.quantity > 1 OR s.items IS NOT NULL OR s.stock_slot IS NOT NULL ORDER BY s.product_id, s.user_id % 2, s.user_id, s.seq) t;
SELECT * FROM economy.rfm_refresh();
-- more periods of missions that can be claimed than an account has room for
SET economy.test_clock = '2026-06-01 12:00+00';
SELECT economy.publish_mission(jsonb_build_object('mission', 'day' || m, 'trigger', 'action', 'condition', '{"eq": ["event.game", "go"]}'::jsonb, 'target', least(m, 2), 'period', 'daily', 'gold', 1, 'claim_hours', 8784), 'damage')
FROM generate_series(1, 3) m;
DO $$
BEGIN
    FOR d IN 1 .. 70 LOOP
        PERFORM set_config('economy.test_clock', ('2026-06-01 13:00+00'::timestamptz + d * interval '1 day')::text, false);
        PERFORM economy.record_action(w.id, 'go', 'PLAY', format('day %s %s', d, k), 0, 1) FROM who w, generate_series(1, 2) k WHERE w.n = 11;
    END LOOP;
    ASSERT (SELECT count(*) > 0 FROM economy_internal.mission_progress_more), 'there is room';
END
$$;
SET economy.test_clock = '2026-09-15 12:00+00';
SELECT * FROM economy.rfm_refresh();
SELECT * FROM economy.learn_recommendations();
CALL economy.run_job('rollup_stats');
SELECT economy.record_action(id, 'go', 'PLAY', 'queued', 1, 2) FROM who WHERE n <= 3;
SELECT economy_internal.fill_rollup_queue();
INSERT INTO economy.capture_refusals (source, user_id, game, action_id, bet, win, code, refused_at) SELECT 'public.rounds', id, 'go', 'r' || n, 1, 0, 'USER_SUSPENDED', economy.now() FROM who WHERE n = 9;
-- a finding that is gone
INSERT INTO economy.audit_findings (digest, run_id, last_run_id, gone_run_id, kind) SELECT sha256('a'), run_id, run_id, run_id, 'parity' FROM economy.audit_runs LIMIT 1;
-- held at this moment
RESET economy.test_clock;
SELECT economy.reserve(id, 'ticket', 'now', 2, '24 hours') FROM who WHERE n IN (1, 3, 4, 5);
\o
