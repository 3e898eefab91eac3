-- game_stats_me(), and statistics after what was rolled back.
BEGIN;
SELECT no_plan();
\i test/writable_views.sql
SELECT economy.register('pgtap stats') AS u \gset
SELECT success AS x FROM economy.adjust_gold(:u, 100000, 'open', 'pgtap', 'pgtap') \gset
-- games that others have registered stay out of the snapshot
CREATE FUNCTION pg_temp.document(u bigint) RETURNS jsonb LANGUAGE sql AS $$
    SELECT economy.game_stats_me(u) || jsonb_build_object('user_id', 'U', 'games', (SELECT jsonb_object_agg(key, value)
        FROM jsonb_each(economy.game_stats_me(u) -> 'games') WHERE key IN ('crash', 'gacha', 'rps', 'slot') OR key LIKE 'pgtap%')) $$;

SELECT is(economy.game_stats_me(:u) -> 'user_id', to_jsonb(:u), 'the user');
SELECT is(pg_temp.document(:u)::text,
    '{"games": {"rps": {"wins": 0, "draws": 0, "total": 0, "losses": 0, "max_win": 0, "win_rate": 0.0000}, '
    '"slot": {"wins": 0, "draws": 0, "total": 0, "losses": 0, "max_win": 0, "win_rate": 0.0000}, '
    '"crash": {"wins": 0, "draws": 0, "total": 0, "losses": 0, "max_win": 0, "win_rate": 0.0000}, '
    '"gacha": {"wins": 0, "draws": 0, "total": 0, "losses": 0, "max_win": 0, "win_rate": 0.0000}}, "user_id": "U", "win_rate": 0.0000, '
    '"total_wins": 0, "total_draws": 0, "total_losses": 0, "overall_max_win": 0, "total_games_played": 0}', 'zeros before the first action');
SELECT is(pg_temp.document(-1), pg_temp.document(:u), 'and for an unknown user');
SELECT is(pg_temp.document(9223372036854775807), pg_temp.document(:u), 'however large');

-- 1 of 3, 2 of 3, all lost, and only a draw
SELECT count(*) AS x FROM (VALUES ('slot', 'a', 10, 25), ('slot', 'b', 10, 0), ('slot', 'c', 10, 0), ('slot', 'd', 5, 5),
    ('rps', 'a', 1, 2), ('rps', 'b', 1, 300), ('rps', 'c', 1, 0), ('gacha', 'a', 50, 20), ('crash', 'a', 0, 0)) v (game, id, bet, win),
    economy.record_action(:u, game, 'T', id, bet, win) \gset
SELECT is(pg_temp.document(:u)::text,
    '{"games": {"rps": {"wins": 2, "draws": 0, "total": 3, "losses": 1, "max_win": 300, "win_rate": 0.6667}, '
    '"slot": {"wins": 1, "draws": 1, "total": 4, "losses": 2, "max_win": 25, "win_rate": 0.3333}, '
    '"crash": {"wins": 0, "draws": 1, "total": 1, "losses": 0, "max_win": 0, "win_rate": 0.0000}, '
    '"gacha": {"wins": 0, "draws": 0, "total": 1, "losses": 1, "max_win": 20, "win_rate": 0.0000}}, "user_id": "U", "win_rate": 0.4286, '
    '"total_wins": 3, "total_draws": 2, "total_losses": 4, "overall_max_win": 300, "total_games_played": 9}', 'the whole document');
-- the shape: keys and types, for whoever reads it
SELECT results_eq(format($$SELECT key || ' ' || jsonb_typeof(value) FROM jsonb_each(economy.game_stats_me(%s)) ORDER BY 1$$, :u),
    ARRAY['games object', 'overall_max_win number', 'total_draws number', 'total_games_played number', 'total_losses number', 'total_wins number', 'user_id number', 'win_rate number'],
    'the keys of the document');
SELECT results_eq(format($$SELECT DISTINCT k.key || ' ' || jsonb_typeof(k.value) FROM jsonb_each(economy.game_stats_me(%s) -> 'games') g, jsonb_each(g.value) k ORDER BY 1$$, :u),
    ARRAY['draws number', 'losses number', 'max_win number', 'total number', 'win_rate number', 'wins number'], 'the keys of every game');
SELECT is((SELECT count(*) FROM jsonb_object_keys(economy.game_stats_me(:u) -> 'games')), (SELECT count(*) FROM economy.games), 'every registered game is there');

