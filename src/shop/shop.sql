-- shop: products, stock, purchases, receipts

CREATE TABLE economy.shop_products (
    product_id     text        NOT NULL COLLATE "C" CONSTRAINT shop_products_pkey PRIMARY KEY
        CONSTRAINT shop_products_product_id_check CHECK (octet_length(product_id) BETWEEN 1 AND 64),
    category       text        NOT NULL
        CONSTRAINT shop_products_category_check CHECK (category IN ('conversion', 'item')),
    price_gold     bigint      NOT NULL DEFAULT 0 CONSTRAINT shop_products_price_gold_check
        CHECK (price_gold BETWEEN 0 AND 9007199254740991),
    source_points  bigint      NOT NULL DEFAULT 0 CONSTRAINT shop_products_source_points_check
        CHECK (source_points BETWEEN 0 AND 9007199254740991),
    granted_gold   bigint      NOT NULL DEFAULT 0 CONSTRAINT shop_products_granted_gold_check
        CHECK (granted_gold BETWEEN 0 AND 9007199254740991),
    monetary       bigint      NOT NULL DEFAULT 0 CONSTRAINT shop_products_monetary_check
        CHECK (monetary BETWEEN 0 AND 9007199254740991),
    limit_once     boolean     NOT NULL DEFAULT false,
    per_user_limit integer
        CONSTRAINT shop_products_per_user_limit_check CHECK (per_user_limit > 0),
    limit_period   text        NOT NULL DEFAULT 'ever' COLLATE "C"
        CONSTRAINT shop_products_limit_period_check
        CHECK (limit_period IN ('ever', 'day', 'week', 'month')),
    counted        boolean     NOT NULL DEFAULT false,
    global_key     boolean     NOT NULL DEFAULT false,
    starts_at      timestamptz,
    ends_at        timestamptz,
    active         boolean     NOT NULL DEFAULT true,
    stock_slots    smallint    NOT NULL DEFAULT 0 CONSTRAINT shop_products_stock_slots_check
        CHECK (stock_slots BETWEEN 0 AND 64),
    effect_code    text
        CONSTRAINT shop_products_effect_code_check
        CHECK (octet_length(effect_code) BETWEEN 1 AND 64),
    extra          jsonb       NOT NULL DEFAULT '{}'
        CONSTRAINT shop_products_extra_check CHECK (jsonb_typeof(extra) = 'object'),
    tags           text[]      NOT NULL DEFAULT '{}' COLLATE "C"
        CONSTRAINT shop_products_tags_check CHECK (
            cardinality(tags) <= 16 AND coalesce(array_ndims(tags), 1) = 1
            AND array_position(tags, NULL) IS NULL AND array_position(tags, '') IS NULL
            AND octet_length(array_to_string(tags, '')) <= 512),
    position       integer     NOT NULL DEFAULT 0,
    texts          jsonb       NOT NULL DEFAULT '{}'
        CONSTRAINT shop_products_texts_check CHECK (jsonb_typeof(texts) = 'object'
            AND NOT jsonb_path_exists(texts, 'strict $.* ? (@.type() != "object")')),
    contents       jsonb CONSTRAINT shop_products_contents_check
        CHECK (economy_internal.amounts_sound(contents)),
    price_items    jsonb CONSTRAINT shop_products_price_items_check
        CHECK (economy_internal.amounts_sound(price_items)),
    fulfilment     boolean,
    granted_xp     bigint CONSTRAINT shop_products_granted_xp_check
        CHECK (granted_xp BETWEEN 0 AND 9007199254740991),
    settlement     text COLLATE "C"
        CONSTRAINT shop_products_settlement_check CHECK (octet_length(settlement) BETWEEN 1 AND 64),
    CONSTRAINT shop_products_period_check CHECK (starts_at < ends_at),
    CONSTRAINT shop_products_limits_check CHECK (NOT limit_once OR per_user_limit IS NULL),
    CONSTRAINT shop_products_renewal_check
        CHECK (limit_period = 'ever' OR per_user_limit IS NOT NULL),
    CONSTRAINT shop_products_counted_check CHECK (counted OR per_user_limit IS NULL),
    -- what is no category is refused by the constraint on category
    CONSTRAINT shop_products_amounts_check CHECK (
        CASE category WHEN 'conversion' THEN price_gold = 0
                      WHEN 'item' THEN granted_gold = 0 ELSE true END),
    CONSTRAINT shop_products_settled_check CHECK (settlement IS NULL
        OR (category = 'conversion' AND source_points > 0 AND NOT global_key
            AND price_items IS NULL))
);
SELECT pg_catalog.pg_extension_config_dump('economy.shop_products', '');
COMMENT ON TABLE economy.shop_products IS
    'The catalogue. Changed by upsert_product() and retire_product() only.';
