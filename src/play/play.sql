-- play: games, actions, statistics, rollups, retention

CREATE TABLE economy.games (
    game       text        NOT NULL COLLATE "C" CONSTRAINT games_pkey PRIMARY KEY
        CONSTRAINT games_game_check CHECK (octet_length(game) BETWEEN 1 AND 64),
    rules      jsonb       NOT NULL DEFAULT '{}'
        CONSTRAINT games_rules_check CHECK (jsonb_typeof(rules) = 'object'),
    builtin    boolean     NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL
);
-- a fixed date: the rows are the same in every installation
INSERT INTO economy.games (game, builtin, created_at)
    SELECT g, true, '2000-01-01 00:00:00+00' FROM unnest(ARRAY['crash', 'gacha', 'rps', 'slot']) g;
SELECT pg_catalog.pg_extension_config_dump('economy.games', 'WHERE NOT builtin');
COMMENT ON TABLE economy.games IS
    'Games that actions may name; crash, slot, gacha and rps are there from the start.';

CREATE TABLE economy.user_actions (
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
    bet               bigint      NOT NULL,
    win               bigint      NOT NULL,
    live              boolean     NOT NULL,
    hash              bytea       NOT NULL,
    outcome           text        NOT NULL COLLATE "C" CONSTRAINT user_actions_outcome_check
        CHECK (outcome IN ('win', 'loss', 'draw')),
    game              text        NOT NULL COLLATE "C",
    action_type       text        NOT NULL COLLATE "C",
    action_id         text        NOT NULL COLLATE "C",
    details           jsonb,
    CONSTRAINT user_actions_pkey PRIMARY KEY (user_id, seq)
);
-- no two are equal but by accident, and nothing is gained by looking for such
CREATE INDEX user_actions_key ON economy.user_actions (user_id, key_digest)
    WITH (deduplicate_items = off);
SELECT economy_internal.make_journal('economy.user_actions');
COMMENT ON TABLE economy.user_actions IS
    'Journal of game actions. Append-only; prune() replaces old entries by a signed checkpoint.';
COMMENT ON COLUMN economy.user_actions.key_digest IS
    'Digest of game and action_id, by which the index finds them.';

CREATE TABLE economy_internal.game_stats_more (
    user_id        bigint      NOT NULL,
    game           text        NOT NULL COLLATE "C",
    wins           bigint      NOT NULL,
    losses         bigint      NOT NULL,
    draws          bigint      NOT NULL,
    max_win        bigint      NOT NULL,
    bet_sum        bigint      NOT NULL,
    win_sum        bigint      NOT NULL,
    last_action_at timestamptz NOT NULL,
    CONSTRAINT game_stats_more_pkey PRIMARY KEY (user_id, game),
    CONSTRAINT game_stats_more_total_check
        CHECK (least(wins, losses, draws) >= 0 AND wins <= 9223372036854775807 - losses - draws)
) WITH (fillfactor = 70);
SELECT pg_catalog.pg_extension_config_dump('economy_internal.game_stats_more', '');
COMMENT ON TABLE economy_internal.game_stats_more IS
    'Statistics of games for which there was no room in the account of their user.';

CREATE FUNCTION economy_internal.games_of(sections bytea) RETURNS TABLE (
    game text, wins bigint, losses bigint, draws bigint, max_win bigint, bet_sum bigint,
    win_sum bigint, last_action_at timestamptz
)
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 4 AS 'MODULE_PATHNAME', 'eco_games_of';
COMMENT ON FUNCTION economy_internal.games_of(bytea) IS
    'Statistics of the games that stand in an account; of what is damaged those in front of it.';

CREATE FUNCTION economy_internal.games_sound(sections bytea, further boolean) RETURNS boolean
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_games_sound';
COMMENT ON FUNCTION economy_internal.games_sound(bytea, boolean) IS
    'Whether the statistics of games in an account can be read, and say that there are further '
    'ones in game_stats_more if, and only if, there are.';

CREATE FUNCTION economy_internal.with_game(
    sections bytea, game text, wins bigint, losses bigint, draws bigint, max_win bigint,
    bet_sum bigint, win_sum bigint, last_action_at timestamptz
) RETURNS bytea
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_with_game';
COMMENT ON FUNCTION economy_internal.with_game(
    bytea, text, bigint, bigint, bigint, bigint, bigint, bigint, timestamptz) IS
    'An account''s sections with other statistics of a game, or without it when wins is null: for '
    'who corrects statistics that stats_parity() found to be wrong.';

-- from the account on: a join with some users looks these up
CREATE VIEW economy.game_stats AS
    SELECT a.user_id, g.game, g.wins + g.losses + g.draws AS total, g.wins, g.losses, g.draws,
           g.max_win, g.bet_sum, g.win_sum, g.last_action_at
    FROM economy.accounts a CROSS JOIN LATERAL (
        SELECT p.game COLLATE "C" AS game, p.wins, p.losses, p.draws, p.max_win, p.bet_sum,
               p.win_sum, p.last_action_at
        FROM economy_internal.games_of(a.sections) p
        UNION ALL
        SELECT m.game, m.wins, m.losses, m.draws, m.max_win, m.bet_sum, m.win_sum,
               m.last_action_at
        FROM economy_internal.game_stats_more m WHERE m.user_id = a.user_id) g;
COMMENT ON VIEW economy.game_stats IS
    'Statistics per user and game, written with every action in its transaction.';

CREATE TYPE economy.action_result AS (
    success        boolean,
    state          text,
    code           text,
    transaction_id text,
    gold_delta     bigint,
    gold           bigint,
    total          bigint,
    wins           bigint,
    losses         bigint,
    max_win        bigint,
    retry_after_ms integer,
    detail         jsonb
);
COMMENT ON TYPE economy.action_result IS 'Result of record_action() and record_actions().';

