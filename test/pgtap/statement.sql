-- statement(): what each kind of entry says beside its figures, and a type of an older release.
BEGIN;
SELECT no_plan();
SELECT economy.register('pgtap statement') AS u \gset
SELECT count(*) AS x FROM economy.upsert_product('{"product_id": "pgtap_s", "category": "item", "price_gold": 1}', 'pgtap'), economy.upsert_item('{"item_id": "pgtap_gem", "kind": "currency"}', 'pgtap'), economy.register_game('pgtap') \gset
CREATE FUNCTION pg_temp.lines(after bigint DEFAULT 0) RETURNS SETOF text LANGUAGE sql AS
    $$ SELECT concat_ws(' ', s.seq, left(s.transaction_id, 1), coalesce(s.product_id, '-'), coalesce(s.source, '-'), coalesce(s.reason, '-'), coalesce(s.items::text, '-')) FROM economy.statement(economy.user_id_of('pgtap statement'), after) s $$;

SELECT success AS x FROM economy.adjust_gold(:u, 100, 'open', 'opening', 'pgtap') \gset
SELECT success AS x FROM economy.purchase(:u, 'pgtap_s', 'k') \gset
SELECT transaction_id AS reward FROM economy.grant_reward(:u, 'quest', 'e', 5, 7) \gset
SELECT success AS x FROM economy.revoke_reward(:u, :'reward', 'by mistake', 'pgtap') \gset
SELECT success AS x FROM economy.record_action(:u, 'pgtap', 'SPIN', 'a', 1, 2) \gset
SELECT success AS x FROM economy.grant_items(:u, '{"pgtap_gem": 5}', 'welcome', 'k') \gset
SELECT success AS x FROM economy.consume(:u, 'pgtap_gem', 'k', 2) \gset
SELECT success AS x FROM economy.spend(:u, 3, 'revive', 'k') \gset
SELECT economy.set_user_status(:u, 'suspended', 'pgtap', reason => 'a pause') AS x \gset
SELECT economy.set_user_status(:u, 'active', 'pgtap') AS x \gset
SELECT code AS x FROM economy.claim_daily_reward(:u) \gset
SELECT results_eq('SELECT pg_temp.lines()', $$VALUES
    ('1 G - - opening -'), ('2 P pgtap_s - - -'), ('3 R - quest - -'), ('4 R - economy:reversal by mistake -'), ('5 A - pgtap SPIN -'),
    ('6 H - grant welcome [{"item": "pgtap_gem", "delta": 5, "balance": 5}]'), ('7 H - consume use [{"item": "pgtap_gem", "delta": -2, "balance": 3}]'), ('8 H - spend revive -'),
    ('9 U - status a pause -'), ('10 U - status - -'), ('11 R - economy:daily_streak - -')$$, 'each kind of entry');
SELECT is((SELECT string_agg(l, ', ') FROM pg_temp.lines(9) l), '10 U - status - -, 11 R - economy:daily_streak - -', 'after a seq');
SELECT is((SELECT count(*) FROM economy.statement(:u, -1)), 11::bigint, 'from the beginning on');

-- what is stored outside its row is handed out whole
SET LOCAL economy.test_clock = '2031-01-01 12:00+00';
SELECT count(*) AS items FROM generate_series(1, 16) n, economy.upsert_item(jsonb_build_object('item_id', 'pgtap ' || n || md5(n::text), 'kind', 'stack'), 'pgtap') \gset
SELECT format('ALTER TABLE %s ALTER COLUMN items SET STORAGE EXTERNAL, ALTER COLUMN reason SET STORAGE EXTERNAL, SET (toast_tuple_target = 128)', c.oid::regclass) FROM pg_class c WHERE c.oid = 'economy.holding_changes'::regclass AND c.relkind = 'r' OR c.oid IN (SELECT relid FROM pg_partition_tree('economy.holding_changes') WHERE isleaf) \gexec
SELECT success AS x FROM economy.grant_items(:u, (SELECT jsonb_object_agg(item_id, 7) FROM economy.items WHERE item_id ~ '^pgtap [0-9]'), repeat('r', 64), 'many', (SELECT jsonb_object_agg(n, md5(n::text)) FROM generate_series(1, 60) n)) \gset
CREATE TEMP TABLE shown AS SELECT s.* FROM economy.statement(:u, 11) s;
SELECT is(row(s.reason, s.items)::text, row(h.reason, h.items)::text, 'whole') FROM shown s, economy.holding_changes h WHERE h.user_id = :u AND h.seq = s.seq;
SELECT is((SELECT jsonb_array_length(items) FROM shown), 16, 'all of them');
SELECT ok((SELECT max(pg_total_relation_size(c.reltoastrelid)) > 8192 FROM pg_class c WHERE c.oid = 'economy.holding_changes'::regclass OR c.oid IN (SELECT relid FROM pg_partition_tree('economy.holding_changes') WHERE isleaf)), 'which stood elsewhere');

-- objects of 0.2.0 have none of these columns
CREATE TYPE pg_temp.older AS (seq bigint, journal text, transaction_id text, gold_delta bigint, xp_delta bigint, gold bigint, experience_points bigint, created_at timestamptz);
CREATE TYPE pg_temp.other AS (seq bigint, journal text, transaction_id text, gold_delta bigint, xp_delta bigint, gold bigint, experience_points bigint, created_at timestamptz, product_id text);
SELECT format('CREATE FUNCTION pg_temp.statement(user_id bigint, after_seq bigint, max integer, %s) RETURNS SETOF pg_temp.%s LANGUAGE c AS %L, ''eco_statement''', 'pg_temp.' || t, t, p.probin)
FROM unnest('{older,other}'::text[]) t, pg_proc p WHERE p.oid = 'economy.statement(bigint, bigint, integer)'::regprocedure \gexec
SELECT results_eq(format('SELECT * FROM pg_temp.statement(%s, 0, 100, NULL::pg_temp.older)', :u),
    format('SELECT seq, journal, transaction_id, gold_delta, xp_delta, gold, experience_points, created_at FROM economy.statement(%s)', :u), 'they get the others');
SELECT throws_ok(format('SELECT * FROM pg_temp.statement(%s, 0, 100, NULL::pg_temp.other)', :u), 'XE105', NULL, 'but no other type does');

SELECT * FROM finish();
ROLLBACK;
