-- the schema itself, compared with what was installed

CREATE FUNCTION economy_internal.schema_description(OUT object text, OUT definition text)
    RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
    SET intervalstyle = postgres
    SET DateStyle = 'ISO, YMD' SET TimeZone = 'UTC' SET extra_float_digits = 1
    SET bytea_output = hex SET standard_conforming_strings = on
    BEGIN ATOMIC
        WITH member AS (
            SELECT d.classid, d.objid
            FROM pg_depend d
            JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
            WHERE d.deptype = 'e' AND e.extname = 'economy'
        ), relation AS (
            SELECT c.* FROM member m
            JOIN pg_class c ON m.classid = 'pg_class'::regclass AND m.objid = c.oid
            WHERE NOT c.relispartition
        ), part AS (
            -- the rest of them is what their journal has, or the server would refuse it
            SELECT c.* FROM member m
            JOIN pg_class c ON m.classid = 'pg_class'::regclass AND m.objid = c.oid
            WHERE c.relispartition
        ), routine AS (
            SELECT p.*, format('function %s.%s(%s)', p.pronamespace::regnamespace, p.proname,
                               pg_get_function_identity_arguments(p.oid)) AS object
            FROM member m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid
        )
        SELECT format('%s %s.%s',
                      CASE c.relkind WHEN 'v' THEN 'view' WHEN 'S' THEN 'sequence'
                                     ELSE 'table' END,
                      c.relnamespace::regnamespace, c.relname),
               CASE c.relpersistence WHEN 'p' THEN 'of the extension' ELSE 'unlogged' END
               || CASE WHEN c.relreplident = 'n' AND c.relkind IN ('r', 'p')
                       THEN ', without replica identity' ELSE '' END
               || coalesce((
                   SELECT format(', from %s by %s, %s to %s, cache %s%s', q.seqstart,
                                 q.seqincrement, q.seqmin, q.seqmax, q.seqcache,
                                 CASE WHEN q.seqcycle THEN ', cycle' ELSE '' END)
                   FROM pg_sequence q WHERE q.seqrelid = c.oid), '')
               -- options of tables are the DBA's to choose
               || coalesce((
                   SELECT string_agg(', ' || o, '' ORDER BY o COLLATE "C")
                   FROM unnest(c.reloptions) o WHERE c.relkind = 'v'), '')
        FROM relation c
        UNION ALL
        SELECT format('partition %s of %s', c.oid::regclass, i.inhparent::regclass),
               pg_get_expr(c.relpartbound, c.oid)
               || CASE WHEN i.inhdetachpending THEN ', detached' ELSE '' END
               || CASE c.relpersistence WHEN 'p' THEN '' ELSE ', unlogged' END
               || CASE c.relreplident WHEN 'n' THEN ', without replica identity' ELSE '' END
               || CASE WHEN EXISTS (
                      SELECT FROM pg_inherits x JOIN pg_index n ON n.indexrelid = x.inhrelid
                      WHERE n.indrelid = c.oid AND NOT (n.indisvalid AND n.indisready))
                  THEN ', with an invalid index' ELSE '' END
        FROM part c JOIN pg_inherits i ON i.inhrelid = c.oid
        UNION ALL
        SELECT format('column %s.%s', c.relname, a.attname),
               format_type(a.atttypid, a.atttypmod)
               || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
        FROM relation c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE c.relkind IN ('r', 'p')
        UNION ALL
        -- pg_upgrade may put other parentheses
        SELECT format('constraint %s of %s', k.conname, c.relname),
               translate(pg_get_constraintdef(k.oid), '()', '')
        FROM relation c JOIN pg_constraint k ON k.conrelid = c.oid
        WHERE k.contype IN ('c', 'p', 'u', 'x')
        UNION ALL
        -- the name is of the snapshot too: REINDEX CONCURRENTLY exchanges names
        SELECT format('index %s.%s of %s', x.relnamespace::regnamespace, x.relname, c.relname),
               CASE WHEN i.indisvalid AND i.indisready THEN 'valid' ELSE 'invalid' END
               || CASE WHEN i.indisunique THEN ', unique' ELSE '' END
        FROM relation c
        JOIN pg_index i ON i.indrelid = c.oid
        JOIN pg_class x ON x.oid = i.indexrelid
        UNION ALL
        SELECT format('trigger %s of %s', t.tgname, c.relname),
               pg_get_triggerdef(t.oid)
               || CASE t.tgenabled WHEN 'A' THEN ', always' WHEN 'D' THEN ', disabled'
                                   WHEN 'R' THEN ', on a replica only' ELSE ', not always' END
        FROM (SELECT * FROM relation UNION ALL SELECT * FROM part) c
        JOIN pg_trigger t ON t.tgrelid = c.oid WHERE NOT t.tgisinternal
        UNION ALL
        SELECT format('event trigger %s', t.evtname),
               CASE t.evtenabled WHEN 'A' THEN 'always' WHEN 'D' THEN 'disabled'
                                 ELSE 'not always' END
        FROM member m
        JOIN pg_event_trigger t ON m.classid = 'pg_event_trigger'::regclass AND m.objid = t.oid
        UNION ALL
        -- what is no member any more is dumped besides the extension, and cannot be restored
        SELECT format('schema %s', n.nspname), 'of the extension'
        FROM member m JOIN pg_namespace n ON m.classid = 'pg_namespace'::regclass
                                         AND m.objid = n.oid
        UNION ALL
        SELECT format('type %s.%s', t.typnamespace::regnamespace, t.typname),
               format('of the extension, %s', (
                   SELECT string_agg(format('%s %s', a.attname,
                                            format_type(a.atttypid, a.atttypmod)),
                                     ', ' ORDER BY a.attnum)
                   FROM pg_attribute a
                   WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped))
        FROM member m JOIN pg_type t ON m.classid = 'pg_type'::regclass AND m.objid = t.oid
        -- since PostgreSQL 17 the row type of a table, which has more columns with the
        -- DBA's, is a member too
        JOIN pg_class c ON c.oid = t.typrelid AND c.relkind = 'c'
        UNION ALL
        -- settings that cost time or memory, and answer the same, are the DBA's to choose
        SELECT p.object,
               md5(concat_ws('|', l.lanname, p.prosrc, p.probin, p.provolatile, p.proparallel,
                             p.prosecdef, p.proisstrict,
                             -- quoted as quote_all_identifiers was when it was made
                             (SELECT string_agg(translate(s, '"', ''), '|' ORDER BY s COLLATE "C")
                              FROM unnest(p.proconfig) s
                              WHERE s !~ ('^(work_mem|hash_mem_multiplier|maintenance_work_mem|'
                                  'temp_buffers|jit|jit_.*|enable_.*|.*_cost|.*_timeout|'
                                  'max_parallel_.*|plan_cache_mode|track_.*|log_.*)='))))
        FROM routine p JOIN pg_language l ON l.oid = p.prolang
        UNION ALL
        -- what the server keeps as a tree; after pg_upgrade it writes that down otherwise
        SELECT format('body of %s, system %s', b.object,
                      (SELECT y.system_identifier FROM pg_control_system() y)),
               md5(b.body)
        FROM (SELECT p.object, pg_get_function_sqlbody(p.oid)
              FROM routine p WHERE p.prosqlbody IS NOT NULL
              UNION ALL
              SELECT format('view %s.%s', c.relnamespace::regnamespace, c.relname),
                     pg_get_viewdef(c.oid)
              FROM relation c WHERE c.relkind = 'v'
              UNION ALL
              SELECT format('default of %s.%s', c.relname, a.attname),
                     pg_get_expr(d.adbin, d.adrelid)
              FROM relation c
              JOIN pg_attrdef d ON d.adrelid = c.oid
              JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.adnum) b (object, body);
    END;
