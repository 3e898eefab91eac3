-- account: what a user has

CREATE TYPE economy.account_status AS (
    user_id           bigint,
    gold              bigint,
    experience_points bigint,
    level             integer,
    xp_into_level     bigint,
    xp_to_next        bigint,
    seq               bigint,
    streak_day        integer,
    last_claim_on     date
);
COMMENT ON TYPE economy.account_status IS 'What a user has: a row of economy.account().';

CREATE TYPE economy.user_profile AS (
    user_id     bigint,
    external_id text,
    status      text,
    timezone    text,
    local_date  date,
    profile     jsonb,
    created_at  timestamptz
);
COMMENT ON TYPE economy.user_profile IS 'Who a user is: a row of economy.profile().';

CREATE FUNCTION economy.profile(user_id bigint) RETURNS SETOF economy.user_profile
    LANGUAGE c STABLE PARALLEL SAFE ROWS 1 AS 'MODULE_PATHNAME', 'eco_profile';
COMMENT ON FUNCTION economy.profile(bigint) IS
    'Who a user is: external id, status (active or suspended), time zone and the date there now, '
    'profile, and when he was registered; no row for an unknown user.';

CREATE FUNCTION economy.account(user_id bigint) RETURNS SETOF economy.account_status
    LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 1 AS 'MODULE_PATHNAME', 'eco_account';
COMMENT ON FUNCTION economy.account(bigint) IS
    'Balances, level on the user''s curve, streak as of now and newest '
    'seq; no row for an unknown user.';
