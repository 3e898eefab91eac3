-- segment: the days of purchases that scores come from, and how they follow the journal

CREATE FUNCTION economy_internal.rfm_pack_add(
    state internal, at timestamptz, monetary bigint, seq bigint
) RETURNS internal
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_rfm_pack_add';
COMMENT ON FUNCTION economy_internal.rfm_pack_add(internal, timestamptz, bigint, bigint) IS
    'Step of the aggregate rfm_pack().';
CREATE FUNCTION economy_internal.rfm_pack_end(state internal) RETURNS bytea
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_rfm_pack_end';
COMMENT ON FUNCTION economy_internal.rfm_pack_end(internal) IS 'End of the aggregate rfm_pack().';
CREATE AGGREGATE economy_internal.rfm_pack(at timestamptz, monetary bigint, seq bigint) (
    SFUNC = economy_internal.rfm_pack_add, STYPE = internal, SSPACE = 400,
    FINALFUNC = economy_internal.rfm_pack_end, PARALLEL = SAFE
);
COMMENT ON AGGREGATE economy_internal.rfm_pack(timestamptz, bigint, bigint) IS
    'A user''s purchases as packed daily buckets; any order of rows.';

CREATE FUNCTION economy_internal.rfm_merge(a bytea, b bytea) RETURNS bytea
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_rfm_merge';
COMMENT ON FUNCTION economy_internal.rfm_merge(bytea, bytea) IS
    'The days of two packed strings together.';

CREATE FUNCTION economy_internal.rfm_buckets(
    buckets bytea,
    OUT day date, OUT purchases bigint, OUT monetary bigint, OUT first_at timestamptz,
    OUT last_at timestamptz, OUT first_seq bigint, OUT last_seq bigint
) RETURNS SETOF record
    LANGUAGE c IMMUTABLE PARALLEL SAFE ROWS 10 AS 'MODULE_PATHNAME', 'eco_rfm_buckets';
COMMENT ON FUNCTION economy_internal.rfm_buckets(bytea) IS
    'The days of packed buckets, the newest first.';

CREATE VIEW economy.rfm_days AS
    SELECT u.user_id, b.day, b.purchases, b.monetary, b.first_at, b.last_at, b.first_seq, b.last_seq
    FROM economy.user_segments u CROSS JOIN LATERAL economy_internal.rfm_buckets(u.buckets) b;
COMMENT ON VIEW economy.rfm_days IS
    'Daily buckets: purchases and their sum per user and UTC day, as of the last refresh.';

CREATE FUNCTION economy_internal.rfm_window(
    user_id bigint, buckets bytea, as_of timestamptz, window_us bigint,
    OUT last_on date, OUT frequency bigint, OUT monetary bigint
)
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_rfm_window';
COMMENT ON FUNCTION economy_internal.rfm_window(bigint, bytea, timestamptz, bigint) IS
    'Day of the last purchase up to as_of, and number and sum of those in the window before it, '
    'in microseconds, 0 for all time.';

CREATE FUNCTION economy_internal.rfm_reverse(user_id bigint, seq bigint) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    PERFORM economy_internal.require_given('user_id', user_id IS NOT NULL);
    PERFORM economy_internal.require_given('seq', seq IS NOT NULL);
    PERFORM economy_internal.open_tables(
        'shop_transactions', 'archived_keys', 'economy_internal.rfm_reversals');
    IF NOT EXISTS (SELECT FROM economy_internal.shop_purchases t
                   WHERE t.user_id = rfm_reverse.user_id AND t.seq = rfm_reverse.seq) THEN
        RETURN false;
    END IF;
    INSERT INTO economy_internal.rfm_reversals (user_id, seq) VALUES (user_id, seq)
        ON CONFLICT ON CONSTRAINT rfm_reversals_pkey DO NOTHING;
    IF found THEN
        RETURN true;
    END IF;
    IF NOT EXISTS (SELECT FROM economy_internal.rfm_reversals r
                   WHERE r.user_id = rfm_reverse.user_id AND r.seq = rfm_reverse.seq) THEN
        RAISE EXCEPTION 'a purchase would count although it is taken back' USING ERRCODE = 'XE103',
            HINT = 'Look for a BEFORE trigger or a rule on economy_internal.rfm_reversals that '
                   'suppresses rows.';
    END IF;
    RETURN false;
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_reverse(bigint, bigint) IS
    'Takes a purchase that was reversed out of its day at the next refresh; '
    'false when it is out already or there is none. For the function that reverses '
    'purchases, in its transaction.';

