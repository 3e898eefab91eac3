-- A bulk load of actions that five missions count, against one where none is published, in an
-- empty database of its own.  psql variables: actions, in ten calls, users, rounds.  Prints a
-- line of work, seconds, its peer, the peer's seconds, and the ratio: medians of the rounds.
\set ON_ERROR_STOP 1
SET client_min_messages = warning;
SET synchronous_commit = off;
SET economy.notify = off;
CREATE EXTENSION economy;
CREATE SCHEMA bench;
CREATE TABLE bench.figure (what text, seconds double precision);
SELECT count(economy.register('bench-' || n)) AS x FROM generate_series(1, :users) n \gset
SELECT count(economy.adjust_gold(n, 1000000000, 'bench-gold', 'play money', 'bench')) AS x FROM generate_series(1, :users) n \gset
SELECT 'ALTER TABLE ' || t || ' SET (autovacuum_enabled = off)' FROM unnest(ARRAY['economy.accounts', 'economy.user_actions']) t \gexec

-- a few players play much and many play little (the cube of an even draw)
CREATE PROCEDURE bench.load(what text, round integer, actions integer, users integer) LANGUAGE plpgsql AS $$
DECLARE
    start timestamptz;
    made  bigint;
BEGIN
    CREATE TABLE bench.calls AS
        SELECT n % 10 AS call, jsonb_agg(jsonb_build_object('user_id', 1 + floor(users * ((hashint4(n)::bigint + 2147483648) / 4294967296.0) ^ 3)::bigint,
            'game', 'slot', 'action_type', 'SLOT_SPIN', 'action_id', format('%s-%s-%s', what, round, n), 'bet', 1, 'win', 2)) AS actions
        FROM generate_series(0, actions - 1) n GROUP BY 1;
    COMMIT;
    CHECKPOINT;
    start := clock_timestamp();
    FOR c IN 0 .. 9 LOOP
        SELECT count(*) FILTER (WHERE r.code = 'OK') INTO made FROM bench.calls b, economy.record_actions(b.actions) r WHERE b.call = c;
        COMMIT;
        ASSERT made = (SELECT jsonb_array_length(b.actions) FROM bench.calls b WHERE b.call = c), 'an action was refused';
    END LOOP;
    INSERT INTO bench.figure VALUES (what, extract(epoch FROM clock_timestamp() - start));
    DROP TABLE bench.calls;
END
$$;
-- the first one fills caches
SELECT format('CALL bench.load(%L, %s, %s, %s)', CASE r WHEN 0 THEN 'first' ELSE 'with no mission' END, r, :actions, :users) FROM generate_series(0, :rounds) r \gexec
VACUUM ANALYZE;
SELECT count(economy.publish_mission(m::jsonb, 'bench')) AS x FROM (VALUES
    ('{"mission": "wins", "trigger": "action", "condition": {"all": [{"eq": ["event.game", "slot"]}, {"eq": ["event.outcome", "win"]}]}, "target": 3, "period": "daily", "gold": 10}'),
    ('{"mission": "spins", "trigger": "action", "condition": {"eq": ["event.game", "slot"]}, "target": 20, "period": "daily", "gold": 10}'),
    ('{"mission": "bets", "trigger": "action", "condition": {"eq": ["event.game", "slot"]}, "progress": "sum", "field": "event.bet", "target": 10000, "period": "weekly", "gold": 10}'),
    ('{"mission": "winner", "trigger": "action", "condition": {"ge": ["event.win", 2]}, "progress": "sum", "field": "event.win", "target": 10000, "period": "weekly", "gold": 10}'),
    ('{"mission": "great", "trigger": "action", "progress": "max", "field": "event.win", "target": 10000, "gold": 10}')) v (m) \gset
SELECT format('CALL bench.load(%L, %s, %s, %s)', 'with five missions', r, :actions, :users) FROM generate_series(1, :rounds) r \gexec
DO $$
BEGIN
    ASSERT (SELECT count(DISTINCT mission) = 5 FROM economy.mission_progress), 'missions did not count';
END
$$;
\pset tuples_only on
\pset format unaligned
\pset fieldsep '\t'
WITH median AS (SELECT what, percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) AS s FROM bench.figure GROUP BY 1)
SELECT a.what, a.s, b.what, b.s, a.s / b.s FROM median a, median b WHERE a.what = 'with five missions' AND b.what = 'with no mission';
