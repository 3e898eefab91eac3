-- account: leaderboards, fed from what all rooms know of a user, and read

CREATE FUNCTION economy_internal.leaderboard_figures(user_ids bigint[], boards text[])
    RETURNS TABLE (board text, first_day date, user_id bigint, place bigint)
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    -- user by user throughout: a join would read whole tables for a few of them
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
    SET jit = off
    BEGIN ATOMIC
        WITH counting AS MATERIALIZED (
            SELECT b.board, b.figure, b.game, b.item_id, b.period, b.ascending, b.min_games,
                   b.audience, p.first_day, p.last_day
            FROM economy.leaderboards b JOIN economy.leaderboard_periods p ON p.board = b.board
            WHERE b.active AND p.closed_at IS NULL
              AND (boards IS NULL OR b.board = ANY (boards))
        ), asked AS MATERIALIZED (
            SELECT i.user_id, coalesce(a.suspended, true) AS suspended, a.experience_points
            FROM unnest(user_ids) i (user_id)
            LEFT JOIN LATERAL (SELECT c.* FROM economy.accounts c
                               WHERE c.user_id = i.user_id OFFSET 0) a ON true
        ), games AS MATERIALIZED (
            SELECT g.* FROM asked a
            CROSS JOIN LATERAL (SELECT t.* FROM economy.game_stats t
                                WHERE t.user_id = a.user_id OFFSET 0) g
            WHERE EXISTS (SELECT FROM counting c WHERE c.period = 'all' AND c.figure
                          NOT IN ('xp', 'streak', 'item'))
        ), days AS MATERIALIZED (
            SELECT d.* FROM asked a
            CROSS JOIN LATERAL (
                SELECT t.* FROM economy.user_game_stats_summary t
                WHERE t.user_id = a.user_id
                  AND t.day >= (SELECT min(c.first_day) FROM counting c WHERE c.period <> 'all')
                  AND t.day <= (SELECT max(c.last_day) FROM counting c WHERE c.period <> 'all')
                OFFSET 0) d
        ), played AS (
            SELECT c.board, c.first_day, d.user_id, sum(d.total) AS total, sum(d.wins) AS wins,
                   sum(d.losses) AS losses, max(d.max_win) AS max_win, sum(d.bet_sum) AS bet_sum,
                   sum(d.win_sum) AS win_sum
            FROM counting c JOIN days d
                ON d.day BETWEEN c.first_day AND c.last_day AND coalesce(d.game = c.game, true)
            WHERE c.period <> 'all' GROUP BY 1, 2, 3
            UNION ALL
            SELECT c.board, c.first_day, g.user_id, sum(g.total), sum(g.wins), sum(g.losses),
                   max(g.max_win), sum(g.bet_sum), sum(g.win_sum)
            FROM counting c JOIN games g ON coalesce(g.game = c.game, true)
            WHERE c.period = 'all' GROUP BY 1, 2, 3
        ), figures AS MATERIALIZED (
            SELECT c.board, c.first_day, p.user_id,
                   CASE c.figure
                       WHEN 'wins' THEN p.wins
                       WHEN 'max_win' THEN p.max_win
                       WHEN 'win_sum' THEN p.win_sum
                       WHEN 'bet_sum' THEN p.bet_sum
                       WHEN 'net' THEN p.win_sum - p.bet_sum
                       WHEN 'total' THEN p.total
                       WHEN 'win_rate' THEN div(p.wins * 1000000, p.wins + p.losses)
                   END AS figure
            FROM counting c JOIN played p ON p.board = c.board AND p.first_day = c.first_day
            WHERE c.figure NOT IN ('xp', 'streak', 'item')
              AND CASE c.figure WHEN 'win_rate' THEN p.wins + p.losses ELSE p.total END
                  >= c.min_games
            UNION ALL
            SELECT c.board, c.first_day, a.user_id, a.experience_points
            FROM counting c CROSS JOIN asked a
            WHERE c.figure = 'xp' AND a.experience_points > 0
            UNION ALL
            SELECT c.board, c.first_day, a.user_id, s.streak_day
            FROM counting c CROSS JOIN asked a
            CROSS JOIN LATERAL (SELECT k.streak_day FROM economy.streaks k
                                WHERE k.user_id = a.user_id OFFSET 0) s
            WHERE c.figure = 'streak' AND s.streak_day > 0
            UNION ALL
            SELECT c.board, c.first_day, a.user_id, h.balance
            FROM counting c CROSS JOIN asked a
            CROSS JOIN LATERAL (SELECT u.balance FROM economy.user_holdings u
                                WHERE u.user_id = a.user_id AND u.item_id = c.item_id
                                OFFSET 0) h
            WHERE c.figure = 'item' AND h.balance > 0
        )
        SELECT c.board, c.first_day, a.user_id,
               CASE WHEN f.figure IS NOT NULL AND (c.audience = 'all' OR NOT a.suspended)
                    THEN greatest(least(CASE WHEN c.ascending THEN f.figure ELSE -f.figure END,
                                        9223372036854775807), -9223372036854775807)::bigint END
        FROM counting c CROSS JOIN asked a
        LEFT JOIN figures f
            ON f.board = c.board AND f.first_day = c.first_day AND f.user_id = a.user_id;
    END;
COMMENT ON FUNCTION economy_internal.leaderboard_figures(bigint[], text[]) IS
    'Where users are to be on the boards that count, of boards or of all, null for nowhere: the '
    'figure, negative where more is better.';

