-- Game actions in two steps: open_action(), settle_action(), void_action(), what expires, open_actions().
BEGIN;
SELECT no_plan();

SET LOCAL economy.test_clock = '2031-01-02 20:00:00+00';
SELECT economy.register('pgtap player') AS a \gset
SELECT economy.register('pgtap other') AS b \gset
SELECT success AS x FROM economy.adjust_gold(:a, 1000, 'open', 'pgtap', 'pgtap') \gset
SELECT economy.register_game('pgtap "game"') AS x \gset
CREATE FUNCTION pg_temp.call(call text, a bigint, b bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    says text;
    p    jsonb;
BEGIN
    EXECUTE format('SELECT to_jsonb(p) FROM economy.%s p', format(call, a, b)) INTO p;
    RETURN concat_ws(' ', p ->> 'state', p ->> 'code', p ->> 'transaction_id', p ->> 'gold_delta', p ->> 'gold', p ->> 'total', nullif(p -> 'detail', 'null') - 'expires_at' - 'ttl_seconds' - 'fee' - 'fee_per_mille');
END
$$;
CREATE FUNCTION pg_temp.open_ones(id bigint) RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(concat_ws(' ', o.game, o.action_type, o.action_id, o.bet, o.details, to_char(o.opened_at AT TIME ZONE 'UTC', 'HH24:MI'), to_char(o.expires_at AT TIME ZONE 'UTC', 'DD HH24:MI'), o.expired, o.round_id), ', ') FROM economy.open_actions(id) o $$;
CREATE FUNCTION pg_temp.has(id bigint) RETURNS text LANGUAGE sql AS
    $$ SELECT concat_ws(' ', (SELECT x.gold FROM economy.accounts x WHERE x.user_id = id), (SELECT concat_ws('/', g.total, g.wins, g.bet_sum, g.win_sum) FROM economy.game_stats g WHERE g.user_id = id AND g.game = 'crash')) $$;
CREATE FUNCTION pg_temp.wrong() RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(DISTINCT concat_ws(' ', f.kind, f.expected, '|', f.actual), ', ') FROM (SELECT * FROM economy_internal.audit_escrows() UNION ALL SELECT * FROM economy_internal.audit_transfers() UNION ALL SELECT * FROM economy_internal.audit_effects()) f $$;

-- the bet is taken, once; transfers need not be switched on
SELECT is(pg_temp.call('open_action(%s, ''crash'', ''CRASH_BET'', ''r1'', 100, ''90 minutes'', ''{"auto": 2.5}'')', :a, :b), format('new OK H%s-2 -100 900 {"gold": 100}', :a), 'a round opens');
SELECT is(pg_temp.call('open_action(%s, ''crash'', ''CRASH_BET'', ''r1'', 100, ''90 minutes'', ''{"auto": 3}'')', :a, :b), format('refused IDEMPOTENCY_MISMATCH H%s-2 {"now": {"game": "crash", "details": {"auto": 3}, "action_type": "CRASH_BET"}, "field": "context", "first": {"game": "crash", "details": {"auto": 2.5}, "action_type": "CRASH_BET"}}', :a), 'other details are another round');
SELECT is(pg_temp.call('open_action(%s, ''crash'', ''CRASH_BET'', ''r1'', 100, ''01:29:59.5'', ''{"auto": 2.5}'')', :a, :b), format('reuse OK H%s-2 -100 900 {"gold": 100}', :a), 'a retry answers the first result');
SELECT is(pg_temp.call(call, :a, :b), format('refused IDEMPOTENCY_MISMATCH H%s-2 %s', :a, says), call)
FROM (VALUES ('open_action(%s, ''crash'', ''CRASH_BET'', ''r1'', 99, ''90 minutes'', ''{"auto": 2.5}'')', '{"now": 99, "field": "bet", "first": 100}'),
    ('open_action(%s, ''crash'', ''CRASH_BET'', ''r1'', 100, ''91 minutes'', ''{"auto": 2.5}'')', '{"now": 5460, "field": "ttl", "first": 5400}'),
    ('open_action(%s, ''crash'', ''BET'', ''r1'', 100, ''90 minutes'', ''{"auto": 2.5}'')', '{"now": {"game": "crash", "details": {"auto": 2.5}, "action_type": "BET"}, "field": "context", "first": {"game": "crash", "details": {"auto": 2.5}, "action_type": "CRASH_BET"}}')) v (call, says);
SELECT is(pg_temp.call('open_action(%s, ''slot'', ''SPIN'', ''r1'', 1)', :a, :b), format('new OK H%s-3 -1 899 {"gold": 1}', :a), 'the same id of another game is another round');
SELECT is(pg_temp.call('open_action(%s, ''pgtap "game"'', ''X'', ''a", "b'', 2)', :a, :b), format('new OK H%s-4 -2 897 {"gold": 2}', :a), 'names of any letters');
SELECT is(pg_temp.open_ones(:a), format('crash CRASH_BET r1 100 {"auto": 2.5} 20:00 02 21:30 f H%1$s-2, slot SPIN r1 1 20:00 02 21:00 f H%1$s-3, pgtap "game" X a", "b 2 20:00 02 21:00 f H%1$s-4', :a), 'what is open');
SELECT is((SELECT string_agg(o.round_id, ' ') FROM economy.open_actions(:a, 1) o), format('H%s-2', :a), 'no more than that');
SELECT is_empty(format('SELECT * FROM economy.escrows_of(%s) UNION ALL SELECT * FROM economy.escrows_of(%s)', :a, :b), 'none of them is an escrow');
SELECT is(pg_temp.has(:a), '897', 'no statistics see it yet');
SELECT is(string_agg(concat_ws(' ', r.event -> 'data' ->> 'operation', r.event -> 'data' ->> 'idempotency_key'), ', ' ORDER BY r.seq), E'round_open ["crash", "r1"], round_open ["slot", "r1"], round_open ["pgtap \\"game\\"", "a\\", \\"b"]', 'which is told') FROM economy.replay(:a, 1) r WHERE r.type = 'holding_update';

-- refused: nothing is changed
SELECT is(pg_temp.call(call, :a, :b), says, call)
FROM (VALUES
    ('open_action(-7, ''crash'', ''B'', ''f'', 1)', 'refused USER_NOT_FOUND'), ('open_action(%s, ''chess'', ''B'', ''f'', 1)', 'refused GAME_NOT_FOUND'),
    ('open_action(%s, ''crash'', ''B'', ''f'', 898)', 'refused INSUFFICIENT_GOLD 897 {"needed": 898}'),
    ('settle_action(-7, ''crash'', ''f'', 1)', 'refused USER_NOT_FOUND'), ('settle_action(%s, ''crash'', ''f'', 1)', 'refused ROUND_NOT_FOUND'), ('settle_action(%2$s, ''crash'', ''r1'', 1)', 'refused ROUND_NOT_FOUND'),
    ('void_action(-7, ''crash'', ''f'')', 'refused USER_NOT_FOUND'), ('void_action(%s, ''slot'', ''f'')', 'refused ROUND_NOT_FOUND'), ('void_action(%2$s, ''crash'', ''r1'')', 'refused ROUND_NOT_FOUND'),
    (format('release_escrow(%%s, ''H%s-2'')', :a), 'refused ESCROW_NOT_FOUND 897'), (format('capture_escrow(%%s, ''H%s-2'', %%s)', :a), 'refused ESCROW_NOT_FOUND 897')) v (call, says);
SELECT r.enabled AS x FROM economy.set_transfer_rules('{"enabled": true}', 'bob') r \gset
SELECT is(pg_temp.call(format('capture_escrow(%%s, ''H%s-2'', %%s)', :a), :a, :b), 'refused ESCROW_NOT_FOUND 897', 'nobody else gets a bet');
SELECT transaction_id AS e FROM economy.hold_escrow(:a, 'e', 1) \gset
SELECT is(p.code, 'ESCROW_NOT_FOUND', 'and an escrow is no round') FROM economy_internal.close_round(:a, :'e', 'x') p;
SELECT is(p.state, 'new', 'as it was') FROM economy.release_escrow(:a, :'e') p;
SELECT is(concat_ws(' ', pg_temp.has(:a), (SELECT count(*) FROM economy.open_actions(:a))), '897 3', 'all is as it was');

-- settled: one game
SELECT is(pg_temp.call('settle_action(%s, ''crash'', ''r1'', 250, xp => 7)', :a, :b), format('new OK A%s-8 150 1147 1 {"level": 1, "xp_delta": 7, "leveled_up": false, "experience_points": 7}', :a), 'won');
SELECT is(pg_temp.has(:a), '1147 1/1/100/250', 'which the statistics see once');
SELECT results_eq(format('SELECT bet, win, outcome, action_type, details, xp_delta FROM economy.user_actions WHERE user_id = %s', :a), $$VALUES (100::bigint, 250::bigint, 'win' COLLATE "C", 'CRASH_BET' COLLATE "C", '{"auto": 2.5}'::jsonb, 7::bigint)$$, 'with what it was opened with');
SELECT is(pg_temp.call('settle_action(%s, ''crash'', ''r1'', 250, xp => 7)', :a, :b), format('reuse OK A%s-8 150 1147 1 {"level": 1, "xp_delta": 7, "leveled_up": false, "experience_points": 7}', :a), 'a retry answers the first result');
SELECT is(pg_temp.call(call, :a, :b), format('refused IDEMPOTENCY_MISMATCH A%s-8 %s', :a, says), call)
FROM (VALUES ('settle_action(%s, ''crash'', ''r1'', 251, xp => 7)', '{"now": 251, "field": "win", "first": 250}'), ('settle_action(%s, ''crash'', ''r1'', 250)', '{"now": 0, "field": "xp", "first": 7}'),
    ('settle_action(%s, ''crash'', ''r1'', 250, ''draw'', xp => 7)', '{"now": "draw", "field": "outcome", "first": "win"}'), ('settle_action(%s, ''crash'', ''r1'', 250, details => ''{}'', xp => 7)', '{"now": {}, "field": "details", "first": {"auto": 2.5}}')) v (call, says);
SELECT is(pg_temp.call('void_action(%s, ''crash'', ''r1'')', :a, :b), 'refused ROUND_CLOSED {"how": "released", "reason": "settle"}', 'what is settled is not voided');
SELECT is(pg_temp.call('open_action(%s, ''crash'', ''CRASH_BET'', ''r1'', 100, ''90 minutes'', ''{"auto": 2.5}'')', :a, :b), format('reuse OK H%s-2 -100 900 {"gold": 100}', :a), 'nor opened again');
SELECT is(pg_temp.call('settle_action(%s, ''slot'', ''r1'', 0, details => ''{"reels": 3}'')', :a, :b), format('new OK A%s-10 -1 1147 1', :a), 'lost, with other details');
SELECT is(pg_temp.call('settle_action(%s, ''pgtap "game"'', ''a", "b'', 2)', :a, :b), format('new OK A%s-12 0 1149 1', :a), 'a draw');
SELECT is(pg_temp.call('open_action(%s, ''crash'', ''ALL'', ''all'', 1149)', :a, :b) || ', ' || pg_temp.call('settle_action(%s, ''crash'', ''all'', 1)', :a, :b), format('new OK H%1$s-13 -1149 0 {"gold": 1149}, new OK A%1$s-15 -1148 1 2', :a), 'all that there is');
SELECT is(pg_temp.open_ones(:a), NULL, 'none is open');

-- what was recorded in one step is no round
SELECT is(pg_temp.call('record_action(%s, ''crash'', ''B'', ''one'', 0, 999)', :a, :b), format('new OK A%s-16 999 1000 3', :a), 'an action of its own');
SELECT is(pg_temp.call('open_action(%s, ''crash'', ''B'', ''one'', 1)', :a, :b), format('refused IDEMPOTENCY_MISMATCH {"recorded": "A%s-16"}', :a), 'is not opened afterwards');
SELECT is(pg_temp.call('open_action(%s, ''crash'', ''B'', ''two'', 10)', :a, :b), format('new OK H%s-17 -10 990 {"gold": 10}', :a), 'a round that');
SELECT is(pg_temp.call('record_action(%s, ''crash'', ''B'', ''two'', 10, 30)', :a, :b), format('new OK A%s-18 20 1010 4', :a), 'is recorded beside it');
SELECT is(pg_temp.call('settle_action(%s, ''crash'', ''two'', 31)', :a, :b), format('refused IDEMPOTENCY_MISMATCH A%s-18 {"now": 31, "field": "win", "first": 30}', :a), 'is not another when it is settled');
SELECT is(pg_temp.open_ones(:a) LIKE 'crash B two 10%', true, 'and stays open');
SELECT is(pg_temp.call('settle_action(%s, ''crash'', ''two'', 30)', :a, :b) || ' ' || pg_temp.has(:a), format('reuse OK A%s-18 20 1010 4 1020 4/3/1259/1280', :a), 'and counts once');

-- voided: none
SELECT is(pg_temp.call('open_action(%s, ''crash'', ''B'', ''v'', 20)', :a, :b), format('new OK H%s-20 -20 1000 {"gold": 20}', :a), 'a round');
SELECT is(pg_temp.call('void_action(%s, ''crash'', ''v'', ''server lost'')', :a, :b), format('new OK H%1$s-21 20 1020 {"how": "released", "escrow": "H%1$s-20"}', :a), 'is voided');
SELECT is(pg_temp.call('void_action(%s, ''crash'', ''v'')', :a, :b), format('reuse OK H%1$s-21 20 1020 {"how": "released", "escrow": "H%1$s-20"}', :a), 'once');
SELECT is(pg_temp.call('settle_action(%s, ''crash'', ''v'', 5)', :a, :b), 'refused ROUND_CLOSED {"how": "released", "reason": "server lost"}', 'and not settled any more');
SELECT is(pg_temp.has(:a), '1020 4/3/1259/1280', 'the bet is back, and no statistics saw it');

SELECT is(to_jsonb(n) - 'success', '{"state": "in_progress", "code": "IN_PROGRESS", "retry_after_ms": 170, "transaction_id": null, "gold_delta": null, "gold": null, "total": null, "wins": null, "losses": null, "max_win": null, "detail": null}', 'who closes it now is waited for by who settles it')
FROM economy_internal.not_settled(jsonb_populate_record(NULL::economy.holding_result, '{"success": false, "state": "in_progress", "code": "IN_PROGRESS", "retry_after_ms": 170}')) n;

-- what is refused when it is settled leaves the round open
SELECT is(pg_temp.call('open_action(%s, ''crash'', ''B'', ''s'', 20, ''1 hour'')', :a, :b) || ' ' || economy.set_user_status(:a, 'suspended', 'pgtap', reason => 'x'), format('new OK H%s-22 -20 1000 {"gold": 20} suspended', :a), 'a player is suspended');
SELECT is(pg_temp.call('open_action(%s, ''crash'', ''B'', ''s2'', 1)', :a, :b), 'refused USER_SUSPENDED 1000', 'opens none');
SELECT is(pg_temp.call('settle_action(%s, ''crash'', ''s'', 40)', :a, :b), 'refused USER_SUSPENDED 1000', 'wins nothing');
SELECT is(pg_temp.open_ones(:a) LIKE 'crash B s 20%' AND pg_temp.has(:a) LIKE '1000 4/%', true, 'and the round stays as it was');
SELECT economy.set_user_status(:a, 'active', 'pgtap', reason => 'x') AS x \gset
SELECT is(pg_temp.call('settle_action(%s, ''crash'', ''s'', 9007199254740991)', :a, :b) LIKE 'refused GOLD_OVERFLOW%', true, 'too much');
SELECT is(pg_temp.has(:a), '1000 4/3/1259/1280', 'is not won');
SELECT throws_ok(format('SELECT economy.settle_action(%s, ''crash'', ''s'', 1, ''won'')', :a), 'XE002', NULL, 'an outcome that there is not is an error');
SELECT is(pg_temp.open_ones(:a) LIKE 'crash B s 20%', true, 'which leaves it open, too');

-- its time is over
SET LOCAL economy.test_clock = '2031-01-02 20:59:59.999999+00';
SELECT is(pg_temp.call('settle_action(%s, ''crash'', ''s'', 21)', :a, :b) || ' ' || pg_temp.has(:a), format('new OK A%s-26 1 1021 5 1021 5/4/1279/1301', :a), 'not yet');
SELECT count(*) AS x FROM generate_series(1, 3) n, economy.open_action(:a, 'crash', 'B', 'x' || n, n, '10 seconds') \gset
SET LOCAL economy.test_clock = '2031-01-02 21:00:09.999999+00';
SELECT is((SELECT string_agg(o.action_id, ' ') FROM economy.open_actions(:a) o WHERE o.expired), 'x1 x2 x3', 'now');
SELECT is(pg_temp.call('settle_action(%s, ''crash'', ''x1'', 5)', :a, :b) || ' ' || pg_temp.has(:a), 'refused ROUND_CLOSED {"how": "expired", "reason": "expiry"} 1016 5/4/1279/1301', 'the bet is back at once');
SELECT is(pg_temp.call('settle_action(%s, ''crash'', ''x1'', 5)', :a, :b) || ' ' || pg_temp.has(:a), 'refused ROUND_CLOSED {"how": "expired", "reason": "expiry"} 1016 5/4/1279/1301', 'once');
SELECT is(pg_temp.call('void_action(%s, ''crash'', ''x2'')', :a, :b) LIKE format('new OK H%s-%% 2 1018 %%', :a), true, 'it may be voided');
SELECT is(concat_ws(' ', e.expired, e.failed, pg_temp.has(:a)), '1 0 1021 5/4/1279/1301', 'or given back by the job') FROM economy_internal.expire_escrows() e;
SELECT is(pg_temp.call('void_action(%s, ''crash'', ''x3'')', :a, :b) LIKE 'reuse OK %"expired"%', true, 'who voids it finds that it is');
SELECT is(pg_temp.wrong(), NULL, 'and the audit finds nothing');
SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s)', :a), 'the chain is clean');
SELECT is_empty(format('SELECT * FROM economy.stats_parity(%s)', :a), 'and so are the statistics');

