-- The settings of the streak and the test clock: who may set them, and to what.
BEGIN;
SELECT no_plan();

SELECT economy.now() IS NOT NULL AS loaded \gset
CREATE ROLE pgtap_player;
GRANT USAGE ON SCHEMA economy TO pgtap_player;
GRANT EXECUTE ON FUNCTION economy.now() TO pgtap_player;
-- the SQLSTATE of a statement as that role; the subtransaction brings the role back
CREATE FUNCTION pg_temp.as_player(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        SET LOCAL ROLE pgtap_player;
        EXECUTE statement;
        RAISE 'done' USING ERRCODE = 'ZZ999';
    EXCEPTION WHEN OTHERS THEN
        RETURN CASE sqlstate WHEN 'ZZ999' THEN 'done' ELSE sqlstate END;
    END;
END $$;
SELECT is(pg_temp.as_player('SELECT economy.now()'), 'done', 'anybody who may call');
SELECT is(pg_temp.as_player(format('SET economy.%s = %L', name, value)), '42501', format('may not set economy.%s', name))
FROM (VALUES ('test_clock', '2031-01-01 00:00+00'), ('test_clock', ''), ('streak_day_offset', '1'), ('streak_grace_days', '1'),
             ('streak_dormancy_days', '99'), ('streak_cap', 'hold'), ('streak_cap_day', '1'), ('streak_max_freezes', '100'),
             ('notify', 'off'), ('row_access', 'sql')) v (name, value);
SELECT is(pg_temp.as_player('SET LOCAL economy.test_clock = ''2031-01-01 00:00+00'''), '42501', 'not for one transaction');
SELECT is(pg_temp.as_player('SELECT set_config(''economy.test_clock'', ''2031-01-01 00:00+00'', true)'), '42501', 'not by function');
SELECT is(pg_temp.as_player('ALTER ROLE pgtap_player SET economy.test_clock = ''2031-01-01 00:00+00'''), '42501', 'not for its own role');
SELECT is(pg_temp.as_player('RESET economy.test_clock'), '42501', 'nor reset it');
SELECT is(pg_temp.as_player('SET economy.nonsense = 1'), '42602', 'no other name under the prefix is taken');

-- values
SELECT throws_ok(format('SET LOCAL economy.test_clock = %L', value), '22023', NULL, format('the clock is not %L', value))
FROM unnest(ARRAY['now', 'today', 'tomorrow', 'infinity', '-infinity', 'noon', '12:00', 'x', '1', '2031-02-30 00:00+00', '2031-01-01 25:00+00', '+00']) value;
SELECT throws_ok(format('SET LOCAL economy.%s = %L', name, value), '22023', NULL, format('economy.%s is not %s', name, value))
FROM (VALUES ('streak_day_offset', '-1'), ('streak_day_offset', '24'), ('streak_grace_days', '0'), ('streak_grace_days', '3651'),
             ('streak_dormancy_days', '1'), ('streak_dormancy_days', '3651'), ('streak_cap', 'some'), ('streak_cap_day', '0'),
             ('streak_cap_day', '3651'), ('streak_max_freezes', '-1'), ('streak_max_freezes', '101')) v (name, value);
SELECT is(current_setting('economy.' || name), value, format('economy.%s is %L by default', name, value))
FROM (VALUES ('streak_day_offset', '0'), ('streak_grace_days', '7'), ('streak_dormancy_days', '30'), ('streak_cap', 'none'),
             ('streak_max_freezes', '5'), ('test_clock', '')) v (name, value)
WHERE (SELECT source FROM pg_settings s WHERE s.name = 'economy.' || v.name) = 'default';

-- the clock
SET LOCAL timezone = 'UTC';
SET LOCAL economy.test_clock = '2031-01-01 12:00:00.123456+02';
SELECT is(economy.now(), '2031-01-01 10:00:00.123456+00', 'the clock stands where it is set');
SELECT economy.register('pgtap clock') AS u \gset
SELECT is((SELECT created_at FROM economy.users WHERE user_id = :u), '2031-01-01 10:00:00.123456+00', 'in every rule');
SELECT is(economy.grant_reward(:u, 's', 'e') IS NULL, false, 'a grant');
SELECT is((SELECT created_at FROM economy.reward_audit WHERE user_id = :u), '2031-01-01 10:00:00.123456+00', 'has its time');
SAVEPOINT s;
SET LOCAL economy.test_clock = '2032-01-01 12:00:00+00';
ROLLBACK TO SAVEPOINT s;
SELECT is(economy.now(), '2031-01-01 10:00:00.123456+00', 'a rolled back setting is not in force');
SET LOCAL economy.test_clock = '';
SELECT ok(abs(extract(epoch FROM economy.now() - clock_timestamp())) < 3600, 'empty is the server''s clock');
SELECT * FROM finish();
ROLLBACK;
