-- Each event as a whole, of every kind of entry, and the pages of replay().
BEGIN;
SET client_min_messages = warning;
SELECT plan(37);

SET LOCAL economy.test_clock = '2026-03-02 12:00:00.000001+00';
SELECT economy.register('pgtap events') AS u \gset
SELECT economy.upsert_product('{"product_id": "pgtap_e", "category": "item", "price_gold": 10, "effect_code": "heal"}', 'pgtap') IS NULL AS x \gset
SELECT is((SELECT code FROM economy.adjust_gold(:u, 100, 'open', 'r', 'a')), 'OK', 'gold');
SELECT is((SELECT code FROM economy.purchase(:u, 'pgtap_e', 'k"1', 3)), 'OK', 'a purchase');
SELECT is((SELECT code FROM economy.grant_reward(:u, 'quest', 'e1', 5, 500)), 'OK', 'a reward');
SELECT is((SELECT code FROM economy.record_action(:u, 'rps', 'RPS_PLAY', 'a1', 5, 12)), 'OK', 'an action');
SELECT is((SELECT code FROM economy.claim_daily_reward(:u)), 'CLAIMED', 'a claim');
SELECT is((SELECT code FROM economy.update_profile(:u, '{"b": 1, "a": null}', 'p1')), 'OK', 'a profile');
SELECT is((SELECT code FROM economy.unlink_external_id(:u, 'p2')), 'OK', 'an external id goes');
SELECT is((SELECT code FROM economy.link_external_id(:u, 'pgtap events 2', 'p3')), 'OK', 'and another comes');
SELECT economy.set_timezone(:u, 'Europe/Rome') AS x \gset
SELECT economy.set_user_status(:u, 'suspended', 'a') AS x \gset

-- the user is U
SELECT results_eq(format($$SELECT r.seq, r.type, replace(r.event->>'id', '%1$s-', 'U-'), r.event->>'data'
                           FROM economy.replay(%1$s, 0) WITH ORDINALITY r (code, seq, type, event, n) WHERE r.code = 'EVENT' ORDER BY r.n$$, :u), $want$VALUES
    (1::bigint, 'profile_update', 'GU-1', '{"field":"gold","before":0,"after":100,"seq":1,"gold_delta":100,"xp_delta":0,"gold":100,"experience_points":0}'),
    (2, 'purchase_update', 'PU-2', E'{"product_id":"pgtap_e","category":"item","quantity":3,"status":"SUCCESS","effect_code":"heal","idempotency_key":"k\\"1","seq":2,"gold_delta":-30,"xp_delta":0,"gold":70,"experience_points":0}'),
    (3, 'reward_granted', 'RU-3', '{"source":"quest","external_event_id":"e1","streak_day":null,"level":2,"leveled_up":true,"seq":3,"gold_delta":5,"xp_delta":500,"gold":75,"experience_points":500}'),
    (3, 'profile_update', 'RU-3/level', '{"field":"level","before":1,"after":2,"seq":3,"gold":75,"experience_points":500}'),
    (4, 'user_action', 'AU-4', '{"game":"rps","action_type":"RPS_PLAY","action_id":"a1","bet":5,"win":12,"outcome":"win","seq":4,"gold_delta":7,"xp_delta":0,"gold":82,"experience_points":500}'),
    (4, 'stats_delta', 'AU-4/stats', '{"game":"rps","total_delta":1,"wins_delta":1,"losses_delta":0,"draws_delta":0,"bet_delta":5,"win_delta":12,"total":1,"wins":1,"losses":0,"draws":0,"max_win":12,"seq":4,"gold":82,"experience_points":500}'),
    (5, 'reward_granted', 'RU-5', '{"source":"economy:daily_streak","external_event_id":"2026-03-02","streak_day":1,"level":2,"leveled_up":false,"seq":5,"gold_delta":1000,"xp_delta":50,"gold":1082,"experience_points":550}'),
    (6, 'profile_update', 'UU-6', '{"field":"profile","before":null,"after":null,"keys":["b"],"seq":6,"gold_delta":0,"xp_delta":0,"gold":1082,"experience_points":550}'),
    (7, 'profile_update', 'UU-7', '{"field":"external_id","before":"pgtap events","after":null,"seq":7,"gold_delta":0,"xp_delta":0,"gold":1082,"experience_points":550}'),
    (8, 'profile_update', 'UU-8', '{"field":"external_id","before":null,"after":"pgtap events 2","seq":8,"gold_delta":0,"xp_delta":0,"gold":1082,"experience_points":550}'),
    (9, 'profile_update', 'UU-9', '{"field":"timezone","before":"UTC","after":"Europe/Rome","seq":9,"gold_delta":0,"xp_delta":0,"gold":1082,"experience_points":550}'),
    (10, 'profile_update', 'UU-10', '{"field":"status","before":"active","after":"suspended","seq":10,"gold_delta":0,"xp_delta":0,"gold":1082,"experience_points":550}')$want$, 'each entry''s events');
