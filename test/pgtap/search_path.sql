-- Whatever lies in the caller's search_path or temporary schema, the functions
-- do what they do.
BEGIN;
SELECT plan(29);

CREATE ROLE pgtap_evil;
SELECT economy.grant_access('pgtap_evil', 'admin') AS x \gset
SELECT economy.register('pgtap victim') AS u \gset
SELECT economy.upsert_product('{"product_id": "pgtap_v", "category": "item", "price_gold": 10}', 'pgtap') IS NULL AS x \gset
SELECT economy.add_stock('pgtap_v', 50, 'pgtap', 4) AS x \gset
SELECT success AS x FROM economy.adjust_gold(:u, 1000, 'open', 'r', 'a') \gset
CREATE TEMP TABLE answer (n int GENERATED ALWAYS AS IDENTITY, what text, given text);
GRANT ALL ON answer TO pgtap_evil;

-- operators, functions, casts by function, types and tables that raise or lie
CREATE SCHEMA pgtap_evil_schema AUTHORIZATION pgtap_evil;
SET LOCAL ROLE pgtap_evil;
CREATE FUNCTION pgtap_evil_schema.caught() RETURNS boolean LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'code of the caller runs as %', current_user USING ERRCODE = 'XT666'; END $$;
DO $$
DECLARE
    op    text;
    types text[];
BEGIN
    FOREACH types SLICE 1 IN ARRAY ARRAY[['bigint', 'bigint'], ['integer', 'integer'], ['bigint', 'integer'], ['integer', 'bigint'], ['text', 'text'],
            ['smallint', 'integer'], ['smallint', 'bigint'], ['smallint', 'smallint'], ['jsonb', 'jsonb'], ['bytea', 'bytea'], ['boolean', 'boolean'],
            ['timestamptz', 'timestamptz'], ['name', 'name'], ['oid', 'oid'], ['jsonb', 'text'], ['numeric', 'numeric'], ['date', 'date']] LOOP
        EXECUTE format('CREATE FUNCTION pgtap_evil_schema.op(a %s, b %s) RETURNS boolean LANGUAGE sql AS ''SELECT pgtap_evil_schema.caught()''', types[1], types[2]);
        FOREACH op IN ARRAY ARRAY['=', '<>', '<', '<=', '>', '>=', '+', '-', '/', '%', '||', '->>', '~', '*'] LOOP
            EXECUTE format('CREATE OPERATOR pgtap_evil_schema.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = pgtap_evil_schema.op)', op, types[1], types[2]);
        END LOOP;
    END LOOP;
