-- segment: daily buckets, models, rules, scores, segments

-- Models and rules. Both are data; a snapshot keeps what it was made with.

CREATE TABLE economy.rfm_models (
    model             text    NOT NULL COLLATE "C" CONSTRAINT rfm_models_pkey PRIMARY KEY
        CONSTRAINT rfm_models_model_check CHECK (octet_length(model) BETWEEN 1 AND 64),
    window_days       integer
        CONSTRAINT rfm_models_window_check CHECK (window_days BETWEEN 1 AND 36500),
    recency_clamp     integer
        CONSTRAINT rfm_models_clamp_check CHECK (recency_clamp BETWEEN 1 AND 36500),
    recency_kind      text    NOT NULL CONSTRAINT rfm_models_recency_kind_check
        CHECK (recency_kind IN ('fixed', 'quantile', 'quantile_plus_one')),
    recency_breaks    numeric[] NOT NULL,
    frequency_kind    text    NOT NULL CONSTRAINT rfm_models_frequency_kind_check
        CHECK (frequency_kind IN ('fixed', 'quantile', 'quantile_plus_one')),
    frequency_breaks  numeric[] NOT NULL,
    monetary_kind     text    NOT NULL CONSTRAINT rfm_models_monetary_kind_check
        CHECK (monetary_kind IN ('fixed', 'quantile', 'quantile_plus_one')),
    monetary_breaks   numeric[] NOT NULL,
    population        text    NOT NULL
        CONSTRAINT rfm_models_population_check CHECK (population IN ('active', 'all')),
    recency_weight    numeric NOT NULL
        CONSTRAINT rfm_models_recency_weight_check CHECK (recency_weight BETWEEN 0 AND 1),
    frequency_weight  numeric NOT NULL
        CONSTRAINT rfm_models_frequency_weight_check CHECK (frequency_weight BETWEEN 0 AND 1),
    monetary_weight   numeric NOT NULL
        CONSTRAINT rfm_models_monetary_weight_check CHECK (monetary_weight BETWEEN 0 AND 1),
    builtin           boolean NOT NULL DEFAULT false
);
SELECT pg_catalog.pg_extension_config_dump('economy.rfm_models', 'WHERE NOT builtin');
COMMENT ON TABLE economy.rfm_models IS
    'Definitions of recency, frequency and monetary scores, 1 to 5, '
    '5 the best. Changed by set_rfm_model().';
COMMENT ON CONSTRAINT rfm_models_model_check ON economy.rfm_models IS
    'model must have 1 to 64 bytes';
COMMENT ON CONSTRAINT rfm_models_window_check ON economy.rfm_models IS
    'window_days must be from 1 to 36500';
COMMENT ON CONSTRAINT rfm_models_clamp_check ON economy.rfm_models IS
    'recency_clamp must be from 1 to 36500';
COMMENT ON CONSTRAINT rfm_models_recency_kind_check ON economy.rfm_models IS
    'recency_kind must be fixed, quantile or quantile_plus_one';
COMMENT ON CONSTRAINT rfm_models_frequency_kind_check ON economy.rfm_models IS
    'frequency_kind must be fixed, quantile or quantile_plus_one';
COMMENT ON CONSTRAINT rfm_models_monetary_kind_check ON economy.rfm_models IS
    'monetary_kind must be fixed, quantile or quantile_plus_one';
COMMENT ON CONSTRAINT rfm_models_population_check ON economy.rfm_models IS
    'population must be active or all';
COMMENT ON CONSTRAINT rfm_models_recency_weight_check ON economy.rfm_models IS
    'recency_weight must be from 0 to 1';
COMMENT ON CONSTRAINT rfm_models_frequency_weight_check ON economy.rfm_models IS
    'frequency_weight must be from 0 to 1';
COMMENT ON CONSTRAINT rfm_models_monetary_weight_check ON economy.rfm_models IS
    'monetary_weight must be from 0 to 1';
COMMENT ON COLUMN economy.rfm_models.window_days IS
    'Days of which purchases count for frequency and monetary; null is all time.';
COMMENT ON COLUMN economy.rfm_models.recency_clamp IS
    'Largest recency in days, also of users that never bought; null is none.';
