-- A streak put right: set_streak(), and a claim that is taken back whole gives
-- its date back. What was paid once is not paid again.
BEGIN;
SELECT no_plan();
\i test/writable_views.sql
SET LOCAL timezone = 'UTC';
SET LOCAL datestyle = 'ISO, MDY';

CREATE FUNCTION pg_temp.claim(id bigint, at text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    foreseen economy.streak_status;
BEGIN
    PERFORM set_config('economy.test_clock', at, true);
    foreseen := economy.streak_state(id);
    IF (SELECT row(a.streak_day, a.last_claim_on) FROM economy.account(id) a) IS DISTINCT FROM row(foreseen.streak_day, foreseen.last_claim_on) THEN
        RETURN 'account() shows another streak';
    END IF;
    RETURN (SELECT concat_ws(' ', foreseen.next_outcome, c.code, c.claim_date, 'day', c.streak_day, c.gold_delta, replace(c.transaction_id, id::text || '-', 'U-'))
            FROM economy.claim_daily_reward(id) c);
END $$;
CREATE FUNCTION pg_temp.streak(id bigint) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', 'day', streak_day, 'best', best, coalesce(last_claim_on::text, '-'), coalesce(last_grace_on::text, '-'),
                     coalesce(excused_to::text, '-'), coalesce(paid_to::text, '-'), last_seq, timezone)
    FROM economy.streaks WHERE user_id = id $$;
