-- Damage: whoever gets past the guard of the journals is found out.
--
-- Run as superuser.  The guard triggers are disabled and the tables changed
-- until the final ROLLBACK, so other sessions cannot buy while this runs.
BEGIN;
SELECT plan(177);

SELECT economy.register('pgtap damage') AS u \gset
SELECT economy.register('pgtap bystander') AS other \gset
SELECT count(*) AS x FROM (VALUES
    ('{"product_id": "pgtap_d", "category": "item", "price_gold": 10, "effect_code": "glow", "monetary": 5}'),
    ('{"product_id": "pgtap_c", "category": "conversion", "granted_gold": 100}')) v (product), economy.upsert_product(product::jsonb, 'pgtap') \gset
SELECT economy.add_stock('pgtap_d', 100, 'pgtap') AS x \gset
SELECT success AS x FROM economy.adjust_gold(:other, 1000, 'open', 'r', 'a') \gset
-- entry: 1 adjustment, 2 conversion, 3 purchase with a context, 4 adjustment, 5 purchase, 6 reward, 7 purchase, 8 adjustment
SELECT success AS x FROM economy.adjust_gold(:u, 1000, 'a1', 'r', 'a') \gset
SELECT success AS x FROM economy.purchase(:u, 'pgtap_c', 'p2', 2) \gset
SELECT success AS x FROM economy.purchase(:u, 'pgtap_d', 'p3', 3, '{"a": 1}') \gset
SELECT success AS x FROM economy.adjust_gold(:u, -5, 'a4', 'r', 'a') \gset
SELECT success AS x FROM economy.purchase(:u, 'pgtap_d', 'p5', 1) \gset
SELECT success AS x FROM economy.grant_reward(:u, 'pgtap', 'r6', 7, 11, '{"b": 2}') \gset
SELECT success AS x FROM economy.purchase(:u, 'pgtap_d', 'p7', 1) \gset
SELECT success AS x FROM economy.adjust_gold(:u, 5, 'a8', 'r', 'a') \gset
SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s)', :u), 'clean before any damage');

ALTER TABLE economy.shop_transactions DISABLE TRIGGER shop_transactions_append_only;
ALTER TABLE economy.gold_adjustments DISABLE TRIGGER gold_adjustments_append_only;
ALTER TABLE economy.reward_audit DISABLE TRIGGER reward_audit_append_only;

CREATE TEMP TABLE who AS SELECT :'u' AS u, :'other' AS other;
CREATE FUNCTION pg_temp.with_user(statement text) RETURNS text LANGUAGE sql AS
    $$ SELECT replace(replace(statement, '{u}', u), '{other}', other) FROM who $$;
