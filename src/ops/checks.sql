-- checks: what the audit asks, of the users from one id to another, and of the rest

-- The state of all that is configuration. note_change() writes it down, and
-- audit_config() compares; seed_digest() holds the seeds.  The columns are named: one that
-- a DBA adds is no configuration, and no update makes it one.
CREATE VIEW economy.config_states AS
    SELECT 'shop_products'::text COLLATE "C" AS relation, p.product_id::text COLLATE "C" AS key,
           to_jsonb(p) AS state
    FROM (SELECT product_id, category, price_gold, source_points, granted_gold, monetary,
                 limit_once, per_user_limit, limit_period, counted, global_key, starts_at,
                 ends_at, active, stock_slots, effect_code, extra, tags, position, texts,
                 contents, price_items, fulfilment, granted_xp, settlement
          FROM economy.shop_products) p
    UNION ALL
    SELECT 'level_curves', c.curve, jsonb_agg(to_jsonb(c) - 'curve' ORDER BY c.level)
    FROM (SELECT curve, level, xp
          FROM economy.level_curves) c GROUP BY c.curve
    UNION ALL
    SELECT 'level_experiments', e.experiment,
           jsonb_agg(to_jsonb(e) - 'experiment' ORDER BY e.arm)
    FROM (SELECT experiment, arm, curve, share, enabled
          FROM economy.level_experiments) e GROUP BY e.experiment
    UNION ALL
    SELECT 'games', g.game, to_jsonb(g)
    FROM (SELECT game, rules, builtin, created_at
          FROM economy.games) g WHERE NOT g.builtin
    UNION ALL
    SELECT 'rfm_models', m.model, to_jsonb(m)
    FROM (SELECT model, window_days, recency_clamp, recency_kind, recency_breaks,
                 frequency_kind, frequency_breaks, monetary_kind, monetary_breaks, population,
                 recency_weight, frequency_weight, monetary_weight, builtin
          FROM economy.rfm_models) m WHERE NOT m.builtin
    UNION ALL
    SELECT 'segment_rules', r.version::text, jsonb_build_object(
               'rules', jsonb_agg(to_jsonb(r) ORDER BY r.position),
               'change', (SELECT jsonb_agg(to_jsonb(c))
                          FROM (SELECT version, actor, changed_at
                                FROM economy.segment_rule_changes) c
                          WHERE c.version = r.version))
    FROM (SELECT version, position, segment, bought, recency_from, recency_to, frequency_from,
                 frequency_to, monetary_from, monetary_below, p95_positive
          FROM economy.segment_rules) r WHERE r.version > 0 GROUP BY r.version
    UNION ALL
    SELECT 'rfm_snapshots', s.snapshot_id::text, to_jsonb(s)
    FROM (SELECT snapshot_id, as_of, model, rules, recency_bounds, frequency_bounds,
                 monetary_bounds, p50, p60, p95, degenerate, users, active, changed, started_at,
                 duration, program, segments
          FROM economy.rfm_snapshots) s
    UNION ALL
    SELECT 'recommendation_placements', p.placement || ':' || p.version, jsonb_build_object(
               'placement', to_jsonb(p),
               'arms', (SELECT jsonb_agg(to_jsonb(a) ORDER BY a.segment, a.position, a.arm)
                        FROM (SELECT placement, version, segment, position, arm, cta, product_id
                              FROM economy.recommendation_arms) a
                        WHERE a.placement = p.placement AND a.version = p.version))
    FROM (SELECT placement, version, policy, attribution_window, half_life, exploration, actor,
                 changed_at
          FROM economy.recommendation_placements) p WHERE p.version > 0
    UNION ALL
    SELECT 'items', i.item_id, to_jsonb(i)
    FROM (SELECT item_id, kind, maximum, consumable, tradable, active, texts, extra
          FROM economy.items) i
    UNION ALL
    SELECT 'draw_tables', t.table_id,
           to_jsonb(t) || jsonb_build_object('published_at', v.published_at)
    FROM (SELECT table_id, version, definition, draft, active, texts, extra
          FROM economy.draw_tables) t
    LEFT JOIN economy.draw_table_versions v ON v.table_id = t.table_id AND v.version = t.version
    UNION ALL
    SELECT 'leaderboards', l.board, to_jsonb(l)
    FROM (SELECT board, figure, game, item_id, period, first_day, last_day, ascending, min_games,
                 audience, keep, active, prizes, texts, extra
          FROM economy.leaderboards) l
    UNION ALL
    SELECT 'transfer_rules', r.rules, to_jsonb(r)
    FROM (SELECT rules, enabled, fee_per_mille, daily_gold, minimum_age_hours
          FROM economy.transfer_rules) r
    UNION ALL
    SELECT 'daily_rewards', 'all', jsonb_agg(to_jsonb(d) ORDER BY d.reward_day)
    FROM (SELECT reward_day, gold, xp, contents, continues_at
          FROM economy.daily_rewards) d HAVING count(*) > 0
    UNION ALL
    SELECT 'payment_providers', p.provider, to_jsonb(p)
    FROM (SELECT provider, profile, currency, expiry_s, retry_base_s, retry_cap_s, max_attempts
          FROM economy.payment_providers) p
    UNION ALL
    SELECT 'rate_limits', l.limit_id, to_jsonb(l)
    FROM (SELECT limit_id, burst, refill, period_seconds FROM economy.rate_limits) l
    UNION ALL
    SELECT 'promo_codes', p.code, to_jsonb(p)
    FROM (SELECT code, kind, value, products, max_quantity, max_per_user, max_uses, budget_gold,
                 new_users, starts_at, ends_at, active
          FROM economy.promo_codes) p
    UNION ALL
    SELECT 'mission_templates', m.mission || ':' || m.version, to_jsonb(m)
    FROM (SELECT mission, version, number, trigger, condition, progress, field, target,
                 increment_cap, period, starts_at, ends_at, claim_hours, requires, gold, xp,
                 items, auto_claim, hidden, position, texts, published_at, retired_at
          FROM economy.mission_templates) m
    UNION ALL
    SELECT 'seasons', s.season, to_jsonb(s)
    FROM (SELECT season, xp_item, starts_at, ends_at, claim_hours, at_end, tracks, tiers, excess,
                 hidden, position, texts, published_at, retired_at, closed_at
          FROM economy.seasons) s
    UNION ALL
    -- a digest of the material tells nothing of it
    SELECT 'payment_secrets', s.provider || ':' || s.version,
           to_jsonb(s) - 'material'
               || jsonb_build_object('material', encode(sha256(s.material), 'hex'))
    FROM (SELECT provider, version, state, material, created_at, retired_at
          FROM economy.payment_secrets) s
    UNION ALL
    SELECT 'signing_keys', k.version::text,
           to_jsonb(k) - 'material'
               || jsonb_build_object('material', encode(sha256(k.material), 'hex'))
    FROM (SELECT version, state, material, created_at, retired_at, first_position, last_position
          FROM economy.signing_keys) k;
COMMENT ON VIEW economy.config_states IS
    'What config_changes keeps the history of: each key of a relation as one JSON document. '
    'Of signing keys and secrets a digest of the material.';

CREATE FUNCTION economy_internal.seeds(OUT relation text, OUT state jsonb) RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET TimeZone = 'UTC' SET DateStyle = 'ISO, YMD' SET IntervalStyle = 'postgres'
    SET extra_float_digits = 1
    BEGIN ATOMIC
        SELECT 'games', to_jsonb(g)
        FROM (SELECT * FROM economy.games) g WHERE g.builtin
        UNION ALL
        SELECT 'rfm_models', to_jsonb(m)
        FROM (SELECT * FROM economy.rfm_models) m WHERE m.builtin
        UNION ALL
        SELECT 'segment_rules', to_jsonb(r)
        FROM (SELECT * FROM economy.segment_rules) r WHERE r.version <= 0
        UNION ALL
        SELECT 'recommendation_placements', to_jsonb(p)
        FROM (SELECT * FROM economy.recommendation_placements) p WHERE p.version <= 0
        UNION ALL
        SELECT 'recommendation_arms', to_jsonb(a)
        FROM (SELECT * FROM economy.recommendation_arms) a WHERE a.version <= 0
        UNION ALL
        SELECT 'event_types', to_jsonb(t)
        FROM (SELECT * FROM economy.event_types) t
        ORDER BY 1, 2;
    END;
COMMENT ON FUNCTION economy_internal.seeds() IS 'Rows that the extension brings along.';

-- EXECUTE, because the digests are part of the function: they are taken while the seeds are fresh
DO $$
BEGIN
    EXECUTE format($query$
        CREATE FUNCTION economy_internal.seed_digest() RETURNS jsonb
            LANGUAGE sql IMMUTABLE PARALLEL SAFE
            SET search_path = pg_catalog, pg_temp
            BEGIN ATOMIC SELECT %L::jsonb; END
        $query$,
        (SELECT jsonb_object_agg(d.relation, d.digest)
         FROM (SELECT s.relation,
                      md5(string_agg(s.state::text, E'\n' ORDER BY s.state)) AS digest
               FROM economy_internal.seeds() s GROUP BY 1) d));
END
$$;
COMMENT ON FUNCTION economy_internal.seed_digest() IS
    'Digest of the seeds of each table as they were installed.';

CREATE FUNCTION economy_internal.audit_config() RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET TimeZone = 'UTC' SET DateStyle = 'ISO, YMD' SET IntervalStyle = 'postgres'
    SET extra_float_digits = 1 SET bytea_output = 'hex'
    BEGIN ATOMIC
        WITH change AS MATERIALIZED (
            SELECT c.relation, c.key, c.change_no, c.before, c.after, c.hash,
                   lag(c.after) OVER w AS after_before,
                   row_number() OVER w AS number, lead(c.change_no) OVER w IS NULL AS is_newest,
                   -- the first change goes on from 32 zeros
                   sha256(coalesce(lag(c.hash) OVER w, decode(repeat('00', 32), 'hex'))
                          || convert_to(economy_internal.change_text(c), 'UTF8')) AS hash_expected
            FROM economy.config_changes c
            WINDOW w AS (PARTITION BY c.relation, c.key ORDER BY c.change_no)
        ), newest AS (
            -- what was noted before a release, in a dump too, lacks the columns it has added
            SELECT c.relation, c.key, c.change_no, c.hash,
                   CASE c.relation
                       WHEN 'shop_products'
                       THEN '{"tags": [], "position": 0, "texts": {}, "contents": null,
                              "price_items": null, "fulfilment": null,
                              "granted_xp": null, "settlement": null}'::jsonb || c.after
                       ELSE c.after END AS after
            FROM change c WHERE c.is_newest
        )
        SELECT NULL::bigint, 'wrong_config',
               format('change %s of %s %s as it was noted', c.change_no, c.relation, c.key),
               CASE WHEN c.number <> c.change_no THEN 'one before it is missing'
                    ELSE 'another' END, NULL::text, NULL::bigint
        FROM change c
        WHERE c.hash IS DISTINCT FROM c.hash_expected OR c.number <> c.change_no
           OR c.before IS DISTINCT FROM c.after_before
        UNION ALL
        SELECT NULL, 'wrong_config',
               format('%s %s: change %s is the newest', relation, key,
                      coalesce(h.change_no, n.change_no)),
               CASE WHEN h.change_no IS NULL THEN 'no head says so'
                    WHEN n.change_no IS NULL THEN 'there is none'
                    WHEN h.change_no = n.change_no THEN 'another one'
                    ELSE format('change %s', n.change_no) END, NULL, NULL
        FROM economy_internal.config_heads h FULL JOIN newest n USING (relation, key)
        WHERE (h.change_no, h.hash) IS DISTINCT FROM (n.change_no, n.hash)
        UNION ALL
        SELECT NULL, 'wrong_config',
               format('%s %s: %s', coalesce(n.relation, s.relation), coalesce(n.key, s.key),
                      left(n.after::text, 2000)),
               left(s.state::text, 2000), NULL, NULL
        FROM newest n FULL JOIN economy.config_states s USING (relation, key)
        WHERE n.after IS DISTINCT FROM s.state
        UNION ALL
        SELECT NULL, 'wrong_config',
               format('%s as they were installed', coalesce(d.key, s.relation)),
               'changed, missing or further ones', NULL, NULL
        FROM jsonb_each_text(economy_internal.seed_digest()) d (key, digest)
        FULL JOIN (
            SELECT s.relation, md5(string_agg(s.state::text, E'\n' ORDER BY s.state)) AS digest
            FROM economy_internal.seeds() s GROUP BY 1) s ON s.relation = d.key
        WHERE d.digest IS DISTINCT FROM s.digest
        UNION ALL
        SELECT NULL, 'duplicate_row', format('one row of %s %s', d.relation, d.key),
               count(*) || ' rows', NULL, NULL
        FROM (SELECT s.relation, s.key FROM economy.config_states s
              UNION ALL
              SELECT 'config_heads', h.relation || ' ' || h.key FROM economy_internal.config_heads h
              UNION ALL
              SELECT 'anchor_config', format('%s %s %s', k.relation, k.key, k.anchor_id)
              FROM economy.anchor_config k
              UNION ALL
              SELECT 'anchors', a.anchor_id::text FROM economy.anchors a
              UNION ALL
              SELECT 'anchor_buckets', format('%s %s', b.anchor_id, b.bucket)
              FROM economy.anchor_buckets b
              UNION ALL
              SELECT 'shop_stock', format('%s %s', t.product_id, t.slot)
              FROM economy.shop_stock t
              UNION ALL
              SELECT 'promo_stock', format('%s %s', t.name, t.slot)
              FROM economy.promo_stock t
              UNION ALL
              SELECT 'shop_keys', format('%s %s', t.product_id, t.idempotency_key)
              FROM economy_internal.shop_keys t
              UNION ALL
              SELECT 'draw_table_versions', format('%s %s', v.table_id, v.version)
              FROM economy.draw_table_versions v
              UNION ALL
              SELECT 'draw_prizes', format('%s %s', p.table_id, p.entry)
              FROM economy.draw_prizes p
              UNION ALL
              SELECT 'rfm_state', 'the only one' FROM economy.rfm_state) d
        GROUP BY d.relation, d.key HAVING count(*) > 1
        UNION ALL
        SELECT NULL, 'wrong_config',
               format('draw_table_versions %s %s: %s %s', coalesce(c.key, v.table_id),
                      coalesce(c.version, v.version::text), left(c.definition::text, 1000),
                      c.published_at),
               concat_ws(' ', left(v.definition::text, 1000), to_jsonb(v.published_at)), NULL, NULL
        FROM (SELECT c.key, c.after ->> 'version' AS version, c.after -> 'definition' AS definition,
                     c.after -> 'published_at' AS published_at
              FROM economy.config_changes c
              WHERE c.relation = 'draw_tables' AND c.action = 'publish') c
        FULL JOIN economy.draw_table_versions v
            ON v.table_id = c.key AND v.version::text = c.version
        WHERE (c.definition, c.published_at)
                  IS DISTINCT FROM (v.definition, to_jsonb(v.published_at))
        UNION ALL
        SELECT NULL, 'wrong_config', p.what, 'none', NULL, NULL
        FROM (SELECT format('recommendation_placements %s:%s of its arms',
                            a.placement, a.version) AS what
              FROM economy.recommendation_arms a
              WHERE NOT EXISTS (SELECT FROM economy.recommendation_placements p
                                WHERE p.placement = a.placement AND p.version = a.version)
              UNION
              SELECT format('segment_rules %s of its change', c.version)
              FROM economy.segment_rule_changes c
              WHERE NOT EXISTS (SELECT FROM economy.segment_rules r
                                WHERE r.version = c.version AND r.version > 0)) p;
    END;
COMMENT ON FUNCTION economy_internal.audit_config() IS
    'Configuration against its history, the history against its chains, '
    'and seeds against what was installed.';

