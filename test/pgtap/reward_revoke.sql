-- economy.revoke_reward(): full and partial, once for each key, never more than
-- the reward gave, never below zero.
BEGIN;
SELECT no_plan();

SELECT economy.register('pgtap revoked') AS u \gset
SELECT economy.register('pgtap stranger') AS other \gset
SELECT economy.register('pgtap spender') AS poor \gset
SELECT product_id AS x FROM economy.upsert_product('{"product_id": "pgtap_toy", "category": "item", "price_gold": 60}', 'pgtap') \gset
CREATE FUNCTION pg_temp.line(g economy.grant_result, id bigint) RETURNS text LANGUAGE sql AS
    $$ SELECT replace(concat_ws(' ', g.success, g.state, g.code, coalesce(g.transaction_id, '-'), g.gold_delta, g.xp_delta,
                      g.gold, g.experience_points, g.level, g.leveled_up, g.retry_after_ms, g.detail), id::text || '-', 'U-') $$;
CREATE FUNCTION pg_temp.back(id bigint, entry text, gold bigint DEFAULT NULL, xp bigint DEFAULT NULL, policy text DEFAULT 'refuse')
    RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.line(g, id) FROM economy.revoke_reward(id, replace(entry, 'U', id::text), 'a reason', 'an actor', gold, xp, policy) g $$;
CREATE FUNCTION pg_temp.account(id bigint) RETURNS text LANGUAGE sql AS
    $$ SELECT concat_ws(' ', a.seq, a.gold, a.experience_points) FROM economy.accounts a WHERE a.user_id = id $$;
SELECT count(*) AS x FROM (VALUES (100, 600), (200, 0), (300, 1), (0, 0), (50, 500)) v (gold, xp),
    economy.grant_reward(:u, 'quest', gold || '/' || xp, gold, xp) \gset
SELECT is(pg_temp.account(:u), '5 650 1101', 'five rewards');

-- all of it
SELECT is(pg_temp.back(:u, 'RU-1'),
    't new OK RU-6 -100 -600 550 501 2 f {"xp": 600, "gold": 100, "debt_xp": 0, "debt_gold": 0}', 'all of a reward');
SELECT is((SELECT row(r.seq, r.gold_delta, r.xp_delta, r.gold, r.experience_points, r.reverses, r.streak_day, r.source,
                      replace(r.external_event_id, r.user_id || '-', 'U-'), r.actor, r.reason, r.details)::text
           FROM economy.reward_audit r WHERE r.user_id = :u AND r.seq = 6),
    '(6,-100,-600,550,501,1,,economy:reversal,RU-1,"an actor","a reason","{""xp"": 600, ""gold"": 100, ""debt_xp"": 0, ""debt_gold"": 0}")',
    'the compensating entry');
SELECT is(pg_temp.back(:u, 'RU-1'),
    't reuse OK RU-6 -100 -600 550 501 2 f {"xp": 600, "gold": 100, "debt_xp": 0, "debt_gold": 0}', 'twice is a repeat');
SELECT is(pg_temp.back(:u, 'RU-1', 100, 600),
    't reuse OK RU-6 -100 -600 550 501 2 f {"xp": 600, "gold": 100, "debt_xp": 0, "debt_gold": 0}', 'also with the amounts said');
SELECT is(pg_temp.back(:u, 'RU-1', 99), 'f refused IDEMPOTENCY_MISMATCH RU-6 {"now": 99, "field": "gold", "first": 100}', 'other gold');
SELECT is(pg_temp.back(:u, 'RU-1', NULL, 599), 'f refused IDEMPOTENCY_MISMATCH RU-6 {"now": 599, "field": "xp", "first": 600}', 'other XP');

-- part of it
SELECT is(pg_temp.back(:u, 'RU-2', 30),
    't new OK RU-7 -30 0 520 501 2 f {"xp": 0, "gold": 30, "debt_xp": 0, "debt_gold": 0}', 'part of a reward');
