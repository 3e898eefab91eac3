-- economy.record_action(): outcomes, refusals, replays and misuse.
BEGIN;
SELECT no_plan();

SELECT economy.register('pgtap action') AS u \gset
SELECT economy.register('pgtap action rich') AS rich \gset
SELECT success AS x FROM economy.adjust_gold(:u, 1000, 'open', 'pgtap', 'pgtap') \gset
SELECT success AS x FROM economy.adjust_gold(:rich, 9007199254740991, 'open', 'pgtap', 'pgtap') \gset
CREATE FUNCTION pg_temp.me() RETURNS bigint LANGUAGE sql AS $$ SELECT economy.user_id_of('pgtap action') $$;
CREATE FUNCTION pg_temp.short(r economy.action_result) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', r.success::text, r.state, r.code, regexp_replace(r.transaction_id, E'^A\\d+-', '#'), coalesce(r.gold_delta::text, '-'),
                     coalesce(r.gold::text, '-'), 'total', coalesce(r.total::text, '-'), 'wins', coalesce(r.wins::text, '-'),
                     'losses', coalesce(r.losses::text, '-'), 'max', coalesce(r.max_win::text, '-'), r.detail) $$;
CREATE FUNCTION pg_temp.play(game text, type text, id text, bet bigint DEFAULT 0, win bigint DEFAULT 0, outcome text DEFAULT NULL, details jsonb DEFAULT NULL)
    RETURNS text LANGUAGE sql AS $$ SELECT pg_temp.short(r) FROM economy.record_action(pg_temp.me(), game, type, id, bet, win, outcome, details) r $$;

-- the outcome is derived or given, and counted
SELECT is(pg_temp.play(game, type, id, bet, win, outcome), want, what)
FROM (VALUES
    (1, 'slot',  'SLOT_SPIN',  'd1', 10, 25,  NULL,   'true new OK #2 15 1015 total 1 wins 1 losses 0 max 25', 'win > bet wins'),
    (2, 'slot',  'SLOT_SPIN',  'd2', 10, 9,   NULL,   'true new OK #3 -1 1014 total 2 wins 1 losses 1 max 25', 'win < bet loses'),
    (3, 'slot',  'SLOT_SPIN',  'd3', 10, 10,  NULL,   'true new OK #4 0 1014 total 3 wins 1 losses 1 max 25', 'equal is a draw'),
    (4, 'slot',  'SLOT_SPIN',  'd4', 0, 0,    'win',  'true new OK #5 0 1014 total 4 wins 2 losses 1 max 25', 'a given win without gold'),
    (5, 'slot',  'SLOT_SPIN',  'd5', 1, 7,    'loss', 'true new OK #6 6 1020 total 5 wins 2 losses 2 max 25', 'a given loss that pays'),
    (6, 'slot',  'SLOT_SPIN',  'd6', 50, 100, 'draw', 'true new OK #7 50 1070 total 6 wins 2 losses 2 max 100', 'a given draw that pays more than ever'),
    (7, 'crash', 'CRASH_JOIN', 'd1', 70, 0,   NULL,   'true new OK #8 -70 1000 total 1 wins 0 losses 1 max 0', 'another game has its own ids and figures'),
    (8, 'gacha', 'GACHA_SPIN', 'd1', 1000, 0, NULL,   'true new OK #9 -1000 0 total 1 wins 0 losses 1 max 0', 'a bet of all there is'),
    (9, 'rps',   'RPS_PLAY',   'd1', 0, 3,    NULL,   'true new OK #10 3 3 total 1 wins 1 losses 0 max 3', 'a win without a bet'),
    (10, 'rps',  'my own kind', 'd2', 0, 0,   NULL,   'true new OK #11 0 3 total 2 wins 1 losses 0 max 3', 'a plain event of an own type counts'),
    (11, 'slot', 'LOGIN',      'd7', 0, 0,    NULL,   'true new OK #12 0 3 total 7 wins 2 losses 2 max 100', 'a plain event')
) v (n, game, type, id, bet, win, outcome, want, what) ORDER BY n;
SELECT results_eq(format('SELECT game::text COLLATE "default", total, wins, losses, draws, max_win, bet_sum, win_sum FROM economy.game_stats WHERE user_id = %s ORDER BY game', :u),
    $$VALUES ('crash', 1::bigint, 0::bigint, 1::bigint, 0::bigint, 0::bigint, 70::bigint, 0::bigint), ('gacha', 1, 0, 1, 0, 0, 1000, 0),
             ('rps', 2, 1, 0, 1, 3, 0, 3), ('slot', 7, 2, 2, 3, 100, 81, 151)$$, 'the statistics');
