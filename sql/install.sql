-- What CREATE EXTENSION installs.  A new function is a new line in the answer.
\pset format unaligned
\pset footer off
CREATE TEMP VIEW object AS
    SELECT d.classid, d.objid, i.type, i.identity
    FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'economy'
    CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, 0) i
    WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e';

-- where things are
SELECT type, count(*) FROM object WHERE identity !~ '^economy(_internal)?(\.|$)' AND type <> 'event trigger' GROUP BY type ORDER BY type;
SELECT extrelocatable, extversion ~ '^[0-9]+\.[0-9]+\.[0-9]+$' AS has_version, extnamespace::regnamespace FROM pg_extension WHERE extname = 'economy';

-- tables, views, sequences, types
SELECT type, identity FROM object WHERE type NOT IN ('function', 'type')
    OR (type = 'type' AND (SELECT t.typrelid = 0 OR (SELECT relkind FROM pg_class c WHERE c.oid = t.typrelid) = 'c' FROM pg_type t WHERE t.oid = objid)
                      AND (SELECT typelem = 0 FROM pg_type t WHERE t.oid = objid))
ORDER BY type, identity COLLATE "C";

-- functions: language, volatility, parallel, strict, security definer, search_path
SELECT p.pronamespace::regnamespace AS schema, p.proname, l.lanname, p.provolatile AS v, p.proparallel AS p, p.proisstrict AS strict, p.prosecdef AS definer, p.proretset AS set,
       array_to_string(p.proconfig, ';') AS config
FROM object o JOIN pg_proc p ON o.classid = 'pg_proc'::regclass AND p.oid = o.objid JOIN pg_language l ON l.oid = p.prolang
ORDER BY 1, p.proname COLLATE "C", o.identity COLLATE "C";

-- exceptions: tables without a primary key, user tables whose key does not lead with user_id (histories, never on the hot path)
SELECT o.identity FROM object o JOIN pg_class c ON o.classid = 'pg_class'::regclass AND c.oid = o.objid
WHERE c.relkind = 'r' AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary) ORDER BY o.identity COLLATE "C";
SELECT o.identity, pg_get_constraintdef(k.oid) FROM object o JOIN pg_class c ON o.classid = 'pg_class'::regclass AND c.oid = o.objid AND c.relkind = 'r'
JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'p' JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'user_id'
WHERE k.conkey[1] <> a.attnum ORDER BY o.identity COLLATE "C";

-- everything below finds nothing

-- without a comment
SELECT type, identity FROM object
WHERE obj_description(objid, (SELECT relname FROM pg_class c WHERE c.oid = classid)) IS NULL
  AND NOT (type = 'type' AND (SELECT t.typelem <> 0 OR (SELECT c.relkind FROM pg_class c WHERE c.oid = t.typrelid) <> 'c' FROM pg_type t WHERE t.oid = objid))
ORDER BY type, identity COLLATE "C";

-- granted to PUBLIC
SELECT o.identity, a.privilege_type FROM object o JOIN pg_proc p ON o.classid = 'pg_proc'::regclass AND p.oid = o.objid,
    aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee = 0;
SELECT o.identity, a.privilege_type FROM object o JOIN pg_class c ON o.classid = 'pg_class'::regclass AND c.oid = o.objid,
    aclexplode(coalesce(c.relacl, acldefault(CASE WHEN c.relkind = 'S' THEN 's'::"char" ELSE 'r' END, c.relowner))) a WHERE a.grantee = 0;
SELECT o.identity, a.attname FROM object o JOIN pg_attribute a ON o.classid = 'pg_class'::regclass AND a.attrelid = o.objid WHERE a.attacl IS NOT NULL;
SELECT a.privilege_type FROM pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a WHERE n.nspname IN ('economy', 'economy_internal') AND a.grantee = 0;

-- definer functions, and those that are not C, without a pinned search_path that ends in pg_temp; a procedure that commits cannot have one
SELECT o.identity FROM object o JOIN pg_proc p ON o.classid = 'pg_proc'::regclass AND p.oid = o.objid JOIN pg_language l ON l.oid = p.prolang
WHERE l.lanname <> 'c' AND p.prokind NOT IN ('a', 'p') AND NOT coalesce(p.proconfig && ARRAY['search_path=pg_catalog, economy, pg_temp', 'search_path=pg_catalog, pg_temp'], false);

-- tables and own sequences that pg_dump would leave out
SELECT o.identity FROM object o JOIN pg_class c ON o.classid = 'pg_class'::regclass AND c.oid = o.objid
WHERE c.relkind IN ('r', 'p', 'S') AND c.oid <> ALL (SELECT unnest(extconfig) FROM pg_extension WHERE extname = 'economy') ORDER BY o.identity COLLATE "C";

-- journals whose guard does not fire always
SELECT tgrelid::regclass, tgname, tgenabled FROM pg_trigger WHERE tgfoid = 'economy_internal.forbid_change'::regproc AND tgenabled <> 'A';

-- foreign keys: none, they would make row locks of hot rows
SELECT conname FROM pg_constraint WHERE connamespace IN ('economy'::regnamespace, 'economy_internal'::regnamespace) AND contype = 'f';

-- what access_list() names and what is not there
SELECT object FROM economy.access_list() WHERE to_regprocedure(substring(object FROM '^[A-Z]+ (.*)')) IS NULL;
