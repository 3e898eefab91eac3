-- Journals refuse UPDATE, DELETE and TRUNCATE: for everybody, also without rows.
BEGIN;
SELECT economy.register('pgtap journals') AS u \gset
SELECT economy.upsert_product('{"product_id": "pgtap_j", "category": "item", "price_gold": 1}', 'pgtap') IS NULL AS x \gset
SELECT success AS x FROM economy.adjust_gold(:u, 10, 'k', 'r', 'a') \gset
SELECT success AS x FROM economy.purchase(:u, 'pgtap_j', 'k') \gset
SELECT success AS x FROM economy.grant_reward(:u, 'pgtap', 'k', 1, 1) \gset

-- the journals: every table with the header of an entry, and the catalogue's
CREATE TEMP TABLE journal AS
    SELECT c.oid::regclass AS name, c.relname = 'config_changes' AS of_catalogue FROM pg_class c
    WHERE c.relnamespace IN ('economy'::regnamespace, 'economy_internal'::regnamespace) AND c.relkind IN ('r', 'p')
      AND (c.relname = 'config_changes'
           OR (SELECT count(*) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname IN ('seq', 'gold_delta', 'hash', 'xact')) = 4);
-- 34 tests of each journal of entries, 31 of the catalogue's, 12 others
SELECT plan((SELECT sum(CASE WHEN of_catalogue THEN 31 ELSE 34 END)::integer + 12 FROM journal));

SELECT cmp_ok((SELECT count(*) FROM journal), '>=', 4::bigint, 'there are journals');
SELECT set_has($$SELECT name::text FROM journal$$,
    $$VALUES ('economy.shop_transactions'), ('economy.reward_audit'), ('economy.gold_adjustments'), ('economy.config_changes')$$, 'known ones among them');
SELECT is((SELECT string_agg(j.name::text, ', ') FROM journal j WHERE NOT j.of_catalogue
           AND NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = j.name)
           AND NOT EXISTS (SELECT FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid WHERE d.classid = 'pg_rewrite'::regclass
                           AND d.refobjid = j.name AND r.ev_class = 'economy.ledger'::regclass)), NULL, 'economy.ledger shows every journal of entries');

CREATE FUNCTION pg_temp.refuses(setting text) RETURNS SETOF text LANGUAGE sql AS $$
    -- of a partitioned table there is nothing to truncate but its partitions
    SELECT throws_ok(format(replace(statement, CASE WHEN economy_internal.is_spread(name) THEN 'TRUNCATE ONLY' ELSE '' END, 'TRUNCATE'), name), 'XE101', format('journal %s is append-only', split_part(name::text, '.', 2)),
                     format(statement, name) || ' ' || setting)
    FROM journal, (VALUES ('DELETE FROM %s'), ('DELETE FROM %s WHERE false'), ('DELETE FROM ONLY %s'),
                          ('TRUNCATE %s'), ('TRUNCATE %s CASCADE'), ('TRUNCATE ONLY %s')) v (statement)
    UNION ALL
    SELECT throws_ok(format(statement, name, CASE WHEN of_catalogue THEN 'actor' ELSE 'created_at' END), 'XE101', NULL, format(statement, name, 'a column') || ' ' || setting)
    FROM journal, (VALUES ('UPDATE %s SET %s = DEFAULT'), ('UPDATE %s SET %2$s = %2$s WHERE false'), ('UPDATE %1$s SET %2$s = %2$s')) v (statement)
    UNION ALL
    SELECT throws_ok(format('MERGE INTO %s j USING (SELECT 1) s ON j.%s IS NOT NULL WHEN MATCHED THEN DELETE', name, CASE WHEN of_catalogue THEN 'change_id' ELSE 'seq' END),
                     'XE101', NULL, format('MERGE INTO %s ', name) || setting)
    FROM journal
    UNION ALL
    SELECT throws_ok(format('INSERT INTO %1$s SELECT * FROM %1$s WHERE user_id = %2$s ON CONFLICT ON CONSTRAINT %3$s_pkey DO UPDATE SET gold = 1',
                            name, economy.user_id_of('pgtap journals'), split_part(name::text, '.', 2)), 'XE101', NULL, format('INSERT INTO %s ON CONFLICT DO UPDATE ', name) || setting)
    FROM journal WHERE NOT of_catalogue
$$;
SELECT pg_temp.refuses('as the owner');
SET LOCAL session_replication_role = replica;
SELECT pg_temp.refuses('as a replica');
SET LOCAL session_replication_role = local;
SELECT pg_temp.refuses('as a local session');
SET LOCAL session_replication_role = origin;

SELECT is((SELECT string_agg(row(l.seq, l.gold)::text, ' ' ORDER BY l.seq) FROM economy.ledger l WHERE l.user_id = :u), '(1,10) (2,9) (3,10)', 'the entries stay');
SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s)', :u), 'the chain is clean');

-- the extension does not take its journals along
SELECT throws_ok('DROP EXTENSION economy CASCADE', 'XE102', NULL, 'DROP EXTENSION is refused while a journal holds entries');
SELECT throws_ok('DROP SCHEMA economy CASCADE', '2BP01', NULL, 'so is DROP SCHEMA');
SELECT throws_ok(format('DROP TABLE %s CASCADE', name), '2BP01', NULL, 'and DROP TABLE ' || name) FROM journal;

-- what is the DBA's may go: a column of a journal, and a table that has only the name of one
SELECT lives_ok('ALTER TABLE economy.gold_adjustments ADD COLUMN pgtap_note text DEFAULT ''x''', 'a column of the DBA');
SELECT lives_ok('ALTER TABLE economy.gold_adjustments DROP COLUMN pgtap_note', 'goes');
CREATE TEMP TABLE gold_adjustments AS SELECT 1 AS n;
SELECT lives_ok('DROP TABLE pg_temp.gold_adjustments', 'as a namesake with rows does');

-- a child with entries stays below its journal, whatever else it is below
SET LOCAL client_min_messages = warning;
SELECT economy_internal.is_spread('economy.gold_adjustments') AS spread \gset
\if :spread
SELECT skip('a partitioned table has no children but partitions', 2);
\else
CREATE TEMP TABLE beside (LIKE economy.gold_adjustments);
CREATE TEMP TABLE below () INHERITS (economy.gold_adjustments, beside);
INSERT INTO below SELECT * FROM ONLY economy.gold_adjustments WHERE user_id = :u;
SELECT throws_ok('ALTER TABLE below NO INHERIT economy.gold_adjustments', 'XE102', NULL, 'a child of two that would leave its journal');
SELECT lives_ok('ALTER TABLE below NO INHERIT beside', 'it may leave the other');
\endif

SELECT * FROM finish();
ROLLBACK;
