-- What a server of the old version has been through.
SELECT count(*) FROM economy.seed_demo() \g /dev/null
SELECT count(*) FROM economy.simulate(50, 5000, 7) \g /dev/null
SELECT user_id FROM economy.users ORDER BY 1 LIMIT 1 \gset
SELECT economy.grant_reward(:user_id, 'quest', 'before', 1000, 700) \g /dev/null
SELECT economy.purchase(:user_id, 'potion', 'before', 2) \g /dev/null
SELECT economy.claim_daily_reward(:user_id) \g /dev/null
SELECT economy.revoke_reward(:user_id, (SELECT transaction_id FROM economy.ledger WHERE user_id = :user_id AND transaction_id LIKE 'R%' ORDER BY seq LIMIT 1), 'test', 'test') \g /dev/null
SELECT economy.rotate_signing_key() \g /dev/null
SELECT economy.rollup_stats() \g /dev/null
SELECT economy.rfm_refresh() \g /dev/null
SELECT economy.recommend(:user_id, 'home') \g /dev/null
SELECT economy.audit_sweep() \g /dev/null
CREATE ROLE held_monitor;
SELECT economy.grant_access('held_monitor', 'monitor') \g /dev/null
-- who holds streak freezes, and has used some
SELECT set_config('economy.test_clock', to_char((now() - interval '9 days') AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SSZ'), false) \g /dev/null
SELECT economy.register('freezing') AS freezing \gset
SELECT economy.adjust_gold(:freezing, 100, 'open', 'test', 'test') \g /dev/null
SELECT economy.upsert_product('{"product_id": "freeze", "category": "item", "price_gold": 1, "effect_code": "streak_freeze"}', 'test') \g /dev/null
SELECT economy.purchase(:freezing, 'freeze', 'before', 3) \g /dev/null
SELECT economy.purchases(ARRAY[:freezing], ARRAY['freeze'], ARRAY['before 2']) \g /dev/null
SELECT economy.claim_daily_reward(:freezing) \g /dev/null
SELECT set_config('economy.test_clock', to_char((now() - interval '5 days') AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SSZ'), false) \g /dev/null
SELECT 'used', c FROM economy.claim_daily_reward(:freezing) c WHERE c.freezes_used <> 3;
RESET economy.test_clock;
