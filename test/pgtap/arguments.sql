-- Bad arguments of the public functions: the SQLSTATE says what is wrong, and
-- nothing is written.
BEGIN;
SELECT plan(198);

SELECT economy.register('pgtap arguments') AS u \gset
SELECT economy.upsert_product('{"product_id": "pgtap_a", "category": "item", "price_gold": 10}', 'pgtap') IS NULL AS x \gset
SELECT economy.add_stock('pgtap_a', 5, 'pgtap') AS x \gset
SELECT success AS x FROM economy.adjust_gold(:u, 1000, 'open', 'pgtap', 'pgtap') \gset
CREATE TEMP TABLE before AS
    SELECT (SELECT a FROM economy.accounts a WHERE a.user_id = :u)::text AS account,
           (SELECT sum(remaining) FROM economy.shop_stock WHERE product_id = 'pgtap_a') AS stock,
           (SELECT count(*) FROM economy.shop_product_changes) AS changes,
           (SELECT count(*) FROM economy.users) AS users,
           (SELECT count(*) FROM economy.signing_keys) AS keys;

-- null, empty, too long, out of range
SELECT throws_ok(replace(call, 'USER', :'u'), code, message, call)
FROM (VALUES
    ($$SELECT economy.mission_dry_run(NULL, '2031-01-01Z')$$,              'XE001', 'template must not be null'),
    ($$SELECT economy.mission_dry_run('{}', NULL)$$,                       'XE001', 'since must not be null'),
    ($$SELECT economy.mission_dry_run('{}', '2031-01-01Z', '2031-01-01Z')$$, 'XE002', 'since must be before until'),
    ($$SELECT economy.mission_dry_run('{}', 'infinity')$$,                 'XE002', 'since must be before until'),
    ($$SELECT economy.publish_season(NULL, 'a')$$,                         'XE001', 'season must not be null'),
    ($$SELECT economy.publish_season('{"season": "s"}', NULL)$$,           'XE001', 'actor must not be null'),
    ($$SELECT economy.publish_season('{"season": "s"}', '')$$,             'XE002', NULL),
    ($$SELECT economy.publish_season('{}', 'a')$$,                         'XE405', 'season must be a JSON object with a season'),
    ($$SELECT economy.retire_season(NULL, 'a')$$,                          'XE001', 'season must not be null'),
    ($$SELECT economy.retire_season('s', NULL)$$,                          'XE001', 'actor must not be null'),
    ($$SELECT economy.claim_tier(NULL, 's', 1, 'free')$$,                  'XE001', 'user_id must not be null'),
    ($$SELECT economy.claim_tier(USER, NULL, 1, 'free')$$,                 'XE001', 'season must not be null'),
    ($$SELECT economy.claim_tier(USER, 's', NULL, 'free')$$,               'XE001', 'tier must not be null'),
    ($$SELECT economy.claim_tier(USER, 's', 1, NULL)$$,                    'XE001', 'track must not be null'),
    ($$SELECT economy.claim_season(NULL, 's')$$,                           'XE001', 'user_id must not be null'),
    ($$SELECT economy.claim_season(USER, NULL)$$,                          'XE001', 'season must not be null'),
    ($$SELECT economy.purchase(NULL, 'pgtap_a', 'k')$$,                    'XE001', 'user_id must not be null'),
    ($$SELECT economy.purchase(USER, NULL, 'k')$$,                         'XE001', 'product_id must not be null'),
    ($$SELECT economy.purchase(USER, 'pgtap_a', NULL)$$,                   'XE001', 'idempotency_key must not be null'),
    ($$SELECT economy.purchase(USER, 'pgtap_a', 'k', NULL)$$,              'XE001', 'quantity must not be null'),
    ($$SELECT economy.purchase(USER, 'pgtap_a', 'k', 1, NULL, NULL)$$,     'XE001', 'dry_run must not be null'),
    ($$SELECT economy.purchase(USER, '', 'k')$$,                           'XE002', 'product_id must not be empty'),
    ($$SELECT economy.purchase(USER, 'pgtap_a', '')$$,                     'XE002', 'idempotency_key must not be empty'),
    ($$SELECT economy.purchase(USER, repeat('p', 65), 'k')$$,              'XE003', 'product_id is too long'),
    ($$SELECT economy.purchase(USER, repeat(E'\u00e9', 32) || 'p', 'k')$$, 'XE003', 'product_id is too long'),
    ($$SELECT economy.purchase(USER, 'pgtap_a', repeat('k', 256))$$,       'XE003', 'idempotency_key is too long'),
    ($$SELECT economy.purchase(USER, 'pgtap_a', repeat(E'\u20ac', 85) || 'k')$$, 'XE003', 'idempotency_key is too long'),
    ($$SELECT economy.purchase(USER, 'pgtap_a', 'k', 0)$$,                 'XE002', 'quantity 0 is out of range'),
    ($$SELECT economy.purchase(USER, 'pgtap_a', 'k', -1)$$,                'XE002', 'quantity -1 is out of range'),
    ($$SELECT economy.purchase(USER, 'pgtap_a', 'k', 1000001)$$,           'XE002', 'quantity 1000001 is out of range'),
    ($$SELECT economy.purchase(USER, 'pgtap_a', 'k', 2147483647)$$,        'XE002', 'quantity 2147483647 is out of range'),
    ($$SELECT economy.purchase(USER, 'pgtap_a', 'k', -2147483648)$$,       'XE002', 'quantity -2147483648 is out of range'),
    ($$SELECT economy.purchase(USER, 'pgtap_a', 'k', 1, '[]')$$,           'XE002', 'context must be a JSON object'),
    ($$SELECT economy.purchase(USER, 'pgtap_a', 'k', 1, 'null')$$,         'XE002', 'context must be a JSON object'),
    ($$SELECT economy.purchase(USER, 'pgtap_a', 'k', 1, '"text"')$$,       'XE002', 'context must be a JSON object'),
    ($$SELECT economy.purchase(USER, 'pgtap_a', 'k', 1, '1')$$,            'XE002', 'context must be a JSON object'),
    ($$SELECT economy.purchase(USER, 'pgtap_a', 'k', 1, jsonb_build_object('t', repeat('x', 4089)))$$, 'XE003', 'context is too long'),
    ($$SELECT economy.purchase(USER, 'pgtap_a', 'k', 1, '{"expected_price": "ten"}')$$,
                                                                           'XE002', 'context.expected_price must be a number'),
    ($$SELECT economy.purchase(USER, 'pgtap_a', 'k', 1, '{"expected_price": [10]}')$$,
                                                                           'XE002', 'context.expected_price must be a number'),
    ($$SELECT economy.purchase(USER, 'pgtap_a', 'k', 1, '{"expected_price": true}')$$,
                                                                           'XE002', 'context.expected_price must be a number'),

    ($$SELECT economy.promo_preview(NULL, 'pgtap_a', 'CODE')$$,            'XE001', 'user_id must not be null'),
    ($$SELECT economy.promo_preview(USER, NULL, 'CODE')$$,                 'XE001', 'product_id must not be null'),
    ($$SELECT economy.promo_preview(USER, 'pgtap_a', NULL)$$,              'XE001', 'code must not be null'),
    ($$SELECT economy.promo_preview(USER, 'pgtap_a', 'CODE', NULL)$$,      'XE001', 'quantity must not be null'),
    ($$SELECT economy.purchase(USER, 'pgtap_a', 'k', 1, '{"promo": 1}')$$, 'XE002', 'context.promo must be a text'),
    ($$SELECT economy.upsert_promo_code(NULL, 'a')$$,                      'XE001', 'promo must not be null'),
    ($$SELECT economy.upsert_promo_code('{"code": "C"}', NULL)$$,          'XE001', 'actor must not be null'),
    ($$SELECT economy.upsert_promo_code('{"code": "C"}', '')$$,            'XE002', NULL),
    ($$SELECT economy.retire_promo_code(NULL, 'a')$$,                      'XE001', 'code must not be null'),
    ($$SELECT economy.retire_promo_code('CODE', NULL)$$,                   'XE001', 'actor must not be null'),
    ($$SELECT economy.adjust_gold(NULL, 1, 'k', 'r', 'a')$$,               'XE001', 'user_id must not be null'),
    ($$SELECT economy.adjust_gold(USER, NULL, 'k', 'r', 'a')$$,            'XE001', 'delta must not be null'),
    ($$SELECT economy.adjust_gold(USER, 1, NULL, 'r', 'a')$$,              'XE001', 'idempotency_key must not be null'),
    ($$SELECT economy.adjust_gold(USER, 1, 'k', NULL, 'a')$$,              'XE001', 'reason must not be null'),
    ($$SELECT economy.adjust_gold(USER, 1, 'k', 'r', NULL)$$,              'XE001', 'actor must not be null'),
    ($$SELECT economy.adjust_gold(USER, 0, 'k', 'r', 'a')$$,               'XE002', 'delta must not be zero'),
    ($$SELECT economy.adjust_gold(USER, 1, '', 'r', 'a')$$,                'XE002', 'idempotency_key must not be empty'),
    ($$SELECT economy.adjust_gold(USER, 1, 'k', '', 'a')$$,                'XE002', 'reason must not be empty'),
    ($$SELECT economy.adjust_gold(USER, 1, 'k', 'r', '')$$,                'XE002', 'actor must not be empty'),
    ($$SELECT economy.adjust_gold(USER, 1, repeat('k', 256), 'r', 'a')$$,  'XE003', 'idempotency_key is too long'),
    ($$SELECT economy.adjust_gold(USER, 1, 'k', repeat('r', 1001), 'a')$$, 'XE003', 'reason is too long'),
    ($$SELECT economy.adjust_gold(USER, 1, 'k', 'r', repeat('a', 256))$$,  'XE003', 'actor is too long'),

    ($$SELECT economy.verify_receipt(NULL, 'P1-1')$$,                      'XE001', 'user_id must not be null'),
    ($$SELECT economy.verify_receipt(USER, NULL)$$,                        'XE001', 'transaction_id must not be null'),
    ($$SELECT economy.verify_chain(NULL)$$,                                'XE001', 'user_id must not be null'),
    ($$SELECT economy.retire_signing_key(NULL)$$,                          'XE001', 'version must not be null'),

    ($$SELECT economy.register('x', NULL)$$,                               'XE001', 'timezone must not be null'),
    ($$SELECT economy.register('x', 'UTC', NULL)$$,                        'XE001', 'profile must not be null'),
    ($$SELECT economy.register('')$$,                                      'XE003', 'external_id must have 1 to 255 bytes'),
    ($$SELECT economy.register(repeat('x', 256))$$,                        'XE003', 'external_id must have 1 to 255 bytes'),
    ($$SELECT economy.register(repeat(E'\u20ac', 85) || 'x')$$,            'XE003', 'external_id must have 1 to 255 bytes'),
    ($$SELECT economy.register('x', 'UTC', '[]')$$,                        'XE002', 'profile must be a JSON object'),
    ($$SELECT economy.register('x', 'UTC', 'null')$$,                      'XE002', 'profile must be a JSON object'),
    ($$SELECT economy.register('x', 'UTC', jsonb_build_object('t', repeat('x', 4089)))$$, 'XE003', 'profile is too long'),
    ($$SELECT economy.set_timezone(USER, NULL)$$,                          'XE001', 'timezone must not be null'),
    ($$SELECT economy.set_timezone(-1, 'UTC')$$,                           'XE202', 'user -1 does not exist'),
    ($$SELECT economy.set_user_status(USER, NULL, 'a')$$,                  'XE001', 'status must not be null'),
    ($$SELECT economy.set_user_status(USER, 'banned', 'a')$$,              'XE002', 'status must be active or suspended'),
    ($$SELECT economy.set_user_status(USER, 'active', NULL)$$,             'XE001', 'actor must not be null'),
    ($$SELECT economy.set_user_status(USER, 'active', '')$$,               'XE002', 'actor must not be empty'),
    ($$SELECT economy.set_user_status(USER, 'active', repeat('a', 256))$$, 'XE003', 'actor is too long'),
    ($$SELECT economy.set_user_status(USER, 'active', 'a', '')$$,          'XE002', 'idempotency_key must not be empty'),
    ($$SELECT economy.set_user_status(USER, 'active', 'a', 'k', repeat('r', 1001))$$, 'XE003', 'reason is too long'),
    ($$SELECT economy.set_timezone(USER, 'UTC', repeat('k', 256))$$,       'XE003', 'idempotency_key is too long'),
    ($$SELECT economy.update_profile(NULL, '{}', 'k')$$,                   'XE001', 'user_id must not be null'),
    ($$SELECT economy.update_profile(USER, NULL, 'k')$$,                   'XE001', 'patch must not be null'),
    ($$SELECT economy.update_profile(USER, '[]', 'k')$$,                   'XE002', 'patch must be a JSON object'),
    ($$SELECT economy.update_profile(USER, jsonb_build_object('a', repeat('x', 4096)), 'k')$$, 'XE003', 'patch is too long'),
    ($$SELECT economy.update_profile(USER, '{}', NULL)$$,                  'XE001', 'idempotency_key must not be null'),
    ($$SELECT economy.update_profile(USER, '{}', 'k', '')$$,               'XE002', 'actor must not be empty'),
    ($$SELECT economy.link_external_id(USER, NULL, 'k')$$,                 'XE001', 'external_id must not be null'),
    ($$SELECT economy.link_external_id(USER, '', 'k')$$,                   'XE002', 'external_id must not be empty'),
    ($$SELECT economy.link_external_id(USER, repeat('x', 256), 'k')$$,     'XE003', 'external_id is too long'),
    ($$SELECT economy.link_external_id(USER, 'x', NULL)$$,                 'XE001', 'idempotency_key must not be null'),
    ($$SELECT economy.unlink_external_id(NULL, 'k')$$,                     'XE001', 'user_id must not be null'),
    ($$SELECT economy.unlink_external_id(USER, NULL)$$,                    'XE001', 'idempotency_key must not be null'),
    ($$SELECT economy.unlink_external_id(USER, repeat('k', 256))$$,        'XE003', 'idempotency_key is too long'),
    ($$SELECT economy.set_user_status(-1, 'active', 'a')$$,                'XE202', 'user -1 does not exist'),

    ($$SELECT economy.upsert_product(NULL, 'a')$$,                         'XE001', 'product must not be null'),
    ($$SELECT economy.upsert_product('{"product_id": "pgtap_a"}', NULL)$$, 'XE001', 'actor must not be null'),
    ($$SELECT economy.upsert_product('{"product_id": "pgtap_a"}', '')$$,   'XE002', 'actor must have 1 to 255 bytes'),
    ($$SELECT economy.retire_product(NULL, 'a')$$,                         'XE001', 'product_id must not be null'),
    ($$SELECT economy.retire_product('pgtap_none', 'a')$$,                 'XE302', 'product "pgtap_none" does not exist'),
    ($$SELECT economy.retire_product('pgtap_a', NULL)$$,                   'XE001', 'actor must not be null'),
    ($$SELECT economy.add_stock(NULL, 1, 'a')$$,                           'XE001', 'product_id must not be null'),
    ($$SELECT economy.add_stock('pgtap_none', 1, 'a')$$,                   'XE302', 'product "pgtap_none" does not exist'),
    ($$SELECT economy.add_stock('pgtap_a', NULL, 'a')$$,                   'XE001', 'units must not be null'),
    ($$SELECT economy.add_stock('pgtap_a', 1, NULL)$$,                     'XE001', 'actor must not be null'),
    ($$SELECT economy.add_stock('pgtap_a', 1, 'a', NULL)$$,                'XE001', 'slots must not be null'),
    ($$SELECT economy.add_stock('pgtap_a', 1, 'a', 0)$$,                   'XE303', 'slots must be 1 to 64'),
    ($$SELECT economy.add_stock('pgtap_a', 1, 'a', 65)$$,                  'XE303', 'slots must be 1 to 64'),
    ($$SELECT economy.add_stock('pgtap_a', -6, 'a')$$,                     'XE303', 'stock of "pgtap_a" cannot change by -6'),
    ($$SELECT economy.add_stock('pgtap_a', 9007199254740991, 'a')$$,       'XE303', 'stock of "pgtap_a" cannot change by 9007199254740991'),
    ($$SELECT economy.add_stock('pgtap_a', 9007199254740992, 'a')$$,       'XE303', 'units must be a number up to 2^53-1'),
    ($$SELECT economy.add_stock('pgtap_a', 9223372036854775807, 'a')$$,    'XE303', 'units must be a number up to 2^53-1'),
    ($$SELECT economy.add_stock('pgtap_a', -9223372036854775808, 'a')$$,   'XE303', 'units must be a number up to 2^53-1'),

    ($$SELECT economy.retry_leaderboard_prizes(NULL)$$,                    'XE001', 'board must not be null'),
    ($$SELECT economy.retry_leaderboard_prizes('pgtap_none')$$,            'XE504', 'leaderboard "pgtap_none" does not exist'),

    ($$SELECT economy.grant_access(NULL, 'app')$$,                         'XE801', NULL),
    ($$SELECT economy.grant_access('pgtap_no_such_role', 'app')$$,         'XE801', 'role "pgtap_no_such_role" does not exist'),
    ($$SELECT economy.grant_access(current_user, NULL)$$,                  'XE801', 'access level must be app, monitor, operator or admin'),
    ($$SELECT economy.grant_access(current_user, 'owner')$$,               'XE801', 'access level must be app, monitor, operator or admin'),
    ($$SELECT economy.revoke_access('pgtap_no_such_role', 'app')$$,        'XE801', 'role "pgtap_no_such_role" does not exist')
) v (call, code, message);

