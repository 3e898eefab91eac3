-- audit: the invariants, checked online

CREATE TABLE economy_internal.audit_checkpoints (
    user_id           bigint NOT NULL CONSTRAINT audit_checkpoints_pkey PRIMARY KEY,
    seq               bigint NOT NULL,
    gold              bigint NOT NULL,
    experience_points bigint NOT NULL,
    hash              bytea  NOT NULL,
    damaged_seq       bigint
) WITH (fillfactor = 70);
CREATE INDEX audit_checkpoints_damaged_idx ON economy_internal.audit_checkpoints (user_id)
    WHERE damaged_seq IS NOT NULL;
SELECT pg_catalog.pg_extension_config_dump('economy_internal.audit_checkpoints', '');
COMMENT ON TABLE economy_internal.audit_checkpoints IS
    'Entry up to which each stream was found clean; the incremental sweep goes on there.';
COMMENT ON COLUMN economy_internal.audit_checkpoints.seq IS
    'That entry; 0 when the stream never was.';
COMMENT ON COLUMN economy_internal.audit_checkpoints.damaged_seq IS
    'The account''s seq when the incremental sweep last found the stream damaged: '
    'it looks again when there are new entries.';

CREATE TABLE economy.audit_runs (
    run_id      bigint      GENERATED ALWAYS AS IDENTITY CONSTRAINT audit_runs_pkey PRIMARY KEY,
    kind        text        NOT NULL
        CONSTRAINT audit_runs_kind_check CHECK (kind IN ('full', 'since', 'incremental')),
    since       timestamptz,
    started_at  timestamptz NOT NULL,
    finished_at timestamptz,
    next_user   bigint,
    users       bigint      NOT NULL,
    entries     bigint      NOT NULL,
    findings    bigint      NOT NULL,
    CONSTRAINT audit_runs_next_user_check CHECK (next_user IS NULL OR finished_at IS NULL)
);
CREATE UNIQUE INDEX audit_runs_open_key ON economy.audit_runs (kind) WHERE finished_at IS NULL;
SELECT pg_catalog.pg_extension_config_dump('economy.audit_runs', '');
SELECT pg_catalog.pg_extension_config_dump('economy.audit_runs_run_id_seq', '');
COMMENT ON TABLE economy.audit_runs IS 'History of audit sweeps.';
COMMENT ON COLUMN economy.audit_runs.finished_at IS
    'Null while the sweep is going; after a crash the next one goes on with it.';
COMMENT ON COLUMN economy.audit_runs.next_user IS
    'Where a sweep that is going goes on; null when it has seen all users.';
COMMENT ON COLUMN economy.audit_runs.findings IS
    'Findings of this sweep, new ones and those known before.';
COMMENT ON SEQUENCE economy.audit_runs_run_id_seq IS 'Numbers of audit_runs.';

CREATE TABLE economy.audit_findings (
    digest      bytea  NOT NULL,
    run_id      bigint NOT NULL,
    last_run_id bigint NOT NULL,
    gone_run_id bigint,
    user_id     bigint,
    kind        text   NOT NULL,
    expected    text,
    actual      text,
    entry       text,
    seq         bigint,
    CONSTRAINT audit_findings_pkey PRIMARY KEY (digest, run_id)
);
CREATE UNIQUE INDEX audit_findings_open_key ON economy.audit_findings (digest)
    WHERE gone_run_id IS NULL;
CREATE INDEX audit_findings_run_id_idx ON economy.audit_findings (run_id);
CREATE INDEX audit_findings_user_id_idx ON economy.audit_findings (user_id)
    WHERE gone_run_id IS NULL;
SELECT pg_catalog.pg_extension_config_dump('economy.audit_findings', '');
COMMENT ON TABLE economy.audit_findings IS
    'What the sweeps of audit_runs found: each finding once, for as long as it is there.';
