-- The calendar of daily rewards: set_daily_rewards(), and the claims that it pays.
BEGIN;
SELECT no_plan();

SELECT economy.set_daily_rewards(NULL, 'pgtap') AS x \gset
SELECT economy.register('pgtap daily') AS u \gset
SELECT economy.register('pgtap daily full') AS f \gset
SELECT count(*) AS x FROM unnest(ARRAY['{"item_id": "pgtap_chest", "kind": "stack", "maximum": 3}', '{"item_id": "pgtap_vip", "kind": "pass", "maximum": 7200}', '{"item_id": "pgtap_key", "kind": "stack"}']) i, economy.upsert_item(i::jsonb, 'pgtap') \gset
CREATE FUNCTION pg_temp.claim(id bigint, day text) RETURNS text LANGUAGE sql AS
    $$ SELECT concat_ws(' ', r.state, r.code, r.streak_day, r.gold_delta, r.xp_delta, r.items, r.detail)
       FROM set_config('economy.test_clock', '2031-02-' || day || ' 12:00+00', true) c CROSS JOIN LATERAL economy.claim_daily_reward(id) r WHERE c IS NOT NULL $$;
CREATE FUNCTION pg_temp.preview(id bigint, days integer) RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(concat_ws(' ', p.streak_day, p.gold, p.xp, p.items), ', ' ORDER BY p.claim_date) FROM economy.streak_preview(id, days) p $$;
CREATE FUNCTION pg_temp.days(upto integer) RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(concat_ws(' ', r.gold, r.xp, r.items), ', ' ORDER BY d) FROM generate_series(1, upto) d CROSS JOIN LATERAL economy.streak_reward(d) r $$;

-- without one
SELECT is(economy.set_daily_rewards('[]', 'pgtap'), 0, 'no calendar where there is none');
SELECT is(pg_temp.days(3), '1000 50, 1200 75, 1400 100', 'the formula');
SELECT is(pg_temp.claim(:u, '01'), 'new CLAIMED 1 1000 50', 'pays');

-- with one
SELECT is(economy.set_daily_rewards('[{"gold": 10, "xp": 1}, {"contents": {"pgtap_chest": 2}}, {"gold": 30, "xp": 3, "contents": {"pgtap_chest": 2, "pgtap_vip": 3600}}]', 'ann'), 3, 'a calendar');
SELECT is(pg_temp.days(5), '10 1, 0 0 {"pgtap_chest": 2}, 30 3 {"pgtap_vip": 3600, "pgtap_chest": 2}, 30 3 {"pgtap_vip": 3600, "pgtap_chest": 2}, 30 3 {"pgtap_vip": 3600, "pgtap_chest": 2}', 'its last day comes again');
SELECT is(pg_temp.claim(:u, '01'), 'reuse ALREADY_CLAIMED 1 1000 50', 'a retry answers what was given');
SELECT is(pg_temp.preview(:u, 3), '2 0 0 {"pgtap_chest": 2}, 3 30 3 {"pgtap_vip": 3600, "pgtap_chest": 2}, 4 30 3 {"pgtap_vip": 3600, "pgtap_chest": 2}', 'what comes is shown');
SELECT is(pg_temp.claim(:u, '02'), 'new CLAIMED 2 0 0 [{"item": "pgtap_chest", "delta": 2, "balance": 2}]', 'and given, items alone');
SELECT is(pg_temp.claim(:u, '03'), 'new CLAIMED 3 30 3 [{"item": "pgtap_vip", "delta": 3600, "balance": ' || extract(epoch FROM '2031-02-03 13:00+00'::timestamptz)::bigint || '}, {"item": "pgtap_chest", "delta": 1, "balance": 3}] {"not_given": {"pgtap_chest": 1}}', 'as many as there is room for');
SELECT is(pg_temp.claim(:u, '03'), 'reuse ALREADY_CLAIMED 3 30 3 [{"item": "pgtap_vip", "delta": 3600, "balance": ' || extract(epoch FROM '2031-02-03 13:00+00'::timestamptz)::bigint || '}, {"item": "pgtap_chest", "delta": 1, "balance": 3}] {"not_given": {"pgtap_chest": 1}}', 'a retry says the same');
SELECT is(economy.set_daily_rewards('[{"gold": 7}]', 'bob'), 1, 'another calendar');
SELECT is(pg_temp.claim(:u, '03'), 'reuse ALREADY_CLAIMED 3 30 3 [{"item": "pgtap_vip", "delta": 3600, "balance": ' || extract(epoch FROM '2031-02-03 13:00+00'::timestamptz)::bigint || '}, {"item": "pgtap_chest", "delta": 1, "balance": 3}] {"not_given": {"pgtap_chest": 1}}', 'changes nothing that was given');
SELECT is(pg_temp.claim(:u, '04'), 'new CLAIMED 4 7 0', 'and pays from the next claim on');
SELECT is(r.event::jsonb -> 'data' -> 'items', '[{"item": "pgtap_chest", "delta": 2, "balance": 2}]', 'the event tells the items')
FROM economy.replay(:u, 1) r WHERE r.seq = 2 AND r.event ->> 'type' = 'reward_granted';
SELECT is(string_agg(concat_ws(' ', r.reward_day, r.items IS NOT NULL, r.details), ', ' ORDER BY r.seq), '1 f, 2 t, 3 t {"not_given": {"pgtap_chest": 1}}, 1 f', 'the entries') FROM economy.reward_audit r WHERE r.user_id = :u;

