-- complain if the script is sourced in psql rather than run by CREATE EXTENSION
\echo Use "CREATE EXTENSION economy" to load this file. \quit

SET LOCAL search_path TO pg_catalog, pg_temp;
SET LOCAL client_min_messages TO warning;

CREATE SCHEMA economy;
COMMENT ON SCHEMA economy IS 'The economy of a game or app; see economy.access_list() for what may be called.';
-- ledger: accounts, the journals' common ground, signing keys

CREATE SEQUENCE economy.user_id_seq AS bigint;
COMMENT ON SEQUENCE economy.user_id_seq IS 'Counter part of user ids; the node id stands above it.';
SELECT pg_catalog.pg_extension_config_dump('economy.user_id_seq', '');

CREATE TABLE economy.accounts (
    user_id           bigint  NOT NULL CONSTRAINT accounts_pkey PRIMARY KEY,
    seq               bigint  NOT NULL DEFAULT 0 CONSTRAINT accounts_seq_check CHECK (seq >= 0),
    gold              bigint  NOT NULL DEFAULT 0
        CONSTRAINT accounts_gold_check CHECK (gold >= 0 AND gold <= 9007199254740991),
    experience_points bigint  NOT NULL DEFAULT 0
        CONSTRAINT accounts_xp_check CHECK (experience_points >= 0 AND experience_points <= 9007199254740991),
    suspended         boolean NOT NULL DEFAULT false,
    streak_freezes    integer NOT NULL DEFAULT 0 CONSTRAINT accounts_streak_freezes_check CHECK (streak_freezes >= 0),
    pruned_seq        bigint  NOT NULL DEFAULT 0 CONSTRAINT accounts_pruned_seq_check CHECK (pruned_seq BETWEEN 0 AND seq),
    head_hash         bytea   NOT NULL DEFAULT '\x0000000000000000000000000000000000000000000000000000000000000000'
        CONSTRAINT accounts_head_hash_check CHECK (octet_length(head_hash) = 32)
) WITH (fillfactor = 50);
ALTER TABLE economy.accounts ALTER COLUMN head_hash SET STORAGE PLAIN;
SELECT pg_catalog.pg_extension_config_dump('economy.accounts', '');
COMMENT ON TABLE economy.accounts IS 'The one hot row per user: newest seq, balances and head of the hash chain. Only the functions write it.';
COMMENT ON COLUMN economy.accounts.seq IS 'Number of the newest entry; 0 before the first.';
COMMENT ON COLUMN economy.accounts.gold IS 'Gold after the newest entry, 0 to 2^53-1.';
COMMENT ON COLUMN economy.accounts.experience_points IS 'XP after the newest entry, 0 to 2^53-1.';
COMMENT ON COLUMN economy.accounts.suspended IS 'Status of the user, here because every call that must see it holds this row''s lock.';
COMMENT ON COLUMN economy.accounts.streak_freezes IS 'Streak freezes held: bought minus used up.';
COMMENT ON COLUMN economy.accounts.pruned_seq IS 'Actions up to this entry may have been pruned, behind the user''s stream checkpoint; 0 before the first prune.';
COMMENT ON COLUMN economy.accounts.head_hash IS 'Hash of the newest entry; 32 zero bytes before the first.';

CREATE TABLE economy.signing_keys (
    version    integer     NOT NULL CONSTRAINT signing_keys_pkey PRIMARY KEY CHECK (version > 0),
    state      text        NOT NULL COLLATE "C"
        CONSTRAINT signing_keys_state_check CHECK (state IN ('next', 'active', 'verify_only', 'retired')),
    material   bytea       NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX signing_keys_state_idx ON economy.signing_keys (state);
SELECT pg_catalog.pg_extension_config_dump('economy.signing_keys', '');
COMMENT ON TABLE economy.signing_keys IS 'Keys that sign receipts, made by the server. A dump contains them: guard it.';

CREATE FUNCTION economy.now() RETURNS timestamptz
    LANGUAGE c VOLATILE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'eco_clock';
COMMENT ON FUNCTION economy.now() IS 'The moment all rules use: the server''s clock, or economy.test_clock.';

CREATE FUNCTION economy.require_given(argument text, given boolean) RETURNS void
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_require_given';
COMMENT ON FUNCTION economy.require_given(text, boolean) IS 'Raises XE001, that the argument must not be null, unless it is given.';

CREATE FUNCTION economy.forbid_change() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'eco_forbid_change';
COMMENT ON FUNCTION economy.forbid_change() IS 'Trigger of the journals: refuses UPDATE, DELETE and TRUNCATE with XE101.';

CREATE TYPE economy.finding AS (
    user_id  bigint,
    kind     text,
    expected text,
    actual   text,
    entry    text,
    seq      bigint
);
COMMENT ON TYPE economy.finding IS 'One thing that is wrong: whose, of what kind, what should be and what is, and in which entry.';

CREATE FUNCTION economy.verify_chain(user_id bigint) RETURNS SETOF economy.finding
    LANGUAGE c STABLE PARALLEL SAFE ROWS 1 AS 'MODULE_PATHNAME', 'eco_verify_chain';
COMMENT ON FUNCTION economy.verify_chain(bigint) IS
    'Recomputes a user''s whole stream (sequence, balances, hash chain, signatures, account row) and returns a row per finding; none means clean.';

CREATE FUNCTION economy.rotate_signing_key() RETURNS integer
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_rotate_signing_key';
COMMENT ON FUNCTION economy.rotate_signing_key() IS
    'Makes a new signing key the active one and returns its version; receipts of the old one stay verifiable.';

CREATE FUNCTION economy.retire_signing_key(version integer) RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_retire_signing_key';
COMMENT ON FUNCTION economy.retire_signing_key(integer) IS
    'Destroys the material of a key that no longer signs; its receipts answer KEY_RETIRED from then on. False when the version is not verify_only.';

-- DROP EXTENSION: being called loads the library, whose hook does the check
CREATE FUNCTION economy.guard_drop() RETURNS event_trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'eco_guard_drop';
COMMENT ON FUNCTION economy.guard_drop() IS 'Arms the guard that refuses to drop journals that hold rows (XE102).';
CREATE EVENT TRIGGER economy_guard_drop ON ddl_command_start
    WHEN TAG IN ('DROP EXTENSION', 'DROP OWNED', 'DROP SCHEMA', 'DROP TABLE')
    EXECUTE FUNCTION economy.guard_drop();
COMMENT ON EVENT TRIGGER economy_guard_drop IS 'Loads the library before a command that could drop a journal.';
-- identity: users, time zones, status, invite codes

CREATE FUNCTION economy.next_user_id() RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_next_user_id';
COMMENT ON FUNCTION economy.next_user_id() IS 'Next user id: economy.node_id above 41 bits of counter, below 2^53.';

CREATE FUNCTION economy.timezone_name(name text) RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_timezone_name';
COMMENT ON FUNCTION economy.timezone_name(text) IS
    'The IANA time zone in its proper spelling; raises XE201 for anything else, POSIX rules included.';

CREATE TABLE economy.users (
    user_id     bigint      NOT NULL DEFAULT economy.next_user_id() CONSTRAINT users_pkey PRIMARY KEY,
    external_id text        COLLATE "C" CONSTRAINT users_external_id_key UNIQUE
        CONSTRAINT users_external_id_check CHECK (octet_length(external_id) BETWEEN 1 AND 255),
    timezone    text        NOT NULL,
    profile     jsonb       NOT NULL CONSTRAINT users_profile_check
        CHECK (jsonb_typeof(profile) = 'object' AND octet_length(profile::text) <= 4096),
    created_at  timestamptz NOT NULL
);
SELECT pg_catalog.pg_extension_config_dump('economy.users', '');
COMMENT ON TABLE economy.users IS 'Registered users. Their status is economy.accounts.suspended.';

CREATE TABLE economy.invite_codes (
    code       text        NOT NULL COLLATE "C" CONSTRAINT invite_codes_pkey PRIMARY KEY
        CONSTRAINT invite_codes_code_check CHECK (octet_length(code) BETWEEN 1 AND 64),
    note       text,
    created_at timestamptz NOT NULL
);
SELECT pg_catalog.pg_extension_config_dump('economy.invite_codes', '');
COMMENT ON TABLE economy.invite_codes IS 'Invite codes that an app may ask its new users for.';

CREATE TABLE economy.user_status_changes (
    change_id  bigint      GENERATED ALWAYS AS IDENTITY CONSTRAINT user_status_changes_pkey PRIMARY KEY,
    user_id    bigint      NOT NULL,
    status     text        NOT NULL CONSTRAINT user_status_changes_status_check CHECK (status IN ('active', 'suspended')),
    actor      text        NOT NULL,
    changed_at timestamptz NOT NULL
);
SELECT pg_catalog.pg_extension_config_dump('economy.user_status_changes', '');
SELECT pg_catalog.pg_extension_config_dump('economy.user_status_changes_change_id_seq', '');
COMMENT ON TABLE economy.user_status_changes IS 'Who suspended or reactivated whom, and when.';
COMMENT ON SEQUENCE economy.user_status_changes_change_id_seq IS 'Numbers of user_status_changes.';


CREATE FUNCTION economy.register(external_id text DEFAULT NULL, timezone text DEFAULT 'UTC', profile jsonb DEFAULT '{}')
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    zone text;
    id   bigint;
BEGIN
    PERFORM economy.require_given('timezone', timezone IS NOT NULL);
    PERFORM economy.require_given('profile', profile IS NOT NULL);
    IF octet_length(external_id) NOT BETWEEN 1 AND 255 THEN
        RAISE EXCEPTION 'external_id must have 1 to 255 bytes' USING ERRCODE = 'XE003';
    END IF;
    IF jsonb_typeof(profile) <> 'object' THEN
        RAISE EXCEPTION 'profile must be a JSON object' USING ERRCODE = 'XE002';
    END IF;
    IF octet_length(profile::text) > 4096 THEN
        RAISE EXCEPTION 'profile is too long' USING ERRCODE = 'XE003',
            DETAIL = format('It has %s bytes as text; at most 4096 are allowed.', octet_length(profile::text));
    END IF;
    zone := economy.timezone_name(timezone);
    IF external_id IS NOT NULL THEN
        SELECT u.user_id INTO id FROM economy.users u WHERE u.external_id = register.external_id;
        IF found THEN
            RETURN id;
        END IF;
    END IF;
    INSERT INTO economy.users AS u (external_id, timezone, profile, created_at)
        VALUES (external_id, zone, profile, economy.now())
        ON CONFLICT ON CONSTRAINT users_external_id_key DO NOTHING
        RETURNING u.user_id INTO id;
    IF NOT found THEN
        -- somebody registered the same external_id between our look and our insert
        SELECT u.user_id INTO STRICT id FROM economy.users u WHERE u.external_id = register.external_id;
        RETURN id;
    END IF;
    INSERT INTO economy.accounts (user_id) VALUES (id);
    RETURN id;
END
$$;
COMMENT ON FUNCTION economy.register(text, text, jsonb) IS
    'Registers a user and returns the user_id; the same external_id returns the same user and changes nothing.';

CREATE FUNCTION economy.user_id_of(external_id text) RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT u.user_id FROM economy.users u WHERE u.external_id = user_id_of.external_id;
    END;
COMMENT ON FUNCTION economy.user_id_of(text) IS 'The user with this external_id, or null.';

CREATE FUNCTION economy.set_timezone(user_id bigint, timezone text) RETURNS text
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    zone   text;
    before text;
BEGIN
    PERFORM economy.require_given('user_id', user_id IS NOT NULL);
    PERFORM economy.require_given('timezone', timezone IS NOT NULL);
    zone := economy.timezone_name(timezone);
    SELECT u.timezone INTO before FROM economy.users u WHERE u.user_id = set_timezone.user_id FOR NO KEY UPDATE;
    IF NOT found THEN
        RAISE EXCEPTION 'user % does not exist', user_id USING ERRCODE = 'XE202',
            HINT = 'Users are made by economy.register().';
    END IF;
    IF before <> zone THEN
        UPDATE economy.users u SET timezone = zone WHERE u.user_id = set_timezone.user_id;
        PERFORM economy.publish_profile(user_id, 'timezone', before, zone);
    END IF;
    RETURN zone;
END
$$;
COMMENT ON FUNCTION economy.set_timezone(bigint, text) IS
    'Sets the user''s IANA time zone and returns its proper spelling; XE201 for no zone, XE202 for no user.';

CREATE FUNCTION economy.set_suspended(user_id bigint, suspended boolean) RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_set_suspended';
COMMENT ON FUNCTION economy.set_suspended(bigint, boolean) IS
    'Writes the flag under the account lock; economy.set_user_status() is the way in.';

CREATE FUNCTION economy.set_user_status(user_id bigint, status text, actor text) RETURNS text
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    suspended boolean;
BEGIN
    PERFORM economy.require_given('user_id', user_id IS NOT NULL);
    PERFORM economy.require_given('status', status IS NOT NULL);
    PERFORM economy.require_given('actor', actor IS NOT NULL);
    IF status NOT IN ('active', 'suspended') THEN
        RAISE EXCEPTION 'status must be active or suspended' USING ERRCODE = 'XE002';
    END IF;
    IF octet_length(actor) NOT BETWEEN 1 AND 255 THEN
        RAISE EXCEPTION 'actor must have 1 to 255 bytes' USING ERRCODE = 'XE002';
    END IF;
    SELECT a.suspended INTO suspended FROM economy.accounts a WHERE a.user_id = set_user_status.user_id FOR NO KEY UPDATE;
    IF NOT found THEN
        RAISE EXCEPTION 'user % does not exist', user_id USING ERRCODE = 'XE202',
            HINT = 'Users are made by economy.register().';
    END IF;
    PERFORM economy.set_suspended(user_id, status = 'suspended');
    IF suspended <> (status = 'suspended') THEN
        PERFORM economy.publish_profile(user_id, 'status', CASE WHEN suspended THEN 'suspended' ELSE 'active' END, status);
    END IF;
    INSERT INTO economy.user_status_changes (user_id, status, actor, changed_at)
        VALUES (user_id, status, actor, economy.now());
    RETURN status;
END
$$;
COMMENT ON FUNCTION economy.set_user_status(bigint, text, text) IS
    'Suspends or reactivates a user, recorded with actor. A suspended user''s calls are refused with USER_SUSPENDED.';
-- shop: products, stock, purchases, receipts

CREATE TABLE economy.shop_products (
    product_id     text        NOT NULL COLLATE "C" CONSTRAINT shop_products_pkey PRIMARY KEY
        CONSTRAINT shop_products_product_id_check CHECK (octet_length(product_id) BETWEEN 1 AND 64),
    category       text        NOT NULL CONSTRAINT shop_products_category_check CHECK (category IN ('conversion', 'item')),
    price_gold     bigint      NOT NULL DEFAULT 0 CONSTRAINT shop_products_price_gold_check
        CHECK (price_gold BETWEEN 0 AND 9007199254740991),
    source_points  bigint      NOT NULL DEFAULT 0 CONSTRAINT shop_products_source_points_check
        CHECK (source_points BETWEEN 0 AND 9007199254740991),
    granted_gold   bigint      NOT NULL DEFAULT 0 CONSTRAINT shop_products_granted_gold_check
        CHECK (granted_gold BETWEEN 0 AND 9007199254740991),
    monetary       bigint      NOT NULL DEFAULT 0 CONSTRAINT shop_products_monetary_check
        CHECK (monetary BETWEEN 0 AND 9007199254740991),
    limit_once     boolean     NOT NULL DEFAULT false,
    per_user_limit integer     CONSTRAINT shop_products_per_user_limit_check CHECK (per_user_limit > 0),
    starts_at      timestamptz,
    ends_at        timestamptz,
    active         boolean     NOT NULL DEFAULT true,
    stock_slots    smallint    NOT NULL DEFAULT 0 CONSTRAINT shop_products_stock_slots_check
        CHECK (stock_slots BETWEEN 0 AND 64),
    effect_code    text        CONSTRAINT shop_products_effect_code_check CHECK (octet_length(effect_code) BETWEEN 1 AND 64),
    extra          jsonb       NOT NULL DEFAULT '{}' CONSTRAINT shop_products_extra_check CHECK (jsonb_typeof(extra) = 'object'),
    CONSTRAINT shop_products_period_check CHECK (starts_at < ends_at),
    CONSTRAINT shop_products_amounts_check CHECK (
        (category = 'conversion' AND price_gold = 0) OR (category = 'item' AND granted_gold = 0))
);
SELECT pg_catalog.pg_extension_config_dump('economy.shop_products', '');
COMMENT ON TABLE economy.shop_products IS 'The catalogue. Changed by upsert_product() and retire_product() only.';
COMMENT ON COLUMN economy.shop_products.price_gold IS 'item: gold charged per unit.';
COMMENT ON COLUMN economy.shop_products.source_points IS 'conversion: outside points per unit.';
COMMENT ON COLUMN economy.shop_products.granted_gold IS 'conversion: gold granted per unit.';
COMMENT ON COLUMN economy.shop_products.monetary IS 'Value per unit in minor units of money, for RFM.';
COMMENT ON COLUMN economy.shop_products.per_user_limit IS 'Units one user may buy, ever; null is no limit.';
COMMENT ON COLUMN economy.shop_products.stock_slots IS 'Number of stock slots; 0 is unlimited stock. Set by add_stock().';
COMMENT ON COLUMN economy.shop_products.effect_code IS 'item: what the app applies after the purchase.';

CREATE TABLE economy.shop_stock (
    product_id text     NOT NULL COLLATE "C",
    slot       smallint NOT NULL,
    remaining  bigint   NOT NULL CONSTRAINT shop_stock_remaining_check CHECK (remaining >= 0),
    CONSTRAINT shop_stock_pkey PRIMARY KEY (product_id, slot)
) WITH (fillfactor = 50);
SELECT pg_catalog.pg_extension_config_dump('economy.shop_stock', '');
COMMENT ON TABLE economy.shop_stock IS 'Units left of limited products, spread over slots so that buyers do not queue on one row.';

CREATE TABLE economy.shop_product_changes (
    change_id  bigint      GENERATED ALWAYS AS IDENTITY CONSTRAINT shop_product_changes_pkey PRIMARY KEY,
    product_id text        NOT NULL COLLATE "C",
    action     text        NOT NULL CONSTRAINT shop_product_changes_action_check
        CHECK (action IN ('create', 'change', 'retire', 'stock')),
    actor      text        NOT NULL,
    before     jsonb,
    after      jsonb,
    units      bigint,
    changed_at timestamptz NOT NULL
);
CREATE INDEX shop_product_changes_product_id_idx ON economy.shop_product_changes (product_id, change_id);
SELECT pg_catalog.pg_extension_config_dump('economy.shop_product_changes', '');
SELECT pg_catalog.pg_extension_config_dump('economy.shop_product_changes_change_id_seq', '');
COMMENT ON TABLE economy.shop_product_changes IS 'Every change of the catalogue and every stock delivery, with actor, before and after. Append-only.';
COMMENT ON SEQUENCE economy.shop_product_changes_change_id_seq IS 'Numbers of shop_product_changes.';
CREATE TRIGGER shop_product_changes_append_only BEFORE UPDATE OR DELETE OR TRUNCATE
    ON economy.shop_product_changes FOR EACH STATEMENT EXECUTE FUNCTION economy.forbid_change();
ALTER TABLE economy.shop_product_changes ENABLE ALWAYS TRIGGER shop_product_changes_append_only;

CREATE TABLE economy.shop_transactions (
    user_id           bigint      NOT NULL,
    seq               bigint      NOT NULL,
    gold_delta        bigint      NOT NULL,
    xp_delta          bigint      NOT NULL,
    gold              bigint      NOT NULL CONSTRAINT shop_transactions_gold_check CHECK (gold >= 0),
    experience_points bigint      NOT NULL CONSTRAINT shop_transactions_xp_check CHECK (experience_points >= 0),
    created_at        timestamptz NOT NULL,
    xact              bigint      NOT NULL,
    monetary          bigint      NOT NULL,
    quantity          integer     NOT NULL CONSTRAINT shop_transactions_quantity_check CHECK (quantity > 0),
    receipt_signature_version integer NOT NULL,
    hash_algo_version smallint    NOT NULL,
    stock_slot        smallint,
    hash              bytea       NOT NULL,
    receipt_signature bytea       NOT NULL,
    category          text        NOT NULL COLLATE "C",
    status            text        NOT NULL COLLATE "C" CONSTRAINT shop_transactions_status_check
        CHECK (status IN ('SUCCESS', 'PENDING')),
    product_id        text        NOT NULL COLLATE "C",
    idempotency_key   text        NOT NULL COLLATE "C",
    effect_code       text,
    context           jsonb,
    CONSTRAINT shop_transactions_pkey PRIMARY KEY (user_id, seq),
    CONSTRAINT shop_transactions_key UNIQUE (user_id, product_id, idempotency_key)
);
-- of rows in the order of their transactions a summary per range of pages is enough
CREATE INDEX shop_transactions_xact_idx ON economy.shop_transactions USING brin (xact) WITH (pages_per_range = 32);
-- a range that is not summarised costs a writer nothing; the empty table's first one is
SELECT pg_catalog.brin_desummarize_range('economy.shop_transactions_xact_idx', 0);
SELECT pg_catalog.pg_extension_config_dump('economy.shop_transactions', '');
COMMENT ON TABLE economy.shop_transactions IS 'Journal of purchases. Append-only.';
COMMENT ON COLUMN economy.shop_transactions.stock_slot IS 'Slot the units were taken from; null for products without stock.';
COMMENT ON COLUMN economy.shop_transactions.monetary IS 'Value of the whole purchase in minor units of money.';
COMMENT ON COLUMN economy.shop_transactions.receipt_signature IS 'HMAC-SHA256 of the entry''s hash by the key of receipt_signature_version.';
CREATE TRIGGER shop_transactions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE
    ON economy.shop_transactions FOR EACH STATEMENT EXECUTE FUNCTION economy.forbid_change();
ALTER TABLE economy.shop_transactions ENABLE ALWAYS TRIGGER shop_transactions_append_only;

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
    detail               jsonb
);
COMMENT ON TYPE economy.purchase_result IS 'Result of economy.purchase().';

CREATE FUNCTION economy.purchase(user_id bigint, product_id text, idempotency_key text,
                                 quantity integer DEFAULT 1, context jsonb DEFAULT NULL, dry_run boolean DEFAULT false)
    RETURNS economy.purchase_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_purchase';
COMMENT ON FUNCTION economy.purchase(bigint, text, text, integer, jsonb, boolean) IS
    'Buys quantity units, once per (user, product, idempotency key); a retry returns the first result with state reuse. Refusals are returned as a row with a code.';

CREATE TYPE economy.receipt_check AS (valid boolean, reason text);
COMMENT ON TYPE economy.receipt_check IS 'Result of economy.verify_receipt(): OK, or the reason why the receipt is not valid.';

CREATE FUNCTION economy.verify_receipt(user_id bigint, transaction_id text) RETURNS economy.receipt_check
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_verify_receipt';
COMMENT ON FUNCTION economy.verify_receipt(bigint, text) IS
    'Checks a purchase against its place in the chain and its signature. Reasons: OK, NOT_FOUND, ENTRY_CHANGED, CHAIN_BROKEN, WRONG_SIGNATURE, UNKNOWN_KEY, KEY_RETIRED, UNKNOWN_HASH_ALGORITHM.';

CREATE FUNCTION economy.receipt(user_id bigint, transaction_id text)
    RETURNS TABLE (product_id text, category text, quantity integer, gold_delta bigint, gold bigint, monetary bigint,
                   status text, effect_code text, created_at timestamptz, hash text, hash_algo_version smallint,
                   receipt_signature text, receipt_signature_version integer)
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER ROWS 1
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT t.product_id, t.category, t.quantity, t.gold_delta, t.gold, t.monetary, t.status, t.effect_code,
               t.created_at, encode(t.hash, 'hex'), t.hash_algo_version,
               encode(t.receipt_signature, 'hex'), t.receipt_signature_version
        FROM economy.shop_transactions t
        WHERE t.user_id = receipt.user_id
          AND t.seq = (SELECT CASE WHEN receipt.transaction_id ~ '^P[0-9]{1,16}-[0-9]{1,18}$'
                               THEN split_part(receipt.transaction_id, '-', 2)::bigint END)
          AND receipt.transaction_id = 'P' || t.user_id || '-' || t.seq;
    END;
COMMENT ON FUNCTION economy.receipt(bigint, text) IS
    'The signed receipt of a purchase, or no row. hash and receipt_signature are hexadecimal.';

-- the catalogue

