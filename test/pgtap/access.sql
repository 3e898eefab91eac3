-- Access levels, tested as roles that have them.
BEGIN;
SELECT plan(58);

CREATE ROLE pgtap_nobody;
CREATE ROLE pgtap_app;
CREATE ROLE pgtap_admin;
CREATE ROLE pgtap_monitor;
CREATE ROLE pgtap_operator;
SELECT economy.grant_access('pgtap_app', 'app') AS x \gset
SELECT economy.grant_access('pgtap_admin', 'admin') AS x \gset
SELECT economy.grant_access('pgtap_monitor', 'monitor') AS x \gset
SELECT economy.grant_access('pgtap_operator', 'operator') AS x \gset

SELECT economy.register('pgtap access') AS u \gset
SELECT economy.upsert_product('{"product_id": "pgtap_x", "category": "item", "price_gold": 1}', 'pgtap') IS NULL AS x \gset
SELECT economy.add_stock('pgtap_x', 9, 'pgtap') AS x \gset
SELECT success AS x FROM economy.adjust_gold(:u, 100, 'open', 'r', 'a') \gset

-- what the catalogue says
CREATE TEMP TABLE function AS
    SELECT p.oid, p.oid::regprocedure::text AS name, p.prorettype IN ('trigger'::regtype, 'event_trigger'::regtype) OR 'internal'::regtype = ANY (p.proargtypes) AS is_trigger, p.proargtypes AS types
    FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
    JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'economy';
CREATE TEMP TABLE relation AS
    SELECT c.oid, c.oid::regclass::text AS name, c.relkind FROM pg_class c
    WHERE c.relnamespace IN ('economy'::regnamespace, 'economy_internal'::regnamespace) AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f');
-- read once: the name of a function is looked up at each cast
CREATE TEMP TABLE listed AS
    SELECT substring(a.object FROM '^[A-Z]+ (.*)')::regprocedure AS oid, a.level FROM economy.access_list() a;
ANALYZE listed;
GRANT ALL ON function, relation TO PUBLIC;
CREATE TEMP TABLE level (role name, level text);
INSERT INTO level VALUES ('pgtap_app', 'app'), ('pgtap_monitor', 'monitor'), ('pgtap_operator', 'monitor'), ('pgtap_operator', 'operator'),
    ('pgtap_admin', 'app'), ('pgtap_admin', 'monitor'), ('pgtap_admin', 'operator'), ('pgtap_admin', 'admin'),
    ('pgtap_nobody', NULL);

SELECT is((SELECT string_agg(f.name, ', ') FROM function f WHERE has_function_privilege('pgtap_nobody', f.oid, 'EXECUTE')), NULL,
    'PUBLIC may call nothing');
SELECT is(has_schema_privilege('pgtap_nobody', 'economy', 'USAGE') OR has_schema_privilege('pgtap_nobody', 'economy_internal', 'USAGE'), false, 'nor use the schemas');
SELECT is((SELECT string_agg(DISTINCT role, ' ' ORDER BY role) FROM level WHERE has_schema_privilege(role, 'economy_internal', 'USAGE')), 'pgtap_admin pgtap_monitor pgtap_operator',
    'the internal one is for those who score rows with their own privileges, and no app');
SELECT is((SELECT string_agg(r.name || ' ' || p || ' ' || role, ', ')
           FROM relation r, (SELECT DISTINCT role FROM level) l, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) p
           WHERE r.relkind <> 'S' AND has_table_privilege(role, r.oid, p)), NULL, 'no level has a privilege on a table or view');
SELECT is((SELECT string_agg(r.name || ' ' || a.attname || ' ' || role, ', ')
           FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0, (SELECT DISTINCT role FROM level) l
           WHERE r.relkind <> 'S' AND has_column_privilege(role, r.oid, a.attnum, 'SELECT, INSERT, UPDATE, REFERENCES')), NULL, 'nor on a column');
SELECT is((SELECT string_agg(r.name || ' ' || role, ', ') FROM relation r, (SELECT DISTINCT role FROM level) l
           WHERE r.relkind = 'S' AND has_sequence_privilege(role, r.oid, 'USAGE, SELECT, UPDATE')), NULL, 'nor on a sequence');