SELECT is((SELECT string_agg(DISTINCT (r.event::jsonb - ARRAY['id', 'type', 'sequence', 'data', 'source', 'subject'])::text, ' ') FROM economy.replay(:u, 0) r WHERE r.code = 'EVENT'),
          '{"time": "2026-03-02T12:00:00.000001Z", "specversion": "1.0", "datacontenttype": "application/json"}', 'in one envelope');
SELECT is((SELECT count(*) FROM economy.replay(:u, 0) r WHERE r.code = 'EVENT' AND (r.event->>'type', r.event->>'subject', r.event->>'source', r.event->>'sequence')
               = (r.type, :'u', '/economy/node/' || current_setting('economy.node_id'), lpad(r.seq::text, 20, '0'))), 12::bigint, 'with type, subject, source and sequence');
SELECT is((SELECT count(*) FROM economy.ledger l, economy_internal.entry_events(:u, l.seq, l.transaction_id::"char") e
           WHERE l.user_id = :u AND (l.seq, e.type, e.event::text) IN (SELECT r.seq, r.type, r.event::text FROM economy.replay(:u, 0) r)), 12::bigint, 'the same of each entry alone');
SELECT is((SELECT count(*) FROM economy_internal.entry_events(:u, 3, 'P')) + (SELECT count(*) FROM economy_internal.entry_events(:u, 11, 'R')), 0::bigint, 'none of what is no entry');

-- what each action added, and the totals of now
SELECT economy.register('pgtap events played') AS played \gset
SELECT count(r.state) AS x FROM unnest(ARRAY['win', 'loss', 'loss', 'draw', 'draw', 'draw']) WITH ORDINALITY o (outcome, n), economy.record_action(:played, 'rps', 'RPS_PLAY', n::text, 0, 10 - n, outcome) r \gset
SELECT is((SELECT string_agg(concat_ws(' ', d ->> 'wins_delta', d ->> 'losses_delta', d ->> 'draws_delta', d ->> 'win_delta', '|', d ->> 'total', d ->> 'wins', d ->> 'losses', d ->> 'draws', d ->> 'max_win'), ', ' ORDER BY r.seq)
           FROM economy.replay(:played, 0) r, LATERAL (SELECT r.event -> 'data') e (d) WHERE r.type = 'stats_delta'),
          '1 0 0 9 | 6 1 2 3 9, 0 1 0 8 | 6 1 2 3 9, 0 1 0 7 | 6 1 2 3 9, 0 0 1 6 | 6 1 2 3 9, 0 0 1 5 | 6 1 2 3 9, 0 0 1 4 | 6 1 2 3 9', 'statistics of each outcome');

-- told as one event, which has the rest as it was
CREATE TEMP VIEW played AS SELECT r.seq, r.type, r.event::jsonb AS e FROM economy.replay(:played, 0) r WHERE r.code = 'EVENT';
SELECT jsonb_agg(jsonb_set(a.e, '{data,stats}', (s.e -> 'data') - ARRAY['game', 'seq', 'gold', 'experience_points']) ORDER BY a.seq) AS as_one
FROM played a JOIN played s USING (seq) WHERE a.type = 'user_action' AND s.type = 'stats_delta' \gset
SET LOCAL economy.notify_stats = with_action;
SELECT is((SELECT jsonb_agg(p.e ORDER BY p.seq) FROM played p), :'as_one', 'an action with its statistics');
SELECT is((SELECT e.event::text FROM economy_internal.entry_events(:u, 4, 'A') e),
          format('{"specversion":"1.0","id":"A%1$s-4","source":"/economy/node/%2$s","type":"user_action","subject":"%1$s","time":"2026-03-02T12:00:00.000001Z","sequence":"00000000000000000004","datacontenttype":"application/json","data":{"game":"rps","action_type":"RPS_PLAY","action_id":"a1","bet":5,"win":12,"outcome":"win","stats":{"total_delta":1,"wins_delta":1,"losses_delta":0,"draws_delta":0,"bet_delta":5,"win_delta":12,"total":1,"wins":1,"losses":0,"draws":0,"max_win":12},"seq":4,"gold_delta":7,"xp_delta":0,"gold":82,"experience_points":500}}', :u, current_setting('economy.node_id')), 'member by member');