CREATE FUNCTION economy_internal.rfm_installation() RETURNS bigint
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- a copy in the same cluster is another one, too: what it brings was not there before
    RETURN (SELECT hashtextextended(format('%s %s %s', c.system_identifier, d.oid, e.oid), 0)
            FROM pg_control_system() c
            CROSS JOIN pg_database d CROSS JOIN pg_extension e
            WHERE d.datname = current_database() AND e.extname = 'economy');
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_installation() IS
    'Digest of what names this installation: cluster, database and extension.';

CREATE FUNCTION economy_internal.rfm_unsee(state economy.rfm_state) RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT CASE WHEN state.installation = economy_internal.rfm_installation()
                    THEN state.seen_before ELSE 0 END;
    END;
COMMENT ON FUNCTION economy_internal.rfm_unsee(economy.rfm_state) IS
    'The first transaction whose purchases may not be in the buckets yet.';

CREATE VIEW economy_internal.rfm_purchases AS
    SELECT t.user_id, t.seq, t.created_at, t.monetary, t.xact, t.position
    FROM economy_internal.shop_purchases t
    WHERE t.status = 'SUCCESS'
      AND NOT EXISTS (SELECT FROM economy_internal.rfm_reversals r
                      WHERE r.user_id = t.user_id AND r.seq = t.seq);
COMMENT ON VIEW economy_internal.rfm_purchases IS
    'Purchases that count: those that were not reversed.';

CREATE FUNCTION economy_internal.rfm_due_hour(at timestamptz) RETURNS timestamptz
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_rfm_due_hour';
COMMENT ON FUNCTION economy_internal.rfm_due_hour(timestamptz) IS
    'The UTC hour of a moment, by which rfm_due is kept.';

-- Whoever changes next_change_at to another hour says so here, in the same transaction.
CREATE FUNCTION economy_internal.rfm_await(users bigint[], hours timestamptz[]) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    -- the plan that a session keeps is for an empty table, too
    SET search_path = pg_catalog, economy, pg_temp SET enable_seqscan = off AS $$
BEGIN
    INSERT INTO economy_internal.rfm_due (due_hour, chunk, users)
        SELECT w.due_hour,
               coalesce((SELECT max(d.chunk) FROM economy_internal.rfm_due d
                         WHERE d.due_hour = w.due_hour), 0) + 1,
               w.users
        FROM (SELECT n.due_hour, array_agg(n.user_id ORDER BY n.user_id) AS users
              FROM unnest(rfm_await.users, rfm_await.hours) n (user_id, due_hour)
              WHERE n.due_hour < 'infinity' GROUP BY n.due_hour) w;
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_await(bigint[], timestamptz[]) IS
    'Puts users into rfm_due, each by an hour of its own; null and infinity are no hour.';

CREATE FUNCTION economy_internal.rfm_take_due(as_of timestamptz) RETURNS bigint[]
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET enable_seqscan = off AS $$
DECLARE
    due bigint[];
BEGIN
    WITH taken AS (
        DELETE FROM economy_internal.rfm_due d WHERE d.due_hour <= as_of RETURNING d.users
    )
    SELECT coalesce(array_agg(DISTINCT n.user_id), '{}') INTO due
    FROM taken t CROSS JOIN LATERAL unnest(t.users) n (user_id) WHERE n.user_id IS NOT NULL;
    RETURN due;
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_take_due(timestamptz) IS
    'Takes the hours up to that of a moment out of rfm_due, and returns their users, rising: '
    'who of them is not due yet is to be put back.';

CREATE FUNCTION economy_internal.rfm_awaited(
    at timestamptz, OUT user_id bigint, OUT next_change_at timestamptz
) RETURNS SETOF record
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp SET enable_seqscan = off AS $$
BEGIN
    RETURN QUERY
        SELECT DISTINCT u.user_id, u.next_change_at
        FROM economy_internal.rfm_due d
        CROSS JOIN LATERAL unnest(d.users) n (user_id)
        JOIN economy.user_segments u USING (user_id)
        WHERE d.due_hour <= rfm_awaited.at AND u.next_change_at <= rfm_awaited.at;
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_awaited(timestamptz) IS
    'The users that rfm_due holds and whose row is no longer right at a moment.';

CREATE FUNCTION economy_internal.rfm_await_all(max_users integer DEFAULT 100000) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET enable_seqscan = off AS $$
DECLARE
    from_user bigint := -9223372036854775808;
    waiting   record;