CREATE FUNCTION economy.record_action(
    user_id bigint, game text, action_type text, action_id text, bet bigint DEFAULT 0,
    win bigint DEFAULT 0, outcome text DEFAULT NULL, details jsonb DEFAULT NULL,
    xp bigint DEFAULT 0
) RETURNS economy.action_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_record_action';
COMMENT ON FUNCTION economy.record_action(
    bigint, text, text, text, bigint, bigint, text, jsonb, bigint) IS
    'Records a game action once per (user, game, action_id): win - bet moves the gold, '
    'xp is given, the statistics count it. A null outcome is derived: win > bet wins, '
    'win < bet loses, equal is a draw.';

CREATE FUNCTION economy.record_action_code(
    user_id bigint, game text, action_type text, action_id text, bet bigint DEFAULT 0,
    win bigint DEFAULT 0, outcome text DEFAULT NULL, details jsonb DEFAULT NULL,
    xp bigint DEFAULT 0
) RETURNS text
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_record_action';
COMMENT ON FUNCTION economy.record_action_code(
    bigint, text, text, text, bigint, bigint, text, jsonb, bigint) IS
    'record_action(), of whose result it returns the code alone.';

CREATE FUNCTION economy.record_actions(actions jsonb) RETURNS SETOF economy.action_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_record_actions';
COMMENT ON FUNCTION economy.record_actions(jsonb) IS
    'record_action() for an array of {user_id, game, action_type, action_id, bet, win, outcome, '
    'details, xp} in one transaction; a row per element, in their order.';

CREATE FUNCTION economy.record_actions(
    user_ids bigint[], games text[], action_types text[], action_ids text[],
    bets bigint[] DEFAULT NULL, wins bigint[] DEFAULT NULL, outcomes text[] DEFAULT NULL,
    details jsonb[] DEFAULT NULL, xp bigint[] DEFAULT NULL
) RETURNS SETOF economy.action_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_record_actions';
COMMENT ON FUNCTION economy.record_actions(
    bigint[], text[], text[], text[], bigint[], bigint[], text[], jsonb[], bigint[]) IS
    'The same with arrays of as many elements each.';

CREATE FUNCTION economy.game_stats_me(user_id bigint) RETURNS jsonb
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_game_stats_me';
COMMENT ON FUNCTION economy.game_stats_me(bigint) IS
    'The user''s statistics as one document, with every registered game, '
    'zeros where it was never played.';

CREATE FUNCTION economy.register_game(name text, rules jsonb DEFAULT '{}') RETURNS text
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    PERFORM economy_internal.require_given('name', name IS NOT NULL);
    PERFORM economy_internal.require_given('rules', rules IS NOT NULL);
    IF octet_length(name) NOT BETWEEN 1 AND 64 THEN
        RAISE EXCEPTION 'a game''s name has 1 to 64 bytes' USING ERRCODE = 'XE002';
    END IF;
    IF jsonb_typeof(rules) <> 'object' THEN
        RAISE EXCEPTION 'rules must be a JSON object' USING ERRCODE = 'XE002';
    END IF;
    PERFORM economy_internal.open_tables('games');
    IF EXISTS (SELECT FROM economy.games g WHERE g.game = name AND g.builtin) THEN
        IF rules <> '{}' THEN
            RAISE EXCEPTION 'game "%" is built in and has no rules of its own', name
                USING ERRCODE = 'XE002', HINT = 'Register a game of another name.';
        END IF;
        RETURN name;
    END IF;
    INSERT INTO economy.games AS g (game, rules, created_at) VALUES (name, rules, economy.now())
        ON CONFLICT ON CONSTRAINT games_pkey DO UPDATE SET rules = excluded.rules;
    PERFORM economy.note_change('games', name, 'register', session_user::text);
    RETURN name;
END
$$;
COMMENT ON FUNCTION economy.register_game(text, jsonb) IS
    'Makes a game known to record_action(); '
    'a second call changes its rules. Games are never removed.';

-- Daily rollup. A user's entries commit in the order of seq, so a position per
-- user is exact under late commits, crashes and repeated calls. Who has new actions
-- is told by the feed's positions: what was not visible when the last reader began
-- has a greater one than the oldest transaction that ran then. Those users wait in
-- a queue, so that a backlog is read once, however small the batches are.

CREATE TABLE economy.user_game_stats_summary (
    user_id        bigint      NOT NULL,
    day            date        NOT NULL,
    game           text        NOT NULL COLLATE "C",
    total          bigint      NOT NULL,
    wins           bigint      NOT NULL,
    losses         bigint      NOT NULL,
    draws          bigint      NOT NULL,
    max_win        bigint      NOT NULL,
    bet_sum        bigint      NOT NULL,
    win_sum        bigint      NOT NULL,
    last_action_at timestamptz NOT NULL,
    CONSTRAINT user_game_stats_summary_pkey PRIMARY KEY (user_id, day, game)
) WITH (fillfactor = 80);
SELECT pg_catalog.pg_extension_config_dump('economy.user_game_stats_summary', '');
COMMENT ON TABLE economy.user_game_stats_summary IS
    'Statistics per user, UTC day and game, filled by rollup_stats().';

CREATE TABLE economy_internal.rollup_positions (
    user_id   bigint NOT NULL CONSTRAINT rollup_positions_pkey PRIMARY KEY,
    seq       bigint NOT NULL,
    oldest_at timestamptz
) WITH (fillfactor = 70);
-- prune() takes the users in this order
CREATE INDEX rollup_positions_oldest_at_idx
    ON economy_internal.rollup_positions (oldest_at, user_id)
    WHERE oldest_at IS NOT NULL;
SELECT pg_catalog.pg_extension_config_dump('economy_internal.rollup_positions', '');
COMMENT ON TABLE economy_internal.rollup_positions IS
    'Entry up to which each user''s actions are in user_game_stats_summary.';
COMMENT ON COLUMN economy_internal.rollup_positions.oldest_at IS
    'Time of the first rolled-up action that prune() could delete; null for none. '
    'A stream with findings is put off.';

