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
COMMENT ON TABLE economy.recommendation_placements IS 'Places of the app that show a recommendation; the highest version of each is in force.';
COMMENT ON COLUMN economy.recommendation_placements.policy IS 'rules: the first arm that can be shown; thompson: Thompson sampling over those.';
COMMENT ON COLUMN economy.recommendation_placements.attribution_window IS 'A purchase of the product so long after the decision is its conversion.';
COMMENT ON COLUMN economy.recommendation_placements.half_life IS 'thompson: age at which an outcome counts half.';
COMMENT ON COLUMN economy.recommendation_placements.exploration IS 'thompson: share of decisions that are spread evenly over the arms.';

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
COMMENT ON TABLE economy.recommendation_arms IS 'What can be recommended to a segment at a placement, in the order of position; the segment * is the fallback.';
COMMENT ON COLUMN economy.recommendation_arms.cta IS 'What the app shows: the call to action.';
COMMENT ON COLUMN economy.recommendation_arms.product_id IS 'Product that the user must be able to buy; null needs none.';
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
    decided_at   timestamptz NOT NULL,
    clicked_at   timestamptz,
    converted_at timestamptz,
    CONSTRAINT recommendations_pkey PRIMARY KEY (user_id, number)
);
CREATE INDEX recommendations_placement_idx ON economy.recommendations (placement, decided_at);
SELECT pg_catalog.pg_extension_config_dump('economy.recommendations', '');
COMMENT ON TABLE economy.recommendations IS 'Every decision of recommend(), with what it was made of and the feedback.';
COMMENT ON COLUMN economy.recommendations.number IS 'Counts the user''s decisions; the decision_id is D<user>-<number>.';
COMMENT ON COLUMN economy.recommendations.segment IS 'The user''s segment at that moment; null before the first refresh.';
COMMENT ON COLUMN economy.recommendations.fallback IS 'No arm of the user''s segment could be shown.';
COMMENT ON COLUMN economy.recommendations.propensity IS 'Probability with which the policy chose this arm.';
COMMENT ON COLUMN economy.recommendations.converted_at IS 'Conversion by feedback; a purchase attributes itself, see recommendation_outcomes.';

CREATE VIEW economy.recommendation_outcomes AS
    SELECT d.user_id, d.number, d.placement, d.version, d.segment, d.arm, d.fallback, d.policy, d.propensity, d.decided_at,
           d.clicked_at, least(d.converted_at, b.bought_at) AS converted_at,
           d.decided_at + p.attribution_window AS matures_at
    FROM economy.recommendations d
    JOIN economy.recommendation_placements p USING (placement, version)
    LEFT JOIN LATERAL (
        SELECT min(t.created_at) AS bought_at FROM economy.shop_transactions t
        WHERE t.user_id = d.user_id AND t.product_id = d.product_id AND t.status = 'SUCCESS'
          AND t.created_at >= d.decided_at AND t.created_at < d.decided_at + p.attribution_window
          AND NOT EXISTS (SELECT FROM economy.rfm_reversals r WHERE r.user_id = t.user_id AND r.seq = t.seq)
          -- the last decision before the purchase has it
          AND NOT EXISTS (SELECT FROM economy.recommendations l
                          WHERE l.user_id = d.user_id AND l.product_id = d.product_id AND l.number > d.number AND l.decided_at <= t.created_at)) b
        ON d.product_id IS NOT NULL;
COMMENT ON VIEW economy.recommendation_outcomes IS
    'Decisions with what came of them: a click, and a conversion by feedback or by a purchase of the product within the placement''s window.';

CREATE FUNCTION economy.beta_quantile(p double precision, a double precision, b double precision) RETURNS double precision
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_beta_quantile_sql';
COMMENT ON FUNCTION economy.beta_quantile(double precision, double precision, double precision) IS 'Inverse of the beta distribution.';

CREATE FUNCTION economy.beta_shares(a double precision[], b double precision[]) RETURNS double precision[]
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
COMMENT ON FUNCTION economy.draw_uniform(text) IS 'A number between 0 and 1 drawn by the hash of a text: the same everywhere.';

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
       AND (SELECT c.code IN ('OK', 'INSUFFICIENT_GOLD') FROM economy.purchase(user_id, product_id, 'recommend', 1, NULL, true) c);
