-- audit: the invariants, checked online

CREATE TABLE economy.audit_checkpoints (
    user_id           bigint NOT NULL CONSTRAINT audit_checkpoints_pkey PRIMARY KEY,
    seq               bigint NOT NULL,
    gold              bigint NOT NULL,
    experience_points bigint NOT NULL,
    hash              bytea  NOT NULL
) WITH (fillfactor = 70);
SELECT pg_catalog.pg_extension_config_dump('economy.audit_checkpoints', '');
COMMENT ON TABLE economy.audit_checkpoints IS 'Entry up to which each stream was found clean; the incremental sweep goes on there.';

CREATE TABLE economy.audit_runs (
    run_id      bigint      GENERATED ALWAYS AS IDENTITY CONSTRAINT audit_runs_pkey PRIMARY KEY,
    kind        text        NOT NULL CONSTRAINT audit_runs_kind_check CHECK (kind IN ('full', 'since', 'incremental')),
    since       timestamptz,
    started_at  timestamptz NOT NULL,
    finished_at timestamptz NOT NULL,
    users       bigint      NOT NULL,
    entries     bigint      NOT NULL,
    findings    bigint      NOT NULL
);
SELECT pg_catalog.pg_extension_config_dump('economy.audit_runs', '');
SELECT pg_catalog.pg_extension_config_dump('economy.audit_runs_run_id_seq', '');
COMMENT ON TABLE economy.audit_runs IS 'History of audit sweeps.';
COMMENT ON SEQUENCE economy.audit_runs_run_id_seq IS 'Numbers of audit_runs.';

CREATE TABLE economy.audit_findings (
    run_id   bigint NOT NULL,
    user_id  bigint,
    kind     text   NOT NULL,
    expected text,
    actual   text,
    entry    text,
    seq      bigint
);
-- old rows may be deleted, from a published table too
ALTER TABLE economy.audit_findings REPLICA IDENTITY FULL;
CREATE INDEX audit_findings_run_id_idx ON economy.audit_findings (run_id);
SELECT pg_catalog.pg_extension_config_dump('economy.audit_findings', '');
COMMENT ON TABLE economy.audit_findings IS 'What the sweeps of audit_runs found.';

CREATE FUNCTION economy.verify_new(user_id bigint) RETURNS SETOF economy.finding
    LANGUAGE c STABLE PARALLEL SAFE ROWS 1 AS 'MODULE_PATHNAME', 'eco_verify_new';
COMMENT ON FUNCTION economy.verify_new(bigint) IS 'verify_chain() for the entries after the user''s audit checkpoint.';

CREATE FUNCTION economy.report_progress(task text, done bigint, total bigint) RETURNS void
    LANGUAGE c VOLATILE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'eco_report_progress';
COMMENT ON FUNCTION economy.report_progress(text, bigint, bigint) IS
    'Shows in pg_stat_activity how far long work is; a null task puts the statement back.';

CREATE FUNCTION economy.progress()
    RETURNS TABLE (pid integer, task text, done bigint, total bigint, running_for interval)
    LANGUAGE sql STABLE PARALLEL RESTRICTED SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT a.pid, p.m[1], p.m[2]::bigint, p.m[3]::bigint, clock_timestamp() - a.query_start
        FROM pg_stat_activity a
        CROSS JOIN LATERAL regexp_match(a.query, '^economy progress: (\S+) (\d+) of (\d+)$') p (m)
        WHERE a.state = 'active' AND a.datname = current_database() AND p.m IS NOT NULL;
    END;
COMMENT ON FUNCTION economy.progress() IS 'Long work of this extension that runs now in this database, and how far it is.';

