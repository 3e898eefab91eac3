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
SELECT economy_internal.make_journal('economy.holding_changes');
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

-- Of all journals that carry items.  Streak freezes were moved before there were items: what was
-- bought by the effect code alone, and what claims use and reversals give back, has no balance.
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

-- Between users

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

-- The catalogue of items

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
