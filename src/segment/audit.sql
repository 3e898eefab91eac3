-- segment: comparison of what the refreshes keep with what it comes from

CREATE FUNCTION economy_internal.audit_segments(
    first_user bigint DEFAULT NULL, last_user bigint DEFAULT NULL
) RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC'
    SET datestyle = 'ISO, YMD' SET jit = off
    BEGIN ATOMIC
        WITH state AS MATERIALIZED (
            SELECT t.as_of, t.next_user,
                   CASE WHEN t.installation = economy_internal.rfm_installation()
                        THEN economy_internal.position_of(t.seen_before) END AS seen_before,
                   -- who compares with a damaged program finds everybody damaged
                   CASE WHEN s.program = p.program AND s.segments = p.segments
                        THEN s.program END AS program,
                   s.segments
            FROM economy.rfm_state t LEFT JOIN economy.rfm_snapshots s USING (snapshot_id)
            LEFT JOIN LATERAL economy_internal.rfm_program(s) p ON true
        ), held AS MATERIALIZED (
            SELECT coalesce(a.user_id, u.user_id) AS user_id, a.user_id IS NOT NULL AS known,
                   a.seq AS newest, u.user_id IS NOT NULL AS has_row, u.seq,
                   u.frequency, u.monetary, u.r, u.f, u.m, u.segment, u.segment_since,
                   u.next_change_at, u.changes, u.buckets,
                   coalesce((
                       SELECT economy_internal.rfm_pack(t.created_at, t.monetary, t.seq)
                       FROM economy_internal.shop_purchases t
                       WHERE t.user_id = u.user_id AND t.seq <= u.seq AND t.status = 'SUCCESS'
                         AND NOT EXISTS (
                             SELECT FROM economy_internal.rfm_reversals r
                             WHERE r.user_id = t.user_id AND r.seq = t.seq AND r.applied)),
                       '') AS right_buckets
            FROM (SELECT * FROM economy.accounts x
                  WHERE x.user_id BETWEEN coalesce(first_user, -9223372036854775808)
                                      AND coalesce(last_user, 9223372036854775807)) a
            FULL JOIN (SELECT * FROM economy.user_segments x
                       WHERE x.user_id BETWEEN coalesce(first_user, -9223372036854775808)
                                           AND coalesce(last_user, 9223372036854775807)) u
                USING (user_id)
        ), awaited AS MATERIALIZED (
            SELECT DISTINCT d.due_hour, n.user_id
            FROM economy_internal.rfm_due d CROSS JOIN LATERAL unnest(d.users) n (user_id)
            WHERE n.user_id BETWEEN coalesce(first_user, -9223372036854775808)
                                AND coalesce(last_user, 9223372036854775807)
        )
        SELECT h.user_id, 'orphan_row', 'an account', 'only a segment', NULL::text, NULL::bigint
        FROM held h WHERE NOT h.known
        UNION ALL
        SELECT h.user_id, 'parity', 'a place in rfm_due at the hour of ' || h.next_change_at,
               'none', NULL, NULL
        FROM held h
        WHERE h.known AND h.next_change_at < 'infinity'
          AND (economy_internal.rfm_due_hour(h.next_change_at), h.user_id)
              NOT IN (SELECT a.due_hour, a.user_id FROM awaited a)
        UNION ALL
        SELECT h.user_id, 'parity', 'buckets of the purchases up to ' || h.seq, 'others',
               NULL, NULL
        FROM held h
        WHERE h.known AND h.has_row
          AND (h.buckets IS DISTINCT FROM h.right_buckets OR h.seq > h.newest)
        UNION ALL
        SELECT h.user_id, 'parity', 'every purchase of before the last refresh',
               format('none of P%s-%s', h.user_id, l.seq), format('P%s-%s', h.user_id, l.seq),
               l.seq
        FROM held h CROSS JOIN state s
        CROSS JOIN LATERAL (
            SELECT min(t.seq) AS seq FROM economy_internal.shop_purchases t
            WHERE t.user_id = h.user_id AND t.seq > coalesce(h.seq, 0) AND t.status = 'SUCCESS'
              AND t.position < s.seen_before
              AND NOT EXISTS (SELECT FROM economy_internal.rfm_reversals r
                              WHERE r.user_id = t.user_id AND r.seq = t.seq)) l
        WHERE h.known AND l.seq IS NOT NULL
        UNION ALL
        SELECT h.user_id, 'parity',
               format('segment %s, scores %s%s%s, %s purchases of %s',
                      x.segment, x.r, x.f, x.m, x.frequency, x.monetary),
               format('segment %s, scores %s%s%s, %s purchases of %s',
                      h.segment, h.r, h.f, h.m, h.frequency, h.monetary), NULL, NULL
        FROM (SELECT k.*, s.as_of, s.program, s.segments FROM held k CROSS JOIN state s
              WHERE (k.user_id >= s.next_user) IS NOT TRUE AND k.known AND k.has_row
                AND k.buckets = k.right_buckets AND s.program IS NOT NULL OFFSET 0) h
        CROSS JOIN LATERAL economy_internal.rfm_assess(
            h.user_id, h.buckets, h.as_of, h.program, h.segments, h.frequency, h.monetary,
            h.r, h.f, h.m, h.segment, h.next_change_at) x
        WHERE x.segment IS NOT NULL
        UNION ALL
        SELECT h.user_id, 'parity',
               format('%s changes, the last to %s at %s', l.n, l.to_segment, l.changed_at),
               format('%s changes, %s since %s', h.changes, h.segment, h.segment_since),
               NULL, NULL
        FROM held h
        CROSS JOIN LATERAL (
            SELECT count(*) AS n, max(y.change_no) AS change_no,
                   (array_agg(y.to_segment ORDER BY y.change_no DESC))[1] AS to_segment,
                   (array_agg(y.changed_at ORDER BY y.change_no DESC))[1] AS changed_at,
                   coalesce(bool_or(y.from_segment <> y.before), false) AS broken
            FROM (SELECT g.*, lag(g.to_segment) OVER (ORDER BY g.change_no) AS before
                  FROM economy.segment_history g WHERE g.user_id = h.user_id) y) l
        WHERE h.known
          AND (l.broken OR l.n <> coalesce(l.change_no, 0) OR coalesce(h.changes, 0) <> l.n
               OR (l.n > 0 AND (h.segment, h.segment_since)
                                   IS DISTINCT FROM (l.to_segment, l.changed_at)));
    END;
