-- What missions count beside entries, sums and maxima, each compared with PL/pgSQL that knows the reference alone.
BEGIN;
SELECT no_plan();
-- more by hand: psql -v entries=3000
\if :{?entries} \else
\set entries 300
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
    ('{"progress": "distinct"}', 'field is what sum, max and distinct are of, and count has none.'),
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

SELECT * FROM finish();
ROLLBACK;
