-- Experiments with level curves: off by default, stable assignment, shares,
-- and what a user of an arm sees.
BEGIN;
SELECT no_plan();
-- only what this file makes, whatever the database has
UPDATE economy.level_experiments SET enabled = false;

SELECT economy.set_level_curve('pgtap_fast', ARRAY[0, 10, 20, 40]) AS x, economy.set_level_curve('pgtap_slow', ARRAY[0, 5000]) AS y \gset
CREATE FUNCTION pg_temp.arms() RETURNS TABLE (id bigint, curve text) LANGUAGE sql AS
    $$ SELECT n, (economy.level_of(n, 0)).curve FROM generate_series(1::bigint, 10000) n $$;
-- how many of 10,000 users are in a curve's arm, in standard deviations from the share
CREATE FUNCTION pg_temp.deviation(curve_name text, share numeric) RETURNS numeric LANGUAGE sql AS
    $$ SELECT abs(count(*) - 10000 * share) / sqrt(10000 * share * (1 - share)) FROM pg_temp.arms() a WHERE a.curve = curve_name $$;

-- the switch
SELECT is(economy.set_level_experiment('pgtap_1', '[{"arm": "a", "curve": "pgtap_fast", "share": 2500}, {"arm": "b", "curve": "pgtap_slow", "share": 1000}]'), 2, 'an experiment of two arms');
SELECT is((SELECT string_agg(concat_ws(' ', arm, curve, share, enabled), ', ' ORDER BY arm) FROM economy.level_experiments WHERE experiment = 'pgtap_1'),
    'a pgtap_fast 2500 f, b pgtap_slow 1000 f', 'is off unless switched on');
SELECT is((SELECT count(*) FROM pg_temp.arms() WHERE curve <> 'linear'), 0::bigint, 'nobody is in it');
SELECT is(economy.set_level_experiment('pgtap_1', '[{"arm": "a", "curve": "pgtap_fast", "share": 2500}, {"arm": "b", "curve": "pgtap_slow", "share": 1000}]', true), 2, 'switched on');
CREATE TEMP TABLE assigned AS SELECT * FROM pg_temp.arms();
SELECT cmp_ok(pg_temp.deviation('pgtap_fast', 0.25), '<', 4::numeric, 'a quarter in arm a');
SELECT cmp_ok(pg_temp.deviation('pgtap_slow', 0.10), '<', 4::numeric, 'a tenth in arm b');
SELECT cmp_ok(pg_temp.deviation('linear', 0.65), '<', 4::numeric, 'the rest as before');

-- assignments stay
SELECT is_empty('SELECT * FROM pg_temp.arms() EXCEPT SELECT * FROM assigned', 'the same users the next time');
SELECT is((SELECT md5(string_agg(left(replace(curve, 'pgtap_', ''), 1), '' ORDER BY id)) FROM assigned), '300b052186e233f2c1096f682eb629f8', 'on every server: the hash is part of the format');
SELECT is(economy.set_level_experiment('pgtap_1', '[{"arm": "a", "curve": "pgtap_fast", "share": 2500}, {"arm": "b", "curve": "pgtap_slow", "share": 1000}]'), 2, 'off');
SELECT is((SELECT count(*) FROM pg_temp.arms() WHERE curve <> 'linear'), 0::bigint, 'nobody');
SELECT is(economy.set_level_experiment('pgtap_1', '[{"arm": "a", "curve": "pgtap_fast", "share": 2500}, {"arm": "b", "curve": "pgtap_slow", "share": 1000}]', true), 2, 'on again');
SELECT is_empty('SELECT * FROM pg_temp.arms() EXCEPT SELECT * FROM assigned', 'the same users again');
SELECT is(economy.set_level_experiment('pgtap_1', '[{"arm": "a", "curve": "pgtap_fast", "share": 5000}, {"arm": "b", "curve": "pgtap_slow", "share": 1000}]', true), 2, 'a larger share of the first arm');
SELECT is_empty($$SELECT id FROM assigned WHERE curve = 'pgtap_fast' EXCEPT SELECT id FROM pg_temp.arms() WHERE curve = 'pgtap_fast'$$, 'keeps who was in it');
SELECT cmp_ok(pg_temp.deviation('pgtap_fast', 0.5), '<', 4::numeric, 'and adds others');

