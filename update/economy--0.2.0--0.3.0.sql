-- complain if the script is sourced in psql rather than run by ALTER EXTENSION
\echo Use "ALTER EXTENSION economy UPDATE TO '0.3.0'" to load this file. \quit

SET LOCAL search_path TO pg_catalog, pg_temp;
SET LOCAL client_min_messages TO warning;

SELECT economy_internal.begin_update();

-- Products get tags, a place and texts. A column with a default could not be added where a
-- function has the row's type, so the rows get them by an update. That is no change of a
-- product: no trigger sees it, in whatever mode it is.
ALTER TABLE economy.shop_products
    ADD COLUMN tags text[] COLLATE "C", ADD COLUMN position integer, ADD COLUMN texts jsonb;
DO $$
DECLARE
    triggers CONSTANT jsonb := coalesce((
        SELECT jsonb_object_agg(t.tgname, CASE t.tgenabled WHEN 'A' THEN 'ENABLE ALWAYS'
            WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE' END)
        FROM pg_trigger t WHERE t.tgrelid = 'economy.shop_products'::regclass
            AND NOT t.tgisinternal AND t.tgenabled <> 'D'), '{}');
    trigger  record;
BEGIN
    FOR trigger IN SELECT * FROM jsonb_each_text(triggers) LOOP
        EXECUTE format('ALTER TABLE economy.shop_products DISABLE TRIGGER %I', trigger.key);
    END LOOP;
    UPDATE economy.shop_products SET tags = '{}', position = 0, texts = '{}';
    FOR trigger IN SELECT * FROM jsonb_each_text(triggers) LOOP
        EXECUTE format('ALTER TABLE economy.shop_products %s TRIGGER %I', trigger.value, trigger.key);
    END LOOP;
END
$$;
ALTER TABLE economy.shop_products
    ALTER COLUMN tags SET DEFAULT '{}', ALTER COLUMN tags SET NOT NULL,
    ALTER COLUMN position SET DEFAULT 0, ALTER COLUMN position SET NOT NULL,
    ALTER COLUMN texts SET DEFAULT '{}', ALTER COLUMN texts SET NOT NULL,
    ADD CONSTRAINT shop_products_tags_check CHECK (
        cardinality(tags) <= 16 AND coalesce(array_ndims(tags), 1) = 1
        AND array_position(tags, NULL) IS NULL AND array_position(tags, '') IS NULL
        AND octet_length(array_to_string(tags, '')) <= 512),
    ADD CONSTRAINT shop_products_texts_check CHECK (jsonb_typeof(texts) = 'object'
        AND NOT jsonb_path_exists(texts, 'strict $.* ? (@.type() != "object")'));
COMMENT ON CONSTRAINT shop_products_tags_check ON economy.shop_products IS
    'tags must be up to 16 texts, none empty, of 512 bytes together';
COMMENT ON CONSTRAINT shop_products_texts_check ON economy.shop_products IS
    'texts must be a JSON object of languages, each with an object';
COMMENT ON COLUMN economy.shop_products.tags IS 'What products() can be asked for.';
COMMENT ON COLUMN economy.shop_products.position IS
    'Place in the shop, the lowest first; those of one place by product_id.';
COMMENT ON COLUMN economy.shop_products.texts IS
    'What is shown, by language: {"en": {"name": "Sword"}, "de": {"name": "Schwert"}}.';

CREATE OR REPLACE VIEW economy.config_states AS
    SELECT 'shop_products'::text COLLATE "C" AS relation, p.product_id::text COLLATE "C" AS key,
           to_jsonb(p) AS state
    FROM (SELECT product_id, category, price_gold, source_points, granted_gold, monetary,
                 limit_once, per_user_limit, limit_period, counted, global_key, starts_at,
                 ends_at, active, stock_slots, effect_code, extra, tags, position, texts
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
    -- a digest of the material tells nothing of it
    SELECT 'signing_keys', k.version::text,
           to_jsonb(k) - 'material'
               || jsonb_build_object('material', encode(sha256(k.material), 'hex'))
    FROM (SELECT version, state, material, created_at, retired_at, first_position, last_position
          FROM economy.signing_keys) k;


CREATE OR REPLACE FUNCTION economy_internal.audit_config() RETURNS SETOF economy.finding
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
                       THEN '{"tags": [], "position": 0, "texts": {}}'::jsonb || c.after
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
              SELECT 'shop_keys', format('%s %s', t.product_id, t.idempotency_key)
              FROM economy_internal.shop_keys t
              UNION ALL
              SELECT 'rfm_state', 'the only one' FROM economy.rfm_state) d
        GROUP BY d.relation, d.key HAVING count(*) > 1
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

CREATE OR REPLACE FUNCTION economy_internal.new_product() RETURNS economy.shop_products
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT jsonb_populate_record(NULL::economy.shop_products,
            '{"price_gold": 0, "source_points": 0, "granted_gold": 0, "monetary": 0,
              "limit_once": false, "limit_period": "ever", "counted": false,
              "global_key": false, "active": true, "stock_slots": 0, "extra": {},
              "tags": [], "position": 0, "texts": {}}');
    END;

CREATE OR REPLACE FUNCTION economy_internal.check_product(product jsonb, old_row economy.shop_products)
    RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH given AS (
            SELECT coalesce(product ->> 'category', old_row.category) AS category,
                   old_row.product_id IS NULL AS is_new
        ), says AS (
            SELECT 1 AS place, format('%s is no such column that can be set', to_json(k))
                   || CASE WHEN k = 'stock_slots'
                           THEN '; stock is given by economy.add_stock() '
                                'and ended by economy.remove_stock()' ELSE '' END AS says
            FROM jsonb_object_keys(product) k
            WHERE k NOT IN ('product_id', 'category', 'price_gold', 'source_points',
                            'granted_gold', 'monetary', 'limit_once', 'per_user_limit',
                            'limit_period', 'global_key', 'starts_at', 'ends_at', 'active',
                            'effect_code', 'extra', 'tags', 'position', 'texts')
            UNION ALL
            SELECT 2, 'category must be conversion or item' FROM given g
            WHERE g.category IS NULL OR g.category NOT IN ('conversion', 'item')
            UNION ALL
            -- a product is free when somebody calls it free, not when nobody priced it
            SELECT 3, format('%s must be given, be it 0', m.member) FROM given g, LATERAL (
                SELECT CASE g.category WHEN 'item' THEN 'price_gold'
                                       ELSE 'granted_gold' END AS member) m
            WHERE (g.is_new OR g.category <> old_row.category) AND product -> m.member IS NULL
            UNION ALL
            -- the session's settings must not decide what moment is meant
            SELECT 4, format('%s must be a text in ISO 8601 with time zone, '
                             'such as 2026-01-31T12:00:00Z', k)
            FROM unnest(ARRAY['starts_at', 'ends_at']) k
            WHERE jsonb_typeof(product -> k) <> 'null' AND NOT coalesce(
                jsonb_typeof(product -> k) = 'string'
                AND product ->> k ~ ('^[0-9]{4,6}-[0-9]{2}-[0-9]{2}[T ]'
                    '[0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?'
                    '(Z|[+-][0-9]{2}(:?[0-9]{2}(:[0-9]{2})?)?)$'), false)
            UNION ALL
            SELECT 5, 'global_key is fixed when a product is made' FROM given g
            WHERE NOT g.is_new AND product ? 'global_key'
              AND product ->> 'global_key' IS DISTINCT FROM old_row.global_key::text
        )
        SELECT s.says FROM says s ORDER BY s.place, s.says LIMIT 1;
    END;

CREATE OR REPLACE FUNCTION economy.upsert_product(product jsonb, actor text) RETURNS economy.shop_products
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    SET TimeZone = 'UTC'
    SET DateStyle = 'ISO, MDY' AS $$
DECLARE
    old_row   economy.shop_products;
    new_row   economy.shop_products;
    id        text := product ->> 'product_id';
    wrong     text;
    failed    text;
    at_column text;
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.require_given('product', product IS NOT NULL);
    IF jsonb_typeof(product) <> 'object' OR id IS NULL THEN
        RAISE EXCEPTION 'product must be a JSON object with a product_id' USING ERRCODE = 'XE301';
    END IF;
    PERFORM economy_internal.open_tables('shop_products');
    -- one change of a product at a time, also of one that does not exist yet
    PERFORM economy_internal.lock_name('economy.product:' || id);
    SELECT * INTO old_row FROM economy.shop_products p WHERE p.product_id = id FOR NO KEY UPDATE;
    wrong := economy_internal.check_product(product, old_row);
    IF wrong IS NULL THEN
        BEGIN
            new_row := jsonb_populate_record(
                CASE WHEN old_row.product_id IS NULL THEN economy_internal.new_product()
                     ELSE old_row END,
                product);
            new_row.limit_period := coalesce(new_row.limit_period, 'ever');
            -- also where a product of this id was deleted: what was bought of it is kept
            new_row.counted := old_row.counted IS TRUE OR new_row.per_user_limit IS NOT NULL
                OR old_row.product_id IS NULL AND EXISTS (
                    SELECT FROM economy.config_changes c
                    WHERE c.relation = 'shop_products' AND c.key = id
                      AND (c.after ->> 'counted')::boolean);
            IF old_row.product_id IS NULL THEN
                INSERT INTO economy.shop_products SELECT (new_row).*;
            ELSE
                UPDATE economy.shop_products p SET
                    category = new_row.category, price_gold = new_row.price_gold,
                    source_points = new_row.source_points, granted_gold = new_row.granted_gold,
                    monetary = new_row.monetary, limit_once = new_row.limit_once,
                    per_user_limit = new_row.per_user_limit,
                    limit_period = new_row.limit_period, counted = new_row.counted,
                    starts_at = new_row.starts_at, ends_at = new_row.ends_at,
                    active = new_row.active, effect_code = new_row.effect_code,
                    extra = new_row.extra, tags = new_row.tags,
                    position = new_row.position, texts = new_row.texts
                WHERE p.product_id = id;
            END IF;
        EXCEPTION WHEN data_exception OR check_violation OR not_null_violation THEN
            GET STACKED DIAGNOSTICS
                wrong = MESSAGE_TEXT, failed = CONSTRAINT_NAME, at_column = COLUMN_NAME;
            wrong := economy_internal.violation('shop_products', product, wrong, failed, at_column);
        END;
    END IF;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'product "%" is not valid', id
            USING ERRCODE = 'XE301', DETAIL = wrong || '.',
            HINT = 'The keys are the column names of economy.shop_products.';
    END IF;
    PERFORM economy.note_change(
        'shop_products', id,
        CASE WHEN old_row.product_id IS NULL THEN 'create' ELSE 'change' END, actor);
    RETURN new_row;
END
$$;

-- What a shop shows, what a user bought, and who he is

CREATE TYPE economy.product_offer AS (
    product_id           text,
    category             text,
    tags                 text[],
    position             integer,
    texts                jsonb,
    extra                jsonb,
    effect_code          text,
    price_gold           bigint,
    source_points        bigint,
    granted_gold         bigint,
    expected_price       bigint,
    global_key           boolean,
    starts_at            timestamptz,
    ends_at              timestamptz,
    stock_remaining      bigint,
    user_limit           integer,
    user_limit_remaining bigint,
    limit_period         text,
    renews_at            timestamptz,
    may_buy              boolean,
    code                 text,
    detail               jsonb
);
COMMENT ON TYPE economy.product_offer IS
    'A product as a shop shows it to a user: a row of economy.products() and economy.product().';

CREATE FUNCTION economy.products(
    user_id bigint DEFAULT NULL, category text DEFAULT NULL, tag text DEFAULT NULL,
    only_available boolean DEFAULT true
) RETURNS SETOF economy.product_offer
    LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 20 AS 'MODULE_PATHNAME', 'eco_products';
COMMENT ON FUNCTION economy.products(bigint, text, text, boolean) IS
    'What a shop page shows, by position: products with price, stock and sale period, and, for a '
    'user, what is left of the limit and what purchase() of one unit would answer now. '
    'only_available: those that are on sale, be they sold out or used up.';

CREATE FUNCTION economy.product(product_id text, user_id bigint DEFAULT NULL)
    RETURNS SETOF economy.product_offer
    LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 1 AS 'MODULE_PATHNAME', 'eco_product';
COMMENT ON FUNCTION economy.product(text, bigint) IS
    'The same of one product, whether it is on sale or not; no row for an unknown one.';

CREATE TYPE economy.purchase_line AS (
    seq            bigint,
    transaction_id text,
    product_id     text,
    category       text,
    quantity       integer,
    gold_delta     bigint,
    gold           bigint,
    status         text,
    effect_code    text,
    context        jsonb,
    created_at     timestamptz
);
COMMENT ON TYPE economy.purchase_line IS
    'A purchase of a user: a row of economy.purchases_of().';

CREATE FUNCTION economy.purchases_of(
    user_id bigint, before_seq bigint DEFAULT NULL, max integer DEFAULT 50
) RETURNS SETOF economy.purchase_line
    LANGUAGE c STABLE PARALLEL SAFE ROWS 50 AS 'MODULE_PATHNAME', 'eco_purchases_of';
COMMENT ON FUNCTION economy.purchases_of(bigint, bigint, integer) IS
    'A user''s purchases before a seq, the newest first, at most max (10,000) of them; '
    'none that were archived.';

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

CREATE OR REPLACE FUNCTION economy.access_list() RETURNS TABLE (level text, object text, changes text)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        VALUES
            ('app', 'FUNCTION economy.account(bigint)', ''),
            ('app', 'FUNCTION economy.asyncapi()', ''),
            ('app', 'FUNCTION economy.changes(text, integer)', ''),
            ('app', 'FUNCTION economy.claim_daily_reward(bigint)',
             'accounts config_changes config_changes_change_id_seq config_heads reward_audit '
             'signing_keys'),
            ('app', 'FUNCTION economy.game_stats_me(bigint)', ''),
            ('app', 'FUNCTION economy.grant_reward(bigint, text, text, bigint, bigint, jsonb)',
             'accounts config_changes config_changes_change_id_seq config_heads reward_audit '
             'signing_keys'),
            ('app', 'FUNCTION economy.grant_reward_code(bigint, text, text, bigint, bigint, jsonb)',
             'accounts config_changes config_changes_change_id_seq config_heads reward_audit '
             'signing_keys'),
            ('app', 'FUNCTION economy.grant_rewards(bigint[], text[], text[], bigint[], bigint[], '
                 'jsonb[])',
             'accounts config_changes config_changes_change_id_seq config_heads reward_audit '
             'signing_keys'),
            ('app', 'FUNCTION economy.grant_rewards(jsonb)',
             'accounts config_changes config_changes_change_id_seq config_heads reward_audit '
             'signing_keys'),
            ('app', 'FUNCTION economy.level_for(bigint, text)', ''),
            ('app', 'FUNCTION economy.level_of(bigint, bigint)', ''),
            ('app', 'FUNCTION economy.now()', ''),
            ('app', 'FUNCTION economy.purchase(bigint, text, text, integer, jsonb, boolean)',
             'accounts config_changes config_changes_change_id_seq config_heads shop_keys '
             'shop_stock shop_transactions shop_user_units_more signing_keys'),
            ('app', 'FUNCTION economy.purchase_code(bigint, text, text, integer, jsonb, boolean)',
             'accounts config_changes config_changes_change_id_seq config_heads shop_keys '
             'shop_stock shop_transactions shop_user_units_more signing_keys'),
            ('app', 'FUNCTION economy.purchases(bigint[], text[], text[], integer[], jsonb[])',
             'accounts config_changes config_changes_change_id_seq config_heads shop_keys '
             'shop_stock shop_transactions shop_user_units_more signing_keys'),
            ('app', 'FUNCTION economy.purchases(jsonb)',
             'accounts config_changes config_changes_change_id_seq config_heads shop_keys '
             'shop_stock shop_transactions shop_user_units_more signing_keys'),
            ('app', 'FUNCTION economy.receipt(bigint, text)', ''),
            ('app', 'FUNCTION economy.recommend(bigint, text)', 'recommendations'),
            ('app', 'FUNCTION economy.recommendation_feedback(text, text)', 'recommendations'),
            ('app', 'FUNCTION economy.record_action(bigint, text, text, text, bigint, bigint, '
                    'text, jsonb)',
             'accounts game_stats_more user_actions'),
            ('app', 'FUNCTION economy.record_action_code(bigint, text, text, text, bigint, bigint, '
                    'text, jsonb)',
             'accounts game_stats_more user_actions'),
            ('app', 'FUNCTION economy.record_actions(bigint[], text[], text[], text[], bigint[], '
                 'bigint[], text[], jsonb[])', 'accounts game_stats_more user_actions'),
            ('app', 'FUNCTION economy.record_actions(jsonb)',
             'accounts game_stats_more user_actions'),
            ('app', 'FUNCTION economy.register(text, text, jsonb)',
             'accounts config_changes config_changes_change_id_seq config_heads signing_keys '
             'user_id_seq users'),
            ('app', 'FUNCTION economy.product(text, bigint)', ''),
            ('app', 'FUNCTION economy.products(bigint, text, text, boolean)', ''),
            ('app', 'FUNCTION economy.profile(bigint)', ''),
            ('app', 'FUNCTION economy.purchases_of(bigint, bigint, integer)', ''),
            ('app', 'FUNCTION economy.replay(bigint, bigint, integer)', ''),
            ('app', 'FUNCTION economy.segment(bigint)', ''),
            ('app', 'FUNCTION economy.set_timezone(bigint, text, text)',
             'accounts user_changes users'),
            ('app', 'FUNCTION economy.statement(bigint, bigint, integer)', ''),
            ('app', 'FUNCTION economy.streak_preview(bigint, integer)', ''),
            ('app', 'FUNCTION economy.streak_reward(integer)', ''),
            ('app', 'FUNCTION economy.streak_state(bigint)', ''),
            ('app', 'FUNCTION economy.timezone_name(text)', ''),
            ('app', 'FUNCTION economy.link_external_id(bigint, text, text, text)',
             'accounts user_changes users'),
            ('app', 'FUNCTION economy.unlink_external_id(bigint, text, text)',
             'accounts user_changes users'),
            ('app', 'FUNCTION economy.update_profile(bigint, jsonb, text, text)',
             'accounts user_changes users'),
            ('app', 'FUNCTION economy.user_id_of(text)', ''),
            ('app', 'FUNCTION economy.verify_receipt(bigint, text)', ''),
            ('monitor', 'FUNCTION economy.account(bigint)', ''),
            ('monitor', 'FUNCTION economy.asyncapi()', ''),
            ('monitor', 'FUNCTION economy.audit_schema()', ''),
            ('monitor', 'FUNCTION economy.beta_quantile(double precision, double precision, double '
                        'precision)', ''),
            ('monitor', 'FUNCTION economy.changes(text, integer)', ''),
            ('monitor', 'FUNCTION economy.game_stats_me(bigint)', ''),
            ('monitor', 'FUNCTION economy.health()', ''),
            ('monitor', 'FUNCTION economy.job_history(text, integer)', ''),
            ('monitor', 'FUNCTION economy.audit_history(integer)', ''),
            ('monitor', 'FUNCTION economy.audit_open(integer)', ''),
            ('monitor', 'FUNCTION economy.audit_unknown()', ''),
            ('monitor', 'FUNCTION economy.job_list()', ''),
            ('monitor', 'FUNCTION economy.last_anchor()', ''),
            ('monitor', 'FUNCTION economy.verify_anchor(jsonb)', ''),
            ('monitor', 'FUNCTION economy.library_version()', ''),
            -- a default of others' arguments, which the caller evaluates
            ('monitor', 'FUNCTION economy.now()', ''),
            -- views that a role may be shown call them with its privileges
            ('monitor', 'FUNCTION economy_internal.games_of(bytea)', ''),
            ('monitor', 'FUNCTION economy_internal.streak_of(bytea)', ''),
            ('monitor', 'FUNCTION economy_internal.units_of(bytea)', ''),
            ('monitor', 'FUNCTION economy.product(text, bigint)', ''),
            ('monitor', 'FUNCTION economy.products(bigint, text, text, boolean)', ''),
            ('monitor', 'FUNCTION economy.progress()', ''),
            ('monitor', 'FUNCTION economy.recommendation_posteriors(text, text, timestamptz)', ''),
            ('monitor', 'FUNCTION economy.recommendation_stats(timestamptz)', ''),
            ('monitor', 'FUNCTION economy.relay_status()', ''),
            ('monitor', 'FUNCTION economy_internal.require_given(text, boolean)', ''),
            ('monitor', 'FUNCTION economy.rfm_bounds(text, regclass, timestamptz)', ''),
            ('monitor', 'FUNCTION economy.rfm_bounds_query(text, text, timestamptz)', ''),
            ('monitor', 'FUNCTION economy.rfm_freshness()', ''),
            ('monitor', 'FUNCTION economy_internal.rfm_measure(economy.rfm_models, text, '
                        'timestamptz)', ''),
            ('monitor', 'FUNCTION economy_internal.rfm_measure_query(text)', ''),
            ('monitor', 'FUNCTION economy_internal.rfm_measured(economy.rfm_models, bigint, '
                        'bigint, numeric[], numeric[], numeric[], boolean[], numeric[])', ''),
            ('monitor', 'FUNCTION economy.rfm_model(text)', ''),
            ('monitor', 'FUNCTION economy.rfm_rule_ranges(jsonb, numeric, numeric, numeric)', ''),
            ('monitor', 'FUNCTION economy.rfm_rules()', ''),
            ('monitor', 'FUNCTION economy.rfm_score(text, regclass, timestamptz)', ''),
            ('monitor', 'FUNCTION economy.rfm_score_query(text, text, timestamptz)', ''),
            ('monitor', 'FUNCTION economy_internal.rfm_score_expression(text, text, numeric[], '
                        'boolean, text)', ''),
            ('monitor', 'FUNCTION economy_internal.rfm_source(economy.rfm_models, text, '
                        'timestamptz)', ''),
            ('monitor', 'FUNCTION economy_internal.rfm_source_check(text)', ''),
            ('monitor', 'FUNCTION economy.segment(bigint)', ''),
            ('monitor', 'FUNCTION economy.segment_figures()', ''),
            ('monitor', 'FUNCTION economy.segment_summary()', ''),
            ('monitor', 'FUNCTION economy.statement(bigint, bigint, integer)', ''),
            ('monitor', 'FUNCTION economy.stats_parity(integer)', ''),
            ('monitor', 'FUNCTION economy.verify_chain(bigint)', ''),
            ('monitor', 'FUNCTION economy.verify_receipt(bigint, text)', ''),
            ('monitor', 'FUNCTION economy.wilson_interval(bigint, bigint)', ''),
            ('monitor', 'FUNCTION economy.win_rate_anomalies(text, double precision)', ''),
            ('operator', 'FUNCTION economy.anchor(integer)',
             'anchor_buckets anchor_config anchor_heads anchors config_changes '
             'config_changes_change_id_seq config_heads signing_keys'),
            ('operator', 'FUNCTION economy.anchor_step(integer, integer)',
             'anchor_buckets anchor_config anchor_heads anchors config_changes '
             'config_changes_change_id_seq config_heads signing_keys'),
            ('operator', 'FUNCTION economy.audit_step(integer)',
             'audit_checkpoints audit_findings audit_runs audit_runs_run_id_seq'),
            ('operator', 'FUNCTION economy.audit_sweep(timestamptz)',
             'audit_checkpoints audit_findings audit_runs audit_runs_run_id_seq'),
            ('operator', 'FUNCTION economy.archive(regclass, regclass, interval, integer)',
             'accounts archive_state archived_hashes archived_keys archives audit_checkpoints '
             'config_changes config_changes_change_id_seq config_heads gold_adjustments '
             'installations reward_audit rollup_positions signing_keys stream_checkpoints'),
            ('operator', 'FUNCTION economy.archive_entries(anyelement, interval, integer)',
             'accounts archive_state archived_hashes archived_keys archives audit_checkpoints '
             'config_changes config_changes_change_id_seq config_heads gold_adjustments '
             'installations reward_audit rollup_positions signing_keys stream_checkpoints'),
            ('operator', 'FUNCTION economy.verify_archive(regclass, regclass, bigint[])', ''),
            ('operator', 'FUNCTION economy_internal.archive_columns(text)', ''),
            ('operator', 'FUNCTION economy_internal.archive_digest(anyelement)', ''),
            ('operator', 'FUNCTION economy_internal.archive_findings(regclass, regclass, bigint[], '
                         'boolean)', ''),
            ('operator', 'FUNCTION economy_internal.archive_journal(regclass)', ''),
            ('operator', 'FUNCTION economy_internal.archive_last(text)', ''),
            ('operator', 'FUNCTION economy_internal.archives_of(text, bigint[], boolean)', ''),
            ('operator', 'FUNCTION economy_internal.open_archives()', ''),
            ('operator', 'FUNCTION economy_internal.journal_letter(text)', ''),
            ('operator', 'FUNCTION economy_internal.require_archive(regclass, regclass)', ''),
            ('operator', 'FUNCTION economy.audit_sweep_incremental(integer)',
             'audit_checkpoints audit_findings audit_runs audit_runs_run_id_seq'),
            ('operator', 'FUNCTION economy.learn_recommendations(integer)',
             'recommendation_beliefs recommendation_days recommendation_progress recommendations'),
            ('operator', 'FUNCTION economy.rfm_refresh_incremental()',
             'config_changes config_changes_change_id_seq config_heads rfm_due rfm_reversals '
             'rfm_snapshots rfm_state segment_history user_segments'),
            ('operator', 'FUNCTION economy.rollup_stats(integer)',
             'rollup_positions rollup_queue rollup_state user_game_stats_summary'),
            ('operator', 'PROCEDURE economy.run_job(text, text)',
             'accounts anchor_buckets anchor_config anchor_heads anchors audit_checkpoints '
             'audit_findings audit_runs audit_runs_run_id_seq config_changes '
             'config_changes_change_id_seq config_heads installations job_runs '
             'job_runs_run_id_seq pruned_actions pruned_stats rfm_due rfm_reversals rfm_snapshots '
             'rfm_state rollup_positions rollup_queue rollup_state segment_history signing_keys '
             'stream_checkpoints user_actions user_game_stats_summary user_segments'),
            ('operator', 'FUNCTION economy.schedule()', ''),
            ('operator', 'FUNCTION economy.unschedule()', ''),
            ('admin', 'FUNCTION economy.add_stock(text, bigint, text, integer)',
             'config_changes config_changes_change_id_seq config_heads shop_products shop_stock'),
            ('admin', 'FUNCTION economy.adjust_gold(bigint, bigint, text, text, text)',
             'accounts gold_adjustments'),
            ('admin', 'FUNCTION economy.capture_actions()',
             'accounts capture_refusals capture_refusals_refusal_id_seq game_stats_more '
             'user_actions'),
            ('admin', 'FUNCTION economy.prune(interval, integer)',
             'accounts audit_checkpoints config_changes config_changes_change_id_seq config_heads '
             'installations pruned_actions pruned_stats rollup_positions signing_keys '
             'stream_checkpoints user_actions'),
            ('admin', 'FUNCTION economy.register_game(text, jsonb)',
             'config_changes config_changes_change_id_seq config_heads games'),
            ('admin', 'FUNCTION economy.remove_stock(text, text)',
             'config_changes config_changes_change_id_seq config_heads shop_products'),
            ('admin', 'FUNCTION economy.retire_product(text, text)',
             'config_changes config_changes_change_id_seq config_heads shop_products'),
            ('admin', 'FUNCTION economy.retire_signing_key(integer)',
             'config_changes config_changes_change_id_seq config_heads signing_keys '
             'stream_checkpoints'),
            ('admin', 'FUNCTION economy.revoke_reward(bigint, text, text, text, bigint, bigint, '
                      'text, text)',
             'accounts reward_audit'),
            ('admin', 'FUNCTION economy.rfm_refresh(timestamptz, boolean)',
             'config_changes config_changes_change_id_seq config_heads rfm_due rfm_reversals '
             'rfm_snapshots rfm_state segment_history user_segments'),
            ('admin', 'FUNCTION economy.rotate_signing_key()',
             'config_changes config_changes_change_id_seq config_heads signing_keys'),
            ('admin', 'FUNCTION economy.set_level_curve(text, bigint[], text)',
             'config_changes config_changes_change_id_seq config_heads level_curves'),
            ('admin', 'FUNCTION economy.set_level_experiment(text, jsonb, boolean, text)',
             'config_changes config_changes_change_id_seq config_heads level_experiments'),
            ('admin', 'FUNCTION economy.set_recommendations(text, jsonb, jsonb, text)',
             'config_changes config_changes_change_id_seq config_heads recommendation_arms '
             'recommendation_placements'),
            ('admin', 'FUNCTION economy.set_rfm_model(jsonb, text)',
             'config_changes config_changes_change_id_seq config_heads rfm_models'),
            ('admin', 'FUNCTION economy.set_segment_rules(jsonb, text)',
             'config_changes config_changes_change_id_seq config_heads segment_rule_changes '
             'segment_rules'),
            ('admin', 'FUNCTION economy.set_streak(bigint, integer, date, text, text, text)',
             'accounts reward_audit'),
            ('admin', 'FUNCTION economy.set_user_status(bigint, text, text, text, text)',
             'accounts user_changes'),
            ('admin', 'FUNCTION economy.upsert_product(jsonb, text)',
             'config_changes config_changes_change_id_seq config_heads shop_products');
    END;

-- The incremental refresh writes its history and whom rfm_due is to hold from C, and what
-- stands in SQL beside it keeps its plans

CREATE OR REPLACE FUNCTION economy_internal.rfm_installation() RETURNS bigint
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- a copy in the same cluster is another one, too: what it brings was not there before
    RETURN (SELECT hashtextextended(format('%s %s %s', c.system_identifier, d.oid, e.oid), 0)
            FROM pg_control_system() c
            CROSS JOIN pg_database d CROSS JOIN pg_extension e
            WHERE d.datname = current_database() AND e.extname = 'economy');
END
$$;

CREATE OR REPLACE FUNCTION economy_internal.rfm_advance(
    snapshot_id bigint, as_of timestamptz, seen_before bigint, change_lag interval,
    started_summarised bigint
) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    INSERT INTO economy.rfm_state AS s
            (snapshot_id, as_of, refreshed_at, installation, seen_before, summarised,
             change_lag)
        SELECT rfm_advance.snapshot_id, rfm_advance.as_of, economy.now(),
               economy_internal.rfm_installation(), rfm_advance.seen_before,
               economy_internal.rfm_summarise(coalesce(rfm_advance.started_summarised, 0)),
               rfm_advance.change_lag
        ON CONFLICT ON CONSTRAINT rfm_state_pkey DO UPDATE SET
            snapshot_id = excluded.snapshot_id, as_of = excluded.as_of,
            refreshed_at = excluded.refreshed_at, installation = excluded.installation,
            seen_before = excluded.seen_before, summarised = excluded.summarised,
            change_lag = excluded.change_lag;
END
$$;

DROP FUNCTION economy_internal.rfm_renew(
    bigint, bigint[], timestamptz, bigint[], text[], text);
CREATE FUNCTION economy_internal.rfm_renew(
    transaction bigint, due bigint[], as_of timestamptz, program bigint[], segments text[],
    snapshot_id bigint,
    OUT user_id bigint, OUT since timestamptz, OUT before text, OUT segment text
) RETURNS SETOF record
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_rfm_renew';
COMMENT ON FUNCTION economy_internal.rfm_renew(
    bigint, bigint[], timestamptz, bigint[], text[], bigint) IS
    'Takes up the purchases of a transaction and later ones, and scores their users and those of '
    'due who are, with segment_history and rfm_due: since when it had waited, and the segment '
    'before and now when it is another.';

CREATE OR REPLACE FUNCTION economy.rfm_refresh_incremental()
    RETURNS TABLE (snapshot_id bigint, users_scored bigint, users_changed bigint)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD'
    SET work_mem = '64MB' SET jit = off AS $$
DECLARE
    state    economy.rfm_state;
    snapshot economy.rfm_snapshots;
    as_of    timestamptz;
    seen     bigint;
    due      bigint[];
    oldest   timestamptz;
    told     bigint;
BEGIN
    PERFORM set_config('work_mem', economy_internal.rfm_setting('economy.rfm_memory'), true);
    state := economy_internal.rfm_lock();
    IF state.snapshot_id IS NULL THEN
        RETURN QUERY SELECT * FROM economy.rfm_refresh();
        RETURN;
    END IF;
    -- never back in time: the rows describe one moment
    as_of := greatest(economy.now(), state.as_of);
    SELECT * INTO snapshot FROM economy.rfm_snapshots s WHERE s.snapshot_id = state.snapshot_id;
    seen := pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
    PERFORM economy_internal.rfm_apply_reversals();
    due := economy_internal.rfm_take_due(as_of);
    SELECT count(*),
           -- a reversal is taken up without a moment of its own
           min(n.since) FILTER (WHERE isfinite(n.since)),
           count(economy_internal.publish_profile(n.user_id, 'segment', n.before, n.segment))
               FILTER (WHERE n.segment IS NOT NULL)
    INTO users_scored, oldest, told
    FROM economy_internal.rfm_renew(
        economy_internal.rfm_unsee(state), due, as_of, snapshot.program, snapshot.segments,
        snapshot.snapshot_id) n;
    users_changed := users_scored;
    PERFORM economy_internal.rfm_advance(
        snapshot.snapshot_id, as_of, seen, as_of - oldest, state.summarised);
    snapshot_id := snapshot.snapshot_id;
    RETURN NEXT;
END
$$;

-- of these alone: a function whose privileges a script changes would have those of roles
-- among its initial ones, which a dump leaves out
REVOKE ALL ON FUNCTION
    economy.product(text, bigint), economy.products(bigint, text, text, boolean),
    economy.profile(bigint), economy.purchases_of(bigint, bigint, integer),
    economy_internal.rfm_renew(bigint, bigint[], timestamptz, bigint[], text[], bigint)
    FROM PUBLIC;

SELECT economy_internal.note_schema();
