-- settle: providers of outside money, and whether a webhook is of one

CREATE TABLE economy.payment_providers (
    provider text NOT NULL COLLATE "C" CONSTRAINT payment_providers_pkey PRIMARY KEY
        CONSTRAINT payment_providers_provider_check CHECK (octet_length(provider) BETWEEN 1 AND 64),
    profile  text NOT NULL COLLATE "C"
        CONSTRAINT payment_providers_profile_check CHECK (profile IN ('standard', 'stripe')),
    currency text COLLATE "C"
        CONSTRAINT payment_providers_currency_check CHECK (currency ~ '^[A-Z]{3}$'),
    expiry_s integer NOT NULL DEFAULT 86400
        CONSTRAINT payment_providers_expiry_s_check CHECK (expiry_s BETWEEN 60 AND 2592000),
    retry_base_s integer NOT NULL DEFAULT 30
        CONSTRAINT payment_providers_retry_base_s_check CHECK (retry_base_s BETWEEN 1 AND 3600),
    retry_cap_s integer NOT NULL DEFAULT 3600
        CONSTRAINT payment_providers_retry_cap_s_check CHECK (retry_cap_s BETWEEN 1 AND 86400),
    max_attempts integer NOT NULL DEFAULT 12
        CONSTRAINT payment_providers_max_attempts_check CHECK (max_attempts BETWEEN 1 AND 100),
    CONSTRAINT payment_providers_retry_check CHECK (retry_base_s <= retry_cap_s)
);
SELECT pg_catalog.pg_extension_config_dump('economy.payment_providers', '');
COMMENT ON TABLE economy.payment_providers IS
    'Providers of outside money. Changed by set_payment_provider() only.';
COMMENT ON CONSTRAINT payment_providers_provider_check ON economy.payment_providers IS
    'provider must have 1 to 64 bytes';
COMMENT ON CONSTRAINT payment_providers_profile_check ON economy.payment_providers IS
    'profile must be standard or stripe';
COMMENT ON CONSTRAINT payment_providers_currency_check ON economy.payment_providers IS
    'currency must be a code of three capitals, such as EUR';
COMMENT ON CONSTRAINT payment_providers_expiry_s_check ON economy.payment_providers IS
    'expiry_s must be from 60 to 2592000';
COMMENT ON CONSTRAINT payment_providers_retry_base_s_check ON economy.payment_providers IS
    'retry_base_s must be from 1 to 3600';
COMMENT ON CONSTRAINT payment_providers_retry_cap_s_check ON economy.payment_providers IS
    'retry_cap_s must be from 1 to 86400';
COMMENT ON CONSTRAINT payment_providers_max_attempts_check ON economy.payment_providers IS
    'max_attempts must be from 1 to 100';
COMMENT ON CONSTRAINT payment_providers_retry_check ON economy.payment_providers IS
    'retry_base_s must not be above retry_cap_s';
COMMENT ON COLUMN economy.payment_providers.profile IS
    'How its webhooks are signed: standard (Standard Webhooks 1.0) or stripe.';
COMMENT ON COLUMN economy.payment_providers.currency IS
    'What it is paid in, for ever once it is given: prices are in its minor units. Null: nothing '
    'can be paid by it yet.';
COMMENT ON COLUMN economy.payment_providers.expiry_s IS
    'For how long an order waits for its payment, in seconds.';
COMMENT ON COLUMN economy.payment_providers.retry_base_s IS
    'After the first attempt of a worker the next one is due in so many seconds, after each '
    'further one in twice as many; from half of that to one and a half, at random.';
COMMENT ON COLUMN economy.payment_providers.retry_cap_s IS
    'At most in so many, before chance.';
COMMENT ON COLUMN economy.payment_providers.max_attempts IS
    'After so many attempts no worker is asked again.';

