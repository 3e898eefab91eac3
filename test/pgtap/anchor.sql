-- Anchors: what is kept outside finds a cut tail and a removed user, also when all
-- that knows of them inside was changed with them.
--
-- Run as superuser in a database without findings; ends with ROLLBACK.
BEGIN;
SELECT no_plan();
-- triggers are off here, which is a finding of its own
CREATE FUNCTION pg_temp.sweep() RETURNS SETOF economy.finding LANGUAGE sql AS $$ SELECT * FROM economy.audit_sweep() f WHERE f.kind <> 'wrong_schema' $$;
SELECT economy.register('pgtap anchored') AS u \gset
SELECT economy.register('pgtap removed') AS gone \gset
SELECT economy.register('pgtap silent') AS silent \gset
SELECT FROM economy.adjust_gold(:u, 100, 'k1', 'r', 'a') \g /dev/null
SELECT FROM economy.adjust_gold(:u, 50, 'k2', 'r', 'a') \g /dev/null
SELECT FROM economy.adjust_gold(:gone, 7, 'k', 'r', 'a') \g /dev/null
SELECT economy.register('pgtap paused') AS paused \gset
SELECT FROM economy.adjust_gold(:paused, 1, 'k1', 'r', 'a') \g /dev/null
SELECT economy.anchor() AS first \gset
SELECT is((SELECT row((a ->> 'users')::bigint = (SELECT count(*) FROM economy.accounts), (a ->> 'entries')::bigint = (SELECT sum(seq) FROM economy.accounts), length(a ->> 'digest'), length(a ->> 'signature'))::text
           FROM (SELECT :'first'::jsonb) v (a)), '(t,t,64,64)', 'an anchor counts users and entries');
SELECT is(economy.last_anchor(), :'first'::jsonb, 'the last one can be read again');
SELECT is_empty(format('SELECT * FROM economy.verify_anchor(%L)', :'first'), 'it agrees');
SELECT FROM economy.adjust_gold(:u, 3, 'k3', 'r', 'a') \g /dev/null
SELECT economy.register('pgtap newer') AS newer \gset
SELECT is_empty(format('SELECT * FROM economy.verify_anchor(%L)', :'first'), 'streams that went on, and new users, agree with it');
SELECT is((SELECT count(*) FROM economy.anchor_heads h WHERE h.user_id = :u), 1::bigint, 'a head is kept');
SELECT economy.anchor() AS second \gset
SELECT is(:'second'::jsonb ->> 'digest_before', :'first'::jsonb ->> 'digest', 'the next one holds the digest of the one before');
SELECT is((SELECT string_agg(h.seq::text, ' ' ORDER BY h.anchor_id) FROM economy.anchor_heads h WHERE h.user_id = :u), '2 3', 'and a new head where there are new entries');
SELECT is((SELECT count(*) FROM economy.anchor_heads h WHERE h.user_id = :gone), 1::bigint, 'but none where there are not');
SELECT is_empty(format('SELECT * FROM economy.verify_anchor(%L)', a), 'both agree') FROM (VALUES (:'first'), (:'second')) v (a);

