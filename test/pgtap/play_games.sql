-- Statistics of games in the account: packed, spilled into rows, damaged, corrected.
BEGIN;
SELECT no_plan();
SELECT economy.register('pgtap games') AS u, economy.register('pgtap games 2') AS v \gset
SELECT success AS x FROM economy.adjust_gold(:u, 100000, 'open', 'pgtap', 'pgtap') \gset

-- what stands in the account, byte by byte
SELECT set_config('economy.test_clock', '2000-01-01 00:00:01+00', true) AS x \gset
SELECT r.state AS x FROM economy.record_action(:u, 'slot', 'T', '1', 200, 300) r \gset
SELECT r.state AS x FROM economy.record_action(:u, 'rps', 'T', '1', 1, 0) r \gset
SELECT r.state AS x FROM economy.record_action(:u, 'slot', 'T', '2', 1, 1) r \gset
SELECT is((SELECT encode(sections, 'hex') FROM economy.accounts WHERE user_id = :u),
    '0101' || '002b' || '00' || '030e' || encode('rps', 'hex') || '000100000100' || '00000000000f4240'
    || '0411' || encode('slot', 'hex') || '010001ac02c901ad02' || '00000000000f4240', 'two games, by name');
SELECT is((SELECT sections FROM economy.accounts WHERE user_id = :v), NULL, 'none without an action');
SELECT results_eq(format('SELECT game::text COLLATE "default", total, wins, losses, draws, max_win, bet_sum, win_sum, last_action_at FROM economy.game_stats WHERE user_id = %s ORDER BY game', :u),
    $$VALUES ('rps', 1::bigint, 0::bigint, 1::bigint, 0::bigint, 0::bigint, 1::bigint, 0::bigint, '2000-01-01 00:00:01+00'::timestamptz),
             ('slot', 2, 1, 0, 1, 300, 201, 301, '2000-01-01 00:00:01+00')$$, 'as the view shows it');
-- nothing else of the account depends on it
SELECT is((SELECT sections FROM economy.accounts WHERE user_id = :u), b.sections, call || ' leaves them') FROM (SELECT sections FROM economy.accounts WHERE user_id = :u) b,
    LATERAL (SELECT 'adjust_gold' AS call FROM economy.adjust_gold(:u, 1, 'more', 'pgtap', 'pgtap')) c;
SELECT set_config('economy.test_clock', '', true) AS x \gset

-- games without end: those for which there is no room have rows
SELECT count(economy.register_game(format('pgtap games %s %s', lpad(g::text, 3, '0'), repeat('x', 47)))) AS x FROM generate_series(1, 40) g \gset
CREATE FUNCTION pg_temp.play(u bigint, first int, last int, id text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(DISTINCT r.state || ' ' || r.total, ', ')
    FROM economy.record_actions((SELECT jsonb_agg(jsonb_build_object('user_id', u, 'game', format('pgtap games %s %s', lpad(g::text, 3, '0'), repeat('x', 47)),
        'action_type', 'T', 'action_id', id, 'win', g)) FROM generate_series(first, last) g)) r $$;
CREATE FUNCTION pg_temp.rows(u bigint) RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM economy_internal.game_stats_more WHERE user_id = u $$;
SELECT is(pg_temp.play(:u, 1, 40, 'a'), 'new 1', 'forty more games at once');
SELECT cmp_ok(pg_temp.rows(:u), '>', 10::bigint, 'some have rows');
SELECT cmp_ok(pg_temp.rows(:u), '<', 40::bigint, 'and some stand in the account');
SELECT cmp_ok((SELECT octet_length(sections) FROM economy.accounts WHERE user_id = :u), '<=', 1028, 'which has at most so many bytes');
SELECT is_empty('SELECT * FROM economy.stats_parity()', 'all of them equal the entries');
SELECT is((SELECT count(*) FROM economy.game_stats WHERE user_id = :u), 42::bigint, 'the view has all');
SELECT is((SELECT sum((value ->> 'total')::int) FROM jsonb_each(economy.game_stats_me(:u) -> 'games')), 43::bigint, 'and so has the document');
SELECT is(economy.game_stats_me(:u) ->> 'total_games_played', '43', 'in its sum');
SELECT pg_temp.rows(:u) AS rows \gset
SELECT is(pg_temp.play(:u, 1, 40, 'b'), 'new 2', 'again');
SELECT is(pg_temp.play(:u, 40, 40, 'c'), 'new 3', 'and one alone');
SELECT is(pg_temp.play(:u, 40, 40, 'c'), 'reuse 3', 'whose retry knows its row');
SELECT is(pg_temp.play(:u, 1, 1, 'b'), 'reuse 2', 'or its place in the account');
SELECT is((SELECT r.state || ' ' || r.total FROM economy.record_action(:u, format('pgtap games 040 %s', repeat('x', 47)), 'T', 'c', 0, 40) r), 'reuse 3', 'also a retry of a single one');
SELECT is(pg_temp.rows(:u), :rows::bigint, 'a game with a row keeps it');
SELECT is_empty('SELECT * FROM economy.stats_parity()', 'and all equal the entries again');
-- a game that stood in the account grows out of it
SELECT octet_length(sections) AS x FROM economy.accounts WHERE user_id = :v \gset
SELECT is(pg_temp.play(:v, 1, 40, 'a'), 'new 1', 'another user');
SELECT pg_temp.rows(:v) AS rows \gset
SELECT success AS x FROM economy.adjust_gold(:v, 4000000000000, 'open', 'pgtap', 'pgtap') \gset
SELECT is((SELECT string_agg(DISTINCT r.state, ', ') FROM generate_series(1, 12) g, economy.record_action(:v, format('pgtap games %s %s', lpad(g::text, 3, '0'), repeat('x', 47)), 'T', 'big', 4000000000000, 4000000000000) r), 'new', 'larger sums');
SELECT cmp_ok(pg_temp.rows(:v), '>', :rows::bigint, 'need more room');
SELECT is_empty('SELECT * FROM economy.stats_parity()', 'and nothing is lost');
SELECT is((SELECT string_agg(DISTINCT total::text, ',') FROM economy.game_stats WHERE user_id = :v AND bet_sum > 0), '2', 'counted on');
SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s)', u), 'clean') FROM (VALUES (:u), (:v)) x (u);

