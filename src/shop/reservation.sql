-- reservations: stock that is held for a user for a time, in a checkout

CREATE TABLE economy.shop_reservations (
    user_id         bigint      NOT NULL,
    idempotency_key text        NOT NULL COLLATE "C",
    product_id      text        NOT NULL COLLATE "C",
    quantity        integer     NOT NULL
        CONSTRAINT shop_reservations_quantity_check CHECK (quantity > 0),
    stock_slot      smallint    NOT NULL,
    after_seq       bigint      NOT NULL
        CONSTRAINT shop_reservations_after_seq_check CHECK (after_seq >= 0),
    state           text        NOT NULL COLLATE "C" CONSTRAINT shop_reservations_state_check
        CHECK (state IN ('held', 'used', 'ordered', 'released', 'expired')),
    made_at         timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    due_at          timestamptz NOT NULL,
    closed_at       timestamptz,
    seq             bigint,
    CONSTRAINT shop_reservations_pkey PRIMARY KEY (user_id, idempotency_key),
    CONSTRAINT shop_reservations_time_check CHECK (expires_at > made_at),
    CONSTRAINT shop_reservations_held_check
        CHECK (CASE state WHEN 'held' THEN closed_at IS NULL AND due_at = expires_at
                          ELSE closed_at IS NOT NULL END),
    CONSTRAINT shop_reservations_used_check
        CHECK ((state = 'used') = (seq IS NOT NULL) AND seq > after_seq IS NOT FALSE)
) WITH (fillfactor = 80);
-- whole ones: a partial index has no direct way
CREATE INDEX shop_reservations_user ON economy.shop_reservations (user_id, state);
CREATE INDEX shop_reservations_product ON economy.shop_reservations (product_id, state, due_at);
CREATE INDEX shop_reservations_due ON economy.shop_reservations (due_at);
SELECT pg_catalog.pg_extension_config_dump('economy.shop_reservations', '');
COMMENT ON TABLE economy.shop_reservations IS
    'Units of limited products that were taken from the stock for a user: those that are held, '
    'and, for 30 days, what became of the others.';
COMMENT ON COLUMN economy.shop_reservations.idempotency_key IS
    'Names the reservation, of this user.';
COMMENT ON COLUMN economy.shop_reservations.stock_slot IS 'Slot the units were taken from.';
COMMENT ON COLUMN economy.shop_reservations.after_seq IS
    'Of the user''s newest entry when it was made.';
COMMENT ON COLUMN economy.shop_reservations.due_at IS
    'When the job has to do with it: gives it back, or, when it is closed, forgets it.';
COMMENT ON COLUMN economy.shop_reservations.seq IS 'Of the purchase that has used it.';

CREATE TYPE economy.reservation_result AS (
    success              boolean,
    state                text,
    code                 text,
    reservation          text,
    product_id           text,
    quantity             integer,
    status               text,
    expires_at           timestamptz,
    stock_remaining      bigint,
    user_limit_remaining bigint,
    detail               jsonb
);
COMMENT ON TYPE economy.reservation_result IS
    'Result of economy.reserve() and economy.release_reservation().';

CREATE FUNCTION economy.reserve(
    user_id bigint, product_id text, idempotency_key text, quantity integer DEFAULT 1,
    ttl interval DEFAULT '10 minutes', dry_run boolean DEFAULT false
) RETURNS economy.reservation_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_reserve';
COMMENT ON FUNCTION economy.reserve(bigint, text, text, integer, interval, boolean) IS
    'Takes units of a limited product from its stock for a user, for a time, once per (user, '
    'idempotency key), which names the reservation from then on: purchase() uses it with '
    'context.reservation. Refusals are returned as a row with a code.';

-- A buyer waits for a slot that somebody holds, so whoever gives back holds none meanwhile.
CREATE FUNCTION economy_internal.return_stock(
    product_id text, units bigint, slot smallint, wait boolean
) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    given    economy.shop_stock;
    as_given boolean;
