-- play: leaderboards, their periods, and the ranks in them

CREATE TABLE economy.leaderboards (
    board      text    NOT NULL COLLATE "C" CONSTRAINT leaderboards_pkey PRIMARY KEY
        CONSTRAINT leaderboards_board_check CHECK (octet_length(board) BETWEEN 1 AND 64),
    figure     text    NOT NULL COLLATE "C"
        CONSTRAINT leaderboards_figure_check CHECK (figure IN (
            'wins', 'max_win', 'win_sum', 'bet_sum', 'net', 'total', 'win_rate', 'xp', 'streak',
            'item')),
    game       text    COLLATE "C",
    item_id    text    COLLATE "C",
    period     text    NOT NULL COLLATE "C"
        CONSTRAINT leaderboards_period_check
        CHECK (period IN ('all', 'day', 'week', 'month', 'season')),
    first_day  date,
    last_day   date,
    ascending  boolean NOT NULL DEFAULT false,
    min_games  bigint  NOT NULL DEFAULT 1
        CONSTRAINT leaderboards_min_games_check CHECK (min_games >= 1),
    audience   text    NOT NULL COLLATE "C" DEFAULT 'active'
        CONSTRAINT leaderboards_audience_check CHECK (audience IN ('active', 'all')),
    keep       integer CONSTRAINT leaderboards_keep_check CHECK (keep >= 1),
    active     boolean NOT NULL DEFAULT true,
    prizes     jsonb   NOT NULL DEFAULT '[]'
        CONSTRAINT leaderboards_prizes_check CHECK (jsonb_typeof(prizes) = 'array'),
    texts      jsonb   NOT NULL DEFAULT '{}'
        CONSTRAINT leaderboards_texts_check CHECK (jsonb_typeof(texts) = 'object'
            AND NOT jsonb_path_exists(texts, 'strict $.* ? (@.type() != "object")')),
    extra      jsonb   NOT NULL DEFAULT '{}'
        CONSTRAINT leaderboards_extra_check CHECK (jsonb_typeof(extra) = 'object'),
    CONSTRAINT leaderboards_season_check CHECK (
        CASE period WHEN 'season' THEN coalesce(isfinite(first_day) AND isfinite(last_day)
                                                AND first_day <= last_day, false)
             ELSE first_day IS NULL AND last_day IS NULL END),
    CONSTRAINT leaderboards_item_check CHECK ((figure = 'item') = (item_id IS NOT NULL)),
    CONSTRAINT leaderboards_state_check CHECK (figure NOT IN ('xp', 'streak', 'item')
        OR (period = 'all' AND game IS NULL AND min_games = 1)),
    CONSTRAINT leaderboards_ends_check CHECK (period <> 'all' OR prizes = '[]')
);
SELECT pg_catalog.pg_extension_config_dump('economy.leaderboards', '');
COMMENT ON TABLE economy.leaderboards IS 'Leaderboards. Changed by upsert_leaderboard() only.';
COMMENT ON CONSTRAINT leaderboards_board_check ON economy.leaderboards IS
    'board must have 1 to 64 bytes';
COMMENT ON CONSTRAINT leaderboards_figure_check ON economy.leaderboards IS
    'figure must be wins, max_win, win_sum, bet_sum, net, total, win_rate, xp, streak or item';
COMMENT ON CONSTRAINT leaderboards_period_check ON economy.leaderboards IS
    'period must be all, day, week, month or season';
COMMENT ON CONSTRAINT leaderboards_min_games_check ON economy.leaderboards IS
    'min_games must be 1 or more';
COMMENT ON CONSTRAINT leaderboards_audience_check ON economy.leaderboards IS
    'audience must be active or all';
COMMENT ON CONSTRAINT leaderboards_keep_check ON economy.leaderboards IS 'keep must be 1 or more';
COMMENT ON CONSTRAINT leaderboards_prizes_check ON economy.leaderboards IS
    'prizes must be a JSON array';
COMMENT ON CONSTRAINT leaderboards_texts_check ON economy.leaderboards IS
    'texts must be a JSON object of languages, each with an object';
COMMENT ON CONSTRAINT leaderboards_extra_check ON economy.leaderboards IS
    'extra must be a JSON object';
COMMENT ON CONSTRAINT leaderboards_season_check ON economy.leaderboards IS
    'a season, and nothing else, has a first_day and a last_day that is no earlier';
COMMENT ON CONSTRAINT leaderboards_item_check ON economy.leaderboards IS
    'the figure item, and no other, has an item_id';
COMMENT ON CONSTRAINT leaderboards_state_check ON economy.leaderboards IS
    'xp, streak and item are what a user has now: of the period all, without game and min_games';
COMMENT ON CONSTRAINT leaderboards_ends_check ON economy.leaderboards IS
    'the period all never ends and has no prizes';
