-- The report: well-formed, self-contained, with the right figures, and nothing of
-- what an operator names can break out of it.
BEGIN;
SELECT no_plan();
-- the statements are many and small, and nothing has statistics
SET LOCAL jit = off;
SELECT set_config('economy.test_clock', '2099-05-01 10:00:00+00', true) AS x \gset
DELETE FROM economy.rfm_state;
DELETE FROM economy.segment_history;
DELETE FROM economy.user_segments;
-- the elements of HTML that have no end are closed, for the XML parser
CREATE FUNCTION pg_temp.page() RETURNS xml LANGUAGE sql AS $$
    SELECT xmlparse(DOCUMENT regexp_replace(regexp_replace(economy.rfm_report(), '^<!DOCTYPE html>', ''), '<(meta [^>]*)>', E'<\\1/>', 'g')) $$;
CREATE FUNCTION pg_temp.texts(title text) RETURNS text LANGUAGE sql AS $$
    SELECT array_to_string(xpath(format('//svg[title="%s"]/text[@class="light" or @class="dark"]/text()', title), pg_temp.page())::text[], ' ') $$;
SELECT matches(pg_temp.page()::text, 'There is no refresh yet', 'a page before the first refresh');
SELECT economy.upsert_product('{"product_id": "pgtap_h", "category": "conversion", "granted_gold": 1, "monetary": 70}', 'pgtap') IS NULL AS x \gset
SELECT count(*) AS x FROM economy.rfm_refresh() \gset
SELECT count(*) AS x FROM generate_series(1, 8) n, LATERAL economy.register('pgtap report ' || n) u, generate_series(1, CASE WHEN n > 6 THEN 5 ELSE 1 END) k,
    LATERAL economy.purchase(u, 'pgtap_h', 'k' || k || '-' || n) \gset
SELECT count(*) AS x FROM economy.rfm_refresh_incremental() \gset
SELECT count(*) AS x FROM economy.rfm_refresh() \gset
SELECT is(cardinality(xpath('//svg', pg_temp.page())), 4, 'four drawings');
SELECT is(pg_temp.texts('Users by recency and frequency score'),
    (SELECT string_agg(n::text, ' ' ORDER BY a DESC, b) FROM (SELECT a, b, count(u.user_id) AS n FROM generate_series(1, 5) a CROSS JOIN generate_series(1, 5) b
     LEFT JOIN economy.user_segments u ON u.r = a AND u.f = b AND u.frequency > 0 GROUP BY 1, 2) x), 'the heat map has the users');
SELECT is((SELECT sum(n::bigint) FROM string_to_table(pg_temp.texts('Users by recency and frequency score'), ' ') n), (SELECT active::numeric FROM economy.rfm_snapshots ORDER BY snapshot_id DESC LIMIT 1), 'all who are active');
SELECT is((SELECT sum(n::bigint) FROM string_to_table(pg_temp.texts('Changes between segments'), ' ') n), (SELECT count(*)::numeric FROM economy.segment_history), 'the movement has the changes');
SELECT cmp_ok((SELECT count(*) FROM economy.segment_history), '>=', 8::bigint, 'of which there are some');
SELECT is((SELECT array_agg(x::text) FROM unnest(xpath('//svg[title="Users by monetary value"]/text[@text-anchor="end"]/text()', pg_temp.page())) x), '{"50 and more","200 and more"}', 'orders of magnitude');
SELECT is((SELECT array_agg(x::text) FROM unnest(xpath('//svg[title="Users by segment"]/text[@text-anchor="end"]/text()', pg_temp.page())) x), '{NoPurchase,Whale,HighEngaged,AtRisk,Medium,Low,New}', 'every segment');
SELECT is(regexp_count, 0, 'nothing is loaded from elsewhere') FROM (SELECT count(*)::int AS regexp_count FROM regexp_matches(economy.rfm_report(), '(src=|href=|url[(]|@import|<script|http)', 'g')) x;
-- the summary is what the rows are, also of who bought nothing in the window
SAVEPOINT s;
UPDATE economy.user_segments SET frequency = 0, monetary = 0 WHERE user_id = (SELECT min(user_id) FROM economy.user_segments);
SELECT bag_eq('SELECT (s.segment, s.users, s.share, s.active, s.frequency, s.monetary)::text FROM economy.segment_summary() s WHERE s.users > 0', $$
    SELECT (k.segment, count(*), round(count(*)::numeric / (SELECT count(*) FROM economy.accounts), 4), count(*) FILTER (WHERE k.frequency > 0), coalesce(sum(k.frequency), 0), coalesce(sum(k.monetary), 0))::text
    FROM (SELECT coalesce(u.segment, 'NoPurchase') AS segment, coalesce(u.frequency, 0) AS frequency, u.monetary FROM economy.accounts a LEFT JOIN economy.user_segments u USING (user_id)) k GROUP BY k.segment$$, 'the summary, in every column');