-- I4: one effect per key, also where the unique index that should see to it is damaged
CREATE FUNCTION economy.audit_effects() RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT t.user_id, 'duplicate_effect', format('one purchase of %s with key %s', t.product_id, t.idempotency_key),
               format('%s purchases', count(*)), 'P' || t.user_id || '-' || max(t.seq), max(t.seq)
        FROM economy.shop_transactions t GROUP BY t.user_id, t.product_id, t.idempotency_key HAVING count(*) > 1
        UNION ALL
        SELECT r.user_id, 'duplicate_effect', format('one reward of %s with event %s', r.source, r.external_event_id),
               format('%s rewards', count(*)), 'R' || r.user_id || '-' || max(r.seq), max(r.seq)
        FROM economy.reward_audit r GROUP BY r.user_id, r.source, r.external_event_id HAVING count(*) > 1
        UNION ALL
        SELECT g.user_id, 'duplicate_effect', format('one adjustment with key %s', g.idempotency_key),
               format('%s adjustments', count(*)), 'G' || g.user_id || '-' || max(g.seq), max(g.seq)
        FROM economy.gold_adjustments g GROUP BY g.user_id, g.idempotency_key HAVING count(*) > 1
        UNION ALL
        SELECT c.user_id, 'duplicate_effect', format('one change of %s with key %s', c.field, c.idempotency_key),
               format('%s changes', count(*)), 'U' || c.user_id || '-' || max(c.seq), max(c.seq)
        FROM economy.user_changes c WHERE c.idempotency_key IS NOT NULL
        GROUP BY c.user_id, c.field, c.idempotency_key HAVING count(*) > 1
        UNION ALL
        SELECT u.user_id, 'duplicate_effect', format('one action %s of %s', u.action_id, u.game),
               format('%s actions', count(*)), 'A' || u.user_id || '-' || max(u.seq), max(u.seq)
        FROM economy.user_actions u GROUP BY u.user_id, u.game, u.action_id HAVING count(*) > 1
        UNION ALL
        -- an id that is not kept could have a second effect
        SELECT coalesce(s.user_id, k.user_id), 'missing_entry', format('keys of %s pruned actions', coalesce(s.total, 0)),
               format('%s keys', coalesce(k.total, 0)), NULL, NULL
        FROM (SELECT p.user_id, sum(p.total) AS total FROM economy.pruned_stats p GROUP BY 1) s
        FULL JOIN (SELECT a.user_id, count(*) AS total FROM economy.pruned_actions a GROUP BY 1) k USING (user_id)
        WHERE coalesce(s.total, 0) <> coalesce(k.total, 0)
        UNION ALL
        SELECT u.user_id, 'duplicate_effect', format('one action %s of %s', u.action_id, u.game), 'a pruned one and this',
               'A' || u.user_id || '-' || u.seq, u.seq
        FROM economy.user_actions u JOIN economy.pruned_actions p
             -- a damaged id may be none
             ON p.user_id = u.user_id AND p.key = CASE WHEN octet_length(u.game) BETWEEN 1 AND 64 AND octet_length(u.action_id) BETWEEN 1 AND 255
                                                       THEN economy.action_key(u.game, u.action_id) END
        WHERE u.user_id IN (SELECT d.user_id FROM economy.pruned_stats d);
    END;
COMMENT ON FUNCTION economy.audit_effects() IS 'Idempotency keys with more than one effect (I4).';

CREATE FUNCTION economy.audit_orphans() RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT l.user_id, 'orphan_row', 'an account', 'none', min(l.transaction_id), min(l.seq)
        FROM economy.ledger l
        WHERE NOT EXISTS (SELECT FROM economy.accounts a WHERE a.user_id = l.user_id) GROUP BY l.user_id
        UNION ALL
        SELECT u.user_id, 'orphan_row', 'an account', 'only a user', NULL, NULL
        FROM economy.users u WHERE NOT EXISTS (SELECT FROM economy.accounts a WHERE a.user_id = u.user_id)
        UNION ALL
        SELECT s.user_id, 'orphan_row', 'an account', 'only a streak', NULL, NULL
        FROM economy.streaks s WHERE NOT EXISTS (SELECT FROM economy.accounts a WHERE a.user_id = s.user_id)
        UNION ALL
        SELECT r.user_id, 'orphan_row', format('reward R%s-%s', r.user_id, r.reverses), 'only its reversal',
               'R' || r.user_id || '-' || r.seq, r.seq
        FROM economy.reward_audit r
        WHERE r.reverses IS NOT NULL AND NOT EXISTS (
            SELECT FROM economy.reward_audit o WHERE o.user_id = r.user_id AND o.seq = r.reverses);
    END;
COMMENT ON FUNCTION economy.audit_orphans() IS 'Rows without the row they belong to.';

CREATE FUNCTION economy.audit_stock() RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT NULL::bigint, 'wrong_stock', format('%s units issued of %s', coalesce(issued.units, 0), product_id),
               format('%s left and %s sold', coalesce(stock.remaining, 0), coalesce(sold.units, 0)), NULL::text, NULL::bigint
        FROM (SELECT c.product_id, sum(c.units) AS units
              FROM economy.shop_product_changes c WHERE c.action = 'stock' GROUP BY 1) issued
        FULL JOIN (SELECT s.product_id, sum(s.remaining) AS remaining
                   FROM economy.shop_stock s GROUP BY 1) stock USING (product_id)
        FULL JOIN (SELECT t.product_id, sum(t.quantity) AS units
                   FROM economy.shop_transactions t WHERE t.stock_slot IS NOT NULL GROUP BY 1) sold USING (product_id)
        WHERE coalesce(issued.units, 0) <> coalesce(stock.remaining, 0) + coalesce(sold.units, 0);
    END;