CREATE FUNCTION economy.require_actor(actor text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM economy.require_given('actor', actor IS NOT NULL);
    IF octet_length(actor) NOT BETWEEN 1 AND 255 THEN
        RAISE EXCEPTION 'actor must have 1 to 255 bytes' USING ERRCODE = 'XE002';
    END IF;
END
$$;
COMMENT ON FUNCTION economy.require_actor(text) IS 'Raises XE001 or XE002 unless the text can name who makes a change.';

CREATE FUNCTION economy.upsert_product(product jsonb, actor text) RETURNS economy.shop_products
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    old_row economy.shop_products;
    new_row economy.shop_products;
    id      text := product ->> 'product_id';
    unknown text;
    message text;
BEGIN
    PERFORM economy.require_actor(actor);
    PERFORM economy.require_given('product', product IS NOT NULL);
    IF jsonb_typeof(product) <> 'object' OR id IS NULL THEN
        RAISE EXCEPTION 'product must be a JSON object with a product_id' USING ERRCODE = 'XE301';
    END IF;
    SELECT k INTO unknown FROM jsonb_object_keys(product) k
        WHERE k <> ALL (ARRAY['product_id', 'category', 'price_gold', 'source_points', 'granted_gold', 'monetary',
                              'limit_once', 'per_user_limit', 'starts_at', 'ends_at', 'active', 'effect_code', 'extra'])
        LIMIT 1;
    IF found THEN
        RAISE EXCEPTION 'product has an unknown key "%"', unknown USING ERRCODE = 'XE301',
            DETAIL = CASE WHEN unknown = 'stock_slots' THEN 'Stock is given by economy.add_stock().'
                          ELSE 'No such column can be set.' END,
            HINT = 'The keys are the column names of economy.shop_products.';
    END IF;
    -- one change of a product at a time, also of one that does not exist yet
    PERFORM pg_advisory_xact_lock(hashtextextended('economy.product:' || id, 0));
    SELECT * INTO old_row FROM economy.shop_products p WHERE p.product_id = id FOR NO KEY UPDATE;
    IF NOT found THEN
        old_row := jsonb_populate_record(NULL::economy.shop_products,
            '{"price_gold": 0, "source_points": 0, "granted_gold": 0, "monetary": 0, "limit_once": false, "active": true, "stock_slots": 0, "extra": {}}');
    END IF;
    BEGIN
        new_row := jsonb_populate_record(old_row, product);
        IF old_row.product_id IS NULL THEN
            INSERT INTO economy.shop_products SELECT (new_row).*;
        ELSE
            UPDATE economy.shop_products p SET
                category = new_row.category, price_gold = new_row.price_gold,
                source_points = new_row.source_points, granted_gold = new_row.granted_gold,
                monetary = new_row.monetary, limit_once = new_row.limit_once,
                per_user_limit = new_row.per_user_limit, starts_at = new_row.starts_at, ends_at = new_row.ends_at,
                active = new_row.active, effect_code = new_row.effect_code, extra = new_row.extra
            WHERE p.product_id = id;
        END IF;
    EXCEPTION WHEN data_exception OR check_violation OR not_null_violation THEN
        GET STACKED DIAGNOSTICS message = MESSAGE_TEXT;
        RAISE EXCEPTION 'product "%" is not valid', id USING ERRCODE = 'XE301', DETAIL = message || '.',
            HINT = 'See the columns and constraints of economy.shop_products.';
    END;
    INSERT INTO economy.shop_product_changes (product_id, action, actor, before, after, changed_at)
        VALUES (id, CASE WHEN old_row.product_id IS NULL THEN 'create' ELSE 'change' END, actor,
                CASE WHEN old_row.product_id IS NOT NULL THEN to_jsonb(old_row) END, to_jsonb(new_row), economy.now());
    RETURN new_row;
END
$$;
COMMENT ON FUNCTION economy.upsert_product(jsonb, text) IS
    'Creates a product, or changes the given columns of one; keys are the column names of shop_products. Recorded with actor, before and after. XE301 for a product that is not valid.';

CREATE FUNCTION economy.retire_product(product_id text, actor text) RETURNS economy.shop_products
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    old_row economy.shop_products;
    new_row economy.shop_products;
BEGIN
    PERFORM economy.require_actor(actor);
    PERFORM economy.require_given('product_id', product_id IS NOT NULL);
    SELECT * INTO old_row FROM economy.shop_products p WHERE p.product_id = retire_product.product_id FOR NO KEY UPDATE;
    IF NOT found THEN
        RAISE EXCEPTION 'product "%" does not exist', product_id USING ERRCODE = 'XE302';
    END IF;
    UPDATE economy.shop_products p SET active = false WHERE p.product_id = retire_product.product_id
        RETURNING * INTO new_row;
    INSERT INTO economy.shop_product_changes (product_id, action, actor, before, after, changed_at)
        VALUES (product_id, 'retire', actor, to_jsonb(old_row), to_jsonb(new_row), economy.now());
    RETURN new_row;
END
$$;
COMMENT ON FUNCTION economy.retire_product(text, text) IS
    'Takes a product off sale; its purchases and receipts stay. XE302 for an unknown product.';

CREATE FUNCTION economy.add_stock(product_id text, units bigint, actor text, slots integer DEFAULT 8) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    product economy.shop_products;
    nslots  integer;
    total   bigint;
    part    bigint;
    rest    bigint;
    s       record;
BEGIN
    PERFORM economy.require_actor(actor);
    PERFORM economy.require_given('product_id', product_id IS NOT NULL);
    PERFORM economy.require_given('units', units IS NOT NULL);
    PERFORM economy.require_given('slots', slots IS NOT NULL);
    IF units NOT BETWEEN -9007199254740991 AND 9007199254740991 THEN
        RAISE EXCEPTION 'units must be a number up to 2^53-1' USING ERRCODE = 'XE303';
    END IF;
    IF slots NOT BETWEEN 1 AND 64 THEN
        RAISE EXCEPTION 'slots must be 1 to 64' USING ERRCODE = 'XE303';
    END IF;
    SELECT * INTO product FROM economy.shop_products p WHERE p.product_id = add_stock.product_id FOR NO KEY UPDATE;
    IF NOT found THEN
        RAISE EXCEPTION 'product "%" does not exist', product_id USING ERRCODE = 'XE302';
    END IF;
    nslots := product.stock_slots;
    IF nslots = 0 THEN
        nslots := slots;
        INSERT INTO economy.shop_stock SELECT product_id, n, 0 FROM generate_series(0, nslots - 1) n;
        UPDATE economy.shop_products p SET stock_slots = nslots WHERE p.product_id = add_stock.product_id;
    END IF;
    -- slots in their order, as a waiting buyer locks them
    PERFORM 1 FROM economy.shop_stock t WHERE t.product_id = add_stock.product_id ORDER BY t.slot FOR NO KEY UPDATE;
    SELECT sum(t.remaining) INTO total FROM economy.shop_stock t WHERE t.product_id = add_stock.product_id;
    IF total + units < 0 OR total + units > 9007199254740991 THEN
        RAISE EXCEPTION 'stock of "%" cannot change by %', product_id, units USING ERRCODE = 'XE303',
            DETAIL = format('It holds %s units; a stock is from 0 to 2^53-1.', total);
    END IF;
    -- even out: every slot gets its share of what there is now
    rest := total + units;
    FOR s IN SELECT t.slot FROM economy.shop_stock t WHERE t.product_id = add_stock.product_id ORDER BY t.slot LOOP
        part := (total + units) / nslots + CASE WHEN s.slot < (total + units) % nslots THEN 1 ELSE 0 END;
        UPDATE economy.shop_stock t SET remaining = part WHERE t.product_id = add_stock.product_id AND t.slot = s.slot;
        rest := rest - part;
    END LOOP;
    ASSERT rest = 0, 'slots must add up';
    INSERT INTO economy.shop_product_changes (product_id, action, actor, units, changed_at)
        VALUES (product_id, 'stock', actor, units, economy.now());
    RETURN total + units;
END
$$;
COMMENT ON FUNCTION economy.add_stock(text, bigint, text, integer) IS
    'Adds units to a product''s stock (negative: takes unsold ones away) and returns what is left to sell. The first call makes the product limited, with that many slots. XE303 when the stock would be negative.';
-- reward: grants, reversals, levels, the daily streak

CREATE TABLE economy.reward_audit (
    user_id           bigint      NOT NULL,
    seq               bigint      NOT NULL,
    gold_delta        bigint      NOT NULL,
    xp_delta          bigint      NOT NULL,
    gold              bigint      NOT NULL CONSTRAINT reward_audit_gold_check CHECK (gold >= 0),
    experience_points bigint      NOT NULL CONSTRAINT reward_audit_xp_check CHECK (experience_points >= 0),
    created_at        timestamptz NOT NULL,
    xact              bigint      NOT NULL,
    reverses          bigint,
    streak_day        integer     CONSTRAINT reward_audit_streak_day_check CHECK (streak_day > 0),
    reward_day        integer,
    claim_date        date,
    freezes_used      integer,
    grace_used        boolean,
    hash              bytea       NOT NULL,
    source            text        NOT NULL COLLATE "C",
    external_event_id text        NOT NULL COLLATE "C",
    actor             text,
    reason            text,
    details           jsonb,
    CONSTRAINT reward_audit_pkey PRIMARY KEY (user_id, seq),
    CONSTRAINT reward_audit_key UNIQUE (user_id, source, external_event_id)
);
-- of rows in the order of their transactions a summary per range of pages is enough
CREATE INDEX reward_audit_xact_idx ON economy.reward_audit USING brin (xact) WITH (pages_per_range = 32);
-- a range that is not summarised costs a writer nothing; the empty table's first one is
SELECT pg_catalog.brin_desummarize_range('economy.reward_audit_xact_idx', 0);
SELECT pg_catalog.pg_extension_config_dump('economy.reward_audit', '');
COMMENT ON TABLE economy.reward_audit IS 'Journal of rewards: grants, daily claims and reversals. The row is the grant. Append-only.';
COMMENT ON COLUMN economy.reward_audit.reverses IS 'Reversals: seq of the reward taken back.';
COMMENT ON COLUMN economy.reward_audit.streak_day IS 'Daily claims: length of the streak with this claim.';
COMMENT ON COLUMN economy.reward_audit.reward_day IS 'Daily claims: the day whose reward was paid; differs from streak_day past a cap.';
COMMENT ON COLUMN economy.reward_audit.claim_date IS 'Daily claims: the local date they are for.';
CREATE TRIGGER reward_audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE
    ON economy.reward_audit FOR EACH STATEMENT EXECUTE FUNCTION economy.forbid_change();
ALTER TABLE economy.reward_audit ENABLE ALWAYS TRIGGER reward_audit_append_only;

CREATE TABLE economy.streaks (
    user_id       bigint  NOT NULL CONSTRAINT streaks_pkey PRIMARY KEY,
    streak_day    integer NOT NULL CONSTRAINT streaks_streak_day_check CHECK (streak_day > 0),
    best          integer NOT NULL,
    last_claim_on date    NOT NULL,
    last_grace_on date,
    last_seq      bigint  NOT NULL,
    timezone      text    NOT NULL
) WITH (fillfactor = 70);
SELECT pg_catalog.pg_extension_config_dump('economy.streaks', '');
COMMENT ON TABLE economy.streaks IS 'Daily streak per user as of the last claim; economy.streak_state() evaluates it for now.';
COMMENT ON COLUMN economy.streaks.last_grace_on IS 'The missed date that grace covered last.';
COMMENT ON COLUMN economy.streaks.timezone IS 'Zone of the last claim; differs from users.timezone while a change is pending.';

CREATE TABLE economy.level_curves (
    curve text    NOT NULL COLLATE "C" CONSTRAINT level_curves_curve_check
        CHECK (octet_length(curve) BETWEEN 1 AND 64 AND curve <> 'linear'),
    level integer NOT NULL CONSTRAINT level_curves_level_check CHECK (level > 0),
    xp    bigint  NOT NULL CONSTRAINT level_curves_xp_check CHECK (xp BETWEEN 0 AND 9007199254740991),
    CONSTRAINT level_curves_pkey PRIMARY KEY (curve, level)
);
SELECT pg_catalog.pg_extension_config_dump('economy.level_curves', '');
COMMENT ON TABLE economy.level_curves IS 'XP at which each level of a curve begins; level 1 begins at 0. Set by set_level_curve().';

CREATE TABLE economy.level_experiments (
    experiment text    NOT NULL COLLATE "C" CONSTRAINT level_experiments_experiment_check
        CHECK (octet_length(experiment) BETWEEN 1 AND 64),
    arm        text    NOT NULL COLLATE "C" CONSTRAINT level_experiments_arm_check CHECK (octet_length(arm) BETWEEN 1 AND 64),
    curve      text    NOT NULL COLLATE "C",
    share      integer NOT NULL CONSTRAINT level_experiments_share_check CHECK (share BETWEEN 0 AND 10000),
    enabled    boolean NOT NULL DEFAULT false,
    CONSTRAINT level_experiments_pkey PRIMARY KEY (experiment, arm)
);
SELECT pg_catalog.pg_extension_config_dump('economy.level_experiments', '');
COMMENT ON TABLE economy.level_experiments IS 'Experiments with level curves, a row per arm. Set by set_level_experiment().';
COMMENT ON COLUMN economy.level_experiments.share IS 'Share of users in hundredths of a percent; who falls into no arm has the linear curve.';

CREATE FUNCTION economy.level_for(xp bigint, curve text DEFAULT 'linear') RETURNS integer
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_level_for';
COMMENT ON FUNCTION economy.level_for(bigint, text) IS
    'Level of an amount of XP; linear: floor(xp / 500) + 1. XE402 for an unknown curve.';

CREATE TYPE economy.level_position AS (curve text, level integer, xp_into_level bigint, xp_to_next bigint);
COMMENT ON TYPE economy.level_position IS 'Where an amount of XP stands on a user''s curve; xp_to_next is null at the top.';
CREATE FUNCTION economy.level_of(user_id bigint, xp bigint) RETURNS economy.level_position
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_level_of';
COMMENT ON FUNCTION economy.level_of(bigint, bigint) IS 'Level of an amount of XP on the curve that this user has.';

CREATE FUNCTION economy.set_level_curve(curve text, xp bigint[]) RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_variable
BEGIN
    PERFORM economy.require_given('curve', curve IS NOT NULL);
    PERFORM economy.require_given('xp', xp IS NOT NULL);
    IF cardinality(xp) = 0 OR array_ndims(xp) <> 1 OR array_position(xp, NULL) IS NOT NULL THEN
        RAISE EXCEPTION 'a curve needs an array of XP' USING ERRCODE = 'XE002';
    END IF;
    IF curve = 'linear' OR octet_length(curve) NOT BETWEEN 1 AND 64 THEN
        RAISE EXCEPTION 'a curve''s name has 1 to 64 bytes and is not linear' USING ERRCODE = 'XE002';
    END IF;
    IF xp[1] <> 0 OR 9007199254740991 < ANY (xp) OR EXISTS (
        SELECT FROM generate_subscripts(xp, 1) i WHERE i > 1 AND xp[i] <= xp[i - 1]) THEN
        RAISE EXCEPTION 'the XP of a curve begin at 0, rise and end below 2^53' USING ERRCODE = 'XE002',
            HINT = 'Element n is the XP at which level n begins.';
    END IF;
    LOCK TABLE economy.level_curves IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM economy.level_curves c WHERE c.curve = set_level_curve.curve;
    INSERT INTO economy.level_curves SELECT curve, i, xp[i] FROM generate_subscripts(xp, 1) i;
    RETURN cardinality(xp);
END
$$;
COMMENT ON FUNCTION economy.set_level_curve(text, bigint[]) IS
    'Defines a level curve: element n is the XP at which level n begins. Returns the number of levels.';

CREATE FUNCTION economy.set_level_experiment(experiment text, arms jsonb, enabled boolean DEFAULT false) RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    a record;
    n integer := 0;
BEGIN
    PERFORM economy.require_given('experiment', experiment IS NOT NULL);
    PERFORM economy.require_given('arms', arms IS NOT NULL);
    PERFORM economy.require_given('enabled', enabled IS NOT NULL);
    IF octet_length(experiment) NOT BETWEEN 1 AND 64 OR jsonb_typeof(arms) <> 'array' THEN
        RAISE EXCEPTION 'an experiment needs a name of 1 to 64 bytes and an array of arms' USING ERRCODE = 'XE002',
            HINT = 'An arm is {"arm": "steep", "curve": "steep_v1", "share": 2500}, shares in hundredths of a percent.';
    END IF;
    LOCK TABLE economy.level_experiments IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM economy.level_experiments e WHERE e.experiment = set_level_experiment.experiment;
    BEGIN
        FOR a IN SELECT * FROM jsonb_to_recordset(arms) AS r (arm text, curve text, share integer) LOOP
            IF a.curve <> 'linear' AND NOT EXISTS (SELECT FROM economy.level_curves c WHERE c.curve = a.curve) THEN
                RAISE EXCEPTION 'level curve "%" does not exist', a.curve USING ERRCODE = 'XE402';
            END IF;
            INSERT INTO economy.level_experiments VALUES (experiment, a.arm, a.curve, a.share, enabled);
            n := n + 1;
        END LOOP;
    EXCEPTION WHEN data_exception OR check_violation OR not_null_violation OR unique_violation THEN
        RAISE EXCEPTION 'the arms of experiment "%" are not valid', experiment USING ERRCODE = 'XE002', DETAIL = sqlerrm || '.';
    END;
    IF (SELECT sum(e.share) FROM economy.level_experiments e WHERE e.experiment = set_level_experiment.experiment) > 10000 THEN
        RAISE EXCEPTION 'the shares of experiment "%" exceed 10000', experiment USING ERRCODE = 'XE002';
    END IF;
    RETURN n;
END
$$;
COMMENT ON FUNCTION economy.set_level_experiment(text, jsonb, boolean) IS
    'Defines an experiment with level curves: [{"arm", "curve", "share"}], shares in hundredths of a percent, off unless enabled. Users are assigned by a hash of user and experiment, so an assignment is stable.';

CREATE TYPE economy.grant_result AS (
    success           boolean,
    state             text,
    code              text,
    transaction_id    text,
    gold_delta        bigint,
    xp_delta          bigint,
    gold              bigint,
    experience_points bigint,
    level             integer,
    leveled_up        boolean,
    retry_after_ms    integer,
    detail            jsonb
);
COMMENT ON TYPE economy.grant_result IS 'Result of grant_reward(), grant_rewards() and revoke_reward().';

CREATE FUNCTION economy.grant_reward(user_id bigint, source text, external_event_id text, gold bigint DEFAULT 0,
                                     xp bigint DEFAULT 0, details jsonb DEFAULT NULL)
    RETURNS economy.grant_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_grant_reward';
COMMENT ON FUNCTION economy.grant_reward(bigint, text, text, bigint, bigint, jsonb) IS
    'Grants gold and XP once per (user, source, external_event_id); a retry returns the first result with state reuse, another amount is refused with IDEMPOTENCY_MISMATCH.';

CREATE FUNCTION economy.grant_rewards(rewards jsonb) RETURNS SETOF economy.grant_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_grant_rewards';
COMMENT ON FUNCTION economy.grant_rewards(jsonb) IS
    'grant_reward() for an array of {user_id, source, external_event_id, gold, xp, details} in one transaction; a row per element, in their order.';

CREATE FUNCTION economy.revoke_reward(user_id bigint, transaction_id text, reason text, actor text, gold bigint DEFAULT NULL,
                                      xp bigint DEFAULT NULL, policy text DEFAULT 'refuse')
    RETURNS economy.grant_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_revoke_reward';
COMMENT ON FUNCTION economy.revoke_reward(bigint, text, text, text, bigint, bigint, text) IS
    'Takes a reward back, all of it or the given gold and XP, once. Where the user has less, policy refuse answers INSUFFICIENT_GOLD and take takes what is there and reports the debt in detail.';

CREATE TYPE economy.claim_result AS (
    success           boolean,
    state             text,
    code              text,
    transaction_id    text,
    streak_day        integer,
    claim_date        date,
    grace_used        boolean,
    freezes_used      integer,
    gold_delta        bigint,
    xp_delta          bigint,
    gold              bigint,
    experience_points bigint,
    level             integer,
    leveled_up        boolean,
    next_claim_at     timestamptz,
    detail            jsonb
);
COMMENT ON TYPE economy.claim_result IS 'Result of economy.claim_daily_reward().';

CREATE FUNCTION economy.claim_daily_reward(user_id bigint) RETURNS economy.claim_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_claim_daily_reward';
COMMENT ON FUNCTION economy.claim_daily_reward(bigint) IS
    'Claims the reward of the user''s local day: CLAIMED, or ALREADY_CLAIMED with the stored result. Day d pays 1000 + 200 (d - 1) gold and 50 + 25 (d - 1) XP.';

CREATE TYPE economy.streak_reward AS (gold bigint, xp bigint);
COMMENT ON TYPE economy.streak_reward IS 'Reward of a day of the streak.';
CREATE FUNCTION economy.streak_reward(day integer) RETURNS economy.streak_reward
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_streak_reward_sql';
COMMENT ON FUNCTION economy.streak_reward(integer) IS 'The formula: 1000 + 200 (day - 1) gold, 50 + 25 (day - 1) XP, day >= 1.';

CREATE FUNCTION economy.streak_preview(user_id bigint, days integer DEFAULT 7)
    RETURNS TABLE (claim_date date, outcome text, streak_day integer, gold bigint, xp bigint)
    LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 7 AS 'MODULE_PATHNAME', 'eco_streak_preview';
COMMENT ON FUNCTION economy.streak_preview(bigint, integer) IS
    'The rewards of the coming days (1 to 366) if the user claims on each of them.';

CREATE TYPE economy.streak_status AS (
    streak_day    integer,
    best          integer,
    last_claim_on date,
    next_outcome  text,
    freezes       integer,
    next_claim_at timestamptz
);
COMMENT ON TYPE economy.streak_status IS 'A streak as it stands now; all null for an unknown user.';
CREATE FUNCTION economy.streak_state(user_id bigint) RETURNS economy.streak_status
    LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'eco_streak_state';
COMMENT ON FUNCTION economy.streak_state(bigint) IS
    'The streak evaluated now: 0 when the next claim would not continue it. next_outcome is START, CONTINUE, FREEZE, GRACE, RESET, DORMANT or ALREADY_CLAIMED.';
-- play: games, actions, statistics, rollups, retention

CREATE TABLE economy.games (
    game       text        NOT NULL COLLATE "C" CONSTRAINT games_pkey PRIMARY KEY
        CONSTRAINT games_game_check CHECK (octet_length(game) BETWEEN 1 AND 64),
    rules      jsonb       NOT NULL DEFAULT '{}' CONSTRAINT games_rules_check CHECK (jsonb_typeof(rules) = 'object'),
    builtin    boolean     NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL
);
-- a fixed date: the rows are the same in every installation
INSERT INTO economy.games (game, builtin, created_at)
    SELECT g, true, '2000-01-01 00:00:00+00' FROM unnest(ARRAY['crash', 'gacha', 'rps', 'slot']) g;
SELECT pg_catalog.pg_extension_config_dump('economy.games', 'WHERE NOT builtin');
COMMENT ON TABLE economy.games IS 'Games that actions may name; crash, slot, gacha and rps are there from the start.';

CREATE TABLE economy.user_actions (
    user_id           bigint      NOT NULL,
    seq               bigint      NOT NULL,
    gold_delta        bigint      NOT NULL,
    xp_delta          bigint      NOT NULL,
    gold              bigint      NOT NULL CONSTRAINT user_actions_gold_check CHECK (gold >= 0),
    experience_points bigint      NOT NULL CONSTRAINT user_actions_xp_check CHECK (experience_points >= 0),
    created_at        timestamptz NOT NULL,
    xact              bigint      NOT NULL,
    bet               bigint      NOT NULL,
    win               bigint      NOT NULL,
    hash              bytea       NOT NULL,
    outcome           text        NOT NULL COLLATE "C" CONSTRAINT user_actions_outcome_check
        CHECK (outcome IN ('win', 'loss', 'draw')),
    game              text        NOT NULL COLLATE "C",
    action_type       text        NOT NULL COLLATE "C",
    action_id         text        NOT NULL COLLATE "C",
    details           jsonb,
    CONSTRAINT user_actions_pkey PRIMARY KEY (user_id, seq),
    CONSTRAINT user_actions_key UNIQUE (user_id, game, action_id)
);
-- of rows in the order of their transactions a summary per range of pages is enough
CREATE INDEX user_actions_xact_idx ON economy.user_actions USING brin (xact) WITH (pages_per_range = 32);
-- a range that is not summarised costs a writer nothing; the empty table's first one is
SELECT pg_catalog.brin_desummarize_range('economy.user_actions_xact_idx', 0);
SELECT pg_catalog.pg_extension_config_dump('economy.user_actions', '');
COMMENT ON TABLE economy.user_actions IS 'Journal of game actions. Append-only; prune() replaces old entries by a signed checkpoint.';
CREATE TRIGGER user_actions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE
    ON economy.user_actions FOR EACH STATEMENT EXECUTE FUNCTION economy.forbid_change();
ALTER TABLE economy.user_actions ENABLE ALWAYS TRIGGER user_actions_append_only;

CREATE TABLE economy.game_stats (
    user_id        bigint      NOT NULL,
    game           text        NOT NULL COLLATE "C",
    total          bigint      NOT NULL,
    wins           bigint      NOT NULL,
    losses         bigint      NOT NULL,
    draws          bigint      NOT NULL,
    max_win        bigint      NOT NULL,
    bet_sum        bigint      NOT NULL,
    win_sum        bigint      NOT NULL,
    last_action_at timestamptz NOT NULL,
    CONSTRAINT game_stats_pkey PRIMARY KEY (user_id, game),
    CONSTRAINT game_stats_total_check CHECK (total = wins + losses + draws)
) WITH (fillfactor = 70);
SELECT pg_catalog.pg_extension_config_dump('economy.game_stats', '');
COMMENT ON TABLE economy.game_stats IS 'Statistics per user and game, written with every action in its transaction.';

CREATE TYPE economy.action_result AS (
    success        boolean,
    state          text,
    code           text,
    transaction_id text,
    gold_delta     bigint,
    gold           bigint,
    total          bigint,
    wins           bigint,
    losses         bigint,
    max_win        bigint,
    retry_after_ms integer,
    detail         jsonb
);
COMMENT ON TYPE economy.action_result IS 'Result of record_action() and record_actions().';

CREATE FUNCTION economy.record_action(user_id bigint, game text, action_type text, action_id text, bet bigint DEFAULT 0,
                                      win bigint DEFAULT 0, outcome text DEFAULT NULL, details jsonb DEFAULT NULL)
    RETURNS economy.action_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_record_action';
COMMENT ON FUNCTION economy.record_action(bigint, text, text, text, bigint, bigint, text, jsonb) IS
    'Records a game action once per (user, game, action_id): win - bet moves the gold, the statistics count it. A null outcome is derived: win > bet wins, win < bet loses, equal is a draw.';

CREATE FUNCTION economy.record_actions(actions jsonb) RETURNS SETOF economy.action_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_record_actions';
COMMENT ON FUNCTION economy.record_actions(jsonb) IS
    'record_action() for an array of {user_id, game, action_type, action_id, bet, win, outcome, details} in one transaction; a row per element, in their order.';

CREATE FUNCTION economy.game_stats_me(user_id bigint) RETURNS jsonb
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_game_stats_me';
COMMENT ON FUNCTION economy.game_stats_me(bigint) IS
    'The user''s statistics as one document, with every registered game, zeros where it was never played.';

CREATE FUNCTION economy.register_game(name text, rules jsonb DEFAULT '{}') RETURNS text
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_variable
BEGIN
    PERFORM economy.require_given('name', name IS NOT NULL);
    PERFORM economy.require_given('rules', rules IS NOT NULL);
    IF octet_length(name) NOT BETWEEN 1 AND 64 THEN
        RAISE EXCEPTION 'a game''s name has 1 to 64 bytes' USING ERRCODE = 'XE002';
    END IF;
    IF jsonb_typeof(rules) <> 'object' THEN
        RAISE EXCEPTION 'rules must be a JSON object' USING ERRCODE = 'XE002';
    END IF;
    IF EXISTS (SELECT FROM economy.games g WHERE g.game = name AND g.builtin) THEN
        IF rules <> '{}' THEN
            RAISE EXCEPTION 'game "%" is built in and has no rules of its own', name USING ERRCODE = 'XE002',
                HINT = 'Register a game of another name.';
        END IF;
        RETURN name;
    END IF;
    INSERT INTO economy.games AS g (game, rules, created_at) VALUES (name, rules, economy.now())
        ON CONFLICT ON CONSTRAINT games_pkey DO UPDATE SET rules = excluded.rules;
    RETURN name;
END
$$;
COMMENT ON FUNCTION economy.register_game(text, jsonb) IS
    'Makes a game known to record_action(); a second call changes its rules. Games are never removed.';

-- Daily rollup. A user's entries commit in the order of seq, so a position per
-- user is exact under late commits, crashes and repeated calls; which users to
-- look at is told by the account, whose seq is ahead of the position.

CREATE TABLE economy.user_game_stats_summary (
    user_id        bigint      NOT NULL,
    day            date        NOT NULL,
    game           text        NOT NULL COLLATE "C",
    total          bigint      NOT NULL,
    wins           bigint      NOT NULL,
    losses         bigint      NOT NULL,
    draws          bigint      NOT NULL,
    max_win        bigint      NOT NULL,
    bet_sum        bigint      NOT NULL,
    win_sum        bigint      NOT NULL,
    last_action_at timestamptz NOT NULL,
    CONSTRAINT user_game_stats_summary_pkey PRIMARY KEY (user_id, day, game)
) WITH (fillfactor = 80);
SELECT pg_catalog.pg_extension_config_dump('economy.user_game_stats_summary', '');
COMMENT ON TABLE economy.user_game_stats_summary IS 'Statistics per user, UTC day and game, filled by rollup_stats().';

CREATE TABLE economy.rollup_positions (
    user_id bigint NOT NULL CONSTRAINT rollup_positions_pkey PRIMARY KEY,
    seq     bigint NOT NULL
) WITH (fillfactor = 70);
SELECT pg_catalog.pg_extension_config_dump('economy.rollup_positions', '');
COMMENT ON TABLE economy.rollup_positions IS 'Entry up to which each user''s actions are in user_game_stats_summary.';

CREATE FUNCTION economy.rollup_stats(max_users integer DEFAULT 100000)
    RETURNS TABLE (users bigint, actions bigint, rows_written bigint)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    PERFORM economy.require_given('max_users', max_users IS NOT NULL);
    IF max_users < 1 THEN
        RAISE EXCEPTION 'max_users must be 1 or more' USING ERRCODE = 'XE002';
    END IF;
    -- one rollup at a time; the next one begins where this one ends
    PERFORM pg_advisory_xact_lock(hashtextextended('economy.rollup_stats', 0));
    RETURN QUERY
    WITH fresh AS MATERIALIZED (
        SELECT a.user_id, coalesce(p.seq, 0) AS after_seq, a.seq AS upto_seq
        FROM economy.accounts a LEFT JOIN economy.rollup_positions p USING (user_id)
        WHERE a.seq > coalesce(p.seq, 0) ORDER BY a.user_id LIMIT max_users
    ), counted AS MATERIALIZED (
        SELECT u.user_id, (u.created_at AT TIME ZONE 'UTC')::date AS day, u.game,
               count(*) AS total, count(*) FILTER (WHERE u.outcome = 'win') AS wins,
               count(*) FILTER (WHERE u.outcome = 'loss') AS losses, count(*) FILTER (WHERE u.outcome = 'draw') AS draws,
               max(u.win) AS max_win, sum(u.bet)::bigint AS bet_sum, sum(u.win)::bigint AS win_sum,
               max(u.created_at) AS last_action_at
        FROM fresh f CROSS JOIN LATERAL (
            SELECT * FROM economy.user_actions t
            WHERE t.user_id = f.user_id AND t.seq > f.after_seq AND t.seq <= f.upto_seq) u
        GROUP BY 1, 2, 3
    ), moved AS (
        INSERT INTO economy.rollup_positions AS p SELECT f.user_id, f.upto_seq FROM fresh f
            ON CONFLICT ON CONSTRAINT rollup_positions_pkey DO UPDATE SET seq = excluded.seq
    ), written AS (
        INSERT INTO economy.user_game_stats_summary AS s SELECT c.* FROM counted c
            ON CONFLICT ON CONSTRAINT user_game_stats_summary_pkey DO UPDATE SET
                total = s.total + excluded.total, wins = s.wins + excluded.wins,
                losses = s.losses + excluded.losses, draws = s.draws + excluded.draws,
                max_win = greatest(s.max_win, excluded.max_win),
                bet_sum = s.bet_sum + excluded.bet_sum, win_sum = s.win_sum + excluded.win_sum,
                last_action_at = greatest(s.last_action_at, excluded.last_action_at)
            RETURNING 1
    )
    SELECT (SELECT count(*) FROM fresh), (SELECT coalesce(sum(c.total), 0)::bigint FROM counted c), (SELECT count(*) FROM written);
END
$$;
COMMENT ON FUNCTION economy.rollup_stats(integer) IS
    'Adds the actions since the last call to user_game_stats_summary, each exactly once, for at most max_users users; users is 0 when nothing is left.';

-- Retention

CREATE TABLE economy.stream_checkpoints (
    user_id           bigint      NOT NULL CONSTRAINT stream_checkpoints_pkey PRIMARY KEY,
    seq               bigint      NOT NULL,
    gold              bigint      NOT NULL,
    experience_points bigint      NOT NULL,
    hash              bytea       NOT NULL,
    links             bytea       NOT NULL,
    key_version       integer     NOT NULL,
    signature         bytea       NOT NULL,
    created_at        timestamptz NOT NULL
);
SELECT pg_catalog.pg_extension_config_dump('economy.stream_checkpoints', '');
COMMENT ON TABLE economy.stream_checkpoints IS 'Signed state of a stream at an entry; actions before it may have been pruned.';
COMMENT ON COLUMN economy.stream_checkpoints.links IS 'Hash of a chain over the entries up to seq that were left, so that they stay verifiable.';

CREATE TABLE economy.pruned_stats (
    user_id        bigint      NOT NULL,
    game           text        NOT NULL COLLATE "C",
    day            date        NOT NULL,
    total          bigint      NOT NULL,
    wins           bigint      NOT NULL,
    losses         bigint      NOT NULL,
    draws          bigint      NOT NULL,
    max_win        bigint      NOT NULL,
    bet_sum        bigint      NOT NULL,
    win_sum        bigint      NOT NULL,
    last_action_at timestamptz NOT NULL,
    CONSTRAINT pruned_stats_pkey PRIMARY KEY (user_id, game, day)
);
SELECT pg_catalog.pg_extension_config_dump('economy.pruned_stats', '');
COMMENT ON TABLE economy.pruned_stats IS 'Statistics of the pruned actions per UTC day, so that parity stays exact.';

CREATE TABLE economy.pruned_actions (
    user_id bigint NOT NULL,
    key     uuid   NOT NULL,
    seq     bigint NOT NULL,
    CONSTRAINT pruned_actions_pkey PRIMARY KEY (user_id, key)
);
SELECT pg_catalog.pg_extension_config_dump('economy.pruned_actions', '');
COMMENT ON TABLE economy.pruned_actions IS 'Keys of the ids of pruned actions: none is ever counted again.';

CREATE FUNCTION economy.action_key(game text, action_id text) RETURNS uuid
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_action_key';
COMMENT ON FUNCTION economy.action_key(text, text) IS 'Key of an action''s id in pruned_actions: half of a SHA-256.';

CREATE FUNCTION economy.prune_stream(user_id bigint, seq bigint) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_prune_stream';
COMMENT ON FUNCTION economy.prune_stream(bigint, bigint) IS
    'Deletes a user''s actions before an entry, behind a signed checkpoint there; the only way past the journal''s guard. Null, and nothing done, when verify_chain() finds something. prune() is the way in.';

CREATE FUNCTION economy.prune(older_than interval DEFAULT '90 days', max_users integer DEFAULT 10000)
    RETURNS TABLE (users bigint, actions bigint, damaged bigint)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_column
DECLARE
    cutoff  timestamptz := economy.now() - older_than;
    u       record;
    pruned  bigint;
    upto    bigint;
    deleted bigint;
BEGIN
    PERFORM economy.require_given('older_than', older_than IS NOT NULL);
    PERFORM economy.require_given('max_users', max_users IS NOT NULL);
    IF older_than < interval '1 day' OR max_users < 1 THEN
        RAISE EXCEPTION 'older_than must be a day or more and max_users 1 or more' USING ERRCODE = 'XE002',
            HINT = 'A retry of a pruned action is refused with RESYNC_REQUIRED: keep actions longer than clients retry.';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('economy.rollup_stats', 0));
    users := 0;
    actions := 0;
    damaged := 0;
    FOR u IN SELECT p.user_id, p.seq FROM economy.rollup_positions p
             WHERE EXISTS (SELECT FROM economy.user_actions t
                           WHERE t.user_id = p.user_id AND t.seq <= p.seq AND t.created_at < cutoff
                             AND t.seq > (SELECT a.pruned_seq FROM economy.accounts a WHERE a.user_id = p.user_id)
                           OFFSET 0)    -- user by user: a join would read every action first
             ORDER BY p.user_id LOOP
        SELECT a.pruned_seq INTO pruned FROM economy.accounts a WHERE a.user_id = u.user_id FOR NO KEY UPDATE;
        -- the entry before the first one that stays, and only what is rolled up
        SELECT max(t.seq) INTO upto FROM economy.user_actions t
            WHERE t.user_id = u.user_id AND t.seq <= u.seq AND t.created_at < cutoff
              AND t.seq < coalesce((SELECT min(k.seq) FROM economy.user_actions k
                                    WHERE k.user_id = u.user_id AND k.created_at >= cutoff), 9223372036854775807);
        CONTINUE WHEN upto IS NULL OR upto <= pruned;
        deleted := economy.prune_stream(u.user_id, upto);
        users := users + (deleted IS NOT NULL)::integer;
        actions := actions + coalesce(deleted, 0);
        damaged := damaged + (deleted IS NULL)::integer;
        -- users that nothing can be done for must not keep the others waiting
        EXIT WHEN users >= max_users;
    END LOOP;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION economy.prune(interval, integer) IS
    'Deletes rolled-up actions older than that, behind a signed checkpoint per user. Statistics, parity and the proof of what is left stay exact; an id is never counted again. A stream with findings is left alone and counted as damaged.';

