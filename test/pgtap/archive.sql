-- archive(): old entries move into a table of the operator's, all else stays exact and
-- provable, and no call has its effect again.
--
-- Run as superuser.  Damage is done with the guard triggers disabled, until the
-- final ROLLBACK.
BEGIN;
SELECT no_plan();
CREATE FUNCTION pg_temp.at(clock text) RETURNS text LANGUAGE sql AS $$ SELECT set_config('economy.test_clock', clock, true) $$;
CREATE SCHEMA pgtap_archive;
CREATE TABLE pgtap_archive.rewards (LIKE economy.reward_audit);
CREATE INDEX ON pgtap_archive.rewards (user_id, seq);
-- in another order of columns
CREATE TABLE pgtap_archive.adjustments AS SELECT reason, actor, idempotency_key, hash, live, position, xact, created_at, experience_points, gold, xp_delta, gold_delta, seq, user_id FROM economy.gold_adjustments LIMIT 0;
SELECT pg_temp.at('2031-01-01 12:00+00') AS x \gset
SELECT economy.register('pgtap archive') AS u \gset
SELECT economy.register('pgtap archive young') AS young \gset
SELECT economy.upsert_product('{"product_id": "pgtap_a", "category": "item", "price_gold": 10}', 'pgtap') IS NULL AS x \gset
SELECT economy.upsert_product('{"product_id": "pgtap_f", "category": "item", "price_gold": 10, "effect_code": "streak_freeze"}', 'pgtap') IS NULL AS x \gset
CREATE FUNCTION pg_temp.u() RETURNS bigint LANGUAGE sql AS $$ SELECT economy.user_id_of('pgtap archive') $$;
CREATE FUNCTION pg_temp.entries(who bigint DEFAULT pg_temp.u()) RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(substr(transaction_id, 1, 1) || seq, ' ' ORDER BY seq) FROM economy.ledger WHERE user_id = who $$;
CREATE FUNCTION pg_temp.receipts() RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(t.seq || ' ' || v.reason, ', ' ORDER BY t.seq) FROM economy.shop_transactions t, economy.verify_receipt(t.user_id, 'P' || t.user_id || '-' || t.seq) v WHERE t.user_id = pg_temp.u() $$;
-- archives all there is, batch after batch
CREATE FUNCTION pg_temp.archive(journal regclass, archive regclass, older_than interval DEFAULT '90 days', max_users int DEFAULT 1000000) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    users bigint := 0; entries bigint := 0; damaged bigint := 0; batch record;
BEGIN
    LOOP
        SELECT * INTO STRICT batch FROM economy.archive(journal, archive, older_than, max_users);
        users := users + batch.users; entries := entries + batch.entries; damaged := damaged + batch.damaged;
        EXIT WHEN NOT batch.more;
    END LOOP;
    RETURN concat_ws(' ', users, entries, damaged);
END $$;
CREATE FUNCTION pg_temp.found(journal text DEFAULT 'reward_audit', archive regclass DEFAULT 'pgtap_archive.rewards') RETURNS text LANGUAGE sql AS
    $$ SELECT coalesce(string_agg(concat_ws(' ', kind, seq), ', ' ORDER BY kind, seq), 'nothing') FROM economy.verify_archive('economy.' || journal, archive, ARRAY[pg_temp.u()]) $$;
CREATE FUNCTION pg_temp.chain() RETURNS text LANGUAGE sql AS
    $$ SELECT coalesce(string_agg(concat_ws(' ', kind, seq), ', ' ORDER BY kind, seq), 'nothing') FROM economy.verify_chain(pg_temp.u()) $$;

-- G1 R2 P3 R4 R5 P6 R7 R8 A9 G10 | P11 R12
SELECT code AS x FROM economy.adjust_gold(:u, 1000, 'open', 'r', 'a') \gset
SELECT code AS x FROM economy.grant_reward(:u, 'pgtap', 'r2', 5, 7, '{"a": 1}') \gset
SELECT code AS x FROM economy.purchase(:u, 'pgtap_a', 'p3') \gset
SELECT code AS x FROM economy.grant_reward(:u, 'pgtap', 'r4', 5, 7) \gset
SELECT code AS x FROM economy.grant_reward(:u, 'pgtap', 'r5', 5, 7) \gset
SELECT code AS x FROM economy.purchase(:u, 'pgtap_a', 'p6') \gset
SELECT code AS x FROM economy.revoke_reward(:u, 'R' || :u || '-4', 'because', 'pgtap', 2, 2, idempotency_key => 'part') \gset
SELECT code AS x FROM economy.grant_reward(:u, 'pgtap', 'r8', 5, 7) \gset
SELECT code AS x FROM economy.record_action(:u, 'slot', 'T', 'a9', 1, 0) \gset
SELECT code AS x FROM economy.adjust_gold(:u, 1, 'more', 'r', 'a') \gset
SELECT pg_temp.at('2031-06-01 12:00+00') AS x \gset
SELECT code AS x FROM economy.purchase(:u, 'pgtap_a', 'p11') \gset
SELECT code AS x FROM economy.grant_reward(:u, 'pgtap', 'r12', 5, 7) \gset
SELECT code AS x FROM economy.grant_reward(:young, 'pgtap', 'y1', 5, 7) \gset
SELECT is(pg_temp.entries(), 'G1 R2 P3 R4 R5 P6 R7 R8 A9 G10 P11 R12', 'a stream of all journals');
SELECT gold AS gold_before FROM economy.accounts WHERE user_id = :u \gset
CREATE TEMP TABLE whole AS SELECT * FROM economy.reward_audit WHERE user_id = :u;

