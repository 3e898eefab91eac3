-- rollup_stats(): days by UTC, each action exactly once, however often it runs.
BEGIN;
SELECT no_plan();
\i test/writable_views.sql
-- what the database has already is not this test's business
SELECT count(*) AS x FROM generate_series(1, 100) n, economy.rollup_stats() \gset
SELECT economy.register('pgtap roll a') AS a \gset
SELECT economy.register('pgtap roll b') AS b \gset
SELECT economy.register('pgtap roll c') AS c \gset
SELECT count(*) AS x FROM unnest(ARRAY[:a, :b]) u, economy.adjust_gold(u, 1000, 'open', 'pgtap', 'pgtap') \gset
CREATE FUNCTION pg_temp.at(clock text, who text, game text, id text, bet bigint, win bigint) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('economy.test_clock', clock, true);
    RETURN (SELECT state FROM economy.record_action(economy.user_id_of('pgtap roll ' || who), game, 'T', id, bet, win));
END
$$;
CREATE FUNCTION pg_temp.summary(who text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT concat_ws(' ', to_char(day, 'YYYY-MM-DD'), game, total, wins, losses, draws, max_win, bet_sum, win_sum, to_char(last_action_at AT TIME ZONE 'UTC', 'HH24:MI:SS.US'))
    FROM economy.user_game_stats_summary WHERE user_id = economy.user_id_of('pgtap roll ' || who) ORDER BY day, game $$;
CREATE FUNCTION pg_temp.rollup(max_users int DEFAULT 100000) RETURNS text LANGUAGE sql AS
    $$ SELECT concat_ws(' ', users, actions, rows_written) FROM economy.rollup_stats(max_users) $$;

-- UTC decides, whatever the session's and the user's zones say
SET LOCAL timezone = 'Pacific/Kiritimati';
SELECT economy.set_timezone(:a, 'America/Los_Angeles') AS x \gset
SELECT count(pg_temp.at(clock, who, game, id, bet, win)) AS x FROM (VALUES
    ('2031-02-28 23:59:59.999999+00', 'a', 'slot', '1', 10, 25),
    ('2031-03-01 00:00:00+00',        'a', 'slot', '2', 10, 0),
    ('2031-03-01 00:00:00+00',        'a', 'rps',  '3', 0, 0),
    ('2031-03-01 23:59:59.999999+00', 'a', 'slot', '4', 1, 90),
    ('2031-03-02 00:00:00+00',        'a', 'slot', '5', 2, 2),
    ('2031-03-01 12:00:00+14',        'b', 'slot', '1', 3, 4)) v (clock, who, game, id, bet, win) \gset
SELECT is_empty($$SELECT * FROM pg_temp.summary('a')$$, 'nothing before the rollup');
SELECT is_empty('SELECT * FROM economy.stats_parity()', 'which is no difference');
SELECT is(pg_temp.rollup(), '2 6 5', 'users, actions and rows of the first rollup');
SELECT results_eq($$SELECT * FROM pg_temp.summary('a')$$, ARRAY[
    '2031-02-28 slot 1 1 0 0 25 10 25 23:59:59.999999', '2031-03-01 rps 1 0 0 1 0 0 0 00:00:00.000000',
    '2031-03-01 slot 2 1 1 0 90 11 90 23:59:59.999999', '2031-03-02 slot 1 0 0 1 2 2 2 00:00:00.000000'], 'days by UTC');
SELECT results_eq($$SELECT * FROM pg_temp.summary('b')$$, ARRAY['2031-02-28 slot 1 1 0 0 4 3 4 22:00:00.000000'], 'another user');
SELECT is(pg_temp.rollup(), '0 0 0', 'nothing is left') FROM generate_series(1, 3);
SELECT results_eq($$SELECT * FROM pg_temp.summary('b')$$, ARRAY['2031-02-28 slot 1 1 0 0 4 3 4 22:00:00.000000'], 'and nothing was counted again');

-- late actions of an old day, and entries that are no actions
SELECT count(pg_temp.at(clock, who, game, id, bet, win)) AS x FROM (VALUES
    ('2031-03-01 10:00:00+00', 'a', 'slot', '6', 1, 0), ('2031-03-02 09:00:00+00', 'a', 'slot', '7', 1, 300),
    ('2031-03-02 09:00:00+00', 'a', 'slot', '7', 1, 300)) v (clock, who, game, id, bet, win) \gset
SELECT success AS x FROM economy.grant_reward(:c, 'pgtap', 'e', 1) \gset
SELECT is(pg_temp.rollup(), '1 2 2', 'the second: a replay is no action, a reward is none either');
SELECT results_eq($$SELECT * FROM pg_temp.summary('a')$$, ARRAY[
    '2031-02-28 slot 1 1 0 0 25 10 25 23:59:59.999999', '2031-03-01 rps 1 0 0 1 0 0 0 00:00:00.000000',
    '2031-03-01 slot 3 1 2 0 90 12 90 23:59:59.999999', '2031-03-02 slot 2 1 0 1 300 3 302 09:00:00.000000'], 'added to what was there');
SELECT results_eq(format('SELECT user_id, seq FROM economy_internal.rollup_positions WHERE user_id IN (%s, %s, %s) ORDER BY 1', :a, :b, :c),
    format('SELECT user_id, seq FROM economy.accounts WHERE user_id IN (%s, %s) ORDER BY 1', :a, :b), 'positions are at the heads of those who play');

-- in steps of max_users, with work in between
SELECT count(pg_temp.at('2031-03-05 10:00+00', who, 'gacha', id::text, 0, 1)) AS x FROM unnest(ARRAY['a', 'b', 'c']) who, generate_series(1, 10) id \gset
SELECT is(pg_temp.rollup(1), '1 10 1', 'one user at a time');
SELECT pg_temp.at('2031-03-05 11:00+00', 'a', 'gacha', '11', 0, 1) AS x \gset
SELECT is(pg_temp.rollup(1), '1 10 1', 'the next');
SELECT is(pg_temp.rollup(1), '1 10 1', 'and the next, before whoever comes again');
SELECT is(pg_temp.rollup(1), '1 1 1', 'whose new action is counted then');
SELECT is(pg_temp.rollup(1), '0 0 0', 'until nobody is left');
SELECT results_eq($$SELECT s FROM unnest(ARRAY['a', 'b', 'c']) w, pg_temp.summary(w) s WHERE s LIKE '%gacha%'$$,
    ARRAY['2031-03-05 gacha 11 11 0 0 1 0 11 11:00:00.000000', '2031-03-05 gacha 10 10 0 0 1 0 10 10:00:00.000000', '2031-03-05 gacha 10 10 0 0 1 0 10 10:00:00.000000'], 'all are counted');
SELECT is_empty('SELECT * FROM economy.stats_parity()', 'parity');

-- a rollup that is rolled back has not been, and nor has an action
SAVEPOINT s;
SELECT pg_temp.at('2031-03-06 11:00+00', 'b', 'gacha', '12', 0, 1) AS x \gset
SELECT is(pg_temp.rollup(), '1 1 1', 'rolled up');
ROLLBACK TO s;
SELECT is(pg_temp.rollup(), '0 0 0', 'and gone with its action');
SELECT pg_temp.at('2031-03-06 11:00+00', 'b', 'gacha', '12', 0, 1) AS x \gset
SAVEPOINT s;
SELECT is(pg_temp.rollup(), '1 1 1', 'rolled up');
ROLLBACK TO s;
SELECT is(pg_temp.rollup(), '1 1 1', 'and again after a rollback of the rollup alone');
SELECT is((SELECT sum(total) FROM economy.user_game_stats_summary WHERE user_id = :b), (SELECT sum(total) FROM economy.game_stats WHERE user_id = :b), 'the days add up');

-- batches
SELECT set_config('economy.test_clock', '2031-03-07 23:59+00', true) AS x \gset
SELECT count(*) AS x FROM economy.record_actions((SELECT jsonb_agg(jsonb_build_object('user_id', CASE n % 3 WHEN 0 THEN :a WHEN 1 THEN :b ELSE :c END,
    'game', (ARRAY['slot', 'rps'])[n % 2 + 1], 'action_type', 'T', 'action_id', 'batch' || n, 'win', n % 5)) FROM generate_series(1, 600) n)) \gset
SELECT is(pg_temp.rollup(), '3 600 6', 'a batch');
SELECT is_empty('SELECT * FROM economy.stats_parity()', 'parity');

-- a summary that is wrong is found
CREATE FUNCTION pg_temp.parity_after(damage text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
    n      bigint;
BEGIN
    EXECUTE replace(damage, '{b}', economy.user_id_of('pgtap roll b')::text);
    GET DIAGNOSTICS n = ROW_COUNT;
    SELECT string_agg(concat_ws(' ', source, game, to_char(day, 'YYYY-MM-DD')), ', ' ORDER BY source, game, day NULLS FIRST) INTO answer FROM economy.stats_parity();
    RAISE EXCEPTION USING ERRCODE = 'XT000';
EXCEPTION WHEN SQLSTATE 'XT000' THEN
    RETURN n || ': ' || coalesce(answer, 'nothing');
END
$$;
SELECT is(pg_temp.parity_after(damage), found, damage)
FROM (VALUES
    ('UPDATE economy.user_game_stats_summary SET total = total + 1 WHERE user_id = {b} AND game = ''gacha'' AND day = ''2031-03-05''', '1: user_game_stats_summary gacha 2031-03-05'),
    ('UPDATE economy.user_game_stats_summary SET wins = wins - 1 WHERE user_id = {b} AND game = ''gacha'' AND day = ''2031-03-05''', '1: user_game_stats_summary gacha 2031-03-05'),
    ('UPDATE economy.user_game_stats_summary SET losses = losses + 1 WHERE user_id = {b} AND game = ''gacha'' AND day = ''2031-03-05''', '1: user_game_stats_summary gacha 2031-03-05'),
    ('UPDATE economy.user_game_stats_summary SET draws = draws + 1 WHERE user_id = {b} AND game = ''gacha'' AND day = ''2031-03-05''', '1: user_game_stats_summary gacha 2031-03-05'),
    ('UPDATE economy.user_game_stats_summary SET max_win = 0 WHERE user_id = {b} AND game = ''gacha'' AND day = ''2031-03-05''', '1: user_game_stats_summary gacha 2031-03-05'),
    ('UPDATE economy.user_game_stats_summary SET bet_sum = 1 WHERE user_id = {b} AND game = ''gacha'' AND day = ''2031-03-05''', '1: user_game_stats_summary gacha 2031-03-05'),
    ('UPDATE economy.user_game_stats_summary SET day = ''2031-03-04'' WHERE user_id = {b} AND game = ''gacha'' AND day = ''2031-03-05''', '1: user_game_stats_summary gacha 2031-03-04, user_game_stats_summary gacha 2031-03-05'),
    ('DELETE FROM economy.user_game_stats_summary WHERE user_id = {b} AND game = ''gacha'' AND day = ''2031-03-06''', '1: user_game_stats_summary gacha 2031-03-06'),
    ('INSERT INTO economy.user_game_stats_summary SELECT user_id, ''2031-01-01'', ''crash'', 1, 1, 0, 0, 0, 0, 0, pg_catalog.now() FROM economy.users WHERE user_id = {b}', '1: user_game_stats_summary crash 2031-01-01'),
    ('UPDATE economy_internal.rollup_positions SET seq = 1 WHERE user_id = {b}', '1: rollup_positions, user_game_stats_summary gacha 2031-03-05, user_game_stats_summary gacha 2031-03-06, user_game_stats_summary rps 2031-03-07, user_game_stats_summary slot 2031-02-28, user_game_stats_summary slot 2031-03-07')) v (damage, found);
SELECT is(pg_temp.parity_after('UPDATE economy.user_game_stats_summary SET last_action_at = pg_catalog.now() WHERE user_id = {b} AND game = ''gacha'' AND day = ''2031-03-05'''), '1: user_game_stats_summary gacha 2031-03-05', 'a wrong last_action_at is found');
SELECT is(pg_temp.parity_after(damage), found, damage)
FROM (VALUES
    ('UPDATE economy_internal.rollup_positions SET seq = seq + 1 WHERE user_id = {b}', '1: rollup_positions'),
    ('UPDATE economy_internal.rollup_positions SET oldest_at = NULL WHERE user_id = {b}', '1: rollup_positions'),
    ('INSERT INTO economy_internal.rollup_positions VALUES (-7, 0)', '1: rollup_positions'),
    ('INSERT INTO economy_internal.rollup_positions SELECT economy.register(''pgtap roll none''), -1', '1: rollup_positions'),
    ('INSERT INTO economy.game_stats SELECT -7, ''crash'', 1, 1, 0, 0, 0, 0, 0, pg_catalog.now()', '1: game_stats crash'),
    ('INSERT INTO economy.pruned_stats SELECT -7, ''crash'', ''2031-01-01'', 1, 1, 0, 0, 0, 0, 0, pg_catalog.now()', '1: pruned_stats crash 2031-01-01'),
    ('UPDATE economy.user_game_stats_summary SET user_id = -7 WHERE user_id = {b} AND day = ''2031-03-05''', '1: user_game_stats_summary gacha 2031-03-05, user_game_stats_summary gacha 2031-03-05')) v (damage, found);
SELECT is_empty('SELECT * FROM economy.stats_parity()', 'parity, undamaged');
-- random actions in several rollups, few users at a time, against what they add up to; the clock goes both ways
SELECT setseed(0.5);
CREATE FUNCTION pg_temp.more(step int) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('economy.test_clock', to_char(timestamp '2031-04-01 22:00' + ((step * 7) % 5) * interval '5 hours', 'YYYY-MM-DD HH24:MI:SS+00'), true),
            economy.record_actions((SELECT jsonb_agg(jsonb_build_object('user_id', economy.user_id_of('pgtap roll ' || w), 'game', (ARRAY['slot', 'rps', 'crash'])[1 + (random() * 9)::int % 3], 'action_type', 'T',
                'action_id', format('more %s %s', step, n), 'bet', b, 'win', CASE (random() * 9)::int % 3 WHEN 0 THEN b WHEN 1 THEN 0 ELSE b + (random() * 9)::int END) ORDER BY n)
            FROM generate_series(1, 12) n, unnest(ARRAY['a', 'b', 'c', 'new']) w, LATERAL (SELECT 1 + (random() * 2)::int AS b) x WHERE random() < 0.5));
    WHILE pg_temp.rollup(1 + step % 3) <> '0 0 0' LOOP
    END LOOP;
    RETURN NEXT is_empty($q$WITH e AS (
            SELECT t.user_id, (t.created_at AT TIME ZONE 'UTC')::date AS day, t.game, count(*) AS total, sum((t.win > t.bet)::int) AS wins, sum((t.win < t.bet)::int) AS losses, sum((t.win = t.bet)::int) AS draws,
                   max(t.win) AS max_win, sum(t.bet)::bigint AS bet_sum, sum(t.win)::bigint AS win_sum, max(t.created_at) AS last_action_at FROM economy.user_actions t GROUP BY 1, 2, 3)
        (SELECT * FROM e EXCEPT TABLE economy.user_game_stats_summary) UNION ALL (SELECT s.* FROM economy.user_game_stats_summary s WHERE s.user_id IN (SELECT e.user_id FROM e) AND s.user_id NOT IN (SELECT p.user_id FROM economy.pruned_stats p) EXCEPT TABLE e)$q$,
        format('step %s: every day is what its actions add up to', step));
    RETURN NEXT is_empty($q$SELECT * FROM economy_internal.rollup_positions p JOIN economy.accounts a USING (user_id) WHERE a.pruned_seq = 0 AND (p.seq, p.oldest_at) IS DISTINCT FROM
        (a.seq, (SELECT t.created_at FROM economy.user_actions t WHERE t.user_id = p.user_id ORDER BY t.seq LIMIT 1)) AND EXISTS (SELECT FROM economy.user_actions t WHERE t.user_id = a.user_id AND t.seq = a.seq)$q$, 'and the first action is noted');
END
$$;
SELECT economy.register('pgtap roll new') AS x \gset
SELECT count(*) AS x FROM unnest(ARRAY['a', 'b', 'c', 'new']) w, economy.adjust_gold(economy.user_id_of('pgtap roll ' || w), 100000, 'more', 'pgtap', 'pgtap') \gset
SELECT pg_temp.more(n) FROM generate_series(1, 6) n;
SELECT is_empty('SELECT * FROM economy.stats_parity()', 'parity');

-- what follows a rollup that was lost with its queue is found again
DELETE FROM economy_internal.rollup_state;
DELETE FROM economy_internal.rollup_queue;
SELECT is(pg_temp.rollup(), '0 0 0', 'without a state all is looked through, and nothing counted twice');
SELECT count(pg_temp.at('2031-05-01 12:00+00', w, 'slot', 'lost', 1, 2)) AS x FROM unnest(ARRAY['a', 'b']) w \gset
SELECT is(pg_temp.rollup(1), '1 1 1', 'one of two users');
DELETE FROM economy_internal.rollup_state;
SELECT is(pg_temp.rollup(), '1 1 1', 'where the state alone was lost the other one waits in the queue all the same');
SELECT is_empty('SELECT * FROM economy.stats_parity()', 'parity');
SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s)', id), 'the chain is clean') FROM (VALUES (:a), (:b), (:c)) v (id);

SELECT economy_internal.is_spread('economy.user_actions') AS spread \gset
\if :spread
\else
-- ranges of 32 pages are summarised in the index on position, but for the last whole one and what follows it
SELECT count(*) AS x FROM economy.record_actions((SELECT jsonb_agg(jsonb_build_object('user_id', :c::bigint, 'game', 'slot', 'action_type', 'T', 'action_id', 'wide' || n,
    'details', jsonb_build_object('a', (SELECT string_agg(md5(n || ' ' || k), '') FROM generate_series(1, 55) k)))) FROM generate_series(1, 900) n)) \gset
SELECT pg_relation_size('economy.user_actions') / current_setting('block_size')::bigint / 32 - 1 AS whole, ceil(pg_relation_size('economy.user_actions') / current_setting('block_size')::numeric / 32) AS ranges \gset
SELECT cmp_ok(:whole, '>=', 5, 'some ranges');
CREATE FUNCTION pg_temp.unsummarised(ranges bigint) RETURNS text LANGUAGE sql AS
    $$ SELECT count(brin_desummarize_range('economy.user_actions_position_idx', 32 * r))::text FROM generate_series(0, ranges - 1) r $$;
CREATE FUNCTION pg_temp.summarise(done bigint) RETURNS text LANGUAGE sql AS $$ SELECT (economy_internal.summarize_actions(done) / 32.0)::numeric(20, 2)::text $$;
-- so many are left, which are summarised now
CREATE FUNCTION pg_temp.left_over() RETURNS integer LANGUAGE sql AS $$ SELECT brin_summarize_new_values('economy.user_actions_position_idx') $$;
SELECT is(pg_temp.unsummarised(:ranges), :'ranges', 'none has a summary');
SELECT is(pg_temp.summarise(0), :whole || '.00', 'the first call says up to where it came');
SELECT is(pg_temp.left_over(), (:ranges - :whole)::integer, 'and came there');
SELECT is(pg_temp.unsummarised(:ranges), :'ranges', 'none has one any more');
SELECT is(pg_temp.summarise(32 * 2), :whole || '.00', 'a later call');
SELECT is(pg_temp.left_over(), (:ranges - :whole + 2)::integer, 'goes on from there');
SELECT is(pg_temp.unsummarised(:ranges), :'ranges', 'none');
SELECT is(pg_temp.summarise(32 * (:whole + n)), :whole + n || '.00', format('where %s ranges more than these are done there is nothing to do', n)) FROM generate_series(0, 1) n;
SELECT is(pg_temp.left_over(), :'ranges'::integer, 'and nothing is done');
SELECT is(pg_temp.unsummarised(:ranges), :'ranges', 'none');
SELECT is(pg_temp.summarise(32 * (:whole + 2)), :whole || '.00', 'a table that has shrunk');
SELECT is(pg_temp.left_over(), (:ranges - :whole)::integer, 'begins again');
-- a rollup makes them, and notes it
SELECT is(pg_temp.unsummarised(:ranges), :'ranges', 'none');
UPDATE economy_internal.rollup_state SET summarized = 0;
SELECT is(pg_temp.rollup(), '1 900 1', 'a rollup');
SELECT is((SELECT summarized FROM economy_internal.rollup_state), 32 * :whole::bigint, 'notes up to where there are summaries');
SELECT is(pg_temp.left_over(), (:ranges - :whole)::integer, 'which it has made');
\endif

SELECT * FROM finish();
ROLLBACK;
