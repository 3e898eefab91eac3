-- Streak freezes: bought in the shop, at most five held, used up for missed
-- days where grace does not cover them, all missed days or none.
BEGIN;
SELECT no_plan();

SELECT count(*) AS x FROM (VALUES
    ('{"product_id": "pgtap_freeze", "category": "item", "price_gold": 10, "effect_code": "streak_freeze"}'),
    ('{"product_id": "pgtap_scarf",  "category": "item", "price_gold": 10, "effect_code": "streak_freezes"}')
) v (product), economy.upsert_product(product::jsonb, 'pgtap') \gset
CREATE FUNCTION pg_temp.clock(at text) RETURNS text LANGUAGE sql AS
    $$ SELECT left(set_config('economy.test_clock', at, true), 0) $$;
CREATE FUNCTION pg_temp.newcomer(freezes integer) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    id bigint := economy.register();
BEGIN
    PERFORM economy.adjust_gold(id, 1000, 'open', 'pgtap', 'pgtap');
    IF freezes > 0 THEN PERFORM economy.purchase(id, 'pgtap_freeze', 'open', freezes); END IF;
    RETURN id;
END $$;
CREATE FUNCTION pg_temp.held(id bigint) RETURNS integer LANGUAGE sql AS
    $$ SELECT a.streak_freezes FROM economy.accounts a WHERE a.user_id = id $$;
CREATE FUNCTION pg_temp.buy(id bigint, key text, quantity integer) RETURNS text LANGUAGE sql AS
    $$ SELECT concat_ws(' ', p.state, p.code, p.gold, p.detail) FROM economy.purchase(id, 'pgtap_freeze', key, quantity) p $$;