COMMENT ON COLUMN economy.audit_findings.digest IS 'SHA-256 of the finding.';
COMMENT ON COLUMN economy.audit_findings.run_id IS 'The sweep that found it first.';
COMMENT ON COLUMN economy.audit_findings.last_run_id IS 'The newest sweep that found it.';
COMMENT ON COLUMN economy.audit_findings.gone_run_id IS
    'The sweep that looked and found it no more; null: it is open.';

CREATE FUNCTION economy_internal.segments_found_damaged() RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT EXISTS (SELECT FROM economy.audit_findings f
                       WHERE f.kind IN ('parity', 'orphan_row') AND f.gone_run_id IS NULL);
    END;
COMMENT ON FUNCTION economy_internal.segments_found_damaged() IS
    'Whether open findings are of what a refresh that rebuilds may put right.';

CREATE FUNCTION economy_internal.verify_new(user_id bigint) RETURNS SETOF economy.finding
    LANGUAGE c STABLE PARALLEL SAFE ROWS 1 AS 'MODULE_PATHNAME', 'eco_verify_new';
COMMENT ON FUNCTION economy_internal.verify_new(bigint) IS
    'verify_chain() for the entries after the user''s audit checkpoint.';

CREATE FUNCTION economy_internal.report_progress(task text, done bigint, total bigint) RETURNS void
    LANGUAGE c VOLATILE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'eco_report_progress';
COMMENT ON FUNCTION economy_internal.report_progress(text, bigint, bigint) IS
    'Shows in pg_stat_activity how far long work is; a null task puts the statement back.';

CREATE FUNCTION economy.progress()
    RETURNS TABLE (pid integer, task text, done bigint, total bigint, running_for interval)
    LANGUAGE sql STABLE PARALLEL RESTRICTED SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT a.pid, p.m[1], p.m[2]::bigint, p.m[3]::bigint, clock_timestamp() - a.query_start
        FROM pg_stat_activity a
        CROSS JOIN LATERAL regexp_match(
            a.query, '^economy progress: ([^ ]+) ([0-9]+) of ([0-9]+)$') p (m)
        WHERE a.state = 'active' AND a.datname = current_database() AND p.m IS NOT NULL;
    END;
COMMENT ON FUNCTION economy.progress() IS
    'Long work of this extension that runs now in this database, and how far it is.';

CREATE FUNCTION economy_internal.audit_record(
    run_id bigint, users bigint, entries bigint, findings economy.finding[]
) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    digests bytea[] := ARRAY(
        SELECT sha256(convert_to(
            jsonb_build_array(f.user_id, f.kind, f.expected, f.actual, f.entry, f.seq)::text,
            'UTF8'))
        FROM unnest(audit_record.findings) f);
BEGIN
    -- no index is named: that of open findings may be missing, which is a finding, too
    INSERT INTO economy.audit_findings AS k
            (digest, run_id, last_run_id, user_id, kind, expected, actual, entry, seq)
        SELECT DISTINCT f.digest, audit_record.run_id, audit_record.run_id, f.user_id, f.kind,
               f.expected, f.actual, f.entry, f.seq
        FROM unnest(audit_record.findings, digests)
            f (user_id, kind, expected, actual, entry, seq, digest)
        WHERE NOT EXISTS (SELECT FROM economy.audit_findings o
                          WHERE o.digest = f.digest AND o.gone_run_id IS NULL)
        -- another sweep may have just found it
        ON CONFLICT DO NOTHING;
    -- which this statement sees, as it does those that were known: none of them is gone
    UPDATE economy.audit_findings k SET last_run_id = audit_record.run_id
        WHERE k.digest = ANY (digests) AND k.gone_run_id IS NULL
          AND k.last_run_id < audit_record.run_id;
    UPDATE economy.audit_runs r SET
            users = r.users + audit_record.users,
            entries = r.entries + audit_record.entries,
            findings = r.findings + cardinality(audit_record.findings)
        WHERE r.run_id = audit_record.run_id;