COMMENT ON COLUMN economy.leaderboards.figure IS
    'net: win_sum less bet_sum; win_rate: millionths of the games won or lost, rounded down; '
    'streak: its length at the last claim; item: units held.';
COMMENT ON COLUMN economy.leaderboards.game IS 'Whose actions count; null: of all games.';
COMMENT ON COLUMN economy.leaderboards.period IS
    'Periods begin and end with days of UTC; weeks with Monday.';
COMMENT ON COLUMN economy.leaderboards.first_day IS 'Of the season that counts now.';
COMMENT ON COLUMN economy.leaderboards.last_day IS 'Of the season that counts now, inclusive.';
COMMENT ON COLUMN economy.leaderboards.ascending IS 'Whether less is better.';
COMMENT ON COLUMN economy.leaderboards.min_games IS
    'Games in the period, of win_rate those won or lost, from which a user is on the board.';
COMMENT ON COLUMN economy.leaderboards.audience IS
    'active: users that are not suspended; all: all.';
COMMENT ON COLUMN economy.leaderboards.keep IS 'Closed periods that are kept; null: all.';
COMMENT ON COLUMN economy.leaderboards.active IS
    'Whether it is refreshed. Switched on again it is filled anew.';
COMMENT ON COLUMN economy.leaderboards.prizes IS
    'What a period pays: the first tier that a rank is in. {"upto": 3, "gold": 500} are ranks, '
    '{"percent": 10, "xp": 5, "items": {"gem": 1}} a share of the users on the board.';
COMMENT ON COLUMN economy.leaderboards.texts IS
    'What is shown, by language: {"en": {"name": "Winners"}}.';

CREATE TABLE economy.leaderboard_periods (
    board       text    NOT NULL COLLATE "C",
    first_day   date    NOT NULL,
    last_day    date    NOT NULL,
    users       bigint  NOT NULL DEFAULT 0
        CONSTRAINT leaderboard_periods_users_check CHECK (users >= 0),
    fill_from   bigint,
    awaits      text[],
    await_fills bigint,
    closed_at   timestamptz,
    checksum    numeric,
    prizes      jsonb,
    paid_place  bigint,
    paid_user   bigint,
    paid        bigint  NOT NULL DEFAULT 0,
    refused     bigint  NOT NULL DEFAULT 0,
    paid_at     timestamptz,
    CONSTRAINT leaderboard_periods_pkey PRIMARY KEY (board, first_day),
    CONSTRAINT leaderboard_periods_days_check CHECK (first_day <= last_day),
    CONSTRAINT leaderboard_periods_closed_check CHECK (
        (closed_at IS NULL) = (checksum IS NULL) AND (closed_at IS NULL) = (prizes IS NULL)
        AND (paid_at IS NULL OR closed_at IS NOT NULL))
);
SELECT pg_catalog.pg_extension_config_dump('economy.leaderboard_periods', '');
COMMENT ON TABLE economy.leaderboard_periods IS
    'Periods of leaderboards: those that count, the next ones, and those that are closed.';
COMMENT ON COLUMN economy.leaderboard_periods.first_day IS 'UTC; -infinity of the period all.';
COMMENT ON COLUMN economy.leaderboard_periods.last_day IS
    'UTC, inclusive; infinity of the period all.';
COMMENT ON COLUMN economy.leaderboard_periods.users IS 'Users on the board.';
COMMENT ON COLUMN economy.leaderboard_periods.fill_from IS
    'The users from this one on are still to be looked at; null when it is filled.';
COMMENT ON COLUMN economy.leaderboard_periods.awaits IS
    'Transactions that ran at the end of the period, and have not ended: virtual ids, and x with '
    'the id of one that may have been among them and is prepared.';
COMMENT ON COLUMN economy.leaderboard_periods.await_fills IS
    'leaderboard_state.fills when all transactions that may have one had ended: a later fill '
    'has seen them.';
COMMENT ON COLUMN economy.leaderboard_periods.closed_at IS
    'When the result became final; null while it counts.';
COMMENT ON COLUMN economy.leaderboard_periods.checksum IS
    'Of a closed period the sum of user_id times place, for the audit.';
COMMENT ON COLUMN economy.leaderboard_periods.prizes IS 'Of a closed period those of its board.';
COMMENT ON COLUMN economy.leaderboard_periods.paid_place IS
    'Place and, paid_user, user up to which prizes were paid.';
COMMENT ON COLUMN economy.leaderboard_periods.paid IS 'Prizes that were paid.';
COMMENT ON COLUMN economy.leaderboard_periods.refused IS
    'Prizes that could not be paid: rows of leaderboard_refusals.';
COMMENT ON COLUMN economy.leaderboard_periods.paid_at IS
    'When all prizes were paid; null before that.';

