-- Every object that the extension owns, and the rows that it was installed with, as
-- one text: the same whether a version was installed or updated to.
\pset format unaligned
\pset tuples_only on
\pset null -
CREATE TEMP VIEW object AS
    SELECT d.classid, d.objid, i.type, i.identity
    FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'economy'
    CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, 0) i
    WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e';
CREATE TEMP VIEW relation AS
    SELECT c.*, o.identity FROM object o JOIN pg_class c ON o.classid = 'pg_class'::regclass AND c.oid = o.objid;

SELECT type, identity, obj_description(objid, (SELECT relname FROM pg_class c WHERE c.oid = classid)) FROM object ORDER BY type, identity COLLATE "C";
SELECT extversion, extrelocatable FROM pg_extension WHERE extname = 'economy';
SELECT 'dumped', c.identity, u.condition
FROM pg_extension e, unnest(e.extconfig, e.extcondition) u (oid, condition) JOIN relation c USING (oid)
WHERE e.extname = 'economy' ORDER BY c.identity COLLATE "C";

-- relations, and their columns with the numbers by which C finds them
SELECT 'relation', identity, relkind, relpersistence, relreplident, relrowsecurity, reloptions, relacl FROM relation ORDER BY identity COLLATE "C";
SELECT 'column', c.identity, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attcollation::regcollation, a.attnotnull, a.attidentity,
       a.attgenerated, a.attstorage, a.attcompression, a.attstattarget, a.attisdropped, a.attacl, pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum)
FROM relation c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
ORDER BY c.identity COLLATE "C", a.attnum;
SELECT 'view', identity, pg_get_viewdef(oid) FROM relation WHERE relkind = 'v' ORDER BY identity COLLATE "C";
SELECT 'sequence', c.identity, s.seqtypid::regtype, s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle
FROM relation c JOIN pg_sequence s ON s.seqrelid = c.oid ORDER BY c.identity COLLATE "C";
SELECT 'index', c.identity, pg_get_indexdef(i.indexrelid), i.indisprimary, i.indisreplident
FROM relation c JOIN pg_index i ON i.indrelid = c.oid ORDER BY c.identity COLLATE "C", i.indexrelid::regclass::text COLLATE "C";
SELECT 'constraint', c.identity, k.conname, pg_get_constraintdef(k.oid), k.convalidated
FROM relation c JOIN pg_constraint k ON k.conrelid = c.oid ORDER BY c.identity COLLATE "C", k.conname;
SELECT 'trigger', c.identity, pg_get_triggerdef(t.oid), t.tgenabled
FROM relation c JOIN pg_trigger t ON t.tgrelid = c.oid AND NOT t.tgisinternal ORDER BY c.identity COLLATE "C", t.tgname;
SELECT 'event trigger', evtname, evtevent, evtfoid::regproc, evtenabled, evttags
FROM object o JOIN pg_event_trigger t ON o.classid = 'pg_event_trigger'::regclass AND t.oid = o.objid ORDER BY evtname;

-- functions and types
SELECT 'function', o.identity, CASE p.prokind WHEN 'a' THEN to_jsonb(a)::text ELSE pg_get_functiondef(p.oid) END, p.proacl
FROM object o JOIN pg_proc p ON o.classid = 'pg_proc'::regclass AND p.oid = o.objid
LEFT JOIN (SELECT aggfnoid, aggtransfn, aggfinalfn, aggcombinefn, aggkind, aggtranstype::regtype, agginitval FROM pg_aggregate) a ON a.aggfnoid = p.oid
ORDER BY o.identity COLLATE "C";
SELECT 'type', o.identity, t.typtype, format_type(t.typbasetype, t.typtypmod), t.typnotnull, t.typdefault, t.typacl,
       (SELECT string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid),
       (SELECT string_agg(k.conname || ' ' || pg_get_constraintdef(k.oid), ',' ORDER BY k.conname) FROM pg_constraint k WHERE k.contypid = t.oid)
FROM object o JOIN pg_type t ON o.classid = 'pg_type'::regclass AND t.oid = o.objid ORDER BY o.identity COLLATE "C";

-- rows; what is drawn or taken from the clock differs between any two installations
SELECT format('SELECT %L, (to_jsonb(t) - ARRAY[''secret'', ''installation'', ''id'', ''created_at'', ''changed_at'', ''updated_at'', ''installed_at'', ''started_at'', ''since'', ''xact''])::text COLLATE "C" FROM %s t ORDER BY 2;',
              'row of ' || identity, identity)
FROM relation WHERE relkind = 'r' ORDER BY identity COLLATE "C" \gexec
