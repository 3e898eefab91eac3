-- segment: recommendations, by rule or by Thompson sampling

CREATE TABLE economy.recommendation_placements (
    placement          text     NOT NULL COLLATE "C" CONSTRAINT recommendation_placements_placement_check
        CHECK (octet_length(placement) BETWEEN 1 AND 64),
    version            integer  NOT NULL,
    policy             text     NOT NULL DEFAULT 'rules' CONSTRAINT recommendation_placements_policy_check
        CHECK (policy IN ('rules', 'thompson')),
    attribution_window interval NOT NULL DEFAULT '7 days' CONSTRAINT recommendation_placements_window_check
        CHECK (attribution_window BETWEEN '1 minute' AND '90 days'),
    half_life          interval NOT NULL DEFAULT '30 days' CONSTRAINT recommendation_placements_half_life_check
        CHECK (half_life BETWEEN '1 hour' AND '3650 days'),
    exploration        double precision NOT NULL DEFAULT 0.05 CONSTRAINT recommendation_placements_exploration_check
        CHECK (exploration BETWEEN 0 AND 1),
    actor              text     NOT NULL,
    changed_at         timestamptz NOT NULL,
    CONSTRAINT recommendation_placements_pkey PRIMARY KEY (placement, version)
);
SELECT pg_catalog.pg_extension_config_dump('economy.recommendation_placements', 'WHERE version > 0');
COMMENT ON TABLE economy.recommendation_placements IS
    'Places of the app that show a recommendation; the highest version of each is in force.';
COMMENT ON CONSTRAINT recommendation_placements_placement_check
    ON economy.recommendation_placements IS
    'placement must have 1 to 64 bytes';
COMMENT ON CONSTRAINT recommendation_placements_policy_check ON economy.recommendation_placements IS
    'policy must be rules or thompson';
COMMENT ON CONSTRAINT recommendation_placements_window_check ON economy.recommendation_placements IS
    'attribution_window must be from 1 minute to 90 days';
COMMENT ON CONSTRAINT recommendation_placements_half_life_check
    ON economy.recommendation_placements IS
    'half_life must be from 1 hour to 3650 days';
COMMENT ON CONSTRAINT recommendation_placements_exploration_check
    ON economy.recommendation_placements IS
    'exploration must be from 0 to 1';
COMMENT ON COLUMN economy.recommendation_placements.policy IS
    'rules: the first arm that can be shown; thompson: Thompson sampling over those.';
COMMENT ON COLUMN economy.recommendation_placements.attribution_window IS
    'A purchase of the product so long after the decision is its conversion; '
    'a day is 24 hours, a month 30 days.';
COMMENT ON COLUMN economy.recommendation_placements.half_life IS
    'thompson: age at which an outcome counts half.';
COMMENT ON COLUMN economy.recommendation_placements.exploration IS
    'thompson: share of decisions that are spread evenly over the arms.';

CREATE TABLE economy.recommendation_arms (
    placement  text    NOT NULL COLLATE "C",
    version    integer NOT NULL,
    segment    text    NOT NULL COLLATE "C" CONSTRAINT recommendation_arms_segment_check CHECK (octet_length(segment) BETWEEN 1 AND 64),
    position   integer NOT NULL,
    arm        text    NOT NULL COLLATE "C" CONSTRAINT recommendation_arms_arm_check CHECK (octet_length(arm) BETWEEN 1 AND 64),
    cta        text    NOT NULL CONSTRAINT recommendation_arms_cta_check CHECK (octet_length(cta) BETWEEN 1 AND 255),
    product_id text    COLLATE "C" CONSTRAINT recommendation_arms_product_id_check CHECK (octet_length(product_id) BETWEEN 1 AND 64),
    CONSTRAINT recommendation_arms_pkey PRIMARY KEY (placement, version, segment, arm)
);
SELECT pg_catalog.pg_extension_config_dump('economy.recommendation_arms', 'WHERE version > 0');
COMMENT ON TABLE economy.recommendation_arms IS
    'What can be recommended to a segment at a placement, in the order of position; '
    'the segment * is the fallback.';
COMMENT ON CONSTRAINT recommendation_arms_segment_check ON economy.recommendation_arms IS
    'segment must have 1 to 64 bytes';
COMMENT ON CONSTRAINT recommendation_arms_arm_check ON economy.recommendation_arms IS
    'arm must have 1 to 64 bytes';
COMMENT ON CONSTRAINT recommendation_arms_cta_check ON economy.recommendation_arms IS
    'cta must have 1 to 255 bytes';
COMMENT ON CONSTRAINT recommendation_arms_product_id_check ON economy.recommendation_arms IS
    'product_id must have 1 to 64 bytes';
COMMENT ON CONSTRAINT recommendation_arms_pkey ON economy.recommendation_arms IS
    'a segment has an arm of this name already';
