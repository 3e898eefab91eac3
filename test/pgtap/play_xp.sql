-- XP that an action gives: in its own entry, once, with the level that it leads to.
BEGIN;
SELECT no_plan();
SELECT economy.register('pgtap xp') AS u \gset
SELECT economy.register('pgtap xp batch') AS v \gset
SELECT economy.register('pgtap xp full') AS w \gset
SELECT economy.register_game('pgtap') AS x \gset
SELECT success AS x FROM economy.adjust_gold(:u, 100, 'open', 'pgtap', 'pgtap') \gset
CREATE FUNCTION pg_temp.short(r economy.action_result) RETURNS text LANGUAGE sql AS
    $$ SELECT concat_ws(' ', r.state, r.code, regexp_replace(r.transaction_id, E'^A\\d+-', '#'), r.gold_delta, r.gold, r.total, r.detail) $$;
CREATE FUNCTION pg_temp.play(id text, xp bigint, win bigint DEFAULT 0) RETURNS text LANGUAGE sql AS
    $$ SELECT pg_temp.short(r) FROM economy.record_action(economy.user_id_of('pgtap xp'), 'pgtap', 'SPIN', id, 0, win, xp => xp) r $$;
CREATE FUNCTION pg_temp.told(user_id bigint, after bigint) RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(concat_ws(' ', r.seq, r.type, r.event -> 'data' ->> 'xp_delta', r.event -> 'data' ->> 'before', r.event -> 'data' ->> 'after'), ', ') FROM economy.replay(user_id, after) r WHERE r.code = 'EVENT' $$;
CREATE FUNCTION pg_temp.wrong() RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(concat_ws(' ', v.kind, v.expected, v.actual), ', ') FROM economy.users u, economy.verify_chain(u.user_id) v WHERE u.external_id LIKE 'pgtap xp%' $$;

SELECT is(pg_temp.play('a', 0), 'new OK #2 0 100 1', 'without XP nothing is said of it');
SELECT is(pg_temp.play('b', 499, 5), 'new OK #3 5 105 2 {"level": 1, "xp_delta": 499, "leveled_up": false, "experience_points": 499}', 'XP');
SELECT is(pg_temp.play('c', 1), 'new OK #4 0 105 3 {"level": 2, "xp_delta": 1, "leveled_up": true, "experience_points": 500}', 'a level up');
SELECT is(pg_temp.play('b', 499, 5), 'reuse OK #3 5 105 3 {"level": 1, "xp_delta": 499, "leveled_up": false, "experience_points": 499}', 'a retry answers the first result');
SELECT is(pg_temp.play('b', xp, 5), 'refused IDEMPOTENCY_MISMATCH #3 {"now": ' || xp || ', "field": "xp", "first": 499}', 'of another XP it is refused: ' || xp) FROM unnest('{0,500}'::bigint[]) xp;
SELECT is(pg_temp.play('a', 3), 'refused IDEMPOTENCY_MISMATCH #2 {"now": 3, "field": "xp", "first": 0}', 'also where there was none');
SELECT is((SELECT row(a.experience_points, a.level, a.gold)::text FROM economy.account(:u) a), '(500,2,105)', 'the account has it once');
SELECT is((SELECT string_agg(concat_ws(' ', a.xp_delta, a.experience_points), ', ' ORDER BY a.seq) FROM economy.user_actions a WHERE a.user_id = :u), '0 0, 499 499, 1 500', 'each in its entry');
SELECT is(pg_temp.told(:u, 1), '2 user_action 0, 2 stats_delta, 3 user_action 499, 3 stats_delta, 4 user_action 1, 4 stats_delta, 4 profile_update 1 2', 'which is told, with the level that changed');
SELECT is((SELECT r.event ->> 'id' FROM economy.replay(:u, 3) r WHERE r.type = 'profile_update'), format('A%s-4/level', :u), 'by its name');
SELECT is(economy.record_action_code(:u, 'pgtap', 'SPIN', 'd', xp => 7), 'OK', 'the code alone');
SELECT is((SELECT experience_points FROM economy.account(:u)), 507::bigint, 'gives it too');

-- on the curve that the user has
SELECT economy.set_level_curve('pgtap', '{0,10,20,507,600}') AS x \gset
SELECT economy.set_level_experiment('pgtap', '[{"arm": "a", "curve": "pgtap", "share": 10000}]', true) AS x \gset
SELECT is(pg_temp.play('e', 93), 'new OK #6 0 105 5 {"level": 5, "xp_delta": 93, "leveled_up": true, "experience_points": 600}', 'on a curve of its own');
SELECT is(pg_temp.told(:u, 5), '6 user_action 93, 6 stats_delta, 6 profile_update 4 5', 'and told so');
SET LOCAL economy.notify_stats = 'with_action';
SELECT is(pg_temp.told(:u, 5), '6 user_action 93, 6 profile_update 4 5', 'also beside an action with its statistics');
RESET economy.notify_stats;
SELECT economy.set_level_experiment('pgtap', '[]') AS x \gset