COMMENT ON FUNCTION economy.audit_stock() IS 'Products whose issued stock is not what is left plus what was sold (I5).';

-- Every entry that changes a streak must follow from the one it goes on from: a
-- claim by the rule, paying what the formula says; a correction; a reversal that
-- gives the newest claim's date back, and with it the streak before that claim.
CREATE FUNCTION economy.audit_rewards() RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET DateStyle = 'ISO, YMD'
    BEGIN ATOMIC
        WITH states AS MATERIALIZED (
            SELECT r.user_id, r.seq, r.source, r.reverses, r.streak_before, r.streak_day, r.reward_day, r.claim_date, r.best, r.last_grace_on,
                   r.excused_to, r.timezone, r.grace_used, r.freezes_used, r.gold_delta, r.xp_delta,
                   r.source = 'economy:daily_streak' AS is_claim,
                   CASE WHEN r.reverses IS NULL THEN r.seq ELSE r.streak_before END AS stands_at,
                   lag(CASE WHEN r.reverses IS NULL THEN r.seq ELSE r.streak_before END) OVER w AS stood_at,
                   lead(r.seq) OVER w IS NULL AS is_newest,
                   max(r.claim_date) FILTER (WHERE r.source = 'economy:daily_streak') OVER (PARTITION BY r.user_id) AS paid_to
            FROM economy.reward_audit r WHERE r.streak_day IS NOT NULL OR r.source = 'economy:daily_streak'
            WINDOW w AS (PARTITION BY r.user_id ORDER BY r.seq)
        ), changes AS MATERIALIZED (
            SELECT s.*, b.claim_date AS date_before, coalesce(b.streak_day, 0)::bigint AS day_before, coalesce(b.best, 0) AS best_before,
                   b.last_grace_on AS grace_before, b.excused_to AS excused_before, b.timezone AS timezone_before
            FROM states s LEFT JOIN states b ON b.user_id = s.user_id AND b.seq = s.streak_before
        )
        SELECT c.user_id, 'wrong_reward',
               format('%s gold and %s XP for day %s', 1000 + 200 * (c.reward_day::bigint - 1), 50 + 25 * (c.reward_day::bigint - 1), c.reward_day),
               format('%s gold and %s XP', c.gold_delta, c.xp_delta), 'R' || c.user_id || '-' || c.seq, c.seq
        FROM changes c
        WHERE c.is_claim
          AND (c.gold_delta <> 1000 + 200 * (c.reward_day::bigint - 1) OR c.xp_delta <> 50 + 25 * (c.reward_day::bigint - 1))
        UNION ALL
        SELECT c.user_id, 'duplicate_effect', format('a claim date after %s', c.date_before), c.claim_date::text,
               'R' || c.user_id || '-' || c.seq, c.seq
        FROM changes c WHERE c.is_claim AND c.claim_date <= c.date_before
        UNION ALL
        SELECT c.user_id, 'duplicate_effect', format('one claim of %s', c.claim_date), format('%s claims', count(*)),
               'R' || c.user_id || '-' || max(c.seq), max(c.seq)
        FROM states c
        WHERE c.is_claim
          AND NOT EXISTS (SELECT FROM states g WHERE g.user_id = c.user_id AND g.reverses = c.seq)
        GROUP BY c.user_id, c.claim_date HAVING count(*) > 1
        UNION ALL
        SELECT c.user_id, 'wrong_streak', format('day 1 or %s', c.day_before + 1), format('day %s', c.streak_day),
               'R' || c.user_id || '-' || c.seq, c.seq
        FROM changes c
        WHERE c.is_claim
          AND (c.streak_day NOT IN (1, least(c.day_before + 1, 2147483647))
               OR c.reward_day NOT BETWEEN 1 AND c.streak_day
               OR (c.claim_date = c.date_before + 1 AND c.streak_day <> least(c.day_before + 1, 2147483647))
               OR c.best IS DISTINCT FROM greatest(c.best_before, c.streak_day)
               OR CASE WHEN c.grace_used THEN c.last_grace_on IS NULL OR c.last_grace_on <= c.date_before OR c.last_grace_on >= c.claim_date
                       -- dormancy makes grace available again
                       ELSE c.last_grace_on IS DISTINCT FROM c.grace_before AND NOT (c.streak_day = 1 AND c.last_grace_on IS NULL) END
               OR (c.excused_to IS DISTINCT FROM c.excused_before
                   AND (c.excused_to NOT BETWEEN c.claim_date + 1 AND c.claim_date + 2 OR c.excused_to <= coalesce(c.excused_before, '-infinity')) IS NOT FALSE)
               OR c.timezone IS NULL OR c.streak_day IS NULL)
        UNION ALL
        SELECT c.user_id, 'wrong_streak', format('to go on from %s', coalesce('entry ' || c.stood_at, 'nothing')),
               format('from %s', coalesce('entry ' || c.streak_before, 'nothing')), 'R' || c.user_id || '-' || c.seq, c.seq
        FROM changes c WHERE c.reverses IS NULL AND c.streak_before IS DISTINCT FROM c.stood_at
        UNION ALL
        SELECT c.user_id, 'wrong_streak', 'a correction', format('day %s on %s', c.streak_day, c.claim_date), 'R' || c.user_id || '-' || c.seq, c.seq
        FROM changes c
        WHERE NOT c.is_claim AND c.reverses IS NULL
          AND (c.source NOT IN ('economy:set_streak', 'economy:set_streak:once') OR (c.streak_day = 0) <> (c.claim_date IS NULL)
               OR c.best IS DISTINCT FROM greatest(c.best_before, c.streak_day) OR c.excused_to IS NOT NULL
               OR (c.last_grace_on IS DISTINCT FROM c.grace_before AND c.last_grace_on IS NOT NULL) OR c.timezone IS NULL
               OR c.gold_delta <> 0 OR c.xp_delta <> 0)
        UNION ALL
        SELECT c.user_id, 'wrong_streak', format('day %s on %s again', c.day_before, c.date_before),
               format('day %s on %s', c.streak_day, c.claim_date), 'R' || c.user_id || '-' || c.seq, c.seq
        FROM changes c LEFT JOIN states r ON r.user_id = c.user_id AND r.seq = c.reverses
        WHERE c.reverses IS NOT NULL
          AND ((c.reverses, c.streak_before, c.freezes_used) IS DISTINCT FROM (c.stood_at, r.streak_before, -r.freezes_used) OR NOT r.is_claim
               OR (c.streak_day, c.best, c.claim_date, c.last_grace_on, c.excused_to, coalesce(c.timezone_before, c.timezone))
                  IS DISTINCT FROM (c.day_before, c.best_before, c.date_before, c.grace_before, c.excused_before, c.timezone))
        UNION ALL
        SELECT r.user_id, 'wrong_reward', format('at most %s gold and %s XP taken back', r.gold_delta, r.xp_delta),
               format('%s gold and %s XP', t.gold, t.xp), 'R' || r.user_id || '-' || t.seq, t.seq
        FROM (SELECT v.user_id, v.reverses, -sum(v.gold_delta) AS gold, -sum(v.xp_delta) AS xp, max(v.seq) AS seq,
                     bool_or(v.gold_delta > 0 OR v.xp_delta > 0) AS gives
              FROM economy.reward_audit v WHERE v.reverses IS NOT NULL GROUP BY v.user_id, v.reverses) t
        JOIN economy.reward_audit r ON r.user_id = t.user_id AND r.seq = t.reverses
        WHERE t.gold > r.gold_delta OR t.xp > r.xp_delta OR t.gives OR r.reverses IS NOT NULL
        UNION ALL
        SELECT coalesce(c.user_id, s.user_id), 'parity',
               format('streak day %s on %s', c.streak_day, c.claim_date), format('streak day %s on %s', s.streak_day, s.last_claim_on),
               'R' || c.user_id || '-' || c.seq, c.seq
        FROM (SELECT * FROM states WHERE is_newest) c FULL JOIN economy.streaks s USING (user_id)
        WHERE (c.streak_day, c.claim_date, coalesce(c.stands_at, CASE WHEN c.seq IS NOT NULL THEN 0 END), c.best, c.last_grace_on, c.excused_to, c.timezone, c.paid_to)
              IS DISTINCT FROM (s.streak_day, s.last_claim_on, s.last_seq, s.best, s.last_grace_on, s.excused_to, s.timezone, s.paid_to)
        UNION ALL
        SELECT a.user_id, 'wrong_balance', format('%s streak freezes', coalesce(f.freezes, 0)),
               format('%s streak freezes', a.streak_freezes), NULL, NULL
        FROM economy.accounts a
        LEFT JOIN (SELECT m.user_id, sum(m.n) AS freezes FROM (
                       SELECT t.user_id, t.quantity::bigint AS n FROM economy.shop_transactions t WHERE t.effect_code = 'streak_freeze'
                       UNION ALL
                       SELECT r.user_id, -r.freezes_used FROM economy.reward_audit r WHERE r.freezes_used <> 0) m
                   GROUP BY m.user_id) f USING (user_id)
        WHERE a.streak_freezes <> coalesce(f.freezes, 0);
    END;