CREATE FUNCTION economy_internal.leaderboard_look(user_ids bigint[], boards text[]) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    RETURN (SELECT economy_internal.leaderboard_set(
                       array_agg(f.board), array_agg(f.first_day), array_agg(f.user_id),
                       array_agg(f.place))
            FROM economy_internal.leaderboard_figures(user_ids, boards) f);
END
$$;
COMMENT ON FUNCTION economy_internal.leaderboard_look(bigint[], text[]) IS
    'Part of refresh_leaderboards(): puts users where they are to be; how many were elsewhere.';

-- The feed's positions tell who has new entries, as they tell rollup_stats(); those with new
-- actions come from there.
CREATE FUNCTION economy_internal.leaderboard_journals() RETURNS text[]
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        -- by the guard that each has
        SELECT array_agg(c.relname::text ORDER BY c.relname)
        FROM pg_class c JOIN pg_trigger t ON t.tgrelid = c.oid
        WHERE c.relnamespace = 'economy'::regnamespace AND NOT c.relispartition
          AND t.tgname = c.relname || '_append_only'
          AND c.relname NOT IN ('user_actions', 'config_changes');
    END;
COMMENT ON FUNCTION economy_internal.leaderboard_journals() IS
    'The journals but that of actions, which rollup_stats() follows.';

CREATE FUNCTION economy_internal.leaderboard_read(since bigint) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET jit = off AS $$
DECLARE
    journal text;
BEGIN
    FOREACH journal IN ARRAY economy_internal.leaderboard_journals() LOOP
        -- EXECUTE, and the bound stands in the statement, so that it is planned for what it finds
        EXECUTE format($query$
            INSERT INTO economy_internal.leaderboard_queue
            SELECT n.user_id
            FROM (SELECT DISTINCT t.user_id FROM economy.%I t
                  WHERE t.position >= %s OFFSET 0) n
            ON CONFLICT ON CONSTRAINT leaderboard_queue_pkey DO NOTHING
            $query$, journal, since);
        PERFORM economy_internal.summarise_parts(format('economy.%I', journal));
    END LOOP;
END
$$;
COMMENT ON FUNCTION economy_internal.leaderboard_read(bigint) IS
    'Part of refresh_leaderboards(): puts users with entries from a position on, other than '
    'actions, into the queue.';

CREATE FUNCTION economy_internal.leaderboard_begin(today date) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    b    record;
    d    record;
    last date;
    made integer := 0;
BEGIN
    FOR b IN SELECT l.board, l.period, n.last_day
             FROM economy.leaderboards l
             CROSS JOIN LATERAL (SELECT max(p.last_day) AS last_day
                                 FROM economy.leaderboard_periods p WHERE p.board = l.board) n
             WHERE l.active AND l.period IN ('day', 'week', 'month')
             ORDER BY l.board
    LOOP
        SELECT * INTO d FROM economy_internal.leaderboard_period(b.period, today, NULL, NULL);
        last := coalesce(b.last_day, d.first_day - 1);
        -- one after the other, so that none is passed over, up to the next one: who acts
        -- first in it is counted, whatever time the clock tells here
        WHILE last <= d.last_day LOOP
            IF made >= 1000 THEN
                RETURN false;
            END IF;
            PERFORM economy_internal.leaderboard_open(
                b.board, last + 1, b.last_day IS NOT NULL);
            SELECT n.last_day INTO last
                FROM economy_internal.leaderboard_period(b.period, last + 1, NULL, NULL) n;
            made := made + 1;
        END LOOP;
    END LOOP;
    RETURN true;
END
$$;
COMMENT ON FUNCTION economy_internal.leaderboard_begin(date) IS
    'Part of refresh_leaderboards(): makes the periods up to the one after today''s; false when '
    'more than a batch makes are missing.';

CREATE FUNCTION economy_internal.running_transactions() RETURNS text[]
    LANGUAGE sql VOLATILE PARALLEL RESTRICTED
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT coalesce(array_agg(l.virtualtransaction ORDER BY l.virtualtransaction), '{}')
        FROM pg_locks l
        WHERE l.locktype = 'virtualxid' AND l.virtualxid = l.virtualtransaction
          AND l.mode = 'ExclusiveLock' AND l.granted AND l.pid <> pg_backend_pid()
          AND EXISTS (SELECT FROM pg_stat_get_activity(l.pid) a
                      JOIN pg_database d ON d.oid = a.datid
                      WHERE d.datname = current_database()
                        AND a.backend_type IS DISTINCT FROM 'autovacuum worker');
    END;
COMMENT ON FUNCTION economy_internal.running_transactions() IS
    'Virtual ids of the other transactions of this database that run now.';

-- An entry has the time at which its call began, and may commit much later. So a period ends
-- in steps: those that run then are noted; when all of them have ended, a rollup that begins
-- afterwards has seen what they did; and when all whom it found are counted, it is closed.
CREATE FUNCTION economy_internal.leaderboard_end(today date) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    running  CONSTANT text[] := economy_internal.running_transactions();
    -- afterwards: one that is in neither has ended
    prepared CONSTANT text[] := ARRAY(
        SELECT 'x' || x.transaction::text FROM pg_prepared_xacts x
        WHERE x.database = current_database() ORDER BY 1);
