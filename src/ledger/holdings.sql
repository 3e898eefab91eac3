-- holdings: the items there are, and what users hold of them

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

-- from the account on, as economy.game_stats
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