COMMENT ON FUNCTION economy.audit_rewards() IS
    'Daily claims against the formula and each other, reversals against their rewards, streaks and freezes against the entries.';

CREATE FUNCTION economy.segments_found_damaged() RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT EXISTS (SELECT FROM economy.audit_findings f WHERE f.kind IN ('parity', 'orphan_row')
                       AND f.run_id = (SELECT max(r.run_id) FROM economy.audit_runs r WHERE r.kind = 'full'));
    END;
COMMENT ON FUNCTION economy.segments_found_damaged() IS 'Whether the last full audit found what a refresh that rebuilds may put right.';

CREATE FUNCTION economy.audit_record(kind text, since timestamptz, started_at timestamptz, users bigint, entries bigint,
                                     findings economy.finding[]) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    id bigint;
BEGIN
    INSERT INTO economy.audit_runs AS r (kind, since, started_at, finished_at, users, entries, findings)
        VALUES (kind, since, started_at, clock_timestamp(), users, entries, cardinality(findings)) RETURNING r.run_id INTO id;
    INSERT INTO economy.audit_findings SELECT id, f.* FROM unnest(findings) f;
END
$$;
COMMENT ON FUNCTION economy.audit_record(text, timestamptz, timestamptz, bigint, bigint, economy.finding[]) IS
    'Writes a sweep into audit_runs and audit_findings.';