COMMENT ON COLUMN economy.rfm_models.recency_kind IS
    'fixed: the breaks are values; quantile: fractions, '
    'percentile_disc of the population; quantile_plus_one: fractions, '
    'percentile_cont plus 1, and a value that reaches a bound has passed it.';
COMMENT ON COLUMN economy.rfm_models.recency_breaks IS
    'Four breaks, rising: the score is 5, less one for each bound below the value.';
COMMENT ON COLUMN economy.rfm_models.frequency_breaks IS
    'Four breaks, rising: the score is 1, and one more for each bound below the value.';
COMMENT ON COLUMN economy.rfm_models.monetary_breaks IS
    'Four breaks, rising: as those of frequency.';
COMMENT ON COLUMN economy.rfm_models.population IS
    'Whose values make the quantiles: active has a purchase in the '
    'window, all has one at any time.';
INSERT INTO economy.rfm_models VALUES
    ('standard', 30, 90,
     'fixed', '{1,3,7,14}', 'quantile', '{0.2,0.4,0.6,0.8}', 'quantile', '{0.2,0.4,0.6,0.8}',
     'active', 0.4, 0.3, 0.3, true),
    ('all_time', NULL, NULL,
     'quantile_plus_one', '{0.2,0.4,0.6,0.8}', 'quantile_plus_one', '{0.2,0.4,0.6,0.8}',
     'quantile_plus_one', '{0.2,0.4,0.6,0.8}',
     'all', 0.4, 0.3, 0.3, true);

CREATE TABLE economy.segment_rules (
    version        integer NOT NULL,
    position       integer NOT NULL,
    segment        text    NOT NULL COLLATE "C"
        CONSTRAINT segment_rules_segment_check CHECK (octet_length(segment) BETWEEN 1 AND 64),
    bought         boolean,
    recency_from   integer
        CONSTRAINT segment_rules_recency_from_check CHECK (recency_from >= 0),
    recency_to     integer
        CONSTRAINT segment_rules_recency_to_check CHECK (recency_to >= recency_from),
    frequency_from bigint
        CONSTRAINT segment_rules_frequency_from_check CHECK (frequency_from >= 0),
    frequency_to   bigint
        CONSTRAINT segment_rules_frequency_to_check CHECK (frequency_to >= frequency_from),
    monetary_from  text
        CONSTRAINT segment_rules_monetary_from_check
        CHECK (monetary_from ~ '^(p60|p95|[0-9]{1,16})$'),
    monetary_below text
        CONSTRAINT segment_rules_monetary_below_check
        CHECK (monetary_below ~ '^(p60|p95|[0-9]{1,16})$'),
    p95_positive   boolean NOT NULL DEFAULT false,
    CONSTRAINT segment_rules_pkey PRIMARY KEY (version, position)
);
SELECT pg_catalog.pg_extension_config_dump('economy.segment_rules', 'WHERE version > 0');
COMMENT ON TABLE economy.segment_rules IS
    'Ordered rules: a user''s segment is that of the first rule that matches; '
    'all conditions of a rule must hold, null is no condition. The highest version is in force.';
COMMENT ON CONSTRAINT segment_rules_segment_check ON economy.segment_rules IS
    'segment must have 1 to 64 bytes';
COMMENT ON CONSTRAINT segment_rules_recency_from_check ON economy.segment_rules IS
    'recency_from must be 0 or more';
COMMENT ON CONSTRAINT segment_rules_recency_to_check ON economy.segment_rules IS
    'recency_to must be recency_from or more';
COMMENT ON CONSTRAINT segment_rules_frequency_from_check ON economy.segment_rules IS
    'frequency_from must be 0 or more';
COMMENT ON CONSTRAINT segment_rules_frequency_to_check ON economy.segment_rules IS
    'frequency_to must be frequency_from or more';
COMMENT ON CONSTRAINT segment_rules_monetary_from_check ON economy.segment_rules IS
    'monetary_from must be a whole number of up to 16 digits, p60 or p95';
COMMENT ON CONSTRAINT segment_rules_monetary_below_check ON economy.segment_rules IS
    'monetary_below must be a whole number of up to 16 digits, p60 or p95';
COMMENT ON COLUMN economy.segment_rules.bought IS 'Whether the user has ever bought anything.';
COMMENT ON COLUMN economy.segment_rules.recency_from IS 'Least recency in days, inclusive.';
COMMENT ON COLUMN economy.segment_rules.recency_to IS 'Greatest recency in days, inclusive.';
COMMENT ON COLUMN economy.segment_rules.frequency_from IS
    'Least number of purchases in the window, inclusive.';