SELECT throws_ok($$ SELECT * FROM economy.archive('economy.reward_audit', 'pgtap_archive.rewards', '89 days') $$, 'XE002', NULL, 'entries are kept for 90 days');
SELECT throws_ok($$ SELECT * FROM economy.archive('economy.reward_audit', 'economy.gold_adjustments', '90 days') $$, 'XE002', NULL, 'a table of the extension is no archive');
SELECT throws_ok($$ SELECT * FROM economy.archive('economy.users', 'pgtap_archive.rewards', '90 days') $$, 'XE002', NULL, 'a table that is no journal is not archived');
SELECT throws_ok($$ SELECT * FROM economy.archive('economy.user_changes', 'pgtap_archive.rewards', '90 days') $$, 'XE002', NULL, 'nor is who the user was');
SELECT throws_ok($$ SELECT * FROM economy.archive('economy.reward_audit', 'pgtap_archive.rewards', '90 days', 0) $$, 'XE002', NULL, 'a batch has users');
SELECT throws_ok($$ SELECT * FROM economy.archive('economy.reward_audit', 'pgtap_archive.rewards', NULL) $$, 'XE001', NULL, 'an age is given');
SELECT throws_ok($$ SELECT * FROM economy.archive('economy.reward_audit', 'pgtap_archive.rewards', '7000 years') $$, 'XE002', NULL, 'of a time that is kept');
SELECT throws_ok($$ SELECT * FROM economy.archive('economy.reward_audit', 'pgtap_archive.adjustments', '90 days') $$, '42703', NULL, 'into the columns of the journal');
CREATE VIEW pgtap_archive.view AS SELECT * FROM pgtap_archive.rewards;
CREATE UNLOGGED TABLE pgtap_archive.unlogged (LIKE economy.reward_audit);
CREATE TEMP TABLE pgtap_passing (LIKE economy.reward_audit);
SELECT economy_internal.is_spread('economy.reward_audit') AS spread \gset
\if :spread
-- a partitioned table has no children but partitions
CREATE UNLOGGED TABLE pgtap_archive.child (LIKE economy.reward_audit);
\else
CREATE TABLE pgtap_archive.child () INHERITS (economy.reward_audit);
\endif
CREATE TABLE pgtap_archive.ruled (LIKE economy.reward_audit);
CREATE RULE nothing AS ON INSERT TO pgtap_archive.ruled DO INSTEAD NOTHING;
CREATE TABLE pgtap_archive.other (LIKE economy.reward_audit);
ALTER TABLE pgtap_archive.other ALTER created_at TYPE timestamp;
SELECT throws_ok(format($$ SELECT * FROM economy.archive('economy.reward_audit', %L, '90 days') $$, t), 'XE002', NULL, t || ' is no archive') FROM unnest(ARRAY['pgtap_archive.view', 'pgtap_archive.unlogged', 'pgtap_passing', 'pgtap_archive.child', 'pgtap_archive.ruled', 'pgtap_archive.other']) t;
DROP TABLE pgtap_archive.child;
SELECT is(pg_temp.entries(), 'G1 R2 P3 R4 R5 P6 R7 R8 A9 G10 P11 R12', 'what fails takes nothing');

-- the table of the operator does not take them
CREATE FUNCTION pgtap_archive.nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER nothing BEFORE INSERT ON pgtap_archive.rewards FOR EACH ROW EXECUTE FUNCTION pgtap_archive.nothing();
SELECT throws_ok($$ SELECT pg_temp.archive('economy.reward_audit', 'pgtap_archive.rewards') $$, 'XE103', NULL, 'nothing is deleted that a trigger suppressed');
DROP TRIGGER nothing ON pgtap_archive.rewards;
CREATE FUNCTION pgtap_archive.another() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.reason := 'x'; RETURN NEW; END $$;
CREATE TRIGGER another BEFORE INSERT ON pgtap_archive.rewards FOR EACH ROW EXECUTE FUNCTION pgtap_archive.another();
SELECT throws_ok($$ SELECT pg_temp.archive('economy.reward_audit', 'pgtap_archive.rewards') $$, 'XE103', NULL, 'nor that it changed');
DROP TRIGGER another ON pgtap_archive.rewards;
SELECT is(pg_temp.entries() || ' ' || (SELECT count(*) FROM economy.archives), 'G1 R2 P3 R4 R5 P6 R7 R8 A9 G10 P11 R12 0', 'all is as it was');

