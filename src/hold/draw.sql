-- draw: fair draws, which a player can check

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

-- items of its price and prizes, each with the most that is asked or given at once
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

-- what is no number there is null, and is found
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
