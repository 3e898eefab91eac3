-- economy.grant_reward(): what it grants, repeats, refuses and raises.
BEGIN;
SELECT no_plan();

SELECT economy.register('pgtap rewarded') AS u \gset
SELECT economy.register('pgtap bystander') AS other \gset
-- every answer in one line, the user's id as U
CREATE FUNCTION pg_temp.line(g economy.grant_result, id bigint) RETURNS text LANGUAGE sql AS
    $$ SELECT replace(concat_ws(' ', g.success, g.state, g.code, coalesce(g.transaction_id, '-'), g.gold_delta, g.xp_delta,
                      g.gold, g.experience_points, g.level, g.leveled_up, g.retry_after_ms, g.detail), id::text || '-', 'U-') $$;
CREATE FUNCTION pg_temp.give(id bigint, source text, event text, gold bigint DEFAULT 0, xp bigint DEFAULT 0, details jsonb DEFAULT NULL)
    RETURNS text LANGUAGE sql AS
    $$ SELECT pg_temp.line(g, id) FROM economy.grant_reward(id, source, event, gold, xp, details) g $$;
CREATE FUNCTION pg_temp.account(id bigint) RETURNS text LANGUAGE sql AS
    $$ SELECT concat_ws(' ', a.seq, a.gold, a.experience_points) FROM economy.accounts a WHERE a.user_id = id $$;

-- what a grant is
SELECT is(pg_temp.give(:u, 'quest', 'q1', 100, 499, '{"boss": "hydra"}'), 't new OK RU-1 100 499 100 499 1 f', 'a grant');
SELECT is(pg_temp.account(:u), '1 100 499', 'the account follows');
SELECT is((SELECT row(a.seq, a.gold_delta, a.xp_delta, a.gold, a.experience_points, a.reverses, a.streak_day, a.reward_day, a.claim_date,
                      a.freezes_used, a.grace_used, a.source, a.external_event_id, a.actor, a.reason, a.details)::text
           FROM economy.reward_audit a WHERE a.user_id = :u),
    '(1,100,499,100,499,,,,,,,quest,q1,,,"{""boss"": ""hydra""}")', 'the row of reward_audit is the grant');
SELECT is(pg_temp.give(:u, 'quest', 'q2', 0, 1), 't new OK RU-2 0 1 100 500 2 t', 'the XP that reach a level');
SELECT is(pg_temp.give(:u, 'quest', 'q3', 0, 499), 't new OK RU-3 0 499 100 999 2 f', 'the XP that just do not');
SELECT is(pg_temp.give(:u, 'quest', 'q4', 5, 1501), 't new OK RU-4 5 1501 105 2500 6 t', 'several levels at once');
SELECT is(pg_temp.give(:u, 'quest', 'q5'), 't new OK RU-5 0 0 105 2500 6 f', 'gold and XP are 0 unless given');
SELECT is(pg_temp.give(:u, 'other', 'q1', 1), 't new OK RU-6 1 0 106 2500 6 f', 'another source has its own events');
SELECT is(pg_temp.give(:other, 'quest', 'q1', 1), 't new OK RU-1 1 0 1 0 1 f', 'another user too');
SELECT is(pg_temp.account(:u), '6 106 2500', 'seq has no gap');

-- a repeated event
SELECT is(pg_temp.give(:u, 'quest', 'q1', 100, 499, '{"boss": "hydra"}'), 't reuse OK RU-1 100 499 100 499 1 f',
    'a repeat answers the first result, with the balances and level of then');