COMMENT ON CONSTRAINT shop_products_product_id_check ON economy.shop_products IS
    'product_id must have 1 to 64 bytes';
COMMENT ON CONSTRAINT shop_products_category_check ON economy.shop_products IS
    'category must be conversion or item';
COMMENT ON CONSTRAINT shop_products_price_gold_check ON economy.shop_products IS
    'price_gold must be from 0 to 2^53-1';
COMMENT ON CONSTRAINT shop_products_source_points_check ON economy.shop_products IS
    'source_points must be from 0 to 2^53-1';
COMMENT ON CONSTRAINT shop_products_granted_gold_check ON economy.shop_products IS
    'granted_gold must be from 0 to 2^53-1';
COMMENT ON CONSTRAINT shop_products_monetary_check ON economy.shop_products IS
    'monetary must be from 0 to 2^53-1';
COMMENT ON CONSTRAINT shop_products_per_user_limit_check ON economy.shop_products IS
    'per_user_limit must be 1 or more';
COMMENT ON CONSTRAINT shop_products_limit_period_check ON economy.shop_products IS
    'limit_period must be ever, day, week or month';
COMMENT ON CONSTRAINT shop_products_stock_slots_check ON economy.shop_products IS
    'stock_slots must be from 0 to 64';
COMMENT ON CONSTRAINT shop_products_effect_code_check ON economy.shop_products IS
    'effect_code must have 1 to 64 bytes';
COMMENT ON CONSTRAINT shop_products_extra_check ON economy.shop_products IS
    'extra must be a JSON object';
COMMENT ON CONSTRAINT shop_products_tags_check ON economy.shop_products IS
    'tags must be up to 16 texts, none empty, of 512 bytes together';
COMMENT ON CONSTRAINT shop_products_texts_check ON economy.shop_products IS
    'texts must be a JSON object of languages, each with an object';
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
COMMENT ON CONSTRAINT shop_products_period_check ON economy.shop_products IS
    'starts_at must be before ends_at';
COMMENT ON CONSTRAINT shop_products_limits_check ON economy.shop_products IS
    'limit_once and per_user_limit exclude each other';
COMMENT ON CONSTRAINT shop_products_renewal_check ON economy.shop_products IS
    'limit_period is that of a per_user_limit, which is not given';
COMMENT ON CONSTRAINT shop_products_amounts_check ON economy.shop_products IS
    'price_gold of a conversion must be 0, and granted_gold of an item';
COMMENT ON COLUMN economy.shop_products.price_gold IS 'item: gold charged per unit.';
COMMENT ON COLUMN economy.shop_products.source_points IS 'conversion: outside points per unit.';
COMMENT ON COLUMN economy.shop_products.granted_gold IS 'conversion: gold granted per unit.';
COMMENT ON COLUMN economy.shop_products.monetary IS
    'Value per unit in minor units of money, for RFM.';
COMMENT ON COLUMN economy.shop_products.per_user_limit IS
    'Units one user may buy in a limit_period; null is no limit.';
COMMENT ON COLUMN economy.shop_products.limit_period IS
    'ever, day, week (from Monday) or month, by UTC.';
COMMENT ON COLUMN economy.shop_products.counted IS
    'It has or had a per_user_limit: what a user buys of it is kept in shop_user_units. '
    'Set by upsert_product(), for ever.';
COMMENT ON COLUMN economy.shop_products.global_key IS
    'An idempotency key buys once for all users together. Fixed when the product is made.';
COMMENT ON COLUMN economy.shop_products.stock_slots IS
    'Number of stock slots; 0 is unlimited stock. Set by add_stock().';
COMMENT ON COLUMN economy.shop_products.effect_code IS
    'item: what the app applies after the purchase.';
COMMENT ON COLUMN economy.shop_products.tags IS 'What products() can be asked for.';
COMMENT ON COLUMN economy.shop_products.position IS
    'Place in the shop, the lowest first; those of one place by product_id.';
COMMENT ON COLUMN economy.shop_products.texts IS
    'What is shown, by language: {"en": {"name": "Sword"}, "de": {"name": "Schwert"}}.';
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

