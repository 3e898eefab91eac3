-- What economy.purchase() is compared with.
--
-- Equal footing: every peer has its own copy of the accounts and the purchase
-- journal, with the same columns, constraints, indexes, fillfactor and first
-- rows as economy's.  What a peer does not compute (a signature needs
-- pgcrypto) may be null there: less work for the peer, never more.

SET client_min_messages = warning;
SET synchronous_commit = off;

CREATE SCHEMA bench;

SELECT format('CREATE TABLE bench.%s_accounts (LIKE economy.accounts INCLUDING ALL)
                   WITH (fillfactor = 50, autovacuum_enabled = off)', peer),
       format('INSERT INTO bench.%s_accounts SELECT * FROM economy.accounts', peer)
FROM unnest(ARRAY['app', 'twin']) peer
\gexec
CREATE TABLE bench.twin_rewards (LIKE economy.reward_audit INCLUDING ALL) WITH (autovacuum_enabled = off);
CREATE TABLE bench.twin_streaks (
    user_id bigint PRIMARY KEY, streak_day integer NOT NULL, best integer NOT NULL, last_claim_on date, last_grace_on date, excused_to date, paid_to date,
    last_seq bigint NOT NULL, timezone text NOT NULL
) WITH (fillfactor = 70, autovacuum_enabled = off);
CREATE TABLE bench.twin_actions (LIKE economy.user_actions INCLUDING ALL) WITH (autovacuum_enabled = off);
CREATE TABLE bench.twin_stats (
    user_id bigint, game text COLLATE "C", total bigint NOT NULL, wins bigint NOT NULL, losses bigint NOT NULL, draws bigint NOT NULL,
    max_win bigint NOT NULL, bet_sum bigint NOT NULL, win_sum bigint NOT NULL, last_action_at timestamptz NOT NULL, PRIMARY KEY (user_id, game)
) WITH (fillfactor = 70, autovacuum_enabled = off);
CREATE TABLE bench.twin_days (LIKE economy.user_game_stats_summary INCLUDING ALL) WITH (fillfactor = 80, autovacuum_enabled = off);
CREATE TABLE bench.twin_changes (LIKE economy.holding_changes INCLUDING ALL) WITH (autovacuum_enabled = off);
-- of a pass the second of its end
CREATE TABLE bench.twin_holdings (
    user_id bigint, item_id text COLLATE "C", balance bigint NOT NULL CHECK (balance >= 0), PRIMARY KEY (user_id, item_id)
) WITH (fillfactor = 70, autovacuum_enabled = off);
INSERT INTO bench.twin_holdings SELECT user_id, item_id, balance FROM economy.user_holdings;
CREATE TABLE bench.bulk_actions (LIKE economy.user_actions INCLUDING ALL) WITH (autovacuum_enabled = off);
SELECT format('CREATE TABLE bench.%s_journal (LIKE economy.shop_transactions INCLUDING ALL)
                   WITH (autovacuum_enabled = off)', peer),
       format('ALTER TABLE bench.%s_journal ALTER hash DROP NOT NULL, ALTER receipt_signature DROP NOT NULL,
                   ALTER receipt_signature_version DROP NOT NULL, ALTER hash_algo_version DROP NOT NULL', peer),
       format('INSERT INTO bench.%s_journal SELECT * FROM economy.shop_transactions', peer)
FROM unnest(ARRAY['app', 'twin', 'insert']) peer
\gexec
-- peers have no feed, but write as many bytes
SELECT format('ALTER TABLE %s ALTER position SET DEFAULT 0', attrelid::regclass) || CASE WHEN j.attname IS NOT NULL THEN ', ALTER live SET DEFAULT false' ELSE '' END
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid AND c.relkind = 'r'
LEFT JOIN LATERAL (SELECT b.attname FROM pg_attribute b WHERE b.attrelid = a.attrelid AND b.attname = 'live') j ON true
WHERE c.relnamespace = 'bench'::regnamespace AND a.attname = 'position' \gexec
-- and find a call by its texts, by a unique index as one would write it, not by a digest
ALTER TABLE bench.app_journal DROP key_digest, ADD UNIQUE (user_id, product_id, idempotency_key);
ALTER TABLE bench.twin_journal DROP key_digest, ADD UNIQUE (user_id, product_id, idempotency_key);
ALTER TABLE bench.insert_journal DROP key_digest, ADD UNIQUE (user_id, product_id, idempotency_key);
ALTER TABLE bench.twin_rewards DROP key_digest, ADD UNIQUE (user_id, source, external_event_id);
ALTER TABLE bench.twin_actions DROP key_digest, ADD UNIQUE (user_id, game, action_id);
ALTER TABLE bench.twin_changes DROP key_digest, ADD UNIQUE (user_id, operation, idempotency_key);
CREATE TABLE bench.products (LIKE economy.shop_products INCLUDING ALL);
INSERT INTO bench.products SELECT * FROM economy.shop_products;
CREATE TABLE bench.items (LIKE economy.items INCLUDING ALL);
INSERT INTO bench.items SELECT * FROM economy.items;
CREATE TABLE bench.transfer_rules (LIKE economy.transfer_rules INCLUDING ALL);
INSERT INTO bench.transfer_rules SELECT * FROM economy.transfer_rules;
-- the usual limited package: one row that counts down
CREATE TABLE bench.stock (
    product_id text   NOT NULL COLLATE "C" PRIMARY KEY,
    remaining  bigint NOT NULL CHECK (remaining >= 0)
) WITH (fillfactor = 50, autovacuum_enabled = off);
INSERT INTO bench.stock SELECT product_id, sum(remaining) FROM economy.shop_stock GROUP BY 1;

-- Items of a product, all in one statement: the balances after it.
CREATE FUNCTION bench.give(p_user bigint, contents jsonb, ts timestamptz) RETURNS jsonb
    LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    WITH given AS (
        SELECT c.key AS item_id, c.value::bigint AS delta, i.maximum,
               CASE i.kind WHEN 'pass' THEN ceil(extract(epoch FROM ts))::bigint ELSE 0 END AS since
        FROM jsonb_each_text(contents) c JOIN bench.items i ON i.item_id = c.key AND i.active
    ), held AS (
        INSERT INTO bench.twin_holdings AS h SELECT p_user, g.item_id, g.since + g.delta FROM given g
        ON CONFLICT (user_id, item_id) DO UPDATE SET balance = greatest(h.balance, excluded.balance
            - (SELECT g.delta FROM given g WHERE g.item_id = h.item_id)) + (SELECT g.delta FROM given g WHERE g.item_id = h.item_id)
        RETURNING h.item_id, h.balance
    )
    SELECT jsonb_agg(jsonb_build_object('item', g.item_id, 'delta', g.delta, 'balance', h.balance) ORDER BY g.item_id) AS items,
           bool_or(h.balance - g.since > g.maximum) AS too_many, count(*) AS n INTO r
    FROM given g JOIN held h USING (item_id);
    IF r.too_many OR r.n < (SELECT count(*) FROM jsonb_object_keys(contents)) THEN
        RAISE EXCEPTION 'it cannot be given';
    END IF;
    RETURN r.items;
END
$$;

-- The PL/pgSQL twin: the same checks, entry and hash chain in one call.  It
-- takes the account lock first and needs one look at the key only, computes no
-- signature, changes neither user nor search_path, and takes stock last, so
-- that the counter row is locked as briefly as it can be.
CREATE FUNCTION bench.purchase(p_user bigint, p_product text, p_key text, p_notify boolean, p_quantity integer DEFAULT 1)
    RETURNS economy.purchase_result
    LANGUAGE plpgsql AS $$
DECLARE
    r       economy.purchase_result;
    account record;
    product record;
    first   record;
    head    bytea;
    ts      timestamptz := clock_timestamp();
BEGIN
    r.quantity := p_quantity;
    r.success := false;
    r.state := 'refused';
    r.gold_delta := 0;
    IF octet_length(p_key) NOT BETWEEN 1 AND 255 OR p_quantity NOT BETWEEN 1 AND 1000000 THEN
        RAISE EXCEPTION 'invalid argument' USING ERRCODE = 'XE002';
    END IF;

    SELECT a.seq + 1 AS seq, a.gold, a.experience_points, a.suspended, a.head_hash INTO account
        FROM bench.twin_accounts a WHERE a.user_id = p_user FOR NO KEY UPDATE;
    IF NOT found THEN
        r.code := 'USER_NOT_FOUND';
        RETURN r;
    END IF;
    SELECT j.seq, j.quantity, j.gold_delta, j.gold INTO first
        FROM bench.twin_journal j WHERE j.user_id = p_user AND j.product_id = p_product AND j.idempotency_key = p_key;
    IF found THEN
        IF first.quantity <> p_quantity THEN
            r.code := 'IDEMPOTENCY_MISMATCH';
            RETURN r;
        END IF;
        r.success := true;
        r.state := 'reuse';
        r.code := 'OK';
        r.transaction_id := 'P' || p_user || '-' || first.seq;
        r.gold_delta := first.gold_delta;
        r.gold := first.gold;
        RETURN r;
    END IF;
    SELECT p.* INTO product FROM bench.products p WHERE p.product_id = p_product;
    IF NOT found THEN
        r.code := 'PRODUCT_NOT_FOUND';
    ELSIF account.suspended THEN
        r.code := 'USER_SUSPENDED';
    ELSIF NOT product.active OR ts < product.starts_at OR ts >= product.ends_at THEN
        r.code := 'NOT_ON_SALE';
    ELSIF account.gold < product.price_gold * p_quantity THEN
        r.code := 'INSUFFICIENT_GOLD';
    END IF;
    IF r.code IS NOT NULL THEN
        RETURN r;
    END IF;

    r.gold_delta := product.granted_gold * p_quantity - product.price_gold * p_quantity;
    r.gold := account.gold + r.gold_delta;
    IF product.contents IS NOT NULL THEN
        r.items := bench.give(p_user, product.contents, ts);
    END IF;
    head := sha256(account.head_hash || convert_to(concat_ws('|', p_user, account.seq, r.gold_delta, 0, r.gold,
        account.experience_points, ts, pg_current_xact_id()::text::bigint, product.monetary * p_quantity, p_quantity,
        product.category, 'SUCCESS', p_product, p_key, product.effect_code, r.items), 'UTF8'));
    UPDATE bench.twin_accounts a SET seq = account.seq, gold = r.gold, head_hash = head WHERE a.user_id = p_user;
    INSERT INTO bench.twin_journal (user_id, seq, gold_delta, xp_delta, gold, experience_points, created_at, xact,
            monetary, quantity, hash_algo_version, hash, category, status, product_id, idempotency_key, effect_code, items)
        VALUES (p_user, account.seq, r.gold_delta, 0, r.gold, account.experience_points, ts, pg_current_xact_id()::text::bigint,
            product.monetary * p_quantity, p_quantity, 1, head, product.category, 'SUCCESS', p_product, p_key,
            product.effect_code, r.items);
    IF product.stock_slots > 0 THEN
        UPDATE bench.stock s SET remaining = s.remaining - p_quantity
            WHERE s.product_id = p_product AND s.remaining >= p_quantity RETURNING s.remaining INTO r.stock_remaining;
        IF NOT found THEN
            RAISE EXCEPTION 'sold out';
        END IF;
    END IF;
    r.success := true;
    r.state := 'new';
    r.code := 'OK';
    r.transaction_id := 'P' || p_user || '-' || account.seq;
    IF p_notify THEN
        PERFORM pg_notify('purchase_update', json_build_object('specversion', '1.0', 'id', r.transaction_id,
            'source', '/economy/node/0', 'type', 'purchase_update', 'subject', p_user::text, 'time', ts,
            'sequence', lpad(account.seq::text, 20, '0'), 'datacontenttype', 'application/json', 'data',
            json_build_object('product_id', p_product, 'category', product.category, 'quantity', p_quantity,
                'status', 'SUCCESS', 'effect_code', product.effect_code, 'idempotency_key', p_key,
                'seq', account.seq, 'gold_delta', r.gold_delta, 'xp_delta', 0, 'gold', r.gold,
                'experience_points', account.experience_points))::text);
    END IF;
    RETURN r;
END
$$;

CREATE FUNCTION bench.purchase_bundle(p_user bigint, p_product text, p_key text) RETURNS economy.purchase_result
    LANGUAGE sql AS $$ SELECT bench.purchase(p_user, p_product, p_key, false) $$;

-- The twin of an order: what purchase() and settlement_report() do, with the same tables, checks and history.
CREATE TABLE bench.twin_orders (LIKE economy.payment_orders INCLUDING ALL) WITH (fillfactor = 80, autovacuum_enabled = off);
CREATE TABLE bench.twin_order_history (LIKE economy.payment_order_history INCLUDING ALL) WITH (autovacuum_enabled = off);
CREATE TABLE bench.providers (LIKE economy.payment_providers INCLUDING ALL);
INSERT INTO bench.providers SELECT * FROM economy.payment_providers;

CREATE FUNCTION bench.purchase(p_user bigint, p_product text, p_key text)
    RETURNS economy.purchase_result
    LANGUAGE plpgsql AS $$
DECLARE
    p_quantity CONSTANT integer := 1;
    r        economy.purchase_result;
    account  record;
    product  record;
    provider record;
    o        bench.twin_orders;
    ts       timestamptz := clock_timestamp();
BEGIN
    r.success := false;
    r.state := 'refused';
    r.gold_delta := 0;
    SELECT a.suspended, a.gold INTO account FROM bench.twin_accounts a WHERE a.user_id = p_user FOR NO KEY UPDATE;
    IF NOT found OR account.suspended THEN
        RETURN r;
    END IF;
    SELECT p.* INTO product FROM bench.products p WHERE p.product_id = p_product;
    IF NOT found OR NOT product.active OR ts < product.starts_at OR ts >= product.ends_at THEN
        r.code := 'NOT_ON_SALE';
        RETURN r;
    END IF;
    IF product.settlement IS NULL THEN
        RETURN bench.purchase(p_user, p_product, p_key, false, p_quantity);
    END IF;
    IF EXISTS (SELECT FROM bench.twin_journal j WHERE j.user_id = p_user AND j.product_id = p_product AND j.idempotency_key = p_key) THEN
        RETURN bench.purchase(p_user, p_product, p_key, false, p_quantity);
    END IF;
    SELECT t.* INTO o FROM bench.twin_orders t WHERE t.user_id = p_user AND t.product_id = p_product AND t.idempotency_key = p_key;
    IF found THEN
        r.success := o.is_open AND o.quantity = p_quantity;
        r.state := CASE WHEN r.success THEN 'reuse' ELSE 'refused' END;
        r.code := CASE WHEN o.quantity <> p_quantity THEN 'IDEMPOTENCY_MISMATCH' WHEN o.is_open THEN 'PENDING' ELSE 'ORDER_CLOSED' END;
        RETURN r;
    END IF;
    IF (SELECT count(*) FROM bench.twin_orders t WHERE t.user_id = p_user AND t.is_open) >= 16 THEN
        r.code := 'ORDER_LIMIT';
        RETURN r;
    END IF;
    SELECT p.* INTO provider FROM bench.providers p WHERE p.provider = product.settlement AND p.currency IS NOT NULL;
    INSERT INTO bench.twin_orders AS t (user_id, product_id, idempotency_key, order_id, provider, quantity, amount, currency, terms, state, is_open,
            made_at, expires_at, due_at, attempts)
        VALUES (p_user, p_product, p_key, gen_random_uuid(), provider.provider, p_quantity, product.source_points * p_quantity, provider.currency,
            jsonb_build_object('granted_gold', product.granted_gold, 'monetary', product.monetary), 'CREATED', true,
            ts, ts + make_interval(secs => provider.expiry_s), ts, 0)
        RETURNING t.* INTO o;
    INSERT INTO bench.twin_order_history (order_id, step, at, report, to_state, reporter, detail)
        VALUES (o.order_id, 1, ts, 'ordered', 'CREATED', 'purchase', jsonb_build_object('user_id', o.user_id, 'product_id', o.product_id,
            'idempotency_key', o.idempotency_key, 'provider', o.provider, 'quantity', o.quantity, 'amount', o.amount, 'currency', o.currency, 'terms', o.terms));
    r.success := true;
    r.state := 'new';
    r.code := 'PENDING';
    r.gold := account.gold;
    r.detail := jsonb_build_object('order', jsonb_build_object('order_id', o.order_id, 'state', o.state, 'amount', o.amount, 'currency', o.currency,
        'expires_at', o.expires_at));
    RETURN r;
END
$$;

-- of a confirmation, and of what is said again
CREATE FUNCTION bench.settlement_report(p_order uuid, p_report text, p_reporter text, p_ref text, p_amount bigint, p_currency text)
    RETURNS economy.order_result
    LANGUAGE plpgsql AS $$
DECLARE
    r        economy.order_result;
    o        bench.twin_orders;
    given    economy.purchase_result;
    conflict text;
    ts       timestamptz := clock_timestamp();
BEGIN
    IF p_report <> 'confirmed' OR octet_length(p_reporter) NOT BETWEEN 1 AND 255 OR octet_length(p_ref) NOT BETWEEN 1 AND 255 THEN
        RAISE EXCEPTION 'invalid argument' USING ERRCODE = 'XE002';
    END IF;
    PERFORM FROM bench.twin_accounts a WHERE a.user_id = (SELECT t.user_id FROM bench.twin_orders t WHERE t.order_id = p_order) FOR NO KEY UPDATE;
    SELECT t.* INTO o FROM bench.twin_orders t WHERE t.order_id = p_order FOR NO KEY UPDATE;
    r := (false, 'refused', 'ORDER_NOT_FOUND', NULL, p_order, NULL, NULL);
    IF NOT found THEN
        RETURN r;
    END IF;
    conflict := CASE WHEN p_amount <> o.amount THEN 'AMOUNT' WHEN p_currency <> o.currency THEN 'CURRENCY' WHEN p_ref <> o.provider_ref THEN 'PROVIDER_REF'
        WHEN o.provider_ref IS NULL AND EXISTS (SELECT FROM bench.twin_orders t WHERE t.provider = o.provider AND t.provider_ref = p_ref) THEN 'PROVIDER_REF_USED'
        WHEN o.state NOT IN ('CREATED', 'PENDING', 'CONFIRMED') THEN 'STATE' END;
    r := (true, 'reuse', 'OK', 'P' || o.user_id || '-' || o.seq, p_order, o.state, NULL);
    IF o.state = 'CONFIRMED' AND conflict IS NULL THEN
        RETURN r;
    END IF;
    IF conflict IS NULL THEN
        given := bench.purchase(o.user_id, o.product_id, o.idempotency_key, false, o.quantity);
        conflict := CASE WHEN NOT given.success THEN given.code END;
    END IF;
    r.state := 'new';
    r.order_state := CASE WHEN conflict IS NULL THEN 'CONFIRMED' ELSE 'CONFLICT' END;
    r.transaction_id := given.transaction_id;
    INSERT INTO bench.twin_order_history (order_id, step, at, report, from_state, to_state, reporter, reason, detail)
        VALUES (p_order, (SELECT max(h.step) + 1 FROM bench.twin_order_history h WHERE h.order_id = p_order), ts, p_report, o.state, r.order_state, p_reporter,
            conflict, jsonb_build_object('provider_ref', p_ref, 'amount', p_amount, 'currency', p_currency));
    UPDATE bench.twin_orders t SET state = r.order_state, is_open = conflict IS NOT NULL, provider_ref = p_ref, due_at = 'infinity',
            seq = substring(given.transaction_id FROM '-([0-9]+)$')::bigint
        WHERE t.order_id = p_order;
    RETURN r;
END
$$;

-- The twins of consume() and transfer(), in the same manner.
CREATE FUNCTION bench.consume(p_user bigint, p_item text, p_key text, p_quantity bigint DEFAULT 1, p_reason text DEFAULT 'used')
    RETURNS economy.holding_result
    LANGUAGE plpgsql AS $$
DECLARE
    r       economy.holding_result;
    account record;
    first   record;
    item    record;
    after   bigint;
    head    bytea;
    ts      timestamptz := clock_timestamp();
BEGIN
    r.success := false;
    r.state := 'refused';
    r.gold_delta := 0;
    SELECT a.seq + 1 AS seq, a.gold, a.experience_points, a.suspended, a.head_hash INTO account
        FROM bench.twin_accounts a WHERE a.user_id = p_user FOR NO KEY UPDATE;
    IF NOT found OR account.suspended THEN
        RETURN r;
    END IF;
    SELECT j.* INTO first FROM bench.twin_changes j
        WHERE j.user_id = p_user AND j.operation = 'consume' AND j.idempotency_key = p_key;
    IF found THEN
        r.success := first.items = jsonb_build_array(jsonb_build_object('item', p_item, 'delta', -p_quantity,
            'balance', first.items -> 0 -> 'balance')) AND first.reason = p_reason;
        r.state := CASE WHEN r.success THEN 'reuse' ELSE 'refused' END;
        r.items := first.items;
        RETURN r;
    END IF;
    SELECT i.* INTO item FROM bench.items i WHERE i.item_id = p_item;
    IF NOT found OR NOT item.consumable OR item.kind = 'pass' THEN
        r.code := 'ITEM_NOT_CONSUMABLE';
        RETURN r;
    END IF;
    UPDATE bench.twin_holdings h SET balance = h.balance - p_quantity
        WHERE h.user_id = p_user AND h.item_id = p_item AND h.balance >= p_quantity RETURNING h.balance INTO after;
    IF NOT found THEN
        r.code := 'INSUFFICIENT_ITEMS';
        RETURN r;
    END IF;
    r.items := jsonb_build_array(jsonb_build_object('item', p_item, 'delta', -p_quantity, 'balance', after));
    r.gold := account.gold;
    head := sha256(account.head_hash || convert_to(concat_ws('|', p_user, account.seq, 0, 0, account.gold,
        account.experience_points, ts, pg_current_xact_id()::text::bigint, 'consume', p_key, p_reason, r.items), 'UTF8'));
    UPDATE bench.twin_accounts a SET seq = account.seq, head_hash = head WHERE a.user_id = p_user;
    INSERT INTO bench.twin_changes (user_id, seq, gold_delta, xp_delta, gold, experience_points, created_at, xact, hash,
            operation, idempotency_key, reason, items)
        VALUES (p_user, account.seq, 0, 0, account.gold, account.experience_points, ts, pg_current_xact_id()::text::bigint,
            head, 'consume', p_key, p_reason, r.items);
    r.success := true;
    r.state := 'new';
    r.code := 'OK';
    r.transaction_id := 'H' || p_user || '-' || account.seq;
    RETURN r;
END
$$;

-- one entry of each of the two, the lesser id locked first
CREATE FUNCTION bench.transfer(p_from bigint, p_to bigint, p_key text, p_gold bigint) RETURNS economy.holding_result
    LANGUAGE plpgsql AS $$
DECLARE
    r        economy.holding_result;
    sender   record;
    receiver record;
    first    record;
    rules    record;
    fee      bigint;
    id       text;
    head     bytea;
    ts       timestamptz := clock_timestamp();
BEGIN
    r.success := false;
    r.state := 'refused';
    PERFORM FROM bench.twin_accounts a WHERE a.user_id = least(p_from, p_to) FOR NO KEY UPDATE;
    PERFORM FROM bench.twin_accounts a WHERE a.user_id = greatest(p_from, p_to) FOR NO KEY UPDATE;
    SELECT a.* INTO sender FROM bench.twin_accounts a WHERE a.user_id = p_from;
    SELECT a.* INTO receiver FROM bench.twin_accounts a WHERE a.user_id = p_to;
    IF sender.user_id IS NULL OR receiver.user_id IS NULL OR sender.suspended OR receiver.suspended THEN
        RETURN r;
    END IF;
    SELECT j.* INTO first FROM bench.twin_changes j
        WHERE j.user_id = p_from AND j.operation = 'transfer_out' AND j.idempotency_key = p_key;
    IF found THEN
        r.success := (first.detail ->> 'to')::bigint = p_to AND (first.detail ->> 'gold')::bigint = p_gold;
        r.state := CASE WHEN r.success THEN 'reuse' ELSE 'refused' END;
        r.gold := first.gold;
        RETURN r;
    END IF;
    SELECT t.* INTO rules FROM bench.transfer_rules t WHERE t.enabled;
    IF NOT found THEN
        r.code := 'TRANSFERS_OFF';
        RETURN r;
    END IF;
    fee := ceil(p_gold * rules.fee_per_mille / 1000.0);
    IF sender.gold < p_gold + fee OR receiver.gold + p_gold > 9007199254740991 THEN
        r.code := 'INSUFFICIENT_GOLD';
        RETURN r;
    END IF;
    id := 'H' || p_from || '-' || sender.seq + 1;
    r.gold_delta := -p_gold - fee;
    r.gold := sender.gold + r.gold_delta;
    r.detail := jsonb_build_object('transfer', id, 'to', p_to, 'gold', p_gold, 'fee', fee);
    head := sha256(sender.head_hash || convert_to(concat_ws('|', p_from, sender.seq + 1, r.gold_delta, 0, r.gold,
        sender.experience_points, ts, pg_current_xact_id()::text::bigint, 'transfer_out', p_key, r.detail), 'UTF8'));
    UPDATE bench.twin_accounts a SET seq = sender.seq + 1, gold = r.gold, head_hash = head WHERE a.user_id = p_from;
    INSERT INTO bench.twin_changes (user_id, seq, gold_delta, xp_delta, gold, experience_points, created_at, xact, hash,
            operation, idempotency_key, reason, detail)
        VALUES (p_from, sender.seq + 1, r.gold_delta, 0, r.gold, sender.experience_points, ts,
            pg_current_xact_id()::text::bigint, head, 'transfer_out', p_key, 'transfer', r.detail);
    head := sha256(receiver.head_hash || convert_to(concat_ws('|', p_to, receiver.seq + 1, p_gold, 0, receiver.gold + p_gold,
        receiver.experience_points, ts, pg_current_xact_id()::text::bigint, 'transfer_in', id), 'UTF8'));
    UPDATE bench.twin_accounts a SET seq = receiver.seq + 1, gold = receiver.gold + p_gold, head_hash = head WHERE a.user_id = p_to;
    INSERT INTO bench.twin_changes (user_id, seq, gold_delta, xp_delta, gold, experience_points, created_at, xact, hash,
            operation, idempotency_key, reason, detail)
        VALUES (p_to, receiver.seq + 1, p_gold, 0, receiver.gold + p_gold, receiver.experience_points, ts,
            pg_current_xact_id()::text::bigint, head, 'transfer_in', id, 'transfer',
            jsonb_build_object('transfer', id, 'from', p_from, 'gold', p_gold));
    r.success := true;
    r.state := 'new';
    r.code := 'OK';
    r.transaction_id := id;
    RETURN r;
END
$$;

-- The twins of hold_escrow() and reserve(), in the same manner.
CREATE TABLE bench.twin_escrows (LIKE economy.escrows INCLUDING ALL) WITH (autovacuum_enabled = off);
CREATE TABLE bench.twin_reservations (LIKE economy.shop_reservations INCLUDING ALL) WITH (fillfactor = 80, autovacuum_enabled = off);
CREATE INDEX ON bench.twin_reservations (due_at);

CREATE FUNCTION bench.hold_escrow(p_user bigint, p_key text, p_gold bigint, p_ttl interval DEFAULT '1 day', p_reason text DEFAULT 'escrow')
    RETURNS economy.holding_result
    LANGUAGE plpgsql AS $$
DECLARE
    r       economy.holding_result;
    account record;
    first   record;
    rules   record;
    fee     bigint;
    head    bytea;
    ts      timestamptz := clock_timestamp();
BEGIN
    r.success := false;
    r.state := 'refused';
    SELECT a.seq + 1 AS seq, a.gold, a.experience_points, a.suspended, a.head_hash INTO account
        FROM bench.twin_accounts a WHERE a.user_id = p_user FOR NO KEY UPDATE;
    IF NOT found OR account.suspended THEN
        RETURN r;
    END IF;
    SELECT j.* INTO first FROM bench.twin_changes j
        WHERE j.user_id = p_user AND j.operation = 'escrow_hold' AND j.idempotency_key = p_key;
    IF found THEN
        r.success := (first.detail ->> 'gold')::bigint = p_gold AND first.reason = p_reason;
        r.state := CASE WHEN r.success THEN 'reuse' ELSE 'refused' END;
        r.gold := first.gold;
        RETURN r;
    END IF;
    SELECT t.* INTO rules FROM bench.transfer_rules t WHERE t.enabled;
    IF NOT found THEN
        r.code := 'TRANSFERS_OFF';
        RETURN r;
    END IF;
    fee := ceil(p_gold * rules.fee_per_mille / 1000.0);
    IF account.gold < p_gold + fee THEN
        r.code := 'INSUFFICIENT_GOLD';
        RETURN r;
    END IF;
    r.gold_delta := -p_gold - fee;
    r.gold := account.gold + r.gold_delta;
    r.detail := jsonb_build_object('gold', p_gold, 'fee', fee, 'fee_per_mille', rules.fee_per_mille,
        'ttl_seconds', extract(epoch FROM p_ttl)::bigint, 'expires_at', ts + p_ttl);
    head := sha256(account.head_hash || convert_to(concat_ws('|', p_user, account.seq, r.gold_delta, 0, r.gold,
        account.experience_points, ts, pg_current_xact_id()::text::bigint, 'escrow_hold', p_key, p_reason, r.detail), 'UTF8'));
    UPDATE bench.twin_accounts a SET seq = account.seq, gold = r.gold, head_hash = head WHERE a.user_id = p_user;
    INSERT INTO bench.twin_changes (user_id, seq, gold_delta, xp_delta, gold, experience_points, created_at, xact, hash,
            operation, idempotency_key, reason, detail)
        VALUES (p_user, account.seq, r.gold_delta, 0, r.gold, account.experience_points, ts, pg_current_xact_id()::text::bigint,
            head, 'escrow_hold', p_key, p_reason, r.detail);
    INSERT INTO bench.twin_escrows VALUES (p_user, account.seq, ts + p_ttl);
    r.success := true;
    r.state := 'new';
    r.code := 'OK';
    r.transaction_id := 'H' || p_user || '-' || account.seq;
    RETURN r;
END
$$;

-- stock in one row, taken last
CREATE FUNCTION bench.reserve(p_user bigint, p_product text, p_key text, p_quantity integer DEFAULT 1, p_ttl interval DEFAULT '10 minutes')
    RETURNS economy.reservation_result
    LANGUAGE plpgsql AS $$
DECLARE
    r       economy.reservation_result;
    account record;
    product record;
    first   bench.twin_reservations;
    ts      timestamptz := clock_timestamp();
BEGIN
    r.success := false;
    r.state := 'refused';
    SELECT a.seq, a.suspended INTO account FROM bench.twin_accounts a WHERE a.user_id = p_user FOR NO KEY UPDATE;
    IF NOT found OR account.suspended THEN
        RETURN r;
    END IF;
    SELECT v.* INTO first FROM bench.twin_reservations v WHERE v.user_id = p_user AND v.idempotency_key = p_key;
    IF found THEN
        r.success := first.product_id = p_product AND first.quantity = p_quantity;
        r.state := CASE WHEN r.success THEN 'reuse' ELSE 'refused' END;
        RETURN r;
    END IF;
    SELECT p.* INTO product FROM bench.products p WHERE p.product_id = p_product;
    IF NOT found OR NOT product.active OR ts < product.starts_at OR ts >= product.ends_at OR product.stock_slots = 0 THEN
        r.code := 'NOT_ON_SALE';
        RETURN r;
    END IF;
    IF (SELECT count(*) FROM bench.twin_reservations v WHERE v.user_id = p_user AND v.state = 'held' AND v.expires_at > ts) >= 16 THEN
        r.code := 'RESERVATION_LIMIT';
        RETURN r;
    END IF;
    INSERT INTO bench.twin_reservations (user_id, idempotency_key, product_id, quantity, stock_slot, after_seq, state, made_at, expires_at, due_at)
        VALUES (p_user, p_key, p_product, p_quantity, 0, account.seq, 'held', ts, ts + p_ttl, ts + p_ttl);
    UPDATE bench.stock s SET remaining = s.remaining - p_quantity
        WHERE s.product_id = p_product AND s.remaining >= p_quantity RETURNING s.remaining INTO r.stock_remaining;
    IF NOT found THEN
        RAISE EXCEPTION 'sold out';
    END IF;
    r.success := true;
    r.state := 'new';
    r.code := 'OK';
    r.reservation := p_key;
    r.expires_at := ts + p_ttl;
    RETURN r;
END
$$;

-- The twins of grant_reward() and record_action(), in the same manner.
CREATE FUNCTION bench.grant_reward(p_user bigint, p_source text, p_event text, p_gold bigint, p_xp bigint)
    RETURNS economy.grant_result
    LANGUAGE plpgsql AS $$
DECLARE
    r       economy.grant_result;
    account record;
    first   record;
    head    bytea;
    ts      timestamptz := clock_timestamp();
BEGIN
    SELECT a.seq + 1 AS seq, a.gold, a.experience_points, a.suspended, a.head_hash INTO account
        FROM bench.twin_accounts a WHERE a.user_id = p_user FOR NO KEY UPDATE;
    IF NOT found OR account.suspended THEN
        r.success := false;
        r.state := 'refused';
        RETURN r;
    END IF;
    SELECT j.* INTO first FROM bench.twin_rewards j
        WHERE j.user_id = p_user AND j.source = p_source AND j.external_event_id = p_event;
    IF found THEN
        r.success := first.gold_delta = p_gold AND first.xp_delta = p_xp;
        r.state := CASE WHEN r.success THEN 'reuse' ELSE 'refused' END;
        r.gold := first.gold;
        RETURN r;
    END IF;
    r.gold := account.gold + p_gold;
    r.experience_points := account.experience_points + p_xp;
    head := sha256(account.head_hash || convert_to(concat_ws('|', p_user, account.seq, p_gold, p_xp, r.gold,
        r.experience_points, ts, pg_current_xact_id()::text::bigint, p_source, p_event), 'UTF8'));
    UPDATE bench.twin_accounts a SET seq = account.seq, gold = r.gold, experience_points = r.experience_points,
        head_hash = head WHERE a.user_id = p_user;
    INSERT INTO bench.twin_rewards (user_id, seq, gold_delta, xp_delta, gold, experience_points, created_at, xact, hash,
            source, external_event_id)
        VALUES (p_user, account.seq, p_gold, p_xp, r.gold, r.experience_points, ts, pg_current_xact_id()::text::bigint, head, p_source, p_event);
    r.success := true;
    r.state := 'new';
    r.code := 'OK';
    r.transaction_id := 'R' || p_user || '-' || account.seq;
    r.level := r.experience_points / 500 + 1;
    r.leveled_up := r.level > account.experience_points / 500 + 1;
    RETURN r;
END
$$;

-- of claim_daily_reward(): the date in the user's zone, grace, and no freezes
CREATE FUNCTION bench.claim_daily_reward(p_user bigint) RETURNS economy.claim_result
    LANGUAGE plpgsql AS $$
DECLARE
    r       economy.claim_result;
    account record;
    streak  record;
    zone    text;
    missed  integer;
    head    bytea;
    ts      timestamptz := economy.now();
BEGIN
    SELECT a.seq + 1 AS seq, a.gold, a.experience_points, a.suspended, a.head_hash INTO account
        FROM bench.twin_accounts a WHERE a.user_id = p_user FOR NO KEY UPDATE;
    IF NOT found OR account.suspended THEN
        r.success := false;
        r.state := 'refused';
        RETURN r;
    END IF;
    SELECT u.timezone INTO zone FROM economy.users u WHERE u.user_id = p_user;
    r.claim_date := (ts AT TIME ZONE zone)::date;
    r.next_claim_at := (r.claim_date + 1)::timestamp AT TIME ZONE zone;
    SELECT s.* INTO streak FROM bench.twin_streaks s WHERE s.user_id = p_user;
    IF streak.last_claim_on >= r.claim_date THEN
        r.success := true;
        r.state := 'reuse';
        r.code := 'ALREADY_CLAIMED';
        RETURN r;
    END IF;
    missed := r.claim_date - streak.last_claim_on - 1;
    r.grace_used := coalesce(missed = 1 AND (streak.last_grace_on IS NULL OR r.claim_date - 1 - streak.last_grace_on >= 7), false);
    r.streak_day := CASE WHEN missed = 0 OR r.grace_used THEN streak.streak_day + 1 ELSE 1 END;
    r.gold_delta := 1000 + 200 * (r.streak_day - 1);
    r.xp_delta := 50 + 25 * (r.streak_day - 1);
    r.gold := account.gold + r.gold_delta;
    r.experience_points := account.experience_points + r.xp_delta;
    head := sha256(account.head_hash || convert_to(concat_ws('|', p_user, account.seq, r.gold_delta, r.xp_delta, r.gold,
        r.experience_points, ts, pg_current_xact_id()::text::bigint, r.streak_day, r.claim_date), 'UTF8'));
    UPDATE bench.twin_accounts a SET seq = account.seq, gold = r.gold, experience_points = r.experience_points,
        head_hash = head WHERE a.user_id = p_user;
    INSERT INTO bench.twin_rewards (user_id, seq, gold_delta, xp_delta, gold, experience_points, created_at, xact, hash,
            source, external_event_id, streak_day, reward_day, claim_date, grace_used, freezes_used)
        VALUES (p_user, account.seq, r.gold_delta, r.xp_delta, r.gold, r.experience_points, ts, pg_current_xact_id()::text::bigint,
            head, 'economy:daily_streak', r.claim_date::text, r.streak_day, r.streak_day, r.claim_date, r.grace_used, 0);
    INSERT INTO bench.twin_streaks AS s (user_id, streak_day, best, last_claim_on, last_grace_on, last_seq, timezone)
        VALUES (p_user, r.streak_day, r.streak_day, r.claim_date,
            CASE WHEN r.grace_used THEN r.claim_date - 1 END, account.seq, zone)
        ON CONFLICT (user_id) DO UPDATE SET streak_day = excluded.streak_day, best = greatest(s.best, excluded.best),
            last_claim_on = excluded.last_claim_on, last_grace_on = coalesce(excluded.last_grace_on, s.last_grace_on),
            last_seq = excluded.last_seq, timezone = excluded.timezone;
    r.success := true;
    r.state := 'new';
    r.code := 'CLAIMED';
    r.level := r.experience_points / 500 + 1;
    RETURN r;
END
$$;

-- an entry and two upserts: the statistics of the game and of the day
CREATE FUNCTION bench.record_action(p_user bigint, p_game text, p_type text, p_action text, p_bet bigint, p_win bigint)
    RETURNS economy.action_result
    LANGUAGE plpgsql AS $$
DECLARE
    r       economy.action_result;
    account record;
    head    bytea;
    ts      timestamptz := clock_timestamp();
    w       integer := (p_win > p_bet)::integer;
    l       integer := (p_win < p_bet)::integer;
BEGIN
    SELECT a.seq + 1 AS seq, a.gold, a.experience_points, a.suspended, a.head_hash INTO account
        FROM bench.twin_accounts a WHERE a.user_id = p_user FOR NO KEY UPDATE;
    IF NOT found OR account.suspended OR account.gold < p_bet THEN
        r.success := false;
        r.state := 'refused';
        RETURN r;
    END IF;
    PERFORM FROM bench.twin_actions j WHERE j.user_id = p_user AND j.game = p_game AND j.action_id = p_action;
    IF found THEN
        r.success := true;
        r.state := 'reuse';
        RETURN r;
    END IF;
    r.gold_delta := p_win - p_bet;
    r.gold := account.gold + r.gold_delta;
    head := sha256(account.head_hash || convert_to(concat_ws('|', p_user, account.seq, r.gold_delta, r.gold,
        account.experience_points, ts, pg_current_xact_id()::text::bigint, p_bet, p_win, p_game, p_type, p_action), 'UTF8'));
    UPDATE bench.twin_accounts a SET seq = account.seq, gold = r.gold, head_hash = head WHERE a.user_id = p_user;
    INSERT INTO bench.twin_actions (user_id, seq, gold_delta, xp_delta, gold, experience_points, created_at, xact, bet, win,
            hash, outcome, game, action_type, action_id)
        VALUES (p_user, account.seq, r.gold_delta, 0, r.gold, account.experience_points, ts, pg_current_xact_id()::text::bigint, p_bet, p_win,
            head, CASE WHEN w = 1 THEN 'win' WHEN l = 1 THEN 'loss' ELSE 'draw' END, p_game, p_type, p_action);
    INSERT INTO bench.twin_stats AS s VALUES (p_user, p_game, 1, w, l, 1 - w - l, p_win, p_bet, p_win, ts)
        ON CONFLICT (user_id, game) DO UPDATE SET total = s.total + 1, wins = s.wins + w, losses = s.losses + l,
            draws = s.draws + 1 - w - l, max_win = greatest(s.max_win, p_win), bet_sum = s.bet_sum + p_bet,
            win_sum = s.win_sum + p_win, last_action_at = ts
        RETURNING s.total, s.wins, s.losses, s.max_win INTO r.total, r.wins, r.losses, r.max_win;
    INSERT INTO bench.twin_days AS s VALUES (p_user, ts::date, p_game, 1, w, l, 1 - w - l, p_win, p_bet, p_win, ts)
        ON CONFLICT (user_id, day, game) DO UPDATE SET total = s.total + 1, wins = s.wins + w, losses = s.losses + l,
            draws = s.draws + 1 - w - l, max_win = greatest(s.max_win, p_win), bet_sum = s.bet_sum + p_bet,
            win_sum = s.win_sum + p_win, last_action_at = ts;
    r.success := true;
    r.state := 'new';
    r.code := 'OK';
    r.transaction_id := 'A' || p_user || '-' || account.seq;
    RETURN r;
END
$$;

-- Missions of every kind that count actions of the game "slot", and others of other games and products.
CREATE FUNCTION bench.missions(matching integer, others integer) RETURNS bigint LANGUAGE sql AS $$
    SELECT count(economy.publish_mission(m, 'bench')) FROM (
        SELECT m FROM (VALUES
            (1, jsonb '{"mission": "wins", "trigger": "action", "condition": {"all": [{"eq": ["event.game", "slot"]}, {"eq": ["event.outcome", "win"]}]}, "target": 3, "period": "daily", "gold": 10}'),
            (2, '{"mission": "spins", "trigger": "action", "condition": {"eq": ["event.game", "slot"]}, "target": 20, "period": "daily", "gold": 10}'),
            (3, '{"mission": "bets", "trigger": "action", "condition": {"eq": ["event.game", "slot"]}, "progress": "sum", "field": "event.bet", "target": 10000, "period": "weekly", "gold": 10}'),
            (4, '{"mission": "winner", "trigger": "action", "condition": {"all": [{"eq": ["event.game", "slot"]}, {"ge": ["event.win", 2]}]}, "progress": "sum", "field": "event.win", "increment_cap": 50, "target": 10000, "period": "weekly", "gold": 10}'),
            (5, '{"mission": "great", "trigger": "action", "condition": {"eq": ["event.game", "slot"]}, "progress": "max", "field": "event.win", "target": 10000, "gold": 10}')) v (n, m)
        WHERE n <= matching
        UNION ALL
        SELECT jsonb_build_object('mission', 'other-' || n, 'trigger', CASE WHEN n % 4 = 0 THEN 'purchase' ELSE 'action' END, 'target', 10, 'gold', 10,
            'period', (ARRAY['once', 'daily', 'weekly'])[1 + n % 3], 'claim_hours', 0,
            'condition', jsonb_build_object('eq', jsonb_build_array(CASE WHEN n % 4 = 0 THEN 'event.product' ELSE 'event.game' END, 'other-' || n)))
        FROM generate_series(1, others) n) m
$$;

-- The same five, as one would write them: progress in a table, in the transaction of the action, and a claim once.
CREATE SCHEMA mission;
CREATE TABLE mission.missions (
    mission text PRIMARY KEY, game text NOT NULL, outcome text, least bigint NOT NULL, counts text NOT NULL, cap bigint NOT NULL, target bigint NOT NULL,
    days integer NOT NULL, gold bigint NOT NULL
);
INSERT INTO mission.missions VALUES
    ('wins', 'slot', 'win', 0, 'count', 1, 3, 1, 10), ('spins', 'slot', NULL, 0, 'count', 1, 20, 1, 10), ('bets', 'slot', NULL, 0, 'bet', 10000, 10000, 7, 10),
    ('winner', 'slot', NULL, 2, 'win', 50, 10000, 7, 10), ('great', 'slot', NULL, 0, 'max', 10000, 10000, 1000000, 10);
CREATE INDEX ON mission.missions (game);
CREATE TABLE mission.progress (
    user_id bigint NOT NULL, mission text NOT NULL, period integer NOT NULL, progress bigint NOT NULL, state text NOT NULL, target bigint NOT NULL, is_max boolean NOT NULL,
    PRIMARY KEY (user_id, mission, period)
) WITH (fillfactor = 70, autovacuum_enabled = off);
CREATE FUNCTION mission.record_action(p_user bigint, p_game text, p_type text, p_action text, p_bet bigint, p_win bigint) RETURNS economy.action_result LANGUAGE plpgsql AS $$
DECLARE
    r   economy.action_result := bench.record_action(p_user, p_game, p_type, p_action, p_bet, p_win);
    day integer := (economy.now() AT TIME ZONE 'UTC')::date - date '2000-01-03';
BEGIN
    IF r.state = 'new' THEN
        INSERT INTO mission.progress AS p
            SELECT p_user, m.mission, day / m.days, i.n, CASE WHEN i.n >= m.target THEN 'completed' ELSE 'active' END, m.target, m.counts = 'max'
            FROM mission.missions m
            CROSS JOIN LATERAL (SELECT least(CASE m.counts WHEN 'count' THEN 1 WHEN 'bet' THEN p_bet ELSE p_win END, m.cap, m.target) AS n) i
            WHERE m.game = p_game AND p_win >= m.least AND i.n > 0
              AND (m.outcome IS NULL OR m.outcome = CASE WHEN p_win > p_bet THEN 'win' WHEN p_win < p_bet THEN 'loss' ELSE 'draw' END)
            ORDER BY m.mission
        ON CONFLICT (user_id, mission, period) DO UPDATE
            SET progress = least(CASE WHEN p.is_max THEN greatest(p.progress, excluded.progress) ELSE p.progress + excluded.progress END, p.target),
                state = CASE WHEN CASE WHEN p.is_max THEN greatest(p.progress, excluded.progress) ELSE p.progress + excluded.progress END >= p.target
                             THEN 'completed' ELSE 'active' END
            WHERE p.state = 'active';
    END IF;
    RETURN r;
END
$$;
CREATE FUNCTION mission.claim_mission(p_user bigint, p_mission text) RETURNS economy.grant_result LANGUAGE plpgsql AS $$
DECLARE
    r   economy.grant_result;
    m   mission.missions;
    n   integer;
BEGIN
    SELECT * INTO m FROM mission.missions x WHERE x.mission = p_mission;
    n := ((economy.now() AT TIME ZONE 'UTC')::date - date '2000-01-03') / m.days;
    UPDATE mission.progress p SET state = 'claimed' WHERE p.user_id = p_user AND p.mission = p_mission AND p.period = n AND p.state = 'completed';
    IF NOT found AND NOT EXISTS (SELECT FROM mission.progress p WHERE p.user_id = p_user AND p.mission = p_mission AND p.period = n AND p.state = 'claimed') THEN
        r.state := 'refused';
        r.code := 'MISSION_NOT_COMPLETED';
        RETURN r;
    END IF;
    RETURN bench.grant_reward(p_user, 'mission:' || p_mission, n::text, m.gold, 0);
END
$$;

-- A bulk load in some calls, each a transaction: its time over that of an INSERT
-- of its rows into a table as large with the same keys.  A few players play much
-- and many play little (the cube of an even draw).  The median of the rounds.
CREATE PROCEDURE bench.bulk(actions integer, calls integer, users integer, rounds integer, INOUT ratio numeric DEFAULT NULL)
    LANGUAGE plpgsql AS $$
DECLARE
    name   text;
    start  timestamptz;
    ours   interval;
    ratios float8[];
    made   integer;
BEGIN
    INSERT INTO bench.bulk_actions SELECT * FROM economy.user_actions ON CONFLICT DO NOTHING;
    FOR round IN 1 .. rounds LOOP
        name := format('bulk-%s-%s-', calls, round);
        CREATE TABLE bench.calls AS
            SELECT n % calls AS call, jsonb_agg(jsonb_build_object('user_id', 1 + floor(users * ((hashint4(n)::bigint + 2147483648) / 4294967296.0) ^ 3)::bigint,
                'game', 'slot', 'action_type', 'SLOT_SPIN', 'action_id', name || n, 'bet', 1, 'win', 2)) AS actions
            FROM generate_series(0, actions - 1) n GROUP BY 1;
        COMMIT;
        CHECKPOINT;
        start := clock_timestamp();
        FOR c IN 0 .. calls - 1 LOOP
            SELECT count(*) FILTER (WHERE r.code = 'OK') INTO made FROM bench.calls b, economy.record_actions(b.actions) r WHERE b.call = c;
            COMMIT;
            ASSERT made = (SELECT jsonb_array_length(b.actions) FROM bench.calls b WHERE b.call = c), 'an action was refused';
        END LOOP;
        ours := clock_timestamp() - start;
        CREATE TABLE bench.loaded AS SELECT * FROM economy.user_actions WHERE starts_with(action_id, name);
        COMMIT;
        CHECKPOINT;
        start := clock_timestamp();
        INSERT INTO bench.bulk_actions SELECT * FROM bench.loaded;
        COMMIT;
        ratios := ratios || extract(epoch FROM ours)::float8 / extract(epoch FROM clock_timestamp() - start)::float8;
        DROP TABLE bench.calls, bench.loaded;
    END LOOP;
    SELECT round(percentile_cont(0.5) WITHIN GROUP (ORDER BY v)::numeric, 2) INTO ratio FROM unnest(ratios) v;
END
$$;

-- Time of a rollup of 10,000 fresh actions of 1,000 users, in seconds: the median
-- of five.  Nothing else is left to roll up.
CREATE PROCEDURE bench.rollup(INOUT seconds double precision DEFAULT NULL)
    LANGUAGE plpgsql AS $$
DECLARE
    start timestamptz;
    times double precision[];
BEGIN
    WHILE (SELECT users > 0 FROM economy.rollup_stats()) LOOP
    END LOOP;
    FOR round IN 1 .. 5 LOOP
        PERFORM economy.record_actions((SELECT jsonb_agg(jsonb_build_object('user_id', 1 + n % 1000, 'game', 'slot',
            'action_type', 'SLOT_SPIN', 'action_id', gen_random_uuid())) FROM generate_series(1, 10000) n));
        COMMIT;
        start := clock_timestamp();
        PERFORM economy.rollup_stats();
        COMMIT;
        times := times || extract(epoch FROM clock_timestamp() - start)::double precision;
    END LOOP;
    SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY v) INTO seconds FROM unnest(times) v;
END
$$;

-- Purchases from inside one backend, each in a transaction of its own: by
-- random users, or all by one.
CREATE PROCEDURE bench.buy(calls integer, users integer, buyer bigint DEFAULT NULL)
    LANGUAGE plpgsql AS $$
DECLARE
    ok boolean;
BEGIN
    FOR i IN 1 .. calls LOOP
        SELECT p.success INTO ok
            FROM economy.purchase(coalesce(buyer, 1 + floor(random() * users)::bigint), 'item', gen_random_uuid()::text) p;
        IF ok IS NOT TRUE THEN
            RAISE EXCEPTION 'a purchase was refused';
        END IF;
        COMMIT;
    END LOOP;
END
$$;

-- What the calling backend holds: by its own books, and by the kernel's, which
-- also sees what was allocated behind PostgreSQL's back (OpenSSL).  VmData, not
-- the resident size: that also grows with what was allocated long ago.
CREATE FUNCTION bench.memory(OUT contexts bigint, OUT process bigint)
    LANGUAGE sql AS $$
    SELECT (SELECT sum(total_bytes)::bigint FROM pg_backend_memory_contexts),
           1024 * (regexp_match(pg_read_file('/proc/self/status'), 'VmData:\s+(\d+)'))[1]::bigint
$$;

-- A season of a hundred tiers that everybody has reached, and what claims one in PL/pgSQL: the same checks, and the
-- function of the reward.
CREATE TABLE bench.seasons (LIKE economy.seasons INCLUDING ALL);
CREATE FUNCTION bench.seasons() RETURNS bigint
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM economy.upsert_item('{"item_id": "pass_xp", "kind": "stack", "consumable": false}', 'bench');
    PERFORM economy.publish_season(jsonb_build_object('season', 'pass', 'xp_item', 'pass_xp', 'starts_at', '2020-01-01T00:00:00Z', 'ends_at', '2040-01-01T00:00:00Z',
        'tiers', (SELECT jsonb_agg(jsonb_build_object('xp', 10 * n, 'rewards', jsonb_build_object('free', jsonb_build_object('gold', n))) ORDER BY n)
                  FROM generate_series(1, 100) n)), 'bench');
    INSERT INTO bench.seasons SELECT * FROM economy.seasons;
    INSERT INTO bench.twin_holdings SELECT a.user_id, 'pass_xp', 1000 FROM economy.accounts a;
    RETURN (SELECT count(*) FROM economy.accounts a, economy.grant_items(a.user_id, '{"pass_xp": 1000}', 'bench', 'pass') g WHERE g.success);
END
$$;
CREATE FUNCTION bench.claim_tier(p_user bigint, p_season text, p_tier integer, p_track text) RETURNS economy.grant_result
    LANGUAGE plpgsql AS $$
DECLARE
    r       economy.grant_result;
    s       bench.seasons;
    tier    jsonb;
    item    text;
    has     bigint;
    ts      timestamptz := economy.now();
BEGIN
    r.success := false;
    r.state := 'refused';
    PERFORM FROM bench.twin_accounts a WHERE a.user_id = p_user FOR NO KEY UPDATE;
    SELECT o.* INTO s FROM bench.seasons o WHERE o.season = p_season;
    tier := s.tiers -> (p_tier - 1);
    IF tier -> 'rewards' -> p_track IS NULL OR ts < s.starts_at
       OR s.at_end = 'forfeit' AND ts >= least(s.ends_at, s.retired_at) + make_interval(hours => s.claim_hours) THEN
        r.code := 'TIER_NOT_FOUND';
        RETURN r;
    END IF;
    SELECT h.balance INTO has FROM bench.twin_holdings h WHERE h.user_id = p_user AND h.item_id = s.xp_item;
    IF coalesce(has, 0) < (tier ->> 'xp')::bigint THEN
        r.code := 'TIER_NOT_REACHED';
        RETURN r;
    END IF;
    SELECT t ->> 'item' INTO item FROM jsonb_array_elements(s.tracks) t WHERE t ->> 'track' = p_track;
    IF NOT found OR item IS NOT NULL AND NOT EXISTS (
        SELECT FROM bench.twin_holdings h WHERE h.user_id = p_user AND h.item_id = item AND h.balance > 0) THEN
        r.code := 'TRACK_NOT_OPEN';
        RETURN r;
    END IF;
    RETURN bench.grant_reward(p_user, 'season:' || p_season, p_track || ':' || p_tier,
        coalesce((tier -> 'rewards' -> p_track ->> 'gold')::bigint, 0), coalesce((tier -> 'rewards' -> p_track ->> 'xp')::bigint, 0));
END
$$;