-- user code makes actions of the user between those of a batch: what the account keeps is read again, for as long as the batch
CREATE FUNCTION pg_temp.play_more() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.game <> 'rps' THEN
        PERFORM economy.record_action(NEW.user_id, 'rps', 'T', 'within ' || NEW.seq, 0, 1);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER pgtap AFTER INSERT ON economy.user_actions FOR EACH ROW EXECUTE FUNCTION pg_temp.play_more();
SELECT economy.register('pgtap games 3') AS w \gset
SELECT is((SELECT string_agg(DISTINCT r.state, ',') FROM economy.record_actions((SELECT jsonb_agg(jsonb_build_object('user_id', :w, 'game', (ARRAY['slot', 'gacha', 'crash'])[1 + n % 3], 'action_type', 'T',
    'action_id', 'n' || n, 'win', n, 'details', jsonb_build_object('filler', repeat(chr(97 + n % 26), n * 20)))) FROM generate_series(1, 60) n)) r), 'new', 'sixty actions, and one within each');
SELECT is((SELECT string_agg(game || ' ' || total, ', ' ORDER BY game) FROM economy.game_stats WHERE user_id = :w), 'crash 20, gacha 20, rps 60, slot 20', 'all are counted');
SELECT is((SELECT string_agg(r.state || ' ' || r.total, ', ') FROM economy.record_actions((SELECT jsonb_agg(jsonb_build_object('user_id', :w, 'game', game, 'action_type', 'T', 'action_id', id, 'win', 7,
    'details', jsonb_build_object('filler', repeat('x', 2000))) ORDER BY n) FROM (VALUES (1, 'slot', 'a'), (2, 'slot', 'a'), (3, 'slot', 'a'), (4, 'crash', 'b'), (5, 'gacha', 'c')) v (n, game, id))) r),
    'new 21, reuse 21, reuse 21, new 21, new 21', 'behind retries, which write nothing');
SELECT is_empty('SELECT * FROM economy.stats_parity()', 'as the entries say');
DROP TRIGGER pgtap ON economy.user_actions;

