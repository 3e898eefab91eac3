-- Every setting: what it is when nobody sets it, what it may be, and who may set it when.
BEGIN;
SET client_min_messages = warning;
SELECT plan(17);

-- the library is loaded
SELECT FROM economy.now();

CREATE TEMP VIEW setting AS
SELECT concat_ws(' ', substr(s.name, 9), s.vartype, s.unit, s.context, 'default "' || s.boot_val || '"', s.min_val || ' to ' || s.max_val,
                 array_to_string(s.enumvals, '/')) AS line, s.name
FROM pg_settings s WHERE s.name LIKE 'economy.%';

SELECT results_eq($$SELECT line FROM setting
                    WHERE name NOT IN ('economy.notify', 'economy.ring_size', 'economy.relay_databases') ORDER BY name COLLATE "C"$$,
    $$VALUES ('allow_drop bool superuser default "off"'),
             ('async_commit enum superuser default "none" none/actions/all'),
             ('collect_debts bool superuser default "off"'),
             ('duplicate_wait integer ms user default "0" 0 to 60000'),
             ('journal_partitions integer user default "0" 0 to 1024'),
             ('node_id integer sighup default "0" 0 to 4095'),
             ('notify_payload enum superuser default "full" full/reference'),
             ('notify_stats enum superuser default "separate" separate/with_action'),
             ('notify_types string superuser default "all"'),
             ('notify_user_channels bool superuser default "off"'),
             ('recommendation_retention integer superuser default "180" 1 to 36500'),
             ('rfm_memory integer kB superuser default "65536" 1024 to 67108864'),
             ('rfm_model string superuser default "standard"'),
             ('row_access enum superuser default "auto" auto/sql'),
             ('streak_cap enum superuser default "none" none/hold/cycle'),
             ('streak_cap_day integer superuser default "7" 1 to 3650'),
             ('streak_day_offset integer superuser default "0" 0 to 23'),
             ('streak_dormancy_days integer superuser default "30" 2 to 3650'),
             ('streak_grace_days integer superuser default "7" 1 to 3650'),
             ('streak_max_freezes integer superuser default "5" 0 to 100'),
             ('test_clock string superuser default ""')$$, 'the settings');

-- rings are there only with the preload, and then they are the way
SELECT results_eq($$SELECT line FROM setting
                    WHERE name IN ('economy.notify', 'economy.ring_size', 'economy.relay_databases') ORDER BY name COLLATE "C"$$,
    $$SELECT line FROM (VALUES (false, 1, 'notify enum superuser default "inline" off/inline/relay'),
                               (true, 1, 'notify enum superuser default "relay" off/inline/relay'),
                               (true, 2, 'relay_databases integer postmaster default "4" 1 to 64'),
                               (true, 3, 'ring_size integer postmaster default "16384" 16 to 1048576')) v (preloaded, n, line)
      WHERE preloaded = (current_setting('shared_preload_libraries') ~ 'economy') ORDER BY n$$, 'the settings of the relay');

SELECT throws_ok($$SET economy.no_such_setting = 1$$, '42602', NULL, 'a setting that is misspelt');

-- the clock: with an offset, or off
SELECT throws_ok($$SET economy.test_clock = '2026-01-31 12:00:00'$$, '22023', NULL, 'a clock without an offset');
SET economy.test_clock = '2026-01-31 12:00:00.123456+02';
SELECT is(economy.now(), '2026-01-31 10:00:00.123456+00'::timestamptz, 'a clock with one');
SAVEPOINT s;
SET LOCAL economy.test_clock = '2027-01-31 12:00:00+00';
ROLLBACK TO s;
SELECT is(economy.now(), '2026-01-31 10:00:00.123456+00'::timestamptz, 'comes back with its savepoint');
SET economy.test_clock = '';
SELECT is(economy.now() BETWEEN transaction_timestamp() AND clock_timestamp(), true, 'and empty it is the server''s');
SET economy.test_clock = '2027-01-31 12:00:00+00';
RESET economy.test_clock;
SELECT cmp_ok(economy.now(), '>', transaction_timestamp(), 'which goes on within a transaction');

-- types of events: those that are sent, one by one, in a list, and no others
CREATE FUNCTION pg_temp.refusal(types text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    d text;
    h text;
BEGIN
    PERFORM set_config('economy.notify_types', types, true);
    RETURN 'taken';
EXCEPTION WHEN invalid_parameter_value THEN
    GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
    RETURN concat_ws(' ', d, nullif(h, ''));
END $$;
SELECT is((SELECT string_agg(t.name, ' ' ORDER BY t.name) FROM economy.event_types t WHERE pg_temp.refusal(t.name) = 'taken'),
          (SELECT string_agg(t.name, ' ' ORDER BY t.name) FROM economy.event_types t WHERE t.version > 0), 'each type that is sent, and none that is reserved');
SET LOCAL economy.notify_types = user_action, "stats_delta";
SELECT is(current_setting('economy.notify_types'), 'user_action, stats_delta', 'a list');
SELECT is(pg_temp.refusal(' ALL '), 'taken', 'all of them, in any case');
SELECT is(pg_temp.refusal('user_action,User_Action'), 'taken', 'one twice');
SELECT is(pg_temp.refusal('user_action, purchase_updates'), 'No event has the type "purchase_updates". Types are purchase_update, reward_granted, profile_update, user_action, stats_delta, holding_update, purchase_refunded, mission_update; all is all of them.', 'a type that is misspelt');
SELECT is(pg_temp.refusal('all, user_action'), 'No event has the type "all". Types are purchase_update, reward_granted, profile_update, user_action, stats_delta, holding_update, purchase_refunded, mission_update; all is all of them.', 'all and some');
SELECT is(pg_temp.refusal(''), 'The list is empty. To send nothing set economy.notify to off.', 'an empty list');
SELECT is(pg_temp.refusal('user_action,'), 'The list is not written as one.', 'a list that is cut off');
SELECT is(pg_temp.refusal('"USER_ACTION"'), 'No event has the type "USER_ACTION". Types are purchase_update, reward_granted, profile_update, user_action, stats_delta, holding_update, purchase_refunded, mission_update; all is all of them.', 'a name in quotes is as it is written');

SELECT * FROM finish();
ROLLBACK;
