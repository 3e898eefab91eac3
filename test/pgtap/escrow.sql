-- Escrow: hold_escrow(), release_escrow(), capture_escrow(), what expires, escrows_of().
BEGIN;
SELECT no_plan();

SET LOCAL economy.test_clock = '2031-01-02 20:00:00+00';
SELECT economy.register('pgtap holder') AS a \gset
SELECT economy.register('pgtap receiver') AS b \gset
SELECT economy.register('pgtap rich') AS c \gset
SELECT success AS x FROM economy.adjust_gold(:a, 1000, 'open', 'pgtap', 'pgtap') \gset
SELECT success AS x FROM economy.adjust_gold(:c, 9007199254740991, 'open', 'pgtap', 'pgtap') \gset
SELECT count(*) AS x FROM unnest(ARRAY['{"item_id": "pgtap_gem", "kind": "currency", "tradable": true, "maximum": 40}', '{"item_id": "pgtap_card", "kind": "stack", "tradable": true, "consumable": false}',
    '{"item_id": "pgtap_bound", "kind": "stack"}', '{"item_id": "pgtap_pass", "kind": "pass", "tradable": true}']) i, economy.upsert_item(i::jsonb, 'ann') \gset
SELECT success AS x FROM economy.grant_items(:a, '{"pgtap_gem": 30, "pgtap_card": 3, "pgtap_bound": 1, "pgtap_pass": 86400}', 'open', 'open') \gset
SET LOCAL economy.test_clock = '2031-01-02 23:30:00+00';
CREATE FUNCTION pg_temp.brief(p economy.holding_result) RETURNS text LANGUAGE sql AS
    $$ SELECT concat_ws(' ', p.success, p.state, p.code, p.transaction_id, p.items, p.gold_delta, p.gold, p.retry_after_ms, p.detail) $$;