COMMENT ON FUNCTION economy_internal.audit_segments(bigint, bigint) IS
    'Recomputes the rows of user_segments of a range of users, null for no end, '
    'from their purchases and the snapshot in force, and compares them with segment_history.';

CREATE FUNCTION economy_internal.audit_segment_state() RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD'
    BEGIN ATOMIC
        SELECT NULL::bigint, 'parity', 'a snapshot of before ' || t.as_of,
               format('rfm_state with snapshot %s', t.snapshot_id), NULL::text, NULL::bigint
        FROM economy.rfm_state t LEFT JOIN economy.rfm_snapshots s USING (snapshot_id)
        WHERE (s.as_of <= t.as_of AND isfinite(t.as_of)) IS NOT TRUE
        UNION ALL
        SELECT NULL, 'parity', format('the newest snapshot, %s', n.snapshot_id),
               format('rfm_state with snapshot %s', t.snapshot_id), NULL, NULL
        FROM economy.rfm_state t,
             (SELECT max(s.snapshot_id) AS snapshot_id FROM economy.rfm_snapshots s) n
        WHERE t.snapshot_id < n.snapshot_id
        UNION ALL
        SELECT NULL, 'parity', 'transactions that have begun',
               format('rfm_state that has seen those before %s', t.seen_before), NULL, NULL
        FROM economy.rfm_state t
        WHERE t.installation = economy_internal.rfm_installation()
          AND (t.seen_before < 0
               OR t.seen_before > pg_snapshot_xmax(pg_current_snapshot())::text::bigint)
        UNION ALL
        SELECT NULL, 'parity', 'rfm_state', 'none beside segments', NULL, NULL
        -- the first refresh takes up purchases before it scores anybody
        WHERE NOT EXISTS (SELECT FROM economy.rfm_state)
          AND EXISTS (SELECT FROM economy.user_segments u WHERE u.segment IS NOT NULL)
        UNION ALL
        SELECT NULL, 'parity', 'rfm_state, the only row', 'one that is not', NULL, NULL
        FROM economy.rfm_state t WHERE t.only_row IS NOT TRUE
        UNION ALL
        SELECT NULL, 'parity', format('the program of snapshot %s', s.snapshot_id), 'another one',
               NULL, NULL
        FROM economy.rfm_snapshots s CROSS JOIN LATERAL economy_internal.rfm_program(s) p
        WHERE s.snapshot_id IN (SELECT x.snapshot_id FROM economy.rfm_snapshots x
                                ORDER BY x.snapshot_id DESC LIMIT 100)
          AND (s.program, s.segments) IS DISTINCT FROM (p.program, p.segments)
        UNION ALL
        SELECT r.user_id, 'orphan_row', format('purchase P%s-%s', r.user_id, r.seq),
               'only its reversal', format('P%s-%s', r.user_id, r.seq), r.seq
        FROM economy_internal.rfm_reversals r
        WHERE NOT EXISTS (SELECT FROM economy_internal.shop_purchases t
                          WHERE t.user_id = r.user_id AND t.seq = r.seq);
    END;
COMMENT ON FUNCTION economy_internal.audit_segment_state() IS
    'Compares rfm_state, rfm_snapshots and rfm_reversals with each other and the journal.';
