-- segment: scores of any table, as a model gives them

-- The measuring is one query, in one place. It is text, because what it measures is a query
-- of the caller. $1 is as_of, for that query, and $2 the model: its value is known when the
-- text is planned, so that what the model does not ask for is not sorted.
CREATE FUNCTION economy_internal.rfm_measure_query(inputs text) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    PERFORM economy_internal.require_given('inputs', inputs IS NOT NULL);
    RETURN format($query$
        SELECT economy_internal.rfm_measured(
                   $2, q.users, q.active, q.recency, q.frequency, q.monetary, q.flat, q.p) AS bounds
        FROM (
            SELECT count(*) AS users, count(*) FILTER (WHERE i.frequency >= 1) AS active,
                   CASE ($2).recency_kind
                       WHEN 'fixed' THEN ($2).recency_breaks
                       WHEN 'quantile' THEN (
                           percentile_disc(($2).recency_breaks::double precision[])
                           WITHIN GROUP (ORDER BY i.recency) FILTER (WHERE i.ranked))::numeric[]
                       ELSE (
                           percentile_cont(($2).recency_breaks::double precision[])
                           WITHIN GROUP (ORDER BY i.recency::double precision)
                           FILTER (WHERE i.ranked))::numeric[] END AS recency,
                   CASE ($2).frequency_kind
                       WHEN 'fixed' THEN ($2).frequency_breaks
                       WHEN 'quantile' THEN (
                           percentile_disc(($2).frequency_breaks::double precision[])
                           WITHIN GROUP (ORDER BY i.frequency) FILTER (WHERE i.ranked))::numeric[]
                       ELSE (
                           percentile_cont(($2).frequency_breaks::double precision[])
                           WITHIN GROUP (ORDER BY i.frequency::double precision)
                           FILTER (WHERE i.ranked))::numeric[] END AS frequency,
                   CASE ($2).monetary_kind
                       WHEN 'fixed' THEN ($2).monetary_breaks
                       WHEN 'quantile' THEN (
                           percentile_disc(($2).monetary_breaks::double precision[])
                           WITHIN GROUP (ORDER BY i.monetary) FILTER (WHERE i.ranked))::numeric[]
                       ELSE (
                           percentile_cont(($2).monetary_breaks::double precision[])
                           WITHIN GROUP (ORDER BY i.monetary::double precision)
                           FILTER (WHERE i.ranked))::numeric[] END AS monetary,
                   -- an axis on which all have one value ranks nobody
                   ARRAY[
                       ($2).recency_kind <> 'fixed' AND min(i.recency) FILTER (WHERE i.ranked)
                           IS NOT DISTINCT FROM max(i.recency) FILTER (WHERE i.ranked),
                       ($2).frequency_kind <> 'fixed' AND min(i.frequency) FILTER (WHERE i.ranked)
                           IS NOT DISTINCT FROM max(i.frequency) FILTER (WHERE i.ranked),
                       ($2).monetary_kind <> 'fixed' AND min(i.monetary) FILTER (WHERE i.ranked)
                           IS NOT DISTINCT FROM max(i.monetary) FILTER (WHERE i.ranked)] AS flat,
                   (percentile_disc(ARRAY[0.5, 0.6, 0.95]) WITHIN GROUP (ORDER BY i.monetary)
                    FILTER (WHERE i.frequency >= 1))::numeric[] AS p
            FROM (SELECT r.recency, r.frequency, r.monetary,
                         ($2).population = 'all' OR r.frequency >= 1 AS ranked
                  FROM (%s) r WHERE r.recency IS NOT NULL) i) q
        $query$, inputs);
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_measure_query(text) IS
    'A query, with $1 for as_of and $2 for a model, for the bounds that the model finds in the '
    'rows (recency, frequency, monetary) of a query.';

