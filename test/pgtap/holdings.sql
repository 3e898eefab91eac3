-- Items: what users are given, hold and use up: upsert_item(), grant_items(), consume(), spend(), holdings(), holds().
BEGIN;
SELECT no_plan();

SELECT economy.register('pgtap holder') AS u \gset
SELECT economy.register('pgtap other holder') AS v \gset
SELECT success AS x FROM economy.adjust_gold(:u, 1000, 'open', 'pgtap', 'pgtap') \gset
SET LOCAL economy.test_clock = '2031-01-02 03:04:05.5+00';
CREATE FUNCTION pg_temp.brief(p economy.holding_result) RETURNS text LANGUAGE sql AS
    $$ SELECT concat_ws(' ', p.success, p.state, p.code, p.transaction_id, p.items, p.gold_delta, p.gold, p.retry_after_ms, p.detail) $$;
CREATE FUNCTION pg_temp.call(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    says text;
BEGIN
    EXECUTE format('SELECT pg_temp.brief(p) FROM economy.%s p', call) INTO says;
    RETURN says;
END
$$;
CREATE FUNCTION pg_temp.has(id bigint) RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(concat_ws(' ', h.item_id, h.quantity, to_char(h.ends_at AT TIME ZONE 'UTC', 'MM-DD HH24:MI:SS')), ', ' ORDER BY h.item_id) FROM economy.holdings(id) h $$;
CREATE FUNCTION pg_temp.wrong() RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(concat_ws(' ', f.kind, f.expected, '|', f.actual), ', ') FROM (SELECT * FROM economy_internal.audit_holdings() UNION ALL SELECT * FROM economy_internal.audit_twice() UNION ALL SELECT * FROM economy_internal.audit_effects()) f $$;

-- the catalogue of items
SELECT is(i::text, '(pgtap_gem,currency,,t,f,t,{},{})', 'an item needs an id and a kind') FROM economy.upsert_item('{"item_id": "pgtap_gem", "kind": "currency"}', 'ann') i;
SELECT is(i::text, '(pgtap_gem,currency,100,t,t,t,"{""en"": {""name"": ""Gem""}}","{""icon"": ""g""}")', 'every other column can be given')
FROM economy.upsert_item('{"item_id": "pgtap_gem", "maximum": 100, "tradable": true, "texts": {"en": {"name": "Gem"}}, "extra": {"icon": "g"}}', 'bob') i;
SELECT is(i::text, '(pgtap_pass,pass,,f,f,t,{},{})', 'a pass is not consumable') FROM economy.upsert_item('{"item_id": "pgtap_pass", "kind": "pass"}', 'ann') i;
SELECT is(i::text, '(pgtap_sword,stack,,f,f,t,{},{})', 'a stack may be kept for ever') FROM economy.upsert_item('{"item_id": "pgtap_sword", "kind": "stack", "consumable": false}', 'ann') i;
SELECT count(*) AS x FROM unnest(ARRAY['pgtap_key', 'pgtap_old']) k, economy.upsert_item(jsonb_build_object('item_id', k, 'kind', 'stack'), 'ann') \gset
SELECT results_eq($$SELECT c.action, c.actor, c.after - 'texts' - 'extra' FROM economy.config_changes c WHERE c.relation = 'items' AND c.key = 'pgtap_gem' ORDER BY c.change_no$$,
    $$VALUES ('create', 'ann', '{"item_id": "pgtap_gem", "kind": "currency", "maximum": null, "consumable": true, "tradable": false, "active": true}'::jsonb),
             ('change', 'bob', '{"item_id": "pgtap_gem", "kind": "currency", "maximum": 100, "consumable": true, "tradable": true, "active": true}')$$, 'each change is recorded');
SELECT throws_ok(format('SELECT economy.upsert_item(%L, ''ann'')', item), 'XE901', NULL, 'no item: ' || left(item, 60))
FROM (VALUES ('[]'), ('{}'), ('null'), ('{"item_id": null}'), ('{"item_id": "", "kind": "stack"}'), ('{"item_id": "pgtap_new"}'), ('{"item_id": "pgtap_new", "kind": "lootbox"}'),
    ('{"item_id": "pgtap_new", "kind": null}'), ('{"item_id": "pgtap_new", "kind": "pass", "consumable": true}'), ('{"item_id": "pgtap_new", "kind": "stack", "colour": 1}'),
    ('{"item_id": "pgtap_new", "kind": "stack", "maximum": 0}'), ('{"item_id": "pgtap_new", "kind": "stack", "maximum": 9007199254740992}'), ('{"item_id": "pgtap_new", "kind": "stack", "maximum": "many"}'),
    ('{"item_id": "pgtap_new", "kind": "stack", "texts": {"en": "Gem"}}'), ('{"item_id": "pgtap_new", "kind": "stack", "extra": []}'), ('{"item_id": "pgtap_gem", "kind": "stack"}'), ('{"item_id": "pgtap_gem", "kind": null}'),
    ('{"item_id": "pgtap_gem", "active": null}'), (jsonb_build_object('item_id', repeat('x', 65), 'kind', 'stack')::text)) v (item);
SELECT is((SELECT count(*) FROM economy.items WHERE item_id LIKE 'pgtap%'), 5::bigint, 'and none was made');

-- what an app shows of them
CREATE FUNCTION pg_temp.listed(kind text DEFAULT NULL, only_active boolean DEFAULT true) RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(c.item_id, ' ') FROM (SELECT c.item_id FROM economy.item_catalogue(kind, only_active) c) c WHERE c.item_id LIKE 'pgtap%' $$;
SELECT count(*) AS x FROM economy.upsert_item('{"item_id": "pgtap_old", "active": false}', 'ann') \gset
SELECT is(pg_temp.listed(), 'pgtap_gem pgtap_key pgtap_pass pgtap_sword', 'the catalogue, in the order of ids');
SELECT is(pg_temp.listed(only_active => false), 'pgtap_gem pgtap_key pgtap_old pgtap_pass pgtap_sword', 'with what is not given any more');
SELECT is(array_agg(pg_temp.listed(k) ORDER BY k), '{pgtap_gem,pgtap_pass,"pgtap_key pgtap_sword"}', 'by kind') FROM unnest('{stack,currency,pass}'::text[]) k;
SELECT is(c::text, '(pgtap_gem,currency,100,t,t,t,"{""en"": {""name"": ""Gem""}}","{""icon"": ""g""}")', 'with all that an app shows') FROM economy.item_catalogue('currency') c WHERE c.item_id = 'pgtap_gem';
SELECT is(c::text, '(pgtap_old,stack,,t,f,f,{},{})', 'and whether it is given') FROM economy.item_catalogue(only_active => false) c WHERE c.item_id = 'pgtap_old';
SELECT count(*) AS x FROM economy.upsert_item('{"item_id": "pgtap_old", "active": true}', 'ann') \gset

-- given, used up, spent
SELECT is(pg_temp.brief(p), 't new OK H' || :u || '-2 [{"item": "pgtap_gem", "delta": 50, "balance": 50}, {"item": "pgtap_pass", "delta": 86400, "balance": 1925175846}, {"item": "pgtap_sword", "delta": 1, "balance": 1}] 0 1000', 'items are given')
FROM economy.grant_items(:u, '{"pgtap_sword": 1, "pgtap_pass": 86400, "pgtap_gem": 50}', 'welcome', 'k1', '{"by": "pgtap"}') p;
SELECT is(pg_temp.has(:u), 'pgtap_gem 50, pgtap_pass 01-03 03:04:06, pgtap_sword 1', 'a pass lasts no less than it says');
SELECT is(pg_temp.brief(p), 't reuse OK H' || :u || '-2 [{"item": "pgtap_gem", "delta": 50, "balance": 50}, {"item": "pgtap_pass", "delta": 86400, "balance": 1925175846}, {"item": "pgtap_sword", "delta": 1, "balance": 1}] 0 1000', 'a retry answers the first result')
FROM economy.grant_items(:u, '{"pgtap_gem": 50, "pgtap_pass": 86400, "pgtap_sword": 1}', 'welcome', 'k1', '{"by": "pgtap"}') p;
SELECT is(pg_temp.brief(p), 't new OK H' || :u || '-3 [{"item": "pgtap_gem", "delta": -3, "balance": 47}] 0 1000', 'items are used up') FROM economy.consume(:u, 'pgtap_gem', 'k1', 3) p;
SELECT is(pg_temp.brief(p), 't new OK H' || :u || '-4 [{"item": "pgtap_gem", "delta": -1, "balance": 46}] 0 1000', 'one, when not said') FROM economy.consume(:u, 'pgtap_gem', 'k2') p;
SELECT is(pg_temp.brief(p), 't new OK [{"item": "pgtap_gem", "delta": -6, "balance": 40}] -100 900 {"dry_run": true}', 'a dry run says what a call would') FROM economy.spend(:u, 100, 'revive', 'k1', '{"pgtap_gem": 6}', dry_run => true) p;
SELECT is(pg_temp.brief(p), 't new OK H' || :u || '-5 [{"item": "pgtap_gem", "delta": -6, "balance": 40}] -100 900', 'gold and items are spent') FROM economy.spend(:u, 100, 'revive', 'k1', '{"pgtap_gem": 6}') p;
SELECT is(pg_temp.brief(p), 't new OK H' || :u || '-6 -900 0', 'gold alone') FROM economy.spend(:u, 900, 'revive', 'k2') p;
SELECT is(pg_temp.brief(p), 't new OK H' || :u || '-7 [{"item": "pgtap_gem", "delta": -40, "balance": 0}] 0 0', 'items alone, to the last') FROM economy.spend(:u, 0, 'revive', 'k3', '{"pgtap_gem": 40}') p;
SELECT is(pg_temp.has(:u), 'pgtap_pass 01-03 03:04:06, pgtap_sword 1', 'what is used up is not held');
SELECT is((SELECT row(h.kind, h.consumable, h.tradable, h.texts, h.extra)::text FROM economy.holdings(:u) h WHERE h.item_id = 'pgtap_sword'), '(stack,f,f,{},{})', 'with what the catalogue says');
SELECT is(string_agg(concat_ws(' ', h.operation, h.idempotency_key, h.reason, h.context, h.gold_delta, h.xp_delta), ', ' ORDER BY h.seq),
    'grant k1 welcome {"by": "pgtap"} 0 0, consume k1 use 0 0, consume k2 use 0 0, spend k1 revive -100 0, spend k2 revive -900 0, spend k3 revive 0 0', 'the entries') FROM economy.holding_changes h WHERE h.user_id = :u;
SELECT is(string_agg(r.event -> 'data' ->> 'operation' || ' ' || (r.event -> 'data' -> 'items')::text, ', ' ORDER BY r.seq), 'spend [], spend [{"item": "pgtap_gem", "delta": -40, "balance": 0}]', 'which are told')
FROM economy.replay(:u, 5) r WHERE r.type = 'holding_update';

-- refused: nothing is changed, and the key is not used up
SELECT success AS x FROM economy.grant_items(:u, '{"pgtap_gem": 10}', 'r', 'again') \gset
SELECT is(pg_temp.call(format(call, :u)), says, call)
FROM (VALUES
    ('consume(%s, ''pgtap_gem'', ''f'', 11)', 'f refused INSUFFICIENT_ITEMS 0 {"held": 10, "item": "pgtap_gem", "needed": 11}'),
    ('consume(%s, ''pgtap_gem'', ''f'', 9007199254740991)', 'f refused INSUFFICIENT_ITEMS 0 {"held": 10, "item": "pgtap_gem", "needed": 9007199254740991}'),
    ('consume(%s, ''pgtap_key'', ''f'')', 'f refused INSUFFICIENT_ITEMS 0 {"held": 0, "item": "pgtap_key", "needed": 1}'),
    ('consume(%s, ''pgtap_sword'', ''f'')', 'f refused ITEM_NOT_CONSUMABLE 0 {"item": "pgtap_sword"}'),
    ('consume(%s, ''pgtap_pass'', ''f'')', 'f refused ITEM_NOT_CONSUMABLE 0 {"item": "pgtap_pass"}'),
    ('consume(%s, ''pgtap_none'', ''f'')', 'f refused ITEM_NOT_FOUND 0 {"item": "pgtap_none"}'),
    ('spend(%s, 1, ''r'', ''f'')', 'f refused INSUFFICIENT_GOLD 0 {"needed": 1}'),
    ('spend(%s, 0, ''r'', ''f'', ''{"pgtap_gem": 1, "pgtap_key": 1}'')', 'f refused INSUFFICIENT_ITEMS 0 {"held": 0, "item": "pgtap_key", "needed": 1}'),
    ('grant_items(%s, ''{"pgtap_gem": 91}'', ''r'', ''f'')', 'f refused ITEM_LIMIT 0 {"held": 10, "item": "pgtap_gem", "at_most": 100}'),
    ('grant_items(%s, ''{"pgtap_key": 1, "pgtap_none": 1}'', ''r'', ''f'')', 'f refused ITEM_NOT_FOUND 0 {"item": "pgtap_none"}'),
    ('grant_items(%s, ''{"pgtap_pass": 9007199254740991}'', ''r'', ''f'')', 'f refused ITEM_LIMIT 0 {"held": 86400, "item": "pgtap_pass", "at_most": 251477211353}'),
    ('grant_items(-1, ''{"pgtap_gem": 1}'', ''r'', ''f'')', 'f refused USER_NOT_FOUND'),
    ('consume(-1, ''pgtap_gem'', ''f'')', 'f refused USER_NOT_FOUND'),
    ('grant_items(%s, ''{"pgtap_key": 1}'', ''r'', ''f'', dry_run => true)', 't new OK [{"item": "pgtap_key", "delta": 1, "balance": 1}] 0 0 {"dry_run": true}'),
    ('grant_items(%s, ''{"pgtap_key": 2}'', ''r'', ''k1'', ''{"by": "pgtap"}'')', 'f refused IDEMPOTENCY_MISMATCH H' || :u || '-2 {"field": "items", "first": [{"item": "pgtap_gem", "delta": 50, "balance": 50}, {"item": "pgtap_pass", "delta": 86400, "balance": 1925175846}, {"item": "pgtap_sword", "delta": 1, "balance": 1}]}'),
    ('consume(%s, ''pgtap_gem'', ''k1'', 4)', 'f refused IDEMPOTENCY_MISMATCH H' || :u || '-3 {"field": "items", "first": [{"item": "pgtap_gem", "delta": -3, "balance": 47}]}'),
    ('consume(%s, ''pgtap_gen'', ''k1'', 3)', 'f refused IDEMPOTENCY_MISMATCH H' || :u || '-3 {"field": "items", "first": [{"item": "pgtap_gem", "delta": -3, "balance": 47}]}'),
    ('consume(%s, ''pgtap_gem'', ''k1'', 3, ''throw'')', 'f refused IDEMPOTENCY_MISMATCH H' || :u || '-3 {"now": "throw", "field": "reason", "first": "use"}'),
    ('consume(%s, ''pgtap_gem'', ''k1'', 3, context => ''{"a": 1}'')', 'f refused IDEMPOTENCY_MISMATCH H' || :u || '-3 {"now": {"a": 1}, "field": "context", "first": null}'),
    ('spend(%s, 101, ''revive'', ''k1'', ''{"pgtap_gem": 6}'')', 'f refused IDEMPOTENCY_MISMATCH H' || :u || '-5 {"now": -101, "field": "gold", "first": -100}'),
    ('spend(%s, 100, ''revive'', ''k1'')', 'f refused IDEMPOTENCY_MISMATCH H' || :u || '-5 {"field": "items", "first": [{"item": "pgtap_gem", "delta": -6, "balance": 40}]}'),
    ('spend(%s, 900, ''revive'', ''k2'', ''{"pgtap_gem": 6}'')', 'f refused IDEMPOTENCY_MISMATCH H' || :u || '-6 {"field": "items", "first": null}')) v (call, says);
SELECT is(pg_temp.has(:u), 'pgtap_gem 10, pgtap_pass 01-03 03:04:06, pgtap_sword 1', 'and nothing has changed');
SELECT is(pg_temp.call(format('consume(%s, ''pgtap_gem'', ''f'', 10)', :u)), 't new OK H' || :u || '-9 [{"item": "pgtap_gem", "delta": -10, "balance": 0}] 0 0', 'nor was the key used up');
SELECT economy.set_user_status(:u, 'suspended', 'pgtap') AS x \gset
SELECT is(pg_temp.call(format(call, :u)), 'f refused USER_SUSPENDED 0', 'of who is suspended: ' || call)
FROM (VALUES ('spend(%s, 1, ''r'', ''s'')'), ('consume(%s, ''pgtap_gem'', ''s'')'), ('grant_items(%s, ''{"pgtap_gem": 1}'', ''r'', ''s'')')) v (call);
SELECT economy.set_user_status(:u, 'active', 'pgtap') AS x \gset

-- bad arguments
SELECT throws_ok(format('SELECT economy.' || call, :u), code, says, call)
FROM (VALUES
    ('grant_items(%s, ''[]'', ''r'', ''a'')', 'XE002', 'items must be a JSON object'), ('grant_items(%s, ''{}'', ''r'', ''a'')', 'XE002', 'items must not be empty'),
    ('grant_items(%s, NULL, ''r'', ''a'')', 'XE001', 'items must not be null'), ('grant_items(%s, ''{"pgtap_gem": 1}'', NULL, ''a'')', 'XE001', 'reason must not be null'),
    ('grant_items(%s, ''{"pgtap_gem": 1}'', ''r'', ''a'', NULL, NULL)', 'XE001', 'dry_run must not be null'),
    ('grant_items(%s, ''{"pgtap_gem": 1}'', repeat(''r'', 65), ''a'')', 'XE003', 'reason is too long'), ('grant_items(%s, ''{"pgtap_gem": 1}'', ''r'', ''a'', ''[]'')', 'XE002', 'context must be a JSON object'),
    ('grant_items(%s, ''{"": 1}'', ''r'', ''a'')', 'XE002', 'an item of items must have 1 to 64 bytes'), ('grant_items(%s, jsonb_build_object(repeat(''x'', 65), 1), ''r'', ''a'')', 'XE002', 'an item of items must have 1 to 64 bytes'),
    ('grant_items(%s, (SELECT jsonb_object_agg(n, 1) FROM generate_series(1, 17) n), ''r'', ''a'')', 'XE002', 'items has more than 16 items'),
    ('spend(%s, -1, ''r'', ''a'')', 'XE002', 'gold must be from 0 to 2^53-1'), ('spend(%s, 9007199254740992, ''r'', ''a'')', 'XE002', 'gold must be from 0 to 2^53-1'),
    ('spend(%s, 0, ''r'', ''a'')', 'XE002', 'nothing is spent'), ('spend(%s, NULL, ''r'', ''a'')', 'XE001', 'gold must not be null'), ('spend(%s, 0, ''r'', ''a'', ''{}'')', 'XE002', 'items must not be empty'),
    ('consume(%s, ''pgtap_gem'', ''a'', 0)', 'XE002', 'quantity must be from 1 to 2^53-1'), ('consume(%s, ''pgtap_gem'', ''a'', -1)', 'XE002', 'quantity must be from 1 to 2^53-1'),
    ('consume(%s, ''pgtap_gem'', ''a'', NULL)', 'XE001', 'quantity must not be null'), ('consume(%s, '''', ''a'')', 'XE002', 'item_id must not be empty'), ('consume(%s, ''pgtap_gem'', '''')', 'XE002', 'idempotency_key must not be empty'),
    ('holds(%s, NULL)', 'XE001', 'item_id must not be null'), ('holds(%s, ''x'', 0)', 'XE002', 'quantity must be 1 or more')) v (call, code, says);
SELECT throws_ok(format('SELECT economy.grant_items(%s, %L, ''r'', ''a'')', :u, items), 'XE002', 'the amount of "pgtap_gem" in items must be a whole number from 1 to 2^53-1', items)
FROM (VALUES ('{"pgtap_gem": 0}'), ('{"pgtap_gem": -1}'), ('{"pgtap_gem": 1.5}'), ('{"pgtap_gem": 1.0}'), ('{"pgtap_gem": "1"}'), ('{"pgtap_gem": null}'), ('{"pgtap_gem": 9007199254740992}'), ('{"pgtap_gem": 1e400}'), ('{"pgtap_gem": {}}'), ('{"pgtap_gem": true}')) v (items);
SELECT is(economy.holds(NULL, 'pgtap_gem'), NULL, 'of nobody it is not known');
SELECT is_empty('SELECT * FROM economy.holdings(NULL) UNION ALL SELECT * FROM economy.holdings(-1)', 'nobody holds anything');

-- an item that is not given any more, and less of one than is held
SELECT success AS x FROM economy.grant_items(:u, '{"pgtap_old": 7, "pgtap_gem": 60}', 'r', 'old') \gset
SELECT count(*) AS x FROM unnest(ARRAY['{"item_id": "pgtap_old", "active": false}', '{"item_id": "pgtap_gem", "maximum": 50}']) i, economy.upsert_item(i::jsonb, 'ann') \gset
SELECT is(pg_temp.call(format('grant_items(%s, ''{"pgtap_old": 1}'', ''r'', ''o1'')', :u)), 'f refused ITEM_INACTIVE 0 {"item": "pgtap_old"}', 'it is not given');
SELECT is(pg_temp.call(format('consume(%s, ''pgtap_old'', ''o1'', 3)', :u)), 't new OK H' || :u || '-13 [{"item": "pgtap_old", "delta": -3, "balance": 4}] 0 0', 'and still used up');
SELECT is(pg_temp.call(format('grant_items(%s, ''{"pgtap_gem": 1}'', ''r'', ''o2'')', :u)), 'f refused ITEM_LIMIT 0 {"held": 60, "item": "pgtap_gem", "at_most": 50}', 'more than the maximum is kept, and not added to');
SELECT is(pg_temp.call(format('consume(%s, ''pgtap_gem'', ''o2'', 1)', :u)), 't new OK H' || :u || '-14 [{"item": "pgtap_gem", "delta": -1, "balance": 59}] 0 0', 'and used up');

-- how long a pass is held
SELECT success AS x FROM economy.upsert_item('{"item_id": "pgtap_day", "kind": "pass", "maximum": 100}', 'ann'), economy.grant_items(:v, '{"pgtap_day": 10}', 'r', 'p1') \gset
CREATE FUNCTION pg_temp.at(moment text, id bigint) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('economy.test_clock', moment, true);
    RETURN concat_ws(' ', economy.holds(id, 'pgtap_day'), pg_temp.has(id));
END
$$;
SELECT is(pg_temp.at('2031-01-02 03:04:' || at || '+00', :v), says, 'until the second it ends at: ' || at)
FROM (VALUES (1, '06', 't pgtap_day 01-02 03:04:16'), (2, '15.999999', 't pgtap_day 01-02 03:04:16'), (3, '16', 'f'), (4, '17', 'f')) t (n, at, says) ORDER BY n;
SET LOCAL economy.test_clock = '2031-01-02 03:04:10+00';
SELECT is(economy.holds(:v, 'pgtap_day', 9223372036854775807), true, 'whatever the quantity');
SELECT is(pg_temp.call(format('grant_items(%s, ''{"pgtap_day": 5}'', ''r'', ''p2'')', :v)), 't new OK H' || :v || '-2 [{"item": "pgtap_day", "delta": 5, "balance": 1925089461}] 0 0', 'given again, it is extended');
SELECT is(pg_temp.call(format('grant_items(%s, ''{"pgtap_day": 90}'', ''r'', ''p3'')', :v)), 'f refused ITEM_LIMIT 0 {"held": 11, "item": "pgtap_day", "at_most": 100}', 'up to its maximum from now on');
SELECT is(pg_temp.call(format('grant_items(%s, ''{"pgtap_day": 89}'', ''r'', ''p3'')', :v)), 't new OK H' || :v || '-3 [{"item": "pgtap_day", "delta": 89, "balance": 1925089550}] 0 0', 'and no more');
SET LOCAL economy.test_clock = '2031-01-02 05:00:00.000001+00';
SELECT is(pg_temp.call(format('grant_items(%s, ''{"pgtap_day": 10}'', ''r'', ''p4'')', :v)), 't new OK H' || :v || '-4 [{"item": "pgtap_day", "delta": 10, "balance": 1925096411}] 0 0', 'one that has ended begins anew');
SET LOCAL economy.test_clock = '2031-01-03 00:00:00+00';
SELECT success AS x FROM economy.grant_items(:v, '{"pgtap_key": 1}', 'r', 'p6') \gset
SELECT is((SELECT string_agg(item_id, ' ' ORDER BY item_id) FROM economy.user_holdings WHERE user_id = :v), 'pgtap_day pgtap_key', 'what has ended stands where it stood');
SELECT is(pg_temp.wrong(), NULL, 'and the audit knows');

-- a clock that was ahead for a moment takes no pass away
SELECT economy.register('pgtap back in time') AS w \gset
SET LOCAL economy.test_clock = '2031-01-03 10:00:00+00';
SELECT success AS x FROM economy.grant_items(:w, '{"pgtap_day": 10}', 'r', 'b1') \gset
SET LOCAL economy.test_clock = '2031-01-03 11:00:00.5+00';
SELECT success AS x FROM economy.grant_items(:w, '{"pgtap_key": 1}', 'r', 'b2') \gset
SET LOCAL economy.test_clock = '2031-01-03 10:00:05+00';
SELECT is(pg_temp.wrong() || economy.holds(:w, 'pgtap_day')::text, NULL, 'the audit misses nothing');
SELECT is(economy.holds(:w, 'pgtap_day'), true, 'it is held');
SELECT is(pg_temp.call(format('grant_items(%s, ''{"pgtap_day": 10}'', ''r'', ''b3'')', :w)), 't new OK H' || :w || '-3 [{"item": "pgtap_day", "delta": 10, "balance": 1925200820}] 0 0', 'and extended');
SELECT is(pg_temp.wrong(), NULL, 'and the audit knows');

-- an item that was deleted by hand is no other when it is made again
SAVEPOINT deleted;
DELETE FROM economy.items WHERE item_id = 'pgtap_day';
SELECT throws_ok($$SELECT economy.upsert_item('{"item_id": "pgtap_day", "kind": "stack"}', 'ann')$$, 'XE901', 'item "pgtap_day" is not valid', 'of another kind');
SELECT is(i.kind, 'pass', 'but of its own') FROM economy.upsert_item('{"item_id": "pgtap_day", "kind": "pass"}', 'ann') i;
UPDATE economy.items SET kind = 'stack', consumable = true WHERE item_id = 'pgtap_day';
SELECT throws_ok(format(call, :w), 'XE103', format('account of user %s has damaged holdings', :w), call)
FROM (VALUES ('SELECT economy.consume(%s, ''pgtap_day'', ''d1'', 1000000000)'), ('SELECT economy.grant_items(%s, ''{"pgtap_day": 1}'', ''r'', ''d1'')')) v (call);
ROLLBACK TO SAVEPOINT deleted;
SET LOCAL economy.test_clock = '2031-01-03 00:00:00+00';

-- more kinds than the account has room for
SELECT count(*) AS x FROM generate_series(1, 60) n, economy.upsert_item(jsonb_build_object('item_id', 'pgtap item ' || to_char(n, 'FM000'), 'kind', CASE n % 5 WHEN 0 THEN 'pass' ELSE 'stack' END), 'ann') \gset
SELECT is((SELECT count(*) FROM generate_series(1, 60) n, economy.grant_items(:v, jsonb_build_object('pgtap item ' || to_char(n, 'FM000'), n), 'r', 'm' || n) p WHERE p.state = 'new'), 60::bigint, 'sixty kinds');
SELECT ok(count(*) BETWEEN 20 AND 50, 'most have rows') FROM economy_internal.user_holdings_more WHERE user_id = :v;
SELECT is((SELECT count(*) FROM economy.holdings(:v) h WHERE h.item_id LIKE 'pgtap item %' AND (h.quantity = right(h.item_id, 3)::int OR h.ends_at = timestamptz '2031-01-03 00:00+00' + right(h.item_id, 3)::int * interval '1 second')), 60::bigint, 'all are held') WHERE pg_temp.wrong() IS NULL;
SELECT is((SELECT string_agg(right(h.item_id, 3), ' ') FROM generate_series(1, 60) n, LATERAL (SELECT 'pgtap item ' || to_char(n, 'FM000') AS item_id) h WHERE economy.holds(:v, h.item_id) IS NOT TRUE OR (n % 5 > 0 AND economy.holds(:v, h.item_id, n + 1))), NULL, 'by name, too');
SELECT is((SELECT count(*) FROM generate_series(1, 60) n, economy.consume(:v, 'pgtap item ' || to_char(n, 'FM000'), 'm' || n, n) p WHERE p.state = 'new'), 48::bigint, 'and used up');
SELECT is((SELECT count(*) FROM economy.holdings(:v)), 13::bigint, 'to the last');
SELECT is((SELECT count(*) FROM generate_series(60, 1, -1) n, economy.grant_items(:v, jsonb_build_object('pgtap item ' || to_char(n, 'FM000'), 2), 'r', 'n' || n) p WHERE p.state = 'new'), 60::bigint, 'and given again');
SELECT is((SELECT count(*) FROM economy.holdings(:v)), 61::bigint, 'all of them');
SELECT is(pg_temp.wrong(), NULL, 'and the audit finds nothing');
-- one that has a row keeps it; a savepoint takes both back
SELECT h.item_id AS more FROM economy_internal.user_holdings_more h WHERE h.user_id = :v AND NOT h.is_pass ORDER BY 1 LIMIT 1 \gset
SAVEPOINT before;
SELECT success AS x FROM economy.consume(:v, :'more', 'back', 1) \gset
SELECT is(economy.holds(:v, :'more', 2), false, 'it is used up');
ROLLBACK TO SAVEPOINT before;
SELECT is(economy.holds(:v, :'more', 2), true, 'and is not, rolled back');
SELECT is(p.state, 'new', 'nor was its key') FROM economy.consume(:v, :'more', 'back', 1) p;

-- a model of its own: 500 random calls
CREATE TEMP TABLE held (item_id text PRIMARY KEY, balance bigint NOT NULL);
SELECT economy.register('pgtap held by a model') AS m \gset
CREATE FUNCTION pg_temp.play(id bigint, rounds integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    item     text;
    n        bigint;
    has      bigint;
    pass     boolean;
    moment   bigint;
    expected text;
    p        economy.holding_result;
BEGIN
    FOR i IN 1 .. rounds LOOP
        moment := 1925200000 + i * 7;
        PERFORM set_config('economy.test_clock', to_char(to_timestamp(moment) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS+00'), true);
        n := 1 + (hashint8extended(i, 1) & 31);
        item := 'pgtap item ' || to_char(1 + (hashint8extended(i, 2) & 1023) % 60, 'FM000');
        pass := right(item, 3)::integer % 5 = 0;
        has := coalesce((SELECT h.balance FROM held h WHERE h.item_id = item), 0);
        IF (hashint8extended(i, 3) & 1) = 0 THEN
            p := economy.grant_items(id, jsonb_build_object(item, n), 'model', 'k' || i);
            expected := 'OK';
            has := CASE WHEN pass THEN greatest(has, moment) ELSE has END + n;
        ELSE
            p := economy.consume(id, item, 'k' || i, n);
            expected := CASE WHEN pass THEN 'ITEM_NOT_CONSUMABLE' WHEN has < n THEN 'INSUFFICIENT_ITEMS' ELSE 'OK' END;
            has := has - n;
        END IF;
        IF p.code IS DISTINCT FROM expected OR (p.success AND (p.items -> 0 ->> 'balance')::bigint IS DISTINCT FROM has) THEN
            RETURN format('%s: %s of %s: %s and %s', i, n, item, p, has);
        END IF;
        CONTINUE WHEN NOT p.success;
        INSERT INTO held VALUES (item, has) ON CONFLICT (item_id) DO UPDATE SET balance = excluded.balance;
    END LOOP;
    RETURN (SELECT string_agg(item_id, ', ') FROM (SELECT h.item_id, CASE WHEN right(h.item_id, 3)::integer % 5 = 0 THEN CASE WHEN h.balance > moment THEN h.balance END ELSE nullif(h.balance, 0) END AS balance FROM held h) m
            FULL JOIN economy.holdings(id) g USING (item_id) WHERE m.balance IS DISTINCT FROM coalesce(g.quantity, extract(epoch FROM g.ends_at)::bigint));
END
$$;
SELECT is(pg_temp.play(:m, 500), NULL, 'each answers what a model says, and what is held in the end is what it has');
SELECT ok(count(*) > 5, 'with rows') FROM economy_internal.user_holdings_more WHERE user_id = :m;
SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s) UNION ALL SELECT * FROM economy.verify_chain(%s) UNION ALL SELECT * FROM economy.verify_chain(%s)', :u, :v, :m), 'the chains are clean');
SELECT is(pg_temp.wrong(), NULL, 'and the holdings');

-- what the audit finds
ALTER TABLE economy.holding_changes DISABLE TRIGGER USER;
SELECT h.item_id AS packed FROM economy.user_holdings h WHERE h.user_id = :v AND NOT h.is_pass AND h.item_id NOT IN (SELECT m.item_id FROM economy_internal.user_holdings_more m WHERE m.user_id = :v) ORDER BY 1 LIMIT 1 \gset
CREATE FUNCTION pg_temp.found(damage text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    says text;
BEGIN
    EXECUTE damage;
    SELECT string_agg(DISTINCT f.kind, ' ' ORDER BY f.kind) INTO says FROM (SELECT * FROM economy_internal.audit_holdings() UNION ALL SELECT * FROM economy_internal.audit_twice()
        UNION ALL SELECT * FROM economy_internal.audit_effects() UNION ALL SELECT * FROM economy_internal.audit_config()) f;
    RAISE EXCEPTION USING ERRCODE = 'XP000', MESSAGE = coalesce(says, 'nothing');
EXCEPTION WHEN SQLSTATE 'XP000' THEN
    RETURN sqlerrm;
END
$$;
SELECT is(pg_temp.found(replace(replace(replace(damage, '{v}', :v::text), '{more}', :'more'), '{packed}', :'packed')), kind, damage)
FROM (VALUES
    ('wrong_balance', 'UPDATE economy.holding_changes SET items = jsonb_set(items, ''{0,delta}'', ''3'') WHERE user_id = {v} AND idempotency_key = ''n7'''),
    ('parity wrong_balance', 'UPDATE economy.holding_changes SET items = jsonb_set(items, ''{0,balance}'', ''3'') WHERE user_id = {v} AND idempotency_key = ''n7'''),
    ('parity', 'DELETE FROM economy.holding_changes WHERE user_id = {v} AND idempotency_key = ''n7'''),
    ('parity wrong_balance', 'UPDATE economy.holding_changes SET items = jsonb_set(items, ''{0,item}'', ''"pgtap_key"'') WHERE user_id = {v} AND idempotency_key = ''n7'''),
    ('parity wrong_balance', 'UPDATE economy.holding_changes SET items = ''[{"item": "pgtap item 007"}]'' WHERE user_id = {v} AND idempotency_key = ''n7'''),
    ('parity', 'UPDATE economy_internal.user_holdings_more SET balance = balance + 1 WHERE user_id = {v} AND item_id = ''{more}'''),
    ('parity', 'UPDATE economy_internal.user_holdings_more SET is_pass = NOT is_pass WHERE user_id = {v} AND item_id = ''{more}'''),
    ('parity', 'DELETE FROM economy_internal.user_holdings_more WHERE user_id = {v} AND item_id = ''{more}'''),
    ('parity', 'DELETE FROM economy_internal.user_holdings_more WHERE user_id = {v}'),
    ('parity', 'UPDATE economy_internal.user_holdings_more SET user_id = -7 WHERE user_id = {v} AND item_id = ''{more}'''),
    ('duplicate_row', 'INSERT INTO economy_internal.user_holdings_more VALUES ({v}, ''{packed}'', 2, false)'),
    ('parity', 'INSERT INTO economy_internal.user_holdings_more VALUES ({v}, ''pgtap_gem'', 2, false)'),
    ('parity', 'INSERT INTO economy_internal.user_holdings_more VALUES ({v}, ''pgtap_gem'', 0, false)'),
    ('parity', 'UPDATE economy.accounts SET sections = NULL WHERE user_id = {v}'),
    ('wrong_config', 'UPDATE economy.items SET maximum = 7 WHERE item_id = ''pgtap_gem'''),
    ('wrong_config', 'DELETE FROM economy.items WHERE item_id = ''pgtap_gem''')) v (kind, damage);
SELECT throws_ok(replace(damage, '{v}', :v::text), '23514', NULL, 'no such row: ' || damage)
FROM (VALUES ('UPDATE economy_internal.user_holdings_more SET balance = -1 WHERE user_id = {v}'), ('UPDATE economy_internal.user_holdings_more SET balance = 9007199254740992 WHERE user_id = {v}'),
    ('UPDATE economy.holding_changes SET operation = ''lose'' WHERE user_id = {v}')) d (damage);
-- what was found to be wrong is put right
SELECT is(pg_temp.found(format('UPDATE economy.accounts SET sections = economy_internal.with_holding(economy_internal.with_holding(sections, %1$L, 77, false), %1$L, h.balance, false) FROM (SELECT balance FROM economy.user_holdings WHERE user_id = %2$s AND item_id = %1$L) h WHERE user_id = %2$s', :'packed', :v)), 'nothing', 'another balance, and the right one');
SELECT is(pg_temp.found(format('UPDATE economy.accounts SET sections = economy_internal.with_holding(sections, %L, 77, false) WHERE user_id = %s', :'packed', :v)), 'parity', 'another balance alone is found');
SELECT is(pg_temp.found(format('UPDATE economy.accounts SET sections = economy_internal.with_holding(sections, %L, NULL, NULL) WHERE user_id = %s', :'packed', :v)), 'parity', 'and that it was taken out');
SELECT is(h::text, e, 'as it was put: ' || e) FROM (VALUES (economy_internal.with_holding(NULL, 'a', 9007199254740991, true), '(a,9007199254740991,t)'), (economy_internal.with_holding(NULL, repeat('x', 64), 1, false), format('(%s,1,f)', repeat('x', 64)))) v (s, e), economy_internal.holdings_of(s) h;
SELECT is(economy_internal.with_holding(economy_internal.with_holding(NULL, 'a', 1, false), 'a', NULL, NULL), NULL, 'nothing is no section');
SELECT is(economy_internal.with_holding(economy_internal.with_holding(NULL, 'b', 2, false), 'a', 1, true), economy_internal.with_holding(economy_internal.with_holding(NULL, 'a', 1, true), 'b', 2, false), 'in the order of their ids');
SELECT throws_ok('SELECT economy_internal.with_holding(' || args || ')', code, says, args)
FROM (VALUES ('NULL, NULL, 1, true', 'XE001', 'item_id must not be null'), ('NULL, ''a'', 0, true', 'XE002', 'balance must be from 1 to 2^53-1'), ('NULL, ''a'', 9007199254740992, true', 'XE002', 'balance must be from 1 to 2^53-1'),
    ('NULL, ''a'', 1, NULL', 'XE001', 'is_pass must not be null'), ('decode(''00'', ''hex''), ''a'', 1, true', 'XE103', 'these are no sections of an account'), ('decode(''0402000100'', ''hex''), ''a'', 1, true', 'XE103', 'these holdings are damaged'),
    ('economy_internal.with_holding(economy_internal.with_holding(economy_internal.with_holding(economy_internal.with_holding(economy_internal.with_holding(economy_internal.with_holding(NULL, repeat(''a'', 64), 1, true), repeat(''b'', 64), 1, true), repeat(''c'', 64), 1, true), repeat(''d'', 64), 1, true), repeat(''e'', 64), 1, true), ''f'', 1, true), repeat(''g'', 64), 64, true', 'XE002', 'there is no room for this item in the account')) v (args, code, says);
-- damaged bytes
SELECT position('pgtap item'::bytea IN a.sections) - 2 AS at FROM economy.accounts a WHERE a.user_id = :v \gset
SELECT is(pg_temp.found(format('UPDATE economy.accounts SET sections = set_byte(sections, %s, %s) WHERE user_id = %s', :at + o, b, :v)) ~ 'parity', true, format('byte %s as %s', o, b))
FROM (VALUES (0, 0), (0, 65), (0, 255), (-1, 2), (-1, 0), (1, 0), (1, 255), (11, 255)) v (o, b);
SELECT is(pg_temp.found(format('UPDATE economy.accounts SET sections = set_byte(sections, %s, 2) WHERE user_id = %s', :at - 4, :v)) ~ 'parity', true, 'another version');
UPDATE economy.accounts SET sections = set_byte(sections, :at, 65) WHERE user_id = :v;
SELECT throws_ok(format('SELECT * FROM economy.' || call, :v), 'XE103', format('account of user %s has damaged holdings', :v), call)
FROM (VALUES ('holdings(%s)'), ('holds(%s, ''pgtap item 050'')'), ('consume(%s, ''pgtap item 050'', ''d'')'), ('grant_items(%s, ''{"pgtap item 050": 1}'', ''r'', ''d'')')) v (call);

SELECT * FROM finish();
ROLLBACK;