-- what comes after the last day, whatever the cap of the formula
SET LOCAL economy.streak_cap = 'hold';
SET LOCAL economy.streak_cap_day = 1;
SELECT is(pg_temp.days(4), '7 0, 7 0, 7 0, 7 0', 'one day');
SELECT is(economy.set_daily_rewards('[{"gold": 1}, {"gold": 2}, {"gold": 3}]', 'ann', 1), 3, 'one that begins anew');
SELECT is(pg_temp.days(8), '1 0, 2 0, 3 0, 1 0, 2 0, 3 0, 1 0, 2 0', 'does');
SELECT is(economy.set_daily_rewards('[{"gold": 1}, {"gold": 2}, {"gold": 3}]', 'ann', 2), 3, 'one that goes on within');
SELECT is(pg_temp.days(8), '1 0, 2 0, 3 0, 2 0, 3 0, 2 0, 3 0, 2 0', 'does');
SELECT is(pg_temp.preview(:u, 4), '5 3 0, 6 2 0, 7 3 0, 8 2 0', 'the cap is of the formula');
SELECT is(economy.set_daily_rewards('[{"gold": 1}, {"gold": 2}, {"gold": 3}]', 'ann', 3), 3, 'the last day itself');
SELECT is(pg_temp.days(5), '1 0, 2 0, 3 0, 3 0, 3 0', 'comes again');
RESET economy.streak_cap;
RESET economy.streak_cap_day;
SELECT is(economy.set_daily_rewards((SELECT jsonb_agg(jsonb_build_object('gold', d)) FROM generate_series(1, 366) d), 'ann', 360), 366, 'a leap year');
SELECT is((economy.streak_reward(2147483647)).gold, 360::bigint + (2147483647 - 367) % 7, 'at the last day there is');

