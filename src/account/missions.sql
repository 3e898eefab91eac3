-- account: missions as a user has them, and their claims, which are rewards

CREATE FUNCTION economy.missions(user_id bigint) RETURNS TABLE (
        mission text, version integer, period text, state text, claimable boolean,
        progress bigint, target bigint, locked_by text[], ends_at timestamptz,
        claim_until timestamptz, gold bigint, xp bigint, items jsonb, "position" integer,
        texts jsonb
    )
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    PERFORM economy_internal.open_tables(
        'mission_templates', 'accounts', 'economy_internal.mission_progress_more', 'reward_audit',
        'archived_keys');
    RETURN QUERY SELECT * FROM economy_internal.missions_seen(user_id, economy.now());
END
$$;
COMMENT ON FUNCTION economy.missions(bigint) IS
    'The missions of a user: those that count now, and those that can still be claimed. state is '
    'locked, active, completed or claimed. No row for an unknown user.';

CREATE FUNCTION economy_internal.missions_seen(user_id bigint, at timestamptz) RETURNS TABLE (
        mission text, version integer, period text, state text, claimable boolean,
        progress bigint, target bigint, locked_by text[], ends_at timestamptz,
        claim_until timestamptz, gold bigint, xp bigint, items jsonb, "position" integer,
        texts jsonb
    )
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH account AS MATERIALIZED (
            SELECT a.sections, m.progress AS further
            FROM economy.accounts a
            LEFT JOIN economy_internal.mission_progress_more m ON m.user_id = a.user_id
            WHERE a.user_id = missions_seen.user_id
        ), stands AS MATERIALIZED (
            SELECT t, p.number, p.period, p.progress, p.state FROM account a
            CROSS JOIN LATERAL economy_internal.mission_progress_of(a.sections, a.further) p
            LEFT JOIN economy.mission_templates t ON t.number = p.number
        ), done AS MATERIALIZED (
            SELECT s.t FROM stands s WHERE s.state > 0
        ), has AS MATERIALIZED (
            SELECT s.number, s.period, s.progress,
                   -- another version may have been paid for the period, long ago too
                   CASE WHEN s.state = 1 AND (EXISTS (
                            SELECT FROM economy.reward_audit r
                            WHERE r.user_id = missions_seen.user_id
                              AND r.key_digest = economy_internal.key_digest(k.source, k.key)
                              AND r.source = k.source AND r.external_event_id = k.key)
                        OR EXISTS (
                            SELECT FROM economy.archived_keys a
                            WHERE a.user_id = missions_seen.user_id AND a.product_id = ''
                              AND a.key = economy_internal.archive_key('R', k.source, k.key)))
                        THEN 2 ELSE s.state END AS state
            FROM stands s
            CROSS JOIN LATERAL (
                SELECT 'economy:mission:' || (s.t).mission,
                       economy_internal.mission_period_key((s.t).period, (s.t).version, s.period)
            ) k (source, key)
        ), shown AS (
            SELECT t, economy_internal.mission_current(
                       t, at, l.period, l.state, l.progress) AS number,
                   true AS is_now
            FROM economy.mission_templates t
            LEFT JOIN LATERAL (SELECT h.period, h.state, h.progress FROM has h
                               WHERE h.number = t.number
                               ORDER BY h.period DESC LIMIT 1) l ON true
            WHERE t.starts_at <= at AND at < coalesce(least(t.ends_at, t.retired_at), 'infinity')
            UNION ALL
            SELECT t, h.period, false
            FROM has h JOIN economy.mission_templates t ON t.number = h.number
            WHERE h.state = 1 AND at >= economy_internal.mission_ends(t, h.period, h.progress)
        ), row_of AS (
            SELECT s.t, s.number, s.is_now, coalesce(h.progress, 0) AS progress,
                   coalesce(h.state, 0) AS state, h.number IS NOT NULL AS begun,
                   ARRAY(SELECT r FROM unnest((s.t).requires) r
                         WHERE NOT EXISTS (SELECT FROM done d
                                           WHERE (d.t).mission = r
                                             AND economy_internal.mission_opens(d.t, s.t))
                         ORDER BY r) AS locked_by,
                   economy_internal.mission_ends(s.t, s.number, coalesce(h.progress, 0))
                       AS ends_at
            FROM shown s CROSS JOIN account a
            LEFT JOIN has h ON h.number = (s.t).number AND h.period = s.number
        )
        SELECT (r.t).mission, (r.t).version,
               economy_internal.mission_period_key((r.t).period, (r.t).version, r.number),
               CASE WHEN r.state = 0 AND r.locked_by <> '{}' THEN 'locked'
                    ELSE (ARRAY['active', 'completed', 'claimed'])[r.state + 1] END,
               r.state = 1, r.progress, (r.t).target, r.locked_by, r.ends_at,
               r.ends_at + make_interval(hours => (r.t).claim_hours), (r.t).gold, (r.t).xp,
               (r.t).items, (r.t)."position", (r.t).texts
        FROM row_of r
        WHERE (r.begun OR NOT (r.t).hidden)
          AND (r.is_now OR at < r.ends_at + make_interval(hours => (r.t).claim_hours))
        ORDER BY (r.t)."position", (r.t).mission, r.number;
    END;
