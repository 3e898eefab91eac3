-- economy.grant_rewards(): order of the answers, bad elements, repeats inside a batch, both inputs.
BEGIN;
SELECT no_plan();

SELECT economy.register('pgtap batch a') AS a \gset
SELECT economy.register('pgtap batch b') AS b \gset
SELECT economy.register('pgtap batch c') AS c \gset
CREATE FUNCTION pg_temp.batch(template text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT replace(replace(replace(concat_ws(' ', g.state, g.code, coalesce(g.transaction_id, '-'), g.gold_delta, g.xp_delta,
                                             g.gold, g.experience_points, g.level, g.leveled_up, g.detail),
                   'R' || economy.user_id_of('pgtap batch a') || '-', 'A'),
                   'R' || economy.user_id_of('pgtap batch b') || '-', 'B'),
                   'R' || economy.user_id_of('pgtap batch c') || '-', 'C')
    FROM economy.grant_rewards(replace(replace(replace(template,
                   '"a"', economy.user_id_of('pgtap batch a')::text),
                   '"b"', economy.user_id_of('pgtap batch b')::text),
                   '"c"', economy.user_id_of('pgtap batch c')::text)::jsonb) g $$;
CREATE FUNCTION pg_temp.state() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', a.seq, a.gold, a.experience_points), ', ' ORDER BY a.user_id)
    FROM economy.accounts a WHERE a.user_id IN (economy.user_id_of('pgtap batch a'), economy.user_id_of('pgtap batch b'),
                                                economy.user_id_of('pgtap batch c')) $$;

SELECT results_eq($$SELECT * FROM pg_temp.batch('[
    {"user_id": "c", "source": "s", "external_event_id": "1", "gold": 10, "xp": 600},
    {"user_id": "a", "source": "s", "external_event_id": "1", "gold": 20},
    {"user_id": "b", "source": "s", "external_event_id": "1", "xp": 30, "details": {"k": [1, {"x": null}]}},
    {"user_id": "a", "source": "s", "external_event_id": "2"},
    {"user_id": "c", "source": "s", "external_event_id": "2", "gold": 1, "details": null},
    {"user_id": "a", "source": "t", "external_event_id": "1", "gold": 3, "xp": 500}]')$$,
    ARRAY['new OK C1 10 600 10 600 2 t', 'new OK A1 20 0 20 0 1 f', 'new OK B1 0 30 0 30 1 f',
          'new OK A2 0 0 20 0 1 f', 'new OK C2 1 0 11 600 2 f', 'new OK A3 3 500 23 500 2 t'],
    'a row per element, in their order; a user''s rewards one after the other');
SELECT is(pg_temp.state(), '3 23 500, 1 0 30, 2 11 600', 'the accounts follow');
SELECT is((SELECT details FROM economy.reward_audit WHERE user_id = :b), '{"k": [1, {"x": null}]}', 'details are stored');
SELECT is((SELECT count(details) FROM economy.reward_audit WHERE user_id = :c), 0::bigint, 'null details are none');

SELECT results_eq($$SELECT * FROM pg_temp.batch('[
    {"user_id": "b", "source": "d", "external_event_id": "x", "gold": 5},
    {"user_id": "b", "source": "d", "external_event_id": "x", "gold": 5},
    {"user_id": "b", "source": "d", "external_event_id": "x", "gold": 6},
    {"user_id": "b", "source": "s", "external_event_id": "1", "xp": 30, "details": {"k": [1, {"x": null}]}},
    {"user_id": "b", "source": "d", "external_event_id": "y", "gold": 1}]')$$,
    ARRAY['new OK B2 5 0 5 30 1 f', 'reuse OK B2 5 0 5 30 1 f', 'refused IDEMPOTENCY_MISMATCH B2 {"now": 6, "field": "gold", "first": 5}',
          'reuse OK B1 0 30 0 30 1 f', 'new OK B3 1 0 6 30 1 f'],
    'an event repeated within a batch, and from an earlier one');
SELECT results_eq(format($$SELECT state, transaction_id FROM economy.grant_reward(%s, 'd', 'y', 1)$$, :b),
    format($$VALUES ('reuse', 'R%s-3')$$, :b), 'a single call knows the batch''s events');

SELECT results_eq($$SELECT * FROM pg_temp.batch('[
    {"user_id": "a", "source": "o", "external_event_id": "1", "gold": 9007199254740991},
    {"user_id": -5,  "source": "o", "external_event_id": "1", "gold": 1},
    {"user_id": "a", "source": "o", "external_event_id": "2", "gold": 1}]')$$,
    ARRAY['refused GOLD_OVERFLOW - 23 500', 'refused USER_NOT_FOUND -', 'new OK A4 1 0 24 500 2 f'],
    'a refusal refuses one element only');
SELECT is(economy.set_user_status(:c, 'suspended', 'pgtap'), 'suspended', 'suspend c');
SELECT results_eq($$SELECT * FROM pg_temp.batch('[
    {"user_id": "c", "source": "o", "external_event_id": "1", "gold": 1},
    {"user_id": "b", "source": "o", "external_event_id": "1", "gold": 1}]')$$,
    ARRAY['refused USER_SUSPENDED - 11 600', 'new OK B4 1 0 7 30 1 f'], 'a suspended user in a batch');
SELECT is_empty($$SELECT * FROM pg_temp.batch('[]')$$, 'an empty batch');

-- arrays
CREATE FUNCTION pg_temp.brief(r economy.grant_result) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', r.state, r.code, split_part(r.transaction_id, '-', 2), r.gold_delta, r.xp_delta, r.gold, r.experience_points, r.level, r.leveled_up, r.detail) $$;
SELECT results_eq(format($$SELECT pg_temp.brief(r) FROM economy.grant_rewards(ARRAY[%1$s, %2$s, %1$s], '{s,s,s}', '{r1,r1,r2}', '{1,2,3}', '{0,4,500}') r$$, :b, :a),
    ARRAY['new OK 5 1 0 8 30 1 f', 'new OK 5 2 4 26 504 2 f', 'new OK 6 3 500 11 530 2 t'], 'arrays, a row for each in their order');
SELECT results_eq(format($$SELECT pg_temp.brief(r) FROM economy.grant_rewards(ARRAY[%1$s, %1$s], '{s,s}', '{r3,r4}', details => ARRAY[NULL, '{"k": 1}']::jsonb[]) r$$, :b),
    ARRAY['new OK 7 0 0 11 530 2 f', 'new OK 8 0 0 11 530 2 f'], 'without gold and xp, with details');
SELECT is((SELECT array_agg(details ORDER BY seq) FROM economy.reward_audit WHERE user_id = :b AND seq IN (7, 8)), ARRAY[NULL, '{"k": 1}']::jsonb[], 'which are stored');
SELECT results_eq(format($$SELECT pg_temp.brief(r) FROM economy.grant_rewards(external_event_ids => ARRAY['r4', 'r2', 'r2'], user_ids => '{%1$s,%1$s,%1$s}', sources => '[7:9]={s,s,s}', details => '{null,null,null}',
                              xp => '{0,500,500}', gold => '{0,3,4}') r$$, :b),
    ARRAY['refused IDEMPOTENCY_MISMATCH 8 {"now": null, "field": "details", "first": {"k": 1}}', 'reuse OK 6 3 500 11 530 2 t', 'refused IDEMPOTENCY_MISMATCH 6 {"now": 4, "field": "gold", "first": 3}'],
    'whatever the bounds and the order of the arguments');
SELECT is_empty($$SELECT * FROM economy.grant_rewards('{}', '{}', '{}')$$, 'arrays of nothing');

SELECT is((SELECT count(*) FROM economy.grant_rewards((SELECT jsonb_agg(jsonb_build_object(
        'user_id', CASE n % 3 WHEN 0 THEN :a WHEN 1 THEN :b ELSE -1 END, 'source', 'many', 'external_event_id', n::text, 'gold', n))
    FROM generate_series(1, 3000) n)) WITH ORDINALITY g
    WHERE CASE g.ordinality % 3 WHEN 2 THEN g.code = 'USER_NOT_FOUND' ELSE g.gold_delta = g.ordinality AND g.state = 'new' END),
    3000::bigint, 'a batch of 3000, every answer in its place');

-- one that is made in parts: each answer in its place, each account right, a key known over the parts
CREATE TEMP TABLE crowd AS SELECT n AS place, economy.register('pgtap crowd ' || n) AS u FROM generate_series(0, 9) n;
CREATE TEMP TABLE sent AS
    SELECT n, CASE WHEN n % 2 = 0 THEN 4 ELSE n / 2 % 10 END AS place, n % 17000 AS id, 1 + n % 17000 % 7 AS gold FROM generate_series(0, 17099) n;
CREATE TEMP TABLE told AS
    SELECT s.*, c.u, r.state, r.transaction_id, r.gold_delta, r.gold AS balance
    FROM economy.grant_rewards((SELECT array_agg(u ORDER BY n) FROM sent JOIN crowd USING (place)), (SELECT array_agg('many'::text) FROM sent), (SELECT array_agg(id::text ORDER BY n) FROM sent),
                               (SELECT array_agg(sent.gold::bigint ORDER BY n) FROM sent)) WITH ORDINALITY r
    JOIN sent s ON s.n = r.ordinality - 1 JOIN crowd c USING (place);
SELECT is((SELECT count(*) FROM told WHERE gold_delta = gold AND state = CASE WHEN n < 17000 THEN 'new' ELSE 'reuse' END), 17100::bigint, 'a batch of 17100 with 100 repeats, most for one user');
SELECT is_empty($$SELECT * FROM (SELECT *, row_number() OVER of_user AS seq, sum(gold) OVER of_user AS adds_up FROM told WHERE n < 17000 WINDOW of_user AS (PARTITION BY u ORDER BY n)) t
                  WHERE transaction_id <> format('R%s-%s', u, seq) OR balance <> adds_up$$, 'a user''s one after the other, in their order');
SELECT is_empty($$SELECT * FROM told a JOIN told b ON b.n = a.n - 17000 WHERE a.transaction_id <> b.transaction_id OR a.balance <> b.balance$$, 'the repeats have the first answer');
SELECT is((SELECT row(sum(a.seq), sum(a.gold))::text FROM economy.accounts a JOIN crowd c ON c.u = a.user_id), (SELECT row(17000, sum(gold))::text FROM sent WHERE n < 17000), 'which is on the accounts once');
SELECT is_empty('SELECT v.* FROM crowd c, economy.verify_chain(c.u) v', 'all their chains are clean');
SELECT is((SELECT count(*) FROM economy.grant_rewards((SELECT jsonb_agg(jsonb_build_object('user_id', c.u, 'source', 'many', 'external_event_id', id::text, 'gold', gold) ORDER BY n DESC)
    FROM sent JOIN crowd c USING (place))) r WHERE r.state = 'reuse'), 17100::bigint, 'to send it again is to read it');

-- one bad element takes all back
CREATE TEMP TABLE before AS SELECT pg_temp.state() AS state, (SELECT count(*) FROM economy.reward_audit) AS rewards;
SELECT throws_ok(format('SELECT * FROM pg_temp.batch(%L)', batch), code, message, coalesce(message, batch))
FROM (VALUES
    ('{}',                                                     'XE002', 'rewards must be a JSON array of objects'),
    ('null',                                                   'XE002', 'rewards must be a JSON array of objects'),
    ('"text"',                                                 'XE002', 'rewards must be a JSON array of objects'),
    ('17',                                                     'XE002', 'rewards must be a JSON array of objects'),
    ('[' || repeat('{},', 1000000) || '{}]',                   'XE002', 'rewards must be at most 1000000 objects'),
    ('[' || repeat('{},', 999999) || '{}]',                    'XE002', 'reward 1: user_id must be a number'),
    ('[1]',                                                    'XE002', 'reward 1 is not a JSON object'),
    ('[[]]',                                                   'XE002', 'reward 1 is not a JSON object'),
    ('[null]',                                                 'XE002', 'reward 1 is not a JSON object'),
    ('[GOOD, "x"]',                                            'XE002', 'reward 2 is not a JSON object'),
    ('[GOOD, {}]',                                             'XE002', 'reward 2: user_id must be a number'),
    ('[GOOD, {"user_id": "", "source": "s", "external_event_id": "e"}]', 'XE002', 'reward 2: user_id must be a whole number'),
    ('[GOOD, {"user_id": "7 7", "source": "s", "external_event_id": "e"}]', 'XE002', 'reward 2: user_id must be a whole number'),
    ('[GOOD, {"user_id": "0x7", "source": "s", "external_event_id": "e"}]', 'XE002', 'reward 2: user_id must be a whole number'),
    ('[GOOD, {"user_id": null, "source": "s", "external_event_id": "e"}]', 'XE002', 'reward 2: user_id must be a number'),
    ('[GOOD, {"user_id": 1.5, "source": "s", "external_event_id": "e"}]', 'XE002', 'reward 2: user_id must be a whole number'),
    ('[GOOD, {"user_id": 1, "external_event_id": "e"}]',       'XE002', 'reward 2: source must be a text'),
    ('[GOOD, {"user_id": 1, "source": "", "external_event_id": "e"}]', 'XE003', 'reward 2: source must have 1 to 64 bytes'),
    ('[GOOD, {"user_id": 1, "source": 5, "external_event_id": "e"}]', 'XE002', 'reward 2: source must be a text'),
    ('[GOOD, {"user_id": 1, "source": "' || repeat('s', 65) || '", "external_event_id": "e"}]', 'XE003', 'reward 2: source must have 1 to 64 bytes'),
    ('[GOOD, {"user_id": 1, "source": "s"}]',                  'XE002', 'reward 2: external_event_id must be a text'),
    ('[GOOD, {"user_id": 1, "source": "s", "external_event_id": "' || repeat('e', 256) || '"}]', 'XE003', 'reward 2: external_event_id must have 1 to 255 bytes'),
    ('[GOOD, {"user_id": 1, "source": "s", "external_event_id": "e", "gold": "5e0"}]',  'XE002', 'reward 2: gold must be a whole number'),
    ('[GOOD, {"user_id": 1, "source": "s", "external_event_id": "e", "gold": "9223372036854775808"}]', 'XE002', 'reward 2: gold must be a whole number'),
    ('[GOOD, {"user_id": 1, "source": "s", "external_event_id": "e", "gold": "-1"}]', 'XE002', 'reward 2: gold and xp must be from 0 to 2^53-1'),
    ('[GOOD, {"user_id": 1, "source": "s", "external_event_id": "e", "gold": null}]', 'XE002', 'reward 2: gold must be a number'),
    ('[GOOD, {"user_id": 1, "source": "s", "external_event_id": "e", "gold": 0.5}]',  'XE002', 'reward 2: gold must be a whole number'),
    ('[GOOD, {"user_id": 1, "source": "s", "external_event_id": "e", "xp": true}]',   'XE002', 'reward 2: xp must be a number'),
    ('[GOOD, {"user_id": 1, "source": "s", "external_event_id": "e", "gold": -1}]',   'XE002', 'reward 2: gold and xp must be from 0 to 2^53-1'),
    ('[GOOD, {"user_id": 1, "source": "s", "external_event_id": "e", "xp": 9007199254740992}]', 'XE002', 'reward 2: gold and xp must be from 0 to 2^53-1'),
    ('[GOOD, {"user_id": 1, "source": "economy:x", "external_event_id": "e"}]', 'XE401', 'reward 2: sources that begin with "economy:" are reserved'),
    ('[GOOD, {"user_id": 1, "source": "s", "external_event_id": "e", "details": []}]', 'XE002', 'reward 2: details must be a JSON object'),
    ('[GOOD, {"user_id": 1, "source": "s", "external_event_id": "e", "details": "x"}]', 'XE002', 'reward 2: details must be a JSON object'),
    ('[GOOD, {"user_id": 1, "source": "s", "external_event_id": "e", "details": {"t": "' || repeat('x', 4088) || '"}}]',
                                                               'XE003', 'reward 2: details has more than 4096 bytes as text'),
    ('[GOOD, {"user_id": 1, "source": "s", "external_event_id": "e", "amount": 1}]', 'XE002', 'reward 2 has an unknown key'),
    ('[GOOD, {"user_id": 1, "source": "s", "external_event_id": "e", "Gold": 1}]', 'XE002', 'reward 2 has an unknown key')
) v (batch_template, code, message),
    LATERAL (SELECT replace(batch_template, 'GOOD', '{"user_id": "a", "source": "good", "external_event_id": "g", "gold": 1}')) r (batch);
SELECT throws_ok(format('SELECT economy.grant_rewards(%s)', arguments), code, message, left(arguments, 80))
FROM (VALUES
    ('NULL',                                             'XE001', 'rewards must not be null'),
    ($$NULL, '{s}', '{e}'$$,                             'XE001', 'user_ids must not be null'),
    ($$'{1}', NULL, '{e}'$$,                             'XE001', 'sources must not be null'),
    ($$'{1}', '{s}', NULL$$,                             'XE001', 'external_event_ids must not be null'),
    ($$'{1,NULL}', '{s,s}', '{e,e}'$$,                   'XE001', 'reward 2: user_id must not be null'),
    ($$'{1,1}', '{s,NULL}', '{e,e}'$$,                   'XE001', 'reward 2: source must not be null'),
    ($$'{1,1}', '{s,s}', '{e,NULL}'$$,                   'XE001', 'reward 2: external_event_id must not be null'),
    ($$'{1,1}', '{s,s}', '{e,e}', '{1,NULL}'$$,          'XE001', 'reward 2: gold must not be null'),
    ($$'{1,1}', '{s,s}', '{e,e}', NULL, '{1,NULL}'$$,    'XE001', 'reward 2: xp must not be null'),
    ($$'{1,1}', '{s}', '{e,e}'$$,                        'XE002', 'sources has 1 elements where user_ids has 2'),
    ($$'{1,1}', '{s,s}', '{e,e,e}'$$,                    'XE002', 'external_event_ids has 3 elements where user_ids has 2'),
    ($$'{1}', '{s}', '{e}', '{}'$$,                      'XE002', 'gold has 0 elements where user_ids has 1'),
    ($$'{1}', '{s}', '{e}', '{1}', '{1,2}'$$,            'XE002', 'xp has 2 elements where user_ids has 1'),
    ($$'{1}', '{s}', '{e}', '{1}', '{1}', '{null,null}'$$, 'XE002', 'details has 2 elements where user_ids has 1'),
    ($$'{{1,1}}', '{s,s}', '{e,e}'$$,                    'XE002', 'user_ids must be at most 1000000 elements in one dimension'),
    ($$'{1,1}', '{{s},{s}}', '{e,e}'$$,                  'XE002', 'sources must be at most 1000000 elements in one dimension'),
    ($$array_fill(1::bigint, ARRAY[1000001]), array_fill('s'::text, ARRAY[1000001]), array_fill('e'::text, ARRAY[1000001])$$, 'XE002', 'user_ids must be at most 1000000 elements in one dimension'),
    ($$'{1,1}', '{s,""}', '{e,e}'$$,                     'XE003', 'reward 2: source must have 1 to 64 bytes'),
    ($$'{1,1}', ARRAY['s', repeat('s', 65)], '{e,e}'$$,  'XE003', 'reward 2: source must have 1 to 64 bytes'),
    ($$'{1,1}', '{s,s}', ARRAY['e', repeat('e', 256)]$$, 'XE003', 'reward 2: external_event_id must have 1 to 255 bytes'),
    ($$'{1,1}', '{s,s}', '{e,e}', '{1,-1}'$$,            'XE002', 'reward 2: gold and xp must be from 0 to 2^53-1'),
    ($$'{1,1}', '{s,s}', '{e,e}', xp => '{1,9007199254740992}'$$, 'XE002', 'reward 2: gold and xp must be from 0 to 2^53-1'),
    ($$'{1,1}', '{s,economy:s}', '{e,e}'$$,              'XE401', 'reward 2: sources that begin with "economy:" are reserved'),
    ($$'{1,1}', '{s,s}', '{e,e}', details => ARRAY['{}', '[]']::jsonb[]$$, 'XE002', 'reward 2: details must be a JSON object'),
    ($$'{1,1}', '{s,s}', '{e,e}', details => ARRAY['{}', 'null']::jsonb[]$$, 'XE002', 'reward 2: details must be a JSON object'),
    ($$'{1,1}', '{s,s}', '{e,e}', details => ARRAY['{}', jsonb_build_object('t', repeat('x', 4089))]$$, 'XE003', 'reward 2: details has more than 4096 bytes as text')
) v (arguments, code, message);
SELECT is(pg_temp.state(), before.state, 'none of them moved an account') FROM before;
SELECT is((SELECT count(*) FROM economy.reward_audit), before.rewards, 'or wrote a reward') FROM before;

-- numbers that jsonb can hold and bigint cannot
SELECT throws_ok(format($$SELECT economy.grant_rewards('[{"user_id": %s, "source": "s", "external_event_id": "e", "gold": %s}]')$$, u, g),
    'XE002', NULL, format('user_id %s, gold %s is misuse', u, g))
FROM (VALUES ('1', '9223372036854775808'), ('1', '1e1000'), ('1e30', '1'), ('1', '-9223372036854775809')) v (u, g);
-- drivers give a bigint back as text, and it is taken so
SELECT is((SELECT concat_ws(' ', code, gold_delta, xp_delta) FROM economy.grant_rewards(format(E'[{"user_id": "%s", "source": "s", "external_event_id": "text", "gold": "376", "xp": " +8\\t"}]', :a)::jsonb)),
    'OK 376 8', 'numbers as text');
SELECT is((SELECT gold_delta FROM economy.grant_rewards(format('[{"user_id": %s, "source": "s", "external_event_id": "whole", "gold": 12e1}]', :a)::jsonb)),
    120::bigint, 'a whole number in another spelling');
SELECT is((SELECT code FROM economy.grant_rewards(jsonb_build_array(jsonb_build_object('user_id', :b, 'source', repeat('s', 64),
        'external_event_id', repeat('e', 255))))), 'OK', 'texts of just the length allowed');
SELECT is((SELECT code FROM economy.grant_rewards(jsonb_build_array(jsonb_build_object('user_id', :b, 'source', 's',
        'external_event_id', '4096', 'details', jsonb_build_object('t', repeat('x', 4087)))))), 'OK', 'details of 4096 bytes');
SELECT is((SELECT octet_length(details::text) FROM economy.reward_audit WHERE user_id = :b AND external_event_id = '4096'), 4096, 'are stored');

SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s)', id), 'the chain of ' || name)
FROM (VALUES (:a, 'a'), (:b, 'b'), (:c, 'c')) v (id, name);
SELECT is((SELECT string_agg(g.code, ' ') FROM economy.grant_rewards('[{"user_id": 9223372036854775807, "source": "s", "external_event_id": "e"},
    {"user_id": -9223372036854775808, "source": "s", "external_event_id": "e"}]') g), 'USER_NOT_FOUND USER_NOT_FOUND', 'the largest and the least bigint are numbers');
-- an item that stands in a row, given and bought twice in a batch
SELECT economy.register('pgtap rows twice') AS rows \gset
SELECT count(i.kind) AS x FROM generate_series(1, 8) n, economy.upsert_item(jsonb_build_object('item_id', n || repeat('i', 60), 'kind', 'stack'), 'pgtap') i \gset
SELECT count(g.code) AS x FROM generate_series(1, 8) n, economy.grant_items(:rows, jsonb_build_object(n || repeat('i', 60), 1), 'r', 'k' || n) g \gset
SELECT p.product_id AS x FROM economy.upsert_product(jsonb_build_object('product_id', 'pgtap_row', 'category', 'item', 'price_gold', 0, 'contents', jsonb_build_object('8' || repeat('i', 60), 4)), 'pgtap') p \gset
SELECT is((SELECT count(*) FROM economy_internal.user_holdings_more m WHERE m.user_id = :rows AND m.item_id = '8' || repeat('i', 60)), 1::bigint, 'it has a row');
SELECT is((SELECT string_agg(r.items -> 0 ->> 'balance', ' ') FROM economy.grant_rewards(ARRAY[:rows, :rows]::bigint[], '{pgtap,pgtap}', '{r1,r2}', NULL, NULL, NULL, array_fill(jsonb_build_object('8' || repeat('i', 60), 2), '{2}')) r), '3 5', 'given twice');
SELECT is((SELECT string_agg(p.items -> 0 ->> 'balance', ' ') FROM economy.purchases(ARRAY[:rows, :rows]::bigint[], '{pgtap_row,pgtap_row}', '{p1,p2}') p), '9 13', 'and bought twice');
SELECT * FROM finish();
ROLLBACK;