SELECT is((SELECT string_agg(g.game, ' ') FROM economy.game_stats g WHERE g.user_id = :u AND g.last_action_at IS DISTINCT FROM
           (SELECT max(a.created_at) FROM economy.user_actions a WHERE a.user_id = :u AND a.game = g.game)), NULL, 'last_action_at is that of the newest action');
SELECT is((SELECT row(gold_delta, xp_delta, bet, win, outcome, game, action_type, action_id, details)::text FROM economy.user_actions WHERE user_id = :u AND seq = 7),
    '(50,0,50,100,draw,slot,SLOT_SPIN,d6,)', 'the entry');
SELECT ok((SELECT r.state = 'new' AND r.gold_delta = 0 FROM economy.record_action(:u, 'slot', 'T', 'defaults') r), 'all else has defaults');

-- refusals are returned, and move nothing
CREATE TEMP TABLE before AS SELECT a.seq, a.gold, a.head_hash, (SELECT sum(total) FROM economy.game_stats) AS games, (SELECT count(*) FROM economy.user_actions) AS actions
    FROM economy.accounts a WHERE a.user_id = :u;
SELECT is(pg_temp.play('chess', 'MOVE', 'c1'), 'false refused GAME_NOT_FOUND - 3 total - wins - losses - max - {"game": "chess"}', 'an unknown game');
SELECT is(pg_temp.play('Slot', 'MOVE', 'c1'), 'false refused GAME_NOT_FOUND - 3 total - wins - losses - max - {"game": "Slot"}', 'names of games have a case');
SELECT is(pg_temp.play('slot', 'S', 'r1', 4, 1000), 'false refused INSUFFICIENT_GOLD - 3 total - wins - losses - max - {"bet": 4, "gold": 3}', 'a bet beyond the gold, although it would win');
SELECT is(pg_temp.play('slot', 'S', 'r1', 9007199254740991, 0), 'false refused INSUFFICIENT_GOLD - 3 total - wins - losses - max - {"bet": 9007199254740991, "gold": 3}', 'a bet far beyond');
SELECT is(pg_temp.play('slot', 'S', 'r1', 0, 9007199254740991), 'false refused GOLD_OVERFLOW - 3 total - wins - losses - max - {"gold": 3, "at_most": 9007199254740991}', 'a win that no account can hold');
SELECT is(pg_temp.short(r), 'false refused GOLD_OVERFLOW - 9007199254740991 total - wins - losses - max - {"gold": 9007199254740991, "at_most": 9007199254740991}', 'one more than the most')
FROM economy.record_action(:rich, 'slot', 'S', 'o1', 0, 1) r;
SELECT is(pg_temp.short(r), 'true new OK #2 0 9007199254740991 total 1 wins 0 losses 0 max 9007199254740991', 'the largest bet and win are exact')
FROM economy.record_action(:rich, 'slot', 'S', 'o2', 9007199254740991, 9007199254740991) r;
SELECT is(pg_temp.short(r), 'false refused USER_NOT_FOUND - - total - wins - losses - max -', 'user ' || id)
FROM (VALUES (-1), (0), (9223372036854775807), (-9223372036854775808)) v (id), economy.record_action(id::bigint, 'slot', 'S', 'k') r;
SELECT economy.set_user_status(:u, 'suspended', 'pgtap') AS x \gset
SELECT is(pg_temp.play('slot', 'S', 'r1'), 'false refused USER_SUSPENDED - 3 total - wins - losses - max -', 'a suspended user');
SELECT is(pg_temp.play('slot', 'SLOT_SPIN', 'd1', 10, 25), 'true reuse OK #2 15 1015 total 8 wins 2 losses 2 max 100', 'whose replays are still answered');
SELECT economy.set_user_status(:u, 'active', 'pgtap') AS x \gset
SELECT is((SELECT row(a.seq, a.gold)::text FROM economy.accounts a WHERE a.user_id = :u), row(b.seq + 2, b.gold)::text, 'the account has the two changes of status more') FROM before b;
SELECT is((SELECT count(*) FROM economy.user_actions), b.actions + 1, 'no entry but the one') FROM before b;
SELECT is((SELECT sum(total) FROM economy.game_stats), b.games + 1, 'nothing else was counted') FROM before b;
SELECT is(pg_temp.play('slot', 'S', 'r1', 3, 1), 'true new OK #16 -2 1 total 9 wins 2 losses 3 max 100', 'an id that was refused can be used');