SELECT is(pg_temp.archive('economy.reward_audit', 'pgtap_archive.rewards', '90 days', 1), '1 4 0', 'users one after the other: the entries of one are old');
SELECT is(pg_temp.entries(), 'G1 P3 P6 R8 A9 G10 P11 R12', 'the last one that is old stays');
SELECT bag_eq($$ SELECT * FROM pgtap_archive.rewards UNION ALL SELECT * FROM economy.reward_audit WHERE user_id = pg_temp.u() $$, 'SELECT * FROM whole', 'both together are the journal');
SELECT is(pg_temp.found() || ', ' || pg_temp.chain(), 'nothing, nothing', 'archive and stream are proved');
SELECT is(pg_temp.receipts(), '3 OK, 6 OK, 11 OK', 'receipts go on from entries that went');
SELECT is((SELECT string_agg(seq::text, ' ' ORDER BY seq) FROM economy.archived_hashes WHERE user_id = pg_temp.u()), '2 5', 'of which the hashes are kept');
SELECT is((SELECT concat_ws(' ', journal, from_seq, upto_seq, entries, freezes, octet_length(digest)) FROM economy.archives WHERE user_id = pg_temp.u()), 'reward_audit 0 8 4 0 32', 'what went is noted');
SELECT is((SELECT string_agg(k.seq || CASE WHEN k.key = economy_internal.archive_key('R', w.source, w.external_event_id) THEN '' ELSE ' another' END, ' ' ORDER BY k.seq) FROM economy.archived_keys k JOIN whole w USING (user_id, seq)), '2 4 5 7', 'the keys are kept');
SELECT is((SELECT pruned_seq FROM economy.accounts WHERE user_id = :u) || ' ' || (SELECT seq FROM economy.stream_checkpoints WHERE user_id = :u), '8 8', 'behind a checkpoint');
SELECT is(pg_temp.archive('economy.reward_audit', 'pgtap_archive.rewards'), '0 0 0', 'there is no more');
SELECT is((SELECT count(*) FROM economy.audit_sweep()), 0::bigint, 'the audit finds nothing');

-- calls
SELECT is((SELECT concat_ws(' ', success, state, code, transaction_id = 'R' || :u || '-2', detail) FROM economy.grant_reward(:u, 'pgtap', 'r2', 5, 7, '{"a": 1}')), 'f refused RESYNC_REQUIRED t {"reason": "archived"}', 'a retry has no effect again');
SELECT is((SELECT concat_ws(' ', state, code) FROM economy.grant_reward(:u, 'pgtap', 'r2', 6, 7)), 'refused RESYNC_REQUIRED', 'nor has one of other values');
SELECT is((SELECT concat_ws(' ', state, code) FROM economy.grant_reward(:u, 'pgtap', 'r8', 5, 7)), 'reuse OK', 'one that stayed answers');
SELECT is((SELECT string_agg(concat_ws(' ', state, code), ', ') FROM economy.grant_rewards(ARRAY[:u, :u, :young]::bigint[], '{pgtap,pgtap,pgtap}', '{r4,r12,y1}', '{5,5,5}', '{7,7,7}')), 'refused RESYNC_REQUIRED, reuse OK, reuse OK', 'of many alike');
SELECT is((SELECT concat_ws(' ', state, code, detail) FROM economy.revoke_reward(:u, 'R' || :u || '-5', 'because', 'pgtap')), 'refused RESYNC_REQUIRED {"reason": "archived"}', 'what is archived is not taken back');
SELECT is((SELECT concat_ws(' ', state, code) FROM economy.revoke_reward(:u, 'R' || :u || '-4', 'because', 'pgtap', 2, 2, idempotency_key => 'part')), 'refused RESYNC_REQUIRED', 'nor is a retry of that answered');
SELECT is((SELECT concat_ws(' ', state, code) FROM economy.revoke_reward(:u, 'R' || :u || '-3', 'because', 'pgtap')), 'refused REWARD_NOT_FOUND', 'a purchase is no reward all the same');
SELECT is((SELECT concat_ws(' ', state, code) FROM economy.revoke_reward(:u, 'R' || :u || '-8', 'because', 'pgtap')), 'new OK', 'what stayed behind them can be');
SELECT is((SELECT string_agg(DISTINCT code, ' ') FROM economy.replay(:u, 0)) || ' ' || (SELECT string_agg(DISTINCT code, ' ' ORDER BY code) FROM economy.replay(:u, 7)), 'RESYNC_REQUIRED CAUGHT_UP EVENT', 'replay() says what is gone');
SELECT is((SELECT string_agg(seq::text, ' ' ORDER BY seq) FROM economy.statement(:u, 0)), '1 3 6 8 9 10 11 12 13', 'statement() shows what is left');
SELECT is(pg_temp.chain(), 'nothing', 'the stream goes on');