CREATE TABLE economy.shop_stock (
    product_id text     NOT NULL COLLATE "C",
    slot       smallint NOT NULL,
    remaining  bigint   NOT NULL CONSTRAINT shop_stock_remaining_check CHECK (remaining >= 0),
    CONSTRAINT shop_stock_pkey PRIMARY KEY (product_id, slot)
) WITH (fillfactor = 50);
SELECT pg_catalog.pg_extension_config_dump('economy.shop_stock', '');
COMMENT ON TABLE economy.shop_stock IS
    'Units left of limited products, spread over slots so that buyers do not queue on one row.';

CREATE TABLE economy_internal.shop_user_units_more (
    user_id     bigint NOT NULL,
    product_id  text   NOT NULL COLLATE "C",
    units       bigint NOT NULL,
    day_units   bigint NOT NULL,
    week_units  bigint NOT NULL,
    month_units bigint NOT NULL,
    last_on     date   NOT NULL
        CONSTRAINT shop_user_units_more_last_on_check CHECK (isfinite(last_on)),
    CONSTRAINT shop_user_units_more_pkey PRIMARY KEY (user_id, product_id),
    -- what stands in a shorter period stands in a longer one, unless that is over and left out
    CONSTRAINT shop_user_units_more_check CHECK (units > 0 AND least(day_units, week_units,
        month_units) >= 0 AND greatest(day_units, week_units, month_units) <= units
        AND (week_units = 0 OR week_units >= day_units)
        AND (month_units = 0 OR month_units >= day_units))
) WITH (fillfactor = 70);
SELECT pg_catalog.pg_extension_config_dump('economy_internal.shop_user_units_more', '');
COMMENT ON TABLE economy_internal.shop_user_units_more IS
    'Units of products for which there was no room in the account of their user.';

CREATE FUNCTION economy_internal.units_of(sections bytea) RETURNS TABLE (
    product_id text, units bigint, day_units bigint, week_units bigint, month_units bigint,
    last_on date
)
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 4 AS 'MODULE_PATHNAME', 'eco_units_of';
COMMENT ON FUNCTION economy_internal.units_of(bytea) IS
    'Units of products that stand in an account; of what is damaged those in front of it.';

CREATE FUNCTION economy_internal.units_sound(sections bytea, further boolean) RETURNS boolean
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_user_units_sound';
COMMENT ON FUNCTION economy_internal.units_sound(bytea, boolean) IS
    'Whether the units of products in an account can be read, and say that there are further '
    'ones in shop_user_units_more if, and only if, there are.';

CREATE FUNCTION economy_internal.with_units(
    sections bytea, product_id text, units bigint, day_units bigint, week_units bigint,
    month_units bigint, last_on date
) RETURNS bytea
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_with_units';
COMMENT ON FUNCTION economy_internal.with_units(
    bytea, text, bigint, bigint, bigint, bigint, date) IS
    'An account''s sections with other units of a product, or without it when units is null: for '
    'who corrects units that the audit found to be wrong. What is taken out is counted again.';

-- from the account on, as economy.game_stats
CREATE VIEW economy_internal.shop_user_units AS
    SELECT a.user_id, u.product_id, u.units, u.day_units, u.week_units, u.month_units, u.last_on
    FROM economy.accounts a CROSS JOIN LATERAL (
        SELECT p.product_id COLLATE "C" AS product_id, p.units, p.day_units, p.week_units,
               p.month_units, p.last_on
        FROM economy_internal.units_of(a.sections) p
        UNION ALL
        SELECT m.product_id, m.units, m.day_units, m.week_units, m.month_units, m.last_on
        FROM economy_internal.shop_user_units_more m WHERE m.user_id = a.user_id) u;
COMMENT ON VIEW economy_internal.shop_user_units IS
    'Units per user and counted product: ever, and in the UTC day, week and month of last_on, '
    'the date of the newest purchase; 0 when that was over as the account was written.';

CREATE TABLE economy_internal.shop_keys (
    product_id      text   NOT NULL COLLATE "C",
    idempotency_key text   NOT NULL COLLATE "C",
    user_id         bigint NOT NULL,
    seq             bigint NOT NULL,
    CONSTRAINT shop_keys_pkey PRIMARY KEY (product_id, idempotency_key)
);
SELECT pg_catalog.pg_extension_config_dump('economy_internal.shop_keys', '');
COMMENT ON TABLE economy_internal.shop_keys IS
    'Which purchase used a key of a product with global_key.';

