-- account: the prizes of leaderboards, paid as rewards

CREATE FUNCTION economy_internal.leaderboard_grant(
    board text, first_day date, winners bigint[], ranks bigint[], figures bigint[],
    prizes jsonb[]
) RETURNS text[]
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET DateStyle = 'ISO, YMD'
    BEGIN ATOMIC
        WITH given AS (
            SELECT array_agg(w.user_id ORDER BY w.n) AS user_ids,
                   array_agg(text 'economy:leaderboard' ORDER BY w.n) AS sources,
                   array_agg(board || ':' || first_day ORDER BY w.n) AS ids,
                   array_agg(coalesce((w.prize ->> 'gold')::numeric, 0)::bigint ORDER BY w.n)
                       AS gold,
                   array_agg(coalesce((w.prize ->> 'xp')::numeric, 0)::bigint ORDER BY w.n) AS xp,
                   array_agg(jsonb_build_object('board', board, 'first_day', first_day,
                                                'rank', w.rank, 'figure', w.figure)
                             ORDER BY w.n) AS details,
                   array_agg(w.prize -> 'items' ORDER BY w.n) AS items
            FROM unnest(winners, ranks, figures, prizes) WITH ORDINALITY
                w (user_id, rank, figure, prize, n)
        )
        SELECT array_agg(CASE WHEN r.success THEN r.state ELSE r.code END ORDER BY r.ordinality)
        FROM given g
        CROSS JOIN LATERAL economy_internal.grant_prizes(
            g.user_ids, g.sources, g.ids, g.gold, g.xp, g.details, g.items) WITH ORDINALITY r
        WHERE g.user_ids IS NOT NULL;
    END;
COMMENT ON FUNCTION economy_internal.leaderboard_grant(
    text, date, bigint[], bigint[], bigint[], jsonb[]) IS
    'Grants prizes, each once for a board, period and user: for each winner new, reuse or the '
    'code of a refusal.';

CREATE FUNCTION economy_internal.leaderboard_pay(
    board text, first_day date, winners bigint[], ranks bigint[], figures bigint[],
    prizes jsonb[]
) RETURNS text[]
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    codes text[];
BEGIN
    BEGIN
        RETURN economy_internal.leaderboard_grant(
            board, first_day, winners, ranks, figures, prizes);
    EXCEPTION WHEN SQLSTATE 'XE103' OR integrity_constraint_violation THEN
        codes := '{}';
    END;
    -- whoever has a damaged account stops nobody else
    FOR i IN 1 .. cardinality(winners) LOOP
        BEGIN
            codes[i] := (economy_internal.leaderboard_grant(
                board, first_day, winners[i:i], ranks[i:i], figures[i:i], prizes[i:i]))[1];
        EXCEPTION WHEN SQLSTATE 'XE103' OR integrity_constraint_violation THEN
            codes[i] := SQLSTATE;
        END;
    END LOOP;
    RETURN codes;
END
$$;
COMMENT ON FUNCTION economy_internal.leaderboard_pay(
    text, date, bigint[], bigint[], bigint[], jsonb[]) IS
    'leaderboard_grant(), which answers the SQLSTATE for a winner whose account is damaged.';

CREATE FUNCTION economy_internal.leaderboard_pay_next(
    period economy.leaderboard_periods, max_users integer, OUT paid bigint, OUT refused bigint
)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    winners record;
    codes   text[];