SELECT is(pg_temp.back(:u, 'RU-2', 30),
    't reuse OK RU-7 -30 0 520 501 2 f {"xp": 0, "gold": 30, "debt_xp": 0, "debt_gold": 0}', 'again is a repeat');
SELECT is(pg_temp.back(:u, 'RU-2', 170), 'f refused IDEMPOTENCY_MISMATCH RU-7 {"now": 170, "field": "gold", "first": 30}', 'the rest needs a key of its own');
SELECT is(pg_temp.back(:u, 'RU-2'), 'f refused IDEMPOTENCY_MISMATCH RU-7 {"now": 200, "field": "gold", "first": 30}', 'nor all of it');
SELECT is(pg_temp.back(:u, 'RU-5', 0, 2),
    't new OK RU-8 0 -2 520 499 1 f {"xp": 2, "gold": 0, "debt_xp": 0, "debt_gold": 0}', 'only XP, down a level');
SELECT is(pg_temp.back(:u, 'RU-4'),
    't new OK RU-9 0 0 520 499 1 f {"xp": 0, "gold": 0, "debt_xp": 0, "debt_gold": 0}', 'a reward of nothing');
SELECT is(pg_temp.account(:u), '9 520 499', 'the account is what the entries say');
SELECT is((SELECT pg_temp.line(g, :u) FROM economy.grant_reward(:u, 'quest', '100/600', 100, 600) g), 't reuse OK RU-1 100 600 100 600 2 t',
    'a revoked event is not granted again');

-- what is no reward
SELECT is(pg_temp.back(:u, id), 'f refused REWARD_NOT_FOUND -', 'revoke ' || to_json(id))
FROM unnest(ARRAY['RU-10', 'RU-0', 'RU--1', 'RU-01', 'RU-+1', 'RU- 1', 'RU-1 ', ' RU-1', 'rU-1', 'XU-1',
    'U-1', 'R-1', 'RU', 'RU-', 'R', '-', 'junk', 'RU-1-1', 'RU-9223372036854775807', 'RU-9223372036854775808', 'R0x1-1', 'RU-1' || chr(10),
    'RU-1' || chr(1), repeat('R', 255), E'\u20ac']) id;
SELECT is(pg_temp.back(:u, id), 'f refused REWARD_NOT_FOUND - {"is": "' || kind || '"}', id || ' is a ' || kind)
FROM (VALUES ('RU-6', 'reversal'), ('RU-7', 'reversal'), ('PU-1', 'purchase'), ('GU-1', 'adjustment'), ('AU-1', 'action')) v (id, kind);
SELECT economy.grant_reward(:other, 'quest', '1', 77) IS NULL AS x \gset
SELECT is(pg_temp.back(:u, 'R' || :other || '-1'), 'f refused REWARD_NOT_FOUND -', 'a reward of somebody else');
SELECT is((SELECT code FROM economy.purchase(:u, 'pgtap_toy', 'k')), 'OK', 'a purchase');
SELECT is(pg_temp.back(:u, 'PU-10'), 'f refused REWARD_NOT_FOUND - {"is": "purchase"}', 'is no reward');
SELECT is(pg_temp.back(:u, 'RU-10'), 'f refused REWARD_NOT_FOUND -', 'under no name');
SELECT is((SELECT code FROM economy.adjust_gold(:u, 5, 'k', 'r', 'a')), 'OK', 'an adjustment');
SELECT is(pg_temp.back(:u, 'GU-11'), 'f refused REWARD_NOT_FOUND - {"is": "adjustment"}', 'is none either');
SELECT is(pg_temp.back(-3, 'R-3-1'), 'f refused USER_NOT_FOUND -', 'nobody''s reward');
SELECT is(pg_temp.account(:u), '11 465 499', 'none of these took anything');
SELECT is(pg_temp.account(:other), '1 77 0', 'from nobody');