-- the other journal, in front of the same checkpoint
SELECT is(pg_temp.archive('economy.gold_adjustments', 'pgtap_archive.adjustments'), '1 1 0', 'another journal');
SELECT is(pg_temp.entries(), 'P3 P6 R8 A9 G10 P11 R12 R13', 'in front of its last old entry');
SELECT is(pg_temp.found('gold_adjustments', 'pgtap_archive.adjustments') || ', ' || pg_temp.found() || ', ' || pg_temp.chain() || ', ' || pg_temp.receipts(), 'nothing, nothing, nothing, 3 OK, 6 OK, 11 OK', 'all is proved');
SELECT is((SELECT concat_ws(' ', state, code, transaction_id = 'G' || :u || '-1') FROM economy.adjust_gold(:u, 1000, 'open', 'r', 'a')), 'refused RESYNC_REQUIRED t', 'an adjustment has no effect again');
SELECT is((SELECT concat_ws(' ', state, code) FROM economy.adjust_gold(:u, 1, 'more', 'r', 'a')), 'reuse OK', 'what stayed answers');
SELECT is((SELECT gold FROM economy.accounts WHERE user_id = :u) + 5, :gold_before::bigint, 'and the gold is what it was, less the reversal');

-- with a prune behind it, and an archive in front of that again
SELECT users IS NULL AS x FROM economy.rollup_stats() \gset
SELECT pg_temp.at('2032-01-01 12:00+00') AS x \gset
SELECT code AS x FROM economy.record_action(:u, 'slot', 'T', 'a14', 1, 0) \gset
SELECT code AS x FROM economy.record_action(:u, 'slot', 'T', 'a15', 1, 0) \gset
SELECT code AS x FROM economy.grant_reward(:u, 'pgtap', 'r16', 5, 7) \gset
SELECT users IS NULL AS x FROM economy.rollup_stats() \gset
SELECT pg_temp.at('2033-01-01 12:00+00') AS x \gset
SELECT is((SELECT actions FROM economy.prune()), 1::bigint, 'a prune goes on behind an archive');
SELECT is(pg_temp.entries() || ', ' || pg_temp.chain() || ', ' || pg_temp.receipts(), 'P3 P6 R8 A9 G10 P11 R12 R13 A15 R16, nothing, 3 OK, 6 OK, 11 OK', 'and signs what was archived');
SELECT is(pg_temp.archive('economy.reward_audit', 'pgtap_archive.rewards', '365 days'), '1 3 0', 'an archive in front of a prune');
SELECT is(pg_temp.entries() || ', ' || pg_temp.chain() || ', ' || pg_temp.receipts() || ', ' || pg_temp.found(), 'P3 P6 A9 G10 P11 A15 R16, nothing, 3 OK, 6 OK, 11 OK, nothing', 'and signs what stayed');
SELECT is((SELECT string_agg(concat_ws(' ', from_seq, upto_seq, entries), ', ' ORDER BY upto_seq) FROM economy.archives WHERE user_id = :u AND journal = 'reward_audit'), '0 8 4, 8 16 3', 'each entry is of one archive');
SELECT is((SELECT count(*) FROM economy.audit_sweep()), 0::bigint, 'the audit finds nothing');
SELECT is((SELECT count(*) FROM economy.audit_sweep_incremental(1000000)), 0::bigint, 'nor does the other one');
SELECT is((SELECT count(*) FROM economy.stats_parity()), 0::bigint, 'statistics are what they were');

-- rows that are returned alone
SELECT pg_temp.at('2034-01-01 12:00+00') AS x \gset
SELECT code AS x FROM economy.grant_reward(:u, 'pgtap', 'r17', 5, 7) \gset
SELECT pg_temp.at('2035-01-01 12:00+00') AS x \gset
SELECT is((SELECT string_agg(e.seq::text, ' ' ORDER BY e.seq) FROM economy.archive_entries(NULL::economy.reward_audit, '90 days', 1000000) e WHERE e.user_id = :u), '16', 'without a table whoever asks has them');
SELECT is(pg_temp.found(), 'missing_entry 17', 'and an archive without them lacks them');
SELECT throws_ok('SELECT economy.archive_entries(NULL::text, interval ''90 days'')', 'XE002', NULL, 'of a journal');

