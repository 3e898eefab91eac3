-- What verify_chain() says of damage, to the letter: entry, kind, what was expected and
-- what is there, and nothing else.  h5 is the hash of entry 5 as it was, H any other, P the position of
-- the newest.
BEGIN;
SELECT no_plan();
SELECT economy.register('pgtap findings', 'Europe/Rome', '{"a": 1}') AS u \gset
SELECT economy.upsert_product('{"product_id": "pgtap_f", "category": "item", "price_gold": 10}', 'pgtap') IS NULL AS x \gset
SELECT FROM economy.adjust_gold(:u, 1000, 'a1', 'r', 'a') \g /dev/null
SELECT FROM economy.purchase(:u, 'pgtap_f', 'p2') \g /dev/null
SELECT FROM economy.adjust_gold(:u, 5, 'a3', 'r', 'a') \g /dev/null
SELECT FROM economy.grant_reward(:u, 'pgtap', 'r4', 7, 11) \g /dev/null
SELECT FROM economy.purchase(:u, 'pgtap_f', 'p5') \g /dev/null
SELECT FROM economy.record_action(:u, 'slot', 'T', 'a6', 5, 5, 'win') \g /dev/null
SELECT FROM economy.update_profile(:u, '{"b": 2}', 'u7') \g /dev/null
SELECT FROM economy.purchase(:u, 'pgtap_f', 'p8') \g /dev/null
SELECT count(*) AS x FROM generate_series(9, 25) n, economy.grant_reward(:u, 'pgtap', 'r' || n, 1, 1) \gset
SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s)', :u), 'clean before');
CREATE TEMP TABLE was AS SELECT l.seq, encode(l.hash, 'hex') AS hash, l.position, l.user_id FROM economy.ledger l WHERE l.user_id = :u;
DO $$
DECLARE
    journal text;
BEGIN
    FOREACH journal IN ARRAY ARRAY['shop_transactions', 'gold_adjustments', 'reward_audit', 'user_changes', 'user_actions'] LOOP
        EXECUTE format('ALTER TABLE economy.%I DISABLE TRIGGER USER', journal);
    END LOOP;
