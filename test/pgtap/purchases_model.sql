-- economy.purchases(): random batches give exactly what the same purchases give one by one, in
-- the batch's order.  Two equal worlds, one for each way; also where a trigger on the journal
-- makes entries of the buyer and of others.
BEGIN;
SELECT no_plan();

-- a seed of its own for each run, told when something is wrong
SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint % 1000000 AS seed \gset
SELECT setseed(:seed / 1000000.0) AS x \gset

CREATE TEMP TABLE who (side text, n integer, user_id bigint, PRIMARY KEY (side, n));
INSERT INTO who SELECT side, n, economy.register('pgtap model ' || side || n) FROM unnest(ARRAY['a', 'b']) side, generate_series(1, 7) n ORDER BY side, n;
INSERT INTO who SELECT side, 0, -17 FROM unnest(ARRAY['a', 'b']) side;    -- nobody
SELECT count(*) AS x FROM who, economy.adjust_gold(who.user_id, 10 + n * 25, 'open', 'pgtap', 'pgtap') WHERE n > 0 \gset
SELECT count(*) AS x FROM who, economy.adjust_gold(who.user_id, 9007199254740991 - 400, 'rich', 'pgtap', 'pgtap') WHERE n = 6 \gset
-- what else the account keeps goes with it
SELECT count(*) AS x FROM generate_series(1, 3) i, economy.register_game('pgtap model ' || i) \gset
SELECT count(*) AS x FROM who, generate_series(1, 3) i, economy.record_action(user_id, 'pgtap model ' || i, 'P', 'a', i, i) WHERE n > 0 \gset
SELECT count(*) AS x FROM who, economy.set_user_status(who.user_id, 'suspended', 'pgtap') WHERE n = 7 \gset

CREATE TEMP TABLE goods (p integer, stock integer, slots integer, product jsonb);
INSERT INTO goods VALUES
    (0,  0, 0, NULL),    -- not there
    (1,  0, 0, '{"category": "item", "price_gold": 2, "effect_code": "glow", "monetary": 5}'),
    (2,  0, 0, '{"category": "item", "price_gold": 3, "per_user_limit": 4}'),
    (3,  0, 0, '{"category": "item", "price_gold": 1, "per_user_limit": 3, "limit_period": "day"}'),
    (4,  0, 0, '{"category": "item", "price_gold": 1, "limit_once": true}'),
    (5, 40, 3, '{"category": "item", "price_gold": 1}'),
    (6, 17, 5, '{"category": "item", "price_gold": 1, "per_user_limit": 6}'),
    (7,  0, 0, '{"category": "conversion", "source_points": 7, "granted_gold": 9}'),
    (8,  0, 0, '{"category": "item", "price_gold": 1, "global_key": true}'),
    (9,  9, 2, '{"category": "item", "price_gold": 1, "global_key": true, "limit_once": true}'),
    (10, 0, 0, '{"category": "item", "price_gold": 1, "effect_code": "streak_freeze"}'),
    (11, 0, 0, '{"category": "item", "price_gold": 1, "active": false}'),
    (12, 1, 1, '{"category": "item", "price_gold": 0}');
CREATE FUNCTION pg_temp.name(side text, p integer) RETURNS text LANGUAGE sql AS $$ SELECT 'pgtap model ' || side || p $$;
SELECT count(*) AS x FROM unnest(ARRAY['a', 'b']) side, goods,
    economy.upsert_product(product || jsonb_build_object('product_id', pg_temp.name(side, p)), 'pgtap') WHERE product IS NOT NULL \gset
SELECT count(*) AS x FROM unnest(ARRAY['a', 'b']) side, goods, economy.add_stock(pg_temp.name(side, p), stock, 'pgtap', slots) WHERE stock > 0 \gset
-- some have no room in their account for what else they buy, and some for one thing more
SELECT count(*) AS x FROM generate_series(1, 7) n, economy.upsert_product(jsonb_build_object('product_id', rpad('pgtap model long ' || n, 64, 'x'), 'category', 'item', 'price_gold', 0, 'per_user_limit', 9), 'pgtap') \gset
SELECT count(*) AS x FROM who, generate_series(1, 7) i, economy.purchase(user_id, rpad('pgtap model long ' || i, 64, 'x'), 'k') WHERE n IN (1, 3) OR n = 4 AND i < 7 \gset

