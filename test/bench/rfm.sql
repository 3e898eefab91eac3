-- RFM refreshes against the plain SQL of the definition, in an empty database of
-- their own.  psql variables: users, purchases (10 per user), rounds.  Prints
-- lines of work, seconds, its peer, the peer's seconds, and the ratio; of several
-- rounds the medians.
-- A round is a day with an incremental refresh every hour, a full one at night
-- by either way, and then an incremental one when a hundredth of the users bought.
\set ON_ERROR_STOP 1
SET client_min_messages = warning;
SET synchronous_commit = off;
SET economy.notify = off;
CREATE EXTENSION economy;
CREATE SCHEMA bench;
CREATE TABLE bench.figure (what text, round integer, seconds double precision);
CREATE TABLE bench.segments (user_id bigint PRIMARY KEY, r integer, f integer, m integer, segment text);

-- purchases n of a period, by users of skewed activity
CREATE FUNCTION bench.buy(first bigint, last bigint, users bigint, upto timestamptz, days integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO economy.shop_transactions (user_id, seq, gold_delta, xp_delta, gold, experience_points, created_at, xact, position, key_digest, live, monetary, quantity,
            receipt_signature_version, hash_algo_version, hash, receipt_signature, category, status, product_id, idempotency_key)
    SELECT x.user_id, coalesce(a.seq, 0) + row_number() OVER (PARTITION BY x.user_id ORDER BY x.at), 1, 0, 1, 0, x.at, pg_current_xact_id()::text::bigint,
           (SELECT economy_internal.position_of(pg_current_xact_id()::text::bigint)),
       economy_internal.key_digest('bench', 'bench-' || x.n), false, x.monetary, 1,
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
CREATE FUNCTION bench.timed(what text, round integer, statement text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    began timestamptz := clock_timestamp();
BEGIN
    EXECUTE statement;
    INSERT INTO bench.figure VALUES (what, round, extract(epoch FROM clock_timestamp() - began));
END
$$;
CREATE FUNCTION bench.night(day integer) RETURNS timestamptz LANGUAGE sql AS $$
    SELECT timestamptz '2031-06-29 02:05:00+00' + day * interval '24 hours'
$$;
CREATE PROCEDURE bench.day(day integer, purchases bigint, users bigint) LANGUAGE plpgsql AS $$
DECLARE
    number CONSTANT bigint := purchases / 180;
    first  CONSTANT bigint := purchases * 2 + day * number;
    at     timestamptz;
BEGIN
    FOR h IN 1 .. 23 LOOP
        at := bench.night(day - 1) + h * interval '1 hour';
        PERFORM bench.buy(first + number * (h - 1) / 23 + 1, first + number * h / 23, users, at, 0);
        PERFORM set_config('economy.test_clock', to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00'), false);
        COMMIT;
        PERFORM economy.rfm_refresh_incremental();
        COMMIT;
    END LOOP;
END
$$;

\o /dev/null
INSERT INTO economy.accounts (user_id, head_hash) SELECT n, sha256('') FROM generate_series(1, :users) n;
SELECT bench.buy(1, :purchases, :users, bench.night(0), 180);
VACUUM ANALYZE economy.shop_transactions;
VACUUM ANALYZE economy.accounts;
ALTER TABLE economy.shop_transactions SET (autovacuum_enabled = off);
ALTER TABLE economy.user_segments SET (autovacuum_enabled = off);
CHECKPOINT;
SELECT bench.timed('plain', 0, 'SELECT bench.plain(bench.night(0))');
SELECT set_config('economy.test_clock', to_char(bench.night(0) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00'), false);
CHECKPOINT;
SELECT bench.timed('full', 0, 'SELECT economy.rfm_refresh()');
VACUUM ANALYZE economy.user_segments;
VACUUM ANALYZE bench.segments;
SELECT format('CALL bench.day(%s, %s, %s)', d, :purchases, :users), 'CHECKPOINT',
       format('SELECT bench.timed(''plain'', %s, ''SELECT bench.plain(bench.night(%1$s))'')', d), 'CHECKPOINT',
       format('SELECT set_config(''economy.test_clock'', to_char(bench.night(%s) AT TIME ZONE ''UTC'', ''YYYY-MM-DD HH24:MI:SS+00''), false)', d),
       format('SELECT bench.timed(''full'', %s, ''SELECT economy.rfm_refresh(rebuild => false)'')', d),
       'VACUUM ANALYZE economy.user_segments', 'VACUUM bench.segments',
       -- the definition's NTILE splits equal values: F and M cannot be compared
       format('INSERT INTO bench.figure SELECT ''wrong'', %s, count(*) FROM bench.segments s JOIN economy.user_segments u USING (user_id) WHERE (s.r, s.segment) IS DISTINCT FROM (u.r::integer, u.segment)', d),
       format('SELECT bench.buy(%s, %s, %s, bench.night(%s) + interval ''1 minute'', 0)', (20 + d) * :purchases::bigint, (20 + d) * :purchases::bigint + :users / 85, :users, d),
       'CHECKPOINT',
       format('SELECT set_config(''economy.test_clock'', to_char((bench.night(%s) + interval ''2 minutes'') AT TIME ZONE ''UTC'', ''YYYY-MM-DD HH24:MI:SS+00''), false)', d),
       format('SELECT bench.timed(''incremental'', %s, ''SELECT economy.rfm_refresh_incremental()'')', d)
FROM generate_series(1, :rounds) d \gexec
\o
\pset fieldsep '\t'
SELECT v.what, v.seconds, v.peer, v.peer_seconds, v.ratio FROM (
    SELECT 1, 'first full refresh' AS what, b.seconds, 'plain SQL' AS peer, a.seconds AS peer_seconds, a.seconds / b.seconds AS ratio
    FROM bench.figure a JOIN bench.figure b USING (round) WHERE round = 0 AND a.what = 'plain' AND b.what = 'full'
    UNION ALL
    SELECT 2, 'full refresh', percentile_cont(0.5) WITHIN GROUP (ORDER BY b.seconds), 'plain SQL', percentile_cont(0.5) WITHIN GROUP (ORDER BY a.seconds),
           percentile_cont(0.5) WITHIN GROUP (ORDER BY a.seconds / b.seconds)
    FROM bench.figure a JOIN bench.figure b USING (round) WHERE round > 0 AND a.what = 'plain' AND b.what = 'full'
    UNION ALL
    SELECT 3, 'incremental refresh, 1 % changed', percentile_cont(0.5) WITHIN GROUP (ORDER BY b.seconds), 'first full refresh', min(a.seconds),
           percentile_cont(0.5) WITHIN GROUP (ORDER BY b.seconds / a.seconds)
    FROM bench.figure a CROSS JOIN bench.figure b WHERE a.round = 0 AND a.what = 'full' AND b.what = 'incremental'
    UNION ALL
    SELECT 4, 'incremental refresh, 1 % changed', percentile_cont(0.5) WITHIN GROUP (ORDER BY b.seconds), 'full refresh', percentile_cont(0.5) WITHIN GROUP (ORDER BY a.seconds),
           percentile_cont(0.5) WITHIN GROUP (ORDER BY b.seconds / a.seconds)
    FROM bench.figure a JOIN bench.figure b USING (round) WHERE round > 0 AND a.what = 'full' AND b.what = 'incremental'
    UNION ALL
    SELECT 5, 'wrong rows', sum(f.seconds), '', NULL, NULL FROM bench.figure f WHERE f.what = 'wrong') v (n, what, seconds, peer, peer_seconds, ratio) ORDER BY n;
