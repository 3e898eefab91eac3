-- Between users: transfer() and set_transfer_rules().
BEGIN;
SELECT no_plan();

SET LOCAL economy.test_clock = '2031-01-02 20:00:00+00';
SELECT economy.register('pgtap sender') AS a \gset
SELECT economy.register('pgtap receiver') AS b \gset
SELECT economy.register('pgtap third') AS c \gset
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
CREATE FUNCTION pg_temp.wrong() RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(DISTINCT concat_ws(' ', f.kind, f.expected, '|', f.actual), ', ') FROM (SELECT * FROM economy_internal.audit_transfers() UNION ALL SELECT * FROM economy_internal.audit_holdings() UNION ALL SELECT * FROM economy_internal.audit_effects()) f $$;

-- the rules
SELECT is(pg_temp.call('transfer(%s, %s, ''t1'', 1)', :a, :b, :c), 'f refused TRANSFERS_OFF 1000', 'off until somebody switches it on');
SELECT is(r::text, '(all,f,0,,0)', 'rules that are given nothing') FROM economy.set_transfer_rules('{}', 'ann') r;
SELECT is(pg_temp.call('transfer(%s, %s, ''t1'', 1)', :a, :b, :c), 'f refused TRANSFERS_OFF 1000', 'leave it off');
SELECT is(r::text, '(all,t,15,500,2)', 'and others switch it on') FROM economy.set_transfer_rules('{"enabled": true, "fee_per_mille": 15, "daily_gold": 500, "minimum_age_hours": 2}', 'bob') r;
SELECT results_eq($$SELECT c.action, c.actor, c.after - 'rules' FROM economy.config_changes c WHERE c.relation = 'transfer_rules' AND c.key = 'all' ORDER BY c.change_no$$,
    $$VALUES ('create', 'ann', '{"enabled": false, "fee_per_mille": 0, "daily_gold": null, "minimum_age_hours": 0}'::jsonb), ('change', 'bob', '{"enabled": true, "fee_per_mille": 15, "daily_gold": 500, "minimum_age_hours": 2}')$$, 'each change is recorded');
SELECT throws_ok(format('SELECT economy.set_transfer_rules(%L, ''ann'')', rules), 'XE901', CASE WHEN rules = '[]' THEN 'rules must be a JSON object' ELSE 'rules are not valid' END, 'no rules: ' || rules)
FROM (VALUES ('[]'), ('{"rules": "all"}'), ('{"colour": 1}'), ('{"enabled": null}'), ('{"enabled": "perhaps"}'), ('{"fee_per_mille": -1}'), ('{"fee_per_mille": 1001}'), ('{"fee_per_mille": 1.5}'),
    ('{"daily_gold": -1}'), ('{"daily_gold": 9007199254740992}'), ('{"minimum_age_hours": -1}'), ('{"minimum_age_hours": 876001}'), ('{"minimum_age_hours": null}')) v (rules);