BEGIN
    -- a clock that was ahead has ended what has not: it ends anew
    UPDATE economy.leaderboard_periods p SET awaits = NULL, await_fills = NULL
        WHERE p.closed_at IS NULL AND p.awaits IS NOT NULL AND p.last_day >= today;
    UPDATE economy.leaderboard_periods p SET
            awaits = CASE
                WHEN p.awaits IS NULL THEN running || prepared
                ELSE ARRAY(SELECT r FROM unnest(p.awaits) r
                           WHERE r = ANY (running) OR r = ANY (prepared)
                           UNION
                           -- one that ran then has none of its names when it is prepared
                           SELECT r FROM unnest(prepared) r
                           WHERE EXISTS (SELECT FROM unnest(p.awaits) v WHERE v LIKE '%/%')) END
        FROM economy.leaderboards b
        WHERE b.board = p.board AND b.active AND p.last_day < today AND p.closed_at IS NULL
          AND p.fill_from IS NULL AND p.await_fills IS NULL;
    UPDATE economy.leaderboard_periods p SET await_fills = s.fills
        FROM economy_internal.leaderboard_state s
        WHERE p.closed_at IS NULL AND p.await_fills IS NULL AND p.awaits = '{}';
END
$$;
COMMENT ON FUNCTION economy_internal.leaderboard_end(date) IS
    'Part of refresh_leaderboards(): notes what periods that have ended still wait for.';

CREATE FUNCTION economy_internal.leaderboard_close() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET jit = off AS $$
DECLARE
    p record;
BEGIN
    FOR p IN
        SELECT o.board, o.first_day, b.prizes
        FROM economy.leaderboard_periods o
        JOIN economy.leaderboards b ON b.board = o.board
        CROSS JOIN economy_internal.leaderboard_state s
        WHERE b.active AND o.closed_at IS NULL AND o.fill_from IS NULL
          AND o.await_fills < s.fills AND o.last_day < (economy.now() AT TIME ZONE 'UTC')::date
          -- all whom that rollup found are counted, here as well
          AND NOT EXISTS (SELECT FROM economy_internal.rollup_state r
                          WHERE r.next_user IS NOT NULL)
          AND NOT EXISTS (SELECT FROM economy_internal.leaderboard_queue)
        ORDER BY o.board, o.first_day LIMIT 100
    LOOP
        UPDATE economy.leaderboard_periods c SET
                closed_at = economy.now(), prizes = p.prizes,
                checksum = economy_internal.leaderboard_checksum(p.board, p.first_day),
                paid_at = CASE WHEN p.prizes = '[]' THEN economy.now() END
            WHERE c.board = p.board AND c.first_day = p.first_day;
    END LOOP;
END
$$;
COMMENT ON FUNCTION economy_internal.leaderboard_close() IS
    'Part of refresh_leaderboards(): closes the periods that wait for nothing any more.';

CREATE FUNCTION economy_internal.leaderboard_checksum(board text, first_day date) RETURNS numeric
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT coalesce(sum(s.user_id::numeric * s.place), 0)
        FROM economy.leaderboard_scores s
        WHERE s.board = leaderboard_checksum.board
          AND s.first_day = leaderboard_checksum.first_day;
    END;
COMMENT ON FUNCTION economy_internal.leaderboard_checksum(text, date) IS
    'The sum that a closed period is known by.';

CREATE FUNCTION economy_internal.leaderboard_forget(max_rows integer) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
    SET jit = off AS $$
DECLARE
    old record;
    n   bigint;
BEGIN
    SELECT o.board, o.first_day INTO old
        FROM economy.leaderboards b
        CROSS JOIN LATERAL (
            SELECT p.board, p.first_day, p.paid_at FROM economy.leaderboard_periods p
            WHERE p.board = b.board AND p.closed_at IS NOT NULL
            ORDER BY p.first_day DESC OFFSET b.keep) o
        WHERE b.keep IS NOT NULL AND o.paid_at IS NOT NULL
          AND NOT EXISTS (SELECT FROM economy.leaderboard_refusals r
                          WHERE r.board = o.board AND r.first_day = o.first_day AND r.again)
        ORDER BY o.board, o.first_day LIMIT 1;
    IF old.board IS NULL THEN
        RETURN false;
    END IF;
    DELETE FROM economy.leaderboard_refusals r WHERE r.ctid = ANY (ARRAY(
        SELECT o.ctid FROM economy.leaderboard_refusals o
        WHERE o.board = old.board AND o.first_day = old.first_day
        ORDER BY o.user_id LIMIT max_rows));
    GET DIAGNOSTICS n = ROW_COUNT;
    IF n = max_rows THEN
        RETURN true;
    END IF;
    DELETE FROM economy.leaderboard_scores s WHERE s.ctid = ANY (ARRAY(
        SELECT o.ctid FROM economy.leaderboard_scores o
        WHERE o.board = old.board AND o.first_day = old.first_day
        ORDER BY o.place, o.user_id LIMIT max_rows));
    GET DIAGNOSTICS n = ROW_COUNT;
    IF n < max_rows THEN
        DELETE FROM economy_internal.leaderboard_buckets b
            WHERE b.board = old.board AND b.first_day = old.first_day;
        DELETE FROM economy.leaderboard_periods p
            WHERE p.board = old.board AND p.first_day = old.first_day;
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION economy_internal.leaderboard_forget(integer) IS
    'Part of refresh_leaderboards(): removes some of a closed period that is not kept any more; '
    'false when there is none.';

CREATE FUNCTION economy_internal.leaderboard_fill(max_users integer, OUT users bigint,
                                                  OUT written bigint)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET jit = off AS $$
DECLARE
    first bigint;
    chosen bigint[];