CREATE TABLE economy.leaderboard_scores (
    user_id   bigint NOT NULL,
    board     text   NOT NULL COLLATE "C",
    first_day date   NOT NULL,
    place     bigint NOT NULL,
    CONSTRAINT leaderboard_scores_pkey PRIMARY KEY (user_id, board, first_day)
);
CREATE INDEX leaderboard_scores_place_idx
    ON economy.leaderboard_scores (board, first_day, place, user_id);
SELECT pg_catalog.pg_extension_config_dump('economy.leaderboard_scores', '');
COMMENT ON TABLE economy.leaderboard_scores IS 'Who is on a leaderboard, and where.';
COMMENT ON COLUMN economy.leaderboard_scores.place IS
    'What is less is better: the figure, with the other sign where more of it is better.';

CREATE TABLE economy.leaderboard_refusals (
    board      text        NOT NULL COLLATE "C",
    first_day  date        NOT NULL,
    user_id    bigint      NOT NULL,
    rank       bigint      NOT NULL
        CONSTRAINT leaderboard_refusals_rank_check CHECK (rank >= 1),
    prize      jsonb       NOT NULL,
    code       text        NOT NULL COLLATE "C",
    refused_at timestamptz NOT NULL,
    again      boolean     NOT NULL DEFAULT false,
    CONSTRAINT leaderboard_refusals_pkey PRIMARY KEY (board, first_day, user_id)
);
CREATE INDEX leaderboard_refusals_again_idx
    ON economy.leaderboard_refusals (board, first_day, user_id) WHERE again;
SELECT pg_catalog.pg_extension_config_dump('economy.leaderboard_refusals', '');
COMMENT ON TABLE economy.leaderboard_refusals IS
    'Prizes of closed periods that could not be paid, until retry_leaderboard_prizes() has led '
    'to their payment, or the period is not kept any more.';
COMMENT ON COLUMN economy.leaderboard_refusals.prize IS 'The tier of the prizes.';
COMMENT ON COLUMN economy.leaderboard_refusals.code IS
    'The code with which grant_reward() refuses, or the SQLSTATE of the error that it raised.';
COMMENT ON COLUMN economy.leaderboard_refusals.refused_at IS 'When it was refused last.';
COMMENT ON COLUMN economy.leaderboard_refusals.again IS
    'Whether pay_leaderboard_prizes() is to try it again.';

-- What is read for a rank does not grow with the users of one place, nor much with all of them:
-- a bucket has some thousand users, or one place.
CREATE TABLE economy_internal.leaderboard_buckets (
    board     text   NOT NULL COLLATE "C",
    first_day date   NOT NULL,
    low       bigint NOT NULL,
    users     bigint NOT NULL
        CONSTRAINT leaderboard_buckets_users_check CHECK (users >= 0),
    CONSTRAINT leaderboard_buckets_pkey PRIMARY KEY (board, first_day, low)
) WITH (fillfactor = 70);
SELECT pg_catalog.pg_extension_config_dump('economy_internal.leaderboard_buckets', '');
COMMENT ON TABLE economy_internal.leaderboard_buckets IS
    'How many users of a board have a place from low on and before the low of the next bucket; '
    'the first begins with the least number there is.';

CREATE TABLE economy_internal.leaderboard_queue (
    user_id bigint NOT NULL CONSTRAINT leaderboard_queue_pkey PRIMARY KEY
);
SELECT pg_catalog.pg_extension_config_dump('economy_internal.leaderboard_queue', '');
COMMENT ON TABLE economy_internal.leaderboard_queue IS
    'Users whose figures may have changed since refresh_leaderboards() looked at them.';

CREATE TABLE economy_internal.leaderboard_state (
    only_row  boolean     NOT NULL DEFAULT true CONSTRAINT leaderboard_state_pkey PRIMARY KEY
        CONSTRAINT leaderboard_state_only_row_check CHECK (only_row),
    position  bigint      NOT NULL,
    read_at   timestamptz NOT NULL,
    next_user bigint,
    fills     bigint      NOT NULL
);
SELECT pg_catalog.pg_extension_config_dump('economy_internal.leaderboard_state', '');
COMMENT ON TABLE economy_internal.leaderboard_state IS
    'How far refresh_leaderboards() is; no row while no leaderboard is active.';
COMMENT ON COLUMN economy_internal.leaderboard_state.position IS
    'Users with entries of a lesser position, other than actions, were put into the queue.';
COMMENT ON COLUMN economy_internal.leaderboard_state.read_at IS 'When that was.';
COMMENT ON COLUMN economy_internal.leaderboard_state.next_user IS
    'The next batch takes users of the queue from this one on; null: from the first.';
COMMENT ON COLUMN economy_internal.leaderboard_state.fills IS
    'How often rollup_stats() has looked for new actions.';

-- The catalogue