CREATE FUNCTION economy.audit_sweep(since timestamptz DEFAULT NULL) RETURNS SETOF economy.finding
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    batch    CONSTANT integer := 10000;
    started  timestamptz := clock_timestamp();
    found_all economy.finding[] := '{}';
    found_now economy.finding[];
    total    bigint;
    done     bigint := 0;
    last_id  bigint := -9223372036854775808;
    users    bigint := 0;
    entries  bigint := 0;
    n        bigint;
    e        bigint;
BEGIN
    SELECT count(*) INTO total FROM economy.accounts;
    LOOP
        PERFORM economy.report_progress('audit_sweep', done, total);
        WITH b AS (
            SELECT a.user_id, a.seq FROM economy.accounts a WHERE a.user_id > last_id ORDER BY a.user_id LIMIT batch
        ), chosen AS MATERIALIZED (
            SELECT b.* FROM b WHERE since IS NULL OR EXISTS (
                SELECT FROM economy.ledger l WHERE l.user_id = b.user_id AND l.seq = b.seq AND l.created_at >= since)
        )
        SELECT (SELECT max(b.user_id) FROM b), (SELECT count(*) FROM b),
               (SELECT count(*) FROM chosen), (SELECT coalesce(sum(c.seq - coalesce((SELECT sum(p.total) FROM economy.pruned_stats p
                                                           WHERE p.user_id = c.user_id), 0)), 0) FROM chosen c),
               ARRAY(SELECT f::economy.finding FROM chosen c CROSS JOIN LATERAL economy.verify_chain(c.user_id) f)
        INTO last_id, n, total, e, found_now;
        EXIT WHEN n = 0;
        users := users + total;
        entries := entries + e;
        done := done + n;
        found_all := found_all || found_now;
        SELECT greatest(count(*), done) INTO total FROM economy.accounts;
    END LOOP;
    PERFORM economy.report_progress('audit_effects', done, done);
    found_all := found_all || ARRAY(SELECT f::economy.finding FROM economy.audit_effects() f);
    PERFORM economy.report_progress('audit_orphans', done, done);
    found_all := found_all || ARRAY(SELECT f::economy.finding FROM economy.audit_orphans() f);
    PERFORM economy.report_progress('audit_stock', done, done);
    found_all := found_all || ARRAY(SELECT f::economy.finding FROM economy.audit_stock() f);
    PERFORM economy.report_progress('audit_levels', done, done);
    found_all := found_all || ARRAY(SELECT f::economy.finding FROM economy.audit_levels() f);
    PERFORM economy.report_progress('audit_shop', done, done);
    found_all := found_all || ARRAY(SELECT f::economy.finding FROM economy.audit_shop() f);
    PERFORM economy.report_progress('audit_segments', done, done);
    found_all := found_all || ARRAY(SELECT f::economy.finding FROM economy.audit_segments() f)
                           || ARRAY(SELECT f::economy.finding FROM economy.audit_segment_state() f);
    PERFORM economy.report_progress('audit_rewards', done, done);
    found_all := found_all || ARRAY(SELECT f::economy.finding FROM economy.audit_rewards() f);
    PERFORM economy.report_progress('stats_parity', done, done);
    found_all := found_all || ARRAY(
        SELECT (p.user_id, 'parity', format('%s %s %s', p.source, p.game, p.expected), p.actual::text, NULL, NULL)::economy.finding
        FROM economy.stats_parity() p);
    PERFORM economy.report_progress(NULL, NULL, NULL);
    -- on a standby, and in a read-only transaction, the answer is all there is
    IF NOT current_setting('transaction_read_only')::boolean THEN
        PERFORM economy.audit_record(CASE WHEN since IS NULL THEN 'full' ELSE 'since' END, since, started, users, entries, found_all);
    END IF;
    RETURN QUERY SELECT f.* FROM unnest(found_all) f;