-- bad arguments
SELECT throws_ok(format('SELECT economy.' || call, :a), code, says, call)
FROM (VALUES
    ('open_action(NULL, ''crash'', ''B'', ''k'', 1)', 'XE001', 'user_id must not be null'), ('open_action(%s, NULL, ''B'', ''k'', 1)', 'XE001', 'game must not be null'), ('open_action(%s, ''crash'', NULL, ''k'', 1)', 'XE001', 'action_type must not be null'),
    ('open_action(%s, ''crash'', ''B'', NULL, 1)', 'XE001', 'action_id must not be null'), ('open_action(%s, ''crash'', ''B'', ''k'', NULL)', 'XE001', 'bet must not be null'), ('open_action(%s, ''crash'', ''B'', ''k'', 1, NULL)', 'XE001', 'ttl must not be null'),
    ('open_action(%s, '''', ''B'', ''k'', 1)', 'XE002', 'game must have 1 to 64 bytes'), ('open_action(%s, ''crash'', repeat(''b'', 65), ''k'', 1)', 'XE002', 'action_type must have 1 to 64 bytes'), ('open_action(%s, ''crash'', ''B'', repeat(''k'', 256), 1)', 'XE002', 'action_id must have 1 to 255 bytes'),
    ('open_action(%s, ''crash'', ''B'', repeat(''k'', 243), 1)', 'XE002', 'game and action_id are too long together'), ('open_action(%s, ''crash'', ''B'', ''k'', 0)', 'XE002', 'bet must be from 1 to 2^53-1'), ('open_action(%s, ''crash'', ''B'', ''k'', -1)', 'XE002', 'bet must be from 1 to 2^53-1'),
    ('open_action(%s, ''crash'', ''B'', ''k'', 9007199254740992)', 'XE002', 'bet must be from 1 to 2^53-1'), ('open_action(%s, ''crash'', ''B'', ''k'', 1, ''0.9 seconds'')', 'XE002', 'ttl must be from 1 second to 366 days'), ('open_action(%s, ''crash'', ''B'', ''k'', 1, details => ''[]'')', 'XE002', 'details must be a JSON object'),
    ('open_action(%s, ''crash'', ''B'', ''k'', 1, details => jsonb_build_object(''t'', repeat(''x'', 4089)))', 'XE003', 'details is too long'),
    ('settle_action(NULL, ''crash'', ''k'', 1)', 'XE001', 'user_id must not be null'), ('settle_action(%s, NULL, ''k'', 1)', 'XE001', 'game must not be null'), ('settle_action(%s, ''crash'', NULL, 1)', 'XE001', 'action_id must not be null'), ('settle_action(%s, ''crash'', ''k'', NULL)', 'XE001', 'win must not be null'), ('settle_action(%s, ''crash'', ''k'', 1, xp => NULL)', 'XE001', 'xp must not be null'),
    ('void_action(NULL, ''crash'', ''k'')', 'XE001', 'user_id must not be null'), ('void_action(%s, NULL, ''k'')', 'XE001', 'game must not be null'), ('void_action(%s, ''crash'', NULL)', 'XE001', 'action_id must not be null'), ('void_action(%s, ''crash'', ''k'', NULL)', 'XE001', 'reason must not be null'),
    ('void_action(%s, ''crash'', ''k'', ''settle'')', 'XE002', 'reason must be another than settle and expiry'), ('void_action(%s, ''crash'', ''k'', ''expiry'')', 'XE002', 'reason must be another than settle and expiry'), ('void_action(%s, ''crash'', ''k'', repeat(''r'', 65))', 'XE002', 'reason must have 1 to 64 bytes'),
    ('open_actions(%s, -1)', 'XE002', 'max must be 0 or more')) v (call, code, says);
SELECT is(pg_temp.call('open_action(%s, ''crash'', ''B'', repeat(''k'', 242), 1)', :a, :b) LIKE 'new OK %', true, 'the longest');
SELECT is(char_length(o.action_id), 242, 'is whole') FROM economy.open_actions(:a) o ORDER BY o.opened_at DESC LIMIT 1;
SELECT is_empty('SELECT * FROM economy.open_actions(NULL)', 'open_actions(null) has no row');

-- an id that was pruned is not played again
SAVEPOINT pruned;
SET LOCAL session_replication_role = replica;
INSERT INTO economy.pruned_actions VALUES (:a, economy_internal.action_key('crash', 'gone'), 2);
SET LOCAL session_replication_role = origin;
SELECT is(pg_temp.call('open_action(%s, ''crash'', ''B'', ''gone'', 1)', :a, :b), format('refused RESYNC_REQUIRED {"reason": "pruned", "recorded": "A%s-2"}', :a), 'a pruned action');
SELECT is(pg_temp.call('open_action(%2$s, ''crash'', ''B'', ''gone'', 1)', :a, :b) ~ '^refused INSUFFICIENT_GOLD', true, 'of this user alone');
ROLLBACK TO pruned;

-- what the audit finds
CREATE FUNCTION pg_temp.found(damage text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    says text;
BEGIN
    EXECUTE damage;
    says := pg_temp.wrong();
    RAISE EXCEPTION USING ERRCODE = 'P0099';
EXCEPTION WHEN SQLSTATE 'P0099' THEN
    RETURN says;
END
$$;
ALTER TABLE economy.holding_changes DISABLE TRIGGER USER;
SELECT is(pg_temp.found(format(damage, :a)) LIKE says, true, damage)
FROM (VALUES ('DELETE FROM economy.escrows WHERE user_id = %s', '%open until % | not listed%'), ('UPDATE economy.holding_changes SET detail = detail || ''{"gold": 2}'' WHERE user_id = %s AND operation = ''round_open''', '%wrong_balance 2 gold and a fee of 0 put aside | 1%'),
    ('DELETE FROM economy.holding_changes WHERE user_id = %s AND operation = ''round_open'' AND idempotency_key LIKE ''%%"x2"%%''', '%no such escrow%')) v (damage, says);
SELECT * FROM finish();
ROLLBACK;
