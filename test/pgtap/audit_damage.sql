-- audit_sweep(): every sort of damage is found, and no other is reported.
--
-- Run as superuser in a database without findings.  The guard triggers are
-- disabled and the tables changed until the final ROLLBACK.
BEGIN;
SELECT no_plan();
\i test/writable_views.sql
-- triggers are off here, which is a finding of its own
CREATE FUNCTION pg_temp.swept(since timestamptz DEFAULT NULL) RETURNS SETOF economy.finding LANGUAGE sql AS $$ SELECT * FROM economy.audit_sweep(since) f WHERE f.kind <> 'wrong_schema' $$;
SELECT is_empty('SELECT * FROM economy.audit_sweep()', 'this database has no findings');
SELECT economy.register('pgtap audit') AS u \gset
SELECT economy.register('pgtap audit other') AS other \gset
CREATE FUNCTION pg_temp.filled(statement text) RETURNS text LANGUAGE sql AS $$
    SELECT replace(replace(statement, '{u}', economy.user_id_of('pgtap audit')::text), '{other}', economy.user_id_of('pgtap audit other')::text) $$;
SELECT economy.upsert_product('{"product_id": "pgtap_au", "category": "item", "price_gold": 10}', 'pgtap') IS NULL AS x \gset
SELECT economy.upsert_product('{"product_id": "pgtap_fr", "category": "item", "price_gold": 10, "effect_code": "streak_freeze"}', 'pgtap') IS NULL AS x \gset
SELECT economy.add_stock('pgtap_au', 100, 'pgtap') AS x \gset
-- 1 adjustment, 2 action, 3 purchase, 4 claim, 5 freezes, 6 claim, 7 reward, 8 reversal, 9 action, 10 claim, 11 action
SELECT set_config('economy.test_clock', '2031-01-01 12:00+00', true) AS x \gset
SELECT success AS x FROM economy.adjust_gold(:u, 10000, 'open', 'r', 'a') \gset
SELECT success AS x FROM economy.record_action(:u, 'slot', 'T', '2', 10, 30) \gset
SELECT success AS x FROM economy.purchase(:u, 'pgtap_au', 'p3', 2) \gset
SELECT success AS x FROM economy.claim_daily_reward(:u) \gset
SELECT success AS x FROM economy.purchase(:u, 'pgtap_fr', 'p5', 2) \gset
SELECT set_config('economy.test_clock', '2031-01-02 12:00+00', true) AS x \gset
SELECT success AS x FROM economy.claim_daily_reward(:u) \gset
SELECT success AS x FROM economy.grant_reward(:u, 'pgtap', 'r7', 50, 60) \gset
SELECT success AS x FROM economy.revoke_reward(:u, 'R' || :u || '-7', 'r', 'a') \gset
SELECT success AS x FROM economy.record_action(:u, 'rps', 'T', '9', 1, 0) \gset
SELECT set_config('economy.test_clock', '2031-01-03 12:00+00', true) AS x \gset
SELECT success AS x FROM economy.claim_daily_reward(:u) \gset
SELECT success AS x FROM economy.record_action(:u, 'slot', 'T', '11', 0, 5) \gset
SELECT success AS x FROM economy.adjust_gold(:other, 100, 'open', 'r', 'a') \gset
SELECT success AS x FROM economy.grant_reward(:other, 'pgtap', 'o', 1, 1) \gset
SELECT count(*) AS x FROM generate_series(1, 20), economy.rollup_stats() \gset
SELECT is((SELECT string_agg(substr(transaction_id, 1, 1) || seq, ' ' ORDER BY seq) FROM economy.ledger WHERE user_id = :u), 'G1 A2 P3 R4 P5 R6 R7 R8 A9 R10 A11', 'the stream');
SELECT is_empty('SELECT * FROM pg_temp.swept()', 'clean before any damage');
SELECT is_empty('SELECT * FROM economy.audit_sweep_incremental()', 'incrementally too');
SELECT is((SELECT row(kind, since, findings, users = (SELECT count(*) FROM economy.accounts), entries = (SELECT sum(seq) FROM economy.accounts), finished_at >= started_at)::text
           FROM economy.audit_runs WHERE kind = 'full' ORDER BY run_id DESC LIMIT 1), '(full,,0,t,t,t)', 'the run is recorded');

