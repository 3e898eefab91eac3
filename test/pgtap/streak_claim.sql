-- economy.claim_daily_reward(): the day, the amounts, what repeats, what the
-- readers foresee. The clock is the test clock, so no answer depends on today.
BEGIN;
SELECT no_plan();

CREATE FUNCTION pg_temp.clock(at text) RETURNS text LANGUAGE sql AS
    $$ SELECT left(set_config('economy.test_clock', at, true), 0) $$;
-- a claim in one line
CREATE FUNCTION pg_temp.claim(id bigint, at text DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF at IS NOT NULL THEN PERFORM pg_temp.clock(at); END IF;
    RETURN (SELECT concat_ws(' ', c.state, c.code, 'day', c.streak_day, 'for', c.claim_date, CASE WHEN c.grace_used THEN 'grace' END,
                             CASE WHEN c.freezes_used > 0 THEN 'freezes ' || c.freezes_used END, c.gold_delta, c.xp_delta)
            FROM economy.claim_daily_reward(id) c);
END $$;
CREATE FUNCTION pg_temp.state(id bigint, at text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_temp.clock(at);
    RETURN (SELECT concat_ws(' ', s.streak_day, 'best', s.best, 'last', coalesce(s.last_claim_on::text, '-'), s.next_outcome,
                             'freezes', s.freezes, 'account', a.streak_day, coalesce(a.last_claim_on::text, '-'))
            FROM economy.streak_state(id) s, economy.account(id) a);
END $$;
SET LOCAL timezone = 'UTC';
SET LOCAL datestyle = 'ISO, MDY';

-- the formula
SELECT results_eq('SELECT gold, xp FROM generate_series(1, 8) d, economy.streak_reward(d)',
    'SELECT 1000::bigint + 200 * (d - 1), 50::bigint + 25 * (d - 1) FROM generate_series(1, 8) d', 'day d pays 1000 + 200 (d - 1) and 50 + 25 (d - 1)');
SELECT is(economy.streak_reward(2147483647)::text, '(429496730200,53687091200,)', 'the last day there is');
SELECT throws_ok(format('SELECT economy.streak_reward(%s)', d), code, message, 'streak_reward of ' || d)
FROM (VALUES ('0', 'XE002', 'day must be 1 or more'), ('-1', 'XE002', 'day must be 1 or more'), ('-2147483648', 'XE002', 'day must be 1 or more'),
             ('NULL', 'XE001', 'day must not be null')) v (d, code, message);

-- one history
SELECT economy.register('pgtap daily', 'Europe/Berlin') AS u \gset
SELECT is(pg_temp.state(:u, '2031-01-01 09:00+00'), '0 best 0 last - START freezes 0 account 0 -', 'before the first claim');
SELECT is(pg_temp.claim(:u), 'new CLAIMED day 1 for 2031-01-01 1000 50', 'the first claim');
SELECT is(pg_temp.claim(:u), 'reuse ALREADY_CLAIMED day 1 for 2031-01-01 1000 50', 'a second on the day');
SELECT is(pg_temp.claim(:u, '2031-01-01 22:59:59+00'), 'reuse ALREADY_CLAIMED day 1 for 2031-01-01 1000 50', 'to the last second of the local day');
SELECT is(pg_temp.claim(:u, '2031-01-01 23:00:00+00'), 'new CLAIMED day 2 for 2031-01-02 1200 75', 'midnight in Berlin');
SELECT is(pg_temp.claim(:u, '2031-01-01 10:00:00+00'), 'reuse ALREADY_CLAIMED day 2 for 2031-01-02 1200 75', 'a clock set back claims nothing');
SELECT is(pg_temp.claim(:u, '1999-01-01 10:00:00+00'), 'reuse ALREADY_CLAIMED day 2 for 2031-01-02 1200 75', 'however far');
SELECT is(pg_temp.state(:u, '2031-01-03 12:00+00'), '2 best 2 last 2031-01-02 CONTINUE freezes 0 account 2 2031-01-02', 'the next day');
SELECT is(pg_temp.state(:u, '2031-01-04 12:00+00'), '2 best 2 last 2031-01-02 GRACE freezes 0 account 2 2031-01-02', 'a day later it hangs on the grace');
SELECT is(pg_temp.state(:u, '2031-01-05 12:00+00'), '0 best 2 last 2031-01-02 RESET freezes 0 account 0 2031-01-02', 'then it is broken, without any job');
SELECT is(pg_temp.state(:u, '2031-01-31 12:00+00'), '0 best 2 last 2031-01-02 RESET freezes 0 account 0 2031-01-02', '29 days after the last claim');
SELECT is(pg_temp.state(:u, '2031-02-01 12:00+00'), '0 best 2 last 2031-01-02 DORMANT freezes 0 account 0 2031-01-02', '30 days after');
SELECT is(pg_temp.claim(:u, '2031-01-04 12:00+00'), 'new CLAIMED day 3 for 2031-01-04 grace 1400 100', 'grace for the 3rd');
SELECT is(pg_temp.claim(:u), 'reuse ALREADY_CLAIMED day 3 for 2031-01-04 grace 1400 100', 'the stored result says so again');
SELECT is(pg_temp.claim(:u, '2031-01-06 12:00+00'), 'new CLAIMED day 1 for 2031-01-06 1000 50', 'no second grace for the 5th');
SELECT is(pg_temp.state(:u, '2031-01-06 13:00+00'), '1 best 3 last 2031-01-06 ALREADY_CLAIMED freezes 0 account 1 2031-01-06', 'best remembers');
SELECT is((SELECT row(s.streak_day, s.best, s.last_claim_on, s.last_grace_on, s.timezone)::text || (s.last_seq = a.seq)
           FROM economy.streaks s JOIN economy.accounts a USING (user_id) WHERE s.user_id = :u),
    '(1,3,2031-01-06,2031-01-03,Europe/Berlin)true', 'the row of the streak');
SELECT results_eq(format('SELECT streak_day, reward_day, claim_date, grace_used, freezes_used, source, external_event_id, reverses
                          FROM economy.reward_audit WHERE user_id = %s ORDER BY seq', :u),
    $$VALUES (1, 1, date '2031-01-01', false, 0, 'economy:daily_streak' COLLATE "C", '2031-01-01' COLLATE "C", NULL::bigint),
             (2, 2, '2031-01-02', false, 0, 'economy:daily_streak', '2031-01-02', NULL), (3, 3, '2031-01-04', true, 0, 'economy:daily_streak', '2031-01-04', NULL),
             (1, 1, '2031-01-06', false, 0, 'economy:daily_streak', '2031-01-06', NULL)$$, 'the rewards of the claims');

-- the whole answer of a claim and of its repeat
SELECT economy.register('pgtap answer') AS ans \gset
SELECT is(economy.grant_reward(:ans, 's', 'e', 7, 460) IS NULL, false, 'XP just below a level');
SELECT pg_temp.clock('2031-01-01 09:00+00') AS x \gset
SELECT row_eq(format('SELECT * FROM economy.claim_daily_reward(%s)', :ans),
    ROW(true, 'new', 'CLAIMED', 'R' || :ans || '-2', 1, '2031-01-01', false, 0, 1000, 50, 1007, 510, 2, true, '2031-01-02 00:00+00', NULL, NULL)::economy.claim_result,
    'everything that a claim answers');
SELECT is(economy.grant_reward(:ans, 's', 'e2', 1, 1000) IS NULL, false, 'more XP meanwhile');
SELECT row_eq(format('SELECT * FROM economy.claim_daily_reward(%s)', :ans),
    ROW(true, 'reuse', 'ALREADY_CLAIMED', 'R' || :ans || '-2', 1, '2031-01-01', false, 0, 1000, 50, 1007, 510, 2, true, '2031-01-02 00:00+00', NULL, NULL)::economy.claim_result,
    'the repeat answers the same, with the balances and level of then');
SELECT is((SELECT concat_ws(' ', c.success, c.state, c.code, c.transaction_id, c.streak_day, c.gold, c.next_claim_at) FROM economy.claim_daily_reward(-7) c),
    'f refused USER_NOT_FOUND', 'nobody claims');
SELECT throws_ok('SELECT economy.claim_daily_reward(NULL)', 'XE001', 'user_id must not be null', 'a claim of null');
SELECT throws_ok('SELECT economy.streak_state(NULL)', 'XE001', 'user_id must not be null', 'the state of null');
SELECT throws_ok('SELECT economy.streak_preview(NULL)', 'XE001', 'user_id must not be null', 'the preview of null');
SELECT throws_ok(format('SELECT economy.streak_preview(%s, NULL)', :u), 'XE001', 'days must not be null', 'a preview of null days');
SELECT throws_ok(format('SELECT economy.streak_preview(%s, %s)', :u, d), 'XE002', 'days must be from 1 to 366', 'a preview of days ' || d)
FROM (VALUES (0), (-1), (367), (2147483647)) v (d);
SELECT is_empty('SELECT * FROM economy.streak_preview(-7)', 'nobody''s preview');
SELECT is((SELECT s IS NULL FROM economy.streak_state(-7) s), true, 'nobody''s state');
SELECT is((SELECT count(*) FROM economy.streak_preview(:u)), 7::bigint, 'seven days unless said');
SELECT is((SELECT count(*) FROM economy.streak_preview(:u, 366)), 366::bigint, 'up to 366');

-- the date's text in the journal does not follow the session's DateStyle
SELECT economy.register('pgtap style') AS sty \gset
SET LOCAL datestyle = 'Postgres, MDY';
SELECT is((SELECT code FROM economy.claim_daily_reward(:sty), LATERAL (SELECT pg_temp.clock('2031-01-01 12:00+00')) c), 'CLAIMED', 'a claim under one DateStyle');
SELECT pg_temp.clock('2031-01-02 12:00:00+00') AS x \gset
SELECT is((SELECT code FROM economy.claim_daily_reward(:sty)), 'CLAIMED', 'on January 2');
SET LOCAL datestyle = 'Postgres, DMY';
SELECT pg_temp.clock('2031-02-01 12:00:00+00') AS x \gset
SELECT lives_ok(format('SELECT economy.claim_daily_reward(%s)', :sty), 'on February 1 under another');
SET LOCAL datestyle = 'ISO, MDY';
SELECT results_eq(format('SELECT external_event_id FROM economy.reward_audit WHERE user_id = %s AND claim_date > ''2031-01-01'' ORDER BY seq', :sty),
    $$VALUES ('2031-01-02' COLLATE "C"), ('2031-02-01')$$, 'the event of a claim is its date, whatever DateStyle');

-- next_claim_at: one second before it is too early, at it is not
CREATE TEMP TABLE edges (zone text, at timestamptz, why text);
INSERT INTO edges VALUES
    ('UTC',                 '2031-05-05 12:00+00',       'a plain day'),
    ('UTC',                 '2031-05-05 23:59:59+00',    'the last second'),
    ('UTC',                 '2031-05-05 23:59:59.999999+00', 'the last microsecond'),
    ('UTC',                 '2031-05-05 00:00:00+00',    'the first second'),
    ('America/New_York',    '2026-03-08 06:30+00',       'a day of 23 hours'),
    ('America/New_York',    '2026-03-07 23:00+00',       'the day before it'),
    ('America/New_York',    '2026-11-01 05:30+00',       'a day of 25 hours'),
    ('America/Santiago',    '2026-09-05 16:00+00',       'midnight that does not exist'),
    ('America/Havana',      '2026-03-07 16:00+00',       'midnight that does not exist'),
    ('America/Havana',      '2026-11-01 03:30+00',       'midnight before a night of 25 hours'),
    ('Africa/Cairo',        '2026-04-23 12:00+00',       'midnight that does not exist'),
    ('America/Sao_Paulo',   '2018-11-03 12:00+00',       'midnight that does not exist'),
    ('America/Sao_Paulo',   '2018-02-17 12:00+00',       'the hour before midnight twice'),
    ('America/St_Johns',    '2010-11-06 12:00+00',       'a clock set back over midnight'),
    ('Asia/Kathmandu',      '2031-05-05 12:00+00',       'a quarter of an hour'),
    ('Pacific/Chatham',     '2026-04-04 12:00+00',       'three quarters and summer time'),
    ('Australia/Lord_Howe', '2026-04-04 12:00+00',       'a day of 24.5 hours'),
    ('Australia/Lord_Howe', '2026-10-03 14:00+00',       'a day of 23.5 hours'),
    ('UTC',                 '1999-12-31 23:59:59.5+00',  'the last second before PostgreSQL''s first'),
    ('Europe/Kaliningrad',  '1999-06-06 11:59:59.5+00',  'before it'),
    ('Antarctica/Troll',    '2026-03-28 22:00+00',       'summer time of two hours'),
    ('Africa/Casablanca',   '2026-02-14 12:00+00',       'summer time that pauses'),
    ('Pacific/Apia',        '2011-12-29 23:00+00',       'a date that does not exist follows'),
    ('Pacific/Kiritimati',  '2031-05-05 12:00+00',       'the east end of the world'),
    ('Etc/GMT+12',          '2031-05-05 12:00+00',       'the west end');
CREATE FUNCTION pg_temp.edge(id bigint, first text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    c   economy.claim_result;
    s   economy.streak_status;
    due timestamptz;
BEGIN
    PERFORM pg_temp.clock(first);
    SELECT * INTO c FROM economy.claim_daily_reward(id);
    due := c.next_claim_at;
    SELECT * INTO c FROM economy.claim_daily_reward(id);
    SELECT * INTO s FROM economy.streak_state(id);
    IF due IS NULL OR c.next_claim_at <> due OR s.next_claim_at <> due OR s.last_claim_on IS DISTINCT FROM c.claim_date THEN RETURN 'answers differ'; END IF;
    IF due <= first::timestamptz OR due > first::timestamptz + interval '49 hours' THEN RETURN 'not soon: ' || due; END IF;
    PERFORM pg_temp.clock((due - interval '1 second')::text);
    SELECT * INTO c FROM economy.claim_daily_reward(id);
    IF c.code <> 'ALREADY_CLAIMED' OR c.next_claim_at <> due THEN RETURN 'one second before: ' || c.code; END IF;
    PERFORM pg_temp.clock((due - interval '1 microsecond')::text);
    SELECT * INTO c FROM economy.claim_daily_reward(id);
    IF c.code <> 'ALREADY_CLAIMED' OR c.next_claim_at <> due THEN RETURN 'one microsecond before: ' || c.code || c.next_claim_at; END IF;
    PERFORM pg_temp.clock(due::text);
    SELECT * INTO s FROM economy.streak_state(id);
    SELECT * INTO c FROM economy.claim_daily_reward(id);
    IF s.next_claim_at <> due THEN RETURN 'the state says ' || s.next_claim_at; END IF;
    RETURN c.code || ' day ' || c.streak_day;
END $$;
SELECT is(pg_temp.edge(economy.register(NULL, zone), at::text), 'CLAIMED day 2', format('next_claim_at in %s: %s', zone, why)) FROM edges;
SET LOCAL economy.streak_day_offset = 5;
SELECT is(pg_temp.edge(economy.register(NULL, zone), at::text), 'CLAIMED day 2', format('and with an offset of 5 hours in %s: %s', zone, why)) FROM edges;
SET LOCAL economy.streak_day_offset = 0;
SELECT is((SELECT string_agg(c.next_claim_at::text, ' ') FROM (SELECT pg_temp.clock('2026-09-05 16:00+00')) x,
    LATERAL economy.claim_daily_reward(economy.register(NULL, 'America/Santiago')) c), '2026-09-06 04:00:00+00', 'a day that begins at one o''clock');

-- to the second, as the calendar says
CREATE FUNCTION pg_temp.due(zone text, at text) RETURNS timestamptz LANGUAGE plpgsql AS $$
DECLARE
    c economy.claim_result;
BEGIN
    PERFORM pg_temp.clock(at);
    SELECT * INTO c FROM economy.claim_daily_reward(economy.register(NULL, zone));
    RETURN c.next_claim_at;
END $$;
SELECT is(pg_temp.due(zone, at), due::timestamptz, format('%s at %s', zone, at))
FROM (VALUES ('America/New_York', '2026-03-08 06:30+00', '2026-03-09 04:00+00'), ('America/New_York', '2026-11-01 05:30+00', '2026-11-02 05:00+00'),
             ('Australia/Lord_Howe', '2026-04-04 13:30+00', '2026-04-05 13:30+00'), ('Australia/Lord_Howe', '2026-10-03 13:30+00', '2026-10-04 13:00+00'),
             ('America/Sao_Paulo', '2018-11-04 02:59:59.9+00', '2018-11-04 03:00+00'), ('America/Sao_Paulo', '2018-11-04 03:00+00', '2018-11-05 02:00+00'),
             ('America/Sao_Paulo', '2018-02-18 01:30+00', '2018-02-18 03:00+00'), ('America/Sao_Paulo', '2018-02-18 02:30+00', '2018-02-18 03:00+00'),
             ('Africa/Cairo', '2026-04-23 21:59:59+00', '2026-04-23 22:00+00'), ('Africa/Cairo', '2026-10-29 20:30+00', '2026-10-29 22:00+00'),
             ('America/St_Johns', '2010-11-06 12:00+00', '2010-11-07 02:30+00'), ('Pacific/Apia', '2011-12-29 23:00+00', '2011-12-30 10:00+00'),
             ('UTC', '1999-12-31 23:59:59.5+00', '2000-01-01 00:00+00'), ('UTC', '1999-06-06 23:59:58.5+00', '1999-06-07 00:00+00')) v (zone, at, due);

-- a claim for the date of the zone that was left, when another has begun in the new one: that one is due now
CREATE FUNCTION pg_temp.at_once(at text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    id bigint := economy.register(NULL, 'America/New_York');
    c  economy.claim_result;
    s  economy.streak_status;
    n  economy.claim_result;
BEGIN
    PERFORM pg_temp.clock('2026-05-31 20:00:00+00');
    PERFORM economy.claim_daily_reward(id);
    PERFORM economy.set_timezone(id, 'Asia/Tokyo');
    PERFORM pg_temp.clock(at);
    SELECT * INTO c FROM economy.claim_daily_reward(id);
    SELECT * INTO s FROM economy.streak_state(id);
    SELECT * INTO n FROM economy.claim_daily_reward(id);
    RETURN concat_ws(' ', c.code, c.claim_date, c.next_claim_at = at::timestamptz, s.next_claim_at = at::timestamptz, n.code, n.claim_date, n.next_claim_at);
END $$;
SELECT is(pg_temp.at_once(at), 'CLAIMED 2026-06-01 t t CLAIMED 2026-06-02 2026-06-02 15:00:00+00', 'two dates at ' || at) FROM unnest(ARRAY['2026-06-02 00:00:00+00', '2026-06-02 00:00:00.25+00']) at;

-- next_claim_at while a zone change is pending
CREATE FUNCTION pg_temp.moved(zone_from text, at text, zone_to text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    id  bigint := economy.register(NULL, zone_from);
    c   economy.claim_result;
    due timestamptz;
    out text;
BEGIN
    PERFORM pg_temp.clock(at);
    PERFORM economy.claim_daily_reward(id);
    PERFORM economy.set_timezone(id, zone_to);
    SELECT * INTO c FROM economy.claim_daily_reward(id);
    due := c.next_claim_at;
    out := c.code || ' until ' || due;
    PERFORM pg_temp.clock((due - interval '1 second')::text);
    SELECT * INTO c FROM economy.claim_daily_reward(id);
    out := out || ', ' || c.code;
    PERFORM pg_temp.clock(due::text);
    SELECT * INTO c FROM economy.claim_daily_reward(id);
    RETURN out || ', ' || c.code || ' for ' || c.claim_date || ' day ' || c.streak_day || ' then ' || c.next_claim_at;
END $$;
SELECT is(pg_temp.moved('America/New_York', '2026-06-02 00:00+00', 'Asia/Tokyo'),
    'ALREADY_CLAIMED until 2026-06-02 04:00:00+00, ALREADY_CLAIMED, CLAIMED for 2026-06-02 day 2 then 2026-06-02 15:00:00+00',
    'east: the old zone''s midnight, then the new one''s');
SELECT is(pg_temp.moved('Asia/Tokyo', '2026-06-02 00:00+00', 'America/New_York'),
    'ALREADY_CLAIMED until 2026-06-03 04:00:00+00, ALREADY_CLAIMED, CLAIMED for 2026-06-03 day 2 then 2026-06-04 04:00:00+00',
    'west: the new zone''s midnight');
SELECT is(pg_temp.moved('Pacific/Kiritimati', '2026-06-01 10:00+00', 'Pacific/Pago_Pago'),
    'ALREADY_CLAIMED until 2026-06-03 11:00:00+00, ALREADY_CLAIMED, CLAIMED for 2026-06-03 day 2 then 2026-06-04 11:00:00+00',
    'from the east end to the west end');

-- the offset of the day
SELECT economy.register('pgtap offset', 'Asia/Tokyo') AS o \gset
SET LOCAL economy.streak_day_offset = 4;
SELECT is(pg_temp.claim(:o, '2031-06-01 18:59:59+00'), 'new CLAIMED day 1 for 2031-06-01 1000 50', '03:59:59 belongs to the day before');
SELECT is(pg_temp.claim(:o, '2031-06-01 19:00:00+00'), 'new CLAIMED day 2 for 2031-06-02 1200 75', '04:00 begins the day');
SET LOCAL economy.streak_day_offset = 0;

-- the date that Samoa left out is not missed
SELECT economy.register('pgtap apia', 'Pacific/Apia') AS apia \gset
SELECT is(pg_temp.claim(:apia, '2011-12-30 09:59:59+00'), 'new CLAIMED day 1 for 2011-12-29 1000 50', 'the last second of December 29 in Apia');
SELECT is(pg_temp.state(:apia, '2011-12-30 10:00:00+00'), '1 best 1 last 2011-12-29 CONTINUE freezes 0 account 1 2011-12-29', 'a second later it is December 31');
SELECT is(pg_temp.claim(:apia, '2011-12-30 10:00:00+00'), 'new CLAIMED day 2 for 2011-12-31 1200 75', 'and nothing was missed');
SELECT economy.register('pgtap apia 2', 'Pacific/Apia') AS apia2 \gset
SELECT is(pg_temp.claim(:apia2, '2011-12-29 12:00+00'), 'new CLAIMED day 1 for 2011-12-29 1000 50', 'claimed on December 29');
SELECT is(pg_temp.claim(:apia2, '2011-12-31 12:00+00'), 'new CLAIMED day 2 for 2012-01-01 grace 1200 75', 'only the 31st was missed by January 1');
SELECT is((SELECT last_grace_on FROM economy.streaks WHERE user_id = :apia2), date '2011-12-31', 'and that is the date grace is counted from');
SELECT economy.register('pgtap kwajalein', 'Pacific/Kwajalein') AS kwaj \gset
SELECT is(pg_temp.claim(:kwaj, '1993-08-21 11:59:59+00'), 'new CLAIMED day 1 for 1993-08-20 1000 50', 'the last second of August 20 in Kwajalein');
SELECT is(pg_temp.claim(:kwaj, '1993-08-21 12:00:00+00'), 'new CLAIMED day 2 for 1993-08-22 1200 75', 'August 21 was left out');

-- streak_preview() is what happens
CREATE TEMP TABLE foreseen (n bigint, claim_date date, outcome text, streak_day integer, gold bigint, xp bigint);
CREATE FUNCTION pg_temp.preview_differs(id bigint, at text, days integer) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    p   record;
    s   economy.streak_status;
    c   economy.claim_result;
    n   integer := 0;
    now timestamptz := at;
BEGIN
    PERFORM pg_temp.clock(at);
    TRUNCATE foreseen;
    INSERT INTO foreseen SELECT f.ordinality, f.claim_date, f.outcome, f.streak_day, f.gold, f.xp
        FROM economy.streak_preview(id, days) WITH ORDINALITY f;
    FOR p IN SELECT * FROM foreseen ORDER BY foreseen.n LOOP
        SELECT * INTO s FROM economy.streak_state(id);
        IF s.next_claim_at > now THEN
            now := s.next_claim_at;
            PERFORM pg_temp.clock(now::text);
            SELECT * INTO s FROM economy.streak_state(id);
        END IF;
        SELECT * INTO c FROM economy.claim_daily_reward(id);
        IF (c.code, c.claim_date, s.next_outcome, c.streak_day, c.gold_delta, c.xp_delta)
           IS DISTINCT FROM ('CLAIMED', p.claim_date, p.outcome, p.streak_day, p.gold, p.xp) THEN
            RETURN NEXT format('foreseen %s, but %s', p, (c.code, c.claim_date, s.next_outcome, c.streak_day, c.gold_delta, c.xp_delta));
        END IF;
        n := n + 1;
    END LOOP;
    IF n <> days THEN RETURN NEXT format('%s days foreseen, not %s', n, days); END IF;
END $$;
SELECT is_empty(format('SELECT pg_temp.preview_differs(%s, %L, 9)', economy.register(NULL, 'Asia/Kolkata'), '2031-06-01 12:00+00'), 'the preview of a newcomer');
SELECT is_empty(format('SELECT pg_temp.preview_differs(%s, %L, 9)', :u, '2031-01-06 14:00+00'), 'of somebody who has claimed today');
SELECT is_empty(format('SELECT pg_temp.preview_differs(%s, %L, 9)', :u, '2031-01-16 14:00+00'), 'after one missed day, with grace');
SELECT is_empty(format('SELECT pg_temp.preview_differs(%s, %L, 9)', :u, '2031-01-26 14:00+00'), 'after one missed day more, too soon for grace');
SELECT is_empty(format('SELECT pg_temp.preview_differs(%s, %L, 9)', :u, '2031-04-26 14:00+00'), 'after months');
SELECT is_empty(format('SELECT pg_temp.preview_differs(%s, %L, 9)', economy.register(NULL, 'Pacific/Apia'), '2011-12-26 14:00+00'), 'over the date that is not there');
SET LOCAL economy.streak_cap = 'cycle';
SET LOCAL economy.streak_cap_day = 4;
SELECT is_empty(format('SELECT pg_temp.preview_differs(%s, %L, 9)', economy.register(NULL, 'America/New_York'), '2026-03-05 14:00+00'), 'with a cap, over a change of clocks');
SET LOCAL economy.streak_cap = 'none';
-- while a zone change is pending
SELECT pg_temp.clock('2031-06-01 12:00+00') AS x \gset
SELECT economy.register('pgtap pending 1', 'America/New_York') AS p1 \gset
SELECT pg_temp.claim(:p1) AS x, economy.set_timezone(:p1, 'Asia/Tokyo') AS y \gset
SELECT is_empty(format('SELECT pg_temp.preview_differs(%s, %L, 5)', :p1, '2031-06-01 13:00+00'), 'with a move east pending');
SELECT economy.register('pgtap pending 2', 'Asia/Tokyo') AS p2 \gset
SELECT pg_temp.claim(:p2) AS x, economy.set_timezone(:p2, 'America/New_York') AS y \gset
SELECT is_empty(format('SELECT pg_temp.preview_differs(%s, %L, 5)', :p2, '2031-06-01 13:00+00'), 'with a move west pending');
SELECT pg_temp.clock('2011-12-27 12:00+00') AS x \gset
SELECT economy.register('pgtap pending 3', 'UTC') AS p3 \gset
SELECT pg_temp.claim(:p3) AS x, economy.set_timezone(:p3, 'Pacific/Apia') AS y \gset
SELECT is_empty(format('SELECT pg_temp.preview_differs(%s, %L, 5)', :p3, '2011-12-27 13:00+00'), 'with a move to Apia pending, over the date that is not there');

-- and where the date that is due next is the one that is not there
SELECT pg_temp.clock('2011-12-29 12:00+00') AS x \gset
SELECT economy.register('pgtap pending 4', 'UTC') AS p4 \gset
SELECT pg_temp.claim(:p4) AS x, economy.set_timezone(:p4, 'Pacific/Apia') AS y \gset
SELECT is_empty(format('SELECT pg_temp.preview_differs(%s, %L, 5)', :p4, '2011-12-29 13:00+00'), 'with a move to Apia pending, on the day before that date');
SELECT pg_temp.clock('2011-12-29 12:00+00') AS x \gset
SELECT economy.register('pgtap pending 5', 'UTC') AS p5 \gset
SELECT pg_temp.claim(:p5) AS x \gset
SELECT code AS x FROM economy.set_streak(:p5, 1, '2011-12-28', 'a reason', 'an actor') \gset
SELECT economy.set_timezone(:p5, 'Pacific/Apia') AS x \gset
SELECT is_empty(format('SELECT pg_temp.preview_differs(%s, %L, 5)', :p5, '2011-12-29 13:00+00'), 'with that day paid, and the streak put back before it');

-- caps: the reward, not the streak
CREATE FUNCTION pg_temp.days(cap text, cap_day text, n integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    id  bigint := economy.register();
    out text := '';
BEGIN
    PERFORM set_config('economy.streak_cap', cap, true), set_config('economy.streak_cap_day', cap_day, true);
    FOR d IN 1 .. n LOOP
        PERFORM pg_temp.clock((timestamptz '2031-01-01 12:00+00' + make_interval(days => d))::text);
        SELECT out || c.streak_day || ':' || c.gold_delta || '/' || c.xp_delta || ' ' INTO out FROM economy.claim_daily_reward(id) c;
    END LOOP;
    RETURN out || (SELECT string_agg(r.reward_day::text, ',' ORDER BY seq) FROM economy.reward_audit r WHERE r.user_id = id)
        || (SELECT coalesce(string_agg(f.kind, ''), '') FROM economy_internal.audit_rewards() f WHERE f.user_id = id);
END $$;
SELECT is(pg_temp.days('none', '3', 5), '1:1000/50 2:1200/75 3:1400/100 4:1600/125 5:1800/150 1,2,3,4,5', 'no cap');
SELECT is(pg_temp.days('hold', '3', 5), '1:1000/50 2:1200/75 3:1400/100 4:1400/100 5:1400/100 1,2,3,3,3', 'hold stays at the cap day');
SELECT is(pg_temp.days('cycle', '3', 7), '1:1000/50 2:1200/75 3:1400/100 4:1000/50 5:1200/75 6:1400/100 7:1000/50 1,2,3,1,2,3,1', 'cycle starts over');
SELECT is(pg_temp.days('cycle', '1', 3), '1:1000/50 2:1000/50 3:1000/50 1,1,1', 'a cycle of one day');
SET LOCAL economy.streak_cap = 'none';

-- the other settings
SELECT economy.register('pgtap policy') AS pol \gset
SET LOCAL economy.streak_grace_days = 2;
SELECT is(pg_temp.claim(:pol, '2031-01-01 12:00+00'), 'new CLAIMED day 1 for 2031-01-01 1000 50', 'grace every two days');
SELECT is(pg_temp.claim(:pol, '2031-01-03 12:00+00'), 'new CLAIMED day 2 for 2031-01-03 grace 1200 75', 'one');
SELECT is(pg_temp.claim(:pol, '2031-01-05 12:00+00'), 'new CLAIMED day 3 for 2031-01-05 grace 1400 100', 'two');
SET LOCAL economy.streak_dormancy_days = 3;
SELECT is(pg_temp.state(:pol, '2031-01-07 12:00+00'), '3 best 3 last 2031-01-05 GRACE freezes 0 account 3 2031-01-05', 'two days after');
SELECT is(pg_temp.state(:pol, '2031-01-08 12:00+00'), '0 best 3 last 2031-01-05 DORMANT freezes 0 account 0 2031-01-05', 'dormant after three');
SELECT is(pg_temp.claim(:pol, '2031-01-08 12:00+00'), 'new CLAIMED day 1 for 2031-01-08 1000 50', 'starts over');
SELECT is((SELECT last_grace_on FROM economy.streaks WHERE user_id = :pol), NULL, 'with grace there again');

SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s)', r.user_id), 'a chain') FROM
    (SELECT DISTINCT user_id FROM economy.streaks WHERE user_id IN (:u, :ans, :o, :apia, :apia2, :kwaj, :pol, :p1, :p2, :p3)) r;
SELECT is_empty(format('SELECT * FROM economy_internal.audit_rewards() WHERE user_id >= %s', :u), 'and the audit finds nothing');
SELECT * FROM finish();
ROLLBACK;
