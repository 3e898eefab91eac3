-- What the proof must not pass over: the end of a stream at its checkpoint, the time
-- of a retired key, versions of keys.
BEGIN;
SELECT no_plan();
SELECT economy.upsert_product('{"product_id": "pgtap_proof", "category": "item", "price_gold": 1}', 'pgtap') IS NULL AS x \gset
SET LOCAL economy.test_clock = '2031-01-01 12:00+00';
SELECT economy.register('pgtap proof') AS u \gset
SELECT FROM economy.adjust_gold(:u, 1000, 'k', 'r', 'a') \g /dev/null
SELECT FROM economy.record_action(:u, 'slot', 'T', '2') \g /dev/null
SELECT FROM economy.record_action(:u, 'slot', 'T', '3') \g /dev/null
SELECT FROM economy.purchase(:u, 'pgtap_proof', 'k4') \g /dev/null
SELECT FROM economy.record_action(:u, 'slot', 'T', '5') \g /dev/null
SELECT count(*) AS x FROM generate_series(1, 20), economy.rollup_stats() \gset
SELECT economy_internal.prune_stream(:u, 5) AS pruned \gset
SELECT is((SELECT row(c.seq, a.seq)::text FROM economy.stream_checkpoints c JOIN economy.accounts a USING (user_id) WHERE c.user_id = :u), '(5,5)', 'the stream ends at its checkpoint');
SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s)', :u), 'which agrees with it');
ALTER TABLE economy.user_actions DISABLE TRIGGER USER;
ALTER TABLE economy.shop_transactions DISABLE TRIGGER USER;
ALTER TABLE economy.gold_adjustments DISABLE TRIGGER USER;
CREATE TEMP TABLE who AS SELECT :u AS u;
CREATE FUNCTION pg_temp.after(damage text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    EXECUTE replace(damage, '{u}', (SELECT u::text FROM who));
    SELECT coalesce(string_agg(DISTINCT concat_ws(' ', kind, seq), ', '), 'nothing') INTO answer FROM economy.verify_chain((SELECT u FROM who));
    RAISE EXCEPTION USING ERRCODE = 'XT000';
EXCEPTION WHEN SQLSTATE 'XT000' THEN
    RETURN answer;
END
$$;
SELECT is(pg_temp.after(damage), found, damage)
FROM (VALUES
    ('UPDATE economy.user_actions SET action_type = ''X'' WHERE user_id = {u} AND seq = 3', 'broken_chain 5'),
    ('UPDATE economy.user_actions SET action_type = ''X'' WHERE user_id = {u} AND seq = 5', 'wrong_hash 5'),
    ('DELETE FROM economy.user_actions WHERE user_id = {u} AND seq = 3', 'broken_chain 5'),
    ('DELETE FROM economy.pruned_actions WHERE user_id = {u}', 'missing_entry 5'),
    ('UPDATE economy.pruned_stats SET max_win = max_win + 1 WHERE user_id = {u}', 'missing_entry 5')) v (damage, found);

-- a relabelled entry: the hash can be made anew, the place in the feed cannot be another
SELECT economy.rotate_signing_key() - 1 AS old \gset
SET LOCAL economy.test_clock = '2031-02-01 12:00+00';
SELECT economy.retire_signing_key(:old) AS retired \gset
SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s)', :u), 'what a retired key signed in its time is no finding');
SET LOCAL economy.test_clock = '2031-03-01 12:00+00';
SELECT FROM economy.purchase(:u, 'pgtap_proof', 'k6') \g /dev/null
SELECT is(pg_temp.after('UPDATE economy.shop_transactions SET receipt_signature_version = ' || :'old' || ', position = position + 1000000, receipt_signature = sha256(hash) WHERE user_id = {u} AND seq = 6') ~ E'\\mwrong_signature 6\\M', true,
    'an entry from after its retirement, with that key, is one');
SELECT FROM economy.purchase(:u, 'pgtap_proof', 'k7') \g /dev/null
SELECT is(pg_temp.after('UPDATE economy.shop_transactions SET receipt_signature_version = ' || :'old' || ', created_at = ''2031-01-15'', receipt_signature = sha256(hash) WHERE user_id = {u} AND seq = 7') ~ E'\\mwrong_signature 7\\M', true,
    'and one of its time behind an entry of a newer key');

-- a key made while the clock was a year ahead signs, and is retired, as any other
SET LOCAL economy.test_clock = '2032-03-01 12:00+00';
SELECT economy.rotate_signing_key() AS ahead \gset
SET LOCAL economy.test_clock = '2031-03-02 12:00+00';
SELECT FROM economy.purchase(:u, 'pgtap_proof', 'k8') \g /dev/null
SELECT economy.rotate_signing_key() > :ahead AS later, economy.retire_signing_key(:ahead) AS retired \gset
SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s)', :u), 'a clock that was set back makes no finding');

-- a DBA's columns are no configuration
ALTER TABLE economy.shop_products ADD COLUMN pgtap_note text;
UPDATE economy.shop_products SET pgtap_note = 'x';
SELECT economy.upsert_product('{"product_id": "pgtap_noted", "category": "item", "price_gold": 1}', 'pgtap') \g /dev/null
SELECT is_empty('SELECT * FROM economy_internal.audit_config()', 'a further column of the products is no finding');
ALTER TABLE economy.shop_products DROP COLUMN pgtap_note;
SELECT is_empty('SELECT * FROM economy_internal.audit_config()', 'nor that it is gone');

-- versions are never given out again
DELETE FROM economy.signing_keys;
SELECT is(economy.rotate_signing_key(), :old + 4, 'after a restore without keys, by their history');
ALTER TABLE economy.config_changes DISABLE TRIGGER USER;
DELETE FROM economy.signing_keys;
DELETE FROM economy.config_changes;
SAVEPOINT lost;
DELETE FROM economy.stream_checkpoints;
SELECT is(economy.rotate_signing_key(), :old + 3, 'and without that, by the journal');
ROLLBACK TO SAVEPOINT lost;
UPDATE economy.stream_checkpoints SET key_version = 1000000 WHERE user_id = :u;
SELECT is(economy.rotate_signing_key(), 1000001, 'by the checkpoints of streams');
ROLLBACK TO SAVEPOINT lost;
INSERT INTO economy.anchors (anchor_id, taken_at, users, entries, digest_before, key_version) SELECT 1000000, economy.now(), 0, 0, sha256(''), 2000000;
SELECT is(economy.rotate_signing_key(), 2000001, 'by the anchors');
SELECT is(economy.rotate_signing_key(), 2000002, 'and by the keys that are there');
SELECT * FROM finish();
ROLLBACK;
