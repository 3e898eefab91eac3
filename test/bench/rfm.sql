-- RFM at size, against the plain SQL of the definition, in one run:
--   scripts/with-server "$(scripts/stage)" -o shared_buffers=1GB -o max_wal_size=8GB -o autovacuum=off \
--       psql -X -v users=1000000 -v purchases=10000000 -f test/bench/rfm.sql
-- Times are the server's; the first full refresh also reads the whole journal.
\set ON_ERROR_STOP 1
\set QUIET 1
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SET synchronous_commit = off;
CREATE EXTENSION economy;
CREATE SCHEMA bench;
CREATE TABLE bench.figure (n serial, what text, seconds numeric);
CREATE TABLE bench.segments (user_id bigint PRIMARY KEY, r integer, f integer, m integer, segment text);

-- purchases n of a period, by users of skewed activity
CREATE FUNCTION bench.buy(first bigint, last bigint, users bigint, upto timestamptz, days integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO economy.shop_transactions (user_id, seq, gold_delta, xp_delta, gold, experience_points, created_at, xact, monetary, quantity,
            receipt_signature_version, hash_algo_version, hash, receipt_signature, category, status, product_id, idempotency_key)
    SELECT x.user_id, coalesce(a.seq, 0) + row_number() OVER (PARTITION BY x.user_id ORDER BY x.at), 1, 0, 1, 0, x.at, pg_current_xact_id()::text::bigint, x.monetary, 1,
           1, 1, h.hash, h.hash, 'conversion', 'SUCCESS', 'bench', 'bench-' || x.n
    FROM (SELECT n, 1 + floor(users * power((hashint8extended(n, 1) & 1048575) / 1048576.0::double precision, 2))::bigint AS user_id,
                 upto - (hashint8extended(n, 2) & 268435455) / 268435456.0::double precision * days * interval '1 day' AS at,
                 1 + (hashint8extended(n, 3) & 1023) * (hashint8extended(n, 4) & 1023) / 100 AS monetary
          FROM generate_series(first, last) n) x
    LEFT JOIN economy.accounts a USING (user_id) CROSS JOIN (SELECT sha256('bench') AS hash) h ORDER BY x.at;
    UPDATE economy.accounts a SET seq = t.seq FROM (
        SELECT t.user_id, max(t.seq) AS seq FROM economy.shop_transactions t
        WHERE t.xact = pg_current_xact_id()::text::bigint GROUP BY 1) t WHERE t.user_id = a.user_id;
$$;

-- the definition as one would write it first
CREATE FUNCTION bench.plain(as_of timestamptz) RETURNS void LANGUAGE sql SET work_mem = '64MB' AS $$
    INSERT INTO bench.segments
    WITH last_purchase AS (
        SELECT user_id, max(created_at) AS last_at FROM economy.shop_transactions WHERE status = 'SUCCESS' AND created_at <= as_of GROUP BY 1
    ), recent AS (
        SELECT user_id, count(*) AS f, sum(monetary) AS m FROM economy.shop_transactions
        WHERE status = 'SUCCESS' AND created_at > as_of - interval '30 days' AND created_at <= as_of GROUP BY 1
    ), base AS (
        SELECT a.user_id, l.last_at IS NOT NULL AS bought, least(90, coalesce((as_of AT TIME ZONE 'UTC')::date - (l.last_at AT TIME ZONE 'UTC')::date, 90)) AS days,
               coalesce(r.f, 0) AS f, coalesce(r.m, 0) AS m
        FROM economy.accounts a LEFT JOIN last_purchase l USING (user_id) LEFT JOIN recent r USING (user_id)
    ), bounds AS (
        SELECT percentile_disc(0.6) WITHIN GROUP (ORDER BY m) AS p60, percentile_disc(0.95) WITHIN GROUP (ORDER BY m) AS p95 FROM base WHERE f >= 1
    ), tiles AS (
        SELECT user_id, ntile(5) OVER (ORDER BY f) AS f, ntile(5) OVER (ORDER BY m) AS m FROM base WHERE f >= 1
    )
    SELECT b.user_id, CASE WHEN days <= 1 THEN 5 WHEN days <= 3 THEN 4 WHEN days <= 7 THEN 3 WHEN days <= 14 THEN 2 ELSE 1 END,
           coalesce(t.f, 1), coalesce(t.m, 1),
           CASE WHEN NOT bought THEN 'NoPurchase' WHEN b.f >= 1 AND b.m >= p95 AND p95 > 0 THEN 'Whale' WHEN b.f >= 10 AND days <= 7 THEN 'HighEngaged'
                WHEN days > 21 THEN 'AtRisk' WHEN b.f >= 4 OR (b.m >= p60 AND b.m < p95) THEN 'Medium' WHEN days BETWEEN 8 AND 21 THEN 'Low' ELSE 'New' END
    FROM base b CROSS JOIN bounds LEFT JOIN tiles t USING (user_id)
    ON CONFLICT (user_id) DO UPDATE SET r = excluded.r, f = excluded.f, m = excluded.m, segment = excluded.segment;
$$;
CREATE FUNCTION bench.timed(what text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    began timestamptz := clock_timestamp();
    answer text;
BEGIN
    EXECUTE statement INTO answer;
    INSERT INTO bench.figure (what, seconds) VALUES (what, extract(epoch FROM clock_timestamp() - began));
    RETURN format('%s: %s s (%s)', what, round(extract(epoch FROM clock_timestamp() - began), 3), answer);
END
$$;

INSERT INTO economy.accounts (user_id) SELECT n FROM generate_series(1, :users) n;
SELECT bench.buy(1, :purchases, :users, '2031-06-29 02:05:00+00', 180);
VACUUM ANALYZE economy.shop_transactions;
VACUUM ANALYZE economy.accounts;
CHECKPOINT;
SELECT bench.timed('plain SQL, first', $$SELECT bench.plain('2031-06-29 02:05:00+00')$$);
SET economy.notify = off;
SET economy.test_clock = '2031-06-29 02:05:00+00';
SELECT bench.timed('full refresh, first', $$SELECT (snapshot_id, users_scored, users_changed) FROM economy.rfm_refresh()$$);
VACUUM ANALYZE economy.user_segments;
VACUUM ANALYZE bench.segments;

-- a day: an incremental refresh every hour, the full one at night
CREATE PROCEDURE bench.day(first bigint, number bigint, users bigint) LANGUAGE plpgsql AS $$
BEGIN
    FOR h IN 0 .. 22 LOOP
        PERFORM bench.buy(first + number * h / 23 + 1, first + number * (h + 1) / 23, users, timestamptz '2031-06-29 03:05:00+00' + h * interval '1 hour', 0);
        PERFORM set_config('economy.test_clock', (timestamptz '2031-06-29 03:05:00+00' + h * interval '1 hour')::text, false);
        COMMIT;
        PERFORM economy.rfm_refresh_incremental();
        COMMIT;
    END LOOP;
END
$$;
CALL bench.day(:purchases, :purchases / 180, :users);
CHECKPOINT;
SET economy.test_clock = '2031-06-30 02:05:00+00';
SELECT bench.timed('plain SQL', $$SELECT bench.plain('2031-06-30 02:05:00+00')$$);
CHECKPOINT;
SELECT bench.timed('full refresh', $$SELECT (snapshot_id, users_scored, users_changed) FROM economy.rfm_refresh()$$);
VACUUM ANALYZE economy.user_segments;
SELECT 'rows of user_segments that are wrong: ' || count(*) FROM bench.segments s JOIN economy.user_segments u USING (user_id) WHERE (s.r, s.segment) IS DISTINCT FROM (u.r::integer, u.segment);

-- one in a hundred users buys
SELECT bench.buy(2 * :purchases, 2 * :purchases + :users / 85, :users, '2031-06-30 02:06:00+00', 0) \g /dev/null
CHECKPOINT;
SET economy.test_clock = '2031-06-30 02:07:00+00';
SELECT bench.timed('incremental refresh', $$SELECT (snapshot_id, users_scored, users_changed) FROM economy.rfm_refresh_incremental()$$);
SELECT bench.timed('incremental refresh, nothing new', $$SELECT (snapshot_id, users_scored, users_changed) FROM economy.rfm_refresh_incremental()$$);
SELECT format('plain SQL / full refresh: %s (must 5, aim 10)', round(max(seconds) FILTER (WHERE what = 'plain SQL') / max(seconds) FILTER (WHERE what = 'full refresh'), 2)) FROM bench.figure;
SELECT format('incremental / first full refresh: %s %%', round(100 * max(seconds) FILTER (WHERE what = 'incremental refresh') / max(seconds) FILTER (WHERE what = 'full refresh, first'), 2)) FROM bench.figure;
SELECT format('incremental / full refresh: %s %% (must 3, aim 1)', round(100 * max(seconds) FILTER (WHERE what = 'incremental refresh') / max(seconds) FILTER (WHERE what = 'full refresh'), 2)) FROM bench.figure;
SELECT format('size: journal %s, user_segments %s', pg_size_pretty(pg_total_relation_size('economy.shop_transactions')), pg_size_pretty(pg_total_relation_size('economy.user_segments')));