RESET economy.notify_stats;
-- statistics that are not there are not told, and stop no action from being told
SAVEPOINT gone;
UPDATE economy.accounts SET sections = economy_internal.with_game(sections, 'rps', NULL, NULL, NULL, NULL, NULL, NULL, NULL) WHERE user_id = :played;
SELECT is((SELECT string_agg(type, ' ' ORDER BY seq) FROM played), 'user_action user_action user_action user_action user_action user_action', 'no statistics: actions alone');
SET LOCAL economy.notify_stats = with_action;
SELECT is((SELECT count(*) FROM played WHERE NOT e -> 'data' ? 'stats'), 6::bigint, 'nor with them');
ROLLBACK TO gone;

-- the first and the last moment that an envelope can name
SELECT economy.register('pgtap events old') AS old \gset
SET LOCAL economy.test_clock = '0001-01-01 00:00:00+00';
SELECT is((SELECT code FROM economy.adjust_gold(:old, 1, 'first', 'r', 'a')), 'OK', 'the first');
SET LOCAL economy.test_clock = '9999-12-31 23:59:59.999999+00';
SELECT is((SELECT code FROM economy.adjust_gold(:old, 1, 'last', 'r', 'a')), 'OK', 'the last');
SELECT is((SELECT string_agg(r.event->>'time', ' ' ORDER BY r.seq) FROM economy.replay(:old, 0) r WHERE r.code = 'EVENT'),
          '0001-01-01T00:00:00.000000Z 9999-12-31T23:59:59.999999Z', 'are told');

-- as the server writes it, of one second, of the next and of others, on either side of 2000
SELECT economy.register('pgtap events timed') AS timed \gset
SELECT count(r.code) AS x
FROM unnest(ARRAY['2000-01-01 00:00:00', '1999-12-31 23:59:59.999999', '1999-12-31 23:59:59', '1999-12-31 23:59:58.999999', '2000-01-01 00:00:00.000001', '2026-03-02 12:00:00.5', '2026-03-02 12:00:00.000001',
                  '2026-03-02 12:00:00.999999', '2026-03-02 12:00:01', '1969-12-31 23:59:59.25', '2026-03-02 12:00:01.75', '2024-02-29 23:59:59.9']) WITH ORDINALITY c (at, n),
     LATERAL (SELECT set_config('economy.test_clock', c.at || '+00', true) || n AS key) k, economy.adjust_gold(:timed, 1, k.key, 'r', 'a') r \gset
SELECT is((SELECT string_agg(r.event->>'time', ' ' ORDER BY r.seq) FROM economy.replay(:timed, 0) r WHERE r.code = 'EVENT'),
          (SELECT string_agg(to_char(l.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), ' ' ORDER BY l.seq) FROM economy.ledger l WHERE l.user_id = :timed), 'times');
SELECT set_config('economy.test_clock', '9999-12-31 23:59:59.999999+00', true) AS x \gset

-- what is outside of them, by hand, is passed over
SET LOCAL client_min_messages = error;
INSERT INTO economy.gold_adjustments SELECT (jsonb_populate_record(g, jsonb_build_object('seq', 100 + v.n, 'idempotency_key', 'forged ' || v.n, 'created_at', v.at))).*
FROM economy.gold_adjustments g, (VALUES (1, '0001-12-31 23:59:59.999999+00 BC'), (2, '10000-01-01 00:00:00+00'), (3, '-infinity'), (4, 'infinity'), (5, '2031-01-01 00:00:00+00')) v (n, at) WHERE g.user_id = :old AND g.seq = 1;
-- one after the other, for the second of two is told as quickly as the first
SELECT is((SELECT string_agg(concat_ws(' ', n, (SELECT count(*) FROM economy_internal.entry_events(:old, 100 + n, 'G')), (SELECT count(*) FROM economy_internal.entry_events(:old, 100 + n, 'G'))), ', ' ORDER BY n)
           FROM generate_series(1, 5) n), '1 0 0, 2 0 0, 3 0 0, 4 0 0, 5 1 1', 'moments that no envelope can name');
