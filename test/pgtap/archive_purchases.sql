-- archive() of purchases: two users buy the same at the same moments, the purchases of one
-- are archived again and again, and every answer that follows is the same.
--
-- Run as superuser.  Damage is done with the guard triggers disabled, until the final
-- ROLLBACK.
BEGIN;
SELECT no_plan();
CREATE SCHEMA pgtap_archive;
CREATE TABLE pgtap_archive.purchases (LIKE economy.shop_transactions);
CREATE INDEX ON pgtap_archive.purchases (user_id, seq);
CREATE FUNCTION pg_temp.at(clock timestamptz) RETURNS void LANGUAGE sql SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$ SELECT set_config('economy.test_clock', clock::text, true) $$;
SELECT pg_temp.at('2031-01-01 12:00+00');
SELECT count(economy.upsert_product(p, 'pgtap')) AS x FROM unnest(ARRAY[
    '{"product_id": "pgtap_plain", "category": "item", "price_gold": 3, "monetary": 30}',
    '{"product_id": "pgtap_once", "category": "item", "price_gold": 3, "limit_once": true}',
    '{"product_id": "pgtap_ever", "category": "item", "price_gold": 3, "per_user_limit": 60}',
    '{"product_id": "pgtap_day", "category": "item", "price_gold": 3, "per_user_limit": 4, "limit_period": "day"}',
    '{"product_id": "pgtap_week", "category": "item", "price_gold": 3, "per_user_limit": 6, "limit_period": "week"}',
    '{"product_id": "pgtap_month", "category": "item", "price_gold": 3, "per_user_limit": 9, "limit_period": "month"}',
    '{"product_id": "pgtap_stock", "category": "item", "price_gold": 3, "monetary": 7, "per_user_limit": 500}',
    '{"product_id": "pgtap_later", "category": "item", "price_gold": 3}',
    '{"product_id": "pgtap_global", "category": "item", "price_gold": 3, "global_key": true}',
    '{"product_id": "pgtap_freeze", "category": "item", "price_gold": 3, "effect_code": "streak_freeze"}',
    '{"product_id": "pgtap_gold", "category": "conversion", "source_points": 5, "granted_gold": 40, "monetary": 99}'
    ]::jsonb[]) p \gset
SELECT economy.add_stock('pgtap_stock', 4000, 'pgtap') AS x \gset
SELECT economy.register('pgtap archived') AS a \gset
SELECT economy.register('pgtap twin') AS b \gset
SELECT code AS x FROM economy.adjust_gold(:a, 100000, 'open', 'r', 'a') \gset
SELECT code AS x FROM economy.adjust_gold(:b, 100000, 'open', 'r', 'a') \gset