CREATE FUNCTION economy_internal.audit_keys() RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT NULL::bigint, 'wrong_key',
               format('signing key version %s with 32 bytes', k.version),
               format('%s bytes', octet_length(k.material)), NULL::text, NULL::bigint
        FROM economy.signing_keys k
        WHERE octet_length(k.material) <> CASE k.state WHEN 'retired' THEN 0 ELSE 32 END
        UNION ALL
        SELECT NULL, 'wrong_key', 'one active signing key, the newest',
               format('%s active ones, the newest is version %s',
                      count(*) FILTER (WHERE k.state = 'active'), max(k.version)), NULL, NULL
        FROM economy.signing_keys k
        HAVING count(*) > 0
           AND (count(*) FILTER (WHERE k.state = 'active') <> 1
                OR max(k.version) <> max(k.version) FILTER (WHERE k.state = 'active'))
        UNION ALL
        SELECT NULL, 'wrong_key',
               format('payment secret %s:%s with %s bytes', s.provider, s.version,
                      CASE s.state WHEN 'retired' THEN '0' ELSE '16 to 256' END),
               format('%s bytes', octet_length(s.material)), NULL, NULL
        FROM economy.payment_secrets s
        WHERE CASE s.state WHEN 'retired' THEN octet_length(s.material) <> 0
                           ELSE octet_length(s.material) NOT BETWEEN 16 AND 256 END
        UNION ALL
        SELECT NULL, 'wrong_key', format('provider %s of its secrets', s.provider), 'none',
               NULL, NULL
        FROM (SELECT DISTINCT s.provider FROM economy.payment_secrets s) s
        WHERE NOT EXISTS (SELECT FROM economy.payment_providers p WHERE p.provider = s.provider);
    END;
COMMENT ON FUNCTION economy_internal.audit_keys() IS
    'Signing keys and secrets that cannot be used, and an active key that is not the only or not '
    'the newest.';

-- I4: one effect per key
CREATE FUNCTION economy_internal.audit_effects(
    from_user bigint DEFAULT '-9223372036854775808', upto_user bigint DEFAULT 9223372036854775807
) RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT t.user_id, 'duplicate_effect',
               format('one purchase of %s with key %s', t.product_id, t.idempotency_key),
               format('%s purchases', count(*)), 'P' || t.user_id || '-' || max(t.seq), max(t.seq)
        FROM economy.shop_transactions t WHERE t.user_id BETWEEN from_user AND upto_user
        GROUP BY t.user_id, t.product_id, t.idempotency_key HAVING count(*) > 1
        UNION ALL
        SELECT r.user_id, 'duplicate_effect',
               format('one reward of %s with event %s', r.source, r.external_event_id),
               format('%s rewards', count(*)), 'R' || r.user_id || '-' || max(r.seq), max(r.seq)
        FROM economy.reward_audit r WHERE r.user_id BETWEEN from_user AND upto_user
        GROUP BY r.user_id, r.source, r.external_event_id HAVING count(*) > 1
        UNION ALL
        SELECT g.user_id, 'duplicate_effect',
               format('one adjustment with key %s', g.idempotency_key),
               format('%s adjustments', count(*)), 'G' || g.user_id || '-' || max(g.seq), max(g.seq)
        FROM economy.gold_adjustments g WHERE g.user_id BETWEEN from_user AND upto_user
        GROUP BY g.user_id, g.idempotency_key HAVING count(*) > 1
        UNION ALL
        SELECT c.user_id, 'duplicate_effect',
               format('one change of %s with key %s', c.field, c.idempotency_key),
               format('%s changes', count(*)), 'U' || c.user_id || '-' || max(c.seq), max(c.seq)
        FROM economy.user_changes c
        WHERE c.user_id BETWEEN from_user AND upto_user AND c.idempotency_key IS NOT NULL
        GROUP BY c.user_id, c.field, c.idempotency_key HAVING count(*) > 1
        UNION ALL
        SELECT h.user_id, 'duplicate_effect',
               format('one %s with key %s', h.operation, h.idempotency_key),
               format('%s entries', count(*)), 'H' || h.user_id || '-' || max(h.seq), max(h.seq)
        FROM economy.holding_changes h WHERE h.user_id BETWEEN from_user AND upto_user
        GROUP BY h.user_id, h.operation, h.idempotency_key HAVING count(*) > 1
        UNION ALL
        SELECT b.user_id, 'duplicate_effect',
               format('one refund of %s with key %s', b.purchase, b.idempotency_key),
               format('%s refunds', count(*)), 'B' || b.user_id || '-' || max(b.seq), max(b.seq)
        FROM economy.shop_refunds b WHERE b.user_id BETWEEN from_user AND upto_user
        GROUP BY b.user_id, b.purchase, b.idempotency_key HAVING count(*) > 1
        UNION ALL
        SELECT u.user_id, 'duplicate_effect',
               format('one action %s of %s', u.action_id, u.game),
               format('%s actions', count(*)), 'A' || u.user_id || '-' || max(u.seq), max(u.seq)
        FROM economy.user_actions u WHERE u.user_id BETWEEN from_user AND upto_user
        GROUP BY u.user_id, u.game, u.action_id HAVING count(*) > 1
        UNION ALL
        -- an id that is not kept could have a second effect
        SELECT coalesce(s.user_id, k.user_id), 'missing_entry',
               format('keys of %s pruned actions', coalesce(s.total, 0)),
               format('%s keys', coalesce(k.total, 0)), NULL, NULL
        FROM (SELECT p.user_id, sum(p.total) AS total FROM economy.pruned_stats p
              WHERE p.user_id BETWEEN from_user AND upto_user GROUP BY 1) s
        FULL JOIN (SELECT a.user_id, count(*) AS total FROM economy.pruned_actions a
                   WHERE a.user_id BETWEEN from_user AND upto_user GROUP BY 1) k USING (user_id)
        WHERE coalesce(s.total, 0) <> coalesce(k.total, 0)
        UNION ALL
        SELECT u.user_id, 'duplicate_effect', format('one action %s of %s', u.action_id, u.game),
               'a pruned one and this', 'A' || u.user_id || '-' || u.seq, u.seq
        FROM economy.user_actions u JOIN economy.pruned_actions p
             -- action_key() raises for a length that only damage makes
             ON p.user_id = u.user_id
            AND p.key = CASE WHEN octet_length(u.game) BETWEEN 1 AND 64
                              AND octet_length(u.action_id) BETWEEN 1 AND 255
                             THEN economy_internal.action_key(u.game, u.action_id) END
        WHERE u.user_id IN (SELECT d.user_id FROM economy.pruned_stats d
                            WHERE d.user_id BETWEEN from_user AND upto_user)
        UNION ALL
        SELECT coalesce(m.user_id, k.user_id), 'missing_entry',
               format('keys of %s archived entries', coalesce(m.total, 0)),
               format('%s keys', coalesce(k.total, 0)), NULL, NULL
        FROM (SELECT a.user_id, sum(a.entries) AS total FROM economy.archives a
              WHERE a.user_id BETWEEN from_user AND upto_user GROUP BY 1) m
        FULL JOIN (SELECT a.user_id, count(*) AS total FROM economy.archived_keys a
                   WHERE a.user_id BETWEEN from_user AND upto_user GROUP BY 1) k USING (user_id)
        WHERE coalesce(m.total, 0) <> coalesce(k.total, 0)
        UNION ALL
        SELECT t.user_id, 'broken_chain', 'the hash of the archived entry before', v.reason,
               'P' || t.user_id || '-' || t.seq, t.seq
        FROM economy.archived_keys k
        JOIN economy.shop_transactions t ON t.user_id = k.user_id AND t.seq = k.seq + 1
        CROSS JOIN LATERAL economy.verify_receipt(t.user_id, 'P' || t.user_id || '-' || t.seq) v
        WHERE k.user_id BETWEEN from_user AND upto_user
          AND v.reason IN ('CHAIN_BROKEN', 'ENTRY_CHANGED')
        UNION ALL
        SELECT h.user_id, 'orphan_row', 'a purchase that goes on from an archived entry', 'none',
               NULL, h.seq
        FROM economy.archived_hashes h
        WHERE h.user_id BETWEEN from_user AND upto_user
          AND NOT EXISTS (SELECT FROM economy.archived_keys k
                          JOIN economy.shop_transactions t
                              ON t.user_id = k.user_id AND t.seq = k.seq + 1
                          WHERE k.user_id = h.user_id AND k.seq = h.seq
                            AND k.user_id BETWEEN from_user AND upto_user)
        UNION ALL
        SELECT e.user_id, 'duplicate_effect', format('one entry with key %s', e.key),
               'an archived one and this', e.letter || e.user_id || '-' || e.seq, e.seq
        FROM (SELECT r.user_id, r.seq, 'R' AS letter,
                     concat_ws(' ', r.source, r.external_event_id) AS key,
                     economy_internal.archive_key('R', r.source, r.external_event_id) AS digest
              FROM economy.reward_audit r
              UNION ALL
              SELECT g.user_id, g.seq, 'G', g.idempotency_key,
                     economy_internal.archive_key('G', g.idempotency_key)
              FROM economy.gold_adjustments g
              UNION ALL
              SELECT t.user_id, t.seq, 'P', concat_ws(' ', t.product_id, t.idempotency_key),
                     economy_internal.archive_key('P', t.product_id, t.idempotency_key)
              FROM economy.shop_transactions t) e
        JOIN economy.archived_keys p ON p.user_id = e.user_id AND p.key = e.digest
        WHERE e.user_id IN (SELECT a.user_id FROM economy.archives a
                            WHERE a.user_id BETWEEN from_user AND upto_user);
    END;
COMMENT ON FUNCTION economy_internal.audit_effects(bigint, bigint) IS
    'Idempotency keys with more than one effect (I4), of the users from one id to another.';

-- An account is gone when rows of its user are still there.
CREATE FUNCTION economy_internal.audit_orphans(
    from_user bigint DEFAULT '-9223372036854775808', upto_user bigint DEFAULT 9223372036854775807
) RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT l.user_id, 'orphan_row', 'an account', 'none', min(l.transaction_id), min(l.seq)
        FROM economy.ledger l
        WHERE l.user_id BETWEEN from_user AND upto_user
          AND NOT EXISTS (SELECT FROM economy.accounts a WHERE a.user_id = l.user_id)
        GROUP BY l.user_id
        UNION ALL
        SELECT k.user_id, 'orphan_row', 'an account', 'only ' || k.what, NULL, NULL
        FROM (
            SELECT u.user_id, 'a user' FROM economy.users u
            WHERE u.user_id BETWEEN from_user AND upto_user
            UNION ALL
            SELECT c.user_id, 'an audit checkpoint' FROM economy_internal.audit_checkpoints c
            WHERE c.user_id BETWEEN from_user AND upto_user
            UNION ALL
            SELECT c.user_id, 'a stream checkpoint' FROM economy.stream_checkpoints c
            WHERE c.user_id BETWEEN from_user AND upto_user
            UNION ALL
            SELECT p.user_id, 'a rollup position' FROM economy_internal.rollup_positions p
            WHERE p.user_id BETWEEN from_user AND upto_user
            UNION ALL
            SELECT DISTINCT g.user_id, 'statistics' FROM economy_internal.game_stats_more g
            WHERE g.user_id BETWEEN from_user AND upto_user
            UNION ALL
            SELECT DISTINCT g.user_id, 'daily statistics' FROM economy.user_game_stats_summary g
            WHERE g.user_id BETWEEN from_user AND upto_user
            UNION ALL
            SELECT DISTINCT p.user_id, 'statistics of pruned actions' FROM economy.pruned_stats p
            WHERE p.user_id BETWEEN from_user AND upto_user
            UNION ALL
            SELECT DISTINCT p.user_id, 'keys of pruned actions' FROM economy.pruned_actions p
            WHERE p.user_id BETWEEN from_user AND upto_user
            UNION ALL
            SELECT DISTINCT m.user_id, 'archives' FROM economy.archives m
            WHERE m.user_id BETWEEN from_user AND upto_user
            UNION ALL
            SELECT DISTINCT p.user_id, 'keys of archived entries' FROM economy.archived_keys p
            WHERE p.user_id BETWEEN from_user AND upto_user
            UNION ALL
            SELECT DISTINCT h.user_id, 'hashes of archived entries' FROM economy.archived_hashes h
            WHERE h.user_id BETWEEN from_user AND upto_user
            UNION ALL
            SELECT DISTINCT p.user_id, 'a place on a leaderboard'
            FROM economy.leaderboard_scores p
            WHERE p.user_id BETWEEN from_user AND upto_user
            UNION ALL
            SELECT DISTINCT r.user_id, 'a prize that could not be paid'
            FROM economy.leaderboard_refusals r
            WHERE r.user_id BETWEEN from_user AND upto_user
            UNION ALL
            SELECT s.user_id, 'a segment' FROM economy.user_segments s
            WHERE s.user_id BETWEEN from_user AND upto_user
            UNION ALL
            SELECT DISTINCT h.user_id, 'a history of segments' FROM economy.segment_history h
            WHERE h.user_id BETWEEN from_user AND upto_user
            UNION ALL
            SELECT DISTINCT d.user_id, 'recommendations' FROM economy.recommendations d
            WHERE d.user_id BETWEEN from_user AND upto_user
            UNION ALL
            SELECT DISTINCT r.user_id, 'reservations' FROM economy.shop_reservations r
            WHERE r.user_id BETWEEN from_user AND upto_user
            UNION ALL
            SELECT DISTINCT u.user_id, 'uses of promo codes' FROM economy.promo_uses u
            WHERE u.user_id BETWEEN from_user AND upto_user
            UNION ALL
            SELECT DISTINCT o.user_id, 'orders' FROM economy.payment_orders o
            WHERE o.user_id BETWEEN from_user AND upto_user
            UNION ALL
            SELECT DISTINCT s.user_id, 'a server seed' FROM economy.draw_seeds s
            WHERE s.user_id BETWEEN from_user AND upto_user
            UNION ALL
            SELECT DISTINCT d.user_id, 'a debt' FROM economy.shop_debts d
            WHERE d.user_id BETWEEN from_user AND upto_user
            UNION ALL
            SELECT DISTINCT e.user_id, 'an open escrow' FROM economy.escrows e
            WHERE e.user_id BETWEEN from_user AND upto_user
            UNION ALL
            SELECT DISTINCT h.user_id, 'an anchored head' FROM economy.anchor_heads h
            WHERE h.user_id BETWEEN from_user AND upto_user) k (user_id, what)
        WHERE NOT EXISTS (SELECT FROM economy.accounts a WHERE a.user_id = k.user_id)
        UNION ALL
        SELECT p.user_id, 'missing_entry', format('the entry of the %s', p.what), 'nothing',
               NULL, p.seq
        FROM (
            SELECT p.user_id, p.seq, 'rollup position'
            FROM economy_internal.rollup_positions p JOIN economy.accounts a USING (user_id)
            WHERE p.user_id BETWEEN from_user AND upto_user AND p.seq NOT BETWEEN 1 AND a.seq
            UNION ALL
            SELECT r.user_id, r.seq, 'reversed purchase' FROM economy_internal.rfm_reversals r
            WHERE r.user_id BETWEEN from_user AND upto_user
              AND NOT EXISTS (SELECT FROM economy_internal.shop_purchases t
                              WHERE t.user_id = r.user_id AND t.seq = r.seq)
            ) p (user_id, seq, what)
        UNION ALL
        SELECT b.user_id, 'orphan_row', format('purchase %s', b.purchase), 'only its refund',
               'B' || b.user_id || '-' || b.seq, b.seq
        FROM economy.shop_refunds b
        WHERE b.user_id BETWEEN from_user AND upto_user
          AND NOT EXISTS (SELECT FROM economy_internal.shop_purchases t
                          WHERE t.user_id = b.user_id AND t.seq = b.reverses)
        UNION ALL
        SELECT r.user_id, 'orphan_row', format('reward R%s-%s', r.user_id, r.reverses),
               'only its reversal', 'R' || r.user_id || '-' || r.seq, r.seq
        FROM economy.reward_audit r
        WHERE r.user_id BETWEEN from_user AND upto_user AND r.reverses IS NOT NULL
          AND NOT EXISTS (SELECT FROM economy.reward_audit o
                          WHERE o.user_id = r.user_id AND o.seq = r.reverses)
          AND NOT EXISTS (SELECT FROM economy.archived_keys k
                          WHERE k.user_id = r.user_id AND k.seq = r.reverses);
    END;
