-- economy.record_actions(): order of the answers, bad elements, repeats inside a batch, both inputs.
BEGIN;
SELECT no_plan();

SELECT economy.register('pgtap plays a') AS a \gset
SELECT economy.register('pgtap plays b') AS b \gset
SELECT economy.register('pgtap plays c') AS c \gset
SELECT count(*) AS x FROM unnest(ARRAY[:a, :b, :c]) u, economy.adjust_gold(u, 100, 'open', 'pgtap', 'pgtap') \gset
CREATE FUNCTION pg_temp.batch(template text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT replace(replace(replace(concat_ws(' ', r.state, r.code, coalesce(r.transaction_id, '-'), r.gold_delta, r.gold, 'of', r.total, r.wins, r.losses, r.max_win, r.detail),
                   'A' || economy.user_id_of('pgtap plays a') || '-', 'A'),
                   'A' || economy.user_id_of('pgtap plays b') || '-', 'B'),
                   'A' || economy.user_id_of('pgtap plays c') || '-', 'C')
    FROM economy.record_actions(replace(replace(replace(template,
                   '"a"', economy.user_id_of('pgtap plays a')::text),
                   '"b"', economy.user_id_of('pgtap plays b')::text),
                   '"c"', economy.user_id_of('pgtap plays c')::text)::jsonb) r $$;
CREATE FUNCTION pg_temp.state() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', a.seq, a.gold, (SELECT sum(g.total) FROM economy.game_stats g WHERE g.user_id = a.user_id),
                                (SELECT count(*) FROM economy.user_actions t WHERE t.user_id = a.user_id)), ', ' ORDER BY a.user_id)
    FROM economy.accounts a WHERE a.user_id IN (economy.user_id_of('pgtap plays a'), economy.user_id_of('pgtap plays b'),
                                                economy.user_id_of('pgtap plays c')) $$;

SELECT results_eq($$SELECT * FROM pg_temp.batch('[
    {"user_id": "c", "game": "slot", "action_type": "SLOT_SPIN", "action_id": "1", "bet": 10, "win": 30},
    {"user_id": "a", "game": "slot", "action_type": "SLOT_SPIN", "action_id": "1", "bet": 20},
    {"user_id": "b", "game": "rps", "action_type": "RPS_PLAY", "action_id": "1"},
    {"user_id": "a", "game": "crash", "action_type": "CRASH_JOIN", "action_id": "1", "win": 5, "outcome": "draw"},
    {"user_id": "c", "game": "slot", "action_type": "SLOT_SPIN", "action_id": "2", "bet": 1, "details": {"reel": [1, 2]}, "outcome": null},
    {"user_id": "a", "game": "slot", "action_type": "SLOT_SPIN", "action_id": "2", "win": 7, "details": null}]')$$,
    ARRAY['new OK C2 20 120 of 1 1 0 30', 'new OK A2 -20 80 of 1 0 1 0', 'new OK B2 0 100 of 1 0 0 0',
          'new OK A3 5 85 of 1 0 0 5', 'new OK C3 -1 119 of 2 1 1 30', 'new OK A4 7 92 of 2 1 1 7'],
    'a row per element, in their order, with the statistics as of that element');
SELECT is(pg_temp.state(), '4 92 3 3, 2 100 1 1, 3 119 2 2', 'accounts and statistics follow');
SELECT is((SELECT string_agg(details::text, ' ') FROM economy.user_actions WHERE user_id IN (:a, :b, :c)), '{"reel": [1, 2]}', 'details are stored, null details are none');