-- less there than the reward gave
SELECT count(*) AS x FROM (VALUES ('a'), ('b'), ('c')) v (event), economy.grant_reward(:poor, 'quest', event, 40, 10) \gset
SELECT is((SELECT gold FROM economy.purchase(:poor, 'pgtap_toy', 'k')), 60::bigint, 'spent');
SELECT is((SELECT gold FROM economy.adjust_gold(:poor, -45, 'k', 'r', 'a')), 15::bigint, 'nearly all');
SELECT is(pg_temp.back(:poor, 'RU-1'),
    'f refused INSUFFICIENT_GOLD - 15 30 {"xp": 10, "gold": 40, "debt_xp": 0, "debt_gold": 25}', 'refuse: all or nothing, and what is missing');
SELECT is(pg_temp.account(:poor), '5 15 30', 'a refusal takes nothing, XP included');
SELECT is(pg_temp.back(:poor, 'RU-1', 15, 0),
    't new OK RU-6 -15 0 0 30 1 f {"xp": 0, "gold": 15, "debt_xp": 0, "debt_gold": 0}', 'what is there may be asked for; the refusal used no key up');
SELECT is(pg_temp.back(:poor, 'RU-2'),
    'f refused INSUFFICIENT_GOLD - 0 30 {"xp": 10, "gold": 40, "debt_xp": 0, "debt_gold": 40}', 'nothing there');
SELECT is(pg_temp.back(:poor, 'RU-2', NULL, NULL, 'take'),
    't new OK RU-7 0 -10 0 20 1 f {"xp": 10, "gold": 40, "debt_xp": 0, "debt_gold": 40}', 'take: what is there, and the debt');
SELECT is(pg_temp.back(:poor, 'RU-2', NULL, NULL, 'take'),
    't reuse OK RU-7 0 -10 0 20 1 f {"xp": 10, "gold": 40, "debt_xp": 0, "debt_gold": 40}', 'a repeat reports the debt of then');
SELECT is((SELECT gold FROM economy.grant_reward(:poor, 'quest', 'd', 35)), 35::bigint, 'rich again');
SELECT is(pg_temp.back(:poor, 'RU-2', NULL, NULL, 'take'),
    't reuse OK RU-7 0 -10 0 20 1 f {"xp": 10, "gold": 40, "debt_xp": 0, "debt_gold": 40}', 'a repeat does not collect the debt');
SELECT is(pg_temp.back(:poor, 'RU-2', 0), 'f refused IDEMPOTENCY_MISMATCH RU-7 {"now": 0, "field": "gold", "first": 40}', 'the key holds what was asked for, not what was taken');
SELECT is(pg_temp.back(:poor, 'RU-3', 40, 5, 'take'),
    't new OK RU-9 -35 -5 0 15 1 f {"xp": 5, "gold": 40, "debt_xp": 0, "debt_gold": 5}', 'take, in part');
SELECT is(pg_temp.account(:poor), '9 0 15', 'never below zero');

-- a daily claim is a reward
SET LOCAL economy.test_clock = '2031-03-01 12:00:00+00';
SELECT is((SELECT code FROM economy.claim_daily_reward(:other)), 'CLAIMED', 'a claim');
SELECT is(pg_temp.back(:other, 'RU-2'),
    't new OK RU-3 -1000 -50 77 0 1 f {"xp": 50, "gold": 1000, "debt_xp": 0, "debt_gold": 0}', 'is taken back');
SELECT is((SELECT code FROM economy.claim_daily_reward(:other)), 'CLAIMED', 'and its date claimed again');
SELECT is(economy.set_user_status(:other, 'suspended', 'pgtap'), 'suspended', 'suspended');
SELECT is(pg_temp.back(:other, 'RU-1', 7),
    't new OK RU-6 -7 0 1070 50 1 f {"xp": 0, "gold": 7, "debt_xp": 0, "debt_gold": 0}', 'from a suspended user as well');

-- in parts, each with a key of its own
SELECT economy.register('pgtap parts') AS parts \gset
CREATE FUNCTION pg_temp.part(id bigint, key text, gold bigint DEFAULT NULL, xp bigint DEFAULT NULL, policy text DEFAULT 'refuse', entry text DEFAULT 'RU-1')
    RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.line(g, id) FROM economy.revoke_reward(id, replace(entry, 'U', id::text), 'a reason', 'an actor', gold, xp, policy, key) g $$;