CREATE FUNCTION pg_temp.call(call text, a bigint, b bigint, c bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    says text;
BEGIN
    EXECUTE format('SELECT pg_temp.brief(p) FROM economy.%s p', format(call, a, b, c)) INTO says;
    RETURN says;
END
$$;
CREATE FUNCTION pg_temp.has(id bigint) RETURNS text LANGUAGE sql AS
    $$ SELECT concat_ws(' ', (SELECT x.gold FROM economy.accounts x WHERE x.user_id = id), (SELECT string_agg(concat_ws(' ', h.item_id, h.balance), ' ' ORDER BY h.item_id) FROM economy.user_holdings h WHERE h.user_id = id AND NOT h.is_pass AND h.balance > 0)) $$;
CREATE FUNCTION pg_temp.open_ones(id bigint) RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(concat_ws(' ', e.escrow_id, e.gold, e.fee, e.items, e.reason, e.context, to_char(e.held_at AT TIME ZONE 'UTC', 'HH24:MI'), to_char(e.expires_at AT TIME ZONE 'UTC', 'DD HH24:MI'), e.expired), ', ') FROM economy.escrows_of(id) e $$;
CREATE FUNCTION pg_temp.wrong() RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(DISTINCT concat_ws(' ', f.kind, f.expected, '|', f.actual), ', ') FROM (SELECT * FROM economy_internal.audit_escrows() UNION ALL SELECT * FROM economy_internal.audit_transfers() UNION ALL SELECT * FROM economy_internal.audit_holdings() UNION ALL SELECT * FROM economy_internal.audit_effects()) f $$;

-- put aside, once per key
SELECT is(pg_temp.call('hold_escrow(%s, ''e1'', 101)', :a, :b, :c), 'f refused TRANSFERS_OFF 1000', 'off until somebody switches transfers on');
SELECT r.enabled AS x FROM economy.set_transfer_rules('{"enabled": true, "fee_per_mille": 15, "minimum_age_hours": 2}', 'bob') r \gset
SELECT is(pg_temp.call('hold_escrow(%s, ''e1'', 101, ''{"pgtap_gem": 5, "pgtap_card": 1}'', ''90 minutes'', ''trade'', ''{"in": "chat"}'', true)', :a, :b, :c),
    't new OK [{"item": "pgtap_gem", "delta": -5, "balance": 25}, {"item": "pgtap_card", "delta": -1, "balance": 2}] -103 897 {"fee": 2, "gold": 101, "dry_run": true, "expires_at": "2031-01-03T01:00:00+00:00", "ttl_seconds": 5400, "fee_per_mille": 15}', 'a dry run says what a call would');
SELECT is(concat_ws(', ', pg_temp.has(:a), pg_temp.open_ones(:a)), '1000 pgtap_bound 1 pgtap_card 3 pgtap_gem 30', 'and does nothing');
SELECT is(pg_temp.call('hold_escrow(%s, ''e1'', 101, ''{"pgtap_gem": 5, "pgtap_card": 1}'', ''90 minutes'', ''trade'', ''{"in": "chat"}'')', :a, :b, :c),
    format('t new OK H%s-3 [{"item": "pgtap_gem", "delta": -5, "balance": 25}, {"item": "pgtap_card", "delta": -1, "balance": 2}] -103 897 {"fee": 2, "gold": 101, "expires_at": "2031-01-03T01:00:00+00:00", "ttl_seconds": 5400, "fee_per_mille": 15}', :a), 'gold, the fee for it, and items');
SELECT is(pg_temp.call('hold_escrow(%s, ''e1'', 101, ''{"pgtap_card": 1, "pgtap_gem": 5}'', ''01:29:59.5'', ''trade'', ''{"in": "chat"}'')', :a, :b, :c),
    format('t reuse OK H%s-3 [{"item": "pgtap_gem", "delta": -5, "balance": 25}, {"item": "pgtap_card", "delta": -1, "balance": 2}] -103 897 {"fee": 2, "gold": 101, "expires_at": "2031-01-03T01:00:00+00:00", "ttl_seconds": 5400, "fee_per_mille": 15}', :a), 'a retry answers the first result');
SELECT is(pg_temp.call('hold_escrow(%s, ''e2'', items => ''{"pgtap_gem": 25}'')', :a, :b, :c), format('t new OK H%s-4 [{"item": "pgtap_gem", "delta": -25, "balance": 0}] 0 897 {"fee": 0, "gold": 0, "expires_at": "2031-01-03T23:30:00+00:00", "ttl_seconds": 86400, "fee_per_mille": 15}', :a), 'items alone have no fee');
SELECT is(pg_temp.call('hold_escrow(%s, ''e3'', 1, ttl => ''1 second'')', :a, :b, :c), format('t new OK H%s-5 -2 895 {"fee": 1, "gold": 1, "expires_at": "2031-01-02T23:30:01+00:00", "ttl_seconds": 1, "fee_per_mille": 15}', :a), 'a fee is rounded up');
SELECT is(pg_temp.has(:a), '895 pgtap_bound 1 pgtap_card 2', 'it is not the user''s to spend');
SELECT is(pg_temp.open_ones(:a), format('H%1$s-3 101 2 {"pgtap_gem": 5, "pgtap_card": 1} trade {"in": "chat"} 23:30 03 01:00 f, H%1$s-4 0 0 {"pgtap_gem": 25} escrow 23:30 03 23:30 f, H%1$s-5 1 1 escrow 23:30 02 23:30 f', :a), 'what is open');
SELECT is((SELECT string_agg(e.escrow_id, ' ') FROM economy.escrows_of(:a, 1) e), format('H%s-3', :a), 'no more than that');
SELECT is(pg_temp.open_ones(:b), NULL, 'and of others nothing');
SELECT is(string_agg(concat_ws(' ', r.event -> 'data' ->> 'operation', r.event -> 'data' ->> 'idempotency_key'), ', ' ORDER BY r.seq), 'escrow_hold e1, escrow_hold e2, escrow_hold e3', 'which is told') FROM economy.replay(:a, 2) r WHERE r.type = 'holding_update';
SELECT is(pg_temp.wrong(), NULL, 'and the audit finds nothing');

-- refused: nothing is changed
SELECT is(pg_temp.call(call, :a, :b, :c), format(says, :a, :b, :c), call)
FROM (VALUES
    ('hold_escrow(-7, ''f'', 1)', 'f refused USER_NOT_FOUND'),
    ('hold_escrow(%1$s, ''f'', 885)', 'f refused INSUFFICIENT_GOLD 895 {"fee": 14, "needed": 899}'),
    ('hold_escrow(%1$s, ''f'', 9007199254740991)', 'f refused INSUFFICIENT_GOLD 895 {"fee": 135107988821115, "needed": 9142307243562106}'),
    ('hold_escrow(%1$s, ''f'', items => ''{"pgtap_none": 1}'')', 'f refused ITEM_NOT_FOUND 895 {"item": "pgtap_none"}'),
    ('hold_escrow(%1$s, ''f'', items => ''{"pgtap_bound": 1}'')', 'f refused ITEM_NOT_TRADABLE 895 {"item": "pgtap_bound"}'),
    ('hold_escrow(%1$s, ''f'', items => ''{"pgtap_pass": 1}'')', 'f refused ITEM_NOT_TRADABLE 895 {"item": "pgtap_pass"}'),
    ('hold_escrow(%1$s, ''f'', 1, ''{"pgtap_gem": 1}'', dry_run => true)', 'f refused INSUFFICIENT_ITEMS 895 {"held": 0, "item": "pgtap_gem", "needed": 1, "dry_run": true}'),
    ('hold_escrow(%1$s, ''e1'', 100, ''{"pgtap_gem": 5, "pgtap_card": 1}'', ''90 minutes'', ''trade'', ''{"in": "chat"}'')', 'f refused IDEMPOTENCY_MISMATCH H%1$s-3 {"now": 100, "field": "gold", "first": 101}'),
    ('hold_escrow(%1$s, ''e1'', 101, ''{"pgtap_gem": 5}'', ''90 minutes'', ''trade'', ''{"in": "chat"}'')', 'f refused IDEMPOTENCY_MISMATCH H%1$s-3 {"field": "items", "first": [{"item": "pgtap_gem", "delta": -5, "balance": 25}, {"item": "pgtap_card", "delta": -1, "balance": 2}]}'),
    ('hold_escrow(%1$s, ''e1'', 101, ''{"pgtap_gem": 5, "pgtap_card": 1}'', ''1 hour'', ''trade'', ''{"in": "chat"}'')', 'f refused IDEMPOTENCY_MISMATCH H%1$s-3 {"now": 3600, "field": "ttl", "first": 5400}'),
    ('hold_escrow(%1$s, ''e1'', 101, ''{"pgtap_gem": 5, "pgtap_card": 1}'', ''90 minutes'', ''wager'', ''{"in": "chat"}'')', 'f refused IDEMPOTENCY_MISMATCH H%1$s-3 {"now": "wager", "field": "reason", "first": "trade"}'),
    ('hold_escrow(%1$s, ''e1'', 101, ''{"pgtap_gem": 5, "pgtap_card": 1}'', ''90 minutes'', ''trade'')', 'f refused IDEMPOTENCY_MISMATCH H%1$s-3 {"now": null, "field": "context", "first": {"in": "chat"}}'),
    ('capture_escrow(%1$s, ''H%1$s-3'', %1$s)', 'f refused SAME_USER'),
    ('capture_escrow(%1$s, ''H%2$s-3'', %2$s)', 'f refused ESCROW_NOT_FOUND'), ('capture_escrow(%2$s, ''H%1$s-3'', %1$s)', 'f refused ESCROW_NOT_FOUND'), ('release_escrow(%1$s, ''what'')', 'f refused ESCROW_NOT_FOUND'),
    ('release_escrow(%1$s, ''H%1$s-2'')', 'f refused ESCROW_NOT_FOUND 895'), ('release_escrow(%1$s, ''H%1$s-99'')', 'f refused ESCROW_NOT_FOUND 895'), ('release_escrow(%1$s, ''G%1$s-1'')', 'f refused ESCROW_NOT_FOUND'),
    ('release_escrow(7000000000, ''H7000000000-1'')', 'f refused USER_NOT_FOUND {"user_id": 7000000000}'),
    ('capture_escrow(%1$s, ''H%1$s-3'', -7)', 'f refused USER_NOT_FOUND {"user_id": -7}'),
    ('capture_escrow(%1$s, ''H%1$s-3'', %2$s, 102)', 'f refused EXCEEDS_ESCROW 895 {"held": 101, "asked": 102}'),
    ('capture_escrow(%1$s, ''H%1$s-3'', %2$s, 0, ''{"pgtap_gem": 6}'')', 'f refused EXCEEDS_ESCROW 895 {"held": 5, "item": "pgtap_gem", "asked": 6}'),
    ('capture_escrow(%1$s, ''H%1$s-3'', %2$s, 0, ''{"pgtap_gem": 5, "pgtap_pass": 1}'')', 'f refused EXCEEDS_ESCROW 895 {"held": 0, "item": "pgtap_pass", "asked": 1}'),
    ('capture_escrow(%1$s, ''H%1$s-3'', %2$s, 0, ''{"pgtap_pass": 1}'')', 'f refused EXCEEDS_ESCROW 895 {"held": 0, "item": "pgtap_pass", "asked": 1}'),
    ('capture_escrow(%1$s, ''H%1$s-3'', %3$s)', 'f refused GOLD_OVERFLOW 895 {"user_id": %3$s}')) v (call, says);

-- passed on: all, or some of it
SAVEPOINT whole;
SELECT is(pg_temp.call('capture_escrow(%s, ''H%1$s-3'', %s, note => ''yours'')', :a, :b, :c), format('t new OK H%1$s-6 0 895 {"to": %2$s, "fee": 2, "how": "captured", "gold": 101, "note": "yours", "escrow": "H%1$s-3"}', :a, :b), 'all of it');
SELECT is(pg_temp.has(:a) || ', ' || pg_temp.has(:b), '895 pgtap_bound 1 pgtap_card 2, 101 pgtap_card 1 pgtap_gem 5', 'is another user''s, and the fee nobody''s');
SELECT is(pg_temp.call('capture_escrow(%s, ''H%1$s-3'', %s, 101, ''{"pgtap_gem": 5, "pgtap_card": 1}'', ''yours'')', :a, :b, :c), format('t reuse OK H%1$s-6 0 895 {"to": %2$s, "fee": 2, "how": "captured", "gold": 101, "note": "yours", "escrow": "H%1$s-3"}', :a, :b), 'once');
SELECT is(string_agg(concat_ws(' ', h.user_id - :a, h.operation, h.idempotency_key, h.reason, h.gold_delta, h.gold, h.items, h.detail), ', ' ORDER BY h.user_id),
    format('0 escrow_close H%1$s-3 capture 0 895 {"to": %2$s, "fee": 2, "how": "captured", "gold": 101, "note": "yours", "escrow": "H%1$s-3"}, 1 escrow_in H%1$s-3 capture 101 101 [{"item": "pgtap_gem", "delta": 5, "balance": 5}, {"item": "pgtap_card", "delta": 1, "balance": 1}] {"from": %1$s, "gold": 101, "note": "yours", "escrow": "H%1$s-3"}', :a, :b), 'its two entries')
FROM economy.holding_changes h WHERE h.idempotency_key = format('H%s-3', :a);
SELECT is(pg_temp.call(call, :a, :b, :c), format(says, :a, :b, :c), call)
FROM (VALUES
    ('capture_escrow(%1$s, ''H%1$s-3'', %3$s, note => ''yours'')', 'f refused IDEMPOTENCY_MISMATCH H%1$s-6 {"now": %3$s, "field": "to_user_id", "first": %2$s}'),
    ('capture_escrow(%1$s, ''H%1$s-3'', %2$s, 100, note => ''yours'')', 'f refused IDEMPOTENCY_MISMATCH H%1$s-6 {"now": 100, "field": "gold", "first": 101}'),
    ('capture_escrow(%1$s, ''H%1$s-3'', %2$s, items => ''{"pgtap_gem": 5}'', note => ''yours'')', 'f refused IDEMPOTENCY_MISMATCH H%1$s-6 {"field": "items"}'),
    ('capture_escrow(%1$s, ''H%1$s-3'', %2$s, items => ''{"pgtap_gem": 5, "pgtap_card": 1, "pgtap_bound": 1}'', note => ''yours'')', 'f refused IDEMPOTENCY_MISMATCH H%1$s-6 {"field": "items"}'),
    ('capture_escrow(%1$s, ''H%1$s-3'', %2$s)', 'f refused IDEMPOTENCY_MISMATCH H%1$s-6 {"now": null, "field": "note", "first": "yours"}'),
    ('release_escrow(%1$s, ''H%1$s-3'')', 'f refused ESCROW_CLOSED H%1$s-6 {"to": %2$s, "fee": 2, "how": "captured", "gold": 101, "note": "yours", "escrow": "H%1$s-3"}'),
    ('hold_escrow(%1$s, ''e1'', 101, ''{"pgtap_card": 1, "pgtap_gem": 5}'', ''90 minutes'', ''trade'', ''{"in": "chat"}'')', 't reuse OK H%1$s-3 [{"item": "pgtap_gem", "delta": -5, "balance": 25}, {"item": "pgtap_card", "delta": -1, "balance": 2}] -103 897 {"fee": 2, "gold": 101, "expires_at": "2031-01-03T01:00:00+00:00", "ttl_seconds": 5400, "fee_per_mille": 15}')) v (call, says);
SELECT is(pg_temp.wrong(), NULL, 'and the audit finds nothing');
ROLLBACK TO whole;
SELECT is(pg_temp.call('capture_escrow(%s, ''H%1$s-3'', %s, 50, ''{"pgtap_gem": 2}'')', :a, :b, :c), format('t new OK H%1$s-6 [{"item": "pgtap_gem", "delta": 3, "balance": 3}, {"item": "pgtap_card", "delta": 1, "balance": 3}] 52 947 {"to": %2$s, "fee": 1, "how": "captured", "gold": 50, "escrow": "H%1$s-3"}', :a, :b), 'of some of it the rest is given back, of the fee, too');
SELECT is(pg_temp.has(:b), '50 pgtap_gem 2', 'and no more is another''s');
SELECT is(pg_temp.call('capture_escrow(%s, ''H%1$s-3'', %s, 50, ''{"pgtap_gem": 2}'')', :a, :b, :c) LIKE 't reuse OK %', true, 'once');
SELECT is(pg_temp.wrong(), NULL, 'and the audit finds nothing');

-- given back, whatever became of the item or of the rules
SELECT success AS x FROM economy.grant_items(:a, '{"pgtap_gem": 30}', 'more', 'more') \gset
SELECT r.enabled AS x FROM economy.set_transfer_rules('{"enabled": false}', 'bob') r \gset
SELECT i.active AS x FROM economy.upsert_item('{"item_id": "pgtap_gem", "maximum": 1, "tradable": false, "active": false}', 'ann') i \gset
SELECT economy.set_user_status(:a, 'suspended', 'pgtap') AS x \gset
SELECT is(pg_temp.call('capture_escrow(%s, ''H%1$s-4'', %s)', :a, :b, :c), 'f refused TRANSFERS_OFF 947', 'nothing is passed on while transfers are off');
SELECT is(pg_temp.call('release_escrow(%s, ''H%1$s-4'', ''changed my mind'')', :a, :b, :c), format('t new OK H%1$s-9 [{"item": "pgtap_gem", "delta": 25, "balance": 58}] 0 947 {"how": "released", "escrow": "H%1$s-4"}', :a), 'given back above the maximum, to who is suspended');
SELECT is(pg_temp.call('release_escrow(%s, ''H%1$s-4'')', :a, :b, :c), format('t reuse OK H%1$s-9 [{"item": "pgtap_gem", "delta": 25, "balance": 58}] 0 947 {"how": "released", "escrow": "H%1$s-4"}', :a), 'once');
SELECT is(pg_temp.call('capture_escrow(%s, ''H%1$s-4'', %s)', :a, :b, :c), format('f refused ESCROW_CLOSED H%1$s-9 {"how": "released", "escrow": "H%1$s-4"}', :a), 'and is nobody else''s');
SELECT economy.set_user_status(:a, 'active', 'pgtap') AS x \gset
SELECT r.enabled AS x FROM economy.set_transfer_rules('{"enabled": true}', 'bob') r \gset
SELECT is(pg_temp.wrong(), NULL, 'and the audit finds nothing');

-- who may, and what
SELECT success AS x, transaction_id AS e FROM economy.hold_escrow(:a, 'who', 10, '{"pgtap_card": 1}') \gset
SELECT economy.set_user_status(:b, 'suspended', 'pgtap') AS x \gset
SELECT is(pg_temp.call(format('capture_escrow(%%s, %L, %%s)', :'e'), :a, :b, :c), format('f refused USER_SUSPENDED 936 {"user_id": %s}', :b), 'to who is suspended');
SELECT is(pg_temp.call('hold_escrow(%2$s, ''s'', 1)', :a, :b, :c), 'f refused USER_SUSPENDED 50', 'who is suspended puts nothing aside');
SELECT economy.set_user_status(:b, 'active', 'pgtap') AS x \gset
SELECT economy.set_user_status(:a, 'suspended', 'pgtap') AS x \gset
SELECT is(pg_temp.call(format('capture_escrow(%%s, %L, %%s)', :'e'), :a, :b, :c), format('f refused USER_SUSPENDED 936 {"user_id": %s}', :a), 'from who is suspended');
SELECT economy.set_user_status(:a, 'active', 'pgtap') AS x \gset
SELECT r.daily_gold AS x FROM economy.set_transfer_rules('{"daily_gold": 55}', 'bob') r \gset
SELECT is(pg_temp.call(format('capture_escrow(%%s, %L, %%s)', :'e'), :a, :b, :c), 'f refused TRANSFER_DAILY_LIMIT 936 {"sent": 50, "limit": 55, "renews_at": "2031-01-03T00:00:00+00:00"}', 'what is captured counts as sent');
SELECT r.daily_gold AS x FROM economy.set_transfer_rules('{"daily_gold": 60}', 'bob') r \gset
SELECT i.active AS x FROM economy.upsert_item('{"item_id": "pgtap_card", "tradable": false}', 'ann') i \gset
SELECT is(pg_temp.call(format('capture_escrow(%%s, %L, %%s)', :'e'), :a, :b, :c), format('f refused ITEM_NOT_TRADABLE 936 {"item": "pgtap_card", "user_id": %s}', :b), 'an item that is traded no more');
SELECT i.active AS x FROM economy.upsert_item('{"item_id": "pgtap_card", "tradable": true, "maximum": 1}', 'ann') i \gset
SELECT success AS x FROM economy.grant_items(:b, '{"pgtap_card": 1}', 'full', 'full') \gset
SELECT is(pg_temp.call(format('capture_escrow(%%s, %L, %%s)', :'e'), :a, :b, :c), format('f refused ITEM_LIMIT 936 {"held": 1, "item": "pgtap_card", "at_most": 1, "user_id": %s}', :b), 'for whom there is no room');
SELECT is(pg_temp.call(format('capture_escrow(%%s, %L, %%s, items => ''{}'')', :'e'), :a, :b, :c) LIKE 't new OK % [{"item": "pgtap_card", "delta": 1, "balance": 3}] 0 936 %', true, 'the gold alone');
SELECT r.daily_gold AS x FROM economy.set_transfer_rules('{"daily_gold": null}', 'bob') r \gset
SET LOCAL economy.test_clock = '2031-01-02 21:59:59.999999+00';
SELECT is(pg_temp.call('hold_escrow(%s, ''y'', 1)', :a, :b, :c), 'f refused TRANSFER_TOO_YOUNG 936 {"allowed_at": "2031-01-02T22:00:00+00:00"}', 'too young');
SELECT is(pg_temp.wrong(), NULL, 'and the audit finds nothing');

-- a trade is two captures
SET LOCAL economy.test_clock = '2031-01-03 00:00:00+00';
SELECT transaction_id AS ea FROM economy.hold_escrow(:a, 'trade', items => '{"pgtap_card": 2}') \gset
SELECT transaction_id AS eb FROM economy.hold_escrow(:b, 'trade', 20) \gset
SELECT i.active AS x FROM economy.upsert_item('{"item_id": "pgtap_card", "maximum": null}', 'ann') i \gset
SELECT string_agg(r.code, ' ') AS codes FROM (SELECT code FROM economy.capture_escrow(:a, :'ea', :b) UNION ALL SELECT code FROM economy.capture_escrow(:b, :'eb', :a)) r \gset
SELECT is(:'codes' || ' ' || pg_temp.has(:a) || ', ' || pg_temp.has(:b), 'OK OK 956 pgtap_bound 1 pgtap_card 1 pgtap_gem 58, 39 pgtap_card 3 pgtap_gem 2', 'a card for gold');

-- what expires: at its moment, once, and the job gives it back
SET LOCAL economy.test_clock = '2031-01-02 23:30:00.999999+00';
SELECT is(pg_temp.brief(economy_internal.expire_escrow(:a, format('H%s-5', :a))), 'f refused ESCROW_NOT_EXPIRED 956', 'not before its time');
SET LOCAL economy.test_clock = '2031-01-02 23:30:01+00';
SELECT is(pg_temp.call('capture_escrow(%s, ''H%1$s-5'', %s)', :a, :b, :c), 'f refused ESCROW_EXPIRED 956 {"expires_at": "2031-01-02T23:30:01+00:00"}', 'nothing is passed on when its time is over');
SELECT is(pg_temp.open_ones(:a) LIKE '% t', true, 'it says so');
SAVEPOINT at_its_end;
SELECT is(e.code, 'OK', 'and it is given back, at the moment at which nothing can be passed on any more') FROM economy_internal.expire_escrow(:a, format('H%s-5', :a)) e;
ROLLBACK TO at_its_end;
SELECT count(*) AS x FROM generate_series(1, 5) n, economy.hold_escrow(:a, 'x' || n, n, ttl => '10 seconds') \gset
SET LOCAL economy.test_clock = '2031-01-03 00:00:00+00';
SELECT is(concat_ws(' ', e.expired, e.failed, e.next = jsonb_build_object('seq', 5, 'user_id', :a, 'expires_at', '2031-01-02T23:30:01+00:00')), '1 0 t', 'one') FROM economy_internal.expire_escrows(NULL, 1) e;
SELECT is(p.state || ' ' || p.gold_delta || ' ' || p.detail, format('reuse 2 {"how": "expired", "escrow": "H%s-5"}', :a), 'who gives it back finds that it is') FROM economy.release_escrow(:a, format('H%s-5', :a)) p;
SELECT is(p.code || ' ' || p.detail, format('ESCROW_CLOSED {"how": "expired", "escrow": "H%s-5"}', :a), 'and who passes it on, too') FROM economy.capture_escrow(:a, format('H%s-5', :a), :b) p;
-- one that is damaged keeps no other back
ALTER TABLE economy.holding_changes DISABLE TRIGGER USER;
SAVEPOINT damage;
UPDATE economy.holding_changes SET detail = NULL WHERE user_id = :a AND idempotency_key = 'x2' AND operation = 'escrow_hold';
SET LOCAL client_min_messages = error;
ROLLBACK TO damage;
UPDATE economy.holding_changes SET detail = NULL WHERE user_id = :a AND idempotency_key = 'x2' AND operation = 'escrow_hold';
SET LOCAL client_min_messages = error;
SELECT is(concat_ws(' ', e.expired, e.failed, e.next), '4 1', 'the others are given back') FROM economy_internal.expire_escrows() e;
SELECT is(concat_ws(' ', e.expired, e.failed, e.next), '0 1', 'and it is looked at again') FROM economy_internal.expire_escrows() e;
ROLLBACK TO damage;
SELECT is(concat_ws(' ', e.expired, e.failed, e.next), '5 0', 'all') FROM economy_internal.expire_escrows() e;
SELECT is(pg_temp.has(:a) || coalesce(pg_temp.open_ones(:a), ''), '958 pgtap_bound 1 pgtap_card 1 pgtap_gem 58', 'and none is open');
-- a balance has a greatest number
SELECT transaction_id AS ec FROM economy.hold_escrow(:c, 'c', 1000, ttl => '5 seconds') \gset
SELECT success AS x FROM economy.adjust_gold(:c, 1015, 'full', 'pgtap', 'pgtap') \gset
SELECT is(pg_temp.call(format('release_escrow(%%3$s, %L)', :'ec'), :a, :b, :c), format('f refused GOLD_OVERFLOW 9007199254740991 {"user_id": %s}', :c), 'which no one is given more than');
SET LOCAL economy.test_clock = '2031-01-03 00:00:05+00';
SELECT is(concat_ws(' ', e.expired, e.failed, e.next), '0 1', 'also not when it expires') FROM economy_internal.expire_escrows() e;
SELECT success AS x FROM economy.adjust_gold(:c, -1015, 'room', 'pgtap', 'pgtap') \gset
SELECT is(pg_temp.call(format('release_escrow(%%3$s, %L)', :'ec'), :a, :b, :c) LIKE 't new OK % 1015 9007199254740991 %', true, 'nor less');
SELECT is(pg_temp.wrong(), NULL, 'and the audit finds nothing');
SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s) UNION ALL SELECT * FROM economy.verify_chain(%s) UNION ALL SELECT * FROM economy.verify_chain(%s)', :a, :b, :c), 'the chains are clean');

