-- What missions count beside entries, sums and maxima, each compared with PL/pgSQL that knows the reference alone.
BEGIN;
SELECT no_plan();
-- more by hand: psql -v entries=3000
\if :{?entries} \else
\set entries 200
\endif

SELECT set_config('economy.test_clock', '2031-03-05 12:00:00+00', true) AS x \gset
CREATE TEMP TABLE player AS SELECT w, economy.register('pgtap kinds ' || w) AS id FROM unnest(ARRAY['a', 'b', 'c', 'd']) w;
SELECT count(*) AS x FROM player p, economy.adjust_gold(p.id, 100000, 'open', 'pgtap', 'pgtap') \gset
SELECT count(*) AS x FROM economy.register_game('pgtap_kinds') \gset
CREATE FUNCTION pg_temp.id(who text) RETURNS bigint LANGUAGE sql AS $$ SELECT p.id FROM player p WHERE p.w = who $$;
CREATE FUNCTION pg_temp.at(clock text) RETURNS void LANGUAGE sql AS $$ SELECT set_config('economy.test_clock', clock, true) $$;
CREATE TEMP SEQUENCE key;
CREATE FUNCTION pg_temp.play(who text, action text, details jsonb DEFAULT NULL, bet bigint DEFAULT 2) RETURNS text LANGUAGE sql AS
    $$ SELECT r.code FROM economy.record_action(pg_temp.id(who), 'pgtap_kinds', action, 'k' || nextval('key'), bet, 1, details => details) r $$;
CREATE FUNCTION pg_temp.publish(mission jsonb) RETURNS text LANGUAGE sql AS
    $$ SELECT concat_ws(' ', p.mission, p.version) FROM economy.publish_mission('{"trigger": "action"}' || mission, 'ann') p $$;
-- of those of this test: others may be published
CREATE FUNCTION pg_temp.shown(who text, name text DEFAULT '') RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(concat_ws(' ', substr(m.mission, 5), m.period, m.state, m.progress || '/' || m.target, CASE WHEN m.claimable THEN 'claimable' END), ', ')
       FROM economy.missions(pg_temp.id(who)) m WHERE m.mission LIKE 'pgk.' || name || '%' $$;
CREATE FUNCTION pg_temp.claim(who text, mission text, period text DEFAULT NULL) RETURNS text LANGUAGE sql AS
    $$ SELECT concat_ws(' ', c.state, c.code, c.gold_delta, c.detail) FROM economy.claim_mission(pg_temp.id(who), 'pgk.' || mission, period) c $$;