COMMENT ON FUNCTION economy_internal.audit_orphans(bigint, bigint) IS
    'Rows without the row they belong to, of the users from one id to another.';

-- The prizes of an entry with a limit are numbered from 1, whoever drew them.
CREATE FUNCTION economy_internal.audit_prizes() RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT NULL::bigint, 'wrong_stock',
               CASE WHEN p.limited
                    THEN format('%s prizes of %s %s', coalesce(d.numbers, 0), table_id, entry)
                    ELSE format('no prize %s %s with a limit', table_id, entry) END,
               concat_ws(', ', format('%s given', coalesce(p.given::text, 'unknown')),
                         d.draws || ' drawn', 'the last is number ' || d.last),
               NULL::text, NULL::bigint
        -- a row of each entry that was published with one, and of no other
        FROM (SELECT table_id, entry, g.given, l.limited
              FROM economy.draw_prizes g
              FULL JOIN (SELECT DISTINCT c.key COLLATE "C" AS table_id, e.entry, true AS limited
                         FROM economy.config_changes c
                         CROSS JOIN LATERAL
                             economy_internal.limited_entries(c.after -> 'definition') e
                         WHERE c.relation = 'draw_tables' AND c.action = 'publish') l
                  USING (table_id, entry)) p
        FULL JOIN (SELECT n.table_id, n.outcome ->> 'entry' COLLATE "C" AS entry,
                          count(*) AS draws, count(DISTINCT n.prize_number) AS numbers,
                          max(n.prize_number) AS last
                   FROM economy_internal.draw_entries n WHERE n.prize_number IS NOT NULL
                   GROUP BY 1, 2) d USING (table_id, entry)
        WHERE p.limited IS NULL
           OR (p.given, coalesce(d.draws, 0), coalesce(d.last, 0))
              IS DISTINCT FROM (coalesce(d.numbers, 0), coalesce(d.numbers, 0),
                                coalesce(d.numbers, 0)::numeric)
        UNION ALL
        SELECT d.user_id, 'wrong_draw',
               format('%s, of which %s were given', d.outcome ->> 'entry', p.given), d.instead,
               d.entry, d.seq
        FROM economy_internal.draw_entries d
        JOIN economy.draw_prizes p
            ON p.table_id = d.table_id AND p.entry = d.outcome ->> 'entry'
        JOIN economy.draw_table_versions v ON v.table_id = d.table_id AND v.version = d.version
        JOIN LATERAL economy_internal.limited_entries(v.definition) l ON l.entry = p.entry
        WHERE d.instead IS NOT NULL AND p.given < l.most;
    END;
COMMENT ON FUNCTION economy_internal.audit_prizes() IS
    'Prizes of draws that have a limit: numbered without a gap, none twice, counted (I5), and '
    'none kept back.';

CREATE FUNCTION economy_internal.audit_stock() RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT NULL::bigint, 'wrong_stock',
               format('%s units issued of %s', coalesce(issued.units, 0), product_id),
               format('%s left%s and %s sold%s', coalesce(stock.remaining, 0),
                      ', ' || held.units || ' reserved', coalesce(sold.units, 0),
                      ', ' || back.units || ' of them taken back'),
               NULL::text, NULL::bigint
        FROM (SELECT c.product_id, sum(c.units) AS units
              FROM economy.shop_product_changes c WHERE c.action = 'stock' GROUP BY 1) issued
        FULL JOIN (SELECT s.product_id, sum(s.remaining) AS remaining
                   FROM economy.shop_stock s GROUP BY 1) stock USING (product_id)
        FULL JOIN (SELECT t.product_id, sum(t.stock_units) AS units
                   FROM economy_internal.shop_purchases t WHERE t.stock_units IS NOT NULL
                   GROUP BY 1) sold USING (product_id)
        FULL JOIN (SELECT r.product_id, sum(r.quantity) AS units
                   FROM (SELECT h.product_id, h.quantity
                         FROM economy.shop_reservations h WHERE h.state = 'held'
                         UNION ALL
                         SELECT o.product_id, o.quantity
                         FROM economy.payment_orders o WHERE o.stock_slot IS NOT NULL) r
                   GROUP BY 1) held USING (product_id)
        FULL JOIN (SELECT b.product_id, sum(b.restocked) AS units
                   FROM economy.shop_refunds b WHERE b.restocked > 0
                   GROUP BY 1) back USING (product_id)
        WHERE coalesce(issued.units, 0) <> coalesce(stock.remaining, 0)
                  + coalesce(held.units, 0) + coalesce(sold.units, 0) - coalesce(back.units, 0)
        UNION ALL
        -- a product that is unlimited again keeps its slots
        SELECT NULL, 'wrong_stock',
               format('%s stock slots of %s, from 0',
                      coalesce(nullif(p.stock_slots, 0), s.slots, 0),
                      coalesce(p.product_id, s.product_id)),
               format('%s, from %s to %s', coalesce(s.slots, 0), s.first, s.last), NULL, NULL
        FROM economy.shop_products p
        FULL JOIN (SELECT s.product_id, count(s.remaining) AS slots, min(s.slot) AS first,
                          max(s.slot) AS last
                   FROM economy.shop_stock s GROUP BY 1) s USING (product_id)
        WHERE p.product_id IS NULL OR s.first <> 0 OR s.last <> s.slots - 1
           OR (p.stock_slots > 0 AND p.stock_slots IS DISTINCT FROM s.slots);
    END;
COMMENT ON FUNCTION economy_internal.audit_stock() IS
    'Products whose issued stock is not what is left, reserved and sold (I5), '
    'or whose slots are not those that it has.';