COMMENT ON FUNCTION economy_internal.missions_seen(bigint, timestamptz) IS
    'missions() at a moment, as one snapshot sees them.';

CREATE FUNCTION economy_internal.present_period(user_id bigint, mission text, at timestamptz)
    RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp SET enable_seqscan = off SET jit = off AS $$
DECLARE
    t    economy.mission_templates;
    last bigint;
BEGIN
    SELECT m.* INTO t FROM economy.mission_templates m
        WHERE m.mission = present_period.mission ORDER BY m.version DESC LIMIT 1;
    IF t.period !~ '^(repeat|rolling)' AND t.progress <> 'streak' THEN
        last := economy_internal.mission_period_at(t.period, at);
    ELSE
        SELECT max(p.period) INTO last FROM economy.accounts a
            LEFT JOIN economy_internal.mission_progress_more m ON m.user_id = a.user_id
            CROSS JOIN LATERAL economy_internal.mission_progress_of(a.sections, m.progress) p
            WHERE a.user_id = present_period.user_id AND p.number = t.number;
        IF t.period ~ '^repeat' THEN
            last := coalesce(last, 1);
        END IF;
    END IF;
    RETURN economy_internal.mission_period_key(t.period, t.version, last);
END
$$;
COMMENT ON FUNCTION economy_internal.present_period(bigint, text, timestamptz) IS
    'The period whose claim is meant by one that names none: the present one, or of repeat and '
    'rolling the last one that has begun, so that a claim that is sent again is the same.';

CREATE FUNCTION economy_internal.claim_of(user_id bigint, mission text, period text, at timestamptz)
    RETURNS TABLE (template economy.mission_templates, code text, detail jsonb)
    -- whose plan is kept, where that of a function in SQL would be made for each claim
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    -- a plan that was made of small tables serves large ones
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
    AS $$
