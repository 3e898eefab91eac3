-- Levels: the linear curve, curves from the table, and what is refused.
BEGIN;
SELECT no_plan();

SELECT is(economy.level_for(xp), level, format('level of %s XP', xp))
FROM (VALUES (0::bigint, 1), (1, 1), (499, 1), (500, 2), (999, 2), (1000, 3), (1499, 3), (1500, 4), (499999, 1000), (500000, 1001),
             (1073741822999, 2147483646), (1073741823000, 2147483647), (1073741823500, 2147483647),
             (9007199254740991, 2147483647), (9223372036854775807, 2147483647)) v (xp, level);
SELECT is(economy.level_for(500, 'linear'), 2, 'linear has a name');
SELECT is((SELECT count(*) FROM generate_series(0, 20000, 7) xp WHERE economy.level_for(xp) <> floor(xp / 500.0) + 1), 0::bigint, 'floor(xp / 500) + 1');
SELECT throws_ok(format('SELECT economy.level_for(%s)', call), code, message, format('level_for(%s)', call))
FROM (VALUES ('NULL', 'XE001', 'xp must not be null'), ('0, NULL', 'XE001', 'curve must not be null'), ('-1', 'XE002', 'xp must be 0 or more'),
             ('-9223372036854775808', 'XE002', 'xp must be 0 or more'), ('0, ''''', 'XE002', 'curve must not be empty'),
             ('0, repeat(''c'', 65)', 'XE003', 'curve is too long'), ('0, ''pgtap_none''', 'XE402', 'level curve "pgtap_none" does not exist'),
             ('0, ''Linear''', 'XE402', 'level curve "Linear" does not exist')) v (call, code, message);

-- a curve of the table
SELECT is(economy.set_level_curve('pgtap_steep', ARRAY[0, 10, 30, 70, 9007199254740991]), 5, 'a curve of five levels');
SELECT is(economy.level_for(xp, 'pgtap_steep'), level, format('level of %s XP on it', xp))
FROM (VALUES (0::bigint, 1), (9, 1), (10, 2), (29, 2), (30, 3), (69, 3), (70, 4), (9007199254740990, 4), (9007199254740991, 5)) v (xp, level);
SELECT is(economy.set_level_curve('pgtap_flat', ARRAY[0]::bigint[]), 1, 'a curve of one level');
SELECT is(economy.level_for(9007199254740991, 'pgtap_flat'), 1, 'has one level');
SELECT is(economy.set_level_curve('pgtap_steep', ARRAY[0, 100]), 2, 'a curve can be set again');
SELECT is((SELECT array_agg(economy.level_for(xp, 'pgtap_steep') ORDER BY xp) FROM unnest(ARRAY[99, 100, 9007199254740991]) xp), ARRAY[1, 2, 2], 'nothing of the old one is left');
SELECT is(economy.set_level_curve(repeat('c', 64), ARRAY[0, 1]), 2, 'a name of 64 bytes');
SELECT is(economy.set_level_curve('pgtap_long', (SELECT array_agg(n * n) FROM generate_series(0, 999) n)::bigint[]), 1000, 'a thousand levels');
SELECT is((SELECT count(*) FROM generate_series(1, 1000) n WHERE economy.level_for((n - 1) * (n - 1), 'pgtap_long') <> n
           OR (n > 1 AND economy.level_for((n - 1) * (n - 1) - 1, 'pgtap_long') <> n - 1)), 0::bigint, 'each begins at its XP');