RESET client_min_messages;

-- pages count entries, not events
CREATE FUNCTION pg_temp.page(user_id bigint, after bigint, max integer) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(CASE WHEN r.code = 'EVENT' THEN r.seq::text ELSE r.code || ' ' || r.seq END, ' ' ORDER BY r.n)
    FROM economy.replay(user_id, after, max) WITH ORDINALITY r (code, seq, type, event, n)
$$;
SELECT is(pg_temp.page(:u, 0, 3), '1 2 3 3 MORE 3', 'a page');
SELECT is(pg_temp.page(:u, 3, 1), '4 4 MORE 4', 'of one entry');
SELECT is(pg_temp.page(:u, 7, 2), '8 9 MORE 9', 'one is left');
SELECT is(pg_temp.page(:u, 7, 3), '8 9 10 CAUGHT_UP 10', 'none is');
SELECT is(pg_temp.page(:u, 9, 10000), '10 CAUGHT_UP 10', 'the largest page');
SELECT is(pg_temp.page(:u, 10, 1), 'CAUGHT_UP 10', 'nothing new');
-- above READ COMMITTED the snapshot may be older than what the caller has seen
SELECT is(pg_temp.page(:u, 11, 1), CASE current_setting('transaction_isolation') WHEN 'read committed' THEN 'RESYNC_REQUIRED 10' ELSE 'CAUGHT_UP 11' END,
    'behind all there is');
SELECT is(pg_temp.page(-1, 0, 1), 'USER_NOT_FOUND 0', 'nobody');

SELECT is((SELECT string_agg(c.code, ' ') FROM economy.changes(NULL, 10000) c), 'CAUGHT_UP', 'the largest page of the feed');
-- the reader of the journals leaves nothing behind in a transaction that goes on
CREATE FUNCTION pg_temp.surroundings() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(name || ' ' || setting, ', ' ORDER BY name COLLATE "C") FROM pg_settings
    WHERE name IN ('enable_seqscan', 'enable_bitmapscan', 'max_parallel_workers_per_gather', 'jit')
$$;
SELECT count(set_config(name, setting, true)) AS x FROM (VALUES ('enable_seqscan', 'on'), ('enable_bitmapscan', 'off'), ('max_parallel_workers_per_gather', '1'), ('jit', 'on')) v (name, setting) \gset
SELECT count(*) AS x FROM economy.changes('start') \gset
SELECT is(pg_temp.surroundings(), 'enable_bitmapscan off, enable_seqscan on, jit on, max_parallel_workers_per_gather 1', 'settings are as they were');
SELECT is((SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND mode = 'ShareUpdateExclusiveLock'), 0::bigint, 'and VACUUM is not kept out');

-- what each message of the AsyncAPI document is made of
CREATE TEMP TABLE messages AS SELECT m.key AS name, m.value AS message, t.description, t.schema, t.sample
    FROM jsonb_each(economy.asyncapi() #> '{components,messages}') m JOIN economy.event_types t ON t.name = m.key;
SELECT is((SELECT string_agg(name, ' ' ORDER BY name COLLATE "C") FROM messages), 'holding_update mission_update profile_update purchase_refunded purchase_update reward_granted stats_delta user_action', 'a message of each type that is sent');
SELECT is((SELECT string_agg(name, ' ') FROM messages WHERE message -> 'payload' <> schema - ARRAY['$schema', '$id'] OR message -> 'examples' <> jsonb_build_array(jsonb_build_object('payload', sample))
           OR message - ARRAY['payload', 'examples'] <> jsonb_build_object('name', name, 'title', name, 'summary', description, 'contentType', 'application/cloudevents+json')), NULL, 'with its schema and its sample');
SELECT is(economy.asyncapi() #>> '{info,version}', (SELECT extversion FROM pg_extension WHERE extname = 'economy'), 'in the document of this version');
SELECT * FROM finish();
ROLLBACK;
