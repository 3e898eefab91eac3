-- The sections of an account: in memory, through a batch with user code in it; damaged; and
-- as views find them.
BEGIN;
SELECT plan(43);
SET LOCAL standard_conforming_strings = on;

SELECT economy.register('pgtap sections') AS u \gset
SELECT success AS x FROM economy.adjust_gold(:u, 1000, 'open', 'r', 'a') \gset
SELECT economy.upsert_product('{"product_id": "pgtap_p", "category": "item", "price_gold": 10, "active": true}', 'pgtap') IS NULL AS x \gset
SELECT count(economy.register_game(format('pgtap sections %s %s', g, repeat('x', 30)))) AS x FROM generate_series(1, 9) g \gset
SELECT count(*) AS x FROM generate_series(1, 9) g, economy.record_action(:u, format('pgtap sections %s %s', g, repeat('x', 30)), 'T', '1', 1, 1) \gset
SELECT state AS x FROM economy.claim_daily_reward(:u) \gset
CREATE FUNCTION pg_temp.findings(u bigint) RETURNS bigint LANGUAGE sql AS $$
    SELECT (SELECT count(*) FROM economy.stats_parity() p WHERE p.user_id = u)
         + (SELECT count(*) FROM economy_internal.audit_rewards(u, u)) + (SELECT count(*) FROM economy.verify_chain(u))
$$;

-- user code moves the account on, and calls that change nothing come before the next that does
CREATE FUNCTION pg_temp.bonus() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    key text := coalesce(to_jsonb(NEW) ->> 'idempotency_key', to_jsonb(NEW) ->> 'external_event_id', to_jsonb(NEW) ->> 'action_id');
BEGIN
    IF key LIKE 'first%' AND tg_table_name LIKE 'user_actions%' THEN
        PERFORM economy.record_action(NEW.user_id, NEW.game, 'BONUS', 'bonus of ' || key, 0, 1);
    ELSIF key LIKE 'first%' THEN
        PERFORM economy.grant_reward(NEW.user_id, 'pgtap bonus', 'of ' || key, 1);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER pgtap AFTER INSERT ON economy.user_actions FOR EACH ROW EXECUTE FUNCTION pg_temp.bonus();
CREATE TRIGGER pgtap AFTER INSERT ON economy.shop_transactions FOR EACH ROW EXECUTE FUNCTION pg_temp.bonus();
CREATE TRIGGER pgtap AFTER INSERT ON economy.reward_audit FOR EACH ROW EXECUTE FUNCTION pg_temp.bonus();
SELECT sections AS before FROM economy.accounts WHERE user_id = :u \gset
CREATE TEMP TABLE turns AS SELECT * FROM (VALUES (1, 'first', 1), (2, 'too dear', 1000000), (3, 'third', 1), (4, 'too dear, too', 1000000), (5, 'first again', 1), (6, 'too dear again', 1000000), (7, 'too dear again, too', 1000000), (8, 'last', 1)) t (n, key, times);
SELECT is(string_agg(state, ',' ORDER BY ord), 'new,refused,new,refused,new,refused,refused,new', 'purchases with a cashback and refusals in between')
FROM ROWS FROM (economy.purchases((SELECT jsonb_agg(jsonb_build_object('user_id', :u::bigint, 'product_id', 'pgtap_p', 'idempotency_key', key, 'quantity', times) ORDER BY n) FROM turns))) WITH ORDINALITY p (success, state, code, transaction_id, quantity, gold_delta, gold, stock_remaining, user_limit_remaining, retry_after_ms, detail, ord);
SELECT is((SELECT sections FROM economy.accounts WHERE user_id = :u), :'before'::bytea, 'leave the sections as they are');
SELECT is(pg_temp.findings(:u), 0::bigint, 'sound');
SELECT is(count(*) FILTER (WHERE state = 'new'), 4::bigint, 'rewards with others')
FROM economy.grant_rewards((SELECT jsonb_agg(jsonb_build_object('user_id', :u::bigint, 'source', 'pgtap', 'external_event_id', key, 'gold', CASE WHEN times = 1 THEN 1 ELSE 9007199254740991 END) ORDER BY n) FROM turns));
SELECT is((SELECT sections FROM economy.accounts WHERE user_id = :u), :'before'::bytea, 'leave them, too');
SELECT is(pg_temp.findings(:u), 0::bigint, 'sound');
SELECT is(string_agg(state, ','), 'new,refused,new,refused,new,refused,refused,new', 'actions with others')
FROM economy.record_actions((SELECT jsonb_agg(jsonb_build_object('user_id', :u::bigint, 'game', format('pgtap sections %s %s', n, repeat('x', 30)), 'action_type', 'SPIN', 'action_id', key, 'bet', times, 'win', 0) ORDER BY n) FROM turns));
SELECT is((SELECT array_agg(total ORDER BY game) FROM economy.game_stats WHERE user_id = :u), '{3,1,2,1,3,1,1,2,1}'::bigint[], 'count them all');
SELECT is(pg_temp.findings(:u), 0::bigint, 'and are sound');