CREATE FUNCTION economy_internal.rfm_measured(
    model economy.rfm_models, users bigint, active bigint, recency numeric[], frequency numeric[],
    monetary numeric[], flat boolean[], p numeric[]
) RETURNS economy.score_bounds
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    plus_one CONSTANT text := 'quantile_plus_one';
    result   economy.score_bounds;
BEGIN
    result.users := users;
    result.active := active;
    result.recency := CASE WHEN model.recency_kind = plus_one
        THEN (SELECT array_agg(b + 1 ORDER BY b) FROM unnest(recency) b) ELSE recency END;
    result.frequency := CASE WHEN model.frequency_kind = plus_one
        THEN (SELECT array_agg(b + 1 ORDER BY b) FROM unnest(frequency) b) ELSE frequency END;
    result.monetary := CASE WHEN model.monetary_kind = plus_one
        THEN (SELECT array_agg(b + 1 ORDER BY b) FROM unnest(monetary) b) ELSE monetary END;
    result.p50 := p[1];
    result.p60 := p[2];
    result.p95 := p[3];
    result.degenerate := ARRAY(
        SELECT v.name FROM (VALUES (1, 'recency'), (2, 'frequency'), (3, 'monetary')) v (n, name)
        WHERE flat[v.n] ORDER BY v.n);
    RETURN result;
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_measured(
    economy.rfm_models, bigint, bigint, numeric[], numeric[], numeric[], boolean[], numeric[]) IS
    'The bounds of a model out of what rfm_measure_query() counts.';

CREATE FUNCTION economy_internal.rfm_measure(
    model economy.rfm_models, inputs text, as_of timestamptz
) RETURNS economy.score_bounds
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC'
    SET datestyle = 'ISO, YMD' AS $$
DECLARE
    measured record;
BEGIN
    PERFORM economy_internal.require_given('model', model.model IS NOT NULL);
    -- EXECUTE, because the rows are those of the caller's query
    EXECUTE economy_internal.rfm_measure_query(inputs) INTO measured USING as_of, model;
    RETURN measured.bounds;
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_measure(economy.rfm_models, text, timestamptz) IS
    'The bounds that a model finds in the rows (recency, frequency, monetary) of a query with $1 '
    'for as_of, which runs with the caller''s privileges.';

CREATE FUNCTION economy_internal.rfm_source_check(source text) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC'
    SET datestyle = 'ISO, YMD' AS $$
DECLARE
    times   CONSTANT text[] := '{timestamp with time zone,timestamp without time zone,date}';
    kind    text;
    wrong   bigint;
    message text;
BEGIN
    -- EXECUTE, because what is looked at is a query of the caller
    BEGIN
        -- pg_typeof() puts a name in quotes where the session quotes all of them
        EXECUTE format($query$
            SELECT btrim(pg_typeof((SELECT s.ts FROM (%1$s) s LIMIT 1))::text, '"'),
                   (SELECT count(s.id::text) + count(s.amount::numeric) FROM (%1$s) s WHERE false)
            $query$, source) INTO kind, wrong;
        IF kind = ANY (times) THEN
            EXECUTE format($query$
                SELECT count(*) FROM (%s) s
                WHERE s.id IS NULL OR isfinite(s.ts) IS NOT TRUE OR s.amount IS NULL
                   OR s.amount::numeric IN ('NaN', 'Infinity', '-Infinity')
                $query$, source) INTO wrong;
        END IF;
    EXCEPTION WHEN undefined_column OR cannot_coerce OR invalid_text_representation
            OR undefined_table OR syntax_error THEN
        GET STACKED DIAGNOSTICS message = MESSAGE_TEXT;
        RAISE EXCEPTION 'source must have the columns id, ts and amount'
            USING ERRCODE = 'XE604', DETAIL = message || '.',
            HINT = 'For a table of another shape, give economy.rfm_score_query() a query; '
                   'qualify its names.';
    END;
    IF kind <> ALL (times) THEN
        RAISE EXCEPTION 'ts must be a date or a timestamp'
            USING ERRCODE = 'XE604', DETAIL = format('It is of type %s.', kind);
    END IF;
    IF wrong > 0 THEN
        RAISE EXCEPTION 'source has % rows with a null id, ts or amount, or one that is not finite',
            wrong USING ERRCODE = 'XE604';
    END IF;
    RETURN kind;
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_source_check(text) IS
    'The type of ts of a query for (id, ts, amount); XE604 when that is no such query.';

