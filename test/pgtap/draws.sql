-- Fair draws: draw_commit(), draw(), draw_reveal(), verify_draw(), draw tables, simulate_draws().
BEGIN;
SELECT no_plan();

SELECT economy.register('pgtap gambler') AS u \gset
SELECT economy.register('pgtap other gambler') AS v \gset
SELECT count(*) AS x FROM unnest(ARRAY[:u, :v]) i, economy.adjust_gold(i, 100000, 'open', 'pgtap', 'pgtap') \gset
SET LOCAL economy.test_clock = '2031-01-02 03:04:05.5+00';
CREATE FUNCTION pg_temp.brief(p economy.draw_result) RETURNS text LANGUAGE sql AS
    $$ SELECT concat_ws(' ', p.success, p.state, p.code, p.transaction_id, p.outcome, p.items, p.gold_delta, p.gold, p.seed_number, p.nonce, p.retry_after_ms, p.detail) $$;
CREATE FUNCTION pg_temp.wrong() RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(concat_ws(' ', f.kind, f.expected, '|', f.actual), ', ') FROM (SELECT * FROM economy_internal.audit_draws() UNION ALL SELECT * FROM economy_internal.audit_holdings() UNION ALL SELECT * FROM economy_internal.audit_config() UNION ALL SELECT * FROM economy_internal.audit_twice() UNION ALL SELECT * FROM economy_internal.audit_effects() UNION ALL SELECT * FROM economy_internal.audit_prizes()) f $$;
-- the entry of a user, and what the function for everybody says it should have been
CREATE FUNCTION pg_temp.checked(of bigint) RETURNS TABLE (right_ones bigint, others bigint) LANGUAGE sql AS $$
    SELECT count(*) FILTER (WHERE o = e.detail -> 'outcome'), count(*) FILTER (WHERE o IS DISTINCT FROM e.detail -> 'outcome')
    FROM economy.holding_changes e JOIN economy.draw_seeds s ON s.user_id = e.user_id AND s.seed_number = (e.detail ->> 'seed_number')::bigint
    CROSS JOIN LATERAL economy.draw_table(e.reason, (e.detail ->> 'version')::integer) t
    CROSS JOIN LATERAL economy.verify_draw(encode(s.server_seed, 'hex'), e.detail ->> 'client_seed', (e.detail ->> 'nonce')::bigint, t.definition, (e.detail ->> 'pity')::bigint) o
    WHERE e.user_id = of AND e.operation = 'draw' $$;

-- items and a table
SELECT count(*) AS x FROM (VALUES ('{"item_id": "pgtap_ticket", "kind": "currency"}'::jsonb), ('{"item_id": "pgtap_dragon", "kind": "stack", "consumable": false}'), ('{"item_id": "pgtap_wood", "kind": "stack"}'), ('{"item_id": "pgtap_vip", "kind": "pass"}'), ('{"item_id": "pgtap_few", "kind": "stack", "maximum": 2}')) i (item), economy.upsert_item(item, 'pgtap') \gset
SELECT '{"price": {"gold": 100, "items": {"pgtap_ticket": 1}}, "pity": {"class": "rare", "after": 4},
    "entries": [{"entry": "dragon", "class": "rare", "weight": 5, "items": {"pgtap_dragon": 1}}, {"entry": "wood", "weight": 60, "items": {"pgtap_wood": 7}},
                {"entry": "back", "weight": 30, "gold": 150, "items": {"pgtap_ticket": 1}}, {"entry": "vip", "weight": 5, "gold": 1, "items": {"pgtap_vip": 3600, "pgtap_ticket": 3}}]}' AS chest \gset