BEGIN
    RETURN QUERY
        WITH version AS MATERIALIZED (
            SELECT t FROM economy.mission_templates t WHERE t.mission = claim_of.mission
        ), claimed AS (
            -- pays what it paid: a version never changes
            SELECT v.t, NULL::text AS code, NULL::jsonb AS detail, 1 AS place
            FROM economy.reward_audit r
            JOIN version v ON (v.t).version::text = r.details ->> 'version'
            WHERE r.user_id = claim_of.user_id
              AND r.key_digest = economy_internal.key_digest(
                  'economy:mission:' || claim_of.mission, claim_of.period)
              AND r.source = 'economy:mission:' || claim_of.mission
              AND r.external_event_id = claim_of.period
        ), record AS (
            SELECT v.t, p.state, p.progress,
                   economy_internal.mission_ends(v.t, p.period, p.progress)
                       + make_interval(hours => (v.t).claim_hours) AS claim_until
            FROM economy.accounts a
            LEFT JOIN economy_internal.mission_progress_more m ON m.user_id = a.user_id
            CROSS JOIN LATERAL economy_internal.mission_progress_of(a.sections, m.progress) p
            JOIN version v ON (v.t).number = p.number
            WHERE a.user_id = claim_of.user_id
              AND economy_internal.mission_period_key((v.t).period, (v.t).version, p.period)
                  = claim_of.period
        ), answer AS (
            SELECT * FROM claimed
            UNION ALL
            SELECT r.t,
                   CASE WHEN r.state = 0 THEN 'MISSION_NOT_COMPLETED'
                        WHEN r.state = 1 AND at >= r.claim_until THEN 'MISSION_EXPIRED' END,
                   CASE WHEN r.state = 0
                        THEN jsonb_build_object('progress', r.progress, 'target', (r.t).target)
                        WHEN r.state = 1 AND at >= r.claim_until
                        THEN jsonb_build_object('claim_until', r.claim_until) END,
                   CASE WHEN r.state = 0 THEN 3 ELSE 2 END
            FROM record r
            UNION ALL
            SELECT v.t, 'MISSION_NOT_COMPLETED',
                   jsonb_build_object('progress', 0, 'target', (v.t).target), 4
            FROM version v
        )
        SELECT a.t, a.code, a.detail FROM answer a
        ORDER BY a.place, a.code IS NOT NULL, (a.t).version DESC LIMIT 1;
END
$$;
COMMENT ON FUNCTION economy_internal.claim_of(bigint, text, text, timestamptz) IS
    'Which version of a mission a claim is of, and why it is refused; no row for no such mission.';

CREATE FUNCTION economy_internal.claim_is_busy(user_id bigint, mission text, key text)
    RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET enable_seqscan = off AS $$
BEGIN
    -- no such mission, or no such period, has nothing to be paid
    IF coalesce(octet_length(mission) <= 48 AND octet_length(key) BETWEEN 1 AND 32, false)
       -- a retry is a read
       AND NOT EXISTS (
           SELECT FROM economy.reward_audit r
           WHERE r.user_id = claim_is_busy.user_id
             AND r.key_digest = economy_internal.key_digest(
                 'economy:mission:' || claim_is_busy.mission, claim_is_busy.key)
             AND r.source = 'economy:mission:' || claim_is_busy.mission
             AND r.external_event_id = claim_is_busy.key) THEN
        RETURN economy_internal.announce_key('R', user_id, 'economy:mission:' || mission, key);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION economy_internal.claim_is_busy(bigint, text, text) IS
    'Announces a claim that was not paid yet: null; or after how many milliseconds to try again, '
    'as another transaction is in it.';

CREATE FUNCTION economy.claim_mission(user_id bigint, mission text, period text DEFAULT NULL)
    RETURNS economy.grant_result
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    SET TimeZone = 'UTC' SET DateStyle = 'ISO, YMD' AS $$
DECLARE
    claim  record;
    key    text := period;
    answer economy.grant_result;