CREATE TEMP TABLE asked (round integer, n integer, who integer, p integer, key text, quantity integer, context jsonb);
CREATE TEMP TABLE told (side text, round integer, n bigint, answer text);
-- an answer without what names the world
CREATE FUNCTION pg_temp.brief(r economy.purchase_result) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', r.success, r.state, r.code, split_part(r.transaction_id, '-', 2), 'quantity', r.quantity, 'delta', r.gold_delta, 'gold', r.gold,
                     'stock', r.stock_remaining, 'limit', r.user_limit_remaining, r.retry_after_ms IS NOT NULL, r.detail) $$;

CREATE FUNCTION pg_temp.play(this integer, size integer, nkeys integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    a record;
BEGIN
    INSERT INTO asked
        SELECT this, i, CASE WHEN random() < 0.03 THEN 0 ELSE 1 + floor(7 * random() ^ 1.5)::int END, floor(13 * random())::int,
               'k' || floor(nkeys * random())::int, CASE WHEN random() < 0.9 THEN 1 + floor(3 * random())::int ELSE 1 + floor(500 * random())::int END,
               CASE floor(10 * random())::int WHEN 0 THEN '{"expected_price": 1}'::jsonb WHEN 1 THEN '{"expected_price": "2"}' WHEN 2 THEN '{"from": "x"}' END
        FROM generate_series(1, size) i;
    IF this % 2 = 0 THEN
        INSERT INTO told SELECT 'a', this, r.ordinality, pg_temp.brief(row(r.success, r.state, r.code, r.transaction_id, r.quantity, r.gold_delta, r.gold,
                r.stock_remaining, r.user_limit_remaining, r.retry_after_ms, r.detail, r.items)::economy.purchase_result)
            FROM economy.purchases((SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('user_id', w.user_id, 'product_id', pg_temp.name('a', q.p),
                     'idempotency_key', q.key, 'quantity', q.quantity, 'context', q.context)) ORDER BY q.n)
                 FROM asked q JOIN who w ON w.side = 'a' AND w.n = q.who WHERE q.round = this)) WITH ORDINALITY r;
    ELSE
        INSERT INTO told SELECT 'a', this, r.ordinality, pg_temp.brief(row(r.success, r.state, r.code, r.transaction_id, r.quantity, r.gold_delta, r.gold,
                r.stock_remaining, r.user_limit_remaining, r.retry_after_ms, r.detail, r.items)::economy.purchase_result)
            FROM (SELECT array_agg(w.user_id ORDER BY q.n) AS users, array_agg(pg_temp.name('a', q.p) ORDER BY q.n) AS products, array_agg(q.key ORDER BY q.n) AS keys,
                         array_agg(q.quantity ORDER BY q.n) AS quantities, array_agg(q.context ORDER BY q.n) AS contexts
                  FROM asked q JOIN who w ON w.side = 'a' AND w.n = q.who WHERE q.round = this) t,
                 economy.purchases(users, products, keys, quantities, contexts) WITH ORDINALITY r;
    END IF;
    FOR a IN SELECT q.*, w.user_id FROM asked q JOIN who w ON w.side = 'b' AND w.n = q.who WHERE q.round = this ORDER BY q.n LOOP
        INSERT INTO told SELECT 'b', this, a.n, pg_temp.brief(r)
            FROM economy.purchase(a.user_id, pg_temp.name('b', a.p), a.key, a.quantity, a.context) r;
    END LOOP;
END $$;