ROLLBACK TO s;
-- a row is stale from the moment on at which it changes
CREATE FUNCTION pg_temp.stale(before interval) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('economy.test_clock', to_char((SELECT min(next_change_at) FROM economy.user_segments) AT TIME ZONE 'UTC' - before, 'YYYY-MM-DD HH24:MI:SS.US+00'), true);
    RETURN (SELECT f.stale_users > 0 FROM economy.rfm_freshness() f);
END
$$;
SELECT is(pg_temp.stale(before), answer, 'a row that changes in ' || before) FROM (VALUES (interval '1 microsecond', false), (interval '0', true)) v (before, answer);
SELECT set_config('economy.test_clock', '2099-05-01 10:00:00+00', true) AS x \gset
-- movement of 30 days, orders of magnitude in three
SAVEPOINT s;
DELETE FROM economy.segment_history;
INSERT INTO economy.segment_history SELECT n, 1, 'New', 'Low', timestamptz '2099-05-01 10:00:00+00' - at, 1 FROM unnest(ARRAY[interval '0', '29 days', '30 days' - interval '1 microsecond', '30 days', '31 days']) WITH ORDINALITY t (at, n);
SELECT is((SELECT sum(n::bigint) FROM string_to_table(pg_temp.texts('Changes between segments'), ' ') n), 3::numeric, 'the movement of the last 30 days');
DELETE FROM economy.user_segments;
INSERT INTO economy.user_segments (user_id, seq, frequency, monetary, r, f, m, segment, buckets) SELECT -n, 1, CASE WHEN n > 18 THEN 0 ELSE 1 END, m, 3, 3, 3, 'Low', '' FROM unnest(ARRAY[0, 1, 1, 2, 4, 5, 9, 10, 19, 20, 49, 50, 99, 100, 199, 200, 499, 500, 777]) WITH ORDINALITY t (m, n);
SELECT is((SELECT string_agg(x::text, ', ') FROM unnest(xpath('//svg[title="Users by monetary value"]/text/text()', pg_temp.page())) x),
    '0, 1, 1 and more, 2, 2 and more, 2, 5 and more, 2, 10 and more, 2, 20 and more, 2, 50 and more, 2, 100 and more, 2, 200 and more, 2, 500 and more, 1', 'orders of magnitude, of who bought in the window');
ROLLBACK TO s;
-- the drawings to the letter: a cell is light beyond four fifths of the greatest
SELECT is(economy_internal.svg_matrix('t<', 'r&', 'c"', '{"rows": ["x", "y"], "columns": ["a", "b"], "values": [[10, 8], [9, 0]]}'), '<svg role="img" viewBox="0 0 298 140" width="298" height="140"><title>t&lt;</title><text x="120" y="16" class="axis">c&quot; &#8594;</text><text x="4" y="38" class="axis">r&amp; &#8595;</text><text x="162" y="38" text-anchor="middle">a</text><text x="246" y="38" text-anchor="middle">b</text><text x="112" y="71" text-anchor="end">x</text><text x="112" y="111" text-anchor="end">y</text><rect x="122" y="48" width="80" height="36" fill="#1f6f8b" fill-opacity="1.000"/><text x="162" y="71" text-anchor="middle" class="light">10</text><rect x="206" y="48" width="80" height="36" fill="#1f6f8b" fill-opacity="0.808"/><text x="246" y="71" text-anchor="middle" class="dark">8</text><rect x="122" y="88" width="80" height="36" fill="#1f6f8b" fill-opacity="0.904"/><text x="162" y="111" text-anchor="middle" class="light">9</text><rect x="206" y="88" width="80" height="36" fill="#1f6f8b" fill-opacity="0.040"/><text x="246" y="111" text-anchor="middle" class="dark">0</text></svg>', 'a matrix');
SELECT is(economy_internal.svg_bars('t<', '[["a&", 3], ["b", 7], ["c", 0]]'), '<svg role="img" viewBox="0 0 640 94" width="640" height="94"><title>t&lt;</title><text x="172" y="20" text-anchor="end">a&amp;</text><rect x="180" y="5" width="154.3" height="20" fill="#1f6f8b"/><text x="342.3" y="20">3</text><text x="172" y="48" text-anchor="end">b</text><rect x="180" y="33" width="360.0" height="20" fill="#1f6f8b"/><text x="548.0" y="48">7</text><text x="172" y="76" text-anchor="end">c</text><rect x="180" y="61" width="0.0" height="20" fill="#1f6f8b"/><text x="188.0" y="76">0</text></svg>', 'bars');
SELECT economy.set_segment_rules('[{"segment": "<script>alert(1)</script>"}]', 'pgtap') AS x \gset
SELECT count(*) AS x FROM economy.rfm_refresh() \gset
SELECT is(cardinality(xpath('//script', pg_temp.page())), 0, 'a name is no markup');
SELECT matches(economy.rfm_report(), '&lt;script&gt;alert', 'but a name');
SELECT is(economy_internal.html_text($$<a b="c" d='e'>&$$), '&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp;', 'every character of markup');
SELECT * FROM finish();
ROLLBACK;