-- what is not given: no room, not given any more, not there
SELECT is(economy.set_daily_rewards('[{"gold": 5, "contents": {"pgtap_chest": 4, "pgtap_vip": 9000, "pgtap_key": 2}}]', 'ann'), 1, 'of everything too much');
SELECT is(economy.upsert_item('{"item_id": "pgtap_key", "active": false}', 'ann') IS NULL, false, 'one is not given any more');
SELECT is(pg_temp.claim(:f, '01'), 'new CLAIMED 1 5 0 [{"item": "pgtap_vip", "delta": 7200, "balance": ' || extract(epoch FROM '2031-02-01 14:00+00'::timestamptz)::bigint || '}, {"item": "pgtap_chest", "delta": 3, "balance": 3}] {"not_given": {"pgtap_key": 2, "pgtap_vip": 1800, "pgtap_chest": 1}}', 'the rest is said');
SELECT is(pg_temp.claim(:f, '02'), 'new CLAIMED 2 5 0 [{"item": "pgtap_vip", "delta": 7200, "balance": ' || extract(epoch FROM '2031-02-02 14:00+00'::timestamptz)::bigint || '}] {"not_given": {"pgtap_key": 2, "pgtap_vip": 1800, "pgtap_chest": 4}}', 'a full bag costs no streak');
DELETE FROM economy.items WHERE item_id = 'pgtap_key';
SELECT is(pg_temp.claim(:f, '03') LIKE 'new CLAIMED 3 5 0 %{"not_given": {"pgtap_key": 2, "pgtap_vip": 1800, "pgtap_chest": 4}}', true, 'nor does an item that was deleted');
SELECT economy.note_change('items', 'pgtap_key', 'delete', 'pgtap') AS x \gset

-- taken back: with the items, and with all of them the date
SELECT is(pg_temp.claim(:f, '04') LIKE 'new CLAIMED 4 5 0 %', true, 'the next claim');
SELECT is((SELECT concat_ws(' ', r.code, r.gold_delta, jsonb_path_query_array(r.items, '$[*].delta')) FROM economy.revoke_reward(:f, format('R%s-4', :f), 'wrong', 'pgtap') r), 'OK -5 [-7200]', 'is taken back with its items');
SELECT is(pg_temp.claim(:f, '04') LIKE 'new CLAIMED 4 5 0 %', true, 'and its date is claimed again');
SELECT is((SELECT concat_ws(' ', r.code, r.gold_delta, r.items) FROM economy.revoke_reward(:f, format('R%s-6', :f), 'wrong', 'pgtap', 5, 0, items => '{}', idempotency_key => 'k') r), 'OK -5', 'the gold alone');
SELECT is(pg_temp.claim(:f, '04') LIKE 'reuse ALREADY_CLAIMED 4 5 0 %', true, 'gives no date back');

-- a date counts as paid until the items are taken back, too
SELECT economy.register('pgtap daily back') AS g \gset
SELECT is(economy.set_daily_rewards('[{"gold": 5, "contents": {"pgtap_chest": 1}}]', 'ann'), 1, 'gold and an item');
SELECT is(pg_temp.claim(:g, '01') || ', ' || pg_temp.claim(:g, '02'), 'new CLAIMED 1 5 0 [{"item": "pgtap_chest", "delta": 1, "balance": 1}], new CLAIMED 2 5 0 [{"item": "pgtap_chest", "delta": 1, "balance": 2}]', 'on two days');
SELECT is((SELECT r.code FROM economy.set_streak(:g, 1, '2031-02-01', 'r', 'pgtap') r), 'OK', 'the streak is put back before the second');
SELECT is((SELECT concat_ws(' ', r.code, r.gold_delta, r.items) FROM economy.revoke_reward(:g, format('R%s-2', :g), 'wrong', 'pgtap', 5, 0, items => '{}', idempotency_key => 'k') r), 'OK -5', 'whose gold is taken back');
SELECT is(pg_temp.claim(:g, '02'), 'reuse ALREADY_CLAIMED 2 5 0 [{"item": "pgtap_chest", "delta": 1, "balance": 2}]', 'it was paid');
SELECT is((SELECT string_agg(f.kind, ', ') FROM economy_internal.audit_rewards() f WHERE f.user_id = :g), NULL, 'which the audit knows');
SELECT is((SELECT concat_ws(' ', r.code, r.gold_delta, r.items) FROM economy.revoke_reward(:g, format('R%s-2', :g), 'wrong', 'pgtap', idempotency_key => 'l') r), 'OK 0 [{"item": "pgtap_chest", "delta": -1, "balance": 1}]', 'and then the rest');
SELECT is(pg_temp.claim(:g, '02'), 'new CLAIMED 2 5 0 [{"item": "pgtap_chest", "delta": 1, "balance": 2}]', 'it is paid again');
SELECT is((SELECT string_agg(f.kind, ', ') FROM economy_internal.audit_rewards() f WHERE f.user_id = :g), NULL, 'and once');