END
$$;
COMMENT ON FUNCTION economy.product_offered(bigint, text) IS 'Whether the product is on sale, in stock, and the user may still buy it.';

CREATE FUNCTION economy.recommendation_posteriors(placement text, segment text, as_of timestamptz)
    RETURNS TABLE (arm text, "position" integer, product_id text, cta text, wins double precision, losses double precision)
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp SET jit = off
    BEGIN ATOMIC
        -- only what had its whole window: wins do not come sooner than losses
        SELECT a.arm, a.position, a.product_id, a.cta,
               coalesce(sum(o.weight) FILTER (WHERE o.converted_at < o.matures_at), 0),
               coalesce(sum(o.weight) FILTER (WHERE (o.converted_at < o.matures_at) IS NOT TRUE), 0)
        FROM economy.recommendation_arms a
        JOIN LATERAL (SELECT p.* FROM economy.recommendation_placements p WHERE p.placement = $1 ORDER BY p.version DESC LIMIT 1) p
            ON a.placement = p.placement AND a.version = p.version
        LEFT JOIN LATERAL (
            SELECT d.converted_at, d.matures_at,
                   power(0.5, extract(epoch FROM $3 - d.matures_at)::double precision / extract(epoch FROM p.half_life)::double precision) AS weight
            FROM economy.recommendation_outcomes d
            WHERE d.placement = $1 AND d.segment = $2 AND d.arm = a.arm AND NOT d.fallback AND d.matures_at <= $3) o ON true
        WHERE a.segment = $2 GROUP BY a.arm, a.position, a.product_id, a.cta ORDER BY a.position, a.arm;
    END;
COMMENT ON FUNCTION economy.recommendation_posteriors(text, text, timestamptz) IS
    'The arms of a placement and segment, with the matured wins and losses of each, halved per half-life.';

CREATE TABLE economy.recommendation_days (
    placement text    NOT NULL COLLATE "C",
    version   integer NOT NULL,
    segment   text    NOT NULL COLLATE "C",
    day       date    NOT NULL,
    arm       text    NOT NULL COLLATE "C",
    wins      double precision NOT NULL,
    losses    double precision NOT NULL,
    CONSTRAINT recommendation_days_pkey PRIMARY KEY (placement, version, segment, day, arm)
);
SELECT pg_catalog.pg_extension_config_dump('economy.recommendation_days', '');
COMMENT ON TABLE economy.recommendation_days IS
    'What Thompson sampling knew on each UTC day: matured wins and losses of the arms at its begin, counted at the first decision of the day.';
COMMENT ON COLUMN economy.recommendation_days.wins IS 'Decisions that converted, halved per half-life.';
COMMENT ON COLUMN economy.recommendation_days.losses IS 'Decisions that did not.';

CREATE FUNCTION economy.recommendation_beliefs(place economy.recommendation_placements, segment text, as_of timestamptz)
    RETURNS SETOF economy.recommendation_days
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    today CONSTANT date := (as_of AT TIME ZONE 'UTC')::date;
BEGIN
    IF segment IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY SELECT * FROM economy.recommendation_days d
        WHERE d.placement = place.placement AND d.version = place.version AND d.segment = recommendation_beliefs.segment AND d.day = today;
    IF found THEN
        RETURN;
    END IF;
    -- who counts at the same moment does not wait: all count the same
    RETURN QUERY
        WITH counted AS MATERIALIZED (
            SELECT place.placement, place.version, segment, today, p.arm, p.wins, p.losses
            FROM economy.recommendation_posteriors(place.placement, segment, as_of) p
        ), kept AS (
            INSERT INTO economy.recommendation_days SELECT * FROM counted
            WHERE economy.try_lock_name(format('economy.recommendation_beliefs:%s:%s', place.placement, segment))
            ON CONFLICT ON CONSTRAINT recommendation_days_pkey DO NOTHING
        )
        SELECT * FROM counted;