-- a batch takes no more memory for more of it
CREATE TEMP TABLE taken (id text, used bigint);
CREATE FUNCTION pg_temp.take() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.action_id IN ('m9', 'm299') THEN
        INSERT INTO taken SELECT NEW.action_id, sum(used_bytes) FROM pg_backend_memory_contexts WHERE name = 'economy actions';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER pgtap_take AFTER INSERT ON economy.user_actions FOR EACH ROW EXECUTE FUNCTION pg_temp.take();
SELECT is(count(*) FILTER (WHERE state = 'new'), 300::bigint, 'many actions, each written by itself')
FROM economy.record_actions((SELECT jsonb_agg(jsonb_build_object('user_id', :u::bigint, 'game', format('pgtap sections 1 %s', repeat('x', 30)), 'action_type', 'SPIN', 'action_id', 'm' || n) ORDER BY n) FROM generate_series(1, 300) n));
SELECT is((SELECT used FROM taken WHERE id = 'm299'), (SELECT used FROM taken WHERE id = 'm9'), 'take the memory of one');
DROP TRIGGER pgtap_take ON economy.user_actions;
DROP TRIGGER pgtap ON economy.user_actions;
DROP TRIGGER pgtap ON economy.shop_transactions;
DROP TRIGGER pgtap ON economy.reward_audit;

-- what no value of the view's types can be is damage, to whoever asks
CREATE FUNCTION pg_temp.game(name bytea, at bytea) RETURNS bytea LANGUAGE sql AS $$
    SELECT set_byte('\x00'::bytea, 0, octet_length(name)) || '\x0e'::bytea || name || '\x000000000000'::bytea || at $$;
CREATE FUNCTION pg_temp.section(id integer, payload bytea) RETURNS bytea LANGUAGE sql AS $$
    SELECT set_byte(set_byte(set_byte('\x00010000'::bytea, 0, id), 2, octet_length(payload) / 256), 3, octet_length(payload) % 256) || payload $$;