SELECT count(*) AS x FROM (VALUES (100, 600), (50, 0)) v (gold, xp), economy.grant_reward(:parts, 'quest', gold || '/' || xp, gold, xp) \gset
SELECT is(pg_temp.part(:parts, 'a', 30, 100), 't new OK RU-3 -30 -100 120 500 2 f {"xp": 100, "gold": 30, "debt_xp": 0, "debt_gold": 0}', 'a part');
SELECT is(pg_temp.part(:parts, 'a', 30, 100), 't reuse OK RU-3 -30 -100 120 500 2 f {"xp": 100, "gold": 30, "debt_xp": 0, "debt_gold": 0}', 'once for a key');
SELECT is(pg_temp.part(:parts, 'a', 30, 99), 'f refused IDEMPOTENCY_MISMATCH RU-3 {"now": 99, "field": "xp", "first": 100}', 'with these amounts');
SELECT is(pg_temp.part(:parts, 'b', 71, 0), 'f refused EXCEEDS_REWARD - 120 500 {"xp": 0, "gold": 71, "left_xp": 500, "left_gold": 70}', 'never more than is left');
SELECT is(pg_temp.part(:parts, 'b', 0, 501), 'f refused EXCEEDS_REWARD - 120 500 {"xp": 501, "gold": 0, "left_xp": 500, "left_gold": 70}', 'of either');
SELECT is(pg_temp.part(:parts, 'b', 20, 0), 't new OK RU-4 -20 0 100 500 2 f {"xp": 0, "gold": 20, "debt_xp": 0, "debt_gold": 0}', 'a refusal uses no key up');
SELECT is(pg_temp.part(:parts, 'a', NULL, NULL, 'refuse', 'RU-2'), 't new OK RU-5 -50 0 50 500 2 f {"xp": 0, "gold": 50, "debt_xp": 0, "debt_gold": 0}', 'a key is one of its reward');
SELECT is(pg_temp.back(:parts, 'RU-1'), 't new OK RU-6 -50 -500 0 0 1 f {"xp": 500, "gold": 50, "debt_xp": 0, "debt_gold": 0}', 'the rest, without a key');
SELECT is(pg_temp.back(:parts, 'RU-1'), 't reuse OK RU-6 -50 -500 0 0 1 f {"xp": 500, "gold": 50, "debt_xp": 0, "debt_gold": 0}', 'all that was left is what it was then');
SELECT is(pg_temp.part(:parts, 'c'), 'f refused EXCEEDS_REWARD - 0 0 {"xp": 0, "gold": 0, "left_xp": 0, "left_gold": 0}', 'nothing is left');
SELECT is(pg_temp.part(:parts, 'c', 0, 0), 'f refused EXCEEDS_REWARD - 0 0 {"xp": 0, "gold": 0, "left_xp": 0, "left_gold": 0}', 'and nothing is too much of it');
SELECT is(pg_temp.part(:parts, 'a', 30, 100), 't reuse OK RU-3 -30 -100 120 500 2 f {"xp": 100, "gold": 30, "debt_xp": 0, "debt_gold": 0}', 'a repeat of the first part');
SELECT is((SELECT string_agg(replace(concat_ws(' ', seq, reverses, source, external_event_id), :'parts' || '-', 'U-'), ', ' ORDER BY seq) FROM economy.reward_audit WHERE user_id = :parts AND reverses IS NOT NULL),
    '3 1 economy:reversal:RU-1 a, 4 1 economy:reversal:RU-1 b, 5 2 economy:reversal:RU-2 a, 6 1 economy:reversal RU-1', 'the entries');
-- one after the other
SELECT economy.register('pgtap one and the other') AS both \gset
SELECT economy.grant_reward(:both, 'quest', '1', 10, 20) IS NULL AS x \gset
SELECT is(pg_temp.part(:both, 'gold', 10, 0), 't new OK RU-2 -10 0 0 20 1 f {"xp": 0, "gold": 10, "debt_xp": 0, "debt_gold": 0}', 'all of the gold');
SELECT is(pg_temp.part(:both, 'xp', 0, 20), 't new OK RU-3 0 -20 0 0 1 f {"xp": 20, "gold": 0, "debt_xp": 0, "debt_gold": 0}', 'then all of the XP');