END
$$;
COMMENT ON FUNCTION economy.recommendation_beliefs(economy.recommendation_placements, text, timestamptz) IS
    'The day''s wins and losses of the arms, counted when nobody did yet.';

CREATE FUNCTION economy.recommend(user_id bigint, placement text)
    RETURNS TABLE (decision_id text, cta text, segment text, fallback boolean, arm text, product_id text, propensity double precision)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 1
    SET search_path = pg_catalog, economy, pg_temp SET jit = off AS $$
#variable_conflict use_variable
DECLARE
    now     timestamptz := economy.now();
    today   timestamptz := date_trunc('day', now, 'UTC');
    place   economy.recommendation_placements;
    chosen  economy.recommendation_arms;
    sticky  record;
    arms    text[];
    a       double precision[];
    b       double precision[];
    shares  double precision[];
    n       integer;
    pick    integer;
    key     text;
    number  bigint;
BEGIN
    PERFORM economy.require_given('user_id', user_id IS NOT NULL);
    PERFORM economy.require_given('placement', placement IS NOT NULL);
    SELECT * INTO place FROM economy.recommendation_placements p WHERE p.placement = recommend.placement ORDER BY p.version DESC LIMIT 1;
    IF NOT found THEN
        RAISE EXCEPTION 'placement "%" does not exist', placement USING ERRCODE = 'XE606',
            HINT = 'Placements are made by economy.set_recommendations().';
    END IF;
    IF NOT EXISTS (SELECT FROM economy.accounts k WHERE k.user_id = recommend.user_id) THEN
        RAISE EXCEPTION 'user % does not exist', user_id USING ERRCODE = 'XE202', HINT = 'Users are made by economy.register().';
    END IF;
    -- decisions of a user are numbered one by one
    PERFORM economy.lock_name('economy.recommend:' || user_id);
    SELECT s.segment INTO segment FROM economy.segment(user_id) s;
    propensity := 1;
    fallback := false;
    IF place.policy = 'thompson' THEN
        -- the same arm all day, while it can be shown
        SELECT d.arm, d.propensity, r.cta, r.product_id INTO sticky FROM economy.recommendations d
            JOIN economy.recommendation_arms r USING (placement, version, segment, arm)
            WHERE d.user_id = recommend.user_id AND d.placement = recommend.placement AND d.version = place.version
              AND d.segment = recommend.segment AND NOT d.fallback AND d.decided_at >= today AND d.decided_at < today + interval '24 hours'
            ORDER BY d.number DESC LIMIT 1;
        IF found AND economy.product_offered(user_id, sticky.product_id) THEN
            chosen.arm := sticky.arm;
            chosen.cta := sticky.cta;
            chosen.product_id := sticky.product_id;
            propensity := sticky.propensity;
        ELSE
            SELECT array_agg(r.arm ORDER BY r.position, r.arm), array_agg(1 + p.wins ORDER BY r.position, r.arm), array_agg(1 + p.losses ORDER BY r.position, r.arm)
                INTO arms, a, b
                FROM economy.recommendation_arms r JOIN economy.recommendation_beliefs(place, segment, today) p USING (placement, version, segment, arm)
                WHERE economy.product_offered(user_id, r.product_id);
            n := coalesce(cardinality(arms), 0);
            IF n > 0 THEN
                shares := economy.beta_shares(a, b);
                key := format('%s:%s:%s:%s', user_id, placement, place.version, (today AT TIME ZONE 'UTC')::date);
                IF economy.draw_uniform(key || ':explore') < place.exploration THEN
                    pick := 1 + floor(economy.draw_uniform(key || ':which') * n)::integer;
                ELSE
                    SELECT i INTO pick FROM generate_series(1, n) i
                        ORDER BY economy.beta_quantile(economy.draw_uniform(key || ':arm:' || arms[i]), a[i], b[i]) DESC, i LIMIT 1;
                END IF;
                SELECT * INTO chosen FROM economy.recommendation_arms r
                    WHERE r.placement = recommend.placement AND r.version = place.version AND r.segment = recommend.segment AND r.arm = arms[pick];
                -- an arm that is hopeless beyond double precision was chosen by luck all the same
                propensity := least(1, greatest(place.exploration / n + (1 - place.exploration) * shares[pick], 1e-300));
            END IF;
        END IF;
    ELSE
        SELECT * INTO chosen FROM economy.recommendation_arms r
            WHERE r.placement = recommend.placement AND r.version = place.version AND r.segment = recommend.segment
              AND economy.product_offered(user_id, r.product_id) ORDER BY r.position, r.arm LIMIT 1;
    END IF;
    IF chosen.arm IS NULL THEN
        fallback := true;
        SELECT * INTO chosen FROM economy.recommendation_arms r
            WHERE r.placement = recommend.placement AND r.version = place.version AND r.segment = '*'
              AND economy.product_offered(user_id, r.product_id) ORDER BY r.position, r.arm LIMIT 1;
        IF NOT found THEN
            chosen.arm := 'none';
            chosen.cta := 'none';
        END IF;
    END IF;
    SELECT coalesce(max(d.number), 0) + 1 INTO number FROM economy.recommendations d WHERE d.user_id = recommend.user_id;
    INSERT INTO economy.recommendations
        VALUES (user_id, number, placement, place.version, segment, chosen.arm, chosen.cta, chosen.product_id, fallback, place.policy, propensity, now)
        -- there is none that this transaction can see: others raise 40001
        ON CONFLICT ON CONSTRAINT recommendations_pkey DO NOTHING;
    decision_id := format('D%s-%s', user_id, number);
    cta := chosen.cta;
    arm := chosen.arm;
    product_id := chosen.product_id;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION economy.recommend(bigint, text) IS
    'What to show a user at a placement: an arm of the user''s segment whose product the user can buy, or a fallback, marked as such. Every decision is kept.';

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
    UPDATE economy.recommendations d SET clicked_at = coalesce(d.clicked_at, CASE kind WHEN 'click' THEN economy.now() END),
                                         converted_at = coalesce(d.converted_at, CASE kind WHEN 'conversion' THEN economy.now() END)
        WHERE d.user_id = known.user_id AND d.number = known.number;
    RETURN 'new';
