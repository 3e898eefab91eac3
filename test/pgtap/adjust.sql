-- economy.adjust_gold(): once per key, with actor and reason.
BEGIN;
SELECT plan(18);

SELECT economy.register('pgtap adjusted') AS u \gset
CREATE FUNCTION pg_temp.brief(p economy.adjust_result) RETURNS text LANGUAGE sql AS
    $$ SELECT concat_ws(' ', p.state, p.code, p.gold_delta, p.gold, p.detail) $$;

SELECT row_eq(format('SELECT * FROM economy.adjust_gold(%s, 500, ''k1'', ''a gift'', ''admin@example.com'')', :u),
    ROW(true, 'new', 'OK', 'G' || :u || '-1', 500, 500, NULL, NULL)::economy.adjust_result, 'gold is given');
SELECT row_eq(format('SELECT * FROM economy.adjust_gold(%s, -200, ''k2'', ''a fee'', ''admin'')', :u),
    ROW(true, 'new', 'OK', 'G' || :u || '-2', -200, 300, NULL, NULL)::economy.adjust_result, 'and taken');
SELECT row_eq(format('SELECT * FROM economy.adjust_gold(%s, 500, ''k1'', ''another reason'', ''another actor'')', :u),
    ROW(true, 'reuse', 'OK', 'G' || :u || '-1', 500, 500, NULL, NULL)::economy.adjust_result, 'a repeated key answers the first result');
SELECT is((SELECT row(g.gold_delta, g.xp_delta, g.gold, g.experience_points, g.idempotency_key, g.actor, g.reason)::text
           FROM economy.gold_adjustments g WHERE g.user_id = :u AND g.seq = 1),
    '(500,0,500,0,k1,admin@example.com,"a gift")', 'the entry says who and why');
SELECT is(pg_temp.brief(p), 'refused IDEMPOTENCY_MISMATCH {"now": 501, "field": "delta", "first": 500}', 'another delta is refused by name')
FROM economy.adjust_gold(:u, 501, 'k1', 'r', 'a') p;
SELECT is(pg_temp.brief(p), 'refused INSUFFICIENT_GOLD 300', 'gold is never below 0: ' || delta)
FROM (VALUES (-301), (-9223372036854775808), (-9223372036854775807)) v (delta), economy.adjust_gold(:u, delta::bigint, 'k3', 'r', 'a') p;
SELECT is(pg_temp.brief(p), 'refused GOLD_OVERFLOW 300', 'nor above 2^53-1: ' || delta)
FROM (VALUES (9007199254740692), (9223372036854775807), (9223372036854775507)) v (delta), economy.adjust_gold(:u, delta::bigint, 'k3', 'r', 'a') p;
SELECT is(pg_temp.brief(p), 'new OK -300 0', 'a refused attempt does not use up its key') FROM economy.adjust_gold(:u, -300, 'k3', 'r', 'a') p;
SELECT is(pg_temp.brief(p), 'new OK 9007199254740991 9007199254740991', 'up to 2^53-1') FROM economy.adjust_gold(:u, 9007199254740991, 'k4', 'r', 'a') p;
SELECT is(pg_temp.brief(p), 'new OK -9007199254740991 0', 'and back') FROM economy.adjust_gold(:u, -9007199254740991, 'k5', 'r', 'a') p;
SELECT is(pg_temp.brief(p), 'new OK 1 1', 'key of 255, reason of 1000 and actor of 255 bytes')
FROM economy.adjust_gold(:u, 1, repeat('k', 255), repeat('r', 1000), repeat('a', 255)) p;
SELECT economy.set_user_status(:u, 'suspended', 'pgtap') AS x \gset
SELECT is(pg_temp.brief(p), 'new OK 1 2', 'an admin can correct the gold of a suspended user') FROM economy.adjust_gold(:u, 1, 'k6', 'r', 'a') p;
SELECT is((SELECT row(a.gold, a.experience_points, a.seq)::text FROM economy.accounts a WHERE a.user_id = :u), '(2,0,8)', 'the account is the newest entry');
SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s)', :u), 'the chain is clean');

SELECT * FROM finish();
ROLLBACK;