CREATE TABLE economy.payment_secrets (
    provider   text        NOT NULL COLLATE "C",
    version    integer     NOT NULL
        CONSTRAINT payment_secrets_version_check CHECK (version > 0),
    state      text        NOT NULL COLLATE "C"
        CONSTRAINT payment_secrets_state_check CHECK (state IN ('active', 'retired')),
    material   bytea       NOT NULL,
    created_at timestamptz NOT NULL,
    retired_at timestamptz
        CONSTRAINT payment_secrets_retired_at_check
        CHECK ((state = 'retired') = (retired_at IS NOT NULL)),
    CONSTRAINT payment_secrets_pkey PRIMARY KEY (provider, version)
);
SELECT pg_catalog.pg_extension_config_dump('economy.payment_secrets', '');
COMMENT ON TABLE economy.payment_secrets IS
    'Secrets that providers sign their webhooks with. Of the active ones each is as good: a '
    'rotation adds one and retires the other later. A dump contains them: guard it.';
COMMENT ON COLUMN economy.payment_secrets.material IS
    'The key in the secret; of a retired one nothing.';

CREATE TYPE economy.webhook_check AS (
    valid          boolean,
    reason         text,
    webhook_id     text,
    sent_at        timestamptz,
    secret_version integer
);
COMMENT ON TYPE economy.webhook_check IS
    'Result of economy.verify_webhook(): OK, or the reason why the webhook is not valid.';

CREATE FUNCTION economy.verify_webhook(provider text, headers jsonb, body bytea)
    RETURNS economy.webhook_check
    LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'eco_verify_webhook';
COMMENT ON FUNCTION economy.verify_webhook(text, jsonb, bytea) IS
    'Whether a webhook, as its headers and the bytes of its body arrived, is signed with a secret '
    'of the provider, and was sent in the last 300 s. Reasons: OK, PROVIDER_NOT_FOUND, '
    'HEADER_MISSING, HEADER_NOT_VALID, TOO_OLD, TOO_NEW, NO_SECRET, WRONG_SIGNATURE.';

CREATE FUNCTION economy_internal.payment_key(profile text, secret text) RETURNS bytea
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_payment_key';
COMMENT ON FUNCTION economy_internal.payment_key(text, text) IS
    'The key in a secret of a provider with that profile; null when it is none.';

CREATE FUNCTION economy_internal.new_provider() RETURNS economy.payment_providers
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT jsonb_populate_record(NULL::economy.payment_providers,
            '{"expiry_s": 86400, "retry_base_s": 30, "retry_cap_s": 3600, "max_attempts": 12}');
    END;
COMMENT ON FUNCTION economy_internal.new_provider() IS 'The defaults of a provider.';

