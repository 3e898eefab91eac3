-- The hash chain and the signatures, recomputed in SQL from the description of
-- the format alone (src/core/encode.h; own columns in the order of the library).
BEGIN;
SELECT plan(29);

SELECT economy.register('pgtap was', 'Europe/Rome', '{"a": 1}') AS u \gset
SELECT count(*) AS x FROM (VALUES
    ('{"product_id": "pgtap_item", "category": "item", "price_gold": 10, "effect_code": "glow", "monetary": 5}'),
    ('{"product_id": "pgtap_conv", "category": "conversion", "granted_gold": 100}')) v (product), economy.upsert_product(product::jsonb, 'pgtap') \gset
SELECT economy.add_stock('pgtap_item', 100, 'pgtap') AS x \gset
SELECT success AS x FROM economy.adjust_gold(:u, 1000, 'open', E'gr\u00fc\u00dfe \u20ac', 'ann') \gset
SELECT success AS x FROM economy.purchase(:u, 'pgtap_item', 'k1', 2) \gset
SELECT success AS x FROM economy.purchase(:u, 'pgtap_conv', 'k2', 3, E'{"b": [1, 2.50, null, {"x": "\\u20ac\\n"}], "a": true}') \gset
SELECT success AS x FROM economy.adjust_gold(:u, -7, E'key "\\\x01', 'r', 'a') \gset
SELECT success AS x FROM economy.purchase(:u, 'pgtap_conv', repeat('k', 255), 1, '{}') \gset
SELECT success AS x FROM economy.purchase(:u, 'pgtap_item', 'big', 1, jsonb_build_object('t', repeat('x', 4000))) \gset
SELECT success AS x FROM economy.grant_reward(:u, 'pgtap', 'e1', 5, 600, '{"why": "test"}') \gset
SELECT success AS x FROM economy.grant_reward(:u, 'pgtap', 'e2', 0, 0) \gset
SET LOCAL economy.test_clock = '1999-12-31 23:59:59.999999+00';
SELECT success AS x FROM economy.claim_daily_reward(:u) \gset
SELECT economy.rotate_signing_key() AS x \gset
SET LOCAL economy.test_clock = '2031-01-31 12:00:00.000001+00';
SELECT success AS x FROM economy.purchase(:u, 'pgtap_item', 'late') \gset
SELECT success AS x FROM economy.update_profile(:u, E'{"a": null, "b": "\\u20ac"}', 'profile', 'ann') \gset
SELECT success AS x FROM economy.unlink_external_id(:u, 'unlink') \gset
SELECT success AS x FROM economy.link_external_id(:u, 'pgtap chain', 'link') \gset
SELECT economy.set_user_status(:u, 'suspended', 'ann', reason => 'a test') AS x, economy.set_user_status(:u, 'active', 'ann') AS y, economy.set_timezone(:u, 'Asia/Tokyo') AS z \gset
SELECT success AS x FROM economy.revoke_reward(:u, 'R' || :u || '-7', 'a mistake', 'ann') \gset

CREATE FUNCTION pg_temp.int_field(value bigint) RETURNS bytea LANGUAGE sql AS
    $$ SELECT CASE WHEN value IS NULL THEN E'\\x00'::bytea ELSE E'\\x01'::bytea || int8send(value) END $$;
CREATE FUNCTION pg_temp.text_field(value text) RETURNS bytea LANGUAGE sql AS
    $$ SELECT CASE WHEN value IS NULL THEN E'\\x00'::bytea
              ELSE E'\\x02'::bytea || int4send(octet_length(value)) || convert_to(value, getdatabaseencoding()) END $$;