SELECT results_eq($$SELECT * FROM pg_temp.batch('[
    {"user_id": "b", "game": "slot", "action_type": "S", "action_id": "x", "bet": 5, "win": 1},
    {"user_id": "b", "game": "slot", "action_type": "S", "action_id": "x", "bet": 5, "win": 1},
    {"user_id": "b", "game": "slot", "action_type": "S", "action_id": "x", "bet": 5, "win": 2},
    {"user_id": "b", "game": "rps", "action_type": "RPS_PLAY", "action_id": "1"},
    {"user_id": "b", "game": "rps", "action_type": "S", "action_id": "x", "bet": 5, "win": 1},
    {"user_id": "b", "game": "slot", "action_type": "S", "action_id": "y", "win": 1}]')$$,
    ARRAY['new OK B3 -4 96 of 1 0 1 1', 'reuse OK B3 -4 96 of 1 0 1 1', 'refused IDEMPOTENCY_MISMATCH B3 of {"now": 2, "field": "win", "first": 1}',
          'reuse OK B2 0 100 of 1 0 0 0', 'new OK B4 -4 92 of 2 0 1 1', 'new OK B5 1 93 of 2 1 1 1'],
    'an id repeated within a batch, from an earlier one, and in another game');
SELECT is((SELECT r.state || ' ' || split_part(r.transaction_id, '-', 2) FROM economy.record_action(:b, 'slot', 'S', 'y', 0, 1) r), 'reuse 5', 'a single call knows the batch''s ids');
SELECT is((SELECT string_agg(r.state, ' ') FROM economy.record_actions(jsonb_build_array(
        jsonb_build_object('user_id', :a, 'game', 'rps', 'action_type', 'x', 'action_id', 'same'),
        jsonb_build_object('user_id', :b, 'game', 'rps', 'action_type', 'x', 'action_id', 'same'))) r), 'new new', 'one id of two users is two actions');

SELECT results_eq($$SELECT * FROM pg_temp.batch('[
    {"user_id": "a", "game": "slot", "action_type": "S", "action_id": "o1", "win": 9007199254740991},
    {"user_id": -5,  "game": "slot", "action_type": "S", "action_id": "o1"},
    {"user_id": "a", "game": "slot", "action_type": "S", "action_id": "o2", "bet": 92},
    {"user_id": "a", "game": "slot", "action_type": "S", "action_id": "o3", "bet": 1},
    {"user_id": "a", "game": "chess", "action_type": "S", "action_id": "o4"},
    {"user_id": "a", "game": "slot", "action_type": "S", "action_id": "o5", "win": 2},
    {"user_id": "a", "game": "slot", "action_type": "S", "action_id": "o3", "bet": 1}]')$$,
    ARRAY['refused GOLD_OVERFLOW - 92 of {"gold": 92, "at_most": 9007199254740991}', 'refused USER_NOT_FOUND - of', 'new OK A6 -92 0 of 3 1 2 7', 'refused INSUFFICIENT_GOLD - 0 of {"bet": 1, "gold": 0}',
          'refused GAME_NOT_FOUND - 0 of {"game": "chess"}', 'new OK A7 2 2 of 4 2 2 7', 'new OK A8 -1 1 of 5 2 3 7'],
    'a refusal refuses one element only; gold is that of the moment');
SELECT economy.set_user_status(:c, 'suspended', 'pgtap') AS x \gset
SELECT results_eq($$SELECT * FROM pg_temp.batch('[
    {"user_id": "c", "game": "slot", "action_type": "S", "action_id": "s"},
    {"user_id": "b", "game": "slot", "action_type": "S", "action_id": "s"},
    {"user_id": "c", "game": "slot", "action_type": "SLOT_SPIN", "action_id": "1", "bet": 10, "win": 30}]')$$,
    ARRAY['refused USER_SUSPENDED - 119 of', 'new OK B7 0 93 of 3 1 1 1', 'reuse OK C2 20 120 of 2 1 1 30'], 'a suspended user in a batch, and his replay');
SELECT is_empty($$SELECT * FROM pg_temp.batch('[]')$$, 'an empty batch');