CREATE TABLE economy_internal.rollup_queue (
    user_id bigint NOT NULL CONSTRAINT rollup_queue_pkey PRIMARY KEY
);
SELECT pg_catalog.pg_extension_config_dump('economy_internal.rollup_queue', '');
COMMENT ON TABLE economy_internal.rollup_queue IS
    'Users with actions that rollup_stats() has seen and not rolled up yet.';

CREATE TABLE economy_internal.rollup_state (
    only_row   boolean NOT NULL DEFAULT true CONSTRAINT rollup_state_pkey PRIMARY KEY
        CONSTRAINT rollup_state_only_row_check CHECK (only_row),
    position   bigint  NOT NULL,
    summarized bigint  NOT NULL,
    next_user  bigint
);
SELECT pg_catalog.pg_extension_config_dump('economy_internal.rollup_state', '');
COMMENT ON TABLE economy_internal.rollup_state IS
    'How far rollup_stats() has looked for users with new actions; no row before the first time, '
    'or archive.';
COMMENT ON COLUMN economy_internal.rollup_state.position IS
    'Actions with a lesser position were seen.';
COMMENT ON COLUMN economy_internal.rollup_state.summarized IS
    'Pages of the journal up to it are summarised in its index on position.';
COMMENT ON COLUMN economy_internal.rollup_state.next_user IS
    'Users wait in rollup_queue from this one on; null for none. '
    'What was taken out of it is never read again.';

CREATE FUNCTION economy_internal.summarize_actions(done bigint) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    pages  CONSTANT bigint := 32;    -- of a range
    -- the last range is left to the writers
    ranges bigint := pg_relation_size('economy.user_actions')
                     / current_setting('block_size')::bigint / pages - 1;
    i      bigint;
BEGIN
    IF economy_internal.is_spread('economy.user_actions') THEN
        PERFORM economy_internal.summarise_parts('economy.user_actions');
        RETURN done;
    END IF;
    IF done / pages >= ranges AND done / pages <= ranges + 1 THEN
        RETURN done;
    END IF;
    BEGIN
        -- whoever has this lock summarises as well, VACUUM above all
        LOCK TABLE economy.user_actions IN SHARE UPDATE EXCLUSIVE MODE NOWAIT;
    EXCEPTION WHEN lock_not_available THEN
        RETURN done;
    END;
    -- a table that shrank begins again
    i := CASE WHEN done / pages <= ranges THEN done / pages ELSE 0 END;
    ranges := least(ranges, i + 1000);
    WHILE i < ranges LOOP
        PERFORM brin_summarize_range('economy.user_actions_position_idx', i * pages);
        i := i + 1;
    END LOOP;
    RETURN i * pages;
END
$$;
COMMENT ON FUNCTION economy_internal.summarize_actions(bigint) IS
    'Part of rollup_stats(): a range of pages without a summary is read each time; '
    'returns up to which page there are summaries now.';

CREATE FUNCTION economy_internal.fill_rollup_queue() RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET jit = off AS $$
DECLARE
    state economy_internal.rollup_state;
    -- of a snapshot that is older than that of the statement that reads the journal
    here  bigint := economy_internal.position_of(
        pg_snapshot_xmin(pg_current_snapshot())::text::bigint);
    first bigint;
BEGIN
    SELECT * INTO state FROM economy_internal.rollup_state;
    -- EXECUTE, and the bound stands in the statement, so that it is planned for what it finds
    EXECUTE format($query$
        WITH queued AS (
            INSERT INTO economy_internal.rollup_queue
            SELECT n.user_id
            FROM (SELECT t.user_id, max(t.seq) AS seq FROM economy.user_actions t
                  WHERE t.position >= %s GROUP BY t.user_id OFFSET 0) n
            LEFT JOIN LATERAL (SELECT p.seq FROM economy_internal.rollup_positions p
                               WHERE p.user_id = n.user_id OFFSET 0) p ON true
            WHERE n.seq > coalesce(p.seq, 0)
            -- the queue is empty, but a snapshot may be too old to see who is in it
            ON CONFLICT ON CONSTRAINT rollup_queue_pkey DO NOTHING RETURNING user_id
        )
        SELECT min(user_id) FROM queued
        $query$, coalesce(state.position, 0)) INTO first;
    IF state IS NULL THEN
        -- where the row of the state was lost, others may wait in the queue
        SELECT min(q.user_id) INTO first FROM economy_internal.rollup_queue q;
    END IF;
    -- leaderboards ask whether this was after the end of a period
    UPDATE economy_internal.leaderboard_state l SET fills = l.fills + 1
        WHERE EXISTS (SELECT FROM economy.leaderboards b WHERE b.active);
    INSERT INTO economy_internal.rollup_state AS s (position, summarized, next_user)
        VALUES (here, economy_internal.summarize_actions(coalesce(state.summarized, 0)), first)
        ON CONFLICT ON CONSTRAINT rollup_state_pkey DO UPDATE SET
            position = excluded.position, summarized = excluded.summarized,
            next_user = excluded.next_user
        WHERE (s.position, s.summarized, s.next_user)
              IS DISTINCT FROM (excluded.position, excluded.summarized, excluded.next_user);
    RETURN first;
END
$$;
COMMENT ON FUNCTION economy_internal.fill_rollup_queue() IS
    'Part of rollup_stats(): puts the users with new actions into rollup_queue, '
    'and returns the first of them, null for none.';

CREATE FUNCTION economy.rollup_stats(max_users integer DEFAULT 100000)
    RETURNS TABLE (users bigint, actions bigint, rows_written bigint)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    -- a queue that is worked off has more dead rows than others, and statistics that do not fit
    SET enable_seqscan = off SET jit = off AS $$
DECLARE
    first bigint;
    last  bigint;