-- a debt is collected with another key, when there is gold again
SELECT economy.grant_reward(:parts, 'quest', 'debt', 100) IS NULL AS x \gset
SELECT economy.adjust_gold(:parts, -60, 'spent', 'r', 'a') IS NULL AS x \gset
SELECT is(pg_temp.part(:parts, '1', NULL, NULL, 'take', 'RU-7'), 't new OK RU-9 -40 0 0 0 1 f {"xp": 0, "gold": 100, "debt_xp": 0, "debt_gold": 60}', 'what is there');
SELECT economy.adjust_gold(:parts, 80, 'earned', 'r', 'a') IS NULL AS x \gset
SELECT is(pg_temp.part(:parts, '2', 61, 0, 'take', 'RU-7'), 'f refused EXCEEDS_REWARD - 80 0 {"xp": 0, "gold": 61, "left_xp": 0, "left_gold": 60}', 'not more than the debt');
SELECT is(pg_temp.part(:parts, '2', NULL, NULL, 'take', 'RU-7'), 't new OK RU-11 -60 0 20 0 1 f {"xp": 0, "gold": 60, "debt_xp": 0, "debt_gold": 0}', 'the debt');
SELECT is(pg_temp.part(:parts, '1', NULL, NULL, 'take', 'RU-7'), 't reuse OK RU-9 -40 0 0 0 1 f {"xp": 0, "gold": 100, "debt_xp": 0, "debt_gold": 60}', 'a repeat asks for what it asked for');
SELECT throws_ok(format($$SELECT economy.revoke_reward(%s, 'R%s-1', 'r', 'a', 1, 1, 'take', %L)$$, :parts, :parts, key), code, message, message)
FROM (VALUES ('', 'XE002', 'idempotency_key must not be empty'), (repeat('k', 256), 'XE003', 'idempotency_key is too long')) v (key, code, message);
-- rolled back, a part was never taken
SELECT economy.grant_reward(:parts, 'quest', 'sub', 10) IS NULL AS x \gset
SAVEPOINT s;
SELECT is(pg_temp.part(:parts, '1', 10, 0, 'refuse', 'RU-12'), 't new OK RU-13 -10 0 20 0 1 f {"xp": 0, "gold": 10, "debt_xp": 0, "debt_gold": 0}', 'all of it');
ROLLBACK TO SAVEPOINT s;
SELECT is(pg_temp.part(:parts, '2', 4, 0, 'refuse', 'RU-12'), 't new OK RU-13 -4 0 26 0 1 f {"xp": 0, "gold": 4, "debt_xp": 0, "debt_gold": 0}', 'part of it, after a rollback');
-- the audit adds them up
SELECT is_empty(format('SELECT * FROM economy_internal.audit_rewards() WHERE user_id = %s', :parts), 'the parts are no more than the reward');
ALTER TABLE economy.reward_audit DISABLE TRIGGER ALL;
SAVEPOINT s;
UPDATE economy.reward_audit SET gold_delta = -21 WHERE user_id = :parts AND seq = 4;
SELECT is((SELECT string_agg(concat_ws('|', kind, expected, actual, seq), ', ') FROM economy_internal.audit_rewards() WHERE user_id = :parts),
    'wrong_reward|at most 100 gold and 600 XP taken back|101 gold and 600 XP|6', 'and one gold too much is found');
ROLLBACK TO SAVEPOINT s;
ALTER TABLE economy.reward_audit ENABLE TRIGGER ALL;
ALTER TABLE economy.reward_audit ENABLE ALWAYS TRIGGER reward_audit_append_only;