SELECT is((SELECT string_agg(role, ', ') FROM level WHERE has_schema_privilege(role, 'economy', 'CREATE') OR has_schema_privilege(role, 'economy_internal', 'CREATE')), NULL, 'nobody may create in the schemas');
SELECT set_eq(format('SELECT name FROM function WHERE has_function_privilege(%L, oid, ''EXECUTE'')', r.role),
              format('SELECT a.oid::text FROM listed a JOIN level l USING (level) WHERE l.role = %L', r.role),
              r.role || ' may call what access_list() says, and nothing else')
FROM (SELECT DISTINCT role FROM level WHERE level IS NOT NULL) r ORDER BY r.role;
SELECT set_eq($$SELECT p.proname FROM function f JOIN pg_proc p USING (oid)
               WHERE p.pronamespace = 'economy'::regnamespace AND f.oid NOT IN (SELECT a.oid FROM listed a)$$,
              ARRAY['access_list', 'grant_access', 'note_change', 'revoke_access', 'seed_demo', 'simulate'], 'schema economy has what a level may call, and six functions of the owner');
-- of economy_internal, what code calls that runs with the caller's privileges
SELECT set_eq($$SELECT p.proname FROM function f JOIN pg_proc p USING (oid)
               WHERE p.pronamespace = 'economy_internal'::regnamespace AND f.oid IN (SELECT a.oid FROM listed a)$$,
              $$SELECT DISTINCT m[1]::name FROM listed a JOIN pg_proc p ON p.oid = a.oid AND NOT p.prosecdef,
                    regexp_matches(regexp_replace(regexp_replace(concat(p.prosrc, pg_get_function_sqlbody(p.oid)), E'--[^\\n]*', '', 'g'), '''[^'']*''', '', 'g'), E'\\meconomy_internal\\.(\\w+)\\(', 'g') m
                 UNION SELECT m[1]::name FROM unnest('{economy.game_stats,economy.streaks,economy.user_holdings,economy.mission_progress,economy_internal.shop_user_units}'::regclass[]) v, regexp_matches(pg_get_viewdef(v), E'\\meconomy_internal\\.(\\w+)\\(', 'g') m$$,
              'and nothing of economy_internal is for a level unless such a function, or a view of what accounts keep, calls it');
SELECT is((SELECT string_agg(DISTINCT f.name, ', ') FROM function f WHERE has_function_privilege('pgtap_app', f.oid, 'EXECUTE')
           AND f.name ~ '(adjust_gold|upsert_product|retire|add_stock|set_user_status|rotate|grant_access|revoke_access|change_access|seed_demo|next_user_id|audit)'),
    NULL, 'an app may call nothing of an admin');

