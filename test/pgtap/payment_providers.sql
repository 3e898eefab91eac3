-- Providers of outside money, their secrets, and what verify_webhook() says of a webhook.
BEGIN;
SELECT no_plan();

SET LOCAL economy.test_clock = '2021-02-25 15:02:10+00';
CREATE FUNCTION pg_temp.findings() RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(concat_ws(' ', f.kind, f.expected, '|', f.actual), ', ' ORDER BY f.expected) FROM (SELECT * FROM economy_internal.audit_keys() UNION ALL SELECT * FROM economy_internal.audit_config()) f WHERE f.kind <> 'wrong_seed' $$;
CREATE FUNCTION pg_temp.after(damage text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    EXECUTE damage;
    answer := pg_temp.findings();
    RAISE EXCEPTION USING ERRCODE = 'UNDO0', MESSAGE = coalesce(answer, 'none');
EXCEPTION WHEN SQLSTATE 'UNDO0' THEN
    RETURN SQLERRM;
END
$$;
CREATE FUNCTION pg_temp.brief(w economy.webhook_check) RETURNS text LANGUAGE sql AS
    $$ SELECT concat_ws(' ', w.valid, w.reason, w.webhook_id, extract(epoch FROM w.sent_at)::bigint, w.secret_version) $$;

-- providers
SELECT is(p::text, '(pgtap_std,standard,,86400,30,3600,12)', 'a provider') FROM economy.set_payment_provider('{"provider": "pgtap_std", "profile": "standard"}', 'ann') p;
SELECT is(p::text, '(pgtap_stripe,stripe,,86400,30,3600,12)', 'and another one') FROM economy.set_payment_provider('{"provider": "pgtap_stripe", "profile": "stripe"}', 'ann') p;
SELECT is(p::text, '(pgtap_std,standard,,86400,30,3600,12)', 'given again') FROM economy.set_payment_provider('{"provider": "pgtap_std"}', 'bob') p;
SELECT results_eq($$SELECT c.key, c.action, c.actor, c.after FROM economy.config_changes c WHERE c.relation = 'payment_providers' AND c.key LIKE 'pgtap%' ORDER BY c.change_id$$,
    $$VALUES ('pgtap_std' COLLATE "C", 'create', 'ann', '{"profile": "standard", "provider": "pgtap_std", "currency": null, "expiry_s": 86400, "retry_base_s": 30, "retry_cap_s": 3600, "max_attempts": 12}'::jsonb), ('pgtap_stripe', 'create', 'ann', '{"profile": "stripe", "provider": "pgtap_stripe", "currency": null, "expiry_s": 86400, "retry_base_s": 30, "retry_cap_s": 3600, "max_attempts": 12}'), ('pgtap_std', 'change', 'bob', '{"profile": "standard", "provider": "pgtap_std", "currency": null, "expiry_s": 86400, "retry_base_s": 30, "retry_cap_s": 3600, "max_attempts": 12}')$$,
    'each change is recorded');
SELECT throws_ok(format('SELECT economy.set_payment_provider(%s)', args), code, says, args)
FROM (VALUES ('''[]'', ''a''', 'XE701', 'provider must be a JSON object with a provider'), ('''{"profile": "stripe"}'', ''a''', 'XE701', 'provider must be a JSON object with a provider'),
    ('''{"provider": "pgtap_x"}'', ''a''', 'XE701', 'provider "pgtap_x" is not valid'), ('''{"provider": "pgtap_x", "profile": "paypal"}'', ''a''', 'XE701', 'provider "pgtap_x" is not valid'),
    ('''{"provider": "pgtap_x", "profile": null}'', ''a''', 'XE701', 'provider "pgtap_x" is not valid'), ('''{"provider": "", "profile": "stripe"}'', ''a''', 'XE701', 'provider "" is not valid'),
    ('''{"provider": "pgtap_x", "profile": "stripe", "secret": "whsec_hidden"}'', ''a''', 'XE701', 'provider "pgtap_x" is not valid'),
    ('''{"provider": "pgtap_std", "profile": "stripe"}'', ''a''', 'XE701', 'provider "pgtap_std" is not valid'), ('''{"provider": "pgtap_std", "profile": null}'', ''a''', 'XE701', 'provider "pgtap_std" is not valid'),
    ('NULL, ''a''', 'XE001', 'provider must not be null'), ('''{}'', NULL', 'XE001', 'actor must not be null'), ('''{}'', ''''', 'XE002', 'actor must have 1 to 255 bytes')) v (args, code, says);
SELECT is(p::text, '(pgtap_std,standard,EUR,600,5,60,3)', 'what it is paid in, and how it is asked') FROM economy.set_payment_provider('{"provider": "pgtap_std", "currency": "EUR", "expiry_s": 600, "retry_base_s": 5, "retry_cap_s": 60, "max_attempts": 3}', 'ann') p;
SELECT is(p::text, '(pgtap_std,standard,EUR,600,5,60,3)', 'the same currency again') FROM economy.set_payment_provider('{"provider": "pgtap_std", "currency": "EUR"}', 'ann') p;
CREATE FUNCTION pg_temp.why(given text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    says text;
BEGIN
    PERFORM economy.set_payment_provider(jsonb_build_object('provider', 'pgtap_std') || given::jsonb, 'ann');
    RETURN 'taken';
EXCEPTION WHEN SQLSTATE 'XE701' THEN
    GET STACKED DIAGNOSTICS says = PG_EXCEPTION_DETAIL;
    RETURN says;
END
$$;
SELECT is(pg_temp.why(given), says, given)
FROM (VALUES ('{"currency": "USD"}', 'currency is EUR for ever: prices are in it.'), ('{"currency": null}', 'currency is EUR for ever: prices are in it.'),
    ('{"provider": "pgtap_stripe", "currency": "eur"}', 'currency must be a code of three capitals, such as EUR.'), ('{"expiry_s": 59}', 'expiry_s must be from 60 to 2592000.'),
    ('{"retry_base_s": 61}', 'retry_base_s must not be above retry_cap_s.'), ('{"retry_cap_s": 4}', 'retry_base_s must not be above retry_cap_s.'),
    ('{"max_attempts": 0}', 'max_attempts must be from 1 to 100.'), ('{"max_attempts": 101}', 'max_attempts must be from 1 to 100.'), ('{"max_attempts": null}', 'max_attempts must not be null.')) v (given, says);

-- secrets
SELECT is(economy.add_payment_secret('pgtap_std', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'ann'), 1, 'a secret');
SELECT is(economy.add_payment_secret('pgtap_std', 'MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'bob'), 1, 'is the same without its prefix');
SELECT is(economy.add_payment_secret('pgtap_std', 'whsec_AAECAwQFBgcICQoLDA0ODw==', 'bob'), 2, 'another one');
SELECT is(economy.add_payment_secret('pgtap_stripe', 'whsec_test_secret', 'ann'), 1, 'and of another provider');
SELECT is((SELECT encode(s.material, 'escape') FROM economy.payment_secrets s WHERE s.provider = 'pgtap_stripe'), 'whsec_test_secret', 'of which the whole is the key');
SELECT throws_ok(format('SELECT economy.add_payment_secret(%s)', args), code, says, args)
FROM (VALUES ('''pgtap_none'', ''whsec_test_secret'', ''a''', 'XE702', 'provider "pgtap_none" does not exist'), ('NULL, ''x'', ''a''', 'XE001', 'provider must not be null'),
    ('''pgtap_std'', NULL, ''a''', 'XE001', 'secret must not be null'), ('''pgtap_std'', ''whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'', NULL', 'XE001', 'actor must not be null'),
    ('''pgtap_std'', '''', ''a''', 'XE701', 'secret is none of the profile standard'), ('''pgtap_std'', ''whsec_'', ''a''', 'XE701', 'secret is none of the profile standard'),
    ('''pgtap_std'', ''whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS'', ''a''', 'XE701', 'secret is none of the profile standard'),
    ('''pgtap_stripe'', ''whsec_short'', ''a''', 'XE701', 'secret is none of the profile stripe'), ('''pgtap_stripe'', repeat(''x'', 257), ''a''', 'XE701', 'secret is none of the profile stripe')) v (args, code, says);
SELECT ok(NOT EXISTS (SELECT FROM economy.config_changes c WHERE c.relation = 'payment_secrets' AND (c.after ->> 'material') !~ '^[0-9a-f]{64}$'), 'of the material the history has a digest');
SELECT results_eq($$SELECT c.key, c.action, c.actor FROM economy.config_changes c WHERE c.relation = 'payment_secrets' AND c.key LIKE 'pgtap%' ORDER BY c.change_id$$,
    $$VALUES ('pgtap_std:1' COLLATE "C", 'create', 'ann'), ('pgtap_std:2', 'create', 'bob'), ('pgtap_stripe:1', 'create', 'ann')$$, 'and who added it');
SELECT is(pg_temp.findings(), NULL, 'nothing is wrong with them');

-- the vector of Standard Webhooks
CREATE FUNCTION pg_temp.standard(signature text, at text DEFAULT '1614265330', id text DEFAULT 'msg_p5jXN8AQM9LWM0D4loKWxJek', body text DEFAULT '{"test": 2432232314}', provider text DEFAULT 'pgtap_std') RETURNS text LANGUAGE sql AS
    $$ SELECT pg_temp.brief(economy.verify_webhook(provider, jsonb_strip_nulls(jsonb_build_object('Webhook-Id', id, 'webhook-timestamp', at, 'WEBHOOK-SIGNATURE', signature, 'host', 'x')), convert_to(body, 'UTF8'))) $$;
\set good v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=
SELECT is(pg_temp.standard(:'good'), 't OK msg_p5jXN8AQM9LWM0D4loKWxJek 1614265330 1', 'the published signature');
SELECT is(pg_temp.standard('v1,v48jdbgvh29KJz2Qc+ghw8G6vG3nAKnujWBg8oM/62A=', body => ''), 't OK msg_p5jXN8AQM9LWM0D4loKWxJek 1614265330 1', 'of an empty body');
SELECT is(pg_temp.standard('v1,AAAA v2,AAAA ' || :'good' || ' v1,AAAA'), 't OK msg_p5jXN8AQM9LWM0D4loKWxJek 1614265330 1', 'among others');
SELECT is(pg_temp.standard(signature), 'f WRONG_SIGNATURE', 'no signature: ' || signature) FROM (VALUES (''), ('v1,'), ('v1,g0hM9SsE'), ('v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc='),
    ('v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OA='), ('v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='), ('v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlN IOLJ1OE=')) v (signature);
SELECT is(pg_temp.standard(:'good', body => '{"test": 2432232315}'), 'f WRONG_SIGNATURE', 'another body');
SELECT is(pg_temp.standard(:'good', id => 'msg_2'), 'f WRONG_SIGNATURE', 'another id');
SELECT is(pg_temp.standard(:'good', at => '1614265331'), 'f WRONG_SIGNATURE', 'another time');
SELECT is(pg_temp.standard(:'good', at => at), 'f HEADER_NOT_VALID', 'no time: ' || at) FROM (VALUES ('hello'), (''), ('1614265330.0')) v (at);
SELECT is(pg_temp.standard(:'good', id => id), 'f HEADER_NOT_VALID', 'no id: ' || left(id, 5)) FROM (VALUES (''), ('a.1'), (repeat('x', 256))) v (id);
SELECT is(ARRAY[pg_temp.standard(NULL), pg_temp.standard(:'good', id => NULL), pg_temp.standard(:'good', at => NULL)], '{f HEADER_MISSING,f HEADER_MISSING,f HEADER_MISSING}'::text[], 'a header that is not there');
SELECT is(pg_temp.standard(:'good', provider => 'pgtap_none'), 'f PROVIDER_NOT_FOUND', 'a provider that is not there');
SELECT is(pg_temp.brief(economy.verify_webhook('pgtap_std', headers::jsonb, '')), 'f HEADER_NOT_VALID', 'not one text: ' || headers)
FROM (VALUES ('{"webhook-id": "a", "Webhook-ID": "b"}'), ('{"webhook-id": 1}'), ('{"webhook-id": null}'), ('{"webhook-id": {"a": "b"}}'), ('{"webhook-id": ["a", "b"]}'), ('{"webhook-id": []}'), ('{"webhook-id": [["a"]]}'), ('{"webhook-signature": 1}')) v (headers);
SELECT is(pg_temp.brief(economy.verify_webhook('pgtap_std', jsonb_build_object('webhook-id', ARRAY['msg_p5jXN8AQM9LWM0D4loKWxJek'], 'x', '{"webhook-id": "y"}'::jsonb, 'webhook-timestamp', ARRAY['1614265330'], 'webhook-signature', ARRAY[:'good']),
    convert_to('{"test": 2432232314}', 'UTF8'))), 't OK msg_p5jXN8AQM9LWM0D4loKWxJek 1614265330 1', 'or an array of it');
SELECT throws_ok(call, code, says, call) FROM (VALUES ('SELECT economy.verify_webhook(NULL, ''{}'', '''')', 'XE001', 'provider must not be null'), ('SELECT economy.verify_webhook(''p'', NULL, '''')', 'XE001', 'headers must not be null'),
    ('SELECT economy.verify_webhook(''p'', ''{}'', NULL)', 'XE001', 'body must not be null'), ('SELECT economy.verify_webhook(''p'', ''[]'', '''')', 'XE002', 'headers must be a JSON object')) v (call, code, says);
SET LOCAL economy.test_clock = '2021-02-25 15:07:10+00';
SELECT is(pg_temp.standard(:'good'), 't OK msg_p5jXN8AQM9LWM0D4loKWxJek 1614265330 1', '300 s later');
SET LOCAL economy.test_clock = '2021-02-25 15:07:11+00';
SELECT is(pg_temp.standard(:'good'), 'f TOO_OLD', '301 s later');
SET LOCAL economy.test_clock = '2021-02-25 14:57:10+00';
SELECT is(pg_temp.standard(:'good'), 't OK msg_p5jXN8AQM9LWM0D4loKWxJek 1614265330 1', '300 s before');
SET LOCAL economy.test_clock = '2021-02-25 14:57:09+00';
SELECT is(pg_temp.standard(:'good'), 'f TOO_NEW', '301 s before');

-- Stripe's rule
SET LOCAL economy.test_clock = '2021-02-25 15:02:10+00';
CREATE FUNCTION pg_temp.stripe(signature text) RETURNS text LANGUAGE sql AS
    $$ SELECT pg_temp.brief(economy.verify_webhook('pgtap_stripe', jsonb_build_object('Stripe-Signature', signature), convert_to(E'{\n  "id": "evt_test_webhook",\n  "object": "event"\n}', 'UTF8'))) $$;
\set hex v1=af4ead0627a34a8cca29808e8de9ada8e41a92e6237c63cef6eacf51d36cca34
SELECT is(pg_temp.stripe('t=1614265330,' || :'hex'), 't OK 1614265330 1', 'the signature');
SELECT is(pg_temp.stripe('t=1614265330,v1=00,' || :'hex' || ',v0=11'), 't OK 1614265330 1', 'among others');
SELECT is(pg_temp.stripe('t=1614265331,' || :'hex'), 'f WRONG_SIGNATURE', 'another time');
SELECT is(pg_temp.stripe('t=1614265330,' || upper(:'hex')), 'f WRONG_SIGNATURE', 'in capitals');
SELECT is(pg_temp.stripe(:'hex'), 'f HEADER_NOT_VALID', 'no time');
SELECT is(pg_temp.stripe('t=1614265330,t=1614265330,' || :'hex'), 'f HEADER_NOT_VALID', 'two of them');
SELECT is(pg_temp.brief(economy.verify_webhook('pgtap_stripe', '{}', '')), 'f HEADER_MISSING', 'no header');
SET LOCAL economy.test_clock = '2021-02-25 15:07:11+00';
SELECT is(pg_temp.stripe('t=1614265330,' || :'hex'), 'f TOO_OLD', '301 s later');
SET LOCAL economy.test_clock = '2020-02-25 15:02:10+00';
SELECT is(pg_temp.stripe('t=1614265330,' || :'hex'), 't OK 1614265330 1', 'a year before');

-- a rotation: each secret is as good until it is retired
SET LOCAL economy.test_clock = '2021-02-25 15:02:10+00';
SELECT is(economy.add_payment_secret('pgtap_stripe', 'whsec_of_the_rotation', 'bob'), 2, 'the next secret');
SELECT is(pg_temp.stripe('t=1614265330,' || :'hex'), 't OK 1614265330 1', 'the old one is as good');
SELECT is(economy.retire_payment_secret('pgtap_stripe', 1, 'ann'), true, 'it is retired');
SELECT is(pg_temp.stripe('t=1614265330,' || :'hex'), 'f WRONG_SIGNATURE', 'and good for nothing');
SELECT is((SELECT s.state || octet_length(s.material) || (s.retired_at = economy.now()) FROM economy.payment_secrets s WHERE s.provider = 'pgtap_stripe' AND s.version = 1), 'retired0true', 'its material is gone');
SELECT is(economy.retire_payment_secret('pgtap_stripe', 1, 'ann'), false, 'once');
SELECT is(economy.retire_payment_secret('pgtap_stripe', 9, 'ann'), false, 'nor is one that is not there');
SELECT is(economy.retire_payment_secret('pgtap_stripe', 2, 'ann'), true, 'the last one');
SELECT is(pg_temp.stripe('t=1614265330,' || :'hex'), 'f NO_SECRET', 'none is left');
SELECT is(economy.add_payment_secret('pgtap_stripe', 'whsec_test_secret', 'ann'), 3, 'a retired one is added anew');
SELECT is(pg_temp.stripe('t=1614265330,' || :'hex'), 't OK 1614265330 3', 'and good again');
SELECT throws_ok(format('SELECT economy.retire_payment_secret(%s)', args), code, says, args) FROM (VALUES ('''pgtap_none'', 1, ''a''', 'XE702', 'provider "pgtap_none" does not exist'),
    ('''pgtap_std'', NULL, ''a''', 'XE001', 'version must not be null'), ('NULL, 1, ''a''', 'XE001', 'provider must not be null'), ('''pgtap_std'', 1, NULL', 'XE001', 'actor must not be null')) v (args, code, says);
SELECT is((SELECT count(economy.add_payment_secret('pgtap_stripe', 'whsec_of_the_crowd_' || n, 'ann')) FROM generate_series(1, 7) n), 7::bigint, 'eight are active');
SELECT throws_ok($$SELECT economy.add_payment_secret('pgtap_stripe', 'whsec_of_the_crowd_8', 'a')$$, 'XE701', 'provider "pgtap_stripe" has 8 active secrets', 'no ninth one');
SELECT is(economy.add_payment_secret('pgtap_stripe', 'whsec_of_the_crowd_7', 'a'), 10, 'one of the eight is no ninth');
SELECT is(pg_temp.findings(), NULL, 'nothing is wrong with them');

-- what a constraint has to say of the row is not passed on
ALTER TABLE economy.payment_secrets ADD CONSTRAINT pgtap_none CHECK (provider <> 'pgtap_std') NOT VALID;
CREATE FUNCTION pg_temp.told() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    PERFORM economy.add_payment_secret('pgtap_std', 'whsec_c2VjcmV0IHNlY3JldCBzZWNyZXQ=', 'a');
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN SQLSTATE || ' ' || SQLERRM || ': ' || detail;
END
$$;
SELECT is(pg_temp.told(), 'XE701 a constraint refuses the secret: It is pgtap_none of economy.payment_secrets.', 'a constraint of a DBA');
ALTER TABLE economy.payment_secrets DROP CONSTRAINT pgtap_none;

-- damage
SELECT is(left(pg_temp.after(damage), length(says)), says, damage) FROM (VALUES
    ($$UPDATE economy.payment_secrets SET material = '' WHERE provider = 'pgtap_std' AND version = 2$$, 'wrong_key payment secret pgtap_std:2 with 16 to 256 bytes | 0 bytes'),
    ($$UPDATE economy.payment_secrets SET material = decode(repeat('00', 24), 'hex') WHERE provider = 'pgtap_std' AND version = 2$$, 'wrong_config payment_secrets pgtap_std:2'),
    ($$UPDATE economy.payment_secrets SET material = 'x' WHERE state = 'retired' AND provider = 'pgtap_stripe' AND version = 1$$, 'wrong_key payment secret pgtap_stripe:1 with 0 bytes | 1 bytes'),
    ($$DELETE FROM economy.payment_secrets WHERE provider = 'pgtap_std' AND version = 2$$, 'wrong_config payment_secrets pgtap_std:2'),
    ($$UPDATE economy.payment_providers SET profile = 'stripe' WHERE provider = 'pgtap_std'$$, 'wrong_config payment_providers pgtap_std'),
    ($$DELETE FROM economy.payment_providers WHERE provider = 'pgtap_std'$$, 'wrong_config payment_providers pgtap_std')) v (damage, says);

SELECT * FROM finish();
ROLLBACK;