CREATE FUNCTION pg_temp.claim(id bigint, at text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_temp.clock(at);
    RETURN (SELECT s.next_outcome FROM economy.streak_state(id) s)
        || (SELECT concat_ws(' ', '', c.code, 'day', c.streak_day, 'used', c.freezes_used, CASE WHEN c.grace_used THEN 'grace' END)
            FROM economy.claim_daily_reward(id) c)
        || ' left ' || pg_temp.held(id);
END $$;

-- buying
SELECT pg_temp.newcomer(0) AS u \gset
SELECT is(pg_temp.buy(:u, 'k1', 3), 'new OK 970 {"apply": true, "effect_code": "streak_freeze"}', 'three freezes');
SELECT is(pg_temp.held(:u), 3, 'are held');
SELECT is(pg_temp.buy(:u, 'k1', 3), 'reuse OK 970 {"apply": true, "effect_code": "streak_freeze"}', 'a repeated purchase');
SELECT is(pg_temp.held(:u), 3, 'gives none');
SELECT is(pg_temp.buy(:u, 'k2', 3), 'refused USER_LIMIT 970 {"held": 3, "at_most": 5}', 'three more are too many');
SELECT is((SELECT code FROM economy.purchase(:u, 'pgtap_freeze', 'k2', 2, NULL, true)), 'OK', 'two would do');
SELECT is((SELECT code FROM economy.purchase(:u, 'pgtap_freeze', 'k2', 3, NULL, true)), 'USER_LIMIT', 'a dry run knows the limit');
SELECT is(pg_temp.held(:u), 3, 'and holds nothing');
SELECT is(pg_temp.buy(:u, 'k2', 2), 'new OK 950 {"apply": true, "effect_code": "streak_freeze"}', 'two more');
SELECT is(pg_temp.held(:u), 5, 'are five');
SELECT is(pg_temp.buy(:u, 'k3', 1), 'refused USER_LIMIT 950 {"held": 5, "at_most": 5}', 'a sixth is refused');
SELECT is(pg_temp.buy(:u, 'k3', 1000000), 'refused USER_LIMIT 950 {"held": 5, "at_most": 5}', 'a million too');
SELECT is((SELECT gold FROM economy.accounts WHERE user_id = :u), 950::bigint, 'at no cost');
SELECT is((SELECT code FROM economy.purchase(:u, 'pgtap_scarf', 'k')), 'OK', 'another effect');
SELECT is(pg_temp.held(:u), 5, 'is no freeze');
SET LOCAL economy.streak_max_freezes = 6;
SELECT is(pg_temp.buy(:u, 'k3', 1), 'new OK 930 {"apply": true, "effect_code": "streak_freeze"}', 'a higher limit lets the refused key pass');
SET LOCAL economy.streak_max_freezes = 0;
SELECT is(pg_temp.buy(pg_temp.newcomer(0), 'k', 1), 'refused USER_LIMIT 1000 {"held": 0, "at_most": 0}', 'a limit of 0 sells none');
RESET economy.streak_max_freezes;
SELECT is((SELECT freezes FROM economy.streak_state(:u)), 6, 'streak_state shows them');

-- using them up
SELECT pg_temp.newcomer(2) AS v \gset
SELECT is(pg_temp.claim(:v, '2031-01-01 12:00+00'), 'START CLAIMED day 1 used 0 left 2', 'a start needs none');
SELECT is(pg_temp.claim(:v, '2031-01-02 12:00+00'), 'CONTINUE CLAIMED day 2 used 0 left 2', 'nor a next day');
SELECT is(pg_temp.claim(:v, '2031-01-04 12:00+00'), 'GRACE CLAIMED day 3 used 0 grace left 2', 'one missed day: grace is free');
SELECT is(pg_temp.claim(:v, '2031-01-06 12:00+00'), 'FREEZE CLAIMED day 4 used 1 left 1', 'then a freeze');
SELECT is((SELECT last_grace_on FROM economy.streaks WHERE user_id = :v), '2031-01-03', 'which is no grace');
SELECT is(pg_temp.claim(:v, '2031-01-06 13:00+00'), 'ALREADY_CLAIMED ALREADY_CLAIMED day 4 used 1 left 1', 'the stored result tells it again');
SELECT is(pg_temp.claim(:v, '2031-01-08 12:00+00'), 'FREEZE CLAIMED day 5 used 1 left 0', 'the last one');
SELECT is(pg_temp.claim(:v, '2031-01-10 12:00+00'), 'RESET CLAIMED day 1 used 0 left 0', 'then nothing');

SELECT pg_temp.newcomer(3) AS w \gset
SELECT is(pg_temp.claim(:w, '2031-01-01 12:00+00'), 'START CLAIMED day 1 used 0 left 3', 'three freezes');
SELECT is(pg_temp.claim(:w, '2031-01-05 12:00+00'), 'FREEZE CLAIMED day 2 used 3 left 0', 'cover three missed days');
SELECT pg_temp.newcomer(3) AS w \gset
SELECT is(pg_temp.claim(:w, '2031-01-01 12:00+00'), 'START CLAIMED day 1 used 0 left 3', 'three freezes');
SELECT is(pg_temp.claim(:w, '2031-01-06 12:00+00'), 'RESET CLAIMED day 1 used 0 left 3', 'do not cover four, and stay');
SELECT is(pg_temp.claim(:w, '2031-02-05 12:00+00'), 'DORMANT CLAIMED day 1 used 0 left 3', 'nor a month');
SELECT pg_temp.newcomer(1) AS w \gset
SELECT is(pg_temp.claim(:w, '2031-01-01 12:00+00'), 'START CLAIMED day 1 used 0 left 1', 'one freeze');
SELECT is(pg_temp.claim(:w, '2031-01-04 12:00+00'), 'RESET CLAIMED day 1 used 0 left 1', 'and grace do not add up to two days');
SET LOCAL economy.streak_max_freezes = 100;
SELECT pg_temp.newcomer(40) AS w \gset
SELECT is(pg_temp.claim(:w, '2031-01-01 12:00+00'), 'START CLAIMED day 1 used 0 left 40', 'forty freezes');
SELECT is(pg_temp.claim(:w, '2031-01-30 12:00+00'), 'FREEZE CLAIMED day 2 used 28 left 12', 'cover a gap of 29 days');
SELECT is(pg_temp.claim(:w, '2031-03-01 12:00+00'), 'DORMANT CLAIMED day 1 used 0 left 12', 'a gap of 30 is dormant before it is anything else');
RESET economy.streak_max_freezes;

-- the date that was left out needs no freeze
SELECT pg_temp.newcomer(1) AS apia, pg_temp.newcomer(1) AS apia2 \gset
SELECT economy.set_timezone(:apia, 'Pacific/Apia') AS x, economy.set_timezone(:apia2, 'Pacific/Apia') AS y \gset
SELECT is(pg_temp.claim(:apia, '2011-12-29 20:00+00'), 'START CLAIMED day 1 used 0 left 1', 'December 29 in Apia');
SELECT is(pg_temp.claim(:apia, '2011-12-30 20:00+00'), 'CONTINUE CLAIMED day 2 used 0 left 1', 'December 31 in Apia');
SELECT is(pg_temp.claim(:apia2, '2011-12-29 20:00+00'), 'START CLAIMED day 1 used 0 left 1', 'December 29');
SELECT is(pg_temp.claim(:apia2, '2011-12-31 20:00+00'), 'GRACE CLAIMED day 2 used 0 grace left 1', 'January 1: one missed, not two');

-- the preview spends them as the claims do
SELECT pg_temp.newcomer(1) AS p \gset
SELECT is(pg_temp.claim(:p, '2031-01-01 12:00+00'), 'START CLAIMED day 1 used 0 left 1', 'one freeze');
SELECT is(pg_temp.claim(:p, '2031-01-03 12:00+00'), 'GRACE CLAIMED day 2 used 0 grace left 1', 'and no grace');
SELECT pg_temp.clock('2031-01-05 12:00+00') AS x \gset
SELECT results_eq(format('SELECT claim_date, outcome, streak_day FROM economy.streak_preview(%s, 2)', :p),
    $$VALUES (date '2031-01-05', 'FREEZE', 3), ('2031-01-06', 'CONTINUE', 4)$$, 'the preview foresees the freeze');
SELECT is(pg_temp.held(:p), 1, 'and takes none');

-- a rolled back claim gives the freeze back
SAVEPOINT s;
SELECT is(pg_temp.claim(:p, '2031-01-05 12:00+00'), 'FREEZE CLAIMED day 3 used 1 left 0', 'a claim with a freeze');
ROLLBACK TO SAVEPOINT s;
SELECT is(pg_temp.held(:p), 1, 'rolled back');
SELECT is(pg_temp.claim(:p, '2031-01-05 12:00+00'), 'FREEZE CLAIMED day 3 used 1 left 0', 'and made again');

-- a refused claim uses none
SELECT pg_temp.newcomer(2) AS full \gset
SELECT is(pg_temp.claim(:full, '2031-01-01 12:00+00'), 'START CLAIMED day 1 used 0 left 2', 'two freezes');
SELECT is((SELECT code FROM economy.adjust_gold(:full, 9007199254740991 - (SELECT gold FROM economy.accounts WHERE user_id = :full), 'k', 'r', 'a')), 'OK', 'full');
SELECT is((SELECT left(pg_temp.claim(:full, '2031-01-04 12:00+00'), 20)), 'FREEZE GOLD_OVERFLOW', 'no room for the reward');
SELECT is(pg_temp.held(:full), 2, 'the freezes stay');
SELECT is((SELECT last_claim_on FROM economy.streaks WHERE user_id = :full), date '2031-01-01', 'and so does the streak');

-- a freeze is an item: whatever moves items moves it, and a claim uses what is there
SELECT pg_temp.clock('2031-03-01 12:00+00') AS x \gset
SELECT pg_temp.newcomer(2) AS i \gset
SELECT economy.register('pgtap warm') AS j \gset
SELECT is((SELECT concat_ws(' ', h.item_id, h.kind, h.quantity, h.consumable, h.tradable, h.texts, economy.holds(:i, 'streak_freeze', 2), economy.holds(:i, 'streak_freeze', 3)) FROM economy.holdings(:i) h), 'streak_freeze stack 2 t f {} t f', 'what was bought is held, also where no row of items says what it is');
SELECT is((SELECT u.balance || ' ' || u.is_pass FROM economy.user_holdings u WHERE u.user_id = :i), '2 false', 'a DBA sees it, too');
SELECT is((SELECT p.items FROM economy.purchases_of(:i) p), '[{"item": "streak_freeze", "delta": 2, "balance": 2}]', 'the entry says so');
SELECT is((SELECT concat_ws(' ', g.state, g.code, g.items, g.detail) FROM economy.grant_items(:i, jsonb_build_object('streak_freeze', n), 'r', key) g), says, says)
FROM (VALUES (3, 'g1', 'new OK [{"item": "streak_freeze", "delta": 3, "balance": 5}]'), (1, 'g2', 'refused ITEM_LIMIT {"held": 5, "item": "streak_freeze", "at_most": 5}')) v (n, key, says);
SELECT throws_ok($$SELECT economy.upsert_item('{"item_id": "streak_freeze", "kind": "currency"}', 'ann')$$, 'XE901', 'item "streak_freeze" is not valid', 'a freeze is a stack');
SELECT is(i.maximum, 7::bigint, 'a row may say how many') FROM economy.upsert_item('{"item_id": "streak_freeze", "kind": "stack", "maximum": 7, "tradable": true, "texts": {"en": {"name": "Freeze"}}}', 'ann') i;
SELECT is((SELECT concat_ws(' ', g.code, g.items, g.detail) FROM economy.grant_reward(:i, 'quest', 'q1', 5, 0, NULL, '{"streak_freeze": 1}') g), 'OK [{"item": "streak_freeze", "delta": 1, "balance": 6}]', 'a reward gives one');
SELECT is(pg_temp.buy(:i, 'm1', 2), 'refused USER_LIMIT 985 {"held": 6, "at_most": 7}', 'and the shop asks that row');
SELECT is((SELECT concat_ws(' ', c.code, c.items) FROM economy.consume(:i, 'streak_freeze', 'c1', 2) c), 'OK [{"item": "streak_freeze", "delta": -2, "balance": 4}]', 'an app takes some');
SELECT is((SELECT concat_ws(' ', r.code, r.items) FROM economy.revoke_reward(:i, (SELECT l.transaction_id FROM economy.statement(:i) l WHERE l.source = 'quest'), 'mistake', 'ann') r), 'OK [{"item": "streak_freeze", "delta": -1, "balance": 3}]', 'a reward is taken back');
SELECT x.enabled AS x FROM economy.set_transfer_rules('{"enabled": true}', 'ann') x \gset
SELECT is((SELECT concat_ws(' ', t.code, t.items, pg_temp.held(:j)) FROM economy.transfer(:i, :j, 't1', 0, '{"streak_freeze": 1}') t), 'OK [{"item": "streak_freeze", "delta": -1, "balance": 2}] 1', 'and a friend gets one');
SELECT product_id AS x FROM economy.upsert_product('{"product_id": "pgtap_winter", "category": "item", "price_gold": 1, "effect_code": "streak_freeze", "contents": {"streak_freeze": 2}}', 'ann') \gset
SELECT is((SELECT concat_ws(' ', p.code, p.items) FROM economy.purchase(:i, 'pgtap_winter', 'w1') p), 'OK [{"item": "streak_freeze", "delta": 2, "balance": 4}]', 'contents say how many, whatever the effect code');
SELECT results_eq(format($$SELECT p.code, p.items FROM economy.purchases(ARRAY[%1$s, %1$s, %1$s]::bigint[], ARRAY['pgtap_freeze', 'pgtap_winter', 'pgtap_freeze'], ARRAY['b1', 'b2', 'b3']) p$$, :i),
    $$VALUES ('OK', '[{"item": "streak_freeze", "delta": 1, "balance": 5}]'::jsonb), ('OK', '[{"item": "streak_freeze", "delta": 2, "balance": 7}]'), ('USER_LIMIT', NULL)$$, 'many at once');

-- a day of the calendar gives one in the claim that uses three
SELECT economy.set_daily_rewards('[{"gold": 1}, {"gold": 2, "contents": {"streak_freeze": 2}}]', 'ann', 1) AS x \gset
SELECT is(pg_temp.claim(:i, '2031-03-10 12:00+00'), 'START CLAIMED day 1 used 0 left 7', 'the first day');
SELECT pg_temp.clock('2031-03-14 12:00+00') AS x \gset
SELECT is((SELECT concat_ws(' ', c.code, c.streak_day, c.freezes_used, c.items, c.detail, pg_temp.held(:i)) FROM economy.claim_daily_reward(:i) c), 'CLAIMED 2 3 [{"item": "streak_freeze", "delta": 2, "balance": 6}] 6', 'first used, then given');
SELECT is((SELECT concat_ws(' ', r.code, r.items, pg_temp.held(:i)) FROM economy.revoke_reward(:i, (SELECT max(l.transaction_id) FROM economy.statement(:i) l WHERE l.source = 'economy:daily_streak' AND l.gold_delta = 2), 'mistake', 'ann') r), 'OK [{"item": "streak_freeze", "delta": -2, "balance": 7}] 7', 'taken back, those used are there again');
SELECT is(pg_temp.claim(:i, '2031-03-14 12:00+00'), 'FREEZE CLAIMED day 2 used 3 left 6', 'and the date is claimed again');

-- the audit adds up what entries say of them, and what they said before there were items
CREATE FUNCTION pg_temp.wrong() RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(concat_ws(' ', f.kind, f.expected, '|', f.actual), ', ' ORDER BY f.expected COLLATE "C") FROM (SELECT * FROM economy_internal.audit_holdings() UNION ALL SELECT * FROM economy_internal.audit_rewards() UNION ALL SELECT * FROM economy_internal.audit_effects() UNION ALL SELECT * FROM economy_internal.audit_refunds()) f $$;
SELECT is(pg_temp.wrong(), NULL, 'the audit finds nothing');
SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s) UNION ALL SELECT * FROM economy.verify_chain(%s)', :i, :j), 'nor the chain');
ALTER TABLE economy.shop_transactions DISABLE TRIGGER ALL;
SAVEPOINT old;
UPDATE economy.shop_transactions SET items = NULL WHERE user_id = :i AND idempotency_key = 'open';
SELECT is(pg_temp.wrong(), NULL, 'an entry of before says it by its effect code');
SAVEPOINT refund;
SELECT is((SELECT concat_ws(' ', r.code, r.items, pg_temp.held(:i)) FROM economy.refund_purchase(:i, (SELECT p.transaction_id FROM economy.purchases_of(:i) p WHERE p.items IS NULL), 'k', 1, 'r', 'a') r), 'OK [{"item": "streak_freeze", "delta": -1, "balance": 5}] 5', 'and is taken back as one of now');
SELECT is(pg_temp.wrong(), NULL, 'the audit follows');
ROLLBACK TO refund;
UPDATE economy.shop_transactions SET quantity = 1 WHERE user_id = :i AND idempotency_key = 'open';
SELECT matches(pg_temp.wrong(), 'wrong_balance 4 of streak_freeze . 5 of streak_freeze.*wrong_balance 5 streak freezes . 6 streak freezes', 'and another number is found');
ROLLBACK TO old;
UPDATE economy.accounts SET streak_freezes = 5 WHERE user_id = :i;
SELECT is(pg_temp.wrong(), 'wrong_balance 6 streak freezes | 5 streak freezes', 'as is one that the account lost');
UPDATE economy.accounts SET streak_freezes = 6 WHERE user_id = :i;
UPDATE economy.shop_transactions SET items = '[{"item": "streak_freeze", "delta": 1, "balance": 6}]' WHERE user_id = :i AND idempotency_key = 'b1';
SELECT is(pg_temp.wrong(), 'wrong_balance 5 of streak_freeze | 6 of streak_freeze', 'and a balance that does not follow');
UPDATE economy.shop_transactions SET items = '[{"item": "streak_freeze", "delta": 1, "balance": 5}]' WHERE user_id = :i AND idempotency_key = 'b1';

SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s)', a.user_id), 'a chain') FROM economy.accounts a WHERE a.user_id IN (:u, :v, :w, :apia, :p, :full);
SELECT is_empty(format('SELECT * FROM economy_internal.audit_rewards() WHERE user_id >= %s', :u), 'freezes bought minus used are freezes held');
SELECT * FROM finish();
ROLLBACK;