-- what the server does, tried as each role
CREATE FUNCTION pg_temp.try(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        EXECUTE statement;
        RAISE EXCEPTION USING ERRCODE = 'XT000';
    EXCEPTION WHEN OTHERS THEN
        RETURN sqlstate;
    END;
END
$$;
CREATE TEMP VIEW denied AS
    SELECT format(s, name) AS statement FROM relation, (VALUES ('SELECT 1 FROM %s LIMIT 1'), ('SELECT count(*) FROM %s')) v (s)
    UNION ALL
    SELECT format(s, name) FROM relation, (VALUES ('INSERT INTO %s DEFAULT VALUES'), ('DELETE FROM %s'), ('DELETE FROM %s WHERE false'), ('TRUNCATE %s'),
            ('LOCK TABLE %s IN ROW EXCLUSIVE MODE'), ('ALTER TABLE %s DISABLE TRIGGER ALL'), ('ALTER TABLE %s ADD COLUMN evil int'), ('DROP TABLE %s'),
            ('CREATE TRIGGER evil BEFORE INSERT ON %s FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()'),
            ('CREATE RULE evil AS ON INSERT TO %s DO INSTEAD NOTHING'), ('SELECT 1 FROM %s FOR UPDATE')) v (s) WHERE relkind = 'r'
    UNION ALL
    SELECT format(s, name) FROM relation, (VALUES ('SELECT nextval(%L)'), ('SELECT setval(%L, 1)'), ('SELECT currval(%L)')) v (s) WHERE relkind = 'S'
    UNION ALL
    VALUES ('UPDATE economy.accounts SET gold = 1000000'), ('SELECT material FROM economy.signing_keys'), ('CREATE TABLE economy.evil ()'), ('CREATE TABLE economy_internal.evil ()'),
           ('CREATE FUNCTION economy.evil() RETURNS int LANGUAGE sql AS ''SELECT 1'''), ('DROP FUNCTION economy.purchase(bigint, text, text, integer, jsonb, boolean)'),
           ('ALTER FUNCTION economy.receipt(bigint, text) SECURITY INVOKER'), ('DROP EXTENSION economy'), ('SET economy.test_clock = ''2031-01-01 00:00:00+00'''),
           ('SELECT economy.grant_access(''pgtap_app'', ''admin'')'), ('SET session_replication_role = replica');
GRANT ALL ON denied TO PUBLIC;
-- every function that the role may not call, with nulls, and every statement
-- above: what did not answer 42501; nulls that the planner does not know, or it would not
-- even call what is strict
CREATE FUNCTION pg_temp.not_denied() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    SELECT string_agg(statement || ': ' || state, '; ') INTO answer FROM (
        SELECT statement, pg_temp.try(statement) AS state FROM denied
        UNION ALL
        SELECT statement, pg_temp.try(statement) FROM (
            SELECT format('%s %s.%I(%s)', CASE p.prokind WHEN 'p' THEN 'CALL' ELSE 'SELECT' END, p.pronamespace::regnamespace, p.proname,
                          (SELECT string_agg(CASE WHEN p.provariadic <> 0 AND n = p.pronargs THEN 'VARIADIC ' ELSE '' END || format(CASE p.prokind WHEN 'p' THEN 'NULL::%s' ELSE '(SELECT NULL::%s)' END, format_type(t, NULL)), ', ' ORDER BY n) FROM unnest(f.types) WITH ORDINALITY u (t, n))) AS statement
            FROM function f JOIN pg_proc p ON p.oid = f.oid WHERE NOT f.is_trigger AND NOT has_function_privilege(f.oid, 'EXECUTE')) calls
    ) tried WHERE state <> '42501';
    RETURN answer;
END
$$;

SET LOCAL ROLE pgtap_app;
SELECT is(pg_temp.not_denied(), NULL, 'an app can neither read nor write a table, nor call what is not its own');
SELECT is(p.state, 'new', 'but it can buy') FROM economy.purchase(:u, 'pgtap_x', 'k1') p;
SELECT is(p.state, 'reuse', 'and repeat') FROM economy.purchase(:u, 'pgtap_x', 'k1') p;
SELECT is(p.state || p.stock_remaining, 'new7', 'and foresee') FROM economy.purchase(:u, 'pgtap_x', 'k2', dry_run => true) p;
SELECT is(v.reason, 'OK', 'and verify a receipt') FROM economy.verify_receipt(:u, 'P' || :u || '-2') v;
SELECT is(r.quantity, 1, 'and read it') FROM economy.receipt(:u, 'P' || :u || '-2') r;
SELECT is(a.gold, 99::bigint, 'and see the account') FROM economy.account(:u) a;
SELECT is((SELECT count(*) FROM economy.statement(:u)), 2::bigint, 'and the statement');
SELECT isnt(economy.register('pgtap by app'), NULL, 'and register users');
SELECT is(economy.user_id_of('pgtap access'), :u::bigint, 'and find them');
SELECT is(economy.set_timezone(:u, 'asia/tokyo'), 'Asia/Tokyo', 'and set their zone');
SELECT is(g.state, 'new', 'and grant a reward') FROM economy.grant_reward(:u, 'pgtap', 'e1', 1, 1) g;

SET LOCAL ROLE pgtap_monitor;
SELECT is(pg_temp.not_denied(), NULL, 'a monitor can neither read nor write a table, nor call what is not its own');
SELECT is((SELECT count(*) FROM economy.verify_chain(:u)), 0::bigint, 'but it can verify a chain');
SELECT is((SELECT gold FROM economy.account(:u)), 100::bigint, 'and see an account');
SELECT throws_ok(format('SELECT economy.purchase(%s, ''pgtap_x'', ''k'')', :u), '42501', NULL, 'it cannot buy');

SELECT throws_ok('SELECT * FROM economy.audit_sweep()', '42501', NULL, 'nor sweep, which is recorded');
SELECT throws_ok('CALL economy.run_job(''prune'')', '42501', NULL, 'nor run a job');

SET LOCAL ROLE pgtap_operator;
SELECT is(pg_temp.not_denied(), NULL, 'an operator can neither read nor write a table, nor call what is not its own');
SELECT lives_ok('SELECT * FROM economy.audit_sweep()', 'but it can sweep');
SELECT throws_ok('SELECT economy.prune()', '42501', NULL, 'it cannot choose what is pruned');

SET LOCAL ROLE pgtap_admin;
SELECT is(pg_temp.not_denied(), NULL, 'an admin can neither read nor write a table, nor call what is not its own');
SELECT is(p.state, 'new', 'but it can adjust gold') FROM economy.adjust_gold(:u, 5, 'by admin', 'r', 'a') p;
SELECT is(p.state, 'new', 'and buy') FROM economy.purchase(:u, 'pgtap_x', 'k3') p;
SELECT lives_ok($$SELECT economy.upsert_product('{"product_id": "pgtap_y", "category": "item", "price_gold": 0}', 'admin')$$, 'and make products');
SELECT is(economy.add_stock('pgtap_y', 3, 'admin'), 3::bigint, 'and stock');
SELECT lives_ok($$SELECT economy.retire_product('pgtap_y', 'admin')$$, 'and retire them');
SELECT is(economy.set_user_status(:u, 'suspended', 'admin'), 'suspended', 'and suspend users');
SELECT lives_ok('SELECT economy.rotate_signing_key()', 'and rotate the key');

SET LOCAL ROLE pgtap_nobody;
SELECT is(pg_temp.not_denied(), NULL, 'nobody can do anything');

-- revoked
RESET ROLE;
SELECT economy.revoke_access('pgtap_app', 'app') AS x \gset
SELECT economy.revoke_access('pgtap_admin', 'admin') AS x \gset
SELECT is((SELECT string_agg(f.name || role, ', ') FROM function f, (VALUES ('pgtap_app'), ('pgtap_admin')) v (role)
           WHERE has_function_privilege(role, f.oid, 'EXECUTE')), NULL, 'revoke_access() takes every function away');
SELECT is((SELECT string_agg(s || role, ' ') FROM unnest(ARRAY['economy', 'economy_internal']) s, unnest(ARRAY['pgtap_app', 'pgtap_admin']) role
           WHERE has_schema_privilege(role, s, 'USAGE')), NULL, 'and the schemas');
SET LOCAL ROLE pgtap_app;
SELECT throws_ok(format('SELECT economy.purchase(%s, ''pgtap_x'', ''k1'')', :u), '42501', NULL, 'a purchase is refused then');
RESET ROLE;
SELECT is(has_function_privilege('pgtap_monitor', 'economy.verify_chain(bigint)', 'EXECUTE'), true, 'others keep theirs');
SELECT lives_ok($$SELECT economy.grant_access('pgtap_monitor', 'monitor')$$, 'granting twice is no error');

-- whoever is shown a view of what is packed in accounts unpacks it with his own privileges
GRANT USAGE ON SCHEMA economy, economy_internal TO pgtap_nobody;
GRANT SELECT ON economy.game_stats, economy.streaks, economy.user_holdings, economy_internal.shop_user_units TO pgtap_nobody, pgtap_monitor;
CREATE TEMP TABLE unpacking AS SELECT unnest(ARRAY['economy.game_stats', 'economy.streaks', 'economy.user_holdings', 'economy_internal.shop_user_units']) AS v;
GRANT SELECT ON unpacking TO pgtap_nobody, pgtap_monitor;
SET LOCAL ROLE pgtap_monitor;
SELECT lives_ok('SELECT * FROM ' || v, 'a monitor reads ' || v || ' when it may select from it') FROM unpacking;
RESET ROLE;
GRANT EXECUTE ON FUNCTION economy_internal.games_of(bytea), economy_internal.streak_of(bytea), economy_internal.units_of(bytea), economy_internal.holdings_of(bytea) TO pgtap_nobody;
SET LOCAL ROLE pgtap_nobody;
SELECT lives_ok('SELECT * FROM ' || v, 'so does who may unpack ' || v) FROM unpacking;
RESET ROLE;
SELECT is((SELECT string_agg(object, ', ') FROM economy_internal.schema_privileges() WHERE grantee = 'pgtap_nobody'), NULL, 'which no audit takes for more than was meant');

SELECT * FROM finish();
ROLLBACK;
