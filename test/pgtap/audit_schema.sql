-- audit_schema() finds whatever is not as it was installed. Each damage is undone.
BEGIN;
SELECT plan(CASE WHEN economy_internal.is_spread('economy.user_actions') THEN 82 ELSE 84 END);
SET LOCAL client_min_messages = warning;
CREATE ROLE pgtap_stranger;
CREATE ROLE pgtap_app;
SELECT economy.grant_access('pgtap_app', 'app') \g /dev/null

SELECT is((SELECT string_agg(f::text, E'\n') FROM economy.audit_schema() f), NULL, 'what was installed is clean');

CREATE FUNCTION pg_temp.found_after(damage text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    BEGIN
        EXECUTE damage;
        SELECT string_agg(format('%s | %s', f.expected, f.actual), E'\n' ORDER BY f.expected COLLATE "C") INTO answer FROM economy.audit_schema() f WHERE f.kind = 'wrong_schema';
        RAISE EXCEPTION USING ERRCODE = 'XT000';
    EXCEPTION WHEN SQLSTATE 'XT000' THEN
        RETURN answer;
    END;
END
$$;
SELECT matches(pg_temp.found_after(damage), finding, damage) FROM (VALUES
    ('ALTER TABLE economy.user_actions DISABLE TRIGGER ALL; ALTER TABLE economy.user_actions ENABLE TRIGGER ALL', E'trigger .* of user_actions: .*, always \\| .*, not always'),
    ('ALTER TABLE economy.reward_audit DISABLE TRIGGER ALL', E'trigger .* of reward_audit: .*, always \\| .*, disabled'),
    ('SET LOCAL economy.allow_drop = on; DROP TRIGGER ' || (SELECT quote_ident(min(tgname)) FROM pg_trigger WHERE tgrelid = 'economy.gold_adjustments'::regclass) || ' ON economy.gold_adjustments', E'trigger .* of gold_adjustments: .*, always \\| none'),
    ('ALTER EVENT TRIGGER economy_guard_drop DISABLE', E'event trigger economy_guard_drop: always \\| disabled'),
    ('ALTER EVENT TRIGGER economy_guard_drop ENABLE', E'event trigger economy_guard_drop: always \\| not always'),
    ('ALTER TABLE economy.accounts DROP CONSTRAINT accounts_gold_check', E'constraint accounts_gold_check of accounts: CHECK .* \\| none'),
    ('ALTER TABLE economy.accounts DROP CONSTRAINT accounts_gold_check, ADD CONSTRAINT accounts_gold_check CHECK (gold > -5)', E'constraint accounts_gold_check of accounts: CHECK .* \\| CHECK gold > .*5'),
    ('ALTER TABLE economy.gold_adjustments DROP CONSTRAINT gold_adjustments_key', E'constraint gold_adjustments_key of gold_adjustments: UNIQUE .* \\| none'),
    ('DROP INDEX economy.shop_transactions_key', E'index economy\\.shop_transactions_key of shop_transactions: valid \\| none'),
    ('ALTER TABLE economy.accounts ALTER COLUMN gold DROP NOT NULL', E'column accounts\\.gold: bigint NOT NULL \\| bigint'),
    ('ALTER TABLE economy.games SET UNLOGGED', E'table economy\\.games: of the extension \\| unlogged'),
    ('ALTER TABLE economy.users REPLICA IDENTITY NOTHING', E'table economy\\.users: of the extension \\| of the extension, without replica identity'),
    ('SET LOCAL economy.allow_drop = on; ALTER TABLE economy.shop_transactions RENAME TO shop_transactions_2025; CREATE TABLE economy.shop_transactions (LIKE economy.shop_transactions_2025 INCLUDING ALL)',
        E'table economy\\.shop_transactions: of the extension \\| none'),
    ('SET LOCAL economy.allow_drop = on; ALTER TABLE economy.accounts SET SCHEMA public', E'table economy\\.accounts: of the extension \\| none'),
    ('ALTER EXTENSION economy DROP SCHEMA economy', E'^schema economy: of the extension \\| none$'),
    ('ALTER EXTENSION economy DROP SCHEMA economy_internal', E'^schema economy_internal: of the extension \\| none$'),
    ('ALTER EXTENSION economy DROP TYPE economy.finding', E'^type economy\\.finding: of the extension, .* \\| none$'),
    ('ALTER TYPE economy.grant_result ALTER ATTRIBUTE gold TYPE text', E'^type economy\\.grant_result: of the extension, .* gold bigint, .* \\| of the extension, .* gold text, .*$'),
    ('ALTER TYPE economy.claim_result DROP ATTRIBUTE success', E'^type economy\\.claim_result: of the extension, success .* \\| of the extension, state .*$'),
    ('ALTER TYPE economy.grant_result RENAME TO other', E'^type economy\\.grant_result: .* \\| none$'),
    ('ALTER EXTENSION economy DROP TABLE economy.user_segments', E'table economy\\.user_segments: of the extension \\| none'),
    ('ALTER EXTENSION economy DROP VIEW economy.streaks', E'view economy\\.streaks: of the extension \\| none'),
    ('CREATE TABLE public.actions_below () INHERITS (economy.user_actions)', E'table public\\.actions_below: guarded as economy\\.user_actions, whose entries it holds \\| not always guarded'),
    ('ALTER FUNCTION economy.purchase(bigint, text, text, integer, jsonb, boolean) SECURITY DEFINER', E'function economy\\.purchase\\(.*\\): as installed \\| another'),
    ('ALTER FUNCTION economy.upsert_product(jsonb, text) RESET search_path', E'function economy\\.upsert_product\\(.*\\): as installed \\| another'),
    ('CREATE OR REPLACE FUNCTION economy_internal.audit_shop() RETURNS SETOF economy.finding LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, economy, pg_temp BEGIN ATOMIC SELECT NULL::bigint, ''a'', ''a'', ''a'', ''a'', 0::bigint WHERE false; END',
        E'^body of function economy_internal\\.audit_shop\\(\\), system \\d+: as installed \\| another$'),
    ('DO $do$ BEGIN EXECUTE format(''CREATE OR REPLACE VIEW economy.ledger AS SELECT * FROM (%s) l WHERE l.user_id <> 2'', rtrim(pg_get_viewdef(''economy.ledger''::regclass), '';'')); END $do$',
        E'^body of view economy\\.ledger, system \\d+: as installed \\| another$'),
    ('ALTER TABLE economy.users ALTER COLUMN user_id SET DEFAULT 7', E'^body of default of users\\.user_id, system \\d+: as installed \\| another$'),
    ('ALTER TABLE economy.accounts ALTER COLUMN seq DROP DEFAULT', E'^body of default of accounts\\.seq, system \\d+: as installed \\| none$'),
    ('GRANT INSERT ON economy.accounts TO pgtap_stranger', E'table economy\\.accounts: not for pgtap_stranger \\| INSERT'),
    ('GRANT UPDATE (gold) ON economy.accounts TO pgtap_app', E'column economy\\.accounts\\.gold: not for pgtap_app \\| UPDATE'),
    ('GRANT SELECT ON economy.accounts TO PUBLIC', E'table economy\\.accounts: not for PUBLIC \\| SELECT'),
    ('GRANT USAGE ON SEQUENCE economy.user_id_seq TO pgtap_app', E'sequence economy\\.user_id_seq: not for pgtap_app \\| USAGE'),
    ('GRANT CREATE ON SCHEMA economy TO pgtap_app', E'schema economy: not for pgtap_app \\| CREATE'),
    ('GRANT EXECUTE ON FUNCTION economy_internal.prune_stream(bigint, bigint) TO pgtap_app', E'function economy_internal\\.prune_stream\\(.*\\): not for pgtap_app \\| EXECUTE'),
    ('ALTER TABLE economy.accounts OWNER TO pgtap_stranger', E'^table economy\\.accounts: owned as the schema \\| pgtap_stranger$'),
    ('ALTER FUNCTION economy.audit_step(integer) OWNER TO pgtap_stranger', E'^function economy\\.audit_step\\(.*\\): owned as the schema \\| pgtap_stranger$'),
    ('ALTER VIEW economy.ledger OWNER TO pgtap_stranger', E'^view economy\\.ledger: owned as the schema \\| pgtap_stranger$'),
    ('ALTER SEQUENCE economy.user_id_seq OWNER TO pgtap_stranger', E'^sequence economy\\.user_id_seq: owned as the schema \\| pgtap_stranger$'),
    ('CREATE RULE quiet AS ON INSERT TO economy.audit_findings DO INSTEAD NOTHING', E'^table economy\\.audit_findings: without rules \\| quiet$'),
    ('ALTER TABLE economy.accounts ENABLE ROW LEVEL SECURITY', E'^table economy\\.accounts: without row security \\| enabled$'),
    ('ALTER TABLE economy.accounts FORCE ROW LEVEL SECURITY', E'^table economy\\.accounts: without row security \\| forced$'),
    ('CREATE POLICY mine ON economy.accounts USING (user_id = 1)', E'^table economy\\.accounts: without policies \\| mine$'),
    ('ALTER FUNCTION economy.upsert_product(jsonb, text) SET TimeZone = ''Asia/Tokyo''', E'^function economy\\.upsert_product\\(.*\\): as installed \\| another$'),
    ('ALTER FUNCTION economy_internal.audit_shop() SET row_security = off', E'^function economy_internal\\.audit_shop\\(\\): as installed \\| another$'),
    ('ALTER SEQUENCE economy.user_id_seq CYCLE MAXVALUE 1000000000', E'^sequence economy\\.user_id_seq: of the extension, from 1 by 1, 1 to .*, cache 1 \\| of the extension, from 1 by 1, 1 to 1000000000, cache 1, cycle$'),
    ('ALTER SEQUENCE economy.user_id_seq INCREMENT 2 CACHE 10', E'^sequence economy\\.user_id_seq: .* \\| of the extension, from 1 by 2, 1 to .*, cache 10$'),
    ('ALTER VIEW economy.ledger SET (security_invoker = true)', E'^view economy\\.ledger: of the extension \\| of the extension, security_invoker=true$'),
    ('ALTER VIEW economy.ledger SET (security_barrier = true)', E'^view economy\\.ledger: of the extension \\| of the extension, security_barrier=true$'),
    ('ALTER TABLE economy.user_actions ENABLE REPLICA TRIGGER user_actions_append_only', E'^trigger user_actions_append_only of user_actions: .*, always \\| .*, on a replica only$'),
    ('GRANT EXECUTE ON FUNCTION economy.account(bigint) TO pgtap_app WITH GRANT OPTION', E'^function economy\\.account\\(.*\\): not to be passed on by pgtap_app \\| EXECUTE$'),
    ('GRANT SELECT ON economy.accounts TO pgtap_app WITH GRANT OPTION', E'^table economy\\.accounts: not to be passed on by pgtap_app \\| SELECT$'),
    ('GRANT USAGE ON SCHEMA economy TO pgtap_app WITH GRANT OPTION', E'^schema economy: not to be passed on by pgtap_app \\| USAGE$'),
    ('ALTER DEFAULT PRIVILEGES IN SCHEMA economy GRANT SELECT ON TABLES TO pgtap_app', E'^new objects in schema economy: for their owner \\| SELECT for pgtap_app$'),
    ('UPDATE pg_index SET indisvalid = false WHERE indexrelid = ''economy.job_runs_job_idx''::regclass', E'^index economy\\.job_runs_job_idx of job_runs: valid \\| invalid$'),
    ('UPDATE pg_index SET indisready = false WHERE indexrelid = ''economy.job_runs_job_idx''::regclass', E'^index economy\\.job_runs_job_idx of job_runs: valid \\| invalid$'),
    ('DROP INDEX economy.job_runs_job_idx', E'^index economy\\.job_runs_job_idx of job_runs: valid \\| none$'),
    ('DROP INDEX economy.job_runs_running_key; CREATE INDEX job_runs_running_key ON economy.job_runs (job) WHERE state = ''running''', E'^index economy\\.job_runs_running_key of job_runs: valid, unique \\| valid$'),
    ('ALTER TABLE economy.job_runs DROP CONSTRAINT job_runs_pkey', E'constraint job_runs_pkey of job_runs: PRIMARY KEY run_id \\| none'),
    ('ALTER FUNCTION economy.upsert_product(jsonb, text) STABLE', E'^function economy\\.upsert_product\\(.*\\): as installed \\| another$'),
    ('ALTER FUNCTION economy.upsert_product(jsonb, text) PARALLEL SAFE', E'^function economy\\.upsert_product\\(.*\\): as installed \\| another$'),
    ('ALTER FUNCTION economy.upsert_product(jsonb, text) STRICT', E'^function economy\\.upsert_product\\(.*\\): as installed \\| another$'),
    ('UPDATE pg_proc SET prosrc = prosrc || '' '' WHERE oid = ''economy.upsert_product(jsonb, text)''::regprocedure', E'^function economy\\.upsert_product\\(.*\\): as installed \\| another$'),
    ('UPDATE pg_proc SET probin = ''x'' WHERE oid = ''economy.account(bigint)''::regprocedure', E'^function economy\\.account\\(.*\\): as installed \\| another$'),
    ('ALTER TABLE economy.config_changes DISABLE TRIGGER ALL', E'^trigger config_changes_append_only of config_changes: .*, always \\| .*, disabled$'),
    ('CREATE TABLE public.actions_below () INHERITS (economy.user_actions); CREATE TRIGGER guard BEFORE DELETE ON public.actions_below FOR EACH STATEMENT EXECUTE FUNCTION economy_internal.forbid_change()', E'table public\\.actions_below: guarded as economy\\.user_actions, whose entries it holds \\| not always guarded'),
    ('GRANT SELECT (gold) ON economy.accounts TO PUBLIC', E'^column economy\\.accounts\\.gold: not for PUBLIC \\| SELECT$'),
    ('GRANT SELECT (gold) ON economy.accounts TO pgtap_app WITH GRANT OPTION', E'^column accounts\\.gold: not to be passed on by pgtap_app \\| SELECT$'),
    ('GRANT INSERT ON economy.ledger TO pgtap_stranger', E'^table economy\\.ledger: not for pgtap_stranger \\| INSERT$'),
    ('GRANT UPDATE ON SEQUENCE economy.user_id_seq TO pgtap_app', E'^sequence economy\\.user_id_seq: not for pgtap_app \\| UPDATE$'),
    ('GRANT USAGE ON SCHEMA economy TO PUBLIC', E'^schema economy: not for PUBLIC \\| USAGE$'),
    ('ALTER DEFAULT PRIVILEGES IN SCHEMA economy_internal GRANT SELECT ON TABLES TO PUBLIC', E'^new objects in schema economy_internal: for their owner \\| SELECT for PUBLIC$'),
    ('GRANT EXECUTE ON FUNCTION economy.account(bigint) TO PUBLIC', E'function economy\\.account\\(.*\\): not for PUBLIC \\| EXECUTE')) v (damage, finding)
WHERE finding IS NOT NULL AND NOT (damage LIKE '%INHERITS%' AND economy_internal.is_spread('economy.user_actions'));

SELECT is(pg_temp.found_after(change), NULL, 'no finding: ' || change) FROM (VALUES
    ('CREATE INDEX ON economy.shop_transactions (created_at)'),
    ('ALTER TABLE economy.users ADD COLUMN country text, ADD CONSTRAINT country CHECK (country <> '''')'),
    -- names that the bodies of views and functions use for something else
    ('DO $do$ DECLARE t regclass; BEGIN FOR t IN SELECT oid FROM pg_class WHERE relnamespace IN (''economy''::regnamespace, ''economy_internal''::regnamespace) AND relkind IN (''r'', ''p'') AND NOT relispartition LOOP EXECUTE format(''ALTER TABLE %s ADD COLUMN IF NOT EXISTS column1 text, ADD COLUMN IF NOT EXISTS r integer, ADD COLUMN IF NOT EXISTS c text, ADD COLUMN IF NOT EXISTS n text, ADD COLUMN IF NOT EXISTS finding bytea'', t); END LOOP; END $do$'),
    ('SET LOCAL DateStyle = ''German''; SET LOCAL TimeZone = ''Pacific/Chatham''; SET LOCAL bytea_output = escape; SET LOCAL extra_float_digits = -15; SET LOCAL IntervalStyle = iso_8601'),
    ('SET LOCAL standard_conforming_strings = off'),
    -- what a level may call may be given to a role by itself
    ('GRANT EXECUTE ON FUNCTION economy.adjust_gold(bigint, bigint, text, text, text) TO pgtap_stranger'),
    -- as pg_upgrade makes them, when they were made under other settings
    ('SET LOCAL quote_all_identifiers = on; ALTER FUNCTION economy.upsert_product(jsonb, text) SET search_path = pg_catalog, economy, pg_temp'),
    ('ALTER FUNCTION economy.upsert_product(jsonb, text) SET work_mem = ''1GB''; GRANT SELECT ON economy.shop_transactions TO pgtap_stranger; ALTER TABLE economy.users REPLICA IDENTITY FULL')) v (change);
SELECT is((SELECT string_agg(f::text, E'\n') FROM economy.audit_schema() f), NULL, 'all of it was undone');
-- what the snapshot says of an index goes with the name that it had then: one that was built
-- concurrently gets the other's name beside a sweep
CREATE FUNCTION pg_temp.renames() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    ALTER INDEX economy.shop_products_pkey RENAME TO pgtap_other;
    RETURN true;
END
$$;
CREATE FUNCTION pg_temp.sees(beside boolean) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT string_agg(d.object, ', ') FROM economy_internal.schema_description() d WHERE d.object LIKE 'index % of shop_products');
END
$$;
SAVEPOINT names;
SELECT is(pg_temp.sees(pg_temp.renames()), 'index economy.shop_products_pkey of shop_products', 'an index has the name that the snapshot sees');
ROLLBACK TO names;

SELECT * FROM finish();
ROLLBACK;