CREATE VIEW economy.shop_product_changes AS
    SELECT c.change_id, c.key AS product_id, c.action, c.actor, c.before, c.after, c.units,
           c.changed_at
    FROM economy.config_changes c WHERE c.relation = 'shop_products';
COMMENT ON VIEW economy.shop_product_changes IS
    'Every change of the catalogue and every stock delivery, with actor, '
    'before and after: those of config_changes.';

CREATE TABLE economy.shop_transactions (
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
    monetary          bigint      NOT NULL,
    quantity          integer     NOT NULL
        CONSTRAINT shop_transactions_quantity_check CHECK (quantity > 0),
    receipt_signature_version integer NOT NULL,
    hash_algo_version smallint    NOT NULL,
    stock_slot        smallint,
    live              boolean     NOT NULL,
    hash              bytea       NOT NULL,
    receipt_signature bytea       NOT NULL,
    category          text        NOT NULL COLLATE "C",
    status            text        NOT NULL COLLATE "C" CONSTRAINT shop_transactions_status_check
        CHECK (status IN ('SUCCESS', 'PENDING')),
    product_id        text        NOT NULL COLLATE "C",
    idempotency_key   text        NOT NULL COLLATE "C",
    effect_code       text,
    context           jsonb,
    items             jsonb,
    CONSTRAINT shop_transactions_pkey PRIMARY KEY (user_id, seq)
);
-- no two are equal but by accident, and nothing is gained by looking for such
CREATE INDEX shop_transactions_key ON economy.shop_transactions (user_id, key_digest)
    WITH (deduplicate_items = off);
SELECT economy_internal.make_journal('economy.shop_transactions');
COMMENT ON TABLE economy.shop_transactions IS 'Journal of purchases. Append-only.';
COMMENT ON COLUMN economy.shop_transactions.key_digest IS
    'Digest of product_id and idempotency_key, by which the index finds them.';
COMMENT ON COLUMN economy.shop_transactions.stock_slot IS
    'Slot the units were taken from; null for products without stock.';
COMMENT ON COLUMN economy.shop_transactions.items IS
    'Items that it cost and gave, as in holding_changes; null: none.';
COMMENT ON COLUMN economy.shop_transactions.monetary IS
    'Value of the whole purchase in minor units of money.';
COMMENT ON COLUMN economy.shop_transactions.receipt_signature IS
    'HMAC-SHA256 of the entry''s hash by the key of receipt_signature_version.';

CREATE TYPE economy.purchase_result AS (
    success              boolean,
    state                text,
    code                 text,
    transaction_id       text,
    quantity             integer,
    gold_delta           bigint,
    gold                 bigint,
    stock_remaining      bigint,
    user_limit_remaining bigint,
    retry_after_ms       integer,
    detail               jsonb,
    items                jsonb
);
COMMENT ON TYPE economy.purchase_result IS 'Result of purchase() and purchases().';

CREATE FUNCTION economy.purchase(
    user_id bigint, product_id text, idempotency_key text, quantity integer DEFAULT 1,
    context jsonb DEFAULT NULL, dry_run boolean DEFAULT false
) RETURNS economy.purchase_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_purchase';
COMMENT ON FUNCTION economy.purchase(bigint, text, text, integer, jsonb, boolean) IS
    'Buys quantity units, once per (user, product, idempotency key); '
    'a retry returns the first result with state reuse. '
    'Refusals are returned as a row with a code.';

CREATE FUNCTION economy.purchase_code(
    user_id bigint, product_id text, idempotency_key text, quantity integer DEFAULT 1,
    context jsonb DEFAULT NULL, dry_run boolean DEFAULT false
) RETURNS text
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_purchase';
COMMENT ON FUNCTION economy.purchase_code(bigint, text, text, integer, jsonb, boolean) IS
    'purchase(), of whose result it returns the code alone.';

CREATE FUNCTION economy.purchases(purchases jsonb) RETURNS SETOF economy.purchase_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_purchases_many';
COMMENT ON FUNCTION economy.purchases(jsonb) IS
    'purchase() for an array of up to 8,190 objects with the keys user_id, product_id, '
    'idempotency_key, quantity, context, in one transaction; a row per element in their order. '
    'A refused purchase does not stop the others.';

