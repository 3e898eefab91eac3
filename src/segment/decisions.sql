-- segment: what was recommended, and what came of it

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
    propensity   double precision NOT NULL
        CONSTRAINT recommendations_propensity_check CHECK (propensity > 0 AND propensity <= 1),
    day          date        NOT NULL,
    seq          bigint      NOT NULL,
    decided_at   timestamptz NOT NULL,
    matures_at   timestamptz NOT NULL,
    clicked_at   timestamptz,
    converted_at timestamptz,
    CONSTRAINT recommendations_pkey PRIMARY KEY (user_id, number)
);
CREATE INDEX recommendations_day_idx ON economy.recommendations (user_id, placement, day);
-- the condition holds of every row, and keeps whoever asks for the rows of a user from an index
-- that has all of the placement: a planner that takes the table for empty finds both as cheap
CREATE INDEX recommendations_matures_at_idx ON economy.recommendations (placement, matures_at)
    WHERE matures_at IS NOT NULL;
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
    SELECT d.user_id, d.number, d.placement, d.version, d.segment, d.arm, d.fallback, d.policy,
           d.propensity, d.day, d.decided_at, d.clicked_at,
           least(d.converted_at, b.bought_at) AS converted_at, d.matures_at
    FROM economy.recommendations d
    LEFT JOIN LATERAL (
        SELECT min(t.created_at) AS bought_at FROM economy_internal.shop_purchases t
        WHERE t.user_id = d.user_id AND t.product_id = d.product_id AND t.status = 'SUCCESS'
          AND t.seq > d.seq AND t.created_at < d.matures_at
          AND NOT EXISTS (SELECT FROM economy_internal.rfm_reversals r
                          WHERE r.user_id = t.user_id AND r.seq = t.seq)
          -- a purchase is the conversion of the last decision before it
          AND NOT EXISTS (SELECT FROM economy.recommendations l
                          WHERE l.user_id = d.user_id AND l.product_id = d.product_id
                            AND l.number > d.number AND l.seq < t.seq)) b
        ON d.product_id IS NOT NULL;
COMMENT ON VIEW economy.recommendation_outcomes IS
    'Decisions with what came of them: a click, and a conversion by feedback or by a purchase of '
    'the product within the placement''s window.';

CREATE FUNCTION economy.recommendation_feedback(decision_id text, kind text) RETURNS text
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    now   CONSTANT timestamptz := economy.now();
    known economy.recommendations;
BEGIN
    PERFORM economy_internal.require_given('decision_id', decision_id IS NOT NULL);
    PERFORM economy_internal.require_given('kind', kind IS NOT NULL);
    IF kind NOT IN ('click', 'conversion') THEN
        RAISE EXCEPTION 'kind must be click or conversion' USING ERRCODE = 'XE002';
    END IF;
    PERFORM economy_internal.open_tables('recommendations');
    IF decision_id ~ '^D[0-9]{1,16}-[0-9]{1,16}$' THEN
        SELECT * INTO known FROM economy.recommendations d
            WHERE d.user_id = substring(decision_id, '^D([0-9]+)')::bigint
              AND d.number = substring(decision_id, '([0-9]+)$')::bigint FOR UPDATE;
    END IF;
    IF known.user_id IS NULL THEN
        RAISE EXCEPTION 'decision "%" does not exist', left(decision_id, 64)
            USING ERRCODE = 'XE605', HINT = 'Decisions are made by economy.recommend().';
    END IF;
    IF (CASE kind WHEN 'click' THEN known.clicked_at ELSE known.converted_at END) IS NOT NULL THEN
        RETURN 'reuse';
    END IF;
    -- a clock that was set back makes no answer older than the question
    UPDATE economy.recommendations d SET
            clicked_at = coalesce(
                d.clicked_at, CASE kind WHEN 'click' THEN greatest(now, d.decided_at) END),
            converted_at = coalesce(
                d.converted_at, CASE kind WHEN 'conversion' THEN greatest(now, d.decided_at) END)
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
        SELECT economy_internal.open_tables(
            'recommendations', 'shop_transactions', 'archived_keys',
            'economy_internal.rfm_reversals',
            'recommendation_placements');
        SELECT o.placement, o.segment, o.arm, count(*),
               count(o.clicked_at), round(count(o.clicked_at)::numeric / count(*), 4),
               count(o.converted_at), round(count(o.converted_at)::numeric / count(*), 4),
               count(*) FILTER (WHERE o.fallback),
               round(count(*) FILTER (WHERE o.fallback)::numeric / count(*), 4)
        FROM economy.recommendation_outcomes o
        WHERE recommendation_stats.since IS NULL OR o.decided_at >= recommendation_stats.since
        GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
    END;
COMMENT ON FUNCTION economy.recommendation_stats(timestamptz) IS
    'Per placement, segment and arm: decisions, clicks, conversions by feedback or '
    'purchase, fallbacks, and their rates.';
