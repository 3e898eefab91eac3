-- simulate(): the same seed plays the same actions.
BEGIN;
SELECT no_plan();
CREATE FUNCTION pg_temp.simulate(users int, actions int, seed bigint) RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(concat_ws(' ', state, code, results), ', ' ORDER BY state, code) FROM economy.simulate(users, actions, seed) $$;
CREATE FUNCTION pg_temp.figures(seed bigint) RETURNS text LANGUAGE sql AS $$
    SELECT md5(string_agg(concat_ws(' ', u.external_id, g.game, g.total, g.wins, g.losses, g.draws, g.max_win, g.bet_sum, g.win_sum), ',' ORDER BY u.external_id, g.game))
    FROM economy.users u JOIN economy.game_stats g USING (user_id) WHERE u.external_id LIKE format('sim-%s-%%', seed) $$;
SELECT is(pg_temp.simulate(400, 12000, 77000001), 'new OK 11814, reuse OK 186', 'a workload');
SELECT pg_temp.figures(77000001) AS first \gset
SELECT is(pg_temp.simulate(400, 12000, 77000001), 'reuse OK 12000', 'again: all of it is known');
SELECT is(pg_temp.figures(77000001), :'first', 'and nothing was counted twice');
SELECT is(pg_temp.simulate(400, 12500, 77000001), 'new OK 493, reuse OK 12007', 'more of it goes on where it ended');
SELECT isnt(pg_temp.simulate(400, 12000, 77000002), 'reuse OK 12000', 'another seed plays other actions');
SELECT isnt(pg_temp.figures(77000002), :'first', 'with other results');
SELECT is((SELECT count(*) FROM economy.users WHERE external_id LIKE 'sim-7700000_-%'), 800::bigint, 'by other users');
SELECT ok((SELECT sum(total) FILTER (WHERE place <= 40) > 0.4 * sum(total) FROM (SELECT g.total, split_part(u.external_id, '-', 3)::int AS place FROM economy.users u JOIN economy.game_stats g USING (user_id)
           WHERE u.external_id LIKE 'sim-77000001-%') p), 'a tenth of the users plays much of it');
SELECT ok((SELECT count(DISTINCT g.game) = 4 AND bool_and(g.bet_sum > 0) FROM economy.users u JOIN economy.game_stats g USING (user_id) WHERE u.external_id LIKE 'sim-77000001-%'), 'all games are played, for gold');
SELECT is((SELECT string_agg(DISTINCT concat_ws(' ', t.outcome, t.bet = 0, t.win > 0), ', ') FROM economy.user_actions t JOIN economy.users u USING (user_id) WHERE u.external_id LIKE 'sim-77000001-%' AND t.action_type = 'REFUND'), 'draw t t', 'refunds give gold back and decide nothing');
SELECT ok((SELECT count(*) BETWEEN 40 AND 150 FROM economy.user_actions t JOIN economy.users u USING (user_id) WHERE u.external_id LIKE 'sim-77000001-%' AND t.action_type = 'REFUND'), 'about 0.7 % of the actions');
CREATE TEMP VIEW played AS SELECT split_part(u.external_id, '-', 3)::int AS who, split_part(t.action_id, '-', 3)::int AS n, t.* FROM economy.user_actions t JOIN economy.users u USING (user_id) WHERE u.external_id LIKE 'sim-77000001-%';
SELECT is((SELECT string_agg(DISTINCT concat_ws(' ', r.user_id = a.user_id, r.game = a.game, r.win = a.bet), ', ') FROM played r JOIN played a ON a.n = r.n - 100 WHERE r.action_type = 'REFUND' AND a.action_type <> 'REFUND'), 't t t', 'each that of the action a hundred before');
SELECT is((SELECT row(min(bet) >= 1, max(bet) <= 5000, percentile_cont(0.5) WITHIN GROUP (ORDER BY bet) BETWEEN 18 AND 22)::text FROM played WHERE action_type <> 'REFUND'), '(t,t,t)', 'stakes from 1 to 5000, around 20');
SELECT is((SELECT string_agg(format('%s: %s', cheat, CASE WHEN won BETWEEN 0.46 AND 0.50 THEN 'less than half' WHEN won BETWEEN 0.6 AND 0.7 THEN 'two thirds' ELSE won::text END), ', ' ORDER BY cheat) FROM (SELECT who % 200 = 0 AS cheat, avg((win > 0)::int) AS won FROM played WHERE action_type <> 'REFUND' GROUP BY 1) w), 'f: less than half, t: two thirds', 'every two hundredth user wins more often');
SELECT ok((SELECT count(*) FILTER (WHERE n < before) BETWEEN 50 AND 400 FROM (SELECT split_part(t.action_id, '-', 3)::int AS n, lag(split_part(t.action_id, '-', 3)::int) OVER (PARTITION BY t.user_id ORDER BY t.seq) AS before
           FROM economy.user_actions t JOIN economy.users u USING (user_id) WHERE u.external_id LIKE 'sim-77000001-%') a), 'some come late');
SELECT is(pg_temp.simulate(3, 0, 77000003), NULL, 'no actions');
SELECT is((SELECT count(*) FROM economy.users u JOIN economy.accounts a USING (user_id) WHERE u.external_id LIKE 'sim-77000003-%' AND a.gold = 1000000), 3::bigint, 'but users with gold');
SELECT throws_ok(format('SELECT * FROM economy.simulate(%s)', args), CASE WHEN args ~ 'NULL' THEN 'XE001' ELSE 'XE002' END, NULL, 'simulate(' || args || ')')
FROM unnest(ARRAY['NULL, 1, 1', '1, NULL, 1', '1, 1, NULL', '0, 1, 1', '1, -1, 1', '10000001, 1, 1', '1, 100000001, 1']) args;
SELECT is_empty('SELECT * FROM economy.stats_parity()', 'statistics equal the entries');
SELECT is_empty($$SELECT v.* FROM economy.users u, economy.verify_chain(u.user_id) v WHERE u.external_id LIKE 'sim-7700000%'$$, 'the chains are clean');
SELECT * FROM finish();
ROLLBACK;
