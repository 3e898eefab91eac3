-- record_actions() answers what record_action() would, one after the other: random batches, made
-- singly and taken back, then as objects and taken back, then as arrays.
BEGIN;
SELECT plan(8);
CREATE TEMP TABLE who AS SELECT n, economy.register('pgtap model ' || n) AS u FROM generate_series(1, 6) n;
SELECT count(*) AS x FROM who, economy.adjust_gold(u, 50, 'open', 'pgtap', 'pgtap') \gset
INSERT INTO who VALUES (7, 9000000000000);
-- more than there is room for in an account
SELECT count(*) AS x FROM generate_series(1, 40) n, economy.register_game('pgtap a long name of a game that fills an account ' || n) \gset
CREATE FUNCTION pg_temp.differences(rounds integer, seed double precision, names integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    users bigint[] := ARRAY(SELECT u FROM who ORDER BY n);
    us    bigint[];
    gs    text[];
    ts    text[];
    ids   text[];
    bs    bigint[];
    ws    bigint[];
    os    text[];
    one   text[];
    objs  text[];
    many  text[];
    made  bigint := 0;
BEGIN
    PERFORM setseed(seed);
    FOR i IN 1 .. rounds LOOP
        SELECT array_agg(users[1 + floor(random() * 7)::integer]),
               array_agg(CASE floor(random() * 8) WHEN 0 THEN 'pgtap none' WHEN 1 THEN 'rps'
                   WHEN 2 THEN 'pgtap a long name of a game that fills an account ' || 1 + floor(random() * names)::integer ELSE 'slot' END),
               array_agg(CASE WHEN random() < 0.05 THEN 'T2' ELSE 'T' END), array_agg('i' || floor(random() * (20 + i))::integer),
               array_agg((random() * 10)::bigint), array_agg((random() * 9)::bigint), array_agg(CASE WHEN random() < 0.05 THEN 'draw' END)
            INTO us, gs, ts, ids, bs, ws, os FROM generate_series(1, 1 + floor(random() * random() * 80)::integer);
        BEGIN
            one := '{}';
            FOR j IN 1 .. cardinality(us) LOOP
                one := one || economy.record_action(us[j], gs[j], ts[j], ids[j], bs[j], ws[j], os[j])::text;
            END LOOP;
            RAISE EXCEPTION USING ERRCODE = 'P0099';
        EXCEPTION WHEN SQLSTATE 'P0099' THEN
        END;
        BEGIN
            objs := ARRAY(SELECT r::text FROM economy.record_actions((
                SELECT jsonb_agg(jsonb_build_object('user_id', us[j], 'game', gs[j], 'action_type', ts[j], 'action_id', ids[j], 'bet', bs[j], 'win', ws[j], 'outcome', os[j]) ORDER BY j)
                FROM generate_series(1, cardinality(us)) j)) r);
            RAISE EXCEPTION USING ERRCODE = 'P0099';
        EXCEPTION WHEN SQLSTATE 'P0099' THEN
        END;
        many := ARRAY(SELECT r::text FROM economy.record_actions(us, gs, ts, ids, bs, ws, os) r);
        IF one IS DISTINCT FROM many OR objs IS DISTINCT FROM many THEN
            RETURN format(E'round %s\nsingly  %s\nobjects %s\narrays  %s', i, one, objs, many);
        END IF;
        made := made + (SELECT count(*) FROM unnest(many) m WHERE m LIKE '%,new,%');
        IF i % 20 = 0 THEN
            PERFORM economy.set_user_status(users[6], CASE WHEN i % 40 = 0 THEN 'suspended' ELSE 'active' END, 'pgtap');
        END IF;
    END LOOP;
    RETURN CASE WHEN made < rounds THEN made || ' new ones' END;
END $$;
SELECT is(pg_temp.differences(100, 0.1, 3), NULL, 'few games');
SELECT is(pg_temp.differences(60, 0.2, 40), NULL, 'more games than an account has room for');
SAVEPOINT s;
CREATE FUNCTION pg_temp.nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER pgtap AFTER INSERT ON economy.user_actions FOR EACH ROW EXECUTE FUNCTION pg_temp.nothing();
SELECT is(pg_temp.differences(40, 0.3, 40), NULL, 'entry by entry, where the app has a trigger');
SELECT is_empty('SELECT * FROM economy.stats_parity()', 'the statistics are those of the entries');
ROLLBACK TO s;
SET LOCAL economy.row_access = sql;
SELECT is(pg_temp.differences(30, 0.4, 40), NULL, 'by SQL');
RESET economy.row_access;
SELECT is(pg_temp.differences(60, 0.5, 10), NULL, 'and the direct way again');
SELECT is_empty('SELECT v.* FROM who w, economy.verify_chain(w.u) v WHERE w.n < 7', 'all chains are clean');
SELECT is_empty('SELECT * FROM economy.stats_parity()', 'and all statistics right');
SELECT * FROM finish();
ROLLBACK;