COMMENT ON COLUMN economy.segment_rules.frequency_to IS
    'Greatest number of purchases in the window, inclusive.';
COMMENT ON COLUMN economy.segment_rules.monetary_from IS
    'Least sum, inclusive: a number, p60 or p95 of the users with a purchase in the window. '
    'While p95 is the median, a sum equal to a quantile is below it.';
COMMENT ON COLUMN economy.segment_rules.monetary_below IS
    'The sum is below this: a number, p60 or p95.';
COMMENT ON COLUMN economy.segment_rules.p95_positive IS
    'The rule matches only while p95 is above 0.';
INSERT INTO economy.segment_rules VALUES
    (0, 1, 'NoPurchase',  false, NULL, NULL, NULL, NULL, NULL,  NULL,  false),
    (0, 2, 'Whale',       true,  NULL, NULL, 1,    NULL, 'p95', NULL,  true),
    (0, 3, 'HighEngaged', true,  NULL, 7,    10,   NULL, NULL,  NULL,  false),
    (0, 4, 'AtRisk',      true,  22,   NULL, NULL, NULL, NULL,  NULL,  false),
    (0, 5, 'Medium',      true,  NULL, NULL, 4,    NULL, NULL,  NULL,  false),
    (0, 6, 'Medium',      true,  NULL, NULL, NULL, NULL, 'p60', 'p95', false),
    (0, 7, 'Low',         true,  8,    21,   1,    3,    NULL,  NULL,  false),
    (0, 8, 'New',         true,  NULL, 7,    1,    3,    NULL,  NULL,  false);

CREATE TYPE economy.score_bounds AS (
    users      bigint,
    active     bigint,
    recency    numeric[],
    frequency  numeric[],
    monetary   numeric[],
    p50        numeric,
    p60        numeric,
    p95        numeric,
    degenerate text[]
);
COMMENT ON TYPE economy.score_bounds IS
    'What a model''s scores are measured against: bounds of the five scores, '
    'and median, p60 and p95 of monetary.';

CREATE FUNCTION economy.rfm_model(model text) RETURNS economy.rfm_models
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    result economy.rfm_models;
BEGIN
    PERFORM economy_internal.open_tables('rfm_models');
    PERFORM economy_internal.require_given('model', model IS NOT NULL);
    SELECT * INTO result FROM economy.rfm_models m WHERE m.model = rfm_model.model;
    IF NOT found THEN
        RAISE EXCEPTION 'model "%" does not exist', model USING ERRCODE = 'XE603',
            HINT = 'Models are made by economy.set_rfm_model().';
    END IF;
    RETURN result;
END
$$;
COMMENT ON FUNCTION economy.rfm_model(text) IS
    'The definition of a model; XE603 when there is none.';

CREATE FUNCTION economy_internal.rfm_setting(name text) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    -- a call of C defines the settings in a session that has not loaded the library
    PERFORM economy.now();
    RETURN current_setting(name);
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_setting(text) IS
    'A setting of the extension, also in a session that has not called it yet.';

CREATE FUNCTION economy.rfm_rules() RETURNS SETOF economy.segment_rules
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.open_tables('segment_rules');
        SELECT * FROM economy.segment_rules r
        WHERE r.version = (SELECT max(v.version) FROM economy.segment_rules v) ORDER BY r.position;
    END;
COMMENT ON FUNCTION economy.rfm_rules() IS 'The segment rules in force, in their order.';

