-- Receipts, their verification, and the life of the signing keys.
BEGIN;
SELECT plan(87);

SELECT economy.register('pgtap receipts') AS u \gset
SELECT economy.register('pgtap receipts of another') AS other \gset
SELECT economy.upsert_product('{"product_id": "pgtap_r", "category": "item", "price_gold": 10, "effect_code": "glow", "monetary": 5}', 'pgtap') IS NULL AS x \gset
SELECT success AS x FROM economy.adjust_gold(:u, 1000, 'open', 'r', 'a') \gset
SET LOCAL economy.test_clock = '2031-01-31 12:00:00+00';
SELECT transaction_id AS first FROM economy.purchase(:u, 'pgtap_r', 'k1', 2) \gset
SET LOCAL economy.test_clock = '';

SELECT is(:'first', 'P' || :u || '-2', 'a transaction_id names the entry');
SELECT is((SELECT row(r.product_id, r.category, r.quantity, r.gold_delta, r.gold, r.monetary, r.status, r.effect_code,
                      r.created_at = '2031-01-31 12:00:00+00', r.hash_algo_version)::text FROM economy.receipt(:u, :'first') r),
    '(pgtap_r,item,2,-20,980,10,SUCCESS,glow,t,1)', 'a receipt says what was bought');
SELECT is((SELECT row(r.hash, r.receipt_signature, r.receipt_signature_version)::text FROM economy.receipt(:u, :'first') r),
    (SELECT row(encode(t.hash, 'hex'), encode(t.receipt_signature, 'hex'), t.receipt_signature_version)::text FROM economy.shop_transactions t
     WHERE t.user_id = :u AND t.seq = 2), 'with hash, signature and key version');
SELECT is((SELECT octet_length(r.hash) || ' ' || octet_length(r.receipt_signature) FROM economy.receipt(:u, :'first') r), '64 64', 'of 32 bytes each');
SELECT is(v::text, '(t,OK)', 'it verifies') FROM economy.verify_receipt(:u, :'first') v;
SELECT is(v::text, '(f,NOT_FOUND)', 'not as another user''s') FROM economy.verify_receipt(:other, :'first') v;
SELECT success AS x FROM economy.adjust_gold(:other, 1000, 'open', 'r', 'a') \gset
SELECT transaction_id AS x FROM economy.purchase(:other, 'pgtap_r', 'k1') \gset
SELECT is(v::text, '(f,NOT_FOUND)', 'not even where that has a purchase of the same number') FROM economy.verify_receipt(:other, :'first') v;
SELECT is_empty(format('SELECT * FROM economy.receipt(%s, %L)', :other, :'first'), 'who cannot read it either');