-- a replay returns the first result, with today's statistics
SELECT is(pg_temp.play('slot', 'SLOT_SPIN', 'd6', 50, 100, 'draw'), 'true reuse OK #7 50 1070 total 9 wins 2 losses 3 max 100', 'a replay');
SELECT is(pg_temp.play('slot', 'SLOT_SPIN', 'd1', 10, 25, 'win'), 'true reuse OK #2 15 1015 total 9 wins 2 losses 3 max 100', 'a replay that spells the derived outcome out');
SELECT is(pg_temp.play('slot', 'T', 'det', 0, 0, NULL, '{"b": [1, 2], "a": null}'), 'true new OK #17 0 1 total 10 wins 2 losses 3 max 100', 'with details');
SELECT is(pg_temp.play('slot', 'T', 'det', 0, 0, NULL, '{"a": null,  "b": [1,2]}'), 'true reuse OK #17 0 1 total 10 wins 2 losses 3 max 100', 'the same details in another spelling');
SELECT is(pg_temp.play('slot', 'T', 'det', 0, 0, 'draw', '{"a": null, "b": [1, 2.0]}'), 'true reuse OK #17 0 1 total 10 wins 2 losses 3 max 100', 'and with a number in another');
SELECT is(pg_temp.play('slot', type, 'm', bet, win, outcome, details::jsonb), coalesce('false refused IDEMPOTENCY_MISMATCH #18 - - total - wins - losses - max - ' || jsonb_build_object('field', field,
              'first', '{"action_type": "T", "bet": 1, "win": 2, "outcome": "win", "details": {"a": 1}}'::jsonb -> field,
              'now', jsonb_build_object('action_type', type, 'bet', bet, 'win', win, 'outcome', outcome, 'details', details::jsonb) -> field)::text || left(field, 0),
              'true new OK #18 1 2 total 11 wins 3 losses 3 max 100'), 'mismatch, with the first entry and both values: ' || coalesce(field || ' ' || what, 'the first call'))
FROM (VALUES
    (0, 'T', 1, 2, NULL,   '{"a": 1}', NULL, ''),
    (1, 'X', 1, 2, NULL,   '{"a": 1}', 'action_type', ''),
    (2, 't', 1, 2, NULL,   '{"a": 1}', 'action_type', 'in case'),
    (3, 'TT', 1, 2, NULL,  '{"a": 1}', 'action_type', 'in length'),
    (4, 'T', 0, 2, NULL,   '{"a": 1}', 'bet', ''),
    (5, 'T', 1, 3, NULL,   '{"a": 1}', 'win', ''),
    (6, 'T', 2, 3, NULL,   '{"a": 1}', 'bet', 'with the same difference'),
    (7, 'T', 1, 2, 'draw', '{"a": 1}', 'outcome', ''),
    (8, 'T', 1, 2, 'loss', '{"a": 1}', 'outcome', ''),
    (9, 'T', 1, 2, NULL,   NULL,       'details', 'absent'),
    (10, 'T', 1, 2, NULL,  '{}',       'details', 'empty'),
    (11, 'T', 1, 2, NULL,  '{"a": 2}', 'details', ''),
    (12, 'T', 1, 2, NULL,  '{"a": "1"}', 'details', 'of another type'),
    (13, 'X', 9, 9, 'loss', NULL,      'action_type', 'and all others')
) v (n, type, bet, win, outcome, details, field, what) ORDER BY n;
SELECT is(pg_temp.play('slot', 'S', 'd1', 10, 25), 'false refused IDEMPOTENCY_MISMATCH #2 - - total - wins - losses - max - {"now": "S", "field": "action_type", "first": "SLOT_SPIN"}', 'mismatch of an older one');
SELECT is(pg_temp.play('slot', 'T', 'defaults', 0, 0, NULL, '{}'), 'false refused IDEMPOTENCY_MISMATCH #13 - - total - wins - losses - max - {"now": {}, "field": "details", "first": null}', 'details where there were none');
SELECT is(pg_temp.play('slot', 'T', 'D1'), 'true new OK #19 0 2 total 12 wins 3 losses 3 max 100', 'ids have a case');
SELECT is(pg_temp.play('slot', 'T', 'd1 '), 'true new OK #20 0 2 total 13 wins 3 losses 3 max 100', 'and spaces');
SELECT is(pg_temp.short(r), 'true new OK #3 0 9007199254740991 total 2 wins 0 losses 0 max 9007199254740991', 'ids are the user''s own')
FROM economy.record_action(:rich, 'slot', 'S', 'd1', 0, 0) r;