-- of a day without gold and XP the items alone say whether it was taken back
SELECT is(economy.set_daily_rewards('[{"contents": {"pgtap_chest": 1}}, {}]', 'ann'), 2, 'a day of items, and one of nothing');
SELECT is(pg_temp.claim(:u, '20'), 'new CLAIMED 1 0 0 {"not_given": {"pgtap_chest": 1}}', 'given nothing, and claimed');
SELECT is(pg_temp.claim(:u, '21'), 'new CLAIMED 2 0 0', 'a day of nothing is one');
SELECT is((SELECT r.code FROM economy.set_streak(:u, 1, '2031-02-20', 'r', 'pgtap') r), 'OK', 'the streak is put back');
SELECT is(pg_temp.claim(:u, '21'), 'reuse ALREADY_CLAIMED 2 0 0', 'before a date that was paid, be it nothing');

-- gold is not lost
SELECT economy.register('pgtap daily rich') AS r \gset
SELECT success AS x FROM economy.adjust_gold(:r, 9007199254740991, 'open', 'pgtap', 'pgtap') \gset
SELECT is(economy.set_daily_rewards('[{"gold": 1, "contents": {"pgtap_chest": 1}}]', 'ann'), 1, 'gold');
SELECT is(pg_temp.claim(:r, '01'), 'refused GOLD_OVERFLOW', 'that there is no room for refuses the claim');

-- back to the formula
SELECT is(economy.set_daily_rewards(NULL, 'cay'), 0, 'no calendar');
SELECT is(pg_temp.days(2), '1000 50, 1200 75', 'is the formula');
SELECT is(pg_temp.claim(:u, '22'), 'new CLAIMED 2 1200 75', 'again');
SELECT results_eq($$SELECT c.action, c.actor, jsonb_array_length(c.before), jsonb_array_length(c.after) FROM economy.config_changes c WHERE c.relation = 'daily_rewards' AND c.key = 'all' ORDER BY c.change_no DESC LIMIT 2$$,
    $$VALUES ('reset', 'cay', 1, NULL), ('set', 'ann', 2, 1)$$, 'each change is recorded');