ALTER TABLE economy.shop_transactions DISABLE TRIGGER shop_transactions_append_only;
ALTER TABLE economy.gold_adjustments DISABLE TRIGGER gold_adjustments_append_only;
ALTER TABLE economy.reward_audit DISABLE TRIGGER reward_audit_append_only;
ALTER TABLE economy.user_actions DISABLE TRIGGER user_actions_append_only;
ALTER TABLE economy.config_changes DISABLE TRIGGER config_changes_append_only;
-- all that sweeps find after the damage, as "kind seq": and with it undone
CREATE FUNCTION pg_temp.sweep(damage text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer   text;
    recorded text;
    d        text;
    n        bigint;
BEGIN
    FOREACH d IN ARRAY regexp_split_to_array(pg_temp.filled(damage), E';\\s*') LOOP
        EXECUTE d;
        GET DIAGNOSTICS n = ROW_COUNT;
        IF n = 0 AND d NOT LIKE 'ALTER%' THEN
            RETURN 'no damage was done: ' || d;
        END IF;
    END LOOP;
    SELECT string_agg(DISTINCT concat_ws(' ', CASE user_id WHEN economy.user_id_of('pgtap audit') THEN NULL WHEN economy.user_id_of('pgtap audit other') THEN 'other' ELSE 'nobody' END, kind, seq), ', ')
    INTO answer FROM pg_temp.swept();
    SELECT string_agg(DISTINCT concat_ws(' ', CASE f.user_id WHEN economy.user_id_of('pgtap audit') THEN NULL WHEN economy.user_id_of('pgtap audit other') THEN 'other' ELSE 'nobody' END, f.kind, f.seq), ', ')
    INTO recorded FROM economy.audit_findings f WHERE f.last_run_id = (SELECT max(run_id) FROM economy.audit_runs) AND f.kind <> 'wrong_schema';
    RAISE EXCEPTION USING ERRCODE = 'XT000';
EXCEPTION WHEN SQLSTATE 'XT000' THEN
    RETURN CASE WHEN recorded IS DISTINCT FROM answer THEN 'recorded: ' || coalesce(recorded, 'nothing') || ', but ' ELSE '' END || coalesce(answer, 'nothing');
END
$$;
SELECT is(pg_temp.sweep(damage), found, what)
FROM (VALUES
    -- entries
    ('a missing adjustment',   'missing_entry 1',           'DELETE FROM economy.gold_adjustments WHERE user_id = {u}'),
    ('a missing purchase',     'missing_entry 3, nobody wrong_stock', 'DELETE FROM economy.shop_transactions WHERE user_id = {u} AND seq = 3'),
    ('a missing action',       'missing_entry 9, parity',   'DELETE FROM economy.user_actions WHERE user_id = {u} AND seq = 9'),
    ('the newest is missing',  'missing_entry 11, parity, wrong_mark 11',  'DELETE FROM economy.user_actions WHERE user_id = {u} AND seq = 11'),
    ('a wrong balance',        'wrong_balance 2, wrong_hash 2', 'UPDATE economy.user_actions SET gold = gold + 1 WHERE user_id = {u} AND seq = 2'),
    ('a wrong XP balance',     'wrong_balance 7, wrong_hash 7', 'UPDATE economy.reward_audit SET experience_points = 0 WHERE user_id = {u} AND seq = 7'),
    ('a wrong account',        'wrong_balance 11',          'UPDATE economy.accounts SET gold = gold + 1 WHERE user_id = {u}'),
    ('another''s account',     'other wrong_balance 2',     'UPDATE economy.accounts SET experience_points = 5 WHERE user_id = {other}'),
    ('a broken chain',         'broken_chain 11',           'UPDATE economy.accounts SET head_hash = sha256(head_hash) WHERE user_id = {u}'),
    ('a wrong hash',           'wrong_hash 1',              'UPDATE economy.gold_adjustments SET hash = sha256(hash) WHERE user_id = {u}'),
    ('a changed action_type',  'wrong_hash 2',              'UPDATE economy.user_actions SET action_type = ''X'' WHERE user_id = {u} AND seq = 2'),
    ('a changed bet',          'parity, wrong_hash 2',      'UPDATE economy.user_actions SET bet = 11 WHERE user_id = {u} AND seq = 2'),
    ('a changed outcome',      'parity, wrong_hash 2',      'UPDATE economy.user_actions SET outcome = ''draw'' WHERE user_id = {u} AND seq = 2'),
    ('a wrong signature',      'wrong_signature 3',         'UPDATE economy.shop_transactions SET receipt_signature = sha256(receipt_signature) WHERE user_id = {u} AND seq = 3'),
    ('an unknown key',         'wrong_hash 3, wrong_signature 3', 'UPDATE economy.shop_transactions SET receipt_signature_version = 99999 WHERE user_id = {u} AND seq = 3'),
    -- what no stream has
    ('an entry before the first', 'wrong_seq 0',            'ALTER TABLE economy.gold_adjustments DROP CONSTRAINT gold_adjustments_seq_check;
        INSERT INTO economy.gold_adjustments SELECT (jsonb_populate_record(g, ''{"seq": 0, "idempotency_key": "forged"}'')).* FROM economy.gold_adjustments g WHERE g.user_id = {u}'),
    ('an entry far before it', 'wrong_seq -9223372036854775808', 'ALTER TABLE economy.gold_adjustments DROP CONSTRAINT gold_adjustments_seq_check;
        INSERT INTO economy.gold_adjustments SELECT (jsonb_populate_record(g, ''{"seq": -9223372036854775808, "idempotency_key": "forged"}'')).* FROM economy.gold_adjustments g WHERE g.user_id = {u}'),
    -- what the audit itself has noted
    ('a mark of another hash', 'wrong_mark 11',             'UPDATE economy_internal.audit_checkpoints SET hash = sha256(hash) WHERE user_id = {u}'),
    ('a mark of another balance', 'wrong_mark 11',          'UPDATE economy_internal.audit_checkpoints SET gold = gold + 1 WHERE user_id = {u}'),
    ('a mark of other XP',     'wrong_mark 11',             'UPDATE economy_internal.audit_checkpoints SET experience_points = experience_points + 1 WHERE user_id = {u}'),
    ('a mark moved back',      'wrong_mark 10',             'UPDATE economy_internal.audit_checkpoints SET seq = 10 WHERE user_id = {u}'),
    ('a mark ahead',           'wrong_mark 12',             'UPDATE economy_internal.audit_checkpoints SET seq = 12 WHERE user_id = {u}'),
    ('the account and its newest entry cut off', 'missing_entry 11, parity, wrong_mark 11', 'UPDATE economy.accounts a SET seq = l.seq, gold = l.gold, head_hash = l.hash FROM economy.ledger l WHERE l.user_id = {u} AND l.seq = 10 AND a.user_id = {u};
        DELETE FROM economy.user_actions WHERE user_id = {u} AND seq = 11'),
    ('a suspension that nobody made', 'wrong_state 11',     'UPDATE economy.accounts SET suspended = true WHERE user_id = {u}'),
    ('a position that no entry has', 'wrong_balance 11',    'UPDATE economy.accounts SET position = position + 1 WHERE user_id = {u}'),
    -- keys
    ('a key of a wrong length', 'nobody wrong_config, nobody wrong_key', 'UPDATE economy.signing_keys SET material = substr(material, 1, 31)'),
    ('a second active key',    'nobody wrong_config, nobody wrong_key', 'INSERT INTO economy.signing_keys SELECT max(version) + 1, ''active'', sha256(''x''), pg_catalog.now(), NULL, 0 FROM economy.signing_keys'),
    ('no active key',          'nobody wrong_config, nobody wrong_key', 'UPDATE economy.signing_keys SET state = ''verify_only'' WHERE state = ''active'''),
    ('an added key',           'nobody wrong_config, nobody wrong_key',       'INSERT INTO economy.signing_keys SELECT 1000, ''verify_only'', sha256(''x''), pg_catalog.now(), NULL, 0 FROM economy.signing_keys WHERE state = ''active'''),
    -- configuration
    ('another price',          'nobody wrong_config',       'UPDATE economy.shop_products SET price_gold = 1 WHERE product_id = ''pgtap_au'''),
    ('a product of nobody',    'nobody wrong_config',       'INSERT INTO economy.shop_products (product_id, category) VALUES (''pgtap_none'', ''item'')'),
    ('a product less',         'nobody wrong_config',       'DELETE FROM economy.shop_products WHERE product_id = ''pgtap_fr'''),
    ('another past',           'nobody wrong_config',       'UPDATE economy.config_changes SET actor = ''x'' WHERE relation = ''shop_products'' AND key = ''pgtap_au'' AND change_no = 1'),
    ('no past',                'nobody wrong_config',       'DELETE FROM economy.config_changes WHERE relation = ''shop_products'' AND key = ''pgtap_fr'''),
    ('a game of the house',    'nobody wrong_config',       'UPDATE economy.games SET rules = ''{"x": 1}'' WHERE game = ''slot'''),
    -- effects
    ('two purchases of one key', 'duplicate_effect 5, wrong_hash 5', 'UPDATE economy.shop_transactions SET product_id = ''pgtap_au'', idempotency_key = ''p3'' WHERE user_id = {u} AND seq = 5'),
    ('two rewards of one event', 'duplicate_effect 8, wrong_hash 8', 'UPDATE economy.reward_audit SET source = ''pgtap'', external_event_id = ''r7'' WHERE user_id = {u} AND seq = 8'),
    ('two adjustments of one key', 'duplicate_effect 13, missing_entry 12, wrong_balance 11', 'ALTER TABLE economy.gold_adjustments DROP CONSTRAINT gold_adjustments_key;
        INSERT INTO economy.gold_adjustments SELECT user_id, 13, 0, 0, gold, experience_points, created_at, xact, position, live, hash, idempotency_key, actor, reason FROM economy.gold_adjustments WHERE user_id = {u}'),
    ('two actions of one id',  'duplicate_effect 11, wrong_hash 11', 'UPDATE economy.user_actions SET action_id = ''2'' WHERE user_id = {u} AND seq = 11'),
    ('two claims of one date', 'duplicate_effect 6, wrong_hash 6', 'UPDATE economy.reward_audit SET claim_date = ''2031-01-01'' WHERE user_id = {u} AND seq = 6'),
    -- orphans
    ('entries without an account', 'other orphan_row, other orphan_row 1', 'DELETE FROM economy.accounts WHERE user_id = {other}'),
    ('an account without a user', 'nobody orphan_row 0',    'INSERT INTO economy.accounts (user_id, head_hash) VALUES (-7, sha256(''''))'),
    ('a user without an account', 'nobody orphan_row',      'INSERT INTO economy.users VALUES (-7, ''pgtap audit nobody'', ''UTC'', ''{}'', pg_catalog.now())'),
    ('a reversal without its reward', 'missing_entry 7, orphan_row 8', 'DELETE FROM economy.reward_audit WHERE user_id = {u} AND seq = 7'),
    ('entries of nobody',      'nobody orphan_row 1',       'INSERT INTO economy.gold_adjustments SELECT -7, seq, gold_delta, xp_delta, gold, experience_points, created_at, xact, position, live, hash, idempotency_key, actor, reason FROM economy.gold_adjustments WHERE user_id = {u}'),
    -- stock
    ('stock too many',         'nobody wrong_stock',        'UPDATE economy.shop_stock SET remaining = remaining + 1 WHERE product_id = ''pgtap_au'' AND slot = 3'),
    ('stock that is null',     'nobody wrong_stock',        'ALTER TABLE economy.shop_stock ALTER remaining DROP NOT NULL; UPDATE economy.shop_stock SET remaining = remaining + (SELECT t.remaining FROM economy.shop_stock t WHERE t.product_id = ''pgtap_au'' AND t.slot = 3)
        WHERE product_id = ''pgtap_au'' AND slot = 2; UPDATE economy.shop_stock SET remaining = NULL WHERE product_id = ''pgtap_au'' AND slot = 3'),
    ('stock too few',          'nobody wrong_stock',        'DELETE FROM economy.shop_stock WHERE product_id = ''pgtap_au'' AND slot = 3'),
    ('stock never issued',     'nobody wrong_config, nobody wrong_stock', 'DELETE FROM economy.config_changes WHERE relation = ''shop_products'' AND key = ''pgtap_au'' AND action = ''stock'''),
    ('stock of no product',    'nobody wrong_stock',        'INSERT INTO economy.shop_stock VALUES (''pgtap_none'', 0, 1)'),
    -- claims
    ('a wrong reward',         'wrong_balance 6, wrong_hash 6, wrong_reward 6', 'UPDATE economy.reward_audit SET gold_delta = gold_delta + 1 WHERE user_id = {u} AND seq = 6'),
    ('a wrong reward, in XP',  'wrong_balance 6, wrong_hash 6, wrong_reward 6', 'UPDATE economy.reward_audit SET xp_delta = xp_delta + 25 WHERE user_id = {u} AND seq = 6'),
    ('a reward of another day', 'wrong_hash 6, wrong_reward 6', 'UPDATE economy.reward_audit SET reward_day = 1 WHERE user_id = {u} AND seq = 6'),
    ('a wrong streak',         'wrong_hash 6, wrong_streak 10, wrong_streak 6', 'UPDATE economy.reward_audit SET streak_day = 5 WHERE user_id = {u} AND seq = 6'),
    ('a streak that begins at 2', 'wrong_hash 4, wrong_streak 4, wrong_streak 6', 'UPDATE economy.reward_audit SET streak_day = 2 WHERE user_id = {u} AND seq = 4'),
    ('a streak that begins anew', 'parity 10, wrong_hash 10, wrong_streak 10', 'UPDATE economy.reward_audit SET streak_day = 1 WHERE user_id = {u} AND seq = 10'),
    ('a claim moved on',       'parity 10, wrong_hash 10',  'UPDATE economy.reward_audit SET claim_date = ''2031-01-04'' WHERE user_id = {u} AND seq = 10'),
    ('a streak row, by day',   'parity 10',                 'UPDATE economy.streaks SET streak_day = 30 WHERE user_id = {u}'),
    ('a streak row, by date',  'parity 10',                 'UPDATE economy.streaks SET last_claim_on = ''2031-01-02'' WHERE user_id = {u}'),
    ('a streak row, by entry', 'parity 10',                 'UPDATE economy.streaks SET last_seq = 6 WHERE user_id = {u}'),
    ('a streak row, gone',     'parity 10',                 'DELETE FROM economy.streaks WHERE user_id = {u}'),
    ('a streak of nothing',    'other parity',              'INSERT INTO economy.streaks VALUES ({other}, 1, 1, ''2031-01-01'', NULL, NULL, ''2031-01-01'', 1, ''UTC'')'),
    ('freezes out of nothing', 'wrong_balance',             'UPDATE economy.accounts SET streak_freezes = streak_freezes + 1 WHERE user_id = {u}'),
    ('freezes of another',     'other wrong_balance',       'UPDATE economy.accounts SET streak_freezes = 1 WHERE user_id = {other}'),
    ('lost freezes',           'wrong_balance',             'UPDATE economy.accounts SET streak_freezes = 0 WHERE user_id = {u}'),
    ('used freezes that were not', 'wrong_balance, wrong_hash 6', 'UPDATE economy.reward_audit SET freezes_used = 1 WHERE user_id = {u} AND seq = 6'),
    -- statistics
    ('game_stats',             'parity',                    'UPDATE economy.game_stats SET max_win = 31 WHERE user_id = {u} AND game = ''slot'''),
    ('game_stats, gone',       'parity',                    'DELETE FROM economy.game_stats WHERE user_id = {u} AND game = ''slot'''),
    ('the rollup',             'parity',                    'UPDATE economy.user_game_stats_summary SET wins = 0, draws = draws + wins WHERE user_id = {u} AND game = ''slot'''),
    ('the rollup, gone',       'parity',                    'DELETE FROM economy.user_game_stats_summary WHERE user_id = {u} AND game = ''rps'''),
    -- two at once
    ('two sorts at once',      'nobody wrong_stock, other wrong_balance 2, wrong_hash 1', 'UPDATE economy.gold_adjustments SET reason = ''x'' WHERE user_id = {u};
        UPDATE economy.accounts SET gold = 0 WHERE user_id = {other}; UPDATE economy.shop_stock SET remaining = 0 WHERE product_id = ''pgtap_au'' AND slot = 0')
) v (what, found, damage);

-- what a finding says
CREATE FUNCTION pg_temp.texts(damage text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    EXECUTE pg_temp.filled(damage);
    SELECT string_agg(concat_ws('|', kind, replace(expected, 'R' || economy.user_id_of('pgtap audit') || '-', 'RU-'), replace(actual, 'R' || economy.user_id_of('pgtap audit') || '-', 'RU-'),
                                replace(entry, 'R' || economy.user_id_of('pgtap audit') || '-', 'RU-'), seq), '; ' ORDER BY kind, expected) INTO answer FROM pg_temp.swept() WHERE kind <> 'wrong_hash';
    RAISE EXCEPTION USING ERRCODE = 'XT000';
EXCEPTION WHEN SQLSTATE 'XT000' THEN
    RETURN answer;
END
$$;
SELECT is(pg_temp.texts(damage), says, says)
FROM (VALUES
    ('wrong_balance|account gold 13584|account gold 3|11', 'UPDATE economy.accounts SET gold = 3 WHERE user_id = {u}'),
    ('wrong_stock|100 units issued of pgtap_au|99 left and 2 sold', 'UPDATE economy.shop_stock SET remaining = remaining + 1 WHERE product_id = ''pgtap_au'' AND slot = 3'),
    ('wrong_reward|1000 gold and 50 XP for day 1|1200 gold and 75 XP|RU-6|6', 'UPDATE economy.reward_audit SET reward_day = 1 WHERE user_id = {u} AND seq = 6'),
    ('wrong_balance|2 streak freezes|7 streak freezes', 'UPDATE economy.accounts SET streak_freezes = 7 WHERE user_id = {u}'),
    ('missing_entry|an entry|nothing|7; orphan_row|reward RU-7|only its reversal|RU-8|8', 'DELETE FROM economy.reward_audit WHERE user_id = {u} AND seq = 7')
) v (says, damage);

-- since: users whose newest entry is not older
SELECT is((SELECT count(*) FROM pg_temp.swept('2031-01-03 12:00+00')), 0::bigint, 'a sweep since');
SELECT is((SELECT row(kind, since = '2031-01-03 12:00+00', users)::text FROM economy.audit_runs ORDER BY run_id DESC LIMIT 1), '(since,t,2)', 'looks at two users');
SELECT set_config('economy.test_clock', '2031-01-05 12:00+00', true) AS x \gset
SELECT success AS x FROM economy.record_action(:other, 'rps', 'T', 'x') \gset
SELECT is((SELECT count(*) FROM pg_temp.swept('2031-01-04 00:00+00')), 0::bigint, 'a sweep since later');
SELECT is((SELECT row(kind, users, entries)::text FROM economy.audit_runs ORDER BY run_id DESC LIMIT 1), '(since,1,3)', 'looks at one');
CREATE FUNCTION pg_temp.since(who text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    EXECUTE pg_temp.filled('UPDATE economy.accounts SET head_hash = sha256(head_hash) WHERE user_id = {' || who || '}');
    SELECT coalesce(string_agg(kind, ' '), 'nothing') INTO answer FROM pg_temp.swept('2031-01-04 00:00+00');
    RAISE EXCEPTION USING ERRCODE = 'XT000';
EXCEPTION WHEN SQLSTATE 'XT000' THEN
    RETURN answer;
END
$$;
SELECT is(pg_temp.since('other'), 'broken_chain', 'its damage is found');
SELECT is(pg_temp.since('u'), 'nothing', 'the other''s is not looked for');

-- incremental: only new entries are read
SELECT is_empty('SELECT * FROM economy.audit_sweep_incremental()', 'the new entry');
SELECT is((SELECT row(kind, users, entries, findings)::text FROM economy.audit_runs ORDER BY run_id DESC LIMIT 1), '(incremental,1,1,0)', 'and no other is read');
SELECT is_empty('SELECT * FROM economy.audit_sweep_incremental()', 'nothing new');
SELECT is((SELECT row(kind, users, entries, findings)::text FROM economy.audit_runs ORDER BY run_id DESC LIMIT 1), '(incremental,0,0,0)', 'is nothing to read');
SELECT is((SELECT row(c.seq, c.gold = a.gold, c.experience_points = a.experience_points, c.hash = a.head_hash)::text FROM economy_internal.audit_checkpoints c JOIN economy.accounts a USING (user_id) WHERE user_id = :u), '(11,t,t,t)', 'checkpoints are the heads');
UPDATE economy.gold_adjustments SET reason = 'changed' WHERE user_id = :u;
SELECT success AS x FROM economy.record_action(:u, 'rps', 'T', '12') \gset
SELECT success AS x FROM economy.record_action(:u, 'rps', 'T', '13') \gset
SELECT is_empty('SELECT * FROM economy.audit_sweep_incremental()', 'damage of old entries is the full sweep''s');
SELECT is((SELECT row(users, entries)::text FROM economy.audit_runs ORDER BY run_id DESC LIMIT 1), '(1,2)', 'two entries were read');
SELECT is((SELECT string_agg(kind, ' ') FROM pg_temp.swept()), 'wrong_hash', 'which finds it');
UPDATE economy.gold_adjustments SET reason = 'r' WHERE user_id = :u;
SELECT success AS x FROM economy.record_action(:u, 'rps', 'T', '14') \gset
SELECT success AS x FROM economy.record_action(:other, 'rps', 'T', '14') \gset
UPDATE economy.user_actions SET action_type = 'X' WHERE user_id = :u AND seq = 14;
SELECT is((SELECT string_agg(kind || ' ' || seq || ' ' || (user_id = :u), ' ') FROM economy.audit_sweep_incremental()), 'wrong_hash 14 true', 'new damage is found');
SELECT is((SELECT string_agg(seq::text, ' ' ORDER BY user_id) FROM economy_internal.audit_checkpoints WHERE user_id IN (:u, :other)), '13 4', 'the checkpoint stays, the other''s moves');
SELECT is((SELECT row(r.users, r.entries, r.findings, f.kind, f.seq, f.entry = 'A' || :u || '-14')::text FROM economy.audit_runs r JOIN economy.audit_findings f USING (run_id) ORDER BY r.run_id DESC LIMIT 1), '(2,2,1,wrong_hash,14,t)', 'and recorded');
SELECT is_empty('SELECT * FROM economy.audit_sweep_incremental()', 'a damaged stream without new entries is not looked at again');
SELECT is((SELECT users FROM economy.audit_runs ORDER BY run_id DESC LIMIT 1), 0::bigint, 'so that the sweeps end');
SELECT is((SELECT string_agg(kind || ' ' || seq, ' ') FROM pg_temp.swept()), 'wrong_hash 14', 'but by a full sweep');
SELECT is((SELECT row(count(*), count(DISTINCT f.run_id), bool_and(f.gone_run_id IS NULL), bool_and(f.last_run_id > f.run_id))::text FROM economy.audit_findings f WHERE f.kind = 'wrong_hash' AND f.seq = 14 AND f.user_id = :u), '(1,1,t,t)', 'which finds it again, and records it once');
SELECT is((SELECT string_agg(concat_ws(' ', kind, seq, entry = 'A' || :u || '-14', last_seen > first_seen), ', ') FROM economy.audit_open() WHERE user_id = :u), 'wrong_hash 14 t t', 'it is open');
SELECT success AS x FROM economy.record_action(:u, 'rps', 'T', '14 again') \gset
SELECT is((SELECT string_agg(kind || ' ' || seq, ' ') FROM economy.audit_sweep_incremental()), 'wrong_hash 14', 'with a new entry it is looked at again');
-- one that is damaged, and as many as fit in a call, keep no other waiting
SELECT economy.register('pgtap audit last') AS last \gset
SELECT success AS x FROM economy.adjust_gold(:last, 1, 'k', 'r', 'a') \gset
UPDATE economy.gold_adjustments SET reason = 'x' WHERE user_id IN (:other, :last);
SELECT success AS x FROM economy.record_action(:u, 'rps', 'T', '14 once more') \gset
SELECT is((SELECT string_agg(r.found, ', ') FROM (SELECT (SELECT string_agg(CASE user_id WHEN :u THEN 'u' WHEN :last THEN 'last' END || seq, ' ') FROM economy.audit_sweep_incremental(1 + 0 * n)) AS found FROM generate_series(1, 4) n) r),
    'u14, last1', 'one after the other, and then nobody');
UPDATE economy.gold_adjustments SET reason = 'r' WHERE user_id IN (:other, :last);
UPDATE economy.user_actions SET action_type = 'T' WHERE user_id = :u AND seq = 14;
SELECT is_empty('SELECT * FROM pg_temp.swept()', 'mended, as a full sweep sees');
SELECT is_empty($$SELECT * FROM economy.audit_open() WHERE kind <> 'wrong_schema'$$, 'nothing is open any more');
SELECT is((SELECT findings FROM economy.audit_history(1)), (SELECT count(*) FROM economy.audit_schema()), 'the history says so');
SELECT is_empty('SELECT * FROM economy.audit_sweep_incremental()', 'mended');
SELECT is((SELECT seq FROM economy_internal.audit_checkpoints WHERE user_id = :u), 16::bigint, 'the checkpoint moves');
SELECT count(*) AS x FROM unnest(ARRAY[:u, :other]) id, economy.record_action(id, 'rps', 'T', '15') \gset
SELECT is_empty('SELECT * FROM economy.audit_sweep_incremental(1)', 'one user a call') FROM generate_series(1, 3);
SELECT is((SELECT string_agg(users::text, ' ' ORDER BY run_id) FROM (SELECT * FROM economy.audit_runs ORDER BY run_id DESC LIMIT 3) r), '1 1 0', 'until nobody is left');
SELECT throws_ok('SELECT * FROM economy.audit_sweep_incremental(' || n || ')', 'XE002', 'max_users must be 1 or more', 'max_users ' || n) FROM unnest(ARRAY['0', '-1']) n;
SELECT throws_ok('SELECT * FROM economy.audit_sweep_incremental(NULL)', 'XE001', 'max_users must not be null', 'max_users NULL');
SELECT is_empty('SELECT * FROM pg_temp.swept()', 'clean after all damage was undone');
-- read-only: findings, and no record
SELECT count(*) AS runs FROM economy.audit_runs \gset
UPDATE economy.accounts SET gold = gold + 1 WHERE user_id = :u;
SAVEPOINT s;
SET TRANSACTION READ ONLY;
SELECT string_agg(kind, ' ') AS found FROM pg_temp.swept() \gset
ROLLBACK TO s;
SELECT is(:'found'::text, 'wrong_balance', 'a read-only transaction is told');
SELECT is((SELECT count(*) FROM economy.audit_runs), :runs::bigint, 'and writes nothing');

-- the job's steps look at every user once, however small they are
CREATE TEMP TABLE step (n integer, users bigint);
DO $$
DECLARE
    many integer := (SELECT ceil(count(*) / 5.0) FROM economy.accounts);
    seen bigint;
BEGIN
    FOR i IN 1 .. 12 LOOP
        SELECT s.users INTO seen FROM economy.audit_step(many) s;
        INSERT INTO step VALUES (i, seen);
        EXIT WHEN seen = 0;
    END LOOP;
END $$;
SELECT is((SELECT users FROM step ORDER BY n DESC LIMIT 1), 0::bigint, 'the last step says that it is done');
SELECT is((SELECT row(r.users, r.entries, r.finished_at IS NOT NULL)::text FROM economy.audit_runs r WHERE r.kind = 'full' ORDER BY r.run_id DESC LIMIT 1),
    (SELECT row(count(*), sum(a.seq) - (SELECT coalesce(sum(p.total), 0) FROM economy.pruned_stats p), true)::text FROM economy.accounts a), 'each user and each entry once');

-- progress
SELECT is_empty('SELECT * FROM economy.progress()', 'nothing runs now');
SELECT economy_internal.report_progress('pgtap', 3, 10) AS x \gset
SELECT economy_internal.report_progress(NULL, NULL, NULL) AS x \gset
SELECT throws_ok(call, code, NULL, call) FROM (VALUES ('SELECT economy_internal.report_progress(''x'', NULL, 1)', 'XE001'), ('SELECT economy_internal.report_progress(''x'', 1, NULL)', 'XE001'),
    ('SELECT economy_internal.report_progress('''', 1, 1)', 'XE002'), ('SELECT economy_internal.report_progress(repeat(''x'', 65), 1, 1)', 'XE003')) v (call, code);
-- many findings: of one stream the first are told, and how many there are; a batch
-- ends when it has found enough, and the next one goes on behind it
CREATE TEMP TABLE crowd AS SELECT n, economy.register('pgtap audit crowd ' || n) AS u FROM generate_series(1, 25) n;
SELECT count(*) AS x FROM crowd c CROSS JOIN LATERAL economy.record_actions((SELECT jsonb_agg(jsonb_build_object('user_id', c.u, 'game', 'slot', 'action_type', 'T', 'action_id', k::text, 'win', 1))
    FROM generate_series(1, CASE c.n WHEN 1 THEN 1001 WHEN 2 THEN 1000 WHEN 3 THEN 999 ELSE 500 END) k)) r \gset
SELECT min(u) AS first, max(u) AS last FROM crowd \gset
ALTER TABLE economy.user_actions DISABLE TRIGGER ALL;
UPDATE economy.user_actions SET hash = sha256(hash) WHERE user_id BETWEEN :first AND :last;
SELECT is((SELECT count(*) FROM economy.verify_chain(:first)), 1002::bigint, 'each entry and the head');
SELECT is((SELECT string_agg(concat_ws(' ', f.n, f.kind, f.actual), ', ' ORDER BY f.n) FROM unnest(economy_internal.audit_streams(ARRAY[:first])) WITH ORDINALITY f (user_id, kind, expected, actual, entry, seq, n) WHERE f.n > 1000),
    '1001 more_findings 1002 findings', 'of which a sweep tells the first 1000');
SELECT is((SELECT concat_ws(' ', count(*), count(*) FILTER (WHERE f.kind = 'more_findings')) FROM unnest(economy_internal.audit_streams(ARRAY[:first + 2])) f), '1000 0', 'all of them, when they are a thousand');
CREATE TEMP TABLE batch AS SELECT b.* FROM economy_internal.audit_next(:first, 10000) b;
SELECT is((SELECT upto_user - :first FROM batch), 19::bigint, 'a batch ends after 20 users when these have 10000 findings');
SELECT is((SELECT concat_ws(' ', users, entries) FROM batch), '20 11500', 'and counts them and their entries');
SELECT is((SELECT concat_ws(' ', count(DISTINCT f.user_id), max(f.user_id) - :first) FROM batch b, unnest(b.findings) f WHERE f.kind = 'wrong_hash'), '20 19', 'with what is wrong with each');
UPDATE economy.audit_runs SET finished_at = now() WHERE finished_at IS NULL;
INSERT INTO economy.audit_runs (kind, started_at, next_user, users, entries, findings) VALUES ('full', now(), :first, 0, 0, 0);
SELECT is((SELECT string_agg(s.users::text, ' ') FROM generate_series(1, 3) n CROSS JOIN LATERAL economy.audit_step(10000 + 0 * n) s), '20 5 0', 'step after step');
SELECT is((SELECT count(DISTINCT user_id) FROM economy.audit_findings WHERE kind = 'wrong_hash' AND gone_run_id IS NULL AND user_id BETWEEN :first AND :last), 25::bigint, 'nobody is left out');
SELECT is((SELECT count(*) FROM economy.audit_sweep_incremental() f WHERE f.user_id = :first), 1000::bigint, 'the incremental sweep tells a thousand of a stream, too');
ALTER TABLE economy.user_actions ENABLE TRIGGER ALL;
SELECT * FROM finish();
ROLLBACK;