-- readers answer null for null
SELECT is(economy.user_id_of(NULL), NULL, 'user_id_of(null) is null');
SELECT is(economy.user_id_of(repeat('x', 1000)), NULL, 'user_id_of() of a huge name is null');
SELECT is_empty('SELECT * FROM economy.account(NULL)', 'account(null) has no row');
SELECT is_empty('SELECT * FROM economy.account(-1)', 'account() of an unknown user has no row');
SELECT throws_ok(format('SELECT * FROM economy.%s(%s -1)', name, args), 'XE002', says, name || ' of less than none')
FROM (VALUES
    ('job_history', 'NULL,', 'max must be 0 or more'), ('audit_open', '', 'max must be 0 or more'), ('audit_history', '', 'max must be 0 or more'),
    ('stats_parity', '', 'sample must be 0 or more'), ('statement', :'u' || ', 0,', 'max must be 0 or more'),
    ('replay', :'u' || ', 0,', 'max must be from 1 to 10000'), ('changes', 'NULL,', 'max must be from 1 to 10000'),
    ('rollup_stats', '', 'max_users must be 1 or more'), ('refresh_leaderboards', '', 'max_users must be 1 or more'), ('pay_leaderboard_prizes', '', 'max_users must be 1 or more'),
    ('audit_step', '', 'max_users must be 1 or more'),
    ('audit_sweep_incremental', '', 'max_users must be 1 or more'), ('learn_recommendations', '', 'max_decisions must be 1 or more'),
    ('anchor_step', '', 'max_users and keep must be 1 or more'), ('anchor', '', 'max_users and keep must be 1 or more')) v (name, args, says);