-- of many
SELECT is(string_agg(pg_temp.short(r), ' | '), 'new OK #1 0 0 1 {"level": 2, "xp_delta": 600, "leveled_up": true, "experience_points": 600} | new OK #2 1 1 2 | new OK #3 0 1 3 {"level": 3, "xp_delta": 400, "leveled_up": true, "experience_points": 1000} | reuse OK #1 0 0 3 {"level": 2, "xp_delta": 600, "leveled_up": true, "experience_points": 600} | refused IDEMPOTENCY_MISMATCH #2 {"now": 1, "field": "xp", "first": 0}', 'objects')
FROM economy.record_actions((SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('user_id', :v, 'game', 'pgtap', 'action_type', 'SPIN', 'action_id', id, 'win', win, 'xp', xp))) FROM (VALUES ('a', NULL, '600'::jsonb), ('b', 1, NULL), ('c', NULL, '"400"'), ('a', NULL, '600'), ('b', 1, '1')) t (id, win, xp))) r;
SELECT is(string_agg(pg_temp.short(r), ' | '), 'reuse OK #1 0 0 3 {"level": 2, "xp_delta": 600, "leveled_up": true, "experience_points": 600} | new OK #4 0 1 4 {"level": 4, "xp_delta": 500, "leveled_up": true, "experience_points": 1500} | new OK #5 0 1 5', 'arrays')
FROM economy.record_actions(ARRAY[:v, :v, :v], '{pgtap,pgtap,pgtap}', '{SPIN,SPIN,SPIN}', '{a,d,e}', xp => '{600,500,0}') r;
SELECT is(pg_temp.told(:v, 3), '4 user_action 500, 4 stats_delta, 4 profile_update 3 4, 5 user_action 0, 5 stats_delta', 'told as of one');

-- no amount, and no more than there may be
SELECT throws_ok(format('SELECT economy.record_action(%s, ''pgtap'', ''SPIN'', ''x'', xp => %s)', :u, xp), code, message, 'xp ' || xp)
FROM (VALUES ('NULL', 'XE001', 'xp must not be null'), ('-1', 'XE002', 'xp must be from 0 to 2^53-1'), ('9007199254740992', 'XE002', 'xp must be from 0 to 2^53-1')) v (xp, code, message);
SELECT throws_ok(format('SELECT economy.record_actions(%L)', jsonb_build_array(jsonb_build_object('user_id', :u, 'game', 'pgtap', 'action_type', 'SPIN', 'action_id', 'x', 'xp', -1))), 'XE002', 'action 1: xp must be from 0 to 2^53-1', 'of an object');
SELECT throws_ok(format('SELECT economy.record_actions(''{%1$s,%1$s}'', ''{pgtap,pgtap}'', ''{SPIN,SPIN}'', ''{x,y}'', xp => ''{%2$s}'')', :u, xp), code, message, 'of an array: ' || xp)
FROM (VALUES ('1,NULL', 'XE001', 'action 2: xp must not be null'), ('1,-1', 'XE002', 'action 2: xp must be from 0 to 2^53-1'), ('1', 'XE002', 'xp has 1 elements where user_ids has 2')) v (xp, code, message);
SELECT is(pg_temp.short(r), 'new OK #1 0 0 1 {"level": 2147483647, "xp_delta": 9007199254740991, "leveled_up": true, "experience_points": 9007199254740991}', 'the most') FROM economy.record_action(:w, 'pgtap', 'SPIN', 'a', xp => 9007199254740991) r;
SELECT is(pg_temp.short(r), 'refused GOLD_OVERFLOW 0 {"at_most": 9007199254740991, "experience_points": 9007199254740991}', 'no more') FROM economy.record_action(:w, 'pgtap', 'SPIN', 'b', xp => 1) r;
SELECT is(pg_temp.short(r), 'new OK #2 2 2 2', 'but gold') FROM economy.record_action(:w, 'pgtap', 'SPIN', 'b', 0, 2) r;

-- objects of 0.2.0 call with fewer arguments
SELECT format('CREATE FUNCTION pg_temp.older_action(bigint, text, text, text, bigint, bigint, text, jsonb) RETURNS economy.action_result LANGUAGE c AS %L, ''eco_record_action''', p.probin),
    format('CREATE FUNCTION pg_temp.older_actions(bigint[], text[], text[], text[], bigint[], bigint[], text[], jsonb[]) RETURNS SETOF economy.action_result LANGUAGE c AS %L, ''eco_record_actions''', p.probin)
FROM pg_proc p WHERE p.oid = 'economy.record_actions(jsonb)'::regprocedure \gexec
SELECT is(pg_temp.short(r), 'new OK #7 -3 102 6', 'one action of theirs') FROM pg_temp.older_action(:u, 'pgtap', 'SPIN', 'older', 3, 0, NULL, NULL) r;
SELECT is(string_agg(pg_temp.short(r), ' | '), 'reuse OK #7 -3 102 6 | new OK #8 -1 101 7', 'and many') FROM pg_temp.older_actions(ARRAY[:u, :u], '{pgtap,pgtap}', '{SPIN,SPIN}', '{older,old}', '{3,1}', NULL, NULL, NULL) r;

-- what goes by prune() takes no XP along
SELECT is(pg_temp.wrong(), NULL, 'the streams are sound');
SET LOCAL economy.test_clock = '2031-06-01 12:00+00';
SELECT count(*) AS x FROM economy.record_action(:u, 'pgtap', 'SPIN', 'late', xp => 5) \gset
SELECT users AS x FROM economy.rollup_stats() \gset
SELECT is((SELECT p.actions > 0 FROM economy.prune('90 days') p), true, 'actions are pruned');
SELECT is(pg_temp.wrong(), NULL, 'what is left is sound');
SELECT is((SELECT row(a.experience_points, max(s.experience_points))::text FROM economy.account(:u) a, economy.statement(:u) s GROUP BY a.experience_points), '(605,605)', 'with all XP');
SELECT is(pg_temp.play('b', 499, 5), 'refused RESYNC_REQUIRED #3 {"reason": "pruned"}', 'which is not given again');

SELECT * FROM finish();
ROLLBACK;