END
$$;
COMMENT ON FUNCTION economy_internal.audit_record(bigint, bigint, bigint, economy.finding[]) IS
    'Writes findings of a sweep into audit_findings, each once while it is open, and counts them.';

CREATE FUNCTION economy_internal.audit_finish(run_id bigint) RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        UPDATE economy.audit_findings k SET gone_run_id = r.run_id
            FROM economy.audit_runs r
            WHERE r.run_id = audit_finish.run_id AND r.kind = 'full' AND k.gone_run_id IS NULL
              AND k.last_run_id < r.run_id;
        -- a stream that was damaged and is clean is for the incremental sweep again
        UPDATE economy_internal.audit_checkpoints c SET damaged_seq = NULL
            WHERE c.damaged_seq IS NOT NULL
              AND (SELECT r.kind = 'full' FROM economy.audit_runs r
                   WHERE r.run_id = audit_finish.run_id)
              AND NOT EXISTS (SELECT FROM economy.audit_findings k
                              WHERE k.user_id = c.user_id AND k.gone_run_id IS NULL);
        UPDATE economy.audit_runs r SET finished_at = clock_timestamp(), next_user = NULL
            WHERE r.run_id = audit_finish.run_id;
    END;
COMMENT ON FUNCTION economy_internal.audit_finish(bigint) IS
    'Ends a sweep; what a full one has not found any more is gone.';

CREATE TYPE economy_internal.audit_batch AS (
    from_user bigint,
    upto_user bigint,
    users     bigint,
    entries   bigint,
    findings  economy.finding[]
);
COMMENT ON TYPE economy_internal.audit_batch IS
    'Users that were looked at together, and what was found.';

-- What stops a check is a finding, and stops no other.
CREATE FUNCTION economy_internal.audit_failed(user_id bigint, what text, message text)
    RETURNS economy.finding
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC SELECT (user_id, 'sweep_failed', what, message, NULL, NULL)::economy.finding; END;
COMMENT ON FUNCTION economy_internal.audit_failed(bigint, text, text) IS
    'A finding for a check that ended with an error.';

CREATE FUNCTION economy_internal.audit_stream(user_id bigint) RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH found AS MATERIALIZED (
            SELECT f.*, row_number() OVER () AS n
            FROM economy.verify_chain(audit_stream.user_id) f
        )
        SELECT f.user_id, f.kind, f.expected, f.actual, f.entry, f.seq
        FROM found f WHERE f.n <= 1000
        UNION ALL
        SELECT audit_stream.user_id, 'more_findings', 'economy.verify_chain() tells all',
               format('%s findings', count(*)), NULL, NULL
        FROM found f
        HAVING count(*) > 1000;
    END;
COMMENT ON FUNCTION economy_internal.audit_stream(bigint) IS
    'verify_chain() of a user for a sweep: '
    'of many findings the first 1000, and how many there are.';

CREATE FUNCTION economy_internal.audit_each(users bigint[]) RETURNS SETOF economy.finding
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    who bigint;
BEGIN
    FOREACH who IN ARRAY users LOOP
        BEGIN
            RETURN QUERY SELECT f.* FROM economy_internal.audit_stream(who) f;
        EXCEPTION WHEN OTHERS THEN
            RETURN NEXT economy_internal.audit_failed(who, 'verify_chain() to end', SQLERRM);
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION economy_internal.audit_each(bigint[]) IS
    'Part of audit_streams(): user by user, an error in one of them is a finding.';

CREATE FUNCTION economy_internal.audit_streams(users bigint[]) RETURNS economy.finding[]
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    BEGIN
        RETURN ARRAY(SELECT f::economy.finding FROM unnest(users) u
                     CROSS JOIN LATERAL economy_internal.audit_stream(u) f);
    EXCEPTION WHEN OTHERS THEN
        NULL;   -- one by one
    END;
    RETURN ARRAY(SELECT f::economy.finding FROM economy_internal.audit_each(users) f);