CREATE TYPE economy.parity_difference AS (
    user_id  bigint,
    source   text,
    game     text,
    day      date,
    expected jsonb,
    actual   jsonb
);
COMMENT ON TYPE economy.parity_difference IS 'A statistics row that is not what its entries add up to.';

CREATE FUNCTION economy.stats_parity(sample integer DEFAULT NULL) RETURNS SETOF economy.parity_difference
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH chosen AS MATERIALIZED (
            SELECT a.user_id FROM economy.accounts a
            WHERE sample IS NULL OR a.user_id IN (SELECT b.user_id FROM economy.accounts b ORDER BY random() LIMIT sample)
        ), parts AS (
            SELECT t.user_id, t.game, (t.created_at AT TIME ZONE 'UTC')::date AS day, t.seq <= coalesce(p.seq, 0) AS rolled,
                   count(*) AS total, count(*) FILTER (WHERE t.outcome = 'win') AS wins,
                   count(*) FILTER (WHERE t.outcome = 'loss') AS losses, count(*) FILTER (WHERE t.outcome = 'draw') AS draws,
                   max(t.win) AS max_win, sum(t.bet) AS bet_sum, sum(t.win) AS win_sum, max(t.created_at) AS last_action_at
            FROM economy.user_actions t JOIN chosen c USING (user_id) LEFT JOIN economy.rollup_positions p USING (user_id)
            GROUP BY 1, 2, 3, 4
            UNION ALL
            -- only what was rolled up is ever pruned
            SELECT s.user_id, s.game, s.day, true, s.total, s.wins, s.losses, s.draws, s.max_win, s.bet_sum, s.win_sum, s.last_action_at
            FROM economy.pruned_stats s JOIN chosen c USING (user_id)
        ), days AS MATERIALIZED (
            SELECT m.user_id, m.game, m.day, m.rolled, sum(m.total) AS total, sum(m.wins) AS wins, sum(m.losses) AS losses,
                   sum(m.draws) AS draws, max(m.max_win) AS max_win, sum(m.bet_sum) AS bet_sum,
                   sum(m.win_sum) AS win_sum, max(m.last_action_at) AS last_action_at
            FROM parts m GROUP BY 1, 2, 3, 4
        ), entries AS (
            SELECT d.user_id, d.game, sum(d.total) AS total, sum(d.wins) AS wins, sum(d.losses) AS losses,
                   sum(d.draws) AS draws, max(d.max_win) AS max_win, sum(d.bet_sum) AS bet_sum,
                   sum(d.win_sum) AS win_sum, max(d.last_action_at) AS last_action_at
            FROM days d GROUP BY 1, 2
        )
        SELECT coalesce(e.user_id, s.user_id), 'game_stats', coalesce(e.game, s.game), NULL::date, to_jsonb(e), to_jsonb(s)
        FROM entries e FULL JOIN (SELECT g.* FROM economy.game_stats g JOIN chosen c USING (user_id)) s
             ON s.user_id = e.user_id AND s.game = e.game
        WHERE (e.total, e.wins, e.losses, e.draws, e.max_win, e.bet_sum, e.win_sum, e.last_action_at)
              IS DISTINCT FROM (s.total, s.wins, s.losses, s.draws, s.max_win, s.bet_sum, s.win_sum, s.last_action_at)
        UNION ALL
        SELECT coalesce(d.user_id, s.user_id), 'user_game_stats_summary', coalesce(d.game, s.game), coalesce(d.day, s.day),
               to_jsonb(d), to_jsonb(s)
        FROM (SELECT * FROM days WHERE rolled) d
        FULL JOIN (SELECT u.* FROM economy.user_game_stats_summary u JOIN chosen c USING (user_id)) s
             ON s.user_id = d.user_id AND s.game = d.game AND s.day = d.day
        WHERE (d.total, d.wins, d.losses, d.draws, d.max_win, d.bet_sum, d.win_sum, d.last_action_at)
              IS DISTINCT FROM (s.total, s.wins, s.losses, s.draws, s.max_win, s.bet_sum, s.win_sum, s.last_action_at);
    END;
COMMENT ON FUNCTION economy.stats_parity(integer) IS
    'Recomputes statistics and rollups from the entries and returns the rows that differ, for all users or a random sample; none means exact.';

-- Capture of the app's own tables

CREATE TABLE economy.capture_refusals (
    refusal_id bigint      GENERATED ALWAYS AS IDENTITY CONSTRAINT capture_refusals_pkey PRIMARY KEY,
    source     text        NOT NULL,
    user_id    bigint      NOT NULL,
    game       text        NOT NULL,
    action_id  text        NOT NULL,
    bet        bigint      NOT NULL,
    win        bigint      NOT NULL,
    code       text        NOT NULL,
    refused_at timestamptz NOT NULL
);
SELECT pg_catalog.pg_extension_config_dump('economy.capture_refusals', '');
SELECT pg_catalog.pg_extension_config_dump('economy.capture_refusals_refusal_id_seq', '');
COMMENT ON TABLE economy.capture_refusals IS 'Rows that a capture trigger with the argument report could not record.';
COMMENT ON SEQUENCE economy.capture_refusals_refusal_id_seq IS 'Numbers of capture_refusals.';

CREATE FUNCTION economy.capture_actions() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'eco_capture_actions';
COMMENT ON FUNCTION economy.capture_actions() IS
    'Trigger AFTER INSERT FOR EACH STATEMENT with a NEW TABLE on a table of the app: records its rows as actions. Arguments: user column, game, id column, bet column, win column, and raise (default) or report for refused rows.';

-- Anomalies

CREATE TYPE economy.proportion_interval AS (lower double precision, upper double precision);
COMMENT ON TYPE economy.proportion_interval IS 'Confidence interval of a proportion.';

CREATE FUNCTION economy.wilson_interval(wins bigint, n bigint) RETURNS economy.proportion_interval
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_wilson_interval';
COMMENT ON FUNCTION economy.wilson_interval(bigint, bigint) IS 'Wilson score interval at 95 % of wins in n games.';

CREATE FUNCTION economy.binomial_tail(wins bigint, n bigint, p double precision) RETURNS double precision
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_binomial_tail';
COMMENT ON FUNCTION economy.binomial_tail(bigint, bigint, double precision) IS
    'Probability of at least that many wins in n games that are won with probability p.';

CREATE FUNCTION economy.win_rate_anomalies(game text, q double precision DEFAULT 0.01)
    RETURNS TABLE (user_id bigint, games bigint, wins bigint, win_rate double precision, lower double precision,
                   upper double precision, population_rate double precision, p_value double precision)
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH played AS (
            SELECT g.user_id, g.wins + g.losses AS games, g.wins
            FROM economy.game_stats g WHERE g.game = win_rate_anomalies.game AND g.wins + g.losses > 0
        ), population AS (
            SELECT sum(p.wins)::double precision / sum(p.games) AS rate FROM played p
        ), tested AS (
            SELECT p.*, o.rate, economy.binomial_tail(p.wins, p.games, o.rate) AS p_value
            FROM played p CROSS JOIN population o WHERE p.games >= 20
        ), ranked AS (
            SELECT t.*, row_number() OVER (ORDER BY t.p_value, t.user_id) AS rank, count(*) OVER () AS tests FROM tested t
        ), cut AS (
            -- Benjamini and Hochberg, J. R. Stat. Soc. B 57 (1995): the largest rank under its line
            SELECT max(r.rank) AS rank FROM ranked r WHERE r.p_value <= win_rate_anomalies.q * r.rank / r.tests
        )
        SELECT r.user_id, r.games, r.wins, r.wins::double precision / r.games, w.lower, w.upper, r.rate, r.p_value
        FROM ranked r CROSS JOIN cut CROSS JOIN LATERAL economy.wilson_interval(r.wins, r.games) w
        WHERE r.rank <= cut.rank AND w.lower > r.rate
        ORDER BY r.p_value, r.user_id;
    END;
COMMENT ON FUNCTION economy.win_rate_anomalies(text, double precision) IS
    'Players of a game, with 20 decided games or more, who win beyond the population''s rate: Wilson lower bound above it, and significant at false discovery rate q (Benjamini-Hochberg over exact binomial tests).';

-- A synthetic workload

CREATE FUNCTION economy.simulate(users integer, actions integer, seed bigint)
    RETURNS TABLE (state text, code text, results bigint)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_column
DECLARE
    chunk CONSTANT integer := 10000;
    ids   bigint[];
    done  integer := 0;
    batch jsonb;
    tally jsonb := '{}';
    r     record;
BEGIN
    PERFORM economy.require_given('users', users IS NOT NULL);
    PERFORM economy.require_given('actions', actions IS NOT NULL);
    PERFORM economy.require_given('seed', seed IS NOT NULL);
    IF users NOT BETWEEN 1 AND 10000000 OR actions NOT BETWEEN 0 AND 100000000 THEN
        RAISE EXCEPTION 'simulate() takes 1 to 10 million users and 0 to 100 million actions' USING ERRCODE = 'XE002';
    END IF;
    -- the same seed finds the same users again
    SELECT array_agg(economy.register(format('sim-%s-%s', seed, n)) ORDER BY n) INTO ids FROM generate_series(1, users) n;
    FOR batch IN SELECT jsonb_agg(jsonb_build_object('user_id', ids[n], 'source', 'simulate', 'external_event_id', 'opening', 'gold', 1000000))
                 FROM generate_series(1, users) n GROUP BY n / chunk LOOP
        PERFORM economy.grant_rewards(batch);
    END LOOP;
    WHILE done < actions LOOP
        PERFORM economy.report_progress('simulate', done, actions);
        WITH arrived AS (
            -- 1.5 % come late: such an action changes places with one of 4,096 further on
            SELECT n, CASE WHEN (hashint8extended(n & ~4096, seed + 7) & 1023) < 15 AND (n | 4096) <= actions AND (n # 4096) > 0
                           THEN n # 4096 ELSE n END AS sent
            FROM generate_series(done + 1, least(done + chunk, actions)) n
        ), repeated AS (
            -- and 1.5 % are retries of one of the hundred actions before
            SELECT n, CASE WHEN n > 100 AND (hashint8extended(n, seed + 5) & 1023) < 15
                           THEN n - 1 - (hashint8extended(n, seed + 6) & 63)::integer ELSE sent END AS first
            FROM arrived
        ), refunds AS (
            -- 0.7 % give the stake of an action back, that of a hundred before
            SELECT p.n, (hashint8extended(p.first, seed + 8) & 1023) < 7 AND p.first > 100 AS refund,
                   CASE WHEN (hashint8extended(p.first, seed + 8) & 1023) < 7 AND p.first > 100 THEN p.first - 100 ELSE p.first END AS first,
                   p.first AS id
            FROM repeated p
        ), action AS (
            SELECT p.n, p.id, p.refund,
                   -- activity is skewed: half of the actions come from a tenth of the users
                   1 + floor(users * power((hashint8extended(p.first, seed) & 1048575) / 1048576.0::double precision, 3.32))::integer AS u,
                   1 + ((hashint8extended(p.first, seed + 1) & 1048575) * 4 >> 20) AS g,
                   -- stakes are log-normal, around 20
                   greatest(1, least(5000, exp(3 + sqrt(-2 * ln(((hashint8extended(p.first, seed + 2) & 1048575) + 0.5) / 1048576.0::double precision))
                       * cos(6.283185307179586 * (hashint8extended(p.first, seed + 3) & 1048575) / 1048576.0::double precision))))::bigint AS bet,
                   (hashint8extended(p.first, seed + 4) & 1048575) / 1048576.0::double precision AS luck
            FROM refunds p
        )
        SELECT jsonb_agg(jsonb_build_object(
                   'user_id', ids[least(a.u, users)],
                   'game', (ARRAY['crash', 'gacha', 'rps', 'slot'])[a.g],
                   'action_type', CASE WHEN a.refund THEN 'REFUND' ELSE (ARRAY['CRASH_JOIN', 'GACHA_SPIN', 'RPS_PLAY', 'SLOT_SPIN'])[a.g] END,
                   'action_id', format('sim-%s-%s', seed, a.id),
                   'bet', CASE WHEN a.refund THEN 0 ELSE a.bet END,
                   'outcome', CASE WHEN a.refund THEN 'draw' END,
                   -- every 200th user cheats
                   'win', CASE WHEN a.refund THEN a.bet WHEN a.luck < CASE WHEN a.u % 200 = 0 THEN 0.65 ELSE 0.48 END THEN a.bet * 2 ELSE 0 END)
               ORDER BY a.n)
        INTO batch FROM action a;
        FOR r IN SELECT s.state, s.code, count(*) AS results FROM economy.record_actions(batch) s GROUP BY 1, 2 LOOP
            tally := jsonb_set(tally, ARRAY[r.state || ' ' || r.code],
                               to_jsonb(coalesce((tally ->> (r.state || ' ' || r.code))::bigint, 0) + r.results));
        END LOOP;
        done := least(done + chunk, actions);
    END LOOP;
    PERFORM economy.report_progress(NULL, NULL, NULL);
    RETURN QUERY SELECT split_part(t.key, ' ', 1), split_part(t.key, ' ', 2), t.value::bigint FROM jsonb_each_text(tally) t ORDER BY 1, 2;
END
$$;
COMMENT ON FUNCTION economy.simulate(integer, integer, bigint) IS
    'Plays a synthetic workload through the real functions and counts the results: skewed activity, log-normal stakes, 1.5 % retries, 1.5 % late arrivals, 0.7 % refunds, a cheat in every 200 users. The same seed plays the same actions.';
-- adjust: changes of gold by admins

CREATE TABLE economy.gold_adjustments (
    user_id           bigint      NOT NULL,
    seq               bigint      NOT NULL,
    gold_delta        bigint      NOT NULL,
    xp_delta          bigint      NOT NULL,
    gold              bigint      NOT NULL CHECK (gold >= 0),
    experience_points bigint      NOT NULL CHECK (experience_points >= 0),
    created_at        timestamptz NOT NULL,
    xact              bigint      NOT NULL,
    hash              bytea       NOT NULL,
    idempotency_key   text        NOT NULL COLLATE "C",
    actor             text        NOT NULL,
    reason            text        NOT NULL,
    CONSTRAINT gold_adjustments_pkey PRIMARY KEY (user_id, seq),
    CONSTRAINT gold_adjustments_key UNIQUE (user_id, idempotency_key)
);
-- of rows in the order of their transactions a summary per range of pages is enough
CREATE INDEX gold_adjustments_xact_idx ON economy.gold_adjustments USING brin (xact) WITH (pages_per_range = 32);
-- a range that is not summarised costs a writer nothing; the empty table's first one is
SELECT pg_catalog.brin_desummarize_range('economy.gold_adjustments_xact_idx', 0);
SELECT pg_catalog.pg_extension_config_dump('economy.gold_adjustments', '');
COMMENT ON TABLE economy.gold_adjustments IS 'Journal of changes of gold by admins, with actor and reason. Append-only.';
CREATE TRIGGER gold_adjustments_append_only BEFORE UPDATE OR DELETE OR TRUNCATE
    ON economy.gold_adjustments FOR EACH STATEMENT EXECUTE FUNCTION economy.forbid_change();
ALTER TABLE economy.gold_adjustments ENABLE ALWAYS TRIGGER gold_adjustments_append_only;

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

CREATE FUNCTION economy.adjust_gold(user_id bigint, delta bigint, idempotency_key text, reason text, actor text)
    RETURNS economy.adjust_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_adjust_gold';
COMMENT ON FUNCTION economy.adjust_gold(bigint, bigint, text, text, text) IS
    'Changes a user''s gold by delta, once per idempotency key, with who did it and why. Refuses INSUFFICIENT_GOLD, GOLD_OVERFLOW, USER_NOT_FOUND, IDEMPOTENCY_MISMATCH.';
-- the ledger as a whole, once all journals are there

CREATE VIEW economy.ledger AS
    SELECT user_id, seq, 'shop_transactions' AS journal, 'P' || user_id || '-' || seq AS transaction_id,
           gold_delta, xp_delta, gold, experience_points, created_at, xact, hash FROM economy.shop_transactions
    UNION ALL
    SELECT user_id, seq, 'gold_adjustments', 'G' || user_id || '-' || seq,
           gold_delta, xp_delta, gold, experience_points, created_at, xact, hash FROM economy.gold_adjustments
    UNION ALL
    SELECT user_id, seq, 'reward_audit', 'R' || user_id || '-' || seq,
           gold_delta, xp_delta, gold, experience_points, created_at, xact, hash FROM economy.reward_audit
    UNION ALL
    SELECT user_id, seq, 'user_actions', 'A' || user_id || '-' || seq,
           gold_delta, xp_delta, gold, experience_points, created_at, xact, hash FROM economy.user_actions;
COMMENT ON VIEW economy.ledger IS 'Every entry of every user: the common header of all journals.';
-- realtime: events for clients that were away, the feed for servers, the relay

CREATE FUNCTION economy.replay(user_id bigint, after_seq bigint, max integer DEFAULT 100)
    RETURNS TABLE (code text, seq bigint, type text, event json)
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_replay';
COMMENT ON FUNCTION economy.replay(bigint, bigint, integer) IS
    'A user''s events after an entry, of at most max (10,000) entries, with code EVENT; the last row says MORE, CAUGHT_UP, RESYNC_REQUIRED or USER_NOT_FOUND, and in seq where to go on.';

CREATE FUNCTION economy.entry_events(user_id bigint, seq bigint, journal "char") RETURNS TABLE (type text, event json)
    LANGUAGE c STABLE PARALLEL SAFE ROWS 2 AS 'MODULE_PATHNAME', 'eco_entry_events';
COMMENT ON FUNCTION economy.entry_events(bigint, bigint, "char") IS 'The events of one entry.';

CREATE FUNCTION economy.publish_profile(user_id bigint, field text, before text, after text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_publish_profile';
COMMENT ON FUNCTION economy.publish_profile(bigint, text, text, text) IS
    'Sends profile_update for a change that is no entry, with the transaction.';

CREATE FUNCTION economy.feed_epoch() RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_feed_epoch';
COMMENT ON FUNCTION economy.feed_epoch() IS 'System identifier and timeline: a cursor of changes() is good within them.';

CREATE FUNCTION economy.feed_snapshot() RETURNS pg_snapshot
    LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'eco_feed_snapshot';
COMMENT ON FUNCTION economy.feed_snapshot() IS
    'The current snapshot, in which the own transaction and, on a standby, those of the primary are still running.';

-- A restored database has entries whose transaction ids are of another cluster.
-- Its dump brought that cluster's row; then entries from before this
-- installation are history, not news.
CREATE TABLE economy.installations (
    since timestamptz NOT NULL CONSTRAINT installations_pkey PRIMARY KEY
);
INSERT INTO economy.installations VALUES (clock_timestamp());
SELECT pg_catalog.pg_extension_config_dump('economy.installations', '');
COMMENT ON TABLE economy.installations IS 'When the extension was created here, and in the databases that this one was restored from.';

-- The bounds stand in the statement: for a few new transactions the planner then
-- takes the index on xact, and for a whole history the primary keys.
CREATE FUNCTION economy.entries_between(old pg_snapshot, new pg_snapshot, after_user bigint, after_seq bigint, max integer)
    RETURNS TABLE (user_id bigint, seq bigint, journal "char")
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    RETURN QUERY EXECUTE format($query$
        SELECT l.user_id, l.seq, l.transaction_id::"char" FROM economy.ledger l
        WHERE l.xact >= %s AND l.xact < %s
          AND pg_visible_in_snapshot(l.xact::text::xid8, $2) AND NOT pg_visible_in_snapshot(l.xact::text::xid8, $1)
          AND (l.user_id, l.seq) > ($3, $4)
          AND l.created_at >= (SELECT CASE WHEN count(*) > 1 THEN max(i.since) ELSE '-infinity' END FROM economy.installations i)
        ORDER BY l.user_id, l.seq LIMIT $5
        $query$, pg_snapshot_xmin(old), pg_snapshot_xmax(new)) USING old, new, after_user, after_seq, max;
END
$$;
COMMENT ON FUNCTION economy.entries_between(pg_snapshot, pg_snapshot, bigint, bigint, integer) IS
    'Entries that are visible in the new snapshot and not in the old one, by user and seq, after one of them.';

CREATE FUNCTION economy.changes(cursor text DEFAULT NULL, max integer DEFAULT 1000)
    RETURNS TABLE (code text, user_id bigint, seq bigint, type text, event json, next_cursor text)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    -- epoch|old snapshot, or epoch|old|new|user|seq within a pair of snapshots
    parts   text[] := string_to_array($1, '|');
    epoch   text := economy.feed_epoch();
    nowhere CONSTANT text := '3:3:';
    old     pg_snapshot;
    new     pg_snapshot;
    u       bigint := -9223372036854775808;
    s       bigint := 0;
    entries integer := 0;
    r       record;
BEGIN
    PERFORM economy.require_given('max', max IS NOT NULL);
    IF max NOT BETWEEN 1 AND 10000 THEN
        RAISE EXCEPTION 'max must be from 1 to 10000' USING ERRCODE = 'XE002';
    END IF;
    IF $1 IS NULL THEN
        RETURN QUERY SELECT 'CAUGHT_UP', NULL::bigint, NULL::bigint, NULL, NULL::json, epoch || '|' || economy.feed_snapshot()::text;
        RETURN;
    END IF;
    IF $1 = 'start' THEN
        parts := ARRAY[epoch, nowhere];
    END IF;
    BEGIN
        old := parts[2]::pg_snapshot;
        new := coalesce(parts[3]::pg_snapshot, economy.feed_snapshot());
        u := coalesce(parts[4]::bigint, u);
        s := coalesce(parts[5]::bigint, s);
    EXCEPTION WHEN data_exception THEN
        old := NULL;
    END;
    IF old IS NULL OR cardinality(parts) NOT IN (2, 5) THEN
        RAISE EXCEPTION 'this is no cursor of economy.changes()' USING ERRCODE = 'XE002',
            HINT = 'Pass next_cursor of the last row of the call before, null to begin now, or start to begin with the first entry.';
    END IF;
    -- another cluster or timeline, or one that was set back
    IF parts[1] <> epoch OR pg_snapshot_xmax(new)::text::bigint > pg_snapshot_xmax(economy.feed_snapshot())::text::bigint
       OR pg_snapshot_xmax(old)::text::bigint > pg_snapshot_xmax(new)::text::bigint THEN
        RETURN QUERY SELECT 'RESYNC_REQUIRED', NULL::bigint, NULL::bigint, NULL, NULL::json, epoch || '|' || economy.feed_snapshot()::text;
        RETURN;
    END IF;
    FOR r IN SELECT b.user_id, b.seq, b.journal FROM economy.entries_between(old, new, u, s, max) b LOOP
        RETURN QUERY SELECT 'EVENT', r.user_id, r.seq, e.type, e.event, NULL FROM economy.entry_events(r.user_id, r.seq, r.journal) e;
        u := r.user_id;
        s := r.seq;
        entries := entries + 1;
    END LOOP;
    IF entries = max THEN
        RETURN QUERY SELECT 'MORE', NULL::bigint, NULL::bigint, NULL, NULL::json, concat_ws('|', epoch, old, new, u, s);
    ELSE
        RETURN QUERY SELECT 'CAUGHT_UP', NULL::bigint, NULL::bigint, NULL, NULL::json, epoch || '|' || new::text;
    END IF;
END
$$;
COMMENT ON FUNCTION economy.changes(text, integer) IS
    'The events of all users since a cursor, of at most max (10,000) entries, by user and seq, with code EVENT; the last row says MORE, CAUGHT_UP or RESYNC_REQUIRED and has the next cursor. A null cursor begins now, start with the first entry.';

CREATE FUNCTION economy.relay_status()
    RETURNS TABLE (database oid, pid integer, waiting integer, queued bigint, sent bigint, overflowed bigint,
                   batches bigint, fallbacks bigint, lag_ms double precision, max_lag_ms double precision)
    LANGUAGE c VOLATILE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'eco_relay_status';
COMMENT ON FUNCTION economy.relay_status() IS
    'Per database the relay and its counters: entries queued, events sent, transactions that found the ring full, batches, times the journals were read, lag from commit to NOTIFY. No row without preload or before the first event.';
-- the event contract: what every event looks like

CREATE TABLE economy.event_types (
    name        text    NOT NULL COLLATE "C" CONSTRAINT event_types_pkey PRIMARY KEY
        CONSTRAINT event_types_name_check CHECK (name ~ '^[a-z][a-z0-9_]{0,62}$'),
    version     integer NOT NULL CONSTRAINT event_types_version_check CHECK (version >= 0),
    description text    NOT NULL,
    schema      jsonb   NOT NULL,
    sample      jsonb,
    CONSTRAINT event_types_sample_check CHECK (version = 0 OR sample IS NOT NULL)
);
-- every row is of the extension
SELECT pg_catalog.pg_extension_config_dump('economy.event_types', 'WHERE false');
COMMENT ON TABLE economy.event_types IS 'The event contract: each type with the JSON Schema of its events and a sample.';
COMMENT ON COLUMN economy.event_types.version IS
    'Goes up when members are added; what would break a client is a new type. 0: the name is reserved, nothing sends it.';
COMMENT ON COLUMN economy.event_types.schema IS 'JSON Schema, draft 2020-12, of the whole event.';

-- `data` has the members of `own` and those that all events share, always.  The
-- deltas stand in one event of an entry only, so that summing them up is right.
INSERT INTO economy.event_types (name, version, description, schema, sample)
SELECT t.name, t.version, t.description,
       jsonb_build_object(
           '$schema', 'https://json-schema.org/draft/2020-12/schema',
           '$id', 'urn:economy:event:' || t.name || ':' || t.version,
           'title', t.name,
           'description', t.description,
           'type', 'object',
           'required', '["specversion", "id", "source", "type", "subject", "time", "sequence", "datacontenttype", "data"]'::jsonb,
           'properties', jsonb_build_object(
               'specversion', '{"const": "1.0"}'::jsonb,
               'id', jsonb_build_object('type', 'string', 'pattern', t.id_pattern,
                   'description', 'Unique within source: the transaction_id, with / and an aspect when it is not the first event of the entry.'),
               'source', '{"type": "string", "format": "uri-reference", "pattern": "^/economy/node/[0-9]+$", "description": "The node that the event is of."}'::jsonb,
               'type', jsonb_build_object('const', t.name),
               'subject', '{"type": "string", "pattern": "^[0-9]+$", "description": "The user_id."}'::jsonb,
               'time', '{"type": "string", "format": "date-time", "description": "When the entry was made, UTC."}'::jsonb,
               'sequence', '{"type": "string", "pattern": "^[0-9]{20}$", "description": "seq with 20 digits, which sorts as text."}'::jsonb,
               'datacontenttype', '{"const": "application/json"}'::jsonb,
               'data', jsonb_build_object('type', 'object', 'properties', t.own || m.always || CASE WHEN t.deltas <> 'never' THEN m.deltas ELSE '{}' END,
                   'required', (SELECT jsonb_agg(k ORDER BY k) FROM jsonb_object_keys(t.own || m.always || CASE WHEN t.deltas = 'always' THEN m.deltas ELSE '{}' END) k)) || t.rules)),
       t.sample
FROM (VALUES
    ('purchase_update', 1, 'A purchase was made.',
     '^P[0-9]+-[0-9]+$', 'always',
     '{"product_id": {"type": "string", "minLength": 1, "maxLength": 64},
       "category": {"enum": ["conversion", "item"]},
       "quantity": {"type": "integer", "minimum": 1, "maximum": 2147483647},
       "status": {"enum": ["SUCCESS", "PENDING"]},
       "effect_code": {"type": ["string", "null"], "minLength": 1, "maxLength": 64, "description": "What the app applies."},
       "idempotency_key": {"type": "string", "minLength": 1, "maxLength": 255}}'::jsonb,
     '{}'::jsonb,
     '{"specversion": "1.0", "id": "P3-2", "source": "/economy/node/0", "type": "purchase_update", "subject": "3",
       "time": "2026-03-02T12:00:00.000000Z", "sequence": "00000000000000000002", "datacontenttype": "application/json",
       "data": {"product_id": "potion", "category": "item", "quantity": 3, "status": "SUCCESS", "effect_code": "heal_50",
                "idempotency_key": "order-2", "seq": 2, "gold_delta": -45, "xp_delta": 0, "gold": 1955, "experience_points": 0}}'::jsonb),
    ('reward_granted', 1, 'A reward was granted, a daily reward claimed, or a reward reversed.',
     '^R[0-9]+-[0-9]+$', 'always',
     '{"source": {"type": "string", "minLength": 1, "maxLength": 64, "description": "economy:daily_streak for a claim, economy:reversal for a reversal."},
       "external_event_id": {"type": "string", "minLength": 1, "maxLength": 255, "description": "Of a claim its date, of a reversal the transaction_id of the reward."},
       "streak_day": {"type": ["integer", "null"], "minimum": 1, "description": "Of a claim the length of the streak."},
       "level": {"type": "integer", "minimum": 1, "maximum": 2147483647, "description": "After the entry, on the curve that the user has when the event is told."},
       "leveled_up": {"type": "boolean"}}',
     '{}',
     '{"specversion": "1.0", "id": "R4-2", "source": "/economy/node/0", "type": "reward_granted", "subject": "4",
       "time": "2026-03-02T12:00:00.000000Z", "sequence": "00000000000000000002", "datacontenttype": "application/json",
       "data": {"source": "mission", "external_event_id": "mission-7", "streak_day": null, "level": 2, "leveled_up": true,
                "seq": 2, "gold_delta": 10, "xp_delta": 500, "gold": 20, "experience_points": 500}}'),
    ('profile_update', 1, 'Something about a user changed: the level (by a reward), the gold (by an admin), the time zone, the status or the segment.',
     '^(R[0-9]+-[0-9]+/level|G[0-9]+-[0-9]+|U[0-9]+-[0-9]+/[a-z_]+/[0-9]+)$', 'some',
     '{"field": {"type": "string", "pattern": "^[a-z_]{1,64}$", "description": "What changed: level, gold, timezone, status, segment. Ignore others."},
       "before": {"type": ["string", "integer", "null"]},
       "after": {"type": ["string", "integer", "null"]}}',
     '{"allOf": [
         {"if": {"properties": {"field": {"const": "level"}}},
          "then": {"properties": {"before": {"type": "integer", "minimum": 1}, "after": {"type": "integer", "minimum": 1}}}},
         {"if": {"properties": {"field": {"const": "gold"}}},
          "then": {"properties": {"before": {"type": "integer", "minimum": 0}, "after": {"type": "integer", "minimum": 0}}}},
         {"if": {"properties": {"field": {"const": "timezone"}}},
          "then": {"properties": {"before": {"type": "string"}, "after": {"type": "string"}}}},
         {"if": {"properties": {"field": {"const": "status"}}},
          "then": {"properties": {"before": {"enum": ["active", "suspended"]}, "after": {"enum": ["active", "suspended"]}}}},
         {"if": {"properties": {"field": {"const": "segment"}}},
          "then": {"properties": {"before": {"type": ["string", "null"]}, "after": {"type": "string"}}}},
         {"if": {"not": {"properties": {"field": {"const": "gold"}}}},
          "then": {"properties": {"gold_delta": false, "xp_delta": false}},
          "else": {"required": ["gold_delta", "xp_delta"]}}]}',
     '{"specversion": "1.0", "id": "R4-2/level", "source": "/economy/node/0", "type": "profile_update", "subject": "4",
       "time": "2026-03-02T12:00:00.000000Z", "sequence": "00000000000000000002", "datacontenttype": "application/json",
       "data": {"field": "level", "before": 1, "after": 2,
                "seq": 2, "gold": 20, "experience_points": 500}}'),
    ('user_action', 1, 'A game action was recorded.',
     '^A[0-9]+-[0-9]+$', 'always',
     '{"game": {"type": "string", "minLength": 1, "maxLength": 64},
       "action_type": {"type": "string", "minLength": 1, "maxLength": 64},
       "action_id": {"type": "string", "minLength": 1, "maxLength": 255},
       "bet": {"type": "integer", "minimum": 0, "maximum": 9007199254740991},
       "win": {"type": "integer", "minimum": 0, "maximum": 9007199254740991},
       "outcome": {"enum": ["win", "loss", "draw"]}}',
     '{}',
     '{"specversion": "1.0", "id": "A4-3", "source": "/economy/node/0", "type": "user_action", "subject": "4",
       "time": "2026-03-02T12:00:00.000000Z", "sequence": "00000000000000000003", "datacontenttype": "application/json",
       "data": {"game": "rps", "action_type": "RPS_PLAY", "action_id": "round-1", "bet": 5, "win": 10, "outcome": "win",
                "seq": 3, "gold_delta": 5, "xp_delta": 0, "gold": 25, "experience_points": 500}}'),
    ('stats_delta', 1, 'What an action added to the user''s statistics of its game, and the totals when the event was told: later actions may already be in them.',
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
     '{"specversion": "1.0", "id": "A4-3/stats", "source": "/economy/node/0", "type": "stats_delta", "subject": "4",
       "time": "2026-03-02T12:00:00.000000Z", "sequence": "00000000000000000003", "datacontenttype": "application/json",
       "data": {"game": "rps", "total_delta": 1, "wins_delta": 1, "losses_delta": 0, "draws_delta": 0, "bet_delta": 5, "win_delta": 10,
                "total": 1, "wins": 1, "losses": 0, "draws": 0, "max_win": 10,
                "seq": 3, "gold": 25, "experience_points": 500}}'),
    ('mission_update', 0, 'Reserved for the progress of missions. Nothing sends it yet, and its own members are not decided.',
     '^[A-Z][0-9]+-[0-9]+(/.+)?$', 'never', '{}', '{}', NULL)
) t (name, version, description, id_pattern, deltas, own, rules, sample)
CROSS JOIN (SELECT
    '{"seq": {"type": "integer", "minimum": 0, "maximum": 9007199254740991, "description": "Number of the user''s entry."},
      "gold": {"type": "integer", "minimum": 0, "maximum": 9007199254740991, "description": "After the entry."},
      "experience_points": {"type": "integer", "minimum": 0, "maximum": 9007199254740991, "description": "After the entry."}}'::jsonb AS always,
    '{"gold_delta": {"type": "integer", "minimum": -9007199254740991, "maximum": 9007199254740991},
      "xp_delta": {"type": "integer", "minimum": -9007199254740991, "maximum": 9007199254740991}}'::jsonb AS deltas) m;