-- two experiments divide the users independently; the first by name that takes a user has it
SELECT is(economy.set_level_experiment('pgtap_1', '[{"arm": "a", "curve": "pgtap_fast", "share": 5000}]', true), 1, 'one half');
CREATE TEMP TABLE half AS SELECT * FROM pg_temp.arms();
SELECT is(economy.set_level_experiment('pgtap_2', '[{"arm": "a", "curve": "pgtap_slow", "share": 5000}]', true), 1, 'another half');
SELECT is_empty($$SELECT id FROM half WHERE curve = 'pgtap_fast' EXCEPT SELECT id FROM pg_temp.arms() WHERE curve = 'pgtap_fast'$$, 'the first keeps its users');
SELECT cmp_ok(pg_temp.deviation('pgtap_slow', 0.25), '<', 4::numeric, 'the second has half of the others: the hashes are independent');
SELECT is(economy.set_level_experiment('pgtap_3', '[{"arm": "a", "curve": "pgtap_slow", "share": 10000}]'), 1, 'a third has all shares: those of the others are not added');
SELECT is(economy.set_level_experiment('pgtap_1', '[]'), 0, 'an experiment without arms is gone');
SELECT is((SELECT count(*) FROM economy.level_experiments WHERE experiment = 'pgtap_1'), 0::bigint, 'from the table');
SELECT cmp_ok(pg_temp.deviation('pgtap_slow', 0.5), '<', 4::numeric, 'and the second has its half');
SELECT is(economy.set_level_experiment('pgtap_2', '[{"arm": "none", "curve": "pgtap_fast", "share": 0}, {"arm": "all", "curve": "pgtap_slow", "share": 10000}]', true), 2, 'shares of nothing and all');
SELECT is((SELECT string_agg(DISTINCT curve, ',') FROM pg_temp.arms()), 'pgtap_slow', 'put everybody into one arm');

-- what a user of an arm sees
SELECT is(economy.set_level_experiment('pgtap_2', '[{"arm": "all", "curve": "pgtap_fast", "share": 10000}]', true), 1, 'everybody fast');
SELECT economy.register('pgtap arm') AS u \gset
SELECT is((SELECT row(level, xp_into_level, xp_to_next)::text FROM economy.account(:u)), '(1,0,10)', 'account(): a newcomer on the curve');
SELECT is((SELECT row(level, leveled_up)::text FROM economy.grant_reward(:u, 'arm', '1', 0, 9)), '(1,f)', 'just below');
SELECT is((SELECT row(level, leveled_up)::text FROM economy.grant_reward(:u, 'arm', '2', 0, 16)), '(3,t)', 'two levels on the curve');
SELECT is((SELECT row(level, xp_into_level, xp_to_next)::text FROM economy.account(:u)), '(3,5,15)', 'account() shows the place on it');
SELECT is((SELECT row(level, leveled_up)::text FROM economy.grant_reward(:u, 'arm', '3', 0, 15)), '(4,t)', 'the top');
SELECT is((SELECT row(level, xp_into_level, xp_to_next)::text FROM economy.account(:u)), '(4,0,)', 'after the top there is no next');
SELECT is((SELECT row(level, leveled_up)::text FROM economy.grant_reward(:u, 'arm', '4', 0, 1000)), '(4,f)', 'nor a level');
SELECT is((SELECT row(level, leveled_up)::text FROM economy.claim_daily_reward(:u)), '(4,f)', 'claims are on the curve too');
SELECT is(economy.set_level_experiment('pgtap_2', '[{"arm": "all", "curve": "pgtap_fast", "share": 10000}]'), 1, 'switched off');
SELECT is((SELECT row(level, xp_into_level, xp_to_next)::text FROM economy.account(:u)), '(3,90,410)', 'the same XP on the linear curve');
SELECT is(economy.set_level_experiment('pgtap_2', '[{"arm": "all", "curve": "linear", "share": 10000}]', true), 1, 'linear may be an arm');
SELECT is((SELECT level FROM economy.account(:u)), 3, 'and is what it is');