SELECT is(t::text, '(pgtap_chest,0,,,t,{},{})', 'a draw table needs an id') FROM economy.upsert_draw_table('{"table_id": "pgtap_chest"}', 'ann') t;
SELECT is(pg_temp.brief(p), 'f refused DRAW_TABLE_NOT_FOUND 100000', 'what is not published is not drawn from') FROM economy.draw(:u, 'pgtap_chest', 'k0', 'lucky') p;
SELECT throws_ok($$SELECT economy.publish_draw_table('pgtap_chest', 'ann')$$, 'XE901', 'draw table "pgtap_chest" is not valid', 'without a draft nothing is published');
SELECT is(t.draft, :'chest'::jsonb, 'a draft is kept') FROM economy.upsert_draw_table(jsonb_build_object('table_id', 'pgtap_chest', 'draft', :'chest'::jsonb, 'texts', '{"en": {"name": "Chest"}}'::jsonb), 'bob') t;
SELECT is_empty($$SELECT * FROM economy.draw_table('pgtap_chest')$$, 'and not shown to players');
SELECT is(concat_ws(' ', t.version, t.definition = :'chest'::jsonb, t.draft), '1 t', 'published it is version 1') FROM economy.publish_draw_table('pgtap_chest', 'cleo') t;
SELECT is(concat_ws(' ', t.version_number, t.active, t.definition = :'chest'::jsonb, to_char(t.published_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.MS'), t.texts), '1 t t 2031-01-02 03:04:05.500 {"en": {"name": "Chest"}}', 'and is shown') FROM economy.draw_table('pgtap_chest') t;
SELECT throws_ok($$SELECT economy.publish_draw_table('pgtap_chest', 'ann')$$, 'XE901', NULL, 'once');
SELECT results_eq($$SELECT c.action, c.actor FROM economy.config_changes c WHERE c.relation = 'draw_tables' AND c.key = 'pgtap_chest' ORDER BY c.change_no$$,
    $$VALUES ('create', 'ann'), ('change', 'bob'), ('publish', 'cleo')$$, 'each change is recorded');

SELECT is(concat_ws(' ', t.version, t.draft, t.extra), '1 {"hand": {}} {"by": "ann"}', 'another draft, and what else an app keeps') FROM economy.upsert_draw_table('{"table_id": "pgtap_chest", "draft": {"hand": {}}, "extra": {"by": "ann"}}', 'ann') t;
SELECT is(concat_ws(' ', t.version, t.draft, t.definition = :'chest'::jsonb), '1 t', 'a draft is taken away') FROM economy.upsert_draw_table('{"table_id": "pgtap_chest", "draft": null}', 'ann') t;

-- committing
SELECT is(concat_ws(' ', p.success, p.state, p.code, p.seed_number), 'f refused USER_NOT_FOUND', 'nobody commits to nobody') FROM economy.draw_commit(-1) p;
SELECT is(pg_temp.brief(p), 'f refused SEED_NOT_COMMITTED 100000', 'no draw without a hash that was shown') FROM economy.draw(:u, 'pgtap_chest', 'k0', 'lucky') p;
SELECT concat_ws(' ', p.success, p.state, p.code, p.seed_number, p.draws, p.server_seed, p.next_seed_number, length(p.seed_hash)) AS says, p.seed_hash FROM economy.draw_commit(:u) p \gset
SELECT is(:'says'::text, 't new OK 1 0 64', 'a seed is made, and its hash shown');
SELECT is(concat_ws(' ', p.state, p.seed_number, p.draws, p.server_seed, p.seed_hash), concat_ws(' ', 'reuse', 1, 0, :'seed_hash'), 'the same until it ends') FROM economy.draw_commit(:u) p;
SELECT is(octet_length(s.sealed), 48, 'it is kept sealed') FROM economy.draw_seeds s WHERE s.user_id = :u;
SELECT isnt(encode(sha256(substr(s.sealed, 17)), 'hex'), :'seed_hash'::text, 'and stands nowhere as it is') FROM economy.draw_seeds s WHERE s.user_id = :u;

-- refused, whatever would come
SELECT is(pg_temp.brief(p), 'f refused INSUFFICIENT_ITEMS 100000 {"held": 0, "item": "pgtap_ticket", "needed": 1}', 'the price is asked') FROM economy.draw(:u, 'pgtap_chest', 'k1', 'lucky') p;
SELECT count(*) AS x FROM unnest(ARRAY[:u, :v]) i, economy.grant_items(i, '{"pgtap_ticket": 50}', 'r', 'tickets') \gset
SELECT is(pg_temp.brief(p), 't new OK 100000 {"dry_run": true}', 'a dry run says that it could be, and not what') FROM economy.draw(:u, 'pgtap_chest', 'k1', 'lucky', dry_run => true) p;
SELECT throws_ok(format('SELECT economy.draw(%s)', args), code, NULL, args)
FROM (VALUES (:'u' || ', ''pgtap_chest'', ''k'', ''a:1''', 'XE002'), (:'u' || ', ''pgtap_chest'', ''k'', ''''', 'XE002'), (:'u' || ', ''pgtap_chest'', ''k'', repeat(''x'', 65)', 'XE003'), (:'u' || ', ''pgtap_chest'', ''k'', NULL', 'XE001'),
    (:'u' || ', NULL, ''k'', ''x''', 'XE001'), ('NULL, ''pgtap_chest'', ''k'', ''x''', 'XE001'), (:'u' || ', ''pgtap_chest'', ''k'', ''x'', ''[]''', 'XE002')) v (args, code);

-- drawn
SELECT pg_temp.brief(p) AS said, p.outcome ->> 'entry' AS entry, p.seed_hash AS hash_said FROM economy.draw(:u, 'pgtap_chest', 'k1', 'lucky', '{"by": "pgtap"}') p \gset
SELECT matches(:'said'::text, '^t new OK H[0-9]+-3 ', 'a draw is an entry');
SELECT is(:'hash_said'::text, :'seed_hash'::text, 'of the seed that was shown');
SELECT is(pg_temp.brief(p), replace(:'said', ' new ', ' reuse '), 'sent again it answers the same') FROM economy.draw(:u, 'pgtap_chest', 'k1', 'lucky', '{"by": "pgtap"}') p;
SELECT is(p.code || ' ' || p.detail, says, 'another payload: ' || says)
FROM (VALUES ('pgtap_chest', 'other', '{"by": "pgtap"}'::jsonb, 'IDEMPOTENCY_MISMATCH {"now": "other", "field": "client_seed", "first": "lucky"}'), ('pgtap_two', 'lucky', '{"by": "pgtap"}', 'IDEMPOTENCY_MISMATCH {"now": "pgtap_two", "field": "draw_table", "first": "pgtap_chest"}'),
    ('pgtap_chest', 'lucky', NULL, 'IDEMPOTENCY_MISMATCH {"now": null, "field": "context", "first": {"by": "pgtap"}}')) v (draw_table, client_seed, context, says), economy.draw(:u, v.draw_table, 'k1', v.client_seed, v.context) p;
SELECT count(*) AS x FROM generate_series(2, 30) n, economy.draw(:u, 'pgtap_chest', 'k' || n, 'lucky') p \gset
SELECT is(pg_temp.wrong(), NULL, 'thirty draws are sound while the seed is not known');
SELECT is(array_agg((e.detail ->> 'nonce')::integer ORDER BY e.seq), array_agg(n ORDER BY n), 'nonces have no gap')
FROM (SELECT e.*, row_number() OVER (ORDER BY e.seq)::integer - 1 AS n FROM economy.holding_changes e WHERE e.user_id = :u AND e.operation = 'draw') e;
SELECT ok(max((e.detail ->> 'pity')::integer) <= 4 AND bool_and((e.detail ->> 'pity')::integer < 4 OR (e.detail -> 'outcome' ->> 'class' = 'rare' AND e.detail -> 'outcome' -> 'guaranteed' = 'true')), 'after four draws without it the class comes')
FROM economy.holding_changes e WHERE e.user_id = :u AND e.operation = 'draw';
SELECT is(a.gold::numeric, 100000 + (SELECT sum(e.gold_delta) FROM economy.holding_changes e WHERE e.user_id = :u), 'gold is what the entries say') FROM economy.accounts a WHERE a.user_id = :u;

-- revealed
SELECT is(concat_ws(' ', p.success, p.state, p.code, p.seed_number, p.server_seed), 'f refused SEED_NOT_FOUND', 'another number reveals nothing') FROM economy.draw_reveal(:u, 2) p;
SELECT is(p.code, 'USER_NOT_FOUND', 'nor does nobody''s') FROM economy.draw_reveal(-1, 1) p;
SELECT p.*, concat_ws(' ', p.success, p.state, p.code, p.seed_number, p.draws, p.next_seed_number) AS says FROM economy.draw_reveal(:u, 1) p \gset
SELECT is(:'says'::text, 't new OK 1 30 2', 'the seed is ended, and there is the next');
SELECT is((SELECT p.state || coalesce(p.server_seed, '') FROM economy.draw_reveal(:u, 1) p), 'reuse', 'it is not told by the transaction that ended it, which may be rolled back');
-- as a later one is told it, see tap/t/840_draws.pl
SELECT encode(s.server_seed, 'hex') AS server_seed FROM economy.draw_seeds s WHERE s.user_id = :u AND s.seed_number = 1 \gset
SELECT is(encode(sha256(decode(:'server_seed', 'hex')), 'hex'), :'seed_hash'::text, 'it is the one that was committed to');
SELECT is(concat_ws(' ', p.state, p.seed_number, p.server_seed, p.next_seed_number, p.next_seed_hash), concat_ws(' ', 'reuse', 1, 2, :'next_seed_hash'), 'asked again no other is ended') FROM economy.draw_reveal(:u, 1) p;
SELECT is(concat_ws(' ', p.state, p.seed_number, p.seed_hash), concat_ws(' ', 'reuse', 2, :'next_seed_hash'), 'the next is what is drawn with now') FROM economy.draw_commit(:u) p;
SELECT results_eq(format('SELECT * FROM pg_temp.checked(%s)', :u), 'VALUES (30::bigint, 0::bigint)', 'every draw was what it should be');
SELECT is(concat_ws(' ', p.seed_number, p.nonce), '2 0', 'nonces begin again') FROM economy.draw(:u, 'pgtap_chest', 'k31', 'lucky') p;
SELECT is(pg_temp.wrong(), NULL, 'the audit has recomputed them');

-- XP is a prize, too
SELECT economy.register('pgtap scholar') AS y \gset
SELECT count(*) AS x FROM economy.adjust_gold(:y, 10, 'open', 'pgtap', 'pgtap'), economy.draw_commit(:y) \gset
SELECT count(*) AS x FROM economy.upsert_draw_table('{"table_id": "pgtap_exam", "draft": {"price": {"gold": 1}, "entries": [{"entry": "passed", "weight": 1, "xp": 700, "gold": 3, "items": {"pgtap_wood": 1}}]}}', 'ann'), economy.publish_draw_table('pgtap_exam', 'ann') \gset
SELECT concat_ws(' ', p.state, p.items, p.gold_delta, p.detail) AS said, p.transaction_id AS exam FROM economy.draw(:y, 'pgtap_exam', 'x1', 'lucky') p \gset
SELECT matches(:'said'::text, E'^new .* 2 \\{"level": 2, "xp_delta": 700, "leveled_up": true, "experience_points": 700\\}$', 'a draw that gives XP says what it led to');
SELECT is(concat_ws(' ', p.state, p.items, p.gold_delta, p.detail), replace(:'said', 'new ', 'reuse '), 'and so does its retry') FROM economy.draw(:y, 'pgtap_exam', 'x1', 'lucky') p;
SELECT is(a.level || ' ' || a.experience_points, '2 700', 'the account has it') FROM economy.account(:y) a;
SELECT is((SELECT string_agg(concat_ws(' ', r.type, r.event #>> '{data,xp_delta}', r.event #>> '{data,after}'), ', ') FROM economy.replay(:y, 0) r WHERE r.event ->> 'id' ~ ('^' || :'exam' || '(/|$)')), 'holding_update 700, profile_update 2', 'events tell it, and the level');
SELECT throws_ok($$SELECT economy.upsert_draw_table('{"table_id": "pgtap_exam", "draft": {"entries": [{"entry": "a", "weight": 1, "xp": -1}]}}', 'ann')$$, 'XE901', 'draw table "pgtap_exam" is not valid', 'no prize takes XP');
SELECT is(economy.simulate_draws('{"entries": [{"entry": "a", "weight": 1, "xp": 4}]}', 10) #> '{average,xp}', '4', 'a simulation counts it');
SELECT count(*) AS x FROM economy.upsert_draw_table('{"table_id": "pgtap_exam", "draft": {"entries": [{"entry": "all", "weight": 1, "xp": 9007199254740991}, {"entry": "none", "weight": 1000000000000}]}}', 'ann'), economy.publish_draw_table('pgtap_exam', 'ann') \gset
SELECT is(p.code, 'GOLD_OVERFLOW', 'who could not be given a prize draws none') FROM economy.draw(:y, 'pgtap_exam', 'x2', 'lucky') p;

-- the next version; draws of the past are of theirs
SELECT count(*) AS x FROM economy.upsert_draw_table('{"table_id": "pgtap_chest", "draft": {"entries": [{"entry": "only", "weight": 1, "gold": 5}]}}', 'ann') \gset
SELECT is(p.detail, NULL, 'a draft changes nothing') FROM economy.draw(:u, 'pgtap_chest', 'k32', 'lucky') p WHERE p.outcome ->> 'entry' <> 'only';
SELECT is(t.version, 2, 'published') FROM economy.publish_draw_table('pgtap_chest', 'ann') t;
SELECT is(pg_temp.brief(p), 't new OK H' || :u || '-35 {"entry": "only"} 5 ' || p.gold || ' 2 2', 'it is drawn from') FROM economy.draw(:u, 'pgtap_chest', 'k33', 'lucky') p;
SELECT is(concat_ws(' ', t.version_number, t.active, t.definition = :'chest'::jsonb), '1 f t', 'the version before is still shown, as no longer drawn from') FROM economy.draw_table('pgtap_chest', 1) t;
SELECT is(t.active, false, 'withdrawn') FROM economy.upsert_draw_table('{"table_id": "pgtap_chest", "active": false}', 'ann') t;
SELECT is(p.code, 'DRAW_TABLE_INACTIVE', 'it is not drawn from') FROM economy.draw(:u, 'pgtap_chest', 'k34', 'lucky') p;
SELECT is(p.state, 'reuse', 'a retry is answered') FROM economy.draw(:u, 'pgtap_chest', 'k33', 'lucky') p;
SELECT is(pg_temp.wrong(), NULL, 'all that is sound');

-- no outcome is refused: all could be given, or nothing is drawn
SELECT count(*) AS x FROM economy.upsert_draw_table('{"table_id": "pgtap_few", "draft": {"entries": [{"entry": "often", "weight": 999, "gold": 1}, {"entry": "seldom", "weight": 1, "items": {"pgtap_few": 2}}]}}', 'ann'), economy.publish_draw_table('pgtap_few', 'ann') \gset
SELECT count(*) AS x FROM economy.draw_commit(:v) \gset
SELECT is(p.outcome, '{"entry": "often"}'::jsonb, 'what can be given is drawn') FROM economy.draw(:v, 'pgtap_few', 'f1', 'x') p;
SELECT count(*) AS x FROM economy.grant_items(:v, '{"pgtap_few": 1}', 'r', 'few') \gset
SELECT is(pg_temp.brief(p), 'f refused ITEM_LIMIT 100001 {"held": 1, "item": "pgtap_few", "at_most": 2}', 'what could not be given is not drawn, likely or not') FROM economy.draw(:v, 'pgtap_few', 'f2', 'x') p;
SELECT is(p.code, 'ITEM_LIMIT', 'also in a dry run') FROM economy.draw(:v, 'pgtap_few', 'f2', 'x', dry_run => true) p;
SAVEPOINT less;
SELECT count(*) AS x FROM economy.upsert_draw_table('{"table_id": "pgtap_few", "draft": {"entries": [{"entry": "seldom", "weight": 1, "items": {"pgtap_few": 2}}, {"entry": "often", "weight": 999, "items": {"pgtap_few": 1}}]}}', 'ann'), economy.publish_draw_table('pgtap_few', 'ann') \gset
SELECT is(p.code, 'ITEM_LIMIT', 'nor when less of it could be') FROM economy.draw(:v, 'pgtap_few', 'f2', 'x') p;
ROLLBACK TO less;
SELECT count(*) AS x FROM economy.consume(:v, 'pgtap_few', 'c') \gset
SELECT is(p.nonce, 1::bigint, 'a refused draw takes no nonce') FROM economy.draw(:v, 'pgtap_few', 'f2', 'x') p;
SELECT count(*) AS x FROM generate_series(1, 40) n, economy.upsert_item(jsonb_build_object('item_id', 'pgtap prize ' || n, 'kind', 'stack', 'maximum', n), 'ann') \gset
SELECT count(*) AS x FROM economy.upsert_draw_table(jsonb_build_object('table_id', 'pgtap_many', 'draft', jsonb_build_object('entries', (SELECT jsonb_agg(jsonb_build_object('entry', n::text, 'weight', 1, 'items', jsonb_build_object('pgtap prize ' || n, 1))) FROM generate_series(1, 40) n))), 'ann'), economy.publish_draw_table('pgtap_many', 'ann') \gset
CREATE FUNCTION pg_temp.full_of(who bigint, n integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    says text;
BEGIN
    PERFORM economy.grant_items(who, jsonb_build_object('pgtap prize ' || n, n), 'r', 'full');
    says := (SELECT concat_ws(' ', d.code, d.detail ->> 'item') FROM economy.draw(who, 'pgtap_many', 'full', 'x') d);
    RAISE EXCEPTION USING ERRCODE = 'PT001';
EXCEPTION WHEN SQLSTATE 'PT001' THEN
    RETURN says;
END
$$;
SELECT is((SELECT string_agg(concat_ws(' ', n, f.says), ', ' ORDER BY n) FROM generate_series(1, 40) n, pg_temp.full_of(:v, n) f (says) WHERE f.says IS DISTINCT FROM 'ITEM_LIMIT pgtap prize ' || n), NULL, 'whichever of them it is');
SELECT is((SELECT string_agg(p.code || ' ' || p.detail, ', ') FROM generate_series(1, 40) n, LATERAL (SELECT economy.grant_items(:v, jsonb_build_object('pgtap prize ' || n, n), 'r', 'many ' || n) AS g OFFSET 0) g, LATERAL (SELECT * FROM economy.draw(:v, 'pgtap_many', 'm', 'x', dry_run => (g.g).code = 'OK') OFFSET 0) p WHERE n = 37),
    'ITEM_LIMIT {"held": 37, "item": "pgtap prize 37", "at_most": 37, "dry_run": true}', 'however many prizes there are');
SELECT count(*) AS x FROM economy.upsert_draw_table('{"table_id": "pgtap_rich", "draft": {"entries": [{"entry": "a", "weight": 999, "gold": 1}, {"entry": "b", "weight": 1, "gold": 9007199254740991}]}}', 'ann'), economy.publish_draw_table('pgtap_rich', 'ann') \gset
SELECT is(p.code, 'GOLD_OVERFLOW', 'nor what would be more gold than anybody may have') FROM economy.draw(:v, 'pgtap_rich', 'r1', 'x') p;
SELECT count(*) AS x FROM economy.set_user_status(:v, 'suspended', 'pgtap') \gset
SELECT is(p.code, 'USER_SUSPENDED', 'the suspended do not draw') FROM economy.draw(:v, 'pgtap_few', 'f3', 'x') p;
SELECT is(concat_ws(' ', p.state, p.draws), 'new 2', 'but may have shown what was drawn') FROM economy.draw_reveal(:v, 1) p;
SELECT count(*) AS x FROM economy.set_user_status(:v, 'active', 'pgtap') \gset
SELECT is(p.code || ' ' || p.detail, 'INSUFFICIENT_GOLD {"needed": 100003}', 'gold of the price')
FROM (SELECT economy.upsert_draw_table('{"table_id": "pgtap_dear", "draft": {"price": {"gold": 100003}, "entries": [{"entry": "a", "weight": 1, "gold": 9}]}}', 'ann')) x, economy.publish_draw_table('pgtap_dear', 'ann') t, economy.draw(:v, t.table_id, 'd1', 'x') p;

-- prizes of which there are so many, for all users together
SELECT '{"entries": [{"entry": "crown", "class": "rare", "weight": 9007199254740991, "limit": 2, "else": "coin", "gold": 7, "items": {"pgtap_wood": 1}}, {"entry": "coin", "weight": 1, "gold": 3}]}' AS crowns \gset
SELECT count(*) AS x FROM economy.upsert_draw_table(jsonb_build_object('table_id', 'pgtap_crown', 'draft', :'crowns'::jsonb), 'ann'), economy.publish_draw_table('pgtap_crown', 'ann') \gset
SELECT is(t.given, '{"crown": 0}'::jsonb, 'none is given yet') FROM economy.draw_table('pgtap_crown') t;
SELECT is(t.given, NULL, 'of a table without such prizes nothing is said') FROM economy.draw_table('pgtap_few') t;
SAVEPOINT crown;
SELECT is(p.detail, '{"prize_number": 1}'::jsonb, 'the first') FROM economy.draw(:u, 'pgtap_crown', 'c0', 'x') p;
ROLLBACK TO crown;
SELECT is(concat_ws(' ', p.code, p.outcome, p.detail, p.items -> 0 ->> 'delta', p.gold_delta), says, key)
FROM (VALUES (:u, 'c1', 'OK {"class": "rare", "entry": "crown"} {"prize_number": 1} 1 7'), (:v, 'c1', 'OK {"class": "rare", "entry": "crown"} {"prize_number": 2} 1 7'),
    (:v, 'c2', 'OK {"class": "rare", "entry": "crown"} {"instead": "coin"} 3'), (:u, 'c2', 'OK {"class": "rare", "entry": "crown"} {"instead": "coin"} 3')) v (who, key, says), economy.draw(who, 'pgtap_crown', key, 'x') p;
SELECT is(concat_ws(' ', p.state, p.detail, p.gold_delta), says, 'sent again: ' || key) FROM (VALUES (:v, 'c1', 'reuse {"prize_number": 2} 7'), (:v, 'c2', 'reuse {"instead": "coin"} 3')) v (who, key, says), economy.draw(who, 'pgtap_crown', key, 'x') p;
SELECT is(t.given, '{"crown": 2}'::jsonb, 'both are given') FROM economy.draw_table('pgtap_crown') t;
SELECT is(pg_temp.wrong(), NULL, 'and audited');
SELECT count(*) AS x FROM economy.upsert_draw_table(jsonb_build_object('table_id', 'pgtap_crown', 'draft', jsonb_set(:'crowns', '{entries,0,limit}', '3')), 'ann'), economy.publish_draw_table('pgtap_crown', 'ann') \gset
SELECT is(p.detail, says::jsonb, 'of the next version, which has one more: ' || key) FROM (VALUES ('c3', '{"prize_number": 3}'), ('c4', '{"instead": "coin"}')) v (key, says), economy.draw(:u, 'pgtap_crown', key, 'x') p;
SELECT is(economy.simulate_draws(:'crowns', 1000) #> '{entries,crown}', '{"class": "rare", "drawn": 1000, "given": 2, "share": 1.000000, "chance": 1.000000}', 'a simulation gives them out');
SELECT is(economy.simulate_draws(:'crowns', 1000) #> '{average,gold}', '3.008', 'and then the others');
SELECT is((SELECT string_agg(concat_ws(' ', e.key, e.value ->> 'drawn', e.value ->> 'given'), ', ' ORDER BY e.key) FROM jsonb_each(economy.simulate_draws(:'crowns', 1000) -> 'entries') e), 'coin 0 998, crown 1000 2', 'of which it tells, too');
SELECT is(pg_temp.wrong(), NULL, 'all that is sound');
SAVEPOINT uncounted;
DELETE FROM economy.draw_prizes WHERE table_id = 'pgtap_crown';
SELECT throws_ok(format('SELECT economy.draw(%s, ''pgtap_crown'', ''c5'', ''x'')', :u), 'XE103', 'prizes of draw table "pgtap_crown" are not counted', 'prizes that are not counted are not given');
ROLLBACK TO uncounted;

-- what else can be drawn
SELECT count(*) AS x FROM (VALUES ('dice', '{"dice": {"count": 3, "sides": 20}}'::jsonb), ('reels', '{"reels": [["a", "b", "c"], ["a", "b"]], "price": {"gold": 10}}'), ('sample', '{"sample": {"count": 5, "of": 52}}'), ('crash', '{"crash": {"edge": 10000}}'), ('hand', '{"hand": {}}')) t (id, draft),
    economy.upsert_draw_table(jsonb_build_object('table_id', 'pgtap_' || id, 'draft', draft), 'ann') u, economy.publish_draw_table(u.table_id, 'ann') \gset
SELECT matches(regexp_replace(pg_temp.brief(p), '[0-9]{3,}', '999', 'g'), says, id)
FROM (VALUES ('dice', 'OK H[0-9]+-[0-9]+ {"dice": [[][0-9]+, [0-9]+, [0-9]+[]]} 0'), ('reels', '{"reels": [[]"[abc]", "[ab]"[]]} -10'), ('sample', '{"sample": [[][0-9]+, [0-9]+, [0-9]+, [0-9]+, [0-9]+[]]} 0'), ('crash', '{"crash": 999} 0'), ('hand', '{"hand": "(rock|paper|scissors)"} 0')) v (id, says),
    economy.draw(:v, 'pgtap_' || id, id, 'lucky') p;
SELECT is(p.next_seed_number, 3::bigint, 'revealed') FROM economy.draw_reveal(:v, 2) p;
SELECT results_eq(format('SELECT * FROM pg_temp.checked(%s)', :v), 'VALUES (9::bigint, 0::bigint)', 'they are all what they should be');
SELECT is(pg_temp.wrong(), NULL, 'and sound');

-- known outcomes, of the seed 00 01 02 ... 1f (as in test/unit/test_draw.c)
SELECT string_agg(lpad(to_hex(n), 2, '0'), '' ORDER BY n) AS known FROM generate_series(0, 31) n \gset
SELECT is(economy.verify_draw(:'known', 'lucky', nonce, definition::jsonb), says::jsonb, definition)
FROM (VALUES (2, '{"dice": {"count": 6, "sides": 6}}', '{"dice": [6, 3, 3, 6, 4, 3]}'), (3, '{"sample": {"count": 7, "of": 52}}', '{"sample": [2, 0, 16, 33, 51, 1, 39]}'), (0, '{"hand": {}}', '{"hand": "scissors"}'), (6, '{"hand": {}}', '{"hand": "rock"}'),
    (4, '{"reels": [["a", "b", "c"], ["a", "b", "c", "d", "e", "f", "g"], ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t", "u", "v"]]}', '{"reels": ["b", "e", "i"]}'), (1, '{"crash": {"edge": 10000}}', '{"crash": 469181}'), (1, '{"crash": {}}', '{"crash": 473920}'),
    (8, '{"entries": [{"entry": "a", "weight": 5}, {"entry": "b", "weight": 20, "class": "x"}, {"entry": "c", "weight": 75}]}', '{"entry": "b", "class": "x"}')) v (nonce, definition, says);
SELECT is(economy.verify_draw(upper(:'known'), 'lucky', 0, :'chest', pity), says, 'with pity ' || pity)
FROM (VALUES (0, '{"pity": 1, "entry": "wood", "guaranteed": false}'::jsonb), (3, '{"pity": 4, "entry": "wood", "guaranteed": false}'), (4, '{"pity": 0, "class": "rare", "entry": "dragon", "guaranteed": true}')) v (pity, says);
SELECT throws_ok(format('SELECT economy.verify_draw(%s)', args), code, NULL, args)
FROM (VALUES ('NULL, ''x'', 0, ''{"hand": {}}''', 'XE001'), (quote_literal(:'known') || ', NULL, 0, ''{"hand": {}}''', 'XE001'), (quote_literal(:'known') || ', ''x'', NULL, ''{"hand": {}}''', 'XE001'), (quote_literal(:'known') || ', ''x'', 0, NULL', 'XE001'), (quote_literal(:'known') || ', ''x'', 0, ''{"hand": {}}'', NULL', 'XE001'),
    (quote_literal(left(:'known', 62)) || ', ''x'', 0, ''{"hand": {}}''', 'XE002'), (quote_literal('zz' || left(:'known', 62)) || ', ''x'', 0, ''{"hand": {}}''', 'XE002'), (quote_literal(:'known') || ', ''x:y'', 0, ''{"hand": {}}''', 'XE002'), (quote_literal(:'known') || ', ''x'', -1, ''{"hand": {}}''', 'XE002'),
    (quote_literal(:'known') || ', ''x'', 0, ''{"hand": {}}'', -1', 'XE002'), (quote_literal(:'known') || ', ''x'', 0, ''{}''', 'XE002')) v (args, code);

-- what is no table
CREATE FUNCTION pg_temp.why(draft text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    says text;
BEGIN
    IF draft <> '' THEN
        PERFORM economy.upsert_draw_table(jsonb_build_object('table_id', 'pgtap_bad', 'draft', draft::jsonb), 'ann');
    END IF;
    PERFORM economy.publish_draw_table('pgtap_bad', 'ann');
    RETURN 'published';
EXCEPTION WHEN SQLSTATE 'XE901' THEN
    GET STACKED DIAGNOSTICS says = PG_EXCEPTION_DETAIL;
    RETURN says;
END
$$;
SELECT is(pg_temp.why(''), 'There is no such draw table.', 'none');
SELECT is(pg_temp.why(draft), says, draft)
FROM (VALUES ('null', 'It has no draft; economy.upsert_draw_table() gives it one.'), ('[]', 'It must be a JSON object.'), ('{}', 'It needs entries, dice, reels, a sample, crash or hand.'), ('{"hand": {}, "crash": {}}', 'It has "crash" and "hand".'), ('{"hand": {}, "colour": 1}', '"colour" is nothing that it can have.'), ('{"hand": []}', '"hand" must be an object.'),
    ('{"hand": {"x": 1}}', '"x" is nothing that it can have.'), ('{"crash": {"edge": 1000000}}', '"edge" must be a whole number from 0 to 999999.'), ('{"crash": {"edge": 0.5}}', '"edge" must be a whole number from 0 to 999999.'), ('{"crash": {"edge": "1"}}', '"edge" must be a whole number from 0 to 999999.'),
    ('{"dice": {"sides": 1}}', '"sides" must be a whole number from 2 to 1000000.'), ('{"dice": {"count": 1001}}', '"count" must be a whole number from 1 to 100.'), ('{"sample": {"of": 5, "count": 6}}', '"count" must be a whole number from 1 to 5.'), ('{"reels": []}', '"reels" must have 1 to 16 of them.'),
    ('{"reels": {}}', '"reels" must be an array.'), ('{"reels": [[]]}', 'A reel must have 1 to 256 symbols.'), ('{"reels": [["a"], 1]}', 'A reel must be an array of texts.'), ('{"reels": [["a", 1]]}', 'A symbol must be a text of at most 64 bytes.'),
    ('{"entries": []}', '"entries" must have 1 to 1000 of them.'), ('{"entries": [1]}', 'An entry must be an object.'), ('{"entries": [{"weight": 1}]}', 'An entry has no name, "entry".'), ('{"entries": [{"entry": "a"}]}', 'The weight of "a" must be 1 or more.'), ('{"entries": [{"entry": "a", "weight": 0}]}', 'The weight of "a" must be 1 or more.'),
    ('{"entries": [{"entry": "a", "weight": -1}]}', '"weight" must be a whole number from 0 to 9007199254740992.'), ('{"entries": [{"entry": "a", "weight": 9007199254740992}, {"entry": "b", "weight": 1}]}', 'The weights are more than 2^53 together.'), ('{"entries": [{"entry": "a", "weight": 1}, {"entry": "a", "weight": 1}]}', 'Two entries are called "a".'),
    ('{"entries": [{"entry": "a", "weight": 1, "limit": 5}]}', '"a" must have a "limit" of 1 or more and an "else", or neither.'), ('{"entries": [{"entry": "a", "weight": 1, "else": "a"}]}', '"a" must have a "limit" of 1 or more and an "else", or neither.'),
    ('{"entries": [{"entry": "a", "weight": 1, "limit": 5, "else": "b"}]}', '"else" of "a" must name an entry without a limit.'), ('{"entries": [{"entry": "a", "weight": 1, "limit": 5, "else": "a"}]}', '"else" of "a" must name an entry without a limit.'),
    ('{"entries": [{"entry": "a", "weight": 1, "limit": 5, "else": "b"}, {"entry": "b", "weight": 1, "limit": 5, "else": "a"}]}', '"else" of "a" must name an entry without a limit.'), ('{"entries": [{"entry": "a", "weight": 1, "limit": -5}]}', '"limit" must be a whole number from 0 to 9007199254740991.'),
    ('{"entries": [{"entry": "", "weight": 1}]}', '"entry" must be a text of 1 to 64 bytes.'), ('{"entries": [{"entry": "a", "weight": 1, "gold": -1}]}', '"gold" must be a whole number from 0 to 9007199254740991.'), ('{"entries": [{"entry": "a", "weight": 1, "items": 1}]}', '"items" must be an object.'),
    ('{"entries": [{"entry": "a", "weight": 1, "items": {"pgtap_wood": 0}}]}', 'the amount of "pgtap_wood" in items must be a whole number from 1 to 2^53-1.'), ('{"entries": [{"entry": "a", "weight": 1, "items": {"pgtap_none": 1}}]}', 'there is no item "pgtap_none".'),
    ('{"entries": [{"entry": "a", "weight": 1, "items": {"pgtap_few": 3}}]}', '3 of item "pgtap_few" are above its maximum.'), ('{"entries": [{"entry": "a", "weight": 1}], "price": {"items": {"pgtap_dragon": 1}}}', 'item "pgtap_dragon" of the price is not consumable.'), ('{"hand": {}, "price": {"silver": 1}}', '"silver" is nothing that it can have.'),
    ('{"hand": {}, "pity": {"class": "a", "after": 1}}', 'Only "entries" have a "pity".'), ('{"entries": [{"entry": "a", "weight": 1}], "pity": {"class": "rare", "after": 5}}', 'No entry is of the class "rare", which "pity" gives.'),
    ('{"entries": [{"entry": "a", "class": "rare", "weight": 1}], "pity": {"class": "rare"}}', '"pity" needs a "class", and "after" how many draws without it.'), ('{"entries": [{"entry": "a", "class": "rare", "weight": 1}], "pity": {"class": "rare", "after": 1}}', 'published')) v (draft, says);
-- every event can be told: of the longest names, keys and numbers
SELECT count(*) AS x FROM generate_series(1, 16) n, economy.upsert_item(jsonb_build_object('item_id', chr(n) || repeat(chr(1), 63), 'kind', 'stack'), 'ann') a, economy.upsert_item(jsonb_build_object('item_id', 'i' || n || repeat('x', 64 - length('i' || n)), 'kind', 'stack'), 'ann') b \gset
CREATE FUNCTION pg_temp.longest(id text, draft jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM economy.upsert_draw_table(jsonb_build_object('table_id', chr(2) || repeat(chr(1), 62) || id, 'draft', draft), 'ann');
    RETURN (economy.publish_draw_table(chr(2) || repeat(chr(1), 62) || id, 'ann')).version;
EXCEPTION WHEN SQLSTATE 'XE901' THEN
    RETURN 'refused';
END
$$;
CREATE FUNCTION pg_temp.items(prefix text, n integer) RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_object_agg(CASE prefix WHEN '' THEN chr(i) || repeat(chr(1), 63) ELSE 'i' || i || repeat('x', 64 - length('i' || i)) END, 1000000000000000 + i) FROM generate_series(1, n) i $$;
CREATE FUNCTION pg_temp.entry(prefix text, n integer) RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_build_object('pity', '{"class": "c", "after": 9007199254740991}'::jsonb, 'entries', jsonb_build_array(jsonb_build_object('entry', repeat(chr(1), 64), 'class', repeat(chr(1), 64), 'weight', 1, 'items', pg_temp.items(prefix, n)), '{"entry": "a", "class": "c", "weight": 1}'::jsonb)) $$;
SELECT is(pg_temp.longest(id, draft), says, 'of an event: ' || id)
FROM (VALUES ('a', pg_temp.entry('', 16), 'refused'), ('b', pg_temp.entry('', 3), '1'), ('c', pg_temp.entry('i', 16), '1'), ('d', '{"dice": {"count": 100, "sides": 1000000}}', '1'), ('e', '{"sample": {"count": 100, "of": 1000}}', '1'), ('f', jsonb_build_object('reels', (SELECT jsonb_agg(jsonb_build_array(repeat(chr(1), 64))) FROM generate_series(1, 16))), 'refused'),
    ('g', jsonb_build_object('reels', (SELECT jsonb_agg(jsonb_build_array(repeat('x', 64))) FROM generate_series(1, 16))), '1')) v (id, draft, says);
SELECT economy.register('pgtap long events') AS w \gset
SELECT count(*) AS x FROM economy.draw_commit(:w) \gset
SELECT is(p.code, 'OK', 'drawn: ' || id) FROM unnest('{b,c,d,e,g}'::text[]) id, economy.draw(:w, chr(2) || repeat(chr(1), 62) || id, id || repeat(chr(1), 254), repeat(chr(1), 64)) p;
SELECT is((SELECT count(*) FROM economy.replay(:w, 0, 100) r WHERE r.type = 'holding_update'), 5::bigint, 'and all told');
SELECT throws_ok(format('SELECT economy.upsert_draw_table(%L, ''ann'')', t), 'XE901', NULL, 'no draw table: ' || left(t, 60))
FROM (VALUES ('[]'), ('{}'), ('null'), ('{"table_id": ""}'), ('{"table_id": "x", "version": 3}'), ('{"table_id": "x", "definition": {}}'), ('{"table_id": "x", "active": null}'), ('{"table_id": "x", "texts": {"en": 1}}'), ('{"table_id": "x", "extra": []}'), (jsonb_build_object('table_id', repeat('x', 65))::text)) v (t);
SELECT count(*) AS x FROM economy.upsert_item('{"item_id": "pgtap_wood", "active": false}', 'ann') \gset
SELECT is(pg_temp.why('{"entries": [{"entry": "a", "weight": 1, "items": {"pgtap_wood": 1}}]}'), 'item "pgtap_wood" is not given any more.', 'nor is what is no longer given published');

-- simulated
SELECT economy.simulate_draws(:'chest', 20000) AS simulated \gset
SELECT is(:'simulated'::jsonb, economy.simulate_draws(:'chest', 20000, 'simulation'), 'a simulation is the same each time');
SELECT isnt(:'simulated'::jsonb, economy.simulate_draws(:'chest', 20000, 'another'), 'by its seed');
SELECT is(:'simulated'::jsonb ->> 'draws', '20000', 'of so many draws');
SELECT is((SELECT sum((e.value ->> 'drawn')::integer) FROM jsonb_each(:'simulated'::jsonb -> 'entries') e), 20000::bigint, 'each draw is one entry');
SELECT ok((:'simulated'::jsonb #>> '{entries,dragon,share}')::numeric BETWEEN 0.2 AND 0.24 AND :'simulated'::jsonb #>> '{entries,dragon,chance}' = '0.050000', 'pity gives more than the chance says');
SELECT is(:'simulated'::jsonb #>> '{pity,longest}', '4', 'no row without the class is longer');
SELECT ok((:'simulated'::jsonb #>> '{pity,by_draw,1}')::numeric BETWEEN 0.03 AND 0.07 AND :'simulated'::jsonb #>> '{pity,by_draw,5}' = '1.000000', 'the curve ends where it is certain');
SELECT is((:'simulated'::jsonb #>> '{average,items,pgtap_wood}')::numeric, round((:'simulated'::jsonb #>> '{entries,wood,drawn}')::numeric * 7 / 20000, 6), 'what a draw gives on average');
SELECT is(s #> '{pity,by_draw,1000}', '0.000000', 'what comes behind the last of the draws that are told one by one is counted, and not among these: ' || (s #>> '{pity,guaranteed}') || ' of ' || (s #>> '{pity,longest}'))
FROM economy.simulate_draws('{"pity": {"class": "r", "after": 1500}, "entries": [{"entry": "rare", "class": "r", "weight": 1}, {"entry": "common", "weight": 9007199254740990}]}', 3100) s;
SELECT throws_ok(format('SELECT economy.simulate_draws(%s)', args), code, NULL, 'no simulation: ' || right(args, 30))
FROM (VALUES ('NULL', 'XE001'), ('''{"hand": {}}''', 'XE002'), ('''{}''', 'XE002'), (quote_literal(:'chest') || ', 0', 'XE002'), (quote_literal(:'chest') || ', 10000001', 'XE002'), (quote_literal(:'chest') || ', NULL', 'XE001'), (quote_literal(:'chest') || ', 1, NULL', 'XE001'), (quote_literal(:'chest') || ', 1, ''''', 'XE002'),
    (quote_literal(:'chest') || ', 1, repeat(''x'', 33)', 'XE003')) v (args, code);

-- keys: a seed outlives the one that sealed it, and is lost when that is gone
SELECT p.seed_hash AS sealed_hash, p.seed_number AS sealed_number FROM economy.draw_commit(:u) p \gset
SELECT s.key_version AS old_key FROM economy.draw_seeds s WHERE s.user_id = :u AND s.server_seed IS NULL \gset
SELECT economy.rotate_signing_key() AS new_key \gset
SELECT is(economy.retire_signing_key(:old_key), true, 'a key is retired');
SELECT is(s.key_version, :new_key, 'what it has sealed is sealed anew') FROM economy.draw_seeds s WHERE s.user_id = :u AND s.server_seed IS NULL;
SELECT is(p.code, 'OK', 'and drawn with') FROM economy.upsert_draw_table('{"table_id": "pgtap_chest", "active": true}', 'ann') t, economy.draw(:u, 'pgtap_chest', 'k40', 'lucky') p;
SELECT is(pg_temp.wrong(), NULL, 'soundly');
SAVEPOINT lost;
ALTER TABLE economy.draw_seeds DISABLE TRIGGER ALL;
UPDATE economy.draw_seeds SET key_version = 77777 WHERE user_id = :u AND server_seed IS NULL;
SELECT is(pg_temp.wrong(), 'wrong_draw a seed ' || :sealed_number || ' of its hash | one that cannot be opened', 'what cannot be opened is found');
SELECT is(p.code, 'SEED_LOST', 'and not drawn with') FROM economy.draw(:u, 'pgtap_chest', 'k41', 'lucky') p;
SELECT is(p.code || coalesce(p.server_seed, ''), 'SEED_LOST', 'nor revealed') FROM economy.draw_reveal(:u, :sealed_number) p;
SELECT is(concat_ws(' ', p.state, p.code, p.seed_number), 'new OK ' || :sealed_number + 1, 'another is committed to') FROM economy.draw_commit(:u) p;
SELECT is(p.code, 'SEED_LOST', 'the lost one stays lost') FROM economy.draw_reveal(:u, :sealed_number) p;
SELECT is(p.code, 'OK', 'and draws go on') FROM economy.draw(:u, 'pgtap_chest', 'k41', 'lucky') p;
SELECT is(pg_temp.wrong(), NULL, 'soundly');
ROLLBACK TO lost;
SAVEPOINT damaged;
UPDATE economy.draw_seeds SET sealed = set_byte(sealed, 20, 255 - get_byte(sealed, 20)) WHERE user_id = :u AND server_seed IS NULL;
SELECT throws_ok(format('SELECT economy.draw(%s, ''pgtap_chest'', ''k41'', ''lucky'')', :u), 'XE103', NULL, 'a damaged seed is not drawn with');
SELECT throws_ok(format('SELECT economy.draw_commit(%s)', :u), 'XE103', NULL, 'nor shown');
SELECT economy.rotate_signing_key() AS newer_key \gset
SELECT is(economy.retire_signing_key(:new_key), true, 'and keeps no key from being retired');
SELECT is(s.key_version, :newer_key, 'what others have is sealed anew') FROM economy.draw_seeds s WHERE s.user_id = :v AND s.server_seed IS NULL;
ROLLBACK TO damaged;

-- what the audit sees
CREATE FUNCTION pg_temp.after(change text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    says text;
BEGIN
    BEGIN
        EXECUTE change;
        SELECT string_agg(DISTINCT f.kind, ' ' ORDER BY f.kind) INTO says FROM (SELECT * FROM economy_internal.audit_draws() UNION ALL SELECT * FROM economy_internal.audit_config() UNION ALL SELECT * FROM economy_internal.audit_twice() UNION ALL SELECT * FROM economy_internal.audit_orphans() UNION ALL SELECT * FROM economy_internal.audit_prizes()) f;
        RAISE EXCEPTION USING ERRCODE = 'XE999', MESSAGE = coalesce(says, 'nothing');
    EXCEPTION WHEN SQLSTATE 'XE999' THEN
        RETURN SQLERRM;
    END;
END
$$;
ALTER TABLE economy.holding_changes DISABLE TRIGGER ALL;
SELECT matches(pg_temp.after(replace(change, '{u}', :'u')), '^(.* )?' || says || '( .*)?$', change)
FROM (VALUES ('wrong_draw', 'UPDATE economy.holding_changes SET detail = jsonb_set(detail, ''{outcome,entry}'', ''"dragon"'') WHERE user_id = {u} AND idempotency_key = (SELECT idempotency_key FROM economy.holding_changes WHERE user_id = {u} AND detail #>> ''{outcome,entry}'' = ''wood'' LIMIT 1)'),
    ('wrong_draw', 'UPDATE economy.holding_changes SET detail = jsonb_set(detail, ''{nonce}'', ''7'') WHERE user_id = {u} AND idempotency_key = ''k5'''), ('wrong_draw', 'UPDATE economy.holding_changes SET detail = jsonb_set(detail, ''{client_seed}'', ''"x"'') WHERE user_id = {u} AND detail ->> ''seed_number'' = ''1'''),
    ('wrong_draw', 'UPDATE economy.holding_changes SET detail = jsonb_set(detail, ''{seed_hash}'', ''"x"'') WHERE user_id = {u} AND idempotency_key = ''k5'''), ('wrong_draw', 'UPDATE economy.holding_changes SET detail = jsonb_set(detail, ''{pity}'', ''2'') WHERE user_id = {u} AND idempotency_key = ''k1'''),
    ('wrong_draw', 'UPDATE economy.holding_changes SET detail = jsonb_set(detail, ''{version}'', ''7'') WHERE user_id = {u} AND idempotency_key = ''k5'''), ('wrong_draw', 'UPDATE economy.holding_changes SET gold_delta = gold_delta + 1 WHERE user_id = {u} AND idempotency_key = ''k5'''),
    ('wrong_draw', 'UPDATE economy.holding_changes SET xp_delta = xp_delta + 1 WHERE user_id = {u} AND idempotency_key = ''k5'''), ('wrong_draw', 'UPDATE economy.holding_changes SET detail = NULL WHERE user_id = {u} AND idempotency_key = ''k5'''), ('wrong_draw', 'DELETE FROM economy.holding_changes WHERE user_id = {u} AND idempotency_key = ''k5'''), ('parity', 'UPDATE economy.draw_seeds SET next_nonce = next_nonce + 1 WHERE user_id = {u} AND seed_number = 1'),
    ('wrong_draw', 'UPDATE economy.draw_seeds SET server_seed = set_byte(server_seed, 3, 255 - get_byte(server_seed, 3)) WHERE user_id = {u} AND seed_number = 1'), ('wrong_draw', 'DELETE FROM economy.draw_seeds WHERE user_id = {u} AND seed_number = 1'), ('wrong_draw', 'DELETE FROM economy.draw_seeds WHERE user_id = {u} AND seed_number = 2'),
    ('wrong_draw', 'UPDATE economy.draw_seeds SET hash = set_byte(hash, 3, 255 - get_byte(hash, 3)) WHERE user_id = {u} AND seed_number = 2'), ('orphan_row', 'UPDATE economy.draw_seeds SET user_id = -7 WHERE user_id = {u}'), ('parity', 'UPDATE economy_internal.draw_pity SET draws = draws + 1 WHERE user_id = {u}'), ('parity', 'DELETE FROM economy_internal.draw_pity WHERE user_id = {u}'),
    ('parity', 'INSERT INTO economy_internal.draw_pity VALUES ({u}, ''other'', 0)'), ('wrong_config', 'UPDATE economy.draw_table_versions SET definition = jsonb_set(definition, ''{entries,0,weight}'', ''6'') WHERE table_id = ''pgtap_chest'' AND version = 1'), ('wrong_config', 'DELETE FROM economy.draw_table_versions WHERE table_id = ''pgtap_chest'' AND version = 1'),
    ('wrong_config', 'UPDATE economy.draw_table_versions SET published_at = published_at + interval ''1 day'' WHERE table_id = ''pgtap_chest'' AND version = 1'), ('wrong_stock', 'UPDATE economy.draw_prizes SET given = given + 1'), ('wrong_stock', 'DELETE FROM economy.draw_prizes'), ('duplicate_row', 'ALTER TABLE economy.draw_prizes DROP CONSTRAINT draw_prizes_pkey; INSERT INTO economy.draw_prizes SELECT * FROM economy.draw_prizes'),
    ('wrong_stock', 'INSERT INTO economy.draw_prizes VALUES (''pgtap_chest'', ''none'', 1)'), ('wrong_stock', 'INSERT INTO economy.draw_prizes VALUES (''pgtap_chest'', ''none'', 0)'), ('wrong_stock', 'INSERT INTO economy.draw_prizes VALUES (''pgtap_none'', ''none'', 0)'), ('wrong_stock', 'UPDATE economy.holding_changes SET detail = jsonb_set(detail, ''{prize_number}'', ''1'') WHERE detail ->> ''prize_number'' = ''3'''),
    ('wrong_draw wrong_stock', 'UPDATE economy.holding_changes SET detail = jsonb_set(detail, ''{prize_number}'', ''4'') WHERE detail ->> ''prize_number'' = ''3'''), ('wrong_draw wrong_stock', 'UPDATE economy.holding_changes SET detail = detail - ''prize_number'' WHERE detail ->> ''prize_number'' = ''3'''),
    ('wrong_draw', 'UPDATE economy.draw_prizes SET given = 2; UPDATE economy.holding_changes SET detail = detail - ''prize_number'' || ''{"instead": "coin"}'', gold_delta = 3, items = NULL WHERE detail ->> ''prize_number'' = ''3'''),
    ('wrong_draw', 'UPDATE economy.holding_changes SET detail = detail - ''instead'' WHERE user_id = {u} AND detail ? ''instead'' AND idempotency_key = ''c2'''), ('wrong_draw', 'UPDATE economy.holding_changes SET detail = detail || ''{"instead": "wood"}'' WHERE user_id = {u} AND idempotency_key = ''k5'''),
    ('wrong_config', 'UPDATE economy.draw_tables SET definition = definition || ''{"x": 1}'' WHERE table_id = ''pgtap_chest''')) v (says, change);
SELECT * FROM finish();
ROLLBACK;