BEGIN
    -- the boards that stand at the least user, together
    SELECT min(p.fill_from) INTO first FROM economy.leaderboard_periods p
        JOIN economy.leaderboards b ON b.board = p.board WHERE b.active AND p.closed_at IS NULL;
    users := 0;
    written := 0;
    IF first IS NULL THEN
        RETURN;
    END IF;
    chosen := ARRAY(SELECT a.user_id FROM economy.accounts a WHERE a.user_id >= first
                  ORDER BY a.user_id LIMIT max_users);
    users := cardinality(chosen);
    written := economy_internal.leaderboard_look(chosen, ARRAY(
        SELECT p.board FROM economy.leaderboard_periods p WHERE p.fill_from = first));
    UPDATE economy.leaderboard_periods p
        SET fill_from = CASE WHEN cardinality(chosen) = max_users
                              AND chosen[max_users] < 9223372036854775807
                             THEN chosen[max_users] + 1 END
        WHERE p.fill_from = first;
END
$$;
COMMENT ON FUNCTION economy_internal.leaderboard_fill(integer) IS
    'Part of refresh_leaderboards(): looks at the next of all users, for the boards that are new; '
    'how many, and how many of them were elsewhere.';

CREATE FUNCTION economy.refresh_leaderboards(max_users integer DEFAULT 2000)
    RETURNS TABLE (users bigint, written bigint, more boolean)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 1
    SET search_path = pg_catalog, economy, pg_temp
    -- a queue that is worked off has more dead rows than others, and statistics that do not fit
    SET enable_seqscan = off SET jit = off AS $$
DECLARE
    least  CONSTANT bigint := '-9223372036854775808';
    moment CONSTANT timestamptz := economy.now();
    today  CONSTANT date := (moment AT TIME ZONE 'UTC')::date;
    state  economy_internal.leaderboard_state;
    here   bigint;
    chosen bigint[];
    filled record;
    reads  boolean;
BEGIN
    PERFORM economy_internal.require_positive('max_users', max_users);
    PERFORM economy_internal.open_tables(VARIADIC ARRAY[
        'leaderboards', 'leaderboard_periods', 'leaderboard_scores', 'leaderboard_refusals',
        'economy_internal.leaderboard_buckets', 'economy_internal.leaderboard_queue',
        'economy_internal.leaderboard_state', 'economy_internal.rollup_state', 'accounts',
        'economy_internal.game_stats_more', 'economy_internal.user_holdings_more',
        'user_game_stats_summary'] || economy_internal.leaderboard_journals());
    -- nor beside a rollup, that puts users into the queue
    PERFORM economy_internal.lock_name('economy.rollup_stats');
    -- of a rollup or a refresh with an older snapshot one is to fail
    UPDATE economy_internal.rollup_state s SET next_user = s.next_user;
    SELECT * INTO state FROM economy_internal.leaderboard_state FOR UPDATE;
    IF NOT EXISTS (SELECT FROM economy.leaderboards b WHERE b.active) THEN
        DELETE FROM economy_internal.leaderboard_state;
        DELETE FROM economy_internal.leaderboard_queue q WHERE q.user_id IN (
            SELECT o.user_id FROM economy_internal.leaderboard_queue o LIMIT 100000);
        RETURN QUERY SELECT 0::bigint, 0::bigint, found;
        RETURN;
    END IF;
    here := economy_internal.position_of(
        pg_snapshot_xmin(pg_current_snapshot())::text::bigint);
    IF NOT economy_internal.leaderboard_begin(today) THEN
        RETURN QUERY SELECT 0::bigint, 0::bigint, true;
        RETURN;
    END IF;
    reads := state.next_user IS NULL;
    -- what is older may have gone into an archive
    IF state.read_at IS NULL OR state.read_at < moment - interval '720 hours' THEN
        UPDATE economy.leaderboard_periods p SET
                fill_from = least, awaits = NULL, await_fills = NULL
            WHERE p.closed_at IS NULL;
    ELSIF reads THEN
        PERFORM economy_internal.leaderboard_read(state.position);
    END IF;
    INSERT INTO economy_internal.leaderboard_state AS s (position, read_at, fills)
        VALUES (here, moment, 0)
        ON CONFLICT ON CONSTRAINT leaderboard_state_pkey DO UPDATE SET
            position = CASE WHEN reads THEN excluded.position ELSE s.position END,
            read_at = CASE WHEN reads THEN excluded.read_at ELSE s.read_at END;
    PERFORM economy_internal.leaderboard_end(today);
    WITH taken AS (
        DELETE FROM economy_internal.leaderboard_queue q WHERE q.user_id = ANY (ARRAY(
            SELECT o.user_id FROM economy_internal.leaderboard_queue o
            WHERE o.user_id >= coalesce(state.next_user, least)
            ORDER BY o.user_id LIMIT max_users))
        RETURNING q.user_id
    )
    SELECT coalesce(array_agg(t.user_id ORDER BY t.user_id), '{}') INTO chosen FROM taken t;
    UPDATE economy_internal.leaderboard_state SET next_user =
        CASE WHEN cardinality(chosen) = max_users AND chosen[max_users] < 9223372036854775807
             THEN chosen[max_users] + 1 END;
    users := cardinality(chosen);
    written := economy_internal.leaderboard_look(chosen, NULL);
    filled := economy_internal.leaderboard_fill(max_users);
    users := users + filled.users;
    written := written + filled.written;
    PERFORM economy_internal.leaderboard_close();
    more := economy_internal.leaderboard_forget(10000)
        OR EXISTS (SELECT FROM economy_internal.leaderboard_queue)
        OR EXISTS (SELECT FROM economy.leaderboard_periods p
                   JOIN economy.leaderboards b ON b.board = p.board
                   WHERE b.active AND p.closed_at IS NULL AND p.fill_from IS NOT NULL);
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION economy.refresh_leaderboards(integer) IS
    'Brings the leaderboards up to what rollup_stats() has added and the other journals tell, for '
    'at most max_users users, and as many of boards that are new; begins and closes periods; more '
    'says that a further call finds more. What the job does.';