BEGIN
    PERFORM economy_internal.require_given('user_id', user_id IS NOT NULL);
    PERFORM economy_internal.require_given('mission', mission IS NOT NULL);
    PERFORM economy_internal.open_tables(
        'mission_templates', 'accounts', 'reward_audit', 'level_curves', 'level_experiments',
        'items', 'economy_internal.user_holdings_more',
        'economy_internal.mission_progress_more');
    IF key IS NULL THEN
        -- of no such mission, or of one that has not begun, there is none
        key := coalesce(economy_internal.present_period(user_id, mission, economy.now()), '');
    END IF;
    answer.retry_after_ms := economy_internal.claim_is_busy(user_id, mission, key);
    IF answer.retry_after_ms IS NOT NULL THEN
        answer.success := false;
        answer.state := 'in_progress';
        answer.code := 'IN_PROGRESS';
        RETURN answer;
    END IF;
    -- what is read of the user afterwards stays as it is
    PERFORM FROM economy.accounts a WHERE a.user_id = claim_mission.user_id FOR NO KEY UPDATE;
    IF NOT found THEN
        RETURN economy_internal.refused(answer, 'USER_NOT_FOUND', NULL);
    END IF;
    SELECT c.* INTO claim
        FROM economy_internal.claim_of(user_id, mission, coalesce(key, ''), economy.now()) c;
    IF NOT found THEN
        RETURN economy_internal.refused(answer, 'MISSION_NOT_FOUND', NULL);
    END IF;
    IF claim.code IS NOT NULL THEN
        RETURN economy_internal.refused(answer, claim.code, claim.detail);
    END IF;
    SELECT g.* INTO STRICT answer
        FROM economy_internal.grant_prizes(
            ARRAY[user_id], ARRAY['economy:mission:' || mission], ARRAY[key],
            ARRAY[(claim.template).gold], ARRAY[(claim.template).xp],
            ARRAY[jsonb_build_object('mission', mission, 'version', (claim.template).version,
                                     'period', key)],
            ARRAY[(claim.template).items]) g;
    RETURN answer;
END
$$;
COMMENT ON FUNCTION economy.claim_mission(bigint, text, text) IS
    'Pays the reward of a mission that the user has completed, once for a period, the present one '
    'unless another is named: a reward of the source economy:mission:<mission>, with the period as '
    'its id. Again it answers what it answered, with state reuse. Refuses USER_NOT_FOUND, '
    'MISSION_NOT_FOUND, MISSION_NOT_COMPLETED, MISSION_EXPIRED, and as grant_reward() does.';

CREATE FUNCTION economy.claim_all(user_id bigint) RETURNS TABLE (
        mission text, period text, success boolean, state text, code text,
        transaction_id text, gold_delta bigint, xp_delta bigint, gold bigint,
        experience_points bigint, items jsonb
    )
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    claim record;
    busy  text[] := '{}';
    n     bigint := 0;
BEGIN
    PERFORM economy_internal.require_given('user_id', user_id IS NOT NULL);
    PERFORM economy_internal.open_tables(
        'mission_templates', 'accounts', 'reward_audit', 'level_curves', 'level_experiments',
        'items', 'economy_internal.user_holdings_more',
        'economy_internal.mission_progress_more', 'archived_keys');
    -- before the account, whose lock whoever is in one of them has
    FOR claim IN
        SELECT m.mission, m.period
        FROM economy_internal.missions_seen(claim_all.user_id, economy.now()) m
        WHERE m.claimable
    LOOP
        n := n + 1;
        IF economy_internal.claim_is_busy(user_id, claim.mission, claim.period) IS NOT NULL THEN
            busy := busy || concat(claim.mission, ' ', claim.period);
            RETURN QUERY SELECT claim.mission, claim.period, false, 'in_progress', 'IN_PROGRESS',
                                NULL::text, NULL::bigint, NULL::bigint, NULL::bigint,
                                NULL::bigint, NULL::jsonb;
        END IF;
    END LOOP;
    IF n > 0 AND cardinality(busy) = n THEN
        RETURN;
    END IF;
    PERFORM FROM economy.accounts a WHERE a.user_id = claim_all.user_id FOR NO KEY UPDATE;
    FOR claim IN
        SELECT m.mission, m.period
        FROM economy_internal.missions_seen(claim_all.user_id, economy.now()) m
        WHERE m.claimable AND concat(m.mission, ' ', m.period) <> ALL (busy)
    LOOP
        RETURN QUERY SELECT claim.mission, claim.period, c.success, c.state, c.code,
                            c.transaction_id, c.gold_delta, c.xp_delta, c.gold,
                            c.experience_points, c.items
                     FROM economy.claim_mission(claim_all.user_id, claim.mission, claim.period) c;
    END LOOP;