-- damage
CREATE FUNCTION pg_temp.after(damage text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    EXECUTE replace(damage, '{u}', pg_temp.u()::text);
    result := pg_temp.chain() || ' / ' || pg_temp.found();
    RAISE EXCEPTION USING MESSAGE = result, ERRCODE = 'ZZZZZ';
EXCEPTION WHEN SQLSTATE 'ZZZZZ' THEN
    RETURN sqlerrm;
END $$;
SELECT is(pg_temp.after(d), w, d) FROM (VALUES
    ('UPDATE economy.archives SET digest = sha256(digest) WHERE user_id = {u} AND upto_seq = 8', 'missing_entry 17 / missing_entry 17, wrong_hash 8, wrong_signature'),
    ('UPDATE economy.archives SET entries = entries + 1 WHERE user_id = {u} AND upto_seq = 8', 'missing_entry 17 / missing_entry 8, missing_entry 17, wrong_signature'),
    ('UPDATE economy.archives SET freezes = 1 WHERE user_id = {u} AND upto_seq = 8', 'missing_entry 17 / missing_entry 17, wrong_signature'),
    ('UPDATE economy.archived_keys SET key = gen_random_uuid() WHERE user_id = {u} AND seq = 2', 'missing_entry 17 / missing_entry 17, wrong_signature'),
    ('DELETE FROM economy.archived_keys WHERE user_id = {u} AND seq = 2', 'missing_entry 17 / missing_entry 17, wrong_signature'),
    ('UPDATE pgtap_archive.rewards SET reason = ''x'' WHERE seq = 4', 'nothing / missing_entry 17, wrong_hash 8'),
    ('UPDATE pgtap_archive.rewards SET hash = sha256(hash) WHERE seq = 4', 'nothing / missing_entry 17, wrong_hash 8'),
    ('DELETE FROM pgtap_archive.rewards WHERE seq = 4', 'nothing / missing_entry 8, missing_entry 17'),
    ('INSERT INTO pgtap_archive.rewards SELECT * FROM pgtap_archive.rewards WHERE seq = 4', 'nothing / missing_entry 17, wrong_hash 8'),
    ('UPDATE pgtap_archive.rewards SET seq = 99 WHERE seq = 4', 'nothing / missing_entry 8, missing_entry 17, orphan_row 99'),
    ('UPDATE economy.stream_checkpoints SET archived = sha256(archived) WHERE user_id = {u}', 'missing_entry 17, wrong_signature 17 / missing_entry 17, wrong_signature')) t (d, w);
-- a damaged stream stays, and its user keeps nobody waiting
ALTER TABLE economy.reward_audit DISABLE TRIGGER USER;
SELECT pg_temp.at('2036-01-01 12:00+00') AS x \gset
SELECT code AS x FROM economy.grant_reward(:u, 'pgtap', 'r18', 5, 7) \gset
SELECT code AS x FROM economy.grant_reward(:young, 'pgtap', 'y2', 5, 7) \gset
SELECT pg_temp.at('2037-01-01 12:00+00') AS x \gset
UPDATE economy.reward_audit SET reason = 'x' WHERE user_id = :u AND seq = 17;
SELECT is(pg_temp.archive('economy.reward_audit', 'pgtap_archive.rewards'), '1 1 1', 'a damaged stream is left alone');
SELECT is(pg_temp.entries(:young), 'R2', 'and others go');
UPDATE economy.reward_audit SET reason = NULL WHERE user_id = :u AND seq = 17;
ALTER TABLE economy.reward_audit ENABLE ALWAYS TRIGGER reward_audit_append_only;
SELECT throws_ok($$ DELETE FROM economy.reward_audit $$, 'XE101', NULL, 'nobody else deletes');
SELECT is(pg_temp.archive('economy.reward_audit', 'pgtap_archive.rewards'), '1 1 0', 'mended, it goes');
SELECT is(pg_temp.chain(), 'nothing', 'and is proved');

-- actions in front of the checkpoint that no rollup had counted
SELECT pg_temp.at('2038-01-01 12:00+00') AS x \gset
SELECT economy.register('pgtap archive player') AS p \gset
SELECT code AS x FROM economy.grant_reward(:p, 'pgtap', 'r1', 5, 7) \gset
SELECT code AS x FROM economy.record_action(:p, 'slot', 'T', 'a2', 1, 0) \gset
SELECT code AS x FROM economy.grant_reward(:p, 'pgtap', 'r3', 5, 7) \gset
SELECT pg_temp.at('2039-01-01 12:00+00') AS x \gset
SELECT is(pg_temp.archive('economy.reward_audit', 'pgtap_archive.rewards') || ' ' || pg_temp.entries(:p), '1 1 0 A2 R3', 'an archive behind actions');
SELECT users IS NULL AS x FROM economy.rollup_stats() \gset
SELECT is((SELECT count(*) FROM economy.stats_parity()), 0::bigint, 'a rollup counts them');
SELECT is((SELECT concat_ws(' ', actions, damaged) FROM economy.prune()) || ' ' || pg_temp.entries(:p), '0 0 A2 R3', 'and no prune takes them');
SELECT is((SELECT count(*) FROM economy.stats_parity()) + (SELECT count(*) FROM economy.audit_sweep()), 0::bigint, 'nothing is found');

-- damage that no chain shows
CREATE FUNCTION pg_temp.swept(damage text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    EXECUTE replace(damage, '{u}', pg_temp.u()::text);
    result := (SELECT string_agg(concat_ws(' ', kind, seq), ', ' ORDER BY kind, seq) FROM economy.audit_sweep());
    RAISE EXCEPTION USING MESSAGE = coalesce(result, 'nothing'), ERRCODE = 'ZZZZZ';
EXCEPTION WHEN SQLSTATE 'ZZZZZ' THEN
    RETURN sqlerrm;
END $$;
SELECT is(pg_temp.swept(d), w, d) FROM (VALUES
    ('SELECT', 'nothing'),
    ('DELETE FROM economy.archived_hashes WHERE user_id = {u} AND seq = 2', 'broken_chain 3'),
    ('UPDATE economy.archived_hashes SET hash = sha256(hash) WHERE user_id = {u} AND seq = 5', 'broken_chain 6'),
    ('UPDATE economy.archived_hashes SET seq = 3 WHERE user_id = {u} AND seq = 5', 'broken_chain 6, orphan_row 3'),
    ('INSERT INTO economy.archived_keys (user_id, seq, key, product_id) VALUES ({u}, 1, gen_random_uuid(), '''')', 'missing_entry ' || (SELECT seq FROM economy.stream_checkpoints WHERE user_id = pg_temp.u()) || ', missing_entry'),
    ('INSERT INTO economy.archived_hashes VALUES ({u}, 10, sha256(''x''))', 'orphan_row 10'),
    ('INSERT INTO economy.archived_hashes VALUES (-1, 1, sha256(''x''))', 'orphan_row 1, orphan_row'),
    ('INSERT INTO economy.archives VALUES (-1, ''reward_audit'', 2, 0, 0, 0, ''x'', now())', 'orphan_row'),
    ('ALTER TABLE economy.archives DROP CONSTRAINT archives_pkey; INSERT INTO economy.archives SELECT * FROM economy.archives WHERE user_id = {u} AND upto_seq = 8', 'duplicate_row, missing_entry ' || (SELECT seq FROM economy.stream_checkpoints WHERE user_id = pg_temp.u()) || ', missing_entry, wrong_schema, wrong_schema')) t (d, w);

-- a streak goes on from the entries that stay
SELECT pg_temp.at('2040-01-01 12:00+00') AS x \gset
SELECT economy.register('pgtap archive streak') AS s \gset
SELECT code AS x FROM economy.adjust_gold(:s, 1000, 'open', 'r', 'a') \gset
SELECT code AS x FROM economy.purchase(:s, 'pgtap_f', 'f1', 2) \gset
CREATE FUNCTION pg_temp.claim(who bigint, clock text) RETURNS text LANGUAGE sql AS
    $$ SELECT concat_ws(' ', r.state, r.code, r.streak_day, r.freezes_used) FROM pg_temp.at(clock) c CROSS JOIN LATERAL economy.claim_daily_reward(who) r WHERE c IS NOT NULL $$;
-- the grace, then a freeze
SELECT is((SELECT string_agg(pg_temp.claim(:s, d || ' 12:00+00'), ', ' ORDER BY d) FROM unnest(ARRAY['2040-01-01', '2040-01-02', '2040-01-04', '2040-01-06']) d),
    'new CLAIMED 1 0, new CLAIMED 2 0, new CLAIMED 3 0, new CLAIMED 4 1', 'a streak');
SELECT code AS x FROM economy.purchase(:s, 'pgtap_f', 'f2') \gset
SELECT is(pg_temp.claim(:s, '2040-01-08 12:00+00'), 'new CLAIMED 5 1', 'that uses freezes');
SELECT is(pg_temp.claim(:s, '2040-01-10 12:00+00'), 'new CLAIMED 6 1', 'and the last one');
SELECT code AS x FROM economy.revoke_reward(:s, (SELECT 'R' || :s || '-' || max(seq) FROM economy.reward_audit WHERE user_id = :s), 'because', 'pgtap') \gset
SELECT code AS x FROM economy.set_streak(:s, 2, '2040-01-03', 'because', 'pgtap') \gset
SELECT pg_temp.at('2040-06-01 12:00+00') AS x \gset
SELECT code AS x FROM economy.grant_reward(:s, 'pgtap', 's1', 1, 1) \gset
SELECT pg_temp.at('2040-09-01 12:00+00') AS x \gset
SELECT is(pg_temp.entries(:s), 'G1 P2 R3 R4 R5 R6 P7 R8 R9 R10 R11 R12', 'its entries');
SELECT is(pg_temp.archive('economy.reward_audit', 'pgtap_archive.rewards'), '1 5 0', 'go');
SELECT is(pg_temp.entries(:s), 'G1 P2 P7 R9 R10 R11 R12', 'but for the last one, and the one with the newest date that was paid, which was taken back');
SELECT is((SELECT freezes FROM economy.archives WHERE user_id = :s), -2::bigint, 'freezes that were used are noted');
SELECT is((SELECT count(*) FROM economy.audit_sweep()), 0::bigint, 'the audit recomputes the streak and the freezes');
SELECT is((SELECT concat_ws(' ', state, code) FROM economy.revoke_reward(:s, 'R' || :s || '-9', 'because', 'pgtap')), 'refused RESYNC_REQUIRED', 'what stayed in front of the end is not taken back twice');
SELECT is(pg_temp.claim(:s, '2040-01-06 13:00+00'), 'refused RESYNC_REQUIRED', 'a date that was paid is not paid again when the clock is set back');
SELECT is(pg_temp.claim(:s, '2040-09-01 12:00+00') || ', ' || pg_temp.claim(:s, '2040-09-02 12:00+00'), 'new CLAIMED 1 0, new CLAIMED 2 0', 'a new streak');
SELECT is((SELECT concat_ws(' ', r.state, r.code) FROM economy.reward_audit l CROSS JOIN LATERAL economy.revoke_reward(:s, 'R' || :s || '-' || l.seq, 'because', 'pgtap') r WHERE l.user_id = :s ORDER BY l.seq DESC LIMIT 1), 'new OK', 'whose newest claim is taken back');
SELECT is((SELECT count(*) FROM economy.audit_sweep()), 0::bigint, 'the audit finds nothing');
SELECT is((SELECT count(*) FROM economy.verify_archive('economy.reward_audit', 'pgtap_archive.rewards', ARRAY[:s])), 0::bigint, 'and the archive is whole');

-- nor does what a reversal fell back to go, when the reversal stays: claims go on from it
SELECT pg_temp.at('2040-10-01 12:00+00') AS x \gset
SELECT economy.register('pgtap archive back') AS b \gset
SELECT is(pg_temp.claim(:b, '2041-01-01 12:00+00') || ', ' || pg_temp.claim(:b, '2041-01-02 12:00+00') || ', ' || pg_temp.claim(:b, '2041-01-03 12:00+00'), 'new CLAIMED 1 0, new CLAIMED 2 0, new CLAIMED 3 0', 'a streak');
SELECT is((SELECT string_agg(concat_ws(' ', r.state, r.code), ', ') FROM unnest('{3,2}'::int[]) n, economy.revoke_reward(:b, 'R' || :b || '-' || n, 'because', 'pgtap') r), 'new OK, new OK', 'whose newest claims are taken back');
SELECT pg_temp.at('2041-06-01 12:00+00') AS x \gset
SELECT pg_temp.archive('economy.reward_audit', 'pgtap_archive.rewards') AS x \gset
SELECT is((SELECT count(*) FROM economy.audit_sweep()), 0::bigint, 'the audit recomputes it');
SELECT is(pg_temp.claim(:b, '2041-06-01 12:00+00'), 'new CLAIMED 1 0', 'a claim behind the archive');
SELECT is((SELECT concat_ws(' ', r.state, r.code) FROM economy.revoke_reward(:b, 'R' || :b || '-6', 'because', 'pgtap') r), 'new OK', 'is taken back');
SELECT is((SELECT concat_ws(' ', streak_day, to_char(last_claim_on, 'YYYY-MM-DD')) FROM economy.streaks WHERE user_id = :b), '1 2041-01-01', 'and the streak is what it was before');
-- the date of a claim that is left was paid again
SELECT is(pg_temp.claim(:b, '2041-06-02 12:00+00'), 'new CLAIMED 1 0', 'a claim');
SELECT is((SELECT concat_ws(' ', r.state, r.code) FROM economy.revoke_reward(:b, 'R' || :b || '-8', 'because', 'pgtap') r), 'new OK', 'that is taken back');
SELECT is(pg_temp.claim(:b, '2041-06-02 13:00+00'), 'new CLAIMED 1 0', 'and its date is claimed again');
SELECT pg_temp.at('2041-10-01 12:00+00') AS x \gset
SELECT code AS x FROM economy.grant_reward(:b, 'pgtap', 'b1', 1, 1) \gset
SELECT pg_temp.at('2042-02-01 12:00+00') AS x \gset
SELECT pg_temp.archive('economy.reward_audit', 'pgtap_archive.rewards') AS x \gset
SELECT is((SELECT count(*) FROM economy.audit_sweep()), 0::bigint, 'the audit finds nothing');

-- the same where nothing that stays comes from the reversal
SELECT economy.register('pgtap archive fell back') AS f \gset
SELECT code AS x FROM economy.grant_reward(:f, 'pgtap', 'f1', 1, 1) \gset
SELECT is(pg_temp.claim(:f, '2042-03-01 12:00+00') || ', ' || pg_temp.claim(:f, '2042-03-02 12:00+00'), 'new CLAIMED 1 0, new CLAIMED 2 0', 'a streak');
SELECT is((SELECT code FROM economy.revoke_reward(:f, 'R' || :f || '-3', 'because', 'pgtap')), 'OK', 'whose newest claim is taken back');
SELECT code AS x FROM economy.grant_reward(:f, 'pgtap', 'f5', 1, 1) \gset
SELECT pg_temp.at('2042-07-01 12:00+00') AS x \gset
SELECT pg_temp.archive('economy.reward_audit', 'pgtap_archive.rewards') AS x \gset
SELECT is(pg_temp.entries(:f), 'R2 R3 R4 R5', 'the claim that the streak stands at is left');
SELECT is(pg_temp.claim(:f, '2042-07-01 12:00+00'), 'new CLAIMED 1 0', 'a claim goes on from it');
SELECT is((SELECT count(*) FROM economy.audit_sweep()), 0::bigint, 'the audit finds nothing');
SELECT is((SELECT code FROM economy.revoke_reward(:f, 'R' || :f || '-6', 'because', 'pgtap')), 'OK', 'and falls back to it');

-- the newest date that was paid is not that of the newest claim, where the clock was set back
SELECT pg_temp.at('2043-01-01 12:00+00') AS x \gset
SELECT economy.register('pgtap archive newest') AS n \gset
SELECT code AS x FROM economy.grant_reward(:n, 'pgtap', 'n1', 1, 1) \gset
SELECT is(pg_temp.claim(:n, '2043-01-10 12:00+00'), 'new CLAIMED 1 0', 'a claim');
SELECT code AS x FROM economy.set_streak(:n, 1, '2043-01-05', 'because', 'pgtap') \gset
SELECT is(pg_temp.claim(:n, '2043-01-06 12:00+00'), 'new CLAIMED 2 0', 'and one of an earlier date');
SELECT code AS x FROM economy.grant_reward(:n, 'pgtap', 'n5', 1, 1) \gset
SELECT pg_temp.at('2043-07-01 12:00+00') AS x \gset
SELECT pg_temp.archive('economy.reward_audit', 'pgtap_archive.rewards') AS x \gset
SELECT is(pg_temp.entries(:n), 'R2 R4 R5', 'the one of the newest date is left');
SELECT is((SELECT count(*) FROM economy.audit_sweep()), 0::bigint, 'the audit finds nothing');

-- of two claims of that date the one that was not taken back
SELECT pg_temp.at('2043-08-01 10:00+00') AS x \gset
SELECT economy.register('pgtap archive again') AS g \gset
SELECT code AS x FROM economy.grant_reward(:g, 'pgtap', 'g1', 1, 1) \gset
SELECT is(pg_temp.claim(:g, '2043-08-01 12:00+00'), 'new CLAIMED 1 0', 'a claim');
SELECT is((SELECT code FROM economy.revoke_reward(:g, 'R' || :g || '-2', 'because', 'pgtap')), 'OK', 'that is taken back');
SELECT is(pg_temp.claim(:g, '2043-08-01 13:00+00'), 'new CLAIMED 1 0', 'and its date is claimed again');
SELECT code AS x FROM economy.set_streak(:g, 3, '2043-08-01', 'because', 'pgtap') \gset
SELECT code AS x FROM economy.grant_reward(:g, 'pgtap', 'g6', 1, 1) \gset
SELECT pg_temp.at('2043-12-01 12:00+00') AS x \gset
SELECT pg_temp.archive('economy.reward_audit', 'pgtap_archive.rewards') AS x \gset
SELECT is(pg_temp.entries(:g), 'R4 R5 R6', 'is left');

-- all that is old of a user stays, and others go, into another table
SELECT pg_temp.at('2044-01-01 12:00+00') AS x \gset
SELECT economy.register('pgtap archive stays') AS t \gset
SELECT code AS x FROM economy.grant_reward(:t, 'pgtap', 't1', 1, 1) \gset
SELECT code AS x FROM economy.claim_daily_reward(:t) \gset
SELECT pg_temp.at('2045-01-01 12:00+00') AS x \gset
SELECT pg_temp.archive('economy.reward_audit', 'pgtap_archive.rewards') AS x \gset
SELECT is(pg_temp.entries(:t), 'R2', 'a user of whom entries went');
SELECT code AS x FROM economy.grant_reward(:t, 'pgtap', 't3', 1, 1) \gset
SELECT count(r.code) AS x FROM unnest('{y3,y4}'::text[]) k, economy.grant_reward(:young, 'pgtap', k, 1, 1) r \gset
SELECT pg_temp.at('2046-01-01 12:00+00') AS x \gset
CREATE TABLE pgtap_archive.next (LIKE economy.reward_audit);
SELECT is(pg_temp.archive('economy.reward_audit', 'pgtap_archive.next') || ' ' || pg_temp.entries(:t), '1 2 0 R2 R3', 'is not asked for when only others go into the next table');

-- that a claim was taken back is known as long as the claim is there, also when they go at different times
SELECT pg_temp.at('2050-01-01 10:00+00') AS x \gset
SELECT economy.register('pgtap archive between') AS d \gset
SELECT code AS x FROM economy.grant_reward(:d, 'pgtap', 'd1', 1, 1) \gset
SELECT is(pg_temp.claim(:d, '2050-01-01 12:00+00'), 'new CLAIMED 1 0', 'a claim');
SELECT code AS x FROM pg_temp.at('2050-01-01 13:00+00'), economy.grant_reward(:d, 'pgtap', 'd3', 1, 1) \gset
SELECT code AS x FROM pg_temp.at('2050-01-01 15:00+00'), economy.revoke_reward(:d, 'R' || :d || '-2', 'because', 'pgtap') \gset
SELECT is(pg_temp.claim(:d, '2050-01-01 16:00+00'), 'new CLAIMED 1 0', 'whose date is claimed again');
SELECT code AS x FROM economy.grant_reward(:d, 'pgtap', 'd6', 1, 1) \gset
SELECT code AS x FROM economy.grant_reward(:d, 'pgtap', 'd7', 1, 1) \gset
SELECT pg_temp.at('2050-04-01 14:00+00') AS x \gset
SELECT pg_temp.archive('economy.reward_audit', 'pgtap_archive.rewards') AS x \gset
SELECT is(pg_temp.entries(:d), 'R2 R3 R4 R5 R6 R7', 'an archive that ends between the claim and its reversal');
SELECT pg_temp.at('2050-04-01 19:00+00') AS x \gset
SELECT pg_temp.archive('economy.reward_audit', 'pgtap_archive.rewards') AS x \gset
SELECT is(pg_temp.entries(:d), 'R2 R4 R5 R7', 'and one behind both');
SELECT is((SELECT count(*) FROM economy.audit_sweep()), 0::bigint, 'the audit finds nothing');
SELECT * FROM finish();
ROLLBACK;