END
$$;
COMMENT ON FUNCTION economy_internal.audit_streams(bigint[]) IS
    'audit_stream() of these users; an error in one of them is a finding.';

CREATE FUNCTION economy_internal.audit_pieces(part text, from_user bigint, upto_user bigint)
    RETURNS economy.finding[]
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    pieces   CONSTANT text[] := CASE part
        WHEN 'users' THEN ARRAY['effects', 'twice', 'orphans', 'rewards', 'units', 'holdings',
                                'draws', 'transfers', 'escrows', 'refunds', 'segments',
                                'recommendations', 'anchored', 'parity', 'places',
                                'missions', 'seasons']
        ELSE ARRAY['schema', 'stock', 'promos', 'prizes', 'shop', 'orders', 'config', 'keys',
                   'segment_state', 'anchors', 'boards'] END;
    piece    text;
    answer   economy.finding[];
    findings economy.finding[] := '{}';
BEGIN
    FOREACH piece IN ARRAY pieces LOOP
        BEGIN
            -- EXECUTE, because the function is not the same each time
            EXECUTE format($query$
                SELECT ARRAY(SELECT f::economy.finding FROM %s.audit_%s(%s) f)
                $query$, CASE piece WHEN 'schema' THEN 'economy' ELSE 'economy_internal' END,
                piece, CASE part WHEN 'users' THEN '$1, $2' END)
                INTO answer USING from_user, upto_user;
            findings := findings || answer;
        EXCEPTION WHEN OTHERS THEN
            findings := findings || economy_internal.audit_failed(
                NULL, format('audit_%s() to end%s', piece, ' for the users from ' || from_user),
                SQLERRM);
        END;
    END LOOP;
    RETURN findings;
END
$$;
COMMENT ON FUNCTION economy_internal.audit_pieces(text, bigint, bigint) IS
    'The checks of the users from one id to another (users), or of all else (rest); '
    'one that ends with an error is a finding.';

-- The ranges of all batches leave no id out: what is of a user that there is not
-- is found as well.
CREATE FUNCTION economy_internal.audit_next(
    from_user bigint, max_users integer, since timestamptz DEFAULT NULL
) RETURNS economy_internal.audit_batch
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET TimeZone = 'UTC'
    SET DateStyle = 'ISO, YMD' AS $$
DECLARE
    -- a batch has about so many entries, or one user, and ends when so much was found
    max_entries  CONSTANT bigint := 200000;
    max_findings CONSTANT integer := 10000;
    slice        CONSTANT integer := 20;
    batch        economy_internal.audit_batch;
    chosen       bigint[];
BEGIN
    batch.from_user := from_user;
    SELECT max(n.user_id) FILTER (WHERE n.number = max_users OR n.entries > max_entries)
        INTO batch.upto_user
        FROM (SELECT m.user_id, m.seq, row_number() OVER w AS number,
                     sum(m.seq) OVER w AS entries
              FROM (SELECT a.user_id, a.seq FROM economy.accounts a
                    WHERE a.user_id >= from_user ORDER BY a.user_id LIMIT max_users) m
              WINDOW w AS (ORDER BY m.user_id ROWS UNBOUNDED PRECEDING)) n
        WHERE n.entries - n.seq <= max_entries;
    batch.upto_user := coalesce(batch.upto_user, 9223372036854775807);
    chosen := ARRAY(
        SELECT a.user_id FROM economy.accounts a
        WHERE a.user_id BETWEEN from_user AND batch.upto_user AND (since IS NULL OR EXISTS (
            SELECT FROM economy.ledger l
            WHERE l.user_id = a.user_id AND l.seq = a.seq AND l.created_at >= since))
        ORDER BY a.user_id);
    batch.findings := '{}';
    FOR n IN 0 .. (cardinality(chosen) - 1) / slice LOOP
        batch.findings := batch.findings
            || economy_internal.audit_streams(chosen[n * slice + 1 : (n + 1) * slice]);
        IF cardinality(batch.findings) >= max_findings
           AND (n + 1) * slice < cardinality(chosen) THEN
            chosen := chosen[: (n + 1) * slice];
            batch.upto_user := chosen[(n + 1) * slice];
        END IF;
        EXIT WHEN (n + 1) * slice >= cardinality(chosen);
    END LOOP;
    SELECT count(*), coalesce(sum(a.seq - coalesce((
               SELECT sum(p.total) FROM economy.pruned_stats p WHERE p.user_id = a.user_id), 0)
               - coalesce((
               SELECT sum(m.entries) FROM economy.archives m WHERE m.user_id = a.user_id), 0)), 0)
    INTO batch.users, batch.entries
    FROM unnest(chosen) u (user_id) JOIN economy.accounts a USING (user_id);
    batch.findings := batch.findings
        || economy_internal.audit_pieces('users', from_user, batch.upto_user);
    RETURN batch;
