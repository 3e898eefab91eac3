-- capture_actions() after UPDATE: a row is one round of one user, recorded once.
BEGIN;
SELECT no_plan();
SELECT economy.register('pgtap cup ' || name) FROM unnest(ARRAY['alice', 'bob', 'carol']) name \g /dev/null
SELECT economy.adjust_gold(economy.user_id_of('pgtap cup ' || name), 1000, 'open', 'pgtap', 'pgtap') FROM unnest(ARRAY['alice', 'bob', 'carol']) name \g /dev/null
CREATE FUNCTION pg_temp.id(name text) RETURNS bigint LANGUAGE sql AS $$ SELECT economy.user_id_of('pgtap cup ' || name) $$;
CREATE FUNCTION pg_temp.run(statement text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    n bigint;
BEGIN
    EXECUTE statement;
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN n;
END
$$;
CREATE FUNCTION pg_temp.capture(target text, args text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER opened AFTER INSERT ON %s REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION economy.capture_actions(%s)', target, args);
    EXECUTE format('CREATE TRIGGER settled AFTER UPDATE ON %s REFERENCING OLD TABLE AS o NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION economy.capture_actions(%s)', target, args);
END
$$;
-- whose actions of the table there are
CREATE FUNCTION pg_temp.told(target text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', split_part(a.action_id, ':', 2), replace(u.external_id, 'pgtap cup ', ''), a.bet, a.win), ', ' ORDER BY a.action_id, u.external_id)
    FROM economy.user_actions a JOIN economy.users u USING (user_id) WHERE a.action_id LIKE target || ':%' $$;
-- how a statement fails, with all that is told
CREATE FUNCTION pg_temp.failure(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint   text;
BEGIN
    EXECUTE statement;
    RETURN 'nothing';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', sqlstate, sqlerrm, detail, hint);
END
$$;
CREATE FUNCTION pg_temp.changed(target text, id text, was text) RETURNS text LANGUAGE sql AS $$
    SELECT format('XE502 | row %2$s of table "%1$s" was refused: ROW_CHANGED | Table "%1$s", row %2$s is settled; its column %3$s. | A settled row keeps its id, user, bet and win. Correct gold with economy.adjust_gold().', target, target || ':' || id, was) $$;

-- the user of a settled row, by user_id
CREATE TEMP TABLE cup (id int, player bigint, bet int, win int, note text);
SELECT pg_temp.capture('cup', $$'player', 'slot', 'id', 'bet', 'win'$$) AS x \g /dev/null
SELECT pg_temp.run(format('INSERT INTO cup VALUES (1, %s, 1, 5), (2, %s, 1, 6), (3, %s, 1, NULL), (4, %s, 1, NULL)', pg_temp.id('alice'), pg_temp.id('bob'), pg_temp.id('alice'), pg_temp.id('bob'))) AS x \g /dev/null
SELECT is(pg_temp.told('cup'), '1 alice 1 5, 2 bob 1 6', 'what is settled by INSERT is recorded');
SELECT is(pg_temp.failure(format('UPDATE cup SET player = %s WHERE id = 1', pg_temp.id('bob'))),
    pg_temp.changed('cup', '1', format('"player" was %s and would be %s', pg_temp.id('alice'), pg_temp.id('bob'))), 'the user of a settled row cannot be changed');
SELECT is(pg_temp.failure(format('UPDATE cup SET player = %s - player WHERE id IN (1, 2)', pg_temp.id('alice') + pg_temp.id('bob'))),
    pg_temp.changed('cup', '1', format('"player" was %s and would be %s', pg_temp.id('alice'), pg_temp.id('bob'))), 'nor swapped');
SELECT is(pg_temp.failure('UPDATE cup SET player = NULL WHERE id = 2'), pg_temp.changed('cup', '2', format('"player" was %s and would be null', pg_temp.id('bob'))), 'nor taken away');
SELECT is(pg_temp.failure('UPDATE cup SET id = 9 WHERE id = 1'), pg_temp.changed('cup', '1', '"id" was 1 and would be 9'), 'nor its id');
SELECT is(pg_temp.failure('UPDATE cup SET id = 3 - id WHERE id < 3'), pg_temp.changed('cup', '1', '"id" was 1 and would be 2'), 'nor can ids be swapped');
SELECT is(pg_temp.failure('UPDATE cup SET bet = 0 WHERE id = 1'), pg_temp.changed('cup', '1', '"bet" was 1 and would be 0'), 'nor its bet');
SELECT is(pg_temp.failure('UPDATE cup SET win = 6 WHERE id = 1'), pg_temp.changed('cup', '1', '"win" was 5 and would be 6'), 'nor its win');
SELECT is(pg_temp.failure('UPDATE cup SET win = NULL WHERE id = 1'), pg_temp.changed('cup', '1', '"win" was 5 and would be null'), 'nor is it opened again');
SELECT is(pg_temp.failure(format('UPDATE cup SET player = %s, win = coalesce(win, 2)', pg_temp.id('carol'))),
    pg_temp.changed('cup', '1', format('"player" was %s and would be %s', pg_temp.id('alice'), pg_temp.id('carol'))), 'one such row among others fails the statement');
SELECT is(pg_temp.told('cup'), '1 alice 1 5, 2 bob 1 6', 'and nothing of it is recorded');
SELECT is(pg_temp.run('UPDATE cup SET note = ''seen'''), 4::bigint, 'other columns may change');
-- open rows are free
SELECT is(pg_temp.run(format('UPDATE cup SET player = %s - player WHERE id > 2', pg_temp.id('alice') + pg_temp.id('bob'))), 2::bigint, 'open rows may change places');
SELECT is(pg_temp.run('UPDATE cup SET id = id + 10, bet = 2 WHERE id > 2'), 2::bigint, 'and be given other ids and bets');
SELECT is(pg_temp.run('UPDATE cup SET win = coalesce(win, 7)'), 4::bigint, 'settled later');
SELECT is(pg_temp.told('cup'), '1 alice 1 5, 13 bob 2 7, 14 alice 2 7, 2 bob 1 6', 'each is recorded for the user whom it names then');
-- rows of before the triggers: one that lacks anything was never recorded, and is once it is whole
CREATE TEMP TABLE part (id int, player bigint, bet int, win int);
INSERT INTO part VALUES (NULL, pg_temp.id('alice'), 1, 5), (2, NULL, 1, 5), (3, pg_temp.id('alice'), NULL, 5), (4, pg_temp.id('alice'), 1, NULL);
SELECT pg_temp.capture('part', $$'player', 'slot', 'id', 'bet', 'win'$$) AS x \g /dev/null
SELECT is(pg_temp.run(format('UPDATE part SET id = coalesce(id, 1), player = coalesce(player, %s), bet = coalesce(bet, 2), win = coalesce(win, 6)', pg_temp.id('bob'))), 4::bigint,
    'a row that lacked its id, user, bet or win is open');
SELECT is(pg_temp.told('part'), '1 alice 1 5, 2 bob 1 5, 3 alice 2 5, 4 alice 1 6', 'and recorded with what it is given');
-- and a savepoint takes it back
INSERT INTO cup VALUES (20, pg_temp.id('alice'), 1, NULL);
SAVEPOINT s;
SELECT pg_temp.run('UPDATE cup SET win = 3 WHERE id = 20') AS x \g /dev/null
SELECT ok(pg_temp.told('cup') LIKE '%20 alice 1 3%', 'settled in a savepoint');
ROLLBACK TO s;
SELECT is(pg_temp.run(format('UPDATE cup SET win = 3, player = %s WHERE id = 20', pg_temp.id('bob'))), 1::bigint, 'that was taken back');
SELECT is(pg_temp.told('cup'), '1 alice 1 5, 13 bob 2 7, 14 alice 2 7, 2 bob 1 6, 20 bob 1 3', 'it is settled once, for the other user');
SELECT is(pg_temp.failure('UPDATE cup SET bet = -1, id = 21 WHERE id = 20'), pg_temp.changed('cup', '20', '"id" was 20 and would be 21'), 'a change comes before its values');

-- suspended, and nothing to record: whoever may not play keeps his rows
SELECT economy.set_user_status(pg_temp.id('bob'), 'suspended', 'pgtap') AS x \g /dev/null
SELECT is(pg_temp.run('UPDATE cup SET note = ''later'''), 5::bigint, 'rows of a suspended user are passed over');
SELECT economy.set_user_status(pg_temp.id('bob'), 'active', 'pgtap') AS x \g /dev/null
ALTER TABLE cup ALTER win TYPE numeric;
SELECT is(pg_temp.run('UPDATE cup SET win = win * 1.000'), 5::bigint, 'a number written otherwise is the same');

-- report: the statement succeeds, and the row pays nobody else, now or later
CREATE TEMP TABLE rep (id int, player bigint, bet int, win int);
SELECT pg_temp.capture('rep', $$'player', 'slot', 'id', 'bet', 'win', 'report'$$) AS x \g /dev/null
SELECT pg_temp.run(format('INSERT INTO rep VALUES (1, %1$s, 1, 5), (2, %1$s, 1, NULL), (3, -1, 1, 2)', pg_temp.id('alice'))) AS x \g /dev/null
SELECT is(pg_temp.run(format('UPDATE rep SET player = %s, win = coalesce(win, 4)', pg_temp.id('bob'))), 3::bigint, 'with report a change goes through');
SELECT is(pg_temp.told('rep'), '1 alice 1 5, 2 bob 1 4', 'it pays nobody, and what is settled is recorded');
SELECT is((SELECT string_agg(concat_ws(' ', economy.user_id_of('pgtap cup bob') = user_id, action_id, bet, win, code), ', ' ORDER BY refusal_id) FROM economy.capture_refusals WHERE source = 'rep'),
    'f rep:3 1 2 USER_NOT_FOUND, t rep:1 1 5 ROW_CHANGED, t rep:3 1 2 ROW_CHANGED', 'it is reported');
SELECT is(pg_temp.run('UPDATE rep SET bet = bet') + pg_temp.run('UPDATE rep SET win = win'), 6::bigint, 'later updates');
SELECT is((SELECT count(*) FROM economy.capture_refusals WHERE source = 'rep'), 3::bigint, 'do not report it again');
SELECT is(pg_temp.failure('UPDATE rep SET win = NULL WHERE id = 1'), pg_temp.changed('rep', '1', '"win" was 5 and would be null'), 'opened again it would be settled again: that fails');
SELECT is(pg_temp.failure('UPDATE rep SET player = NULL WHERE id = 1'), pg_temp.changed('rep', '1', format('"player" was %s and would be null', pg_temp.id('bob'))), 'as does a row of nobody');
SELECT is(pg_temp.told('rep'), '1 alice 1 5, 2 bob 1 4', 'it was recorded once');
CREATE TEMP TABLE strangers (id int, who text, bet int, win int);
SELECT pg_temp.capture('strangers', $$'who', 'slot', 'id', 'bet', 'win', 'report'$$) AS x \g /dev/null
SELECT pg_temp.run('INSERT INTO strangers SELECT n, ''pgtap cup alice'', 1, 2 FROM generate_series(1, 3) n') AS x \g /dev/null
SELECT is(pg_temp.run('UPDATE strangers SET who = ''nobody '' || id'), 3::bigint, 'of several that would be nobody''s');
SELECT is((SELECT string_agg(concat_ws(' ', action_id, external_id, user_id, code), ', ' ORDER BY refusal_id) FROM economy.capture_refusals WHERE source = 'strangers'),
    'strangers:1 nobody 1 ROW_CHANGED, strangers:2 nobody 2 ROW_CHANGED, strangers:3 nobody 3 ROW_CHANGED', 'each is told with whose it would be');

-- users by their external ids, which move
CREATE TEMP TABLE named (id int, who text, bet int, win int, note text);
SELECT pg_temp.capture('named', $$'who', 'crash', 'id', 'bet', 'win'$$) AS x \g /dev/null
SELECT pg_temp.run('INSERT INTO named VALUES (1, ''pgtap cup carol'', 1, 5), (2, ''pgtap cup carol'', 0, NULL), (3, ''pgtap cup bob'', 1, 2)') AS x \g /dev/null
SELECT is(pg_temp.failure('UPDATE named SET who = ''pgtap cup bob'' WHERE id = 1'), pg_temp.changed('named', '1', '"who" was pgtap cup carol and would be pgtap cup bob'), 'another external id is refused');
SELECT is(pg_temp.failure('UPDATE named SET who = CASE WHEN id = 1 THEN ''pgtap cup bob'' ELSE ''pgtap cup carol'' END WHERE id <> 2'),
    pg_temp.changed('named', '1', '"who" was pgtap cup carol and would be pgtap cup bob'), 'swapped or not');
SELECT pg_temp.id('carol') AS carol \gset
SELECT (economy.unlink_external_id(:carol, 'u1', 'pgtap')).code AS x \g /dev/null
SELECT is(pg_temp.run('UPDATE named SET note = ''unlinked'''), 3::bigint, 'rows of an external id that is nobody''s now are passed over');
SELECT is(pg_temp.failure('UPDATE named SET win = 0 WHERE id = 2'),
    'XE502 | row named:2 of table "named" was refused: USER_NOT_FOUND | Table "named", row named:2: user ''pgtap cup carol'', bet 0, win 0.  | With the trigger argument report, refused rows go to economy.capture_refusals.', 'what is to be recorded needs somebody');
SELECT economy.register('pgtap cup carol') AS second \gset
SELECT is(pg_temp.run('UPDATE named SET note = ''another owner'''), 3::bigint, 'another owner');
SELECT is((SELECT count(*) FROM economy.user_actions WHERE user_id = :second), 0::bigint, 'is not paid for the first one''s rows');
SELECT is(pg_temp.failure('UPDATE named SET win = 6 WHERE id = 1'), pg_temp.changed('named', '1', '"win" was 5 and would be 6'), 'however they are changed');
SELECT is(pg_temp.run('UPDATE named SET win = 0 WHERE id = 2'), 1::bigint, 'a row that was open');
SELECT is((SELECT string_agg(action_id, ' ') FROM economy.user_actions WHERE user_id = :second), 'named:2', 'is that of the owner when it is settled');

-- ON CONFLICT DO UPDATE, and MERGE
CREATE TEMP TABLE ups (id int PRIMARY KEY, player bigint, bet int, win int);
SELECT pg_temp.capture('ups', $$'player', 'slot', 'id', 'bet', 'win'$$) AS x \g /dev/null
SELECT pg_temp.run(format('INSERT INTO ups VALUES (1, %1$s, 1, 5), (2, %1$s, 1, NULL)', pg_temp.id('alice'))) AS x \g /dev/null
CREATE FUNCTION pg_temp.upsert(who text, ids text, win int) RETURNS text LANGUAGE sql AS $$
    SELECT format('INSERT INTO ups SELECT n, %s, 1, %s FROM unnest(ARRAY[%s]) n ON CONFLICT (id) DO UPDATE SET player = excluded.player, win = excluded.win', pg_temp.id(who), win, ids) $$;
CREATE FUNCTION pg_temp.merge(who text, ids text, win int) RETURNS text LANGUAGE sql AS $$
    SELECT format('MERGE INTO ups USING unnest(ARRAY[%3$s]) n ON n = id WHEN MATCHED THEN UPDATE SET player = %1$s, win = %2$s WHEN NOT MATCHED THEN INSERT VALUES (n, %1$s, 1, %2$s)', pg_temp.id(who), win, ids) $$;
SELECT is(pg_temp.failure(pg_temp.upsert('bob', '1, 3', 5)), pg_temp.changed('ups', '1', format('"player" was %s and would be %s', pg_temp.id('alice'), pg_temp.id('bob'))), 'ON CONFLICT DO UPDATE of a settled row');
SELECT is(pg_temp.failure(pg_temp.merge('bob', '1, 3', 5)), pg_temp.changed('ups', '1', format('"player" was %s and would be %s', pg_temp.id('alice'), pg_temp.id('bob'))), 'and MERGE');
SELECT is(pg_temp.run(pg_temp.upsert('alice', '1, 4', 5)) + pg_temp.run(pg_temp.merge('alice', '1, 5', 5)), 4::bigint, 'the same row again');
SELECT is(pg_temp.run(pg_temp.upsert('bob', '2, 6', 8)) + pg_temp.run(pg_temp.merge('bob', '6, 7', 8)), 4::bigint, 'what is open or new');
SELECT is(pg_temp.told('ups'), '1 alice 1 5, 2 bob 1 8, 4 alice 1 5, 5 alice 1 5, 6 bob 1 8, 7 bob 1 8', 'is recorded, once each');

-- rows that move from partition to partition
CREATE TEMP TABLE moved (id int, player bigint, bet int, win int, place int) PARTITION BY LIST (place);
CREATE TEMP TABLE moved_1 PARTITION OF moved FOR VALUES IN (1);
CREATE TEMP TABLE moved_2 (place int, junk text, win int, bet int, player bigint, id int);
ALTER TABLE moved_2 DROP COLUMN junk;
ALTER TABLE moved ATTACH PARTITION moved_2 FOR VALUES IN (2);
SELECT pg_temp.capture('moved', $$'player', 'slot', 'id', 'bet', 'win'$$) AS x \g /dev/null
SELECT pg_temp.run(format('INSERT INTO moved VALUES (1, %1$s, 1, 5, 1), (2, %1$s, 1, NULL, 2), (3, %1$s, 1, NULL, 1), (4, %1$s, 1, 6, 2)', pg_temp.id('alice'))) AS x \g /dev/null
SELECT is(pg_temp.run('UPDATE moved SET place = 3 - place'), 4::bigint, 'rows move');
SELECT is(pg_temp.told('moved'), '1 alice 1 5, 4 alice 1 6', 'which records nothing');
SELECT is(pg_temp.failure(format('UPDATE moved SET place = 3 - place, player = %s WHERE id = 4', pg_temp.id('bob'))),
    pg_temp.changed('moved', '4', format('"player" was %s and would be %s', pg_temp.id('alice'), pg_temp.id('bob'))), 'a settled row keeps its user on its way');
SELECT is(pg_temp.run(format('UPDATE moved SET place = 3 - place, player = CASE WHEN win IS NULL THEN %s ELSE player END, win = coalesce(win, id)', pg_temp.id('bob'))), 4::bigint, 'rows are settled while they move');
SELECT is(pg_temp.told('moved'), '1 alice 1 5, 2 bob 1 2, 3 bob 1 3, 4 alice 1 6', 'each with the one that it was');
-- a statement that names a partition fires the partition's triggers, and one that names the parent the parent's
SAVEPOINT s;
SELECT pg_temp.run(format('INSERT INTO moved_1 VALUES (5, %s, 1, 7, 1)', pg_temp.id('carol'))) AS x \g /dev/null
SELECT is(pg_temp.told('moved'), '1 alice 1 5, 2 bob 1 2, 3 bob 1 3, 4 alice 1 6', 'a partition without triggers of its own records nothing');
SELECT pg_temp.run('UPDATE moved SET win = win') AS x \g /dev/null
SELECT is(pg_temp.told('moved'), '1 alice 1 5, 2 bob 1 2, 3 bob 1 3, 4 alice 1 6', 'nor does the parent later');
ROLLBACK TO s;
SELECT pg_temp.capture(leaf, $$'player', 'slot', 'id', 'bet', 'win', 'prefix=moved'$$) FROM unnest(ARRAY['moved_1', 'moved_2']) leaf \g /dev/null
CREATE FUNCTION pg_temp.carols() RETURNS text LANGUAGE sql AS $$ SELECT string_agg(part, ', ') FROM unnest(string_to_array(pg_temp.told('moved'), ', ')) part WHERE part LIKE '%carol%' $$;
SELECT economy.adjust_gold(pg_temp.id('carol'), 100, 'leaf', 'pgtap', 'pgtap') AS x \g /dev/null
SELECT pg_temp.run(format('INSERT INTO moved_1 VALUES (5, %1$s, 1, 7, 1), (6, %1$s, 1, NULL, 1)', pg_temp.id('carol'))) AS x \g /dev/null
SELECT is(pg_temp.carols(), '5 carol 1 7', 'with them it records what is settled there');
SELECT pg_temp.run('UPDATE moved_1 SET win = 8 WHERE id = 6') AS x \g /dev/null
SELECT is(pg_temp.carols(), '5 carol 1 7, 6 carol 1 8', 'by INSERT and by UPDATE');
SELECT gold AS was FROM economy.account(pg_temp.id('carol')) \gset
SELECT pg_temp.run(format('INSERT INTO moved VALUES (7, %1$s, 1, 9, 1), (8, %1$s, 1, NULL, 2)', pg_temp.id('carol'))) AS x \g /dev/null
SELECT pg_temp.run('UPDATE moved SET win = 10, place = 3 - place WHERE id = 8') AS x \g /dev/null
SELECT is(pg_temp.carols(), '5 carol 1 7, 6 carol 1 8, 7 carol 1 9, 8 carol 1 10', 'through the parent, too');
SELECT is((SELECT gold FROM economy.account(pg_temp.id('carol'))) - :was, 17::bigint, 'once each');
SELECT is((SELECT count(*) FROM economy.user_actions WHERE user_id = pg_temp.id('carol') AND action_id LIKE 'moved:%'), 4::bigint, 'which is one entry each');
SELECT is(pg_temp.failure('UPDATE moved_1 SET win = 1 WHERE id = 5'), replace(pg_temp.changed('moved_1', '5', '"win" was 7 and would be 1'), 'moved_1:5', 'moved:5'), 'and what is settled stays so there');
ROLLBACK TO s;
CREATE FUNCTION pg_temp.nobody() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER away BEFORE INSERT ON moved_2 FOR EACH ROW WHEN (NEW.id = 1) EXECUTE FUNCTION pg_temp.nobody();
SELECT is(pg_temp.failure('UPDATE moved SET place = 2'),
    'XE502 | an UPDATE of table "moved" removed rows | Table "moved": 4 rows were updated and 3 are left. | A trigger BEFORE INSERT of a partition leaves out rows that are moved there.', 'a row that gets lost on its way is refused');

-- an id is taken by its text, as it was recorded, and amounts by what they are
CREATE TEMP TABLE worded (id numeric, player bigint, bet numeric, win numeric);
SELECT pg_temp.capture('worded', $$'player', 'slot', 'id', 'bet', 'win'$$) AS x \g /dev/null
SELECT pg_temp.run(format('INSERT INTO worded VALUES (1, %s, 1, 2)', pg_temp.id('alice'))) AS x \g /dev/null
SELECT is(pg_temp.failure('UPDATE worded SET id = 1.0'), pg_temp.changed('worded', '1', '"id" was 1 and would be 1.0'), 'the same number written in another way is another id');
SELECT is(pg_temp.failure('UPDATE worded SET bet = 1.00, win = 2.0'), 'nothing', 'but the same bet and win');

-- each of two triggers of a statement sees its rows from the first one on
CREATE TEMP TABLE twice (id int, player bigint, bet int, win int);
SELECT pg_temp.capture('twice', $$'player', 'slot', 'id', 'bet', 'win'$$) AS x \g /dev/null
CREATE TRIGGER settled_too AFTER UPDATE ON twice REFERENCING OLD TABLE AS o NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION economy.capture_actions('player', 'rps', 'id', 'bet', 'win', 'prefix=twice:');
SELECT pg_temp.run(format('INSERT INTO twice VALUES (1, %s, 1, NULL), (2, %s, 1, NULL)', pg_temp.id('alice'), pg_temp.id('bob'))) AS x \g /dev/null
SELECT is(pg_temp.run('UPDATE twice SET win = id + 6'), 2::bigint, 'two rounds are settled');
SELECT is((SELECT string_agg(concat_ws(' ', a.game, a.action_id, a.win), ', ' ORDER BY a.game, a.action_id) FROM economy.user_actions a WHERE a.action_id LIKE 'twice:%'),
          'rps twice::1 7, rps twice::2 8, slot twice:1 7, slot twice:2 8', 'for each of two triggers');

-- more than a chunk, the changed row beyond it, and ids that need settings pinned
SET LOCAL work_mem = '64kB';
CREATE TEMP TABLE many (at timestamptz, player bigint, bet int, win int);
SELECT pg_temp.capture('many', $$'player', 'slot', 'at', 'bet', 'win', 'prefix=many'$$) AS x \g /dev/null
SELECT pg_temp.run(format('INSERT INTO many SELECT ''2031-01-01 00:00+00''::timestamptz + n * interval ''1 s'', %s, 0, CASE WHEN n %% 3 = 0 THEN 1 END FROM generate_series(1, 12000) n', pg_temp.id('alice'))) AS x \g /dev/null
SET LOCAL TimeZone = 'Asia/Tokyo';
SELECT is(pg_temp.failure(format('UPDATE many SET player = %s, win = 1 WHERE win IS NULL OR at = ''2031-01-01 03:20:00+00''', pg_temp.id('bob'))),
    pg_temp.changed('many', '2031-01-01 03:20:00+00', format('"player" was %s and would be %s', pg_temp.id('alice'), pg_temp.id('bob'))), 'the last of 8,001 rows');
SELECT is(pg_temp.run('UPDATE many SET win = 1'), 12000::bigint, '12,000 rows, two thirds of them open');
SELECT is((SELECT concat_ws(' ', count(*), sum(win)) FROM economy.user_actions WHERE action_id LIKE 'many:%'), '12000 12000', 'are recorded, once each');

SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s)', u), 'the chain is clean') FROM unnest(ARRAY[pg_temp.id('alice'), pg_temp.id('bob'), :carol]) u;
SELECT is_empty('SELECT * FROM economy.stats_parity()', 'statistics equal the entries');
SELECT * FROM finish();
ROLLBACK;
