-- economy.grant_rewards(): random batches give exactly what the same rewards give one by one, in
-- the batch's order.  Two equal worlds, one for each way; also where a trigger on the journal
-- makes entries of the user and of others, and sends keys that come later in the batch.
BEGIN;
SELECT no_plan();

-- a seed of its own for each run, told when something is wrong
SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint % 1000000 AS seed \gset
SELECT setseed(:seed / 1000000.0) AS x \gset

SELECT economy.set_level_curve('pgtap steep', '{0,40,90,100,250,1000}', 'pgtap') AS x, economy.set_level_curve('pgtap flat', '{0,300}', 'pgtap') AS x \gset
CREATE FUNCTION pg_temp.experiment(enabled boolean) RETURNS integer LANGUAGE sql AS $$
    SELECT economy.set_level_experiment('pgtap model', '[{"arm": "a", "curve": "pgtap steep", "share": 4000}, {"arm": "b", "curve": "pgtap flat", "share": 3000}]', enabled, 'pgtap') $$;
SELECT pg_temp.experiment(true) AS x \gset
-- users of equal curves stand for each other in the worlds
CREATE TEMP TABLE who (side text, n integer, user_id bigint, PRIMARY KEY (side, n));
INSERT INTO who
    SELECT CASE k % 2 WHEN 1 THEN 'a' ELSE 'b' END, dense_rank() OVER (ORDER BY (k + 1) / 2, curve), user_id
    FROM (SELECT user_id, (economy.level_of(user_id, 0)).curve, row_number() OVER (PARTITION BY (economy.level_of(user_id, 0)).curve ORDER BY user_id) AS k
          FROM (SELECT economy.register('pgtap model ' || n) AS user_id FROM generate_series(1, 60) n OFFSET 0) r) u
    WHERE k <= 6;
INSERT INTO who SELECT side, 0, -17 FROM unnest(ARRAY['a', 'b']) side;    -- nobody
SELECT is((SELECT array_agg(c ORDER BY c) FROM (SELECT DISTINCT (economy.level_of(user_id, 0)).curve FROM who WHERE n BETWEEN 1 AND 7 GROUP BY n, 1 HAVING count(*) = 2) d (c)),
    ARRAY['linear', 'pgtap flat', 'pgtap steep'], 'the users have all curves, in both worlds');
SELECT count(*) AS x FROM who, economy.grant_reward(who.user_id, 'pgtap rich', 'gold', 9007199254740991 - 20, 200) WHERE n = 5 \gset
SELECT count(*) AS x FROM who, economy.grant_reward(who.user_id, 'pgtap rich', 'xp', 0, 9007199254740991 - 60) WHERE n = 6 \gset
SELECT count(*) AS x FROM who, economy.set_user_status(who.user_id, 'suspended', 'pgtap') WHERE n = 7 \gset

-- what else the account keeps goes with it
SELECT count(*) AS x FROM generate_series(1, 3) i, economy.register_game('pgtap model ' || i) \gset
SELECT count(*) AS x FROM who, generate_series(1, 3) i, economy.record_action(user_id, 'pgtap model ' || i, 'P', 'a', 0, n + i) WHERE n > 0 \gset
SELECT count(*) AS x FROM who, economy.claim_daily_reward(user_id) WHERE n > 0 \gset

CREATE TEMP TABLE asked (round integer, n integer, who integer, source text, key text, gold bigint, xp bigint, details jsonb);
CREATE TEMP TABLE told (side text, round integer, n bigint, answer text);
-- an answer without what names the world
CREATE FUNCTION pg_temp.brief(r economy.grant_result) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', r.success, r.state, r.code, split_part(r.transaction_id, '-', 2), 'delta', r.gold_delta, r.xp_delta, 'gold', r.gold, 'xp', r.experience_points,
                     'level', r.level, r.leveled_up, r.retry_after_ms IS NOT NULL, r.detail) $$;