END
$$;
COMMENT ON FUNCTION economy_internal.audit_next(bigint, integer, timestamptz) IS
    'Checks the streams, and all else that is of users, from an id on, of at most max_users users; '
    'since leaves out the streams without an entry since then.';

CREATE FUNCTION economy.audit_sweep(since timestamptz DEFAULT NULL) RETURNS SETOF economy.finding
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp SET TimeZone = 'UTC'
    SET DateStyle = 'ISO, YMD' AS $$
DECLARE
    -- on a standby, and in a read-only transaction, the answer is all there is
    recorded CONSTANT boolean := NOT current_setting('transaction_read_only')::boolean;
    batch    economy_internal.audit_batch := ('-9223372036854775808', NULL, 0, 0, '{}');
    run      bigint;
    done     bigint := 0;
    total    bigint;
BEGIN
    PERFORM economy_internal.open_tables('accounts');
    SELECT count(*) INTO total FROM economy.accounts;
    PERFORM economy_internal.report_progress('audit_sweep', 0, total);
    PERFORM economy_internal.open_all_tables();
    IF recorded THEN
        INSERT INTO economy.audit_runs AS r
                (kind, since, started_at, finished_at, users, entries, findings)
            VALUES (CASE WHEN audit_sweep.since IS NULL THEN 'full' ELSE 'since' END,
                    audit_sweep.since, clock_timestamp(), clock_timestamp(), 0, 0, 0)
            RETURNING r.run_id INTO run;
    END IF;
    LOOP
        PERFORM economy_internal.report_progress('audit_sweep', done, greatest(total, done));
        batch := economy_internal.audit_next(batch.from_user, 10000, since);
        IF recorded THEN
            PERFORM economy_internal.audit_record(run, batch.users, batch.entries, batch.findings);
        END IF;
        RETURN QUERY SELECT f.* FROM unnest(batch.findings) f;
        done := done + batch.users;
        EXIT WHEN batch.upto_user = 9223372036854775807;
        batch.from_user := batch.upto_user + 1;
    END LOOP;
    PERFORM economy_internal.report_progress('audit_rest', done, done);
    batch.findings := economy_internal.audit_pieces('rest', NULL, NULL);
    IF recorded THEN
        PERFORM economy_internal.audit_record(run, 0, 0, batch.findings);
        PERFORM economy_internal.audit_finish(run);
    END IF;
    RETURN QUERY SELECT f.* FROM unnest(batch.findings) f;
    PERFORM economy_internal.report_progress(NULL, NULL, NULL);
END
$$;
COMMENT ON FUNCTION economy.audit_sweep(timestamptz) IS
    'Checks the invariants and returns a row per finding; none means clean. '
    'since restricts the streams to users whose newest entry is at or after it. One transaction: '
    'for large databases there is the job. Recorded in audit_runs; progress in economy.progress().';

