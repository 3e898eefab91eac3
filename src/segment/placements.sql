-- segment: where something is recommended, and what can be

CREATE TABLE economy.recommendation_placements (
    placement          text     NOT NULL COLLATE "C"
        CONSTRAINT recommendation_placements_placement_check
        CHECK (octet_length(placement) BETWEEN 1 AND 64),
    version            integer  NOT NULL,
    policy             text     NOT NULL DEFAULT 'rules'
        CONSTRAINT recommendation_placements_policy_check
        CHECK (policy IN ('rules', 'thompson')),
    attribution_window interval NOT NULL DEFAULT '7 days'
        CONSTRAINT recommendation_placements_window_check
        CHECK (attribution_window BETWEEN '1 minute' AND '90 days'),
    half_life          interval NOT NULL DEFAULT '30 days'
        CONSTRAINT recommendation_placements_half_life_check
        CHECK (half_life BETWEEN '1 hour' AND '3650 days'),
    exploration        double precision NOT NULL DEFAULT 0.05
        CONSTRAINT recommendation_placements_exploration_check
        CHECK (exploration BETWEEN 0 AND 1),
    actor              text     NOT NULL,
    changed_at         timestamptz NOT NULL,
    CONSTRAINT recommendation_placements_pkey PRIMARY KEY (placement, version)
);
SELECT pg_catalog.pg_extension_config_dump(
    'economy.recommendation_placements', 'WHERE version > 0');
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
    segment    text    NOT NULL COLLATE "C"
        CONSTRAINT recommendation_arms_segment_check
        CHECK (octet_length(segment) BETWEEN 1 AND 64),
    position   integer NOT NULL,
    arm        text    NOT NULL COLLATE "C"
        CONSTRAINT recommendation_arms_arm_check CHECK (octet_length(arm) BETWEEN 1 AND 64),
    cta        text    NOT NULL
        CONSTRAINT recommendation_arms_cta_check CHECK (octet_length(cta) BETWEEN 1 AND 255),
    product_id text    COLLATE "C"
        CONSTRAINT recommendation_arms_product_id_check
        CHECK (octet_length(product_id) BETWEEN 1 AND 64),
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
INSERT INTO economy.recommendation_placements (placement, version, actor, changed_at)
    VALUES ('home', 0, 'economy', '2000-01-01 00:00:00+00');
INSERT INTO economy.recommendation_arms VALUES
    ('home', 0, 'AtRisk',      1, 'return',    'return_package',    'return_package'),
    ('home', 0, 'Whale',       1, 'limited',   'limited_package',   'limited_package'),
    ('home', 0, 'HighEngaged', 1, 'mission',   'mission_extension', NULL),
    ('home', 0, 'Medium',      1, 'value',     'value_package',     'value_package'),
    ('home', 0, 'Low',         1, 'bonus',     'daily_bonus',       NULL),
    ('home', 0, 'New',         1, 'starter',   'starter_package',   'starter_package'),
    ('home', 0, 'NoPurchase',  1, 'first_buy', 'first_purchase',    'first_purchase'),
    ('home', 0, '*',           1, 'daily',     'daily_reward',      NULL);

CREATE FUNCTION economy.set_recommendations(placement text, settings jsonb, arms jsonb, actor text)
    RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC'
    SET datestyle = 'ISO, YMD' SET intervalstyle = 'postgres' AS $$
DECLARE
    next_version integer;
    unknown      text;
    message      text;
    failed       text;
    at_column    text;
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.require_given('placement', placement IS NOT NULL);
    PERFORM economy_internal.require_given('settings', settings IS NOT NULL);
    PERFORM economy_internal.require_given('arms', arms IS NOT NULL);
    IF jsonb_typeof(settings) <> 'object' OR jsonb_typeof(arms) <> 'array'
       OR jsonb_array_length(arms) > 1000
       OR EXISTS (SELECT FROM jsonb_array_elements(arms) e WHERE jsonb_typeof(e) <> 'object') THEN
        RAISE EXCEPTION 'settings must be a JSON object, and arms an array of at most 1000'
            USING ERRCODE = 'XE607';
    END IF;
    SELECT x.k INTO unknown FROM (
        SELECT k FROM jsonb_object_keys(settings) k
        WHERE k NOT IN ('policy', 'attribution_window', 'half_life', 'exploration')
        UNION ALL
        SELECT k FROM jsonb_array_elements(arms) e, jsonb_object_keys(e) k
        WHERE k NOT IN ('segment', 'arm', 'cta', 'product_id')) x LIMIT 1;
    IF found THEN
        RAISE EXCEPTION 'unknown key "%"', unknown USING ERRCODE = 'XE607',
            HINT = 'Settings are columns of economy.recommendation_placements; '
                   'an arm has segment, arm, cta and product_id.';
    END IF;
    PERFORM economy_internal.open_tables('recommendation_placements', 'recommendation_arms');
    PERFORM economy_internal.lock_name('economy.set_recommendations:' || placement);
    SELECT coalesce(max(p.version), 0) + 1 INTO next_version
        FROM economy.recommendation_placements p
        WHERE p.placement = set_recommendations.placement;
    BEGIN
        INSERT INTO economy.recommendation_placements
            SELECT (jsonb_populate_record(
                NULL::economy.recommendation_placements,
                '{"policy": "rules", "attribution_window": "7 days", "half_life": "30 days", '
                '"exploration": 0.05}'
                || settings
                || jsonb_build_object('placement', placement, 'version', next_version,
                                      'actor', actor, 'changed_at', economy.now()))).*
            -- no row that this transaction sees conflicts; one that it cannot see raises 40001
            ON CONFLICT ON CONSTRAINT recommendation_placements_pkey DO NOTHING;
        INSERT INTO economy.recommendation_arms
            SELECT (jsonb_populate_record(
                NULL::economy.recommendation_arms,
                e.value || jsonb_build_object('placement', placement, 'version', next_version,
                                              'position', e.ordinality))).*
            FROM jsonb_array_elements(arms) WITH ORDINALITY e;
    EXCEPTION WHEN data_exception OR integrity_constraint_violation THEN
        GET STACKED DIAGNOSTICS
            message = MESSAGE_TEXT, failed = CONSTRAINT_NAME, at_column = COLUMN_NAME;
        -- the settings are looked through first, and then the arms: they share no key
        message := economy_internal.violation(
            'recommendation_placements', settings, message, failed, at_column);
        RAISE EXCEPTION 'recommendations of "%" are not valid', left(placement, 64)
            USING ERRCODE = 'XE607',
            DETAIL = economy_internal.violation('recommendation_arms', arms, message, '', '')
                     || '.',
            HINT = 'Settings are columns of economy.recommendation_placements; '
                   'an arm has segment, arm, cta and product_id.';
    END;
    PERFORM economy.note_change('recommendation_placements',
                                format('%s:%s', placement, next_version), 'set', actor);
    RETURN next_version;
END
$$;
COMMENT ON FUNCTION economy.set_recommendations(text, jsonb, jsonb, text) IS
    'Makes or replaces a placement: its settings, and its arms in the order of the array, '
    'with the segment * for the fallback. Returns its version.';
