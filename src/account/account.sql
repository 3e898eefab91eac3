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

CREATE FUNCTION economy.account(user_id bigint) RETURNS SETOF economy.account_status
    LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 1 AS 'MODULE_PATHNAME', 'eco_account';
COMMENT ON FUNCTION economy.account(bigint) IS
    'Balances, level on the user''s curve, streak as of now and newest '
    'seq; no row for an unknown user.';