COMMENT ON FUNCTION economy_internal.schema_description() IS
    'The objects of the extension as they are: schemas, types, tables, columns, constraints, '
    'indexes, triggers, views and functions. audit_schema() compares it with what was installed.';

CREATE FUNCTION economy_internal.schema_privileges(
    OUT object text, OUT grantee name, OUT privilege text
) RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
    SET intervalstyle = postgres
    BEGIN ATOMIC
        WITH ours AS (
            SELECT n.oid, n.nspname, n.nspowner, n.nspacl FROM pg_namespace n
            WHERE n.nspname IN ('economy', 'economy_internal')
        ), listed AS MATERIALIZED (
            SELECT substring(l.object FROM '^[A-Z]+ (.*)')::regprocedure::oid AS oid
            FROM economy.access_list() l
        ), given AS (
            SELECT format('table %s.%s', n.nspname, c.relname) AS object, a.grantee,
                   a.privilege_type AS privilege, c.relowner AS owner
            FROM ours n JOIN pg_class c ON c.relnamespace = n.oid, aclexplode(c.relacl) a
            WHERE c.relkind IN ('r', 'p', 'v')
              -- to read tables is what a subscription needs; the keys sign
              AND (a.privilege_type <> 'SELECT' OR a.grantee = 0)
            UNION ALL
            SELECT format('column %s.%s.%s', n.nspname, c.relname, t.attname), a.grantee,
                   a.privilege_type, c.relowner
            FROM ours n JOIN pg_class c ON c.relnamespace = n.oid
            JOIN pg_attribute t ON t.attrelid = c.oid, aclexplode(t.attacl) a
            WHERE a.privilege_type <> 'SELECT' OR a.grantee = 0
            UNION ALL
            SELECT format('sequence %s.%s', n.nspname, c.relname), a.grantee, a.privilege_type,
                   c.relowner
            FROM ours n JOIN pg_class c ON c.relnamespace = n.oid, aclexplode(c.relacl) a
            WHERE c.relkind = 'S' AND a.privilege_type <> 'SELECT'
            UNION ALL
            SELECT 'schema ' || n.nspname, a.grantee, a.privilege_type, n.nspowner
            FROM ours n, aclexplode(n.nspacl) a
            WHERE a.privilege_type <> 'USAGE' OR a.grantee = 0
            UNION ALL
            SELECT format('function %s.%s(%s)', n.nspname, p.proname,
                          pg_get_function_identity_arguments(p.oid)),
                   a.grantee, a.privilege_type, p.proowner
            FROM ours n JOIN pg_proc p ON p.pronamespace = n.oid,
                 aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
            WHERE a.grantee = 0 OR p.oid NOT IN (SELECT l.oid FROM listed l)
        )
        SELECT g.object, coalesce(r.rolname, 'PUBLIC'), g.privilege
        FROM given g LEFT JOIN pg_roles r ON r.oid = g.grantee WHERE g.grantee <> g.owner;
    END;