ALTER TABLE economy.gold_adjustments DISABLE TRIGGER USER;
CREATE TEMP TABLE who AS SELECT :'u' AS u, :'gone' AS gone, :'silent' AS silent, :'first' AS first, :'second' AS second;
CREATE FUNCTION pg_temp.after(damage text, anchor text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
    w      who;
BEGIN
    SELECT * INTO w FROM who;
    EXECUTE replace(replace(replace(damage, '{u}', w.u), '{gone}', w.gone), '{silent}', w.silent);
    SELECT coalesce(string_agg(DISTINCT concat_ws(' ', CASE user_id::text WHEN w.u THEN 'u' WHEN w.gone THEN 'gone' WHEN w.silent THEN 'silent' ELSE user_id::text END, kind, seq), ', '), 'nothing') INTO answer
        FROM economy.verify_anchor((CASE anchor WHEN 'first' THEN w.first ELSE w.second END)::jsonb);
    RAISE EXCEPTION USING ERRCODE = 'XT000';
EXCEPTION WHEN SQLSTATE 'XT000' THEN
    RETURN answer;
END
$$;
-- who knows everything inside changes everything inside
CREATE FUNCTION pg_temp.cut() RETURNS text LANGUAGE sql AS $$
    SELECT 'DELETE FROM economy.gold_adjustments WHERE user_id = {u} AND seq = 3; UPDATE economy.accounts a SET seq = 2, gold = l.gold, head_hash = l.hash, position = l.position
        FROM economy.gold_adjustments l WHERE l.user_id = {u} AND l.seq = 2 AND a.user_id = {u};' $$;
CREATE FUNCTION pg_temp.remove(who text) RETURNS text LANGUAGE sql AS $$
    SELECT replace('DELETE FROM economy.gold_adjustments WHERE user_id = {x}; DELETE FROM economy.accounts WHERE user_id = {x}; DELETE FROM economy.users WHERE user_id = {x};', '{x}', who) $$;
CREATE FUNCTION pg_temp.resign() RETURNS text LANGUAGE sql AS $$
    SELECT 'DELETE FROM economy.anchor_buckets WHERE bucket > -9223372036854775808;
        INSERT INTO economy.anchor_buckets SELECT a.anchor_id, h.user_id >> 12, count(*), sum(h.seq), 0, 0, sha256(string_agg(int8send(h.user_id) || int8send(h.seq) || h.hash, '''' ORDER BY h.user_id))
            FROM economy.anchors a CROSS JOIN LATERAL (SELECT DISTINCT ON (k.user_id) k.* FROM economy.anchor_heads k WHERE k.anchor_id <= a.anchor_id ORDER BY k.user_id, k.anchor_id DESC) h GROUP BY 1, 2;
        UPDATE economy.anchors a SET digest = b.digest, users = b.users, entries = b.entries FROM (SELECT anchor_id, sum(users) AS users, sum(entries) AS entries, sha256(string_agg(digest, '''' ORDER BY bucket)) AS digest
            FROM economy.anchor_buckets GROUP BY 1) b WHERE a.anchor_id = b.anchor_id;
        UPDATE economy.anchors a SET digest_before = b.digest FROM economy.anchors b WHERE b.anchor_id = a.anchor_id - 1' $$;
SELECT is(pg_temp.after(damage, anchor), found, what)
FROM (VALUES
    ('a cut tail',                         'second', 'u missing_entry 3',    pg_temp.cut()),
    ('of which an older one knows nothing', 'first', 'nothing',              pg_temp.cut()),
    ('a removed user',                     'second', 'gone orphan_row 1',    pg_temp.remove('{gone}')),
    ('an older anchor knows, too',         'first',  'gone orphan_row 1',    pg_temp.remove('{gone}')),
    ('a removed user without entries',     'second', 'silent orphan_row 0',  pg_temp.remove('{silent}')),
    ('a removed user, with the heads',     'second', 'wrong_anchor',         pg_temp.remove('{gone}') || 'DELETE FROM economy.anchor_heads WHERE user_id = {gone}'),
    ('a cut tail, with the head',          'second', 'wrong_anchor',         pg_temp.cut() || 'DELETE FROM economy.anchor_heads WHERE user_id = {u} AND seq = 3'),
    ('and with all that was computed of it', 'second', 'wrong_anchor',       pg_temp.remove('{gone}') || 'DELETE FROM economy.anchor_heads WHERE user_id = {gone};' || pg_temp.resign()),
    ('no anchors at all',                  'second', 'gone orphan_row 1, wrong_anchor', pg_temp.remove('{gone}') || 'DELETE FROM economy.anchors'),
    ('an entry with another hash',         'second', 'u wrong_hash 3',       'UPDATE economy.gold_adjustments SET hash = sha256(hash) WHERE user_id = {u} AND seq = 3')
) v (what, anchor, found, damage);
SELECT is((SELECT string_agg(f.kind || ': ' || f.actual, ', ') FROM economy.verify_anchor(jsonb_set(:'second'::jsonb, ARRAY[member], value::jsonb)) f),
          'wrong_anchor: WRONG_SIGNATURE', 'a changed ' || member || ' is no anchor of this database')
FROM (VALUES ('users', '1'), ('entries', '1'), ('anchor_id', '1'), ('taken_at', '"2020-01-01 00:00:00+00"'), ('digest', to_json(repeat('00', 32))::text),
             ('digest_before', to_json(repeat('00', 32))::text), ('signature', to_json(repeat('00', 32))::text)) v (member, value);
SELECT throws_ok(format('SELECT * FROM economy.verify_anchor(%L)', a), 'XE002', 'this is no anchor', left(a, 60))
FROM (VALUES ('[]'), ('[[]]'), ('7'), ('null'), ('""'), ('true'), ('{}'), ('{"digest": "xyz"}'), ('{"anchor_id": "x"}'), ('{"version": 9}'), (json_build_object('a', repeat('x', 1000000))::text)) v (a);
SELECT throws_ok(format('SELECT * FROM economy.verify_anchor(%L)', jsonb_set(:'second', ARRAY[member], value::jsonb)), 'XE002', 'this is no anchor', format('%s is %s', member, left(value, 40)))
FROM jsonb_object_keys(:'second') member,
     (VALUES ('null'), ('[]'), ('{}'), ('true'), ('""'), ('"x"'), ('1.5'), ('1e400'), ('-1e40'), ('9223372036854775808'), ('"now"'), ('"0"'), (to_json(repeat('00', 100000))::text), (to_json(upper(repeat('ab', 32)))::text)) v (value);
SELECT throws_ok(format('SELECT * FROM economy.verify_anchor(%L)', :'second'::jsonb - member), 'XE002', 'this is no anchor', 'without ' || member) FROM jsonb_object_keys(:'second') member;
SELECT is((SELECT string_agg(f.actual, ', ') FROM economy.verify_anchor(jsonb_set(:'second', '{key_version}', v)) f), 'UNKNOWN_KEY', format('key version %s', v)) FROM (VALUES (jsonb '0'), ('-1'), ('2147483647')) k (v);
SET LOCAL TimeZone = 'Pacific/Chatham'; SET LOCAL DateStyle = 'German';
SELECT is_empty(format('SELECT * FROM economy.verify_anchor(%L)', jsonb_set(:'second', '{taken_at}', to_jsonb(replace(:'second'::jsonb ->> 'taken_at', '+00:00', 'Z'))) || '{"kept": "in a safe"}'),
                'the time in another spelling, and what the keeper added');
RESET TimeZone; RESET DateStyle;
SELECT throws_ok('SELECT * FROM economy.verify_anchor(NULL)', 'XE001', 'anchor must not be null', 'no anchor');

-- what is inside against what was kept
CREATE FUNCTION pg_temp.differs(change text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
    w      who;
BEGIN
    SELECT * INTO w FROM who;
    EXECUTE 'UPDATE economy.anchors SET ' || change || ' WHERE anchor_id = ' || (w.second::jsonb ->> 'anchor_id');
    SELECT string_agg(regexp_replace(f.expected, E'\\d+|[0-9a-f]{64}', 'n', 'g'), ', ' ORDER BY f.expected) INTO answer FROM economy.verify_anchor(w.second::jsonb) f;
    RAISE EXCEPTION USING ERRCODE = 'XT000';
EXCEPTION WHEN SQLSTATE 'XT000' THEN
    RETURN coalesce(answer, 'nothing');
END
$$;
SELECT is(pg_temp.differs(change), says, 'inside: ' || change)
FROM (VALUES ('users = users + 1', 'anchor n with digest n, anchor n: the digest of its buckets'), ('entries = entries + 1', 'anchor n with digest n, anchor n: the digest of its buckets'), ('digest = sha256(digest)', 'anchor n with digest n, anchor n: the digest of its buckets'),
    ('signature = NULL', 'anchor n with digest n'), ('taken_at = taken_at - interval ''1 day''', 'nothing')) v (change, says);
-- digests have 32 bytes
SELECT throws_ok(format('SELECT economy_internal.anchor_sign(1, ''2031-01-01'', 1, 1, %s)', digests), 'XE002', 'an anchor needs its numbers and two digests of 32 bytes', digests)
FROM unnest(ARRAY['sha256(''x''), substr(sha256(''x''), 1, 31)', 'sha256(''x'') || ''x'', sha256(''x'')', 'NULL, sha256(''x'')', 'sha256(''x''), NULL']) digests;
SELECT is(economy_internal.anchor_check(1, '2031-01-01', 1, 1, sha256('x'), b, 1, sha256('x')), 'WRONG_SIGNATURE', 'nothing is signed of ' || coalesce(length(b) || ' bytes', 'null')) FROM unnest(ARRAY[''::bytea, substr(sha256('x'), 1, 31), NULL]) b;
SELECT is(economy_internal.anchor_check(1, '2031-01-01', 1, 1, sha256('x'), sha256('x'), v, s), 'WRONG_SIGNATURE', 'by nobody') FROM (VALUES (NULL::integer, sha256('x')), (1, NULL), (NULL, NULL)) k (v, s);

-- the sweep asks the anchors as well
CREATE FUNCTION pg_temp.swept(damage text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
    w      who;
BEGIN
    SELECT * INTO w FROM who;
    EXECUTE replace(replace(replace(damage, '{u}', w.u), '{gone}', w.gone), '{silent}', w.silent);
    SELECT coalesce(string_agg(DISTINCT concat_ws(' ', CASE user_id::text WHEN w.u THEN 'u' WHEN w.gone THEN 'gone' WHEN w.silent THEN 'silent' END, kind), ', '), 'nothing') INTO answer FROM pg_temp.sweep();
    RAISE EXCEPTION USING ERRCODE = 'XT000';
EXCEPTION WHEN SQLSTATE 'XT000' THEN
    RETURN answer;
END
$$;
SELECT is(pg_temp.swept(damage), found, 'sweep: ' || what)
FROM (VALUES
    ('a cut tail',            'u missing_entry',   pg_temp.cut()),
    ('a removed user',        'gone orphan_row',   pg_temp.remove('{gone}')),
    ('a changed signature',   'wrong_anchor',      'UPDATE economy.anchors SET signature = sha256(signature) WHERE anchor_id = (SELECT max(anchor_id) FROM economy.anchors)'),
    ('an anchor less',        'u wrong_anchor, wrong_anchor',      'DELETE FROM economy.anchors WHERE anchor_id = (SELECT max(anchor_id) FROM economy.anchors)'),
    ('a bucket',              'wrong_anchor',      'UPDATE economy.anchor_buckets SET users = users + 1 WHERE anchor_id = (SELECT max(anchor_id) FROM economy.anchors)'),
    ('a head of the past',    'wrong_anchor',      'UPDATE economy.anchor_heads SET hash = sha256(hash) WHERE user_id = {u} AND seq = 2'),
    ('the configuration''s past', 'wrong_anchor, wrong_config', 'UPDATE economy.anchor_config SET hash = sha256(hash) WHERE relation = ''signing_keys'' AND key = ''1'' AND change_no = 1')
) v (what, found, damage);

-- the last ones are kept
SELECT FROM economy.adjust_gold(:u, 4, 'k4', 'r', 'a') \g /dev/null
SELECT FROM economy.adjust_gold(:paused, 1, 'k2', 'r', 'a') \g /dev/null
SELECT economy.anchor(2) AS third \gset
SELECT is((SELECT count(*) FROM economy.anchors), 2::bigint, 'two are kept');
SELECT throws_ok(format('SELECT * FROM economy.verify_anchor(%L)', :'first'), 'XE002', NULL, 'the first is not verifiable any more');
SELECT is_empty(format('SELECT * FROM economy.verify_anchor(%L)', :'second'), 'the second is');
SELECT is((SELECT string_agg(h.seq::text, ' ' ORDER BY h.anchor_id) FROM economy.anchor_heads h WHERE h.user_id = :u), '3 4', 'with the heads that they need');
SELECT is((SELECT string_agg(h.seq::text, ' ' ORDER BY h.anchor_id) FROM economy.anchor_heads h WHERE h.user_id = :paused), '1 2', 'also of before them, where the stream had paused');
SELECT is((SELECT count(*) FROM economy.anchor_heads h WHERE h.user_id = :gone), 1::bigint, 'and those that still stand');
SELECT throws_ok('SELECT economy.' || call, 'XE001', what || ' must not be null', call) FROM (VALUES ('anchor(NULL)', 'keep'), ('anchor_step(1, NULL)', 'keep'), ('anchor_step(NULL)', 'max_users')) v (call, what);
SELECT throws_ok('SELECT economy.anchor(0)', 'XE002', 'max_users and keep must be 1 or more', 'none is not enough');

-- one is taken in parts
SELECT economy.anchor_step(1) > 0 AS more \gset
SELECT is(:'more'::boolean, true, 'a part');
SELECT is((SELECT count(*) FROM economy.anchors a WHERE a.signature IS NULL), 1::bigint, 'one is being taken');
SELECT is_empty('SELECT * FROM pg_temp.sweep()', 'which is no finding');
SELECT is((economy.last_anchor() ->> 'anchor_id')::bigint, (SELECT max(a.anchor_id) FROM economy.anchors a WHERE a.next_user IS NULL), 'and not the last one, which is the one before it');
SELECT is((SELECT count(*) FROM generate_series(1, 10000) n WHERE n = 1 AND economy.anchor() IS NOT NULL), 1::bigint, 'anchor() goes on with it');
SELECT is_empty('SELECT * FROM economy.verify_anchor(economy.last_anchor())', 'and it agrees');
-- a retired key cannot be asked any more: the rest can
SELECT economy.last_anchor() AS old \gset
SELECT economy.rotate_signing_key() - 1 AS version \gset
SELECT is(economy.retire_signing_key(:version), true, 'its key is retired');
SELECT is_empty(format('SELECT * FROM economy.verify_anchor(%L)', :'old'), 'and it agrees all the same');
SELECT is_empty('SELECT * FROM pg_temp.sweep()', 'clean after all damage was undone');

-- nothing of a key, retired or not, can be changed unnoticed
SELECT matches(pg_temp.swept(format('UPDATE economy.signing_keys SET %s WHERE version = %s', change, k.version)), 'wrong_config', format('a key that is %s: %s', k.state, change))
FROM (SELECT DISTINCT ON (state) state, version FROM economy.signing_keys ORDER BY state, version) k,
     (VALUES ('active verify_only retired', 'version = version + 1000'), ('active verify_only retired', 'created_at = created_at + interval ''1 second'''),
             ('active verify_only retired', 'first_position = first_position - 1'), ('active verify_only retired', 'first_position = first_position + 1'),
             ('active verify_only retired', 'material = sha256(''x'')'), ('retired', 'last_position = last_position + 1'), ('retired', 'retired_at = retired_at + interval ''1 second'''),
             ('retired', 'state = ''verify_only'', retired_at = NULL, last_position = NULL, material = sha256(''x'')'), ('active', 'state = ''verify_only'''), ('verify_only', 'state = ''next''')) c (states, change)
WHERE k.state = ANY (string_to_array(c.states, ' '));
SELECT is((SELECT count(*) FROM economy.signing_keys WHERE state = 'retired') > 0, true, 'of which one is retired');
-- what an anchor holds is what the accounts are, bucket by bucket, in parts of any size
SAVEPOINT s;
SELECT (last_value / 4096 + 1) * 4096 AS base FROM economy.user_id_seq \gset
CREATE TEMP TABLE edge AS
    SELECT setval('economy.user_id_seq', :base + n, false) AS x, economy.register('pgtap bucket ' || n) AS user_id FROM unnest(ARRAY[0, 1, 2047, 2048, 4094, 4095, 4096, 8191, 8192]) n;
SELECT is((SELECT array_agg((user_id & 281474976710655) - :base ORDER BY user_id)::text FROM edge), '{0,1,2047,2048,4094,4095,4096,8191,8192}', 'users at the ends of buckets');
SELECT count(*) AS x FROM edge e, generate_series(1, 3) k, economy.grant_reward(e.user_id, 'pgtap', 'k' || k, 10 * k, k) WHERE e.x % 2 = 0 \gset
CREATE FUNCTION pg_temp.held(step integer) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    WHILE economy.anchor_step(step) > 0 LOOP
    END LOOP;
    RETURN NEXT is_empty($q$WITH b AS (SELECT * FROM economy.anchor_buckets b WHERE b.anchor_id = (SELECT max(a.anchor_id) FROM economy.anchors a) AND b.bucket > -9223372036854775807), w AS (
            SELECT div(a.user_id, 4096)::bigint AS bucket, count(*) AS users, sum(a.seq)::bigint AS entries, sum(a.gold) AS gold, sum(a.experience_points) AS xp,
                   sha256(string_agg(int8send(a.user_id) || int8send(a.seq) || a.head_hash, '' ORDER BY a.user_id)) AS digest FROM economy.accounts a GROUP BY 1)
        SELECT * FROM b FULL JOIN w USING (bucket, users, entries, gold, xp, digest) WHERE b.anchor_id IS NULL OR w.users IS NULL$q$, 'buckets, taken by ' || step);
    RETURN NEXT is_empty('SELECT a.user_id, a.seq, a.head_hash FROM economy.accounts a EXCEPT SELECT DISTINCT ON (h.user_id) h.user_id, h.seq, h.hash FROM (SELECT * FROM economy.anchor_heads x ORDER BY x.user_id, x.anchor_id DESC) h', 'with the heads that they are of');
END
$$;
SELECT pg_temp.held(step) FROM unnest(ARRAY[1, 3, 50000]) step;
-- a head that is another at the same entry is another head
UPDATE economy.accounts SET head_hash = sha256(head_hash) WHERE user_id = (SELECT min(user_id) FROM edge);
SELECT pg_temp.held(2);
SELECT is((SELECT count(DISTINCT hash) || ' ' || count(DISTINCT seq) FROM economy.anchor_heads WHERE user_id = (SELECT min(user_id) FROM edge)), '2 1', 'of one entry two heads');
ROLLBACK TO s;
-- of the configuration, too, what the kept ones need stays: of each key, however often another changes
SELECT economy.upsert_product('{"product_id": "pgtap_still", "category": "item", "price_gold": 1}', 'pgtap') IS NULL AS x \gset
CREATE FUNCTION pg_temp.moved(n integer) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM economy.upsert_product(jsonb_build_object('product_id', 'pgtap_moves', 'category', 'item', 'price_gold', n), 'pgtap');
    PERFORM economy.anchor(2);
    RETURN NEXT is_empty('SELECT * FROM economy_internal.audit_anchors()', 'a product changed for the time ' || n);
END
$$;
SELECT pg_temp.moved(n) FROM generate_series(1, 4) n;
UPDATE economy_internal.config_heads SET hash = sha256(hash) WHERE relation = 'shop_products' AND key = 'pgtap_still';
SELECT economy.anchor(9) AS x \gset
SELECT is((SELECT count(DISTINCT hash) || ' ' || count(DISTINCT change_no) FROM economy.anchor_config WHERE key = 'pgtap_still'), '2 1', 'another hash of the same change is another head');
-- a stream that was empty goes on, and one that ended at its checkpoint
SELECT economy.register('pgtap begins') AS begins, economy.register('pgtap ends') AS ends \gset
SELECT count(*) AS x FROM generate_series(1, 2) n, economy.record_action(:ends, 'slot', 'T', n::text) \gset
SELECT economy_internal.prune_stream(:ends, 2) AS x, economy.anchor(9) AS empty \gset
SELECT success AS x FROM economy.adjust_gold(:begins, 1, 'k', 'r', 'a') \gset
SELECT is_empty(format('SELECT * FROM economy.verify_anchor(%L)', :'empty'), 'first entries agree with an anchor of before');
ALTER TABLE economy.user_actions DISABLE TRIGGER USER;
DELETE FROM economy.user_actions WHERE user_id = :ends AND seq = 2;
SELECT is((SELECT string_agg(f.kind || ' ' || f.seq, ', ') FROM economy_internal.audit_anchored(:ends, :ends) f), 'missing_entry 2', 'the entry at a checkpoint is one that must be there');
UPDATE economy.anchor_heads SET anchor_id = 0 WHERE user_id = :begins;
SELECT is((SELECT string_agg(f.kind || ' ' || f.actual, ', ') FROM economy_internal.audit_anchored(:begins, :begins) f), 'wrong_anchor anchor 0', 'there is no anchor 0');
UPDATE economy.anchor_heads SET seq = -1 WHERE user_id = :begins;
SELECT is((SELECT count(*) FROM economy_internal.anchor_compare(9223372036854775807, :begins, :begins)), 1::bigint, 'nor an entry before the first');
-- one that is taken out is missed, though all about it are alike
ROLLBACK TO s;
SELECT count(economy.anchor()) AS x FROM generate_series(1, 3) \gset
SELECT is_empty('SELECT * FROM economy_internal.audit_anchors()', 'three that are alike');
SELECT economy_internal.anchor_document(a) AS middle FROM economy.anchors a WHERE a.anchor_id = (SELECT max(anchor_id) - 1 FROM economy.anchors) \gset
DELETE FROM economy.anchor_buckets WHERE anchor_id = (SELECT max(anchor_id) - 1 FROM economy.anchors);
DELETE FROM economy.anchors WHERE anchor_id = (SELECT max(anchor_id) - 1 FROM economy.anchors);
SELECT is((SELECT count(*) FROM economy_internal.audit_anchors()), 1::bigint, 'one less');
SELECT is((SELECT string_agg(f.kind || ' ' || f.actual, ', ') FROM economy.verify_anchor(:'middle') f), 'wrong_anchor nothing', 'as says who kept it');
ROLLBACK TO s;
-- whose key is retired, for that the one behind it vouches
SELECT count(economy.anchor()) AS x FROM generate_series(1, 2) \gset
SELECT economy.rotate_signing_key() AS x \gset
SELECT economy.retire_signing_key((SELECT max(a.key_version) FROM economy.anchors a)) AS x \gset
SELECT is_empty('SELECT * FROM economy_internal.audit_anchors()', 'anchors of a key that is retired');
UPDATE economy.anchors SET digest_before = sha256('x') WHERE anchor_id = (SELECT max(anchor_id) FROM economy.anchors);
SELECT is((SELECT string_agg(f.kind || ' ' || f.actual, ', ') FROM economy_internal.audit_anchors() f), 'wrong_anchor KEY_RETIRED', 'the one before is another one');
ROLLBACK TO s;
-- one that is signed is not gone on with, whatever says so
SELECT economy.anchor() ->> 'anchor_id' AS whole \gset
UPDATE economy.anchors SET next_user = '-9223372036854775808' WHERE anchor_id = :whole;
SELECT is((economy.anchor() ->> 'anchor_id')::bigint, :whole::bigint + 1, 'another one is begun');
ROLLBACK TO s;
-- the first one, and one of users up to the last id that there can be
DELETE FROM economy.anchors; DELETE FROM economy.anchor_heads; DELETE FROM economy.anchor_config; DELETE FROM economy.anchor_buckets;
SELECT is(economy.last_anchor(), NULL, 'no anchor was taken');
INSERT INTO economy.accounts (user_id, head_hash) VALUES (9223372036854775807, sha256('x'));
SELECT economy.anchor() AS one \gset
SELECT is((SELECT concat_ws(' ', a ->> 'anchor_id', a ->> 'digest_before', a ->> 'users') FROM (SELECT :'one'::jsonb) v (a)), format('1 %s %s', repeat('00', 32), (SELECT count(*) FROM economy.accounts)), 'the first goes on from zeros');
SELECT is((SELECT max(bucket) FROM economy.anchor_buckets), 9223372036854775807 >> 12, 'up to the last bucket');
SELECT is_empty(format('SELECT * FROM economy.verify_anchor(%L)', :'one'), 'and agrees');
ROLLBACK TO s;
SELECT is_empty('SELECT * FROM pg_temp.sweep()', 'clean in the end');
SELECT * FROM finish();
ROLLBACK;
