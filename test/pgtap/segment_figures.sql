-- The figures of the report, and the readers beside them, against the rows.
BEGIN;
SELECT no_plan();
-- the statements are many and small, and nothing has statistics
SET LOCAL jit = off;
SELECT set_config('economy.test_clock', '2099-05-01 10:00:00+00', true) AS x \gset
DELETE FROM economy.rfm_state;
DELETE FROM economy.segment_history;
DELETE FROM economy.user_segments;
SELECT is(economy.segment_figures(), NULL, 'no figures before the first refresh');
CREATE FUNCTION pg_temp.figures(part text) RETURNS SETOF jsonb LANGUAGE sql AS $$ SELECT jsonb_array_elements(economy.segment_figures() -> part) $$;
SELECT economy.upsert_product('{"product_id": "pgtap_h", "category": "conversion", "granted_gold": 1, "monetary": 70}', 'pgtap') IS NULL AS x \gset
SELECT count(*) AS x FROM economy.rfm_refresh() \gset
SELECT count(*) AS x FROM generate_series(1, 8) n, LATERAL economy.register('pgtap report ' || n) u, generate_series(1, CASE WHEN n > 6 THEN 5 ELSE 1 END) k,
    LATERAL economy.purchase(u, 'pgtap_h', 'k' || k || '-' || n) \gset
SELECT count(*) AS x FROM economy.rfm_refresh_incremental() \gset
SELECT count(*) AS x FROM economy.rfm_refresh() \gset
SELECT bag_eq($$SELECT x FROM pg_temp.figures('scores') x$$, $$SELECT jsonb_build_object('r', r, 'f', f, 'users', count(*)) FROM economy.user_segments WHERE frequency > 0 GROUP BY r, f$$, 'users by recency and frequency');
SELECT is((SELECT sum((x ->> 'users')::bigint) FROM pg_temp.figures('scores') x), (SELECT active::numeric FROM economy.rfm_snapshots ORDER BY snapshot_id DESC LIMIT 1), 'all who are active');
SELECT bag_eq($$SELECT x FROM pg_temp.figures('moves') x$$, $$SELECT jsonb_build_object('from', from_segment, 'to', to_segment, 'changes', count(*)) FROM economy.segment_history GROUP BY from_segment, to_segment$$, 'the movement has the changes');
SELECT cmp_ok((SELECT count(*) FROM economy.segment_history), '>=', 8::bigint, 'of which there are some');
SELECT is((SELECT jsonb_agg(x -> 'least') FROM pg_temp.figures('monetary') x), '[50, 200]', 'orders of magnitude');
SELECT is((SELECT string_agg(x ->> 'segment', ',') FROM pg_temp.figures('segments') x), 'NoPurchase,Whale,HighEngaged,AtRisk,Medium,Low,New', 'every segment');
SELECT is(economy.segment_figures() -> 'segments', (SELECT jsonb_agg(to_jsonb(s)) FROM economy.segment_summary() s), 'as the summary has them');
SELECT is(economy.segment_figures() - '{segments,scores,monetary,moves}'::text[], (SELECT jsonb_build_object('as_of', '2099-05-01T10:00:00+00:00', 'snapshot', jsonb_build_object('as_of', '2099-05-01T10:00:00+00:00', 'model', s.model ->> 'model',
    'snapshot_id', s.snapshot_id, 'users', s.users, 'active', s.active, 'p60', s.p60, 'p95', s.p95, 'degenerate', s.degenerate)) FROM economy.rfm_snapshots s ORDER BY s.snapshot_id DESC LIMIT 1), 'and the snapshot, in UTC');
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
INSERT INTO economy.segment_history SELECT n, 1, 'New', 'Low', timestamptz '2099-05-01 10:00:00+00' - at, 1 FROM unnest(ARRAY[interval '0', '696 hours', '720 hours' - interval '1 microsecond', '720 hours', '744 hours']) WITH ORDINALITY t (at, n);
SELECT is((SELECT jsonb_agg(x) FROM pg_temp.figures('moves') x), '[{"from": "New", "to": "Low", "changes": 3}]', 'the movement of the last 30 days');
DELETE FROM economy.user_segments;
INSERT INTO economy.user_segments (user_id, seq, frequency, monetary, r, f, m, segment, buckets) SELECT -n, 1, CASE WHEN n > 18 THEN 0 ELSE 1 END, m, 3, 3, 3, 'Low', '' FROM unnest(ARRAY[0, 1, 1, 2, 4, 5, 9, 10, 19, 20, 49, 50, 99, 100, 199, 200, 499, 500, 777]) WITH ORDINALITY t (m, n);
SELECT is((SELECT string_agg((x ->> 'least') || ' ' || (x ->> 'users'), ', ') FROM pg_temp.figures('monetary') x), '0 1, 1 2, 2 2, 5 2, 10 2, 20 2, 50 2, 100 2, 200 2, 500 1', 'orders of magnitude, of who bought in the window');
ROLLBACK TO s;
DELETE FROM economy.user_segments;
DELETE FROM economy.segment_history;
SELECT is(economy.segment_figures() - '{as_of,snapshot,segments}'::text[], '{"scores": [], "monetary": [], "moves": []}', 'of nobody');
INSERT INTO economy.user_segments (user_id, seq, frequency, monetary, r, f, m, segment, buckets) SELECT -n, 1, 1, 1, 1 + n * 7 % 5, 1 + n * 3 % 4, 3, 'Low', '' FROM generate_series(1, 20) n;
SELECT is((SELECT jsonb_agg(x ORDER BY n) FROM jsonb_array_elements(economy.segment_figures() -> 'scores') WITH ORDINALITY t (x, n)), (SELECT jsonb_agg(x ORDER BY (x ->> 'r')::integer DESC, (x ->> 'f')::integer) FROM pg_temp.figures('scores') x), 'the best first');
INSERT INTO economy.segment_history SELECT n, 1, chr(97 + n * 7 % 5), chr(97 + n * 3 % 4), '2099-05-01 10:00:00+00', 1 FROM generate_series(1, 20) n;
SELECT is((SELECT jsonb_agg(x ORDER BY n) FROM jsonb_array_elements(economy.segment_figures() -> 'moves') WITH ORDINALITY t (x, n)), (SELECT jsonb_agg(x ORDER BY x ->> 'from', x ->> 'to') FROM pg_temp.figures('moves') x), 'movement by name');
-- rules in the order of their positions, in whatever order their rows lie
UPDATE economy.segment_rules SET p95_positive = p95_positive WHERE position < 4;
SELECT is((SELECT array_agg(r.position) FROM economy.rfm_rules() r), (SELECT array_agg(n) FROM generate_series(1, 8) n), 'rules in their order');
SELECT is((SELECT array_agg(g.position) FROM economy.rfm_rule_ranges((SELECT jsonb_agg(to_jsonb(r) ORDER BY r.position DESC) FROM economy.rfm_rules() r), 1, 2, 3) g), (SELECT array_agg(n) FROM generate_series(1, 8) n), 'and their ranges');
SELECT * FROM finish();
ROLLBACK;