CREATE FUNCTION economy.rfm_rule_ranges(rules jsonb, p50 numeric, p60 numeric, p95 numeric)
    RETURNS TABLE (
        "position" integer, segment text, bought boolean, recency_from bigint, recency_to bigint,
        frequency_from bigint, frequency_to bigint, monetary_from numeric, monetary_above numeric,
        monetary_below numeric, monetary_to numeric
    )
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT r.position, r.segment, r.bought,
               coalesce(r.recency_from, 0), coalesce(r.recency_to, 9223372036854775807),
               -- a rule that cannot match wants more purchases than there are
               CASE WHEN (r.p95_positive AND coalesce(p95, 0) <= 0)
                      OR (r.monetary_from IS NOT NULL AND l.least IS NULL)
                      OR (r.monetary_below IS NOT NULL AND g.most IS NULL)
                    THEN 9223372036854775807 ELSE coalesce(r.frequency_from, 0) END,
               coalesce(r.frequency_to, 9223372036854775806),
               CASE WHEN l.tied THEN '-Infinity' ELSE coalesce(l.least, '-Infinity') END,
               CASE WHEN l.tied THEN l.least ELSE '-Infinity' END,
               CASE WHEN g.tied THEN 'Infinity' ELSE coalesce(g.most, 'Infinity') END,
               CASE WHEN g.tied THEN g.most ELSE 'Infinity' END
        FROM jsonb_populate_recordset(
                 NULL::economy.segment_rules,
                 CASE jsonb_typeof(rules) WHEN 'array' THEN rules ELSE '[]' END) r
        -- while p95 is the median, who has that value is below both quantiles
        CROSS JOIN LATERAL (
            SELECT CASE r.monetary_from
                       WHEN 'p60' THEN p60 WHEN 'p95' THEN p95 ELSE r.monetary_from::numeric END,
                   r.monetary_from LIKE 'p%' AND p95 = p50) l (least, tied)
        CROSS JOIN LATERAL (
            SELECT CASE r.monetary_below
                       WHEN 'p60' THEN p60 WHEN 'p95' THEN p95 ELSE r.monetary_below::numeric END,
                   r.monetary_below LIKE 'p%' AND p95 = p50) g (most, tied)
        ORDER BY r.position;
    END;
COMMENT ON FUNCTION economy.rfm_rule_ranges(jsonb, numeric, numeric, numeric) IS
    'Rules with median, p60 and p95 put in and no nulls left but in bought; '
    'monetary_above and monetary_below are exclusive, all else inclusive.';

CREATE FUNCTION economy_internal.segment_rules_gap(
    rules bigint[], window_days integer, recency_clamp integer,
    OUT bought boolean, OUT recency bigint, OUT frequency bigint, OUT monetary bigint,
    OUT p60 bigint, OUT p95 bigint
)
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_segment_rules_gap';
COMMENT ON FUNCTION economy_internal.segment_rules_gap(bigint[], integer, integer) IS
    'A user that rules, eight numbers each, leave without a segment; null when there can be none.';

CREATE FUNCTION economy_internal.check_segment_rules(rules jsonb, model economy.rfm_models)
    RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    gap record;
BEGIN
    SELECT (economy_internal.segment_rules_gap(array_agg(v.value ORDER BY r.position, v.n),
                                      model.window_days, model.recency_clamp)).* INTO gap
        FROM jsonb_populate_recordset(NULL::economy.segment_rules, rules) r
        CROSS JOIN LATERAL (VALUES
            (1, coalesce(r.bought::integer, -1)),
            (2, coalesce(r.recency_from, 0)),
            (3, coalesce(r.recency_to, 9223372036854775807)),
            (4, coalesce(r.frequency_from, 0)),
            (5, coalesce(r.frequency_to, 9223372036854775807)),
            (6, CASE r.monetary_from WHEN 'p60' THEN -60 WHEN 'p95' THEN -95
                                     ELSE coalesce(r.monetary_from::bigint, -1) END),
            (7, CASE r.monetary_below WHEN 'p60' THEN -60 WHEN 'p95' THEN -95
                                      ELSE coalesce(r.monetary_below::bigint, -1) END),
            (8, r.p95_positive::integer)) v (n, value);
    IF gap.recency IS NOT NULL THEN
        RAISE EXCEPTION 'the segment rules leave users without a segment' USING ERRCODE = 'XE601',
            DETAIL = CASE WHEN gap.bought
                THEN format('No rule matches recency %s, frequency %s, monetary %s, '
                            'with p60 = %s and p95 = %s and the model "%s".',
                            gap.recency, gap.frequency, gap.monetary,
                            coalesce(gap.p60::text, 'null'), coalesce(gap.p95::text, 'null'),
                            model.model)
                ELSE 'No rule matches a user that never bought anything.' END,
            HINT = 'Add a last rule without conditions.';
    END IF;
END
$$;
COMMENT ON FUNCTION economy_internal.check_segment_rules(jsonb, economy.rfm_models) IS
    'Raises XE601 unless the rules give every possible user of the model a segment.';

