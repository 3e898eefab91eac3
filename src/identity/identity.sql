-- identity: users, time zones, status, invite codes

CREATE FUNCTION economy.next_user_id() RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_next_user_id';
COMMENT ON FUNCTION economy.next_user_id() IS 'Next user id: economy.node_id above 41 bits of counter, below 2^53.';

CREATE FUNCTION economy.timezone_name(name text) RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_timezone_name';
COMMENT ON FUNCTION economy.timezone_name(text) IS
    'The IANA time zone in its proper spelling; raises XE201 for anything else, POSIX rules included.';

CREATE TABLE economy.users (
    user_id     bigint      NOT NULL DEFAULT economy.next_user_id() CONSTRAINT users_pkey PRIMARY KEY,
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

CREATE TABLE economy.user_status_changes (
    change_id  bigint      GENERATED ALWAYS AS IDENTITY CONSTRAINT user_status_changes_pkey PRIMARY KEY,
    user_id    bigint      NOT NULL,
    status     text        NOT NULL CONSTRAINT user_status_changes_status_check CHECK (status IN ('active', 'suspended')),
    actor      text        NOT NULL,
    changed_at timestamptz NOT NULL
);
SELECT pg_catalog.pg_extension_config_dump('economy.user_status_changes', '');
SELECT pg_catalog.pg_extension_config_dump('economy.user_status_changes_change_id_seq', '');
COMMENT ON TABLE economy.user_status_changes IS 'Who suspended or reactivated whom, and when.';
COMMENT ON SEQUENCE economy.user_status_changes_change_id_seq IS 'Numbers of user_status_changes.';


CREATE FUNCTION economy.register(external_id text DEFAULT NULL, timezone text DEFAULT 'UTC', profile jsonb DEFAULT '{}')
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    zone text;
    id   bigint;
BEGIN
    PERFORM economy.require_given('timezone', timezone IS NOT NULL);
    PERFORM economy.require_given('profile', profile IS NOT NULL);
    IF octet_length(external_id) NOT BETWEEN 1 AND 255 THEN
        RAISE EXCEPTION 'external_id must have 1 to 255 bytes' USING ERRCODE = 'XE003';
    END IF;
    IF jsonb_typeof(profile) <> 'object' THEN
        RAISE EXCEPTION 'profile must be a JSON object' USING ERRCODE = 'XE002';
    END IF;
    IF octet_length(profile::text) > 4096 THEN
        RAISE EXCEPTION 'profile is too long' USING ERRCODE = 'XE003',
            DETAIL = format('It has %s bytes as text; at most 4096 are allowed.', octet_length(profile::text));
    END IF;
    zone := economy.timezone_name(timezone);
    IF external_id IS NOT NULL THEN
        SELECT u.user_id INTO id FROM economy.users u WHERE u.external_id = register.external_id;
        IF found THEN
            RETURN id;
        END IF;
    END IF;
    INSERT INTO economy.users AS u (external_id, timezone, profile, created_at)
        VALUES (external_id, zone, profile, economy.now())
        ON CONFLICT ON CONSTRAINT users_external_id_key DO NOTHING
        RETURNING u.user_id INTO id;
    IF NOT found THEN
        -- somebody registered the same external_id between our look and our insert
        SELECT u.user_id INTO STRICT id FROM economy.users u WHERE u.external_id = register.external_id;
        RETURN id;
    END IF;
    INSERT INTO economy.accounts (user_id) VALUES (id);
    RETURN id;
END
$$;
COMMENT ON FUNCTION economy.register(text, text, jsonb) IS
    'Registers a user and returns the user_id; the same external_id returns the same user and changes nothing.';

CREATE FUNCTION economy.user_id_of(external_id text) RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT u.user_id FROM economy.users u WHERE u.external_id = user_id_of.external_id;
    END;
COMMENT ON FUNCTION economy.user_id_of(text) IS 'The user with this external_id, or null.';

CREATE FUNCTION economy.set_timezone(user_id bigint, timezone text) RETURNS text
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    zone   text;
    before text;
BEGIN
    PERFORM economy.require_given('user_id', user_id IS NOT NULL);
    PERFORM economy.require_given('timezone', timezone IS NOT NULL);
    zone := economy.timezone_name(timezone);
    SELECT u.timezone INTO before FROM economy.users u WHERE u.user_id = set_timezone.user_id FOR NO KEY UPDATE;
    IF NOT found THEN
        RAISE EXCEPTION 'user % does not exist', user_id USING ERRCODE = 'XE202',
            HINT = 'Users are made by economy.register().';
    END IF;
    IF before <> zone THEN
        UPDATE economy.users u SET timezone = zone WHERE u.user_id = set_timezone.user_id;
        PERFORM economy.publish_profile(user_id, 'timezone', before, zone);
    END IF;
    RETURN zone;
END
$$;
COMMENT ON FUNCTION economy.set_timezone(bigint, text) IS
    'Sets the user''s IANA time zone and returns its proper spelling; XE201 for no zone, XE202 for no user.';

CREATE FUNCTION economy.set_suspended(user_id bigint, suspended boolean) RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_set_suspended';
COMMENT ON FUNCTION economy.set_suspended(bigint, boolean) IS
    'Writes the flag under the account lock; economy.set_user_status() is the way in.';

CREATE FUNCTION economy.set_user_status(user_id bigint, status text, actor text) RETURNS text
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    suspended boolean;
BEGIN
    PERFORM economy.require_given('user_id', user_id IS NOT NULL);
    PERFORM economy.require_given('status', status IS NOT NULL);
    PERFORM economy.require_given('actor', actor IS NOT NULL);
    IF status NOT IN ('active', 'suspended') THEN
        RAISE EXCEPTION 'status must be active or suspended' USING ERRCODE = 'XE002';
    END IF;
    IF octet_length(actor) NOT BETWEEN 1 AND 255 THEN
        RAISE EXCEPTION 'actor must have 1 to 255 bytes' USING ERRCODE = 'XE002';
    END IF;
    SELECT a.suspended INTO suspended FROM economy.accounts a WHERE a.user_id = set_user_status.user_id FOR NO KEY UPDATE;
    IF NOT found THEN
        RAISE EXCEPTION 'user % does not exist', user_id USING ERRCODE = 'XE202',
            HINT = 'Users are made by economy.register().';
    END IF;
    PERFORM economy.set_suspended(user_id, status = 'suspended');
    IF suspended <> (status = 'suspended') THEN
        PERFORM economy.publish_profile(user_id, 'status', CASE WHEN suspended THEN 'suspended' ELSE 'active' END, status);
    END IF;
    INSERT INTO economy.user_status_changes (user_id, status, actor, changed_at)
        VALUES (user_id, status, actor, economy.now());
    RETURN status;
END
$$;
COMMENT ON FUNCTION economy.set_user_status(bigint, text, text) IS
    'Suspends or reactivates a user, recorded with actor. A suspended user''s calls are refused with USER_SUSPENDED.';