-- run a statement, answer a question, undo the statement
CREATE FUNCTION pg_temp.after(damage text, question text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
    n      bigint;
BEGIN
    BEGIN
        EXECUTE pg_temp.with_user(damage);
        GET DIAGNOSTICS n = ROW_COUNT;
        IF n = 0 THEN
            RAISE EXCEPTION 'no damage was done: %', damage;
        END IF;
        EXECUTE pg_temp.with_user(question) INTO answer;
        RAISE EXCEPTION USING ERRCODE = 'XT000';
    EXCEPTION WHEN SQLSTATE 'XT000' THEN
        RETURN answer;
    END;
END
$$;
-- the seqs that findings name, and their kinds
CREATE FUNCTION pg_temp.seqs(damage text) RETURNS text LANGUAGE sql AS
    $$ SELECT pg_temp.after(damage, 'SELECT coalesce(string_agg(DISTINCT seq::text, '' ''), ''nothing'') FROM economy.verify_chain({u})') $$;
CREATE FUNCTION pg_temp.findings(damage text) RETURNS text LANGUAGE sql AS
    $$ SELECT pg_temp.after(damage, 'SELECT coalesce(string_agg(DISTINCT kind || '' '' || seq, '', ''), ''nothing'') FROM economy.verify_chain({u})') $$;
CREATE FUNCTION pg_temp.receipt(damage text, seq int) RETURNS text LANGUAGE sql AS
    $$ SELECT pg_temp.after(damage, format('SELECT reason FROM economy.verify_receipt({u}, ''P{u}-%s'')', seq)) $$;

-- another value for a column
CREATE FUNCTION pg_temp.changed(col name, type regtype) RETURNS text LANGUAGE sql AS $$
    SELECT CASE
        WHEN col = 'status' THEN '''PENDING'''
        WHEN type IN ('bigint'::regtype, 'integer', 'smallint', 'date') THEN format('coalesce(%I + 1, %s)', col, CASE type WHEN 'date'::regtype THEN '''2031-01-01''' ELSE '1' END)
        WHEN type = 'text'::regtype THEN format('coalesce(%I || ''x'', ''x'')', col)
        WHEN type = 'boolean'::regtype THEN format('NOT coalesce(%I, false)', col)
        WHEN type = 'timestamptz'::regtype THEN format('%I + interval ''1 microsecond''', col)
        WHEN type = 'xid8'::regtype THEN format('(%I::text::bigint + 1)::text::xid8', col)
        WHEN type = 'jsonb'::regtype THEN format('coalesce(%I || ''{"x": 1}'', ''{}'')', col)
        WHEN type = 'bytea'::regtype THEN format('set_byte(%1$I, 31, 255 - get_byte(%1$I, 31))', col)
    END
$$;
CREATE TEMP TABLE target (journal text, letter text, seq int);
INSERT INTO target VALUES ('shop_transactions', 'P', 3), ('shop_transactions', 'P', 7), ('gold_adjustments', 'G', 1), ('gold_adjustments', 'G', 4),
    ('gold_adjustments', 'G', 8), ('reward_audit', 'R', 6);
CREATE TEMP VIEW flip AS
    SELECT t.journal, t.letter, t.seq, a.attname AS col,
           format('UPDATE economy.%I SET %I = %s WHERE user_id = {u} AND seq = %s', t.journal, a.attname, pg_temp.changed(a.attname, a.atttypid), t.seq) AS damage
    FROM target t JOIN pg_attribute a ON a.attrelid = ('economy.' || t.journal)::regclass AND a.attnum > 0 AND NOT a.attisdropped
    WHERE a.attname NOT IN ('user_id', 'seq');
SELECT is((SELECT string_agg(DISTINCT journal || '.' || col, ', ') FROM flip WHERE damage IS NULL), NULL, 'every column of every journal can be changed');

SELECT is(pg_temp.seqs(damage), seq::text, format('a changed %s of entry %s%s is found, in that entry alone', col, letter, seq)) FROM flip ORDER BY seq, col;
-- every text that says nothing, too
SELECT is(pg_temp.seqs(damage), '3', 'also when only ' || what)
FROM (VALUES ('null becomes empty',         'UPDATE economy.shop_transactions SET context = NULL WHERE user_id = {u} AND seq = 3'),
             ('a text moves to another column', 'UPDATE economy.shop_transactions SET effect_code = idempotency_key, idempotency_key = effect_code WHERE user_id = {u} AND seq = 3'),
             ('the hash is cut short',      'UPDATE economy.shop_transactions SET hash = substr(hash, 1, 31) WHERE user_id = {u} AND seq = 3'),
             ('the hash is longer',         E'UPDATE economy.shop_transactions SET hash = hash || decode(''00'', ''hex'') WHERE user_id = {u} AND seq = 3'),
             ('the hash is empty',          'UPDATE economy.shop_transactions SET hash = '''' WHERE user_id = {u} AND seq = 3'),
             ('the signature is empty',     'UPDATE economy.shop_transactions SET receipt_signature = '''' WHERE user_id = {u} AND seq = 3'),
             ('the signature is another''s', 'UPDATE economy.shop_transactions t SET receipt_signature = o.receipt_signature FROM economy.shop_transactions o WHERE t.user_id = {u} AND t.seq = 3 AND o.user_id = {u} AND o.seq = 5')) v (what, damage);

-- removed, added, exchanged entries
SELECT is(pg_temp.findings(damage), found, what)
FROM (VALUES
    ('a deleted purchase',             'missing_entry 3', 'DELETE FROM economy.shop_transactions WHERE user_id = {u} AND seq = 3'),
    ('the deleted first entry',        'missing_entry 1', 'DELETE FROM economy.gold_adjustments WHERE user_id = {u} AND seq = 1'),
    ('the deleted newest entry',       'missing_entry 8', 'DELETE FROM economy.gold_adjustments WHERE user_id = {u} AND seq = 8'),
    ('a deleted reward',               'missing_entry 6', 'DELETE FROM economy.reward_audit WHERE user_id = {u} AND seq = 6'),
    ('an entry moved to another user', 'missing_entry 5', 'UPDATE economy.shop_transactions SET user_id = {other} WHERE user_id = {u} AND seq = 5')
) v (what, found, damage);
SELECT is(pg_temp.after(damage, 'SELECT count(*) > 0 AND bool_and(seq IN (' || seqs || ')) FROM economy.verify_chain({u})'), 'true', what || ' is found there alone')
FROM (VALUES
    ('a forged entry after the newest', '8, 9',
        'INSERT INTO economy.gold_adjustments SELECT user_id, 9, 1000, 0, gold + 1000, experience_points, created_at, xact, position, live, sha256(hash), ''forged'', actor, reason FROM economy.gold_adjustments WHERE user_id = {u} AND seq = 8'),
    ('an entry moved to the end', '3, 8, 9', 'UPDATE economy.shop_transactions SET seq = 9 WHERE user_id = {u} AND seq = 3'),
    ('two exchanged entries', '5, 6, 7, 8',
        'UPDATE economy.shop_transactions SET seq = CASE seq WHEN 5 THEN 70 ELSE 50 END WHERE user_id = {u} AND seq IN (5, 7);
         UPDATE economy.shop_transactions SET seq = seq / 10 WHERE user_id = {u} AND seq IN (50, 70)'),
    ('exchanged contents', '5, 7',
        'UPDATE economy.shop_transactions t SET idempotency_key = o.idempotency_key || ''x'', created_at = o.created_at, stock_slot = o.stock_slot
         FROM economy.shop_transactions o WHERE t.user_id = {u} AND o.user_id = {u} AND (t.seq, o.seq) IN ((5, 7), (7, 5))'),
    ('a wild seq', '3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 9000000000000000000', 'UPDATE economy.shop_transactions SET seq = 9000000000000000000 WHERE user_id = {u} AND seq = 3')
) v (what, seqs, damage);

SELECT is(pg_temp.findings('INSERT INTO economy.gold_adjustments SELECT user_id, 3, gold_delta, xp_delta, gold, experience_points, created_at, xact, position, live, hash, ''forged'', actor, reason
    FROM economy.gold_adjustments WHERE user_id = {u} AND seq = 4') ~ E'\\mduplicate_effect 3\\M', true, 'a second entry of a seq, in another journal, is found');

-- the account
SELECT is(pg_temp.findings(format('UPDATE economy.accounts SET %s WHERE user_id = {u}', change)), found, 'accounts: ' || change)
FROM (VALUES ('gold = gold + 1',                           'wrong_balance 8'),
             ('gold = 0',                                  'wrong_balance 8'),
             ('experience_points = experience_points + 1', 'wrong_balance 8'),
             ('seq = seq + 1',                             'missing_entry 9'),
             ('seq = seq - 1',                             'wrong_balance 7'),
             ('head_hash = sha256(head_hash)',             'broken_chain 8')) v (change, found);
SELECT is(pg_temp.findings('DELETE FROM economy.accounts WHERE user_id = {u}'), 'orphan_row 8', 'accounts: deleted');
SELECT is(pg_temp.after('UPDATE economy.accounts SET streak_freezes = 3 WHERE user_id = {u}',
    'SELECT string_agg(kind || '' '' || actual, '', '') FROM economy.audit_sweep() WHERE user_id = {u}'), 'wrong_balance 3 streak freezes', 'the sweep sees the rest');

-- the audit, too
SELECT is(pg_temp.after(damage, 'SELECT string_agg(DISTINCT kind, '', '') FROM economy.audit_sweep() WHERE user_id = {u} OR expected LIKE ''%pgtap_d'''), kinds, 'audit_sweep(): ' || what)
FROM (VALUES ('a changed purchase', 'wrong_hash', 'UPDATE economy.shop_transactions SET context = ''{}'' WHERE user_id = {u} AND seq = 3'),
             ('stock out of nothing', 'wrong_stock', 'UPDATE economy.shop_stock SET remaining = remaining + 1 WHERE product_id = ''pgtap_d'' AND slot = 0'),
             ('a deleted account', 'orphan_row', 'DELETE FROM economy.accounts WHERE user_id = {u}'),
             ('a deleted user', 'orphan_row', 'DELETE FROM economy.users WHERE user_id = {u}')) v (what, kinds, damage);

-- receipts say what is wrong with them
SELECT is(pg_temp.receipt(damage, 3),
          CASE col WHEN 'receipt_signature' THEN 'WRONG_SIGNATURE' WHEN 'hash_algo_version' THEN 'UNKNOWN_HASH_ALGORITHM' WHEN 'key_digest' THEN 'OK' ELSE 'ENTRY_CHANGED' END,
          format('receipt: a changed %s', col)) FROM flip WHERE seq = 3 ORDER BY col;
SELECT is(pg_temp.receipt(damage, seq), reason, 'receipt: ' || what)
FROM (VALUES
    (3, 'NOT_FOUND', 'its entry is gone', 'DELETE FROM economy.shop_transactions WHERE user_id = {u} AND seq = 3'),
    (3, 'CHAIN_BROKEN', 'the entry before is gone', 'DELETE FROM economy.shop_transactions WHERE user_id = {u} AND seq = 2'),
    (5, 'CHAIN_BROKEN', 'the entry before, of another journal, is gone', 'DELETE FROM economy.gold_adjustments WHERE user_id = {u} AND seq = 4'),
    (5, 'ENTRY_CHANGED', 'the hash before is another', 'UPDATE economy.gold_adjustments SET hash = sha256(hash) WHERE user_id = {u} AND seq = 4'),
    (5, 'CHAIN_BROKEN', 'the hash before is none', 'UPDATE economy.gold_adjustments SET hash = '''' WHERE user_id = {u} AND seq = 4'),
    (7, 'OK', 'an entry after it is gone', 'DELETE FROM economy.gold_adjustments WHERE user_id = {u} AND seq = 8'),
    (7, 'OK', 'an earlier one is changed', 'UPDATE economy.shop_transactions SET context = ''{}'' WHERE user_id = {u} AND seq = 3')
) v (seq, reason, what, damage);

-- A forger who can write the journal and knows the format makes a hash that
-- fits, but has no key for the signature.
CREATE FUNCTION pg_temp.forge(change text) RETURNS text LANGUAGE sql AS $$
    SELECT format($f$
        UPDATE economy.shop_transactions SET %s WHERE user_id = {u} AND seq = 3;
        UPDATE economy.shop_transactions t SET hash = sha256((SELECT hash FROM economy.ledger WHERE user_id = {u} AND seq = 2)
            || E'\\x0150' || i(t.user_id) || i(t.seq) || i(t.gold_delta) || i(t.xp_delta) || i(t.gold) || i(t.experience_points)
            || i((extract(epoch FROM t.created_at - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint) || i(t.xact) || i(t.position) || i(t.live::integer)
            || i(t.quantity) || i(t.stock_slot) || i(t.hash_algo_version) || i(t.receipt_signature_version) || i(t.monetary)
            || s(t.category) || s(t.status) || s(t.product_id) || s(t.idempotency_key) || s(t.effect_code) || s(t.context::text))
        WHERE user_id = {u} AND seq = 3$f$, change)
$$;
CREATE FUNCTION pg_temp.i(value bigint) RETURNS bytea LANGUAGE sql AS
    $$ SELECT CASE WHEN value IS NULL THEN E'\\x00'::bytea ELSE E'\\x01'::bytea || int8send(value) END $$;
CREATE FUNCTION pg_temp.s(value text) RETURNS bytea LANGUAGE sql AS
    $$ SELECT CASE WHEN value IS NULL THEN E'\\x00'::bytea ELSE E'\\x02'::bytea || int4send(octet_length(value)) || convert_to(value, getdatabaseencoding()) END $$;
CREATE FUNCTION pg_temp.forgery(change text) RETURNS text LANGUAGE sql AS
    $$ SELECT regexp_replace(pg_temp.forge(change), E'\\m(i|s)\\(', E'pg_temp.\\1(', 'g') $$;
SELECT is(pg_temp.receipt(pg_temp.forgery('quantity = quantity'), 3), 'OK', 'a hash made anew for an unchanged entry is the old one');
SELECT is(pg_temp.receipt(pg_temp.forgery('quantity = 300'), 3), 'WRONG_SIGNATURE', 'a forged entry has no signature');
SELECT is(pg_temp.findings(pg_temp.forgery('quantity = 300')) ~ E'\\mwrong_signature 3\\M', true, 'the chain says so, too');
SELECT is(pg_temp.receipt(pg_temp.forgery('receipt_signature_version = 2147483647'), 3), 'UNKNOWN_KEY', 'nor is there a key of its own');
SELECT is(pg_temp.findings(pg_temp.forgery('receipt_signature_version = 2147483647')) ~ E'\\mwrong_signature 3\\M', true, 'the chain says so, too');

SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s)', :u), 'clean after all damage was undone');
SELECT * FROM finish();
ROLLBACK;