COMMENT ON COLUMN economy.recommendation_arms.cta IS 'What the app shows: the call to action.';
COMMENT ON COLUMN economy.recommendation_arms.product_id IS
    'Product that the user must be able to buy; null needs none.';
INSERT INTO economy.recommendation_placements (placement, version, actor, changed_at) VALUES ('home', 0, 'economy', '2000-01-01 00:00:00+00');
INSERT INTO economy.recommendation_arms VALUES
    ('home', 0, 'AtRisk',      1, 'return',    'return_package',    'return_package'),
    ('home', 0, 'Whale',       1, 'limited',   'limited_package',   'limited_package'),
    ('home', 0, 'HighEngaged', 1, 'mission',   'mission_extension', NULL),
    ('home', 0, 'Medium',      1, 'value',     'value_package',     'value_package'),
    ('home', 0, 'Low',         1, 'bonus',     'daily_bonus',       NULL),
    ('home', 0, 'New',         1, 'starter',   'starter_package',   'starter_package'),
    ('home', 0, 'NoPurchase',  1, 'first_buy', 'first_purchase',    'first_purchase'),
    ('home', 0, '*',           1, 'daily',     'daily_reward',      NULL);

CREATE TABLE economy.recommendations (
    user_id      bigint      NOT NULL,
    number       bigint      NOT NULL,
    placement    text        NOT NULL COLLATE "C",
    version      integer     NOT NULL,
    segment      text        COLLATE "C",
    arm          text        NOT NULL COLLATE "C",
    cta          text        NOT NULL,
    product_id   text        COLLATE "C",
    fallback     boolean     NOT NULL,
    policy       text        NOT NULL,
    propensity   double precision NOT NULL CONSTRAINT recommendations_propensity_check CHECK (propensity > 0 AND propensity <= 1),
    day          date        NOT NULL,
    seq          bigint      NOT NULL,
    decided_at   timestamptz NOT NULL,
    matures_at   timestamptz NOT NULL,
    clicked_at   timestamptz,
    converted_at timestamptz,
    CONSTRAINT recommendations_pkey PRIMARY KEY (user_id, number)
);
CREATE INDEX recommendations_day_idx ON economy.recommendations (user_id, placement, day);
CREATE INDEX recommendations_matures_at_idx ON economy.recommendations (placement, matures_at);
SELECT pg_catalog.pg_extension_config_dump('economy.recommendations', '');
COMMENT ON TABLE economy.recommendations IS
    'What recommend() decided to show, once for a user, placement, UTC day and arm, '
    'with what it was made of and the feedback; kept for economy.recommendation_retention.';
COMMENT ON COLUMN economy.recommendations.number IS
    'Counts the user''s decisions; the decision_id is D<user>-<number>.';
COMMENT ON COLUMN economy.recommendations.segment IS
    'The user''s segment at that moment; null before the first refresh.';
COMMENT ON COLUMN economy.recommendations.fallback IS
    'No arm of the user''s segment could be shown.';
COMMENT ON COLUMN economy.recommendations.propensity IS
    'Probability with which the policy chose this arm of those it could show, exact to 1e-8.';
COMMENT ON COLUMN economy.recommendations.day IS 'UTC day of the decision.';
COMMENT ON COLUMN economy.recommendations.seq IS
    'The user''s newest entry at the decision; a purchase after it can be its conversion.';
COMMENT ON COLUMN economy.recommendations.matures_at IS
    'End of the placement''s attribution window; a day of it is 24 hours.';
COMMENT ON COLUMN economy.recommendations.converted_at IS
    'Conversion by feedback; a purchase attributes itself, see recommendation_outcomes.';

CREATE VIEW economy.recommendation_outcomes AS
    SELECT d.user_id, d.number, d.placement, d.version, d.segment, d.arm, d.fallback, d.policy, d.propensity, d.day, d.decided_at,
           d.clicked_at, least(d.converted_at, b.bought_at) AS converted_at, d.matures_at
    FROM economy.recommendations d
    LEFT JOIN LATERAL (
        SELECT min(t.created_at) AS bought_at FROM economy.shop_transactions t
        WHERE t.user_id = d.user_id AND t.product_id = d.product_id AND t.status = 'SUCCESS'
          AND t.seq > d.seq AND t.created_at < d.matures_at
          AND NOT EXISTS (SELECT FROM economy.rfm_reversals r WHERE r.user_id = t.user_id AND r.seq = t.seq)
          -- the last decision before the purchase has it
          AND NOT EXISTS (SELECT FROM economy.recommendations l
                          WHERE l.user_id = d.user_id AND l.product_id = d.product_id AND l.number > d.number AND l.seq < t.seq)) b
        ON d.product_id IS NOT NULL;