SELECT is(pg_temp.give(:u, 'quest', 'q2', 0, 1), 't reuse OK RU-2 0 1 100 500 2 t', 'leveled_up included');
SELECT is(pg_temp.give(:u, 'quest', 'q1', 101, 499, '{"boss": "hydra"}'), 'f refused IDEMPOTENCY_MISMATCH RU-1 {"now": 101, "field": "gold", "first": 100}', 'other gold');
SELECT is(pg_temp.give(:u, 'quest', 'q1', 100, 498, '{"boss": "hydra"}'), 'f refused IDEMPOTENCY_MISMATCH RU-1 {"now": 498, "field": "xp", "first": 499}', 'other XP');
SELECT is(pg_temp.give(:u, 'quest', 'q1', 100, 499, '{"boss": "lion"}'), 'f refused IDEMPOTENCY_MISMATCH RU-1 {"now": {"boss": "lion"}, "field": "details", "first": {"boss": "hydra"}}', 'other details');
SELECT is(pg_temp.give(:u, 'quest', 'q1', 100, 499), 'f refused IDEMPOTENCY_MISMATCH RU-1 {"now": null, "field": "details", "first": {"boss": "hydra"}}', 'no details where there were some');
SELECT is(pg_temp.give(:u, 'quest', 'q2', 0, 1, '{}'), 'f refused IDEMPOTENCY_MISMATCH RU-2 {"now": {}, "field": "details", "first": null}', 'details where there were none');
SELECT is(pg_temp.give(:u, 'quest', 'two', 1, 0, '{"a": 1, "b": 2}'), 't new OK RU-7 1 0 107 2500 6 f', 'details of two keys');
SELECT is(pg_temp.give(:u, 'quest', 'two', 1, 0, '{"b": 2.0, "a": 1}'), 't reuse OK RU-7 1 0 107 2500 6 f', 'are the same in another order');
SELECT is(pg_temp.account(:u), '7 107 2500', 'repeats and mismatches write nothing');
SELECT is(pg_temp.give(:u, 'Quest', 'q1', 1), 't new OK RU-8 1 0 108 2500 6 f', 'sources differ by case');
SELECT is(pg_temp.give(:u, 'quest', 'q1 ', 1), 't new OK RU-9 1 0 109 2500 6 f', 'events by a trailing space');

-- sizes at the limit
SELECT is(pg_temp.give(:u, repeat('s', 64), repeat('e', 255)), 't new OK RU-10 0 0 109 2500 6 f', 'a source of 64 bytes, an event of 255');
SELECT is(pg_temp.give(:u, 'big', 'd4096', 0, 0, jsonb_build_object('t', repeat('x', 4087))), 't new OK RU-11 0 0 109 2500 6 f', 'details of 4096 bytes');
SELECT is((SELECT octet_length(details::text) FROM economy.reward_audit WHERE user_id = :u AND external_event_id = 'd4096'), 4096, 'are stored');
SELECT is(pg_temp.give(:u, E'\u20ac', E'"\\\n\x01''; --'), 't new OK RU-12 0 0 109 2500 6 f', 'any text is an event');
SELECT is(pg_temp.give(:u, E'\u20ac', E'"\\\n\x01''; --'), 't reuse OK RU-12 0 0 109 2500 6 f', 'and found again');
SELECT is(pg_temp.give(:u, 'economy', 'e'), 't new OK RU-13 0 0 109 2500 6 f', 'only sources with the colon are reserved');
SELECT is(pg_temp.give(:u, 'Economy:x', 'e'), 't new OK RU-14 0 0 109 2500 6 f', 'and only in lower case');

-- bad arguments
CREATE TEMP TABLE before AS
    SELECT pg_temp.account(:u) AS account, (SELECT count(*) FROM economy.reward_audit) AS rewards;
