-- fulfilment: purchases whose effect the app's workers bring about, each once

CREATE TABLE economy.fulfilments (
    user_id      bigint      NOT NULL,
    seq          bigint      NOT NULL,
    product_id   text        NOT NULL COLLATE "C",
    due_at       timestamptz NOT NULL,
    visible_at   timestamptz NOT NULL,
    attempts     integer     NOT NULL
        CONSTRAINT fulfilments_attempts_check CHECK (attempts >= 0),
    worker       text,
    fulfilled_at timestamptz,
    refunded_at  timestamptz,
    note         jsonb
        CONSTRAINT fulfilments_note_check CHECK (jsonb_typeof(note) = 'object'),
    CONSTRAINT fulfilments_pkey PRIMARY KEY (user_id, seq),
    CONSTRAINT fulfilments_done_check
        CHECK ((num_nonnulls(fulfilled_at, refunded_at) > 0) = (visible_at = 'infinity')),
    CONSTRAINT fulfilments_refunded_check CHECK (num_nulls(fulfilled_at, refunded_at) > 0)
) WITH (fillfactor = 80);
-- whole, for what is done stands at its end: a partial index has no direct way
CREATE INDEX fulfilments_visible ON economy.fulfilments (visible_at);
SELECT pg_catalog.pg_extension_config_dump('economy.fulfilments', '');
COMMENT ON TABLE economy.fulfilments IS
    'Purchases of products with fulfilment: what waits for a worker, and what was done by whom.';
COMMENT ON COLUMN economy.fulfilments.due_at IS 'When it was bought.';
COMMENT ON COLUMN economy.fulfilments.visible_at IS
    'From when on unfulfilled() hands it out: while a worker has it, the end of the lease; '
    'infinity when it is fulfilled, or was refunded.';
COMMENT ON COLUMN economy.fulfilments.refunded_at IS
    'When all of it was refunded, before anybody had fulfilled it.';
COMMENT ON COLUMN economy.fulfilments.attempts IS 'How often it was handed out.';
COMMENT ON COLUMN economy.fulfilments.worker IS 'Who was handed it last, or has fulfilled it.';

CREATE TYPE economy.unfulfilled_purchase AS (
    user_id        bigint,
    transaction_id text,
    product_id     text,
    quantity       integer,
    effect_code    text,
    context        jsonb,
    items          jsonb,
    created_at     timestamptz,
    attempts       integer,
    leased_until   timestamptz
);
COMMENT ON TYPE economy.unfulfilled_purchase IS
    'A purchase that a worker has to fulfil: a row of economy.unfulfilled().';

CREATE TYPE economy.fulfil_result AS (
    success        boolean,
    state          text,
    code           text,
    transaction_id text,
    worker         text,
    fulfilled_at   timestamptz,
    attempts       integer,
    detail         jsonb
);
COMMENT ON TYPE economy.fulfil_result IS 'Result of economy.fulfil().';

CREATE FUNCTION economy.unfulfilled(
    worker text, max integer DEFAULT 10, lease interval DEFAULT '5 minutes',
    product_id text DEFAULT NULL
) RETURNS SETOF economy.unfulfilled_purchase
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 10
    SET search_path = pg_catalog, economy, pg_temp
    -- in the order of the queue, whatever its statistics say
    SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
    SET enable_mergejoin = off SET jit = off AS $$
DECLARE
    -- a day of a session's zone may have 23 hours, and a month any number of days
    until CONSTANT interval := make_interval(secs => extract(epoch FROM lease)::float8);
    users bigint[];
    seqs  bigint[];
BEGIN
    PERFORM economy_internal.require_text('worker', worker, 255);
    PERFORM economy_internal.require_positive('max', max);
    PERFORM economy_internal.require_given('lease', lease IS NOT NULL);
    IF until < interval '1 second' OR until > interval '24 hours' THEN
        RAISE EXCEPTION 'lease must be from 1 second to 24 hours' USING ERRCODE = 'XE002';
    END IF;
    PERFORM economy_internal.open_tables('fulfilments', 'shop_transactions', 'shop_refunds');
    -- a lease begins when the table was waited for, such as for an index that was built
    WITH clock AS MATERIALIZED (
        SELECT economy.now() AS at
    ), due AS MATERIALIZED (
        SELECT f.user_id, f.seq FROM economy.fulfilments f
        WHERE f.visible_at <= (SELECT c.at FROM clock c)
          AND (unfulfilled.product_id IS NULL OR f.product_id = unfulfilled.product_id)
        ORDER BY f.visible_at LIMIT unfulfilled.max FOR NO KEY UPDATE SKIP LOCKED
    ), taken AS (
        UPDATE economy.fulfilments f SET
               visible_at = (SELECT c.at FROM clock c) + until,
               attempts = least(f.attempts::bigint + 1, 2147483647),
               worker = unfulfilled.worker
        FROM due d WHERE f.user_id = d.user_id AND f.seq = d.seq
        RETURNING f.user_id, f.seq
    )
    SELECT array_agg(k.user_id), array_agg(k.seq) INTO users, seqs FROM taken k;
    -- refunds of what nobody can take back any more: those of before the locks, in a new snapshot
    RETURN QUERY
        SELECT f.user_id, n.name, f.product_id,
               (t.quantity - economy_internal.refunded_units(f.user_id, n.name))::integer,
               t.effect_code, t.context, t.items, f.due_at, f.attempts, f.visible_at
        FROM unnest(users, seqs) k (user_id, seq)
        JOIN economy.fulfilments f ON f.user_id = k.user_id AND f.seq = k.seq
        CROSS JOIN LATERAL (SELECT 'P' || f.user_id || '-' || f.seq) n (name)
        LEFT JOIN economy.shop_transactions t ON t.user_id = f.user_id AND t.seq = f.seq
        ORDER BY f.due_at, f.user_id, f.seq;