CREATE FUNCTION economy.set_payment_provider(provider jsonb, actor text)
    RETURNS economy.payment_providers
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    id        CONSTANT text := provider ->> 'provider';
    old_row   economy.payment_providers;
    new_row   economy.payment_providers;
    written   economy.payment_providers;
    wrong     text;
    failed    text;
    at_column text;
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.require_given('provider', provider IS NOT NULL);
    IF jsonb_typeof(provider) <> 'object' OR id IS NULL THEN
        RAISE EXCEPTION 'provider must be a JSON object with a provider' USING ERRCODE = 'XE701';
    END IF;
    PERFORM economy_internal.open_tables('payment_providers', 'config_changes');
    -- one change of a provider at a time, also of one that does not exist yet
    PERFORM economy_internal.lock_name('economy.payment_provider:' || id);
    SELECT * INTO old_row FROM economy.payment_providers p
        WHERE p.provider = id FOR NO KEY UPDATE;
    SELECT format('%s is no such column', to_json(k)) INTO wrong
        FROM jsonb_object_keys(set_payment_provider.provider) k
        WHERE k NOT IN ('provider', 'profile', 'currency', 'expiry_s', 'retry_base_s',
                        'retry_cap_s', 'max_attempts')
        ORDER BY k COLLATE "C" LIMIT 1;
    IF wrong IS NULL AND old_row.profile <> provider ->> 'profile' THEN
        wrong := format('profile is %s for ever: secrets are kept as it says', old_row.profile);
    END IF;
    IF wrong IS NULL AND provider ? 'currency'
       AND old_row.currency IS DISTINCT FROM provider ->> 'currency'
       AND old_row.currency IS NOT NULL THEN
        wrong := format('currency is %s for ever: prices are in it', old_row.currency);
    END IF;
    IF wrong IS NULL THEN
        BEGIN
            new_row := jsonb_populate_record(
                CASE WHEN old_row.provider IS NULL THEN economy_internal.new_provider()
                     ELSE old_row END,
                provider);
            IF old_row.provider IS NULL THEN
                -- of two at once above READ COMMITTED, neither of which sees the other: 40001
                INSERT INTO economy.payment_providers AS p SELECT (new_row).*
                    ON CONFLICT ON CONSTRAINT payment_providers_pkey DO NOTHING
                    RETURNING p.* INTO written;
            ELSE
                UPDATE economy.payment_providers p SET
                    profile = new_row.profile, currency = new_row.currency,
                    expiry_s = new_row.expiry_s, retry_base_s = new_row.retry_base_s,
                    retry_cap_s = new_row.retry_cap_s, max_attempts = new_row.max_attempts
                WHERE p.provider = id RETURNING p.* INTO written;
            END IF;
            PERFORM economy_internal.require_kept(
                'payment_providers', written IS NOT DISTINCT FROM new_row);
        EXCEPTION WHEN data_exception OR check_violation OR not_null_violation THEN
            GET STACKED DIAGNOSTICS
                wrong = MESSAGE_TEXT, failed = CONSTRAINT_NAME, at_column = COLUMN_NAME;
            wrong := economy_internal.violation(
                'payment_providers', provider, wrong, failed, at_column);
        END;
    END IF;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'provider "%" is not valid', id
            USING ERRCODE = 'XE701', DETAIL = wrong || '.',
            HINT = 'The keys are the column names of economy.payment_providers.';
    END IF;
    PERFORM economy.note_change('payment_providers', id,
        CASE WHEN old_row.provider IS NULL THEN 'create' ELSE 'change' END, actor);
    RETURN new_row;
END
$$;
COMMENT ON FUNCTION economy.set_payment_provider(jsonb, text) IS
    'Makes a provider of outside money, or changes the given columns of one; keys are the column '
    'names of payment_providers. Recorded with actor, before and after. XE701 for one that is not '
    'valid.';

CREATE FUNCTION economy_internal.lock_provider(provider text, actor text)
    RETURNS economy.payment_providers
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    result economy.payment_providers;
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.require_given('provider', provider IS NOT NULL);
    PERFORM economy_internal.open_tables('payment_providers', 'payment_secrets', 'config_changes');
    PERFORM economy_internal.lock_name('economy.payment_provider:' || provider);
    SELECT * INTO result FROM economy.payment_providers p
        WHERE p.provider = lock_provider.provider FOR NO KEY UPDATE;
    IF NOT found THEN
        RAISE EXCEPTION 'provider "%" does not exist', left(provider, 64)
            USING ERRCODE = 'XE702', HINT = 'economy.set_payment_provider() makes one.';
    END IF;
    RETURN result;
END
$$;
COMMENT ON FUNCTION economy_internal.lock_provider(text, text) IS
    'The provider that an actor is about to change; XE702 for an unknown one.';

-- No message tells a secret: what a constraint has to say of its row is not passed on.
CREATE FUNCTION economy.add_payment_secret(provider text, secret text, actor text) RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    of     CONSTANT economy.payment_providers := economy_internal.lock_provider(provider, actor);
    key    CONSTANT bytea := economy_internal.payment_key(of.profile, secret);
    number integer;
    kept   boolean;
    failed text;
