-- account: the prizes of leaderboards, paid as rewards

CREATE FUNCTION economy_internal.leaderboard_prize(prizes jsonb, users bigint, rank bigint)
    RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT t.tier FROM jsonb_array_elements(prizes) WITH ORDINALITY t (tier, n)
        -- whoever is in front of a share has it: of three users the first is in the best tenth
        WHERE coalesce(rank <= (t.tier ->> 'upto')::numeric,
                       (rank - 1) * 100 < (t.tier ->> 'percent')::numeric * users)
        ORDER BY t.n LIMIT 1;
    END;
COMMENT ON FUNCTION economy_internal.leaderboard_prize(jsonb, bigint, bigint) IS
    'The tier of prizes that a rank among so many users is in; null for none.';

CREATE FUNCTION economy_internal.leaderboard_pay(
    board text, first_day date, winners bigint[], ranks bigint[], figures bigint[],
    prizes jsonb[], OUT paid bigint, OUT refused bigint
)
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
        SELECT count(*) FILTER (WHERE r.state = 'new'), count(*) FILTER (WHERE NOT r.success)
        FROM given g
        CROSS JOIN LATERAL economy_internal.grant_prizes(
            g.user_ids, g.sources, g.ids, g.gold, g.xp, g.details, g.items) r
        WHERE g.user_ids IS NOT NULL;
    END;
COMMENT ON FUNCTION economy_internal.leaderboard_pay(
    text, date, bigint[], bigint[], bigint[], jsonb[]) IS
    'Part of pay_leaderboard_prizes(): grants prizes, each once for a board, period and user.';

CREATE FUNCTION economy.pay_leaderboard_prizes(max_users integer DEFAULT 500)
    RETURNS TABLE (paid bigint, refused bigint, more boolean)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 1
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    p       economy.leaderboard_periods;
    winners record;
    granted record;
BEGIN
    PERFORM economy_internal.require_positive('max_users', max_users);
    PERFORM economy_internal.open_tables(
        'leaderboards', 'leaderboard_periods', 'leaderboard_scores',
        'economy_internal.leaderboard_buckets', 'accounts', 'reward_audit', 'level_curves',
        'level_experiments', 'items', 'economy_internal.user_holdings_more');
    PERFORM economy_internal.lock_name('economy.leaderboard_prizes');
    paid := 0;
    refused := 0;
    SELECT * INTO p FROM economy.leaderboard_periods o
        WHERE o.closed_at IS NOT NULL AND o.paid_at IS NULL
          AND EXISTS (SELECT FROM economy.leaderboards b WHERE b.board = o.board AND b.active)
        ORDER BY o.closed_at, o.board, o.first_day LIMIT 1 FOR NO KEY UPDATE;
    IF p.board IS NULL THEN
        more := false;
        RETURN NEXT;
        RETURN;
    END IF;
    SELECT array_agg(w.user_id ORDER BY w.place, w.user_id) AS users,
           array_agg(w.rank ORDER BY w.place, w.user_id) AS ranks,
           array_agg(CASE WHEN b.ascending THEN w.place ELSE -w.place END
                     ORDER BY w.place, w.user_id) AS figures,
           array_agg(w.prize ORDER BY w.place, w.user_id) AS prizes,
           count(*) AS n, max(w.place) AS place,
           (array_agg(w.user_id ORDER BY w.place DESC, w.user_id DESC))[1] AS user_id
    INTO winners
    FROM (SELECT g.*, economy_internal.leaderboard_prize(p.prizes, p.users, g.rank) AS prize
          FROM economy_internal.leaderboard_page(
              p.board, p.first_day, coalesce(p.paid_place, -9223372036854775808),
              coalesce(p.paid_user, -9223372036854775808), max_users) g) w
    CROSS JOIN (SELECT l.ascending FROM economy.leaderboards l WHERE l.board = p.board) b
    -- who comes behind the first without a prize has none either
    WHERE w.prize IS NOT NULL;
    granted := economy_internal.leaderboard_pay(
        p.board, p.first_day, winners.users, winners.ranks, winners.figures, winners.prizes);
    paid := granted.paid;
    refused := granted.refused;
    UPDATE economy.leaderboard_periods o SET
            paid = o.paid + granted.paid, refused = o.refused + granted.refused,
            paid_place = coalesce(winners.place, o.paid_place),
            paid_user = coalesce(winners.user_id, o.paid_user),
            paid_at = CASE WHEN winners.n < max_users THEN economy.now() END
        WHERE o.board = p.board AND o.first_day = p.first_day;
    more := EXISTS (SELECT FROM economy.leaderboard_periods o
                    JOIN economy.leaderboards b ON b.board = o.board AND b.active
                    WHERE o.closed_at IS NOT NULL AND o.paid_at IS NULL);
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION economy.pay_leaderboard_prizes(integer) IS
    'Pays the prizes of closed periods, those of at most max_users users, as rewards of the source '
    'economy:leaderboard, each once for a board, period and user; more says that there are '
    'others. What the job does.';
