-- Changes of who a user is: what update_profile(), link_external_id(), unlink_external_id(),
-- set_timezone() and set_user_status() make of a user and of the stream, and what the audit knows.
BEGIN;
SELECT no_plan();
\i test/writable_views.sql
-- triggers are off here, which is a finding of its own
CREATE FUNCTION pg_temp.sweep() RETURNS SETOF economy.finding LANGUAGE sql AS $$ SELECT * FROM economy.audit_sweep() f WHERE f.kind <> 'wrong_schema' $$;
SET LOCAL "TimeZone" = 'UTC';

SELECT economy.register('pgtap change', 'Europe/Berlin', '{"nick": "ann", "age": 7, "pets": {"cat": 1, "dog": {"legs": 4}}}') AS u \gset
SELECT economy.register('pgtap change other') AS other \gset
SELECT economy.register() AS guest \gset
CREATE FUNCTION pg_temp.line(r economy.user_change_result, u bigint) RETURNS text LANGUAGE sql AS
    $$ SELECT concat_ws(' ', r.state, r.code, replace(r.transaction_id, u::text || '-', 'U-'), r.field, coalesce(r.before, '-'), coalesce(r.after, '-'), r.detail) $$;
CREATE FUNCTION pg_temp.patch(u bigint, patch jsonb, key text) RETURNS text LANGUAGE sql AS
    $$ SELECT pg_temp.line(r, u) FROM economy.update_profile(u, patch, key) r $$;
CREATE FUNCTION pg_temp.link(u bigint, id text, key text) RETURNS text LANGUAGE sql AS
    $$ SELECT pg_temp.line(r, u) FROM economy.link_external_id(u, id, key) r $$;
CREATE FUNCTION pg_temp.unlink(u bigint, key text) RETURNS text LANGUAGE sql AS
    $$ SELECT pg_temp.line(r, u) FROM economy.unlink_external_id(u, key) r $$;
CREATE FUNCTION pg_temp.seq(u bigint) RETURNS bigint LANGUAGE sql AS $$ SELECT seq FROM economy.accounts WHERE user_id = u $$;
CREATE FUNCTION pg_temp.profile(u bigint) RETURNS jsonb LANGUAGE sql AS $$ SELECT profile FROM economy.users WHERE user_id = u $$;

