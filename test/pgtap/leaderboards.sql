-- Leaderboards: upsert_leaderboard(), refresh_leaderboards(), leaderboard(), rank_of(), leaderboard_of(), leaderboard_info(), leaderboard_parity(), pay_leaderboard_prizes(), retry_leaderboard_prizes().
BEGIN;
SELECT no_plan();

SELECT set_config('economy.test_clock', '2031-03-05 12:00:00+00', true) AS x \gset
-- what others have made would be refreshed as well
UPDATE economy.leaderboards SET active = false;
CREATE TEMP TABLE player AS SELECT w, economy.register('pgtap board ' || w, profile => jsonb_build_object('name', w)) AS id FROM unnest(ARRAY['a', 'b', 'c', 'd', 'e']) w;
SELECT count(*) AS x FROM player p, economy.adjust_gold(p.id, 1000000, 'open', 'pgtap', 'pgtap') \gset
SELECT count(*) AS x FROM economy.register_game('pgtap_dice') \gset
SELECT count(*) AS x FROM (VALUES ('{"item_id": "pgtap_gem", "kind": "stack"}'), ('{"item_id": "pgtap_pass", "kind": "pass"}')) v (i), economy.upsert_item(i::jsonb, 'pgtap') \gset
CREATE FUNCTION pg_temp.id(who text) RETURNS bigint LANGUAGE sql AS $$ SELECT p.id FROM player p WHERE p.w = who $$;
CREATE TEMP SEQUENCE key;
-- so many games won, and lost, at a time
CREATE FUNCTION pg_temp.play(clock text, who text, game text, wins int, losses int DEFAULT 0, win bigint DEFAULT 10) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('economy.test_clock', clock, true);
    RETURN (SELECT count(*) FROM economy.record_actions((SELECT jsonb_agg(jsonb_build_object('user_id', pg_temp.id(who), 'game', game, 'action_type', 'T', 'action_id', 'k' || nextval('key'),
        'bet', 2, 'win', CASE WHEN n <= wins THEN play.win ELSE 0 END)) FROM generate_series(1, wins + losses) n)) r WHERE r.success);
END
$$;
-- as the jobs do, until nothing is left
CREATE FUNCTION pg_temp.refresh(size int DEFAULT 2000) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    r    record;
    sum  bigint := 0;
    turn int := 0;
BEGIN
    -- a period that the first one finds at its end is closed by the second
    FOR n IN 1 .. 2 LOOP
        WHILE (SELECT s.users FROM economy.rollup_stats() s) > 0 LOOP
        END LOOP;
        LOOP
            SELECT * INTO r FROM economy.refresh_leaderboards(size);
            sum := sum + r.written;
            turn := turn + 1;
            EXIT WHEN NOT r.more OR turn > 1000;
        END LOOP;
    END LOOP;
    RETURN sum || CASE WHEN turn > 1000 THEN ' and no end' ELSE '' END;
END
$$;
CREATE FUNCTION pg_temp.brief(b economy.leaderboard_row) RETURNS text LANGUAGE sql AS $$ SELECT concat_ws(' ', b.rank, b.profile ->> 'name', b.figure) $$;
CREATE FUNCTION pg_temp.board(name text, day date DEFAULT NULL, n int DEFAULT 100, after bigint[] DEFAULT NULL) RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(pg_temp.brief(l), ', ') FROM economy.leaderboard(name, n, after, day) l $$;
CREATE FUNCTION pg_temp.around(name text, who text, around int DEFAULT 0, day date DEFAULT NULL) RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(pg_temp.brief(l), ', ') FROM economy.rank_of(name, pg_temp.id(who), around, day) l $$;
CREATE FUNCTION pg_temp.states(name text) RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(concat_ws(' ', to_char(i.first_day, 'MM-DD'), to_char(i.last_day, 'MM-DD'), i.state, i.users), ', ') FROM economy.leaderboard_info(name) i $$;
CREATE FUNCTION pg_temp.differs() RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(concat_ws(' ', d.board, to_char(d.first_day, 'MM-DD'), p.w, d.what, d.expected, d.actual), ', ' ORDER BY d.board, d.first_day, p.w, d.what) FROM economy.leaderboard_parity(lagging => true) d LEFT JOIN player p ON p.id = d.user_id $$;

-- the catalogue
SELECT is(b::text, '(pgtap_wins,wins,,,all,,,f,1,active,,t,[],{},{})', 'a board needs a figure and a period') FROM economy.upsert_leaderboard('{"board": "pgtap_wins", "figure": "wins", "period": "all"}', 'ann') b;
SELECT is(b::text, '(pgtap_wins,wins,,,all,,,f,1,active,3,t,[],"{""en"": {""name"": ""Wins""}}","{""icon"": 1}")', 'what is shown, and what is kept, can be changed')
FROM economy.upsert_leaderboard('{"board": "pgtap_wins", "figure": "wins", "keep": 3, "texts": {"en": {"name": "Wins"}}, "extra": {"icon": 1}}', 'bob') b;
SELECT results_eq($$SELECT c.action, c.actor, c.after ->> 'keep' FROM economy.config_changes c WHERE c.relation = 'leaderboards' AND c.key = 'pgtap_wins' ORDER BY c.change_no$$,
    $$VALUES ('create', 'ann', NULL), ('change', 'bob', '3')$$, 'each change is recorded');
