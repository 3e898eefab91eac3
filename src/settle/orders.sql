-- orders: purchases that outside money pays for, from the order to the purchase

CREATE TABLE economy.payment_orders (
    user_id         bigint      NOT NULL,
    product_id      text        NOT NULL COLLATE "C",
    idempotency_key text        NOT NULL COLLATE "C",
    order_id        uuid        NOT NULL CONSTRAINT payment_orders_order_id_key UNIQUE,
    provider        text        NOT NULL COLLATE "C",
    quantity        integer     NOT NULL
        CONSTRAINT payment_orders_quantity_check CHECK (quantity > 0),
    amount          bigint      NOT NULL
        CONSTRAINT payment_orders_amount_check CHECK (amount BETWEEN 1 AND 9007199254740991),
    currency        text        NOT NULL COLLATE "C",
    terms           jsonb       NOT NULL,
    context         jsonb,
    state           text        NOT NULL COLLATE "C" CONSTRAINT payment_orders_state_check
        CHECK (state IN ('CREATED', 'PENDING', 'CONFIRMED', 'VOIDED', 'FAILED', 'EXPIRED',
                         'REFUNDED', 'CHARGED_BACK', 'CONFLICT')),
    is_open         boolean     NOT NULL,
    stock_slot      smallint,
    seq             bigint,
    provider_ref    text COLLATE "C" CONSTRAINT payment_orders_provider_ref_check
        CHECK (octet_length(provider_ref) BETWEEN 1 AND 255),
    made_at         timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    due_at          timestamptz NOT NULL,
    attempts        integer     NOT NULL
        CONSTRAINT payment_orders_attempts_check CHECK (attempts >= 0),
    worker          text,
    CONSTRAINT payment_orders_pkey PRIMARY KEY (user_id, product_id, idempotency_key),
    CONSTRAINT payment_orders_provider_ref_key UNIQUE (provider, provider_ref),
    -- of a conflict an operator says what it is
    CONSTRAINT payment_orders_seq_check CHECK (
        CASE WHEN state IN ('CONFIRMED', 'REFUNDED', 'CHARGED_BACK') THEN seq IS NOT NULL
             WHEN state <> 'CONFLICT' THEN seq IS NULL ELSE true END),
    CONSTRAINT payment_orders_open_check CHECK (is_open = (
        state IN ('CREATED', 'PENDING') OR (state = 'CONFLICT' AND seq IS NULL))),
    CONSTRAINT payment_orders_stock_check CHECK (is_open OR stock_slot IS NULL),
    CONSTRAINT payment_orders_due_check CHECK (
        state IN ('CREATED', 'PENDING') OR (due_at = 'infinity' AND worker IS NULL)),
    CONSTRAINT payment_orders_time_check CHECK (expires_at > made_at)
) WITH (fillfactor = 80);
-- whole ones: a partial index has no direct way
CREATE INDEX payment_orders_open ON economy.payment_orders (user_id, is_open);
CREATE INDEX payment_orders_due ON economy.payment_orders (due_at);
CREATE INDEX payment_orders_state ON economy.payment_orders (state);
CREATE INDEX payment_orders_expiry ON economy.payment_orders (is_open, expires_at);
SELECT pg_catalog.pg_extension_config_dump('economy.payment_orders', '');
COMMENT ON TABLE economy.payment_orders IS
    'Purchases that money from outside pays for, from the call of purchase() on, and what became '
    'of them.';
COMMENT ON COLUMN economy.payment_orders.order_id IS 'By which the provider and workers name it.';
COMMENT ON COLUMN economy.payment_orders.amount IS
    'What is to be paid, in minor units of currency.';
COMMENT ON COLUMN economy.payment_orders.terms IS
    'What a unit gives, as it was promised when it was ordered.';
COMMENT ON COLUMN economy.payment_orders.is_open IS 'Whether a purchase may come of it yet.';
COMMENT ON COLUMN economy.payment_orders.stock_slot IS
    'Slot the units were taken from that it holds; null: it holds none.';
COMMENT ON COLUMN economy.payment_orders.seq IS 'Of the purchase that was made of it.';
COMMENT ON COLUMN economy.payment_orders.provider_ref IS 'How the provider names the payment.';
COMMENT ON COLUMN economy.payment_orders.expires_at IS
    'When it is given up, unless a report says otherwise, or a worker has it.';
COMMENT ON COLUMN economy.payment_orders.due_at IS
    'From when on settlement_lease() hands it out: while a worker has it, the end of the lease; '
    'infinity: never.';
COMMENT ON COLUMN economy.payment_orders.attempts IS 'How often it was handed out.';
COMMENT ON COLUMN economy.payment_orders.worker IS 'Who has it.';

CREATE TABLE economy.payment_order_history (
    order_id   uuid        NOT NULL,
    step       integer     NOT NULL
        CONSTRAINT payment_order_history_step_check CHECK (step > 0),
    at         timestamptz NOT NULL,
    report     text        NOT NULL COLLATE "C",
    from_state text COLLATE "C",
    to_state   text        NOT NULL COLLATE "C",
    reporter   text        NOT NULL,
    reason     text,
    detail     jsonb,
    CONSTRAINT payment_order_history_pkey PRIMARY KEY (order_id, step),
    CONSTRAINT payment_order_history_first_check CHECK ((step = 1) = (from_state IS NULL))
);
SELECT pg_catalog.pg_extension_config_dump('economy.payment_order_history', '');
CREATE TRIGGER payment_order_history_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE
    ON economy.payment_order_history
    FOR EACH STATEMENT EXECUTE FUNCTION economy_internal.forbid_change();
ALTER TABLE economy.payment_order_history
    ENABLE ALWAYS TRIGGER payment_order_history_is_kept;
COMMENT ON TABLE economy.payment_order_history IS
    'Every step of an order: when, what was reported, by whom and why. Append-only.';
COMMENT ON COLUMN economy.payment_order_history.report IS
    'What was reported: ordered, pending, confirmed, voided, failed, expired, refunded, '
    'charged_back; resolved by an operator.';
COMMENT ON COLUMN economy.payment_order_history.reason IS
    'What the reporter said of it; of a conflict, what contradicts.';
COMMENT ON COLUMN economy.payment_order_history.detail IS
    'What the report said beyond that: provider_ref, amount, currency, and the webhook_id that it '
    'came by; of the first step the order as it was placed.';