CREATE FUNCTION economy.set_segment_rules(rules jsonb, actor text) RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    next_version integer;
    unknown      text;
    message      text;
    failed       text;
    at_column    text;
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.require_given('rules', rules IS NOT NULL);
    IF jsonb_typeof(rules) <> 'array' OR jsonb_array_length(rules) NOT BETWEEN 1 AND 100
       OR EXISTS (SELECT FROM jsonb_array_elements(rules) e WHERE jsonb_typeof(e) <> 'object') THEN
        RAISE EXCEPTION 'rules must be an array of 1 to 100 JSON objects' USING ERRCODE = 'XE601';
    END IF;
    SELECT k INTO unknown FROM jsonb_array_elements(rules) e, jsonb_object_keys(e) k
        WHERE k NOT IN ('segment', 'bought', 'recency_from', 'recency_to', 'frequency_from',
                        'frequency_to', 'monetary_from', 'monetary_below', 'p95_positive')
        LIMIT 1;
    IF found THEN
        RAISE EXCEPTION 'a rule has an unknown key "%"', unknown USING ERRCODE = 'XE601',
            HINT = 'The keys are the conditions of economy.segment_rules; '
                   'the order is that of the array.';
    END IF;
    PERFORM economy_internal.open_tables('segment_rules', 'rfm_models');
    PERFORM economy_internal.lock_name('economy.segment_rules');
    SELECT max(r.version) + 1 INTO next_version FROM economy.segment_rules r;
    BEGIN
        INSERT INTO economy.segment_rules
            SELECT (jsonb_populate_record(NULL::economy.segment_rules,
                        '{"p95_positive": false}' || e.value
                        || jsonb_build_object('version', next_version, 'position', e.ordinality))).*
            FROM jsonb_array_elements(rules) WITH ORDINALITY e
            -- no row that this transaction sees conflicts; one that it cannot see raises 40001
            ON CONFLICT ON CONSTRAINT segment_rules_pkey DO NOTHING;
    EXCEPTION WHEN data_exception OR integrity_constraint_violation THEN
        GET STACKED DIAGNOSTICS
            message = MESSAGE_TEXT, failed = CONSTRAINT_NAME, at_column = COLUMN_NAME;
        RAISE EXCEPTION 'a segment rule is not valid' USING ERRCODE = 'XE601',
            DETAIL = economy_internal.violation('segment_rules', rules, message, failed, at_column)
                     || '.',
            HINT = 'The keys are the conditions of economy.segment_rules; '
                   'the order is that of the array.';
    END;
    PERFORM economy_internal.check_segment_rules(
        (SELECT jsonb_agg(to_jsonb(r)) FROM economy.rfm_rules() r),
        economy.rfm_model(economy_internal.rfm_setting('economy.rfm_model')));
    INSERT INTO economy.segment_rule_changes (version, actor, changed_at)
        VALUES (next_version, actor, economy.now());
    PERFORM economy.note_change('segment_rules', next_version::text, 'set', actor);
    RETURN next_version;
END
$$;
COMMENT ON FUNCTION economy.set_segment_rules(jsonb, text) IS
    'Replaces the segment rules by an array of objects, first match first, '
    'after checking that no user is left without a segment (XE601); '
    'in use from the next rfm_refresh(). Returns their version.';

CREATE TABLE economy.segment_rule_changes (
    version    integer     NOT NULL CONSTRAINT segment_rule_changes_pkey PRIMARY KEY,
    actor      text        NOT NULL,
    changed_at timestamptz NOT NULL
);
SELECT pg_catalog.pg_extension_config_dump('economy.segment_rule_changes', '');
COMMENT ON TABLE economy.segment_rule_changes IS
    'Who put which version of the segment rules in force, and when.';