CREATE FUNCTION economy_internal.check_leaderboard(leaderboard jsonb, was economy.leaderboards)
    RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH tiers AS (
            SELECT t.tier, t.n
            FROM jsonb_array_elements(CASE jsonb_typeof(leaderboard -> 'prizes')
                                      WHEN 'array' THEN leaderboard -> 'prizes' ELSE '[]' END)
                WITH ORDINALITY t (tier, n)
        ), says AS (
            SELECT 1 AS place, format('%s is no such column that can be set', to_json(k)) AS says
            FROM jsonb_object_keys(leaderboard) k
            WHERE k NOT IN ('board', 'figure', 'game', 'item_id', 'period', 'first_day',
                            'last_day', 'ascending', 'min_games', 'audience', 'keep', 'active',
                            'prizes', 'texts', 'extra')
            UNION ALL
            SELECT 2, k || ' is fixed when a leaderboard is made'
            FROM unnest(ARRAY['figure', 'game', 'item_id', 'period', 'ascending', 'min_games',
                              'audience']) k
            WHERE (was).board IS NOT NULL AND leaderboard ? k
              AND leaderboard -> k IS DISTINCT FROM to_jsonb(was) -> k
            UNION ALL
            -- a word such as today would be another day tomorrow
            SELECT 3, k || ' must be a day like 2026-01-31'
            FROM unnest(ARRAY['first_day', 'last_day']) k
            WHERE jsonb_typeof(leaderboard -> k) <> 'null'
              AND leaderboard ->> k !~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}$'
            UNION ALL
            SELECT 4, format('no game is called %s', leaderboard -> 'game')
            WHERE leaderboard ->> 'game' IS NOT NULL
              AND NOT EXISTS (SELECT FROM economy.games g WHERE g.game = leaderboard ->> 'game')
            UNION ALL
            SELECT 5, format('no item that is counted in units is called %s',
                             leaderboard -> 'item_id')
            WHERE leaderboard ->> 'item_id' IS NOT NULL
              AND NOT EXISTS (SELECT FROM economy.items i
                              WHERE i.item_id = leaderboard ->> 'item_id' AND i.kind <> 'pass')
            UNION ALL
            SELECT 6, 'prizes must be 100 tiers or less' WHERE (SELECT count(*) FROM tiers) > 100
            UNION ALL
            SELECT 7, format('tier %s of prizes must have upto (a rank) or percent (above 0, to '
                             '100), and gold, xp (0 to 2^53-1) or items', t.n)
            FROM tiers t
            WHERE CASE WHEN jsonb_typeof(t.tier) <> 'object' THEN true
                  ELSE EXISTS (SELECT FROM jsonb_object_keys(t.tier) k
                               WHERE k NOT IN ('upto', 'percent', 'gold', 'xp', 'items'))
                       OR (t.tier ? 'upto') = (t.tier ? 'percent')
                       OR NOT t.tier ?| ARRAY['gold', 'xp', 'items']
                       OR EXISTS (SELECT FROM jsonb_each(t.tier) e
                                  WHERE CASE WHEN e.key = 'items'
                                        THEN jsonb_typeof(e.value) <> 'object'
                                        WHEN jsonb_typeof(e.value) <> 'number' THEN true
                                        WHEN e.key = 'percent'
                                        THEN NOT (e.value::numeric > 0 AND e.value::numeric <= 100)
                                        ELSE e.value::numeric NOT BETWEEN (e.key = 'upto')::integer
                                                 AND 9007199254740991
                                             OR e.value::numeric <> trunc(e.value::numeric) END)
                  END
            UNION ALL
            SELECT 9, format('items of tier %s of prizes must be an object of 1 to 16 items, each '
                             'with a whole number from 1 to 2^53-1', t.n)
            FROM tiers t
            WHERE jsonb_typeof(t.tier) = 'object' AND t.tier ? 'items'
              AND NOT economy_internal.amounts_sound(t.tier -> 'items')
            UNION ALL
            SELECT 8, format('tier %s of prizes: %s must be 1 to 2^53-1 of an item that there is',
                             t.n, to_json(i.key))
            FROM tiers t
            CROSS JOIN LATERAL jsonb_each(CASE WHEN jsonb_typeof(t.tier -> 'items') = 'object'
                                          THEN t.tier -> 'items' ELSE '{}' END) i
            WHERE NOT EXISTS (SELECT FROM economy.items k WHERE k.item_id = i.key)
               OR CASE WHEN jsonb_typeof(i.value) <> 'number' THEN true
                  ELSE i.value::numeric NOT BETWEEN 1 AND 9007199254740991
                       OR i.value::numeric <> trunc(i.value::numeric) END
        )
        SELECT s.says FROM says s ORDER BY s.place, s.says LIMIT 1;
    END;