SELECT throws_ok(replace(call, 'USER', :'u'), code, message, call)
FROM (VALUES
    ($$SELECT economy.grant_reward(NULL, 's', 'e')$$,                        'XE001', 'user_id must not be null'),
    ($$SELECT economy.grant_reward(USER, NULL, 'e')$$,                       'XE001', 'source must not be null'),
    ($$SELECT economy.grant_reward(USER, 's', NULL)$$,                       'XE001', 'external_event_id must not be null'),
    ($$SELECT economy.grant_reward(USER, 's', 'e', NULL)$$,                  'XE001', 'gold must not be null'),
    ($$SELECT economy.grant_reward(USER, 's', 'e', 1, NULL)$$,               'XE001', 'xp must not be null'),
    ($$SELECT economy.grant_reward(USER, '', 'e')$$,                         'XE002', 'source must not be empty'),
    ($$SELECT economy.grant_reward(USER, 's', '')$$,                         'XE002', 'external_event_id must not be empty'),
    ($$SELECT economy.grant_reward(USER, repeat('s', 65), 'e')$$,            'XE003', 'source is too long'),
    ($$SELECT economy.grant_reward(USER, repeat(E'\u20ac', 22), 'e')$$,      'XE003', 'source is too long'),
    ($$SELECT economy.grant_reward(USER, 's', repeat('e', 256))$$,           'XE003', 'external_event_id is too long'),
    ($$SELECT economy.grant_reward(USER, 's', repeat(E'\u20ac', 86))$$,      'XE003', 'external_event_id is too long'),
    ($$SELECT economy.grant_reward(USER, 's', 'e', -1)$$,                    'XE002', 'gold and xp must be from 0 to 2^53-1'),
    ($$SELECT economy.grant_reward(USER, 's', 'e', 0, -1)$$,                 'XE002', 'gold and xp must be from 0 to 2^53-1'),
    ($$SELECT economy.grant_reward(USER, 's', 'e', -9223372036854775808)$$,  'XE002', 'gold and xp must be from 0 to 2^53-1'),
    ($$SELECT economy.grant_reward(USER, 's', 'e', 9007199254740992)$$,      'XE002', 'gold and xp must be from 0 to 2^53-1'),
    ($$SELECT economy.grant_reward(USER, 's', 'e', 0, 9007199254740992)$$,   'XE002', 'gold and xp must be from 0 to 2^53-1'),
    ($$SELECT economy.grant_reward(USER, 's', 'e', 0, 9223372036854775807)$$, 'XE002', 'gold and xp must be from 0 to 2^53-1'),
    ($$SELECT economy.grant_reward(USER, 'economy:', 'e', 1)$$,              'XE401', 'sources that begin with "economy:" are reserved'),
    ($$SELECT economy.grant_reward(USER, 'economy:daily_streak', 'e', 1)$$,  'XE401', 'sources that begin with "economy:" are reserved'),
    ($$SELECT economy.grant_reward(USER, 'economy:mine', 'e', 1)$$,          'XE401', 'sources that begin with "economy:" are reserved'),
    ($$SELECT economy.grant_reward(USER, 's', 'e', 1, 1, '[]')$$,            'XE002', 'details must be a JSON object'),
    ($$SELECT economy.grant_reward(USER, 's', 'e', 1, 1, '"text"')$$,        'XE002', 'details must be a JSON object'),
    ($$SELECT economy.grant_reward(USER, 's', 'e', 1, 1, 'null')$$,          'XE002', 'details must be a JSON object'),
    ($$SELECT economy.grant_reward(USER, 's', 'e', 1, 1, '7')$$,             'XE002', 'details must be a JSON object'),
    ($$SELECT economy.grant_reward(USER, 's', 'e', 1, 1, jsonb_build_object('t', repeat('x', 4088)))$$, 'XE003', 'details is too long')
) v (call, code, message);

-- refusals are rows
SELECT is(pg_temp.give(m.id, 'quest', 'q1', 1), 'f refused USER_NOT_FOUND -', 'user ' || m.name)
FROM (VALUES (0::bigint, '0'), (-1, '-1'), (9223372036854775807, '2^63-1'), (-9223372036854775808, '-2^63')) m (id, name);
SELECT is(pg_temp.account(:u), before.account, 'no bad argument moved the account') FROM before;
SELECT is((SELECT count(*) FROM economy.reward_audit), before.rewards, 'or wrote a reward') FROM before;

-- the top of what a balance can be
SELECT economy.register('pgtap rich') AS rich \gset
SELECT is(pg_temp.give(:rich, 's', 'all', 9007199254740991, 9007199254740991),
    't new OK RU-1 9007199254740991 9007199254740991 9007199254740991 9007199254740991 2147483647 t', 'up to 2^53-1');
SELECT is(pg_temp.give(:rich, 's', 'gold', 1), 'f refused GOLD_OVERFLOW - 9007199254740991 9007199254740991', 'gold beyond it');
SELECT is(pg_temp.give(:rich, 's', 'xp', 0, 1), 'f refused GOLD_OVERFLOW - 9007199254740991 9007199254740991', 'XP beyond it');
SELECT is(pg_temp.give(:rich, 's', 'both', 9007199254740991, 9007199254740991), 'f refused GOLD_OVERFLOW - 9007199254740991 9007199254740991', 'both');
SELECT is(pg_temp.give(:rich, 's', 'none'), 't new OK RU-2 0 0 9007199254740991 9007199254740991 2147483647 f', 'nothing more still is a grant');
SELECT is(pg_temp.account(:rich), '2 9007199254740991 9007199254740991', 'refusals wrote nothing');
SELECT is((SELECT r.code || ' ' || r.state FROM economy.claim_daily_reward(:rich) r), 'GOLD_OVERFLOW refused', 'a daily claim that does not fit is refused');
SELECT is((SELECT count(*) FROM economy.streaks WHERE user_id = :rich), 0::bigint, 'and starts no streak');
SELECT is(pg_temp.give(:rich, 's', 'gold', 1), 'f refused GOLD_OVERFLOW - 9007199254740991 9007199254740991', 'a refused event is not used up');
SELECT is((SELECT code FROM economy.adjust_gold(:rich, -1, 'k', 'room', 'pgtap')), 'OK', 'after there is room');
SELECT is(pg_temp.give(:rich, 's', 'gold', 1), 't new OK RU-4 1 0 9007199254740991 9007199254740991 2147483647 f', 'it is granted');

