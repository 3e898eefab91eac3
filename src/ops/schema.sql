-- the schema itself, compared with what was installed

CREATE FUNCTION economy.schema_description(OUT object text, OUT definition text)
    RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
    SET intervalstyle = postgres
    SET DateStyle = 'ISO, YMD' SET TimeZone = 'UTC' SET extra_float_digits = 1 SET bytea_output = hex SET standard_conforming_strings = on
    BEGIN ATOMIC
        WITH member AS (
            SELECT d.classid, d.objid FROM pg_depend d JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
            WHERE d.deptype = 'e' AND e.extname = 'economy'
        ), relation AS (
            SELECT c.* FROM member m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND m.objid = c.oid
        )
        SELECT format('%s %s.%s', CASE c.relkind WHEN 'v' THEN 'view' WHEN 'S' THEN 'sequence' ELSE 'table' END, c.relnamespace::regnamespace, c.relname),
               CASE c.relpersistence WHEN 'p' THEN 'of the extension' ELSE 'unlogged' END || CASE c.relreplident WHEN 'n' THEN ', without replica identity' ELSE '' END
        FROM relation c
        UNION ALL
        SELECT format('column %s.%s', c.relname, a.attname), format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
        FROM relation c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped WHERE c.relkind IN ('r', 'p')
        UNION ALL
        -- pg_upgrade may put other parentheses
        SELECT format('constraint %s of %s', k.conname, c.relname), translate(pg_get_constraintdef(k.oid), '()', '') FROM relation c JOIN pg_constraint k ON k.conrelid = c.oid
        WHERE k.contype IN ('c', 'p', 'u', 'x')
        UNION ALL
        SELECT format('index %s of %s', i.indexrelid::regclass, c.relname),
               CASE WHEN i.indisvalid AND i.indisready THEN 'valid' ELSE 'invalid' END || CASE WHEN i.indisunique THEN ', unique' ELSE '' END
        FROM relation c JOIN pg_index i ON i.indrelid = c.oid
        UNION ALL
        SELECT format('trigger %s of %s', t.tgname, c.relname),
               pg_get_triggerdef(t.oid) || CASE t.tgenabled WHEN 'A' THEN ', always' WHEN 'D' THEN ', disabled' ELSE ', not always' END
        FROM relation c JOIN pg_trigger t ON t.tgrelid = c.oid WHERE NOT t.tgisinternal
        UNION ALL
        SELECT format('event trigger %s', t.evtname), CASE t.evtenabled WHEN 'A' THEN 'always' WHEN 'D' THEN 'disabled' ELSE 'not always' END
        FROM member m JOIN pg_event_trigger t ON m.classid = 'pg_event_trigger'::regclass AND m.objid = t.oid
        UNION ALL
        -- settings other than search_path are the DBA's to choose
        SELECT format('function %s.%s(%s)', p.pronamespace::regnamespace, p.proname, pg_get_function_identity_arguments(p.oid)),
               md5(concat_ws('|', l.lanname, p.prosrc, p.probin, p.provolatile, p.proparallel, p.prosecdef, p.proisstrict,
                             (SELECT s FROM unnest(p.proconfig) s WHERE starts_with(s, 'search_path='))))
        FROM member m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid JOIN pg_language l ON l.oid = p.prolang
        UNION ALL
        -- what the server keeps as a tree; after pg_upgrade it writes that down otherwise
        SELECT format('body of %s, system %s', b.object, (SELECT y.system_identifier FROM pg_control_system() y)), md5(b.body)
        FROM (SELECT format('function %s.%s(%s)', p.pronamespace::regnamespace, p.proname, pg_get_function_identity_arguments(p.oid)), pg_get_function_sqlbody(p.oid)
              FROM member m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid WHERE p.prosqlbody IS NOT NULL
              UNION ALL
              SELECT format('view %s.%s', c.relnamespace::regnamespace, c.relname), pg_get_viewdef(c.oid) FROM relation c WHERE c.relkind = 'v'
              UNION ALL
              SELECT format('default of %s.%s', c.relname, a.attname), pg_get_expr(d.adbin, d.adrelid)
              FROM relation c JOIN pg_attrdef d ON d.adrelid = c.oid JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.adnum) b (object, body);
    END;
COMMENT ON FUNCTION economy.schema_description() IS
    'The objects of the extension as they are: tables, columns, constraints, indexes, triggers, '
    'views and functions. audit_schema() compares it with what was installed.';