CREATE FUNCTION pg_temp.wrong(board jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    code   text;
    detail text;
BEGIN
    PERFORM economy.upsert_leaderboard('{"board": "pgtap_new", "figure": "wins", "period": "day"}'::jsonb || board, 'ann');
    RETURN 'nothing';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, detail = PG_EXCEPTION_DETAIL;
    RETURN code || ' ' || detail;
END
$$;
SELECT is(pg_temp.wrong(given::jsonb), 'XE503 ' || says || '.', given)
FROM (VALUES
    ('{"board": ""}', 'board must have 1 to 64 bytes'),
    ('{"figure": "luck"}', 'figure must be wins, max_win, win_sum, bet_sum, net, total, win_rate, xp, streak or item'),
    ('{"figure": null}', 'figure must not be null'),
    ('{"period": "year"}', 'period must be all, day, week, month or season'),
    ('{"colour": 1}', '"colour" is no such column that can be set'),
    ('{"game": "pgtap_none"}', 'no game is called "pgtap_none"'),
    ('{"figure": "item", "period": "all"}', 'the figure item, and no other, has an item_id'),
    ('{"item_id": "pgtap_gem"}', 'the figure item, and no other, has an item_id'),
    ('{"figure": "item", "period": "all", "item_id": "pgtap_pass"}', 'no item that is counted in units is called "pgtap_pass"'),
    ('{"figure": "xp"}', 'xp, streak and item are what a user has now: of the period all, without game and min_games'),
    ('{"min_games": 0}', 'min_games must be 1 or more'),
    ('{"audience": "friends"}', 'audience must be active or all'),
    ('{"keep": 0}', 'keep must be 1 or more'),
    ('{"first_day": "2031-03-01"}', 'a season, and nothing else, has a first_day and a last_day that is no earlier'),
    ('{"period": "season"}', 'a season, and nothing else, has a first_day and a last_day that is no earlier'),
    ('{"period": "season", "first_day": "2031-03-02", "last_day": "2031-03-01"}', 'a season, and nothing else, has a first_day and a last_day that is no earlier'),
    ('{"period": "season", "first_day": "today", "last_day": "2032-03-01"}', 'first_day must be a day like 2026-01-31'),
    ('{"period": "all", "prizes": [{"upto": 1, "gold": 1}]}', 'the period all never ends and has no prizes'),
    ('{"prizes": {}}', 'prizes must be a JSON array'),
    ('{"texts": {"en": "Wins"}}', 'texts must be a JSON object of languages, each with an object'),
    ('{"extra": []}', 'extra must be a JSON object'),
    ('{"board": "pgtap_wins", "figure": "net"}', 'figure is fixed when a leaderboard is made')) v (given, says);
SELECT is(pg_temp.wrong(jsonb_build_object('prizes', jsonb_build_array('{"upto": 1, "gold": 1}'::jsonb, prize::jsonb))),
    'XE503 tier 2 of prizes must have upto (a rank) or percent (above 0, to 100), and gold, xp (0 to 2^53-1) or items.', prize)
FROM (VALUES ('1'), ('{}'), ('{"upto": 1}'), ('{"gold": 1}'), ('{"upto": 1, "percent": 1, "gold": 1}'), ('{"upto": 0, "gold": 1}'), ('{"upto": 1.5, "gold": 1}'), ('{"percent": 0, "gold": 1}'),
    ('{"percent": 100.1, "gold": 1}'), ('{"upto": 1, "gold": -1}'), ('{"upto": 1, "gold": 9007199254740992}'), ('{"upto": "1", "gold": 1}'), ('{"upto": 1, "gold": 1, "gem": 1}'), ('{"upto": 1, "items": []}'), ('{"upto": 1, "items": null}')) v (prize);
SELECT is(pg_temp.wrong(jsonb_build_object('prizes', jsonb_build_array(jsonb_build_object('upto', 1, 'items', items::jsonb)))), 'XE503 tier 1 of prizes: "' || item || '" must be 1 to 2^53-1 of an item that there is.', items)
FROM (VALUES ('{"pgtap_none": 1}', 'pgtap_none'), ('{"pgtap_gem": 0}', 'pgtap_gem'), ('{"pgtap_gem": 1.5}', 'pgtap_gem'), ('{"pgtap_gem": "1"}', 'pgtap_gem'), ('{"pgtap_gem": 9007199254740992}', 'pgtap_gem')) v (items, item);
SELECT is(pg_temp.wrong(jsonb_build_object('prizes', jsonb_build_array(jsonb_build_object('upto', 1, 'items', items)))),
    'XE503 items of tier 1 of prizes must be an object of 1 to 16 items, each with a whole number from 1 to 2^53-1.', 'what could not be paid is no prize: ' || items::text) FROM (VALUES ('{}'::jsonb), ('{"pgtap_gem": 1.0}')) v (items);
SELECT is((SELECT count(*) FROM economy.leaderboards WHERE board LIKE 'pgtap%'), 1::bigint, 'and none was made');
SELECT throws_ok(format('SELECT economy.upsert_leaderboard(%L, ''ann'')', board), 'XE503', NULL, 'no board: ' || board) FROM (VALUES ('[]'), ('{}'), ('null'), ('{"board": null}')) v (board);
SELECT throws_ok(call, 'XE504', NULL, call) FROM (VALUES ('SELECT economy.leaderboard(''pgtap_none'')'), ('SELECT economy.rank_of(''pgtap_none'', 1)'), ('SELECT economy.leaderboard_of(''pgtap_none'', ''{}'')'), ('SELECT economy.retry_leaderboard_prizes(''pgtap_none'')')) v (call);
SELECT throws_ok(call, 'XE002', NULL, call) FROM (VALUES ('SELECT economy.leaderboard(''pgtap_wins'', 0)'), ('SELECT economy.leaderboard(''pgtap_wins'', 1, ''{1}'')'), ('SELECT economy.leaderboard(''pgtap_wins'', 1, ''{1,NULL}'')'),
    ('SELECT economy.rank_of(''pgtap_wins'', 1, -1)'), ('SELECT economy.leaderboard_of(''pgtap_wins'', array_fill(1, ''{10001}'')::bigint[])'), ('SELECT economy.refresh_leaderboards(0)'), ('SELECT economy.pay_leaderboard_prizes(0)')) v (call);

-- of all figures, games and periods: what they are of five users in ten days
SELECT count(*) AS x FROM (VALUES
    ('{"board": "pgtap_dice", "figure": "wins", "period": "all", "game": "pgtap_dice"}'), ('{"board": "pgtap_day", "figure": "wins", "period": "day"}'),
    ('{"board": "pgtap_week", "figure": "win_sum", "period": "week"}'), ('{"board": "pgtap_month", "figure": "net", "period": "month"}'),
    ('{"board": "pgtap_season", "figure": "total", "period": "season", "first_day": "2031-03-06", "last_day": "2031-03-09"}'),
    ('{"board": "pgtap_max", "figure": "max_win", "period": "week"}'), ('{"board": "pgtap_bets", "figure": "bet_sum", "period": "all"}'),
    ('{"board": "pgtap_rate", "figure": "win_rate", "period": "all", "min_games": 3}'), ('{"board": "pgtap_least", "figure": "total", "period": "all", "ascending": true, "audience": "all"}'),
    ('{"board": "pgtap_xp", "figure": "xp", "period": "all"}'), ('{"board": "pgtap_streak", "figure": "streak", "period": "all"}'),
    ('{"board": "pgtap_gems", "figure": "item", "item_id": "pgtap_gem", "period": "all"}')) v (b), economy.upsert_leaderboard(b::jsonb, 'ann') \gset
SELECT is(pg_temp.play(clock, who, game, wins, losses, win), (wins + losses)::bigint, clock) FROM (VALUES
    ('2031-03-02 23:59:59.999999+00', 'a', 'slot', 3, 1, 100), ('2031-03-03 00:00:00+00', 'a', 'slot', 1, 0, 10), ('2031-03-05 13:00:00+00', 'a', 'pgtap_dice', 2, 2, 10),
    ('2031-03-05 13:00:00+00', 'b', 'slot', 2, 0, 10), ('2031-03-05 23:59:59.999999+00', 'c', 'slot', 1, 2, 50)) v (clock, who, game, wins, losses, win);
SELECT is(count(*), 4::bigint, 'rewards') FROM (VALUES ('a', 10), ('b', 30), ('c', 10), ('d', 0)) v (who, xp), economy.grant_reward(pg_temp.id(who), 'pgtap', 'e', 0, xp) r WHERE r.success;
SELECT is(count(*), 2::bigint, 'items') FROM (VALUES ('e', 7), ('d', 9)) v (who, n), economy.grant_items(pg_temp.id(who), jsonb_build_object('pgtap_gem', n), 'r', 'k') r WHERE r.success;
SELECT is((SELECT r.code FROM economy.claim_daily_reward(pg_temp.id('d')) r), 'CLAIMED', 'a claim');
SELECT is(pg_temp.board('pgtap_wins'), NULL, 'a board that is not filled yet has no rows');
SELECT is(pg_temp.states('pgtap_wins'), 'filling 0', 'and says so');
SELECT set_config('economy.test_clock', '2031-03-05 23:59:59.999999+00', true) AS x \gset
SELECT cmp_ok(pg_temp.refresh(3)::int, '>', 20, 'a refresh fills all, three users at a time');
SELECT is(pg_temp.board(b), rows, b) FROM (VALUES
    ('pgtap_wins', '1 a 6, 2 b 2, 3 c 1'), ('pgtap_dice', '1 a 2'), ('pgtap_day', '1 a 2, 1 b 2, 3 c 1'), ('pgtap_week', '1 c 50, 2 a 30, 3 b 20'), ('pgtap_month', '1 a 312, 2 c 44, 3 b 16'), ('pgtap_season', NULL),
    ('pgtap_max', '1 c 50, 2 a 10, 2 b 10'), ('pgtap_bets', '1 a 18, 2 c 6, 3 b 4'), ('pgtap_rate', '1 a 666666, 2 c 333333'), ('pgtap_least', '1 b 2, 2 c 3, 3 a 9'), ('pgtap_xp', '1 d 50, 2 b 30, 3 a 10, 3 c 10'),
    ('pgtap_streak', '1 d 1'), ('pgtap_gems', '1 d 9, 2 e 7')) v (b, rows);
SELECT is(pg_temp.differs(), NULL, 'parity');
SELECT is(pg_temp.refresh(), '0', 'and nothing is written again');
SELECT is(pg_temp.states(b), says, 'periods of ' || b) FROM (VALUES ('pgtap_wins', 'counting 3'), ('pgtap_day', '03-06 03-06 coming 0, 03-05 03-05 counting 3'), ('pgtap_week', '03-10 03-16 coming 0, 03-03 03-09 counting 3'),
    ('pgtap_month', '04-01 04-30 coming 0, 03-01 03-31 counting 3'), ('pgtap_season', '03-06 03-09 coming 0')) v (b, says);

-- who reads: pages, neighbours, friends
SELECT is(pg_temp.board('pgtap_xp', NULL, 2), '1 d 50, 2 b 30', 'the first page');
SELECT is(pg_temp.board('pgtap_xp', NULL, 1, ARRAY[30, pg_temp.id('b')]), '3 a 10', 'and the next ones');
SELECT is(pg_temp.board('pgtap_xp', NULL, 2, ARRAY[10, pg_temp.id('a')]), '3 c 10', 'from within a rank');
SELECT is(pg_temp.board('pgtap_xp', NULL, 2, ARRAY[10, pg_temp.id('c')]), NULL, 'to the end');
SELECT is(pg_temp.board('pgtap_least', NULL, 2, ARRAY[2, pg_temp.id('b')]), '2 c 3, 3 a 9', 'of one where less is better');
SELECT is(pg_temp.around('pgtap_xp', who, n), says, format('%s and %s around', who, n)) FROM (VALUES ('a', 0, '3 a 10'), ('a', 1, '2 b 30, 3 a 10, 3 c 10'), ('c', 1, '3 a 10, 3 c 10'), ('d', 5, '1 d 50, 2 b 30, 3 a 10, 3 c 10'), ('e', 3, NULL)) v (who, n, says);
SELECT is((SELECT string_agg(pg_temp.brief(l), ', ') FROM economy.leaderboard_of('pgtap_xp', ARRAY[pg_temp.id('c'), pg_temp.id('e'), pg_temp.id('b'), pg_temp.id('c'), NULL, -1]) l), '1 b 30, 2 c 10', 'friends among themselves');
SELECT is((SELECT row(l.*)::text FROM economy.rank_of('pgtap_gems', pg_temp.id('e')) l), format('(2,%s,7,"pgtap board e","{""name"": ""e""}")', pg_temp.id('e')), 'all that is told of a user');

-- what changes is moved; who is suspended is off, and comes back
SELECT economy.set_user_status(pg_temp.id('b'), 'suspended', 'pgtap', reason => 'pgtap') AS x \gset
SELECT is((SELECT r.code FROM economy.consume(pg_temp.id('d'), 'pgtap_gem', 'k', 2) r), 'OK', 'items are used up');
SELECT isnt(pg_temp.differs(), NULL, 'what no refresh has seen differs');
SELECT is(pg_temp.refresh() || ': ' || concat_ws(' | ', pg_temp.board('pgtap_wins'), pg_temp.board('pgtap_least'), pg_temp.board('pgtap_gems')), '8: 1 a 6, 2 c 1 | 1 b 2, 2 c 3, 3 a 9 | 1 d 7, 1 e 7', 'off those of active users');
SELECT economy.set_user_status(pg_temp.id('b'), 'active', 'pgtap', reason => 'pgtap') AS x \gset
SELECT is((SELECT r.code FROM economy.consume(pg_temp.id('d'), 'pgtap_gem', 'k2', 7) r), 'OK', 'to the last one');
SELECT is(pg_temp.refresh() || ': ' || concat_ws(' | ', pg_temp.board('pgtap_wins'), pg_temp.board('pgtap_gems')), '8: 1 a 6, 2 b 2, 3 c 1 | 1 e 7', 'and on again; who has none is off');
SELECT is(pg_temp.differs(), NULL, 'parity');

-- the next day, and an action of the day before that is rolled up late
SELECT is(pg_temp.play('2031-03-06 00:00:00+00', 'b', 'slot', 4), 4::bigint, 'the next day');
SELECT is(pg_temp.play('2031-03-05 23:59:59+00', 'b', 'slot', 1), 1::bigint, 'and one more of the day before, by a clock that goes back');
SELECT is(b.board, 'pgtap_day', 'prizes') FROM economy.upsert_leaderboard('{"board": "pgtap_day", "prizes": [{"upto": 1, "gold": 500}, {"percent": 60, "gold": 50, "xp": 5, "items": {"pgtap_gem": 3}}]}', 'ann') b;
SELECT set_config('economy.test_clock', '2031-03-06 00:00:01+00', true) AS x \gset
SELECT is((SELECT more FROM economy.refresh_leaderboards()), false, 'a refresh before the rollup');
SELECT is(pg_temp.states('pgtap_day'), '03-07 03-07 coming 0, 03-06 03-06 counting 0, 03-05 03-05 ended 3', 'does not close the day');
SELECT cmp_ok(pg_temp.refresh()::int, '>', 0, 'one after it');
SELECT is(pg_temp.states('pgtap_day'), '03-07 03-07 coming 0, 03-06 03-06 counting 1, 03-05 03-05 closed 3', 'does');
SELECT is(pg_temp.board('pgtap_day') || ' | ' || pg_temp.board('pgtap_day', '2031-03-05') || ' | ' || pg_temp.board('pgtap_season') || ' | ' || pg_temp.around('pgtap_day', 'c', 1, '2031-03-05'),
    '1 b 4 | 1 b 3, 2 a 2, 3 c 1 | 1 b 4 | 2 a 2, 3 c 1', 'both days can be read');
SELECT is(pg_temp.differs(), NULL, 'parity');
SELECT is(pg_temp.play('2031-03-05 23:59:59+00', 'c', 'slot', 9), 9::bigint, 'what comes when it is closed');
SELECT set_config('economy.test_clock', '2031-03-06 00:00:02+00', true) AS x \gset
SELECT cmp_ok(pg_temp.refresh()::int, '>', 0, 'changes other boards');
SELECT is(pg_temp.board('pgtap_day', '2031-03-05') || ' | ' || pg_temp.board('pgtap_wins'), '1 b 3, 2 a 2, 3 c 1 | 1 c 10, 2 b 7, 3 a 6', 'but not the result');
SELECT is(pg_temp.differs(), NULL, 'which is no difference');

-- prizes: paid once, in batches
CREATE FUNCTION pg_temp.paid() RETURNS text LANGUAGE sql AS $$ SELECT string_agg(concat_ws(' ', p.w, r.external_event_id, r.gold_delta, r.xp_delta, r.details), ', ' ORDER BY r.gold_delta DESC)
    FROM economy.reward_audit r JOIN player p ON p.id = r.user_id WHERE r.source = 'economy:leaderboard' $$;
SELECT is((SELECT concat_ws(' ', paid, refused, more) FROM economy.pay_leaderboard_prizes(1)), '1 0 t', 'the first');
SELECT is(pg_temp.paid(), 'b pgtap_day:2031-03-05 500 0 {"rank": 1, "board": "pgtap_day", "figure": 3, "first_day": "2031-03-05"}', 'has the first prize');
SELECT is(pg_temp.differs(), NULL, 'parity, when some are paid');
SELECT is((SELECT concat_ws(' ', paid, refused, more) FROM economy.pay_leaderboard_prizes(1)), '1 0 t', 'the second, of three the last in 60 percent');
SELECT is((SELECT concat_ws(' ', paid, refused, more) FROM economy.pay_leaderboard_prizes(1)), '0 0 f', 'the third has none');
SELECT is((SELECT concat_ws(' ', paid, refused, more) FROM economy.pay_leaderboard_prizes(1)), '0 0 f', 'and that is all');
SELECT is(pg_temp.paid(), 'b pgtap_day:2031-03-05 500 0 {"rank": 1, "board": "pgtap_day", "figure": 3, "first_day": "2031-03-05"}, a pgtap_day:2031-03-05 50 5 {"rank": 2, "board": "pgtap_day", "figure": 2, "first_day": "2031-03-05"}', 'each once');
SELECT is((SELECT concat_ws(' ', p.paid, p.refused, to_char(p.paid_at AT TIME ZONE 'UTC', 'MM-DD HH24:MI:SS')) FROM economy.leaderboard_periods p WHERE p.board = 'pgtap_day' AND p.first_day = '2031-03-05'), '2 0 03-06 00:00:02', 'which is noted');
SELECT is(pg_temp.refresh() || ': ' || pg_temp.board('pgtap_gems'), '2: 1 e 7, 2 a 3', 'a prize can be XP and items');
SELECT is(pg_temp.differs(), NULL, 'parity, when all are paid');
UPDATE economy.leaderboard_periods SET paid_at = NULL, paid_place = NULL, paid_user = NULL, paid = 0 WHERE board = 'pgtap_day' AND first_day = '2031-03-05';
SELECT is((SELECT concat_ws(' ', paid, refused, more) FROM economy.pay_leaderboard_prizes()), '0 0 f', 'whoever loses count pays nobody twice');
SELECT is(length(pg_temp.paid()), 205, 'none has more');
SELECT throws_ok(format('SELECT economy.grant_reward(%s, ''economy:leaderboard'', ''mine'', 1)', pg_temp.id('a')), 'XE401', NULL, 'nobody else pays in this name');
UPDATE economy.leaderboard_periods SET paid = 2 WHERE board = 'pgtap_day' AND first_day = '2031-03-05';

-- a prize that is refused does not stop the others
SELECT economy.set_user_status(pg_temp.id('b'), 'suspended', 'pgtap', reason => 'pgtap') AS x \gset
SELECT set_config('economy.test_clock', '2031-03-07 00:00:00+00', true) AS x \gset
SELECT is(b.board, 'pgtap_least', 'one is switched off') FROM economy.upsert_leaderboard('{"board": "pgtap_least", "active": false}', 'ann') b;
SELECT is(pg_temp.play('2031-03-06 12:00:00+00', 'a', 'slot', 1), 1::bigint, 'another player');
UPDATE economy.leaderboard_scores SET place = place WHERE board = 'pgtap_day';
SELECT set_config('economy.test_clock', '2031-03-07 00:00:00+00', true) AS x \gset
SELECT cmp_ok(pg_temp.refresh()::int, '>', 0, 'the day is closed');
SELECT is(pg_temp.board('pgtap_day', '2031-03-06'), '1 a 1', 'without who is suspended');
SELECT economy.set_user_status(pg_temp.id('b'), 'active', 'pgtap', reason => 'pgtap') AS x \gset
SELECT economy.set_user_status(pg_temp.id('a'), 'suspended', 'pgtap', reason => 'pgtap') AS x \gset
SELECT is((SELECT concat_ws(' ', paid, refused, more) FROM economy.pay_leaderboard_prizes()), '0 1 f', 'a prize for who was suspended afterwards');
SELECT is((SELECT concat_ws(' ', paid, refused, more) FROM economy.pay_leaderboard_prizes()), '0 0 f', 'is not paid later');
CREATE FUNCTION pg_temp.unpaid(name text) RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(concat_ws(' ', to_char(r.first_day, 'MM-DD'), p.w, r.rank, r.prize, r.code, r.again), ', ' ORDER BY r.first_day, r.rank) FROM economy.leaderboard_refusals r LEFT JOIN player p ON p.id = r.user_id WHERE r.board = name $$;
SELECT is(pg_temp.unpaid('pgtap_day'), '03-06 a 1 {"gold": 500, "upto": 1} USER_SUSPENDED f', 'and noted');
SELECT is(economy.retry_leaderboard_prizes('pgtap_day', day, users), n, 'tried again: ' || what)
FROM (VALUES (1, date '2031-03-05', NULL::bigint[], 0::bigint, 'none of another day'), (2, '2031-03-06', ARRAY[pg_temp.id('b'), NULL], 0, 'none of another user'), (3, '2031-03-06', ARRAY[pg_temp.id('a')], 1, 'one'), (4, NULL, NULL, 1, 'all')) v (n_th, day, users, n, what);
SELECT is((SELECT concat_ws(' ', paid, refused, more) FROM economy.pay_leaderboard_prizes()), '0 1 f', 'he is suspended still');
SELECT economy.set_user_status(pg_temp.id('a'), 'active', 'pgtap', reason => 'pgtap') AS x \gset
SELECT is((SELECT concat_ws(' ', paid, refused, more) FROM economy.pay_leaderboard_prizes()), '0 0 f', 'nothing is tried unasked');
SELECT is(pg_temp.states('pgtap_least'), 'inactive 3', 'what is switched off is not refreshed');
SELECT is(pg_temp.board('pgtap_least'), '1 b 7, 2 a 9, 3 c 12', 'and can be read');
SELECT is(b.board, 'pgtap_least', 'switched on again') FROM economy.upsert_leaderboard('{"board": "pgtap_least", "active": true}', 'ann') b;
SELECT cmp_ok(pg_temp.refresh()::int, '>', 5, 'it is filled anew, and who is active again is on the others');
SELECT is(pg_temp.board('pgtap_least') || ' | ' || pg_temp.board('pgtap_wins'), '1 b 7, 2 a 10, 3 c 12 | 1 c 10, 2 a 7, 2 b 7', 'with all');
SELECT is(pg_temp.differs(), NULL, 'parity');

-- nor does a damaged account; what is mended is paid, once
SAVEPOINT damaged;
SELECT is(b.board, 'pgtap_prizes', 'three prizes') FROM economy.upsert_leaderboard('{"board": "pgtap_prizes", "figure": "wins", "period": "day", "prizes": [{"upto": 3, "gold": 7, "items": {"pgtap_gem": 1}}]}', 'ann') b;
INSERT INTO economy.leaderboard_periods (board, first_day, last_day, users, closed_at, checksum, prizes)
    SELECT b.board, '2031-03-01', '2031-03-01', 4, economy.now(), (SELECT sum(p.id * p.place) FROM (SELECT k.id, -n AS place FROM player k JOIN (VALUES ('a', 4), ('b', 3), ('c', 2), ('d', 1)) v (w, n) ON v.w = k.w) p), b.prizes FROM economy.leaderboards b WHERE b.board = 'pgtap_prizes';
INSERT INTO economy.leaderboard_scores SELECT pg_temp.id(w), 'pgtap_prizes', '2031-03-01', -n FROM (VALUES ('a', 4), ('b', 3), ('c', 2), ('d', 1)) v (w, n);
INSERT INTO economy_internal.leaderboard_buckets VALUES ('pgtap_prizes', '2031-03-01', '-9223372036854775808', 4);
CREATE TEMP TABLE kept AS SELECT a.user_id, a.sections FROM economy.accounts a WHERE a.user_id = pg_temp.id('b');
UPDATE economy.accounts a SET sections = decode('0102', 'hex') FROM kept k WHERE a.user_id = k.user_id;
CREATE FUNCTION pg_temp.prizes() RETURNS text LANGUAGE sql AS $$ SELECT string_agg(p.w || ' ' || r.gold_delta, ', ' ORDER BY p.w) FROM economy.reward_audit r JOIN player p ON p.id = r.user_id WHERE r.external_event_id LIKE 'pgtap_prizes:%' $$;
SELECT is((SELECT concat_ws(' ', paid, refused, more) FROM economy.pay_leaderboard_prizes()), '2 1 f', 'one of three has a damaged account');
SELECT is(pg_temp.prizes() || ' | ' || pg_temp.unpaid('pgtap_prizes'), 'a 7, c 7 | 03-01 b 2 {"gold": 7, "upto": 3, "items": {"pgtap_gem": 1}} XE103 f', 'the others are paid');
SELECT is((SELECT concat_ws(' ', h.state, h.detail) FROM economy.health() h WHERE h.item = 'leaderboard prizes'), 'warn 1 could not be paid, such as XE103', 'which an operator is told');
SELECT is(economy.retry_leaderboard_prizes('pgtap_prizes'), 1::bigint, 'asked for again');
SELECT is((SELECT concat_ws(' ', paid, refused, more) FROM economy.pay_leaderboard_prizes()), '0 1 f', 'before it is mended');
UPDATE economy.accounts a SET sections = k.sections FROM kept k WHERE a.user_id = k.user_id;
SELECT is(economy.retry_leaderboard_prizes('pgtap_prizes'), 1::bigint, 'asked for again');
SELECT is((SELECT count(*) FROM economy.leaderboard_parity('pgtap_prizes', true)), 0::bigint, 'parity');
SAVEPOINT off;
SELECT is(b.active, false, 'switched off') FROM economy.upsert_leaderboard('{"board": "pgtap_prizes", "active": false}', 'ann') b;
SELECT is((SELECT concat_ws(' ', paid, refused, more) FROM economy.pay_leaderboard_prizes()), '0 0 f', 'nothing of it is paid any more, be it asked for again');
SELECT count(*) AS x FROM unnest('{pgtap_other,pgtap_second}'::text[]) n, economy.upsert_leaderboard(jsonb_build_object('board', n, 'figure', 'wins', 'period', 'day', 'prizes', '[{"upto": 3, "gold": 7, "items": {"pgtap_gem": 1}}]'::jsonb), 'ann') \gset
INSERT INTO economy.leaderboard_periods SELECT (jsonb_populate_record(p, jsonb_build_object('board', n))).* FROM economy.leaderboard_periods p, unnest('{pgtap_other,pgtap_second}'::text[]) n WHERE p.board = 'pgtap_prizes' AND p.first_day = '2031-03-01';
INSERT INTO economy.leaderboard_scores SELECT (jsonb_populate_record(s, jsonb_build_object('board', n))).* FROM economy.leaderboard_scores s, unnest('{pgtap_other,pgtap_second}'::text[]) n WHERE s.board = 'pgtap_prizes' AND s.first_day = '2031-03-01';
INSERT INTO economy.leaderboard_refusals SELECT (jsonb_populate_record(r, jsonb_build_object('board', n))).* FROM economy.leaderboard_refusals r, unnest('{pgtap_other,pgtap_second}'::text[]) n WHERE r.board = 'pgtap_prizes' AND r.first_day = '2031-03-01';
SELECT is(concat_ws(' ', p.paid, p.refused, p.more), says, 'beside boards that are on: ' || n_th) FROM (VALUES (1, '1 0 t'), (2, '1 0 f'), (3, '0 0 f')) v (n_th, says), economy.pay_leaderboard_prizes(n_th) p;
SELECT is(pg_temp.prizes() || ' | ' || pg_temp.unpaid('pgtap_prizes') || ' | ' || (SELECT string_agg(split_part(r.external_event_id, ':', 1), ', ' ORDER BY r.external_event_id) FROM economy.reward_audit r WHERE r.user_id = pg_temp.id('b') AND r.external_event_id ~ '^pgtap_(other|second):'),
    'a 7, c 7 | 03-01 b 2 {"gold": 7, "upto": 3, "items": {"pgtap_gem": 1}} XE103 t | pgtap_other, pgtap_second', 'theirs are paid, before it and behind it');
ROLLBACK TO off;
SELECT is((SELECT concat_ws(' ', paid, refused, more) FROM economy.pay_leaderboard_prizes()), '1 0 f', 'it is paid when it is mended');
SELECT is(pg_temp.prizes() || coalesce(pg_temp.unpaid('pgtap_prizes'), ''), 'a 7, b 7, c 7', 'and noted no more');
SELECT is((SELECT r.details FROM economy.reward_audit r WHERE r.user_id = pg_temp.id('b') AND r.external_event_id = 'pgtap_prizes:2031-03-01'), '{"rank": 2, "board": "pgtap_prizes", "figure": 3, "first_day": "2031-03-01"}', 'as the others');
SELECT is(economy.retry_leaderboard_prizes('pgtap_prizes'), 0::bigint, 'nothing is left to ask for');
SELECT is((SELECT concat_ws(' ', p.paid, p.refused) FROM economy.leaderboard_periods p WHERE p.board = 'pgtap_prizes' AND p.first_day = '2031-03-01'), '3 0', 'all are counted');
SELECT is((SELECT count(*) FROM economy.leaderboard_parity('pgtap_prizes', true)), 0::bigint, 'parity');
ROLLBACK TO damaged;

-- a batch that ends among those of one place
SAVEPOINT ties;
SELECT economy.upsert_leaderboard('{"board": "pgtap_ties", "figure": "wins", "period": "day", "prizes": [{"upto": 1, "gold": 3}]}', 'ann') IS NULL AS x \gset
INSERT INTO economy.leaderboard_periods (board, first_day, last_day, users, closed_at, checksum, prizes)
    SELECT b.board, '2031-03-01', '2031-03-01', 4, economy.now(), (SELECT sum(-p.id) FROM player p WHERE p.w <> 'e'), b.prizes FROM economy.leaderboards b WHERE b.board = 'pgtap_ties';
INSERT INTO economy.leaderboard_scores SELECT p.id, 'pgtap_ties', '2031-03-01', -1 FROM player p WHERE p.w <> 'e';
INSERT INTO economy_internal.leaderboard_buckets VALUES ('pgtap_ties', '2031-03-01', '-9223372036854775808', 4);
SELECT is(concat_ws(' ', p.paid, p.refused, p.more), says, 'two at a time of four who are first: ' || n_th) FROM (VALUES (1, '2 0 t'), (2, '2 0 t'), (3, '0 0 f')) v (n_th, says), economy.pay_leaderboard_prizes(2 + 0 * n_th) p;
SELECT is((SELECT count(DISTINCT r.user_id) FROM economy.reward_audit r WHERE r.external_event_id = 'pgtap_ties:2031-03-01'), 4::bigint, 'each of them once');
ROLLBACK TO ties;

-- the last day of a season, when nothing else is counted; and of a rate what is neither won nor lost
UPDATE economy.leaderboards SET active = false WHERE board NOT IN ('pgtap_season', 'pgtap_rate');
SELECT is(pg_temp.play('2031-03-09 12:00:00+00', 'd', 'slot', 3, 1) + pg_temp.play('2031-03-09 12:00:01+00', 'd', 'slot', 2, 0, 2), 6::bigint, 'two of six are draws');
SELECT is(pg_temp.play('2031-03-09 12:00:02+00', 'e', 'slot', 1, 1) + pg_temp.play('2031-03-09 12:00:03+00', 'e', 'slot', 1, 0, 2), 3::bigint, 'and one of three, of which three must be won or lost');
SELECT cmp_ok(pg_temp.refresh()::int, '>', 0, 'a refresh');
SELECT is(pg_temp.around('pgtap_season', 'd') || ', ' || pg_temp.around('pgtap_rate', 'd'), '1 d 6, 3 d 750000', 'counts them, and of the rate those that were won or lost');
SELECT is(pg_temp.around('pgtap_rate', 'e'), NULL, 'which are too few');
ROLLBACK TO ties;

-- days in which no job ran are not left out, and closed ones that are not kept go
SELECT is(b.board, 'pgtap_day', 'two are kept') FROM economy.upsert_leaderboard('{"board": "pgtap_day", "prizes": [], "keep": 2}', 'ann') b;
SELECT is(pg_temp.play(clock, 'c', 'slot', 1), 1::bigint, clock) FROM (VALUES ('2031-03-07 12:00:00+00'), ('2031-03-08 12:00:00+00'), ('2031-03-10 12:00:00+00')) v (clock);
SELECT cmp_ok(pg_temp.refresh()::int, '>', 0, 'a refresh of several days');
SELECT is(pg_temp.states('pgtap_day'), '03-11 03-11 coming 0, 03-10 03-10 counting 1, 03-09 03-09 closed 0, 03-08 03-08 closed 1', 'the newest two');
SELECT is(pg_temp.states('pgtap_week') || ' | ' || pg_temp.states('pgtap_season'), '03-17 03-23 coming 0, 03-10 03-16 counting 1, 03-03 03-09 closed 3 | 03-06 03-09 closed 3', 'weeks and seasons end as well');
SELECT is((SELECT count(*) FROM economy.leaderboard_refusals WHERE board = 'pgtap_day') + (SELECT count(*) FROM economy.leaderboard_scores WHERE board = 'pgtap_day' AND first_day < '2031-03-08') + (SELECT count(*) FROM economy_internal.leaderboard_buckets WHERE board = 'pgtap_day' AND first_day < '2031-03-08'), 0::bigint, 'nothing is left of others');
SELECT is(pg_temp.differs(), NULL, 'parity');
SELECT is(pg_temp.wrong('{"board": "pgtap_season", "figure": "total", "period": "season", "last_day": "2031-03-20"}'), 'XE503 the season that begins on that first_day is closed.', 'a season that is closed stays');
SELECT is(b.board, 'pgtap_season', 'the next one is another') FROM economy.upsert_leaderboard('{"board": "pgtap_season", "first_day": "2031-03-10", "last_day": "2031-03-20"}', 'ann') b;
SELECT is(pg_temp.refresh() || ': ' || pg_temp.board('pgtap_season') || ' | ' || pg_temp.board('pgtap_season', '2031-03-09') || ' | ' || pg_temp.states('pgtap_season'), '1: 1 c 1 | 1 b 4, 2 c 2, 3 a 1 | 03-10 03-20 counting 1, 03-06 03-09 closed 3', 'beside it');
SELECT is(b.board, 'pgtap_season', 'a season of the past') FROM economy.upsert_leaderboard('{"board": "pgtap_season", "last_day": "2031-03-09", "first_day": "2031-03-01"}', 'ann') b;
SELECT cmp_ok(pg_temp.refresh()::int, '>', 0, 'is filled from the days');
SELECT is(pg_temp.refresh(), '0', 'and closed');
SELECT is(pg_temp.board('pgtap_season'), '1 c 14, 2 a 10, 3 b 7', 'at once');
SELECT is(pg_temp.differs(), NULL, 'parity');

-- many users: buckets are split and joined, and every rank is that of rank(), also with very many on one place
SELECT b.board FROM economy.upsert_leaderboard('{"board": "pgtap_many", "figure": "wins", "period": "day"}', 'ann') b \g /dev/null
CREATE FUNCTION pg_temp.put(place_of text, size int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    FOR b IN 0 .. size / 1000 - 1 LOOP
        EXECUTE format($q$SELECT economy_internal.leaderboard_set(array_agg(text 'pgtap_many'), array_agg(date '2031-03-10'), array_agg(-u::bigint), array_agg((%s)::bigint)) FROM generate_series(1 + $1 * 1000, 1000 + $1 * 1000) u$q$, place_of) USING b;
    END LOOP;
    RETURN (SELECT concat_ws(' ', (SELECT count(*) FROM economy_internal.leaderboard_sums('{pgtap_many}')),
        (SELECT count(*) FROM (SELECT s.place, rank() OVER (ORDER BY s.place) AS rank FROM economy.leaderboard_scores s WHERE s.board = 'pgtap_many') t
         WHERE t.rank % 37 = 1 AND t.rank <> economy_internal.leaderboard_rank('pgtap_many', '2031-03-10', t.place)),
        -- those of more than one place that have too many users
        (SELECT count(*) FROM (SELECT b.low, b.users, lead(b.low) OVER (ORDER BY b.low) AS next FROM economy_internal.leaderboard_buckets b WHERE b.board = 'pgtap_many') k
         WHERE k.users > 400 AND (SELECT count(DISTINCT s.place) FROM economy.leaderboard_scores s WHERE s.board = 'pgtap_many' AND s.place >= k.low AND (k.next IS NULL OR s.place < k.next)) > 1),
        (SELECT CASE WHEN count(*) <= 4 * size / 200 + 10 THEN 'few' ELSE count(*) || ' buckets' END FROM economy_internal.leaderboard_buckets b WHERE b.board = 'pgtap_many'),
        -- ranks on pages that begin on a place and go on behind it, however many have it
        (WITH t AS MATERIALIZED (SELECT s.user_id, s.place, lead(s.place) OVER w AS next, lead(s.place, 3) OVER w AS later
                                 FROM economy.leaderboard_scores s WHERE s.board = 'pgtap_many' WINDOW w AS (ORDER BY s.place, s.user_id ROWS UNBOUNDED PRECEDING)),
              r AS MATERIALIZED (SELECT t.user_id, rank() OVER (ORDER BY t.place) AS rank FROM t)
         SELECT count(*) FROM (SELECT * FROM t WHERE t.next < t.later ORDER BY t.user_id % 101, t.user_id LIMIT 20) s
         CROSS JOIN LATERAL economy_internal.leaderboard_page('pgtap_many', '2031-03-10', s.place, s.user_id, 5) p JOIN r ON r.user_id = p.user_id WHERE p.rank <> r.rank)));
END
$$;
SELECT is(pg_temp.put(place_of, 10000), '0 0 0 few 0', format('of 10,000 users at %s nothing is wrong, no rank is another, and no bucket is too large', place_of))
FROM (VALUES ('u'), ('-u * 900000000000000'), ('5'), ('CASE u % 100 WHEN 0 THEN 4 WHEN 1 THEN 6 ELSE 5 END'), ('CASE WHEN u % 3 = 0 THEN 5 ELSE (u * 7919) % 1000 END'), ('u / 10'), ('CASE WHEN u % 10 = 0 THEN u END'), ('CASE u % 2 WHEN 0 THEN 9223372036854775807 ELSE -9223372036854775807 END'), ('NULL')) v (place_of);
SELECT is((SELECT string_agg(b.low || ' ' || b.users, ', ') FROM economy_internal.leaderboard_buckets b WHERE b.board = 'pgtap_many' AND b.users > 0), NULL, 'in the end nobody is left');

-- what is wrong is found
CREATE FUNCTION pg_temp.after(damage text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
    n      bigint;
BEGIN
    EXECUTE replace(damage, '{a}', pg_temp.id('a')::text);
    GET DIAGNOSTICS n = ROW_COUNT;
    SELECT string_agg(DISTINCT concat_ws(' ', d.board, to_char(d.first_day, 'MM-DD'), p.w, d.what), ', ') INTO answer FROM economy.leaderboard_parity(lagging => true) d LEFT JOIN player p ON p.id = d.user_id;
    answer := concat_ws(', ', answer, (SELECT string_agg(DISTINCT f.kind, ' ') FROM (SELECT * FROM economy_internal.audit_places() UNION ALL SELECT * FROM economy_internal.audit_boards() UNION ALL SELECT * FROM economy_internal.audit_orphans() UNION ALL SELECT * FROM economy_internal.audit_config()) f));
    RAISE EXCEPTION USING ERRCODE = 'XT000';
EXCEPTION WHEN SQLSTATE 'XT000' THEN
    RETURN n || ': ' || answer;
END
$$;
-- a period with a prize that could not be paid
SELECT economy.upsert_leaderboard('{"board": "pgtap_last", "figure": "wins", "period": "day", "prizes": [{"upto": 1, "gold": 500}]}', 'ann') IS NULL AS x \gset
INSERT INTO economy.leaderboard_periods (board, first_day, last_day, users, closed_at, checksum, prizes, refused, paid_at, paid_place, paid_user)
    SELECT b.board, '2031-03-01', '2031-03-01', 1, economy.now(), -pg_temp.id('a'), b.prizes, 1, economy.now(), -1, pg_temp.id('a') FROM economy.leaderboards b WHERE b.board = 'pgtap_last';
INSERT INTO economy.leaderboard_scores VALUES (pg_temp.id('a'), 'pgtap_last', '2031-03-01', -1);
INSERT INTO economy_internal.leaderboard_buckets VALUES ('pgtap_last', '2031-03-01', '-9223372036854775808', 1);
INSERT INTO economy.leaderboard_refusals VALUES ('pgtap_last', '2031-03-01', pg_temp.id('a'), 1, '{"upto": 1, "gold": 500}', 'USER_SUSPENDED', economy.now());
SELECT cmp_ok(pg_temp.refresh()::int, '>', 0, 'its next one is filled');

-- a clock that was ahead for a moment ends no day
SAVEPOINT clocks;
SET LOCAL economy.test_clock = '2031-07-01 12:00:00+00';
SELECT economy.upsert_leaderboard('{"board": "pgtap_clock", "figure": "wins", "period": "day", "prizes": [{"upto": 1, "gold": 500}]}', 'ann') IS NULL AS x \gset
SELECT count(*) AS x FROM generate_series(1, 3) g (i), LATERAL (SELECT economy.rollup_stats(), g.i AS j OFFSET 0) a, LATERAL (SELECT economy.refresh_leaderboards(), a.j OFFSET 0) b \gset
SET LOCAL economy.test_clock = '2031-07-02 00:00:00.05+00';
SELECT count(*) AS x FROM economy.rollup_stats(), economy.refresh_leaderboards() \gset
SELECT isnt(p.awaits, NULL, 'the day seems to be over') FROM economy.leaderboard_periods p WHERE p.board = 'pgtap_clock' AND p.first_day = '2031-07-01';
SET LOCAL economy.test_clock = '2031-07-01 23:59:55+00';
SELECT count(*) AS x FROM generate_series(1, 3) g (i), LATERAL (SELECT economy.rollup_stats(), g.i AS j OFFSET 0) a, LATERAL (SELECT economy.refresh_leaderboards(), a.j OFFSET 0) b \gset
SELECT is(p.closed_at, NULL, 'but is not') FROM economy.leaderboard_periods p WHERE p.board = 'pgtap_clock' AND p.first_day = '2031-07-01';
ROLLBACK TO clocks;

SELECT is(pg_temp.after(damage), found, damage)
FROM (VALUES
    ('SELECT 1', '1: '),
    ('UPDATE economy.leaderboard_scores SET place = place - 1 WHERE board = ''pgtap_wins'' AND user_id = {a}', '1: pgtap_wins a place'),
    ('UPDATE economy.leaderboard_scores SET place = place - 1 WHERE board = ''pgtap_week'' AND first_day = ''2031-03-03'' AND user_id = {a}', '1: pgtap_week 03-03 checksum, wrong_leaderboard'),
    ('DELETE FROM economy.leaderboard_scores WHERE board = ''pgtap_wins'' AND user_id = {a}', '1: pgtap_wins a place, pgtap_wins users, pgtap_wins users from place -9223372036854775808, wrong_leaderboard'),
    ('INSERT INTO economy.leaderboard_scores VALUES (-7, ''pgtap_wins'', ''-infinity'', 1)', '1: pgtap_wins users, pgtap_wins users from place -9223372036854775808, orphan_row wrong_leaderboard'),
    ('INSERT INTO economy.leaderboard_scores VALUES ({a}, ''pgtap_gone'', ''-infinity'', 1)', '1: pgtap_gone users, wrong_leaderboard'),
    ('UPDATE economy_internal.leaderboard_buckets SET users = users + 1 WHERE board = ''pgtap_wins''', '1: pgtap_wins users from place -9223372036854775808, wrong_leaderboard'),
    ('UPDATE economy_internal.leaderboard_buckets SET low = 0 WHERE board = ''pgtap_wins''', '1: pgtap_wins the first bucket, pgtap_wins users from place 0, wrong_leaderboard'),
    ('DELETE FROM economy_internal.leaderboard_buckets WHERE board = ''pgtap_wins''', '1: pgtap_wins buckets, wrong_leaderboard'),
    ('UPDATE economy.leaderboard_periods SET users = users + 1 WHERE board = ''pgtap_wins''', '1: pgtap_wins users, wrong_leaderboard'),
    ('UPDATE economy.leaderboard_periods SET last_day = last_day + 1 WHERE board = ''pgtap_week'' AND first_day = ''2031-03-03''', '1: pgtap_week 03-03 days of the period, wrong_leaderboard'),
    ('ALTER TABLE economy.leaderboard_periods ALTER last_day DROP NOT NULL; UPDATE economy.leaderboard_periods SET last_day = NULL WHERE board = ''pgtap_wins''', '1: pgtap_wins days of the period, wrong_leaderboard'),
    ('UPDATE economy.leaderboard_periods SET paid = 1 WHERE board = ''pgtap_wins''', '1: pgtap_wins prizes, wrong_leaderboard'),
    ('UPDATE economy.leaderboard_periods SET paid = 1 WHERE board = ''pgtap_week'' AND first_day = ''2031-03-03''', '1: pgtap_week 03-03 prizes, wrong_leaderboard'),
    ('UPDATE economy.leaderboard_periods SET paid = 1 WHERE board = ''pgtap_wins''', '1: pgtap_wins prizes, wrong_leaderboard'),
    ('UPDATE economy.leaderboard_periods SET prizes = ''[{"upto": 1, "gold": 1}]'' WHERE board = ''pgtap_week'' AND first_day = ''2031-03-03''', '1: pgtap_week 03-03 prizes, pgtap_week 03-03 prizes of the board, wrong_leaderboard'),
    ('UPDATE economy.leaderboard_periods SET paid = 1, refused = 0 WHERE board = ''pgtap_last'' AND first_day = ''2031-03-01''', '1: pgtap_last 03-01 prizes that could not be paid, wrong_leaderboard'),
    ('DELETE FROM economy.leaderboard_refusals', '1: pgtap_last 03-01 prizes that could not be paid, wrong_leaderboard'),
    ('INSERT INTO economy.leaderboard_refusals SELECT board, first_day, -7, rank, prize, code, refused_at FROM economy.leaderboard_refusals', '1: pgtap_last 03-01 prizes that could not be paid, pgtap_last 03-01 rank with a prize that could not be paid, orphan_row wrong_leaderboard'),
    ('UPDATE economy.leaderboard_refusals SET first_day = first_day - 1', '1: pgtap_last 02-28 prizes that could not be paid, pgtap_last 03-01 prizes that could not be paid, wrong_leaderboard'),
    ('UPDATE economy.leaderboard_refusals SET rank = 2', '1: pgtap_last 03-01 a rank with a prize that could not be paid, wrong_leaderboard'),
    ('UPDATE economy.leaderboard_refusals SET prize = ''{"upto": 1, "gold": 501}''', '1: pgtap_last 03-01 a rank with a prize that could not be paid, wrong_leaderboard'),
    ('UPDATE economy.leaderboards SET min_games = 2 WHERE board = ''pgtap_wins''', '1: wrong_config')) v (damage, found);
-- of users with entries that no refresh has seen nothing can be said
SELECT is((SELECT count(*) FROM economy.leaderboard_parity('pgtap_wins')), 0::bigint, 'of one board');

SELECT * FROM finish();
ROLLBACK;
