-- What sqlsmith is let loose on.  It reads pg_proc without a schema, so a view of
-- that name in front shows it what the role may call and little else, sets as
-- values too.  A table gives it arguments that mean something.
CREATE EXTENSION economy;
SELECT count(*) FROM economy.seed_demo() \g /dev/null
SELECT count(*) FROM economy.simulate(50, 500, 1) \g /dev/null

CREATE SCHEMA smith;
CREATE VIEW smith.pg_proc AS
SELECT p.oid, p.proname, p.pronamespace, p.prorettype, p.proargtypes, p.prokind, false AS proretset
FROM pg_catalog.pg_proc p
WHERE p.prokind = 'f' AND has_function_privilege(p.oid, 'EXECUTE')
  AND (p.pronamespace IN ('economy'::regnamespace, 'economy_internal'::regnamespace)
       OR p.proname IN ('to_jsonb', 'jsonb_build_array', 'row_to_json', 'concat', 'repeat', 'substr', 'now', 'abs', 'int8', 'md5', 'lower', 'length'));
CREATE TABLE smith.words AS
SELECT u.user_id, t.product_id, t.transaction_id, k.key, k.n, k.small, k.doc, k.at
FROM (SELECT user_id FROM economy.users ORDER BY 1 LIMIT 10) u,
     (SELECT product_id, 'P2-' || row_number() OVER () AS transaction_id FROM economy.shop_products LIMIT 8) t,
     (VALUES ('k1', 1::bigint, 1, '{"a": 1}'::jsonb, timestamptz '2026-01-01'),
             ('slot', 9007199254740991, 0, '[{"user_id": 1, "game": "slot", "action_type": "SLOT_SPIN", "action_id": "x", "bet": 1, "win": 2}]', '-infinity'),
             ('', -1, -5, '[]', 'infinity'),
             ('economy:x', 9223372036854775807, 2147483647, '[{"user_id": 1, "source": "s", "external_event_id": "e", "gold": 1}]', '4713-01-01 BC'),
             ('linear', 0, 3, 'null', now()),
             ('Europe/Berlin', 5, 7, '{"product_id": "k1", "price_gold": 1}', NULL),
             (NULL, NULL, NULL, NULL, NULL)) k (key, n, small, doc, at);
CREATE ROLE app LOGIN;
CREATE ROLE monitor LOGIN;
CREATE ROLE admin LOGIN;
SELECT economy.grant_access(r, r) FROM unnest(ARRAY['app', 'monitor', 'admin']) r \g /dev/null
GRANT USAGE ON SCHEMA smith TO app, monitor, admin;
GRANT SELECT, UPDATE ON ALL TABLES IN SCHEMA smith TO app, monitor, admin;
ALTER DATABASE postgres SET search_path = smith, pg_catalog;
ALTER DATABASE postgres SET statement_timeout = '3s';
ALTER SYSTEM SET log_line_prefix = 'smith=%u %e ';
ALTER SYSTEM SET track_functions = 'all';
ALTER SYSTEM SET log_min_messages = warning;
ALTER USER app PASSWORD 'smith';
ALTER USER monitor PASSWORD 'smith';
ALTER USER admin PASSWORD 'smith';
SELECT pg_reload_conf() \g /dev/null