CREATE FUNCTION economy.asyncapi() RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT jsonb_build_object(
            'asyncapi', '3.0.0',
            'info', jsonb_build_object('title', 'economy',
                'version', (SELECT x.extversion FROM pg_extension x WHERE x.extname = 'economy'),
                'description', 'Events of the economy of a game or app, by LISTEN and NOTIFY of PostgreSQL; the payload is a CloudEvents 1.0 event. A payload is news, not proof: the journals are the authority.'),
            'defaultContentType', 'application/cloudevents+json',
            'channels', jsonb_object_agg(t.name, jsonb_build_object('address', t.name, 'description', t.description,
                    'messages', jsonb_build_object(t.name, jsonb_build_object('$ref', '#/components/messages/' || t.name))))
                || jsonb_build_object('economy_user', jsonb_build_object('address', 'economy_user_{user_id}',
                    'description', 'Every event of one user, when economy.notify_user_channels is on.',
                    'parameters', '{"user_id": {"description": "The user_id, as in subject."}}'::jsonb,
                    'messages', jsonb_object_agg(t.name, jsonb_build_object('$ref', '#/components/messages/' || t.name)))),
            'operations', jsonb_object_agg('send_' || t.name, jsonb_build_object('action', 'send', 'summary', t.description,
                    'channel', jsonb_build_object('$ref', '#/channels/' || t.name),
                    'messages', jsonb_build_array(jsonb_build_object('$ref', '#/channels/' || t.name || '/messages/' || t.name))))
                || jsonb_build_object('send_to_user', jsonb_build_object('action', 'send',
                    'channel', jsonb_build_object('$ref', '#/channels/economy_user'))),
            'components', jsonb_build_object('messages', jsonb_object_agg(t.name, jsonb_build_object(
                'name', t.name, 'title', t.name, 'summary', t.description,
                'contentType', 'application/cloudevents+json',
                -- what the schema uses means the same in AsyncAPI's own dialect
                'payload', t.schema - '$schema' - '$id',
                'examples', jsonb_build_array(jsonb_build_object('payload', t.sample))))))
        FROM economy.event_types t WHERE t.version > 0;
    END;
COMMENT ON FUNCTION economy.asyncapi() IS 'The AsyncAPI 3.0 document of the events that are sent, made from economy.event_types.';
-- segment: daily buckets, models, rules, scores, segments

-- Models and rules. Both are data; a snapshot keeps what it was made with.

CREATE TABLE economy.rfm_models (
    model             text    NOT NULL COLLATE "C" CONSTRAINT rfm_models_pkey PRIMARY KEY
        CONSTRAINT rfm_models_model_check CHECK (octet_length(model) BETWEEN 1 AND 64),
    window_days       integer CONSTRAINT rfm_models_window_check CHECK (window_days BETWEEN 1 AND 36500),
    recency_clamp     integer CONSTRAINT rfm_models_clamp_check CHECK (recency_clamp BETWEEN 1 AND 36500),
    recency_kind      text    NOT NULL CONSTRAINT rfm_models_recency_kind_check
        CHECK (recency_kind IN ('fixed', 'quantile', 'quantile_plus_one')),
    recency_breaks    numeric[] NOT NULL,
    frequency_kind    text    NOT NULL CONSTRAINT rfm_models_frequency_kind_check
        CHECK (frequency_kind IN ('fixed', 'quantile', 'quantile_plus_one')),
    frequency_breaks  numeric[] NOT NULL,
    monetary_kind     text    NOT NULL CONSTRAINT rfm_models_monetary_kind_check
        CHECK (monetary_kind IN ('fixed', 'quantile', 'quantile_plus_one')),
    monetary_breaks   numeric[] NOT NULL,
    population        text    NOT NULL CONSTRAINT rfm_models_population_check CHECK (population IN ('active', 'all')),
    recency_weight    numeric NOT NULL CONSTRAINT rfm_models_recency_weight_check CHECK (recency_weight BETWEEN 0 AND 1),
    frequency_weight  numeric NOT NULL CONSTRAINT rfm_models_frequency_weight_check CHECK (frequency_weight BETWEEN 0 AND 1),
    monetary_weight   numeric NOT NULL CONSTRAINT rfm_models_monetary_weight_check CHECK (monetary_weight BETWEEN 0 AND 1),
    builtin           boolean NOT NULL DEFAULT false
);
SELECT pg_catalog.pg_extension_config_dump('economy.rfm_models', 'WHERE NOT builtin');
COMMENT ON TABLE economy.rfm_models IS 'Definitions of recency, frequency and monetary scores, 1 to 5, 5 the best. Changed by set_rfm_model().';
COMMENT ON COLUMN economy.rfm_models.window_days IS 'Days of which purchases count for frequency and monetary; null is all time.';
COMMENT ON COLUMN economy.rfm_models.recency_clamp IS 'Largest recency in days, also of users that never bought; null is none.';
COMMENT ON COLUMN economy.rfm_models.recency_kind IS
    'fixed: the breaks are values; quantile: fractions, percentile_disc of the population; quantile_plus_one: fractions, percentile_cont plus 1.';
COMMENT ON COLUMN economy.rfm_models.recency_breaks IS
    'Four breaks, rising. fixed: up to the first break scores 5, beyond the last 1; quantile: a bound belongs to the worse score.';
COMMENT ON COLUMN economy.rfm_models.frequency_breaks IS 'Four breaks, rising; a bound belongs to the better score.';
COMMENT ON COLUMN economy.rfm_models.monetary_breaks IS 'Four breaks, rising; a bound belongs to the better score.';
COMMENT ON COLUMN economy.rfm_models.population IS 'Whose values make the quantiles: active has a purchase in the window, all has one at any time.';
INSERT INTO economy.rfm_models VALUES
    ('standard', 30, 90, 'fixed', '{1,3,7,14}', 'quantile', '{0.2,0.4,0.6,0.8}', 'quantile', '{0.2,0.4,0.6,0.8}', 'active', 0.4, 0.3, 0.3, true),
    ('all_time', NULL, NULL, 'quantile_plus_one', '{0.2,0.4,0.6,0.8}', 'quantile_plus_one', '{0.2,0.4,0.6,0.8}',
     'quantile_plus_one', '{0.2,0.4,0.6,0.8}', 'all', 0.4, 0.3, 0.3, true);

CREATE TABLE economy.segment_rules (
    version        integer NOT NULL,
    position       integer NOT NULL,
    segment        text    NOT NULL COLLATE "C" CONSTRAINT segment_rules_segment_check CHECK (octet_length(segment) BETWEEN 1 AND 64),
    bought         boolean,
    recency_from   integer CONSTRAINT segment_rules_recency_from_check CHECK (recency_from >= 0),
    recency_to     integer CONSTRAINT segment_rules_recency_to_check CHECK (recency_to >= recency_from),
    frequency_from bigint  CONSTRAINT segment_rules_frequency_from_check CHECK (frequency_from >= 0),
    frequency_to   bigint  CONSTRAINT segment_rules_frequency_to_check CHECK (frequency_to >= frequency_from),
    monetary_from  text    CONSTRAINT segment_rules_monetary_from_check CHECK (monetary_from ~ '^(p60|p95|[0-9]{1,16})$'),
    monetary_below text    CONSTRAINT segment_rules_monetary_below_check CHECK (monetary_below ~ '^(p60|p95|[0-9]{1,16})$'),
    p95_positive   boolean NOT NULL DEFAULT false,
    CONSTRAINT segment_rules_pkey PRIMARY KEY (version, position)
);
SELECT pg_catalog.pg_extension_config_dump('economy.segment_rules', 'WHERE version > 0');
COMMENT ON TABLE economy.segment_rules IS
    'Ordered rules: a user''s segment is that of the first rule that matches; all conditions of a rule must hold, null is no condition. The highest version is in force.';
COMMENT ON COLUMN economy.segment_rules.bought IS 'Whether the user has ever bought anything.';
COMMENT ON COLUMN economy.segment_rules.recency_from IS 'Least recency in days, inclusive.';
COMMENT ON COLUMN economy.segment_rules.recency_to IS 'Greatest recency in days, inclusive.';
COMMENT ON COLUMN economy.segment_rules.frequency_from IS 'Least number of purchases in the window, inclusive.';
COMMENT ON COLUMN economy.segment_rules.frequency_to IS 'Greatest number of purchases in the window, inclusive.';
COMMENT ON COLUMN economy.segment_rules.monetary_from IS 'Least sum, inclusive: a number, p60 or p95 of the users with a purchase in the window.';
COMMENT ON COLUMN economy.segment_rules.monetary_below IS 'The sum is below this: a number, p60 or p95.';
COMMENT ON COLUMN economy.segment_rules.p95_positive IS 'The rule matches only while p95 is above 0.';
INSERT INTO economy.segment_rules VALUES
    (0, 1, 'NoPurchase',  false, NULL, NULL, NULL, NULL, NULL,  NULL,  false),
    (0, 2, 'Whale',       true,  NULL, NULL, 1,    NULL, 'p95', NULL,  true),
    (0, 3, 'HighEngaged', true,  NULL, 7,    10,   NULL, NULL,  NULL,  false),
    (0, 4, 'AtRisk',      true,  22,   NULL, NULL, NULL, NULL,  NULL,  false),
    (0, 5, 'Medium',      true,  NULL, NULL, 4,    NULL, NULL,  NULL,  false),
    (0, 6, 'Medium',      true,  NULL, NULL, NULL, NULL, 'p60', 'p95', false),
    (0, 7, 'Low',         true,  8,    21,   1,    3,    NULL,  NULL,  false),
    (0, 8, 'New',         true,  NULL, 7,    1,    3,    NULL,  NULL,  false);

CREATE TYPE economy.score_bounds AS (
    users      bigint,
    active     bigint,
    recency    numeric[],
    frequency  numeric[],
    monetary   numeric[],
    p60        numeric,
    p95        numeric,
    degenerate text[]
);
COMMENT ON TYPE economy.score_bounds IS 'What a model''s scores are measured against: bounds of the five scores, and p60 and p95 of monetary.';

CREATE FUNCTION economy.rfm_model(model text) RETURNS economy.rfm_models
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    result economy.rfm_models;
BEGIN
    PERFORM economy.require_given('model', model IS NOT NULL);
    SELECT * INTO result FROM economy.rfm_models m WHERE m.model = rfm_model.model;
    IF NOT found THEN
        RAISE EXCEPTION 'model "%" does not exist', model USING ERRCODE = 'XE603',
            HINT = 'Models are made by economy.set_rfm_model().';
    END IF;
    RETURN result;
END
$$;
COMMENT ON FUNCTION economy.rfm_model(text) IS 'The definition of a model; XE603 when there is none.';

CREATE FUNCTION economy.rfm_setting(name text) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    -- a call of C defines the settings in a session that has not loaded the library
    PERFORM economy.now();
    RETURN current_setting(name);
END
$$;
COMMENT ON FUNCTION economy.rfm_setting(text) IS 'A setting of the extension, also in a session that has not called it yet.';

CREATE FUNCTION economy.rfm_rules() RETURNS SETOF economy.segment_rules
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT * FROM economy.segment_rules r
        WHERE r.version = (SELECT max(v.version) FROM economy.segment_rules v) ORDER BY r.position;
    END;
COMMENT ON FUNCTION economy.rfm_rules() IS 'The segment rules in force, in their order.';

CREATE FUNCTION economy.rfm_rule_ranges(rules jsonb, p60 numeric, p95 numeric)
    RETURNS TABLE ("position" integer, segment text, bought boolean, recency_from bigint, recency_to bigint,
                   frequency_from bigint, frequency_to bigint, monetary_from numeric, monetary_below numeric)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT r.position, r.segment, r.bought, coalesce(r.recency_from, 0), coalesce(r.recency_to, 9223372036854775807),
               -- a rule that cannot match wants more purchases than there are
               CASE WHEN (r.p95_positive AND coalesce(p95, 0) <= 0)
                      OR (r.monetary_from IS NOT NULL AND l.least IS NULL) OR (r.monetary_below IS NOT NULL AND g.most IS NULL)
                    THEN 9223372036854775807 ELSE coalesce(r.frequency_from, 0) END,
               coalesce(r.frequency_to, 9223372036854775806),
               coalesce(l.least, '-Infinity'), coalesce(g.most, 'Infinity')
        FROM jsonb_populate_recordset(NULL::economy.segment_rules, CASE jsonb_typeof(rules) WHEN 'array' THEN rules ELSE '[]' END) r
        CROSS JOIN LATERAL (SELECT CASE r.monetary_from WHEN 'p60' THEN p60 WHEN 'p95' THEN p95 ELSE r.monetary_from::numeric END) l (least)
        CROSS JOIN LATERAL (SELECT CASE r.monetary_below WHEN 'p60' THEN p60 WHEN 'p95' THEN p95 ELSE r.monetary_below::numeric END) g (most)
        ORDER BY r.position;
    END;
COMMENT ON FUNCTION economy.rfm_rule_ranges(jsonb, numeric, numeric) IS
    'Rules with p60 and p95 put in and no nulls left but in bought; monetary_below is exclusive, all else inclusive.';

CREATE FUNCTION economy.check_segment_rules(rules jsonb, model economy.rfm_models) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp SET jit = off AS $$
#variable_conflict use_column
DECLARE
    gap record;
BEGIN
    -- every case that the rules can tell apart: the values at and next to each threshold
    WITH rule AS (
        SELECT * FROM jsonb_populate_recordset(NULL::economy.segment_rules, rules)
    ), amount AS (
        SELECT DISTINCT v FROM rule r
            CROSS JOIN LATERAL (VALUES (r.monetary_from), (r.monetary_below)) b (bound)
            CROSS JOIN LATERAL (SELECT greatest(0, bound::bigint + d) FROM generate_series(-1, 1) d
                                WHERE bound ~ '^[0-9]+$') n (v)
        UNION SELECT unnest(ARRAY[0, 1, 1000000000000])
    ), shape AS (
        SELECT row_number() OVER () AS id, v.p60, v.p95 FROM (
            SELECT NULL::bigint AS p60, NULL::bigint AS p95
            UNION SELECT a.v, b.v FROM amount a JOIN amount b ON a.v <= b.v
            UNION SELECT 500000, 700000) v
    ), recency AS (
        SELECT DISTINCT least(v, coalesce(model.recency_clamp, 1000000)) AS v FROM (
            SELECT greatest(0, b + d) FROM rule r CROSS JOIN LATERAL (VALUES (r.recency_from), (r.recency_to)) t (b), generate_series(-1, 1) d WHERE b IS NOT NULL
            UNION SELECT unnest(ARRAY[0, 1, 1000000])
            UNION SELECT greatest(0, model.window_days + d) FROM generate_series(-1, 1) d WHERE model.window_days IS NOT NULL) x (v)
    ), frequency AS (
        SELECT DISTINCT v FROM (
            SELECT greatest(0, b + d) FROM rule r CROSS JOIN LATERAL (VALUES (r.frequency_from), (r.frequency_to)) t (b), generate_series(-1, 1) d WHERE b IS NOT NULL
            UNION SELECT unnest(ARRAY[0, 1, 1000000000])) x (v)
    ), situation AS (
        SELECT s.id, s.p60, s.p95, false AS bought, coalesce(model.recency_clamp, 1000000) AS r, 0::bigint AS f, 0::bigint AS m FROM shape s
        UNION ALL
        SELECT s.id, s.p60, s.p95, true, r.v, f.v, m.v
        FROM shape s CROSS JOIN recency r CROSS JOIN frequency f
        CROSS JOIN LATERAL (SELECT a.v FROM amount a UNION SELECT s.p60 + d FROM generate_series(-1, 1) d WHERE s.p60 + d >= 0
                            UNION SELECT s.p95 + d FROM generate_series(-1, 1) d WHERE s.p95 + d >= 0) m
        -- who bought nothing in the window bought before it, and spent nothing
        WHERE (f.v > 0 OR (m.v = 0 AND r.v >= least(model.window_days, coalesce(model.recency_clamp, 1000000))))
          AND (f.v = 0 OR model.window_days IS NULL OR r.v <= least(model.window_days, coalesce(model.recency_clamp, 1000000)))
          -- p60 and p95 are of users with a purchase in the window
          AND (f.v = 0 OR s.p60 IS NOT NULL)
    ), ranges AS MATERIALIZED (
        SELECT s.id, g.* FROM shape s CROSS JOIN LATERAL economy.rfm_rule_ranges(rules, s.p60, s.p95) g
    )
    SELECT * INTO gap FROM situation c WHERE NOT EXISTS (
        SELECT FROM ranges g
        WHERE g.id = c.id AND (g.bought IS NULL OR g.bought = c.bought)
          AND c.r BETWEEN g.recency_from AND g.recency_to AND c.f BETWEEN g.frequency_from AND g.frequency_to
          AND c.m >= g.monetary_from AND c.m < g.monetary_below)
    ORDER BY c.bought, c.p60 NULLS FIRST, c.p95, c.r, c.f, c.m LIMIT 1;
    IF found THEN
        RAISE EXCEPTION 'the segment rules leave users without a segment' USING ERRCODE = 'XE601',
            DETAIL = CASE WHEN gap.bought
                THEN format('No rule matches recency %s, frequency %s, monetary %s, with p60 = %s and p95 = %s and the model "%s".',
                            gap.r, gap.f, gap.m, coalesce(gap.p60::text, 'null'), coalesce(gap.p95::text, 'null'), model.model)
                ELSE 'No rule matches a user that never bought anything.' END,
            HINT = 'Add a last rule without conditions.';
    END IF;
END
$$;
COMMENT ON FUNCTION economy.check_segment_rules(jsonb, economy.rfm_models) IS
    'Raises XE601 unless the rules give every possible user of the model a segment.';

CREATE FUNCTION economy.set_segment_rules(rules jsonb, actor text) RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_column
DECLARE
    next_version integer;
    unknown      text;
    message      text;
BEGIN
    PERFORM economy.require_actor(actor);
    PERFORM economy.require_given('rules', rules IS NOT NULL);
    IF jsonb_typeof(rules) <> 'array' OR jsonb_array_length(rules) NOT BETWEEN 1 AND 100
       OR EXISTS (SELECT FROM jsonb_array_elements(rules) e WHERE jsonb_typeof(e) <> 'object') THEN
        RAISE EXCEPTION 'rules must be an array of 1 to 100 JSON objects' USING ERRCODE = 'XE601';
    END IF;
    SELECT k INTO unknown FROM jsonb_array_elements(rules) e, jsonb_object_keys(e) k
        WHERE k <> ALL (ARRAY['segment', 'bought', 'recency_from', 'recency_to', 'frequency_from', 'frequency_to',
                              'monetary_from', 'monetary_below', 'p95_positive']) LIMIT 1;
    IF found THEN
        RAISE EXCEPTION 'a rule has an unknown key "%"', unknown USING ERRCODE = 'XE601',
            HINT = 'The keys are the conditions of economy.segment_rules; the order is that of the array.';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('economy.segment_rules', 0));
    SELECT max(version) + 1 INTO next_version FROM economy.segment_rules;
    BEGIN
        INSERT INTO economy.segment_rules
            SELECT (jsonb_populate_record(NULL::economy.segment_rules,
                        '{"p95_positive": false}' || e.value
                        || jsonb_build_object('version', next_version, 'position', e.ordinality))).*
            FROM jsonb_array_elements(rules) WITH ORDINALITY e
            -- there is none that this transaction can see: others raise 40001
            ON CONFLICT ON CONSTRAINT segment_rules_pkey DO NOTHING;
    EXCEPTION WHEN data_exception OR integrity_constraint_violation THEN
        GET STACKED DIAGNOSTICS message = MESSAGE_TEXT;
        RAISE EXCEPTION 'a segment rule is not valid' USING ERRCODE = 'XE601', DETAIL = message || '.',
            HINT = 'See the columns and constraints of economy.segment_rules.';
    END;
    PERFORM economy.check_segment_rules((SELECT jsonb_agg(to_jsonb(r)) FROM economy.rfm_rules() r),
                                        economy.rfm_model(economy.rfm_setting('economy.rfm_model')));
    INSERT INTO economy.segment_rule_changes (version, actor, changed_at) VALUES (next_version, actor, economy.now());
    RETURN next_version;
END
$$;
COMMENT ON FUNCTION economy.set_segment_rules(jsonb, text) IS
    'Replaces the segment rules by an array of objects, first match first, after checking that no user is left without a segment (XE601); in use from the next rfm_refresh(). Returns their version.';

CREATE TABLE economy.segment_rule_changes (
    version    integer     NOT NULL CONSTRAINT segment_rule_changes_pkey PRIMARY KEY,
    actor      text        NOT NULL,
    changed_at timestamptz NOT NULL
);
SELECT pg_catalog.pg_extension_config_dump('economy.segment_rule_changes', '');
COMMENT ON TABLE economy.segment_rule_changes IS 'Who put which version of the segment rules in force, and when.';

CREATE FUNCTION economy.set_rfm_model(model jsonb, actor text) RETURNS economy.rfm_models
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_column
DECLARE
    old_row economy.rfm_models;
    new_row economy.rfm_models;
    axis    text;
    breaks  numeric[];
    unknown text;
    message text;
BEGIN
    PERFORM economy.require_actor(actor);
    PERFORM economy.require_given('model', model IS NOT NULL);
    IF jsonb_typeof(model) <> 'object' OR model ->> 'model' IS NULL THEN
        RAISE EXCEPTION 'model must be a JSON object with a name, "model"' USING ERRCODE = 'XE603';
    END IF;
    SELECT k INTO unknown FROM jsonb_object_keys(model) k
        WHERE k NOT IN (SELECT a.attname FROM pg_attribute a WHERE a.attrelid = 'economy.rfm_models'::regclass AND a.attnum > 0)
           OR k = 'builtin' LIMIT 1;
    IF found THEN
        RAISE EXCEPTION 'model has an unknown key "%"', unknown USING ERRCODE = 'XE603',
            HINT = 'The keys are the column names of economy.rfm_models.';
    END IF;
    SELECT * INTO old_row FROM economy.rfm_models m WHERE m.model = set_rfm_model.model ->> 'model' FOR NO KEY UPDATE;
    IF old_row.builtin THEN
        RAISE EXCEPTION 'model "%" is built in', old_row.model USING ERRCODE = 'XE603',
            HINT = 'Make a model of another name and set economy.rfm_model to it.';
    END IF;
    IF NOT found THEN
        SELECT * INTO old_row FROM economy.rfm_models m WHERE m.model = 'standard';
        old_row.builtin := false;
    END IF;
    BEGIN
        new_row := jsonb_populate_record(old_row, model);
        FOR axis, breaks IN SELECT * FROM (VALUES ('recency', new_row.recency_breaks), ('frequency', new_row.frequency_breaks),
                                                  ('monetary', new_row.monetary_breaks)) v LOOP
            IF breaks IS NULL OR array_ndims(breaks) IS DISTINCT FROM 1 OR cardinality(breaks) <> 4
               OR breaks IS DISTINCT FROM (SELECT array_agg(DISTINCT b ORDER BY b) FROM unnest(breaks) b)
               OR (to_jsonb(new_row) ->> (axis || '_kind') <> 'fixed' AND (breaks[1] <= 0 OR breaks[4] >= 1))
               OR array_position(breaks, NULL) IS NOT NULL OR breaks[1] < 0 OR breaks[4] > 9007199254740991 OR 'NaN' = ANY (breaks) THEN
                RAISE EXCEPTION '%_breaks must be four rising numbers, fractions between 0 and 1 for quantiles', axis
                    USING ERRCODE = 'check_violation';
            END IF;
        END LOOP;
        INSERT INTO economy.rfm_models SELECT (new_row).*
            ON CONFLICT ON CONSTRAINT rfm_models_pkey DO UPDATE SET
                window_days = excluded.window_days, recency_clamp = excluded.recency_clamp,
                recency_kind = excluded.recency_kind, recency_breaks = excluded.recency_breaks,
                frequency_kind = excluded.frequency_kind, frequency_breaks = excluded.frequency_breaks,
                monetary_kind = excluded.monetary_kind, monetary_breaks = excluded.monetary_breaks,
                population = excluded.population, recency_weight = excluded.recency_weight,
                frequency_weight = excluded.frequency_weight, monetary_weight = excluded.monetary_weight;
    EXCEPTION WHEN data_exception OR integrity_constraint_violation THEN
        GET STACKED DIAGNOSTICS message = MESSAGE_TEXT;
        RAISE EXCEPTION 'model is not valid' USING ERRCODE = 'XE603', DETAIL = message || '.',
            HINT = 'See the columns and constraints of economy.rfm_models.';
    END;
    RETURN new_row;
