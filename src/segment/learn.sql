-- segment: what Thompson sampling learned of decisions, and how old decisions go

-- An exposure is a user, placement, UTC day, segment and arm.

CREATE TABLE economy_internal.recommendation_progress (
    placement     text        NOT NULL COLLATE "C"
        CONSTRAINT recommendation_progress_pkey PRIMARY KEY,
    learned_until timestamptz NOT NULL,
    pruned_until  timestamptz NOT NULL
);
SELECT pg_catalog.pg_extension_config_dump('economy_internal.recommendation_progress', '');
COMMENT ON TABLE economy_internal.recommendation_progress IS
    'Up to which matures_at the job has counted the decisions of a '
    'placement, and removed old ones.';

CREATE TABLE economy_internal.recommendation_beliefs (
    placement text NOT NULL COLLATE "C",
    segment   text NOT NULL COLLATE "C",
    arm       text NOT NULL COLLATE "C",
    wins      double precision NOT NULL,
    losses    double precision NOT NULL,
    CONSTRAINT recommendation_beliefs_pkey PRIMARY KEY (placement, segment, arm)
);
SELECT pg_catalog.pg_extension_config_dump('economy_internal.recommendation_beliefs', '');
COMMENT ON TABLE economy_internal.recommendation_beliefs IS
    'Matured exposures of each arm, halved per half-life, '
    'as of recommendation_progress.learned_until.';
COMMENT ON COLUMN economy_internal.recommendation_beliefs.wins IS 'Exposures that converted.';
COMMENT ON COLUMN economy_internal.recommendation_beliefs.losses IS 'Exposures that did not.';

CREATE TABLE economy.recommendation_days (
    placement text NOT NULL COLLATE "C",
    segment   text NOT NULL COLLATE "C",
    day       date NOT NULL,
    arm       text NOT NULL COLLATE "C",
    wins      double precision NOT NULL,
    losses    double precision NOT NULL,
    CONSTRAINT recommendation_days_pkey PRIMARY KEY (placement, segment, day, arm)
);
SELECT pg_catalog.pg_extension_config_dump('economy.recommendation_days', '');
COMMENT ON TABLE economy.recommendation_days IS
    'What Thompson sampling knows from a UTC day on: recommendation_beliefs at its begin, '
    'until the job writes those of a later day.';
COMMENT ON COLUMN economy.recommendation_days.wins IS
    'Exposures that converted, halved per half-life.';
COMMENT ON COLUMN economy.recommendation_days.losses IS 'Exposures that did not.';

CREATE FUNCTION economy_internal.seconds(length interval) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC SELECT extract(epoch FROM length)::double precision; END;
COMMENT ON FUNCTION economy_internal.seconds(interval) IS
    'Length of an interval whose days have 24 hours and whose months 30 days.';

CREATE FUNCTION economy_internal.halved(
    amount double precision, age double precision, half_life double precision
) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        -- nothing that small is left, and no power of it underflows
        SELECT CASE WHEN amount < 1e-9 OR age > 100 * half_life THEN 0
                    ELSE amount * power(0.5::double precision, age / half_life) END;
    END;
COMMENT ON FUNCTION economy_internal.halved(double precision, double precision, double precision) IS
    'What is left of an amount of that age, in seconds, when it halves per half-life.';

CREATE FUNCTION economy_internal.recommendation_exposures(
    place text, after timestamptz, upto timestamptz,
    OUT segment text, OUT arm text, OUT matures_at timestamptz, OUT converted boolean
) RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp SET jit = off SET enable_seqscan = off
    BEGIN ATOMIC
        SELECT o.segment, o.arm, o.matures_at, coalesce(o.converted_at < o.matures_at, false)
        FROM economy.recommendation_outcomes o
        WHERE o.placement = place AND o.matures_at > after AND o.matures_at <= upto
          AND o.segment IS NOT NULL AND NOT o.fallback
          -- a new version of the placement may have shown it once more; with OFFSET 0 and without
          -- sequential scans each asks for its user's, whatever is known of the table, where a
          -- join may read all of the placement for each
          AND NOT EXISTS (SELECT FROM economy.recommendations f
                          WHERE f.user_id = o.user_id AND f.placement = o.placement
                            AND f.day = o.day AND f.segment = o.segment AND f.arm = o.arm
                            AND NOT f.fallback AND f.number < o.number OFFSET 0);
    END;
COMMENT ON FUNCTION economy_internal.recommendation_exposures(text, timestamptz, timestamptz) IS
    'Exposures of a placement that matured after one moment and up to another: '
    'one for a user, UTC day, segment and arm.';

