-- escrow: what users put aside for each other: trades, wagers, auctions

CREATE TABLE economy.escrows (
    user_id    bigint      NOT NULL,
    seq        bigint      NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT escrows_pkey PRIMARY KEY (user_id, seq)
);
CREATE INDEX escrows_expiry ON economy.escrows (expires_at, user_id, seq);
SELECT pg_catalog.pg_extension_config_dump('economy.escrows', '');
COMMENT ON TABLE economy.escrows IS
    'The escrows and rounds that are open: seq is that of the entry escrow_hold or round_open in '
    'holding_changes, which has what is held. escrows_of() and open_actions() show them. Written '
    'by hold_escrow(), open_action() and by what closes one.';

CREATE FUNCTION economy.hold_escrow(
    user_id bigint, idempotency_key text, gold bigint DEFAULT 0, items jsonb DEFAULT NULL,
    ttl interval DEFAULT '24 hours', reason text DEFAULT 'escrow', context jsonb DEFAULT NULL,
    dry_run boolean DEFAULT false
) RETURNS economy.holding_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_hold_escrow';
COMMENT ON FUNCTION economy.hold_escrow(
    bigint, text, bigint, jsonb, interval, text, jsonb, boolean) IS
    'Puts gold, items ({"gem": 5}) or both of a user aside, and the fee for passing it on, once '
    'per idempotency key; the transaction_id is the escrow_id. Refuses TRANSFERS_OFF, '
    'USER_NOT_FOUND, USER_SUSPENDED, TRANSFER_TOO_YOUNG, INSUFFICIENT_GOLD, ITEM_NOT_FOUND, '
    'ITEM_NOT_TRADABLE, INSUFFICIENT_ITEMS, IDEMPOTENCY_MISMATCH.';

CREATE FUNCTION economy.release_escrow(
    user_id bigint, escrow_id text, reason text DEFAULT 'release'
) RETURNS economy.holding_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_release_escrow';
COMMENT ON FUNCTION economy.release_escrow(bigint, text, text) IS
    'Gives a user back all that an escrow holds. Refuses ESCROW_NOT_FOUND, USER_NOT_FOUND, '
    'GOLD_OVERFLOW, ITEM_LIMIT, and ESCROW_CLOSED when another user has got it.';

CREATE FUNCTION economy.capture_escrow(
    user_id bigint, escrow_id text, to_user_id bigint, gold bigint DEFAULT NULL,
    items jsonb DEFAULT NULL, note text DEFAULT NULL
) RETURNS economy.holding_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_capture_escrow';
COMMENT ON FUNCTION economy.capture_escrow(bigint, text, bigint, bigint, jsonb, text) IS
    'Gives another user what an escrow holds, or so much of its gold and of its items, and its '
    'holder the rest back. Refuses SAME_USER, ESCROW_NOT_FOUND, USER_NOT_FOUND, TRANSFERS_OFF, '
    'USER_SUSPENDED, ESCROW_EXPIRED, EXCEEDS_ESCROW, TRANSFER_DAILY_LIMIT, GOLD_OVERFLOW, '
    'ITEM_NOT_FOUND, ITEM_NOT_TRADABLE, ITEM_LIMIT, ESCROW_CLOSED, IDEMPOTENCY_MISMATCH.';

CREATE FUNCTION economy_internal.expire_escrow(user_id bigint, escrow_id text)
    RETURNS economy.holding_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_expire_escrow';
COMMENT ON FUNCTION economy_internal.expire_escrow(bigint, text) IS
    'Gives a user back what an escrow holds whose time is over.';