-- the columns that open every journal, but for the hash
CREATE FUNCTION pg_temp.header(letter text, e economy.ledger) RETURNS bytea LANGUAGE sql AS $$
    SELECT E'\\x01'::bytea || convert_to(letter, 'SQL_ASCII')
        || pg_temp.int_field(e.user_id) || pg_temp.int_field(e.seq) || pg_temp.int_field(e.gold_delta) || pg_temp.int_field(e.xp_delta)
        || pg_temp.int_field(e.gold) || pg_temp.int_field(e.experience_points)
        || pg_temp.int_field((extract(epoch FROM e.created_at - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint)
        || pg_temp.int_field(e.xact) || pg_temp.int_field(e.position) || pg_temp.int_field(e.live::integer)
$$;
CREATE TEMP VIEW recomputed AS
WITH encoded AS (
    SELECT l.seq, l.hash, pg_temp.header('P', l)
        || pg_temp.int_field(t.quantity) || pg_temp.int_field(t.stock_slot) || pg_temp.int_field(t.hash_algo_version)
        || pg_temp.int_field(t.receipt_signature_version) || pg_temp.int_field(t.monetary) || pg_temp.text_field(t.category)
        || pg_temp.text_field(t.status) || pg_temp.text_field(t.product_id) || pg_temp.text_field(t.idempotency_key)
        || pg_temp.text_field(t.effect_code) || pg_temp.text_field(t.context::text) AS entry
    FROM economy.ledger l JOIN economy.shop_transactions t USING (user_id, seq)
    WHERE l.user_id = economy.user_id_of('pgtap chain') AND l.journal = 'shop_transactions'
    UNION ALL
    SELECT l.seq, l.hash, pg_temp.header('G', l)
        || pg_temp.text_field(g.idempotency_key) || pg_temp.text_field(g.actor) || pg_temp.text_field(g.reason)
    FROM economy.ledger l JOIN economy.gold_adjustments g USING (user_id, seq)
    WHERE l.user_id = economy.user_id_of('pgtap chain') AND l.journal = 'gold_adjustments'
    UNION ALL
    SELECT l.seq, l.hash, pg_temp.header('R', l)
        || pg_temp.int_field(r.reverses) || pg_temp.int_field(r.streak_day) || pg_temp.int_field(r.reward_day)
        || pg_temp.int_field(r.claim_date - '2000-01-01'::date) || pg_temp.int_field(r.grace_used::int) || pg_temp.int_field(r.freezes_used)
        || pg_temp.int_field(r.best) || pg_temp.int_field(r.last_grace_on - '2000-01-01'::date) || pg_temp.int_field(r.excused_to - '2000-01-01'::date)
        || pg_temp.text_field(r.timezone) || pg_temp.int_field(r.streak_before)
        || pg_temp.text_field(r.source) || pg_temp.text_field(r.external_event_id)
        || pg_temp.text_field(r.actor) || pg_temp.text_field(r.reason) || pg_temp.text_field(r.details::text)
    FROM economy.ledger l JOIN economy.reward_audit r USING (user_id, seq)
    WHERE l.user_id = economy.user_id_of('pgtap chain') AND l.journal = 'reward_audit'
    UNION ALL
    SELECT l.seq, l.hash, pg_temp.header('U', l)
        || pg_temp.text_field(c.field) || pg_temp.text_field(c.before) || pg_temp.text_field(c.after)
        || pg_temp.text_field(c.idempotency_key) || pg_temp.text_field(c.actor) || pg_temp.text_field(c.reason)
    FROM economy.ledger l JOIN economy.user_changes c USING (user_id, seq)
    WHERE l.user_id = economy.user_id_of('pgtap chain') AND l.journal = 'user_changes'
), beginning AS (
    -- who the user was at registration
    SELECT sha256(decode(repeat('00', 32), 'hex') || E'\\x0149' || pg_temp.int_field(u.user_id) || pg_temp.text_field('pgtap was')
        || pg_temp.text_field('Europe/Rome') || pg_temp.int_field((extract(epoch FROM u.created_at - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint)) AS hash
    FROM economy.users u WHERE u.external_id = 'pgtap chain'
)
SELECT seq, hash, sha256(coalesce(lag(hash) OVER (ORDER BY seq), (SELECT hash FROM beginning)) || entry) AS expected FROM encoded;

SELECT is(hash, expected, 'hash of entry ' || seq) FROM recomputed ORDER BY seq;
SELECT is((SELECT max(seq) FROM recomputed), (SELECT seq FROM economy.accounts a WHERE a.user_id = :u), 'all entries were recomputed');
SELECT is((SELECT a.head_hash FROM economy.accounts a WHERE a.user_id = :u),
          (SELECT expected FROM recomputed ORDER BY seq DESC LIMIT 1), 'the account holds the head');

SELECT results_eq(format('SELECT seq, journal, transaction_id, gold_delta, xp_delta, gold, experience_points, created_at FROM economy.statement(%s)', :u),
    format('SELECT seq, journal, transaction_id, gold_delta, xp_delta, gold, experience_points, created_at FROM economy.ledger WHERE user_id = %s ORDER BY seq', :u), 'a statement is what the ledger says');

-- HMAC (RFC 2104) of the hash by the key of the entry's version
CREATE FUNCTION pg_temp.hmac(key bytea, message bytea) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
    inner_pad bytea := decode(repeat('36', 64), 'hex');
    outer_pad bytea := decode(repeat('5c', 64), 'hex');
BEGIN
    FOR i IN 0 .. octet_length(key) - 1 LOOP
        inner_pad := set_byte(inner_pad, i, get_byte(inner_pad, i) # get_byte(key, i));
        outer_pad := set_byte(outer_pad, i, get_byte(outer_pad, i) # get_byte(key, i));
    END LOOP;
    RETURN sha256(outer_pad || sha256(inner_pad || message));
END
$$;
SELECT is(t.receipt_signature, pg_temp.hmac(k.material, t.hash), 'signature of entry ' || t.seq || ' by the key of its version')
FROM economy.shop_transactions t JOIN economy.signing_keys k ON k.version = t.receipt_signature_version WHERE t.user_id = :u ORDER BY seq;
SELECT is((SELECT count(DISTINCT receipt_signature_version) FROM economy.shop_transactions t WHERE t.user_id = :u), 2::bigint, 'two keys signed');
SELECT is((SELECT bool_and(octet_length(material) = 32) FROM economy.signing_keys WHERE state <> 'retired'), true, 'keys have 32 bytes');
SELECT is((SELECT count(*) FROM economy.signing_keys), (SELECT count(DISTINCT material) FROM economy.signing_keys), 'no two are equal');
SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s)', :u), 'economy.verify_chain() agrees');

SELECT * FROM finish();
ROLLBACK;
