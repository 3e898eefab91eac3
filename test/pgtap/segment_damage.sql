-- Damage of segments: each is found by audit_segments() or audit_segment_state(),
-- and a full refresh puts user_segments right.
BEGIN;
SELECT no_plan();
SET LOCAL jit = off;
CREATE FUNCTION pg_temp.clock(at timestamptz) RETURNS text LANGUAGE sql AS $$ SELECT set_config('economy.test_clock', to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00'), true) $$;
SELECT pg_temp.clock('2099-01-01 12:00:00+00') AS x \gset
SELECT economy.upsert_product('{"product_id": "pgtap_d", "category": "conversion", "granted_gold": 1, "monetary": 100}', 'pgtap') IS NULL AS x \gset
CREATE TEMP TABLE who AS SELECT n, economy.register('pgtap damage ' || n) AS user_id FROM generate_series(1, 20) n;
SELECT count(*) AS x FROM economy.rfm_refresh() \gset
SELECT count(*) AS x FROM who w, generate_series(1, 1 + w.n % 5) k, economy.purchase(w.user_id, 'pgtap_d', 'k' || k, 1 + w.n % 3) WHERE w.n <= 15 \gset
SELECT count(*) AS x FROM economy.rfm_refresh_incremental() \gset
SELECT pg_temp.clock('2099-01-20 12:00:00+00') AS x \gset
SELECT count(*) AS x FROM who w, economy.purchase(w.user_id, 'pgtap_d', 'later') WHERE w.n BETWEEN 3 AND 9 \gset
SELECT economy_internal.rfm_reverse(user_id, 1) AS x FROM who WHERE n = 4 \gset
SELECT count(*) AS x FROM economy.rfm_refresh() \gset
SELECT user_id AS u FROM who WHERE n = 5 \gset
SELECT user_id AS v FROM who WHERE n = 8 \gset
SELECT user_id AS w FROM who WHERE n = 4 \gset
SELECT user_id AS never FROM who WHERE n = 18 \gset
SELECT cmp_ok((SELECT changes FROM economy.user_segments WHERE user_id = :u), '>', 0, 'a user with a history');
SELECT is_empty('SELECT * FROM economy_internal.audit_segments()', 'nothing is damaged');
SELECT is_empty('SELECT * FROM economy_internal.audit_segment_state()', 'nor the state');
CREATE TEMP TABLE right_rows AS SELECT * FROM economy.user_segments;

-- what is found after the damage, and what differs after a refresh of the same moment
CREATE FUNCTION pg_temp.damaged(damage text, OUT seen bigint, OUT wrong bigint, OUT after bigint) LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        EXECUTE damage;
        seen := (SELECT count(*) FROM economy_internal.audit_segments()) + (SELECT count(*) FROM economy_internal.audit_segment_state());
        PERFORM economy.rfm_refresh('2099-01-20 12:00:00+00');
        wrong := (SELECT count(*) FROM (SELECT * FROM economy.user_segments EXCEPT TABLE right_rows) x) + (SELECT count(*) FROM (TABLE right_rows EXCEPT SELECT * FROM economy.user_segments) x);
        after := (SELECT count(*) FROM economy_internal.audit_segments());
        RAISE EXCEPTION USING ERRCODE = 'XT000';
    EXCEPTION WHEN SQLSTATE 'XT000' THEN
        NULL;
    END;
END
$$;
SELECT is((d.seen > 0, d.wrong, d.after)::text, '(t,0,0)', damage)
FROM (VALUES ('seq = seq + 1000'), ('seq = seq - 1'), ('seq = 0'), ('frequency = frequency + 1'), ('frequency = NULL'), ('monetary = monetary - 1'), ('monetary = NULL'), ('segment_since = segment_since + interval ''1 day'''),
    ('segment_since = NULL'), ('next_change_at = next_change_at + interval ''1 hour'''), ('next_change_at = ''infinity'''), ('changes = changes + 1'), ('changes = 0'), ('r = 6 - r'), ('f = f % 5 + 1'), ('m = m % 5 + 1'), ('r = NULL'),
    ('segment = ''X'''), ('segment = NULL'), ('buckets = decode(''00'', ''hex'')'), ('buckets = '''''), ('buckets = (SELECT buckets FROM economy.user_segments WHERE user_id = {v})'), ('user_id = -5')) v (change)
CROSS JOIN LATERAL (SELECT replace(replace(format('UPDATE economy.user_segments SET %s WHERE user_id = {u}', change), '{u}', :'u'), '{v}', :'v') AS damage) s
CROSS JOIN LATERAL pg_temp.damaged(damage) d;
SELECT is((d.seen > 0, d.wrong, d.after)::text, '(t,0,0)', damage)
FROM (VALUES ('DELETE FROM economy.user_segments WHERE user_id = {u}'), ('DELETE FROM economy.user_segments'),
    ('UPDATE economy.user_segments x SET buckets = y.buckets, seq = y.seq, frequency = y.frequency, monetary = y.monetary, r = y.r, f = y.f, m = y.m, segment = y.segment FROM economy.user_segments y
      WHERE (x.user_id, y.user_id) IN (({u}, {v}), ({v}, {u}))'),
    ('INSERT INTO economy.user_segments SELECT -7, seq, frequency, monetary, segment_since, next_change_at, changes, r, f, m, segment, buckets FROM economy.user_segments WHERE user_id = {u}'),
    ('DELETE FROM economy_internal.rfm_due'), ('UPDATE economy_internal.rfm_due SET due_hour = due_hour + interval ''1 hour'''), ('UPDATE economy_internal.rfm_due SET users = users[2:]'),
    ('UPDATE economy.rfm_state SET seen_before = seen_before + 1000000000'), ('UPDATE economy.rfm_state SET snapshot_id = 9999'), ('UPDATE economy.rfm_state SET as_of = ''infinity'''),
    ('UPDATE economy.rfm_state SET as_of = as_of + interval ''20 days'''), ('UPDATE economy.rfm_state SET as_of = ''2000-01-01'''), ('DELETE FROM economy.rfm_state'),
    ('UPDATE economy.rfm_snapshots SET program[1] = 7'), ('UPDATE economy.rfm_snapshots SET segments[2] = ''X'''), ('UPDATE economy.rfm_snapshots SET rules = ''[]'''), ('UPDATE economy.rfm_snapshots SET p95 = 3'),
    ('UPDATE economy.rfm_snapshots SET recency_bounds = ''{1,2,3,4}'''), ('DELETE FROM economy.rfm_snapshots')) v (pattern)
CROSS JOIN LATERAL (SELECT replace(replace(pattern, '{u}', :'u'), '{v}', :'v') AS damage) s CROSS JOIN LATERAL pg_temp.damaged(damage) d;
-- who has bought nothing has no row; one that is there is emptied
SELECT is((d.seen > 0, d.after)::text, '(t,0)', 'a row of who never bought')
FROM pg_temp.damaged(format('INSERT INTO economy.user_segments SELECT %s, seq, frequency, monetary, segment_since, next_change_at, changes, r, f, m, segment, buckets FROM economy.user_segments WHERE user_id = %s', :'never', :'u')) d;
-- what the history or a reversal was cannot be known: it is found
SELECT cmp_ok(d.seen, '>', 0::bigint, damage)
FROM (VALUES ('DELETE FROM economy.segment_history WHERE user_id = {u} AND change_no = 1'), ('UPDATE economy.segment_history SET to_segment = ''X'' WHERE user_id = {u} AND change_no = (SELECT max(change_no) FROM economy.segment_history WHERE user_id = {u})'),
    ('UPDATE economy.segment_history SET change_no = 77 WHERE user_id = {u} AND change_no = 1'), ('UPDATE economy.segment_history SET changed_at = ''2098-01-01'' WHERE user_id = {u}'),
    ('INSERT INTO economy.segment_history SELECT user_id, 2, ''X'', to_segment, changed_at, snapshot_id FROM economy.segment_history WHERE user_id = {u}; UPDATE economy.user_segments SET changes = 2 WHERE user_id = {u}'),
    ('INSERT INTO economy_internal.rfm_reversals VALUES ({u}, 99)'), ('INSERT INTO economy_internal.rfm_reversals VALUES ({u}, 1, true)'), ('DELETE FROM economy_internal.rfm_reversals WHERE user_id = {w}'), ('UPDATE economy_internal.rfm_reversals SET applied = false WHERE user_id = {w}')) v (pattern)
CROSS JOIN LATERAL (SELECT replace(replace(pattern, '{u}', :'u'), '{w}', :'w') AS damage) s CROSS JOIN LATERAL pg_temp.damaged(damage) d;

-- what is told of each
CREATE FUNCTION pg_temp.told(damage text, u bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    BEGIN
        EXECUTE damage;
        SELECT string_agg(x.told, '; ' ORDER BY x.told COLLATE "C") INTO answer
            FROM (SELECT * FROM economy_internal.audit_segments() UNION ALL SELECT * FROM economy_internal.audit_segment_state()) f
            CROSS JOIN LATERAL (SELECT regexp_replace(replace(concat_ws('|', CASE f.user_id WHEN u THEN 'U' END, f.kind, f.expected, f.actual, f.entry, f.seq), format('P%s-', u), 'PU-'), 'snapshot [0-9]+', 'snapshot S', 'g') AS told) x
            WHERE f.user_id = u OR f.user_id IS NULL;
        RAISE EXCEPTION USING ERRCODE = 'XT000';
    EXCEPTION WHEN SQLSTATE 'XT000' THEN
        RETURN answer;
    END;
END
$$;
SELECT is(pg_temp.told(replace(pattern, '{u}', :'u'), :u), found, left(pattern, 100)) FROM (VALUES
    ('', NULL),
    ('DELETE FROM economy.accounts WHERE user_id = {u}', 'U|orphan_row|an account|only a segment'),
    ('UPDATE economy.user_segments SET buckets = '''' WHERE user_id = {u}', 'U|parity|buckets of the purchases up to 2|others'),
    ('UPDATE economy.user_segments SET seq = 77 WHERE user_id = {u}', 'U|parity|buckets of the purchases up to 77|others'),
    ('DELETE FROM economy.user_segments WHERE user_id = {u}', 'U|parity|1 changes, the last to New at 2099-01-01 12:00:00+00| changes,  since '),
    ('UPDATE economy.user_segments SET frequency = 11, monetary = 12, r = 1, f = 2, m = 3, segment = ''X'' WHERE user_id = {u}', 'U|parity|1 changes, the last to New at 2099-01-01 12:00:00+00|1 changes, X since 2099-01-01 12:00:00+00; U|parity|segment New, scores 512, 2 purchases of 400|segment X, scores 123, 11 purchases of 12'),
    ('UPDATE economy.segment_history SET change_no = change_no + 1 WHERE user_id = {u}', 'U|parity|1 changes, the last to New at 2099-01-01 12:00:00+00|1 changes, New since 2099-01-01 12:00:00+00'),
    ('UPDATE economy.segment_history SET to_segment = ''X'' WHERE user_id = {u} AND change_no = 1', 'U|parity|1 changes, the last to X at 2099-01-01 12:00:00+00|1 changes, New since 2099-01-01 12:00:00+00'),
    ('UPDATE economy_internal.rfm_due SET users = array_remove(users, {u})', 'U|parity|a place in rfm_due at the hour of 2099-01-22 00:00:00+00|none'),
    ('UPDATE economy.user_segments SET changes = 9 WHERE user_id = {u}', 'U|parity|1 changes, the last to New at 2099-01-01 12:00:00+00|9 changes, New since 2099-01-01 12:00:00+00'),
    ('UPDATE economy.rfm_state SET as_of = ''2099-01-19 00:00+00''', 'U|parity|segment Low, scores 111, 1 purchases of 300|segment New, scores 512, 2 purchases of 400; parity|a snapshot of before 2099-01-19 00:00:00+00|rfm_state with snapshot S'),
    ('UPDATE economy.rfm_state SET as_of = ''infinity''', 'U|parity|segment AtRisk, scores 111, 0 purchases of 0|segment New, scores 512, 2 purchases of 400; parity|a snapshot of before infinity|rfm_state with snapshot S'),
    ('UPDATE economy.rfm_state SET seen_before = -1', 'parity|transactions that have begun|rfm_state that has seen those before -1'),
    ('UPDATE economy.rfm_state SET seen_before = 9000000000000000000', 'parity|transactions that have begun|rfm_state that has seen those before 9000000000000000000'),
    ('UPDATE economy.rfm_state SET seen_before = 9000000000000000000, installation = 5', NULL),
    ('DELETE FROM economy.rfm_state', 'parity|rfm_state|none beside segments'),
    ('DELETE FROM economy.rfm_state; UPDATE economy.user_segments SET segment = NULL', 'U|parity|1 changes, the last to New at 2099-01-01 12:00:00+00|1 changes,  since 2099-01-01 12:00:00+00'),
    ('UPDATE economy.rfm_snapshots SET segments[2] = ''X'' WHERE snapshot_id = (SELECT max(snapshot_id) FROM economy.rfm_snapshots)', 'parity|the program of snapshot S|another one'),
    ('INSERT INTO economy_internal.rfm_reversals VALUES ({u}, 99)', 'U|orphan_row|purchase PU-99|only its reversal|PU-99|99')) v (pattern, found);

-- a purchase that is not due yet is no damage; one of a range of users is looked at alone
SELECT count(*) AS x FROM economy.purchase(:u, 'pgtap_d', 'new') \gset
SELECT is_empty('SELECT * FROM economy_internal.audit_segments()', 'a purchase that no refresh has seen');
UPDATE economy.user_segments SET frequency = 77 WHERE user_id IN (:u, :v);
SELECT is((SELECT count(DISTINCT user_id) FROM economy_internal.audit_segments(:u, :u)), 1::bigint, 'a range of users');
SELECT is((SELECT count(*) FROM economy.audit_sweep() f WHERE f.user_id IN (:u, :v) AND f.kind = 'parity'), 2::bigint, 'audit_sweep() finds it');
SELECT is(economy_internal.segments_found_damaged(), true, 'so the next job rebuilds');
SELECT count(*) AS x FROM economy.rfm_refresh(rebuild => false) \gset
SELECT is_empty('SELECT * FROM economy_internal.audit_segments()', 'scores come right also without');
DELETE FROM economy_internal.rfm_due;
SELECT is((SELECT count(*) FROM economy_internal.audit_segments(:u, :u)), 1::bigint, 'a place of a range of users');
SELECT throws_ok('SELECT economy.rfm_refresh(rebuild => NULL)', 'XE001', 'rebuild must not be null', 'null rebuild');
SELECT * FROM finish();
ROLLBACK;
