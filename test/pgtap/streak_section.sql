-- The daily streak in the account: packed, damaged, corrected.
BEGIN;
SELECT no_plan();
SELECT economy.register('pgtap streak section', 'Europe/Berlin') AS u, economy.register('pgtap streak section 2') AS v \gset
SELECT set_config('economy.test_clock', '2000-03-01 12:00+00', true) AS x \gset
SELECT success AS x FROM economy.claim_daily_reward(:u) \gset
SELECT is((SELECT encode(sections, 'hex') FROM economy.accounts WHERE user_id = :u),
    '02010013' || '09' || '01' || '01' || '78' || '78' || '01' || encode('Europe/Berlin', 'hex'), 'a first claim, byte by byte');
SELECT is(row(streak_day, best, last_claim_on, last_grace_on, excused_to, paid_to, last_seq, timezone)::text,
    row(1, 1, '2000-03-01'::date, NULL::date, NULL::date, '2000-03-01'::date, 1, 'Europe/Berlin')::text, 'as the view shows it') FROM economy.streaks WHERE user_id = :u;
SELECT is((SELECT count(*) FROM economy.streaks WHERE user_id = :v), 0::bigint, 'none before the first claim');
-- beside other sections
SELECT r.state AS x FROM economy.record_action(:u, 'slot', 'T', '1', 0, 3) r \gset
SELECT set_config('economy.test_clock', '2000-03-02 12:00+00', true) AS x \gset
SELECT success AS x FROM economy.claim_daily_reward(:u) \gset
SELECT is((SELECT total FROM economy.game_stats WHERE user_id = :u), 1::bigint, 'statistics stand beside it');
SELECT is((SELECT streak_day FROM economy.streaks WHERE user_id = :u), 2, 'and the streak goes on');
SELECT is((SELECT economy_internal.sections_sound(sections) FROM economy.accounts WHERE user_id = :u), true, 'in sections that are sound');
SELECT is_empty('SELECT * FROM economy_internal.audit_rewards()', 'and what the entries say');
SELECT is_empty('SELECT * FROM economy.stats_parity()', 'of both');