-- arrays
CREATE FUNCTION pg_temp.brief(r economy.action_result) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', r.state, r.code, split_part(r.transaction_id, '-', 2), r.gold_delta, r.gold, 'of', r.total, r.wins, r.losses, r.max_win, r.detail) $$;
SELECT results_eq(format($$SELECT pg_temp.brief(r) FROM economy.record_actions(ARRAY[%1$s, %2$s, %1$s], '{gacha,gacha,gacha}', '{P,P,P}', '{r1,r1,r2}', '{1,0,2}', '{0,4,9}', ARRAY[NULL, 'draw', 'loss'],
                              ARRAY[NULL, NULL, '{"k": 1}']::jsonb[]) r$$, :b, :a),
    ARRAY['new OK 8 -1 92 of 1 0 1 0', 'new OK 9 4 5 of 1 0 0 4', 'new OK 9 7 99 of 2 0 2 9'], 'arrays, a row for each in their order');
SELECT is((SELECT array_agg(concat_ws(' ', action_type, bet, win, outcome, details) ORDER BY user_id, seq) FROM economy.user_actions WHERE user_id IN (:a, :b) AND game = 'gacha'),
    ARRAY['P 0 4 draw', 'P 1 0 loss', 'P 2 9 loss {"k": 1}'], 'are stored as what they are');
SELECT results_eq(format($$SELECT pg_temp.brief(r) FROM economy.record_actions(action_ids => ARRAY['r3', 'r1', 'r1'], user_ids => '{%1$s,%1$s,%1$s}', games => '[7:9]={gacha,gacha,gacha}', action_types => '{P,P,P}',
                              bets => '{0,1,3}') r$$, :b),
    ARRAY['new OK 10 0 99 of 3 0 2 9', 'reuse OK 8 -1 92 of 3 0 2 9', 'refused IDEMPOTENCY_MISMATCH 8 of {"now": 3, "field": "bet", "first": 1}'], 'whatever the bounds and the order of the arguments');
SELECT is_empty($$SELECT * FROM economy.record_actions('{}', '{}', '{}', '{}')$$, 'arrays of nothing');

-- as many games as actions, known and unknown, in any order: each with its own figures
SELECT count(*) AS x FROM generate_series(1, 40) n, economy.register_game('pgtap g' || n) \gset
SELECT is((SELECT string_agg(concat_ws(' ', r.code, r.total, r.detail ->> 'game'), ', ' ORDER BY n)
           FROM economy.record_actions((SELECT jsonb_agg(jsonb_build_object('user_id', :b, 'game', 'pgtap g' || n * 37 % 50 + 1, 'action_type', 'S', 'action_id', n::text) ORDER BY n)
                                        FROM generate_series(0, 149) n)) WITH ORDINALITY r (s, st, code, t, gd, g, total, w, l, m, ra, detail, n)),
    (SELECT string_agg(CASE WHEN g <= 40 THEN 'OK ' || n / 50 + 1 ELSE 'GAME_NOT_FOUND pgtap g' || g END, ', ' ORDER BY n)
     FROM generate_series(0, 149) n, LATERAL (SELECT n * 37 % 50 + 1) v (g)), 'a batch of 50 games, ten of them unknown');

-- many users, games and repeats at once: every answer in its place, every statistics row written once
CREATE TEMP TABLE crowd AS SELECT n AS place, economy.register('pgtap crowd ' || n) AS u FROM generate_series(0, 49) n;
CREATE TEMP TABLE sent AS
    SELECT n, u, (ARRAY['slot', 'rps', 'gacha', 'crash'])[n % 1900 / 50 % 4 + 1] AS game, 'a' || n % 1900 AS id, n % 1900 * 3 % 7 AS win
    FROM generate_series(0, 1999) n JOIN crowd c ON c.place = n % 1900 * 7 % 50;
