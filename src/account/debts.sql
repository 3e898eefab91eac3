-- debts: gold that refunds could not take is taken from what comes later

CREATE FUNCTION economy.debts_of(user_id bigint)
    RETURNS TABLE (refund text, purchase text, gold bigint, created_at timestamptz)
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 1
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.open_tables('shop_debts', 'shop_refunds');
        SELECT 'B' || d.user_id || '-' || d.seq, b.purchase, d.gold, b.created_at
        FROM economy.shop_debts d
        LEFT JOIN economy.shop_refunds b ON b.user_id = d.user_id AND b.seq = d.seq
        WHERE d.user_id = debts_of.user_id ORDER BY d.seq;
    END;
COMMENT ON FUNCTION economy.debts_of(bigint) IS
    'Gold that a user still owes for refunds, the oldest first.';

-- The key has what is owed, which only becomes less: it is never used again.
CREATE FUNCTION economy_internal.collect_debt(debt economy.shop_debts, have bigint) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    refund CONSTANT text := 'B' || debt.user_id || '-' || debt.seq;
    taken  CONSTANT bigint := least(debt.gold, have);
    answer economy.holding_result;
    left_now bigint;
BEGIN
    answer := economy_internal.take_debt(debt.user_id, taken, refund, refund || ':' || debt.gold);
    -- somebody who is being rolled back still has the key: the next run finds it again
    IF answer.state = 'in_progress' THEN
        RETURN 0;
    ELSIF answer.state IS DISTINCT FROM 'new' THEN
        RAISE EXCEPTION 'the debt of % could not be collected', refund
            USING ERRCODE = 'XE103', DETAIL = concat_ws(' ', answer.state, answer.code);
    END IF;
    IF taken = debt.gold THEN
        DELETE FROM economy.shop_debts d WHERE d.user_id = debt.user_id AND d.seq = debt.seq;
    ELSE
        UPDATE economy.shop_debts d SET gold = d.gold - taken
            WHERE d.user_id = debt.user_id AND d.seq = debt.seq;
    END IF;
    SELECT coalesce(sum(d.gold), 0) INTO left_now FROM economy.shop_debts d
        WHERE d.user_id = debt.user_id AND d.seq = debt.seq;
    IF left_now <> debt.gold - taken THEN
        RAISE EXCEPTION 'a debt would be collected and still be owed' USING ERRCODE = 'XE103',
            HINT = 'Look for a BEFORE trigger or a rule on economy.shop_debts that changes values '
                   'or suppresses rows.';
    END IF;
    RETURN taken;
END
$$;
COMMENT ON FUNCTION economy_internal.collect_debt(economy.shop_debts, bigint) IS
    'Takes what a user owes, or as much of it as there is, of a user whose account is locked.';

CREATE FUNCTION economy_internal.collect_debts(
    after jsonb DEFAULT NULL, max integer DEFAULT 50,
    OUT collected bigint, OUT failed bigint, OUT next jsonb
)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    -- in the order of the debts, whatever their statistics say
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
    SET jit = off AS $$
DECLARE
    looked integer := 0;
    d      economy.shop_debts;
    owed   economy.shop_debts;
    have   bigint;
BEGIN
    collected := 0;
    failed := 0;
    IF NOT current_setting('economy.collect_debts')::boolean THEN
        RETURN;
    END IF;
    PERFORM economy_internal.open_tables('shop_debts', 'holding_changes', 'accounts');
    FOR d IN
        -- most have nothing, and are neither locked nor written
        SELECT o.* FROM economy.shop_debts o
        JOIN economy.accounts a ON a.user_id = o.user_id AND a.gold > 0
        WHERE after IS NULL OR (o.user_id, o.seq) > ((after ->> 'user_id')::bigint,
                                                     (after ->> 'seq')::bigint)
        ORDER BY o.user_id, o.seq LIMIT max
    LOOP
        looked := looked + 1;
        next := jsonb_build_object('user_id', d.user_id, 'seq', d.seq);
        BEGIN
            -- who is in a call now keeps nobody waiting: the next run finds it again
            SELECT a.gold INTO have FROM economy.accounts a WHERE a.user_id = d.user_id
                FOR NO KEY UPDATE SKIP LOCKED;
            CONTINUE WHEN NOT found OR have = 0;
            -- what it is by now: another run may have been here
            SELECT o.* INTO owed FROM economy.shop_debts o
                WHERE o.user_id = d.user_id AND o.seq = d.seq FOR NO KEY UPDATE;
            CONTINUE WHEN NOT found;
            collected := collected
                + (economy_internal.collect_debt(owed, have) > 0)::integer;
        EXCEPTION WHEN serialization_failure THEN
            RAISE;
        WHEN OTHERS THEN
            failed := failed + 1;
            RAISE WARNING 'the debt of B%-% could not be collected', d.user_id, d.seq
                USING DETAIL = format('%s: %s', SQLSTATE, SQLERRM);
        END;
    END LOOP;
    IF looked < max THEN
        next := NULL;
    END IF;
END
$$;
COMMENT ON FUNCTION economy_internal.collect_debts(jsonb, integer) IS
    'Takes what users owe for refunds, of at most max debts behind a place, where there is gold, '
    'while economy.collect_debts is on; next is the place of the last one, or null. One that '
    'cannot be collected keeps no other from it. What the job does.';