END
$$;
COMMENT ON FUNCTION economy.set_rfm_model(jsonb, text) IS
    'Makes a model, from the columns given and those of "standard", or changes one; rfm_refresh() uses the model that economy.rfm_model names. XE603 for a model that is not valid or built in.';

-- Scores of any table

CREATE FUNCTION economy.rfm_measure_query(model economy.rfm_models, inputs text) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    counted CONSTANT text := CASE model.population WHEN 'active' THEN 'frequency >= 1' ELSE 'true' END;
    axis    record;
    columns text := '';
BEGIN
    PERFORM economy.require_given('model', model.model IS NOT NULL);
    PERFORM economy.require_given('inputs', inputs IS NOT NULL);
    FOR axis IN SELECT * FROM (VALUES ('recency', model.recency_kind, model.recency_breaks), ('frequency', model.frequency_kind, model.frequency_breaks),
                                      ('monetary', model.monetary_kind, model.monetary_breaks)) v (name, kind, breaks) LOOP
        columns := columns || CASE axis.kind
            WHEN 'fixed' THEN format(', %L::numeric[]', axis.breaks)
            WHEN 'quantile' THEN format(', (percentile_disc(%L::double precision[]) WITHIN GROUP (ORDER BY %I) FILTER (WHERE %s))::numeric[]',
                                        axis.breaks, axis.name, counted)
            ELSE format(', (percentile_cont(%L::double precision[]) WITHIN GROUP (ORDER BY %I::double precision) FILTER (WHERE %s))::numeric[]',
                        axis.breaks, axis.name, counted) END || ' AS ' || axis.name;
    END LOOP;
    RETURN format('SELECT count(*) AS users, count(*) FILTER (WHERE frequency >= 1) AS active %s,
                       (percentile_disc(ARRAY[0.6, 0.95]) WITHIN GROUP (ORDER BY monetary) FILTER (WHERE frequency >= 1))::numeric[] AS p
                   FROM (%s) i WHERE recency IS NOT NULL', columns, inputs);
END
$$;
COMMENT ON FUNCTION economy.rfm_measure_query(economy.rfm_models, text) IS
    'A query for what rfm_measured() takes, over the rows (recency, frequency, monetary) of a query.';

CREATE FUNCTION economy.rfm_measured(model economy.rfm_models, users bigint, active bigint, recency numeric[], frequency numeric[], monetary numeric[], p numeric[])
    RETURNS economy.score_bounds
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    axis         record;
    found_bounds numeric[];
    result       economy.score_bounds;
BEGIN
    result.users := users;
    result.active := active;
    result.p60 := p[1];
    result.p95 := p[2];
    result.degenerate := '{}';
    FOR axis IN SELECT * FROM (VALUES ('recency', model.recency_kind, recency), ('frequency', model.frequency_kind, frequency),
                                      ('monetary', model.monetary_kind, monetary)) v (name, kind, bounds) LOOP
        found_bounds := axis.bounds;
        -- a fixed break of recency belongs to the better score, a bound to the worse one
        IF axis.kind = 'quantile_plus_one' OR (axis.kind = 'fixed' AND axis.name = 'recency') THEN
            SELECT array_agg(b + 1 ORDER BY b) INTO found_bounds FROM unnest(axis.bounds) b;
        END IF;
        IF found_bounds IS NULL OR found_bounds[1] = found_bounds[4] THEN
            result.degenerate := result.degenerate || axis.name;
        END IF;
        CASE axis.name WHEN 'recency' THEN result.recency := found_bounds;
            WHEN 'frequency' THEN result.frequency := found_bounds;
            ELSE result.monetary := found_bounds; END CASE;
    END LOOP;
    RETURN result;
END
$$;
COMMENT ON FUNCTION economy.rfm_measured(economy.rfm_models, bigint, bigint, numeric[], numeric[], numeric[], numeric[]) IS
    'The bounds of a model out of the answer of rfm_measure_query().';

CREATE FUNCTION economy.rfm_measure(model economy.rfm_models, inputs text) RETURNS economy.score_bounds
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    row record;
BEGIN
    EXECUTE economy.rfm_measure_query(model, inputs) INTO row;
    RETURN economy.rfm_measured(model, row.users, row.active, row.recency, row.frequency, row.monetary, row.p);
END
$$;
COMMENT ON FUNCTION economy.rfm_measure(economy.rfm_models, text) IS
    'The bounds that a model finds in the rows (recency, frequency, monetary) of a query, which runs with the caller''s privileges.';

CREATE FUNCTION economy.rfm_source(model economy.rfm_models, source text, as_of timestamptz) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    kind    text;
    nulls   bigint;
    message text;
    at      text := 's.ts';
BEGIN
    PERFORM economy.require_given('source', source IS NOT NULL);
    PERFORM economy.require_given('as_of', as_of IS NOT NULL);
    IF NOT isfinite(as_of) THEN
        RAISE EXCEPTION 'as_of must be a finite time' USING ERRCODE = 'XE002';
    END IF;
    BEGIN
        EXECUTE format('SELECT pg_typeof((SELECT s.ts FROM (%s) s LIMIT 1))::text, count(*)
                        FROM (%s) s WHERE s.id IS NULL OR s.ts IS NULL OR s.amount::numeric IS NULL', source, source) INTO kind, nulls;
    EXCEPTION WHEN undefined_column OR cannot_coerce OR invalid_text_representation OR undefined_table OR syntax_error THEN
        GET STACKED DIAGNOSTICS message = MESSAGE_TEXT;
        RAISE EXCEPTION 'source must have the columns id, ts and amount' USING ERRCODE = 'XE604', DETAIL = message || '.',
            HINT = 'For a table of another shape, give economy.rfm_score_query() a query; qualify its names.';
    END;
    IF kind NOT IN ('timestamp with time zone', 'timestamp without time zone', 'date') THEN
        RAISE EXCEPTION 'ts must be a date or a timestamp' USING ERRCODE = 'XE604', DETAIL = format('It is of type %s.', kind);
    END IF;
    IF nulls > 0 THEN
        RAISE EXCEPTION 'source has % rows with a null id, ts or amount', nulls USING ERRCODE = 'XE604';
    END IF;
    IF kind <> 'timestamp with time zone' THEN
        at := '(s.ts::timestamp AT TIME ZONE ''UTC'')';
    END IF;
    RETURN format('SELECT i.id,
            least((%1$L::timestamptz AT TIME ZONE ''UTC'')::date - (max(i.at) AT TIME ZONE ''UTC'')::date, %2$L::integer) AS recency,
            count(*) FILTER (WHERE %3$s) AS frequency, coalesce(sum(i.amount) FILTER (WHERE %3$s), 0) AS monetary
        FROM (SELECT s.id::text AS id, %4$s AS at, s.amount::numeric AS amount FROM (%5$s) s) i
        WHERE i.at <= %1$L::timestamptz GROUP BY i.id',
        as_of, model.recency_clamp,
        CASE WHEN model.window_days IS NULL THEN 'true'
             ELSE format('i.at > %L::timestamptz', as_of - model.window_days * interval '24 hours') END,
        at, source);
END
$$;
COMMENT ON FUNCTION economy.rfm_source(economy.rfm_models, text, timestamptz) IS
    'A query for recency, frequency and monetary per id of a query for (id, ts, amount); XE604 when that is no such query.';

CREATE FUNCTION economy.rfm_bounds_query(model text, query text, as_of timestamptz) RETURNS economy.score_bounds
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    m economy.rfm_models := economy.rfm_model(model);
BEGIN
    RETURN economy.rfm_measure(m, economy.rfm_source(m, query, as_of));
END
$$;
COMMENT ON FUNCTION economy.rfm_bounds_query(text, text, timestamptz) IS 'rfm_bounds() of a query with the columns id, ts and amount.';

CREATE FUNCTION economy.rfm_bounds(model text, source regclass, as_of timestamptz) RETURNS economy.score_bounds
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    RETURN economy.rfm_bounds_query(model, 'SELECT id, ts, amount FROM ' || source, as_of);
END
$$;
COMMENT ON FUNCTION economy.rfm_bounds(text, regclass, timestamptz) IS
    'The bounds that a model finds in a table with the columns id, ts and amount, with the caller''s privileges.';

CREATE FUNCTION economy.rfm_score_query(model text, query text, as_of timestamptz)
    RETURNS TABLE (id text, recency_days integer, frequency bigint, monetary numeric, r integer, f integer, m integer,
                   score numeric, segment text)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_column
DECLARE
    definition economy.rfm_models := economy.rfm_model(model);
    inputs     text := economy.rfm_source(definition, query, as_of);
    bounds     economy.score_bounds := economy.rfm_measure(definition, inputs);
    ranked     text := CASE definition.population WHEN 'active' THEN 'i.frequency >= 1' ELSE 'true' END;
    rules      jsonb := (SELECT jsonb_agg(to_jsonb(r)) FROM economy.rfm_rules() r);
BEGIN
    RETURN QUERY EXECUTE format(
        'WITH rules AS MATERIALIZED (SELECT * FROM economy.rfm_rule_ranges($7, $8, $9))
         SELECT s.id, s.recency, s.frequency, s.monetary, s.r, s.f, s.m, $4 * s.r + $5 * s.f + $6 * s.m,
             (SELECT g.segment FROM rules g
              WHERE (g.bought IS NULL OR g.bought) AND s.recency BETWEEN g.recency_from AND g.recency_to
                AND s.frequency BETWEEN g.frequency_from AND g.frequency_to AND s.monetary >= g.monetary_from AND s.monetary < g.monetary_below
              ORDER BY g.position LIMIT 1)
         FROM (SELECT i.*,
                   %s AS r, %s AS f, %s AS m
               FROM (%s) i) s',
        CASE WHEN 'recency' = ANY (bounds.degenerate) THEN '3' ELSE '5 - width_bucket(i.recency::numeric, $1)' END,
        CASE WHEN 'frequency' = ANY (bounds.degenerate) THEN 'CASE WHEN ' || ranked || ' THEN 3 ELSE 1 END'
             ELSE '1 + width_bucket(i.frequency::numeric, $2)' END,
        CASE WHEN 'monetary' = ANY (bounds.degenerate) THEN 'CASE WHEN ' || ranked || ' THEN 3 ELSE 1 END'
             ELSE '1 + width_bucket(i.monetary, $3)' END,
        inputs)
        USING bounds.recency, bounds.frequency, bounds.monetary,
              definition.recency_weight, definition.frequency_weight, definition.monetary_weight, rules, bounds.p60, bounds.p95;
END
$$;
COMMENT ON FUNCTION economy.rfm_score_query(text, text, timestamptz) IS 'rfm_score() of a query with the columns id, ts and amount.';

CREATE FUNCTION economy.rfm_score(model text, source regclass, as_of timestamptz)
    RETURNS TABLE (id text, recency_days integer, frequency bigint, monetary numeric, r integer, f integer, m integer,
                   score numeric, segment text)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    PERFORM economy.require_given('source', source IS NOT NULL);
    RETURN QUERY SELECT * FROM economy.rfm_score_query(model, 'SELECT id, ts, amount FROM ' || source, as_of);
END
$$;
COMMENT ON FUNCTION economy.rfm_score(text, regclass, timestamptz) IS
    'Scores a table with the columns id, ts and amount by a model, a row per id with a row up to as_of; runs with the caller''s privileges.';
-- segment: scores and segments of the users, kept up to date

CREATE TABLE economy.user_segments (
    user_id        bigint   NOT NULL CONSTRAINT user_segments_pkey PRIMARY KEY,
    seq            bigint   NOT NULL,
    frequency      bigint,
    monetary       bigint,
    segment_since  timestamptz,
    next_change_at timestamptz,
    changes        integer  NOT NULL DEFAULT 0,
    r              smallint,
    f              smallint,
    m              smallint,
    segment        text     COLLATE "C",
    buckets        bytea    NOT NULL
) WITH (fillfactor = 80);
ALTER TABLE economy.user_segments ALTER COLUMN buckets SET STORAGE EXTERNAL;
CREATE INDEX user_segments_next_change_at_idx ON economy.user_segments (next_change_at);
SELECT pg_catalog.pg_extension_config_dump('economy.user_segments', '');
COMMENT ON TABLE economy.user_segments IS
    'Scores and segment of each user that ever bought, as of the last refresh, with the daily buckets they come from.';
COMMENT ON COLUMN economy.user_segments.seq IS 'Newest purchase in the buckets; purchases of a user commit in the order of seq.';
COMMENT ON COLUMN economy.user_segments.frequency IS 'Purchases in the window.';
COMMENT ON COLUMN economy.user_segments.monetary IS 'Their sum in minor units of money, at most 2^63-1.';
COMMENT ON COLUMN economy.user_segments.segment_since IS 'As-of time of the refresh that put the user in this segment.';
COMMENT ON COLUMN economy.user_segments.next_change_at IS
    'When this row changes without a new purchase: one leaves the window, or a day more of recency matters.';
COMMENT ON COLUMN economy.user_segments.changes IS 'Rows of the user in segment_history.';
COMMENT ON COLUMN economy.user_segments.buckets IS 'Purchases by UTC day, packed; economy.rfm_days shows them.';

CREATE TABLE economy.segment_history (
    user_id      bigint      NOT NULL,
    change_no    integer     NOT NULL,
    from_segment text        NOT NULL COLLATE "C",
    to_segment   text        NOT NULL COLLATE "C",
    changed_at   timestamptz NOT NULL,
    snapshot_id  bigint      NOT NULL,
    CONSTRAINT segment_history_pkey PRIMARY KEY (user_id, change_no)
);
SELECT pg_catalog.pg_extension_config_dump('economy.segment_history', '');
COMMENT ON TABLE economy.segment_history IS 'Every change of a user''s segment: from, to, when, and by the bounds of which snapshot.';
COMMENT ON COLUMN economy.segment_history.changed_at IS 'As-of time of the refresh that found the change.';

CREATE TABLE economy.rfm_snapshots (
    snapshot_id bigint      NOT NULL CONSTRAINT rfm_snapshots_pkey PRIMARY KEY,
    as_of       timestamptz NOT NULL,
    model       jsonb       NOT NULL,
    rules       jsonb       NOT NULL,
    recency_bounds   numeric[],
    frequency_bounds numeric[],
    monetary_bounds  numeric[],
    p60         numeric,
    p95         numeric,
    degenerate  text[]      NOT NULL,
    users       bigint      NOT NULL,
    active      bigint      NOT NULL,
    changed     bigint      NOT NULL,
    started_at  timestamptz NOT NULL,
    duration    interval    NOT NULL,
    program     bigint[]    NOT NULL,
    segments    text[]      NOT NULL
);
SELECT pg_catalog.pg_extension_config_dump('economy.rfm_snapshots', '');
COMMENT ON TABLE economy.rfm_snapshots IS
    'Full refreshes: the model, rules and bounds that everything is scored against until the next one.';
COMMENT ON COLUMN economy.rfm_snapshots.degenerate IS 'Axes (recency, frequency, monetary) whose bounds are one value: they score 3.';
COMMENT ON COLUMN economy.rfm_snapshots.users IS 'Accounts that were there, also without a purchase.';
COMMENT ON COLUMN economy.rfm_snapshots.active IS 'Users with a purchase in the window.';
COMMENT ON COLUMN economy.rfm_snapshots.changed IS 'Rows of user_segments that it wrote.';
COMMENT ON COLUMN economy.rfm_snapshots.program IS 'Model, bounds and rules, compiled by rfm_program().';
COMMENT ON COLUMN economy.rfm_snapshots.segments IS 'Segment of each rule in the program.';

CREATE TABLE economy.rfm_state (
    only_row      boolean     NOT NULL DEFAULT true CONSTRAINT rfm_state_pkey PRIMARY KEY
        CONSTRAINT rfm_state_only_row_check CHECK (only_row),
    snapshot_id   bigint      NOT NULL,
    as_of         timestamptz NOT NULL,
    refreshed_at  timestamptz NOT NULL,
    cluster       bigint      NOT NULL,
    seen_before   bigint      NOT NULL,
    summarised    bigint      NOT NULL,
    change_lag    interval
);
SELECT pg_catalog.pg_extension_config_dump('economy.rfm_state', '');
COMMENT ON TABLE economy.rfm_state IS 'Where the refreshes stand: one row after the first.';
COMMENT ON COLUMN economy.rfm_state.as_of IS 'The moment that user_segments describes.';
COMMENT ON COLUMN economy.rfm_state.cluster IS 'System identifier of the server that seen_before belongs to; another one reads the whole journal once.';
COMMENT ON COLUMN economy.rfm_state.seen_before IS 'Every purchase of a transaction before this one is in the buckets.';
COMMENT ON COLUMN economy.rfm_state.summarised IS 'Blocks of the journal that its BRIN index summarises.';
COMMENT ON COLUMN economy.rfm_state.change_lag IS 'At the last refresh: how long the oldest thing it took up had been waiting.';

CREATE TABLE economy.rfm_reversals (
    user_id bigint  NOT NULL,
    seq     bigint  NOT NULL,
    applied boolean NOT NULL DEFAULT false,
    CONSTRAINT rfm_reversals_pkey PRIMARY KEY (user_id, seq)
);
CREATE INDEX rfm_reversals_applied_idx ON economy.rfm_reversals (user_id) WHERE NOT applied;
SELECT pg_catalog.pg_extension_config_dump('economy.rfm_reversals', '');
COMMENT ON TABLE economy.rfm_reversals IS 'Purchases that were taken back and count no longer.';
COMMENT ON COLUMN economy.rfm_reversals.applied IS 'The day of the purchase no longer holds it.';

CREATE FUNCTION economy.rfm_pack_add(state internal, at timestamptz, monetary bigint, seq bigint) RETURNS internal
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_rfm_pack_add';
COMMENT ON FUNCTION economy.rfm_pack_add(internal, timestamptz, bigint, bigint) IS 'Step of the aggregate rfm_pack().';
CREATE FUNCTION economy.rfm_pack_end(state internal) RETURNS bytea
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_rfm_pack_end';
COMMENT ON FUNCTION economy.rfm_pack_end(internal) IS 'End of the aggregate rfm_pack().';
CREATE AGGREGATE economy.rfm_pack(at timestamptz, monetary bigint, seq bigint)
    (SFUNC = economy.rfm_pack_add, STYPE = internal, SSPACE = 400, FINALFUNC = economy.rfm_pack_end, PARALLEL = SAFE);
COMMENT ON AGGREGATE economy.rfm_pack(timestamptz, bigint, bigint) IS 'A user''s purchases as packed daily buckets; any order of rows.';

CREATE FUNCTION economy.rfm_merge(a bytea, b bytea) RETURNS bytea
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_rfm_merge';
COMMENT ON FUNCTION economy.rfm_merge(bytea, bytea) IS 'The days of two packed strings together.';

CREATE FUNCTION economy.rfm_buckets(buckets bytea, OUT day date, OUT purchases bigint, OUT monetary bigint, OUT first_at timestamptz,
                                    OUT last_at timestamptz, OUT first_seq bigint, OUT last_seq bigint) RETURNS SETOF record
    LANGUAGE c IMMUTABLE PARALLEL SAFE ROWS 10 AS 'MODULE_PATHNAME', 'eco_rfm_buckets';
COMMENT ON FUNCTION economy.rfm_buckets(bytea) IS 'The days of packed buckets, the newest first.';

CREATE VIEW economy.rfm_days AS
    SELECT u.user_id, b.day, b.purchases, b.monetary, b.first_at, b.last_at, b.first_seq, b.last_seq
    FROM economy.user_segments u CROSS JOIN LATERAL economy.rfm_buckets(u.buckets) b;
COMMENT ON VIEW economy.rfm_days IS 'Daily buckets: purchases and their sum per user and UTC day, as of the last refresh.';

CREATE FUNCTION economy.rfm_window(user_id bigint, buckets bytea, as_of timestamptz, window_us bigint,
                                   OUT last_on date, OUT frequency bigint, OUT monetary bigint)
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_rfm_window';
COMMENT ON FUNCTION economy.rfm_window(bigint, bytea, timestamptz, bigint) IS
    'Day of the last purchase up to as_of, and number and sum of those in the window before it, in microseconds, 0 for all time.';

CREATE FUNCTION economy.rfm_assess(user_id bigint, buckets bytea, as_of timestamptz, program bigint[], segments text[],
                                   before_frequency bigint, before_monetary bigint, before_r smallint, before_f smallint, before_m smallint,
                                   before_segment text, before_next_change_at timestamptz,
                                   OUT frequency bigint, OUT monetary bigint, OUT r smallint, OUT f smallint, OUT m smallint,
                                   OUT segment text, OUT next_change_at timestamptz, OUT recency_days integer)
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_rfm_assess';
COMMENT ON FUNCTION economy.rfm_assess(bigint, bytea, timestamptz, bigint[], text[], bigint, bigint, smallint, smallint, smallint, text, timestamptz) IS
    'Scores and segment of a user by a compiled snapshot; null when they are what they were before.';

CREATE FUNCTION economy.rfm_program(snapshot economy.rfm_snapshots, OUT program bigint[], OUT segments text[])
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH axis (n, name, bounds) AS (
            VALUES (1, 'recency', snapshot.recency_bounds), (2, 'frequency', snapshot.frequency_bounds), (3, 'monetary', snapshot.monetary_bounds)
        ), word (part, n, value) AS (
            SELECT 1, 1, coalesce((snapshot.model ->> 'window_days')::bigint * 86400000000, 0)
            UNION ALL SELECT 1, 2, coalesce((snapshot.model ->> 'recency_clamp')::bigint, 1000000)
            UNION ALL SELECT 1, 3, (snapshot.model ->> 'population' = 'all')::integer
            UNION ALL SELECT 2, a.n, (a.name = ANY (snapshot.degenerate))::integer FROM axis a
            -- whole numbers reach a bound when they reach the next whole number
            UNION ALL SELECT 3, a.n * 10 + i, coalesce(ceil(a.bounds[i])::bigint, 0) FROM axis a CROSS JOIN generate_series(1, 4) i
            UNION ALL
            SELECT 4, g.position * 10 + v.n, v.value
            FROM economy.rfm_rule_ranges(snapshot.rules, snapshot.p60, snapshot.p95) g
            CROSS JOIN LATERAL (VALUES
                (1, coalesce(g.bought::integer, -1)), (2, g.recency_from), (3, g.recency_to), (4, g.frequency_from), (5, g.frequency_to),
                (6, CASE WHEN g.monetary_from = '-Infinity' THEN -9223372036854775807 ELSE ceil(g.monetary_from)::bigint END),
                (7, CASE WHEN g.monetary_below = 'Infinity' THEN 9223372036854775807 ELSE ceil(g.monetary_below)::bigint - 1 END)) v (n, value)
        )
        SELECT (SELECT array_agg(w.value ORDER BY w.part, w.n) FROM word w),
               (SELECT array_agg(g.segment ORDER BY g.position) FROM economy.rfm_rule_ranges(snapshot.rules, snapshot.p60, snapshot.p95) g);
    END;
COMMENT ON FUNCTION economy.rfm_program(economy.rfm_snapshots) IS 'A snapshot''s model, bounds and rules in the form that rfm_assess() takes.';

CREATE FUNCTION economy.rfm_with_bounds(snapshot economy.rfm_snapshots, bounds economy.score_bounds) RETURNS economy.rfm_snapshots
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    snapshot.recency_bounds := bounds.recency;
    snapshot.frequency_bounds := bounds.frequency;
    snapshot.monetary_bounds := bounds.monetary;
    snapshot.p60 := bounds.p60;
    snapshot.p95 := bounds.p95;
    snapshot.degenerate := bounds.degenerate;
    snapshot.active := bounds.active;
    RETURN snapshot;
END
$$;
COMMENT ON FUNCTION economy.rfm_with_bounds(economy.rfm_snapshots, economy.score_bounds) IS 'The snapshot with what was measured for it.';

CREATE FUNCTION economy.rfm_never_bought(snapshot economy.rfm_snapshots) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT g.segment FROM economy.rfm_rule_ranges(snapshot.rules, snapshot.p60, snapshot.p95) g
        WHERE NOT coalesce(g.bought, false) AND g.frequency_from = 0 AND 0 >= g.monetary_from AND 0 < g.monetary_below
          AND coalesce((snapshot.model ->> 'recency_clamp')::bigint, 1000000) BETWEEN g.recency_from AND g.recency_to
        ORDER BY g.position LIMIT 1;
    END;
COMMENT ON FUNCTION economy.rfm_never_bought(economy.rfm_snapshots) IS 'The segment of users that never bought anything.';

CREATE FUNCTION economy.rfm_reverse(user_id bigint, seq bigint) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_variable
BEGIN
    PERFORM economy.require_given('user_id', user_id IS NOT NULL);
    PERFORM economy.require_given('seq', seq IS NOT NULL);
    IF NOT EXISTS (SELECT FROM economy.shop_transactions t WHERE t.user_id = rfm_reverse.user_id AND t.seq = rfm_reverse.seq) THEN
        RETURN false;
    END IF;
    INSERT INTO economy.rfm_reversals (user_id, seq) VALUES (user_id, seq) ON CONFLICT ON CONSTRAINT rfm_reversals_pkey DO NOTHING;
    RETURN found;
END
$$;
COMMENT ON FUNCTION economy.rfm_reverse(bigint, bigint) IS
    'Takes a purchase that was reversed out of its day at the next refresh; false when it is out already or there is none. For the function that reverses purchases, in its transaction.';

-- One refresh at a time. The row lock also makes a refresh with an old snapshot fail.
CREATE FUNCTION economy.rfm_lock() RETURNS economy.rfm_state
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    state economy.rfm_state;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('economy.rfm_refresh', 0));
    SELECT * INTO state FROM economy.rfm_state FOR UPDATE;
    IF NOT found THEN
        -- before the first refresh the row that rfm_advance() will fill does as well
        INSERT INTO economy.rfm_state (snapshot_id, as_of, refreshed_at, cluster, seen_before, summarised)
            VALUES (0, '-infinity', economy.now(), 0, 0, 0) ON CONFLICT ON CONSTRAINT rfm_state_pkey DO NOTHING;
    END IF;
    RETURN state;
END
$$;
COMMENT ON FUNCTION economy.rfm_lock() IS 'Waits for a refresh that runs, and returns where the refreshes stand.';

CREATE FUNCTION economy.rfm_unsee(state economy.rfm_state) RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT CASE WHEN state.cluster = (SELECT c.system_identifier FROM pg_control_system() c) THEN state.seen_before ELSE 0 END;
    END;
COMMENT ON FUNCTION economy.rfm_unsee(economy.rfm_state) IS 'The first transaction whose purchases may not be in the buckets yet.';

CREATE FUNCTION economy.rfm_apply_reversals() RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH taken AS (
            UPDATE economy.rfm_reversals r SET applied = true WHERE NOT r.applied RETURNING r.user_id, r.seq
        )
        -- next_change_at: the incremental refresh has to look at them
        UPDATE economy.user_segments u SET next_change_at = '-infinity', buckets = coalesce((
            SELECT economy.rfm_pack(t.created_at, t.monetary, t.seq) FROM economy.shop_transactions t
            WHERE t.user_id = u.user_id AND t.seq <= u.seq AND t.status = 'SUCCESS'
              AND NOT EXISTS (SELECT FROM economy.rfm_reversals r WHERE r.user_id = t.user_id AND r.seq = t.seq)), '')
        WHERE u.user_id IN (SELECT k.user_id FROM taken k JOIN economy.user_segments s ON s.user_id = k.user_id AND k.seq <= s.seq);
    END;
COMMENT ON FUNCTION economy.rfm_apply_reversals() IS 'Recounts the days of users with purchases that were reversed since the last refresh.';

CREATE FUNCTION economy.rfm_summarise(from_block bigint) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    range CONSTANT bigint := 32;
    -- the last range is still being filled
    upto  bigint := pg_relation_size('economy.shop_transactions') / current_setting('block_size')::bigint / range * range;
    block bigint := from_block;
BEGIN
    BEGIN
        -- VACUUM has this lock for long; it summarises as well
        LOCK TABLE economy.shop_transactions IN SHARE UPDATE EXCLUSIVE MODE NOWAIT;
        WHILE block < upto LOOP
            PERFORM brin_summarize_range('economy.shop_transactions_xact_idx', block);
            block := block + range;
        END LOOP;
    EXCEPTION WHEN lock_not_available THEN
        RETURN from_block;
    END;
    RETURN block;
END
$$;
COMMENT ON FUNCTION economy.rfm_summarise(bigint) IS 'Brings the journal''s BRIN index up to its last full range.';

CREATE FUNCTION economy.rfm_advance(snapshot_id bigint, as_of timestamptz, seen_before bigint, change_lag interval, started_summarised bigint) RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        INSERT INTO economy.rfm_state AS s (snapshot_id, as_of, refreshed_at, cluster, seen_before, summarised, change_lag)
            SELECT $1, $2, economy.now(), c.system_identifier, $3, economy.rfm_summarise(coalesce($5, 0)), $4 FROM pg_control_system() c
            ON CONFLICT ON CONSTRAINT rfm_state_pkey DO UPDATE SET
                snapshot_id = excluded.snapshot_id, as_of = excluded.as_of, refreshed_at = excluded.refreshed_at, cluster = excluded.cluster,
                seen_before = excluded.seen_before, summarised = excluded.summarised, change_lag = excluded.change_lag;
    END;
COMMENT ON FUNCTION economy.rfm_advance(bigint, timestamptz, bigint, interval, bigint) IS 'Notes what a refresh has taken up.';

CREATE VIEW economy.rfm_unfolded AS
    SELECT t.user_id, t.seq, t.created_at, t.monetary, t.xact
    FROM economy.shop_transactions t LEFT JOIN economy.user_segments u USING (user_id)
    WHERE t.status = 'SUCCESS' AND t.seq > coalesce(u.seq, 0)
      AND NOT EXISTS (SELECT FROM economy.rfm_reversals r WHERE r.user_id = t.user_id AND r.seq = t.seq);
COMMENT ON VIEW economy.rfm_unfolded IS
    'Purchases that are not in the buckets yet; those since rfm_state.seen_before are all, and found by an index.';

CREATE FUNCTION economy.rfm_fold(transaction bigint, unheld boolean, OUT user_id bigint, OUT first_seq bigint, OUT seq bigint,
                                 OUT since timestamptz, OUT buckets bytea) RETURNS SETOF record
    LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_rfm_fold';
COMMENT ON FUNCTION economy.rfm_fold(bigint, boolean) IS
    'Purchases of a transaction and later ones, as packed buckets of each user, in the order of users; or only those of them that user_segments does not hold.';

CREATE VIEW economy.rfm_fresh AS
    SELECT f.user_id, f.seq, u.ctid AS place, u.frequency, u.monetary, u.segment_since, u.next_change_at, u.changes, u.r, u.f, u.m, u.segment,
           -- a transaction that was open for long has the purchases of others read again
           CASE WHEN f.first_seq > coalesce(u.seq, 0) THEN f.since
                ELSE (SELECT min(t.created_at) FROM economy.rfm_unfolded t WHERE t.user_id = f.user_id) END AS since,
           CASE WHEN u.user_id IS NULL THEN f.buckets
                WHEN f.first_seq > u.seq THEN economy.rfm_merge(u.buckets, f.buckets)
                ELSE economy.rfm_merge(u.buckets, (SELECT economy.rfm_pack(t.created_at, t.monetary, t.seq)
                                                   FROM economy.rfm_unfolded t WHERE t.user_id = f.user_id)) END AS buckets
    FROM (SELECT coalesce((SELECT economy.rfm_unsee(s) FROM economy.rfm_state s), 0) AS transaction) s
    CROSS JOIN LATERAL economy.rfm_fold(s.transaction, s.transaction = 0) f
    LEFT JOIN economy.user_segments u USING (user_id)
    WHERE f.seq > coalesce(u.seq, 0);
COMMENT ON VIEW economy.rfm_fresh IS 'Users with purchases that are not in their buckets yet: the row of user_segments as it is, and the buckets with them.';

CREATE FUNCTION economy.rfm_refresh(as_of timestamptz DEFAULT economy.now())
    RETURNS TABLE (snapshot_id bigint, users_scored bigint, users_changed bigint)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp SET work_mem = '64MB' SET jit = off AS $$
#variable_conflict use_variable
DECLARE
    chunk    CONSTANT bigint := 4096;
    started  CONSTANT timestamptz := clock_timestamp();
    state    economy.rfm_state;
    snapshot economy.rfm_snapshots;
    model    economy.rfm_models;
    result   record;
    inputs   text;
    seen     bigint;
    oldest   timestamptz;
    never    text;
    blocks   bigint := 0;
    block    bigint := 0;
    written  bigint;
BEGIN
    PERFORM economy.require_given('as_of', as_of IS NOT NULL);
    IF NOT isfinite(as_of) THEN
        RAISE EXCEPTION 'as_of must be a finite time' USING ERRCODE = 'XE002';
    END IF;
    PERFORM set_config('work_mem', economy.rfm_setting('economy.rfm_memory'), true);
    state := economy.rfm_lock();
    model := economy.rfm_model(economy.rfm_setting('economy.rfm_model'));
    snapshot.model := to_jsonb(model);
    snapshot.rules := (SELECT jsonb_agg(to_jsonb(r)) FROM economy.rfm_rules() r);
    PERFORM economy.check_segment_rules(snapshot.rules, model);

    -- the buckets: an older snapshot than that of the statement below
    PERFORM economy.report_progress('rfm_refresh', 0, 1);
    snapshot.snapshot_id := coalesce((SELECT max(s.snapshot_id) FROM economy.rfm_snapshots s), 0) + 1;
    snapshot.as_of := as_of;
    snapshot.users := (SELECT count(*) FROM economy.accounts);
    snapshot.changed := 0;
    snapshot.started_at := economy.now();
    seen := pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
    inputs := format(
        'SELECT least((%L::timestamptz AT TIME ZONE ''UTC'')::date - (w).last_on, %L::integer) AS recency, (w).frequency, (w).monetary
         FROM (SELECT economy.rfm_window(u.user_id, u.buckets, %L, %s) AS w FROM %%s u OFFSET 0) x
         WHERE (w).last_on IS NOT NULL',
        as_of, model.recency_clamp, as_of, coalesce(model.window_days * 86400000000::bigint, 0));
    PERFORM economy.rfm_apply_reversals();
    IF state.snapshot_id IS NULL AND NOT EXISTS (SELECT FROM economy.user_segments) THEN
        -- the first: each row is written once, scored
        EXECUTE 'WITH fresh AS MATERIALIZED (
                SELECT * FROM economy.rfm_fold(0, false)
            ), bounds AS MATERIALIZED (
                SELECT b AS b FROM (' || economy.rfm_measure_query(model, format(inputs, 'fresh')) || ') q
                CROSS JOIN LATERAL economy.rfm_measured($1, q.users, q.active, q.recency, q.frequency, q.monetary, q.p) b
            ), compiled AS MATERIALIZED (
                SELECT p.program, p.segments FROM bounds b CROSS JOIN LATERAL economy.rfm_program(economy.rfm_with_bounds($2, b.b)) p
            ), written AS (
                INSERT INTO economy.user_segments (user_id, seq, frequency, monetary, segment_since, next_change_at, r, f, m, segment, buckets)
                SELECT x.user_id, x.seq, (x.a).frequency, (x.a).monetary, $3, (x.a).next_change_at, (x.a).r, (x.a).f, (x.a).m, (x.a).segment, x.buckets
                FROM (SELECT f.user_id, f.seq, f.buckets,
                             economy.rfm_assess(f.user_id, f.buckets, $3, p.program, p.segments, NULL, NULL, NULL, NULL, NULL, NULL, NULL) AS a
                      FROM fresh f CROSS JOIN compiled p OFFSET 0) x
                RETURNING 1
            )
            SELECT b.b AS bounds, p.program, p.segments, (SELECT count(*) FROM written) AS written, (SELECT min(f.since) FROM fresh f) AS oldest FROM bounds b CROSS JOIN compiled p'
            INTO result USING model, snapshot, as_of;
        snapshot := economy.rfm_with_bounds(snapshot, result.bounds);
        snapshot.program := result.program;
        snapshot.segments := result.segments;
        snapshot.changed := result.written;
        oldest := result.oldest;
    ELSE
        -- the buckets
        SELECT economy.rfm_never_bought(s) INTO never FROM economy.rfm_snapshots s WHERE s.snapshot_id = state.snapshot_id;
        EXECUTE 'WITH fresh AS MATERIALIZED (
                SELECT f.place, f.user_id, f.seq, f.since, f.buckets FROM economy.rfm_fresh f
            ), folded AS (
                UPDATE economy.user_segments u SET seq = f.seq, buckets = f.buckets FROM fresh f WHERE u.ctid = f.place
            ), added AS (
                INSERT INTO economy.user_segments (user_id, seq, segment, buckets) SELECT f.user_id, f.seq, $1, f.buckets FROM fresh f WHERE f.place IS NULL
            )
            SELECT min(f.since) FROM fresh f' INTO oldest USING never;
        snapshot := economy.rfm_with_bounds(snapshot, economy.rfm_measure(model, format(inputs, 'economy.user_segments')));
        SELECT p.program, p.segments INTO snapshot.program, snapshot.segments FROM economy.rfm_program(snapshot) p;
        blocks := pg_relation_size('economy.user_segments') / current_setting('block_size')::bigint;
    END IF;

    -- the scores, a stretch of the table at a time; rows that move are looked at again, and left alone
    WHILE block < blocks LOOP
        PERFORM economy.report_progress('rfm_refresh', block, blocks);
        EXECUTE 'WITH assessed AS MATERIALIZED (
                SELECT * FROM (
                    SELECT u.ctid AS place, u.user_id, u.seq, u.segment AS was, u.changes,
                           economy.rfm_assess(u.user_id, u.buckets, $3, $4, $5, u.frequency, u.monetary, u.r, u.f, u.m, u.segment, u.next_change_at) AS a
                    FROM economy.user_segments u WHERE u.ctid >= $1 AND u.ctid < $2 OFFSET 0) x
                WHERE x.a IS NOT NULL
            ), written AS (
                UPDATE economy.user_segments u SET
                    frequency = (c.a).frequency, monetary = (c.a).monetary, r = (c.a).r, f = (c.a).f, m = (c.a).m,
                    segment = (c.a).segment, next_change_at = (c.a).next_change_at,
                    segment_since = CASE WHEN c.was IS DISTINCT FROM (c.a).segment THEN $3 ELSE u.segment_since END,
                    changes = u.changes + coalesce(c.was <> (c.a).segment, false)::integer
                FROM assessed c WHERE u.ctid = c.place AND u.ctid >= $1 AND u.ctid < $2
                RETURNING 1
            ), remembered AS (
                INSERT INTO economy.segment_history
                SELECT c.user_id, c.changes + 1, c.was, (c.a).segment, $3, $6 FROM assessed c WHERE c.was <> (c.a).segment
            )
            SELECT (SELECT count(*) FROM written),
                   (SELECT count(economy.publish_profile(c.user_id, ''segment'', c.was, (c.a).segment))
                    FROM assessed c WHERE c.was <> (c.a).segment)'
            INTO written USING format('(%s,0)', block)::tid, format('(%s,0)', block + chunk)::tid, as_of, snapshot.program, snapshot.segments, snapshot.snapshot_id;
        snapshot.changed := snapshot.changed + written;
        block := block + chunk;
    END LOOP;
    snapshot.duration := clock_timestamp() - started;
    INSERT INTO economy.rfm_snapshots SELECT (snapshot).*;
    PERFORM economy.rfm_advance(snapshot.snapshot_id, as_of, seen, as_of - oldest, state.summarised);
    PERFORM economy.report_progress(NULL, NULL, NULL);
    snapshot_id := snapshot.snapshot_id;
    users_scored := snapshot.users;
    users_changed := snapshot.changed;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION economy.rfm_refresh(timestamptz) IS
    'Scores every user as of a moment: takes up new purchases, freezes new bounds in a snapshot, writes the rows that changed. Visible at once at the commit; purchases go on meanwhile.';