CREATE FUNCTION economy.purchases(
    user_ids bigint[], product_ids text[], idempotency_keys text[],
    quantities integer[] DEFAULT NULL, contexts jsonb[] DEFAULT NULL
) RETURNS SETOF economy.purchase_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_purchases_many';
COMMENT ON FUNCTION economy.purchases(bigint[], text[], text[], integer[], jsonb[]) IS
    'The same with arrays of as many elements each.';

CREATE TYPE economy.receipt_check AS (valid boolean, reason text);
COMMENT ON TYPE economy.receipt_check IS
    'Result of economy.verify_receipt(): OK, or the reason why the receipt is not valid.';

CREATE FUNCTION economy.verify_receipt(user_id bigint, transaction_id text)
    RETURNS economy.receipt_check
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_verify_receipt';
COMMENT ON FUNCTION economy.verify_receipt(bigint, text) IS
    'Checks a purchase against its place in the chain and its signature. Reasons: OK, '
    'NOT_FOUND, ARCHIVED, ENTRY_CHANGED, CHAIN_BROKEN, WRONG_SIGNATURE, UNKNOWN_KEY, '
    'KEY_RETIRED, UNKNOWN_HASH_ALGORITHM.';

CREATE TYPE economy.purchase_receipt AS (
    product_id                text,
    category                  text,
    quantity                  integer,
    gold_delta                bigint,
    gold                      bigint,
    monetary                  bigint,
    status                    text,
    effect_code               text,
    created_at                timestamptz,
    hash                      text,
    hash_algo_version         smallint,
    receipt_signature         text,
    receipt_signature_version integer,
    items                     jsonb
);
COMMENT ON TYPE economy.purchase_receipt IS 'The signed receipt of a purchase.';

CREATE FUNCTION economy.receipt(user_id bigint, transaction_id text)
    RETURNS SETOF economy.purchase_receipt
    LANGUAGE c STABLE PARALLEL SAFE ROWS 1 AS 'MODULE_PATHNAME', 'eco_receipt';
COMMENT ON FUNCTION economy.receipt(bigint, text) IS
    'The signed receipt of a purchase, or no row. hash and receipt_signature are hexadecimal.';

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

-- The catalogue