CREATE TYPE economy.order_result AS (
    success        boolean,
    state          text,
    code           text,
    transaction_id text,
    order_id       uuid,
    order_state    text,
    detail         jsonb
);
COMMENT ON TYPE economy.order_result IS
    'Result of economy.settlement_report() and economy.resolve_order().';

-- The whole of the rules.  Reports may come twice, and in any order; what contradicts what is
-- known is for an operator.
CREATE FUNCTION economy_internal.order_step(state text, report text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT CASE
            WHEN state = 'CONFLICT' THEN 'CONFLICT'
            WHEN report = 'unknown' THEN state
            WHEN state IN ('CREATED', 'PENDING') THEN
                CASE report WHEN 'pending' THEN 'PENDING' WHEN 'confirmed' THEN 'CONFIRMED'
                            WHEN 'voided' THEN 'VOIDED' WHEN 'failed' THEN 'FAILED'
                            WHEN 'expired' THEN 'EXPIRED' ELSE 'CONFLICT' END
            -- what is older than what is known
            WHEN report = 'pending' THEN state
            WHEN state = 'CONFIRMED' THEN
                CASE report WHEN 'confirmed' THEN state WHEN 'refunded' THEN 'REFUNDED'
                            WHEN 'charged_back' THEN 'CHARGED_BACK' ELSE 'CONFLICT' END
            WHEN state = 'REFUNDED' AND report IN ('confirmed', 'refunded') THEN state
            WHEN state = 'CHARGED_BACK' AND report IN ('confirmed', 'charged_back') THEN state
            -- nothing was paid, by whichever name
            WHEN state IN ('VOIDED', 'FAILED', 'EXPIRED')
             AND report IN ('voided', 'failed', 'expired') THEN state
            ELSE 'CONFLICT' END;
    END;
COMMENT ON FUNCTION economy_internal.order_step(text, text) IS
    'The state that an order of a state has after a report.';

CREATE FUNCTION economy_internal.note_step(
    order_id uuid, at timestamptz, report text, from_state text, to_state text, reporter text,
    reason text, detail jsonb
) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    h        CONSTANT economy.payment_order_history := (
        order_id,
        (SELECT coalesce(max(p.step), 0) + 1 FROM economy.payment_order_history p
         WHERE p.order_id = note_step.order_id),
        at, report, from_state, to_state, reporter, reason, detail);
    as_given boolean;
BEGIN
    INSERT INTO economy.payment_order_history AS p SELECT (h).*
        RETURNING (p.*) IS NOT DISTINCT FROM h INTO as_given;
    IF as_given IS NOT TRUE THEN
        RAISE EXCEPTION 'a step of an order would be noted in another way than it was made'
            USING ERRCODE = 'XE103',
            HINT = 'Look for a BEFORE trigger or a rule on economy.payment_order_history that '
                   'changes values or suppresses rows.';
    END IF;
END
$$;
COMMENT ON FUNCTION economy_internal.note_step(
    uuid, timestamptz, text, text, text, text, text, jsonb) IS
    'Notes a step of an order, whose row is locked.';

CREATE FUNCTION economy_internal.order_placed(o economy.payment_orders) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT jsonb_build_object(
            'user_id', (o).user_id, 'product_id', (o).product_id,
            'idempotency_key', (o).idempotency_key, 'provider', (o).provider,
            'quantity', (o).quantity, 'amount', (o).amount, 'currency', (o).currency,
            'terms', (o).terms, 'context', (o).context);
    END;
COMMENT ON FUNCTION economy_internal.order_placed(economy.payment_orders) IS
    'What of an order never changes, as the first step of its history has it.';

CREATE FUNCTION economy_internal.place_order(
    user_id bigint, product_id text, idempotency_key text, provider text, quantity integer,
    amount bigint, terms jsonb, context jsonb, stock_slot smallint
) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    at       CONSTANT timestamptz := economy.now();
    o        economy.payment_orders;
    as_given boolean;
BEGIN
    SELECT place_order.user_id, place_order.product_id, place_order.idempotency_key,
           gen_random_uuid(), p.provider, place_order.quantity, place_order.amount, p.currency,
           place_order.terms, nullif(place_order.context, 'null'), 'CREATED', true,
           nullif(place_order.stock_slot, -1), NULL, NULL, at,
           at + make_interval(secs => p.expiry_s), at, 0, NULL
        INTO o FROM economy.payment_providers p
        WHERE p.provider = place_order.provider AND p.currency IS NOT NULL;
    IF NOT found THEN
        RAISE EXCEPTION 'provider "%" of product "%" is not there, or has no currency',
                provider, product_id USING ERRCODE = 'XE103',
            HINT = 'Rows of economy.payment_providers were changed by hand. '
                   'economy.audit_sweep() says what is missing.';
    END IF;
    INSERT INTO economy.payment_orders AS n SELECT (o).*
        RETURNING (n.*) IS NOT DISTINCT FROM o INTO as_given;
    IF as_given IS NOT TRUE THEN
        RAISE EXCEPTION 'an order would be placed in another way than was asked for'
            USING ERRCODE = 'XE103',
            HINT = 'Look for a BEFORE trigger or a rule on economy.payment_orders that changes '
                   'values or suppresses rows.';
    END IF;
    PERFORM economy_internal.note_step(
        o.order_id, at, 'ordered', NULL, 'CREATED', 'purchase', NULL,
        economy_internal.order_placed(o));
END
$$;
COMMENT ON FUNCTION economy_internal.place_order(
    bigint, text, text, text, integer, bigint, jsonb, jsonb, smallint) IS
    'Part of purchase(): the order of a product that a provider is paid for.';

CREATE FUNCTION economy_internal.give_order(
    user_id bigint, product_id text, idempotency_key text, quantity integer, context jsonb,
    terms jsonb, stock_slot smallint
) RETURNS economy.purchase_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_give_order';
COMMENT ON FUNCTION economy_internal.give_order(
    bigint, text, text, integer, jsonb, jsonb, smallint) IS
    'The purchase of an order that is paid, of units that it holds in a slot, or, when it holds '
    'none, such as the stock has. Refuses as purchase() does what cannot be given, but nothing '
    'that is a rule of sale.';

-- The order of an id, locked: behind its account when its purchase may be made or taken back.
CREATE FUNCTION economy_internal.lock_order(order_id uuid, with_account boolean)
    RETURNS economy.payment_orders
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    o economy.payment_orders;
BEGIN
    PERFORM economy_internal.open_tables(
        'payment_orders', 'payment_order_history', 'payment_providers', 'shop_stock', 'accounts');
    IF with_account THEN
        PERFORM FROM economy.accounts a
            WHERE a.user_id = (SELECT p.user_id FROM economy.payment_orders p
                               WHERE p.order_id = lock_order.order_id) FOR NO KEY UPDATE;
    END IF;
    SELECT p.* INTO o FROM economy.payment_orders p
        WHERE p.order_id = lock_order.order_id FOR NO KEY UPDATE;
    RETURN o;
END
$$;
COMMENT ON FUNCTION economy_internal.lock_order(uuid, boolean) IS
    'The order of an id, locked, with the account of its user or without.';

-- Writes what an order has become, whose row is locked.
CREATE FUNCTION economy_internal.write_order(
    before economy.payment_orders, o economy.payment_orders
) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    as_given boolean;
BEGIN
    o.is_open := o.state IN ('CREATED', 'PENDING') OR (o.state = 'CONFLICT' AND o.seq IS NULL);
    IF o.state NOT IN ('CREATED', 'PENDING') THEN
        o.due_at := 'infinity';
        o.worker := NULL;
    END IF;
    WITH written AS (
        UPDATE economy.payment_orders p SET
                state = o.state, is_open = o.is_open, stock_slot = o.stock_slot, seq = o.seq,
                provider_ref = o.provider_ref, due_at = o.due_at, worker = o.worker
            -- a trigger on what was written since may have reported on the order, too
            WHERE p.order_id = o.order_id AND (p.*) IS NOT DISTINCT FROM before
            RETURNING (p.*) IS NOT DISTINCT FROM o AS is_so
    )
    -- of a row that damage has doubled, both
    SELECT bool_and(w.is_so) AND count(*) = 1 INTO as_given FROM written w;
    IF as_given IS NOT TRUE THEN
        RAISE EXCEPTION 'an order would become another than was reported'
            USING ERRCODE = 'XE103',
            HINT = 'Look for a BEFORE trigger or a rule on economy.payment_orders that changes '
                   'values or suppresses rows, and for a trigger on what a report writes that '
                   'reports on the same order.';
    END IF;
END
$$;
COMMENT ON FUNCTION economy_internal.write_order(
    economy.payment_orders, economy.payment_orders) IS
    'Writes what an order has become, whose row is locked, and is as it was before.';

-- Units that it holds go back; waits for a slot, holding no account that others may need.
CREATE FUNCTION economy_internal.release_order(o economy.payment_orders, wait boolean)
    RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    returned boolean;
BEGIN
    IF o.stock_slot IS NULL THEN
        RETURN true;
    END IF;
    returned := economy_internal.return_stock(o.product_id, o.quantity, o.stock_slot, wait);
    IF returned IS NULL OR (wait AND NOT returned) THEN
        RAISE EXCEPTION 'units of an order would go back in another way than was asked for'
            USING ERRCODE = 'XE103',
            HINT = 'Look for a BEFORE trigger or a rule on economy.shop_stock that changes values '
                   'or suppresses rows, or for slots that are not there.';
    END IF;
    RETURN returned;
END
$$;
COMMENT ON FUNCTION economy_internal.release_order(economy.payment_orders, boolean) IS
    'Gives the units that an order holds back to the stock; false: nobody waits, and no slot is '
    'free.';

-- What a step to a state does, of an order whose account, when it needs it, and row are locked.
-- Whatever cannot be done makes it a conflict, and nothing of it is done.
CREATE FUNCTION economy_internal.take_step(
    o economy.payment_orders, to_state text, reporter text, reason text, INOUT conflict text,
    OUT becomes economy.payment_orders
)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    given  economy.purchase_result;
    taken  economy.refund_result;
BEGIN
    becomes := o;
    becomes.state := to_state;
    IF to_state = 'CONFIRMED' AND o.seq IS NULL THEN
        given := economy_internal.give_order(
            o.user_id, o.product_id, o.idempotency_key, o.quantity, o.context, o.terms,
            o.stock_slot);
        IF given.success THEN
            becomes.seq := substring(given.transaction_id FROM '-([0-9]+)$')::bigint;
            becomes.stock_slot := NULL;
        ELSE
            conflict := given.code;
        END IF;
    ELSIF to_state IN ('REFUNDED', 'CHARGED_BACK') THEN
        taken := economy.refund_purchase(
            o.user_id, 'P' || o.user_id || '-' || o.seq, 'order ' || o.order_id,
            reason => coalesce(nullif(reason, ''), lower(to_state)), actor => reporter,
            policy => 'take_available');
        -- it was taken back before the provider knew of it
        IF NOT taken.success AND taken.code <> 'EXCEEDS_PURCHASE' THEN
            conflict := taken.code;
        END IF;
    ELSIF to_state IN ('VOIDED', 'FAILED', 'EXPIRED') THEN
        PERFORM economy_internal.release_order(o, true);
        becomes.stock_slot := NULL;
    END IF;
    IF conflict IS NOT NULL THEN
        becomes := o;
        becomes.state := 'CONFLICT';
    END IF;
END
$$;
COMMENT ON FUNCTION economy_internal.take_step(
    economy.payment_orders, text, text, text, text) IS
    'What an order becomes by a step, whose effects it brings about; conflict: why it cannot.';

-- When a worker is to try again, by the ladder of the provider.
CREATE FUNCTION economy_internal.retry_at(
    provider economy.payment_providers, attempts integer, at timestamptz
) RETURNS timestamptz
    LANGUAGE sql VOLATILE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT CASE WHEN attempts >= (provider).max_attempts THEN timestamptz 'infinity'
                    ELSE at + make_interval(secs => l.seconds::float8 * (0.5 + random())) END
        FROM (SELECT least((provider).retry_cap_s, (provider).retry_base_s
                  * 2.0 ^ least(greatest(attempts - 1, 0), 30))) l (seconds);
    END;
COMMENT ON FUNCTION economy_internal.retry_at(
    economy.payment_providers, integer, timestamptz) IS
    'When the next attempt of a worker is due after so many; infinity: there is none.';

CREATE FUNCTION economy_internal.apply_report(
    o economy.payment_orders, report text, reporter text, provider_ref text, amount bigint,
    currency text, reason text, webhook_id text DEFAULT NULL
) RETURNS economy.order_result
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    at       CONSTANT timestamptz := economy.now();
    said     CONSTANT jsonb := nullif(jsonb_strip_nulls(jsonb_build_object(
        'provider_ref', provider_ref, 'amount', amount, 'currency', currency,
        'webhook_id', webhook_id)), '{}');
    to_state text := economy_internal.order_step(o.state, report);
    before   CONSTANT economy.payment_orders := o;
    is_used  boolean := false;
    conflict text;
    step     record;
    result   economy.order_result;
BEGIN
    result := (true, 'new', 'OK', NULL, o.order_id, NULL, NULL);
    IF o.provider_ref IS NULL AND provider_ref IS NOT NULL THEN
        -- two orders with one payment meet here, not in the index
        PERFORM economy_internal.lock_name(
            'economy.payment:' || o.provider || ':' || provider_ref);
        SELECT count(*) > 0 INTO is_used FROM economy.payment_orders p
            WHERE p.provider = o.provider AND p.provider_ref = apply_report.provider_ref;
    END IF;
    -- what contradicts the order, whatever the state: an unknown one says nothing
    IF report <> 'unknown' THEN
        conflict := CASE
            WHEN amount <> o.amount THEN 'AMOUNT'
            WHEN currency <> o.currency THEN 'CURRENCY'
            WHEN provider_ref <> o.provider_ref THEN 'PROVIDER_REF'
            WHEN is_used THEN 'PROVIDER_REF_USED'
            WHEN to_state = 'CONFLICT' THEN 'STATE' END;
    END IF;
    IF conflict IS NULL AND to_state <> o.state THEN
        SELECT t.* INTO step
            FROM economy_internal.take_step(o, to_state, reporter, reason, NULL) t;
        o := step.becomes;
        conflict := step.conflict;
    END IF;
    IF conflict IS NOT NULL THEN
        o.state := 'CONFLICT';
    END IF;
    -- also of a conflict: what was paid for one order is not paid for another
    IF report <> 'unknown' AND NOT is_used THEN
        o.provider_ref := coalesce(o.provider_ref, apply_report.provider_ref);
    END IF;
    -- a worker has its lease until it tells of the order, or it is over
    IF o.state IN ('CREATED', 'PENDING')
       AND (o.worker IS NULL OR o.worker = reporter OR o.due_at <= at) THEN
        SELECT economy_internal.retry_at(p, o.attempts, at) INTO o.due_at
            FROM economy.payment_providers p WHERE p.provider = o.provider;
        o.worker := NULL;
    END IF;
    -- in a conflict each report is kept, once
    IF o.state = before.state AND o.provider_ref IS NOT DISTINCT FROM before.provider_ref
       AND (o.state <> 'CONFLICT' OR report = 'unknown' OR EXISTS (
        SELECT FROM economy.payment_order_history h
        WHERE h.order_id = o.order_id AND h.report = apply_report.report
          AND h.reporter = apply_report.reporter
          AND h.reason IS NOT DISTINCT FROM
              nullif(concat_ws(': ', conflict, apply_report.reason), '')
          AND h.detail IS NOT DISTINCT FROM said)) THEN
        result.state := 'reuse';
    ELSE
        PERFORM economy_internal.note_step(
            o.order_id, at, report, before.state, o.state, reporter,
            nullif(concat_ws(': ', conflict, reason), ''), said);
    END IF;
    -- with each step, so that of two reports above READ COMMITTED one raises 40001
    IF o.provider_ref IS DISTINCT FROM before.provider_ref THEN
        BEGIN
            PERFORM economy_internal.write_order(before, o);
        EXCEPTION WHEN unique_violation THEN
            -- it is of an order that the transaction's snapshot does not see
            RAISE EXCEPTION 'could not serialize access due to concurrent update'
                USING ERRCODE = 'serialization_failure';
        END;
    ELSIF result.state = 'new' OR o IS DISTINCT FROM before THEN
        PERFORM economy_internal.write_order(before, o);
    END IF;
    result.code := CASE o.state WHEN 'CONFLICT' THEN 'CONFLICT' ELSE 'OK' END;
    result.order_state := o.state;
    result.transaction_id := 'P' || o.user_id || '-' || o.seq;
    result.detail := CASE WHEN conflict IS NOT NULL
                          THEN jsonb_build_object('contradicts', conflict) END;
    RETURN result;
END
$$;
COMMENT ON FUNCTION economy_internal.apply_report(
    economy.payment_orders, text, text, text, bigint, text, text, text) IS
    'What a report does to an order that is locked, with its account if it may be paid or paid '
    'back.';

CREATE FUNCTION economy.settlement_report(
    order_id uuid, report text, reporter text, provider_ref text DEFAULT NULL,
    amount bigint DEFAULT NULL, currency text DEFAULT NULL, reason text DEFAULT NULL
) RETURNS economy.order_result
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET jit = off AS $$
DECLARE
    o economy.payment_orders;
BEGIN
    PERFORM economy_internal.require_given('order_id', order_id IS NOT NULL);
    PERFORM economy_internal.require_given('report', report IS NOT NULL);
    PERFORM economy_internal.require_text('reporter', reporter, 255);
    PERFORM economy_internal.require_text('provider_ref', coalesce(provider_ref, '-'), 255);
    PERFORM economy_internal.require_text('currency', coalesce(currency, '-'), 255);
    PERFORM economy_internal.require_text('reason', coalesce(reason, '-'), 255);
    IF report NOT IN ('pending', 'confirmed', 'voided', 'failed', 'expired', 'refunded',
                      'charged_back', 'unknown') THEN
        RAISE EXCEPTION 'report "%" is not known', left(report, 64) USING ERRCODE = 'XE002',
            HINT = 'It is pending, confirmed, voided, failed, expired, refunded, charged_back '
                   'or unknown.';
    END IF;
    o := economy_internal.lock_order(
        order_id, report IN ('confirmed', 'refunded', 'charged_back'));
    IF o.order_id IS NULL THEN
        RETURN (false, 'refused', 'ORDER_NOT_FOUND', NULL, order_id, NULL, NULL
                )::economy.order_result;
    END IF;
    RETURN economy_internal.apply_report(
        o, report, reporter, provider_ref, amount, currency, reason);
END
$$;
COMMENT ON FUNCTION economy.settlement_report(uuid, text, text, text, bigint, text, text) IS
    'What a provider says of an order: pending, confirmed, voided, failed, expired, refunded, '
    'charged_back, unknown. Confirmed makes the purchase, refunded and charged_back take it back. '
    'The same again answers the present state, with reuse; what contradicts what is known makes a '
    'CONFLICT, for resolve_order(). Refuses ORDER_NOT_FOUND.';

CREATE FUNCTION economy.resolve_order(order_id uuid, resolution text, reason text, actor text)
    RETURNS economy.order_result
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET jit = off AS $$
DECLARE
    o      economy.payment_orders;
    step   record;
    result economy.order_result;
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.require_given('order_id', order_id IS NOT NULL);
    PERFORM economy_internal.require_given('resolution', resolution IS NOT NULL);
    PERFORM economy_internal.require_text('reason', reason, 255);
    IF resolution NOT IN ('CONFIRMED', 'VOIDED', 'REFUNDED', 'CHARGED_BACK') THEN
        RAISE EXCEPTION 'resolution "%" is not known', left(resolution, 64)
            USING ERRCODE = 'XE002',
            HINT = 'It is CONFIRMED, VOIDED, REFUNDED or CHARGED_BACK.';
    END IF;
    o := economy_internal.lock_order(order_id, true);
    result := (false, 'refused', NULL, NULL, order_id, o.state, NULL);
    IF o.order_id IS NULL THEN
        result.code := 'ORDER_NOT_FOUND';
        RETURN result;
    END IF;
    result.transaction_id := 'P' || o.user_id || '-' || o.seq;
    IF o.state <> 'CONFLICT' THEN
        result.success := o.state = resolution;
        result.state := CASE WHEN result.success THEN 'reuse' ELSE 'refused' END;
        result.code := CASE WHEN result.success THEN 'OK' ELSE 'NO_CONFLICT' END;
        RETURN result;
    END IF;
    -- what was given can be kept or taken back, what was not can be given or left
    IF (o.seq IS NULL AND resolution NOT IN ('CONFIRMED', 'VOIDED'))
       OR (o.seq IS NOT NULL AND resolution = 'VOIDED') THEN
        result.code := 'RESOLUTION_NOT_POSSIBLE';
        result.detail := jsonb_build_object('possible', CASE
            WHEN o.seq IS NULL THEN jsonb '["CONFIRMED", "VOIDED"]'
            ELSE jsonb '["CONFIRMED", "REFUNDED", "CHARGED_BACK"]' END);
        RETURN result;
    END IF;
    SELECT t.* INTO step
        FROM economy_internal.take_step(o, resolution, actor, reason, NULL) t;
    IF step.conflict IS NOT NULL THEN
        result.code := step.conflict;
        RETURN result;
    END IF;
    PERFORM economy_internal.note_step(
        o.order_id, economy.now(), 'resolved', o.state, resolution, actor, reason, NULL);
    PERFORM economy_internal.write_order(o, step.becomes);
    o := step.becomes;
    RETURN (true, 'new', 'OK', 'P' || o.user_id || '-' || o.seq, o.order_id, o.state, NULL
            )::economy.order_result;
END
$$;
COMMENT ON FUNCTION economy.resolve_order(uuid, text, text, text) IS
    'What an operator has found out of an order in CONFLICT: CONFIRMED gives what was ordered, or '
    'leaves it, VOIDED gives nothing, REFUNDED and CHARGED_BACK take it back. Recorded with actor '
    'and reason. Refuses ORDER_NOT_FOUND, NO_CONFLICT, RESOLUTION_NOT_POSSIBLE, and what keeps the '
    'purchase or the refund from being made.';

CREATE TYPE economy.order_line AS (
    order_id       uuid,
    product_id     text,
    idempotency_key text,
    quantity       integer,
    provider       text,
    amount         bigint,
    currency       text,
    state          text,
    transaction_id text,
    made_at        timestamptz,
    expires_at     timestamptz
);
COMMENT ON TYPE economy.order_line IS 'An order of a user: a row of economy.orders_of().';

CREATE FUNCTION economy.orders_of(user_id bigint, max integer DEFAULT 50)
    RETURNS SETOF economy.order_line
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 10
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET jit = off AS $$
BEGIN
    PERFORM economy_internal.require_given('user_id', user_id IS NOT NULL);
    PERFORM economy_internal.require_positive('max', max);
    PERFORM economy_internal.open_tables('payment_orders');
    RETURN QUERY
        SELECT o.order_id, o.product_id::text, o.idempotency_key::text, o.quantity,
               o.provider::text, o.amount, o.currency::text, o.state::text,
               'P' || o.user_id || '-' || o.seq, o.made_at, o.expires_at
        FROM economy.payment_orders o WHERE o.user_id = orders_of.user_id
        ORDER BY o.made_at DESC, o.product_id, o.idempotency_key
        LIMIT least(orders_of.max, 10000);
END
$$;
COMMENT ON FUNCTION economy.orders_of(bigint, integer) IS
    'A user''s orders, the newest first, at most max (10,000) of them.';

CREATE TYPE economy.leased_order AS (
    order_id     uuid,
    user_id      bigint,
    product_id   text,
    quantity     integer,
    provider     text,
    amount       bigint,
    currency     text,
    state        text,
    provider_ref text,
    attempts     integer,
    expires_at   timestamptz,
    leased_until timestamptz
);
COMMENT ON TYPE economy.leased_order IS
    'An order that a worker has to tell its provider of, or ask it about: a row of '
    'economy.settlement_lease().';

CREATE FUNCTION economy.settlement_lease(
    worker text, max integer DEFAULT 10, lease interval DEFAULT '5 minutes',
    provider text DEFAULT NULL
) RETURNS SETOF economy.leased_order
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 10
    SET search_path = pg_catalog, economy, pg_temp
    -- in the order of the queue, whatever its statistics say
    SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
    SET enable_mergejoin = off SET jit = off AS $$
DECLARE
    -- a day of a session's zone may have 23 hours, and a month any number of days
    until CONSTANT interval := make_interval(secs => extract(epoch FROM lease)::float8);
BEGIN
    PERFORM economy_internal.require_text('worker', worker, 255);
    PERFORM economy_internal.require_positive('max', max);
    PERFORM economy_internal.require_given('lease', lease IS NOT NULL);
    IF until < interval '1 second' OR until > interval '24 hours' THEN
        RAISE EXCEPTION 'lease must be from 1 second to 24 hours' USING ERRCODE = 'XE002';
    END IF;
    PERFORM economy_internal.open_tables('payment_orders', 'payment_providers');
    -- a lease begins when the table was waited for, such as for an index that was built
    RETURN QUERY WITH clock AS MATERIALIZED (
        SELECT economy.now() AS at
    ), due AS MATERIALIZED (
        SELECT o.order_id FROM economy.payment_orders o
        WHERE o.due_at <= (SELECT c.at FROM clock c)
          AND (settlement_lease.provider IS NULL OR o.provider = settlement_lease.provider)
        ORDER BY o.due_at LIMIT settlement_lease.max FOR NO KEY UPDATE SKIP LOCKED
    ), taken AS (
        -- who had the last attempt has not told of it: there is none after it
        UPDATE economy.payment_orders o SET
               due_at = CASE WHEN o.attempts < p.max_attempts
                             THEN (SELECT c.at FROM clock c) + until ELSE 'infinity' END,
               attempts = o.attempts + (o.attempts < p.max_attempts)::integer,
               worker = CASE WHEN o.attempts < p.max_attempts THEN settlement_lease.worker END
        FROM due d, economy.payment_providers p
        WHERE o.order_id = d.order_id AND p.provider = o.provider
        RETURNING o.*
    )
    SELECT t.order_id, t.user_id, t.product_id::text, t.quantity, t.provider::text, t.amount,
           t.currency::text, t.state::text, t.provider_ref::text, t.attempts, t.expires_at,
           t.due_at
    FROM taken t WHERE t.worker IS NOT NULL ORDER BY t.made_at, t.order_id;
END
$$;
COMMENT ON FUNCTION economy.settlement_lease(text, integer, interval, text) IS
    'Hands a worker orders that are due, the longest first, for the time of the lease: nobody '
    'else gets them until it is over, or settlement_report() tells of them. Of one provider, or '
    'all.';

CREATE TYPE economy.order_difference AS (
    difference   text,
    order_id     uuid,
    provider_ref text,
    user_id      bigint,
    here         text,
    there        text
);
COMMENT ON TYPE economy.order_difference IS
    'What a provider and the orders do not agree on: a row of economy.settlement_reconcile().';

CREATE FUNCTION economy_internal.check_provider_report(report jsonb) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    wrong bigint;
BEGIN
    PERFORM economy_internal.require_given('report', report IS NOT NULL);
    IF jsonb_typeof(report) <> 'array' THEN
        RAISE EXCEPTION 'report must be a JSON array' USING ERRCODE = 'XE002';
    END IF;
    SELECT e.n INTO wrong FROM jsonb_array_elements(report) WITH ORDINALITY e (item, n)
    WHERE (jsonb_typeof(e.item) = 'object'
           AND coalesce(e.item ->> 'order_id', e.item ->> 'provider_ref') IS NOT NULL
           AND coalesce(e.item ->> 'order_id', '00000000-0000-0000-0000-000000000000')
                   ~ '^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$'
           AND e.item ->> 'report' IN ('pending', 'confirmed', 'voided', 'failed', 'expired',
                                       'refunded', 'charged_back')
           AND coalesce(e.item ->> 'amount', '0') ~ '^[0-9]{1,16}$') IS NOT TRUE
    ORDER BY e.n LIMIT 1;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'element % of report is not valid', wrong USING ERRCODE = 'XE002',
            DETAIL = format('It is %s.', left((report -> (wrong - 1)::integer)::text, 200)),
            HINT = 'It has order_id or provider_ref, report (pending, confirmed, voided, failed, '
                   'expired, refunded or charged_back), and may have amount and currency.';
    END IF;
END
$$;
COMMENT ON FUNCTION economy_internal.check_provider_report(jsonb) IS
    'Raises XE001 or XE002 unless this is what a provider may say of many orders.';

CREATE FUNCTION economy.settlement_reconcile(
    provider text, report jsonb, since timestamptz DEFAULT '-infinity',
    upto timestamptz DEFAULT 'infinity'
) RETURNS SETOF economy.order_difference
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 10
    SET search_path = pg_catalog, economy, pg_temp
    SET jit = off AS $$
BEGIN
    PERFORM economy_internal.require_given('provider', provider IS NOT NULL);
    PERFORM economy_internal.require_given('since', since IS NOT NULL);
    PERFORM economy_internal.require_given('upto', upto IS NOT NULL);
    PERFORM economy_internal.check_provider_report(report);
    PERFORM economy_internal.open_tables('payment_orders', 'payment_providers');
    IF NOT EXISTS (SELECT FROM economy.payment_providers p
                   WHERE p.provider = settlement_reconcile.provider) THEN
        RAISE EXCEPTION 'provider "%" does not exist', left(provider, 64)
            USING ERRCODE = 'XE702', HINT = 'economy.set_payment_provider() makes one.';
    END IF;
    RETURN QUERY
    WITH said AS MATERIALIZED (
        SELECT (e.item ->> 'order_id')::uuid AS order_id, e.item ->> 'provider_ref' AS ref,
               e.item ->> 'report' AS report, (e.item ->> 'amount')::bigint AS amount,
               e.item ->> 'currency' AS currency, e.n
        FROM jsonb_array_elements(settlement_reconcile.report) WITH ORDINALITY e (item, n)
    ), both_sides AS MATERIALIZED (
        SELECT s.n, s.order_id AS said_id, s.ref, s.report, s.amount AS said_amount,
               s.currency AS said_currency, o.*
        FROM said s LEFT JOIN economy.payment_orders o
            ON o.provider = settlement_reconcile.provider AND o.order_id = s.order_id
        WHERE s.order_id IS NOT NULL
        UNION ALL
        SELECT s.n, s.order_id, s.ref, s.report, s.amount, s.currency, o.*
        FROM said s LEFT JOIN economy.payment_orders o
            ON o.provider = settlement_reconcile.provider AND o.provider_ref = s.ref
        WHERE s.order_id IS NULL
    ), told AS (
        SELECT 1 AS kind, 'missing_here' AS difference, b.n, b.said_id AS order_id, b.ref,
               b.user_id, NULL AS here, b.report AS there
        FROM both_sides b WHERE b.order_id IS NULL
        UNION ALL
        -- as far as a report of it now would change the order, or contradict it
        SELECT 2, 'state', b.n, b.order_id, b.provider_ref, b.user_id, b.state, b.report
        FROM both_sides b
        WHERE b.state = 'CONFLICT'
           OR economy_internal.order_step(b.state, b.report) <> b.state
           OR (b.report = 'pending' AND b.state NOT IN ('CREATED', 'PENDING'))
        UNION ALL
        SELECT 3, 'amount', b.n, b.order_id, b.provider_ref, b.user_id,
               b.amount || ' ' || b.currency,
               coalesce(b.said_amount, b.amount) || ' ' || coalesce(b.said_currency, b.currency)
        FROM both_sides b
        WHERE b.order_id IS NOT NULL
          AND (b.said_amount <> b.amount OR b.said_currency <> b.currency)
        UNION ALL
        SELECT 4, 'provider_ref', b.n, b.order_id, b.provider_ref, b.user_id, b.provider_ref, b.ref
        FROM both_sides b WHERE b.ref <> b.provider_ref
        UNION ALL
        -- of which the provider has said something, or was to be asked
        SELECT 5, 'missing_there', NULL, o.order_id, o.provider_ref, o.user_id, o.state, NULL
        FROM economy.payment_orders o
        WHERE o.provider = settlement_reconcile.provider
          AND o.made_at >= since AND o.made_at < upto
          AND o.state IN ('PENDING', 'CONFIRMED', 'REFUNDED', 'CHARGED_BACK', 'CONFLICT')
          AND NOT EXISTS (SELECT FROM both_sides b WHERE b.order_id = o.order_id)
    )
    SELECT t.difference, t.order_id, t.ref::text, t.user_id, t.here::text, t.there::text
    FROM told t ORDER BY t.kind, t.n, t.order_id;
END
$$;
COMMENT ON FUNCTION economy.settlement_reconcile(text, jsonb, timestamptz, timestamptz) IS
    'Compares the orders with what a provider says of many: an array of objects with order_id or '
    'provider_ref, report, amount and currency. A row for each that is missing_here, missing_there '
    '(of those that were made in the time), or of another state, amount or provider_ref. It '
    'changes nothing: settlement_report() does. XE702 for an unknown provider.';

CREATE FUNCTION economy_internal.expire_orders(max integer, place jsonb)
    RETURNS TABLE (orders bigint, next jsonb)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET TimeZone = 'UTC' SET DateStyle = 'ISO, MDY'
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    at        CONSTANT timestamptz := economy.now();
    -- what could not be given back is passed over, and met again by the next run
    from_time CONSTANT timestamptz := coalesce((place ->> 'expires_at')::timestamptz, '-infinity');
    o         economy.payment_orders;
    before    economy.payment_orders;
    seen      bigint := 0;
BEGIN
    PERFORM economy_internal.open_tables(
        'payment_orders', 'payment_order_history', 'shop_stock');
    orders := 0;
    FOR o IN SELECT p.* FROM economy.payment_orders p
             WHERE p.is_open AND p.expires_at > from_time AND p.expires_at <= at
             ORDER BY p.expires_at LIMIT max FOR NO KEY UPDATE SKIP LOCKED
    LOOP
        seen := seen + 1;
        next := jsonb_build_object('expires_at', o.expires_at);
        -- what a worker has may be paid just now; no lease of a clock that is right is longer
        CONTINUE WHEN o.state = 'CONFLICT'
            OR (o.worker IS NOT NULL AND o.due_at > at AND o.due_at <= at + interval '24 hours');
        -- an error of one, such as of a trigger on its row, stops no other
        BEGIN
            CONTINUE WHEN NOT economy_internal.release_order(o, false);
            before := o;
            o.state := 'EXPIRED';
            o.stock_slot := NULL;
            PERFORM economy_internal.note_step(
                o.order_id, at, 'expired', before.state, o.state, 'expire_orders', NULL, NULL);
            PERFORM economy_internal.write_order(before, o);
            orders := orders + 1;
        EXCEPTION WHEN serialization_failure THEN
            RAISE;
        WHEN OTHERS THEN
            RAISE WARNING 'order % could not be given up', o.order_id
                USING DETAIL = format('%s: %s', SQLSTATE, SQLERRM);
        END;
    END LOOP;
    IF seen < max THEN
        next := NULL;
    END IF;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION economy_internal.expire_orders(integer, jsonb) IS
    'A batch of the job: orders whose time is over, and that no worker has, are EXPIRED, and give '
    'back what they held; nobody is waited for.';

CREATE TABLE economy.payment_webhooks (
    provider    text        NOT NULL COLLATE "C",
    webhook_id  text        NOT NULL COLLATE "C",
    received_at timestamptz NOT NULL,
    body        bytea       NOT NULL,
    code        text        NOT NULL COLLATE "C",
    order_id    uuid,
    CONSTRAINT payment_webhooks_pkey PRIMARY KEY (provider, webhook_id)
);
SELECT pg_catalog.pg_extension_config_dump('economy.payment_webhooks', '');
COMMENT ON TABLE economy.payment_webhooks IS
    'Webhooks that webhook() has taken, each of which has had its one effect.';
COMMENT ON COLUMN economy.payment_webhooks.webhook_id IS
    'By which the provider names it; of one without, the digest of its body.';
COMMENT ON COLUMN economy.payment_webhooks.code IS 'What was answered.';

CREATE TYPE economy.webhook_result AS (
    success        boolean,
    state          text,
    code           text,
    transaction_id text,
    webhook_id     text,
    order_id       uuid,
    order_state    text,
    detail         jsonb
);
COMMENT ON TYPE economy.webhook_result IS 'Result of economy.webhook().';

-- What the body of a webhook says, or null.
CREATE FUNCTION economy_internal.read_webhook(body bytea) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN convert_from(body, 'UTF8')::jsonb;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION economy_internal.read_webhook(bytea) IS
    'The JSON of a webhook; null when it is none.';

-- The members of a report, null where they are none; order_id null: it is no report.
CREATE FUNCTION economy_internal.webhook_report(
    message jsonb, OUT order_id uuid, OUT report text, OUT provider_ref text, OUT amount bigint,
    OUT currency text, OUT reason text
)
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    said CONSTANT jsonb := CASE WHEN jsonb_typeof(message -> 'data') = 'object'
                                THEN message -> 'data' ELSE message END;
BEGIN
    IF jsonb_typeof(said) IS DISTINCT FROM 'object'
       OR coalesce(said ->> 'report', '') NOT IN (
              'pending', 'confirmed', 'voided', 'failed', 'expired', 'refunded', 'charged_back',
              'unknown')
       OR coalesce(said ->> 'order_id', '') !~
              '^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$'
       OR coalesce(said ->> 'amount', '0') !~ '^[0-9]{1,16}$'
       OR EXISTS (SELECT FROM unnest(ARRAY['provider_ref', 'currency', 'reason']) k
                  WHERE jsonb_typeof(said -> k) NOT IN ('string', 'null')
                     OR octet_length(said ->> k) NOT BETWEEN 1 AND 255) THEN
        RETURN;
    END IF;
    order_id := said ->> 'order_id';
    report := said ->> 'report';
    provider_ref := said ->> 'provider_ref';
    amount := said ->> 'amount';
    currency := said ->> 'currency';
    reason := said ->> 'reason';
END
$$;
COMMENT ON FUNCTION economy_internal.webhook_report(jsonb) IS
    'What a webhook reports of an order: the members order_id, report, provider_ref, amount, '
    'currency and reason of its body, or of data in it. All null: it reports nothing.';

CREATE FUNCTION economy.webhook(provider text, headers jsonb, body bytea)
    RETURNS economy.webhook_result
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET jit = off AS $$
DECLARE
    proof  CONSTANT economy.webhook_check := economy.verify_webhook(provider, headers, body);
    said   jsonb;
    r      record;
    o      economy.payment_orders;
    w      economy.payment_webhooks;
    done   economy.order_result;
    result economy.webhook_result;
BEGIN
    result := (false, 'refused', proof.reason, NULL, proof.webhook_id, NULL, NULL, NULL);
    IF NOT proof.valid THEN
        RETURN result;
    END IF;
    PERFORM economy_internal.open_tables(
        'payment_webhooks', 'payment_orders', 'payment_order_history', 'payment_providers',
        'shop_stock', 'accounts');
    said := economy_internal.read_webhook(body);
    SELECT q.* INTO r FROM economy_internal.webhook_report(said) q;
    -- a number of a body is taken as the id where the headers have none
    result.webhook_id := coalesce(
        proof.webhook_id,
        CASE WHEN octet_length(said ->> 'id') BETWEEN 1 AND 255 THEN said ->> 'id' END,
        encode(sha256(body), 'hex'));
    w := (provider, result.webhook_id, economy.now(), body, 'RECEIVED', r.order_id);
    -- who is in the same one has it first, and is waited for
    INSERT INTO economy.payment_webhooks AS n SELECT (w).*
        ON CONFLICT ON CONSTRAINT payment_webhooks_pkey DO NOTHING;
    IF NOT found THEN
        SELECT p.* INTO w FROM economy.payment_webhooks p
            WHERE p.provider = webhook.provider AND p.webhook_id = result.webhook_id
            FOR NO KEY UPDATE;
    END IF;
    -- it may have come before the call that has ordered was committed: sent again, it is judged
    IF w.code = 'ORDER_NOT_FOUND' THEN
        w.code := 'RECEIVED';
        w.body := body;
        w.order_id := r.order_id;
    END IF;
    IF w.code <> 'RECEIVED' THEN
        SELECT p.* INTO o FROM economy.payment_orders p WHERE p.order_id = w.order_id;
        result.success := w.order_id IS NOT NULL;
        result.state := CASE WHEN result.success THEN 'reuse' ELSE 'refused' END;
        result.code := w.code;
    ELSE
        w.code := 'BODY_NOT_UNDERSTOOD';
        IF r.order_id IS NOT NULL THEN
            o := economy_internal.lock_order(
                r.order_id, r.report IN ('confirmed', 'refunded', 'charged_back'));
            -- that of another provider is none of his
            IF o.provider = webhook.provider THEN
                done := economy_internal.apply_report(
                    o, r.report, 'webhook ' || webhook.provider, r.provider_ref, r.amount,
                    r.currency, r.reason, result.webhook_id);
                result.success := true;
                result.state := done.state;
                w.code := done.code;
                result.detail := done.detail;
            ELSE
                o := NULL;
                w.code := 'ORDER_NOT_FOUND';
            END IF;
        END IF;
        result.code := w.code;
        UPDATE economy.payment_webhooks n
            SET code = w.code, body = w.body, order_id = w.order_id
            WHERE n.provider = w.provider AND n.webhook_id = w.webhook_id
            RETURNING n.* INTO r;
        IF (r.provider, r.webhook_id, r.received_at, r.body, r.code, r.order_id)
               IS DISTINCT FROM
           (w.provider, w.webhook_id, w.received_at, w.body, w.code, w.order_id) THEN
            RAISE EXCEPTION 'a webhook would be kept in another way than it came'
                USING ERRCODE = 'XE103',
                HINT = 'Look for a BEFORE trigger or a rule on economy.payment_webhooks that '
                       'changes values or suppresses rows.';
        END IF;
        SELECT p.* INTO o FROM economy.payment_orders p WHERE p.order_id = o.order_id;
    END IF;
    result.order_id := o.order_id;
    result.order_state := o.state;
    result.transaction_id := 'P' || o.user_id || '-' || o.seq;
    RETURN result;
END
$$;
COMMENT ON FUNCTION economy.webhook(text, jsonb, bytea) IS
    'Takes a webhook of a provider: verifies it, keeps it, and does what settlement_report() does '
    'with what its body reports of an order, once for each id. Refuses what verify_webhook() '
    'does, BODY_NOT_UNDERSTOOD, and ORDER_NOT_FOUND, which is judged again when it is sent again.';

CREATE VIEW economy.payment_order_problems AS
    SELECT o.order_id, o.user_id, o.provider, o.state, p.problem, o.amount, o.currency,
           o.provider_ref, o.attempts, o.made_at, o.expires_at,
           'P' || o.user_id || '-' || o.seq AS transaction_id,
           h.at AS since, h.report, h.reporter, h.reason
    FROM economy.payment_orders o
    CROSS JOIN LATERAL (
        SELECT CASE WHEN o.state = 'CONFLICT' THEN 'conflict'
                    WHEN o.state IN ('CREATED', 'PENDING') AND o.due_at = 'infinity'
                    THEN 'no attempt left' END AS problem) p
    LEFT JOIN LATERAL (
        SELECT y.* FROM economy.payment_order_history y WHERE y.order_id = o.order_id
        ORDER BY y.step DESC LIMIT 1) h ON true
    WHERE o.state IN ('CREATED', 'PENDING', 'CONFLICT') AND p.problem IS NOT NULL;
COMMENT ON VIEW economy.payment_order_problems IS
    'Orders that wait for an operator: conflicts, and those that no worker is asked about again.';