-- what is no transaction_id of a purchase
CREATE TEMP TABLE junk AS SELECT replace(id, 'U', :'u') AS id FROM (VALUES
    (''), ('P'), ('P-'), ('P--'), ('PU'), ('PU-'), ('P-2'), ('-'), ('U-2'), ('pU-2'), ('GU-2'), ('GU-1'), ('RU-2'), ('PU-1'), ('PU-0'), ('PU-3'), ('PU--2'),
    ('PU-+2'), ('P+U-2'), ('P U-2'), ('PU -2'), ('PU- 2'), (' PU-2'), ('PU-2 '), (E'PU-2\n'), (E'\nPU-2'), ('P0U-2'), ('PU-02'), ('PU-2-2'), ('PU-2x'), ('PU-0x2'),
    ('PU-2e0'), ('PU-2.0'), ('PPU-2'), ('PU_2'), ('PU-9223372036854775807'), ('PU-9223372036854775808'), ('PU--9223372036854775808'),
    ('PU-99999999999999999999999999'), ('P99999999999999999999999999-2'), ('P-9223372036854775808-1'), (E'\u20acU-2'), (E'PU\u2010' || '2'),
    (E'P\u0661-2'), (repeat('P', 10000)), ('P' || repeat('9', 10000) || '-1'), ('PU-' || repeat('0', 10000) || '2'), ('null'), ('%s%n-1'), ('''; --')) v (id);
SELECT is(v::text, '(f,NOT_FOUND)', 'not verified: ' || quote_literal(left(translate(id, E'\n', '~'), 40))) FROM junk, economy.verify_receipt(:u, id) v;
SELECT is((SELECT string_agg(quote_literal(id), ' ') FROM junk, economy.receipt(:u, id) r), NULL, 'no junk has a receipt');
SELECT is(v.reason, 'NOT_FOUND', 'user ' || id) FROM (VALUES (-1), (0), (-9223372036854775808), (9223372036854775807)) w (id),
    economy.verify_receipt(id::bigint, format('P%s-1', id)) v;

-- whatever entry comes before
SELECT economy.register('pgtap receipts behind') AS behind \gset
SELECT economy.upsert_product('{"product_id": "pgtap_r0", "category": "item", "price_gold": 0}', 'pgtap') IS NULL AS x \gset
SELECT FROM economy.purchase(:behind, 'pgtap_r0', 'first') \g /dev/null
SELECT FROM economy.purchase(:behind, 'pgtap_r0', 'behind P') \g /dev/null
SELECT FROM economy.adjust_gold(:behind, 5, 'k', 'r', 'a') \g /dev/null
SELECT FROM economy.purchase(:behind, 'pgtap_r0', 'behind G') \g /dev/null
SELECT FROM economy.grant_reward(:behind, 's', 'e', 1) \g /dev/null
SELECT FROM economy.purchase(:behind, 'pgtap_r0', 'behind R') \g /dev/null
SELECT FROM economy.record_action(:behind, 'slot', 'T', 'a') \g /dev/null
SELECT FROM economy.purchase(:behind, 'pgtap_r0', 'behind A') \g /dev/null
SELECT FROM economy.update_profile(:behind, '{"a": 1}', 'k') \g /dev/null
SELECT FROM economy.purchase(:behind, 'pgtap_r0', 'behind U') \g /dev/null
SELECT is((SELECT string_agg(DISTINCT l.journal, ' ') FROM economy.ledger l WHERE l.user_id = :behind), 'gold_adjustments reward_audit shop_transactions user_actions user_changes', 'all journals');
SELECT is((SELECT string_agg(concat_ws(' ', t.idempotency_key, v.valid, v.reason), ', ' ORDER BY t.seq) FROM economy.shop_transactions t, economy.verify_receipt(:behind, 'P' || t.user_id || '-' || t.seq) v
           WHERE t.user_id = :behind), 'first t OK, behind P t OK, behind G t OK, behind R t OK, behind A t OK, behind U t OK', 'a purchase behind each verifies');

SAVEPOINT gone;
DELETE FROM economy.users WHERE user_id = :behind;
SELECT is(v::text, '(f,CHAIN_BROKEN)', 'the first of somebody who is gone follows nothing') FROM economy.verify_receipt(:behind, 'P' || :behind || '-1') v;
ROLLBACK TO SAVEPOINT gone;

-- keys: rotated, retired
SELECT receipt_signature_version AS version FROM economy.receipt(:u, :'first') \gset
SELECT is((SELECT state FROM economy.signing_keys WHERE version = :version), 'active', 'the key that signs is active');
SELECT is(economy.retire_signing_key(:version), false, 'and cannot be retired');
SELECT economy.rotate_signing_key() AS next \gset
SELECT cmp_ok(:next, '>', :version, 'a new key has a higher version');
SELECT is((SELECT string_agg(state, ' ' ORDER BY version) FROM economy.signing_keys WHERE version IN (:version, :next)), 'verify_only active', 'the old one only verifies');
SELECT is((SELECT count(*) FROM economy.signing_keys WHERE state = 'active'), 1::bigint, 'one is active');
SELECT is(v::text, '(t,OK)', 'an old receipt still verifies') FROM economy.verify_receipt(:u, :'first') v;
SELECT transaction_id AS second FROM economy.purchase(:u, 'pgtap_r', 'k2') \gset
SELECT is((SELECT receipt_signature_version FROM economy.receipt(:u, :'second')), :next, 'a new one is signed by the new key');
SELECT is(v::text, '(t,OK)', 'and verifies') FROM economy.verify_receipt(:u, :'second') v;
SELECT is(economy.rotate_signing_key(), :next + 1, 'rotated once more');
SET LOCAL economy.test_clock = '2031-02-01 12:00:00+00';
SELECT is(economy.retire_signing_key(:version), true, 'a key that no longer signs is retired');
SET LOCAL economy.test_clock = '';
SELECT is((SELECT state || octet_length(material) FROM economy.signing_keys WHERE version = :version), 'retired0', 'its material is gone');
SELECT is(v::text, '(f,KEY_RETIRED)', 'its receipts say so') FROM economy.verify_receipt(:u, :'first') v;
SELECT is(v::text, '(t,OK)', 'the others verify') FROM economy.verify_receipt(:u, :'second') v;
SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s)', :u), 'and the chain is clean');
SELECT is(economy.retire_signing_key(:version), false, 'a key is retired once');
SELECT is(economy.retire_signing_key(v), false, 'no key ' || v) FROM (VALUES (0), (-1), (2147483647)) w (v);
SAVEPOINT s;
SELECT economy.rotate_signing_key() AS undone \gset
SELECT transaction_id AS undone_id FROM economy.purchase(:u, 'pgtap_r', 'k3') \gset
SELECT is((SELECT receipt_signature_version FROM economy.receipt(:u, :'undone_id')), :undone, 'a rotation in a savepoint');
ROLLBACK TO s;
SELECT transaction_id AS third FROM economy.purchase(:u, 'pgtap_r', 'k3') \gset
SELECT is((SELECT receipt_signature_version FROM economy.receipt(:u, :'third')), :next + 1, 'is over with its rollback');
SELECT is(v::text, '(t,OK)', 'and what is signed then verifies') FROM economy.verify_receipt(:u, :'third') v;

SELECT * FROM finish();
ROLLBACK;