SELECT is_empty(format('SELECT * FROM economy.%s', call), call || ' has no row')
FROM (VALUES ('job_history(NULL, 0)'), ('audit_open(0)'), ('audit_history(0)'), ('stats_parity(0)')) v (call);
SELECT is_empty('SELECT * FROM economy.statement(NULL)', 'statement(null) has no row');
SELECT is_empty('SELECT * FROM economy.purchases_of(NULL)', 'purchases_of(null) has no row');
SELECT is_empty('SELECT * FROM economy.purchases_of(-1)', 'purchases_of() of an unknown user has no row');
SELECT is_empty('SELECT * FROM economy.profile(NULL)', 'profile(null) has no row');
SELECT is_empty('SELECT * FROM economy.profile(-1)', 'profile() of an unknown user has no row');
SELECT is_empty('SELECT * FROM economy.product(NULL)', 'product(null) has no row');
SELECT is_empty($$SELECT * FROM economy.product('pgtap never')$$, 'product() of an unknown product has no row');
SELECT is_empty('SELECT * FROM economy.statement(-1)', 'statement() of an unknown user has no row');
SELECT is_empty('SELECT * FROM economy.receipt(NULL, NULL)', 'receipt(null) has no row');
SELECT is_empty('SELECT * FROM economy.verify_chain(-1)', 'verify_chain() of an unknown user finds nothing');