-- bad arguments
SELECT throws_ok(format('SELECT economy.' || call, :a, :b), code, says, call)
FROM (VALUES
    ('hold_escrow(NULL, ''a'', 1)', 'XE001', 'user_id must not be null'), ('hold_escrow(%s, NULL, 1)', 'XE001', 'idempotency_key must not be null'), ('hold_escrow(%s, '''', 1)', 'XE002', 'idempotency_key must not be empty'),
    ('hold_escrow(%s, ''a'', NULL)', 'XE001', 'gold must not be null'), ('hold_escrow(%s, ''a'', -1)', 'XE002', 'gold must be from 0 to 2^53-1'), ('hold_escrow(%s, ''a'', 9007199254740992)', 'XE002', 'gold must be from 0 to 2^53-1'),
    ('hold_escrow(%s, ''a'')', 'XE002', 'nothing is held'), ('hold_escrow(%s, ''a'', 1, ''{}'')', 'XE002', 'items must not be empty'), ('hold_escrow(%s, ''a'', 1, ttl => NULL)', 'XE001', 'ttl must not be null'),
    ('hold_escrow(%s, ''a'', 1, ttl => ''0.999999 seconds'')', 'XE002', 'ttl must be from 1 second to 366 days'), ('hold_escrow(%s, ''a'', 1, ttl => ''367 days'')', 'XE002', 'ttl must be from 1 second to 366 days'),
    ('hold_escrow(%s, ''a'', 1, ttl => ''366 days 0.000001 seconds'')', 'XE002', 'ttl must be from 1 second to 366 days'), ('hold_escrow(%s, ''a'', 1, ttl => ''178000000 years'')', 'XE002', 'ttl must be from 1 second to 366 days'),
    ('hold_escrow(%s, ''a'', 1, ttl => ''366 days 2562047788 hours'')', 'XE002', 'ttl must be from 1 second to 366 days'), ('hold_escrow(%s, ''a'', 1, ttl => ''-1 day'')', 'XE002', 'ttl must be from 1 second to 366 days'),
    ('hold_escrow(%s, ''a'', 1, reason => '''')', 'XE002', 'reason must not be empty'), ('hold_escrow(%s, ''a'', 1, context => ''[]'')', 'XE002', 'context must be a JSON object'), ('hold_escrow(%s, ''a'', 1, dry_run => NULL)', 'XE001', 'dry_run must not be null'),
    ('release_escrow(NULL, ''a'')', 'XE001', 'user_id must not be null'), ('release_escrow(%s, NULL)', 'XE001', 'escrow_id must not be null'), ('release_escrow(%s, ''a'', NULL)', 'XE001', 'reason must not be null'),
    ('capture_escrow(%s, NULL, %s)', 'XE001', 'escrow_id must not be null'), ('capture_escrow(%s, ''a'', NULL)', 'XE001', 'to_user_id must not be null'), ('capture_escrow(%s, ''a'', %s, -1)', 'XE002', 'gold must be from 0 to 2^53-1'),
    ('capture_escrow(%s, ''a'', %s, items => ''[]'')', 'XE002', 'items must be a JSON object'), ('capture_escrow(%s, ''a'', %s, note => '''')', 'XE002', 'note must not be empty'),
    ('escrows_of(%s, -1)', 'XE002', 'max must be 0 or more')) v (call, code, says);
SELECT is_empty('SELECT * FROM economy.escrows_of(NULL)', 'escrows_of(null) has no row');
SELECT transaction_id AS e FROM economy.hold_escrow(:a, 'last', 10, '{"pgtap_card": 1}') \gset
SELECT throws_ok(format('SELECT economy.capture_escrow(%s, %L, %s, 0, ''{}'')', :a, :'e', :b), 'XE002', 'nothing is captured', 'a capture of nothing');

-- what the audit finds
SELECT transaction_id AS f FROM economy.hold_escrow(:a, 'gone', 30) \gset
SELECT substring(:'e' FROM '[0-9]+$') AS eseq \gset
CREATE FUNCTION pg_temp.found(damage text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    says text;
BEGIN
    EXECUTE damage;
    SELECT string_agg(f.kind, ' ' ORDER BY f.kind) INTO says FROM (SELECT * FROM economy_internal.audit_escrows() UNION ALL SELECT * FROM economy_internal.audit_twice() UNION ALL SELECT * FROM economy_internal.audit_orphans()) f;
    RAISE EXCEPTION USING ERRCODE = 'XP000', MESSAGE = coalesce(says, 'nothing');
EXCEPTION WHEN SQLSTATE 'XP000' THEN
    RETURN sqlerrm;
END
$$;
SELECT is(pg_temp.found(replace(replace(replace(damage, '{a}', :a::text), '{b}', :b::text), '{n}', :'eseq')), kind, damage)
FROM (VALUES
    ('nothing', 'SELECT'),
    ('parity', 'DELETE FROM economy.escrows WHERE user_id = {a} AND seq = {n}'),
    ('parity', 'UPDATE economy.escrows SET expires_at = expires_at + interval ''1 second'' WHERE user_id = {a} AND seq = {n}'),
    ('parity', 'INSERT INTO economy.escrows VALUES ({a}, 4, now())'),
    ('parity', 'INSERT INTO economy.escrows VALUES ({b}, 77, now())'),
    ('orphan_row parity', 'INSERT INTO economy.escrows VALUES (-7, 1, now())'),
    ('parity', 'UPDATE economy.holding_changes SET detail = jsonb_set(detail, ''{ttl_seconds}'', ''60'') WHERE user_id = {a} AND idempotency_key = ''last'''),
    ('parity', 'UPDATE economy.holding_changes SET detail = jsonb_set(detail, ''{ttl_seconds}'', ''1e300'') WHERE user_id = {a} AND idempotency_key = ''last'''),
    ('wrong_balance', 'UPDATE economy.holding_changes SET detail = jsonb_set(detail, ''{gold}'', ''11'') WHERE user_id = {a} AND idempotency_key = ''last'''),
    ('wrong_balance', 'UPDATE economy.holding_changes SET detail = jsonb_set(detail, ''{fee_per_mille}'', ''500'') WHERE user_id = {a} AND idempotency_key = ''last'''),
    ('wrong_balance', 'UPDATE economy.holding_changes SET gold_delta = -12 WHERE user_id = {a} AND idempotency_key = ''last'''),
    ('wrong_balance', 'UPDATE economy.holding_changes SET items = jsonb_set(items, ''{0,delta}'', ''1'') WHERE user_id = {a} AND idempotency_key = ''last'''),
    ('parity wrong_balance', 'UPDATE economy.holding_changes SET seq = 4000 WHERE user_id = {a} AND seq = 4'),
    ('parity', 'DELETE FROM economy.holding_changes WHERE user_id = {a} AND idempotency_key = ''last'''),
    ('parity wrong_balance', 'DELETE FROM economy.holding_changes WHERE user_id = {a} AND operation = ''escrow_close'' AND idempotency_key = ''H{a}-3'''),
    ('wrong_balance', 'DELETE FROM economy.holding_changes WHERE user_id = {a} AND seq = 4'),
    ('wrong_balance wrong_balance', 'DELETE FROM economy.holding_changes WHERE user_id = {b} AND operation = ''escrow_in'' AND idempotency_key = ''H{a}-3'''),
    ('wrong_balance wrong_balance', 'UPDATE economy.holding_changes SET gold_delta = gold_delta + 1 WHERE user_id = {b} AND operation = ''escrow_in'' AND idempotency_key = ''H{a}-3'''),
    ('wrong_balance', 'UPDATE economy.holding_changes SET gold_delta = gold_delta - 1 WHERE user_id = {a} AND operation = ''escrow_close'' AND idempotency_key = ''H{a}-3'''),
    ('wrong_balance', 'UPDATE economy.holding_changes SET items = NULL WHERE user_id = {a} AND operation = ''escrow_close'' AND idempotency_key = ''H{a}-3'''),
    ('wrong_balance', 'UPDATE economy.holding_changes SET xact = xact + 1 WHERE user_id = {b} AND operation = ''escrow_in'' AND idempotency_key = ''H{a}-3'''),
    ('wrong_balance', 'UPDATE economy.holding_changes SET detail = jsonb_set(detail, ''{note}'', ''"other"'', true) WHERE user_id = {b} AND operation = ''escrow_in'' AND idempotency_key = ''H{a}-3'''),
    ('wrong_balance', 'UPDATE economy.holding_changes SET detail = jsonb_set(detail, ''{fee}'', ''0'') WHERE user_id = {a} AND operation = ''escrow_close'' AND idempotency_key = ''H{a}-3'''),
    ('wrong_balance wrong_balance wrong_balance', 'UPDATE economy.holding_changes SET detail = jsonb_set(detail, ''{to}'', ''1e30'') WHERE user_id = {a} AND operation = ''escrow_close'' AND idempotency_key = ''H{a}-3'''),
    ('wrong_balance wrong_balance', 'UPDATE economy.holding_changes SET detail = jsonb_set(detail, ''{from}'', ''-7'') WHERE user_id = {b} AND operation = ''escrow_in'' AND idempotency_key = ''H{a}-3'''),
    ('wrong_balance', 'UPDATE economy.holding_changes SET detail = jsonb_set(detail, ''{how}'', ''"lost"'') WHERE user_id = {a} AND operation = ''escrow_close'' AND idempotency_key = ''H{a}-4'''),
    ('wrong_balance', 'UPDATE economy.holding_changes SET detail = jsonb_set(detail, ''{how}'', ''"expired"'') WHERE user_id = {a} AND operation = ''escrow_close'' AND idempotency_key = ''H{a}-4'''),
    ('wrong_balance', 'UPDATE economy.holding_changes SET detail = NULL WHERE user_id = {a} AND operation = ''escrow_close'' AND idempotency_key = ''H{a}-4'''),
    ('wrong_balance', 'UPDATE economy.holding_changes SET gold_delta = 1 WHERE user_id = {a} AND operation = ''escrow_close'' AND idempotency_key = ''H{a}-4''')) v (kind, damage);