CREATE FUNCTION economy.schema_privileges(OUT object text, OUT grantee name, OUT privilege text)
    RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
    SET intervalstyle = postgres
    BEGIN ATOMIC
        SELECT g.object, coalesce(r.rolname, 'PUBLIC'), g.privilege FROM (
            SELECT format('table economy.%s', c.relname) AS object, a.grantee, a.privilege_type AS privilege, c.relowner AS owner
            FROM pg_class c, aclexplode(c.relacl) a WHERE c.relnamespace = 'economy'::regnamespace AND c.relkind IN ('r', 'p', 'v')
              -- to read tables is what a subscription needs; the keys sign
              AND (a.privilege_type <> 'SELECT' OR a.grantee = 0)
            UNION ALL
            SELECT format('column economy.%s.%s', c.relname, t.attname), a.grantee, a.privilege_type, c.relowner
            FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid, aclexplode(t.attacl) a
            WHERE c.relnamespace = 'economy'::regnamespace AND (a.privilege_type <> 'SELECT' OR a.grantee = 0)
            UNION ALL
            SELECT format('sequence economy.%s', c.relname), a.grantee, a.privilege_type, c.relowner
            FROM pg_class c, aclexplode(c.relacl) a WHERE c.relnamespace = 'economy'::regnamespace AND c.relkind = 'S' AND a.privilege_type <> 'SELECT'
            UNION ALL
            SELECT 'schema economy', a.grantee, a.privilege_type, n.nspowner
            FROM pg_namespace n, aclexplode(n.nspacl) a WHERE n.nspname = 'economy' AND (a.privilege_type <> 'USAGE' OR a.grantee = 0)
            UNION ALL
            SELECT format('function economy.%s(%s)', p.proname, pg_get_function_identity_arguments(p.oid)), a.grantee, a.privilege_type, p.proowner
            FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
            WHERE p.pronamespace = 'economy'::regnamespace
              AND (a.grantee = 0 OR NOT EXISTS (SELECT FROM economy.access_list() l WHERE substring(l.object FROM '^[A-Z]+ (.*)')::regprocedure = p.oid))
        ) g LEFT JOIN pg_roles r ON r.oid = g.grantee WHERE g.grantee <> g.owner;
    END;
COMMENT ON FUNCTION economy.schema_privileges() IS
    'Privileges on objects of the schema that no level of '
    'access_list() has, except to read tables.';

-- what is installed up to here
DO $do$
BEGIN
    EXECUTE format('CREATE FUNCTION economy.schema_installed() RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE
                        SET search_path = pg_catalog, pg_temp BEGIN ATOMIC SELECT %L::jsonb; END',
                   (SELECT jsonb_object_agg(d.object, d.definition) FROM economy.schema_description() d));
END
$do$;
COMMENT ON FUNCTION economy.schema_installed() IS
    'schema_description() when the extension was installed.';

CREATE FUNCTION economy.audit_schema() RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL RESTRICTED SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp SET quote_all_identifiers = off
    SET intervalstyle = postgres
    BEGIN ATOMIC
        SELECT NULL::bigint, 'wrong_schema', format('%s: %s', e.key, CASE WHEN k.is_digest THEN 'as installed' ELSE e.value END),
               CASE WHEN d.object IS NULL THEN 'none' WHEN k.is_digest THEN 'another' ELSE d.definition END, NULL::text, NULL::bigint
        FROM jsonb_each_text(economy.schema_installed()) e
        CROSS JOIN LATERAL (SELECT e.key LIKE 'function %' OR e.key LIKE 'body of %' AS is_digest) k
        LEFT JOIN economy.schema_description() d ON d.object = e.key
        WHERE d.definition IS DISTINCT FROM e.value
          -- after pg_upgrade: a digest of what another cluster wrote down
          AND NOT (e.key LIKE 'body of %' AND e.key NOT LIKE '%, system ' || (SELECT y.system_identifier FROM pg_control_system() y))
        UNION ALL
        SELECT NULL, 'wrong_schema', format('%s: not for %s', p.object, p.grantee), p.privilege, NULL, NULL FROM economy.schema_privileges() p
        UNION ALL
        -- entries in a table below a journal are in the journal, but its triggers do not see who changes them
        SELECT NULL, 'wrong_schema', format('table %s: guarded as economy.%s, whose entries it holds', i.inhrelid::regclass, c.relname), 'not always guarded', NULL, NULL
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhparent AND c.relnamespace = 'economy'::regnamespace
        WHERE EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgfoid = 'economy.forbid_change()'::regprocedure)
          AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = i.inhrelid AND t.tgfoid = 'economy.forbid_change()'::regprocedure AND t.tgenabled = 'A');
    END;
COMMENT ON FUNCTION economy.audit_schema() IS
    'Objects of the extension that are not what was installed: changed, renamed, exchanged, '
    'missing or not always in force, and privileges that no level has. Added columns, '
    'indexes and constraints are no findings.';