SELECT throws_ok(format('SELECT economy.set_level_curve(%s)', call), CASE WHEN call ~ '^NULL|, NULL$' THEN 'XE001' ELSE 'XE002' END, NULL, format('set_level_curve(%s)', call))
FROM unnest(ARRAY['NULL, ARRAY[0]', '''c'', NULL', '''c'', ''{}''', '''c'', ARRAY[0, NULL]::bigint[]', '''c'', ARRAY[[0, 1], [2, 3]]', '''linear'', ARRAY[0]', ''''', ARRAY[0]',
    'repeat(''c'', 65), ARRAY[0]', '''c'', ARRAY[1, 2]', '''c'', ARRAY[0, 5, 5]', '''c'', ARRAY[0, 5, 4]', '''c'', ARRAY[-1, 4]',
    '''c'', ARRAY[0, 9007199254740992]', '''c'', ARRAY[0, 9223372036854775807]']) call;
SELECT is((SELECT count(*) FROM economy.level_curves WHERE curve IN ('c', 'linear', '')), 0::bigint, 'no refused curve is there');

-- who changed a curve, and from what to what
SELECT is(economy.set_level_curve('pgtap_flat', ARRAY[0, 5], 'ann'), 2, 'a change by ann');
SELECT is((SELECT string_agg(concat_ws(' ', name, CASE actor WHEN session_user THEN 'session' ELSE actor END, coalesce(jsonb_path_query_array(before, '$[*].xp')::text, '-'), jsonb_path_query_array(after, '$[*].xp')), ', ' ORDER BY change_id)
           FROM economy.level_changes WHERE kind = 'curve' AND name IN ('pgtap_steep', 'pgtap_flat')),
    'pgtap_steep session - [0, 10, 30, 70, 9007199254740991], pgtap_flat session - [0], pgtap_steep session [0, 10, 30, 70, 9007199254740991] [0, 100], pgtap_flat ann [0] [0, 5]',
    'the history of two curves');
CREATE FUNCTION pg_temp.found() RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(concat_ws('|', kind, regexp_replace(expected, 'change [0-9]+', 'change N'), actual), ', ') FROM economy_internal.audit_config() WHERE expected ~ 'level_' $$;
SELECT throws_ok($$SELECT economy.set_level_curve('c', ARRAY[0], NULL)$$, 'XE001', 'actor must not be null', 'nobody');
SELECT throws_ok($$SELECT economy.set_level_curve('c', ARRAY[0], '')$$, 'XE002', 'actor must have 1 to 255 bytes', 'no name');
SELECT throws_ok($$DELETE FROM economy.config_changes WHERE relation = 'level_curves'$$, 'XE101', NULL, 'the history is append-only');
SELECT is(pg_temp.found(), NULL, 'the tables are what the history says');
SAVEPOINT s;
UPDATE economy.level_curves SET xp = 6 WHERE curve = 'pgtap_flat' AND level = 2;
SELECT is(pg_temp.found(), 'wrong_config|level_curves pgtap_flat: [{"xp": 0, "level": 1}, {"xp": 5, "level": 2}]|[{"xp": 0, "level": 1}, {"xp": 6, "level": 2}]', 'a level moved by hand is found');
ROLLBACK TO SAVEPOINT s;
DELETE FROM economy.level_curves WHERE curve = 'pgtap_flat';
SELECT is(pg_temp.found(), 'wrong_config|level_curves pgtap_flat: [{"xp": 0, "level": 1}, {"xp": 5, "level": 2}]', 'a curve taken away is found');
ROLLBACK TO SAVEPOINT s;
INSERT INTO economy.level_curves VALUES ('pgtap_hand', 1, 0);
SELECT is(pg_temp.found(), 'wrong_config|level_curves pgtap_hand: |[{"xp": 0, "level": 1}]', 'a curve made by hand is found');
ROLLBACK TO SAVEPOINT s;
ALTER TABLE economy.config_changes DISABLE TRIGGER ALL;
UPDATE economy.config_changes SET before = '[0, 1]' WHERE key = 'pgtap_flat' AND actor = 'ann';
SELECT is(pg_temp.found(), 'wrong_config|change N of level_curves pgtap_flat as it was noted|another', 'a change of the history is found');
ROLLBACK TO SAVEPOINT s;

-- account() and grants on the linear curve
SELECT economy.register('pgtap level') AS u \gset
SELECT is((SELECT row(level, xp_into_level, xp_to_next)::text FROM economy.account(:u)), '(1,0,500)', 'a newcomer');
CREATE FUNCTION pg_temp.give(id bigint, event text, xp bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    g economy.grant_result;
BEGIN
    SELECT * INTO g FROM economy.grant_reward(id, 'level', event, 0, xp);
    RETURN (SELECT concat_ws(' ', g.level, g.leveled_up, a.level, a.xp_into_level, a.xp_to_next) FROM economy.account(id) a);
END $$;
SELECT is(pg_temp.give(:u, n::text, xp), line, format('%s XP more', xp))
FROM (VALUES (1, 499, '1 f 1 499 1'), (2, 1, '2 t 2 0 500'), (3, 499, '2 f 2 499 1'), (4, 1, '3 t 3 0 500'), (5, 0, '3 f 3 0 500'),
             (6, 2750, '8 t 8 250 250')) v (n, xp, line);
SELECT is((SELECT row(level, leveled_up, experience_points)::text FROM economy.grant_reward(:u, 'level', '2', 0, 1)), '(2,t,500)', 'a repeat has the level of then');
SELECT is(economy.level_of(:u, 1250)::text, '(linear,3,250,250)', 'level_of');
SELECT is(economy.level_of(:u, xp)::text, line, format('%s XP: the linear curve has a top', xp))
FROM (VALUES (1073741822999, '(linear,2147483646,499,1)'), (1073741823000, '(linear,2147483647,0,)'), (1073741823500, '(linear,2147483647,500,)'),
             (9007199254740991, '(linear,2147483647,9006125512917991,)')) v (xp, line);
SELECT throws_ok('SELECT economy.level_of(NULL, 1)', 'XE001', 'user_id must not be null', 'level_of null');
SELECT throws_ok(format('SELECT economy.level_of(%s, NULL)', :u), 'XE001', 'xp must not be null', 'level_of null XP');
SELECT throws_ok(format('SELECT economy.level_of(%s, -1)', :u), 'XE002', 'xp must be 0 or more', 'level_of -1 XP');
SELECT * FROM finish();
ROLLBACK;
