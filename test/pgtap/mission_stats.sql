-- mission_stats(): how missions go, counted again.
BEGIN;
SELECT plan(16);

SELECT set_config('economy.test_clock', '2031-03-05 12:00:00+00', true) AS x \gset
CREATE TEMP TABLE player AS SELECT w, economy.register('pgtap stats ' || w) AS id FROM generate_series(1, 8) w;
SELECT count(*) AS x FROM player p, economy.adjust_gold(p.id, 100000, 'open', 'pgtap', 'pgtap') \gset
SELECT count(*) AS x FROM economy.register_game('pgtap_dice') \gset
CREATE FUNCTION pg_temp.id(who int) RETURNS bigint LANGUAGE sql AS $$ SELECT p.id FROM player p WHERE p.w = who $$;
CREATE FUNCTION pg_temp.at(clock text) RETURNS void LANGUAGE sql AS $$ SELECT set_config('economy.test_clock', clock, true) $$;
CREATE TEMP SEQUENCE key;
CREATE FUNCTION pg_temp.play(who int) RETURNS text LANGUAGE sql AS
    $$ SELECT r.code FROM economy.record_action(pg_temp.id(who), 'pgtap_dice', 'roll', 'k' || nextval('key'), 2, 3) r $$;
CREATE FUNCTION pg_temp.stats(mission text) RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(concat_ws(' ', s.version, s.joined, s.active, s.completed, s.claimed, s.claims, s.taken_back, s.gold, s.xp, extract(epoch FROM s.to_complete)::integer), ', ' ORDER BY s.version)
       FROM economy.mission_stats(mission) s $$;

SELECT is(pg_temp.stats('pgtap.two'), NULL, 'of one that there is not there is nothing');
SELECT is(count(*), 2::bigint, 'two are published') FROM (VALUES
    ('{"mission": "pgtap.two", "trigger": "action", "target": 2, "gold": 10, "xp": 3, "claim_hours": 72}'),
    ('{"mission": "pgtap.day", "trigger": "action", "target": 3, "gold": 7, "period": "daily", "claim_hours": 24}')) v (m), economy.publish_mission(v.m::jsonb, 'pgtap');
SELECT is(pg_temp.stats('pgtap.two'), '1 0 0 0 0 0 0 0 0', 'nobody has begun');
SELECT pg_temp.at('2031-03-05 12:30:00+00') AS x \gset
SELECT string_agg(pg_temp.play(w), '') AS x FROM unnest(ARRAY[1, 1, 1, 2, 3, 3]) w \gset
SELECT pg_temp.at('2031-03-05 14:00:00+00') AS x \gset
SELECT string_agg(pg_temp.play(w), '') AS x FROM unnest(ARRAY[4, 4, 4, 5]) w \gset
SELECT is(pg_temp.stats('pgtap.two'), '1 5 2 3 0 0 0 0 0 1800', 'five have begun, and three are done, half of them within half an hour');
SELECT is(pg_temp.stats('pgtap.day'), '1 5 3 2 0 0 0 0 0 1800', 'of a day that began before it was published, too');
SELECT is(c.code, 'OK', 'one is claimed') FROM economy.claim_mission(pg_temp.id(1), 'pgtap.two') c;
SELECT is(r.code, 'OK', 'another one is, and is taken back in part') FROM economy.claim_mission(pg_temp.id(3), 'pgtap.two') c,
    economy.revoke_reward(pg_temp.id(3), c.transaction_id, 'why', 'pgtap', 4, idempotency_key => 'r') r;
SELECT is(c.code, 'OK', 'and one of a day') FROM economy.claim_mission(pg_temp.id(4), 'pgtap.day') c;
SELECT is(pg_temp.stats('pgtap.two'), '1 5 2 1 2 2 1 16 3 1800', 'what is paid is known');
SELECT is(pg_temp.stats('pgtap.day'), '1 5 3 1 1 1 0 7 0 1800', 'of each');

-- another version, and days later
SELECT pg_temp.at('2031-03-06 15:00:00+00') AS x \gset
SELECT is(version, 2, 'the next version') FROM economy.publish_mission('{"mission": "pgtap.two", "trigger": "action", "target": 1, "gold": 1, "claim_hours": 72}', 'pgtap');
SELECT pg_temp.at('2031-03-06 15:01:00+00') AS x \gset
SELECT string_agg(pg_temp.play(w), '') AS x FROM unnest(ARRAY[2, 4]) w \gset
SELECT is(pg_temp.stats('pgtap.two'), '1 4 1 1 2 2 1 16 3 1800, 2 2 0 2 0 0 0 0 0 60', 'versions are apart, and what is over is forgotten with the next entry that counts');
SELECT pg_temp.at('2031-03-10 00:00:00+00') AS x \gset
SELECT string_agg(pg_temp.play(w), '') AS x FROM generate_series(1, 5) w, generate_series(1, 3) \gset
SELECT is(pg_temp.stats('pgtap.day'), '1 5 0 5 0 1 0 7 0 0', 'claims are known for good, and a day is from its beginning');
SELECT is((SELECT count(*) FROM economy.mission_stats() s WHERE s.mission LIKE 'pgtap.%'), 3::bigint, 'of all there is a row for each version');

-- the same, counted in another way
SELECT results_eq($$SELECT s.mission COLLATE "C", s.version, s.joined, s.active, s.completed, s.claimed FROM economy.mission_stats() s ORDER BY 1, 2$$,
    $$SELECT t.mission, t.version, count(DISTINCT p.user_id), count(*) FILTER (WHERE p.state = 'active'), count(*) FILTER (WHERE p.state = 'completed'), count(*) FILTER (WHERE p.state = 'claimed')
      FROM economy.mission_templates t LEFT JOIN economy.mission_progress p ON p.mission = t.mission AND p.version = t.version GROUP BY 1, 2 ORDER BY 1, 2$$, 'progress is what stands');
SELECT results_eq($$SELECT s.mission COLLATE "C", sum(s.claims)::bigint, sum(s.gold) FROM economy.mission_stats() s GROUP BY 1 HAVING sum(s.claims) > 0 ORDER BY 1$$,
    $$SELECT substr(l.source, 17) COLLATE "C", count(*), sum(l.gold_delta) + coalesce(sum((SELECT sum(b.gold_delta) FROM economy.reward_audit b WHERE b.user_id = l.user_id AND b.reverses = l.seq)), 0)
      FROM economy.reward_audit l WHERE l.source LIKE 'economy:mission:%' AND l.reverses IS NULL GROUP BY 1 ORDER BY 1$$, 'and so is what was paid');
SELECT * FROM finish();
ROLLBACK;