CREATE FUNCTION economy.recommendation_posteriors(placement text, segment text, as_of timestamptz)
    RETURNS TABLE (
        arm text, "position" integer, product_id text, cta text, wins double precision,
        losses double precision
    )
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp SET jit = off
    BEGIN ATOMIC
        SELECT economy_internal.open_tables(
            'recommendation_arms', 'recommendation_placements', 'recommendations',
            'shop_transactions', 'archived_keys', 'economy_internal.rfm_reversals');
        -- only what had its whole window: wins do not come sooner than losses
        SELECT a.arm, a.position, a.product_id, a.cta,
               coalesce(sum(e.weight) FILTER (WHERE e.converted), 0),
               coalesce(sum(e.weight) FILTER (WHERE NOT e.converted), 0)
        FROM economy.recommendation_arms a
        JOIN LATERAL (
            SELECT p.* FROM economy.recommendation_placements p
            WHERE p.placement = recommendation_posteriors.placement
            ORDER BY p.version DESC LIMIT 1) p
            ON a.placement = p.placement AND a.version = p.version
        LEFT JOIN LATERAL (
            SELECT x.converted,
                   economy_internal.halved(1, economy_internal.seconds(as_of - x.matures_at),
                                  economy_internal.seconds(p.half_life)) AS weight
            FROM economy_internal.recommendation_exposures(
                recommendation_posteriors.placement, '-infinity', as_of) x
            WHERE x.segment = recommendation_posteriors.segment AND x.arm = a.arm) e ON true
        WHERE a.segment = recommendation_posteriors.segment
        GROUP BY a.arm, a.position, a.product_id, a.cta ORDER BY a.position, a.arm;
    END;
COMMENT ON FUNCTION economy.recommendation_posteriors(text, text, timestamptz) IS
    'The arms of a placement and segment, with the matured wins and losses of each, '
    'halved per half-life, counted anew from the decisions that are kept.';

CREATE FUNCTION economy_internal.recommendation_learn(place text, max_decisions integer)
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC'
    SET datestyle = 'ISO, YMD' SET jit = off AS $$
DECLARE
    today     CONSTANT timestamptz := date_trunc('day', economy.now(), 'UTC');
    half_life CONSTANT double precision := (
        SELECT economy_internal.seconds(p.half_life) FROM economy.recommendation_placements p
        WHERE p.placement = place ORDER BY p.version DESC LIMIT 1);
    since     timestamptz;
    upto      timestamptz;
    passed    double precision := 0;
    decisions bigint;
BEGIN
    SELECT p.learned_until INTO since FROM economy_internal.recommendation_progress p
        WHERE p.placement = place FOR UPDATE;
    IF since >= today THEN
        RETURN NULL;
    END IF;
    -- those of one moment are counted together
    SELECT count(*), CASE WHEN count(*) < max_decisions THEN today ELSE max(d.matures_at) END
        INTO decisions, upto
        FROM (SELECT r.matures_at FROM economy.recommendations r
              WHERE r.placement = place AND r.matures_at > since AND r.matures_at <= today
              ORDER BY r.matures_at LIMIT max_decisions) d;
    IF isfinite(since) THEN
        passed := economy_internal.seconds(upto - since);
    END IF;
    UPDATE economy_internal.recommendation_beliefs b SET
            wins = economy_internal.halved(b.wins, passed, half_life),
            losses = economy_internal.halved(b.losses, passed, half_life)
        WHERE b.placement = place;
    INSERT INTO economy_internal.recommendation_beliefs AS b
        SELECT place, e.segment, e.arm,
               coalesce(sum(w.weight) FILTER (WHERE e.converted), 0),
               coalesce(sum(w.weight) FILTER (WHERE NOT e.converted), 0)
        FROM economy_internal.recommendation_exposures(place, since, upto) e
        CROSS JOIN LATERAL (
            SELECT economy_internal.halved(
                1, economy_internal.seconds(upto - e.matures_at), half_life) AS weight) w
        GROUP BY e.segment, e.arm
        ON CONFLICT ON CONSTRAINT recommendation_beliefs_pkey DO UPDATE
            SET wins = b.wins + excluded.wins, losses = b.losses + excluded.losses;
    UPDATE economy_internal.recommendation_progress p
        SET learned_until = upto WHERE p.placement = place;
    IF upto = today THEN
        DELETE FROM economy_internal.recommendation_beliefs b
            WHERE b.placement = place AND b.wins + b.losses < 1e-9;
        INSERT INTO economy.recommendation_days AS d
            SELECT b.placement, b.segment, (today AT TIME ZONE 'UTC')::date, b.arm,
                   b.wins, b.losses
            FROM economy_internal.recommendation_beliefs b WHERE b.placement = place
            ON CONFLICT ON CONSTRAINT recommendation_days_pkey DO UPDATE
                SET wins = excluded.wins, losses = excluded.losses;
    END IF;
    RETURN decisions;
