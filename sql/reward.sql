-- Rewards from start to end: grants, the daily streak, freezes, levels,
-- reversals, batches; what is refused and what raises.
SET timezone = 'UTC';
SET datestyle = 'ISO, MDY';
SET economy.test_clock = '2031-01-01 12:00:00+00';
-- ids differ from run to run: ann is ANN in transaction ids
SELECT economy.register('reward ann', 'Europe/Berlin') AS ann \gset
SELECT economy.register('reward bob') AS bob \gset
CREATE FUNCTION named(id text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT regexp_replace(regexp_replace(id, '^R' || economy.user_id_of('reward ann') || '-', 'RANN-'),
                          '^R' || economy.user_id_of('reward bob') || '-', 'RBOB-') $$;

-- grants
SELECT success, state, code, named(transaction_id), gold_delta, xp_delta, gold, experience_points, level, leveled_up, retry_after_ms, detail
FROM economy.grant_reward(:ann, 'quest', 'hydra', 250, 600, '{"heads": 9}');
SELECT success, state, code, named(transaction_id), gold_delta, xp_delta, gold, experience_points, level, leveled_up, retry_after_ms, detail
FROM economy.grant_reward(:ann, 'quest', 'hydra', 250, 600, '{"heads": 9}');
SELECT success, state, code, transaction_id, gold_delta, gold, detail FROM economy.grant_reward(:ann, 'quest', 'hydra', 251, 600, '{"heads": 9}');
SELECT success, state, code, transaction_id, gold_delta, gold, detail FROM economy.grant_reward(:ann, 'quest', 'hydra', 250, 600, '{"heads": 8}');
SELECT success, state, code, transaction_id, gold_delta, gold, detail FROM economy.grant_reward(:ann, 'quest', 'too much', 9007199254740991);
SELECT success, state, code, transaction_id, gold_delta, gold, detail FROM economy.grant_reward(-1, 'quest', 'hydra', 1);
SELECT economy.grant_reward(:ann, 'economy:daily_streak', '2031-01-01', 1000);
\echo :SQLSTATE
SELECT economy.grant_reward(:ann, 'quest', 'negative', -1);
\echo :SQLSTATE
SELECT economy.grant_reward(:ann, 'quest', repeat('e', 256), 1);
\echo :SQLSTATE

-- a batch: answers in its order
SELECT ordinality, state, code, named(transaction_id), gold_delta, xp_delta, gold, experience_points, level, leveled_up, detail
FROM economy.grant_rewards(jsonb_build_array(
    jsonb_build_object('user_id', :bob, 'source', 'mail', 'external_event_id', 'm1', 'gold', 5),
    jsonb_build_object('user_id', :ann, 'source', 'mail', 'external_event_id', 'm1', 'gold', 6, 'xp', 400),
    jsonb_build_object('user_id', :bob, 'source', 'mail', 'external_event_id', 'm1', 'gold', 5),
    jsonb_build_object('user_id', -1,   'source', 'mail', 'external_event_id', 'm1', 'gold', 5),
    jsonb_build_object('user_id', :bob, 'source', 'mail', 'external_event_id', 'm2'))) WITH ORDINALITY;
SELECT economy.grant_rewards(jsonb_build_array(
    jsonb_build_object('user_id', :bob, 'source', 'mail', 'external_event_id', 'm3', 'gold', 5),
    jsonb_build_object('user_id', :bob, 'source', 'mail', 'external_event_id', 'm4', 'golds', 5)));
\echo :SQLSTATE
SELECT count(*) AS m3_granted FROM economy.reward_audit WHERE user_id = :bob AND external_event_id = 'm3';

-- the daily streak: two freezes, a missed day, grace, a reset
SELECT product_id, effect_code FROM economy.upsert_product('{"product_id": "reward_freeze", "category": "item", "price_gold": 20, "effect_code": "streak_freeze"}', 'regress');
SELECT state, code, gold_delta, gold, detail FROM economy.purchase(:ann, 'reward_freeze', 'k1', 2);
SELECT state, code, detail FROM economy.purchase(:ann, 'reward_freeze', 'k2', 4);
CREATE VIEW claim AS
    SELECT now, s.streak_day AS before, s.next_outcome, s.freezes, c.state, c.code, named(c.transaction_id) AS entry, c.streak_day, c.claim_date, c.grace_used,
           c.freezes_used, c.gold_delta, c.xp_delta, c.gold, c.experience_points AS xp, c.level, c.leveled_up, c.next_claim_at
    FROM economy.now() now, economy.user_id_of('reward ann') u, economy.streak_state(u) s, economy.claim_daily_reward(u) c;
\x on
SELECT * FROM claim;
SET economy.test_clock = '2031-01-01 22:59:59+00';
SELECT * FROM claim;
\x off
\pset footer off
SET economy.test_clock = '2031-01-01 23:00:00+00';
SELECT now, before, next_outcome, freezes, code, streak_day, claim_date, grace_used, freezes_used, gold_delta, xp_delta, next_claim_at FROM claim;
SET economy.test_clock = '2031-01-05 12:00:00+00';
SELECT now, before, next_outcome, freezes, code, streak_day, claim_date, grace_used, freezes_used, gold_delta, xp_delta, next_claim_at FROM claim;
SET economy.test_clock = '2031-01-07 12:00:00+00';
SELECT now, before, next_outcome, freezes, code, streak_day, claim_date, grace_used, freezes_used, gold_delta, xp_delta, next_claim_at FROM claim;
SET economy.test_clock = '2031-01-09 12:00:00+00';
SELECT streak_day, last_claim_on FROM economy.account(:ann);
SELECT * FROM economy.streak_preview(:ann, 4);
SELECT now, before, next_outcome, freezes, code, streak_day, claim_date, grace_used, freezes_used, gold_delta, xp_delta, next_claim_at FROM claim;
SELECT day, r.* FROM generate_series(1, 4) day, economy.streak_reward(day) r;
-- a move to another zone waits for the next claim
SELECT economy.set_timezone(:ann, 'asia/tokyo');
SET economy.test_clock = '2031-01-09 20:00:00+00';
SELECT now, before, next_outcome, code, streak_day, claim_date, next_claim_at FROM claim;
SET economy.test_clock = '2031-01-10 16:00:00+00';
SELECT now, before, next_outcome, code, streak_day, claim_date, next_claim_at FROM claim;
SELECT now, before, next_outcome, code, streak_day, claim_date, next_claim_at FROM claim;

-- levels
SELECT xp, economy.level_for(xp) FROM unnest(ARRAY[0, 499, 500, 999, 1000, 9007199254740991]) xp;
SELECT economy.level_for(0, 'no such curve');
\echo :SQLSTATE
SELECT economy.set_level_curve('reward_steep', ARRAY[0, 100, 300]);
SELECT xp, economy.level_for(xp, 'reward_steep') FROM unnest(ARRAY[0, 99, 100, 299, 300, 9007199254740991]) xp;
SELECT level, xp_into_level, xp_to_next FROM economy.account(:bob);
SELECT economy.set_level_experiment('reward_steep', '[{"arm": "all", "curve": "reward_steep", "share": 10000}]', true);
SELECT code, level, leveled_up FROM economy.grant_reward(:bob, 'quest', 'level', 0, 150);
SELECT level, xp_into_level, xp_to_next FROM economy.account(:bob);
SELECT economy.set_level_experiment('reward_steep', '[]');

-- reversals
SELECT success, state, code, named(transaction_id), gold_delta, xp_delta, gold, level, leveled_up, detail
FROM economy.revoke_reward(:ann, 'R' || :ann || '-1', 'cheated', 'moderator', 200);
SELECT success, state, code, named(transaction_id), gold_delta, xp_delta, gold, level, leveled_up, detail
FROM economy.revoke_reward(:ann, 'R' || :ann || '-1', 'cheated', 'moderator', 200);
SELECT success, state, code, transaction_id, detail FROM economy.revoke_reward(:ann, 'R' || :ann || '-1', 'cheated', 'moderator');
SELECT code, gold FROM economy.adjust_gold(:bob, -3, 'k', 'spent', 'regress');
SELECT success, state, code, gold_delta, gold, detail FROM economy.revoke_reward(:bob, 'R' || :bob || '-1', 'mistake', 'moderator');
SELECT success, state, code, gold_delta, gold, detail FROM economy.revoke_reward(:bob, 'R' || :bob || '-1', 'mistake', 'moderator', policy => 'take');
SELECT success, state, code FROM economy.revoke_reward(:ann, 'P' || :ann || '-3', 'a purchase', 'moderator');

-- what is left of it all
SELECT r.seq, r.gold_delta, r.xp_delta, r.gold, r.experience_points AS xp, r.source, named(r.external_event_id) AS event, r.reverses, r.streak_day AS day,
       r.reward_day AS paid, r.claim_date, r.freezes_used AS frozen, r.grace_used AS grace, r.actor, r.reason
FROM economy.reward_audit r WHERE r.user_id = :ann ORDER BY r.seq;
SELECT streak_day, best, last_claim_on, last_grace_on, last_seq, timezone FROM economy.streaks WHERE user_id = :ann;
SELECT seq, gold, experience_points, streak_freezes FROM economy.accounts WHERE user_id IN (:ann, :bob) ORDER BY user_id;
SELECT kind, expected, actual FROM economy.verify_chain(:ann) UNION ALL SELECT kind, expected, actual FROM economy.verify_chain(:bob)
UNION ALL SELECT kind, expected, actual FROM economy_internal.audit_rewards() WHERE user_id IN (:ann, :bob);
DROP VIEW claim;
DROP FUNCTION named(text);