BEGIN
    DELETE FROM economy_internal.rfm_due;
    -- in parts, so that neither what is gathered nor a chunk grows with the table
    LOOP
        SELECT array_agg(n.user_id) AS users, array_agg(n.due_hour) AS hours,
               max(n.user_id) AS last
        INTO waiting
        FROM (SELECT u.user_id, economy_internal.rfm_due_hour(u.next_change_at) AS due_hour
              FROM economy.user_segments u
              WHERE u.user_id >= from_user AND u.next_change_at < 'infinity'
              ORDER BY u.user_id LIMIT max_users) n;
        EXIT WHEN waiting.last IS NULL;
        PERFORM economy_internal.rfm_await(waiting.users, waiting.hours);
        EXIT WHEN waiting.last = 9223372036854775807;
        from_user := waiting.last + 1;
    END LOOP;
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_await_all(integer) IS
    'Makes rfm_due anew, out of the rows of user_segments, of so many users at a time.';

CREATE FUNCTION economy_internal.rfm_apply_reversals(
    first_user bigint DEFAULT '-9223372036854775808', last_user bigint DEFAULT 9223372036854775807
) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    awaited text;
BEGIN
    -- most often there is none, and the statement below is not even planned
    IF NOT EXISTS (SELECT FROM economy_internal.rfm_reversals r WHERE NOT r.applied) THEN
        RETURN;
    END IF;
    -- EXECUTE, so that it is planned for the tables as they are now
    EXECUTE $query$
        WITH taken AS (
            UPDATE economy_internal.rfm_reversals r SET applied = true
            WHERE NOT r.applied AND r.user_id BETWEEN $1 AND $2
            RETURNING r.user_id, r.seq
        ), recounted AS (
            -- next_change_at: so that the incremental refresh looks at them
            UPDATE economy.user_segments u SET next_change_at = '-infinity', buckets = coalesce((
                SELECT economy_internal.rfm_pack(t.created_at, t.monetary, t.seq)
                FROM economy_internal.rfm_purchases t
                WHERE t.user_id = u.user_id AND t.seq <= u.seq), '')
            WHERE u.user_id IN (
                SELECT k.user_id FROM taken k
                JOIN economy.user_segments s ON s.user_id = k.user_id AND k.seq <= s.seq)
            RETURNING u.user_id, u.next_change_at
        )
        SELECT economy_internal.rfm_await(array_agg(c.user_id), array_agg(c.next_change_at))
        FROM recounted c
        $query$ INTO awaited USING first_user, last_user;
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_apply_reversals(bigint, bigint) IS
    'Recounts the days of users with purchases that were reversed since the last refresh.';

CREATE VIEW economy_internal.rfm_unfolded AS
    SELECT t.user_id, t.seq, t.created_at, t.monetary, t.xact, t.position
    FROM economy_internal.shop_purchases t
    LEFT JOIN economy.user_segments u USING (user_id)
    WHERE t.status = 'SUCCESS' AND t.seq > coalesce(u.seq, 0)
      AND NOT EXISTS (SELECT FROM economy_internal.rfm_reversals r
                      WHERE r.user_id = t.user_id AND r.seq = t.seq);
COMMENT ON VIEW economy_internal.rfm_unfolded IS
    'Purchases that are not in the buckets yet; those since rfm_state.seen_before '
    'are all, and found by an index.';

CREATE FUNCTION economy_internal.rfm_fold(
    transaction bigint, unheld boolean,
    OUT user_id bigint, OUT first_seq bigint, OUT seq bigint, OUT since timestamptz,
    OUT buckets bytea
) RETURNS SETOF record
    LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_rfm_fold';
COMMENT ON FUNCTION economy_internal.rfm_fold(bigint, boolean) IS
    'Purchases of a transaction and later ones, as packed buckets of each user, '
    'in the order of users; or only those of them that user_segments does not hold.';