END
$$;
CREATE FUNCTION pg_temp.says(damage text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    u      text := (SELECT DISTINCT user_id::text FROM was);
    answer text;
    w      record;
BEGIN
    EXECUTE replace(damage, '{u}', u);
    SELECT coalesce(string_agg(concat_ws(' ', f.seq, f.kind, f.entry, f.expected, '|', f.actual), '; ' ORDER BY f.seq, f.kind, f.expected), 'nothing') INTO answer
        FROM economy.verify_chain(u::bigint) f;
    RAISE EXCEPTION USING ERRCODE = 'XT000';
EXCEPTION WHEN SQLSTATE 'XT000' THEN
    answer := regexp_replace(answer, '([PGRAU])' || u || '-', E'\\1U-', 'g');
    FOR w IN SELECT * FROM was LOOP
        answer := replace(answer, w.hash, 'h' || w.seq);
    END LOOP;
    answer := replace(answer, (SELECT (max(position) + 1)::text FROM was), 'P + 1');
    answer := replace(answer, (SELECT max(position)::text FROM was), 'P');
    answer := regexp_replace(answer, 'by key version [0-9]+', 'by key version V');
    RETURN regexp_replace(answer, '[0-9a-f]{62,64}', 'H', 'g');
END
$$;
SELECT is(pg_temp.says(damage), says, damage)
FROM (VALUES
    ('DELETE FROM economy.reward_audit WHERE user_id = {u} AND seq BETWEEN 9 AND 18',
     '9 missing_entry an entry | nothing; 10 missing_entry an entry | nothing; 11 missing_entry an entry | nothing; 12 missing_entry an entry | nothing; 13 missing_entry an entry | nothing; 14 missing_entry an entry | nothing; 15 missing_entry an entry | nothing; 16 missing_entry an entry | nothing; 17 missing_entry an entry | nothing; 18 missing_entry an entry | nothing'),
    ('DELETE FROM economy.reward_audit WHERE user_id = {u} AND seq BETWEEN 9 AND 19',
     '9 missing_entry an entry | nothing; 10 missing_entry an entry | nothing; 11 missing_entry an entry | nothing; 12 missing_entry an entry | nothing; 13 missing_entry an entry | nothing; 14 missing_entry an entry | nothing; 15 missing_entry an entry | nothing; 16 missing_entry an entry | nothing; 17 missing_entry an entry | nothing; 18 missing_entry an entry | nothing; 19 missing_entry entries up to seq 19 | nothing'),
    ('DELETE FROM economy.reward_audit WHERE user_id = {u} AND seq BETWEEN 9 AND 20',
     '9 missing_entry an entry | nothing; 10 missing_entry an entry | nothing; 11 missing_entry an entry | nothing; 12 missing_entry an entry | nothing; 13 missing_entry an entry | nothing; 14 missing_entry an entry | nothing; 15 missing_entry an entry | nothing; 16 missing_entry an entry | nothing; 17 missing_entry an entry | nothing; 18 missing_entry an entry | nothing; 19 missing_entry entries up to seq 20 | nothing'),
    ('DELETE FROM economy.gold_adjustments WHERE user_id = {u} AND seq = 1',
     '1 missing_entry an entry | nothing'),
    ('DELETE FROM economy.reward_audit WHERE user_id = {u} AND seq = 25',
     '25 missing_entry entries up to seq 25 | nothing'),
    ('DELETE FROM economy.reward_audit WHERE user_id = {u} AND seq >= 24',
     '24 missing_entry entries up to seq 25 | nothing'),
    ('DELETE FROM economy.user_changes WHERE user_id = {u}',
     '7 missing_entry an entry | nothing'),
    ('UPDATE economy.gold_adjustments SET seq = 9000000000000000000 WHERE user_id = {u} AND seq = 3',
     '3 missing_entry an entry | nothing; 25 wrong_balance account seq 9000000000000000000 | account seq 25; 26 missing_entry an entry | nothing; 27 missing_entry an entry | nothing; 28 missing_entry an entry | nothing; 29 missing_entry an entry | nothing; 30 missing_entry an entry | nothing; 31 missing_entry an entry | nothing; 32 missing_entry an entry | nothing; 33 missing_entry an entry | nothing; 34 missing_entry an entry | nothing; 35 missing_entry an entry | nothing; 36 missing_entry entries up to seq 8999999999999999999 | nothing'),
    ('UPDATE economy.gold_adjustments SET gold = gold + 1 WHERE user_id = {u} AND seq = 3',
     '3 wrong_balance GU-3 gold 995 | gold 996; 3 wrong_hash GU-3 H | h3'),
    ('UPDATE economy.gold_adjustments SET gold = gold + 1, gold_delta = gold_delta + 1 WHERE user_id = {u} AND seq = 3',
     '3 wrong_hash GU-3 H | h3; 4 wrong_balance RU-4 gold 1003 | gold 1002'),
    ('UPDATE economy.gold_adjustments SET experience_points = 1 WHERE user_id = {u} AND seq = 3',
     '3 wrong_balance GU-3 experience_points 0 | experience_points 1; 3 wrong_hash GU-3 H | h3'),
    ('UPDATE economy.reward_audit SET xp_delta = xp_delta - 1 WHERE user_id = {u} AND seq = 4',
     '4 wrong_balance RU-4 experience_points 10 | experience_points 11; 4 wrong_hash RU-4 H | h4'),
    ('UPDATE economy.reward_audit SET gold = 9007199254740991 WHERE user_id = {u} AND seq = 4',
     '4 wrong_balance RU-4 gold 1002 | gold 9007199254740991; 4 wrong_hash RU-4 H | h4'),
    ('UPDATE economy.reward_audit SET gold = 9007199254740992 WHERE user_id = {u} AND seq = 4',
     '4 wrong_balance RU-4 gold 1002 | gold 9007199254740992; 4 wrong_balance RU-4 gold from 0 to 2^53-1 | gold 9007199254740992; 4 wrong_hash RU-4 H | h4'),
    ('UPDATE economy.reward_audit SET experience_points = 9007199254740991 WHERE user_id = {u} AND seq = 4',
     '4 wrong_balance RU-4 experience_points 11 | experience_points 9007199254740991; 4 wrong_hash RU-4 H | h4'),
    ('UPDATE economy.reward_audit SET experience_points = 9007199254740992 WHERE user_id = {u} AND seq = 4',
     '4 wrong_balance RU-4 experience_points 11 | experience_points 9007199254740992; 4 wrong_balance RU-4 experience_points from 0 to 2^53-1 | experience_points 9007199254740992; 4 wrong_hash RU-4 H | h4'),
    ('ALTER TABLE economy.reward_audit DROP CONSTRAINT reward_audit_gold_check; UPDATE economy.reward_audit SET gold = -1 WHERE user_id = {u} AND seq = 4',
     '4 wrong_balance RU-4 gold 1002 | gold -1; 4 wrong_balance RU-4 gold from 0 to 2^53-1 | gold -1; 4 wrong_hash RU-4 H | h4'),
    ('ALTER TABLE economy.reward_audit DROP CONSTRAINT reward_audit_xp_check; UPDATE economy.reward_audit SET experience_points = -1 WHERE user_id = {u} AND seq = 25',
     '25 wrong_balance RU-25 experience_points 28 | experience_points -1; 25 wrong_balance RU-25 experience_points from 0 to 2^53-1 | experience_points -1; 25 wrong_hash RU-25 H | h25'),
    ('UPDATE economy.gold_adjustments SET hash = sha256(hash) WHERE user_id = {u} AND seq = 3',
     '3 wrong_hash GU-3 h3 | H'),
    ('UPDATE economy.gold_adjustments SET hash = sha256(hash), reason = ''x'' WHERE user_id = {u} AND seq = 3',
     '3 wrong_hash GU-3 H | H; 4 wrong_hash RU-4 H | h4'),
    ('UPDATE economy.gold_adjustments SET hash = substr(hash, 1, 31) WHERE user_id = {u} AND seq = 3',
     '3 wrong_hash GU-3 h3 | H'),
    ('UPDATE economy.gold_adjustments SET hash = '''' WHERE user_id = {u} AND seq = 3',
     '3 wrong_hash GU-3 h3 | '),
    ('UPDATE economy.gold_adjustments SET reason = ''x'' WHERE user_id = {u} AND seq = 3',
     '3 wrong_hash GU-3 H | h3'),
    ('UPDATE economy.shop_transactions SET hash = sha256(hash) WHERE user_id = {u} AND seq = 5',
     '5 wrong_hash PU-5 h5 | H'),
    ('UPDATE economy.shop_transactions SET context = ''{}'' WHERE user_id = {u} AND seq = 5',
     '5 wrong_hash PU-5 H | h5'),
    ('UPDATE economy.shop_transactions SET receipt_signature = sha256(hash) WHERE user_id = {u} AND seq = 5',
     '5 wrong_signature PU-5 a signature by key version V | another'),
    ('UPDATE economy.shop_transactions SET receipt_signature_version = 999 WHERE user_id = {u} AND seq = 5',
     '5 wrong_hash PU-5 H | h5; 5 wrong_signature PU-5 a known key version | version 999'),
    ('DELETE FROM economy.reward_audit WHERE user_id = {u} AND seq = 4; UPDATE economy.shop_transactions SET context = ''{}'' WHERE user_id = {u} AND seq = 5',
     '4 missing_entry an entry | nothing'),
    ('UPDATE economy.reward_audit SET hash = sha256(hash) WHERE user_id = {u} AND seq = 4; UPDATE economy.shop_transactions SET context = ''{}'' WHERE user_id = {u} AND seq = 5',
     '4 wrong_hash RU-4 h4 | H; 5 wrong_hash PU-5 H | h5'),
    ('INSERT INTO economy.gold_adjustments SELECT user_id, 8, gold_delta, xp_delta, gold, experience_points, created_at, xact, position, live, hash, ''forged'', actor, reason FROM economy.gold_adjustments WHERE user_id = {u} AND seq = 1',
     '8 duplicate_effect PU-8 one entry with this seq | another entry with it; 8 wrong_balance GU-8 experience_points 11 | experience_points 0; 8 wrong_balance GU-8 gold 1992 | gold 1000; 8 wrong_hash GU-8 H | h1; 9 wrong_balance RU-9 gold 1001 | gold 983; 9 wrong_hash RU-9 H | h9'),
    ('ALTER TABLE economy.gold_adjustments DROP CONSTRAINT gold_adjustments_seq_check; UPDATE economy.gold_adjustments SET seq = 0 WHERE user_id = {u} AND seq = 3',
     '0 wrong_seq GU-0 a seq from 1 | seq 0; 3 missing_entry an entry | nothing'),
    ('ALTER TABLE economy.gold_adjustments DROP CONSTRAINT gold_adjustments_seq_check; UPDATE economy.gold_adjustments SET seq = -5 WHERE user_id = {u} AND seq = 3',
     '-5 wrong_seq GU--5 a seq from 1 | seq -5; 3 missing_entry an entry | nothing'),
    ('UPDATE economy.accounts SET gold = gold + 1 WHERE user_id = {u}',
     '25 wrong_balance account gold 999 | account gold 1000'),
    ('UPDATE economy.accounts SET experience_points = experience_points + 1 WHERE user_id = {u}',
     '25 wrong_balance account experience_points 28 | account experience_points 29'),
    ('UPDATE economy.accounts SET seq = seq + 1 WHERE user_id = {u}',
     '26 missing_entry entries up to seq 26 | nothing'),
    ('UPDATE economy.accounts SET seq = seq + 3, gold = gold + 7, experience_points = 0 WHERE user_id = {u}',
     '26 missing_entry entries up to seq 28 | nothing'),
    ('UPDATE economy.accounts SET seq = seq - 1 WHERE user_id = {u}',
     '24 wrong_balance account seq 25 | account seq 24'),
    ('UPDATE economy.accounts SET position = position + 1 WHERE user_id = {u}',
     '25 wrong_balance account position P | account position P + 1'),
    ('UPDATE economy.accounts SET pruned_seq = 1 WHERE user_id = {u}',
     '0 broken_chain account pruned_seq 0 | account pruned_seq 1'),
    ('UPDATE economy.accounts SET head_hash = sha256(head_hash) WHERE user_id = {u}',
     '25 broken_chain account head h25 | account head H'),
    ('UPDATE economy.accounts SET suspended = true WHERE user_id = {u}',
     '25 wrong_state status active | status suspended'),
    ('UPDATE economy.reward_audit SET hash = sha256(hash) WHERE user_id = {u} AND seq = 25',
     '25 wrong_hash RU-25 h25 | H'),
    ('UPDATE economy.reward_audit SET gold = gold + 1 WHERE user_id = {u} AND seq = 25',
     '25 wrong_balance RU-25 gold 999 | gold 1000; 25 wrong_hash RU-25 H | h25'),
    ('UPDATE economy.reward_audit SET gold = gold + 1 WHERE user_id = {u} AND seq = 25; UPDATE economy.accounts SET gold = gold + 1 WHERE user_id = {u}',
     '25 wrong_balance RU-25 gold 999 | gold 1000; 25 wrong_hash RU-25 H | h25'),
    ('UPDATE economy.reward_audit SET gold = gold + 1 WHERE user_id = {u} AND seq = 25; UPDATE economy.accounts SET gold = gold + 2 WHERE user_id = {u}',
     '25 wrong_balance account gold 1000 | account gold 1001; 25 wrong_balance RU-25 gold 999 | gold 1000; 25 wrong_hash RU-25 H | h25'),
    ('UPDATE economy.reward_audit SET experience_points = experience_points + 1 WHERE user_id = {u} AND seq = 25',
     '25 wrong_balance RU-25 experience_points 28 | experience_points 29; 25 wrong_hash RU-25 H | h25'),
    ('UPDATE economy.reward_audit SET experience_points = experience_points + 1 WHERE user_id = {u} AND seq = 25; UPDATE economy.accounts SET experience_points = experience_points + 1 WHERE user_id = {u}',
     '25 wrong_balance RU-25 experience_points 28 | experience_points 29; 25 wrong_hash RU-25 H | h25'),
    ('DELETE FROM economy.accounts WHERE user_id = {u}',
     '25 orphan_row an account | none'),
    ('DELETE FROM economy.users WHERE user_id = {u}',
     '25 orphan_row a user | only an account'),
    ('UPDATE economy.users SET timezone = ''Europe/Berlin'' WHERE user_id = {u}',
     '1 wrong_hash GU-1 H | h1'),
    ('UPDATE economy.users SET external_id = ''another'' WHERE user_id = {u}',
     '1 wrong_hash GU-1 H | h1'),
    ('UPDATE economy.users SET external_id = NULL WHERE user_id = {u}',
     '1 wrong_hash GU-1 H | h1'),
    ('UPDATE economy.users SET profile = ''{}'' WHERE user_id = {u}',
     '25 wrong_state profile {"a": 1, "b": 2} | profile {}'),
    ('UPDATE economy.users SET created_at = created_at + interval ''1 microsecond'' WHERE user_id = {u}',
     '1 wrong_hash GU-1 H | h1'),
    ('UPDATE economy.user_changes SET before = ''{}'' WHERE user_id = {u}',
     '7 wrong_hash UU-7 H | h7'),
    ('UPDATE economy.user_changes SET after = ''{}'' WHERE user_id = {u}',
     '7 wrong_hash UU-7 H | h7; 25 wrong_state profile {} | profile {"a": 1, "b": 2}')
) v (damage, says);
SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s)', :u), 'clean again');
-- a signature behind a gap whose hash is none
SELECT is(pg_temp.says('DELETE FROM economy.reward_audit WHERE user_id = {u} AND seq = 4; UPDATE economy.shop_transactions SET hash = '''' WHERE user_id = {u} AND seq = 5') ~ '^4 missing_entry an entry . nothing', true, 'an entry without a hash behind a gap');
-- a user without entries that is an account alone, and one of a zone that this server does not know
SELECT economy.register('pgtap findings silent') AS silent \gset
SELECT economy.register('pgtap findings abroad') AS abroad \gset
DELETE FROM economy.users WHERE user_id = :silent;
SELECT is((SELECT string_agg(concat_ws(' ', f.seq, f.kind, f.expected, '|', f.actual), '; ') FROM economy.verify_chain(:silent) f), '0 orphan_row a user | only an account', 'without entries: one finding');
UPDATE economy.users SET timezone = 'Mars/Olympus' WHERE user_id = :abroad;
UPDATE economy.accounts a SET head_hash = economy_internal.identity_hash(u.user_id, u.external_id, u.timezone, u.created_at) FROM economy.users u WHERE u.user_id = :abroad AND a.user_id = :abroad;
SELECT count(*) AS x FROM generate_series(1, 3) n, economy.record_action(:abroad, 'slot', 'T', n::text) \gset
SELECT is((SELECT string_agg(concat_ws(' ', f.seq, f.kind, f.expected, '|', f.actual), '; ') FROM economy.verify_chain(:abroad) f), '3 wrong_state a time zone that this server knows | timezone Mars/Olympus', 'of another world');
SELECT is(economy_internal.prune_stream(:abroad, 2), 1::bigint, 'whose stream is sound all the same');
-- of a user who never was there is nothing to find
SELECT is_empty('SELECT * FROM economy.verify_chain(-1)', 'nobody');
SELECT * FROM finish();
ROLLBACK;