END
$$;
CREATE FUNCTION pgtap_evil_schema.octet_length(text) RETURNS int LANGUAGE sql AS 'SELECT pgtap_evil_schema.caught()::int';
CREATE FUNCTION pgtap_evil_schema.octet_length(bytea) RETURNS int LANGUAGE sql AS 'SELECT pgtap_evil_schema.caught()::int';
CREATE FUNCTION pgtap_evil_schema.jsonb_typeof(jsonb) RETURNS text LANGUAGE sql AS 'SELECT pgtap_evil_schema.caught()::text';
CREATE FUNCTION pgtap_evil_schema.abs(bigint) RETURNS bigint LANGUAGE sql AS 'SELECT pgtap_evil_schema.caught()::int';
CREATE FUNCTION pgtap_evil_schema.to_jsonb(anyelement) RETURNS jsonb LANGUAGE sql AS 'SELECT pgtap_evil_schema.caught()::text::jsonb';
CREATE FUNCTION pgtap_evil_schema.format(text, text) RETURNS text LANGUAGE sql AS 'SELECT pgtap_evil_schema.caught()::text';
CREATE FUNCTION pgtap_evil_schema.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT pgtap_evil_schema.caught()::text::timestamptz';
CREATE FUNCTION pgtap_evil_schema.sum(bigint) RETURNS bigint LANGUAGE sql AS 'SELECT pgtap_evil_schema.caught()::int';
CREATE FUNCTION pgtap_evil_schema.pg_advisory_xact_lock(bigint) RETURNS void LANGUAGE sql AS 'SELECT pgtap_evil_schema.caught()';
CREATE TABLE pgtap_evil_schema.accounts (user_id bigint, gold bigint DEFAULT 1000000);
CREATE TABLE pgtap_evil_schema.pg_roles (rolname name);
INSERT INTO pgtap_evil_schema.accounts VALUES (:u);
CREATE DOMAIN pgtap_evil_schema.bigint AS pg_catalog.int4 CHECK (VALUE < 0);
-- the same names in the temporary schema
CREATE TEMP TABLE accounts (user_id bigint, seq bigint, gold bigint, experience_points bigint, suspended boolean, streak_freezes int, head_hash bytea);
INSERT INTO accounts VALUES (:u, 0, 1000000, 0, false, 0, decode(repeat('00', 32), 'hex'));
CREATE TEMP TABLE users (user_id bigint, external_id text, timezone text, profile jsonb, created_at timestamptz);
INSERT INTO users VALUES (-666, 'pgtap victim', 'UTC', '{}', pg_catalog.now());
CREATE TEMP TABLE shop_products (product_id text, price_gold bigint);
CREATE TEMP TABLE shop_stock (product_id text, slot smallint, remaining bigint);
CREATE TEMP TABLE shop_transactions (LIKE accounts);
CREATE TEMP TABLE gold_adjustments (LIKE accounts);
CREATE TEMP TABLE reward_audit (LIKE accounts);
CREATE TEMP TABLE config_changes (relation text);
CREATE TEMP TABLE user_changes (LIKE accounts);
CREATE TEMP TABLE signing_keys (version int, state text, material bytea, created_at timestamptz);
INSERT INTO signing_keys VALUES (666, 'active', decode(repeat('00', 32), 'hex'), pg_catalog.now());
CREATE TEMP TABLE ledger (user_id bigint);
CREATE TEMP TABLE pg_roles (rolname name);
CREATE TEMP TABLE pg_class (oid oid, relname name);

-- everything an app or admin does, in a path with all that in front; the
-- answers go into a table, because pgTAP itself would fall for it
CREATE FUNCTION pg_temp.note(what text, given text) RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp AS
    'INSERT INTO pg_temp.answer (what, given) VALUES (what, given)';
SET LOCAL search_path = pg_temp, pgtap_evil_schema, pg_catalog, economy;
DO $do$
DECLARE
    call text;
    note text;