COMMENT ON FUNCTION economy_internal.check_leaderboard(jsonb, economy.leaderboards) IS
    'What is wrong with a leaderboard given to upsert_leaderboard(), beyond what the constraints '
    'of leaderboards say; null when nothing is.';

CREATE FUNCTION economy_internal.leaderboard_period(
    period text, day date, season_first date, season_last date,
    OUT first_day date, OUT last_day date
)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT f.first_day, CASE period
                   WHEN 'all' THEN date 'infinity'
                   WHEN 'day' THEN f.first_day
                   WHEN 'week' THEN f.first_day + 6
                   WHEN 'month' THEN (f.first_day + interval '1 month')::date - 1
                   ELSE season_last END
        FROM (SELECT CASE period
                  WHEN 'all' THEN date '-infinity'
                  WHEN 'day' THEN day
                  WHEN 'week' THEN day - extract(isodow FROM day)::integer + 1
                  WHEN 'month' THEN day - extract(day FROM day)::integer + 1
                  ELSE season_first END AS first_day) f;
    END;
COMMENT ON FUNCTION economy_internal.leaderboard_period(text, date, date, date) IS
    'The period that a day of UTC is in; of seasons the one that counts.';

CREATE FUNCTION economy_internal.leaderboard_open(board text, day date, filled boolean)
    RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    WITH made AS (
        INSERT INTO economy.leaderboard_periods AS p (board, first_day, last_day, fill_from)
            SELECT b.board, d.first_day, d.last_day,
                   CASE WHEN NOT filled THEN '-9223372036854775808'::bigint END
            FROM economy.leaderboards b
            CROSS JOIN LATERAL economy_internal.leaderboard_period(
                b.period, leaderboard_open.day, b.first_day, b.last_day) d
            WHERE b.board = leaderboard_open.board
            ON CONFLICT ON CONSTRAINT leaderboard_periods_pkey DO NOTHING
            RETURNING p.board, p.first_day
    )
    INSERT INTO economy_internal.leaderboard_buckets
        SELECT m.board, m.first_day, '-9223372036854775808', 0 FROM made m;
END
$$;
COMMENT ON FUNCTION economy_internal.leaderboard_open(text, date, boolean) IS
    'Makes the period of a board that a day is in, unless it is there.';

CREATE FUNCTION economy.upsert_leaderboard(leaderboard jsonb, actor text)
    RETURNS economy.leaderboards
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    SET TimeZone = 'UTC' SET DateStyle = 'ISO, YMD' AS $$
DECLARE
    old_row   economy.leaderboards;
    new_row   economy.leaderboards;
    id        text := leaderboard ->> 'board';
    today     CONSTANT date := (economy.now() AT TIME ZONE 'UTC')::date;
    wrong     text;
    failed    text;
    at_column text;
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.require_given('leaderboard', leaderboard IS NOT NULL);
    IF jsonb_typeof(leaderboard) <> 'object' OR id IS NULL THEN
        RAISE EXCEPTION 'leaderboard must be a JSON object with a board' USING ERRCODE = 'XE503';
    END IF;
    PERFORM economy_internal.open_tables(
        'leaderboards', 'config_changes', 'games', 'items', 'leaderboard_periods',
        'economy_internal.leaderboard_buckets', 'economy_internal.rollup_state');
    -- nor beside a rollup or a refresh, to which it is not there yet
    PERFORM economy_internal.lock_name('economy.rollup_stats');
    SELECT * INTO old_row FROM economy.leaderboards b WHERE b.board = id FOR NO KEY UPDATE;
    wrong := economy_internal.check_leaderboard(leaderboard, old_row);
    IF wrong IS NULL THEN
        BEGIN
            new_row := old_row;
            IF old_row.board IS NULL THEN
                new_row := jsonb_populate_record(
                    NULL::economy.leaderboards,
                    '{"ascending": false, "min_games": 1, "audience": "active", "active": true,
                      "prizes": [], "texts": {}, "extra": {}}');
            END IF;
            new_row := jsonb_populate_record(new_row, leaderboard);
            IF old_row.board IS NULL THEN
                INSERT INTO economy.leaderboards SELECT (new_row).*;
            ELSE
                UPDATE economy.leaderboards b SET
                    first_day = new_row.first_day, last_day = new_row.last_day,
                    keep = new_row.keep, active = new_row.active, prizes = new_row.prizes,
                    texts = new_row.texts, extra = new_row.extra
                WHERE b.board = id;
            END IF;
            IF EXISTS (SELECT FROM economy.leaderboard_periods p
                       WHERE p.board = id AND p.first_day = new_row.first_day
                         AND p.last_day <> new_row.last_day AND p.closed_at IS NOT NULL) THEN
                wrong := 'the season that begins on that first_day is closed';
            END IF;
        EXCEPTION WHEN data_exception OR check_violation OR not_null_violation THEN
            GET STACKED DIAGNOSTICS
                wrong = MESSAGE_TEXT, failed = CONSTRAINT_NAME, at_column = COLUMN_NAME;
            wrong := economy_internal.violation(
                'leaderboards', leaderboard, wrong, failed, at_column);
        END;
    END IF;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'leaderboard "%" is not valid', id
            USING ERRCODE = 'XE503', DETAIL = wrong || '.',
            HINT = 'The keys are the column names of economy.leaderboards.';
    END IF;
    IF new_row.active THEN
        -- the days, weeks and months that follow are the refreshes' to make
        IF old_row.active IS NOT TRUE OR new_row.period = 'season' THEN
            PERFORM economy_internal.leaderboard_open(id, today, false);
        END IF;
        -- what it did not see while it was not active, or does not count any more
        UPDATE economy.leaderboard_periods p SET
                last_day = CASE WHEN p.first_day = new_row.first_day THEN new_row.last_day
                                ELSE p.last_day END,
                fill_from = '-9223372036854775808', awaits = NULL, await_fills = NULL
            WHERE p.board = id AND p.closed_at IS NULL
              AND (NOT old_row.active
                   OR (p.first_day = new_row.first_day AND p.last_day <> new_row.last_day));
    END IF;
    -- one with an older snapshot does not know the board: it is to fail
    UPDATE economy_internal.rollup_state s SET next_user = s.next_user;
    PERFORM economy.note_change(
        'leaderboards', id, CASE WHEN old_row.board IS NULL THEN 'create' ELSE 'change' END,
        actor);
    RETURN new_row;
