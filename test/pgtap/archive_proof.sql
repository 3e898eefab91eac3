-- What archive_streams() proves by itself, behind the lock of the account: whatever is damaged
-- when it comes to that is neither deleted nor signed anew. archive_entries() has looked at
-- the streams before, so that its answers say nothing of these.
--
-- Run as superuser.  Damage is done with the guard triggers disabled, until the final
-- ROLLBACK.
BEGIN;
SELECT no_plan();
SELECT set_config('economy.test_clock', '2031-01-01 12:00+00', true) AS x \gset
SELECT economy.register('pgtap archive proof') AS u \gset
SELECT economy.upsert_product('{"product_id": "pgtap_proof", "category": "item", "price_gold": 1}', 'pgtap') IS NULL AS x \gset
CREATE FUNCTION pg_temp.u() RETURNS bigint LANGUAGE sql AS $$ SELECT economy.user_id_of('pgtap archive proof') $$;
-- G1 G2 G3 G4 P5 U6 G7 P8 G9 G10
SELECT count(r) AS x FROM unnest(ARRAY[10, 11, 12, 13]) d, economy.adjust_gold(:u, d, 'g' || d, 'r', 'a') r \gset
SELECT code AS x FROM economy.purchase(:u, 'pgtap_proof', 'p5') \gset
SELECT economy.set_timezone(:u, 'Europe/Berlin') AS x \gset
SELECT code AS x FROM economy.adjust_gold(:u, 14, 'g7', 'r', 'a') \gset
SELECT code AS x FROM economy.purchase(:u, 'pgtap_proof', 'p8') \gset
SELECT count(r) AS x FROM unnest(ARRAY[15, 16]) d, economy.adjust_gold(:u, d, 'g' || d, 'r', 'a') r \gset
-- how many entries go, and what is noted of those that went
CREATE FUNCTION pg_temp.archived(letter text, upto bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    gone bigint := (economy_internal.archive_streams(letter, ARRAY[pg_temp.u()], ARRAY[upto], '{0}', '{}', '{}'))[1];
BEGIN
    RETURN coalesce(gone::text, 'damaged') || (
        SELECT format(', %s archives, %s keys, hashes %s', count(*), (SELECT count(*) FROM economy.archived_keys k WHERE k.user_id = pg_temp.u()),
                      (SELECT array_agg(h.seq ORDER BY h.seq) FROM economy.archived_hashes h WHERE h.user_id = pg_temp.u()))
        FROM economy.archives a WHERE a.user_id = pg_temp.u());
END $$;
-- the same after a change, and back; and whether the feed is told that something is gone
CREATE FUNCTION pg_temp.try(letter text, upto bigint, VARIADIC changes text[] DEFAULT '{}') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    change text;
    answer text;
BEGIN
    UPDATE economy.installations SET pruned_xact = NULL, pruned_by = NULL;
    FOREACH change IN ARRAY changes LOOP
        EXECUTE replace(change, 'USER', 'user_id = ' || pg_temp.u());
    END LOOP;
    answer := pg_temp.archived(letter, upto);
    answer := answer || CASE WHEN EXISTS (SELECT FROM economy.installations i WHERE i.pruned_by IS NOT NULL) THEN ', told' ELSE '' END;
    RAISE EXCEPTION USING ERRCODE = 'PT001';
EXCEPTION WHEN SQLSTATE 'PT001' THEN
    RETURN answer;
END $$;

SELECT throws_ok($$ SELECT pg_temp.archived('G', 11) $$, 'XE106', NULL, 'in front of an entry that there is not');
SELECT is(pg_temp.try('P', 4), '0, 0 archives, 0 keys, hashes ', 'where nothing goes nothing is noted');

-- a trigger on the journal that raises: the guard is what it was
CREATE FUNCTION pg_temp.no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'PT002'; END $$;
CREATE TRIGGER pgtap BEFORE DELETE ON economy.gold_adjustments FOR EACH ROW EXECUTE FUNCTION pg_temp.no();
SELECT throws_ok($$ SELECT pg_temp.archived('G', 4) $$, 'PT002', NULL, 'an archive that fails while it deletes');
DROP TRIGGER pgtap ON economy.gold_adjustments;
SELECT throws_ok('DELETE FROM economy.gold_adjustments', 'XE101', NULL, 'leaves the journal guarded');

SELECT is(pg_temp.archived('G', 4), '3, 1 archives, 3 keys, hashes ', 'the entries in front of the fourth');
SELECT is_empty('SELECT * FROM economy.verify_chain(pg_temp.u())', 'are behind a checkpoint');
SELECT is(pg_temp.try('G', 4), '0, 1 archives, 3 keys, hashes ', 'none goes twice');
SELECT is(pg_temp.try('G', 9), '2, 2 archives, 5 keys, hashes {4,7}, told', 'the next ones, with hashes that receipts go on from');
SELECT is((SELECT count(*) AS x FROM economy.audit_sweep_incremental()), 0::bigint, 'an audit notes the stream');
SELECT is(pg_temp.try('G', 9), '2, 2 archives, 5 keys, hashes {4,7}, told', 'which is no hindrance behind the next checkpoint');
SELECT is(pg_temp.try('G', 9, 'UPDATE economy_internal.audit_checkpoints SET seq = 2 WHERE USER'), '2, 2 archives, 5 keys, hashes {4,7}, told', 'nor in front of the last one');

ALTER TABLE economy.gold_adjustments DISABLE TRIGGER USER;
ALTER TABLE economy.gold_adjustments DROP CONSTRAINT gold_adjustments_seq_check;
SELECT is(pg_temp.try('G', 9, VARIADIC string_to_array(changes, '; ')), 'damaged, 1 archives, 3 keys, hashes ', changes)
FROM unnest(ARRAY[
    'UPDATE economy.stream_checkpoints SET signature = sha256(signature) WHERE USER',
    'UPDATE economy.archives SET entries = entries + 1 WHERE USER',
    'UPDATE economy.archived_keys SET seq = seq + 100 WHERE USER',
    'INSERT INTO economy.pruned_stats SELECT user_id, ''slot'', current_date, 1, 1, 0, 0, 1, 1, 1, now() FROM economy.accounts WHERE USER',
    'UPDATE economy.accounts SET pruned_seq = 3 WHERE USER',
    'UPDATE economy.gold_adjustments SET reason = ''x'' WHERE USER AND seq = 4',
    'UPDATE economy.gold_adjustments SET reason = ''x'' WHERE USER AND seq = 7',
    'UPDATE economy.gold_adjustments SET reason = ''x'' WHERE USER AND seq = 9',
    'UPDATE economy.gold_adjustments SET hash = substr(hash, 1, 31) WHERE USER AND seq = 9',
    'DELETE FROM economy.gold_adjustments WHERE USER AND seq = 4',
    'DELETE FROM economy.gold_adjustments WHERE USER AND seq = 9',
    'UPDATE economy_internal.audit_checkpoints SET seq = 9 WHERE USER',
    'CREATE TEMP TABLE forged ON COMMIT DROP AS SELECT * FROM economy.gold_adjustments WHERE USER AND seq = 10; UPDATE forged SET seq = 0, idempotency_key = ''forged''; INSERT INTO economy.gold_adjustments SELECT * FROM forged'
    ]) changes;

-- in front of the last checkpoint nothing is proved by its successors: its own entry must be what was signed
SELECT is(pg_temp.archived('G', 9), '2, 2 archives, 5 keys, hashes {4,7}', 'up to the ninth');
SELECT is(pg_temp.try('P', 8), '1, 3 archives, 6 keys, hashes {4,7}, told', 'purchases in front of the checkpoint');
SELECT is(pg_temp.try('P', 8, VARIADIC string_to_array(changes, '; ')), 'damaged, 2 archives, 5 keys, hashes {4,7}', changes)
FROM unnest(ARRAY[
    'UPDATE economy.gold_adjustments SET hash = sha256(hash) WHERE USER AND seq = 9',
    'UPDATE economy.gold_adjustments SET reason = ''x'' WHERE USER AND seq = 9',
    'DELETE FROM economy.gold_adjustments WHERE USER AND seq = 9'
    ]) changes;
-- a hash that receipts go on from, and the checkpoint that signs what was archived
SELECT is((SELECT v::text FROM economy.verify_receipt(:u, 'P' || :u || '-8') v), '(t,OK)', 'a receipt behind an archived entry');
SAVEPOINT s;
UPDATE economy.archived_hashes SET hash = substr(hash, 1, 31) WHERE user_id = :u AND seq = 7;
SELECT is((SELECT v::text FROM economy.verify_receipt(:u, 'P' || :u || '-8') v), '(f,CHAIN_BROKEN)', 'whose hash is none');
UPDATE economy.archived_hashes SET hash = sha256(hash) WHERE user_id = :u AND seq = 7;
SELECT is((SELECT v::text FROM economy.verify_receipt(:u, 'P' || :u || '-8') v), '(f,ENTRY_CHANGED)', 'or another one');
SELECT is(economy_internal.archives_sound(:u), true, 'archives that are signed');
UPDATE economy.stream_checkpoints SET signature = sha256(signature) WHERE user_id = :u;
SELECT is(economy_internal.archives_sound(:u), false, 'and such that are not');
ROLLBACK TO s;
SELECT is(pg_temp.archived('P', 8), '1, 3 archives, 6 keys, hashes {4,7}', 'undamaged they go');
SELECT is_empty('SELECT * FROM economy.verify_chain(pg_temp.u())', 'and all is sound');
SELECT * FROM finish();
ROLLBACK;
