-- account: a user's entries

CREATE TYPE economy.statement_line AS (
    seq               bigint,
    journal           text,
    transaction_id    text,
    gold_delta        bigint,
    xp_delta          bigint,
    gold              bigint,
    experience_points bigint,
    created_at        timestamptz,
    product_id        text,
    source            text,
    reason            text,
    items             jsonb
);
COMMENT ON TYPE economy.statement_line IS 'An entry of a user: a row of economy.statement().';

CREATE FUNCTION economy.statement(
    user_id bigint, after_seq bigint DEFAULT 0, max integer DEFAULT 100
) RETURNS SETOF economy.statement_line
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_statement';
COMMENT ON FUNCTION economy.statement(bigint, bigint, integer) IS
    'A user''s entries after a seq, oldest first, at most max (10,000) of them, with the product, '
    'the source, the reason and the items where an entry has such.';