-- unknown ids are refused, not raised
SELECT is(p.state || ' ' || p.code, 'refused USER_NOT_FOUND', 'purchase by user ' || u)
FROM (VALUES (-1), (0), (9223372036854775807), (-9223372036854775808)) v (u), economy.purchase(u::bigint, 'pgtap_a', 'k') p;
SELECT is(p.state || ' ' || p.code, 'refused PRODUCT_NOT_FOUND', 'purchase of an unknown product')
FROM economy.purchase(:u, 'pgtap_none', 'k') p;
SELECT is(p.state || ' ' || p.code, 'refused USER_NOT_FOUND', 'adjust_gold of an unknown user')
FROM economy.adjust_gold(-1, 1, 'k', 'r', 'a') p;

-- Whatever the argument that is null, a public function answers, or says that it
-- must not be null; unless it says of another argument what it says without nulls.
CREATE FUNCTION pg_temp.null_arguments(target text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    f      regprocedure := substring(target FROM 'FUNCTION (.*)')::regprocedure;
    types  oid[] := (SELECT proargtypes FROM pg_proc WHERE oid = f);
    args   text;
    answer text := '';
    state  text;
    usual  text;
BEGIN
    FOR missing IN -1 .. coalesce(array_upper(types, 1), -1) LOOP
        SELECT string_agg(coalesce(CASE WHEN n <> missing THEN CASE t.typcategory
                   WHEN 'N' THEN CASE t.oid WHEN 'bigint'::regtype THEN economy.user_id_of('pgtap arguments')::text ELSE '1' END
                   WHEN 'S' THEN '''x''' WHEN 'B' THEN 'false' WHEN 'D' THEN '''2031-01-01''' WHEN 'T' THEN '''1 day'''
                   WHEN 'A' THEN '''{0,1}''' WHEN 'U' THEN CASE t.oid WHEN 'uuid'::regtype THEN '''00000000-0000-0000-0000-000000000000''' ELSE '''{}''' END END
               END, 'NULL') || '::' || replace(format_type(t.oid, NULL), 'anyelement', 'economy.reward_audit'), ', ' ORDER BY n)
        INTO args FROM generate_subscripts(types, 1) n JOIN pg_type t ON t.oid = types[n];
        state := '';
        BEGIN
            EXECUTE format('SELECT * FROM %s(%s)', f::oid::regproc, args);
            RAISE EXCEPTION 'undo' USING ERRCODE = 'XT000';
        EXCEPTION WHEN OTHERS THEN
            state := sqlstate;
        END;
        IF missing = -1 THEN
            usual := state;
        ELSIF state NOT IN ('XT000', 'XE001') AND (state <> usual OR state NOT LIKE 'XE%') THEN
            answer := answer || format('%s for %s ', state, args);
        END IF;
    END LOOP;
    RETURN answer;
END
$$;
SELECT is(string_agg(object || ': ' || pg_temp.null_arguments(object), '; ') FILTER (WHERE pg_temp.null_arguments(object) <> ''),
          NULL, 'a null argument of a public function is answered, or is XE001')
-- a procedure commits, so not in this transaction, and an aggregate does not stand in FROM
FROM (SELECT DISTINCT object FROM economy.access_list() WHERE object LIKE 'FUNCTION %' AND object NOT LIKE '%.archive_digest(%') a;

-- the longest that are taken, and what is one byte longer
SAVEPOINT longest;
SELECT transaction_id AS reward FROM economy.grant_reward(:u, repeat('s', 64), repeat('e', 255), 2, 2) \gset
CREATE FUNCTION pg_temp.state_of(call text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE call;
    RETURN 'taken';
EXCEPTION WHEN OTHERS THEN
    RETURN sqlstate;
END
$$;
SELECT is(pg_temp.state_of(replace(replace(call, 'USER', :'u'), 'LENGTH', max::text)) || ' ' || pg_temp.state_of(replace(replace(call, 'USER', :'u'), 'LENGTH', (max + 1)::text)),
          'taken XE003', format('%s of %s bytes', call, max))
FROM (VALUES
    ('SELECT economy.register(repeat(''x'', LENGTH))', 255),
    ('SELECT economy.purchase(USER, ''pgtap_a'', repeat(''k'', LENGTH), dry_run => true)', 255),
    ('SELECT economy.purchase(USER, repeat(''p'', LENGTH), ''k'', dry_run => true)', 64),
    ('SELECT economy.adjust_gold(USER, 1, repeat(''k'', LENGTH), ''r'', ''a'')', 255),
    ('SELECT economy.adjust_gold(USER, 1, ''k1'', repeat(''r'', LENGTH), ''a'')', 1000),
    ('SELECT economy.adjust_gold(USER, 1, ''k2'', ''r'', repeat(''a'', LENGTH))', 255),
    ('SELECT economy.grant_reward(USER, repeat(''s'', LENGTH), ''e'')', 64),
    ('SELECT economy.grant_reward(USER, ''s'', repeat(''e'', LENGTH))', 255),
    ('SELECT economy.revoke_reward(USER, ''REWARD'', repeat(''r'', LENGTH), ''a'', 0, 0, ''take'', ''k1'')', 1000),
    ('SELECT economy.revoke_reward(USER, ''REWARD'', ''r'', repeat(''a'', LENGTH), 0, 0, ''take'', ''k2'')', 255),
    ('SELECT economy.revoke_reward(USER, ''REWARD'', ''r'', ''a'', 0, 0, ''take'', repeat(''k'', LENGTH))', 255),
    ('SELECT economy.revoke_reward(USER, repeat(''R'', LENGTH), ''r'', ''a'')', 255),
    ('SELECT economy.refund_purchase(USER, ''P'', repeat(''k'', LENGTH), 1, ''r'', ''a'')', 255),
    ('SELECT economy.refund_purchase(USER, ''P'', ''k'', 1, repeat(''r'', LENGTH), ''a'')', 1000),
    ('SELECT economy.refund_purchase(USER, ''P'', ''k'', 1, ''r'', repeat(''a'', LENGTH))', 255),
    ('SELECT economy.refund_purchase(USER, repeat(''P'', LENGTH), ''k'', 1, ''r'', ''a'')', 255),
    ('SELECT economy.set_streak(USER, 0, NULL, repeat(''r'', LENGTH), ''a'')', 1000),
    ('SELECT economy.set_streak(USER, 0, NULL, ''r'', repeat(''a'', LENGTH))', 255),
    ('SELECT economy.set_streak(USER, 0, NULL, ''r'', ''a'', repeat(''k'', LENGTH))', 255),
    ('SELECT economy.set_timezone(USER, ''UTC'', repeat(''k'', LENGTH))', 255),
    ('SELECT economy.set_user_status(USER, ''active'', repeat(''a'', LENGTH))', 255),
    ('SELECT economy.set_user_status(USER, ''active'', ''a'', repeat(''k'', LENGTH))', 255),
    ('SELECT economy.set_user_status(USER, ''active'', ''a'', ''k'', repeat(''r'', LENGTH))', 1000),
    ('SELECT economy.update_profile(USER, ''{}'', repeat(''k'', LENGTH))', 255),
    ('SELECT economy.update_profile(USER, ''{}'', ''k'', repeat(''a'', LENGTH))', 255),
    ('SELECT economy.link_external_id(USER, repeat(''x'', LENGTH), ''k'')', 255),
    ('SELECT economy.link_external_id(USER, ''pgtap arguments'', repeat(''k'', LENGTH))', 255),
    ('SELECT economy.link_external_id(USER, ''pgtap arguments'', ''k1'', repeat(''a'', LENGTH))', 255),
    ('SELECT economy.unlink_external_id(USER, ''k'', repeat(''a'', LENGTH))', 255),
    ('SELECT economy.unlink_external_id(USER, repeat(''k'', LENGTH))', 255)) v (c, max), LATERAL (SELECT replace(c, 'REWARD', :'reward') AS call) w;
ROLLBACK TO SAVEPOINT longest;

-- nothing of all this has written anything
SELECT is((SELECT a FROM economy.accounts a WHERE a.user_id = :u)::text, account, 'the account is as it was') FROM before;
SELECT is((SELECT sum(remaining) FROM economy.shop_stock WHERE product_id = 'pgtap_a'), stock, 'the stock is as it was') FROM before;
SELECT is((SELECT count(*) FROM economy.shop_product_changes), changes, 'no catalogue change was recorded') FROM before;
SELECT is((SELECT count(*) FROM economy.users), users, 'nobody was registered') FROM before;
SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s)', :u), 'the chain is clean');

SELECT * FROM finish();
ROLLBACK;
