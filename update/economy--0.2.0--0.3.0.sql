-- complain if the script is sourced in psql rather than run by ALTER EXTENSION
\echo Use "ALTER EXTENSION economy UPDATE TO '0.3.0'" to load this file. \quit

SET LOCAL search_path TO pg_catalog, pg_temp;
SET LOCAL client_min_messages TO warning;

SELECT economy_internal.begin_update();

-- The curve of everybody is of this name now.
DO $$
BEGIN
    IF EXISTS (SELECT FROM economy.level_experiments e WHERE e.experiment = '*') THEN
        RAISE EXCEPTION 'no experiment with level curves may be named * any more'
            USING ERRCODE = 'XE901',
            DETAIL = 'It is the name of the curve that everybody has.',
            HINT = 'Set its arms under another name, which assigns users anew, and call '
                   'economy.set_level_experiment(''*'', ''[]'') before the update.';
    END IF;
END
$$;

-- What calls lock first comes first, so that none waits for this while this waits for it.
LOCK TABLE economy.shop_transactions, economy.reward_audit, economy.accounts, economy.shop_products
    IN ACCESS EXCLUSIVE MODE;

-- Accounts have room for progress in missions.
ALTER TABLE economy.accounts DROP CONSTRAINT accounts_sections_check;
ALTER TABLE economy.accounts
    ADD CONSTRAINT accounts_sections_check CHECK (octet_length(sections) BETWEEN 1 AND 3072);

-- Functions that get an argument are made anew: who may call them goes on to, see the end.
SELECT pg_catalog.set_config('economy_update.privileges', coalesce(jsonb_agg(jsonb_build_object(
    'function', f.after, 'privileges', p.proacl::text))::text, '[]'), true)
FROM (VALUES
    ('economy.grant_reward(bigint, text, text, bigint, bigint, jsonb)',
     'economy.grant_reward(bigint, text, text, bigint, bigint, jsonb, jsonb)'),
    ('economy.grant_reward_code(bigint, text, text, bigint, bigint, jsonb)',
     'economy.grant_reward_code(bigint, text, text, bigint, bigint, jsonb, jsonb)'),
    ('economy.grant_rewards(bigint[], text[], text[], bigint[], bigint[], jsonb[])',
     'economy.grant_rewards(bigint[], text[], text[], bigint[], bigint[], jsonb[], jsonb[])'),
    ('economy.revoke_reward(bigint, text, text, text, bigint, bigint, text, text)',
     'economy.revoke_reward(bigint, text, text, text, bigint, bigint, text, text, jsonb)'),
    ('economy.streak_preview(bigint, integer)',
     'economy.streak_preview(bigint, integer)'),
    ('economy.record_action(bigint, text, text, text, bigint, bigint, text, jsonb)',
     'economy.record_action(bigint, text, text, text, bigint, bigint, text, jsonb, bigint)'),
    ('economy.record_action_code(bigint, text, text, text, bigint, bigint, text, jsonb)',
     'economy.record_action_code(bigint, text, text, text, bigint, bigint, text, jsonb, bigint)'),
    ('economy.record_actions(bigint[], text[], text[], text[], bigint[], bigint[], text[], jsonb[])',
     'economy.record_actions(bigint[], text[], text[], text[], bigint[], bigint[], text[], jsonb[], bigint[])')) f (before, after)
JOIN pg_proc p ON p.oid = f.before::regprocedure;

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
COMMENT ON COLUMN economy.accounts.streak_freezes IS
    'Units of the item streak_freeze that are held: what entries gave minus what was used up.';

CREATE FUNCTION economy_internal.require_text(argument text, value text, bytes integer)
    RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    PERFORM economy_internal.require_given(argument, value IS NOT NULL);
    IF octet_length(value) NOT BETWEEN 1 AND bytes THEN
        RAISE EXCEPTION '% must have 1 to % bytes', argument, bytes USING ERRCODE = 'XE002';
    END IF;
END
$$;
COMMENT ON FUNCTION economy_internal.require_text(text, text, integer) IS
    'Raises XE001 or XE002, that the argument must not be null, or have 1 to so many bytes, unless '
    'it is so.';

CREATE FUNCTION economy_internal.refused(answer anyelement, code text, detail jsonb)
    RETURNS anyelement
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    answer.success := false;
    answer.state := 'refused';
    answer.code := code;
    answer.detail := detail;
    RETURN answer;
END
$$;
COMMENT ON FUNCTION economy_internal.refused(anyelement, text, jsonb) IS
    'The answer of a call that is refused, of the type of the one that is given, which is null.';

CREATE FUNCTION economy_internal.require_kept(relation text, kept boolean) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF kept IS NOT TRUE THEN
        RAISE EXCEPTION 'a row of economy.% would be kept in another way than was asked for',
            relation USING ERRCODE = 'XE103',
            HINT = format('Look for a BEFORE trigger or a rule on economy.%s that changes values '
                          'or suppresses rows.', relation);
    END IF;
END
$$;
COMMENT ON FUNCTION economy_internal.require_kept(text, boolean) IS
    'Raises XE103, that what was written of a table is not what was to be written, unless it is.';

CREATE FUNCTION economy_internal.announce_key(
    journal "char", user_id bigint, first text, second text
) RETURNS integer
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_announce_key';
COMMENT ON FUNCTION economy_internal.announce_key("char", bigint, text, text) IS
    'Announces the key of an entry in the journal with that letter, as calls with a key do, until '
    'the end of the transaction: null; or after how many milliseconds to try again, as another '
    'transaction is in that very call.';
COMMENT ON FUNCTION economy_internal.summarise_parts(regclass) IS
    'Makes the summaries that a journal, or each of its partitions, lacks in its index on '
    'position, but for the last range, which is being filled.';

-- TimeZone and the others: the texts in a JSON document do not depend on who makes it
CREATE OR REPLACE FUNCTION economy.note_change(
    relation text, key text, action text, actor text, units bigint DEFAULT NULL
) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET TimeZone = 'UTC' SET DateStyle = 'ISO, YMD' SET IntervalStyle = 'postgres'
    SET extra_float_digits = 1 SET bytea_output = 'hex' AS $$
DECLARE
    head   economy_internal.config_heads;
    change economy.config_changes;
BEGIN
    PERFORM economy_internal.require_given('relation', relation IS NOT NULL);
    PERFORM economy_internal.require_given('key', key IS NOT NULL);
    PERFORM economy_internal.require_given('action', action IS NOT NULL);
    PERFORM economy_internal.require_given('actor', actor IS NOT NULL);
    PERFORM economy_internal.open_tables(
        'economy_internal.config_heads', 'config_changes', 'shop_products', 'level_curves',
        'level_experiments', 'games', 'rfm_models', 'segment_rules', 'rfm_snapshots',
        'recommendation_placements', 'recommendation_arms', 'signing_keys', 'items',
        'draw_tables', 'leaderboards', 'transfer_rules', 'daily_rewards', 'payment_providers',
        'payment_secrets', 'mission_templates', 'rate_limits', 'seasons', 'promo_codes');
    -- the chain of a key begins with 32 zeros
    INSERT INTO economy_internal.config_heads AS h
        VALUES (relation, key, 0, decode(repeat('00', 32), 'hex'))
        ON CONFLICT ON CONSTRAINT config_heads_pkey DO NOTHING;
    SELECT * INTO STRICT head FROM economy_internal.config_heads h
        WHERE h.relation = note_change.relation AND h.key = note_change.key FOR UPDATE;
    change := (nextval('economy.config_changes_change_id_seq'), relation, key,
               head.change_no + 1, action, actor, NULL, NULL, units, economy.now(),
               NULL)::economy.config_changes;
    SELECT c.after INTO change.before FROM economy.config_changes c
        WHERE c.relation = note_change.relation AND c.key = note_change.key
        ORDER BY c.change_no DESC LIMIT 1;
    SELECT s.state INTO change.after FROM economy.config_states s
        WHERE s.relation = note_change.relation AND s.key = note_change.key;
    IF change.before IS NULL AND change.after IS NULL THEN
        RAISE EXCEPTION 'there is no "%" in the configuration "%", and was none',
                left(key, 64), left(relation, 64) USING ERRCODE = 'XE002',
            HINT = 'economy.config_states has the relations and their keys.';
    END IF;
    change.hash := sha256(head.hash || convert_to(economy_internal.change_text(change), 'UTF8'));
    INSERT INTO economy.config_changes OVERRIDING SYSTEM VALUE SELECT (change).*;
    UPDATE economy_internal.config_heads h SET change_no = change.change_no, hash = change.hash
        WHERE h.relation = note_change.relation AND h.key = note_change.key;
END
$$;

CREATE FUNCTION economy_internal.amounts_sound(items jsonb) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_amounts_sound';
COMMENT ON FUNCTION economy_internal.amounts_sound(jsonb) IS
    'Whether this is an object of 1 to 16 items, each with a whole number from 1 to 2^53-1.';

CREATE TABLE economy.items (
    item_id    text    NOT NULL COLLATE "C" CONSTRAINT items_pkey PRIMARY KEY
        CONSTRAINT items_item_id_check CHECK (octet_length(item_id) BETWEEN 1 AND 64),
    kind       text    NOT NULL COLLATE "C"
        CONSTRAINT items_kind_check CHECK (kind IN ('stack', 'currency', 'pass')),
    maximum    bigint
        CONSTRAINT items_maximum_check CHECK (maximum BETWEEN 1 AND 9007199254740991),
    consumable boolean NOT NULL DEFAULT true,
    tradable   boolean NOT NULL DEFAULT false,
    active     boolean NOT NULL DEFAULT true,
    texts      jsonb   NOT NULL DEFAULT '{}'
        CONSTRAINT items_texts_check CHECK (jsonb_typeof(texts) = 'object'
            AND NOT jsonb_path_exists(texts, 'strict $.* ? (@.type() != "object")')),
    extra      jsonb   NOT NULL DEFAULT '{}'
        CONSTRAINT items_extra_check CHECK (jsonb_typeof(extra) = 'object'),
    CONSTRAINT items_pass_check CHECK (kind <> 'pass' OR NOT consumable)
);
SELECT pg_catalog.pg_extension_config_dump('economy.items', '');
COMMENT ON TABLE economy.items IS
    'What users can hold beside gold. Changed by upsert_item() only.';
COMMENT ON CONSTRAINT items_item_id_check ON economy.items IS 'item_id must have 1 to 64 bytes';
COMMENT ON CONSTRAINT items_kind_check ON economy.items IS
    'kind must be stack, currency or pass';
COMMENT ON CONSTRAINT items_maximum_check ON economy.items IS
    'maximum must be from 1 to 2^53-1';
COMMENT ON CONSTRAINT items_texts_check ON economy.items IS
    'texts must be a JSON object of languages, each with an object';
COMMENT ON CONSTRAINT items_extra_check ON economy.items IS 'extra must be a JSON object';
COMMENT ON CONSTRAINT items_pass_check ON economy.items IS
    'a pass is held until it ends and cannot be consumable';
COMMENT ON COLUMN economy.items.kind IS
    'stack: units; currency: units that are spent; pass: held until it ends, and extended when '
    'it is given again. Fixed when the item is made.';
COMMENT ON COLUMN economy.items.maximum IS
    'Units a user may be given to hold, of a pass seconds from now; null is 2^53-1.';
COMMENT ON COLUMN economy.items.consumable IS 'Whether spend() and consume() take it.';
COMMENT ON COLUMN economy.items.tradable IS
    'Whether transfer() gives it to others; a pass it never does.';
COMMENT ON COLUMN economy.items.active IS 'Whether it is given; what is held stays.';
COMMENT ON COLUMN economy.items.texts IS 'What is shown, by language: {"en": {"name": "Gem"}}.';

CREATE TABLE economy_internal.user_holdings_more (
    user_id bigint  NOT NULL,
    item_id text    NOT NULL COLLATE "C",
    balance bigint  NOT NULL CONSTRAINT user_holdings_more_balance_check
        CHECK (balance BETWEEN 0 AND 9007199254740991),
    is_pass boolean NOT NULL,
    CONSTRAINT user_holdings_more_pkey PRIMARY KEY (user_id, item_id)
) WITH (fillfactor = 70);
SELECT pg_catalog.pg_extension_config_dump('economy_internal.user_holdings_more', '');
COMMENT ON TABLE economy_internal.user_holdings_more IS
    'Items that found no room in the account of their user; an item that has a row keeps it.';

CREATE FUNCTION economy_internal.holdings_of(sections bytea) RETURNS TABLE (
    item_id text, balance bigint, is_pass boolean
)
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 4 AS 'MODULE_PATHNAME', 'eco_holdings_of';
COMMENT ON FUNCTION economy_internal.holdings_of(bytea) IS
    'Items that stand in an account; of what is damaged those in front of it.';

CREATE FUNCTION economy_internal.holdings_sound(sections bytea, further boolean) RETURNS boolean
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_holdings_sound';
COMMENT ON FUNCTION economy_internal.holdings_sound(bytea, boolean) IS
    'Whether the items in an account can be read, and say that there are further ones in '
    'user_holdings_more if, and only if, there are.';

CREATE FUNCTION economy_internal.with_holding(
    sections bytea, item_id text, balance bigint, is_pass boolean
) RETURNS bytea
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_with_holding';
COMMENT ON FUNCTION economy_internal.with_holding(bytea, text, bigint, boolean) IS
    'An account''s sections with another balance of an item, or without it when balance is null: '
    'for who corrects what the audit found to be wrong.';

CREATE VIEW economy.user_holdings AS
    SELECT a.user_id, h.item_id, h.balance, h.is_pass
    FROM economy.accounts a CROSS JOIN LATERAL (
        SELECT p.item_id COLLATE "C" AS item_id, p.balance, p.is_pass
        FROM economy_internal.holdings_of(a.sections) p
        UNION ALL
        SELECT m.item_id, m.balance, m.is_pass
        FROM economy_internal.user_holdings_more m WHERE m.user_id = a.user_id
        UNION ALL
        SELECT 'streak_freeze' COLLATE "C", a.streak_freezes, false
        WHERE a.streak_freezes > 0) h;
COMMENT ON VIEW economy.user_holdings IS
    'What users hold: of a stack or a currency the units, of a pass the second since 1970 UTC at '
    'which it ends or has ended. 0: nothing any more.';

CREATE TYPE economy.registration AS (
    user_id bigint,
    is_new  boolean
);
COMMENT ON TYPE economy.registration IS
    'Whom economy.register_user() has registered, and whether just now.';

CREATE FUNCTION economy.register_user(
    external_id text DEFAULT NULL, timezone text DEFAULT 'UTC', profile jsonb DEFAULT '{}'
) RETURNS economy.registration
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    zone             text;
    id               bigint;
    hash             bytea;
    registered_at    timestamptz := economy.now();
    user_as_given    boolean := false;
    account_as_given boolean := false;
BEGIN
    PERFORM economy_internal.require_given('timezone', timezone IS NOT NULL);
    PERFORM economy_internal.require_given('profile', profile IS NOT NULL);
    IF octet_length(external_id) NOT BETWEEN 1 AND 255 THEN
        RAISE EXCEPTION 'external_id must have 1 to 255 bytes' USING ERRCODE = 'XE003';
    END IF;
    IF jsonb_typeof(profile) <> 'object' THEN
        RAISE EXCEPTION 'profile must be a JSON object' USING ERRCODE = 'XE002';
    END IF;
    IF octet_length(profile::text) > 4096 THEN
        RAISE EXCEPTION 'profile is too long' USING ERRCODE = 'XE003',
            DETAIL = format('It has %s bytes as text; at most 4096 are allowed.',
                            octet_length(profile::text));
    END IF;
    zone := economy.timezone_name(timezone);
    IF external_id IS NOT NULL THEN
        SELECT u.user_id INTO id FROM economy.users u
        WHERE u.external_id = register_user.external_id;
        IF found THEN
            RETURN (id, false);
        END IF;
    END IF;
    INSERT INTO economy.users AS u (external_id, timezone, profile, created_at)
        VALUES (external_id, zone, profile, registered_at)
        ON CONFLICT ON CONSTRAINT users_external_id_key DO NOTHING
        RETURNING u.user_id, (u.external_id, u.timezone, u.profile, u.created_at)
            IS NOT DISTINCT FROM
                (register_user.external_id, zone, register_user.profile, registered_at)
        INTO id, user_as_given;
    IF NOT found THEN
        -- somebody registered the same external_id between our look and our insert
        SELECT u.user_id INTO id FROM economy.users u
        WHERE u.external_id = register_user.external_id;
        IF found THEN
            RETURN (id, false);
        END IF;
    ELSIF user_as_given THEN
        hash := economy_internal.identity_hash(id, external_id, zone, registered_at);
        INSERT INTO economy.accounts AS a (user_id, head_hash) VALUES (id, hash)
            RETURNING (a.user_id, a.seq, a.gold, a.experience_points, a.position, a.suspended,
                       a.streak_freezes, a.pruned_seq, a.head_hash)
                IS NOT DISTINCT FROM (id, 0, 0, 0, 0, false, 0, 0, hash)
            INTO account_as_given;
    END IF;
    IF account_as_given IS NOT TRUE THEN
        RAISE EXCEPTION 'a registration would store another user than was given'
            USING ERRCODE = 'XE103',
            HINT = 'Look for a BEFORE trigger or a rule on economy.users or economy.accounts '
                   'that changes values or suppresses rows.';
    END IF;
    RETURN (id, true);
END
$$;
COMMENT ON FUNCTION economy.register_user(text, text, jsonb) IS
    'Registers a user and says whether he is new; the same external_id returns the '
    'same user and changes nothing.';

CREATE OR REPLACE FUNCTION economy.register(
    external_id text DEFAULT NULL, timezone text DEFAULT 'UTC', profile jsonb DEFAULT '{}'
) RETURNS bigint
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT r.user_id FROM economy.register_user(external_id, timezone, profile) r;
    END;
ALTER TABLE economy.shop_products
    ADD COLUMN contents jsonb
        CONSTRAINT shop_products_contents_check CHECK (economy_internal.amounts_sound(contents)),
    ADD COLUMN price_items jsonb
        CONSTRAINT shop_products_price_items_check CHECK (economy_internal.amounts_sound(price_items)),
    ADD COLUMN fulfilment boolean,
    ADD COLUMN granted_xp bigint
        CONSTRAINT shop_products_granted_xp_check CHECK (granted_xp BETWEEN 0 AND 9007199254740991),
    ADD COLUMN settlement text COLLATE "C"
        CONSTRAINT shop_products_settlement_check CHECK (octet_length(settlement) BETWEEN 1 AND 64),
    ADD CONSTRAINT shop_products_settled_check CHECK (settlement IS NULL
        OR (category = 'conversion' AND source_points > 0 AND NOT global_key
            AND price_items IS NULL));
COMMENT ON CONSTRAINT shop_products_contents_check ON economy.shop_products IS
    'contents must be an object of 1 to 16 items, each with a whole number from 1 to 2^53-1';
COMMENT ON CONSTRAINT shop_products_price_items_check ON economy.shop_products IS
    'price_items must be an object of 1 to 16 items, each with a whole number from 1 to 2^53-1';
COMMENT ON CONSTRAINT shop_products_granted_xp_check ON economy.shop_products IS
    'granted_xp must be from 0 to 2^53-1';
COMMENT ON CONSTRAINT shop_products_settlement_check ON economy.shop_products IS
    'settlement must have 1 to 64 bytes';
COMMENT ON CONSTRAINT shop_products_settled_check ON economy.shop_products IS
    'settlement is that of a conversion with source_points, without price_items and global_key';
COMMENT ON COLUMN economy.shop_products.contents IS
    'Items that the user holds after the purchase of a unit: {"gem": 5, "vip": 2592000}; of a '
    'pass seconds.';
COMMENT ON COLUMN economy.shop_products.fulfilment IS
    'Whether a purchase waits in economy.fulfilments until a worker has fulfilled it; null: no.';
COMMENT ON COLUMN economy.shop_products.granted_xp IS
    'XP that a unit gives, of an item and of a conversion; null: none.';
COMMENT ON COLUMN economy.shop_products.settlement IS
    'Provider of payment_providers that is paid for it, before it is given: source_points are '
    'minor units of its currency. Null: the app has charged for it. Whether it is null is fixed '
    'when the product is made.';
COMMENT ON COLUMN economy.shop_products.price_items IS
    'Items that a unit costs beside price_gold: {"gem": 5}.';
ALTER TABLE economy.shop_transactions
    ADD COLUMN items jsonb;
COMMENT ON COLUMN economy.shop_transactions.items IS
    'Items that it cost and gave, as in holding_changes; null: none.';

ALTER TYPE economy.purchase_result
    ADD ATTRIBUTE items jsonb;

ALTER TYPE economy.purchase_receipt
    ADD ATTRIBUTE items jsonb;

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
    detail               jsonb,
    contents             jsonb,
    price_items          jsonb,
    granted_xp           bigint,
    settlement           text
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
    created_at     timestamptz,
    items          jsonb,
    xp_delta       bigint,
    refunded       integer
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
                            'effect_code', 'extra', 'tags', 'position', 'texts', 'contents',
                            'price_items', 'fulfilment', 'granted_xp', 'settlement')
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
            UNION ALL
            -- a key of an order is looked up only where there can be one
            SELECT 6, 'whether settlement is null is fixed when a product is made' FROM given g
            WHERE NOT g.is_new AND product ? 'settlement'
              AND (product ->> 'settlement' IS NULL) <> (old_row.settlement IS NULL)
            UNION ALL
            -- what is no object of items is refused by the constraints
            SELECT 7, 'contents and price_items must be of different items, 16 together'
            FROM (SELECT count(*) AS n, count(DISTINCT k.id) AS different
                  FROM (VALUES (CASE WHEN product ? 'contents' THEN product -> 'contents'
                                     ELSE old_row.contents END),
                               (CASE WHEN product ? 'price_items' THEN product -> 'price_items'
                                     ELSE old_row.price_items END)) m (items)
                  CROSS JOIN LATERAL jsonb_object_keys(
                      CASE jsonb_typeof(m.items) WHEN 'object' THEN m.items
                                                 ELSE '{}' END) k (id)) i
            WHERE i.n > 16 OR i.n <> i.different
            UNION ALL
            -- an event has 8000 bytes, and tells of each item its balance too
            SELECT 8, 'contents and price_items must have 3072 bytes as text together'
            FROM (SELECT CASE WHEN product ? 'contents' THEN product -> 'contents'
                              ELSE old_row.contents END AS contents,
                         CASE WHEN product ? 'price_items' THEN product -> 'price_items'
                              ELSE old_row.price_items END AS price) n
            WHERE coalesce(octet_length(n.contents::text), 0)
                  + coalesce(octet_length(n.price::text), 0) > 3072
        )
        SELECT s.says FROM says s ORDER BY s.place, s.says LIMIT 1;
    END;

CREATE FUNCTION economy_internal.check_contents(product jsonb) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT format(CASE WHEN i.item_id IS NULL THEN 'item %s of %s does not exist'
                           ELSE 'item %s of %s is not consumable' END, to_json(k.id), m.name)
        FROM unnest(ARRAY['contents', 'price_items']) m (name)
        CROSS JOIN LATERAL jsonb_object_keys(
            CASE jsonb_typeof(product -> m.name) WHEN 'object' THEN product -> m.name
                                                 ELSE '{}' END) k (id)
        LEFT JOIN economy.items i ON i.item_id = k.id
        WHERE i.item_id IS NULL OR (m.name = 'price_items' AND NOT i.consumable)
        ORDER BY m.name, k.id LIMIT 1;
    END;
COMMENT ON FUNCTION economy_internal.check_contents(jsonb) IS
    'Which item of a product that is given to upsert_product() cannot be given, or paid; null: '
    'none.';

-- The table of providers comes later in the script.
CREATE FUNCTION economy_internal.check_settlement(product jsonb) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    name CONSTANT text := product ->> 'settlement';
BEGIN
    IF name IS NULL OR EXISTS (SELECT FROM economy.payment_providers p
                               WHERE p.provider = name AND p.currency IS NOT NULL) THEN
        RETURN NULL;
    END IF;
    RETURN format('settlement %s is no provider with a currency', to_json(name));
END
$$;
COMMENT ON FUNCTION economy_internal.check_settlement(jsonb) IS
    'Why a provider cannot be paid for a product that is given to upsert_product(); null: it can.';

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
    PERFORM economy_internal.open_tables('shop_products', 'items', 'payment_providers');
    -- one change of a product at a time, also of one that does not exist yet
    PERFORM economy_internal.lock_name('economy.product:' || id);
    SELECT * INTO old_row FROM economy.shop_products p WHERE p.product_id = id FOR NO KEY UPDATE;
    wrong := coalesce(economy_internal.check_product(product, old_row),
                      economy_internal.check_contents(product),
                      economy_internal.check_settlement(product));
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
                    position = new_row.position, texts = new_row.texts,
                    contents = new_row.contents, price_items = new_row.price_items,
                    fulfilment = new_row.fulfilment, granted_xp = new_row.granted_xp,
                    settlement = new_row.settlement
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

CREATE TABLE economy.fulfilments (
    user_id      bigint      NOT NULL,
    seq          bigint      NOT NULL,
    product_id   text        NOT NULL COLLATE "C",
    due_at       timestamptz NOT NULL,
    visible_at   timestamptz NOT NULL,
    attempts     integer     NOT NULL
        CONSTRAINT fulfilments_attempts_check CHECK (attempts >= 0),
    worker       text,
    fulfilled_at timestamptz,
    refunded_at  timestamptz,
    note         jsonb
        CONSTRAINT fulfilments_note_check CHECK (jsonb_typeof(note) = 'object'),
    CONSTRAINT fulfilments_pkey PRIMARY KEY (user_id, seq),
    CONSTRAINT fulfilments_done_check
        CHECK ((num_nonnulls(fulfilled_at, refunded_at) > 0) = (visible_at = 'infinity')),
    CONSTRAINT fulfilments_refunded_check CHECK (num_nulls(fulfilled_at, refunded_at) > 0)
) WITH (fillfactor = 80);

CREATE INDEX fulfilments_visible ON economy.fulfilments (visible_at);
SELECT pg_catalog.pg_extension_config_dump('economy.fulfilments', '');
COMMENT ON TABLE economy.fulfilments IS
    'Purchases of products with fulfilment: what waits for a worker, and what was done by whom.';
COMMENT ON COLUMN economy.fulfilments.due_at IS 'When it was bought.';
COMMENT ON COLUMN economy.fulfilments.visible_at IS
    'From when on unfulfilled() hands it out: while a worker has it, the end of the lease; '
    'infinity when it is fulfilled, or was refunded.';
COMMENT ON COLUMN economy.fulfilments.refunded_at IS
    'When all of it was refunded, before anybody had fulfilled it.';
COMMENT ON COLUMN economy.fulfilments.attempts IS 'How often it was handed out.';
COMMENT ON COLUMN economy.fulfilments.worker IS 'Who was handed it last, or has fulfilled it.';

CREATE TYPE economy.unfulfilled_purchase AS (
    user_id        bigint,
    transaction_id text,
    product_id     text,
    quantity       integer,
    effect_code    text,
    context        jsonb,
    items          jsonb,
    created_at     timestamptz,
    attempts       integer,
    leased_until   timestamptz
);
COMMENT ON TYPE economy.unfulfilled_purchase IS
    'A purchase that a worker has to fulfil: a row of economy.unfulfilled().';

CREATE TYPE economy.fulfil_result AS (
    success        boolean,
    state          text,
    code           text,
    transaction_id text,
    worker         text,
    fulfilled_at   timestamptz,
    attempts       integer,
    detail         jsonb
);
COMMENT ON TYPE economy.fulfil_result IS 'Result of economy.fulfil().';

CREATE FUNCTION economy.unfulfilled(
    worker text, max integer DEFAULT 10, lease interval DEFAULT '5 minutes',
    product_id text DEFAULT NULL
) RETURNS SETOF economy.unfulfilled_purchase
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 10
    SET search_path = pg_catalog, economy, pg_temp
    -- in the order of the queue, whatever its statistics say
    SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
    SET enable_mergejoin = off SET jit = off AS $$
DECLARE
    -- a day of a session's zone may have 23 hours, and a month any number of days
    until CONSTANT interval := make_interval(secs => extract(epoch FROM lease)::float8);
    users bigint[];
    seqs  bigint[];
BEGIN
    PERFORM economy_internal.require_text('worker', worker, 255);
    PERFORM economy_internal.require_positive('max', max);
    PERFORM economy_internal.require_given('lease', lease IS NOT NULL);
    IF until < interval '1 second' OR until > interval '24 hours' THEN
        RAISE EXCEPTION 'lease must be from 1 second to 24 hours' USING ERRCODE = 'XE002';
    END IF;
    PERFORM economy_internal.open_tables('fulfilments', 'shop_transactions', 'shop_refunds');
    -- a lease begins when the table was waited for, such as for an index that was built
    WITH clock AS MATERIALIZED (
        SELECT economy.now() AS at
    ), due AS MATERIALIZED (
        SELECT f.user_id, f.seq FROM economy.fulfilments f
        WHERE f.visible_at <= (SELECT c.at FROM clock c)
          AND (unfulfilled.product_id IS NULL OR f.product_id = unfulfilled.product_id)
        ORDER BY f.visible_at LIMIT unfulfilled.max FOR NO KEY UPDATE SKIP LOCKED
    ), taken AS (
        UPDATE economy.fulfilments f SET
               visible_at = (SELECT c.at FROM clock c) + until,
               attempts = least(f.attempts::bigint + 1, 2147483647),
               worker = unfulfilled.worker
        FROM due d WHERE f.user_id = d.user_id AND f.seq = d.seq
        RETURNING f.user_id, f.seq
    )
    SELECT array_agg(k.user_id), array_agg(k.seq) INTO users, seqs FROM taken k;
    -- refunds of what nobody can take back any more: those of before the locks, in a new snapshot
    RETURN QUERY
        SELECT f.user_id, n.name, f.product_id,
               (t.quantity - economy_internal.refunded_units(f.user_id, n.name))::integer,
               t.effect_code, t.context, t.items, f.due_at, f.attempts, f.visible_at
        FROM unnest(users, seqs) k (user_id, seq)
        JOIN economy.fulfilments f ON f.user_id = k.user_id AND f.seq = k.seq
        CROSS JOIN LATERAL (SELECT 'P' || f.user_id || '-' || f.seq) n (name)
        LEFT JOIN economy.shop_transactions t ON t.user_id = f.user_id AND t.seq = f.seq
        ORDER BY f.due_at, f.user_id, f.seq;
END
$$;
COMMENT ON FUNCTION economy.unfulfilled(text, integer, interval, text) IS
    'Hands a worker purchases that wait to be fulfilled, the longest first, for the time of the '
    'lease: nobody else gets them until it is over. Of one product, or all.';

CREATE FUNCTION economy.fulfil(
    user_id bigint, transaction_id text, worker text, note jsonb DEFAULT NULL
) RETURNS economy.fulfil_result
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    at     CONSTANT timestamptz := economy.now();
    number CONSTANT bigint := substring(
        transaction_id FROM '^P' || user_id || '-([1-9][0-9]{0,15})$')::bigint;
    f      economy.fulfilments;
    result economy.fulfil_result;
BEGIN
    PERFORM economy_internal.require_given('user_id', user_id IS NOT NULL);
    PERFORM economy_internal.require_given('transaction_id', transaction_id IS NOT NULL);
    PERFORM economy_internal.require_text('worker', worker, 255);
    IF jsonb_typeof(note) <> 'object' THEN
        RAISE EXCEPTION 'note must be a JSON object' USING ERRCODE = 'XE002';
    END IF;
    IF octet_length(note::text) > 4096 THEN
        RAISE EXCEPTION 'note is too long' USING ERRCODE = 'XE003',
            DETAIL = format('It has %s bytes as text; at most 4096 are allowed.',
                            octet_length(note::text));
    END IF;
    PERFORM economy_internal.open_tables('fulfilments');
    SELECT q.* INTO f FROM economy.fulfilments q
        WHERE q.user_id = fulfil.user_id AND q.seq = number FOR NO KEY UPDATE;
    result.success := false;
    result.state := 'refused';
    result.transaction_id := transaction_id;
    IF f.user_id IS NULL THEN
        result.code := 'NOTHING_TO_FULFIL';
        RETURN result;
    END IF;
    result.attempts := f.attempts;
    result.worker := f.worker;
    -- what nobody has had is not leased, whatever the clock was when it was bought
    IF num_nonnulls(f.fulfilled_at, f.refunded_at) = 0 AND f.visible_at > at
       AND f.worker <> fulfil.worker THEN
        result.code := 'LEASED';
        result.detail := jsonb_build_object('leased_until', to_char(
            f.visible_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"+00:00"'));
        RETURN result;
    END IF;
    result.success := true;
    result.code := 'OK';
    IF f.refunded_at IS NOT NULL THEN
        result.success := false;
        result.code := 'REFUNDED';
        result.detail := jsonb_build_object('refunded_at', to_char(
            f.refunded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"+00:00"'));
        RETURN result;
    END IF;
    IF f.fulfilled_at IS NOT NULL THEN
        result.state := 'reuse';
        result.fulfilled_at := f.fulfilled_at;
        RETURN result;
    END IF;
    WITH done AS (
        UPDATE economy.fulfilments q SET fulfilled_at = at, visible_at = 'infinity',
               worker = fulfil.worker, note = fulfil.note
            WHERE q.user_id = f.user_id AND q.seq = f.seq RETURNING q.fulfilled_at
    )
    -- of a row that damage has doubled, both
    SELECT CASE WHEN count(*) = 1 THEN max(d.fulfilled_at) END INTO result.fulfilled_at FROM done d;
    IF result.fulfilled_at IS DISTINCT FROM at THEN
        RAISE EXCEPTION 'a purchase would be fulfilled in another way than was asked for'
            USING ERRCODE = 'XE103',
            HINT = 'Look for a BEFORE trigger or a rule on economy.fulfilments that changes '
                   'values or suppresses rows.';
    END IF;
    result.state := 'new';
    result.worker := worker;
    RETURN result;
END
$$;
COMMENT ON FUNCTION economy.fulfil(bigint, text, text, jsonb) IS
    'Says that a purchase is fulfilled: new once, and reuse from then on. Refuses LEASED while '
    'another worker has it, REFUNDED, and NOTHING_TO_FULFIL.';

-- reservations: stock that is held for a user for a time, in a checkout

CREATE TABLE economy.shop_reservations (
    user_id         bigint      NOT NULL,
    idempotency_key text        NOT NULL COLLATE "C",
    product_id      text        NOT NULL COLLATE "C",
    quantity        integer     NOT NULL
        CONSTRAINT shop_reservations_quantity_check CHECK (quantity > 0),
    stock_slot      smallint    NOT NULL,
    after_seq       bigint      NOT NULL
        CONSTRAINT shop_reservations_after_seq_check CHECK (after_seq >= 0),
    state           text        NOT NULL COLLATE "C" CONSTRAINT shop_reservations_state_check
        CHECK (state IN ('held', 'used', 'ordered', 'released', 'expired')),
    made_at         timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    due_at          timestamptz NOT NULL,
    closed_at       timestamptz,
    seq             bigint,
    CONSTRAINT shop_reservations_pkey PRIMARY KEY (user_id, idempotency_key),
    CONSTRAINT shop_reservations_time_check CHECK (expires_at > made_at),
    CONSTRAINT shop_reservations_held_check
        CHECK (CASE state WHEN 'held' THEN closed_at IS NULL AND due_at = expires_at
                          ELSE closed_at IS NOT NULL END),
    CONSTRAINT shop_reservations_used_check
        CHECK ((state = 'used') = (seq IS NOT NULL) AND seq > after_seq IS NOT FALSE)
) WITH (fillfactor = 80);

CREATE INDEX shop_reservations_user ON economy.shop_reservations (user_id, state);

CREATE INDEX shop_reservations_product ON economy.shop_reservations (product_id, state, due_at);

CREATE INDEX shop_reservations_due ON economy.shop_reservations (due_at);
SELECT pg_catalog.pg_extension_config_dump('economy.shop_reservations', '');
COMMENT ON TABLE economy.shop_reservations IS
    'Units of limited products that were taken from the stock for a user: those that are held, '
    'and, for 30 days, what became of the others.';
COMMENT ON COLUMN economy.shop_reservations.idempotency_key IS
    'Names the reservation, of this user.';
COMMENT ON COLUMN economy.shop_reservations.stock_slot IS 'Slot the units were taken from.';
COMMENT ON COLUMN economy.shop_reservations.after_seq IS
    'Of the user''s newest entry when it was made.';
COMMENT ON COLUMN economy.shop_reservations.due_at IS
    'When the job has to do with it: gives it back, or, when it is closed, forgets it.';
COMMENT ON COLUMN economy.shop_reservations.seq IS 'Of the purchase that has used it.';

CREATE TYPE economy.reservation_result AS (
    success              boolean,
    state                text,
    code                 text,
    reservation          text,
    product_id           text,
    quantity             integer,
    status               text,
    expires_at           timestamptz,
    stock_remaining      bigint,
    user_limit_remaining bigint,
    detail               jsonb
);
COMMENT ON TYPE economy.reservation_result IS
    'Result of economy.reserve() and economy.release_reservation().';

CREATE FUNCTION economy.reserve(
    user_id bigint, product_id text, idempotency_key text, quantity integer DEFAULT 1,
    ttl interval DEFAULT '10 minutes', dry_run boolean DEFAULT false
) RETURNS economy.reservation_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_reserve';
COMMENT ON FUNCTION economy.reserve(bigint, text, text, integer, interval, boolean) IS
    'Takes units of a limited product from its stock for a user, for a time, once per (user, '
    'idempotency key), which names the reservation from then on: purchase() uses it with '
    'context.reservation. Refusals are returned as a row with a code.';

CREATE FUNCTION economy_internal.return_stock(
    product_id text, units bigint, slot smallint, wait boolean
) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    given    economy.shop_stock;
    as_given boolean;
BEGIN
    SELECT s.* INTO given FROM economy.shop_stock s
        WHERE s.product_id = return_stock.product_id
        ORDER BY s.slot <> return_stock.slot, s.slot LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT found AND wait THEN
        -- when none is free, one is enough to wait for
        SELECT s.* INTO given FROM economy.shop_stock s
            WHERE s.product_id = return_stock.product_id AND s.slot = 0 FOR NO KEY UPDATE;
    END IF;
    IF NOT found THEN
        RETURN false;
    END IF;
    UPDATE economy.shop_stock s SET remaining = given.remaining + units
        WHERE s.product_id = return_stock.product_id AND s.slot = given.slot
        RETURNING nullif(s.remaining = given.remaining + units, false) INTO as_given;
    RETURN as_given;
END
$$;
COMMENT ON FUNCTION economy_internal.return_stock(text, bigint, smallint, boolean) IS
    'Puts units that were reserved into a slot again, if it can be the one they came from. '
    'False: nobody waits, and none is free, or there is none. Null: something else was written.';

CREATE FUNCTION economy_internal.close_reservation(
    reservation economy.shop_reservations, state text, wait boolean
) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    at   CONSTANT timestamptz := economy.now();
    -- a day of a session's zone may have 23 hours
    keep CONSTANT interval := '720 hours';
    returned CONSTANT boolean := economy_internal.return_stock(
        reservation.product_id, reservation.quantity, reservation.stock_slot, wait);
    as_given boolean;
BEGIN
    IF NOT returned THEN
        RETURN false;
    END IF;
    UPDATE economy.shop_reservations r
        SET state = close_reservation.state, closed_at = at, due_at = at + keep
        WHERE r.user_id = reservation.user_id
          AND r.idempotency_key = reservation.idempotency_key
        RETURNING (r.state, r.closed_at, r.due_at)
            IS NOT DISTINCT FROM (close_reservation.state, at, at + keep) INTO as_given;
    IF (returned AND as_given) IS NOT TRUE THEN
        RAISE EXCEPTION 'a reservation would be given back in another way than was asked for'
            USING ERRCODE = 'XE103',
            HINT = 'Look for a BEFORE trigger or a rule on economy.shop_reservations or '
                   'economy.shop_stock that changes values or suppresses rows.';
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION economy_internal.close_reservation(
    economy.shop_reservations, text, boolean) IS
    'Gives a held reservation, whose row is locked, back to the stock.';

CREATE FUNCTION economy.release_reservation(user_id bigint, reservation text)
    RETURNS economy.reservation_result
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    r      economy.shop_reservations;
    result economy.reservation_result;
BEGIN
    PERFORM economy_internal.require_given('user_id', user_id IS NOT NULL);
    PERFORM economy_internal.require_given('reservation', reservation IS NOT NULL);
    PERFORM economy_internal.open_tables('shop_reservations', 'shop_stock');
    SELECT q.* INTO r FROM economy.shop_reservations q
        WHERE q.user_id = release_reservation.user_id AND q.idempotency_key = reservation
        FOR NO KEY UPDATE;
    result.success := false;
    result.state := 'refused';
    result.reservation := reservation;
    IF r.user_id IS NULL THEN
        result.code := 'RESERVATION_NOT_FOUND';
        RETURN result;
    END IF;
    result.product_id := r.product_id;
    result.quantity := r.quantity;
    result.status := r.state;
    result.expires_at := r.expires_at;
    IF r.state IN ('used', 'ordered') THEN
        result.code := 'RESERVATION_CLOSED';
        result.detail := jsonb_strip_nulls(jsonb_build_object(
            'status', r.state, 'transaction_id', 'P' || r.user_id || '-' || r.seq));
        RETURN result;
    END IF;
    result.success := true;
    result.code := 'OK';
    IF r.state <> 'held' THEN
        result.state := 'reuse';
        RETURN result;
    END IF;
    IF NOT economy_internal.close_reservation(r, 'released', true) THEN
        RAISE EXCEPTION 'product "%" has no slot 0', r.product_id USING ERRCODE = 'XE103',
            HINT = 'Rows of economy.shop_stock were removed by hand. '
                   'economy.audit_sweep() says what is missing.';
    END IF;
    result.state := 'new';
    result.status := 'released';
    RETURN result;
END
$$;
COMMENT ON FUNCTION economy.release_reservation(bigint, text) IS
    'Gives what a user has reserved back to the stock: new once, and reuse from then on, also '
    'when it has expired. Refuses RESERVATION_CLOSED after its purchase, and '
    'RESERVATION_NOT_FOUND.';

CREATE FUNCTION economy_internal.give_back_over(product_id text) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    -- in the order of the queue, whatever its statistics say
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    at     CONSTANT timestamptz := economy.now();
    r      economy.shop_reservations;
    closed bigint := -1;
BEGIN
    PERFORM economy_internal.open_tables('shop_reservations', 'shop_stock');
    FOR r IN SELECT q.* FROM economy.shop_reservations q
             WHERE q.product_id = give_back_over.product_id AND q.state = 'held'
               AND q.due_at <= at
             ORDER BY q.due_at LIMIT 16 FOR NO KEY UPDATE SKIP LOCKED
    LOOP
        closed := greatest(closed, 0)
                  + economy_internal.close_reservation(r, 'expired', true)::integer;
    END LOOP;
    RETURN closed;
END
$$;
COMMENT ON FUNCTION economy_internal.give_back_over(text) IS
    'Gives back reservations of a product whose time is over, 16 at most that nobody has, for '
    'a buyer who would find too little; returns their number, -1 when others have all of them.';

CREATE FUNCTION economy_internal.expire_reservations(max integer, place jsonb)
    RETURNS TABLE (reservations bigint, next jsonb)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET TimeZone = 'UTC' SET DateStyle = 'ISO, MDY'
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    at   CONSTANT timestamptz := economy.now();
    -- what could not be given back is passed over, and met again by the next run
    from_due CONSTANT timestamptz := coalesce((place ->> 'due_at')::timestamptz, '-infinity');
    r    economy.shop_reservations;
    seen bigint := 0;
BEGIN
    PERFORM economy_internal.open_tables('shop_reservations', 'shop_stock');
    reservations := 0;
    FOR r IN SELECT q.* FROM economy.shop_reservations q
             WHERE q.due_at > from_due AND q.due_at <= at
             ORDER BY q.due_at LIMIT max FOR UPDATE SKIP LOCKED
    LOOP
        seen := seen + 1;
        next := jsonb_build_object('due_at', r.due_at);
        -- an error of one, such as of a trigger on its row, stops no other
        BEGIN
            IF r.state <> 'held' THEN
                DELETE FROM economy.shop_reservations d
                    WHERE d.user_id = r.user_id AND d.idempotency_key = r.idempotency_key;
            ELSIF economy_internal.close_reservation(r, 'expired', false) THEN
                reservations := reservations + 1;
            END IF;
        EXCEPTION WHEN serialization_failure THEN
            RAISE;
        WHEN OTHERS THEN
            RAISE WARNING 'reservation % of user % could not be given back',
                to_json(r.idempotency_key), r.user_id
                USING DETAIL = format('%s: %s', SQLSTATE, SQLERRM);
        END;
    END LOOP;
    IF seen < max THEN
        next := NULL;
    END IF;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION economy_internal.expire_reservations(integer, jsonb) IS
    'A batch of the job: gives back reservations whose time is over, and forgets those that '
    'were closed 30 days ago; nobody is waited for.';

CREATE TABLE economy.shop_refunds (
    user_id           bigint      NOT NULL,
    seq               bigint      NOT NULL,
    gold_delta        bigint      NOT NULL,
    xp_delta          bigint      NOT NULL,
    gold              bigint      NOT NULL,
    experience_points bigint      NOT NULL,
    created_at        timestamptz NOT NULL,
    xact              bigint      NOT NULL,
    position          bigint      NOT NULL,
    key_digest        bigint      NOT NULL,
    reverses          bigint      NOT NULL,
    monetary          bigint      NOT NULL
        CONSTRAINT shop_refunds_monetary_check CHECK (monetary >= 0),
    debt_gold         bigint      NOT NULL
        CONSTRAINT shop_refunds_debt_gold_check CHECK (debt_gold >= 0),
    quantity          integer     NOT NULL
        CONSTRAINT shop_refunds_quantity_check CHECK (quantity > 0),
    restocked         integer     NOT NULL
        CONSTRAINT shop_refunds_restocked_check CHECK (restocked IN (0, quantity)),
    asked             integer     CONSTRAINT shop_refunds_asked_check CHECK (asked = quantity),
    live              boolean     NOT NULL,
    hash              bytea       NOT NULL,
    purchase          text        NOT NULL COLLATE "C",
    idempotency_key   text        NOT NULL COLLATE "C",
    product_id        text        NOT NULL COLLATE "C",
    policy            text        NOT NULL COLLATE "C" CONSTRAINT shop_refunds_policy_check
        CHECK (policy IN ('refuse', 'take_available')),
    actor             text        NOT NULL COLLATE "C",
    reason            text        NOT NULL COLLATE "C",
    detail            jsonb,
    items             jsonb,
    CONSTRAINT shop_refunds_pkey PRIMARY KEY (user_id, seq),
    CONSTRAINT shop_refunds_purchase_check
        CHECK (reverses BETWEEN 1 AND seq - 1 AND purchase = 'P' || user_id || '-' || reverses),
    CONSTRAINT shop_refunds_debt_check CHECK (debt_gold = 0 OR policy = 'take_available')
);

CREATE INDEX shop_refunds_key ON economy.shop_refunds (user_id, key_digest)
    WITH (deduplicate_items = off);

-- spread as the others are, whatever the setting is now
DO $$
DECLARE
    asked CONSTANT text := current_setting('economy.journal_partitions');
BEGIN
    PERFORM set_config('economy.journal_partitions', (
        SELECT count(*) FROM pg_inherits i
        WHERE i.inhparent = 'economy.shop_transactions'::regclass
          AND economy_internal.is_spread('economy.shop_transactions'))::text, true);
    PERFORM economy_internal.make_journal('economy.shop_refunds');
    PERFORM set_config('economy.journal_partitions', asked, true);
END
$$;
COMMENT ON TABLE economy.shop_refunds IS 'Journal of refunds of purchases. Append-only.';
COMMENT ON COLUMN economy.shop_refunds.key_digest IS
    'Digest of purchase and idempotency_key, by which the index finds them.';
COMMENT ON COLUMN economy.shop_refunds.reverses IS 'seq of the purchase.';
COMMENT ON COLUMN economy.shop_refunds.monetary IS
    'What the units are of the value of the purchase, in minor units of money.';
COMMENT ON COLUMN economy.shop_refunds.debt_gold IS
    'Gold that was to be taken, and was not there.';
COMMENT ON COLUMN economy.shop_refunds.quantity IS 'Units that were taken back.';
COMMENT ON COLUMN economy.shop_refunds.restocked IS 'Of them those that went back to the stock.';
COMMENT ON COLUMN economy.shop_refunds.asked IS
    'The quantity that was asked for; null: all that were left.';
COMMENT ON COLUMN economy.shop_refunds.purchase IS 'transaction_id of the purchase.';
COMMENT ON COLUMN economy.shop_refunds.detail IS
    'What was not there: debt_gold, debt_xp, already_used; and fulfilment, what was '
    'to be done for it.';
COMMENT ON COLUMN economy.shop_refunds.items IS
    'Items that were taken and given back, as in holding_changes; null: none.';

CREATE TABLE economy.shop_debts (
    user_id bigint NOT NULL,
    seq     bigint NOT NULL,
    gold    bigint NOT NULL CONSTRAINT shop_debts_gold_check CHECK (gold > 0),
    CONSTRAINT shop_debts_pkey PRIMARY KEY (user_id, seq)
);
SELECT pg_catalog.pg_extension_config_dump('economy.shop_debts', '');
COMMENT ON TABLE economy.shop_debts IS
    'Gold that refunds could not take and that is still owed: seq is that of the refund.';

CREATE TYPE economy.refund_result AS (
    success        boolean,
    state          text,
    code           text,
    transaction_id text,
    quantity       integer,
    quantity_left  integer,
    gold_delta     bigint,
    gold           bigint,
    retry_after_ms integer,
    detail         jsonb,
    items          jsonb
);
COMMENT ON TYPE economy.refund_result IS 'Result of economy.refund_purchase().';

CREATE FUNCTION economy.refund_purchase(
    user_id bigint, transaction_id text, idempotency_key text, quantity integer DEFAULT NULL,
    reason text DEFAULT NULL, actor text DEFAULT NULL, policy text DEFAULT 'refuse',
    restock boolean DEFAULT true
) RETURNS economy.refund_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_refund_purchase';
COMMENT ON FUNCTION economy.refund_purchase(
    bigint, text, text, integer, text, text, text, boolean) IS
    'Moves back what units of a purchase moved, all that are left or so many, once per (user, '
    'purchase, idempotency_key): an entry of its own. policy: refuse, or take_available, when the '
    'user has spent what is to be taken. Refusals are returned as a row with a code.';

CREATE FUNCTION economy_internal.refunded_units(user_id bigint, purchase text) RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT coalesce(sum(r.quantity), 0)
        FROM economy.shop_refunds r,
             LATERAL economy_internal.key_digest(refunded_units.purchase, '') d (one)
        -- the upper half of a digest is that of the purchase
        WHERE r.user_id = refunded_units.user_id
          AND r.key_digest BETWEEN d.one & -4294967296 AND d.one | 4294967295
          AND r.purchase = refunded_units.purchase;
    END;
COMMENT ON FUNCTION economy_internal.refunded_units(bigint, text) IS
    'Units of a purchase that were taken back.';

CREATE FUNCTION economy_internal.refund_fulfilment(user_id bigint, seq bigint, is_whole boolean)
    RETURNS text
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    at       CONSTANT timestamptz := economy.now();
    f        economy.fulfilments;
    as_given boolean;
BEGIN
    SELECT q.* INTO f FROM economy.fulfilments q
        WHERE q.user_id = refund_fulfilment.user_id AND q.seq = refund_fulfilment.seq
        FOR NO KEY UPDATE;
    IF f.fulfilled_at IS NOT NULL THEN
        RETURN 'fulfilled';
    ELSIF f.user_id IS NULL OR f.refunded_at IS NOT NULL THEN
        RETURN NULL;
    ELSIF f.worker IS NOT NULL AND f.visible_at > at THEN
        RETURN 'leased';
    END IF;
    -- also of a part: who hands it out by what was read before is to be told
    WITH done AS (
        UPDATE economy.fulfilments q SET refunded_at = CASE WHEN is_whole THEN at END,
               visible_at = CASE WHEN is_whole THEN 'infinity' ELSE q.visible_at END
            WHERE q.user_id = f.user_id AND q.seq = f.seq
            RETURNING q.refunded_at IS NOT DISTINCT FROM CASE WHEN is_whole THEN at END AS is_so
    )
    -- of a row that damage has doubled, both
    SELECT bool_and(d.is_so) AND count(*) = 1 INTO as_given FROM done d;
    IF as_given IS NOT TRUE THEN
        RAISE EXCEPTION 'a purchase would wait for a worker after it was refunded'
            USING ERRCODE = 'XE103',
            HINT = 'Look for a BEFORE trigger or a rule on economy.fulfilments that changes '
                   'values or suppresses rows.';
    END IF;
    RETURN CASE WHEN is_whole THEN 'cancelled' ELSE 'reduced' END;
END
$$;
COMMENT ON FUNCTION economy_internal.refund_fulfilment(bigint, bigint, boolean) IS
    'Part of refund_purchase(): what becomes of what a worker was to do: fulfilled, leased, '
    'reduced, cancelled; null: there was nothing to do.';

CREATE FUNCTION economy_internal.restock(product_id text, units bigint, slot smallint)
    RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    returned CONSTANT boolean := economy_internal.return_stock(product_id, units, slot, true);
BEGIN
    IF returned IS NULL THEN
        RAISE EXCEPTION 'units would go back to the stock in another way than was asked for'
            USING ERRCODE = 'XE103',
            HINT = 'Look for a BEFORE trigger or a rule on economy.shop_stock that changes values '
                   'or suppresses rows.';
    END IF;
    RETURN returned;
END
$$;
COMMENT ON FUNCTION economy_internal.restock(text, bigint, smallint) IS
    'Part of refund_purchase(): puts units into the stock again; false: there is none.';
-- promo codes: gold off the price of an item, or beside what a conversion grants

CREATE TABLE economy.promo_codes (
    code         text    NOT NULL COLLATE "C" CONSTRAINT promo_codes_pkey PRIMARY KEY
        CONSTRAINT promo_codes_code_check CHECK (code ~ '^[A-Z0-9_-]{3,40}$'),
    kind         text    NOT NULL COLLATE "C"
        CONSTRAINT promo_codes_kind_check CHECK (kind IN ('percent', 'amount', 'bonus')),
    value        bigint  NOT NULL
        CONSTRAINT promo_codes_value_check CHECK (value BETWEEN 1 AND 9007199254740991),
    products     jsonb CONSTRAINT promo_codes_products_check
        CHECK (CASE jsonb_typeof(products)
                   WHEN 'array' THEN jsonb_array_length(products) BETWEEN 1 AND 64
                       AND NOT jsonb_path_exists(products,
                                                 'strict $[*] ? (@.type() != "string")')
                   ELSE products IS NULL END),
    max_quantity integer NOT NULL DEFAULT 1
        CONSTRAINT promo_codes_max_quantity_check CHECK (max_quantity BETWEEN 1 AND 1000000),
    max_per_user integer DEFAULT 1
        CONSTRAINT promo_codes_max_per_user_check CHECK (max_per_user >= 1),
    max_uses     bigint CONSTRAINT promo_codes_max_uses_check
        CHECK (max_uses BETWEEN 1 AND 9007199254740991),
    budget_gold  bigint CONSTRAINT promo_codes_budget_gold_check
        CHECK (budget_gold BETWEEN 1 AND 9007199254740991),
    new_users    boolean NOT NULL DEFAULT false,
    starts_at    timestamptz,
    ends_at      timestamptz,
    active       boolean NOT NULL DEFAULT true,
    CONSTRAINT promo_codes_percent_check CHECK (kind <> 'percent' OR value <= 100),
    CONSTRAINT promo_codes_period_check CHECK (starts_at < ends_at)
);
SELECT pg_catalog.pg_extension_config_dump('economy.promo_codes', '');
COMMENT ON TABLE economy.promo_codes IS
    'Promo codes, which purchase() takes as context.promo. Changed by upsert_promo_code() and '
    'retire_promo_code() only.';
COMMENT ON CONSTRAINT promo_codes_code_check ON economy.promo_codes IS
    'code must have 3 to 40 letters of A to Z, digits, - and _';
COMMENT ON CONSTRAINT promo_codes_kind_check ON economy.promo_codes IS
    'kind must be percent, amount or bonus';
COMMENT ON CONSTRAINT promo_codes_value_check ON economy.promo_codes IS
    'value must be from 1 to 2^53-1';
COMMENT ON CONSTRAINT promo_codes_products_check ON economy.promo_codes IS
    'products must be an array of 1 to 64 product ids, or null';
COMMENT ON CONSTRAINT promo_codes_max_quantity_check ON economy.promo_codes IS
    'max_quantity must be from 1 to 1000000';
COMMENT ON CONSTRAINT promo_codes_max_per_user_check ON economy.promo_codes IS
    'max_per_user must be 1 or more, or null';
COMMENT ON CONSTRAINT promo_codes_max_uses_check ON economy.promo_codes IS
    'max_uses must be from 1 to 2^53-1, or null';
COMMENT ON CONSTRAINT promo_codes_budget_gold_check ON economy.promo_codes IS
    'budget_gold must be from 1 to 2^53-1, or null';
COMMENT ON CONSTRAINT promo_codes_percent_check ON economy.promo_codes IS
    'value of a percent must be at most 100';
COMMENT ON CONSTRAINT promo_codes_period_check ON economy.promo_codes IS
    'starts_at must be before ends_at';
COMMENT ON COLUMN economy.promo_codes.code IS
    'In capital letters. A user may type small ones: a to z are read as A to Z, nothing else is '
    'changed.';
COMMENT ON COLUMN economy.promo_codes.kind IS
    'percent and amount: gold off the price of an item; bonus: gold beside what a conversion '
    'grants.';
COMMENT ON COLUMN economy.promo_codes.value IS
    'percent: of the price of all units, rounded down; amount, bonus: gold, of a purchase.';
COMMENT ON COLUMN economy.promo_codes.products IS
    'For which products it is; null: for all items, or all conversions, as its kind is.';
COMMENT ON COLUMN economy.promo_codes.max_quantity IS 'Units that a purchase with it may have.';
COMMENT ON COLUMN economy.promo_codes.max_per_user IS
    'Purchases of one user with it; null: no limit.';
COMMENT ON COLUMN economy.promo_codes.max_uses IS
    'Purchases of all users with it; null: no limit.';
COMMENT ON COLUMN economy.promo_codes.budget_gold IS
    'Gold that it gives to all users together; null: no limit.';
COMMENT ON COLUMN economy.promo_codes.new_users IS
    'Only for users who have no purchase, or only such that were taken back as a whole.';

-- as economy.shop_stock, and taken by the same code
CREATE TABLE economy.promo_stock (
    name      text     NOT NULL COLLATE "C",
    slot      smallint NOT NULL,
    remaining bigint   NOT NULL CONSTRAINT promo_stock_remaining_check CHECK (remaining >= 0),
    CONSTRAINT promo_stock_pkey PRIMARY KEY (name, slot)
) WITH (fillfactor = 50);
SELECT pg_catalog.pg_extension_config_dump('economy.promo_stock', '');
COMMENT ON TABLE economy.promo_stock IS
    'What is left of the uses and of the gold of promo codes that have a maximum of them, spread '
    'over slots so that buyers do not queue on one row.';
COMMENT ON COLUMN economy.promo_stock.name IS 'SUMMER: uses of the code; SUMMER/gold: its gold.';

CREATE TABLE economy.promo_uses (
    user_id bigint NOT NULL,
    code    text   NOT NULL COLLATE "C",
    seq     bigint NOT NULL,
    gold    bigint NOT NULL CONSTRAINT promo_uses_gold_check CHECK (gold > 0),
    CONSTRAINT promo_uses_pkey PRIMARY KEY (user_id, code, seq)
);
SELECT pg_catalog.pg_extension_config_dump('economy.promo_uses', '');
COMMENT ON TABLE economy.promo_uses IS
    'Which purchases have used a promo code, and what it gave: those of which anything is left.';
COMMENT ON COLUMN economy.promo_uses.seq IS 'Of the purchase.';
COMMENT ON COLUMN economy.promo_uses.gold IS 'Off the price, or beside what was granted.';

-- Whoever adds to them waits for a slot only when all are held, and holds none meanwhile.
CREATE FUNCTION economy_internal.add_to_promo(name text, units bigint, slots integer) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET enable_seqscan = off AS $$
DECLARE
    free     smallint[];
    have     bigint;
    as_given boolean;
BEGIN
    SELECT array_agg(t.slot ORDER BY t.slot), sum(t.remaining) INTO free, have
        FROM (SELECT s.slot, s.remaining FROM economy.promo_stock s
              WHERE s.name = add_to_promo.name ORDER BY s.slot LIMIT slots
              FOR NO KEY UPDATE SKIP LOCKED) t;
    IF free IS NULL THEN
        SELECT array_agg(t.slot), sum(t.remaining) INTO free, have
            FROM (SELECT s.slot, s.remaining FROM economy.promo_stock s
                  WHERE s.name = add_to_promo.name AND s.slot = 0 FOR NO KEY UPDATE) t;
    END IF;
    WITH done AS (
        UPDATE economy.promo_stock s SET
                remaining = (have + units) / cardinality(free)
                    + (f.place <= (have + units) % cardinality(free))::integer
            FROM unnest(free) WITH ORDINALITY f (slot, place)
            WHERE s.name = add_to_promo.name AND s.slot = f.slot
            RETURNING s.remaining)
    SELECT count(*) = cardinality(free) AND sum(d.remaining) = have + units INTO as_given
        FROM done d;
    IF as_given IS NOT TRUE THEN
        RAISE EXCEPTION 'what is left of promo code "%" would be another than was asked for', name
            USING ERRCODE = 'XE103',
            HINT = 'Look for rows of economy.promo_stock that were removed by hand, as '
                   'economy.audit_sweep() says, and for a BEFORE trigger or a rule on it.';
    END IF;
END
$$;
COMMENT ON FUNCTION economy_internal.add_to_promo(text, bigint, integer) IS
    'Adds to what is left of the uses or the gold of a promo code, in so many slots at most.';

CREATE FUNCTION economy_internal.give_promo_back(user_id bigint, seq bigint, use jsonb)
    RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET enable_seqscan = off AS $$
DECLARE
    used  economy.promo_uses;
    names text[];
BEGIN
    SELECT u.* INTO used FROM economy.promo_uses u
        WHERE u.user_id = give_promo_back.user_id AND u.code = use ->> 'code'
          AND u.seq = give_promo_back.seq FOR UPDATE;
    -- what is not noted was not counted, as the audit says
    IF NOT found THEN
        RETURN false;
    END IF;
    DELETE FROM economy.promo_uses u
        WHERE u.user_id = used.user_id AND u.code = used.code AND u.seq = used.seq;
    PERFORM economy_internal.require_kept('promo_uses', found);
    names := ARRAY(SELECT DISTINCT s.name FROM economy.promo_stock s
                   WHERE s.name IN (used.code, used.code || '/gold'));
    IF used.code = ANY (names) THEN
        PERFORM economy_internal.add_to_promo(used.code, 1, 1);
    END IF;
    IF used.code || '/gold' = ANY (names) THEN
        PERFORM economy_internal.add_to_promo(used.code || '/gold', used.gold, 1);
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION economy_internal.give_promo_back(bigint, bigint, jsonb) IS
    'Part of refund_purchase(): gives back the use of a promo code, and its gold, of a purchase of '
    'which nothing is left. False: it is not noted.';

CREATE FUNCTION economy_internal.check_promo(promo jsonb, old_row economy.promo_codes)
    RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH says AS (
            SELECT 1 AS place, format('%s is no such column', to_json(k)) AS says
            FROM jsonb_object_keys(promo) k
            WHERE k NOT IN ('code', 'kind', 'value', 'products', 'max_quantity', 'max_per_user',
                            'max_uses', 'budget_gold', 'new_users', 'starts_at', 'ends_at',
                            'active')
            UNION ALL
            -- the session's settings must not decide what moment is meant
            SELECT 2, format('%s must be a text in ISO 8601 with time zone, '
                             'such as 2026-01-31T12:00:00Z', k)
            FROM unnest(ARRAY['starts_at', 'ends_at']) k
            WHERE jsonb_typeof(promo -> k) <> 'null' AND NOT coalesce(
                jsonb_typeof(promo -> k) = 'string'
                AND promo ->> k ~ ('^[0-9]{4,6}-[0-9]{2}-[0-9]{2}[T ]'
                    '[0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?'
                    '(Z|[+-][0-9]{2}(:?[0-9]{2}(:[0-9]{2})?)?)$'), false)
            UNION ALL
            -- a price that a user was shown is the price that he pays, and an entry can be
            -- compared with what its code gives
            SELECT 3, format('%s is fixed when a code is made: make another one', k)
            FROM unnest(ARRAY['kind', 'value', 'products', 'max_quantity', 'new_users']) k
            WHERE old_row.code IS NOT NULL AND promo ? k
              AND coalesce(to_jsonb(old_row) -> k, 'null') <> promo -> k
            UNION ALL
            SELECT 4, format('%s can only be raised, from %s', k,
                             coalesce(to_jsonb(old_row) ->> k, 'no limit'))
            FROM unnest(ARRAY['max_uses', 'budget_gold']) k
            WHERE old_row.code IS NOT NULL AND promo ? k
              AND CASE jsonb_typeof(promo -> k) || jsonb_typeof(to_jsonb(old_row) -> k)
                      WHEN 'numbernumber'
                      THEN (promo ->> k)::numeric < (to_jsonb(old_row) ->> k)::numeric
                      ELSE promo -> k IS DISTINCT FROM to_jsonb(old_row) -> k END
            UNION ALL
            SELECT 5, format('product %s does not exist', p.id)
            FROM jsonb_array_elements(CASE jsonb_typeof(promo -> 'products')
                                          WHEN 'array' THEN promo -> 'products'
                                          ELSE '[]' END) p (id)
            WHERE jsonb_typeof(p.id) = 'string' AND old_row.code IS NULL
              AND NOT EXISTS (SELECT FROM economy.shop_products s
                              WHERE s.product_id = p.id #>> '{}')
        )
        SELECT s.says FROM says s ORDER BY s.place, s.says COLLATE "C" LIMIT 1;
    END;
COMMENT ON FUNCTION economy_internal.check_promo(jsonb, economy.promo_codes) IS
    'What is wrong with a promo code given to upsert_promo_code(), beyond what the constraints of '
    'promo_codes say; null when nothing is.';

CREATE FUNCTION economy_internal.write_promo(
    new_row economy.promo_codes, old_row economy.promo_codes
) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    given  economy.promo_codes;
    sum_of record;
    kept   boolean;
BEGIN
    IF old_row.code IS NULL THEN
        INSERT INTO economy.promo_codes SELECT (new_row).* RETURNING * INTO given;
    ELSE
        UPDATE economy.promo_codes p SET
            max_per_user = new_row.max_per_user, max_uses = new_row.max_uses,
            budget_gold = new_row.budget_gold, starts_at = new_row.starts_at,
            ends_at = new_row.ends_at, active = new_row.active
            WHERE p.code = new_row.code RETURNING * INTO given;
    END IF;
    PERFORM economy_internal.require_kept('promo_codes', given IS NOT DISTINCT FROM new_row);
    FOR sum_of IN
        SELECT v.* FROM (VALUES
            (new_row.code, new_row.max_uses, old_row.max_uses),
            (new_row.code || '/gold', new_row.budget_gold, old_row.budget_gold)) v (name, most, was)
        WHERE v.most IS NOT NULL AND v.most IS DISTINCT FROM v.was
    LOOP
        IF sum_of.was IS NULL THEN
            -- nor is what damage has left of a code by that name counted on
            WITH slots AS (
                INSERT INTO economy.promo_stock AS s
                    SELECT sum_of.name, n, 0 FROM generate_series(0, 31) n
                    ON CONFLICT ON CONSTRAINT promo_stock_pkey DO NOTHING
                    RETURNING s.name = sum_of.name AND s.remaining = 0 AS is_so
            )
            SELECT bool_and(s.is_so) AND count(*) = 32 INTO kept FROM slots s;
            PERFORM economy_internal.require_kept('promo_stock', kept);
        END IF;
        PERFORM economy_internal.add_to_promo(
            sum_of.name, sum_of.most - coalesce(sum_of.was, 0), 32);
    END LOOP;
END
$$;
COMMENT ON FUNCTION economy_internal.write_promo(economy.promo_codes, economy.promo_codes) IS
    'Part of upsert_promo_code(): a code, and what there is more of its uses and its gold.';

CREATE FUNCTION economy.upsert_promo_code(promo jsonb, actor text) RETURNS economy.promo_codes
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    SET TimeZone = 'UTC' SET DateStyle = 'ISO, MDY' AS $$
DECLARE
    id        CONSTANT text := upper(promo ->> 'code' COLLATE "C");
    old_row   economy.promo_codes;
    new_row   economy.promo_codes;
    wrong     text;
    failed    text;
    at_column text;
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.require_given('promo', promo IS NOT NULL);
    IF jsonb_typeof(promo) <> 'object' OR id IS NULL THEN
        RAISE EXCEPTION 'promo must be a JSON object with a code' USING ERRCODE = 'XE304';
    END IF;
    PERFORM economy_internal.open_tables('promo_codes', 'promo_stock', 'shop_products');
    -- one change of a code at a time, also of one that does not exist yet
    PERFORM economy_internal.lock_name('economy.promo:' || id);
    SELECT * INTO old_row FROM economy.promo_codes p WHERE p.code = id FOR NO KEY UPDATE;
    wrong := economy_internal.check_promo(promo, old_row);
    IF wrong IS NULL THEN
        BEGIN
            new_row := jsonb_populate_record(
                CASE WHEN old_row.code IS NULL THEN jsonb_populate_record(
                    NULL::economy.promo_codes,
                    '{"max_quantity": 1, "max_per_user": 1, "new_users": false, "active": true}')
                ELSE old_row END, promo || jsonb_build_object('code', id));
            PERFORM economy_internal.write_promo(new_row, old_row);
        EXCEPTION WHEN data_exception OR check_violation OR not_null_violation THEN
            GET STACKED DIAGNOSTICS
                wrong = MESSAGE_TEXT, failed = CONSTRAINT_NAME, at_column = COLUMN_NAME;
            wrong := economy_internal.violation('promo_codes', promo, wrong, failed, at_column);
        END;
    END IF;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'promo code "%" is not valid', left(id, 64)
            USING ERRCODE = 'XE304', DETAIL = wrong || '.',
            HINT = 'The keys are the column names of economy.promo_codes.';
    END IF;
    PERFORM economy.note_change('promo_codes', id,
        CASE WHEN old_row.code IS NULL THEN 'create' ELSE 'change' END, actor);
    RETURN new_row;
END
$$;
COMMENT ON FUNCTION economy.upsert_promo_code(jsonb, text) IS
    'Makes a promo code, or changes the given columns of one: not what it gives, and to fewer. '
    'Keys are the column names of promo_codes. Recorded with actor, before and after. XE304 for '
    'one that is not valid.';

CREATE FUNCTION economy.retire_promo_code(code text, actor text) RETURNS economy.promo_codes
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.require_given('code', code IS NOT NULL);
    PERFORM economy_internal.open_tables('promo_codes');
    IF NOT EXISTS (SELECT FROM economy.promo_codes p
                   WHERE p.code = upper(retire_promo_code.code COLLATE "C")) THEN
        RAISE EXCEPTION 'promo code "%" does not exist', left(code, 64) USING ERRCODE = 'XE305';
    END IF;
    RETURN economy.upsert_promo_code(
        jsonb_build_object('code', code, 'active', false), actor);
END
$$;
COMMENT ON FUNCTION economy.retire_promo_code(text, text) IS
    'Ends a promo code: purchase() refuses it from then on. What was bought with it stays. XE305 '
    'for an unknown code.';

CREATE FUNCTION economy.promo_preview(
    user_id bigint, product_id text, code text, quantity integer DEFAULT 1
) RETURNS economy.purchase_result
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    IF code IS NULL THEN
        RAISE EXCEPTION 'code must not be null' USING ERRCODE = 'XE001';
    END IF;
    -- with a key that nobody has used
    RETURN economy.purchase(user_id, product_id, gen_random_uuid()::text, quantity,
                            jsonb_build_object('promo', code), true);
END
$$;
COMMENT ON FUNCTION economy.promo_preview(bigint, text, text, integer) IS
    'What purchase() with this promo code would answer now: gold_delta, or why not. Nothing is '
    'used.';
COMMENT ON COLUMN economy.level_experiments.share IS
    'Share of users in hundredths of a percent; who falls into no arm has the curve of '
    'set_default_level_curve(), a row whose experiment is *, or the linear one.';

CREATE OR REPLACE VIEW economy.level_changes AS
    SELECT c.change_id,
           CASE WHEN c.relation = 'level_curves' THEN 'curve' WHEN c.key = '*' THEN 'default'
                ELSE 'experiment' END AS kind,
           c.key AS name, c.actor, c.before, c.after, c.changed_at
    FROM economy.config_changes c WHERE c.relation IN ('level_curves', 'level_experiments');
COMMENT ON VIEW economy.level_changes IS
    'Every change of a level curve, an experiment with curves or the default, with actor, '
    'before and after: those of config_changes.';

CREATE OR REPLACE FUNCTION economy.set_level_experiment(
    experiment text, arms jsonb, enabled boolean DEFAULT false, actor text DEFAULT session_user
) RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    arm_form CONSTANT text := 'An arm is {"arm": "steep", "curve": "steep_v1", "share": 2500}, '
                              'shares in hundredths of a percent.';
    a         record;
    n         integer := 0;
    message   text;
    failed    text;
    at_column text;
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.require_given('experiment', experiment IS NOT NULL);
    PERFORM economy_internal.require_given('arms', arms IS NOT NULL);
    PERFORM economy_internal.require_given('enabled', enabled IS NOT NULL);
    IF octet_length(experiment) NOT BETWEEN 1 AND 64 OR jsonb_typeof(arms) <> 'array' THEN
        RAISE EXCEPTION 'an experiment needs a name of 1 to 64 bytes and an array of arms'
            USING ERRCODE = 'XE002', HINT = arm_form;
    END IF;
    IF experiment = '*' THEN
        RAISE EXCEPTION 'no experiment is named *' USING ERRCODE = 'XE002',
            HINT = 'economy.set_default_level_curve() says what everybody else has.';
    END IF;
    PERFORM economy_internal.open_tables('level_curves', 'level_experiments');
    LOCK TABLE economy.level_experiments IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM economy.level_experiments e WHERE e.experiment = set_level_experiment.experiment;
    BEGIN
        FOR a IN
            SELECT * FROM jsonb_to_recordset(arms) AS r (arm text, curve text, share integer)
        LOOP
            IF a.curve <> 'linear'
               AND NOT EXISTS (SELECT FROM economy.level_curves c WHERE c.curve = a.curve) THEN
                RAISE EXCEPTION 'level curve "%" does not exist', a.curve USING ERRCODE = 'XE402',
                    HINT = 'economy.set_level_curve() makes one; "linear" is always there.';
            END IF;
            INSERT INTO economy.level_experiments
                VALUES (experiment, a.arm, a.curve, a.share, enabled);
            n := n + 1;
        END LOOP;
    EXCEPTION WHEN data_exception OR check_violation OR not_null_violation OR unique_violation THEN
        GET STACKED DIAGNOSTICS
            message = MESSAGE_TEXT, failed = CONSTRAINT_NAME, at_column = COLUMN_NAME;
        RAISE EXCEPTION 'the arms of experiment "%" are not valid', experiment
            USING ERRCODE = 'XE002', HINT = arm_form,
            DETAIL = economy_internal.violation(
                'level_experiments', arms, message, failed, at_column) || '.';
    END;
    IF (SELECT sum(e.share) FROM economy.level_experiments e
        WHERE e.experiment = set_level_experiment.experiment) > 10000 THEN
        RAISE EXCEPTION 'the shares of experiment "%" exceed 10000', experiment
            USING ERRCODE = 'XE002';
    END IF;
    PERFORM economy.note_change('level_experiments', experiment, 'set', actor);
    RETURN n;
END
$$;

CREATE FUNCTION economy.set_default_level_curve(curve text, actor text DEFAULT session_user)
    RETURNS text
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    was text;
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.require_given('curve', curve IS NOT NULL);
    PERFORM economy_internal.open_tables('level_curves', 'level_experiments');
    LOCK TABLE economy.level_experiments IN SHARE ROW EXCLUSIVE MODE;
    IF curve <> 'linear' AND NOT EXISTS (
        SELECT FROM economy.level_curves c WHERE c.curve = set_default_level_curve.curve) THEN
        RAISE EXCEPTION 'level curve "%" does not exist', left(curve, 64) USING ERRCODE = 'XE402',
            HINT = 'economy.set_level_curve() makes one; "linear" is always there.';
    END IF;
    DELETE FROM economy.level_experiments e WHERE e.experiment = '*' RETURNING e.curve INTO was;
    IF curve <> 'linear' THEN
        -- of two at once above READ COMMITTED, neither of which sees the other: 40001
        INSERT INTO economy.level_experiments VALUES ('*', 'all', curve, 10000, true)
            ON CONFLICT ON CONSTRAINT level_experiments_pkey DO NOTHING;
    END IF;
    IF was IS NOT NULL OR curve <> 'linear' THEN
        PERFORM economy.note_change('level_experiments', '*', 'set', actor);
    END IF;
    RETURN coalesce(was, 'linear');
END
$$;
COMMENT ON FUNCTION economy.set_default_level_curve(text, text) IS
    'Gives everybody this level curve, or linear again, but those whom an experiment gives '
    'another. Recorded in level_changes with the actor. Returns the one before. XE402 for an '
    'unknown curve.';
ALTER TABLE economy.reward_audit
    ADD COLUMN items jsonb;
COMMENT ON COLUMN economy.reward_audit.items IS
    'Items that it gave, or a reversal took back, as in holding_changes; null: none.';

ALTER TYPE economy.grant_result
    ADD ATTRIBUTE items jsonb;

DROP FUNCTION economy.grant_reward(bigint, text, text, bigint, bigint, jsonb);

CREATE FUNCTION economy.grant_reward(
    user_id bigint, source text, external_event_id text, gold bigint DEFAULT 0, xp bigint DEFAULT 0,
    details jsonb DEFAULT NULL, items jsonb DEFAULT NULL
) RETURNS economy.grant_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_grant_reward';
COMMENT ON FUNCTION economy.grant_reward(bigint, text, text, bigint, bigint, jsonb, jsonb) IS
    'Grants gold, XP and items ({"gem": 5}) once per (user, source, external_event_id); '
    'a retry returns the first result with state reuse, '
    'another amount is refused with IDEMPOTENCY_MISMATCH.';

DROP FUNCTION economy.grant_reward_code(bigint, text, text, bigint, bigint, jsonb);

CREATE FUNCTION economy.grant_reward_code(
    user_id bigint, source text, external_event_id text, gold bigint DEFAULT 0, xp bigint DEFAULT 0,
    details jsonb DEFAULT NULL, items jsonb DEFAULT NULL
) RETURNS text
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_grant_reward';
COMMENT ON FUNCTION economy.grant_reward_code(
    bigint, text, text, bigint, bigint, jsonb, jsonb) IS
    'grant_reward(), of whose result it returns the code alone.';
COMMENT ON FUNCTION economy.grant_rewards(jsonb) IS
    'grant_reward() for an array of {user_id, source, external_event_id, gold, xp, '
    'details, items} in one transaction; a row per element in their order. '
    'A refused reward does not stop the others.';

DROP FUNCTION economy.grant_rewards(bigint[], text[], text[], bigint[], bigint[], jsonb[]);

CREATE FUNCTION economy.grant_rewards(
    user_ids bigint[], sources text[], external_event_ids text[], gold bigint[] DEFAULT NULL,
    xp bigint[] DEFAULT NULL, details jsonb[] DEFAULT NULL, items jsonb[] DEFAULT NULL
) RETURNS SETOF economy.grant_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_grant_rewards';
COMMENT ON FUNCTION economy.grant_rewards(
    bigint[], text[], text[], bigint[], bigint[], jsonb[], jsonb[]) IS
    'The same with arrays of as many elements each.';

CREATE FUNCTION economy_internal.grant_prizes(
    user_ids bigint[], sources text[], external_event_ids text[], gold bigint[], xp bigint[],
    details jsonb[], items jsonb[]
) RETURNS SETOF economy.grant_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_grant_prizes';
COMMENT ON FUNCTION economy_internal.grant_prizes(
    bigint[], text[], text[], bigint[], bigint[], jsonb[], jsonb[]) IS
    'grant_rewards() for the extension itself, of a source that is reserved.';

DROP FUNCTION economy.revoke_reward(bigint, text, text, text, bigint, bigint, text, text);

CREATE FUNCTION economy.revoke_reward(
    user_id bigint, transaction_id text, reason text, actor text, gold bigint DEFAULT NULL,
    xp bigint DEFAULT NULL, policy text DEFAULT 'refuse', idempotency_key text DEFAULT NULL,
    items jsonb DEFAULT NULL
) RETURNS economy.grant_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_revoke_reward';
COMMENT ON FUNCTION economy.revoke_reward(
    bigint, text, text, text, bigint, bigint, text, text, jsonb) IS
    'Takes a reward back, what is left of it or the given gold, XP and items: '
    'once without an idempotency_key, once for each one with, up to what the reward gave. '
    'Where the user has less, policy refuse answers INSUFFICIENT_GOLD or INSUFFICIENT_ITEMS, and '
    'take takes what is there '
    'and reports the debt in detail. All of the newest daily claim gives its date back.';

ALTER TYPE economy.claim_result
    ADD ATTRIBUTE items jsonb;
COMMENT ON FUNCTION economy.claim_daily_reward(bigint) IS
    'Claims the reward of the user''s local day: CLAIMED, or ALREADY_CLAIMED with the stored '
    'result. Day d pays what set_daily_rewards() says, else 1000 + 200 (d - 1) gold and '
    '50 + 25 (d - 1) XP. Items that the user has no room for are not given, and are in detail.';

ALTER TYPE economy.streak_reward
    ADD ATTRIBUTE items jsonb;

CREATE OR REPLACE FUNCTION economy.streak_reward(day integer) RETURNS economy.streak_reward
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_streak_reward_sql';
COMMENT ON FUNCTION economy.streak_reward(integer) IS
    'What day >= 1 of a streak pays: by set_daily_rewards(), else by the formula: '
    '1000 + 200 (day - 1) gold, 50 + 25 (day - 1) XP.';

DROP FUNCTION economy.streak_preview(bigint, integer);

CREATE FUNCTION economy.streak_preview(user_id bigint, days integer DEFAULT 7)
    RETURNS TABLE (
        claim_date date, outcome text, streak_day integer, gold bigint, xp bigint, items jsonb
    )
    LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 7 AS 'MODULE_PATHNAME', 'eco_streak_preview';
COMMENT ON FUNCTION economy.streak_preview(bigint, integer) IS
    'The rewards of the coming days (1 to 366), gold, XP and items, if the user claims on each '
    'of them.';

CREATE TABLE economy.daily_rewards (
    reward_day   bigint NOT NULL
        CONSTRAINT daily_rewards_pkey PRIMARY KEY
        CONSTRAINT daily_rewards_day_check CHECK (reward_day BETWEEN 1 AND 366),
    gold         bigint NOT NULL
        CONSTRAINT daily_rewards_gold_check CHECK (gold BETWEEN 0 AND 9007199254740991),
    xp           bigint NOT NULL
        CONSTRAINT daily_rewards_xp_check CHECK (xp BETWEEN 0 AND 9007199254740991),
    contents     jsonb
        CONSTRAINT daily_rewards_contents_check CHECK (economy_internal.amounts_sound(contents)),
    continues_at bigint,
    CONSTRAINT daily_rewards_continues_check CHECK (continues_at BETWEEN 1 AND reward_day)
);
SELECT pg_catalog.pg_extension_config_dump('economy.daily_rewards', '');
COMMENT ON TABLE economy.daily_rewards IS
    'The calendar of daily rewards, a row per day; without rows the formula pays. '
    'Set by set_daily_rewards() only.';
COMMENT ON CONSTRAINT daily_rewards_day_check ON economy.daily_rewards IS
    'there must be 1 to 366 days';
COMMENT ON CONSTRAINT daily_rewards_gold_check ON economy.daily_rewards IS
    'gold must be from 0 to 2^53-1';
COMMENT ON CONSTRAINT daily_rewards_xp_check ON economy.daily_rewards IS
    'xp must be from 0 to 2^53-1';
COMMENT ON CONSTRAINT daily_rewards_contents_check ON economy.daily_rewards IS
    'contents must be an object of 1 to 16 items, each with a whole number from 1 to 2^53-1';
COMMENT ON CONSTRAINT daily_rewards_continues_check ON economy.daily_rewards IS
    'continues_at must be from 1 to the last day, or null for the last day itself';
COMMENT ON COLUMN economy.daily_rewards.contents IS
    'Items and amounts, {"chest": 1}; null: none.';
COMMENT ON COLUMN economy.daily_rewards.continues_at IS
    'Of the last day: the day that comes after it; 1 begins anew, null is the last day again.';

CREATE FUNCTION economy_internal.check_daily_rewards(rewards jsonb) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH days AS (
            SELECT d.reward, d.n
            FROM jsonb_array_elements(CASE jsonb_typeof(rewards) WHEN 'array' THEN rewards END)
                WITH ORDINALITY d (reward, n)
        ), says AS (
            SELECT 0::bigint AS n, 'it must be a JSON array of days' AS says
            WHERE jsonb_typeof(rewards) <> 'array'
            UNION ALL
            SELECT d.n, 'it must be a JSON object' FROM days d
            WHERE jsonb_typeof(d.reward) <> 'object'
            UNION ALL
            SELECT d.n, format('%s is no such column that can be set', to_json(k))
            FROM days d CROSS JOIN LATERAL jsonb_object_keys(
                CASE jsonb_typeof(d.reward) WHEN 'object' THEN d.reward ELSE '{}' END) k
            WHERE k NOT IN ('gold', 'xp', 'contents')
            UNION ALL
            SELECT d.n, format('item %s does not exist', to_json(k))
            FROM days d CROSS JOIN LATERAL jsonb_object_keys(
                CASE jsonb_typeof(d.reward -> 'contents') WHEN 'object' THEN d.reward -> 'contents'
                                                          ELSE '{}' END) k
            WHERE NOT EXISTS (SELECT FROM economy.items i WHERE i.item_id = k)
            UNION ALL
            -- an event has 8000 bytes, and tells of each item its balance too
            SELECT d.n, 'contents must have 3072 bytes as text' FROM days d
            WHERE octet_length((d.reward -> 'contents')::text) > 3072
        )
        SELECT CASE s.n WHEN 0 THEN s.says ELSE format('day %s: %s', s.n, s.says) END
        FROM says s ORDER BY s.n, s.says LIMIT 1;
    END;
COMMENT ON FUNCTION economy_internal.check_daily_rewards(jsonb) IS
    'What is wrong with what is given to set_daily_rewards(), beyond what the constraints of '
    'daily_rewards say; null when nothing is.';

CREATE FUNCTION economy.set_daily_rewards(
    rewards jsonb, actor text, continues_at integer DEFAULT NULL
) RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    ndays     integer := 0;
    ndays_was bigint;
    each_day  record;
    nth       integer;
    wrong     text;
    failed    text;
    at_column text;
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.open_tables('daily_rewards', 'items', 'config_changes');
    -- one change at a time, also of a calendar that does not exist yet
    PERFORM economy_internal.lock_name('economy.daily_rewards');
    wrong := economy_internal.check_daily_rewards(rewards);
    IF wrong IS NULL THEN
        ndays := coalesce(jsonb_array_length(rewards), 0);
        wrong := CASE WHEN ndays = 0 AND continues_at IS NOT NULL
                      THEN 'continues_at is of a calendar that has days' END;
    END IF;
    IF wrong IS NULL THEN
        DELETE FROM economy.daily_rewards;
        GET DIAGNOSTICS ndays_was = ROW_COUNT;
        BEGIN
            FOR each_day IN
                SELECT e.n, e.reward
                FROM jsonb_array_elements(rewards) WITH ORDINALITY e (reward, n) ORDER BY e.n
            LOOP
                nth := each_day.n;
                -- of two at once above READ COMMITTED, neither of which sees the other: 40001
                INSERT INTO economy.daily_rewards
                    SELECT r.* FROM jsonb_populate_record(
                        NULL::economy.daily_rewards,
                        '{"gold": 0, "xp": 0}' || each_day.reward || jsonb_build_object(
                            'reward_day', nth,
                            'continues_at', CASE WHEN nth = ndays
                                                 THEN set_daily_rewards.continues_at END)) r
                    ON CONFLICT ON CONSTRAINT daily_rewards_pkey DO NOTHING;
            END LOOP;
        EXCEPTION WHEN data_exception OR check_violation OR not_null_violation THEN
            GET STACKED DIAGNOSTICS
                wrong = MESSAGE_TEXT, failed = CONSTRAINT_NAME, at_column = COLUMN_NAME;
            wrong := format('day %s: %s', nth, economy_internal.violation(
                'daily_rewards', rewards -> (nth - 1), wrong, failed, at_column));
        END;
    END IF;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'the daily rewards are not valid'
            USING ERRCODE = 'XE901', DETAIL = wrong || '.',
            HINT = 'A day is {"gold": 1000, "xp": 50, "contents": {"chest": 1}}; the first is 1.';
    END IF;
    IF ndays > 0 OR ndays_was > 0 THEN
        PERFORM economy.note_change(
            'daily_rewards', 'all', CASE WHEN ndays = 0 THEN 'reset' ELSE 'set' END, actor);
    END IF;
    RETURN ndays;
END
$$;
COMMENT ON FUNCTION economy.set_daily_rewards(jsonb, text, integer) IS
    'Sets the whole calendar of daily rewards, [{"gold", "xp", "contents"}] from day 1 on, and '
    'which of its days comes after the last, that one itself unless it is given; null or an empty '
    'array: the formula again. Recorded with actor, before and after. Returns the number of days. '
    'XE901 for what is not valid.';

DROP FUNCTION economy.record_action(bigint, text, text, text, bigint, bigint, text, jsonb);

CREATE FUNCTION economy.record_action(
    user_id bigint, game text, action_type text, action_id text, bet bigint DEFAULT 0,
    win bigint DEFAULT 0, outcome text DEFAULT NULL, details jsonb DEFAULT NULL,
    xp bigint DEFAULT 0
) RETURNS economy.action_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_record_action';
COMMENT ON FUNCTION economy.record_action(
    bigint, text, text, text, bigint, bigint, text, jsonb, bigint) IS
    'Records a game action once per (user, game, action_id): win - bet moves the gold, '
    'xp is given, the statistics count it. A null outcome is derived: win > bet wins, '
    'win < bet loses, equal is a draw.';

DROP FUNCTION economy.record_action_code(bigint, text, text, text, bigint, bigint, text, jsonb);

CREATE FUNCTION economy.record_action_code(
    user_id bigint, game text, action_type text, action_id text, bet bigint DEFAULT 0,
    win bigint DEFAULT 0, outcome text DEFAULT NULL, details jsonb DEFAULT NULL,
    xp bigint DEFAULT 0
) RETURNS text
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_record_action';
COMMENT ON FUNCTION economy.record_action_code(
    bigint, text, text, text, bigint, bigint, text, jsonb, bigint) IS
    'record_action(), of whose result it returns the code alone.';
COMMENT ON FUNCTION economy.record_actions(jsonb) IS
    'record_action() for an array of {user_id, game, action_type, action_id, bet, win, outcome, '
    'details, xp} in one transaction; a row per element, in their order.';

DROP FUNCTION economy.record_actions(bigint[], text[], text[], text[], bigint[], bigint[], text[], jsonb[]);

CREATE FUNCTION economy.record_actions(
    user_ids bigint[], games text[], action_types text[], action_ids text[],
    bets bigint[] DEFAULT NULL, wins bigint[] DEFAULT NULL, outcomes text[] DEFAULT NULL,
    details jsonb[] DEFAULT NULL, xp bigint[] DEFAULT NULL
) RETURNS SETOF economy.action_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_record_actions';
COMMENT ON FUNCTION economy.record_actions(
    bigint[], text[], text[], text[], bigint[], bigint[], text[], jsonb[], bigint[]) IS
    'The same with arrays of as many elements each.';
COMMENT ON TABLE economy_internal.rollup_state IS
    'How far rollup_stats() has looked for users with new actions; no row before the first time, '
    'or archive.';

CREATE OR REPLACE FUNCTION economy_internal.fill_rollup_queue() RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET jit = off AS $$
DECLARE
    state economy_internal.rollup_state;
    -- of a snapshot that is older than that of the statement that reads the journal
    here  bigint := economy_internal.position_of(
        pg_snapshot_xmin(pg_current_snapshot())::text::bigint);
    first bigint;
BEGIN
    SELECT * INTO state FROM economy_internal.rollup_state;
    -- EXECUTE, and the bound stands in the statement, so that it is planned for what it finds
    EXECUTE format($query$
        WITH queued AS (
            INSERT INTO economy_internal.rollup_queue
            SELECT n.user_id
            FROM (SELECT t.user_id, max(t.seq) AS seq FROM economy.user_actions t
                  WHERE t.position >= %s GROUP BY t.user_id OFFSET 0) n
            LEFT JOIN LATERAL (SELECT p.seq FROM economy_internal.rollup_positions p
                               WHERE p.user_id = n.user_id OFFSET 0) p ON true
            WHERE n.seq > coalesce(p.seq, 0)
            -- the queue is empty, but a snapshot may be too old to see who is in it
            ON CONFLICT ON CONSTRAINT rollup_queue_pkey DO NOTHING RETURNING user_id
        )
        SELECT min(user_id) FROM queued
        $query$, coalesce(state.position, 0)) INTO first;
    IF state IS NULL THEN
        -- where the row of the state was lost, others may wait in the queue
        SELECT min(q.user_id) INTO first FROM economy_internal.rollup_queue q;
    END IF;
    -- leaderboards ask whether this was after the end of a period
    UPDATE economy_internal.leaderboard_state l SET fills = l.fills + 1
        WHERE EXISTS (SELECT FROM economy.leaderboards b WHERE b.active);
    INSERT INTO economy_internal.rollup_state AS s (position, summarized, next_user)
        VALUES (here, economy_internal.summarize_actions(coalesce(state.summarized, 0)), first)
        ON CONFLICT ON CONSTRAINT rollup_state_pkey DO UPDATE SET
            position = excluded.position, summarized = excluded.summarized,
            next_user = excluded.next_user
        WHERE (s.position, s.summarized, s.next_user)
              IS DISTINCT FROM (excluded.position, excluded.summarized, excluded.next_user);
    RETURN first;
END
$$;

CREATE OR REPLACE FUNCTION economy.rollup_stats(max_users integer DEFAULT 100000)
    RETURNS TABLE (users bigint, actions bigint, rows_written bigint)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    -- a queue that is worked off has more dead rows than others, and statistics that do not fit
    SET enable_seqscan = off SET jit = off AS $$
DECLARE
    first bigint;
    last  bigint;
BEGIN
    PERFORM economy_internal.require_positive('max_users', max_users);
    PERFORM economy_internal.open_tables(
        'user_actions', 'accounts', 'economy_internal.rollup_positions',
        'economy_internal.rollup_queue', 'economy_internal.rollup_state',
        'user_game_stats_summary', 'leaderboards', 'economy_internal.leaderboard_queue',
        'economy_internal.leaderboard_state');
    -- one rollup at a time; the next one begins where this one ends
    PERFORM economy_internal.lock_name('economy.rollup_stats');
    SELECT s.next_user INTO first FROM economy_internal.rollup_state s;
    first := coalesce(first, economy_internal.fill_rollup_queue());
    IF first IS NULL THEN
        RETURN QUERY SELECT 0::bigint, 0::bigint, 0::bigint;
        RETURN;
    END IF;
    SELECT max(n.user_id) INTO last
        FROM (SELECT q.user_id FROM economy_internal.rollup_queue q WHERE q.user_id >= first
              ORDER BY q.user_id LIMIT max_users) n;
    UPDATE economy_internal.rollup_state SET next_user = (
        SELECT q.user_id FROM economy_internal.rollup_queue q WHERE q.user_id > last
        ORDER BY q.user_id LIMIT 1);
    RETURN QUERY
    WITH taken AS MATERIALIZED (
        DELETE FROM economy_internal.rollup_queue q WHERE q.user_id BETWEEN first AND last
        RETURNING q.user_id
    ), fresh AS MATERIALIZED (
        -- user by user, here and below: a join would read every one of them
        SELECT k.user_id, coalesce(p.seq, 0) AS after_seq, a.seq AS upto_seq, a.pruned_seq,
               p.oldest_at
        FROM taken k
        CROSS JOIN LATERAL (SELECT b.seq, b.pruned_seq FROM economy.accounts b
                            WHERE b.user_id = k.user_id OFFSET 0) a
        LEFT JOIN LATERAL (SELECT r.seq, r.oldest_at FROM economy_internal.rollup_positions r
                           WHERE r.user_id = k.user_id OFFSET 0) p ON true
        WHERE a.seq > coalesce(p.seq, 0)
    ), counted AS MATERIALIZED (
        SELECT u.user_id, (u.created_at AT TIME ZONE 'UTC')::date AS day, u.game,
               count(*) AS total, count(*) FILTER (WHERE u.outcome = 'win') AS wins,
               count(*) FILTER (WHERE u.outcome = 'loss') AS losses,
               count(*) FILTER (WHERE u.outcome = 'draw') AS draws,
               max(u.win) AS max_win, sum(u.bet)::bigint AS bet_sum, sum(u.win)::bigint AS win_sum,
               max(u.created_at) AS last_action_at
        FROM fresh f CROSS JOIN LATERAL (
            SELECT * FROM economy.user_actions t
            WHERE t.user_id = f.user_id AND t.seq > f.after_seq AND t.seq <= f.upto_seq
            -- an order that only the index on seq gives
            ORDER BY t.user_id, t.seq OFFSET 0) u
        GROUP BY 1, 2, 3
    ), moved AS (
        INSERT INTO economy_internal.rollup_positions AS p
            SELECT f.user_id, f.upto_seq, coalesce(f.oldest_at, (
                SELECT t.created_at FROM economy.user_actions t
                -- what an archive has put its checkpoint behind is not pruned
                WHERE t.user_id = f.user_id AND t.seq > greatest(f.after_seq, f.pruned_seq)
                  AND t.seq <= f.upto_seq
                ORDER BY t.seq LIMIT 1))
            FROM fresh f
            ON CONFLICT ON CONSTRAINT rollup_positions_pkey DO UPDATE
                SET seq = excluded.seq, oldest_at = excluded.oldest_at
    ), written AS (
        INSERT INTO economy.user_game_stats_summary AS s SELECT c.* FROM counted c
            ON CONFLICT ON CONSTRAINT user_game_stats_summary_pkey DO UPDATE SET
                total = s.total + excluded.total, wins = s.wins + excluded.wins,
                losses = s.losses + excluded.losses, draws = s.draws + excluded.draws,
                max_win = greatest(s.max_win, excluded.max_win),
                bet_sum = s.bet_sum + excluded.bet_sum, win_sum = s.win_sum + excluded.win_sum,
                last_action_at = greatest(s.last_action_at, excluded.last_action_at)
            RETURNING 1
    ), ranked AS (
        INSERT INTO economy_internal.leaderboard_queue SELECT f.user_id FROM fresh f
            WHERE EXISTS (SELECT FROM economy.leaderboards b WHERE b.active)
            ON CONFLICT ON CONSTRAINT leaderboard_queue_pkey DO NOTHING
    )
    SELECT (SELECT count(*) FROM fresh),
           (SELECT coalesce(sum(c.total), 0)::bigint FROM counted c),
           (SELECT count(*) FROM written);
END
$$;

CREATE TABLE economy.leaderboards (
    board      text    NOT NULL COLLATE "C" CONSTRAINT leaderboards_pkey PRIMARY KEY
        CONSTRAINT leaderboards_board_check CHECK (octet_length(board) BETWEEN 1 AND 64),
    figure     text    NOT NULL COLLATE "C"
        CONSTRAINT leaderboards_figure_check CHECK (figure IN (
            'wins', 'max_win', 'win_sum', 'bet_sum', 'net', 'total', 'win_rate', 'xp', 'streak',
            'item')),
    game       text    COLLATE "C",
    item_id    text    COLLATE "C",
    period     text    NOT NULL COLLATE "C"
        CONSTRAINT leaderboards_period_check
        CHECK (period IN ('all', 'day', 'week', 'month', 'season')),
    first_day  date,
    last_day   date,
    ascending  boolean NOT NULL DEFAULT false,
    min_games  bigint  NOT NULL DEFAULT 1
        CONSTRAINT leaderboards_min_games_check CHECK (min_games >= 1),
    audience   text    NOT NULL COLLATE "C" DEFAULT 'active'
        CONSTRAINT leaderboards_audience_check CHECK (audience IN ('active', 'all')),
    keep       integer CONSTRAINT leaderboards_keep_check CHECK (keep >= 1),
    active     boolean NOT NULL DEFAULT true,
    prizes     jsonb   NOT NULL DEFAULT '[]'
        CONSTRAINT leaderboards_prizes_check CHECK (jsonb_typeof(prizes) = 'array'),
    texts      jsonb   NOT NULL DEFAULT '{}'
        CONSTRAINT leaderboards_texts_check CHECK (jsonb_typeof(texts) = 'object'
            AND NOT jsonb_path_exists(texts, 'strict $.* ? (@.type() != "object")')),
    extra      jsonb   NOT NULL DEFAULT '{}'
        CONSTRAINT leaderboards_extra_check CHECK (jsonb_typeof(extra) = 'object'),
    CONSTRAINT leaderboards_season_check CHECK (
        CASE period WHEN 'season' THEN coalesce(isfinite(first_day) AND isfinite(last_day)
                                                AND first_day <= last_day, false)
             ELSE first_day IS NULL AND last_day IS NULL END),
    CONSTRAINT leaderboards_item_check CHECK ((figure = 'item') = (item_id IS NOT NULL)),
    CONSTRAINT leaderboards_state_check CHECK (figure NOT IN ('xp', 'streak', 'item')
        OR (period = 'all' AND game IS NULL AND min_games = 1)),
    CONSTRAINT leaderboards_ends_check CHECK (period <> 'all' OR prizes = '[]')
);
SELECT pg_catalog.pg_extension_config_dump('economy.leaderboards', '');
COMMENT ON TABLE economy.leaderboards IS 'Leaderboards. Changed by upsert_leaderboard() only.';
COMMENT ON CONSTRAINT leaderboards_board_check ON economy.leaderboards IS
    'board must have 1 to 64 bytes';
COMMENT ON CONSTRAINT leaderboards_figure_check ON economy.leaderboards IS
    'figure must be wins, max_win, win_sum, bet_sum, net, total, win_rate, xp, streak or item';
COMMENT ON CONSTRAINT leaderboards_period_check ON economy.leaderboards IS
    'period must be all, day, week, month or season';
COMMENT ON CONSTRAINT leaderboards_min_games_check ON economy.leaderboards IS
    'min_games must be 1 or more';
COMMENT ON CONSTRAINT leaderboards_audience_check ON economy.leaderboards IS
    'audience must be active or all';
COMMENT ON CONSTRAINT leaderboards_keep_check ON economy.leaderboards IS 'keep must be 1 or more';
COMMENT ON CONSTRAINT leaderboards_prizes_check ON economy.leaderboards IS
    'prizes must be a JSON array';
COMMENT ON CONSTRAINT leaderboards_texts_check ON economy.leaderboards IS
    'texts must be a JSON object of languages, each with an object';
COMMENT ON CONSTRAINT leaderboards_extra_check ON economy.leaderboards IS
    'extra must be a JSON object';
COMMENT ON CONSTRAINT leaderboards_season_check ON economy.leaderboards IS
    'a season, and nothing else, has a first_day and a last_day that is no earlier';
COMMENT ON CONSTRAINT leaderboards_item_check ON economy.leaderboards IS
    'the figure item, and no other, has an item_id';
COMMENT ON CONSTRAINT leaderboards_state_check ON economy.leaderboards IS
    'xp, streak and item are what a user has now: of the period all, without game and min_games';
COMMENT ON CONSTRAINT leaderboards_ends_check ON economy.leaderboards IS
    'the period all never ends and has no prizes';
COMMENT ON COLUMN economy.leaderboards.figure IS
    'net: win_sum less bet_sum; win_rate: millionths of the games won or lost, rounded down; '
    'streak: its length at the last claim; item: units held.';
COMMENT ON COLUMN economy.leaderboards.game IS 'Whose actions count; null: of all games.';
COMMENT ON COLUMN economy.leaderboards.period IS
    'Periods begin and end with days of UTC; weeks with Monday.';
COMMENT ON COLUMN economy.leaderboards.first_day IS 'Of the season that counts now.';
COMMENT ON COLUMN economy.leaderboards.last_day IS 'Of the season that counts now, inclusive.';
COMMENT ON COLUMN economy.leaderboards.ascending IS 'Whether less is better.';
COMMENT ON COLUMN economy.leaderboards.min_games IS
    'Games in the period, of win_rate those won or lost, from which a user is on the board.';
COMMENT ON COLUMN economy.leaderboards.audience IS
    'active: users that are not suspended; all: all.';
COMMENT ON COLUMN economy.leaderboards.keep IS 'Closed periods that are kept; null: all.';
COMMENT ON COLUMN economy.leaderboards.active IS
    'Whether it is refreshed. Switched on again it is filled anew.';
COMMENT ON COLUMN economy.leaderboards.prizes IS
    'What a period pays: the first tier that a rank is in. {"upto": 3, "gold": 500} are ranks, '
    '{"percent": 10, "xp": 5, "items": {"gem": 1}} a share of the users on the board.';
COMMENT ON COLUMN economy.leaderboards.texts IS
    'What is shown, by language: {"en": {"name": "Winners"}}.';

CREATE TABLE economy.leaderboard_periods (
    board       text    NOT NULL COLLATE "C",
    first_day   date    NOT NULL,
    last_day    date    NOT NULL,
    users       bigint  NOT NULL DEFAULT 0
        CONSTRAINT leaderboard_periods_users_check CHECK (users >= 0),
    fill_from   bigint,
    awaits      text[],
    await_fills bigint,
    closed_at   timestamptz,
    checksum    numeric,
    prizes      jsonb,
    paid_place  bigint,
    paid_user   bigint,
    paid        bigint  NOT NULL DEFAULT 0,
    refused     bigint  NOT NULL DEFAULT 0,
    paid_at     timestamptz,
    CONSTRAINT leaderboard_periods_pkey PRIMARY KEY (board, first_day),
    CONSTRAINT leaderboard_periods_days_check CHECK (first_day <= last_day),
    CONSTRAINT leaderboard_periods_closed_check CHECK (
        (closed_at IS NULL) = (checksum IS NULL) AND (closed_at IS NULL) = (prizes IS NULL)
        AND (paid_at IS NULL OR closed_at IS NOT NULL))
);
SELECT pg_catalog.pg_extension_config_dump('economy.leaderboard_periods', '');
COMMENT ON TABLE economy.leaderboard_periods IS
    'Periods of leaderboards: those that count, the next ones, and those that are closed.';
COMMENT ON COLUMN economy.leaderboard_periods.first_day IS 'UTC; -infinity of the period all.';
COMMENT ON COLUMN economy.leaderboard_periods.last_day IS
    'UTC, inclusive; infinity of the period all.';
COMMENT ON COLUMN economy.leaderboard_periods.users IS 'Users on the board.';
COMMENT ON COLUMN economy.leaderboard_periods.fill_from IS
    'The users from this one on are still to be looked at; null when it is filled.';
COMMENT ON COLUMN economy.leaderboard_periods.awaits IS
    'Transactions that ran at the end of the period, and have not ended: virtual ids, and x with '
    'the id of one that may have been among them and is prepared.';
COMMENT ON COLUMN economy.leaderboard_periods.await_fills IS
    'leaderboard_state.fills when all transactions that may have one had ended: a later fill '
    'has seen them.';
COMMENT ON COLUMN economy.leaderboard_periods.closed_at IS
    'When the result became final; null while it counts.';
COMMENT ON COLUMN economy.leaderboard_periods.checksum IS
    'Of a closed period the sum of user_id times place, for the audit.';
COMMENT ON COLUMN economy.leaderboard_periods.prizes IS 'Of a closed period those of its board.';
COMMENT ON COLUMN economy.leaderboard_periods.paid_place IS
    'Place and, paid_user, user up to which prizes were paid.';
COMMENT ON COLUMN economy.leaderboard_periods.paid IS 'Prizes that were paid.';
COMMENT ON COLUMN economy.leaderboard_periods.refused IS
    'Prizes that could not be paid: rows of leaderboard_refusals.';
COMMENT ON COLUMN economy.leaderboard_periods.paid_at IS
    'When all prizes were paid; null before that.';

CREATE TABLE economy.leaderboard_scores (
    user_id   bigint NOT NULL,
    board     text   NOT NULL COLLATE "C",
    first_day date   NOT NULL,
    place     bigint NOT NULL,
    CONSTRAINT leaderboard_scores_pkey PRIMARY KEY (user_id, board, first_day)
);

CREATE INDEX leaderboard_scores_place_idx
    ON economy.leaderboard_scores (board, first_day, place, user_id);
SELECT pg_catalog.pg_extension_config_dump('economy.leaderboard_scores', '');
COMMENT ON TABLE economy.leaderboard_scores IS 'Who is on a leaderboard, and where.';
COMMENT ON COLUMN economy.leaderboard_scores.place IS
    'What is less is better: the figure, with the other sign where more of it is better.';

CREATE TABLE economy.leaderboard_refusals (
    board      text        NOT NULL COLLATE "C",
    first_day  date        NOT NULL,
    user_id    bigint      NOT NULL,
    rank       bigint      NOT NULL
        CONSTRAINT leaderboard_refusals_rank_check CHECK (rank >= 1),
    prize      jsonb       NOT NULL,
    code       text        NOT NULL COLLATE "C",
    refused_at timestamptz NOT NULL,
    again      boolean     NOT NULL DEFAULT false,
    CONSTRAINT leaderboard_refusals_pkey PRIMARY KEY (board, first_day, user_id)
);

CREATE INDEX leaderboard_refusals_again_idx
    ON economy.leaderboard_refusals (board, first_day, user_id) WHERE again;
SELECT pg_catalog.pg_extension_config_dump('economy.leaderboard_refusals', '');
COMMENT ON TABLE economy.leaderboard_refusals IS
    'Prizes of closed periods that could not be paid, until retry_leaderboard_prizes() has led '
    'to their payment, or the period is not kept any more.';
COMMENT ON COLUMN economy.leaderboard_refusals.prize IS 'The tier of the prizes.';
COMMENT ON COLUMN economy.leaderboard_refusals.code IS
    'The code with which grant_reward() refuses, or the SQLSTATE of the error that it raised.';
COMMENT ON COLUMN economy.leaderboard_refusals.refused_at IS 'When it was refused last.';
COMMENT ON COLUMN economy.leaderboard_refusals.again IS
    'Whether pay_leaderboard_prizes() is to try it again.';

CREATE TABLE economy_internal.leaderboard_buckets (
    board     text   NOT NULL COLLATE "C",
    first_day date   NOT NULL,
    low       bigint NOT NULL,
    users     bigint NOT NULL
        CONSTRAINT leaderboard_buckets_users_check CHECK (users >= 0),
    CONSTRAINT leaderboard_buckets_pkey PRIMARY KEY (board, first_day, low)
) WITH (fillfactor = 70);
SELECT pg_catalog.pg_extension_config_dump('economy_internal.leaderboard_buckets', '');
COMMENT ON TABLE economy_internal.leaderboard_buckets IS
    'How many users of a board have a place from low on and before the low of the next bucket; '
    'the first begins with the least number there is.';

CREATE TABLE economy_internal.leaderboard_queue (
    user_id bigint NOT NULL CONSTRAINT leaderboard_queue_pkey PRIMARY KEY
);
SELECT pg_catalog.pg_extension_config_dump('economy_internal.leaderboard_queue', '');
COMMENT ON TABLE economy_internal.leaderboard_queue IS
    'Users whose figures may have changed since refresh_leaderboards() looked at them.';

CREATE TABLE economy_internal.leaderboard_state (
    only_row  boolean     NOT NULL DEFAULT true CONSTRAINT leaderboard_state_pkey PRIMARY KEY
        CONSTRAINT leaderboard_state_only_row_check CHECK (only_row),
    position  bigint      NOT NULL,
    read_at   timestamptz NOT NULL,
    next_user bigint,
    fills     bigint      NOT NULL
);
SELECT pg_catalog.pg_extension_config_dump('economy_internal.leaderboard_state', '');
COMMENT ON TABLE economy_internal.leaderboard_state IS
    'How far refresh_leaderboards() is; no row while no leaderboard is active.';
COMMENT ON COLUMN economy_internal.leaderboard_state.position IS
    'Users with entries of a lesser position, other than actions, were put into the queue.';
COMMENT ON COLUMN economy_internal.leaderboard_state.read_at IS 'When that was.';
COMMENT ON COLUMN economy_internal.leaderboard_state.next_user IS
    'The next batch takes users of the queue from this one on; null: from the first.';
COMMENT ON COLUMN economy_internal.leaderboard_state.fills IS
    'How often rollup_stats() has looked for new actions.';

CREATE FUNCTION economy_internal.check_leaderboard(leaderboard jsonb, was economy.leaderboards)
    RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH tiers AS (
            SELECT t.tier, t.n
            FROM jsonb_array_elements(CASE jsonb_typeof(leaderboard -> 'prizes')
                                      WHEN 'array' THEN leaderboard -> 'prizes' ELSE '[]' END)
                WITH ORDINALITY t (tier, n)
        ), says AS (
            SELECT 1 AS place, format('%s is no such column that can be set', to_json(k)) AS says
            FROM jsonb_object_keys(leaderboard) k
            WHERE k NOT IN ('board', 'figure', 'game', 'item_id', 'period', 'first_day',
                            'last_day', 'ascending', 'min_games', 'audience', 'keep', 'active',
                            'prizes', 'texts', 'extra')
            UNION ALL
            SELECT 2, k || ' is fixed when a leaderboard is made'
            FROM unnest(ARRAY['figure', 'game', 'item_id', 'period', 'ascending', 'min_games',
                              'audience']) k
            WHERE (was).board IS NOT NULL AND leaderboard ? k
              AND leaderboard -> k IS DISTINCT FROM to_jsonb(was) -> k
            UNION ALL
            -- a word such as today would be another day tomorrow
            SELECT 3, k || ' must be a day like 2026-01-31'
            FROM unnest(ARRAY['first_day', 'last_day']) k
            WHERE jsonb_typeof(leaderboard -> k) <> 'null'
              AND leaderboard ->> k !~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}$'
            UNION ALL
            SELECT 4, format('no game is called %s', leaderboard -> 'game')
            WHERE leaderboard ->> 'game' IS NOT NULL
              AND NOT EXISTS (SELECT FROM economy.games g WHERE g.game = leaderboard ->> 'game')
            UNION ALL
            SELECT 5, format('no item that is counted in units is called %s',
                             leaderboard -> 'item_id')
            WHERE leaderboard ->> 'item_id' IS NOT NULL
              AND NOT EXISTS (SELECT FROM economy.items i
                              WHERE i.item_id = leaderboard ->> 'item_id' AND i.kind <> 'pass')
            UNION ALL
            SELECT 6, 'prizes must be 100 tiers or less' WHERE (SELECT count(*) FROM tiers) > 100
            UNION ALL
            SELECT 7, format('tier %s of prizes must have upto (a rank) or percent (above 0, to '
                             '100), and gold, xp (0 to 2^53-1) or items', t.n)
            FROM tiers t
            WHERE CASE WHEN jsonb_typeof(t.tier) <> 'object' THEN true
                  ELSE EXISTS (SELECT FROM jsonb_object_keys(t.tier) k
                               WHERE k NOT IN ('upto', 'percent', 'gold', 'xp', 'items'))
                       OR (t.tier ? 'upto') = (t.tier ? 'percent')
                       OR NOT t.tier ?| ARRAY['gold', 'xp', 'items']
                       OR EXISTS (SELECT FROM jsonb_each(t.tier) e
                                  WHERE CASE WHEN e.key = 'items'
                                        THEN jsonb_typeof(e.value) <> 'object'
                                        WHEN jsonb_typeof(e.value) <> 'number' THEN true
                                        WHEN e.key = 'percent'
                                        THEN NOT (e.value::numeric > 0 AND e.value::numeric <= 100)
                                        ELSE e.value::numeric NOT BETWEEN (e.key = 'upto')::integer
                                                 AND 9007199254740991
                                             OR e.value::numeric <> trunc(e.value::numeric) END)
                  END
            UNION ALL
            SELECT 9, format('items of tier %s of prizes must be an object of 1 to 16 items, each '
                             'with a whole number from 1 to 2^53-1', t.n)
            FROM tiers t
            WHERE jsonb_typeof(t.tier) = 'object' AND t.tier ? 'items'
              AND NOT economy_internal.amounts_sound(t.tier -> 'items')
            UNION ALL
            SELECT 8, format('tier %s of prizes: %s must be 1 to 2^53-1 of an item that there is',
                             t.n, to_json(i.key))
            FROM tiers t
            CROSS JOIN LATERAL jsonb_each(CASE WHEN jsonb_typeof(t.tier -> 'items') = 'object'
                                          THEN t.tier -> 'items' ELSE '{}' END) i
            WHERE NOT EXISTS (SELECT FROM economy.items k WHERE k.item_id = i.key)
               OR CASE WHEN jsonb_typeof(i.value) <> 'number' THEN true
                  ELSE i.value::numeric NOT BETWEEN 1 AND 9007199254740991
                       OR i.value::numeric <> trunc(i.value::numeric) END
        )
        SELECT s.says FROM says s ORDER BY s.place, s.says LIMIT 1;
    END;
COMMENT ON FUNCTION economy_internal.check_leaderboard(jsonb, economy.leaderboards) IS
    'What is wrong with a leaderboard given to upsert_leaderboard(), beyond what the constraints '
    'of leaderboards say; null when nothing is.';

CREATE FUNCTION economy_internal.leaderboard_period(
    period text, day date, season_first date, season_last date,
    OUT first_day date, OUT last_day date
)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT f.first_day, CASE period
                   WHEN 'all' THEN date 'infinity'
                   WHEN 'day' THEN f.first_day
                   WHEN 'week' THEN f.first_day + 6
                   WHEN 'month' THEN (f.first_day + interval '1 month')::date - 1
                   ELSE season_last END
        FROM (SELECT CASE period
                  WHEN 'all' THEN date '-infinity'
                  WHEN 'day' THEN day
                  WHEN 'week' THEN day - extract(isodow FROM day)::integer + 1
                  WHEN 'month' THEN day - extract(day FROM day)::integer + 1
                  ELSE season_first END AS first_day) f;
    END;
COMMENT ON FUNCTION economy_internal.leaderboard_period(text, date, date, date) IS
    'The period that a day of UTC is in; of seasons the one that counts.';

CREATE FUNCTION economy_internal.leaderboard_open(board text, day date, filled boolean)
    RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    WITH made AS (
        INSERT INTO economy.leaderboard_periods AS p (board, first_day, last_day, fill_from)
            SELECT b.board, d.first_day, d.last_day,
                   CASE WHEN NOT filled THEN '-9223372036854775808'::bigint END
            FROM economy.leaderboards b
            CROSS JOIN LATERAL economy_internal.leaderboard_period(
                b.period, leaderboard_open.day, b.first_day, b.last_day) d
            WHERE b.board = leaderboard_open.board
            ON CONFLICT ON CONSTRAINT leaderboard_periods_pkey DO NOTHING
            RETURNING p.board, p.first_day
    )
    INSERT INTO economy_internal.leaderboard_buckets
        SELECT m.board, m.first_day, '-9223372036854775808', 0 FROM made m;
END
$$;
COMMENT ON FUNCTION economy_internal.leaderboard_open(text, date, boolean) IS
    'Makes the period of a board that a day is in, unless it is there.';

CREATE FUNCTION economy.upsert_leaderboard(leaderboard jsonb, actor text)
    RETURNS economy.leaderboards
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    SET TimeZone = 'UTC' SET DateStyle = 'ISO, YMD' AS $$
DECLARE
    old_row   economy.leaderboards;
    new_row   economy.leaderboards;
    id        text := leaderboard ->> 'board';
    today     CONSTANT date := (economy.now() AT TIME ZONE 'UTC')::date;
    wrong     text;
    failed    text;
    at_column text;
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.require_given('leaderboard', leaderboard IS NOT NULL);
    IF jsonb_typeof(leaderboard) <> 'object' OR id IS NULL THEN
        RAISE EXCEPTION 'leaderboard must be a JSON object with a board' USING ERRCODE = 'XE503';
    END IF;
    PERFORM economy_internal.open_tables(
        'leaderboards', 'config_changes', 'games', 'items', 'leaderboard_periods',
        'economy_internal.leaderboard_buckets', 'economy_internal.rollup_state');
    -- nor beside a rollup or a refresh, to which it is not there yet
    PERFORM economy_internal.lock_name('economy.rollup_stats');
    SELECT * INTO old_row FROM economy.leaderboards b WHERE b.board = id FOR NO KEY UPDATE;
    wrong := economy_internal.check_leaderboard(leaderboard, old_row);
    IF wrong IS NULL THEN
        BEGIN
            new_row := old_row;
            IF old_row.board IS NULL THEN
                new_row := jsonb_populate_record(
                    NULL::economy.leaderboards,
                    '{"ascending": false, "min_games": 1, "audience": "active", "active": true,
                      "prizes": [], "texts": {}, "extra": {}}');
            END IF;
            new_row := jsonb_populate_record(new_row, leaderboard);
            IF old_row.board IS NULL THEN
                INSERT INTO economy.leaderboards SELECT (new_row).*;
            ELSE
                UPDATE economy.leaderboards b SET
                    first_day = new_row.first_day, last_day = new_row.last_day,
                    keep = new_row.keep, active = new_row.active, prizes = new_row.prizes,
                    texts = new_row.texts, extra = new_row.extra
                WHERE b.board = id;
            END IF;
            IF EXISTS (SELECT FROM economy.leaderboard_periods p
                       WHERE p.board = id AND p.first_day = new_row.first_day
                         AND p.last_day <> new_row.last_day AND p.closed_at IS NOT NULL) THEN
                wrong := 'the season that begins on that first_day is closed';
            END IF;
        EXCEPTION WHEN data_exception OR check_violation OR not_null_violation THEN
            GET STACKED DIAGNOSTICS
                wrong = MESSAGE_TEXT, failed = CONSTRAINT_NAME, at_column = COLUMN_NAME;
            wrong := economy_internal.violation(
                'leaderboards', leaderboard, wrong, failed, at_column);
        END;
    END IF;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'leaderboard "%" is not valid', id
            USING ERRCODE = 'XE503', DETAIL = wrong || '.',
            HINT = 'The keys are the column names of economy.leaderboards.';
    END IF;
    IF new_row.active THEN
        -- the days, weeks and months that follow are the refreshes' to make
        IF old_row.active IS NOT TRUE OR new_row.period = 'season' THEN
            PERFORM economy_internal.leaderboard_open(id, today, false);
        END IF;
        -- what it did not see while it was not active, or does not count any more
        UPDATE economy.leaderboard_periods p SET
                last_day = CASE WHEN p.first_day = new_row.first_day THEN new_row.last_day
                                ELSE p.last_day END,
                fill_from = '-9223372036854775808', awaits = NULL, await_fills = NULL
            WHERE p.board = id AND p.closed_at IS NULL
              AND (NOT old_row.active
                   OR (p.first_day = new_row.first_day AND p.last_day <> new_row.last_day));
    END IF;
    -- one with an older snapshot does not know the board: it is to fail
    UPDATE economy_internal.rollup_state s SET next_user = s.next_user;
    PERFORM economy.note_change(
        'leaderboards', id, CASE WHEN old_row.board IS NULL THEN 'create' ELSE 'change' END,
        actor);
    RETURN new_row;
END
$$;
COMMENT ON FUNCTION economy.upsert_leaderboard(jsonb, text) IS
    'Creates a leaderboard, or changes the given columns of one: what it counts is fixed; keys are '
    'the column names of leaderboards. refresh_leaderboards() fills it. '
    'Recorded with actor, before and after. XE503 for one that is not valid.';

CREATE FUNCTION economy_internal.leaderboard_rank(board text, first_day date, place bigint)
    RETURNS bigint
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    own    bigint;
    before bigint;
    beside bigint;
BEGIN
    SELECT b.low INTO own FROM economy_internal.leaderboard_buckets b
        WHERE b.board = leaderboard_rank.board AND b.first_day = leaderboard_rank.first_day
          AND b.low <= leaderboard_rank.place
        ORDER BY b.low DESC LIMIT 1;
    SELECT coalesce(sum(b.users), 0) INTO before FROM economy_internal.leaderboard_buckets b
        WHERE b.board = leaderboard_rank.board AND b.first_day = leaderboard_rank.first_day
          AND b.low < own;
    SELECT count(*) INTO beside FROM economy.leaderboard_scores s
        WHERE s.board = leaderboard_rank.board AND s.first_day = leaderboard_rank.first_day
          AND s.place >= own AND s.place < leaderboard_rank.place;
    RETURN 1 + before + beside;
END
$$;
COMMENT ON FUNCTION economy_internal.leaderboard_rank(text, date, bigint) IS
    'The rank that a place has, or would have: 1 and how many are before it.';

CREATE FUNCTION economy_internal.leaderboard_page(
    board text, first_day date, after_place bigint, after_user bigint, n integer
) RETURNS TABLE (rank bigint, user_id bigint, place bigint)
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    users  bigint[];
    places bigint[];
    second integer;
    ties   bigint;
BEGIN
    SELECT array_agg(p.user_id ORDER BY p.place, p.user_id),
           array_agg(p.place ORDER BY p.place, p.user_id)
    INTO users, places
    FROM (SELECT s.user_id, s.place FROM economy.leaderboard_scores s
          WHERE s.board = leaderboard_page.board AND s.first_day = leaderboard_page.first_day
            AND (s.place, s.user_id) > (after_place, after_user)
          ORDER BY s.place, s.user_id LIMIT n) p;
    -- who else has the place of the first is not counted; from the second place on all are here
    FOR i IN 1 .. coalesce(cardinality(users), 0) LOOP
        IF i = 1 THEN
            rank := economy_internal.leaderboard_rank(board, first_day, places[i]);
        ELSIF second IS NULL AND places[i] > places[1] THEN
            SELECT count(*) INTO ties
                FROM (SELECT FROM economy.leaderboard_scores s
                      WHERE s.board = leaderboard_page.board
                        AND s.first_day = leaderboard_page.first_day AND s.place = places[1]
                      ORDER BY s.board, s.first_day, s.place, s.user_id LIMIT 1000) k;
            rank := CASE WHEN ties < 1000 THEN rank + ties
                         ELSE economy_internal.leaderboard_rank(board, first_day, places[i]) END;
            second := rank - i;
        ELSIF places[i] > places[i - 1] THEN
            rank := second + i;
        END IF;
        user_id := users[i];
        place := places[i];
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION economy_internal.leaderboard_page(text, date, bigint, bigint, integer) IS
    'The next users of a board behind a place and a user, with their ranks.';

CREATE FUNCTION economy_internal.leaderboard_depth(users bigint) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    RETURN greatest(200, floor(sqrt(users::numeric) / 2))::bigint;
COMMENT ON FUNCTION economy_internal.leaderboard_depth(bigint) IS
    'How many users a bucket should have on a board of so many.';

CREATE FUNCTION economy_internal.leaderboard_split(
    board text, first_day date, low bigint, depth bigint
) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    most  CONSTANT bigint := 9223372036854775807;
    upto  bigint;    -- the last place that belongs to it
    least bigint;
    last  bigint;
BEGIN
    SELECT b.low - 1 INTO upto FROM economy_internal.leaderboard_buckets b
        WHERE b.board = leaderboard_split.board AND b.first_day = leaderboard_split.first_day
          AND b.low > leaderboard_split.low
        ORDER BY b.low LIMIT 1;
    upto := coalesce(upto, most);
    SELECT s.place INTO least FROM economy.leaderboard_scores s
        WHERE s.board = leaderboard_split.board AND s.first_day = leaderboard_split.first_day
          AND s.place >= low AND s.place <= upto ORDER BY s.place LIMIT 1;
    SELECT s.place INTO last FROM economy.leaderboard_scores s
        WHERE s.board = leaderboard_split.board AND s.first_day = leaderboard_split.first_day
          AND s.place >= low AND s.place <= upto ORDER BY s.place DESC LIMIT 1;
    -- one place that has the end of the bucket for itself cannot be split
    IF least IS NULL OR (least = last AND last = upto) THEN
        RETURN;
    END IF;
    WITH places AS (
        SELECT s.place, count(*) AS n FROM economy.leaderboard_scores s
        WHERE s.board = leaderboard_split.board AND s.first_day = leaderboard_split.first_day
          AND s.place >= low AND s.place <= upto
        GROUP BY s.place
    ), summed AS (
        SELECT p.place, p.n, div(sum(p.n) OVER w - p.n, depth) AS part,
               lag(p.n) OVER w AS n_before
        FROM places p WINDOW w AS (ORDER BY p.place)
    ), cut AS (
        -- a place of very many has a bucket for itself
        SELECT m.place, m.n, m.n >= depth OR m.n_before >= depth
                   OR m.part IS DISTINCT FROM lag(m.part) OVER (ORDER BY m.place) AS begins
        FROM summed m
    ), numbered AS (
        SELECT c.place, c.n, count(*) FILTER (WHERE c.begins) OVER (ORDER BY c.place) AS number
        FROM cut c
    ), parts AS (
        SELECT u.number, max(u.place) AS last, sum(u.n)::bigint AS users
        FROM numbered u GROUP BY u.number
    ), fresh AS (
        SELECT coalesce(lag(r.last) OVER (ORDER BY r.number) + 1, leaderboard_split.low) AS low,
               r.users
        FROM parts r
        UNION ALL
        -- nor who comes behind them
        SELECT r.last + 1, 0
        FROM (SELECT q.last, q.users FROM parts q ORDER BY q.number DESC LIMIT 1) r
        WHERE r.users >= depth AND r.last < upto
    )
    INSERT INTO economy_internal.leaderboard_buckets AS b
        SELECT leaderboard_split.board, leaderboard_split.first_day, f.low, f.users FROM fresh f
        ON CONFLICT ON CONSTRAINT leaderboard_buckets_pkey DO UPDATE SET users = excluded.users;
END
$$;
COMMENT ON FUNCTION economy_internal.leaderboard_split(text, date, bigint, bigint) IS
    'Makes several buckets of one that has grown, of about depth users each; what they count is '
    'counted anew.';

CREATE FUNCTION economy_internal.leaderboard_join(
    board text, first_day date, low bigint, depth bigint
) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    own    bigint;
    before economy_internal.leaderboard_buckets;
BEGIN
    SELECT b.users INTO own FROM economy_internal.leaderboard_buckets b
        WHERE b.board = leaderboard_join.board AND b.first_day = leaderboard_join.first_day
          AND b.low = leaderboard_join.low;
    SELECT * INTO before FROM economy_internal.leaderboard_buckets b
        WHERE b.board = leaderboard_join.board AND b.first_day = leaderboard_join.first_day
          AND b.low < leaderboard_join.low
        ORDER BY b.low DESC LIMIT 1;
    IF own IS NULL OR before.low IS NULL OR own + before.users > depth / 2 THEN
        RETURN;
    END IF;
    DELETE FROM economy_internal.leaderboard_buckets b
        WHERE b.board = leaderboard_join.board AND b.first_day = leaderboard_join.first_day
          AND b.low = leaderboard_join.low;
    UPDATE economy_internal.leaderboard_buckets b SET users = b.users + own
        WHERE b.board = before.board AND b.first_day = before.first_day AND b.low = before.low;
END
$$;
COMMENT ON FUNCTION economy_internal.leaderboard_join(text, date, bigint, bigint) IS
    'Puts a bucket that has become small into the one before it, when that is small as well.';

CREATE FUNCTION economy_internal.leaderboard_set(
    boards text[], first_days date[], user_ids bigint[], places bigint[]
) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    -- place by place: a join would read whole tables for a few of them
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
    SET jit = off AS $$
DECLARE
    written bigint;
    touched jsonb;
    t       record;
BEGIN
    -- EXECUTE, so that it is planned for the tables as they are now
    EXECUTE $query$
        WITH changed AS MATERIALIZED (
            SELECT f.board, f.first_day, f.user_id, f.place, s.place AS was, s.at
            FROM unnest($1, $2, $3, $4) f (board, first_day, user_id, place)
            LEFT JOIN LATERAL (
                -- by the primary key, also while nothing is known of the table: by the other
                -- index it would read the board for each user
                SELECT o.place, o.ctid AS at FROM economy.leaderboard_scores o
                WHERE (o.user_id, o.board, o.first_day) >= (f.user_id, f.board, f.first_day)
                  AND (o.user_id, o.board, o.first_day) <= (f.user_id, f.board, f.first_day)
                OFFSET 0) s ON true
            WHERE f.place IS DISTINCT FROM s.place
        ), gone AS (
            DELETE FROM economy.leaderboard_scores s WHERE s.ctid = ANY (ARRAY(
                SELECT c.at FROM changed c WHERE c.place IS NULL))
        ), written AS (
            INSERT INTO economy.leaderboard_scores AS s (user_id, board, first_day, place)
                SELECT c.user_id, c.board, c.first_day, c.place FROM changed c
                WHERE c.place IS NOT NULL
                ON CONFLICT ON CONSTRAINT leaderboard_scores_pkey
                    DO UPDATE SET place = excluded.place
        ), moved AS MATERIALIZED (
            SELECT m.board, m.first_day, b.low, sum(m.n) AS n
            FROM (SELECT c.board, c.first_day, c.place, 1 AS n FROM changed c
                  WHERE c.place IS NOT NULL
                  UNION ALL
                  SELECT c.board, c.first_day, c.was, -1 FROM changed c WHERE c.was IS NOT NULL) m
            CROSS JOIN LATERAL (
                SELECT k.low FROM economy_internal.leaderboard_buckets k
                WHERE k.board = m.board AND k.first_day = m.first_day AND k.low <= m.place
                ORDER BY k.low DESC LIMIT 1) b
            GROUP BY 1, 2, 3
        ), counted AS (
            UPDATE economy_internal.leaderboard_buckets b SET users = b.users + m.n
            FROM moved m
            WHERE m.n <> 0 AND b.board = m.board AND b.first_day = m.first_day AND b.low = m.low
            RETURNING b.board, b.first_day, b.low, b.users
        ), summed AS (
            UPDATE economy.leaderboard_periods p SET users = p.users + m.n
            FROM (SELECT v.board, v.first_day, sum(v.n) AS n FROM moved v GROUP BY 1, 2) m
            WHERE m.n <> 0 AND p.board = m.board AND p.first_day = m.first_day
        )
        SELECT (SELECT count(*) FROM changed),
               (SELECT jsonb_agg(to_jsonb(c) ORDER BY c.board, c.first_day, c.low) FROM counted c)
        $query$ INTO written, touched USING boards, first_days, user_ids, places;
    FOR t IN
        SELECT r.board, r.first_day, r.low, r.users,
               economy_internal.leaderboard_depth(p.users) AS depth
        FROM jsonb_to_recordset(touched)
            r (board text, first_day date, low bigint, users bigint)
        JOIN economy.leaderboard_periods p ON p.board = r.board AND p.first_day = r.first_day
        ORDER BY r.board, r.first_day, r.low DESC
    LOOP
        IF t.users > 2 * t.depth THEN
            PERFORM economy_internal.leaderboard_split(t.board, t.first_day, t.low, t.depth);
        ELSIF t.users < t.depth / 4 THEN
            PERFORM economy_internal.leaderboard_join(t.board, t.first_day, t.low, t.depth);
        END IF;
    END LOOP;
    RETURN written;
END
$$;
COMMENT ON FUNCTION economy_internal.leaderboard_set(text[], date[], bigint[], bigint[]) IS
    'Puts users at their places, null for none, and counts them in the buckets; how many of them '
    'were elsewhere.';

-- hold: what users hold beside gold, use up outside the shop, and give each other

CREATE TABLE economy.holding_changes (
    user_id           bigint      NOT NULL,
    seq               bigint      NOT NULL,
    gold_delta        bigint      NOT NULL,
    xp_delta          bigint      NOT NULL,
    gold              bigint      NOT NULL,
    experience_points bigint      NOT NULL,
    created_at        timestamptz NOT NULL,
    xact              bigint      NOT NULL,
    position          bigint      NOT NULL,
    key_digest        bigint      NOT NULL,
    live              boolean     NOT NULL,
    hash              bytea       NOT NULL,
    operation         text        NOT NULL COLLATE "C"
        CONSTRAINT holding_changes_operation_check
        CHECK (operation IN ('spend', 'consume', 'grant', 'draw', 'transfer_out', 'transfer_in',
                             'escrow_hold', 'escrow_close', 'escrow_in', 'round_open', 'debt')),
    idempotency_key   text        NOT NULL COLLATE "C",
    reason            text        NOT NULL COLLATE "C",
    items             jsonb,
    context           jsonb,
    detail            jsonb,
    CONSTRAINT holding_changes_pkey PRIMARY KEY (user_id, seq)
);

CREATE INDEX holding_changes_key ON economy.holding_changes (user_id, key_digest)
    WITH (deduplicate_items = off);

-- spread as the others are, whatever the setting is now
DO $$
DECLARE
    asked CONSTANT text := current_setting('economy.journal_partitions');
BEGIN
    PERFORM set_config('economy.journal_partitions', (
        SELECT count(*) FROM pg_inherits i
        WHERE i.inhparent = 'economy.shop_transactions'::regclass
          AND economy_internal.is_spread('economy.shop_transactions'))::text, true);
    PERFORM economy_internal.make_journal('economy.holding_changes');
    PERFORM set_config('economy.journal_partitions', asked, true);
END
$$;
COMMENT ON TABLE economy.holding_changes IS
    'Journal of items given and used up, of gold spent, and of what users gave each other, outside '
    'the shop and the rewards. Append-only.';
COMMENT ON COLUMN economy.holding_changes.key_digest IS
    'Digest of operation and idempotency_key, by which the index finds them.';
COMMENT ON COLUMN economy.holding_changes.items IS
    'Each item with what was added and the balance after the entry: '
    '[{"item": "gem", "delta": 5, "balance": 7}]. Of a pass seconds, and the second since 1970 UTC '
    'at which it ends.';
COMMENT ON COLUMN economy.holding_changes.detail IS
    'What else there is to say of the operation: of a transfer its name, the other user, the gold '
    'that arrives, the fee and the note; of an escrow as well, when it ends and how it was closed. '
    'Null for spend, consume and grant.';

CREATE FUNCTION economy_internal.items_of(items jsonb)
    RETURNS TABLE (item text, delta bigint, balance bigint)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 3
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT e.item, e.delta, e.balance
        FROM jsonb_to_recordset(CASE jsonb_typeof(items) WHEN 'array' THEN items END)
            e (item text, delta bigint, balance bigint);
    END;
COMMENT ON FUNCTION economy_internal.items_of(jsonb) IS
    'The items that an entry carries, a row each; of what is no array none.';

CREATE VIEW economy_internal.item_entries AS
    SELECT h.user_id, h.seq, 'H' || h.user_id || '-' || h.seq AS entry, h.created_at,
           e.item COLLATE "C" AS item_id, e.delta, e.balance
    FROM economy.holding_changes h
    CROSS JOIN LATERAL economy_internal.items_of(h.items) e
    UNION ALL
    SELECT t.user_id, t.seq, 'P' || t.user_id || '-' || t.seq, t.created_at,
           e.item COLLATE "C", e.delta, e.balance
    FROM economy.shop_transactions t CROSS JOIN LATERAL economy_internal.items_of(t.items) e
    WHERE t.items IS NOT NULL
    UNION ALL
    SELECT t.user_id, t.seq, 'P' || t.user_id || '-' || t.seq, t.created_at,
           'streak_freeze' COLLATE "C", t.quantity, NULL
    FROM economy.shop_transactions t
    WHERE t.effect_code = 'streak_freeze'
      AND (t.items @> '[{"item": "streak_freeze"}]') IS NOT TRUE
    UNION ALL
    SELECT r.user_id, r.seq, 'R' || r.user_id || '-' || r.seq, r.created_at,
           e.item COLLATE "C", e.delta, e.balance
    FROM economy.reward_audit r CROSS JOIN LATERAL economy_internal.items_of(r.items) e
    WHERE r.items IS NOT NULL
    UNION ALL
    SELECT b.user_id, b.seq, 'B' || b.user_id || '-' || b.seq, b.created_at,
           e.item COLLATE "C", e.delta, e.balance
    FROM economy.shop_refunds b CROSS JOIN LATERAL economy_internal.items_of(b.items) e
    WHERE b.items IS NOT NULL
    UNION ALL
    SELECT r.user_id, r.seq, 'R' || r.user_id || '-' || r.seq, r.created_at,
           'streak_freeze' COLLATE "C", -r.freezes_used, NULL
    FROM economy.reward_audit r WHERE r.freezes_used <> 0;
COMMENT ON VIEW economy_internal.item_entries IS
    'Each item of each entry that moves some, with what was added and the balance after it; null '
    'for streak freezes that it moves without saying so.';

CREATE TYPE economy.holding_result AS (
    success        boolean,
    state          text,
    code           text,
    transaction_id text,
    items          jsonb,
    gold_delta     bigint,
    gold           bigint,
    retry_after_ms integer,
    detail         jsonb
);
COMMENT ON TYPE economy.holding_result IS
    'Result of spend(), consume(), grant_items(), transfer() and of the functions of escrows.';

CREATE FUNCTION economy.spend(
    user_id bigint, gold bigint, reason text, idempotency_key text, items jsonb DEFAULT NULL,
    context jsonb DEFAULT NULL, dry_run boolean DEFAULT false
) RETURNS economy.holding_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_spend';
COMMENT ON FUNCTION economy.spend(bigint, bigint, text, text, jsonb, jsonb, boolean) IS
    'Takes gold, items ({"gem": 5}) or both for what is no product, once per idempotency key. '
    'Refuses INSUFFICIENT_GOLD, INSUFFICIENT_ITEMS, ITEM_NOT_FOUND, ITEM_NOT_CONSUMABLE, '
    'USER_NOT_FOUND, USER_SUSPENDED, IDEMPOTENCY_MISMATCH.';

CREATE FUNCTION economy_internal.take_debt(
    user_id bigint, gold bigint, refund text, idempotency_key text
) RETURNS economy.holding_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_take_debt';
COMMENT ON FUNCTION economy_internal.take_debt(bigint, bigint, text, text) IS
    'Takes gold that a refund could not take, also of who is suspended.';

CREATE FUNCTION economy.consume(
    user_id bigint, item_id text, idempotency_key text, quantity bigint DEFAULT 1,
    reason text DEFAULT 'use', context jsonb DEFAULT NULL, dry_run boolean DEFAULT false
) RETURNS economy.holding_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_consume';
COMMENT ON FUNCTION economy.consume(bigint, text, text, bigint, text, jsonb, boolean) IS
    'Uses up units of an item, once per idempotency key. Refuses as spend() does.';

CREATE FUNCTION economy.grant_items(
    user_id bigint, items jsonb, reason text, idempotency_key text,
    context jsonb DEFAULT NULL, dry_run boolean DEFAULT false
) RETURNS economy.holding_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_grant_items';
COMMENT ON FUNCTION economy.grant_items(bigint, jsonb, text, text, jsonb, boolean) IS
    'Gives items, {"gem": 5, "vip": 2592000}: units, of a pass seconds; once per idempotency key. '
    'Refuses ITEM_NOT_FOUND, ITEM_INACTIVE, ITEM_LIMIT, USER_NOT_FOUND, USER_SUSPENDED, '
    'IDEMPOTENCY_MISMATCH.';

CREATE TABLE economy.transfer_rules (
    rules             text    NOT NULL COLLATE "C" DEFAULT 'all'
        CONSTRAINT transfer_rules_pkey PRIMARY KEY
        CONSTRAINT transfer_rules_rules_check CHECK (rules = 'all'),
    enabled           boolean NOT NULL DEFAULT false,
    fee_per_mille     integer NOT NULL DEFAULT 0
        CONSTRAINT transfer_rules_fee_check CHECK (fee_per_mille BETWEEN 0 AND 1000),
    daily_gold        bigint
        CONSTRAINT transfer_rules_daily_check CHECK (daily_gold BETWEEN 0 AND 9007199254740991),
    minimum_age_hours integer NOT NULL DEFAULT 0
        CONSTRAINT transfer_rules_age_check CHECK (minimum_age_hours BETWEEN 0 AND 876000)
);
SELECT pg_catalog.pg_extension_config_dump('economy.transfer_rules', '');
COMMENT ON TABLE economy.transfer_rules IS
    'Rules of transfer(), one row; without it nothing is transferred. Changed by '
    'set_transfer_rules() only.';
COMMENT ON CONSTRAINT transfer_rules_rules_check ON economy.transfer_rules IS
    'rules must be all';
COMMENT ON CONSTRAINT transfer_rules_fee_check ON economy.transfer_rules IS
    'fee_per_mille must be from 0 to 1000';
COMMENT ON CONSTRAINT transfer_rules_daily_check ON economy.transfer_rules IS
    'daily_gold must be from 0 to 2^53-1, or null for no limit';
COMMENT ON CONSTRAINT transfer_rules_age_check ON economy.transfer_rules IS
    'minimum_age_hours must be from 0 to 876000';
COMMENT ON COLUMN economy.transfer_rules.rules IS 'There is one row: all.';
COMMENT ON COLUMN economy.transfer_rules.enabled IS 'Whether anything is transferred.';
COMMENT ON COLUMN economy.transfer_rules.fee_per_mille IS
    'Of the gold sent, rounded up; the sender pays it on top, and nobody gets it.';
COMMENT ON COLUMN economy.transfer_rules.daily_gold IS
    'Gold that a user may send in a day by UTC, without fees; null is no limit.';
COMMENT ON COLUMN economy.transfer_rules.minimum_age_hours IS
    'How long the sender must have been registered.';

CREATE FUNCTION economy_internal.sent_of(sections bytea) RETURNS TABLE (day date, gold bigint)
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 1 AS 'MODULE_PATHNAME', 'eco_sent_of';
COMMENT ON FUNCTION economy_internal.sent_of(bytea) IS
    'The last day on which an account sent gold to others, and how much.';

CREATE FUNCTION economy_internal.sent_sound(sections bytea) RETURNS boolean
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_sent_sound';
COMMENT ON FUNCTION economy_internal.sent_sound(bytea) IS
    'Whether what an account has sent in a day can be read.';

CREATE FUNCTION economy_internal.with_sent(sections bytea, day date, gold bigint) RETURNS bytea
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_with_sent';
COMMENT ON FUNCTION economy_internal.with_sent(bytea, date, bigint) IS
    'An account''s sections with another count of what was sent in a day, or without it when gold '
    'is null: for who corrects what the audit found to be wrong.';

CREATE FUNCTION economy.transfer(
    from_user_id bigint, to_user_id bigint, idempotency_key text, gold bigint DEFAULT 0,
    items jsonb DEFAULT NULL, note text DEFAULT NULL, context jsonb DEFAULT NULL,
    dry_run boolean DEFAULT false
) RETURNS economy.holding_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_transfer';
COMMENT ON FUNCTION economy.transfer(
    bigint, bigint, text, bigint, jsonb, text, jsonb, boolean) IS
    'Gives gold, items ({"gem": 5}) or both of one user to another, once per idempotency key of '
    'the sender, by the rules of set_transfer_rules(). Refuses SAME_USER, USER_NOT_FOUND, '
    'TRANSFERS_OFF, USER_SUSPENDED, TRANSFER_TOO_YOUNG, TRANSFER_DAILY_LIMIT, INSUFFICIENT_GOLD, '
    'GOLD_OVERFLOW, ITEM_NOT_FOUND, ITEM_NOT_TRADABLE, INSUFFICIENT_ITEMS, ITEM_LIMIT, '
    'IDEMPOTENCY_MISMATCH.';

CREATE TYPE economy.holding AS (
    item_id    text,
    kind       text,
    quantity   bigint,
    ends_at    timestamptz,
    consumable boolean,
    tradable   boolean,
    texts      jsonb,
    extra      jsonb
);
COMMENT ON TYPE economy.holding IS 'An item that a user holds: a row of economy.holdings().';

CREATE FUNCTION economy.holdings(user_id bigint) RETURNS SETOF economy.holding
    LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 10 AS 'MODULE_PATHNAME', 'eco_holdings';
COMMENT ON FUNCTION economy.holdings(bigint) IS
    'The items that a user holds now: units, of a pass when it ends.';

CREATE FUNCTION economy.holds(user_id bigint, item_id text, quantity bigint DEFAULT 1)
    RETURNS boolean
    LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'eco_holds';
COMMENT ON FUNCTION economy.holds(bigint, text, bigint) IS
    'Whether a user holds so many units of an item now; of a pass, whether it has not ended.';

CREATE TYPE economy.catalogue_item AS (
    item_id    text,
    kind       text,
    maximum    bigint,
    consumable boolean,
    tradable   boolean,
    active     boolean,
    texts      jsonb,
    extra      jsonb
);
COMMENT ON TYPE economy.catalogue_item IS
    'An item that users can hold: a row of economy.item_catalogue().';

CREATE FUNCTION economy.item_catalogue(kind text DEFAULT NULL, only_active boolean DEFAULT true)
    RETURNS SETOF economy.catalogue_item
    LANGUAGE c STABLE PARALLEL SAFE ROWS 50 AS 'MODULE_PATHNAME', 'eco_item_catalogue';
COMMENT ON FUNCTION economy.item_catalogue(text, boolean) IS
    'The items there are, by item_id: of one kind (stack, currency, pass) or of all; those that '
    'are not given any more only when asked for.';

CREATE FUNCTION economy_internal.check_item(item jsonb, kind_before text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH says AS (
            SELECT 1 AS place, format('%s is no such column that can be set', to_json(k)) AS says
            FROM jsonb_object_keys(item) k
            WHERE k NOT IN ('item_id', 'kind', 'maximum', 'consumable', 'tradable', 'active',
                            'texts', 'extra')
            UNION ALL
            -- balances of one kind mean nothing in another, and outlive an item that was deleted
            SELECT 2, 'kind is fixed when an item is made'
            WHERE kind_before IS NOT NULL AND item ? 'kind'
              AND item ->> 'kind' IS DISTINCT FROM kind_before
            UNION ALL
            SELECT 3, 'streak_freeze is built in, and a stack'
            WHERE item ->> 'item_id' = 'streak_freeze' AND item ? 'kind'
              AND item ->> 'kind' IS DISTINCT FROM 'stack'
        )
        SELECT s.says FROM says s ORDER BY s.place, s.says LIMIT 1;
    END;
COMMENT ON FUNCTION economy_internal.check_item(jsonb, text) IS
    'What is wrong with an item given to upsert_item(), beyond what the constraints of items say; '
    'null when nothing is.';

CREATE FUNCTION economy.upsert_item(item jsonb, actor text) RETURNS economy.items
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    old_row   economy.items;
    new_row   economy.items;
    id        text := item ->> 'item_id';
    wrong     text;
    failed    text;
    at_column text;
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.require_given('item', item IS NOT NULL);
    IF jsonb_typeof(item) <> 'object' OR id IS NULL THEN
        RAISE EXCEPTION 'item must be a JSON object with an item_id' USING ERRCODE = 'XE901';
    END IF;
    PERFORM economy_internal.open_tables('items', 'config_changes');
    -- one change of an item at a time, also of one that does not exist yet
    PERFORM economy_internal.lock_name('economy.item:' || id);
    SELECT * INTO old_row FROM economy.items i WHERE i.item_id = id FOR NO KEY UPDATE;
    wrong := economy_internal.check_item(item, coalesce(old_row.kind, (
        SELECT c.after ->> 'kind' FROM economy.config_changes c
        WHERE c.relation = 'items' AND c.key = id AND c.after IS NOT NULL
        ORDER BY c.change_no DESC LIMIT 1)));
    IF wrong IS NULL THEN
        BEGIN
            new_row := old_row;
            IF old_row.item_id IS NULL THEN
                new_row := jsonb_populate_record(NULL::economy.items, jsonb_build_object(
                    'consumable', item -> 'kind' IS DISTINCT FROM '"pass"', 'tradable', false,
                    'active', true, 'texts', '{}'::jsonb, 'extra', '{}'::jsonb));
            END IF;
            new_row := jsonb_populate_record(new_row, item);
            IF old_row.item_id IS NULL THEN
                INSERT INTO economy.items SELECT (new_row).*;
            ELSE
                UPDATE economy.items i SET
                    maximum = new_row.maximum, consumable = new_row.consumable,
                    tradable = new_row.tradable, active = new_row.active, texts = new_row.texts,
                    extra = new_row.extra
                WHERE i.item_id = id;
            END IF;
        EXCEPTION WHEN data_exception OR check_violation OR not_null_violation THEN
            GET STACKED DIAGNOSTICS
                wrong = MESSAGE_TEXT, failed = CONSTRAINT_NAME, at_column = COLUMN_NAME;
            wrong := economy_internal.violation('items', item, wrong, failed, at_column);
        END;
    END IF;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'item "%" is not valid', id
            USING ERRCODE = 'XE901', DETAIL = wrong || '.',
            HINT = 'The keys are the column names of economy.items.';
    END IF;
    PERFORM economy.note_change(
        'items', id, CASE WHEN old_row.item_id IS NULL THEN 'create' ELSE 'change' END, actor);
    RETURN new_row;
END
$$;
COMMENT ON FUNCTION economy.upsert_item(jsonb, text) IS
    'Creates an item, or changes the given columns of one; keys are the column names of items. '
    'Recorded with actor, before and after. XE901 for an item that is not valid.';

CREATE FUNCTION economy.set_transfer_rules(rules jsonb, actor text) RETURNS economy.transfer_rules
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    old_row   economy.transfer_rules;
    new_row   economy.transfer_rules;
    wrong     text;
    failed    text;
    at_column text;
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.require_given('rules', rules IS NOT NULL);
    IF jsonb_typeof(rules) <> 'object' THEN
        RAISE EXCEPTION 'rules must be a JSON object' USING ERRCODE = 'XE901';
    END IF;
    PERFORM economy_internal.open_tables('transfer_rules', 'config_changes');
    -- one change at a time, also of a row that does not exist yet
    PERFORM economy_internal.lock_name('economy.transfer_rules');
    SELECT * INTO old_row FROM economy.transfer_rules r WHERE r.rules = 'all' FOR NO KEY UPDATE;
    SELECT format('%s is no such column that can be set', to_json(k)) INTO wrong
        FROM jsonb_object_keys(set_transfer_rules.rules) k
        WHERE k NOT IN ('enabled', 'fee_per_mille', 'daily_gold', 'minimum_age_hours')
        ORDER BY k COLLATE "C" LIMIT 1;
    IF wrong IS NULL THEN
        BEGIN
            new_row := old_row;
            IF old_row.rules IS NULL THEN
                new_row := jsonb_populate_record(NULL::economy.transfer_rules, jsonb_build_object(
                    'rules', 'all', 'enabled', false, 'fee_per_mille', 0, 'minimum_age_hours', 0));
            END IF;
            new_row := jsonb_populate_record(new_row, set_transfer_rules.rules);
            IF old_row.rules IS NULL THEN
                INSERT INTO economy.transfer_rules SELECT (new_row).*;
            ELSE
                UPDATE economy.transfer_rules r SET
                    enabled = new_row.enabled, fee_per_mille = new_row.fee_per_mille,
                    daily_gold = new_row.daily_gold, minimum_age_hours = new_row.minimum_age_hours
                WHERE r.rules = 'all';
            END IF;
        EXCEPTION WHEN data_exception OR check_violation OR not_null_violation THEN
            GET STACKED DIAGNOSTICS
                wrong = MESSAGE_TEXT, failed = CONSTRAINT_NAME, at_column = COLUMN_NAME;
            wrong := economy_internal.violation(
                'transfer_rules', set_transfer_rules.rules, wrong, failed, at_column);
        END;
    END IF;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'rules are not valid'
            USING ERRCODE = 'XE901', DETAIL = wrong || '.',
            HINT = 'The keys are the column names of economy.transfer_rules.';
    END IF;
    PERFORM economy.note_change('transfer_rules', 'all',
        CASE WHEN old_row.rules IS NULL THEN 'create' ELSE 'change' END, actor);
    RETURN new_row;
END
$$;
COMMENT ON FUNCTION economy.set_transfer_rules(jsonb, text) IS
    'Sets the given rules of transfer(), which is off until one sets enabled; keys are the column '
    'names of transfer_rules. Recorded with actor, before and after. XE901 for what is not valid.';

CREATE TABLE economy.draw_tables (
    table_id   text    NOT NULL COLLATE "C" CONSTRAINT draw_tables_pkey PRIMARY KEY
        CONSTRAINT draw_tables_table_id_check CHECK (octet_length(table_id) BETWEEN 1 AND 64),
    version    integer NOT NULL DEFAULT 0,
    definition jsonb,
    draft      jsonb,
    active     boolean NOT NULL DEFAULT true,
    texts      jsonb   NOT NULL DEFAULT '{}'
        CONSTRAINT draw_tables_texts_check CHECK (jsonb_typeof(texts) = 'object'
            AND NOT jsonb_path_exists(texts, 'strict $.* ? (@.type() != "object")')),
    extra      jsonb   NOT NULL DEFAULT '{}'
        CONSTRAINT draw_tables_extra_check CHECK (jsonb_typeof(extra) = 'object'),
    CONSTRAINT draw_tables_version_check CHECK ((version > 0) = (definition IS NOT NULL))
);
SELECT pg_catalog.pg_extension_config_dump('economy.draw_tables', '');
COMMENT ON TABLE economy.draw_tables IS
    'What can be drawn. Changed by upsert_draw_table() and publish_draw_table() only.';
COMMENT ON CONSTRAINT draw_tables_table_id_check ON economy.draw_tables IS
    'table_id must have 1 to 64 bytes';
COMMENT ON CONSTRAINT draw_tables_texts_check ON economy.draw_tables IS
    'texts must be a JSON object of languages, each with an object';
COMMENT ON CONSTRAINT draw_tables_extra_check ON economy.draw_tables IS
    'extra must be a JSON object';
COMMENT ON CONSTRAINT draw_tables_version_check ON economy.draw_tables IS
    'version is 0 until a definition is published';
COMMENT ON COLUMN economy.draw_tables.definition IS
    'What draw() draws from: that of the version. Set by publish_draw_table() alone.';
COMMENT ON COLUMN economy.draw_tables.draft IS
    'The next definition: published, it is never changed again.';
COMMENT ON COLUMN economy.draw_tables.active IS 'Whether it is drawn from.';
COMMENT ON COLUMN economy.draw_tables.texts IS
    'What is shown, by language: {"en": {"name": "Chest"}}.';

CREATE TABLE economy.draw_table_versions (
    table_id     text        NOT NULL COLLATE "C",
    version      integer     NOT NULL
        CONSTRAINT draw_table_versions_version_check CHECK (version > 0),
    definition   jsonb       NOT NULL,
    published_at timestamptz NOT NULL,
    CONSTRAINT draw_table_versions_pkey PRIMARY KEY (table_id, version)
);
SELECT pg_catalog.pg_extension_config_dump('economy.draw_table_versions', '');
COMMENT ON TABLE economy.draw_table_versions IS
    'Every definition that was published: what draws of the past are checked against.';

CREATE TABLE economy.draw_seeds (
    user_id     bigint  NOT NULL,
    seed_number bigint  NOT NULL CONSTRAINT draw_seeds_seed_number_check CHECK (seed_number > 0),
    key_version integer NOT NULL,
    sealed      bytea   NOT NULL,
    hash        bytea   NOT NULL,
    next_nonce  bigint  NOT NULL CONSTRAINT draw_seeds_next_nonce_check CHECK (next_nonce >= 0),
    server_seed bytea,
    CONSTRAINT draw_seeds_pkey PRIMARY KEY (user_id, seed_number),
    CONSTRAINT draw_seeds_server_seed_check
        CHECK (CASE WHEN server_seed IS NULL THEN octet_length(sealed) = 48
                    ELSE octet_length(sealed) = 0 AND key_version = 0 END)
) WITH (fillfactor = 70);
SELECT pg_catalog.pg_extension_config_dump('economy.draw_seeds', '');
COMMENT ON TABLE economy.draw_seeds IS
    'Server seeds of users: one that is drawn with, the newest, and those that are revealed.';
COMMENT ON COLUMN economy.draw_seeds.sealed IS
    '16 random bytes, and the seed XOR an HMAC of them by the signing key of key_version: without '
    'the key it tells nothing. Empty once the seed has ended.';
COMMENT ON COLUMN economy.draw_seeds.hash IS 'SHA-256 of the seed, which the player saw before.';
COMMENT ON COLUMN economy.draw_seeds.next_nonce IS 'Draws with it until now.';
COMMENT ON COLUMN economy.draw_seeds.server_seed IS
    'The seed, once it is revealed; empty of one that was lost with its key.';

CREATE TABLE economy_internal.draw_pity (
    user_id  bigint NOT NULL,
    table_id text   NOT NULL COLLATE "C",
    draws    bigint NOT NULL CONSTRAINT draw_pity_draws_check CHECK (draws >= 0),
    CONSTRAINT draw_pity_pkey PRIMARY KEY (user_id, table_id)
) WITH (fillfactor = 70);
SELECT pg_catalog.pg_extension_config_dump('economy_internal.draw_pity', '');
COMMENT ON TABLE economy_internal.draw_pity IS
    'Draws of a user from a table since the last one of the class that its pity gives.';

CREATE TABLE economy.draw_prizes (
    table_id text   NOT NULL COLLATE "C",
    entry    text   NOT NULL COLLATE "C",
    given    bigint NOT NULL DEFAULT 0 CONSTRAINT draw_prizes_given_check CHECK (given >= 0),
    CONSTRAINT draw_prizes_pkey PRIMARY KEY (table_id, entry)
) WITH (fillfactor = 50);
SELECT pg_catalog.pg_extension_config_dump('economy.draw_prizes', '');
COMMENT ON TABLE economy.draw_prizes IS
    'How often the prize of an entry with a limit was given, by all versions of its table.';

CREATE TYPE economy.draw_seed_result AS (
    success          boolean,
    state            text,
    code             text,
    seed_number      bigint,
    seed_hash        text,
    draws            bigint,
    server_seed      text,
    next_seed_number bigint,
    next_seed_hash   text
);
COMMENT ON TYPE economy.draw_seed_result IS 'Result of draw_commit() and draw_reveal().';

CREATE FUNCTION economy.draw_commit(user_id bigint) RETURNS economy.draw_seed_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_draw_commit';
COMMENT ON FUNCTION economy.draw_commit(bigint) IS
    'The hash of the server seed that the user''s next draws are made with, and a new seed where '
    'there is none. Refuses USER_NOT_FOUND.';

CREATE FUNCTION economy.draw_reveal(user_id bigint, seed_number bigint)
    RETURNS economy.draw_seed_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_draw_reveal';
COMMENT ON FUNCTION economy.draw_reveal(bigint, bigint) IS
    'Ends a server seed and commits to the next; of one that a transaction before has ended it '
    'shows the seed. '
    'Refuses USER_NOT_FOUND, SEED_NOT_FOUND, SEED_LOST.';

CREATE TYPE economy.draw_result AS (
    success        boolean,
    state          text,
    code           text,
    transaction_id text,
    outcome        jsonb,
    items          jsonb,
    gold_delta     bigint,
    gold           bigint,
    seed_number    bigint,
    seed_hash      text,
    nonce          bigint,
    retry_after_ms integer,
    detail         jsonb
);
COMMENT ON TYPE economy.draw_result IS 'Result of draw().';

CREATE FUNCTION economy.draw(
    user_id bigint, draw_table text, idempotency_key text, client_seed text,
    context jsonb DEFAULT NULL, dry_run boolean DEFAULT false
) RETURNS economy.draw_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_draw';
COMMENT ON FUNCTION economy.draw(bigint, text, text, text, jsonb, boolean) IS
    'Draws once from a table, once per idempotency key: pays its price and gives its prize in one '
    'entry. Refuses DRAW_TABLE_NOT_FOUND, DRAW_TABLE_INACTIVE, SEED_NOT_COMMITTED, SEED_LOST, '
    'INSUFFICIENT_GOLD, GOLD_OVERFLOW, INSUFFICIENT_ITEMS, ITEM_NOT_FOUND, ITEM_NOT_CONSUMABLE, '
    'ITEM_INACTIVE, ITEM_LIMIT, USER_NOT_FOUND, USER_SUSPENDED, IDEMPOTENCY_MISMATCH.';

CREATE FUNCTION economy.verify_draw(
    server_seed text, client_seed text, nonce bigint, definition jsonb, pity bigint DEFAULT 0
) RETURNS jsonb
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_verify_draw';
COMMENT ON FUNCTION economy.verify_draw(text, text, bigint, jsonb, bigint) IS
    'The outcome of a draw, from nothing but a revealed seed, what was given, and the table''s '
    'definition.';

CREATE FUNCTION economy.simulate_draws(
    definition jsonb, draws integer DEFAULT 1000000, seed text DEFAULT 'simulation'
) RETURNS jsonb
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_simulate_draws';
COMMENT ON FUNCTION economy.simulate_draws(jsonb, integer, text) IS
    'What so many draws of one player from a definition would give: how often each entry comes, '
    'gold, XP and items of a draw on average, and by which draw the class of pity has come.';

CREATE FUNCTION economy_internal.draw_seed_sound(
    user_id bigint, seed_number bigint, key_version integer, sealed bytea, hash bytea
) RETURNS boolean
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_draw_seed_sound';
COMMENT ON FUNCTION economy_internal.draw_seed_sound(bigint, bigint, integer, bytea, bytea) IS
    'Whether a server seed can be opened with its key, and has its hash.';

CREATE FUNCTION economy_internal.check_draw_table(definition jsonb) RETURNS void
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_check_draw_table';
COMMENT ON FUNCTION economy_internal.check_draw_table(jsonb) IS
    'Raises XE002 with what is wrong with the definition of a draw table.';

CREATE FUNCTION economy.draw_table(
    table_id text, version integer DEFAULT NULL, OUT version_number integer, OUT active boolean,
    OUT definition jsonb, OUT published_at timestamptz, OUT texts jsonb, OUT given jsonb
) RETURNS SETOF record
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 1
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.open_tables('draw_tables', 'draw_table_versions', 'draw_prizes');
        SELECT v.version, t.active AND v.version = t.version, v.definition, v.published_at, t.texts,
               (SELECT jsonb_object_agg(p.entry, p.given) FROM economy.draw_prizes p
                -- without a name only damage leaves one
                WHERE p.table_id = t.table_id AND p.entry IS NOT NULL)
        FROM economy.draw_tables t
        JOIN economy.draw_table_versions v ON v.table_id = t.table_id
        WHERE t.table_id = draw_table.table_id
          AND v.version = coalesce(draw_table.version, t.version);
    END;
COMMENT ON FUNCTION economy.draw_table(text, integer) IS
    'The definition of a draw table that is published, or was: what a player is shown before a '
    'draw, and checks one with. Of its prizes with a limit how many were given.';

CREATE FUNCTION economy_internal.draw_table_items(definition jsonb)
    RETURNS TABLE (item_id text, is_price boolean, amount numeric)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT i.key COLLATE "C", i.is_price, max(i.value::numeric)
        FROM (SELECT p.key, true AS is_price, p.value
              FROM jsonb_each_text(definition #> '{price,items}') p
              UNION ALL
              SELECT g.key, false, g.value
              FROM jsonb_array_elements(definition -> 'entries') e
              CROSS JOIN LATERAL jsonb_each_text(e -> 'items') g) i
        GROUP BY 1, 2;
    END;
COMMENT ON FUNCTION economy_internal.draw_table_items(jsonb) IS
    'Items of a valid definition: of its price, and of its prizes, with the largest amount.';

CREATE FUNCTION economy_internal.check_draw_items(definition jsonb) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT CASE WHEN i.item_id IS NULL
                    THEN format('there is no item %s', to_json(n.item_id))
                    WHEN n.is_price AND NOT i.consumable
                    THEN format('item %s of the price is not consumable', to_json(n.item_id))
                    WHEN NOT n.is_price AND NOT i.active
                    THEN format('item %s is not given any more', to_json(n.item_id))
                    WHEN NOT n.is_price AND n.amount > i.maximum
                    THEN format('%s of item %s are above its maximum', n.amount,
                                to_json(n.item_id)) END
        FROM economy_internal.draw_table_items(definition) n
        LEFT JOIN economy.items i ON i.item_id = n.item_id
        WHERE i.item_id IS NULL OR (n.is_price AND NOT i.consumable)
           OR (NOT n.is_price AND (NOT i.active OR n.amount > i.maximum))
        ORDER BY n.item_id, n.is_price LIMIT 1;
    END;
COMMENT ON FUNCTION economy_internal.check_draw_items(jsonb) IS
    'What is wrong with the items of a definition; null when nothing is.';

CREATE FUNCTION economy_internal.refuse_draw_table(id text, wrong text) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'draw table "%" is not valid', id
        USING ERRCODE = 'XE901', DETAIL = rtrim(wrong, '.') || '.',
        HINT = 'The keys are the column names of economy.draw_tables; doc/draws.md says what a '
               'definition is.';
END
$$;
COMMENT ON FUNCTION economy_internal.refuse_draw_table(text, text) IS
    'Raises XE901 for a draw table.';

CREATE FUNCTION economy.upsert_draw_table(draw_table jsonb, actor text) RETURNS economy.draw_tables
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    old_row   economy.draw_tables;
    new_row   economy.draw_tables;
    id        text := draw_table ->> 'table_id';
    wrong     text;
    detail    text;
    failed    text;
    at_column text;
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.require_given('draw_table', draw_table IS NOT NULL);
    IF jsonb_typeof(draw_table) <> 'object' OR id IS NULL THEN
        RAISE EXCEPTION 'draw_table must be a JSON object with a table_id'
            USING ERRCODE = 'XE901';
    END IF;
    PERFORM economy_internal.open_tables('draw_tables', 'config_changes');
    PERFORM economy_internal.lock_name('economy.draw_table:' || id);
    SELECT * INTO old_row FROM economy.draw_tables t WHERE t.table_id = id FOR NO KEY UPDATE;
    wrong := (SELECT format('%s is no such column that can be set', to_json(min(k COLLATE "C")))
              FROM jsonb_object_keys(draw_table) k
              WHERE k NOT IN ('table_id', 'draft', 'active', 'texts', 'extra')
              HAVING count(*) > 0);
    IF wrong IS NULL THEN
        BEGIN
            new_row := old_row;
            IF old_row.table_id IS NULL THEN
                new_row := jsonb_populate_record(NULL::economy.draw_tables,
                    '{"version": 0, "active": true, "texts": {}, "extra": {}}');
            END IF;
            new_row := jsonb_populate_record(new_row, draw_table);
            IF new_row.draft IS NOT NULL THEN
                PERFORM economy_internal.check_draw_table(new_row.draft);
            END IF;
            IF old_row.table_id IS NULL THEN
                INSERT INTO economy.draw_tables SELECT (new_row).*;
            ELSE
                UPDATE economy.draw_tables t SET
                    draft = new_row.draft, active = new_row.active, texts = new_row.texts,
                    extra = new_row.extra
                WHERE t.table_id = id;
            END IF;
        EXCEPTION
            WHEN SQLSTATE 'XE002' OR SQLSTATE 'XE003' THEN
                GET STACKED DIAGNOSTICS wrong = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
                wrong := coalesce(nullif(detail, ''), wrong);
            WHEN data_exception OR check_violation OR not_null_violation THEN
                GET STACKED DIAGNOSTICS
                    wrong = MESSAGE_TEXT, failed = CONSTRAINT_NAME, at_column = COLUMN_NAME;
                wrong := economy_internal.violation('draw_tables', draw_table, wrong, failed,
                                                    at_column);
        END;
    END IF;
    IF wrong IS NOT NULL THEN
        PERFORM economy_internal.refuse_draw_table(id, wrong);
    END IF;
    PERFORM economy.note_change('draw_tables', id,
        CASE WHEN old_row.table_id IS NULL THEN 'create' ELSE 'change' END, actor);
    RETURN new_row;
END
$$;
COMMENT ON FUNCTION economy.upsert_draw_table(jsonb, text) IS
    'Creates a draw table, or changes the given columns of one: its draft, whether it is active, '
    'texts. Recorded with actor, before and after. XE901 for one that is not valid.';

CREATE FUNCTION economy_internal.limited_entries(definition jsonb)
    RETURNS TABLE (entry text, most numeric, instead text)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT e.value ->> 'entry' COLLATE "C", (e.value ->> 'limit')::numeric, e.value ->> 'else'
        FROM jsonb_array_elements(definition -> 'entries') e
        WHERE e.value -> 'limit' > '0';
    END;
COMMENT ON FUNCTION economy_internal.limited_entries(jsonb) IS
    'Entries of a valid definition that have a limit, and what gives its prize beyond it.';

CREATE FUNCTION economy.publish_draw_table(table_id text, actor text) RETURNS economy.draw_tables
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    row_now economy.draw_tables;
    wrong   text;
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.require_given('table_id', table_id IS NOT NULL);
    PERFORM economy_internal.open_tables('draw_tables', 'draw_table_versions', 'draw_prizes',
                                         'items', 'config_changes');
    PERFORM economy_internal.lock_name('economy.draw_table:' || table_id);
    SELECT * INTO row_now FROM economy.draw_tables t
        WHERE t.table_id = publish_draw_table.table_id FOR NO KEY UPDATE;
    IF row_now.draft IS NULL THEN
        PERFORM economy_internal.refuse_draw_table(table_id,
            CASE WHEN row_now.table_id IS NULL THEN 'There is no such draw table.'
                 ELSE 'It has no draft; economy.upsert_draw_table() gives it one.' END);
    END IF;
    PERFORM economy_internal.check_draw_table(row_now.draft);
    wrong := economy_internal.check_draw_items(row_now.draft);
    IF wrong IS NOT NULL THEN
        PERFORM economy_internal.refuse_draw_table(table_id, wrong);
    END IF;
    UPDATE economy.draw_tables t
        SET version = t.version + 1, definition = t.draft, draft = NULL
        WHERE t.table_id = row_now.table_id RETURNING * INTO STRICT row_now;
    INSERT INTO economy.draw_table_versions
        VALUES (row_now.table_id, row_now.version, row_now.definition, economy.now());
    INSERT INTO economy.draw_prizes (table_id, entry)
        SELECT row_now.table_id, l.entry
        FROM economy_internal.limited_entries(row_now.definition) l
        ORDER BY 1, 2
        ON CONFLICT ON CONSTRAINT draw_prizes_pkey DO NOTHING;
    PERFORM economy.note_change('draw_tables', row_now.table_id, 'publish', actor);
    RETURN row_now;
END
$$;
COMMENT ON FUNCTION economy.publish_draw_table(text, text) IS
    'Makes the draft of a draw table its next version, which is drawn from and never changes. '
    'XE901 when its items do not exist, or cannot be paid or given.';

CREATE VIEW economy_internal.draw_entries AS
    SELECT h.user_id, h.seq, 'H' || h.user_id || '-' || h.seq AS entry, h.reason AS table_id,
           h.gold_delta, h.xp_delta,
           jsonb_path_query_first(
               h.detail, '$.version ? (@ >= 0 && @ < 10000000000)')::numeric AS version,
           jsonb_path_query_first(
               h.detail, '$.seed_number ? (@ >= 0 && @ < 10000000000000000)')::numeric
               AS seed_number,
           jsonb_path_query_first(
               h.detail, '$.nonce ? (@ >= 0 && @ < 10000000000000000)')::numeric AS nonce,
           jsonb_path_query_first(
               h.detail, '$.pity ? (@ >= 0 && @ < 10000000000000000)')::numeric AS pity,
           jsonb_path_query_first(
               h.detail, '$.outcome.pity ? (@ >= 0 && @ < 10000000000000000)')::numeric
               AS pity_after,
           h.detail ->> 'seed_hash' AS seed_hash, h.detail ->> 'client_seed' AS client_seed,
           h.detail -> 'outcome' AS outcome, h.detail ->> 'instead' AS instead,
           jsonb_path_query_first(
               h.detail, '$.prize_number ? (@ >= 0 && @ < 10000000000000000)')::numeric
               AS prize_number
    FROM economy.holding_changes h WHERE h.operation = 'draw';
COMMENT ON VIEW economy_internal.draw_entries IS 'Each draw, and what its entry says of it.';

CREATE FUNCTION economy_internal.draw_gives(
    definition jsonb, entry text, OUT gold numeric, OUT items jsonb, OUT xp numeric
) RETURNS record
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH prize AS (
            SELECT e.value AS given
            FROM jsonb_array_elements(definition -> 'entries') e
            WHERE e.value ->> 'entry' = draw_gives.entry
        ), item AS (
            SELECT i.key, sum(i.amount) AS amount
            FROM (SELECT g.key, g.value::numeric AS amount
                  FROM prize p CROSS JOIN LATERAL jsonb_each_text(p.given -> 'items') g
                  UNION ALL
                  SELECT l.key, -l.value::numeric
                  FROM jsonb_each_text(definition #> '{price,items}') l) i
            GROUP BY i.key HAVING sum(i.amount) <> 0
        )
        SELECT coalesce((SELECT (p.given ->> 'gold')::numeric FROM prize p), 0)
                   - coalesce((definition #>> '{price,gold}')::numeric, 0),
               (SELECT jsonb_object_agg(i.key, i.amount) FROM item i),
               coalesce((SELECT (p.given ->> 'xp')::numeric FROM prize p), 0);
    END;
COMMENT ON FUNCTION economy_internal.draw_gives(jsonb, text) IS
    'Gold, items and XP of an entry of a definition, less its price; no item is null.';

CREATE TABLE economy.escrows (
    user_id    bigint      NOT NULL,
    seq        bigint      NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT escrows_pkey PRIMARY KEY (user_id, seq)
);

CREATE INDEX escrows_expiry ON economy.escrows (expires_at, user_id, seq);
SELECT pg_catalog.pg_extension_config_dump('economy.escrows', '');
COMMENT ON TABLE economy.escrows IS
    'The escrows and rounds that are open: seq is that of the entry escrow_hold or round_open in '
    'holding_changes, which has what is held. escrows_of() and open_actions() show them. Written '
    'by hold_escrow(), open_action() and by what closes one.';

CREATE FUNCTION economy.hold_escrow(
    user_id bigint, idempotency_key text, gold bigint DEFAULT 0, items jsonb DEFAULT NULL,
    ttl interval DEFAULT '24 hours', reason text DEFAULT 'escrow', context jsonb DEFAULT NULL,
    dry_run boolean DEFAULT false
) RETURNS economy.holding_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_hold_escrow';
COMMENT ON FUNCTION economy.hold_escrow(
    bigint, text, bigint, jsonb, interval, text, jsonb, boolean) IS
    'Puts gold, items ({"gem": 5}) or both of a user aside, and the fee for passing it on, once '
    'per idempotency key; the transaction_id is the escrow_id. Refuses TRANSFERS_OFF, '
    'USER_NOT_FOUND, USER_SUSPENDED, TRANSFER_TOO_YOUNG, INSUFFICIENT_GOLD, ITEM_NOT_FOUND, '
    'ITEM_NOT_TRADABLE, INSUFFICIENT_ITEMS, IDEMPOTENCY_MISMATCH.';

CREATE FUNCTION economy.release_escrow(
    user_id bigint, escrow_id text, reason text DEFAULT 'release'
) RETURNS economy.holding_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_release_escrow';
COMMENT ON FUNCTION economy.release_escrow(bigint, text, text) IS
    'Gives a user back all that an escrow holds. Refuses ESCROW_NOT_FOUND, USER_NOT_FOUND, '
    'GOLD_OVERFLOW, ITEM_LIMIT, and ESCROW_CLOSED when another user has got it.';

CREATE FUNCTION economy.capture_escrow(
    user_id bigint, escrow_id text, to_user_id bigint, gold bigint DEFAULT NULL,
    items jsonb DEFAULT NULL, note text DEFAULT NULL
) RETURNS economy.holding_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_capture_escrow';
COMMENT ON FUNCTION economy.capture_escrow(bigint, text, bigint, bigint, jsonb, text) IS
    'Gives another user what an escrow holds, or so much of its gold and of its items, and its '
    'holder the rest back. Refuses SAME_USER, ESCROW_NOT_FOUND, USER_NOT_FOUND, TRANSFERS_OFF, '
    'USER_SUSPENDED, ESCROW_EXPIRED, EXCEEDS_ESCROW, TRANSFER_DAILY_LIMIT, GOLD_OVERFLOW, '
    'ITEM_NOT_FOUND, ITEM_NOT_TRADABLE, ITEM_LIMIT, ESCROW_CLOSED, IDEMPOTENCY_MISMATCH.';

CREATE FUNCTION economy_internal.expire_escrow(user_id bigint, escrow_id text)
    RETURNS economy.holding_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_expire_escrow';
COMMENT ON FUNCTION economy_internal.expire_escrow(bigint, text) IS
    'Gives a user back what an escrow holds whose time is over.';

CREATE FUNCTION economy_internal.held_items(items jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT jsonb_object_agg(i.item, -i.delta) FROM economy_internal.items_of(items) i;
    END;
COMMENT ON FUNCTION economy_internal.held_items(jsonb) IS
    'The items that an entry took, as hold_escrow() is given them; null for none.';

CREATE TYPE economy.open_escrow AS (
    escrow_id  text,
    gold       bigint,
    fee        bigint,
    items      jsonb,
    reason     text,
    context    jsonb,
    held_at    timestamptz,
    expires_at timestamptz,
    expired    boolean
);
COMMENT ON TYPE economy.open_escrow IS 'What an escrow holds: a row of economy.escrows_of().';

CREATE FUNCTION economy.escrows_of(user_id bigint, max integer DEFAULT 100)
    RETURNS SETOF economy.open_escrow
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 10
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.require_limit('max', escrows_of.max);
        SELECT economy_internal.open_tables('escrows', 'holding_changes');
        SELECT 'H' || e.user_id || '-' || e.seq, (h.detail ->> 'gold')::bigint,
               (h.detail ->> 'fee')::bigint, economy_internal.held_items(h.items), h.reason,
               h.context, h.created_at, e.expires_at, e.expires_at <= economy.now()
        FROM economy.escrows e
        LEFT JOIN economy.holding_changes h ON h.user_id = e.user_id AND h.seq = e.seq
        WHERE e.user_id = escrows_of.user_id AND h.operation IS DISTINCT FROM 'round_open'
        ORDER BY e.seq LIMIT least(escrows_of.max, 10000);
    END;
COMMENT ON FUNCTION economy.escrows_of(bigint, integer) IS
    'The escrows of a user that are open, the oldest first, at most max (10,000) of them.';

CREATE FUNCTION economy_internal.expire_escrows(
    after jsonb DEFAULT NULL, max integer DEFAULT 50,
    OUT expired bigint, OUT failed bigint, OUT next jsonb
)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET TimeZone = 'UTC' SET DateStyle = 'ISO, YMD' AS $$
DECLARE
    at     CONSTANT timestamptz := economy.now();
    looked integer := 0;
    e      record;
    answer economy.holding_result;
BEGIN
    expired := 0;
    failed := 0;
    PERFORM economy_internal.open_tables(
        'escrows', 'holding_changes', 'accounts', 'items', 'economy_internal.user_holdings_more');
    FOR e IN
        SELECT o.user_id, o.seq, o.expires_at FROM economy.escrows o
        WHERE o.expires_at <= at
          AND (after IS NULL
               OR (o.expires_at, o.user_id, o.seq) > (
                   (after ->> 'expires_at')::timestamptz, (after ->> 'user_id')::bigint,
                   (after ->> 'seq')::bigint))
        ORDER BY o.expires_at, o.user_id, o.seq LIMIT max
    LOOP
        looked := looked + 1;
        next := to_jsonb(e);
        BEGIN
            -- who is in a call now keeps nobody waiting: the next run finds it again
            PERFORM FROM economy.accounts a WHERE a.user_id = e.user_id
                FOR NO KEY UPDATE SKIP LOCKED;
            CONTINUE WHEN NOT found;
            answer := economy_internal.expire_escrow(
                e.user_id, 'H' || e.user_id || '-' || e.seq);
            expired := expired + (answer.state = 'new')::integer;
            -- one that was closed meanwhile has its end
            IF answer.state = 'refused' AND answer.code <> 'ESCROW_CLOSED' THEN
                failed := failed + 1;
                RAISE WARNING 'escrow H%-% could not be given back', e.user_id, e.seq
                    USING DETAIL = concat_ws(': ', answer.code, answer.detail);
            END IF;
        EXCEPTION WHEN serialization_failure THEN
            RAISE;
        WHEN OTHERS THEN
            failed := failed + 1;
            RAISE WARNING 'escrow H%-% could not be given back', e.user_id, e.seq
                USING DETAIL = format('%s: %s', SQLSTATE, SQLERRM);
        END;
    END LOOP;
    IF looked < max THEN
        next := NULL;
    END IF;
END
$$;
COMMENT ON FUNCTION economy_internal.expire_escrows(jsonb, integer) IS
    'Gives back what escrows hold whose time is over, of at most max of them behind a place; next '
    'is the place of the last one, or null. One that cannot be given back keeps no other from it. '
    'What the job does.';

-- settle: providers of outside money, and whether a webhook is of one

CREATE TABLE economy.payment_providers (
    provider text NOT NULL COLLATE "C" CONSTRAINT payment_providers_pkey PRIMARY KEY
        CONSTRAINT payment_providers_provider_check CHECK (octet_length(provider) BETWEEN 1 AND 64),
    profile  text NOT NULL COLLATE "C"
        CONSTRAINT payment_providers_profile_check CHECK (profile IN ('standard', 'stripe')),
    currency text COLLATE "C"
        CONSTRAINT payment_providers_currency_check CHECK (currency ~ '^[A-Z]{3}$'),
    expiry_s integer NOT NULL DEFAULT 86400
        CONSTRAINT payment_providers_expiry_s_check CHECK (expiry_s BETWEEN 60 AND 2592000),
    retry_base_s integer NOT NULL DEFAULT 30
        CONSTRAINT payment_providers_retry_base_s_check CHECK (retry_base_s BETWEEN 1 AND 3600),
    retry_cap_s integer NOT NULL DEFAULT 3600
        CONSTRAINT payment_providers_retry_cap_s_check CHECK (retry_cap_s BETWEEN 1 AND 86400),
    max_attempts integer NOT NULL DEFAULT 12
        CONSTRAINT payment_providers_max_attempts_check CHECK (max_attempts BETWEEN 1 AND 100),
    CONSTRAINT payment_providers_retry_check CHECK (retry_base_s <= retry_cap_s)
);
SELECT pg_catalog.pg_extension_config_dump('economy.payment_providers', '');
COMMENT ON TABLE economy.payment_providers IS
    'Providers of outside money. Changed by set_payment_provider() only.';
COMMENT ON CONSTRAINT payment_providers_provider_check ON economy.payment_providers IS
    'provider must have 1 to 64 bytes';
COMMENT ON CONSTRAINT payment_providers_profile_check ON economy.payment_providers IS
    'profile must be standard or stripe';
COMMENT ON CONSTRAINT payment_providers_currency_check ON economy.payment_providers IS
    'currency must be a code of three capitals, such as EUR';
COMMENT ON CONSTRAINT payment_providers_expiry_s_check ON economy.payment_providers IS
    'expiry_s must be from 60 to 2592000';
COMMENT ON CONSTRAINT payment_providers_retry_base_s_check ON economy.payment_providers IS
    'retry_base_s must be from 1 to 3600';
COMMENT ON CONSTRAINT payment_providers_retry_cap_s_check ON economy.payment_providers IS
    'retry_cap_s must be from 1 to 86400';
COMMENT ON CONSTRAINT payment_providers_max_attempts_check ON economy.payment_providers IS
    'max_attempts must be from 1 to 100';
COMMENT ON CONSTRAINT payment_providers_retry_check ON economy.payment_providers IS
    'retry_base_s must not be above retry_cap_s';
COMMENT ON COLUMN economy.payment_providers.profile IS
    'How its webhooks are signed: standard (Standard Webhooks 1.0) or stripe.';
COMMENT ON COLUMN economy.payment_providers.currency IS
    'What it is paid in, for ever once it is given: prices are in its minor units. Null: nothing '
    'can be paid by it yet.';
COMMENT ON COLUMN economy.payment_providers.expiry_s IS
    'For how long an order waits for its payment, in seconds.';
COMMENT ON COLUMN economy.payment_providers.retry_base_s IS
    'After the first attempt of a worker the next one is due in so many seconds, after each '
    'further one in twice as many; from half of that to one and a half, at random.';
COMMENT ON COLUMN economy.payment_providers.retry_cap_s IS
    'At most in so many, before chance.';
COMMENT ON COLUMN economy.payment_providers.max_attempts IS
    'After so many attempts no worker is asked again.';

CREATE TABLE economy.payment_secrets (
    provider   text        NOT NULL COLLATE "C",
    version    integer     NOT NULL
        CONSTRAINT payment_secrets_version_check CHECK (version > 0),
    state      text        NOT NULL COLLATE "C"
        CONSTRAINT payment_secrets_state_check CHECK (state IN ('active', 'retired')),
    material   bytea       NOT NULL,
    created_at timestamptz NOT NULL,
    retired_at timestamptz
        CONSTRAINT payment_secrets_retired_at_check
        CHECK ((state = 'retired') = (retired_at IS NOT NULL)),
    CONSTRAINT payment_secrets_pkey PRIMARY KEY (provider, version)
);
SELECT pg_catalog.pg_extension_config_dump('economy.payment_secrets', '');
COMMENT ON TABLE economy.payment_secrets IS
    'Secrets that providers sign their webhooks with. Of the active ones each is as good: a '
    'rotation adds one and retires the other later. A dump contains them: guard it.';
COMMENT ON COLUMN economy.payment_secrets.material IS
    'The key in the secret; of a retired one nothing.';

CREATE TYPE economy.webhook_check AS (
    valid          boolean,
    reason         text,
    webhook_id     text,
    sent_at        timestamptz,
    secret_version integer
);
COMMENT ON TYPE economy.webhook_check IS
    'Result of economy.verify_webhook(): OK, or the reason why the webhook is not valid.';

CREATE FUNCTION economy.verify_webhook(provider text, headers jsonb, body bytea)
    RETURNS economy.webhook_check
    LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'eco_verify_webhook';
COMMENT ON FUNCTION economy.verify_webhook(text, jsonb, bytea) IS
    'Whether a webhook, as its headers and the bytes of its body arrived, is signed with a secret '
    'of the provider, and was sent in the last 300 s. Reasons: OK, PROVIDER_NOT_FOUND, '
    'HEADER_MISSING, HEADER_NOT_VALID, TOO_OLD, TOO_NEW, NO_SECRET, WRONG_SIGNATURE.';

CREATE FUNCTION economy_internal.payment_key(profile text, secret text) RETURNS bytea
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_payment_key';
COMMENT ON FUNCTION economy_internal.payment_key(text, text) IS
    'The key in a secret of a provider with that profile; null when it is none.';

CREATE FUNCTION economy_internal.new_provider() RETURNS economy.payment_providers
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT jsonb_populate_record(NULL::economy.payment_providers,
            '{"expiry_s": 86400, "retry_base_s": 30, "retry_cap_s": 3600, "max_attempts": 12}');
    END;
COMMENT ON FUNCTION economy_internal.new_provider() IS 'The defaults of a provider.';

CREATE FUNCTION economy.set_payment_provider(provider jsonb, actor text)
    RETURNS economy.payment_providers
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    id        CONSTANT text := provider ->> 'provider';
    old_row   economy.payment_providers;
    new_row   economy.payment_providers;
    written   economy.payment_providers;
    wrong     text;
    failed    text;
    at_column text;
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.require_given('provider', provider IS NOT NULL);
    IF jsonb_typeof(provider) <> 'object' OR id IS NULL THEN
        RAISE EXCEPTION 'provider must be a JSON object with a provider' USING ERRCODE = 'XE701';
    END IF;
    PERFORM economy_internal.open_tables('payment_providers', 'config_changes');
    -- one change of a provider at a time, also of one that does not exist yet
    PERFORM economy_internal.lock_name('economy.payment_provider:' || id);
    SELECT * INTO old_row FROM economy.payment_providers p
        WHERE p.provider = id FOR NO KEY UPDATE;
    SELECT format('%s is no such column', to_json(k)) INTO wrong
        FROM jsonb_object_keys(set_payment_provider.provider) k
        WHERE k NOT IN ('provider', 'profile', 'currency', 'expiry_s', 'retry_base_s',
                        'retry_cap_s', 'max_attempts')
        ORDER BY k COLLATE "C" LIMIT 1;
    IF wrong IS NULL AND old_row.profile <> provider ->> 'profile' THEN
        wrong := format('profile is %s for ever: secrets are kept as it says', old_row.profile);
    END IF;
    IF wrong IS NULL AND provider ? 'currency'
       AND old_row.currency IS DISTINCT FROM provider ->> 'currency'
       AND old_row.currency IS NOT NULL THEN
        wrong := format('currency is %s for ever: prices are in it', old_row.currency);
    END IF;
    IF wrong IS NULL THEN
        BEGIN
            new_row := jsonb_populate_record(
                CASE WHEN old_row.provider IS NULL THEN economy_internal.new_provider()
                     ELSE old_row END,
                provider);
            IF old_row.provider IS NULL THEN
                -- of two at once above READ COMMITTED, neither of which sees the other: 40001
                INSERT INTO economy.payment_providers AS p SELECT (new_row).*
                    ON CONFLICT ON CONSTRAINT payment_providers_pkey DO NOTHING
                    RETURNING p.* INTO written;
            ELSE
                UPDATE economy.payment_providers p SET
                    profile = new_row.profile, currency = new_row.currency,
                    expiry_s = new_row.expiry_s, retry_base_s = new_row.retry_base_s,
                    retry_cap_s = new_row.retry_cap_s, max_attempts = new_row.max_attempts
                WHERE p.provider = id RETURNING p.* INTO written;
            END IF;
            PERFORM economy_internal.require_kept(
                'payment_providers', written IS NOT DISTINCT FROM new_row);
        EXCEPTION WHEN data_exception OR check_violation OR not_null_violation THEN
            GET STACKED DIAGNOSTICS
                wrong = MESSAGE_TEXT, failed = CONSTRAINT_NAME, at_column = COLUMN_NAME;
            wrong := economy_internal.violation(
                'payment_providers', provider, wrong, failed, at_column);
        END;
    END IF;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'provider "%" is not valid', id
            USING ERRCODE = 'XE701', DETAIL = wrong || '.',
            HINT = 'The keys are the column names of economy.payment_providers.';
    END IF;
    PERFORM economy.note_change('payment_providers', id,
        CASE WHEN old_row.provider IS NULL THEN 'create' ELSE 'change' END, actor);
    RETURN new_row;
END
$$;
COMMENT ON FUNCTION economy.set_payment_provider(jsonb, text) IS
    'Makes a provider of outside money, or changes the given columns of one; keys are the column '
    'names of payment_providers. Recorded with actor, before and after. XE701 for one that is not '
    'valid.';

CREATE FUNCTION economy_internal.lock_provider(provider text, actor text)
    RETURNS economy.payment_providers
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    result economy.payment_providers;
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.require_given('provider', provider IS NOT NULL);
    PERFORM economy_internal.open_tables('payment_providers', 'payment_secrets', 'config_changes');
    PERFORM economy_internal.lock_name('economy.payment_provider:' || provider);
    SELECT * INTO result FROM economy.payment_providers p
        WHERE p.provider = lock_provider.provider FOR NO KEY UPDATE;
    IF NOT found THEN
        RAISE EXCEPTION 'provider "%" does not exist', left(provider, 64)
            USING ERRCODE = 'XE702', HINT = 'economy.set_payment_provider() makes one.';
    END IF;
    RETURN result;
END
$$;
COMMENT ON FUNCTION economy_internal.lock_provider(text, text) IS
    'The provider that an actor is about to change; XE702 for an unknown one.';

-- No message tells a secret: what a constraint has to say of its row is not passed on.
CREATE FUNCTION economy.add_payment_secret(provider text, secret text, actor text) RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    of     CONSTANT economy.payment_providers := economy_internal.lock_provider(provider, actor);
    key    CONSTANT bytea := economy_internal.payment_key(of.profile, secret);
    number integer;
    kept   boolean;
    failed text;
BEGIN
    PERFORM economy_internal.require_given('secret', secret IS NOT NULL);
    IF key IS NULL THEN
        RAISE EXCEPTION 'secret is none of the profile %', of.profile USING ERRCODE = 'XE701',
            DETAIL = CASE of.profile
                WHEN 'stripe' THEN 'It must have 16 to 256 characters of ASCII, without blanks.'
                ELSE 'It must be base64 of 16 to 256 bytes, with whsec_ in front or without.' END;
    END IF;
    SELECT s.version INTO number FROM economy.payment_secrets s
        WHERE s.provider = of.provider AND s.state = 'active' AND s.material = key;
    IF number IS NOT NULL THEN
        RETURN number;
    END IF;
    IF (SELECT count(*) FROM economy.payment_secrets s
        WHERE s.provider = of.provider AND s.state = 'active') >= 8 THEN
        RAISE EXCEPTION 'provider "%" has 8 active secrets', of.provider USING ERRCODE = 'XE701',
            HINT = 'economy.retire_payment_secret() retires one.';
    END IF;
    -- also above those that a dump left out
    SELECT greatest(
        (SELECT max(s.version) FROM economy.payment_secrets s WHERE s.provider = of.provider),
        (SELECT max((c.after ->> 'version')::integer) FROM economy.config_changes c
         WHERE c.relation = 'payment_secrets' AND c.after ->> 'provider' = of.provider), 0) + 1
        INTO number;
    BEGIN
        INSERT INTO economy.payment_secrets AS s (provider, version, state, material, created_at)
            VALUES (of.provider, number, 'active', key, economy.now())
            RETURNING s.provider = of.provider AND s.version = number AND s.state = 'active'
                      AND s.material = key INTO kept;
        PERFORM economy_internal.require_kept('payment_secrets', kept);
    EXCEPTION WHEN integrity_constraint_violation THEN
        GET STACKED DIAGNOSTICS failed = CONSTRAINT_NAME;
        RAISE EXCEPTION 'a constraint refuses the secret' USING ERRCODE = 'XE701',
            DETAIL = format('It is %s of economy.payment_secrets.', failed);
    END;
    PERFORM economy.note_change('payment_secrets', of.provider || ':' || number, 'create', actor);
    RETURN number;
END
$$;
COMMENT ON FUNCTION economy.add_payment_secret(text, text, text) IS
    'Adds a secret that a provider signs its webhooks with, and returns its version; one that is '
    'there is not added again. Others stay as good. Recorded with actor, without the secret. XE701 '
    'for what is no secret, XE702 for an unknown provider.';

CREATE FUNCTION economy.retire_payment_secret(provider text, version integer, actor text)
    RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    of   CONSTANT economy.payment_providers := economy_internal.lock_provider(provider, actor);
    kept boolean;
BEGIN
    PERFORM economy_internal.require_given('version', version IS NOT NULL);
    PERFORM FROM economy.payment_secrets s
        WHERE s.provider = of.provider AND s.version = retire_payment_secret.version
          AND s.state = 'active' FOR NO KEY UPDATE;
    IF NOT found THEN
        RETURN false;
    END IF;
    UPDATE economy.payment_secrets s
        SET state = 'retired', material = '', retired_at = economy.now()
        WHERE s.provider = of.provider AND s.version = retire_payment_secret.version
        RETURNING s.state = 'retired' AND s.material = '' INTO kept;
    PERFORM economy_internal.require_kept('payment_secrets', kept);
    PERFORM economy.note_change(
        'payment_secrets', of.provider || ':' || version, 'retire', actor);
    RETURN true;
END
$$;
COMMENT ON FUNCTION economy.retire_payment_secret(text, integer, text) IS
    'Destroys a secret of a provider: what is signed with it is WRONG_SIGNATURE from then on. '
    'False when the version is not active. XE702 for an unknown provider.';
-- orders: purchases that outside money pays for, from the order to the purchase

CREATE TABLE economy.payment_orders (
    user_id         bigint      NOT NULL,
    product_id      text        NOT NULL COLLATE "C",
    idempotency_key text        NOT NULL COLLATE "C",
    order_id        uuid        NOT NULL CONSTRAINT payment_orders_order_id_key UNIQUE,
    provider        text        NOT NULL COLLATE "C",
    quantity        integer     NOT NULL
        CONSTRAINT payment_orders_quantity_check CHECK (quantity > 0),
    amount          bigint      NOT NULL
        CONSTRAINT payment_orders_amount_check CHECK (amount BETWEEN 1 AND 9007199254740991),
    currency        text        NOT NULL COLLATE "C",
    terms           jsonb       NOT NULL,
    context         jsonb,
    state           text        NOT NULL COLLATE "C" CONSTRAINT payment_orders_state_check
        CHECK (state IN ('CREATED', 'PENDING', 'CONFIRMED', 'VOIDED', 'FAILED', 'EXPIRED',
                         'REFUNDED', 'CHARGED_BACK', 'CONFLICT')),
    is_open         boolean     NOT NULL,
    stock_slot      smallint,
    seq             bigint,
    provider_ref    text COLLATE "C" CONSTRAINT payment_orders_provider_ref_check
        CHECK (octet_length(provider_ref) BETWEEN 1 AND 255),
    made_at         timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    due_at          timestamptz NOT NULL,
    attempts        integer     NOT NULL
        CONSTRAINT payment_orders_attempts_check CHECK (attempts >= 0),
    worker          text,
    CONSTRAINT payment_orders_pkey PRIMARY KEY (user_id, product_id, idempotency_key),
    CONSTRAINT payment_orders_provider_ref_key UNIQUE (provider, provider_ref),
    -- of a conflict an operator says what it is
    CONSTRAINT payment_orders_seq_check CHECK (
        CASE WHEN state IN ('CONFIRMED', 'REFUNDED', 'CHARGED_BACK') THEN seq IS NOT NULL
             WHEN state <> 'CONFLICT' THEN seq IS NULL ELSE true END),
    CONSTRAINT payment_orders_open_check CHECK (is_open = (
        state IN ('CREATED', 'PENDING') OR (state = 'CONFLICT' AND seq IS NULL))),
    CONSTRAINT payment_orders_stock_check CHECK (is_open OR stock_slot IS NULL),
    CONSTRAINT payment_orders_due_check CHECK (
        state IN ('CREATED', 'PENDING') OR (due_at = 'infinity' AND worker IS NULL)),
    CONSTRAINT payment_orders_time_check CHECK (expires_at > made_at)
) WITH (fillfactor = 80);
-- whole ones: a partial index has no direct way
CREATE INDEX payment_orders_open ON economy.payment_orders (user_id, is_open);
CREATE INDEX payment_orders_due ON economy.payment_orders (due_at);
CREATE INDEX payment_orders_state ON economy.payment_orders (state);
CREATE INDEX payment_orders_expiry ON economy.payment_orders (is_open, expires_at);
SELECT pg_catalog.pg_extension_config_dump('economy.payment_orders', '');
COMMENT ON TABLE economy.payment_orders IS
    'Purchases that money from outside pays for, from the call of purchase() on, and what became '
    'of them.';
COMMENT ON COLUMN economy.payment_orders.order_id IS 'By which the provider and workers name it.';
COMMENT ON COLUMN economy.payment_orders.amount IS
    'What is to be paid, in minor units of currency.';
COMMENT ON COLUMN economy.payment_orders.terms IS
    'What a unit gives, as it was promised when it was ordered.';
COMMENT ON COLUMN economy.payment_orders.is_open IS 'Whether a purchase may come of it yet.';
COMMENT ON COLUMN economy.payment_orders.stock_slot IS
    'Slot the units were taken from that it holds; null: it holds none.';
COMMENT ON COLUMN economy.payment_orders.seq IS 'Of the purchase that was made of it.';
COMMENT ON COLUMN economy.payment_orders.provider_ref IS 'How the provider names the payment.';
COMMENT ON COLUMN economy.payment_orders.expires_at IS
    'When it is given up, unless a report says otherwise, or a worker has it.';
COMMENT ON COLUMN economy.payment_orders.due_at IS
    'From when on settlement_lease() hands it out: while a worker has it, the end of the lease; '
    'infinity: never.';
COMMENT ON COLUMN economy.payment_orders.attempts IS 'How often it was handed out.';
COMMENT ON COLUMN economy.payment_orders.worker IS 'Who has it.';

CREATE TABLE economy.payment_order_history (
    order_id   uuid        NOT NULL,
    step       integer     NOT NULL
        CONSTRAINT payment_order_history_step_check CHECK (step > 0),
    at         timestamptz NOT NULL,
    report     text        NOT NULL COLLATE "C",
    from_state text COLLATE "C",
    to_state   text        NOT NULL COLLATE "C",
    reporter   text        NOT NULL,
    reason     text,
    detail     jsonb,
    CONSTRAINT payment_order_history_pkey PRIMARY KEY (order_id, step),
    CONSTRAINT payment_order_history_first_check CHECK ((step = 1) = (from_state IS NULL))
);
SELECT pg_catalog.pg_extension_config_dump('economy.payment_order_history', '');
CREATE TRIGGER payment_order_history_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE
    ON economy.payment_order_history
    FOR EACH STATEMENT EXECUTE FUNCTION economy_internal.forbid_change();
ALTER TABLE economy.payment_order_history
    ENABLE ALWAYS TRIGGER payment_order_history_is_kept;
COMMENT ON TABLE economy.payment_order_history IS
    'Every step of an order: when, what was reported, by whom and why. Append-only.';
COMMENT ON COLUMN economy.payment_order_history.report IS
    'What was reported: ordered, pending, confirmed, voided, failed, expired, refunded, '
    'charged_back; resolved by an operator.';
COMMENT ON COLUMN economy.payment_order_history.reason IS
    'What the reporter said of it; of a conflict, what contradicts.';
COMMENT ON COLUMN economy.payment_order_history.detail IS
    'What the report said beyond that: provider_ref, amount, currency, and the webhook_id that it '
    'came by; of the first step the order as it was placed.';

CREATE TYPE economy.order_result AS (
    success        boolean,
    state          text,
    code           text,
    transaction_id text,
    order_id       uuid,
    order_state    text,
    detail         jsonb
);
COMMENT ON TYPE economy.order_result IS
    'Result of economy.settlement_report() and economy.resolve_order().';

-- The whole of the rules.  Reports may come twice, and in any order; what contradicts what is
-- known is for an operator.
CREATE FUNCTION economy_internal.order_step(state text, report text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT CASE
            WHEN state = 'CONFLICT' THEN 'CONFLICT'
            WHEN report = 'unknown' THEN state
            WHEN state IN ('CREATED', 'PENDING') THEN
                CASE report WHEN 'pending' THEN 'PENDING' WHEN 'confirmed' THEN 'CONFIRMED'
                            WHEN 'voided' THEN 'VOIDED' WHEN 'failed' THEN 'FAILED'
                            WHEN 'expired' THEN 'EXPIRED' ELSE 'CONFLICT' END
            -- what is older than what is known
            WHEN report = 'pending' THEN state
            WHEN state = 'CONFIRMED' THEN
                CASE report WHEN 'confirmed' THEN state WHEN 'refunded' THEN 'REFUNDED'
                            WHEN 'charged_back' THEN 'CHARGED_BACK' ELSE 'CONFLICT' END
            WHEN state = 'REFUNDED' AND report IN ('confirmed', 'refunded') THEN state
            WHEN state = 'CHARGED_BACK' AND report IN ('confirmed', 'charged_back') THEN state
            -- nothing was paid, by whichever name
            WHEN state IN ('VOIDED', 'FAILED', 'EXPIRED')
             AND report IN ('voided', 'failed', 'expired') THEN state
            ELSE 'CONFLICT' END;
    END;
COMMENT ON FUNCTION economy_internal.order_step(text, text) IS
    'The state that an order of a state has after a report.';

CREATE FUNCTION economy_internal.note_step(
    order_id uuid, at timestamptz, report text, from_state text, to_state text, reporter text,
    reason text, detail jsonb
) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    h        CONSTANT economy.payment_order_history := (
        order_id,
        (SELECT coalesce(max(p.step), 0) + 1 FROM economy.payment_order_history p
         WHERE p.order_id = note_step.order_id),
        at, report, from_state, to_state, reporter, reason, detail);
    as_given boolean;
BEGIN
    INSERT INTO economy.payment_order_history AS p SELECT (h).*
        RETURNING (p.*) IS NOT DISTINCT FROM h INTO as_given;
    IF as_given IS NOT TRUE THEN
        RAISE EXCEPTION 'a step of an order would be noted in another way than it was made'
            USING ERRCODE = 'XE103',
            HINT = 'Look for a BEFORE trigger or a rule on economy.payment_order_history that '
                   'changes values or suppresses rows.';
    END IF;
END
$$;
COMMENT ON FUNCTION economy_internal.note_step(
    uuid, timestamptz, text, text, text, text, text, jsonb) IS
    'Notes a step of an order, whose row is locked.';

CREATE FUNCTION economy_internal.order_placed(o economy.payment_orders) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT jsonb_build_object(
            'user_id', (o).user_id, 'product_id', (o).product_id,
            'idempotency_key', (o).idempotency_key, 'provider', (o).provider,
            'quantity', (o).quantity, 'amount', (o).amount, 'currency', (o).currency,
            'terms', (o).terms, 'context', (o).context);
    END;
COMMENT ON FUNCTION economy_internal.order_placed(economy.payment_orders) IS
    'What of an order never changes, as the first step of its history has it.';

CREATE FUNCTION economy_internal.place_order(
    user_id bigint, product_id text, idempotency_key text, provider text, quantity integer,
    amount bigint, terms jsonb, context jsonb, stock_slot smallint
) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    at       CONSTANT timestamptz := economy.now();
    o        economy.payment_orders;
    as_given boolean;
BEGIN
    SELECT place_order.user_id, place_order.product_id, place_order.idempotency_key,
           gen_random_uuid(), p.provider, place_order.quantity, place_order.amount, p.currency,
           place_order.terms, nullif(place_order.context, 'null'), 'CREATED', true,
           nullif(place_order.stock_slot, -1), NULL, NULL, at,
           at + make_interval(secs => p.expiry_s), at, 0, NULL
        INTO o FROM economy.payment_providers p
        WHERE p.provider = place_order.provider AND p.currency IS NOT NULL;
    IF NOT found THEN
        RAISE EXCEPTION 'provider "%" of product "%" is not there, or has no currency',
                provider, product_id USING ERRCODE = 'XE103',
            HINT = 'Rows of economy.payment_providers were changed by hand. '
                   'economy.audit_sweep() says what is missing.';
    END IF;
    INSERT INTO economy.payment_orders AS n SELECT (o).*
        RETURNING (n.*) IS NOT DISTINCT FROM o INTO as_given;
    IF as_given IS NOT TRUE THEN
        RAISE EXCEPTION 'an order would be placed in another way than was asked for'
            USING ERRCODE = 'XE103',
            HINT = 'Look for a BEFORE trigger or a rule on economy.payment_orders that changes '
                   'values or suppresses rows.';
    END IF;
    PERFORM economy_internal.note_step(
        o.order_id, at, 'ordered', NULL, 'CREATED', 'purchase', NULL,
        economy_internal.order_placed(o));
END
$$;
COMMENT ON FUNCTION economy_internal.place_order(
    bigint, text, text, text, integer, bigint, jsonb, jsonb, smallint) IS
    'Part of purchase(): the order of a product that a provider is paid for.';

CREATE FUNCTION economy_internal.give_order(
    user_id bigint, product_id text, idempotency_key text, quantity integer, context jsonb,
    terms jsonb, stock_slot smallint
) RETURNS economy.purchase_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_give_order';
COMMENT ON FUNCTION economy_internal.give_order(
    bigint, text, text, integer, jsonb, jsonb, smallint) IS
    'The purchase of an order that is paid, of units that it holds in a slot, or, when it holds '
    'none, such as the stock has. Refuses as purchase() does what cannot be given, but nothing '
    'that is a rule of sale.';

-- The order of an id, locked: behind its account when its purchase may be made or taken back.
CREATE FUNCTION economy_internal.lock_order(order_id uuid, with_account boolean)
    RETURNS economy.payment_orders
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    o economy.payment_orders;
BEGIN
    PERFORM economy_internal.open_tables(
        'payment_orders', 'payment_order_history', 'payment_providers', 'shop_stock', 'accounts');
    IF with_account THEN
        PERFORM FROM economy.accounts a
            WHERE a.user_id = (SELECT p.user_id FROM economy.payment_orders p
                               WHERE p.order_id = lock_order.order_id) FOR NO KEY UPDATE;
    END IF;
    SELECT p.* INTO o FROM economy.payment_orders p
        WHERE p.order_id = lock_order.order_id FOR NO KEY UPDATE;
    RETURN o;
END
$$;
COMMENT ON FUNCTION economy_internal.lock_order(uuid, boolean) IS
    'The order of an id, locked, with the account of its user or without.';

-- Writes what an order has become, whose row is locked.
CREATE FUNCTION economy_internal.write_order(
    before economy.payment_orders, o economy.payment_orders
) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    as_given boolean;
BEGIN
    o.is_open := o.state IN ('CREATED', 'PENDING') OR (o.state = 'CONFLICT' AND o.seq IS NULL);
    IF o.state NOT IN ('CREATED', 'PENDING') THEN
        o.due_at := 'infinity';
        o.worker := NULL;
    END IF;
    WITH written AS (
        UPDATE economy.payment_orders p SET
                state = o.state, is_open = o.is_open, stock_slot = o.stock_slot, seq = o.seq,
                provider_ref = o.provider_ref, due_at = o.due_at, worker = o.worker
            -- a trigger on what was written since may have reported on the order, too
            WHERE p.order_id = o.order_id AND (p.*) IS NOT DISTINCT FROM before
            RETURNING (p.*) IS NOT DISTINCT FROM o AS is_so
    )
    -- of a row that damage has doubled, both
    SELECT bool_and(w.is_so) AND count(*) = 1 INTO as_given FROM written w;
    IF as_given IS NOT TRUE THEN
        RAISE EXCEPTION 'an order would become another than was reported'
            USING ERRCODE = 'XE103',
            HINT = 'Look for a BEFORE trigger or a rule on economy.payment_orders that changes '
                   'values or suppresses rows, and for a trigger on what a report writes that '
                   'reports on the same order.';
    END IF;
END
$$;
COMMENT ON FUNCTION economy_internal.write_order(
    economy.payment_orders, economy.payment_orders) IS
    'Writes what an order has become, whose row is locked, and is as it was before.';

-- Units that it holds go back; waits for a slot, holding no account that others may need.
CREATE FUNCTION economy_internal.release_order(o economy.payment_orders, wait boolean)
    RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    returned boolean;
BEGIN
    IF o.stock_slot IS NULL THEN
        RETURN true;
    END IF;
    returned := economy_internal.return_stock(o.product_id, o.quantity, o.stock_slot, wait);
    IF returned IS NULL OR (wait AND NOT returned) THEN
        RAISE EXCEPTION 'units of an order would go back in another way than was asked for'
            USING ERRCODE = 'XE103',
            HINT = 'Look for a BEFORE trigger or a rule on economy.shop_stock that changes values '
                   'or suppresses rows, or for slots that are not there.';
    END IF;
    RETURN returned;
END
$$;
COMMENT ON FUNCTION economy_internal.release_order(economy.payment_orders, boolean) IS
    'Gives the units that an order holds back to the stock; false: nobody waits, and no slot is '
    'free.';

-- What a step to a state does, of an order whose account, when it needs it, and row are locked.
-- Whatever cannot be done makes it a conflict, and nothing of it is done.
CREATE FUNCTION economy_internal.take_step(
    o economy.payment_orders, to_state text, reporter text, reason text, INOUT conflict text,
    OUT becomes economy.payment_orders
)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    given  economy.purchase_result;
    taken  economy.refund_result;
BEGIN
    becomes := o;
    becomes.state := to_state;
    IF to_state = 'CONFIRMED' AND o.seq IS NULL THEN
        given := economy_internal.give_order(
            o.user_id, o.product_id, o.idempotency_key, o.quantity, o.context, o.terms,
            o.stock_slot);
        IF given.success THEN
            becomes.seq := substring(given.transaction_id FROM '-([0-9]+)$')::bigint;
            becomes.stock_slot := NULL;
        ELSE
            conflict := given.code;
        END IF;
    ELSIF to_state IN ('REFUNDED', 'CHARGED_BACK') THEN
        taken := economy.refund_purchase(
            o.user_id, 'P' || o.user_id || '-' || o.seq, 'order ' || o.order_id,
            reason => coalesce(nullif(reason, ''), lower(to_state)), actor => reporter,
            policy => 'take_available');
        -- it was taken back before the provider knew of it
        IF NOT taken.success AND taken.code <> 'EXCEEDS_PURCHASE' THEN
            conflict := taken.code;
        END IF;
    ELSIF to_state IN ('VOIDED', 'FAILED', 'EXPIRED') THEN
        PERFORM economy_internal.release_order(o, true);
        becomes.stock_slot := NULL;
    END IF;
    IF conflict IS NOT NULL THEN
        becomes := o;
        becomes.state := 'CONFLICT';
    END IF;
END
$$;
COMMENT ON FUNCTION economy_internal.take_step(
    economy.payment_orders, text, text, text, text) IS
    'What an order becomes by a step, whose effects it brings about; conflict: why it cannot.';

-- When a worker is to try again, by the ladder of the provider.
CREATE FUNCTION economy_internal.retry_at(
    provider economy.payment_providers, attempts integer, at timestamptz
) RETURNS timestamptz
    LANGUAGE sql VOLATILE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT CASE WHEN attempts >= (provider).max_attempts THEN timestamptz 'infinity'
                    ELSE at + make_interval(secs => l.seconds::float8 * (0.5 + random())) END
        FROM (SELECT least((provider).retry_cap_s, (provider).retry_base_s
                  * 2.0 ^ least(greatest(attempts - 1, 0), 30))) l (seconds);
    END;
COMMENT ON FUNCTION economy_internal.retry_at(
    economy.payment_providers, integer, timestamptz) IS
    'When the next attempt of a worker is due after so many; infinity: there is none.';

CREATE FUNCTION economy_internal.apply_report(
    o economy.payment_orders, report text, reporter text, provider_ref text, amount bigint,
    currency text, reason text, webhook_id text DEFAULT NULL
) RETURNS economy.order_result
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    at       CONSTANT timestamptz := economy.now();
    said     CONSTANT jsonb := nullif(jsonb_strip_nulls(jsonb_build_object(
        'provider_ref', provider_ref, 'amount', amount, 'currency', currency,
        'webhook_id', webhook_id)), '{}');
    to_state text := economy_internal.order_step(o.state, report);
    before   CONSTANT economy.payment_orders := o;
    is_used  boolean := false;
    conflict text;
    step     record;
    result   economy.order_result;
BEGIN
    result := (true, 'new', 'OK', NULL, o.order_id, NULL, NULL);
    IF o.provider_ref IS NULL AND provider_ref IS NOT NULL THEN
        -- two orders with one payment meet here, not in the index
        PERFORM economy_internal.lock_name(
            'economy.payment:' || o.provider || ':' || provider_ref);
        SELECT count(*) > 0 INTO is_used FROM economy.payment_orders p
            WHERE p.provider = o.provider AND p.provider_ref = apply_report.provider_ref;
    END IF;
    -- what contradicts the order, whatever the state: an unknown one says nothing
    IF report <> 'unknown' THEN
        conflict := CASE
            WHEN amount <> o.amount THEN 'AMOUNT'
            WHEN currency <> o.currency THEN 'CURRENCY'
            WHEN provider_ref <> o.provider_ref THEN 'PROVIDER_REF'
            WHEN is_used THEN 'PROVIDER_REF_USED'
            WHEN to_state = 'CONFLICT' THEN 'STATE' END;
    END IF;
    IF conflict IS NULL AND to_state <> o.state THEN
        SELECT t.* INTO step
            FROM economy_internal.take_step(o, to_state, reporter, reason, NULL) t;
        o := step.becomes;
        conflict := step.conflict;
    END IF;
    IF conflict IS NOT NULL THEN
        o.state := 'CONFLICT';
    END IF;
    -- also of a conflict: what was paid for one order is not paid for another
    IF report <> 'unknown' AND NOT is_used THEN
        o.provider_ref := coalesce(o.provider_ref, apply_report.provider_ref);
    END IF;
    -- a worker has its lease until it tells of the order, or it is over
    IF o.state IN ('CREATED', 'PENDING')
       AND (o.worker IS NULL OR o.worker = reporter OR o.due_at <= at) THEN
        SELECT economy_internal.retry_at(p, o.attempts, at) INTO o.due_at
            FROM economy.payment_providers p WHERE p.provider = o.provider;
        o.worker := NULL;
    END IF;
    -- in a conflict each report is kept, once
    IF o.state = before.state AND o.provider_ref IS NOT DISTINCT FROM before.provider_ref
       AND (o.state <> 'CONFLICT' OR report = 'unknown' OR EXISTS (
        SELECT FROM economy.payment_order_history h
        WHERE h.order_id = o.order_id AND h.report = apply_report.report
          AND h.reporter = apply_report.reporter
          AND h.reason IS NOT DISTINCT FROM
              nullif(concat_ws(': ', conflict, apply_report.reason), '')
          AND h.detail IS NOT DISTINCT FROM said)) THEN
        result.state := 'reuse';
    ELSE
        PERFORM economy_internal.note_step(
            o.order_id, at, report, before.state, o.state, reporter,
            nullif(concat_ws(': ', conflict, reason), ''), said);
    END IF;
    -- with each step, so that of two reports above READ COMMITTED one raises 40001
    IF o.provider_ref IS DISTINCT FROM before.provider_ref THEN
        BEGIN
            PERFORM economy_internal.write_order(before, o);
        EXCEPTION WHEN unique_violation THEN
            -- it is of an order that the transaction's snapshot does not see
            RAISE EXCEPTION 'could not serialize access due to concurrent update'
                USING ERRCODE = 'serialization_failure';
        END;
    ELSIF result.state = 'new' OR o IS DISTINCT FROM before THEN
        PERFORM economy_internal.write_order(before, o);
    END IF;
    result.code := CASE o.state WHEN 'CONFLICT' THEN 'CONFLICT' ELSE 'OK' END;
    result.order_state := o.state;
    result.transaction_id := 'P' || o.user_id || '-' || o.seq;
    result.detail := CASE WHEN conflict IS NOT NULL
                          THEN jsonb_build_object('contradicts', conflict) END;
    RETURN result;
END
$$;
COMMENT ON FUNCTION economy_internal.apply_report(
    economy.payment_orders, text, text, text, bigint, text, text, text) IS
    'What a report does to an order that is locked, with its account if it may be paid or paid '
    'back.';

CREATE FUNCTION economy.settlement_report(
    order_id uuid, report text, reporter text, provider_ref text DEFAULT NULL,
    amount bigint DEFAULT NULL, currency text DEFAULT NULL, reason text DEFAULT NULL
) RETURNS economy.order_result
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET jit = off AS $$
DECLARE
    o economy.payment_orders;
BEGIN
    PERFORM economy_internal.require_given('order_id', order_id IS NOT NULL);
    PERFORM economy_internal.require_given('report', report IS NOT NULL);
    PERFORM economy_internal.require_text('reporter', reporter, 255);
    PERFORM economy_internal.require_text('provider_ref', coalesce(provider_ref, '-'), 255);
    PERFORM economy_internal.require_text('currency', coalesce(currency, '-'), 255);
    PERFORM economy_internal.require_text('reason', coalesce(reason, '-'), 255);
    IF report NOT IN ('pending', 'confirmed', 'voided', 'failed', 'expired', 'refunded',
                      'charged_back', 'unknown') THEN
        RAISE EXCEPTION 'report "%" is not known', left(report, 64) USING ERRCODE = 'XE002',
            HINT = 'It is pending, confirmed, voided, failed, expired, refunded, charged_back '
                   'or unknown.';
    END IF;
    o := economy_internal.lock_order(
        order_id, report IN ('confirmed', 'refunded', 'charged_back'));
    IF o.order_id IS NULL THEN
        RETURN (false, 'refused', 'ORDER_NOT_FOUND', NULL, order_id, NULL, NULL
                )::economy.order_result;
    END IF;
    RETURN economy_internal.apply_report(
        o, report, reporter, provider_ref, amount, currency, reason);
END
$$;
COMMENT ON FUNCTION economy.settlement_report(uuid, text, text, text, bigint, text, text) IS
    'What a provider says of an order: pending, confirmed, voided, failed, expired, refunded, '
    'charged_back, unknown. Confirmed makes the purchase, refunded and charged_back take it back. '
    'The same again answers the present state, with reuse; what contradicts what is known makes a '
    'CONFLICT, for resolve_order(). Refuses ORDER_NOT_FOUND.';

CREATE FUNCTION economy.resolve_order(order_id uuid, resolution text, reason text, actor text)
    RETURNS economy.order_result
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET jit = off AS $$
DECLARE
    o      economy.payment_orders;
    step   record;
    result economy.order_result;
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.require_given('order_id', order_id IS NOT NULL);
    PERFORM economy_internal.require_given('resolution', resolution IS NOT NULL);
    PERFORM economy_internal.require_text('reason', reason, 255);
    IF resolution NOT IN ('CONFIRMED', 'VOIDED', 'REFUNDED', 'CHARGED_BACK') THEN
        RAISE EXCEPTION 'resolution "%" is not known', left(resolution, 64)
            USING ERRCODE = 'XE002',
            HINT = 'It is CONFIRMED, VOIDED, REFUNDED or CHARGED_BACK.';
    END IF;
    o := economy_internal.lock_order(order_id, true);
    result := (false, 'refused', NULL, NULL, order_id, o.state, NULL);
    IF o.order_id IS NULL THEN
        result.code := 'ORDER_NOT_FOUND';
        RETURN result;
    END IF;
    result.transaction_id := 'P' || o.user_id || '-' || o.seq;
    IF o.state <> 'CONFLICT' THEN
        result.success := o.state = resolution;
        result.state := CASE WHEN result.success THEN 'reuse' ELSE 'refused' END;
        result.code := CASE WHEN result.success THEN 'OK' ELSE 'NO_CONFLICT' END;
        RETURN result;
    END IF;
    -- what was given can be kept or taken back, what was not can be given or left
    IF (o.seq IS NULL AND resolution NOT IN ('CONFIRMED', 'VOIDED'))
       OR (o.seq IS NOT NULL AND resolution = 'VOIDED') THEN
        result.code := 'RESOLUTION_NOT_POSSIBLE';
        result.detail := jsonb_build_object('possible', CASE
            WHEN o.seq IS NULL THEN jsonb '["CONFIRMED", "VOIDED"]'
            ELSE jsonb '["CONFIRMED", "REFUNDED", "CHARGED_BACK"]' END);
        RETURN result;
    END IF;
    SELECT t.* INTO step
        FROM economy_internal.take_step(o, resolution, actor, reason, NULL) t;
    IF step.conflict IS NOT NULL THEN
        result.code := step.conflict;
        RETURN result;
    END IF;
    PERFORM economy_internal.note_step(
        o.order_id, economy.now(), 'resolved', o.state, resolution, actor, reason, NULL);
    PERFORM economy_internal.write_order(o, step.becomes);
    o := step.becomes;
    RETURN (true, 'new', 'OK', 'P' || o.user_id || '-' || o.seq, o.order_id, o.state, NULL
            )::economy.order_result;
END
$$;
COMMENT ON FUNCTION economy.resolve_order(uuid, text, text, text) IS
    'What an operator has found out of an order in CONFLICT: CONFIRMED gives what was ordered, or '
    'leaves it, VOIDED gives nothing, REFUNDED and CHARGED_BACK take it back. Recorded with actor '
    'and reason. Refuses ORDER_NOT_FOUND, NO_CONFLICT, RESOLUTION_NOT_POSSIBLE, and what keeps the '
    'purchase or the refund from being made.';

CREATE TYPE economy.order_line AS (
    order_id       uuid,
    product_id     text,
    idempotency_key text,
    quantity       integer,
    provider       text,
    amount         bigint,
    currency       text,
    state          text,
    transaction_id text,
    made_at        timestamptz,
    expires_at     timestamptz
);
COMMENT ON TYPE economy.order_line IS 'An order of a user: a row of economy.orders_of().';

CREATE FUNCTION economy.orders_of(user_id bigint, max integer DEFAULT 50)
    RETURNS SETOF economy.order_line
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 10
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET jit = off AS $$
BEGIN
    PERFORM economy_internal.require_given('user_id', user_id IS NOT NULL);
    PERFORM economy_internal.require_positive('max', max);
    PERFORM economy_internal.open_tables('payment_orders');
    RETURN QUERY
        SELECT o.order_id, o.product_id::text, o.idempotency_key::text, o.quantity,
               o.provider::text, o.amount, o.currency::text, o.state::text,
               'P' || o.user_id || '-' || o.seq, o.made_at, o.expires_at
        FROM economy.payment_orders o WHERE o.user_id = orders_of.user_id
        ORDER BY o.made_at DESC, o.product_id, o.idempotency_key
        LIMIT least(orders_of.max, 10000);
END
$$;
COMMENT ON FUNCTION economy.orders_of(bigint, integer) IS
    'A user''s orders, the newest first, at most max (10,000) of them.';

CREATE TYPE economy.leased_order AS (
    order_id     uuid,
    user_id      bigint,
    product_id   text,
    quantity     integer,
    provider     text,
    amount       bigint,
    currency     text,
    state        text,
    provider_ref text,
    attempts     integer,
    expires_at   timestamptz,
    leased_until timestamptz
);
COMMENT ON TYPE economy.leased_order IS
    'An order that a worker has to tell its provider of, or ask it about: a row of '
    'economy.settlement_lease().';

CREATE FUNCTION economy.settlement_lease(
    worker text, max integer DEFAULT 10, lease interval DEFAULT '5 minutes',
    provider text DEFAULT NULL
) RETURNS SETOF economy.leased_order
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 10
    SET search_path = pg_catalog, economy, pg_temp
    -- in the order of the queue, whatever its statistics say
    SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
    SET enable_mergejoin = off SET jit = off AS $$
DECLARE
    -- a day of a session's zone may have 23 hours, and a month any number of days
    until CONSTANT interval := make_interval(secs => extract(epoch FROM lease)::float8);
BEGIN
    PERFORM economy_internal.require_text('worker', worker, 255);
    PERFORM economy_internal.require_positive('max', max);
    PERFORM economy_internal.require_given('lease', lease IS NOT NULL);
    IF until < interval '1 second' OR until > interval '24 hours' THEN
        RAISE EXCEPTION 'lease must be from 1 second to 24 hours' USING ERRCODE = 'XE002';
    END IF;
    PERFORM economy_internal.open_tables('payment_orders', 'payment_providers');
    -- a lease begins when the table was waited for, such as for an index that was built
    RETURN QUERY WITH clock AS MATERIALIZED (
        SELECT economy.now() AS at
    ), due AS MATERIALIZED (
        SELECT o.order_id FROM economy.payment_orders o
        WHERE o.due_at <= (SELECT c.at FROM clock c)
          AND (settlement_lease.provider IS NULL OR o.provider = settlement_lease.provider)
        ORDER BY o.due_at LIMIT settlement_lease.max FOR NO KEY UPDATE SKIP LOCKED
    ), taken AS (
        -- who had the last attempt has not told of it: there is none after it
        UPDATE economy.payment_orders o SET
               due_at = CASE WHEN o.attempts < p.max_attempts
                             THEN (SELECT c.at FROM clock c) + until ELSE 'infinity' END,
               attempts = o.attempts + (o.attempts < p.max_attempts)::integer,
               worker = CASE WHEN o.attempts < p.max_attempts THEN settlement_lease.worker END
        FROM due d, economy.payment_providers p
        WHERE o.order_id = d.order_id AND p.provider = o.provider
        RETURNING o.*
    )
    SELECT t.order_id, t.user_id, t.product_id::text, t.quantity, t.provider::text, t.amount,
           t.currency::text, t.state::text, t.provider_ref::text, t.attempts, t.expires_at,
           t.due_at
    FROM taken t WHERE t.worker IS NOT NULL ORDER BY t.made_at, t.order_id;
END
$$;
COMMENT ON FUNCTION economy.settlement_lease(text, integer, interval, text) IS
    'Hands a worker orders that are due, the longest first, for the time of the lease: nobody '
    'else gets them until it is over, or settlement_report() tells of them. Of one provider, or '
    'all.';

CREATE TYPE economy.order_difference AS (
    difference   text,
    order_id     uuid,
    provider_ref text,
    user_id      bigint,
    here         text,
    there        text
);
COMMENT ON TYPE economy.order_difference IS
    'What a provider and the orders do not agree on: a row of economy.settlement_reconcile().';

CREATE FUNCTION economy_internal.check_provider_report(report jsonb) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    wrong bigint;
BEGIN
    PERFORM economy_internal.require_given('report', report IS NOT NULL);
    IF jsonb_typeof(report) <> 'array' THEN
        RAISE EXCEPTION 'report must be a JSON array' USING ERRCODE = 'XE002';
    END IF;
    SELECT e.n INTO wrong FROM jsonb_array_elements(report) WITH ORDINALITY e (item, n)
    WHERE (jsonb_typeof(e.item) = 'object'
           AND coalesce(e.item ->> 'order_id', e.item ->> 'provider_ref') IS NOT NULL
           AND coalesce(e.item ->> 'order_id', '00000000-0000-0000-0000-000000000000')
                   ~ '^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$'
           AND e.item ->> 'report' IN ('pending', 'confirmed', 'voided', 'failed', 'expired',
                                       'refunded', 'charged_back')
           AND coalesce(e.item ->> 'amount', '0') ~ '^[0-9]{1,16}$') IS NOT TRUE
    ORDER BY e.n LIMIT 1;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'element % of report is not valid', wrong USING ERRCODE = 'XE002',
            DETAIL = format('It is %s.', left((report -> (wrong - 1)::integer)::text, 200)),
            HINT = 'It has order_id or provider_ref, report (pending, confirmed, voided, failed, '
                   'expired, refunded or charged_back), and may have amount and currency.';
    END IF;
END
$$;
COMMENT ON FUNCTION economy_internal.check_provider_report(jsonb) IS
    'Raises XE001 or XE002 unless this is what a provider may say of many orders.';

CREATE FUNCTION economy.settlement_reconcile(
    provider text, report jsonb, since timestamptz DEFAULT '-infinity',
    upto timestamptz DEFAULT 'infinity'
) RETURNS SETOF economy.order_difference
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 10
    SET search_path = pg_catalog, economy, pg_temp
    SET jit = off AS $$
BEGIN
    PERFORM economy_internal.require_given('provider', provider IS NOT NULL);
    PERFORM economy_internal.require_given('since', since IS NOT NULL);
    PERFORM economy_internal.require_given('upto', upto IS NOT NULL);
    PERFORM economy_internal.check_provider_report(report);
    PERFORM economy_internal.open_tables('payment_orders', 'payment_providers');
    IF NOT EXISTS (SELECT FROM economy.payment_providers p
                   WHERE p.provider = settlement_reconcile.provider) THEN
        RAISE EXCEPTION 'provider "%" does not exist', left(provider, 64)
            USING ERRCODE = 'XE702', HINT = 'economy.set_payment_provider() makes one.';
    END IF;
    RETURN QUERY
    WITH said AS MATERIALIZED (
        SELECT (e.item ->> 'order_id')::uuid AS order_id, e.item ->> 'provider_ref' AS ref,
               e.item ->> 'report' AS report, (e.item ->> 'amount')::bigint AS amount,
               e.item ->> 'currency' AS currency, e.n
        FROM jsonb_array_elements(settlement_reconcile.report) WITH ORDINALITY e (item, n)
    ), both_sides AS MATERIALIZED (
        SELECT s.n, s.order_id AS said_id, s.ref, s.report, s.amount AS said_amount,
               s.currency AS said_currency, o.*
        FROM said s LEFT JOIN economy.payment_orders o
            ON o.provider = settlement_reconcile.provider AND o.order_id = s.order_id
        WHERE s.order_id IS NOT NULL
        UNION ALL
        SELECT s.n, s.order_id, s.ref, s.report, s.amount, s.currency, o.*
        FROM said s LEFT JOIN economy.payment_orders o
            ON o.provider = settlement_reconcile.provider AND o.provider_ref = s.ref
        WHERE s.order_id IS NULL
    ), told AS (
        SELECT 1 AS kind, 'missing_here' AS difference, b.n, b.said_id AS order_id, b.ref,
               b.user_id, NULL AS here, b.report AS there
        FROM both_sides b WHERE b.order_id IS NULL
        UNION ALL
        -- as far as a report of it now would change the order, or contradict it
        SELECT 2, 'state', b.n, b.order_id, b.provider_ref, b.user_id, b.state, b.report
        FROM both_sides b
        WHERE b.state = 'CONFLICT'
           OR economy_internal.order_step(b.state, b.report) <> b.state
           OR (b.report = 'pending' AND b.state NOT IN ('CREATED', 'PENDING'))
        UNION ALL
        SELECT 3, 'amount', b.n, b.order_id, b.provider_ref, b.user_id,
               b.amount || ' ' || b.currency,
               coalesce(b.said_amount, b.amount) || ' ' || coalesce(b.said_currency, b.currency)
        FROM both_sides b
        WHERE b.order_id IS NOT NULL
          AND (b.said_amount <> b.amount OR b.said_currency <> b.currency)
        UNION ALL
        SELECT 4, 'provider_ref', b.n, b.order_id, b.provider_ref, b.user_id, b.provider_ref, b.ref
        FROM both_sides b WHERE b.ref <> b.provider_ref
        UNION ALL
        -- of which the provider has said something, or was to be asked
        SELECT 5, 'missing_there', NULL, o.order_id, o.provider_ref, o.user_id, o.state, NULL
        FROM economy.payment_orders o
        WHERE o.provider = settlement_reconcile.provider
          AND o.made_at >= since AND o.made_at < upto
          AND o.state IN ('PENDING', 'CONFIRMED', 'REFUNDED', 'CHARGED_BACK', 'CONFLICT')
          AND NOT EXISTS (SELECT FROM both_sides b WHERE b.order_id = o.order_id)
    )
    SELECT t.difference, t.order_id, t.ref::text, t.user_id, t.here::text, t.there::text
    FROM told t ORDER BY t.kind, t.n, t.order_id;
END
$$;
COMMENT ON FUNCTION economy.settlement_reconcile(text, jsonb, timestamptz, timestamptz) IS
    'Compares the orders with what a provider says of many: an array of objects with order_id or '
    'provider_ref, report, amount and currency. A row for each that is missing_here, missing_there '
    '(of those that were made in the time), or of another state, amount or provider_ref. It '
    'changes nothing: settlement_report() does. XE702 for an unknown provider.';

CREATE FUNCTION economy_internal.expire_orders(max integer, place jsonb)
    RETURNS TABLE (orders bigint, next jsonb)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET TimeZone = 'UTC' SET DateStyle = 'ISO, MDY'
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    at        CONSTANT timestamptz := economy.now();
    -- what could not be given back is passed over, and met again by the next run
    from_time CONSTANT timestamptz := coalesce((place ->> 'expires_at')::timestamptz, '-infinity');
    o         economy.payment_orders;
    before    economy.payment_orders;
    seen      bigint := 0;
BEGIN
    PERFORM economy_internal.open_tables(
        'payment_orders', 'payment_order_history', 'shop_stock');
    orders := 0;
    FOR o IN SELECT p.* FROM economy.payment_orders p
             WHERE p.is_open AND p.expires_at > from_time AND p.expires_at <= at
             ORDER BY p.expires_at LIMIT max FOR NO KEY UPDATE SKIP LOCKED
    LOOP
        seen := seen + 1;
        next := jsonb_build_object('expires_at', o.expires_at);
        -- what a worker has may be paid just now; no lease of a clock that is right is longer
        CONTINUE WHEN o.state = 'CONFLICT'
            OR (o.worker IS NOT NULL AND o.due_at > at AND o.due_at <= at + interval '24 hours');
        -- an error of one, such as of a trigger on its row, stops no other
        BEGIN
            CONTINUE WHEN NOT economy_internal.release_order(o, false);
            before := o;
            o.state := 'EXPIRED';
            o.stock_slot := NULL;
            PERFORM economy_internal.note_step(
                o.order_id, at, 'expired', before.state, o.state, 'expire_orders', NULL, NULL);
            PERFORM economy_internal.write_order(before, o);
            orders := orders + 1;
        EXCEPTION WHEN serialization_failure THEN
            RAISE;
        WHEN OTHERS THEN
            RAISE WARNING 'order % could not be given up', o.order_id
                USING DETAIL = format('%s: %s', SQLSTATE, SQLERRM);
        END;
    END LOOP;
    IF seen < max THEN
        next := NULL;
    END IF;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION economy_internal.expire_orders(integer, jsonb) IS
    'A batch of the job: orders whose time is over, and that no worker has, are EXPIRED, and give '
    'back what they held; nobody is waited for.';

CREATE TABLE economy.payment_webhooks (
    provider    text        NOT NULL COLLATE "C",
    webhook_id  text        NOT NULL COLLATE "C",
    received_at timestamptz NOT NULL,
    body        bytea       NOT NULL,
    code        text        NOT NULL COLLATE "C",
    order_id    uuid,
    CONSTRAINT payment_webhooks_pkey PRIMARY KEY (provider, webhook_id)
);
SELECT pg_catalog.pg_extension_config_dump('economy.payment_webhooks', '');
COMMENT ON TABLE economy.payment_webhooks IS
    'Webhooks that webhook() has taken, each of which has had its one effect.';
COMMENT ON COLUMN economy.payment_webhooks.webhook_id IS
    'By which the provider names it; of one without, the digest of its body.';
COMMENT ON COLUMN economy.payment_webhooks.code IS 'What was answered.';

CREATE TYPE economy.webhook_result AS (
    success        boolean,
    state          text,
    code           text,
    transaction_id text,
    webhook_id     text,
    order_id       uuid,
    order_state    text,
    detail         jsonb
);
COMMENT ON TYPE economy.webhook_result IS 'Result of economy.webhook().';

-- What the body of a webhook says, or null.
CREATE FUNCTION economy_internal.read_webhook(body bytea) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN convert_from(body, 'UTF8')::jsonb;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION economy_internal.read_webhook(bytea) IS
    'The JSON of a webhook; null when it is none.';

-- The members of a report, null where they are none; order_id null: it is no report.
CREATE FUNCTION economy_internal.webhook_report(
    message jsonb, OUT order_id uuid, OUT report text, OUT provider_ref text, OUT amount bigint,
    OUT currency text, OUT reason text
)
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    said CONSTANT jsonb := CASE WHEN jsonb_typeof(message -> 'data') = 'object'
                                THEN message -> 'data' ELSE message END;
BEGIN
    IF jsonb_typeof(said) IS DISTINCT FROM 'object'
       OR coalesce(said ->> 'report', '') NOT IN (
              'pending', 'confirmed', 'voided', 'failed', 'expired', 'refunded', 'charged_back',
              'unknown')
       OR coalesce(said ->> 'order_id', '') !~
              '^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$'
       OR coalesce(said ->> 'amount', '0') !~ '^[0-9]{1,16}$'
       OR EXISTS (SELECT FROM unnest(ARRAY['provider_ref', 'currency', 'reason']) k
                  WHERE jsonb_typeof(said -> k) NOT IN ('string', 'null')
                     OR octet_length(said ->> k) NOT BETWEEN 1 AND 255) THEN
        RETURN;
    END IF;
    order_id := said ->> 'order_id';
    report := said ->> 'report';
    provider_ref := said ->> 'provider_ref';
    amount := said ->> 'amount';
    currency := said ->> 'currency';
    reason := said ->> 'reason';
END
$$;
COMMENT ON FUNCTION economy_internal.webhook_report(jsonb) IS
    'What a webhook reports of an order: the members order_id, report, provider_ref, amount, '
    'currency and reason of its body, or of data in it. All null: it reports nothing.';

CREATE FUNCTION economy.webhook(provider text, headers jsonb, body bytea)
    RETURNS economy.webhook_result
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET jit = off AS $$
DECLARE
    proof  CONSTANT economy.webhook_check := economy.verify_webhook(provider, headers, body);
    said   jsonb;
    r      record;
    o      economy.payment_orders;
    w      economy.payment_webhooks;
    done   economy.order_result;
    result economy.webhook_result;
BEGIN
    result := (false, 'refused', proof.reason, NULL, proof.webhook_id, NULL, NULL, NULL);
    IF NOT proof.valid THEN
        RETURN result;
    END IF;
    PERFORM economy_internal.open_tables(
        'payment_webhooks', 'payment_orders', 'payment_order_history', 'payment_providers',
        'shop_stock', 'accounts');
    said := economy_internal.read_webhook(body);
    SELECT q.* INTO r FROM economy_internal.webhook_report(said) q;
    -- a number of a body is taken as the id where the headers have none
    result.webhook_id := coalesce(
        proof.webhook_id,
        CASE WHEN octet_length(said ->> 'id') BETWEEN 1 AND 255 THEN said ->> 'id' END,
        encode(sha256(body), 'hex'));
    w := (provider, result.webhook_id, economy.now(), body, 'RECEIVED', r.order_id);
    -- who is in the same one has it first, and is waited for
    INSERT INTO economy.payment_webhooks AS n SELECT (w).*
        ON CONFLICT ON CONSTRAINT payment_webhooks_pkey DO NOTHING;
    IF NOT found THEN
        SELECT p.* INTO w FROM economy.payment_webhooks p
            WHERE p.provider = webhook.provider AND p.webhook_id = result.webhook_id
            FOR NO KEY UPDATE;
    END IF;
    -- it may have come before the call that has ordered was committed: sent again, it is judged
    IF w.code = 'ORDER_NOT_FOUND' THEN
        w.code := 'RECEIVED';
        w.body := body;
        w.order_id := r.order_id;
    END IF;
    IF w.code <> 'RECEIVED' THEN
        SELECT p.* INTO o FROM economy.payment_orders p WHERE p.order_id = w.order_id;
        result.success := w.order_id IS NOT NULL;
        result.state := CASE WHEN result.success THEN 'reuse' ELSE 'refused' END;
        result.code := w.code;
    ELSE
        w.code := 'BODY_NOT_UNDERSTOOD';
        IF r.order_id IS NOT NULL THEN
            o := economy_internal.lock_order(
                r.order_id, r.report IN ('confirmed', 'refunded', 'charged_back'));
            -- that of another provider is none of his
            IF o.provider = webhook.provider THEN
                done := economy_internal.apply_report(
                    o, r.report, 'webhook ' || webhook.provider, r.provider_ref, r.amount,
                    r.currency, r.reason, result.webhook_id);
                result.success := true;
                result.state := done.state;
                w.code := done.code;
                result.detail := done.detail;
            ELSE
                o := NULL;
                w.code := 'ORDER_NOT_FOUND';
            END IF;
        END IF;
        result.code := w.code;
        UPDATE economy.payment_webhooks n
            SET code = w.code, body = w.body, order_id = w.order_id
            WHERE n.provider = w.provider AND n.webhook_id = w.webhook_id
            RETURNING n.* INTO r;
        IF (r.provider, r.webhook_id, r.received_at, r.body, r.code, r.order_id)
               IS DISTINCT FROM
           (w.provider, w.webhook_id, w.received_at, w.body, w.code, w.order_id) THEN
            RAISE EXCEPTION 'a webhook would be kept in another way than it came'
                USING ERRCODE = 'XE103',
                HINT = 'Look for a BEFORE trigger or a rule on economy.payment_webhooks that '
                       'changes values or suppresses rows.';
        END IF;
        SELECT p.* INTO o FROM economy.payment_orders p WHERE p.order_id = o.order_id;
    END IF;
    result.order_id := o.order_id;
    result.order_state := o.state;
    result.transaction_id := 'P' || o.user_id || '-' || o.seq;
    RETURN result;
END
$$;
COMMENT ON FUNCTION economy.webhook(text, jsonb, bytea) IS
    'Takes a webhook of a provider: verifies it, keeps it, and does what settlement_report() does '
    'with what its body reports of an order, once for each id. Refuses what verify_webhook() '
    'does, BODY_NOT_UNDERSTOOD, and ORDER_NOT_FOUND, which is judged again when it is sent again.';

CREATE VIEW economy.payment_order_problems AS
    SELECT o.order_id, o.user_id, o.provider, o.state, p.problem, o.amount, o.currency,
           o.provider_ref, o.attempts, o.made_at, o.expires_at,
           'P' || o.user_id || '-' || o.seq AS transaction_id,
           h.at AS since, h.report, h.reporter, h.reason
    FROM economy.payment_orders o
    CROSS JOIN LATERAL (
        SELECT CASE WHEN o.state = 'CONFLICT' THEN 'conflict'
                    WHEN o.state IN ('CREATED', 'PENDING') AND o.due_at = 'infinity'
                    THEN 'no attempt left' END AS problem) p
    LEFT JOIN LATERAL (
        SELECT y.* FROM economy.payment_order_history y WHERE y.order_id = o.order_id
        ORDER BY y.step DESC LIMIT 1) h ON true
    WHERE o.state IN ('CREATED', 'PENDING', 'CONFLICT') AND p.problem IS NOT NULL;
COMMENT ON VIEW economy.payment_order_problems IS
    'Orders that wait for an operator: conflicts, and those that no worker is asked about again.';

CREATE TABLE economy.rate_limits (
    limit_id       text    NOT NULL COLLATE "C" CONSTRAINT rate_limits_pkey PRIMARY KEY
        CONSTRAINT rate_limits_limit_id_check CHECK (octet_length(limit_id) BETWEEN 1 AND 64),
    burst          integer NOT NULL
        CONSTRAINT rate_limits_burst_check CHECK (burst BETWEEN 1 AND 1000000),
    refill         integer NOT NULL
        CONSTRAINT rate_limits_refill_check CHECK (refill BETWEEN 1 AND 1000000),
    period_seconds integer NOT NULL
        CONSTRAINT rate_limits_period_check CHECK (period_seconds BETWEEN 1 AND 31622400),
    -- so that no sum of times leaves the range of a timestamp
    CONSTRAINT rate_limits_sum_check
        CHECK (burst::bigint * period_seconds <= refill * 316224000::bigint)
);
SELECT pg_catalog.pg_extension_config_dump('economy.rate_limits', '');
COMMENT ON TABLE economy.rate_limits IS
    'How often something may be done: burst times at once, and refill times more in each '
    'period_seconds, evenly. Changed by set_rate_limit() and remove_rate_limit() only.';
COMMENT ON CONSTRAINT rate_limits_limit_id_check ON economy.rate_limits IS
    'limit_id must have 1 to 64 bytes';
COMMENT ON CONSTRAINT rate_limits_burst_check ON economy.rate_limits IS
    'burst must be from 1 to 1000000';
COMMENT ON CONSTRAINT rate_limits_refill_check ON economy.rate_limits IS
    'refill must be from 1 to 1000000';
COMMENT ON CONSTRAINT rate_limits_period_check ON economy.rate_limits IS
    'period_seconds must be from 1 to 31622400';
COMMENT ON CONSTRAINT rate_limits_sum_check ON economy.rate_limits IS
    'a burst must be there again within ten years';
COMMENT ON COLUMN economy.rate_limits.burst IS 'What a subject may take at once.';
COMMENT ON COLUMN economy.rate_limits.refill IS 'What comes back in period_seconds, evenly.';

CREATE UNLOGGED TABLE economy_internal.rate_taken (
    limit_id text        NOT NULL COLLATE "C",
    subject  text        NOT NULL COLLATE "C",
    full_at  timestamptz NOT NULL,
    CONSTRAINT rate_taken_pkey PRIMARY KEY (limit_id, subject)
) WITH (fillfactor = 70);
SELECT pg_catalog.pg_extension_config_dump('economy_internal.rate_taken', '');
COMMENT ON TABLE economy_internal.rate_taken IS
    'What take_rate() gave: when a subject of a limit has its whole burst again, if it takes no '
    'more. Who has it is not here, or not for long.';

CREATE TYPE economy.rate_result AS (
    allowed     boolean,
    code        text,
    remaining   integer,
    retry_after interval,
    full_after  interval
);
COMMENT ON TYPE economy.rate_result IS 'Result of take_rate().';
COMMENT ON COLUMN economy.rate_result.allowed IS 'Whether it was taken.';
COMMENT ON COLUMN economy.rate_result.code IS
    'OK; RATE_LIMITED: not now; ABOVE_BURST: more than there ever is.';
COMMENT ON COLUMN economy.rate_result.remaining IS 'What could still be taken now.';
COMMENT ON COLUMN economy.rate_result.retry_after IS
    'After RATE_LIMITED: when so much will be there, if nobody takes any.';
COMMENT ON COLUMN economy.rate_result.full_after IS
    'When the whole burst will be there, if nobody takes any.';

CREATE FUNCTION economy.take_rate(limit_id text, subject text, quantity integer DEFAULT 1)
    RETURNS economy.rate_result
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    -- the plan that a session keeps is for an empty table, too
    SET search_path = pg_catalog, economy, pg_temp SET enable_seqscan = off AS $$
DECLARE
    rate    economy.rate_limits;
    step    bigint;
    burst   bigint;
    ahead   bigint;
    full_at timestamptz;
    answer  economy.rate_result;
    moment  timestamptz;
    present boolean;
BEGIN
    IF limit_id IS NULL OR subject IS NULL OR quantity IS NULL THEN
        PERFORM economy_internal.require_given('limit_id', limit_id IS NOT NULL);
        PERFORM economy_internal.require_given('subject', subject IS NOT NULL);
        PERFORM economy_internal.require_given('quantity', quantity IS NOT NULL);
    ELSIF octet_length(subject) NOT BETWEEN 1 AND 255 THEN
        RAISE EXCEPTION 'subject must have 1 to 255 bytes' USING ERRCODE = 'XE002';
    ELSIF quantity < 0 THEN
        RAISE EXCEPTION 'quantity must not be negative' USING ERRCODE = 'XE002',
            HINT = '0 takes nothing, and tells how much is there.';
    -- where an unlogged table cannot even be read
    ELSIF pg_is_in_recovery() THEN
        RAISE EXCEPTION 'cannot execute take_rate() during recovery'
            USING ERRCODE = 'read_only_sql_transaction';
    END IF;
    PERFORM economy_internal.open_tables('rate_limits', 'economy_internal.rate_taken');
    SELECT * INTO rate FROM economy.rate_limits l WHERE l.limit_id = take_rate.limit_id;
    IF NOT found THEN
        RAISE EXCEPTION 'rate limit "%" does not exist', left(limit_id, 64)
            USING ERRCODE = 'XE812', HINT = 'economy.set_rate_limit() makes one.';
    END IF;
    -- in which one comes back; rounded up: never more than refill in a period
    step := (rate.period_seconds * 1000000::bigint + rate.refill - 1) / rate.refill;
    burst := step * rate.burst;
    FOR attempt IN 1 .. 100 LOOP
        IF quantity BETWEEN 1 AND rate.burst THEN
            SELECT t.full_at INTO full_at FROM economy_internal.rate_taken t
                WHERE t.limit_id = take_rate.limit_id AND t.subject = take_rate.subject
                FOR NO KEY UPDATE;
        ELSE
            SELECT t.full_at INTO full_at FROM economy_internal.rate_taken t
                WHERE t.limit_id = take_rate.limit_id AND t.subject = take_rate.subject;
        END IF;
        present := found;
        -- behind the lock: somebody may have been waited for
        moment := economy.now();
        -- more than a burst ahead is a clock that was set back, or a limit that was higher
        ahead := least(burst,
            greatest((extract(epoch FROM full_at - moment) * 1000000)::bigint, 0));
        IF quantity > rate.burst THEN
            answer.code := 'ABOVE_BURST';
        ELSIF ahead + step * quantity > burst THEN
            answer.code := 'RATE_LIMITED';
            answer.retry_after :=
                interval '1 microsecond' * (ahead + step * quantity - burst);
        ELSE
            answer.code := 'OK';
            ahead := ahead + step * quantity;
        END IF;
        answer.allowed := answer.code = 'OK';
        answer.remaining := (burst - ahead) / step;
        answer.full_after := interval '1 microsecond' * ahead;
        IF quantity = 0 OR NOT answer.allowed THEN
            RETURN answer;
        ELSIF present THEN
            UPDATE economy_internal.rate_taken t SET full_at = moment + answer.full_after
                WHERE t.limit_id = take_rate.limit_id AND t.subject = take_rate.subject;
        ELSE
            INSERT INTO economy_internal.rate_taken
                VALUES (limit_id, subject, moment + answer.full_after) ON CONFLICT DO NOTHING;
        END IF;
        -- not when another was faster
        IF found THEN
            RETURN answer;
        END IF;
    END LOOP;
    RAISE EXCEPTION 'what is taken of rate limit "%" would not be kept', left(limit_id, 64)
        USING ERRCODE = 'XE103',
        HINT = 'Look for a BEFORE trigger or a rule on economy_internal.rate_taken that '
               'suppresses rows.';
END
$$;
COMMENT ON FUNCTION economy.take_rate(text, text, integer) IS
    'Takes quantity of what a rate limit leaves to a subject, any text: a user, a device, an '
    'address. 0 takes nothing and tells what is there. RATE_LIMITED when so much is not there now, '
    'ABOVE_BURST when it never is; then nothing is taken. What is rolled back was not taken. XE812 '
    'for an unknown limit.';

CREATE FUNCTION economy.set_rate_limit(rate jsonb, actor text) RETURNS economy.rate_limits
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    id        CONSTANT text := rate ->> 'limit_id';
    old_row   economy.rate_limits;
    new_row   economy.rate_limits;
    wrong     text;
    failed    text;
    at_column text;
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.require_given('rate', rate IS NOT NULL);
    IF jsonb_typeof(rate) <> 'object' OR id IS NULL THEN
        RAISE EXCEPTION 'rate must be a JSON object with a limit_id' USING ERRCODE = 'XE811';
    END IF;
    PERFORM economy_internal.open_tables('rate_limits', 'config_changes');
    -- one change of a limit at a time, also of one that does not exist yet
    PERFORM economy_internal.lock_name('economy.rate_limit:' || id);
    SELECT * INTO old_row FROM economy.rate_limits l WHERE l.limit_id = id FOR NO KEY UPDATE;
    SELECT format('%s is no such column', to_json(k)) INTO wrong
        FROM jsonb_object_keys(set_rate_limit.rate) k
        WHERE k NOT IN ('limit_id', 'burst', 'refill', 'period_seconds')
        ORDER BY k COLLATE "C" LIMIT 1;
    IF wrong IS NULL THEN
        BEGIN
            new_row := jsonb_populate_record(old_row, rate);
            IF old_row.limit_id IS NULL THEN
                INSERT INTO economy.rate_limits SELECT (new_row).*;
            ELSE
                UPDATE economy.rate_limits l SET
                    burst = new_row.burst, refill = new_row.refill,
                    period_seconds = new_row.period_seconds
                WHERE l.limit_id = id;
            END IF;
        EXCEPTION WHEN data_exception OR check_violation OR not_null_violation THEN
            GET STACKED DIAGNOSTICS
                wrong = MESSAGE_TEXT, failed = CONSTRAINT_NAME, at_column = COLUMN_NAME;
            wrong := economy_internal.violation('rate_limits', rate, wrong, failed, at_column);
        END;
    END IF;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'rate limit "%" is not valid', left(id, 64)
            USING ERRCODE = 'XE811', DETAIL = wrong || '.',
            HINT = 'The keys are the column names of economy.rate_limits.';
    END IF;
    PERFORM economy.note_change('rate_limits', id,
        CASE WHEN old_row.limit_id IS NULL THEN 'create' ELSE 'change' END, actor);
    RETURN new_row;
END
$$;
COMMENT ON FUNCTION economy.set_rate_limit(jsonb, text) IS
    'Makes a rate limit, or changes the given columns of one; keys are the column names of '
    'rate_limits. Recorded with actor, before and after. XE811 for one that is not valid.';

CREATE FUNCTION economy.remove_rate_limit(limit_id text, actor text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.require_given('limit_id', limit_id IS NOT NULL);
    PERFORM economy_internal.open_tables('rate_limits', 'config_changes');
    PERFORM economy_internal.lock_name('economy.rate_limit:' || limit_id);
    DELETE FROM economy.rate_limits l WHERE l.limit_id = remove_rate_limit.limit_id;
    IF NOT found THEN
        RETURN false;
    END IF;
    PERFORM economy.note_change('rate_limits', limit_id, 'remove', actor);
    RETURN true;
END
$$;
COMMENT ON FUNCTION economy.remove_rate_limit(text, text) IS
    'Removes a rate limit: take_rate() does not know it any more. Recorded with actor and before. '
    'False when there is none.';

CREATE FUNCTION economy_internal.forget_rates(
    after jsonb DEFAULT NULL, max integer DEFAULT 2000, OUT forgotten bigint, OUT next jsonb
)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    -- in the order of the key, whatever the statistics say
    SET enable_seqscan = off SET enable_sort = off SET jit = off AS $$
DECLARE
    looked integer := 0;
    last   economy_internal.rate_taken;
BEGIN
    PERFORM economy_internal.open_tables('rate_limits', 'economy_internal.rate_taken');
    forgotten := 0;
    FOR last IN
        SELECT t.* FROM economy_internal.rate_taken t
        WHERE after IS NULL OR (t.limit_id, t.subject) > (after ->> 'limit_id', after ->> 'subject')
        ORDER BY t.limit_id, t.subject LIMIT max
    LOOP
        looked := looked + 1;
        next := jsonb_build_object('limit_id', last.limit_id, 'subject', last.subject);
        CONTINUE WHEN last.full_at > economy.now()
            AND EXISTS (SELECT FROM economy.rate_limits l WHERE l.limit_id = last.limit_id);
        -- who is taking now keeps nobody waiting
        PERFORM FROM economy_internal.rate_taken t
            WHERE t.limit_id = last.limit_id AND t.subject = last.subject
              AND t.full_at = last.full_at FOR UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT found;
        DELETE FROM economy_internal.rate_taken t
            WHERE t.limit_id = last.limit_id AND t.subject = last.subject;
        forgotten := forgotten + 1;
    END LOOP;
    IF looked < max THEN
        next := NULL;
    END IF;
END
$$;
COMMENT ON FUNCTION economy_internal.forget_rates(jsonb, integer) IS
    'Removes what subjects have taken and have back, of at most max behind a place, and of limits '
    'that are gone; next is the place of the last one, or null. What the job does.';

CREATE FUNCTION economy_internal.check_mission_condition(trigger text, condition jsonb)
    RETURNS void
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_check_mission_condition';
COMMENT ON FUNCTION economy_internal.check_mission_condition(text, jsonb) IS
    'Raises XE403 with what is wrong with a condition, and where, for entries of a trigger.';

CREATE FUNCTION economy_internal.mission_counts(trigger text, progress text, field text)
    RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_mission_counts_field';
COMMENT ON FUNCTION economy_internal.mission_counts(text, text, text) IS
    'Whether entries of a trigger have a field of that name that the progress can be of: sum and '
    'max of a number, or of details that may have one, distinct of any.';

CREATE FUNCTION economy_internal.mission_condition_of(
    trigger text, condition jsonb, user_id bigint, seq bigint
) RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_mission_condition_of';
COMMENT ON FUNCTION economy_internal.mission_condition_of(text, jsonb, bigint, bigint) IS
    'What a condition is of an entry; null: unknown. XE106 for no such entry.';

CREATE FUNCTION economy_internal.mission_period_at(period text, at timestamptz) RETURNS bigint
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_mission_period_at';
COMMENT ON FUNCTION economy_internal.mission_period_at(text, timestamptz) IS
    'The number of the period that a moment lies in: 0 of once; null of one that begins with an '
    'entry.';

CREATE FUNCTION economy_internal.mission_period_key(
    period text, version integer, number bigint
) RETURNS text
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_mission_period_key';
COMMENT ON FUNCTION economy_internal.mission_period_key(text, integer, bigint) IS
    'What a period is called: once, 2026-01-31, 2026-W05, of repeat 1.3, the version and the run, '
    'and of rolling 2026-01-31T12:30:00Z, its beginning.';

CREATE FUNCTION economy_internal.mission_period_starts(period text, number bigint)
    RETURNS timestamptz
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_mission_period_starts';
COMMENT ON FUNCTION economy_internal.mission_period_starts(text, bigint) IS
    'The first moment of a period; null of once and repeat.';

CREATE FUNCTION economy_internal.mission_period_ends(period text, number bigint)
    RETURNS timestamptz
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_mission_period_ends';
COMMENT ON FUNCTION economy_internal.mission_period_ends(text, bigint) IS
    'The moment at which a period ends; null of once and repeat.';

CREATE TABLE economy_internal.mission_progress_more (
    user_id  bigint NOT NULL,
    progress bytea  NOT NULL,
    CONSTRAINT mission_progress_more_pkey PRIMARY KEY (user_id)
) WITH (fillfactor = 70);
SELECT pg_catalog.pg_extension_config_dump('economy_internal.mission_progress_more', '');
COMMENT ON TABLE economy_internal.mission_progress_more IS
    'Progress in missions for which there is no room in accounts.sections, packed as it is there. '
    'Written by the functions of economy only.';

CREATE FUNCTION economy_internal.mission_progress_of(sections bytea, further bytea) RETURNS TABLE (
    number integer, period bigint, progress bigint, state integer, since bigint, kept bytea
)
    LANGUAGE c IMMUTABLE PARALLEL SAFE ROWS 10
    AS 'MODULE_PATHNAME', 'eco_mission_progress_of';
COMMENT ON FUNCTION economy_internal.mission_progress_of(bytea, bytea) IS
    'Progress in missions that stands in an account and its row of mission_progress_more, by the '
    'number of the mission''s version: state 0 is active, 1 completed, 2 claimed. since: of active '
    'progress the seq before which nothing was counted, else that of the entry that completed it; '
    '0: not known. kept: of active progress in distinct values these, packed. No row of one that '
    'is damaged.';

CREATE FUNCTION economy_internal.mission_progress_sound(sections bytea, further bytea)
    RETURNS boolean
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_mission_progress_sound';
COMMENT ON FUNCTION economy_internal.mission_progress_sound(bytea, bytea) IS
    'Whether the progress in missions in an account can be read, and says that there is a row of '
    'mission_progress_more if, and only if, there is.';

CREATE FUNCTION economy_internal.with_mission_progress(
    sections bytea, number integer, period bigint, progress bigint, state integer,
    since bigint DEFAULT 0, kept bytea DEFAULT NULL
) RETURNS bytea
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_with_mission_progress';
COMMENT ON FUNCTION economy_internal.with_mission_progress(
    bytea, integer, bigint, bigint, integer, bigint, bytea) IS
    'An account''s sections with other progress in a mission, or without it when progress is '
    'null: for who corrects what the audit found to be wrong.';

CREATE FUNCTION economy_internal.with_further_mission_progress(
    further bytea, number integer, period bigint, progress bigint, state integer,
    since bigint DEFAULT 0, kept bytea DEFAULT NULL
) RETURNS bytea
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_with_further_mission_progress';
COMMENT ON FUNCTION economy_internal.with_further_mission_progress(
    bytea, integer, bigint, bigint, integer, bigint, bytea) IS
    'The same of mission_progress_more.progress.';

CREATE FUNCTION economy_internal.mission_replay(user_id bigint, reading integer) RETURNS TABLE (
    number integer, period bigint, progress bigint, state integer, since bigint, kept bytea,
    unearned boolean
)
    LANGUAGE c STABLE STRICT PARALLEL SAFE ROWS 10 AS 'MODULE_PATHNAME', 'eco_mission_replay';
COMMENT ON FUNCTION economy_internal.mission_replay(bigint, integer) IS
    'Progress in missions counted again from the user''s entries, and claims that are not earned. '
    'Reading 0: as it is made; 1 and 2: the least and the most that it can be, as a session hears '
    'of what is published after its commit.';

CREATE TABLE economy.mission_templates (
    mission       text    NOT NULL COLLATE "C"
        CONSTRAINT mission_templates_mission_check
            CHECK (mission ~ '^[A-Za-z0-9_.-]{1,48}$'),
    version       integer NOT NULL,
    number        integer NOT NULL
        CONSTRAINT mission_templates_number_key UNIQUE
        CONSTRAINT mission_templates_number_check CHECK (number BETWEEN 1 AND 99999),
    trigger       text    NOT NULL COLLATE "C"
        CONSTRAINT mission_templates_trigger_check
            CHECK (trigger IN ('purchase', 'action', 'reward', 'entry')),
    condition     jsonb,
    progress      text    NOT NULL COLLATE "C"
        CONSTRAINT mission_templates_progress_check
            CHECK (progress IN ('count', 'sum', 'max', 'distinct', 'streak')),
    field         text COLLATE "C",
    target        bigint  NOT NULL
        CONSTRAINT mission_templates_target_check CHECK (target BETWEEN 1 AND 9007199254740991),
    increment_cap bigint
        CONSTRAINT mission_templates_increment_cap_check CHECK (increment_cap > 0),
    period        text    NOT NULL COLLATE "C"
        CONSTRAINT mission_templates_period_check CHECK (
            period IN ('once', 'daily', 'weekly', 'repeat')
            OR period ~ '^repeat [1-9][0-9]{0,5}$'
            OR period ~ '^rolling [1-9][0-9]{0,3}$' AND substr(period, 9)::integer <= 8784),
    starts_at     timestamptz NOT NULL,
    ends_at       timestamptz,
    claim_hours   integer NOT NULL
        CONSTRAINT mission_templates_claim_hours_check CHECK (claim_hours BETWEEN 0 AND 8784),
    requires      text[]  NOT NULL COLLATE "C",
    gold          bigint  NOT NULL
        CONSTRAINT mission_templates_gold_check CHECK (gold BETWEEN 0 AND 9007199254740991),
    xp            bigint  NOT NULL
        CONSTRAINT mission_templates_xp_check CHECK (xp BETWEEN 0 AND 9007199254740991),
    items         jsonb
        CONSTRAINT mission_templates_items_check CHECK (economy_internal.amounts_sound(items)),
    auto_claim    boolean NOT NULL,
    hidden        boolean NOT NULL,
    position      integer NOT NULL,
    texts         jsonb   NOT NULL
        CONSTRAINT mission_templates_texts_check CHECK (jsonb_typeof(texts) = 'object'
            AND NOT jsonb_path_exists(texts, 'strict $.* ? (@.type() != "object")')),
    published_at  timestamptz NOT NULL,
    retired_at    timestamptz,
    CONSTRAINT mission_templates_pkey PRIMARY KEY (mission, version),
    CONSTRAINT mission_templates_version_check CHECK (version > 0),
    CONSTRAINT mission_templates_field_check
        CHECK ((progress IN ('count', 'streak')) = (field IS NULL)),
    CONSTRAINT mission_templates_streak_check
        CHECK (progress <> 'streak' OR period IN ('daily', 'weekly')),
    CONSTRAINT mission_templates_distinct_check CHECK (progress <> 'distinct' OR target <= 64),
    CONSTRAINT mission_templates_ends_at_check CHECK (ends_at > starts_at)
);
SELECT pg_catalog.pg_extension_config_dump('economy.mission_templates', '');
COMMENT ON TABLE economy.mission_templates IS
    'Missions as they were published, a row per version, which never changes but for its '
    'retirement. Set by publish_mission() and retire_mission() only.';
COMMENT ON CONSTRAINT mission_templates_mission_check ON economy.mission_templates IS
    'mission must have 1 to 48 letters of ASCII, digits, dots, dashes and underscores';
COMMENT ON CONSTRAINT mission_templates_trigger_check ON economy.mission_templates IS
    'trigger must be purchase, action, reward or entry';
COMMENT ON CONSTRAINT mission_templates_progress_check ON economy.mission_templates IS
    'progress must be count, sum, max, distinct or streak';
COMMENT ON CONSTRAINT mission_templates_target_check ON economy.mission_templates IS
    'target must be from 1 to 2^53-1';
COMMENT ON CONSTRAINT mission_templates_increment_cap_check ON economy.mission_templates IS
    'increment_cap must be 1 or more';
COMMENT ON CONSTRAINT mission_templates_period_check ON economy.mission_templates IS
    'period must be once, daily, weekly, repeat, repeat 1 to repeat 999999, or rolling 1 to '
    'rolling 8784, hours';
COMMENT ON CONSTRAINT mission_templates_claim_hours_check ON economy.mission_templates IS
    'claim_hours must be from 0 to 8784';
COMMENT ON CONSTRAINT mission_templates_gold_check ON economy.mission_templates IS
    'gold must be from 0 to 2^53-1';
COMMENT ON CONSTRAINT mission_templates_xp_check ON economy.mission_templates IS
    'xp must be from 0 to 2^53-1';
COMMENT ON CONSTRAINT mission_templates_items_check ON economy.mission_templates IS
    'items must be an object of 1 to 16 items, each with a whole number from 1 to 2^53-1';
COMMENT ON CONSTRAINT mission_templates_texts_check ON economy.mission_templates IS
    'texts must be a JSON object of languages, each with an object';
COMMENT ON CONSTRAINT mission_templates_field_check ON economy.mission_templates IS
    'field is what sum, max and distinct are of, and count and streak have none';
COMMENT ON CONSTRAINT mission_templates_streak_check ON economy.mission_templates IS
    'a streak is of days or weeks: its period must be daily or weekly';
COMMENT ON CONSTRAINT mission_templates_distinct_check ON economy.mission_templates IS
    'the target of distinct must be from 1 to 64';
COMMENT ON CONSTRAINT mission_templates_ends_at_check ON economy.mission_templates IS
    'ends_at must be after starts_at, and after now';
COMMENT ON COLUMN economy.mission_templates.number IS
    'What progress in accounts knows the version by.';
COMMENT ON COLUMN economy.mission_templates.trigger IS
    'The entries that it looks at: purchases, actions, rewards, or all of them.';
COMMENT ON COLUMN economy.mission_templates.condition IS
    'Which of these count; null: all of them.';
COMMENT ON COLUMN economy.mission_templates.increment_cap IS
    'The most that one entry counts; null: no limit.';
COMMENT ON COLUMN economy.mission_templates.period IS
    'once; or anew each day or week of ISO 8601, by UTC; repeat: after each claim, so many times; '
    'rolling: with the first progress behind the end of so many hours.';
COMMENT ON COLUMN economy.mission_templates.claim_hours IS
    'So many hours after the end of its period it may still be claimed.';
COMMENT ON COLUMN economy.mission_templates.requires IS
    'Missions that are completed before anything counts for this one.';
COMMENT ON COLUMN economy.mission_templates.auto_claim IS
    'Whether the job missions pays it, to who has not claimed it until then.';
COMMENT ON COLUMN economy.mission_templates.hidden IS
    'Whether missions() shows it only when the user has progress in it.';
COMMENT ON COLUMN economy.mission_templates.texts IS
    'What is shown, by language: {"en": {"name": "Three wins"}}.';

CREATE FUNCTION economy_internal.missions_changed() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'eco_missions_changed';
COMMENT ON FUNCTION economy_internal.missions_changed() IS
    'Trigger of mission_templates: tells every session that missions have changed.';

CREATE TRIGGER mission_templates_changed
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON economy.mission_templates
    FOR EACH STATEMENT EXECUTE FUNCTION economy_internal.missions_changed();
ALTER TABLE economy.mission_templates ENABLE ALWAYS TRIGGER mission_templates_changed;
COMMENT ON TRIGGER mission_templates_changed ON economy.mission_templates IS
    'Sessions keep missions compiled.';

CREATE FUNCTION economy_internal.mission_ends(
    mission economy.mission_templates, number bigint, progress bigint
) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT least(mission.ends_at, mission.retired_at,
                     economy_internal.mission_period_ends(
                         mission.period,
                         number + CASE mission.progress
                                  WHEN 'streak' THEN least(mission_ends.progress,
                                                           mission.target - 1)
                                  ELSE 0 END));
    END;
COMMENT ON FUNCTION economy_internal.mission_ends(economy.mission_templates, bigint, bigint) IS
    'When nothing counts any more for a period of a mission, or a streak that begins with it and '
    'has come so far; null: that is not known yet.';

CREATE FUNCTION economy_internal.mission_current(
    mission economy.mission_templates, at timestamptz, last bigint, state integer,
    progress bigint
) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT CASE
            WHEN mission.period ~ '^repeat' THEN CASE
                WHEN state = 2
                     AND last < coalesce(nullif(substr(mission.period, 8), '')::bigint, 999999999)
                THEN last + 1 ELSE coalesce(last, 1) END
            WHEN mission.period ~ '^rolling' THEN CASE
                WHEN at < economy_internal.mission_period_ends(mission.period, last)
                THEN last END
            WHEN mission.progress = 'streak' THEN CASE
                WHEN at < economy_internal.mission_ends(mission, last, mission_current.progress)
                THEN last
                ELSE economy_internal.mission_period_at(mission.period, at) END
            ELSE economy_internal.mission_period_at(mission.period, at) END;
    END;
COMMENT ON FUNCTION economy_internal.mission_current(
    economy.mission_templates, timestamptz, bigint, integer, bigint) IS
    'The period that a mission is in for a user whose last one that is known is this, in this '
    'state; null: it begins with the next entry that counts.';

CREATE FUNCTION economy_internal.mission_opens(
    mission economy.mission_templates, next economy.mission_templates
) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT mission.period = 'once'
               AND coalesce(least(mission.ends_at, mission.retired_at)
                            + make_interval(hours => mission.claim_hours) > next.published_at,
                            true);
    END;
COMMENT ON FUNCTION economy_internal.mission_opens(
    economy.mission_templates, economy.mission_templates) IS
    'Whether a mission that requires this one may have meant this version of it.';

CREATE FUNCTION economy_internal.mission_room(missions economy.mission_templates[])
    RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        -- a number has 3 bytes, a period as many, and seven bits of progress one each; two
        -- periods may stand beside each other, and those that can still be claimed
        SELECT coalesce(sum(
            (6 + CASE WHEN m.target < 32 THEN 1 WHEN m.target < 4096 THEN 2
                      WHEN m.target < 524288 THEN 3 WHEN m.target < 67108864 THEN 4
                      ELSE 8 END
             -- and the entry that has completed it, or since which one that was locked counts
             + 5
             -- and values that differ, each with how often it was counted
             + CASE m.progress WHEN 'distinct' THEN 2 + 20 * m.target
                               -- the last period's entries
                               WHEN 'streak' THEN 6 ELSE 0 END
             -- a second has two bytes more
             + CASE WHEN m.period LIKE 'rolling %' THEN 2 ELSE 0 END)
            * CASE WHEN m.period = 'daily' THEN 1 + (m.claim_hours + 23) / 24
                   WHEN m.period = 'weekly' THEN 1 + (m.claim_hours + 167) / 168
                   WHEN m.period LIKE 'rolling %'
                   THEN 1 + (m.claim_hours - 1) / substr(m.period, 9)::integer + 1
                   ELSE 1 END), 0)
        FROM unnest(missions) m;
    END;
COMMENT ON FUNCTION economy_internal.mission_room(economy.mission_templates[]) IS
    'Bytes that a user''s progress in missions has at most.';

CREATE FUNCTION economy_internal.check_mission(given jsonb) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH says (place, says) AS (
            SELECT 0, format('%s is no such column that can be set', to_json(k))
            FROM jsonb_object_keys(given) k
            WHERE k NOT IN ('mission', 'trigger', 'condition', 'progress', 'field', 'target',
                            'increment_cap', 'period', 'starts_at', 'ends_at', 'claim_hours',
                            'requires', 'gold', 'xp', 'items', 'auto_claim', 'hidden', 'position',
                            'texts')
            UNION ALL
            -- the session's settings must not decide what moment is meant
            SELECT 1, format('%s must be a text in ISO 8601 with time zone, '
                             'such as 2026-01-31T12:00:00Z', k)
            FROM unnest(ARRAY['starts_at', 'ends_at']) k
            WHERE jsonb_typeof(given -> k) <> 'null' AND NOT coalesce(
                jsonb_typeof(given -> k) = 'string'
                AND given ->> k ~ ('^[0-9]{4,6}-[0-9]{2}-[0-9]{2}[T ]'
                    '[0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?'
                    '(Z|[+-][0-9]{2}(:?[0-9]{2}(:[0-9]{2})?)?)$'), false)
            UNION ALL
            SELECT 2, 'requires must be an array of at most 8 missions'
            WHERE given ? 'requires' AND NOT coalesce(
                jsonb_typeof(given -> 'requires') = 'array'
                AND jsonb_array_length(CASE jsonb_typeof(given -> 'requires')
                                       WHEN 'array' THEN given -> 'requires' END) <= 8, false)
            UNION ALL
            SELECT 3, format('item %s does not exist', to_json(k))
            FROM jsonb_object_keys(CASE jsonb_typeof(given -> 'items')
                                   WHEN 'object' THEN given -> 'items' ELSE '{}' END) k
            WHERE NOT EXISTS (SELECT FROM economy.items i WHERE i.item_id = k)
            UNION ALL
            -- an event has 8000 bytes, and tells of each item its balance too
            SELECT 4, 'items must have 3072 bytes as text'
            WHERE octet_length((given -> 'items')::text) > 3072
        )
        SELECT s.says FROM says s ORDER BY s.place, s.says LIMIT 1;
    END;
COMMENT ON FUNCTION economy_internal.check_mission(jsonb) IS
    'What is wrong with a mission given to publish_mission(), beyond what the constraints of '
    'mission_templates say; null when nothing is.';

CREATE FUNCTION economy_internal.check_new_mission(new_row economy.mission_templates)
    RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH others AS MATERIALIZED (
            SELECT t FROM economy.mission_templates t
            -- what can have progress: of those that are over also what others require
            WHERE t.number <> new_row.number
              AND (coalesce(least(t.ends_at, t.retired_at)
                            + make_interval(hours => t.claim_hours) > economy.now(), true)
                   OR t.mission = ANY (new_row.requires)
                   OR EXISTS (SELECT FROM economy.mission_templates r
                              WHERE t.mission = ANY (r.requires)))
        ), says (place, says) AS (
            SELECT 0, format('%s is no %s that entries of the trigger have',
                             to_json(new_row.field),
                             CASE new_row.progress WHEN 'distinct' THEN 'field' ELSE 'number' END)
            WHERE NOT economy_internal.mission_counts(new_row.trigger, new_row.progress,
                                                      new_row.field)
            UNION ALL
            -- of one that is over it is not known any more who had completed it
            SELECT 1, format('mission %s, which it requires, is not published with the period '
                             'once, or has ended', to_json(r))
            FROM unnest(new_row.requires) r
            WHERE NOT EXISTS (SELECT FROM economy.mission_templates t
                              WHERE t.mission = r AND t.retired_at IS NULL AND t.period = 'once'
                                AND t.mission <> new_row.mission
                                AND coalesce(t.ends_at > new_row.published_at, true))
            UNION ALL
            SELECT 2, format('mission %s requires it, which needs the period once', b.mission)
            FROM economy.mission_templates b
            WHERE new_row.mission = ANY (b.requires) AND b.retired_at IS NULL
              AND new_row.period <> 'once'
            UNION ALL
            SELECT 3, 'what it requires would require it'
            FROM (WITH RECURSIVE needs (mission) AS (
                      SELECT r FROM unnest(new_row.requires) r
                      UNION
                      SELECT r FROM needs n
                      JOIN economy.mission_templates t
                          ON t.mission = n.mission AND t.retired_at IS NULL
                      CROSS JOIN LATERAL unnest(t.requires) r
                  ) SELECT n.mission FROM needs n) n
            WHERE n.mission = new_row.mission
            UNION ALL
            SELECT 4, format('progress in all missions together would need %s bytes of a user, '
                             'and 24000 is the most', r.room)
            FROM (SELECT economy_internal.mission_room(array_agg(o.t)) AS room
                  FROM (SELECT t FROM others UNION ALL SELECT new_row) o (t)) r
            WHERE r.room > 24000
        )
        SELECT s.says FROM says s ORDER BY s.place, s.says LIMIT 1;
    END;
COMMENT ON FUNCTION economy_internal.check_new_mission(economy.mission_templates) IS
    'What is wrong with a new version beside the other missions; null when nothing is.';

CREATE FUNCTION economy_internal.refuse_mission(mission text, wrong text, hint text)
    RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'mission "%" is not valid', left(mission, 64)
        USING ERRCODE = 'XE403', DETAIL = rtrim(wrong, '.') || '.',
        HINT = coalesce(nullif(hint, ''),
                        'The keys are the column names of economy.mission_templates.');
END
$$;
COMMENT ON FUNCTION economy_internal.refuse_mission(text, text, text) IS
    'Raises XE403 for a mission.';

CREATE FUNCTION economy_internal.put_mission(
    mission jsonb, OUT new_row economy.mission_templates, OUT retired integer
)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET TimeZone = 'UTC' SET DateStyle = 'ISO, YMD' AS $$
DECLARE
    old_row   economy.mission_templates;
    written   economy.mission_templates;
    id        text := mission ->> 'mission';
    wrong     text;
    hint      text;
    failed    text;
    at_column text;
BEGIN
    IF jsonb_typeof(mission) <> 'object' OR id IS NULL THEN
        RAISE EXCEPTION 'mission must be a JSON object with a mission' USING ERRCODE = 'XE403';
    END IF;
    PERFORM economy_internal.open_tables('mission_templates', 'items', 'config_changes');
    -- one change of any at a time: they have their numbers, and their room, together
    PERFORM economy_internal.lock_name('economy.missions');
    SELECT * INTO old_row FROM economy.mission_templates t
        WHERE t.mission = id ORDER BY t.version DESC LIMIT 1;
    wrong := economy_internal.check_mission(mission);
    IF wrong IS NULL THEN
        BEGIN
            new_row := jsonb_populate_record(
                NULL::economy.mission_templates,
                '{"progress": "count", "period": "once", "claim_hours": 24, "requires": [],
                  "gold": 0, "xp": 0, "auto_claim": false, "hidden": false,
                  "position": 0, "texts": {}}' || mission);
            new_row.version := coalesce(old_row.version, 0) + 1;
            new_row.number := coalesce((SELECT max(t.number) FROM economy.mission_templates t), 0)
                              + 1;
            new_row.published_at := economy.now();
            new_row.starts_at := greatest(new_row.starts_at, new_row.published_at);
            -- which entry begins a window, or a streak, is known when all sessions have heard of
            -- the mission
            IF new_row.period LIKE 'rolling%' OR new_row.progress = 'streak' THEN
                new_row.starts_at := greatest(new_row.starts_at,
                                              new_row.published_at + make_interval(mins => 1));
            END IF;
            IF old_row.retired_at IS NULL AND old_row.version IS NOT NULL THEN
                UPDATE economy.mission_templates t SET retired_at = new_row.published_at
                    WHERE t.mission = id AND t.version = old_row.version RETURNING t.* INTO written;
                PERFORM economy_internal.require_kept(
                    'mission_templates', written.retired_at = new_row.published_at);
            END IF;
            -- of two at once above READ COMMITTED, neither of which sees the other: 40001
            INSERT INTO economy.mission_templates AS t SELECT (new_row).* ON CONFLICT DO NOTHING
                RETURNING t.* INTO written;
            PERFORM economy_internal.require_kept(
                'mission_templates', written IS NOT DISTINCT FROM new_row);
            PERFORM economy_internal.check_mission_condition(new_row.trigger, new_row.condition);
            wrong := economy_internal.check_new_mission(new_row);
        EXCEPTION
            WHEN SQLSTATE 'XE403' OR SQLSTATE 'XE002' OR SQLSTATE 'XE003' THEN
                GET STACKED DIAGNOSTICS
                    wrong = MESSAGE_TEXT, failed = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
                wrong := concat_ws(': ', wrong, nullif(failed, ''));
            WHEN data_exception OR check_violation OR not_null_violation THEN
                GET STACKED DIAGNOSTICS
                    wrong = MESSAGE_TEXT, failed = CONSTRAINT_NAME, at_column = COLUMN_NAME;
                wrong := economy_internal.violation('mission_templates', mission, wrong, failed,
                                                    at_column);
        END;
    END IF;
    IF wrong IS NOT NULL THEN
        PERFORM economy_internal.refuse_mission(id, wrong, hint);
    END IF;
    IF old_row.retired_at IS NULL THEN
        retired := old_row.version;
    END IF;
END
$$;
COMMENT ON FUNCTION economy_internal.put_mission(jsonb) IS
    'What publish_mission() writes, but for its record: the new version, and the one that was '
    'retired for it, or null. XE403 for a mission that is not valid.';

CREATE FUNCTION economy.publish_mission(mission jsonb, actor text)
    RETURNS economy.mission_templates
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    id      text := mission ->> 'mission';
    new_row economy.mission_templates;
    put     record;
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.require_given('mission', mission IS NOT NULL);
    SELECT * INTO STRICT put FROM economy_internal.put_mission(mission);
    new_row := put.new_row;
    IF put.retired IS NOT NULL THEN
        PERFORM economy.note_change('mission_templates', id || ':' || put.retired, 'retire', actor);
    END IF;
    PERFORM economy.note_change('mission_templates', id || ':' || new_row.version, 'publish',
                                actor);
    RETURN new_row;
END
$$;
COMMENT ON FUNCTION economy.publish_mission(jsonb, text) IS
    'Publishes a mission, or the next version of one, whose last one is retired: progress begins '
    'anew. Keys are the column names of mission_templates. A version never changes. Recorded with '
    'actor. XE403 for one that is not valid.';

CREATE FUNCTION economy.retire_mission(mission text, actor text) RETURNS economy.mission_templates
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    row_now economy.mission_templates;
    written economy.mission_templates;
    needs   text;
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.require_given('mission', mission IS NOT NULL);
    PERFORM economy_internal.open_tables('mission_templates', 'config_changes');
    PERFORM economy_internal.lock_name('economy.missions');
    SELECT * INTO row_now FROM economy.mission_templates t
        WHERE t.mission = retire_mission.mission ORDER BY t.version DESC LIMIT 1;
    IF row_now.mission IS NULL THEN
        RAISE EXCEPTION 'there is no mission "%"', left(mission, 64) USING ERRCODE = 'XE404';
    END IF;
    IF row_now.retired_at IS NOT NULL THEN
        RETURN row_now;
    END IF;
    needs := (SELECT min(t.mission) FROM economy.mission_templates t
              WHERE row_now.mission = ANY (t.requires) AND t.retired_at IS NULL);
    IF needs IS NOT NULL THEN
        PERFORM economy_internal.refuse_mission(
            row_now.mission, format('mission "%s" requires it', needs),
            'Retire that one first, or publish it without.');
    END IF;
    row_now.retired_at := economy.now();
    UPDATE economy.mission_templates t SET retired_at = row_now.retired_at
        WHERE t.mission = row_now.mission AND t.version = row_now.version
        RETURNING t.* INTO written;
    PERFORM economy_internal.require_kept(
        'mission_templates', written IS NOT DISTINCT FROM row_now);
    PERFORM economy.note_change('mission_templates', row_now.mission || ':' || row_now.version,
                                'retire', actor);
    RETURN row_now;
END
$$;
COMMENT ON FUNCTION economy.retire_mission(text, text) IS
    'Ends a mission: nothing counts for it any more, and what is completed can be claimed for its '
    'claim_hours. Of one that is retired nothing changes. Recorded with actor. XE404 for no such '
    'mission, XE403 for one that others require.';

CREATE VIEW economy.mission_progress AS
    SELECT a.user_id, t.mission, t.version,
           economy_internal.mission_period_key(t.period, t.version, p.period) AS period,
           p.progress, t.target,
           (ARRAY['active', 'completed', 'claimed'])[p.state + 1] AS state
    FROM economy.accounts a
    LEFT JOIN economy_internal.mission_progress_more m USING (user_id)
    CROSS JOIN LATERAL economy_internal.mission_progress_of(a.sections, m.progress) p
    JOIN economy.mission_templates t ON t.number = p.number;
COMMENT ON VIEW economy.mission_progress IS
    'How far users are in missions, as they have it. What is over leaves with the next '
    'entry that counts.';
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
-- mission: seasons (battle passes): tiers that users reach by an item, and tracks they hold

CREATE TABLE economy.seasons (
    season       text        NOT NULL COLLATE "C" CONSTRAINT seasons_pkey PRIMARY KEY
        CONSTRAINT seasons_season_check CHECK (season ~ '^[A-Za-z0-9_.-]{1,48}$'),
    xp_item      text        NOT NULL COLLATE "C" CONSTRAINT seasons_xp_item_key UNIQUE,
    starts_at    timestamptz NOT NULL,
    ends_at      timestamptz NOT NULL,
    claim_hours  integer     NOT NULL
        CONSTRAINT seasons_claim_hours_check CHECK (claim_hours BETWEEN 0 AND 8784),
    at_end       text        NOT NULL COLLATE "C"
        CONSTRAINT seasons_at_end_check CHECK (at_end IN ('claim', 'forfeit')),
    tracks       jsonb       NOT NULL,
    tiers        jsonb       NOT NULL,
    excess       jsonb,
    hidden       boolean     NOT NULL,
    position     integer     NOT NULL,
    texts        jsonb       NOT NULL
        CONSTRAINT seasons_texts_check CHECK (jsonb_typeof(texts) = 'object'
            AND NOT jsonb_path_exists(texts, 'strict $.* ? (@.type() != "object")')),
    published_at timestamptz NOT NULL,
    retired_at   timestamptz,
    closed_at    timestamptz,
    CONSTRAINT seasons_ends_at_check CHECK (ends_at > starts_at)
);
SELECT pg_catalog.pg_extension_config_dump('economy.seasons', '');
COMMENT ON TABLE economy.seasons IS
    'Seasons as they were published. Set by publish_season() and retire_season(), and closed by '
    'the job seasons.';
COMMENT ON CONSTRAINT seasons_season_check ON economy.seasons IS
    'season must have 1 to 48 letters of ASCII, digits, dots, dashes and underscores';
COMMENT ON CONSTRAINT seasons_xp_item_key ON economy.seasons IS
    'xp_item is that of another season';
COMMENT ON CONSTRAINT seasons_claim_hours_check ON economy.seasons IS
    'claim_hours must be from 0 to 8784';
COMMENT ON CONSTRAINT seasons_at_end_check ON economy.seasons IS
    'at_end must be claim or forfeit';
COMMENT ON CONSTRAINT seasons_texts_check ON economy.seasons IS
    'texts must be a JSON object of languages, each with an object';
COMMENT ON CONSTRAINT seasons_ends_at_check ON economy.seasons IS
    'ends_at must be after starts_at, and after now';
COMMENT ON COLUMN economy.seasons.xp_item IS
    'The item whose units are the season''s XP: what a user holds of it reaches tiers.';
COMMENT ON COLUMN economy.seasons.claim_hours IS
    'So many hours after the end the job claims the rest, or it is forfeited.';
COMMENT ON COLUMN economy.seasons.at_end IS
    'claim: what is reached can be claimed for ever, and is claimed for everybody claim_hours '
    'after the end; forfeit: it cannot be claimed from then on.';
COMMENT ON COLUMN economy.seasons.tracks IS
    'Rows of rewards, [{"track": "free"}, {"track": "premium", "item": "s7_premium"}]: open to '
    'everybody, or to who holds the item.';
COMMENT ON COLUMN economy.seasons.tiers IS
    'From tier 1 on the XP that reaches it, and the reward on each track: '
    '[{"xp": 100, "rewards": {"free": {"gold": 50}, "premium": {"items": {"dragon": 1}}}}].';
COMMENT ON COLUMN economy.seasons.excess IS
    'Further tiers: {"every": 500, "times": 20, "rewards": {"free": {"gold": 10}}}; null: none.';
COMMENT ON COLUMN economy.seasons.hidden IS
    'Whether season() shows it, unless it is named, only when the user has XP of it.';
COMMENT ON COLUMN economy.seasons.texts IS
    'What is shown, by language: {"en": {"name": "Season of fire"}}.';
COMMENT ON COLUMN economy.seasons.retired_at IS 'When it was ended before its time.';
COMMENT ON COLUMN economy.seasons.closed_at IS
    'When the job had claimed the rest for everybody; null: it has not, or has not to.';

CREATE FUNCTION economy_internal.season_claim_until(season economy.seasons) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT least(season.ends_at, season.retired_at)
               + make_interval(hours => season.claim_hours);
    END;
COMMENT ON FUNCTION economy_internal.season_claim_until(economy.seasons) IS
    'When the rest of a season is claimed, or forfeited.';

CREATE FUNCTION economy_internal.season_items(tracks jsonb) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT coalesce(array_agg(t ->> 'item') FILTER (WHERE t ->> 'item' IS NOT NULL), '{}')
        FROM jsonb_array_elements(CASE jsonb_typeof(tracks) WHEN 'array' THEN tracks END) t;
    END;
COMMENT ON FUNCTION economy_internal.season_items(jsonb) IS 'The items that tracks name.';

-- PL/pgSQL, here and where a user's season is read: plans of SQL are made at each call
CREATE FUNCTION economy_internal.season_tiers(season economy.seasons)
    RETURNS TABLE (tier integer, xp bigint, rewards jsonb)
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE ROWS 100
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    last CONSTANT integer := jsonb_array_length(season.tiers);
    top  CONSTANT bigint := season.tiers -> -1 ->> 'xp';
BEGIN
    RETURN QUERY
        SELECT t.n::integer, (t.tier ->> 'xp')::bigint, t.tier -> 'rewards'
        FROM jsonb_array_elements(season.tiers) WITH ORDINALITY t (tier, n)
        UNION ALL
        SELECT last + k, top + k * (season.excess ->> 'every')::bigint,
               season.excess -> 'rewards'
        FROM generate_series(1, (season.excess ->> 'times')::integer) k;
END
$$;
COMMENT ON FUNCTION economy_internal.season_tiers(economy.seasons) IS
    'The tiers of a season, those of its excess too.';

-- One who can use XP up loses what he has reached, and one who can give it away reaches it twice.
CREATE FUNCTION economy_internal.season_item_stays() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    counts text := (SELECT min(s.season) FROM economy.seasons s
                    WHERE s.xp_item = NEW.item_id
                       OR NEW.item_id = ANY (economy_internal.season_items(s.tracks)));
BEGIN
    IF counts IS NOT NULL THEN
        RAISE EXCEPTION 'season % counts it: it can be neither consumable nor tradable', counts
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION economy_internal.season_item_stays() IS
    'Trigger of items: refuses to let an item that a season counts be used up or given away.';
CREATE TRIGGER items_of_seasons BEFORE UPDATE ON economy.items
    FOR EACH ROW WHEN (NEW.consumable OR NEW.tradable)
    EXECUTE FUNCTION economy_internal.season_item_stays();
ALTER TABLE economy.items ENABLE ALWAYS TRIGGER items_of_seasons;
COMMENT ON TRIGGER items_of_seasons ON economy.items IS
    'Items that a season counts stay neither consumable nor tradable.';

CREATE FUNCTION economy_internal.check_season(given jsonb) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH track AS (
            SELECT t.track, t.n
            FROM jsonb_array_elements(CASE jsonb_typeof(given -> 'tracks')
                                      WHEN 'array' THEN given -> 'tracks' END)
                WITH ORDINALITY t (track, n)
        ), tier AS MATERIALIZED (
            SELECT t.tier, t.n,
                   CASE WHEN economy_internal.amounts_sound(
                            jsonb_build_object('xp', t.tier -> 'xp'))
                        THEN (t.tier -> 'xp')::numeric END AS xp
            FROM jsonb_array_elements(CASE jsonb_typeof(given -> 'tiers')
                                      WHEN 'array' THEN given -> 'tiers' END)
                WITH ORDINALITY t (tier, n)
        ), excess AS (
            SELECT CASE WHEN economy_internal.amounts_sound((given -> 'excess') - 'rewards')
                        THEN (given #> '{excess,every}')::numeric END AS every,
                   CASE WHEN economy_internal.amounts_sound((given -> 'excess') - 'rewards')
                        THEN (given #> '{excess,times}')::numeric END AS times
            WHERE jsonb_typeof(given -> 'excess') = 'object'
        ), reward AS MATERIALIZED (
            SELECT p.part, p.n, r.key AS track, r.value AS reward
            FROM (SELECT 'tier ' || t.n AS part, t.n, t.tier AS body FROM tier t
                  UNION ALL
                  SELECT 'excess', 1000000, given -> 'excess') p
            CROSS JOIN LATERAL jsonb_each(CASE jsonb_typeof(p.body -> 'rewards')
                                          WHEN 'object' THEN p.body -> 'rewards' END) r
        ), says (place, n, says) AS (
            SELECT 0, 0::bigint, format('%s is no such column that can be set', to_json(k))
            FROM jsonb_object_keys(given) k
            WHERE k NOT IN ('season', 'xp_item', 'starts_at', 'ends_at', 'claim_hours', 'at_end',
                            'tracks', 'tiers', 'excess', 'hidden', 'position', 'texts')
            UNION ALL
            -- the session's settings must not decide what moment is meant
            SELECT 1, 0, format('%s must be a text in ISO 8601 with time zone, '
                                'such as 2026-01-31T12:00:00Z', k)
            FROM unnest(ARRAY['starts_at', 'ends_at']) k
            WHERE given ? k AND NOT coalesce(
                jsonb_typeof(given -> k) = 'string'
                AND given ->> k ~ ('^[0-9]{4,6}-[0-9]{2}-[0-9]{2}[T ]'
                    '[0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?'
                    '(Z|[+-][0-9]{2}(:?[0-9]{2}(:[0-9]{2})?)?)$'), false)
            UNION ALL
            SELECT 2, 0, 'tracks must be an array of 1 to 4 tracks'
            WHERE (SELECT count(*) FROM track) NOT BETWEEN 1 AND 4
            UNION ALL
            SELECT 3, t.n, format('track %s must have a track, 1 to 48 letters of ASCII, digits, '
                                  'dots, dashes and underscores, and an item or none', t.n)
            FROM track t
            WHERE NOT coalesce(
                CASE WHEN jsonb_typeof(t.track) = 'object' AND t.track - 'track' - 'item' = '{}'
                     THEN jsonb_typeof(t.track -> 'track') = 'string'
                          AND t.track ->> 'track' ~ '^[A-Za-z0-9_.-]{1,48}$'
                          AND jsonb_typeof(coalesce(t.track -> 'item', '""')) = 'string' END, false)
            UNION ALL
            SELECT 4, max(t.n), format('track %s is there twice', min(t.track ->> 'track'))
            FROM track t GROUP BY t.track -> 'track' HAVING count(*) > 1
            UNION ALL
            -- what can be used up or given away would be counted less, or twice
            SELECT 5, u.n, format('%s must be an item in units that is given, and neither '
                                  'consumable nor tradable', to_json(u.item))
            FROM (SELECT 0 AS n, given ->> 'xp_item' AS item
                  UNION ALL
                  SELECT t.n, t.track ->> 'item' FROM track t) u
            WHERE u.item IS NOT NULL
              AND NOT EXISTS (SELECT FROM economy.items i
                              WHERE i.item_id = u.item AND i.kind <> 'pass' AND i.active
                                AND NOT i.consumable AND NOT i.tradable
                                AND i.item_id <> 'streak_freeze')
            UNION ALL
            SELECT 6, 0, 'tiers must be an array of 1 to 1000 tiers'
            WHERE (SELECT count(*) FROM tier) NOT BETWEEN 1 AND 1000
            UNION ALL
            SELECT 7, t.n, format('tier %s must have xp, a whole number from 1 to 2^53-1, and '
                                  'rewards, an object of tracks', t.n)
            FROM tier t
            WHERE NOT coalesce(
                CASE WHEN jsonb_typeof(t.tier) = 'object' AND t.tier - 'xp' - 'rewards' = '{}'
                     THEN t.xp IS NOT NULL
                          AND jsonb_typeof(t.tier -> 'rewards') = 'object' END, false)
            UNION ALL
            SELECT 8, t.n, format('tier %s must need more xp than the one before', t.n)
            FROM (SELECT o.n, o.xp, lag(o.xp) OVER (ORDER BY o.n) AS before FROM tier o) t
            WHERE t.xp <= t.before
            UNION ALL
            SELECT 9, 0, 'excess must have every (XP) and times, whole numbers from 1, and rewards'
            WHERE jsonb_typeof(coalesce(given -> 'excess', 'null')) <> 'null'
              AND NOT coalesce(
                  CASE WHEN jsonb_typeof(given -> 'excess') = 'object'
                       THEN (given -> 'excess') - 'rewards' - 'every' - 'times' = '{}'
                            AND jsonb_typeof(given #> '{excess,rewards}') = 'object'
                            AND (SELECT e.every IS NOT NULL AND e.times IS NOT NULL
                                 FROM excess e) END, false)
            UNION ALL
            SELECT 10, 0, 'tiers and times of excess must be 1000 together, and 2^53-1 XP reach '
                          'the last one'
            FROM (SELECT count(*) AS tiers, max(t.xp) AS xp FROM tier t) t CROSS JOIN excess e
            WHERE t.tiers + e.times > 1000 OR t.xp + e.every * e.times > 9007199254740991
            UNION ALL
            SELECT 11, 0, format('more than the maximum of %s', i.item_id)
            FROM economy.items i
            WHERE i.item_id = given ->> 'xp_item'
              AND i.maximum < (SELECT max(t.xp) FROM tier t)
                              + coalesce((SELECT e.every * e.times FROM excess e), 0)
            UNION ALL
            SELECT 12, r.n, format('%s: there is no track %s', r.part, to_json(r.track))
            FROM reward r
            WHERE NOT EXISTS (SELECT FROM track t WHERE t.track ->> 'track' = r.track)
            UNION ALL
            SELECT 13, r.n, format('%s: a reward must have gold, xp or items, of 1 to 2^53-1 each',
                                   r.part)
            FROM reward r
            WHERE NOT coalesce(
                CASE WHEN jsonb_typeof(r.reward) = 'object'
                          AND r.reward - 'gold' - 'xp' - 'items' = '{}' AND r.reward <> '{}'
                     THEN (r.reward - 'items' = '{}'
                           OR economy_internal.amounts_sound(r.reward - 'items'))
                          AND (NOT r.reward ? 'items'
                               OR economy_internal.amounts_sound(r.reward -> 'items')) END, false)
            UNION ALL
            SELECT 14, r.n, format('%s: item %s does not exist', r.part, to_json(k))
            FROM reward r
            CROSS JOIN LATERAL jsonb_object_keys(CASE jsonb_typeof(r.reward -> 'items')
                                                 WHEN 'object' THEN r.reward -> 'items' END) k
            WHERE NOT EXISTS (SELECT FROM economy.items i WHERE i.item_id = k)
            UNION ALL
            -- an event has 8000 bytes, and tells of each item its balance too
            -- it would reach tiers of its own, which the end of the season would not see
            SELECT 14, r.n, format('%s: items must not have the XP of the season', r.part)
            FROM reward r
            WHERE CASE jsonb_typeof(r.reward -> 'items')
                  WHEN 'object' THEN r.reward -> 'items' ? (given ->> 'xp_item') END
            UNION ALL
            SELECT 15, r.n, format('%s: items must have 3072 bytes as text', r.part)
            FROM reward r
            WHERE octet_length((r.reward -> 'items')::text) > 3072
            UNION ALL
            SELECT 16, 0, 'tiers must have 262144 bytes as text'
            WHERE octet_length((given -> 'tiers')::text) > 262144
        )
        SELECT s.says FROM says s ORDER BY s.place, s.n, s.says LIMIT 1;
    END;
COMMENT ON FUNCTION economy_internal.check_season(jsonb) IS
    'What is wrong with a season given to publish_season(), beyond what the constraints of '
    'seasons say; null when nothing is.';

CREATE FUNCTION economy_internal.check_season_change(
    was economy.seasons, becomes economy.seasons, at timestamptz
) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH says (place, says) AS (
            SELECT 0, 'it has ended'
            WHERE at >= least(was.ends_at, was.retired_at) OR was.closed_at IS NOT NULL
            UNION ALL
            SELECT 1, format('%s is fixed when a season is published', k)
            FROM unnest(ARRAY['starts_at', 'xp_item', 'tracks', 'tiers', 'excess']) k
            WHERE to_jsonb(was) -> k IS DISTINCT FROM to_jsonb(becomes) -> k
            UNION ALL
            SELECT 2, 'it can end later, not earlier' WHERE becomes.ends_at < was.ends_at
            UNION ALL
            SELECT 3, 'claim_hours can become more, not less'
            WHERE becomes.claim_hours < was.claim_hours
            UNION ALL
            SELECT 4, 'what is claimed at the end cannot be forfeited then'
            WHERE was.at_end = 'claim' AND becomes.at_end <> 'claim'
        )
        SELECT s.says FROM says s ORDER BY s.place, s.says LIMIT 1;
    END;
COMMENT ON FUNCTION economy_internal.check_season_change(
    economy.seasons, economy.seasons, timestamptz) IS
    'Why a published season cannot become another one; null when nothing is taken from users.';

CREATE FUNCTION economy.publish_season(season jsonb, actor text) RETURNS economy.seasons
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    SET TimeZone = 'UTC' SET DateStyle = 'ISO, YMD' AS $$
DECLARE
    old_row   economy.seasons;
    new_row   economy.seasons;
    written   economy.seasons;
    id        text := season ->> 'season';
    at        timestamptz;
    wrong     text;
    failed    text;
    at_column text;
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.require_given('season', season IS NOT NULL);
    IF jsonb_typeof(season) <> 'object' OR id IS NULL THEN
        RAISE EXCEPTION 'season must be a JSON object with a season' USING ERRCODE = 'XE405';
    END IF;
    PERFORM economy_internal.open_tables('seasons', 'items', 'config_changes');
    PERFORM economy_internal.lock_name('economy.seasons');
    at := economy.now();
    -- who changes one of these items waits, and finds it changed: then it knows the season
    UPDATE economy.items i SET active = i.active
        WHERE i.item_id = season ->> 'xp_item'
           OR i.item_id = ANY (economy_internal.season_items(season -> 'tracks'));
    SELECT * INTO old_row FROM economy.seasons s WHERE s.season = id FOR NO KEY UPDATE;
    wrong := economy_internal.check_season(
        CASE WHEN old_row.season IS NULL THEN '{"tracks": [{"track": "free"}], "tiers": []}'
             ELSE jsonb_build_object('tracks', old_row.tracks, 'tiers', old_row.tiers) END
        || season);
    IF wrong IS NULL THEN
        BEGIN
            new_row := old_row;
            IF old_row.season IS NULL THEN
                new_row := jsonb_populate_record(
                    NULL::economy.seasons,
                    '{"claim_hours": 168, "at_end": "claim", "tracks": [{"track": "free"}],
                      "hidden": false, "position": 0, "texts": {}}'
                        || jsonb_build_object('starts_at', at, 'published_at', at));
            END IF;
            new_row := jsonb_populate_record(new_row, season);
            wrong := CASE WHEN new_row.ends_at <= at
                          THEN 'ends_at must be after starts_at, and after now'
                          WHEN old_row.season IS NOT NULL
                          THEN economy_internal.check_season_change(old_row, new_row, at) END;
            IF old_row.season IS NULL THEN
                INSERT INTO economy.seasons AS s SELECT (new_row).* RETURNING s.* INTO written;
            ELSE
                UPDATE economy.seasons s SET
                    ends_at = new_row.ends_at, claim_hours = new_row.claim_hours,
                    at_end = new_row.at_end, hidden = new_row.hidden,
                    position = new_row.position, texts = new_row.texts
                WHERE s.season = id RETURNING s.* INTO written;
            END IF;
            -- what is not valid is refused below
            IF wrong IS NULL THEN
                PERFORM economy_internal.require_kept(
                    'seasons', written IS NOT DISTINCT FROM new_row);
            END IF;
        EXCEPTION
            WHEN unique_violation OR data_exception OR check_violation OR not_null_violation THEN
                GET STACKED DIAGNOSTICS
                    wrong = MESSAGE_TEXT, failed = CONSTRAINT_NAME, at_column = COLUMN_NAME;
                wrong := economy_internal.violation('seasons', season, wrong, failed, at_column);
        END;
    END IF;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'season "%" is not valid', left(id, 64)
            USING ERRCODE = 'XE405', DETAIL = wrong || '.',
            HINT = 'The keys are the column names of economy.seasons.';
    END IF;
    PERFORM economy.note_change(
        'seasons', id, CASE WHEN old_row.season IS NULL THEN 'publish' ELSE 'change' END, actor);
    RETURN new_row;
END
$$;
COMMENT ON FUNCTION economy.publish_season(jsonb, text) IS
    'Publishes a season; keys are the column names of seasons. Of one that is published only '
    'changes that take nothing from users: texts, position, hidden, a later end, more claim_hours, '
    'at_end claim. Recorded with actor. XE405 for one that is not valid.';

CREATE FUNCTION economy.retire_season(season text, actor text) RETURNS economy.seasons
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    row_now economy.seasons;
    written economy.seasons;
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.require_given('season', season IS NOT NULL);
    PERFORM economy_internal.open_tables('seasons', 'config_changes');
    PERFORM economy_internal.lock_name('economy.seasons');
    SELECT * INTO row_now FROM economy.seasons s
        WHERE s.season = retire_season.season FOR NO KEY UPDATE;
    IF row_now.season IS NULL THEN
        RAISE EXCEPTION 'there is no season "%"', left(season, 64) USING ERRCODE = 'XE406';
    END IF;
    IF least(row_now.ends_at, row_now.retired_at) <= economy.now() THEN
        RETURN row_now;
    END IF;
    row_now.retired_at := economy.now();
    UPDATE economy.seasons s SET retired_at = row_now.retired_at WHERE s.season = row_now.season
        RETURNING s.* INTO written;
    PERFORM economy_internal.require_kept('seasons', written IS NOT DISTINCT FROM row_now);
    PERFORM economy.note_change('seasons', row_now.season, 'retire', actor);
    RETURN row_now;
END
$$;
COMMENT ON FUNCTION economy.retire_season(text, text) IS
    'Ends a season now: what is reached can be claimed as after its end. Of one that has ended '
    'nothing changes. Recorded with actor. XE406 for no such season.';

CREATE OR REPLACE FUNCTION economy_internal.archive_due(
    journal text, after_user bigint, cutoff timestamptz, max_users integer, part bigint,
    OUT user_id bigint, OUT from_seq bigint, OUT upto_seq bigint, OUT entries bigint
) RETURNS SETOF record
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    -- user by user: a join would read every one of them
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
    SET jit = off AS $$
DECLARE
    -- an incremental refresh looks for new purchases in the journal alone
    scored CONSTANT boolean := EXISTS (SELECT FROM economy.rfm_state s WHERE s.snapshot_id > 0)
        OR EXISTS (SELECT FROM economy.user_segments);
BEGIN
    -- EXECUTE, because the table is that of the journal
    RETURN QUERY EXECUTE format($query$
        SELECT c.user_id, f.from_seq, d.upto_seq, d.entries
        FROM (SELECT a.user_id FROM economy.accounts a WHERE a.user_id > $1
              ORDER BY a.user_id LIMIT $3) c
        CROSS JOIN LATERAL (
            SELECT coalesce(max(m.upto_seq), 0) AS from_seq, coalesce((
                       SELECT g.seq FROM economy.user_segments g
                       WHERE g.user_id = c.user_id), 0) AS scored_seq
            FROM economy.archives m
            WHERE m.user_id = c.user_id AND m.journal = $4) f
        CROSS JOIN LATERAL (
            -- up to the last entry before the first one that is not old enough, or waits
            SELECT max(s.seq) AS upto_seq, count(*) - 1 AS entries
            FROM (SELECT i.seq, bool_or(i.created_at >= $2 OR i.waits)
                             OVER (ORDER BY i.seq) AS stays
                  FROM (SELECT t.seq, t.created_at, %s AS waits FROM economy.%I t
                        WHERE t.user_id = c.user_id AND t.seq >= f.from_seq
                        ORDER BY t.user_id, t.seq LIMIT $5 + 1) i) s
            WHERE NOT s.stays) d
        ORDER BY c.user_id
        $query$, CASE journal WHEN 'shop_transactions'
                 THEN '(t.status <> ''SUCCESS'' OR $6 AND t.seq > f.scored_seq OR EXISTS (
                           SELECT FROM economy.fulfilments q WHERE q.user_id = t.user_id
                             AND q.seq = t.seq AND q.fulfilled_at IS NULL
                             AND q.refunded_at IS NULL))'
                 ELSE 'false' END, journal)
        USING after_user, cutoff, max_users, journal, part, scored;
END
$$;

CREATE FUNCTION economy_internal.item_stays(user_id bigint, upto_seq bigint)
    RETURNS TABLE (journal text, seq bigint)
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT CASE left(e.entry, 1) WHEN 'P' THEN 'shop_transactions' WHEN 'R' THEN 'reward_audit'
                                     WHEN 'B' THEN 'shop_refunds'
                                     ELSE 'holding_changes' END, e.seq
        FROM (SELECT DISTINCT ON (i.item_id) i.entry, i.seq
              FROM economy_internal.item_entries i
              WHERE i.user_id = item_stays.user_id AND i.seq < item_stays.upto_seq
                AND i.item_id <> 'streak_freeze'
              ORDER BY i.item_id, i.seq DESC) e;
    END;
COMMENT ON FUNCTION economy_internal.item_stays(bigint, bigint) IS
    'The newest entry of each item of a user in front of another entry, and its journal; of '
    'streak freezes archives has the sum.';

CREATE OR REPLACE FUNCTION economy_internal.archive_stays(
    journal text, user_ids bigint[], from_seqs bigint[], upto_seqs bigint[],
    OUT user_id bigint, OUT seq bigint
) RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT DISTINCT n.user_id, s.seq
        FROM unnest(user_ids, from_seqs, upto_seqs) n (user_id, from_seq, upto_seq)
        CROSS JOIN LATERAL (
            SELECT r.seq FROM economy_internal.reward_stays(n.user_id, n.from_seq, n.upto_seq) r
            WHERE journal = 'reward_audit'
            UNION ALL
            -- what is held of an item was there after it, and what comes goes on from there
            SELECT i.seq FROM economy_internal.item_stays(n.user_id, n.upto_seq) i
            WHERE i.journal = archive_stays.journal) s
        WHERE s.seq >= n.from_seq AND s.seq < n.upto_seq
        ORDER BY n.user_id, s.seq;
    END;

CREATE OR REPLACE FUNCTION economy_internal.archive_freezes(
    journal text, user_ids bigint[], from_seqs bigint[], upto_seqs bigint[],
    stay_user_ids bigint[], stay_seqs bigint[]
) RETURNS bigint[]
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT coalesce(array_agg(f.freezes ORDER BY n.user_id), '{}')
        FROM unnest(user_ids, from_seqs, upto_seqs) n (user_id, from_seq, upto_seq)
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(m.n), 0)::bigint AS freezes
            FROM (SELECT i.seq, i.delta AS n FROM economy_internal.item_entries i
                  WHERE i.user_id = n.user_id AND i.item_id = 'streak_freeze'
                    AND left(i.entry, 1) = CASE archive_freezes.journal
                        WHEN 'shop_transactions' THEN 'P' WHEN 'reward_audit' THEN 'R' END
                    AND i.seq >= n.from_seq AND i.seq < n.upto_seq) m
            WHERE NOT EXISTS (SELECT FROM unnest(stay_user_ids, stay_seqs) s (user_id, seq)
                              WHERE s.user_id = n.user_id AND s.seq = m.seq)) f;
    END;

CREATE OR REPLACE FUNCTION economy.archive_entries(
    journal anyelement, older_than interval, max_users integer DEFAULT 1000
) RETURNS SETOF anyelement
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    name   text := (SELECT c.relname FROM pg_class c JOIN pg_type t ON t.typrelid = c.oid
                    WHERE t.oid = pg_typeof(journal) AND c.relnamespace = 'economy'::regnamespace);
    letter text := economy_internal.journal_letter(coalesce(name, pg_typeof(journal)::text));
    cutoff timestamptz := economy_internal.archive_cutoff(older_than);
    batch  record;
    stays  record;
    gone   record;
    given  bigint;
    parts  bigint[];
BEGIN
    PERFORM economy_internal.require_positive('max_users', max_users);
    PERFORM economy_internal.open_tables(
        'accounts', 'archives', 'archived_keys', 'archived_hashes', 'stream_checkpoints',
        'shop_transactions', 'reward_audit', 'gold_adjustments', 'user_actions',
        'holding_changes', 'shop_refunds', 'fulfilments', 'rfm_state', 'user_segments',
        'economy_internal.archive_state',
        'economy_internal.rollup_positions', 'economy_internal.rollup_state',
        'economy_internal.rollup_queue');
    -- one at a time: the next one begins where this one ends
    PERFORM economy_internal.lock_name('economy.archive');
    -- nor beside what notes who has actions to be pruned
    PERFORM economy_internal.lock_name('economy.rollup_stats');
    -- nor beside a refresh, which may not have seen all that it will say it has
    PERFORM economy_internal.lock_name('economy.rfm_refresh');
    SELECT b.* INTO batch FROM economy_internal.archive_batch(name, cutoff, max_users, (
        SELECT s.last_user FROM economy_internal.archive_state s WHERE s.journal = name)) b;
    -- a reward that is taken back from here on waits, and is told what went
    PERFORM FROM economy.accounts a WHERE a.user_id = ANY (batch.users)
        ORDER BY a.user_id FOR NO KEY UPDATE;
    SELECT coalesce(array_agg(s.user_id ORDER BY s.user_id, s.seq), '{}') AS users,
           coalesce(array_agg(s.seq ORDER BY s.user_id, s.seq), '{}') AS seqs
    INTO stays
    FROM economy_internal.archive_stays(name, batch.users, batch.froms, batch.uptos) s;
    RETURN QUERY EXECUTE format($query$
        SELECT t.* FROM unnest($1, $2, $3) n (user_id, from_seq, upto_seq)
        CROSS JOIN LATERAL (
            SELECT * FROM economy.%I u
            WHERE u.user_id = n.user_id AND u.seq >= n.from_seq AND u.seq < n.upto_seq
            ORDER BY u.user_id, u.seq OFFSET 0) t
        WHERE NOT EXISTS (SELECT FROM unnest($4, $5) s (user_id, seq)
                          WHERE s.user_id = t.user_id AND s.seq = t.seq)
        $query$, name) USING batch.users, batch.froms, batch.uptos, stays.users, stays.seqs;
    GET DIAGNOSTICS given = ROW_COUNT;
    parts := economy_internal.archive_streams(
        letter, batch.users, batch.uptos,
        economy_internal.archive_freezes(name, batch.users, batch.froms, batch.uptos, stays.users,
                                         stays.seqs), stays.users, stays.seqs);
    SELECT coalesce(array_agg(p.user_id) FILTER (WHERE p.n > 0), '{}') AS users,
           coalesce(sum(p.n), 0)::bigint AS entries,
           count(*) FILTER (WHERE p.n IS NULL) AS damaged
    INTO gone FROM unnest(batch.users, parts) p (user_id, n);
    IF gone.damaged > 0 OR gone.entries <> given THEN
        RAISE EXCEPTION 'streams have changed while they were archived' USING ERRCODE = 'XE103',
            HINT = 'Call it again: what is damaged then is left alone.';
    END IF;
    PERFORM economy_internal.archive_note(
        name, batch.last_user, gone.users, gone.entries, batch.damaged);
END
$$;

CREATE OR REPLACE FUNCTION economy_internal.archive_note(
    journal text, last_user bigint, users bigint[], entries bigint, damaged bigint
) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
    INSERT INTO economy_internal.archive_state AS s
        VALUES (journal, last_user, users, cardinality(users), entries, damaged)
        ON CONFLICT ON CONSTRAINT archive_state_pkey DO UPDATE SET
            last_user = excluded.last_user, batch = excluded.batch, users = excluded.users,
            entries = excluded.entries, damaged = excluded.damaged;
    -- the next receipt went as well
    DELETE FROM economy.archived_hashes h WHERE h.user_id = ANY (archive_note.users)
        AND NOT EXISTS (SELECT FROM economy.shop_transactions t
                        WHERE t.user_id = h.user_id AND t.seq = h.seq + 1);
    -- prune() goes on behind the checkpoint
    UPDATE economy_internal.rollup_positions p SET oldest_at = (
            SELECT t.created_at FROM economy.user_actions t
            WHERE t.user_id = p.user_id AND t.seq > a.pruned_seq AND t.seq <= p.seq
            ORDER BY t.user_id, t.seq LIMIT 1)
        FROM economy.accounts a
        WHERE p.user_id = ANY (archive_note.users) AND a.user_id = p.user_id
          AND p.oldest_at IS NOT NULL;
    -- a rollup whose snapshot is older would note again what is behind: it is to fail
    INSERT INTO economy_internal.rollup_state AS s (position, summarized, next_user)
        VALUES (0, 0, (SELECT min(q.user_id) FROM economy_internal.rollup_queue q))
        ON CONFLICT ON CONSTRAINT rollup_state_pkey DO UPDATE SET next_user = s.next_user;
END
$$;

DROP FUNCTION economy_internal.archive_columns(text);

CREATE FUNCTION economy_internal.archive_columns(journal text, archive regclass) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relname = journal AND c.relnamespace = 'economy'::regnamespace
          AND a.attnum > 0 AND NOT a.attisdropped
          AND (a.attname <> 'items' OR EXISTS (
              SELECT FROM pg_attribute h WHERE h.attrelid = archive AND h.attname = a.attname
                AND h.attnum > 0 AND NOT h.attisdropped));
    END;
COMMENT ON FUNCTION economy_internal.archive_columns(text, regclass) IS
    'The columns of a journal, as text, that an archive of it has, or should have.';

CREATE FUNCTION economy_internal.archive_entry(journal text, archive regclass) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT string_agg(CASE WHEN n.name = ANY (string_to_array(
                                   economy_internal.archive_columns(journal, archive), ', '))
                               THEN 'd.' || n.name ELSE 'NULL' END, ', ' ORDER BY n.place)
        FROM string_to_table(economy_internal.archive_columns(journal, (
            SELECT c.oid::regclass FROM pg_class c
            WHERE c.relname = journal AND c.relnamespace = 'economy'::regnamespace)), ', ')
            WITH ORDINALITY n (name, place);
    END;
COMMENT ON FUNCTION economy_internal.archive_entry(text, regclass) IS
    'The same as an entry of the journal has them, d being a row of the archive.';

CREATE OR REPLACE FUNCTION economy_internal.archive_findings(
    journal regclass, archive regclass, users bigint[], newest boolean
) RETURNS SETOF economy.finding
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    name   text := economy_internal.archive_journal(journal);
    letter text := economy_internal.journal_letter(name);
BEGIN
    PERFORM economy_internal.require_given('archive', archive IS NOT NULL);
    PERFORM economy_internal.open_archives();
    -- EXECUTE, because the tables are those that are named
    RETURN QUERY EXECUTE format($query$
        WITH known AS MATERIALIZED (
            SELECT * FROM economy_internal.archives_of($1, $2, $4)
        ), rows AS MATERIALIZED (
            SELECT d.user_id, d.seq, ROW(%2$s)::economy.%3$I AS entry FROM %1$s d
            WHERE $2 IS NULL OR d.user_id = ANY ($2)
        ), found AS MATERIALIZED (
            SELECT k.user_id, k.upto_seq, count(r.seq) AS entries,
                   economy_internal.archive_digest(r.entry ORDER BY r.seq)
                       FILTER (WHERE r.seq IS NOT NULL) AS digest
            FROM known k LEFT JOIN rows r
                ON r.user_id = k.user_id AND r.seq >= k.from_seq AND r.seq < k.upto_seq
            GROUP BY k.user_id, k.upto_seq
        )
        SELECT k.user_id, CASE WHEN f.entries < k.entries THEN 'missing_entry'
                               ELSE 'wrong_hash' END,
               format('%%s entries from seq %%s to %%s with digest %%s', k.entries, k.from_seq,
                      k.upto_seq - 1, encode(k.digest, 'hex')),
               format('%%s entries with digest %%s', f.entries, encode(f.digest, 'hex')),
               NULL::text, k.upto_seq
        FROM known k JOIN found f USING (user_id, upto_seq)
        WHERE (f.entries, f.digest) IS DISTINCT FROM (k.entries, k.digest)
        UNION ALL
        SELECT DISTINCT k.user_id, 'wrong_signature', 'archives that the stream checkpoint signed',
               'others', NULL, NULL::bigint
        FROM known k WHERE NOT k.sound
        UNION ALL
        SELECT r.user_id, 'orphan_row', 'an entry that was archived', 'another one',
               $3 || r.user_id || '-' || r.seq, r.seq
        FROM rows r
        WHERE NOT $4 AND NOT EXISTS (SELECT FROM known k WHERE k.user_id = r.user_id
                          AND r.seq >= k.from_seq AND r.seq < k.upto_seq)
        $query$, archive,
        economy_internal.archive_entry(name, archive), name)
        USING name, users, letter, newest;
END
$$;

CREATE OR REPLACE FUNCTION economy.archive(
    journal regclass, archive regclass, older_than interval, max_users integer DEFAULT 1000
) RETURNS TABLE (users bigint, entries bigint, damaged bigint, more boolean)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    name    text := economy_internal.archive_journal(journal);
    columns text := economy_internal.archive_columns(name, archive);
    last    record;
    finding economy.finding;
    written bigint;
BEGIN
    PERFORM economy_internal.require_archive(archive, journal);
    -- as the caller: what hangs on his table does not run as the owner of this one
    EXECUTE format('INSERT INTO %s (%s) SELECT %2$s FROM economy.archive_entries('
                   'NULL::economy.%I, $1, $2)', archive, columns, name) USING older_than, max_users;
    GET DIAGNOSTICS written = ROW_COUNT;
    SELECT l.* INTO last FROM economy_internal.archive_last(name) l;
    IF written <> last.entries THEN
        RAISE EXCEPTION '% of % entries were written to %', written, last.entries, archive
            USING ERRCODE = 'XE103', HINT = 'Look for triggers, rules and policies on the table.';
    END IF;
    -- nothing is deleted but what can be read there again
    SELECT v.* INTO finding
        FROM economy_internal.archive_findings(journal, archive, last.batch, true) v LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '% does not have what was archived of user %: % instead of %', archive,
                finding.user_id, finding.actual, finding.expected
            USING ERRCODE = 'XE103',
            HINT = 'Look for triggers, rules and policies on the table, at the types of its '
                   'columns, and whether one is missing.';
    END IF;
    users := last.users;
    entries := last.entries;
    damaged := last.damaged;
    more := last.last_user IS NOT NULL;
    RETURN NEXT;
END
$$;

CREATE OR REPLACE VIEW economy.ledger AS
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

ALTER TYPE economy.statement_line
    ADD ATTRIBUTE product_id text,
    ADD ATTRIBUTE source text,
    ADD ATTRIBUTE reason text,
    ADD ATTRIBUTE items jsonb;
COMMENT ON FUNCTION economy.statement(bigint, bigint, integer) IS
    'A user''s entries after a seq, oldest first, at most max (10,000) of them, with the product, '
    'the source, the reason and the items where an entry has such.';

CREATE FUNCTION economy_internal.leaderboard_figures(user_ids bigint[], boards text[])
    RETURNS TABLE (board text, first_day date, user_id bigint, place bigint)
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    -- user by user throughout: a join would read whole tables for a few of them
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
    SET jit = off
    BEGIN ATOMIC
        WITH counting AS MATERIALIZED (
            SELECT b.board, b.figure, b.game, b.item_id, b.period, b.ascending, b.min_games,
                   b.audience, p.first_day, p.last_day
            FROM economy.leaderboards b JOIN economy.leaderboard_periods p ON p.board = b.board
            WHERE b.active AND p.closed_at IS NULL
              AND (boards IS NULL OR b.board = ANY (boards))
        ), asked AS MATERIALIZED (
            SELECT i.user_id, coalesce(a.suspended, true) AS suspended, a.experience_points
            FROM unnest(user_ids) i (user_id)
            LEFT JOIN LATERAL (SELECT c.* FROM economy.accounts c
                               WHERE c.user_id = i.user_id OFFSET 0) a ON true
        ), games AS MATERIALIZED (
            SELECT g.* FROM asked a
            CROSS JOIN LATERAL (SELECT t.* FROM economy.game_stats t
                                WHERE t.user_id = a.user_id OFFSET 0) g
            WHERE EXISTS (SELECT FROM counting c WHERE c.period = 'all' AND c.figure
                          NOT IN ('xp', 'streak', 'item'))
        ), days AS MATERIALIZED (
            SELECT d.* FROM asked a
            CROSS JOIN LATERAL (
                SELECT t.* FROM economy.user_game_stats_summary t
                WHERE t.user_id = a.user_id
                  AND t.day >= (SELECT min(c.first_day) FROM counting c WHERE c.period <> 'all')
                  AND t.day <= (SELECT max(c.last_day) FROM counting c WHERE c.period <> 'all')
                OFFSET 0) d
        ), played AS (
            SELECT c.board, c.first_day, d.user_id, sum(d.total) AS total, sum(d.wins) AS wins,
                   sum(d.losses) AS losses, max(d.max_win) AS max_win, sum(d.bet_sum) AS bet_sum,
                   sum(d.win_sum) AS win_sum
            FROM counting c JOIN days d
                ON d.day BETWEEN c.first_day AND c.last_day AND coalesce(d.game = c.game, true)
            WHERE c.period <> 'all' GROUP BY 1, 2, 3
            UNION ALL
            SELECT c.board, c.first_day, g.user_id, sum(g.total), sum(g.wins), sum(g.losses),
                   max(g.max_win), sum(g.bet_sum), sum(g.win_sum)
            FROM counting c JOIN games g ON coalesce(g.game = c.game, true)
            WHERE c.period = 'all' GROUP BY 1, 2, 3
        ), figures AS MATERIALIZED (
            SELECT c.board, c.first_day, p.user_id,
                   CASE c.figure
                       WHEN 'wins' THEN p.wins
                       WHEN 'max_win' THEN p.max_win
                       WHEN 'win_sum' THEN p.win_sum
                       WHEN 'bet_sum' THEN p.bet_sum
                       WHEN 'net' THEN p.win_sum - p.bet_sum
                       WHEN 'total' THEN p.total
                       WHEN 'win_rate' THEN div(p.wins * 1000000, p.wins + p.losses)
                   END AS figure
            FROM counting c JOIN played p ON p.board = c.board AND p.first_day = c.first_day
            WHERE c.figure NOT IN ('xp', 'streak', 'item')
              AND CASE c.figure WHEN 'win_rate' THEN p.wins + p.losses ELSE p.total END
                  >= c.min_games
            UNION ALL
            SELECT c.board, c.first_day, a.user_id, a.experience_points
            FROM counting c CROSS JOIN asked a
            WHERE c.figure = 'xp' AND a.experience_points > 0
            UNION ALL
            SELECT c.board, c.first_day, a.user_id, s.streak_day
            FROM counting c CROSS JOIN asked a
            CROSS JOIN LATERAL (SELECT k.streak_day FROM economy.streaks k
                                WHERE k.user_id = a.user_id OFFSET 0) s
            WHERE c.figure = 'streak' AND s.streak_day > 0
            UNION ALL
            SELECT c.board, c.first_day, a.user_id, h.balance
            FROM counting c CROSS JOIN asked a
            CROSS JOIN LATERAL (SELECT u.balance FROM economy.user_holdings u
                                WHERE u.user_id = a.user_id AND u.item_id = c.item_id
                                OFFSET 0) h
            WHERE c.figure = 'item' AND h.balance > 0
        )
        SELECT c.board, c.first_day, a.user_id,
               CASE WHEN f.figure IS NOT NULL AND (c.audience = 'all' OR NOT a.suspended)
                    THEN greatest(least(CASE WHEN c.ascending THEN f.figure ELSE -f.figure END,
                                        9223372036854775807), -9223372036854775807)::bigint END
        FROM counting c CROSS JOIN asked a
        LEFT JOIN figures f
            ON f.board = c.board AND f.first_day = c.first_day AND f.user_id = a.user_id;
    END;
COMMENT ON FUNCTION economy_internal.leaderboard_figures(bigint[], text[]) IS
    'Where users are to be on the boards that count, of boards or of all, null for nowhere: the '
    'figure, negative where more is better.';

CREATE FUNCTION economy_internal.leaderboard_look(user_ids bigint[], boards text[]) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    RETURN (SELECT economy_internal.leaderboard_set(
                       array_agg(f.board), array_agg(f.first_day), array_agg(f.user_id),
                       array_agg(f.place))
            FROM economy_internal.leaderboard_figures(user_ids, boards) f);
END
$$;
COMMENT ON FUNCTION economy_internal.leaderboard_look(bigint[], text[]) IS
    'Part of refresh_leaderboards(): puts users where they are to be; how many were elsewhere.';

CREATE FUNCTION economy_internal.leaderboard_journals() RETURNS text[]
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        -- by the guard that each has
        SELECT array_agg(c.relname::text ORDER BY c.relname)
        FROM pg_class c JOIN pg_trigger t ON t.tgrelid = c.oid
        WHERE c.relnamespace = 'economy'::regnamespace AND NOT c.relispartition
          AND t.tgname = c.relname || '_append_only'
          AND c.relname NOT IN ('user_actions', 'config_changes');
    END;
COMMENT ON FUNCTION economy_internal.leaderboard_journals() IS
    'The journals but that of actions, which rollup_stats() follows.';

CREATE FUNCTION economy_internal.leaderboard_read(since bigint) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET jit = off AS $$
DECLARE
    journal text;
BEGIN
    FOREACH journal IN ARRAY economy_internal.leaderboard_journals() LOOP
        -- EXECUTE, and the bound stands in the statement, so that it is planned for what it finds
        EXECUTE format($query$
            INSERT INTO economy_internal.leaderboard_queue
            SELECT n.user_id
            FROM (SELECT DISTINCT t.user_id FROM economy.%I t
                  WHERE t.position >= %s OFFSET 0) n
            ON CONFLICT ON CONSTRAINT leaderboard_queue_pkey DO NOTHING
            $query$, journal, since);
        PERFORM economy_internal.summarise_parts(format('economy.%I', journal));
    END LOOP;
END
$$;
COMMENT ON FUNCTION economy_internal.leaderboard_read(bigint) IS
    'Part of refresh_leaderboards(): puts users with entries from a position on, other than '
    'actions, into the queue.';

CREATE FUNCTION economy_internal.leaderboard_begin(today date) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    b    record;
    d    record;
    last date;
    made integer := 0;
BEGIN
    FOR b IN SELECT l.board, l.period, n.last_day
             FROM economy.leaderboards l
             CROSS JOIN LATERAL (SELECT max(p.last_day) AS last_day
                                 FROM economy.leaderboard_periods p WHERE p.board = l.board) n
             WHERE l.active AND l.period IN ('day', 'week', 'month')
             ORDER BY l.board
    LOOP
        SELECT * INTO d FROM economy_internal.leaderboard_period(b.period, today, NULL, NULL);
        last := coalesce(b.last_day, d.first_day - 1);
        -- one after the other, so that none is passed over, up to the next one: who acts
        -- first in it is counted, whatever time the clock tells here
        WHILE last <= d.last_day LOOP
            IF made >= 1000 THEN
                RETURN false;
            END IF;
            PERFORM economy_internal.leaderboard_open(
                b.board, last + 1, b.last_day IS NOT NULL);
            SELECT n.last_day INTO last
                FROM economy_internal.leaderboard_period(b.period, last + 1, NULL, NULL) n;
            made := made + 1;
        END LOOP;
    END LOOP;
    RETURN true;
END
$$;
COMMENT ON FUNCTION economy_internal.leaderboard_begin(date) IS
    'Part of refresh_leaderboards(): makes the periods up to the one after today''s; false when '
    'more than a batch makes are missing.';

CREATE FUNCTION economy_internal.running_transactions() RETURNS text[]
    LANGUAGE sql VOLATILE PARALLEL RESTRICTED
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT coalesce(array_agg(l.virtualtransaction ORDER BY l.virtualtransaction), '{}')
        FROM pg_locks l
        WHERE l.locktype = 'virtualxid' AND l.virtualxid = l.virtualtransaction
          AND l.mode = 'ExclusiveLock' AND l.granted AND l.pid <> pg_backend_pid()
          AND EXISTS (SELECT FROM pg_stat_get_activity(l.pid) a
                      JOIN pg_database d ON d.oid = a.datid
                      WHERE d.datname = current_database()
                        AND a.backend_type IS DISTINCT FROM 'autovacuum worker');
    END;
COMMENT ON FUNCTION economy_internal.running_transactions() IS
    'Virtual ids of the other transactions of this database that run now.';

CREATE FUNCTION economy_internal.leaderboard_end(today date) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    running  CONSTANT text[] := economy_internal.running_transactions();
    -- afterwards: one that is in neither has ended
    prepared CONSTANT text[] := ARRAY(
        SELECT 'x' || x.transaction::text FROM pg_prepared_xacts x
        WHERE x.database = current_database() ORDER BY 1);
BEGIN
    -- a clock that was ahead has ended what has not: it ends anew
    UPDATE economy.leaderboard_periods p SET awaits = NULL, await_fills = NULL
        WHERE p.closed_at IS NULL AND p.awaits IS NOT NULL AND p.last_day >= today;
    UPDATE economy.leaderboard_periods p SET
            awaits = CASE
                WHEN p.awaits IS NULL THEN running || prepared
                ELSE ARRAY(SELECT r FROM unnest(p.awaits) r
                           WHERE r = ANY (running) OR r = ANY (prepared)
                           UNION
                           -- one that ran then has none of its names when it is prepared
                           SELECT r FROM unnest(prepared) r
                           WHERE EXISTS (SELECT FROM unnest(p.awaits) v WHERE v LIKE '%/%')) END
        FROM economy.leaderboards b
        WHERE b.board = p.board AND b.active AND p.last_day < today AND p.closed_at IS NULL
          AND p.fill_from IS NULL AND p.await_fills IS NULL;
    UPDATE economy.leaderboard_periods p SET await_fills = s.fills
        FROM economy_internal.leaderboard_state s
        WHERE p.closed_at IS NULL AND p.await_fills IS NULL AND p.awaits = '{}';
END
$$;
COMMENT ON FUNCTION economy_internal.leaderboard_end(date) IS
    'Part of refresh_leaderboards(): notes what periods that have ended still wait for.';

CREATE FUNCTION economy_internal.leaderboard_close() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET jit = off AS $$
DECLARE
    p record;
BEGIN
    FOR p IN
        SELECT o.board, o.first_day, b.prizes
        FROM economy.leaderboard_periods o
        JOIN economy.leaderboards b ON b.board = o.board
        CROSS JOIN economy_internal.leaderboard_state s
        WHERE b.active AND o.closed_at IS NULL AND o.fill_from IS NULL
          AND o.await_fills < s.fills AND o.last_day < (economy.now() AT TIME ZONE 'UTC')::date
          -- all whom that rollup found are counted, here as well
          AND NOT EXISTS (SELECT FROM economy_internal.rollup_state r
                          WHERE r.next_user IS NOT NULL)
          AND NOT EXISTS (SELECT FROM economy_internal.leaderboard_queue)
        ORDER BY o.board, o.first_day LIMIT 100
    LOOP
        UPDATE economy.leaderboard_periods c SET
                closed_at = economy.now(), prizes = p.prizes,
                checksum = economy_internal.leaderboard_checksum(p.board, p.first_day),
                paid_at = CASE WHEN p.prizes = '[]' THEN economy.now() END
            WHERE c.board = p.board AND c.first_day = p.first_day;
    END LOOP;
END
$$;
COMMENT ON FUNCTION economy_internal.leaderboard_close() IS
    'Part of refresh_leaderboards(): closes the periods that wait for nothing any more.';

CREATE FUNCTION economy_internal.leaderboard_checksum(board text, first_day date) RETURNS numeric
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT coalesce(sum(s.user_id::numeric * s.place), 0)
        FROM economy.leaderboard_scores s
        WHERE s.board = leaderboard_checksum.board
          AND s.first_day = leaderboard_checksum.first_day;
    END;
COMMENT ON FUNCTION economy_internal.leaderboard_checksum(text, date) IS
    'The sum that a closed period is known by.';

CREATE FUNCTION economy_internal.leaderboard_forget(max_rows integer) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
    SET jit = off AS $$
DECLARE
    old record;
    n   bigint;
BEGIN
    SELECT o.board, o.first_day INTO old
        FROM economy.leaderboards b
        CROSS JOIN LATERAL (
            SELECT p.board, p.first_day, p.paid_at FROM economy.leaderboard_periods p
            WHERE p.board = b.board AND p.closed_at IS NOT NULL
            ORDER BY p.first_day DESC OFFSET b.keep) o
        WHERE b.keep IS NOT NULL AND o.paid_at IS NOT NULL
          AND NOT EXISTS (SELECT FROM economy.leaderboard_refusals r
                          WHERE r.board = o.board AND r.first_day = o.first_day AND r.again)
        ORDER BY o.board, o.first_day LIMIT 1;
    IF old.board IS NULL THEN
        RETURN false;
    END IF;
    DELETE FROM economy.leaderboard_refusals r WHERE r.ctid = ANY (ARRAY(
        SELECT o.ctid FROM economy.leaderboard_refusals o
        WHERE o.board = old.board AND o.first_day = old.first_day
        ORDER BY o.user_id LIMIT max_rows));
    GET DIAGNOSTICS n = ROW_COUNT;
    IF n = max_rows THEN
        RETURN true;
    END IF;
    DELETE FROM economy.leaderboard_scores s WHERE s.ctid = ANY (ARRAY(
        SELECT o.ctid FROM economy.leaderboard_scores o
        WHERE o.board = old.board AND o.first_day = old.first_day
        ORDER BY o.place, o.user_id LIMIT max_rows));
    GET DIAGNOSTICS n = ROW_COUNT;
    IF n < max_rows THEN
        DELETE FROM economy_internal.leaderboard_buckets b
            WHERE b.board = old.board AND b.first_day = old.first_day;
        DELETE FROM economy.leaderboard_periods p
            WHERE p.board = old.board AND p.first_day = old.first_day;
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION economy_internal.leaderboard_forget(integer) IS
    'Part of refresh_leaderboards(): removes some of a closed period that is not kept any more; '
    'false when there is none.';

CREATE FUNCTION economy_internal.leaderboard_fill(max_users integer, OUT users bigint,
                                                  OUT written bigint)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET jit = off AS $$
DECLARE
    first bigint;
    chosen bigint[];
BEGIN
    -- the boards that stand at the least user, together
    SELECT min(p.fill_from) INTO first FROM economy.leaderboard_periods p
        JOIN economy.leaderboards b ON b.board = p.board WHERE b.active AND p.closed_at IS NULL;
    users := 0;
    written := 0;
    IF first IS NULL THEN
        RETURN;
    END IF;
    chosen := ARRAY(SELECT a.user_id FROM economy.accounts a WHERE a.user_id >= first
                  ORDER BY a.user_id LIMIT max_users);
    users := cardinality(chosen);
    written := economy_internal.leaderboard_look(chosen, ARRAY(
        SELECT p.board FROM economy.leaderboard_periods p WHERE p.fill_from = first));
    UPDATE economy.leaderboard_periods p
        SET fill_from = CASE WHEN cardinality(chosen) = max_users
                              AND chosen[max_users] < 9223372036854775807
                             THEN chosen[max_users] + 1 END
        WHERE p.fill_from = first;
END
$$;
COMMENT ON FUNCTION economy_internal.leaderboard_fill(integer) IS
    'Part of refresh_leaderboards(): looks at the next of all users, for the boards that are new; '
    'how many, and how many of them were elsewhere.';

CREATE FUNCTION economy.refresh_leaderboards(max_users integer DEFAULT 2000)
    RETURNS TABLE (users bigint, written bigint, more boolean)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 1
    SET search_path = pg_catalog, economy, pg_temp
    -- a queue that is worked off has more dead rows than others, and statistics that do not fit
    SET enable_seqscan = off SET jit = off AS $$
DECLARE
    least  CONSTANT bigint := '-9223372036854775808';
    moment CONSTANT timestamptz := economy.now();
    today  CONSTANT date := (moment AT TIME ZONE 'UTC')::date;
    state  economy_internal.leaderboard_state;
    here   bigint;
    chosen bigint[];
    filled record;
    reads  boolean;
BEGIN
    PERFORM economy_internal.require_positive('max_users', max_users);
    PERFORM economy_internal.open_tables(VARIADIC ARRAY[
        'leaderboards', 'leaderboard_periods', 'leaderboard_scores', 'leaderboard_refusals',
        'economy_internal.leaderboard_buckets', 'economy_internal.leaderboard_queue',
        'economy_internal.leaderboard_state', 'economy_internal.rollup_state', 'accounts',
        'economy_internal.game_stats_more', 'economy_internal.user_holdings_more',
        'user_game_stats_summary'] || economy_internal.leaderboard_journals());
    -- nor beside a rollup, that puts users into the queue
    PERFORM economy_internal.lock_name('economy.rollup_stats');
    -- of a rollup or a refresh with an older snapshot one is to fail
    UPDATE economy_internal.rollup_state s SET next_user = s.next_user;
    SELECT * INTO state FROM economy_internal.leaderboard_state FOR UPDATE;
    IF NOT EXISTS (SELECT FROM economy.leaderboards b WHERE b.active) THEN
        DELETE FROM economy_internal.leaderboard_state;
        DELETE FROM economy_internal.leaderboard_queue q WHERE q.user_id IN (
            SELECT o.user_id FROM economy_internal.leaderboard_queue o LIMIT 100000);
        RETURN QUERY SELECT 0::bigint, 0::bigint, found;
        RETURN;
    END IF;
    here := economy_internal.position_of(
        pg_snapshot_xmin(pg_current_snapshot())::text::bigint);
    IF NOT economy_internal.leaderboard_begin(today) THEN
        RETURN QUERY SELECT 0::bigint, 0::bigint, true;
        RETURN;
    END IF;
    reads := state.next_user IS NULL;
    -- what is older may have gone into an archive
    IF state.read_at IS NULL OR state.read_at < moment - interval '720 hours' THEN
        UPDATE economy.leaderboard_periods p SET
                fill_from = least, awaits = NULL, await_fills = NULL
            WHERE p.closed_at IS NULL;
    ELSIF reads THEN
        PERFORM economy_internal.leaderboard_read(state.position);
    END IF;
    INSERT INTO economy_internal.leaderboard_state AS s (position, read_at, fills)
        VALUES (here, moment, 0)
        ON CONFLICT ON CONSTRAINT leaderboard_state_pkey DO UPDATE SET
            position = CASE WHEN reads THEN excluded.position ELSE s.position END,
            read_at = CASE WHEN reads THEN excluded.read_at ELSE s.read_at END;
    PERFORM economy_internal.leaderboard_end(today);
    WITH taken AS (
        DELETE FROM economy_internal.leaderboard_queue q WHERE q.user_id = ANY (ARRAY(
            SELECT o.user_id FROM economy_internal.leaderboard_queue o
            WHERE o.user_id >= coalesce(state.next_user, least)
            ORDER BY o.user_id LIMIT max_users))
        RETURNING q.user_id
    )
    SELECT coalesce(array_agg(t.user_id ORDER BY t.user_id), '{}') INTO chosen FROM taken t;
    UPDATE economy_internal.leaderboard_state SET next_user =
        CASE WHEN cardinality(chosen) = max_users AND chosen[max_users] < 9223372036854775807
             THEN chosen[max_users] + 1 END;
    users := cardinality(chosen);
    written := economy_internal.leaderboard_look(chosen, NULL);
    filled := economy_internal.leaderboard_fill(max_users);
    users := users + filled.users;
    written := written + filled.written;
    PERFORM economy_internal.leaderboard_close();
    more := economy_internal.leaderboard_forget(10000)
        OR EXISTS (SELECT FROM economy_internal.leaderboard_queue)
        OR EXISTS (SELECT FROM economy.leaderboard_periods p
                   JOIN economy.leaderboards b ON b.board = p.board
                   WHERE b.active AND p.closed_at IS NULL AND p.fill_from IS NOT NULL);
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION economy.refresh_leaderboards(integer) IS
    'Brings the leaderboards up to what rollup_stats() has added and the other journals tell, for '
    'at most max_users users, and as many of boards that are new; begins and closes periods; more '
    'says that a further call finds more. What the job does.';

CREATE TYPE economy.leaderboard_row AS (
    rank        bigint,
    user_id     bigint,
    figure      bigint,
    external_id text,
    profile     jsonb
);
COMMENT ON TYPE economy.leaderboard_row IS
    'A user on a leaderboard: a row of leaderboard(), rank_of() and leaderboard_of().';

CREATE FUNCTION economy_internal.leaderboard_named(board text) RETURNS economy.leaderboards
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    b economy.leaderboards;
BEGIN
    SELECT * INTO b FROM economy.leaderboards l WHERE l.board = leaderboard_named.board;
    IF b.board IS NULL THEN
        RAISE EXCEPTION 'leaderboard "%" does not exist', left(board, 64)
            USING ERRCODE = 'XE504', HINT = 'economy.upsert_leaderboard() makes one.';
    END IF;
    RETURN b;
END
$$;
COMMENT ON FUNCTION economy_internal.leaderboard_named(text) IS
    'The leaderboard of that name; XE504 when there is none.';

CREATE FUNCTION economy_internal.leaderboard_begun(board text, day date)
    RETURNS economy.leaderboard_periods
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    b economy.leaderboards;
    p economy.leaderboard_periods;
BEGIN
    PERFORM economy_internal.require_given('board', board IS NOT NULL);
    PERFORM economy_internal.open_tables(
        'leaderboards', 'leaderboard_periods', 'leaderboard_scores',
        'economy_internal.leaderboard_buckets', 'users');
    b := economy_internal.leaderboard_named(board);
    -- the season that counts may be over, and is shown all the same
    day := coalesce(day, CASE b.period WHEN 'season' THEN b.first_day
                              ELSE (economy.now() AT TIME ZONE 'UTC')::date END);
    SELECT * INTO p FROM economy.leaderboard_periods o
        WHERE o.board = b.board AND o.first_day <= day AND o.last_day >= day
        ORDER BY o.first_day DESC LIMIT 1;
    IF p.fill_from IS NOT NULL THEN
        RETURN NULL;
    END IF;
    RETURN p;
END
$$;
COMMENT ON FUNCTION economy_internal.leaderboard_begun(text, date) IS
    'The period of a board that a day is in, or that counts now; null when there is none, or '
    'it is not filled yet. XE504 for no such board. Opens what its readers read.';

CREATE FUNCTION economy_internal.leaderboard_rows(
    board text, first_day date, after_place bigint, after_user bigint, n integer
) RETURNS SETOF economy.leaderboard_row
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
    SET jit = off AS $$
BEGIN
    RETURN QUERY
        SELECT p.rank, p.user_id, CASE WHEN b.ascending THEN p.place ELSE -p.place END,
               u.external_id, u.profile
        FROM economy.leaderboards b
        CROSS JOIN LATERAL economy_internal.leaderboard_page(
            b.board, leaderboard_rows.first_day, after_place, after_user, n) p
        LEFT JOIN LATERAL (SELECT i.external_id, i.profile FROM economy.users i
                           WHERE i.user_id = p.user_id OFFSET 0) u ON true
        WHERE b.board = leaderboard_rows.board
        ORDER BY p.place, p.user_id;
END
$$;
COMMENT ON FUNCTION economy_internal.leaderboard_rows(text, date, bigint, bigint, integer) IS
    'leaderboard_page() with who the users are.';

CREATE FUNCTION economy.leaderboard(
    board text, n integer DEFAULT 100, after bigint[] DEFAULT NULL, day date DEFAULT NULL
) RETURNS SETOF economy.leaderboard_row
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 100
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    p           economy.leaderboard_periods;
    after_place bigint := -9223372036854775808;
BEGIN
    PERFORM economy_internal.require_positive('n', n);
    IF after IS NOT NULL AND (cardinality(after) <> 2 OR array_position(after, NULL) IS NOT NULL
                              OR after[1] = -9223372036854775808) THEN
        RAISE EXCEPTION 'after must be a figure and a user_id' USING ERRCODE = 'XE002',
            HINT = 'Give those of the last row: ARRAY[figure, user_id].';
    END IF;
    p := economy_internal.leaderboard_begun(board, day);
    IF after IS NOT NULL THEN
        after_place := (SELECT CASE WHEN b.ascending THEN after[1] ELSE -after[1] END
                        FROM economy.leaderboards b WHERE b.board = leaderboard.board);
    END IF;
    RETURN QUERY SELECT * FROM economy_internal.leaderboard_rows(
        p.board, p.first_day, after_place, coalesce(after[2], -9223372036854775808),
        least(n, 10000));
END
$$;
COMMENT ON FUNCTION economy.leaderboard(text, integer, bigint[], date) IS
    'The first n (10,000) users of a leaderboard, or those after figure and user_id of the last '
    'row, in the period that counts, or that the day is in. Users of one figure have one rank '
    '(1, 2, 2, 4). XE504 for no such board.';

CREATE FUNCTION economy.rank_of(
    board text, user_id bigint, around integer DEFAULT 0, day date DEFAULT NULL
) RETURNS SETOF economy.leaderboard_row
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 1
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    p      economy.leaderboard_periods;
    own    bigint;
    first  record;
BEGIN
    PERFORM economy_internal.require_given('user_id', user_id IS NOT NULL);
    PERFORM economy_internal.require_given('around', around IS NOT NULL);
    PERFORM economy_internal.require_limit('around', around);
    p := economy_internal.leaderboard_begun(board, day);
    -- by the primary key, whatever was planned when there were few
    SELECT s.place INTO own FROM economy.leaderboard_scores s
        WHERE (s.user_id, s.board, s.first_day) >= (rank_of.user_id, p.board, p.first_day)
          AND (s.user_id, s.board, s.first_day) <= (rank_of.user_id, p.board, p.first_day);
    IF own IS NULL THEN
        RETURN;
    END IF;
    -- the first of those in front
    SELECT count(*) AS n, min(f.place) AS place,
           (array_agg(f.user_id ORDER BY f.place, f.user_id))[1] AS user_id
    INTO first
    FROM (SELECT s.place, s.user_id FROM economy.leaderboard_scores s
          WHERE s.board = p.board AND s.first_day = p.first_day
            AND (s.place, s.user_id) < (own, rank_of.user_id)
          ORDER BY s.place DESC, s.user_id DESC LIMIT least(around, 1000)) f;
    RETURN QUERY SELECT * FROM economy_internal.leaderboard_rows(
        p.board, p.first_day, coalesce(first.place, own),
        coalesce(first.user_id, rank_of.user_id) - 1,
        (first.n + 1 + least(around, 1000))::integer);
END
$$;
COMMENT ON FUNCTION economy.rank_of(text, bigint, integer, date) IS
    'The user on a leaderboard, with around (1,000) others in front and behind, in the period that '
    'counts, or that the day is in; no row for a user who is not on it. XE504 for no such board.';

CREATE FUNCTION economy_internal.leaderboard_among(
    board text, first_day date, user_ids bigint[]
) RETURNS SETOF economy.leaderboard_row
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
    SET jit = off
    BEGIN ATOMIC
        SELECT rank() OVER (ORDER BY s.place), s.user_id,
               CASE WHEN b.ascending THEN s.place ELSE -s.place END, u.external_id, u.profile
        FROM economy.leaderboards b
        CROSS JOIN (SELECT DISTINCT i.user_id FROM unnest(user_ids) i (user_id)) i
        CROSS JOIN LATERAL (
            SELECT o.user_id, o.place FROM economy.leaderboard_scores o
            WHERE (o.user_id, o.board, o.first_day)
                      >= (i.user_id, b.board, leaderboard_among.first_day)
              AND (o.user_id, o.board, o.first_day)
                      <= (i.user_id, b.board, leaderboard_among.first_day) OFFSET 0) s
        LEFT JOIN LATERAL (SELECT k.external_id, k.profile FROM economy.users k
                           WHERE k.user_id = s.user_id OFFSET 0) u ON true
        WHERE b.board = leaderboard_among.board
        ORDER BY s.place, s.user_id;
    END;
COMMENT ON FUNCTION economy_internal.leaderboard_among(text, date, bigint[]) IS
    'leaderboard_of() in a period.';

CREATE FUNCTION economy.leaderboard_of(board text, user_ids bigint[], day date DEFAULT NULL)
    RETURNS SETOF economy.leaderboard_row
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 20
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    p economy.leaderboard_periods;
BEGIN
    PERFORM economy_internal.require_given('user_ids', user_ids IS NOT NULL);
    IF cardinality(user_ids) > 10000 THEN
        RAISE EXCEPTION 'user_ids must be 10000 or fewer' USING ERRCODE = 'XE002';
    END IF;
    p := economy_internal.leaderboard_begun(board, day);
    RETURN QUERY SELECT * FROM economy_internal.leaderboard_among(p.board, p.first_day, user_ids);
END
$$;
COMMENT ON FUNCTION economy.leaderboard_of(text, bigint[], date) IS
    'A leaderboard of these users (friends) alone, ranked among themselves, at most 10,000; '
    'who is not on the board has no row. XE504 for no such board.';

CREATE FUNCTION economy.leaderboard_info(board text DEFAULT NULL)
    RETURNS TABLE (
        board text, figure text, game text, item_id text, period text, ascending boolean,
        first_day date, last_day date, state text, users bigint, refreshed_at timestamptz,
        closed_at timestamptz, prizes jsonb, paid_at timestamptz, texts jsonb, extra jsonb
    )
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.open_tables(
            'leaderboards', 'leaderboard_periods', 'economy_internal.leaderboard_state');
        SELECT b.board, b.figure, b.game, b.item_id, b.period, b.ascending,
               nullif(p.first_day, '-infinity'), nullif(p.last_day, 'infinity'),
               CASE WHEN p.closed_at IS NOT NULL THEN 'closed'
                    WHEN NOT b.active THEN 'inactive'
                    WHEN p.fill_from IS NOT NULL THEN 'filling'
                    WHEN p.first_day > t.today THEN 'coming'
                    WHEN p.last_day < t.today THEN 'ended'
                    ELSE 'counting' END,
               p.users, coalesce(p.closed_at, s.read_at), p.closed_at,
               coalesce(p.prizes, b.prizes), p.paid_at, b.texts, b.extra
        FROM economy.leaderboards b
        JOIN economy.leaderboard_periods p ON p.board = b.board
        CROSS JOIN (SELECT (economy.now() AT TIME ZONE 'UTC')::date AS today) t
        LEFT JOIN economy_internal.leaderboard_state s ON true
        WHERE leaderboard_info.board IS NULL OR b.board = leaderboard_info.board
        ORDER BY b.board, p.first_day DESC;
    END;
COMMENT ON FUNCTION economy.leaderboard_info(text) IS
    'The periods of a leaderboard, or of all, the newest first: coming, filling, counting, ended, '
    'closed or inactive.';

CREATE TYPE economy.leaderboard_difference AS (
    board     text,
    first_day date,
    user_id   bigint,
    what      text,
    expected  numeric,
    actual    numeric
);
COMMENT ON TYPE economy.leaderboard_difference IS
    'What of a leaderboard is not what it should be: a row of leaderboard_parity().';

CREATE FUNCTION economy_internal.leaderboard_differences(
    boards text[], user_ids bigint[], lagging boolean
) RETURNS SETOF economy.leaderboard_difference
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
    SET jit = off
    BEGIN ATOMIC
        WITH settled AS MATERIALIZED (
            -- who has entries that no refresh has seen may be elsewhere
            SELECT i.user_id FROM unnest(user_ids) i (user_id)
            LEFT JOIN LATERAL (SELECT c.seq, c.position FROM economy.accounts c
                               WHERE c.user_id = i.user_id OFFSET 0) a ON true
            LEFT JOIN LATERAL (SELECT r.seq FROM economy_internal.rollup_positions r
                               WHERE r.user_id = i.user_id OFFSET 0) p ON true
            WHERE lagging OR (
                coalesce(a.position, 0) < (SELECT s.position
                                           FROM economy_internal.leaderboard_state s)
                AND NOT EXISTS (SELECT FROM economy.user_actions t
                                WHERE t.user_id = i.user_id AND t.seq > coalesce(p.seq, 0))
                AND NOT EXISTS (SELECT FROM economy_internal.leaderboard_queue q
                                WHERE q.user_id = i.user_id))
        )
        SELECT f.board, f.first_day, f.user_id, 'place', f.place::numeric, s.place::numeric
        FROM economy_internal.leaderboard_figures(
            ARRAY(SELECT d.user_id FROM settled d), boards) f
        JOIN LATERAL (SELECT o.fill_from FROM economy.leaderboard_periods o
                      WHERE o.board = f.board AND o.first_day = f.first_day OFFSET 0) p
            ON p.fill_from IS NULL
        LEFT JOIN LATERAL (
            SELECT o.place FROM economy.leaderboard_scores o
            WHERE (o.user_id, o.board, o.first_day) >= (f.user_id, f.board, f.first_day)
              AND (o.user_id, o.board, o.first_day) <= (f.user_id, f.board, f.first_day)
            OFFSET 0) s ON true
        WHERE f.place IS DISTINCT FROM s.place;
    END;
COMMENT ON FUNCTION economy_internal.leaderboard_differences(text[], bigint[], boolean) IS
    'leaderboard_parity() of these users on the boards that count.';

CREATE FUNCTION economy_internal.leaderboard_prize(prizes jsonb, users bigint, rank bigint)
    RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT t.tier FROM jsonb_array_elements(prizes) WITH ORDINALITY t (tier, n)
        -- whoever is in front of a share has it: of three users the first is in the best tenth
        WHERE coalesce(rank <= (t.tier ->> 'upto')::numeric,
                       (rank - 1) * 100 < (t.tier ->> 'percent')::numeric * users)
        ORDER BY t.n LIMIT 1;
    END;
COMMENT ON FUNCTION economy_internal.leaderboard_prize(jsonb, bigint, bigint) IS
    'The tier of prizes that a rank among so many users is in; null for none.';

CREATE FUNCTION economy_internal.leaderboard_sums(boards text[])
    RETURNS SETOF economy.leaderboard_difference
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH bucket AS MATERIALIZED (
            SELECT b.board, b.first_day, b.low, b.users,
                   lead(b.low) OVER (PARTITION BY b.board, b.first_day ORDER BY b.low) AS next,
                   lag(b.low) OVER (PARTITION BY b.board, b.first_day ORDER BY b.low) AS before
            FROM economy_internal.leaderboard_buckets b
            WHERE boards IS NULL OR b.board = ANY (boards)
        ), counted AS (
            SELECT s.board, s.first_day, count(*) AS users,
                   sum(s.user_id::numeric * s.place) AS checksum
            FROM economy.leaderboard_scores s
            WHERE boards IS NULL OR s.board = ANY (boards) GROUP BY 1, 2
        ), period AS (
            SELECT p.* FROM economy.leaderboard_periods p
            WHERE boards IS NULL OR p.board = ANY (boards)
        )
        SELECT b.board, b.first_day, NULL::bigint, 'users from place ' || b.low, c.users::numeric,
               b.users::numeric
        FROM bucket b
        CROSS JOIN LATERAL (
            SELECT count(*) AS users FROM economy.leaderboard_scores s
            WHERE s.board = b.board AND s.first_day = b.first_day AND s.place >= b.low
              AND s.place <= coalesce(b.next - 1, 9223372036854775807)) c
        WHERE b.users <> c.users
        UNION ALL
        SELECT b.board, b.first_day, NULL, 'the first bucket', -9223372036854775808, b.low
        FROM bucket b WHERE b.before IS NULL AND b.low <> -9223372036854775808
        UNION ALL
        SELECT coalesce(p.board, c.board), coalesce(p.first_day, c.first_day), NULL, 'users',
               coalesce(c.users, 0), p.users
        FROM period p FULL JOIN counted c ON c.board = p.board AND c.first_day = p.first_day
        WHERE p.users IS DISTINCT FROM coalesce(c.users, 0)
        UNION ALL
        SELECT p.board, p.first_day, NULL, 'checksum', coalesce(c.checksum, 0), p.checksum
        FROM period p LEFT JOIN counted c ON c.board = p.board AND c.first_day = p.first_day
        WHERE p.checksum <> coalesce(c.checksum, 0)
        UNION ALL
        SELECT coalesce(p.board, b.board), coalesce(p.first_day, b.first_day), NULL, 'buckets',
               CASE WHEN p.board IS NOT NULL THEN 1 ELSE 0 END,
               CASE WHEN b.board IS NOT NULL THEN 1 ELSE 0 END
        FROM period p
        FULL JOIN (SELECT DISTINCT k.board, k.first_day FROM bucket k) b
            ON b.board = p.board AND b.first_day = p.first_day
        WHERE p.board IS NULL OR b.board IS NULL
        UNION ALL
        SELECT p.board, p.first_day, NULL, 'days of the period', d.last_day - d.first_day,
               p.last_day - p.first_day
        FROM period p LEFT JOIN economy.leaderboards b ON b.board = p.board
        LEFT JOIN LATERAL economy_internal.leaderboard_period(
            b.period, p.first_day, p.first_day,
            CASE WHEN b.first_day = p.first_day THEN b.last_day ELSE p.last_day END) d
            ON b.period <> 'all'
        WHERE b.board IS NULL
           OR CASE WHEN b.period = 'all'
                   THEN NOT coalesce(p.first_day = '-infinity' AND p.last_day = 'infinity', false)
              ELSE (p.first_day, p.last_day) IS DISTINCT FROM (d.first_day, d.last_day) END
        UNION ALL
        -- as many as have a rank with a prize, or up to the last one that was paid; of a period
        -- that is not closed none
        SELECT p.board, p.first_day, NULL, 'prizes', w.winners, p.paid + p.refused
        FROM period p
        CROSS JOIN LATERAL (
            SELECT max(coalesce((t ->> 'upto')::numeric,
                                ceil((t ->> 'percent')::numeric * p.users / 100))) AS rank
            FROM jsonb_array_elements(p.prizes) t) l
        CROSS JOIN LATERAL (
            SELECT count(*) AS winners FROM economy.leaderboard_scores s
            WHERE s.board = p.board AND s.first_day = p.first_day AND p.closed_at IS NOT NULL
              AND CASE WHEN p.paid_at IS NULL
                  THEN (s.place, s.user_id) <= (p.paid_place, p.paid_user)
                  WHEN l.rank < p.users THEN s.place <= (
                      SELECT o.place FROM economy.leaderboard_scores o
                      WHERE o.board = p.board AND o.first_day = p.first_day
                      ORDER BY o.place, o.user_id OFFSET l.rank - 1 LIMIT 1)
                  ELSE l.rank IS NOT NULL END) w
        WHERE w.winners <> p.paid + p.refused
        UNION ALL
        SELECT coalesce(p.board, r.board), coalesce(p.first_day, r.first_day), NULL,
               'prizes that could not be paid', coalesce(r.n, 0), p.refused
        FROM period p
        FULL JOIN (SELECT o.board, o.first_day, count(*) AS n
                   FROM economy.leaderboard_refusals o
                   WHERE boards IS NULL OR o.board = ANY (boards) GROUP BY 1, 2) r
            ON r.board = p.board AND r.first_day = p.first_day
        WHERE p.refused IS DISTINCT FROM coalesce(r.n, 0)
        UNION ALL
        SELECT p.board, p.first_day, r.user_id, 'rank with a prize that could not be paid',
               k.rank, r.rank
        FROM economy.leaderboard_refusals r
        JOIN period p ON p.board = r.board AND p.first_day = r.first_day
        LEFT JOIN economy.leaderboard_scores s
            ON s.user_id = r.user_id AND s.board = r.board AND s.first_day = r.first_day
        CROSS JOIN LATERAL (
            SELECT economy_internal.leaderboard_rank(s.board, s.first_day, s.place) AS rank) k
        WHERE s.user_id IS NULL OR k.rank IS DISTINCT FROM r.rank
           OR r.prize IS DISTINCT FROM
              economy_internal.leaderboard_prize(p.prizes, p.users, k.rank)
        UNION ALL
        SELECT p.board, p.first_day, NULL, 'prizes of the board', NULL, NULL
        FROM period p
        WHERE p.prizes IS NOT NULL AND NOT EXISTS (
            SELECT FROM economy.config_changes c
            WHERE c.relation = 'leaderboards' AND c.key = p.board
              AND c.after -> 'prizes' = p.prizes);
    END;
COMMENT ON FUNCTION economy_internal.leaderboard_sums(text[]) IS
    'Part of leaderboard_parity(): what is counted of the places, against the places.';

CREATE FUNCTION economy.leaderboard_parity(
    board text DEFAULT NULL, lagging boolean DEFAULT false
) RETURNS SETOF economy.leaderboard_difference
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    boards CONSTANT text[] := CASE WHEN board IS NOT NULL THEN ARRAY[board] END;
    users  bigint[];
    after  bigint := -9223372036854775808;
BEGIN
    PERFORM economy_internal.require_given('lagging', lagging IS NOT NULL);
    PERFORM economy_internal.open_tables(
        'leaderboards', 'leaderboard_periods', 'leaderboard_scores', 'leaderboard_refusals',
        'economy_internal.leaderboard_buckets', 'economy_internal.leaderboard_queue',
        'economy_internal.leaderboard_state', 'economy_internal.rollup_positions', 'accounts',
        'economy_internal.game_stats_more', 'economy_internal.user_holdings_more',
        'user_actions', 'user_game_stats_summary', 'config_changes');
    LOOP
        users := ARRAY(SELECT a.user_id FROM economy.accounts a WHERE a.user_id > after
                       ORDER BY a.user_id LIMIT 10000);
        EXIT WHEN cardinality(users) = 0;
        after := users[cardinality(users)];
        RETURN QUERY SELECT * FROM economy_internal.leaderboard_differences(
            boards, users, lagging);
    END LOOP;
    RETURN QUERY SELECT * FROM economy_internal.leaderboard_sums(boards);
END
$$;
COMMENT ON FUNCTION economy.leaderboard_parity(text, boolean) IS
    'Recomputes a leaderboard, or all, from statistics and accounts, and what is counted in it '
    'from its places, and returns what differs; none means exact. Users with entries that no '
    'refresh has seen yet are left out, unless lagging.';

CREATE FUNCTION economy_internal.leaderboard_grant(
    board text, first_day date, winners bigint[], ranks bigint[], figures bigint[],
    prizes jsonb[]
) RETURNS text[]
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET DateStyle = 'ISO, YMD'
    BEGIN ATOMIC
        WITH given AS (
            SELECT array_agg(w.user_id ORDER BY w.n) AS user_ids,
                   array_agg(text 'economy:leaderboard' ORDER BY w.n) AS sources,
                   array_agg(board || ':' || first_day ORDER BY w.n) AS ids,
                   array_agg(coalesce((w.prize ->> 'gold')::numeric, 0)::bigint ORDER BY w.n)
                       AS gold,
                   array_agg(coalesce((w.prize ->> 'xp')::numeric, 0)::bigint ORDER BY w.n) AS xp,
                   array_agg(jsonb_build_object('board', board, 'first_day', first_day,
                                                'rank', w.rank, 'figure', w.figure)
                             ORDER BY w.n) AS details,
                   array_agg(w.prize -> 'items' ORDER BY w.n) AS items
            FROM unnest(winners, ranks, figures, prizes) WITH ORDINALITY
                w (user_id, rank, figure, prize, n)
        )
        SELECT array_agg(CASE WHEN r.success THEN r.state ELSE r.code END ORDER BY r.ordinality)
        FROM given g
        CROSS JOIN LATERAL economy_internal.grant_prizes(
            g.user_ids, g.sources, g.ids, g.gold, g.xp, g.details, g.items) WITH ORDINALITY r
        WHERE g.user_ids IS NOT NULL;
    END;
COMMENT ON FUNCTION economy_internal.leaderboard_grant(
    text, date, bigint[], bigint[], bigint[], jsonb[]) IS
    'Grants prizes, each once for a board, period and user: for each winner new, reuse or the '
    'code of a refusal.';

CREATE FUNCTION economy_internal.leaderboard_pay(
    board text, first_day date, winners bigint[], ranks bigint[], figures bigint[],
    prizes jsonb[]
) RETURNS text[]
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    codes text[];
BEGIN
    BEGIN
        RETURN economy_internal.leaderboard_grant(
            board, first_day, winners, ranks, figures, prizes);
    EXCEPTION WHEN SQLSTATE 'XE103' OR integrity_constraint_violation THEN
        codes := '{}';
    END;
    -- whoever has a damaged account stops nobody else
    FOR i IN 1 .. cardinality(winners) LOOP
        BEGIN
            codes[i] := (economy_internal.leaderboard_grant(
                board, first_day, winners[i:i], ranks[i:i], figures[i:i], prizes[i:i]))[1];
        EXCEPTION WHEN SQLSTATE 'XE103' OR integrity_constraint_violation THEN
            codes[i] := SQLSTATE;
        END;
    END LOOP;
    RETURN codes;
END
$$;
COMMENT ON FUNCTION economy_internal.leaderboard_pay(
    text, date, bigint[], bigint[], bigint[], jsonb[]) IS
    'leaderboard_grant(), which answers the SQLSTATE for a winner whose account is damaged.';

CREATE FUNCTION economy_internal.leaderboard_pay_next(
    period economy.leaderboard_periods, max_users integer, OUT paid bigint, OUT refused bigint
)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    winners record;
    codes   text[];
BEGIN
    SELECT array_agg(w.user_id ORDER BY w.place, w.user_id) AS users,
           array_agg(w.rank ORDER BY w.place, w.user_id) AS ranks,
           array_agg(CASE WHEN b.ascending THEN w.place ELSE -w.place END
                     ORDER BY w.place, w.user_id) AS figures,
           array_agg(w.prize ORDER BY w.place, w.user_id) AS prizes,
           count(*) AS n, max(w.place) AS place,
           (array_agg(w.user_id ORDER BY w.place DESC, w.user_id DESC))[1] AS user_id
    INTO winners
    FROM (SELECT g.*, economy_internal.leaderboard_prize(
                     period.prizes, period.users, g.rank) AS prize
          FROM economy_internal.leaderboard_page(
              period.board, period.first_day,
              coalesce(period.paid_place, -9223372036854775808),
              coalesce(period.paid_user, -9223372036854775808), max_users) g) w
    CROSS JOIN (SELECT l.ascending FROM economy.leaderboards l WHERE l.board = period.board) b
    -- who comes behind the first without a prize has none either
    WHERE w.prize IS NOT NULL;
    codes := economy_internal.leaderboard_pay(
        period.board, period.first_day, winners.users, winners.ranks, winners.figures,
        winners.prizes);
    SELECT count(*) FILTER (WHERE c = 'new'), count(*) FILTER (WHERE c NOT IN ('new', 'reuse'))
        INTO paid, refused FROM unnest(codes) c;
    INSERT INTO economy.leaderboard_refusals (
            board, first_day, user_id, rank, prize, code, refused_at)
        SELECT period.board, period.first_day, w.user_id, w.rank, w.prize, w.code, economy.now()
        FROM unnest(winners.users, winners.ranks, winners.prizes, codes)
            w (user_id, rank, prize, code)
        WHERE w.code NOT IN ('new', 'reuse')
        ON CONFLICT ON CONSTRAINT leaderboard_refusals_pkey DO NOTHING;
    UPDATE economy.leaderboard_periods o SET
            paid = o.paid + leaderboard_pay_next.paid,
            refused = o.refused + leaderboard_pay_next.refused,
            paid_place = coalesce(winners.place, o.paid_place),
            paid_user = coalesce(winners.user_id, o.paid_user),
            paid_at = CASE WHEN winners.n < max_users THEN economy.now() END
        WHERE o.board = period.board AND o.first_day = period.first_day;
END
$$;
COMMENT ON FUNCTION economy_internal.leaderboard_pay_next(
    economy.leaderboard_periods, integer) IS
    'Part of pay_leaderboard_prizes(): pays the next prizes of a closed period.';

CREATE FUNCTION economy_internal.leaderboard_pay_again(
    max_users integer, OUT paid bigint, OUT refused bigint
)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
    SET jit = off AS $$
DECLARE
    of_one  economy.leaderboard_refusals;
    winners record;
    codes   text[];
BEGIN
    SELECT r.* INTO of_one FROM economy.leaderboard_refusals r
        WHERE r.again
          AND EXISTS (SELECT FROM economy.leaderboards b WHERE b.board = r.board AND b.active)
        ORDER BY r.board, r.first_day, r.user_id LIMIT 1;
    SELECT array_agg(w.user_id ORDER BY w.user_id) AS users,
           array_agg(w.rank ORDER BY w.user_id) AS ranks,
           array_agg(w.figure ORDER BY w.user_id) AS figures,
           array_agg(w.prize ORDER BY w.user_id) AS prizes
    INTO winners
    FROM (SELECT r.user_id, r.rank, r.prize, f.figure
          FROM economy.leaderboard_refusals r
          LEFT JOIN LATERAL (
              SELECT CASE WHEN b.ascending THEN s.place ELSE -s.place END AS figure
              FROM economy.leaderboard_scores s
              JOIN economy.leaderboards b ON b.board = s.board
              WHERE (s.user_id, s.board, s.first_day) >= (r.user_id, r.board, r.first_day)
                AND (s.user_id, s.board, s.first_day) <= (r.user_id, r.board, r.first_day)
              OFFSET 0) f ON true
          WHERE r.again AND r.board = of_one.board AND r.first_day = of_one.first_day
          ORDER BY r.user_id LIMIT max_users) w;
    codes := economy_internal.leaderboard_pay(
        of_one.board, of_one.first_day, winners.users, winners.ranks, winners.figures,
        winners.prizes);
    DELETE FROM economy.leaderboard_refusals r
        USING unnest(winners.users, codes) w (user_id, code)
        WHERE r.board = of_one.board AND r.first_day = of_one.first_day
          AND r.user_id = w.user_id AND w.code IN ('new', 'reuse');
    GET DIAGNOSTICS paid = ROW_COUNT;
    UPDATE economy.leaderboard_refusals r
        SET code = w.code, refused_at = economy.now(), again = false
        FROM unnest(winners.users, codes) w (user_id, code)
        WHERE r.board = of_one.board AND r.first_day = of_one.first_day
          AND r.user_id = w.user_id AND w.code NOT IN ('new', 'reuse');
    GET DIAGNOSTICS refused = ROW_COUNT;
    UPDATE economy.leaderboard_periods o SET
            paid = o.paid + leaderboard_pay_again.paid,
            refused = o.refused - leaderboard_pay_again.paid
        WHERE o.board = of_one.board AND o.first_day = of_one.first_day;
END
$$;
COMMENT ON FUNCTION economy_internal.leaderboard_pay_again(integer) IS
    'Part of pay_leaderboard_prizes(): pays prizes of a period that are to be tried again.';

CREATE FUNCTION economy.pay_leaderboard_prizes(max_users integer DEFAULT 500)
    RETURNS TABLE (paid bigint, refused bigint, more boolean)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 1
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    p economy.leaderboard_periods;
BEGIN
    PERFORM economy_internal.require_positive('max_users', max_users);
    PERFORM economy_internal.open_tables(
        'leaderboards', 'leaderboard_periods', 'leaderboard_scores', 'leaderboard_refusals',
        'economy_internal.leaderboard_buckets', 'accounts', 'reward_audit', 'level_curves',
        'level_experiments', 'items', 'economy_internal.user_holdings_more');
    PERFORM economy_internal.lock_name('economy.leaderboard_prizes');
    paid := 0;
    refused := 0;
    SELECT * INTO p FROM economy.leaderboard_periods o
        WHERE o.closed_at IS NOT NULL AND o.paid_at IS NULL
          AND EXISTS (SELECT FROM economy.leaderboards b WHERE b.board = o.board AND b.active)
        ORDER BY o.closed_at, o.board, o.first_day LIMIT 1 FOR NO KEY UPDATE;
    IF p.board IS NOT NULL THEN
        SELECT n.paid, n.refused INTO paid, refused
            FROM economy_internal.leaderboard_pay_next(p, max_users) n;
    ELSIF EXISTS (SELECT FROM economy.leaderboard_refusals r
                  JOIN economy.leaderboards b ON b.board = r.board AND b.active
                  WHERE r.again) THEN
        SELECT n.paid, n.refused INTO paid, refused
            FROM economy_internal.leaderboard_pay_again(max_users) n;
    END IF;
    more := EXISTS (SELECT FROM economy.leaderboard_periods o
                    JOIN economy.leaderboards b ON b.board = o.board AND b.active
                    WHERE o.closed_at IS NOT NULL AND o.paid_at IS NULL)
        OR EXISTS (SELECT FROM economy.leaderboard_refusals r
                   JOIN economy.leaderboards b ON b.board = r.board AND b.active
                   WHERE r.again);
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION economy.pay_leaderboard_prizes(integer) IS
    'Pays the prizes of closed periods, those of at most max_users users, as rewards of the source '
    'economy:leaderboard, each once for a board, period and user; one that is refused, or whose '
    'account is damaged, is noted in leaderboard_refusals; more says that there are '
    'others. What the job does.';

CREATE FUNCTION economy.retry_leaderboard_prizes(
    board text, first_day date DEFAULT NULL, user_ids bigint[] DEFAULT NULL
) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    marked bigint;
BEGIN
    PERFORM economy_internal.require_given('board', board IS NOT NULL);
    PERFORM economy_internal.open_tables('leaderboards', 'leaderboard_refusals');
    PERFORM economy_internal.leaderboard_named(board);
    PERFORM economy_internal.lock_name('economy.leaderboard_prizes');
    UPDATE economy.leaderboard_refusals r SET again = true
        WHERE r.board = retry_leaderboard_prizes.board
          AND coalesce(r.first_day = retry_leaderboard_prizes.first_day, true)
          AND (user_ids IS NULL OR r.user_id = ANY (user_ids));
    GET DIAGNOSTICS marked = ROW_COUNT;
    RETURN marked;
END
$$;
COMMENT ON FUNCTION economy.retry_leaderboard_prizes(text, date, bigint[]) IS
    'Lets pay_leaderboard_prizes() try refused prizes of a leaderboard once more, in one period or '
    'all, of these users or all, and returns how many. XE504 for no such board.';

CREATE FUNCTION economy.debts_of(user_id bigint)
    RETURNS TABLE (refund text, purchase text, gold bigint, created_at timestamptz)
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 1
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.open_tables('shop_debts', 'shop_refunds');
        SELECT 'B' || d.user_id || '-' || d.seq, b.purchase, d.gold, b.created_at
        FROM economy.shop_debts d
        LEFT JOIN economy.shop_refunds b ON b.user_id = d.user_id AND b.seq = d.seq
        WHERE d.user_id = debts_of.user_id ORDER BY d.seq;
    END;
COMMENT ON FUNCTION economy.debts_of(bigint) IS
    'Gold that a user still owes for refunds, the oldest first.';

CREATE FUNCTION economy_internal.collect_debt(debt economy.shop_debts, have bigint) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    refund CONSTANT text := 'B' || debt.user_id || '-' || debt.seq;
    taken  CONSTANT bigint := least(debt.gold, have);
    answer economy.holding_result;
    left_now bigint;
BEGIN
    answer := economy_internal.take_debt(debt.user_id, taken, refund, refund || ':' || debt.gold);
    -- somebody who is being rolled back still has the key: the next run finds it again
    IF answer.state = 'in_progress' THEN
        RETURN 0;
    ELSIF answer.state IS DISTINCT FROM 'new' THEN
        RAISE EXCEPTION 'the debt of % could not be collected', refund
            USING ERRCODE = 'XE103', DETAIL = concat_ws(' ', answer.state, answer.code);
    END IF;
    IF taken = debt.gold THEN
        DELETE FROM economy.shop_debts d WHERE d.user_id = debt.user_id AND d.seq = debt.seq;
    ELSE
        UPDATE economy.shop_debts d SET gold = d.gold - taken
            WHERE d.user_id = debt.user_id AND d.seq = debt.seq;
    END IF;
    SELECT coalesce(sum(d.gold), 0) INTO left_now FROM economy.shop_debts d
        WHERE d.user_id = debt.user_id AND d.seq = debt.seq;
    IF left_now <> debt.gold - taken THEN
        RAISE EXCEPTION 'a debt would be collected and still be owed' USING ERRCODE = 'XE103',
            HINT = 'Look for a BEFORE trigger or a rule on economy.shop_debts that changes values '
                   'or suppresses rows.';
    END IF;
    RETURN taken;
END
$$;
COMMENT ON FUNCTION economy_internal.collect_debt(economy.shop_debts, bigint) IS
    'Takes what a user owes, or as much of it as there is, of a user whose account is locked.';

CREATE FUNCTION economy_internal.collect_debts(
    after jsonb DEFAULT NULL, max integer DEFAULT 50,
    OUT collected bigint, OUT failed bigint, OUT next jsonb
)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    -- in the order of the debts, whatever their statistics say
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
    SET jit = off AS $$
DECLARE
    looked integer := 0;
    d      economy.shop_debts;
    owed   economy.shop_debts;
    have   bigint;
BEGIN
    collected := 0;
    failed := 0;
    IF NOT current_setting('economy.collect_debts')::boolean THEN
        RETURN;
    END IF;
    PERFORM economy_internal.open_tables('shop_debts', 'holding_changes', 'accounts');
    FOR d IN
        -- most have nothing, and are neither locked nor written
        SELECT o.* FROM economy.shop_debts o
        JOIN economy.accounts a ON a.user_id = o.user_id AND a.gold > 0
        WHERE after IS NULL OR (o.user_id, o.seq) > ((after ->> 'user_id')::bigint,
                                                     (after ->> 'seq')::bigint)
        ORDER BY o.user_id, o.seq LIMIT max
    LOOP
        looked := looked + 1;
        next := jsonb_build_object('user_id', d.user_id, 'seq', d.seq);
        BEGIN
            -- who is in a call now keeps nobody waiting: the next run finds it again
            SELECT a.gold INTO have FROM economy.accounts a WHERE a.user_id = d.user_id
                FOR NO KEY UPDATE SKIP LOCKED;
            CONTINUE WHEN NOT found OR have = 0;
            -- what it is by now: another run may have been here
            SELECT o.* INTO owed FROM economy.shop_debts o
                WHERE o.user_id = d.user_id AND o.seq = d.seq FOR NO KEY UPDATE;
            CONTINUE WHEN NOT found;
            collected := collected
                + (economy_internal.collect_debt(owed, have) > 0)::integer;
        EXCEPTION WHEN serialization_failure THEN
            RAISE;
        WHEN OTHERS THEN
            failed := failed + 1;
            RAISE WARNING 'the debt of B%-% could not be collected', d.user_id, d.seq
                USING DETAIL = format('%s: %s', SQLSTATE, SQLERRM);
        END;
    END LOOP;
    IF looked < max THEN
        next := NULL;
    END IF;
END
$$;
COMMENT ON FUNCTION economy_internal.collect_debts(jsonb, integer) IS
    'Takes what users owe for refunds, of at most max debts behind a place, where there is gold, '
    'while economy.collect_debts is on; next is the place of the last one, or null. One that '
    'cannot be collected keeps no other from it. What the job does.';

CREATE FUNCTION economy.missions(user_id bigint) RETURNS TABLE (
        mission text, version integer, period text, state text, claimable boolean,
        progress bigint, target bigint, locked_by text[], ends_at timestamptz,
        claim_until timestamptz, gold bigint, xp bigint, items jsonb, "position" integer,
        texts jsonb
    )
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    PERFORM economy_internal.open_tables(
        'mission_templates', 'accounts', 'economy_internal.mission_progress_more', 'reward_audit',
        'archived_keys');
    RETURN QUERY SELECT * FROM economy_internal.missions_seen(user_id, economy.now());
END
$$;
COMMENT ON FUNCTION economy.missions(bigint) IS
    'The missions of a user: those that count now, and those that can still be claimed. state is '
    'locked, active, completed or claimed. No row for an unknown user.';

CREATE FUNCTION economy_internal.missions_seen(user_id bigint, at timestamptz) RETURNS TABLE (
        mission text, version integer, period text, state text, claimable boolean,
        progress bigint, target bigint, locked_by text[], ends_at timestamptz,
        claim_until timestamptz, gold bigint, xp bigint, items jsonb, "position" integer,
        texts jsonb
    )
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH account AS MATERIALIZED (
            SELECT a.sections, m.progress AS further
            FROM economy.accounts a
            LEFT JOIN economy_internal.mission_progress_more m ON m.user_id = a.user_id
            WHERE a.user_id = missions_seen.user_id
        ), stands AS MATERIALIZED (
            SELECT t, p.number, p.period, p.progress, p.state FROM account a
            CROSS JOIN LATERAL economy_internal.mission_progress_of(a.sections, a.further) p
            LEFT JOIN economy.mission_templates t ON t.number = p.number
        ), done AS MATERIALIZED (
            SELECT s.t FROM stands s WHERE s.state > 0
        ), has AS MATERIALIZED (
            SELECT s.number, s.period, s.progress,
                   -- another version may have been paid for the period, long ago too
                   CASE WHEN s.state = 1 AND (EXISTS (
                            SELECT FROM economy.reward_audit r
                            WHERE r.user_id = missions_seen.user_id
                              AND r.key_digest = economy_internal.key_digest(k.source, k.key)
                              AND r.source = k.source AND r.external_event_id = k.key)
                        OR EXISTS (
                            SELECT FROM economy.archived_keys a
                            WHERE a.user_id = missions_seen.user_id AND a.product_id = ''
                              AND a.key = economy_internal.archive_key('R', k.source, k.key)))
                        THEN 2 ELSE s.state END AS state
            FROM stands s
            CROSS JOIN LATERAL (
                SELECT 'economy:mission:' || (s.t).mission,
                       economy_internal.mission_period_key((s.t).period, (s.t).version, s.period)
            ) k (source, key)
        ), shown AS (
            SELECT t, economy_internal.mission_current(
                       t, at, l.period, l.state, l.progress) AS number,
                   true AS is_now
            FROM economy.mission_templates t
            LEFT JOIN LATERAL (SELECT h.period, h.state, h.progress FROM has h
                               WHERE h.number = t.number
                               ORDER BY h.period DESC LIMIT 1) l ON true
            WHERE t.starts_at <= at AND at < coalesce(least(t.ends_at, t.retired_at), 'infinity')
            UNION ALL
            SELECT t, h.period, false
            FROM has h JOIN economy.mission_templates t ON t.number = h.number
            WHERE h.state = 1 AND at >= economy_internal.mission_ends(t, h.period, h.progress)
        ), row_of AS (
            SELECT s.t, s.number, s.is_now, coalesce(h.progress, 0) AS progress,
                   coalesce(h.state, 0) AS state, h.number IS NOT NULL AS begun,
                   ARRAY(SELECT r FROM unnest((s.t).requires) r
                         WHERE NOT EXISTS (SELECT FROM done d
                                           WHERE (d.t).mission = r
                                             AND economy_internal.mission_opens(d.t, s.t))
                         ORDER BY r) AS locked_by,
                   economy_internal.mission_ends(s.t, s.number, coalesce(h.progress, 0))
                       AS ends_at
            FROM shown s CROSS JOIN account a
            LEFT JOIN has h ON h.number = (s.t).number AND h.period = s.number
        )
        SELECT (r.t).mission, (r.t).version,
               economy_internal.mission_period_key((r.t).period, (r.t).version, r.number),
               CASE WHEN r.state = 0 AND r.locked_by <> '{}' THEN 'locked'
                    ELSE (ARRAY['active', 'completed', 'claimed'])[r.state + 1] END,
               r.state = 1, r.progress, (r.t).target, r.locked_by, r.ends_at,
               r.ends_at + make_interval(hours => (r.t).claim_hours), (r.t).gold, (r.t).xp,
               (r.t).items, (r.t)."position", (r.t).texts
        FROM row_of r
        WHERE (r.begun OR NOT (r.t).hidden)
          AND (r.is_now OR at < r.ends_at + make_interval(hours => (r.t).claim_hours))
        ORDER BY (r.t)."position", (r.t).mission, r.number;
    END;
COMMENT ON FUNCTION economy_internal.missions_seen(bigint, timestamptz) IS
    'missions() at a moment, as one snapshot sees them.';

CREATE FUNCTION economy_internal.present_period(user_id bigint, mission text, at timestamptz)
    RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp SET enable_seqscan = off SET jit = off AS $$
DECLARE
    t    economy.mission_templates;
    last bigint;
BEGIN
    SELECT m.* INTO t FROM economy.mission_templates m
        WHERE m.mission = present_period.mission ORDER BY m.version DESC LIMIT 1;
    IF t.period !~ '^(repeat|rolling)' AND t.progress <> 'streak' THEN
        last := economy_internal.mission_period_at(t.period, at);
    ELSE
        SELECT max(p.period) INTO last FROM economy.accounts a
            LEFT JOIN economy_internal.mission_progress_more m ON m.user_id = a.user_id
            CROSS JOIN LATERAL economy_internal.mission_progress_of(a.sections, m.progress) p
            WHERE a.user_id = present_period.user_id AND p.number = t.number;
        IF t.period ~ '^repeat' THEN
            last := coalesce(last, 1);
        END IF;
    END IF;
    RETURN economy_internal.mission_period_key(t.period, t.version, last);
END
$$;
COMMENT ON FUNCTION economy_internal.present_period(bigint, text, timestamptz) IS
    'The period whose claim is meant by one that names none: the present one, or of repeat and '
    'rolling the last one that has begun, so that a claim that is sent again is the same.';

CREATE FUNCTION economy_internal.claim_of(user_id bigint, mission text, period text, at timestamptz)
    RETURNS TABLE (template economy.mission_templates, code text, detail jsonb)
    -- whose plan is kept, where that of a function in SQL would be made for each claim
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    -- a plan that was made of small tables serves large ones
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
    AS $$
BEGIN
    RETURN QUERY
        WITH version AS MATERIALIZED (
            SELECT t FROM economy.mission_templates t WHERE t.mission = claim_of.mission
        ), claimed AS (
            -- pays what it paid: a version never changes
            SELECT v.t, NULL::text AS code, NULL::jsonb AS detail, 1 AS place
            FROM economy.reward_audit r
            JOIN version v ON (v.t).version::text = r.details ->> 'version'
            WHERE r.user_id = claim_of.user_id
              AND r.key_digest = economy_internal.key_digest(
                  'economy:mission:' || claim_of.mission, claim_of.period)
              AND r.source = 'economy:mission:' || claim_of.mission
              AND r.external_event_id = claim_of.period
        ), record AS (
            SELECT v.t, p.state, p.progress,
                   economy_internal.mission_ends(v.t, p.period, p.progress)
                       + make_interval(hours => (v.t).claim_hours) AS claim_until
            FROM economy.accounts a
            LEFT JOIN economy_internal.mission_progress_more m ON m.user_id = a.user_id
            CROSS JOIN LATERAL economy_internal.mission_progress_of(a.sections, m.progress) p
            JOIN version v ON (v.t).number = p.number
            WHERE a.user_id = claim_of.user_id
              AND economy_internal.mission_period_key((v.t).period, (v.t).version, p.period)
                  = claim_of.period
        ), answer AS (
            SELECT * FROM claimed
            UNION ALL
            SELECT r.t,
                   CASE WHEN r.state = 0 THEN 'MISSION_NOT_COMPLETED'
                        WHEN r.state = 1 AND at >= r.claim_until THEN 'MISSION_EXPIRED' END,
                   CASE WHEN r.state = 0
                        THEN jsonb_build_object('progress', r.progress, 'target', (r.t).target)
                        WHEN r.state = 1 AND at >= r.claim_until
                        THEN jsonb_build_object('claim_until', r.claim_until) END,
                   CASE WHEN r.state = 0 THEN 3 ELSE 2 END
            FROM record r
            UNION ALL
            SELECT v.t, 'MISSION_NOT_COMPLETED',
                   jsonb_build_object('progress', 0, 'target', (v.t).target), 4
            FROM version v
        )
        SELECT a.t, a.code, a.detail FROM answer a
        ORDER BY a.place, a.code IS NOT NULL, (a.t).version DESC LIMIT 1;
END
$$;
COMMENT ON FUNCTION economy_internal.claim_of(bigint, text, text, timestamptz) IS
    'Which version of a mission a claim is of, and why it is refused; no row for no such mission.';

CREATE FUNCTION economy_internal.claim_is_busy(user_id bigint, mission text, key text)
    RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET enable_seqscan = off AS $$
BEGIN
    -- no such mission, or no such period, has nothing to be paid
    IF coalesce(octet_length(mission) <= 48 AND octet_length(key) BETWEEN 1 AND 32, false)
       -- a retry is a read
       AND NOT EXISTS (
           SELECT FROM economy.reward_audit r
           WHERE r.user_id = claim_is_busy.user_id
             AND r.key_digest = economy_internal.key_digest(
                 'economy:mission:' || claim_is_busy.mission, claim_is_busy.key)
             AND r.source = 'economy:mission:' || claim_is_busy.mission
             AND r.external_event_id = claim_is_busy.key) THEN
        RETURN economy_internal.announce_key('R', user_id, 'economy:mission:' || mission, key);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION economy_internal.claim_is_busy(bigint, text, text) IS
    'Announces a claim that was not paid yet: null; or after how many milliseconds to try again, '
    'as another transaction is in it.';

CREATE FUNCTION economy.claim_mission(user_id bigint, mission text, period text DEFAULT NULL)
    RETURNS economy.grant_result
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    SET TimeZone = 'UTC' SET DateStyle = 'ISO, YMD' AS $$
DECLARE
    claim  record;
    key    text := period;
    answer economy.grant_result;
BEGIN
    PERFORM economy_internal.require_given('user_id', user_id IS NOT NULL);
    PERFORM economy_internal.require_given('mission', mission IS NOT NULL);
    PERFORM economy_internal.open_tables(
        'mission_templates', 'accounts', 'reward_audit', 'level_curves', 'level_experiments',
        'items', 'economy_internal.user_holdings_more',
        'economy_internal.mission_progress_more');
    IF key IS NULL THEN
        -- of no such mission, or of one that has not begun, there is none
        key := coalesce(economy_internal.present_period(user_id, mission, economy.now()), '');
    END IF;
    answer.retry_after_ms := economy_internal.claim_is_busy(user_id, mission, key);
    IF answer.retry_after_ms IS NOT NULL THEN
        answer.success := false;
        answer.state := 'in_progress';
        answer.code := 'IN_PROGRESS';
        RETURN answer;
    END IF;
    -- what is read of the user afterwards stays as it is
    PERFORM FROM economy.accounts a WHERE a.user_id = claim_mission.user_id FOR NO KEY UPDATE;
    IF NOT found THEN
        RETURN economy_internal.refused(answer, 'USER_NOT_FOUND', NULL);
    END IF;
    SELECT c.* INTO claim
        FROM economy_internal.claim_of(user_id, mission, coalesce(key, ''), economy.now()) c;
    IF NOT found THEN
        RETURN economy_internal.refused(answer, 'MISSION_NOT_FOUND', NULL);
    END IF;
    IF claim.code IS NOT NULL THEN
        RETURN economy_internal.refused(answer, claim.code, claim.detail);
    END IF;
    SELECT g.* INTO STRICT answer
        FROM economy_internal.grant_prizes(
            ARRAY[user_id], ARRAY['economy:mission:' || mission], ARRAY[key],
            ARRAY[(claim.template).gold], ARRAY[(claim.template).xp],
            ARRAY[jsonb_build_object('mission', mission, 'version', (claim.template).version,
                                     'period', key)],
            ARRAY[(claim.template).items]) g;
    RETURN answer;
END
$$;
COMMENT ON FUNCTION economy.claim_mission(bigint, text, text) IS
    'Pays the reward of a mission that the user has completed, once for a period, the present one '
    'unless another is named: a reward of the source economy:mission:<mission>, with the period as '
    'its id. Again it answers what it answered, with state reuse. Refuses USER_NOT_FOUND, '
    'MISSION_NOT_FOUND, MISSION_NOT_COMPLETED, MISSION_EXPIRED, and as grant_reward() does.';

CREATE FUNCTION economy.claim_all(user_id bigint) RETURNS TABLE (
        mission text, period text, success boolean, state text, code text,
        transaction_id text, gold_delta bigint, xp_delta bigint, gold bigint,
        experience_points bigint, items jsonb
    )
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    claim record;
    busy  text[] := '{}';
    n     bigint := 0;
BEGIN
    PERFORM economy_internal.require_given('user_id', user_id IS NOT NULL);
    PERFORM economy_internal.open_tables(
        'mission_templates', 'accounts', 'reward_audit', 'level_curves', 'level_experiments',
        'items', 'economy_internal.user_holdings_more',
        'economy_internal.mission_progress_more', 'archived_keys');
    -- before the account, whose lock whoever is in one of them has
    FOR claim IN
        SELECT m.mission, m.period
        FROM economy_internal.missions_seen(claim_all.user_id, economy.now()) m
        WHERE m.claimable
    LOOP
        n := n + 1;
        IF economy_internal.claim_is_busy(user_id, claim.mission, claim.period) IS NOT NULL THEN
            busy := busy || concat(claim.mission, ' ', claim.period);
            RETURN QUERY SELECT claim.mission, claim.period, false, 'in_progress', 'IN_PROGRESS',
                                NULL::text, NULL::bigint, NULL::bigint, NULL::bigint,
                                NULL::bigint, NULL::jsonb;
        END IF;
    END LOOP;
    IF n > 0 AND cardinality(busy) = n THEN
        RETURN;
    END IF;
    PERFORM FROM economy.accounts a WHERE a.user_id = claim_all.user_id FOR NO KEY UPDATE;
    FOR claim IN
        SELECT m.mission, m.period
        FROM economy_internal.missions_seen(claim_all.user_id, economy.now()) m
        WHERE m.claimable AND concat(m.mission, ' ', m.period) <> ALL (busy)
    LOOP
        RETURN QUERY SELECT claim.mission, claim.period, c.success, c.state, c.code,
                            c.transaction_id, c.gold_delta, c.xp_delta, c.gold,
                            c.experience_points, c.items
                     FROM economy.claim_mission(claim_all.user_id, claim.mission, claim.period) c;
    END LOOP;
END
$$;
COMMENT ON FUNCTION economy.claim_all(bigint) IS
    'claim_mission() for every mission that the user can claim, a row for each.';

CREATE FUNCTION economy_internal.missions_due(user_ids bigint[], at timestamptz)
    RETURNS TABLE (user_id bigint, mission text, period text)
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
    BEGIN ATOMIC
        SELECT a.user_id, t.mission,
               economy_internal.mission_period_key(t.period, t.version, p.period)
        FROM unnest(user_ids) i (user_id)
        JOIN economy.accounts a ON a.user_id = i.user_id
        LEFT JOIN economy_internal.mission_progress_more m ON m.user_id = a.user_id
        CROSS JOIN LATERAL economy_internal.mission_progress_of(a.sections, m.progress) p
        JOIN economy.mission_templates t ON t.number = p.number
        WHERE p.state = 1 AND t.auto_claim
          AND coalesce(at < economy_internal.mission_ends(t, p.period, p.progress)
                       + make_interval(hours => t.claim_hours), true)
        ORDER BY a.user_id, p.number, p.period;
    END;
COMMENT ON FUNCTION economy_internal.missions_due(bigint[], timestamptz) IS
    'What some users have completed and not claimed of the missions with auto_claim.';

CREATE FUNCTION economy_internal.claim_missions(
    after jsonb DEFAULT NULL, max integer DEFAULT 1000,
    OUT claimed bigint, OUT failed bigint, OUT next jsonb
)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    -- in the order of the users, whatever their statistics say
    SET enable_seqscan = off SET jit = off
    -- with accounts locked it waits for nobody's key
    SET economy.duplicate_wait = 0 AS $$
DECLARE
    users bigint[];
    due   record;
BEGIN
    claimed := 0;
    failed := 0;
    PERFORM economy_internal.open_tables(
        'mission_templates', 'accounts', 'reward_audit', 'level_curves', 'level_experiments',
        'items', 'economy_internal.user_holdings_more',
        'economy_internal.mission_progress_more');
    -- most databases have none, and no account is read
    IF NOT EXISTS (SELECT FROM economy.mission_templates t WHERE t.auto_claim
                     AND coalesce(economy.now() < least(t.ends_at, t.retired_at)
                                  + make_interval(hours => t.claim_hours), true)) THEN
        RETURN;
    END IF;
    users := ARRAY(SELECT a.user_id FROM economy.accounts a
                   WHERE after IS NULL OR a.user_id > (after ->> 'user_id')::bigint
                   ORDER BY a.user_id LIMIT max);
    FOR due IN SELECT * FROM economy_internal.missions_due(users, economy.now()) LOOP
        BEGIN
            -- who is in a call now keeps nobody waiting: the next run finds it again
            PERFORM FROM economy.accounts a WHERE a.user_id = due.user_id
                FOR NO KEY UPDATE SKIP LOCKED;
            CONTINUE WHEN NOT found;
            claimed := claimed + (SELECT count(*) FILTER (WHERE c.state = 'new')
                                  FROM economy.claim_mission(due.user_id, due.mission,
                                                             due.period) c);
        EXCEPTION WHEN serialization_failure THEN
            RAISE;
        WHEN OTHERS THEN
            failed := failed + 1;
            RAISE WARNING 'mission % of user % could not be claimed', due.mission, due.user_id
                USING DETAIL = format('%s: %s', SQLSTATE, SQLERRM);
        END;
    END LOOP;
    IF cardinality(users) = max THEN
        next := jsonb_build_object('user_id', users[max]);
    END IF;
END
$$;
COMMENT ON FUNCTION economy_internal.claim_missions(jsonb, integer) IS
    'Pays what max users behind a place have completed of missions with auto_claim, as '
    'claim_mission() does; next is the place of the last one, or null. What cannot be paid keeps '
    'nobody else from it, and is tried again by the next run. What the job does.';

CREATE TYPE economy.mission_difference AS (
    user_id  bigint,
    mission  text,
    version  integer,
    period   text,
    expected text,
    actual   text
);
COMMENT ON TYPE economy.mission_difference IS
    'Progress that is not what the entries say: a row of mission_parity().';

CREATE FUNCTION economy_internal.mission_differences(user_ids bigint[])
    RETURNS SETOF economy.mission_difference
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
    BEGIN ATOMIC
        WITH asked AS MATERIALIZED (
            SELECT a.user_id, a.sections, m.progress AS further, a.pruned_seq
            FROM unnest(user_ids) i (user_id)
            JOIN economy.accounts a ON a.user_id = i.user_id
            LEFT JOIN economy_internal.mission_progress_more m ON m.user_id = a.user_id
            WHERE EXISTS (SELECT FROM economy.mission_templates)
        ), again AS MATERIALIZED (
            SELECT a.user_id, a.pruned_seq, p.*
            FROM asked a CROSS JOIN LATERAL economy_internal.mission_replay(a.user_id, 0) p
        ), differs AS MATERIALIZED (
            SELECT coalesce(e.user_id, s.user_id) AS user_id,
                   coalesce(e.number, s.number) AS number, coalesce(e.period, s.period) AS period,
                   e.state AS state_expected, e.progress AS expected, e.since AS since_expected,
                   s.state AS state_actual, s.progress AS actual, s.since AS since_actual,
                   encode(e.kept, 'hex') AS kept_expected, encode(s.kept, 'hex') AS kept_actual
            FROM (SELECT * FROM again WHERE NOT unearned) e
            FULL JOIN (SELECT a.user_id, p.*
                       FROM asked a
                       CROSS JOIN LATERAL
                           economy_internal.mission_progress_of(a.sections, a.further) p) s
                ON s.user_id = e.user_id AND s.number = e.number AND s.period = e.period
            WHERE (e.state, e.progress, e.since, e.kept)
                  IS DISTINCT FROM (s.state, s.progress, s.since, s.kept)
        ), bounds AS MATERIALIZED (
            -- counted again once for a user, however much differs
            SELECT b.user_id, b.number, b.period, max(b.state_expected) AS state_expected,
                   max(b.expected) AS expected, max(b.since_expected) AS since_expected,
                   max(b.state_actual) AS state_actual, max(b.actual) AS actual,
                   max(b.since_actual) AS since_actual,
                   max(b.kept_expected) AS kept_expected, max(b.kept_actual) AS kept_actual,
                   coalesce(max(b.least), '{0,0,0}') AS least,
                   coalesce(max(b.most), '{0,0,0}') AS most,
                   max(b.kept_least) AS kept_least, max(b.kept_most) AS kept_most
            FROM (SELECT d.*, NULL::bigint[] AS least, NULL::bigint[] AS most,
                         NULL::text AS kept_least, NULL::text AS kept_most, true AS differs
                  FROM differs d
                  UNION ALL
                  SELECT u.user_id, l.number, l.period, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                         NULL, ARRAY[l.state, l.progress, l.since], NULL, encode(l.kept, 'hex'),
                         NULL, false
                  FROM (SELECT DISTINCT d.user_id FROM differs d) u
                  CROSS JOIN LATERAL economy_internal.mission_replay(u.user_id, 1) l
                  WHERE NOT l.unearned
                  UNION ALL
                  SELECT u.user_id, m.number, m.period, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                         NULL, NULL, ARRAY[m.state, m.progress, m.since], NULL,
                         encode(m.kept, 'hex'), false
                  FROM (SELECT DISTINCT d.user_id FROM differs d) u
                  CROSS JOIN LATERAL economy_internal.mission_replay(u.user_id, 2) m
                  WHERE NOT m.unearned) b
            GROUP BY 1, 2, 3 HAVING bool_or(b.differs)
        ), judged AS (
            SELECT d.*, coalesce((d.state_actual, d.actual) = (d.state_expected, d.expected),
                                 false) AS is_beside
            FROM bounds d
        )
        SELECT d.user_id, t.mission, t.version,
               economy_internal.mission_period_key(t.period, t.version, d.period),
               concat_ws(' ', (ARRAY['active', 'completed', 'claimed'])[d.state_expected + 1],
                         coalesce(d.expected, 0),
                         CASE WHEN d.is_beside AND d.since_expected <> d.since_actual
                              THEN 'with entry ' || d.since_expected
                              WHEN d.is_beside THEN 'with ' || coalesce(d.kept_expected, 'nothing')
                         END),
               concat_ws(' ', (ARRAY['active', 'completed', 'claimed'])[d.state_actual + 1],
                         coalesce(d.actual, 0),
                         CASE WHEN d.is_beside AND d.since_expected <> d.since_actual
                              THEN 'with entry ' || d.since_actual
                              WHEN d.is_beside THEN 'with ' || coalesce(d.kept_actual, 'nothing')
                         END)
        FROM judged d JOIN asked a ON a.user_id = d.user_id
        LEFT JOIN economy.mission_templates t ON t.number = d.number
        -- what is over is forgotten when something else counts
        WHERE coalesce(economy.now() < economy_internal.mission_ends(
                           t, d.period, greatest(d.expected, d.actual))
                       + make_interval(hours => CASE
                             WHEN greatest(d.state_expected, d.state_actual) > 0
                             THEN t.claim_hours ELSE 0 END), true)
          -- of what has left its journal it is known that there was more
          AND (a.pruned_seq = 0 OR t.number IS NULL
               -- where a run, a window or a streak began without it is not
               OR (t.period !~ '^(repeat|rolling)' AND t.progress <> 'streak'
                   AND (d.state_actual, d.actual) < (d.state_expected, d.expected)))
          AND (t.number IS NULL
               OR ARRAY[coalesce(d.state_actual, 0), coalesce(d.actual, 0)]
                  NOT BETWEEN d.least[1:2] AND d.most[1:2]
               OR (d.is_beside AND d.since_expected = d.least[3]
                   AND d.since_expected = d.most[3]
                   AND d.kept_expected IS NOT DISTINCT FROM d.kept_least
                   AND d.kept_expected IS NOT DISTINCT FROM d.kept_most))
        UNION ALL
        SELECT e.user_id, t.mission, t.version, NULL, 'completed before it was claimed', 'claimed'
        FROM again e JOIN economy.mission_templates t ON t.number = e.number
        WHERE e.unearned AND e.pruned_seq = 0
          AND EXISTS (SELECT FROM economy_internal.mission_replay(e.user_id, 2) m
                      WHERE m.number = e.number AND m.unearned)
        UNION ALL
        SELECT a.user_id, NULL, NULL, NULL, 'progress that can be read', 'damaged'
        FROM asked a WHERE NOT economy_internal.mission_progress_sound(a.sections, a.further);
    END;
COMMENT ON FUNCTION economy_internal.mission_differences(bigint[]) IS
    'mission_parity() of some users.';

CREATE FUNCTION economy.mission_parity(user_id bigint DEFAULT NULL)
    RETURNS SETOF economy.mission_difference
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    users bigint[] := ARRAY[user_id];
    after bigint := -9223372036854775808;
BEGIN
    PERFORM economy_internal.open_all_tables();
    IF user_id IS NOT NULL THEN
        RETURN QUERY SELECT * FROM economy_internal.mission_differences(users);
        RETURN;
    END IF;
    LOOP
        users := ARRAY(SELECT a.user_id FROM economy.accounts a WHERE a.user_id > after
                       ORDER BY a.user_id LIMIT 10000);
        EXIT WHEN cardinality(users) = 0;
        after := users[cardinality(users)];
        RETURN QUERY SELECT * FROM economy_internal.mission_differences(users);
    END LOOP;
END
$$;
COMMENT ON FUNCTION economy.mission_parity(bigint) IS
    'Counts progress in missions again from the entries, of a user or of all, and returns what '
    'differs; none means exact. What was made within a minute of a mission''s publication or '
    'retirement may count or not.';
-- rounds: game actions in two steps; the bet is taken when a round opens, and the rest when it ends

CREATE FUNCTION economy_internal.round_key(game text, action_id text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC SELECT json_build_array(game, action_id)::text; END;
COMMENT ON FUNCTION economy_internal.round_key(text, text) IS
    'The key of the entry that opens a round: one for a game and an action_id, like that of the '
    'action.';

CREATE FUNCTION economy_internal.hold_round(
    user_id bigint, key text, bet bigint, ttl interval, context jsonb, details jsonb
) RETURNS economy.holding_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_hold_round';
COMMENT ON FUNCTION economy_internal.hold_round(bigint, text, bigint, interval, jsonb, jsonb) IS
    'Part of open_action(): takes the bet, and keeps it as an escrow is kept. The context has the '
    'details, which are looked at.';

CREATE FUNCTION economy_internal.close_round(user_id bigint, round_id text, reason text)
    RETURNS economy.holding_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_close_round';
COMMENT ON FUNCTION economy_internal.close_round(bigint, text, text) IS
    'Part of settle_action() and void_action(): gives the bet back.';

CREATE FUNCTION economy_internal.not_settled(because economy.holding_result)
    RETURNS economy.action_result
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    answer economy.action_result;
BEGIN
    answer.success := false;
    answer.state := because.state;
    answer.code := because.code;
    answer.retry_after_ms := because.retry_after_ms;
    answer.detail := because.detail;
    RETURN answer;
END
$$;
COMMENT ON FUNCTION economy_internal.not_settled(economy.holding_result) IS
    'The answer to who may not settle a round, from that of its end.';

CREATE TYPE economy_internal.round AS (
    round_id    text,
    action_type text,
    bet         bigint,
    details     jsonb,
    expires_at  timestamptz,
    how         text,
    reason      text
);
COMMENT ON TYPE economy_internal.round IS
    'A round, and how and why it was closed, both null while it is open.';

CREATE FUNCTION economy_internal.round_of(user_id bigint, game text, action_id text)
    RETURNS economy_internal.round
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp SET enable_seqscan = off
    BEGIN ATOMIC
        SELECT o.round_id, o.context ->> 'action_type', o.bet, o.context -> 'details',
               o.expires_at, c.detail ->> 'how', c.reason
        FROM (SELECT 'H' || h.user_id || '-' || h.seq AS round_id, h.user_id, h.context,
                     -h.gold_delta AS bet, h.created_at + make_interval(
                         secs => (h.detail ->> 'ttl_seconds')::bigint) AS expires_at
              FROM economy.holding_changes h,
                   economy_internal.round_key(round_of.game, round_of.action_id) k (key)
              WHERE h.user_id = round_of.user_id
                AND h.key_digest = economy_internal.key_digest('round_open', k.key)
                AND h.operation = 'round_open' AND h.idempotency_key = k.key) o
        LEFT JOIN LATERAL (
            SELECT e.detail, e.reason FROM economy.holding_changes e
            WHERE e.user_id = o.user_id
              AND e.key_digest = economy_internal.key_digest('escrow_close', o.round_id)
              AND e.operation = 'escrow_close' AND e.idempotency_key = o.round_id) c ON true;
    END;
COMMENT ON FUNCTION economy_internal.round_of(bigint, text, text) IS
    'The round of a user with this name; null: there is none.';

-- The round of the user, whose account is locked before it is read: what is read stays so.  Its
-- key is announced before that, as calls with a key do: who is in another call for it has both.
CREATE FUNCTION economy_internal.lock_round(
    user_id bigint, game text, action_id text, OUT refusal economy.holding_result,
    OUT round economy_internal.round
)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    key CONSTANT text := economy_internal.round_key(game, action_id);
BEGIN
    PERFORM economy_internal.require_given('user_id', user_id IS NOT NULL);
    PERFORM economy_internal.require_text('game', game, 64);
    PERFORM economy_internal.require_text('action_id', action_id, 255);
    IF octet_length(key) > 255 THEN
        RAISE EXCEPTION 'game and action_id are too long together' USING ERRCODE = 'XE002',
            DETAIL = format('As %s they have %s bytes of 255.', left(key, 64), octet_length(key));
    END IF;
    PERFORM economy_internal.open_tables(
        'accounts', 'games', 'user_actions', 'economy_internal.game_stats_more',
        'holding_changes', 'escrows', 'items', 'economy_internal.user_holdings_more',
        'level_curves', 'level_experiments', 'economy_internal.mission_progress_more',
        'archived_keys', 'pruned_actions');
    round := economy_internal.round_of(user_id, game, action_id);
    -- a retry is a read
    refusal.retry_after_ms := CASE
        WHEN round.round_id IS NULL
        THEN economy_internal.announce_key('H', user_id, 'round_open', key)
        WHEN round.how IS NULL
        THEN economy_internal.announce_key('H', user_id, 'escrow_close', round.round_id) END;
    IF refusal.retry_after_ms IS NOT NULL THEN
        refusal.success := false;
        refusal.state := 'in_progress';
        refusal.code := 'IN_PROGRESS';
        RETURN;
    END IF;
    PERFORM FROM economy.accounts a WHERE a.user_id = lock_round.user_id FOR NO KEY UPDATE;
    IF NOT found THEN
        refusal := economy_internal.refused(refusal, 'USER_NOT_FOUND', NULL);
        RETURN;
    END IF;
    round := economy_internal.round_of(user_id, game, action_id);
    IF round.round_id IS NULL THEN
        refusal := economy_internal.refused(refusal, 'ROUND_NOT_FOUND', NULL);
    END IF;
END
$$;
COMMENT ON FUNCTION economy_internal.lock_round(bigint, text, text) IS
    'Looks at arguments, opens all that a round needs, announces its key, locks the account, and '
    'reads the round; refusal: why there is none.';

CREATE FUNCTION economy.open_action(
    user_id bigint, game text, action_type text, action_id text, bet bigint,
    ttl interval DEFAULT '1 hour', details jsonb DEFAULT NULL
) RETURNS economy.holding_result
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    known    record;
    refusal  economy.holding_result;
    recorded text;
BEGIN
    PERFORM economy_internal.require_text('action_type', action_type, 64);
    PERFORM economy_internal.require_given('bet', bet IS NOT NULL);
    known := economy_internal.lock_round(user_id, game, action_id);
    refusal := known.refusal;
    IF refusal.code <> 'ROUND_NOT_FOUND' THEN
        RETURN refusal;
    ELSIF NOT EXISTS (SELECT FROM economy.games g WHERE g.game = open_action.game) THEN
        RETURN economy_internal.refused(refusal, 'GAME_NOT_FOUND', NULL);
    ELSIF refusal.code = 'ROUND_NOT_FOUND' THEN
        SELECT 'A' || u.user_id || '-' || u.seq INTO recorded FROM economy.user_actions u
            WHERE u.user_id = open_action.user_id
              AND u.key_digest = economy_internal.key_digest(open_action.game,
                                                             open_action.action_id)
              AND u.game = open_action.game AND u.action_id = open_action.action_id;
        IF recorded IS NOT NULL THEN
            RETURN economy_internal.refused(
                refusal, 'IDEMPOTENCY_MISMATCH', jsonb_build_object('recorded', recorded));
        END IF;
        SELECT 'A' || p.user_id || '-' || p.seq INTO recorded FROM economy.pruned_actions p
            WHERE p.user_id = open_action.user_id
              AND p.key = economy_internal.action_key(open_action.game, open_action.action_id);
        IF recorded IS NOT NULL THEN
            RETURN economy_internal.refused(
                refusal, 'RESYNC_REQUIRED',
                jsonb_build_object('reason', 'pruned', 'recorded', recorded));
        END IF;
    END IF;
    RETURN economy_internal.hold_round(
        user_id, economy_internal.round_key(game, action_id), bet, ttl,
        jsonb_build_object('game', game, 'action_type', action_type)
        || CASE WHEN details IS NULL THEN '{}' ELSE jsonb_build_object('details', details) END,
        details);
END
$$;
COMMENT ON FUNCTION economy.open_action(bigint, text, text, text, bigint, interval, jsonb) IS
    'Opens a round: takes the bet, once per (user, game, action_id), until settle_action() or '
    'void_action() ends it, or ttl, when the bet is given back. No statistics see it yet. Refuses '
    'USER_NOT_FOUND, GAME_NOT_FOUND, USER_SUSPENDED, INSUFFICIENT_GOLD, IDEMPOTENCY_MISMATCH.';

CREATE FUNCTION economy.settle_action(
    user_id bigint, game text, action_id text, win bigint, outcome text DEFAULT NULL,
    details jsonb DEFAULT NULL, xp bigint DEFAULT 0
) RETURNS economy.action_result
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    -- with the account locked it waits for nobody's key
    SET economy.duplicate_wait = 0 AS $$
DECLARE
    known   record;
    refusal economy.holding_result;
    round   economy_internal.round;
    ended   economy.holding_result;
    answer  economy.action_result;
BEGIN
    PERFORM economy_internal.require_given('win', win IS NOT NULL);
    PERFORM economy_internal.require_given('xp', xp IS NOT NULL);
    known := economy_internal.lock_round(user_id, game, action_id);
    refusal := known.refusal;
    round := known.round;
    IF refusal.code IS NOT NULL THEN
        RETURN economy_internal.not_settled(refusal);
    ELSIF round.how IS NULL AND economy.now() >= round.expires_at THEN
        -- as the job would have done it: what is answered does not depend on when that runs
        ended := economy_internal.expire_escrow(user_id, round.round_id);
        IF NOT ended.success THEN
            RETURN economy_internal.not_settled(ended);
        END IF;
        round.how := 'expired';
        round.reason := 'expiry';
    END IF;
    IF round.how IS NOT NULL AND round.reason <> 'settle' THEN
        RETURN economy_internal.not_settled(economy_internal.refused(
            refusal, 'ROUND_CLOSED', jsonb_build_object('how', round.how, 'reason', round.reason)));
    END IF;
    -- back as if nothing was done when the action is refused: the round stays open
    BEGIN
        IF round.how IS NULL THEN
            ended := economy_internal.close_round(user_id, round.round_id, 'settle');
            IF NOT ended.success THEN
                RETURN economy_internal.not_settled(ended);
            END IF;
        END IF;
        answer := economy.record_action(
            user_id, game, round.action_type, action_id, round.bet, win, outcome,
            coalesce(details, round.details), xp);
        IF NOT answer.success THEN
            RAISE EXCEPTION USING ERRCODE = 'XE901', MESSAGE = 'the action is refused';
        END IF;
    EXCEPTION WHEN SQLSTATE 'XE901' THEN
        IF answer.success IS NOT false THEN
            RAISE;
        END IF;
        IF answer.gold IS NOT NULL THEN
            SELECT a.gold INTO STRICT answer.gold FROM economy.accounts a
                WHERE a.user_id = settle_action.user_id;
        END IF;
    END;
    RETURN answer;
END
$$;
COMMENT ON FUNCTION economy.settle_action(
    bigint, text, text, bigint, text, jsonb, bigint) IS
    'Ends a round: gives the bet back and records the action with it, as record_action() does, in '
    'one transaction. details: other than those it was opened with. Refuses USER_NOT_FOUND, '
    'ROUND_NOT_FOUND, ROUND_CLOSED after it was voided or its time was over, and as '
    'record_action() does, when the round stays open.';

CREATE FUNCTION economy.void_action(
    user_id bigint, game text, action_id text, reason text DEFAULT 'void'
) RETURNS economy.holding_result
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    known   record;
    refusal economy.holding_result;
    round   economy_internal.round;
BEGIN
    PERFORM economy_internal.require_text('reason', reason, 64);
    IF reason IN ('settle', 'expiry') THEN
        RAISE EXCEPTION 'reason must be another than settle and expiry' USING ERRCODE = 'XE002',
            HINT = 'These say how other rounds end.';
    END IF;
    known := economy_internal.lock_round(user_id, game, action_id);
    refusal := known.refusal;
    round := known.round;
    IF refusal.code IS NOT NULL THEN
        RETURN refusal;
    ELSIF round.reason = 'settle' THEN
        RETURN economy_internal.refused(refusal, 'ROUND_CLOSED', jsonb_build_object(
            'how', round.how, 'reason', round.reason));
    END IF;
    RETURN economy_internal.close_round(user_id, round.round_id, reason);
END
$$;
COMMENT ON FUNCTION economy.void_action(bigint, text, text, text) IS
    'Ends a round that nobody won or lost: gives the bet back, new once, and reuse from then on, '
    'also when its time was over. No statistics see it. Refuses USER_NOT_FOUND, ROUND_NOT_FOUND, '
    'and ROUND_CLOSED when it was settled.';

CREATE TYPE economy.open_round AS (
    game        text,
    action_type text,
    action_id   text,
    bet         bigint,
    details     jsonb,
    opened_at   timestamptz,
    expires_at  timestamptz,
    expired     boolean,
    round_id    text
);
COMMENT ON TYPE economy.open_round IS 'A round that is open: a row of economy.open_actions().';

CREATE FUNCTION economy.open_actions(user_id bigint, max integer DEFAULT 100)
    RETURNS SETOF economy.open_round
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 10
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.require_limit('max', open_actions.max);
        SELECT economy_internal.open_tables('escrows', 'holding_changes');
        SELECT h.context ->> 'game', h.context ->> 'action_type',
               h.idempotency_key::json ->> 1, -h.gold_delta,
               h.context -> 'details', h.created_at, e.expires_at, e.expires_at <= economy.now(),
               'H' || h.user_id || '-' || h.seq
        FROM economy.escrows e
        JOIN economy.holding_changes h ON h.user_id = e.user_id AND h.seq = e.seq
        WHERE e.user_id = open_actions.user_id AND h.operation = 'round_open'
        ORDER BY e.seq LIMIT least(open_actions.max, 10000);
    END;
COMMENT ON FUNCTION economy.open_actions(bigint, integer) IS
    'The rounds of a user that are open, the oldest first, at most max (10,000) of them.';
-- account: seasons as a user has them

CREATE FUNCTION economy_internal.season_rewards(
    user_id bigint, season economy.seasons, at timestamptz
) RETURNS TABLE (
        tier integer, needs bigint, track text, item text, has bigint, reward jsonb,
        reached boolean, open boolean, claimed boolean, claimable boolean
    )
    LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 100
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    source_of_claims CONSTANT text := 'economy:season:' || season.season;
    -- the digests of all keys of one source are beside each other
    least_digest CONSTANT bigint :=
        (economy_internal.key_digest(source_of_claims, '') >> 32) << 32;
    can_claim    CONSTANT boolean := at >= season.starts_at
        AND (season.at_end = 'claim' OR at < economy_internal.season_claim_until(season));
    has_archived CONSTANT boolean := EXISTS (
        SELECT FROM economy.archived_keys a WHERE a.user_id = season_rewards.user_id);
BEGIN
    RETURN QUERY
        WITH held AS MATERIALIZED (
            SELECT h.item_id, h.balance FROM economy.user_holdings h
            WHERE h.user_id = season_rewards.user_id
        ), paid AS MATERIALIZED (
            SELECT r.external_event_id AS id FROM economy.reward_audit r
            WHERE r.user_id = season_rewards.user_id
              AND r.key_digest BETWEEN least_digest AND least_digest + 4294967295
              AND r.source = source_of_claims
        ), given AS MATERIALIZED (
            SELECT s.tier, s.xp, k.n, k.track ->> 'track' AS track, k.track ->> 'item' AS item,
                   s.rewards -> (k.track ->> 'track') AS reward,
                   (k.track ->> 'track') || ':' || s.tier AS id
            FROM economy_internal.season_tiers(season) s
            JOIN jsonb_array_elements(season.tracks) WITH ORDINALITY k (track, n)
                ON s.rewards ? (k.track ->> 'track')
        ), stands AS (
            SELECT g.*, coalesce(x.balance, 0) AS has,
                   g.item IS NULL OR coalesce(i.balance > 0, false) AS open,
                   p.id IS NOT NULL OR has_archived AND EXISTS (
                       SELECT FROM economy.archived_keys a
                       WHERE a.user_id = season_rewards.user_id AND a.product_id = ''
                         AND a.key = economy_internal.archive_key(
                             'R', source_of_claims, g.id)) AS claimed
            FROM given g
            LEFT JOIN held x ON x.item_id = season.xp_item
            LEFT JOIN held i ON i.item_id = g.item
            LEFT JOIN paid p ON p.id = g.id
        )
        SELECT s.tier, s.xp, s.track, s.item, s.has, s.reward, s.has >= s.xp, s.open, s.claimed,
               can_claim AND s.has >= s.xp AND s.open AND NOT s.claimed
        FROM stands s ORDER BY s.tier, s.n;
END
$$;
COMMENT ON FUNCTION economy_internal.season_rewards(bigint, economy.seasons, timestamptz) IS
    'The rewards of a season as they are for a user.';

CREATE FUNCTION economy_internal.season_seen(user_id bigint, named text, at timestamptz)
    RETURNS TABLE (
        season text, state text, xp bigint, tier integer, next_xp bigint, claimable integer,
        starts_at timestamptz, ends_at timestamptz, claim_until timestamptz, at_end text,
        tracks jsonb, tiers jsonb, "position" integer, texts jsonb
    )
    LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 1
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    RETURN QUERY
        WITH held AS MATERIALIZED (
            SELECT h.item_id, h.balance FROM economy.user_holdings h
            WHERE h.user_id = season_seen.user_id
        ), shown AS MATERIALIZED (
            SELECT s, coalesce(h.balance, 0) AS xp, e.ends_at,
                   e.ends_at + make_interval(hours => s.claim_hours) AS claim_until
            FROM economy.seasons s
            CROSS JOIN LATERAL (SELECT least(s.ends_at, s.retired_at)) e (ends_at)
            LEFT JOIN held h ON h.item_id = s.xp_item
            WHERE EXISTS (SELECT FROM economy.accounts a WHERE a.user_id = season_seen.user_id)
              AND CASE WHEN named IS NOT NULL THEN s.season = named
                  ELSE at >= s.starts_at AND (NOT s.hidden OR h.balance > 0)
                       AND (at < e.ends_at + make_interval(hours => s.claim_hours)
                            OR s.at_end = 'claim' AND s.closed_at IS NULL) END
        ), track AS (
            SELECT (o.s).season, jsonb_agg(t.track || jsonb_build_object(
                       'open', NOT t.track ? 'item'
                           OR EXISTS (SELECT FROM held h
                                      WHERE h.item_id = t.track ->> 'item' AND h.balance > 0))
                       ORDER BY t.n) AS tracks
            FROM shown o
            CROSS JOIN LATERAL jsonb_array_elements((o.s).tracks) WITH ORDINALITY t (track, n)
            GROUP BY 1
        ), reward AS (
            SELECT (o.s).season, r.tier, bool_or(r.claimed) AS claimed,
                   count(*) FILTER (WHERE r.claimable) AS claimable,
                   jsonb_object_agg(r.track, r.reward || jsonb_build_object(
                       'claimed', r.claimed, 'claimable', r.claimable)) AS rewards
            FROM shown o
            CROSS JOIN LATERAL economy_internal.season_rewards(
                season_seen.user_id, o.s, season_seen.at) r
            GROUP BY 1, 2
        ), tier AS (
            SELECT (o.s).season, t.tier, t.xp, t.xp <= o.xp AS reached, r.claimed, r.claimable,
                   r.rewards, jsonb_array_length((o.s).tiers) AS tiers,
                   -- of those behind the last one these are enough
                   count(*) FILTER (WHERE t.xp <= o.xp) OVER (PARTITION BY (o.s).season) AS upto
            FROM shown o CROSS JOIN LATERAL economy_internal.season_tiers(o.s) t
            LEFT JOIN reward r ON r.season = (o.s).season AND r.tier = t.tier
        ), standing AS (
            SELECT t.season, max(t.upto)::integer AS tier,
                   min(t.xp) FILTER (WHERE NOT t.reached) AS next_xp,
                   coalesce(sum(t.claimable), 0)::integer AS claimable,
                   jsonb_agg(jsonb_build_object(
                       'tier', t.tier, 'xp', t.xp, 'reached', t.reached,
                       'rewards', coalesce(t.rewards, '{}')) ORDER BY t.tier)
                       FILTER (WHERE t.tier <= t.tiers OR t.tier <= t.upto + 1 OR t.claimed)
                       AS tiers
            FROM tier t GROUP BY t.season
        )
        SELECT (o.s).season,
               CASE WHEN at < (o.s).starts_at THEN 'coming' WHEN at < o.ends_at THEN 'running'
                    WHEN at < o.claim_until THEN 'ended' ELSE 'over' END,
               o.xp, n.tier, n.next_xp, n.claimable, (o.s).starts_at, o.ends_at, o.claim_until,
               (o.s).at_end, t.tracks, n.tiers, (o.s)."position", (o.s).texts
        FROM shown o JOIN track t ON t.season = (o.s).season
        JOIN standing n ON n.season = (o.s).season
        ORDER BY (o.s)."position", (o.s).season;
END
$$;
COMMENT ON FUNCTION economy_internal.season_seen(bigint, text, timestamptz) IS
    'season() at a moment, as one snapshot sees it.';

CREATE FUNCTION economy.season(user_id bigint, season text DEFAULT NULL)
    RETURNS TABLE (
        season text, state text, xp bigint, tier integer, next_xp bigint, claimable integer,
        starts_at timestamptz, ends_at timestamptz, claim_until timestamptz, at_end text,
        tracks jsonb, tiers jsonb, "position" integer, texts jsonb
    )
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 1
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.open_tables(
            'seasons', 'accounts', 'economy_internal.user_holdings_more', 'reward_audit',
            'archived_keys');
        SELECT * FROM economy_internal.season_seen(
            season.user_id, season.season, economy.now());
    END;
COMMENT ON FUNCTION economy.season(bigint, text) IS
    'A season as a user has it, or all that are going or can still be claimed: XP, the tier '
    'reached, what the next one needs, which tracks are open, and of each tier and track the '
    'reward, and whether it is claimed or can be. No row for an unknown user.';

CREATE FUNCTION economy_internal.season_pay(
    user_id bigint, season text, tiers integer[], tracks text[], rewards jsonb[]
) RETURNS SETOF economy.grant_result
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    RETURN QUERY
        WITH given AS (
            SELECT array_agg(season_pay.user_id) AS user_ids,
                   array_agg('economy:season:' || season) AS sources,
                   array_agg(r.track || ':' || r.tier ORDER BY r.n) AS ids,
                   array_agg(coalesce((r.reward ->> 'gold')::bigint, 0) ORDER BY r.n) AS gold,
                   array_agg(coalesce((r.reward ->> 'xp')::bigint, 0) ORDER BY r.n) AS xp,
                   array_agg(jsonb_build_object('season', season, 'track', r.track,
                                                'tier', r.tier) ORDER BY r.n) AS details,
                   array_agg(r.reward -> 'items' ORDER BY r.n) AS items
            FROM unnest(tiers, tracks, rewards) WITH ORDINALITY r (tier, track, reward, n)
        )
        SELECT p.* FROM given g
        CROSS JOIN LATERAL economy_internal.grant_prizes(
            g.user_ids, g.sources, g.ids, g.gold, g.xp, g.details, g.items) p
        WHERE g.user_ids IS NOT NULL;
END
$$;
COMMENT ON FUNCTION economy_internal.season_pay(bigint, text, integer[], text[], jsonb[]) IS
    'Pays rewards of a season, each once for a user, track and tier.';

CREATE FUNCTION economy_internal.season_is_busy(user_id bigint, season text) RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    -- of a longer name there is none
    RETURN CASE WHEN octet_length(season) <= 48
                THEN economy_internal.announce_key(
                    'R', user_id, 'economy:season:' || season, 'claim') END;
END
$$;
COMMENT ON FUNCTION economy_internal.season_is_busy(bigint, text) IS
    'Announces a claim of a season, of whichever tiers: null; or after how many milliseconds to '
    'try again, as another transaction is in one of this user.';

CREATE FUNCTION economy.claim_tier(user_id bigint, season text, tier integer, track text)
    RETURNS economy.grant_result
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    SET TimeZone = 'UTC' SET DateStyle = 'ISO, YMD' AS $$
DECLARE
    at     timestamptz;
    s      economy.seasons;
    claim  record;
    answer economy.grant_result;
BEGIN
    PERFORM economy_internal.require_given('user_id', user_id IS NOT NULL);
    PERFORM economy_internal.require_given('season', season IS NOT NULL);
    PERFORM economy_internal.require_given('tier', tier IS NOT NULL);
    PERFORM economy_internal.require_given('track', track IS NOT NULL);
    PERFORM economy_internal.open_tables(
        'seasons', 'accounts', 'reward_audit', 'level_curves', 'level_experiments', 'items',
        'economy_internal.user_holdings_more', 'archived_keys');
    answer.retry_after_ms := economy_internal.season_is_busy(user_id, season);
    IF answer.retry_after_ms IS NOT NULL THEN
        answer.success := false;
        answer.state := 'in_progress';
        answer.code := 'IN_PROGRESS';
        RETURN answer;
    END IF;
    -- what is read of the user afterwards stays as it is
    PERFORM FROM economy.accounts a WHERE a.user_id = claim_tier.user_id FOR NO KEY UPDATE;
    IF NOT found THEN
        RETURN economy_internal.refused(answer, 'USER_NOT_FOUND', NULL);
    END IF;
    at := economy.now();
    SELECT o.* INTO s FROM economy.seasons o WHERE o.season = claim_tier.season;
    IF NOT found THEN
        RETURN economy_internal.refused(answer, 'SEASON_NOT_FOUND', NULL);
    END IF;
    SELECT r.* INTO claim FROM economy_internal.season_rewards(user_id, s, at) r
        WHERE r.tier = claim_tier.tier AND r.track = claim_tier.track;
    IF NOT found THEN
        RETURN economy_internal.refused(answer, 'TIER_NOT_FOUND', NULL);
    END IF;
    IF NOT claim.claimed AND NOT claim.claimable THEN
        RETURN CASE
            WHEN at < s.starts_at THEN economy_internal.refused(
                answer, 'SEASON_NOT_STARTED', jsonb_build_object('starts_at', s.starts_at))
            WHEN NOT claim.reached THEN economy_internal.refused(
                answer, 'TIER_NOT_REACHED',
                jsonb_build_object('xp', claim.has, 'needs', claim.needs))
            WHEN NOT claim.open THEN economy_internal.refused(
                answer, 'TRACK_NOT_OPEN', jsonb_build_object('item', claim.item))
            ELSE economy_internal.refused(
                answer, 'SEASON_EXPIRED', jsonb_build_object(
                    'claim_until', economy_internal.season_claim_until(s))) END;
    END IF;
    SELECT p.* INTO STRICT answer
        FROM economy_internal.season_pay(
            user_id, season, ARRAY[tier], ARRAY[track], ARRAY[claim.reward]) p;
    RETURN answer;
END
$$;
COMMENT ON FUNCTION economy.claim_tier(bigint, text, integer, text) IS
    'Pays the reward of a tier that the user has reached, on a track that is open, once: a reward '
    'of the source economy:season:<season> with <track>:<tier> as its id. Again it answers what '
    'it answered, with state reuse. Refuses USER_NOT_FOUND, SEASON_NOT_FOUND, TIER_NOT_FOUND, '
    'SEASON_NOT_STARTED, TIER_NOT_REACHED, TRACK_NOT_OPEN, SEASON_EXPIRED, and as grant_reward() '
    'does.';

CREATE FUNCTION economy_internal.season_claim(
    user_id bigint, season economy.seasons, at timestamptz
) RETURNS TABLE (
        tier integer, track text, success boolean, state text, code text, transaction_id text,
        gold_delta bigint, xp_delta bigint, gold bigint, experience_points bigint, items jsonb
    )
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    RETURN QUERY
        WITH due AS MATERIALIZED (
            SELECT r.tier, r.track, r.reward, row_number() OVER () AS n
            FROM economy_internal.season_rewards(season_claim.user_id, season, at) r
            WHERE r.claimable
        )
        SELECT d.tier, d.track, p.success, p.state, p.code, p.transaction_id, p.gold_delta,
               p.xp_delta, p.gold, p.experience_points, p.items
        FROM economy_internal.season_pay(
            season_claim.user_id, season.season, ARRAY(SELECT d.tier FROM due d ORDER BY d.n),
            ARRAY(SELECT d.track FROM due d ORDER BY d.n),
            ARRAY(SELECT d.reward FROM due d ORDER BY d.n)) WITH ORDINALITY p
        JOIN due d ON d.n = p.ordinality
        ORDER BY d.n;
END
$$;
COMMENT ON FUNCTION economy_internal.season_claim(bigint, economy.seasons, timestamptz) IS
    'Claims all of a season that a user can claim, whose account the caller has locked.';

CREATE FUNCTION economy.claim_season(user_id bigint, season text) RETURNS TABLE (
        tier integer, track text, success boolean, state text, code text, transaction_id text,
        gold_delta bigint, xp_delta bigint, gold bigint, experience_points bigint, items jsonb
    )
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 10
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    s economy.seasons;
BEGIN
    PERFORM economy_internal.require_given('user_id', user_id IS NOT NULL);
    PERFORM economy_internal.require_given('season', season IS NOT NULL);
    PERFORM economy_internal.open_tables(
        'seasons', 'accounts', 'reward_audit', 'level_curves', 'level_experiments', 'items',
        'economy_internal.user_holdings_more', 'archived_keys');
    IF economy_internal.season_is_busy(user_id, season) IS NOT NULL THEN
        success := false;
        state := 'in_progress';
        code := 'IN_PROGRESS';
        RETURN NEXT;
        RETURN;
    END IF;
    PERFORM FROM economy.accounts a WHERE a.user_id = claim_season.user_id FOR NO KEY UPDATE;
    IF NOT found THEN
        code := 'USER_NOT_FOUND';
    ELSE
        SELECT o.* INTO s FROM economy.seasons o WHERE o.season = claim_season.season;
        code := CASE WHEN NOT found THEN 'SEASON_NOT_FOUND' END;
    END IF;
    IF code IS NOT NULL THEN
        success := false;
        state := 'refused';
        RETURN NEXT;
        RETURN;
    END IF;
    RETURN QUERY SELECT * FROM economy_internal.season_claim(user_id, s, economy.now());
END
$$;
COMMENT ON FUNCTION economy.claim_season(bigint, text) IS
    'claim_tier() for every tier and track that the user can claim, a row for each. A row that has '
    'no tier is IN_PROGRESS, USER_NOT_FOUND or SEASON_NOT_FOUND.';

-- Nothing finds who holds an item but the accounts themselves, and an index of them would cost
-- every entry of everybody; the end of a season reads them once.
CREATE FUNCTION economy_internal.season_holders(
    item text, least_balance bigint, after bigint, max_accounts integer,
    OUT users bigint[], OUT upto bigint, OUT accounts bigint
)
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
    SET jit = off
    BEGIN ATOMIC
        SELECT array_agg(a.user_id ORDER BY a.user_id) FILTER (WHERE a.balance >= least_balance),
               max(a.user_id), count(*)
        FROM (SELECT c.user_id,
                     coalesce((SELECT p.balance FROM economy_internal.holdings_of(c.sections) p
                               WHERE p.item_id = item LIMIT 1),
                              (SELECT m.balance FROM economy_internal.user_holdings_more m
                               WHERE m.user_id = c.user_id AND m.item_id = item)) AS balance
              FROM economy.accounts c WHERE c.user_id > after
              ORDER BY c.user_id LIMIT max_accounts) a;
    END;
COMMENT ON FUNCTION economy_internal.season_holders(text, bigint, bigint, integer) IS
    'Of so many accounts behind one, those that hold so much of an item.';

CREATE FUNCTION economy_internal.close_seasons(
    after jsonb DEFAULT NULL, max_users integer DEFAULT 100, max_claims integer DEFAULT 2000,
    OUT claimed bigint, OUT next jsonb
)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    max_accounts CONSTANT integer := 5000;
    at           CONSTANT timestamptz := economy.now();
    s            economy.seasons;
    page         record;
    who          bigint;
    place        bigint;
    looked       integer := 0;
    all_of_page  boolean := true;
BEGIN
    claimed := 0;
    PERFORM economy_internal.open_tables(
        'seasons', 'accounts', 'reward_audit', 'level_curves', 'level_experiments', 'items',
        'economy_internal.user_holdings_more', 'archived_keys', 'config_changes');
    SELECT o.* INTO s FROM economy.seasons o
        WHERE o.at_end = 'claim' AND o.closed_at IS NULL
          AND economy_internal.season_claim_until(o) <= at
        ORDER BY o.season LIMIT 1;
    IF NOT found THEN
        RETURN;
    END IF;
    place := CASE WHEN after ->> 'season' = s.season THEN (after ->> 'user_id')::bigint
                  ELSE -9223372036854775808 END;
    SELECT h.* INTO page FROM economy_internal.season_holders(
        s.xp_item, (s.tiers -> 0 ->> 'xp')::bigint, place, max_accounts) h;
    FOREACH who IN ARRAY coalesce(page.users, '{}') LOOP
        all_of_page := looked < max_users AND claimed < max_claims;
        EXIT WHEN NOT all_of_page;
        -- nobody waits for those of this batch because it waits for another
        PERFORM FROM economy.accounts a WHERE a.user_id = who FOR NO KEY UPDATE SKIP LOCKED;
        all_of_page := found OR looked = 0;
        EXIT WHEN NOT all_of_page;
        PERFORM FROM economy.accounts a WHERE a.user_id = who FOR NO KEY UPDATE;
        BEGIN
            claimed := claimed + (
                SELECT count(*) FROM economy_internal.season_claim(who, s, at) c
                WHERE c.state = 'new');
        EXCEPTION WHEN serialization_failure THEN
            RAISE;
        WHEN OTHERS THEN
            -- whoever has a damaged account, or a trigger of the app, stops nobody else
            RAISE WARNING 'season "%" could not be claimed for user %', s.season, who
                USING DETAIL = format('%s: %s', SQLSTATE, SQLERRM);
        END;
        place := who;
        looked := looked + 1;
    END LOOP;
    place := CASE WHEN all_of_page THEN coalesce(page.upto, place) ELSE place END;
    next := jsonb_build_object('season', s.season, 'user_id', place);
    -- with nobody's account locked: who changes a season may hold this lock for long
    IF looked = 0 AND page.accounts < max_accounts THEN
        PERFORM economy_internal.lock_name('economy.seasons');
        UPDATE economy.seasons o SET closed_at = at
            WHERE o.season = s.season AND o.closed_at IS NULL
              AND economy_internal.season_claim_until(o) <= at;
        next := NULL;
        IF found THEN
            PERFORM economy.note_change('seasons', s.season, 'close', 'economy:seasons');
            next := '{}';
        END IF;
    END IF;
END
$$;
COMMENT ON FUNCTION economy_internal.close_seasons(jsonb, integer, integer) IS
    'Claims for everybody what can be claimed of a season whose time is over, of some accounts '
    'behind a place; next is the place of the last one, or null when no season is left. What is '
    'refused can still be claimed. What the job does.';

-- those that changed, and new ones
INSERT INTO economy.event_types (name, version, description, schema, sample)
SELECT t.name, t.version, t.description,
       jsonb_build_object(
           '$schema', 'https://json-schema.org/draft/2020-12/schema',
           '$id', 'urn:economy:event:' || t.name || ':' || t.version,
           'title', t.name,
           'description', t.description,
           'type', 'object',
           'required', '["specversion", "id", "source", "type", "subject", "time", "sequence",
                         "datacontenttype", "data"]'::jsonb,
           'properties', jsonb_build_object(
               'specversion', '{"const": "1.0"}'::jsonb,
               'id', jsonb_build_object('type', 'string', 'pattern', t.id_pattern,
                   'description', 'Unique within source: the transaction_id, with / and an aspect '
                                  'when it is not the first event of the entry.'),
               'source', '{"type": "string", "format": "uri-reference",
                           "pattern": "^/economy/node/[0-9]+$",
                           "description": "The node that the event is of."}'::jsonb,
               'type', jsonb_build_object('const', t.name),
               'subject', '{"type": "string", "pattern": "^[0-9]+$",
                            "description": "The user_id."}'::jsonb,
               'time', '{"type": "string", "format": "date-time",
                         "description": "When the entry was made, UTC."}'::jsonb,
               'sequence', '{"type": "string", "pattern": "^[0-9]{20}$",
                             "description": "seq with 20 digits, which sorts as text."}'::jsonb,
               'datacontenttype', '{"const": "application/json"}'::jsonb,
               'data', jsonb_build_object(
                   'type', 'object',
                   'properties', t.own || m.always
                       || CASE WHEN t.own ? 'items' THEN m.items ELSE '{}' END
                       || CASE WHEN t.deltas <> 'never' THEN m.deltas ELSE '{}' END,
                   'required', (
                       SELECT jsonb_agg(k ORDER BY k)
                       FROM jsonb_object_keys(
                           t.own || m.always
                           || CASE WHEN t.deltas = 'always' THEN m.deltas ELSE '{}' END) k
                       WHERE NOT coalesce(t.rules -> 'optional' ? k, false)))
                   || (t.rules - 'optional'::text))),
       t.sample
FROM (VALUES
    ('purchase_update', 2, 'A purchase was made.',
     '^P[0-9]+-[0-9]+$', 'always',
     '{"product_id": {"type": "string", "minLength": 1, "maxLength": 64},
       "category": {"enum": ["conversion", "item"]},
       "quantity": {"type": "integer", "minimum": 1, "maximum": 2147483647},
       "status": {"enum": ["SUCCESS", "PENDING"]},
       "effect_code": {"type": ["string", "null"], "minLength": 1, "maxLength": 64,
                       "description": "What the app applies."},
       "idempotency_key": {"type": "string", "minLength": 1, "maxLength": 255},
       "items": {}}'::jsonb,
     '{"optional": ["items"]}'::jsonb,
     '{"specversion": "1.0", "id": "P3-2", "source": "/economy/node/0", "type": "purchase_update",
       "subject": "3", "time": "2026-03-02T12:00:00.000000Z", "sequence": "00000000000000000002",
       "datacontenttype": "application/json",
       "data": {"product_id": "potion", "category": "item", "quantity": 3, "status": "SUCCESS",
                "effect_code": "heal_50", "idempotency_key": "order-2", "seq": 2,
                "gold_delta": -45, "xp_delta": 0, "gold": 1955, "experience_points": 0}}'::jsonb),
    ('reward_granted', 2,
     'A reward was granted, a daily reward claimed, a reward reversed, or a streak corrected.',
     '^R[0-9]+-[0-9]+$', 'always',
     '{"source": {"type": "string", "minLength": 1, "maxLength": 64,
                  "description": "economy:daily_streak for a claim, economy:reversal for a '
                  'reversal (with : and the name of the reward when it has a key of its own), '
                  'economy:set_streak for a correction."},
       "external_event_id": {"type": "string", "minLength": 1, "maxLength": 255,
                             "description": "Of a claim its date, of a reversal the '
                             'transaction_id of the reward or its own key."},
       "streak_day": {"type": ["integer", "null"], "minimum": 0,
                      "description": "The length of the streak after an entry that changes it."},
       "level": {"type": "integer", "minimum": 1, "maximum": 2147483647,
                 "description": "After the entry, on the curve that the user has '
                 'when the event is told."},
       "leveled_up": {"type": "boolean"},
       "items": {}}',
     '{"optional": ["items"]}',
     '{"specversion": "1.0", "id": "R4-2", "source": "/economy/node/0", "type": "reward_granted",
       "subject": "4", "time": "2026-03-02T12:00:00.000000Z", "sequence": "00000000000000000002",
       "datacontenttype": "application/json",
       "data": {"source": "mission", "external_event_id": "mission-7", "streak_day": null,
                "level": 2, "leveled_up": true, "seq": 2, "gold_delta": 10, "xp_delta": 500,
                "gold": 20, "experience_points": 500}}'),
    ('profile_update', 1,
     'Something about a user changed: the level (by what gives XP), the gold '
     '(by an admin), the time zone, the status, the profile, the external id or the segment.',
     '^([ABHPR][0-9]+-[0-9]+/level|[GU][0-9]+-[0-9]+|S[0-9]+-[0-9]+/segment/[0-9]+)$', 'some',
     '{"field": {"type": "string", "pattern": "^[a-z_]{1,64}$",
                 "description": "What changed: level, gold, timezone, status, profile, '
                 'external_id, segment. Ignore others."},
       "before": {"type": ["string", "integer", "null"]},
       "after": {"type": ["string", "integer", "null"]},
       "keys": {"type": ["array", "null"], "items": {"type": "string"},
                "description": "profile: names of the members that changed; '
                'null: too many for an event."}}',
     '{"optional": ["keys"], "allOf": [
         {"if": {"properties": {"field": {"const": "level"}}},
          "then": {"properties": {"before": {"type": "integer", "minimum": 1},
                                  "after": {"type": "integer", "minimum": 1}}}},
         {"if": {"properties": {"field": {"const": "gold"}}},
          "then": {"properties": {"before": {"type": "integer", "minimum": 0},
                                  "after": {"type": "integer", "minimum": 0}}}},
         {"if": {"properties": {"field": {"const": "timezone"}}},
          "then": {"properties": {"before": {"type": "string"}, "after": {"type": "string"}}}},
         {"if": {"properties": {"field": {"const": "status"}}},
          "then": {"properties": {"before": {"enum": ["active", "suspended"]},
                                  "after": {"enum": ["active", "suspended"]}}}},
         {"if": {"properties": {"field": {"const": "profile"}}},
          "then": {"properties": {"before": {"type": "null"}, "after": {"type": "null"},
                                  "keys": true}, "required": ["keys"]},
          "else": {"properties": {"keys": false}}},
         {"if": {"properties": {"field": {"const": "external_id"}}},
          "then": {"properties": {"before": {"type": ["string", "null"], "maxLength": 255},
                                  "after": {"type": ["string", "null"], "maxLength": 255}}}},
         {"if": {"properties": {"field": {"const": "segment"}}},
          "then": {"properties": {"before": {"type": ["string", "null"]},
                                  "after": {"type": "string"}}}},
         {"if": {"properties": {"field": {"enum": ["level", "segment"]}}},
          "then": {"properties": {"gold_delta": false, "xp_delta": false}},
          "else": {"required": ["gold_delta", "xp_delta"]}}]}',
     '{"specversion": "1.0", "id": "R4-2/level", "source": "/economy/node/0",
       "type": "profile_update", "subject": "4", "time": "2026-03-02T12:00:00.000000Z",
       "sequence": "00000000000000000002", "datacontenttype": "application/json",
       "data": {"field": "level", "before": 1, "after": 2,
                "seq": 2, "gold": 20, "experience_points": 500}}'),
    ('user_action', 2, 'A game action was recorded.',
     '^A[0-9]+-[0-9]+$', 'always',
     '{"game": {"type": "string", "minLength": 1, "maxLength": 64},
       "action_type": {"type": "string", "minLength": 1, "maxLength": 64},
       "action_id": {"type": "string", "minLength": 1, "maxLength": 255},
       "bet": {"type": "integer", "minimum": 0, "maximum": 9007199254740991},
       "win": {"type": "integer", "minimum": 0, "maximum": 9007199254740991},
       "outcome": {"enum": ["win", "loss", "draw"]},
       "stats": {"type": "object",
                 "description": "The members of stats_delta, when economy.notify_stats is '
                 'with_action; then there is no such event.",
                 "properties": {
                     "total_delta": {"const": 1},
                     "wins_delta": {"enum": [0, 1]},
                     "losses_delta": {"enum": [0, 1]},
                     "draws_delta": {"enum": [0, 1]},
                     "bet_delta": {"type": "integer", "minimum": 0, "maximum": 9007199254740991},
                     "win_delta": {"type": "integer", "minimum": 0, "maximum": 9007199254740991},
                     "total": {"type": "integer", "minimum": 1},
                     "wins": {"type": "integer", "minimum": 0},
                     "losses": {"type": "integer", "minimum": 0},
                     "draws": {"type": "integer", "minimum": 0},
                     "max_win": {"type": "integer", "minimum": 0, "maximum": 9007199254740991}},
                 "required": ["total_delta", "wins_delta", "losses_delta", "draws_delta",
                              "bet_delta", "win_delta", "total", "wins", "losses", "draws",
                              "max_win"]}}',
     '{"optional": ["stats"]}',
     '{"specversion": "1.0", "id": "A4-3", "source": "/economy/node/0", "type": "user_action",
       "subject": "4", "time": "2026-03-02T12:00:00.000000Z", "sequence": "00000000000000000003",
       "datacontenttype": "application/json",
       "data": {"game": "rps", "action_type": "RPS_PLAY", "action_id": "round-1", "bet": 5,
                "win": 10, "outcome": "win", "seq": 3, "gold_delta": 5, "xp_delta": 0,
                "gold": 25, "experience_points": 500}}'),
    ('stats_delta', 1,
     'What an action added to the user''s statistics of its game, and the totals: those right '
     'after it, or, where the entry was read to be told, those of then, with later actions.',
     '^A[0-9]+-[0-9]+/stats$', 'never',
     '{"game": {"type": "string", "minLength": 1, "maxLength": 64},
       "total_delta": {"const": 1},
       "wins_delta": {"enum": [0, 1]},
       "losses_delta": {"enum": [0, 1]},
       "draws_delta": {"enum": [0, 1]},
       "bet_delta": {"type": "integer", "minimum": 0, "maximum": 9007199254740991},
       "win_delta": {"type": "integer", "minimum": 0, "maximum": 9007199254740991},
       "total": {"type": "integer", "minimum": 1},
       "wins": {"type": "integer", "minimum": 0},
       "losses": {"type": "integer", "minimum": 0},
       "draws": {"type": "integer", "minimum": 0},
       "max_win": {"type": "integer", "minimum": 0, "maximum": 9007199254740991}}',
     '{}',
     '{"specversion": "1.0", "id": "A4-3/stats", "source": "/economy/node/0",
       "type": "stats_delta", "subject": "4", "time": "2026-03-02T12:00:00.000000Z",
       "sequence": "00000000000000000003", "datacontenttype": "application/json",
       "data": {"game": "rps", "total_delta": 1, "wins_delta": 1, "losses_delta": 0,
                "draws_delta": 0, "bet_delta": 5, "win_delta": 10,
                "total": 1, "wins": 1, "losses": 0, "draws": 0, "max_win": 10,
                "seq": 3, "gold": 25, "experience_points": 500}}'),
    ('holding_update', 1,
     'Items were given or used up, gold was spent, or a user gave to another, outside the shop '
     'and the rewards.',
     '^H[0-9]+-[0-9]+$', 'always',
     '{"operation": {"enum": ["spend", "consume", "grant", "draw", "transfer_out", "transfer_in",
                              "escrow_hold", "escrow_close", "escrow_in", "round_open",
                              "debt"],
                     "description": "What was called. Ignore others."},
       "idempotency_key": {"type": "string", "minLength": 1, "maxLength": 255},
       "reason": {"type": "string", "minLength": 1, "maxLength": 64},
       "items": {},
       "detail": {"type": ["object", "null"],
                  "description": "What else there is to say of the operation."}}',
     '{}',
     '{"specversion": "1.0", "id": "H3-3", "source": "/economy/node/0", "type": "holding_update",
       "subject": "3", "time": "2026-03-02T12:00:00.000000Z", "sequence": "00000000000000000003",
       "datacontenttype": "application/json",
       "data": {"operation": "consume", "idempotency_key": "door-7", "reason": "open_door",
                "items": [{"item": "key", "delta": -1, "balance": 2}], "detail": null, "seq": 3,
                "gold_delta": 0, "xp_delta": 0, "gold": 1955, "experience_points": 0}}'),
    ('purchase_refunded', 1,
     'A purchase was taken back, all of it or a part.',
     '^B[0-9]+-[0-9]+$', 'always',
     '{"purchase": {"type": "string", "pattern": "^P[0-9]+-[0-9]+$",
                    "description": "The transaction_id of the purchase."},
       "product_id": {"type": "string", "minLength": 1, "maxLength": 64},
       "quantity": {"type": "integer", "minimum": 1, "maximum": 2147483647,
                    "description": "Units that were taken back."},
       "debt_gold": {"type": "integer", "minimum": 0, "maximum": 9007199254740991,
                     "description": "Gold that was to be taken, and was not there."},
       "reason": {"type": "string", "minLength": 1, "maxLength": 1000},
       "idempotency_key": {"type": "string", "minLength": 1, "maxLength": 255},
       "items": {}}',
     '{"optional": ["items"]}',
     '{"specversion": "1.0", "id": "B3-4", "source": "/economy/node/0",
       "type": "purchase_refunded", "subject": "3", "time": "2026-03-02T12:00:00.000000Z",
       "sequence": "00000000000000000004", "datacontenttype": "application/json",
       "data": {"purchase": "P3-2", "product_id": "potion", "quantity": 1, "debt_gold": 0,
                "reason": "bought by mistake", "idempotency_key": "refund-1", "seq": 4,
                "gold_delta": 15, "xp_delta": 0, "gold": 1970, "experience_points": 0}}'),
    ('mission_update', 1,
     'An entry has completed a mission. What the mission pays is claimed, which is an entry of '
     'its own. Told as long as the mission''s period, or the time to claim it, is not over.',
     '^[A-Z][0-9]+-[0-9]+/mission/[A-Za-z0-9_.-]{1,48}$', 'never',
     '{"mission": {"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,48}$"},
       "version": {"type": "integer", "minimum": 1, "maximum": 2147483647},
       "period": {"type": "string", "minLength": 1, "maxLength": 32,
                  "description": "once, 2026-01-31 or 2026-W05: what claim_mission() takes."},
       "state": {"type": "string", "pattern": "^[a-z_]{1,64}$",
                 "description": "What has come of it: completed. Ignore others."},
       "progress": {"type": "integer", "minimum": 0, "maximum": 9007199254740991},
       "target": {"type": "integer", "minimum": 1, "maximum": 9007199254740991}}',
     '{}',
     '{"specversion": "1.0", "id": "A4-3/mission/first_win", "source": "/economy/node/0",
       "type": "mission_update", "subject": "4", "time": "2026-03-02T12:00:00.000000Z",
       "sequence": "00000000000000000003", "datacontenttype": "application/json",
       "data": {"mission": "first_win", "version": 1, "period": "once", "state": "completed",
                "progress": 1, "target": 1, "seq": 3, "gold": 25, "experience_points": 500}}')
) t (name, version, description, id_pattern, deltas, own, rules, sample)
CROSS JOIN (SELECT
    '{"seq": {"type": "integer", "minimum": 0, "maximum": 9007199254740991,
              "description": "Number of the user''s entry."},
      "gold": {"type": "integer", "minimum": 0, "maximum": 9007199254740991,
               "description": "After the entry."},
      "experience_points": {"type": "integer", "minimum": 0, "maximum": 9007199254740991,
                            "description": "After the entry."}}'::jsonb AS always,
    '{"gold_delta": {"type": "integer",
                     "minimum": -9007199254740991, "maximum": 9007199254740991},
      "xp_delta": {"type": "integer",
                   "minimum": -9007199254740991, "maximum": 9007199254740991}}'::jsonb
        AS deltas,
    '{"items": {"type": "array", "minItems": 0, "maxItems": 16,
                "description": "Items that the entry moved.", "items": {
          "type": "object", "required": ["item", "delta", "balance"],
          "properties": {
              "item": {"type": "string", "minLength": 1, "maxLength": 64},
              "delta": {"type": "integer",
                        "minimum": -9007199254740991, "maximum": 9007199254740991,
                        "description": "Units, of a pass seconds."},
              "balance": {"type": "integer", "minimum": 0, "maximum": 9007199254740991,
                          "description": "After the entry: units, of a pass the second since '
                          '1970 UTC at which it ends."}}}}}'::jsonb AS items) m
ON CONFLICT ON CONSTRAINT event_types_pkey DO UPDATE SET
    version = excluded.version, description = excluded.description, schema = excluded.schema,
    sample = excluded.sample;

CREATE OR REPLACE FUNCTION economy_internal.rfm_reverse(user_id bigint, seq bigint) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    PERFORM economy_internal.require_given('user_id', user_id IS NOT NULL);
    PERFORM economy_internal.require_given('seq', seq IS NOT NULL);
    PERFORM economy_internal.open_tables(
        'shop_transactions', 'archived_keys', 'economy_internal.rfm_reversals');
    IF NOT EXISTS (SELECT FROM economy_internal.shop_purchases t
                   WHERE t.user_id = rfm_reverse.user_id AND t.seq = rfm_reverse.seq) THEN
        RETURN false;
    END IF;
    INSERT INTO economy_internal.rfm_reversals (user_id, seq) VALUES (user_id, seq)
        ON CONFLICT ON CONSTRAINT rfm_reversals_pkey DO NOTHING;
    IF found THEN
        RETURN true;
    END IF;
    IF NOT EXISTS (SELECT FROM economy_internal.rfm_reversals r
                   WHERE r.user_id = rfm_reverse.user_id AND r.seq = rfm_reverse.seq) THEN
        RAISE EXCEPTION 'a purchase would count although it is taken back' USING ERRCODE = 'XE103',
            HINT = 'Look for a BEFORE trigger or a rule on economy_internal.rfm_reversals that '
                   'suppresses rows.';
    END IF;
    RETURN false;
END
$$;

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

CREATE OR REPLACE FUNCTION economy_internal.rfm_take_up(state economy.rfm_state, rebuild boolean)
    RETURNS timestamptz
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    -- what rfm_write() will find a user without a score to have been
    never   CONSTANT text := (
        SELECT economy_internal.rfm_never_bought(s)
        FROM economy.rfm_snapshots s WHERE s.snapshot_id = state.snapshot_id);
    waiting timestamptz;
    oldest  timestamptz;
    unseen  bigint;
BEGIN
    IF rebuild THEN
        -- once, and not for every row of a table that is read without its index
        unseen := coalesce(economy_internal.rfm_unsee(state), 0);
        SELECT min(t.created_at) INTO waiting FROM economy_internal.rfm_unfolded t
            WHERE t.xact >= unseen;
        PERFORM economy_internal.rfm_rebuild(never);
    END IF;
    -- EXECUTE, so that it is planned for the tables as they are now: a plan that the session
    -- keeps is for those of its first refresh
    EXECUTE $query$
        WITH fresh AS MATERIALIZED (
            SELECT * FROM economy_internal.rfm_fresh
        ), folded AS (
            UPDATE economy.user_segments u SET seq = f.seq, buckets = f.buckets
            FROM fresh f WHERE u.ctid = f.place
        ), added AS (
            INSERT INTO economy.user_segments (user_id, seq, segment, buckets)
            SELECT f.user_id, f.seq, $1, f.buckets FROM fresh f WHERE f.place IS NULL
        )
        SELECT min(f.since) FROM fresh f
        $query$ INTO oldest USING never;
    RETURN least(oldest, waiting);
END
$$;

DROP FUNCTION economy_internal.rfm_renew(bigint, bigint[], timestamptz, bigint[], text[], text);

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

CREATE OR REPLACE FUNCTION economy_internal.audit_segments(
    first_user bigint DEFAULT NULL, last_user bigint DEFAULT NULL
) RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC'
    SET datestyle = 'ISO, YMD' SET jit = off
    BEGIN ATOMIC
        WITH state AS MATERIALIZED (
            SELECT t.as_of, t.next_user,
                   CASE WHEN t.installation = economy_internal.rfm_installation()
                        THEN economy_internal.position_of(t.seen_before) END AS seen_before,
                   -- who compares with a damaged program finds everybody damaged
                   CASE WHEN s.program = p.program AND s.segments = p.segments
                        THEN s.program END AS program,
                   s.segments
            FROM economy.rfm_state t LEFT JOIN economy.rfm_snapshots s USING (snapshot_id)
            LEFT JOIN LATERAL economy_internal.rfm_program(s) p ON true
        ), held AS MATERIALIZED (
            SELECT coalesce(a.user_id, u.user_id) AS user_id, a.user_id IS NOT NULL AS known,
                   a.seq AS newest, u.user_id IS NOT NULL AS has_row, u.seq,
                   u.frequency, u.monetary, u.r, u.f, u.m, u.segment, u.segment_since,
                   u.next_change_at, u.changes, u.buckets,
                   coalesce((
                       SELECT economy_internal.rfm_pack(t.created_at, t.monetary, t.seq)
                       FROM economy_internal.shop_purchases t
                       WHERE t.user_id = u.user_id AND t.seq <= u.seq AND t.status = 'SUCCESS'
                         AND NOT EXISTS (
                             SELECT FROM economy_internal.rfm_reversals r
                             WHERE r.user_id = t.user_id AND r.seq = t.seq AND r.applied)),
                       '') AS right_buckets
            FROM (SELECT * FROM economy.accounts x
                  WHERE x.user_id BETWEEN coalesce(first_user, -9223372036854775808)
                                      AND coalesce(last_user, 9223372036854775807)) a
            FULL JOIN (SELECT * FROM economy.user_segments x
                       WHERE x.user_id BETWEEN coalesce(first_user, -9223372036854775808)
                                           AND coalesce(last_user, 9223372036854775807)) u
                USING (user_id)
        ), awaited AS MATERIALIZED (
            SELECT DISTINCT d.due_hour, n.user_id
            FROM economy_internal.rfm_due d CROSS JOIN LATERAL unnest(d.users) n (user_id)
            WHERE n.user_id BETWEEN coalesce(first_user, -9223372036854775808)
                                AND coalesce(last_user, 9223372036854775807)
        )
        SELECT h.user_id, 'orphan_row', 'an account', 'only a segment', NULL::text, NULL::bigint
        FROM held h WHERE NOT h.known
        UNION ALL
        SELECT h.user_id, 'parity', 'a place in rfm_due at the hour of ' || h.next_change_at,
               'none', NULL, NULL
        FROM held h
        WHERE h.known AND h.next_change_at < 'infinity'
          AND (economy_internal.rfm_due_hour(h.next_change_at), h.user_id)
              NOT IN (SELECT a.due_hour, a.user_id FROM awaited a)
        UNION ALL
        SELECT h.user_id, 'parity', 'buckets of the purchases up to ' || h.seq, 'others',
               NULL, NULL
        FROM held h
        WHERE h.known AND h.has_row
          AND (h.buckets IS DISTINCT FROM h.right_buckets OR h.seq > h.newest)
        UNION ALL
        SELECT h.user_id, 'parity', 'every purchase of before the last refresh',
               format('none of P%s-%s', h.user_id, l.seq), format('P%s-%s', h.user_id, l.seq),
               l.seq
        FROM held h CROSS JOIN state s
        CROSS JOIN LATERAL (
            SELECT min(t.seq) AS seq FROM economy_internal.shop_purchases t
            WHERE t.user_id = h.user_id AND t.seq > coalesce(h.seq, 0) AND t.status = 'SUCCESS'
              AND t.position < s.seen_before
              AND NOT EXISTS (SELECT FROM economy_internal.rfm_reversals r
                              WHERE r.user_id = t.user_id AND r.seq = t.seq)) l
        WHERE h.known AND l.seq IS NOT NULL
        UNION ALL
        SELECT h.user_id, 'parity',
               format('segment %s, scores %s%s%s, %s purchases of %s',
                      x.segment, x.r, x.f, x.m, x.frequency, x.monetary),
               format('segment %s, scores %s%s%s, %s purchases of %s',
                      h.segment, h.r, h.f, h.m, h.frequency, h.monetary), NULL, NULL
        FROM (SELECT k.*, s.as_of, s.program, s.segments FROM held k CROSS JOIN state s
              WHERE (k.user_id >= s.next_user) IS NOT TRUE AND k.known AND k.has_row
                AND k.buckets = k.right_buckets AND s.program IS NOT NULL OFFSET 0) h
        CROSS JOIN LATERAL economy_internal.rfm_assess(
            h.user_id, h.buckets, h.as_of, h.program, h.segments, h.frequency, h.monetary,
            h.r, h.f, h.m, h.segment, h.next_change_at) x
        WHERE x.segment IS NOT NULL
        UNION ALL
        SELECT h.user_id, 'parity',
               format('%s changes, the last to %s at %s', l.n, l.to_segment, l.changed_at),
               format('%s changes, %s since %s', h.changes, h.segment, h.segment_since),
               NULL, NULL
        FROM held h
        CROSS JOIN LATERAL (
            SELECT count(*) AS n, max(y.change_no) AS change_no,
                   (array_agg(y.to_segment ORDER BY y.change_no DESC))[1] AS to_segment,
                   (array_agg(y.changed_at ORDER BY y.change_no DESC))[1] AS changed_at,
                   coalesce(bool_or(y.from_segment <> y.before), false) AS broken
            FROM (SELECT g.*, lag(g.to_segment) OVER (ORDER BY g.change_no) AS before
                  FROM economy.segment_history g WHERE g.user_id = h.user_id) y) l
        WHERE h.known
          AND (l.broken OR l.n <> coalesce(l.change_no, 0) OR coalesce(h.changes, 0) <> l.n
               OR (l.n > 0 AND (h.segment, h.segment_since)
                                   IS DISTINCT FROM (l.to_segment, l.changed_at)));
    END;

CREATE OR REPLACE FUNCTION economy_internal.audit_segment_state() RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD'
    BEGIN ATOMIC
        SELECT NULL::bigint, 'parity', 'a snapshot of before ' || t.as_of,
               format('rfm_state with snapshot %s', t.snapshot_id), NULL::text, NULL::bigint
        FROM economy.rfm_state t LEFT JOIN economy.rfm_snapshots s USING (snapshot_id)
        WHERE (s.as_of <= t.as_of AND isfinite(t.as_of)) IS NOT TRUE
        UNION ALL
        SELECT NULL, 'parity', format('the newest snapshot, %s', n.snapshot_id),
               format('rfm_state with snapshot %s', t.snapshot_id), NULL, NULL
        FROM economy.rfm_state t,
             (SELECT max(s.snapshot_id) AS snapshot_id FROM economy.rfm_snapshots s) n
        WHERE t.snapshot_id < n.snapshot_id
        UNION ALL
        SELECT NULL, 'parity', 'transactions that have begun',
               format('rfm_state that has seen those before %s', t.seen_before), NULL, NULL
        FROM economy.rfm_state t
        WHERE t.installation = economy_internal.rfm_installation()
          AND (t.seen_before < 0
               OR t.seen_before > pg_snapshot_xmax(pg_current_snapshot())::text::bigint)
        UNION ALL
        SELECT NULL, 'parity', 'rfm_state', 'none beside segments', NULL, NULL
        -- the first refresh takes up purchases before it scores anybody
        WHERE NOT EXISTS (SELECT FROM economy.rfm_state)
          AND EXISTS (SELECT FROM economy.user_segments u WHERE u.segment IS NOT NULL)
        UNION ALL
        SELECT NULL, 'parity', 'rfm_state, the only row', 'one that is not', NULL, NULL
        FROM economy.rfm_state t WHERE t.only_row IS NOT TRUE
        UNION ALL
        SELECT NULL, 'parity', format('the program of snapshot %s', s.snapshot_id), 'another one',
               NULL, NULL
        FROM economy.rfm_snapshots s CROSS JOIN LATERAL economy_internal.rfm_program(s) p
        WHERE s.snapshot_id IN (SELECT x.snapshot_id FROM economy.rfm_snapshots x
                                ORDER BY x.snapshot_id DESC LIMIT 100)
          AND (s.program, s.segments) IS DISTINCT FROM (p.program, p.segments)
        UNION ALL
        SELECT r.user_id, 'orphan_row', format('purchase P%s-%s', r.user_id, r.seq),
               'only its reversal', format('P%s-%s', r.user_id, r.seq), r.seq
        FROM economy_internal.rfm_reversals r
        WHERE NOT EXISTS (SELECT FROM economy_internal.shop_purchases t
                          WHERE t.user_id = r.user_id AND t.seq = r.seq);
    END;

-- ops: access

-- What a level may call, and what a call may change: tables and sequences. Tests read
-- this list, and try everything that it does not say.
CREATE OR REPLACE FUNCTION economy.access_list() RETURNS TABLE (level text, object text, changes text)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        VALUES
            ('app', 'FUNCTION economy.account(bigint)', ''),
            ('app', 'FUNCTION economy.asyncapi()', ''),
            ('app', 'FUNCTION economy.changes(text, integer)', ''),
            ('app', 'FUNCTION economy.claim_daily_reward(bigint)',
             'accounts mission_progress_more '
             'config_changes config_changes_change_id_seq config_heads reward_audit '
             'signing_keys'),
            ('app', 'FUNCTION economy.claim_all(bigint)',
             'accounts mission_progress_more '
             'config_changes config_changes_change_id_seq config_heads reward_audit '
             'signing_keys user_holdings_more'),
            ('app', 'FUNCTION economy.claim_mission(bigint, text, text)',
             'accounts mission_progress_more '
             'config_changes config_changes_change_id_seq config_heads reward_audit '
             'signing_keys user_holdings_more'),
            ('app', 'FUNCTION economy.missions(bigint)', ''),
            ('app', 'FUNCTION economy.season(bigint, text)', ''),
            ('app', 'FUNCTION economy.claim_season(bigint, text)',
             'accounts mission_progress_more '
             'config_changes config_changes_change_id_seq config_heads reward_audit '
             'signing_keys user_holdings_more'),
            ('app', 'FUNCTION economy.claim_tier(bigint, text, integer, text)',
             'accounts mission_progress_more '
             'config_changes config_changes_change_id_seq config_heads reward_audit '
             'signing_keys user_holdings_more'),
            ('app', 'FUNCTION economy.fulfil(bigint, text, text, jsonb)', 'fulfilments'),
            ('app', 'FUNCTION economy.game_stats_me(bigint)', ''),
            ('app', 'FUNCTION economy.grant_reward(bigint, text, text, bigint, bigint, jsonb, '
                 'jsonb)',
             'accounts mission_progress_more '
             'config_changes config_changes_change_id_seq config_heads reward_audit '
             'signing_keys user_holdings_more'),
            ('app', 'FUNCTION economy.grant_reward_code(bigint, text, text, bigint, bigint, jsonb, '
                 'jsonb)',
             'accounts mission_progress_more '
             'config_changes config_changes_change_id_seq config_heads reward_audit '
             'signing_keys user_holdings_more'),
            ('app', 'FUNCTION economy.grant_rewards(bigint[], text[], text[], bigint[], bigint[], '
                 'jsonb[], jsonb[])',
             'accounts mission_progress_more '
             'config_changes config_changes_change_id_seq config_heads reward_audit '
             'signing_keys user_holdings_more'),
            ('app', 'FUNCTION economy.grant_rewards(jsonb)',
             'accounts mission_progress_more '
             'config_changes config_changes_change_id_seq config_heads reward_audit '
             'signing_keys user_holdings_more'),
            ('app', 'FUNCTION economy.grant_items(bigint, jsonb, text, text, jsonb, boolean)',
             'accounts mission_progress_more '
             'holding_changes user_holdings_more'),
            ('app', 'FUNCTION economy.consume(bigint, text, text, bigint, text, jsonb, boolean)',
             'accounts mission_progress_more '
             'holding_changes user_holdings_more'),
            ('app', 'FUNCTION economy.item_catalogue(text, boolean)', ''),
            ('app', 'FUNCTION economy.draw(bigint, text, text, text, jsonb, boolean)',
             'accounts mission_progress_more '
             'draw_pity draw_prizes draw_seeds holding_changes user_holdings_more'),
            ('app', 'FUNCTION economy.draw_commit(bigint)',
             'config_changes config_changes_change_id_seq config_heads draw_seeds signing_keys'),
            ('app', 'FUNCTION economy.draw_reveal(bigint, bigint)',
             'config_changes config_changes_change_id_seq config_heads draw_seeds signing_keys'),
            ('app', 'FUNCTION economy.draw_table(text, integer)', ''),
            ('app', 'FUNCTION economy.verify_draw(text, text, bigint, jsonb, bigint)', ''),
            ('app', 'FUNCTION economy.holdings(bigint)', ''),
            ('app', 'FUNCTION economy.holds(bigint, text, bigint)', ''),
            ('app', 'FUNCTION economy.spend(bigint, bigint, text, text, jsonb, jsonb, boolean)',
             'accounts mission_progress_more '
             'holding_changes user_holdings_more'),
            ('app', 'FUNCTION economy.leaderboard(text, integer, bigint[], date)', ''),
            ('app', 'FUNCTION economy.leaderboard_info(text)', ''),
            ('app', 'FUNCTION economy.leaderboard_of(text, bigint[], date)', ''),
            ('app', 'FUNCTION economy.rank_of(text, bigint, integer, date)', ''),
            ('app', 'FUNCTION economy.transfer(bigint, bigint, text, bigint, jsonb, text, jsonb, '
                    'boolean)',
             'accounts mission_progress_more '
             'holding_changes user_holdings_more'),
            ('app', 'FUNCTION economy.hold_escrow(bigint, text, bigint, jsonb, interval, text, '
                    'jsonb, boolean)',
             'accounts mission_progress_more '
             'escrows holding_changes user_holdings_more'),
            ('app', 'FUNCTION economy.release_escrow(bigint, text, text)',
             'accounts mission_progress_more '
             'escrows holding_changes user_holdings_more'),
            ('app', 'FUNCTION economy.capture_escrow(bigint, text, bigint, bigint, jsonb, text)',
             'accounts mission_progress_more '
             'escrows holding_changes user_holdings_more'),
            ('app', 'FUNCTION economy.debts_of(bigint)', ''),
            ('app', 'FUNCTION economy.escrows_of(bigint, integer)', ''),
            ('app', 'FUNCTION economy.open_action(bigint, text, text, text, bigint, interval, '
                    'jsonb)',
             'accounts mission_progress_more escrows holding_changes'),
            ('app', 'FUNCTION economy.settle_action(bigint, text, text, bigint, text, jsonb, '
                    'bigint)',
             'accounts mission_progress_more escrows holding_changes game_stats_more '
             'user_actions user_holdings_more'),
            ('app', 'FUNCTION economy.void_action(bigint, text, text, text)',
             'accounts mission_progress_more escrows holding_changes user_holdings_more'),
            ('app', 'FUNCTION economy.open_actions(bigint, integer)', ''),
            ('app', 'FUNCTION economy.level_for(bigint, text)', ''),
            ('app', 'FUNCTION economy.level_of(bigint, bigint)', ''),
            ('app', 'FUNCTION economy.now()', ''),
            ('app', 'FUNCTION economy.purchase(bigint, text, text, integer, jsonb, boolean)',
             'accounts mission_progress_more '
             'config_changes config_changes_change_id_seq config_heads shop_keys '
             'fulfilments shop_stock shop_transactions shop_user_units_more signing_keys '
             'user_holdings_more shop_reservations payment_orders payment_order_history '
             'promo_stock promo_uses'),
            ('app', 'FUNCTION economy.purchase_code(bigint, text, text, integer, jsonb, boolean)',
             'accounts mission_progress_more '
             'config_changes config_changes_change_id_seq config_heads shop_keys '
             'fulfilments shop_stock shop_transactions shop_user_units_more signing_keys '
             'user_holdings_more shop_reservations payment_orders payment_order_history '
             'promo_stock promo_uses'),
            ('app', 'FUNCTION economy.promo_preview(bigint, text, text, integer)', ''),
            ('app', 'FUNCTION economy.purchases(bigint[], text[], text[], integer[], jsonb[])',
             'accounts mission_progress_more '
             'config_changes config_changes_change_id_seq config_heads shop_keys '
             'fulfilments shop_stock shop_transactions shop_user_units_more signing_keys '
             'user_holdings_more'),
            ('app', 'FUNCTION economy.purchases(jsonb)',
             'accounts mission_progress_more '
             'config_changes config_changes_change_id_seq config_heads shop_keys '
             'fulfilments shop_stock shop_transactions shop_user_units_more signing_keys '
             'user_holdings_more'),
            ('app', 'FUNCTION economy.receipt(bigint, text)', ''),
            ('app', 'FUNCTION economy.release_reservation(bigint, text)',
             'shop_reservations shop_stock'),
            ('app', 'FUNCTION economy.reserve(bigint, text, text, integer, interval, boolean)',
             'accounts shop_reservations shop_stock shop_user_units_more'),
            ('app', 'FUNCTION economy.orders_of(bigint, integer)', ''),
            ('app', 'FUNCTION economy.settlement_lease(text, integer, interval, text)',
             'payment_orders'),
            ('app', 'FUNCTION economy.settlement_report(uuid, text, text, text, bigint, text, '
                    'text)',
             'accounts mission_progress_more '
             'config_changes config_changes_change_id_seq config_heads fulfilments '
             'payment_orders payment_order_history rfm_reversals shop_debts shop_refunds '
             'shop_stock shop_transactions shop_user_units_more signing_keys '
             'user_holdings_more'),
            ('app', 'FUNCTION economy.webhook(text, jsonb, bytea)',
             'accounts mission_progress_more '
             'config_changes config_changes_change_id_seq config_heads fulfilments '
             'payment_orders payment_order_history payment_webhooks rfm_reversals shop_debts '
             'shop_refunds shop_stock shop_transactions shop_user_units_more signing_keys '
             'user_holdings_more'),
            ('app', 'FUNCTION economy.unfulfilled(text, integer, interval, text)', 'fulfilments'),
            ('app', 'FUNCTION economy.recommend(bigint, text)', 'recommendations'),
            ('app', 'FUNCTION economy.recommendation_feedback(text, text)', 'recommendations'),
            ('app', 'FUNCTION economy.record_action(bigint, text, text, text, bigint, bigint, '
                    'text, jsonb, bigint)',
             'accounts mission_progress_more '
             'game_stats_more user_actions'),
            ('app', 'FUNCTION economy.record_action_code(bigint, text, text, text, bigint, bigint, '
                    'text, jsonb, bigint)',
             'accounts mission_progress_more '
             'game_stats_more user_actions'),
            ('app', 'FUNCTION economy.record_actions(bigint[], text[], text[], text[], bigint[], '
                 'bigint[], text[], jsonb[], bigint[])', 'accounts mission_progress_more '
             'game_stats_more user_actions'),
            ('app', 'FUNCTION economy.record_actions(jsonb)',
             'accounts mission_progress_more '
             'game_stats_more user_actions'),
            ('app', 'FUNCTION economy.register(text, text, jsonb)',
             'accounts mission_progress_more '
             'config_changes config_changes_change_id_seq config_heads signing_keys '
             'user_id_seq users'),
            ('app', 'FUNCTION economy.register_user(text, text, jsonb)',
             'accounts mission_progress_more '
             'config_changes config_changes_change_id_seq config_heads signing_keys '
             'user_id_seq users'),
            ('app', 'FUNCTION economy.product(text, bigint)', ''),
            ('app', 'FUNCTION economy.products(bigint, text, text, boolean)', ''),
            ('app', 'FUNCTION economy.profile(bigint)', ''),
            ('app', 'FUNCTION economy.purchases_of(bigint, bigint, integer)', ''),
            ('app', 'FUNCTION economy.replay(bigint, bigint, integer)', ''),
            ('app', 'FUNCTION economy.segment(bigint)', ''),
            ('app', 'FUNCTION economy.set_timezone(bigint, text, text)',
             'accounts mission_progress_more '
             'user_changes users'),
            ('app', 'FUNCTION economy.statement(bigint, bigint, integer)', ''),
            ('app', 'FUNCTION economy.streak_preview(bigint, integer)', ''),
            ('app', 'FUNCTION economy.streak_reward(integer)', ''),
            ('app', 'FUNCTION economy.streak_state(bigint)', ''),
            ('app', 'FUNCTION economy.take_rate(text, text, integer)', 'rate_taken'),
            ('app', 'FUNCTION economy.timezone_name(text)', ''),
            ('app', 'FUNCTION economy.link_external_id(bigint, text, text, text)',
             'accounts mission_progress_more '
             'user_changes users'),
            ('app', 'FUNCTION economy.unlink_external_id(bigint, text, text)',
             'accounts mission_progress_more '
             'user_changes users'),
            ('app', 'FUNCTION economy.update_profile(bigint, jsonb, text, text)',
             'accounts mission_progress_more '
             'user_changes users'),
            ('app', 'FUNCTION economy.user_id_of(text)', ''),
            ('app', 'FUNCTION economy.verify_receipt(bigint, text)', ''),
            ('app', 'FUNCTION economy.verify_webhook(text, jsonb, bytea)', ''),
            ('monitor', 'FUNCTION economy.account(bigint)', ''),
            ('monitor', 'FUNCTION economy.asyncapi()', ''),
            ('monitor', 'FUNCTION economy.audit_schema()', ''),
            ('monitor', 'FUNCTION economy.beta_quantile(double precision, double precision, double '
                        'precision)', ''),
            ('monitor', 'FUNCTION economy.changes(text, integer)', ''),
            ('monitor', 'FUNCTION economy.debts_of(bigint)', ''),
            ('monitor', 'FUNCTION economy.escrows_of(bigint, integer)', ''),
            ('monitor', 'FUNCTION economy.open_actions(bigint, integer)', ''),
            ('monitor', 'FUNCTION economy.settlement_reconcile(text, jsonb, timestamptz, '
                        'timestamptz)', ''),
            ('monitor', 'FUNCTION economy.game_stats_me(bigint)', ''),
            ('monitor', 'FUNCTION economy.health()', ''),
            ('monitor', 'FUNCTION economy.job_history(text, integer)', ''),
            ('monitor', 'FUNCTION economy.audit_history(integer)', ''),
            ('monitor', 'FUNCTION economy.audit_open(integer)', ''),
            ('monitor', 'FUNCTION economy.audit_unknown()', ''),
            ('monitor', 'FUNCTION economy.job_list()', ''),
            ('monitor', 'FUNCTION economy.last_anchor()', ''),
            ('monitor', 'FUNCTION economy.verify_anchor(jsonb)', ''),
            ('monitor', 'FUNCTION economy.leaderboard(text, integer, bigint[], date)', ''),
            ('monitor', 'FUNCTION economy.leaderboard_info(text)', ''),
            ('monitor', 'FUNCTION economy.leaderboard_of(text, bigint[], date)', ''),
            ('monitor', 'FUNCTION economy.leaderboard_parity(text, boolean)', ''),
            ('monitor', 'FUNCTION economy.mission_parity(bigint)', ''),
            ('monitor', 'FUNCTION economy.mission_stats(text)', ''),
            ('monitor', 'FUNCTION economy.missions(bigint)', ''),
            ('monitor', 'FUNCTION economy.season(bigint, text)', ''),
            ('monitor', 'FUNCTION economy_internal.mission_period_key(text, integer, bigint)', ''),
            ('monitor', 'FUNCTION economy_internal.mission_progress_of(bytea, bytea)', ''),
            ('monitor', 'FUNCTION economy.rank_of(text, bigint, integer, date)', ''),
            ('monitor', 'FUNCTION economy.library_version()', ''),
            -- a default of others' arguments, which the caller evaluates
            ('monitor', 'FUNCTION economy.now()', ''),
            -- views that a role may be shown call them with its privileges
            ('monitor', 'FUNCTION economy_internal.games_of(bytea)', ''),
            ('monitor', 'FUNCTION economy_internal.holdings_of(bytea)', ''),
            ('monitor', 'FUNCTION economy_internal.streak_of(bytea)', ''),
            ('monitor', 'FUNCTION economy_internal.units_of(bytea)', ''),
            ('monitor', 'FUNCTION economy.item_catalogue(text, boolean)', ''),
            ('monitor', 'FUNCTION economy.draw_table(text, integer)', ''),
            ('monitor', 'FUNCTION economy.verify_draw(text, text, bigint, jsonb, bigint)', ''),
            ('monitor', 'FUNCTION economy.simulate_draws(jsonb, integer, text)', ''),
            ('monitor', 'FUNCTION economy.holdings(bigint)', ''),
            ('monitor', 'FUNCTION economy.holds(bigint, text, bigint)', ''),
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
             'accounts mission_progress_more '
             'archive_state archived_hashes archived_keys archives audit_checkpoints '
             'config_changes config_changes_change_id_seq config_heads gold_adjustments '
             'installations reward_audit rollup_positions rollup_state signing_keys '
             'stream_checkpoints'),
            ('operator', 'FUNCTION economy.archive_entries(anyelement, interval, integer)',
             'accounts mission_progress_more '
             'archive_state archived_hashes archived_keys archives audit_checkpoints '
             'config_changes config_changes_change_id_seq config_heads gold_adjustments '
             'installations reward_audit rollup_positions rollup_state signing_keys '
             'stream_checkpoints'),
            ('operator', 'FUNCTION economy.verify_archive(regclass, regclass, bigint[])', ''),
            ('operator', 'FUNCTION economy_internal.archive_columns(text, regclass)', ''),
            ('operator', 'FUNCTION economy_internal.archive_entry(text, regclass)', ''),
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
            ('operator', 'FUNCTION economy.mission_dry_run(jsonb, timestamptz, timestamptz)', ''),
            ('operator', 'FUNCTION economy.learn_recommendations(integer)',
             'recommendation_beliefs recommendation_days recommendation_progress recommendations'),
            ('operator', 'FUNCTION economy.rfm_refresh_incremental()',
             'config_changes config_changes_change_id_seq config_heads rfm_due rfm_reversals '
             'rfm_snapshots rfm_state segment_history user_segments'),
            ('operator', 'FUNCTION economy.pay_leaderboard_prizes(integer)',
             'accounts mission_progress_more '
             'config_changes config_changes_change_id_seq config_heads '
             'leaderboard_periods leaderboard_refusals reward_audit signing_keys '
             'user_holdings_more'),
            ('operator', 'FUNCTION economy.refresh_leaderboards(integer)',
             'leaderboard_buckets leaderboard_periods leaderboard_queue leaderboard_refusals '
             'leaderboard_scores leaderboard_state rollup_state'),
            ('operator', 'FUNCTION economy.retry_leaderboard_prizes(text, date, bigint[])',
             'leaderboard_refusals'),
            ('operator', 'FUNCTION economy.rollup_stats(integer)',
             'leaderboard_queue leaderboard_state rollup_positions rollup_queue rollup_state '
             'user_game_stats_summary'),
            ('operator', 'PROCEDURE economy.run_job(text, text)',
             'accounts mission_progress_more '
             'anchor_buckets anchor_config anchor_heads anchors audit_checkpoints '
             'audit_findings audit_runs audit_runs_run_id_seq config_changes '
             'config_changes_change_id_seq config_heads escrows holding_changes installations '
             'job_runs job_runs_run_id_seq leaderboard_buckets leaderboard_periods '
             'leaderboard_queue leaderboard_refusals leaderboard_scores leaderboard_state '
             'pruned_actions '
             'pruned_stats rate_taken reward_audit rfm_due rfm_reversals rfm_snapshots rfm_state '
             'rollup_positions rollup_queue rollup_state segment_history shop_debts '
             'shop_reservations '
             'shop_stock signing_keys '
             'stream_checkpoints user_actions user_game_stats_summary user_holdings_more '
             'user_segments'),
            ('operator', 'FUNCTION economy.schedule()', ''),
            ('operator', 'FUNCTION economy.unschedule()', ''),
            ('admin', 'FUNCTION economy.add_payment_secret(text, text, text)',
             'config_changes config_changes_change_id_seq config_heads payment_secrets'),
            ('admin', 'FUNCTION economy.add_stock(text, bigint, text, integer)',
             'config_changes config_changes_change_id_seq config_heads shop_products shop_stock'),
            ('admin', 'FUNCTION economy.adjust_gold(bigint, bigint, text, text, text)',
             'accounts mission_progress_more '
             'gold_adjustments'),
            ('admin', 'FUNCTION economy.capture_actions()',
             'accounts mission_progress_more '
             'capture_refusals capture_refusals_refusal_id_seq game_stats_more '
             'user_actions'),
            ('admin', 'FUNCTION economy.prune(interval, integer)',
             'accounts audit_checkpoints config_changes config_changes_change_id_seq config_heads '
             'installations pruned_actions pruned_stats rollup_positions signing_keys '
             'stream_checkpoints user_actions'),
            ('admin', 'FUNCTION economy.register_game(text, jsonb)',
             'config_changes config_changes_change_id_seq config_heads games'),
            ('admin', 'FUNCTION economy.remove_rate_limit(text, text)',
             'config_changes config_changes_change_id_seq config_heads rate_limits'),
            ('admin', 'FUNCTION economy.remove_stock(text, text)',
             'config_changes config_changes_change_id_seq config_heads shop_products'),
            ('admin', 'FUNCTION economy.retire_payment_secret(text, integer, text)',
             'config_changes config_changes_change_id_seq config_heads payment_secrets'),
            ('admin', 'FUNCTION economy.retire_product(text, text)',
             'config_changes config_changes_change_id_seq config_heads shop_products'),
            ('admin', 'FUNCTION economy.retire_signing_key(integer)',
             'config_changes config_changes_change_id_seq config_heads draw_seeds signing_keys '
             'stream_checkpoints'),
            ('admin', 'FUNCTION economy.refund_purchase(bigint, text, text, integer, text, text, '
                      'text, boolean)',
             'accounts mission_progress_more '
             'fulfilments promo_stock promo_uses rfm_reversals shop_debts shop_refunds shop_stock '
             'shop_user_units_more user_holdings_more'),
            ('admin', 'FUNCTION economy.retire_promo_code(text, text)',
             'config_changes config_changes_change_id_seq config_heads promo_codes'),
            ('admin', 'FUNCTION economy.upsert_promo_code(jsonb, text)',
             'config_changes config_changes_change_id_seq config_heads promo_codes promo_stock'),
            ('admin', 'FUNCTION economy.settlement_reconcile(text, jsonb, timestamptz, '
                      'timestamptz)', ''),
            ('admin', 'FUNCTION economy.resolve_order(uuid, text, text, text)',
             'accounts mission_progress_more '
             'config_changes config_changes_change_id_seq config_heads fulfilments '
             'payment_orders payment_order_history rfm_reversals shop_debts shop_refunds '
             'shop_stock shop_transactions shop_user_units_more signing_keys '
             'user_holdings_more'),
            ('admin', 'FUNCTION economy.revoke_reward(bigint, text, text, text, bigint, bigint, '
                      'text, text, jsonb)',
             'accounts mission_progress_more '
             'reward_audit user_holdings_more'),
            ('admin', 'FUNCTION economy.rfm_refresh(timestamptz, boolean)',
             'config_changes config_changes_change_id_seq config_heads rfm_due rfm_reversals '
             'rfm_snapshots rfm_state segment_history user_segments'),
            ('admin', 'FUNCTION economy.rotate_signing_key()',
             'config_changes config_changes_change_id_seq config_heads signing_keys'),
            ('admin', 'FUNCTION economy.set_level_curve(text, bigint[], text)',
             'config_changes config_changes_change_id_seq config_heads level_curves'),
            ('admin', 'FUNCTION economy.set_daily_rewards(jsonb, text, integer)',
             'config_changes config_changes_change_id_seq config_heads daily_rewards'),
            ('admin', 'FUNCTION economy.set_default_level_curve(text, text)',
             'config_changes config_changes_change_id_seq config_heads level_experiments'),
            ('admin', 'FUNCTION economy.set_level_experiment(text, jsonb, boolean, text)',
             'config_changes config_changes_change_id_seq config_heads level_experiments'),
            ('admin', 'FUNCTION economy.set_payment_provider(jsonb, text)',
             'config_changes config_changes_change_id_seq config_heads payment_providers'),
            ('admin', 'FUNCTION economy.set_rate_limit(jsonb, text)',
             'config_changes config_changes_change_id_seq config_heads rate_limits'),
            ('admin', 'FUNCTION economy.set_recommendations(text, jsonb, jsonb, text)',
             'config_changes config_changes_change_id_seq config_heads recommendation_arms '
             'recommendation_placements'),
            ('admin', 'FUNCTION economy.set_rfm_model(jsonb, text)',
             'config_changes config_changes_change_id_seq config_heads rfm_models'),
            ('admin', 'FUNCTION economy.set_segment_rules(jsonb, text)',
             'config_changes config_changes_change_id_seq config_heads segment_rule_changes '
             'segment_rules'),
            ('admin', 'FUNCTION economy.set_streak(bigint, integer, date, text, text, text)',
             'accounts mission_progress_more '
             'reward_audit'),
            ('admin', 'FUNCTION economy.set_transfer_rules(jsonb, text)',
             'config_changes config_changes_change_id_seq config_heads transfer_rules'),
            ('admin', 'FUNCTION economy.set_user_status(bigint, text, text, text, text)',
             'accounts mission_progress_more '
             'user_changes'),
            ('admin', 'FUNCTION economy.publish_draw_table(text, text)',
             'config_changes config_changes_change_id_seq config_heads draw_prizes '
             'draw_table_versions draw_tables'),
            ('admin', 'FUNCTION economy.publish_mission(jsonb, text)',
             'config_changes config_changes_change_id_seq config_heads mission_templates'),
            ('admin', 'FUNCTION economy.publish_season(jsonb, text)',
             'config_changes config_changes_change_id_seq config_heads items seasons'),
            ('admin', 'FUNCTION economy.retire_season(text, text)',
             'config_changes config_changes_change_id_seq config_heads seasons'),
            ('admin', 'FUNCTION economy.retire_mission(text, text)',
             'config_changes config_changes_change_id_seq config_heads mission_templates'),
            ('admin', 'FUNCTION economy.upsert_draw_table(jsonb, text)',
             'config_changes config_changes_change_id_seq config_heads draw_tables'),
            ('admin', 'FUNCTION economy.upsert_item(jsonb, text)',
             'config_changes config_changes_change_id_seq config_heads items'),
            ('admin', 'FUNCTION economy.upsert_leaderboard(jsonb, text)',
             'config_changes config_changes_change_id_seq config_heads leaderboard_buckets '
             'leaderboard_periods leaderboards rollup_state'),
            ('admin', 'FUNCTION economy.upsert_product(jsonb, text)',
             'config_changes config_changes_change_id_seq config_heads shop_products');
    END;

CREATE OR REPLACE FUNCTION economy_internal.audit_pieces(part text, from_user bigint, upto_user bigint)
    RETURNS economy.finding[]
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    pieces   CONSTANT text[] := CASE part
        WHEN 'users' THEN ARRAY['effects', 'twice', 'orphans', 'rewards', 'units', 'holdings',
                                'draws', 'transfers', 'escrows', 'refunds', 'segments',
                                'recommendations', 'anchored', 'parity', 'places',
                                'missions', 'seasons']
        ELSE ARRAY['schema', 'stock', 'promos', 'prizes', 'shop', 'orders', 'config', 'keys',
                   'segment_state', 'anchors', 'boards'] END;
    piece    text;
    answer   economy.finding[];
    findings economy.finding[] := '{}';
BEGIN
    FOREACH piece IN ARRAY pieces LOOP
        BEGIN
            -- EXECUTE, because the function is not the same each time
            EXECUTE format($query$
                SELECT ARRAY(SELECT f::economy.finding FROM %s.audit_%s(%s) f)
                $query$, CASE piece WHEN 'schema' THEN 'economy' ELSE 'economy_internal' END,
                piece, CASE part WHEN 'users' THEN '$1, $2' END)
                INTO answer USING from_user, upto_user;
            findings := findings || answer;
        EXCEPTION WHEN OTHERS THEN
            findings := findings || economy_internal.audit_failed(
                NULL, format('audit_%s() to end%s', piece, ' for the users from ' || from_user),
                SQLERRM);
        END;
    END LOOP;
    RETURN findings;
END
$$;
-- ops: what missions would be, and what they are

CREATE FUNCTION economy.mission_dry_run(
    template jsonb, since timestamptz, until timestamptz DEFAULT NULL
) RETURNS TABLE (
        users bigint, entries bigint, incomplete bigint, progressed bigint, completed bigint,
        completions bigint, gold numeric, xp numeric, items jsonb
    )
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    -- in the order of the users, whatever their statistics say
    SET enable_seqscan = off SET jit = off AS $$
DECLARE
    mission economy.mission_templates;
    part    record;
    ids     bigint[];
    total   bigint;
    after   bigint := -9223372036854775808;
BEGIN
    PERFORM economy_internal.require_given('template', template IS NOT NULL);
    PERFORM economy_internal.require_given('since', since IS NOT NULL);
    until := coalesce(until, economy.now());
    IF since >= until THEN
        RAISE EXCEPTION 'since must be before until' USING ERRCODE = 'XE002';
    END IF;
    BEGIN
        SELECT (p.new_row).* INTO mission FROM economy_internal.put_mission(template) p;
        -- it is as it would be published, and is not
        RAISE EXCEPTION 'taken back';
    EXCEPTION WHEN raise_exception THEN
        IF mission.number IS NULL THEN
            RAISE;
        END IF;
    END;
    PERFORM economy_internal.open_tables('accounts');
    SELECT count(*) INTO total FROM economy.accounts;
    users := 0;
    entries := 0;
    incomplete := 0;
    progressed := 0;
    completed := 0;
    completions := 0;
    LOOP
        PERFORM economy_internal.report_progress(
            'mission_dry_run', users, greatest(total, users));
        ids := ARRAY(SELECT a.user_id FROM economy.accounts a WHERE a.user_id > after
                     ORDER BY a.user_id LIMIT 1000);
        EXIT WHEN cardinality(ids) = 0;
        after := ids[cardinality(ids)];
        SELECT * INTO STRICT part
            FROM economy_internal.mission_would_be(mission, since, until, ids);
        users := users + part.users;
        entries := entries + part.entries;
        incomplete := incomplete + part.incomplete;
        progressed := progressed + part.progressed;
        completed := completed + part.completed;
        completions := completions + part.completions;
    END LOOP;
    PERFORM economy_internal.report_progress(NULL, NULL, NULL);
    gold := mission.gold::numeric * completions;
    xp := mission.xp::numeric * completions;
    items := (SELECT jsonb_object_agg(i.key, i.value::numeric * completions)
              FROM jsonb_each_text(mission.items) i);
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION economy.mission_dry_run(jsonb, timestamptz, timestamptz) IS
    'What a mission would have been, had it been published at since and ended at until: how many '
    'users would have got on in it and completed it, how often, and what that would have paid. '
    'Valid is what publish_mission() takes; starts_at and ends_at of the template are not asked. '
    'Changes nothing; progress in economy.progress(). XE403 for one that is not valid.';

CREATE FUNCTION economy_internal.mission_figures(only_mission text) RETURNS TABLE (
        mission text, version integer, published_at timestamptz, ended_at timestamptz,
        joined bigint, active bigint, completed bigint, claimed bigint,
        claims bigint, taken_back bigint, gold numeric, xp numeric, to_complete interval
    )
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp SET jit = off
    BEGIN ATOMIC
        WITH asked AS MATERIALIZED (
            SELECT t FROM economy.mission_templates t
            WHERE only_mission IS NULL OR t.mission = only_mission
        ), stands AS MATERIALIZED (
            SELECT p.number, count(*) AS joined, sum(p.active)::bigint AS active,
                   sum(p.completed)::bigint AS completed, sum(p.claimed)::bigint AS claimed
            FROM economy.accounts a
            LEFT JOIN economy_internal.mission_progress_more m ON m.user_id = a.user_id
            CROSS JOIN LATERAL (
                SELECT r.number, count(*) FILTER (WHERE r.state = 0) AS active,
                       count(*) FILTER (WHERE r.state = 1) AS completed,
                       count(*) FILTER (WHERE r.state = 2) AS claimed
                FROM economy_internal.mission_progress_of(a.sections, m.progress) r
                GROUP BY r.number) p
            WHERE a.sections IS NOT NULL
            GROUP BY p.number
        ), back AS MATERIALIZED (
            SELECT r.user_id, r.reverses, sum(r.gold_delta) AS gold, sum(r.xp_delta) AS xp
            FROM economy.reward_audit r WHERE r.reverses IS NOT NULL GROUP BY 1, 2
        ), paid AS MATERIALIZED (
            -- a range, as texts have here: those that begin so
            SELECT r.source, r.details ->> 'version' AS version, count(*) AS claims,
                   count(b.user_id) AS taken_back,
                   sum(r.gold_delta) + coalesce(sum(b.gold), 0) AS gold,
                   sum(r.xp_delta) + coalesce(sum(b.xp), 0) AS xp
            FROM economy.reward_audit r
            LEFT JOIN back b ON b.user_id = r.user_id AND b.reverses = r.seq
            WHERE r.source >= 'economy:mission:' AND r.source < 'economy:mission;'
              AND r.reverses IS NULL
            GROUP BY 1, 2
        ), drawn AS MATERIALIZED (
            SELECT p.number, p.period, a.user_id, p.since
            FROM economy.accounts a
            LEFT JOIN economy_internal.mission_progress_more m ON m.user_id = a.user_id
            CROSS JOIN LATERAL economy_internal.mission_progress_of(a.sections, m.progress) p
            JOIN stands n ON n.number = p.number
            WHERE a.sections IS NOT NULL AND p.state > 0
              AND (hashint8extended(a.user_id, 0) & 1048575)
                  % greatest((n.completed + n.claimed) / 200, 1) = 0
        ), took AS MATERIALIZED (
            SELECT k.number, percentile_disc(0.5) WITHIN GROUP (ORDER BY k.took) AS to_complete
            FROM (SELECT s.number,
                         -- not joined: the entries of all would be read
                         (SELECT l.created_at FROM economy.ledger l
                          WHERE l.user_id = s.user_id AND l.seq = s.since)
                         - greatest((q.t).starts_at, economy_internal.mission_period_starts(
                                        (q.t).period, s.period)) AS took
                  FROM drawn s JOIN asked q ON (q.t).number = s.number
                  -- when a run begins is not known
                  WHERE (q.t).period !~ '^repeat') k
            GROUP BY 1
        )
        SELECT (k.t).mission, (k.t).version, (k.t).published_at,
               least((k.t).ends_at, (k.t).retired_at), coalesce(n.joined, 0),
               coalesce(n.active, 0), coalesce(n.completed, 0), coalesce(n.claimed, 0),
               coalesce(p.claims, 0), coalesce(p.taken_back, 0), coalesce(p.gold, 0),
               coalesce(p.xp, 0), o.to_complete
        FROM asked k
        LEFT JOIN stands n ON n.number = (k.t).number
        LEFT JOIN paid p ON p.source = 'economy:mission:' || (k.t).mission
                        AND p.version = (k.t).version::text
        LEFT JOIN took o ON o.number = (k.t).number
        ORDER BY (k.t).mission, (k.t).version;
    END;
COMMENT ON FUNCTION economy_internal.mission_figures(text) IS
    'mission_stats(), as one snapshot sees it.';

CREATE FUNCTION economy.mission_stats(only_mission text DEFAULT NULL) RETURNS TABLE (
        mission text, version integer, published_at timestamptz, ended_at timestamptz,
        joined bigint, active bigint, completed bigint, claimed bigint,
        claims bigint, taken_back bigint, gold numeric, xp numeric, to_complete interval
    )
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    PERFORM economy_internal.open_all_tables();
    RETURN QUERY SELECT * FROM economy_internal.mission_figures(only_mission);
END
$$;
COMMENT ON FUNCTION economy.mission_stats(text) IS
    'How missions go, a row per version: users who have joined, and their periods that are '
    'active, completed and claimed, as far as progress stands; all claims, what of them was taken '
    'back, and what they have paid; how long it took half of some 200 of those who completed it. '
    'Reads all accounts twice, and all rewards.';

CREATE OR REPLACE FUNCTION economy.verify_anchor(anchor jsonb) RETURNS SETOF economy.finding
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.open_tables(
            'anchors', 'anchor_heads', 'anchor_buckets', 'anchor_config', 'accounts',
            'shop_transactions', 'reward_audit', 'user_actions', 'gold_adjustments',
            'user_changes', 'holding_changes', 'shop_refunds');
        SELECT * FROM economy_internal.verify_anchor_seen(economy_internal.read_anchor(anchor));
    END;

-- checks: what the audit asks, of the users from one id to another, and of the rest

-- The state of all that is configuration. note_change() writes it down, and
-- audit_config() compares; seed_digest() holds the seeds.  The columns are named: one that
-- a DBA adds is no configuration, and no update makes it one.
CREATE OR REPLACE VIEW economy.config_states AS
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

-- EXECUTE, because the digests are part of the function: they are taken while the seeds are fresh
DO $$
BEGIN
    EXECUTE format($query$
        CREATE OR REPLACE FUNCTION economy_internal.seed_digest() RETURNS jsonb
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

CREATE OR REPLACE FUNCTION economy_internal.audit_keys() RETURNS SETOF economy.finding
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

CREATE OR REPLACE FUNCTION economy_internal.audit_effects(
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

-- An account is gone when rows of its user are still there.
CREATE OR REPLACE FUNCTION economy_internal.audit_orphans(
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

CREATE OR REPLACE FUNCTION economy_internal.audit_stock() RETURNS SETOF economy.finding
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

CREATE OR REPLACE FUNCTION economy_internal.audit_rewards(
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

CREATE OR REPLACE FUNCTION economy_internal.audit_units(
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

CREATE OR REPLACE FUNCTION economy_internal.audit_shop() RETURNS SETOF economy.finding
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
CREATE OR REPLACE FUNCTION economy_internal.audit_twice(
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
CREATE OR REPLACE FUNCTION economy.audit_unknown() RETURNS TABLE (relation text, "column" text, why text)
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

CREATE OR REPLACE FUNCTION economy_internal.jobs()
    RETURNS TABLE (job text, schedule text, statement text, overdue interval)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        VALUES
            ('rfm_refresh', '5 2 * * *',
             'SELECT users_changed, next FROM economy_internal.rfm_job_batch(true, $1)',
             interval '26 hours'),
            ('rfm_refresh_incremental', '7 * * * *',
             'SELECT users_changed, next FROM economy_internal.rfm_job_batch(false, $1)',
             interval '3 hours'),
            ('learn_recommendations', '25 0 * * *',
             'SELECT decisions, CASE WHEN more THEN jsonb ''{}'' END '
             'FROM economy.learn_recommendations()', interval '26 hours'),
            ('rollup_stats', '* * * * *',
             'SELECT rows_written, CASE WHEN users = 2000 THEN jsonb ''{}'' END '
             'FROM economy.rollup_stats(2000)', interval '10 minutes'),
            ('leaderboards', '* * * * *',
             'SELECT users, CASE WHEN more THEN jsonb ''{}'' END '
             'FROM economy.refresh_leaderboards(2000)', interval '10 minutes'),
            ('leaderboard_prizes', '*/5 * * * *',
             'SELECT paid, CASE WHEN more THEN jsonb ''{}'' END '
             'FROM economy.pay_leaderboard_prizes(500)', interval '1 hour'),
            ('escrows', '* * * * *',
             'SELECT expired, next FROM economy_internal.expire_escrows($1)',
             interval '10 minutes'),
            ('debts', '* * * * *',
             'SELECT collected, next FROM economy_internal.collect_debts($1)',
             interval '10 minutes'),
            ('missions', '*/5 * * * *',
             'SELECT claimed, next FROM economy_internal.claim_missions($1)',
             interval '1 hour'),
            ('expire_reservations', '* * * * *',
             'SELECT reservations, next FROM economy_internal.expire_reservations(500, $1)',
             interval '10 minutes'),
            ('expire_orders', '* * * * *',
             'SELECT orders, next FROM economy_internal.expire_orders(500, $1)',
             interval '10 minutes'),
            ('rate_limits', '*/5 * * * *',
             'SELECT forgotten, next FROM economy_internal.forget_rates($1)',
             interval '1 hour'),
            ('seasons', '*/5 * * * *',
             'SELECT claimed, next FROM economy_internal.close_seasons($1)',
             interval '1 hour'),
            ('audit_sweep', '35 2 * * *',
             'SELECT findings, CASE WHEN users > 0 THEN jsonb ''{}'' END '
             'FROM economy.audit_step()', interval '26 hours'),
            ('anchor', '55 2 * * *',
             'SELECT users, CASE WHEN users > 0 THEN jsonb ''{}'' END '
             'FROM economy.anchor_step() users', interval '26 hours'),
            ('prune', '15 3 * * *',
             'SELECT actions, CASE WHEN more THEN jsonb ''{}'' END '
             'FROM economy.prune(max_users => 200)', interval '26 hours');
    END;

CREATE OR REPLACE FUNCTION economy.seed_demo() RETURNS TABLE (external_id text, user_id bigint, gold bigint)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    p jsonb;
    u record;
    t timestamptz := economy.now();
BEGIN
    FOR p IN SELECT * FROM jsonb_array_elements($json$[
        {"item_id": "ruby",   "kind": "currency", "tradable": true},
        {"item_id": "torch",  "kind": "stack", "maximum": 99},
        {"item_id": "club",   "kind": "pass"},
        {"item_id": "wyvern", "kind": "stack", "consumable": false}
        ]$json$) LOOP
        IF NOT EXISTS (SELECT FROM economy.items i WHERE i.item_id = p ->> 'item_id') THEN
            PERFORM economy.upsert_item(p, 'seed_demo');
        END IF;
    END LOOP;
    FOR p IN SELECT * FROM jsonb_array_elements($json$[
        {"product_id": "gold_100",  "category": "conversion", "source_points": 1000,
         "granted_gold": 100, "monetary": 100},
        {"product_id": "gold_550",  "category": "conversion", "source_points": 5000,
         "granted_gold": 550, "monetary": 500},
        {"product_id": "gold_1200", "category": "conversion", "source_points": 10000,
         "granted_gold": 1200, "monetary": 1000},
        {"product_id": "gold_6500", "category": "conversion", "source_points": 50000,
         "granted_gold": 6500, "monetary": 5000},
        {"product_id": "sword",    "category": "item", "price_gold": 250,
         "effect_code": "weapon_sword"},
        {"product_id": "shield",   "category": "item", "price_gold": 200,
         "effect_code": "armour_shield"},
        {"product_id": "potion",   "category": "item", "price_gold": 15,
         "effect_code": "heal_50"},
        {"product_id": "xp_boost", "category": "item", "price_gold": 400,
         "effect_code": "xp_boost_1h"},
        {"product_id": "dragon",   "category": "item", "price_gold": 90000,
         "effect_code": "mount_dragon"},
        {"product_id": "rubies_80", "category": "conversion", "source_points": 4000,
         "granted_gold": 0, "monetary": 400, "contents": {"ruby": 80}},
        {"product_id": "adventurer", "category": "item", "price_gold": 350, "tags": ["bundle"],
         "contents": {"ruby": 20, "torch": 2, "club": 604800}, "granted_xp": 100}
        ]$json$) LOOP
        IF NOT EXISTS (SELECT FROM economy.shop_products s
                       WHERE s.product_id = p ->> 'product_id') THEN
            PERFORM economy.upsert_product(p, 'seed_demo');
        END IF;
    END LOOP;
    FOR p IN SELECT * FROM jsonb_array_elements($json$[
        {"product_id": "starter_pack", "category": "item", "price_gold": 50, "monetary": 199,
         "effect_code": "pack_starter", "limit_once": true, "stock": 1000},
        {"product_id": "summer_pack",  "category": "item", "price_gold": 300, "monetary": 999,
         "effect_code": "pack_summer", "per_user_limit": 3, "stock": 100},
        {"product_id": "founder_pack", "category": "item", "price_gold": 500, "monetary": 4999,
         "effect_code": "pack_founder", "per_user_limit": 2, "stock": 2}
        ]$json$) LOOP
        IF NOT EXISTS (SELECT FROM economy.shop_products s
                       WHERE s.product_id = p ->> 'product_id') THEN
            PERFORM economy.upsert_product(
                (p - 'stock') || jsonb_build_object(
                    'starts_at', date_trunc('day', t) - interval '1 day',
                    'ends_at', date_trunc('day', t) + interval '30 days'),
                'seed_demo');
            PERFORM economy.add_stock(p ->> 'product_id', (p ->> 'stock')::bigint, 'seed_demo');
        END IF;
    END LOOP;
    IF NOT EXISTS (SELECT FROM economy.draw_tables d WHERE d.table_id = 'egg') THEN
        PERFORM economy.upsert_draw_table('{"table_id": "egg", "draft": {
            "price": {"gold": 25}, "pity": {"class": "rare", "after": 3},
            "entries": [{"entry": "coins", "weight": 9, "gold": 20},
                {"entry": "wyvern", "class": "rare", "weight": 1, "xp": 50,
                 "items": {"wyvern": 1}}]}}',
            'seed_demo');
        PERFORM economy.publish_draw_table('egg', 'seed_demo');
    END IF;
    IF NOT EXISTS (SELECT FROM economy.leaderboards b WHERE b.board = 'weekly_wins') THEN
        PERFORM economy.upsert_leaderboard('{"board": "weekly_wins", "figure": "wins",
            "period": "week", "prizes": [{"upto": 1, "gold": 1000}, {"upto": 3, "gold": 250}]}',
            'seed_demo');
    END IF;
    INSERT INTO economy.invite_codes VALUES ('5858', 'demo', t) ON CONFLICT DO NOTHING;
    FOR u IN
        SELECT * FROM (VALUES
            ('alice', 'Europe/Berlin', 0), ('bob', 'America/New_York', 2000),
            ('carol', 'Asia/Tokyo', 2000), ('dave', 'UTC', 10)) v (name, zone, gold)
    LOOP
        external_id := u.name;
        user_id := economy.register(u.name, u.zone);
        IF u.gold > 0 THEN
            PERFORM economy.adjust_gold(
                user_id, u.gold, 'seed_demo', 'opening balance of the demo', 'seed_demo');
        END IF;
        SELECT a.gold INTO gold FROM economy.accounts a WHERE a.user_id = seed_demo.user_id;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION economy.seed_demo() IS
    'Fills a demo shop: items, 5 conversions, 5 products, a bundle, 3 limited packages, a draw '
    'table, a leaderboard, invite code 5858, four users. Running it again changes nothing.';

CREATE OR REPLACE FUNCTION economy_internal.schema_description(OUT object text, OUT definition text)
    RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
    SET intervalstyle = postgres
    SET DateStyle = 'ISO, YMD' SET TimeZone = 'UTC' SET extra_float_digits = 1
    SET bytea_output = hex SET standard_conforming_strings = on
    BEGIN ATOMIC
        WITH member AS (
            SELECT d.classid, d.objid
            FROM pg_depend d
            JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
            WHERE d.deptype = 'e' AND e.extname = 'economy'
        ), relation AS (
            SELECT c.* FROM member m
            JOIN pg_class c ON m.classid = 'pg_class'::regclass AND m.objid = c.oid
            WHERE NOT c.relispartition
        ), part AS (
            -- the rest of them is what their journal has, or the server would refuse it
            SELECT c.* FROM member m
            JOIN pg_class c ON m.classid = 'pg_class'::regclass AND m.objid = c.oid
            WHERE c.relispartition
        ), routine AS (
            SELECT p.*, format('function %s.%s(%s)', p.pronamespace::regnamespace, p.proname,
                               pg_get_function_identity_arguments(p.oid)) AS object
            FROM member m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid
        )
        SELECT format('%s %s.%s',
                      CASE c.relkind WHEN 'v' THEN 'view' WHEN 'S' THEN 'sequence'
                                     ELSE 'table' END,
                      c.relnamespace::regnamespace, c.relname),
               CASE c.relpersistence WHEN 'p' THEN 'of the extension' ELSE 'unlogged' END
               || CASE WHEN c.relreplident = 'n' AND c.relkind IN ('r', 'p')
                       THEN ', without replica identity' ELSE '' END
               || coalesce((
                   SELECT format(', from %s by %s, %s to %s, cache %s%s', q.seqstart,
                                 q.seqincrement, q.seqmin, q.seqmax, q.seqcache,
                                 CASE WHEN q.seqcycle THEN ', cycle' ELSE '' END)
                   FROM pg_sequence q WHERE q.seqrelid = c.oid), '')
               -- options of tables are the DBA's to choose
               || coalesce((
                   SELECT string_agg(', ' || o, '' ORDER BY o COLLATE "C")
                   FROM unnest(c.reloptions) o WHERE c.relkind = 'v'), '')
        FROM relation c
        UNION ALL
        SELECT format('partition %s of %s', c.oid::regclass, i.inhparent::regclass),
               pg_get_expr(c.relpartbound, c.oid)
               || CASE WHEN i.inhdetachpending THEN ', detached' ELSE '' END
               || CASE c.relpersistence WHEN 'p' THEN '' ELSE ', unlogged' END
               || CASE c.relreplident WHEN 'n' THEN ', without replica identity' ELSE '' END
               || CASE WHEN EXISTS (
                      SELECT FROM pg_inherits x JOIN pg_index n ON n.indexrelid = x.inhrelid
                      WHERE n.indrelid = c.oid AND NOT (n.indisvalid AND n.indisready))
                  THEN ', with an invalid index' ELSE '' END
        FROM part c JOIN pg_inherits i ON i.inhrelid = c.oid
        UNION ALL
        SELECT format('column %s.%s', c.relname, a.attname),
               format_type(a.atttypid, a.atttypmod)
               || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
        FROM relation c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE c.relkind IN ('r', 'p')
        UNION ALL
        -- pg_upgrade may put other parentheses
        SELECT format('constraint %s of %s', k.conname, c.relname),
               translate(pg_get_constraintdef(k.oid), '()', '')
        FROM relation c JOIN pg_constraint k ON k.conrelid = c.oid
        WHERE k.contype IN ('c', 'p', 'u', 'x')
        UNION ALL
        -- the name is of the snapshot too: REINDEX CONCURRENTLY exchanges names
        SELECT format('index %s.%s of %s', x.relnamespace::regnamespace, x.relname, c.relname),
               CASE WHEN i.indisvalid AND i.indisready THEN 'valid' ELSE 'invalid' END
               || CASE WHEN i.indisunique THEN ', unique' ELSE '' END
        FROM relation c
        JOIN pg_index i ON i.indrelid = c.oid
        JOIN pg_class x ON x.oid = i.indexrelid
        UNION ALL
        SELECT format('trigger %s of %s', t.tgname, c.relname),
               pg_get_triggerdef(t.oid)
               || CASE t.tgenabled WHEN 'A' THEN ', always' WHEN 'D' THEN ', disabled'
                                   WHEN 'R' THEN ', on a replica only' ELSE ', not always' END
        FROM (SELECT * FROM relation UNION ALL SELECT * FROM part) c
        JOIN pg_trigger t ON t.tgrelid = c.oid WHERE NOT t.tgisinternal
        UNION ALL
        SELECT format('event trigger %s', t.evtname),
               CASE t.evtenabled WHEN 'A' THEN 'always' WHEN 'D' THEN 'disabled'
                                 ELSE 'not always' END
        FROM member m
        JOIN pg_event_trigger t ON m.classid = 'pg_event_trigger'::regclass AND m.objid = t.oid
        UNION ALL
        -- what is no member any more is dumped besides the extension, and cannot be restored
        SELECT format('schema %s', n.nspname), 'of the extension'
        FROM member m JOIN pg_namespace n ON m.classid = 'pg_namespace'::regclass
                                         AND m.objid = n.oid
        UNION ALL
        SELECT format('type %s.%s', t.typnamespace::regnamespace, t.typname),
               format('of the extension, %s', (
                   SELECT string_agg(format('%s %s', a.attname,
                                            format_type(a.atttypid, a.atttypmod)),
                                     ', ' ORDER BY a.attnum)
                   FROM pg_attribute a
                   WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped))
        FROM member m JOIN pg_type t ON m.classid = 'pg_type'::regclass AND m.objid = t.oid
        -- since PostgreSQL 17 the row type of a table, which has more columns with the
        -- DBA's, is a member too
        JOIN pg_class c ON c.oid = t.typrelid AND c.relkind = 'c'
        UNION ALL
        -- settings that cost time or memory, and answer the same, are the DBA's to choose
        SELECT p.object,
               md5(concat_ws('|', l.lanname, p.prosrc, p.probin, p.provolatile, p.proparallel,
                             p.prosecdef, p.proisstrict,
                             -- quoted as quote_all_identifiers was when it was made
                             (SELECT string_agg(translate(s, '"', ''), '|' ORDER BY s COLLATE "C")
                              FROM unnest(p.proconfig) s
                              WHERE s !~ ('^(work_mem|hash_mem_multiplier|maintenance_work_mem|'
                                  'temp_buffers|jit|jit_.*|enable_.*|.*_cost|.*_timeout|'
                                  'max_parallel_.*|plan_cache_mode|track_.*|log_.*)='))))
        FROM routine p JOIN pg_language l ON l.oid = p.prolang
        UNION ALL
        -- what the server keeps as a tree; after pg_upgrade it writes that down otherwise
        SELECT format('body of %s, system %s', b.object,
                      (SELECT y.system_identifier FROM pg_control_system() y)),
               md5(b.body)
        FROM (SELECT p.object, pg_get_function_sqlbody(p.oid)
              FROM routine p WHERE p.prosqlbody IS NOT NULL
              UNION ALL
              SELECT format('view %s.%s', c.relnamespace::regnamespace, c.relname),
                     pg_get_viewdef(c.oid)
              FROM relation c WHERE c.relkind = 'v'
              UNION ALL
              SELECT format('default of %s.%s', c.relname, a.attname),
                     pg_get_expr(d.adbin, d.adrelid)
              FROM relation c
              JOIN pg_attrdef d ON d.adrelid = c.oid
              JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.adnum) b (object, body);
    END;

CREATE OR REPLACE FUNCTION economy_internal.health_proof() RETURNS SETOF economy.health_item
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.open_tables(
            'audit_findings', 'audit_runs', 'economy_internal.rollup_queue',
            'economy_internal.rollup_state', 'user_actions', 'shop_transactions', 'archived_keys',
            'economy_internal.rfm_reversals', 'economy_internal.rfm_due', 'rfm_snapshots',
            'rfm_state', 'user_segments', 'leaderboard_refusals', 'payment_orders');
        SELECT 'last full audit', economy_internal.health_state(false, r.is_due),
               coalesce('ended ' || r.ended_at, 'never'),
               CASE WHEN r.is_due
                    THEN 'CALL economy.run_job(''audit_sweep''), and schedule it.' END
        FROM (SELECT max(r.finished_at) AS ended_at,
                     coalesce(max(r.finished_at) < clock_timestamp() - interval '200 hours', true)
                         AS is_due
              FROM economy.audit_runs r WHERE r.kind = 'full') r
        UNION ALL
        SELECT 'findings', economy_internal.health_state(count(*) > 0, false),
               format('%s open', count(*)),
               CASE WHEN count(*) > 0
                    THEN 'See economy.audit_open(), and compare with a backup '
                         'before anything is corrected.' END
        FROM economy.audit_findings f WHERE f.gone_run_id IS NULL
        UNION ALL
        SELECT 'rollup',
               economy_internal.health_state(
                   false, q.users > 100000 OR (s.position IS NULL AND a.played)),
               CASE WHEN s.position IS NULL AND a.played THEN 'no action was rolled up yet'
                    ELSE format('%s users with actions that are seen and not rolled up',
                                q.users) END,
               CASE WHEN q.users > 100000 OR (s.position IS NULL AND a.played)
                    THEN 'CALL economy.run_job(''rollup_stats''), and schedule it.' END
        FROM (SELECT count(*)
              FROM (SELECT FROM economy_internal.rollup_queue w
                    WHERE w.user_id >= (SELECT s.next_user FROM economy_internal.rollup_state s)
                    LIMIT 1000000) u) q (users)
        CROSS JOIN (SELECT EXISTS (SELECT FROM economy.user_actions)) a (played)
        LEFT JOIN economy_internal.rollup_state s ON true
        UNION ALL
        SELECT 'segments',
               economy_internal.health_state(false, f.oldest_stale_age > interval '26 hours'),
               format('%s users with a stale segment%s', f.stale_users,
                      ', the oldest for ' || f.oldest_stale_age),
               CASE WHEN f.oldest_stale_age > interval '26 hours'
                    THEN 'CALL economy.run_job(''rfm_refresh_incremental''), and schedule it.' END
        FROM economy_internal.rfm_freshness_seen() f
        UNION ALL
        -- to who was suspended afterwards nothing is owed
        SELECT 'leaderboard prizes', economy_internal.health_state(false, r.owed > 0),
               format('%s could not be paid%s', r.owed, ', such as ' || r.code),
               CASE WHEN r.owed > 0
                    THEN 'See economy.leaderboard_refusals; when its reason is mended: '
                         'economy.retry_leaderboard_prizes().' END
        FROM (SELECT count(*) AS owed, min(o.code) AS code FROM economy.leaderboard_refusals o
              WHERE o.code <> 'USER_SUSPENDED') r
        UNION ALL
        SELECT 'payment orders', economy_internal.health_state(false, o.problems > 0),
               format('%s wait for an operator, %s for their provider%s', o.problems, o.waiting,
                      ', the oldest since ' || o.since),
               CASE WHEN o.problems > 0
                    THEN 'See economy.payment_order_problems, ask the provider, and '
                         'economy.resolve_order() or economy.settlement_report().' END
        FROM (SELECT count(*) FILTER (WHERE p.due_at = 'infinity') AS problems,
                     count(*) FILTER (WHERE p.due_at < 'infinity') AS waiting,
                     min(p.made_at) FILTER (WHERE p.due_at < 'infinity') AS since
              FROM economy.payment_orders p
              WHERE p.state IN ('CREATED', 'PENDING', 'CONFLICT')) o;
    END;
COMMENT ON FUNCTION economy_internal.health_proof() IS
    'Part of health(): audits, their findings, rollup, stale segments, prizes of leaderboards, '
    'payment orders.';
COMMENT ON FUNCTION economy.health() IS
    'One row per check, each ok, warn or bad, with what was found and what to do: '
    'library, schema, key, relay, notification queue, connections, old transactions, '
    'jobs, pg_cron, audits, segments, prizes of leaderboards, payment orders.';

-- of these alone: a function whose privileges a script changes would have those of roles
-- among its initial ones, which a dump leaves out
REVOKE ALL ON FUNCTION
    economy.add_payment_secret(text, text, text),
    economy.capture_escrow(bigint, text, bigint, bigint, jsonb, text),
    economy.claim_all(bigint),
    economy.claim_mission(bigint, text, text),
    economy.claim_season(bigint, text),
    economy.claim_tier(bigint, text, integer, text),
    economy.consume(bigint, text, text, bigint, text, jsonb, boolean),
    economy.debts_of(bigint),
    economy.draw(bigint, text, text, text, jsonb, boolean),
    economy.draw_commit(bigint),
    economy.draw_reveal(bigint, bigint),
    economy.draw_table(text, integer),
    economy.escrows_of(bigint, integer),
    economy.fulfil(bigint, text, text, jsonb),
    economy.grant_items(bigint, jsonb, text, text, jsonb, boolean),
    economy.grant_reward(bigint, text, text, bigint, bigint, jsonb, jsonb),
    economy.grant_reward_code(bigint, text, text, bigint, bigint, jsonb, jsonb),
    economy.grant_rewards(bigint[], text[], text[], bigint[], bigint[], jsonb[], jsonb[]),
    economy.hold_escrow(bigint, text, bigint, jsonb, interval, text, jsonb, boolean),
    economy.holdings(bigint),
    economy.holds(bigint, text, bigint),
    economy.item_catalogue(text, boolean),
    economy.leaderboard(text, integer, bigint[], date),
    economy.leaderboard_info(text),
    economy.leaderboard_of(text, bigint[], date),
    economy.leaderboard_parity(text, boolean),
    economy.mission_dry_run(jsonb, timestamptz, timestamptz),
    economy.mission_parity(bigint),
    economy.mission_stats(text),
    economy.missions(bigint),
    economy.open_action(bigint, text, text, text, bigint, interval, jsonb),
    economy.open_actions(bigint, integer),
    economy.orders_of(bigint, integer),
    economy.pay_leaderboard_prizes(integer),
    economy.product(text, bigint),
    economy.products(bigint, text, text, boolean),
    economy.profile(bigint),
    economy.promo_preview(bigint, text, text, integer),
    economy.publish_draw_table(text, text),
    economy.publish_mission(jsonb, text),
    economy.publish_season(jsonb, text),
    economy.purchases_of(bigint, bigint, integer),
    economy.rank_of(text, bigint, integer, date),
    economy.record_action(bigint, text, text, text, bigint, bigint, text, jsonb, bigint),
    economy.record_action_code(bigint, text, text, text, bigint, bigint, text, jsonb, bigint),
    economy.record_actions(bigint[], text[], text[], text[], bigint[], bigint[], text[], jsonb[], bigint[]),
    economy.refresh_leaderboards(integer),
    economy.refund_purchase(bigint, text, text, integer, text, text, text, boolean),
    economy.register_user(text, text, jsonb),
    economy.release_escrow(bigint, text, text),
    economy.release_reservation(bigint, text),
    economy.remove_rate_limit(text, text),
    economy.reserve(bigint, text, text, integer, interval, boolean),
    economy.resolve_order(uuid, text, text, text),
    economy.retire_mission(text, text),
    economy.retire_payment_secret(text, integer, text),
    economy.retire_promo_code(text, text),
    economy.retire_season(text, text),
    economy.retry_leaderboard_prizes(text, date, bigint[]),
    economy.revoke_reward(bigint, text, text, text, bigint, bigint, text, text, jsonb),
    economy.season(bigint, text),
    economy.set_daily_rewards(jsonb, text, integer),
    economy.set_default_level_curve(text, text),
    economy.set_payment_provider(jsonb, text),
    economy.set_rate_limit(jsonb, text),
    economy.set_transfer_rules(jsonb, text),
    economy.settle_action(bigint, text, text, bigint, text, jsonb, bigint),
    economy.settlement_lease(text, integer, interval, text),
    economy.settlement_reconcile(text, jsonb, timestamptz, timestamptz),
    economy.settlement_report(uuid, text, text, text, bigint, text, text),
    economy.simulate_draws(jsonb, integer, text),
    economy.spend(bigint, bigint, text, text, jsonb, jsonb, boolean),
    economy.streak_preview(bigint, integer),
    economy.take_rate(text, text, integer),
    economy.transfer(bigint, bigint, text, bigint, jsonb, text, jsonb, boolean),
    economy.unfulfilled(text, integer, interval, text),
    economy.upsert_draw_table(jsonb, text),
    economy.upsert_item(jsonb, text),
    economy.upsert_leaderboard(jsonb, text),
    economy.upsert_promo_code(jsonb, text),
    economy.verify_draw(text, text, bigint, jsonb, bigint),
    economy.verify_webhook(text, jsonb, bytea),
    economy.void_action(bigint, text, text, text),
    economy.webhook(text, jsonb, bytea),
    economy_internal.add_to_promo(text, bigint, integer),
    economy_internal.amounts_sound(jsonb),
    economy_internal.announce_key("char", bigint, text, text),
    economy_internal.apply_report(economy.payment_orders, text, text, text, bigint, text, text, text),
    economy_internal.archive_columns(text, regclass),
    economy_internal.archive_entry(text, regclass),
    economy_internal.audit_boards(),
    economy_internal.audit_draws(bigint, bigint),
    economy_internal.audit_escrows(bigint, bigint),
    economy_internal.audit_holdings(bigint, bigint),
    economy_internal.audit_missions(bigint, bigint),
    economy_internal.audit_orders(),
    economy_internal.audit_places(bigint, bigint),
    economy_internal.audit_prizes(),
    economy_internal.audit_promos(),
    economy_internal.audit_refunds(bigint, bigint),
    economy_internal.audit_seasons(bigint, bigint),
    economy_internal.audit_transfers(bigint, bigint),
    economy_internal.check_contents(jsonb),
    economy_internal.check_daily_rewards(jsonb),
    economy_internal.check_draw_items(jsonb),
    economy_internal.check_draw_table(jsonb),
    economy_internal.check_item(jsonb, text),
    economy_internal.check_leaderboard(jsonb, economy.leaderboards),
    economy_internal.check_mission(jsonb),
    economy_internal.check_mission_condition(text, jsonb),
    economy_internal.check_new_mission(economy.mission_templates),
    economy_internal.check_promo(jsonb, economy.promo_codes),
    economy_internal.check_provider_report(jsonb),
    economy_internal.check_season(jsonb),
    economy_internal.check_season_change(economy.seasons, economy.seasons, timestamptz),
    economy_internal.check_settlement(jsonb),
    economy_internal.claim_contents(jsonb, jsonb),
    economy_internal.claim_is_busy(bigint, text, text),
    economy_internal.claim_missions(jsonb, integer),
    economy_internal.claim_of(bigint, text, text, timestamptz),
    economy_internal.close_reservation(economy.shop_reservations, text, boolean),
    economy_internal.close_round(bigint, text, text),
    economy_internal.close_seasons(jsonb, integer, integer),
    economy_internal.collect_debt(economy.shop_debts, bigint),
    economy_internal.collect_debts(jsonb, integer),
    economy_internal.draw_gives(jsonb, text),
    economy_internal.draw_seed_sound(bigint, bigint, integer, bytea, bytea),
    economy_internal.draw_table_items(jsonb),
    economy_internal.expire_escrow(bigint, text),
    economy_internal.expire_escrows(jsonb, integer),
    economy_internal.expire_orders(integer, jsonb),
    economy_internal.expire_reservations(integer, jsonb),
    economy_internal.forget_rates(jsonb, integer),
    economy_internal.give_back_over(text),
    economy_internal.give_order(bigint, text, text, integer, jsonb, jsonb, smallint),
    economy_internal.give_promo_back(bigint, bigint, jsonb),
    economy_internal.grant_prizes(bigint[], text[], text[], bigint[], bigint[], jsonb[], jsonb[]),
    economy_internal.held_items(jsonb),
    economy_internal.hold_round(bigint, text, bigint, interval, jsonb, jsonb),
    economy_internal.holdings_of(bytea),
    economy_internal.holdings_sound(bytea, boolean),
    economy_internal.item_stays(bigint, bigint),
    economy_internal.items_left(jsonb, jsonb, jsonb),
    economy_internal.items_of(jsonb),
    economy_internal.leaderboard_among(text, date, bigint[]),
    economy_internal.leaderboard_begin(date),
    economy_internal.leaderboard_begun(text, date),
    economy_internal.leaderboard_checksum(text, date),
    economy_internal.leaderboard_close(),
    economy_internal.leaderboard_depth(bigint),
    economy_internal.leaderboard_differences(text[], bigint[], boolean),
    economy_internal.leaderboard_end(date),
    economy_internal.leaderboard_figures(bigint[], text[]),
    economy_internal.leaderboard_fill(integer),
    economy_internal.leaderboard_forget(integer),
    economy_internal.leaderboard_grant(text, date, bigint[], bigint[], bigint[], jsonb[]),
    economy_internal.leaderboard_join(text, date, bigint, bigint),
    economy_internal.leaderboard_journals(),
    economy_internal.leaderboard_look(bigint[], text[]),
    economy_internal.leaderboard_named(text),
    economy_internal.leaderboard_open(text, date, boolean),
    economy_internal.leaderboard_page(text, date, bigint, bigint, integer),
    economy_internal.leaderboard_pay(text, date, bigint[], bigint[], bigint[], jsonb[]),
    economy_internal.leaderboard_pay_again(integer),
    economy_internal.leaderboard_pay_next(economy.leaderboard_periods, integer),
    economy_internal.leaderboard_period(text, date, date, date),
    economy_internal.leaderboard_prize(jsonb, bigint, bigint),
    economy_internal.leaderboard_rank(text, date, bigint),
    economy_internal.leaderboard_read(bigint),
    economy_internal.leaderboard_rows(text, date, bigint, bigint, integer),
    economy_internal.leaderboard_set(text[], date[], bigint[], bigint[]),
    economy_internal.leaderboard_split(text, date, bigint, bigint),
    economy_internal.leaderboard_sums(text[]),
    economy_internal.limited_entries(jsonb),
    economy_internal.lock_order(uuid, boolean),
    economy_internal.lock_provider(text, text),
    economy_internal.lock_round(bigint, text, text),
    economy_internal.mission_condition_of(text, jsonb, bigint, bigint),
    economy_internal.mission_counts(text, text, text),
    economy_internal.mission_current(economy.mission_templates, timestamptz, bigint, integer, bigint),
    economy_internal.mission_differences(bigint[]),
    economy_internal.mission_ends(economy.mission_templates, bigint, bigint),
    economy_internal.mission_figures(text),
    economy_internal.mission_opens(economy.mission_templates, economy.mission_templates),
    economy_internal.mission_period_at(text, timestamptz),
    economy_internal.mission_period_ends(text, bigint),
    economy_internal.mission_period_key(text, integer, bigint),
    economy_internal.mission_period_starts(text, bigint),
    economy_internal.mission_progress_of(bytea, bytea),
    economy_internal.mission_progress_sound(bytea, bytea),
    economy_internal.mission_replay(bigint, integer),
    economy_internal.mission_room(economy.mission_templates[]),
    economy_internal.mission_would_be(economy.mission_templates, timestamptz, timestamptz, bigint[]),
    economy_internal.missions_changed(),
    economy_internal.missions_due(bigint[], timestamptz),
    economy_internal.missions_seen(bigint, timestamptz),
    economy_internal.new_provider(),
    economy_internal.not_settled(economy.holding_result),
    economy_internal.note_step(uuid, timestamptz, text, text, text, text, text, jsonb),
    economy_internal.number_in(jsonb, text),
    economy_internal.order_placed(economy.payment_orders),
    economy_internal.order_step(text, text),
    economy_internal.payment_key(text, text),
    economy_internal.place_order(bigint, text, text, text, integer, bigint, jsonb, jsonb, smallint),
    economy_internal.present_period(bigint, text, timestamptz),
    economy_internal.put_mission(jsonb),
    economy_internal.read_webhook(bytea),
    economy_internal.refund_fulfilment(bigint, bigint, boolean),
    economy_internal.refunded_units(bigint, text),
    economy_internal.refuse_draw_table(text, text),
    economy_internal.refuse_mission(text, text, text),
    economy_internal.refused(anyelement, text, jsonb),
    economy_internal.release_order(economy.payment_orders, boolean),
    economy_internal.require_kept(text, boolean),
    economy_internal.require_text(text, text, integer),
    economy_internal.restock(text, bigint, smallint),
    economy_internal.retry_at(economy.payment_providers, integer, timestamptz),
    economy_internal.return_stock(text, bigint, smallint, boolean),
    economy_internal.rfm_renew(bigint, bigint[], timestamptz, bigint[], text[], bigint),
    economy_internal.round_key(text, text),
    economy_internal.round_of(bigint, text, text),
    economy_internal.running_transactions(),
    economy_internal.season_claim(bigint, economy.seasons, timestamptz),
    economy_internal.season_claim_until(economy.seasons),
    economy_internal.season_holders(text, bigint, bigint, integer),
    economy_internal.season_is_busy(bigint, text),
    economy_internal.season_item_stays(),
    economy_internal.season_items(jsonb),
    economy_internal.season_pay(bigint, text, integer[], text[], jsonb[]),
    economy_internal.season_rewards(bigint, economy.seasons, timestamptz),
    economy_internal.season_seen(bigint, text, timestamptz),
    economy_internal.season_tiers(economy.seasons),
    economy_internal.sent_of(bytea),
    economy_internal.sent_sound(bytea),
    economy_internal.share_upto(bigint, bigint, bigint),
    economy_internal.take_debt(bigint, bigint, text, text),
    economy_internal.take_step(economy.payment_orders, text, text, text, text),
    economy_internal.webhook_report(jsonb),
    economy_internal.with_further_mission_progress(bytea, integer, bigint, bigint, integer, bigint, bytea),
    economy_internal.with_holding(bytea, text, bigint, boolean),
    economy_internal.with_mission_progress(bytea, integer, bigint, bigint, integer, bigint, bytea),
    economy_internal.with_sent(bytea, date, bigint),
    economy_internal.write_order(economy.payment_orders, economy.payment_orders),
    economy_internal.write_promo(economy.promo_codes, economy.promo_codes)
    FROM PUBLIC;

REVOKE ALL ON
    economy.items,
    economy_internal.user_holdings_more,
    economy.user_holdings,
    economy.fulfilments,
    economy.shop_reservations,
    economy.shop_refunds,
    economy.shop_debts,
    economy.promo_codes,
    economy.promo_stock,
    economy.promo_uses,
    economy.daily_rewards,
    economy.leaderboards,
    economy.leaderboard_periods,
    economy.leaderboard_scores,
    economy.leaderboard_refusals,
    economy_internal.leaderboard_buckets,
    economy_internal.leaderboard_queue,
    economy_internal.leaderboard_state,
    economy.holding_changes,
    economy_internal.item_entries,
    economy.transfer_rules,
    economy.draw_tables,
    economy.draw_table_versions,
    economy.draw_seeds,
    economy_internal.draw_pity,
    economy.draw_prizes,
    economy_internal.draw_entries,
    economy.escrows,
    economy.payment_providers,
    economy.payment_secrets,
    economy.payment_orders,
    economy.payment_order_history,
    economy.payment_webhooks,
    economy.payment_order_problems,
    economy.rate_limits,
    economy_internal.rate_taken,
    economy_internal.mission_progress_more,
    economy.mission_templates,
    economy.mission_progress,
    economy.seasons,
    economy_internal.transfer_entries
    FROM PUBLIC;

-- A GRANT in a script would become an initial privilege of the extension, which a dump leaves
-- out; so these are what they were.
DO $$
DECLARE
    f record;
    r record;
    initial aclitem[];
BEGIN
    FOR f IN SELECT (e ->> 'function')::regprocedure AS id, (e ->> 'privileges')::aclitem[] AS acl
             FROM jsonb_array_elements(current_setting('economy_update.privileges')::jsonb) e
    LOOP
        SELECT i.initprivs INTO initial FROM pg_init_privs i
            WHERE i.objoid = f.id AND i.classoid = 'pg_proc'::regclass;
        FOR r IN SELECT a.grantee, a.is_grantable FROM aclexplode(f.acl) a
                 JOIN pg_proc p ON p.oid = f.id AND p.proowner <> a.grantee
        LOOP
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s%s', f.id,
                CASE r.grantee WHEN 0 THEN 'PUBLIC' ELSE r.grantee::regrole::text END,
                CASE WHEN r.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END);
        END LOOP;
        UPDATE pg_init_privs SET initprivs = initial
            WHERE objoid = f.id AND classoid = 'pg_proc'::regclass;
    END LOOP;
END
$$;

SELECT economy_internal.note_schema();
