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
SELECT economy.set_segment_rules('[{"segment": "<script>alert(1)</script>"}]', 'pgtap') AS x \gset
SELECT count(*) AS x FROM economy.rfm_refresh() \gset
SELECT is(cardinality(xpath('//script', pg_temp.page())), 0, 'a name is no markup');
SELECT matches(economy.rfm_report(), '&lt;script&gt;alert', 'but a name');
SELECT is(economy_internal.html_text($$<a b="c" d='e'>&$$), '&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp;', 'every character of markup');
SELECT * FROM finish();
ROLLBACK;