CREATE FUNCTION economy_internal.held_items(items jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT jsonb_object_agg(i.item, -i.delta) FROM economy_internal.items_of(items) i;
    END;
COMMENT ON FUNCTION economy_internal.held_items(jsonb) IS
    'The items that an entry took, as hold_escrow() is given them; null for none.';

CREATE TYPE economy.open_escrow AS (
    escrow_id  text,
    gold       bigint,
    fee        bigint,
    items      jsonb,
    reason     text,
    context    jsonb,
    held_at    timestamptz,
    expires_at timestamptz,
    expired    boolean
);
COMMENT ON TYPE economy.open_escrow IS 'What an escrow holds: a row of economy.escrows_of().';

CREATE FUNCTION economy.escrows_of(user_id bigint, max integer DEFAULT 100)
    RETURNS SETOF economy.open_escrow
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 10
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.require_limit('max', escrows_of.max);
        SELECT economy_internal.open_tables('escrows', 'holding_changes');
        SELECT 'H' || e.user_id || '-' || e.seq, (h.detail ->> 'gold')::bigint,
               (h.detail ->> 'fee')::bigint, economy_internal.held_items(h.items), h.reason,
               h.context, h.created_at, e.expires_at, e.expires_at <= economy.now()
        FROM economy.escrows e
        LEFT JOIN economy.holding_changes h ON h.user_id = e.user_id AND h.seq = e.seq
        WHERE e.user_id = escrows_of.user_id AND h.operation IS DISTINCT FROM 'round_open'
        ORDER BY e.seq LIMIT least(escrows_of.max, 10000);
    END;
COMMENT ON FUNCTION economy.escrows_of(bigint, integer) IS
    'The escrows of a user that are open, the oldest first, at most max (10,000) of them.';

CREATE FUNCTION economy_internal.expire_escrows(
    after jsonb DEFAULT NULL, max integer DEFAULT 50,
    OUT expired bigint, OUT failed bigint, OUT next jsonb
)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET TimeZone = 'UTC' SET DateStyle = 'ISO, YMD' AS $$
DECLARE
    at     CONSTANT timestamptz := economy.now();
    looked integer := 0;
    e      record;
    answer economy.holding_result;
BEGIN
    expired := 0;
    failed := 0;
    PERFORM economy_internal.open_tables(
        'escrows', 'holding_changes', 'accounts', 'items', 'economy_internal.user_holdings_more');
    FOR e IN
        SELECT o.user_id, o.seq, o.expires_at FROM economy.escrows o
        WHERE o.expires_at <= at
          AND (after IS NULL
               OR (o.expires_at, o.user_id, o.seq) > (
                   (after ->> 'expires_at')::timestamptz, (after ->> 'user_id')::bigint,
                   (after ->> 'seq')::bigint))
        ORDER BY o.expires_at, o.user_id, o.seq LIMIT max
    LOOP
        looked := looked + 1;
        next := to_jsonb(e);
        BEGIN
            -- who is in a call now keeps nobody waiting: the next run finds it again
            PERFORM FROM economy.accounts a WHERE a.user_id = e.user_id
                FOR NO KEY UPDATE SKIP LOCKED;
            CONTINUE WHEN NOT found;
            answer := economy_internal.expire_escrow(
                e.user_id, 'H' || e.user_id || '-' || e.seq);
            expired := expired + (answer.state = 'new')::integer;
            -- one that was closed meanwhile has its end
            IF answer.state = 'refused' AND answer.code <> 'ESCROW_CLOSED' THEN
                failed := failed + 1;
                RAISE WARNING 'escrow H%-% could not be given back', e.user_id, e.seq
                    USING DETAIL = concat_ws(': ', answer.code, answer.detail);
            END IF;
        EXCEPTION WHEN serialization_failure THEN
            RAISE;
        WHEN OTHERS THEN
            failed := failed + 1;
            RAISE WARNING 'escrow H%-% could not be given back', e.user_id, e.seq
                USING DETAIL = format('%s: %s', SQLSTATE, SQLERRM);
        END;
    END LOOP;
    IF looked < max THEN
        next := NULL;
    END IF;
END
$$;
COMMENT ON FUNCTION economy_internal.expire_escrows(jsonb, integer) IS
    'Gives back what escrows hold whose time is over, of at most max of them behind a place; next '
    'is the place of the last one, or null. One that cannot be given back keeps no other from it. '
    'What the job does.';