CREATE FUNCTION economy.audit_step(max_users integer DEFAULT 2000)
    RETURNS TABLE (users bigint, findings bigint)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 1
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    batch economy_internal.audit_batch;
    run   economy.audit_runs;
BEGIN
    PERFORM economy_internal.require_positive('max_users', max_users);
    PERFORM economy_internal.open_all_tables();
    PERFORM economy_internal.lock_name('economy.audit_step');
    SELECT * INTO run FROM economy.audit_runs r
        WHERE r.kind = 'full' AND r.finished_at IS NULL FOR UPDATE;
    IF NOT found THEN
        INSERT INTO economy.audit_runs AS r
                (kind, started_at, next_user, users, entries, findings)
            VALUES ('full', clock_timestamp(), '-9223372036854775808', 0, 0, 0)
            RETURNING * INTO run;
    END IF;
    IF run.next_user IS NULL THEN
        batch.findings := economy_internal.audit_pieces('rest', NULL, NULL);
        PERFORM economy_internal.audit_record(run.run_id, 0, 0, batch.findings);
        PERFORM economy_internal.audit_finish(run.run_id);
        RETURN QUERY SELECT 0::bigint, cardinality(batch.findings)::bigint;
        RETURN;
    END IF;
    batch := economy_internal.audit_next(run.next_user, max_users);
    PERFORM economy_internal.audit_record(run.run_id, batch.users, batch.entries, batch.findings);
    UPDATE economy.audit_runs r SET next_user =
        CASE WHEN batch.upto_user < 9223372036854775807
             THEN batch.upto_user + 1 END WHERE r.run_id = run.run_id;
    RETURN QUERY SELECT greatest(batch.users, 1), cardinality(batch.findings)::bigint;
END
$$;
COMMENT ON FUNCTION economy.audit_step(integer) IS
    'The next part of a full sweep, of at most max_users users: begins one, '
    'or goes on with the one that is going, also after a crash; '
    '0 users when it is done. What the job does.';

CREATE FUNCTION economy.audit_sweep_incremental(max_users integer DEFAULT 100000)
    RETURNS SETOF economy.finding
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp SET TimeZone = 'UTC'
    SET DateStyle = 'ISO, YMD' AS $$
DECLARE
    run       bigint;
    found_all economy.finding[];
    users     bigint;
    entries   bigint;