BEGIN
    PERFORM economy_internal.require_positive('max_users', max_users);
    PERFORM economy_internal.open_tables(
        'user_actions', 'accounts', 'economy_internal.rollup_positions',
        'economy_internal.rollup_queue', 'economy_internal.rollup_state',
        'user_game_stats_summary', 'leaderboards', 'economy_internal.leaderboard_queue',
        'economy_internal.leaderboard_state');
    -- one rollup at a time; the next one begins where this one ends
    PERFORM economy_internal.lock_name('economy.rollup_stats');
    SELECT s.next_user INTO first FROM economy_internal.rollup_state s;
    first := coalesce(first, economy_internal.fill_rollup_queue());
    IF first IS NULL THEN
        RETURN QUERY SELECT 0::bigint, 0::bigint, 0::bigint;
        RETURN;
    END IF;
    SELECT max(n.user_id) INTO last
        FROM (SELECT q.user_id FROM economy_internal.rollup_queue q WHERE q.user_id >= first
              ORDER BY q.user_id LIMIT max_users) n;
    UPDATE economy_internal.rollup_state SET next_user = (
        SELECT q.user_id FROM economy_internal.rollup_queue q WHERE q.user_id > last
        ORDER BY q.user_id LIMIT 1);
    RETURN QUERY
    WITH taken AS MATERIALIZED (
        DELETE FROM economy_internal.rollup_queue q WHERE q.user_id BETWEEN first AND last
        RETURNING q.user_id
    ), fresh AS MATERIALIZED (
        -- user by user, here and below: a join would read every one of them
        SELECT k.user_id, coalesce(p.seq, 0) AS after_seq, a.seq AS upto_seq, a.pruned_seq,
               p.oldest_at
        FROM taken k
        CROSS JOIN LATERAL (SELECT b.seq, b.pruned_seq FROM economy.accounts b
                            WHERE b.user_id = k.user_id OFFSET 0) a
        LEFT JOIN LATERAL (SELECT r.seq, r.oldest_at FROM economy_internal.rollup_positions r
                           WHERE r.user_id = k.user_id OFFSET 0) p ON true
        WHERE a.seq > coalesce(p.seq, 0)
    ), counted AS MATERIALIZED (
        SELECT u.user_id, (u.created_at AT TIME ZONE 'UTC')::date AS day, u.game,
               count(*) AS total, count(*) FILTER (WHERE u.outcome = 'win') AS wins,
               count(*) FILTER (WHERE u.outcome = 'loss') AS losses,
               count(*) FILTER (WHERE u.outcome = 'draw') AS draws,
               max(u.win) AS max_win, sum(u.bet)::bigint AS bet_sum, sum(u.win)::bigint AS win_sum,
               max(u.created_at) AS last_action_at
        FROM fresh f CROSS JOIN LATERAL (
            SELECT * FROM economy.user_actions t
            WHERE t.user_id = f.user_id AND t.seq > f.after_seq AND t.seq <= f.upto_seq
            -- an order that only the index on seq gives
            ORDER BY t.user_id, t.seq OFFSET 0) u
        GROUP BY 1, 2, 3
    ), moved AS (
        INSERT INTO economy_internal.rollup_positions AS p
            SELECT f.user_id, f.upto_seq, coalesce(f.oldest_at, (
                SELECT t.created_at FROM economy.user_actions t
                -- what an archive has put its checkpoint behind is not pruned
                WHERE t.user_id = f.user_id AND t.seq > greatest(f.after_seq, f.pruned_seq)
                  AND t.seq <= f.upto_seq
                ORDER BY t.seq LIMIT 1))
            FROM fresh f
            ON CONFLICT ON CONSTRAINT rollup_positions_pkey DO UPDATE
                SET seq = excluded.seq, oldest_at = excluded.oldest_at
    ), written AS (
        INSERT INTO economy.user_game_stats_summary AS s SELECT c.* FROM counted c
            ON CONFLICT ON CONSTRAINT user_game_stats_summary_pkey DO UPDATE SET
                total = s.total + excluded.total, wins = s.wins + excluded.wins,
                losses = s.losses + excluded.losses, draws = s.draws + excluded.draws,
                max_win = greatest(s.max_win, excluded.max_win),
                bet_sum = s.bet_sum + excluded.bet_sum, win_sum = s.win_sum + excluded.win_sum,
                last_action_at = greatest(s.last_action_at, excluded.last_action_at)
            RETURNING 1
    ), ranked AS (
        INSERT INTO economy_internal.leaderboard_queue SELECT f.user_id FROM fresh f
            WHERE EXISTS (SELECT FROM economy.leaderboards b WHERE b.active)
            ON CONFLICT ON CONSTRAINT leaderboard_queue_pkey DO NOTHING
    )
    SELECT (SELECT count(*) FROM fresh),
           (SELECT coalesce(sum(c.total), 0)::bigint FROM counted c),
           (SELECT count(*) FROM written);
END
$$;
COMMENT ON FUNCTION economy.rollup_stats(integer) IS
    'Adds the actions since the last call to user_game_stats_summary, each exactly once, '
    'for at most max_users users; users is 0 when nothing is left. With nothing to do it reads '
    'nothing that grows with the journal.';

-- Retention

CREATE TABLE economy.stream_checkpoints (
    user_id           bigint      NOT NULL CONSTRAINT stream_checkpoints_pkey PRIMARY KEY,
    seq               bigint      NOT NULL,
    gold              bigint      NOT NULL,
    experience_points bigint      NOT NULL,
    hash              bytea       NOT NULL,
    links_before      bytea       NOT NULL,
    links             bytea       NOT NULL,
    gone              bytea       NOT NULL,
    gone_keys         bytea       NOT NULL,
    archived          bytea       NOT NULL,
    proved_seq        bigint      NOT NULL,
    key_version       integer     NOT NULL,
    signature         bytea       NOT NULL,
    created_at        timestamptz NOT NULL
);
SELECT pg_catalog.pg_extension_config_dump('economy.stream_checkpoints', '');
COMMENT ON TABLE economy.stream_checkpoints IS
    'Signed state of a stream at an entry; actions before it may have been pruned, and others '
    'archived.';