-- bad arguments
CREATE TEMP TABLE before AS SELECT pg_temp.account(:u) AS account;
SELECT throws_ok(replace(replace(call, 'USER', :'u'), 'ID', '''R' || :'u' || '-3'''), code, message, call)
FROM (VALUES
    ($$SELECT economy.revoke_reward(NULL, ID, 'r', 'a')$$,                      'XE001', 'user_id must not be null'),
    ($$SELECT economy.revoke_reward(USER, NULL, 'r', 'a')$$,                    'XE001', 'transaction_id must not be null'),
    ($$SELECT economy.revoke_reward(USER, ID, NULL, 'a')$$,                     'XE001', 'reason must not be null'),
    ($$SELECT economy.revoke_reward(USER, ID, 'r', NULL)$$,                     'XE001', 'actor must not be null'),
    ($$SELECT economy.revoke_reward(USER, ID, 'r', 'a', NULL, NULL, NULL)$$,    'XE001', 'policy must not be null'),
    ($$SELECT economy.revoke_reward(USER, '', 'r', 'a')$$,                      'XE002', 'transaction_id must not be empty'),
    ($$SELECT economy.revoke_reward(USER, ID, '', 'a')$$,                       'XE002', 'reason must not be empty'),
    ($$SELECT economy.revoke_reward(USER, ID, 'r', '')$$,                       'XE002', 'actor must not be empty'),
    ($$SELECT economy.revoke_reward(USER, repeat('R', 256), 'r', 'a')$$,        'XE003', 'transaction_id is too long'),
    ($$SELECT economy.revoke_reward(USER, ID, repeat('r', 1001), 'a')$$,        'XE003', 'reason is too long'),
    ($$SELECT economy.revoke_reward(USER, ID, 'r', repeat('a', 256))$$,         'XE003', 'actor is too long'),
    ($$SELECT economy.revoke_reward(USER, ID, 'r', 'a', -1)$$,                  'XE002', 'gold and xp must not be negative'),
    ($$SELECT economy.revoke_reward(USER, ID, 'r', 'a', 0, -1)$$,               'XE002', 'gold and xp must not be negative'),
    ($$SELECT economy.revoke_reward(USER, ID, 'r', 'a', -9223372036854775808)$$, 'XE002', 'gold and xp must not be negative'),
    ($$SELECT economy.revoke_reward(USER, ID, 'r', 'a', 301)$$,                 'XE002', 'a reversal cannot take more than the reward gave'),
    ($$SELECT economy.revoke_reward(USER, ID, 'r', 'a', 1, 2)$$,                'XE002', 'a reversal cannot take more than the reward gave'),
    ($$SELECT economy.revoke_reward(USER, ID, 'r', 'a', 9223372036854775807)$$, 'XE002', 'a reversal cannot take more than the reward gave'),
    ($$SELECT economy.revoke_reward(USER, ID, 'r', 'a', 1, 1, 'Take')$$,        'XE002', 'policy "Take" is not known'),
    ($$SELECT economy.revoke_reward(USER, ID, 'r', 'a', 1, 1, '')$$,            'XE002', 'policy "" is not known')
) v (call, code, message);
SELECT is(pg_temp.account(:u), before.account, 'none of them took anything') FROM before;

-- an account that lacks XP, which only damage can take, is not taken from by half
SAVEPOINT damaged;
SELECT economy.register('pgtap revoked damaged') AS hurt \gset
SELECT code AS x FROM economy.grant_reward(:hurt, 'quest', 'q', 10, 10) \gset
UPDATE economy.accounts SET experience_points = 9 WHERE user_id = :hurt;
SELECT is(pg_temp.back(:hurt, 'RU-1'), 'f refused INSUFFICIENT_GOLD - 10 9 {"xp": 10, "gold": 10, "debt_xp": 1, "debt_gold": 0}', 'XP that are not there are a refusal');
ROLLBACK TO damaged;

SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s)', id), 'the chain of ' || name)
FROM (VALUES (:u, 'revoked'), (:other, 'stranger'), (:poor, 'spender'), (:parts, 'parts')) v (id, name);
SELECT is_empty(format('SELECT * FROM economy_internal.audit_rewards() WHERE user_id IN (%s, %s, %s)', :u, :other, :poor), 'and the audit finds nothing');
SELECT * FROM finish();
ROLLBACK;