CREATE FUNCTION pg_temp.play(this integer, size integer, nkeys integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    a record;
BEGIN
    INSERT INTO asked
        SELECT this, i, CASE WHEN random() < 0.03 THEN 0 ELSE 1 + floor(7 * random() ^ 1.5)::int END, 's' || floor(2 * random())::int, 'k' || floor(nkeys * random())::int,
               floor(CASE WHEN random() < 0.9 THEN 3 ELSE 300 END * random())::int, floor(CASE WHEN random() < 0.5 THEN 2 ELSE 80 END * random())::int,
               CASE floor(8 * random())::int WHEN 0 THEN '{"from": "x"}'::jsonb WHEN 1 THEN '{"a": [1, {"b": null}]}' END
        FROM generate_series(1, size) i;
    IF this % 2 = 0 THEN
        INSERT INTO told SELECT 'a', this, r.ordinality, pg_temp.brief(row(r.success, r.state, r.code, r.transaction_id, r.gold_delta, r.xp_delta, r.gold, r.experience_points,
                r.level, r.leveled_up, r.retry_after_ms, r.detail, r.items)::economy.grant_result)
            FROM economy.grant_rewards((SELECT jsonb_agg(jsonb_build_object('user_id', w.user_id, 'source', q.source, 'external_event_id', q.key, 'xp', q.xp, 'details', q.details)
                     || CASE q.gold WHEN 0 THEN '{}' ELSE jsonb_build_object('gold', q.gold) END ORDER BY q.n)
                 FROM asked q JOIN who w ON w.side = 'a' AND w.n = q.who WHERE q.round = this)) WITH ORDINALITY r;
    ELSE
        INSERT INTO told SELECT 'a', this, r.ordinality, pg_temp.brief(row(r.success, r.state, r.code, r.transaction_id, r.gold_delta, r.xp_delta, r.gold, r.experience_points,
                r.level, r.leveled_up, r.retry_after_ms, r.detail, r.items)::economy.grant_result)
            FROM (SELECT array_agg(w.user_id ORDER BY q.n) AS users, array_agg(q.source ORDER BY q.n) AS sources, array_agg(q.key ORDER BY q.n) AS keys,
                         array_agg(q.gold ORDER BY q.n) AS gold, array_agg(q.xp ORDER BY q.n) AS xp, array_agg(q.details ORDER BY q.n) AS details
                  FROM asked q JOIN who w ON w.side = 'a' AND w.n = q.who WHERE q.round = this) t,
                 economy.grant_rewards(users, sources, keys, t.gold, t.xp, t.details) WITH ORDINALITY r;
    END IF;
    FOR a IN SELECT q.*, w.user_id FROM asked q JOIN who w ON w.side = 'b' AND w.n = q.who WHERE q.round = this ORDER BY q.n LOOP
        INSERT INTO told SELECT 'b', this, a.n, pg_temp.brief(r)
            FROM economy.grant_reward(a.user_id, a.source, a.key, a.gold, a.xp, a.details) r;
    END LOOP;
END $$;

-- what is left of a world: streams, rewards, accounts with all they keep, and the events that replay() tells
CREATE FUNCTION pg_temp.world(of text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT format('%s %s %s', w.n, l.seq, (to_jsonb(l) - ARRAY['user_id', 'transaction_id', 'created_at', 'hash'])::text) FROM who w JOIN economy.ledger l USING (user_id) WHERE w.side = of
    UNION ALL SELECT format('%s %s %s', w.n, r.seq, (to_jsonb(r) - ARRAY['user_id', 'created_at', 'hash', 'xact', 'position'])::text) FROM who w JOIN economy.reward_audit r USING (user_id) WHERE w.side = of
    UNION ALL SELECT format('%s has %s %s %s', w.n, a.seq, a.gold, a.experience_points) FROM who w JOIN economy.accounts a USING (user_id) WHERE w.side = of
    UNION ALL SELECT format('%s keeps %s', w.n, to_jsonb(g) - ARRAY['user_id', 'last_action_at']) FROM who w JOIN economy.game_stats g USING (user_id) WHERE w.side = of
    UNION ALL SELECT format('%s keeps %s', w.n, to_jsonb(s) - 'user_id') FROM who w JOIN economy.streaks s USING (user_id) WHERE w.side = of
    UNION ALL SELECT format('%s told %s %s', w.n, e.event ->> 'type', ((e.event -> 'data')::jsonb - ARRAY['user_id', 'transaction_id'])::text)
        FROM who w, economy.replay(w.user_id, 0, 1000) e WHERE w.side = of $$;

SELECT count(pg_temp.play(round, (2 + 120 * random() ^ 2)::int, 8)) AS x FROM generate_series(1, 8) round \gset
SELECT pg_temp.experiment(false) AS x \gset
SELECT count(pg_temp.play(round, (2 + 120 * random() ^ 2)::int, 12)) AS x FROM generate_series(9, 10) round \gset
SELECT pg_temp.experiment(true) AS x \gset
SELECT count(pg_temp.play(round, (2 + 120 * random() ^ 2)::int, 16)) AS x FROM generate_series(11, 12) round \gset
CREATE FUNCTION pg_temp.compare(what text, seed bigint) RETURNS SETOF text LANGUAGE sql AS $f$
    SELECT is_empty($$SELECT q.*, b.answer AS one_by_one, a.answer AS in_a_batch FROM asked q JOIN told a ON a.side = 'a' AND (a.round, a.n) = (q.round, q.n)
        JOIN told b ON b.side = 'b' AND (b.round, b.n) = (q.round, q.n) WHERE a.answer <> b.answer ORDER BY q.round, q.n LIMIT 5$$, format('answers of batches%s, seed %s', what, seed))
    UNION ALL SELECT is((SELECT count(*) FROM told WHERE side = 'a'), (SELECT count(*) FROM asked), 'a row for each')
    UNION ALL SELECT bag_eq($$SELECT pg_temp.world('a')$$, $$SELECT pg_temp.world('b')$$, format('what they leave%s, seed %s', what, seed)) $f$;
SELECT pg_temp.compare('', :seed);
SELECT ok((SELECT count(DISTINCT split_part(answer, ' ', 3)) FROM told WHERE side = 'a') >= 5, 'the outcomes have come, seed ' || :seed);
SELECT ok((SELECT count(*) FROM told WHERE side = 'a' AND answer LIKE '%level % t %') > 0, 'and new levels');

-- a trigger rewards the user, at times somebody else, who may come before or after in the batch, and
-- at times with a key that the batch has too
CREATE FUNCTION pg_temp.tip() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() > 1 THEN
        RETURN NULL;
    END IF;
    PERFORM economy.grant_reward(NEW.user_id, 'pgtap tip', NEW.seq::text, 2, 10) FROM who w WHERE w.user_id = NEW.user_id;
    PERFORM economy.grant_reward(o.user_id, 'pgtap share', w.n || '-' || NEW.seq, 1) FROM who w JOIN who o ON o.side = w.side AND o.n = 1 + w.n % 6
        WHERE w.user_id = NEW.user_id AND NEW.seq % 2 = 0;
    PERFORM economy.grant_reward(NEW.user_id, NEW.source, 'k' || 20 + NEW.seq % 20, 1) FROM who w WHERE w.user_id = NEW.user_id AND NEW.seq % 3 = 0;
    RETURN NULL;
END $$;
CREATE TRIGGER pgtap AFTER INSERT ON economy.reward_audit FOR EACH ROW EXECUTE FUNCTION pg_temp.tip();
SELECT count(pg_temp.play(round, (2 + 60 * random() ^ 2)::int, 40)) AS x FROM generate_series(13, 18) round \gset
DROP TRIGGER pgtap ON economy.reward_audit;
SELECT pg_temp.compare(' where a trigger makes entries', :seed);

SELECT is_empty('SELECT v.* FROM who w, economy.verify_chain(w.user_id) v', 'all chains are clean');
SELECT is_empty('SELECT * FROM economy.stats_parity()', 'statistics are what the actions say');
SELECT * FROM finish();
ROLLBACK;