-- own games
SELECT is(economy.register_game('pgtap chess'), 'pgtap chess', 'a game is registered');
SELECT is(pg_temp.play('pgtap chess', 'MOVE', 'c1'), 'true new OK #21 0 2 total 1 wins 0 losses 0 max 0', 'and can be played');
SELECT is(economy.register_game('pgtap chess', '{"board": 8}'), 'pgtap chess', 'again, with rules');
SELECT is((SELECT row(rules, builtin)::text FROM economy.games WHERE game = 'pgtap chess'), '("{""board"": 8}",f)', 'which are kept');
SELECT throws_ok($$SELECT economy.register_game('slot', '{"reels": 3}')$$, 'XE002', NULL, 'a built-in game takes no rules');
SELECT is(economy.register_game('slot'), 'slot', 'but is registered');
SELECT is((SELECT string_agg(game, ' ' ORDER BY game) FROM economy.games WHERE builtin), 'crash gacha rps slot', 'and stays one of four');
SELECT is(economy.register_game(repeat('g', 64)), repeat('g', 64), 'a name of 64 bytes');
SELECT ok((SELECT r.state = 'new' FROM economy.record_action(:u, repeat('g', 64), repeat('t', 64), repeat('i', 255)) r), 'the longest texts');
SELECT ok((SELECT r.state = 'reuse' FROM economy.record_action(:u, repeat('g', 64), repeat('t', 64), repeat('i', 255)) r), 'are found again');
SELECT throws_ok(call, CASE WHEN message ~ 'null$' THEN 'XE001' ELSE 'XE002' END, message, call)
FROM (VALUES ($$SELECT economy.register_game(NULL)$$,                'name must not be null'),
             ($$SELECT economy.register_game('')$$,                  'a game''s name has 1 to 64 bytes'),
             ($$SELECT economy.register_game(repeat('x', 65))$$,     'a game''s name has 1 to 64 bytes'),
             ($$SELECT economy.register_game(repeat(E'\u20ac', 22))$$, 'a game''s name has 1 to 64 bytes'),
             ($$SELECT economy.register_game('x', NULL)$$,           'rules must not be null'),
             ($$SELECT economy.register_game('x', '[]')$$,           'rules must be a JSON object'),
             ($$SELECT economy.register_game('x', 'null')$$,         'rules must be a JSON object')) v (call, message);

-- details of just 4096 bytes, and of one more
SELECT ok((SELECT r.state = 'new' FROM economy.record_action(:u, 'slot', 'T', 'big', 0, 0, NULL, jsonb_build_object('t', repeat('x', 4087))) r), 'details of 4096 bytes');
SELECT is((SELECT octet_length(details::text) FROM economy.user_actions WHERE user_id = :u AND action_id = 'big'), 4096, 'are stored');

-- misuse raises and writes nothing
CREATE TEMP TABLE counted AS SELECT (SELECT a FROM economy.accounts a WHERE a.user_id = :u)::text AS account,
    (SELECT count(*) FROM economy.user_actions) AS actions, (SELECT sum(total) FROM economy.game_stats) AS games;
