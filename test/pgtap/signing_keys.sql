-- Keys: more of them than a backend keeps at hand, of a length that is none, and the
-- positions at which one that was retired could sign.
BEGIN;
SELECT no_plan();
SELECT economy.register('pgtap keys') AS u \gset
SELECT economy.upsert_product('{"product_id": "pgtap_keys", "category": "item", "price_gold": 0}', 'pgtap') IS NULL AS x \gset
CREATE TEMP TABLE who AS SELECT :u::bigint AS u;
CREATE FUNCTION pg_temp.buy(key text) RETURNS text LANGUAGE sql AS $$ SELECT p.transaction_id FROM economy.purchase((SELECT u FROM who), 'pgtap_keys', key) p $$;
-- what verifies, in the order that is said
CREATE FUNCTION pg_temp.reasons(ids text[]) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(DISTINCT v.reason, ' ') FROM unnest(ids) i, economy.verify_receipt((SELECT u FROM who), i) v
$$;
CREATE FUNCTION pg_temp.findings() RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(concat_ws(' ', f.kind, replace(f.entry, (SELECT u || '-' FROM who), 'U-'), f.expected || ', not ' || f.actual), '; ' ORDER BY f.seq, f.kind), 'nothing')
    FROM economy.verify_chain((SELECT u FROM who)) f
$$;

-- each of 40 keys signs once; a backend keeps 16 at hand
SELECT pg_temp.buy('one') \g /dev/null
CREATE TEMP TABLE signed AS SELECT n, economy.rotate_signing_key() AS version, pg_temp.buy('many ' || n) AS id FROM generate_series(1, 40) n;
SELECT is((SELECT count(DISTINCT t.receipt_signature_version) FROM economy.shop_transactions t WHERE t.user_id = :u), 41::bigint, '41 keys have signed');
SELECT is((SELECT count(*) FROM signed s JOIN economy.shop_transactions t ON t.user_id = :u AND s.id = 'P' || t.user_id || '-' || t.seq AND s.version = t.receipt_signature_version), 40::bigint,
          'each what was bought when it was active');
SELECT is(pg_temp.findings(), 'nothing', 'one verification takes them all');
SELECT is(pg_temp.reasons((SELECT array_agg(s.id ORDER BY r, s.n) FROM signed s, generate_series(1, 3) r)), 'OK', 'again and again, the oldest first');
SELECT is(pg_temp.reasons((SELECT array_agg(s.id ORDER BY r, s.n DESC) FROM signed s, generate_series(1, 3) r)), 'OK', 'the newest first');
SELECT is(pg_temp.reasons((SELECT array_agg(s.id ORDER BY r, s.n * 7 % 17, s.n) FROM signed s, generate_series(1, 20) r WHERE s.n <= 17)), 'OK', 'one more than are kept, in turn');
SELECT is(pg_temp.reasons((SELECT array_agg(s.id ORDER BY sha256(convert_to(r || ' ' || s.n, 'UTF8'))) FROM signed s, generate_series(1, 20) r)), 'OK', 'in no order');

-- a signature is that of its key, and of no other that is at hand
CREATE TEMP TABLE signatures (version integer, signature bytea);
CREATE FUNCTION pg_temp.check(by integer, of integer) RETURNS text LANGUAGE sql AS $$
    SELECT economy_internal.anchor_check(1, '2031-01-01', 1, 1, sha256('1'), sha256('2'), by, s.signature) FROM signatures s WHERE s.version = of
$$;
DO $$
BEGIN
    FOR i IN 1 .. 40 LOOP
        PERFORM economy.rotate_signing_key();
        INSERT INTO signatures SELECT (s).* FROM (SELECT economy_internal.anchor_sign(1, '2031-01-01', 1, 1, sha256('1'), sha256('2')) AS s) a;
    END LOOP;
END
$$;
SELECT is((SELECT string_agg(DISTINCT pg_temp.check(a.version, b.version), ' ') FROM signatures a, signatures b WHERE a.version = b.version), 'OK', 'the key that has signed');
SELECT is((SELECT string_agg(DISTINCT pg_temp.check(a.version, b.version), ' ') FROM signatures a, signatures b WHERE a.version <> b.version), 'WRONG_SIGNATURE', 'and each of 39 others');

-- what makes room for another is given back: the memory of this backend
CREATE FUNCTION pg_temp.resident_kb() RETURNS bigint LANGUAGE sql AS
    $$ SELECT split_part(pg_read_file('/proc/' || pg_backend_pid() || '/statm'), ' ', 2)::bigint * 4 $$;
CREATE FUNCTION pg_temp.in_turn(rounds integer) RETURNS bigint LANGUAGE sql AS
    $$ SELECT count(*) FILTER (WHERE pg_temp.check(s.version, s.version) = 'OK') FROM generate_series(1, rounds), signatures s $$;
SELECT is(pg_temp.in_turn(50), 2000::bigint, 'all verify');
SELECT pg_temp.resident_kb() AS before \gset
SELECT is(pg_temp.in_turn(500), 20000::bigint, 'and 20,000 times again');
-- AddressSanitizer holds back on purpose what was freed
SELECT cmp_ok(CASE WHEN pg_read_file('/proc/' || pg_backend_pid() || '/maps') ~ 'libasan' THEN 0 ELSE pg_temp.resident_kb() - :before END, '<', 8000::bigint,
              'without memory that is not given back');