SELECT throws_ok('SELECT economy.set_transfer_rules(' || args || ')', code, says, args)
FROM (VALUES ('NULL, ''ann''', 'XE001', 'rules must not be null'), ('''{}'', NULL', 'XE001', 'actor must not be null')) v (args, code, says);
SELECT is((SELECT r::text FROM economy.transfer_rules r), '(all,t,15,500,2)', 'and nothing has changed');

-- moved, once per key of the sender
SELECT is(pg_temp.call('transfer(%s, %s, ''t1'', 101, ''{"pgtap_gem": 5, "pgtap_card": 1}'', ''have fun'', ''{"in": "chat"}'', true)', :a, :b, :c),
    format('t new OK [{"item": "pgtap_gem", "delta": -5, "balance": 25}, {"item": "pgtap_card", "delta": -1, "balance": 2}] -103 897 {"to": %s, "fee": 2, "gold": 101, "note": "have fun", "dry_run": true}', :b), 'a dry run says what a call would');
SELECT is(pg_temp.has(:a) || ', ' || pg_temp.has(:b), '1000 pgtap_bound 1 pgtap_card 3 pgtap_gem 30, 0', 'and does nothing');
SELECT is(pg_temp.call('transfer(%s, %s, ''t1'', 101, ''{"pgtap_gem": 5, "pgtap_card": 1}'', ''have fun'', ''{"in": "chat"}'')', :a, :b, :c),
    format('t new OK H%1$s-3 [{"item": "pgtap_gem", "delta": -5, "balance": 25}, {"item": "pgtap_card", "delta": -1, "balance": 2}] -103 897 {"to": %2$s, "fee": 2, "gold": 101, "note": "have fun", "transfer": "H%1$s-3"}', :a, :b), 'gold and items');
SELECT is(pg_temp.call('transfer(%s, %s, ''t1'', 101, ''{"pgtap_card": 1, "pgtap_gem": 5}'', ''have fun'', ''{"in": "chat"}'')', :a, :b, :c),
    format('t reuse OK H%1$s-3 [{"item": "pgtap_gem", "delta": -5, "balance": 25}, {"item": "pgtap_card", "delta": -1, "balance": 2}] -103 897 {"to": %2$s, "fee": 2, "gold": 101, "note": "have fun", "transfer": "H%1$s-3"}', :a, :b), 'a retry answers the first result');
SELECT is(pg_temp.has(:a) || ', ' || pg_temp.has(:b), '897 pgtap_bound 1 pgtap_card 2 pgtap_gem 25, 101 pgtap_card 1 pgtap_gem 5', 'moved once; the fee is nobody''s');
SELECT is(pg_temp.call('transfer(%s, %s, ''t2'', items => ''{"pgtap_gem": 25}'')', :a, :b, :c), format('t new OK H%1$s-4 [{"item": "pgtap_gem", "delta": -25, "balance": 0}] 0 897 {"to": %2$s, "fee": 0, "gold": 0, "transfer": "H%1$s-4"}', :a, :b), 'items alone have no fee');
SELECT is(pg_temp.call('transfer(%2$s, %1$s, ''t1'', 1)', :a, :b, :c), format('t new OK H%2$s-3 -2 99 {"to": %1$s, "fee": 1, "gold": 1, "transfer": "H%2$s-3"}', :a, :b), 'a key is the sender''s alone, and a fee is rounded up');
SELECT is(string_agg(concat_ws(' ', h.user_id - :a, h.operation, h.idempotency_key = format('H%s-3', :a), h.reason, h.gold_delta, h.gold, h.items, h.context, h.detail), ', ' ORDER BY h.user_id),
    format('0 transfer_out f transfer -103 897 [{"item": "pgtap_gem", "delta": -5, "balance": 25}, {"item": "pgtap_card", "delta": -1, "balance": 2}] {"in": "chat"} {"to": %2$s, "fee": 2, "gold": 101, "note": "have fun", "transfer": "H%1$s-3"}, '
           '1 transfer_in t transfer 101 101 [{"item": "pgtap_gem", "delta": 5, "balance": 5}, {"item": "pgtap_card", "delta": 1, "balance": 1}] {"from": %1$s, "gold": 101, "note": "have fun", "transfer": "H%1$s-3"}', :a, :b), 'its two entries')
FROM economy.holding_changes h WHERE h.detail ->> 'transfer' = format('H%s-3', :a);
SELECT is(count(DISTINCT (h.created_at, h.xact)), 1::bigint, 'of one moment and transaction') FROM economy.holding_changes h WHERE h.detail ->> 'transfer' = format('H%s-3', :a);
SELECT is(string_agg(concat_ws(' ', r.event -> 'data' ->> 'operation', r.event -> 'data' -> 'detail'), ', ' ORDER BY r.seq),
    format('transfer_in {"from": %1$s, "gold": 101, "note": "have fun", "transfer": "H%1$s-3"}, transfer_in {"from": %1$s, "gold": 0, "transfer": "H%1$s-4"}, transfer_out {"to": %1$s, "fee": 1, "gold": 1, "transfer": "H%2$s-3"}', :a, :b), 'which are told')
FROM economy.replay(:b, 0) r WHERE r.type = 'holding_update';
SELECT is(pg_temp.wrong(), NULL, 'and the audit finds nothing');

-- refused: nothing is changed, and the key is not used up
SELECT success AS x FROM economy.grant_items(:a, '{"pgtap_gem": 20}', 'more', 'more') \gset
SELECT string_agg(pg_temp.has(u), ', ') AS before FROM unnest(ARRAY[:a, :b, :c]) u \gset
SELECT is(pg_temp.call(call, :a, :b, :c), format(says, :a, :b, :c), call)
FROM (VALUES
    ('transfer(%1$s, %1$s, ''f'', 1)', 'f refused SAME_USER'), ('transfer(-7, -7, ''f'', 1)', 'f refused SAME_USER'),
    ('transfer(-7, %1$s, ''f'', 1)', 'f refused USER_NOT_FOUND {"user_id": -7}'), ('transfer(%1$s, -7, ''f'', 1)', 'f refused USER_NOT_FOUND {"user_id": -7}'),
    ('transfer(%1$s, 9223372036854775807, ''f'', 1)', 'f refused USER_NOT_FOUND {"user_id": 9223372036854775807}'), ('transfer(%1$s, -9223372036854775808, ''f'', 1, dry_run => true)', 'f refused USER_NOT_FOUND {"dry_run": true, "user_id": -9223372036854775808}')) v (call, says);
SELECT is(pg_temp.call('transfer(%s, %s, ''f'', 400)', :a, :b, :c), 'f refused TRANSFER_DAILY_LIMIT 898 {"sent": 101, "limit": 500, "renews_at": "2031-01-03T00:00:00+00:00"}', 'more than may be sent in a day');
SELECT is(pg_temp.call('transfer(%s, %s, ''f'', 399, dry_run => true)', :a, :b, :c), format('t new OK -405 493 {"to": %s, "fee": 6, "gold": 399, "dry_run": true}', :b), 'and no more than that');
SELECT r.enabled AS x FROM economy.set_transfer_rules('{"daily_gold": null}', 'bob') r \gset
SELECT is(pg_temp.call(call, :a, :b, :c), format(says, :a, :b, :c), call)
FROM (VALUES
    ('transfer(%1$s, %2$s, ''f'', 885)', 'f refused INSUFFICIENT_GOLD 898 {"fee": 14, "needed": 899, "user_id": %1$s}'),
    ('transfer(%1$s, %2$s, ''f'', 884, dry_run => true)', 't new OK -898 0 {"to": %2$s, "fee": 14, "gold": 884, "dry_run": true}'),
    ('transfer(%1$s, %2$s, ''f'', 9007199254740991)', 'f refused INSUFFICIENT_GOLD 898 {"fee": 135107988821115, "needed": 9142307243562106, "user_id": %1$s}'),
    ('transfer(%1$s, %3$s, ''f'', 1)', 'f refused GOLD_OVERFLOW 898 {"user_id": %3$s}'),
    ('transfer(%1$s, %2$s, ''f'', items => ''{"pgtap_none": 1}'')', 'f refused ITEM_NOT_FOUND 898 {"item": "pgtap_none", "user_id": %1$s}'),
    ('transfer(%1$s, %2$s, ''f'', items => ''{"pgtap_bound": 1}'')', 'f refused ITEM_NOT_TRADABLE 898 {"item": "pgtap_bound", "user_id": %1$s}'),
    ('transfer(%1$s, %2$s, ''f'', items => ''{"pgtap_pass": 1}'')', 'f refused ITEM_NOT_TRADABLE 898 {"item": "pgtap_pass", "user_id": %1$s}'),
    ('transfer(%1$s, %2$s, ''f'', 1, ''{"pgtap_card": 3}'')', 'f refused INSUFFICIENT_ITEMS 898 {"held": 2, "item": "pgtap_card", "needed": 3, "user_id": %1$s}'),
    ('transfer(%1$s, %2$s, ''f'', 1, ''{"pgtap_gem": 11}'')', 'f refused ITEM_LIMIT 898 {"held": 30, "item": "pgtap_gem", "at_most": 40, "user_id": %2$s}'),
    ('transfer(%1$s, %3$s, ''t1'', 101, ''{"pgtap_gem": 5, "pgtap_card": 1}'', ''have fun'', ''{"in": "chat"}'')', 'f refused IDEMPOTENCY_MISMATCH H%1$s-3 {"now": %3$s, "field": "to_user_id", "first": %2$s}'),
    ('transfer(%1$s, %2$s, ''t1'', 100, ''{"pgtap_gem": 5, "pgtap_card": 1}'', ''have fun'', ''{"in": "chat"}'')', 'f refused IDEMPOTENCY_MISMATCH H%1$s-3 {"now": 100, "field": "gold", "first": 101}'),
    ('transfer(%1$s, %2$s, ''t1'', 101, ''{"pgtap_gem": 5}'', ''have fun'', ''{"in": "chat"}'')', 'f refused IDEMPOTENCY_MISMATCH H%1$s-3 {"field": "items", "first": [{"item": "pgtap_gem", "delta": -5, "balance": 25}, {"item": "pgtap_card", "delta": -1, "balance": 2}]}'),
    ('transfer(%1$s, %2$s, ''t1'', 101, ''{"pgtap_gem": 5, "pgtap_card": 1}'', ''have fun!'', ''{"in": "chat"}'')', 'f refused IDEMPOTENCY_MISMATCH H%1$s-3 {"now": "have fun!", "field": "note", "first": "have fun"}'),
    ('transfer(%1$s, %2$s, ''t1'', 101, ''{"pgtap_gem": 5, "pgtap_card": 1}'', context => ''{"in": "chat"}'')', 'f refused IDEMPOTENCY_MISMATCH H%1$s-3 {"now": null, "field": "note", "first": "have fun"}'),
    ('transfer(%1$s, %2$s, ''t1'', 101, ''{"pgtap_gem": 5, "pgtap_card": 1}'', ''have fun'')', 'f refused IDEMPOTENCY_MISMATCH H%1$s-3 {"now": null, "field": "context", "first": {"in": "chat"}}'),
    ('transfer(%1$s, %2$s, ''t2'', items => ''{"pgtap_gem": 25}'', note => ''n'')', 'f refused IDEMPOTENCY_MISMATCH H%1$s-4 {"now": "n", "field": "note", "first": null}'),
    ('transfer(%1$s, %2$s, ''t2'', 1)', 'f refused IDEMPOTENCY_MISMATCH H%1$s-4 {"now": 1, "field": "gold", "first": 0}'),
    ('transfer(%1$s, %2$s, ''t2'', items => ''{"pgtap_gem": 25}'', dry_run => true)', 't reuse OK H%1$s-4 [{"item": "pgtap_gem", "delta": -25, "balance": 0}] 0 897 {"to": %2$s, "fee": 0, "gold": 0, "dry_run": true, "transfer": "H%1$s-4"}')) v (call, says);
SELECT is(string_agg(pg_temp.has(u), ', '), :'before', 'and nothing has changed') FROM unnest(ARRAY[:a, :b, :c]) u;
-- an item that is not given any more is still traded, and one that was never consumable, too
SELECT i.active AS x FROM economy.upsert_item('{"item_id": "pgtap_card", "active": false}', 'ann') i \gset
SELECT is(pg_temp.call('transfer(%s, %s, ''f'', items => ''{"pgtap_card": 2}'')', :a, :b, :c), format('t new OK H%1$s-7 [{"item": "pgtap_card", "delta": -2, "balance": 0}] 0 898 {"to": %2$s, "fee": 0, "gold": 0, "transfer": "H%1$s-7"}', :a, :b), 'what is not given any more, and nor was the key used up');
-- who may
SELECT economy.set_user_status(:b, 'suspended', 'pgtap') AS x \gset
SELECT is(pg_temp.call('transfer(%s, %s, ''s'', 1)', :a, :b, :c), format('f refused USER_SUSPENDED 898 {"user_id": %s}', :b), 'to who is suspended');
SELECT is(pg_temp.call('transfer(%2$s, %1$s, ''s'', 1)', :a, :b, :c), format('f refused USER_SUSPENDED 99 {"user_id": %s}', :b), 'from who is suspended');
SELECT is(pg_temp.call('transfer(%2$s, %1$s, ''t1'', 1)', :a, :b, :c), format('t reuse OK H%2$s-3 -2 99 {"to": %1$s, "fee": 1, "gold": 1, "transfer": "H%2$s-3"}', :a, :b), 'what was made is answered');
SELECT economy.set_user_status(:b, 'active', 'pgtap') AS x \gset
SET LOCAL economy.test_clock = '2031-01-02 21:59:59.999999+00';
SELECT is(pg_temp.call('transfer(%s, %s, ''y'', 1)', :a, :b, :c), format('f refused TRANSFER_TOO_YOUNG 898 {"user_id": %s, "allowed_at": "2031-01-02T22:00:00+00:00"}', :a), 'too young');
SET LOCAL economy.test_clock = '2031-01-02 22:00:00+00';
SELECT is(pg_temp.call('transfer(%s, %s, ''y'', 1, dry_run => true)', :a, :b, :c), format('t new OK -2 896 {"to": %s, "fee": 1, "gold": 1, "dry_run": true}', :b), 'and old enough');
-- an account without a user, which only damage makes, is of no age; and both entries are of one moment, whatever the clock does
SAVEPOINT nobody;
ALTER TABLE economy.users DISABLE TRIGGER USER;
DELETE FROM economy.users WHERE user_id = :a;
SELECT is(t.code, 'TRANSFER_TOO_YOUNG', 'of no age') FROM economy.transfer(:a, :b, 'nobody', 1) t;
ROLLBACK TO nobody;
SELECT r.minimum_age_hours AS x FROM economy.set_transfer_rules('{"minimum_age_hours": 0}', 'bob') r \gset
RESET economy.test_clock;
SELECT count(t.code) AS x FROM generate_series(1, 3) n, economy.transfer(:a, :b, 'moment' || n, 1) t \gset
SELECT is((SELECT count(DISTINCT h.created_at) FROM economy.holding_changes h WHERE h.user_id IN (:a, :b) AND h.created_at < '2031-01-01'), 3::bigint, 'of one moment');
ROLLBACK TO nobody;

-- what was sent in a day
SELECT r.daily_gold AS x FROM economy.set_transfer_rules('{"daily_gold": 500, "fee_per_mille": 0}', 'bob') r \gset
CREATE FUNCTION pg_temp.sent(a bigint) RETURNS text LANGUAGE sql AS $$ SELECT concat_ws(' ', to_char(s.day, 'YYYY-MM-DD'), s.gold) FROM economy.accounts x, economy_internal.sent_of(x.sections) s WHERE x.user_id = a $$;
CREATE FUNCTION pg_temp.send(moment text, key text, gold bigint, a bigint, b bigint) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('economy.test_clock', moment, true);
    RETURN concat_ws(' ', (SELECT p.code FROM economy.transfer(a, b, key, gold) p), pg_temp.sent(a));
END
$$;
SELECT is(pg_temp.send(moment, 'd' || n, gold, :a, :b), says, format('%s: %s', moment, gold))
FROM (VALUES (1, '2031-01-02 23:59:59.999999+00', 1, 'OK 2031-01-02 102'), (2, '2031-01-03 00:00:00+00', 300, 'OK 2031-01-03 300'), (3, '2031-01-03 12:00:00+00', 201, 'TRANSFER_DAILY_LIMIT 2031-01-03 300'),
    -- a clock that goes back lets nobody send more, nor one that was ahead for a moment less than that
    (4, '2031-01-02 22:30:00+00', 201, 'TRANSFER_DAILY_LIMIT 2031-01-03 300'), (5, '2031-01-02 22:30:00+00', 100, 'OK 2031-01-03 400'), (6, '2031-01-03 23:00:00+00', 101, 'TRANSFER_DAILY_LIMIT 2031-01-03 400'),
    (7, '2031-01-04 00:00:00+00', 200, 'OK 2031-01-04 200')) t (n, moment, gold, says) ORDER BY n;
SELECT r.daily_gold AS x FROM economy.set_transfer_rules('{"daily_gold": 0}', 'bob') r \gset
SELECT is(pg_temp.call('transfer(%2$s, %1$s, ''i'', items => ''{"pgtap_gem": 1}'')', :a, :b, :c) LIKE 't new OK %', true, 'with a limit of none items can still be sent');
SELECT is(pg_temp.call('transfer(%2$s, %1$s, ''g'', 1)', :a, :b, :c), 'f refused TRANSFER_DAILY_LIMIT 700 {"sent": 0, "limit": 0, "renews_at": "2031-01-05T00:00:00+00:00"}', 'but no gold');
SELECT r.daily_gold AS x FROM economy.set_transfer_rules('{"daily_gold": null}', 'bob') r \gset
SELECT is(pg_temp.wrong(), NULL, 'and the audit finds nothing');
-- all that a user can have
SELECT success AS x FROM economy.adjust_gold(:b, -(SELECT gold FROM economy.accounts WHERE user_id = :b), 'empty', 'pgtap', 'pgtap') \gset
SELECT is(pg_temp.call('transfer(%3$s, %2$s, ''all'', 9007199254740991)', :a, :b, :c), format('t new OK H%2$s-2 -9007199254740991 0 {"to": %1$s, "fee": 0, "gold": 9007199254740991, "transfer": "H%2$s-2"}', :b, :c), 'all the gold there can be');
SELECT is(pg_temp.call('transfer(%2$s, %3$s, ''all'', 9007199254740991)', :a, :b, :c) LIKE 't new OK %', true, 'and back');
SELECT r.fee_per_mille AS x FROM economy.set_transfer_rules('{"fee_per_mille": 1000}', 'bob') r \gset
SELECT is(pg_temp.call('transfer(%3$s, %2$s, ''half'', 4503599627370495)', :a, :b, :c) LIKE 't new OK % -9007199254740990 1 {"to": %, "fee": 4503599627370495, "gold": 4503599627370495, %}', true, 'a fee of as much');
SELECT is(pg_temp.wrong(), NULL, 'and the audit finds nothing');

-- bad arguments
SELECT throws_ok(format('SELECT economy.' || call, :a, :b), code, says, call)
FROM (VALUES
    ('transfer(NULL, %2$s, ''a'', 1)', 'XE001', 'from_user_id must not be null'), ('transfer(%s, NULL, ''a'', 1)', 'XE001', 'to_user_id must not be null'), ('transfer(%s, %s, NULL, 1)', 'XE001', 'idempotency_key must not be null'),
    ('transfer(%s, %s, '''', 1)', 'XE002', 'idempotency_key must not be empty'), ('transfer(%s, %s, repeat(''k'', 256), 1)', 'XE003', 'idempotency_key is too long'), ('transfer(%s, %s, ''a'', NULL)', 'XE001', 'gold must not be null'),
    ('transfer(%s, %s, ''a'', -1)', 'XE002', 'gold must be from 0 to 2^53-1'), ('transfer(%s, %s, ''a'', 9007199254740992)', 'XE002', 'gold must be from 0 to 2^53-1'), ('transfer(%s, %s, ''a'')', 'XE002', 'nothing is transferred'),
    ('transfer(%s, %s, ''a'', 0, ''{}'')', 'XE002', 'items must not be empty'), ('transfer(%s, %s, ''a'', 1, ''[]'')', 'XE002', 'items must be a JSON object'), ('transfer(%s, %s, ''a'', 1, NULL, '''')', 'XE002', 'note must not be empty'),
    ('transfer(%s, %s, ''a'', 1, NULL, repeat(''n'', 256))', 'XE003', 'note is too long'), ('transfer(%s, %s, ''a'', 1, context => ''[]'')', 'XE002', 'context must be a JSON object'), ('transfer(%s, %s, ''a'', 1, dry_run => NULL)', 'XE001', 'dry_run must not be null')) v (call, code, says);

-- items of which either has more kinds than the account has room for
SELECT r.fee_per_mille AS x FROM economy.set_transfer_rules('{"fee_per_mille": 0}', 'bob') r \gset
SELECT count(*) AS x FROM generate_series(1, 30) n, economy.upsert_item(jsonb_build_object('item_id', 'pgtap item ' || to_char(n, 'FM000'), 'kind', 'stack', 'tradable', true), 'ann') \gset
SELECT count(*) AS x FROM generate_series(1, 30) n, economy.grant_items(:a, jsonb_build_object('pgtap item ' || to_char(n, 'FM000'), n), 'r', 'm' || n) \gset
SELECT ok(count(*) > 0, 'some have rows') FROM economy_internal.user_holdings_more WHERE user_id = :a;
SELECT is((SELECT count(*) FROM generate_series(30, 1, -1) n, economy.transfer(:a, :b, 'm' || n, items => jsonb_build_object('pgtap item ' || to_char(n, 'FM000'), 1, 'pgtap item ' || to_char(n % 30 + 1, 'FM000'), CASE n WHEN 30 THEN 0 ELSE n END + CASE n WHEN 30 THEN 1 ELSE 0 END)) p WHERE p.success) BETWEEN 15 AND 30, true, 'many are given');
SELECT ok(count(*) > 0, 'and some of these have rows') FROM economy_internal.user_holdings_more WHERE user_id = :b;
SELECT is((SELECT sum(h.balance) FROM economy.user_holdings h WHERE h.item_id LIKE 'pgtap item %' AND h.user_id IN (:a, :b)), 465::numeric, 'none was made or lost');
SELECT is(pg_temp.wrong(), NULL, 'and the audit finds nothing');
SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s) UNION ALL SELECT * FROM economy.verify_chain(%s) UNION ALL SELECT * FROM economy.verify_chain(%s)', :a, :b, :c), 'the chains are clean');

-- user code in the middle: it finds both accounts moved on, and what it gives is kept
CREATE FUNCTION pg_temp.thank() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.operation = 'transfer_out' THEN
        PERFORM economy.transfer((NEW.detail ->> 'to')::bigint, NEW.user_id, 'thanks for ' || (NEW.detail ->> 'transfer'), 1) WHERE NEW.idempotency_key NOT LIKE 'thanks%';
    ELSIF NEW.operation = 'transfer_in' AND NEW.gold_delta = 10 THEN
        PERFORM economy.grant_reward(NEW.user_id, 'pgtap got', NEW.idempotency_key, 3);
    END IF;
    RETURN NEW;
END
$$;
SELECT success AS x FROM economy.adjust_gold(:b, 100 - (SELECT gold FROM economy.accounts WHERE user_id = :b), 'some', 'pgtap', 'pgtap') \gset
SELECT pg_temp.has(:a)::text AS before, gold AS gold_a FROM economy.accounts WHERE user_id = :a \gset
CREATE TRIGGER pgtap AFTER INSERT ON economy.holding_changes FOR EACH ROW EXECUTE FUNCTION pg_temp.thank();
SELECT is(pg_temp.call('transfer(%s, %s, ''thank me'', 10)', :a, :b, :c) LIKE 't new OK %', true, 'a transfer whose trigger makes another');
DROP TRIGGER pgtap ON economy.holding_changes;
SELECT is((SELECT gold FROM economy.accounts WHERE user_id = :a) - :gold_a, -9::bigint, 'takes what it takes');
SELECT is((SELECT gold FROM economy.accounts WHERE user_id = :b), 112::bigint, 'and gives what it gives');
SELECT is(pg_temp.wrong(), NULL, 'and the audit finds nothing');
SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s) UNION ALL SELECT * FROM economy.verify_chain(%s)', :a, :b), 'the chains are clean');

-- what the audit finds
ALTER TABLE economy.holding_changes DISABLE TRIGGER USER;
CREATE FUNCTION pg_temp.found(damage text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    says text;
BEGIN
    EXECUTE damage;
    SELECT string_agg(f.kind || CASE WHEN f.user_id IS NULL THEN ' ' ELSE '' END, ' ' ORDER BY f.kind) INTO says FROM (SELECT * FROM economy_internal.audit_transfers() UNION ALL SELECT * FROM economy_internal.audit_config()) f;
    RAISE EXCEPTION USING ERRCODE = 'XP000', MESSAGE = coalesce(says, 'nothing');
EXCEPTION WHEN SQLSTATE 'XP000' THEN
    RETURN sqlerrm;
END
$$;
SELECT is(pg_temp.found(replace(replace(damage, '{a}', :a::text), '{b}', :b::text)), kind, damage)
FROM (VALUES
    ('nothing', 'SELECT'),
    ('wrong_balance', 'DELETE FROM economy.holding_changes WHERE user_id = {b} AND idempotency_key = ''H{a}-3'''),
    ('wrong_balance', 'UPDATE economy.holding_changes SET gold_delta = 100 WHERE user_id = {b} AND idempotency_key = ''H{a}-3'''),
    ('wrong_balance', 'UPDATE economy.holding_changes SET gold_delta = -102 WHERE user_id = {a} AND operation = ''transfer_out'' AND idempotency_key = ''t1'''),
    ('wrong_balance wrong_balance', 'UPDATE economy.holding_changes SET detail = jsonb_set(detail, ''{gold}'', ''100'') WHERE user_id = {b} AND operation = ''transfer_out'' AND idempotency_key = ''t1'''),
    ('wrong_balance', 'UPDATE economy.holding_changes SET detail = jsonb_set(detail, ''{fee}'', ''1'') WHERE user_id = {a} AND operation = ''transfer_out'' AND idempotency_key = ''t1'''),
    ('wrong_balance', 'UPDATE economy.holding_changes SET detail = jsonb_set(detail, ''{note}'', ''"hate"'') WHERE user_id = {b} AND idempotency_key = ''H{a}-3'''),
    ('wrong_balance wrong_balance', 'UPDATE economy.holding_changes SET detail = jsonb_set(detail, ''{from}'', ''-7'') WHERE user_id = {b} AND idempotency_key = ''H{a}-3'''),
    ('wrong_balance', 'UPDATE economy.holding_changes SET detail = jsonb_set(detail, ''{to}'', ''1e400'') WHERE user_id = {a} AND operation = ''transfer_out'' AND idempotency_key = ''t1'''),
    ('wrong_balance', 'UPDATE economy.holding_changes SET detail = jsonb_set(detail, ''{to}'', ''"them"'') WHERE user_id = {a} AND operation = ''transfer_out'' AND idempotency_key = ''t1'''),
    ('wrong_balance wrong_balance', 'UPDATE economy.holding_changes SET detail = NULL WHERE user_id = {a} AND operation = ''transfer_out'' AND idempotency_key = ''t2'''),
    ('wrong_balance', 'UPDATE economy.holding_changes SET items = jsonb_set(items, ''{0,delta}'', ''6'') WHERE user_id = {b} AND idempotency_key = ''H{a}-3'''),
    ('wrong_balance', 'UPDATE economy.holding_changes SET items = jsonb_set(items, ''{0,delta}'', ''-5'') WHERE user_id = {b} AND idempotency_key = ''H{a}-3'''),
    ('wrong_balance', 'UPDATE economy.holding_changes SET items = ''7'' WHERE user_id = {b} AND idempotency_key = ''H{a}-3'''),
    ('wrong_balance', 'UPDATE economy.holding_changes SET items = jsonb_set(items, ''{0,item}'', ''"pgtap_bound"'') WHERE user_id = {b} AND idempotency_key = ''H{a}-3'''),
    ('wrong_balance', 'UPDATE economy.holding_changes SET xact = xact + 1 WHERE user_id = {b} AND idempotency_key = ''H{a}-3'''),
    ('wrong_balance wrong_balance', 'UPDATE economy.holding_changes SET idempotency_key = ''H{a}-4 '' WHERE user_id = {b} AND idempotency_key = ''H{a}-3'''),
    ('wrong_balance', 'DELETE FROM economy.holding_changes WHERE user_id = {a} AND operation = ''transfer_out'' AND idempotency_key = ''t1'''),
    ('parity', 'UPDATE economy.accounts SET sections = economy_internal.with_sent(sections, date ''2031-01-04'', 199) WHERE user_id = {a}'),
    ('parity', 'UPDATE economy.accounts SET sections = economy_internal.with_sent(sections, date ''2031-01-03'', 200) WHERE user_id = {a}'),
    ('parity', 'UPDATE economy.accounts SET sections = economy_internal.with_sent(sections, NULL, NULL) WHERE user_id = {a}'),
    ('wrong_config ', 'UPDATE economy.transfer_rules SET fee_per_mille = 7'),
    ('wrong_config ', 'DELETE FROM economy.transfer_rules')) v (kind, damage);
