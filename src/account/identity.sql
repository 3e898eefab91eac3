-- identity: users, time zones, status, invite codes

CREATE FUNCTION economy_internal.next_user_id() RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_next_user_id';
COMMENT ON FUNCTION economy_internal.next_user_id() IS
    'Next user id: economy.node_id above 41 bits of counter, below 2^53.';

CREATE FUNCTION economy.timezone_name(name text) RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_timezone_name';
COMMENT ON FUNCTION economy.timezone_name(text) IS
    'The IANA time zone in its proper spelling, today''s name for one of tzdata-legacy; '
    'raises XE201 for anything else, POSIX rules included.';

CREATE TABLE economy.users (
    user_id     bigint      NOT NULL DEFAULT economy_internal.next_user_id()
        CONSTRAINT users_pkey PRIMARY KEY,
    external_id text        COLLATE "C" CONSTRAINT users_external_id_key UNIQUE
        CONSTRAINT users_external_id_check CHECK (octet_length(external_id) BETWEEN 1 AND 255),
    timezone    text        NOT NULL,
    profile     jsonb       NOT NULL CONSTRAINT users_profile_check
        CHECK (jsonb_typeof(profile) = 'object' AND octet_length(profile::text) <= 4096),
    created_at  timestamptz NOT NULL
);
SELECT pg_catalog.pg_extension_config_dump('economy.users', '');
COMMENT ON TABLE economy.users IS 'Registered users. Their status is economy.accounts.suspended.';

CREATE TABLE economy.invite_codes (
    code       text        NOT NULL COLLATE "C" CONSTRAINT invite_codes_pkey PRIMARY KEY
        CONSTRAINT invite_codes_code_check CHECK (octet_length(code) BETWEEN 1 AND 64),
    note       text,
    created_at timestamptz NOT NULL
);
SELECT pg_catalog.pg_extension_config_dump('economy.invite_codes', '');
COMMENT ON TABLE economy.invite_codes IS 'Invite codes that an app may ask its new users for.';

CREATE TABLE economy.user_changes (
    user_id           bigint      NOT NULL,
    seq               bigint      NOT NULL,
    gold_delta        bigint      NOT NULL CHECK (gold_delta = 0),
    xp_delta          bigint      NOT NULL CHECK (xp_delta = 0),
    gold              bigint      NOT NULL,
    experience_points bigint      NOT NULL,
    created_at        timestamptz NOT NULL,
    xact              bigint      NOT NULL,
    position          bigint      NOT NULL,
    live              boolean     NOT NULL,
    hash              bytea       NOT NULL,
    field             text        NOT NULL COLLATE "C"
        CHECK (field IN ('external_id', 'timezone', 'profile', 'status')),
    before            text        COLLATE "C",
    after             text        COLLATE "C",
    idempotency_key   text        COLLATE "C",
    actor             text,
    reason            text,
    CONSTRAINT user_changes_pkey PRIMARY KEY (user_id, seq),
    CONSTRAINT user_changes_key UNIQUE (user_id, field, idempotency_key)
);
SELECT economy_internal.make_journal('economy.user_changes');
COMMENT ON TABLE economy.user_changes IS
    'Journal of changes of a user''s status, time zone, profile and external id; '
    'they move no gold. Append-only.';

CREATE FUNCTION economy_internal.identity_hash(
    user_id bigint, external_id text, timezone text, created_at timestamptz
) RETURNS bytea
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_identity_hash';
COMMENT ON FUNCTION economy_internal.identity_hash(bigint, text, text, timestamptz) IS
    'What the hash of a user''s first entry follows, made from who the user was at registration.';

CREATE TYPE economy.registration AS (
    user_id bigint,
    is_new  boolean
);
COMMENT ON TYPE economy.registration IS
    'Whom economy.register_user() has registered, and whether just now.';

CREATE FUNCTION economy.register_user(
    external_id text DEFAULT NULL, timezone text DEFAULT 'UTC', profile jsonb DEFAULT '{}'
) RETURNS economy.registration
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    zone             text;
    id               bigint;
    hash             bytea;
    registered_at    timestamptz := economy.now();
    user_as_given    boolean := false;
    account_as_given boolean := false;