SELECT is((SELECT count(*) FROM economy.record_actions((SELECT jsonb_agg(jsonb_build_object('user_id', u, 'game', game, 'action_type', 'S', 'action_id', id, 'win', win) ORDER BY n) FROM sent))
           WITH ORDINALITY r JOIN sent s ON s.n = r.ordinality - 1
           WHERE r.gold_delta = s.win AND r.transaction_id LIKE 'A' || s.u || '-%' AND r.state = CASE WHEN s.n < 1900 THEN 'new' ELSE 'reuse' END),
    2000::bigint, 'a batch of 2000 with 100 repeats');
SELECT is((SELECT sum(total) FROM economy.game_stats g JOIN crowd c ON c.u = g.user_id), 1900::numeric, 'counts 1900 of them');
SELECT is((SELECT count(*) FROM economy.accounts g JOIN crowd c ON c.u = g.user_id WHERE g.xmin::text::bigint <> pg_current_xact_id()::text::bigint % 4294967296), 0::bigint, 'in rows of this transaction');
SELECT is_empty('SELECT v.* FROM crowd c, economy.verify_chain(c.u) v', 'all their chains are clean');

-- known ones among new ones, of users with few entries and of one with many
SELECT is((SELECT string_agg(concat_ws(' ', state, code, n), ', ' ORDER BY state) FROM (
               SELECT r.state, r.code, count(*) AS n FROM economy.record_actions((
                   SELECT jsonb_agg(jsonb_build_object('user_id', u, 'game', game, 'action_type', 'S', 'action_id', CASE WHEN n % 3 = 0 THEN 'more ' || n ELSE id END, 'win', win) ORDER BY n)
                   FROM sent WHERE n < 1900)) r GROUP BY 1, 2) q),
    'new OK 634, reuse OK 1266', 'two of three are known');
SELECT is((SELECT sum(total) FROM economy.game_stats g JOIN crowd c ON c.u = g.user_id), 2534::numeric, 'and counted once');
SELECT count(*) AS x FROM generate_series(1, 200) n, economy.record_action(:b, 'slot', 'S', 'long ' || n) \gset
SELECT is((SELECT string_agg(r.state, ' ' ORDER BY r.n) FROM economy.record_actions(array_fill(:b::bigint, ARRAY[6]), array_fill('slot'::text, ARRAY[6]), array_fill('S'::text, ARRAY[6]),
               ARRAY(SELECT 'long ' || 196 + i FROM generate_series(1, 6) i)) WITH ORDINALITY r (s, state, code, t, gd, g, total, w, l, m, ra, detail, n)),
    'reuse reuse reuse reuse new new', 'fewer at once than the user has');
SELECT is((SELECT string_agg(state || ' ' || c, ', ' ORDER BY state) FROM (SELECT r.state, count(*) AS c FROM economy.record_actions(array_fill(:b::bigint, ARRAY[300]), array_fill('slot'::text, ARRAY[300]),
               array_fill('S'::text, ARRAY[300]), ARRAY(SELECT 'long ' || 101 + i FROM generate_series(1, 300) i)) r GROUP BY 1) q),
    'new 199, reuse 101', 'and more than he has');

-- one bad element takes all back
CREATE TEMP TABLE before AS SELECT pg_temp.state() AS state, (SELECT count(*) FROM economy.user_actions) AS actions, (SELECT sum(total) FROM economy.game_stats) AS games;
CREATE FUNCTION pg_temp.with_good(template text) RETURNS text LANGUAGE sql AS $$
    SELECT replace(replace(template, 'GOOD', '{"user_id": "b", "game": "slot", "action_type": "S", "action_id": "good", "win": 1}'),
                   'BASE', '"user_id": 1, "game": "slot", "action_type": "t", "action_id": "i"') $$;
