-- capture_actions(): the app's own tables feed the ledger.
BEGIN;
SELECT no_plan();
SELECT economy.register('pgtap cap a') AS a \gset
SELECT economy.register('pgtap cap b') AS b \gset
SELECT economy.register('pgtap cap c') AS c \gset
SELECT count(*) AS x FROM unnest(ARRAY[:a, :b, :c]) u, economy.adjust_gold(u, 1000, 'open', 'pgtap', 'pgtap') \gset
CREATE FUNCTION pg_temp.figures(who text) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', a.seq, a.gold, g.total, g.wins, g.losses, g.max_win) FROM economy.accounts a LEFT JOIN economy.game_stats g ON g.user_id = a.user_id AND g.game = 'slot'
    WHERE a.user_id = economy.user_id_of('pgtap cap ' || who) $$;
CREATE FUNCTION pg_temp.capture(target text, args text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('client_min_messages', 'warning', true);
    EXECUTE format('DROP TRIGGER IF EXISTS capture ON %s', target);
    EXECUTE format('CREATE TRIGGER capture AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION economy.capture_actions(%s)', target, args);
END
$$;
CREATE FUNCTION pg_temp.run(statement text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    n bigint;
BEGIN
    EXECUTE statement;
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN n;
END
$$;

-- the happy path, with a dropped column before the others
CREATE TEMP TABLE spins (gone text, spin_id bigint, player bigint, stake integer, payout numeric, note text);
ALTER TABLE spins DROP COLUMN gone;
SELECT pg_temp.capture('spins', $$'player', 'slot', 'spin_id', 'stake', 'payout', 'prefix='$$) AS x \gset
SELECT is(pg_temp.run(format('INSERT INTO spins VALUES (1, %s, 10, 30), (2, %s, 5, 0), (3, %s, 7, 7.000)', :b, :a, :b)), 3::bigint, 'three rows');
SELECT is(pg_temp.figures('a'), '2 995 1 0 1 0', 'are counted for a');
SELECT is(pg_temp.figures('b'), '3 1020 2 1 0 30', 'and for b');
SELECT results_eq($$SELECT concat_ws(' ', seq, game, action_type, action_id, bet, win, outcome, details) COLLATE "default" FROM economy.user_actions WHERE user_id = economy.user_id_of('pgtap cap b') ORDER BY seq$$,
    ARRAY['2 slot CAPTURE 1 10 30 win', '3 slot CAPTURE 3 7 7 draw'], 'the entries');
SELECT is(pg_temp.run('INSERT INTO spins SELECT * FROM spins WHERE false'), 0::bigint, 'no row');
SELECT is(pg_temp.figures('b'), '3 1020 2 1 0 30', 'counts nothing');
SELECT is(pg_temp.run('INSERT INTO spins SELECT * FROM spins'), 3::bigint, 'the same rows again');
SELECT is(pg_temp.figures('a') || ', ' || pg_temp.figures('b'), '2 995 1 0 1 0, 3 1020 2 1 0 30', 'count once');
SELECT is(pg_temp.run(format('INSERT INTO spins VALUES (4, %s, 1, 2), (4, %s, 1, 2), (4, %s, 1, 2)', :a, :a, :b)), 3::bigint, 'twice in one statement');
SELECT is(pg_temp.figures('a') || ', ' || pg_temp.figures('b'), '3 996 2 1 1 2, 4 1021 3 2 0 30', 'count once, for each user');
SELECT is(pg_temp.run(format('WITH n AS (INSERT INTO spins VALUES (5, %s, 1, 2) RETURNING *) INSERT INTO spins SELECT 6, player, 2, 3 FROM n', :a)), 1::bigint, 'rows of two statements in one');
SELECT is(pg_temp.figures('a'), '5 998 4 3 1 3', 'are all counted');
SELECT is((SELECT r.state FROM economy.record_action(:a, 'slot', 'CAPTURE', '6', 2, 3) r), 'reuse', 'a call knows a captured id');
SELECT pg_temp.run('UPDATE spins SET payout = 100') AS x, pg_temp.run('DELETE FROM spins WHERE spin_id = 6') AS y \gset
TRUNCATE spins;
SELECT is(pg_temp.figures('a'), '5 998 4 3 1 3', 'UPDATE, DELETE and TRUNCATE change nothing');
SAVEPOINT s;
SELECT pg_temp.run(format('INSERT INTO spins VALUES (7, %s, 1, 2)', :a)) AS x \gset
SELECT is(pg_temp.figures('a'), '6 999 5 4 1 3', 'inside a savepoint');
ROLLBACK TO s;
SELECT is(pg_temp.figures('a'), '5 998 4 3 1 3', 'and not after its rollback');

-- types
CREATE TEMP TABLE kinds (id text, u numeric(30, 2), bet smallint, win bigint);
SELECT pg_temp.capture('kinds', $$'u', 'rps', 'id', 'bet', 'win', 'raise', 'prefix='$$) AS x \gset
SELECT is(pg_temp.run(format('INSERT INTO kinds VALUES (''%s'', %s, 300, 9007199254740291)', repeat('i', 255), :c)), 1::bigint, 'other types, a long id, a huge win');
SELECT is((SELECT row(bet, win, gold_delta, octet_length(action_id))::text FROM economy.user_actions WHERE user_id = :c), '(300,9007199254740291,9007199254739991,255)', 'exactly');
CREATE TEMP TABLE by_uuid (id uuid, u int, bet int, win int);
SELECT pg_temp.capture('by_uuid', $$'u', 'rps', 'id', 'bet', 'win', 'prefix='$$) AS x \gset
SELECT is(pg_temp.run(format('INSERT INTO by_uuid VALUES (''A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'', %s, 0, 0)', :a)), 1::bigint, 'an id of any type');
SELECT is((SELECT action_id FROM economy.user_actions WHERE user_id = :a AND game = 'rps'), 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'by its text');
CREATE TEMP TABLE "Odd Table" ("User Id" bigint, "id" int, "Bet" int, "win, sum" int);
SELECT pg_temp.capture('"Odd Table"', $$'User Id', 'gacha', 'id', 'Bet', 'win, sum', 'prefix='$$) AS x \gset
SELECT is(pg_temp.run(format('INSERT INTO "Odd Table" VALUES (%s, 1, 0, 4)', :a)), 1::bigint, 'names that need quotes');
SELECT is((SELECT total FROM economy.game_stats WHERE user_id = :a AND game = 'gacha'), 1::bigint, 'work');
CREATE TEMP TABLE parted (id int, u bigint, bet int, win int) PARTITION BY RANGE (id);
CREATE TEMP TABLE part_1 PARTITION OF parted FOR VALUES FROM (0) TO (10);
CREATE TEMP TABLE part_2 (win int, bet int, junk text, u bigint, id int);
ALTER TABLE part_2 DROP COLUMN junk;
ALTER TABLE parted ATTACH PARTITION part_2 FOR VALUES FROM (10) TO (20);
SELECT pg_temp.capture('parted', $$'u', 'crash', 'id', 'bet', 'win', 'prefix='$$) AS x \gset
SELECT is(pg_temp.run(format('INSERT INTO parted VALUES (1, %s, 0, 5), (11, %s, 0, 6)', :a, :a)), 2::bigint, 'a partitioned table');
SELECT is((SELECT string_agg(action_id || ' ' || win, ', ' ORDER BY seq) FROM economy.user_actions WHERE user_id = :a AND game = 'crash'), '1 5, 11 6', 'with partitions of another shape');

-- raise: one bad row fails the statement
TRUNCATE spins;
SELECT pg_temp.figures('a') AS before \gset
SELECT throws_ok(replace(replace(statement, '{a}', :'a'), '{b}', :'b'), code, replace(replace(message, '{a}', :'a'), '{b}', :'b'), coalesce(message, statement))
FROM (VALUES
    ('INSERT INTO spins VALUES (20, {a}, 1, 2), (21, {a}, 5000, 0), (22, {a}, 1, 2)', 'XE502', 'row 21 of table "spins" was refused: INSUFFICIENT_GOLD'),
    ('INSERT INTO spins VALUES (20, {a}, 1, 2), (21, {a}, 0, 9007199254740991)', 'XE502', 'row 21 of table "spins" was refused: GOLD_OVERFLOW'),
    ('INSERT INTO spins VALUES (20, {a}, 1, 2), (21, -1, 1, 2)',    'XE502', 'row 21 of table "spins" was refused: USER_NOT_FOUND'),
    ('INSERT INTO spins VALUES (20, {a}, 1, 2), (5, {a}, 1, 3)',    'XE502', 'row 5 of table "spins" was refused: IDEMPOTENCY_MISMATCH'),
    ('INSERT INTO spins VALUES (20, {a}, 1, 2), (21, NULL, 1, 2)',  'XE001', 'column "player" of a captured row must not be null'),
    ('INSERT INTO spins VALUES (20, {a}, 1, 2), (NULL, {a}, 1, 2)', 'XE001', 'the id of a captured row must not be null'),
    ('INSERT INTO spins VALUES (20, {a}, 1, 2), (21, {a}, NULL, 2)', 'XE001', 'column "stake" of a captured row must not be null'),
    ('INSERT INTO spins VALUES (20, {a}, 1, 2), (21, {a}, 1, 2.5)', 'XE002', 'column "payout" of a captured row is no whole number'),
    ('INSERT INTO spins VALUES (20, {a}, 1, 2), (21, {a}, -1, 2)',  'XE002', 'bet and win must be from 0 to 2^53-1'),
    ('INSERT INTO spins VALUES (20, {a}, 1, 2), (21, {a}, 1, -2)',  'XE002', 'bet and win must be from 0 to 2^53-1'),
    ('INSERT INTO spins VALUES (20, {a}, 1, 2), (21, {a}, 1, 9007199254740992)', 'XE002', 'bet and win must be from 0 to 2^53-1'),
    ('INSERT INTO kinds VALUES (repeat(''i'', 256), {a}, 1, 2)',    'XE003', 'the id of a captured row, with its prefix, must have 1 to 255 bytes'),
    ('INSERT INTO kinds VALUES ('''', {a}, 1, 2)',                  'XE002', 'the id of a captured row must not be empty'),
    ('INSERT INTO kinds VALUES (''i'', {a}.01, 1, 2)',              'XE002', 'column "u" of a captured row is no whole number')
) v (statement, code, message);
SELECT throws_ok(format('INSERT INTO spins VALUES (21, %s, 1, %s)', :a, value), 'XE002', 'column "payout" of a captured row is not within the range of bigint', 'a payout of ' || value)
FROM unnest(ARRAY['1e30', '-1e30', '9223372036854775808', '-9223372036854775808', '''NaN''', '''Infinity''', '''-Infinity''']) value;
SELECT throws_ok(format('INSERT INTO kinds VALUES (''i'', %s, 1, 2)', value), 'XE002', 'column "u" of a captured row is not within the range of bigint', 'a user of ' || value) FROM unnest(ARRAY['1e20', '''NaN''']) value;
SELECT throws_ok(format('INSERT INTO spins VALUES (21, %s, 1, %s)', :a, value), 'XE002', 'bet and win must be from 0 to 2^53-1', 'a payout of ' || value) FROM unnest(ARRAY['9223372036854775807', '-9223372036854775807']) value;
-- which row it was, and whose
CREATE FUNCTION pg_temp.detail(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    EXECUTE statement;
    RETURN 'nothing wrong';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN detail;
END
$$;
SELECT is(pg_temp.detail(replace(statement, '{a}', :'a')), replace(detail, '{a}', :'a'), detail)
FROM (VALUES
    ('INSERT INTO spins VALUES (20, {a}, 1, 2), (NULL, {a}, 1, 2)',   'Table "spins", a row without an id.'),
    ('INSERT INTO spins VALUES (20, {a}, 1, 2), (21, NULL, 1, 2)',    'Table "spins", row 21.'),
    ('INSERT INTO spins VALUES (20, {a}, 1, 2), (21, {a}, NULL, 2)',  'Table "spins", row 21.'),
    ('INSERT INTO spins VALUES (20, {a}, 1, 2), (21, {a}, 1, 2.5)',   'Table "spins", row 21.'),
    ('INSERT INTO spins VALUES (20, {a}, 1, 2), (21, {a}, 1, 1e30)',  'Table "spins", row 21.'),
    ('INSERT INTO spins VALUES (20, {a}, 1, 2), (21, {a}, -1, 2)',    'Table "spins", row 21.'),
    ('INSERT INTO kinds VALUES (''i'', {a}, 1, 2), ('''', {a}, 1, 2)',  'Table "kinds", a row without an id.'),
    ('INSERT INTO kinds VALUES (repeat(''i'', 256), {a}, 1, 2)',      'Table "kinds", row ' || repeat('i', 64) || '....'),
    (E'INSERT INTO kinds VALUES (repeat(E''\\u20ac'', 86), {a}, 1, 2)', 'Table "kinds", row ' || repeat(E'\u20ac', 21) || '....'),
    ('INSERT INTO spins VALUES (20, {a}, 1, 2), (21, {a}, 5000, 0)',  'Table "spins", row 21: user {a}, bet 5000, win 0. {"bet": 5000, "gold": 1014}'),
    ('INSERT INTO spins VALUES (20, {a}, 1, 2), (21, -1, 1, 2)',      'Table "spins", row 21: user -1, bet 1, win 2. ')) v (statement, detail);
SELECT is((SELECT count(*) FROM spins), 0::bigint, 'no row stays');
SELECT is(pg_temp.figures('a'), :'before', 'and nothing was counted');
SELECT economy.set_user_status(:b, 'suspended', 'pgtap') AS x \gset
SELECT throws_ok(format('INSERT INTO spins VALUES (30, %s, 1, 2)', :b), 'XE502', 'row 30 of table "spins" was refused: USER_SUSPENDED', 'a suspended user''s row');

-- report: the others are counted, and the refused ones are written down
SELECT pg_temp.capture('spins', $$'player', 'slot', 'spin_id', 'stake', 'payout', 'report', 'prefix='$$) AS x \gset
SELECT is(pg_temp.run(format('INSERT INTO spins VALUES (40, %1$s, 1, 2), (41, %1$s, 5000, 0), (42, -1, 1, 2), (43, %2$s, 1, 2), (40, %1$s, 1, 2), (5, %1$s, 1, 3), (44, %1$s, 0, 9007199254740991), (45, %1$s, 3, 4)', :a, :b)), 8::bigint, 'eight rows, some of them good');
SELECT is(pg_temp.figures('a'), '11 1015 6 5 1 4', 'two are counted');
SELECT results_eq($$SELECT concat_ws(' ', source, economy.user_id_of('pgtap cap a') = user_id, game, action_id, bet, win, code) COLLATE "default" FROM economy.capture_refusals WHERE source = 'spins' ORDER BY action_id::bigint, refusal_id$$,
    ARRAY['spins t slot 5 1 3 IDEMPOTENCY_MISMATCH', 'spins t slot 41 5000 0 INSUFFICIENT_GOLD', 'spins f slot 42 1 2 USER_NOT_FOUND', 'spins f slot 43 1 2 USER_SUSPENDED',
          'spins t slot 44 0 9007199254740991 GOLD_OVERFLOW'], 'five are reported');
SELECT throws_ok(format('INSERT INTO spins VALUES (50, %s, NULL, 2)', :a), 'XE001', NULL, 'misuse is raised all the same');
SELECT pg_temp.capture('spins', $$'player', 'pgtap no such game', 'spin_id', 'stake', 'payout', 'report', 'prefix='$$) AS x \gset
SELECT is(pg_temp.run(format('INSERT INTO spins VALUES (60, %s, 0, 0)', :a)), 1::bigint, 'a game that nobody registered');
SELECT is((SELECT string_agg(code, ' ') FROM economy.capture_refusals WHERE action_id = '60'), 'GAME_NOT_FOUND', 'is reported');

-- a trigger that is wrong says so, and how
CREATE TEMP TABLE wrong (u bigint, id bigint, bet bigint, win bigint, label text, ratio double precision, at timestamptz);
CREATE FUNCTION pg_temp.wrong(args text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    hint text;
BEGIN
    PERFORM pg_temp.capture('wrong', args);
    INSERT INTO wrong VALUES (economy.user_id_of('pgtap cap a'), 1, 0, 0);
    RETURN 'nothing wrong';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RETURN sqlstate || ' ' || sqlerrm || '. ' || hint;
END
$$;
SELECT is(pg_temp.wrong(args), 'XE501 ' || said, args)
FROM (VALUES
    ($$$$,                                              'economy.capture_actions() takes 5 to 7 arguments. They are user column, game, id column, bet column, win column, then raise or report, and prefix=text.'),
    ($$'u', 'slot', 'id', 'bet'$$,                      'economy.capture_actions() takes 5 to 7 arguments. They are user column, game, id column, bet column, win column, then raise or report, and prefix=text.'),
    ($$'u', 'slot', 'id', 'bet', 'win', 'raise', 'prefix=', 'x'$$, 'economy.capture_actions() takes 5 to 7 arguments. They are user column, game, id column, bet column, win column, then raise or report, and prefix=text.'),
    ($$'u', 'slot', 'id', 'bet', 'win', 'Raise'$$,      'the last arguments of a capture trigger must be raise or report, and prefix=text. '),
    ($$'u', 'slot', 'id', 'bet', 'win', ''$$,           'the last arguments of a capture trigger must be raise or report, and prefix=text. '),
    ($$'u', '', 'id', 'bet', 'win'$$,                   'the game of a capture trigger must have 1 to 64 bytes. '),
    (format($$'u', '%s', 'id', 'bet', 'win'$$, repeat('g', 65)), 'the game of a capture trigger must have 1 to 64 bytes. '),
    ($$'user', 'slot', 'id', 'bet', 'win'$$,            'table "wrong" has no column "user". Correct the arguments of the trigger that calls economy.capture_actions().'),
    ($$'u', 'slot', 'ID', 'bet', 'win'$$,               'table "wrong" has no column "ID". Correct the arguments of the trigger that calls economy.capture_actions().'),
    ($$'u', 'slot', 'id', '', 'win'$$,                  'table "wrong" has no column "". Correct the arguments of the trigger that calls economy.capture_actions().'),
    ($$'u', 'slot', 'id', 'bet', 'ctid'$$,              'table "wrong" has no column "ctid". Correct the arguments of the trigger that calls economy.capture_actions().'),
    ($$'u', 'slot', 'id', 'label', 'win'$$,             'column "label" of table "wrong" is of type text. It must be smallint, integer, bigint or numeric.'),
    ($$'u', 'slot', 'id', 'ratio', 'win'$$,             'column "ratio" of table "wrong" is of type double precision. It must be smallint, integer, bigint or numeric.'),
    ($$'u', 'slot', 'id', 'bet', 'at'$$,                'column "at" of table "wrong" is of type timestamp with time zone. It must be smallint, integer, bigint or numeric.')) v (args, said);
SELECT is(split_part(pg_temp.wrong(format($$'u', '%s', 'id', 'bet', 'win'$$, repeat('g', 64))), ' of ', 1), 'XE502 row wrong:1', 'a game of 64 bytes is asked for, which is none');
SELECT pg_temp.capture('wrong', $$'u', 'slot', 'id', 'bet', 'win'$$) AS x \gset
ALTER TABLE wrong RENAME COLUMN bet TO stake;
SELECT throws_ok(format('INSERT INTO wrong VALUES (%s, 1, 0, 0)', :a), 'XE501', 'table "wrong" has no column "bet"', 'a column that was renamed later');
ALTER TABLE wrong RENAME COLUMN stake TO bet;
ALTER TABLE wrong ALTER bet TYPE text;
SELECT throws_ok(format('INSERT INTO wrong VALUES (%s, 1, 0, 0)', :a), 'XE501', 'column "bet" of table "wrong" is of type text', 'or changed its type');
DROP TRIGGER capture ON wrong;
ALTER TABLE wrong ALTER bet TYPE bigint USING bet::bigint;
CREATE FUNCTION pg_temp.misused(definition text, statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE 'CREATE TRIGGER capture ' || definition || ' EXECUTE FUNCTION economy.capture_actions(''u'', ''slot'', ''id'', ''bet'', ''win'')';
    RETURN QUERY SELECT throws_ok(statement, 'XE501', 'economy.capture_actions() is a trigger AFTER INSERT or AFTER UPDATE, FOR EACH STATEMENT, REFERENCING NEW TABLE, and of an UPDATE also OLD TABLE', definition);
    DROP TRIGGER capture ON wrong;
END
$$;
INSERT INTO wrong VALUES (:a, 1, 0, 0);
SELECT pg_temp.misused(definition, statement)
FROM (VALUES ('AFTER INSERT ON wrong FOR EACH ROW', 'INSERT INTO wrong VALUES (1, 2, 3, 4)'), ('BEFORE INSERT ON wrong FOR EACH ROW', 'INSERT INTO wrong VALUES (1, 2, 3, 4)'),
             ('BEFORE INSERT ON wrong', 'INSERT INTO wrong VALUES (1, 2, 3, 4)'), ('AFTER INSERT ON wrong', 'INSERT INTO wrong VALUES (1, 2, 3, 4)'),
             ('AFTER INSERT ON wrong REFERENCING NEW TABLE AS n FOR EACH ROW', 'INSERT INTO wrong VALUES (1, 2, 3, 4)'),
             ('AFTER UPDATE ON wrong REFERENCING OLD TABLE AS o', 'UPDATE wrong SET bet = 1'), ('AFTER UPDATE ON wrong REFERENCING NEW TABLE AS n', 'UPDATE wrong SET bet = 1'), ('AFTER UPDATE ON wrong FOR EACH ROW', 'UPDATE wrong SET bet = 1'),
             ('AFTER DELETE ON wrong', 'DELETE FROM wrong'), ('AFTER TRUNCATE ON wrong', 'TRUNCATE wrong')) v (definition, statement);
SELECT throws_ok('SELECT economy.capture_actions()', 'XE501', NULL, 'no direct call');

-- more rows than are made together, with repeats among them, and than memory: the others are in a file
SET LOCAL work_mem = '64kB';
CREATE TEMP TABLE crowd AS SELECT n AS place, economy.register('pgtap caps ' || n) AS u FROM generate_series(0, 99) n;
SELECT count(*) AS x FROM crowd, economy.adjust_gold(u, 100000, 'open', 'pgtap', 'pgtap') \gset
CREATE TEMP TABLE many (LIKE spins);
SELECT pg_temp.capture('many', $$'player', 'slot', 'spin_id', 'stake', 'payout', 'report', 'prefix='$$) AS x \gset
SELECT is(pg_temp.run('INSERT INTO many (spin_id, player, stake, payout) SELECT n % 20000, u, 1, n % 20000 % 4 FROM generate_series(0, 24999) n JOIN crowd ON place = n % 100 ORDER BY n'), 25000::bigint, '25,000 rows, 5,000 of them repeats');
SELECT is((SELECT concat_ws(' ', sum(total), sum(wins), sum(losses), sum(draws), sum(bet_sum), sum(win_sum)) FROM economy.game_stats g JOIN crowd c ON c.u = g.user_id), '20000 10000 5000 5000 20000 30000', 'are 20,000 actions');
SELECT is((SELECT count(*) FROM economy.capture_refusals WHERE source = 'many'), 0::bigint, 'and no refusal');
SELECT is_empty('SELECT spin_id::text, player, stake::bigint, payout::bigint FROM many EXCEPT SELECT action_id, user_id, bet, win FROM economy.user_actions', 'each as the row says');
RESET work_mem;
SELECT is_empty('SELECT v.* FROM crowd c, economy.verify_chain(c.u) v', 'the chains of the crowd are clean');

-- more than one chunk: the last two rows are of a second one, which knows what the first one recorded
SELECT seq + 2 AS seq, gold + 4 AS gold FROM economy.accounts WHERE user_id = :a \gset
SELECT is(pg_temp.run(format('INSERT INTO many (spin_id, player, stake, payout) SELECT CASE n WHEN 1000001 THEN 9000002 ELSE 9000001 END, %s, 1, 3 FROM generate_series(1, 1000002) n', :a)),
    1000002::bigint, 'a million rows, all but one of one action');
SELECT is((SELECT concat_ws(' ', seq, gold) FROM economy.accounts WHERE user_id = :a), concat_ws(' ', :seq, :gold), 'are two actions');
SELECT is((SELECT count(*) FROM economy.capture_refusals WHERE source = 'many'), 0::bigint, 'and no refusal');

-- COPY is a statement, too
CREATE TEMP TABLE copied (spin_id text, player text, stake int, payout int);
SELECT pg_temp.capture('copied', $$'player', 'slot', 'spin_id', 'stake', 'payout', 'raise', 'prefix=c'$$) AS x \gset
COPY copied FROM STDIN (FORMAT csv);
1,pgtap cap a,1,2
2,pgtap caps 0,2,1
1,pgtap cap a,1,2
3,pgtap cap a,0,5
4,pgtap cap a,1,
\.
SELECT is((SELECT string_agg(concat_ws(' ', t.action_id, u.external_id, t.bet, t.win), ', ' ORDER BY t.action_id) FROM economy.user_actions t JOIN economy.users u USING (user_id) WHERE t.action_id LIKE 'c:%'),
    'c:1 pgtap cap a 1 2, c:2 pgtap caps 0 2 1, c:3 pgtap cap a 0 5', 'COPY records each row that is settled, once');
CREATE TEMP TABLE until AS SELECT count(*) AS n FROM economy.user_actions;
COPY copied FROM STDIN (FORMAT csv);
3,pgtap cap a,0,5
\.
SELECT is((SELECT count(*) FROM economy.user_actions), n, 'and none again') FROM until;
SELECT throws_ok($$COPY copied FROM PROGRAM 'echo 5,pgtap cap a,0,5; echo 6,pgtap nobody,0,5' (FORMAT csv)$$, 'XE502', 'row c:6 of table "copied" was refused: USER_NOT_FOUND', 'a row that is refused fails the whole COPY');
SELECT is((SELECT count(*) FROM economy.user_actions), n, 'which records nothing then') FROM until;

-- rows of pruned actions, as when an app's dump is restored: known, and nothing to do
SELECT set_config('economy.test_clock', '2031-01-01 12:00+00', true) AS x \gset
SELECT economy.register('pgtap cap old') AS old \gset
SELECT success AS x FROM economy.adjust_gold(:old, 1000, 'open', 'pgtap', 'pgtap') \gset
CREATE TEMP TABLE olds (LIKE spins);
SELECT pg_temp.capture('olds', $$'player', 'slot', 'spin_id', 'stake', 'payout', 'prefix='$$) AS x \gset
SELECT is(pg_temp.run(format('INSERT INTO olds (spin_id, player, stake, payout) SELECT n, %s, 1, n %% 4 FROM generate_series(1, 50) n', :old)), 50::bigint, 'fifty rows');
SELECT count(*) AS x FROM generate_series(1, 3), economy.rollup_stats() \gset
SELECT set_config('economy.test_clock', '2031-06-01 12:00+00', true) AS x \gset
SELECT actions > 0 AS x FROM economy.prune() \gset
SELECT is((SELECT string_agg(action_id, ' ') FROM economy.user_actions WHERE user_id = :old), '50', 'of which all but the last are pruned');
SELECT pg_temp.figures('old') AS before, to_jsonb(a) AS account, (SELECT count(*) FROM economy.capture_refusals) AS refusals FROM economy.accounts a WHERE user_id = :old \gset
CREATE TEMP TABLE dump AS SELECT * FROM olds;
TRUNCATE olds;
SELECT is(pg_temp.run('INSERT INTO olds SELECT * FROM dump'), 50::bigint, 'the same rows, restored');
SELECT is(pg_temp.run('INSERT INTO olds SELECT * FROM dump WHERE spin_id = 7'), 1::bigint, 'or one of them');
SELECT pg_temp.capture('olds', $$'player', 'slot', 'spin_id', 'stake', 'payout', 'report', 'prefix='$$) AS x \gset
SELECT is(pg_temp.run('INSERT INTO olds SELECT * FROM dump'), 50::bigint, 'and with report');
SELECT is(pg_temp.figures('old'), :'before', 'count nothing');
SELECT is((SELECT to_jsonb(a) FROM economy.accounts a WHERE user_id = :old), :'account'::jsonb, 'leave the account alone');
SELECT is((SELECT count(*) FROM economy.capture_refusals), :refusals::bigint, 'and are no refusals');
SELECT is(pg_temp.run(format('INSERT INTO olds (spin_id, player, stake, payout) VALUES (7, %1$s, 1, 3), (51, %1$s, 1, 2), (8, %1$s, 1, 0)', :old)), 3::bigint, 'new rows among them');
SELECT is(pg_temp.figures('old'), '52 1026 51 26 12 3', 'count');
SELECT is_empty(format('SELECT * FROM economy.audit_sweep() WHERE user_id = %s', :old), 'all is sound');
RESET economy.test_clock;
SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s)', id), 'the chain is clean') FROM (VALUES (:a), (:b), (:c)) v (id);
SELECT is_empty('SELECT * FROM economy.stats_parity()', 'statistics equal the entries');

-- tables of one game have ids of their own
CREATE TEMP TABLE reels_1 (id int, u int, bet int, win int);
CREATE TEMP TABLE reels_2 (LIKE reels_1);
SELECT pg_temp.capture(t, $$'u', 'slot', 'id', 'bet', 'win'$$) AS x FROM unnest(ARRAY['reels_1', 'reels_2']) t \g /dev/null
SELECT economy.register('pgtap cap q') AS q \gset
SELECT pg_temp.run(format('INSERT INTO %I VALUES (1, %s, 0, 7)', t, :q)) AS x FROM unnest(ARRAY['reels_1', 'reels_2', 'reels_1']) t \g /dev/null
SELECT is((SELECT string_agg(action_id, ' ' ORDER BY seq) FROM economy.user_actions WHERE user_id = :q), 'reels_1:1 reels_2:1', 'two tables with the id 1 are two actions');

-- rounds that are opened and settled later
CREATE TEMP TABLE rounds (id int, u int, bet int, win int, note text);
CREATE TRIGGER opened AFTER INSERT ON rounds REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION economy.capture_actions('u', 'rps', 'id', 'bet', 'win');
CREATE TRIGGER settled AFTER UPDATE ON rounds REFERENCING OLD TABLE AS o NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION economy.capture_actions('u', 'rps', 'id', 'bet', 'win');
SELECT pg_temp.run(format('INSERT INTO rounds SELECT n, %s, 1, CASE WHEN n = 3 THEN 0 END FROM generate_series(1, 3) n', :q)) AS x \gset
SELECT is((SELECT string_agg(action_id || ' ' || win, ', ' ORDER BY seq) FROM economy.user_actions WHERE user_id = :q AND game = 'rps'), 'rounds:3 0', 'a round without a win is open');
SELECT pg_temp.run('UPDATE rounds SET win = 5 WHERE id = 1'), pg_temp.run('UPDATE rounds SET note = id::text') \g /dev/null
SELECT is((SELECT string_agg(action_id || ' ' || win, ', ' ORDER BY seq) FROM economy.user_actions WHERE user_id = :q AND game = 'rps'), 'rounds:3 0, rounds:1 5', 'settled it is recorded, once');
SELECT throws_ok('UPDATE rounds SET win = 6 WHERE id = 1', 'XE502', 'row rounds:1 of table "rounds" was refused: ROW_CHANGED', 'what is settled stays');
SELECT throws_ok('UPDATE rounds SET win = 6, bet = 100 WHERE id = 2', 'XE502', 'row rounds:2 of table "rounds" was refused: INSUFFICIENT_GOLD', 'a failed settlement');
SELECT pg_temp.run('UPDATE rounds SET win = coalesce(win, 0)') AS x \gset
SELECT is((SELECT string_agg(action_id || ' ' || win, ', ' ORDER BY seq) FROM economy.user_actions WHERE user_id = :q AND game = 'rps'), 'rounds:3 0, rounds:1 5, rounds:2 0', 'leaves the round open');

-- users by their external ids
CREATE TEMP TABLE by_name (id int, who text, bet int, win int);
CREATE TEMP TABLE by_key (id int, who uuid, bet int, win int);
SELECT pg_temp.capture('by_name', $$'who', 'crash', 'id', 'bet', 'win', 'report'$$), pg_temp.capture('by_key', $$'who', 'crash', 'id', 'bet', 'win'$$) \g /dev/null
SELECT economy.register('7d0c8a7e-0000-4000-8000-00000000000a') AS k \gset
SELECT pg_temp.run('INSERT INTO by_name VALUES (1, ''pgtap cap q'', 0, 3), (2, ''pgtap nobody'', 1, 0), (3, ''pgtap cap q'', 0, 4)') AS x \gset
SELECT is((SELECT string_agg(action_id || ' ' || win, ', ' ORDER BY seq) FROM economy.user_actions WHERE user_id = :q AND game = 'crash'), 'by_name:1 3, by_name:3 4', 'a text is an external id');
SELECT is((SELECT concat_ws(' ', coalesce(user_id::text, '-'), external_id, action_id, code) FROM economy.capture_refusals WHERE source = 'by_name'), '- pgtap nobody by_name:2 USER_NOT_FOUND', 'an unknown one is reported');
SELECT is(pg_temp.run('INSERT INTO by_key VALUES (1, ''7D0C8A7E-0000-4000-8000-00000000000A'', 0, 3)'), 1::bigint, 'a uuid is one, too');
SELECT is((SELECT count(*) FROM economy.user_actions WHERE user_id = :k), 1::bigint, 'and found');
SELECT throws_ok($$INSERT INTO by_key VALUES (2, '7d0c8a7e-0000-4000-8000-00000000000b', 0, 3)$$, 'XE502', 'row by_key:2 of table "by_key" was refused: USER_NOT_FOUND', 'an unknown one fails the statement');
SELECT throws_ok($$INSERT INTO by_key VALUES (2, NULL, 0, 3)$$, 'XE001', 'column "who" of a captured row must not be null', 'none is none');

-- the same row is the same action in every session
CREATE TEMP TABLE kinds_of_id (n int, at timestamptz, day date, span interval, bytes bytea, ratio float8, price money, kind regclass);
INSERT INTO kinds_of_id VALUES (1, '2031-01-02 03:04:05.5+00', '2031-02-01', '1 day 02:03:04', E'\\x00ff27', 0.1::float8 + 0.2, 12.5, 'economy.accounts');
CREATE FUNCTION pg_temp.ids(kind text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    settings text[] := ARRAY['TimeZone=UTC', 'DateStyle=ISO, MDY', 'IntervalStyle=postgres', 'bytea_output=hex', 'extra_float_digits=1', 'quote_all_identifiers=off', 'search_path=public',
                             'TimeZone=Asia/Tokyo', 'DateStyle=German', 'IntervalStyle=iso_8601', 'bytea_output=escape', 'extra_float_digits=-15', 'quote_all_identifiers=on', 'search_path=economy'];
    clean    text[] := ARRAY['TimeZone', 'DateStyle', 'IntervalStyle', 'bytea_output', 'extra_float_digits', 'quote_all_identifiers', 'search_path'];
    before   text[] := ARRAY(SELECT current_setting(n) FROM unnest(clean) n);
    answer   text;
BEGIN
    EXECUTE format('CREATE TEMP TABLE id_%1$s AS SELECT %1$s AS id, 0 AS u, 0 AS bet, 1 AS win FROM pg_temp.kinds_of_id WHERE false', kind);
    EXECUTE format('CREATE TRIGGER capture AFTER INSERT ON pg_temp.id_%s REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION economy.capture_actions(''u'', ''gacha'', ''id'', ''bet'', ''win'')', kind);
    FOR i IN 0 .. 1 LOOP
        FOR j IN 1 .. 7 LOOP
            PERFORM set_config(split_part(settings[i * 7 + j], '=', 1), split_part(settings[i * 7 + j], '=', 2), true);
        END LOOP;
        EXECUTE format('INSERT INTO pg_temp.id_%1$s SELECT %1$s, %2$s, 0, 1 FROM pg_temp.kinds_of_id', kind, economy.user_id_of('pgtap cap q'));
        IF current_setting('DateStyle') <> (ARRAY['ISO, MDY', 'German, DMY'])[i + 1] THEN
            RETURN 'the session''s settings are lost';
        END IF;
    END LOOP;
    FOR j IN 1 .. 7 LOOP
        PERFORM set_config(clean[j], before[j], true);
    END LOOP;
    SELECT string_agg(a.action_id, ', ') INTO answer FROM economy.user_actions a WHERE a.action_id LIKE 'id_' || kind || ':%';
    RETURN answer;
END
$$;
SELECT is(pg_temp.ids(kind), 'id_' || kind || ':' || text, 'an id of kind ' || kind)
FROM (VALUES ('at', '2031-01-02 03:04:05.5+00'), ('day', '2031-02-01'), ('span', '1 day 02:03:04'), ('bytes', E'\\x00ff27'), ('ratio', '0.30000000000000004'),
             ('price', '$12.50'), ('kind', 'economy.accounts')) v (kind, text);
SELECT * FROM finish();
ROLLBACK;