COMMENT ON FUNCTION economy_internal.schema_privileges() IS
    'Privileges on objects of the schemas that no level of '
    'access_list() has, except to read tables.';

-- Where all is as installed, this answers nothing.
CREATE FUNCTION economy_internal.schema_strays(OUT expected text, OUT actual text)
    RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
    SET intervalstyle = postgres
    BEGIN ATOMIC
        WITH member AS (
            SELECT d.classid, d.objid
            FROM pg_depend d
            JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
            WHERE d.deptype = 'e' AND e.extname = 'economy'
        ), relation AS (
            SELECT c.*, format('%s %s.%s',
                               CASE c.relkind WHEN 'v' THEN 'view' WHEN 'S' THEN 'sequence'
                                              ELSE 'table' END,
                               c.relnamespace::regnamespace, c.relname) AS object
            FROM member m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND m.objid = c.oid
            WHERE c.relkind IN ('r', 'p', 'v', 'S')
        ), routine AS (
            SELECT p.*, format('function %s.%s(%s)', p.pronamespace::regnamespace, p.proname,
                               pg_get_function_identity_arguments(p.oid)) AS object
            FROM member m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid
        ), owned AS (
            SELECT c.object, c.relowner AS owner, c.relacl AS acl FROM relation c
            UNION ALL
            SELECT p.object, p.proowner, p.proacl FROM routine p
            UNION ALL
            SELECT format('column %s.%s', c.relname, a.attname), c.relowner, a.attacl
            FROM relation c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attacl IS NOT NULL
            UNION ALL
            SELECT format('schema %s', n.nspname), n.nspowner, n.nspacl
            FROM pg_namespace n
            WHERE n.nspname IN ('economy', 'economy_internal')
               OR n.oid IN (SELECT m.objid FROM member m
                            WHERE m.classid = 'pg_namespace'::regclass)
        )
        -- functions that run as their owner, and tables that are the owner's, have one owner
        SELECT format('%s: owned as the schema', o.object), pg_get_userbyid(o.owner)::text
        FROM owned o JOIN pg_namespace n ON n.nspname = 'economy' AND o.owner <> n.nspowner
        UNION ALL
        SELECT format('%s: not to be passed on by %s', o.object,
                      CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(g.grantee) END),
               g.privilege_type
        FROM owned o CROSS JOIN LATERAL aclexplode(o.acl) g
        WHERE g.is_grantable AND g.grantee <> o.owner
        UNION ALL
        SELECT format('new objects in schema %s: for their owner', n.nspname),
               format('%s for %s', g.privilege_type,
                      CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(g.grantee) END)
        FROM pg_default_acl d
        JOIN pg_namespace n ON n.oid = d.defaclnamespace
            AND n.nspname IN ('economy', 'economy_internal')
        CROSS JOIN LATERAL aclexplode(d.defaclacl) g
        WHERE g.grantee <> d.defaclrole
        UNION ALL
        SELECT format('%s: without rules', c.object), r.rulename
        FROM relation c JOIN pg_rewrite r ON r.ev_class = c.oid AND r.rulename <> '_RETURN'
        UNION ALL
        SELECT format('%s: without row security', c.object),
               CASE WHEN c.relforcerowsecurity THEN 'forced' ELSE 'enabled' END
        FROM relation c WHERE c.relrowsecurity OR c.relforcerowsecurity
        UNION ALL
        SELECT format('%s: without policies', c.object), p.polname
        FROM relation c JOIN pg_policy p ON p.polrelid = c.oid;
    END;
