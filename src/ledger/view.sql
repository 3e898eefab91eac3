-- the ledger as a whole, once all journals are there

CREATE VIEW economy.ledger AS
    SELECT user_id, seq, 'shop_transactions' AS journal, 'P' || user_id || '-' || seq AS transaction_id,
           gold_delta, xp_delta, gold, experience_points, created_at, xact, position, live, hash FROM economy.shop_transactions
    UNION ALL
    SELECT user_id, seq, 'gold_adjustments', 'G' || user_id || '-' || seq,
           gold_delta, xp_delta, gold, experience_points, created_at, xact, position, live, hash FROM economy.gold_adjustments
    UNION ALL
    SELECT user_id, seq, 'reward_audit', 'R' || user_id || '-' || seq,
           gold_delta, xp_delta, gold, experience_points, created_at, xact, position, live, hash FROM economy.reward_audit
    UNION ALL
    SELECT user_id, seq, 'user_actions', 'A' || user_id || '-' || seq,
           gold_delta, xp_delta, gold, experience_points, created_at, xact, position, live, hash FROM economy.user_actions
    UNION ALL
    SELECT user_id, seq, 'user_changes', 'U' || user_id || '-' || seq,
           gold_delta, xp_delta, gold, experience_points, created_at, xact, position, live, hash FROM economy.user_changes;
COMMENT ON VIEW economy.ledger IS 'Every entry of every user: the common header of all journals.';

CREATE FUNCTION economy.statement(user_id bigint, after_seq bigint DEFAULT 0, max integer DEFAULT 100)
    RETURNS TABLE (seq bigint, journal text, transaction_id text, gold_delta bigint, xp_delta bigint,
                   gold bigint, experience_points bigint, created_at timestamptz)
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_statement';
COMMENT ON FUNCTION economy.statement(bigint, bigint, integer) IS
    'A user''s entries after a seq, oldest first, at most max (10,000) of them.';