COMMENT ON VIEW economy.recommendation_outcomes IS
    'Decisions with what came of them: a click, and a conversion by feedback or by a purchase of '
    'the product within the placement''s window.';

-- What was learned of them: an exposure is a user, placement, UTC day and arm.

CREATE TABLE economy.recommendation_progress (
    placement     text        NOT NULL COLLATE "C" CONSTRAINT recommendation_progress_pkey PRIMARY KEY,
    learned_until timestamptz NOT NULL,
    pruned_until  timestamptz NOT NULL
);
SELECT pg_catalog.pg_extension_config_dump('economy.recommendation_progress', '');
COMMENT ON TABLE economy.recommendation_progress IS
    'Up to which matures_at the job has counted the decisions of a '
    'placement, and removed old ones.';

CREATE TABLE economy.recommendation_beliefs (
    placement text NOT NULL COLLATE "C",
    segment   text NOT NULL COLLATE "C",
    arm       text NOT NULL COLLATE "C",
    wins      double precision NOT NULL,
    losses    double precision NOT NULL,
    CONSTRAINT recommendation_beliefs_pkey PRIMARY KEY (placement, segment, arm)
);
SELECT pg_catalog.pg_extension_config_dump('economy.recommendation_beliefs', '');
COMMENT ON TABLE economy.recommendation_beliefs IS
    'Matured exposures of each arm, halved per half-life, '
    'as of recommendation_progress.learned_until.';
COMMENT ON COLUMN economy.recommendation_beliefs.wins IS 'Exposures that converted.';
COMMENT ON COLUMN economy.recommendation_beliefs.losses IS 'Exposures that did not.';

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

CREATE FUNCTION economy.beta_quantile(p double precision, a double precision, b double precision)
    RETURNS double precision
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_beta_quantile_sql';
COMMENT ON FUNCTION economy.beta_quantile(double precision, double precision, double precision) IS
    'Inverse of the beta distribution.';

CREATE FUNCTION economy.beta_shares(a double precision[], b double precision[])
    RETURNS double precision[]
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_beta_shares_sql';
COMMENT ON FUNCTION economy.beta_shares(double precision[], double precision[]) IS
    'Probability of each of several beta variables, with shapes of 1 or more, to be the largest.';

CREATE FUNCTION economy.draw_uniform(key text) RETURNS double precision
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    -- 52 bits of the hash, and a half: never 0 or 1
    RETURN (('x' || left(encode(sha256(convert_to(key, 'UTF8')), 'hex'), 13))::bit(52)::bigint + 0.5::double precision) / 4503599627370496;
END
$$;
COMMENT ON FUNCTION economy.draw_uniform(text) IS
    'A number between 0 and 1 drawn by the hash of a text: the same everywhere.';

CREATE FUNCTION economy.seconds(length interval) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC SELECT extract(epoch FROM length)::double precision; END;
COMMENT ON FUNCTION economy.seconds(interval) IS
    'Length of an interval whose days have 24 hours and whose months 30 days.';

CREATE FUNCTION economy.halved(
    amount double precision, age double precision, half_life double precision
) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    -- nothing that small is left, and no power of it underflows
    BEGIN ATOMIC SELECT CASE WHEN amount < 1e-9 OR age > 100 * half_life THEN 0 ELSE amount * power(0.5::double precision, age / half_life) END; END;
COMMENT ON FUNCTION economy.halved(double precision, double precision, double precision) IS
    'What is left of an amount of that age, in seconds, when it halves per half-life.';

CREATE FUNCTION economy.purchase_probe(user_id bigint, product_id text) RETURNS text
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_purchase_probe';
COMMENT ON FUNCTION economy.purchase_probe(bigint, text) IS
    'The code that purchase() of one unit under a new key would answer now.';