-- rounding, against numeric, for every small number of wins and losses
CREATE TEMP TABLE rates AS SELECT w, l, economy.register(format('pgtap rate %s %s', w, l)) AS u FROM generate_series(0, 18) w, generate_series(0, 18) l;
INSERT INTO economy.game_stats SELECT u, 'slot', w + l, w, l, 0, 0, 0, 0, pg_catalog.now() FROM rates;
SELECT is((SELECT string_agg(format('%s/%s: %s', w, w + l, economy.game_stats_me(u) -> 'win_rate'), ', ') FROM rates
           WHERE economy.game_stats_me(u) ->> 'win_rate' IS DISTINCT FROM CASE WHEN w + l = 0 THEN '0.0000' ELSE round(w / (w + l)::numeric, 4)::text END), NULL, 'win rates are rounded to 4 places');
SELECT is((SELECT count(*) FROM rates, economy.game_stats_me(u) d WHERE NOT ROW(d)::record OPERATOR(pg_catalog.*=) ROW(d::text::jsonb)::record), 0::bigint, 'to the byte what jsonb makes of the text');
DELETE FROM economy.game_stats g USING rates r WHERE g.user_id = r.u;
SELECT is((SELECT economy.game_stats_me(u) ->> 'win_rate' FROM rates WHERE (w, l) = (0, 1)), '0.0000', 'undone');
INSERT INTO economy.game_stats SELECT u, 'slot', 2 * n, n, n, 0, 0, 0, 0, pg_catalog.now() FROM rates, LATERAL (SELECT 4000000000000000000::bigint AS n) x WHERE (w, l) = (1, 1);
INSERT INTO economy.game_stats SELECT u, 'slot', 16000, 1, 15999, 0, 0, 0, 0, pg_catalog.now() FROM rates WHERE (w, l) = (2, 2);
INSERT INTO economy.game_stats SELECT u, 'slot', 20000, 19999, 1, 0, 0, 0, 0, pg_catalog.now() FROM rates WHERE (w, l) = (3, 3);
SELECT is((SELECT string_agg(economy.game_stats_me(u) ->> 'win_rate', ' ' ORDER BY w) FROM rates WHERE w = l AND w BETWEEN 1 AND 3), '0.5000 0.0001 1.0000', 'huge numbers do not overflow; halves go up');
DELETE FROM economy.game_stats g USING rates r WHERE g.user_id = r.u;

