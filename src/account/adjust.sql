-- adjust: changes of gold by admins

CREATE TABLE economy.gold_adjustments (
    user_id           bigint      NOT NULL,
    seq               bigint      NOT NULL,
    gold_delta        bigint      NOT NULL,
    xp_delta          bigint      NOT NULL,
    gold              bigint      NOT NULL,
    experience_points bigint      NOT NULL,
    created_at        timestamptz NOT NULL,
    xact              bigint      NOT NULL,
    position          bigint      NOT NULL,
    live              boolean     NOT NULL,
    hash              bytea       NOT NULL,
    idempotency_key   text        NOT NULL COLLATE "C",
    actor             text        NOT NULL,
    reason            text        NOT NULL,
    CONSTRAINT gold_adjustments_pkey PRIMARY KEY (user_id, seq),
    CONSTRAINT gold_adjustments_key UNIQUE (user_id, idempotency_key)
);
SELECT economy_internal.make_journal('economy.gold_adjustments');
COMMENT ON TABLE economy.gold_adjustments IS
    'Journal of changes of gold by admins, with actor and reason. Append-only.';

CREATE TYPE economy.adjust_result AS (
    success        boolean,
    state          text,
    code           text,
    transaction_id text,
    gold_delta     bigint,
    gold           bigint,
    retry_after_ms integer,
    detail         jsonb
);
COMMENT ON TYPE economy.adjust_result IS 'Result of economy.adjust_gold().';

CREATE FUNCTION economy.adjust_gold(
    user_id bigint, delta bigint, idempotency_key text, reason text, actor text
) RETURNS economy.adjust_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_adjust_gold';
COMMENT ON FUNCTION economy.adjust_gold(bigint, bigint, text, text, text) IS
    'Changes a user''s gold by delta, once per idempotency key, with who did it and why. '
    'Refuses INSUFFICIENT_GOLD, GOLD_OVERFLOW, USER_NOT_FOUND, IDEMPOTENCY_MISMATCH.';
