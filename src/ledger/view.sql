-- the ledger as a whole, once all journals are there

CREATE VIEW economy.ledger AS
    SELECT user_id, seq, 'shop_transactions' AS journal,
           'P' || user_id || '-' || seq AS transaction_id,
           gold_delta, xp_delta, gold, experience_points, created_at, xact, position, live, hash
    FROM economy.shop_transactions
    UNION ALL
    SELECT user_id, seq, 'gold_adjustments', 'G' || user_id || '-' || seq,
           gold_delta, xp_delta, gold, experience_points, created_at, xact, position, live, hash
    FROM economy.gold_adjustments
    UNION ALL
    SELECT user_id, seq, 'reward_audit', 'R' || user_id || '-' || seq,
           gold_delta, xp_delta, gold, experience_points, created_at, xact, position, live, hash
    FROM economy.reward_audit
    UNION ALL
    SELECT user_id, seq, 'user_actions', 'A' || user_id || '-' || seq,
           gold_delta, xp_delta, gold, experience_points, created_at, xact, position, live, hash
    FROM economy.user_actions
    UNION ALL
    SELECT user_id, seq, 'user_changes', 'U' || user_id || '-' || seq,
           gold_delta, xp_delta, gold, experience_points, created_at, xact, position, live, hash
    FROM economy.user_changes
    UNION ALL
    SELECT user_id, seq, 'holding_changes', 'H' || user_id || '-' || seq,
           gold_delta, xp_delta, gold, experience_points, created_at, xact, position, live, hash
    FROM economy.holding_changes
    UNION ALL
    SELECT user_id, seq, 'shop_refunds', 'B' || user_id || '-' || seq,
           gold_delta, xp_delta, gold, experience_points, created_at, xact, position, live, hash
    FROM economy.shop_refunds;
COMMENT ON VIEW economy.ledger IS 'Every entry of every user: the common header of all journals.';