-- what is left of a world: streams, accounts with all they keep, stock, units, keys
CREATE FUNCTION pg_temp.world(of text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT format('%s %s %s', w.n, l.seq, (to_jsonb(l) - ARRAY['user_id', 'transaction_id', 'created_at', 'hash'])::text) FROM who w JOIN economy.ledger l USING (user_id) WHERE w.side = of
    UNION ALL SELECT format('%s %s %s', w.n, t.seq, replace((to_jsonb(t) - ARRAY['user_id', 'created_at', 'hash', 'receipt_signature', 'stock_slot', 'xact', 'position', 'key_digest'])::text, 'model ' || of, 'model'))
        FROM who w JOIN economy.shop_transactions t USING (user_id) WHERE w.side = of
    UNION ALL SELECT format('%s has %s %s %s %s', w.n, a.seq, a.gold, a.experience_points, a.streak_freezes) FROM who w JOIN economy.accounts a USING (user_id) WHERE w.side = of
    UNION ALL SELECT format('%s keeps %s', w.n, to_jsonb(g) - ARRAY['user_id', 'last_action_at']) FROM who w JOIN economy.game_stats g USING (user_id) WHERE w.side = of
    UNION ALL SELECT format('%s left of %s', sum(s.remaining), p) FROM goods JOIN economy.shop_stock s ON s.product_id = pg_temp.name(of, p) GROUP BY p
    UNION ALL SELECT format('%s units %s %s %s %s %s', w.n, right(u.product_id, 1), u.units, u.day_units, u.month_units, m.user_id IS NULL) FROM who w JOIN economy_internal.shop_user_units u USING (user_id)
        LEFT JOIN economy_internal.shop_user_units_more m USING (user_id, product_id) WHERE w.side = of
    UNION ALL SELECT format('%s used %s of %s as %s', w.n, k.idempotency_key, replace(k.product_id, 'model ' || of, ''), k.seq) FROM who w JOIN economy_internal.shop_keys k USING (user_id) WHERE w.side = of $$;

SELECT count(pg_temp.play(round, (2 + 120 * random() ^ 2)::int, 4)) AS x FROM generate_series(1, 8) round \gset
SELECT is_empty($$SELECT q.*, b.answer AS one_by_one, a.answer AS in_a_batch FROM asked q JOIN told a ON a.side = 'a' AND (a.round, a.n) = (q.round, q.n)
    JOIN told b ON b.side = 'b' AND (b.round, b.n) = (q.round, q.n) WHERE a.answer <> b.answer ORDER BY q.round, q.n LIMIT 5$$, 'answers of batches, seed ' || :seed);
SELECT is((SELECT count(*) FROM told WHERE side = 'a'), (SELECT count(*) FROM asked), 'a row for each');
SELECT bag_eq($$SELECT pg_temp.world('a')$$, $$SELECT pg_temp.world('b')$$, 'what they leave, seed ' || :seed);
SELECT ok((SELECT count(DISTINCT split_part(answer, ' ', 3)) FROM told WHERE side = 'a') >= 10, 'most outcomes have come, seed ' || :seed);

-- a trigger rewards the buyer, and at times somebody else, who may have bought before or after in the batch
CREATE FUNCTION pg_temp.tip() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM economy.grant_reward(NEW.user_id, 'pgtap tip', NEW.seq::text, 2);
    -- of what has a limit one more, which others of the batch count
    PERFORM economy.purchase(NEW.user_id, NEW.product_id, 'tip ' || NEW.seq) WHERE NEW.seq % 3 = 0 AND right(NEW.product_id, 1) IN ('2', '3') AND NEW.idempotency_key NOT LIKE 'tip%';
    PERFORM economy.grant_reward(o.user_id, 'pgtap share', w.n || '-' || NEW.seq, 1) FROM who w JOIN who o ON o.side = w.side AND o.n = 1 + w.n % 5
        WHERE w.user_id = NEW.user_id AND NEW.seq % 2 = 0;
    RETURN NULL;
END $$;
CREATE TRIGGER pgtap AFTER INSERT ON economy.shop_transactions FOR EACH ROW EXECUTE FUNCTION pg_temp.tip();
SELECT count(pg_temp.play(round, (2 + 60 * random() ^ 2)::int, 30)) AS x FROM generate_series(9, 14) round \gset
DROP TRIGGER pgtap ON economy.shop_transactions;
SELECT is_empty($$SELECT q.*, b.answer AS one_by_one, a.answer AS in_a_batch FROM asked q JOIN told a ON a.side = 'a' AND (a.round, a.n) = (q.round, q.n)
    JOIN told b ON b.side = 'b' AND (b.round, b.n) = (q.round, q.n) WHERE a.answer <> b.answer ORDER BY q.round, q.n LIMIT 5$$, 'answers where a trigger makes entries, seed ' || :seed);
SELECT bag_eq($$SELECT pg_temp.world('a')$$, $$SELECT pg_temp.world('b')$$, 'what these leave, seed ' || :seed);

SELECT cmp_ok((SELECT count(*) FROM economy_internal.shop_user_units_more JOIN who USING (user_id)), '>', 0::bigint, 'some units have rows, seed ' || :seed);
SELECT is_empty('SELECT v.* FROM who w, economy.verify_chain(w.user_id) v', 'all chains are clean');
SELECT is_empty('SELECT * FROM economy.stats_parity()', 'statistics are what the actions say');
SELECT is_empty('SELECT * FROM economy_internal.audit_stock() UNION ALL SELECT * FROM economy_internal.audit_shop() UNION ALL SELECT * FROM economy_internal.audit_units()', 'stock, units and keys are what the entries say');
SELECT * FROM finish();
ROLLBACK;