SELECT throws_ok(format('SELECT * FROM pg_temp.batch(%L)', pg_temp.with_good(batch)), code, message, left(batch, 80))
FROM (VALUES
    ('{}',                                             'XE002', 'actions must be a JSON array of objects'),
    ('{BASE}',                                         'XE002', 'actions must be a JSON array of objects'),
    ('null',                                           'XE002', 'actions must be a JSON array of objects'),
    ('"text"',                                         'XE002', 'actions must be a JSON array of objects'),
    ('17',                                             'XE002', 'actions must be a JSON array of objects'),
    ('[' || repeat('{},', 1000000) || '{}]',           'XE002', 'actions must be at most 1000000 objects'),
    ('[1]',                                            'XE002', 'action 1 is not a JSON object'),
    ('[[]]',                                           'XE002', 'action 1 is not a JSON object'),
    ('[null]',                                         'XE002', 'action 1 is not a JSON object'),
    ('[GOOD, "x"]',                                    'XE002', 'action 2 is not a JSON object'),
    ('[GOOD, {}]',                                     'XE002', 'action 2: user_id must be a number'),
    ('[GOOD, GOOD, {"game": "slot", "action_type": "t", "action_id": "i"}]', 'XE002', 'action 3: user_id must be a number'),
    ('[GOOD, {"user_id": "seven", "game": "slot", "action_type": "t", "action_id": "i"}]', 'XE002', 'action 2: user_id must be a whole number'),
    ('[GOOD, {"user_id": null, "game": "slot", "action_type": "t", "action_id": "i"}]', 'XE002', 'action 2: user_id must be a number'),
    ('[GOOD, {"user_id": 1.5, "game": "slot", "action_type": "t", "action_id": "i"}]', 'XE002', 'action 2: user_id must be a whole number'),
    ('[GOOD, {"user_id": 1e30, "game": "slot", "action_type": "t", "action_id": "i"}]', 'XE002', 'action 2: user_id must be a number that fits bigint'),
    ('[GOOD, {"user_id": 1, "action_type": "t", "action_id": "i"}]', 'XE002', 'action 2: game must be a text'),
    ('[GOOD, {"user_id": 1, "game": null, "action_type": "t", "action_id": "i"}]', 'XE002', 'action 2: game must be a text'),
    ('[GOOD, {"user_id": 1, "game": "", "action_type": "t", "action_id": "i"}]', 'XE003', 'action 2: game must have 1 to 64 bytes'),
    ('[GOOD, {"user_id": 1, "game": "' || repeat('g', 65) || '", "action_type": "t", "action_id": "i"}]', 'XE003', 'action 2: game must have 1 to 64 bytes'),
    ('[GOOD, {"user_id": 1, "game": "slot", "action_id": "i"}]', 'XE002', 'action 2: action_type must be a text'),
    ('[GOOD, {"user_id": 1, "game": "slot", "action_type": "' || repeat('t', 65) || '", "action_id": "i"}]', 'XE003', 'action 2: action_type must have 1 to 64 bytes'),
    ('[GOOD, {"user_id": 1, "game": "slot", "action_type": "t"}]', 'XE002', 'action 2: action_id must be a text'),
    ('[GOOD, {"user_id": 1, "game": "slot", "action_type": "t", "action_id": 5}]', 'XE002', 'action 2: action_id must be a text'),
    ('[GOOD, {"user_id": 1, "game": "slot", "action_type": "t", "action_id": "' || repeat('i', 256) || '"}]', 'XE003', 'action 2: action_id must have 1 to 255 bytes'),
    ('[GOOD, {BASE, "bet": "5.0"}]',                   'XE002', 'action 2: bet must be a whole number'),
    ('[GOOD, {BASE, "bet": null}]',                    'XE002', 'action 2: bet must be a number'),
    ('[GOOD, {BASE, "win": 0.5}]',                     'XE002', 'action 2: win must be a whole number'),
    ('[GOOD, {BASE, "win": 9223372036854775808}]',     'XE002', 'action 2: win must be a number that fits bigint'),
    ('[GOOD, {BASE, "bet": 1e1000}]',                  'XE002', 'action 2: bet must be a number that fits bigint'),
    ('[GOOD, {BASE, "bet": -1}]',                      'XE002', 'action 2: bet and win must be from 0 to 2^53-1'),
    ('[GOOD, {BASE, "win": 9007199254740992}]',        'XE002', 'action 2: bet and win must be from 0 to 2^53-1'),
    ('[GOOD, {BASE, "outcome": "won"}]',               'XE002', 'outcome must be win, loss or draw'),
    ('[GOOD, {BASE, "outcome": 1}]',                   'XE002', 'action 2: outcome must be a text'),
    ('[GOOD, {BASE, "outcome": ""}]',                  NULL, NULL),
    ('[GOOD, {BASE, "details": []}]',                  'XE002', 'action 2: details must be a JSON object'),
    ('[GOOD, {BASE, "details": "x"}]',                 'XE002', 'action 2: details must be a JSON object'),
    ('[GOOD, {BASE, "details": {"t": "' || repeat('x', 4088) || '"}}]', 'XE003', 'action 2: details has more than 4096 bytes as text'),
    ('[GOOD, {BASE, "amount": 1}]',                    'XE002', 'action 2 has an unknown key'),
    ('[{BASE, "Bet": 1}, GOOD]',                       'XE002', 'action 1 has an unknown key'),
    ('[GOOD, {BASE, "gold": null}]',                   'XE002', 'action 2 has an unknown key')
) v (batch, code, message);
SELECT throws_ok('SELECT economy.record_actions(NULL)', 'XE001', 'actions must not be null', 'no batch at all');
SELECT throws_ok(format('SELECT economy.record_actions(%s)', arguments), code, message, left(arguments, 80))
FROM (VALUES
    ($$NULL, '{g}', '{t}', '{i}'$$,                      'XE001', 'user_ids must not be null'),
    ($$'{1}', NULL, '{t}', '{i}'$$,                      'XE001', 'games must not be null'),
    ($$'{1}', '{g}', NULL, '{i}'$$,                      'XE001', 'action_types must not be null'),
    ($$'{1}', '{g}', '{t}', NULL$$,                      'XE001', 'action_ids must not be null'),
    ($$'{1,NULL}', '{g,g}', '{t,t}', '{i,i}'$$,          'XE001', 'action 2: user_id must not be null'),
    ($$'{1,1}', '{g,NULL}', '{t,t}', '{i,i}'$$,          'XE001', 'action 2: game must not be null'),
    ($$'{1,1}', '{g,g}', '{t,NULL}', '{i,i}'$$,          'XE001', 'action 2: action_type must not be null'),
    ($$'{1,1}', '{g,g}', '{t,t}', '{i,NULL}'$$,          'XE001', 'action 2: action_id must not be null'),
    ($$'{1,1}', '{g,g}', '{t,t}', '{i,i}', '{1,NULL}'$$, 'XE001', 'action 2: bet must not be null'),
    ($$'{1,1}', '{g,g}', '{t,t}', '{i,i}', NULL, '{1,NULL}'$$, 'XE001', 'action 2: win must not be null'),
    ($$'{1,1}', '{g}', '{t,t}', '{i,i}'$$,               'XE002', 'games has 1 elements where user_ids has 2'),
    ($$'{1}', '{g}', '{t}', '{i}', '{}'$$,               'XE002', 'bets has 0 elements where user_ids has 1'),
    ($$'{1}', '{g}', '{t}', '{i}', '{1}', '{1}', '{win,win}'$$, 'XE002', 'outcomes has 2 elements where user_ids has 1'),
    ($$'{1}', '{g}', '{t}', '{i}', '{1}', '{1}', '{win}', '{null,null}'$$, 'XE002', 'details has 2 elements where user_ids has 1'),
    ($$'{{1,1}}', '{g,g}', '{t,t}', '{i,i}'$$,           'XE002', 'user_ids must be at most 1000000 elements in one dimension'),
    ($$'{1,1}', ARRAY['g', repeat('g', 65)], '{t,t}', '{i,i}'$$, 'XE003', 'action 2: game must have 1 to 64 bytes'),
    ($$'{1,1}', '{g,g}', '{t,""}', '{i,i}'$$,            'XE003', 'action 2: action_type must have 1 to 64 bytes'),
    ($$'{1,1}', '{g,g}', '{t,t}', ARRAY['i', repeat('i', 256)]$$, 'XE003', 'action 2: action_id must have 1 to 255 bytes'),
    ($$'{1,1}', '{g,g}', '{t,t}', '{i,i}', '{0,-1}'$$,   'XE002', 'action 2: bet and win must be from 0 to 2^53-1'),
    ($$'{1,1}', '{g,g}', '{t,t}', '{i,i}', wins => '{0,9007199254740992}'$$, 'XE002', 'action 2: bet and win must be from 0 to 2^53-1'),
    ($$'{1,1}', '{g,g}', '{t,t}', '{i,i}', outcomes => '{win,won}'$$, 'XE002', 'outcome must be win, loss or draw'),
    ($$'{1,1}', '{g,g}', '{t,t}', '{i,i}', details => ARRAY['{}', '[]']::jsonb[]$$, 'XE002', 'action 2: details must be a JSON object')
) v (arguments, code, message);
SELECT is(pg_temp.state(), b.state, 'none of them moved an account') FROM before b;
SELECT is((SELECT count(*) FROM economy.user_actions), b.actions, 'or wrote an action') FROM before b;
SELECT is((SELECT sum(total) FROM economy.game_stats), b.games, 'or counted one') FROM before b;