BEGIN
    SELECT s.* INTO given FROM economy.shop_stock s
        WHERE s.product_id = return_stock.product_id
        ORDER BY s.slot <> return_stock.slot, s.slot LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT found AND wait THEN
        -- when none is free, one is enough to wait for
        SELECT s.* INTO given FROM economy.shop_stock s
            WHERE s.product_id = return_stock.product_id AND s.slot = 0 FOR NO KEY UPDATE;
    END IF;
    IF NOT found THEN
        RETURN false;
    END IF;
    UPDATE economy.shop_stock s SET remaining = given.remaining + units
        WHERE s.product_id = return_stock.product_id AND s.slot = given.slot
        RETURNING nullif(s.remaining = given.remaining + units, false) INTO as_given;
    RETURN as_given;
END
$$;
COMMENT ON FUNCTION economy_internal.return_stock(text, bigint, smallint, boolean) IS
    'Puts units that were reserved into a slot again, if it can be the one they came from. '
    'False: nobody waits, and none is free, or there is none. Null: something else was written.';

CREATE FUNCTION economy_internal.close_reservation(
    reservation economy.shop_reservations, state text, wait boolean
) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    at   CONSTANT timestamptz := economy.now();
    -- a day of a session's zone may have 23 hours
    keep CONSTANT interval := '720 hours';
    returned CONSTANT boolean := economy_internal.return_stock(
        reservation.product_id, reservation.quantity, reservation.stock_slot, wait);
    as_given boolean;
BEGIN
    IF NOT returned THEN
        RETURN false;
    END IF;
    UPDATE economy.shop_reservations r
        SET state = close_reservation.state, closed_at = at, due_at = at + keep
        WHERE r.user_id = reservation.user_id
          AND r.idempotency_key = reservation.idempotency_key
        RETURNING (r.state, r.closed_at, r.due_at)
            IS NOT DISTINCT FROM (close_reservation.state, at, at + keep) INTO as_given;
    IF (returned AND as_given) IS NOT TRUE THEN
        RAISE EXCEPTION 'a reservation would be given back in another way than was asked for'
            USING ERRCODE = 'XE103',
            HINT = 'Look for a BEFORE trigger or a rule on economy.shop_reservations or '
                   'economy.shop_stock that changes values or suppresses rows.';
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION economy_internal.close_reservation(
    economy.shop_reservations, text, boolean) IS
    'Gives a held reservation, whose row is locked, back to the stock.';

CREATE FUNCTION economy.release_reservation(user_id bigint, reservation text)
    RETURNS economy.reservation_result
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    r      economy.shop_reservations;
    result economy.reservation_result;
BEGIN
    PERFORM economy_internal.require_given('user_id', user_id IS NOT NULL);
    PERFORM economy_internal.require_given('reservation', reservation IS NOT NULL);
    PERFORM economy_internal.open_tables('shop_reservations', 'shop_stock');
    SELECT q.* INTO r FROM economy.shop_reservations q
        WHERE q.user_id = release_reservation.user_id AND q.idempotency_key = reservation
        FOR NO KEY UPDATE;
    result.success := false;
    result.state := 'refused';
    result.reservation := reservation;
    IF r.user_id IS NULL THEN
        result.code := 'RESERVATION_NOT_FOUND';
        RETURN result;
    END IF;
    result.product_id := r.product_id;
    result.quantity := r.quantity;
    result.status := r.state;
    result.expires_at := r.expires_at;
    IF r.state IN ('used', 'ordered') THEN
        result.code := 'RESERVATION_CLOSED';
        result.detail := jsonb_strip_nulls(jsonb_build_object(
            'status', r.state, 'transaction_id', 'P' || r.user_id || '-' || r.seq));
        RETURN result;
    END IF;
    result.success := true;
    result.code := 'OK';
    IF r.state <> 'held' THEN
        result.state := 'reuse';
        RETURN result;
    END IF;
    IF NOT economy_internal.close_reservation(r, 'released', true) THEN
        RAISE EXCEPTION 'product "%" has no slot 0', r.product_id USING ERRCODE = 'XE103',
            HINT = 'Rows of economy.shop_stock were removed by hand. '
                   'economy.audit_sweep() says what is missing.';
    END IF;
    result.state := 'new';
    result.status := 'released';
    RETURN result;