CREATE FUNCTION economy.set_rfm_model(model jsonb, actor text) RETURNS economy.rfm_models
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    old_row   economy.rfm_models;
    new_row   economy.rfm_models;
    axis      text;
    breaks    numeric[];
    unknown   text;
    message   text;
    failed    text;
    at_column text;
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.require_given('model', model IS NOT NULL);
    IF jsonb_typeof(model) <> 'object' OR model ->> 'model' IS NULL THEN
        RAISE EXCEPTION 'model must be a JSON object with a name, "model"' USING ERRCODE = 'XE603';
    END IF;
    SELECT k INTO unknown FROM jsonb_object_keys(model) k
        WHERE k NOT IN (SELECT a.attname FROM pg_attribute a
                        WHERE a.attrelid = 'economy.rfm_models'::regclass AND a.attnum > 0)
           OR k = 'builtin'
        LIMIT 1;
    IF found THEN
        RAISE EXCEPTION 'model has an unknown key "%"', unknown USING ERRCODE = 'XE603',
            HINT = 'The keys are the column names of economy.rfm_models.';
    END IF;
    PERFORM economy_internal.open_tables('rfm_models');
    SELECT * INTO old_row FROM economy.rfm_models m
        WHERE m.model = set_rfm_model.model ->> 'model' FOR NO KEY UPDATE;
    IF old_row.builtin THEN
        RAISE EXCEPTION 'model "%" is built in', old_row.model USING ERRCODE = 'XE603',
            HINT = 'Make a model of another name and set economy.rfm_model to it.';
    END IF;
    IF NOT found THEN
        SELECT * INTO old_row FROM economy.rfm_models m WHERE m.model = 'standard';
        old_row.builtin := false;
    END IF;
    BEGIN
        new_row := jsonb_populate_record(old_row, model);
        FOR axis, breaks IN
            VALUES ('recency', new_row.recency_breaks), ('frequency', new_row.frequency_breaks),
                   ('monetary', new_row.monetary_breaks)
        LOOP
            IF breaks IS NULL OR array_ndims(breaks) IS DISTINCT FROM 1
               OR cardinality(breaks) <> 4
               OR breaks IS DISTINCT FROM
                  (SELECT array_agg(DISTINCT b ORDER BY b) FROM unnest(breaks) b)
               OR (to_jsonb(new_row) ->> (axis || '_kind') <> 'fixed'
                   AND (breaks[1] <= 0 OR breaks[4] >= 1))
               OR array_position(breaks, NULL) IS NOT NULL
               -- NaN is greater than any number
               OR breaks[1] < 0 OR breaks[4] > 9007199254740991 THEN
                RAISE EXCEPTION '%_breaks must be four rising numbers, '
                                'fractions between 0 and 1 for quantiles', axis
                    USING ERRCODE = 'check_violation';
            END IF;
        END LOOP;
        INSERT INTO economy.rfm_models SELECT (new_row).*
            ON CONFLICT ON CONSTRAINT rfm_models_pkey DO UPDATE SET
                window_days = excluded.window_days,
                recency_clamp = excluded.recency_clamp,
                recency_kind = excluded.recency_kind,
                recency_breaks = excluded.recency_breaks,
                frequency_kind = excluded.frequency_kind,
                frequency_breaks = excluded.frequency_breaks,
                monetary_kind = excluded.monetary_kind,
                monetary_breaks = excluded.monetary_breaks,
                population = excluded.population,
                recency_weight = excluded.recency_weight,
                frequency_weight = excluded.frequency_weight,
                monetary_weight = excluded.monetary_weight;
    EXCEPTION WHEN data_exception OR integrity_constraint_violation THEN
        GET STACKED DIAGNOSTICS
            message = MESSAGE_TEXT, failed = CONSTRAINT_NAME, at_column = COLUMN_NAME;
        RAISE EXCEPTION 'model is not valid' USING ERRCODE = 'XE603',
            DETAIL = economy_internal.violation('rfm_models', model, message, failed, at_column)
                     || '.',
            HINT = 'The keys are the column names of economy.rfm_models.';
    END;
    -- rules that leave users of the model in use without a segment would fail the next refresh
    IF new_row.model = economy_internal.rfm_setting('economy.rfm_model') THEN
        PERFORM economy_internal.check_segment_rules(
            (SELECT jsonb_agg(to_jsonb(r)) FROM economy.rfm_rules() r), new_row);
    END IF;
    PERFORM economy.note_change('rfm_models', new_row.model, 'set', actor);
    RETURN new_row;
END
$$;
COMMENT ON FUNCTION economy.set_rfm_model(jsonb, text) IS
    'Makes a model, from the columns given and those of "standard", or changes one; '
    'rfm_refresh() uses the model that economy.rfm_model names. XE603 for a model that is not '
    'valid or built in, XE601 for that one when the segment rules do not fit.';