BEGIN
    FOREACH call IN ARRAY ARRAY[
        $$SELECT user_id_of('pgtap victim') OPERATOR(pg_catalog.=) {u}$$,
        $$SELECT register('pgtap victim') OPERATOR(pg_catalog.=) {u}$$,
        $$SELECT register('pgtap evil new') OPERATOR(pg_catalog.>) 0$$,
        $$SELECT p.code OPERATOR(pg_catalog.||) p.gold OPERATOR(pg_catalog.||) ' ' OPERATOR(pg_catalog.||) p.stock_remaining FROM purchase({u}, 'pgtap_v', 'k1', 2) p$$,
        $$SELECT p.state OPERATOR(pg_catalog.||) p.gold FROM purchase({u}, 'pgtap_v', 'k1', 2) p$$,
        $$SELECT p.code OPERATOR(pg_catalog.||) p.gold FROM purchase({u}, 'pgtap_v', 'k2', 40, '{"expected_price": 10}') p$$,
        $$SELECT p.code FROM purchase({u}, 'pgtap_v', 'k3', 9) p$$,
        $$SELECT p.code OPERATOR(pg_catalog.||) p.gold FROM adjust_gold({u}, 5, 'a', 'r', 'a') p$$,
        $$SELECT p.code OPERATOR(pg_catalog.||) p.gold FROM grant_reward({u}, 'pgtap', 'e', 5, 600) p$$,
        $$SELECT p.code OPERATOR(pg_catalog.||) p.streak_day FROM claim_daily_reward({u}) p$$,
        $$SELECT v.reason FROM verify_receipt({u}, 'P{u}-2') v$$,
        $$SELECT r.gold FROM receipt({u}, 'P{u}-2') r$$,
        $$SELECT a.seq OPERATOR(pg_catalog.||) ' ' OPERATOR(pg_catalog.||) a.level FROM account({u}) a$$,
        $$SELECT pg_catalog.count(*) FROM statement({u}) s$$,
        $$SELECT pg_catalog.count(*) FROM verify_chain({u}) v$$,
        $$SELECT pg_catalog.count(*) FROM audit_sweep() v WHERE v.user_id OPERATOR(pg_catalog.=) {u}$$,
        $$SELECT set_timezone({u}, 'asia/tokyo')$$,
        $$SELECT set_user_status({u}, 'active', 'a')$$,
        $$SELECT u.price_gold FROM upsert_product('{"product_id": "pgtap_v", "price_gold": 11}', 'a') u$$,
        $$SELECT add_stock('pgtap_v', 5, 'a')$$,
        $$SELECT p.active FROM retire_product('pgtap_v', 'a') p$$,
        $$SELECT rotate_signing_key() OPERATOR(pg_catalog.<) 666$$,
        $$SELECT r.gold FROM streak_reward(2) r$$,
        $$SELECT l.level FROM level_of({u}, 600) l$$] LOOP
        call := pg_catalog.replace(call, '{u}', (SELECT user_id_of('pgtap victim'))::text);
        BEGIN
            EXECUTE call INTO note;
        EXCEPTION WHEN OTHERS THEN
            note := pg_catalog.concat(sqlstate, ' ', sqlerrm);
        END;
        PERFORM pg_temp.note(call, note);
    END LOOP;
END
$do$;
RESET ROLE;
RESET search_path;

SELECT is(a.given, e.expected, replace(a.what, :'u', 'U'))
FROM (SELECT row_number() OVER (ORDER BY n) AS n, what, given FROM answer) a
FULL JOIN unnest(ARRAY['true', 'true', 'true', 'OK980 48', 'reuse980', 'OK580', 'SOLD_OUT', 'OK585', 'OK590', 'CLAIMED1', 'OK', '980', '6 2', '6', '0', '0',
    'Asia/Tokyo', 'active', '11', '13', 'false', 'true', '1200', '2']) WITH ORDINALITY e (expected, n) USING (n) ORDER BY n;
SELECT is((SELECT count(*) FROM pg_temp.shop_transactions) + (SELECT count(*) FROM pg_temp.gold_adjustments) + (SELECT count(*) FROM pg_temp.reward_audit)
        + (SELECT count(*) FROM pg_temp.config_changes) + (SELECT count(*) FROM pg_temp.user_changes), 0::bigint, 'nothing went into the false tables');
SELECT is((SELECT gold FROM economy.accounts a WHERE a.user_id = :u), 1590::bigint, 'the account has what the calls did');
SELECT is((SELECT count(*) FROM economy.shop_transactions t WHERE t.user_id = :u AND t.receipt_signature_version = 666), 0::bigint, 'the false key signed nothing');

-- the attack would have worked on code without a pinned path
SET LOCAL ROLE pgtap_evil;
SET LOCAL search_path = pg_temp, pgtap_evil_schema, pg_catalog, economy;
SELECT gold AS false_gold FROM accounts \gset
DO $$
BEGIN
    PERFORM 1::pg_catalog.int8 = 1::pg_catalog.int8;
EXCEPTION WHEN SQLSTATE 'XT666' THEN
    PERFORM pg_temp.note('evil', 'caught');
END
$$;
RESET ROLE;
RESET search_path;
SELECT is(:false_gold, 1000000, 'the false table is what an unqualified name finds');
SELECT is((SELECT given FROM answer WHERE what = 'evil'), 'caught', 'the false operator is what an unqualified operator finds');

SELECT * FROM finish();
ROLLBACK;