SELECT is((SELECT r.gold_delta FROM economy.record_actions(format('[{"user_id": %s, "game": "slot", "action_type": "S", "action_id": "whole", "win": 12e1}]', :a)::jsonb) r),
    120::bigint, 'a whole number in another spelling');
SELECT is((SELECT r.code FROM economy.record_actions(jsonb_build_array(jsonb_build_object('user_id', :a, 'game', economy.register_game(repeat('g', 64)),
        'action_type', repeat('t', 64), 'action_id', repeat('i', 255)))) r), 'OK', 'texts of just the length allowed');

-- where a DBA's trigger looks on, each is written before the next one is made: what it counts goes into
-- the account each time, or into its row
CREATE FUNCTION pg_temp.look_on() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER pgtap AFTER INSERT ON economy.user_actions FOR EACH ROW EXECUTE FUNCTION pg_temp.look_on();
SELECT economy.register('pgtap plays watched') AS d \gset
SELECT count(economy.register_game('pgtap watched ' || repeat('w', 48) || n)) AS x FROM generate_series(10, 29) n \gset
SELECT is((SELECT string_agg(DISTINCT r.code, ' ') FROM economy.record_actions((SELECT jsonb_agg(jsonb_build_object('user_id', :d::bigint, 'game', 'pgtap watched ' || repeat('w', 48) || n, 'action_type', 't', 'action_id', i::text, 'win', i) ORDER BY i, n)
    FROM generate_series(10, 29) n, generate_series(1, 3) i)) r), 'OK', 'actions that somebody looks on');
SELECT is((SELECT count(*) || ' ' || count(*) FILTER (WHERE g.total = 3 AND g.wins = 3 AND g.win_sum = 6) || ' ' || (SELECT count(*) > 0 FROM economy_internal.game_stats_more m WHERE m.user_id = :d) FROM economy.game_stats g WHERE g.user_id = :d),
    '20 20 true', 'all of which are counted');
DROP TRIGGER pgtap ON economy.user_actions;
SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s)', id), 'the chain of ' || name) FROM (VALUES (:a, 'a'), (:b, 'b'), (:c, 'c')) v (id, name);
SELECT is_empty('SELECT * FROM economy.stats_parity()', 'statistics equal the entries');
SELECT * FROM finish();
ROLLBACK;
