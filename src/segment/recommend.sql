-- segment: what to show a user, by rules or by Thompson sampling

CREATE FUNCTION economy_internal.purchase_probe(user_id bigint, product_id text) RETURNS text
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_purchase_probe';
COMMENT ON FUNCTION economy_internal.purchase_probe(bigint, text) IS
    'The code that purchase() of one unit under a new key would answer now.';

CREATE FUNCTION economy_internal.product_offered(user_id bigint, product_id text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    IF product_id IS NULL THEN
        RETURN true;
    END IF;
    -- too little gold can change by the time of the click; stock is asked after it
    RETURN EXISTS (
            SELECT FROM economy.shop_products p
            WHERE p.product_id = product_offered.product_id
              AND (p.stock_slots = 0
                   OR EXISTS (SELECT FROM economy.shop_stock s
                              WHERE s.product_id = p.product_id AND s.remaining > 0)))
       AND economy_internal.purchase_probe(user_id, product_id) IN ('OK', 'INSUFFICIENT_GOLD');
END
$$;
COMMENT ON FUNCTION economy_internal.product_offered(bigint, text) IS
    'Whether the product is on sale, in stock, and the user may still buy it.';

CREATE FUNCTION economy.beta_quantile(p double precision, a double precision, b double precision)
    RETURNS double precision
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_beta_quantile_sql';
COMMENT ON FUNCTION economy.beta_quantile(double precision, double precision, double precision) IS
    'Inverse of the beta distribution.';

CREATE FUNCTION economy_internal.beta_shares(a double precision[], b double precision[])
    RETURNS double precision[]
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_beta_shares_sql';
COMMENT ON FUNCTION economy_internal.beta_shares(double precision[], double precision[]) IS
    'Probability of each of several beta variables, with shapes of 1 or more, to be the largest.';

CREATE FUNCTION economy_internal.draw_uniform(key text) RETURNS double precision
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    -- 52 bits of the hash, and a half: never 0 or 1
    RETURN (('x' || left(encode(sha256(convert_to(key, 'UTF8')), 'hex'), 13))::bit(52)::bigint
            + 0.5::double precision) / 4503599627370496;
END
$$;
COMMENT ON FUNCTION economy_internal.draw_uniform(text) IS
    'A number between 0 and 1 drawn by the hash of a text: the same everywhere.';

CREATE FUNCTION economy_internal.recommendation_draw(
    user_id bigint, placement text, version integer, day date, attempt bigint, arms text[],
    wins double precision[], losses double precision[], exploration double precision,
    OUT pick integer, OUT propensity double precision
)
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    n      CONSTANT integer := cardinality(arms);
    key    CONSTANT text := jsonb_build_array(
        user_id, placement, version, day - date '2000-01-01', attempt, arms)::text;
    shares double precision[];
    a      double precision[];
    b      double precision[];
BEGIN
    -- beyond a million of evidence only its ratio counts
    SELECT array_agg(1 + w * s ORDER BY i), array_agg(1 + l * s ORDER BY i) INTO a, b
        FROM unnest(wins, losses) WITH ORDINALITY v (w, l, i)
        CROSS JOIN LATERAL (SELECT least(1, 900000 / greatest(w + l, 1)) AS s) c;
    shares := economy_internal.beta_shares(a, b);
    IF economy_internal.draw_uniform(key || ':explore') < exploration THEN
        pick := 1 + floor(economy_internal.draw_uniform(key || ':which') * n)::integer;
    ELSE
        SELECT i INTO pick FROM generate_series(1, n) i
            ORDER BY economy.beta_quantile(
                economy_internal.draw_uniform(key || ':arm:' || arms[i]), a[i], b[i]) DESC, i
            LIMIT 1;
    END IF;
    -- an arm that is hopeless beyond double precision was chosen by luck all the same
    propensity := least(1, greatest(exploration / n + (1 - exploration) * shares[pick], 1e-300));
END
$$;
COMMENT ON FUNCTION economy_internal.recommendation_draw(
    bigint, text, integer, date, bigint, text[], double precision[], double precision[],
    double precision) IS
    'Thompson sampling: the place of the arm that a user gets in an attempt of a day, '
    'drawn by hashes of all that, and the probability of it.';

CREATE FUNCTION economy_internal.recommend_by_rules(
    who bigint, place economy.recommendation_placements, of_segment text
) RETURNS economy.recommendation_arms
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT r.* FROM economy.recommendation_arms r
        WHERE r.placement = place.placement AND r.version = place.version
          AND r.segment = of_segment AND economy_internal.product_offered(who, r.product_id)
        ORDER BY r.position, r.arm LIMIT 1;
    END;
COMMENT ON FUNCTION economy_internal.recommend_by_rules(
    bigint, economy.recommendation_placements, text) IS
    'The first arm of a segment at a placement that can be shown; null when there is none.';

CREATE FUNCTION economy_internal.recommend_by_sampling(
    who bigint, place economy.recommendation_placements, of_segment text, today date,
    OUT chosen economy.recommendation_arms, OUT propensity double precision, OUT drawn boolean
)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    last    economy.recommendations;
    attempt bigint;
    arms    text[];
    wins    double precision[];
    losses  double precision[];
    picked  text;
BEGIN
    propensity := 1;
    drawn := false;
    SELECT d.* INTO last FROM economy.recommendations d
        WHERE d.user_id = who AND d.placement = place.placement AND d.day = today
          AND NOT d.fallback ORDER BY d.number DESC LIMIT 1;
    IF last.version = place.version AND last.segment = of_segment
       AND economy_internal.product_offered(who, last.product_id) THEN
        -- the same arm all day, while it can be shown
        picked := last.arm;
        propensity := last.propensity;
    ELSE
        -- who had an arm that is gone draws anew, and not what is left of the draw before
        SELECT count(*) INTO attempt FROM economy.recommendations d
            WHERE d.user_id = who AND d.placement = place.placement AND d.day = today;
        SELECT array_agg(r.arm ORDER BY r.position, r.arm),
               array_agg(coalesce(b.wins, 0) ORDER BY r.position, r.arm),
               array_agg(coalesce(b.losses, 0) ORDER BY r.position, r.arm)
            INTO arms, wins, losses
            FROM economy.recommendation_arms r
            LEFT JOIN economy.recommendation_days b
                ON b.placement = r.placement AND b.segment = r.segment AND b.arm = r.arm
               AND b.day = (SELECT max(k.day) FROM economy.recommendation_days k
                            WHERE k.placement = place.placement AND k.segment = of_segment
                              AND k.day <= today)
            WHERE r.placement = place.placement AND r.version = place.version
              AND r.segment = of_segment AND economy_internal.product_offered(who, r.product_id);
        IF arms IS NULL THEN
            RETURN;
        END IF;
        drawn := true;
        SELECT arms[w.pick], w.propensity INTO picked, propensity
            FROM economy_internal.recommendation_draw(
                who, place.placement, place.version, today, attempt, arms, wins, losses,
                place.exploration) w;
    END IF;
    SELECT r.* INTO chosen FROM economy.recommendation_arms r
        WHERE r.placement = place.placement AND r.version = place.version
          AND r.segment = of_segment AND r.arm = picked;
END
$$;
COMMENT ON FUNCTION economy_internal.recommend_by_sampling(
    bigint, economy.recommendation_placements, text, date) IS
    'The arm of a segment at a placement that Thompson sampling has drawn for a user today, '
    'and whether it was drawn now; null when none can be shown.';

CREATE FUNCTION economy_internal.recommend_arm(
    who bigint, place economy.recommendation_placements, of_segment text, today date,
    OUT chosen economy.recommendation_arms, OUT propensity double precision, OUT drawn boolean
)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET jit = off AS $$
DECLARE
    sampled record;
BEGIN
    -- the fallback is by rules, whatever the policy
    IF place.policy = 'rules' OR of_segment = '*' THEN
        chosen := economy_internal.recommend_by_rules(who, place, of_segment);
        propensity := 1;
        drawn := false;
    ELSE
        SELECT * INTO sampled
            FROM economy_internal.recommend_by_sampling(who, place, of_segment, today);
        chosen := sampled.chosen;
        propensity := sampled.propensity;
        drawn := sampled.drawn;
    END IF;
END
$$;
COMMENT ON FUNCTION economy_internal.recommend_arm(
    bigint, economy.recommendation_placements, text, date) IS
    'The arm of a segment that a placement shows a user today, by its policy, '
    'and whether it was drawn now; null when none can be shown.';

CREATE FUNCTION economy.recommend(user_id bigint, placement text)
    RETURNS TABLE (
        decision_id text, cta text, segment text, fallback boolean, arm text, product_id text,
        propensity double precision
    )
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 1
    SET search_path = pg_catalog, economy, pg_temp SET jit = off AS $$
DECLARE
    now    CONSTANT timestamptz := economy.now();
    today  CONSTANT date := (now AT TIME ZONE 'UTC')::date;
    place  economy.recommendation_placements;
    choice record;
    newest bigint;
    number bigint;
BEGIN
    PERFORM economy_internal.require_given('user_id', user_id IS NOT NULL);
    PERFORM economy_internal.require_given('placement', placement IS NOT NULL);
    PERFORM economy_internal.open_tables(
        'recommendation_placements', 'recommendation_arms', 'recommendation_days',
        'recommendations', 'accounts', 'shop_products');
    SELECT * INTO place FROM economy.recommendation_placements p
        WHERE p.placement = recommend.placement ORDER BY p.version DESC LIMIT 1;
    IF NOT found THEN
        RAISE EXCEPTION 'placement "%" does not exist', placement USING ERRCODE = 'XE606',
            HINT = 'Placements are made by economy.set_recommendations().';
    END IF;
    SELECT k.seq INTO newest FROM economy.accounts k WHERE k.user_id = recommend.user_id;
    IF NOT found THEN
        RAISE EXCEPTION 'user % does not exist', user_id USING ERRCODE = 'XE202',
            HINT = 'Users are made by economy.register().';
    END IF;
    -- decisions of a user are numbered one by one: who meets another begins again
    LOOP
        SELECT s.segment INTO segment FROM economy.segment(user_id) s;
        SELECT * INTO choice FROM economy_internal.recommend_arm(user_id, place, segment, today);
        fallback := (choice.chosen).arm IS NULL;
        IF fallback THEN
            SELECT * INTO choice FROM economy_internal.recommend_arm(user_id, place, '*', today);
        END IF;
        arm := coalesce((choice.chosen).arm, 'none');
        cta := coalesce((choice.chosen).cta, 'none');
        product_id := (choice.chosen).product_id;
        propensity := choice.propensity;
        -- what was shown today is shown again, and stays one exposure
        SELECT d.number INTO number FROM economy.recommendations d
            WHERE d.user_id = recommend.user_id AND d.placement = recommend.placement
              AND d.day = today AND d.version = place.version
              AND d.segment IS NOT DISTINCT FROM recommend.segment AND d.arm = recommend.arm
              AND d.fallback = recommend.fallback AND NOT choice.drawn
            ORDER BY d.number DESC LIMIT 1;
        EXIT WHEN found;
        SELECT coalesce(max(d.number), 0) + 1 INTO number FROM economy.recommendations d
            WHERE d.user_id = recommend.user_id;
        INSERT INTO economy.recommendations
            VALUES (user_id, number, placement, place.version, segment, arm, cta, product_id,
                    fallback, place.policy, propensity, today, newest, now,
                    now + make_interval(secs => economy_internal.seconds(place.attribution_window)))
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