BEGIN
    SELECT array_agg(w.user_id ORDER BY w.place, w.user_id) AS users,
           array_agg(w.rank ORDER BY w.place, w.user_id) AS ranks,
           array_agg(CASE WHEN b.ascending THEN w.place ELSE -w.place END
                     ORDER BY w.place, w.user_id) AS figures,
           array_agg(w.prize ORDER BY w.place, w.user_id) AS prizes,
           count(*) AS n, max(w.place) AS place,
           (array_agg(w.user_id ORDER BY w.place DESC, w.user_id DESC))[1] AS user_id
    INTO winners
    FROM (SELECT g.*, economy_internal.leaderboard_prize(
                     period.prizes, period.users, g.rank) AS prize
          FROM economy_internal.leaderboard_page(
              period.board, period.first_day,
              coalesce(period.paid_place, -9223372036854775808),
              coalesce(period.paid_user, -9223372036854775808), max_users) g) w
    CROSS JOIN (SELECT l.ascending FROM economy.leaderboards l WHERE l.board = period.board) b
    -- who comes behind the first without a prize has none either
    WHERE w.prize IS NOT NULL;
    codes := economy_internal.leaderboard_pay(
        period.board, period.first_day, winners.users, winners.ranks, winners.figures,
        winners.prizes);
    SELECT count(*) FILTER (WHERE c = 'new'), count(*) FILTER (WHERE c NOT IN ('new', 'reuse'))
        INTO paid, refused FROM unnest(codes) c;
    INSERT INTO economy.leaderboard_refusals (
            board, first_day, user_id, rank, prize, code, refused_at)
        SELECT period.board, period.first_day, w.user_id, w.rank, w.prize, w.code, economy.now()
        FROM unnest(winners.users, winners.ranks, winners.prizes, codes)
            w (user_id, rank, prize, code)
        WHERE w.code NOT IN ('new', 'reuse')
        ON CONFLICT ON CONSTRAINT leaderboard_refusals_pkey DO NOTHING;
    UPDATE economy.leaderboard_periods o SET
            paid = o.paid + leaderboard_pay_next.paid,
            refused = o.refused + leaderboard_pay_next.refused,
            paid_place = coalesce(winners.place, o.paid_place),
            paid_user = coalesce(winners.user_id, o.paid_user),
            paid_at = CASE WHEN winners.n < max_users THEN economy.now() END
        WHERE o.board = period.board AND o.first_day = period.first_day;
END
$$;
COMMENT ON FUNCTION economy_internal.leaderboard_pay_next(
    economy.leaderboard_periods, integer) IS
    'Part of pay_leaderboard_prizes(): pays the next prizes of a closed period.';

CREATE FUNCTION economy_internal.leaderboard_pay_again(
    max_users integer, OUT paid bigint, OUT refused bigint
)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
    SET jit = off AS $$
DECLARE
    of_one  economy.leaderboard_refusals;
    winners record;
    codes   text[];
BEGIN
    SELECT r.* INTO of_one FROM economy.leaderboard_refusals r
        WHERE r.again
          AND EXISTS (SELECT FROM economy.leaderboards b WHERE b.board = r.board AND b.active)
        ORDER BY r.board, r.first_day, r.user_id LIMIT 1;
    SELECT array_agg(w.user_id ORDER BY w.user_id) AS users,
           array_agg(w.rank ORDER BY w.user_id) AS ranks,
           array_agg(w.figure ORDER BY w.user_id) AS figures,
           array_agg(w.prize ORDER BY w.user_id) AS prizes
    INTO winners
    FROM (SELECT r.user_id, r.rank, r.prize, f.figure
          FROM economy.leaderboard_refusals r
          LEFT JOIN LATERAL (
              SELECT CASE WHEN b.ascending THEN s.place ELSE -s.place END AS figure
              FROM economy.leaderboard_scores s
              JOIN economy.leaderboards b ON b.board = s.board
              WHERE (s.user_id, s.board, s.first_day) >= (r.user_id, r.board, r.first_day)
                AND (s.user_id, s.board, s.first_day) <= (r.user_id, r.board, r.first_day)
              OFFSET 0) f ON true
          WHERE r.again AND r.board = of_one.board AND r.first_day = of_one.first_day
          ORDER BY r.user_id LIMIT max_users) w;
    codes := economy_internal.leaderboard_pay(
        of_one.board, of_one.first_day, winners.users, winners.ranks, winners.figures,
        winners.prizes);
    DELETE FROM economy.leaderboard_refusals r
        USING unnest(winners.users, codes) w (user_id, code)
        WHERE r.board = of_one.board AND r.first_day = of_one.first_day
          AND r.user_id = w.user_id AND w.code IN ('new', 'reuse');
    GET DIAGNOSTICS paid = ROW_COUNT;
    UPDATE economy.leaderboard_refusals r
        SET code = w.code, refused_at = economy.now(), again = false
        FROM unnest(winners.users, codes) w (user_id, code)
        WHERE r.board = of_one.board AND r.first_day = of_one.first_day
          AND r.user_id = w.user_id AND w.code NOT IN ('new', 'reuse');
    GET DIAGNOSTICS refused = ROW_COUNT;
    UPDATE economy.leaderboard_periods o SET
            paid = o.paid + leaderboard_pay_again.paid,
            refused = o.refused - leaderboard_pay_again.paid
        WHERE o.board = of_one.board AND o.first_day = of_one.first_day;
