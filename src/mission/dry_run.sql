-- mission: what a mission would have been to users

CREATE FUNCTION economy_internal.mission_would_be(
    mission economy.mission_templates, since timestamptz, until timestamptz,
    user_ids bigint[], OUT users bigint, OUT entries bigint, OUT incomplete bigint,
    OUT progressed bigint, OUT completed bigint, OUT completions bigint
)
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_mission_would_be';
COMMENT ON FUNCTION economy_internal.mission_would_be(
    economy.mission_templates, timestamptz, timestamptz, bigint[]) IS
    'What a mission that is not published would have been to some users, had it counted between '
    'two moments.';