END
$$;
COMMENT ON FUNCTION economy.release_reservation(bigint, text) IS
    'Gives what a user has reserved back to the stock: new once, and reuse from then on, also '
    'when it has expired. Refuses RESERVATION_CLOSED after its purchase, and '
    'RESERVATION_NOT_FOUND.';

-- Somebody else's may be among them, whose account is not locked: nothing of an account
-- is in a reservation.
CREATE FUNCTION economy_internal.give_back_over(product_id text) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    -- in the order of the queue, whatever its statistics say
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    at     CONSTANT timestamptz := economy.now();
    r      economy.shop_reservations;
    closed bigint := -1;
BEGIN
    PERFORM economy_internal.open_tables('shop_reservations', 'shop_stock');
    FOR r IN SELECT q.* FROM economy.shop_reservations q
             WHERE q.product_id = give_back_over.product_id AND q.state = 'held'
               AND q.due_at <= at
             ORDER BY q.due_at LIMIT 16 FOR NO KEY UPDATE SKIP LOCKED
    LOOP
        closed := greatest(closed, 0)
                  + economy_internal.close_reservation(r, 'expired', true)::integer;
    END LOOP;
    RETURN closed;
END
$$;
COMMENT ON FUNCTION economy_internal.give_back_over(text) IS
    'Gives back reservations of a product whose time is over, 16 at most that nobody has, for '
    'a buyer who would find too little; returns their number, -1 when others have all of them.';

CREATE FUNCTION economy_internal.expire_reservations(max integer, place jsonb)
    RETURNS TABLE (reservations bigint, next jsonb)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET TimeZone = 'UTC' SET DateStyle = 'ISO, MDY'
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    at   CONSTANT timestamptz := economy.now();
    -- what could not be given back is passed over, and met again by the next run
    from_due CONSTANT timestamptz := coalesce((place ->> 'due_at')::timestamptz, '-infinity');
    r    economy.shop_reservations;
    seen bigint := 0;
BEGIN
    PERFORM economy_internal.open_tables('shop_reservations', 'shop_stock');
    reservations := 0;
    FOR r IN SELECT q.* FROM economy.shop_reservations q
             WHERE q.due_at > from_due AND q.due_at <= at
             ORDER BY q.due_at LIMIT max FOR UPDATE SKIP LOCKED
    LOOP
        seen := seen + 1;
        next := jsonb_build_object('due_at', r.due_at);
        -- an error of one, such as of a trigger on its row, stops no other
        BEGIN
            IF r.state <> 'held' THEN
                DELETE FROM economy.shop_reservations d
                    WHERE d.user_id = r.user_id AND d.idempotency_key = r.idempotency_key;
            ELSIF economy_internal.close_reservation(r, 'expired', false) THEN
                reservations := reservations + 1;
            END IF;
        EXCEPTION WHEN serialization_failure THEN
            RAISE;
        WHEN OTHERS THEN
            RAISE WARNING 'reservation % of user % could not be given back',
                to_json(r.idempotency_key), r.user_id
                USING DETAIL = format('%s: %s', SQLSTATE, SQLERRM);
        END;
    END LOOP;
    IF seen < max THEN
        next := NULL;
    END IF;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION economy_internal.expire_reservations(integer, jsonb) IS
    'A batch of the job: gives back reservations whose time is over, and forgets those that '
    'were closed 30 days ago; nobody is waited for.';