-- Readers

CREATE TYPE economy.leaderboard_row AS (
    rank        bigint,
    user_id     bigint,
    figure      bigint,
    external_id text,
    profile     jsonb
);
COMMENT ON TYPE economy.leaderboard_row IS
    'A user on a leaderboard: a row of leaderboard(), rank_of() and leaderboard_of().';

CREATE FUNCTION economy_internal.leaderboard_named(board text) RETURNS economy.leaderboards
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    b economy.leaderboards;
BEGIN
    SELECT * INTO b FROM economy.leaderboards l WHERE l.board = leaderboard_named.board;
    IF b.board IS NULL THEN
        RAISE EXCEPTION 'leaderboard "%" does not exist', left(board, 64)
            USING ERRCODE = 'XE504', HINT = 'economy.upsert_leaderboard() makes one.';
    END IF;
    RETURN b;
END
$$;
COMMENT ON FUNCTION economy_internal.leaderboard_named(text) IS
    'The leaderboard of that name; XE504 when there is none.';

CREATE FUNCTION economy_internal.leaderboard_begun(board text, day date)
    RETURNS economy.leaderboard_periods
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    b economy.leaderboards;
    p economy.leaderboard_periods;
BEGIN
    PERFORM economy_internal.require_given('board', board IS NOT NULL);
    PERFORM economy_internal.open_tables(
        'leaderboards', 'leaderboard_periods', 'leaderboard_scores',
        'economy_internal.leaderboard_buckets', 'users');
    b := economy_internal.leaderboard_named(board);
    -- the season that counts may be over, and is shown all the same
    day := coalesce(day, CASE b.period WHEN 'season' THEN b.first_day
                              ELSE (economy.now() AT TIME ZONE 'UTC')::date END);
    SELECT * INTO p FROM economy.leaderboard_periods o
        WHERE o.board = b.board AND o.first_day <= day AND o.last_day >= day
        ORDER BY o.first_day DESC LIMIT 1;
    IF p.fill_from IS NOT NULL THEN
        RETURN NULL;
    END IF;
    RETURN p;
END
$$;
COMMENT ON FUNCTION economy_internal.leaderboard_begun(text, date) IS
    'The period of a board that a day is in, or that counts now; null when there is none, or '
    'it is not filled yet. XE504 for no such board. Opens what its readers read.';

CREATE FUNCTION economy_internal.leaderboard_rows(
    board text, first_day date, after_place bigint, after_user bigint, n integer
) RETURNS SETOF economy.leaderboard_row
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
    SET jit = off AS $$
BEGIN
    RETURN QUERY
        SELECT p.rank, p.user_id, CASE WHEN b.ascending THEN p.place ELSE -p.place END,
               u.external_id, u.profile
        FROM economy.leaderboards b
        CROSS JOIN LATERAL economy_internal.leaderboard_page(
            b.board, leaderboard_rows.first_day, after_place, after_user, n) p
        LEFT JOIN LATERAL (SELECT i.external_id, i.profile FROM economy.users i
                           WHERE i.user_id = p.user_id OFFSET 0) u ON true
        WHERE b.board = leaderboard_rows.board
        ORDER BY p.place, p.user_id;
END
$$;
COMMENT ON FUNCTION economy_internal.leaderboard_rows(text, date, bigint, bigint, integer) IS
    'leaderboard_page() with who the users are.';

CREATE FUNCTION economy.leaderboard(
    board text, n integer DEFAULT 100, after bigint[] DEFAULT NULL, day date DEFAULT NULL
) RETURNS SETOF economy.leaderboard_row
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 100
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    p           economy.leaderboard_periods;
    after_place bigint := -9223372036854775808;
BEGIN
    PERFORM economy_internal.require_positive('n', n);
    IF after IS NOT NULL AND (cardinality(after) <> 2 OR array_position(after, NULL) IS NOT NULL
                              OR after[1] = -9223372036854775808) THEN
        RAISE EXCEPTION 'after must be a figure and a user_id' USING ERRCODE = 'XE002',
            HINT = 'Give those of the last row: ARRAY[figure, user_id].';
    END IF;
    p := economy_internal.leaderboard_begun(board, day);
    IF after IS NOT NULL THEN
        after_place := (SELECT CASE WHEN b.ascending THEN after[1] ELSE -after[1] END
                        FROM economy.leaderboards b WHERE b.board = leaderboard.board);
    END IF;
    RETURN QUERY SELECT * FROM economy_internal.leaderboard_rows(
        p.board, p.first_day, after_place, coalesce(after[2], -9223372036854775808),
        least(n, 10000));
END
$$;
COMMENT ON FUNCTION economy.leaderboard(text, integer, bigint[], date) IS
    'The first n (10,000) users of a leaderboard, or those after figure and user_id of the last '
    'row, in the period that counts, or that the day is in. Users of one figure have one rank '
    '(1, 2, 2, 4). XE504 for no such board.';

CREATE FUNCTION economy.rank_of(
    board text, user_id bigint, around integer DEFAULT 0, day date DEFAULT NULL
) RETURNS SETOF economy.leaderboard_row
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 1
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    p      economy.leaderboard_periods;
    own    bigint;
    first  record;