-- a suspended user
SELECT is(economy.set_user_status(:other, 'suspended', 'pgtap'), 'suspended', 'suspend');
SELECT is(pg_temp.give(:other, 'quest', 'new', 1, 1), 'f refused USER_SUSPENDED - 1 0', 'is granted nothing');
SELECT is(pg_temp.give(:other, 'quest', 'q1', 1), 't reuse OK RU-1 1 0 1 0 1 f', 'may hear what was granted before');
SELECT is((SELECT r.code FROM economy.claim_daily_reward(:other) r), 'USER_SUSPENDED', 'claims nothing');
SELECT is((SELECT count(*) FROM economy.streaks WHERE user_id = :other), 0::bigint, 'and has no streak');
SELECT is(economy.set_user_status(:other, 'active', 'pgtap'), 'active', 'reactivate');
SELECT is(pg_temp.give(:other, 'quest', 'new', 1, 1), 't new OK RU-4 1 1 2 1 1 f', 'the refused event is granted then');

-- a savepoint takes the grant back, and its key
SAVEPOINT s;
SELECT is(pg_temp.give(:u, 'sp', 'e', 7), 't new OK RU-15 7 0 116 2500 6 f', 'a grant');
ROLLBACK TO SAVEPOINT s;
SELECT is(pg_temp.give(:u, 'sp', 'e', 8), 't new OK RU-15 8 0 117 2500 6 f', 'rolled back, the event is free for another amount');

-- a reward is for ever
SELECT throws_ok(format(call, :u), 'XE101', NULL, call)
FROM (VALUES ('UPDATE economy.reward_audit SET gold_delta = 1 WHERE user_id = %s'),
             ('DELETE FROM economy.reward_audit WHERE user_id = %s'),
             ('TRUNCATE economy.reward_audit /* %s */')) v (call);

SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s)', id), 'the chain of user ' || name)
FROM (VALUES (:u, 'rewarded'), (:other, 'bystander'), (:rich, 'rich')) v (id, name);
-- the items of a retry are compared, as what else it gives
SELECT i.kind AS x FROM economy.upsert_item('{"item_id": "pgtap_shell", "kind": "stack"}', 'pgtap') i \gset
SELECT economy.register('pgtap shells') AS shells \gset
SELECT is(r.code, v.says, coalesce(v.items, 'none')) FROM (VALUES (1, '{"pgtap_shell": 2}', 'OK'), (2, '{"pgtap_shell": 2}', 'OK'), (3, '{"pgtap_shell": 1}', 'IDEMPOTENCY_MISMATCH'), (4, '{"pgtap_shell": 3}', 'IDEMPOTENCY_MISMATCH'),
    (5, NULL, 'IDEMPOTENCY_MISMATCH'), (6, '{"pgtap_other": 2}', 'IDEMPOTENCY_MISMATCH')) v (n, items, says), economy.grant_reward(:shells, 'pgtap', 'shells', 1, 0, NULL, v.items::jsonb) r;
-- of two items each is looked at when they are taken back
SELECT i.kind AS x FROM economy.upsert_item('{"item_id": "pgtap_stone", "kind": "stack"}', 'pgtap') i \gset
SELECT r.transaction_id AS two FROM economy.grant_reward(:shells, 'pgtap', 'two', 0, 0, NULL, '{"pgtap_shell": 3, "pgtap_stone": 3}') r \gset
SELECT is(r.code, 'OK', 'some of one') FROM economy.revoke_reward(:shells, :'two', 'r', 'a', 0, 0, idempotency_key => 'some', items => '{"pgtap_shell": 2}') r;
SELECT is(r.code, 'EXCEEDS_REWARD', 'not more of it, whatever is left of the other') FROM economy.revoke_reward(:shells, :'two', 'r', 'a', 0, 0, idempotency_key => 'more', items => '{"pgtap_shell": 2, "pgtap_stone": 1}') r;
SELECT is(count(c.code), 2::bigint, 'both are used up') FROM economy.holdings(:shells) h, economy.consume(:shells, h.item_id, h.item_id, h.quantity) c WHERE h.item_id IN ('pgtap_shell', 'pgtap_stone') AND c.code = 'OK';
SELECT is((SELECT concat_ws(' ', r.code, r.detail -> 'debt_items') FROM economy.revoke_reward(:shells, :'two', 'r', 'a', 0, 0, 'take', 'rest') r), 'OK {"pgtap_shell": 1, "pgtap_stone": 3}', 'and what is not there is owed of both');
SELECT * FROM finish();
ROLLBACK;
