-- Asked before and after an update.
SELECT user_id FROM economy.users ORDER BY 1 LIMIT 1 \gset
SELECT 'user', u FROM economy.users u ORDER BY u.user_id;
SELECT 'account', a FROM economy.accounts a ORDER BY a.user_id;
SELECT 'ledger', l FROM economy.ledger l ORDER BY l.user_id, l.seq;
SELECT 'chain', u.user_id, v FROM economy.users u, economy.verify_chain(u.user_id) v ORDER BY 2;
SELECT 'statement', u.user_id, s.seq, s.journal, s.transaction_id, s.gold_delta, s.xp_delta, s.gold, s.experience_points, s.created_at FROM economy.users u, economy.statement(u.user_id) s ORDER BY 2, 3;
SELECT 'stats', economy.game_stats_me(user_id) FROM economy.users ORDER BY user_id;
SELECT 'day', s FROM economy.user_game_stats_summary s ORDER BY s::text;
SELECT 'stock', s FROM economy.shop_stock s ORDER BY s::text;
SELECT 'segment', economy.segment(user_id) FROM economy.users ORDER BY user_id;
SELECT 'decision', d FROM economy.recommendations d ORDER BY d::text;
SELECT 'event', e FROM economy.changes('start', 10000) e WHERE e.code = 'EVENT';
SELECT 'finding', f FROM economy.audit_sweep() f;
SELECT 'parity', p FROM economy.stats_parity() p;
SELECT 'retry', code, state, gold FROM economy.purchase(:user_id, 'potion', 'before', 2);
SELECT 'freezes', s.freezes FROM economy.users u, economy.streak_state(u.user_id) s WHERE u.external_id = 'freezing';
SELECT 'retry', code, state, gold FROM economy.grant_reward(:user_id, 'quest', 'before', 1000, 700);