-- the purchases of one user alone
CREATE FUNCTION pg_temp.archive(who bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    entries bigint;
BEGIN
    DELETE FROM economy_internal.archive_state;
    INSERT INTO economy_internal.archive_state VALUES ('shop_transactions', who - 1, '{}', 0, 0, 0);
    SELECT r.entries INTO STRICT entries FROM economy.archive('economy.shop_transactions', 'pgtap_archive.purchases', '90 days', 1) r;
    RETURN entries;
END $$;
CREATE FUNCTION pg_temp.answer(who bigint, product text, key text, quantity integer, many boolean) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    r economy.purchase_result;
BEGIN
    -- a key of all users is one of each here
    key := key || CASE product WHEN 'pgtap_global' THEN '-' || who ELSE '' END;
    IF many THEN
        SELECT * INTO STRICT r FROM economy.purchases(ARRAY[who], ARRAY[product], ARRAY[key], ARRAY[quantity]);
    ELSE
        SELECT * INTO STRICT r FROM economy.purchase(who, product, key, quantity);
    END IF;
    RETURN concat_ws(' ', r.state, r.code, r.quantity, r.gold_delta, r.gold, r.user_limit_remaining, r.detail);
END $$;
CREATE FUNCTION pg_temp.scores(who bigint) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', s.segment, s.r, s.f, s.m, s.score, s.recency_days, s.frequency, s.monetary, encode(u.buckets, 'hex'), u.seq)
    FROM economy.segment(who) s LEFT JOIN economy.user_segments u ON u.user_id = who $$;
CREATE TABLE pgtap_archive.said (what text, a text, b text);
CREATE TABLE pgtap_archive.done (product text, key text, quantity integer);
CREATE FUNCTION pg_temp.play(a bigint, b bigint, seed double precision, steps integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    products text[] := '{pgtap_plain,pgtap_once,pgtap_ever,pgtap_day,pgtap_week,pgtap_month,pgtap_stock,pgtap_later,pgtap_global,pgtap_freeze,pgtap_gold}';
    clock   timestamptz := economy.now();
    old     record;
    product text;
    q       integer;
    many    boolean;
    dice    double precision;
    gone    bigint := 0;
    says    text[];
BEGIN
    PERFORM setseed(seed);
    FOR n IN 1 .. steps LOOP
        clock := clock + random() ^ 4 * interval '60 days';
        PERFORM pg_temp.at(clock);
        dice := random();
        many := random() < 0.3;
        product := products[1 + floor(random() * cardinality(products))::integer];
        q := CASE WHEN random() < 0.7 THEN 1 ELSE 1 + floor(random() * 5)::integer END;
        IF dice < 0.08 THEN
            gone := gone + pg_temp.archive(a);
        ELSIF dice < 0.13 THEN
            PERFORM economy.rfm_refresh(clock - random() ^ 2 * interval '200 days', random() < 0.5);
            INSERT INTO pgtap_archive.said VALUES ('full ' || n, pg_temp.scores(a), pg_temp.scores(b));
        ELSIF dice < 0.20 THEN
            PERFORM economy.rfm_refresh_incremental();
            INSERT INTO pgtap_archive.said VALUES ('incremental ' || n, pg_temp.scores(a), pg_temp.scores(b));
        ELSIF dice < 0.30 AND EXISTS (SELECT FROM pgtap_archive.done) THEN
            -- again
            SELECT d.* INTO old FROM pgtap_archive.done d ORDER BY random() LIMIT 1;
            says := ARRAY[pg_temp.answer(a, old.product, old.key, old.quantity, many), pg_temp.answer(b, old.product, old.key, old.quantity, many)];
            IF EXISTS (SELECT FROM pgtap_archive.purchases p WHERE p.user_id = a AND p.product_id = old.product AND p.idempotency_key IN (old.key, old.key || '-' || a)) THEN
                INSERT INTO pgtap_archive.said VALUES ('archived ' || n, says[1], 'refused RESYNC_REQUIRED ' || old.quantity || ' 0 {"reason": "archived"}'),
                    ('its twin ' || n, left(says[2], 8), 'reuse OK');
            ELSE
                INSERT INTO pgtap_archive.said VALUES ('again ' || n, says[1], says[2]), ('reuse ' || n, left(says[1], 8), 'reuse OK');
            END IF;
        ELSE
            IF dice < 0.36 THEN
                PERFORM pg_temp.at(clock - random() * interval '400 days');
            END IF;
            says := ARRAY[pg_temp.answer(a, product, 'k' || n, q, many), pg_temp.answer(b, product, 'k' || n, q, many)];
            INSERT INTO pgtap_archive.said VALUES (product || ' ' || n, says[1], says[2]);
            IF says[1] LIKE 'new OK%' THEN
                INSERT INTO pgtap_archive.done VALUES (product, 'k' || n, q);
            END IF;
        END IF;
        IF n % 40 = 0 THEN
            PERFORM pg_temp.at(clock);
            INSERT INTO pgtap_archive.said SELECT 'audit ' || n, string_agg(concat_ws(' ', f.user_id = a, f.kind, f.expected, f.actual), ', '), NULL FROM economy.audit_sweep() f;
        END IF;
        IF n = steps / 2 THEN
            PERFORM economy.upsert_product('{"product_id": "pgtap_later", "per_user_limit": 50}', 'pgtap');
        END IF;
    END LOOP;
    PERFORM pg_temp.at(clock + interval '120 days');
    RETURN CASE WHEN gone > 50 THEN 'many went' ELSE 'few went: ' || gone END;
END $$;
SELECT is(pg_temp.play(:a, :b, 0.3, 400), 'many went', 'purchases, archives, refreshes, a clock that is set back');
SELECT is_empty($$ SELECT * FROM pgtap_archive.said WHERE a IS DISTINCT FROM b $$, 'who was archived is answered as who was not');
SELECT ok(count(*) FILTER (WHERE a LIKE 'new OK%') > 100 AND count(*) FILTER (WHERE a LIKE '%LIMIT%') > 10 AND count(*) FILTER (WHERE what LIKE 'archived%') > 5, 'there were such answers') FROM pgtap_archive.said;
SELECT is_empty($$ SELECT * FROM economy.verify_archive('economy.shop_transactions', 'pgtap_archive.purchases') $$, 'the archive is proved');
SELECT is((SELECT count(*) FROM economy.verify_chain(:a)), 0::bigint, 'and the stream');
SELECT is((SELECT string_agg(DISTINCT v.reason, ' ') FROM economy.shop_transactions t, economy.verify_receipt(t.user_id, 'P' || t.user_id || '-' || t.seq) v WHERE t.user_id = :a), 'OK', 'and receipts of what is left');
SELECT is((SELECT string_agg(DISTINCT v.reason, ' ') FROM pgtap_archive.purchases t, economy.verify_receipt(t.user_id, 'P' || t.user_id || '-' || t.seq) v), 'ARCHIVED', 'those that went are not unknown');
SELECT is((SELECT string_agg(DISTINCT v.reason, ' ') FROM pgtap_archive.purchases t, economy.verify_receipt(:b, 'P' || t.user_id || '-' || t.seq) v), 'NOT_FOUND', 'but by another user');
SELECT is((SELECT v.reason FROM economy.accounts a, economy.verify_receipt(:a, 'P' || :a || '-' || a.seq + 1) v WHERE a.user_id = :a), 'NOT_FOUND', 'nor is one that there never was archived');
SELECT results_eq(
    format('SELECT product_id, sum(quantity) FROM (SELECT * FROM economy.shop_transactions UNION ALL SELECT * FROM pgtap_archive.purchases) p WHERE user_id = %s GROUP BY 1 ORDER BY 1', :a),
    format('SELECT product_id, sum(quantity) FROM economy.shop_transactions WHERE user_id = %s GROUP BY 1 ORDER BY 1', :b), 'nothing is lost or twice');

-- a key of all users stays used
SELECT p.idempotency_key AS used FROM pgtap_archive.purchases p WHERE p.product_id = 'pgtap_global' LIMIT 1 \gset
SELECT is((SELECT code FROM economy.purchase(:b, 'pgtap_global', :'used')), 'KEY_USED', 'a key of an archived purchase is used for all');
SELECT is((SELECT code FROM economy.purchase(:a, 'pgtap_global', :'used')), 'RESYNC_REQUIRED', 'and was the user''s own');
SELECT is((SELECT code FROM economy.purchase(:a, 'pgtap_global', :'used', dry_run => true)), 'RESYNC_REQUIRED', 'a dry run says so');

-- whoever asks without a key
SELECT is(economy_internal.purchase_probe(:a, 'pgtap_once') || ' ' || (SELECT count(*) FROM pgtap_archive.purchases WHERE product_id = 'pgtap_once'), 'LIMIT_ONCE 1', 'what was bought once and archived is recommended to nobody');

-- what limits are counted from when the account has lost them
UPDATE economy.accounts SET sections = economy_internal.with_units(sections, 'pgtap_ever', NULL, NULL, NULL, NULL, NULL) WHERE user_id IN (:a, :b);
SELECT is(pg_temp.answer(:a, 'pgtap_ever', 'more', 1000, false), pg_temp.answer(:b, 'pgtap_ever', 'more', 1000, false), 'units are counted again');
SELECT is((SELECT count(*) FROM economy.audit_sweep()), 0::bigint, 'the audit finds nothing');

-- days of archived purchases that an edge of the window cuts
SELECT extract(epoch FROM economy.now()) AS days \gset
CREATE FUNCTION pg_temp.buy_days(a bigint, b bigint, days timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    FOR h IN 20 .. 44 BY 4 LOOP
        PERFORM pg_temp.at(days + h * interval '1 hour');
        PERFORM pg_temp.answer(a, 'pgtap_gold', 'day ' || h, 1, false), pg_temp.answer(b, 'pgtap_gold', 'day ' || h, 1, false);
    END LOOP;
END $$;
SELECT pg_temp.buy_days(:a, :b, to_timestamp(:days));
SELECT pg_temp.at(to_timestamp(:days) + interval '130 days');
SELECT users_scored IS NULL AS x FROM economy.rfm_refresh_incremental() \gset
SELECT code AS x FROM economy.purchase(:a, 'pgtap_plain', 'later') \gset
SELECT code AS x FROM economy.purchase(:b, 'pgtap_plain', 'later') \gset
SELECT pg_temp.archive(:a) AS x \gset
SELECT cmp_ok((SELECT count(*) FROM pgtap_archive.purchases WHERE idempotency_key LIKE 'day %'), '>=', 6::bigint, 'days are archived');
CREATE FUNCTION pg_temp.at_edges(a bigint, b bigint, days timestamptz) RETURNS TABLE (edge interval, said_a text, said_b text) LANGUAGE plpgsql AS $$
BEGIN
    FOR edge IN SELECT e.d * interval '30 days' + h * interval '1 hour' FROM generate_series(0, 1) e (d), generate_series(18, 46, 2) h LOOP
        PERFORM economy.rfm_refresh(days + edge, edge < interval '1 day');
        said_a := pg_temp.scores(a);
        said_b := pg_temp.scores(b);
        RETURN NEXT;
    END LOOP;
END $$;
CREATE TABLE pgtap_archive.edges AS SELECT * FROM pg_temp.at_edges(:a, :b, to_timestamp(:days));
SELECT is_empty('SELECT * FROM pgtap_archive.edges WHERE said_a <> said_b', 'they are scored alike');
SELECT cmp_ok((SELECT count(DISTINCT said_b) FROM pgtap_archive.edges), '>', 10::bigint, 'at each edge');
SELECT is((SELECT count(*) FROM economy.audit_sweep()), 0::bigint, 'the audit finds nothing');

-- archived purchases that are taken back, and segments that are lost
SELECT is((SELECT bool_and(economy_internal.rfm_reverse(u, p.seq)) FROM (SELECT max(seq) AS seq FROM pgtap_archive.purchases WHERE product_id = 'pgtap_gold') p, unnest(ARRAY[:a, :b]) u), true, 'an archived purchase can be taken back');
SELECT users_scored IS NULL AS x FROM economy.rfm_refresh_incremental() \gset
SELECT is(pg_temp.scores(:a), pg_temp.scores(:b), 'incrementally');
SELECT users_scored IS NULL AS x FROM economy.rfm_refresh() \gset
SELECT is(pg_temp.scores(:a), pg_temp.scores(:b), 'and by a full refresh');
UPDATE economy.user_segments SET buckets = '', seq = 0 WHERE user_id IN (:a, :b);
SELECT written AS x FROM economy_internal.rfm_take(:a, 10) \gset
SELECT is((SELECT buckets || int8send(seq) FROM economy.user_segments WHERE user_id = :a), (SELECT buckets || int8send(seq) FROM economy.user_segments WHERE user_id = :b), 'and by what puts rows right');
SELECT is((SELECT string_agg(DISTINCT actual, ' ') FROM economy.audit_sweep()), 'one that is left out', 'the audit finds that no refund says so, and nothing else');
UPDATE economy.user_segments SET buckets = '', seq = 0 WHERE user_id IN (:a, :b);
UPDATE economy.rfm_state SET installation = installation + 1;
SELECT users_scored IS NULL AS x FROM economy.rfm_refresh_incremental() \gset
SELECT is(pg_temp.scores(:a), pg_temp.scores(:b), 'another installation takes all of them up');
SELECT is((SELECT string_agg(DISTINCT actual, ' ') FROM economy.audit_sweep()), 'one that is left out', 'the audit finds that no refund says so, and nothing else');

-- a refresh is waited for
SELECT code AS x FROM economy.purchase(:a, 'pgtap_plain', 'wait 1') \gset
SELECT code AS x FROM economy.purchase(:a, 'pgtap_plain', 'wait 2') \gset
SELECT pg_temp.at(economy.now() + interval '120 days');
SELECT pg_temp.archive(:a) AS x \gset
SELECT is((SELECT count(*) FROM economy.shop_transactions WHERE user_id = :a AND idempotency_key = 'wait 1'), 1::bigint, 'what no refresh has taken up stays');
SELECT users_scored IS NULL AS x FROM economy.rfm_refresh_incremental() \gset
SELECT pg_temp.archive(:a) AS x \gset
SELECT is((SELECT count(*) FROM economy.shop_transactions WHERE user_id = :a AND idempotency_key = 'wait 1'), 0::bigint, 'and goes then');

-- an entry of another journal that went has never been a purchase, and a purchase no reward
CREATE TABLE pgtap_archive.adjustments (LIKE economy.gold_adjustments);
CREATE TABLE pgtap_archive.rewards (LIKE economy.reward_audit);
SELECT count(*) AS x FROM generate_series(1, 2) n, economy.adjust_gold(:a, 1, 'last ' || n, 'r', 'a'), economy.grant_reward(:a, 'pgtap', 'last ' || n, 1) \gset
SELECT pg_temp.at(economy.now() + interval '120 days');
DELETE FROM economy_internal.archive_state;
SELECT sum(entries) AS x FROM economy.archive('economy.gold_adjustments', 'pgtap_archive.adjustments', '90 days', 1000000) \gset
DELETE FROM economy_internal.archive_state;
SELECT sum(entries) AS x FROM economy.archive('economy.reward_audit', 'pgtap_archive.rewards', '90 days', 1000000) \gset
SELECT min(seq) AS adjusted FROM pgtap_archive.adjustments WHERE user_id = :a \gset
SELECT min(seq) AS bought FROM pgtap_archive.purchases WHERE user_id = :a \gset
SELECT is((SELECT concat_ws(' ', state, code, detail) FROM economy.refund_purchase(:a, 'P' || :a || '-' || :adjusted, 'k', reason => 'r', actor => 'a')), 'refused PURCHASE_NOT_FOUND', 'an archived adjustment is no archived purchase');
SELECT is((SELECT concat_ws(' ', state, code, detail) FROM economy.refund_purchase(:a, 'P' || :a || '-' || :bought, 'k', reason => 'r', actor => 'a')), 'refused RESYNC_REQUIRED {"reason": "archived"}', 'what was one is told to be archived');
SELECT is((SELECT concat_ws(' ', state, code, detail) FROM economy.revoke_reward(:a, 'R' || :a || '-' || :bought, 'r', 'a')), 'refused REWARD_NOT_FOUND', 'and is no archived reward');

-- damage
CREATE FUNCTION pg_temp.damage(change text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    findings bigint;
BEGIN
    BEGIN
        EXECUTE change;
        SELECT count(*) INTO findings FROM economy.audit_sweep();
        RAISE EXCEPTION USING ERRCODE = 'PT001';
    EXCEPTION WHEN SQLSTATE 'PT001' THEN
        NULL;
    END;
    RETURN findings;
END $$;
SET LOCAL session_replication_role = replica;
SELECT cmp_ok(pg_temp.damage(format('UPDATE economy.archived_keys SET %s WHERE (user_id, seq) = (SELECT user_id, max(seq) FROM economy.archived_keys WHERE stock_units > 0 GROUP BY 1)', c)), '>', 0::bigint, c || ' is found')
    FROM unnest(ARRAY['monetary = monetary + 1', 'quantity = quantity + 1', 'stock_units = stock_units + 1', 'stock_units = NULL', 'created_at = created_at + interval ''1 day''', 'product_id = ''pgtap_plain''', 'seq = seq + 1', 'monetary = NULL']) c;
SELECT cmp_ok(pg_temp.damage('DELETE FROM economy_internal.shop_keys WHERE idempotency_key = ' || quote_literal(:'used')), '>', 0::bigint, 'an archived key that is not noted is found');
SELECT cmp_ok(pg_temp.damage('UPDATE economy_internal.shop_keys SET idempotency_key = ''x'' WHERE idempotency_key = ' || quote_literal(:'used')), '>', 0::bigint, 'and another one');
-- as many as there are: rows are written some at a time
SET LOCAL session_replication_role = origin;
SELECT set_config('economy.test_clock', '2041-01-01 12:00:00+00', true) AS x \gset
SELECT economy.register('pgtap archive many') AS many \gset
SELECT p.product_id AS x FROM economy.upsert_product('{"product_id": "pgtap_many", "category": "item", "price_gold": 0}', 'pgtap') p \gset
SELECT is((SELECT count(*) FROM economy.purchases(array_fill(:many::bigint, '{200}'), array_fill(text 'pgtap_many', '{200}'), ARRAY(SELECT 'm' || n FROM generate_series(1, 200) n)) p WHERE p.state = 'new'), 200::bigint, 'two hundred purchases');
SELECT set_config('economy.test_clock', '2041-06-01 12:00:00+00', true) AS x \gset
CREATE TABLE pgtap_many (LIKE economy.shop_transactions);
SELECT users_scored IS NULL AS x FROM economy.rfm_refresh_incremental() \gset
DO $$ BEGIN WHILE (SELECT a.more FROM economy.archive('economy.shop_transactions', 'pgtap_many', '90 days', 1000000) a) LOOP END LOOP; END $$;
SELECT is(concat_ws(' ', (SELECT count(*) FROM economy.shop_transactions t WHERE t.user_id = :many), (SELECT count(*) FROM pgtap_many t WHERE t.user_id = :many),
    (SELECT count(*) FROM economy.archived_keys k WHERE k.user_id = :many), (SELECT count(*) FROM economy.verify_chain(:many))), '1 199 199 0', 'all but the last have left their journal, and are known');
SELECT is((SELECT concat_ws(' ', count(*) FILTER (WHERE p.state = 'reuse'), count(*) FILTER (WHERE p.code = 'RESYNC_REQUIRED')) FROM economy.purchases(array_fill(:many::bigint, '{200}'), array_fill(text 'pgtap_many', '{200}'), ARRAY(SELECT 'm' || n FROM generate_series(1, 200) n)) p), '1 199', 'and none is made again');
SELECT * FROM finish();
ROLLBACK;