-- RFC 7386, its own examples that begin with an object
CREATE FUNCTION pg_temp.merged(target jsonb, patch jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    id bigint := economy.register(profile => target);
BEGIN
    PERFORM economy.update_profile(id, patch, 'k');
    RETURN (SELECT profile FROM economy.users WHERE user_id = id);
END
$$;
SELECT is(pg_temp.merged(target::jsonb, patch::jsonb), result::jsonb, target || ' and ' || patch)
FROM (VALUES
    ('{"a": "b"}', '{"a": "c"}', '{"a": "c"}'),
    ('{"a": "b"}', '{"b": "c"}', '{"a": "b", "b": "c"}'),
    ('{"a": "b"}', '{"a": null}', '{}'),
    ('{"a": "b", "b": "c"}', '{"a": null}', '{"b": "c"}'),
    ('{"a": ["b"]}', '{"a": "c"}', '{"a": "c"}'),
    ('{"a": "c"}', '{"a": ["b"]}', '{"a": ["b"]}'),
    ('{"a": {"b": "c"}}', '{"a": {"b": "d", "c": null}}', '{"a": {"b": "d"}}'),
    ('{"a": [{"b": "c"}]}', '{"a": [1]}', '{"a": [1]}'),
    ('{"e": null}', '{"a": 1}', '{"e": null, "a": 1}'),
    ('{}', '{"a": {"bb": {"ccc": null}}}', '{"a": {"bb": {}}}'),
    ('{"a": 1}', '{"a": {"b": {"c": 1, "d": null}}}', '{"a": {"b": {"c": 1}}}'),
    ('{"a": []}', '{}', '{"a": []}'),
    ('{"a": {}}', '{"a": {"b": [null, {"c": null}]}}', '{"a": {"b": [null, {"c": null}]}}'),
    ('{"a": true, "b": 1.50}', E'{"c": "\\u20ac\\\\\\""}', E'{"a": true, "b": 1.50, "c": "\\u20ac\\\\\\""}')) v (target, patch, result);
SELECT is(pg_temp.merged('{}', (repeat('{"a": ', 580) || '1' || repeat('}', 580))::jsonb), (repeat('{"a": ', 580) || '1' || repeat('}', 580))::jsonb, 'a deep patch');

-- the profile
SELECT is(pg_temp.patch(:u, '{"age": null, "pets": {"dog": {"legs": 3}}, "x": []}', 'p1'),
    'new OK UU-1 profile {"age": 7, "nick": "ann", "pets": {"cat": 1, "dog": {"legs": 4}}} {"x": [], "nick": "ann", "pets": {"cat": 1, "dog": {"legs": 3}}}', 'a patch');
SELECT is(pg_temp.patch(:u, '{"x": [], "age": null, "pets": {"dog": {"legs": 3}}}', 'p1'),
    'reuse OK UU-1 profile {"age": 7, "nick": "ann", "pets": {"cat": 1, "dog": {"legs": 4}}} {"x": [], "nick": "ann", "pets": {"cat": 1, "dog": {"legs": 3}}}', 'once for a key');
SELECT is(pg_temp.patch(:u, '{"x": null}', 'p2'), 'new OK UU-2 profile {"x": [], "nick": "ann", "pets": {"cat": 1, "dog": {"legs": 3}}} {"nick": "ann", "pets": {"cat": 1, "dog": {"legs": 3}}}', 'another');
SELECT is(left(pg_temp.patch(:u, '{"age": null, "pets": {"dog": {"legs": 3}}, "x": []}', 'p1'), 12), 'reuse OK UU-', 'a late repetition changes nothing');
SELECT is(pg_temp.profile(:u), '{"nick": "ann", "pets": {"cat": 1, "dog": {"legs": 3}}}', 'the profile stays');
SELECT is((SELECT row(r.state, r.code, r.detail)::text FROM economy.update_profile(:u, '{"age": 8}', 'p2') r),
    row('refused', 'IDEMPOTENCY_MISMATCH', E'{"now": "{\\"x\\": [], \\"age\\": 8, \\"nick\\": \\"ann\\", \\"pets\\": {\\"cat\\": 1, \\"dog\\": {\\"legs\\": 3}}}", "field": "profile", "first": "{\\"nick\\": \\"ann\\", \\"pets\\": {\\"cat\\": 1, \\"dog\\": {\\"legs\\": 3}}}"}'::jsonb)::text, 'another patch with the key');
SELECT is(pg_temp.patch(:u, '{}', 'p3'), 'new OK UU-3 profile {"nick": "ann", "pets": {"cat": 1, "dog": {"legs": 3}}} {"nick": "ann", "pets": {"cat": 1, "dog": {"legs": 3}}}', 'a patch that changes nothing uses its key up');
SELECT is((SELECT row(r.state, r.code)::text FROM economy.update_profile(:other, jsonb_build_object('t', repeat('x', 4087)), 'p1') r), '(new,OK)', 'a profile of 4096 bytes');
SELECT is((SELECT row(r.state, r.code)::text FROM economy.update_profile(:other, '{"u": 1}', 'p2') r), '(refused,PROFILE_TOO_LONG)', 'and no more');
SELECT is((SELECT row(r.state, r.code)::text FROM economy.update_profile(:other, '{"u": 1, "t": null}', 'p2') r), '(new,OK)', 'a refusal uses no key up');
SELECT is(pg_temp.patch(-1, '{}', 'k'), 'refused USER_NOT_FOUND - -', 'nobody');

-- the external id
SELECT is(pg_temp.link(:guest, 'pgtap change other', 'l1'), 'refused EXTERNAL_ID_TAKEN - -', 'an id that another has');
SELECT is(pg_temp.link(:guest, 'pgtap change guest', 'l1'), 'new OK UU-1 external_id - pgtap change guest', 'a guest gets one');
SELECT is(pg_temp.link(:guest, 'pgtap change guest', 'l1'), 'reuse OK UU-1 external_id - pgtap change guest', 'once');
SELECT is(pg_temp.link(:guest, 'pgtap change guest 2', 'l1'), 'refused IDEMPOTENCY_MISMATCH UU-1 external_id - pgtap change guest {"now": "pgtap change guest 2", "field": "external_id", "first": "pgtap change guest"}', 'not another with the key');
SELECT is(pg_temp.unlink(:guest, 'l1'), 'refused IDEMPOTENCY_MISMATCH UU-1 external_id - pgtap change guest {"now": null, "field": "external_id", "first": "pgtap change guest"}', 'nor none');
SELECT is(pg_temp.link(:guest, 'pgtap change guest 2', 'l2'), 'refused ALREADY_LINKED - -', 'one at a time');
SELECT is(pg_temp.link(:guest, 'pgtap change guest', 'l3'), 'new OK UU-2 external_id pgtap change guest pgtap change guest', 'the same again');
SELECT is(economy.register('pgtap change guest'), :guest::bigint, 'register() finds the guest');
SELECT is(economy.user_id_of('pgtap change guest'), :guest::bigint, 'and so does user_id_of()');
SELECT is(pg_temp.unlink(:guest, 'l4'), 'new OK UU-3 external_id pgtap change guest -', 'it is taken away');
SELECT is(pg_temp.unlink(:guest, 'l4'), 'reuse OK UU-3 external_id pgtap change guest -', 'once');
SELECT is(pg_temp.unlink(:guest, 'l5'), 'refused NOT_LINKED - -', 'there is none');
SELECT is(pg_temp.link(:other, 'pgtap change guest', 'k'), 'refused ALREADY_LINKED - -', 'others have their own');
SELECT isnt(economy.register('pgtap change guest'), :guest::bigint, 'a free id makes a new user');
SELECT is(pg_temp.link(:guest, 'pgtap change guest', 'l6'), 'refused EXTERNAL_ID_TAKEN - -', 'who has it then');
SELECT is(pg_temp.link(:guest, 'PGTAP change guest', 'l6'), 'new OK UU-4 external_id - PGTAP change guest', 'ids have a case');
SELECT is(pg_temp.link(-1, 'pgtap nobody', 'k'), 'refused USER_NOT_FOUND - -', 'nobody is linked');
SELECT is(pg_temp.unlink(-1, 'k'), 'refused USER_NOT_FOUND - -', 'or unlinked');

-- zone and status
SELECT pg_temp.seq(:u) AS seq \gset
SELECT is(economy.set_timezone(:u, 'europe/berlin'), 'Europe/Berlin', 'the same zone');
SELECT is(pg_temp.seq(:u), :seq::bigint, 'is no entry');
SAVEPOINT s;
SELECT is(economy.set_timezone(:u, 'europe/berlin', 'z0'), 'Europe/Berlin', 'but with a key');
SELECT is(pg_temp.seq(:u), :seq::bigint + 1, 'it is one, which uses the key up');
ROLLBACK TO SAVEPOINT s;
SELECT is(economy.set_timezone(:u, 'Asia/Tokyo', 'z1'), 'Asia/Tokyo', 'a zone with a key');
SELECT is(economy.set_timezone(:u, 'Europe/Rome'), 'Europe/Rome', 'another');
SELECT is(economy.set_timezone(:u, 'asia/tokyo', 'z1'), 'Asia/Tokyo', 'the first call again');
SELECT is((SELECT timezone FROM economy.users WHERE user_id = :u), 'Europe/Rome', 'changes nothing');
SELECT throws_ok(format('SELECT economy.set_timezone(%s, ''UTC'', ''z1'')', :u), 'XE203', 'idempotency_key was used for another change of this user''s timezone', 'another zone with the key');
SELECT is(economy.set_user_status(:u, 'suspended', 'ann', 'z1', 'fraud'), 'suspended', 'a status with a key, which is one of its field');
SELECT is(economy.set_user_status(:u, 'active', 'bob'), 'active', 'back');
SELECT is(economy.set_user_status(:u, 'suspended', 'carol', 'z1'), 'suspended', 'the first call again');
SELECT is((SELECT suspended FROM economy.accounts WHERE user_id = :u), false, 'changes nothing');
SELECT throws_ok(format('SELECT economy.set_user_status(%s, ''active'', ''ann'', ''z1'')', :u), 'XE203', NULL, 'another status with the key');
CREATE FUNCTION pg_temp.detail_of(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    EXECUTE call;
    RETURN 'nothing';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN concat_ws(': ', sqlerrm, detail);
END
$$;
SELECT is(pg_temp.detail_of(format('SELECT economy.set_timezone(%s, ''UTC'', ''z1'')', :u)),
    format('idempotency_key was used for another change of this user''s timezone: It is that of U%s-%s, to "Asia/Tokyo".', :u, :seq + 1), 'which says what it was used for');
SELECT is((SELECT string_agg(concat_ws(' ', c.seq - :seq, c.field, c.before, c.after, c.actor, c.reason), ', ' ORDER BY c.seq) FROM economy.user_changes c WHERE c.user_id = :u AND c.seq > :seq),
    '1 timezone Europe/Berlin Asia/Tokyo, 2 timezone Asia/Tokyo Europe/Rome, 3 status active suspended ann fraud, 4 status suspended active bob', 'the entries');

-- who is suspended changes nothing, and cannot free an id to come back by it
SELECT economy.set_user_status(:u, 'suspended', 'ann') AS x \gset
SELECT is(pg_temp.patch(:u, '{"a": 1}', 's'), 'refused USER_SUSPENDED - -', 'suspended: no profile');
SELECT is(pg_temp.unlink(:u, 's'), 'refused USER_SUSPENDED - -', 'suspended: no unlink');
SELECT is(pg_temp.link(:u, 'pgtap change', 's'), 'refused USER_SUSPENDED - -', 'suspended: no link');
SELECT is(left(pg_temp.patch(:u, '{"age": null, "pets": {"dog": {"legs": 3}}, "x": []}', 'p1'), 8), 'reuse OK', 'but an answer of before');
SELECT economy.set_user_status(:u, 'active', 'ann') AS x \gset

-- a savepoint takes all of it back
SELECT row(a.seq, a.head_hash, u.external_id, u.timezone, u.profile)::text AS before FROM economy.accounts a JOIN economy.users u USING (user_id) WHERE user_id = :u \gset
SAVEPOINT s;
SELECT count(*) AS x FROM economy.unlink_external_id(:u, 'b1'), economy.link_external_id(:u, 'pgtap change 2', 'b2'), economy.update_profile(:u, '{"z": 1}', 'b3') \gset
SELECT economy.set_timezone(:u, 'UTC') AS x, economy.set_user_status(:u, 'suspended', 'ann') AS y \gset
ROLLBACK TO SAVEPOINT s;
SELECT is((SELECT row(a.seq, a.head_hash, u.external_id, u.timezone, u.profile)::text FROM economy.accounts a JOIN economy.users u USING (user_id) WHERE user_id = :u), :'before', 'rolled back');
SELECT is(left(pg_temp.patch(:u, '{"z": 1}', 'b3'), 6), 'new OK', 'and its keys are free');

-- events: one per entry, told again by replay()
SELECT is((SELECT string_agg(concat_ws(' ', r.type, r.event->'data'->>'field', r.event->'data'->>'before', r.event->'data'->>'after', r.event->'data'->'keys', r.event->'data'->>'gold_delta'), ', ' ORDER BY r.seq)
           FROM economy.replay(:guest, 0) r WHERE r.code = 'EVENT'),
    'profile_update external_id pgtap change guest 0, profile_update external_id pgtap change guest pgtap change guest 0, profile_update external_id pgtap change guest 0, profile_update external_id PGTAP change guest 0', 'external ids are told');
SELECT is((SELECT string_agg(concat_ws(' ', r.event->>'id', r.event->'data'->'before', r.event->'data'->'after', r.event->'data'->'keys'), ', ' ORDER BY r.seq)
           FROM economy.replay(:u, 0) r WHERE r.code = 'EVENT' AND r.event->'data'->>'field' = 'profile'),
    format('U%1$s-1 null null ["age","pets","x"], U%1$s-2 null null ["x"], U%1$s-3 null null [], U%1$s-%2$s null null ["z"]', :u, pg_temp.seq(:u)), 'of profiles the names of what changed');
SELECT is((SELECT count(*) FROM economy.replay(:u, 0) r WHERE r.code = 'EVENT'), pg_temp.seq(:u), 'each entry is one event');
SELECT economy.register(profile => (SELECT jsonb_object_agg('member ' || n, 0) FROM generate_series(1, 200) n)) AS many \gset
SELECT is((SELECT r.state FROM economy.update_profile(:many, (SELECT jsonb_object_agg('member ' || n, 1) FROM generate_series(1, 200) n), 'k1') r), 'new', 'many members');
SELECT is((SELECT r.state FROM economy.update_profile(:many, (SELECT jsonb_object_agg('member ' || n, NULL) FROM generate_series(1, 200) n), 'k2') r), 'new', 'all of them go');
SELECT is((SELECT r.state FROM economy.update_profile(:many, jsonb_build_object(repeat(E'\x01', 600), 0), 'k3') r), 'new', 'a long name that grows when it is escaped');
SELECT is((SELECT r.state FROM economy.update_profile(:many, jsonb_build_object(repeat(E'\x01', 600), NULL, repeat(E'\n', 200), 1), 'k4') r), 'new', 'another');
SELECT is((SELECT r.state FROM economy.update_profile(:many, jsonb_build_object(repeat(E'\n', 1100), 1), 'k5') r), 'new', 'and one that is too long then');
SELECT ok(bool_and(octet_length(r.event::text) < 8000), 'events are short enough') FROM economy.replay(:many, 0) r WHERE r.code = 'EVENT';
SELECT is((SELECT string_agg(coalesce(json_typeof(r.event->'data'->'keys'), 'none'), ' ' ORDER BY r.seq) FROM economy.replay(:many, 0) r WHERE r.code = 'EVENT'), 'array array array array null', 'and tell no names that do not fit');
-- 6,000 bytes of names with what is around them: a line feed has 6 there, and 2 in the profile
SELECT economy.register('pgtap names') AS names \gset
SELECT is((SELECT string_agg(r.state, ' ' ORDER BY n) FROM generate_series(1, 2) n, economy.update_profile(:names, jsonb_build_object(repeat(E'\n', 999) || repeat('x', n), 1), 'fits ' || n) r), 'new new', 'nearly too long');
SELECT is((SELECT string_agg(concat_ws(' ', json_typeof(r.event->'data'->'keys'), octet_length(r.event->'data'->>'keys')), ', ' ORDER BY r.seq) FROM economy.replay(:names, 0) r WHERE r.code = 'EVENT'), 'array 5999, null', 'the last that fits');

-- every column of who a user is, changed by hand, is a finding
SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s)', id), 'clean') FROM (VALUES (:u), (:other), (:guest), (:many)) v (id);
CREATE FUNCTION pg_temp.found(damage text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    BEGIN
        EXECUTE damage;
        SELECT string_agg(DISTINCT concat_ws(' ', CASE WHEN f.kind = 'wrong_state' THEN f.expected || ' is ' || f.actual ELSE f.kind || ' ' || f.seq END), ', ') INTO answer FROM pg_temp.sweep() f;
        RAISE EXCEPTION USING ERRCODE = 'ZZ000';
    EXCEPTION WHEN SQLSTATE 'ZZ000' THEN
        RETURN answer;
    END;
END
$$;
SELECT economy.register('pgtap plain') AS plain \gset
SELECT economy.register('pgtap plain 2', 'Asia/Tokyo') AS plain2 \gset
SELECT economy.register('pgtap played') AS played \gset
SELECT success AS x FROM economy.grant_reward(:played, 'pgtap', 'e', 1) \gset
SELECT is(pg_temp.found(replace(replace(replace(damage, 'PLAINS', :'plain' || ', ' || :'plain2'), 'PLAYED', :'played'), 'USER', :'u')), finding, damage)
FROM (VALUES
    ('UPDATE economy.users SET external_id = ''x'' WHERE user_id = PLAYED', 'wrong_hash 1'),
    ('UPDATE economy.users SET external_id = NULL WHERE user_id = PLAYED', 'wrong_hash 1'),
    ('UPDATE economy.users SET timezone = ''Asia/Seoul'' WHERE user_id = PLAYED', 'wrong_hash 1'),
    ('UPDATE economy.users SET created_at = created_at + interval ''1 us'' WHERE user_id = PLAYED', 'wrong_hash 1'),
    ('UPDATE economy.users SET timezone = ''Nowhere/Land'' WHERE user_id = PLAYED', 'a time zone that this server knows is timezone Nowhere/Land, wrong_hash 1'),
    ('UPDATE economy.users SET timezone = repeat(''x'', 600) WHERE user_id = PLAYED', 'a time zone that this server knows is timezone ' || repeat('x', 600) || ', wrong_hash 1'),
    ('UPDATE economy.users SET external_id = external_id || ''x'' WHERE user_id IN (PLAINS); UPDATE economy.users SET external_id = CASE WHEN external_id = ''pgtap plainx'' THEN ''pgtap plain 2'' ELSE ''pgtap plain'' END WHERE user_id IN (PLAINS)', 'broken_chain 0'),
    ('UPDATE economy.users SET created_at = pg_catalog.now() + interval ''1 h'' WHERE user_id IN (PLAINS)', 'broken_chain 0'),
    ('UPDATE economy.users SET timezone = ''Asia/Seoul'' WHERE user_id = USER', 'timezone Europe/Rome is timezone Asia/Seoul'),
    ('UPDATE economy.users SET profile = ''{}'' WHERE user_id = USER', 'profile {"z": 1, "nick": "ann", "pets": {"cat": 1, "dog": {"legs": 3}}} is profile {}'),
    ('UPDATE economy.accounts SET suspended = true WHERE user_id = USER', 'status active is status suspended'),
    ('UPDATE economy.accounts SET suspended = true WHERE user_id = PLAYED', 'status active is status suspended'),
    ('DELETE FROM economy.users WHERE user_id = PLAYED', 'orphan_row 1'),
    ('ALTER TABLE economy.user_changes DISABLE TRIGGER ALL; DELETE FROM economy.user_changes WHERE user_id = USER AND seq = 2', 'missing_entry 2'),
    ('ALTER TABLE economy.user_changes DISABLE TRIGGER ALL; UPDATE economy.user_changes SET actor = ''eve'' WHERE user_id = USER AND seq = 2', 'wrong_hash 2'),
    ('ALTER TABLE economy.user_changes DISABLE TRIGGER ALL; UPDATE economy.user_changes SET reason = ''none'' WHERE user_id = USER AND seq = 2', 'wrong_hash 2'),
    ('ALTER TABLE economy.user_changes DISABLE TRIGGER ALL; UPDATE economy.user_changes SET before = ''{}'' WHERE user_id = USER AND seq = 2', 'wrong_hash 2'),
    ('ALTER TABLE economy.user_changes DISABLE TRIGGER ALL; UPDATE economy.user_changes SET idempotency_key = ''k'' WHERE user_id = USER AND seq = 2', 'wrong_hash 2')) v (damage, finding);

-- a zone that the server's data no longer have is UTC
SAVEPOINT zone;
UPDATE economy.users SET timezone = 'Nowhere/Land' WHERE user_id = :played;
SELECT is((SELECT concat_ws(' ', c.code, c.claim_date = (pg_catalog.now() AT TIME ZONE 'UTC')::date) FROM economy.claim_daily_reward(:played) c), 'CLAIMED t', 'a zone that went keeps nobody from claiming');
SELECT is((SELECT economy.set_timezone(:played, 'Europe/Rome')), 'Europe/Rome', 'nor from moving on');
ROLLBACK TO SAVEPOINT zone;
SET LOCAL economy.test_clock = '2031-06-01 12:00+00';
SELECT is((SELECT c.code FROM economy.claim_daily_reward(:played) c), 'CLAIMED', 'a claim in a zone');
SET LOCAL session_replication_role = replica;
UPDATE economy.streaks SET timezone = 'Nowhere/Land' WHERE user_id = :played;
UPDATE economy.users SET timezone = 'Nowhere/Land' WHERE user_id = :played;
SET LOCAL session_replication_role = origin;
SET LOCAL economy.test_clock = '2031-06-02 12:00+00';
SELECT is((SELECT s.next_outcome FROM economy.streak_state(:played) s), 'CONTINUE', 'that went since then is UTC, to whoever looks');
SELECT is((SELECT count(*) FROM economy.streak_preview(:played, 3)), 3::bigint, 'and looks ahead');
SELECT is((SELECT concat_ws(' ', c.code, c.streak_day, to_char(c.claim_date, 'YYYY-MM-DD')) FROM economy.claim_daily_reward(:played) c), 'CLAIMED 2 2031-06-02', 'and to the next claim');
SELECT is((SELECT count(*) FROM economy.audit_sweep() f WHERE f.user_id = :played AND f.expected = 'a time zone that this server knows'), 1::bigint, 'of which the audit says that nobody knows it');
ROLLBACK TO SAVEPOINT zone;

-- a journal like the others
SELECT throws_ok('UPDATE economy.user_changes SET actor = NULL', 'XE101', NULL, 'append-only: no update');
SELECT throws_ok('DELETE FROM economy.user_changes', 'XE101', NULL, 'no delete');
SELECT throws_ok('TRUNCATE economy.user_changes', 'XE101', NULL, 'no truncate');
SELECT throws_ok(format('INSERT INTO economy.user_changes SELECT %s, 0, 0, 0, 0, 0, pg_catalog.now(), 0, 0, false, '''', ''status''', :u), '23514', NULL, 'no entry 0');
SELECT throws_ok(format('INSERT INTO economy.user_changes SELECT %s, 99, 1, 0, 0, 0, pg_catalog.now(), 0, 0, false, '''', ''status''', :u), '23514', NULL, 'no gold');
SELECT throws_ok(format('INSERT INTO economy.user_changes SELECT %s, 99, 0, 0, 0, 0, pg_catalog.now(), 0, 0, false, '''', ''level''', :u), '23514', NULL, 'no other field');
SELECT throws_ok('INSERT INTO economy.accounts (user_id) VALUES (-1)', '23502', NULL, 'no account without a beginning of its chain');

-- triggers and columns of a DBA on users
CREATE FUNCTION pg_temp.upper_zone() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
ALTER TABLE economy.users ADD COLUMN pgtap_note text DEFAULT 'x', ADD COLUMN pgtap_at timestamptz DEFAULT pg_catalog.now();
SELECT is(left(pg_temp.patch(:u, '{"q": 1}', 'dba1'), 6), 'new OK', 'with columns of a DBA');
CREATE TRIGGER pgtap_swallow BEFORE UPDATE ON economy.users FOR EACH ROW EXECUTE FUNCTION pg_temp.upper_zone();
SELECT throws_ok(format('SELECT economy.set_timezone(%s, ''UTC'')', :u), 'XE103', NULL, 'a trigger that swallows the change');
SELECT is((SELECT timezone FROM economy.users WHERE user_id = :u), 'Europe/Rome', 'leaves all as it was');
DROP TRIGGER pgtap_swallow ON economy.users;
SELECT is(economy.set_timezone(:u, 'UTC'), 'UTC', 'without it');
SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s)', :u), 'clean at the end');
SELECT * FROM finish();
ROLLBACK;