CREATE FUNCTION economy.rfm_refresh_incremental() RETURNS TABLE (snapshot_id bigint, users_scored bigint, users_changed bigint)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp SET work_mem = '64MB' SET jit = off AS $$
#variable_conflict use_variable
DECLARE
    state    economy.rfm_state;
    snapshot economy.rfm_snapshots;
    as_of    timestamptz;
    seen     bigint;
    oldest   timestamptz;
BEGIN
    PERFORM set_config('work_mem', economy.rfm_setting('economy.rfm_memory'), true);
    state := economy.rfm_lock();
    IF state.snapshot_id IS NULL THEN
        RETURN QUERY SELECT * FROM economy.rfm_refresh();
        RETURN;
    END IF;
    -- never back in time: the rows describe one moment
    as_of := greatest(economy.now(), state.as_of);
    SELECT * INTO snapshot FROM economy.rfm_snapshots s WHERE s.snapshot_id = state.snapshot_id;
    seen := pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
    PERFORM economy.rfm_apply_reversals();
    EXECUTE 'WITH fresh AS MATERIALIZED (
            SELECT * FROM economy.rfm_fresh
        ), touched AS (
            SELECT f.place, f.user_id, f.seq, f.since, f.buckets, f.frequency, f.monetary, f.segment_since, f.next_change_at,
                   coalesce(f.changes, 0) AS changes, f.r, f.f, f.m, CASE WHEN f.place IS NULL THEN $5 ELSE f.segment END AS segment
            FROM fresh f
            UNION ALL
            SELECT u.ctid, u.user_id, u.seq, u.next_change_at, u.buckets, u.frequency, u.monetary, u.segment_since, u.next_change_at,
                   u.changes, u.r, u.f, u.m, u.segment
            FROM economy.user_segments u WHERE u.next_change_at <= $1 AND u.user_id NOT IN (SELECT f.user_id FROM fresh f)
        ), assessed AS MATERIALIZED (
            SELECT t.*, economy.rfm_assess(t.user_id, t.buckets, $1, $2, $3, t.frequency, t.monetary, t.r, t.f, t.m, t.segment, t.next_change_at) AS a
            FROM touched t OFFSET 0
        ), changed AS MATERIALIZED (
            SELECT c.place, c.user_id, c.seq, coalesce((c.a).frequency, c.frequency) AS frequency, coalesce((c.a).monetary, c.monetary) AS monetary,
                   CASE WHEN c.segment IS DISTINCT FROM coalesce((c.a).segment, c.segment) THEN $1 ELSE c.segment_since END AS segment_since,
                   coalesce((c.a).next_change_at, c.next_change_at) AS next_change_at,
                   c.changes + coalesce(c.segment <> (c.a).segment, false)::integer AS changes,
                   coalesce((c.a).r, c.r) AS r, coalesce((c.a).f, c.f) AS f, coalesce((c.a).m, c.m) AS m,
                   coalesce((c.a).segment, c.segment) AS segment, c.buckets
            FROM assessed c
        ), updated AS (
            -- nobody else writes there, so rows stay in their place
            UPDATE economy.user_segments u SET
                seq = c.seq, frequency = c.frequency, monetary = c.monetary, segment_since = c.segment_since,
                next_change_at = c.next_change_at, changes = c.changes, r = c.r, f = c.f, m = c.m, segment = c.segment, buckets = c.buckets
            FROM changed c WHERE u.ctid = c.place
            RETURNING 1
        ), inserted AS (
            INSERT INTO economy.user_segments
            SELECT c.user_id, c.seq, c.frequency, c.monetary, c.segment_since, c.next_change_at, c.changes, c.r, c.f, c.m, c.segment, c.buckets
            FROM changed c WHERE c.place IS NULL
            RETURNING 1
        ), remembered AS (
            INSERT INTO economy.segment_history
            SELECT c.user_id, c.changes + 1, c.segment, (c.a).segment, $1, $4 FROM assessed c WHERE c.segment <> (c.a).segment
        )
        SELECT (SELECT count(*) FROM assessed), (SELECT count(*) FROM updated) + (SELECT count(*) FROM inserted),
               -- a reversal is taken up without a moment of its own
               (SELECT min(c.since) FROM assessed c WHERE isfinite(c.since)),
               (SELECT count(economy.publish_profile(c.user_id, ''segment'', c.segment, (c.a).segment))
                FROM assessed c WHERE c.segment <> (c.a).segment)'
        INTO users_scored, users_changed, oldest
        USING as_of, snapshot.program, snapshot.segments, snapshot.snapshot_id, economy.rfm_never_bought(snapshot);
    PERFORM economy.rfm_advance(snapshot.snapshot_id, as_of, seen, as_of - oldest, state.summarised);
    snapshot_id := snapshot.snapshot_id;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION economy.rfm_refresh_incremental() IS
    'Scores the users with new purchases, and those whose window slid or whose recency crossed a bound, by the newest snapshot; the first call is a full rfm_refresh().';

-- Readers

CREATE FUNCTION economy.segment(user_id bigint)
    RETURNS TABLE (segment text, r integer, f integer, m integer, score numeric, recency_days integer, frequency bigint, monetary bigint,
                   degenerate boolean, segment_since timestamptz, scored_at timestamptz, snapshot_id bigint)
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER ROWS 1
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_column
DECLARE
    who      CONSTANT bigint := user_id;
    state    economy.rfm_state;
    snapshot economy.rfm_snapshots;
BEGIN
    PERFORM economy.require_given('user_id', who IS NOT NULL);
    SELECT * INTO state FROM economy.rfm_state;
    SELECT * INTO snapshot FROM economy.rfm_snapshots s WHERE s.snapshot_id = state.snapshot_id;
    -- who never bought is scored here, with no bucket at all
    RETURN QUERY
        SELECT (a.x).segment, (a.x).r::integer, (a.x).f::integer, (a.x).m::integer,
               (snapshot.model ->> 'recency_weight')::numeric * (a.x).r + (snapshot.model ->> 'frequency_weight')::numeric * (a.x).f
                   + (snapshot.model ->> 'monetary_weight')::numeric * (a.x).m,
               CASE WHEN u.user_id IS NOT NULL OR snapshot.model ->> 'recency_clamp' IS NOT NULL THEN (a.x).recency_days END,
               (a.x).frequency, (a.x).monetary, snapshot.degenerate <> '{}', u.segment_since, state.as_of, snapshot.snapshot_id
        FROM economy.accounts k LEFT JOIN economy.user_segments u USING (user_id)
        CROSS JOIN LATERAL (SELECT economy.rfm_assess(k.user_id, coalesce(u.buckets, ''), state.as_of, snapshot.program, snapshot.segments,
                                                      NULL, NULL, NULL, NULL, NULL, NULL, NULL) AS x OFFSET 0) a
        WHERE k.user_id = who AND state.snapshot_id IS NOT NULL;
END
$$;
COMMENT ON FUNCTION economy.segment(bigint) IS
    'A user''s segment, scores and what they come from, as of scored_at, the last refresh; no row for an unknown user or before the first refresh.';

CREATE FUNCTION economy.segment_summary()
    RETURNS TABLE (segment text, users bigint, share numeric, active bigint, frequency numeric, monetary numeric)
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH snapshot AS (
            SELECT s.* FROM economy.rfm_snapshots s JOIN economy.rfm_state t USING (snapshot_id)
        ), counted AS (
            SELECT u.segment, count(*) AS users, count(*) FILTER (WHERE u.frequency > 0) AS active,
                   sum(u.frequency) AS frequency, sum(u.monetary) AS monetary
            FROM economy.user_segments u GROUP BY 1
            UNION ALL
            SELECT economy.rfm_never_bought(s::economy.rfm_snapshots),
                   (SELECT count(*) FROM economy.accounts) - (SELECT count(*) FROM economy.user_segments), 0, 0, 0
            FROM snapshot s
        ), listed AS (
            SELECT g.segment, min(g.position) AS position FROM snapshot s
            CROSS JOIN LATERAL economy.rfm_rule_ranges(s.rules, s.p60, s.p95) g GROUP BY 1
        )
        SELECT l.segment, coalesce(sum(c.users), 0)::bigint, round(coalesce(sum(c.users), 0) / nullif(sum(sum(c.users)) OVER (), 0), 4),
               coalesce(sum(c.active), 0)::bigint, coalesce(sum(c.frequency), 0), coalesce(sum(c.monetary), 0)
        FROM listed l LEFT JOIN counted c USING (segment) GROUP BY l.segment, l.position ORDER BY l.position;
    END;
COMMENT ON FUNCTION economy.segment_summary() IS
    'Size of each segment as of the last refresh: users, their share, those with a purchase in the window, purchases and their sum in it.';

CREATE FUNCTION economy.rfm_freshness()
    RETURNS TABLE (snapshot_id bigint, snapshot_as_of timestamptz, as_of timestamptz, stale_users bigint, oldest_stale_age interval,
                   last_change_lag interval)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER ROWS 1
    SET search_path = pg_catalog, economy, pg_temp SET jit = off AS $$
#variable_conflict use_variable
DECLARE
    state economy.rfm_state;
    now   timestamptz := economy.now();
BEGIN
    SELECT * INTO state FROM economy.rfm_state;
    snapshot_id := state.snapshot_id;
    SELECT s.as_of INTO snapshot_as_of FROM economy.rfm_snapshots s WHERE s.snapshot_id = state.snapshot_id;
    as_of := state.as_of;
    last_change_lag := state.change_lag;
    EXECUTE 'SELECT count(DISTINCT s.user_id), $2 - min(s.at) FROM (
            SELECT t.user_id, t.created_at AS at FROM economy.rfm_unfolded t
            WHERE t.xact >= $1 AND ($1 = 0 OR t.xact < pg_snapshot_xmax(pg_current_snapshot())::text::bigint
                                    OR t.xact = pg_current_xact_id_if_assigned()::text::bigint)
            UNION ALL
            SELECT u.user_id, u.next_change_at FROM economy.user_segments u WHERE u.next_change_at <= $2) s'
        INTO stale_users, oldest_stale_age USING coalesce(economy.rfm_unsee(state), 0), now;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION economy.rfm_freshness() IS
    'How stale segments are: users whose row is no longer right and for how long the oldest of them, and how long the oldest thing that the last refresh took up had waited.';
-- segment: recommendations, by rule or by Thompson sampling

CREATE TABLE economy.recommendation_placements (
    placement          text     NOT NULL COLLATE "C" CONSTRAINT recommendation_placements_placement_check
        CHECK (octet_length(placement) BETWEEN 1 AND 64),
    version            integer  NOT NULL,
    policy             text     NOT NULL DEFAULT 'rules' CONSTRAINT recommendation_placements_policy_check
        CHECK (policy IN ('rules', 'thompson')),
    attribution_window interval NOT NULL DEFAULT '7 days' CONSTRAINT recommendation_placements_window_check
        CHECK (attribution_window BETWEEN '1 minute' AND '90 days'),
    half_life          interval NOT NULL DEFAULT '30 days' CONSTRAINT recommendation_placements_half_life_check
        CHECK (half_life BETWEEN '1 hour' AND '3650 days'),
    exploration        double precision NOT NULL DEFAULT 0.05 CONSTRAINT recommendation_placements_exploration_check
        CHECK (exploration BETWEEN 0 AND 1),
    actor              text     NOT NULL,
    changed_at         timestamptz NOT NULL,
    CONSTRAINT recommendation_placements_pkey PRIMARY KEY (placement, version)
);
SELECT pg_catalog.pg_extension_config_dump('economy.recommendation_placements', 'WHERE version > 0');
COMMENT ON TABLE economy.recommendation_placements IS 'Places of the app that show a recommendation; the highest version of each is in force.';
COMMENT ON COLUMN economy.recommendation_placements.policy IS 'rules: the first arm that can be shown; thompson: Thompson sampling over those.';
COMMENT ON COLUMN economy.recommendation_placements.attribution_window IS 'A purchase of the product so long after the decision is its conversion.';
COMMENT ON COLUMN economy.recommendation_placements.half_life IS 'thompson: age at which an outcome counts half.';
COMMENT ON COLUMN economy.recommendation_placements.exploration IS 'thompson: share of decisions that are spread evenly over the arms.';

CREATE TABLE economy.recommendation_arms (
    placement  text    NOT NULL COLLATE "C",
    version    integer NOT NULL,
    segment    text    NOT NULL COLLATE "C" CONSTRAINT recommendation_arms_segment_check CHECK (octet_length(segment) BETWEEN 1 AND 64),
    position   integer NOT NULL,
    arm        text    NOT NULL COLLATE "C" CONSTRAINT recommendation_arms_arm_check CHECK (octet_length(arm) BETWEEN 1 AND 64),
    cta        text    NOT NULL CONSTRAINT recommendation_arms_cta_check CHECK (octet_length(cta) BETWEEN 1 AND 255),
    product_id text    COLLATE "C" CONSTRAINT recommendation_arms_product_id_check CHECK (octet_length(product_id) BETWEEN 1 AND 64),
    CONSTRAINT recommendation_arms_pkey PRIMARY KEY (placement, version, segment, arm)
);
SELECT pg_catalog.pg_extension_config_dump('economy.recommendation_arms', 'WHERE version > 0');
COMMENT ON TABLE economy.recommendation_arms IS 'What can be recommended to a segment at a placement, in the order of position; the segment * is the fallback.';
COMMENT ON COLUMN economy.recommendation_arms.cta IS 'What the app shows: the call to action.';
COMMENT ON COLUMN economy.recommendation_arms.product_id IS 'Product that the user must be able to buy; null needs none.';
INSERT INTO economy.recommendation_placements (placement, version, actor, changed_at) VALUES ('home', 0, 'economy', '2000-01-01 00:00:00+00');
INSERT INTO economy.recommendation_arms VALUES
    ('home', 0, 'AtRisk',      1, 'return',    'return_package',    'return_package'),
    ('home', 0, 'Whale',       1, 'limited',   'limited_package',   'limited_package'),
    ('home', 0, 'HighEngaged', 1, 'mission',   'mission_extension', NULL),
    ('home', 0, 'Medium',      1, 'value',     'value_package',     'value_package'),
    ('home', 0, 'Low',         1, 'bonus',     'daily_bonus',       NULL),
    ('home', 0, 'New',         1, 'starter',   'starter_package',   'starter_package'),
    ('home', 0, 'NoPurchase',  1, 'first_buy', 'first_purchase',    'first_purchase'),
    ('home', 0, '*',           1, 'daily',     'daily_reward',      NULL);

CREATE TABLE economy.recommendations (
    user_id      bigint      NOT NULL,
    number       bigint      NOT NULL,
    placement    text        NOT NULL COLLATE "C",
    version      integer     NOT NULL,
    segment      text        COLLATE "C",
    arm          text        NOT NULL COLLATE "C",
    cta          text        NOT NULL,
    product_id   text        COLLATE "C",
    fallback     boolean     NOT NULL,
    policy       text        NOT NULL,
    propensity   double precision NOT NULL CONSTRAINT recommendations_propensity_check CHECK (propensity > 0 AND propensity <= 1),
    decided_at   timestamptz NOT NULL,
    clicked_at   timestamptz,
    converted_at timestamptz,
    CONSTRAINT recommendations_pkey PRIMARY KEY (user_id, number)
);
CREATE INDEX recommendations_placement_idx ON economy.recommendations (placement, decided_at);
SELECT pg_catalog.pg_extension_config_dump('economy.recommendations', '');
COMMENT ON TABLE economy.recommendations IS 'Every decision of recommend(), with what it was made of and the feedback.';
COMMENT ON COLUMN economy.recommendations.number IS 'Counts the user''s decisions; the decision_id is D<user>-<number>.';
COMMENT ON COLUMN economy.recommendations.segment IS 'The user''s segment at that moment; null before the first refresh.';
COMMENT ON COLUMN economy.recommendations.fallback IS 'No arm of the user''s segment could be shown.';
COMMENT ON COLUMN economy.recommendations.propensity IS 'Probability with which the policy chose this arm.';
COMMENT ON COLUMN economy.recommendations.converted_at IS 'Conversion by feedback; a purchase attributes itself, see recommendation_outcomes.';

CREATE VIEW economy.recommendation_outcomes AS
    SELECT d.user_id, d.number, d.placement, d.version, d.segment, d.arm, d.fallback, d.policy, d.propensity, d.decided_at,
           d.clicked_at, least(d.converted_at, b.bought_at) AS converted_at,
           d.decided_at + p.attribution_window AS matures_at
    FROM economy.recommendations d
    JOIN economy.recommendation_placements p USING (placement, version)
    LEFT JOIN LATERAL (
        SELECT min(t.created_at) AS bought_at FROM economy.shop_transactions t
        WHERE t.user_id = d.user_id AND t.product_id = d.product_id AND t.status = 'SUCCESS'
          AND t.created_at >= d.decided_at AND t.created_at < d.decided_at + p.attribution_window
          AND NOT EXISTS (SELECT FROM economy.rfm_reversals r WHERE r.user_id = t.user_id AND r.seq = t.seq)
          -- the last decision before the purchase has it
          AND NOT EXISTS (SELECT FROM economy.recommendations l
                          WHERE l.user_id = d.user_id AND l.product_id = d.product_id AND l.number > d.number AND l.decided_at <= t.created_at)) b
        ON d.product_id IS NOT NULL;
COMMENT ON VIEW economy.recommendation_outcomes IS
    'Decisions with what came of them: a click, and a conversion by feedback or by a purchase of the product within the placement''s window.';

CREATE FUNCTION economy.beta_quantile(p double precision, a double precision, b double precision) RETURNS double precision
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_beta_quantile_sql';
COMMENT ON FUNCTION economy.beta_quantile(double precision, double precision, double precision) IS 'Inverse of the beta distribution.';

CREATE FUNCTION economy.beta_shares(a double precision[], b double precision[]) RETURNS double precision[]
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_beta_shares_sql';
COMMENT ON FUNCTION economy.beta_shares(double precision[], double precision[]) IS
    'Probability of each of several beta variables, with shapes of 1 or more, to be the largest.';

CREATE FUNCTION economy.draw_uniform(key text) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        -- 52 bits of the hash, and a half: never 0 or 1
        SELECT (('x' || left(encode(sha256(convert_to(key, 'UTF8')), 'hex'), 13))::bit(52)::bigint + 0.5::double precision) / 4503599627370496;
    END;
COMMENT ON FUNCTION economy.draw_uniform(text) IS 'A number between 0 and 1 drawn by the hash of a text: the same everywhere.';

CREATE FUNCTION economy.product_offered(user_id bigint, product_id text) RETURNS boolean
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        -- too little gold can change by the time of the click; stock is asked after it
        SELECT CASE
            WHEN product_id IS NULL THEN true
            WHEN EXISTS (SELECT FROM economy.shop_products p WHERE p.product_id = product_offered.product_id
                         AND (p.stock_slots = 0 OR EXISTS (SELECT FROM economy.shop_stock s WHERE s.product_id = p.product_id AND s.remaining > 0)))
            THEN (SELECT c.code IN ('OK', 'INSUFFICIENT_GOLD') FROM economy.purchase(user_id, product_id, 'recommend', 1, NULL, true) c)
            ELSE false END;
    END;
COMMENT ON FUNCTION economy.product_offered(bigint, text) IS 'Whether the product is on sale, in stock, and the user may still buy it.';

CREATE FUNCTION economy.recommendation_posteriors(placement text, segment text, as_of timestamptz)
    RETURNS TABLE (arm text, "position" integer, product_id text, cta text, wins double precision, losses double precision)
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp SET jit = off
    BEGIN ATOMIC
        -- only what had its whole window: wins do not come sooner than losses
        SELECT a.arm, a.position, a.product_id, a.cta,
               coalesce(sum(o.weight) FILTER (WHERE o.converted_at < o.matures_at), 0),
               coalesce(sum(o.weight) FILTER (WHERE (o.converted_at < o.matures_at) IS NOT TRUE), 0)
        FROM economy.recommendation_arms a
        JOIN LATERAL (SELECT p.* FROM economy.recommendation_placements p WHERE p.placement = $1 ORDER BY p.version DESC LIMIT 1) p
            ON a.placement = p.placement AND a.version = p.version
        LEFT JOIN LATERAL (
            SELECT d.converted_at, d.matures_at,
                   power(0.5, extract(epoch FROM $3 - d.matures_at)::double precision / extract(epoch FROM p.half_life)::double precision) AS weight
            FROM economy.recommendation_outcomes d
            WHERE d.placement = $1 AND d.segment = $2 AND d.arm = a.arm AND NOT d.fallback AND d.matures_at <= $3) o ON true
        WHERE a.segment = $2 GROUP BY a.arm, a.position, a.product_id, a.cta ORDER BY a.position, a.arm;
    END;
