-- refunds: what a purchase moved is moved back, all of it or a part

CREATE TABLE economy.shop_refunds (
    user_id           bigint      NOT NULL,
    seq               bigint      NOT NULL,
    gold_delta        bigint      NOT NULL,
    xp_delta          bigint      NOT NULL,
    gold              bigint      NOT NULL,
    experience_points bigint      NOT NULL,
    created_at        timestamptz NOT NULL,
    xact              bigint      NOT NULL,
    position          bigint      NOT NULL,
    key_digest        bigint      NOT NULL,
    reverses          bigint      NOT NULL,
    monetary          bigint      NOT NULL
        CONSTRAINT shop_refunds_monetary_check CHECK (monetary >= 0),
    debt_gold         bigint      NOT NULL
        CONSTRAINT shop_refunds_debt_gold_check CHECK (debt_gold >= 0),
    quantity          integer     NOT NULL
        CONSTRAINT shop_refunds_quantity_check CHECK (quantity > 0),
    restocked         integer     NOT NULL
        CONSTRAINT shop_refunds_restocked_check CHECK (restocked IN (0, quantity)),
    asked             integer     CONSTRAINT shop_refunds_asked_check CHECK (asked = quantity),
    live              boolean     NOT NULL,
    hash              bytea       NOT NULL,
    purchase          text        NOT NULL COLLATE "C",
    idempotency_key   text        NOT NULL COLLATE "C",
    product_id        text        NOT NULL COLLATE "C",
    policy            text        NOT NULL COLLATE "C" CONSTRAINT shop_refunds_policy_check
        CHECK (policy IN ('refuse', 'take_available')),
    actor             text        NOT NULL COLLATE "C",
    reason            text        NOT NULL COLLATE "C",
    detail            jsonb,
    items             jsonb,
    CONSTRAINT shop_refunds_pkey PRIMARY KEY (user_id, seq),
    CONSTRAINT shop_refunds_purchase_check
        CHECK (reverses BETWEEN 1 AND seq - 1 AND purchase = 'P' || user_id || '-' || reverses),
    CONSTRAINT shop_refunds_debt_check CHECK (debt_gold = 0 OR policy = 'take_available')
);
CREATE INDEX shop_refunds_key ON economy.shop_refunds (user_id, key_digest)
    WITH (deduplicate_items = off);
SELECT economy_internal.make_journal('economy.shop_refunds');
COMMENT ON TABLE economy.shop_refunds IS 'Journal of refunds of purchases. Append-only.';
COMMENT ON COLUMN economy.shop_refunds.key_digest IS
    'Digest of purchase and idempotency_key, by which the index finds them.';
COMMENT ON COLUMN economy.shop_refunds.reverses IS 'seq of the purchase.';
COMMENT ON COLUMN economy.shop_refunds.monetary IS
    'What the units are of the value of the purchase, in minor units of money.';
COMMENT ON COLUMN economy.shop_refunds.debt_gold IS
    'Gold that was to be taken, and was not there.';
COMMENT ON COLUMN economy.shop_refunds.quantity IS 'Units that were taken back.';
COMMENT ON COLUMN economy.shop_refunds.restocked IS 'Of them those that went back to the stock.';
COMMENT ON COLUMN economy.shop_refunds.asked IS
    'The quantity that was asked for; null: all that were left.';
COMMENT ON COLUMN economy.shop_refunds.purchase IS 'transaction_id of the purchase.';
COMMENT ON COLUMN economy.shop_refunds.detail IS
    'What was not there: debt_gold, debt_xp, already_used; and fulfilment, what was '
    'to be done for it.';
COMMENT ON COLUMN economy.shop_refunds.items IS
    'Items that were taken and given back, as in holding_changes; null: none.';

CREATE TABLE economy.shop_debts (
    user_id bigint NOT NULL,
    seq     bigint NOT NULL,
    gold    bigint NOT NULL CONSTRAINT shop_debts_gold_check CHECK (gold > 0),
    CONSTRAINT shop_debts_pkey PRIMARY KEY (user_id, seq)
);
SELECT pg_catalog.pg_extension_config_dump('economy.shop_debts', '');
COMMENT ON TABLE economy.shop_debts IS
    'Gold that refunds could not take and that is still owed: seq is that of the refund.';