CREATE FUNCTION economy_internal.rfm_source(
    model economy.rfm_models, source text, as_of timestamptz
) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC'
    SET datestyle = 'ISO, YMD' AS $$
DECLARE
    at_utc   CONSTANT text := $query$(s.ts::timestamp AT TIME ZONE 'UTC')$query$;
    counting CONSTANT text := $query$i.at > $1 - %s * interval '24 hours'$query$;
    kind     text;
BEGIN
    PERFORM economy_internal.require_given('source', source IS NOT NULL);
    PERFORM economy_internal.require_given('as_of', as_of IS NOT NULL);
    IF NOT isfinite(as_of) THEN
        RAISE EXCEPTION 'as_of must be a finite time' USING ERRCODE = 'XE002';
    END IF;
    kind := economy_internal.rfm_source_check(source);
    -- a negative amount is a return, and no purchase
    RETURN format($query$
        SELECT i.id,
               least(($1 AT TIME ZONE 'UTC')::date - (max(i.at) AT TIME ZONE 'UTC')::date, %1$s)
                   AS recency,
               count(*) FILTER (WHERE %2$s) AS frequency,
               coalesce(sum(i.amount) FILTER (WHERE %2$s), 0) AS monetary
        FROM (SELECT s.id::text AS id, %3$s AS at, s.amount::numeric AS amount
              FROM (%4$s) s WHERE s.amount::numeric >= 0) i
        WHERE i.at <= $1 GROUP BY i.id
        $query$,
        coalesce(model.recency_clamp::text, 'NULL'),
        CASE WHEN model.window_days IS NULL THEN 'true'
             ELSE format(counting, model.window_days) END,
        CASE kind WHEN 'timestamp with time zone' THEN 's.ts' ELSE at_utc END, source);
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_source(economy.rfm_models, text, timestamptz) IS
    'A query, with $1 for as_of, for recency, frequency and monetary per id of a query for '
    '(id, ts, amount); XE604 when that is no such query.';

CREATE FUNCTION economy.rfm_bounds_query(model text, query text, as_of timestamptz)
    RETURNS economy.score_bounds
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC'
    SET datestyle = 'ISO, YMD' AS $$
DECLARE
    definition economy.rfm_models := economy.rfm_model(model);
    inputs     text := economy_internal.rfm_source(definition, query, as_of);
BEGIN
    RETURN economy_internal.rfm_measure(definition, inputs, as_of);
END
$$;
COMMENT ON FUNCTION economy.rfm_bounds_query(text, text, timestamptz) IS
    'rfm_bounds() of a query with the columns id, ts and amount.';

CREATE FUNCTION economy.rfm_bounds(model text, source regclass, as_of timestamptz)
    RETURNS economy.score_bounds
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC'
    SET datestyle = 'ISO, YMD' AS $$
BEGIN
    RETURN economy.rfm_bounds_query(model, 'SELECT id, ts, amount FROM ' || source, as_of);
END
$$;
COMMENT ON FUNCTION economy.rfm_bounds(text, regclass, timestamptz) IS
    'The bounds that a model finds in a table with the columns id, ts and amount, '
    'with the caller''s privileges.';

CREATE FUNCTION economy_internal.rfm_score_expression(
    axis text, kind text, bounds numeric[], degenerate boolean, population text
) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT CASE
            WHEN degenerate AND axis <> 'recency' AND population = 'active'
                THEN 'CASE WHEN i.frequency >= 1 THEN 3 ELSE 1 END'
            WHEN degenerate THEN '3'
            ELSE (
                -- each bound that the value has passed is a point
                SELECT CASE axis WHEN 'recency' THEN '5 - (' ELSE '1 + (' END
                       || string_agg(
                              '(i.' || quote_ident(axis)
                              || CASE kind WHEN 'quantile_plus_one' THEN ' >= ' ELSE ' > ' END
                              || quote_nullable(b) || '::numeric)::integer',
                              ' + ') || ')'
                FROM unnest(bounds) b) END;
    END;