CREATE FUNCTION pg_temp.sound() RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(concat_ws(' ', p.w, d.mission, d.version, d.period, d.expected, d.actual), ', ') FROM player p, economy.mission_parity(p.id) d $$;
CREATE FUNCTION pg_temp.wrong(mission jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    says text;
BEGIN
    PERFORM economy.publish_mission('{"mission": "pgk.bad", "trigger": "action", "target": 1}' || mission, 'pgtap');
    RETURN 'nothing';
EXCEPTION WHEN SQLSTATE 'XE403' THEN
    GET STACKED DIAGNOSTICS says = PG_EXCEPTION_DETAIL;
    RETURN says;
END
$$;

-- distinct
SELECT is(pg_temp.wrong(given::jsonb), says, says) FROM (VALUES
    ('{"progress": "distinct"}', 'field is what sum, max and distinct are of, and count and streak have none.'),
    ('{"progress": "distinct", "field": "event.game", "target": 65}', 'the target of distinct must be from 1 to 64.'),
    ('{"progress": "distinct", "field": "event.product"}', '"event.product" is no field that entries of the trigger have.')) v (given, says);
SELECT is(pg_temp.publish('{"mission": "pgk.acts", "progress": "distinct", "field": "event.action_type", "target": 3, "gold": 5}'), 'pgk.acts 1', 'one of texts');
SELECT is(pg_temp.publish('{"mission": "pgk.bets", "progress": "distinct", "field": "event.bet", "increment_cap": 7, "target": 64, "period": "daily"}'), 'pgk.bets 1', 'one of numbers');
SELECT is(pg_temp.publish('{"mission": "pgk.any", "progress": "distinct", "field": "event.details.v", "target": 20}'), 'pgk.any 1', 'and one of whatever stands in details');
-- a session may not have heard of what was published just now
SELECT pg_temp.at('2031-03-05 12:05:00+00');
SELECT is(pg_temp.play('a', 'x') || pg_temp.play('a', 'x') || pg_temp.play('a', 'y'), 'OKOKOK', 'three actions of two types');
SELECT is(pg_temp.shown('a', 'acts'), 'acts once active 2/3', 'count as two');
SELECT is(pg_temp.claim('a', 'acts'), 'refused MISSION_NOT_COMPLETED {"target": 3, "progress": 2}', 'which are not three');
SELECT is(pg_temp.sound(), NULL, 'the entries say the same');
SELECT is(pg_temp.play('a', 'z') || pg_temp.play('a', 'w'), 'OKOK', 'two more types');
SELECT is(pg_temp.shown('a', 'acts'), 'acts once completed 3/3 claimable', 'progress ends at the target');
SELECT is(concat_ws(' ', p.since = e.seq, p.kept IS NULL), 't t', 'and nothing is kept of what is completed') FROM economy.accounts a, economy_internal.mission_progress_of(a.sections, NULL) p, economy.mission_templates t, economy.user_actions e
    WHERE a.user_id = pg_temp.id('a') AND t.number = p.number AND t.mission = 'pgk.acts' AND e.user_id = a.user_id AND e.action_type = 'z';
SELECT is(pg_temp.claim('a', 'acts') || ', ' || pg_temp.claim('a', 'acts'), 'new OK 5, reuse OK 5', 'it is paid once');
SELECT is(string_agg(pg_temp.play('b', 'v', v), ''), repeat('OK', 17), 'values of all types') FROM unnest(ARRAY['{"v": 5}', '{"v": 5.0}', '{"v": "5"}', '{"v": true}', '{"v": false}', '{"v": "t"}', '{"v": null}', '{"w": 1}', '{"v": [1]}', '{"v": {"a": 1}}', '{"v": -5}', '{"v": 0.5}', '{"v": 0.50}',
    '{"v": ""}', '{"v": "fifteen letters"}', '{"v": "fifteen letters!"}', '{"v": "fifteen letters?"}']::jsonb[]) v;
SELECT is(pg_temp.shown('b', 'any'), 'any once active 11/20', 'equal numbers are one, a text is no number, and what is none of them does not count');
SELECT is(count(*) FILTER (WHERE pg_temp.play('c', 'bet', NULL, n % 64) = 'OK'), 200::bigint, 'sixty-four numbers') FROM generate_series(1, 200) n;
SELECT is(pg_temp.shown('c', 'bets'), 'bets 2031-03-05 completed 64/64 claimable', 'are counted exactly');
SELECT is(pg_temp.sound(), NULL, 'the entries say the same');

-- what is taken back
SELECT is(pg_temp.publish('{"mission": "pgk.shop", "trigger": "purchase", "progress": "distinct", "field": "event.product", "target": 4}'), 'pgk.shop 1', 'different products');
SELECT count(*) AS x FROM unnest(ARRAY['a', 'b', 'a product with a long name']) n, economy.upsert_product(jsonb_build_object('product_id', 'pgk ' || n, 'category', 'item', 'price_gold', 3), 'pgtap') \gset
SELECT pg_temp.at('2031-03-05 12:10:00+00');
SELECT is(string_agg(p.code, ''), 'OKOKOKOKOK', 'five purchases of three') FROM (VALUES ('a', 1), ('a', 2), ('b', 3), ('a product with a long name', 4), ('a product with a long name', 5)) v (n, k), economy.purchase(pg_temp.id('d'), 'pgk ' || v.n, 'p' || v.k) p;
CREATE FUNCTION pg_temp.refund(what text, key text) RETURNS text LANGUAGE sql AS
    $$ SELECT r.code || ' ' || pg_temp.shown('d', 'shop') FROM economy.purchase(pg_temp.id('d'), 'pgk ' || what, key) p, economy.refund_purchase(pg_temp.id('d'), p.transaction_id, 'r' || key, NULL, 'why', 'pgtap') r $$;
SELECT is(pg_temp.refund('a', 'p1'), 'OK shop once active 3/4', 'of one that was bought twice one remains');
SELECT is(pg_temp.refund('a', 'p1'), 'OK shop once active 3/4', 'a refund that is sent again is one');
SELECT is(pg_temp.refund('a', 'p2'), 'OK shop once active 2/4', 'and then none');
SELECT is(pg_temp.refund('a product with a long name', 'p5'), 'OK shop once active 2/4', 'also of a long one');
SELECT is(pg_temp.refund('a product with a long name', 'p4'), 'OK shop once active 1/4', 'of which none is left');
SELECT is(pg_temp.sound(), NULL, 'the entries say the same');
SELECT is(p.code || ' ' || pg_temp.shown('d', 'shop'), 'OK shop once active 2/4', 'it counts anew') FROM economy.purchase(pg_temp.id('d'), 'pgk a', 'p6') p;

-- at random
SELECT is(pg_temp.publish(jsonb_build_object('mission', 'pgk.r' || n, 'trigger', t, 'progress', 'distinct', 'field', f, 'target', target, 'period', p)), 'pgk.r' || n || ' 1', concat_ws(' ', 'distinct', t, f, p)) FROM pg_temp.at('2031-03-10 12:00:00+00'), (VALUES
    (1, 'purchase', 'event.product', 3, 'once'), (2, 'purchase', 'event.quantity', 64, 'once'), (3, 'purchase', 'event.quantity', 3, 'daily'), (4, 'entry', 'event.gold_delta', 64, 'weekly'), (5, 'action', 'event.details.v', 50, 'daily')) v (n, t, f, target, p);
CREATE TEMP TABLE happens AS SELECT n, n * interval '37 minutes' AS after, random() < 0.5 AS buys, random() < 0.4 AS back, 1 + floor(random() * 6)::int AS q, (ARRAY['a', 'b', 'a product with a long name'])[1 + floor(random() * 3)::int] AS what FROM generate_series(1, :entries) n;
CREATE FUNCTION pg_temp.happen(h happens) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    u bigint := pg_temp.id('b');
    old text;
BEGIN
    PERFORM set_config('economy.test_clock', to_char(timestamptz '2031-03-10 12:00:00+00' + h.after, 'YYYY-MM-DD HH24:MI:SS') || '+00', true) FROM set_config('TimeZone', 'UTC', true);
    IF h.back THEN
        -- one of the last ones, some of another day, as a whole or in part
        SELECT concat('P', u, '-', p.seq) INTO old FROM economy.shop_transactions p WHERE p.user_id = u AND NOT EXISTS (SELECT FROM economy.shop_refunds r WHERE r.user_id = u AND r.reverses = p.seq) ORDER BY p.seq DESC OFFSET h.q - 1 LIMIT 1;
        IF old IS NOT NULL THEN
            RETURN (SELECT r.code FROM economy.refund_purchase(u, old, 'rr' || h.n, CASE WHEN h.n % 5 = 0 THEN 1 END, 'why', 'pgtap') r);
        END IF;
    END IF;
    IF h.buys THEN
        RETURN (SELECT p.code FROM economy.purchase(u, 'pgk ' || h.what, 'rp' || h.n, h.q) p);
    END IF;
    RETURN pg_temp.play('b', 'v', jsonb_build_object('v', CASE h.q WHEN 1 THEN to_jsonb(h.what) WHEN 2 THEN to_jsonb(h.n % 40) WHEN 3 THEN to_jsonb(h.n % 40 / 10.0) ELSE to_jsonb(h.n % 2 = 0) END));
END
$$;
SELECT is(string_agg(DISTINCT pg_temp.happen(h), ' '), 'OK', 'purchases, refunds and actions') FROM (SELECT h FROM happens h ORDER BY h.n) h;
CREATE TEMP TABLE counted (k text, v jsonb, seq bigint);
CREATE TEMP TABLE done (k text PRIMARY KEY);
-- The values of entries that were counted and not taken back, in order; what is completed stays.
CREATE FUNCTION pg_temp.model(mission text, u bigint) RETURNS TABLE (period text, progress bigint, state text) LANGUAGE plpgsql AS $$
DECLARE
    t economy.mission_templates := (SELECT t FROM economy.mission_templates t WHERE t.mission = model.mission);
    e record;
    day text;
BEGIN
    DELETE FROM counted;
    DELETE FROM done;
    FOR e IN
        SELECT * FROM (
            SELECT 'P' AS journal, p.seq, p.created_at, NULL::bigint AS reverses, CASE t.field WHEN 'event.product' THEN to_jsonb(p.product_id) WHEN 'event.quantity' THEN to_jsonb(p.quantity) ELSE to_jsonb(p.gold_delta) END AS v FROM economy.shop_transactions p WHERE p.user_id = u
            UNION ALL
            SELECT 'A', a.seq, a.created_at, NULL, CASE t.trigger WHEN 'action' THEN a.details -> 'v' ELSE to_jsonb(a.gold_delta) END FROM economy.user_actions a WHERE a.user_id = u
            UNION ALL
            SELECT 'G', g.seq, g.created_at, NULL, to_jsonb(g.gold_delta) FROM economy.gold_adjustments g WHERE g.user_id = u
            UNION ALL
            SELECT 'B', r.seq, r.created_at, p.seq, NULL FROM economy.shop_refunds r JOIN economy.shop_transactions p ON p.user_id = u AND p.seq = r.reverses AND p.quantity = r.quantity WHERE r.user_id = u) x
        WHERE x.reverses IS NOT NULL OR (t.trigger = 'entry' OR x.journal = CASE t.trigger WHEN 'purchase' THEN 'P' ELSE 'A' END)
        ORDER BY x.seq
    LOOP
        IF e.reverses IS NOT NULL THEN
            DELETE FROM counted c WHERE c.seq = e.reverses AND NOT EXISTS (SELECT FROM done d WHERE d.k = c.k);
            CONTINUE;
        END IF;
        day := CASE t.period WHEN 'once' THEN 'once' WHEN 'daily' THEN to_char(e.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') ELSE to_char(e.created_at AT TIME ZONE 'UTC', 'IYYY"-W"IW') END;
        CONTINUE WHEN e.created_at < t.starts_at OR e.v IS NULL OR EXISTS (SELECT FROM done d WHERE d.k = day);
        INSERT INTO counted VALUES (day, e.v, e.seq);
        IF (SELECT count(DISTINCT c.v) FROM counted c WHERE c.k = day) = t.target THEN
            INSERT INTO done VALUES (day);
        END IF;
    END LOOP;
    RETURN QUERY SELECT c.k, count(DISTINCT c.v), CASE WHEN d.k IS NULL THEN 'active' ELSE 'completed' END FROM counted c LEFT JOIN done d ON d.k = c.k GROUP BY c.k, d.k;
END
$$;
-- what is over is forgotten, and all that was taken back stands at 0
SELECT is((SELECT string_agg(concat_ws(' ', p.period, p.progress, p.state), ', ' ORDER BY p.period COLLATE "C") FROM economy.mission_progress p WHERE p.user_id = pg_temp.id('b') AND p.mission = t.mission AND p.progress > 0),
    (SELECT string_agg(concat_ws(' ', m.period, m.progress, m.state), ', ' ORDER BY m.period COLLATE "C") FROM pg_temp.model(t.mission, pg_temp.id('b')) m
     WHERE EXISTS (SELECT FROM economy.mission_progress p WHERE p.user_id = pg_temp.id('b') AND p.mission = t.mission AND p.period = m.period)), t.mission || ' is what a recount of the entries says')
    FROM economy.mission_templates t WHERE t.mission LIKE 'pgk.r%';
SELECT cmp_ok((SELECT count(*) FROM economy.mission_progress p WHERE p.user_id = pg_temp.id('b') AND p.mission LIKE 'pgk.r%' AND p.progress > 0), '>=', 5::bigint, 'of each there is something');
SELECT is(pg_temp.sound(), NULL, 'mission_parity() says the same');

-- what the audit finds
CREATE FUNCTION pg_temp.says(who text, mission text, kept bytea) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    UPDATE economy.accounts a SET sections = economy_internal.with_mission_progress(a.sections, p.number, p.period, p.progress, p.state, p.since, says.kept)
        FROM economy.mission_templates t, economy.accounts b, economy_internal.mission_progress_of(b.sections, NULL) p WHERE b.user_id = a.user_id AND a.user_id = pg_temp.id(who) AND t.mission = says.mission AND p.number = t.number;
    RAISE EXCEPTION '%', pg_temp.sound() USING ERRCODE = 'XX999';
EXCEPTION WHEN SQLSTATE 'XX999' THEN
    RETURN sqlerrm;
END
$$;
SELECT is(pg_temp.says('d', 'pgk.shop', decode('067470676b206301' || '0574706b206101', 'hex')), 'd pgk.shop 1 once active 2 with 067470676b2062010674' || '70676b206101 active 2 with 067470676b2063010574706b206101', 'another value is found');
SELECT is(pg_temp.says('d', 'pgk.shop', decode('067470676b206201' || '067470676b206102', 'hex')), 'd pgk.shop 1 once active 2 with 067470676b2062010674' || '70676b206101 active 2 with 067470676b206201067470676b206102', 'and one that was counted more often');
SELECT is(pg_temp.says('d', 'pgk.shop', NULL), 'd pgk.shop 1 once active 2 with 067470676b206201067470676b206101 active 2 with nothing', 'and none');
SELECT throws_ok(format($$UPDATE economy.accounts a SET sections = economy_internal.with_mission_progress(a.sections, t.number, 0, 2, 0, 0, decode('ff', 'hex')) FROM economy.mission_templates t WHERE a.user_id = %s AND t.mission = 'pgk.shop';
    SELECT economy.purchase(%1$s, 'pgk a', 'p7')$$, pg_temp.id('d')), 'XE103', NULL, 'what is no value is not counted on');

-- repeat: again after each claim
SELECT pg_temp.at('2031-05-01 12:00:00+00');
SELECT is(pg_temp.wrong(given::jsonb), 'period must be once, daily, weekly, repeat, repeat 1 to repeat 999999, or rolling 1 to rolling 8784, hours.', given) FROM unnest(ARRAY['{"period": "repeat 0"}', '{"period": "repeat 1000000"}', '{"period": "repeat x"}', '{"period": "rolling"}', '{"period": "rolling 8785"}', '{"period": "rolling -1"}']) given;
SELECT is(pg_temp.publish('{"mission": "pgk.again", "condition": {"eq": ["event.action_type", "again"]}, "target": 2, "period": "repeat 3", "gold": 7}'), 'pgk.again 1', 'one that is done three times');
SELECT is(pg_temp.publish('{"mission": "pgk.ever", "trigger": "reward", "target": 1, "period": "repeat", "gold": 1}'), 'pgk.ever 1', 'and one of rewards, without end');
SELECT is(pg_temp.wrong('{"requires": ["pgk.again"]}'), 'mission "pgk.again", which it requires, is not published with the period once, or has ended.', 'what repeats is never done');
CREATE FUNCTION pg_temp.again(n int DEFAULT 1) RETURNS text LANGUAGE sql AS $$ SELECT string_agg(pg_temp.play('a', 'again'), '') || ' ' || pg_temp.shown('a', 'again') FROM generate_series(1, n) $$;
SELECT pg_temp.at('2031-05-01 12:05:00+00');
SELECT is(pg_temp.shown('a', 'again'), 'again 1.1 active 0/2', 'the first run');
SELECT is(pg_temp.again(), 'OK again 1.1 active 1/2', 'begins');
SELECT is(pg_temp.claim('a', 'again'), 'refused MISSION_NOT_COMPLETED {"target": 2, "progress": 1}', 'none is paid early');
SELECT is(pg_temp.again(3), 'OKOKOK again 1.1 completed 2/2 claimable', 'what is done before it is claimed is no part of the next');
SELECT is(pg_temp.claim('a', 'again'), 'new OK 7', 'it is paid');
SELECT is(pg_temp.shown('a', 'again'), 'again 1.2 active 0/2', 'and begins anew');
SELECT is(pg_temp.claim('a', 'again'), 'reuse OK 7', 'a claim that is sent again is the same');
SELECT is(pg_temp.again(), 'OK again 1.2 active 1/2', 'until something counts');
SELECT is(pg_temp.claim('a', 'again') || ', ' || pg_temp.claim('a', 'again', '1.1'), 'refused MISSION_NOT_COMPLETED {"target": 2, "progress": 1}, reuse OK 7', 'when the one before is named');
SELECT is(pg_temp.sound(), NULL, 'the entries say the same');
SELECT is(pg_temp.again() || ', ' || pg_temp.claim('a', 'again') || ', ' || pg_temp.again(2) || ', ' || pg_temp.claim('a', 'again'), 'OK again 1.2 completed 2/2 claimable, new OK 7, OKOK again 1.3 completed 2/2 claimable, new OK 7', 'twice more');
SELECT is(pg_temp.again(2) || ', ' || pg_temp.claim('a', 'again'), 'OKOK again 1.3 claimed 2/2, reuse OK 7', 'and no more');
SELECT is(pg_temp.claim('a', 'again', '1.4'), 'refused MISSION_NOT_COMPLETED {"target": 2, "progress": 0}', 'there is no fourth');
SELECT is(pg_temp.sound(), NULL, 'the entries say the same');
SELECT is(count(*), 3::bigint, 'three were paid') FROM economy.reward_audit r WHERE r.user_id = pg_temp.id('a') AND r.source = 'economy:mission:pgk.again';
SELECT is(pg_temp.shown('a', 'ever'), 'ever 1.1 active 0/1', 'rewards of missions do not begin one that repeats');
SELECT is(g.code || ' ' || pg_temp.shown('a', 'ever') || ', ' || pg_temp.claim('a', 'ever') || ', ' || pg_temp.shown('a', 'ever'), 'OK ever 1.1 completed 1/1 claimable, new OK 1, ever 1.2 active 0/1', 'another reward does, and its own does not') FROM economy.grant_reward(pg_temp.id('a'), 'pgtap', 'e1', 5) g;
SELECT is(pg_temp.publish('{"mission": "pgk.again", "condition": {"eq": ["event.action_type", "again"]}, "target": 1, "period": "repeat", "gold": 8}'), 'pgk.again 2', 'another version');
SELECT is(pg_temp.again() || ', ' || pg_temp.claim('a', 'again'), 'OK again 2.1 completed 1/1 claimable, new OK 8', 'has runs of its own');
SELECT is(string_agg(pg_temp.again() || ', ' || pg_temp.claim('a', 'again'), ', '), 'OK again 2.2 completed 1/1 claimable, new OK 8, OK again 2.3 completed 1/1 claimable, new OK 8, OK again 2.4 completed 1/1 claimable, new OK 8, OK again 2.5 completed 1/1 claimable, new OK 8', 'without end') FROM generate_series(1, 4);
SELECT is(count(*) || ' ' || max(p.period), '1 5', 'of which one record is left') FROM economy.accounts a, economy_internal.mission_progress_of(a.sections, NULL) p JOIN economy.mission_templates t ON t.number = p.number WHERE a.user_id = pg_temp.id('a') AND t.mission = 'pgk.again' AND t.version = 2;
SELECT is(pg_temp.sound(), NULL, 'the entries say the same');
-- what is taken back of an earlier run is no part of this one
SELECT is(pg_temp.publish('{"mission": "pgk.buys", "trigger": "purchase", "progress": "sum", "field": "event.quantity", "target": 5, "period": "repeat"}'), 'pgk.buys 1', 'one of purchases');
CREATE FUNCTION pg_temp.buy(key text, n int) RETURNS text LANGUAGE sql AS $$ SELECT p.code || ' ' || pg_temp.shown('d', 'buys') FROM economy.purchase(pg_temp.id('d'), 'pgk a', 'q' || key, n) p $$;
CREATE FUNCTION pg_temp.back(key text, n int) RETURNS text LANGUAGE sql AS
    $$ SELECT r.code || ' ' || pg_temp.shown('d', 'buys') FROM economy.purchase(pg_temp.id('d'), 'pgk a', 'q' || key, n) p, economy.refund_purchase(pg_temp.id('d'), p.transaction_id, 'rq' || key, NULL, 'why', 'pgtap') r $$;
SELECT pg_temp.at('2031-05-01 12:10:00+00');
SELECT is(pg_temp.buy('1', 3) || ', ' || pg_temp.buy('2', 4) || ', ' || pg_temp.claim('d', 'buys') || ', ' || pg_temp.buy('3', 2) || ', ' || pg_temp.buy('4', 1), 'OK buys 1.1 active 3/5, OK buys 1.1 completed 5/5 claimable, new OK 0, OK buys 1.2 active 2/5, OK buys 1.2 active 3/5', 'the next run is under way');
SELECT is(pg_temp.back('2', 4), 'OK buys 1.2 active 3/5', 'a refund of the one before leaves it');
SELECT is(pg_temp.back('3', 2), 'OK buys 1.2 active 1/5', 'and one of its own does not');
SELECT is(pg_temp.sound(), NULL, 'the entries say the same');
SELECT is((SELECT d.completions FROM economy.mission_dry_run('{"mission": "pgk.dry", "trigger": "action", "condition": {"eq": ["event.action_type", "again"]}, "target": 2, "period": "repeat 2"}', economy.now() - interval '1 day') d), 2::bigint, 'a dry run takes it as claimed at once');
SELECT is(string_agg(DISTINCT (SELECT r.code FROM economy.revoke_reward(pg_temp.id('a'), concat('R', pg_temp.id('a'), '-', r.seq), 'why', 'pgtap') r), ','), 'OK', 'claims are taken back') FROM economy.reward_audit r WHERE r.user_id = pg_temp.id('a') AND r.source = 'economy:mission:pgk.again' AND r.reverses IS NULL;
SELECT is(pg_temp.shown('a', 'again') || ', ' || pg_temp.claim('a', 'again'), 'again 2.6 active 0/1, reuse OK 8', 'and are not paid again');
SELECT is(pg_temp.sound(), NULL, 'the entries say the same');

-- rolling: hours from the first progress on
SELECT pg_temp.at('2031-06-01 12:00:00+00');
SELECT is(to_char(p.starts_at AT TIME ZONE 'UTC', 'HH24:MI:SS'), '12:01:00', 'all sessions have heard of it when it begins') FROM economy.publish_mission('{"mission": "pgk.roll", "trigger": "action", "target": 2, "period": "rolling 24", "gold": 3, "claim_hours": 30}', 'pgtap') p;
CREATE FUNCTION pg_temp.roll(clock text) RETURNS text LANGUAGE sql AS $$ SELECT pg_temp.play('c', 'roll') || ' ' || pg_temp.shown('c', 'roll') FROM pg_temp.at('2031-06-' || clock || '+00') $$;
SELECT is(pg_temp.play('c', 'roll') || count(*), 'OK0', 'a moment before nothing is shown, and nothing counts') FROM pg_temp.at('2031-06-01 12:00:59.999999+00'), economy.missions(pg_temp.id('c')) m WHERE m.mission = 'pgk.roll';
SELECT is(concat_ws(' ', m.period, m.state, m.ends_at, m.progress), 'active 0', 'none has begun') FROM pg_temp.at('2031-06-01 12:01:00+00'), economy.missions(pg_temp.id('c')) m WHERE m.mission = 'pgk.roll';
SELECT is(pg_temp.claim('c', 'roll'), 'refused MISSION_NOT_COMPLETED {"target": 2, "progress": 0}', 'nor can one be claimed');
SET LOCAL enable_seqscan = off;
SELECT is(pg_temp.claim('a', 'roll') || ', ' || pg_temp.claim('a', 'none'), 'refused MISSION_NOT_COMPLETED {"target": 2, "progress": 0}, refused MISSION_NOT_FOUND', 'also by who was paid others, whatever index is read');
RESET enable_seqscan;
SELECT is(pg_temp.roll('01 13:07:09.5'), 'OK roll 2031-06-01T13:07:09Z active 1/2', 'the first progress begins one');
SELECT is(to_char(m.ends_at AT TIME ZONE 'UTC', 'DD HH24:MI:SS'), '02 13:07:09', 'of a day') FROM economy.missions(pg_temp.id('c')) m WHERE m.mission = 'pgk.roll';
SELECT is(pg_temp.roll('02 13:07:08.999999'), 'OK roll 2031-06-01T13:07:09Z completed 2/2 claimable', 'to its last moment');
SELECT is(pg_temp.roll('02 13:07:09'), 'OK roll 2031-06-01T13:07:09Z completed 2/2 claimable, roll 2031-06-02T13:07:09Z active 1/2', 'the next one begins with the next progress');
SELECT is(pg_temp.claim('c', 'roll', '2031-06-01T13:07:09Z') || ', ' || pg_temp.claim('c', 'roll', '2031-06-01T13:07:09Z') || ', ' || pg_temp.claim('c', 'roll'), 'new OK 3, reuse OK 3, refused MISSION_NOT_COMPLETED {"target": 2, "progress": 1}', 'each is claimed once');
SELECT is(pg_temp.roll('01 13:00:00'), 'OK roll 2031-06-02T13:07:09Z active 1/2', 'a clock that is set back begins none') FROM pg_temp.at('2031-06-02 13:07:10+00');
SELECT is(pg_temp.roll('02 13:07:20'), 'OK roll 2031-06-02T13:07:09Z completed 2/2 claimable', 'and the one that is there goes on');
SELECT is(pg_temp.sound(), NULL, 'the entries say the same');
SELECT matches(pg_temp.claim('c', 'roll'), '^refused MISSION_EXPIRED', 'claim_hours behind its end it is over') FROM pg_temp.at('2031-06-04 19:07:09+00');
SELECT is(pg_temp.claim('c', 'roll'), 'new OK 3', 'and before it is the one that is meant') FROM pg_temp.at('2031-06-04 19:07:08+00');
SELECT is(pg_temp.roll('09 00:00:00'), 'OK roll 2031-06-09T00:00:00Z active 1/2', 'what is over is forgotten');
SELECT is(pg_temp.claim('c', 'roll', '2031-06-02T13:07:09Z'), 'reuse OK 3', 'a claim is answered all the same');
SELECT is(pg_temp.sound(), NULL, 'the entries say the same');
-- at random: counted by hand
SELECT is(pg_temp.publish(m), m ->> 'mission' || ' 1', m ->> 'period') FROM pg_temp.at('2031-06-10 00:00:00+00'), unnest(ARRAY['{"mission": "pgk.w1", "progress": "sum", "field": "event.bet", "target": 9, "period": "rolling 5", "claim_hours": 900}', '{"mission": "pgk.w2", "progress": "max", "field": "event.bet", "target": 5, "period": "rolling 26", "claim_hours": 0}']::jsonb[]) m;
CREATE TEMP TABLE rolls AS SELECT n, timestamptz '2031-06-10 01:00:00+00' + n * interval '97 minutes' - CASE WHEN random() < 0.1 THEN interval '7 hours' ELSE interval '0' END AS at, 1 + floor(random() * 5)::bigint AS bet FROM generate_series(1, :entries / 3) n;
CREATE FUNCTION pg_temp.one(r rolls) RETURNS text LANGUAGE sql AS $$ SELECT pg_temp.play('d', 'roll', NULL, r.bet) FROM set_config('economy.test_clock', to_char(r.at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || '+00', true) $$;
SELECT is(string_agg(DISTINCT pg_temp.one(r), ''), 'OK', 'actions with a clock that is set back at times') FROM (SELECT r FROM rolls r ORDER BY r.n) r;
CREATE FUNCTION pg_temp.windows(hours int, is_max boolean, target bigint) RETURNS TABLE (k text, progress bigint) LANGUAGE plpgsql AS $$
DECLARE
    r record;
    begun timestamptz;
    sum bigint := 0;
BEGIN
    FOR r IN SELECT * FROM rolls WHERE rolls.at >= '2031-06-10 00:01:00+00' ORDER BY n LOOP
        IF begun IS NULL OR r.at >= begun + make_interval(hours => hours) THEN
            IF begun IS NOT NULL THEN k := to_char(begun AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'); progress := sum; RETURN NEXT; END IF;
            begun := r.at;
            sum := 0;
        END IF;
        IF r.at >= begun AND sum < target THEN
            sum := CASE WHEN is_max THEN greatest(sum, r.bet) ELSE least(sum + r.bet, target) END;
        END IF;
    END LOOP;
    k := to_char(begun AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"');
    progress := sum;
    RETURN NEXT;
END
$$;
-- what is not completed is forgotten when it is over
SELECT is((SELECT string_agg(p.period || ' ' || p.progress, ', ' ORDER BY p.period COLLATE "C") FROM economy.mission_progress p WHERE p.user_id = pg_temp.id('d') AND p.mission = v.mission),
    (SELECT string_agg(w.k || ' ' || w.progress, ', ' ORDER BY w.k COLLATE "C") FROM (SELECT w.*, row_number() OVER (ORDER BY w.k COLLATE "C" DESC) AS last FROM pg_temp.windows(v.hours, v.is_max, v.target) w) w WHERE w.last = 1 OR (v.keeps AND w.progress = v.target)), v.mission || ' has the windows that a recount has')
    FROM (VALUES ('pgk.w1', 5, false, 9, true), ('pgk.w2', 26, true, 5, false)) v (mission, hours, is_max, target, keeps);
SELECT is(pg_temp.sound(), NULL, 'mission_parity() says the same');
SELECT is_empty($$SELECT * FROM economy_internal.audit_missions() f WHERE f.user_id IN (SELECT p.id FROM player p)$$, 'and the audit finds nothing');

-- streak: periods in a row
SELECT is(pg_temp.wrong(given::jsonb), says, says) FROM (VALUES
    ('{"progress": "streak"}', 'a streak is of days or weeks: its period must be daily or weekly.'),
    ('{"progress": "streak", "period": "repeat 3"}', 'a streak is of days or weeks: its period must be daily or weekly.'),
    ('{"progress": "streak", "period": "daily", "field": "event.bet"}', 'field is what sum, max and distinct are of, and count and streak have none.')) v (given, says);
SELECT is(pg_temp.publish('{"mission": "pgk.days", "trigger": "purchase", "progress": "streak", "target": 3, "period": "daily", "gold": 4}'), 'pgk.days 1', 'three days in a row') FROM pg_temp.at('2031-09-01 12:00:00+00');
CREATE FUNCTION pg_temp.day(clock text, key text) RETURNS text LANGUAGE sql AS $$ SELECT p.code || ' ' || pg_temp.shown('a', 'days') FROM pg_temp.at('2031-09-' || clock || ':00+00'), economy.purchase(pg_temp.id('a'), 'pgk a', 'd' || key) p $$;
CREATE FUNCTION pg_temp.undo(key text) RETURNS text LANGUAGE sql AS
    $$ SELECT r.code || ' ' || pg_temp.shown('a', 'days') FROM economy.purchase(pg_temp.id('a'), 'pgk a', 'd' || key) p, economy.refund_purchase(pg_temp.id('a'), p.transaction_id, 'rd' || key, NULL, 'why', 'pgtap') r $$;
SELECT is(to_char(t.starts_at AT TIME ZONE 'UTC', 'HH24:MI:SS'), '12:01:00', 'all sessions have heard of it when it begins') FROM economy.mission_templates t WHERE t.mission = 'pgk.days';
SELECT is(pg_temp.day('01 12:05', '1') || ', ' || pg_temp.day('01 23:59', '2'), 'OK days 2031-09-01 active 1/3, OK days 2031-09-01 active 1/3', 'a day counts once');
SELECT is(to_char(m.ends_at AT TIME ZONE 'UTC', 'DD HH24:MI'), '03 00:00', 'it goes on until the next one is over') FROM economy.missions(pg_temp.id('a')) m WHERE m.mission = 'pgk.days';
SELECT is(pg_temp.day('02 00:00', '3'), 'OK days 2031-09-01 active 2/3', 'the next day is the second');
SELECT is(pg_temp.shown('a', 'days'), 'days 2031-09-01 active 2/3', 'which the third may follow to its end') FROM pg_temp.at('2031-09-03 23:59:59.999999+00');
SELECT is(pg_temp.shown('a', 'days'), 'days 2031-09-04 active 0/3', 'and not behind it') FROM pg_temp.at('2031-09-04 00:00:00+00');
SELECT is(pg_temp.day('04 00:00', '4'), 'OK days 2031-09-04 active 1/3', 'a day that is missed begins it anew');
SELECT is(pg_temp.day('03 12:00', '5'), 'OK days 2031-09-04 active 1/3', 'a clock that is set back neither mends nor breaks it');
SELECT is(pg_temp.day('05 12:00', '6') || ', ' || pg_temp.day('05 13:00', '7') || ', ' || pg_temp.undo('6'), 'OK days 2031-09-04 active 2/3, OK days 2031-09-04 active 2/3, OK days 2031-09-04 active 2/3', 'of a day with two purchases one remains');
SELECT is(pg_temp.undo('7'), 'OK days 2031-09-04 active 1/3', 'and of one with none nothing');
SELECT is(pg_temp.undo('4'), 'OK days 2031-09-04 active 1/3', 'a day before the last stays');
SELECT is(pg_temp.sound(), NULL, 'the entries say the same');
SELECT is(pg_temp.day('05 14:00', '8') || ', ' || pg_temp.day('06 14:00', '9'), 'OK days 2031-09-04 active 2/3, OK days 2031-09-04 completed 3/3 claimable', 'it is made anew, and goes on');
SELECT is(pg_temp.day('06 15:00', '10') || ', ' || pg_temp.undo('9'), 'OK days 2031-09-04 completed 3/3 claimable, OK days 2031-09-04 completed 3/3 claimable', 'what is completed stays so');
SELECT is(pg_temp.day('07 14:00', '11'), 'OK days 2031-09-04 completed 3/3 claimable, days 2031-09-07 active 1/3', 'the next day is of the next one');
SELECT is(pg_temp.claim('a', 'days', '2031-09-04') || ', ' || pg_temp.claim('a', 'days', '2031-09-04') || ', ' || pg_temp.claim('a', 'days'), 'new OK 4, reuse OK 4, refused MISSION_NOT_COMPLETED {"target": 3, "progress": 1}', 'each is paid once') FROM pg_temp.at('2031-09-07 23:59:59+00');
SELECT is(pg_temp.day('08 10:00', '12') || ', ' || pg_temp.day('09 10:00', '13') || ', ' || pg_temp.claim('a', 'days'), 'OK days 2031-09-07 active 2/3, OK days 2031-09-07 completed 3/3 claimable, new OK 4', 'and the next one too');
SELECT is(pg_temp.sound(), NULL, 'the entries say the same');
SELECT is(pg_temp.day('12 10:00', '14'), 'OK days 2031-09-12 active 1/3', 'what is over is forgotten');
SELECT is(pg_temp.says('a', 'pgk.days', decode('02', 'hex')), 'a pgk.days 1 2031-09-12 active 1 with 01 active 1 with 02', 'the audit counts the entries of a day, too') FROM pg_temp.at('2031-09-12 10:05:00+00');
SELECT throws_ok(format($$UPDATE economy.accounts a SET sections = economy_internal.with_mission_progress(a.sections, p.number, p.period, p.progress, p.state, p.since, decode('00', 'hex')) FROM economy.mission_templates t, economy_internal.mission_progress_of((SELECT b.sections FROM economy.accounts b WHERE b.user_id = %1$s), NULL) p WHERE a.user_id = %1$s AND t.mission = 'pgk.days' AND p.number = t.number;
    SELECT economy.purchase(%1$s, 'pgk a', 'd15')$$, pg_temp.id('a')), 'XE103', NULL, 'what is no number is not counted on');
SELECT is(pg_temp.day('14 10:00', '16'), 'OK days 2031-09-14 active 1/3', 'behind the first day, too, one that is missed begins it anew');
-- at random: runs of days and of weeks, by gaps and islands
SELECT is(pg_temp.publish(m), m ->> 'mission' || ' 1', m ->> 'period') FROM pg_temp.at('2031-10-01 00:00:00+00'), unnest(ARRAY['{"mission": "pgk.s1", "progress": "streak", "condition": {"eq": ["event.action_type", "s"]}, "target": 4, "period": "daily", "claim_hours": 2000}', '{"mission": "pgk.s2", "progress": "streak", "condition": {"eq": ["event.action_type", "s"]}, "target": 2, "period": "weekly", "claim_hours": 3000}']::jsonb[]) m;
CREATE TEMP TABLE days AS SELECT d, date '2031-10-02' + d AS day FROM generate_series(1, 60) d WHERE random() < 0.7 AND d NOT BETWEEN 20 AND 34;
SELECT is(string_agg(DISTINCT (SELECT pg_temp.play('c', 's') FROM pg_temp.at(to_char(x.day, 'YYYY-MM-DD ') || '11:00:00+00')), ''), 'OK', 'days with gaps') FROM (SELECT d.day FROM days d, generate_series(1, 2) ORDER BY d.day) x;
SELECT is((SELECT string_agg(p.period || ' ' || p.progress, ', ' ORDER BY p.period COLLATE "C") FROM economy.mission_progress p WHERE p.user_id = pg_temp.id('c') AND p.mission = v.mission),
    (SELECT string_agg(k, ', ' ORDER BY k COLLATE "C") FROM (
        -- those in a row, cut where each is completed; of those that are not the last one is known
        SELECT to_char(min(i.day), v.form) || ' ' || count(DISTINCT i.n) AS k FROM (
            SELECT g.*, (g.n - min(g.n) OVER (PARTITION BY g.island)) / v.target AS part FROM (
                SELECT e.*, e.n - dense_rank() OVER (ORDER BY e.n) AS island FROM (SELECT d.day, CASE v.days WHEN 1 THEN d.day - date '2031-01-06' ELSE (d.day - date '2031-01-06') / 7 END AS n FROM days d) e) g) i
        GROUP BY i.island, i.part HAVING count(DISTINCT i.n) = v.target OR max(i.day) = (SELECT max(d.day) FROM days d)) k), v.mission || ' has the streaks that a recount has')
    FROM (VALUES ('pgk.s1', 4, 1, 'YYYY-MM-DD'), ('pgk.s2', 2, 7, 'IYYY"-W"IW')) v (mission, target, days, form);
SELECT is(pg_temp.sound(), NULL, 'mission_parity() says the same');
SELECT is_empty($$SELECT * FROM economy_internal.audit_missions() f WHERE f.user_id IN (SELECT p.id FROM player p)$$, 'and the audit finds nothing');

SELECT * FROM finish();
ROLLBACK;
