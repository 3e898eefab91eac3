-- rounds: game actions in two steps; the bet is taken when a round opens, and the rest when it ends

CREATE FUNCTION economy_internal.round_key(game text, action_id text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC SELECT json_build_array(game, action_id)::text; END;
COMMENT ON FUNCTION economy_internal.round_key(text, text) IS
    'The key of the entry that opens a round: one for a game and an action_id, like that of the '
    'action.';

CREATE FUNCTION economy_internal.hold_round(
    user_id bigint, key text, bet bigint, ttl interval, context jsonb, details jsonb
) RETURNS economy.holding_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_hold_round';
COMMENT ON FUNCTION economy_internal.hold_round(bigint, text, bigint, interval, jsonb, jsonb) IS
    'Part of open_action(): takes the bet, and keeps it as an escrow is kept. The context has the '
    'details, which are looked at.';

CREATE FUNCTION economy_internal.close_round(user_id bigint, round_id text, reason text)
    RETURNS economy.holding_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_close_round';
COMMENT ON FUNCTION economy_internal.close_round(bigint, text, text) IS
    'Part of settle_action() and void_action(): gives the bet back.';

CREATE FUNCTION economy_internal.not_settled(because economy.holding_result)
    RETURNS economy.action_result
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    answer economy.action_result;
BEGIN
    answer.success := false;
    answer.state := because.state;
    answer.code := because.code;
    answer.retry_after_ms := because.retry_after_ms;
    answer.detail := because.detail;
    RETURN answer;
END
$$;
COMMENT ON FUNCTION economy_internal.not_settled(economy.holding_result) IS
    'The answer to who may not settle a round, from that of its end.';

CREATE TYPE economy_internal.round AS (
    round_id    text,
    action_type text,
    bet         bigint,
    details     jsonb,
    expires_at  timestamptz,
    how         text,
    reason      text
);
COMMENT ON TYPE economy_internal.round IS
    'A round, and how and why it was closed, both null while it is open.';

CREATE FUNCTION economy_internal.round_of(user_id bigint, game text, action_id text)
    RETURNS economy_internal.round
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp SET enable_seqscan = off
    BEGIN ATOMIC
        SELECT o.round_id, o.context ->> 'action_type', o.bet, o.context -> 'details',
               o.expires_at, c.detail ->> 'how', c.reason
        FROM (SELECT 'H' || h.user_id || '-' || h.seq AS round_id, h.user_id, h.context,
                     -h.gold_delta AS bet, h.created_at + make_interval(
                         secs => (h.detail ->> 'ttl_seconds')::bigint) AS expires_at
              FROM economy.holding_changes h,
                   economy_internal.round_key(round_of.game, round_of.action_id) k (key)
              WHERE h.user_id = round_of.user_id
                AND h.key_digest = economy_internal.key_digest('round_open', k.key)
                AND h.operation = 'round_open' AND h.idempotency_key = k.key) o
        LEFT JOIN LATERAL (
            SELECT e.detail, e.reason FROM economy.holding_changes e
            WHERE e.user_id = o.user_id
              AND e.key_digest = economy_internal.key_digest('escrow_close', o.round_id)
              AND e.operation = 'escrow_close' AND e.idempotency_key = o.round_id) c ON true;
    END;
COMMENT ON FUNCTION economy_internal.round_of(bigint, text, text) IS
    'The round of a user with this name; null: there is none.';

-- The round of the user, whose account is locked before it is read: what is read stays so.  Its
-- key is announced before that, as calls with a key do: who is in another call for it has both.
CREATE FUNCTION economy_internal.lock_round(
    user_id bigint, game text, action_id text, OUT refusal economy.holding_result,
    OUT round economy_internal.round
)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    key CONSTANT text := economy_internal.round_key(game, action_id);
BEGIN
    PERFORM economy_internal.require_given('user_id', user_id IS NOT NULL);
    PERFORM economy_internal.require_text('game', game, 64);
    PERFORM economy_internal.require_text('action_id', action_id, 255);
    IF octet_length(key) > 255 THEN
        RAISE EXCEPTION 'game and action_id are too long together' USING ERRCODE = 'XE002',
            DETAIL = format('As %s they have %s bytes of 255.', left(key, 64), octet_length(key));
    END IF;
    PERFORM economy_internal.open_tables(
        'accounts', 'games', 'user_actions', 'economy_internal.game_stats_more',
        'holding_changes', 'escrows', 'items', 'economy_internal.user_holdings_more',
        'level_curves', 'level_experiments', 'economy_internal.mission_progress_more',
        'archived_keys', 'pruned_actions');
    round := economy_internal.round_of(user_id, game, action_id);
    -- a retry is a read
    refusal.retry_after_ms := CASE
        WHEN round.round_id IS NULL
        THEN economy_internal.announce_key('H', user_id, 'round_open', key)
        WHEN round.how IS NULL
        THEN economy_internal.announce_key('H', user_id, 'escrow_close', round.round_id) END;
    IF refusal.retry_after_ms IS NOT NULL THEN
        refusal.success := false;
        refusal.state := 'in_progress';
        refusal.code := 'IN_PROGRESS';
        RETURN;
    END IF;
    PERFORM FROM economy.accounts a WHERE a.user_id = lock_round.user_id FOR NO KEY UPDATE;
    IF NOT found THEN
        refusal := economy_internal.refused(refusal, 'USER_NOT_FOUND', NULL);
        RETURN;
    END IF;
    round := economy_internal.round_of(user_id, game, action_id);
    IF round.round_id IS NULL THEN
        refusal := economy_internal.refused(refusal, 'ROUND_NOT_FOUND', NULL);
    END IF;
END
$$;
COMMENT ON FUNCTION economy_internal.lock_round(bigint, text, text) IS
    'Looks at arguments, opens all that a round needs, announces its key, locks the account, and '
    'reads the round; refusal: why there is none.';

CREATE FUNCTION economy.open_action(
    user_id bigint, game text, action_type text, action_id text, bet bigint,
    ttl interval DEFAULT '1 hour', details jsonb DEFAULT NULL
) RETURNS economy.holding_result
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    known    record;
    refusal  economy.holding_result;
    recorded text;
BEGIN
    PERFORM economy_internal.require_text('action_type', action_type, 64);
    PERFORM economy_internal.require_given('bet', bet IS NOT NULL);
    known := economy_internal.lock_round(user_id, game, action_id);
    refusal := known.refusal;
    IF refusal.code <> 'ROUND_NOT_FOUND' THEN
        RETURN refusal;
    ELSIF NOT EXISTS (SELECT FROM economy.games g WHERE g.game = open_action.game) THEN
        RETURN economy_internal.refused(refusal, 'GAME_NOT_FOUND', NULL);
    ELSIF refusal.code = 'ROUND_NOT_FOUND' THEN
        SELECT 'A' || u.user_id || '-' || u.seq INTO recorded FROM economy.user_actions u
            WHERE u.user_id = open_action.user_id
              AND u.key_digest = economy_internal.key_digest(open_action.game,
                                                             open_action.action_id)
              AND u.game = open_action.game AND u.action_id = open_action.action_id;
        IF recorded IS NOT NULL THEN
            RETURN economy_internal.refused(
                refusal, 'IDEMPOTENCY_MISMATCH', jsonb_build_object('recorded', recorded));
        END IF;
        SELECT 'A' || p.user_id || '-' || p.seq INTO recorded FROM economy.pruned_actions p
            WHERE p.user_id = open_action.user_id
              AND p.key = economy_internal.action_key(open_action.game, open_action.action_id);
        IF recorded IS NOT NULL THEN
            RETURN economy_internal.refused(
                refusal, 'RESYNC_REQUIRED',
                jsonb_build_object('reason', 'pruned', 'recorded', recorded));
        END IF;
    END IF;
    RETURN economy_internal.hold_round(
        user_id, economy_internal.round_key(game, action_id), bet, ttl,
        jsonb_build_object('game', game, 'action_type', action_type)
        || CASE WHEN details IS NULL THEN '{}' ELSE jsonb_build_object('details', details) END,
        details);
END
$$;
COMMENT ON FUNCTION economy.open_action(bigint, text, text, text, bigint, interval, jsonb) IS
    'Opens a round: takes the bet, once per (user, game, action_id), until settle_action() or '
    'void_action() ends it, or ttl, when the bet is given back. No statistics see it yet. Refuses '
    'USER_NOT_FOUND, GAME_NOT_FOUND, USER_SUSPENDED, INSUFFICIENT_GOLD, IDEMPOTENCY_MISMATCH.';

CREATE FUNCTION economy.settle_action(
    user_id bigint, game text, action_id text, win bigint, outcome text DEFAULT NULL,
    details jsonb DEFAULT NULL, xp bigint DEFAULT 0
) RETURNS economy.action_result
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    -- with the account locked it waits for nobody's key
    SET economy.duplicate_wait = 0 AS $$
DECLARE
    known   record;
    refusal economy.holding_result;
    round   economy_internal.round;
    ended   economy.holding_result;
    answer  economy.action_result;
BEGIN
    PERFORM economy_internal.require_given('win', win IS NOT NULL);
    PERFORM economy_internal.require_given('xp', xp IS NOT NULL);
    known := economy_internal.lock_round(user_id, game, action_id);
    refusal := known.refusal;
    round := known.round;
    IF refusal.code IS NOT NULL THEN
        RETURN economy_internal.not_settled(refusal);
    ELSIF round.how IS NULL AND economy.now() >= round.expires_at THEN
        -- as the job would have done it: what is answered does not depend on when that runs
        ended := economy_internal.expire_escrow(user_id, round.round_id);
        IF NOT ended.success THEN
            RETURN economy_internal.not_settled(ended);
        END IF;
        round.how := 'expired';
        round.reason := 'expiry';
    END IF;
    IF round.how IS NOT NULL AND round.reason <> 'settle' THEN
        RETURN economy_internal.not_settled(economy_internal.refused(
            refusal, 'ROUND_CLOSED', jsonb_build_object('how', round.how, 'reason', round.reason)));
    END IF;
    -- back as if nothing was done when the action is refused: the round stays open
    BEGIN
        IF round.how IS NULL THEN
            ended := economy_internal.close_round(user_id, round.round_id, 'settle');
            IF NOT ended.success THEN
                RETURN economy_internal.not_settled(ended);
            END IF;
        END IF;
        answer := economy.record_action(
            user_id, game, round.action_type, action_id, round.bet, win, outcome,
            coalesce(details, round.details), xp);
        IF NOT answer.success THEN
            RAISE EXCEPTION USING ERRCODE = 'XE901', MESSAGE = 'the action is refused';
        END IF;
    EXCEPTION WHEN SQLSTATE 'XE901' THEN
        IF answer.success IS NOT false THEN
            RAISE;
        END IF;
        IF answer.gold IS NOT NULL THEN
            SELECT a.gold INTO STRICT answer.gold FROM economy.accounts a
                WHERE a.user_id = settle_action.user_id;
        END IF;
    END;
    RETURN answer;
END
$$;
COMMENT ON FUNCTION economy.settle_action(
    bigint, text, text, bigint, text, jsonb, bigint) IS
    'Ends a round: gives the bet back and records the action with it, as record_action() does, in '
    'one transaction. details: other than those it was opened with. Refuses USER_NOT_FOUND, '
    'ROUND_NOT_FOUND, ROUND_CLOSED after it was voided or its time was over, and as '
    'record_action() does, when the round stays open.';

CREATE FUNCTION economy.void_action(
    user_id bigint, game text, action_id text, reason text DEFAULT 'void'
) RETURNS economy.holding_result
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    known   record;
    refusal economy.holding_result;
    round   economy_internal.round;
BEGIN
    PERFORM economy_internal.require_text('reason', reason, 64);
    IF reason IN ('settle', 'expiry') THEN
        RAISE EXCEPTION 'reason must be another than settle and expiry' USING ERRCODE = 'XE002',
            HINT = 'These say how other rounds end.';
    END IF;
    known := economy_internal.lock_round(user_id, game, action_id);
    refusal := known.refusal;
    round := known.round;
    IF refusal.code IS NOT NULL THEN
        RETURN refusal;
    ELSIF round.reason = 'settle' THEN
        RETURN economy_internal.refused(refusal, 'ROUND_CLOSED', jsonb_build_object(
            'how', round.how, 'reason', round.reason));
    END IF;
    RETURN economy_internal.close_round(user_id, round.round_id, reason);
END
$$;
COMMENT ON FUNCTION economy.void_action(bigint, text, text, text) IS
    'Ends a round that nobody won or lost: gives the bet back, new once, and reuse from then on, '
    'also when its time was over. No statistics see it. Refuses USER_NOT_FOUND, ROUND_NOT_FOUND, '
    'and ROUND_CLOSED when it was settled.';

CREATE TYPE economy.open_round AS (
    game        text,
    action_type text,
    action_id   text,
    bet         bigint,
    details     jsonb,
    opened_at   timestamptz,
    expires_at  timestamptz,
    expired     boolean,
    round_id    text
);
COMMENT ON TYPE economy.open_round IS 'A round that is open: a row of economy.open_actions().';

CREATE FUNCTION economy.open_actions(user_id bigint, max integer DEFAULT 100)
    RETURNS SETOF economy.open_round
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 10
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.require_limit('max', open_actions.max);
        SELECT economy_internal.open_tables('escrows', 'holding_changes');
        SELECT h.context ->> 'game', h.context ->> 'action_type',
               h.idempotency_key::json ->> 1, -h.gold_delta,
               h.context -> 'details', h.created_at, e.expires_at, e.expires_at <= economy.now(),
               'H' || h.user_id || '-' || h.seq
        FROM economy.escrows e
        JOIN economy.holding_changes h ON h.user_id = e.user_id AND h.seq = e.seq
        WHERE e.user_id = open_actions.user_id AND h.operation = 'round_open'
        ORDER BY e.seq LIMIT least(open_actions.max, 10000);
    END;
COMMENT ON FUNCTION economy.open_actions(bigint, integer) IS
    'The rounds of a user that are open, the oldest first, at most max (10,000) of them.';