COMMENT ON FUNCTION economy_internal.rfm_score_expression(text, text, numeric[], boolean, text) IS
    'An SQL expression for the score of a row i on an axis: 3 for all who are ranked on one that '
    'is degenerate.';

CREATE FUNCTION economy.rfm_score_query(model text, query text, as_of timestamptz)
    RETURNS TABLE (
        id text, recency_days integer, frequency bigint, monetary numeric, r integer, f integer,
        m integer, score numeric, segment text
    )
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC'
    SET datestyle = 'ISO, YMD' AS $$
DECLARE
    definition economy.rfm_models := economy.rfm_model(model);
    inputs     text := economy_internal.rfm_source(definition, query, as_of);
    bounds     economy.score_bounds := economy_internal.rfm_measure(definition, inputs, as_of);
    rules      jsonb := (SELECT jsonb_agg(to_jsonb(g)) FROM economy.rfm_rules() g);
BEGIN
    -- EXECUTE, because the rows are those of the caller's query
    RETURN QUERY EXECUTE format($query$
        WITH rules AS MATERIALIZED (SELECT * FROM economy.rfm_rule_ranges($5, $6, $7, $8))
        SELECT s.id, s.recency, s.frequency, s.monetary, s.r, s.f, s.m,
               $2 * s.r + $3 * s.f + $4 * s.m,
               (SELECT g.segment FROM rules g
                WHERE (g.bought IS NULL OR g.bought)
                  AND s.recency BETWEEN g.recency_from AND g.recency_to
                  AND s.frequency BETWEEN g.frequency_from AND g.frequency_to
                  AND s.monetary >= g.monetary_from AND s.monetary > g.monetary_above
                  AND s.monetary < g.monetary_below AND s.monetary <= g.monetary_to
                ORDER BY g.position LIMIT 1)
        FROM (SELECT i.*, %s AS r, %s AS f, %s AS m FROM (%s) i) s
        $query$,
        economy_internal.rfm_score_expression(
            'recency', definition.recency_kind, bounds.recency,
            'recency' = ANY (bounds.degenerate), definition.population),
        economy_internal.rfm_score_expression(
            'frequency', definition.frequency_kind, bounds.frequency,
            'frequency' = ANY (bounds.degenerate), definition.population),
        economy_internal.rfm_score_expression(
            'monetary', definition.monetary_kind, bounds.monetary,
            'monetary' = ANY (bounds.degenerate), definition.population),
        inputs)
        USING as_of, definition.recency_weight, definition.frequency_weight,
              definition.monetary_weight, rules, bounds.p50, bounds.p60, bounds.p95;
END
$$;
COMMENT ON FUNCTION economy.rfm_score_query(text, text, timestamptz) IS
    'rfm_score() of a query with the columns id, ts and amount.';

CREATE FUNCTION economy.rfm_score(model text, source regclass, as_of timestamptz)
    RETURNS TABLE (
        id text, recency_days integer, frequency bigint, monetary numeric, r integer, f integer,
        m integer, score numeric, segment text
    )
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC'
    SET datestyle = 'ISO, YMD' AS $$
BEGIN
    PERFORM economy_internal.require_given('source', source IS NOT NULL);
    RETURN QUERY SELECT * FROM economy.rfm_score_query(
        model, 'SELECT id, ts, amount FROM ' || source, as_of);
END
$$;
COMMENT ON FUNCTION economy.rfm_score(text, regclass, timestamptz) IS
    'Scores a table with the columns id, ts and amount by a model, a row per id with a row up to '
    'as_of; runs with the caller''s privileges.';
