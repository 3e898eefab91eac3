-- Missions: publish_mission(), retire_mission(), missions(), claim_mission(), claim_all(), mission_parity().
BEGIN;
SELECT no_plan();
-- more by hand: psql -v entries=400 -v conditions=300
\if :{?entries} \else
\set entries 30
\endif
\if :{?conditions} \else
\set conditions 100
\endif

SELECT set_config('economy.test_clock', '2031-03-05 12:00:00+00', true) AS x \gset
CREATE TEMP TABLE player AS SELECT w, economy.register('pgtap mission ' || w) AS id FROM unnest(ARRAY['a', 'b', 'c', 'd']) w;
SELECT count(*) AS x FROM player p, economy.adjust_gold(p.id, 1000, 'open', 'pgtap', 'pgtap') \gset
SELECT count(*) AS x FROM economy.register_game('pgtap_dice') \gset
SELECT count(*) AS x FROM economy.upsert_item('{"item_id": "pgtap_gem", "kind": "stack"}', 'pgtap') \gset
CREATE FUNCTION pg_temp.id(who text) RETURNS bigint LANGUAGE sql AS $$ SELECT p.id FROM player p WHERE p.w = who $$;
CREATE FUNCTION pg_temp.at(clock text) RETURNS void LANGUAGE sql AS $$ SELECT set_config('economy.test_clock', clock, true) $$;
CREATE TEMP SEQUENCE key;
CREATE FUNCTION pg_temp.play(who text, win bigint DEFAULT 10, details jsonb DEFAULT NULL) RETURNS text LANGUAGE sql AS
    $$ SELECT r.code FROM economy.record_action(pg_temp.id(who), 'pgtap_dice', 'roll', 'k' || nextval('key'), 2, win, details => details) r $$;
-- of those of this test: others may be published
CREATE FUNCTION pg_temp.shown(who text) RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(concat_ws(' ', m.mission, m.period, m.state, m.progress || '/' || m.target, CASE WHEN m.claimable THEN 'claimable' END), ', ')
       FROM economy.missions(pg_temp.id(who)) m WHERE m.mission LIKE 'pgtap.%' $$;
CREATE FUNCTION pg_temp.claim(who text, mission text, period text DEFAULT NULL) RETURNS text LANGUAGE sql AS
    $$ SELECT concat_ws(' ', c.state, c.code, c.gold_delta, c.xp_delta, (c.items -> 0 ->> 'delta'), c.detail) FROM economy.claim_mission(pg_temp.id(who), mission, period) c $$;
CREATE FUNCTION pg_temp.publish(mission jsonb) RETURNS text LANGUAGE sql AS
    $$ SELECT concat_ws(' ', p.mission, p.version) FROM economy.publish_mission(mission, 'ann') p $$;
CREATE FUNCTION pg_temp.sound() RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(concat_ws(' ', p.w, d.mission, d.version, d.period, d.expected, d.actual), ', ') FROM player p, economy.mission_parity(p.id) d $$;