END
$$;
COMMENT ON FUNCTION economy.claim_all(bigint) IS
    'claim_mission() for every mission that the user can claim, a row for each.';

CREATE FUNCTION economy_internal.missions_due(user_ids bigint[], at timestamptz)
    RETURNS TABLE (user_id bigint, mission text, period text)
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
    BEGIN ATOMIC
        SELECT a.user_id, t.mission,
               economy_internal.mission_period_key(t.period, t.version, p.period)
        FROM unnest(user_ids) i (user_id)
        JOIN economy.accounts a ON a.user_id = i.user_id
        LEFT JOIN economy_internal.mission_progress_more m ON m.user_id = a.user_id
        CROSS JOIN LATERAL economy_internal.mission_progress_of(a.sections, m.progress) p
        JOIN economy.mission_templates t ON t.number = p.number
        WHERE p.state = 1 AND t.auto_claim
          AND coalesce(at < economy_internal.mission_ends(t, p.period, p.progress)
                       + make_interval(hours => t.claim_hours), true)
        ORDER BY a.user_id, p.number, p.period;
    END;
COMMENT ON FUNCTION economy_internal.missions_due(bigint[], timestamptz) IS
    'What some users have completed and not claimed of the missions with auto_claim.';

CREATE FUNCTION economy_internal.claim_missions(
    after jsonb DEFAULT NULL, max integer DEFAULT 1000,
    OUT claimed bigint, OUT failed bigint, OUT next jsonb
)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    -- in the order of the users, whatever their statistics say
    SET enable_seqscan = off SET jit = off
    -- with accounts locked it waits for nobody's key
    SET economy.duplicate_wait = 0 AS $$
DECLARE
    users bigint[];
    due   record;
BEGIN
    claimed := 0;
    failed := 0;
    PERFORM economy_internal.open_tables(
        'mission_templates', 'accounts', 'reward_audit', 'level_curves', 'level_experiments',
        'items', 'economy_internal.user_holdings_more',
        'economy_internal.mission_progress_more');
    -- most databases have none, and no account is read
    IF NOT EXISTS (SELECT FROM economy.mission_templates t WHERE t.auto_claim
                     AND coalesce(economy.now() < least(t.ends_at, t.retired_at)
                                  + make_interval(hours => t.claim_hours), true)) THEN
        RETURN;
    END IF;
    users := ARRAY(SELECT a.user_id FROM economy.accounts a
                   WHERE after IS NULL OR a.user_id > (after ->> 'user_id')::bigint
                   ORDER BY a.user_id LIMIT max);
    FOR due IN SELECT * FROM economy_internal.missions_due(users, economy.now()) LOOP
        BEGIN
            -- who is in a call now keeps nobody waiting: the next run finds it again
            PERFORM FROM economy.accounts a WHERE a.user_id = due.user_id
                FOR NO KEY UPDATE SKIP LOCKED;
            CONTINUE WHEN NOT found;
            claimed := claimed + (SELECT count(*) FILTER (WHERE c.state = 'new')
                                  FROM economy.claim_mission(due.user_id, due.mission,
                                                             due.period) c);
        EXCEPTION WHEN serialization_failure THEN
            RAISE;
        WHEN OTHERS THEN
            failed := failed + 1;
            RAISE WARNING 'mission % of user % could not be claimed', due.mission, due.user_id
                USING DETAIL = format('%s: %s', SQLSTATE, SQLERRM);
        END;
    END LOOP;
    IF cardinality(users) = max THEN
        next := jsonb_build_object('user_id', users[max]);
    END IF;
END
$$;
COMMENT ON FUNCTION economy_internal.claim_missions(jsonb, integer) IS
    'Pays what max users behind a place have completed of missions with auto_claim, as '
    'claim_mission() does; next is the place of the last one, or null. What cannot be paid keeps '
    'nobody else from it, and is tried again by the next run. What the job does.';

CREATE TYPE economy.mission_difference AS (
    user_id  bigint,
    mission  text,
    version  integer,
    period   text,
    expected text,
    actual   text
);
COMMENT ON TYPE economy.mission_difference IS
    'Progress that is not what the entries say: a row of mission_parity().';