END
$$;
COMMENT ON FUNCTION economy.upsert_leaderboard(jsonb, text) IS
    'Creates a leaderboard, or changes the given columns of one: what it counts is fixed; keys are '
    'the column names of leaderboards. refresh_leaderboards() fills it. '
    'Recorded with actor, before and after. XE503 for one that is not valid.';

-- Ranks

CREATE FUNCTION economy_internal.leaderboard_rank(board text, first_day date, place bigint)
    RETURNS bigint
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    own    bigint;
    before bigint;
    beside bigint;
BEGIN
    SELECT b.low INTO own FROM economy_internal.leaderboard_buckets b
        WHERE b.board = leaderboard_rank.board AND b.first_day = leaderboard_rank.first_day
          AND b.low <= leaderboard_rank.place
        ORDER BY b.low DESC LIMIT 1;
    SELECT coalesce(sum(b.users), 0) INTO before FROM economy_internal.leaderboard_buckets b
        WHERE b.board = leaderboard_rank.board AND b.first_day = leaderboard_rank.first_day
          AND b.low < own;
    SELECT count(*) INTO beside FROM economy.leaderboard_scores s
        WHERE s.board = leaderboard_rank.board AND s.first_day = leaderboard_rank.first_day
          AND s.place >= own AND s.place < leaderboard_rank.place;
    RETURN 1 + before + beside;
END
$$;
COMMENT ON FUNCTION economy_internal.leaderboard_rank(text, date, bigint) IS
    'The rank that a place has, or would have: 1 and how many are before it.';

CREATE FUNCTION economy_internal.leaderboard_page(
    board text, first_day date, after_place bigint, after_user bigint, n integer
) RETURNS TABLE (rank bigint, user_id bigint, place bigint)
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    users  bigint[];
    places bigint[];
    second integer;
    ties   bigint;
BEGIN
    SELECT array_agg(p.user_id ORDER BY p.place, p.user_id),
           array_agg(p.place ORDER BY p.place, p.user_id)
    INTO users, places
    FROM (SELECT s.user_id, s.place FROM economy.leaderboard_scores s
          WHERE s.board = leaderboard_page.board AND s.first_day = leaderboard_page.first_day
            AND (s.place, s.user_id) > (after_place, after_user)
          ORDER BY s.place, s.user_id LIMIT n) p;
    -- who else has the place of the first is not counted; from the second place on all are here
    FOR i IN 1 .. coalesce(cardinality(users), 0) LOOP
        IF i = 1 THEN
            rank := economy_internal.leaderboard_rank(board, first_day, places[i]);
        ELSIF second IS NULL AND places[i] > places[1] THEN
            SELECT count(*) INTO ties
                FROM (SELECT FROM economy.leaderboard_scores s
                      WHERE s.board = leaderboard_page.board
                        AND s.first_day = leaderboard_page.first_day AND s.place = places[1]
                      ORDER BY s.board, s.first_day, s.place, s.user_id LIMIT 1000) k;
            rank := CASE WHEN ties < 1000 THEN rank + ties
                         ELSE economy_internal.leaderboard_rank(board, first_day, places[i]) END;
            second := rank - i;
        ELSIF places[i] > places[i - 1] THEN
            rank := second + i;
        END IF;
        user_id := users[i];
        place := places[i];
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION economy_internal.leaderboard_page(text, date, bigint, bigint, integer) IS
    'The next users of a board behind a place and a user, with their ranks.';