END
$$;
COMMENT ON FUNCTION economy.unfulfilled(text, integer, interval, text) IS
    'Hands a worker purchases that wait to be fulfilled, the longest first, for the time of the '
    'lease: nobody else gets them until it is over. Of one product, or all.';

CREATE FUNCTION economy.fulfil(
    user_id bigint, transaction_id text, worker text, note jsonb DEFAULT NULL
) RETURNS economy.fulfil_result
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    at     CONSTANT timestamptz := economy.now();
    number CONSTANT bigint := substring(
        transaction_id FROM '^P' || user_id || '-([1-9][0-9]{0,15})$')::bigint;
    f      economy.fulfilments;
    result economy.fulfil_result;
BEGIN
    PERFORM economy_internal.require_given('user_id', user_id IS NOT NULL);
    PERFORM economy_internal.require_given('transaction_id', transaction_id IS NOT NULL);
    PERFORM economy_internal.require_text('worker', worker, 255);
    IF jsonb_typeof(note) <> 'object' THEN
        RAISE EXCEPTION 'note must be a JSON object' USING ERRCODE = 'XE002';
    END IF;
    IF octet_length(note::text) > 4096 THEN
        RAISE EXCEPTION 'note is too long' USING ERRCODE = 'XE003',
            DETAIL = format('It has %s bytes as text; at most 4096 are allowed.',
                            octet_length(note::text));
    END IF;
    PERFORM economy_internal.open_tables('fulfilments');
    SELECT q.* INTO f FROM economy.fulfilments q
        WHERE q.user_id = fulfil.user_id AND q.seq = number FOR NO KEY UPDATE;
    result.success := false;
    result.state := 'refused';
    result.transaction_id := transaction_id;
    IF f.user_id IS NULL THEN
        result.code := 'NOTHING_TO_FULFIL';
        RETURN result;
    END IF;
    result.attempts := f.attempts;
    result.worker := f.worker;
    -- what nobody has had is not leased, whatever the clock was when it was bought
    IF num_nonnulls(f.fulfilled_at, f.refunded_at) = 0 AND f.visible_at > at
       AND f.worker <> fulfil.worker THEN
        result.code := 'LEASED';
        result.detail := jsonb_build_object('leased_until', to_char(
            f.visible_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"+00:00"'));
        RETURN result;
    END IF;
    result.success := true;
    result.code := 'OK';
    IF f.refunded_at IS NOT NULL THEN
        result.success := false;
        result.code := 'REFUNDED';
        result.detail := jsonb_build_object('refunded_at', to_char(
            f.refunded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"+00:00"'));
        RETURN result;
    END IF;
    IF f.fulfilled_at IS NOT NULL THEN
        result.state := 'reuse';
        result.fulfilled_at := f.fulfilled_at;
        RETURN result;
    END IF;
    WITH done AS (
        UPDATE economy.fulfilments q SET fulfilled_at = at, visible_at = 'infinity',
               worker = fulfil.worker, note = fulfil.note
            WHERE q.user_id = f.user_id AND q.seq = f.seq RETURNING q.fulfilled_at
    )
    -- of a row that damage has doubled, both
    SELECT CASE WHEN count(*) = 1 THEN max(d.fulfilled_at) END INTO result.fulfilled_at FROM done d;
    IF result.fulfilled_at IS DISTINCT FROM at THEN
        RAISE EXCEPTION 'a purchase would be fulfilled in another way than was asked for'
            USING ERRCODE = 'XE103',
            HINT = 'Look for a BEFORE trigger or a rule on economy.fulfilments that changes '
                   'values or suppresses rows.';
    END IF;
    result.state := 'new';
    result.worker := worker;
    RETURN result;
END
$$;
COMMENT ON FUNCTION economy.fulfil(bigint, text, text, jsonb) IS
    'Says that a purchase is fulfilled: new once, and reuse from then on. Refuses LEASED while '
    'another worker has it, REFUNDED, and NOTHING_TO_FULFIL.';