END
$$;
COMMENT ON FUNCTION economy_internal.recommendation_learn(text, integer) IS
    'Counts the next max_decisions decisions of a placement that matured before this UTC day, '
    'and publishes the day when there are no more; null when that was done.';

CREATE FUNCTION economy_internal.recommendation_forget(
    place text, before timestamptz, max_decisions integer
) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET jit = off SET enable_seqscan = off AS $$
DECLARE
    since      timestamptz;
    upto       timestamptz;
    decisions  bigint;
    who        bigint;
    newest_due bigint;
BEGIN
    SELECT p.pruned_until INTO since FROM economy_internal.recommendation_progress p
        WHERE p.placement = place FOR UPDATE;
    DELETE FROM economy.recommendation_days d
        WHERE d.placement = place AND d.day < (before AT TIME ZONE 'UTC')::date
          AND EXISTS (SELECT FROM economy.recommendation_days l
                      WHERE l.placement = d.placement AND l.segment = d.segment
                        AND l.day > d.day);
    SELECT count(*), CASE WHEN count(*) < max_decisions THEN before ELSE max(d.matures_at) END
        INTO decisions, upto
        FROM (SELECT r.matures_at FROM economy.recommendations r
              WHERE r.placement = place AND r.matures_at > since AND r.matures_at <= before
              ORDER BY r.matures_at LIMIT max_decisions) d;
    IF decisions = 0 THEN
        RETURN NULL;
    END IF;
    UPDATE economy_internal.recommendation_progress p
        SET pruned_until = upto WHERE p.placement = place;
    -- user by user: no plan reads others for each of them, whatever is known of the table
    FOR who, newest_due IN
        SELECT r.user_id, max(r.number) FROM economy.recommendations r
        WHERE r.placement = place AND r.matures_at > since AND r.matures_at <= upto
        GROUP BY r.user_id
    LOOP
        -- the newest stays, so that its number is not given again, until a later one is due
        DELETE FROM economy.recommendations d
            WHERE d.user_id = who AND d.number <= newest_due
              AND EXISTS (SELECT FROM economy_internal.recommendation_progress p
                          WHERE p.placement = d.placement AND p.pruned_until >= d.matures_at
                          OFFSET 0)
              AND d.number < (SELECT max(l.number) FROM economy.recommendations l
                              WHERE l.user_id = who);
    END LOOP;
    RETURN decisions;
END
$$;
COMMENT ON FUNCTION economy_internal.recommendation_forget(text, timestamptz, integer) IS
    'Removes the next max_decisions decisions of a placement that matured before a moment, '
    'those before them that were their users'' newest when it was their turn, '
    'and what was known on older days; null when there are no more decisions.';

CREATE FUNCTION economy.learn_recommendations(max_decisions integer DEFAULT 10000)
    RETURNS TABLE (decisions bigint, more boolean)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 1
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC'
    SET datestyle = 'ISO, YMD' AS $$
DECLARE
    retention CONSTANT integer := economy_internal.rfm_setting('economy.recommendation_retention');
    before    CONSTANT timestamptz := economy.now() - make_interval(hours => 24 * retention);
    place     economy.recommendation_placements;
BEGIN
    PERFORM economy_internal.require_positive('max_decisions', max_decisions);
    PERFORM economy_internal.open_tables(
        'shop_transactions', 'archived_keys', 'economy_internal.rfm_reversals',
        'recommendation_placements', 'recommendations', 'economy_internal.recommendation_progress',
        'economy_internal.recommendation_beliefs', 'recommendation_days');
    PERFORM economy_internal.lock_name('economy.learn_recommendations');
    more := true;
    FOR place IN
        SELECT DISTINCT ON (p.placement) p.* FROM economy.recommendation_placements p
        ORDER BY p.placement, p.version DESC
    LOOP
        INSERT INTO economy_internal.recommendation_progress
            VALUES (place.placement, '-infinity', '-infinity')
            ON CONFLICT ON CONSTRAINT recommendation_progress_pkey DO NOTHING;
        IF place.policy = 'thompson' THEN
            decisions := economy_internal.recommendation_learn(place.placement, max_decisions);
        END IF;
        decisions := coalesce(
            decisions,
            economy_internal.recommendation_forget(place.placement, before, max_decisions));
        IF decisions IS NOT NULL THEN
            RETURN NEXT;
            RETURN;
        END IF;
    END LOOP;
    decisions := 0;
    more := false;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION economy.learn_recommendations(integer) IS
    'One batch of the job that counts what came of decisions for Thompson sampling, '
    'and removes those older than economy.recommendation_retention: how many, '
    'and whether there is more to do.';