COMMENT ON FUNCTION economy.recommendation_posteriors(text, text, timestamptz) IS
    'The arms of a placement and segment, with the matured wins and losses of each, halved per half-life.';

CREATE TABLE economy.recommendation_days (
    placement text    NOT NULL COLLATE "C",
    version   integer NOT NULL,
    segment   text    NOT NULL COLLATE "C",
    day       date    NOT NULL,
    arm       text    NOT NULL COLLATE "C",
    wins      double precision NOT NULL,
    losses    double precision NOT NULL,
    CONSTRAINT recommendation_days_pkey PRIMARY KEY (placement, version, segment, day, arm)
);
SELECT pg_catalog.pg_extension_config_dump('economy.recommendation_days', '');
COMMENT ON TABLE economy.recommendation_days IS
    'What Thompson sampling knew on each UTC day: matured wins and losses of the arms at its begin, counted at the first decision of the day.';
COMMENT ON COLUMN economy.recommendation_days.wins IS 'Decisions that converted, halved per half-life.';
COMMENT ON COLUMN economy.recommendation_days.losses IS 'Decisions that did not.';

CREATE FUNCTION economy.recommendation_beliefs(place economy.recommendation_placements, segment text, as_of timestamptz)
    RETURNS SETOF economy.recommendation_days
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    today CONSTANT date := (as_of AT TIME ZONE 'UTC')::date;
BEGIN
    IF segment IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY SELECT * FROM economy.recommendation_days d
        WHERE d.placement = place.placement AND d.version = place.version AND d.segment = recommendation_beliefs.segment AND d.day = today;
    IF found THEN
        RETURN;
    END IF;
    -- who counts at the same moment does not wait: all count the same
    RETURN QUERY
        WITH counted AS MATERIALIZED (
            SELECT place.placement, place.version, segment, today, p.arm, p.wins, p.losses
            FROM economy.recommendation_posteriors(place.placement, segment, as_of) p
        ), kept AS (
            INSERT INTO economy.recommendation_days SELECT * FROM counted
            WHERE pg_try_advisory_xact_lock(hashtextextended(format('economy.recommendation_beliefs:%s:%s', place.placement, segment), 0))
            ON CONFLICT ON CONSTRAINT recommendation_days_pkey DO NOTHING
        )
        SELECT * FROM counted;
END
$$;
COMMENT ON FUNCTION economy.recommendation_beliefs(economy.recommendation_placements, text, timestamptz) IS
    'The day''s wins and losses of the arms, counted when nobody did yet.';

CREATE FUNCTION economy.recommend(user_id bigint, placement text)
    RETURNS TABLE (decision_id text, cta text, segment text, fallback boolean, arm text, product_id text, propensity double precision)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 1
    SET search_path = pg_catalog, economy, pg_temp SET jit = off AS $$
#variable_conflict use_variable
DECLARE
    now     timestamptz := economy.now();
    today   timestamptz := date_trunc('day', now, 'UTC');
    place   economy.recommendation_placements;
    chosen  economy.recommendation_arms;
    sticky  record;
    arms    text[];
    a       double precision[];
    b       double precision[];
    shares  double precision[];
    n       integer;
    pick    integer;
    key     text;
    number  bigint;
BEGIN
    PERFORM economy.require_given('user_id', user_id IS NOT NULL);
    PERFORM economy.require_given('placement', placement IS NOT NULL);
    SELECT * INTO place FROM economy.recommendation_placements p WHERE p.placement = recommend.placement ORDER BY p.version DESC LIMIT 1;
    IF NOT found THEN
        RAISE EXCEPTION 'placement "%" does not exist', placement USING ERRCODE = 'XE606',
            HINT = 'Placements are made by economy.set_recommendations().';
    END IF;
    IF NOT EXISTS (SELECT FROM economy.accounts k WHERE k.user_id = recommend.user_id) THEN
        RAISE EXCEPTION 'user % does not exist', user_id USING ERRCODE = 'XE202', HINT = 'Users are made by economy.register().';
    END IF;
    -- decisions of a user are numbered one by one
    PERFORM pg_advisory_xact_lock(hashtextextended('economy.recommend:' || user_id, 0));
    SELECT s.segment INTO segment FROM economy.segment(user_id) s;
    propensity := 1;
    fallback := false;
    IF place.policy = 'thompson' THEN
        -- the same arm all day, while it can be shown
        SELECT d.arm, d.propensity, r.cta, r.product_id INTO sticky FROM economy.recommendations d
            JOIN economy.recommendation_arms r USING (placement, version, segment, arm)
            WHERE d.user_id = recommend.user_id AND d.placement = recommend.placement AND d.version = place.version
              AND d.segment = recommend.segment AND NOT d.fallback AND d.decided_at >= today AND d.decided_at < today + interval '24 hours'
            ORDER BY d.number DESC LIMIT 1;
        IF found AND economy.product_offered(user_id, sticky.product_id) THEN
            chosen.arm := sticky.arm;
            chosen.cta := sticky.cta;
            chosen.product_id := sticky.product_id;
            propensity := sticky.propensity;
        ELSE
            SELECT array_agg(r.arm ORDER BY r.position, r.arm), array_agg(1 + p.wins ORDER BY r.position, r.arm), array_agg(1 + p.losses ORDER BY r.position, r.arm)
                INTO arms, a, b
                FROM economy.recommendation_arms r JOIN economy.recommendation_beliefs(place, segment, today) p USING (placement, version, segment, arm)
                WHERE economy.product_offered(user_id, r.product_id);
            n := coalesce(cardinality(arms), 0);
            IF n > 0 THEN
                shares := economy.beta_shares(a, b);
                key := format('%s:%s:%s:%s', user_id, placement, place.version, (today AT TIME ZONE 'UTC')::date);
                IF economy.draw_uniform(key || ':explore') < place.exploration THEN
                    pick := 1 + floor(economy.draw_uniform(key || ':which') * n)::integer;
                ELSE
                    SELECT i INTO pick FROM generate_series(1, n) i
                        ORDER BY economy.beta_quantile(economy.draw_uniform(key || ':arm:' || arms[i]), a[i], b[i]) DESC, i LIMIT 1;
                END IF;
                SELECT * INTO chosen FROM economy.recommendation_arms r
                    WHERE r.placement = recommend.placement AND r.version = place.version AND r.segment = recommend.segment AND r.arm = arms[pick];
                -- an arm that is hopeless beyond double precision was chosen by luck all the same
                propensity := least(1, greatest(place.exploration / n + (1 - place.exploration) * shares[pick], 1e-300));
            END IF;
        END IF;
    ELSE
        SELECT * INTO chosen FROM economy.recommendation_arms r
            WHERE r.placement = recommend.placement AND r.version = place.version AND r.segment = recommend.segment
              AND economy.product_offered(user_id, r.product_id) ORDER BY r.position, r.arm LIMIT 1;
    END IF;
    IF chosen.arm IS NULL THEN
        fallback := true;
        SELECT * INTO chosen FROM economy.recommendation_arms r
            WHERE r.placement = recommend.placement AND r.version = place.version AND r.segment = '*'
              AND economy.product_offered(user_id, r.product_id) ORDER BY r.position, r.arm LIMIT 1;
        IF NOT found THEN
            chosen.arm := 'none';
            chosen.cta := 'none';
        END IF;
    END IF;
    SELECT coalesce(max(d.number), 0) + 1 INTO number FROM economy.recommendations d WHERE d.user_id = recommend.user_id;
    INSERT INTO economy.recommendations
        VALUES (user_id, number, placement, place.version, segment, chosen.arm, chosen.cta, chosen.product_id, fallback, place.policy, propensity, now)
        -- there is none that this transaction can see: others raise 40001
        ON CONFLICT ON CONSTRAINT recommendations_pkey DO NOTHING;
    decision_id := format('D%s-%s', user_id, number);
    cta := chosen.cta;
    arm := chosen.arm;
    product_id := chosen.product_id;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION economy.recommend(bigint, text) IS
    'What to show a user at a placement: an arm of the user''s segment whose product the user can buy, or a fallback, marked as such. Every decision is kept.';

CREATE FUNCTION economy.recommendation_feedback(decision_id text, kind text) RETURNS text
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    known economy.recommendations;
BEGIN
    PERFORM economy.require_given('decision_id', decision_id IS NOT NULL);
    PERFORM economy.require_given('kind', kind IS NOT NULL);
    IF kind NOT IN ('click', 'conversion') THEN
        RAISE EXCEPTION 'kind must be click or conversion' USING ERRCODE = 'XE002';
    END IF;
    IF decision_id ~ '^D[0-9]{1,16}-[0-9]{1,16}$' THEN
        SELECT * INTO known FROM economy.recommendations d
            WHERE d.user_id = substring(decision_id, '^D([0-9]+)')::bigint AND d.number = substring(decision_id, '([0-9]+)$')::bigint FOR UPDATE;
    END IF;
    IF known.user_id IS NULL THEN
        RAISE EXCEPTION 'decision "%" does not exist', left(decision_id, 64) USING ERRCODE = 'XE605',
            HINT = 'Decisions are made by economy.recommend().';
    END IF;
    IF (CASE kind WHEN 'click' THEN known.clicked_at ELSE known.converted_at END) IS NOT NULL THEN
        RETURN 'reuse';
    END IF;
    UPDATE economy.recommendations d SET clicked_at = coalesce(d.clicked_at, CASE kind WHEN 'click' THEN economy.now() END),
                                         converted_at = coalesce(d.converted_at, CASE kind WHEN 'conversion' THEN economy.now() END)
        WHERE d.user_id = known.user_id AND d.number = known.number;
    RETURN 'new';
END
$$;
COMMENT ON FUNCTION economy.recommendation_feedback(text, text) IS
    'Notes a click or a conversion of a decision, once: new, or reuse when it was known. A purchase of the recommended product needs no feedback.';

CREATE FUNCTION economy.recommendation_stats(since timestamptz DEFAULT NULL)
    RETURNS TABLE (placement text, segment text, arm text, shown bigint, clicks bigint, ctr numeric, conversions bigint,
                   conversion_rate numeric, fallbacks bigint, fallback_rate numeric)
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp SET jit = off
    BEGIN ATOMIC
        SELECT o.placement, o.segment, o.arm, count(*), count(o.clicked_at), round(count(o.clicked_at)::numeric / count(*), 4),
               count(o.converted_at), round(count(o.converted_at)::numeric / count(*), 4),
               count(*) FILTER (WHERE o.fallback), round(count(*) FILTER (WHERE o.fallback)::numeric / count(*), 4)
        FROM economy.recommendation_outcomes o WHERE recommendation_stats.since IS NULL OR o.decided_at >= recommendation_stats.since
        GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
    END;
COMMENT ON FUNCTION economy.recommendation_stats(timestamptz) IS
    'Per placement, segment and arm: decisions, clicks, conversions by feedback or purchase, fallbacks, and their rates.';

CREATE FUNCTION economy.set_recommendations(placement text, settings jsonb, arms jsonb, actor text) RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    next_version integer;
    unknown      text;
    message      text;
BEGIN
    PERFORM economy.require_actor(actor);
    PERFORM economy.require_given('placement', placement IS NOT NULL);
    PERFORM economy.require_given('settings', settings IS NOT NULL);
    PERFORM economy.require_given('arms', arms IS NOT NULL);
    IF jsonb_typeof(settings) <> 'object' OR jsonb_typeof(arms) <> 'array' OR jsonb_array_length(arms) > 1000
       OR EXISTS (SELECT FROM jsonb_array_elements(arms) e WHERE jsonb_typeof(e) <> 'object') THEN
        RAISE EXCEPTION 'settings must be a JSON object, and arms an array of at most 1000' USING ERRCODE = 'XE607';
    END IF;
    SELECT k INTO unknown FROM (
        SELECT k FROM jsonb_object_keys(settings) k WHERE k <> ALL (ARRAY['policy', 'attribution_window', 'half_life', 'exploration'])
        UNION ALL SELECT k FROM jsonb_array_elements(arms) e, jsonb_object_keys(e) k WHERE k <> ALL (ARRAY['segment', 'arm', 'cta', 'product_id'])) x LIMIT 1;
    IF found THEN
        RAISE EXCEPTION 'unknown key "%"', unknown USING ERRCODE = 'XE607',
            HINT = 'Settings are columns of economy.recommendation_placements; an arm has segment, arm, cta and product_id.';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('economy.set_recommendations:' || placement, 0));
    SELECT coalesce(max(p.version), 0) + 1 INTO next_version FROM economy.recommendation_placements p WHERE p.placement = set_recommendations.placement;
    BEGIN
        INSERT INTO economy.recommendation_placements
            SELECT (jsonb_populate_record(NULL::economy.recommendation_placements,
                '{"policy": "rules", "attribution_window": "7 days", "half_life": "30 days", "exploration": 0.05}' || settings
                || jsonb_build_object('placement', placement, 'version', next_version, 'actor', actor, 'changed_at', economy.now()))).*
            -- there is none that this transaction can see: others raise 40001
            ON CONFLICT ON CONSTRAINT recommendation_placements_pkey DO NOTHING;
        INSERT INTO economy.recommendation_arms
            SELECT (jsonb_populate_record(NULL::economy.recommendation_arms,
                e.value || jsonb_build_object('placement', placement, 'version', next_version, 'position', e.ordinality))).*
            FROM jsonb_array_elements(arms) WITH ORDINALITY e;
    EXCEPTION WHEN data_exception OR integrity_constraint_violation THEN
        GET STACKED DIAGNOSTICS message = MESSAGE_TEXT;
        RAISE EXCEPTION 'recommendations of "%" are not valid', left(placement, 64) USING ERRCODE = 'XE607', DETAIL = message || '.',
            HINT = 'See the constraints of economy.recommendation_placements and economy.recommendation_arms.';
    END;
    RETURN next_version;
END
$$;
COMMENT ON FUNCTION economy.set_recommendations(text, jsonb, jsonb, text) IS
    'Makes or replaces a placement: its settings, and its arms in the order of the array, with the segment * for the fallback. Returns its version.';
-- segment: the report, one page that needs nothing else