SELECT is((SELECT row(actor, before, after)::text FROM economy.level_changes WHERE kind = 'experiment' AND name = 'pgtap_2' ORDER BY change_id DESC LIMIT 1),
    row(session_user, '[{"arm": "all", "curve": "pgtap_fast", "share": 10000, "enabled": false}]'::jsonb,
        '[{"arm": "all", "curve": "linear", "share": 10000, "enabled": true}]'::jsonb)::text, 'the history says who changed it, from what to what');
SELECT is((SELECT after FROM economy.level_changes WHERE kind = 'experiment' AND name = 'pgtap_1' ORDER BY change_id DESC LIMIT 1), NULL, 'or that it is gone');
SELECT is_empty('SELECT * FROM economy_internal.audit_config()', 'the tables are what it says');
SAVEPOINT s;
UPDATE economy.level_experiments SET share = 9999 WHERE experiment = 'pgtap_2';
SELECT is((SELECT count(*) FROM economy_internal.audit_config()), 1::bigint, 'a share changed by hand is found');
ROLLBACK TO SAVEPOINT s;
SELECT throws_ok($$SELECT economy.set_level_experiment('e', '[]', false, NULL)$$, 'XE001', 'actor must not be null', 'nobody');

-- one curve for everybody
SELECT is(economy.set_level_experiment('pgtap_2', '[]'), 0, 'no experiment');
SELECT economy.set_default_level_curve('linear') AS x \gset
SELECT is(economy.set_default_level_curve('pgtap_slow', 'ann'), 'linear', 'slow for all, who had the linear curve');
SELECT is((SELECT string_agg(DISTINCT curve, ',') FROM pg_temp.arms()), 'pgtap_slow', 'is the curve of all');
SELECT is((SELECT row(level, xp_into_level, xp_to_next)::text FROM economy.account(:u)), '(1,1090,3910)', 'account() shows it');
SELECT is((SELECT row(level, leveled_up)::text FROM economy.grant_reward(:u, 'arm', '5', 0, 4000)), '(2,t)', 'and a reward');
SELECT is((SELECT string_agg(r.event ->> 'type', ' ' ORDER BY r.event ->> 'type') FROM economy.replay(:u, (SELECT seq - 1 FROM economy.accounts WHERE user_id = :u)) r), 'profile_update reward_granted', 'and its events');
SELECT is(economy.set_level_experiment('pgtap_1', '[{"arm": "a", "curve": "pgtap_fast", "share": 2500}, {"arm": "b", "curve": "linear", "share": 2500}]', true), 2, 'an experiment goes before it');
SELECT is_empty('SELECT id, curve FROM assigned WHERE curve = ''pgtap_fast'' EXCEPT SELECT * FROM pg_temp.arms()', 'for those in its arms');
SELECT cmp_ok(pg_temp.deviation('linear', 0.25), '<', 4::numeric, 'be it to the linear curve');
SELECT cmp_ok(pg_temp.deviation('pgtap_slow', 0.5), '<', 4::numeric, 'and the rest has that of all');
SELECT is(economy.set_level_experiment('!', '[{"arm": "a", "curve": "pgtap_fast", "share": 10000}]', true), 1, 'also one whose name comes first');
SELECT is((SELECT string_agg(DISTINCT curve, ',') FROM pg_temp.arms()), 'pgtap_fast', 'does');
SELECT is(economy.set_level_experiment(name, '[]'), 0, 'gone: ' || name) FROM unnest('{!,pgtap_1}'::text[]) name;
SELECT is(economy.set_default_level_curve('pgtap_fast', 'bob'), 'pgtap_slow', 'another one');
SELECT is((economy.level_of(:u, 12)).level, 2, 'holds at once');
SELECT is_empty('SELECT * FROM economy_internal.audit_config()', 'the audit knows it');
SELECT is(economy.set_default_level_curve('linear', 'cay'), 'pgtap_fast', 'the linear one again');
SELECT is(economy.set_default_level_curve('linear', 'dee'), 'linear', 'is no change the second time');
SELECT is((SELECT string_agg(DISTINCT curve, ',') FROM pg_temp.arms()), 'linear', 'and what all have');
SELECT is((SELECT string_agg(concat_ws(' ', actor, before -> 0 ->> 'curve', '>', after -> 0 ->> 'curve'), ', ' ORDER BY change_id) FROM (SELECT * FROM economy.level_changes WHERE kind = 'default' AND name = '*' ORDER BY change_id DESC LIMIT 3) c),
    'ann > pgtap_slow, bob pgtap_slow > pgtap_fast, cay pgtap_fast >', 'the history says who changed it');