BEGIN
    PERFORM economy_internal.require_given('secret', secret IS NOT NULL);
    IF key IS NULL THEN
        RAISE EXCEPTION 'secret is none of the profile %', of.profile USING ERRCODE = 'XE701',
            DETAIL = CASE of.profile
                WHEN 'stripe' THEN 'It must have 16 to 256 characters of ASCII, without blanks.'
                ELSE 'It must be base64 of 16 to 256 bytes, with whsec_ in front or without.' END;
    END IF;
    SELECT s.version INTO number FROM economy.payment_secrets s
        WHERE s.provider = of.provider AND s.state = 'active' AND s.material = key;
    IF number IS NOT NULL THEN
        RETURN number;
    END IF;
    IF (SELECT count(*) FROM economy.payment_secrets s
        WHERE s.provider = of.provider AND s.state = 'active') >= 8 THEN
        RAISE EXCEPTION 'provider "%" has 8 active secrets', of.provider USING ERRCODE = 'XE701',
            HINT = 'economy.retire_payment_secret() retires one.';
    END IF;
    -- also above those that a dump left out
    SELECT greatest(
        (SELECT max(s.version) FROM economy.payment_secrets s WHERE s.provider = of.provider),
        (SELECT max((c.after ->> 'version')::integer) FROM economy.config_changes c
         WHERE c.relation = 'payment_secrets' AND c.after ->> 'provider' = of.provider), 0) + 1
        INTO number;
    BEGIN
        INSERT INTO economy.payment_secrets AS s (provider, version, state, material, created_at)
            VALUES (of.provider, number, 'active', key, economy.now())
            RETURNING s.provider = of.provider AND s.version = number AND s.state = 'active'
                      AND s.material = key INTO kept;
        PERFORM economy_internal.require_kept('payment_secrets', kept);
    EXCEPTION WHEN integrity_constraint_violation THEN
        GET STACKED DIAGNOSTICS failed = CONSTRAINT_NAME;
        RAISE EXCEPTION 'a constraint refuses the secret' USING ERRCODE = 'XE701',
            DETAIL = format('It is %s of economy.payment_secrets.', failed);
    END;
    PERFORM economy.note_change('payment_secrets', of.provider || ':' || number, 'create', actor);
    RETURN number;
END
$$;
COMMENT ON FUNCTION economy.add_payment_secret(text, text, text) IS
    'Adds a secret that a provider signs its webhooks with, and returns its version; one that is '
    'there is not added again. Others stay as good. Recorded with actor, without the secret. XE701 '
    'for what is no secret, XE702 for an unknown provider.';

CREATE FUNCTION economy.retire_payment_secret(provider text, version integer, actor text)
    RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    of   CONSTANT economy.payment_providers := economy_internal.lock_provider(provider, actor);
    kept boolean;
BEGIN
    PERFORM economy_internal.require_given('version', version IS NOT NULL);
    PERFORM FROM economy.payment_secrets s
        WHERE s.provider = of.provider AND s.version = retire_payment_secret.version
          AND s.state = 'active' FOR NO KEY UPDATE;
    IF NOT found THEN
        RETURN false;
    END IF;
    UPDATE economy.payment_secrets s
        SET state = 'retired', material = '', retired_at = economy.now()
        WHERE s.provider = of.provider AND s.version = retire_payment_secret.version
        RETURNING s.state = 'retired' AND s.material = '' INTO kept;
    PERFORM economy_internal.require_kept('payment_secrets', kept);
    PERFORM economy.note_change(
        'payment_secrets', of.provider || ':' || version, 'retire', actor);
    RETURN true;
END
$$;
COMMENT ON FUNCTION economy.retire_payment_secret(text, integer, text) IS
    'Destroys a secret of a provider: what is signed with it is WRONG_SIGNATURE from then on. '
    'False when the version is not active. XE702 for an unknown provider.';