CREATE FUNCTION pg_temp.revoke(id bigint, seq bigint, gold bigint DEFAULT NULL, xp bigint DEFAULT NULL, key text DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', g.state, g.code, replace(g.transaction_id, id::text || '-', 'U-'), g.gold_delta, g.xp_delta)
    FROM economy.revoke_reward(id, 'R' || id || '-' || seq, 'r', 'a', gold, xp, 'take', key) g $$;
CREATE FUNCTION pg_temp.correct(id bigint, day integer, last_claim_on date, key text DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', s.success, s.state, s.code, replace(s.transaction_id, id::text || '-', 'U-'), 'day', s.streak_day, 'best', s.best,
                     s.last_claim_on, s.retry_after_ms, s.detail)
    FROM economy.set_streak(id, day, last_claim_on, 'a reason', 'an actor', key) s $$;

-- the clock was a year ahead for a moment
SELECT economy.register('pgtap ahead') AS u \gset
SELECT is(pg_temp.claim(:u, '2031-01-01 12:00+00'), 'START CLAIMED 2031-01-01 day 1 1000 RU-1', 'day 1');
SELECT is(pg_temp.claim(:u, '2031-01-02 12:00+00'), 'CONTINUE CLAIMED 2031-01-02 day 2 1200 RU-2', 'day 2');
SELECT is(pg_temp.claim(:u, '2032-01-02 12:00+00'), 'DORMANT CLAIMED 2032-01-02 day 1 1000 RU-3', 'a year ahead');
SELECT is(pg_temp.claim(:u, '2031-01-03 12:00+00'), 'ALREADY_CLAIMED ALREADY_CLAIMED 2032-01-02 day 1 1000 RU-3', 'locked out');
SELECT is(pg_temp.revoke(:u, 3), 'new OK RU-4 -1000 -50', 'the claim is taken back');
SELECT is(pg_temp.streak(:u), 'day 2 best 2 2031-01-02 - - 2032-01-02 2 UTC', 'and the streak is what it was');
SELECT is((SELECT row(r.streak_day, r.best, r.claim_date, r.last_grace_on, r.excused_to, r.timezone, r.streak_before, r.reverses, r.freezes_used)::text
           FROM economy.reward_audit r WHERE user_id = :u AND seq = 4), '(2,2,2031-01-02,,,UTC,2,3,0)', 'as the entry says');
SELECT is(pg_temp.revoke(:u, 3), 'reuse OK RU-4 -1000 -50', 'once');
SELECT is(pg_temp.claim(:u, '2031-01-03 12:00+00'), 'CONTINUE CLAIMED 2031-01-03 day 3 1400 RU-5', 'it goes on');
SELECT is((SELECT streak_before FROM economy.reward_audit WHERE user_id = :u AND seq = 5), 2::bigint, 'from the entry before');
SELECT is(pg_temp.claim(:u, '2032-01-02 12:00+00'), 'DORMANT CLAIMED 2032-01-02 day 1 1000 RU-6', 'the date may be claimed again');
SELECT is((SELECT external_event_id FROM economy.reward_audit WHERE user_id = :u AND seq = 6), '2032-01-02/2', 'under another name');
SELECT is(pg_temp.revoke(:u, 6), 'new OK RU-7 -1000 -50', 'and given back again');
SELECT is(pg_temp.claim(:u, '2032-01-02 13:00+00'), 'DORMANT CLAIMED 2032-01-02 day 1 1000 RU-8', 'and claimed a third time');
SELECT is((SELECT external_event_id FROM economy.reward_audit WHERE user_id = :u AND seq = 8), '2032-01-02/3', 'under a third name');
SELECT is(pg_temp.revoke(:u, 8), 'new OK RU-9 -1000 -50', 'given back a third time');
SELECT is(pg_temp.claim(:u, '2032-01-02 13:00+00'), 'DORMANT CLAIMED 2032-01-02 day 1 1000 RU-10', 'and claimed a fourth');
SELECT is((SELECT external_event_id FROM economy.reward_audit WHERE user_id = :u AND seq = 10), '2032-01-02/4', 'under a fourth name');
SELECT is(pg_temp.claim(:u, '2032-01-02 14:00+00'), 'ALREADY_CLAIMED ALREADY_CLAIMED 2032-01-02 day 1 1000 RU-10', 'but not twice at once');

-- only whole, only the newest
SELECT economy.register('pgtap parts of claims') AS v \gset
SELECT is(pg_temp.claim(:v, '2031-01-01 12:00+00'), 'START CLAIMED 2031-01-01 day 1 1000 RU-1', 'day 1');
SELECT is(pg_temp.claim(:v, '2031-01-02 12:00+00'), 'CONTINUE CLAIMED 2031-01-02 day 2 1200 RU-2', 'day 2');
SELECT is(pg_temp.revoke(:v, 1), 'new OK RU-3 -1000 -50', 'an older claim');
SELECT is(pg_temp.streak(:v), 'day 2 best 2 2031-01-02 - - 2031-01-02 2 UTC', 'is gold only');
SELECT is(pg_temp.revoke(:v, 2, 1000, 75, '1'), 'new OK RU-4 -1000 -75', 'most of the newest');
SELECT is(pg_temp.streak(:v), 'day 2 best 2 2031-01-02 - - 2031-01-02 2 UTC', 'is gold only');
SELECT is(pg_temp.revoke(:v, 2, 200, 0, '2'), 'new OK RU-5 -200 0', 'the rest of it');
SELECT is(pg_temp.streak(:v), 'day 1 best 1 2031-01-01 - - 2031-01-02 1 UTC', 'gives the date back');
SELECT economy.register('pgtap claims with one thing left') AS one_left \gset
SELECT is(pg_temp.claim(:one_left, '2031-01-01 12:00+00'), 'START CLAIMED 2031-01-01 day 1 1000 RU-1', 'day 1');
SELECT is(pg_temp.revoke(:one_left, 1, 1000, 49, '1'), 'new OK RU-2 -1000 -49', 'all of the gold, and not all of the XP');
SELECT is(pg_temp.streak(:one_left), 'day 1 best 1 2031-01-01 - - 2031-01-01 1 UTC', 'gives no date back');
SELECT is(pg_temp.claim(:one_left, '2031-01-02 12:00+00'), 'CONTINUE CLAIMED 2031-01-02 day 2 1200 RU-3', 'the next');
SELECT is(pg_temp.revoke(:one_left, 3, 1199, 75, '1'), 'new OK RU-4 -1199 -75', 'all of the XP, and not all of the gold');
SELECT is(pg_temp.streak(:one_left), 'day 2 best 2 2031-01-02 - - 2031-01-02 3 UTC', 'neither');
SELECT is(pg_temp.claim(:v, '2031-01-01 13:00+00'), 'ALREADY_CLAIMED ALREADY_CLAIMED 2031-01-01 day 1 1000 RU-1', 'the one before stays claimed');
SELECT is(pg_temp.revoke(:v, 2, 0, 0, '3'), 'refused EXCEEDS_REWARD', 'not given back twice');
SELECT is(pg_temp.claim(:v, '2031-01-02 13:00+00'), 'CONTINUE CLAIMED 2031-01-02 day 2 1200 RU-6', 'day 2 again');

-- the only claim
SELECT economy.register('pgtap only', 'Asia/Tokyo') AS w \gset
SELECT is(pg_temp.claim(:w, '2031-01-01 12:00+00'), 'START CLAIMED 2031-01-01 day 1 1000 RU-1', 'the only claim');
SELECT is(pg_temp.revoke(:w, 1), 'new OK RU-2 -1000 -50', 'taken back');
SELECT is(pg_temp.streak(:w), 'day 0 best 0 - - - 2031-01-01 0 Asia/Tokyo', 'leaves no streak');
SELECT is((SELECT s::text FROM economy.streak_state(:w) s), '(0,0,,START,0,"2031-01-01 12:00:00+00")', 'and the next is a start');
SELECT is(economy.set_timezone(:w, 'America/New_York'), 'America/New_York', 'a move then is not pending');
SELECT is(pg_temp.claim(:w, '2031-01-01 13:00+00'), 'START CLAIMED 2031-01-01 day 1 1000 RU-4', 'it is');
SELECT is((SELECT streak_before FROM economy.reward_audit WHERE user_id = :w AND seq = 4), NULL, 'from nothing');

-- freezes, grace, excuse and zone are what they were as well
SELECT economy.upsert_product('{"product_id": "pgtap_cold", "category": "item", "price_gold": 0, "effect_code": "streak_freeze"}', 'pgtap') IS NULL AS x \gset
SELECT economy.register('pgtap frozen') AS f \gset
SELECT code AS x FROM economy.purchase(:f, 'pgtap_cold', 'k', 3) \gset
SELECT is(pg_temp.claim(:f, '2031-01-01 23:00+00'), 'START CLAIMED 2031-01-01 day 1 1000 RU-2', 'day 1');
SELECT is(pg_temp.claim(:f, '2031-01-03 23:00+00'), 'GRACE CLAIMED 2031-01-03 day 2 1200 RU-3', 'a grace');
SELECT is(pg_temp.streak(:f), 'day 2 best 2 2031-01-03 2031-01-02 - 2031-01-03 3 UTC', 'is used');
SELECT economy.set_timezone(:f, 'Asia/Tokyo') AS x \gset
SELECT is(pg_temp.claim(:f, '2031-01-06 23:00+00'), 'FREEZE CLAIMED 2031-01-06 day 3 1400 RU-5', 'two freezes');
SELECT is(pg_temp.streak(:f), 'day 3 best 3 2031-01-06 2031-01-02 2031-01-07 2031-01-06 5 Asia/Tokyo', 'and an excuse');
SELECT is((SELECT streak_freezes FROM economy.accounts WHERE user_id = :f), 1, 'one is left');
SELECT is(pg_temp.revoke(:f, 5), 'new OK RU-6 -1400 -100', 'taken back');
SELECT is(pg_temp.streak(:f), 'day 2 best 2 2031-01-03 2031-01-02 - 2031-01-06 3 UTC', 'all is as before');
SELECT is((SELECT streak_freezes FROM economy.accounts WHERE user_id = :f), 3, 'three freezes');
SELECT is(pg_temp.revoke(:f, 3), 'new OK RU-7 -1200 -75', 'and the one before');
SELECT is(pg_temp.streak(:f), 'day 1 best 1 2031-01-01 - - 2031-01-06 2 UTC', 'the grace is there again');
SELECT is(pg_temp.claim(:f, '2031-01-02 23:00+00'), 'CONTINUE CLAIMED 2031-01-02 day 2 1200 RU-8', 'and so on');

-- set_streak(): forwards
SELECT economy.register('pgtap corrected') AS c \gset
SET LOCAL economy.test_clock = '2031-02-01 12:00+00';
SELECT is(pg_temp.correct(:c, 41, '2031-01-31', 'moved'), 't new OK RU-1 day 41 best 41 2031-01-31', 'a streak from elsewhere');
SELECT is(pg_temp.correct(:c, 41, '2031-01-31', 'moved'), 't reuse OK RU-1 day 41 best 41 2031-01-31', 'once for a key');
SELECT is(pg_temp.correct(:c, 40, '2031-01-31', 'moved'), 'f refused IDEMPOTENCY_MISMATCH RU-1 day 41 best 41 2031-01-31 {"now": 40, "field": "day", "first": 41}', 'another day');
SELECT is(pg_temp.correct(:c, 41, '2031-01-30', 'moved'),
    'f refused IDEMPOTENCY_MISMATCH RU-1 day 41 best 41 2031-01-31 {"now": "2031-01-30", "field": "last_claim_on", "first": "2031-01-31"}', 'another date');
SELECT is((SELECT row(r.gold_delta, r.xp_delta, r.streak_day, r.best, r.claim_date, r.timezone, r.streak_before, r.source, r.external_event_id, r.actor, r.reason)::text
           FROM economy.reward_audit r WHERE user_id = :c AND seq = 1),
    '(0,0,41,41,2031-01-31,UTC,,economy:set_streak,moved,"an actor","a reason")', 'the entry');
SELECT is(pg_temp.claim(:c, '2031-02-01 12:00+00'), 'CONTINUE CLAIMED 2031-02-01 day 42 9200 RU-2', 'it goes on');
SELECT is((SELECT replace(r.detail::text || r.code, :'c', 'U') FROM economy.revoke_reward(:c, 'R' || :c || '-1', 'r', 'a') r), '{"is": "set_streak"}REWARD_NOT_FOUND', 'a correction is no reward');

-- put back first and taken back after that: the date is free all the same
SELECT economy.register('pgtap ahead and put back') AS b \gset
SELECT is(pg_temp.claim(:b, '2031-01-01 12:00+00'), 'START CLAIMED 2031-01-01 day 1 1000 RU-1', 'day 1');
SELECT is(pg_temp.claim(:b, '2032-01-02 12:00+00'), 'DORMANT CLAIMED 2032-01-02 day 1 1000 RU-2', 'a year ahead');
SELECT is(pg_temp.correct(:b, 1, '2031-01-01'), 't new OK RU-3 day 1 best 1 2031-01-01', 'put back');
SELECT is(pg_temp.claim(:b, '2032-01-02 13:00+00'), 'ALREADY_CLAIMED ALREADY_CLAIMED 2032-01-02 day 1 1000 RU-2', 'the date is paid');
SELECT is((SELECT concat_ws(' ', next_outcome, streak_day) FROM economy.streak_state(:b)), 'ALREADY_CLAIMED 0', 'and no streak goes on there');
SELECT is(pg_temp.revoke(:b, 2, 999, 50, '1'), 'new OK RU-4 -999 -50', 'nearly all of it');
SELECT is(pg_temp.claim(:b, '2032-01-02 13:00+00'), 'ALREADY_CLAIMED ALREADY_CLAIMED 2032-01-02 day 1 1000 RU-2', 'is not enough');
SELECT is(pg_temp.revoke(:b, 2), 'new OK RU-5 -1 0', 'all of it');
SELECT is(pg_temp.streak(:b), 'day 1 best 1 2031-01-01 - - 2032-01-02 3 UTC', 'leaves the streak where it was put');
SELECT is(pg_temp.claim(:b, '2031-01-02 12:00+00'), 'CONTINUE CLAIMED 2031-01-02 day 2 1200 RU-6', 'it goes on');
SELECT is(pg_temp.claim(:b, '2032-01-02 13:00+00'), 'DORMANT CLAIMED 2032-01-02 day 1 1000 RU-7', 'and the date is there for it');

SELECT economy.register('pgtap put back, with XP left') AS x_left \gset
SELECT is(pg_temp.claim(:x_left, '2032-01-02 12:00+00'), 'START CLAIMED 2032-01-02 day 1 1000 RU-1', 'a claim');
SELECT is(pg_temp.correct(:x_left, 1, '2031-01-01'), 't new OK RU-2 day 1 best 1 2031-01-01', 'put back');
SELECT is(pg_temp.revoke(:x_left, 1, 1000, 49, '1'), 'new OK RU-3 -1000 -49', 'all of its gold, and not all of its XP');
SELECT is(pg_temp.claim(:x_left, '2032-01-02 13:00+00'), 'ALREADY_CLAIMED ALREADY_CLAIMED 2032-01-02 day 1 1000 RU-1', 'the date stays paid');

-- a date that was given back in debt is free, whatever of the debt was collected since
SELECT economy.register('pgtap in debt') AS debtor \gset
SELECT is(pg_temp.claim(:debtor, '2031-01-01 12:00+00'), 'START CLAIMED 2031-01-01 day 1 1000 RU-1', 'a claim');
SELECT code AS x FROM economy.adjust_gold(:debtor, -900, 'spent', 'r', 'a') \gset
SELECT is(pg_temp.revoke(:debtor, 1, NULL, NULL, 'a'), 'new OK RU-3 -100 -50', 'taken back as far as it goes');
SELECT code AS x FROM economy.adjust_gold(:debtor, 5, 'earned', 'r', 'a') \gset
SELECT is(pg_temp.revoke(:debtor, 1, 5, 0, 'b'), 'new OK RU-5 -5 0', 'and a little later');
SELECT is(pg_temp.claim(:debtor, '2031-01-01 13:00+00'), 'START CLAIMED 2031-01-01 day 1 1000 RU-6', 'the date is free');

-- an excuse and a grace: what comes back with a claim, and what a correction takes away
SELECT economy.register('pgtap excused') AS e \gset
SELECT is(pg_temp.claim(:e, '2031-01-01 12:00+00'), 'START CLAIMED 2031-01-01 day 1 1000 RU-1', 'day 1');
SELECT is(pg_temp.claim(:e, '2031-01-03 23:00+00'), 'GRACE CLAIMED 2031-01-03 day 2 1200 RU-2', 'a grace');
SELECT economy.set_timezone(:e, 'Asia/Tokyo') AS x \gset
SELECT is(pg_temp.claim(:e, '2031-01-04 23:00+00'), 'CONTINUE CLAIMED 2031-01-04 day 3 1400 RU-4', 'a move');
SELECT is(pg_temp.streak(:e), 'day 3 best 3 2031-01-04 2031-01-02 2031-01-05 2031-01-04 4 Asia/Tokyo', 'with an excuse');
SELECT is(pg_temp.claim(:e, '2031-01-05 23:00+00'), 'CONTINUE CLAIMED 2031-01-06 day 4 1600 RU-5', 'the next');
SELECT is(pg_temp.revoke(:e, 5), 'new OK RU-6 -1600 -125', 'taken back');
SELECT is(pg_temp.streak(:e), 'day 3 best 3 2031-01-04 2031-01-02 2031-01-05 2031-01-06 4 Asia/Tokyo', 'the excuse is there again');
SELECT economy.set_timezone(:e, 'Europe/Berlin') AS x \gset
SELECT is(pg_temp.correct(:e, 2, '2031-01-03'), 't new OK RU-8 day 2 best 3 2031-01-03', 'put behind the grace');
SELECT is(pg_temp.streak(:e), 'day 2 best 3 2031-01-03 2031-01-02 - 2031-01-06 8 Europe/Berlin', 'no excuse, the grace, and the zone of now');
SELECT is(pg_temp.correct(:e, 2, '2031-01-02'), 't new OK RU-9 day 2 best 3 2031-01-02', 'put on the day of the grace');
SELECT is(pg_temp.streak(:e), 'day 2 best 3 2031-01-02 - - 2031-01-06 9 Europe/Berlin', 'the grace is gone');
-- the date of now is that of the zone which the user has, also while the move there is pending
SELECT economy.register('pgtap moved east', 'America/New_York') AS east \gset
SELECT is(pg_temp.claim(:east, '2031-01-05 23:00+00'), 'START CLAIMED 2031-01-05 day 1 1000 RU-1', 'a claim in the west');
SELECT economy.set_timezone(:east, 'Asia/Tokyo') AS x \gset
SELECT throws_ok(format('SELECT economy.set_streak(%s, 5, ''2031-01-07'', ''r'', ''a'')', :east), 'XE002', 'last_claim_on must not be after the date of now', 'tomorrow in the east');
SELECT is(pg_temp.correct(:east, 5, '2031-01-06'), 't new OK RU-3 day 5 best 5 2031-01-06', 'today in the east, which is tomorrow in the west');

-- backwards: paid dates stay paid, and are no miss
SET LOCAL economy.test_clock = '2031-02-01 12:00+00';
SELECT is(pg_temp.claim(:c, '2031-02-02 12:00+00'), 'CONTINUE CLAIMED 2031-02-02 day 43 9400 RU-3', 'another');
SELECT is(pg_temp.correct(:c, 5, '2031-01-31'), 't new OK RU-4 day 5 best 43 2031-01-31', 'put back, without a key');
SELECT is(pg_temp.claim(:c, '2031-02-02 12:00+00'), 'ALREADY_CLAIMED ALREADY_CLAIMED 2031-02-02 day 43 9400 RU-3', 'what was paid is not paid again');
SELECT is((SELECT concat_ws(' ', next_outcome, streak_day, next_claim_at) FROM economy.streak_state(:c)), 'ALREADY_CLAIMED 5 2031-02-03 00:00:00+00', 'and says when the next is due');
SELECT is((SELECT string_agg(concat_ws(' ', claim_date, outcome, streak_day), ', ') FROM economy.streak_preview(:c, 2)), '2031-02-03 CONTINUE 6, 2031-02-04 CONTINUE 7', 'the preview knows it');
SELECT is(pg_temp.claim(:c, '2031-02-03 12:00+00'), 'CONTINUE CLAIMED 2031-02-03 day 6 2000 RU-5', 'dates that were paid are not missed');
SELECT is(pg_temp.correct(:c, 6, '2031-02-03'), 't new OK RU-6 day 6 best 43 2031-02-03', 'to what it is');
SELECT is(pg_temp.correct(:c, 0, NULL, 'none'), 't new OK RU-7 day 0 best 43', 'to nothing');
SELECT is(pg_temp.correct(:c, 0, NULL, 'none'), 't reuse OK RU-7 day 0 best 43', 'once');
SELECT is(pg_temp.correct(:c, 1, '2031-02-03', 'none'),
    'f refused IDEMPOTENCY_MISMATCH RU-7 day 0 best 43 {"now": 1, "field": "day", "first": 0}', 'not with another day');
SELECT is(pg_temp.claim(:c, '2031-02-03 13:00+00'), 'ALREADY_CLAIMED ALREADY_CLAIMED 2031-02-03 day 6 2000 RU-5', 'paid is paid');
SELECT is(pg_temp.claim(:c, '2031-02-04 12:00+00'), 'START CLAIMED 2031-02-04 day 1 1000 RU-8', 'a start');
SELECT is(pg_temp.correct(:c, 2147483647, '2031-02-04'), 't new OK RU-9 day 2147483647 best 2147483647 2031-02-04', 'the longest streak there is');
SET LOCAL economy.streak_cap = 'hold';
SELECT is(pg_temp.claim(:c, '2031-02-05 12:00+00'), 'CONTINUE CLAIMED 2031-02-05 day 2147483647 2200 RU-10', 'stays');
RESET economy.streak_cap;

-- a paid date between those that are to come is none of them, and no miss
SELECT economy.register('pgtap paid between') AS between \gset
SELECT is(pg_temp.claim(:between, '2031-01-01 12:00+00'), 'START CLAIMED 2031-01-01 day 1 1000 RU-1', 'day 1');
SELECT is(pg_temp.claim(:between, '2031-01-03 12:00+00'), 'GRACE CLAIMED 2031-01-03 day 2 1200 RU-2', 'and the third');
SELECT is(pg_temp.correct(:between, 1, '2031-01-01'), 't new OK RU-3 day 1 best 2 2031-01-01', 'put back');
SET LOCAL economy.test_clock = '2031-01-02 12:00+00';
SELECT is((SELECT string_agg(concat_ws(' ', claim_date, outcome, streak_day), ', ') FROM economy.streak_preview(:between, 2)), '2031-01-02 CONTINUE 2, 2031-01-04 CONTINUE 3', 'the preview passes over it');
SET LOCAL economy.test_clock = '2031-02-05 12:00+00';

SELECT is((SELECT code FROM economy.set_streak(-3, 1, '2031-01-01', 'r', 'a')), 'USER_NOT_FOUND', 'nobody');
SELECT economy.set_user_status(:c, 'suspended', 'pgtap') AS x \gset
SELECT is(pg_temp.correct(:c, 3, '2031-02-05', 's'), 't new OK RU-12 day 3 best 2147483647 2031-02-05', 'a suspended user as well');
SAVEPOINT s;
SELECT is(pg_temp.correct(:c, 4, '2031-02-05', 's2'), 't new OK RU-13 day 4 best 2147483647 2031-02-05', 'once more');
ROLLBACK TO SAVEPOINT s;
SELECT is(pg_temp.streak(:c), 'day 3 best 2147483647 2031-02-05 - - 2031-02-05 12 UTC', 'rolled back');
SELECT throws_ok(replace(call, 'USER', :'c'), code, message, call)
FROM (VALUES
    ($$SELECT economy.set_streak(NULL, 1, '2031-01-01', 'r', 'a')$$,             'XE001', 'user_id must not be null'),
    ($$SELECT economy.set_streak(USER, NULL, '2031-01-01', 'r', 'a')$$,          'XE001', 'day must not be null'),
    ($$SELECT economy.set_streak(USER, 1, NULL, 'r', 'a')$$,                     'XE001', 'last_claim_on must not be null'),
    ($$SELECT economy.set_streak(USER, 1, '2031-01-01', NULL, 'a')$$,            'XE001', 'reason must not be null'),
    ($$SELECT economy.set_streak(USER, 1, '2031-01-01', 'r', NULL)$$,            'XE001', 'actor must not be null'),
    ($$SELECT economy.set_streak(USER, -1, '2031-01-01', 'r', 'a')$$,            'XE002', 'day must be 0 or more'),
    ($$SELECT economy.set_streak(USER, 0, '2031-01-01', 'r', 'a')$$,             'XE002', 'last_claim_on must be null with day 0'),
    ($$SELECT economy.set_streak(USER, 1, 'infinity', 'r', 'a')$$,               'XE002', 'last_claim_on must be finite'),
    ($$SELECT economy.set_streak(USER, 1, '-infinity', 'r', 'a')$$,              'XE002', 'last_claim_on must be finite'),
    ($$SELECT economy.set_streak(USER, 1, '2031-02-06', 'r', 'a')$$,             'XE002', 'last_claim_on must not be after the date of now'),
    ($$SELECT economy.set_streak(USER, 1, '2031-01-01', '', 'a')$$,              'XE002', 'reason must not be empty'),
    ($$SELECT economy.set_streak(USER, 1, '2031-01-01', 'r', '')$$,              'XE002', 'actor must not be empty'),
    ($$SELECT economy.set_streak(USER, 1, '2031-01-01', 'r', 'a', '')$$,         'XE002', 'idempotency_key must not be empty'),
    ($$SELECT economy.set_streak(USER, 1, '2031-01-01', 'r', 'a', repeat('k', 256))$$, 'XE003', 'idempotency_key is too long'),
    ($$SELECT economy.set_streak(USER, 1, '2031-01-01', repeat('r', 1001), 'a')$$, 'XE003', 'reason is too long'),
    ($$SELECT economy.set_streak(USER, 1, '2031-01-01', 'r', repeat('a', 256))$$, 'XE003', 'actor is too long')
) v (call, code, message);
SELECT is(pg_temp.streak(:c), 'day 3 best 2147483647 2031-02-05 - - 2031-02-05 12 UTC', 'none of them changed it');

SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s)', a.user_id), 'a chain') FROM economy.accounts a WHERE a.user_id >= :u;
SELECT is_empty(format('SELECT * FROM economy_internal.audit_rewards() WHERE user_id >= %s', :u), 'the audit follows all of it');