-- The counting

CREATE FUNCTION economy_internal.leaderboard_depth(users bigint) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    RETURN greatest(200, floor(sqrt(users::numeric) / 2))::bigint;
COMMENT ON FUNCTION economy_internal.leaderboard_depth(bigint) IS
    'How many users a bucket should have on a board of so many.';

CREATE FUNCTION economy_internal.leaderboard_split(
    board text, first_day date, low bigint, depth bigint
) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    most  CONSTANT bigint := 9223372036854775807;
    upto  bigint;    -- the last place that belongs to it
    least bigint;
    last  bigint;
BEGIN
    SELECT b.low - 1 INTO upto FROM economy_internal.leaderboard_buckets b
        WHERE b.board = leaderboard_split.board AND b.first_day = leaderboard_split.first_day
          AND b.low > leaderboard_split.low
        ORDER BY b.low LIMIT 1;
    upto := coalesce(upto, most);
    SELECT s.place INTO least FROM economy.leaderboard_scores s
        WHERE s.board = leaderboard_split.board AND s.first_day = leaderboard_split.first_day
          AND s.place >= low AND s.place <= upto ORDER BY s.place LIMIT 1;
    SELECT s.place INTO last FROM economy.leaderboard_scores s
        WHERE s.board = leaderboard_split.board AND s.first_day = leaderboard_split.first_day
          AND s.place >= low AND s.place <= upto ORDER BY s.place DESC LIMIT 1;
    -- one place that has the end of the bucket for itself cannot be split
    IF least IS NULL OR (least = last AND last = upto) THEN
        RETURN;
    END IF;
    WITH places AS (
        SELECT s.place, count(*) AS n FROM economy.leaderboard_scores s
        WHERE s.board = leaderboard_split.board AND s.first_day = leaderboard_split.first_day
          AND s.place >= low AND s.place <= upto
        GROUP BY s.place
    ), summed AS (
        SELECT p.place, p.n, div(sum(p.n) OVER w - p.n, depth) AS part,
               lag(p.n) OVER w AS n_before
        FROM places p WINDOW w AS (ORDER BY p.place)
    ), cut AS (
        -- a place of very many has a bucket for itself
        SELECT m.place, m.n, m.n >= depth OR m.n_before >= depth
                   OR m.part IS DISTINCT FROM lag(m.part) OVER (ORDER BY m.place) AS begins
        FROM summed m
    ), numbered AS (
        SELECT c.place, c.n, count(*) FILTER (WHERE c.begins) OVER (ORDER BY c.place) AS number
        FROM cut c
    ), parts AS (
        SELECT u.number, max(u.place) AS last, sum(u.n)::bigint AS users
        FROM numbered u GROUP BY u.number
    ), fresh AS (
        SELECT coalesce(lag(r.last) OVER (ORDER BY r.number) + 1, leaderboard_split.low) AS low,
               r.users
        FROM parts r
        UNION ALL
        -- nor who comes behind them
        SELECT r.last + 1, 0
        FROM (SELECT q.last, q.users FROM parts q ORDER BY q.number DESC LIMIT 1) r
        WHERE r.users >= depth AND r.last < upto
    )
    INSERT INTO economy_internal.leaderboard_buckets AS b
        SELECT leaderboard_split.board, leaderboard_split.first_day, f.low, f.users FROM fresh f
        ON CONFLICT ON CONSTRAINT leaderboard_buckets_pkey DO UPDATE SET users = excluded.users;
END
$$;
COMMENT ON FUNCTION economy_internal.leaderboard_split(text, date, bigint, bigint) IS
    'Makes several buckets of one that has grown, of about depth users each; what they count is '
    'counted anew.';

CREATE FUNCTION economy_internal.leaderboard_join(
    board text, first_day date, low bigint, depth bigint
) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    own    bigint;
    before economy_internal.leaderboard_buckets;
BEGIN
    SELECT b.users INTO own FROM economy_internal.leaderboard_buckets b
        WHERE b.board = leaderboard_join.board AND b.first_day = leaderboard_join.first_day
          AND b.low = leaderboard_join.low;
    SELECT * INTO before FROM economy_internal.leaderboard_buckets b
        WHERE b.board = leaderboard_join.board AND b.first_day = leaderboard_join.first_day
          AND b.low < leaderboard_join.low
        ORDER BY b.low DESC LIMIT 1;
    IF own IS NULL OR before.low IS NULL OR own + before.users > depth / 2 THEN
        RETURN;
    END IF;
    DELETE FROM economy_internal.leaderboard_buckets b
        WHERE b.board = leaderboard_join.board AND b.first_day = leaderboard_join.first_day
          AND b.low = leaderboard_join.low;
    UPDATE economy_internal.leaderboard_buckets b SET users = b.users + own
        WHERE b.board = before.board AND b.first_day = before.first_day AND b.low = before.low;