CREATE FUNCTION pg_temp.after(u bigint, s bytea, question text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    UPDATE economy.accounts SET sections = s WHERE user_id = u;
    BEGIN
        EXECUTE replace(question, '{u}', u::text) INTO answer;
    EXCEPTION WHEN OTHERS THEN
        answer := sqlstate;
    END;
    RAISE EXCEPTION USING ERRCODE = 'XT000';
EXCEPTION WHEN SQLSTATE 'XT000' THEN
    RETURN answer;
END
$$;
CREATE TEMP TABLE damaged AS
    SELECT 1 AS id, 'a moment after the last' AS what, pg_temp.section(1, '\x00' || pg_temp.game('slot', '\x7ffffffffffffffe')) AS s
    UNION ALL SELECT 1, 'a moment before the first', pg_temp.section(1, '\x00' || pg_temp.game('slot', '\x8000000000000001'))
    UNION ALL SELECT 1, 'no moment', pg_temp.section(1, '\x00' || pg_temp.game('slot', '\x8000000000000000'))
    UNION ALL SELECT 1, 'more games than there is room for', pg_temp.section(1, '\x00' || string_agg(pg_temp.game(lpad(g::text, 2, '0')::bytea, '\x0000000000000000'), '' ORDER BY g)) FROM generate_series(0, 99) g
    UNION ALL SELECT 0, 'a name that is no text', pg_temp.section(1, '\x00' || pg_temp.game('\xff', '\x0000000000000000'))
    UNION ALL SELECT 0, 'a name with a zero in it', pg_temp.section(1, '\x00' || pg_temp.game('\x610062', '\x0000000000000000'))
    UNION ALL SELECT 2, 'a zone that is no text', pg_temp.section(2, '\x01010102' || '\x01'::bytea || '\xff')
    UNION ALL SELECT 2, 'a date after the last', pg_temp.section(2, '\x010101' || '\xfeffffff0f'::bytea || '\x01' || 'UTC')
    UNION ALL SELECT 2, 'a date before the first', pg_temp.section(2, '\x010101' || '\xfdffffff0f'::bytea || '\x01' || 'UTC');
SELECT is(pg_temp.after(:u, s, $$SELECT (SELECT count(*) FROM economy.game_stats WHERE user_id = {u}) + (SELECT count(*) FROM economy.streaks WHERE user_id = {u}) || ' ' || economy_internal.games_sound(sections, false) || ' ' || economy_internal.streak_sound(sections) FROM economy.accounts WHERE user_id = {u}$$),
    '0 ' || (id = 2)::text || ' ' || (id <> 2)::text, what || ' is shown by no view') FROM damaged;
SELECT is(pg_temp.after(:u, s, 'SELECT economy.game_stats_me({u})'), 'XE103', what || ' stops a reader') FROM damaged WHERE id = 1;
SELECT is(pg_temp.after(:u, s, $$SELECT state FROM economy.record_action({u}, 'slot', 'T', 'x')$$), 'XE103', what || ' stops an action') FROM damaged WHERE id = 1;
SELECT is(pg_temp.after(:u, s, 'SELECT state FROM economy.set_streak({u}, 0, NULL, ''r'', ''a'')'), 'XE103', what || ' stops a correction') FROM damaged WHERE id = 2;
SELECT throws_ok(call, 'XE002', message, call)
FROM (VALUES ('SELECT economy_internal.with_game(NULL, ''a'', 1, 1, 1, 1, 1, 1, ''infinity'')', 'last_action_at must be finite'), ('SELECT economy_internal.with_game(NULL, ''a'', 1, 1, 1, 1, 1, 1, ''-infinity'')', 'last_action_at must be finite'),
    ('SELECT economy_internal.with_streak(NULL, 1, 1, ''infinity'', NULL, NULL, NULL, 1, ''UTC'')', 'dates of a streak must be finite'), ('SELECT economy_internal.with_streak(NULL, 1, 1, ''2031-01-01'', NULL, NULL, ''-infinity'', 1, ''UTC'')', 'dates of a streak must be finite')) v (call, message);

-- the zone of a streak comes from a table, where anything may stand
CREATE FUNCTION pg_temp.claims(u bigint, zone text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    UPDATE economy.users SET timezone = zone WHERE user_id = u;
    RETURN (SELECT state FROM economy.claim_daily_reward(u));
EXCEPTION WHEN OTHERS THEN
    RETURN sqlstate;
END
$$;
SELECT economy.register('pgtap sections, another') AS v \gset
SELECT is(pg_temp.claims(:v, ''), 'XE103', 'no claim with a zone without a byte');
SELECT is(pg_temp.claims(:v, repeat('z', 256)), 'XE103', 'nor with one longer than any');
SELECT is(pg_temp.claims(:v, repeat('z', 100000)), 'XE103', 'or much longer');
SELECT is(pg_temp.claims(:v, repeat('z', 255)), 'new', 'an unknown one is UTC');
SELECT is((SELECT timezone FROM economy.streaks WHERE user_id = :v), repeat('z', 255), 'and kept');
-- the views go by the account, also of users that a join finds, once there are many
SET LOCAL enable_seqscan = off;
UPDATE pg_catalog.pg_class SET reltuples = 1000000, relpages = 1 WHERE oid IN ('economy.accounts'::regclass, 'economy_internal.game_stats_more'::regclass);
CREATE FUNCTION pg_temp.plan_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    line text;
    plan text := '';
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
        plan := plan || line || E'\n';
    END LOOP;
    RETURN plan;
END
$$;
SELECT matches(pg_temp.plan_of(format('SELECT s.* FROM economy.users u JOIN economy.%s s USING (user_id) WHERE u.external_id = ''pgtap sections''', v)),
    'Index Scan using accounts_pkey on accounts a\n *Index Cond: \(user_id = u\.user_id\)', format('%s of a user', v)) FROM unnest('{game_stats,streaks}'::text[]) v;
SELECT matches(pg_temp.plan_of('SELECT s.* FROM economy.users u JOIN economy.game_stats s USING (user_id) WHERE u.external_id = ''pgtap sections'''),
    'Index Cond: \(user_id = a\.user_id\)', 'and what the account has no room for');
SELECT finish();
ROLLBACK;