SELECT throws_ok(replace(call, 'USER', :'u'), code, message, call)
FROM (VALUES
    ($$SELECT economy.record_action(NULL, 'slot', 't', 'i')$$,                       'XE001', 'user_id must not be null'),
    ($$SELECT economy.record_action(USER, NULL, 't', 'i')$$,                         'XE001', 'game must not be null'),
    ($$SELECT economy.record_action(USER, 'slot', NULL, 'i')$$,                      'XE001', 'action_type must not be null'),
    ($$SELECT economy.record_action(USER, 'slot', 't', NULL)$$,                      'XE001', 'action_id must not be null'),
    ($$SELECT economy.record_action(USER, 'slot', 't', 'i', NULL)$$,                 'XE001', 'bet must not be null'),
    ($$SELECT economy.record_action(USER, 'slot', 't', 'i', 0, NULL)$$,              'XE001', 'win must not be null'),
    ($$SELECT economy.record_action(USER, '', 't', 'i')$$,                           'XE002', 'game must not be empty'),
    ($$SELECT economy.record_action(USER, 'slot', '', 'i')$$,                        'XE002', 'action_type must not be empty'),
    ($$SELECT economy.record_action(USER, 'slot', 't', '')$$,                        'XE002', 'action_id must not be empty'),
    ($$SELECT economy.record_action(USER, repeat('x', 65), 't', 'i')$$,              'XE003', 'game is too long'),
    ($$SELECT economy.record_action(USER, repeat(E'\u20ac', 22), 't', 'i')$$,        'XE003', 'game is too long'),
    ($$SELECT economy.record_action(USER, 'slot', repeat('x', 65), 'i')$$,           'XE003', 'action_type is too long'),
    ($$SELECT economy.record_action(USER, 'slot', 't', repeat('x', 256))$$,          'XE003', 'action_id is too long'),
    ($$SELECT economy.record_action(USER, 'slot', 't', repeat(E'\u20ac', 85) || 'x')$$, 'XE003', 'action_id is too long'),
    ($$SELECT economy.record_action(USER, 'slot', 't', 'i', -1)$$,                   'XE002', 'bet and win must be from 0 to 2^53-1'),
    ($$SELECT economy.record_action(USER, 'slot', 't', 'i', 0, -1)$$,                'XE002', 'bet and win must be from 0 to 2^53-1'),
    ($$SELECT economy.record_action(USER, 'slot', 't', 'i', 9007199254740992)$$,     'XE002', 'bet and win must be from 0 to 2^53-1'),
    ($$SELECT economy.record_action(USER, 'slot', 't', 'i', 0, 9007199254740992)$$,  'XE002', 'bet and win must be from 0 to 2^53-1'),
    ($$SELECT economy.record_action(USER, 'slot', 't', 'i', 9223372036854775807, 9223372036854775807)$$, 'XE002', 'bet and win must be from 0 to 2^53-1'),
    ($$SELECT economy.record_action(USER, 'slot', 't', 'i', -9223372036854775808, 0)$$, 'XE002', 'bet and win must be from 0 to 2^53-1'),
    ($$SELECT economy.record_action(USER, 'slot', 't', 'i', 0, 0, 'won')$$,          'XE002', 'outcome must be win, loss or draw'),
    ($$SELECT economy.record_action(USER, 'slot', 't', 'i', 0, 0, '')$$,             'XE002', 'outcome must be win, loss or draw'),
    ($$SELECT economy.record_action(USER, 'slot', 't', 'i', 0, 0, 'WIN')$$,          'XE002', 'outcome must be win, loss or draw'),
    ($$SELECT economy.record_action(USER, 'slot', 't', 'i', 0, 0, 'wins')$$,         'XE002', 'outcome must be win, loss or draw'),
    ($$SELECT economy.record_action(USER, 'slot', 't', 'i', 0, 0, 'wi')$$,           'XE002', 'outcome must be win, loss or draw'),
    ($$SELECT economy.record_action(USER, 'slot', 't', 'i', 0, 0, repeat('win', 9999))$$, 'XE002', 'outcome must be win, loss or draw'),
    ($$SELECT economy.record_action(USER, 'slot', 't', 'i', 0, 0, NULL, '[]')$$,     'XE002', 'details must be a JSON object'),
    ($$SELECT economy.record_action(USER, 'slot', 't', 'i', 0, 0, NULL, 'null')$$,   'XE002', 'details must be a JSON object'),
    ($$SELECT economy.record_action(USER, 'slot', 't', 'i', 0, 0, NULL, '7')$$,      'XE002', 'details must be a JSON object'),
    ($$SELECT economy.record_action(USER, 'slot', 't', 'i', 0, 0, NULL, jsonb_build_object('t', repeat('x', 4088)))$$, 'XE003', 'details is too long'),
    ($$SELECT economy.record_action(-1, 'slot', 't', 'i', -1)$$,                     'XE002', 'bet and win must be from 0 to 2^53-1'),
    ($$SELECT economy.record_action(USER, 'chess', 't', 'i', 0, 0, 'won')$$,         'XE002', 'outcome must be win, loss or draw'),
    ($$SELECT economy.game_stats_me(NULL)$$,                                         'XE001', 'user_id must not be null'),
    ($$SELECT * FROM economy.rollup_stats(0)$$,                                      'XE002', 'max_users must be 1 or more'),
    ($$SELECT * FROM economy.rollup_stats(NULL)$$,                                   'XE001', 'max_users must not be null')
) v (call, code, message);
SELECT is((SELECT a FROM economy.accounts a WHERE a.user_id = :u)::text, c.account, 'misuse leaves the account alone') FROM counted c;
SELECT is((SELECT count(*) FROM economy.user_actions), c.actions, 'and the journal') FROM counted c;
SELECT is((SELECT sum(total) FROM economy.game_stats), c.games, 'and the statistics') FROM counted c;

SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s)', id), 'the chain is clean') FROM (VALUES (:u), (:rich)) v (id);
SELECT is_empty('SELECT * FROM economy.stats_parity()', 'statistics equal the entries');

SELECT * FROM finish();
ROLLBACK;