-- and each column of a streak that is wrong is found
ALTER TABLE economy.reward_audit DISABLE TRIGGER ALL;
CREATE FUNCTION pg_temp.found(damage text, id bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    BEGIN
        EXECUTE replace(damage, 'USER', id::text);
        SELECT string_agg(DISTINCT f.kind || coalesce(' ' || f.seq, ''), ', ') INTO answer FROM economy_internal.audit_rewards() f WHERE f.user_id = id;
        RAISE EXCEPTION USING ERRCODE = 'ZZ000';
    EXCEPTION WHEN SQLSTATE 'ZZ000' THEN
        RETURN answer;
    END;
END $$;
SELECT is(pg_temp.found(damage, :f), finding, damage)
FROM (VALUES
    ('UPDATE economy.streaks SET best = best + 1 WHERE user_id = USER',                       'parity 8'),
    ('UPDATE economy.streaks SET last_grace_on = ''2031-01-01'' WHERE user_id = USER',        'parity 8'),
    ('UPDATE economy.streaks SET excused_to = ''2031-01-08'' WHERE user_id = USER',           'parity 8'),
    ('UPDATE economy.streaks SET paid_to = ''2031-01-02'' WHERE user_id = USER',              'parity 8'),
    ('UPDATE economy.streaks SET timezone = ''UTC'' WHERE user_id = USER',                    'parity 8'),
    ('UPDATE economy.streaks SET last_seq = 7 WHERE user_id = USER',                          'parity 8'),
    ('UPDATE economy.reward_audit SET best = 9 WHERE user_id = USER AND seq = 3',             'wrong_streak 3, wrong_streak 5, wrong_streak 6'),
    ('UPDATE economy.reward_audit SET last_grace_on = NULL WHERE user_id = USER AND seq = 3', 'wrong_streak 3, wrong_streak 5, wrong_streak 6'),
    ('UPDATE economy.reward_audit SET excused_to = ''2031-01-09'' WHERE user_id = USER AND seq = 5', 'wrong_streak 5'),
    ('UPDATE economy.reward_audit SET streak_before = 2 WHERE user_id = USER AND seq = 5',    'wrong_streak 5, wrong_streak 6'),
    ('UPDATE economy.reward_audit SET streak_day = 1 WHERE user_id = USER AND seq = 6',       'wrong_streak 6'),
    ('UPDATE economy.reward_audit SET freezes_used = -1 WHERE user_id = USER AND seq = 6',    'wrong_balance, wrong_streak 6'),
    ('UPDATE economy.reward_audit SET reverses = 3 WHERE user_id = USER AND seq = 6',         'wrong_reward 7, wrong_streak 6')
) v (damage, finding);
-- a correction is no reward, with a key or without
SELECT economy.register('pgtap no reward') AS no_reward \gset
SELECT is(left(pg_temp.correct(:no_reward, 2, '2030-12-01'), 8) || left(pg_temp.correct(:no_reward, 3, '2030-12-02', 'k'), 8), 't new OKt new OK', 'two corrections');
SELECT is(pg_temp.revoke(:no_reward, 1) || ', ' || pg_temp.revoke(:no_reward, 2, 0, 0, 'k'), 'refused REWARD_NOT_FOUND, refused REWARD_NOT_FOUND', 'neither can be taken back');
SELECT * FROM finish();
ROLLBACK;