CREATE FUNCTION economy_internal.claim_contents(items jsonb, not_given jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT jsonb_object_agg(s.item, s.amount)
        FROM (SELECT m.item, sum(m.amount) AS amount
              FROM (SELECT g.item, g.delta::numeric AS amount
                    FROM economy_internal.items_of(items) g
                    UNION ALL
                    SELECT n.key, CASE jsonb_typeof(n.value) WHEN 'number'
                                                             THEN n.value::numeric END
                    FROM jsonb_each(CASE jsonb_typeof(not_given) WHEN 'object'
                                                                 THEN not_given END) n) m
              GROUP BY m.item) s
        WHERE s.item IS NOT NULL;
    END;
COMMENT ON FUNCTION economy_internal.claim_contents(jsonb, jsonb) IS
    'The items of the day of a daily claim: what the entry gave, and what there was no room for.';

-- Every entry that changes a streak must follow from the one it goes on from: a
-- claim by the rule, paying what the formula says or a calendar that was set; a
-- correction; a reversal that gives the newest claim's date back, and with it the
-- streak before that claim.
CREATE FUNCTION economy_internal.audit_rewards(
    from_user bigint DEFAULT '-9223372036854775808', upto_user bigint DEFAULT 9223372036854775807
) RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET DateStyle = 'ISO, YMD'
    BEGIN ATOMIC
        WITH states AS MATERIALIZED (
            SELECT r.user_id, r.seq, r.source, r.reverses, r.streak_before, r.streak_day,
                   r.reward_day, r.claim_date, r.best, r.last_grace_on, r.excused_to, r.timezone,
                   r.grace_used, r.freezes_used, r.gold_delta, r.xp_delta, r.items,
                   r.details -> 'not_given' AS not_given,
                   r.source = 'economy:daily_streak' AS is_claim,
                   CASE WHEN r.reverses IS NULL THEN r.seq ELSE r.streak_before END AS stands_at,
                   lag(CASE WHEN r.reverses IS NULL THEN r.seq ELSE r.streak_before END) OVER w
                       AS stood_at,
                   lead(r.seq) OVER w IS NULL AS is_newest,
                   max(r.claim_date) FILTER (WHERE r.source = 'economy:daily_streak')
                       OVER (PARTITION BY r.user_id) AS paid_to
            FROM economy.reward_audit r
            WHERE r.user_id BETWEEN from_user AND upto_user
              AND (r.streak_day IS NOT NULL OR r.source = 'economy:daily_streak')
            WINDOW w AS (PARTITION BY r.user_id ORDER BY r.seq)
        ), changes AS MATERIALIZED (
            SELECT s.*, b.claim_date AS date_before,
                   coalesce(b.streak_day, 0)::bigint AS day_before,
                   coalesce(b.best, 0) AS best_before, b.last_grace_on AS grace_before,
                   b.excused_to AS excused_before, b.timezone AS timezone_before
            FROM states s LEFT JOIN states b ON b.user_id = s.user_id AND b.seq = s.streak_before
            -- where the streak stood when the others went into an archive: others follow from it
            WHERE s.seq >= coalesce((SELECT max(m.upto_seq) FROM economy.archives m
                                     WHERE m.user_id = s.user_id AND m.journal = 'reward_audit'), 0)
        ), taken AS MATERIALIZED (
            SELECT v.user_id, v.reverses, -sum(v.gold_delta) AS gold, -sum(v.xp_delta) AS xp,
                   max(v.seq) AS seq, bool_or(v.gold_delta > 0 OR v.xp_delta > 0) AS gives,
                   bool_or(v.streak_day IS NOT NULL) AS gave_back,
                   jsonb_agg(v.items) FILTER (WHERE v.items IS NOT NULL) AS items
            FROM economy.reward_audit v
            WHERE v.user_id BETWEEN from_user AND upto_user AND v.reverses IS NOT NULL
            GROUP BY v.user_id, v.reverses
        ), calendar_days AS MATERIALIZED (
            SELECT DISTINCT d.day -> 'reward_day' AS reward_day, d.day -> 'gold' AS gold,
                            d.day -> 'xp' AS xp, nullif(d.day -> 'contents', 'null') AS contents
            FROM economy.config_changes h
            CROSS JOIN LATERAL jsonb_array_elements(
                CASE jsonb_typeof(h.after) WHEN 'array' THEN h.after END) d (day)
            WHERE h.relation = 'daily_rewards'
        )
        SELECT c.user_id, 'wrong_reward',
               CASE WHEN EXISTS (SELECT FROM calendar_days)
                    THEN format('what the formula or a calendar has for day %s', c.reward_day)
                    ELSE format('%s gold and %s XP for day %s',
                                1000 + 200 * (c.reward_day::bigint - 1),
                                50 + 25 * (c.reward_day::bigint - 1), c.reward_day) END,
               concat_ws(' and ', c.gold_delta || ' gold', c.xp_delta || ' XP', c.items,
                         'not ' || c.not_given::text),
               'R' || c.user_id || '-' || c.seq, c.seq
        FROM changes c
        WHERE c.is_claim
          AND (c.gold_delta <> 1000 + 200 * (c.reward_day::bigint - 1)
               OR c.xp_delta <> 50 + 25 * (c.reward_day::bigint - 1)
               OR c.items IS NOT NULL OR c.not_given IS NOT NULL)
          AND NOT EXISTS (
              SELECT FROM calendar_days d
              WHERE d.reward_day = to_jsonb(c.reward_day) AND d.gold = to_jsonb(c.gold_delta)
                AND d.xp = to_jsonb(c.xp_delta)
                AND d.contents IS NOT DISTINCT FROM
                    economy_internal.claim_contents(c.items, c.not_given))
        UNION ALL
        SELECT c.user_id, 'duplicate_effect', format('a claim date after %s', c.date_before),
               c.claim_date::text, 'R' || c.user_id || '-' || c.seq, c.seq
        FROM changes c WHERE c.is_claim AND c.claim_date <= c.date_before
        UNION ALL
        SELECT c.user_id, 'duplicate_effect', format('one claim of %s', c.claim_date),
               format('%s claims', count(*)), 'R' || c.user_id || '-' || max(c.seq), max(c.seq)
        FROM states c LEFT JOIN taken t ON t.user_id = c.user_id AND t.reverses = c.seq
        WHERE c.is_claim
          AND (t.gave_back
               OR (t.gold = c.gold_delta AND t.xp = c.xp_delta AND NOT EXISTS (
                       SELECT FROM economy_internal.items_of(c.items) g
                       WHERE g.delta + coalesce((
                           SELECT sum(i.delta) FROM jsonb_array_elements(t.items) a
                           CROSS JOIN LATERAL economy_internal.items_of(a) i
                           WHERE i.item = g.item), 0) > 0))) IS NOT TRUE
        GROUP BY c.user_id, c.claim_date HAVING count(*) > 1
        UNION ALL
        SELECT c.user_id, 'wrong_streak', format('day 1 or %s', c.day_before + 1),
               format('day %s', c.streak_day), 'R' || c.user_id || '-' || c.seq, c.seq
        FROM changes c
        WHERE c.is_claim
          AND (c.streak_day NOT IN (1, least(c.day_before + 1, 2147483647))
               OR c.reward_day NOT BETWEEN 1 AND c.streak_day
               OR (c.claim_date = c.date_before + 1
                   AND c.streak_day <> least(c.day_before + 1, 2147483647))
               OR c.best IS DISTINCT FROM greatest(c.best_before, c.streak_day)
               OR CASE WHEN c.grace_used
                       THEN c.last_grace_on IS NULL OR c.last_grace_on <= c.date_before
                            OR c.last_grace_on >= c.claim_date
                       -- dormancy makes grace available again
                       ELSE c.last_grace_on IS DISTINCT FROM c.grace_before
                            AND NOT (c.streak_day = 1 AND c.last_grace_on IS NULL) END
               OR (c.excused_to IS DISTINCT FROM c.excused_before
                   AND (c.excused_to NOT BETWEEN c.claim_date + 1 AND c.claim_date + 2
                        OR c.excused_to <= coalesce(c.excused_before, '-infinity'))
                       IS NOT FALSE)
               OR c.timezone IS NULL OR c.streak_day IS NULL)
        UNION ALL
        SELECT c.user_id, 'wrong_streak',
               format('to go on from %s', coalesce('entry ' || c.stood_at, 'nothing')),
               format('from %s', coalesce('entry ' || c.streak_before, 'nothing')),
               'R' || c.user_id || '-' || c.seq, c.seq
        FROM changes c WHERE c.reverses IS NULL AND c.streak_before IS DISTINCT FROM c.stood_at
        UNION ALL
        SELECT c.user_id, 'wrong_streak', 'a correction',
               format('day %s on %s', c.streak_day, c.claim_date),
               'R' || c.user_id || '-' || c.seq, c.seq
        FROM changes c
        WHERE NOT c.is_claim AND c.reverses IS NULL
          AND (c.source NOT IN ('economy:set_streak', 'economy:set_streak:once')
               OR (c.streak_day = 0) <> (c.claim_date IS NULL)
               OR c.best IS DISTINCT FROM greatest(c.best_before, c.streak_day)
               OR c.excused_to IS NOT NULL
               OR (c.last_grace_on IS DISTINCT FROM c.grace_before AND c.last_grace_on IS NOT NULL)
               OR c.timezone IS NULL OR c.gold_delta <> 0 OR c.xp_delta <> 0)
        UNION ALL
        SELECT c.user_id, 'wrong_streak',
               format('day %s on %s again', c.day_before, c.date_before),
               format('day %s on %s', c.streak_day, c.claim_date),
               'R' || c.user_id || '-' || c.seq, c.seq
        FROM changes c LEFT JOIN states r ON r.user_id = c.user_id AND r.seq = c.reverses
        WHERE c.reverses IS NOT NULL
          AND ((c.reverses, c.streak_before, c.freezes_used)
                   IS DISTINCT FROM (c.stood_at, r.streak_before, -r.freezes_used)
               OR NOT r.is_claim
               OR (c.streak_day, c.best, c.claim_date, c.last_grace_on, c.excused_to,
                   coalesce(c.timezone_before, c.timezone))
                   IS DISTINCT FROM (c.day_before, c.best_before, c.date_before, c.grace_before,
                                     c.excused_before, c.timezone))
        UNION ALL
        SELECT r.user_id, 'wrong_reward',
               format('at most %s gold and %s XP taken back', r.gold_delta, r.xp_delta),
               format('%s gold and %s XP', t.gold, t.xp),
               'R' || r.user_id || '-' || t.seq, t.seq
        FROM taken t JOIN economy.reward_audit r ON r.user_id = t.user_id AND r.seq = t.reverses
        WHERE t.gold > r.gold_delta OR t.xp > r.xp_delta OR t.gives OR r.reverses IS NOT NULL
        UNION ALL
        SELECT coalesce(c.user_id, s.user_id), 'parity',
               format('streak day %s on %s', c.streak_day, c.claim_date),
               format('streak day %s on %s', s.streak_day, s.last_claim_on),
               'R' || c.user_id || '-' || c.seq, c.seq
        FROM (SELECT * FROM states WHERE is_newest) c
        FULL JOIN (SELECT k.* FROM economy.streaks k
                   WHERE k.user_id BETWEEN from_user AND upto_user) s USING (user_id)
        WHERE (c.streak_day, c.claim_date,
               coalesce(c.stands_at, CASE WHEN c.seq IS NOT NULL THEN 0 END),
               c.best, c.last_grace_on, c.excused_to, c.timezone, c.paid_to)
              IS DISTINCT FROM (s.streak_day, s.last_claim_on, s.last_seq, s.best,
                                s.last_grace_on, s.excused_to, s.timezone, s.paid_to)
        UNION ALL
        SELECT a.user_id, 'parity', 'a streak that can be read',
               'damaged sections of the account', NULL, NULL
        FROM economy.accounts a
        WHERE a.user_id BETWEEN from_user AND upto_user
          AND NOT economy_internal.streak_sound(a.sections)
        UNION ALL
        SELECT a.user_id, 'wrong_balance', format('%s streak freezes', coalesce(f.freezes, 0)),
               format('%s streak freezes', a.streak_freezes), NULL, NULL
        FROM economy.accounts a
        LEFT JOIN (
            SELECT m.user_id, sum(m.n) AS freezes
            FROM (SELECT e.user_id, e.delta AS n FROM economy_internal.item_entries e
                  WHERE e.item_id = 'streak_freeze'
                    AND e.user_id BETWEEN from_user AND upto_user
                  UNION ALL
                  SELECT c.user_id, c.freezes FROM economy.archives c
                  WHERE c.freezes <> 0 AND c.user_id BETWEEN from_user AND upto_user) m
            GROUP BY m.user_id) f USING (user_id)
        WHERE a.user_id BETWEEN from_user AND upto_user
          AND a.streak_freezes <> coalesce(f.freezes, 0);
    END;
COMMENT ON FUNCTION economy_internal.audit_rewards(bigint, bigint) IS
    'Daily claims against the formula, the calendars and each other, reversals against their '
    'rewards, streaks and freezes against the entries, of the users from one id to another.';

CREATE FUNCTION economy_internal.audit_units(
    from_user bigint DEFAULT '-9223372036854775808', upto_user bigint DEFAULT 9223372036854775807
) RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        -- rows also of who has no account
        WITH kept AS (
            SELECT a.user_id, p.product_id COLLATE "C" AS product_id, p.units, p.day_units,
                   p.week_units, p.month_units, p.last_on
            FROM economy.accounts a, economy_internal.units_of(a.sections) p
            WHERE a.user_id BETWEEN from_user AND upto_user
            UNION ALL
            SELECT m.user_id, m.product_id, m.units, m.day_units, m.week_units, m.month_units,
                   m.last_on
            FROM economy_internal.shop_user_units_more m
            WHERE m.user_id BETWEEN from_user AND upto_user
        )
        SELECT u.user_id, 'parity', format('units of %s: %s', u.product_id, e.says), says.says,
               NULL::text, NULL::bigint
        FROM kept u
        CROSS JOIN LATERAL (
            SELECT concat_ws(' ', u.units, u.day_units, u.week_units, u.month_units,
                             to_char(u.last_on, 'YYYY-MM-DD'))) says (says)
        LEFT JOIN LATERAL (
            -- 0 is left out: of a period that is over, it is not known
            SELECT concat_ws(' ', sum(t.quantity),
                             CASE u.day_units WHEN 0 THEN 0 ELSE sum(t.quantity) FILTER (
                                 WHERE date_trunc('day', t.created_at, 'UTC')
                                     = date_trunc('day', m.last_at, 'UTC')) END,
                             CASE u.week_units WHEN 0 THEN 0 ELSE sum(t.quantity) FILTER (
                                 WHERE date_trunc('week', t.created_at, 'UTC')
                                     = date_trunc('week', m.last_at, 'UTC')) END,
                             CASE u.month_units WHEN 0 THEN 0 ELSE sum(t.quantity) FILTER (
                                 WHERE date_trunc('month', t.created_at, 'UTC')
                                     = date_trunc('month', m.last_at, 'UTC')) END,
                             to_char(m.last_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')) AS says,
                   (m.last_at AT TIME ZONE 'UTC')::date AS last_on
            FROM (SELECT n.created_at, n.quantity, max(n.created_at) OVER () AS last_at
                  FROM (SELECT p.created_at, p.quantity - coalesce(b.units, 0) AS quantity
                        FROM economy_internal.shop_purchases p
                        LEFT JOIN (SELECT r.reverses, sum(r.quantity) AS units
                                   FROM economy.shop_refunds r
                                   WHERE r.user_id = u.user_id AND r.product_id = u.product_id
                                   GROUP BY 1) b ON b.reverses = p.seq
                        WHERE p.user_id = u.user_id AND p.product_id = u.product_id) n
                  -- one that was taken back as a whole counts no more
                  WHERE n.quantity > 0) t,
                 LATERAL (SELECT t.last_at) m
            GROUP BY m.last_at OFFSET 0) e ON true
        WHERE says.says IS DISTINCT FROM e.says OR u.last_on <> e.last_on
        UNION ALL
        -- and what the next purchase could not read, or would not look for
        SELECT a.user_id, 'parity', 'units of products that can be read',
               'damaged sections of the account', NULL, NULL
        FROM economy.accounts a
        WHERE a.user_id BETWEEN from_user AND upto_user
          AND NOT economy_internal.units_sound(a.sections, EXISTS (
              SELECT FROM economy_internal.shop_user_units_more m WHERE m.user_id = a.user_id));
    END;
COMMENT ON FUNCTION economy_internal.audit_units(bigint, bigint) IS
    'Units per user of counted products against the purchases, '
    'of the users from one id to another.';

-- What a balance of an item follows from: I2, as it is for gold.
CREATE FUNCTION economy_internal.audit_holdings(
    from_user bigint DEFAULT '-9223372036854775808', upto_user bigint DEFAULT 9223372036854775807
) RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH carried AS MATERIALIZED (
            SELECT e.user_id, e.seq, e.entry, e.item_id, e.delta, e.balance,
                   coalesce(i.kind = 'pass', false) AS is_pass,
                   ceil(extract(epoch FROM e.created_at)) AS began,
                   lag(e.balance) OVER w AS balance_before, lead(e.seq) OVER w IS NULL AS is_newest,
                   -- in front of what was archived some are missing; the chain proves those left
                   EXISTS (SELECT FROM economy.archives a
                           WHERE a.user_id = e.user_id AND a.upto_seq > e.seq) AS has_gaps
            FROM economy_internal.item_entries e LEFT JOIN economy.items i USING (item_id)
            WHERE e.user_id BETWEEN from_user AND upto_user AND e.item_id <> 'streak_freeze'
            WINDOW w AS (PARTITION BY e.user_id, e.item_id ORDER BY e.seq)
        ), change AS MATERIALIZED (
            SELECT c.*, CASE WHEN c.is_pass THEN greatest(coalesce(c.balance_before, 0), c.began)
                             ELSE coalesce(c.balance_before, 0) END + c.delta AS follows
            FROM carried c
        ), frozen AS MATERIALIZED (
            -- what a claim uses it uses before it gives any
            SELECT e.user_id, e.seq, e.entry, e.delta, e.balance,
                   coalesce((SELECT sum(a.freezes) FROM economy.archives a
                             WHERE a.user_id = e.user_id), 0)
                   + sum(e.delta) OVER (PARTITION BY e.user_id ORDER BY e.seq) AS follows,
                   EXISTS (SELECT FROM economy.archives a
                           WHERE a.user_id = e.user_id AND a.upto_seq > e.seq) AS has_gaps
            FROM economy_internal.item_entries e
            WHERE e.user_id BETWEEN from_user AND upto_user AND e.item_id = 'streak_freeze'
        ), kept AS (
            -- rows also of who has no account
            SELECT a.user_id, p.item_id COLLATE "C" AS item_id, p.balance, p.is_pass
            FROM economy.accounts a, economy_internal.holdings_of(a.sections) p
            WHERE a.user_id BETWEEN from_user AND upto_user
            UNION ALL
            SELECT m.user_id, m.item_id, m.balance, m.is_pass
            FROM economy_internal.user_holdings_more m
            WHERE m.user_id BETWEEN from_user AND upto_user
        )
        SELECT c.user_id, 'wrong_balance',
               format('%s of %s', c.follows, c.item_id),
               format('%s of %s', c.balance, c.item_id), c.entry, c.seq
        FROM change c
        WHERE c.delta IS NULL OR c.balance IS NULL OR c.balance < 0 OR c.delta = 0
           OR NOT c.has_gaps AND c.balance <> c.follows
        UNION ALL
        -- what the account has of them, audit_rewards() compares
        SELECT f.user_id, 'wrong_balance', format('%s of streak_freeze', f.follows),
               format('%s of streak_freeze', coalesce(f.balance, f.follows)), f.entry, f.seq
        FROM frozen f
        WHERE f.delta IS NULL OR f.delta = 0 OR f.balance < 0
           OR NOT f.has_gaps AND (f.follows < 0 OR f.balance <> f.follows)
        UNION ALL
        SELECT coalesce(c.user_id, k.user_id), 'parity',
               format('%s of %s', coalesce(c.balance, 0), coalesce(c.item_id, k.item_id)),
               format('%s of %s', coalesce(k.balance, 0), coalesce(c.item_id, k.item_id)),
               c.entry, c.seq
        FROM (SELECT * FROM change n WHERE n.is_newest) c
        FULL JOIN kept k ON k.user_id = c.user_id AND k.item_id = c.item_id
        WHERE coalesce(c.balance, 0) <> coalesce(k.balance, 0) OR c.user_id IS NULL
           OR k.is_pass IS DISTINCT FROM c.is_pass AND k.user_id IS NOT NULL
        UNION ALL
        SELECT a.user_id, 'parity', 'holdings that can be read',
               'damaged sections of the account', NULL, NULL
        FROM economy.accounts a
        WHERE a.user_id BETWEEN from_user AND upto_user
          AND NOT economy_internal.holdings_sound(a.sections, EXISTS (
              SELECT FROM economy_internal.user_holdings_more m WHERE m.user_id = a.user_id));
    END;
COMMENT ON FUNCTION economy_internal.audit_holdings(bigint, bigint) IS
    'Items of entries against each other, and what users hold against the entries (I2), '
    'of the users from one id to another.';

-- Every draw follows from its seed, its table, and the draw before it.
CREATE FUNCTION economy_internal.audit_draws(
    from_user bigint DEFAULT '-9223372036854775808', upto_user bigint DEFAULT 9223372036854775807
) RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH draw AS MATERIALIZED (
            SELECT d.*, row_number() OVER s - 1 AS nonce_expected,
                   CASE WHEN d.pity_after IS NULL THEN 0
                        ELSE coalesce(lag(d.pity_after) OVER p, 0) END AS pity_expected,
                   d.pity_after IS NOT NULL AND lead(d.seq) OVER p IS NULL AS is_newest
            FROM economy_internal.draw_entries d
            WHERE d.user_id BETWEEN from_user AND upto_user
            WINDOW s AS (PARTITION BY d.user_id, d.seed_number ORDER BY d.seq),
                   p AS (PARTITION BY d.user_id, d.table_id, d.pity_after IS NULL ORDER BY d.seq)
        ), seed AS MATERIALIZED (
            SELECT s.user_id, s.seed_number, s.key_version, s.sealed, s.hash, s.next_nonce,
                   s.server_seed, row_number() OVER w AS number,
                   lead(s.seed_number) OVER w IS NULL AS is_newest
            FROM economy.draw_seeds s WHERE s.user_id BETWEEN from_user AND upto_user
            WINDOW w AS (PARTITION BY s.user_id ORDER BY s.seed_number)
        ), version AS MATERIALIZED (
            -- as they were published; audit_config() holds the others against it
            SELECT c.key AS table_id, (c.after ->> 'version')::numeric AS version,
                   c.after -> 'definition' AS definition
            FROM economy.config_changes c
            WHERE c.relation = 'draw_tables' AND c.action = 'publish'
        )
        SELECT d.user_id, 'wrong_draw',
               format('nonce %s after %s draws without the class', d.nonce_expected,
                      d.pity_expected),
               format('nonce %s after %s', d.nonce, d.pity), d.entry, d.seq
        FROM draw d
        WHERE (d.nonce, d.pity) IS DISTINCT FROM (d.nonce_expected::numeric, d.pity_expected)
        UNION ALL
        SELECT d.user_id, 'wrong_draw',
               format('a seed %s with hash %s', d.seed_number, d.seed_hash),
               coalesce(encode(s.hash, 'hex'), 'none'), d.entry, d.seq
        FROM draw d
        LEFT JOIN seed s ON s.user_id = d.user_id AND s.seed_number = d.seed_number
        WHERE d.seed_hash IS DISTINCT FROM encode(s.hash, 'hex')
        UNION ALL
        SELECT d.user_id, 'wrong_draw', coalesce(e.outcome::text, 'a draw'),
               coalesce(d.outcome::text, 'none'), d.entry, d.seq
        FROM draw d
        JOIN seed s ON s.user_id = d.user_id AND s.seed_number = d.seed_number
        LEFT JOIN version v
            ON v.table_id = d.table_id AND v.version = d.version
        CROSS JOIN LATERAL (
            SELECT CASE WHEN octet_length(d.client_seed) BETWEEN 1 AND 64
                             AND position(':' IN d.client_seed) = 0
                             AND (d.nonce, d.pity, v.definition) IS NOT NULL
                        THEN economy.verify_draw(encode(s.server_seed, 'hex'), d.client_seed,
                                                 d.nonce::bigint, v.definition, d.pity::bigint)
                   END AS outcome OFFSET 0) e
        WHERE octet_length(s.server_seed) = 32 AND e.outcome IS DISTINCT FROM d.outcome
        UNION ALL
        SELECT d.user_id, 'wrong_draw',
               format('%s gold, %s XP and %s', g.gold, g.xp, coalesce(g.items, '{}')),
               format('%s gold, %s XP and %s', d.gold_delta, d.xp_delta, coalesce(h.items, '{}')),
               d.entry, d.seq
        FROM draw d
        LEFT JOIN version v
            ON v.table_id = d.table_id AND v.version = d.version
        CROSS JOIN LATERAL economy_internal.draw_gives(
            v.definition, coalesce(d.instead, d.outcome ->> 'entry')) g
        CROSS JOIN LATERAL (
            SELECT jsonb_object_agg(i.item_id, i.delta) AS items
            FROM economy_internal.item_entries i
            WHERE i.user_id = d.user_id AND i.seq = d.seq OFFSET 0) h
        WHERE (d.gold_delta::numeric, d.xp_delta::numeric, h.items)
              IS DISTINCT FROM (g.gold, g.xp, g.items)
        UNION ALL
        -- which of a limited prize it was, or what was given in its place
        SELECT d.user_id, 'wrong_draw',
               coalesce(format('one of %s, or %s', l.most, l.instead), 'the prize of the outcome'),
               format('number %s, %s', coalesce(d.prize_number::text, 'none'),
                      coalesce(d.instead, 'itself')), d.entry, d.seq
        FROM draw d
        LEFT JOIN version v ON v.table_id = d.table_id AND v.version = d.version
        LEFT JOIN LATERAL economy_internal.limited_entries(v.definition) l
            ON l.entry = d.outcome ->> 'entry'
        WHERE NOT CASE WHEN l.entry IS NULL THEN d.instead IS NULL AND d.prize_number IS NULL
                       WHEN d.instead IS NULL
                       THEN coalesce(d.prize_number BETWEEN 1 AND l.most, false)
                       ELSE d.instead = l.instead AND d.prize_number IS NULL END
        UNION ALL
        SELECT s.user_id, 'wrong_draw', format('seed %s, the newest to draw with', s.number),
               format('seed %s%s', s.seed_number,
                      CASE WHEN s.server_seed IS NOT NULL THEN ', which has ended' END),
               NULL, NULL
        FROM seed s
        WHERE s.number <> s.seed_number OR s.is_newest <> (s.server_seed IS NULL)
        UNION ALL
        SELECT s.user_id, 'wrong_draw', format('a seed %s of its hash', s.seed_number),
               CASE WHEN s.server_seed IS NULL THEN 'one that cannot be opened'
                    ELSE 'another one' END, NULL, NULL
        FROM seed s
        WHERE NOT CASE WHEN s.server_seed IS NULL
                       THEN economy_internal.draw_seed_sound(
                                s.user_id, s.seed_number, s.key_version, s.sealed, s.hash)
                       ELSE octet_length(s.sealed) = 0 AND s.key_version = 0
                            AND (octet_length(s.server_seed) = 0
                                 OR sha256(s.server_seed) = s.hash) END
        UNION ALL
        SELECT s.user_id, 'parity', format('%s draws with seed %s', coalesce(d.draws, 0),
                                           s.seed_number),
               format('%s draws', s.next_nonce), NULL, NULL
        FROM seed s
        LEFT JOIN (SELECT n.user_id, n.seed_number, count(*) AS draws FROM draw n GROUP BY 1, 2) d
            ON d.user_id = s.user_id AND d.seed_number = s.seed_number
        WHERE coalesce(d.draws, 0) <> s.next_nonce
        UNION ALL
        SELECT coalesce(d.user_id, p.user_id), 'parity',
               format('%s draws of %s without the class', d.pity_after,
                      coalesce(d.table_id, p.table_id)),
               format('%s draws', p.draws), d.entry, d.seq
        FROM (SELECT * FROM draw n WHERE n.is_newest) d
        FULL JOIN (SELECT k.* FROM economy_internal.draw_pity k
                   WHERE k.user_id BETWEEN from_user AND upto_user) p
            ON p.user_id = d.user_id AND p.table_id = d.table_id
        WHERE d.pity_after IS DISTINCT FROM p.draws::numeric;
    END;
COMMENT ON FUNCTION economy_internal.audit_draws(bigint, bigint) IS
    'Draws against their seeds, recomputed where these are revealed, against their tables, and '
    'against each other, of the users from one id to another.';

CREATE FUNCTION economy_internal.number_in(object jsonb, key text) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT CASE jsonb_typeof(object -> key) WHEN 'number' THEN (object ->> key)::numeric END;
    END;
COMMENT ON FUNCTION economy_internal.number_in(jsonb, text) IS
    'A number of a JSON object; null when it is none, as after damage.';

CREATE VIEW economy_internal.transfer_entries AS
    SELECT h.user_id, h.seq, h.operation, h.idempotency_key, h.key_digest, h.created_at,
           h.gold_delta, 'H' || h.user_id || '-' || h.seq AS name,
           CASE jsonb_typeof(h.detail -> 'gold') WHEN 'number'
                THEN (h.detail ->> 'gold')::numeric END AS gold,
           CASE jsonb_typeof(h.detail -> 'fee') WHEN 'number'
                THEN (h.detail ->> 'fee')::numeric END AS fee,
           -- what only damage makes is no user
           CASE WHEN jsonb_typeof(o.id) = 'number'
                THEN CASE WHEN (o.id #>> '{}')::numeric BETWEEN -9223372036854775808
                                                            AND 9223372036854775807
                          THEN (o.id #>> '{}')::numeric::bigint END END AS other,
           concat_ws(' ', 'from', CASE h.operation WHEN 'transfer_in' THEN o.id #>> '{}'
                                                   ELSE h.user_id::text END,
                     'to', CASE h.operation WHEN 'transfer_in' THEN h.user_id::text
                                            ELSE o.id #>> '{}' END,
                     coalesce(CASE h.operation WHEN 'transfer_in' THEN h.gold_delta::text
                                               ELSE h.detail ->> 'gold' END, 'no'), 'gold',
                     (SELECT string_agg(format('%s %s', CASE jsonb_typeof(i -> 'delta')
                                                        WHEN 'number' THEN
                                            (i ->> 'delta')::numeric
                                            * CASE h.operation WHEN 'transfer_in' THEN 1
                                                               ELSE -1 END END, i ->> 'item'),
                                        ' ' ORDER BY n)
                      FROM jsonb_array_elements(CASE jsonb_typeof(h.items) WHEN 'array'
                                                     THEN h.items END) WITH ORDINALITY e (i, n)),
                     'in transaction', h.xact, h.detail ->> 'transfer', h.detail -> 'note')
               AS says
    FROM economy.holding_changes h
    CROSS JOIN LATERAL (SELECT CASE h.operation WHEN 'transfer_out' THEN h.detail -> 'to'
                                                ELSE h.detail -> 'from' END) o (id)
    WHERE h.operation IN ('transfer_out', 'transfer_in');
COMMENT ON VIEW economy_internal.transfer_entries IS
    'Entries of transfers, with what they say was given: that of the sender and that of the '
    'receiver say the same.';

-- Of two users: each entry has the other's, whichever of them is among these users.
CREATE FUNCTION economy_internal.audit_transfers(
    from_user bigint DEFAULT '-9223372036854775808', upto_user bigint DEFAULT 9223372036854775807
) RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH entry AS MATERIALIZED (
            SELECT t.* FROM economy_internal.transfer_entries t
            WHERE t.user_id BETWEEN from_user AND upto_user
        ), sent AS (
            SELECT d.user_id, max(d.day) AS day,
                   least(sum(d.gold) FILTER (WHERE d.day = d.last_day),
                         9223372036854775807) AS gold
            FROM (SELECT b.*, max(b.day) OVER (PARTITION BY b.user_id) AS last_day
                  FROM (SELECT e.user_id, e.gold,
                               max((e.created_at AT TIME ZONE 'UTC')::date) OVER (
                                   PARTITION BY e.user_id ORDER BY e.seq) AS day
                        FROM (SELECT t.user_id, t.seq, t.created_at, t.gold FROM entry t
                              WHERE t.operation = 'transfer_out'
                              UNION ALL
                              SELECT h.user_id, h.seq, h.created_at,
                                     economy_internal.number_in(h.detail, 'gold')
                              FROM economy.holding_changes h
                              WHERE h.operation = 'escrow_close'
                                AND h.user_id BETWEEN from_user AND upto_user) e
                        WHERE e.gold > 0) b) d
            GROUP BY d.user_id
        )
        SELECT e.user_id, 'wrong_balance', e.says, coalesce(i.says, 'no transfer_in of it'),
               e.name, e.seq
        FROM entry e
        LEFT JOIN LATERAL (
            SELECT t.says FROM economy_internal.transfer_entries t
            WHERE t.user_id = e.other
              AND t.key_digest = economy_internal.key_digest('transfer_in', e.name)
              AND t.operation = 'transfer_in' AND t.idempotency_key = e.name) i ON true
        WHERE e.operation = 'transfer_out' AND i.says IS DISTINCT FROM e.says
        UNION ALL
        SELECT e.user_id, 'wrong_balance', format('%s gold and a fee of %s taken', e.gold, e.fee),
               format('%s', -e.gold_delta), e.name, e.seq
        FROM entry e
        WHERE e.operation = 'transfer_out' AND e.gold + e.fee IS DISTINCT FROM -e.gold_delta
        UNION ALL
        SELECT e.user_id, 'wrong_balance', 'a transfer_out of it', 'none', e.name, e.seq
        FROM entry e
        WHERE e.operation = 'transfer_in'
          AND NOT EXISTS (
              SELECT FROM economy.holding_changes h
              WHERE h.user_id = e.other AND h.operation = 'transfer_out'
                AND h.seq = CASE WHEN e.idempotency_key ~ '^H-?[0-9]+-[0-9]{1,18}$'
                                 THEN substring(e.idempotency_key FROM '[0-9]+$')::bigint END
                AND e.idempotency_key = 'H' || h.user_id || '-' || h.seq)
        UNION ALL
        SELECT coalesce(s.user_id, k.user_id), 'parity',
               format('%s gold sent on %s', coalesce(s.gold, 0),
                      coalesce(to_char(s.day, 'YYYY-MM-DD'), 'no day')),
               format('%s gold sent on %s', coalesce(k.gold, 0),
                      coalesce(to_char(k.day, 'YYYY-MM-DD'), 'no day')), NULL, NULL
        FROM sent s
        FULL JOIN (SELECT a.user_id, p.day, p.gold
                   FROM economy.accounts a, economy_internal.sent_of(a.sections) p
                   WHERE a.user_id BETWEEN from_user AND upto_user) k USING (user_id)
        WHERE (s.day, s.gold) IS DISTINCT FROM (k.day, k.gold)
        UNION ALL
        SELECT a.user_id, 'parity', 'a count of what was sent that can be read',
               'damaged sections of the account', NULL, NULL
        FROM economy.accounts a
        WHERE a.user_id BETWEEN from_user AND upto_user
          AND NOT economy_internal.sent_sound(a.sections);
    END;
COMMENT ON FUNCTION economy_internal.audit_transfers(bigint, bigint) IS
    'What users gave each other: the entry of the one against that of the other, and what was sent '
    'in a day against the entries, of the users from one id to another.';

CREATE FUNCTION economy_internal.items_left(held jsonb, back jsonb, given jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT string_agg(format('%s %s', s.amount, s.item), ' ' ORDER BY s.item COLLATE "C")
        FROM (SELECT i.item, sum(-i.delta) AS amount
              FROM (SELECT * FROM economy_internal.items_of(held)
                    UNION ALL
                    SELECT * FROM economy_internal.items_of(back)
                    UNION ALL
                    SELECT * FROM economy_internal.items_of(given)) i
              GROUP BY i.item HAVING sum(-i.delta) <> 0) s;
    END;
COMMENT ON FUNCTION economy_internal.items_left(jsonb, jsonb, jsonb) IS
    'Items that an escrow took and neither gave back nor gave to another; null for none.';

-- An entry of another user is looked up: each is one of the users from one id to another.
CREATE FUNCTION economy_internal.audit_escrows(
    from_user bigint DEFAULT '-9223372036854775808', upto_user bigint DEFAULT 9223372036854775807
) RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET TimeZone = 'UTC' SET DateStyle = 'ISO, YMD'
    BEGIN ATOMIC
        WITH hold AS MATERIALIZED (
            SELECT h.user_id, h.seq, 'H' || h.user_id || '-' || h.seq AS id, h.gold_delta, h.items,
                   economy_internal.number_in(h.detail, 'gold') AS gold,
                   economy_internal.number_in(h.detail, 'fee') AS fee,
                   economy_internal.number_in(h.detail, 'fee_per_mille') AS per_mille,
                   h.created_at + make_interval(secs => least(greatest(
                       economy_internal.number_in(h.detail, 'ttl_seconds'), 0), 1e9)::float8)
                       AS expires_at
            FROM economy.holding_changes h
            WHERE h.operation IN ('escrow_hold', 'round_open')
              AND h.user_id BETWEEN from_user AND upto_user
        ), closing AS (
            SELECT c.user_id, c.seq, c.xact, c.created_at, c.gold_delta, c.items,
                   c.idempotency_key AS id, c.detail, c.detail ->> 'how' AS how,
                   economy_internal.number_in(c.detail, 'gold') AS gold,
                   economy_internal.number_in(c.detail, 'fee') AS fee,
                   CASE WHEN c.detail ->> 'how' = 'captured'
                        THEN economy_internal.number_in(c.detail, 'to') END AS other
            FROM economy.holding_changes c
            WHERE c.operation = 'escrow_close' AND c.user_id BETWEEN from_user AND upto_user
        ), came AS (
            SELECT c.*, i.user_id IS NOT NULL AS came, i.seq AS in_seq, i.gold_delta AS in_gold,
                   i.items AS in_items,
                   (i.xact, i.created_at, i.detail -> 'gold', i.detail -> 'note',
                    economy_internal.number_in(i.detail, 'from'))
                       IS NOT DISTINCT FROM
                   (c.xact, c.created_at, c.detail -> 'gold', c.detail -> 'note',
                    c.user_id::numeric)
                       AND i.gold_delta::numeric IS NOT DISTINCT FROM c.gold AS fits
            FROM closing c
            LEFT JOIN LATERAL (
                SELECT h.* FROM economy.holding_changes h
                -- what only damage makes is no user
                WHERE h.user_id = CASE WHEN c.other BETWEEN -9223372036854775808
                                                        AND 9223372036854775807
                                       THEN c.other::bigint END
                  AND h.key_digest = economy_internal.key_digest('escrow_in', c.id)
                  AND h.operation = 'escrow_in' AND h.idempotency_key = c.id) i ON true
        ), whole AS MATERIALIZED (
            -- a full join, which no old statistics turn into one that looks at each pair
            SELECT h.user_id AS holder, h.seq AS hold_seq, h.id AS hold_id, h.expires_at,
                   h.gold_delta AS held_gold, h.items AS held_items, h.per_mille,
                   'H' || c.user_id || '-' || c.seq AS entry, c.*
            FROM hold h FULL JOIN came c ON c.user_id = h.user_id AND c.id = h.id
        )
        SELECT h.user_id, 'wrong_balance',
               format('%s gold and a fee of %s put aside', h.gold, h.fee),
               format('%s', -h.gold_delta), h.id, h.seq
        FROM hold h
        WHERE h.gold + h.fee IS DISTINCT FROM -h.gold_delta
           OR h.fee IS DISTINCT FROM ceil(h.gold * h.per_mille / 1000)
           OR EXISTS (SELECT FROM economy_internal.items_of(h.items) i WHERE i.delta >= 0)
        UNION ALL
        SELECT w.user_id, 'wrong_balance', format('escrow %s, open, and its end', w.id),
               CASE WHEN w.hold_seq < w.seq THEN format('%s at %s', w.how, w.created_at)
                    ELSE 'no such escrow' END, w.entry, w.seq
        FROM whole w
        WHERE w.seq IS NOT NULL
          AND (w.hold_seq < w.seq
               AND CASE w.how WHEN 'captured' THEN w.created_at < w.expires_at
                              WHEN 'expired' THEN w.created_at >= w.expires_at
                              ELSE w.how = 'released' END) IS NOT TRUE
        UNION ALL
        SELECT w.user_id, 'wrong_balance', format('nothing left of escrow %s', w.id),
               concat_ws(' ', l.gold, 'gold', l.items), w.entry, w.seq
        FROM whole w
        CROSS JOIN LATERAL (
            SELECT -(w.held_gold::numeric + w.gold_delta + coalesce(w.in_gold, 0))
                       - ceil(coalesce(w.in_gold, 0) * w.per_mille / 1000),
                   CASE WHEN num_nonnulls(w.held_items, w.items, w.in_items) > 0
                        THEN economy_internal.items_left(w.held_items, w.items, w.in_items)
                        END) l (gold, items)
        WHERE w.holder = w.user_id AND (l.gold <> 0 OR l.items IS NOT NULL)
        UNION ALL
        SELECT w.user_id, 'wrong_balance',
               format('%s gold of escrow %s for user %s', w.gold, w.id, w.other),
               CASE WHEN w.came THEN format('H%s-%s: %s gold', w.other, w.in_seq, w.in_gold)
                    ELSE 'no escrow_in of it' END, w.entry, w.seq
        FROM whole w
        WHERE w.seq IS NOT NULL
          AND CASE w.how WHEN 'captured'
                  THEN NOT w.fits OR w.fee IS DISTINCT FROM ceil(w.gold * w.per_mille / 1000)
                  ELSE num_nonnulls(w.gold, w.fee) > 0 END
        UNION ALL
        SELECT i.user_id, 'wrong_balance', format('a capture of escrow %s', i.idempotency_key),
               'none', 'H' || i.user_id || '-' || i.seq, i.seq
        FROM economy.holding_changes i
        WHERE i.operation = 'escrow_in' AND i.user_id BETWEEN from_user AND upto_user
          AND NOT EXISTS (
              SELECT FROM economy.holding_changes c
              WHERE c.user_id = CASE WHEN economy_internal.number_in(i.detail, 'from')
                                          BETWEEN -9223372036854775808 AND 9223372036854775807
                                     THEN economy_internal.number_in(i.detail, 'from')::bigint END
                AND c.key_digest = economy_internal.key_digest('escrow_close', i.idempotency_key)
                AND c.operation = 'escrow_close' AND c.idempotency_key = i.idempotency_key
                AND c.detail ->> 'how' = 'captured'
                AND economy_internal.number_in(c.detail, 'to') = i.user_id)
        UNION ALL
        SELECT coalesce(o.user_id, e.user_id), 'parity',
               CASE WHEN o.id IS NULL THEN 'no such escrow open'
                    ELSE format('escrow %s open until %s', o.id, o.expires_at) END,
               CASE WHEN e.user_id IS NULL THEN 'not listed'
                    ELSE format('H%s-%s until %s', e.user_id, e.seq, e.expires_at) END,
               o.id, coalesce(o.seq, e.seq)
        FROM (SELECT w.holder AS user_id, w.hold_seq AS seq, w.hold_id AS id, w.expires_at
              FROM whole w WHERE w.seq IS NULL) o
        FULL JOIN (SELECT l.* FROM economy.escrows l
                   WHERE l.user_id BETWEEN from_user AND upto_user) e
            ON e.user_id = o.user_id AND e.seq = o.seq
        WHERE e.expires_at IS DISTINCT FROM o.expires_at;
    END;
COMMENT ON FUNCTION economy_internal.audit_escrows(bigint, bigint) IS
    'What escrows took against what they gave back, what others got and what is open, of the users '
    'from one id to another.';

-- An amount of a whole that goes to the units up to one of them.
CREATE FUNCTION economy_internal.share_upto(whole bigint, units bigint, of_units bigint)
    RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT div(whole::numeric * units, of_units);
    END;
COMMENT ON FUNCTION economy_internal.share_upto(bigint, bigint, bigint) IS
    'What so many of the units of a purchase are of an amount of it.';

CREATE FUNCTION economy_internal.audit_refunds(
    from_user bigint DEFAULT '-9223372036854775808', upto_user bigint DEFAULT 9223372036854775807
) RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH refund AS MATERIALIZED (
            SELECT b.*, 'B' || b.user_id || '-' || b.seq AS id,
                   sum(b.quantity) OVER w AS upto, sum(b.quantity) OVER w - b.quantity AS before
            FROM economy.shop_refunds b WHERE b.user_id BETWEEN from_user AND upto_user
            WINDOW w AS (PARTITION BY b.user_id, b.reverses ORDER BY b.seq)
        ), pair AS MATERIALIZED (
            SELECT r.*, t.product_id AS of_product, t.quantity AS bought,
                   t.gold_delta AS paid_gold, t.xp_delta AS got_xp, t.monetary AS worth,
                   t.stock_slot,
                   -- what was bought before there were items does not say its streak freezes
                   CASE WHEN t.effect_code = 'streak_freeze'
                             AND (t.items @> '[{"item": "streak_freeze"}]') IS NOT TRUE
                        THEN coalesce(t.items, '[]') || jsonb_build_array(jsonb_build_object(
                                 'item', 'streak_freeze', 'delta', t.quantity))
                        ELSE t.items END AS moved
            FROM refund r
            JOIN economy.shop_transactions t ON t.user_id = r.user_id AND t.seq = r.reverses
        )
        SELECT p.user_id, 'wrong_refund',
               format('at most %s of %s taken back', p.bought, p.of_product),
               format('%s of %s', p.upto, p.product_id), p.id, p.seq
        FROM pair p WHERE p.upto > p.bought OR p.product_id <> p.of_product
        UNION ALL
        SELECT p.user_id, 'wrong_refund', e.says, s.says, p.id, p.seq
        FROM pair p
        CROSS JOIN LATERAL (SELECT concat_ws(' ',
            economy_internal.share_upto(p.paid_gold, p.upto, p.bought)
                - economy_internal.share_upto(p.paid_gold, p.before, p.bought), 'gold',
            economy_internal.share_upto(p.got_xp, p.upto, p.bought)
                - economy_internal.share_upto(p.got_xp, p.before, p.bought), 'XP, worth',
            economy_internal.share_upto(p.worth, p.upto, p.bought)
                - economy_internal.share_upto(p.worth, p.before, p.bought))) e (says)
        CROSS JOIN LATERAL (SELECT concat_ws(' ', p.debt_gold - p.gold_delta, 'gold',
            coalesce(economy_internal.number_in(p.detail, 'debt_xp'), 0) - p.xp_delta,
            'XP, worth', p.monetary)) s (says)
        WHERE p.upto <= p.bought AND e.says <> s.says
        UNION ALL
        SELECT p.user_id, 'wrong_refund',
               format('%s of %s', economy_internal.share_upto(-m.delta, p.upto, p.bought)
                          - economy_internal.share_upto(-m.delta, p.before, p.bought), i.item),
               format('%s', coalesce(b.delta, 0)), p.id, p.seq
        FROM pair p
        CROSS JOIN LATERAL (SELECT e.item FROM economy_internal.items_of(p.moved) e
                            UNION SELECT e.item FROM economy_internal.items_of(p.items) e) i
        LEFT JOIN LATERAL economy_internal.items_of(p.moved) m ON m.item = i.item
        LEFT JOIN LATERAL economy_internal.items_of(p.items) b ON b.item = i.item
        CROSS JOIN LATERAL (SELECT economy_internal.share_upto(-m.delta, p.upto, p.bought)
            - economy_internal.share_upto(-m.delta, p.before, p.bought)) e (delta)
        WHERE p.upto <= p.bought
          AND CASE WHEN p.policy = 'take_available' AND m.delta > 0
                   THEN coalesce(b.delta, 0) NOT BETWEEN e.delta AND 0
                   ELSE coalesce(b.delta, 0) IS DISTINCT FROM e.delta END
        UNION ALL
        SELECT p.user_id, 'wrong_refund',
               'no units for a stock', p.restocked::text, p.id, p.seq
        FROM pair p
        WHERE p.restocked > 0 AND p.stock_slot IS NULL
        UNION ALL
        SELECT coalesce(w.user_id, f.user_id), 'parity',
               CASE WHEN w.user_id IS NULL THEN 'a purchase that counts'
                    ELSE 'a purchase that counts no more' END,
               CASE WHEN w.user_id IS NULL THEN 'one that is left out'
                    ELSE 'one that is not left out' END,
               coalesce(w.purchase, 'P' || f.user_id || '-' || f.seq),
               coalesce(w.reverses, f.seq)
        FROM (SELECT r.user_id, r.reverses, r.purchase
              FROM refund r
              JOIN economy_internal.shop_purchases t
                  ON t.user_id = r.user_id AND t.seq = r.reverses
              WHERE r.upto = t.quantity) w
        FULL JOIN (SELECT v.user_id, v.seq FROM economy_internal.rfm_reversals v
                   WHERE v.user_id BETWEEN from_user AND upto_user) f
            ON f.user_id = w.user_id AND f.seq = w.reverses
        WHERE w.user_id IS NULL OR f.user_id IS NULL
        UNION ALL
        SELECT coalesce(o.user_id, k.user_id), 'parity',
               format('%s gold owed for a refund', coalesce(o.gold, 0)),
               format('%s', coalesce(k.gold, 0)),
               'B' || coalesce(o.user_id, k.user_id) || '-' || coalesce(o.seq, k.seq),
               coalesce(o.seq, k.seq)
        FROM (SELECT r.user_id, r.seq, r.debt_gold - coalesce(c.gold, 0) AS gold
              FROM refund r
              LEFT JOIN (SELECT h.user_id, h.reason, sum(-h.gold_delta) AS gold
                         FROM economy.holding_changes h
                         WHERE h.operation = 'debt' AND h.user_id BETWEEN from_user AND upto_user
                         GROUP BY 1, 2) c ON c.user_id = r.user_id AND c.reason = r.id
              WHERE r.debt_gold > 0 OR c.gold > 0) o
        FULL JOIN (SELECT d.* FROM economy.shop_debts d
                   WHERE d.user_id BETWEEN from_user AND upto_user) k
            ON k.user_id = o.user_id AND k.seq = o.seq
        WHERE coalesce(o.gold, 0) <> coalesce(k.gold, 0)
        UNION ALL
        SELECT h.user_id, 'wrong_refund', 'a refund with a debt', format('%s: none', h.id),
               'H' || h.user_id || '-' || h.seq, h.seq
        -- of a window, as no plan without statistics makes it slow
        FROM (SELECT d.*, bool_or(d.is_refund) OVER (PARTITION BY d.user_id, d.id) AS is_owed
              FROM (SELECT r.user_id, r.id, r.seq, true AS is_refund
                    FROM refund r WHERE r.debt_gold > 0
                    UNION ALL
                    SELECT c.user_id, c.reason, c.seq, false
                    FROM economy.holding_changes c
                    WHERE c.operation = 'debt'
                      AND c.user_id BETWEEN from_user AND upto_user) d) h
        WHERE NOT h.is_owed
        UNION ALL
        SELECT q.user_id, 'parity', 'a purchase that waits for no worker',
               format('%s, refunded as a whole', CASE WHEN q.refunded_at IS NULL THEN 'it waits'
                                                      ELSE 'not' END),
               'P' || q.user_id || '-' || q.seq, q.seq
        FROM economy.fulfilments q
        LEFT JOIN (SELECT r.user_id, r.reverses, max(r.upto) AS upto FROM refund r
                   GROUP BY 1, 2) r ON r.user_id = q.user_id AND r.reverses = q.seq
        LEFT JOIN economy_internal.shop_purchases t
            ON r.upto IS NOT NULL AND t.user_id = q.user_id AND t.seq = q.seq
        WHERE q.user_id BETWEEN from_user AND upto_user
          AND CASE WHEN q.refunded_at IS NOT NULL THEN r.upto IS DISTINCT FROM t.quantity
                   ELSE q.fulfilled_at IS NULL AND r.upto >= t.quantity END;
    END;
COMMENT ON FUNCTION economy_internal.audit_refunds(bigint, bigint) IS
    'Refunds against the purchases that they take back, and what follows from a purchase of which '
    'nothing is left, of the users from one id to another.';

CREATE FUNCTION economy_internal.audit_shop() RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT coalesce(t.user_id, k.user_id), 'duplicate_effect',
               format('key %s of %s used by %s',
                      coalesce(t.idempotency_key, k.idempotency_key),
                      coalesce(t.product_id, k.product_id),
                      coalesce('P' || t.user_id || '-' || t.seq, 'nobody')),
               coalesce('noted for P' || k.user_id || '-' || k.seq, 'not noted'),
               'P' || t.user_id || '-' || t.seq, t.seq
        FROM (SELECT s.user_id, s.seq, s.product_id, s.idempotency_key
              FROM economy.shop_transactions s
              JOIN economy.shop_products p ON p.product_id = s.product_id AND p.global_key) t
        FULL JOIN economy_internal.shop_keys k
            ON k.product_id = t.product_id AND k.idempotency_key = t.idempotency_key
        WHERE (t.user_id, t.seq) IS DISTINCT FROM (k.user_id, k.seq)
          AND NOT (t.user_id IS NULL AND EXISTS (
              SELECT FROM economy.archived_keys a
              WHERE a.user_id = k.user_id AND a.product_id = k.product_id AND a.seq = k.seq
                AND a.key = economy_internal.archive_key('P', k.product_id, k.idempotency_key)))
        UNION ALL
        SELECT a.user_id, 'duplicate_effect',
               format('a key of %s used by P%s-%s', a.product_id, a.user_id, a.seq), 'not noted',
               NULL, a.seq
        FROM economy.archived_keys a
        JOIN economy.shop_products p ON p.product_id = a.product_id AND p.global_key
        WHERE NOT EXISTS (SELECT FROM economy_internal.shop_keys k
                          WHERE k.product_id = a.product_id AND k.user_id = a.user_id
                            AND k.seq = a.seq)
        UNION ALL
        SELECT f.user_id, 'orphan_row', format('a purchase of %s', f.product_id),
               'none that is to be fulfilled', 'P' || f.user_id || '-' || f.seq, f.seq
        FROM economy.fulfilments f
        WHERE NOT EXISTS (SELECT FROM economy.shop_transactions t
                          WHERE t.user_id = f.user_id AND t.seq = f.seq
                            AND t.product_id = f.product_id AND t.created_at = f.due_at)
          AND NOT EXISTS (SELECT FROM economy.archived_keys a
                          WHERE a.user_id = f.user_id AND a.product_id = f.product_id
                            AND a.seq = f.seq AND a.created_at = f.due_at)
        UNION ALL
        -- of a product that once had no fulfilment nobody knows which purchases have
        SELECT b.user_id, 'orphan_row', format('a purchase of %s that is to be fulfilled',
                                               b.product_id),
               'none is written down', 'P' || b.user_id || '-' || b.seq, b.seq
        FROM (SELECT c.key AS product_id
              FROM economy.config_changes c WHERE c.relation = 'shop_products' GROUP BY c.key
              HAVING bool_and(c.after -> 'fulfilment' IS NOT DISTINCT FROM 'true'::jsonb)) p
        JOIN (SELECT t.user_id, t.seq, t.product_id FROM economy.shop_transactions t
              UNION ALL
              SELECT a.user_id, a.seq, a.product_id
              FROM economy.archived_keys a) b USING (product_id)
        WHERE NOT EXISTS (SELECT FROM economy.fulfilments f
                          WHERE f.user_id = b.user_id AND f.seq = b.seq)
        UNION ALL
        SELECT r.user_id, 'orphan_row',
               format('a purchase of %s %s with reservation %s', r.quantity, r.product_id,
                      r.idempotency_key),
               'none', 'P' || r.user_id || '-' || r.seq, r.seq
        FROM economy.shop_reservations r
        WHERE r.state = 'used'
          AND NOT EXISTS (SELECT FROM economy.shop_transactions t
                          WHERE t.user_id = r.user_id AND t.seq = r.seq
                            AND t.product_id = r.product_id AND t.quantity = r.quantity
                            AND t.stock_slot = r.stock_slot
                            AND t.context ->> 'reservation' = r.idempotency_key)
          AND NOT EXISTS (SELECT FROM economy_internal.archived_purchases a
                          WHERE a.user_id = r.user_id AND a.seq = r.seq
                            AND a.product_id = r.product_id AND a.stock_units = r.quantity)
        UNION ALL
        SELECT r.user_id, 'wrong_reservation',
               format('reservation %s used by P%s-%s', r.idempotency_key, t.user_id, t.seq),
               concat_ws(' ', r.state, 'P' || r.user_id || '-' || r.seq),
               'P' || t.user_id || '-' || t.seq, t.seq
        FROM economy.shop_reservations r
        -- before it was made, the app may have had words of its own for this
        JOIN economy.shop_transactions t
            ON t.user_id = r.user_id AND t.product_id = r.product_id
           AND t.context ->> 'reservation' = r.idempotency_key AND t.seq > r.after_seq
        WHERE (r.seq IS DISTINCT FROM t.seq OR r.state IS DISTINCT FROM 'used')
          -- whose units went into an order first
          AND NOT (r.state = 'ordered' AND EXISTS (
              SELECT FROM economy.payment_orders o
              WHERE o.user_id = t.user_id AND o.product_id = t.product_id
                AND o.idempotency_key = t.idempotency_key AND o.seq = t.seq));
    END;
COMMENT ON FUNCTION economy_internal.audit_shop() IS
    'Keys that are unique over all users, and what is to be fulfilled or was reserved, against '
    'the purchases (I4).';

-- A use stands in its entry, in promo_uses until its purchase is taken back as a whole, and is
-- missing in the slots.
CREATE FUNCTION economy_internal.audit_promos() RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH used AS MATERIALIZED (
            SELECT t.user_id, t.seq, 'P' || t.user_id || '-' || t.seq AS entry, t.product_id,
                   t.quantity, t.category, t.gold_delta, t.context #>> '{promo_use,code}' AS code,
                   economy_internal.number_in(t.context -> 'promo_use', 'gold') AS gold
            FROM economy.shop_transactions t WHERE t.context ? 'promo_use'
        )
        SELECT coalesce(l.user_id, n.user_id), 'wrong_promo',
               CASE WHEN l.user_id IS NULL THEN 'no use of a code'
                    ELSE format('a use of %s for %s gold', l.code, l.gold) END,
               CASE WHEN n.user_id IS NULL THEN 'none is noted'
                    ELSE format('%s for %s gold', n.code, n.gold) END,
               'P' || coalesce(l.user_id, n.user_id) || '-' || coalesce(l.seq, n.seq),
               coalesce(l.seq, n.seq)
        FROM (SELECT u.* FROM used u
              LEFT JOIN (SELECT b.user_id, b.reverses, sum(b.quantity) AS units
                         FROM economy.shop_refunds b GROUP BY 1, 2) b
                  ON b.user_id = u.user_id AND b.reverses = u.seq
              WHERE u.quantity > coalesce(b.units, 0)) l
        FULL JOIN economy.promo_uses n ON n.user_id = l.user_id AND n.seq = l.seq
        WHERE (l.code, l.gold) IS DISTINCT FROM (n.code, n.gold::numeric)
          AND NOT (l.user_id IS NULL AND EXISTS (
              SELECT FROM economy_internal.archived_purchases a
              WHERE a.user_id = n.user_id AND a.seq = n.seq))
        UNION ALL
        -- what it gives is fixed when it is made, so it was so when it was used
        SELECT u.user_id, 'wrong_promo',
               CASE WHEN p.code IS NULL THEN 'a code that was made'
                    ELSE format('%s %s, at most %s of %s', p.kind, p.value, p.max_quantity,
                                coalesce(p.products::text, 'any product')) END,
               format('%s: %s gold for %s %s at %s', u.code, u.gold, u.quantity, u.product_id,
                      u.gold_delta), u.entry, u.seq
        FROM used u LEFT JOIN economy.promo_codes p ON p.code = u.code
        WHERE p.code IS NULL OR u.quantity > p.max_quantity
           OR NOT coalesce(p.products ? u.product_id, true)
           OR (u.category = 'conversion') <> (p.kind = 'bonus')
           OR u.gold IS DISTINCT FROM CASE p.kind
                  WHEN 'percent' THEN div((u.gold - u.gold_delta) * p.value, 100)
                  WHEN 'amount' THEN least(p.value, u.gold - u.gold_delta)
                  ELSE p.value END
        UNION ALL
        SELECT NULL, 'wrong_promo', format('%s of %s', coalesce(m.most::text, 'no limit'), name),
               format('%s left in %s slots and %s used', coalesce(s.left, 0), coalesce(s.slots, 0),
                      coalesce(n.used, 0)), NULL, NULL
        FROM (SELECT p.code AS name, p.max_uses AS most
              FROM economy.promo_codes p WHERE p.max_uses IS NOT NULL
              UNION ALL
              SELECT (p.code || '/gold') COLLATE "C", p.budget_gold
              FROM economy.promo_codes p WHERE p.budget_gold IS NOT NULL) m
        FULL JOIN (SELECT t.name, sum(t.remaining) AS left, count(t.slot + t.remaining) AS slots,
                          min(t.slot) AS first, max(t.slot) AS last
                   FROM economy.promo_stock t GROUP BY 1) s USING (name)
        LEFT JOIN (SELECT u.code AS name, count(*)::numeric AS used
                   FROM economy.promo_uses u GROUP BY 1
                   UNION ALL
                   SELECT (u.code || '/gold') COLLATE "C", sum(u.gold)
                   FROM economy.promo_uses u GROUP BY 1) n USING (name)
        WHERE m.most IS DISTINCT FROM s.left + coalesce(n.used, 0)
           OR (s.slots, s.first, s.last) IS DISTINCT FROM (32, 0, 31);
    END;
COMMENT ON FUNCTION economy_internal.audit_promos() IS
    'Uses of promo codes: each entry against what its code gives, against what is noted of it, and '
    'their number and gold against what is left (I5).';

-- An order that was paid has its purchase, and one that was not has none.
CREATE FUNCTION economy_internal.audit_orders() RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT o.user_id, 'orphan_row',
               format('a purchase of %s %s with key %s of order %s', o.quantity, o.product_id,
                      o.idempotency_key, o.order_id),
               'none', 'P' || o.user_id || '-' || o.seq, o.seq
        FROM economy.payment_orders o
        WHERE o.seq IS NOT NULL
          AND NOT EXISTS (SELECT FROM economy.shop_transactions t
                          WHERE t.user_id = o.user_id AND t.seq = o.seq
                            AND t.product_id = o.product_id AND t.quantity = o.quantity
                            AND t.idempotency_key = o.idempotency_key
                            AND t.context IS NOT DISTINCT FROM o.context
                            AND t.gold_delta = (o.terms ->> 'granted_gold')::numeric * o.quantity
                            AND t.monetary = (o.terms ->> 'monetary')::numeric * o.quantity
                            AND t.xp_delta = coalesce((o.terms ->> 'granted_xp')::numeric, 0)
                                             * o.quantity)
          AND NOT EXISTS (SELECT FROM economy.archived_keys a
                          WHERE a.user_id = o.user_id AND a.product_id = o.product_id
                            AND a.seq = o.seq)
        UNION ALL
        SELECT t.user_id, 'orphan_row',
               format('order %s of P%s-%s', coalesce(o.order_id::text, 'none'), t.user_id, t.seq),
               CASE WHEN o.order_id IS NULL THEN 'a purchase that nobody has ordered'
                    ELSE o.state || ' that knows nothing of it' END,
               'P' || t.user_id || '-' || t.seq, t.seq
        FROM economy.shop_transactions t
        JOIN economy.shop_products p ON p.product_id = t.product_id AND p.settlement IS NOT NULL
        LEFT JOIN economy.payment_orders o
            ON o.user_id = t.user_id AND o.product_id = t.product_id
           AND o.idempotency_key = t.idempotency_key
        WHERE o.seq IS DISTINCT FROM t.seq
        UNION ALL
        SELECT o.user_id, 'orphan_row',
               format('step %s of order %s, to %s', h.step, o.order_id, o.state),
               coalesce(h.to_state, 'none'), NULL, NULL
        FROM economy.payment_orders o
        LEFT JOIN LATERAL (
            SELECT y.step, y.to_state FROM economy.payment_order_history y
            WHERE y.order_id = o.order_id ORDER BY y.step DESC LIMIT 1) h ON true
        WHERE h.to_state IS DISTINCT FROM o.state
        UNION ALL
        SELECT o.user_id, 'orphan_row',
               format('step %s of order %s after %s', h.step, h.order_id,
                      coalesce(h.before_it, 'nothing')),
               format('step %s from %s to %s at %s', h.number, coalesce(h.from_state, 'nothing'),
                      h.to_state, h.at), NULL, NULL
        FROM (SELECT y.order_id, y.step, y.from_state, y.to_state, y.report, y.at,
                     y.detail, row_number() OVER w AS number, lag(y.to_state) OVER w AS before_it
              FROM economy.payment_order_history y
              WINDOW w AS (PARTITION BY y.order_id ORDER BY y.step)) h
        LEFT JOIN economy.payment_orders o USING (order_id)
        WHERE h.number <> h.step OR h.before_it IS DISTINCT FROM h.from_state
           OR o.order_id IS NULL
           OR (h.step = 1) <> (h.report = 'ordered') 
           OR (h.step = 1 AND (h.at <> o.made_at
                               OR h.detail IS DISTINCT FROM economy_internal.order_placed(o)))
           OR (h.report NOT IN ('ordered', 'resolved') AND h.to_state <> 'CONFLICT'
               AND h.to_state <> economy_internal.order_step(h.from_state, h.report))
           OR (h.report = 'resolved' AND h.from_state <> 'CONFLICT')
        UNION ALL
        SELECT NULL, 'orphan_row', format('order %s of webhook %s of %s', w.order_id, w.webhook_id,
                                          w.provider),
               'none', NULL, NULL
        FROM economy.payment_webhooks w
        WHERE w.code IN ('OK', 'CONFLICT')
          AND NOT EXISTS (SELECT FROM economy.payment_orders o
                          WHERE o.order_id = w.order_id AND o.provider = w.provider)
        UNION ALL
        SELECT o.user_id, 'duplicate_row', format('one order %s', o.order_id),
               o.number || ' rows', NULL, NULL
        FROM (SELECT y.order_id, min(y.user_id) AS user_id, count(*) AS number
              FROM economy.payment_orders y GROUP BY 1) o
        WHERE o.number > 1;
    END;
COMMENT ON FUNCTION economy_internal.audit_orders() IS
    'Orders against their purchases, and against the history of their steps.';

-- A primary key may be damaged, or gone: its rows are counted without it.
CREATE FUNCTION economy_internal.audit_twice(
    from_user bigint DEFAULT '-9223372036854775808', upto_user bigint DEFAULT 9223372036854775807
) RETURNS SETOF economy.finding
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    t record;
BEGIN
    FOR t IN
        VALUES ('economy', 'accounts', ''), ('economy', 'users', ''),
               ('economy_internal', 'audit_checkpoints', ''), ('economy', 'stream_checkpoints', ''),
               ('economy_internal', 'rollup_positions', ''), ('economy', 'user_segments', ''),
               ('economy', 'game_stats', ', game'),
               ('economy_internal', 'game_stats_more', ', game'),
               ('economy', 'user_game_stats_summary', ', day, game'),
               ('economy', 'pruned_stats', ', game, day'), ('economy', 'pruned_actions', ', key'),
               ('economy', 'archives', ', journal, upto_seq'),
               ('economy', 'archived_keys', ', product_id, key'),
               ('economy', 'archived_hashes', ', seq'),
               ('economy', 'segment_history', ', change_no'),
               ('economy', 'recommendations', ', number'),
               ('economy_internal', 'shop_user_units', ', product_id'),
               ('economy_internal', 'shop_user_units_more', ', product_id'),
               ('economy', 'fulfilments', ', seq'), ('economy', 'escrows', ', seq'),
               ('economy', 'shop_debts', ', seq'), ('economy', 'promo_uses', ', seq'),
               ('economy_internal', 'rfm_reversals', ', seq'),
               ('economy', 'shop_reservations', ', idempotency_key'),
               ('economy', 'payment_orders', ', product_id, idempotency_key'),
               ('economy', 'user_holdings', ', item_id'),
               ('economy_internal', 'user_holdings_more', ', item_id'),
               ('economy_internal', 'mission_progress_more', ''),
               ('economy', 'draw_seeds', ', seed_number'),
               ('economy_internal', 'draw_pity', ', table_id'),
               ('economy', 'leaderboard_scores', ', board, first_day'),
               ('economy', 'leaderboard_refusals', ', board, first_day'),
               ('economy', 'anchor_heads', ', anchor_id')
    LOOP
        -- EXECUTE, because the table is not the same each time
        RETURN QUERY EXECUTE format($query$
            SELECT t.user_id, 'duplicate_row', 'one row of %2$s', count(*) || ' rows', NULL::text,
                   NULL::bigint
            FROM %1$I.%2$I t
            WHERE t.user_id BETWEEN $1 AND $2 GROUP BY user_id%3$s HAVING count(*) > 1
            $query$, t.column1, t.column2, t.column3) USING from_user, upto_user;
    END LOOP;
END
$$;
COMMENT ON FUNCTION economy_internal.audit_twice(bigint, bigint) IS
    'Rows that are there twice in spite of their primary keys, '
    'of the users from one id to another.';

CREATE FUNCTION economy_internal.audit_recommendations(
    from_user bigint DEFAULT '-9223372036854775808', upto_user bigint DEFAULT 9223372036854775807
) RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT d.user_id, 'wrong_recommendation', 'an arm of the placement, as it was set',
               format('D%s-%s: %s %s %s %s %s %s', d.user_id, d.number, d.placement, d.version,
                      d.segment, d.arm, d.cta, d.product_id), NULL::text, NULL::bigint
        FROM economy.recommendations d
        LEFT JOIN economy.recommendation_placements p USING (placement, version)
        LEFT JOIN economy.recommendation_arms a
            ON a.placement = d.placement AND a.version = d.version AND a.arm = d.arm
           AND a.segment = CASE WHEN d.fallback THEN '*' ELSE d.segment END
        WHERE d.user_id BETWEEN from_user AND upto_user
          AND (d.number < 1 OR p.policy IS DISTINCT FROM d.policy OR d.decided_at < p.changed_at
               OR d.clicked_at < d.decided_at OR d.converted_at < d.decided_at
               OR CASE WHEN d.fallback AND d.arm = 'none'
                       THEN d.cta <> 'none' OR d.product_id IS NOT NULL
                       ELSE (a.arm, a.cta, a.product_id)
                                IS DISTINCT FROM (d.arm, d.cta, d.product_id) END);
    END;
COMMENT ON FUNCTION economy_internal.audit_recommendations(bigint, bigint) IS
    'Decisions against the arms that there were, of the users from one id to another.';

CREATE FUNCTION economy_internal.audit_parity(
    from_user bigint DEFAULT '-9223372036854775808', upto_user bigint DEFAULT 9223372036854775807
) RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT p.user_id, 'parity', format('%s %s %s %s', p.source, p.game, p.day, p.expected),
               p.actual::text, NULL::text, NULL::bigint
        FROM economy_internal.parity_of(ARRAY(
            SELECT a.user_id FROM economy.accounts a
            WHERE a.user_id BETWEEN from_user AND upto_user)) p
        UNION ALL
        SELECT a.user_id, 'parity', 'sections that are known', a.sections::text, NULL, NULL
        FROM economy.accounts a
        WHERE a.user_id BETWEEN from_user AND upto_user
          AND NOT economy_internal.sections_sound(a.sections);
    END;
COMMENT ON FUNCTION economy_internal.audit_parity(bigint, bigint) IS
    'stats_parity() as findings, and sections of accounts that nobody knows, '
    'of the users from one id to another.';

CREATE FUNCTION economy_internal.audit_places(
    from_user bigint DEFAULT '-9223372036854775808', upto_user bigint DEFAULT 9223372036854775807
) RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp SET DateStyle = 'ISO, YMD'
    BEGIN ATOMIC
        SELECT d.user_id, 'wrong_place', format('%s %s: %s', d.board, d.first_day, d.expected),
               d.actual::text, NULL::text, NULL::bigint
        FROM economy_internal.leaderboard_differences(NULL, ARRAY(
            SELECT a.user_id FROM economy.accounts a
            WHERE a.user_id BETWEEN from_user AND upto_user), false) d;
    END;
COMMENT ON FUNCTION economy_internal.audit_places(bigint, bigint) IS
    'Places on leaderboards that are not what statistics and accounts say, '
    'of the users from one id to another.';

CREATE FUNCTION economy_internal.audit_missions(
    from_user bigint DEFAULT '-9223372036854775808', upto_user bigint DEFAULT 9223372036854775807
) RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT d.user_id, 'wrong_mission',
               concat_ws(' ', d.mission, d.version, d.period) || ': ' || d.expected,
               d.actual, NULL::text, NULL::bigint
        FROM economy_internal.mission_differences(ARRAY(
            SELECT a.user_id FROM economy.accounts a
            WHERE a.user_id BETWEEN from_user AND upto_user)) d
        UNION ALL
        SELECT m.user_id, 'wrong_mission', 'an account', 'progress of nobody', NULL::text,
               NULL::bigint
        FROM economy_internal.mission_progress_more m
        WHERE m.user_id BETWEEN from_user AND upto_user
          AND NOT EXISTS (SELECT FROM economy.accounts a WHERE a.user_id = m.user_id)
        UNION ALL
        SELECT r.user_id, 'wrong_mission',
               coalesce(format('%s %s: %s gold, %s XP', t.mission, t.version, t.gold, t.xp),
                        'a mission that was published'),
               format('%s %s: %s gold, %s XP', r.source, r.external_event_id, r.gold_delta,
                      r.xp_delta),
               'R' || r.user_id || '-' || r.seq, r.seq
        FROM economy.reward_audit r
        LEFT JOIN economy.mission_templates t
            ON 'economy:mission:' || t.mission = r.source
           AND t.version::text = r.details ->> 'version'
        WHERE r.user_id BETWEEN from_user AND upto_user
          AND r.source >= 'economy:mission:' AND r.source < 'economy:mission;'
          AND (t.gold, t.xp) IS DISTINCT FROM (r.gold_delta, r.xp_delta);
    END;
COMMENT ON FUNCTION economy_internal.audit_missions(bigint, bigint) IS
    'mission_parity() as findings, and claims that did not pay what their mission says, '
    'of the users from one id to another.';

-- What a user held at a claim follows from the entries in front of it.
CREATE FUNCTION economy_internal.audit_seasons(
    from_user bigint DEFAULT '-9223372036854775808', upto_user bigint DEFAULT 9223372036854775807
) RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET TimeZone = 'UTC' SET DateStyle = 'ISO, YMD'
    BEGIN ATOMIC
        WITH claim AS MATERIALIZED (
            SELECT r.user_id, r.seq, 'R' || r.user_id || '-' || r.seq AS entry, r.created_at,
                   substr(r.source, 16) AS season, r.external_event_id AS id, r.gold_delta,
                   r.xp_delta, (SELECT jsonb_object_agg(i.item, i.delta)
                                FROM economy_internal.items_of(r.items) i) AS items
            FROM economy.reward_audit r
            WHERE r.user_id BETWEEN from_user AND upto_user
              AND r.source >= 'economy:season:' AND r.source < 'economy:season;'
        ), season AS MATERIALIZED (
            SELECT s FROM economy.seasons s
            WHERE s.season IN (SELECT c.season FROM claim c)
        ), reward AS MATERIALIZED (
            SELECT (s.s).season, (k.track ->> 'track') || ':' || t.tier AS id, t.xp AS needs,
                   (s.s).xp_item, k.track ->> 'item' AS item,
                   t.rewards -> (k.track ->> 'track') AS reward, (s.s).starts_at,
                   CASE (s.s).at_end WHEN 'forfeit'
                       THEN economy_internal.season_claim_until(s.s) END AS until
            FROM season s CROSS JOIN LATERAL economy_internal.season_tiers(s.s) t
            JOIN LATERAL jsonb_array_elements((s.s).tracks) k (track)
                ON t.rewards ? (k.track ->> 'track')
        ), due AS MATERIALIZED (
            SELECT c.*, r.id IS NOT NULL AS is_known, r.needs, r.xp_item, r.item, r.reward,
                   r.starts_at, r.until
            FROM claim c LEFT JOIN reward r ON r.season = c.season AND r.id = c.id
        ), needed AS (
            SELECT d.user_id, d.seq, d.entry, d.xp_item COLLATE "C" AS item_id, d.needs
            FROM due d WHERE d.is_known
            UNION ALL
            SELECT d.user_id, d.seq, d.entry, d.item COLLATE "C", 1
            FROM due d WHERE d.item IS NOT NULL
        ), moved AS MATERIALIZED (
            SELECT e.user_id, e.seq, e.item_id, e.balance FROM economy_internal.item_entries e
            WHERE e.user_id BETWEEN from_user AND upto_user
              AND e.item_id IN (SELECT n.item_id FROM needed n)
        ), line AS (
            SELECT n.user_id, n.item_id, n.seq, n.entry, n.needs, NULL::bigint AS moved
            FROM needed n
            UNION ALL
            SELECT m.user_id, m.item_id, m.seq, NULL, NULL, m.seq FROM moved m
        ), stands AS (
            -- what a claim gives comes behind it
            SELECT l.*, max(l.moved) OVER (
                       PARTITION BY l.user_id, l.item_id ORDER BY l.seq, l.moved NULLS FIRST
                       ROWS UNBOUNDED PRECEDING) AS before
            FROM line l
        )
        SELECT d.user_id, 'wrong_season',
               CASE WHEN d.is_known THEN format('season %s %s: %s', d.season, d.id, d.reward)
                    ELSE 'a reward of a season that was published' END,
               format('season %s %s: %s gold, %s XP, items %s', d.season, d.id, d.gold_delta,
                      d.xp_delta, coalesce(d.items, '{}')), d.entry, d.seq
        FROM due d
        WHERE NOT d.is_known
           OR (coalesce((d.reward ->> 'gold')::numeric, 0),
               coalesce((d.reward ->> 'xp')::numeric, 0),
               coalesce(d.reward -> 'items', '{}'))
              IS DISTINCT FROM (d.gold_delta, d.xp_delta, coalesce(d.items, '{}'))
        UNION ALL
        SELECT s.user_id, 'wrong_season', format('%s of %s held at the claim', s.needs, s.item_id),
               coalesce(m.balance, 0)::text, s.entry, s.seq
        FROM stands s
        LEFT JOIN moved m
            ON m.user_id = s.user_id AND m.item_id = s.item_id AND m.seq = s.before
        WHERE s.needs > coalesce(m.balance, 0)
          -- what was archived may have brought it
          AND NOT EXISTS (SELECT FROM economy.archives a
                          WHERE a.user_id = s.user_id AND a.upto_seq > coalesce(s.before, 0))
        UNION ALL
        -- who retires a season waits for no claim
        SELECT d.user_id, 'wrong_season',
               format('season %s %s claimed from %s to %s', d.season, d.id, d.starts_at, d.until),
               d.created_at::text, d.entry, d.seq
        FROM due d
        WHERE d.created_at < d.starts_at OR d.created_at >= d.until + interval '1 hour';
    END;
COMMENT ON FUNCTION economy_internal.audit_seasons(bigint, bigint) IS
    'Claims of seasons that did not pay what their tier gives, or whose tier was not reached, or '
    'whose track was not open, at that moment, of the users from one id to another.';

CREATE FUNCTION economy_internal.audit_boards() RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp SET DateStyle = 'ISO, YMD'
    BEGIN ATOMIC
        SELECT NULL::bigint, 'wrong_leaderboard',
               format('%s %s %s: %s', d.board, d.first_day, d.what, d.expected),
               d.actual::text, NULL::text, NULL::bigint
        FROM economy_internal.leaderboard_sums(NULL) d
        UNION ALL
        -- sums say nothing of one that is empty
        SELECT NULL, 'duplicate_row', format('one row of %s %s', p.board, p.first_day),
               count(*) || ' rows of leaderboard_periods', NULL, NULL
        FROM economy.leaderboard_periods p
        GROUP BY p.board, p.first_day HAVING count(*) > 1;
    END;
COMMENT ON FUNCTION economy_internal.audit_boards() IS
    'What is counted of the places on leaderboards, and the results of closed periods.';

-- The one list of what a damage test need not find, and the documents name.
CREATE FUNCTION economy.audit_unknown() RETURNS TABLE (relation text, "column" text, why text)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        VALUES
            ('audit_findings', '*', 'a record of what was done; nothing is computed from it'),
            ('audit_runs', '*', 'a record of what was done; nothing is computed from it'),
            ('capture_refusals', '*', 'a record of what was done; nothing is computed from it'),
            ('rate_taken', '*', 'what was taken is written nowhere else, and soon back'),
            ('job_runs', '*', 'a record of what was done; nothing is computed from it'),
            ('installations', '*', 'written down nowhere else'),
            ('invite_codes', '*', 'codes are made and read by the app'),
            ('audit_checkpoints', '*', 'without one the whole stream is verified again'),
            ('audit_checkpoints', 'damaged_seq', 'only says when to look again'),
            ('anchors', 'next_user', 'of an anchor that is being taken'),
            ('anchor_buckets', 'gold', 'for who reads it; what it sums up is in the entries'),
            ('anchor_buckets', 'xp', 'for who reads it; what it sums up is in the entries'),
            ('shop_transactions', 'receipt_signature',
             'of a key that is retired: nobody can verify it any more'),
            ('shop_user_units_more', '*', 'of one that is missing the entries are counted again'),
            ('leaderboard_scores', '*',
             'of a user with entries that no refresh has seen: the next one puts him right'),
            ('fulfilments', '*',
             'who has done it, and what waits of a product that once had no fulfilment'),
            ('payment_order_history', '*', 'the newest report of an order that was in conflict'),
            ('payment_order_history', 'at', 'of any but the first step'),
            ('payment_order_history', 'detail', 'of any but the first step'),
            ('payment_order_history', 'reason', 'what was said is written nowhere else'),
            ('payment_order_history', 'report', 'of one that made a conflict'),
            ('payment_order_history', 'reporter', 'who it was is written nowhere else'),
            ('payment_orders', 'attempts', 'how often it was handed out'),
            ('payment_orders', 'due_at', 'at worst it is handed out again, or given up'),
            ('payment_orders', 'expires_at', 'for how long it waits is written nowhere else'),
            ('payment_orders', 'provider_ref', 'how the provider names it'),
            ('payment_orders', 'stock_slot', 'any slot will do'),
            ('payment_orders', 'worker', 'who has it'),
            ('payment_webhooks', '*', 'what came is written nowhere else'),
            ('payment_webhooks', 'body', 'what came is written nowhere else'),
            ('payment_webhooks', 'code', 'what was answered'),
            ('payment_webhooks', 'order_id', 'of one that had no effect'),
            ('payment_webhooks', 'provider', 'of one that had no effect'),
            ('payment_webhooks', 'received_at', 'when it came is for who reads it'),
            ('payment_webhooks', 'webhook_id', 'what came is written nowhere else'),
            ('shop_reservations', '*',
             'of one that was not used and is held no more; one that was used is missing'),
            ('shop_reservations', 'user_id', 'of one that is held: whose is written nowhere else'),
            ('shop_reservations', 'idempotency_key', 'of one that is held, or was not used'),
            ('shop_reservations', 'made_at', 'when it was is for who reads it'),
            ('shop_reservations', 'closed_at', 'when it was is for who reads it'),
            ('shop_reservations', 'expires_at', 'for how long it was is written nowhere else'),
            ('shop_reservations', 'due_at', 'for how long it was is written nowhere else'),
            ('shop_reservations', 'stock_slot', 'of one that was not used: any slot will do'),
            ('shop_reservations', 'after_seq', 'means the same while no purchase has its name'),
            ('draw_seeds', '*', 'of a user who has not drawn: another is made'),
            ('rollup_positions', 'seq', 'means the same between the same two actions'),
            ('rollup_positions', '*', 'of a user without actions it means the same as none'),
            ('leaderboard_periods', 'fill_from', 'at worst users are looked at again'),
            ('leaderboard_periods', 'awaits', 'of a period that has ended and is not closed'),
            ('leaderboard_periods', 'await_fills', 'of a period that has ended and is not closed'),
            ('leaderboard_periods', 'paid_place',
             'means the same between the same two places, and nothing once all is paid'),
            ('leaderboard_periods', 'paid_user',
             'means the same between the same two places, and nothing once all is paid'),
            ('leaderboard_periods', 'closed_at', 'when it was is for who reads it'),
            ('leaderboard_periods', 'paid_at', 'when it was is for who reads it'),
            ('leaderboard_refusals', 'code', 'why it was is for who reads it'),
            ('leaderboard_refusals', 'refused_at', 'when it was is for who reads it'),
            ('leaderboard_refusals', 'again', 'at worst it is tried again, or not yet'),
            ('leaderboard_buckets', '*', 'one that nobody is in means the same'),
            ('leaderboard_queue', '*', 'a user that is missing is looked at with the next entry'),
            ('leaderboard_state', '*', 'at worst what was done is done again'),
            ('rfm_due', 'chunk', 'only tells rows apart'),
            ('rfm_state', 'refreshed_at', 'for who reads it'),
            ('rfm_state', 'change_lag', 'for who reads it'),
            ('rfm_state', 'as_of', 'means the same while no user passes to another score'),
            ('rfm_state', 'summarised', 'at worst what is summarised is summarised again'),
            ('rfm_state', 'installation', 'at worst all purchases are read again'),
            ('rfm_state', 'seen_before',
             'when less: purchases are read again; when more it is found'),
            ('rfm_state', 'next_user', 'at worst rows wait for the next full refresh'),
            ('rfm_state', 'written', 'of a refresh that is going'),
            ('rfm_state', 'spent', 'of a refresh that is going'),
            ('user_segments', 'seq', 'means the same between the same two purchases'),
            ('user_segments', 'segment_since', 'of the first segment, that has no history yet'),
            ('segment_history', 'from_segment', 'of the first change'),
            ('segment_history', 'changed_at', 'of any but the last change'),
            ('segment_history', 'snapshot_id', 'when it names another snapshot before the change'),
            ('recommendations', '*', 'a decision is recorded nowhere else'),
            ('recommendation_beliefs', '*', 'what was learned so far'),
            ('recommendation_days', '*', 'what was known on a day'),
            ('recommendation_progress', '*', 'where learning stands'),
            ('rollup_queue', '*', 'a user that is missing is rolled up with the next action'),
            ('rollup_state', '*', 'at worst what was done is done again'),
            ('users', 'profile', 'free text of the app, as it was at registration');
    END;
COMMENT ON FUNCTION economy.audit_unknown() IS
    'Columns whose damage no sweep can find, and why; * stands for whole rows. '
    'Whatever is not here is found.';
