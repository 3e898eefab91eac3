-- mission_dry_run(): what it says of a mission is what happens, and nothing is changed.
BEGIN;
SELECT no_plan();
-- more by hand: psql -v entries=1000 -v missions=60 -v seed=0.4
\if :{?entries} \else
\set entries 80
\endif
\if :{?missions} \else
\set missions 24
\endif
\if :{?seed} \else
\set seed 0.29
\endif

SELECT set_config('economy.test_clock', '2031-03-05 12:00:00+00', true) AS x \gset
CREATE TEMP TABLE player AS SELECT w, economy.register('pgtap dry mission ' || w) AS id FROM generate_series(1, 5) w;
SELECT count(*) AS x FROM player p, economy.adjust_gold(p.id, 100000, 'open', 'pgtap', 'pgtap') \gset
SELECT count(*) AS x FROM economy.register_game('pgtap_dice') \gset
SELECT count(*) AS x FROM economy.upsert_item('{"item_id": "pgtap_gem", "kind": "stack"}', 'pgtap') \gset
SELECT count(*) AS x FROM economy.upsert_product('{"product_id": "pgtap_map", "category": "item", "price_gold": 10, "effect_code": "map"}', 'pgtap') \gset
CREATE FUNCTION pg_temp.id(who int) RETURNS bigint LANGUAGE sql AS $$ SELECT p.id FROM player p WHERE p.w = who $$;
CREATE FUNCTION pg_temp.at(clock timestamptz) RETURNS void LANGUAGE sql AS
    $$ SELECT set_config('economy.test_clock', to_char(clock AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00', true) $$;
CREATE TEMP SEQUENCE key;
-- an entry of a kind that is drawn, and sometimes it is taken back, at once or later
CREATE TEMP TABLE made (who int, kind text, transaction_id text);
CREATE FUNCTION pg_temp.one_of(VARIADIC given text[]) RETURNS text LANGUAGE sql AS $$ SELECT given[1 + floor(random() * cardinality(given))::int] $$;
CREATE FUNCTION pg_temp.play() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    who  int := 1 + floor(random() * 5)::int;
    kind text := pg_temp.one_of('play', 'play', 'play', 'buy', 'give', 'back');
    k    text := 'k' || nextval('key');
    back record;
BEGIN
    CASE kind
        WHEN 'play' THEN
            PERFORM FROM economy.record_action(pg_temp.id(who), 'pgtap_dice', pg_temp.one_of('roll', 'throw'), k, 2, floor(random() * 5)::int);
        WHEN 'buy' THEN
            INSERT INTO made SELECT who, kind, p.transaction_id FROM economy.purchase(pg_temp.id(who), 'pgtap_map', k, 1 + floor(random() * 3)::int) p;
        WHEN 'give' THEN
            INSERT INTO made SELECT who, kind, g.transaction_id FROM economy.grant_reward(pg_temp.id(who), 'pgtap', k, 5) g;
        ELSE
            DELETE FROM made m WHERE m.transaction_id = (SELECT o.transaction_id FROM made o ORDER BY random() LIMIT 1) RETURNING * INTO back;
            IF back.kind = 'buy' THEN
                PERFORM FROM economy.refund_purchase(pg_temp.id(back.who), back.transaction_id, k, NULL, 'why', 'pgtap');
            ELSIF back.kind = 'give' THEN
                PERFORM FROM economy.revoke_reward(pg_temp.id(back.who), back.transaction_id, 'why', 'pgtap');
            END IF;
    END CASE;
END
$$;
CREATE FUNCTION pg_temp.random_mission(n int) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    trigger text := pg_temp.one_of('action', 'action', 'purchase', 'reward', 'entry');
    counts  jsonb := pg_temp.one_of('{"progress": "count"}', '{"progress": "count", "increment_cap": 1}', '{"progress": "sum", "field": "event.gold_spent"}',
                                    '{"progress": "sum", "field": "event.gold_gained", "increment_cap": 4}', '{"progress": "max", "field": "event.gold_spent"}');
BEGIN
    RETURN jsonb_build_object('mission', 'pgtap.dry' || n, 'trigger', trigger, 'target', pg_temp.one_of('1', '2', '3', '5', '12', '20')::bigint, 'claim_hours', pg_temp.one_of('0', '24', '200')::int,
            'period', pg_temp.one_of('once', 'daily', 'weekly'), 'gold', floor(random() * 9)::int, 'xp', 3)
        || counts
        || CASE WHEN trigger = 'action' THEN pg_temp.one_of('{}', '{"condition": {"eq": ["event.action_type", "roll"]}}', '{"condition": {"not": {"lt": ["event.win", 2]}}}')::jsonb
           ELSE pg_temp.one_of('{}', '{"condition": {"between": ["time.hour", 6, 18]}}')::jsonb END
        || CASE WHEN random() < 0.3 THEN jsonb_build_object('requires', jsonb_build_array(pg_temp.one_of('pgtap.first', 'pgtap.second'))) ELSE '{}' END
        || CASE WHEN random() < 0.3 THEN '{"items": {"pgtap_gem": 2}}' ELSE '{}'::jsonb END;
END
$$;
SELECT setseed(:seed) AS x \gset

-- missions that others require have begun before
SELECT pg_temp.at('2031-03-05 12:30:00+00') AS x \gset
SELECT count(*) AS x FROM (VALUES ('{"mission": "pgtap.first", "trigger": "entry", "target": 9}'), ('{"mission": "pgtap.second", "trigger": "action", "requires": ["pgtap.first"], "target": 4}')) v (m),
    economy.publish_mission(v.m::jsonb, 'pgtap') \gset
SELECT count(pg_temp.at(timestamptz '2031-03-05 13:00:00+00' + n * interval '10 minutes')) + count(pg_temp.play()) AS x FROM generate_series(1, 20) n \gset
\set since 2031-03-06T00:00:00Z
SELECT pg_temp.at(:'since') AS x \gset
CREATE TEMP TABLE given AS SELECT n, pg_temp.random_mission(n) AS template FROM generate_series(1, :missions) n;
SELECT is(count(*), :missions::bigint, 'all are published') FROM given g, economy.publish_mission(g.template, 'pgtap');

-- what really happens, looked at after each entry: what is over is forgotten
CREATE TEMP TABLE seen (user_id bigint, mission text, period text, done boolean, PRIMARY KEY (user_id, mission, period));
CREATE FUNCTION pg_temp.look() RETURNS void LANGUAGE sql AS $$
    INSERT INTO seen AS s SELECT p.user_id, p.mission, p.period, p.state <> 'active' FROM economy.mission_progress p WHERE p.user_id IN (SELECT id FROM player) AND p.mission LIKE 'pgtap.dry%'
    ON CONFLICT (user_id, mission, period) DO UPDATE SET done = s.done OR excluded.done
$$;
SELECT count(pg_temp.at(timestamptz :'since' + (n - 1) * interval '3 hours 10 minutes')) + count(pg_temp.play()) + count(pg_temp.look()) AS x FROM generate_series(1, :entries) n \gset
SELECT economy.now() + interval '1 second' AS until \gset
SELECT cmp_ok(count(*), '>=', 3::bigint, 'users have completed many missions') FROM seen WHERE done;
SELECT is(sum(c.n) FILTER (WHERE c.success), sum(c.n), 'and some are claimed, which makes entries too')
FROM (SELECT c.success, count(*) AS n FROM player p, economy.claim_all(p.id) c WHERE p.w < 3 AND c.mission LIKE 'pgtap.dry%' GROUP BY 1) c;
SELECT pg_temp.look() AS x \gset
SELECT pg_temp.at(:'until'::timestamptz + interval '20 days') AS x \gset
SELECT count(pg_temp.play()) AS x FROM generate_series(1, 10) n \gset

-- and what is said of it afterwards, with what there is to be changed before and behind
CREATE FUNCTION pg_temp.state() RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws('|', (SELECT md5(string_agg(t::text || t.xmin || t.ctid, ',' ORDER BY t.number)) FROM economy.mission_templates t),
        (SELECT string_agg(concat_ws(' ', a.user_id, a.seq, a.gold, a.xmin, a.ctid), ',' ORDER BY a.user_id) FROM economy.accounts a WHERE a.user_id IN (SELECT id FROM player)),
        (SELECT count(*) FROM economy.config_changes), (SELECT count(*) FROM economy_internal.config_heads),
        (SELECT string_agg(s.schemaname || s.sequencename || s.last_value, ',' ORDER BY 1) FROM pg_sequences s WHERE s.schemaname LIKE 'economy%'))
$$;
SELECT pg_temp.state() AS before \gset
CREATE TEMP TABLE said AS SELECT g.n, d.* FROM given g, economy.mission_dry_run(g.template, :'since', :'until') d;
SELECT results_eq(
    $$SELECT g.template, s.progressed, s.completed, s.completions, s.gold, s.xp, s.items FROM said s JOIN given g USING (n) ORDER BY n$$,
    $$SELECT g.template, count(DISTINCT s.user_id), count(DISTINCT s.user_id) FILTER (WHERE s.done), count(*) FILTER (WHERE s.done), (g.template -> 'gold')::numeric * count(*) FILTER (WHERE s.done),
             3::numeric * count(*) FILTER (WHERE s.done), CASE WHEN g.template ? 'items' THEN jsonb_build_object('pgtap_gem', 2 * count(*) FILTER (WHERE s.done)) END
      FROM given g LEFT JOIN seen s ON s.mission = g.template ->> 'mission' GROUP BY g.n, g.template ORDER BY g.n$$, 'what it says is what happened');
SELECT ok(bool_and(s.users = (SELECT count(*) FROM economy.accounts) AND s.entries = (SELECT count(*) FROM economy.ledger) AND s.incomplete = 0), 'all users and all their entries were looked at') FROM said s;
SELECT is(pg_temp.state(), :'before', 'nothing is changed, no sequence either');
SELECT is(string_agg(DISTINCT m.mission || m.version, ','), NULL, 'no user sees another version') FROM player p, economy.missions(p.id) m WHERE m.mission LIKE 'pgtap.dry%' AND m.version > 1;

-- a part of the time
SELECT is(d.completions, s.completions, 'the moment of its publication counts, and that of its end does not')
FROM (SELECT count(*) AS n, min(l.created_at) AS first, max(l.created_at) AS last FROM economy.ledger l WHERE l.user_id = pg_temp.id(1) AND l.created_at < :'until') e,
     economy.mission_dry_run('{"mission": "pgtap.any", "trigger": "entry", "target": 1, "condition": {"ge": ["user.gold", 0]}}', e.first, e.last) d,
     LATERAL (SELECT count(DISTINCT l.user_id) AS completions FROM economy.ledger l WHERE l.user_id IN (SELECT id FROM player) AND l.created_at >= e.first AND l.created_at < e.last) s;
SELECT is(d.progressed || ' ' || d.completions || ' ' || d.gold, '0 0 0', 'before all entries there is nothing') FROM economy.mission_dry_run('{"mission": "pgtap.any", "trigger": "entry", "target": 1, "gold": 5}', '-infinity', '2031-01-01Z') d;
SELECT is(d.progressed, 5::bigint, 'until is now') FROM economy.mission_dry_run('{"mission": "pgtap.any", "trigger": "entry", "target": 1000, "condition": {"ge": ["user.gold", 0]}}', '2031-03-05Z') d;

-- starts_at and ends_at are of the time to come
SELECT is(d.completions > 0, true, 'a mission that is to begin is asked of the past')
FROM economy.mission_dry_run('{"mission": "pgtap.any", "trigger": "action", "target": 1, "starts_at": "2040-01-01T00:00:00Z", "ends_at": "2040-02-01T00:00:00Z"}', :'since', :'until') d;

-- refusals: as publish_mission() has them
SELECT throws_ok(format('SELECT economy.mission_dry_run(%L, %L)', v.m, :'since'), 'XE403', v.says, v.says) FROM (VALUES
    ('[]', 'mission must be a JSON object with a mission'), ('{}', 'mission must be a JSON object with a mission'),
    ('{"mission": "pgtap.bad", "trigger": "login", "target": 1}', 'mission "pgtap.bad" is not valid'),
    ('{"mission": "pgtap.bad", "trigger": "action", "target": 1, "condition": {"eq": ["event.bet", "1"]}}', 'mission "pgtap.bad" is not valid'),
    ('{"mission": "pgtap.first", "trigger": "action", "target": 1, "requires": ["pgtap.second"]}', 'mission "pgtap.first" is not valid'),
    ('{"mission": "pgtap.first", "trigger": "action", "target": 1, "period": "daily"}', 'mission "pgtap.first" is not valid')) v (m, says);
SELECT is(pg_temp.state(), :'before', 'nothing is changed by these either');

-- entries that are gone
SELECT count(*) AS x FROM generate_series(1, 100) n, economy.rollup_stats() \gset
SELECT cmp_ok(p.actions, '>', 0::bigint, 'actions are pruned') FROM economy.prune('1 day') p;
SELECT cmp_ok(d.incomplete, '>', 0::bigint, 'users of whom entries are gone that might have counted are told') FROM economy.mission_dry_run('{"mission": "pgtap.any", "trigger": "action", "target": 1}', :'since', :'until') d;
SELECT is(d.incomplete, 0::bigint, 'and none when it would have begun later') FROM economy.mission_dry_run('{"mission": "pgtap.any", "trigger": "action", "target": 1}', :'until'::timestamptz + interval '19 days') d;
SELECT * FROM finish();
ROLLBACK;