SELECT throws_ok(damage, '23514', NULL, 'no such row: ' || damage)
FROM (VALUES ('UPDATE economy.transfer_rules SET fee_per_mille = -1'), ('UPDATE economy.transfer_rules SET daily_gold = -1'), ('INSERT INTO economy.transfer_rules VALUES (''some'')')) d (damage);
-- what was found to be wrong is put right
SELECT is(pg_temp.found(format('UPDATE economy.accounts SET sections = economy_internal.with_sent(economy_internal.with_sent(sections, date ''2031-01-05'', 7), s.day, s.gold) FROM (SELECT s.* FROM economy.accounts x, economy_internal.sent_of(x.sections) s WHERE x.user_id = %1$s) s WHERE user_id = %1$s', :a)), 'nothing', 'another count, and the right one');
SELECT is(concat_ws(' ', to_char(h.day, 'YYYY-MM-DD'), h.gold), e, 'as it was put: ' || e) FROM (VALUES (economy_internal.with_sent(NULL, '1999-12-31', 9223372036854775807), '1999-12-31 9223372036854775807'), (economy_internal.with_sent(NULL, '2026-05-01', 1), '2026-05-01 1')) v (s, e), economy_internal.sent_of(s) h;
SELECT is(economy_internal.with_sent(NULL, NULL, NULL), NULL, 'nothing is no section');
SELECT throws_ok('SELECT economy_internal.with_sent(' || args || ')', code, says, args)
FROM (VALUES ('NULL, NULL, 1', 'XE001', 'day must not be null'), ('NULL, ''2026-05-01'', 0', 'XE002', 'gold must be 1 or more, and the day finite'), ('NULL, ''infinity'', 1', 'XE002', 'gold must be 1 or more, and the day finite'),
    ('decode(''00'', ''hex''), ''2026-05-01'', 1', 'XE103', 'these are no sections of an account')) v (args, code, says);