-- publication
CREATE FUNCTION pg_temp.wrong(mission jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    says text;
BEGIN
    PERFORM economy.publish_mission('{"mission": "pgtap.bad", "trigger": "action", "target": 1}' || mission, 'pgtap');
    RETURN 'nothing';
EXCEPTION WHEN SQLSTATE 'XE403' THEN
    GET STACKED DIAGNOSTICS says = PG_EXCEPTION_DETAIL;
    RETURN says;
END
$$;
SELECT is(pg_temp.wrong(given::jsonb), says, says) FROM (VALUES
    ('{"goal": 1}', '"goal" is no such column that can be set.'),
    ('{"mission": "a b"}', 'mission must have 1 to 48 letters of ASCII, digits, dots, dashes and underscores.'),
    ('{"trigger": "login"}', 'trigger must be purchase, action, reward or entry.'),
    ('{"target": 0}', 'target must be from 1 to 2^53-1.'),
    ('{"target": null}', 'target must not be null.'),
    ('{"progress": "least", "field": "event.win"}', 'progress must be count, sum, max, distinct or streak.'),
    ('{"field": "event.win"}', 'field is what sum, max and distinct are of, and count and streak have none.'),
    ('{"progress": "sum", "field": "event.product"}', '"event.product" is no number that entries of the trigger have.'),
    ('{"increment_cap": 0}', 'increment_cap must be 1 or more.'),
    ('{"period": "yearly"}', 'period must be once, daily, weekly, repeat, repeat 1 to repeat 999999, or rolling 1 to rolling 8784, hours.'),
    ('{"claim_hours": -1}', 'claim_hours must be from 0 to 8784.'),
    ('{"starts_at": "tomorrow"}', 'starts_at must be a text in ISO 8601 with time zone, such as 2026-01-31T12:00:00Z.'),
    ('{"ends_at": "2031-03-05T12:00:00Z"}', 'ends_at must be after starts_at, and after now.'),
    ('{"items": {"pgtap_none": 1}}', 'item "pgtap_none" does not exist.'),
    ('{"items": {}}', 'items must be an object of 1 to 16 items, each with a whole number from 1 to 2^53-1.'),
    ('{"texts": {"en": 1}}', 'texts must be a JSON object of languages, each with an object.'),
    ('{"gold": -1}', 'gold must be from 0 to 2^53-1.'),
    ('{"xp": -1}', 'xp must be from 0 to 2^53-1.'),
    ('{"requires": "pgtap.bad"}', 'requires must be an array of at most 8 missions.'),
    ('{"requires": ["pgtap.bad"]}', 'mission "pgtap.bad", which it requires, is not published with the period once, or has ended.'),
    ('{"condition": {"eq": ["event.product", "x"]}}', 'the condition is not valid: $.eq[0]: there is no "event.product".'),
    ('{"condition": {"all": [{"eq": ["event.game", "x"]}, {"gt": ["event.bet", "1"]}]}}', 'the condition is not valid: $.all[1].gt[1]: a whole number is expected.'),
    ('{"condition": {"lt": ["event.game", 1]}}', 'the condition is not valid: $.lt[1]: a string is expected.'),
    ('{"condition": {"lt": ["event.details.x", true]}}', 'the condition is not valid: $.lt[1]: a string or a number is expected.'),
    ('{"condition": {"in": ["event.details.x", [1, "a"]]}}', 'the condition is not valid: $.in[1][1]: all values of "in" must be of one type.'),
    ('{"condition": {"in": ["event.details.x", []]}}', 'the condition is not valid: $.in[1]: the array has no element.'),
    ('{"condition": {"between": ["event.bet", 1]}}', 'the condition is not valid: $.between: an array of 3 elements is expected, not of 2.'),
    ('{"condition": {"any": []}}', 'the condition is not valid: $.any: the array has no element.'),
    ('{"condition": {"any": {}}}', 'the condition is not valid: $.any: an array is expected.'),
    ('{"condition": {"eq": [1, 1]}}', 'the condition is not valid: $.eq[0]: a path is expected.'),
    ('{"condition": {"exists": "event.details"}}', 'the condition is not valid: $.exists: there is no "event.details".'),
    ('{"condition": {"exists": "event.details.a.b.c.d.e"}}', 'the condition is not valid: $.exists: there is no "event.details.a.b.c.d.e".'),
    ('{"condition": {"not": {"eq": ["event.bet", 1], "ne": ["event.bet", 2]}}}', 'the condition is not valid: $.not: an object with one member is expected.'),
    ('{"condition": {"xor": []}}', 'the condition is not valid: $: there is no "xor".'),
    ('{"condition": {"eq": ["event.bet", 1.5]}}', 'the condition is not valid: $.eq[1]: a whole number of at most 16 digits is expected, not 1.5.')) v (given, says);
SELECT is(pg_temp.wrong(jsonb_build_object('condition', c.deep)), 'the condition is not valid: $' || repeat('.not', 16) || ': the condition is more than 16 deep.', 'a condition is 16 deep at most')
FROM (SELECT (repeat('{"not": ', 16) || '{"exists": "event.game"}' || repeat('}', 16))::jsonb AS deep) c;
SELECT throws_like($$SELECT economy.publish_mission('[]', 'pgtap')$$, '%must be a JSON object with a mission', 'a mission has a name');
SELECT throws_ok($$SELECT economy.retire_mission('pgtap.none', 'pgtap')$$, 'XE404', 'there is no mission "pgtap.none"', 'one that was never published cannot be retired');

-- progress
SELECT is(pg_temp.publish('{"mission": "pgtap.daily", "trigger": "action", "condition": {"all": [{"eq": ["event.game", "pgtap_dice"]}, {"eq": ["event.outcome", "win"]}]}, "target": 3, "period": "daily",
    "gold": 100, "xp": 7, "items": {"pgtap_gem": 2}, "texts": {"en": {"name": "Three wins"}}}'), 'pgtap.daily 1', 'the first version');
SELECT is(pg_temp.publish('{"mission": "pgtap.week", "trigger": "action", "progress": "sum", "field": "event.win", "increment_cap": 50, "target": 120, "period": "weekly", "gold": 5, "position": 1}'), 'pgtap.week 1', 'another one');
SELECT is(pg_temp.publish('{"mission": "pgtap.rich", "trigger": "entry", "progress": "max", "field": "user.gold", "target": 1200, "requires": [], "xp": 9, "hidden": true, "position": 2}'), 'pgtap.rich 1', 'and one of any entry');
SELECT is(pg_temp.publish('{"mission": "pgtap.next", "trigger": "action", "requires": ["pgtap.rich"], "target": 2, "gold": 1, "claim_hours": 0, "position": 3}'), 'pgtap.next 1', 'and one behind it');
SELECT is(pg_temp.shown('a'), 'pgtap.daily 2031-03-05 active 0/3, pgtap.week 2031-W10 active 0/120, pgtap.next once locked 0/2', 'nothing is done yet');
SELECT is(pg_temp.play('a', 1) || pg_temp.play('a', 60) || pg_temp.play('a', 10), 'OKOKOK', 'a loss and two wins');
SELECT is(pg_temp.shown('a'), 'pgtap.daily 2031-03-05 active 2/3, pgtap.week 2031-W10 active 61/120, pgtap.rich once active 1065/1200, pgtap.next once locked 0/2', 'each counts what it is of');
SELECT is(pg_temp.claim('a', 'pgtap.daily'), 'refused MISSION_NOT_COMPLETED {"target": 3, "progress": 2}', 'none is paid early');
SELECT is(pg_temp.play('a', 200) || pg_temp.play('a', 30), 'OKOK', 'two wins');
SELECT is(pg_temp.shown('a'), 'pgtap.daily 2031-03-05 completed 3/3 claimable, pgtap.week 2031-W10 completed 120/120 claimable, pgtap.rich once completed 1200/1200 claimable, pgtap.next once active 1/2', 'progress ends at the target, and one of the next counts');
SELECT is(pg_temp.shown('b'), 'pgtap.daily 2031-03-05 active 0/3, pgtap.week 2031-W10 active 0/120, pgtap.next once locked 0/2', 'nobody else has any');
SELECT is(pg_temp.sound(), NULL, 'the entries say the same');

-- claims
SELECT is(pg_temp.claim('a', 'pgtap.daily'), 'new OK 100 7 2', 'it is paid');
SELECT is(pg_temp.claim('a', 'pgtap.daily'), 'reuse OK 100 7 2', 'once');
SELECT is(pg_temp.claim('a', 'pgtap.daily', '2031-03-04'), 'refused MISSION_NOT_COMPLETED {"target": 3, "progress": 0}', 'for its day alone');
SELECT is(pg_temp.claim('a', 'pgtap.none'), 'refused MISSION_NOT_FOUND', 'of one that there is');
-- with such statistics the plan asks for the key first; claim_mission() has its plan from before
SELECT is(count(*), 300::bigint, 'many rewards')
    FROM economy.register('pgtap mission many') id, generate_series(1, 300) n, economy.grant_reward(id, 'pgtap', 'many' || n, 1);
ANALYZE economy.reward_audit;
SELECT is(economy_internal.claim_is_busy(economy.register('pgtap mission many'), 'pgtap.none', NULL), NULL, 'whatever the plan');
SELECT is(c.code, 'USER_NOT_FOUND', 'for a user that there is') FROM economy.claim_mission(-1, 'pgtap.daily') c;
SELECT results_eq($$SELECT r.source, r.external_event_id, r.gold_delta, r.details FROM economy.reward_audit r WHERE r.user_id = pg_temp.id('a') ORDER BY r.seq DESC LIMIT 1$$,
    $$VALUES ('economy:mission:pgtap.daily' COLLATE "C", '2031-03-05' COLLATE "C", 100::bigint, '{"mission": "pgtap.daily", "period": "2031-03-05", "version": 1}'::jsonb)$$, 'it is a reward');
SELECT throws_ok($$SELECT economy.grant_reward(pg_temp.id('b'), 'economy:mission:pgtap.daily', '2031-03-05', 1)$$, 'XE401', NULL, 'nobody else can grant it');
SELECT results_eq($$SELECT c.mission, c.period, c.state, c.gold_delta, c.xp_delta FROM economy.claim_all(pg_temp.id('a')) c WHERE c.mission LIKE 'pgtap.%'$$,
    $$VALUES ('pgtap.week', '2031-W10', 'new', 5::bigint, 0::bigint), ('pgtap.rich', 'once', 'new', 0, 9)$$, 'and all the others');
SELECT is_empty($$SELECT * FROM economy.claim_all(pg_temp.id('a'))$$, 'which is all');
SELECT is(pg_temp.play('a') || pg_temp.play('a'), 'OKOK', 'more');
SELECT is(pg_temp.shown('a'), 'pgtap.daily 2031-03-05 claimed 3/3, pgtap.week 2031-W10 claimed 120/120, pgtap.rich once claimed 1200/1200, pgtap.next once completed 2/2 claimable', 'what is claimed stays so');
SELECT is(pg_temp.sound(), NULL, 'the entries say the same');

-- reversals
SELECT is(pg_temp.publish('{"mission": "pgtap.gift", "trigger": "reward", "condition": {"eq": ["event.source", "pgtap"]}, "progress": "sum", "field": "event.gold_gained", "target": 100, "position": 4}'), 'pgtap.gift 1', 'one that counts rewards');
SELECT is(string_agg(g.code, ''), 'OKOK', 'two gifts') FROM (VALUES ('g1', 30), ('g2', 40)) v (k, gold), economy.grant_reward(pg_temp.id('b'), 'pgtap', v.k, v.gold) g;
SELECT is(r.code, 'OK', 'one in part') FROM economy.grant_reward(pg_temp.id('b'), 'pgtap', 'g1', 30) g, economy.revoke_reward(pg_temp.id('b'), g.transaction_id, 'why', 'pgtap', 10, idempotency_key => 'r') r;
SELECT matches(pg_temp.shown('b'), 'pgtap.gift once active 70/100', 'what is taken back in part counts');
SELECT is(r.code, 'OK', 'one is taken back') FROM economy.grant_reward(pg_temp.id('b'), 'pgtap', 'g2', 40) g, economy.revoke_reward(pg_temp.id('b'), g.transaction_id, 'why', 'pgtap') r;
SELECT matches(pg_temp.shown('b'), 'pgtap.gift once active 30/100', 'what is taken back as a whole does not');
SELECT is(g.code, 'OK', 'a great gift') FROM economy.grant_reward(pg_temp.id('b'), 'pgtap', 'g3', 500) g;
SELECT is(r.code, 'OK', 'is taken back too') FROM economy.grant_reward(pg_temp.id('b'), 'pgtap', 'g3', 500) g, economy.revoke_reward(pg_temp.id('b'), g.transaction_id, 'why', 'pgtap') r;
SELECT matches(pg_temp.shown('b'), 'pgtap.gift once completed 100/100 claimable', 'what is completed stays so');
SELECT is(r.code, 'OK', 'a claim is taken back') FROM economy.claim_mission(pg_temp.id('a'), 'pgtap.daily') c, economy.revoke_reward(pg_temp.id('a'), c.transaction_id, 'why', 'pgtap') r;
SELECT is(pg_temp.claim('a', 'pgtap.daily'), 'reuse OK 100 7 2', 'and is not paid again');
SELECT is(pg_temp.sound(), NULL, 'the entries say the same');

SELECT is(pg_temp.publish('{"mission": "pgtap.buyer", "trigger": "purchase", "progress": "sum", "field": "event.quantity", "target": 9, "ends_at": "2031-03-05T13:00:00Z", "claim_hours": 0, "position": 5}'), 'pgtap.buyer 1', 'one that counts purchases');
SELECT count(*) AS x FROM economy.upsert_product('{"product_id": "pgtap_map", "category": "item", "price_gold": 3}', 'pgtap') \gset
SELECT is(string_agg(p.code, ''), 'OKOK', 'two are made') FROM (VALUES ('p1', 2), ('p2', 3)) v (k, n), economy.purchase(pg_temp.id('b'), 'pgtap_map', v.k, v.n) p;
SELECT is(r.code, 'OK', 'one is taken back in part') FROM economy.purchase(pg_temp.id('b'), 'pgtap_map', 'p1', 2) p, economy.refund_purchase(pg_temp.id('b'), p.transaction_id, 'r1', 1, 'why', 'pgtap') r;
SELECT matches(pg_temp.shown('b'), 'pgtap.buyer once active 5/9', 'which goes on to count');
SELECT is(r.code, 'OK', 'one is refunded') FROM economy.purchase(pg_temp.id('b'), 'pgtap_map', 'p2', 3) p, economy.refund_purchase(pg_temp.id('b'), p.transaction_id, 'r2', NULL, 'why', 'pgtap') r;
SELECT matches(pg_temp.shown('b'), 'pgtap.buyer once active 2/9', 'and does not count any more');
SELECT is(pg_temp.sound(), NULL, 'the entries say the same');

-- periods
SELECT is(pg_temp.play('c') || pg_temp.play('c') || pg_temp.play('c'), 'OKOKOK', 'three wins') FROM pg_temp.at('2031-03-05 23:59:59.999999+00');
SELECT is(pg_temp.play('c'), 'OK', 'and one a moment later') FROM pg_temp.at('2031-03-06 00:00:00+00');
SELECT is(pg_temp.shown('c'), 'pgtap.daily 2031-03-05 completed 3/3 claimable, pgtap.daily 2031-03-06 active 1/3, pgtap.week 2031-W10 active 40/120, pgtap.rich once active 1032/1200, pgtap.next once locked 0/2, pgtap.gift once active 0/100', 'each day has its own');
SELECT is(pg_temp.claim('c', 'pgtap.daily'), 'refused MISSION_NOT_COMPLETED {"target": 3, "progress": 1}', 'the present one is claimed');
SELECT is(pg_temp.claim('c', 'pgtap.daily', '2031-03-05'), 'new OK 100 7 2', 'or one that is named') FROM pg_temp.at('2031-03-06 23:59:59+00');
SELECT is(pg_temp.play('d') || pg_temp.play('d') || pg_temp.play('d'), 'OKOKOK', 'three wins');
SELECT matches(pg_temp.claim('d', 'pgtap.daily', '2031-03-06'), 'refused MISSION_EXPIRED', 'for a time') FROM pg_temp.at('2031-03-08 00:00:00+00');
SELECT is(pg_temp.play('d'), 'OK', 'on another day');
SELECT is(pg_temp.shown('d'), 'pgtap.daily 2031-03-08 active 1/3, pgtap.week 2031-W10 active 40/120, pgtap.rich once active 1032/1200, pgtap.next once locked 0/2, pgtap.gift once active 0/100', 'what is over is forgotten');
SELECT is(pg_temp.play('d'), 'OK', 'a clock is set back') FROM pg_temp.at('2031-03-07 12:00:00+00');
SELECT matches(pg_temp.shown('d'), 'pgtap.daily 2031-03-07 active 0/3', 'nothing begins before what has begun');
SELECT is(pg_temp.claim('c', 'pgtap.daily', '2031-03-05'), 'reuse OK 100 7 2', 'a claim is answered when all is forgotten') FROM pg_temp.at('2031-04-01 00:00:00+00');
SELECT is(pg_temp.sound(), NULL, 'the entries say the same');

-- versions
SELECT is(pg_temp.publish('{"mission": "pgtap.week", "trigger": "action", "target": 1, "period": "weekly", "gold": 6, "position": 1}'), 'pgtap.week 2', 'another version');
SELECT is(pg_temp.play('d'), 'OK', 'an action');
SELECT matches(pg_temp.shown('d'), 'pgtap.week 2031-W14 completed 1/1 claimable', 'counts for the new one');
SELECT is(pg_temp.claim('d', 'pgtap.week'), 'new OK 6 0', 'which pays what it says');
SELECT is(pg_temp.publish('{"mission": "pgtap.week", "trigger": "action", "target": 2, "period": "weekly", "gold": 1000, "position": 1}'), 'pgtap.week 3', 'a third one');
SELECT is(pg_temp.play('d') || pg_temp.play('d'), 'OKOK', 'two actions');
SELECT is(pg_temp.claim('d', 'pgtap.week'), 'reuse OK 6 0', 'a period is paid once, by whichever version');
SELECT throws_ok($$SELECT economy.retire_mission('pgtap.rich', 'pgtap')$$, 'XE403', NULL, 'one that another requires stays');
SELECT is(r.retired_at IS NOT NULL, true, 'that one goes first') FROM economy.retire_mission('pgtap.next', 'bob') r;
SELECT is(r.retired_at IS NOT NULL, true, 'then it goes') FROM economy.retire_mission('pgtap.rich', 'bob') r;
SELECT is(r.retired_at IS NOT NULL, true, 'once') FROM economy.retire_mission('pgtap.rich', 'bob') r;
SELECT results_eq($$SELECT c.key::text COLLATE "C", c.action::text COLLATE "C", c.actor::text COLLATE "C" FROM economy.config_changes c WHERE c.relation = 'mission_templates' AND c.key LIKE 'pgtap.%' AND c.change_id > (SELECT max(m.change_id) FROM economy.config_changes m WHERE m.key = 'pgtap.week:1' AND m.action = 'publish') AND c.key ~ 'week|rich|next' ORDER BY c.change_id$$,
    $$VALUES ('pgtap.rich:1' COLLATE "C", 'publish' COLLATE "C", 'ann' COLLATE "C"), ('pgtap.next:1', 'publish', 'ann'), ('pgtap.week:1', 'retire', 'ann'), ('pgtap.week:2', 'publish', 'ann'), ('pgtap.week:2', 'retire', 'ann'), ('pgtap.week:3', 'publish', 'ann'), ('pgtap.next:1', 'retire', 'bob'), ('pgtap.rich:1', 'retire', 'bob')$$, 'all of it is recorded');
SELECT is(pg_temp.sound(), NULL, 'the entries say the same');

-- what is taken back
CREATE FUNCTION pg_temp.in_vain() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', concat_ws(', ', pg_temp.publish('{"mission": "pgtap.gone", "trigger": "action", "target": 1, "position": 9}'), pg_temp.play('b'), substring(pg_temp.shown('b') FROM 'pgtap.gone.*')) USING ERRCODE = 'XX999';
EXCEPTION WHEN SQLSTATE 'XX999' THEN
    RETURN sqlerrm;
END
$$;
SELECT is(pg_temp.in_vain(), 'pgtap.gone 1, OK, pgtap.gone once completed 1/1 claimable', 'a mission counts in its own transaction');
SELECT is(pg_temp.play('b'), 'OK', 'which is rolled back');
SELECT doesnt_match(pg_temp.shown('b'), 'pgtap.gone', 'and nothing is left');

SELECT is(pg_temp.publish('{"mission": "pgx.unknown", "trigger": "action", "condition": {"not": {"eq": ["event.details.a", 1]}}, "target": 5}'), 'pgx.unknown 1', 'one that asks for what may be missing');
SELECT is(pg_temp.play('b') || pg_temp.play('b', 1, '{"a": null}') || pg_temp.play('b', 1, '{"a": "1"}') || pg_temp.play('b', 1, '{"a": 1}') || pg_temp.play('b', 1, '{"a": 2}'), 'OKOKOKOKOK', 'of which one says so');
SELECT is((SELECT m.progress FROM economy.mission_progress m WHERE m.user_id = pg_temp.id('b') AND m.mission = 'pgx.unknown'), 1::bigint, 'counts, and what is unknown does not');

-- batches
SELECT is(count(*) FILTER (WHERE r.success), 6::bigint, 'a batch of actions') FROM economy.record_actions((SELECT jsonb_agg(jsonb_build_object('user_id', pg_temp.id(w), 'game', 'pgtap_dice', 'action_type', 'T', 'action_id', 'b' || n, 'bet', 1, 'win', 2))
    FROM unnest(ARRAY['b', 'c']) w, generate_series(1, 3) n)) r;
SELECT matches(pg_temp.shown(w), 'pgtap.daily 2031-04-01 completed 3/3 claimable', 'counts as they do one by one') FROM unnest(ARRAY['b', 'c']) w;
SELECT is(pg_temp.sound(), NULL, 'the entries say the same');

-- what the audit finds
SELECT is_empty($$SELECT * FROM economy_internal.audit_missions() f WHERE f.user_id IN (SELECT p.id FROM player p)$$, 'it is clean');
CREATE FUNCTION pg_temp.says(who text, mission text, period bigint, progress bigint, state int, since bigint DEFAULT 0) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    UPDATE economy.accounts a SET sections = economy_internal.with_mission_progress(a.sections, t.number, says.period, says.progress, says.state, says.since)
        FROM economy.mission_templates t WHERE a.user_id = pg_temp.id(who) AND t.mission = says.mission;
    RAISE EXCEPTION '%', pg_temp.sound() USING ERRCODE = 'XX999';
EXCEPTION WHEN SQLSTATE 'XX999' THEN
    RETURN sqlerrm;
END
$$;
SELECT economy_internal.mission_period_at('daily', economy.now()) AS today \gset
SELECT is(pg_temp.says('c', 'pgtap.daily', :today, 1, 0), 'c pgtap.daily 1 2031-04-01 completed 3 active 1', 'progress that went back is found');
SELECT is(pg_temp.says('c', 'pgtap.daily', :today, 3, 2), 'c pgtap.daily 1 2031-04-01 completed 3 claimed 3', 'and what was never claimed');
SELECT is(pg_temp.says('c', 'pgtap.daily', :today, NULL, NULL), 'c pgtap.daily 1 2031-04-01 completed 3 0', 'and progress that is gone');
SELECT is(pg_temp.says('c', 'pgtap.gift', 0, 1, 1), 'c pgtap.gift 1 once 0 completed 1', 'and what nothing was done for');
SELECT is(pg_temp.says('c', 'pgtap.daily', :today + 1, 1, 0), 'c pgtap.daily 1 2031-04-02 0 active 1', 'and a day that has not come');
SELECT matches(pg_temp.says('c', 'pgtap.daily', :today, 3, 1, s.since + 1), '^c pgtap.daily 1 2031-04-01 completed 3 with entry ' || s.since || ' completed 3 with entry ' || s.since + 1 || '$', 'and completion by another entry')
    FROM (SELECT p.since FROM economy.accounts a, economy_internal.mission_progress_of(a.sections, NULL) p, economy.mission_templates t WHERE a.user_id = pg_temp.id('c') AND t.number = p.number AND t.mission = 'pgtap.daily' AND p.period = :today) s;

-- the event of a completion
CREATE FUNCTION pg_temp.told(who text, after bigint DEFAULT 0) RETURNS TABLE (seq bigint, mission text, says text) LANGUAGE sql AS
    $$ SELECT r.seq, r.event::jsonb #>> '{data,mission}', concat_ws(' ', r.event ->> 'id', r.event -> 'data') FROM economy.replay(pg_temp.id(who), after, 10000) r WHERE r.type = 'mission_update' $$;
SELECT is(t.says, format('A%s-%s/mission/pgtap.daily {"mission":"pgtap.daily","version":1,"period":"2031-04-01","state":"completed","progress":3,"target":3,"seq":%2$s,"gold":%s,"experience_points":%s}', pg_temp.id('c'), e.seq, e.gold, e.experience_points), 'the entry that completes a mission tells it')
    FROM pg_temp.told('c') t JOIN economy.ledger e ON e.user_id = pg_temp.id('c') AND e.seq = t.seq WHERE t.mission = 'pgtap.daily';
SELECT is((SELECT string_agg(t.seq || ' ' || t.mission, ', ' ORDER BY t.seq, t.mission COLLATE "C") FROM pg_temp.told('c') t),
    (SELECT string_agg(p.since || ' ' || t.mission, ', ' ORDER BY p.since, t.mission) FROM economy.accounts a, economy_internal.mission_progress_of(a.sections, NULL) p, economy.mission_templates t WHERE a.user_id = pg_temp.id('c') AND t.number = p.number AND p.state > 0), 'and each of those that are completed once');
SELECT is((SELECT count(*) FROM pg_temp.told('c') t), 2::bigint, 'of which there are two');

CREATE FUNCTION pg_temp.unpaid(damage text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    says text;
BEGIN
    SET LOCAL session_replication_role = replica;
    ALTER TABLE economy.reward_audit DISABLE TRIGGER ALL;
    EXECUTE damage;
    SELECT string_agg(concat_ws(' ', p.w, f.kind, f.expected, '|', f.actual), ', ' ORDER BY f.expected) INTO says FROM economy_internal.audit_missions() f JOIN player p ON p.id = f.user_id;
    RAISE EXCEPTION '%', coalesce(says, 'nothing') USING ERRCODE = 'XX999';
EXCEPTION WHEN SQLSTATE 'XX999' THEN
    RETURN sqlerrm;
END
$$;
SELECT is(pg_temp.unpaid($$UPDATE economy.reward_audit SET gold_delta = 101 WHERE source = 'economy:mission:pgtap.daily' AND user_id = pg_temp.id('a')$$),
    'a wrong_mission pgtap.daily 1: 100 gold, 7 XP | economy:mission:pgtap.daily 2031-03-05: 101 gold, 7 XP', 'and a claim that paid more');
SELECT is(pg_temp.unpaid($$UPDATE economy.reward_audit SET external_event_id = '2031-03-04' WHERE source = 'economy:mission:pgtap.daily' AND user_id = pg_temp.id('a')$$),
    'a wrong_mission pgtap.daily 1: completed before it was claimed | claimed', 'and one of a day on which nothing was done');

-- conditions: each is what PostgreSQL says of the same in SQL
CREATE FUNCTION pg_temp.compared(op text, value text, args jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT CASE op WHEN 'in' THEN format('%s IN (%s)', value, (SELECT string_agg(quote_literal(v) || CASE jsonb_typeof(args -> 1 -> 0) WHEN 'string' THEN '::text' WHEN 'number' THEN '::numeric' ELSE '::boolean' END, ', ') FROM jsonb_array_elements_text(args -> 1) v))
        WHEN 'between' THEN format('%s BETWEEN %s AND %s', value, l.one, l.two)
        ELSE format('%s %s %s', value, (jsonb '{"eq": "=", "ne": "<>", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}') ->> op, l.one) END
    FROM (SELECT CASE jsonb_typeof(args -> 1) WHEN 'string' THEN quote_literal(args ->> 1) || '::text' WHEN 'number' THEN quote_literal(args ->> 1) || '::numeric' ELSE quote_literal(args ->> 1) || '::boolean' END AS one,
                 quote_literal(args ->> 2) || CASE jsonb_typeof(args -> 2) WHEN 'string' THEN '::text' ELSE '::numeric' END AS two) l
$$;
CREATE FUNCTION pg_temp.sql_of(condition jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    op    text := (SELECT k FROM jsonb_object_keys(condition) k);
    args  jsonb := condition -> op;
    path  text := CASE op WHEN 'exists' THEN args #>> '{}' ELSE args ->> 0 END;
    first jsonb := CASE op WHEN 'in' THEN args -> 1 -> 0 ELSE args -> 1 END;
    value text;
BEGIN
    IF op IN ('all', 'any') THEN
        RETURN '(' || (SELECT string_agg(pg_temp.sql_of(p), CASE op WHEN 'all' THEN ' AND ' ELSE ' OR ' END) FROM jsonb_array_elements(args) p) || ')';
    ELSIF op = 'not' THEN
        RETURN '(NOT ' || pg_temp.sql_of(args) || ')';
    ELSIF path LIKE 'event.details.%' THEN
        value := format('nullif(t.details #> %L::text[], jsonb ''null'')', string_to_array(substr(path, 15), '.'));
        IF op = 'exists' THEN
            RETURN format('(%s IS NOT NULL)', value);
        END IF;
        value := format('(CASE jsonb_typeof(%s) WHEN %L THEN (%s #>> ''{}'')::%s END%s)', value, jsonb_typeof(first), value, CASE jsonb_typeof(first) WHEN 'string' THEN 'text' WHEN 'number' THEN 'numeric' ELSE 'boolean' END,
            CASE jsonb_typeof(first) WHEN 'string' THEN ' COLLATE "C"' ELSE '' END);
    ELSE
        value := CASE path WHEN 'user.gold' THEN 't.gold' WHEN 'user.xp' THEN 't.experience_points' WHEN 'event.gold_spent' THEN 'greatest(-t.gold_delta, 0)' WHEN 'event.gold_gained' THEN 'greatest(t.gold_delta, 0)'
            WHEN 'time.hour' THEN 'extract(hour FROM t.created_at AT TIME ZONE ''UTC'')' WHEN 'time.weekday' THEN 'extract(isodow FROM t.created_at AT TIME ZONE ''UTC'')' ELSE 't.' || substr(path, 7) END;
        IF op = 'exists' THEN
            RETURN format('(%s IS NOT NULL)', value);
        END IF;
        IF jsonb_typeof(first) = 'string' THEN
            value := format('(%s COLLATE "C")', value);
        END IF;
    END IF;
    RETURN '(' || pg_temp.compared(op, value, args) || ')';
END
$$;
CREATE FUNCTION pg_temp.one_of(VARIADIC given text[]) RETURNS text LANGUAGE sql AS $$ SELECT given[1 + floor(random() * cardinality(given))::int] $$;
CREATE FUNCTION pg_temp.random_leaf() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    path text := pg_temp.one_of('event.game', 'event.outcome', 'event.bet', 'event.win', 'event.gold_delta', 'event.gold_spent', 'event.gold_gained', 'user.gold', 'user.xp', 'time.hour', 'time.weekday',
        'event.details.n', 'event.details.n', 'event.details.s', 'event.details.b', 'event.details.o.n', 'event.details.none');
    kind text := CASE WHEN path IN ('event.game', 'event.outcome') THEN 'text' WHEN path LIKE 'event.details.%' THEN pg_temp.one_of('text', 'number', 'number', 'truth') ELSE 'whole' END;
    op   text := CASE kind WHEN 'truth' THEN pg_temp.one_of('eq', 'ne', 'in', 'exists') ELSE pg_temp.one_of('eq', 'ne', 'lt', 'le', 'gt', 'ge', 'in', 'between', 'exists') END;
    v    jsonb[] := ARRAY(SELECT CASE kind WHEN 'text' THEN to_jsonb(pg_temp.one_of('pgtap_dice', 'win', 'loss', '', 'a', 'B', 'é', 'it''s')) WHEN 'number' THEN pg_temp.one_of('-1', '0', '0.5', '1', '1.50', '3', '1e20')::jsonb
        WHEN 'truth' THEN to_jsonb(random() < 0.5) ELSE pg_temp.one_of('-2', '0', '1', '2', '3', '5', '12', '1000')::jsonb END FROM generate_series(1, 3) g WHERE g > 0);
BEGIN
    RETURN CASE op WHEN 'exists' THEN jsonb_build_object(op, path) WHEN 'in' THEN jsonb_build_object(op, jsonb_build_array(path, to_jsonb(v)))
        WHEN 'between' THEN jsonb_build_object(op, jsonb_build_array(path, v[1], v[2])) ELSE jsonb_build_object(op, jsonb_build_array(path, v[1])) END;
END
$$;
CREATE FUNCTION pg_temp.random_condition(depth int) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    op text := CASE WHEN depth = 0 OR random() < 0.3 THEN 'leaf' ELSE pg_temp.one_of('all', 'any', 'not') END;
BEGIN
    IF op = 'leaf' THEN
        RETURN pg_temp.random_leaf();
    ELSIF op = 'not' THEN
        RETURN jsonb_build_object(op, pg_temp.random_condition(depth - 1));
    END IF;
    RETURN jsonb_build_object(op, (SELECT jsonb_agg(pg_temp.random_condition(depth - 1)) FROM generate_series(1, 1 + floor(random() * 3)::int) g));
END
$$;
SELECT setseed(0.17) AS x \gset
SELECT count(*) AS x FROM generate_series(1, :entries) n,
    pg_temp.at('2031-05-' || to_char(1 + n % 28, 'FM00') || ' ' || to_char(n * 7 % 24, 'FM00') || ':30:00+00'),
    pg_temp.play('d', floor(random() * 4)::int + n * 0, CASE WHEN random() < 0.1 THEN NULL ELSE jsonb_strip_nulls(jsonb_build_object(
        'n', CASE WHEN random() < 0.7 THEN pg_temp.one_of('-1', '0', '0.5', '1', '1.5', '3', '100000000000000000000', '"1"', 'true', '[1]', '{}')::jsonb END,
        's', CASE WHEN random() < 0.7 THEN to_jsonb(pg_temp.one_of('', 'a', 'B', 'é', 'win', 'it''s')) END,
        'b', CASE WHEN random() < 0.7 THEN to_jsonb(random() < 0.5) END,
        'o', CASE WHEN random() < 0.7 THEN pg_temp.one_of('{"n": 1}', '{"n": 3}', '{}', '1')::jsonb END)) || CASE WHEN random() < 0.2 THEN '{"none": null}' ELSE '{}' END::jsonb END) \gset
CREATE FUNCTION pg_temp.differing(condition jsonb, OUT says text, OUT n bigint, OUT truths bigint, OUT unknowns bigint) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SELECT string_agg(concat_ws('' '', %L, t.seq, e.is, e.should), '', '') FILTER (WHERE e.is IS DISTINCT FROM e.should), count(*), count(*) FILTER (WHERE e.is), count(*) FILTER (WHERE e.is IS NULL)
        FROM economy.user_actions t, LATERAL (SELECT economy_internal.mission_condition_of(''action'', $1, t.user_id, t.seq) AS is, %s AS should OFFSET 0) e WHERE t.user_id = pg_temp.id(''d'')', condition, pg_temp.sql_of(condition))
        INTO says, n, truths, unknowns USING condition;
END
$$;
CREATE TEMP TABLE asked AS SELECT d.* FROM (SELECT pg_temp.random_condition(4) AS condition FROM generate_series(1, :conditions) g OFFSET 0) c, pg_temp.differing(c.condition) d;
SELECT is((SELECT string_agg(d.says, '; ') FROM asked d), NULL, 'no condition differs from SQL');
SELECT ok(sum(d.n) >= :entries * :conditions, 'of all that were asked') FROM asked d;
SELECT ok(least(sum(d.truths), sum(d.unknowns), sum(d.n - d.truths - d.unknowns)) > sum(d.n) / 10, 'some are true, some false and some unknown') FROM asked d;

-- a clock that is set back finds what had ended when the session last read it
SELECT pg_temp.at('2031-06-02 12:00:00+00');
SELECT is(pg_temp.publish('{"mission": "pgtap.ends", "trigger": "action", "target": 5, "ends_at": "2031-06-03T12:00:00Z", "claim_hours": 720}'), 'pgtap.ends 1', 'one that ends');
SELECT pg_temp.at('2031-06-10 12:00:00+00');
SELECT is(pg_temp.publish('{"mission": "pgtap.later", "trigger": "action", "target": 9}'), 'pgtap.later 1', 'another, a week later');
SELECT is(pg_temp.play('d'), 'OK', 'which is read then');
SELECT pg_temp.at('2031-06-03 11:00:00+00');
SELECT is(pg_temp.play('d'), 'OK', 'and back');
SELECT is((SELECT m.progress FROM economy.missions(pg_temp.id('d')) m WHERE m.mission = 'pgtap.ends'), 1::bigint, 'it counts');
SELECT is_empty('SELECT * FROM economy.mission_parity() p WHERE p.mission = ''pgtap.ends''', 'as the audit counts it');

-- nor does a clock that was a year ahead keep what is done today from counting
SAVEPOINT ahead;
SELECT pg_temp.at('2031-06-20 12:00:00+00');
SELECT is(pg_temp.publish('{"mission": "pgtap.ahead", "trigger": "action", "target": 3, "period": "daily"}'), 'pgtap.ahead 1', 'one for a day');
SELECT pg_temp.at('2032-06-20 12:00:00+00');
SELECT is(pg_temp.play('a'), 'OK', 'a clock that is a year ahead');
SELECT pg_temp.at('2031-06-20 13:00:00+00');
SELECT is(pg_temp.play('a') || pg_temp.play('a'), 'OKOK', 'and is right again');
SELECT is((SELECT m.progress FROM economy.missions(pg_temp.id('a')) m WHERE m.mission = 'pgtap.ahead'), 2::bigint, 'counts today');
SELECT is_empty(format('SELECT * FROM economy.mission_parity(%s) p WHERE p.mission = ''pgtap.ahead''', pg_temp.id('a')), 'as the audit counts it');
ROLLBACK TO ahead;

-- what is held and comes back is neither spent nor gained
SELECT pg_temp.at('2031-06-25 12:00:00+00');
SELECT is(pg_temp.publish('{"mission": "pgtap.gain", "trigger": "entry", "progress": "sum", "field": "event.gold_gained", "target": 10000}') || ', '
    || pg_temp.publish('{"mission": "pgtap.any", "trigger": "entry", "target": 10000}'), 'pgtap.gain 1, pgtap.any 1', 'gold of any entry');
SELECT r.enabled AS x FROM economy.set_transfer_rules('{"enabled": true}', 'pgtap') r \gset
CREATE FUNCTION pg_temp.seen() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(m.mission || ' ' || m.progress, ', ' ORDER BY m.mission) FROM economy.missions(pg_temp.id('c')) m WHERE m.mission IN ('pgtap.gain', 'pgtap.any') $$;
SELECT is(economy.adjust_gold(pg_temp.id('c'), 5, 'seen', 'pgtap', 'pgtap') IS NULL, false, 'an entry');
SELECT is(pg_temp.seen(), 'pgtap.any 1, pgtap.gain 5', 'counts');
SELECT is((SELECT string_agg(o.code || v.code, ' ') FROM generate_series(1, 3) n, LATERAL economy.open_action(pg_temp.id('c'), 'pgtap_dice', 'roll', 'held' || n, 100) o,
    LATERAL economy.void_action(CASE WHEN o.success THEN pg_temp.id('c') END, 'pgtap_dice', 'held' || n) v), 'OKOK OKOK OKOK', 'rounds that are voided');
SELECT is((SELECT string_agg(o.code || v.code, ' ') FROM generate_series(1, 3) n, LATERAL economy.hold_escrow(pg_temp.id('c'), 'held' || n, 100) o,
    LATERAL economy.release_escrow(CASE WHEN o.success THEN pg_temp.id('c') END, o.transaction_id) v), 'OKOK OKOK OKOK', 'escrows that are given back');
SELECT is(pg_temp.seen(), 'pgtap.any 1, pgtap.gain 5', 'do not');
SELECT is((SELECT o.code || s.code FROM economy.open_action(pg_temp.id('c'), 'pgtap_dice', 'roll', 'settled', 100) o, LATERAL economy.settle_action(CASE WHEN o.success THEN pg_temp.id('c') END, 'pgtap_dice', 'settled', 130) s), 'OKOK', 'one that is settled');
SELECT is(pg_temp.seen(), 'pgtap.any 2, pgtap.gain 35', 'does once, as the action that it is');
SELECT is_empty(format('SELECT * FROM economy.mission_parity(%s) p WHERE p.mission IN (''pgtap.gain'', ''pgtap.any'')', pg_temp.id('c')), 'as the audit counts it');

-- a version that begins anew in a period that was paid
SELECT pg_temp.at('2031-07-01 12:00:00+00');
SELECT is(pg_temp.publish('{"mission": "pgtap.again", "trigger": "action", "target": 1, "period": "daily", "gold": 4, "position": 20}'), 'pgtap.again 1', 'one for a day');
SELECT is(pg_temp.play('b') || pg_temp.claim('b', 'pgtap.again'), 'OKnew OK 4 0', 'is paid');
SELECT is(pg_temp.publish('{"mission": "pgtap.again", "trigger": "action", "target": 1, "period": "daily", "gold": 5, "position": 20}'), 'pgtap.again 2', 'and published again');
SELECT is(pg_temp.play('b'), 'OK', 'and completed');
SELECT matches(pg_temp.shown('b'), 'pgtap.again 2031-07-01 claimed 1/1(?! claimable)', 'that day is not shown as one to be claimed');
SELECT is_empty($$SELECT * FROM economy.claim_all(pg_temp.id('b')) c WHERE c.mission = 'pgtap.again'$$, 'and nothing is claimed for it');
SELECT is(pg_temp.claim('b', 'pgtap.again'), 'reuse OK 4 0', 'but by who asks for it');
SELECT is(pg_temp.play('b') || pg_temp.claim('b', 'pgtap.again'), 'OKnew OK 5 0', 'and the next day is') FROM pg_temp.at('2031-07-02 12:00:00+00');
SELECT is(pg_temp.sound(), NULL, 'the entries say the same');

-- or whose payment has gone to an archive
SAVEPOINT archived;
INSERT INTO player SELECT 'old', u FROM economy.register('pgtap mission old') u;
SELECT pg_temp.play('old', 0) IS NULL AS x FROM economy.adjust_gold(pg_temp.id('old'), 1000, 'open', 'pgtap', 'pgtap') \gset
SELECT is(pg_temp.publish('{"mission": "pgtap.old", "trigger": "action", "target": 1, "gold": 4, "position": 20}'), 'pgtap.old 1', 'one for good');
SELECT is(pg_temp.play('old') || pg_temp.claim('old', 'pgtap.old'), 'OKnew OK 4 0', 'is paid');
SELECT is((economy.grant_reward(pg_temp.id('old'), 'pgtap', 'behind', 1)).code, 'OK', 'and is not the last reward');
SELECT pg_temp.at('2031-12-01 12:00:00+00');
CREATE TABLE public.pgtap_paid (LIKE economy.reward_audit);
SELECT a.entries AS x FROM economy.archive('economy.reward_audit', 'public.pgtap_paid', '90 days', 1000000) a \gset
SELECT is((SELECT count(*) FROM public.pgtap_paid p WHERE p.user_id = pg_temp.id('old')), 1::bigint, 'and archived');
SELECT is(pg_temp.publish('{"mission": "pgtap.old", "trigger": "action", "target": 1, "gold": 5, "position": 20}'), 'pgtap.old 2', 'published again');
SELECT is(pg_temp.play('old'), 'OK', 'and completed');
SELECT matches(pg_temp.shown('old'), 'pgtap.old once claimed 1/1(?! claimable)', 'it is not shown as one to be claimed');
SELECT is_empty($$SELECT * FROM economy.claim_all(pg_temp.id('old')) c WHERE c.mission = 'pgtap.old'$$, 'and nothing is claimed for it');
SELECT is(pg_temp.claim('old', 'pgtap.old'), E'refused RESYNC_REQUIRED {"reason": "archived"}', 'by nobody');
ROLLBACK TO archived;

-- what one mission requires of another
SELECT is(pg_temp.publish('{"mission": "pgtap.key", "trigger": "action", "target": 1}'), 'pgtap.key 1', 'one that opens another');
SELECT is(pg_temp.publish('{"mission": "pgtap.door", "trigger": "action", "target": 9, "requires": ["pgtap.key"]}'), 'pgtap.door 1', 'which there is');
SELECT is(d.mission, 'pgtap.door', 'for a time') FROM economy.retire_mission('pgtap.door', 'pgtap') d;
SELECT is(pg_temp.publish('{"mission": "pgtap.key", "trigger": "action", "target": 1, "period": "daily", "claim_hours": 0}'), 'pgtap.key 2', 'and is daily then');
SELECT is(pg_temp.play('b'), 'OK', 'on a day') FROM generate_series(3, 7) d, pg_temp.at('2031-07-0' || d || ' 12:00:00+00');
SELECT is((SELECT count(*) FROM economy.mission_progress m WHERE m.user_id = pg_temp.id('b') AND m.mission = 'pgtap.key' AND m.version = 2), 1::bigint, 'days that are over are forgotten all the same');
SELECT is(pg_temp.publish('{"mission": "pgtap.key", "trigger": "action", "target": 1, "ends_at": "2031-07-09T00:00:00Z", "claim_hours": 0}'), 'pgtap.key 3', 'and ends');
SELECT is(pg_temp.wrong('{"requires": ["pgtap.key"]}'), 'mission "pgtap.key", which it requires, is not published with the period once, or has ended.', 'of one that has ended nobody knows who had completed it') FROM pg_temp.at('2031-07-09 00:00:00+00');
-- one that ended is known as completed for as long as it could be claimed, also when it was
SELECT pg_temp.at('2031-07-08 12:00:00+00');
SELECT is(pg_temp.publish('{"mission": "pgtap.known", "trigger": "action", "target": 1, "claim_hours": 48}'), 'pgtap.known 1', 'one that is claimed');
SELECT is(pg_temp.play('b') || pg_temp.claim('b', 'pgtap.known'), 'OKnew OK 0 0', 'at once');
SELECT is(pg_temp.publish('{"mission": "pgtap.known", "trigger": "action", "condition": {"eq": ["event.action_type", "never"]}, "target": 1}'), 'pgtap.known 2', 'and is another then');
SELECT is(pg_temp.play('b'), 'OK', 'a moment later') FROM pg_temp.at('2031-07-08 13:00:00+00');
SELECT is(pg_temp.publish('{"mission": "pgtap.behind", "trigger": "action", "target": 9, "requires": ["pgtap.known"]}'), 'pgtap.behind 1', 'before a third requires it');
SELECT is(pg_temp.play('b'), 'OK', 'an action') FROM pg_temp.at('2031-07-08 14:00:00+00');
SELECT matches(pg_temp.shown('b'), 'pgtap.behind once active 1/9', 'counts for it');
SELECT is(pg_temp.sound(), NULL, 'the entries say the same');
-- what is taken back of what was done before it was unlocked did not count
SELECT is(pg_temp.publish('{"mission": "pgtap.first", "trigger": "action", "target": 1}'), 'pgtap.first 1', 'one') FROM pg_temp.at('2031-07-09 12:00:00+00');
SELECT is(pg_temp.publish('{"mission": "pgtap.second", "trigger": "reward", "condition": {"eq": ["event.source", "pgtap2"]}, "progress": "sum", "field": "event.gold_gained", "target": 100, "requires": ["pgtap.first"]}'), 'pgtap.second 1', 'and one behind it');
SELECT is(g.code, 'OK', 'a gift that does not count') FROM economy.grant_reward(pg_temp.id('b'), 'pgtap2', 's1', 30) g;
SELECT is(pg_temp.play('b'), 'OK', 'it is unlocked');
SELECT is(g.code, 'OK', 'a gift that counts') FROM economy.grant_reward(pg_temp.id('b'), 'pgtap2', 's2', 40) g;
SELECT is(r.code, 'OK', 'the first one is taken back') FROM economy.grant_reward(pg_temp.id('b'), 'pgtap2', 's1', 30) g, economy.revoke_reward(pg_temp.id('b'), g.transaction_id, 'why', 'pgtap') r;
SELECT matches(pg_temp.shown('b'), 'pgtap.second once active 40/100', 'which takes nothing of the other');
SELECT is(r.code, 'OK', 'that one is taken back too') FROM economy.grant_reward(pg_temp.id('b'), 'pgtap2', 's2', 40) g, economy.revoke_reward(pg_temp.id('b'), g.transaction_id, 'why', 'pgtap') r;
SELECT matches(pg_temp.shown('b'), 'pgtap.second once active 0/100', 'and counts no more');
SELECT is(pg_temp.sound(), NULL, 'the entries say the same');
-- two versions of one, of which the first is over when another mission requires it
SELECT pg_temp.at('2031-07-10 12:00:00+00');
SELECT is(pg_temp.publish('{"mission": "pgtap.lock", "trigger": "action", "condition": {"eq": ["event.action_type", "roll"]}, "target": 1, "claim_hours": 0}'), 'pgtap.lock 1', 'one that is completed');
SELECT is(pg_temp.play('b'), 'OK', 'by one') FROM pg_temp.at('2031-07-10 12:05:00+00');
SELECT is(pg_temp.publish('{"mission": "pgtap.lock", "trigger": "action", "condition": {"eq": ["event.action_type", "never"]}, "target": 1, "claim_hours": 0}'), 'pgtap.lock 2', 'and is another then') FROM pg_temp.at('2031-07-11 12:00:00+00');
SELECT is(pg_temp.play('b'), 'OK', 'which is known') FROM pg_temp.at('2031-07-12 12:00:00+00');
SELECT is(pg_temp.publish('{"mission": "pgtap.gate", "trigger": "action", "target": 9, "requires": ["pgtap.lock"]}'), 'pgtap.gate 1', 'before a third requires it');
SELECT is(pg_temp.play('b'), 'OK', 'an action') FROM pg_temp.at('2031-07-12 13:00:00+00');
SELECT matches(pg_temp.shown('b'), 'pgtap.gate once locked 0/9', 'counts for who completes it now');
SELECT is(pg_temp.sound(), NULL, 'the entries say the same');

-- missions are found by a text that their conditions need
SELECT pg_temp.at('2031-07-20 12:00:00+00');
SELECT count(*) AS x FROM (VALUES ('1', '{"eq": ["event.action_type", "x"]}'), ('2', '{"eq": ["event.action_type", "xy"]}'), ('3', '{"all": [{"gt": ["event.bet", 1]}, {"all": [{"eq": ["event.bet", 2]}]}, {"eq": ["event.action_type", "y"]}]}'),
    ('4', '{"any": [{"eq": ["event.action_type", "x"]}, {"eq": ["event.outcome", "win"]}]}'), ('5', '{"not": {"eq": ["event.action_type", "x"]}}'), ('6', '{"all": [{"eq": ["event.outcome", "win"]}, {"eq": ["event.action_type", "x"]}]}'),
    ('7', '{"all": [{"any": [{"eq": ["event.action_type", "x"]}, {"eq": ["event.action_type", "y"]}]}, {"ne": ["event.outcome", "push"]}]}'), ('8', '{"eq": ["event.outcome", "loss"]}')) v (n, condition),
    economy.publish_mission(jsonb_build_object('mission', 'pgf.' || v.n, 'trigger', 'action', 'condition', v.condition::jsonb, 'target', 100), 'pgtap') \gset
SELECT count(*) AS x FROM (VALUES ('x', 9), ('x', 0), ('xy', 9), ('y', 9), ('y', 0), ('', 2), ('z', 9)) v (action, win), pg_temp.at('2031-07-20 12:05:00+00'),
    economy.record_action(pg_temp.id('c'), 'pgtap_dice', v.action, 'f' || v.action || v.win, 2, v.win) r WHERE v.action <> '' AND r.code = 'OK' \gset
SELECT is((SELECT string_agg(right(m.mission, 1) || ':' || m.progress, ' ' ORDER BY m.mission) FROM economy.mission_progress m WHERE m.user_id = pg_temp.id('c') AND m.mission LIKE 'pgf.%'), '1:2 2:1 3:2 4:5 5:4 6:1 7:4 8:2', 'each counts what its condition is true of');
SELECT is(pg_temp.sound(), NULL, 'the entries say the same');

-- what the job claims
SELECT pg_temp.at('2031-07-25 12:00:00+00');
SELECT is(pg_temp.wrong('{"auto_claim": null}'), 'auto_claim must not be null.', 'whether it is claimed by itself is known');
SELECT is(pg_temp.publish(jsonb_build_object('mission', 'pga.' || m, 'trigger', 'action', 'condition', jsonb '{"eq": ["event.action_type", "auto"]}', 'target', 1, 'gold', 5, 'period', 'daily') || more::jsonb), 'pga.' || m || ' 1', 'one ' || more)
    FROM (VALUES ('auto', '{"auto_claim": true}'), ('hand', '{}')) v (m, more);
CREATE FUNCTION pg_temp.auto(who text) RETURNS text LANGUAGE sql AS
    $$ SELECT r.code FROM economy.record_action(pg_temp.id(who), 'pgtap_dice', 'auto', 'k' || nextval('key'), 1, 2) r $$;
CREATE FUNCTION pg_temp.job(max int DEFAULT 1000, after bigint DEFAULT NULL) RETURNS text LANGUAGE sql AS
    $$ SELECT concat_ws(' ', j.claimed, j.failed, CASE j.next WHEN jsonb_build_object('user_id', pg_temp.id('a')) THEN 'then a' ELSE j.next::text END)
       FROM economy_internal.claim_missions(jsonb_build_object('user_id', coalesce(after, (SELECT min(p.id) - 1 FROM player p))), max) j $$;
CREATE FUNCTION pg_temp.autos(who text) RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(concat_ws(' ', m.mission, m.period, m.state), ', ' ORDER BY m.mission, m.period) FROM economy.mission_progress m WHERE m.user_id = pg_temp.id(who) AND m.mission LIKE 'pga.%' $$;
SELECT pg_temp.at('2031-07-25 12:05:00+00');
SELECT is(pg_temp.job(), '0 0', 'nobody has completed it');
SELECT is(pg_temp.auto('a') || pg_temp.auto('b'), 'OKOK', 'two complete it');
SELECT is(pg_temp.job(), '2 0', 'and are paid');
SELECT is(pg_temp.autos('a'), 'pga.auto 2031-07-25 claimed, pga.hand 2031-07-25 completed', 'what claims itself is claimed, and nothing else');
SELECT is(concat_ws(' ', c.state, c.code, c.gold_delta), 'reuse OK 5', 'as the user would have claimed it') FROM economy.claim_mission(pg_temp.id('a'), 'pga.auto') c;
SELECT is(pg_temp.job(), '0 0', 'once');
SELECT pg_temp.at('2031-07-26 12:00:00+00');
SELECT is(pg_temp.auto('a') || pg_temp.auto('b'), 'OKOK', 'another day');
SELECT is(pg_temp.claim('b', 'pga.auto'), 'new OK 5 0', 'who claims it before the job');
SELECT is(pg_temp.job(1), '1 0 then a', 'in batches');
SELECT is(pg_temp.job(1000, pg_temp.id('a')), '0 0', 'is not paid again');
SELECT is(pg_temp.auto('c') || pg_temp.auto('d'), 'OKOK', 'two more');
SELECT pg_temp.at('2031-07-28 00:00:00+00');
SELECT is(pg_temp.job(), '0 0', 'what cannot be claimed any more is not paid');
SELECT is(pg_temp.auto('c') || pg_temp.auto('d'), 'OKOK', 'they come again');
CREATE FUNCTION pg_temp.stops() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''not this one''; END';
SELECT format('CREATE TRIGGER pgtap_stops BEFORE INSERT ON economy.reward_audit FOR EACH ROW WHEN (NEW.user_id = %s) EXECUTE FUNCTION pg_temp.stops()', pg_temp.id('c')) AS x \gexec
SET LOCAL client_min_messages = error;
SELECT is(pg_temp.job(), '1 1', 'one that cannot be paid keeps no other from it');
RESET client_min_messages;
DROP TRIGGER pgtap_stops ON economy.reward_audit;
SELECT is(pg_temp.job(), '1 0', 'and is paid by the next run');
SELECT is(pg_temp.autos(w), 'pga.auto 2031-07-28 claimed, pga.hand 2031-07-28 completed', 'so both are') FROM unnest(ARRAY['c', 'd']) w;
SELECT is(pg_temp.sound(), NULL, 'the entries say the same');
SELECT count(*) AS x FROM economy.retire_mission('pga.auto', 'pgtap') \gset
SELECT is(pg_temp.job(), '0 0', 'there is none any more') FROM pg_temp.at('2031-07-31 00:00:00+00');

-- many missions: what finds no room in the account has a row
SELECT pg_temp.at('2031-08-01 12:00:00+00');
SELECT count(*) AS x FROM generate_series(1, 200) n, economy.publish_mission(jsonb_build_object('mission', 'pgm.' || n, 'trigger', 'action', 'condition', jsonb '{"eq": ["event.action_type", "many"]}', 'progress', 'sum', 'field', 'event.win', 'target', 8000, 'gold', 1,
    'period', CASE n % 3 WHEN 0 THEN 'once' ELSE 'daily' END, 'claim_hours', 24), 'pgtap') \gset
SELECT max(t.number) AS newest FROM economy.mission_templates t WHERE t.mission LIKE 'pgm.%' AND t.period = 'once' \gset
CREATE FUNCTION pg_temp.many(who text) RETURNS text LANGUAGE sql AS
    $$ SELECT r.code FROM economy.record_action(pg_temp.id(who), 'pgtap_dice', 'many', 'k' || nextval('key'), 1, 4000) r $$;
CREATE FUNCTION pg_temp.states(who text) RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(concat_ws(' ', s.state, s.progress, s.n), ', ' ORDER BY s.state, s.progress)
       FROM (SELECT m.state, m.progress, count(*) AS n FROM economy.mission_progress m WHERE m.user_id = pg_temp.id(who) AND m.mission LIKE 'pgm.%' GROUP BY 1, 2) s $$;
SELECT pg_temp.at('2031-08-01 12:05:00+00');
SELECT is(pg_temp.many('b') || pg_temp.many('c'), 'OKOK', 'an action that two hundred count');
SELECT is(pg_temp.states(w), 'active 4000 200', 'is counted by each') FROM unnest(ARRAY['b', 'c']) w;
SELECT is(count(*), 2::bigint, 'in the row too') FROM economy_internal.mission_progress_more m WHERE m.user_id IN (pg_temp.id('b'), pg_temp.id('c')) AND length(m.progress) > 100;
SELECT is(pg_temp.sound(), NULL, 'the entries say the same');
SAVEPOINT undone;
SELECT is(pg_temp.many('b'), 'OK', 'one more');
SELECT is(pg_temp.states('b'), 'completed 8000 200', 'completes them');
ROLLBACK TO undone;
SELECT is(pg_temp.states('b'), 'active 4000 200', 'what is rolled back was not counted');
SELECT is(count(*) FILTER (WHERE r.success), 4::bigint, 'a batch of actions') FROM economy.record_actions((SELECT jsonb_agg(jsonb_build_object('user_id', pg_temp.id(w), 'game', 'pgtap_dice', 'action_type', 'many', 'action_id', 'mb' || n, 'bet', 1, 'win', 4000))
    FROM unnest(ARRAY['b', 'd']) w, generate_series(1, 2) n)) r;
SELECT is(pg_temp.states(w), 'completed 8000 200', 'counts as they do one by one') FROM unnest(ARRAY['b', 'd']) w;
SELECT is(c.n || ' ' || c.gold, '200 200', 'all are claimed') FROM (SELECT count(*) AS n, sum(c.gold_delta) AS gold FROM economy.claim_all(pg_temp.id('b')) c WHERE c.success AND c.state = 'new' AND c.mission LIKE 'pgm.%') c;
SELECT is(pg_temp.states('b'), 'claimed 8000 200', 'and it is noted');
SELECT is_empty($$SELECT * FROM economy.claim_all(pg_temp.id('b'))$$, 'which is all');
SELECT is(pg_temp.sound(), NULL, 'the entries say the same');
SELECT is(pg_temp.many('b') || pg_temp.many('d'), 'OKOK', 'two days later') FROM pg_temp.at('2031-08-03 12:00:00+00');
SELECT is(pg_temp.states('b'), 'active 4000 134, claimed 8000 66', 'the days begin anew, and what is over leaves the row');
SELECT is(pg_temp.states('d'), 'active 4000 134, completed 8000 66', 'and what could not be claimed any more');
SELECT is(pg_temp.sound(), NULL, 'the entries say the same');
SELECT is_empty($$SELECT * FROM economy_internal.audit_missions() f WHERE f.user_id IN (SELECT p.id FROM player p)$$, 'and the audit finds nothing');
SELECT matches(pg_temp.unpaid(format(damage, pg_temp.id('b'))), finds, damage) FROM (VALUES
    ('DELETE FROM economy_internal.mission_progress_more WHERE user_id = %s', 'progress that can be read'),
    ($$UPDATE economy_internal.mission_progress_more SET progress = decode('01', 'hex') WHERE user_id = %s$$, 'progress that can be read'),
    ($$UPDATE economy_internal.mission_progress_more SET progress = decode('', 'hex') WHERE user_id = %s$$, 'claimed 8000'),
    ('UPDATE economy.accounts SET sections = NULL WHERE user_id = %s', 'progress that can be read'),
    ('UPDATE economy_internal.mission_progress_more m SET progress = economy_internal.with_further_mission_progress(m.progress, ' || :newest || ', 0, 1, 0) WHERE m.user_id = %s', 'claimed 8000 . active 1'),
    ('UPDATE economy_internal.mission_progress_more m SET progress = economy_internal.with_further_mission_progress(m.progress, ' || :newest || ', 0, NULL, NULL) WHERE m.user_id = %s', 'claimed 8000 . 0')) v (damage, finds);
SELECT is((SELECT count(*) FROM economy_internal.audit_missions() f WHERE f.actual = 'progress of nobody'), 0::bigint, 'nobody has a row');
INSERT INTO economy_internal.mission_progress_more VALUES (-77, decode('', 'hex'));
SELECT is((SELECT count(*) FROM economy_internal.audit_missions() f WHERE f.actual = 'progress of nobody'), 1::bigint, 'but who is nobody');
SELECT throws_ok($$WITH RECURSIVE filled (n, sections) AS (SELECT 1, NULL::bytea UNION ALL SELECT f.n + 1, economy_internal.with_mission_progress(f.sections, f.n, 0, 1, 0) FROM filled f WHERE f.n < 400) SELECT count(f.sections) FROM filled f$$,
    'XE002', 'there is no room for this progress', 'by hand the section is not overfilled');
SELECT count(*) AS x FROM generate_series(1, 4) n, economy.publish_mission(jsonb_build_object('mission', 'pgl.' || n, 'trigger', 'action', 'target', 1, 'period', 'daily', 'claim_hours', 8784), 'pgtap') \gset
SELECT matches(pg_temp.wrong('{"period": "daily", "target": 100, "claim_hours": 8784}'), '^progress in all missions together would need [0-9]+ bytes of a user, and 24000 is the most.$', 'but not without end');

SELECT * FROM finish();
ROLLBACK;
