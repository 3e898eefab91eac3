-- Entries are found by a digest of their key, and told apart where two have the same.
BEGIN;
SELECT plan(28);
SELECT is(economy_internal.key_digest('p1', 'k'), -3954453552101286436, 'a digest is the same on every platform');
SELECT is(economy_internal.key_digest('p1', 'k') >> 32, economy_internal.key_digest('p1', 'other') >> 32, 'the upper half is of the first text');
SELECT throws_ok(call, 'XE001', argument || ' must not be null', call)
FROM (VALUES ('SELECT economy_internal.key_digest(NULL, ''k'')', 'first'), ('SELECT economy_internal.key_digest(''p'', NULL)', 'second')) v (call, argument);

SELECT economy.register('pgtap digest') AS u \gset
SELECT count(*) AS x FROM economy.adjust_gold(:u, 1000, 'open', 'pgtap', 'pgtap') \gset
-- p771 and p163575 have one upper half
SELECT is(economy_internal.key_digest('p771', '') >> 32, economy_internal.key_digest('p163575', '') >> 32, 'two products with one half');
SELECT economy.upsert_product(format('{"product_id": "%s", "category": "item", "price_gold": 1}', p)::jsonb || coalesce(more::jsonb, '{}'), 'pgtap')
FROM (VALUES ('p771', '{"per_user_limit": 2}'), ('p163575', '{"limit_once": true}'), ('pgtap_k', NULL)) v (p, more) \g /dev/null
CREATE FUNCTION pg_temp.buy(product text, key text) RETURNS text LANGUAGE sql AS
    $$ SELECT concat_ws(' ', p.state, p.code, p.user_limit_remaining) FROM economy.purchase((SELECT economy.user_id_of('pgtap digest')), product, key) p $$;
CREATE FUNCTION pg_temp.act(VARIADIC ids text[]) RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(concat_ws(' ', a.state, a.code), ', ') FROM economy.record_actions((
           SELECT jsonb_agg(jsonb_build_object('user_id', economy.user_id_of('pgtap digest'), 'game', 'slot', 'action_type', 'spin', 'action_id', i)) FROM unnest(ids) i)) a $$;
CREATE FUNCTION pg_temp.grant(event text) RETURNS text LANGUAGE sql AS
    $$ SELECT concat_ws(' ', g.state, g.code) FROM economy.grant_reward(economy.user_id_of('pgtap digest'), 'pgtap', event, 1) g $$;

SELECT is(pg_temp.buy(p, k), want, format('%s, key %s', p, k))
FROM (VALUES (1, 'p771', 'a', 'new OK 1'), (2, 'p163575', 'a', 'new OK 0'), (3, 'p163575', 'b', 'refused LIMIT_ONCE 0'),
             (4, 'p771', 'b', 'new OK 0'), (5, 'p771', 'c', 'refused USER_LIMIT 0'), (6, 'p163575', 'a', 'reuse OK')) v (n, p, k, want) ORDER BY n;
SELECT is(array(SELECT format('%s %s', product_id, units) FROM economy_internal.shop_user_units WHERE user_id = :u ORDER BY 1), '{p771 2}', 'the units of one do not count for the other');

-- all entries have the digest of their texts
SELECT is(pg_temp.buy('pgtap_k', '1') || pg_temp.act('1') || pg_temp.grant('1'), 'new OKnew OKnew OK', 'one of each');
SELECT is((SELECT count(*) FROM economy.shop_transactions WHERE user_id = :u AND key_digest = economy_internal.key_digest(product_id, idempotency_key)), 4::bigint, 'of purchases');
SELECT is((SELECT count(*) FROM economy.user_actions WHERE user_id = :u AND key_digest = economy_internal.key_digest(game, action_id)), 1::bigint, 'of actions');
SELECT is((SELECT count(*) FROM economy.reward_audit WHERE user_id = :u AND key_digest = economy_internal.key_digest(source, external_event_id)), 1::bigint, 'of rewards');
SELECT is((SELECT string_agg(kind, ' ') FROM economy.verify_chain(:u)), NULL, 'the chain is clean');

-- two actions of one digest, together in a batch: each is found
SELECT is(economy_internal.key_digest('slot', '36208'), economy_internal.key_digest('slot', '84705'), 'two actions with one digest');
SELECT economy.register('pgtap digest pair') AS pair \gset
CREATE FUNCTION pg_temp.act_pair() RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(concat_ws(' ', a.state, a.total), ', ') FROM economy.record_actions(array_fill(economy.user_id_of('pgtap digest pair'), '{3}'), '{slot,slot,slot}', '{spin,spin,spin}', '{36208,84705,1}') a $$;
SELECT is(pg_temp.act_pair(), 'new 1, new 2, new 3', 'are two');
SELECT is(pg_temp.act_pair(), 'reuse 3, reuse 3, reuse 3', 'and have had their effect');

-- an entry with the digest of another key is not taken for that one
ALTER TABLE economy.shop_transactions DISABLE TRIGGER USER;
ALTER TABLE economy.user_actions DISABLE TRIGGER USER;
ALTER TABLE economy.reward_audit DISABLE TRIGGER USER;
UPDATE economy.shop_transactions SET key_digest = economy_internal.key_digest('pgtap_k', '2') WHERE user_id = :u AND idempotency_key = '1';
UPDATE economy.user_actions SET key_digest = economy_internal.key_digest('slot', '2') WHERE user_id = :u;
UPDATE economy.reward_audit SET key_digest = economy_internal.key_digest('pgtap', '2') WHERE user_id = :u;
SELECT is((SELECT string_agg(kind || regexp_replace(entry, '[0-9]+', 'U'), ' ' ORDER BY seq) || max(expected || actual) FROM economy.verify_chain(:u)),
          'wrong_digestPU-5 wrong_digestAU-6 wrong_digestRU-7key_digest ' || economy_internal.key_digest('slot', '1') || 'another one', 'the audit tells of it');
SELECT is(economy.verify_receipt(:u, format('P%s-5', :u))::text, '(t,OK)', 'a receipt is as good as ever');
SELECT is(pg_temp.buy('pgtap_k', '2'), 'new OK', 'another purchase');
SELECT is(pg_temp.act('2', '3', '2', '3'), 'new OK, new OK, reuse OK, reuse OK', 'other actions');
SELECT is(pg_temp.grant('2'), 'new OK', 'another reward');
UPDATE economy.shop_transactions SET key_digest = economy_internal.key_digest(product_id, idempotency_key) WHERE user_id = :u;
UPDATE economy.user_actions SET key_digest = economy_internal.key_digest(game, action_id) WHERE user_id = :u;
UPDATE economy.reward_audit SET key_digest = economy_internal.key_digest(source, external_event_id) WHERE user_id = :u;
SELECT is(pg_temp.buy('pgtap_k', k) || ', ' || pg_temp.act(k) || ', ' || pg_temp.grant(k), 'reuse OK, reuse OK, reuse OK', 'key ' || k || ' has had its effect')
FROM (VALUES ('1'), ('2')) v (k);
SELECT is((SELECT string_agg(kind, ' ') FROM economy.verify_chain(:u)), NULL, 'clean again');
SELECT * FROM finish();
ROLLBACK;