SELECT is(economy_internal.sent_sound(s), sound, coalesce(encode(s, 'hex'), 'null')) FROM (VALUES (NULL::bytea, true), (decode('0501000202' || '01', 'hex'), true), (decode('050100020200', 'hex'), false), (decode('0502000202' || '01', 'hex'), false),
    (decode('05010001' || '02', 'hex'), false), (decode('05010003' || '020101', 'hex'), false), (decode('00', 'hex'), false)) v (s, sound);
-- damaged bytes
UPDATE economy.accounts SET sections = set_byte(sections, position(decode('0501', 'hex') IN substring(sections FROM length(sections) - length(economy_internal.with_sent(NULL, s.day, s.gold)) + 1)) + length(sections) - length(economy_internal.with_sent(NULL, s.day, s.gold)), 9)
FROM (SELECT s.day, s.gold FROM economy.accounts x, economy_internal.sent_of(x.sections) s WHERE x.user_id = :a) s WHERE user_id = :a;
SELECT is(pg_temp.found('SELECT'), 'parity parity', 'another version is found');
SELECT throws_ok(format('SELECT economy.transfer(%s, %s, ''d'', 1)', :a, :b), 'XE103', format('account of user %s has a damaged count of what was sent', :a), 'and nothing is sent over it');
UPDATE economy.holding_changes SET detail = NULL WHERE user_id = :a AND idempotency_key = 't1';
SELECT throws_ok(format('SELECT economy.transfer(%s, %s, ''t1'', 101)', :a, :b), 'XE103', format('entry H%s-3 has no detail', :a), 'nor answered without a detail');

SELECT * FROM finish();
ROLLBACK;