-- material of another length is no key
SELECT economy.rotate_signing_key() AS version \gset
SELECT pg_temp.buy('damaged') AS id \gset
SELECT economy.rotate_signing_key() AS next \gset
CREATE FUNCTION pg_temp.with_material(v integer, id text, change text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    EXECUTE format('UPDATE economy.signing_keys SET material = %s WHERE version = %s', change, v);
    PERFORM economy.rotate_signing_key();
    SELECT concat_ws('|', r.reason, pg_temp.findings()) INTO answer FROM economy.verify_receipt((SELECT u FROM who), id) r;
    RAISE EXCEPTION USING ERRCODE = 'XT000';
EXCEPTION WHEN SQLSTATE 'XT000' THEN
    RETURN replace(answer, v::text, 'V');
END
$$;
SELECT is(pg_temp.with_material(:version, :'id', change), format(found, replace(:'id', :'u' || '-', 'U-')), change)
FROM (VALUES ('material', 'OK|nothing'),
             ('substr(material, 1, 31)', 'UNKNOWN_KEY|wrong_signature %s a known key version, not version V'),
             ('material || decode(''00'', ''hex'')', 'UNKNOWN_KEY|wrong_signature %s a known key version, not version V'),
             ('''''', 'UNKNOWN_KEY|wrong_signature %s a known key version, not version V'),
             ('repeat(''x'', 64)::bytea', 'UNKNOWN_KEY|wrong_signature %s a known key version, not version V'),
             ('sha256(material)', 'WRONG_SIGNATURE|wrong_signature %s a signature by key version V, not another')) v (change, found);
SELECT is(pg_temp.findings(), 'nothing', 'nothing of that stays');

-- a retired key could sign from one position to another, both of them included
SELECT position AS at FROM economy.shop_transactions t WHERE t.user_id = :u AND t.idempotency_key = 'damaged' \gset
SELECT economy.retire_signing_key(:version) AS x \gset
SELECT is(pg_temp.findings(), 'nothing', 'what it signed in its time is no finding');
CREATE FUNCTION pg_temp.life(v integer, first bigint, last bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    EXECUTE format('UPDATE economy.signing_keys SET first_position = %s, last_position = %s WHERE version = %s', first, last, v);
    PERFORM economy.rotate_signing_key();
    answer := pg_temp.findings();
    RAISE EXCEPTION USING ERRCODE = 'XT000';
EXCEPTION WHEN SQLSTATE 'XT000' THEN
    RETURN answer;
END
$$;
SELECT is(pg_temp.life(:version, :at, :at), 'nothing', 'at its only position');
SELECT is(replace(pg_temp.life(:version, :at + f, :at + l), replace(:'id', :'u' || '-', 'U-'), 'U'),
          format('wrong_signature U a position from %s to %s, when key version %s could sign, not position %s', :at + f, :at + l, :version, :at::bigint), format('a life from %s to %s beside it', f, l))
FROM (VALUES (-5, -1), (1, 5)) v (f, l);

-- an older key behind a newer, be both retired: of entries that could be of its time by their place
SELECT economy.rotate_signing_key() AS older \gset
SELECT pg_temp.buy('older'), pg_temp.buy('older, too') \g /dev/null
SELECT economy.rotate_signing_key() AS newer \gset
SELECT pg_temp.buy('newer'), pg_temp.buy('newer, too'), pg_temp.buy('newer, again') \g /dev/null
SELECT economy.rotate_signing_key() AS x, economy.retire_signing_key(:older) AS y, economy.retire_signing_key(:newer) AS z \gset
SELECT is(pg_temp.findings(), 'nothing', 'several entries of each of two retired keys are no finding');
ALTER TABLE economy.shop_transactions DISABLE TRIGGER USER;
UPDATE economy.shop_transactions SET receipt_signature_version = :older WHERE user_id = :u AND idempotency_key IN ('newer, too', 'newer, again');
SELECT is((SELECT string_agg(f.expected || ', not ' || f.actual, '; ') FROM economy.verify_chain(:u) f WHERE f.kind = 'wrong_signature'),
          format('key version %1$s or newer, not version %2$s, retired; key version %1$s or newer, not version %2$s, retired', :newer, :older), 'an older one behind a newer is, and again behind that');
-- of several active keys, which only a hand makes, none stays so
UPDATE economy.signing_keys SET state = 'active' WHERE version IN (SELECT version FROM economy.signing_keys WHERE state = 'verify_only' ORDER BY version DESC LIMIT 2);
SELECT economy.rotate_signing_key() AS last \gset
SELECT is((SELECT array_agg(version) FROM economy.signing_keys WHERE state = 'active'), ARRAY[:last], 'one key is active');

-- a new version is above all that anything says was used, also where a dump left the keys out
ALTER TABLE economy.config_changes DISABLE TRIGGER USER;
SELECT anchor IS NULL AS x FROM economy.anchor() anchor \gset
CREATE FUNCTION pg_temp.next_version(change text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    EXECUTE change;
    answer := economy.rotate_signing_key();
    RAISE EXCEPTION USING ERRCODE = 'XT000';
EXCEPTION WHEN SQLSTATE 'XT000' THEN
    RETURN answer;
END
$$;
SELECT is(pg_temp.next_version(change), want::text, left(change, 60))
FROM (VALUES ('SELECT', :last + 1),
             ('UPDATE economy.config_changes SET key = ''1000'' WHERE relation = ''signing_keys'' AND key = ''1''', 1001),
             ('INSERT INTO economy.stream_checkpoints (user_id, seq, gold, experience_points, hash, links_before, links, gone, gone_keys, archived, proved_seq, key_version, signature, created_at)
               SELECT u, 1, 0, 0, h, h, h, h, h, h, 1, 1000, h, now() FROM who, sha256(''x'') h', 1001),
             ('UPDATE economy.anchors SET key_version = 1000', 1001),
             ('UPDATE economy.shop_transactions SET receipt_signature_version = 1000 WHERE user_id = (SELECT u FROM who); DELETE FROM economy.signing_keys', 1001)) v (change, want);
SELECT * FROM finish();
ROLLBACK;