BEGIN
    PERFORM economy_internal.require_given('user_id', user_id IS NOT NULL);
    PERFORM economy_internal.require_given('around', around IS NOT NULL);
    PERFORM economy_internal.require_limit('around', around);
    p := economy_internal.leaderboard_begun(board, day);
    -- by the primary key, whatever was planned when there were few
    SELECT s.place INTO own FROM economy.leaderboard_scores s
        WHERE (s.user_id, s.board, s.first_day) >= (rank_of.user_id, p.board, p.first_day)
          AND (s.user_id, s.board, s.first_day) <= (rank_of.user_id, p.board, p.first_day);
    IF own IS NULL THEN
        RETURN;
    END IF;
    -- the first of those in front
    SELECT count(*) AS n, min(f.place) AS place,
           (array_agg(f.user_id ORDER BY f.place, f.user_id))[1] AS user_id
    INTO first
    FROM (SELECT s.place, s.user_id FROM economy.leaderboard_scores s
          WHERE s.board = p.board AND s.first_day = p.first_day
            AND (s.place, s.user_id) < (own, rank_of.user_id)
          ORDER BY s.place DESC, s.user_id DESC LIMIT least(around, 1000)) f;
    RETURN QUERY SELECT * FROM economy_internal.leaderboard_rows(
        p.board, p.first_day, coalesce(first.place, own),
        coalesce(first.user_id, rank_of.user_id) - 1,
        (first.n + 1 + least(around, 1000))::integer);
END
$$;
COMMENT ON FUNCTION economy.rank_of(text, bigint, integer, date) IS
    'The user on a leaderboard, with around (1,000) others in front and behind, in the period that '
    'counts, or that the day is in; no row for a user who is not on it. XE504 for no such board.';

CREATE FUNCTION economy_internal.leaderboard_among(
    board text, first_day date, user_ids bigint[]
) RETURNS SETOF economy.leaderboard_row
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
    SET jit = off
    BEGIN ATOMIC
        SELECT rank() OVER (ORDER BY s.place), s.user_id,
               CASE WHEN b.ascending THEN s.place ELSE -s.place END, u.external_id, u.profile
        FROM economy.leaderboards b
        CROSS JOIN (SELECT DISTINCT i.user_id FROM unnest(user_ids) i (user_id)) i
        CROSS JOIN LATERAL (
            SELECT o.user_id, o.place FROM economy.leaderboard_scores o
            WHERE (o.user_id, o.board, o.first_day)
                      >= (i.user_id, b.board, leaderboard_among.first_day)
              AND (o.user_id, o.board, o.first_day)
                      <= (i.user_id, b.board, leaderboard_among.first_day) OFFSET 0) s
        LEFT JOIN LATERAL (SELECT k.external_id, k.profile FROM economy.users k
                           WHERE k.user_id = s.user_id OFFSET 0) u ON true
        WHERE b.board = leaderboard_among.board
        ORDER BY s.place, s.user_id;
    END;
COMMENT ON FUNCTION economy_internal.leaderboard_among(text, date, bigint[]) IS
    'leaderboard_of() in a period.';

CREATE FUNCTION economy.leaderboard_of(board text, user_ids bigint[], day date DEFAULT NULL)
    RETURNS SETOF economy.leaderboard_row
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 20
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    p economy.leaderboard_periods;
BEGIN
    PERFORM economy_internal.require_given('user_ids', user_ids IS NOT NULL);
    IF cardinality(user_ids) > 10000 THEN
        RAISE EXCEPTION 'user_ids must be 10000 or fewer' USING ERRCODE = 'XE002';
    END IF;
    p := economy_internal.leaderboard_begun(board, day);
    RETURN QUERY SELECT * FROM economy_internal.leaderboard_among(p.board, p.first_day, user_ids);
END
$$;
COMMENT ON FUNCTION economy.leaderboard_of(text, bigint[], date) IS
    'A leaderboard of these users (friends) alone, ranked among themselves, at most 10,000; '
    'who is not on the board has no row. XE504 for no such board.';

CREATE FUNCTION economy.leaderboard_info(board text DEFAULT NULL)
    RETURNS TABLE (
        board text, figure text, game text, item_id text, period text, ascending boolean,
        first_day date, last_day date, state text, users bigint, refreshed_at timestamptz,
        closed_at timestamptz, prizes jsonb, paid_at timestamptz, texts jsonb, extra jsonb
    )
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.open_tables(
            'leaderboards', 'leaderboard_periods', 'economy_internal.leaderboard_state');
        SELECT b.board, b.figure, b.game, b.item_id, b.period, b.ascending,
               nullif(p.first_day, '-infinity'), nullif(p.last_day, 'infinity'),
               CASE WHEN p.closed_at IS NOT NULL THEN 'closed'
                    WHEN NOT b.active THEN 'inactive'
                    WHEN p.fill_from IS NOT NULL THEN 'filling'
                    WHEN p.first_day > t.today THEN 'coming'
                    WHEN p.last_day < t.today THEN 'ended'
                    ELSE 'counting' END,
               p.users, coalesce(p.closed_at, s.read_at), p.closed_at,
               coalesce(p.prizes, b.prizes), p.paid_at, b.texts, b.extra
        FROM economy.leaderboards b
        JOIN economy.leaderboard_periods p ON p.board = b.board
        CROSS JOIN (SELECT (economy.now() AT TIME ZONE 'UTC')::date AS today) t
        LEFT JOIN economy_internal.leaderboard_state s ON true
        WHERE leaderboard_info.board IS NULL OR b.board = leaderboard_info.board
        ORDER BY b.board, p.first_day DESC;
    END;
COMMENT ON FUNCTION economy.leaderboard_info(text) IS
    'The periods of a leaderboard, or of all, the newest first: coming, filling, counting, ended, '
    'closed or inactive.';