END
$$;
COMMENT ON FUNCTION economy.recommendation_feedback(text, text) IS
    'Notes a click or a conversion of a decision, once: new, or reuse when it was known. A purchase of the recommended product needs no feedback.';

CREATE FUNCTION economy.recommendation_stats(since timestamptz DEFAULT NULL)
    RETURNS TABLE (placement text, segment text, arm text, shown bigint, clicks bigint, ctr numeric, conversions bigint,
                   conversion_rate numeric, fallbacks bigint, fallback_rate numeric)
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp SET jit = off
    BEGIN ATOMIC
        SELECT o.placement, o.segment, o.arm, count(*), count(o.clicked_at), round(count(o.clicked_at)::numeric / count(*), 4),
               count(o.converted_at), round(count(o.converted_at)::numeric / count(*), 4),
               count(*) FILTER (WHERE o.fallback), round(count(*) FILTER (WHERE o.fallback)::numeric / count(*), 4)
        FROM economy.recommendation_outcomes o WHERE recommendation_stats.since IS NULL OR o.decided_at >= recommendation_stats.since
        GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
    END;
COMMENT ON FUNCTION economy.recommendation_stats(timestamptz) IS
    'Per placement, segment and arm: decisions, clicks, conversions by feedback or purchase, fallbacks, and their rates.';

CREATE FUNCTION economy.set_recommendations(placement text, settings jsonb, arms jsonb, actor text) RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    next_version integer;
    unknown      text;
    message      text;
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
        GET STACKED DIAGNOSTICS message = MESSAGE_TEXT;
        RAISE EXCEPTION 'recommendations of "%" are not valid', left(placement, 64) USING ERRCODE = 'XE607', DETAIL = message || '.',
            HINT = 'See the constraints of economy.recommendation_placements and economy.recommendation_arms.';
    END;
    RETURN next_version;
END
$$;
COMMENT ON FUNCTION economy.set_recommendations(text, jsonb, jsonb, text) IS
    'Makes or replaces a placement: its settings, and its arms in the order of the array, with the segment * for the fallback. Returns its version.';