COMMENT ON COLUMN economy.stream_checkpoints.links IS
    'Hash of a chain over the entries up to seq that were left, so that they stay verifiable.';
COMMENT ON COLUMN economy.stream_checkpoints.links_before IS
    'The same without the entry at seq, which the next prune may take: '
    'its checkpoint goes on from here.';
COMMENT ON COLUMN economy.stream_checkpoints.gone IS
    'Hash of a chain over the user''s rows of pruned_stats.';
COMMENT ON COLUMN economy.stream_checkpoints.gone_keys IS
    'Hash of a chain over the user''s rows of pruned_actions, in the order of seq.';
COMMENT ON COLUMN economy.stream_checkpoints.archived IS
    'Hash of a chain over the user''s rows of archives and of archived_keys; 32 zeros before the '
    'first archive.';
COMMENT ON COLUMN economy.stream_checkpoints.proved_seq IS
    'The stream was last proved as a whole when this was its newest entry; '
    'prunes up to it prove only what they sign.';

CREATE TABLE economy.pruned_stats (
    user_id        bigint      NOT NULL,
    game           text        NOT NULL COLLATE "C",
    day            date        NOT NULL,
    total          bigint      NOT NULL,
    wins           bigint      NOT NULL,
    losses         bigint      NOT NULL,
    draws          bigint      NOT NULL,
    max_win        bigint      NOT NULL,
    bet_sum        bigint      NOT NULL,
    win_sum        bigint      NOT NULL,
    last_action_at timestamptz NOT NULL,
    CONSTRAINT pruned_stats_pkey PRIMARY KEY (user_id, game, day)
);
SELECT pg_catalog.pg_extension_config_dump('economy.pruned_stats', '');
COMMENT ON TABLE economy.pruned_stats IS
    'Statistics of the pruned actions per UTC day, so that parity stays exact.';

CREATE TABLE economy.pruned_actions (
    user_id bigint NOT NULL,
    key     uuid   NOT NULL,
    seq     bigint NOT NULL,
    CONSTRAINT pruned_actions_pkey PRIMARY KEY (user_id, key)
);
SELECT pg_catalog.pg_extension_config_dump('economy.pruned_actions', '');
COMMENT ON TABLE economy.pruned_actions IS
    'Keys of the ids of pruned actions: none is ever counted again.';

CREATE FUNCTION economy_internal.action_key(game text, action_id text) RETURNS uuid
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_action_key';
COMMENT ON FUNCTION economy_internal.action_key(text, text) IS
    'Key of an action''s id in pruned_actions: half of a SHA-256.';

CREATE FUNCTION economy_internal.prune_streams(user_ids bigint[], seqs bigint[]) RETURNS bigint[]
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_prune_streams';
COMMENT ON FUNCTION economy_internal.prune_streams(bigint[], bigint[]) IS
    'Deletes actions of users, by ascending id, before an entry of each, '
    'behind a signed checkpoint there; the only way past the journal''s guard. '
    'For each the number of actions, or null, and nothing done, '
    'when verify_chain() found something: it is asked once for all prunes up to what was the '
    'newest entry then; after that each proves the part that it goes on by. prune() is the way in.';

CREATE FUNCTION economy_internal.prune_stream(user_id bigint, seq bigint) RETURNS bigint
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    RETURN (economy_internal.prune_streams(ARRAY[user_id], ARRAY[seq]))[1];
COMMENT ON FUNCTION economy_internal.prune_stream(bigint, bigint) IS 'prune_streams() of one user.';

CREATE FUNCTION economy_internal.prune_parts(
    cutoff timestamptz, max_users integer,
    OUT user_id bigint, OUT pruned bigint, OUT rolled_to bigint, OUT upto bigint
) RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    -- user by user: a join would read every one of them
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
    BEGIN ATOMIC
        WITH due AS MATERIALIZED (
            -- who is due longest is chosen
            SELECT p.user_id, p.seq
            FROM economy_internal.rollup_positions p
            WHERE p.oldest_at < cutoff
            ORDER BY p.oldest_at, p.user_id
            LIMIT max_users
        ), counted AS MATERIALIZED (
            SELECT d.user_id, d.seq AS rolled_to, a.pruned_seq,
                   row_number() OVER upto AS n, sum(a.seq) OVER upto AS entries
            FROM due d
            LEFT JOIN LATERAL (SELECT c.seq, c.pruned_seq FROM economy.accounts c
                               WHERE c.user_id = d.user_id OFFSET 0) a ON true
            WINDOW upto AS (ORDER BY d.user_id)
        )
        -- so many entries are read for the proof, or those of one long stream
        SELECT c.user_id, coalesce(c.pruned_seq, 0), c.rolled_to,
               CASE WHEN a.upto IS NOT NULL THEN least(a.upto, c.pruned_seq + 100000) END
        FROM counted c
        CROSS JOIN LATERAL (
            -- up to the entry before the first one that stays, and only what is rolled up
            SELECT max(s.seq) AS upto
            FROM (SELECT i.seq, bool_or(i.created_at >= cutoff) OVER (ORDER BY i.seq) AS stays
                  FROM (SELECT t.seq, t.created_at
                        FROM economy.user_actions t
                        WHERE t.user_id = c.user_id AND t.seq > c.pruned_seq
                          AND t.seq <= c.rolled_to
                        ORDER BY t.user_id, t.seq
                        LIMIT 20000) i) s
            WHERE NOT s.stays) a
        WHERE c.n = 1 OR c.entries <= 100000
        ORDER BY c.user_id;
    END;
COMMENT ON FUNCTION economy_internal.prune_parts(timestamptz, integer) IS
    'Part of prune(): which users a batch takes, by ascending id, and up to which entry of each; '
    'null where nothing is due.';

