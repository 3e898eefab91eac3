-- segment: the report, one page that needs nothing else

CREATE FUNCTION economy_internal.html_text(value text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT replace(replace(replace(replace(replace(
            value, '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;'), '''', '&#39;');
    END;
COMMENT ON FUNCTION economy_internal.html_text(text) IS 'A text that may stand in HTML.';

CREATE FUNCTION economy_internal.svg_matrix(
    title text, row_title text, column_title text, cells jsonb
) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH size AS (
            SELECT jsonb_array_length(cells -> 'rows') AS nrows,
                   jsonb_array_length(cells -> 'columns') AS ncolumns,
                   (SELECT max(v.value::numeric)
                    FROM jsonb_array_elements(cells -> 'values') r,
                         jsonb_array_elements_text(r) v) AS most
        ), cell AS (
            SELECT r.ordinality AS y, c.ordinality AS x, c.value::numeric AS n
            FROM jsonb_array_elements(cells -> 'values') WITH ORDINALITY r,
                 jsonb_array_elements_text(r.value) WITH ORDINALITY c
        )
        SELECT format('<svg role="img" viewBox="0 0 %1$s %2$s" width="%1$s" height="%2$s">'
                      '<title>%3$s</title>',
                      130 + 84 * s.ncolumns, 60 + 40 * s.nrows, economy_internal.html_text(title))
            || format('<text x="120" y="16" class="axis">%s &#8594;</text>'
                      '<text x="4" y="38" class="axis">%s &#8595;</text>',
                      economy_internal.html_text(column_title),
                      economy_internal.html_text(row_title))
            || (SELECT coalesce(string_agg(
                    format('<text x="%s" y="38" text-anchor="middle">%s</text>',
                           162 + 84 * (c.ordinality - 1), economy_internal.html_text(c.value)),
                    '' ORDER BY c.ordinality), '')
                FROM jsonb_array_elements_text(cells -> 'columns') WITH ORDINALITY c)
            || (SELECT coalesce(string_agg(
                    format('<text x="112" y="%s" text-anchor="end">%s</text>',
                           71 + 40 * (r.ordinality - 1), economy_internal.html_text(r.value)),
                    '' ORDER BY r.ordinality), '')
                FROM jsonb_array_elements_text(cells -> 'rows') WITH ORDINALITY r)
            || (SELECT coalesce(string_agg(
                    format('<rect x="%s" y="%s" width="80" height="36" fill="#1f6f8b" '
                           'fill-opacity="%s"/>'
                           '<text x="%s" y="%s" text-anchor="middle" class="%s">%s</text>',
                           122 + 84 * (c.x - 1), 48 + 40 * (c.y - 1),
                           round(0.04 + 0.96 * c.n / greatest(s.most, 1), 3),
                           162 + 84 * (c.x - 1), 71 + 40 * (c.y - 1),
                           CASE WHEN c.n > s.most * 0.8 THEN 'light' ELSE 'dark' END, c.n),
                    '' ORDER BY c.y, c.x), '') FROM cell c)
            || '</svg>'
        FROM size s;
    END;
COMMENT ON FUNCTION economy_internal.svg_matrix(text, text, text, jsonb) IS
    'A heat map of {"rows": [...], "columns": [...], "values": [[...]]} as SVG.';

CREATE FUNCTION economy_internal.svg_bars(title text, bars jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH bar AS (
            SELECT b.ordinality AS n, b.value ->> 0 AS label, (b.value ->> 1)::numeric AS value,
                   max((b.value ->> 1)::numeric) OVER () AS most
            FROM jsonb_array_elements(bars) WITH ORDINALITY b
        )
        SELECT format('<svg role="img" viewBox="0 0 640 %1$s" width="640" height="%1$s">'
                      '<title>%2$s</title>',
                      10 + 28 * jsonb_array_length(bars), economy_internal.html_text(title))
            || coalesce(string_agg(
                   format('<text x="172" y="%s" text-anchor="end">%s</text>'
                          '<rect x="180" y="%s" width="%s" height="20" fill="#1f6f8b"/>'
                          '<text x="%s" y="%s">%s</text>',
                          20 + 28 * (b.n - 1), economy_internal.html_text(b.label),
                          5 + 28 * (b.n - 1), round(360 * b.value / greatest(b.most, 1), 1),
                          188 + round(360 * b.value / greatest(b.most, 1), 1),
                          20 + 28 * (b.n - 1), b.value),
                   '' ORDER BY b.n), '')
            || '</svg>'
        FROM bar b;
    END;
COMMENT ON FUNCTION economy_internal.svg_bars(text, jsonb) IS
    'A bar chart of [[label, number], ...] as SVG.';

CREATE FUNCTION economy_internal.rfm_report_seen() RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, economy, pg_temp SET jit = off AS $$
DECLARE
    moment   CONSTANT text := 'YYYY-MM-DD HH24:MI "UTC"';
    state    economy.rfm_state;
    snapshot economy.rfm_snapshots;
    names    jsonb;
    heat     jsonb;
    sizes    jsonb;
    money    jsonb;
    moved    jsonb;
    since    timestamptz;
    flat     text := '';
    body     text;
BEGIN
    SELECT * INTO state FROM economy.rfm_state;
    SELECT * INTO snapshot FROM economy.rfm_snapshots s WHERE s.snapshot_id = state.snapshot_id;
    IF state.snapshot_id IS NULL THEN
        body := '<p>There is no refresh yet: call <code>economy.rfm_refresh()</code>.</p>';
    ELSE
        since := state.as_of - interval '30 days';
        SELECT jsonb_agg(s.segment), jsonb_agg(jsonb_build_array(s.segment, s.users))
            INTO names, sizes FROM economy_internal.segment_summary_seen() s;
        SELECT jsonb_build_object(
                   'rows', '["R 5", "R 4", "R 3", "R 2", "R 1"]'::jsonb,
                   'columns', '["F 1", "F 2", "F 3", "F 4", "F 5"]'::jsonb,
                   'values', jsonb_agg(v.line ORDER BY v.r DESC)) INTO heat
            FROM (SELECT r, jsonb_agg(coalesce(c.n, 0) ORDER BY f) AS line
                  FROM generate_series(1, 5) r CROSS JOIN generate_series(1, 5) f
                  LEFT JOIN (SELECT u.r, u.f, count(*) AS n FROM economy.user_segments u
                             WHERE u.frequency > 0 GROUP BY 1, 2) c USING (r, f)
                  GROUP BY r) v;
        -- orders of magnitude, each in three: from 1, 2 and 5
        SELECT coalesce(jsonb_agg(jsonb_build_array(
                   CASE WHEN b.least IS NULL THEN '0' ELSE b.least || ' and more' END, b.n)
                   ORDER BY b.least NULLS FIRST), '[]') INTO money
            FROM (SELECT CASE WHEN u.monetary > 0 THEN (
                             power(10::numeric, length(u.monetary::text) - 1)
                             * CASE WHEN left(u.monetary::text, 1) >= '5' THEN 5
                                    WHEN left(u.monetary::text, 1) >= '2' THEN 2
                                    ELSE 1 END)::bigint END AS least,
                         count(*) AS n
                  FROM economy.user_segments u WHERE u.frequency > 0 GROUP BY 1) b;
        SELECT jsonb_build_object(
                   'rows', names, 'columns', names,
                   'values', coalesce(jsonb_agg(v.line ORDER BY v.position), '[]')) INTO moved
            FROM (SELECT a.ordinality AS position,
                         jsonb_agg(coalesce(h.n, 0) ORDER BY b.ordinality) AS line
                  FROM jsonb_array_elements_text(names) WITH ORDINALITY a
                  CROSS JOIN jsonb_array_elements_text(names) WITH ORDINALITY b
                  LEFT JOIN (SELECT x.from_segment, x.to_segment, count(*) AS n
                             FROM economy.segment_history x WHERE x.changed_at > since
                             GROUP BY 1, 2) h
                      ON h.from_segment = a.value AND h.to_segment = b.value
                  GROUP BY a.ordinality) v;
        IF snapshot.degenerate <> '{}' THEN
            flat := format(' On %s all who were ranked have one value: they score 3 there.',
                           array_to_string(snapshot.degenerate, ' and '));
        END IF;
        body := format(
                '<p>As of %s. Bounds of snapshot %s, made as of %s by the model %s: %s users, '
                '%s of them with a purchase in the window. p60 is %s, p95 is %s.%s</p>',
                to_char(state.as_of AT TIME ZONE 'UTC', moment), state.snapshot_id,
                to_char(snapshot.as_of AT TIME ZONE 'UTC', moment),
                economy_internal.html_text(snapshot.model ->> 'model'),
                snapshot.users, snapshot.active,
                coalesce(snapshot.p60::text, 'not known'),
                coalesce(snapshot.p95::text, 'not known'), economy_internal.html_text(flat))
            || '<h2>Recency and frequency</h2>'
            || '<p>Users with a purchase in the window, by score; 5 is the best.</p>'
            || economy_internal.svg_matrix(
                   'Users by recency and frequency score', 'recency', 'frequency', heat)
            || '<h2>Segments</h2>'
            || '<p>Users in each segment, in the order of the rules.</p>'
            || economy_internal.svg_bars('Users by segment', sizes)
            || '<h2>Monetary value</h2>'
            || '<p>Users with a purchase in the window, by their sum in it, '
            || 'in minor units of money.</p>'
            || economy_internal.svg_bars('Users by monetary value', money)
            || '<h2>Movement</h2>'
            || '<p>Changes of segment in the last 30 days, from the row to the column.</p>'
            || economy_internal.svg_matrix('Changes between segments', 'from', 'to', moved);
    END IF;
    RETURN E'<!DOCTYPE html>\n'
        || '<html lang="en"><head><meta charset="utf-8">'
        || '<meta name="viewport" content="width=device-width, initial-scale=1">'
        || '<title>Segments</title><style>'
        || 'body{font:16px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;'
        || 'color:#1b2a33}h1,h2{line-height:1.2}svg{max-width:100%;height:auto}'
        || 'svg text{font:13px sans-serif;fill:#1b2a33}svg text.light{fill:#fff}'
        || 'svg text.axis{fill:#5a6b75}'
        || '</style></head><body><h1>Segments</h1>' || body || E'</body></html>\n';
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_report_seen() IS 'rfm_report(), once its tables are open.';

CREATE FUNCTION economy.rfm_report() RETURNS text
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.open_tables(
            'accounts', 'rfm_snapshots', 'rfm_state', 'segment_history', 'user_segments');
        SELECT economy_internal.rfm_report_seen();
    END;
COMMENT ON FUNCTION economy.rfm_report() IS
    'One self-contained HTML page: heat map of recency and frequency, segment sizes, '
    'monetary distribution and movement between segments.';
