-- Changing zones gains nothing: a player who moves at every hour of 30 days
-- has at most 32 claims, and no date twice. (The TAP tests try more zones.)
BEGIN;
SELECT no_plan();
SET LOCAL datestyle = 'ISO, MDY';

CREATE TEMP TABLE zones (zone text, ahead integer);
INSERT INTO zones VALUES ('Pacific/Kiritimati', 4), ('Asia/Kathmandu', 3), ('Africa/Casablanca', 2), ('America/New_York', 1), ('Pacific/Pago_Pago', 0);
-- At every hour, in the given order of the zones: move there, and claim if it is a claim.
CREATE FUNCTION pg_temp.attack(first timestamptz, day_offset text, tactic text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    id    bigint := economy.register(NULL, CASE WHEN tactic = 'rising' THEN 'Pacific/Pago_Pago' ELSE 'Pacific/Kiritimati' END);
    z     text;
    n     integer := 0;
BEGIN
    PERFORM set_config('economy.streak_day_offset', day_offset, true);
    FOR hour IN 0 .. 30 * 24 - 1 LOOP
        PERFORM set_config('economy.test_clock', to_char((first + make_interval(hours => hour)) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00'), true);
        FOR z IN SELECT zone FROM zones ORDER BY CASE tactic WHEN 'rising' THEN ahead WHEN 'falling' THEN -ahead
                                                      ELSE hashtext(zone || hour) END LOOP
            PERFORM economy.set_timezone(id, z);
            IF (SELECT c.state FROM economy.claim_daily_reward(id) c) = 'new' THEN n := n + 1; END IF;
        END LOOP;
    END LOOP;
    IF (SELECT count(DISTINCT claim_date) FROM economy.reward_audit r WHERE r.user_id = id) <> n
       OR EXISTS (SELECT FROM economy_internal.audit_rewards() f WHERE f.user_id = id) THEN
        RETURN -1;
    END IF;
    RETURN n;
END $$;
SELECT ok(n BETWEEN 30 AND 32, format('%s from %s, offset %s: %s claims in 30 days', tactic, first, day_offset, n))
FROM (VALUES (timestamptz '2026-03-01 00:00+00', '0', 'rising'), ('2026-10-20 12:30+00', '0', 'falling'),
             ('2026-10-20 10:00+00', '5', 'any')) v (first, day_offset, tactic),
    LATERAL pg_temp.attack(first, day_offset, tactic) n;
SET LOCAL economy.streak_day_offset = 0;

-- the tactic that gains most: begin where the date is youngest, end where it is oldest
SELECT economy.register(NULL, 'Etc/GMT+12') AS u \gset
CREATE FUNCTION pg_temp.claim(id bigint, at text, zone text DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('economy.test_clock', at, true);
    IF zone IS NOT NULL THEN PERFORM economy.set_timezone(id, zone); END IF;
    RETURN (SELECT concat_ws(' ', c.code, c.streak_day, c.claim_date) FROM economy.claim_daily_reward(id) c);
END $$;
SELECT is(pg_temp.claim(:u, '2026-06-02 11:00+00'), 'CLAIMED 1 2026-06-01', 'June 1 at the west end');
SELECT is(pg_temp.claim(:u, '2026-06-02 11:00+00', 'Pacific/Kiritimati'), 'ALREADY_CLAIMED 1 2026-06-01', 'a move east does not give June 2 at once');
SELECT is((SELECT timezone FROM economy.streaks WHERE user_id = :u), 'Etc/GMT+12', 'a repeat commits no zone');
SELECT is(pg_temp.claim(:u, '2026-06-02 12:00+00'), 'CLAIMED 2 2026-06-02', 'at the old zone''s midnight');
SELECT is((SELECT timezone FROM economy.streaks WHERE user_id = :u), 'Pacific/Kiritimati', 'the claim commits the zone');
SELECT is(pg_temp.claim(:u, '2026-06-02 12:00+00'), 'CLAIMED 3 2026-06-03', 'where it is June 3 already');
SELECT is(pg_temp.claim(:u, '2026-06-02 12:00+00', 'Etc/GMT+12'), 'ALREADY_CLAIMED 3 2026-06-03', 'a move back');
SELECT is(pg_temp.claim(:u, '2026-06-02 12:00+00', 'Pacific/Kiritimati'), 'ALREADY_CLAIMED 3 2026-06-03', 'and forth');
SELECT is(pg_temp.claim(:u, '2026-06-04 11:59:59+00', 'Etc/GMT+12'), 'ALREADY_CLAIMED 3 2026-06-03', 'back for good: June 3 lasts until it ends there');
SELECT is(pg_temp.claim(:u, '2026-06-04 12:00:00+00'), 'CLAIMED 4 2026-06-04', 'nothing was gained');
-- a change taken back before a claim was never pending
SELECT is(pg_temp.claim(:u, '2026-06-05 12:00:00+00', 'Asia/Tokyo') || ' ' || economy.set_timezone(:u, 'Etc/GMT+12'), 'CLAIMED 5 2026-06-05 Etc/GMT+12', 'Tokyo pending');
-- while a change of zone is pending the next date begins by both clocks, one of which is set back over midnight
CREATE FUNCTION pg_temp.due(at text, zone text, moves_to text, day_offset text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    id bigint := economy.register(NULL, zone);
BEGIN
    PERFORM set_config('economy.test_clock', at, true), set_config('economy.streak_day_offset', day_offset, true);
    PERFORM economy.claim_daily_reward(id), economy.set_timezone(id, moves_to);
    RETURN (SELECT s.next_outcome || to_char(s.next_claim_at AT TIME ZONE 'UTC', ' YYYY-MM-DD HH24:MI:SS') FROM economy.streak_state(id) s);
END $$;
SELECT is(pg_temp.due(at, zone, moves_to, day_offset), 'ALREADY_CLAIMED ' || due, format('%s to %s, offset %s', zone, moves_to, day_offset))
FROM (VALUES ('2010-11-06 12:00+00', 'America/St_Johns', 'Asia/Tokyo', '0', '2010-11-07 02:30:00'), ('2010-11-06 12:00+00', 'Asia/Tokyo', 'America/St_Johns', '0', '2010-11-07 02:30:00'),
             ('2010-11-06 12:00+00', 'America/St_Johns', 'Asia/Tokyo', '1', '2010-11-07 03:30:00'), ('2010-11-06 12:00+00', 'Asia/Tokyo', 'America/St_Johns', '1', '2010-11-07 03:30:00')) v (at, zone, moves_to, day_offset, due);
SET LOCAL economy.streak_day_offset = 0;

-- a move across the date line, to where the date that may be claimed does not exist
SELECT economy.register(NULL, 'Pacific/Pago_Pago') AS u \gset
SELECT is(pg_temp.claim(:u, '2011-12-29 21:00+00'), 'CLAIMED 1 2011-12-29', 'December 29 in Pago Pago');
SET LOCAL economy.test_clock = '2011-12-30 21:00+00';
SELECT economy.set_timezone(:u, 'Pacific/Apia');
SELECT results_eq(format('SELECT claim_date, outcome, streak_day FROM economy.streak_preview(%s, 2)', :u),
                  $$VALUES (date '2011-12-30', 'CONTINUE', 2), ('2011-12-31', 'CONTINUE', 3)$$, 'the preview begins with what a claim now is');
SELECT is(pg_temp.claim(:u, '2011-12-30 21:00+00'), 'CLAIMED 2 2011-12-30', 'which it is');

-- the only claim is taken back while a change of the zone waits for the next one: then none waits
SET LOCAL economy.test_clock = '2031-03-01 12:00+00';
SELECT economy.register(NULL, 'UTC') AS u \gset
SELECT is((SELECT code FROM economy.claim_daily_reward(:u)), 'CLAIMED', 'a claim');
SELECT economy.set_timezone(:u, 'Asia/Tokyo');
SELECT is((SELECT code FROM economy.revoke_reward(:u, (SELECT 'R' || :u || '-' || max(seq) FROM economy.reward_audit WHERE user_id = :u), 'r', 'a')), 'OK', 'that is taken back');
SELECT is((SELECT concat_ws(' ', s.streak_day, s.timezone, r.timezone) FROM economy.streaks s JOIN economy.reward_audit r USING (user_id) WHERE user_id = :u AND r.reverses IS NOT NULL), '0 Asia/Tokyo Asia/Tokyo', 'the zone is the new one');
SELECT * FROM finish();
ROLLBACK;