SELECT throws_ok(format('SELECT economy.set_default_level_curve(%s)', call), code, NULL, format('set_default_level_curve(%s)', call))
FROM (VALUES ('NULL', 'XE001'), ('''pgtap_slow'', NULL', 'XE001'), ('''pgtap_none''', 'XE402'), ('''''', 'XE402'), ('''pgtap_slow'', ''''', 'XE002')) v (call, code);
SELECT throws_ok($$SELECT economy.set_level_experiment('*', '[]')$$, 'XE002', 'no experiment is named *', 'what all have is no experiment');

-- what is no experiment
CREATE TEMP TABLE before AS SELECT * FROM economy.level_experiments;
SELECT throws_ok(format('SELECT economy.set_level_experiment(%s)', call), code, NULL, format('set_level_experiment(%s)', call))
FROM (VALUES ('NULL, ''[]''', 'XE001'), ('''e'', NULL', 'XE001'), ('''e'', ''[]'', NULL', 'XE001'), (''''', ''[]''', 'XE002'), ('repeat(''e'', 65), ''[]''', 'XE002'),
    ('''e'', ''{}''', 'XE002'), ('''e'', ''null''', 'XE002'), ('''e'', ''[1]''', 'XE002'), ('''e'', ''["x"]''', 'XE002'), ('''e'', ''[{}]''', 'XE002'),
    ('''e'', ''[{"arm": "a", "curve": "linear"}]''', 'XE002'), ('''e'', ''[{"arm": "a", "share": 1}]''', 'XE002'), ('''e'', ''[{"curve": "linear", "share": 1}]''', 'XE002'),
    ('''e'', ''[{"arm": "", "curve": "linear", "share": 1}]''', 'XE002'), ('''e'', ''[{"arm": "a", "curve": "linear", "share": -1}]''', 'XE002'),
    ('''e'', ''[{"arm": "a", "curve": "linear", "share": 10001}]''', 'XE002'), ('''e'', ''[{"arm": "a", "curve": "linear", "share": "many"}]''', 'XE002'),
    ('''e'', ''[{"arm": "a", "curve": "linear", "share": 1e10}]''', 'XE002'),
    ('''e'', ''[{"arm": "a", "curve": "linear", "share": 1}, {"arm": "a", "curve": "linear", "share": 1}]''', 'XE002'),
    ('''e'', ''[{"arm": "a", "curve": "linear", "share": 6000}, {"arm": "b", "curve": "linear", "share": 4001}]''', 'XE002'),
    ('''e'', ''[{"arm": "a", "curve": "pgtap_none", "share": 1}]''', 'XE402')) v (call, code);
SELECT set_eq('SELECT * FROM economy.level_experiments', 'SELECT * FROM before', 'none of them changed anything');
SELECT * FROM finish();
ROLLBACK;
