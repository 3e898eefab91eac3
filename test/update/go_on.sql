-- It goes on; prints what is wrong.
SELECT user_id FROM economy.users ORDER BY 1 LIMIT 1 \gset
SELECT 'purchase', p FROM economy.purchase(:user_id, 'potion', 'after', 1) p WHERE p.state <> 'new';
SELECT 'grant', g FROM economy.grant_reward(:user_id, 'quest', 'after', 1, 1) g WHERE g.state <> 'new';
SELECT 'item', i FROM economy.upsert_item('{"item_id": "after", "kind": "stack"}', 'test') i WHERE i.item_id <> 'after';
SELECT 'items', g FROM economy.grant_items(:user_id, '{"after": 2}', 'after', 'after') g WHERE g.state <> 'new';
SELECT 'level curve', w FROM economy.set_default_level_curve('linear', 'test') w WHERE w <> 'linear';
SELECT 'calendar', n FROM economy.set_daily_rewards('[{"gold": 1}]', 'test') n WHERE n <> 1;
SELECT 'no calendar', n FROM economy.set_daily_rewards(NULL, 'test') n WHERE n <> 0;
SELECT 'provider', p FROM economy.set_payment_provider('{"provider": "after", "profile": "stripe"}', 'test') p WHERE p.provider <> 'after';
SELECT 'promo code', p FROM economy.upsert_promo_code('{"code": "AFTER", "kind": "percent", "value": 10, "max_uses": 9}', 'test') p WHERE p.max_uses <> 9;
SELECT 'rate limit', l FROM economy.set_rate_limit('{"limit_id": "after", "burst": 1, "refill": 1, "period_seconds": 9}', 'test') l WHERE l.burst <> 1;
SELECT 'rate', t FROM economy.take_rate('after', 'the update') t WHERE t.code <> 'OK';
SELECT 'secret', s FROM economy.add_payment_secret('after', 'whsec_of_the_update', 'test') s WHERE s <> 1;
SELECT 'rules', r FROM economy.set_transfer_rules('{"enabled": true}', 'test') r WHERE NOT r.enabled;
SELECT 'sent', t FROM economy.transfer(:user_id, (SELECT max(user_id) FROM economy.users), 'after', 1) t WHERE t.code <> 'OK';
SELECT 'put aside', r FROM economy.hold_escrow(:user_id, 'after', 1) h, economy.release_escrow(:user_id, h.transaction_id) r WHERE r.code <> 'OK';
SELECT 'used', c FROM economy.consume(:user_id, 'after', 'after') c WHERE c.code <> 'OK';
-- freezes of before are the item of now
SELECT user_id AS freezing FROM economy.users WHERE external_id = 'freezing' \gset
SELECT 'held', count(*) FROM economy.holdings(:freezing) h WHERE (h.item_id, h.quantity) = ('streak_freeze', 1) HAVING count(*) <> 1;
SELECT 'bought', p FROM economy.purchase(:freezing, 'freeze', 'after', 2) p WHERE p.items IS DISTINCT FROM '[{"item": "streak_freeze", "delta": 2, "balance": 3}]';
SELECT 'again', p FROM economy.purchase(:freezing, 'freeze', 'before', 3) p WHERE (p.state, p.code) <> ('reuse', 'OK');
SELECT 'taken', c FROM economy.consume(:freezing, 'streak_freeze', 'after') c WHERE c.items IS DISTINCT FROM '[{"item": "streak_freeze", "delta": -1, "balance": 2}]';
SELECT 'drawn from', p FROM economy.upsert_draw_table('{"table_id": "after", "draft": {"pity": {"class": "c", "after": 1}, "entries": [{"entry": "a", "weight": 1, "items": {"after": 1}}, {"entry": "b", "class": "c", "weight": 1}]}}', 'test') u,
    economy.publish_draw_table('after', 'test') p WHERE p.version <> 1;
SELECT 'committed', c FROM economy.draw_commit(:user_id) c WHERE c.state <> 'new';
SELECT 'drawn', d FROM economy.draw(:user_id, 'after', 'after', 'after') d WHERE d.state <> 'new';
SELECT 'revealed', r FROM economy.draw_reveal(:user_id, 1) r WHERE r.draws <> 1;
SELECT count(*) FROM economy.simulate(10, 1000, 8) \g /dev/null
SELECT 'leaderboard', b FROM economy.upsert_leaderboard('{"board": "after", "figure": "item", "item_id": "after", "period": "all"}', 'test') b WHERE b.board <> 'after';
SELECT economy.rollup_stats() \g /dev/null
SELECT 'refreshed', r FROM economy.refresh_leaderboards() r WHERE r.more;
SELECT 'leaderboard', l FROM economy.leaderboard('after') l WHERE (l.rank, l.user_id, l.figure) <> (1, :user_id, (SELECT h.quantity FROM economy.holdings(:user_id) h WHERE h.item_id = 'after'));
SELECT economy.rfm_refresh_incremental() \g /dev/null
SELECT 'finding', f FROM economy.audit_sweep() f;
SELECT 'parity', p FROM economy.stats_parity() p;
-- a dump would leave out what a script has granted
SELECT 'initial', i.objoid, a.grantee::regrole FROM pg_init_privs i, aclexplode(i.initprivs) a JOIN pg_roles r ON r.oid = a.grantee
WHERE NOT r.rolsuper AND i.objoid IN (SELECT d.objid FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid WHERE e.extname = 'economy');
SELECT 'denied', object FROM economy.access_list()
WHERE level = 'monitor' AND NOT has_function_privilege('held_monitor', substring(object FROM '^[A-Z]+ (.*)'), 'EXECUTE');
CALL economy.run_job('rollup_stats') \g /dev/null
SELECT 'run', r FROM economy.job_runs r WHERE r.state <> 'done';