END
$$;
COMMENT ON FUNCTION economy_internal.leaderboard_pay_again(integer) IS
    'Part of pay_leaderboard_prizes(): pays prizes of a period that are to be tried again.';

CREATE FUNCTION economy.pay_leaderboard_prizes(max_users integer DEFAULT 500)
    RETURNS TABLE (paid bigint, refused bigint, more boolean)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 1
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    p economy.leaderboard_periods;
BEGIN
    PERFORM economy_internal.require_positive('max_users', max_users);
    PERFORM economy_internal.open_tables(
        'leaderboards', 'leaderboard_periods', 'leaderboard_scores', 'leaderboard_refusals',
        'economy_internal.leaderboard_buckets', 'accounts', 'reward_audit', 'level_curves',
        'level_experiments', 'items', 'economy_internal.user_holdings_more');
    PERFORM economy_internal.lock_name('economy.leaderboard_prizes');
    paid := 0;
    refused := 0;
    SELECT * INTO p FROM economy.leaderboard_periods o
        WHERE o.closed_at IS NOT NULL AND o.paid_at IS NULL
          AND EXISTS (SELECT FROM economy.leaderboards b WHERE b.board = o.board AND b.active)
        ORDER BY o.closed_at, o.board, o.first_day LIMIT 1 FOR NO KEY UPDATE;
    IF p.board IS NOT NULL THEN
        SELECT n.paid, n.refused INTO paid, refused
            FROM economy_internal.leaderboard_pay_next(p, max_users) n;
    ELSIF EXISTS (SELECT FROM economy.leaderboard_refusals r
                  JOIN economy.leaderboards b ON b.board = r.board AND b.active
                  WHERE r.again) THEN
        SELECT n.paid, n.refused INTO paid, refused
            FROM economy_internal.leaderboard_pay_again(max_users) n;
    END IF;
    more := EXISTS (SELECT FROM economy.leaderboard_periods o
                    JOIN economy.leaderboards b ON b.board = o.board AND b.active
                    WHERE o.closed_at IS NOT NULL AND o.paid_at IS NULL)
        OR EXISTS (SELECT FROM economy.leaderboard_refusals r
                   JOIN economy.leaderboards b ON b.board = r.board AND b.active
                   WHERE r.again);
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION economy.pay_leaderboard_prizes(integer) IS
    'Pays the prizes of closed periods, those of at most max_users users, as rewards of the source '
    'economy:leaderboard, each once for a board, period and user; one that is refused, or whose '
    'account is damaged, is noted in leaderboard_refusals; more says that there are '
    'others. What the job does.';

CREATE FUNCTION economy.retry_leaderboard_prizes(
    board text, first_day date DEFAULT NULL, user_ids bigint[] DEFAULT NULL
) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    marked bigint;
BEGIN
    PERFORM economy_internal.require_given('board', board IS NOT NULL);
    PERFORM economy_internal.open_tables('leaderboards', 'leaderboard_refusals');
    PERFORM economy_internal.leaderboard_named(board);
    PERFORM economy_internal.lock_name('economy.leaderboard_prizes');
    UPDATE economy.leaderboard_refusals r SET again = true
        WHERE r.board = retry_leaderboard_prizes.board
          AND coalesce(r.first_day = retry_leaderboard_prizes.first_day, true)
          AND (user_ids IS NULL OR r.user_id = ANY (user_ids));
    GET DIAGNOSTICS marked = ROW_COUNT;
    RETURN marked;
END
$$;
COMMENT ON FUNCTION economy.retry_leaderboard_prizes(text, date, bigint[]) IS
    'Lets pay_leaderboard_prizes() try refused prizes of a leaderboard once more, in one period or '
    'all, of these users or all, and returns how many. XE504 for no such board.';