CREATE FUNCTION pg_temp.after(change text, question text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
    code   text;
BEGIN
    EXECUTE replace(change, '{u}', economy.user_id_of('pgtap streak section')::text);
    BEGIN
        EXECUTE replace(question, '{u}', economy.user_id_of('pgtap streak section')::text) INTO answer;
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE;
        answer := code || ' ' || regexp_replace(sqlerrm, '[0-9]+', 'N');
    END;
    RAISE EXCEPTION USING ERRCODE = 'XT000';
EXCEPTION WHEN SQLSTATE 'XT000' THEN
    RETURN answer;
END
$$;
-- the streak without the statistics: its section begins at byte 0, its payload at 4
CREATE TEMP TABLE damaged (what text, change text);
INSERT INTO damaged SELECT what, format('UPDATE economy.accounts SET sections = %s WHERE user_id = {u}', change)
FROM (VALUES
    ('another version', $$decode('02020007', 'hex') || decode('00000000555443', 'hex')$$), ('dates that nobody knows', $$decode('02010008', 'hex') || decode('1000000000555443', 'hex')$$),
    ('no zone', $$decode('02010004', 'hex') || decode('00000000', 'hex')$$), ('a day without a claim', $$decode('02010007', 'hex') || decode('00010100555443', 'hex')$$),
    ('a claim without a day', $$decode('02010008', 'hex') || decode('0100007801555443', 'hex')$$), ('no date for the claim', $$decode('02010003', 'hex') || decode('010101', 'hex')$$),
    ('a date out of range', $$decode('0201000c', 'hex') || decode('010101ffffffff0f01555443', 'hex')$$), ('a byte', $$decode('0201000100', 'hex')$$)) v (what, change);
SELECT is(pg_temp.after(change, $$SELECT string_agg(kind || ' ' || actual, ', ' ORDER BY actual) FROM economy_internal.audit_rewards() WHERE user_id = {u} AND actual LIKE 'damaged%'$$), 'parity damaged sections of the account', 'the audit sees ' || what) FROM damaged;
SELECT is(pg_temp.after(change, call), 'XE103 account of user N has a damaged streak', format('%s: %s', call, what))
FROM damaged, unnest(ARRAY['SELECT code FROM economy.claim_daily_reward({u})', 'SELECT count(*) FROM economy.account({u})', 'SELECT count(*) FROM economy.streak_state({u})']) call;
SELECT is(pg_temp.after(change, 'SELECT count(*) FROM economy.streaks WHERE user_id = {u}'), '0', 'the view has nothing to show: ' || what) FROM damaged;
SELECT is(pg_temp.after($$UPDATE economy.accounts SET sections = sections || decode('ff01000178', 'hex') WHERE user_id = {u}$$, $$SELECT string_agg(kind || ' ' || expected, ', ') FROM economy.audit_sweep() WHERE user_id = {u}$$), 'parity sections that are known', 'a section of nobody is found');
SELECT is(pg_temp.after($$UPDATE economy.accounts SET sections = decode('00', 'hex') WHERE user_id = {u}$$, $$SELECT count(*) > 0 FROM economy.audit_sweep() WHERE user_id = {u} AND expected = 'sections that are known'$$), 'true', 'and what is no section');

-- corrected by hand
SELECT is(pg_temp.after($$UPDATE economy.accounts SET sections = economy_internal.with_streak(sections, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL) WHERE user_id = {u}$$,
    $$SELECT row((SELECT count(*) FROM economy.streaks WHERE user_id = {u}), (SELECT count(*) FROM economy.game_stats WHERE user_id = {u}))::text$$), '(0,1)', 'the streak taken out');
SELECT is(pg_temp.after($$UPDATE economy.accounts SET sections = economy_internal.with_streak(sections, 9, 2147483647, '1999-12-31', '4713-01-01 BC', '5874897-12-31', '2000-01-01', 9223372036854775807, repeat('z', 255)) WHERE user_id = {u}$$,
    $$SELECT row(streak_day, best, last_claim_on, last_grace_on, excused_to, paid_to, last_seq, length(timezone))::text FROM economy.streaks WHERE user_id = {u}$$),
    row(9, 2147483647, '1999-12-31'::date, '4713-01-01 BC'::date, '5874897-12-31'::date, '2000-01-01'::date, 9223372036854775807, 255)::text, 'the largest one');
SELECT is(economy_internal.with_streak(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL), NULL, 'none of none is none');
SELECT throws_ok(call, code, message, call)
FROM (VALUES ('SELECT economy_internal.with_streak(NULL, -1, 0, NULL, NULL, NULL, NULL, 0, ''UTC'')', 'XE002', 'streak_day must be 0 or more'), ('SELECT economy_internal.with_streak(NULL, 0, NULL, NULL, NULL, NULL, NULL, 0, ''UTC'')', 'XE001', 'best must not be null'),
    ('SELECT economy_internal.with_streak(NULL, 0, -1, NULL, NULL, NULL, NULL, 0, ''UTC'')', 'XE002', 'best must be 0 or more'), ('SELECT economy_internal.with_streak(NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, ''UTC'')', 'XE001', 'last_seq must not be null'),
    ('SELECT economy_internal.with_streak(NULL, 0, 0, NULL, NULL, NULL, NULL, -1, ''UTC'')', 'XE002', 'there is no such streak'), ('SELECT economy_internal.with_streak(NULL, 0, 0, ''2000-01-01'', NULL, NULL, NULL, 0, ''UTC'')', 'XE002', 'there is no such streak'),
    ('SELECT economy_internal.with_streak(NULL, 1, 1, NULL, NULL, NULL, NULL, 0, ''UTC'')', 'XE002', 'there is no such streak'), ('SELECT economy_internal.with_streak(NULL, 0, 0, NULL, NULL, NULL, NULL, 0, NULL)', 'XE001', 'timezone must not be null'),
    ('SELECT economy_internal.with_streak(NULL, 0, 0, NULL, NULL, NULL, NULL, 0, repeat(''z'', 256))', 'XE003', 'timezone is too long'), ('SELECT economy_internal.with_streak(decode(''00'', ''hex''), NULL, 0, NULL, NULL, NULL, NULL, 0, ''UTC'')', 'XE103', 'these are no sections of an account')) v (call, code, message);
SELECT finish();
ROLLBACK;