BEGIN
    PERFORM economy_internal.require_positive('max_users', max_users);
    PERFORM economy_internal.open_all_tables();
    -- two sweeps at once would only do the same work twice
    PERFORM economy_internal.lock_name('economy.audit_sweep_incremental');
    INSERT INTO economy.audit_runs AS r
            (kind, started_at, finished_at, users, entries, findings)
        VALUES ('incremental', clock_timestamp(), clock_timestamp(), 0, 0, 0)
        RETURNING r.run_id INTO run;
    WITH fresh AS MATERIALIZED (
        SELECT a.user_id, a.seq, a.gold, a.experience_points, a.head_hash,
               -- who is behind what was pruned begins at the first entry left
               a.seq - CASE WHEN coalesce(c.seq, 0) >= a.pruned_seq THEN coalesce(c.seq, 0)
                            ELSE coalesce((SELECT sum(p.total) FROM economy.pruned_stats p
                                           WHERE p.user_id = a.user_id), 0)
                                 + coalesce((SELECT sum(m.entries) FROM economy.archives m
                                             WHERE m.user_id = a.user_id), 0) END AS new_entries
        FROM economy.accounts a LEFT JOIN economy_internal.audit_checkpoints c USING (user_id)
        -- a damaged stream is looked at again when there is more of it: none keeps others waiting
        WHERE a.seq IS DISTINCT FROM coalesce(c.damaged_seq, c.seq, 0)
        ORDER BY a.user_id LIMIT max_users
    ), checked AS MATERIALIZED (
        SELECT f.user_id, f.seq, f.gold, f.experience_points, f.head_hash, f.new_entries,
               ARRAY(SELECT v::economy.finding
                     FROM economy_internal.verify_new(f.user_id) v LIMIT 1000) AS findings
        FROM fresh f
    ), clean AS (
        INSERT INTO economy_internal.audit_checkpoints AS c
            SELECT k.user_id, k.seq, k.gold, k.experience_points, k.head_hash, NULL
            FROM checked k WHERE cardinality(k.findings) = 0
            ON CONFLICT ON CONSTRAINT audit_checkpoints_pkey DO UPDATE SET
                seq = excluded.seq, gold = excluded.gold,
                experience_points = excluded.experience_points, hash = excluded.hash,
                damaged_seq = NULL
    ), damaged AS (
        INSERT INTO economy_internal.audit_checkpoints AS c
            SELECT k.user_id, 0, 0, 0, decode(repeat('00', 32), 'hex'), k.seq
            FROM checked k WHERE cardinality(k.findings) > 0
            ON CONFLICT ON CONSTRAINT audit_checkpoints_pkey DO UPDATE
                SET damaged_seq = excluded.damaged_seq
    )
    SELECT count(*), coalesce(sum(k.new_entries), 0),
           ARRAY(SELECT u::economy.finding
                 FROM checked c2 CROSS JOIN LATERAL unnest(c2.findings) u)
    INTO users, entries, found_all FROM checked k;
    PERFORM economy_internal.audit_record(run, users, entries, found_all);
    PERFORM economy_internal.audit_finish(run);
    RETURN QUERY SELECT f.* FROM unnest(found_all) f;
END
$$;
COMMENT ON FUNCTION economy.audit_sweep_incremental(integer) IS
    'Verifies only the entries since the last clean sweep of each user, '
    'for at most max_users users a call; audit_runs.users of the call is 0 when nothing is left. '
    'A damaged stream is looked at again when it has new entries, or by a full sweep.';

-- Readers

CREATE FUNCTION economy.audit_open(max integer DEFAULT 1000)
    RETURNS TABLE (
        user_id bigint, kind text, expected text, actual text, entry text, seq bigint,
        first_seen timestamptz, last_seen timestamptz
    )
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.require_limit('max', audit_open.max);
        SELECT economy_internal.open_tables('audit_findings', 'audit_runs');
        SELECT k.user_id, k.kind, k.expected, k.actual, k.entry, k.seq, r.started_at, l.started_at
        FROM economy.audit_findings k
        LEFT JOIN economy.audit_runs r ON r.run_id = k.run_id
        LEFT JOIN economy.audit_runs l ON l.run_id = k.last_run_id
        WHERE k.gone_run_id IS NULL
        ORDER BY k.run_id, k.user_id, k.seq, k.kind LIMIT max;
    END;
COMMENT ON FUNCTION economy.audit_open(integer) IS
    'Findings that are open: found, and not gone when a full sweep looked again. The oldest first.';

CREATE FUNCTION economy.audit_history(max integer DEFAULT 100)
    RETURNS TABLE (
        run_id bigint, kind text, started_at timestamptz, finished_at timestamptz, users bigint,
        entries bigint, findings bigint, new_findings bigint
    )
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.require_limit('max', audit_history.max);
        SELECT economy_internal.open_tables('audit_findings', 'audit_runs');
        SELECT r.run_id, r.kind, r.started_at, r.finished_at, r.users, r.entries, r.findings,
               (SELECT count(*) FROM economy.audit_findings k WHERE k.run_id = r.run_id)
        FROM economy.audit_runs r ORDER BY r.run_id DESC LIMIT max;
    END;
COMMENT ON FUNCTION economy.audit_history(integer) IS
    'The last sweeps, the newest first: finished_at is null for one that is going.';