BEGIN
    PERFORM economy_internal.require_given('timezone', timezone IS NOT NULL);
    PERFORM economy_internal.require_given('profile', profile IS NOT NULL);
    IF octet_length(external_id) NOT BETWEEN 1 AND 255 THEN
        RAISE EXCEPTION 'external_id must have 1 to 255 bytes' USING ERRCODE = 'XE003';
    END IF;
    IF jsonb_typeof(profile) <> 'object' THEN
        RAISE EXCEPTION 'profile must be a JSON object' USING ERRCODE = 'XE002';
    END IF;
    IF octet_length(profile::text) > 4096 THEN
        RAISE EXCEPTION 'profile is too long' USING ERRCODE = 'XE003',
            DETAIL = format('It has %s bytes as text; at most 4096 are allowed.',
                            octet_length(profile::text));
    END IF;
    zone := economy.timezone_name(timezone);
    IF external_id IS NOT NULL THEN
        SELECT u.user_id INTO id FROM economy.users u
        WHERE u.external_id = register_user.external_id;
        IF found THEN
            RETURN (id, false);
        END IF;
    END IF;
    INSERT INTO economy.users AS u (external_id, timezone, profile, created_at)
        VALUES (external_id, zone, profile, registered_at)
        ON CONFLICT ON CONSTRAINT users_external_id_key DO NOTHING
        RETURNING u.user_id, (u.external_id, u.timezone, u.profile, u.created_at)
            IS NOT DISTINCT FROM
                (register_user.external_id, zone, register_user.profile, registered_at)
        INTO id, user_as_given;
    IF NOT found THEN
        -- somebody registered the same external_id between our look and our insert
        SELECT u.user_id INTO id FROM economy.users u
        WHERE u.external_id = register_user.external_id;
        IF found THEN
            RETURN (id, false);
        END IF;
    ELSIF user_as_given THEN
        hash := economy_internal.identity_hash(id, external_id, zone, registered_at);
        INSERT INTO economy.accounts AS a (user_id, head_hash) VALUES (id, hash)
            RETURNING (a.user_id, a.seq, a.gold, a.experience_points, a.position, a.suspended,
                       a.streak_freezes, a.pruned_seq, a.head_hash)
                IS NOT DISTINCT FROM (id, 0, 0, 0, 0, false, 0, 0, hash)
            INTO account_as_given;
    END IF;
    IF account_as_given IS NOT TRUE THEN
        RAISE EXCEPTION 'a registration would store another user than was given'
            USING ERRCODE = 'XE103',
            HINT = 'Look for a BEFORE trigger or a rule on economy.users or economy.accounts '
                   'that changes values or suppresses rows.';
    END IF;
    RETURN (id, true);
END
$$;
COMMENT ON FUNCTION economy.register_user(text, text, jsonb) IS
    'Registers a user and says whether he is new; the same external_id returns the '
    'same user and changes nothing.';

CREATE FUNCTION economy.register(
    external_id text DEFAULT NULL, timezone text DEFAULT 'UTC', profile jsonb DEFAULT '{}'
) RETURNS bigint
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT r.user_id FROM economy.register_user(external_id, timezone, profile) r;
    END;
COMMENT ON FUNCTION economy.register(text, text, jsonb) IS
    'Registers a user and returns the user_id; the same external_id returns the '
    'same user and changes nothing.';

CREATE FUNCTION economy.user_id_of(external_id text) RETURNS bigint
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_user_id_of';
COMMENT ON FUNCTION economy.user_id_of(text) IS 'The user with this external_id, or null.';

CREATE FUNCTION economy.set_timezone(
    user_id bigint, timezone text, idempotency_key text DEFAULT NULL
) RETURNS text
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_set_timezone';
COMMENT ON FUNCTION economy.set_timezone(bigint, text, text) IS
    'Sets the user''s IANA time zone and returns its proper spelling; '
    'XE201 for no zone, XE202 for no user.';

CREATE FUNCTION economy.set_user_status(
    user_id bigint, status text, actor text, idempotency_key text DEFAULT NULL,
    reason text DEFAULT NULL
) RETURNS text
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_set_user_status';
COMMENT ON FUNCTION economy.set_user_status(bigint, text, text, text, text) IS
    'Suspends or reactivates a user, recorded with actor and reason. '
    'A suspended user''s calls are refused with USER_SUSPENDED.';

CREATE TYPE economy.user_change_result AS (
    success        boolean,
    state          text,
    code           text,
    transaction_id text,
    field          text,
    before         text,
    after          text,
    retry_after_ms integer,
    detail         jsonb
);
COMMENT ON TYPE economy.user_change_result IS
    'Result of economy.update_profile(), economy.link_external_id() '
    'and economy.unlink_external_id().';

CREATE FUNCTION economy.update_profile(
    user_id bigint, patch jsonb, idempotency_key text, actor text DEFAULT NULL
) RETURNS economy.user_change_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_update_profile';
COMMENT ON FUNCTION economy.update_profile(bigint, jsonb, text, text) IS
    'Changes the members of the profile that the patch names and removes those it sets to null '
    '(RFC 7386), once per idempotency key. Refuses USER_NOT_FOUND, USER_SUSPENDED, '
    'PROFILE_TOO_LONG, IDEMPOTENCY_MISMATCH.';

CREATE FUNCTION economy.link_external_id(
    user_id bigint, external_id text, idempotency_key text, actor text DEFAULT NULL
) RETURNS economy.user_change_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_link_external_id';
COMMENT ON FUNCTION economy.link_external_id(bigint, text, text, text) IS
    'Gives a user that has no external id this one, once per idempotency key. '
    'Refuses EXTERNAL_ID_TAKEN, ALREADY_LINKED, USER_NOT_FOUND, '
    'USER_SUSPENDED, IDEMPOTENCY_MISMATCH.';

CREATE FUNCTION economy.unlink_external_id(
    user_id bigint, idempotency_key text, actor text DEFAULT NULL
) RETURNS economy.user_change_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_unlink_external_id';
COMMENT ON FUNCTION economy.unlink_external_id(bigint, text, text) IS
    'Takes a user''s external id away, once per idempotency key. Refuses NOT_LINKED, '
    'USER_NOT_FOUND, USER_SUSPENDED, IDEMPOTENCY_MISMATCH.';