CREATE VIEW economy_internal.rfm_fresh AS
    SELECT f.user_id, f.seq, u.ctid AS place,
           -- a transaction that was open for long has the purchases of others read again
           CASE WHEN f.first_seq > coalesce(u.seq, 0) THEN f.since
                ELSE (SELECT min(t.created_at) FROM economy_internal.rfm_unfolded t
                      WHERE t.user_id = f.user_id) END AS since,
           CASE WHEN u.user_id IS NULL THEN f.buckets
                WHEN f.first_seq > u.seq THEN economy_internal.rfm_merge(u.buckets, f.buckets)
                ELSE economy_internal.rfm_merge(u.buckets, (
                    SELECT economy_internal.rfm_pack(t.created_at, t.monetary, t.seq)
                    FROM economy_internal.rfm_unfolded t WHERE t.user_id = f.user_id))
           END AS buckets
    FROM (SELECT coalesce((SELECT economy_internal.rfm_unsee(s) FROM economy.rfm_state s), 0)
              AS transaction) s
    CROSS JOIN LATERAL economy_internal.rfm_fold(s.transaction, s.transaction = 0) f
    LEFT JOIN economy.user_segments u USING (user_id)
    WHERE f.seq > coalesce(u.seq, 0);
COMMENT ON VIEW economy_internal.rfm_fresh IS
    'Users with purchases that are not in their buckets yet: where their row of user_segments '
    'is, and the buckets with them.';

CREATE FUNCTION economy_internal.rfm_rebuild(
    never text, first_user bigint DEFAULT NULL, last_user bigint DEFAULT NULL
) RETURNS bigint
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        DELETE FROM economy.user_segments u
        WHERE (first_user IS NULL OR u.user_id BETWEEN first_user AND last_user)
          AND NOT EXISTS (SELECT FROM economy.accounts a WHERE a.user_id = u.user_id);
        WITH folded AS MATERIALIZED (
            SELECT f.user_id, f.seq, f.buckets FROM economy_internal.rfm_fold(0, false) f
            WHERE first_user IS NULL
            UNION ALL
            SELECT t.user_id, max(t.seq), economy_internal.rfm_pack(t.created_at, t.monetary, t.seq)
            FROM economy_internal.rfm_purchases t
            WHERE t.user_id BETWEEN first_user AND last_user
            GROUP BY t.user_id
        ), last AS MATERIALIZED (
            SELECT DISTINCT ON (h.user_id) h.user_id, h.change_no, h.to_segment, h.changed_at
            FROM economy.segment_history h
            WHERE first_user IS NULL OR h.user_id BETWEEN first_user AND last_user
            ORDER BY h.user_id, h.change_no DESC
        ), repaired AS (
            UPDATE economy.user_segments u
            SET seq = d.seq, buckets = d.buckets, changes = d.changes, segment = d.segment,
                segment_since = d.segment_since
            FROM (SELECT u.user_id, coalesce(f.seq, 0) AS seq, coalesce(f.buckets, '') AS buckets,
                         coalesce(l.change_no, 0) AS changes,
                         coalesce(l.to_segment, u.segment) AS segment,
                         coalesce(l.changed_at, u.segment_since) AS segment_since
                  FROM economy.user_segments u
                  JOIN economy.accounts a USING (user_id)
                  LEFT JOIN folded f USING (user_id)
                  LEFT JOIN last l USING (user_id)
                  WHERE (first_user IS NULL OR u.user_id BETWEEN first_user AND last_user)
                    -- where the newest purchase was reversed, seq may be beyond those that count
                    AND (u.buckets <> coalesce(f.buckets, '')
                         OR u.seq NOT BETWEEN coalesce(f.seq, 0) AND a.seq
                         OR (u.changes, u.segment, u.segment_since) IS DISTINCT FROM
                            (coalesce(l.change_no, 0), coalesce(l.to_segment, u.segment),
                             coalesce(l.changed_at, u.segment_since)))) d
            WHERE u.user_id = d.user_id
            RETURNING 1
        ), added AS (
            INSERT INTO economy.user_segments
                (user_id, seq, segment, segment_since, changes, buckets)
            SELECT f.user_id, f.seq, coalesce(l.to_segment, never), l.changed_at,
                   coalesce(l.change_no, 0), f.buckets
            FROM folded f
            LEFT JOIN last l USING (user_id)
            WHERE NOT EXISTS (SELECT FROM economy.user_segments u WHERE u.user_id = f.user_id)
              AND EXISTS (SELECT FROM economy.accounts a WHERE a.user_id = f.user_id)
            RETURNING 1
        )
        SELECT (SELECT count(*) FROM repaired) + (SELECT count(*) FROM added);
    END;
COMMENT ON FUNCTION economy_internal.rfm_rebuild(text, bigint, bigint) IS
    'Compares user_segments with the journal and segment_history, and puts right what differs, '
    'of all users or of those from one to another; how many rows.';