CREATE FUNCTION economy.prune(older_than interval DEFAULT '90 days', max_users integer DEFAULT 200)
    RETURNS TABLE (users bigint, actions bigint, damaged bigint, more boolean)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    SET TimeZone = 'UTC'
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
    SET jit = off AS $$
DECLARE
    cutoff  timestamptz;
    parts   record;
    deleted bigint[];
BEGIN
    PERFORM economy_internal.require_given('older_than', older_than IS NOT NULL);
    PERFORM economy_internal.require_given('max_users', max_users IS NOT NULL);
    BEGIN
        cutoff := economy.now() - older_than;
    EXCEPTION WHEN datetime_field_overflow THEN
        RAISE EXCEPTION 'older_than is longer than time is kept' USING ERRCODE = 'XE002',
            HINT = 'Take a day or more, and less than 6000 years.';
    END;
    -- as moments: an interval of '1 month -29 days' calls itself a day, and may be none
    IF cutoff > economy.now() - interval '24 hours' OR max_users < 1 THEN
        RAISE EXCEPTION 'older_than must be a day or more and max_users 1 or more'
            USING ERRCODE = 'XE002',
            HINT = 'A retry of a pruned action is refused with RESYNC_REQUIRED: '
                   'keep actions longer than clients retry.';
    END IF;
    PERFORM economy_internal.open_tables(
        'user_actions', 'accounts', 'economy_internal.rollup_positions', 'pruned_actions',
        'pruned_stats', 'stream_checkpoints', 'shop_transactions', 'reward_audit',
        'gold_adjustments');
    PERFORM economy_internal.lock_name('economy.rollup_stats');
    SELECT coalesce(array_agg(p.user_id ORDER BY p.user_id), '{}') AS users,
           array_agg(p.rolled_to ORDER BY p.user_id) AS rolled,
           coalesce(array_agg(coalesce(p.upto, p.pruned) ORDER BY p.user_id), '{}') AS upto,
           array_agg(p.upto IS NOT NULL ORDER BY p.user_id) AS due
    INTO parts
    FROM economy_internal.prune_parts(cutoff, max_users) p;
    deleted := economy_internal.prune_streams(parts.users, parts.upto);
    WITH done AS MATERIALIZED (
        SELECT * FROM unnest(parts.users, parts.rolled, parts.upto, parts.due, deleted)
            d (user_id, rolled, upto, due, deleted)
    ), noted AS (
        UPDATE economy_internal.rollup_positions p
        SET oldest_at = CASE
                -- nothing can be done for it today, and it must not keep the others waiting
                WHEN d.deleted IS NULL THEN cutoff + interval '24 hours'
                ELSE (SELECT t.created_at FROM economy.user_actions t
                      WHERE t.user_id = d.user_id AND t.seq > d.upto AND t.seq <= d.rolled
                      ORDER BY t.user_id, t.seq
                      LIMIT 1)
            END
        FROM done d
        WHERE p.user_id = d.user_id
    )
    SELECT count(d.deleted) FILTER (WHERE d.due), coalesce(sum(d.deleted), 0),
           count(*) FILTER (WHERE d.deleted IS NULL)
    INTO users, actions, damaged
    FROM done d;
    more := EXISTS (SELECT FROM economy_internal.rollup_positions p WHERE p.oldest_at < cutoff);
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION economy.prune(interval, integer) IS
    'Deletes rolled-up actions older than that, behind a signed checkpoint per user, '
    'those first whose oldest is due longest; more says that a further call finds more. '
    'Statistics, parity and the proof of what is left stay exact; an id is never counted again. '
    'A stream with findings is left alone for a day and counted as damaged.';

CREATE TYPE economy.parity_difference AS (
    user_id  bigint,
    source   text,
    game     text,
    day      date,
    expected jsonb,
    actual   jsonb
);
COMMENT ON TYPE economy.parity_difference IS
    'A statistics row that is not what its entries add up to.';