-- a row that was lost keeps nobody from what is his
DELETE FROM economy.escrows WHERE user_id = :a AND 'H' || user_id || '-' || seq = :'f';
SELECT is(p.code || ' ' || p.gold_delta, 'OK 31', 'one that is not listed is given back') FROM economy.release_escrow(:a, :'f') p;
SELECT is(pg_temp.wrong(), NULL, 'and the audit finds nothing');
UPDATE economy.holding_changes SET gold_delta = -9 WHERE user_id = :a AND idempotency_key = 'last';
SELECT throws_ok(format('SELECT economy.release_escrow(%s, %L)', :a, :'e'), 'XE103', format('escrow %s holds other gold than was taken', :'e'), 'other gold is not given back');
UPDATE economy.holding_changes SET detail = detail - 'ttl_seconds' WHERE user_id = :a AND idempotency_key = 'last';
SELECT throws_ok(format('SELECT economy.release_escrow(%s, %L)', :a, :'e'), 'XE103', format('escrow %s has no "ttl_seconds"', :'e'), 'nor what has no end');
UPDATE economy.holding_changes SET detail = NULL WHERE user_id = :a AND idempotency_key = 'last';
SELECT throws_ok(format('SELECT economy.capture_escrow(%s, %L, %s)', :a, :'e', :b), 'XE103', format('entry %s has no detail', :'e'), 'nor what has no detail');
DELETE FROM economy.holding_changes WHERE user_id = :a AND seq = 3;
SELECT throws_ok(format('SELECT economy.capture_escrow(%1$s, ''H%1$s-3'', %2$s)', :a, :b), 'XE103', format('escrow H%s-3 is closed and was never opened', :a), 'nor is one answered that was never opened');

-- planned with statistics of none, as after a restore, it looks at no pair of them
CREATE FUNCTION pg_temp.pairs(audit regprocedure) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    body text := regexp_replace(pg_get_function_sqlbody(audit), '^[[:space:]]*BEGIN ATOMIC(.*);[[:space:]]*END[[:space:]]*$', E'\\1');
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT JSON) ' || regexp_replace(regexp_replace(body, 'audit_[a-z]+[.]from_user', '(-9)::bigint', 'g'), 'audit_[a-z]+[.]upto_user', '9::bigint', 'g') INTO plan;
    RETURN (SELECT count(*) FROM jsonb_path_query(plan::jsonb, 'strict $.** ? (@."Node Type" == "Nested Loop" && @.Plans[1]."Node Type" == "CTE Scan")'));
END
$$;
SELECT is(pg_temp.pairs('economy_internal.audit_escrows(bigint,bigint)'), 0::bigint, 'the audit takes no time that grows with the square of a user''s escrows');

SELECT * FROM finish();
ROLLBACK;