COMMENT ON FUNCTION economy_internal.schema_strays() IS
    'What the objects of the extension are not installed with: other owners, rules, row security, '
    'policies, privileges to be passed on.';

-- note_schema() puts it there, last of all.
CREATE FUNCTION economy_internal.schema_installed() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC SELECT '{}'::jsonb; END;
COMMENT ON FUNCTION economy_internal.schema_installed() IS
    'schema_description() when the extension was installed, or updated last.';

CREATE FUNCTION economy_internal.note_schema() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format($query$
        CREATE OR REPLACE FUNCTION economy_internal.schema_installed() RETURNS jsonb
            LANGUAGE sql IMMUTABLE PARALLEL SAFE
            SET search_path = pg_catalog, pg_temp
            BEGIN ATOMIC SELECT %L::jsonb; END
        $query$,
        -- all but what this writes
        (SELECT jsonb_object_agg(d.object, d.definition)
         FROM economy_internal.schema_description() d
         WHERE d.object NOT LIKE 'body of function economy_internal.schema_installed()%'));
END
$$;
COMMENT ON FUNCTION economy_internal.note_schema() IS
    'Takes the objects as they are for those that are installed: the last line of the script that '
    'installs or updates the extension.';

CREATE FUNCTION economy.audit_schema() RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL RESTRICTED SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp SET quote_all_identifiers = off
    SET intervalstyle = postgres
    BEGIN ATOMIC
        SELECT NULL::bigint, 'wrong_schema',
               format('%s: %s', e.key,
                      CASE WHEN k.is_digest THEN 'as installed' ELSE e.value END),
               CASE WHEN d.object IS NULL THEN 'none' WHEN k.is_digest THEN 'another'
                    ELSE d.definition END, NULL::text, NULL::bigint
        FROM jsonb_each_text(economy_internal.schema_installed()) e
        CROSS JOIN LATERAL (
            SELECT e.key LIKE 'function %' OR e.key LIKE 'body of %' AS is_digest) k
        LEFT JOIN economy_internal.schema_description() d ON d.object = e.key
        WHERE d.definition IS DISTINCT FROM e.value
          -- after pg_upgrade this is a digest of what another cluster wrote down
          AND NOT (e.key LIKE 'body of %'
                   AND e.key NOT LIKE '%, system '
                       || (SELECT y.system_identifier FROM pg_control_system() y))
        UNION ALL
        SELECT NULL, 'wrong_schema', format('%s: not for %s', p.object, p.grantee), p.privilege,
               NULL, NULL
        FROM economy_internal.schema_privileges() p
        UNION ALL
        SELECT NULL, 'wrong_schema', s.expected, s.actual, NULL, NULL
        FROM economy_internal.schema_strays() s
        UNION ALL
        -- entries in a table below a journal are in the journal, but its triggers do not see
        -- who changes them
        SELECT NULL, 'wrong_schema',
               format('table %s: guarded as economy.%s, whose entries it holds',
                      i.inhrelid::regclass, c.relname),
               'not always guarded', NULL, NULL
        FROM pg_inherits i
        JOIN pg_class c ON c.oid = i.inhparent AND c.relnamespace = 'economy'::regnamespace
        CROSS JOIN (SELECT 'economy_internal.forbid_change()'::regprocedure) g (guard)
        WHERE EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgfoid = g.guard)
          AND NOT EXISTS (SELECT FROM pg_trigger t
                          WHERE t.tgrelid = i.inhrelid AND t.tgfoid = g.guard
                            AND t.tgenabled = 'A');
    END;
COMMENT ON FUNCTION economy.audit_schema() IS
    'Objects of the extension that are not what was installed: changed, renamed, exchanged, '
    'missing or not always in force, and privileges that no level has. Added columns, '
    'indexes and constraints are no findings.';

-- What was changed would be taken for what is installed, and nobody be told of it any more.
CREATE FUNCTION economy_internal.begin_update() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found_one text;
    n         bigint;
BEGIN
    PERFORM economy_internal.require_library();
    SELECT min(f.expected || ' is ' || f.actual), count(*) INTO found_one, n
        FROM economy.audit_schema() f;
    IF n > 0 THEN
        RAISE WARNING '% objects of economy are not as they were installed: %', n, found_one
            USING HINT = 'Look at audit_schema() before an update: afterwards those that it does '
                         'not make anew count as installed so.';
    END IF;
END
$$;
COMMENT ON FUNCTION economy_internal.begin_update() IS
    'The first line of a script that updates the extension: require_library(), and a warning when '
    'audit_schema() has findings.';