CREATE FUNCTION economy_internal.parity_of(users bigint[]) RETURNS SETOF economy.parity_difference
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        -- user by user throughout: a join would read whole tables for a few of them
        WITH chosen AS MATERIALIZED (
            SELECT a.user_id, a.seq, a.pruned_seq, a.sections, p.seq AS rolled_to, p.oldest_at
            FROM unnest(users) i (user_id)
            CROSS JOIN LATERAL (SELECT b.* FROM economy.accounts b
                                WHERE b.user_id = i.user_id OFFSET 0) a
            LEFT JOIN LATERAL (SELECT r.* FROM economy_internal.rollup_positions r
                               WHERE r.user_id = i.user_id OFFSET 0) p ON true
        ), parts AS (
            SELECT t.user_id, t.game, (t.created_at AT TIME ZONE 'UTC')::date AS day,
                   t.seq <= coalesce(c.rolled_to, 0) AS rolled,
                   count(*) AS total, count(*) FILTER (WHERE t.outcome = 'win') AS wins,
                   count(*) FILTER (WHERE t.outcome = 'loss') AS losses,
                   count(*) FILTER (WHERE t.outcome = 'draw') AS draws,
                   max(t.win) AS max_win, sum(t.bet) AS bet_sum, sum(t.win) AS win_sum,
                   max(t.created_at) AS last_action_at
            FROM chosen c
            CROSS JOIN LATERAL (SELECT u.* FROM economy.user_actions u
                                WHERE u.user_id = c.user_id OFFSET 0) t
            GROUP BY 1, 2, 3, 4
            UNION ALL
            -- only what was rolled up is ever pruned
            SELECT s.user_id, s.game, s.day, true, s.total, s.wins, s.losses, s.draws,
                   s.max_win, s.bet_sum, s.win_sum, s.last_action_at
            FROM chosen c
            CROSS JOIN LATERAL (SELECT q.* FROM economy.pruned_stats q
                                WHERE q.user_id = c.user_id OFFSET 0) s
        ), days AS MATERIALIZED (
            SELECT m.user_id, m.game, m.day, m.rolled,
                   sum(m.total) AS total, sum(m.wins) AS wins, sum(m.losses) AS losses,
                   sum(m.draws) AS draws, max(m.max_win) AS max_win, sum(m.bet_sum) AS bet_sum,
                   sum(m.win_sum) AS win_sum, max(m.last_action_at) AS last_action_at
            FROM parts m GROUP BY 1, 2, 3, 4
        ), entries AS (
            SELECT d.user_id, d.game,
                   sum(d.total) AS total, sum(d.wins) AS wins, sum(d.losses) AS losses,
                   sum(d.draws) AS draws, max(d.max_win) AS max_win, sum(d.bet_sum) AS bet_sum,
                   sum(d.win_sum) AS win_sum, max(d.last_action_at) AS last_action_at
            FROM days d GROUP BY 1, 2
        )
        SELECT coalesce(e.user_id, s.user_id), 'game_stats', coalesce(e.game, s.game), NULL::date,
               to_jsonb(e), to_jsonb(s)
        FROM entries e FULL JOIN (
            SELECT g.* FROM chosen c
            CROSS JOIN LATERAL (SELECT t.* FROM economy.game_stats t
                                WHERE t.user_id = c.user_id OFFSET 0) g) s
            ON s.user_id = e.user_id AND s.game = e.game
        WHERE (e.total, e.wins, e.losses, e.draws, e.max_win, e.bet_sum, e.win_sum,
               e.last_action_at)
              IS DISTINCT FROM (s.total, s.wins, s.losses, s.draws, s.max_win, s.bet_sum,
                                s.win_sum, s.last_action_at)
        UNION ALL
        -- and what the next action could not read, or would not look for
        SELECT c.user_id, 'game_stats', NULL, NULL::date, NULL::jsonb,
               jsonb_build_object('sections', c.sections)
        FROM chosen c
        WHERE NOT economy_internal.games_sound(c.sections, EXISTS (
            SELECT FROM economy_internal.game_stats_more m WHERE m.user_id = c.user_id))
        UNION ALL
        SELECT coalesce(d.user_id, s.user_id), 'user_game_stats_summary',
               coalesce(d.game, s.game), coalesce(d.day, s.day), to_jsonb(d), to_jsonb(s)
        FROM (SELECT * FROM days WHERE rolled) d
        FULL JOIN (
            SELECT g.* FROM chosen c
            CROSS JOIN LATERAL (SELECT t.* FROM economy.user_game_stats_summary t
                                WHERE t.user_id = c.user_id OFFSET 0) g) s
            ON s.user_id = d.user_id AND s.game = d.game AND s.day = d.day
        WHERE (d.total, d.wins, d.losses, d.draws, d.max_win, d.bet_sum, d.win_sum,
               d.last_action_at)
              IS DISTINCT FROM (s.total, s.wins, s.losses, s.draws, s.max_win, s.bet_sum,
                                s.win_sum, s.last_action_at)
        UNION ALL
        -- a position ahead of the stream would pass over what comes
        SELECT c.user_id, 'rollup_positions', NULL, NULL::date,
               jsonb_build_object('seq_at_most', c.seq), jsonb_build_object('seq', c.rolled_to)
        FROM chosen c WHERE c.rolled_to > c.seq OR c.rolled_to < 0
        UNION ALL
        -- and prune() would not find a user whose oldest action is not noted
        SELECT c.user_id, 'rollup_positions', NULL, NULL::date,
               jsonb_build_object('oldest_at', f.created_at),
               jsonb_build_object('oldest_at', c.oldest_at)
        FROM chosen c
        LEFT JOIN LATERAL (
            SELECT t.created_at FROM economy.user_actions t
            WHERE t.user_id = c.user_id AND t.seq > c.pruned_seq AND t.seq <= c.rolled_to
            ORDER BY t.seq LIMIT 1) f ON true
        WHERE (f.created_at IS NULL) <> (c.oldest_at IS NULL);
    END;
COMMENT ON FUNCTION economy_internal.parity_of(bigint[]) IS
    'stats_parity() of these users, in work that depends on their entries alone.';

CREATE FUNCTION economy_internal.parity_strays() RETURNS SETOF economy.parity_difference
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT s.user_id, s.source, s.game, s.day, NULL::jsonb, s.actual
        FROM (SELECT g.user_id, 'game_stats' AS source, g.game, NULL::date AS day,
                     to_jsonb(g) AS actual
              FROM economy_internal.game_stats_more g
              UNION ALL
              SELECT u.user_id, 'user_game_stats_summary', u.game, u.day, to_jsonb(u)
              FROM economy.user_game_stats_summary u
              UNION ALL
              SELECT p.user_id, 'pruned_stats', p.game, p.day, to_jsonb(p)
              FROM economy.pruned_stats p
              UNION ALL
              SELECT r.user_id, 'rollup_positions', NULL, NULL, to_jsonb(r)
              FROM economy_internal.rollup_positions r) s
        WHERE NOT EXISTS (SELECT FROM economy.accounts a WHERE a.user_id = s.user_id);
    END;
COMMENT ON FUNCTION economy_internal.parity_strays() IS
    'Part of stats_parity(): statistics and positions of users that do not exist.';

CREATE FUNCTION economy.stats_parity(sample integer DEFAULT NULL)
    RETURNS SETOF economy.parity_difference
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    batch   CONSTANT integer := 10000;
    users   bigint[];
    last_id bigint := -9223372036854775808;
    known   double precision;