CREATE FUNCTION economy.product_offered(user_id bigint, product_id text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_variable
BEGIN
    IF product_id IS NULL THEN
        RETURN true;
    END IF;
    -- too little gold can change by the time of the click; stock is asked after it
    RETURN EXISTS (SELECT FROM economy.shop_products p WHERE p.product_id = product_offered.product_id
                   AND (p.stock_slots = 0 OR EXISTS (SELECT FROM economy.shop_stock s WHERE s.product_id = p.product_id AND s.remaining > 0)))
       AND economy.purchase_probe(user_id, product_id) IN ('OK', 'INSUFFICIENT_GOLD');
END
$$;
COMMENT ON FUNCTION economy.product_offered(bigint, text) IS
    'Whether the product is on sale, in stock, and the user may still buy it.';

CREATE FUNCTION economy.recommendation_exposures(
    place text, after timestamptz, upto timestamptz,
    OUT segment text, OUT arm text, OUT matures_at timestamptz, OUT converted boolean
) RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp SET jit = off
    BEGIN ATOMIC
        SELECT o.segment, o.arm, o.matures_at, coalesce(o.converted_at < o.matures_at, false)
        FROM economy.recommendation_outcomes o
        WHERE o.placement = place AND o.matures_at > after AND o.matures_at <= upto AND o.segment IS NOT NULL AND NOT o.fallback
          -- a new version of the placement shows it once more
          AND NOT EXISTS (SELECT FROM economy.recommendations f
                          WHERE f.user_id = o.user_id AND f.placement = o.placement AND f.day = o.day AND f.segment = o.segment
                            AND f.arm = o.arm AND NOT f.fallback AND f.number < o.number);
    END;
COMMENT ON FUNCTION economy.recommendation_exposures(text, timestamptz, timestamptz) IS
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
        SELECT economy.open_tables('recommendation_arms', 'recommendation_placements', 'recommendations', 'shop_transactions', 'rfm_reversals');
        -- only what had its whole window: wins do not come sooner than losses
        SELECT a.arm, a.position, a.product_id, a.cta,
               coalesce(sum(e.weight) FILTER (WHERE e.converted), 0), coalesce(sum(e.weight) FILTER (WHERE NOT e.converted), 0)
        FROM economy.recommendation_arms a
        JOIN LATERAL (SELECT p.* FROM economy.recommendation_placements p WHERE p.placement = $1 ORDER BY p.version DESC LIMIT 1) p
            ON a.placement = p.placement AND a.version = p.version
        LEFT JOIN LATERAL (
            SELECT x.converted, economy.halved(1, economy.seconds($3 - x.matures_at), economy.seconds(p.half_life)) AS weight
            FROM economy.recommendation_exposures($1, '-infinity', $3) x WHERE x.segment = $2 AND x.arm = a.arm) e ON true
        WHERE a.segment = $2 GROUP BY a.arm, a.position, a.product_id, a.cta ORDER BY a.position, a.arm;
    END;
COMMENT ON FUNCTION economy.recommendation_posteriors(text, text, timestamptz) IS
    'The arms of a placement and segment, with the matured wins and losses of each, '
    'halved per half-life, counted anew from the decisions that are kept.';

CREATE FUNCTION economy.recommendation_learn(place text, max_decisions integer) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC'
    SET datestyle = 'ISO, YMD' SET jit = off AS $$
#variable_conflict use_variable
DECLARE
    today     CONSTANT timestamptz := date_trunc('day', economy.now(), 'UTC');
    half_life CONSTANT double precision := (SELECT economy.seconds(p.half_life) FROM economy.recommendation_placements p
                                            WHERE p.placement = place ORDER BY p.version DESC LIMIT 1);
    since     timestamptz;
    upto      timestamptz;
    passed    double precision := 0;
    decisions bigint;
BEGIN
    SELECT p.learned_until INTO since FROM economy.recommendation_progress p WHERE p.placement = place FOR UPDATE;
    IF since >= today THEN
        RETURN NULL;
    END IF;
    -- those of one moment are counted together
    SELECT count(*), CASE WHEN count(*) < max_decisions THEN today ELSE max(d.matures_at) END INTO decisions, upto
        FROM (SELECT r.matures_at FROM economy.recommendations r WHERE r.placement = place AND r.matures_at > since AND r.matures_at <= today
              ORDER BY r.matures_at LIMIT max_decisions) d;
    IF isfinite(since) THEN
        passed := economy.seconds(upto - since);
    END IF;
    UPDATE economy.recommendation_beliefs b SET wins = economy.halved(b.wins, passed, half_life), losses = economy.halved(b.losses, passed, half_life)
        WHERE b.placement = place;
    INSERT INTO economy.recommendation_beliefs AS b
        SELECT place, e.segment, e.arm, coalesce(sum(w.weight) FILTER (WHERE e.converted), 0), coalesce(sum(w.weight) FILTER (WHERE NOT e.converted), 0)
        FROM economy.recommendation_exposures(place, since, upto) e
        CROSS JOIN LATERAL (SELECT economy.halved(1, economy.seconds(upto - e.matures_at), half_life) AS weight) w
        GROUP BY e.segment, e.arm
        ON CONFLICT ON CONSTRAINT recommendation_beliefs_pkey DO UPDATE SET wins = b.wins + excluded.wins, losses = b.losses + excluded.losses;
    UPDATE economy.recommendation_progress p SET learned_until = upto WHERE p.placement = place;
    IF upto = today THEN
        DELETE FROM economy.recommendation_beliefs b WHERE b.placement = place AND b.wins + b.losses < 1e-9;
        INSERT INTO economy.recommendation_days AS d
            SELECT b.placement, b.segment, (today AT TIME ZONE 'UTC')::date, b.arm, b.wins, b.losses
            FROM economy.recommendation_beliefs b WHERE b.placement = place
            ON CONFLICT ON CONSTRAINT recommendation_days_pkey DO UPDATE SET wins = excluded.wins, losses = excluded.losses;
    END IF;
    RETURN decisions;
END
$$;
COMMENT ON FUNCTION economy.recommendation_learn(text, integer) IS
    'Counts the next max_decisions decisions of a placement that matured before this UTC day, '
    'and publishes the day when there are no more; null when that was done.';

CREATE FUNCTION economy.recommendation_forget(place text, before timestamptz, max_decisions integer)
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET jit = off AS $$
#variable_conflict use_variable
DECLARE
    since     timestamptz;
    upto      timestamptz;
    decisions bigint;
BEGIN
    SELECT p.pruned_until INTO since FROM economy.recommendation_progress p WHERE p.placement = place FOR UPDATE;
    SELECT count(*), CASE WHEN count(*) < max_decisions THEN before ELSE max(d.matures_at) END INTO decisions, upto
        FROM (SELECT r.matures_at FROM economy.recommendations r WHERE r.placement = place AND r.matures_at > since AND r.matures_at <= before
              ORDER BY r.matures_at LIMIT max_decisions) d;
    IF decisions = 0 THEN
        RETURN NULL;
    END IF;
    -- a user's newest stays, so that its number is not given again
    DELETE FROM economy.recommendations d WHERE d.placement = place AND d.matures_at > since AND d.matures_at <= upto
        AND EXISTS (SELECT FROM economy.recommendations l WHERE l.user_id = d.user_id AND l.number > d.number);
    DELETE FROM economy.recommendation_days d WHERE d.placement = place AND d.day < (before AT TIME ZONE 'UTC')::date
        AND EXISTS (SELECT FROM economy.recommendation_days l WHERE l.placement = d.placement AND l.segment = d.segment AND l.day > d.day);
    UPDATE economy.recommendation_progress p SET pruned_until = upto WHERE p.placement = place;
    RETURN decisions;
END
$$;
COMMENT ON FUNCTION economy.recommendation_forget(text, timestamptz, integer) IS
    'Removes the next max_decisions decisions of a placement that matured before a '
    'moment; null when there are none.';

CREATE FUNCTION economy.learn_recommendations(max_decisions integer DEFAULT 10000)
    RETURNS TABLE (decisions bigint, more boolean)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 1
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC'
    SET datestyle = 'ISO, YMD' AS $$
#variable_conflict use_variable
DECLARE
    place economy.recommendation_placements;
    before CONSTANT timestamptz := economy.now() - make_interval(hours => 24 * economy.rfm_setting('economy.recommendation_retention')::integer);
BEGIN
    PERFORM economy.require_positive('max_decisions', max_decisions);
    PERFORM economy.open_tables('shop_transactions', 'rfm_reversals', 'recommendation_placements', 'recommendations',
                                'recommendation_progress', 'recommendation_beliefs', 'recommendation_days');
    PERFORM economy.lock_name('economy.learn_recommendations');
    more := true;
    FOR place IN SELECT DISTINCT ON (p.placement) p.* FROM economy.recommendation_placements p ORDER BY p.placement, p.version DESC LOOP
        INSERT INTO economy.recommendation_progress VALUES (place.placement, '-infinity', '-infinity')
            ON CONFLICT ON CONSTRAINT recommendation_progress_pkey DO NOTHING;
        IF place.policy = 'thompson' THEN
            decisions := economy.recommendation_learn(place.placement, max_decisions);
        END IF;
        decisions := coalesce(decisions, economy.recommendation_forget(place.placement, before, max_decisions));
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

CREATE FUNCTION economy.recommendation_draw(
    user_id bigint, placement text, version integer, day date, attempt bigint, arms text[],
    wins double precision[], losses double precision[], exploration double precision,
    OUT pick integer, OUT propensity double precision
)
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    n      CONSTANT integer := cardinality(arms);
    key    CONSTANT text := jsonb_build_array(user_id, placement, version, day - date '2000-01-01', attempt, arms)::text;
    shares double precision[];
    a      double precision[];
    b      double precision[];
BEGIN
    -- beyond a million of evidence only its ratio counts
    SELECT array_agg(1 + w * s ORDER BY i), array_agg(1 + l * s ORDER BY i) INTO a, b
        FROM unnest(wins, losses) WITH ORDINALITY v (w, l, i) CROSS JOIN LATERAL (SELECT least(1, 900000 / greatest(w + l, 1)) AS s) c;
    shares := economy.beta_shares(a, b);
    IF economy.draw_uniform(key || ':explore') < exploration THEN
        pick := 1 + floor(economy.draw_uniform(key || ':which') * n)::integer;
    ELSE
        SELECT i INTO pick FROM generate_series(1, n) i
            ORDER BY economy.beta_quantile(economy.draw_uniform(key || ':arm:' || arms[i]), a[i], b[i]) DESC, i LIMIT 1;
    END IF;
    -- an arm that is hopeless beyond double precision was chosen by luck all the same
    propensity := least(1, greatest(exploration / n + (1 - exploration) * shares[pick], 1e-300));
END
$$;
COMMENT ON FUNCTION economy.recommendation_draw(
    bigint, text, integer, date, bigint, text[], double precision[], double precision[],
    double precision) IS
    'Thompson sampling: the place of the arm that a user gets in an attempt of a day, '
    'drawn by hashes of all that, and the probability of it.';

CREATE FUNCTION economy.recommend_arm(
    who bigint, place economy.recommendation_placements, of_segment text, today date,
    OUT chosen economy.recommendation_arms, OUT propensity double precision, OUT drawn boolean
)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET jit = off AS $$
#variable_conflict use_variable
DECLARE
    last    economy.recommendations;
    attempt bigint;
    arms    text[];
    wins    double precision[];
    losses  double precision[];
    pick    integer;
BEGIN
    propensity := 1;
    drawn := false;
    IF place.policy = 'rules' OR of_segment = '*' THEN
        SELECT r.* INTO chosen FROM economy.recommendation_arms r
            WHERE r.placement = place.placement AND r.version = place.version AND r.segment = of_segment
              AND economy.product_offered(who, r.product_id) ORDER BY r.position, r.arm LIMIT 1;
        RETURN;
    END IF;
    -- the same arm all day, while it can be shown
    SELECT d.* INTO last FROM economy.recommendations d
        WHERE d.user_id = who AND d.placement = place.placement AND d.day = today AND NOT d.fallback ORDER BY d.number DESC LIMIT 1;
    IF last.version = place.version AND last.segment = of_segment AND economy.product_offered(who, last.product_id) THEN
        SELECT r.* INTO chosen FROM economy.recommendation_arms r
            WHERE r.placement = place.placement AND r.version = place.version AND r.segment = of_segment AND r.arm = last.arm;
        propensity := last.propensity;
        RETURN;
    END IF;
    -- who had an arm that is gone draws anew, and not what is left of the draw before
    SELECT count(*) INTO attempt FROM economy.recommendations d WHERE d.user_id = who AND d.placement = place.placement AND d.day = today;
    SELECT array_agg(r.arm ORDER BY r.position, r.arm), array_agg(coalesce(b.wins, 0) ORDER BY r.position, r.arm),
           array_agg(coalesce(b.losses, 0) ORDER BY r.position, r.arm) INTO arms, wins, losses
        FROM economy.recommendation_arms r
        LEFT JOIN economy.recommendation_days b ON b.placement = r.placement AND b.segment = r.segment AND b.arm = r.arm
            AND b.day = (SELECT max(k.day) FROM economy.recommendation_days k
                         WHERE k.placement = place.placement AND k.segment = of_segment AND k.day <= today)
        WHERE r.placement = place.placement AND r.version = place.version AND r.segment = of_segment AND economy.product_offered(who, r.product_id);
    IF arms IS NULL THEN
        RETURN;
    END IF;
    drawn := true;
    SELECT w.pick, w.propensity INTO pick, propensity
        FROM economy.recommendation_draw(who, place.placement, place.version, today, attempt, arms, wins, losses, place.exploration) w;
    SELECT r.* INTO chosen FROM economy.recommendation_arms r
        WHERE r.placement = place.placement AND r.version = place.version AND r.segment = of_segment AND r.arm = arms[pick];
END
$$;
COMMENT ON FUNCTION economy.recommend_arm(bigint, economy.recommendation_placements, text, date) IS
    'The arm of a segment that a placement shows a user today, by its policy, '
    'and whether it was drawn now; null when none can be shown.';

CREATE FUNCTION economy.recommend(user_id bigint, placement text)
    RETURNS TABLE (
        decision_id text, cta text, segment text, fallback boolean, arm text, product_id text,
        propensity double precision
    )
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 1
    SET search_path = pg_catalog, economy, pg_temp SET jit = off AS $$
#variable_conflict use_variable
DECLARE
    now    CONSTANT timestamptz := economy.now();
    today  CONSTANT date := (now AT TIME ZONE 'UTC')::date;
    place  economy.recommendation_placements;
    choice record;
    newest bigint;
    number bigint;
BEGIN
    PERFORM economy.require_given('user_id', user_id IS NOT NULL);
    PERFORM economy.require_given('placement', placement IS NOT NULL);
    PERFORM economy.open_tables('recommendation_placements', 'recommendation_arms',
                                'recommendation_days', 'recommendations', 'accounts', 'shop_products');
    SELECT * INTO place FROM economy.recommendation_placements p WHERE p.placement = recommend.placement ORDER BY p.version DESC LIMIT 1;
    IF NOT found THEN
        RAISE EXCEPTION 'placement "%" does not exist', placement USING ERRCODE = 'XE606',
            HINT = 'Placements are made by economy.set_recommendations().';
    END IF;
    SELECT k.seq INTO newest FROM economy.accounts k WHERE k.user_id = recommend.user_id;
    IF NOT found THEN
        RAISE EXCEPTION 'user % does not exist', user_id USING ERRCODE = 'XE202', HINT = 'Users are made by economy.register().';
    END IF;
    -- decisions of a user are numbered one by one: who meets another begins again
    LOOP
        SELECT s.segment INTO segment FROM economy.segment(user_id) s;
        SELECT * INTO choice FROM economy.recommend_arm(user_id, place, segment, today);
        fallback := (choice.chosen).arm IS NULL;
        IF fallback THEN
            SELECT * INTO choice FROM economy.recommend_arm(user_id, place, '*', today);
        END IF;
        arm := coalesce((choice.chosen).arm, 'none');
        cta := coalesce((choice.chosen).cta, 'none');
        product_id := (choice.chosen).product_id;
        propensity := choice.propensity;
        -- what was shown today is shown again, and stays one exposure
        SELECT d.number INTO number FROM economy.recommendations d
            WHERE d.user_id = recommend.user_id AND d.placement = recommend.placement AND d.day = today AND d.version = place.version
              AND d.segment IS NOT DISTINCT FROM recommend.segment AND d.arm = recommend.arm AND d.fallback = recommend.fallback AND NOT choice.drawn
            ORDER BY d.number DESC LIMIT 1;
        EXIT WHEN found;
        SELECT coalesce(max(d.number), 0) + 1 INTO number FROM economy.recommendations d WHERE d.user_id = recommend.user_id;
        INSERT INTO economy.recommendations
            VALUES (user_id, number, placement, place.version, segment, arm, cta, product_id, fallback, place.policy, propensity,
                    today, newest, now, now + make_interval(secs => economy.seconds(place.attribution_window)))
            -- above READ COMMITTED this raises 40001 when it cannot see the other one
            ON CONFLICT ON CONSTRAINT recommendations_pkey DO NOTHING;
        EXIT WHEN found;
    END LOOP;
    decision_id := format('D%s-%s', user_id, number);
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION economy.recommend(bigint, text) IS
    'What to show a user at a placement: an arm of the user''s segment whose product the user can '
    'buy, or a fallback, marked as such. The decision is kept; asked again on the same UTC day '
    'with the same answer, it is the same decision.';

CREATE FUNCTION economy.recommendation_feedback(decision_id text, kind text) RETURNS text
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    known economy.recommendations;
BEGIN
    PERFORM economy.require_given('decision_id', decision_id IS NOT NULL);
    PERFORM economy.require_given('kind', kind IS NOT NULL);
    IF kind NOT IN ('click', 'conversion') THEN
        RAISE EXCEPTION 'kind must be click or conversion' USING ERRCODE = 'XE002';
    END IF;
    PERFORM economy.open_tables('recommendations');
    IF decision_id ~ '^D[0-9]{1,16}-[0-9]{1,16}$' THEN
        SELECT * INTO known FROM economy.recommendations d
            WHERE d.user_id = substring(decision_id, '^D([0-9]+)')::bigint AND d.number = substring(decision_id, '([0-9]+)$')::bigint FOR UPDATE;
    END IF;
    IF known.user_id IS NULL THEN
        RAISE EXCEPTION 'decision "%" does not exist', left(decision_id, 64) USING ERRCODE = 'XE605',
            HINT = 'Decisions are made by economy.recommend().';
    END IF;
    IF (CASE kind WHEN 'click' THEN known.clicked_at ELSE known.converted_at END) IS NOT NULL THEN
        RETURN 'reuse';
    END IF;
    -- a clock that was set back makes no answer older than the question
    UPDATE economy.recommendations d SET clicked_at = coalesce(d.clicked_at, CASE kind WHEN 'click' THEN greatest(economy.now(), d.decided_at) END),
                                         converted_at = coalesce(d.converted_at, CASE kind WHEN 'conversion' THEN greatest(economy.now(), d.decided_at) END)
        WHERE d.user_id = known.user_id AND d.number = known.number;
    RETURN 'new';
END
$$;
COMMENT ON FUNCTION economy.recommendation_feedback(text, text) IS
    'Notes a click or a conversion of a decision, once: new, or reuse when it was known. '
    'A purchase of the recommended product needs no feedback.';

CREATE FUNCTION economy.recommendation_stats(since timestamptz DEFAULT NULL)
    RETURNS TABLE (
        placement text, segment text, arm text, shown bigint, clicks bigint, ctr numeric,
        conversions bigint, conversion_rate numeric, fallbacks bigint, fallback_rate numeric
    )
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp SET jit = off
    BEGIN ATOMIC
        SELECT economy.open_tables('recommendations', 'shop_transactions', 'rfm_reversals', 'recommendation_placements');
        SELECT o.placement, o.segment, o.arm, count(*), count(o.clicked_at), round(count(o.clicked_at)::numeric / count(*), 4),
               count(o.converted_at), round(count(o.converted_at)::numeric / count(*), 4),
               count(*) FILTER (WHERE o.fallback), round(count(*) FILTER (WHERE o.fallback)::numeric / count(*), 4)
        FROM economy.recommendation_outcomes o WHERE recommendation_stats.since IS NULL OR o.decided_at >= recommendation_stats.since
        GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
    END;
COMMENT ON FUNCTION economy.recommendation_stats(timestamptz) IS
    'Per placement, segment and arm: decisions, clicks, conversions by feedback or '
    'purchase, fallbacks, and their rates.';

CREATE FUNCTION economy.set_recommendations(placement text, settings jsonb, arms jsonb, actor text)
    RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC'
    SET datestyle = 'ISO, YMD' SET intervalstyle = 'postgres' AS $$
#variable_conflict use_variable
DECLARE
    next_version integer;
    unknown      text;
    message      text;
    failed       text;
    at_column    text;
BEGIN
    PERFORM economy.require_actor(actor);
    PERFORM economy.require_given('placement', placement IS NOT NULL);
    PERFORM economy.require_given('settings', settings IS NOT NULL);
    PERFORM economy.require_given('arms', arms IS NOT NULL);
    IF jsonb_typeof(settings) <> 'object' OR jsonb_typeof(arms) <> 'array' OR jsonb_array_length(arms) > 1000
       OR EXISTS (SELECT FROM jsonb_array_elements(arms) e WHERE jsonb_typeof(e) <> 'object') THEN
        RAISE EXCEPTION 'settings must be a JSON object, and arms an array of at most 1000' USING ERRCODE = 'XE607';
    END IF;
    SELECT k INTO unknown FROM (
        SELECT k FROM jsonb_object_keys(settings) k WHERE k <> ALL (ARRAY['policy', 'attribution_window', 'half_life', 'exploration'])
        UNION ALL SELECT k FROM jsonb_array_elements(arms) e, jsonb_object_keys(e) k WHERE k <> ALL (ARRAY['segment', 'arm', 'cta', 'product_id'])) x LIMIT 1;
    IF found THEN
        RAISE EXCEPTION 'unknown key "%"', unknown USING ERRCODE = 'XE607',
            HINT = 'Settings are columns of economy.recommendation_placements; an arm has segment, arm, cta and product_id.';
    END IF;
    PERFORM economy.open_tables('recommendation_placements', 'recommendation_arms');
    PERFORM economy.lock_name('economy.set_recommendations:' || placement);
    SELECT coalesce(max(p.version), 0) + 1 INTO next_version FROM economy.recommendation_placements p WHERE p.placement = set_recommendations.placement;
    BEGIN
        INSERT INTO economy.recommendation_placements
            SELECT (jsonb_populate_record(NULL::economy.recommendation_placements,
                '{"policy": "rules", "attribution_window": "7 days", "half_life": "30 days", "exploration": 0.05}' || settings
                || jsonb_build_object('placement', placement, 'version', next_version, 'actor', actor, 'changed_at', economy.now()))).*
            -- there is none that this transaction can see: others raise 40001
            ON CONFLICT ON CONSTRAINT recommendation_placements_pkey DO NOTHING;
        INSERT INTO economy.recommendation_arms
            SELECT (jsonb_populate_record(NULL::economy.recommendation_arms,
                e.value || jsonb_build_object('placement', placement, 'version', next_version, 'position', e.ordinality))).*
            FROM jsonb_array_elements(arms) WITH ORDINALITY e;
    EXCEPTION WHEN data_exception OR integrity_constraint_violation THEN
        GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, failed = CONSTRAINT_NAME, at_column = COLUMN_NAME;
        -- the keys of an arm are none of a placement, and fit it
        message := economy.violation('recommendation_placements', settings, message, failed, at_column);
        RAISE EXCEPTION 'recommendations of "%" are not valid', left(placement, 64) USING ERRCODE = 'XE607',
            DETAIL = economy.violation('recommendation_arms', arms, message, '', '') || '.',
            HINT = 'Settings are columns of economy.recommendation_placements; an arm has segment, arm, cta and product_id.';
    END;
    PERFORM economy.note_change('recommendation_placements', format('%s:%s', placement, next_version), 'set', actor);
    RETURN next_version;
END
$$;
COMMENT ON FUNCTION economy.set_recommendations(text, jsonb, jsonb, text) IS
    'Makes or replaces a placement: its settings, and its arms in the order of the array, '
    'with the segment * for the fallback. Returns its version.';