END
$$;
COMMENT ON FUNCTION economy_internal.leaderboard_join(text, date, bigint, bigint) IS
    'Puts a bucket that has become small into the one before it, when that is small as well.';

CREATE FUNCTION economy_internal.leaderboard_set(
    boards text[], first_days date[], user_ids bigint[], places bigint[]
) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    -- place by place: a join would read whole tables for a few of them
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
    SET jit = off AS $$
DECLARE
    written bigint;
    touched jsonb;
    t       record;
BEGIN
    -- EXECUTE, so that it is planned for the tables as they are now
    EXECUTE $query$
        WITH changed AS MATERIALIZED (
            SELECT f.board, f.first_day, f.user_id, f.place, s.place AS was, s.at
            FROM unnest($1, $2, $3, $4) f (board, first_day, user_id, place)
            LEFT JOIN LATERAL (
                -- by the primary key, also while nothing is known of the table: by the other
                -- index it would read the board for each user
                SELECT o.place, o.ctid AS at FROM economy.leaderboard_scores o
                WHERE (o.user_id, o.board, o.first_day) >= (f.user_id, f.board, f.first_day)
                  AND (o.user_id, o.board, o.first_day) <= (f.user_id, f.board, f.first_day)
                OFFSET 0) s ON true
            WHERE f.place IS DISTINCT FROM s.place
        ), gone AS (
            DELETE FROM economy.leaderboard_scores s WHERE s.ctid = ANY (ARRAY(
                SELECT c.at FROM changed c WHERE c.place IS NULL))
        ), written AS (
            INSERT INTO economy.leaderboard_scores AS s (user_id, board, first_day, place)
                SELECT c.user_id, c.board, c.first_day, c.place FROM changed c
                WHERE c.place IS NOT NULL
                ON CONFLICT ON CONSTRAINT leaderboard_scores_pkey
                    DO UPDATE SET place = excluded.place
        ), moved AS MATERIALIZED (
            SELECT m.board, m.first_day, b.low, sum(m.n) AS n
            FROM (SELECT c.board, c.first_day, c.place, 1 AS n FROM changed c
                  WHERE c.place IS NOT NULL
                  UNION ALL
                  SELECT c.board, c.first_day, c.was, -1 FROM changed c WHERE c.was IS NOT NULL) m
            CROSS JOIN LATERAL (
                SELECT k.low FROM economy_internal.leaderboard_buckets k
                WHERE k.board = m.board AND k.first_day = m.first_day AND k.low <= m.place
                ORDER BY k.low DESC LIMIT 1) b
            GROUP BY 1, 2, 3
        ), counted AS (
            UPDATE economy_internal.leaderboard_buckets b SET users = b.users + m.n
            FROM moved m
            WHERE m.n <> 0 AND b.board = m.board AND b.first_day = m.first_day AND b.low = m.low
            RETURNING b.board, b.first_day, b.low, b.users
        ), summed AS (
            UPDATE economy.leaderboard_periods p SET users = p.users + m.n
            FROM (SELECT v.board, v.first_day, sum(v.n) AS n FROM moved v GROUP BY 1, 2) m
            WHERE m.n <> 0 AND p.board = m.board AND p.first_day = m.first_day
        )
        SELECT (SELECT count(*) FROM changed),
               (SELECT jsonb_agg(to_jsonb(c) ORDER BY c.board, c.first_day, c.low) FROM counted c)
        $query$ INTO written, touched USING boards, first_days, user_ids, places;
    FOR t IN
        SELECT r.board, r.first_day, r.low, r.users,
               economy_internal.leaderboard_depth(p.users) AS depth
        FROM jsonb_to_recordset(touched)
            r (board text, first_day date, low bigint, users bigint)
        JOIN economy.leaderboard_periods p ON p.board = r.board AND p.first_day = r.first_day
        ORDER BY r.board, r.first_day, r.low DESC
    LOOP
        IF t.users > 2 * t.depth THEN
            PERFORM economy_internal.leaderboard_split(t.board, t.first_day, t.low, t.depth);
        ELSIF t.users < t.depth / 4 THEN
            PERFORM economy_internal.leaderboard_join(t.board, t.first_day, t.low, t.depth);
        END IF;
    END LOOP;
    RETURN written;
END
$$;
COMMENT ON FUNCTION economy_internal.leaderboard_set(text[], date[], bigint[], bigint[]) IS
    'Puts users at their places, null for none, and counts them in the buckets; how many of them '
    'were elsewhere.';