BEGIN
    PERFORM economy_internal.require_limit('sample', sample);
    PERFORM economy_internal.open_tables(
        'accounts', 'economy_internal.game_stats_more', 'pruned_stats',
        'economy_internal.rollup_positions', 'user_actions', 'user_game_stats_summary');
    IF sample IS NOT NULL THEN
        -- of many accounts a random tenth of what would do is drawn by pages
        SELECT c.reltuples INTO known FROM pg_class c
            WHERE c.oid = 'economy.accounts'::regclass;
        IF known > 100000 AND known > 10.0 * sample THEN
            users := ARRAY(
                SELECT s.user_id
                FROM (SELECT a.user_id FROM economy.accounts a
                      TABLESAMPLE SYSTEM (100.0 * 10.0 * greatest(sample, 100) / known)) s
                ORDER BY random() LIMIT sample);
        ELSE
            users := ARRAY(SELECT a.user_id FROM economy.accounts a ORDER BY random() LIMIT sample);
        END IF;
        RETURN QUERY SELECT * FROM economy_internal.parity_of(users);
        RETURN;
    END IF;
    LOOP
        users := ARRAY(SELECT a.user_id FROM economy.accounts a WHERE a.user_id > last_id
                       ORDER BY a.user_id LIMIT batch);
        EXIT WHEN cardinality(users) = 0;
        last_id := users[cardinality(users)];
        RETURN QUERY SELECT * FROM economy_internal.parity_of(users);
    END LOOP;
    RETURN QUERY SELECT * FROM economy_internal.parity_strays();
END
$$;
COMMENT ON FUNCTION economy.stats_parity(integer) IS
    'Recomputes statistics and rollups from the entries and returns the rows that differ, '
    'for all users or a random sample; none means exact.';

-- Capture of the app's own tables

CREATE TABLE economy.capture_refusals (
    refusal_id bigint      GENERATED ALWAYS AS IDENTITY
        CONSTRAINT capture_refusals_pkey PRIMARY KEY,
    source     text        NOT NULL,
    user_id    bigint,
    external_id text,
    game       text        NOT NULL,
    action_id  text        NOT NULL,
    bet        bigint      NOT NULL,
    win        bigint      NOT NULL,
    code       text        NOT NULL,
    refused_at timestamptz NOT NULL
);
SELECT pg_catalog.pg_extension_config_dump('economy.capture_refusals', '');
SELECT pg_catalog.pg_extension_config_dump('economy.capture_refusals_refusal_id_seq', '');
COMMENT ON TABLE economy.capture_refusals IS
    'Rows that a capture trigger with the argument report could not record; '
    'of an unknown user the external id alone.';
COMMENT ON SEQUENCE economy.capture_refusals_refusal_id_seq IS
    'Numbers of capture_refusals.';

CREATE FUNCTION economy.capture_actions() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'eco_capture_actions';
COMMENT ON FUNCTION economy.capture_actions() IS
    'Trigger AFTER INSERT or AFTER UPDATE FOR EACH STATEMENT with a NEW TABLE on a table of '
    'the app: records its rows as actions, once they have a win. Arguments: '
    'user column (user_id, or external id), game, id column, bet column, win column; '
    'then raise (default) or report for refused rows, and prefix=text for the ids of the '
    'actions, which begin with the name of the table otherwise.';

-- Anomalies

CREATE TYPE economy.proportion_interval AS (lower double precision, upper double precision);
COMMENT ON TYPE economy.proportion_interval IS 'Confidence interval of a proportion.';

CREATE FUNCTION economy.wilson_interval(wins bigint, n bigint)
    RETURNS economy.proportion_interval
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_wilson_interval';
COMMENT ON FUNCTION economy.wilson_interval(bigint, bigint) IS
    'Wilson score interval at 95 % of wins in n games.';

CREATE FUNCTION economy_internal.binomial_tail(wins bigint, n bigint, p double precision)
    RETURNS double precision
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_binomial_tail';
COMMENT ON FUNCTION economy_internal.binomial_tail(bigint, bigint, double precision) IS
    'Probability of at least that many wins in n games that are won with probability p.';

CREATE FUNCTION economy.win_rate_anomalies(game text, q double precision DEFAULT 0.01)
    RETURNS TABLE (
        user_id bigint, games bigint, wins bigint, win_rate double precision,
        lower double precision, upper double precision, population_rate double precision,
        p_value double precision
    )
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.open_tables(
            'accounts', 'economy_internal.game_stats_more');
        WITH played AS (
            SELECT g.user_id, g.wins + g.losses AS games, g.wins
            FROM economy.game_stats g
            WHERE g.game = win_rate_anomalies.game AND g.wins + g.losses > 0
        ), population AS (
            SELECT sum(p.wins)::double precision / sum(p.games) AS rate FROM played p
        ), tested AS (
            SELECT p.*, o.rate, economy_internal.binomial_tail(p.wins, p.games, o.rate) AS p_value
            FROM played p CROSS JOIN population o WHERE p.games >= 20
        ), ranked AS (
            SELECT t.*, row_number() OVER (ORDER BY t.p_value, t.user_id) AS rank,
                   count(*) OVER () AS tests
            FROM tested t
        ), cut AS (
            -- Benjamini and Hochberg, J. R. Stat. Soc. B 57 (1995): the largest rank under its line
            SELECT max(r.rank) AS rank FROM ranked r
            WHERE r.p_value <= win_rate_anomalies.q * r.rank / r.tests
        )
        SELECT r.user_id, r.games, r.wins, r.wins::double precision / r.games,
               w.lower, w.upper, r.rate, r.p_value
        FROM ranked r CROSS JOIN cut CROSS JOIN LATERAL economy.wilson_interval(r.wins, r.games) w
        WHERE r.rank <= cut.rank AND w.lower > r.rate
        ORDER BY r.p_value, r.user_id;
    END;
COMMENT ON FUNCTION economy.win_rate_anomalies(text, double precision) IS
    'Players of a game, with 20 decided games or more, who win beyond the population''s rate: '
    'Wilson lower bound above it, and significant at false discovery rate q '
    '(Benjamini-Hochberg over exact binomial tests).';
