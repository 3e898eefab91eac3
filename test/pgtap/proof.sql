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
ALTER TABLE economy.reward_audit DISABLE TRIGGER USER;
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
SELECT is((SELECT k.retired_at FROM economy.signing_keys k WHERE k.version = :old), economy.now(), 'retired now');
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

-- the checkpoints that a retired key has signed are signed anew: those of no other key, and
-- none that does not verify
SAVEPOINT s;
SELECT economy.register('pgtap proof one') AS one, economy.register('pgtap proof two') AS two, economy.register('pgtap proof three') AS three \gset
SELECT count(*) AS x FROM unnest(ARRAY[:one, :two, :three]) who, generate_series(1, 3) i, economy.record_action(who, 'slot', 'T', i::text) \gset
SELECT economy_internal.prune_stream(:one, 2) AS x, economy_internal.prune_stream(:two, 2) AS y \gset
SELECT economy.rotate_signing_key() AS other \gset
SELECT economy_internal.prune_stream(:three, 2) AS x \gset
SELECT economy.rotate_signing_key() AS active \gset
UPDATE economy.stream_checkpoints SET gold = gold + 1 WHERE user_id = :two;
CREATE TEMP TABLE signed AS SELECT c.* FROM economy.stream_checkpoints c WHERE c.user_id IN (:one, :two, :three);
SELECT economy.retire_signing_key(k.key_version) AS x FROM signed k WHERE k.user_id = :one \gset
SELECT is((SELECT string_agg(CASE WHEN c.key_version = :active AND c.signature <> k.signature THEN 'anew' WHEN (c.key_version, c.signature) = (k.key_version, k.signature) THEN 'as it was' END, ', ' ORDER BY c.user_id)
           FROM economy.stream_checkpoints c JOIN signed k USING (user_id)), 'anew, as it was, as it was', 'signed anew is what the key has signed, and nothing that it has not');
SELECT is((SELECT string_agg(DISTINCT f.user_id || ' ' || f.kind, ', ') FROM unnest(ARRAY[:one, :two, :three]) who, economy.verify_chain(who) f WHERE f.kind = 'wrong_signature'), :two || ' wrong_signature', 'what did not verify still does not');
ROLLBACK TO s;

-- a DBA's columns are no configuration
ALTER TABLE economy.shop_products ADD COLUMN pgtap_note text;
UPDATE economy.shop_products SET pgtap_note = 'x';
SELECT economy.upsert_product('{"product_id": "pgtap_noted", "category": "item", "price_gold": 1}', 'pgtap') \g /dev/null
SELECT is_empty('SELECT * FROM economy_internal.audit_config()', 'a further column of the products is no finding');
ALTER TABLE economy.shop_products DROP COLUMN pgtap_note;
SELECT is_empty('SELECT * FROM economy_internal.audit_config()', 'nor that it is gone');