CREATE FUNCTION economy.html_text(value text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT replace(replace(replace(replace(replace(value, '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;'), '''', '&#39;');
    END;
COMMENT ON FUNCTION economy.html_text(text) IS 'A text that may stand in HTML.';

CREATE FUNCTION economy.svg_matrix(title text, row_title text, column_title text, cells jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH size AS (
            SELECT jsonb_array_length(cells -> 'rows') AS nrows, jsonb_array_length(cells -> 'columns') AS ncolumns,
                   (SELECT max(v.value::numeric) FROM jsonb_array_elements(cells -> 'values') r, jsonb_array_elements_text(r) v) AS most
        ), cell AS (
            SELECT r.ordinality AS y, c.ordinality AS x, c.value::numeric AS n
            FROM jsonb_array_elements(cells -> 'values') WITH ORDINALITY r, jsonb_array_elements_text(r.value) WITH ORDINALITY c
        )
        SELECT format('<svg role="img" viewBox="0 0 %s %s" width="%s" height="%s"><title>%s</title>',
                      130 + 84 * s.ncolumns, 60 + 40 * s.nrows, 130 + 84 * s.ncolumns, 60 + 40 * s.nrows, economy.html_text(title))
            || format('<text x="120" y="16" class="axis">%s &#8594;</text><text x="4" y="38" class="axis">%s &#8595;</text>',
                      economy.html_text(column_title), economy.html_text(row_title))
            || (SELECT coalesce(string_agg(format('<text x="%s" y="38" text-anchor="middle">%s</text>', 162 + 84 * (c.ordinality - 1), economy.html_text(c.value)), '' ORDER BY c.ordinality), '')
                FROM jsonb_array_elements_text(cells -> 'columns') WITH ORDINALITY c)
            || (SELECT coalesce(string_agg(format('<text x="112" y="%s" text-anchor="end">%s</text>', 71 + 40 * (r.ordinality - 1), economy.html_text(r.value)), '' ORDER BY r.ordinality), '')
                FROM jsonb_array_elements_text(cells -> 'rows') WITH ORDINALITY r)
            || (SELECT coalesce(string_agg(format('<rect x="%s" y="%s" width="80" height="36" fill="#1f6f8b" fill-opacity="%s"/><text x="%s" y="%s" text-anchor="middle" class="%s">%s</text>',
                        122 + 84 * (c.x - 1), 48 + 40 * (c.y - 1), round(0.04 + 0.96 * c.n / greatest(s.most, 1), 3),
                        162 + 84 * (c.x - 1), 71 + 40 * (c.y - 1), CASE WHEN c.n > s.most * 0.55 THEN 'light' ELSE 'dark' END, c.n), '' ORDER BY c.y, c.x), '') FROM cell c)
            || '</svg>'
        FROM size s;
    END;
COMMENT ON FUNCTION economy.svg_matrix(text, text, text, jsonb) IS
    'A heat map of {"rows": [...], "columns": [...], "values": [[...]]} as SVG.';

CREATE FUNCTION economy.svg_bars(title text, bars jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH bar AS (
            SELECT b.ordinality AS n, b.value ->> 0 AS label, (b.value ->> 1)::numeric AS value, max((b.value ->> 1)::numeric) OVER () AS most
            FROM jsonb_array_elements(bars) WITH ORDINALITY b
        )
        SELECT format('<svg role="img" viewBox="0 0 640 %s" width="640" height="%s"><title>%s</title>',
                      10 + 28 * jsonb_array_length(bars), 10 + 28 * jsonb_array_length(bars), economy.html_text(title))
            || coalesce(string_agg(format('<text x="172" y="%s" text-anchor="end">%s</text><rect x="180" y="%s" width="%s" height="20" fill="#1f6f8b"/><text x="%s" y="%s">%s</text>',
                   20 + 28 * (b.n - 1), economy.html_text(b.label), 5 + 28 * (b.n - 1), round(360 * b.value / greatest(b.most, 1), 1),
                   188 + round(360 * b.value / greatest(b.most, 1), 1), 20 + 28 * (b.n - 1), b.value), '' ORDER BY b.n), '')
            || '</svg>'
        FROM bar b;
    END;
COMMENT ON FUNCTION economy.svg_bars(text, jsonb) IS 'A bar chart of [[label, number], ...] as SVG.';

CREATE FUNCTION economy.rfm_report() RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp SET jit = off AS $$
DECLARE
    state    economy.rfm_state;
    snapshot economy.rfm_snapshots;
    names    jsonb;
    heat     jsonb;
    sizes    jsonb;
    money    jsonb;
    moved    jsonb;
    since    timestamptz;
    body     text;
BEGIN
    SELECT * INTO state FROM economy.rfm_state;
    SELECT * INTO snapshot FROM economy.rfm_snapshots s WHERE s.snapshot_id = state.snapshot_id;
    IF state.snapshot_id IS NULL THEN
        body := '<p>There is no refresh yet: call <code>economy.rfm_refresh()</code>.</p>';
    ELSE
        since := state.as_of - interval '30 days';
        SELECT jsonb_agg(s.segment), jsonb_agg(jsonb_build_array(s.segment, s.users)) INTO names, sizes FROM economy.segment_summary() s;
        SELECT jsonb_build_object('rows', '["R 5", "R 4", "R 3", "R 2", "R 1"]'::jsonb, 'columns', '["F 1", "F 2", "F 3", "F 4", "F 5"]'::jsonb,
                   'values', jsonb_agg(v.line ORDER BY v.r DESC)) INTO heat
            FROM (SELECT r, jsonb_agg(coalesce(c.n, 0) ORDER BY f) AS line FROM generate_series(1, 5) r CROSS JOIN generate_series(1, 5) f
                  LEFT JOIN (SELECT u.r, u.f, count(*) AS n FROM economy.user_segments u WHERE u.frequency > 0 GROUP BY 1, 2) c USING (r, f) GROUP BY r) v;
        -- orders of magnitude, each in three
        SELECT coalesce(jsonb_agg(jsonb_build_array(CASE WHEN b.least IS NULL THEN '0' ELSE b.least || ' and more' END, b.n) ORDER BY b.least NULLS FIRST), '[]') INTO money
            FROM (SELECT CASE WHEN u.monetary > 0 THEN (power(10::numeric, length(u.monetary::text) - 1)
                         * CASE WHEN left(u.monetary::text, 1) >= '5' THEN 5 WHEN left(u.monetary::text, 1) >= '2' THEN 2 ELSE 1 END)::bigint END AS least, count(*) AS n
                  FROM economy.user_segments u WHERE u.frequency > 0 GROUP BY 1) b;
        SELECT jsonb_build_object('rows', names, 'columns', names, 'values', coalesce(jsonb_agg(v.line ORDER BY v.position), '[]')) INTO moved
            FROM (SELECT a.ordinality AS position, jsonb_agg(coalesce(h.n, 0) ORDER BY b.ordinality) AS line
                  FROM jsonb_array_elements_text(names) WITH ORDINALITY a CROSS JOIN jsonb_array_elements_text(names) WITH ORDINALITY b
                  LEFT JOIN (SELECT x.from_segment, x.to_segment, count(*) AS n FROM economy.segment_history x WHERE x.changed_at > since GROUP BY 1, 2) h
                      ON h.from_segment = a.value AND h.to_segment = b.value GROUP BY a.ordinality) v;
        body := format('<p>As of %s. Bounds of snapshot %s, made as of %s by the model %s: %s users, %s of them with a purchase in the window. p60 is %s, p95 is %s.%s</p>',
                    economy.html_text(to_char(state.as_of AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"')), state.snapshot_id,
                    economy.html_text(to_char(snapshot.as_of AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"')), economy.html_text(snapshot.model ->> 'model'),
                    snapshot.users, snapshot.active, coalesce(snapshot.p60::text, 'not known'), coalesce(snapshot.p95::text, 'not known'),
                    CASE WHEN snapshot.degenerate <> '{}' THEN economy.html_text(format(' The bounds of %s are one value: everybody ranked scores 3 there.', array_to_string(snapshot.degenerate, ' and '))) ELSE '' END)
            || '<h2>Recency and frequency</h2><p>Users with a purchase in the window, by score; 5 is the best.</p>' || economy.svg_matrix('Users by recency and frequency score', 'recency', 'frequency', heat)
            || '<h2>Segments</h2><p>Users in each segment, in the order of the rules.</p>' || economy.svg_bars('Users by segment', sizes)
            || '<h2>Monetary value</h2><p>Users with a purchase in the window, by their sum in it, in minor units of money.</p>' || economy.svg_bars('Users by monetary value', money)
            || '<h2>Movement</h2><p>Changes of segment in the last 30 days, from the row to the column.</p>' || economy.svg_matrix('Changes between segments', 'from', 'to', moved);
    END IF;
    RETURN '<!DOCTYPE html>' || E'\n' || '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Segments</title><style>'
        || 'body{font:16px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b2a33}h1,h2{line-height:1.2}svg{max-width:100%;height:auto}'
        || 'svg text{font:13px sans-serif;fill:#1b2a33}svg text.light{fill:#fff}svg text.axis{fill:#5a6b75}'
        || '</style></head><body><h1>Segments</h1>' || body || '</body></html>' || E'\n';
END
$$;
COMMENT ON FUNCTION economy.rfm_report() IS
    'One self-contained HTML page: heat map of recency and frequency, segment sizes, monetary distribution and movement between segments.';
-- ops: the account as a whole, access

CREATE FUNCTION economy.account(user_id bigint)
    RETURNS TABLE (user_id bigint, gold bigint, experience_points bigint, level integer,
                   xp_into_level bigint, xp_to_next bigint, seq bigint, streak_day integer, last_claim_on date)
    LANGUAGE sql STABLE PARALLEL RESTRICTED SECURITY DEFINER ROWS 1
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT a.user_id, a.gold, a.experience_points, l.level, l.xp_into_level, l.xp_to_next, a.seq,
               s.streak_day, s.last_claim_on
        FROM economy.accounts a
        CROSS JOIN LATERAL economy.level_of(a.user_id, a.experience_points) l
        CROSS JOIN LATERAL economy.streak_state(a.user_id) s
        WHERE a.user_id = $1;
    END;
COMMENT ON FUNCTION economy.account(bigint) IS 'Balances, level on the user''s curve, streak as of now and newest seq; no row for an unknown user.';

CREATE FUNCTION economy.statement(user_id bigint, after_seq bigint DEFAULT 0, max integer DEFAULT 100)
    RETURNS TABLE (seq bigint, journal text, transaction_id text, gold_delta bigint, xp_delta bigint,
                   gold bigint, experience_points bigint, created_at timestamptz)
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT l.seq, l.journal, l.transaction_id, l.gold_delta, l.xp_delta, l.gold, l.experience_points, l.created_at
        FROM economy.ledger l WHERE l.user_id = $1 AND l.seq > $2 ORDER BY l.seq LIMIT least($3, 10000);
    END;
COMMENT ON FUNCTION economy.statement(bigint, bigint, integer) IS
    'A user''s entries after a seq, oldest first, at most max (10,000) of them.';

-- access

CREATE FUNCTION economy.access_list() RETURNS TABLE (level text, object text)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        VALUES
            ('app', 'FUNCTION economy.account(bigint)'),
            ('app', 'FUNCTION economy.asyncapi()'),
            ('app', 'FUNCTION economy.changes(text, integer)'),
            ('app', 'FUNCTION economy.claim_daily_reward(bigint)'),
            ('app', 'FUNCTION economy.game_stats_me(bigint)'),
            ('app', 'FUNCTION economy.record_action(bigint, text, text, text, bigint, bigint, text, jsonb)'),
            ('app', 'FUNCTION economy.record_actions(jsonb)'),
            ('app', 'FUNCTION economy.grant_reward(bigint, text, text, bigint, bigint, jsonb)'),
            ('app', 'FUNCTION economy.grant_rewards(jsonb)'),
            ('app', 'FUNCTION economy.level_for(bigint, text)'),
            ('app', 'FUNCTION economy.level_of(bigint, bigint)'),
            ('app', 'FUNCTION economy.now()'),
            ('app', 'FUNCTION economy.purchase(bigint, text, text, integer, jsonb, boolean)'),
            ('app', 'FUNCTION economy.receipt(bigint, text)'),
            ('app', 'FUNCTION economy.recommend(bigint, text)'),
            ('app', 'FUNCTION economy.recommendation_feedback(text, text)'),
            ('app', 'FUNCTION economy.register(text, text, jsonb)'),
            ('app', 'FUNCTION economy.replay(bigint, bigint, integer)'),
            ('app', 'FUNCTION economy.segment(bigint)'),
            ('app', 'FUNCTION economy.set_timezone(bigint, text)'),
            ('app', 'FUNCTION economy.statement(bigint, bigint, integer)'),
            ('app', 'FUNCTION economy.streak_preview(bigint, integer)'),
            ('app', 'FUNCTION economy.streak_reward(integer)'),
            ('app', 'FUNCTION economy.streak_state(bigint)'),
            ('app', 'FUNCTION economy.timezone_name(text)'),
            ('app', 'FUNCTION economy.user_id_of(text)'),
            ('app', 'FUNCTION economy.verify_receipt(bigint, text)'),
            ('admin', 'FUNCTION economy.add_stock(text, bigint, text, integer)'),
            ('admin', 'FUNCTION economy.adjust_gold(bigint, bigint, text, text, text)'),
            ('admin', 'FUNCTION economy.capture_actions()'),
            ('admin', 'FUNCTION economy.prune(interval, integer)'),
            ('admin', 'FUNCTION economy.register_game(text, jsonb)'),
            ('admin', 'FUNCTION economy.retire_product(text, text)'),
            ('admin', 'FUNCTION economy.retire_signing_key(integer)'),
            ('admin', 'FUNCTION economy.revoke_reward(bigint, text, text, text, bigint, bigint, text)'),
            ('admin', 'FUNCTION economy.rotate_signing_key()'),
            ('admin', 'FUNCTION economy.schedule()'),
            ('admin', 'FUNCTION economy.set_level_curve(text, bigint[])'),
            ('admin', 'FUNCTION economy.set_level_experiment(text, jsonb, boolean)'),
            ('admin', 'FUNCTION economy.set_recommendations(text, jsonb, jsonb, text)'),
            ('admin', 'FUNCTION economy.set_rfm_model(jsonb, text)'),
            ('admin', 'FUNCTION economy.set_segment_rules(jsonb, text)'),
            ('admin', 'FUNCTION economy.set_user_status(bigint, text, text)'),
            ('admin', 'FUNCTION economy.unschedule()'),
            ('admin', 'FUNCTION economy.upsert_product(jsonb, text)'),
            ('monitor', 'FUNCTION economy.account(bigint)'),
            ('monitor', 'FUNCTION economy.asyncapi()'),
            ('monitor', 'FUNCTION economy.audit_sweep(timestamptz)'),
            ('monitor', 'FUNCTION economy.audit_sweep_incremental(integer)'),
            ('monitor', 'FUNCTION economy.changes(text, integer)'),
            ('monitor', 'FUNCTION economy.game_stats_me(bigint)'),
            ('monitor', 'FUNCTION economy.progress()'),
            ('monitor', 'FUNCTION economy.relay_status()'),
            ('monitor', 'FUNCTION economy.beta_quantile(double precision, double precision, double precision)'),
            ('monitor', 'FUNCTION economy.recommendation_posteriors(text, text, timestamptz)'),
            ('monitor', 'FUNCTION economy.recommendation_stats(timestamptz)'),
            ('monitor', 'FUNCTION economy.rfm_bounds(text, regclass, timestamptz)'),
            ('monitor', 'FUNCTION economy.rfm_bounds_query(text, text, timestamptz)'),
            ('monitor', 'FUNCTION economy.rfm_freshness()'),
            ('monitor', 'FUNCTION economy.rfm_measure(economy.rfm_models, text)'),
            ('monitor', 'FUNCTION economy.rfm_measure_query(economy.rfm_models, text)'),
            ('monitor', 'FUNCTION economy.rfm_measured(economy.rfm_models, bigint, bigint, numeric[], numeric[], numeric[], numeric[])'),
            ('monitor', 'FUNCTION economy.rfm_model(text)'),
            ('monitor', 'FUNCTION economy.rfm_refresh(timestamptz)'),
            ('monitor', 'FUNCTION economy.rfm_refresh_incremental()'),
            ('monitor', 'FUNCTION economy.rfm_rule_ranges(jsonb, numeric, numeric)'),
            ('monitor', 'FUNCTION economy.rfm_rules()'),
            ('monitor', 'FUNCTION economy.rfm_score(text, regclass, timestamptz)'),
            ('monitor', 'FUNCTION economy.rfm_score_query(text, text, timestamptz)'),
            ('monitor', 'FUNCTION economy.require_given(text, boolean)'),
            ('monitor', 'FUNCTION economy.rfm_source(economy.rfm_models, text, timestamptz)'),
            ('monitor', 'FUNCTION economy.job_list()'),
            ('monitor', 'FUNCTION economy.rfm_report()'),
            ('monitor', 'FUNCTION economy.run_job(text)'),
            ('monitor', 'FUNCTION economy.segment(bigint)'),
            ('monitor', 'FUNCTION economy.segment_summary()'),
            ('monitor', 'FUNCTION economy.rollup_stats(integer)'),
            ('monitor', 'FUNCTION economy.stats_parity(integer)'),
            ('monitor', 'FUNCTION economy.wilson_interval(bigint, bigint)'),
            ('monitor', 'FUNCTION economy.win_rate_anomalies(text, double precision)'),
            ('monitor', 'FUNCTION economy.statement(bigint, bigint, integer)'),
            ('monitor', 'FUNCTION economy.verify_chain(bigint)'),
            ('monitor', 'FUNCTION economy.verify_receipt(bigint, text)');
    END;
COMMENT ON FUNCTION economy.access_list() IS 'What each access level may call; admin includes app and monitor.';

CREATE FUNCTION economy.change_access(action text, role name, level text) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    item record;
    direction text := CASE action WHEN 'grant' THEN 'TO' ELSE 'FROM' END;
BEGIN
    IF level IS NULL OR level NOT IN ('app', 'admin', 'monitor') THEN
        RAISE EXCEPTION 'access level must be app, admin or monitor' USING ERRCODE = 'XE801';
    END IF;
    IF role IS NULL OR NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = role) THEN
        RAISE EXCEPTION 'role "%" does not exist', role USING ERRCODE = 'XE801',
            HINT = 'Create it with CREATE ROLE; access is never given to PUBLIC.';
    END IF;
    EXECUTE format('%s USAGE ON SCHEMA economy %s %I', action, direction, role);
    FOR item IN SELECT DISTINCT a.object FROM economy.access_list() a
                WHERE a.level = change_access.level OR change_access.level = 'admin' LOOP
        EXECUTE format('%s %s ON %s %s %I', action, 'EXECUTE', item.object, direction, role);
    END LOOP;
END
$$;
COMMENT ON FUNCTION economy.change_access(text, name, text) IS 'Common part of grant_access() and revoke_access().';

CREATE FUNCTION economy.grant_access(role name, level text) RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC SELECT economy.change_access('grant', role, level); END;
COMMENT ON FUNCTION economy.grant_access(name, text) IS
    'Lets a role call what its level needs: app (play and buy), monitor (read figures, audit), admin (all). No level touches a table.';

CREATE FUNCTION economy.revoke_access(role name, level text) RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC SELECT economy.change_access('revoke', role, level); END;
COMMENT ON FUNCTION economy.revoke_access(name, text) IS
    'Takes a level away again, with everything it shares with other levels, and the use of the schema.';
-- audit: the invariants, checked online

CREATE TABLE economy.audit_checkpoints (
    user_id           bigint NOT NULL CONSTRAINT audit_checkpoints_pkey PRIMARY KEY,
    seq               bigint NOT NULL,
    gold              bigint NOT NULL,
    experience_points bigint NOT NULL,
    hash              bytea  NOT NULL
) WITH (fillfactor = 70);
SELECT pg_catalog.pg_extension_config_dump('economy.audit_checkpoints', '');
COMMENT ON TABLE economy.audit_checkpoints IS 'Entry up to which each stream was found clean; the incremental sweep goes on there.';

CREATE TABLE economy.audit_runs (
    run_id      bigint      GENERATED ALWAYS AS IDENTITY CONSTRAINT audit_runs_pkey PRIMARY KEY,
    kind        text        NOT NULL CONSTRAINT audit_runs_kind_check CHECK (kind IN ('full', 'since', 'incremental')),
    since       timestamptz,
    started_at  timestamptz NOT NULL,
    finished_at timestamptz NOT NULL,
    users       bigint      NOT NULL,
    entries     bigint      NOT NULL,
    findings    bigint      NOT NULL
);
SELECT pg_catalog.pg_extension_config_dump('economy.audit_runs', '');
SELECT pg_catalog.pg_extension_config_dump('economy.audit_runs_run_id_seq', '');
COMMENT ON TABLE economy.audit_runs IS 'History of audit sweeps.';
COMMENT ON SEQUENCE economy.audit_runs_run_id_seq IS 'Numbers of audit_runs.';

CREATE TABLE economy.audit_findings (
    run_id   bigint NOT NULL,
    user_id  bigint,
    kind     text   NOT NULL,
    expected text,
    actual   text,
    entry    text,
    seq      bigint
);
CREATE INDEX audit_findings_run_id_idx ON economy.audit_findings (run_id);
SELECT pg_catalog.pg_extension_config_dump('economy.audit_findings', '');
COMMENT ON TABLE economy.audit_findings IS 'What the sweeps of audit_runs found.';

CREATE FUNCTION economy.verify_new(user_id bigint) RETURNS SETOF economy.finding
    LANGUAGE c STABLE PARALLEL SAFE ROWS 1 AS 'MODULE_PATHNAME', 'eco_verify_new';
COMMENT ON FUNCTION economy.verify_new(bigint) IS 'verify_chain() for the entries after the user''s audit checkpoint.';

CREATE FUNCTION economy.report_progress(task text, done bigint, total bigint) RETURNS void
    LANGUAGE c VOLATILE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'eco_report_progress';
COMMENT ON FUNCTION economy.report_progress(text, bigint, bigint) IS
    'Shows in pg_stat_activity how far long work is; a null task puts the statement back.';

CREATE FUNCTION economy.progress()
    RETURNS TABLE (pid integer, task text, done bigint, total bigint, running_for interval)
    LANGUAGE sql STABLE PARALLEL RESTRICTED SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT a.pid, p.m[1], p.m[2]::bigint, p.m[3]::bigint, clock_timestamp() - a.query_start
        FROM pg_stat_activity a
        CROSS JOIN LATERAL regexp_match(a.query, '^economy progress: (\S+) (\d+) of (\d+)$') p (m)
        WHERE a.state = 'active' AND a.datname = current_database() AND p.m IS NOT NULL;
    END;
COMMENT ON FUNCTION economy.progress() IS 'Long work of this extension that runs now in this database, and how far it is.';

-- I4: one effect per key, also where the unique index that should see to it is damaged
CREATE FUNCTION economy.audit_effects() RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT t.user_id, 'duplicate_effect', format('one purchase of %s with key %s', t.product_id, t.idempotency_key),
               format('%s purchases', count(*)), 'P' || t.user_id || '-' || max(t.seq), max(t.seq)
        FROM economy.shop_transactions t GROUP BY t.user_id, t.product_id, t.idempotency_key HAVING count(*) > 1
        UNION ALL
        SELECT r.user_id, 'duplicate_effect', format('one reward of %s with event %s', r.source, r.external_event_id),
               format('%s rewards', count(*)), 'R' || r.user_id || '-' || max(r.seq), max(r.seq)
        FROM economy.reward_audit r GROUP BY r.user_id, r.source, r.external_event_id HAVING count(*) > 1
        UNION ALL
        SELECT g.user_id, 'duplicate_effect', format('one adjustment with key %s', g.idempotency_key),
               format('%s adjustments', count(*)), 'G' || g.user_id || '-' || max(g.seq), max(g.seq)
        FROM economy.gold_adjustments g GROUP BY g.user_id, g.idempotency_key HAVING count(*) > 1
        UNION ALL
        SELECT u.user_id, 'duplicate_effect', format('one action %s of %s', u.action_id, u.game),
               format('%s actions', count(*)), 'A' || u.user_id || '-' || max(u.seq), max(u.seq)
        FROM economy.user_actions u GROUP BY u.user_id, u.game, u.action_id HAVING count(*) > 1
        UNION ALL
        -- an id that is not kept could have a second effect
        SELECT coalesce(s.user_id, k.user_id), 'missing_entry', format('keys of %s pruned actions', coalesce(s.total, 0)),
               format('%s keys', coalesce(k.total, 0)), NULL, NULL
        FROM (SELECT p.user_id, sum(p.total) AS total FROM economy.pruned_stats p GROUP BY 1) s
        FULL JOIN (SELECT a.user_id, count(*) AS total FROM economy.pruned_actions a GROUP BY 1) k USING (user_id)
        WHERE coalesce(s.total, 0) <> coalesce(k.total, 0)
        UNION ALL
        SELECT u.user_id, 'duplicate_effect', format('one action %s of %s', u.action_id, u.game), 'a pruned one and this',
               'A' || u.user_id || '-' || u.seq, u.seq
        FROM economy.user_actions u JOIN economy.pruned_actions p
             -- a damaged id may be none
             ON p.user_id = u.user_id AND p.key = CASE WHEN octet_length(u.game) BETWEEN 1 AND 64 AND octet_length(u.action_id) BETWEEN 1 AND 255
                                                       THEN economy.action_key(u.game, u.action_id) END
        WHERE u.user_id IN (SELECT d.user_id FROM economy.pruned_stats d);
    END;
COMMENT ON FUNCTION economy.audit_effects() IS 'Idempotency keys with more than one effect (I4).';

CREATE FUNCTION economy.audit_orphans() RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT l.user_id, 'orphan_row', 'an account', 'none', min(l.transaction_id), min(l.seq)
        FROM economy.ledger l
        WHERE NOT EXISTS (SELECT FROM economy.accounts a WHERE a.user_id = l.user_id) GROUP BY l.user_id
        UNION ALL
        SELECT a.user_id, 'orphan_row', 'a user', 'only an account', NULL, NULL
        FROM economy.accounts a WHERE NOT EXISTS (SELECT FROM economy.users u WHERE u.user_id = a.user_id)
        UNION ALL
        SELECT u.user_id, 'orphan_row', 'an account', 'only a user', NULL, NULL
        FROM economy.users u WHERE NOT EXISTS (SELECT FROM economy.accounts a WHERE a.user_id = u.user_id)
        UNION ALL
        SELECT s.user_id, 'orphan_row', 'an account', 'only a streak', NULL, NULL
        FROM economy.streaks s WHERE NOT EXISTS (SELECT FROM economy.accounts a WHERE a.user_id = s.user_id)
        UNION ALL
        SELECT r.user_id, 'orphan_row', format('reward R%s-%s', r.user_id, r.reverses), 'only its reversal',
               'R' || r.user_id || '-' || r.seq, r.seq
        FROM economy.reward_audit r
        WHERE r.reverses IS NOT NULL AND NOT EXISTS (
            SELECT FROM economy.reward_audit o WHERE o.user_id = r.user_id AND o.seq = r.reverses);
    END;
COMMENT ON FUNCTION economy.audit_orphans() IS 'Rows without the row they belong to.';

CREATE FUNCTION economy.audit_stock() RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT NULL::bigint, 'wrong_stock', format('%s units issued of %s', coalesce(issued.units, 0), product_id),
               format('%s left and %s sold', coalesce(stock.remaining, 0), coalesce(sold.units, 0)), NULL::text, NULL::bigint
        FROM (SELECT c.product_id, sum(c.units) AS units
              FROM economy.shop_product_changes c WHERE c.action = 'stock' GROUP BY 1) issued
        FULL JOIN (SELECT s.product_id, sum(s.remaining) AS remaining
                   FROM economy.shop_stock s GROUP BY 1) stock USING (product_id)
        FULL JOIN (SELECT t.product_id, sum(t.quantity) AS units
                   FROM economy.shop_transactions t WHERE t.stock_slot IS NOT NULL GROUP BY 1) sold USING (product_id)
        WHERE coalesce(issued.units, 0) <> coalesce(stock.remaining, 0) + coalesce(sold.units, 0);
    END;
COMMENT ON FUNCTION economy.audit_stock() IS 'Products whose issued stock is not what is left plus what was sold (I5).';

-- A claim must follow from the claim before it and pay what the formula says.
CREATE FUNCTION economy.audit_rewards() RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH claims AS (
            SELECT r.*, lag(r.claim_date) OVER w AS date_before, lag(r.streak_day) OVER w AS day_before,
                   lead(r.seq) OVER w IS NULL AS is_newest
            FROM economy.reward_audit r WHERE r.source = 'economy:daily_streak'
            WINDOW w AS (PARTITION BY r.user_id ORDER BY r.seq)
        )
        SELECT c.user_id, 'wrong_reward',
               format('%s gold and %s XP for day %s', 1000 + 200 * (c.reward_day::bigint - 1), 50 + 25 * (c.reward_day::bigint - 1), c.reward_day),
               format('%s gold and %s XP', c.gold_delta, c.xp_delta), 'R' || c.user_id || '-' || c.seq, c.seq
        FROM claims c
        WHERE c.gold_delta <> 1000 + 200 * (c.reward_day::bigint - 1) OR c.xp_delta <> 50 + 25 * (c.reward_day::bigint - 1)
        UNION ALL
        SELECT c.user_id, 'duplicate_effect', format('a claim date after %s', c.date_before), c.claim_date::text,
               'R' || c.user_id || '-' || c.seq, c.seq
        FROM claims c WHERE c.claim_date <= c.date_before
        UNION ALL
        SELECT c.user_id, 'wrong_streak', format('day 1 or %s', coalesce(c.day_before, 0) + 1), format('day %s', c.streak_day),
               'R' || c.user_id || '-' || c.seq, c.seq
        FROM claims c
        WHERE c.streak_day NOT IN (1, coalesce(c.day_before, 0) + 1)
           OR c.reward_day NOT BETWEEN 1 AND c.streak_day
           OR (c.claim_date = c.date_before + 1 AND c.streak_day <> c.day_before + 1)
        UNION ALL
        SELECT coalesce(c.user_id, s.user_id), 'parity',
               format('streak day %s on %s', c.streak_day, c.claim_date), format('streak day %s on %s', s.streak_day, s.last_claim_on),
               'R' || c.user_id || '-' || c.seq, c.seq
        FROM (SELECT * FROM claims WHERE is_newest) c FULL JOIN economy.streaks s USING (user_id)
        WHERE (c.streak_day, c.claim_date, c.seq) IS DISTINCT FROM (s.streak_day, s.last_claim_on, s.last_seq)
        UNION ALL
        SELECT a.user_id, 'wrong_balance', format('%s streak freezes', coalesce(f.freezes, 0)),
               format('%s streak freezes', a.streak_freezes), NULL, NULL
        FROM economy.accounts a
        LEFT JOIN (SELECT m.user_id, sum(m.n) AS freezes FROM (
                       SELECT t.user_id, t.quantity::bigint AS n FROM economy.shop_transactions t WHERE t.effect_code = 'streak_freeze'
                       UNION ALL
                       SELECT r.user_id, -r.freezes_used FROM economy.reward_audit r WHERE r.freezes_used > 0) m
                   GROUP BY m.user_id) f USING (user_id)
        WHERE a.streak_freezes <> coalesce(f.freezes, 0);
    END;
COMMENT ON FUNCTION economy.audit_rewards() IS 'Daily claims against the formula and each other, streaks and freezes against the entries.';

CREATE FUNCTION economy.audit_record(kind text, since timestamptz, started_at timestamptz, users bigint, entries bigint,
                                     findings economy.finding[]) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    id bigint;
BEGIN
    INSERT INTO economy.audit_runs AS r (kind, since, started_at, finished_at, users, entries, findings)
        VALUES (kind, since, started_at, clock_timestamp(), users, entries, cardinality(findings)) RETURNING r.run_id INTO id;
    INSERT INTO economy.audit_findings SELECT id, f.* FROM unnest(findings) f;
END
$$;
COMMENT ON FUNCTION economy.audit_record(text, timestamptz, timestamptz, bigint, bigint, economy.finding[]) IS
    'Writes a sweep into audit_runs and audit_findings.';

CREATE FUNCTION economy.audit_sweep(since timestamptz DEFAULT NULL) RETURNS SETOF economy.finding
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    batch    CONSTANT integer := 10000;
    started  timestamptz := clock_timestamp();
    found_all economy.finding[] := '{}';
    found_now economy.finding[];
    total    bigint;
    done     bigint := 0;
    last_id  bigint := -1;
    users    bigint := 0;
    entries  bigint := 0;
    n        bigint;
    e        bigint;
BEGIN
    SELECT count(*) INTO total FROM economy.accounts;
    LOOP
        PERFORM economy.report_progress('audit_sweep', done, total);
        WITH b AS (
            SELECT a.user_id, a.seq FROM economy.accounts a WHERE a.user_id > last_id ORDER BY a.user_id LIMIT batch
        ), chosen AS MATERIALIZED (
            SELECT b.* FROM b WHERE since IS NULL OR EXISTS (
                SELECT FROM economy.ledger l WHERE l.user_id = b.user_id AND l.seq = b.seq AND l.created_at >= since)
        )
        SELECT (SELECT max(b.user_id) FROM b), (SELECT count(*) FROM b),
               (SELECT count(*) FROM chosen), (SELECT coalesce(sum(c.seq - coalesce((SELECT sum(p.total) FROM economy.pruned_stats p
                                                           WHERE p.user_id = c.user_id), 0)), 0) FROM chosen c),
               ARRAY(SELECT f::economy.finding FROM chosen c CROSS JOIN LATERAL economy.verify_chain(c.user_id) f)
        INTO last_id, n, total, e, found_now;
        EXIT WHEN n = 0;
        users := users + total;
        entries := entries + e;
        done := done + n;
        found_all := found_all || found_now;
        SELECT greatest(count(*), done) INTO total FROM economy.accounts;
    END LOOP;
    PERFORM economy.report_progress('audit_effects', done, done);
    found_all := found_all || ARRAY(SELECT f::economy.finding FROM economy.audit_effects() f);
    PERFORM economy.report_progress('audit_orphans', done, done);
    found_all := found_all || ARRAY(SELECT f::economy.finding FROM economy.audit_orphans() f);
    PERFORM economy.report_progress('audit_stock', done, done);
    found_all := found_all || ARRAY(SELECT f::economy.finding FROM economy.audit_stock() f);
    PERFORM economy.report_progress('audit_rewards', done, done);
    found_all := found_all || ARRAY(SELECT f::economy.finding FROM economy.audit_rewards() f);
    PERFORM economy.report_progress('stats_parity', done, done);
    found_all := found_all || ARRAY(
        SELECT (p.user_id, 'parity', format('%s %s %s', p.source, p.game, p.expected), p.actual::text, NULL, NULL)::economy.finding
        FROM economy.stats_parity() p);
    PERFORM economy.report_progress(NULL, NULL, NULL);
    -- on a standby, and in a read-only transaction, the answer is all there is
    IF NOT current_setting('transaction_read_only')::boolean THEN
        PERFORM economy.audit_record(CASE WHEN since IS NULL THEN 'full' ELSE 'since' END, since, started, users, entries, found_all);
    END IF;
    RETURN QUERY SELECT f.* FROM unnest(found_all) f;
END
$$;
COMMENT ON FUNCTION economy.audit_sweep(timestamptz) IS
    'Checks the invariants and returns a row per finding; none means clean. since restricts the streams to users whose newest entry is at or after it. Recorded in audit_runs; progress in economy.progress().';

CREATE FUNCTION economy.audit_sweep_incremental(max_users integer DEFAULT 100000) RETURNS SETOF economy.finding
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    started   timestamptz := clock_timestamp();
    found_all economy.finding[];
    users     bigint;
    entries   bigint;
BEGIN
    PERFORM economy.require_given('max_users', max_users IS NOT NULL);
    IF max_users < 1 THEN
        RAISE EXCEPTION 'max_users must be 1 or more' USING ERRCODE = 'XE002';
    END IF;
    -- two sweeps at once would only do the same work twice
    PERFORM pg_advisory_xact_lock(hashtextextended('economy.audit_sweep_incremental', 0));
    WITH fresh AS MATERIALIZED (
        SELECT a.user_id, a.seq, a.gold, a.experience_points, a.head_hash,
               -- one that is behind what was pruned begins at the first entry left
               a.seq - CASE WHEN coalesce(c.seq, 0) >= a.pruned_seq THEN coalesce(c.seq, 0)
                            ELSE coalesce((SELECT sum(p.total) FROM economy.pruned_stats p WHERE p.user_id = a.user_id), 0) END AS new_entries
        FROM economy.accounts a LEFT JOIN economy.audit_checkpoints c USING (user_id)
        WHERE a.seq IS DISTINCT FROM coalesce(c.seq, 0) ORDER BY a.user_id LIMIT max_users
    ), checked AS MATERIALIZED (
        SELECT f.user_id, f.seq, f.gold, f.experience_points, f.head_hash, f.new_entries,
               ARRAY(SELECT v::economy.finding FROM economy.verify_new(f.user_id) v) AS findings
        FROM fresh f
    ), clean AS (
        -- a stream with a finding keeps its old checkpoint and is found again
        INSERT INTO economy.audit_checkpoints AS c
            SELECT k.user_id, k.seq, k.gold, k.experience_points, k.head_hash FROM checked k WHERE cardinality(k.findings) = 0
            ON CONFLICT ON CONSTRAINT audit_checkpoints_pkey DO UPDATE SET
                seq = excluded.seq, gold = excluded.gold,
                experience_points = excluded.experience_points, hash = excluded.hash
    )
    SELECT count(*), coalesce(sum(k.new_entries), 0),
           ARRAY(SELECT u::economy.finding FROM checked c2 CROSS JOIN LATERAL unnest(c2.findings) u)
    INTO users, entries, found_all FROM checked k;
    PERFORM economy.audit_record('incremental', NULL, started, users, entries, found_all);
    RETURN QUERY SELECT f.* FROM unnest(found_all) f;
END
$$;
COMMENT ON FUNCTION economy.audit_sweep_incremental(integer) IS
    'Verifies only the entries since the last clean sweep of each user, for at most max_users users a call; audit_runs.users of the call is 0 when nothing is left.';
-- ops: jobs, run by pg_cron

CREATE TABLE economy.job_runs (
    run_id     bigint      GENERATED ALWAYS AS IDENTITY CONSTRAINT job_runs_pkey PRIMARY KEY,
    job        text        NOT NULL COLLATE "C",
    state      text        NOT NULL CONSTRAINT job_runs_state_check CHECK (state IN ('done', 'failed', 'skipped')),
    started_at timestamptz NOT NULL,
    ended_at   timestamptz NOT NULL,
    rows       bigint,
    error      text
);
CREATE INDEX job_runs_job_idx ON economy.job_runs (job, run_id);
SELECT pg_catalog.pg_extension_config_dump('economy.job_runs', '');
SELECT pg_catalog.pg_extension_config_dump('economy.job_runs_run_id_seq', '');
COMMENT ON SEQUENCE economy.job_runs_run_id_seq IS 'Numbers of the runs.';
COMMENT ON TABLE economy.job_runs IS 'Every run of a job: when, how many rows it wrote or found, and what went wrong.';
COMMENT ON COLUMN economy.job_runs.state IS 'done; failed: all it did was rolled back; skipped: the run before it was still going.';

CREATE FUNCTION economy.job_list() RETURNS TABLE (job text, schedule text, statement text)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        VALUES ('rfm_refresh',             '5 2 * * *',  'SELECT users_changed FROM economy.rfm_refresh()'),
               ('rfm_refresh_incremental', '7 * * * *',  'SELECT users_changed FROM economy.rfm_refresh_incremental()'),
               ('rollup_stats',            '* * * * *',  'SELECT rows_written FROM economy.rollup_stats()'),
               ('audit_sweep',             '35 2 * * *', 'SELECT count(*) FROM economy.audit_sweep()'),
               ('prune',                   '15 3 * * *', 'SELECT actions FROM economy.prune()');
    END;
COMMENT ON FUNCTION economy.job_list() IS 'The jobs that schedule() makes: when, in UTC, and the statement whose answer is the number of rows.';

CREATE FUNCTION economy.run_job(job text) RETURNS text
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    what    text;
    began   CONSTANT timestamptz := clock_timestamp();
    state   text := 'done';
    rows    bigint;
    message text;
    code    text;
BEGIN
    PERFORM economy.require_given('job', job IS NOT NULL);
    SELECT l.statement INTO what FROM economy.job_list() l WHERE l.job = run_job.job;
    IF NOT found THEN
        RAISE EXCEPTION 'job "%" does not exist', left(job, 64) USING ERRCODE = 'XE002', HINT = 'See economy.job_list().';
    END IF;
    IF NOT pg_try_advisory_xact_lock(hashtextextended('economy.job:' || job, 0)) THEN
        state := 'skipped';
        message := 'the run before is still going';
    ELSE
        BEGIN
            EXECUTE what INTO rows;
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, code = RETURNED_SQLSTATE;
            message := format('%s: %s', code, message);
            state := 'failed';
            RAISE WARNING 'job "%" failed', job USING DETAIL = message;
        END;
    END IF;
    INSERT INTO economy.job_runs (job, state, started_at, ended_at, rows, error) VALUES (job, state, began, clock_timestamp(), rows, message);
    RETURN state;
END
$$;
COMMENT ON FUNCTION economy.run_job(text) IS
    'Runs a job of job_list() unless it runs already, and notes the run in job_runs: done, failed or skipped. An error of the job does not raise.';

CREATE FUNCTION economy.cron_there() RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension e WHERE e.extname = 'pg_cron') THEN
        RAISE EXCEPTION 'pg_cron is not installed in this database' USING ERRCODE = 'XE802',
            HINT = format('Install it (Debian: postgresql-15-cron), add pg_cron to shared_preload_libraries, set cron.database_name = ''%s'', restart, and CREATE EXTENSION pg_cron; or let another scheduler call economy.run_job().', current_database());
    END IF;
END
$$;
COMMENT ON FUNCTION economy.cron_there() IS 'Raises XE802 with what to do when pg_cron is not there.';

CREATE FUNCTION economy.schedule() RETURNS TABLE (job text, schedule text, command text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    PERFORM economy.cron_there();
    FOR job, schedule IN SELECT l.job, l.schedule FROM economy.job_list() l LOOP
        command := format('SELECT economy.run_job(%L)', job);
        EXECUTE 'SELECT cron.schedule($1, $2, $3)' USING 'economy: ' || job, schedule, command;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION economy.schedule() IS 'Makes the pg_cron jobs of job_list(), or puts them right; a second call changes nothing. XE802 without pg_cron.';

CREATE FUNCTION economy.unschedule() RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    removed integer;
BEGIN
    PERFORM economy.cron_there();
    EXECUTE 'SELECT count(cron.unschedule(j.jobid)) FROM cron.job j WHERE j.jobname LIKE ''economy: %'' AND j.database = current_database()' INTO removed;
    RETURN removed;
END
$$;
COMMENT ON FUNCTION economy.unschedule() IS 'Removes the jobs that schedule() made and returns their number.';
-- demo: a small shop to try things in

CREATE FUNCTION economy.seed_demo() RETURNS TABLE (external_id text, user_id bigint, gold bigint)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_column
DECLARE
    p jsonb;
    u record;
    t timestamptz := economy.now();
BEGIN
    FOR p IN SELECT * FROM jsonb_array_elements('[
        {"product_id": "gold_100",      "category": "conversion", "source_points": 1000,  "granted_gold": 100,   "monetary": 100},
        {"product_id": "gold_550",      "category": "conversion", "source_points": 5000,  "granted_gold": 550,   "monetary": 500},
        {"product_id": "gold_1200",     "category": "conversion", "source_points": 10000, "granted_gold": 1200,  "monetary": 1000},
        {"product_id": "gold_6500",     "category": "conversion", "source_points": 50000, "granted_gold": 6500,  "monetary": 5000},
        {"product_id": "sword",         "category": "item", "price_gold": 250,  "effect_code": "weapon_sword"},
        {"product_id": "shield",        "category": "item", "price_gold": 200,  "effect_code": "armour_shield"},
        {"product_id": "potion",        "category": "item", "price_gold": 15,   "effect_code": "heal_50"},
        {"product_id": "xp_boost",      "category": "item", "price_gold": 400,  "effect_code": "xp_boost_1h"},
        {"product_id": "dragon",        "category": "item", "price_gold": 90000, "effect_code": "mount_dragon"}
        ]') LOOP
        IF NOT EXISTS (SELECT FROM economy.shop_products s WHERE s.product_id = p ->> 'product_id') THEN
            PERFORM economy.upsert_product(p, 'seed_demo');
        END IF;
    END LOOP;
    FOR p IN SELECT * FROM jsonb_array_elements('[
        {"product_id": "starter_pack", "category": "item", "price_gold": 50,  "monetary": 199, "effect_code": "pack_starter", "limit_once": true,  "stock": 1000},
        {"product_id": "summer_pack",  "category": "item", "price_gold": 300, "monetary": 999, "effect_code": "pack_summer",  "per_user_limit": 3, "stock": 100},
        {"product_id": "founder_pack", "category": "item", "price_gold": 500, "monetary": 4999, "effect_code": "pack_founder", "per_user_limit": 2, "stock": 2}
        ]') LOOP
        IF NOT EXISTS (SELECT FROM economy.shop_products s WHERE s.product_id = p ->> 'product_id') THEN
            PERFORM economy.upsert_product((p - 'stock') || jsonb_build_object(
                'starts_at', date_trunc('day', t) - interval '1 day', 'ends_at', date_trunc('day', t) + interval '30 days'),
                'seed_demo');
            PERFORM economy.add_stock(p ->> 'product_id', (p ->> 'stock')::bigint, 'seed_demo');
        END IF;
    END LOOP;
    INSERT INTO economy.invite_codes VALUES ('5858', 'demo', t) ON CONFLICT DO NOTHING;
    FOR u IN SELECT * FROM (VALUES ('alice', 'Europe/Berlin', 0), ('bob', 'America/New_York', 2000),
                                   ('carol', 'Asia/Tokyo', 2000), ('dave', 'UTC', 10)) v (name, zone, gold) LOOP
        external_id := u.name;
        user_id := economy.register(u.name, u.zone);
        IF u.gold > 0 THEN
            PERFORM economy.adjust_gold(user_id, u.gold, 'seed_demo', 'opening balance of the demo', 'seed_demo');
        END IF;
        SELECT a.gold INTO gold FROM economy.accounts a WHERE a.user_id = seed_demo.user_id;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION economy.seed_demo() IS
    'Fills a demo shop: 4 conversions, 5 items, 3 limited packages, invite code 5858, four users. Running it again changes nothing.';
-- the last word: nothing for PUBLIC

REVOKE ALL ON SCHEMA economy FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA economy FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA economy FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA economy FROM PUBLIC;