CREATE FUNCTION economy_internal.mission_differences(user_ids bigint[])
    RETURNS SETOF economy.mission_difference
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
    BEGIN ATOMIC
        WITH asked AS MATERIALIZED (
            SELECT a.user_id, a.sections, m.progress AS further, a.pruned_seq
            FROM unnest(user_ids) i (user_id)
            JOIN economy.accounts a ON a.user_id = i.user_id
            LEFT JOIN economy_internal.mission_progress_more m ON m.user_id = a.user_id
            WHERE EXISTS (SELECT FROM economy.mission_templates)
        ), again AS MATERIALIZED (
            SELECT a.user_id, a.pruned_seq, p.*
            FROM asked a CROSS JOIN LATERAL economy_internal.mission_replay(a.user_id, 0) p
        ), differs AS MATERIALIZED (
            SELECT coalesce(e.user_id, s.user_id) AS user_id,
                   coalesce(e.number, s.number) AS number, coalesce(e.period, s.period) AS period,
                   e.state AS state_expected, e.progress AS expected, e.since AS since_expected,
                   s.state AS state_actual, s.progress AS actual, s.since AS since_actual,
                   encode(e.kept, 'hex') AS kept_expected, encode(s.kept, 'hex') AS kept_actual
            FROM (SELECT * FROM again WHERE NOT unearned) e
            FULL JOIN (SELECT a.user_id, p.*
                       FROM asked a
                       CROSS JOIN LATERAL
                           economy_internal.mission_progress_of(a.sections, a.further) p) s
                ON s.user_id = e.user_id AND s.number = e.number AND s.period = e.period
            WHERE (e.state, e.progress, e.since, e.kept)
                  IS DISTINCT FROM (s.state, s.progress, s.since, s.kept)
        ), bounds AS MATERIALIZED (
            -- counted again once for a user, however much differs
            SELECT b.user_id, b.number, b.period, max(b.state_expected) AS state_expected,
                   max(b.expected) AS expected, max(b.since_expected) AS since_expected,
                   max(b.state_actual) AS state_actual, max(b.actual) AS actual,
                   max(b.since_actual) AS since_actual,
                   max(b.kept_expected) AS kept_expected, max(b.kept_actual) AS kept_actual,
                   coalesce(max(b.least), '{0,0,0}') AS least,
                   coalesce(max(b.most), '{0,0,0}') AS most,
                   max(b.kept_least) AS kept_least, max(b.kept_most) AS kept_most
            FROM (SELECT d.*, NULL::bigint[] AS least, NULL::bigint[] AS most,
                         NULL::text AS kept_least, NULL::text AS kept_most, true AS differs
                  FROM differs d
                  UNION ALL
                  SELECT u.user_id, l.number, l.period, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                         NULL, ARRAY[l.state, l.progress, l.since], NULL, encode(l.kept, 'hex'),
                         NULL, false
                  FROM (SELECT DISTINCT d.user_id FROM differs d) u
                  CROSS JOIN LATERAL economy_internal.mission_replay(u.user_id, 1) l
                  WHERE NOT l.unearned
                  UNION ALL
                  SELECT u.user_id, m.number, m.period, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                         NULL, NULL, ARRAY[m.state, m.progress, m.since], NULL,
                         encode(m.kept, 'hex'), false
                  FROM (SELECT DISTINCT d.user_id FROM differs d) u
                  CROSS JOIN LATERAL economy_internal.mission_replay(u.user_id, 2) m
                  WHERE NOT m.unearned) b
            GROUP BY 1, 2, 3 HAVING bool_or(b.differs)
        ), judged AS (
            SELECT d.*, coalesce((d.state_actual, d.actual) = (d.state_expected, d.expected),
                                 false) AS is_beside
            FROM bounds d
        )
        SELECT d.user_id, t.mission, t.version,
               economy_internal.mission_period_key(t.period, t.version, d.period),
               concat_ws(' ', (ARRAY['active', 'completed', 'claimed'])[d.state_expected + 1],
                         coalesce(d.expected, 0),
                         CASE WHEN d.is_beside AND d.since_expected <> d.since_actual
                              THEN 'with entry ' || d.since_expected
                              WHEN d.is_beside THEN 'with ' || coalesce(d.kept_expected, 'nothing')
                         END),
               concat_ws(' ', (ARRAY['active', 'completed', 'claimed'])[d.state_actual + 1],
                         coalesce(d.actual, 0),
                         CASE WHEN d.is_beside AND d.since_expected <> d.since_actual
                              THEN 'with entry ' || d.since_actual
                              WHEN d.is_beside THEN 'with ' || coalesce(d.kept_actual, 'nothing')
                         END)
        FROM judged d JOIN asked a ON a.user_id = d.user_id
        LEFT JOIN economy.mission_templates t ON t.number = d.number
        -- what is over is forgotten when something else counts
        WHERE coalesce(economy.now() < economy_internal.mission_ends(
                           t, d.period, greatest(d.expected, d.actual))
                       + make_interval(hours => CASE
                             WHEN greatest(d.state_expected, d.state_actual) > 0
                             THEN t.claim_hours ELSE 0 END), true)
          -- of what has left its journal it is known that there was more
          AND (a.pruned_seq = 0 OR t.number IS NULL
               -- where a run, a window or a streak began without it is not
               OR (t.period !~ '^(repeat|rolling)' AND t.progress <> 'streak'
                   AND (d.state_actual, d.actual) < (d.state_expected, d.expected)))
          AND (t.number IS NULL
               OR ARRAY[coalesce(d.state_actual, 0), coalesce(d.actual, 0)]
                  NOT BETWEEN d.least[1:2] AND d.most[1:2]
               OR (d.is_beside AND d.since_expected = d.least[3]
                   AND d.since_expected = d.most[3]
                   AND d.kept_expected IS NOT DISTINCT FROM d.kept_least
                   AND d.kept_expected IS NOT DISTINCT FROM d.kept_most))
        UNION ALL
        SELECT e.user_id, t.mission, t.version, NULL, 'completed before it was claimed', 'claimed'
        FROM again e JOIN economy.mission_templates t ON t.number = e.number
        WHERE e.unearned AND e.pruned_seq = 0
          AND EXISTS (SELECT FROM economy_internal.mission_replay(e.user_id, 2) m
                      WHERE m.number = e.number AND m.unearned)
        UNION ALL
        SELECT a.user_id, NULL, NULL, NULL, 'progress that can be read', 'damaged'
        FROM asked a WHERE NOT economy_internal.mission_progress_sound(a.sections, a.further);
    END;
COMMENT ON FUNCTION economy_internal.mission_differences(bigint[]) IS
    'mission_parity() of some users.';

CREATE FUNCTION economy.mission_parity(user_id bigint DEFAULT NULL)
    RETURNS SETOF economy.mission_difference
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    users bigint[] := ARRAY[user_id];
    after bigint := -9223372036854775808;
BEGIN
    PERFORM economy_internal.open_all_tables();
    IF user_id IS NOT NULL THEN
        RETURN QUERY SELECT * FROM economy_internal.mission_differences(users);
        RETURN;
    END IF;
    LOOP
        users := ARRAY(SELECT a.user_id FROM economy.accounts a WHERE a.user_id > after
                       ORDER BY a.user_id LIMIT 10000);
        EXIT WHEN cardinality(users) = 0;
        after := users[cardinality(users)];
        RETURN QUERY SELECT * FROM economy_internal.mission_differences(users);
    END LOOP;
END
$$;
COMMENT ON FUNCTION economy.mission_parity(bigint) IS
    'Counts progress in missions again from the entries, of a user or of all, and returns what '
    'differs; none means exact. What was made within a minute of a mission''s publication or '
    'retirement may count or not.';