-- Parity

CREATE TYPE economy.leaderboard_difference AS (
    board     text,
    first_day date,
    user_id   bigint,
    what      text,
    expected  numeric,
    actual    numeric
);
COMMENT ON TYPE economy.leaderboard_difference IS
    'What of a leaderboard is not what it should be: a row of leaderboard_parity().';

CREATE FUNCTION economy_internal.leaderboard_differences(
    boards text[], user_ids bigint[], lagging boolean
) RETURNS SETOF economy.leaderboard_difference
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
    SET jit = off
    BEGIN ATOMIC
        WITH settled AS MATERIALIZED (
            -- who has entries that no refresh has seen may be elsewhere
            SELECT i.user_id FROM unnest(user_ids) i (user_id)
            LEFT JOIN LATERAL (SELECT c.seq, c.position FROM economy.accounts c
                               WHERE c.user_id = i.user_id OFFSET 0) a ON true
            LEFT JOIN LATERAL (SELECT r.seq FROM economy_internal.rollup_positions r
                               WHERE r.user_id = i.user_id OFFSET 0) p ON true
            WHERE lagging OR (
                coalesce(a.position, 0) < (SELECT s.position
                                           FROM economy_internal.leaderboard_state s)
                AND NOT EXISTS (SELECT FROM economy.user_actions t
                                WHERE t.user_id = i.user_id AND t.seq > coalesce(p.seq, 0))
                AND NOT EXISTS (SELECT FROM economy_internal.leaderboard_queue q
                                WHERE q.user_id = i.user_id))
        )
        SELECT f.board, f.first_day, f.user_id, 'place', f.place::numeric, s.place::numeric
        FROM economy_internal.leaderboard_figures(
            ARRAY(SELECT d.user_id FROM settled d), boards) f
        JOIN LATERAL (SELECT o.fill_from FROM economy.leaderboard_periods o
                      WHERE o.board = f.board AND o.first_day = f.first_day OFFSET 0) p
            ON p.fill_from IS NULL
        LEFT JOIN LATERAL (
            SELECT o.place FROM economy.leaderboard_scores o
            WHERE (o.user_id, o.board, o.first_day) >= (f.user_id, f.board, f.first_day)
              AND (o.user_id, o.board, o.first_day) <= (f.user_id, f.board, f.first_day)
            OFFSET 0) s ON true
        WHERE f.place IS DISTINCT FROM s.place;
    END;
COMMENT ON FUNCTION economy_internal.leaderboard_differences(text[], bigint[], boolean) IS
    'leaderboard_parity() of these users on the boards that count.';

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