CREATE TYPE economy.refund_result AS (
    success        boolean,
    state          text,
    code           text,
    transaction_id text,
    quantity       integer,
    quantity_left  integer,
    gold_delta     bigint,
    gold           bigint,
    retry_after_ms integer,
    detail         jsonb,
    items          jsonb
);
COMMENT ON TYPE economy.refund_result IS 'Result of economy.refund_purchase().';

-- quantity stands where the calls that buy have it; reason and actor must be given
CREATE FUNCTION economy.refund_purchase(
    user_id bigint, transaction_id text, idempotency_key text, quantity integer DEFAULT NULL,
    reason text DEFAULT NULL, actor text DEFAULT NULL, policy text DEFAULT 'refuse',
    restock boolean DEFAULT true
) RETURNS economy.refund_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_refund_purchase';
COMMENT ON FUNCTION economy.refund_purchase(
    bigint, text, text, integer, text, text, text, boolean) IS
    'Moves back what units of a purchase moved, all that are left or so many, once per (user, '
    'purchase, idempotency_key): an entry of its own. policy: refuse, or take_available, when the '
    'user has spent what is to be taken. Refusals are returned as a row with a code.';

CREATE FUNCTION economy_internal.refunded_units(user_id bigint, purchase text) RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT coalesce(sum(r.quantity), 0)
        FROM economy.shop_refunds r,
             LATERAL economy_internal.key_digest(refunded_units.purchase, '') d (one)
        -- the upper half of a digest is that of the purchase
        WHERE r.user_id = refunded_units.user_id
          AND r.key_digest BETWEEN d.one & -4294967296 AND d.one | 4294967295
          AND r.purchase = refunded_units.purchase;
    END;
COMMENT ON FUNCTION economy_internal.refunded_units(bigint, text) IS
    'Units of a purchase that were taken back.';

CREATE FUNCTION economy_internal.refund_fulfilment(user_id bigint, seq bigint, is_whole boolean)
    RETURNS text
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    at       CONSTANT timestamptz := economy.now();
    f        economy.fulfilments;
    as_given boolean;
BEGIN
    SELECT q.* INTO f FROM economy.fulfilments q
        WHERE q.user_id = refund_fulfilment.user_id AND q.seq = refund_fulfilment.seq
        FOR NO KEY UPDATE;
    IF f.fulfilled_at IS NOT NULL THEN
        RETURN 'fulfilled';
    ELSIF f.user_id IS NULL OR f.refunded_at IS NOT NULL THEN
        RETURN NULL;
    ELSIF f.worker IS NOT NULL AND f.visible_at > at THEN
        RETURN 'leased';
    END IF;
    -- also of a part: who hands it out by what was read before is to be told
    WITH done AS (
        UPDATE economy.fulfilments q SET refunded_at = CASE WHEN is_whole THEN at END,
               visible_at = CASE WHEN is_whole THEN 'infinity' ELSE q.visible_at END
            WHERE q.user_id = f.user_id AND q.seq = f.seq
            RETURNING q.refunded_at IS NOT DISTINCT FROM CASE WHEN is_whole THEN at END AS is_so
    )
    -- of a row that damage has doubled, both
    SELECT bool_and(d.is_so) AND count(*) = 1 INTO as_given FROM done d;
    IF as_given IS NOT TRUE THEN
        RAISE EXCEPTION 'a purchase would wait for a worker after it was refunded'
            USING ERRCODE = 'XE103',
            HINT = 'Look for a BEFORE trigger or a rule on economy.fulfilments that changes '
                   'values or suppresses rows.';
    END IF;
    RETURN CASE WHEN is_whole THEN 'cancelled' ELSE 'reduced' END;
END
$$;
COMMENT ON FUNCTION economy_internal.refund_fulfilment(bigint, bigint, boolean) IS
    'Part of refund_purchase(): what becomes of what a worker was to do: fulfilled, leased, '
    'reduced, cancelled; null: there was nothing to do.';

CREATE FUNCTION economy_internal.restock(product_id text, units bigint, slot smallint)
    RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    returned CONSTANT boolean := economy_internal.return_stock(product_id, units, slot, true);
BEGIN
    IF returned IS NULL THEN
        RAISE EXCEPTION 'units would go back to the stock in another way than was asked for'
            USING ERRCODE = 'XE103',
            HINT = 'Look for a BEFORE trigger or a rule on economy.shop_stock that changes values '
                   'or suppresses rows.';
    END IF;
    RETURN returned;
END
$$;
COMMENT ON FUNCTION economy_internal.restock(text, bigint, smallint) IS
    'Part of refund_purchase(): puts units into the stock again; false: there is none.';
