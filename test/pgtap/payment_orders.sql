-- Orders: purchases that outside money pays for, from the order to the purchase and back.
BEGIN;
SELECT no_plan();
SET LOCAL economy.test_clock = '2031-03-02 12:00:00+00';
SET LOCAL client_min_messages = warning;

-- the rules, all of them
CREATE TEMP TABLE states AS SELECT unnest(ARRAY['CREATED', 'PENDING', 'CONFIRMED', 'VOIDED', 'FAILED', 'EXPIRED', 'REFUNDED', 'CHARGED_BACK', 'CONFLICT']) AS s;
CREATE TEMP TABLE reports AS SELECT unnest(ARRAY['pending', 'confirmed', 'voided', 'failed', 'expired', 'refunded', 'charged_back', 'unknown']) AS r;
CREATE FUNCTION pg_temp.step(s text, r text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT economy_internal.order_step(s, r)';
SELECT results_eq($$SELECT s || ': ' || string_agg(pg_temp.step(s, r), ' ' ORDER BY array_position(ARRAY['pending', 'confirmed', 'voided', 'failed', 'expired', 'refunded', 'charged_back', 'unknown'], r))
        FROM states, reports GROUP BY s ORDER BY array_position(ARRAY['CREATED', 'PENDING', 'CONFIRMED', 'VOIDED', 'FAILED', 'EXPIRED', 'REFUNDED', 'CHARGED_BACK', 'CONFLICT'], s)$$,
    $$VALUES ('CREATED: PENDING CONFIRMED VOIDED FAILED EXPIRED CONFLICT CONFLICT CREATED'), ('PENDING: PENDING CONFIRMED VOIDED FAILED EXPIRED CONFLICT CONFLICT PENDING'),
      ('CONFIRMED: CONFIRMED CONFIRMED CONFLICT CONFLICT CONFLICT REFUNDED CHARGED_BACK CONFIRMED'), ('VOIDED: VOIDED CONFLICT VOIDED VOIDED VOIDED CONFLICT CONFLICT VOIDED'),
      ('FAILED: FAILED CONFLICT FAILED FAILED FAILED CONFLICT CONFLICT FAILED'), ('EXPIRED: EXPIRED CONFLICT EXPIRED EXPIRED EXPIRED CONFLICT CONFLICT EXPIRED'),
      ('REFUNDED: REFUNDED REFUNDED CONFLICT CONFLICT CONFLICT REFUNDED CONFLICT REFUNDED'), ('CHARGED_BACK: CHARGED_BACK CHARGED_BACK CONFLICT CONFLICT CONFLICT CONFLICT CHARGED_BACK CHARGED_BACK'),
      ('CONFLICT: CONFLICT CONFLICT CONFLICT CONFLICT CONFLICT CONFLICT CONFLICT CONFLICT')$$, 'every report in every state');
SELECT is_empty($$SELECT s, r FROM states, reports WHERE pg_temp.step(pg_temp.step(s, r), r) <> pg_temp.step(s, r)$$, 'twice is once');
CREATE TEMP TABLE three AS SELECT a.r AS a, b.r AS b, c.r AS c, pg_temp.step(pg_temp.step(pg_temp.step('CREATED', a.r), b.r), c.r) AS ends, ARRAY[a.r, b.r, c.r] AS said FROM reports a, reports b, reports c;
SELECT is_empty($$SELECT * FROM three WHERE (ends IN ('CONFIRMED', 'REFUNDED', 'CHARGED_BACK') AND NOT 'confirmed' = ANY (said)) OR (ends IN ('VOIDED', 'FAILED', 'EXPIRED', 'CREATED', 'PENDING') AND said && ARRAY['confirmed', 'refunded', 'charged_back'])$$,
    'of three in any order nothing is given unpaid, and nothing paid is given up');
SELECT is_empty($$SELECT * FROM three WHERE ends <> 'CONFLICT' AND cardinality(ARRAY(SELECT unnest(said) INTERSECT SELECT unnest(ARRAY['confirmed']))) > 0 AND said && ARRAY['voided', 'failed', 'expired']$$, 'whoever says both is for an operator');

-- a shop
SELECT economy.set_payment_provider('{"provider": "pgtap_bank", "profile": "standard", "currency": "EUR", "expiry_s": 3600, "retry_base_s": 10, "retry_cap_s": 100, "max_attempts": 3}', 'a'),
    economy.set_payment_provider('{"provider": "pgtap_poor", "profile": "standard"}', 'a'), economy.add_payment_secret('pgtap_bank', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'a') \g /dev/null
SELECT economy.upsert_item('{"item_id": "pgtap_gem", "kind": "stack"}', 'a') \g /dev/null
SELECT economy.upsert_product(p, 'a') FROM jsonb_array_elements('[{"product_id": "pgtap_pack", "category": "conversion", "source_points": 499, "granted_gold": 500, "monetary": 499, "settlement": "pgtap_bank"},
    {"product_id": "pgtap_few", "category": "conversion", "source_points": 100, "granted_gold": 10, "granted_xp": 7, "contents": {"pgtap_gem": 2}, "settlement": "pgtap_bank", "fulfilment": true},
    {"product_id": "pgtap_once", "category": "conversion", "source_points": 100, "granted_gold": 10, "limit_once": true, "settlement": "pgtap_bank"},
    {"product_id": "pgtap_two", "category": "conversion", "source_points": 100, "granted_gold": 10, "per_user_limit": 2, "settlement": "pgtap_bank"},
    {"product_id": "pgtap_free", "category": "conversion", "source_points": 100, "granted_gold": 10}]') p \g /dev/null
SELECT economy.add_stock('pgtap_few', 5, 'a', 2) \g /dev/null
SELECT economy.register('pgtap_orders') AS u \gset
SELECT economy.register('pgtap_orders_2') AS v \gset
CREATE FUNCTION pg_temp.why(given text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    says text;
BEGIN
    PERFORM economy.upsert_product(given::jsonb, 'a');
    RETURN 'taken';
EXCEPTION WHEN SQLSTATE 'XE301' THEN
    GET STACKED DIAGNOSTICS says = PG_EXCEPTION_DETAIL;
    RETURN says;
END
$$;
SELECT is(pg_temp.why(given), says, given)
FROM (VALUES ('{"product_id": "pgtap_x", "category": "conversion", "source_points": 1, "granted_gold": 1, "settlement": "pgtap_none"}', 'settlement "pgtap_none" is no provider with a currency.'),
    ('{"product_id": "pgtap_x", "category": "conversion", "source_points": 1, "granted_gold": 1, "settlement": "pgtap_poor"}', 'settlement "pgtap_poor" is no provider with a currency.'),
    ('{"product_id": "pgtap_x", "category": "conversion", "granted_gold": 1, "settlement": "pgtap_bank"}', 'settlement is that of a conversion with source_points, without price_items and global_key.'),
    ('{"product_id": "pgtap_x", "category": "item", "price_gold": 1, "source_points": 1, "settlement": "pgtap_bank"}', 'settlement is that of a conversion with source_points, without price_items and global_key.'),
    ('{"product_id": "pgtap_x", "category": "conversion", "source_points": 1, "granted_gold": 1, "global_key": true, "settlement": "pgtap_bank"}', 'settlement is that of a conversion with source_points, without price_items and global_key.'),
    ('{"product_id": "pgtap_pack", "settlement": null}', 'whether settlement is null is fixed when a product is made.'),
    ('{"product_id": "pgtap_free", "settlement": "pgtap_bank"}', 'whether settlement is null is fixed when a product is made.')) v (given, says);

-- an order
CREATE FUNCTION pg_temp.brief(p economy.purchase_result) RETURNS text LANGUAGE sql AS
    $$ SELECT concat_ws(' ', p.success, p.state, p.code, p.transaction_id, p.gold_delta, p.gold, p.detail - 'order', (p.detail -> 'order') - 'order_id') $$;
CREATE FUNCTION pg_temp.held(product text) RETURNS text LANGUAGE sql AS
    $$ SELECT concat_ws(' ', (SELECT sum(s.remaining) FROM economy.shop_stock s WHERE s.product_id = product), (SELECT coalesce(sum(o.quantity), 0) FROM economy.payment_orders o WHERE o.product_id = product AND o.stock_slot IS NOT NULL)) $$;
CREATE FUNCTION pg_temp.findings() RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(concat_ws(' ', f.kind, f.expected, '|', f.actual), ', ' ORDER BY f.kind, f.expected) FROM economy.audit_sweep() f WHERE f.kind <> 'wrong_seed' $$;
CREATE FUNCTION pg_temp.id(u bigint, product text, key text) RETURNS uuid LANGUAGE sql AS
    $$ SELECT o.order_id FROM economy.payment_orders o WHERE (o.user_id, o.product_id, o.idempotency_key) = (u, product, key) $$;
CREATE FUNCTION pg_temp.said(r economy.order_result) RETURNS text LANGUAGE sql AS
    $$ SELECT concat_ws(' ', r.success, r.state, r.code, r.order_state, regexp_replace(r.transaction_id, '[0-9]+-', 'u-'), r.detail) $$;

SELECT is(pg_temp.brief(economy.purchase(:u, 'pgtap_few', 'k1', 2, dry_run => true)), 't new PENDING 0 0 {"dry_run": true}', 'what an order would be');
SELECT is(pg_temp.brief(economy.purchase(:u, 'pgtap_few', 'k1', 2, '{"from": "shop"}')), 't new PENDING 0 0 {} {"state": "CREATED", "amount": 200, "currency": "EUR", "provider": "pgtap_bank", "expires_at": "2031-03-02T13:00:00+00:00"}', 'an order');
SELECT is(pg_temp.held('pgtap_few'), '3 2', 'holds its units');
SELECT is(pg_temp.brief(economy.purchase(:u, 'pgtap_few', 'k1', 2, '{"from": "shop"}')), 't reuse PENDING 0 0 {} {"state": "CREATED", "amount": 200, "currency": "EUR", "provider": "pgtap_bank", "expires_at": "2031-03-02T13:00:00+00:00"}', 'the same again is the same');
SELECT matches(pg_temp.brief(economy.purchase(:u, 'pgtap_few', 'k1', 1, '{"from": "shop"}')), '^f refused IDEMPOTENCY_MISMATCH 0 0 {"now": 1, "field": "quantity", "first": 2}', 'another quantity is not');
SELECT matches(pg_temp.brief(economy.purchase(:u, 'pgtap_few', 'k1', 2)), '^f refused IDEMPOTENCY_MISMATCH', 'nor another context');
SELECT is((SELECT count(*) FROM economy.statement(:u) s), 0::bigint, 'an order is no entry');
SELECT is(pg_temp.brief(economy.purchase(:u, 'pgtap_few', 'k2', 4)), 'f refused SOLD_OUT 0 0', 'what is held is not for sale');
SELECT is(pg_temp.findings(), NULL, 'nothing is wrong with it');
SELECT is((SELECT to_jsonb(o) - 'order_id' - 'made_at' - 'expires_at' FROM economy.orders_of(:u) o), '{"state": "CREATED", "amount": 200, "currency": "EUR", "provider": "pgtap_bank", "quantity": 2, "product_id": "pgtap_few", "transaction_id": null, "idempotency_key": "k1"}', 'the user sees it');

-- it is paid
SELECT pg_temp.id(:u, 'pgtap_few', 'k1') AS k1 \gset
SELECT is(pg_temp.said(economy.settlement_report(:'k1', 'pending', 'w', 'ref-1')), 't new OK PENDING', 'the provider knows of it');
SELECT is(pg_temp.said(economy.settlement_report(:'k1', 'pending', 'w', 'ref-1')), 't reuse OK PENDING', 'twice is once');
SELECT is(pg_temp.said(economy.settlement_report(:'k1', 'unknown', 'w')), 't reuse OK PENDING', 'who knows nothing changes nothing');
-- prices, rules and limits of now are not those of the order
SELECT economy.upsert_product('{"product_id": "pgtap_few", "granted_gold": 1, "granted_xp": null, "contents": null, "source_points": 999, "active": false}', 'a') \g /dev/null
SELECT is(pg_temp.said(economy.settlement_report(:'k1', 'confirmed', 'w', 'ref-1', 200, 'EUR')), 't new OK CONFIRMED Pu-1', 'it is paid');
SELECT is(pg_temp.held('pgtap_few'), '3 0', 'what it held is sold');
SELECT is((SELECT concat_ws(' ', t.gold_delta, t.xp_delta, t.items, t.quantity, t.idempotency_key, t.context) FROM economy.shop_transactions t WHERE t.user_id = :u), '20 14 [{"item": "pgtap_gem", "delta": 4, "balance": 4}] 2 k1 {"from": "shop"}', 'and given as it was promised');
SELECT is((SELECT f.seq FROM economy.fulfilments f WHERE f.user_id = :u), 1::bigint, 'a worker hears of it');
SELECT is((SELECT v.valid FROM economy.verify_receipt(:u, 'P' || :u || '-1') v), true, 'its receipt is one');
SELECT matches(pg_temp.brief(economy.purchase(:u, 'pgtap_few', 'k1', 2, '{"from": "shop"}')), '^t reuse OK P[0-9]+-1 20 20 .*"charge_outside": false', 'purchase() answers with it, and nobody charges again');
SELECT is(pg_temp.said(economy.settlement_report(:'k1', 'confirmed', 'w', 'ref-1', 200, 'EUR')), 't reuse OK CONFIRMED Pu-1', 'paid twice is paid once');
SELECT is(pg_temp.said(economy.settlement_report(:'k1', 'pending', 'w', 'ref-1')), 't reuse OK CONFIRMED Pu-1', 'older news are none');
SELECT is(pg_temp.findings(), NULL, 'nothing is wrong with it either');
SELECT is(pg_temp.said(economy.settlement_report(:'k1', 'refunded', 'w', 'ref-1', 200, 'EUR', 'sorry')), 't new OK REFUNDED Pu-1', 'paid back');
SELECT is((SELECT concat_ws(' ', r.gold_delta, r.quantity, r.reason, r.actor, r.policy) FROM economy.shop_refunds r WHERE r.user_id = :u), '-20 2 sorry w take_available', 'is taken back');
SELECT is(pg_temp.held('pgtap_few'), '5 0', 'and is for sale');
SELECT is(pg_temp.said(economy.settlement_report(:'k1', 'refunded', 'w', 'ref-1', 200, 'EUR', 'sorry')), 't reuse OK REFUNDED Pu-1', 'once');
SELECT is(pg_temp.said(economy.settlement_report(:'k1', 'voided', 'w', 'ref-1')), 't new CONFLICT CONFLICT Pu-1 {"contradicts": "STATE"}', 'what contradicts is kept');
SELECT is(pg_temp.said(economy.settlement_report(:'k1', 'voided', 'w', 'ref-1')), 't reuse CONFLICT CONFLICT Pu-1 {"contradicts": "STATE"}', 'once');
SELECT is(pg_temp.said(economy.settlement_report(:'k1', 'failed', 'w', 'ref-1')), 't new CONFLICT CONFLICT Pu-1 {"contradicts": "STATE"}', 'and so is another');
SELECT is((SELECT concat_ws(' ', p.problem, p.report, p.reason) FROM economy.payment_order_problems p WHERE p.order_id = :'k1'), 'conflict failed STATE', 'an operator sees it');
SELECT is(pg_temp.said(economy.resolve_order(:'k1', 'VOIDED', 'looked', 'ann')), 'f refused RESOLUTION_NOT_POSSIBLE CONFLICT Pu-1 {"possible": ["CONFIRMED", "REFUNDED", "CHARGED_BACK"]}', 'what was given cannot be as if it never was');
SELECT is(pg_temp.said(economy.resolve_order(:'k1', 'REFUNDED', 'looked', 'ann')), 't new OK REFUNDED Pu-1', 'it says what it is');
SELECT is(pg_temp.said(economy.resolve_order(:'k1', 'REFUNDED', 'looked', 'ann')), 't reuse OK REFUNDED Pu-1', 'once');
SELECT is(pg_temp.said(economy.resolve_order(:'k1', 'CONFIRMED', 'looked', 'ann')), 'f refused NO_CONFLICT REFUNDED Pu-1', 'and no more');
SELECT is((SELECT string_agg(concat_ws(' ', h.step, h.report, h.from_state, h.to_state, h.reporter, h.reason, CASE WHEN h.step > 1 THEN h.detail END), '; ' ORDER BY h.step) FROM economy.payment_order_history h WHERE h.order_id = :'k1'),
    '1 ordered CREATED purchase; 2 pending CREATED PENDING w {"provider_ref": "ref-1"}; 3 confirmed PENDING CONFIRMED w {"amount": 200, "currency": "EUR", "provider_ref": "ref-1"}; '
    '4 refunded CONFIRMED REFUNDED w sorry {"amount": 200, "currency": "EUR", "provider_ref": "ref-1"}; 5 voided REFUNDED CONFLICT w STATE {"provider_ref": "ref-1"}; 6 failed CONFLICT CONFLICT w STATE {"provider_ref": "ref-1"}; 7 resolved CONFLICT REFUNDED ann looked', 'all of it is written down');
SELECT is((SELECT h.detail - 'terms' FROM economy.payment_order_history h WHERE h.order_id = :'k1' AND h.step = 1), jsonb_build_object('user_id', :u, 'product_id', 'pgtap_few', 'idempotency_key', 'k1', 'provider', 'pgtap_bank', 'quantity', 2, 'amount', 200, 'currency', 'EUR', 'context', '{"from": "shop"}'::jsonb), 'and what was ordered');
SELECT throws_ok($$DELETE FROM economy.payment_order_history$$, 'XE101', NULL, 'for ever');
SELECT is(pg_temp.findings(), NULL, 'nothing is wrong after all that');

-- what contradicts the order itself
SELECT economy.upsert_product('{"product_id": "pgtap_few", "granted_gold": 10, "source_points": 100, "active": true}', 'a') \g /dev/null
CREATE FUNCTION pg_temp.contradicts(u bigint, key text, VARIADIC a text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    said text;
BEGIN
    PERFORM economy.purchase(u, 'pgtap_few', key);
    said := pg_temp.said(economy.settlement_report(pg_temp.id(u, 'pgtap_few', key), 'confirmed', 'w', a[1], a[2]::bigint, a[3]));
    RETURN said || ' ' || pg_temp.held('pgtap_few') || ' ' || (SELECT gold FROM economy.accounts WHERE user_id = u);
END
$$;
SELECT is(pg_temp.contradicts(:u, 'c1', 'ref-2', '99', 'EUR'), 't new CONFLICT CONFLICT {"contradicts": "AMOUNT"} 4 1 0', 'another amount');
SELECT is(pg_temp.contradicts(:u, 'c2', 'ref-3', '100', 'USD'), 't new CONFLICT CONFLICT {"contradicts": "CURRENCY"} 3 2 0', 'another currency');
SELECT is(pg_temp.contradicts(:u, 'c3', 'ref-1', '100', 'EUR'), 't new CONFLICT CONFLICT {"contradicts": "PROVIDER_REF_USED"} 2 3 0', 'a payment of another order');
SELECT is(pg_temp.said(economy.resolve_order(pg_temp.id(:u, 'pgtap_few', 'c1'), 'CONFIRMED', 'one cent', 'ann')), 't new OK CONFIRMED Pu-3', 'an operator gives what was ordered');
SELECT is(pg_temp.said(economy.resolve_order(pg_temp.id(:u, 'pgtap_few', 'c2'), 'VOIDED', 'paid back', 'ann')), 't new OK VOIDED', 'or not');
SELECT is(pg_temp.held('pgtap_few'), '3 1', 'which gives back what it held');
SELECT matches(pg_temp.brief(economy.purchase(:u, 'pgtap_few', 'c2')), '^f refused ORDER_CLOSED 0 [0-9]+ {} {"state": "VOIDED"', 'its key buys nothing any more');
SELECT is(pg_temp.said(economy.settlement_report(pg_temp.id(:u, 'pgtap_few', 'c2'), 'confirmed', 'w', 'ref-3', 100, 'EUR')), 't new CONFLICT CONFLICT {"contradicts": "STATE"}', 'paid all the same: an operator looks again');
SELECT is(pg_temp.said(economy.resolve_order(pg_temp.id(:u, 'pgtap_few', 'c2'), 'CONFIRMED', 'paid', 'ann')), 't new OK CONFIRMED Pu-4', 'and finds it units of the stock');
SELECT is(pg_temp.held('pgtap_few'), '2 1', 'that are left');
SELECT is(pg_temp.findings(), NULL, 'nothing is wrong with conflicts');

-- limits
SELECT is(pg_temp.brief(economy.purchase(:u, 'pgtap_once', 'o1')) ~ '^t new PENDING', true, 'once');
SELECT is(pg_temp.brief(economy.purchase(:u, 'pgtap_once', 'o2')), 'f refused LIMIT_ONCE 0 20', 'is ordered once');
SELECT is((SELECT p.code FROM economy.product('pgtap_once', :u) p), 'LIMIT_ONCE', 'so the shop says');
SELECT is(pg_temp.said(economy.settlement_report(pg_temp.id(:u, 'pgtap_once', 'o1'), 'failed', 'w', reason => 'card')), 't new OK FAILED', 'one that fails');
SELECT is(pg_temp.brief(economy.purchase(:u, 'pgtap_once', 'o2')) ~ '^t new PENDING', true, 'lets another one be ordered');
SELECT is(pg_temp.said(economy.settlement_report(pg_temp.id(:u, 'pgtap_once', 'o2'), 'confirmed', 'w')), 't new OK CONFIRMED Pu-5', 'and paid');
SELECT is(pg_temp.brief(economy.purchase(:u, 'pgtap_once', 'o3')), 'f refused LIMIT_ONCE 0 30', 'bought once');
SELECT is(pg_temp.brief(economy.purchase(:u, 'pgtap_two', 't1')) ~ '^t new PENDING', true, 'one of two');
SELECT is((SELECT p.user_limit_remaining FROM economy.purchase(:u, 'pgtap_two', 't2', dry_run => true) p), 0::bigint, 'leaves one');
SELECT is(pg_temp.brief(economy.purchase(:u, 'pgtap_two', 't2', 2)), 'f refused USER_LIMIT 0 30', 'and not two');
SELECT is(count(*), 14::bigint, 'orders that are open') FROM generate_series(1, 14) n, economy.purchase(:u, 'pgtap_pack', 'p' || n) p WHERE p.code = 'PENDING';
SELECT is(pg_temp.brief(economy.purchase(:u, 'pgtap_pack', 'more')), 'f refused ORDER_LIMIT 0 30 {"at_most": 16}', 'of a user there are so many');
SELECT is((SELECT string_agg(p.code, ' ') FROM economy.purchases(ARRAY[:v]::bigint[], ARRAY['pgtap_pack'], ARRAY['b']) p), 'SETTLED_ALONE', 'none is ordered in a batch');

-- who is suspended
SELECT is(pg_temp.brief(economy.purchase(:v, 'pgtap_pack', 's1')) ~ '^t new PENDING', true, 'ordered in time');
SELECT economy.set_user_status(:v, 'suspended', 'k', 'ann', 'cheats') \g /dev/null
SELECT is(pg_temp.brief(economy.purchase(:v, 'pgtap_pack', 's1')) ~ '^t reuse PENDING', true, 'is told so');
SELECT is(pg_temp.brief(economy.purchase(:v, 'pgtap_pack', 's2')), 'f refused USER_SUSPENDED 0 0', 'orders nothing more');
SELECT is(pg_temp.said(economy.settlement_report(pg_temp.id(:v, 'pgtap_pack', 's1'), 'confirmed', 'w')), 't new CONFLICT CONFLICT {"contradicts": "USER_SUSPENDED"}', 'and what is paid is for an operator');
SELECT is(pg_temp.said(economy.resolve_order(pg_temp.id(:v, 'pgtap_pack', 's1'), 'CONFIRMED', 'x', 'ann')), 'f refused USER_SUSPENDED CONFLICT', 'who cannot give it either');
SELECT is(pg_temp.said(economy.resolve_order(pg_temp.id(:v, 'pgtap_pack', 's1'), 'VOIDED', 'x', 'ann')), 't new OK VOIDED', 'but say that it was paid back');

-- workers
SELECT is((SELECT count(*) FROM economy.settlement_lease('w1', 100)), 15::bigint, 'what is due');
SELECT is((SELECT count(*) FROM economy.settlement_lease('w2', 100)), 0::bigint, 'is handed out once');
SELECT pg_temp.id(:u, 'pgtap_pack', 'p1') AS p1, pg_temp.id(:u, 'pgtap_pack', 'p2') AS p2 \gset
SELECT is((SELECT o.worker || ' ' || o.attempts || ' ' || extract(epoch FROM o.due_at - economy.now())::integer FROM economy.payment_orders o WHERE o.order_id = :'p1'), 'w1 1 300', 'for the time of the lease');
SELECT is(pg_temp.said(economy.settlement_report(:'p1', 'unknown', 'w1')), 't reuse OK CREATED', 'nobody knows');
SELECT is((SELECT concat_ws(' ', o.worker, o.due_at - economy.now() BETWEEN interval '5 s' AND interval '15 s') FROM economy.payment_orders o WHERE o.order_id = :'p1'), 't', 'so it is asked again soon');
SELECT is((SELECT bool_and(r.at BETWEEN economy.now() + least(100, 10 * 2 ^ (n - 1)) * 0.5 * interval '1 s' AND economy.now() + least(100, 10 * 2 ^ (n - 1)) * 1.5 * interval '1 s') FROM generate_series(1, 9) n, economy.payment_providers p,
    economy_internal.retry_at(jsonb_populate_record(p, '{"max_attempts": 10}'), n, economy.now()) r (at) WHERE p.provider = 'pgtap_bank'), true, 'later each time, up to the cap');
SET LOCAL economy.test_clock = '2031-03-02 12:06:00+00';
SELECT is((SELECT count(*) FROM economy.settlement_lease('w2', 100)), 15::bigint, 'after the lease to anybody');
SET LOCAL economy.test_clock = '2031-03-02 12:12:00+00';
SELECT is((SELECT o.attempts FROM economy.settlement_lease('w2', 100) o WHERE o.order_id = :'p1'), 3, 'a third time');
SELECT is(pg_temp.said(economy.settlement_report(:'p1', 'unknown', 'w2')), 't reuse OK CREATED', 'which is the last');
SELECT is((SELECT o.due_at::text FROM economy.payment_orders o WHERE o.order_id = :'p1'), 'infinity', 'no worker is asked again');
SELECT is((SELECT p.problem FROM economy.payment_order_problems p WHERE p.order_id = :'p1'), 'no attempt left', 'an operator is');

-- time
SELECT p.max_attempts FROM economy.set_payment_provider('{"provider": "pgtap_bank", "max_attempts": 9}', 'a') p \g /dev/null
SELECT is(pg_temp.held('pgtap_few'), '2 1', 'held');
SELECT is(pg_temp.said(economy.resolve_order(pg_temp.id(:u, 'pgtap_few', 'c3'), 'VOIDED', 'x', 'ann')), 't new OK VOIDED', 'a conflict stays until it is resolved');
SELECT is(pg_temp.brief(economy.purchase(:u, 'pgtap_few', 'e1')) ~ '^t new PENDING', true, 'one that holds a unit');
SET LOCAL economy.test_clock = '2031-03-02 13:11:00+00';
SELECT is((SELECT count(*) FROM economy.settlement_lease('w3', 2)), 2::bigint, 'two are with a worker');
SELECT is((SELECT orders || ' ' || (next IS NULL) FROM economy_internal.expire_orders(500, NULL)), '14 true', 'the time of the others is over');
SELECT is((SELECT count(*) FROM economy.payment_orders o WHERE o.user_id = :u AND o.state = 'CREATED'), 2::bigint, 'but not of what a worker has');
SELECT is(pg_temp.held('pgtap_few'), '2 1', 'what is younger holds its unit');
SET LOCAL economy.test_clock = '2031-03-02 13:20:00+00';
SELECT is((SELECT orders FROM economy_internal.expire_orders(500, NULL)), 2::bigint, 'until its time is over');
SELECT is(pg_temp.held('pgtap_few'), '3 0', 'and gives it back');
SELECT is(pg_temp.said(economy.settlement_report(:'p2', 'confirmed', 'w')), 't new CONFLICT CONFLICT {"contradicts": "STATE"}', 'paid too late is for an operator');
SELECT is(pg_temp.said(economy.resolve_order(:'p2', 'CONFIRMED', 'x', 'ann')), 't new OK CONFIRMED Pu-6', 'who gives it');
SELECT is(pg_temp.findings(), NULL, 'nothing is wrong at the end');

-- a reservation goes into an order
SELECT economy.reserve(:u, 'pgtap_few', 'cart') \g /dev/null
SELECT is(pg_temp.brief(economy.purchase(:u, 'pgtap_few', 'r1', context => '{"reservation": "cart"}')) ~ '^t new PENDING', true, 'what was reserved is ordered');
SELECT is(pg_temp.held('pgtap_few') || ' ' || (SELECT r.state FROM economy.shop_reservations r WHERE r.user_id = :u), '2 1 ordered', 'and held by the order');
SELECT is((SELECT r.code || ' ' || r.detail FROM economy.release_reservation(:u, 'cart') r), 'RESERVATION_CLOSED {"status": "ordered"}', 'not by the reservation');
SELECT is(pg_temp.findings(), NULL, 'nothing is wrong with that');
SELECT is(pg_temp.said(economy.settlement_report(pg_temp.id(:u, 'pgtap_few', 'r1'), 'confirmed', 'w')), 't new OK CONFIRMED Pu-7', 'and is paid');
SELECT is(pg_temp.findings(), NULL, 'nor with its purchase');

-- webhooks
-- HMAC-SHA256 with the secret above, by its definition
CREATE FUNCTION pg_temp.hmac_of(message bytea) RETURNS bytea LANGUAGE sql AS $$
    SELECT sha256(p.outer_pad || sha256(p.inner_pad || message))
    FROM (SELECT string_agg(set_byte(decode('00', 'hex'), 0, get_byte(k.key, n) # 92), '' ORDER BY n) AS outer_pad, string_agg(set_byte(decode('00', 'hex'), 0, get_byte(k.key, n) # 54), '' ORDER BY n) AS inner_pad
          FROM (SELECT decode('MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'base64') || decode(repeat('00', 40), 'hex')) k (key), generate_series(0, 63) n) p $$;
CREATE FUNCTION pg_temp.hook(body text, id text DEFAULT 'msg_1', provider text DEFAULT 'pgtap_bank', wrong text DEFAULT '') RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', w.success, w.state, w.code, w.order_state, regexp_replace(w.transaction_id, '[0-9]+-', 'u-'), w.webhook_id, w.detail)
    FROM (SELECT convert_to(body, 'UTF8') AS raw) b,
         economy.webhook(provider, jsonb_build_object('webhook-id', id, 'webhook-timestamp', extract(epoch FROM economy.now())::bigint::text, 'webhook-signature',
             'v1,' || encode(pg_temp.hmac_of(convert_to(id || '.' || extract(epoch FROM economy.now())::bigint || '.' || body || wrong, 'UTF8')), 'base64')), raw) w $$;
SELECT is(pg_temp.brief(economy.purchase(:u, 'pgtap_pack', 'w1')) ~ '^t new PENDING', true, 'ordered');
SELECT format('{"order_id": "%s", "report": "confirmed", "provider_ref": "ref-w1", "amount": 499, "currency": "EUR"}', pg_temp.id(:u, 'pgtap_pack', 'w1')) AS paid \gset
SELECT is(pg_temp.hook(:'paid', wrong => 'x'), 'f refused WRONG_SIGNATURE', 'not by just anybody');
SELECT is(pg_temp.hook(:'paid', provider => 'pgtap_none'), 'f refused PROVIDER_NOT_FOUND', 'nor by nobody');
SELECT is((SELECT count(*) FROM economy.payment_webhooks), 0::bigint, 'nothing of these is kept');
SELECT is(pg_temp.hook('{"type": "payment", "data": ' || :'paid' || '}'), 't new OK CONFIRMED Pu-8 msg_1', 'it is paid');
SELECT is(pg_temp.hook('{"type": "payment", "data": ' || :'paid' || '}'), 't reuse OK CONFIRMED Pu-8 msg_1', 'once');
SELECT is(pg_temp.hook(replace(:'paid', 'confirmed', 'refunded')), 't reuse OK CONFIRMED Pu-8 msg_1', 'an id has one effect for ever');
SELECT is(pg_temp.hook(replace(:'paid', 'confirmed', 'refunded'), 'msg_2'), 't new OK REFUNDED Pu-8 msg_2', 'another one has another');
SELECT is(pg_temp.hook(body, 'bad ' || n), 'f refused BODY_NOT_UNDERSTOOD bad ' || n, body)
FROM unnest(ARRAY['', '[]', '{}', '{', '{"report": "confirmed"}', '{"report": "paid", "order_id": "00000000-0000-0000-0000-000000000000"}', '{"report": "confirmed", "order_id": "x"}',
    '{"report": "confirmed", "order_id": "00000000-0000-0000-0000-000000000000", "amount": -1}', '{"report": "confirmed", "order_id": "00000000-0000-0000-0000-000000000000", "amount": 1.5}',
    '{"report": "confirmed", "order_id": "00000000-0000-0000-0000-000000000000", "currency": 7}']) WITH ORDINALITY b (body, n);
SELECT is(pg_temp.hook('{"report": "confirmed", "order_id": "00000000-0000-0000-0000-000000000000"}', 'none'), 'f refused ORDER_NOT_FOUND none', 'of no order');
SELECT is((SELECT count(*) || ' ' || count(w.order_id) FROM economy.payment_webhooks w), '13 3', 'what was signed is kept');
-- before whoever has ordered has committed, or of another provider
SELECT is(pg_temp.brief(economy.purchase(:u, 'pgtap_pack', 'w2')) ~ '^t new PENDING', true, 'another order');
SELECT format('{"order_id": "%s", "report": "confirmed"}', pg_temp.id(:u, 'pgtap_pack', 'w2')) AS early \gset
UPDATE economy.payment_orders SET provider = 'pgtap_poor' WHERE idempotency_key = 'w2' AND user_id = :u;
SELECT is(pg_temp.hook(:'early', 'early'), 'f refused ORDER_NOT_FOUND early', 'a webhook that finds no order yet');
SELECT is(pg_temp.hook(:'early', 'early'), 'f refused ORDER_NOT_FOUND early', 'nor when it is sent again');
UPDATE economy.payment_orders SET provider = 'pgtap_bank' WHERE idempotency_key = 'w2' AND user_id = :u;
SELECT is(pg_temp.hook(:'early', 'early') ~ '^t new OK CONFIRMED Pu-[0-9]+ early$', true, 'has its effect when it does');
SELECT is(pg_temp.hook(:'early', 'early') ~ '^t reuse OK CONFIRMED Pu-[0-9]+ early$', true, 'once');
SELECT is(pg_temp.findings(), NULL, 'nothing is wrong with webhooks');

-- what the provider says of many
SELECT is(pg_temp.brief(economy.purchase(:u, 'pgtap_pack', 'rec' || n)) ~ '^t new PENDING', true, 'order ' || n) FROM generate_series(1, 4) n;
SELECT FROM generate_series(1, 3) n, economy.settlement_report(pg_temp.id(:u, 'pgtap_pack', 'rec' || n), (ARRAY['confirmed', 'pending', 'voided'])[n], 'w', 'rec-' || n) r \g /dev/null
CREATE FUNCTION pg_temp.differs(report text, since timestamptz DEFAULT '2100-01-01', provider text DEFAULT 'pgtap_bank') RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(concat_ws(' ', d.difference, o.idempotency_key, d.provider_ref, d.user_id - o.user_id, d.here, '|', d.there), ', ' ORDER BY d.ordinality), 'none')
    FROM economy.settlement_reconcile(provider, report::jsonb, since) WITH ORDINALITY d LEFT JOIN economy.payment_orders o ON o.order_id = d.order_id $$;
SELECT is(pg_temp.differs('[]'), 'none', 'nothing is said of nothing');
SELECT is(pg_temp.differs(format('[{"order_id": "%s", "report": "confirmed", "amount": 499, "currency": "EUR", "provider_ref": "rec-1"}, {"provider_ref": "rec-2", "report": "pending"}, {"provider_ref": "rec-3", "report": "failed"}]', pg_temp.id(:u, 'pgtap_pack', 'rec1'))), 'none', 'what agrees');
SELECT is(pg_temp.differs(format('[{"provider_ref": "rec-2", "report": "confirmed", "amount": 500}, {"order_id": "%s", "report": "pending", "currency": "USD", "provider_ref": "rec-9"}, {"provider_ref": "rec-3", "report": "confirmed"}, {"provider_ref": "gone", "report": "confirmed"}, {"order_id": "00000000-0000-0000-0000-00000000000F", "report": "voided"}]', pg_temp.id(:u, 'pgtap_pack', 'rec1'))),
    'missing_here gone | confirmed, missing_here | voided, state rec2 rec-2 0 PENDING | confirmed, state rec1 rec-1 0 CONFIRMED | pending, state rec3 rec-3 0 VOIDED | confirmed, amount rec2 rec-2 0 499 EUR | 500 EUR, amount rec1 rec-1 0 499 EUR | 499 USD, provider_ref rec1 rec-1 0 rec-1 | rec-9', 'what does not');
SELECT is(pg_temp.differs('[{"provider_ref": "rec-1", "report": "confirmed"}]', o.made_at), 'missing_there rec2 rec-2 0 PENDING |', 'what the provider has not heard of') FROM economy.payment_orders o WHERE o.idempotency_key = 'rec2' AND o.user_id = :u AND o.made_at > (SELECT max(p.made_at) FROM economy.payment_orders p WHERE p.idempotency_key NOT LIKE 'rec%');
SELECT is(pg_temp.differs('[{"provider_ref": "rec-1", "report": "confirmed"}]', provider => 'pgtap_poor'), 'missing_here rec-1 | confirmed', 'nor that of another');
SELECT throws_ok(format('SELECT * FROM economy.settlement_reconcile(%s)', args), code, says, args)
FROM (VALUES ('NULL, ''[]''', 'XE001', 'provider must not be null'), ('''pgtap_bank'', NULL', 'XE001', 'report must not be null'), ('''pgtap_bank'', ''{}''', 'XE002', 'report must be a JSON array'), ('''pgtap_none'', ''[]''', 'XE702', 'provider "pgtap_none" does not exist'),
    ('''pgtap_bank'', ''[]'', NULL', 'XE001', 'since must not be null'), ('''pgtap_bank'', ''[]'', upto => NULL', 'XE001', 'upto must not be null'),
    ('''pgtap_bank'', ''[{"provider_ref": "a", "report": "confirmed"}, {"report": "confirmed"}]''', 'XE002', 'element 2 of report is not valid'), ('''pgtap_bank'', ''[{"provider_ref": "a", "report": "paid"}]''', 'XE002', 'element 1 of report is not valid'),
    ('''pgtap_bank'', ''[{"order_id": "a", "report": "confirmed"}]''', 'XE002', 'element 1 of report is not valid'), ('''pgtap_bank'', ''[{"provider_ref": "a", "report": "confirmed", "amount": 1.5}]''', 'XE002', 'element 1 of report is not valid'), ('''pgtap_bank'', ''[7]''', 'XE002', 'element 1 of report is not valid')) v (args, code, says);

SELECT p.max_attempts FROM economy.set_payment_provider('{"provider": "pgtap_bank", "max_attempts": 3}', 'a') p \g /dev/null
-- the last attempt is the last, whether or not who had it tells of it
UPDATE economy.payment_orders SET due_at = 'infinity' WHERE state IN ('CREATED', 'PENDING') AND idempotency_key <> 'rec4';
SELECT is(concat_ws(' ', h.state, h.detail) ~ '^warn [0-9]+ wait for an operator, 1 for their provider, the oldest since ', true, 'health() tells of orders') FROM economy.health() h WHERE h.item = 'payment orders';
CREATE FUNCTION pg_temp.leased(clock timestamptz) RETURNS text LANGUAGE sql AS $$
    SELECT set_config('economy.test_clock', to_char(clock AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00'), true);
    SELECT count(*) || ' ' || coalesce(max(l.attempts), 0) FROM economy.settlement_lease('mute', 10, '1 minute') l $$;
SELECT is(string_agg(pg_temp.leased(economy.now() + n * interval '2 minutes'), ', ' ORDER BY n), '1 1, 1 2, 1 3, 0 0, 0 0', 'three times, and never again') FROM generate_series(1, 5) n;
SELECT is((SELECT concat_ws(' ', p.problem, p.attempts) FROM economy.payment_order_problems p WHERE p.order_id = pg_temp.id(:u, 'pgtap_pack', 'rec4')), 'no attempt left 3', 'which an operator is told');
SELECT is(pg_temp.findings(), NULL, 'and nothing is wrong with that');

-- one payment is of one order, also when the first is for an operator
SELECT is(string_agg(pg_temp.brief(economy.purchase(:u, 'pgtap_pack', 'one' || n)), ', ') ~ '^t new PENDING.* t new PENDING', true, 'two orders') FROM generate_series(1, 2) n;
SELECT is(pg_temp.said(economy.settlement_report(pg_temp.id(:u, 'pgtap_pack', 'one1'), r, 'w', ref, 499)), says, r) FROM (VALUES (1, 'expired', NULL, 't new OK EXPIRED'), (2, 'confirmed', 'pay-1', 't new CONFLICT CONFLICT {"contradicts": "STATE"}')) v (n, r, ref, says);
SELECT is(pg_temp.said(economy.resolve_order(pg_temp.id(:u, 'pgtap_pack', 'one1'), 'CONFIRMED', 'paid late', 'ann')) ~ '^t new OK CONFIRMED', true, 'given by an operator');
SELECT is(pg_temp.said(economy.settlement_report(pg_temp.id(:u, 'pgtap_pack', 'one2'), 'confirmed', 'w', 'pay-1', 499)), 't new CONFLICT CONFLICT {"contradicts": "PROVIDER_REF_USED"}', 'its payment pays for nothing else');
SELECT is(pg_temp.said(economy.settlement_report(pg_temp.id(:u, 'pgtap_pack', 'one1'), 'refunded', 'w', 'pay-2', 499)) ~ 'contradicts": "PROVIDER_REF"', true, 'and is what is refunded');
-- each further report of a conflict is kept, but for the same words of the same reporter
SELECT count(*) AS steps FROM economy.payment_order_history h WHERE h.order_id = pg_temp.id(:u, 'pgtap_pack', 'one2') \gset
SELECT format('{"order_id": "%s", "report": "refunded", "amount": 1}', pg_temp.id(:u, 'pgtap_pack', 'one2')) AS part \gset
SELECT is(pg_temp.hook(:'part', 'part ' || n) ~ says, true, 'part ' || n) FROM (VALUES (1, '^t new CONFLICT'), (2, '^t new CONFLICT'), (2, '^t reuse CONFLICT')) v (n, says);
SELECT is(pg_temp.said(economy.settlement_report(pg_temp.id(:u, 'pgtap_pack', 'one2'), 'refunded', w, NULL, 1)) ~ says, true, w) FROM (VALUES (1, 'w1', '^t new CONFLICT'), (2, 'w2', '^t new CONFLICT'), (3, 'w2', '^t reuse CONFLICT')) v (n, w, says);
SELECT is(count(*) - :steps, 4::bigint, 'all four') FROM economy.payment_order_history h WHERE h.order_id = pg_temp.id(:u, 'pgtap_pack', 'one2');
-- a worker has its lease until it tells, whoever else does
SELECT is(pg_temp.brief(economy.purchase(:u, 'pgtap_pack', 'fence')) ~ '^t new PENDING', true, 'an order');
SELECT pg_temp.id(:u, 'pgtap_pack', 'fence') AS fence \gset
SELECT is(count(*), 1::bigint, 'is leased') FROM economy.settlement_lease('w2', 100, '2 hours') l WHERE l.order_id = :'fence';
SELECT is(pg_temp.said(economy.settlement_report(:'fence', 'unknown', 'w1')), 't reuse OK CREATED', 'a worker of before tells nothing');
SELECT is((SELECT concat(o.worker, ' ', extract(epoch FROM o.due_at - economy.now())::integer) FROM economy.payment_orders o WHERE o.order_id = :'fence'), 'w2 7200', 'and does not end it');
SELECT is(pg_temp.said(economy.settlement_report(:'fence', 'pending', 'webhook')), 't new OK PENDING', 'nor does what is said beside it');
SELECT is((SELECT concat(o.worker, ' ', extract(epoch FROM o.due_at - economy.now())::integer) FROM economy.payment_orders o WHERE o.order_id = :'fence'), 'w2 7200', 'it goes on');
SELECT is(pg_temp.said(economy.settlement_report(:'fence', 'unknown', 'w2')), 't reuse OK PENDING', 'until it tells');
SELECT is((SELECT o.worker FROM economy.payment_orders o WHERE o.order_id = :'fence'), NULL, 'then it is over');
-- more than can be counted
SELECT economy.upsert_product('{"product_id": "pgtap_dear", "category": "conversion", "source_points": 9007199254740990, "granted_gold": 1, "settlement": "pgtap_bank"}', 'a') \g /dev/null
SELECT is(pg_temp.brief(economy.purchase(:u, 'pgtap_dear', 'dear', 2)) ~ '^f refused GOLD_OVERFLOW', true, 'two cannot be ordered');
SELECT is(pg_temp.brief(economy.purchase(:u, 'pgtap_dear', 'dear')) ~ '^t new PENDING', true, 'one can');
-- a trigger that reports on the same order in the middle: all of it, or nothing
CREATE FUNCTION pg_temp.in_the_middle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() < 2 THEN
        PERFORM economy.settlement_report(o.order_id, current_setting('pgtap.report'), 'trigger') FROM economy.payment_orders o WHERE o.idempotency_key = 'mid' AND o.state IN ('CREATED', 'PENDING');
    END IF;
    RETURN NULL;
END
$$;
SELECT is(pg_temp.brief(economy.purchase(:u, 'pgtap_few', 'mid')) ~ '^t new PENDING', true, 'an order that holds a unit');
CREATE FUNCTION pg_temp.mid(journal text, report text, inner_report text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    says text;
BEGIN
    PERFORM set_config('pgtap.report', inner_report, true);
    EXECUTE format('CREATE TRIGGER pgtap_mid AFTER INSERT OR UPDATE ON economy.%I FOR EACH ROW EXECUTE FUNCTION pg_temp.in_the_middle()', journal);
    BEGIN
        says := pg_temp.said(economy.settlement_report(o.order_id, report, 'outer')) FROM economy.payment_orders o WHERE o.idempotency_key = 'mid';
    EXCEPTION WHEN OTHERS THEN
        says := SQLSTATE;
    END;
    EXECUTE format('DROP TRIGGER pgtap_mid ON economy.%I', journal);
    RETURN says || ' ' || pg_temp.held('pgtap_few');
END
$$;
SELECT pg_temp.held('pgtap_few') AS held \gset
SELECT is(pg_temp.mid(journal, report, inner_report), 'XE103 ' || :'held', concat_ws(' ', journal, report, inner_report))
FROM (VALUES ('shop_stock', 'voided', 'voided'), ('payment_order_history', 'voided', 'voided'), ('shop_transactions', 'confirmed', 'charged_back'), ('payment_order_history', 'pending', 'failed')) v (journal, report, inner_report);
SELECT is(pg_temp.said(economy.settlement_report(pg_temp.id(:u, 'pgtap_few', 'mid'), 'voided', 'w')), 't new OK VOIDED', 'it is given up');
SELECT is(pg_temp.findings(), NULL, 'nothing is wrong after any of these');

-- damage
CREATE FUNCTION pg_temp.found_after(damage text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    SET LOCAL session_replication_role = replica;
    EXECUTE damage;
    answer := (SELECT string_agg(DISTINCT f.kind, ' ' ORDER BY f.kind) FROM (SELECT * FROM economy_internal.audit_orders() UNION ALL SELECT * FROM economy_internal.audit_stock() UNION ALL SELECT * FROM economy_internal.audit_twice()) f);
    RAISE EXCEPTION USING ERRCODE = 'UNDO0', MESSAGE = coalesce(answer, 'none');
EXCEPTION WHEN SQLSTATE 'UNDO0' THEN
    RETURN SQLERRM;
END
$$;
ALTER TABLE economy.payment_order_history DISABLE TRIGGER payment_order_history_is_kept;
SELECT is(pg_temp.brief(economy.purchase(:u, 'pgtap_few', 'd1')) ~ '^t new PENDING', true, 'one that is open');
SELECT is(pg_temp.found_after(replace(damage, '{k}', :'k1')), says, damage)
FROM (VALUES ('DELETE FROM economy.payment_orders WHERE order_id = ''{k}''', 'orphan_row'), ('UPDATE economy.payment_orders SET amount = amount + 1', 'orphan_row'), ('UPDATE economy.payment_orders SET quantity = quantity + 1 WHERE seq IS NOT NULL', 'orphan_row'),
    ('UPDATE economy.payment_orders SET seq = seq + 1 WHERE order_id = ''{k}''', 'orphan_row'), ('UPDATE economy.payment_orders SET state = ''CHARGED_BACK'' WHERE order_id = ''{k}''', 'orphan_row'), ('UPDATE economy.payment_orders SET terms = terms || ''{"granted_gold": 9}''', 'orphan_row'),
    ('UPDATE economy.payment_orders SET stock_slot = NULL', 'wrong_stock'), ('UPDATE economy.payment_orders SET made_at = made_at - interval ''1 s''', 'orphan_row'), ('UPDATE economy.payment_orders SET order_id = gen_random_uuid() WHERE order_id = ''{k}''', 'orphan_row'),
    ('DELETE FROM economy.payment_order_history WHERE order_id = ''{k}'' AND step = 7', 'orphan_row'), ('DELETE FROM economy.payment_order_history WHERE order_id = ''{k}'' AND step = 2', 'orphan_row'), ('DELETE FROM economy.payment_order_history WHERE order_id = ''{k}''', 'orphan_row'),
    ('UPDATE economy.payment_order_history SET to_state = ''VOIDED'' WHERE order_id = ''{k}'' AND step = 3', 'orphan_row'), ('UPDATE economy.payment_order_history SET report = ''voided'' WHERE order_id = ''{k}'' AND step = 3', 'orphan_row'),
    ('UPDATE economy.payment_order_history SET report = ''resolved'' WHERE order_id = ''{k}'' AND step = 3', 'orphan_row'), ('UPDATE economy.payment_webhooks SET order_id = gen_random_uuid() WHERE webhook_id = ''msg_1''', 'orphan_row'),
    ('ALTER TABLE economy.payment_orders DROP CONSTRAINT payment_orders_order_id_key; UPDATE economy.payment_orders SET order_id = ''{k}''', 'duplicate_row orphan_row'), ('SELECT', 'none')) v (damage, says);

-- triggers that change what is written
CREATE FUNCTION pg_temp.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE FUNCTION pg_temp.another() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    CASE TG_TABLE_NAME WHEN 'payment_orders' THEN NEW.attempts := NEW.attempts + 7; WHEN 'payment_order_history' THEN NEW.reporter := 'x'; ELSE NEW.code := 'x'; END CASE;
    RETURN NEW;
END
$$;
CREATE FUNCTION pg_temp.with_trigger(tab text, event text, what text, call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    code text := 'nothing is raised';
BEGIN
    EXECUTE format('CREATE TRIGGER pgtap BEFORE %s ON economy.%I FOR EACH ROW EXECUTE FUNCTION pg_temp.%I()', event, tab, what);
    BEGIN
        EXECUTE call;
    EXCEPTION WHEN OTHERS THEN
        code := SQLSTATE;
    END;
    EXECUTE format('DROP TRIGGER pgtap ON economy.%I', tab);
    RETURN code;
END
$$;
SELECT is(pg_temp.with_trigger(tab, event, what, replace(replace(call, '{u}', :'u'), '{d}', pg_temp.id(:u, 'pgtap_few', 'd1')::text)), 'XE103', concat_ws(' ', tab, event, what, call))
FROM (VALUES ('nothing'), ('another')) w (what), (VALUES ('payment_orders', 'INSERT', 'SELECT economy.purchase({u}, ''pgtap_few'', ''t'')'), ('payment_order_history', 'INSERT', 'SELECT economy.purchase({u}, ''pgtap_few'', ''t'')'),
    ('payment_orders', 'UPDATE', 'SELECT economy.settlement_report(''{d}'', ''confirmed'', ''w'')'), ('payment_orders', 'UPDATE', 'SELECT economy.settlement_report(''{d}'', ''voided'', ''w'')'),
    ('payment_order_history', 'INSERT', 'SELECT economy.settlement_report(''{d}'', ''pending'', ''w'')')) c (tab, event, call);
SELECT is(pg_temp.said(economy.settlement_report(pg_temp.id(:u, 'pgtap_few', 'd1'), 'failed', 'w')), 't new OK FAILED', 'without them it is as it was');

-- a payment of another order that differs in more than that: a conflict, kept, and no error
SELECT is(pg_temp.said(economy.settlement_report(pg_temp.id(:u, 'pgtap_pack', 'odd1'), 'pending', 'w', 'pay-odd')), 't new OK PENDING', 'one payment')
FROM economy.purchase(:u, 'pgtap_pack', 'odd1') p, economy.purchase(:u, 'pgtap_pack', 'odd2') q WHERE p.success AND q.success;
SELECT is(pg_temp.said(economy.settlement_report(pg_temp.id(:u, 'pgtap_pack', 'odd2'), 'confirmed', 'w', 'pay-odd', 998)), 't new CONFLICT CONFLICT {"contradicts": "AMOUNT"}', 'of both orders together');
SELECT is(pg_temp.said(economy.settlement_report(pg_temp.id(:u, 'pgtap_pack', 'odd2'), 'confirmed', 'w', 'pay-odd', 499, 'USD')), 't new CONFLICT CONFLICT {"contradicts": "CURRENCY"}', 'or in another currency');
SELECT is(pg_temp.said(economy.settlement_report(pg_temp.id(:u, 'pgtap_pack', 'odd2'), 'confirmed', 'w', 'pay-odd', 499, 'EUR')), 't new CONFLICT CONFLICT {"contradicts": "PROVIDER_REF_USED"}', 'or right but for that');
SELECT is((SELECT string_agg(h.reason || ' ' || (h.detail ->> 'provider_ref'), ', ' ORDER BY h.step) FROM economy.payment_order_history h WHERE h.order_id = pg_temp.id(:u, 'pgtap_pack', 'odd2') AND h.report = 'confirmed'),
    'AMOUNT pay-odd, CURRENCY pay-odd, PROVIDER_REF_USED pay-odd', 'each is kept');
SELECT is((SELECT o.provider_ref FROM economy.payment_orders o WHERE o.order_id = pg_temp.id(:u, 'pgtap_pack', 'odd2')), NULL, 'and the payment stays that of the other one');
SELECT is_empty('SELECT * FROM economy_internal.audit_orders()', 'nothing is wrong with that');
-- a trigger of the app that refuses one order stops no other
SELECT is(string_agg(p.code, ' '), 'PENDING PENDING PENDING', 'three orders') FROM generate_series(1, 3) n, economy.purchase(:u, 'pgtap_pack', 'late' || n) p;
UPDATE economy.payment_orders o SET expires_at = o.made_at + n * interval '1 microsecond' FROM generate_series(1, 3) n WHERE o.order_id = pg_temp.id(:u, 'pgtap_pack', 'late' || n);
CREATE FUNCTION pg_temp.not_this() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this one'; END $$;
CREATE TRIGGER pgtap AFTER UPDATE ON economy.payment_orders FOR EACH ROW WHEN (NEW.idempotency_key = 'late2') EXECUTE FUNCTION pg_temp.not_this();
SELECT set_config('economy.test_clock', to_char((economy.now() + interval '1 minute') AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS+00'), true) AS x \gset
SELECT count(*) AS x FROM economy_internal.expire_orders(500, NULL) \gset
SELECT is((SELECT string_agg(o.state, ' ' ORDER BY o.idempotency_key) FROM economy.payment_orders o WHERE o.user_id = :u AND o.idempotency_key LIKE 'late_'), 'EXPIRED CREATED EXPIRED', 'the others expire');
DROP TRIGGER pgtap ON economy.payment_orders;
SELECT economy.register('pgtap late payer') AS v2 \gset
-- nor does a lease of a clock that was wrong
UPDATE economy.payment_orders o SET worker = 'dead', due_at = o.made_at + n FROM (VALUES ('late2', interval '1 year')) v (key, n) WHERE o.order_id = pg_temp.id(:u, 'pgtap_pack', v.key);
SELECT is((SELECT count(*) FROM economy_internal.expire_orders(500, NULL) j WHERE j.orders > 0), 1::bigint, 'it expires');
SELECT is((SELECT o.state FROM economy.payment_orders o WHERE o.order_id = pg_temp.id(:u, 'pgtap_pack', 'late2')), 'EXPIRED', 'as others do');
-- a provider is kept as it is answered, or not at all
CREATE FUNCTION pg_temp.other_provider() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.expiry_s := 77; RETURN NEW; END $$;
CREATE TRIGGER pgtap BEFORE INSERT OR UPDATE ON economy.payment_providers FOR EACH ROW EXECUTE FUNCTION pg_temp.other_provider();
SELECT throws_ok(format('SELECT economy.set_payment_provider(%L, ''a'')', p), 'XE103', 'a row of economy.payment_providers would be kept in another way than was asked for', p) FROM unnest(ARRAY['{"provider": "pgtap_bank", "expiry_s": 99}', '{"provider": "pgtap_new", "profile": "standard"}']) p;
DROP TRIGGER pgtap ON economy.payment_providers;
CREATE FUNCTION pg_temp.not_kept() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER pgtap BEFORE INSERT OR UPDATE ON economy.payment_secrets FOR EACH ROW EXECUTE FUNCTION pg_temp.not_kept();
SELECT throws_ok(c, 'XE103', 'a row of economy.payment_secrets would be kept in another way than was asked for', c)
FROM unnest(ARRAY['SELECT economy.add_payment_secret(''pgtap_bank'', ''whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'', ''a'')', 'SELECT economy.retire_payment_secret(''pgtap_bank'', 1, ''a'')']) c;
DROP TRIGGER pgtap ON economy.payment_secrets;
-- a report again that names the payment for the first time is a step: it is told what was known when
SELECT is(p.code, 'PENDING', 'an order') FROM economy.purchase(:v2, 'pgtap_pack', 'ref1') p;
SELECT is(pg_temp.said(economy.settlement_report(pg_temp.id(:v2, 'pgtap_pack', 'ref1'), 'confirmed', 'w', r)) ~ says, true, coalesce(r, 'no') || ' payment')
FROM (VALUES (1, NULL, '^t new OK CONFIRMED'), (2, 'pay-late', '^t new OK CONFIRMED'), (3, 'pay-late', '^t reuse OK CONFIRMED'), (4, NULL, '^t reuse OK CONFIRMED'), (5, 'pay-other', '^t new CONFLICT')) v (n, r, says);
SELECT is((SELECT string_agg(concat_ws(' ', h.from_state, h.to_state, h.detail ->> 'provider_ref'), ', ' ORDER BY h.step) FROM economy.payment_order_history h WHERE h.order_id = pg_temp.id(:v2, 'pgtap_pack', 'ref1') AND h.report = 'confirmed'),
    'CREATED CONFIRMED, CONFIRMED CONFIRMED pay-late, CONFIRMED CONFLICT pay-other', 'each is kept');
SELECT is_empty('SELECT * FROM economy_internal.audit_orders()', 'which the audit takes for right');

-- arguments
SELECT throws_ok(call, code, says, call)
FROM (VALUES ('SELECT economy.settlement_report(NULL, ''pending'', ''w'')', 'XE001', 'order_id must not be null'), ('SELECT economy.settlement_report(gen_random_uuid(), ''paid'', ''w'')', 'XE002', 'report "paid" is not known'),
    ('SELECT economy.settlement_report(gen_random_uuid(), ''pending'', '''')', 'XE002', 'reporter must have 1 to 255 bytes'), ('SELECT economy.resolve_order(gen_random_uuid(), ''EXPIRED'', ''r'', ''a'')', 'XE002', 'resolution "EXPIRED" is not known'),
    ('SELECT economy.settlement_lease(''w'', 0)', 'XE002', 'max must be 1 or more'), ('SELECT economy.settlement_lease(''w'', 1, ''2 days'')', 'XE002', 'lease must be from 1 second to 24 hours')) v (call, code, says);
SELECT is(pg_temp.said(economy.settlement_report('00000000-0000-0000-0000-000000000000', 'confirmed', 'w')), 'f refused ORDER_NOT_FOUND', 'no such order');
SELECT is(pg_temp.said(economy.resolve_order('00000000-0000-0000-0000-000000000000', 'CONFIRMED', 'r', 'a')), 'f refused ORDER_NOT_FOUND', 'for an operator either');
SELECT * FROM finish();
ROLLBACK;