-- to the letter: what is said of a checkpoint and of what an audit noted, by who reads all
-- entries and by who goes on behind the note.  It was pruned up to 4 and noted at 6.
SELECT economy.register('pgtap proof noted') AS n \gset
SELECT FROM economy.adjust_gold(:n, 100, 'k', 'r', 'a') \g /dev/null
SELECT FROM economy.grant_reward(:n, 'pgtap', 'r2', 3, 7) \g /dev/null
SELECT count(*) AS x FROM generate_series(3, 5) i, economy.record_action(:n, 'slot', 'T', i::text, 1, 2) \gset
SELECT FROM economy.grant_reward(:n, 'pgtap', 'r6', 5, 11) \g /dev/null
SELECT economy_internal.prune_stream(:n, 4) AS x, count(*) AS y FROM economy.audit_sweep_incremental() \gset
SELECT FROM economy.grant_reward(:n, 'pgtap', 'r7', 1, 1) \g /dev/null
SELECT FROM economy.record_action(:n, 'slot', 'T', '8') \g /dev/null
SELECT is((SELECT row(c.seq, k.seq, a.seq)::text FROM economy.accounts a JOIN economy.stream_checkpoints c USING (user_id) JOIN economy_internal.audit_checkpoints k USING (user_id) WHERE a.user_id = :n), '(4,6,8)', 'pruned, noted and gone on');
CREATE TEMP TABLE noted AS SELECT :n::bigint AS n;
CREATE FUNCTION pg_temp.says(damage text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    n      CONSTANT bigint := (SELECT w.n FROM noted w);
    answer text;
    e      record;
BEGIN
    EXECUTE replace(damage, '{u}', n::text);
    SELECT string_agg(v.says, ' // ' ORDER BY v.way) INTO answer FROM (
        SELECT f.way, string_agg(concat_ws(' ', f.seq, f.kind, f.entry, f.expected, '|', f.actual), '; ' ORDER BY f.seq, f.kind, f.expected) AS says
        FROM (SELECT 'all' AS way, f.* FROM economy.verify_chain(n) f UNION ALL SELECT 'new', f.* FROM economy_internal.verify_new(n) f) f GROUP BY 1) v;
    RAISE EXCEPTION USING ERRCODE = 'XT000';
EXCEPTION WHEN SQLSTATE 'XT000' THEN
    answer := replace(coalesce(answer, 'nothing'), n || '-', 'U-');
    FOR e IN SELECT l.seq, encode(l.hash, 'hex') AS hash FROM economy.ledger l WHERE l.user_id = n LOOP
        answer := replace(answer, e.hash, 'h' || e.seq);
    END LOOP;
    RETURN regexp_replace(answer, '[0-9a-f]{62,64}', 'H', 'g');
END
$$;
SELECT is(pg_temp.says(damage), says, damage)
FROM (VALUES
    ('SELECT 1', 'nothing'),
    ('UPDATE economy.stream_checkpoints SET gold = gold + 1 WHERE user_id = {u}',
     '4 wrong_balance gold 106, experience_points 7 | gold 105, experience_points 7; 4 wrong_signature a valid stream checkpoint | one that does not verify; 5 wrong_balance AU-5 gold 107 | gold 106 // 4 wrong_signature a valid stream checkpoint | one that does not verify'),
    ('UPDATE economy.stream_checkpoints SET experience_points = experience_points + 1 WHERE user_id = {u}',
     '4 wrong_balance gold 105, experience_points 8 | gold 105, experience_points 7; 4 wrong_signature a valid stream checkpoint | one that does not verify; 5 wrong_balance AU-5 experience_points 8 | experience_points 7 // 4 wrong_signature a valid stream checkpoint | one that does not verify'),
    ('UPDATE economy.stream_checkpoints SET hash = sha256(hash) WHERE user_id = {u}',
     '4 wrong_hash H | h4; 4 wrong_signature a valid stream checkpoint | one that does not verify; 5 wrong_hash AU-5 H | h5 // 4 wrong_signature a valid stream checkpoint | one that does not verify'),
    ('UPDATE economy.stream_checkpoints SET hash = substr(hash, 1, 31) WHERE user_id = {u}',
     '4 missing_entry the sums and keys of pruned actions that the stream checkpoint signed | changed, missing or further ones; 4 wrong_hash H | h4; 4 wrong_signature a valid stream checkpoint | one that does not verify; 5 wrong_hash AU-5 H | h5 // 4 wrong_signature a valid stream checkpoint | one that does not verify'),
    ('UPDATE economy.stream_checkpoints SET links_before = sha256(links) WHERE user_id = {u}',
     '4 wrong_signature a valid stream checkpoint | one that does not verify // 4 wrong_signature a valid stream checkpoint | one that does not verify'),
    ('UPDATE economy.stream_checkpoints SET links = sha256(links) WHERE user_id = {u}',
     '4 wrong_signature a valid stream checkpoint | one that does not verify // 4 wrong_signature a valid stream checkpoint | one that does not verify'),
    ('UPDATE economy.stream_checkpoints SET gone = sha256(gone) WHERE user_id = {u}',
     '4 missing_entry the sums and keys of pruned actions that the stream checkpoint signed | changed, missing or further ones; 4 wrong_signature a valid stream checkpoint | one that does not verify // 4 wrong_signature a valid stream checkpoint | one that does not verify'),
    ('UPDATE economy.stream_checkpoints SET gone_keys = sha256(gone_keys) WHERE user_id = {u}',
     '4 missing_entry the sums and keys of pruned actions that the stream checkpoint signed | changed, missing or further ones; 4 wrong_signature a valid stream checkpoint | one that does not verify // 4 wrong_signature a valid stream checkpoint | one that does not verify'),
    ('UPDATE economy.stream_checkpoints SET proved_seq = proved_seq + 1 WHERE user_id = {u}',
     '4 wrong_signature a valid stream checkpoint | one that does not verify // 4 wrong_signature a valid stream checkpoint | one that does not verify'),
    ('UPDATE economy.stream_checkpoints SET created_at = created_at + interval ''1 microsecond'' WHERE user_id = {u}',
     '4 wrong_signature a valid stream checkpoint | one that does not verify // 4 wrong_signature a valid stream checkpoint | one that does not verify'),
    ('UPDATE economy.stream_checkpoints SET key_version = 1000000 WHERE user_id = {u}',
     '4 wrong_signature a valid stream checkpoint | one that does not verify // 4 wrong_signature a valid stream checkpoint | one that does not verify'),
    ('UPDATE economy.stream_checkpoints SET signature = sha256(signature) WHERE user_id = {u}',
     '4 wrong_signature a valid stream checkpoint | one that does not verify // 4 wrong_signature a valid stream checkpoint | one that does not verify'),
    ('UPDATE economy.stream_checkpoints SET signature = substr(signature, 1, 31) WHERE user_id = {u}',
     '4 wrong_signature a valid stream checkpoint | one that does not verify // 4 wrong_signature a valid stream checkpoint | one that does not verify'),
    ('UPDATE economy.stream_checkpoints SET seq = 3 WHERE user_id = {u}',
     '3 broken_chain account pruned_seq 3 | account pruned_seq 4; 3 missing_entry an entry | nothing; 3 wrong_signature a valid stream checkpoint | one that does not verify; 4 wrong_balance AU-4 gold 106 | gold 105; 4 wrong_hash AU-4 H | h4 // 3 broken_chain account pruned_seq 3 | account pruned_seq 4; 3 wrong_signature a valid stream checkpoint | one that does not verify'),
    ('UPDATE economy.stream_checkpoints SET seq = 5 WHERE user_id = {u}',
     '5 broken_chain account pruned_seq 5 | account pruned_seq 4; 5 wrong_balance gold 105, experience_points 7 | gold 106, experience_points 7; 5 wrong_signature a valid stream checkpoint | one that does not verify; 6 wrong_balance RU-6 gold 110 | gold 111; 6 wrong_hash RU-6 H | h6 // 5 broken_chain account pruned_seq 5 | account pruned_seq 4; 5 wrong_signature a valid stream checkpoint | one that does not verify'),
    ('UPDATE economy.stream_checkpoints SET seq = 8 WHERE user_id = {u}',
     '8 broken_chain account head h4 | account head h8; 8 broken_chain account pruned_seq 8 | account pruned_seq 4; 8 wrong_balance account experience_points 7 | account experience_points 19; 8 wrong_balance account gold 105 | account gold 112; 8 wrong_balance gold 105, experience_points 7 | gold 112, experience_points 19; 8 wrong_signature a valid stream checkpoint | one that does not verify // 8 broken_chain account head h4 | account head h8; 8 broken_chain account pruned_seq 8 | account pruned_seq 4; 8 wrong_balance account experience_points 7 | account experience_points 19; 8 wrong_balance account gold 105 | account gold 112; 8 wrong_balance gold 105, experience_points 7 | gold 112, experience_points 19; 8 wrong_signature a valid stream checkpoint | one that does not verify'),
    ('DELETE FROM economy.stream_checkpoints WHERE user_id = {u}',
     '0 broken_chain account pruned_seq 0 | account pruned_seq 4; 3 missing_entry an entry | nothing // 0 broken_chain account pruned_seq 0 | account pruned_seq 4'),
    ('UPDATE economy_internal.audit_checkpoints SET gold = gold + 1 WHERE user_id = {u}',
     '6 wrong_mark gold 112, experience_points 18, as an audit noted | gold 111, experience_points 18 // 7 wrong_balance RU-7 gold 113 | gold 112'),
    ('UPDATE economy_internal.audit_checkpoints SET experience_points = experience_points + 1 WHERE user_id = {u}',
     '6 wrong_mark gold 111, experience_points 19, as an audit noted | gold 111, experience_points 18 // 7 wrong_balance RU-7 experience_points 20 | experience_points 19'),
    ('UPDATE economy_internal.audit_checkpoints SET hash = sha256(hash) WHERE user_id = {u}',
     '6 wrong_mark hash H, as an audit noted | h6 // 7 wrong_hash RU-7 H | h7'),
    ('UPDATE economy_internal.audit_checkpoints SET hash = substr(hash, 1, 31) WHERE user_id = {u}',
     '6 wrong_mark an entry, as an audit noted it | a note that is none // 6 wrong_mark an entry, as an audit noted it | a note that is none'),
    ('UPDATE economy_internal.audit_checkpoints SET hash = hash || hash WHERE user_id = {u}',
     '6 wrong_mark an entry, as an audit noted it | a note that is none // 6 wrong_mark an entry, as an audit noted it | a note that is none'),
    ('UPDATE economy_internal.audit_checkpoints SET seq = 5 WHERE user_id = {u}',
     '5 wrong_mark gold 111, experience_points 18, as an audit noted | gold 106, experience_points 7; 5 wrong_mark hash h6, as an audit noted | h5 // 6 wrong_balance RU-6 experience_points 29 | experience_points 18; 6 wrong_balance RU-6 gold 116 | gold 111; 6 wrong_hash RU-6 H | h6'),
    ('UPDATE economy_internal.audit_checkpoints SET seq = 7 WHERE user_id = {u}',
     '7 wrong_mark gold 111, experience_points 18, as an audit noted | gold 112, experience_points 19; 7 wrong_mark hash h6, as an audit noted | h7 // 8 wrong_balance AU-8 experience_points 18 | experience_points 19; 8 wrong_balance AU-8 gold 111 | gold 112; 8 wrong_hash AU-8 H | h8'),
    ('UPDATE economy_internal.audit_checkpoints SET seq = 9 WHERE user_id = {u}',
     '9 wrong_mark an entry, as an audit noted it | nothing // 8 wrong_balance account seq 9 | account seq 8'),
    ('UPDATE economy_internal.audit_checkpoints SET seq = 4 WHERE user_id = {u}',
     '4 wrong_mark gold 111, experience_points 18, as an audit noted | gold 105, experience_points 7; 4 wrong_mark hash h6, as an audit noted | h4 // 5 wrong_balance AU-5 experience_points 18 | experience_points 7; 5 wrong_balance AU-5 gold 112 | gold 106; 5 wrong_hash AU-5 H | h5'),
    ('UPDATE economy_internal.audit_checkpoints SET seq = 3 WHERE user_id = {u}',
     '3 wrong_mark an entry, as an audit noted it | nothing // 3 wrong_mark an entry, as an audit noted it | nothing'),
    ('UPDATE economy_internal.audit_checkpoints SET seq = 2 WHERE user_id = {u}',
     '2 wrong_mark gold 111, experience_points 18, as an audit noted | gold 103, experience_points 7; 2 wrong_mark hash h6, as an audit noted | h2 // 2 wrong_mark gold 111, experience_points 18, as an audit noted | gold 103, experience_points 7; 2 wrong_mark hash h6, as an audit noted | h2'),
    ('UPDATE economy_internal.audit_checkpoints SET seq = 0 WHERE user_id = {u}',
     'nothing'),
    ('UPDATE economy_internal.audit_checkpoints SET seq = -3 WHERE user_id = {u}',
     '-3 wrong_mark an entry, as an audit noted it | a note that is none // -3 wrong_mark an entry, as an audit noted it | a note that is none'),
    ('DELETE FROM economy_internal.audit_checkpoints WHERE user_id = {u}', 'nothing'),
    ('UPDATE economy.user_actions SET hash = sha256(hash) WHERE user_id = {u} AND seq = 4',
     '4 wrong_hash h4 | H'),
    ('UPDATE economy.reward_audit SET hash = sha256(hash) WHERE user_id = {u} AND seq = 6',
     '6 wrong_hash RU-6 h6 | H; 6 wrong_mark hash h6, as an audit noted | H'),
    ('UPDATE economy.reward_audit SET gold = gold + 1, gold_delta = gold_delta + 1 WHERE user_id = {u} AND seq = 6',
     '6 wrong_hash RU-6 H | h6; 6 wrong_mark gold 111, experience_points 18, as an audit noted | gold 112, experience_points 18; 7 wrong_balance RU-7 gold 113 | gold 112'),
    ('UPDATE economy.reward_audit SET gold = gold + 1, gold_delta = gold_delta + 1 WHERE user_id = {u} AND seq = 7',
     '7 wrong_hash RU-7 H | h7; 8 wrong_balance AU-8 gold 113 | gold 112 // 7 wrong_hash RU-7 H | h7; 8 wrong_balance AU-8 gold 113 | gold 112'),
    ('DELETE FROM economy.user_actions WHERE user_id = {u} AND seq = 5',
     '5 missing_entry an entry | nothing'),
    ('UPDATE economy.reward_audit SET hash = sha256(hash) WHERE user_id = {u} AND seq = 7',
     '7 wrong_hash RU-7 h7 | H // 7 wrong_hash RU-7 h7 | H'),
    -- with nothing behind the note
    ('UPDATE economy_internal.audit_checkpoints c SET seq = l.seq, gold = l.gold, experience_points = l.experience_points, hash = l.hash FROM economy.ledger l WHERE l.seq = 8 AND l.user_id = {u} AND c.user_id = {u}; UPDATE economy.accounts SET gold = 0, experience_points = 0 WHERE user_id = {u}',
     '8 wrong_balance account experience_points 19 | account experience_points 0; 8 wrong_balance account gold 112 | account gold 0 // 8 wrong_balance account experience_points 19 | account experience_points 0; 8 wrong_balance account gold 112 | account gold 0'),
    ('UPDATE economy_internal.audit_checkpoints c SET seq = l.seq, gold = l.gold, experience_points = l.experience_points, hash = l.hash FROM economy.ledger l WHERE l.seq = 8 AND l.user_id = {u} AND c.user_id = {u}; UPDATE economy.accounts a SET head_hash = economy_internal.identity_hash(u.user_id, u.external_id, u.timezone, u.created_at) FROM economy.users u WHERE u.user_id = {u} AND a.user_id = {u}',
     '8 broken_chain account head h8 | account head H // 8 broken_chain account head h8 | account head H'),
    ('DELETE FROM economy.user_actions WHERE user_id = {u} AND seq = 4',
     '4 missing_entry an entry | nothing')) v (damage, says);

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
SELECT is(economy.rotate_signing_key(), 2000002, 'by their history');
DELETE FROM economy.config_changes;
DELETE FROM economy.anchors;
UPDATE economy.signing_keys SET state = 'verify_only' WHERE state = 'active';
SELECT is(economy.rotate_signing_key(), 2000003, 'and by the keys that are there');
SELECT * FROM finish();
ROLLBACK;