-- what is no calendar
SELECT is(economy.set_daily_rewards('[{"gold": 8}]', 'ann'), 1, 'one that stays');
SELECT throws_ok(format('SELECT economy.set_daily_rewards(%s)', args), 'XE901', 'the daily rewards are not valid', args)
FROM (VALUES ('''{}'', ''a'''), ('''null'', ''a'''), ('''[1]'', ''a'''), ('''[{}, []]'', ''a'''), ('''[{"gold": -1}]'', ''a'''), ('''[{"gold": 9007199254740992}]'', ''a'''), ('''[{"gold": 1.5}]'', ''a'''), ('''[{"gold": null}]'', ''a'''),
    ('''[{"xp": -1}]'', ''a'''), ('''[{"xp": "many"}]'', ''a'''), ('''[{"reward_day": 1}]'', ''a'''), ('''[{"contents": {}}]'', ''a'''), ('''[{"contents": {"pgtap_none": 1}}]'', ''a'''), ('''[{"contents": {"pgtap_chest": 0}}]'', ''a'''),
    ('''[{"contents": [1]}]'', ''a'''), ('''[{}]'', ''a'', 0'), ('''[{}]'', ''a'', 2'), ('NULL, ''a'', 1'), ('''[]'', ''a'', 1'), ('(SELECT jsonb_agg(''{}''::jsonb) FROM generate_series(1, 367)), ''a''')) v (args);
SELECT throws_ok('SELECT economy.set_daily_rewards(''[]'', NULL)', 'XE001', 'actor must not be null', 'nobody');
SELECT is(pg_temp.days(2), '8 0, 8 0', 'and nothing has changed');

-- the audit knows the calendars there were, and their items
SELECT is((SELECT string_agg(concat_ws(' ', f.kind, f.expected, f.actual), ', ') FROM economy_internal.audit_rewards() f WHERE f.user_id IN (:u, :f, :r)), NULL, 'all of this is found to be right');
SELECT is((SELECT string_agg(concat_ws(' ', f.kind, f.expected, f.actual), ', ') FROM economy_internal.audit_config() f WHERE f.expected LIKE 'daily_rewards%'), NULL, 'and the calendar as it was set');
CREATE FUNCTION pg_temp.says(damage text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    says text;
BEGIN
    SET LOCAL session_replication_role = replica;
    ALTER TABLE economy.reward_audit DISABLE TRIGGER ALL;
    EXECUTE damage;
    SELECT string_agg(DISTINCT concat_ws(' ', f.kind, f.expected, f.actual), ', ') INTO says FROM (SELECT * FROM economy_internal.audit_rewards() UNION ALL SELECT * FROM economy_internal.audit_config()) f;
    RAISE EXCEPTION '%', coalesce(says, 'nothing') USING ERRCODE = 'XX999';
EXCEPTION WHEN SQLSTATE 'XX999' THEN
    RETURN sqlerrm;
END
$$;
SELECT is(pg_temp.says(format(damage, :u)), says, damage)
FROM (VALUES ('UPDATE economy.reward_audit SET gold_delta = 31 WHERE user_id = %s AND seq = 3', 'wrong_reward what the formula or a calendar has for day 3 31 gold and 3 XP and [{"item": "pgtap_vip", "delta": 3600, "balance": 1927890000}, {"item": "pgtap_chest", "delta": 1, "balance": 3}] and not {"pgtap_chest": 1}'),
    ('UPDATE economy.reward_audit SET details = NULL WHERE user_id = %s AND seq = 3', 'wrong_reward what the formula or a calendar has for day 3 30 gold and 3 XP and [{"item": "pgtap_vip", "delta": 3600, "balance": 1927890000}, {"item": "pgtap_chest", "delta": 1, "balance": 3}]'),
    ('UPDATE economy.reward_audit SET details = ''{"not_given": {"pgtap_chest": "a"}}'' WHERE user_id = %s AND seq = 3', 'wrong_reward what the formula or a calendar has for day 3 30 gold and 3 XP and [{"item": "pgtap_vip", "delta": 3600, "balance": 1927890000}, {"item": "pgtap_chest", "delta": 1, "balance": 3}] and not {"pgtap_chest": "a"}'),
    ('UPDATE economy.reward_audit SET items = NULL WHERE user_id = %s AND seq = 3', 'wrong_reward what the formula or a calendar has for day 3 30 gold and 3 XP and not {"pgtap_chest": 1}'),
    ('UPDATE economy.reward_audit SET items = ''[{"item": "pgtap_chest", "delta": 3, "balance": 3}]'' WHERE user_id = %s AND seq = 2', 'wrong_reward what the formula or a calendar has for day 2 0 gold and 0 XP and [{"item": "pgtap_chest", "delta": 3, "balance": 3}]'),
    ('UPDATE economy.daily_rewards SET gold = 9 -- %s', 'wrong_config daily_rewards all: [{"xp": 0, "gold": 8, "contents": null, "reward_day": 1, "continues_at": null}] [{"xp": 0, "gold": 9, "contents": null, "reward_day": 1, "continues_at": null}]')) v (damage, says);

-- a calendar that was changed by hand
ALTER TABLE economy.daily_rewards DROP CONSTRAINT daily_rewards_continues_check;
UPDATE economy.daily_rewards SET continues_at = 2;
SELECT throws_ok('SELECT economy.streak_reward(2)', 'XE105', 'the daily rewards cannot continue at day 2 after day 1', 'and cannot be');

SELECT * FROM finish();
ROLLBACK;
