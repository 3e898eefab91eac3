-- Refreshes: random histories against the definition, full and incremental;
-- boundaries, reversals, events, history, and what is left alone.
-- The clock stands far ahead, so that what the database has already is outside
-- every window.
BEGIN;
SELECT no_plan();
-- the statements are many and small, and nothing has statistics
SET LOCAL jit = off;
CREATE FUNCTION pg_temp.clock(at timestamptz) RETURNS text LANGUAGE sql AS $$ SELECT set_config('economy.test_clock', to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00'), true) $$;
SELECT economy.upsert_product('{"product_id": "pgtap_r", "category": "conversion", "granted_gold": 1, "monetary": 100, "active": true}', 'pgtap') IS NULL AS x \gset
SELECT economy.upsert_product('{"product_id": "pgtap_free", "category": "conversion", "granted_gold": 1, "monetary": 0, "active": true}', 'pgtap') IS NULL AS x \gset
CREATE TEMP TABLE who AS SELECT n, economy.register('pgtap rfm ' || n) AS user_id FROM generate_series(1, 60) n;
CREATE SEQUENCE pgtap_key;
CREATE FUNCTION pg_temp.buy(n integer, at timestamptz, quantity integer DEFAULT 1) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.clock(at);
    SELECT p.code FROM who w, economy.purchase(w.user_id, CASE quantity WHEN 0 THEN 'pgtap_free' ELSE 'pgtap_r' END, 'k' || nextval('pgtap_key'), greatest(quantity, 1)) p WHERE w.n = buy.n
$$;

-- the rows of our users as the definition says, by the frozen bounds of the newest snapshot
CREATE FUNCTION pg_temp.definition() RETURNS TABLE (user_id bigint, frequency bigint, monetary bigint, r integer, f integer, m integer, segment text) LANGUAGE sql AS $$
    WITH input AS (
        SELECT t.user_id, s.as_of, bool_or(t.created_at <= s.as_of) AS bought, least(90, (s.as_of AT TIME ZONE 'UTC')::date - (max(t.created_at) FILTER (WHERE t.created_at <= s.as_of) AT TIME ZONE 'UTC')::date) AS days,
               count(*) FILTER (WHERE t.created_at > s.as_of - interval '720 hours' AND t.created_at <= s.as_of) AS f,
               coalesce(sum(t.monetary) FILTER (WHERE t.created_at > s.as_of - interval '720 hours' AND t.created_at <= s.as_of), 0)::bigint AS m
        FROM economy.shop_transactions t JOIN who USING (user_id) CROSS JOIN economy.rfm_state s
        WHERE NOT EXISTS (SELECT FROM economy_internal.rfm_reversals v WHERE v.user_id = t.user_id AND v.seq = t.seq)
        GROUP BY t.user_id, s.as_of
    )
    SELECT i.user_id, i.f, i.m, CASE WHEN days <= 1 THEN 5 WHEN days <= 3 THEN 4 WHEN days <= 7 THEN 3 WHEN days <= 14 THEN 2 ELSE 1 END,
           CASE WHEN 'frequency' = ANY (b.degenerate) THEN CASE WHEN i.f > 0 THEN 3 ELSE 1 END ELSE (SELECT 1 + count(*) FILTER (WHERE x < i.f) FROM unnest(b.frequency_bounds) x)::integer END,
           CASE WHEN 'monetary' = ANY (b.degenerate) THEN CASE WHEN i.f > 0 THEN 3 ELSE 1 END ELSE (SELECT 1 + count(*) FILTER (WHERE x < i.m) FROM unnest(b.monetary_bounds) x)::integer END,
           CASE WHEN NOT bought THEN 'NoPurchase' WHEN f >= 1 AND (m > p95 OR (m = p95 AND p95 > p50)) AND p95 > 0 THEN 'Whale' WHEN f >= 10 AND days <= 7 THEN 'HighEngaged' WHEN days > 21 THEN 'AtRisk'
                WHEN f >= 4 OR (m >= p60 AND m < p95) THEN 'Medium' WHEN f BETWEEN 1 AND 3 AND days BETWEEN 8 AND 21 THEN 'Low'
                WHEN f BETWEEN 1 AND 3 AND days <= 7 THEN 'New' END
    FROM input i CROSS JOIN economy.rfm_snapshots b WHERE b.snapshot_id = (SELECT s.snapshot_id FROM economy.rfm_state s)
$$;
CREATE FUNCTION pg_temp.stored() RETURNS TABLE (user_id bigint, frequency bigint, monetary bigint, r integer, f integer, m integer, segment text) LANGUAGE sql AS $$
    SELECT u.user_id, u.frequency, u.monetary, u.r, u.f, u.m, u.segment FROM economy.user_segments u JOIN who USING (user_id) WHERE u.buckets <> '' $$;
CREATE FUNCTION pg_temp.days() RETURNS TABLE (user_id bigint, day date, purchases bigint, monetary bigint, first_at timestamptz, last_at timestamptz) LANGUAGE sql AS $$
    SELECT t.user_id, (t.created_at AT TIME ZONE 'UTC')::date, count(*), sum(t.monetary)::bigint, min(t.created_at), max(t.created_at)
    FROM economy.shop_transactions t JOIN who USING (user_id)
    WHERE NOT EXISTS (SELECT FROM economy_internal.rfm_reversals v WHERE v.user_id = t.user_id AND v.seq = t.seq) GROUP BY 1, 2 $$;
-- rows that differ
CREATE FUNCTION pg_temp.wrong() RETURNS TABLE (what text, found text) LANGUAGE sql AS $$
    SELECT 'missing', d::text FROM (SELECT * FROM pg_temp.definition() EXCEPT SELECT * FROM pg_temp.stored()) d
    UNION ALL SELECT 'wrong', d::text FROM (SELECT * FROM pg_temp.stored() EXCEPT SELECT * FROM pg_temp.definition()) d
    UNION ALL SELECT 'missing day', d::text FROM (SELECT * FROM pg_temp.days() EXCEPT SELECT b.user_id, b.day, b.purchases, b.monetary, b.first_at, b.last_at FROM economy.rfm_days b) d
    UNION ALL SELECT 'wrong day', d::text FROM (SELECT b.user_id, b.day, b.purchases, b.monetary, b.first_at, b.last_at FROM economy.rfm_days b JOIN who USING (user_id) EXCEPT SELECT * FROM pg_temp.days()) d
    -- what is due is due because something changes, and what changes was due
    UNION ALL SELECT 'due', u::text FROM economy.user_segments u JOIN who USING (user_id) WHERE u.next_change_at <= (SELECT s.as_of FROM economy.rfm_state s)
    -- and who will be is found then
    UNION ALL SELECT 'no place', u::text FROM economy.user_segments u JOIN who USING (user_id) WHERE u.next_change_at < 'infinity'
        AND NOT EXISTS (SELECT FROM economy_internal.rfm_due d WHERE d.due_hour = date_trunc('hour', u.next_change_at, 'UTC') AND u.user_id = ANY (d.users))
$$;

-- --- random histories ------------------------------------------------------------

SELECT setseed(0.25);
SELECT pg_temp.clock('2099-01-01 00:00:00+00') AS x \gset
SELECT is((SELECT users_changed >= 0 FROM economy.rfm_refresh()), true, 'a first full refresh');
CREATE FUNCTION pg_temp.history(step integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    from_at timestamptz := timestamptz '2099-01-01 06:00:00+00' + step * interval '3 days 5 hours';
BEGIN
    PERFORM pg_temp.buy((1 + floor(60 * random() * random()))::integer, at, floor(random() * 5)::integer)
        FROM (SELECT from_at + random() * interval '3 days 5 hours' AS at FROM generate_series(1, 25)) t ORDER BY at;
    -- some at one moment, some at midnight, some long ago by a clock that ran slow
    PERFORM pg_temp.buy((1 + floor(60 * random()))::integer, date_trunc('day', from_at + interval '2 days', 'UTC')) FROM generate_series(1, 3);
    PERFORM pg_temp.buy(7, from_at - random() * interval '40 days') WHERE step % 3 = 0;
    PERFORM economy_internal.rfm_reverse(t.user_id, t.seq) FROM (SELECT t.user_id, t.seq FROM economy.shop_transactions t JOIN who USING (user_id) ORDER BY random() LIMIT 2) t WHERE step % 2 = 0;
    PERFORM pg_temp.clock(from_at + interval '3 days 5 hours');
END
$$;
CREATE TEMP TABLE step (n integer, kind text);
CREATE FUNCTION pg_temp.play(step integer) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    kind text := CASE WHEN step % 7 = 3 THEN 'full' ELSE 'incremental' END;
BEGIN
    PERFORM pg_temp.history(step);
    IF kind = 'full' THEN PERFORM economy.rfm_refresh(); ELSE PERFORM economy.rfm_refresh_incremental(); END IF;
    RETURN NEXT is((SELECT string_agg(w::text, E'\n') FROM pg_temp.wrong() w), NULL, format('step %s, %s: every row is what the definition says', step, kind));
    IF step % 4 = 1 THEN
        RETURN NEXT is((SELECT (users_scored, users_changed) FROM economy.rfm_refresh_incremental()), (0::bigint, 0::bigint), 'and there is nothing left to do');
    END IF;
END
$$;
SELECT pg_temp.play(n) FROM generate_series(1, 30) n;
SELECT cmp_ok((SELECT count(DISTINCT segment) FROM pg_temp.stored()), '>=', 4::bigint, 'many segments are among them');

-- time alone: day after day without a purchase
CREATE FUNCTION pg_temp.wait(at timestamptz) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_temp.clock(at);
    PERFORM economy.rfm_refresh_incremental();
    RETURN is((SELECT string_agg(w::text, E'\n') FROM pg_temp.wrong() w), NULL, 'nobody buys until ' || at);
END
$$;
SELECT pg_temp.wait(timestamptz '2099-04-11 17:00:00+00' + d * interval '8 hours 17 minutes') FROM generate_series(1, 120, 3) d;
SELECT is((SELECT array_agg(DISTINCT segment) FROM pg_temp.stored()), '{AtRisk}', 'in the end all are at risk');

-- --- random histories by every way in which a refresh can go -------------------------

-- a job of the full refresh, with others in between
CREATE FUNCTION pg_temp.by_steps(rebuild boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    number integer := 0;
    left_over boolean := true;
BEGIN
    PERFORM economy_internal.rfm_begin(economy.now(), rebuild);
    WHILE left_over LOOP
        left_over := (SELECT more FROM economy_internal.rfm_write(17));
        number := number + 1;
        IF number = 2 THEN
            PERFORM pg_temp.buy((1 + floor(60 * random()))::integer, economy.now() + interval '3 hours');
            PERFORM economy.rfm_refresh_incremental();
        END IF;
    END LOOP;
END
$$;
-- the job of the incremental one where many are due
CREATE FUNCTION pg_temp.by_rescoring() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM economy_internal.rfm_rescore();
    WHILE (SELECT more FROM economy_internal.rfm_write(23)) LOOP END LOOP;
END
$$;
CREATE FUNCTION pg_temp.by_taking(full_one boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    at jsonb;
BEGIN
    LOOP
        at := (SELECT next FROM economy_internal.rfm_job_batch(full_one, at, 3));
        EXIT WHEN at IS NULL;
    END LOOP;
END
$$;
CREATE FUNCTION pg_temp.go(way integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    at CONSTANT timestamptz := economy.now();
BEGIN
    CASE way
        WHEN 0 THEN PERFORM pg_temp.by_steps(false); RETURN 'a full refresh in steps, and an incremental one within';
        WHEN 1 THEN PERFORM pg_temp.by_rescoring(); RETURN 'many that are due';
        WHEN 2 THEN PERFORM pg_temp.by_taking(false); RETURN 'many purchases';
        WHEN 3 THEN PERFORM economy.rfm_refresh(at - interval '20 days', false); PERFORM economy.rfm_refresh_incremental(); RETURN 'a refresh as of three weeks ago before it';
        WHEN 4 THEN PERFORM economy.rfm_refresh(at + interval '50 hours', false); RETURN 'as of days ahead';
        WHEN 5 THEN PERFORM pg_temp.clock(at - interval '5 days'); PERFORM economy.rfm_refresh_incremental(); PERFORM pg_temp.clock(at); PERFORM economy.rfm_refresh_incremental(); RETURN 'a clock that was set back';
        WHEN 6 THEN UPDATE economy.rfm_state SET installation = installation - 1, seen_before = 0; PERFORM economy.rfm_refresh_incremental(); RETURN 'a restore';
        WHEN 7 THEN DELETE FROM economy_internal.rfm_due WHERE random() < 0.5; PERFORM economy.rfm_refresh(); RETURN 'a queue that was damaged';
        WHEN 8 THEN PERFORM pg_temp.by_taking(true); RETURN 'a full job';
        -- what is there too often, or is nobody's, hurts nobody
        WHEN 9 THEN PERFORM economy_internal.rfm_await(array_agg(u.user_id), array_agg(h)) FROM economy.user_segments u, unnest(ARRAY[at - interval '2 hours', at, at + interval '1 day']) h;
            INSERT INTO economy_internal.rfm_due VALUES ('-infinity', 99, '{-5,NULL,-4}'); PERFORM economy.rfm_refresh_incremental(); RETURN 'a queue with too many';
        ELSE FOR n IN 1 .. 5 LOOP PERFORM pg_temp.clock(at + n * random() * interval '7 hours'); PERFORM economy.rfm_refresh_incremental(); END LOOP; RETURN 'many incremental ones';
    END CASE;
END
$$;
CREATE FUNCTION pg_temp.go_on(step integer) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    way text;
BEGIN
    PERFORM pg_temp.history(step);
    way := pg_temp.go((step * 5) % 11);
    RETURN NEXT is((SELECT string_agg(w::text, E'\n') FROM pg_temp.wrong() w), NULL, format('step %s, %s', step, way));
    -- until somebody is due, and for what is due then
    PERFORM pg_temp.clock(greatest(s.as_of, (SELECT min(u.next_change_at) FROM economy.user_segments u JOIN who USING (user_id))) - interval '1 us') FROM economy.rfm_state s;
    RETURN NEXT is((SELECT users_changed FROM economy.rfm_refresh_incremental()), 0::bigint, 'and nobody is due before time');
    PERFORM pg_temp.clock(economy.now() + interval '1 us');
    RETURN NEXT is((SELECT users_changed > 0 FROM economy.rfm_refresh_incremental()), true, 'or late');
    RETURN NEXT is((SELECT string_agg(w::text, E'\n') FROM pg_temp.wrong() w), NULL, 'and is right');
END
$$;
SAVEPOINT ways;
SELECT pg_temp.go_on(n) FROM generate_series(40, 72) n;
ROLLBACK TO ways;
SELECT is((SELECT array_agg(DISTINCT a.attname::text) FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) WHERE i.indrelid = 'economy.user_segments'::regclass), '{user_id}', 'no index holds what a refresh writes');

-- --- the history is the way from segment to segment -------------------------------

SELECT is_empty($$SELECT * FROM (SELECT h.*, lag(to_segment) OVER w AS before, lag(change_no) OVER w AS no, lag(changed_at) OVER w AS at FROM economy.segment_history h JOIN who USING (user_id)
    WINDOW w AS (PARTITION BY user_id ORDER BY change_no)) x
    WHERE from_segment = to_segment OR from_segment <> coalesce(before, 'NoPurchase') OR change_no <> coalesce(no, 0) + 1 OR changed_at < at$$, 'each change begins where the last ended');
SELECT is_empty($$SELECT u.user_id FROM economy.user_segments u JOIN who USING (user_id) LEFT JOIN LATERAL (
    SELECT h.* FROM economy.segment_history h WHERE h.user_id = u.user_id ORDER BY change_no DESC LIMIT 1) h ON true
    WHERE (u.segment, u.segment_since, u.changes) IS DISTINCT FROM (coalesce(h.to_segment, u.segment), coalesce(h.changed_at, u.segment_since), coalesce(h.change_no, 0))$$, 'and the last is what the user has');
SELECT cmp_ok((SELECT count(*) FROM economy.segment_history JOIN who USING (user_id)), '>', 100::bigint, 'there were many');

-- --- full from nothing is the same --------------------------------------------------

CREATE TEMP TABLE kept AS SELECT user_id, buckets, frequency, monetary, r, f, m, segment, next_change_at FROM economy.user_segments;
SELECT count(*) AS x FROM economy.rfm_refresh() \gset
TRUNCATE kept;
INSERT INTO kept SELECT user_id, buckets, frequency, monetary, r, f, m, segment, next_change_at FROM economy.user_segments;
DELETE FROM economy.user_segments;
DELETE FROM economy.rfm_state;
DELETE FROM economy.segment_history;
SELECT users_scored AS scored, users_changed AS changed FROM economy.rfm_refresh() \gset
SELECT is(ARRAY[:scored, :changed]::bigint[], ARRAY[(SELECT count(*) FROM economy.accounts), (SELECT count(*) FROM economy.user_segments)], 'a first refresh scores everybody, and writes who bought');
SELECT is((SELECT (t.refreshed_at, f.last_change_lag, f.as_of, f.snapshot_as_of) FROM economy.rfm_state t, economy.rfm_freshness() f),
    (SELECT (economy.now(), economy.now() - min(p.created_at), economy.now(), economy.now()) FROM economy_internal.rfm_purchases p), 'the oldest purchase had waited longest');
SELECT is((SELECT array_agg(DISTINCT segment_since) FROM economy.user_segments), ARRAY[economy.now()], 'everybody is in a segment since then');
SELECT is_empty('SELECT user_id, buckets, frequency, monetary, r, f, m, segment, next_change_at FROM economy.user_segments EXCEPT TABLE kept', 'rebuilt from the journal, nothing differs');
-- a user whose every purchase was reversed has no row then
SELECT is_empty('SELECT k.* FROM kept k LEFT JOIN economy.user_segments u USING (user_id) WHERE u.user_id IS NULL AND k.buckets <> ''''', 'and nothing is missing');
SELECT is((SELECT users_changed FROM economy.rfm_refresh()), 0::bigint, 'a full refresh of the same moment writes nothing');

-- another installation's transaction numbers mean nothing here
UPDATE economy.rfm_state SET installation = installation - 1, seen_before = '9000000000000000000';
SELECT pg_temp.buy(3, '2099-06-01 00:00:00+00') AS x \gset
SELECT is((SELECT users_changed >= 1 FROM economy.rfm_refresh_incremental()), true, 'after a restore elsewhere, what is new is found');
SELECT is((SELECT string_agg(w::text, E'\n') FROM pg_temp.wrong() w), NULL, 'and right');
SELECT is((SELECT s.installation FROM economy.rfm_state s), economy_internal.rfm_installation(), 'once');

-- --- a moment in the past, and one in the future ------------------------------------

-- how the tests write what they compare
SET LOCAL timezone = 'UTC';
SET LOCAL datestyle = 'ISO, YMD';

SELECT pg_temp.clock('2099-06-10 00:00:00+00') AS x \gset
CREATE FUNCTION pg_temp.as_of(at timestamptz) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM economy.rfm_refresh(at);
    RETURN is((SELECT string_agg(w::text, E'\n') FROM pg_temp.wrong() w), NULL, 'every row is right as of ' || at);
END
$$;
SELECT pg_temp.as_of(at)
FROM unnest(ARRAY['2099-02-03 04:05:06+00', '2099-03-01 00:00:00+00', '2099-03-01 23:59:59.999999+00', '2099-08-01 00:00:00+00']::timestamptz[]) at;
SELECT is((SELECT (snapshot_id, scored_at)::text FROM economy.rfm_refresh_incremental() JOIN LATERAL economy.segment((SELECT user_id FROM who WHERE n = 1)) USING (snapshot_id)),
    format('(%s,"2099-08-01 00:00:00+00")', (SELECT max(snapshot_id) FROM economy.rfm_snapshots)), 'an incremental refresh never goes back');
SELECT is((SELECT string_agg(w::text, E'\n') FROM pg_temp.wrong() w), NULL, 'every row is right');

-- --- users, segments, summary ---------------------------------------------------------

SELECT pg_temp.clock('2099-09-01 12:00:00+00') AS x \gset
SELECT economy.register('pgtap rfm new') AS new \gset
SELECT count(*) AS x FROM generate_series(1, 3) n, LATERAL pg_temp.buy(n, '2099-08-31 12:00:00+00', n) \gset
SELECT pg_temp.clock('2099-09-01 12:00:00+00') AS x \gset
SELECT is((SELECT (s.segment, s.recency_days, s.frequency, s.monetary, s.r, s.f, s.m)::text FROM economy.segment(:new) s), '(NoPurchase,90,0,0,1,1,1)', 'who never bought is NoPurchase');
SELECT is((SELECT stale_users >= 3 AND oldest_stale_age >= interval '24 hours' FROM economy.rfm_freshness()), true, 'stale users are told');
SELECT count(*) AS x FROM economy.rfm_refresh() \gset
SELECT is((SELECT (stale_users, oldest_stale_age, as_of)::text FROM economy.rfm_freshness()), '(0,,"2099-09-01 12:00:00+00")', 'none after a refresh');
SELECT is((SELECT last_change_lag >= interval '24 hours' FROM economy.rfm_freshness()), true, 'and how long the oldest had waited');
SELECT is((SELECT (s.segment, s.recency_days, s.frequency, s.monetary, s.r, s.score, s.segment_since, s.scored_at)::text FROM who w, economy.segment(w.user_id) s WHERE w.n = 3),
    (SELECT format('(%s,1,1,300,5,%s,"2099-09-01 12:00:00+00","2099-09-01 12:00:00+00")', u.segment, 0.4 * 5 + 0.3 * u.f + 0.3 * u.m) FROM who w JOIN economy.user_segments u USING (user_id) WHERE w.n = 3), 'segment() shows what the user has');
SELECT is_empty('SELECT * FROM economy.segment(-1)', 'nobody, nothing');
SELECT throws_ok('SELECT * FROM economy.segment(NULL)', 'XE001', 'user_id must not be null', 'null user');
SELECT throws_ok('SELECT * FROM economy.rfm_refresh(NULL)', 'XE001', 'as_of must not be null', 'null as_of');
SELECT throws_ok('SELECT * FROM economy.rfm_refresh(''-infinity'')', 'XE002', 'as_of must be a finite time', 'no time');
SELECT throws_ok('SELECT economy_internal.rfm_reverse(NULL, 1)', 'XE001', 'user_id must not be null', 'null user');
SELECT throws_ok('SELECT economy_internal.rfm_reverse(1, NULL)', 'XE001', 'seq must not be null', 'null seq');
SELECT is(economy_internal.rfm_reverse(:new, 1), false, 'no purchase, no reversal');
SELECT is((SELECT sum(users) FROM economy.segment_summary()), (SELECT count(*) FROM economy.accounts)::numeric, 'every user is in one segment');
SELECT is((SELECT array_agg(segment) FROM economy.segment_summary()), '{NoPurchase,Whale,HighEngaged,AtRisk,Medium,Low,New}', 'all segments are listed, in the order of the rules');
SELECT is_empty($$SELECT segment, users FROM economy.segment_summary() WHERE segment <> 'NoPurchase' AND users > 0 EXCEPT SELECT segment, count(*) FROM economy.user_segments WHERE buckets <> '' GROUP BY 1$$, 'with their numbers');

-- a reversal brings a purchase of long ago out of its own day
SELECT pg_temp.buy(50, '2099-09-02 01:00:00+00', 4) AS x, pg_temp.buy(50, '2099-09-02 02:00:00+00', 3) AS x2, pg_temp.buy(50, '2099-09-05 02:00:00+00', 2) AS x3 \gset
SELECT count(*) AS x FROM economy.rfm_refresh_incremental() \gset
SELECT t.user_id AS u50, t.seq AS s50 FROM economy.shop_transactions t JOIN who w USING (user_id) WHERE w.n = 50 AND t.created_at = '2099-09-02 02:00:00+00' \gset
SELECT is(economy_internal.rfm_reverse(:u50, :s50), true, 'a purchase is reversed');
SELECT is(economy_internal.rfm_reverse(:u50, :s50), false, 'once');
SELECT is((SELECT users_changed FROM economy.rfm_refresh_incremental()), 1::bigint, 'one user changes');
SELECT is((SELECT string_agg(format('%s %s %s', day, purchases, monetary), ', ' ORDER BY day) FROM economy.rfm_days WHERE user_id = :u50 AND day > '2099-09-01'), '2099-09-02 1 400, 2099-09-05 1 200', 'in the day of the purchase');
SELECT is((SELECT string_agg(w::text, E'\n') FROM pg_temp.wrong() w), NULL, 'every row is right');

-- a snapshot keeps its rules until the next one
SELECT economy.set_segment_rules('[{"segment": "Everybody"}]', 'pgtap') AS x \gset
SELECT pg_temp.buy(51, '2099-09-06 02:00:00+00') AS x \gset
SELECT count(*) AS x FROM economy.rfm_refresh_incremental() \gset
SELECT isnt((SELECT segment FROM economy.user_segments JOIN who USING (user_id) WHERE n = 51), 'Everybody', 'new rules are not in use before a full refresh');
SELECT count(*) AS x FROM economy.rfm_refresh() \gset
SELECT is((SELECT array_agg(DISTINCT segment) FROM economy.user_segments), '{Everybody}', 'and then for all');
SELECT is((SELECT (segment, users) FROM economy.segment_summary()), ('Everybody'::text, (SELECT count(*) FROM economy.accounts)), 'with who never bought');
SELECT is((SELECT to_segment FROM economy.segment_history JOIN who USING (user_id) WHERE n = 51 ORDER BY change_no DESC LIMIT 1), 'Everybody', 'in the history too');

-- the memory is the setting's, and the caller's again afterwards
SELECT current_setting('work_mem') AS mine \gset
SET LOCAL economy.rfm_memory = '1MB';
SELECT count(*) AS x FROM economy.rfm_refresh() \gset
SELECT is(current_setting('work_mem'), :'mine', 'work_mem is what it was');

-- more purchases than the memory holds are sorted on disk, in which order they lie
INSERT INTO economy.shop_transactions (user_id, seq, gold_delta, xp_delta, gold, experience_points, created_at, xact, position, key_digest, live, monetary, quantity,
        receipt_signature_version, hash_algo_version, stock_slot, hash, receipt_signature, category, status, product_id, idempotency_key)
SELECT w.user_id, 1000000 + k, 1, 0, 1, 0, timestamptz '2099-01-01' + random() * interval '9 months', pg_current_xact_id()::text::bigint,
       (SELECT economy_internal.position_of(pg_current_xact_id()::text::bigint)),
       economy_internal.key_digest('pgtap_r', 'disk' || k), false, k, 1,
       1, 1, CASE WHEN k % 3 = 0 THEN k % 7 END, sha256('pgtap'), sha256('pgtap'), 'conversion', CASE WHEN k % 50 = 0 THEN 'PENDING' ELSE 'SUCCESS' END, 'pgtap_r', 'disk' || k
FROM who w CROSS JOIN generate_series(1, 150) k ORDER BY random();
CREATE FUNCTION pg_temp.misfolded() RETURNS TABLE (user_id bigint, first_seq bigint, seq bigint, since timestamptz, buckets bytea) LANGUAGE sql SET work_mem = '64kB' AS $$
    WITH folded AS (
        SELECT * FROM economy_internal.rfm_fold(0, false)
    ), packed AS (
        SELECT t.user_id, min(t.seq), max(t.seq), min(t.created_at), economy_internal.rfm_pack(t.created_at, t.monetary, t.seq) FROM economy.shop_transactions t
        WHERE t.status = 'SUCCESS' AND NOT EXISTS (SELECT FROM economy_internal.rfm_reversals r WHERE r.user_id = t.user_id AND r.seq = t.seq) GROUP BY 1
    )
    (TABLE folded EXCEPT ALL TABLE packed) UNION ALL (TABLE packed EXCEPT ALL TABLE folded) $$;
SELECT is_empty('SELECT * FROM pg_temp.misfolded()', 'the journal is folded on disk as the aggregate packs it');
SELECT is((SELECT string_agg(tablename || indexname, ' ' ORDER BY tablename) FROM pg_indexes WHERE schemaname IN ('economy', 'economy_internal') AND indexname LIKE E'%position\\_idx' AND tablename !~ '_p[0-9]+$'), 'gold_adjustmentsgold_adjustments_position_idx holding_changesholding_changes_position_idx reward_auditreward_audit_position_idx shop_refundsshop_refunds_position_idx shop_transactionsshop_transactions_position_idx user_actionsuser_actions_position_idx user_changesuser_changes_position_idx', 'the journals have their index');
-- from a transaction on, that one included
SELECT is((SELECT count(*) FROM economy_internal.rfm_fold(pg_current_xact_id()::text::bigint + n, false)), CASE n WHEN 0 THEN (SELECT count(DISTINCT t.user_id) FROM economy.shop_transactions t
               WHERE t.xact = pg_current_xact_id()::text::bigint AND t.status = 'SUCCESS' AND NOT EXISTS (SELECT FROM economy_internal.rfm_reversals r WHERE r.user_id = t.user_id AND r.seq = t.seq)) ELSE 0 END,
          format('the purchases of %s transactions later', n)) FROM generate_series(0, 1) n;

-- a day that an edge of the window cuts is read from the journal, without what was reversed
SELECT economy.register('pgtap rfm cut') AS cut \gset
SELECT pg_temp.clock(at), p.code FROM (VALUES (1, timestamptz '2099-12-01 10:00+00'), (2, '2099-12-01 11:00+00'), (4, '2099-12-01 12:00+00')) v (q, at), LATERAL (SELECT p.code FROM pg_temp.clock(at), economy.purchase(:cut, 'pgtap_r', 'cut' || q, q) p) p \g /dev/null
SELECT is(economy_internal.rfm_reverse(:cut, 2), true, 'the second of three is reversed');
SELECT is((SELECT concat_ws(' ', to_char(w.last_on, 'MMDD'), w.frequency, w.monetary) FROM (SELECT economy_internal.rfm_pack(t.created_at, t.monetary, t.seq) AS packed FROM economy.shop_transactions t WHERE t.user_id = :cut AND t.seq <> 2) b,
                 economy_internal.rfm_window(:cut, b.packed, as_of, extract(epoch FROM length)::bigint * 1000000) w), found, format('up to %s, for %s', as_of, length))
FROM (VALUES (timestamptz '2099-12-01 11:30+00', interval '0', '1201 1 100'), ('2099-12-01 11:30+00', '90 minutes', '1201 0 0'), ('2099-12-01 11:30+00', '91 minutes', '1201 1 100'),
             ('2099-12-01 12:00+00', '90 minutes', '1201 1 400'), ('2099-12-01 12:00+00', '120 minutes', '1201 1 400'), ('2099-12-01 12:00+00', '121 minutes', '1201 2 500')) v (as_of, length, found);
-- the entry numbers of a day have an open end where they lie too far apart
SELECT is((SELECT b.first_seq || ' ' || b.last_seq FROM economy_internal.rfm_buckets((SELECT economy_internal.rfm_pack('2099-12-01 10:00+00', 1, s) FROM unnest(ARRAY[1, last]) s)) b), found, 'entries 1 and ' || last)
FROM (VALUES (4294967295, '1 4294967295'), (4294967296, '1 9223372036854775807'), (9000000000, '1 9223372036854775807')) v (last, found);
-- what is pending, and what another day has among the same entry numbers, is not of the day
INSERT INTO economy.shop_transactions (user_id, seq, gold_delta, xp_delta, gold, experience_points, created_at, xact, position, key_digest, live, monetary, quantity,
        receipt_signature_version, hash_algo_version, hash, receipt_signature, category, status, product_id, idempotency_key)
SELECT :cut, v.seq, 1, 0, 1, 0, v.at, t.xact, t.position, economy_internal.key_digest('pgtap_r', 'day' || v.seq), false, v.monetary, 1, 1, 1, sha256('pgtap'), sha256('pgtap'), 'conversion', v.status, 'pgtap_r', 'day' || v.seq
FROM (VALUES (4, timestamptz '2099-12-02 00:10+00', 3, 'SUCCESS'), (5, '2099-12-01 11:45+00', 1000, 'PENDING'), (6, '2099-12-01 12:10+00', 20, 'SUCCESS'), (7, '2099-11-30 11:50+00', 5000, 'SUCCESS'),
             (8, '2099-12-01 12:20+00', 7, 'SUCCESS')) v (seq, at, monetary, status) CROSS JOIN (SELECT xact, position FROM economy.shop_transactions WHERE user_id = :cut AND seq = 1) t;
UPDATE economy.accounts SET seq = 8 WHERE user_id = :cut;
SELECT is((SELECT concat_ws(' ', to_char(w.last_on, 'MMDD'), w.frequency, w.monetary) FROM (SELECT economy_internal.rfm_pack(t.created_at, t.monetary, t.seq) AS packed FROM economy_internal.rfm_purchases t WHERE t.user_id = :cut) b,
                 economy_internal.rfm_window(:cut, b.packed, as_of, extract(epoch FROM length)::bigint * 1000000) w), found, format('of days that interleave, up to %s, for %s', as_of, length))
FROM (VALUES (timestamptz '2099-12-01 12:15+00', interval '45 minutes', '1201 2 420'), ('2099-12-01 12:15+00', '2 days', '1201 4 5520'), ('2099-12-02 12:00+00', '24 hours', '1202 3 30'), ('2099-11-01', '0', '0 0')) v (as_of, length, found);
-- the same where nothing was ever reversed, and the fold reads no view
SAVEPOINT s;
DELETE FROM economy_internal.rfm_reversals;
SELECT is_empty('SELECT * FROM pg_temp.misfolded()', 'a journal without a reversal is folded as the aggregate packs it');
SET LOCAL work_mem = '64MB';
CREATE FUNCTION pg_temp.misfolded_in_memory() RETURNS SETOF text LANGUAGE sql AS $$ SELECT m::text FROM pg_temp.misfolded() m $$;
ALTER FUNCTION pg_temp.misfolded() RESET work_mem;
SELECT is_empty('SELECT * FROM pg_temp.misfolded_in_memory()', 'in memory, too');
-- ids that lie as far apart as they can, in any order
INSERT INTO economy.shop_transactions (user_id, seq, gold_delta, xp_delta, gold, experience_points, created_at, xact, position, key_digest, live, monetary, quantity,
        receipt_signature_version, hash_algo_version, hash, receipt_signature, category, status, product_id, idempotency_key)
SELECT u, k, 1, 0, 1, 0, timestamptz '2099-01-01' + k * interval '1 hour', t.xact, t.position, economy_internal.key_digest('pgtap_r', 'far' || k), false, k, 1, 1, 1, sha256('pgtap'), sha256('pgtap'), 'conversion', 'SUCCESS', 'pgtap_r', 'far' || k
FROM unnest(ARRAY[-9223372036854775808, -256, -1, 0, 255, 256, 65536, 9223372036854775807]) u CROSS JOIN generate_series(1, 40) k CROSS JOIN (SELECT xact, position FROM economy.shop_transactions WHERE user_id = :cut AND seq = 1) t ORDER BY random();
SELECT is_empty('SELECT * FROM pg_temp.misfolded_in_memory()', 'of whatever users');
-- what a DBA adds, or lets be null, in front of what is read, and where the catalogue says that it cannot be
ALTER TABLE economy.shop_transactions ADD COLUMN pgtap text DEFAULT 'x';
ALTER TABLE economy.shop_transactions ALTER COLUMN xp_delta DROP NOT NULL;
INSERT INTO economy.shop_transactions (user_id, seq, gold_delta, xp_delta, gold, experience_points, created_at, xact, position, key_digest, live, monetary, quantity,
        receipt_signature_version, hash_algo_version, hash, receipt_signature, category, status, product_id, idempotency_key)
SELECT 12345, k, 1, nullif(k % 2, 0), 1, 0, timestamptz '2099-01-01' + k * interval '1 hour', t.xact, t.position, economy_internal.key_digest('pgtap_r', 'null' || k), false, k, 1, 1, 1, sha256('pgtap'), sha256('pgtap'), 'conversion', CASE WHEN k > 15 THEN 'PENDING' ELSE 'SUCCESS' END, 'pgtap_r', 'null' || k
FROM generate_series(1, 20) k CROSS JOIN (SELECT xact, position FROM economy.shop_transactions WHERE user_id = :cut AND seq = 1) t;
SELECT is_empty('SELECT * FROM pg_temp.misfolded_in_memory()', 'with nulls in front');
UPDATE pg_attribute SET attnotnull = true WHERE attrelid = 'economy.shop_transactions'::regclass AND attname = 'xp_delta';
SELECT is_empty('SELECT * FROM pg_temp.misfolded_in_memory()', 'where there should be none');
ROLLBACK TO s;
-- a first refresh writes what one that finds all rows leaves, and days that the window cuts are among it
CREATE FUNCTION pg_temp.first_is_right(at timestamptz, model text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    users bigint;
BEGIN
    PERFORM set_config('economy.rfm_model', model, true);
    PERFORM economy.rfm_refresh(at);
    CREATE TEMP TABLE rows_before AS SELECT user_id, seq, frequency, monetary, r, f, m, segment, next_change_at, buckets FROM economy.user_segments WHERE buckets <> '';
    CREATE TEMP TABLE snapshot_before AS SELECT to_jsonb(s) - '{snapshot_id,changed,started_at,duration}'::text[] AS s FROM economy.rfm_snapshots s JOIN economy.rfm_state USING (snapshot_id);
    DELETE FROM economy.user_segments; DELETE FROM economy.rfm_state; DELETE FROM economy.segment_history;
    INSERT INTO economy_internal.rfm_due VALUES (at + interval '1 hour', 1, '{1}');
    users := (SELECT users_changed FROM economy.rfm_refresh(at));
    CREATE TEMP TABLE rows_after AS SELECT user_id, seq, frequency, monetary, r, f, m, segment, next_change_at, buckets FROM economy.user_segments;
    RETURN NEXT is_empty('(TABLE rows_before EXCEPT TABLE rows_after) UNION ALL (TABLE rows_after EXCEPT TABLE rows_before)', format('each row of a first refresh as of %s by %s', at, model));
    RETURN NEXT is((SELECT to_jsonb(s) - '{snapshot_id,changed,started_at,duration}'::text[] FROM economy.rfm_snapshots s JOIN economy.rfm_state USING (snapshot_id)), (SELECT b.s FROM snapshot_before b), 'its snapshot');
    RETURN NEXT is((SELECT array_agg(w ORDER BY w) FROM (SELECT DISTINCT d.due_hour || ' ' || n AS w FROM economy_internal.rfm_due d, unnest(d.users) n) x),
        (SELECT array_agg(w ORDER BY w) FROM (SELECT date_trunc('hour', u.next_change_at, 'UTC') || ' ' || u.user_id AS w FROM economy.user_segments u WHERE u.next_change_at < 'infinity') x), 'who is due, and when');
    RETURN NEXT is(users, (SELECT count(*) FROM rows_after), 'how many');
    RETURN NEXT is((SELECT count(*) FROM economy.user_segments WHERE (changes, segment_since) IS DISTINCT FROM (0, at)), 0::bigint, 'since then');
    DROP TABLE rows_before, rows_after, snapshot_before;
END
$$;
-- as users whose every purchase was taken back have rows only until then
SELECT economy.set_rfm_model('{"model": "pgtap all", "window_days": null, "recency_clamp": null, "population": "all", "frequency_kind": "quantile_plus_one", "monetary_kind": "fixed", "monetary_breaks": [1, 200, 500, 900]}', 'pgtap') IS NULL AS x \gset
SELECT pg_temp.first_is_right(at, model) FROM unnest(ARRAY['2099-12-01 12:15+00', '2099-04-01 07:30+00', '2099-02-20 23:59:59.999999+00']::timestamptz[]) at, unnest(ARRAY['standard', 'pgtap all']) model;
DELETE FROM economy_internal.rfm_reversals;
SELECT pg_temp.first_is_right(at, model) FROM unnest(ARRAY['2099-12-01 12:15+00', '2099-04-01 07:30+00', '2099-02-20 23:59:59.999999+00']::timestamptz[]) at, unnest(ARRAY['standard', 'all_time']) model;
-- of more users than the memory holds
INSERT INTO economy.accounts (user_id, head_hash, seq) SELECT 1000000000 + k, sha256(''), 2 FROM generate_series(1, 9000) k;
INSERT INTO economy.shop_transactions (user_id, seq, gold_delta, xp_delta, gold, experience_points, created_at, xact, position, key_digest, live, monetary, quantity,
        receipt_signature_version, hash_algo_version, hash, receipt_signature, category, status, product_id, idempotency_key)
SELECT 1000000000 + k / 2, 1 + k % 2, 1, 0, 1, 0, timestamptz '2099-12-01' - k * interval '7 minutes', t.xact, t.position, economy_internal.key_digest('pgtap_r', 'many' || k), false, k, 1, 1, 1, sha256('pgtap'), sha256('pgtap'), 'conversion', 'SUCCESS', 'pgtap_r', 'many' || k
FROM generate_series(2, 18001) k CROSS JOIN (SELECT xact, position FROM economy.shop_transactions WHERE user_id = :cut AND seq = 1) t;
SET LOCAL economy.rfm_memory = '1MB';
SELECT pg_temp.first_is_right('2099-12-01 12:15+00', 'standard');
-- of users that lie far apart, or close together far away from others, and of one with more of them than the memory holds
INSERT INTO economy.shop_transactions (user_id, seq, gold_delta, xp_delta, gold, experience_points, created_at, xact, position, key_digest, live, monetary, quantity,
        receipt_signature_version, hash_algo_version, hash, receipt_signature, category, status, product_id, idempotency_key)
SELECT v.user_id, k, 1, 0, 1, 0, timestamptz '2099-12-01' + (k * 7919 % 9000) * interval '29 minutes' * v.sign, t.xact, t.position, economy_internal.key_digest('pgtap_r', 'far' || k), false,
       k * k, 1, 1, 1, sha256('pgtap'), sha256('pgtap'), 'conversion', 'SUCCESS', 'pgtap_r', 'far' || k
FROM (VALUES (9223372036854775807, 2500, 1), (9223372036854775806, 900, -1), (9223372036854775000, 1200, 1), (4611686018427387904, 300, -1), (2000000000, 1100, 1), (2000000001, 1100, 1)) v (user_id, n, sign)
CROSS JOIN LATERAL generate_series(1, v.n) k CROSS JOIN (SELECT xact, position FROM economy.shop_transactions WHERE user_id = :cut AND seq = 1) t;
SELECT is((SELECT count(*) FROM economy_internal.rfm_fold(0, false) f WHERE f.user_id >= 2000000000), 6::bigint, 'there are users far apart');
SELECT is_empty('SELECT * FROM pg_temp.misfolded()', 'the purchases of users far apart are folded on disk as the aggregate packs them');
SELECT is((SELECT array_agg(f.user_id) FROM economy_internal.rfm_fold(0, false) f), (SELECT array_agg(f.user_id ORDER BY f.user_id) FROM economy_internal.rfm_fold(0, false) f), 'in the order of users');
-- of parts that are larger and smaller than those before them, each of which is sorted in memory
INSERT INTO economy.shop_transactions (user_id, seq, gold_delta, xp_delta, gold, experience_points, created_at, xact, position, key_digest, live, monetary, quantity,
        receipt_signature_version, hash_algo_version, hash, receipt_signature, category, status, product_id, idempotency_key)
SELECT 1200000000 + v.part * 100000000 + k % (v.n / 2), 1 + k / (v.n / 2), 1, 0, 1, 0, timestamptz '2099-12-01' + k * interval '7 minutes', t.xact, t.position, economy_internal.key_digest('pgtap_r', 'part' || k), false,
       k, 1, 1, 1, sha256('pgtap'), sha256('pgtap'), 'conversion', 'SUCCESS', 'pgtap_r', 'part' || k
FROM (VALUES (1, 400), (2, 3000), (3, 300), (4, 6000), (5, 1600), (6, 3500)) v (part, n)
CROSS JOIN LATERAL generate_series(0, v.n - 1) k CROSS JOIN (SELECT xact, position FROM economy.shop_transactions WHERE user_id = :cut AND seq = 1) t;
ALTER FUNCTION pg_temp.misfolded() SET work_mem = '1MB';
SELECT is_empty('SELECT * FROM pg_temp.misfolded()', 'parts of all sizes are folded on disk as the aggregate packs them');
SET LOCAL economy.rfm_model = 'standard';
ROLLBACK TO s;
-- a state of the aggregate is asked for its end again
SELECT is_empty($$SELECT n FROM (SELECT n, economy_internal.rfm_pack(at, n, n) OVER (ORDER BY n) AS packed FROM (SELECT n, timestamptz '2099-12-01' + n * interval '7 hours' AS at FROM generate_series(1, 20) n) x) w
    WHERE packed <> (SELECT economy_internal.rfm_pack(timestamptz '2099-12-01' + k * interval '7 hours', k, k) FROM generate_series(1, w.n) k)$$, 'also over a window of rows');

-- --- how stale, and how long it had waited -------------------------------------------

SET LOCAL intervalstyle = 'postgres';
SELECT pg_temp.clock('2099-12-03 00:00:00+00') AS x \gset
SELECT count(*) AS x FROM economy.rfm_refresh() \gset
CREATE TEMP TABLE late AS SELECT n, economy.register('pgtap rfm late ' || n) AS user_id FROM generate_series(1, 3) n;
CREATE FUNCTION pg_temp.late(n integer, at timestamptz) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.clock(at);
    SELECT p.code FROM late l, economy.purchase(l.user_id, 'pgtap_r', 'k' || nextval('pgtap_key')) p WHERE l.n = late.n $$;
SELECT count(pg_temp.late(n, at)) AS x FROM (VALUES (1, timestamptz '2099-12-03 01:00:00+00'), (1, '2099-12-03 02:00:00+00'), (2, '2099-12-03 03:00:00+00')) v (n, at) \gset
CREATE FUNCTION pg_temp.fresh() RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(', ', to_char(f.snapshot_as_of AT TIME ZONE 'UTC', 'DD HH24'), to_char(f.as_of AT TIME ZONE 'UTC', 'DD HH24'), to_char(t.refreshed_at AT TIME ZONE 'UTC', 'DD HH24'), f.stale_users, coalesce(f.oldest_stale_age::text, 'none'), coalesce(f.last_change_lag::text, 'nothing'))
    FROM economy.rfm_freshness() f, economy.rfm_state t $$;
SELECT pg_temp.clock('2099-12-03 04:00:00+00') AS x \gset
SELECT alike(pg_temp.fresh(), '03 00, 03 00, 03 00, 2, 03:00:00, %', 'two users wait, one of them with two purchases');
SELECT count(*) AS x FROM economy.rfm_refresh_incremental() \gset
SELECT is(pg_temp.fresh(), '03 00, 03 04, 03 04, 0, none, 03:00:00', 'they had waited from the first of them on');
SELECT pg_temp.clock('2099-12-04 06:00:00+00') AS x \gset
SELECT is(pg_temp.fresh(), '03 00, 03 04, 03 04, 1, 06:00:00, 03:00:00', 'a day later somebody is due since midnight');
SELECT count(*) AS x FROM economy.rfm_refresh_incremental() \gset
SELECT is(pg_temp.fresh(), '03 00, 04 06, 04 06, 0, none, 06:00:00', 'and had waited from there on');
SELECT count(*) AS x FROM economy.rfm_refresh_incremental() \gset
SELECT is(pg_temp.fresh(), '03 00, 04 06, 04 06, 0, none, nothing', 'nothing waits, a purchase that is pending neither');
SELECT pg_temp.late(1, '2099-12-04 06:10:00+00') AS x, pg_temp.clock('2099-12-04 06:30:00+00') AS y \gset
SELECT count(*) AS x FROM economy.rfm_refresh_incremental() \gset
SELECT is(pg_temp.fresh(), '03 00, 04 06, 04 06, 0, none, 00:20:00', 'what is read again had not waited');
SELECT pg_temp.clock('2099-12-05 00:00:00+00') AS x \gset
SELECT alike(pg_temp.fresh(), '03 00, 04 06, 04 06, 1, 00:00:00, %', 'at midnight somebody is due');
SELECT count(*) AS x FROM economy.rfm_refresh_incremental() \gset
SELECT alike(pg_temp.fresh(), '03 00, 05 00, 05 00, 0, none, %', 'and is taken up in the same moment');
SELECT is((SELECT sum(purchases)::bigint FROM economy.rfm_days JOIN who USING (user_id)), (SELECT count(*) FROM economy_internal.rfm_purchases JOIN who USING (user_id)), 'each purchase is in its day');

-- --- the score by the weights; recency where nothing clamps it -----------------------

SELECT (economy.set_rfm_model('{"model": "pgtap weights", "recency_clamp": null, "recency_weight": 0.5, "frequency_weight": 0.2, "monetary_weight": 0.1}', 'pgtap')).window_days AS x \gset
SET LOCAL economy.rfm_model = 'pgtap weights';
SELECT economy.register('pgtap rfm back') AS back \gset
SELECT code AS x FROM economy.purchase(:back, 'pgtap_r', 'back') \gset
SELECT economy_internal.rfm_reverse(:back, 1) AS x \gset
CREATE FUNCTION pg_temp.seen(at timestamptz) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM economy.rfm_refresh(at);
    RETURN NEXT is_empty('SELECT s.* FROM who w, economy.segment(w.user_id) s WHERE s.score IS DISTINCT FROM 0.5 * s.r + 0.2 * s.f + 0.1 * s.m', 'scores by the weights of the model as of ' || at);
    RETURN NEXT is_empty(format($q$SELECT s.* FROM economy.accounts a, economy.segment(a.user_id) s WHERE s.recency_days IS DISTINCT FROM (SELECT %1$L::date - (max(t.created_at) AT TIME ZONE 'UTC')::date FROM economy_internal.rfm_purchases t
        WHERE t.user_id = a.user_id AND t.created_at <= %1$L)$q$, at), 'recency, and none of who bought nothing');
    RETURN NEXT is_empty('SELECT s.* FROM economy.accounts a, economy.segment(a.user_id) s CROSS JOIN economy.rfm_snapshots b WHERE b.snapshot_id = s.snapshot_id AND s.degenerate <> (cardinality(b.degenerate) > 0)', 'whether the bounds had collapsed');
END
$$;
SELECT pg_temp.seen(at) FROM unnest(ARRAY['2099-02-03 04:05:06+00', '2098-01-01 00:00:00+00', '2099-12-04 06:30:00+00']::timestamptz[]) at;
SELECT is((SELECT array_agg(degenerate <> '{}' ORDER BY snapshot_id) FROM (SELECT * FROM economy.rfm_snapshots ORDER BY snapshot_id DESC LIMIT 3) s), '{f,t,f}', 'which once they had');
SELECT is((SELECT recency_days FROM economy.segment(:back)), NULL, 'nor of whose purchase was reversed');

-- --- batches of the jobs: where they end, and what they go on from --------------------

SAVEPOINT s;
-- more purchases than five times as many as users
SELECT count(pg_temp.late(1, '2099-12-04 07:00:00+00')) AS x FROM generate_series(1, (5 - (SELECT count(*) FROM economy.shop_transactions t WHERE t.position >= (SELECT economy_internal.position_of(s.seen_before) FROM economy.rfm_state s)) % 5)::integer % 5) \gset
SELECT count(*) / 5 AS fifth FROM economy.shop_transactions t WHERE t.position >= (SELECT economy_internal.position_of(s.seen_before) FROM economy.rfm_state s) \gset
UPDATE economy.user_segments SET next_change_at = 'infinity';
UPDATE economy.user_segments u SET next_change_at = economy.now() FROM who w WHERE w.user_id = u.user_id AND w.n <= 10;
SELECT economy_internal.rfm_await_all(3) AS x \gset
SELECT is((SELECT array_agg(cardinality(d.users) ORDER BY d.chunk) FROM economy_internal.rfm_due d), '{3,3,3,1}', 'the queue is made anew in parts, each of the next users');
SELECT economy_internal.rfm_await_all(5) AS x \gset
SELECT is((SELECT array_agg(cardinality(d.users) ORDER BY d.chunk) FROM economy_internal.rfm_due d), '{5,5}', 'whatever their size');
SELECT is_empty('SELECT * FROM economy_internal.audit_segments() f WHERE f.expected LIKE ''a place in rfm_due%''', 'and nobody is left out');
SELECT economy_internal.rfm_await_all() AS x \gset
SELECT is((SELECT purchases FROM economy_internal.rfm_many((:fifth + more)::integer)), more < 0, format('%s users more than a fifth of the purchases', more)) FROM generate_series(-1, 1) more;
SELECT is((SELECT due FROM economy_internal.rfm_many(n)), n < 10, format('ten due, and %s users', n)) FROM generate_series(9, 11) n;
-- by the moment that is further, from what was written before
UPDATE economy.rfm_snapshots SET changed = 7, duration = '1 day' WHERE snapshot_id = (SELECT snapshot_id FROM economy.rfm_state);
SELECT pg_temp.late(3, '2099-12-03 12:00:00+00') AS x \gset
SELECT economy_internal.rfm_rescore() AS x \gset
SELECT is((SELECT concat_ws(', ', to_char(as_of AT TIME ZONE 'UTC', 'DD HH24'), change_lag, next_user, written, spent) FROM economy.rfm_state), '04 06, 18:30:00, -9223372036854775808, 7, 1 day', 'an incremental refresh of many goes on from its snapshot');
SELECT written AS wrote FROM economy_internal.rfm_write(1000000) \gset
SELECT is((SELECT concat_ws(', ', changed, duration > '1 day', next_user) FROM economy.rfm_snapshots JOIN economy.rfm_state USING (snapshot_id)), format('%s, t', 7 + :wrote), 'and adds to it');
-- a full one in steps counts what all of them wrote, and took
SELECT more AS x FROM economy_internal.rfm_refresh_step(true) \gset
UPDATE economy.user_segments u SET r = 6 - u.r FROM who w WHERE w.user_id = u.user_id AND w.n <= 30;
UPDATE economy.rfm_state SET spent = '1 day';
SELECT count(*) AS x FROM generate_series(1, 100) n, economy_internal.rfm_refresh_step(n < 0, 10) \gset
SELECT is((SELECT concat_ws(', ', changed >= 30, duration > '1 day', next_user) FROM economy.rfm_snapshots JOIN economy.rfm_state USING (snapshot_id)), 't, t', 'a refresh in steps is as long as all of them');
UPDATE economy.rfm_state SET spent = '1 day', written = 1000;
UPDATE economy.user_segments SET segment = NULL, segment_since = NULL WHERE user_id = (SELECT user_id FROM who WHERE n = 1);
SELECT users_changed AS x FROM economy.rfm_refresh(rebuild => false) \gset
SELECT is((SELECT concat_ws(', ', changed, duration < '1 day') FROM economy.rfm_snapshots JOIN economy.rfm_state USING (snapshot_id)), '1, t', 'and the next one begins anew');
SELECT is((SELECT u.segment_since FROM economy.user_segments u JOIN who w USING (user_id) WHERE w.n = 1), (SELECT as_of FROM economy.rfm_state), 'who was in no segment is in this one since then');
-- so many users, or as have 200,000 entries, or one
CREATE FUNCTION pg_temp.taken(entries bigint, users integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    t record;
BEGIN
    UPDATE economy.accounts a SET seq = entries FROM who w WHERE w.user_id = a.user_id;
    SELECT x.users, (SELECT w.n FROM who w WHERE w.user_id = x.upto) AS n INTO t FROM economy_internal.rfm_take((SELECT user_id FROM who WHERE n = 1), users) x;
    RETURN concat_ws(' ', t.users, t.n);
END
$$;
SELECT is(pg_temp.taken(entries, users), found, format('a batch of %s users of %s entries', users, entries)) FROM (VALUES (300000, 100, '1 1'), (200000, 100, '2 2'), (100000, 100, '3 3'), (90000, 100, '3 3'), (90000, 2, '2 2'), (10, 7, '7 7')) v (entries, users, found);
SELECT is((SELECT next_user FROM economy.rfm_state), '-9223372036854775808'::bigint, 'what is taken up is not scored');
ROLLBACK TO s;
-- --- each change of a segment is told once, and nothing else is -----------------------

CREATE TEMP TABLE told (user_id bigint, field text, before text, after text);
CREATE TEMP TABLE past AS SELECT * FROM economy.segment_history;
CREATE OR REPLACE FUNCTION economy_internal.publish_profile(user_id bigint, field text, before text, after text) RETURNS void LANGUAGE sql AS 'INSERT INTO pg_temp.told VALUES ($1, $2, $3, $4)';
SET LOCAL economy.rfm_model = 'standard';
SELECT economy.set_segment_rules('[{"segment": "Never", "bought": false}, {"segment": "Recent", "recency_to": 3}, {"segment": "Often", "frequency_from": 2}, {"segment": "Rest"}]', 'pgtap') AS x \gset
CREATE FUNCTION pg_temp.told(what text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN NEXT bag_eq('SELECT user_id, before, after FROM told WHERE field = ''segment''', 'SELECT user_id, from_segment, to_segment FROM (TABLE economy.segment_history EXCEPT TABLE past) h', 'told: ' || what);
    RETURN NEXT cmp_ok((SELECT count(*) FROM told), '>', 0::bigint, 'as there was something');
    DELETE FROM told;
    INSERT INTO past SELECT * FROM economy.segment_history EXCEPT SELECT * FROM past;
END
$$;
SELECT count(*) AS x FROM economy.rfm_refresh() \gset
SELECT pg_temp.told('a full refresh');
SELECT count(pg_temp.late(n, '2099-12-20 00:00:00+00')) AS x FROM generate_series(1, 3) n \gset
SELECT count(*) AS x FROM economy.rfm_refresh_incremental() \gset
SELECT pg_temp.told('an incremental one, of purchases');
SELECT pg_temp.clock('2099-12-25 00:00:00+00') AS x \gset
SELECT count(*) AS x FROM economy.rfm_refresh_incremental() \gset
SELECT pg_temp.told('and of time');
SELECT count(pg_temp.late(n, '2099-12-25 00:00:00+00')) AS x FROM generate_series(1, 2) n \gset
SELECT more AS x FROM economy_internal.rfm_refresh_step(true) \gset
SELECT count(*) AS x FROM generate_series(1, 20) n, economy_internal.rfm_refresh_step(n < 0, 10) \gset
SELECT pg_temp.told('a job');
-- whose scores change, and whose segment does not
UPDATE economy.user_segments SET r = 6 - r;
SELECT users_changed > 0 AS x FROM economy.rfm_refresh() \gset
SELECT is((SELECT count(*) FROM told), 0::bigint, 'a score that changes is not told');
-- who is new to a full refresh comes from the segment of who never bought
CREATE FUNCTION pg_temp.newcomer(way boolean) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    u CONSTANT bigint := economy.register(concat('pgtap rfm newcomer ', way));
BEGIN
    PERFORM economy.purchase(u, 'pgtap_r', 'k');
    IF way IS NULL THEN PERFORM economy.rfm_refresh_incremental(); ELSE PERFORM economy.rfm_refresh(rebuild => way); END IF;
    RETURN (SELECT string_agg(concat_ws(' ', h.change_no, h.from_segment, h.to_segment, t.before, t.after), ', ') FROM economy.segment_history h LEFT JOIN told t USING (user_id) WHERE h.user_id = u);
END
$$;
SELECT is(pg_temp.newcomer(way), '1 Never Recent Never Recent', concat('a newcomer, with rebuild: ', way)) FROM unnest(ARRAY[false, true, NULL]) way;
SELECT is(economy_internal.rfm_installation(), (SELECT hashtextextended(format('%s %s %s', (SELECT system_identifier FROM pg_control_system()), d.oid, (SELECT oid FROM pg_extension WHERE extname = 'economy')), 0) FROM pg_database d WHERE d.datname = current_database()),
    'an installation is a cluster, a database and an extension');

-- more move at once than are written at once, the second time beside user code that calls back
CREATE FUNCTION pg_temp.crowd(which text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    ids    CONSTANT bigint[] := (SELECT array_agg(economy.register(format('pgtap rfm %s %s', which, n))) FROM generate_series(1, 150) n);
    scored bigint;
BEGIN
    PERFORM economy.purchase(u, 'pgtap_r', 'k') FROM unnest(ids) u;
    SELECT i.users_scored INTO scored FROM economy.rfm_refresh_incremental() i;
    RETURN NEXT is(scored, 150::bigint, which || ': all are scored');
    RETURN NEXT is((SELECT string_agg(DISTINCT concat_ws(' ', h.change_no, h.from_segment, h.to_segment, h.changed_at = s.as_of, h.snapshot_id = s.snapshot_id), ', ')
                    FROM unnest(ids) u LEFT JOIN economy.segment_history h ON h.user_id = u CROSS JOIN economy.rfm_state s), '1 Never Recent t t', which || ': with a row of history');
    RETURN NEXT is((SELECT count(*) FROM economy.segment_history h WHERE h.user_id = ANY (ids)), 150::bigint, which || ': each');
    RETURN NEXT is((SELECT count(*) FROM economy.user_segments u JOIN economy_internal.rfm_due d ON d.due_hour = economy_internal.rfm_due_hour(u.next_change_at) AND u.user_id = ANY (d.users)
                    WHERE u.user_id = ANY (ids)), 150::bigint, which || ': and one place among who is due');
END
$$;
SELECT pg_temp.crowd('many');
CREATE FUNCTION pg_temp.moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM economy.grant_reward(NEW.user_id, 'pgtap_moved', NEW.change_no::text, 7, 0);
    RETURN NULL;
END
$$;
CREATE TRIGGER pgtap_moved AFTER INSERT ON economy.segment_history FOR EACH ROW EXECUTE FUNCTION pg_temp.moved();
SELECT pg_temp.crowd('rewarded');
DROP TRIGGER pgtap_moved ON economy.segment_history;
SELECT is((SELECT sum(r.gold_delta) FROM economy.reward_audit r WHERE r.source = 'pgtap_moved'), 150 * 7::numeric, 'a trigger of the history rewards each');
SELECT * FROM finish();
ROLLBACK;
