-- Errors of rare states: a user id sequence at its end, damage that a superuser
-- made, and calls of helpers with what they were not made for.  Each has its
-- code, and nothing is done.
BEGIN;
SELECT plan(159);

SELECT economy.register('pgtap errors') AS u \gset
SELECT transaction_id AS granted FROM economy.grant_reward(:u, 'pgtap', 'e1', 100) \gset
SELECT transaction_id AS revoked FROM economy.revoke_reward(:u, :'granted', 'r', 'a', 10) \gset
SELECT state AS x FROM economy.claim_daily_reward(:u) \gset
SELECT economy.upsert_product('{"product_id": "pgtap errors", "category": "item", "price_gold": 0}', 'pgtap') AS x \gset
SELECT version AS key FROM economy.signing_keys WHERE state = 'active' \gset
ALTER TABLE economy.reward_audit DISABLE TRIGGER reward_audit_append_only;

-- do damage, call, undo both: the error, and whether an account changed nevertheless
CREATE FUNCTION pg_temp.error_after(damage text, call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    before text;
    answer text := 'no error';
BEGIN
    EXECUTE damage;
    SELECT string_agg(a::text, ' ' ORDER BY a.user_id) INTO before FROM economy.accounts a;
    BEGIN
        EXECUTE call;
    EXCEPTION WHEN OTHERS THEN
        answer := SQLSTATE || ' ' || SQLERRM;
    END;
    IF before IS DISTINCT FROM (SELECT string_agg(a::text, ' ' ORDER BY a.user_id) FROM economy.accounts a) THEN
        answer := answer || ', and an account changed';
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'UNDO0', MESSAGE = answer;
EXCEPTION WHEN SQLSTATE 'UNDO0' THEN
    RETURN SQLERRM;
END
$$;

SELECT is(pg_temp.error_after(replace(damage, '{u}', :'u'), replace(call, '{u}', :'u')), replace(error, '{u}', :'u'), name)
FROM (VALUES
    ('the last user id', 'ALTER SEQUENCE economy.user_id_seq RESTART ' || (1::bigint << 41), $$SELECT economy.register('pgtap one too many')$$,
        '2200H this node has given out all its user ids'),
    ('no entry of the last claim', 'DELETE FROM economy.reward_audit WHERE user_id = {u} AND streak_day IS NOT NULL', 'SELECT economy.claim_daily_reward({u})',
        'XE103 the last claim of user {u} is missing in reward_audit'),
    ('a reversal without its figures', $$UPDATE economy.reward_audit SET details = '{}' WHERE user_id = {u} AND seq = 2$$, format($$SELECT economy.revoke_reward({u}, %L, 'r', 'a', 10)$$, :'granted'),
        'XE103 details of a reversal lack "gold"'),
    ('a table that lacks a column', 'SET LOCAL economy.row_access = auto; ALTER TABLE economy.reward_audit RENAME last_grace_on TO gone', 'SELECT economy.claim_daily_reward({u})',
        'XE105 column "last_grace_on" of table economy.reward_audit is missing or has another type'),
    ('no row of the user', 'ALTER TABLE economy.users DISABLE TRIGGER ALL; DELETE FROM economy.users WHERE user_id = {u}', $$SELECT economy.update_profile({u}, '{"a": 1}', 'k')$$,
        'XE103 user {u} has an account and no row in economy.users'),
    ('no entry of the claim before the one that is revoked', $$SELECT set_config('economy.test_clock', to_char((pg_catalog.now() + interval '1 day') AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS+00'), true), economy.claim_daily_reward({u}); DELETE FROM economy.reward_audit WHERE user_id = {u} AND streak_day = 1$$,
        $$SELECT economy.revoke_reward({u}, (SELECT 'R{u}-' || seq FROM economy.reward_audit WHERE user_id = {u} AND streak_day = 2), 'r', 'a')$$,
        'XE103 a claim of user {u} goes on from an entry that is missing in reward_audit or has no streak'),
    ('a claim that goes on from what is no claim', $$SELECT set_config('economy.test_clock', to_char((pg_catalog.now() + interval '1 day') AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS+00'), true), economy.claim_daily_reward({u}); UPDATE economy.reward_audit SET streak_before = 1 WHERE user_id = {u} AND streak_day = 2$$,
        $$SELECT economy.revoke_reward({u}, (SELECT 'R{u}-' || seq FROM economy.reward_audit WHERE user_id = {u} AND streak_day = 2), 'r', 'a')$$,
        'XE103 a claim of user {u} goes on from an entry that is missing in reward_audit or has no streak'),
    ('a reversal without details', 'UPDATE economy.reward_audit SET details = NULL WHERE user_id = {u} AND seq = 2', format($$SELECT economy.revoke_reward({u}, %L, 'r', 'a', 10)$$, :'granted'),
        'XE103 details of a reversal lack "gold"'),
    ('a zone that has no name', $$UPDATE economy.users SET timezone = '' WHERE user_id = {u}; SELECT set_config('economy.test_clock', to_char((pg_catalog.now() + interval '1 day') AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS+00'), true)$$, 'SELECT economy.claim_daily_reward({u})',
        'XE103 daily streak of user {u} has a time zone that is none'),
    ('a zone whose name is too long', $$UPDATE economy.users SET timezone = repeat('z', 256) WHERE user_id = {u}; SELECT set_config('economy.test_clock', to_char((pg_catalog.now() + interval '1 day') AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS+00'), true)$$, 'SELECT economy.claim_daily_reward({u})',
        'XE103 daily streak of user {u} has a time zone that is none'),
    ('no row of the user whose streak is set', 'ALTER TABLE economy.users DISABLE TRIGGER ALL; DELETE FROM economy.users WHERE user_id = {u}',
        $$SELECT economy_internal.require_given(s.code, s.code = 'USER_NOT_FOUND') FROM economy.set_streak({u}, 0, NULL, 'r', 'a') s$$, 'no error'),
    ('a change that does not say what was before', $$SELECT economy.update_profile({u}, '{"a": 1}', 'k'); ALTER TABLE economy.user_changes DISABLE TRIGGER ALL; UPDATE economy.user_changes SET before = NULL WHERE user_id = {u}$$,
        $$SELECT economy.update_profile({u}, '{"a": 1}', 'k')$$, 'XE103 entry 4 of user {u} does not say what it changed'),
    ('a column that may be null', 'ALTER TABLE economy.reward_audit ALTER source DROP NOT NULL', 'SELECT economy.claim_daily_reward({u})',
        'XE105 column "source" of table economy.reward_audit is no longer NOT NULL'),
    ('a key that is none', $$UPDATE economy.signing_keys SET material = E'\\x00' WHERE state = 'active'$$, $$SELECT economy.purchase({u}, 'pgtap errors', 'k')$$,
        'XE104 signing key version ' || :key || ' is damaged'),
    ('a result type of another version', 'ALTER TYPE economy.grant_result ADD ATTRIBUTE more text', $$SELECT economy.grant_reward({u}, 'pgtap', 'e2', 1)$$,
        'XE105 the function''s result type does not fit the library'),
    ('rules that leave somebody out, changed past set_segment_rules()', $$DELETE FROM economy.segment_rules WHERE segment = 'NoPurchase'$$, 'SELECT * FROM economy.rfm_refresh()',
        'XE601 the segment rules leave users without a segment')
) v (name, damage, call, error);

-- arguments
SELECT throws_ok(replace(call, '{u}', :'u'), code, message, call)
FROM (VALUES
    ('SELECT * FROM economy.replay({u}, -1)',               'XE002', 'after_seq must be 0 or more'),
    ('SELECT * FROM economy.replay({u}, 0, 0)',             'XE002', 'max must be from 1 to 10000'),
    ('SELECT * FROM economy.replay({u}, 0, 10001)',         'XE002', 'max must be from 1 to 10000'),
    ('SELECT * FROM economy.replay(NULL, 0)',               'XE001', 'user_id must not be null'),
    ('SELECT * FROM economy.replay({u}, NULL)',             'XE001', 'after_seq must not be null'),
    ('SELECT * FROM economy.replay({u}, 0, NULL)',          'XE001', 'max must not be null'),
    ('SELECT * FROM economy.changes(NULL, NULL)',           'XE001', 'max must not be null'),
    ('SELECT * FROM economy.changes(''begin'')',              'XE002', 'this is no cursor of economy.changes()'),
    ($$SELECT * FROM economy_internal.entry_events(NULL, 1, 'R')$$,  'XE001', 'argument must not be null'),
    ($$SELECT * FROM economy_internal.entry_events({u}, NULL, 'R')$$, 'XE001', 'argument must not be null'),
    ('SELECT * FROM economy_internal.entry_events({u}, 1, NULL)',   'XE001', 'argument must not be null'),
    ($$SELECT economy_internal.publish_profile(NULL, 'segment', 'a', 'b')$$, 'XE001', 'user_id must not be null'),
    ('SELECT * FROM economy.changes(NULL, 0)',              'XE002', 'max must be from 1 to 10000'),
    ('SELECT * FROM economy.changes(NULL, 10001)',          'XE002', 'max must be from 1 to 10000'),
    ('SELECT * FROM economy.statement({u}, 0, -1)',         'XE002', 'max must be 0 or more'),
    ('SELECT * FROM economy.purchases_of({u}, 1, -1)',      'XE002', 'max must be 0 or more'),
    ($$SELECT * FROM economy.products({u}, 'sword')$$,      'XE002', 'category must be conversion or item'),
    ($$SELECT * FROM economy.products({u}, NULL, '')$$,     'XE002', 'tag must not be empty'),
    ('SELECT * FROM economy.products({u}, NULL, NULL, NULL)', 'XE001', 'only_available must not be null'),
    ($$SELECT * FROM economy.item_catalogue('sword')$$,     'XE002', 'kind must be stack, currency or pass'),
    ('SELECT * FROM economy.item_catalogue(NULL, NULL)',    'XE001', 'only_active must not be null'),
    ($$SELECT economy_internal.check_mission_condition('login', '{}')$$, 'XE403', 'there is no trigger "login"'),
    ($$SELECT economy_internal.check_mission_condition('action', '{"exists": "event.x"}')$$, 'XE403', 'the condition is not valid'),
    ($$SELECT economy_internal.mission_condition_of('entry', '{"exists": "user.xp"}', {u}, 1)$$, 'XE403', 'a condition of one journal''s entries is asked'),
    ($$SELECT economy_internal.mission_condition_of('action', '{"exists": "user.xp"}', {u}, 1000)$$, 'XE106', 'there is no such entry'),
    ($$SELECT economy_internal.mission_condition_of('action', '{"exists": "user.xp"}', NULL, 1)$$, 'XE001', 'user_id must not be null'),
    ($$SELECT economy_internal.mission_condition_of('action', '{"exists": "user.xp"}', {u}, NULL)$$, 'XE001', 'seq must not be null'),
    ($$SELECT economy_internal.mission_period_key('daily', 1, 1000001)$$, 'XE002', 'there is no such period'),
    ($$SELECT economy_internal.announce_key(NULL, 1, 'a', 'b')$$, 'XE001', 'journal must not be null'),
    ($$SELECT economy_internal.announce_key('R', NULL, 'a', 'b')$$, 'XE001', 'user_id must not be null'),
    ($$SELECT economy_internal.announce_key('R', 1, 'a', NULL)$$, 'XE001', 'second must not be null'),
    ($$SELECT economy_internal.announce_key('?', 1, 'a', 'b')$$, 'XE002', 'no journal has this letter'),
    ($$SELECT economy_internal.mission_would_be(NULL, now(), now(), '{}')$$, 'XE001', 'mission must not be null'),
    ($$SELECT economy_internal.mission_would_be(jsonb_populate_record(NULL::economy.mission_templates, '{}'), now(), now(), NULL)$$, 'XE001', 'user_ids must not be null'),
    ($$SELECT economy_internal.mission_would_be(jsonb_populate_record(NULL::economy.mission_templates, '{}'), now(), NULL, '{}')$$, 'XE001', 'until must not be null'),
    ($$SELECT economy_internal.mission_would_be(jsonb_populate_record(NULL::economy.mission_templates, '{}'), NULL, now(), '{}')$$, 'XE001', 'since must not be null'),
    ($$SELECT economy_internal.mission_would_be(jsonb_populate_record(NULL::economy.mission_templates, '{"mission": "a"}'), now(), now(), '{}')$$, 'XE002', 'this is no row of a mission'),
    ($$SELECT economy_internal.with_mission_progress(NULL, NULL, 1, 1, 1)$$, 'XE001', 'number must not be null'),
    ($$SELECT economy_internal.with_mission_progress(NULL, 1, NULL, 1, 1)$$, 'XE001', 'period must not be null'),
    ($$SELECT economy_internal.with_mission_progress(NULL, 1, 1, 1, NULL)$$, 'XE001', 'state must not be null'),
    ($$SELECT economy_internal.with_mission_progress(NULL, 1, 1, 1, 1, NULL)$$, 'XE001', 'since must not be null'),
    ($$SELECT economy_internal.with_mission_progress(NULL, 1, 1, 1, 1, -1)$$, 'XE002', 'there is no such progress'),
    ($$SELECT economy_internal.with_mission_progress(NULL, 1, 1, 1, 0, 0, '')$$, 'XE002', 'there is no such progress'),
    ($$SELECT economy_internal.with_mission_progress(NULL, 1, 1, 1, 3)$$, 'XE002', 'there is no such progress'),
    ($$SELECT economy_internal.with_mission_progress(E'\\x01', 1, 1, 1, 1)$$, 'XE103', 'this progress of missions is damaged'),
    ($$SELECT economy_internal.with_further_mission_progress(NULL, NULL, 1, 1, 1)$$, 'XE001', 'number must not be null'),
    ($$SELECT economy_internal.with_further_mission_progress(NULL, 1, NULL, 1, 1)$$, 'XE001', 'period must not be null'),
    ($$SELECT economy_internal.with_further_mission_progress(NULL, 1, 1, 1, NULL)$$, 'XE001', 'state must not be null'),
    ($$SELECT economy_internal.with_further_mission_progress(NULL, 1, 1, 1, 1, NULL)$$, 'XE001', 'since must not be null'),
    ($$SELECT economy_internal.with_further_mission_progress(NULL, 1, 1, 1, 3)$$, 'XE002', 'there is no such progress'),
    ($$SELECT economy_internal.with_further_mission_progress(E'\\x01', 1, 1, 1, 1)$$, 'XE103', 'this progress of missions is damaged'),
    ('SELECT * FROM economy.audit_step(0)',                 'XE002', 'max_users must be 1 or more'),
    ($$SELECT * FROM economy_internal.entry_events({u}, 1, 'Z')$$,   'XE103', 'no journal has the letter "Z"'),
    ($$SELECT * FROM economy_internal.rfm_buckets(E'\\x00')$$,         'XE002', 'buckets must be what economy_internal.rfm_pack() makes'),
    ($$SELECT economy_internal.rfm_merge(E'\\x0102', E'\\x')$$,          'XE002', 'buckets must be what economy_internal.rfm_pack() makes'),
    ($$SELECT economy_internal.rfm_pack('infinity', 1, 1)$$,         'XE002', 'a purchase must have a finite time and an entry number'),
    ($$SELECT economy_internal.rfm_assess(1, E'\\x', pg_catalog.now(), '{1,2,3}', '{a}', NULL, NULL, NULL, NULL, NULL, NULL, NULL)$$,
                                                            'XE002', 'program must be one made by economy_internal.rfm_program()')
) v (call, code, message);

-- An owner may alter a result type, column by column: no row is built for another one.
CREATE FUNCTION pg_temp.taken(type regclass, call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    a     record;
    taken text := '';
BEGIN
    FOR a IN SELECT attname, atttypid FROM pg_attribute WHERE attrelid = type AND attnum > 0 AND NOT attisdropped ORDER BY attnum LOOP
        BEGIN
            EXECUTE format('ALTER TYPE %s ALTER ATTRIBUTE %I TYPE %s', type, a.attname, CASE a.atttypid WHEN 'text'::regtype THEN 'jsonb' ELSE 'text' END);
            EXECUTE 'SELECT t::text FROM ' || call || ' t';
            taken := concat_ws(' ', taken, a.attname);
            RAISE EXCEPTION 'taken' USING ERRCODE = 'P0099';
        EXCEPTION
            -- or what the extension itself reads cannot be altered
            WHEN SQLSTATE 'XE105' OR feature_not_supported OR dependent_objects_still_exist OR SQLSTATE 'P0099' THEN NULL;
        END;
    END LOOP;
    RETURN taken;
END
$$;
SELECT is(pg_temp.taken(type::regclass, replace(call, '{u}', :'u')), '', type || ' altered: ' || call)
FROM (VALUES
    ('economy.purchase_result', $$economy.purchase({u}, 'pgtap errors', 'altered')$$),
    ('economy.purchase_result', $$economy.purchases('[{"user_id": {u}, "product_id": "pgtap errors", "idempotency_key": "altered"}]')$$),
    ('economy.purchase_result', $$economy.purchases('{{u}}', '{pgtap errors}', '{altered}')$$),
    ('economy.grant_result', $$economy.grant_reward({u}, 'pgtap', 'altered', 1)$$),
    ('economy.grant_result', $$economy.grant_rewards('[{"user_id": {u}, "source": "pgtap", "external_event_id": "altered", "gold": 1}]')$$),
    ('economy.grant_result', $$economy.grant_rewards('{{u}}', '{pgtap}', '{altered}')$$),
    ('economy.grant_result', $$economy.revoke_reward({u}, 'R{u}-1', 'r', 'a')$$),
    ('economy.refund_result', $$economy.refund_purchase({u}, 'P{u}-1', 'altered', 1, 'r', 'a')$$),
    ('economy.claim_result', $$economy.claim_daily_reward({u})$$),
    ('economy.action_result', $$economy.record_action({u}, 'pgtap', 'SPIN', 'altered')$$),
    ('economy.action_result', $$economy.record_actions('[{"user_id": {u}, "game": "pgtap", "action_type": "SPIN", "action_id": "altered"}]')$$),
    ('economy.action_result', $$economy.record_actions('{{u}}', '{pgtap}', '{SPIN}', '{altered}')$$),
    ('economy.adjust_result', $$economy.adjust_gold({u}, 1, 'altered', 'pgtap', 'pgtap')$$),
    ('economy.user_change_result', $$economy.update_profile({u}, '{"a": 1}', 'altered')$$),
    ('economy.user_change_result', $$economy.link_external_id({u}, 'altered', 'altered')$$),
    ('economy.user_change_result', $$economy.unlink_external_id({u}, 'altered')$$),
    ('economy.streak_change', $$economy.set_streak({u}, 3, '2026-01-01', 'altered', 'pgtap', 'pgtap')$$),
    ('economy.streak_reward', $$economy.streak_reward(1)$$),
    ('economy.streak_status', $$economy.streak_state({u})$$),
    ('economy.level_position', $$economy.level_of({u}, 10)$$),
    ('economy.receipt_check', $$economy.verify_receipt({u}, 'P{u}-1')$$),
    ('economy.proportion_interval', $$economy.wilson_interval(1, 2)$$),
    ('economy.account_status', $$economy.account({u})$$),
    ('economy.statement_line', $$economy.statement({u})$$),
    ('economy.product_offer', $$economy.products({u})$$),
    ('economy.product_offer', $$economy.product('pgtap_item', {u})$$),
    ('economy.purchase_line', $$economy.purchases_of({u})$$),
    ('economy.holding_result', $$economy.grant_items({u}, '{"pgtap": 1}', 'r', 'altered')$$),
    ('economy.holding_result', $$economy.consume({u}, 'pgtap', 'altered')$$),
    ('economy.holding_result', $$economy.spend({u}, 1, 'r', 'altered')$$),
    ('economy.holding_result', $$economy.transfer({u}, {u} + 1, 'altered', 1)$$),
    ('economy.holding_result', $$economy.hold_escrow({u}, 'altered', 1)$$),
    ('economy.holding_result', $$economy.release_escrow({u}, 'altered')$$),
    ('economy.holding_result', $$economy.capture_escrow({u}, 'altered', {u} + 1)$$),
    ('economy.holding', $$economy.holdings({u})$$),
    ('economy.draw_result', $$economy.draw({u}, 'pgtap', 'altered', 'x')$$),
    ('economy.draw_seed_result', $$economy.draw_commit({u})$$),
    ('economy.draw_seed_result', $$economy.draw_reveal({u}, 1)$$),
    ('economy.catalogue_item', $$economy.item_catalogue()$$),
    ('economy.user_profile', $$economy.profile({u})$$),
    ('economy.purchase_receipt', $$economy.receipt({u}, 'P{u}-1')$$),
    ('economy.replayed_event', $$economy.replay({u}, 0)$$),
    ('economy.finding', $$economy.verify_chain({u})$$)
) v (type, call);

-- what to do about a column that is not there depends on whether the library is of the release of the objects
CREATE FUNCTION pg_temp.hint_with(version text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    hint text;
BEGIN
    UPDATE pg_catalog.pg_extension SET extversion = coalesce(version, extversion) WHERE extname = 'economy';
    ALTER TABLE economy.users RENAME timezone TO gone;
    BEGIN
        PERFORM economy.set_timezone(1, 'UTC');
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    END;
    RAISE EXCEPTION USING ERRCODE = 'UNDO0', MESSAGE = hint;
EXCEPTION WHEN SQLSTATE 'UNDO0' THEN
    RETURN SQLERRM;
END
$$;
SELECT is(pg_temp.hint_with(NULL), 'An object of the extension was changed or is missing; see economy.audit_schema().', 'of the same');
SELECT is(pg_temp.hint_with(version), format('The library that this session has loaded is of version %s, the extension of version %s. '
    'Restart the server if the library is preloaded, or connect again; then, if the extension is the older one, run ALTER EXTENSION economy UPDATE.', economy.library_version(), version), 'of another: ' || version)
FROM unnest(ARRAY['0.0.1', '99.0.0']) version;

-- what goes with the message: what exactly, and what to do
CREATE FUNCTION pg_temp.told(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text;
    detail  text;
    hint    text;
BEGIN
    EXECUTE call;
    RAISE EXCEPTION 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN regexp_replace(regexp_replace(concat_ws(' | ', SQLSTATE, message, nullif(detail, ''), nullif(hint, '')), '(version|anchor) [0-9]+', E'\\1 V', 'g'), E'journal economy\\.[a-z_]+ holds', 'journal J holds');
END
$$;
SELECT is(pg_temp.told(replace(call, '{u}', :'u')), says, call)
FROM (VALUES
    ('SELECT economy.grant_access(''pgtap_no_such_role'', ''app'')',
     'XE801 | role "pgtap_no_such_role" does not exist | Create it with CREATE ROLE; access is never given to PUBLIC.'),
    ('SELECT economy.revoke_access(NULL, ''app'')',
     'XE801 | role "<NULL>" does not exist | Create it with CREATE ROLE; access is never given to PUBLIC.'),
    ('SELECT economy.adjust_gold(1, 1, repeat(''k'', 256), ''r'', ''a'')',
     'XE003 | idempotency_key is too long | It has 256 bytes; at most 255 are allowed.'),
    ('SELECT economy.register(''pgtap errors json'', ''UTC'', jsonb_build_object(''a'', repeat(''x'', 70000)))',
     'XE003 | profile is too long | It has 70009 bytes as text; at most 4096 are allowed.'),
    ('SELECT economy.grant_reward({u}, ''pgtap'', ''less'', -1)',
     'XE002 | gold and xp must be from 0 to 2^53-1 | economy.revoke_reward() takes a reward back.'),
    ('SELECT economy.revoke_reward({u}, ''R{u}-1'', ''r'', ''a'', policy => ''ask'')',
     'XE002 | policy "ask" is not known | It is refuse, or take_available: take what is there and report the debt.'),
    ('SELECT economy.revoke_reward({u}, ''R{u}-1'', ''r'', ''a'', 101, 0)',
     'XE002 | a reversal cannot take more than the reward gave | The reward was 100 gold and 0 XP.'),
    ('SELECT economy.revoke_reward({u}, ''R{u}-1'', ''r'', ''a'', 0, 1)',
     'XE002 | a reversal cannot take more than the reward gave | The reward was 100 gold and 0 XP.'),
    ('SELECT economy.set_streak({u}, 0, date ''2026-01-02'', ''r'', ''a'')',
     'XE002 | last_claim_on must be null with day 0 | A streak of 0 days has no claim.'),
    ('SELECT economy.set_streak({u}, 1, date ''9999-01-02'', ''r'', ''a'')',
     'XE002 | last_claim_on must not be after the date of now | The user could not claim until then.'),
    ('SELECT economy_internal.with_streak(NULL, 0, 1, date ''2026-01-02'', NULL, NULL, NULL, 1, ''UTC'')',
     'XE002 | there is no such streak | last_seq is 0 or more; a streak of 0 days has no claim.'),
    ('SELECT economy.set_level_curve(''pgtap'', ''{}'')',
     'XE002 | a curve needs an array of XP'),
    ('SELECT economy.set_level_curve(''pgtap'', ''{{0,1},{2,3}}'')',
     'XE002 | a curve needs an array of XP'),
    ('SELECT economy.set_level_curve(''linear'', ''{0}'')',
     'XE002 | a curve''s name has 1 to 64 bytes and is not linear'),
    ('SELECT economy.set_level_curve(''pgtap'', ''{0,5,5}'')',
     'XE002 | the XP of a curve begin at 0, rise and end below 2^53 | Element n is the XP at which level n begins.'),
    ('SELECT economy.set_level_experiment('''', ''[]'')',
     'XE002 | an experiment needs a name of 1 to 64 bytes and an array of arms | An arm is {"arm": "steep", "curve": "steep_v1", "share": 2500}, shares in hundredths of a percent.'),
    ('SELECT economy.set_level_experiment(''*'', ''[]'')',
     'XE002 | no experiment is named * | economy.set_default_level_curve() says what everybody else has.'),
    ('SELECT economy.set_level_experiment(''pgtap'', ''[{"arm": "a", "curve": "linear", "share": -1}]'')',
     'XE002 | the arms of experiment "pgtap" are not valid | share must be from 0 to 10000. | An arm is {"arm": "steep", "curve": "steep_v1", "share": 2500}, shares in hundredths of a percent.'),
    ('SELECT economy.set_level_experiment(''pgtap'', ''[{"arm": "a", "curve": "linear", "share": 6000}, {"arm": "b", "curve": "linear", "share": 4001}]'')',
     'XE002 | the shares of experiment "pgtap" exceed 10000'),
    ('SELECT economy.record_action({u}, ''rps'', ''t'', ''outcome'', 0, 0, ''won'')',
     'XE002 | outcome must be win, loss or draw | Null derives it from bet and win.'),
    ('SELECT economy.register_game(''crash'', ''{"a": 1}'')',
     'XE002 | game "crash" is built in and has no rules of its own | Register a game of another name.'),
    ('SELECT economy_internal.with_game(decode(''01020001'' || ''00'', ''hex''), ''rps'', 1, 0, 0, 0, 0, 0, economy.now())',
     'XE103 | these statistics of games are damaged | Begin with sections that are null, and add all games of the user.'),
    ('DO $do$DECLARE s bytea; BEGIN FOR i IN 1 .. 30 LOOP s := economy_internal.with_game(s, repeat(''g'', 60) || i, 1, 0, 0, 0, 0, 0, economy.now()); END LOOP; END$do$',
     'XE002 | there is no room for this game in the account | Its statistics stand in economy_internal.game_stats_more.'),
    ('SELECT economy.prune(interval ''9000 years'')',
     'XE002 | older_than is longer than time is kept | Take a day or more, and less than 6000 years.'),
    ('SELECT economy.prune(interval ''1 hour'')',
     'XE002 | older_than must be a day or more and max_users 1 or more | A retry of a pruned action is refused with RESYNC_REQUIRED: keep actions longer than clients retry.'),
    ('SELECT economy.changes(''x'')',
     'XE002 | this is no cursor of economy.changes() | Pass next_cursor of the last row of the call before, null to begin now, or start to begin with the first entry.'),
    ('SELECT economy.simulate(0, 0, 1)',
     'XE002 | simulate() takes 1 to 10 million users and 0 to 100 million actions'),
    ('DO $do$DECLARE a jsonb; BEGIN PERFORM economy.rotate_signing_key(); a := economy.anchor(1); PERFORM economy.anchor(1); PERFORM economy.verify_anchor(a); END$do$',
     'XE002 | anchor V is not kept any more | A newer one vouches for it.'),
    ('SELECT economy.grant_rewards(''[7]'')',
     'XE002 | reward 1 is not a JSON object'),
    ('SELECT economy.grant_rewards(''{}'')',
     'XE002 | rewards must be a JSON array of objects'),
    ('SELECT economy.grant_rewards(''[{"user_id": 1, "gold": 1, "silver": 1}]'')',
     'XE002 | reward 1 has an unknown key'),
    ('DELETE FROM economy.gold_adjustments',
     'XE101 | journal gold_adjustments is append-only | Entries are never changed or removed; a correction is a new entry. | Use economy.adjust_gold() to correct a balance.'),
    ('DROP EXTENSION economy CASCADE',
     'XE102 | journal J holds entries and would be lost | Back it up, then SET economy.allow_drop = on to drop it all the same.'),
    ('ALTER TABLE economy.accounts RENAME TO old_accounts',
     'XE102 | economy.accounts cannot be renamed or moved | The functions of the extension find it by its name, its views by itself. | Its own table cannot be exchanged for another; SET economy.allow_drop = on if the extension is not to be used again.'),
    ('ALTER SCHEMA economy_internal RENAME TO bank',
     'XE102 | schema economy_internal cannot be renamed | The functions of the extension find its objects there.'),
    ('SELECT economy_internal.begin_job(''mischief'', true)',
     'XE002 | job "mischief" does not exist | See economy.job_list().'),
    ('SELECT economy.note_change(''games'', ''pgtap none'', ''a'', ''a'')',
     'XE002 | there is no "pgtap none" in the configuration "games", and was none | economy.config_states has the relations and their keys.'),
    ('SELECT economy.verify_anchor(''{}'')',
     'XE002 | this is no anchor | Its member "anchor_id" is missing or wrong. | Anchors are made by economy.anchor().'),
    ('SET LOCAL economy.test_clock = ''yesterday''',
     '22023 | invalid value for parameter "economy.test_clock": "yesterday" | The clock must be a date and time with an offset from UTC, such as "2026-01-31 12:00:00+00".'),
    ('SELECT economy.rotate_signing_key(); UPDATE economy.signing_keys SET material = '''' WHERE state = ''active''; SELECT economy.purchase({u}, ''pgtap errors'', ''unsigned'')',
     'XE104 | signing key version V is damaged | economy.rotate_signing_key() makes another.')) v (call, says);

SELECT finish();
ROLLBACK;