CREATE FUNCTION economy_internal.require_actor(actor text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM economy_internal.require_given('actor', actor IS NOT NULL);
    IF octet_length(actor) NOT BETWEEN 1 AND 255 THEN
        RAISE EXCEPTION 'actor must have 1 to 255 bytes' USING ERRCODE = 'XE002';
    END IF;
END
$$;
COMMENT ON FUNCTION economy_internal.require_actor(text) IS
    'Raises XE001 or XE002 unless the text can name who makes a change.';

-- A new product as upsert_product() begins with it; price_gold and granted_gold are asked for.
CREATE FUNCTION economy_internal.new_product() RETURNS economy.shop_products
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT jsonb_populate_record(NULL::economy.shop_products,
            '{"price_gold": 0, "source_points": 0, "granted_gold": 0, "monetary": 0,
              "limit_once": false, "limit_period": "ever", "counted": false,
              "global_key": false, "active": true, "stock_slots": 0, "extra": {},
              "tags": [], "position": 0, "texts": {}}');
    END;
COMMENT ON FUNCTION economy_internal.new_product() IS 'The defaults of a product.';

CREATE FUNCTION economy_internal.check_product(product jsonb, old_row economy.shop_products)
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
COMMENT ON FUNCTION economy_internal.check_product(jsonb, economy.shop_products) IS
    'What is wrong with a product given to upsert_product(), beyond what the constraints of '
    'shop_products say; null when nothing is.';

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

CREATE FUNCTION economy.upsert_product(product jsonb, actor text) RETURNS economy.shop_products
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
COMMENT ON FUNCTION economy.upsert_product(jsonb, text) IS
    'Creates a product, or changes the given columns of one; keys are the column names of '
    'shop_products. Recorded with actor, before and after. XE301 for a product that is not valid.';

CREATE FUNCTION economy_internal.lock_product(product_id text, actor text)
    RETURNS economy.shop_products
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    result economy.shop_products;
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.require_given('product_id', product_id IS NOT NULL);
    PERFORM economy_internal.open_tables('shop_products', 'shop_stock');
    SELECT * INTO result FROM economy.shop_products p
        WHERE p.product_id = lock_product.product_id FOR NO KEY UPDATE;
    IF NOT found THEN
        RAISE EXCEPTION 'product "%" does not exist', product_id USING ERRCODE = 'XE302';
    END IF;
    RETURN result;
END
$$;
COMMENT ON FUNCTION economy_internal.lock_product(text, text) IS
    'The product that an actor is about to change; XE302 for an unknown one.';

CREATE FUNCTION economy.retire_product(product_id text, actor text) RETURNS economy.shop_products
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    new_row economy.shop_products;
BEGIN
    PERFORM economy_internal.lock_product(product_id, actor);
    UPDATE economy.shop_products p SET active = false
        WHERE p.product_id = retire_product.product_id RETURNING * INTO new_row;
    PERFORM economy.note_change('shop_products', product_id, 'retire', actor);
    RETURN new_row;
END
$$;
COMMENT ON FUNCTION economy.retire_product(text, text) IS
    'Takes a product off sale; its purchases and receipts stay. XE302 for an unknown product.';

-- Stock. A buyer waits for a slot that somebody holds, so whoever delivers holds none
-- while he waits for another: the slots that are free take the whole delivery. Whoever
-- takes away, and finds too little in the free ones, lets go of them, which a rolled
-- back block does, waits with empty hands, and looks again.

CREATE FUNCTION economy_internal.change_free_stock(product_id text, units bigint) RETURNS smallint[]
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    free smallint[];
    have bigint;
BEGIN
    SELECT array_agg(t.slot ORDER BY t.slot), sum(t.remaining) INTO free, have
        FROM (SELECT s.slot, s.remaining FROM economy.shop_stock s
              WHERE s.product_id = change_free_stock.product_id
              FOR NO KEY UPDATE SKIP LOCKED) t;
    IF have + units >= 0 THEN
        -- even out: every slot gets its share of what there is now
        UPDATE economy.shop_stock s SET
                remaining = (have + units) / cardinality(free)
                    + (f.place <= (have + units) % cardinality(free))::integer
            FROM unnest(free) WITH ORDINALITY f (slot, place)
            WHERE s.product_id = change_free_stock.product_id AND s.slot = f.slot;
        RETURN NULL;
    END IF;
    RETURN coalesce(free, '{}');
END
$$;
COMMENT ON FUNCTION economy_internal.change_free_stock(text, bigint) IS
    'Part of add_stock(): changes the slots that nobody holds by so many units; '
    'or returns them, when they hold too little.';

CREATE FUNCTION economy_internal.take_stock_away(product_id text, units bigint) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    free smallint[];
    have bigint;
    busy smallint;
BEGIN
    LOOP
        BEGIN
            free := economy_internal.change_free_stock(product_id, -units);
            IF free IS NULL THEN
                RETURN;
            END IF;
            RAISE EXCEPTION USING ERRCODE = 'EC000', MESSAGE = 'nothing may stay locked';
        EXCEPTION WHEN SQLSTATE 'EC000' THEN
            NULL;
        END;
        SELECT coalesce(sum(s.remaining), 0), min(s.slot) FILTER (WHERE s.slot <> ALL (free))
            INTO have, busy
            FROM economy.shop_stock s WHERE s.product_id = take_stock_away.product_id;
        IF have < units THEN
            RAISE EXCEPTION 'stock of "%" cannot change by %', product_id, -units
                USING ERRCODE = 'XE303',
                DETAIL = format('It holds %s units; a stock is from 0 to 2^53-1.', have);
        END IF;
        BEGIN
            PERFORM FROM economy.shop_stock s
                WHERE s.product_id = take_stock_away.product_id AND s.slot = busy
                FOR NO KEY UPDATE;
            RAISE EXCEPTION USING ERRCODE = 'EC000', MESSAGE = 'nothing may stay locked';
        EXCEPTION WHEN SQLSTATE 'EC000' THEN
            NULL;
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION economy_internal.take_stock_away(text, bigint) IS
    'Part of add_stock(): takes units away without holding a slot while it waits for another.';

CREATE FUNCTION economy.add_stock(
    product_id text, units bigint, actor text, slots integer DEFAULT 32
) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    SET TimeZone = 'UTC'
    SET DateStyle = 'ISO, MDY' AS $$
DECLARE
    old_row economy.shop_products;
    new_row economy.shop_products;
    total   bigint;
BEGIN
    PERFORM economy_internal.require_given('units', units IS NOT NULL);
    PERFORM economy_internal.require_given('slots', slots IS NOT NULL);
    IF units NOT BETWEEN -9007199254740991 AND 9007199254740991 THEN
        RAISE EXCEPTION 'units must be a number up to 2^53-1' USING ERRCODE = 'XE303';
    END IF;
    IF slots NOT BETWEEN 1 AND 64 THEN
        RAISE EXCEPTION 'slots must be 1 to 64' USING ERRCODE = 'XE303';
    END IF;
    old_row := economy_internal.lock_product(product_id, actor);
    new_row := old_row;
    IF old_row.stock_slots = 0 THEN
        SELECT sum(t.remaining), count(*) INTO total, new_row.stock_slots
            FROM economy.shop_stock t WHERE t.product_id = add_stock.product_id;
        IF new_row.stock_slots = 0 THEN
            new_row.stock_slots := slots;
            INSERT INTO economy.shop_stock
                SELECT add_stock.product_id, n, 0 FROM generate_series(0, slots - 1) n;
        ELSE
            -- it was limited before: what was left then is not for sale again
            PERFORM FROM economy.shop_stock t WHERE t.product_id = add_stock.product_id
                ORDER BY t.slot FOR NO KEY UPDATE;
            SELECT sum(t.remaining) INTO total
                FROM economy.shop_stock t WHERE t.product_id = add_stock.product_id;
            UPDATE economy.shop_stock t SET remaining = 0
                WHERE t.product_id = add_stock.product_id;
            PERFORM economy.note_change(
                'shop_products', product_id, 'stock', actor, -total);
        END IF;
        UPDATE economy.shop_products p SET stock_slots = new_row.stock_slots
            WHERE p.product_id = add_stock.product_id;
    END IF;
    -- buyers can only make the total less before it is changed
    SELECT sum(t.remaining) INTO total
        FROM economy.shop_stock t WHERE t.product_id = add_stock.product_id;
    IF total + units > 9007199254740991 THEN
        RAISE EXCEPTION 'stock of "%" cannot change by %', product_id, units
            USING ERRCODE = 'XE303',
            DETAIL = format('It holds %s units; a stock is from 0 to 2^53-1.', total);
    END IF;
    IF units < 0 THEN
        PERFORM economy_internal.take_stock_away(product_id, -units);
    ELSIF economy_internal.change_free_stock(product_id, units) IS NOT NULL THEN
        -- when none is free, one is enough to wait for, and to deliver to
        UPDATE economy.shop_stock t SET remaining = t.remaining + units
            WHERE t.product_id = add_stock.product_id AND t.slot = 0;
        IF NOT found THEN
            RAISE EXCEPTION 'product "%" is limited and has no slot 0', product_id
                USING ERRCODE = 'XE103',
                HINT = 'Rows of economy.shop_stock were removed by hand. '
                       'economy.audit_sweep() says what is missing.';
        END IF;
    END IF;
    PERFORM economy.note_change('shop_products', product_id, 'stock', actor, units);
    SELECT sum(t.remaining) INTO total
        FROM economy.shop_stock t WHERE t.product_id = add_stock.product_id;
    RETURN total;
END
$$;
COMMENT ON FUNCTION economy.add_stock(text, bigint, text, integer) IS
    'Adds units to a product''s stock (negative: takes unsold ones away) and returns what is left '
    'to sell. The first call makes the product limited, with that many slots. '
    'XE303 when the stock would be negative.';

CREATE FUNCTION economy.remove_stock(product_id text, actor text) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    product CONSTANT economy.shop_products := economy_internal.lock_product(product_id, actor);
BEGIN
    IF product.stock_slots = 0 THEN
        RAISE EXCEPTION 'product "%" has no stock', product_id
            USING ERRCODE = 'XE303', HINT = 'It is sold without limit.';
    END IF;
    -- the slots stay as they are: nobody needs to wait for those who buy just now
    UPDATE economy.shop_products p SET stock_slots = 0
        WHERE p.product_id = remove_stock.product_id;
    PERFORM economy.note_change('shop_products', product_id, 'change', actor);
    RETURN (SELECT sum(t.remaining) FROM economy.shop_stock t
            WHERE t.product_id = remove_stock.product_id);
END
$$;
COMMENT ON FUNCTION economy.remove_stock(text, text) IS
    'Makes a limited product unlimited again and returns the units that were '
    'left, which are not sold any more: the next add_stock() begins with '
    'none. XE303 when it has no stock.';