CREATE FUNCTION economy_internal.leaderboard_sums(boards text[])
    RETURNS SETOF economy.leaderboard_difference
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH bucket AS MATERIALIZED (
            SELECT b.board, b.first_day, b.low, b.users,
                   lead(b.low) OVER (PARTITION BY b.board, b.first_day ORDER BY b.low) AS next,
                   lag(b.low) OVER (PARTITION BY b.board, b.first_day ORDER BY b.low) AS before
            FROM economy_internal.leaderboard_buckets b
            WHERE boards IS NULL OR b.board = ANY (boards)
        ), counted AS (
            SELECT s.board, s.first_day, count(*) AS users,
                   sum(s.user_id::numeric * s.place) AS checksum
            FROM economy.leaderboard_scores s
            WHERE boards IS NULL OR s.board = ANY (boards) GROUP BY 1, 2
        ), period AS (
            SELECT p.* FROM economy.leaderboard_periods p
            WHERE boards IS NULL OR p.board = ANY (boards)
        )
        SELECT b.board, b.first_day, NULL::bigint, 'users from place ' || b.low, c.users::numeric,
               b.users::numeric
        FROM bucket b
        CROSS JOIN LATERAL (
            SELECT count(*) AS users FROM economy.leaderboard_scores s
            WHERE s.board = b.board AND s.first_day = b.first_day AND s.place >= b.low
              AND s.place <= coalesce(b.next - 1, 9223372036854775807)) c
        WHERE b.users <> c.users
        UNION ALL
        SELECT b.board, b.first_day, NULL, 'the first bucket', -9223372036854775808, b.low
        FROM bucket b WHERE b.before IS NULL AND b.low <> -9223372036854775808
        UNION ALL
        SELECT coalesce(p.board, c.board), coalesce(p.first_day, c.first_day), NULL, 'users',
               coalesce(c.users, 0), p.users
        FROM period p FULL JOIN counted c ON c.board = p.board AND c.first_day = p.first_day
        WHERE p.users IS DISTINCT FROM coalesce(c.users, 0)
        UNION ALL
        SELECT p.board, p.first_day, NULL, 'checksum', coalesce(c.checksum, 0), p.checksum
        FROM period p LEFT JOIN counted c ON c.board = p.board AND c.first_day = p.first_day
        WHERE p.checksum <> coalesce(c.checksum, 0)
        UNION ALL
        SELECT coalesce(p.board, b.board), coalesce(p.first_day, b.first_day), NULL, 'buckets',
               CASE WHEN p.board IS NOT NULL THEN 1 ELSE 0 END,
               CASE WHEN b.board IS NOT NULL THEN 1 ELSE 0 END
        FROM period p
        FULL JOIN (SELECT DISTINCT k.board, k.first_day FROM bucket k) b
            ON b.board = p.board AND b.first_day = p.first_day
        WHERE p.board IS NULL OR b.board IS NULL
        UNION ALL
        SELECT p.board, p.first_day, NULL, 'days of the period', d.last_day - d.first_day,
               p.last_day - p.first_day
        FROM period p LEFT JOIN economy.leaderboards b ON b.board = p.board
        LEFT JOIN LATERAL economy_internal.leaderboard_period(
            b.period, p.first_day, p.first_day,
            CASE WHEN b.first_day = p.first_day THEN b.last_day ELSE p.last_day END) d
            ON b.period <> 'all'
        WHERE b.board IS NULL
           OR CASE WHEN b.period = 'all'
                   THEN NOT coalesce(p.first_day = '-infinity' AND p.last_day = 'infinity', false)
              ELSE (p.first_day, p.last_day) IS DISTINCT FROM (d.first_day, d.last_day) END
        UNION ALL
        -- as many as have a rank with a prize, or up to the last one that was paid; of a period
        -- that is not closed none
        SELECT p.board, p.first_day, NULL, 'prizes', w.winners, p.paid + p.refused
        FROM period p
        CROSS JOIN LATERAL (
            SELECT max(coalesce((t ->> 'upto')::numeric,
                                ceil((t ->> 'percent')::numeric * p.users / 100))) AS rank
            FROM jsonb_array_elements(p.prizes) t) l
        CROSS JOIN LATERAL (
            SELECT count(*) AS winners FROM economy.leaderboard_scores s
            WHERE s.board = p.board AND s.first_day = p.first_day AND p.closed_at IS NOT NULL
              AND CASE WHEN p.paid_at IS NULL
                  THEN (s.place, s.user_id) <= (p.paid_place, p.paid_user)
                  WHEN l.rank < p.users THEN s.place <= (
                      SELECT o.place FROM economy.leaderboard_scores o
                      WHERE o.board = p.board AND o.first_day = p.first_day
                      ORDER BY o.place, o.user_id OFFSET l.rank - 1 LIMIT 1)
                  ELSE l.rank IS NOT NULL END) w
        WHERE w.winners <> p.paid + p.refused
        UNION ALL
        SELECT coalesce(p.board, r.board), coalesce(p.first_day, r.first_day), NULL,
               'prizes that could not be paid', coalesce(r.n, 0), p.refused
        FROM period p
        FULL JOIN (SELECT o.board, o.first_day, count(*) AS n
                   FROM economy.leaderboard_refusals o
                   WHERE boards IS NULL OR o.board = ANY (boards) GROUP BY 1, 2) r
            ON r.board = p.board AND r.first_day = p.first_day
        WHERE p.refused IS DISTINCT FROM coalesce(r.n, 0)
        UNION ALL
        SELECT p.board, p.first_day, r.user_id, 'rank with a prize that could not be paid',
               k.rank, r.rank
        FROM economy.leaderboard_refusals r
        JOIN period p ON p.board = r.board AND p.first_day = r.first_day
        LEFT JOIN economy.leaderboard_scores s
            ON s.user_id = r.user_id AND s.board = r.board AND s.first_day = r.first_day
        CROSS JOIN LATERAL (
            SELECT economy_internal.leaderboard_rank(s.board, s.first_day, s.place) AS rank) k
        WHERE s.user_id IS NULL OR k.rank IS DISTINCT FROM r.rank
           OR r.prize IS DISTINCT FROM
              economy_internal.leaderboard_prize(p.prizes, p.users, k.rank)
        UNION ALL
        SELECT p.board, p.first_day, NULL, 'prizes of the board', NULL, NULL
        FROM period p
        WHERE p.prizes IS NOT NULL AND NOT EXISTS (
            SELECT FROM economy.config_changes c
            WHERE c.relation = 'leaderboards' AND c.key = p.board
              AND c.after -> 'prizes' = p.prizes);
    END;
COMMENT ON FUNCTION economy_internal.leaderboard_sums(text[]) IS
    'Part of leaderboard_parity(): what is counted of the places, against the places.';

CREATE FUNCTION economy.leaderboard_parity(
    board text DEFAULT NULL, lagging boolean DEFAULT false
) RETURNS SETOF economy.leaderboard_difference
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    boards CONSTANT text[] := CASE WHEN board IS NOT NULL THEN ARRAY[board] END;
    users  bigint[];
    after  bigint := -9223372036854775808;
BEGIN
    PERFORM economy_internal.require_given('lagging', lagging IS NOT NULL);
    PERFORM economy_internal.open_tables(
        'leaderboards', 'leaderboard_periods', 'leaderboard_scores', 'leaderboard_refusals',
        'economy_internal.leaderboard_buckets', 'economy_internal.leaderboard_queue',
        'economy_internal.leaderboard_state', 'economy_internal.rollup_positions', 'accounts',
        'economy_internal.game_stats_more', 'economy_internal.user_holdings_more',
        'user_actions', 'user_game_stats_summary', 'config_changes');
    LOOP
        users := ARRAY(SELECT a.user_id FROM economy.accounts a WHERE a.user_id > after
                       ORDER BY a.user_id LIMIT 10000);
        EXIT WHEN cardinality(users) = 0;
        after := users[cardinality(users)];
        RETURN QUERY SELECT * FROM economy_internal.leaderboard_differences(
            boards, users, lagging);
    END LOOP;
    RETURN QUERY SELECT * FROM economy_internal.leaderboard_sums(boards);
END
$$;
COMMENT ON FUNCTION economy.leaderboard_parity(text, boolean) IS
    'Recomputes a leaderboard, or all, from statistics and accounts, and what is counted in it '
    'from its places, and returns what differs; none means exact. Users with entries that no '
    'refresh has seen yet are left out, unless lagging.';
