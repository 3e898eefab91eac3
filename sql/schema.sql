-- What the tables hold and refuse: every column, constraint, index and trigger, seeded
-- rows, rights and the event contract.  A change of one is a change of this answer.
\pset format unaligned
\pset tuples_only on
CREATE TEMP VIEW kept AS
    SELECT c.oid, c.relname, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('economy', 'economy_internal');

-- columns: type, collation, default
SELECT k.relname, a.attname, format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
       || CASE WHEN a.attcollation <> t.typcollation THEN ' COLLATE ' || l.collname ELSE '' END
       || CASE a.attidentity WHEN '' THEN '' ELSE ' IDENTITY ' || a.attidentity::text END
       || CASE a.attgenerated WHEN '' THEN '' ELSE ' GENERATED ' || a.attgenerated::text END
       || coalesce(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), '')
FROM kept k JOIN pg_attribute a ON a.attrelid = k.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_collation l ON l.oid = a.attcollation
LEFT JOIN pg_attrdef d ON d.adrelid = k.oid AND d.adnum = a.attnum
WHERE k.relkind IN ('r', 'p', 'c') ORDER BY k.relname COLLATE "C", a.attnum;

-- constraints, but for NOT NULL
SELECT k.relname, o.conname, pg_get_constraintdef(o.oid) FROM kept k JOIN pg_constraint o ON o.conrelid = k.oid AND o.contype IN ('c', 'p', 'u', 'x', 'f')
ORDER BY k.relname COLLATE "C", o.conname COLLATE "C";

-- indexes of no constraint
SELECT pg_get_indexdef(i.indexrelid) FROM kept k JOIN pg_index i ON i.indrelid = k.oid
WHERE NOT EXISTS (SELECT FROM pg_constraint o WHERE o.conindid = i.indexrelid) ORDER BY pg_get_indexdef(i.indexrelid) COLLATE "C";

-- triggers
SELECT k.relname, t.tgenabled, pg_get_triggerdef(t.oid) FROM kept k JOIN pg_trigger t ON t.tgrelid = k.oid AND NOT t.tgisinternal
ORDER BY k.relname COLLATE "C", t.tgname COLLATE "C";

-- sequences, storage
SELECT k.relname, s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle FROM kept k JOIN pg_sequence s ON s.seqrelid = k.oid
ORDER BY k.relname COLLATE "C";
SELECT k.relname, c.reloptions, c.relreplident FROM kept k JOIN pg_class c USING (oid)
WHERE k.relkind IN ('r', 'p') AND (c.reloptions IS NOT NULL OR c.relreplident <> 'd') ORDER BY k.relname COLLATE "C";

-- what pg_dump takes
SELECT x.relation::regclass, x.condition FROM pg_extension e, unnest(e.extconfig, e.extcondition) x (relation, condition) WHERE e.extname = 'economy'
ORDER BY x.relation::regclass::text COLLATE "C";

-- who may call what, and with which defaults
SELECT level, object FROM economy.access_list() ORDER BY level COLLATE "C", object COLLATE "C";
SELECT DISTINCT p.proname COLLATE "C", pg_get_function_arguments(p.oid) COLLATE "C", pg_get_function_result(p.oid) FROM economy.access_list() a
JOIN pg_proc p ON p.oid = to_regprocedure(substring(a.object FROM '^[A-Z]+ (.*)')) ORDER BY 1, 2;

-- what is there from the beginning
SELECT game, rules FROM economy.games WHERE game IN ('crash', 'gacha', 'rps', 'slot') ORDER BY game;
SELECT 'rfm_models', to_jsonb(t) - 'created_at' FROM economy.rfm_models t ORDER BY 2;
SELECT 'segment_rules', to_jsonb(t) - 'created_at' FROM economy.segment_rules t ORDER BY 2;
SELECT 'recommendation_placements', to_jsonb(t) - 'created_at' FROM economy.recommendation_placements t ORDER BY 2;
SELECT 'recommendation_arms', to_jsonb(t) - 'created_at' FROM economy.recommendation_arms t ORDER BY 2;

-- the event contract
SELECT name, version, jsonb_pretty(schema) FROM economy.event_types ORDER BY name;
SELECT jsonb_pretty(economy.asyncapi() #- '{components,messages}' #- '{info,version}');
