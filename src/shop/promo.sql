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