END
$$;
COMMENT ON FUNCTION economy.audit_sweep(timestamptz) IS
    'Checks the invariants and returns a row per finding; none means clean. since restricts the streams to users whose newest entry is at or after it. Recorded in audit_runs; progress in economy.progress().';

CREATE FUNCTION economy.audit_sweep_incremental(max_users integer DEFAULT 100000) RETURNS SETOF economy.finding
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    started   timestamptz := clock_timestamp();
    found_all economy.finding[];
    users     bigint;
    entries   bigint;
BEGIN
    PERFORM economy.require_given('max_users', max_users IS NOT NULL);
    IF max_users < 1 THEN
        RAISE EXCEPTION 'max_users must be 1 or more' USING ERRCODE = 'XE002';
    END IF;
    -- two sweeps at once would only do the same work twice
    PERFORM economy.lock_name('economy.audit_sweep_incremental');
    WITH fresh AS MATERIALIZED (
        SELECT a.user_id, a.seq, a.gold, a.experience_points, a.head_hash,
               -- one that is behind what was pruned begins at the first entry left
               a.seq - CASE WHEN coalesce(c.seq, 0) >= a.pruned_seq THEN coalesce(c.seq, 0)
                            ELSE coalesce((SELECT sum(p.total) FROM economy.pruned_stats p WHERE p.user_id = a.user_id), 0) END AS new_entries
        FROM economy.accounts a LEFT JOIN economy.audit_checkpoints c USING (user_id)
        WHERE a.seq IS DISTINCT FROM coalesce(c.seq, 0) ORDER BY a.user_id LIMIT max_users
    ), checked AS MATERIALIZED (
        SELECT f.user_id, f.seq, f.gold, f.experience_points, f.head_hash, f.new_entries,
               ARRAY(SELECT v::economy.finding FROM economy.verify_new(f.user_id) v) AS findings
        FROM fresh f
    ), clean AS (
        -- a stream with a finding keeps its old checkpoint and is found again
        INSERT INTO economy.audit_checkpoints AS c
            SELECT k.user_id, k.seq, k.gold, k.experience_points, k.head_hash FROM checked k WHERE cardinality(k.findings) = 0
            ON CONFLICT ON CONSTRAINT audit_checkpoints_pkey DO UPDATE SET
                seq = excluded.seq, gold = excluded.gold,
                experience_points = excluded.experience_points, hash = excluded.hash
    )
    SELECT count(*), coalesce(sum(k.new_entries), 0),
           ARRAY(SELECT u::economy.finding FROM checked c2 CROSS JOIN LATERAL unnest(c2.findings) u)
    INTO users, entries, found_all FROM checked k;
    PERFORM economy.audit_record('incremental', NULL, started, users, entries, found_all);
    RETURN QUERY SELECT f.* FROM unnest(found_all) f;
END
$$;
COMMENT ON FUNCTION economy.audit_sweep_incremental(integer) IS
    'Verifies only the entries since the last clean sweep of each user, for at most max_users users a call; audit_runs.users of the call is 0 when nothing is left.';