-- games of one's own, with names that JSON must escape, and more than fit a first buffer
SELECT count(economy.register_game(name)) AS x FROM (VALUES ('pgtap "quoted"'), (E'pgtap \\ back'), (E'pgtap \x01\t\n'), (E'pgtap \u00e9\u20ac')) v (name) \gset
SELECT r.state AS x FROM economy.record_action(:u, 'pgtap "quoted"', 'T', '1', 0, 900) r \gset
SELECT is(pg_temp.document(:u) #>> ARRAY['games', 'pgtap "quoted"', 'max_win'], '900', 'a game with quotes');
SELECT is((SELECT count(*) FROM jsonb_object_keys(pg_temp.document(:u) -> 'games')), 8::bigint, 'all of them');
SELECT count(economy.register_game(rpad(repeat(E'\x01', 40) || n, 64, 'x'))) AS x FROM generate_series(100, 399) n \gset
SELECT is((SELECT count(*) FROM jsonb_object_keys(economy.game_stats_me(:u) -> 'games')), (SELECT count(*) FROM economy.games), '300 games more');
SELECT is(economy.game_stats_me(:u) -> 'overall_max_win', '900', 'the sums are right all the same');
SELECT is((economy.game_stats_me(:u) #>> '{games,slot,total}')::int, 4, 'and so is the last game');

-- what is rolled back was never counted
CREATE FUNCTION pg_temp.figures() RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', g.total, g.wins, g.max_win, a.seq, a.gold) FROM economy.game_stats g JOIN economy.accounts a USING (user_id)
    WHERE g.user_id = economy.user_id_of('pgtap stats') AND g.game = 'slot' $$;
SELECT pg_temp.figures() AS before \gset
SAVEPOINT s;
SELECT r.total AS x FROM economy.record_action(:u, 'slot', 'T', 'sp', 0, 5000) r \gset
SELECT is(:x, 5, 'counted inside a savepoint');
ROLLBACK TO s;
SELECT is(pg_temp.figures(), :'before', 'not after its rollback');
SELECT is((SELECT r.total || ' ' || r.state || ' ' || r.max_win FROM economy.record_action(:u, 'slot', 'T', 'sp', 0, 5) r), '5 new 25', 'the next one counts on from there');
SAVEPOINT s;
SELECT r.total AS x FROM economy.record_action(:u, 'slot', 'T', 'sp2', 0, 1) r \gset
RELEASE s;
SELECT is((SELECT r.total FROM economy.record_action(:u, 'slot', 'T', 'sp3', 0, 1) r), 7::bigint, 'a released savepoint counts');
SAVEPOINT s;
SELECT r.state AS x FROM economy.record_action(:u, E'pgtap \\ back', 'T', '1') r \gset
ROLLBACK TO s;
SELECT is((SELECT r.total FROM economy.record_action(:u, E'pgtap \\ back', 'T', '1') r), 1::bigint, 'also when the first action of a game was rolled back');
CREATE FUNCTION pg_temp.caught(n int, fails boolean) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM economy.record_action(economy.user_id_of('pgtap stats'), 'slot', 'T', 'block' || n, 0, 1);
    PERFORM economy.record_actions(jsonb_build_array(jsonb_build_object('user_id', economy.user_id_of('pgtap stats'), 'game', 'slot',
        'action_type', 'T', 'action_id', 'blocks' || n, 'win', 1)));
    IF fails THEN
        RAISE EXCEPTION 'no';
    END IF;
    RETURN 'kept';
EXCEPTION WHEN raise_exception THEN
    RETURN 'undone';
END
$$;
SELECT is((SELECT string_agg(pg_temp.caught(n, n % 3 > 0), ' ' ORDER BY n) FROM generate_series(1, 6) n), 'undone undone kept undone undone kept', 'blocks with exceptions');
SELECT is((SELECT count(*) FROM economy.user_actions WHERE user_id = :u AND action_id LIKE 'block%'), 4::bigint, 'keep what they kept');
SELECT is((SELECT total FROM economy.game_stats WHERE user_id = :u AND game = 'slot'), 11::bigint, 'and count that');
SELECT throws_ok(format($$SELECT economy.record_action(%s, 'slot', 'T', 'div', 0, 1), 1 / (SELECT 0)$$, :u), '22012', NULL, 'a statement that fails after its call');
SELECT is((SELECT r.state || r.total FROM economy.record_action(:u, 'slot', 'T', 'div', 0, 1) r), 'new12', 'did not count');
SELECT is_empty('SELECT * FROM economy.stats_parity()', 'statistics equal the entries');
SELECT is_empty(format('SELECT * FROM economy.stats_parity(%s)', n), 'also by a sample of ' || n) FROM unnest(ARRAY[0, 1, 1000000]) n;
SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s)', :u), 'the chain is clean');

-- parity can fail
CREATE FUNCTION pg_temp.parity_after(damage text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
    n      bigint;
BEGIN
    EXECUTE replace(damage, '{u}', economy.user_id_of('pgtap stats')::text);
    GET DIAGNOSTICS n = ROW_COUNT;
    SELECT string_agg(concat_ws(' ', source, game, day), ', ' ORDER BY source, game, day NULLS FIRST) INTO answer FROM economy.stats_parity();
    RAISE EXCEPTION USING ERRCODE = 'XT000';
EXCEPTION WHEN SQLSTATE 'XT000' THEN
    RETURN n || ': ' || coalesce(answer, 'nothing');
END
$$;
SELECT is(pg_temp.parity_after(format('UPDATE economy.game_stats SET %s WHERE user_id = {u} AND game = ''slot''', change)), '1: game_stats slot', 'parity sees ' || change)
FROM (VALUES ('total = total + 1, draws = draws + 1'), ('wins = wins + 1, losses = losses - 1'), ('losses = losses - 1, draws = draws + 1'), ('max_win = max_win + 1'),
             ('bet_sum = bet_sum - 1'), ('win_sum = win_sum + 1'), ('last_action_at = last_action_at - interval ''1 us''')) v (change);
SELECT is(pg_temp.parity_after('DELETE FROM economy.game_stats WHERE user_id = {u} AND game = ''rps'''), '1: game_stats rps', 'parity sees a missing row');
SELECT is(pg_temp.parity_after('INSERT INTO economy.game_stats SELECT user_id, ''zzz'', 0, 0, 0, 0, 0, 0, 0, pg_catalog.now() FROM economy.accounts WHERE user_id = {u}'), '1: game_stats zzz', 'and one too many');
SELECT is(pg_temp.parity_after('ALTER TABLE economy.user_actions DISABLE TRIGGER user_actions_append_only; DELETE FROM economy.user_actions WHERE user_id = {u} AND game = ''gacha'''), '1: game_stats gacha', 'and a missing entry');

-- a sample has as many users as are asked for, of those that there are, however many the server takes them to be
CREATE FUNCTION pg_temp.sampled(tuples real, sample integer) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    answer bigint;
BEGIN
    UPDATE pg_catalog.pg_class SET reltuples = tuples WHERE oid = 'economy.accounts'::regclass;
    INSERT INTO economy.game_stats SELECT user_id, 'zzz', 0, 0, 0, 0, 0, 0, 0, pg_catalog.now() FROM economy.accounts;
    SELECT count(DISTINCT user_id) INTO answer FROM economy.stats_parity(sample) WHERE game = 'zzz';
    RAISE EXCEPTION USING ERRCODE = 'XT000';
EXCEPTION WHEN SQLSTATE 'XT000' THEN
    RETURN answer;
END
$$;
SELECT is(pg_temp.sampled(tuples, sample), coalesce(n, (SELECT count(*) FROM economy.accounts)), format('a sample of %s of what is taken for %s', sample, tuples))
FROM (VALUES (-1, 5, 5), (50, 1, 1), (50, 0, 0), (100000, 5, 5), (200000, 30000, NULL), (1e9, 99999999, NULL), (1e9, 100000001, NULL), (50, NULL, NULL)) v (tuples, sample, n);

-- a clock that goes back
CREATE FUNCTION pg_temp.back() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    PERFORM set_config('economy.test_clock', '2031-01-02 00:00+00', true), economy.record_action(economy.user_id_of('pgtap stats'), 'slot', 'T', 'late', 0, 1);
    PERFORM set_config('economy.test_clock', '2031-01-01 23:59:59+00', true), economy.record_action(economy.user_id_of('pgtap stats'), 'slot', 'T', 'later', 0, 1);
    SELECT string_agg(concat_ws(' ', source, game), ', ') INTO answer FROM economy.stats_parity();
    RAISE EXCEPTION USING ERRCODE = 'XT000';
EXCEPTION WHEN SQLSTATE 'XT000' THEN
    RETURN answer;
END
$$;
SELECT is(pg_temp.back(), NULL, 'parity after the clock went back');

SAVEPOINT s;
SELECT set_config('economy.test_clock', '2031-01-02 00:00+00', true) AS x \gset
SELECT r.state AS x FROM economy.record_action(:u, 'slot', 'T', 'late', 0, 1) r \gset
SELECT set_config('economy.test_clock', clock, true) AS x FROM (VALUES ('2031-01-01 23:59:59+00')) v (clock) \gset
SELECT count(*) AS x FROM economy.record_actions((SELECT jsonb_agg(jsonb_build_object('user_id', :u, 'game', 'slot', 'action_type', 'T', 'action_id', 'later' || n)) FROM generate_series(1, 3) n)) \gset
SELECT is((SELECT last_action_at FROM economy.game_stats WHERE user_id = :u AND game = 'slot'), '2031-01-02 00:00+00', 'last_action_at stays, also in a batch');
SELECT set_config('economy.test_clock', '2031-01-02 00:00:00.000001+00', true) AS x \gset
SELECT r.state AS x FROM economy.record_action(:u, 'slot', 'T', 'latest', 0, 1) r \gset
SELECT is((SELECT last_action_at FROM economy.game_stats WHERE user_id = :u AND game = 'slot'), '2031-01-02 00:00:00.000001+00', 'until the clock has passed it');
SELECT is_empty('SELECT * FROM economy.stats_parity()', 'parity');
ROLLBACK TO s;

-- sums end at the largest bigint: 1,024 of the largest bets fit, and 1,023 more gold
SELECT economy.register('pgtap rich') AS rich \gset
SELECT success AS x FROM economy.adjust_gold(:rich, 9007199254740991, 'open', 'pgtap', 'pgtap') \gset
CREATE FUNCTION pg_temp.codes(user_id bigint, ids int[], game text DEFAULT 'slot', amount bigint DEFAULT 9007199254740991) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(code || ' ' || n, ', ' ORDER BY code) FROM (SELECT r.code, count(*) AS n FROM unnest(ids) id, economy.record_action(user_id, game, 'T', 'r' || id, amount, amount) r GROUP BY 1) c $$;
SELECT is(pg_temp.codes(:rich, ARRAY(SELECT generate_series(1, 1025))), 'GOLD_OVERFLOW 1, OK 1024', 'the sums of 1,025 of the largest bets do not wrap');
SELECT is(pg_temp.codes(:rich, ARRAY[1, 1024]), 'OK 2', 'ids are known');
SELECT is(pg_temp.codes(:rich, ARRAY[2000], amount => 1024), 'GOLD_OVERFLOW 1', 'one gold more than fits');
SELECT is(pg_temp.codes(:rich, ARRAY[2000], amount => 1023), 'OK 1', 'as much as fits');
SELECT is(pg_temp.codes(:rich, ARRAY[2001, 2002], amount => 0), 'OK 2', 'nothing is always as much as fits');
SELECT is(pg_temp.codes(:rich, ARRAY[2003], amount => 1), 'GOLD_OVERFLOW 1', 'no more');
SELECT is(pg_temp.codes(:rich, ARRAY[2003], 'rps'), 'OK 1', 'another game has sums of its own');
SELECT is((SELECT row(total, bet_sum, win_sum)::text FROM economy.game_stats WHERE user_id = :rich AND game = 'slot'), '(1027,9223372036854775807,9223372036854775807)', 'both are full');
SAVEPOINT s;
UPDATE economy.game_stats SET win_sum = 9223372036854775807 - 5 WHERE user_id = :rich AND game = 'rps';
SELECT is((SELECT string_agg(r.code, ' ' ORDER BY bet) FROM (VALUES (2, 6), (1, 5)) v (bet, win), economy.record_action(:rich, 'rps', 'T', 'w' || win, bet + 10, win) r), 'OK GOLD_OVERFLOW', 'the wins alone');
ROLLBACK TO s;
UPDATE economy.game_stats SET bet_sum = 9223372036854775807 - 5 WHERE user_id = :rich AND game = 'rps';
SELECT is((SELECT string_agg(r.code, ' ' ORDER BY bet) FROM (VALUES (6, 2), (5, 1)) v (bet, win), economy.record_action(:rich, 'rps', 'T', 'b' || bet, bet, win) r), 'OK GOLD_OVERFLOW', 'the bets alone');
ROLLBACK TO s;
SELECT is((SELECT string_agg(code || ' ' || n, ', ' ORDER BY code) FROM (SELECT r.code, count(*) AS n FROM economy.record_actions((SELECT jsonb_agg(jsonb_build_object('user_id', :rich, 'game', 'crash',
    'action_type', 'T', 'action_id', n::text, 'bet', 9007199254740991, 'win', 9007199254740991)) FROM generate_series(1, 1026) n)) r GROUP BY 1) c), 'GOLD_OVERFLOW 2, OK 1024', 'a batch too');
SELECT is_empty('SELECT * FROM economy.stats_parity()', 'parity');
SELECT is((SELECT rows_written >= 3 FROM economy.rollup_stats()), true, 'the rollup works');
SELECT is_empty('SELECT * FROM economy.stats_parity()', 'parity, rolled up');
SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s)', :rich), 'the chain is clean');

-- names of which each begins the next, some of them in the account and some in rows
SELECT economy.register('pgtap alike') AS alike \gset
SELECT count(*) AS x FROM generate_series(1, 64) n, economy.register_game(repeat('y', n)) \gset
SELECT count(*) AS x FROM generate_series(0, 63) i, economy.record_action(:alike, repeat('y', 1 + i * 37 % 64), 'T', '1', 0, 1 + i * 37 % 64) \gset
SELECT is((SELECT count(*) FROM economy_internal.game_stats_more WHERE user_id = :alike) BETWEEN 1 AND 63, true, 'not all have room in the account');
SELECT is((SELECT string_agg(n::text, ' ') FROM generate_series(1, 64) n WHERE economy.game_stats_me(:alike) -> 'games' -> repeat('y', n) ->> 'max_win' IS DISTINCT FROM n::text),
    NULL, 'the document has each game''s own figures');
SELECT is((SELECT count(*) FROM economy.game_stats WHERE user_id = :alike AND max_win = length(game)), 64::bigint, 'as the view has');

SELECT * FROM finish();
ROLLBACK;