-- damage is found, and no call goes on over it
CREATE FUNCTION pg_temp.after(change text, question text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
    code   text;
BEGIN
    EXECUTE replace(change, '{u}', economy.user_id_of('pgtap games')::text);
    BEGIN
        EXECUTE replace(question, '{u}', economy.user_id_of('pgtap games')::text) INTO answer;
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE;
        answer := code || ' ' || regexp_replace(sqlerrm, '[0-9]+', 'N');
    END;
    RAISE EXCEPTION USING ERRCODE = 'XT000';
EXCEPTION WHEN SQLSTATE 'XT000' THEN
    RETURN answer;
END
$$;
CREATE TEMP TABLE damaged (what text, change text);
INSERT INTO damaged VALUES
    ('no sections',         $$UPDATE economy.accounts SET sections = decode('00', 'hex') WHERE user_id = {u}$$),
    ('cut short',           $$UPDATE economy.accounts SET sections = substr(sections, 1, octet_length(sections) - 1) WHERE user_id = {u}$$),
    ('another version',     $$UPDATE economy.accounts SET sections = set_byte(sections, 1, 2) WHERE user_id = {u}$$),
    ('a flag of its own',   $$UPDATE economy.accounts SET sections = set_byte(sections, 4, 2) WHERE user_id = {u}$$),
    ('names out of order',  $$UPDATE economy.accounts SET sections = set_byte(sections, 7, 255) WHERE user_id = {u}$$),
    ('a name without end',  $$UPDATE economy.accounts SET sections = set_byte(sections, 5, 255) WHERE user_id = {u}$$),
    ('a name without byte', $$UPDATE economy.accounts SET sections = set_byte(sections, 5, 0) WHERE user_id = {u}$$),
    ('figures too long',    $$UPDATE economy.accounts SET sections = set_byte(sections, 6, get_byte(sections, 6) + 1) WHERE user_id = {u}$$),
    ('figures too short',   $$UPDATE economy.accounts SET sections = set_byte(sections, 6, get_byte(sections, 6) - 1) WHERE user_id = {u}$$);
SELECT is(pg_temp.after(change, $$SELECT string_agg(DISTINCT source, ', ') || ' ' || bool_or(actual ? 'sections') FROM economy.stats_parity() WHERE user_id = {u}$$), 'game_stats true', 'parity sees ' || what) FROM damaged;
SELECT matches(pg_temp.after(change, call), '^XE103 account of user N has damaged (sections|statistics of games)$', format('%s: %s', call, what))
FROM damaged, unnest(ARRAY[$$SELECT state FROM economy.record_action({u}, 'slot', 'T', 'x')$$, $$SELECT state FROM economy.record_action({u}, 'slot', 'T', '1', 200, 300)$$, 'SELECT economy.game_stats_me({u})']) call
WHERE what <> 'names out of order' OR call LIKE '%me(%';
SELECT is(pg_temp.after($$UPDATE economy.accounts SET sections = set_byte(sections, 4, 0) WHERE user_id = {u}$$, $$SELECT count(*) FROM economy.stats_parity() WHERE user_id = {u} AND actual ? 'sections'$$), '1', 'a flag that hides the rows is found');
SELECT is(pg_temp.after($$DELETE FROM economy_internal.game_stats_more WHERE user_id = {u}$$, $$SELECT count(*) FROM economy.stats_parity() WHERE user_id = {u} AND actual ? 'sections'$$), '1', 'and one without rows');
SELECT is(pg_temp.after($$INSERT INTO economy_internal.game_stats_more SELECT user_id, 'rps', 0, 1, 0, 0, 1, 0, last_action_at FROM economy.game_stats WHERE user_id = {u} AND game = 'rps'$$,
    $$SELECT string_agg(kind || ' ' || actual, ', ') FROM economy.audit_sweep() WHERE user_id = {u} AND kind = 'duplicate_row'$$), 'duplicate_row 2 rows', 'and a game that stands in both');
SELECT throws_ok(format('UPDATE economy.accounts SET sections = %L WHERE user_id = %s', value, :u), '23514', NULL, 'no account has ' || what)
FROM (VALUES (decode('', 'hex'), 'empty sections'), (decode(repeat('00', 3073), 'hex'), 'more than 3072 bytes')) v (value, what);

-- corrected by hand
SELECT is(pg_temp.after($$UPDATE economy.accounts SET sections = economy_internal.with_game(sections, 'slot', 1, 0, 2, 300, 200, 300, '2031-01-01') WHERE user_id = {u}$$,
    $$SELECT row(total, wins, losses, draws, max_win, bet_sum, win_sum)::text FROM economy.game_stats WHERE user_id = {u} AND game = 'slot'$$), '(3,1,0,2,300,200,300)', 'other figures');
SELECT is(pg_temp.after($$UPDATE economy.accounts SET sections = economy_internal.with_game(economy_internal.with_game(sections, 'slot', 1, 0, 2, 300, 200, 300, '2031-01-01'), 'slot', 1, 0, 1, 300, 201, 301, '2000-01-01 00:00:01+00') WHERE user_id = {u}$$,
    'SELECT count(*) FROM economy.stats_parity()'), '0', 'and the right ones again');
SELECT is(pg_temp.after($$UPDATE economy.accounts SET sections = economy_internal.with_game(sections, 'rps', NULL, NULL, NULL, NULL, NULL, NULL, NULL) WHERE user_id = {u}$$,
    $$SELECT count(*) FROM economy.game_stats WHERE user_id = {u} AND game = 'rps'$$), '0', 'or none');
SELECT is(economy_internal.with_game(NULL, 'a', NULL, NULL, NULL, NULL, NULL, NULL, NULL), NULL, 'none of none is none');
SELECT is(economy_internal.with_game(economy_internal.with_game(NULL, 'a', 1, 2, 3, 4, 5, 6, '2000-01-01 00:00+00'), 'a', NULL, NULL, NULL, NULL, NULL, NULL, NULL), NULL, 'nothing is left');
SELECT is(encode(economy_internal.with_game(decode('0500000178', 'hex'), 'a', 0, 0, 0, 0, 0, 0, '2000-01-01 00:00+00'), 'hex'), '01010012' || '00' || '010e61' || repeat('00', 14) || '0500000178', 'other sections stay');
SELECT throws_ok(call, code, message, call)
FROM (VALUES ('SELECT economy_internal.with_game(NULL, NULL, 1, 1, 1, 1, 1, 1, now())', 'XE001', 'game must not be null'), ('SELECT economy_internal.with_game(NULL, '''', 1, 1, 1, 1, 1, 1, now())', 'XE002', 'game must not be empty'),
    ('SELECT economy_internal.with_game(NULL, repeat(''x'', 65), 1, 1, 1, 1, 1, 1, now())', 'XE003', 'game is too long'), ('SELECT economy_internal.with_game(NULL, ''a'', -1, 1, 1, 1, 1, 1, now())', 'XE002', 'wins must be 0 or more'),
    ('SELECT economy_internal.with_game(NULL, ''a'', 1, NULL, 1, 1, 1, 1, now())', 'XE001', 'losses must not be null'), ('SELECT economy_internal.with_game(NULL, ''a'', 1, 1, 1, 1, 1, -1, now())', 'XE002', 'win_sum must be 0 or more'),
    ('SELECT economy_internal.with_game(NULL, ''a'', 1, 1, 1, 1, 1, 1, NULL)', 'XE001', 'last_action_at must not be null'), ('SELECT economy_internal.with_game(decode(''00'', ''hex''), ''a'', 1, 1, 1, 1, 1, 1, now())', 'XE103', 'these are no sections of an account'),
    ('SELECT economy_internal.with_game(decode(''0101000102'', ''hex''), ''a'', 1, 1, 1, 1, 1, 1, now())', 'XE103', 'these statistics of games are damaged'), ('SELECT economy_internal.games_sound(NULL, NULL)', 'XE001', 'further must not be null'),
    ('SELECT economy_internal.with_game(NULL, ''a'', 9223372036854775807, 1, 0, 1, 1, 1, now())', 'XE002', 'the games add up to more than a bigint')) v (call, code, message);
SELECT throws_ok(format('SELECT economy_internal.with_game((SELECT sections FROM economy.accounts WHERE user_id = %s), repeat(''y'', 64), 1, 1, 1, 1, 1, 1, now())', :u), 'XE002', 'there is no room for this game in the account', 'no room');
SELECT is((SELECT count(*) FROM economy_internal.games_of(decode('0101000102', 'hex'))), 0::bigint, 'games of what is damaged: none');
SELECT is((SELECT string_agg(game, ',') FROM economy_internal.games_of(substr(s, 1, 3) || set_byte(substr(s, 4, 1), 0, octet_length(s) - 5) || substr(s, 5, octet_length(s) - 5))), 'a', 'or those before the damage')
FROM economy_internal.with_game(economy_internal.with_game(NULL, 'a', 1, 2, 3, 4, 5, 6, '2000-01-01 00:00+00'), 'b', 1, 2, 3, 4, 5, 6, '2000-01-01 00:00+00') s;
SELECT is(economy_internal.games_sound(decode('01010012' || '00' || '010e61' || repeat('00', 14), 'hex'), false), true, 'figures to the last byte');
SELECT is(economy_internal.games_sound(decode('01010013' || '00' || '010f61' || repeat('00', 15), 'hex'), false), false, 'and one that is left over is damage');
SELECT finish();
ROLLBACK;
