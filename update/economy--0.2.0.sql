-- complain if the script is sourced in psql rather than run by CREATE EXTENSION
\echo Use "CREATE EXTENSION economy" to load this file. \quit

SET LOCAL search_path TO pg_catalog, pg_temp;
SET LOCAL client_min_messages TO warning;

CREATE SCHEMA economy;
COMMENT ON SCHEMA economy IS
    'The economy of a game or app; see economy.access_list() for what may be called.';
CREATE SCHEMA economy_internal;
COMMENT ON SCHEMA economy_internal IS
    'What the functions of schema economy are made of, and keep for their next call; '
    'nobody needs to call or read it.';

-- What a user writes is hashed and signed as bytes: in another encoding they would be others.
DO $$
BEGIN
    IF getdatabaseencoding() <> 'UTF8' THEN
        RAISE EXCEPTION 'economy works in UTF8 databases only' USING ERRCODE = 'XE803',
            DETAIL = format('This one is in %s; what is hashed and signed here '
                            'would not be the same after a restore elsewhere.',
                            getdatabaseencoding()),
            HINT = 'CREATE DATABASE ... ENCODING ''UTF8'' TEMPLATE template0 LOCALE ''C.UTF-8''.';
    END IF;
END
$$;

-- A preloaded library stays what it was until the server restarts.
CREATE FUNCTION economy.library_version() RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_library_version';
COMMENT ON FUNCTION economy.library_version() IS
    'Release of the library that this session has loaded; pg_extension has that of the objects.';
-- Updates ask it too, by begin_update(): by then the extension is of the version that it is to
-- be.  A newer library knows the objects of all releases before, until they are updated.
CREATE FUNCTION economy_internal.require_library() RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    version text := (SELECT e.extversion FROM pg_extension e WHERE e.extname = 'economy');
BEGIN
    IF string_to_array(economy.library_version(), '.')::integer[]
            < string_to_array(version, '.')::integer[] THEN
        RAISE EXCEPTION 'the library economy that is loaded is of version %, not %',
            economy.library_version(), version
            USING ERRCODE = 'XE804',
            HINT = 'Restart the server: a library in shared_preload_libraries stays what it was '
                   'until then. Without preload, connect again.';
    END IF;
END
$$;
COMMENT ON FUNCTION economy_internal.require_library() IS
    'Raises XE804 unless the library that this session has loaded is as new as the objects.';
SELECT economy_internal.require_library();
-- ledger: accounts, the journals' common ground, signing keys

CREATE SEQUENCE economy.user_id_seq AS bigint;
COMMENT ON SEQUENCE economy.user_id_seq IS 'Counter part of user ids; the node id stands above it.';
SELECT pg_catalog.pg_extension_config_dump('economy.user_id_seq', '');

CREATE FUNCTION economy_internal.sections_sound(sections bytea) RETURNS boolean
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_account_sections_sound';
COMMENT ON FUNCTION economy_internal.sections_sound(bytea) IS
    'Whether the bytes are sections of an account, each of which is known.';

CREATE TABLE economy.accounts (
    user_id           bigint  NOT NULL CONSTRAINT accounts_pkey PRIMARY KEY,
    pruned_seq        bigint  NOT NULL DEFAULT 0,
    experience_points bigint  NOT NULL DEFAULT 0
        CONSTRAINT accounts_xp_check
        CHECK (experience_points >= 0 AND experience_points <= 9007199254740991),
    streak_freezes    integer NOT NULL DEFAULT 0
        CONSTRAINT accounts_streak_freezes_check CHECK (streak_freezes >= 0),
    suspended         boolean NOT NULL DEFAULT false,
    -- what every entry changes stands together: the log of an update is from the first
    -- changed byte to the last
    position          bigint  NOT NULL DEFAULT 0,
    seq               bigint  NOT NULL DEFAULT 0 CONSTRAINT accounts_seq_check CHECK (seq >= 0),
    gold              bigint  NOT NULL DEFAULT 0
        CONSTRAINT accounts_gold_check CHECK (gold >= 0 AND gold <= 9007199254740991),
    head_hash         bytea   NOT NULL
        CONSTRAINT accounts_head_hash_check CHECK (octet_length(head_hash) = 32),
    sections          bytea
        CONSTRAINT accounts_sections_check CHECK (octet_length(sections) BETWEEN 1 AND 2048),
    CONSTRAINT accounts_pruned_seq_check CHECK (pruned_seq BETWEEN 0 AND seq)
) WITH (fillfactor = 50);
ALTER TABLE economy.accounts ALTER COLUMN head_hash SET STORAGE PLAIN;
ALTER TABLE economy.accounts ALTER COLUMN sections SET STORAGE PLAIN;
SELECT pg_catalog.pg_extension_config_dump('economy.accounts', '');
COMMENT ON TABLE economy.accounts IS
    'The one hot row per user: newest seq, balances and head of the hash '
    'chain. Only the functions write it.';
COMMENT ON COLUMN economy.accounts.seq IS 'Number of the newest entry; 0 before the first.';
COMMENT ON COLUMN economy.accounts.gold IS 'Gold after the newest entry, 0 to 2^53-1.';
COMMENT ON COLUMN economy.accounts.experience_points IS 'XP after the newest entry, 0 to 2^53-1.';
COMMENT ON COLUMN economy.accounts.position IS
    'Position of the newest entry in the feed; 0 before the first.';
COMMENT ON COLUMN economy.accounts.suspended IS
    'Status of the user, here because every call that must see it holds this row''s lock.';
COMMENT ON COLUMN economy.accounts.streak_freezes IS 'Streak freezes held: bought minus used up.';
COMMENT ON COLUMN economy.accounts.pruned_seq IS
    'Actions up to this entry may have been pruned, and others archived, '
    'behind the user''s stream checkpoint; 0 before the first prune.';
COMMENT ON COLUMN economy.accounts.head_hash IS
    'Hash of the newest entry; before the first economy_internal.identity_hash() '
    'of the user at registration.';
COMMENT ON COLUMN economy.accounts.sections IS
    'Small state of the user that changes with the account, packed: what economy.game_stats, '
    'economy.streaks and economy_internal.shop_user_units show. Null before there is any.';

CREATE TABLE economy.signing_keys (
    version    integer     NOT NULL CONSTRAINT signing_keys_pkey PRIMARY KEY CHECK (version > 0),
    state      text        NOT NULL COLLATE "C"
        CONSTRAINT signing_keys_state_check
        CHECK (state IN ('next', 'active', 'verify_only', 'retired')),
    material   bytea       NOT NULL,
    created_at timestamptz NOT NULL,
    retired_at timestamptz
        CONSTRAINT signing_keys_retired_at_check
        CHECK ((state = 'retired') = (retired_at IS NOT NULL)),
    first_position bigint  NOT NULL,
    last_position  bigint
        CONSTRAINT signing_keys_last_position_check
        CHECK ((state = 'retired') = (last_position IS NOT NULL))
);
CREATE INDEX signing_keys_state_idx ON economy.signing_keys (state);
SELECT pg_catalog.pg_extension_config_dump('economy.signing_keys', '');
COMMENT ON TABLE economy.signing_keys IS
    'Keys that sign receipts, made by the server. A dump contains them: guard it.';
COMMENT ON COLUMN economy.signing_keys.first_position IS
    'Least position of an entry that the key can have signed: '
    'transactions that ran when it was made.';
COMMENT ON COLUMN economy.signing_keys.last_position IS
    'Greatest position of such an entry, once the key is retired.';

-- Entries carry transaction ids, which mean something only in the cluster that gave them.
CREATE TABLE economy.installations (
    number      bigint      NOT NULL,
    system      bigint      NOT NULL,
    database    oid         NOT NULL,
    extension   oid         NOT NULL,
    xact        bigint      NOT NULL,
    since       timestamptz NOT NULL DEFAULT clock_timestamp(),
    pruned_xact bigint,
    pruned_by   bigint,
    CONSTRAINT installations_pkey PRIMARY KEY (number, system, database, extension, xact)
);
SELECT pg_catalog.pg_extension_config_dump('economy.installations', '');
COMMENT ON TABLE economy.installations IS
    'The lives of this data: a restore, or a copy of the database, begins another one with its '
    'first entry. Positions of entries begin with the number of theirs.';
COMMENT ON COLUMN economy.installations.number IS
    'Greater than those of all installations before. Rows of the same number are of '
    'transactions that recorded it at once.';
COMMENT ON COLUMN economy.installations.system IS 'System identifier of the cluster.';
COMMENT ON COLUMN economy.installations.xact IS 'Transaction that recorded it.';
COMMENT ON COLUMN economy.installations.pruned_xact IS
    'Newest transaction of this installation of which an action was pruned or an entry archived; '
    'null for none.';
COMMENT ON COLUMN economy.installations.pruned_by IS 'Newest transaction that pruned.';

CREATE FUNCTION economy_internal.position_of(xact bigint) RETURNS bigint
    LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_position_of';
COMMENT ON FUNCTION economy_internal.position_of(bigint) IS
    'The least position that entries of a transaction of this installation, '
    'and of later ones, have; 0 for 0.';

CREATE FUNCTION economy.now() RETURNS timestamptz
    LANGUAGE c VOLATILE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'eco_clock';
COMMENT ON FUNCTION economy.now() IS
    'The moment all rules use: the server''s clock, or economy.test_clock.';

CREATE FUNCTION economy_internal.require_given(argument text, given boolean) RETURNS void
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_require_given';
COMMENT ON FUNCTION economy_internal.require_given(text, boolean) IS
    'Raises XE001, that the argument must not be null, unless it is given.';

-- Whose name a constraint has is no answer for who made the mistake: a constraint of
-- configuration has its words as a comment.
CREATE FUNCTION economy_internal.violation(
    relation text, given jsonb, message text, constraint_name text, column_name text
) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    says text;
    e    record;
BEGIN
    IF constraint_name <> '' THEN
        SELECT obj_description(c.oid, 'pg_constraint') INTO says FROM pg_constraint c
            WHERE c.conname = constraint_name AND c.connamespace = 'economy'::regnamespace;
        RETURN coalesce(says, message);
    ELSIF column_name <> '' THEN
        RETURN column_name || ' must not be null';
    END IF;
    -- a value that its column cannot hold: which one
    FOR e IN
        SELECT m.key, m.value
        FROM jsonb_array_elements(CASE jsonb_typeof(given) WHEN 'array' THEN given
                                       ELSE jsonb_build_array(given) END)
                WITH ORDINALITY o (object, n),
             LATERAL jsonb_each(CASE jsonb_typeof(o.object) WHEN 'object' THEN o.object
                                     ELSE '{}' END) m
        ORDER BY o.n, m.key
    LOOP
        BEGIN
            -- EXECUTE, because the type is that of the relation
            EXECUTE format('SELECT jsonb_populate_record(NULL::economy.%I, $1)', relation)
                USING jsonb_build_object(e.key, e.value);
        EXCEPTION WHEN data_exception THEN
            RETURN format('%s: %s', e.key, sqlerrm);
        END;
    END LOOP;
    RETURN message;
END
$$;
COMMENT ON FUNCTION economy_internal.violation(text, jsonb, text, text, text) IS
    'What is wrong with values given for a table, in words: from the diagnostics of an error, '
    'and the comment of the constraint that was violated.';

CREATE FUNCTION economy_internal.require_positive(argument text, value bigint) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    PERFORM economy_internal.require_given(argument, value IS NOT NULL);
    IF value < 1 THEN
        RAISE EXCEPTION '% must be 1 or more', argument USING ERRCODE = 'XE002';
    END IF;
END
$$;
COMMENT ON FUNCTION economy_internal.require_positive(text, bigint) IS
    'Raises XE001 or XE002, that the argument must not be null, or be 1 or more, unless it is.';

CREATE FUNCTION economy_internal.require_limit(argument text, value bigint) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    IF value < 0 THEN
        RAISE EXCEPTION '% must be 0 or more', argument USING ERRCODE = 'XE002';
    END IF;
END
$$;
COMMENT ON FUNCTION economy_internal.require_limit(text, bigint) IS
    'Raises XE002, that the argument must be 0 or more, unless it is, or is null: no limit.';

CREATE FUNCTION economy_internal.lock_name(name text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'eco_lock_name';
COMMENT ON FUNCTION economy_internal.lock_name(text) IS
    'Takes a lock on a name until the end of the transaction, '
    'of a class that no user can take; waits for it.';

CREATE FUNCTION economy_internal.try_lock_name(name text) RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'eco_try_lock_name';
COMMENT ON FUNCTION economy_internal.try_lock_name(text) IS
    'lock_name() that does not wait: false when another transaction has the lock.';

-- The door of rows.h for functions in SQL.  A reader of tables is VOLATILE and opens
-- them in a statement of its own: the next one takes a snapshot that is no older than
-- the locks.  What is said in several statements and must be of one snapshot is a
-- function of its own (.._seen), which is STABLE.
CREATE FUNCTION economy_internal.open_tables(VARIADIC tables text[]) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_open_tables';
COMMENT ON FUNCTION economy_internal.open_tables(text[]) IS
    'Locks tables for reading before a function reads any of them; 40001 when one was changed '
    'after the transaction''s snapshot. Those of economy_internal are named with their schema.';

CREATE FUNCTION economy_internal.open_all_tables() RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.open_tables(VARIADIC array_agg(
            CASE n.nspname WHEN 'economy' THEN '' ELSE n.nspname || '.' END || c.relname
            ORDER BY c.relname, n.nspname))
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname IN ('economy', 'economy_internal') AND c.relkind IN ('r', 'p')
          -- those come with what they are partitions of
          AND NOT c.relispartition;
    END;
COMMENT ON FUNCTION economy_internal.open_all_tables() IS
    'open_tables() with every table of both schemas, for the audit.';

CREATE FUNCTION economy_internal.forbid_change() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'eco_forbid_change';
COMMENT ON FUNCTION economy_internal.forbid_change() IS
    'Trigger of the journals: refuses UPDATE, DELETE and TRUNCATE with XE101.';

CREATE FUNCTION economy_internal.key_digest(first text, second text) RETURNS bigint
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_key_digest';
COMMENT ON FUNCTION economy_internal.key_digest(text, text) IS
    'What a journal''s index knows a key of two texts by: the upper half of the first, the lower '
    'half of both. Other texts may have the same.';

-- What stands so far is the form that the partitioned table takes, under the same names.
CREATE FUNCTION economy_internal.spread_journal(name name) RETURNS regclass
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET economy.allow_drop = on AS $$
DECLARE
    form CONSTANT regclass := format('economy.%I', name);
    ix   record;
BEGIN
    EXECUTE format('ALTER TABLE %s RENAME TO %I', form, name || '_form');
    EXECUTE format('CREATE TABLE economy.%I (LIKE %s INCLUDING ALL) PARTITION BY HASH (user_id)',
                   name, form);
    FOR ix IN
        SELECT c.relname AS old_name, n.indexrelid::regclass AS index
        FROM pg_index o
        JOIN pg_class c ON c.oid = o.indexrelid
        JOIN pg_index n ON n.indkey = o.indkey AND n.indisunique = o.indisunique
        WHERE o.indrelid = form AND n.indrelid = format('economy.%I', name)::regclass
    LOOP
        EXECUTE format('ALTER INDEX %s RENAME TO %I', ix.index, ix.old_name || '_of');
    END LOOP;
    EXECUTE format('DROP TABLE %s', form);
    FOR ix IN
        SELECT regexp_replace(c.relname, '_of$', '') AS old_name, i.indexrelid::regclass AS index
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        WHERE i.indrelid = format('economy.%I', name)::regclass
    LOOP
        EXECUTE format('ALTER INDEX %s RENAME TO %I', ix.index, ix.old_name);
    END LOOP;
    RETURN format('economy.%I', name);
END
$$;
COMMENT ON FUNCTION economy_internal.spread_journal(name) IS
    'Part of make_journal(): puts a table in the place of this empty one that is partitioned by '
    'hash of user_id.';

CREATE FUNCTION economy_internal.guard_journal(journal regclass) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    name text := (SELECT c.relname FROM pg_class c WHERE c.oid = journal);
BEGIN
    -- EXECUTE, because the table is that of the journal
    EXECUTE format($query$
        CREATE TRIGGER %I BEFORE UPDATE OR DELETE OR TRUNCATE ON %s
            FOR EACH STATEMENT EXECUTE FUNCTION economy_internal.forbid_change()
        $query$, name || '_append_only', journal);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', journal, name || '_append_only');
    PERFORM pg_extension_config_dump(journal, '');
END
$$;
COMMENT ON FUNCTION economy_internal.guard_journal(regclass) IS
    'Part of make_journal(), for the journal and each of its partitions: the guard, and a place '
    'in dumps.';

-- The columns stand in the journal's own order, which leaves no gaps in a row.
CREATE FUNCTION economy_internal.make_journal(journal regclass) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    name   CONSTANT name := (SELECT c.relname FROM pg_class c WHERE c.oid = journal);
    nparts CONSTANT integer := current_setting('economy.journal_partitions');
    index  regclass;
    part   regclass;
BEGIN
    IF nparts > 0 THEN
        journal := economy_internal.spread_journal(name);
    END IF;
    -- EXECUTE, because the table is that of the journal
    EXECUTE format($query$
        ALTER TABLE %s ADD CONSTRAINT %I CHECK (seq > 0),
                       ADD CONSTRAINT %I CHECK (gold >= 0),
                       ADD CONSTRAINT %I CHECK (experience_points >= 0)
        $query$, journal, name || '_seq_check', name || '_gold_check', name || '_xp_check');
    -- a summary per range of pages is enough for rows that lie in the order of their positions
    EXECUTE format('CREATE INDEX %I ON %s USING brin (position) WITH (pages_per_range = 32)',
                   name || '_position_idx', journal);
    PERFORM economy_internal.guard_journal(journal);
    FOR i IN 0 .. nparts - 1 LOOP
        EXECUTE format($query$
            CREATE TABLE economy_internal.%I PARTITION OF %s
                FOR VALUES WITH (MODULUS %s, REMAINDER %s)
            $query$, name || '_p' || i, journal, nparts, i);
        part := format('economy_internal.%I', name || '_p' || i);
        PERFORM economy_internal.guard_journal(part);
        EXECUTE format('COMMENT ON TABLE %s IS %L', part, 'Partition of ' || journal || '.');
    END LOOP;
    -- a range without a summary costs a writer nothing; the empty table's first range has one
    FOR index IN
        SELECT c.oid FROM pg_class c JOIN pg_am m ON m.oid = c.relam
        JOIN pg_index i ON i.indexrelid = c.oid LEFT JOIN pg_inherits p ON p.inhrelid = i.indrelid
        WHERE journal IN (i.indrelid, p.inhparent) AND c.relkind = 'i' AND m.amname = 'brin'
    LOOP
        PERFORM brin_desummarize_range(index, 0);
    END LOOP;
END
$$;
COMMENT ON FUNCTION economy_internal.make_journal(regclass) IS
    'Gives a table with the header of a journal what all journals have: checks, the index that '
    'the feed reads, the guard, a place in dumps, and the partitions that '
    'economy.journal_partitions asks for. For the scripts of the extension.';

CREATE FUNCTION economy_internal.is_spread(journal regclass) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC SELECT c.relkind = 'p' FROM pg_class c WHERE c.oid = is_spread.journal; END;
COMMENT ON FUNCTION economy_internal.is_spread(regclass) IS 'Whether the journal is partitioned.';

CREATE FUNCTION economy_internal.summarise_parts(journal regclass) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_summarise_parts';
COMMENT ON FUNCTION economy_internal.summarise_parts(regclass) IS
    'Makes the summaries that the partitions of a journal lack in their indexes on position, but '
    'for the last range of each, which is being filled.';

-- The history of what is configuration: the audit compares it with what is there.
CREATE TABLE economy.config_changes (
    change_id  bigint      GENERATED ALWAYS AS IDENTITY,
    relation   text        NOT NULL COLLATE "C",
    key        text        NOT NULL COLLATE "C",
    change_no  bigint      NOT NULL CONSTRAINT config_changes_change_no_check CHECK (change_no > 0),
    action     text        NOT NULL,
    actor      text        NOT NULL,
    before     jsonb,
    after      jsonb,
    units      bigint,
    changed_at timestamptz NOT NULL,
    hash       bytea       NOT NULL
        CONSTRAINT config_changes_hash_check CHECK (octet_length(hash) = 32),
    CONSTRAINT config_changes_pkey PRIMARY KEY (relation, key, change_no)
);
SELECT pg_catalog.pg_extension_config_dump('economy.config_changes', '');
SELECT pg_catalog.pg_extension_config_dump('economy.config_changes_change_id_seq', '');
COMMENT ON SEQUENCE economy.config_changes_change_id_seq IS 'Numbers of config_changes.';
COMMENT ON TABLE economy.config_changes IS
    'Every change of what is configuration, with actor, before and after, '
    'in a hash chain per key. Append-only.';
COMMENT ON COLUMN economy.config_changes.relation IS 'Table that was changed.';
COMMENT ON COLUMN economy.config_changes.key IS
    'What of it: a product, a curve, a game, the version of a signing key.';
COMMENT ON COLUMN economy.config_changes.before IS
    'The after of the key''s change before this one; null is the first.';
COMMENT ON COLUMN economy.config_changes.after IS 'As it is from then on; null is gone.';
COMMENT ON COLUMN economy.config_changes.units IS 'Stock deliveries: the units.';
COMMENT ON COLUMN economy.config_changes.hash IS
    'SHA-256 of the key''s change before, 32 zero bytes for the first, '
    'and what economy_internal.change_text() returns of the row.';
CREATE TRIGGER config_changes_append_only BEFORE UPDATE OR DELETE OR TRUNCATE
    ON economy.config_changes FOR EACH STATEMENT EXECUTE FUNCTION economy_internal.forbid_change();
ALTER TABLE economy.config_changes ENABLE ALWAYS TRIGGER config_changes_append_only;

CREATE TABLE economy_internal.config_heads (
    relation  text   NOT NULL COLLATE "C",
    key       text   NOT NULL COLLATE "C",
    change_no bigint NOT NULL,
    hash      bytea  NOT NULL,
    CONSTRAINT config_heads_pkey PRIMARY KEY (relation, key)
);
SELECT pg_catalog.pg_extension_config_dump('economy_internal.config_heads', '');
COMMENT ON TABLE economy_internal.config_heads IS
    'The newest of config_changes per key; its row lock makes changes '
    'of one key wait for each other.';

CREATE FUNCTION economy_internal.change_text(change economy.config_changes) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT jsonb_build_array(
            change.change_id, change.relation, change.key, change.change_no, change.action,
            change.actor, change.before, change.after, change.units,
            (extract(epoch FROM change.changed_at) * 1000000)::bigint)::text;
    END;
COMMENT ON FUNCTION economy_internal.change_text(economy.config_changes) IS
    'What is hashed of a row of config_changes, in UTF-8: a JSON array of its columns.';

-- TimeZone and the others: the texts in a JSON document do not depend on who makes it
CREATE FUNCTION economy.note_change(
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
        'recommendation_placements', 'recommendation_arms', 'signing_keys');
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
COMMENT ON FUNCTION economy.note_change(text, text, text, text, bigint) IS
    'Notes in config_changes how a key of a relation is from now on. For the functions that change '
    'it, in their transaction; and for who repairs one by hand.';

CREATE FUNCTION economy_internal.note_key(version integer) RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy.note_change(
            'signing_keys', version::text, k.state, session_user::text)
        FROM economy.signing_keys k WHERE k.version = note_key.version;
    END;
COMMENT ON FUNCTION economy_internal.note_key(integer) IS 'note_change() for a signing key.';

CREATE TYPE economy.finding AS (
    user_id  bigint,
    kind     text,
    expected text,
    actual   text,
    entry    text,
    seq      bigint
);
COMMENT ON TYPE economy.finding IS
    'One thing that is wrong: whose, of what kind, what should be and what is, and in which entry.';

CREATE FUNCTION economy.verify_chain(user_id bigint) RETURNS SETOF economy.finding
    LANGUAGE c STABLE PARALLEL SAFE ROWS 1 AS 'MODULE_PATHNAME', 'eco_verify_chain';
COMMENT ON FUNCTION economy.verify_chain(bigint) IS
    'Recomputes a user''s whole stream (sequence, balances, hash chain, signatures, '
    'account row) and returns a row per finding; none means clean.';

CREATE FUNCTION economy.rotate_signing_key() RETURNS integer
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_rotate_signing_key';
COMMENT ON FUNCTION economy.rotate_signing_key() IS
    'Makes a new signing key the active one and returns its version; '
    'receipts of the old one stay verifiable.';

CREATE FUNCTION economy.retire_signing_key(version integer) RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_retire_signing_key';
COMMENT ON FUNCTION economy.retire_signing_key(integer) IS
    'Destroys the material of a key that no longer signs; its receipts answer KEY_RETIRED from '
    'then on. False when the version is not verify_only.';

-- The trigger is called so that the library is loaded, whose hook does the check.
CREATE FUNCTION economy_internal.guard_drop() RETURNS event_trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'eco_guard_drop';
COMMENT ON FUNCTION economy_internal.guard_drop() IS
    'Arms the guard that refuses to drop or detach journals that hold rows, '
    'and to rename tables of the extension (XE102).';
CREATE EVENT TRIGGER economy_guard_drop ON ddl_command_start
    WHEN TAG IN ('DROP EXTENSION', 'DROP OWNED', 'DROP SCHEMA', 'DROP TABLE', 'ALTER TABLE',
                 'ALTER SCHEMA', 'ALTER SEQUENCE', 'ALTER VIEW')
    EXECUTE FUNCTION economy_internal.guard_drop();
-- also for a session that calls itself a replica
ALTER EVENT TRIGGER economy_guard_drop ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER economy_guard_drop IS
    'Loads the library before a command that could drop, detach or rename a journal.';
-- identity: users, time zones, status, invite codes

CREATE FUNCTION economy_internal.next_user_id() RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_next_user_id';
COMMENT ON FUNCTION economy_internal.next_user_id() IS
    'Next user id: economy.node_id above 41 bits of counter, below 2^53.';

CREATE FUNCTION economy.timezone_name(name text) RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_timezone_name';
COMMENT ON FUNCTION economy.timezone_name(text) IS
    'The IANA time zone in its proper spelling, today''s name for one of tzdata-legacy; '
    'raises XE201 for anything else, POSIX rules included.';

CREATE TABLE economy.users (
    user_id     bigint      NOT NULL DEFAULT economy_internal.next_user_id()
        CONSTRAINT users_pkey PRIMARY KEY,
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

CREATE TABLE economy.user_changes (
    user_id           bigint      NOT NULL,
    seq               bigint      NOT NULL,
    gold_delta        bigint      NOT NULL CHECK (gold_delta = 0),
    xp_delta          bigint      NOT NULL CHECK (xp_delta = 0),
    gold              bigint      NOT NULL,
    experience_points bigint      NOT NULL,
    created_at        timestamptz NOT NULL,
    xact              bigint      NOT NULL,
    position          bigint      NOT NULL,
    live              boolean     NOT NULL,
    hash              bytea       NOT NULL,
    field             text        NOT NULL COLLATE "C"
        CHECK (field IN ('external_id', 'timezone', 'profile', 'status')),
    before            text        COLLATE "C",
    after             text        COLLATE "C",
    idempotency_key   text        COLLATE "C",
    actor             text,
    reason            text,
    CONSTRAINT user_changes_pkey PRIMARY KEY (user_id, seq),
    CONSTRAINT user_changes_key UNIQUE (user_id, field, idempotency_key)
);
SELECT economy_internal.make_journal('economy.user_changes');
COMMENT ON TABLE economy.user_changes IS
    'Journal of changes of a user''s status, time zone, profile and external id; '
    'they move no gold. Append-only.';

CREATE FUNCTION economy_internal.identity_hash(
    user_id bigint, external_id text, timezone text, created_at timestamptz
) RETURNS bytea
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_identity_hash';
COMMENT ON FUNCTION economy_internal.identity_hash(bigint, text, text, timestamptz) IS
    'What the hash of a user''s first entry follows, made from who the user was at registration.';

CREATE FUNCTION economy.register(
    external_id text DEFAULT NULL, timezone text DEFAULT 'UTC', profile jsonb DEFAULT '{}'
) RETURNS bigint
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
        SELECT u.user_id INTO id FROM economy.users u WHERE u.external_id = register.external_id;
        IF found THEN
            RETURN id;
        END IF;
    END IF;
    INSERT INTO economy.users AS u (external_id, timezone, profile, created_at)
        VALUES (external_id, zone, profile, registered_at)
        ON CONFLICT ON CONSTRAINT users_external_id_key DO NOTHING
        RETURNING u.user_id, (u.external_id, u.timezone, u.profile, u.created_at)
            IS NOT DISTINCT FROM (register.external_id, zone, register.profile, registered_at)
        INTO id, user_as_given;
    IF NOT found THEN
        -- somebody registered the same external_id between our look and our insert
        SELECT u.user_id INTO id FROM economy.users u WHERE u.external_id = register.external_id;
        IF found THEN
            RETURN id;
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
    RETURN id;
END
$$;
COMMENT ON FUNCTION economy.register(text, text, jsonb) IS
    'Registers a user and returns the user_id; the same external_id returns the '
    'same user and changes nothing.';

CREATE FUNCTION economy.user_id_of(external_id text) RETURNS bigint
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_user_id_of';
COMMENT ON FUNCTION economy.user_id_of(text) IS 'The user with this external_id, or null.';

CREATE FUNCTION economy.set_timezone(
    user_id bigint, timezone text, idempotency_key text DEFAULT NULL
) RETURNS text
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_set_timezone';
COMMENT ON FUNCTION economy.set_timezone(bigint, text, text) IS
    'Sets the user''s IANA time zone and returns its proper spelling; '
    'XE201 for no zone, XE202 for no user.';

CREATE FUNCTION economy.set_user_status(
    user_id bigint, status text, actor text, idempotency_key text DEFAULT NULL,
    reason text DEFAULT NULL
) RETURNS text
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_set_user_status';
COMMENT ON FUNCTION economy.set_user_status(bigint, text, text, text, text) IS
    'Suspends or reactivates a user, recorded with actor and reason. '
    'A suspended user''s calls are refused with USER_SUSPENDED.';

CREATE TYPE economy.user_change_result AS (
    success        boolean,
    state          text,
    code           text,
    transaction_id text,
    field          text,
    before         text,
    after          text,
    retry_after_ms integer,
    detail         jsonb
);
COMMENT ON TYPE economy.user_change_result IS
    'Result of economy.update_profile(), economy.link_external_id() '
    'and economy.unlink_external_id().';

CREATE FUNCTION economy.update_profile(
    user_id bigint, patch jsonb, idempotency_key text, actor text DEFAULT NULL
) RETURNS economy.user_change_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_update_profile';
COMMENT ON FUNCTION economy.update_profile(bigint, jsonb, text, text) IS
    'Changes the members of the profile that the patch names and removes those it sets to null '
    '(RFC 7386), once per idempotency key. Refuses USER_NOT_FOUND, USER_SUSPENDED, '
    'PROFILE_TOO_LONG, IDEMPOTENCY_MISMATCH.';

CREATE FUNCTION economy.link_external_id(
    user_id bigint, external_id text, idempotency_key text, actor text DEFAULT NULL
) RETURNS economy.user_change_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_link_external_id';
COMMENT ON FUNCTION economy.link_external_id(bigint, text, text, text) IS
    'Gives a user that has no external id this one, once per idempotency key. '
    'Refuses EXTERNAL_ID_TAKEN, ALREADY_LINKED, USER_NOT_FOUND, '
    'USER_SUSPENDED, IDEMPOTENCY_MISMATCH.';

CREATE FUNCTION economy.unlink_external_id(
    user_id bigint, idempotency_key text, actor text DEFAULT NULL
) RETURNS economy.user_change_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_unlink_external_id';
COMMENT ON FUNCTION economy.unlink_external_id(bigint, text, text) IS
    'Takes a user''s external id away, once per idempotency key. Refuses NOT_LINKED, '
    'USER_NOT_FOUND, USER_SUSPENDED, IDEMPOTENCY_MISMATCH.';
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
    CONSTRAINT shop_products_period_check CHECK (starts_at < ends_at),
    CONSTRAINT shop_products_limits_check CHECK (NOT limit_once OR per_user_limit IS NULL),
    CONSTRAINT shop_products_renewal_check
        CHECK (limit_period = 'ever' OR per_user_limit IS NOT NULL),
    CONSTRAINT shop_products_counted_check CHECK (counted OR per_user_limit IS NULL),
    -- what is no category is refused by the constraint on category
    CONSTRAINT shop_products_amounts_check CHECK (
        CASE category WHEN 'conversion' THEN price_gold = 0
                      WHEN 'item' THEN granted_gold = 0 ELSE true END)
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
    detail               jsonb
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
    receipt_signature_version integer
);
COMMENT ON TYPE economy.purchase_receipt IS 'The signed receipt of a purchase.';

CREATE FUNCTION economy.receipt(user_id bigint, transaction_id text)
    RETURNS SETOF economy.purchase_receipt
    LANGUAGE c STABLE PARALLEL SAFE ROWS 1 AS 'MODULE_PATHNAME', 'eco_receipt';
COMMENT ON FUNCTION economy.receipt(bigint, text) IS
    'The signed receipt of a purchase, or no row. hash and receipt_signature are hexadecimal.';

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
              "global_key": false, "active": true, "stock_slots": 0, "extra": {}}');
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
                            'effect_code', 'extra')
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
COMMENT ON FUNCTION economy_internal.check_product(jsonb, economy.shop_products) IS
    'What is wrong with a product given to upsert_product(), beyond what the constraints of '
    'shop_products say; null when nothing is.';

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
                    extra = new_row.extra
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
-- reward: grants, reversals, levels, the daily streak

CREATE TABLE economy.reward_audit (
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
    reverses          bigint,
    streak_before     bigint,
    streak_day        integer     CONSTRAINT reward_audit_streak_day_check CHECK (streak_day >= 0),
    reward_day        integer,
    claim_date        date,
    best              integer,
    last_grace_on     date,
    excused_to        date,
    freezes_used      integer,
    grace_used        boolean,
    live              boolean     NOT NULL,
    hash              bytea       NOT NULL,
    source            text        NOT NULL COLLATE "C",
    external_event_id text        NOT NULL COLLATE "C",
    actor             text,
    reason            text,
    timezone          text,
    details           jsonb,
    CONSTRAINT reward_audit_pkey PRIMARY KEY (user_id, seq)
);
-- no two are equal but by accident, and nothing is gained by looking for such
CREATE INDEX reward_audit_key ON economy.reward_audit (user_id, key_digest)
    WITH (deduplicate_items = off);
SELECT economy_internal.make_journal('economy.reward_audit');
COMMENT ON TABLE economy.reward_audit IS
    'Journal of rewards: grants, daily claims and reversals. The row is the grant. Append-only.';
COMMENT ON COLUMN economy.reward_audit.key_digest IS
    'Digest of source and external_event_id, by which the index finds them.';
COMMENT ON COLUMN economy.reward_audit.reverses IS 'Reversals: seq of the reward taken back.';
COMMENT ON COLUMN economy.reward_audit.streak_day IS
    'Entries that change a streak (claims, set_streak(), reversals that give a date '
    'back): its length after the entry.';
COMMENT ON COLUMN economy.reward_audit.reward_day IS
    'Daily claims: the day whose reward was paid; differs from streak_day past a cap.';
COMMENT ON COLUMN economy.reward_audit.claim_date IS
    'Entries that change a streak: the local date of its last claim after the entry; '
    'of a claim the date it is for.';
COMMENT ON COLUMN economy.reward_audit.streak_before IS
    'Entries that change a streak: seq of the entry that it goes on from, '
    'of a reversal that it goes back to. With streak_day, best, claim_date, last_grace_on, '
    'excused_to and timezone the row of streaks can be recomputed.';

CREATE FUNCTION economy_internal.streak_of(sections bytea) RETURNS TABLE (
    streak_day integer, best integer, last_claim_on date, last_grace_on date, excused_to date,
    paid_to date, last_seq bigint, timezone text
)
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 1 AS 'MODULE_PATHNAME', 'eco_streak_of';
COMMENT ON FUNCTION economy_internal.streak_of(bytea) IS
    'The daily streak that stands in an account; no row for none, or a damaged one.';

CREATE FUNCTION economy_internal.streak_sound(sections bytea) RETURNS boolean
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_streak_sound';
COMMENT ON FUNCTION economy_internal.streak_sound(bytea) IS
    'Whether the daily streak in an account can be read, or there is none.';

CREATE FUNCTION economy_internal.with_streak(
    sections bytea, streak_day integer, best integer, last_claim_on date, last_grace_on date,
    excused_to date, paid_to date, last_seq bigint, timezone text
) RETURNS bytea
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_with_streak';
COMMENT ON FUNCTION economy_internal.with_streak(
    bytea, integer, integer, date, date, date, date, bigint, text) IS
    'An account''s sections with another daily streak, or without one when streak_day is null: '
    'for who corrects one that the audit found to be wrong.';

CREATE VIEW economy.streaks AS
    SELECT a.user_id, s.*
    FROM economy.accounts a CROSS JOIN LATERAL economy_internal.streak_of(a.sections) s;
COMMENT ON VIEW economy.streaks IS
    'Daily streak per user as of the last claim; economy.streak_state() evaluates it for now.';
COMMENT ON COLUMN economy.streaks.last_grace_on IS 'The missed date that grace covered last.';
COMMENT ON COLUMN economy.streaks.excused_to IS
    'Dates up to it are not missed: a change of the zone passed over them.';
COMMENT ON COLUMN economy.streaks.paid_to IS
    'No date after it was ever paid; after last_claim_on only where a correction or '
    'a reversal put the streak back.';
COMMENT ON COLUMN economy.streaks.last_seq IS
    'Entry that the streak stands at; 0 when its only claim was taken back.';
COMMENT ON COLUMN economy.streaks.timezone IS
    'Zone of the last claim; differs from users.timezone while a change is pending.';

CREATE TABLE economy.level_curves (
    curve text    NOT NULL COLLATE "C" CONSTRAINT level_curves_curve_check
        CHECK (octet_length(curve) BETWEEN 1 AND 64 AND curve <> 'linear'),
    level integer NOT NULL CONSTRAINT level_curves_level_check CHECK (level > 0),
    xp    bigint  NOT NULL
        CONSTRAINT level_curves_xp_check CHECK (xp BETWEEN 0 AND 9007199254740991),
    CONSTRAINT level_curves_pkey PRIMARY KEY (curve, level)
);
SELECT pg_catalog.pg_extension_config_dump('economy.level_curves', '');
COMMENT ON TABLE economy.level_curves IS
    'XP at which each level of a curve begins; level 1 begins at 0. Set by set_level_curve().';

CREATE TABLE economy.level_experiments (
    experiment text    NOT NULL COLLATE "C" CONSTRAINT level_experiments_experiment_check
        CHECK (octet_length(experiment) BETWEEN 1 AND 64),
    arm        text    NOT NULL COLLATE "C"
        CONSTRAINT level_experiments_arm_check CHECK (octet_length(arm) BETWEEN 1 AND 64),
    curve      text    NOT NULL COLLATE "C",
    share      integer NOT NULL
        CONSTRAINT level_experiments_share_check CHECK (share BETWEEN 0 AND 10000),
    enabled    boolean NOT NULL DEFAULT false,
    CONSTRAINT level_experiments_pkey PRIMARY KEY (experiment, arm)
);
SELECT pg_catalog.pg_extension_config_dump('economy.level_experiments', '');
COMMENT ON TABLE economy.level_experiments IS
    'Experiments with level curves, a row per arm. Set by set_level_experiment().';
COMMENT ON CONSTRAINT level_experiments_experiment_check ON economy.level_experiments IS
    'experiment must have 1 to 64 bytes';
COMMENT ON CONSTRAINT level_experiments_arm_check ON economy.level_experiments IS
    'arm must have 1 to 64 bytes';
COMMENT ON CONSTRAINT level_experiments_share_check ON economy.level_experiments IS
    'share must be from 0 to 10000';
COMMENT ON CONSTRAINT level_experiments_pkey ON economy.level_experiments IS
    'the experiment has an arm of this name already';
COMMENT ON COLUMN economy.level_experiments.share IS
    'Share of users in hundredths of a percent; who falls into no arm has the linear curve.';

CREATE VIEW economy.level_changes AS
    SELECT c.change_id,
           CASE c.relation WHEN 'level_curves' THEN 'curve' ELSE 'experiment' END AS kind,
           c.key AS name, c.actor, c.before, c.after, c.changed_at
    FROM economy.config_changes c WHERE c.relation IN ('level_curves', 'level_experiments');
COMMENT ON VIEW economy.level_changes IS
    'Every change of a level curve or an experiment with curves, with actor, '
    'before and after: those of config_changes.';

CREATE FUNCTION economy.level_for(xp bigint, curve text DEFAULT 'linear') RETURNS integer
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_level_for';
COMMENT ON FUNCTION economy.level_for(bigint, text) IS
    'Level of an amount of XP; linear: floor(xp / 500) + 1. XE402 for an unknown curve.';

CREATE TYPE economy.level_position AS (
    curve         text,
    level         integer,
    xp_into_level bigint,
    xp_to_next    bigint
);
COMMENT ON TYPE economy.level_position IS
    'Where an amount of XP stands on a user''s curve; xp_to_next is null at the top.';
CREATE FUNCTION economy.level_of(user_id bigint, xp bigint) RETURNS economy.level_position
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_level_of';
COMMENT ON FUNCTION economy.level_of(bigint, bigint) IS
    'Level of an amount of XP on the curve that this user has.';

CREATE FUNCTION economy.set_level_curve(curve text, xp bigint[], actor text DEFAULT session_user)
    RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.require_given('curve', curve IS NOT NULL);
    PERFORM economy_internal.require_given('xp', xp IS NOT NULL);
    IF cardinality(xp) = 0 OR array_ndims(xp) <> 1 OR array_position(xp, NULL) IS NOT NULL THEN
        RAISE EXCEPTION 'a curve needs an array of XP' USING ERRCODE = 'XE002';
    END IF;
    IF curve = 'linear' OR octet_length(curve) NOT BETWEEN 1 AND 64 THEN
        RAISE EXCEPTION 'a curve''s name has 1 to 64 bytes and is not linear'
            USING ERRCODE = 'XE002';
    END IF;
    IF xp[1] <> 0 OR 9007199254740991 < ANY (xp) OR EXISTS (
        SELECT FROM generate_subscripts(xp, 1) i WHERE i > 1 AND xp[i] <= xp[i - 1]) THEN
        RAISE EXCEPTION 'the XP of a curve begin at 0, rise and end below 2^53'
            USING ERRCODE = 'XE002', HINT = 'Element n is the XP at which level n begins.';
    END IF;
    PERFORM economy_internal.open_tables('level_curves');
    LOCK TABLE economy.level_curves IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM economy.level_curves c WHERE c.curve = set_level_curve.curve;
    INSERT INTO economy.level_curves
        SELECT set_level_curve.curve, i, xp[i] FROM generate_subscripts(xp, 1) i;
    PERFORM economy.note_change('level_curves', curve, 'set', actor);
    RETURN cardinality(xp);
END
$$;
COMMENT ON FUNCTION economy.set_level_curve(text, bigint[], text) IS
    'Defines a level curve: element n is the XP at which level n begins. '
    'Recorded in level_changes with the actor. Returns the number of levels.';

CREATE FUNCTION economy.set_level_experiment(
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
    PERFORM economy_internal.open_tables('level_curves', 'level_experiments');
    LOCK TABLE economy.level_experiments IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM economy.level_experiments e WHERE e.experiment = set_level_experiment.experiment;
    BEGIN
        FOR a IN
            SELECT * FROM jsonb_to_recordset(arms) AS r (arm text, curve text, share integer)
        LOOP
            IF a.curve <> 'linear'
               AND NOT EXISTS (SELECT FROM economy.level_curves c WHERE c.curve = a.curve) THEN
                RAISE EXCEPTION 'level curve "%" does not exist', a.curve USING ERRCODE = 'XE402';
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
COMMENT ON FUNCTION economy.set_level_experiment(text, jsonb, boolean, text) IS
    'Defines an experiment with level curves: [{"arm", "curve", "share"}], '
    'shares in hundredths of a percent, off unless enabled. Recorded in level_changes with the '
    'actor. Users are assigned by a hash of user and experiment, so an assignment is stable.';

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
COMMENT ON TYPE economy.grant_result IS
    'Result of grant_reward(), grant_rewards() and revoke_reward().';

CREATE FUNCTION economy.grant_reward(
    user_id bigint, source text, external_event_id text, gold bigint DEFAULT 0, xp bigint DEFAULT 0,
    details jsonb DEFAULT NULL
) RETURNS economy.grant_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_grant_reward';
COMMENT ON FUNCTION economy.grant_reward(bigint, text, text, bigint, bigint, jsonb) IS
    'Grants gold and XP once per (user, source, external_event_id); '
    'a retry returns the first result with state reuse, '
    'another amount is refused with IDEMPOTENCY_MISMATCH.';

CREATE FUNCTION economy.grant_reward_code(
    user_id bigint, source text, external_event_id text, gold bigint DEFAULT 0, xp bigint DEFAULT 0,
    details jsonb DEFAULT NULL
) RETURNS text
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_grant_reward';
COMMENT ON FUNCTION economy.grant_reward_code(bigint, text, text, bigint, bigint, jsonb) IS
    'grant_reward(), of whose result it returns the code alone.';

CREATE FUNCTION economy.grant_rewards(rewards jsonb) RETURNS SETOF economy.grant_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_grant_rewards';
COMMENT ON FUNCTION economy.grant_rewards(jsonb) IS
    'grant_reward() for an array of {user_id, source, external_event_id, gold, xp, '
    'details} in one transaction; a row per element in their order. '
    'A refused reward does not stop the others.';

CREATE FUNCTION economy.grant_rewards(
    user_ids bigint[], sources text[], external_event_ids text[], gold bigint[] DEFAULT NULL,
    xp bigint[] DEFAULT NULL, details jsonb[] DEFAULT NULL
) RETURNS SETOF economy.grant_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_grant_rewards';
COMMENT ON FUNCTION economy.grant_rewards(bigint[], text[], text[], bigint[], bigint[], jsonb[]) IS
    'The same with arrays of as many elements each.';

CREATE FUNCTION economy.revoke_reward(
    user_id bigint, transaction_id text, reason text, actor text, gold bigint DEFAULT NULL,
    xp bigint DEFAULT NULL, policy text DEFAULT 'refuse', idempotency_key text DEFAULT NULL
) RETURNS economy.grant_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_revoke_reward';
COMMENT ON FUNCTION economy.revoke_reward(bigint, text, text, text, bigint, bigint, text, text) IS
    'Takes a reward back, what is left of it or the given gold and XP: '
    'once without an idempotency_key, once for each one with, up to what the reward gave. '
    'Where the user has less, policy refuse answers INSUFFICIENT_GOLD and take takes what is there '
    'and reports the debt in detail. All of the newest daily claim gives its date back.';

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
    'Claims the reward of the user''s local day: CLAIMED, or ALREADY_CLAIMED with the stored '
    'result. Day d pays 1000 + 200 (d - 1) gold and 50 + 25 (d - 1) XP.';

CREATE TYPE economy.streak_change AS (
    success        boolean,
    state          text,
    code           text,
    transaction_id text,
    streak_day     integer,
    best           integer,
    last_claim_on  date,
    retry_after_ms integer,
    detail         jsonb
);
COMMENT ON TYPE economy.streak_change IS 'Result of economy.set_streak().';

CREATE FUNCTION economy.set_streak(
    user_id bigint, day integer, last_claim_on date, reason text, actor text,
    idempotency_key text DEFAULT NULL
) RETURNS economy.streak_change
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_set_streak';
COMMENT ON FUNCTION economy.set_streak(bigint, integer, date, text, text, text) IS
    'Corrects a daily streak: its length and the date of its last claim (0 and null: no streak), '
    'once per idempotency_key, with who did it and why. Moves no gold; '
    'dates that were paid are not paid again.';

CREATE TYPE economy.streak_reward AS (gold bigint, xp bigint);
COMMENT ON TYPE economy.streak_reward IS 'Reward of a day of the streak.';
CREATE FUNCTION economy.streak_reward(day integer) RETURNS economy.streak_reward
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_streak_reward_sql';
COMMENT ON FUNCTION economy.streak_reward(integer) IS
    'The formula: 1000 + 200 (day - 1) gold, 50 + 25 (day - 1) XP, day >= 1.';

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
    'The streak evaluated now: 0 when the next claim would not continue it. next_outcome is START, '
    'CONTINUE, FREEZE, GRACE, RESET, DORMANT or ALREADY_CLAIMED.';

CREATE FUNCTION economy_internal.reward_stays(
    user_id bigint, from_seq bigint, upto_seq bigint
) RETURNS TABLE (seq bigint)
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH stays AS MATERIALIZED (
            -- where the streak stood: what comes goes on from there
            SELECT n.seq
            FROM (SELECT r.seq, r.reverses, r.streak_before FROM economy.reward_audit r
                  WHERE r.user_id = reward_stays.user_id AND r.seq < upto_seq
                    AND r.streak_day IS NOT NULL
                  ORDER BY r.seq DESC LIMIT 1) l
            CROSS JOIN LATERAL (
                VALUES (l.seq), (CASE WHEN l.reverses IS NOT NULL THEN l.streak_before END)) n (seq)
            UNION
            -- what those that do not go came from or took back
            SELECT n.seq FROM economy.reward_audit r
            CROSS JOIN LATERAL (VALUES (r.streak_before), (r.reverses)) n (seq)
            WHERE r.user_id = reward_stays.user_id AND r.seq >= upto_seq
              AND r.streak_day IS NOT NULL AND n.seq < upto_seq
            UNION
            -- and the newest date that was paid
            (SELECT r.seq FROM economy.reward_audit r
             WHERE r.user_id = reward_stays.user_id AND r.seq < upto_seq
               AND r.source = 'economy:daily_streak'
             ORDER BY r.claim_date DESC, r.seq DESC LIMIT 1)
        )
        SELECT s.seq FROM stays s WHERE s.seq IS NOT NULL
        UNION
        -- and that it was taken back from a claim that is left: its date was paid again
        SELECT r.seq FROM economy.reward_audit r
        WHERE r.user_id = reward_stays.user_id AND r.seq < upto_seq
          AND (r.reverses IN (SELECT s.seq FROM stays s)
               OR EXISTS (SELECT FROM economy.reward_audit k
                          WHERE k.user_id = r.user_id AND k.seq = r.reverses
                            AND k.seq < from_seq));
    END;
COMMENT ON FUNCTION economy_internal.reward_stays(bigint, bigint, bigint) IS
    'The entries in front of another one that a user''s streak is recomputed from; all that is '
    'in front of from_seq stays.';
-- play: games, actions, statistics, rollups, retention

CREATE TABLE economy.games (
    game       text        NOT NULL COLLATE "C" CONSTRAINT games_pkey PRIMARY KEY
        CONSTRAINT games_game_check CHECK (octet_length(game) BETWEEN 1 AND 64),
    rules      jsonb       NOT NULL DEFAULT '{}'
        CONSTRAINT games_rules_check CHECK (jsonb_typeof(rules) = 'object'),
    builtin    boolean     NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL
);
-- a fixed date: the rows are the same in every installation
INSERT INTO economy.games (game, builtin, created_at)
    SELECT g, true, '2000-01-01 00:00:00+00' FROM unnest(ARRAY['crash', 'gacha', 'rps', 'slot']) g;
SELECT pg_catalog.pg_extension_config_dump('economy.games', 'WHERE NOT builtin');
COMMENT ON TABLE economy.games IS
    'Games that actions may name; crash, slot, gacha and rps are there from the start.';

CREATE TABLE economy.user_actions (
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
    bet               bigint      NOT NULL,
    win               bigint      NOT NULL,
    live              boolean     NOT NULL,
    hash              bytea       NOT NULL,
    outcome           text        NOT NULL COLLATE "C" CONSTRAINT user_actions_outcome_check
        CHECK (outcome IN ('win', 'loss', 'draw')),
    game              text        NOT NULL COLLATE "C",
    action_type       text        NOT NULL COLLATE "C",
    action_id         text        NOT NULL COLLATE "C",
    details           jsonb,
    CONSTRAINT user_actions_pkey PRIMARY KEY (user_id, seq)
);
-- no two are equal but by accident, and nothing is gained by looking for such
CREATE INDEX user_actions_key ON economy.user_actions (user_id, key_digest)
    WITH (deduplicate_items = off);
SELECT economy_internal.make_journal('economy.user_actions');
COMMENT ON TABLE economy.user_actions IS
    'Journal of game actions. Append-only; prune() replaces old entries by a signed checkpoint.';
COMMENT ON COLUMN economy.user_actions.key_digest IS
    'Digest of game and action_id, by which the index finds them.';

CREATE TABLE economy_internal.game_stats_more (
    user_id        bigint      NOT NULL,
    game           text        NOT NULL COLLATE "C",
    wins           bigint      NOT NULL,
    losses         bigint      NOT NULL,
    draws          bigint      NOT NULL,
    max_win        bigint      NOT NULL,
    bet_sum        bigint      NOT NULL,
    win_sum        bigint      NOT NULL,
    last_action_at timestamptz NOT NULL,
    CONSTRAINT game_stats_more_pkey PRIMARY KEY (user_id, game),
    CONSTRAINT game_stats_more_total_check
        CHECK (least(wins, losses, draws) >= 0 AND wins <= 9223372036854775807 - losses - draws)
) WITH (fillfactor = 70);
SELECT pg_catalog.pg_extension_config_dump('economy_internal.game_stats_more', '');
COMMENT ON TABLE economy_internal.game_stats_more IS
    'Statistics of games for which there was no room in the account of their user.';

CREATE FUNCTION economy_internal.games_of(sections bytea) RETURNS TABLE (
    game text, wins bigint, losses bigint, draws bigint, max_win bigint, bet_sum bigint,
    win_sum bigint, last_action_at timestamptz
)
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 4 AS 'MODULE_PATHNAME', 'eco_games_of';
COMMENT ON FUNCTION economy_internal.games_of(bytea) IS
    'Statistics of the games that stand in an account; of what is damaged those in front of it.';

CREATE FUNCTION economy_internal.games_sound(sections bytea, further boolean) RETURNS boolean
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_games_sound';
COMMENT ON FUNCTION economy_internal.games_sound(bytea, boolean) IS
    'Whether the statistics of games in an account can be read, and say that there are further '
    'ones in game_stats_more if, and only if, there are.';

CREATE FUNCTION economy_internal.with_game(
    sections bytea, game text, wins bigint, losses bigint, draws bigint, max_win bigint,
    bet_sum bigint, win_sum bigint, last_action_at timestamptz
) RETURNS bytea
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_with_game';
COMMENT ON FUNCTION economy_internal.with_game(
    bytea, text, bigint, bigint, bigint, bigint, bigint, bigint, timestamptz) IS
    'An account''s sections with other statistics of a game, or without it when wins is null: for '
    'who corrects statistics that stats_parity() found to be wrong.';

-- from the account on: a join with some users looks these up
CREATE VIEW economy.game_stats AS
    SELECT a.user_id, g.game, g.wins + g.losses + g.draws AS total, g.wins, g.losses, g.draws,
           g.max_win, g.bet_sum, g.win_sum, g.last_action_at
    FROM economy.accounts a CROSS JOIN LATERAL (
        SELECT p.game COLLATE "C" AS game, p.wins, p.losses, p.draws, p.max_win, p.bet_sum,
               p.win_sum, p.last_action_at
        FROM economy_internal.games_of(a.sections) p
        UNION ALL
        SELECT m.game, m.wins, m.losses, m.draws, m.max_win, m.bet_sum, m.win_sum,
               m.last_action_at
        FROM economy_internal.game_stats_more m WHERE m.user_id = a.user_id) g;
COMMENT ON VIEW economy.game_stats IS
    'Statistics per user and game, written with every action in its transaction.';

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

CREATE FUNCTION economy.record_action(
    user_id bigint, game text, action_type text, action_id text, bet bigint DEFAULT 0,
    win bigint DEFAULT 0, outcome text DEFAULT NULL, details jsonb DEFAULT NULL
) RETURNS economy.action_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_record_action';
COMMENT ON FUNCTION economy.record_action(bigint, text, text, text, bigint, bigint, text, jsonb) IS
    'Records a game action once per (user, game, action_id): win - bet moves the gold, '
    'the statistics count it. A null outcome is derived: win > bet wins, '
    'win < bet loses, equal is a draw.';

CREATE FUNCTION economy.record_action_code(
    user_id bigint, game text, action_type text, action_id text, bet bigint DEFAULT 0,
    win bigint DEFAULT 0, outcome text DEFAULT NULL, details jsonb DEFAULT NULL
) RETURNS text
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_record_action';
COMMENT ON FUNCTION economy.record_action_code(
    bigint, text, text, text, bigint, bigint, text, jsonb) IS
    'record_action(), of whose result it returns the code alone.';

CREATE FUNCTION economy.record_actions(actions jsonb) RETURNS SETOF economy.action_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_record_actions';
COMMENT ON FUNCTION economy.record_actions(jsonb) IS
    'record_action() for an array of {user_id, game, action_type, action_id, bet, win, outcome, '
    'details} in one transaction; a row per element, in their order.';

CREATE FUNCTION economy.record_actions(
    user_ids bigint[], games text[], action_types text[], action_ids text[],
    bets bigint[] DEFAULT NULL, wins bigint[] DEFAULT NULL, outcomes text[] DEFAULT NULL,
    details jsonb[] DEFAULT NULL
) RETURNS SETOF economy.action_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_record_actions';
COMMENT ON FUNCTION economy.record_actions(
    bigint[], text[], text[], text[], bigint[], bigint[], text[], jsonb[]) IS
    'The same with arrays of as many elements each.';

CREATE FUNCTION economy.game_stats_me(user_id bigint) RETURNS jsonb
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_game_stats_me';
COMMENT ON FUNCTION economy.game_stats_me(bigint) IS
    'The user''s statistics as one document, with every registered game, '
    'zeros where it was never played.';

CREATE FUNCTION economy.register_game(name text, rules jsonb DEFAULT '{}') RETURNS text
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    PERFORM economy_internal.require_given('name', name IS NOT NULL);
    PERFORM economy_internal.require_given('rules', rules IS NOT NULL);
    IF octet_length(name) NOT BETWEEN 1 AND 64 THEN
        RAISE EXCEPTION 'a game''s name has 1 to 64 bytes' USING ERRCODE = 'XE002';
    END IF;
    IF jsonb_typeof(rules) <> 'object' THEN
        RAISE EXCEPTION 'rules must be a JSON object' USING ERRCODE = 'XE002';
    END IF;
    PERFORM economy_internal.open_tables('games');
    IF EXISTS (SELECT FROM economy.games g WHERE g.game = name AND g.builtin) THEN
        IF rules <> '{}' THEN
            RAISE EXCEPTION 'game "%" is built in and has no rules of its own', name
                USING ERRCODE = 'XE002', HINT = 'Register a game of another name.';
        END IF;
        RETURN name;
    END IF;
    INSERT INTO economy.games AS g (game, rules, created_at) VALUES (name, rules, economy.now())
        ON CONFLICT ON CONSTRAINT games_pkey DO UPDATE SET rules = excluded.rules;
    PERFORM economy.note_change('games', name, 'register', session_user::text);
    RETURN name;
END
$$;
COMMENT ON FUNCTION economy.register_game(text, jsonb) IS
    'Makes a game known to record_action(); '
    'a second call changes its rules. Games are never removed.';

-- Daily rollup. A user's entries commit in the order of seq, so a position per
-- user is exact under late commits, crashes and repeated calls. Who has new actions
-- is told by the feed's positions: what was not visible when the last reader began
-- has a greater one than the oldest transaction that ran then. Those users wait in
-- a queue, so that a backlog is read once, however small the batches are.

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
COMMENT ON TABLE economy.user_game_stats_summary IS
    'Statistics per user, UTC day and game, filled by rollup_stats().';

CREATE TABLE economy_internal.rollup_positions (
    user_id   bigint NOT NULL CONSTRAINT rollup_positions_pkey PRIMARY KEY,
    seq       bigint NOT NULL,
    oldest_at timestamptz
) WITH (fillfactor = 70);
-- prune() takes the users in this order
CREATE INDEX rollup_positions_oldest_at_idx
    ON economy_internal.rollup_positions (oldest_at, user_id)
    WHERE oldest_at IS NOT NULL;
SELECT pg_catalog.pg_extension_config_dump('economy_internal.rollup_positions', '');
COMMENT ON TABLE economy_internal.rollup_positions IS
    'Entry up to which each user''s actions are in user_game_stats_summary.';
COMMENT ON COLUMN economy_internal.rollup_positions.oldest_at IS
    'Time of the first rolled-up action that prune() could delete; null for none. '
    'A stream with findings is put off.';

CREATE TABLE economy_internal.rollup_queue (
    user_id bigint NOT NULL CONSTRAINT rollup_queue_pkey PRIMARY KEY
);
SELECT pg_catalog.pg_extension_config_dump('economy_internal.rollup_queue', '');
COMMENT ON TABLE economy_internal.rollup_queue IS
    'Users with actions that rollup_stats() has seen and not rolled up yet.';

CREATE TABLE economy_internal.rollup_state (
    only_row   boolean NOT NULL DEFAULT true CONSTRAINT rollup_state_pkey PRIMARY KEY
        CONSTRAINT rollup_state_only_row_check CHECK (only_row),
    position   bigint  NOT NULL,
    summarized bigint  NOT NULL,
    next_user  bigint
);
SELECT pg_catalog.pg_extension_config_dump('economy_internal.rollup_state', '');
COMMENT ON TABLE economy_internal.rollup_state IS
    'How far rollup_stats() has looked for users with new actions; no row before the first time.';
COMMENT ON COLUMN economy_internal.rollup_state.position IS
    'Actions with a lesser position were seen.';
COMMENT ON COLUMN economy_internal.rollup_state.summarized IS
    'Pages of the journal up to it are summarised in its index on position.';
COMMENT ON COLUMN economy_internal.rollup_state.next_user IS
    'Users wait in rollup_queue from this one on; null for none. '
    'What was taken out of it is never read again.';

CREATE FUNCTION economy_internal.summarize_actions(done bigint) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    pages  CONSTANT bigint := 32;    -- of a range
    -- the last range is left to the writers
    ranges bigint := pg_relation_size('economy.user_actions')
                     / current_setting('block_size')::bigint / pages - 1;
    i      bigint;
BEGIN
    IF economy_internal.is_spread('economy.user_actions') THEN
        PERFORM economy_internal.summarise_parts('economy.user_actions');
        RETURN done;
    END IF;
    IF done / pages >= ranges AND done / pages <= ranges + 1 THEN
        RETURN done;
    END IF;
    BEGIN
        -- whoever has this lock summarises as well, VACUUM above all
        LOCK TABLE economy.user_actions IN SHARE UPDATE EXCLUSIVE MODE NOWAIT;
    EXCEPTION WHEN lock_not_available THEN
        RETURN done;
    END;
    -- a table that shrank begins again
    i := CASE WHEN done / pages <= ranges THEN done / pages ELSE 0 END;
    ranges := least(ranges, i + 1000);
    WHILE i < ranges LOOP
        PERFORM brin_summarize_range('economy.user_actions_position_idx', i * pages);
        i := i + 1;
    END LOOP;
    RETURN i * pages;
END
$$;
COMMENT ON FUNCTION economy_internal.summarize_actions(bigint) IS
    'Part of rollup_stats(): a range of pages without a summary is read each time; '
    'returns up to which page there are summaries now.';

CREATE FUNCTION economy_internal.fill_rollup_queue() RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off AS $$
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
COMMENT ON FUNCTION economy_internal.fill_rollup_queue() IS
    'Part of rollup_stats(): puts the users with new actions into rollup_queue, '
    'and returns the first of them, null for none.';

CREATE FUNCTION economy.rollup_stats(max_users integer DEFAULT 100000)
    RETURNS TABLE (users bigint, actions bigint, rows_written bigint)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    -- a queue that is worked off has more dead rows than others, and statistics that do not fit
    SET enable_seqscan = off AS $$
DECLARE
    first bigint;
    last  bigint;
BEGIN
    PERFORM economy_internal.require_positive('max_users', max_users);
    PERFORM economy_internal.open_tables(
        'user_actions', 'accounts', 'economy_internal.rollup_positions',
        'economy_internal.rollup_queue', 'economy_internal.rollup_state',
        'user_game_stats_summary');
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
    )
    SELECT (SELECT count(*) FROM fresh),
           (SELECT coalesce(sum(c.total), 0)::bigint FROM counted c),
           (SELECT count(*) FROM written);
END
$$;
COMMENT ON FUNCTION economy.rollup_stats(integer) IS
    'Adds the actions since the last call to user_game_stats_summary, each exactly once, '
    'for at most max_users users; users is 0 when nothing is left. With nothing to do it reads '
    'nothing that grows with the journal.';

-- Retention

CREATE TABLE economy.stream_checkpoints (
    user_id           bigint      NOT NULL CONSTRAINT stream_checkpoints_pkey PRIMARY KEY,
    seq               bigint      NOT NULL,
    gold              bigint      NOT NULL,
    experience_points bigint      NOT NULL,
    hash              bytea       NOT NULL,
    links_before      bytea       NOT NULL,
    links             bytea       NOT NULL,
    gone              bytea       NOT NULL,
    gone_keys         bytea       NOT NULL,
    archived          bytea       NOT NULL,
    proved_seq        bigint      NOT NULL,
    key_version       integer     NOT NULL,
    signature         bytea       NOT NULL,
    created_at        timestamptz NOT NULL
);
SELECT pg_catalog.pg_extension_config_dump('economy.stream_checkpoints', '');
COMMENT ON TABLE economy.stream_checkpoints IS
    'Signed state of a stream at an entry; actions before it may have been pruned, and others '
    'archived.';
COMMENT ON COLUMN economy.stream_checkpoints.links IS
    'Hash of a chain over the entries up to seq that were left, so that they stay verifiable.';
COMMENT ON COLUMN economy.stream_checkpoints.links_before IS
    'The same without the entry at seq, which the next prune may take: '
    'its checkpoint goes on from here.';
COMMENT ON COLUMN economy.stream_checkpoints.gone IS
    'Hash of a chain over the user''s rows of pruned_stats.';
COMMENT ON COLUMN economy.stream_checkpoints.gone_keys IS
    'Hash of a chain over the user''s rows of pruned_actions, in the order of seq.';
COMMENT ON COLUMN economy.stream_checkpoints.archived IS
    'Hash of a chain over the user''s rows of archives and of archived_keys; 32 zeros before the '
    'first archive.';
COMMENT ON COLUMN economy.stream_checkpoints.proved_seq IS
    'The stream was last proved as a whole when this was its newest entry; '
    'prunes up to it prove only what they sign.';

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
COMMENT ON TABLE economy.pruned_stats IS
    'Statistics of the pruned actions per UTC day, so that parity stays exact.';

CREATE TABLE economy.pruned_actions (
    user_id bigint NOT NULL,
    key     uuid   NOT NULL,
    seq     bigint NOT NULL,
    CONSTRAINT pruned_actions_pkey PRIMARY KEY (user_id, key)
);
SELECT pg_catalog.pg_extension_config_dump('economy.pruned_actions', '');
COMMENT ON TABLE economy.pruned_actions IS
    'Keys of the ids of pruned actions: none is ever counted again.';

CREATE FUNCTION economy_internal.action_key(game text, action_id text) RETURNS uuid
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_action_key';
COMMENT ON FUNCTION economy_internal.action_key(text, text) IS
    'Key of an action''s id in pruned_actions: half of a SHA-256.';

CREATE FUNCTION economy_internal.prune_streams(user_ids bigint[], seqs bigint[]) RETURNS bigint[]
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_prune_streams';
COMMENT ON FUNCTION economy_internal.prune_streams(bigint[], bigint[]) IS
    'Deletes actions of users, by ascending id, before an entry of each, '
    'behind a signed checkpoint there; the only way past the journal''s guard. '
    'For each the number of actions, or null, and nothing done, '
    'when verify_chain() found something: it is asked once for all prunes up to what was the '
    'newest entry then; after that each proves the part that it goes on by. prune() is the way in.';

CREATE FUNCTION economy_internal.prune_stream(user_id bigint, seq bigint) RETURNS bigint
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    RETURN (economy_internal.prune_streams(ARRAY[user_id], ARRAY[seq]))[1];
COMMENT ON FUNCTION economy_internal.prune_stream(bigint, bigint) IS 'prune_streams() of one user.';

CREATE FUNCTION economy_internal.prune_parts(
    cutoff timestamptz, max_users integer,
    OUT user_id bigint, OUT pruned bigint, OUT rolled_to bigint, OUT upto bigint
) RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    -- user by user: a join would read every one of them
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
    BEGIN ATOMIC
        WITH due AS MATERIALIZED (
            -- who is due longest is chosen
            SELECT p.user_id, p.seq
            FROM economy_internal.rollup_positions p
            WHERE p.oldest_at < cutoff
            ORDER BY p.oldest_at, p.user_id
            LIMIT max_users
        ), counted AS MATERIALIZED (
            SELECT d.user_id, d.seq AS rolled_to, a.pruned_seq,
                   row_number() OVER upto AS n, sum(a.seq) OVER upto AS entries
            FROM due d
            LEFT JOIN LATERAL (SELECT c.seq, c.pruned_seq FROM economy.accounts c
                               WHERE c.user_id = d.user_id OFFSET 0) a ON true
            WINDOW upto AS (ORDER BY d.user_id)
        )
        -- so many entries are read for the proof, or those of one long stream
        SELECT c.user_id, coalesce(c.pruned_seq, 0), c.rolled_to,
               CASE WHEN a.upto IS NOT NULL THEN least(a.upto, c.pruned_seq + 100000) END
        FROM counted c
        CROSS JOIN LATERAL (
            -- up to the entry before the first one that stays, and only what is rolled up
            SELECT max(s.seq) AS upto
            FROM (SELECT i.seq, bool_or(i.created_at >= cutoff) OVER (ORDER BY i.seq) AS stays
                  FROM (SELECT t.seq, t.created_at
                        FROM economy.user_actions t
                        WHERE t.user_id = c.user_id AND t.seq > c.pruned_seq
                          AND t.seq <= c.rolled_to
                        ORDER BY t.user_id, t.seq
                        LIMIT 20000) i) s
            WHERE NOT s.stays) a
        WHERE c.n = 1 OR c.entries <= 100000
        ORDER BY c.user_id;
    END;
COMMENT ON FUNCTION economy_internal.prune_parts(timestamptz, integer) IS
    'Part of prune(): which users a batch takes, by ascending id, and up to which entry of each; '
    'null where nothing is due.';

CREATE FUNCTION economy.prune(older_than interval DEFAULT '90 days', max_users integer DEFAULT 200)
    RETURNS TABLE (users bigint, actions bigint, damaged bigint, more boolean)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    SET TimeZone = 'UTC'
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
    SET jit = off AS $$
DECLARE
    cutoff  timestamptz;
    parts   record;
    deleted bigint[];
BEGIN
    PERFORM economy_internal.require_given('older_than', older_than IS NOT NULL);
    PERFORM economy_internal.require_given('max_users', max_users IS NOT NULL);
    BEGIN
        cutoff := economy.now() - older_than;
    EXCEPTION WHEN datetime_field_overflow THEN
        RAISE EXCEPTION 'older_than is longer than time is kept' USING ERRCODE = 'XE002',
            HINT = 'Take a day or more, and less than 6000 years.';
    END;
    -- as moments: an interval of '1 month -29 days' calls itself a day, and may be none
    IF cutoff > economy.now() - interval '24 hours' OR max_users < 1 THEN
        RAISE EXCEPTION 'older_than must be a day or more and max_users 1 or more'
            USING ERRCODE = 'XE002',
            HINT = 'A retry of a pruned action is refused with RESYNC_REQUIRED: '
                   'keep actions longer than clients retry.';
    END IF;
    PERFORM economy_internal.open_tables(
        'user_actions', 'accounts', 'economy_internal.rollup_positions', 'pruned_actions',
        'pruned_stats', 'stream_checkpoints', 'shop_transactions', 'reward_audit',
        'gold_adjustments');
    PERFORM economy_internal.lock_name('economy.rollup_stats');
    SELECT coalesce(array_agg(p.user_id ORDER BY p.user_id), '{}') AS users,
           array_agg(p.rolled_to ORDER BY p.user_id) AS rolled,
           coalesce(array_agg(coalesce(p.upto, p.pruned) ORDER BY p.user_id), '{}') AS upto,
           array_agg(p.upto IS NOT NULL ORDER BY p.user_id) AS due
    INTO parts
    FROM economy_internal.prune_parts(cutoff, max_users) p;
    deleted := economy_internal.prune_streams(parts.users, parts.upto);
    WITH done AS MATERIALIZED (
        SELECT * FROM unnest(parts.users, parts.rolled, parts.upto, parts.due, deleted)
            d (user_id, rolled, upto, due, deleted)
    ), noted AS (
        UPDATE economy_internal.rollup_positions p
        SET oldest_at = CASE
                -- nothing can be done for it today, and it must not keep the others waiting
                WHEN d.deleted IS NULL THEN cutoff + interval '24 hours'
                ELSE (SELECT t.created_at FROM economy.user_actions t
                      WHERE t.user_id = d.user_id AND t.seq > d.upto AND t.seq <= d.rolled
                      ORDER BY t.user_id, t.seq
                      LIMIT 1)
            END
        FROM done d
        WHERE p.user_id = d.user_id
    )
    SELECT count(d.deleted) FILTER (WHERE d.due), coalesce(sum(d.deleted), 0),
           count(*) FILTER (WHERE d.deleted IS NULL)
    INTO users, actions, damaged
    FROM done d;
    more := EXISTS (SELECT FROM economy_internal.rollup_positions p WHERE p.oldest_at < cutoff);
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION economy.prune(interval, integer) IS
    'Deletes rolled-up actions older than that, behind a signed checkpoint per user, '
    'those first whose oldest is due longest; more says that a further call finds more. '
    'Statistics, parity and the proof of what is left stay exact; an id is never counted again. '
    'A stream with findings is left alone for a day and counted as damaged.';

CREATE TYPE economy.parity_difference AS (
    user_id  bigint,
    source   text,
    game     text,
    day      date,
    expected jsonb,
    actual   jsonb
);
COMMENT ON TYPE economy.parity_difference IS
    'A statistics row that is not what its entries add up to.';

CREATE FUNCTION economy_internal.parity_of(users bigint[]) RETURNS SETOF economy.parity_difference
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        -- user by user throughout: a join would read whole tables for a few of them
        WITH chosen AS MATERIALIZED (
            SELECT a.user_id, a.seq, a.pruned_seq, a.sections, p.seq AS rolled_to, p.oldest_at
            FROM unnest(users) i (user_id)
            CROSS JOIN LATERAL (SELECT b.* FROM economy.accounts b
                                WHERE b.user_id = i.user_id OFFSET 0) a
            LEFT JOIN LATERAL (SELECT r.* FROM economy_internal.rollup_positions r
                               WHERE r.user_id = i.user_id OFFSET 0) p ON true
        ), parts AS (
            SELECT t.user_id, t.game, (t.created_at AT TIME ZONE 'UTC')::date AS day,
                   t.seq <= coalesce(c.rolled_to, 0) AS rolled,
                   count(*) AS total, count(*) FILTER (WHERE t.outcome = 'win') AS wins,
                   count(*) FILTER (WHERE t.outcome = 'loss') AS losses,
                   count(*) FILTER (WHERE t.outcome = 'draw') AS draws,
                   max(t.win) AS max_win, sum(t.bet) AS bet_sum, sum(t.win) AS win_sum,
                   max(t.created_at) AS last_action_at
            FROM chosen c
            CROSS JOIN LATERAL (SELECT u.* FROM economy.user_actions u
                                WHERE u.user_id = c.user_id OFFSET 0) t
            GROUP BY 1, 2, 3, 4
            UNION ALL
            -- only what was rolled up is ever pruned
            SELECT s.user_id, s.game, s.day, true, s.total, s.wins, s.losses, s.draws,
                   s.max_win, s.bet_sum, s.win_sum, s.last_action_at
            FROM chosen c
            CROSS JOIN LATERAL (SELECT q.* FROM economy.pruned_stats q
                                WHERE q.user_id = c.user_id OFFSET 0) s
        ), days AS MATERIALIZED (
            SELECT m.user_id, m.game, m.day, m.rolled,
                   sum(m.total) AS total, sum(m.wins) AS wins, sum(m.losses) AS losses,
                   sum(m.draws) AS draws, max(m.max_win) AS max_win, sum(m.bet_sum) AS bet_sum,
                   sum(m.win_sum) AS win_sum, max(m.last_action_at) AS last_action_at
            FROM parts m GROUP BY 1, 2, 3, 4
        ), entries AS (
            SELECT d.user_id, d.game,
                   sum(d.total) AS total, sum(d.wins) AS wins, sum(d.losses) AS losses,
                   sum(d.draws) AS draws, max(d.max_win) AS max_win, sum(d.bet_sum) AS bet_sum,
                   sum(d.win_sum) AS win_sum, max(d.last_action_at) AS last_action_at
            FROM days d GROUP BY 1, 2
        )
        SELECT coalesce(e.user_id, s.user_id), 'game_stats', coalesce(e.game, s.game), NULL::date,
               to_jsonb(e), to_jsonb(s)
        FROM entries e FULL JOIN (
            SELECT g.* FROM chosen c
            CROSS JOIN LATERAL (SELECT t.* FROM economy.game_stats t
                                WHERE t.user_id = c.user_id OFFSET 0) g) s
            ON s.user_id = e.user_id AND s.game = e.game
        WHERE (e.total, e.wins, e.losses, e.draws, e.max_win, e.bet_sum, e.win_sum,
               e.last_action_at)
              IS DISTINCT FROM (s.total, s.wins, s.losses, s.draws, s.max_win, s.bet_sum,
                                s.win_sum, s.last_action_at)
        UNION ALL
        -- and what the next action could not read, or would not look for
        SELECT c.user_id, 'game_stats', NULL, NULL::date, NULL::jsonb,
               jsonb_build_object('sections', c.sections)
        FROM chosen c
        WHERE NOT economy_internal.games_sound(c.sections, EXISTS (
            SELECT FROM economy_internal.game_stats_more m WHERE m.user_id = c.user_id))
        UNION ALL
        SELECT coalesce(d.user_id, s.user_id), 'user_game_stats_summary',
               coalesce(d.game, s.game), coalesce(d.day, s.day), to_jsonb(d), to_jsonb(s)
        FROM (SELECT * FROM days WHERE rolled) d
        FULL JOIN (
            SELECT g.* FROM chosen c
            CROSS JOIN LATERAL (SELECT t.* FROM economy.user_game_stats_summary t
                                WHERE t.user_id = c.user_id OFFSET 0) g) s
            ON s.user_id = d.user_id AND s.game = d.game AND s.day = d.day
        WHERE (d.total, d.wins, d.losses, d.draws, d.max_win, d.bet_sum, d.win_sum,
               d.last_action_at)
              IS DISTINCT FROM (s.total, s.wins, s.losses, s.draws, s.max_win, s.bet_sum,
                                s.win_sum, s.last_action_at)
        UNION ALL
        -- a position ahead of the stream would pass over what comes
        SELECT c.user_id, 'rollup_positions', NULL, NULL::date,
               jsonb_build_object('seq_at_most', c.seq), jsonb_build_object('seq', c.rolled_to)
        FROM chosen c WHERE c.rolled_to > c.seq OR c.rolled_to < 0
        UNION ALL
        -- and prune() would not find a user whose oldest action is not noted
        SELECT c.user_id, 'rollup_positions', NULL, NULL::date,
               jsonb_build_object('oldest_at', f.created_at),
               jsonb_build_object('oldest_at', c.oldest_at)
        FROM chosen c
        LEFT JOIN LATERAL (
            SELECT t.created_at FROM economy.user_actions t
            WHERE t.user_id = c.user_id AND t.seq > c.pruned_seq AND t.seq <= c.rolled_to
            ORDER BY t.seq LIMIT 1) f ON true
        WHERE (f.created_at IS NULL) <> (c.oldest_at IS NULL);
    END;
COMMENT ON FUNCTION economy_internal.parity_of(bigint[]) IS
    'stats_parity() of these users, in work that depends on their entries alone.';

CREATE FUNCTION economy_internal.parity_strays() RETURNS SETOF economy.parity_difference
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT s.user_id, s.source, s.game, s.day, NULL::jsonb, s.actual
        FROM (SELECT g.user_id, 'game_stats' AS source, g.game, NULL::date AS day,
                     to_jsonb(g) AS actual
              FROM economy_internal.game_stats_more g
              UNION ALL
              SELECT u.user_id, 'user_game_stats_summary', u.game, u.day, to_jsonb(u)
              FROM economy.user_game_stats_summary u
              UNION ALL
              SELECT p.user_id, 'pruned_stats', p.game, p.day, to_jsonb(p)
              FROM economy.pruned_stats p
              UNION ALL
              SELECT r.user_id, 'rollup_positions', NULL, NULL, to_jsonb(r)
              FROM economy_internal.rollup_positions r) s
        WHERE NOT EXISTS (SELECT FROM economy.accounts a WHERE a.user_id = s.user_id);
    END;
COMMENT ON FUNCTION economy_internal.parity_strays() IS
    'Part of stats_parity(): statistics and positions of users that do not exist.';

CREATE FUNCTION economy.stats_parity(sample integer DEFAULT NULL)
    RETURNS SETOF economy.parity_difference
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    batch   CONSTANT integer := 10000;
    users   bigint[];
    last_id bigint := -9223372036854775808;
    known   double precision;
BEGIN
    PERFORM economy_internal.require_limit('sample', sample);
    PERFORM economy_internal.open_tables(
        'accounts', 'economy_internal.game_stats_more', 'pruned_stats',
        'economy_internal.rollup_positions', 'user_actions', 'user_game_stats_summary');
    IF sample IS NOT NULL THEN
        -- of many accounts a random tenth of what would do is drawn by pages
        SELECT c.reltuples INTO known FROM pg_class c
            WHERE c.oid = 'economy.accounts'::regclass;
        IF known > 100000 AND known > 10.0 * sample THEN
            users := ARRAY(
                SELECT s.user_id
                FROM (SELECT a.user_id FROM economy.accounts a
                      TABLESAMPLE SYSTEM (100.0 * 10.0 * greatest(sample, 100) / known)) s
                ORDER BY random() LIMIT sample);
        ELSE
            users := ARRAY(SELECT a.user_id FROM economy.accounts a ORDER BY random() LIMIT sample);
        END IF;
        RETURN QUERY SELECT * FROM economy_internal.parity_of(users);
        RETURN;
    END IF;
    LOOP
        users := ARRAY(SELECT a.user_id FROM economy.accounts a WHERE a.user_id > last_id
                       ORDER BY a.user_id LIMIT batch);
        EXIT WHEN cardinality(users) = 0;
        last_id := users[cardinality(users)];
        RETURN QUERY SELECT * FROM economy_internal.parity_of(users);
    END LOOP;
    RETURN QUERY SELECT * FROM economy_internal.parity_strays();
END
$$;
COMMENT ON FUNCTION economy.stats_parity(integer) IS
    'Recomputes statistics and rollups from the entries and returns the rows that differ, '
    'for all users or a random sample; none means exact.';

-- Capture of the app's own tables

CREATE TABLE economy.capture_refusals (
    refusal_id bigint      GENERATED ALWAYS AS IDENTITY
        CONSTRAINT capture_refusals_pkey PRIMARY KEY,
    source     text        NOT NULL,
    user_id    bigint,
    external_id text,
    game       text        NOT NULL,
    action_id  text        NOT NULL,
    bet        bigint      NOT NULL,
    win        bigint      NOT NULL,
    code       text        NOT NULL,
    refused_at timestamptz NOT NULL
);
SELECT pg_catalog.pg_extension_config_dump('economy.capture_refusals', '');
SELECT pg_catalog.pg_extension_config_dump('economy.capture_refusals_refusal_id_seq', '');
COMMENT ON TABLE economy.capture_refusals IS
    'Rows that a capture trigger with the argument report could not record; '
    'of an unknown user the external id alone.';
COMMENT ON SEQUENCE economy.capture_refusals_refusal_id_seq IS
    'Numbers of capture_refusals.';

CREATE FUNCTION economy.capture_actions() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'eco_capture_actions';
COMMENT ON FUNCTION economy.capture_actions() IS
    'Trigger AFTER INSERT or AFTER UPDATE FOR EACH STATEMENT with a NEW TABLE on a table of '
    'the app: records its rows as actions, once they have a win. Arguments: '
    'user column (user_id, or external id), game, id column, bet column, win column; '
    'then raise (default) or report for refused rows, and prefix=text for the ids of the '
    'actions, which begin with the name of the table otherwise.';

-- Anomalies

CREATE TYPE economy.proportion_interval AS (lower double precision, upper double precision);
COMMENT ON TYPE economy.proportion_interval IS 'Confidence interval of a proportion.';

CREATE FUNCTION economy.wilson_interval(wins bigint, n bigint)
    RETURNS economy.proportion_interval
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_wilson_interval';
COMMENT ON FUNCTION economy.wilson_interval(bigint, bigint) IS
    'Wilson score interval at 95 % of wins in n games.';

CREATE FUNCTION economy_internal.binomial_tail(wins bigint, n bigint, p double precision)
    RETURNS double precision
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_binomial_tail';
COMMENT ON FUNCTION economy_internal.binomial_tail(bigint, bigint, double precision) IS
    'Probability of at least that many wins in n games that are won with probability p.';

CREATE FUNCTION economy.win_rate_anomalies(game text, q double precision DEFAULT 0.01)
    RETURNS TABLE (
        user_id bigint, games bigint, wins bigint, win_rate double precision,
        lower double precision, upper double precision, population_rate double precision,
        p_value double precision
    )
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.open_tables(
            'accounts', 'economy_internal.game_stats_more');
        WITH played AS (
            SELECT g.user_id, g.wins + g.losses AS games, g.wins
            FROM economy.game_stats g
            WHERE g.game = win_rate_anomalies.game AND g.wins + g.losses > 0
        ), population AS (
            SELECT sum(p.wins)::double precision / sum(p.games) AS rate FROM played p
        ), tested AS (
            SELECT p.*, o.rate, economy_internal.binomial_tail(p.wins, p.games, o.rate) AS p_value
            FROM played p CROSS JOIN population o WHERE p.games >= 20
        ), ranked AS (
            SELECT t.*, row_number() OVER (ORDER BY t.p_value, t.user_id) AS rank,
                   count(*) OVER () AS tests
            FROM tested t
        ), cut AS (
            -- Benjamini and Hochberg, J. R. Stat. Soc. B 57 (1995): the largest rank under its line
            SELECT max(r.rank) AS rank FROM ranked r
            WHERE r.p_value <= win_rate_anomalies.q * r.rank / r.tests
        )
        SELECT r.user_id, r.games, r.wins, r.wins::double precision / r.games,
               w.lower, w.upper, r.rate, r.p_value
        FROM ranked r CROSS JOIN cut CROSS JOIN LATERAL economy.wilson_interval(r.wins, r.games) w
        WHERE r.rank <= cut.rank AND w.lower > r.rate
        ORDER BY r.p_value, r.user_id;
    END;
COMMENT ON FUNCTION economy.win_rate_anomalies(text, double precision) IS
    'Players of a game, with 20 decided games or more, who win beyond the population''s rate: '
    'Wilson lower bound above it, and significant at false discovery rate q '
    '(Benjamini-Hochberg over exact binomial tests).';
-- adjust: changes of gold by admins

CREATE TABLE economy.gold_adjustments (
    user_id           bigint      NOT NULL,
    seq               bigint      NOT NULL,
    gold_delta        bigint      NOT NULL,
    xp_delta          bigint      NOT NULL,
    gold              bigint      NOT NULL,
    experience_points bigint      NOT NULL,
    created_at        timestamptz NOT NULL,
    xact              bigint      NOT NULL,
    position          bigint      NOT NULL,
    live              boolean     NOT NULL,
    hash              bytea       NOT NULL,
    idempotency_key   text        NOT NULL COLLATE "C",
    actor             text        NOT NULL,
    reason            text        NOT NULL,
    CONSTRAINT gold_adjustments_pkey PRIMARY KEY (user_id, seq),
    CONSTRAINT gold_adjustments_key UNIQUE (user_id, idempotency_key)
);
SELECT economy_internal.make_journal('economy.gold_adjustments');
COMMENT ON TABLE economy.gold_adjustments IS
    'Journal of changes of gold by admins, with actor and reason. Append-only.';

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

CREATE FUNCTION economy.adjust_gold(
    user_id bigint, delta bigint, idempotency_key text, reason text, actor text
) RETURNS economy.adjust_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_adjust_gold';
COMMENT ON FUNCTION economy.adjust_gold(bigint, bigint, text, text, text) IS
    'Changes a user''s gold by delta, once per idempotency key, with who did it and why. '
    'Refuses INSUFFICIENT_GOLD, GOLD_OVERFLOW, USER_NOT_FOUND, IDEMPOTENCY_MISMATCH.';
-- ledger: entries that leave their journal for a table of the operator's

CREATE TABLE economy.archives (
    user_id    bigint      NOT NULL,
    journal    text        NOT NULL COLLATE "C",
    upto_seq   bigint      NOT NULL,
    from_seq   bigint      NOT NULL,
    entries    bigint      NOT NULL,
    freezes    bigint      NOT NULL,
    digest     bytea       NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT archives_pkey PRIMARY KEY (user_id, journal, upto_seq)
);
SELECT pg_catalog.pg_extension_config_dump('economy.archives', '');
COMMENT ON TABLE economy.archives IS
    'What went of a user''s entries in a journal at once, by archive_entries(); the checkpoint of '
    'the stream signs it.';
COMMENT ON COLUMN economy.archives.upto_seq IS
    'The entry behind those that went. It stays, as some in front of it may.';
COMMENT ON COLUMN economy.archives.from_seq IS
    'None of them is in front of this seq: the upto_seq before, or 0.';
COMMENT ON COLUMN economy.archives.entries IS 'How many went.';
COMMENT ON COLUMN economy.archives.freezes IS
    'Streak freezes that those who went had brought, less those that they had used.';
COMMENT ON COLUMN economy.archives.digest IS
    'Hash of a chain over those who went, what they say and their hashes, by seq.';

CREATE TABLE economy.archived_keys (
    user_id     bigint NOT NULL,
    seq         bigint NOT NULL,
    created_at  timestamptz,
    monetary    bigint,
    quantity    bigint,
    stock_units bigint,
    key         uuid   NOT NULL,
    product_id  text   NOT NULL COLLATE "C",
    CONSTRAINT archived_keys_pkey PRIMARY KEY (user_id, product_id, key)
);
SELECT pg_catalog.pg_extension_config_dump('economy.archived_keys', '');
COMMENT ON TABLE economy.archived_keys IS
    'Keys of the calls that made archived entries: none has an effect again. And of purchases '
    'what limits, stock and scores are recomputed from.';
COMMENT ON COLUMN economy.archived_keys.product_id IS
    'Of a purchase; of another entry it is empty, and what may be null is null.';
COMMENT ON COLUMN economy.archived_keys.stock_units IS 'Units of a stock; null: of none.';

CREATE VIEW economy_internal.archived_purchases AS
    SELECT k.user_id, k.seq, k.created_at, k.monetary, k.quantity, k.stock_units, k.product_id,
           'SUCCESS'::text COLLATE "C" AS status, 0::bigint AS xact, 0::bigint AS position
    FROM economy.archived_keys k WHERE k.product_id <> '';
COMMENT ON VIEW economy_internal.archived_purchases IS
    'What stays of purchases that were archived; of transactions that are long over.';

CREATE VIEW economy_internal.shop_purchases AS
    SELECT t.user_id, t.seq, t.created_at, t.monetary, t.quantity::bigint AS quantity,
           CASE WHEN t.stock_slot IS NOT NULL THEN t.quantity::bigint END AS stock_units,
           t.product_id, t.status, t.xact, t.position
    FROM economy.shop_transactions t
    UNION ALL
    SELECT a.user_id, a.seq, a.created_at, a.monetary, a.quantity, a.stock_units, a.product_id,
           a.status, a.xact, a.position
    FROM economy_internal.archived_purchases a;
COMMENT ON VIEW economy_internal.shop_purchases IS
    'All purchases, for what is computed from them: those in the journal and the archived ones.';

CREATE TABLE economy.archived_hashes (
    user_id bigint NOT NULL,
    seq     bigint NOT NULL,
    hash    bytea  NOT NULL,
    CONSTRAINT archived_hashes_pkey PRIMARY KEY (user_id, seq)
);
SELECT pg_catalog.pg_extension_config_dump('economy.archived_hashes', '');
COMMENT ON TABLE economy.archived_hashes IS
    'Hashes of archived entries that the receipt of the next entry goes on from.';

CREATE TABLE economy_internal.archive_state (
    journal   text   NOT NULL COLLATE "C" CONSTRAINT archive_state_pkey PRIMARY KEY,
    last_user bigint,
    batch     bigint[] NOT NULL,
    users     bigint NOT NULL,
    entries   bigint NOT NULL,
    damaged   bigint NOT NULL
);
SELECT pg_catalog.pg_extension_config_dump('economy_internal.archive_state', '');
COMMENT ON TABLE economy_internal.archive_state IS
    'How far archive_entries() has come with a journal, and what its last batch was.';
COMMENT ON COLUMN economy_internal.archive_state.last_user IS
    'The last user that was looked at; null when all were.';
COMMENT ON COLUMN economy_internal.archive_state.batch IS
    'The users of whom entries went with the last batch.';

CREATE FUNCTION economy_internal.archive_streams(
    journal text, user_ids bigint[], upto_seqs bigint[], freezes bigint[], stay_user_ids bigint[],
    stay_seqs bigint[]
) RETURNS bigint[]
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_archive_streams';
COMMENT ON FUNCTION economy_internal.archive_streams(
    text, bigint[], bigint[], bigint[], bigint[], bigint[]) IS
    'Deletes entries of a journal, named by its letter, of users by ascending id, in front of an '
    'entry of each and but for those that stay, behind a signed checkpoint. For each the number, '
    'or null, and nothing done, when the stream is damaged. archive_entries() is the way in.';

CREATE FUNCTION economy_internal.archive_key(journal text, VARIADIC texts text[]) RETURNS uuid
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_archive_key';
COMMENT ON FUNCTION economy_internal.archive_key(text, text[]) IS
    'Key of a call in archived_keys, of the journal with that letter: half of a SHA-256; null '
    'for texts of a length that only damage makes.';

CREATE FUNCTION economy_internal.archive_add(digest bytea, entry anyelement) RETURNS bytea
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_archive_add';
COMMENT ON FUNCTION economy_internal.archive_add(bytea, anyelement) IS
    'Step of the aggregate archive_digest().';
CREATE AGGREGATE economy_internal.archive_digest(entry anyelement) (
    SFUNC = economy_internal.archive_add, STYPE = bytea, PARALLEL = SAFE
);
COMMENT ON AGGREGATE economy_internal.archive_digest(anyelement) IS
    'The digest in archives of entries in the order of seq.';

CREATE FUNCTION economy_internal.archives_sound(user_id bigint) RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_archives_sound';
COMMENT ON FUNCTION economy_internal.archives_sound(bigint) IS
    'Whether what archives has of a user is what the checkpoint of the stream signed.';

CREATE FUNCTION economy_internal.journal_letter(journal text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    letter text := CASE journal WHEN 'shop_transactions' THEN 'P' WHEN 'reward_audit' THEN 'R'
                                WHEN 'gold_adjustments' THEN 'G' END;
BEGIN
    IF letter IS NULL THEN
        RAISE EXCEPTION 'journal "%" cannot be archived', left(journal, 64)
            USING ERRCODE = 'XE002',
            HINT = 'economy.shop_transactions, economy.reward_audit and '
                   'economy.gold_adjustments can.';
    END IF;
    RETURN letter;
END
$$;
COMMENT ON FUNCTION economy_internal.journal_letter(text) IS
    'The letter of a journal that can be archived; XE002 for others.';

CREATE FUNCTION economy_internal.archive_due(
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
                 THEN '(t.status <> ''SUCCESS'' OR $6 AND t.seq > f.scored_seq)'
                 ELSE 'false' END, journal)
        USING after_user, cutoff, max_users, journal, part, scored;
END
$$;
COMMENT ON FUNCTION economy_internal.archive_due(text, bigint, timestamptz, integer, bigint) IS
    'Part of archive_entries(): the next users, and how many entries of the journal, at most part, '
    'are old enough in front of which one; less than 1 where none is.';

CREATE FUNCTION economy_internal.archive_stays(
    journal text, user_ids bigint[], from_seqs bigint[], upto_seqs bigint[],
    OUT user_id bigint, OUT seq bigint
) RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT DISTINCT n.user_id, s.seq
        FROM unnest(user_ids, from_seqs, upto_seqs) n (user_id, from_seq, upto_seq)
        CROSS JOIN LATERAL economy_internal.reward_stays(n.user_id, n.from_seq, n.upto_seq) s
        WHERE journal = 'reward_audit' AND s.seq >= n.from_seq AND s.seq < n.upto_seq
        ORDER BY n.user_id, s.seq;
    END;
COMMENT ON FUNCTION economy_internal.archive_stays(text, bigint[], bigint[], bigint[]) IS
    'Part of archive_entries(): the entries in front of upto_seq that stay in their journal, '
    'because what the user has now is recomputed from them.';

CREATE FUNCTION economy_internal.archive_freezes(
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
            FROM (SELECT r.seq, -r.freezes_used AS n FROM economy.reward_audit r
                  WHERE journal = 'reward_audit' AND r.user_id = n.user_id
                    AND r.seq >= n.from_seq AND r.seq < n.upto_seq AND r.freezes_used <> 0
                  UNION ALL
                  SELECT t.seq, t.quantity FROM economy.shop_transactions t
                  WHERE journal = 'shop_transactions' AND t.user_id = n.user_id
                    AND t.seq >= n.from_seq AND t.seq < n.upto_seq
                    AND t.effect_code = 'streak_freeze') m
            WHERE NOT EXISTS (SELECT FROM unnest(stay_user_ids, stay_seqs) s (user_id, seq)
                              WHERE s.user_id = n.user_id AND s.seq = m.seq)) f;
    END;
COMMENT ON FUNCTION economy_internal.archive_freezes(
    text, bigint[], bigint[], bigint[], bigint[], bigint[]) IS
    'Part of archive_entries(): the streak freezes that the entries which go have brought, '
    'less those that they have used.';

CREATE FUNCTION economy_internal.archive_batch(
    journal text, cutoff timestamptz, max_users integer, INOUT last_user bigint,
    OUT users bigint[], OUT froms bigint[], OUT uptos bigint[], OUT damaged bigint
)
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    part  CONSTANT bigint := 20000;    -- entries of a user that go at once
    seen  bigint[];
    cut   boolean;
    again bigint;
BEGIN
    -- so many users, of so many entries together, or one long stream
    SELECT array_agg(d.user_id ORDER BY d.user_id) FILTER (WHERE d.fits),
           NOT coalesce(bool_and(d.fits), true) OR count(*) = max_users,
           array_agg(d.user_id ORDER BY d.user_id) FILTER (WHERE d.fits AND d.due > 0),
           array_agg(d.from_seq ORDER BY d.user_id) FILTER (WHERE d.fits AND d.due > 0),
           array_agg(d.upto_seq ORDER BY d.user_id) FILTER (WHERE d.fits AND d.due > 0),
           min(d.user_id) FILTER (WHERE d.fits AND d.due >= part)
    INTO seen, cut, users, froms, uptos, again
    FROM (SELECT p.*, greatest(p.entries, 0) AS due,
                 sum(greatest(p.entries, 0)) OVER (ORDER BY p.user_id)
                 - greatest(p.entries, 0) < 5 * part AS fits
          FROM economy_internal.archive_due(
              journal, coalesce(last_user, -9223372036854775808), cutoff, max_users, part) p) d;
    last_user := CASE WHEN cut THEN seen[cardinality(seen)] END;
    damaged := cardinality(users);
    SELECT coalesce(array_agg(n.user_id ORDER BY n.user_id), '{}'),
           coalesce(array_agg(n.from_seq ORDER BY n.user_id), '{}'),
           coalesce(array_agg(n.upto_seq ORDER BY n.user_id), '{}')
    INTO users, froms, uptos
    FROM unnest(users, froms, uptos) n (user_id, from_seq, upto_seq)
    -- a zone that this server does not know is no damage of the stream
    WHERE NOT EXISTS (SELECT FROM economy.verify_chain(n.user_id) v
                      WHERE v.kind <> 'wrong_state');
    damaged := coalesce(damaged, 0) - cardinality(users);
    -- who has more is looked at again, but not for damage
    IF again = ANY (users) THEN
        last_user := again - 1;
    END IF;
END
$$;
COMMENT ON FUNCTION economy_internal.archive_batch(text, timestamptz, integer, bigint) IS
    'Part of archive_entries(): the users behind last_user whose entries of the journal go next, '
    'from which entry on and in front of which; and the last_user of the next batch, null when '
    'there is none.';

CREATE FUNCTION economy_internal.archive_cutoff(older_than interval) RETURNS timestamptz
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET TimeZone = 'UTC' AS $$
DECLARE
    cutoff timestamptz;
BEGIN
    PERFORM economy_internal.require_given('older_than', older_than IS NOT NULL);
    BEGIN
        cutoff := economy.now() - older_than;
    EXCEPTION WHEN datetime_field_overflow THEN
        RAISE EXCEPTION 'older_than is longer than time is kept' USING ERRCODE = 'XE002',
            HINT = 'Take 90 days or more, and less than 6000 years.';
    END;
    IF cutoff > economy.now() - interval '2160 hours' THEN
        RAISE EXCEPTION 'older_than must be 90 days or more' USING ERRCODE = 'XE002',
            HINT = 'A retry of an archived call is refused with RESYNC_REQUIRED: keep entries '
                   'longer than clients retry, and rewards longer than they are taken back.';
    END IF;
    RETURN cutoff;
END
$$;
COMMENT ON FUNCTION economy_internal.archive_cutoff(interval) IS
    'The moment so long ago; XE002 for less than 90 days.';

CREATE FUNCTION economy.archive_entries(
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
        'rfm_state', 'user_segments', 'economy_internal.archive_state',
        'economy_internal.rollup_positions');
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
COMMENT ON FUNCTION economy.archive_entries(anyelement, interval, integer) IS
    'Returns entries of a journal, NULL::economy.reward_audit, that are older than that, and '
    'deletes them there, behind a signed checkpoint per user: for INSERT INTO ... SELECT, or '
    'COPY. A call is one batch; what stays of an entry keeps its call from having an effect again.';

CREATE FUNCTION economy_internal.archive_note(
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
END
$$;
COMMENT ON FUNCTION economy_internal.archive_note(text, bigint, bigint[], bigint, bigint) IS
    'Part of archive_entries(): notes the batch, and tells others where the checkpoints are now.';

CREATE FUNCTION economy_internal.archive_last(journal text)
    RETURNS economy_internal.archive_state
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.open_tables('economy_internal.archive_state');
        SELECT s.* FROM economy_internal.archive_state s WHERE s.journal = archive_last.journal;
    END;
COMMENT ON FUNCTION economy_internal.archive_last(text) IS
    'What archive_entries() has done last with a journal.';

CREATE FUNCTION economy_internal.open_archives() RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.open_tables('archives', 'archived_keys', 'stream_checkpoints');
    END;
COMMENT ON FUNCTION economy_internal.open_archives() IS
    'Opens what archives_of() reads, for a caller who then reads it and his archive in one '
    'snapshot.';

CREATE FUNCTION economy_internal.archives_of(journal text, users bigint[], newest boolean)
    RETURNS TABLE (user_id bigint, from_seq bigint, upto_seq bigint, entries bigint, digest bytea,
                   sound boolean)
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT a.user_id, a.from_seq, a.upto_seq, a.entries, a.digest,
               economy_internal.archives_sound(a.user_id)
        FROM economy.archives a
        WHERE a.journal = archives_of.journal
          AND (users IS NULL OR a.user_id = ANY (users))
          AND NOT (newest AND EXISTS (
              SELECT FROM economy.archives l
              WHERE l.user_id = a.user_id AND l.journal = a.journal AND l.upto_seq > a.upto_seq));
    END;
COMMENT ON FUNCTION economy_internal.archives_of(text, bigint[], boolean) IS
    'What went into archives of a journal, of some users or all, or what of each went last; and '
    'whether that is signed. Behind open_archives().';

CREATE FUNCTION economy_internal.archive_journal(journal regclass) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    name text := (SELECT c.relname FROM pg_class c
                  WHERE c.oid = journal AND c.relnamespace = 'economy'::regnamespace);
BEGIN
    PERFORM economy_internal.require_given('journal', journal IS NOT NULL);
    PERFORM economy_internal.journal_letter(coalesce(name, journal::text));
    RETURN name;
END
$$;
COMMENT ON FUNCTION economy_internal.archive_journal(regclass) IS
    'The name of a journal that can be archived; XE002 for others.';

CREATE FUNCTION economy_internal.archive_columns(journal text) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relname = journal AND c.relnamespace = 'economy'::regnamespace
          AND a.attnum > 0 AND NOT a.attisdropped;
    END;
COMMENT ON FUNCTION economy_internal.archive_columns(text) IS 'The columns of a journal, as text.';

CREATE FUNCTION economy_internal.archive_findings(
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
        (SELECT string_agg('d.' || c, ', ')
         FROM unnest(string_to_array(economy_internal.archive_columns(name), ', ')) c), name)
        USING name, users, letter, newest;
END
$$;
COMMENT ON FUNCTION economy_internal.archive_findings(regclass, regclass, bigint[], boolean) IS
    'verify_archive(), or of what went last of each user alone.';

CREATE FUNCTION economy.verify_archive(
    journal regclass, archive regclass, users bigint[] DEFAULT NULL
) RETURNS SETOF economy.finding
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT f.* FROM economy_internal.archive_findings(journal, archive, users, false) f;
    END;
COMMENT ON FUNCTION economy.verify_archive(regclass, regclass, bigint[]) IS
    'Compares a table, or a view of several, with what was archived of a journal, of some users '
    'or all, as their checkpoints have signed it: a row per finding, none means that the table '
    'has all of it, unchanged, and nothing else.';

CREATE FUNCTION economy_internal.require_archive(archive regclass, journal regclass) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    fault text;
BEGIN
    PERFORM economy_internal.require_given('archive', archive IS NOT NULL);
    SELECT CASE
        WHEN c.relnamespace IN ('economy'::regnamespace, 'economy_internal'::regnamespace)
            THEN 'is a table of the extension'
        WHEN c.relkind NOT IN ('r', 'p', 'f') THEN 'is no table'
        WHEN c.relpersistence <> 'p' THEN 'does not outlast a session or a crash'
        WHEN EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = archive AND i.inhparent = journal)
            THEN format('inherits from %s', journal)
        -- of which one keeps the batch from being taken, and another one takes the next one too
        WHEN EXISTS (SELECT FROM pg_rewrite w WHERE w.ev_class = archive AND w.ev_type = '3')
            THEN 'has a rule for INSERT'
        ELSE (SELECT format('has column %I of type %s instead of %s', h.attname,
                            h.atttypid::regtype, j.atttypid::regtype)
              FROM pg_attribute h JOIN pg_attribute j ON j.attrelid = journal
                  AND j.attname = h.attname AND j.attnum > 0 AND NOT j.attisdropped
              WHERE h.attrelid = archive AND h.atttypid <> j.atttypid
              ORDER BY h.attnum LIMIT 1)
        END
    INTO fault FROM pg_class c WHERE c.oid = archive;
    IF fault IS NOT NULL THEN
        RAISE EXCEPTION '% %', archive, fault USING ERRCODE = 'XE002',
            HINT = format('CREATE TABLE ... (LIKE %s) makes one for an archive.', journal);
    END IF;
END
$$;
COMMENT ON FUNCTION economy_internal.require_archive(regclass, regclass) IS
    'XE002 unless entries of the journal can be kept in that table as they are.';

CREATE FUNCTION economy.archive(
    journal regclass, archive regclass, older_than interval, max_users integer DEFAULT 1000
) RETURNS TABLE (users bigint, entries bigint, damaged bigint, more boolean)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    name    text := economy_internal.archive_journal(journal);
    columns text := economy_internal.archive_columns(name);
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
            HINT = 'Look for triggers, rules and policies on the table, and at the types of its '
                   'columns.';
    END IF;
    users := last.users;
    entries := last.entries;
    damaged := last.damaged;
    more := last.last_user IS NOT NULL;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION economy.archive(regclass, regclass, interval, integer) IS
    'Moves a batch of entries of a journal that are older than that into a table of the same '
    'columns, ordinary or foreign, by archive_entries(), reads them there and compares them; '
    'more says that there are further users.';
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
    FROM economy.user_changes;
COMMENT ON VIEW economy.ledger IS 'Every entry of every user: the common header of all journals.';
-- account: what a user has

CREATE TYPE economy.account_status AS (
    user_id           bigint,
    gold              bigint,
    experience_points bigint,
    level             integer,
    xp_into_level     bigint,
    xp_to_next        bigint,
    seq               bigint,
    streak_day        integer,
    last_claim_on     date
);
COMMENT ON TYPE economy.account_status IS 'What a user has: a row of economy.account().';

CREATE FUNCTION economy.account(user_id bigint) RETURNS SETOF economy.account_status
    LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 1 AS 'MODULE_PATHNAME', 'eco_account';
COMMENT ON FUNCTION economy.account(bigint) IS
    'Balances, level on the user''s curve, streak as of now and newest '
    'seq; no row for an unknown user.';
-- account: a user's entries

CREATE TYPE economy.statement_line AS (
    seq               bigint,
    journal           text,
    transaction_id    text,
    gold_delta        bigint,
    xp_delta          bigint,
    gold              bigint,
    experience_points bigint,
    created_at        timestamptz
);
COMMENT ON TYPE economy.statement_line IS 'An entry of a user: a row of economy.statement().';

CREATE FUNCTION economy.statement(
    user_id bigint, after_seq bigint DEFAULT 0, max integer DEFAULT 100
) RETURNS SETOF economy.statement_line
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_statement';
COMMENT ON FUNCTION economy.statement(bigint, bigint, integer) IS
    'A user''s entries after a seq, oldest first, at most max (10,000) of them.';
-- realtime: events for clients that were away, the feed for servers, the relay

CREATE TYPE economy.replayed_event AS (code text, seq bigint, type text, event json);
COMMENT ON TYPE economy.replayed_event IS
    'An event that a client missed, or how replay() goes on: a row of economy.replay().';

CREATE FUNCTION economy.replay(user_id bigint, after_seq bigint, max integer DEFAULT 100)
    RETURNS SETOF economy.replayed_event
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_replay';
COMMENT ON FUNCTION economy.replay(bigint, bigint, integer) IS
    'A user''s events after an entry, of at most max (10,000) entries, '
    'with code EVENT; the last row says MORE, CAUGHT_UP, '
    'RESYNC_REQUIRED or USER_NOT_FOUND, and in seq where to go on.';

CREATE FUNCTION economy_internal.entry_events(user_id bigint, seq bigint, journal "char")
    RETURNS TABLE (type text, event json)
    LANGUAGE c STABLE PARALLEL SAFE ROWS 2 AS 'MODULE_PATHNAME', 'eco_entry_events';
COMMENT ON FUNCTION economy_internal.entry_events(bigint, bigint, "char") IS
    'The events of one entry.';

CREATE FUNCTION economy_internal.publish_profile(
    user_id bigint, field text, before text, after text
) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_publish_profile';
COMMENT ON FUNCTION economy_internal.publish_profile(bigint, text, text, text) IS
    'Sends profile_update for a change that is no entry, with the transaction.';

CREATE FUNCTION economy.changes(cursor text DEFAULT NULL, max integer DEFAULT 1000)
    RETURNS TABLE (code text, user_id bigint, seq bigint, type text, event json, next_cursor text)
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS 'MODULE_PATHNAME', 'eco_changes';
COMMENT ON FUNCTION economy.changes(text, integer) IS
    'The events of all users since a cursor, of at most max (10,000) entries, '
    'in an order that keeps each user''s, with code EVENT; the last row says MORE, '
    'CAUGHT_UP or RESYNC_REQUIRED and has the next cursor. '
    'A null cursor begins now, start with the first entry.';

CREATE FUNCTION economy.relay_status()
    RETURNS TABLE (
        database oid, pid integer, waiting integer, queued bigint, sent bigint, overflowed bigint,
        batches bigint, fallbacks bigint, lag_ms double precision, max_lag_ms double precision,
        unserved bigint, read_back bigint
    )
    LANGUAGE c VOLATILE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'eco_relay_status';
COMMENT ON FUNCTION economy.relay_status() IS
    'Per database the relay and its counters: entries queued, events sent, '
    'transactions that found the ring full, batches, times the journals were read, '
    'lag from commit to NOTIFY, times since its last relay that no worker was to be had, '
    'entries whose rows the relay has read. '
    'No row without preload or before the first event.';
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
-- the condition dumps none: every row is of the extension
SELECT pg_catalog.pg_extension_config_dump('economy.event_types', 'WHERE false');
COMMENT ON TABLE economy.event_types IS
    'The event contract: each type with the JSON Schema of its events and a sample.';
COMMENT ON COLUMN economy.event_types.version IS
    'Goes up when members are added; what would break a client is a new type. '
    '0: the name is reserved, nothing sends it.';
COMMENT ON COLUMN economy.event_types.schema IS 'JSON Schema, draft 2020-12, of the whole event.';

-- `data` has the members of `own` and those that all events share, always.  The
-- deltas stand in one event of an entry only, so that summing them up is right.
-- All are required but those that the rules call optional.
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
    ('purchase_update', 1, 'A purchase was made.',
     '^P[0-9]+-[0-9]+$', 'always',
     '{"product_id": {"type": "string", "minLength": 1, "maxLength": 64},
       "category": {"enum": ["conversion", "item"]},
       "quantity": {"type": "integer", "minimum": 1, "maximum": 2147483647},
       "status": {"enum": ["SUCCESS", "PENDING"]},
       "effect_code": {"type": ["string", "null"], "minLength": 1, "maxLength": 64,
                       "description": "What the app applies."},
       "idempotency_key": {"type": "string", "minLength": 1, "maxLength": 255}}'::jsonb,
     '{}'::jsonb,
     '{"specversion": "1.0", "id": "P3-2", "source": "/economy/node/0", "type": "purchase_update",
       "subject": "3", "time": "2026-03-02T12:00:00.000000Z", "sequence": "00000000000000000002",
       "datacontenttype": "application/json",
       "data": {"product_id": "potion", "category": "item", "quantity": 3, "status": "SUCCESS",
                "effect_code": "heal_50", "idempotency_key": "order-2", "seq": 2,
                "gold_delta": -45, "xp_delta": 0, "gold": 1955, "experience_points": 0}}'::jsonb),
    ('reward_granted', 1,
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
       "leveled_up": {"type": "boolean"}}',
     '{}',
     '{"specversion": "1.0", "id": "R4-2", "source": "/economy/node/0", "type": "reward_granted",
       "subject": "4", "time": "2026-03-02T12:00:00.000000Z", "sequence": "00000000000000000002",
       "datacontenttype": "application/json",
       "data": {"source": "mission", "external_event_id": "mission-7", "streak_day": null,
                "level": 2, "leveled_up": true, "seq": 2, "gold_delta": 10, "xp_delta": 500,
                "gold": 20, "experience_points": 500}}'),
    ('profile_update', 1,
     'Something about a user changed: the level (by a reward), the gold (by an admin), '
     'the time zone, the status, the profile, the external id or the segment.',
     '^(R[0-9]+-[0-9]+/level|[GU][0-9]+-[0-9]+|S[0-9]+-[0-9]+/segment/[0-9]+)$', 'some',
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
    ('mission_update', 0,
     'Reserved for the progress of missions. Nothing sends it yet, '
     'and its own members are not decided.',
     '^[A-Z][0-9]+-[0-9]+(/.+)?$', 'never', '{}', '{}', NULL)
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
        AS deltas) m;

CREATE FUNCTION economy.asyncapi() RETURNS jsonb
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.open_tables('event_types');
        SELECT jsonb_build_object(
            'asyncapi', '3.0.0',
            'info', jsonb_build_object('title', 'economy',
                'version', (SELECT x.extversion FROM pg_extension x WHERE x.extname = 'economy'),
                'description', 'Events of the economy of a game or app, by LISTEN and NOTIFY of '
                    'PostgreSQL; the payload is a CloudEvents 1.0 event. A payload is news, not '
                    'proof: the journals are the authority.'),
            'defaultContentType', 'application/cloudevents+json',
            'channels', jsonb_object_agg(t.name, jsonb_build_object(
                    'address', t.name, 'description', t.description,
                    'messages', jsonb_build_object(t.name, jsonb_build_object(
                        '$ref', '#/components/messages/' || t.name))))
                || jsonb_build_object('economy_user', jsonb_build_object(
                    'address', 'economy_user_{user_id}',
                    'description',
                        'Every event of one user, when economy.notify_user_channels is on.',
                    'parameters',
                        '{"user_id": {"description": "The user_id, as in subject."}}'::jsonb,
                    'messages', jsonb_object_agg(t.name, jsonb_build_object(
                        '$ref', '#/components/messages/' || t.name)))),
            'operations', jsonb_object_agg('send_' || t.name, jsonb_build_object(
                    'action', 'send', 'summary', t.description,
                    'channel', jsonb_build_object('$ref', '#/channels/' || t.name),
                    'messages', jsonb_build_array(jsonb_build_object(
                        '$ref', '#/channels/' || t.name || '/messages/' || t.name))))
                || jsonb_build_object('send_to_user', jsonb_build_object(
                    'action', 'send',
                    'channel', jsonb_build_object('$ref', '#/channels/economy_user'))),
            'components', jsonb_build_object('messages', jsonb_object_agg(
                t.name, jsonb_build_object(
                'name', t.name, 'title', t.name, 'summary', t.description,
                'contentType', 'application/cloudevents+json',
                -- the keywords that the schema uses mean the same in AsyncAPI's own dialect
                'payload', t.schema - '$schema' - '$id',
                'examples', jsonb_build_array(jsonb_build_object('payload', t.sample))))))
        FROM economy.event_types t WHERE t.version > 0;
    END;
COMMENT ON FUNCTION economy.asyncapi() IS
    'The AsyncAPI 3.0 document of the events that are sent, made from economy.event_types.';
-- segment: daily buckets, models, rules, scores, segments

-- Models and rules. Both are data; a snapshot keeps what it was made with.

CREATE TABLE economy.rfm_models (
    model             text    NOT NULL COLLATE "C" CONSTRAINT rfm_models_pkey PRIMARY KEY
        CONSTRAINT rfm_models_model_check CHECK (octet_length(model) BETWEEN 1 AND 64),
    window_days       integer
        CONSTRAINT rfm_models_window_check CHECK (window_days BETWEEN 1 AND 36500),
    recency_clamp     integer
        CONSTRAINT rfm_models_clamp_check CHECK (recency_clamp BETWEEN 1 AND 36500),
    recency_kind      text    NOT NULL CONSTRAINT rfm_models_recency_kind_check
        CHECK (recency_kind IN ('fixed', 'quantile', 'quantile_plus_one')),
    recency_breaks    numeric[] NOT NULL,
    frequency_kind    text    NOT NULL CONSTRAINT rfm_models_frequency_kind_check
        CHECK (frequency_kind IN ('fixed', 'quantile', 'quantile_plus_one')),
    frequency_breaks  numeric[] NOT NULL,
    monetary_kind     text    NOT NULL CONSTRAINT rfm_models_monetary_kind_check
        CHECK (monetary_kind IN ('fixed', 'quantile', 'quantile_plus_one')),
    monetary_breaks   numeric[] NOT NULL,
    population        text    NOT NULL
        CONSTRAINT rfm_models_population_check CHECK (population IN ('active', 'all')),
    recency_weight    numeric NOT NULL
        CONSTRAINT rfm_models_recency_weight_check CHECK (recency_weight BETWEEN 0 AND 1),
    frequency_weight  numeric NOT NULL
        CONSTRAINT rfm_models_frequency_weight_check CHECK (frequency_weight BETWEEN 0 AND 1),
    monetary_weight   numeric NOT NULL
        CONSTRAINT rfm_models_monetary_weight_check CHECK (monetary_weight BETWEEN 0 AND 1),
    builtin           boolean NOT NULL DEFAULT false
);
SELECT pg_catalog.pg_extension_config_dump('economy.rfm_models', 'WHERE NOT builtin');
COMMENT ON TABLE economy.rfm_models IS
    'Definitions of recency, frequency and monetary scores, 1 to 5, '
    '5 the best. Changed by set_rfm_model().';
COMMENT ON CONSTRAINT rfm_models_model_check ON economy.rfm_models IS
    'model must have 1 to 64 bytes';
COMMENT ON CONSTRAINT rfm_models_window_check ON economy.rfm_models IS
    'window_days must be from 1 to 36500';
COMMENT ON CONSTRAINT rfm_models_clamp_check ON economy.rfm_models IS
    'recency_clamp must be from 1 to 36500';
COMMENT ON CONSTRAINT rfm_models_recency_kind_check ON economy.rfm_models IS
    'recency_kind must be fixed, quantile or quantile_plus_one';
COMMENT ON CONSTRAINT rfm_models_frequency_kind_check ON economy.rfm_models IS
    'frequency_kind must be fixed, quantile or quantile_plus_one';
COMMENT ON CONSTRAINT rfm_models_monetary_kind_check ON economy.rfm_models IS
    'monetary_kind must be fixed, quantile or quantile_plus_one';
COMMENT ON CONSTRAINT rfm_models_population_check ON economy.rfm_models IS
    'population must be active or all';
COMMENT ON CONSTRAINT rfm_models_recency_weight_check ON economy.rfm_models IS
    'recency_weight must be from 0 to 1';
COMMENT ON CONSTRAINT rfm_models_frequency_weight_check ON economy.rfm_models IS
    'frequency_weight must be from 0 to 1';
COMMENT ON CONSTRAINT rfm_models_monetary_weight_check ON economy.rfm_models IS
    'monetary_weight must be from 0 to 1';
COMMENT ON COLUMN economy.rfm_models.window_days IS
    'Days of which purchases count for frequency and monetary; null is all time.';
COMMENT ON COLUMN economy.rfm_models.recency_clamp IS
    'Largest recency in days, also of users that never bought; null is none.';
COMMENT ON COLUMN economy.rfm_models.recency_kind IS
    'fixed: the breaks are values; quantile: fractions, '
    'percentile_disc of the population; quantile_plus_one: fractions, '
    'percentile_cont plus 1, and a value that reaches a bound has passed it.';
COMMENT ON COLUMN economy.rfm_models.recency_breaks IS
    'Four breaks, rising: the score is 5, less one for each bound below the value.';
COMMENT ON COLUMN economy.rfm_models.frequency_breaks IS
    'Four breaks, rising: the score is 1, and one more for each bound below the value.';
COMMENT ON COLUMN economy.rfm_models.monetary_breaks IS
    'Four breaks, rising: as those of frequency.';
COMMENT ON COLUMN economy.rfm_models.population IS
    'Whose values make the quantiles: active has a purchase in the '
    'window, all has one at any time.';
INSERT INTO economy.rfm_models VALUES
    ('standard', 30, 90,
     'fixed', '{1,3,7,14}', 'quantile', '{0.2,0.4,0.6,0.8}', 'quantile', '{0.2,0.4,0.6,0.8}',
     'active', 0.4, 0.3, 0.3, true),
    ('all_time', NULL, NULL,
     'quantile_plus_one', '{0.2,0.4,0.6,0.8}', 'quantile_plus_one', '{0.2,0.4,0.6,0.8}',
     'quantile_plus_one', '{0.2,0.4,0.6,0.8}',
     'all', 0.4, 0.3, 0.3, true);

CREATE TABLE economy.segment_rules (
    version        integer NOT NULL,
    position       integer NOT NULL,
    segment        text    NOT NULL COLLATE "C"
        CONSTRAINT segment_rules_segment_check CHECK (octet_length(segment) BETWEEN 1 AND 64),
    bought         boolean,
    recency_from   integer
        CONSTRAINT segment_rules_recency_from_check CHECK (recency_from >= 0),
    recency_to     integer
        CONSTRAINT segment_rules_recency_to_check CHECK (recency_to >= recency_from),
    frequency_from bigint
        CONSTRAINT segment_rules_frequency_from_check CHECK (frequency_from >= 0),
    frequency_to   bigint
        CONSTRAINT segment_rules_frequency_to_check CHECK (frequency_to >= frequency_from),
    monetary_from  text
        CONSTRAINT segment_rules_monetary_from_check
        CHECK (monetary_from ~ '^(p60|p95|[0-9]{1,16})$'),
    monetary_below text
        CONSTRAINT segment_rules_monetary_below_check
        CHECK (monetary_below ~ '^(p60|p95|[0-9]{1,16})$'),
    p95_positive   boolean NOT NULL DEFAULT false,
    CONSTRAINT segment_rules_pkey PRIMARY KEY (version, position)
);
SELECT pg_catalog.pg_extension_config_dump('economy.segment_rules', 'WHERE version > 0');
COMMENT ON TABLE economy.segment_rules IS
    'Ordered rules: a user''s segment is that of the first rule that matches; '
    'all conditions of a rule must hold, null is no condition. The highest version is in force.';
COMMENT ON CONSTRAINT segment_rules_segment_check ON economy.segment_rules IS
    'segment must have 1 to 64 bytes';
COMMENT ON CONSTRAINT segment_rules_recency_from_check ON economy.segment_rules IS
    'recency_from must be 0 or more';
COMMENT ON CONSTRAINT segment_rules_recency_to_check ON economy.segment_rules IS
    'recency_to must be recency_from or more';
COMMENT ON CONSTRAINT segment_rules_frequency_from_check ON economy.segment_rules IS
    'frequency_from must be 0 or more';
COMMENT ON CONSTRAINT segment_rules_frequency_to_check ON economy.segment_rules IS
    'frequency_to must be frequency_from or more';
COMMENT ON CONSTRAINT segment_rules_monetary_from_check ON economy.segment_rules IS
    'monetary_from must be a whole number of up to 16 digits, p60 or p95';
COMMENT ON CONSTRAINT segment_rules_monetary_below_check ON economy.segment_rules IS
    'monetary_below must be a whole number of up to 16 digits, p60 or p95';
COMMENT ON COLUMN economy.segment_rules.bought IS 'Whether the user has ever bought anything.';
COMMENT ON COLUMN economy.segment_rules.recency_from IS 'Least recency in days, inclusive.';
COMMENT ON COLUMN economy.segment_rules.recency_to IS 'Greatest recency in days, inclusive.';
COMMENT ON COLUMN economy.segment_rules.frequency_from IS
    'Least number of purchases in the window, inclusive.';
COMMENT ON COLUMN economy.segment_rules.frequency_to IS
    'Greatest number of purchases in the window, inclusive.';
COMMENT ON COLUMN economy.segment_rules.monetary_from IS
    'Least sum, inclusive: a number, p60 or p95 of the users with a purchase in the window. '
    'While p95 is the median, a sum equal to a quantile is below it.';
COMMENT ON COLUMN economy.segment_rules.monetary_below IS
    'The sum is below this: a number, p60 or p95.';
COMMENT ON COLUMN economy.segment_rules.p95_positive IS
    'The rule matches only while p95 is above 0.';
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
    p50        numeric,
    p60        numeric,
    p95        numeric,
    degenerate text[]
);
COMMENT ON TYPE economy.score_bounds IS
    'What a model''s scores are measured against: bounds of the five scores, '
    'and median, p60 and p95 of monetary.';

CREATE FUNCTION economy.rfm_model(model text) RETURNS economy.rfm_models
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    result economy.rfm_models;
BEGIN
    PERFORM economy_internal.open_tables('rfm_models');
    PERFORM economy_internal.require_given('model', model IS NOT NULL);
    SELECT * INTO result FROM economy.rfm_models m WHERE m.model = rfm_model.model;
    IF NOT found THEN
        RAISE EXCEPTION 'model "%" does not exist', model USING ERRCODE = 'XE603',
            HINT = 'Models are made by economy.set_rfm_model().';
    END IF;
    RETURN result;
END
$$;
COMMENT ON FUNCTION economy.rfm_model(text) IS
    'The definition of a model; XE603 when there is none.';

CREATE FUNCTION economy_internal.rfm_setting(name text) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    -- a call of C defines the settings in a session that has not loaded the library
    PERFORM economy.now();
    RETURN current_setting(name);
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_setting(text) IS
    'A setting of the extension, also in a session that has not called it yet.';

CREATE FUNCTION economy.rfm_rules() RETURNS SETOF economy.segment_rules
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.open_tables('segment_rules');
        SELECT * FROM economy.segment_rules r
        WHERE r.version = (SELECT max(v.version) FROM economy.segment_rules v) ORDER BY r.position;
    END;
COMMENT ON FUNCTION economy.rfm_rules() IS 'The segment rules in force, in their order.';

CREATE FUNCTION economy.rfm_rule_ranges(rules jsonb, p50 numeric, p60 numeric, p95 numeric)
    RETURNS TABLE (
        "position" integer, segment text, bought boolean, recency_from bigint, recency_to bigint,
        frequency_from bigint, frequency_to bigint, monetary_from numeric, monetary_above numeric,
        monetary_below numeric, monetary_to numeric
    )
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT r.position, r.segment, r.bought,
               coalesce(r.recency_from, 0), coalesce(r.recency_to, 9223372036854775807),
               -- a rule that cannot match wants more purchases than there are
               CASE WHEN (r.p95_positive AND coalesce(p95, 0) <= 0)
                      OR (r.monetary_from IS NOT NULL AND l.least IS NULL)
                      OR (r.monetary_below IS NOT NULL AND g.most IS NULL)
                    THEN 9223372036854775807 ELSE coalesce(r.frequency_from, 0) END,
               coalesce(r.frequency_to, 9223372036854775806),
               CASE WHEN l.tied THEN '-Infinity' ELSE coalesce(l.least, '-Infinity') END,
               CASE WHEN l.tied THEN l.least ELSE '-Infinity' END,
               CASE WHEN g.tied THEN 'Infinity' ELSE coalesce(g.most, 'Infinity') END,
               CASE WHEN g.tied THEN g.most ELSE 'Infinity' END
        FROM jsonb_populate_recordset(
                 NULL::economy.segment_rules,
                 CASE jsonb_typeof(rules) WHEN 'array' THEN rules ELSE '[]' END) r
        -- while p95 is the median, who has that value is below both quantiles
        CROSS JOIN LATERAL (
            SELECT CASE r.monetary_from
                       WHEN 'p60' THEN p60 WHEN 'p95' THEN p95 ELSE r.monetary_from::numeric END,
                   r.monetary_from LIKE 'p%' AND p95 = p50) l (least, tied)
        CROSS JOIN LATERAL (
            SELECT CASE r.monetary_below
                       WHEN 'p60' THEN p60 WHEN 'p95' THEN p95 ELSE r.monetary_below::numeric END,
                   r.monetary_below LIKE 'p%' AND p95 = p50) g (most, tied)
        ORDER BY r.position;
    END;
COMMENT ON FUNCTION economy.rfm_rule_ranges(jsonb, numeric, numeric, numeric) IS
    'Rules with median, p60 and p95 put in and no nulls left but in bought; '
    'monetary_above and monetary_below are exclusive, all else inclusive.';

CREATE FUNCTION economy_internal.segment_rules_gap(
    rules bigint[], window_days integer, recency_clamp integer,
    OUT bought boolean, OUT recency bigint, OUT frequency bigint, OUT monetary bigint,
    OUT p60 bigint, OUT p95 bigint
)
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_segment_rules_gap';
COMMENT ON FUNCTION economy_internal.segment_rules_gap(bigint[], integer, integer) IS
    'A user that rules, eight numbers each, leave without a segment; null when there can be none.';

CREATE FUNCTION economy_internal.check_segment_rules(rules jsonb, model economy.rfm_models)
    RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    gap record;
BEGIN
    SELECT (economy_internal.segment_rules_gap(array_agg(v.value ORDER BY r.position, v.n),
                                      model.window_days, model.recency_clamp)).* INTO gap
        FROM jsonb_populate_recordset(NULL::economy.segment_rules, rules) r
        CROSS JOIN LATERAL (VALUES
            (1, coalesce(r.bought::integer, -1)),
            (2, coalesce(r.recency_from, 0)),
            (3, coalesce(r.recency_to, 9223372036854775807)),
            (4, coalesce(r.frequency_from, 0)),
            (5, coalesce(r.frequency_to, 9223372036854775807)),
            (6, CASE r.monetary_from WHEN 'p60' THEN -60 WHEN 'p95' THEN -95
                                     ELSE coalesce(r.monetary_from::bigint, -1) END),
            (7, CASE r.monetary_below WHEN 'p60' THEN -60 WHEN 'p95' THEN -95
                                      ELSE coalesce(r.monetary_below::bigint, -1) END),
            (8, r.p95_positive::integer)) v (n, value);
    IF gap.recency IS NOT NULL THEN
        RAISE EXCEPTION 'the segment rules leave users without a segment' USING ERRCODE = 'XE601',
            DETAIL = CASE WHEN gap.bought
                THEN format('No rule matches recency %s, frequency %s, monetary %s, '
                            'with p60 = %s and p95 = %s and the model "%s".',
                            gap.recency, gap.frequency, gap.monetary,
                            coalesce(gap.p60::text, 'null'), coalesce(gap.p95::text, 'null'),
                            model.model)
                ELSE 'No rule matches a user that never bought anything.' END,
            HINT = 'Add a last rule without conditions.';
    END IF;
END
$$;
COMMENT ON FUNCTION economy_internal.check_segment_rules(jsonb, economy.rfm_models) IS
    'Raises XE601 unless the rules give every possible user of the model a segment.';

CREATE FUNCTION economy.set_segment_rules(rules jsonb, actor text) RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    next_version integer;
    unknown      text;
    message      text;
    failed       text;
    at_column    text;
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.require_given('rules', rules IS NOT NULL);
    IF jsonb_typeof(rules) <> 'array' OR jsonb_array_length(rules) NOT BETWEEN 1 AND 100
       OR EXISTS (SELECT FROM jsonb_array_elements(rules) e WHERE jsonb_typeof(e) <> 'object') THEN
        RAISE EXCEPTION 'rules must be an array of 1 to 100 JSON objects' USING ERRCODE = 'XE601';
    END IF;
    SELECT k INTO unknown FROM jsonb_array_elements(rules) e, jsonb_object_keys(e) k
        WHERE k NOT IN ('segment', 'bought', 'recency_from', 'recency_to', 'frequency_from',
                        'frequency_to', 'monetary_from', 'monetary_below', 'p95_positive')
        LIMIT 1;
    IF found THEN
        RAISE EXCEPTION 'a rule has an unknown key "%"', unknown USING ERRCODE = 'XE601',
            HINT = 'The keys are the conditions of economy.segment_rules; '
                   'the order is that of the array.';
    END IF;
    PERFORM economy_internal.open_tables('segment_rules', 'rfm_models');
    PERFORM economy_internal.lock_name('economy.segment_rules');
    SELECT max(r.version) + 1 INTO next_version FROM economy.segment_rules r;
    BEGIN
        INSERT INTO economy.segment_rules
            SELECT (jsonb_populate_record(NULL::economy.segment_rules,
                        '{"p95_positive": false}' || e.value
                        || jsonb_build_object('version', next_version, 'position', e.ordinality))).*
            FROM jsonb_array_elements(rules) WITH ORDINALITY e
            -- no row that this transaction sees conflicts; one that it cannot see raises 40001
            ON CONFLICT ON CONSTRAINT segment_rules_pkey DO NOTHING;
    EXCEPTION WHEN data_exception OR integrity_constraint_violation THEN
        GET STACKED DIAGNOSTICS
            message = MESSAGE_TEXT, failed = CONSTRAINT_NAME, at_column = COLUMN_NAME;
        RAISE EXCEPTION 'a segment rule is not valid' USING ERRCODE = 'XE601',
            DETAIL = economy_internal.violation('segment_rules', rules, message, failed, at_column)
                     || '.',
            HINT = 'The keys are the conditions of economy.segment_rules; '
                   'the order is that of the array.';
    END;
    PERFORM economy_internal.check_segment_rules(
        (SELECT jsonb_agg(to_jsonb(r)) FROM economy.rfm_rules() r),
        economy.rfm_model(economy_internal.rfm_setting('economy.rfm_model')));
    INSERT INTO economy.segment_rule_changes (version, actor, changed_at)
        VALUES (next_version, actor, economy.now());
    PERFORM economy.note_change('segment_rules', next_version::text, 'set', actor);
    RETURN next_version;
END
$$;
COMMENT ON FUNCTION economy.set_segment_rules(jsonb, text) IS
    'Replaces the segment rules by an array of objects, first match first, '
    'after checking that no user is left without a segment (XE601); '
    'in use from the next rfm_refresh(). Returns their version.';

CREATE TABLE economy.segment_rule_changes (
    version    integer     NOT NULL CONSTRAINT segment_rule_changes_pkey PRIMARY KEY,
    actor      text        NOT NULL,
    changed_at timestamptz NOT NULL
);
SELECT pg_catalog.pg_extension_config_dump('economy.segment_rule_changes', '');
COMMENT ON TABLE economy.segment_rule_changes IS
    'Who put which version of the segment rules in force, and when.';

CREATE FUNCTION economy.set_rfm_model(model jsonb, actor text) RETURNS economy.rfm_models
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    old_row   economy.rfm_models;
    new_row   economy.rfm_models;
    axis      text;
    breaks    numeric[];
    unknown   text;
    message   text;
    failed    text;
    at_column text;
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.require_given('model', model IS NOT NULL);
    IF jsonb_typeof(model) <> 'object' OR model ->> 'model' IS NULL THEN
        RAISE EXCEPTION 'model must be a JSON object with a name, "model"' USING ERRCODE = 'XE603';
    END IF;
    SELECT k INTO unknown FROM jsonb_object_keys(model) k
        WHERE k NOT IN (SELECT a.attname FROM pg_attribute a
                        WHERE a.attrelid = 'economy.rfm_models'::regclass AND a.attnum > 0)
           OR k = 'builtin'
        LIMIT 1;
    IF found THEN
        RAISE EXCEPTION 'model has an unknown key "%"', unknown USING ERRCODE = 'XE603',
            HINT = 'The keys are the column names of economy.rfm_models.';
    END IF;
    PERFORM economy_internal.open_tables('rfm_models');
    SELECT * INTO old_row FROM economy.rfm_models m
        WHERE m.model = set_rfm_model.model ->> 'model' FOR NO KEY UPDATE;
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
        FOR axis, breaks IN
            VALUES ('recency', new_row.recency_breaks), ('frequency', new_row.frequency_breaks),
                   ('monetary', new_row.monetary_breaks)
        LOOP
            IF breaks IS NULL OR array_ndims(breaks) IS DISTINCT FROM 1
               OR cardinality(breaks) <> 4
               OR breaks IS DISTINCT FROM
                  (SELECT array_agg(DISTINCT b ORDER BY b) FROM unnest(breaks) b)
               OR (to_jsonb(new_row) ->> (axis || '_kind') <> 'fixed'
                   AND (breaks[1] <= 0 OR breaks[4] >= 1))
               OR array_position(breaks, NULL) IS NOT NULL
               -- NaN is greater than any number
               OR breaks[1] < 0 OR breaks[4] > 9007199254740991 THEN
                RAISE EXCEPTION '%_breaks must be four rising numbers, '
                                'fractions between 0 and 1 for quantiles', axis
                    USING ERRCODE = 'check_violation';
            END IF;
        END LOOP;
        INSERT INTO economy.rfm_models SELECT (new_row).*
            ON CONFLICT ON CONSTRAINT rfm_models_pkey DO UPDATE SET
                window_days = excluded.window_days,
                recency_clamp = excluded.recency_clamp,
                recency_kind = excluded.recency_kind,
                recency_breaks = excluded.recency_breaks,
                frequency_kind = excluded.frequency_kind,
                frequency_breaks = excluded.frequency_breaks,
                monetary_kind = excluded.monetary_kind,
                monetary_breaks = excluded.monetary_breaks,
                population = excluded.population,
                recency_weight = excluded.recency_weight,
                frequency_weight = excluded.frequency_weight,
                monetary_weight = excluded.monetary_weight;
    EXCEPTION WHEN data_exception OR integrity_constraint_violation THEN
        GET STACKED DIAGNOSTICS
            message = MESSAGE_TEXT, failed = CONSTRAINT_NAME, at_column = COLUMN_NAME;
        RAISE EXCEPTION 'model is not valid' USING ERRCODE = 'XE603',
            DETAIL = economy_internal.violation('rfm_models', model, message, failed, at_column)
                     || '.',
            HINT = 'The keys are the column names of economy.rfm_models.';
    END;
    -- rules that leave users of the model in use without a segment would fail the next refresh
    IF new_row.model = economy_internal.rfm_setting('economy.rfm_model') THEN
        PERFORM economy_internal.check_segment_rules(
            (SELECT jsonb_agg(to_jsonb(r)) FROM economy.rfm_rules() r), new_row);
    END IF;
    PERFORM economy.note_change('rfm_models', new_row.model, 'set', actor);
    RETURN new_row;
END
$$;
COMMENT ON FUNCTION economy.set_rfm_model(jsonb, text) IS
    'Makes a model, from the columns given and those of "standard", or changes one; '
    'rfm_refresh() uses the model that economy.rfm_model names. XE603 for a model that is not '
    'valid or built in, XE601 for that one when the segment rules do not fit.';

-- segment: scores of any table, as a model gives them

-- The measuring is one query, in one place. It is text, because what it measures is a query
-- of the caller. $1 is as_of, for that query, and $2 the model: its value is known when the
-- text is planned, so that what the model does not ask for is not sorted.
CREATE FUNCTION economy_internal.rfm_measure_query(inputs text) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    PERFORM economy_internal.require_given('inputs', inputs IS NOT NULL);
    RETURN format($query$
        SELECT economy_internal.rfm_measured(
                   $2, q.users, q.active, q.recency, q.frequency, q.monetary, q.flat, q.p) AS bounds
        FROM (
            SELECT count(*) AS users, count(*) FILTER (WHERE i.frequency >= 1) AS active,
                   CASE ($2).recency_kind
                       WHEN 'fixed' THEN ($2).recency_breaks
                       WHEN 'quantile' THEN (
                           percentile_disc(($2).recency_breaks::double precision[])
                           WITHIN GROUP (ORDER BY i.recency) FILTER (WHERE i.ranked))::numeric[]
                       ELSE (
                           percentile_cont(($2).recency_breaks::double precision[])
                           WITHIN GROUP (ORDER BY i.recency::double precision)
                           FILTER (WHERE i.ranked))::numeric[] END AS recency,
                   CASE ($2).frequency_kind
                       WHEN 'fixed' THEN ($2).frequency_breaks
                       WHEN 'quantile' THEN (
                           percentile_disc(($2).frequency_breaks::double precision[])
                           WITHIN GROUP (ORDER BY i.frequency) FILTER (WHERE i.ranked))::numeric[]
                       ELSE (
                           percentile_cont(($2).frequency_breaks::double precision[])
                           WITHIN GROUP (ORDER BY i.frequency::double precision)
                           FILTER (WHERE i.ranked))::numeric[] END AS frequency,
                   CASE ($2).monetary_kind
                       WHEN 'fixed' THEN ($2).monetary_breaks
                       WHEN 'quantile' THEN (
                           percentile_disc(($2).monetary_breaks::double precision[])
                           WITHIN GROUP (ORDER BY i.monetary) FILTER (WHERE i.ranked))::numeric[]
                       ELSE (
                           percentile_cont(($2).monetary_breaks::double precision[])
                           WITHIN GROUP (ORDER BY i.monetary::double precision)
                           FILTER (WHERE i.ranked))::numeric[] END AS monetary,
                   -- an axis on which all have one value ranks nobody
                   ARRAY[
                       ($2).recency_kind <> 'fixed' AND min(i.recency) FILTER (WHERE i.ranked)
                           IS NOT DISTINCT FROM max(i.recency) FILTER (WHERE i.ranked),
                       ($2).frequency_kind <> 'fixed' AND min(i.frequency) FILTER (WHERE i.ranked)
                           IS NOT DISTINCT FROM max(i.frequency) FILTER (WHERE i.ranked),
                       ($2).monetary_kind <> 'fixed' AND min(i.monetary) FILTER (WHERE i.ranked)
                           IS NOT DISTINCT FROM max(i.monetary) FILTER (WHERE i.ranked)] AS flat,
                   (percentile_disc(ARRAY[0.5, 0.6, 0.95]) WITHIN GROUP (ORDER BY i.monetary)
                    FILTER (WHERE i.frequency >= 1))::numeric[] AS p
            FROM (SELECT r.recency, r.frequency, r.monetary,
                         ($2).population = 'all' OR r.frequency >= 1 AS ranked
                  FROM (%s) r WHERE r.recency IS NOT NULL) i) q
        $query$, inputs);
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_measure_query(text) IS
    'A query, with $1 for as_of and $2 for a model, for the bounds that the model finds in the '
    'rows (recency, frequency, monetary) of a query.';

CREATE FUNCTION economy_internal.rfm_measured(
    model economy.rfm_models, users bigint, active bigint, recency numeric[], frequency numeric[],
    monetary numeric[], flat boolean[], p numeric[]
) RETURNS economy.score_bounds
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    plus_one CONSTANT text := 'quantile_plus_one';
    result   economy.score_bounds;
BEGIN
    result.users := users;
    result.active := active;
    result.recency := CASE WHEN model.recency_kind = plus_one
        THEN (SELECT array_agg(b + 1 ORDER BY b) FROM unnest(recency) b) ELSE recency END;
    result.frequency := CASE WHEN model.frequency_kind = plus_one
        THEN (SELECT array_agg(b + 1 ORDER BY b) FROM unnest(frequency) b) ELSE frequency END;
    result.monetary := CASE WHEN model.monetary_kind = plus_one
        THEN (SELECT array_agg(b + 1 ORDER BY b) FROM unnest(monetary) b) ELSE monetary END;
    result.p50 := p[1];
    result.p60 := p[2];
    result.p95 := p[3];
    result.degenerate := ARRAY(
        SELECT v.name FROM (VALUES (1, 'recency'), (2, 'frequency'), (3, 'monetary')) v (n, name)
        WHERE flat[v.n] ORDER BY v.n);
    RETURN result;
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_measured(
    economy.rfm_models, bigint, bigint, numeric[], numeric[], numeric[], boolean[], numeric[]) IS
    'The bounds of a model out of what rfm_measure_query() counts.';

CREATE FUNCTION economy_internal.rfm_measure(
    model economy.rfm_models, inputs text, as_of timestamptz
) RETURNS economy.score_bounds
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC'
    SET datestyle = 'ISO, YMD' AS $$
DECLARE
    measured record;
BEGIN
    PERFORM economy_internal.require_given('model', model.model IS NOT NULL);
    -- EXECUTE, because the rows are those of the caller's query
    EXECUTE economy_internal.rfm_measure_query(inputs) INTO measured USING as_of, model;
    RETURN measured.bounds;
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_measure(economy.rfm_models, text, timestamptz) IS
    'The bounds that a model finds in the rows (recency, frequency, monetary) of a query with $1 '
    'for as_of, which runs with the caller''s privileges.';

CREATE FUNCTION economy_internal.rfm_source_check(source text) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC'
    SET datestyle = 'ISO, YMD' AS $$
DECLARE
    times   CONSTANT text[] := '{timestamp with time zone,timestamp without time zone,date}';
    kind    text;
    wrong   bigint;
    message text;
BEGIN
    -- EXECUTE, because what is looked at is a query of the caller
    BEGIN
        -- pg_typeof() puts a name in quotes where the session quotes all of them
        EXECUTE format($query$
            SELECT btrim(pg_typeof((SELECT s.ts FROM (%1$s) s LIMIT 1))::text, '"'),
                   (SELECT count(s.id::text) + count(s.amount::numeric) FROM (%1$s) s WHERE false)
            $query$, source) INTO kind, wrong;
        IF kind = ANY (times) THEN
            EXECUTE format($query$
                SELECT count(*) FROM (%s) s
                WHERE s.id IS NULL OR isfinite(s.ts) IS NOT TRUE OR s.amount IS NULL
                   OR s.amount::numeric IN ('NaN', 'Infinity', '-Infinity')
                $query$, source) INTO wrong;
        END IF;
    EXCEPTION WHEN undefined_column OR cannot_coerce OR invalid_text_representation
            OR undefined_table OR syntax_error THEN
        GET STACKED DIAGNOSTICS message = MESSAGE_TEXT;
        RAISE EXCEPTION 'source must have the columns id, ts and amount'
            USING ERRCODE = 'XE604', DETAIL = message || '.',
            HINT = 'For a table of another shape, give economy.rfm_score_query() a query; '
                   'qualify its names.';
    END;
    IF kind <> ALL (times) THEN
        RAISE EXCEPTION 'ts must be a date or a timestamp'
            USING ERRCODE = 'XE604', DETAIL = format('It is of type %s.', kind);
    END IF;
    IF wrong > 0 THEN
        RAISE EXCEPTION 'source has % rows with a null id, ts or amount, or one that is not finite',
            wrong USING ERRCODE = 'XE604';
    END IF;
    RETURN kind;
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_source_check(text) IS
    'The type of ts of a query for (id, ts, amount); XE604 when that is no such query.';

CREATE FUNCTION economy_internal.rfm_source(
    model economy.rfm_models, source text, as_of timestamptz
) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC'
    SET datestyle = 'ISO, YMD' AS $$
DECLARE
    at_utc   CONSTANT text := $query$(s.ts::timestamp AT TIME ZONE 'UTC')$query$;
    counting CONSTANT text := $query$i.at > $1 - %s * interval '24 hours'$query$;
    kind     text;
BEGIN
    PERFORM economy_internal.require_given('source', source IS NOT NULL);
    PERFORM economy_internal.require_given('as_of', as_of IS NOT NULL);
    IF NOT isfinite(as_of) THEN
        RAISE EXCEPTION 'as_of must be a finite time' USING ERRCODE = 'XE002';
    END IF;
    kind := economy_internal.rfm_source_check(source);
    -- a negative amount is a return, and no purchase
    RETURN format($query$
        SELECT i.id,
               least(($1 AT TIME ZONE 'UTC')::date - (max(i.at) AT TIME ZONE 'UTC')::date, %1$s)
                   AS recency,
               count(*) FILTER (WHERE %2$s) AS frequency,
               coalesce(sum(i.amount) FILTER (WHERE %2$s), 0) AS monetary
        FROM (SELECT s.id::text AS id, %3$s AS at, s.amount::numeric AS amount
              FROM (%4$s) s WHERE s.amount::numeric >= 0) i
        WHERE i.at <= $1 GROUP BY i.id
        $query$,
        coalesce(model.recency_clamp::text, 'NULL'),
        CASE WHEN model.window_days IS NULL THEN 'true'
             ELSE format(counting, model.window_days) END,
        CASE kind WHEN 'timestamp with time zone' THEN 's.ts' ELSE at_utc END, source);
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_source(economy.rfm_models, text, timestamptz) IS
    'A query, with $1 for as_of, for recency, frequency and monetary per id of a query for '
    '(id, ts, amount); XE604 when that is no such query.';

CREATE FUNCTION economy.rfm_bounds_query(model text, query text, as_of timestamptz)
    RETURNS economy.score_bounds
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC'
    SET datestyle = 'ISO, YMD' AS $$
DECLARE
    definition economy.rfm_models := economy.rfm_model(model);
    inputs     text := economy_internal.rfm_source(definition, query, as_of);
BEGIN
    RETURN economy_internal.rfm_measure(definition, inputs, as_of);
END
$$;
COMMENT ON FUNCTION economy.rfm_bounds_query(text, text, timestamptz) IS
    'rfm_bounds() of a query with the columns id, ts and amount.';

CREATE FUNCTION economy.rfm_bounds(model text, source regclass, as_of timestamptz)
    RETURNS economy.score_bounds
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC'
    SET datestyle = 'ISO, YMD' AS $$
BEGIN
    RETURN economy.rfm_bounds_query(model, 'SELECT id, ts, amount FROM ' || source, as_of);
END
$$;
COMMENT ON FUNCTION economy.rfm_bounds(text, regclass, timestamptz) IS
    'The bounds that a model finds in a table with the columns id, ts and amount, '
    'with the caller''s privileges.';

CREATE FUNCTION economy_internal.rfm_score_expression(
    axis text, kind text, bounds numeric[], degenerate boolean, population text
) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT CASE
            WHEN degenerate AND axis <> 'recency' AND population = 'active'
                THEN 'CASE WHEN i.frequency >= 1 THEN 3 ELSE 1 END'
            WHEN degenerate THEN '3'
            ELSE (
                -- each bound that the value has passed is a point
                SELECT CASE axis WHEN 'recency' THEN '5 - (' ELSE '1 + (' END
                       || string_agg(
                              '(i.' || quote_ident(axis)
                              || CASE kind WHEN 'quantile_plus_one' THEN ' >= ' ELSE ' > ' END
                              || quote_nullable(b) || '::numeric)::integer',
                              ' + ') || ')'
                FROM unnest(bounds) b) END;
    END;
COMMENT ON FUNCTION economy_internal.rfm_score_expression(text, text, numeric[], boolean, text) IS
    'An SQL expression for the score of a row i on an axis: 3 for all who are ranked on one that '
    'is degenerate.';

CREATE FUNCTION economy.rfm_score_query(model text, query text, as_of timestamptz)
    RETURNS TABLE (
        id text, recency_days integer, frequency bigint, monetary numeric, r integer, f integer,
        m integer, score numeric, segment text
    )
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC'
    SET datestyle = 'ISO, YMD' AS $$
DECLARE
    definition economy.rfm_models := economy.rfm_model(model);
    inputs     text := economy_internal.rfm_source(definition, query, as_of);
    bounds     economy.score_bounds := economy_internal.rfm_measure(definition, inputs, as_of);
    rules      jsonb := (SELECT jsonb_agg(to_jsonb(g)) FROM economy.rfm_rules() g);
BEGIN
    -- EXECUTE, because the rows are those of the caller's query
    RETURN QUERY EXECUTE format($query$
        WITH rules AS MATERIALIZED (SELECT * FROM economy.rfm_rule_ranges($5, $6, $7, $8))
        SELECT s.id, s.recency, s.frequency, s.monetary, s.r, s.f, s.m,
               $2 * s.r + $3 * s.f + $4 * s.m,
               (SELECT g.segment FROM rules g
                WHERE (g.bought IS NULL OR g.bought)
                  AND s.recency BETWEEN g.recency_from AND g.recency_to
                  AND s.frequency BETWEEN g.frequency_from AND g.frequency_to
                  AND s.monetary >= g.monetary_from AND s.monetary > g.monetary_above
                  AND s.monetary < g.monetary_below AND s.monetary <= g.monetary_to
                ORDER BY g.position LIMIT 1)
        FROM (SELECT i.*, %s AS r, %s AS f, %s AS m FROM (%s) i) s
        $query$,
        economy_internal.rfm_score_expression(
            'recency', definition.recency_kind, bounds.recency,
            'recency' = ANY (bounds.degenerate), definition.population),
        economy_internal.rfm_score_expression(
            'frequency', definition.frequency_kind, bounds.frequency,
            'frequency' = ANY (bounds.degenerate), definition.population),
        economy_internal.rfm_score_expression(
            'monetary', definition.monetary_kind, bounds.monetary,
            'monetary' = ANY (bounds.degenerate), definition.population),
        inputs)
        USING as_of, definition.recency_weight, definition.frequency_weight,
              definition.monetary_weight, rules, bounds.p50, bounds.p60, bounds.p95;
END
$$;
COMMENT ON FUNCTION economy.rfm_score_query(text, text, timestamptz) IS
    'rfm_score() of a query with the columns id, ts and amount.';

CREATE FUNCTION economy.rfm_score(model text, source regclass, as_of timestamptz)
    RETURNS TABLE (
        id text, recency_days integer, frequency bigint, monetary numeric, r integer, f integer,
        m integer, score numeric, segment text
    )
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC'
    SET datestyle = 'ISO, YMD' AS $$
BEGIN
    PERFORM economy_internal.require_given('source', source IS NOT NULL);
    RETURN QUERY SELECT * FROM economy.rfm_score_query(
        model, 'SELECT id, ts, amount FROM ' || source, as_of);
END
$$;
COMMENT ON FUNCTION economy.rfm_score(text, regclass, timestamptz) IS
    'Scores a table with the columns id, ts and amount by a model, a row per id with a row up to '
    'as_of; runs with the caller''s privileges.';
-- segment: what is kept of the users' scores, and where the refreshes stand

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
SELECT pg_catalog.pg_extension_config_dump('economy.user_segments', '');
COMMENT ON TABLE economy.user_segments IS
    'Scores and segment of each user that ever bought, as of the last refresh, '
    'with the daily buckets they come from.';
COMMENT ON COLUMN economy.user_segments.seq IS
    'Newest purchase in the buckets; purchases of a user commit in the order of seq.';
COMMENT ON COLUMN economy.user_segments.frequency IS 'Purchases in the window.';
COMMENT ON COLUMN economy.user_segments.monetary IS
    'Their sum in minor units of money, at most 2^63-1.';
COMMENT ON COLUMN economy.user_segments.segment_since IS
    'As-of time of the refresh that put the user in this segment.';
COMMENT ON COLUMN economy.user_segments.next_change_at IS
    'When this row changes without a new purchase: one leaves the window, '
    'or a day more of recency matters. No index holds it, so that rows stay on their page: '
    'who is due is in economy_internal.rfm_due.';
COMMENT ON COLUMN economy.user_segments.changes IS 'Rows of the user in segment_history.';
COMMENT ON COLUMN economy.user_segments.buckets IS
    'Purchases by UTC day, packed; economy.rfm_days shows them.';

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
COMMENT ON TABLE economy.segment_history IS
    'Every change of a user''s segment: from, to, when, and by the bounds of which snapshot.';
COMMENT ON COLUMN economy.segment_history.changed_at IS
    'As-of time of the refresh that found the change.';

CREATE TABLE economy.rfm_snapshots (
    snapshot_id bigint      NOT NULL CONSTRAINT rfm_snapshots_pkey PRIMARY KEY,
    as_of       timestamptz NOT NULL,
    model       jsonb       NOT NULL,
    rules       jsonb       NOT NULL,
    recency_bounds   numeric[],
    frequency_bounds numeric[],
    monetary_bounds  numeric[],
    p50         numeric,
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
    'Full refreshes: the model, rules and bounds that everything is '
    'scored against until the next one.';
COMMENT ON COLUMN economy.rfm_snapshots.degenerate IS
    'Axes (recency, frequency, monetary) on which all who were '
    'ranked have one value: they score 3.';
COMMENT ON COLUMN economy.rfm_snapshots.users IS
    'Accounts that were there, also without a purchase.';
COMMENT ON COLUMN economy.rfm_snapshots.active IS 'Users with a purchase in the window.';
COMMENT ON COLUMN economy.rfm_snapshots.changed IS 'Rows of user_segments that it wrote.';
COMMENT ON COLUMN economy.rfm_snapshots.program IS
    'Model, bounds and rules, compiled by rfm_program().';
COMMENT ON COLUMN economy.rfm_snapshots.segments IS 'Segment of each rule in the program.';

CREATE TABLE economy.rfm_state (
    only_row      boolean     NOT NULL DEFAULT true CONSTRAINT rfm_state_pkey PRIMARY KEY
        CONSTRAINT rfm_state_only_row_check CHECK (only_row),
    snapshot_id   bigint      NOT NULL,
    as_of         timestamptz NOT NULL,
    refreshed_at  timestamptz NOT NULL,
    installation  bigint      NOT NULL,
    seen_before   bigint      NOT NULL,
    summarised    bigint      NOT NULL,
    change_lag    interval,
    next_user     bigint,
    written       bigint      NOT NULL DEFAULT 0,
    spent         interval    NOT NULL DEFAULT '0'
);
SELECT pg_catalog.pg_extension_config_dump('economy.rfm_state', '');
COMMENT ON TABLE economy.rfm_state IS 'Where the refreshes stand: one row after the first.';
COMMENT ON COLUMN economy.rfm_state.as_of IS 'The moment that user_segments describes.';
COMMENT ON COLUMN economy.rfm_state.installation IS
    'Digest of the installation that seen_before belongs to; '
    'another one, a restore or a copy, reads the whole journal once.';
COMMENT ON COLUMN economy.rfm_state.seen_before IS
    'Every purchase of a transaction before this one is in the buckets.';
COMMENT ON COLUMN economy.rfm_state.summarised IS
    'Blocks of the journal that its BRIN index summarises.';
COMMENT ON COLUMN economy.rfm_state.change_lag IS
    'At the last refresh: how long the oldest thing it took up had been waiting.';
COMMENT ON COLUMN economy.rfm_state.next_user IS
    'From this user on the rows are still scored by an earlier snapshot: '
    'a full refresh writes them batch by batch. Null when all are done.';
COMMENT ON COLUMN economy.rfm_state.written IS
    'Rows of user_segments that the full refresh wrote so far.';
COMMENT ON COLUMN economy.rfm_state.spent IS 'How long its transactions took so far.';

CREATE TABLE economy_internal.rfm_reversals (
    user_id bigint  NOT NULL,
    seq     bigint  NOT NULL,
    applied boolean NOT NULL DEFAULT false,
    CONSTRAINT rfm_reversals_pkey PRIMARY KEY (user_id, seq)
);
CREATE INDEX rfm_reversals_applied_idx
    ON economy_internal.rfm_reversals (user_id) WHERE NOT applied;
SELECT pg_catalog.pg_extension_config_dump('economy_internal.rfm_reversals', '');
COMMENT ON TABLE economy_internal.rfm_reversals IS
    'Purchases that were taken back and count no longer.';
COMMENT ON COLUMN economy_internal.rfm_reversals.applied IS
    'The day of the purchase no longer holds it.';

CREATE TABLE economy_internal.rfm_due (
    due_hour timestamptz NOT NULL,
    chunk    bigint      NOT NULL,
    users    bigint[]    NOT NULL,
    CONSTRAINT rfm_due_pkey PRIMARY KEY (due_hour, chunk)
);
ALTER TABLE economy_internal.rfm_due ALTER COLUMN users SET STORAGE EXTERNAL;
SELECT pg_catalog.pg_extension_config_dump('economy_internal.rfm_due', '');
COMMENT ON TABLE economy_internal.rfm_due IS
    'Whose row of user_segments changes by time alone, by the hour of next_change_at. Each is in '
    'the chunk of that hour; one who is in another as well was to change then, and no more.';
COMMENT ON COLUMN economy_internal.rfm_due.due_hour IS
    'The UTC hour; -infinity: at the next refresh.';
COMMENT ON COLUMN economy_internal.rfm_due.chunk IS 'Each refresh adds one to an hour.';
COMMENT ON COLUMN economy_internal.rfm_due.users IS 'Their ids, rising.';
-- segment: the days of purchases that scores come from, and how they follow the journal

CREATE FUNCTION economy_internal.rfm_pack_add(
    state internal, at timestamptz, monetary bigint, seq bigint
) RETURNS internal
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_rfm_pack_add';
COMMENT ON FUNCTION economy_internal.rfm_pack_add(internal, timestamptz, bigint, bigint) IS
    'Step of the aggregate rfm_pack().';
CREATE FUNCTION economy_internal.rfm_pack_end(state internal) RETURNS bytea
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_rfm_pack_end';
COMMENT ON FUNCTION economy_internal.rfm_pack_end(internal) IS 'End of the aggregate rfm_pack().';
CREATE AGGREGATE economy_internal.rfm_pack(at timestamptz, monetary bigint, seq bigint) (
    SFUNC = economy_internal.rfm_pack_add, STYPE = internal, SSPACE = 400,
    FINALFUNC = economy_internal.rfm_pack_end, PARALLEL = SAFE
);
COMMENT ON AGGREGATE economy_internal.rfm_pack(timestamptz, bigint, bigint) IS
    'A user''s purchases as packed daily buckets; any order of rows.';

CREATE FUNCTION economy_internal.rfm_merge(a bytea, b bytea) RETURNS bytea
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_rfm_merge';
COMMENT ON FUNCTION economy_internal.rfm_merge(bytea, bytea) IS
    'The days of two packed strings together.';

CREATE FUNCTION economy_internal.rfm_buckets(
    buckets bytea,
    OUT day date, OUT purchases bigint, OUT monetary bigint, OUT first_at timestamptz,
    OUT last_at timestamptz, OUT first_seq bigint, OUT last_seq bigint
) RETURNS SETOF record
    LANGUAGE c IMMUTABLE PARALLEL SAFE ROWS 10 AS 'MODULE_PATHNAME', 'eco_rfm_buckets';
COMMENT ON FUNCTION economy_internal.rfm_buckets(bytea) IS
    'The days of packed buckets, the newest first.';

CREATE VIEW economy.rfm_days AS
    SELECT u.user_id, b.day, b.purchases, b.monetary, b.first_at, b.last_at, b.first_seq, b.last_seq
    FROM economy.user_segments u CROSS JOIN LATERAL economy_internal.rfm_buckets(u.buckets) b;
COMMENT ON VIEW economy.rfm_days IS
    'Daily buckets: purchases and their sum per user and UTC day, as of the last refresh.';

CREATE FUNCTION economy_internal.rfm_window(
    user_id bigint, buckets bytea, as_of timestamptz, window_us bigint,
    OUT last_on date, OUT frequency bigint, OUT monetary bigint
)
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_rfm_window';
COMMENT ON FUNCTION economy_internal.rfm_window(bigint, bytea, timestamptz, bigint) IS
    'Day of the last purchase up to as_of, and number and sum of those in the window before it, '
    'in microseconds, 0 for all time.';

CREATE FUNCTION economy_internal.rfm_reverse(user_id bigint, seq bigint) RETURNS boolean
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
    RETURN found;
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_reverse(bigint, bigint) IS
    'Takes a purchase that was reversed out of its day at the next refresh; '
    'false when it is out already or there is none. For the function that reverses '
    'purchases, in its transaction.';

CREATE FUNCTION economy_internal.rfm_installation() RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        -- a copy in the same cluster is another one, too: what it brings was not there before
        SELECT hashtextextended(format('%s %s %s', c.system_identifier, d.oid, e.oid), 0)
        FROM pg_control_system() c
        CROSS JOIN pg_database d CROSS JOIN pg_extension e
        WHERE d.datname = current_database() AND e.extname = 'economy';
    END;
COMMENT ON FUNCTION economy_internal.rfm_installation() IS
    'Digest of what names this installation: cluster, database and extension.';

CREATE FUNCTION economy_internal.rfm_unsee(state economy.rfm_state) RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT CASE WHEN state.installation = economy_internal.rfm_installation()
                    THEN state.seen_before ELSE 0 END;
    END;
COMMENT ON FUNCTION economy_internal.rfm_unsee(economy.rfm_state) IS
    'The first transaction whose purchases may not be in the buckets yet.';

CREATE VIEW economy_internal.rfm_purchases AS
    SELECT t.user_id, t.seq, t.created_at, t.monetary, t.xact, t.position
    FROM economy_internal.shop_purchases t
    WHERE t.status = 'SUCCESS'
      AND NOT EXISTS (SELECT FROM economy_internal.rfm_reversals r
                      WHERE r.user_id = t.user_id AND r.seq = t.seq);
COMMENT ON VIEW economy_internal.rfm_purchases IS
    'Purchases that count: those that were not reversed.';

CREATE FUNCTION economy_internal.rfm_due_hour(at timestamptz) RETURNS timestamptz
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_rfm_due_hour';
COMMENT ON FUNCTION economy_internal.rfm_due_hour(timestamptz) IS
    'The UTC hour of a moment, by which rfm_due is kept.';

-- Whoever changes next_change_at to another hour says so here, in the same transaction.
CREATE FUNCTION economy_internal.rfm_await(users bigint[], hours timestamptz[]) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    -- the plan that a session keeps is for an empty table, too
    SET search_path = pg_catalog, economy, pg_temp SET enable_seqscan = off AS $$
BEGIN
    INSERT INTO economy_internal.rfm_due (due_hour, chunk, users)
        SELECT w.due_hour,
               coalesce((SELECT max(d.chunk) FROM economy_internal.rfm_due d
                         WHERE d.due_hour = w.due_hour), 0) + 1,
               w.users
        FROM (SELECT n.due_hour, array_agg(n.user_id ORDER BY n.user_id) AS users
              FROM unnest(rfm_await.users, rfm_await.hours) n (user_id, due_hour)
              WHERE n.due_hour < 'infinity' GROUP BY n.due_hour) w;
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_await(bigint[], timestamptz[]) IS
    'Puts users into rfm_due, each by an hour of its own; null and infinity are no hour.';

CREATE FUNCTION economy_internal.rfm_take_due(as_of timestamptz) RETURNS bigint[]
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET enable_seqscan = off AS $$
DECLARE
    due bigint[];
BEGIN
    WITH taken AS (
        DELETE FROM economy_internal.rfm_due d WHERE d.due_hour <= as_of RETURNING d.users
    )
    SELECT coalesce(array_agg(DISTINCT n.user_id), '{}') INTO due
    FROM taken t CROSS JOIN LATERAL unnest(t.users) n (user_id) WHERE n.user_id IS NOT NULL;
    RETURN due;
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_take_due(timestamptz) IS
    'Takes the hours up to that of a moment out of rfm_due, and returns their users, rising: '
    'who of them is not due yet is to be put back.';

CREATE FUNCTION economy_internal.rfm_awaited(
    at timestamptz, OUT user_id bigint, OUT next_change_at timestamptz
) RETURNS SETOF record
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp SET enable_seqscan = off AS $$
BEGIN
    RETURN QUERY
        SELECT DISTINCT u.user_id, u.next_change_at
        FROM economy_internal.rfm_due d
        CROSS JOIN LATERAL unnest(d.users) n (user_id)
        JOIN economy.user_segments u USING (user_id)
        WHERE d.due_hour <= rfm_awaited.at AND u.next_change_at <= rfm_awaited.at;
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_awaited(timestamptz) IS
    'The users that rfm_due holds and whose row is no longer right at a moment.';

CREATE FUNCTION economy_internal.rfm_await_all(max_users integer DEFAULT 100000) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET enable_seqscan = off AS $$
DECLARE
    from_user bigint := -9223372036854775808;
    waiting   record;
BEGIN
    DELETE FROM economy_internal.rfm_due;
    -- in parts, so that neither what is gathered nor a chunk grows with the table
    LOOP
        SELECT array_agg(n.user_id) AS users, array_agg(n.due_hour) AS hours,
               max(n.user_id) AS last
        INTO waiting
        FROM (SELECT u.user_id, economy_internal.rfm_due_hour(u.next_change_at) AS due_hour
              FROM economy.user_segments u
              WHERE u.user_id >= from_user AND u.next_change_at < 'infinity'
              ORDER BY u.user_id LIMIT max_users) n;
        EXIT WHEN waiting.last IS NULL;
        PERFORM economy_internal.rfm_await(waiting.users, waiting.hours);
        EXIT WHEN waiting.last = 9223372036854775807;
        from_user := waiting.last + 1;
    END LOOP;
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_await_all(integer) IS
    'Makes rfm_due anew, out of the rows of user_segments, of so many users at a time.';

CREATE FUNCTION economy_internal.rfm_apply_reversals(
    first_user bigint DEFAULT '-9223372036854775808', last_user bigint DEFAULT 9223372036854775807
) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    awaited text;
BEGIN
    -- most often there is none, and the statement below is not even planned
    IF NOT EXISTS (SELECT FROM economy_internal.rfm_reversals r WHERE NOT r.applied) THEN
        RETURN;
    END IF;
    -- EXECUTE, so that it is planned for the tables as they are now
    EXECUTE $query$
        WITH taken AS (
            UPDATE economy_internal.rfm_reversals r SET applied = true
            WHERE NOT r.applied AND r.user_id BETWEEN $1 AND $2
            RETURNING r.user_id, r.seq
        ), recounted AS (
            -- next_change_at: so that the incremental refresh looks at them
            UPDATE economy.user_segments u SET next_change_at = '-infinity', buckets = coalesce((
                SELECT economy_internal.rfm_pack(t.created_at, t.monetary, t.seq)
                FROM economy_internal.rfm_purchases t
                WHERE t.user_id = u.user_id AND t.seq <= u.seq), '')
            WHERE u.user_id IN (
                SELECT k.user_id FROM taken k
                JOIN economy.user_segments s ON s.user_id = k.user_id AND k.seq <= s.seq)
            RETURNING u.user_id, u.next_change_at
        )
        SELECT economy_internal.rfm_await(array_agg(c.user_id), array_agg(c.next_change_at))
        FROM recounted c
        $query$ INTO awaited USING first_user, last_user;
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_apply_reversals(bigint, bigint) IS
    'Recounts the days of users with purchases that were reversed since the last refresh.';

CREATE VIEW economy_internal.rfm_unfolded AS
    SELECT t.user_id, t.seq, t.created_at, t.monetary, t.xact, t.position
    FROM economy_internal.shop_purchases t
    LEFT JOIN economy.user_segments u USING (user_id)
    WHERE t.status = 'SUCCESS' AND t.seq > coalesce(u.seq, 0)
      AND NOT EXISTS (SELECT FROM economy_internal.rfm_reversals r
                      WHERE r.user_id = t.user_id AND r.seq = t.seq);
COMMENT ON VIEW economy_internal.rfm_unfolded IS
    'Purchases that are not in the buckets yet; those since rfm_state.seen_before '
    'are all, and found by an index.';

CREATE FUNCTION economy_internal.rfm_fold(
    transaction bigint, unheld boolean,
    OUT user_id bigint, OUT first_seq bigint, OUT seq bigint, OUT since timestamptz,
    OUT buckets bytea
) RETURNS SETOF record
    LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_rfm_fold';
COMMENT ON FUNCTION economy_internal.rfm_fold(bigint, boolean) IS
    'Purchases of a transaction and later ones, as packed buckets of each user, '
    'in the order of users; or only those of them that user_segments does not hold.';

CREATE VIEW economy_internal.rfm_fresh AS
    SELECT f.user_id, f.seq, u.ctid AS place,
           -- a transaction that was open for long has the purchases of others read again
           CASE WHEN f.first_seq > coalesce(u.seq, 0) THEN f.since
                ELSE (SELECT min(t.created_at) FROM economy_internal.rfm_unfolded t
                      WHERE t.user_id = f.user_id) END AS since,
           CASE WHEN u.user_id IS NULL THEN f.buckets
                WHEN f.first_seq > u.seq THEN economy_internal.rfm_merge(u.buckets, f.buckets)
                ELSE economy_internal.rfm_merge(u.buckets, (
                    SELECT economy_internal.rfm_pack(t.created_at, t.monetary, t.seq)
                    FROM economy_internal.rfm_unfolded t WHERE t.user_id = f.user_id))
           END AS buckets
    FROM (SELECT coalesce((SELECT economy_internal.rfm_unsee(s) FROM economy.rfm_state s), 0)
              AS transaction) s
    CROSS JOIN LATERAL economy_internal.rfm_fold(s.transaction, s.transaction = 0) f
    LEFT JOIN economy.user_segments u USING (user_id)
    WHERE f.seq > coalesce(u.seq, 0);
COMMENT ON VIEW economy_internal.rfm_fresh IS
    'Users with purchases that are not in their buckets yet: where their row of user_segments '
    'is, and the buckets with them.';

CREATE FUNCTION economy_internal.rfm_rebuild(
    never text, first_user bigint DEFAULT NULL, last_user bigint DEFAULT NULL
) RETURNS bigint
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        DELETE FROM economy.user_segments u
        WHERE (first_user IS NULL OR u.user_id BETWEEN first_user AND last_user)
          AND NOT EXISTS (SELECT FROM economy.accounts a WHERE a.user_id = u.user_id);
        WITH folded AS MATERIALIZED (
            SELECT f.user_id, f.seq, f.buckets FROM economy_internal.rfm_fold(0, false) f
            WHERE first_user IS NULL
            UNION ALL
            SELECT t.user_id, max(t.seq), economy_internal.rfm_pack(t.created_at, t.monetary, t.seq)
            FROM economy_internal.rfm_purchases t
            WHERE t.user_id BETWEEN first_user AND last_user
            GROUP BY t.user_id
        ), last AS MATERIALIZED (
            SELECT DISTINCT ON (h.user_id) h.user_id, h.change_no, h.to_segment, h.changed_at
            FROM economy.segment_history h
            WHERE first_user IS NULL OR h.user_id BETWEEN first_user AND last_user
            ORDER BY h.user_id, h.change_no DESC
        ), repaired AS (
            UPDATE economy.user_segments u
            SET seq = d.seq, buckets = d.buckets, changes = d.changes, segment = d.segment,
                segment_since = d.segment_since
            FROM (SELECT u.user_id, coalesce(f.seq, 0) AS seq, coalesce(f.buckets, '') AS buckets,
                         coalesce(l.change_no, 0) AS changes,
                         coalesce(l.to_segment, u.segment) AS segment,
                         coalesce(l.changed_at, u.segment_since) AS segment_since
                  FROM economy.user_segments u
                  JOIN economy.accounts a USING (user_id)
                  LEFT JOIN folded f USING (user_id)
                  LEFT JOIN last l USING (user_id)
                  WHERE (first_user IS NULL OR u.user_id BETWEEN first_user AND last_user)
                    -- where the newest purchase was reversed, seq may be beyond those that count
                    AND (u.buckets <> coalesce(f.buckets, '')
                         OR u.seq NOT BETWEEN coalesce(f.seq, 0) AND a.seq
                         OR (u.changes, u.segment, u.segment_since) IS DISTINCT FROM
                            (coalesce(l.change_no, 0), coalesce(l.to_segment, u.segment),
                             coalesce(l.changed_at, u.segment_since)))) d
            WHERE u.user_id = d.user_id
            RETURNING 1
        ), added AS (
            INSERT INTO economy.user_segments
                (user_id, seq, segment, segment_since, changes, buckets)
            SELECT f.user_id, f.seq, coalesce(l.to_segment, never), l.changed_at,
                   coalesce(l.change_no, 0), f.buckets
            FROM folded f
            LEFT JOIN last l USING (user_id)
            WHERE NOT EXISTS (SELECT FROM economy.user_segments u WHERE u.user_id = f.user_id)
              AND EXISTS (SELECT FROM economy.accounts a WHERE a.user_id = f.user_id)
            RETURNING 1
        )
        SELECT (SELECT count(*) FROM repaired) + (SELECT count(*) FROM added);
    END;
COMMENT ON FUNCTION economy_internal.rfm_rebuild(text, bigint, bigint) IS
    'Compares user_segments with the journal and segment_history, and puts right what differs, '
    'of all users or of those from one to another; how many rows.';
-- segment: a model, its bounds and the rules, frozen and compiled; a user is scored by that

CREATE FUNCTION economy_internal.rfm_assess(
    user_id bigint, buckets bytea, as_of timestamptz, program bigint[], segments text[],
    before_frequency bigint, before_monetary bigint, before_r smallint, before_f smallint,
    before_m smallint, before_segment text, before_next_change_at timestamptz,
    OUT frequency bigint, OUT monetary bigint, OUT r smallint, OUT f smallint, OUT m smallint,
    OUT segment text, OUT next_change_at timestamptz, OUT recency_days integer
)
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_rfm_assess';
COMMENT ON FUNCTION economy_internal.rfm_assess(
    bigint, bytea, timestamptz, bigint[], text[], bigint, bigint, smallint, smallint, smallint,
    text, timestamptz) IS
    'Scores and segment of a user by a compiled snapshot; '
    'null when they are what they were before.';

CREATE FUNCTION economy_internal.rfm_program(
    snapshot economy.rfm_snapshots,
    OUT program bigint[], OUT segments text[]
)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH axis (n, name, bounds) AS (
            VALUES (1, 'recency', snapshot.recency_bounds),
                   (2, 'frequency', snapshot.frequency_bounds),
                   (3, 'monetary', snapshot.monetary_bounds)
        ), ranges AS (
            SELECT g.* FROM economy.rfm_rule_ranges(
                snapshot.rules, snapshot.p50, snapshot.p60, snapshot.p95) g
        ), word (part, n, value) AS (
            SELECT 1, 1, coalesce((snapshot.model ->> 'window_days')::bigint * 86400000000, 0)
            UNION ALL
            SELECT 1, 2, coalesce((snapshot.model ->> 'recency_clamp')::bigint, 1000000)
            UNION ALL
            SELECT 1, 3, (snapshot.model ->> 'population' = 'all')::integer
            UNION ALL
            SELECT 2, a.n, (a.name = ANY (snapshot.degenerate))::integer FROM axis a
            UNION ALL
            -- the least whole number that has passed the bound
            SELECT 3, a.n * 10 + i,
                   coalesce(CASE snapshot.model ->> (a.name || '_kind')
                                WHEN 'quantile_plus_one' THEN ceil(a.bounds[i])
                                ELSE floor(a.bounds[i]) + 1 END::bigint, 0)
            FROM axis a CROSS JOIN generate_series(1, 4) i
            UNION ALL
            SELECT 4, g.position * 10 + v.n, v.value
            FROM ranges g
            CROSS JOIN LATERAL (VALUES
                (1, coalesce(g.bought::integer, -1)),
                (2, g.recency_from), (3, g.recency_to),
                (4, g.frequency_from), (5, g.frequency_to),
                (6, greatest(ceil(g.monetary_from), floor(g.monetary_above) + 1,
                             -9223372036854775807)::bigint),
                (7, least(ceil(g.monetary_below) - 1, floor(g.monetary_to),
                          9223372036854775807)::bigint)) v (n, value)
        )
        SELECT (SELECT array_agg(w.value ORDER BY w.part, w.n) FROM word w),
               (SELECT array_agg(g.segment ORDER BY g.position) FROM ranges g);
    END;
COMMENT ON FUNCTION economy_internal.rfm_program(economy.rfm_snapshots) IS
    'A snapshot''s model, bounds and rules in the form that rfm_assess() takes.';

CREATE FUNCTION economy_internal.rfm_with_bounds(
    snapshot economy.rfm_snapshots, bounds economy.score_bounds
) RETURNS economy.rfm_snapshots
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    snapshot.recency_bounds := bounds.recency;
    snapshot.frequency_bounds := bounds.frequency;
    snapshot.monetary_bounds := bounds.monetary;
    snapshot.p50 := bounds.p50;
    snapshot.p60 := bounds.p60;
    snapshot.p95 := bounds.p95;
    snapshot.degenerate := bounds.degenerate;
    snapshot.active := bounds.active;
    RETURN snapshot;
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_with_bounds(economy.rfm_snapshots, economy.score_bounds) IS
    'The snapshot with what was measured for it.';

CREATE FUNCTION economy_internal.rfm_never_bought(snapshot economy.rfm_snapshots) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT g.segment
        FROM economy.rfm_rule_ranges(snapshot.rules, snapshot.p50, snapshot.p60, snapshot.p95) g
        WHERE NOT coalesce(g.bought, false) AND g.frequency_from = 0
          AND 0 >= g.monetary_from AND 0 > g.monetary_above
          AND 0 < g.monetary_below
          AND coalesce((snapshot.model ->> 'recency_clamp')::bigint, 1000000)
              BETWEEN g.recency_from AND g.recency_to
        ORDER BY g.position LIMIT 1;
    END;
COMMENT ON FUNCTION economy_internal.rfm_never_bought(economy.rfm_snapshots) IS
    'The segment of users that never bought anything.';
-- segment: the full refresh

-- One refresh at a time. The row lock also makes a refresh with an old snapshot fail.
CREATE FUNCTION economy_internal.rfm_lock() RETURNS economy.rfm_state
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    state economy.rfm_state;
BEGIN
    PERFORM economy_internal.open_tables(
        'shop_transactions', 'archived_keys', 'accounts', 'rfm_models', 'segment_rules',
        'economy_internal.rfm_reversals', 'economy_internal.rfm_due', 'rfm_snapshots',
        'rfm_state', 'user_segments', 'segment_history');
    PERFORM economy_internal.lock_name('economy.rfm_refresh');
    SELECT * INTO state FROM economy.rfm_state FOR UPDATE;
    IF NOT found THEN
        -- the row that rfm_advance() will fill is what a first refresh locks
        INSERT INTO economy.rfm_state
                (snapshot_id, as_of, refreshed_at, installation, seen_before, summarised)
            VALUES (0, '-infinity', economy.now(), 0, 0, 0)
            ON CONFLICT ON CONSTRAINT rfm_state_pkey DO NOTHING;
    END IF;
    RETURN state;
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_lock() IS
    'Waits for a refresh that runs, and returns where the refreshes stand.';

CREATE FUNCTION economy_internal.rfm_summarise(from_block bigint) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    range  CONSTANT bigint := 32;
    blocks CONSTANT bigint := pg_relation_size('economy.shop_transactions')
                              / current_setting('block_size')::bigint;
    -- the last range is still being filled
    upto   CONSTANT bigint := blocks / range * range;
    block  bigint := from_block;
BEGIN
    IF economy_internal.is_spread('economy.shop_transactions') THEN
        PERFORM economy_internal.summarise_parts('economy.shop_transactions');
        RETURN from_block;
    END IF;
    BEGIN
        -- VACUUM has this lock for long; it summarises as well
        LOCK TABLE economy.shop_transactions IN SHARE UPDATE EXCLUSIVE MODE NOWAIT;
        WHILE block < upto LOOP
            PERFORM brin_summarize_range('economy.shop_transactions_position_idx', block);
            block := block + range;
        END LOOP;
    EXCEPTION WHEN lock_not_available THEN
        RETURN from_block;
    END;
    RETURN block;
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_summarise(bigint) IS
    'Brings the journal''s BRIN index up to its last full range.';

CREATE FUNCTION economy_internal.rfm_advance(
    snapshot_id bigint, as_of timestamptz, seen_before bigint, change_lag interval,
    started_summarised bigint
) RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
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
    END;
COMMENT ON FUNCTION economy_internal.rfm_advance(bigint, timestamptz, bigint, interval, bigint) IS
    'Notes what a refresh has taken up.';

CREATE FUNCTION economy_internal.rfm_measure_buckets_query(relation text) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    RETURN economy_internal.rfm_measure_query(format($query$
        SELECT least(($1 AT TIME ZONE 'UTC')::date - (x.w).last_on, ($2).recency_clamp) AS recency,
               (x.w).frequency, (x.w).monetary
        FROM (SELECT economy_internal.rfm_window(
                         u.user_id, u.buckets, $1,
                         coalesce(($2).window_days * 86400000000, 0)) AS w
              FROM %s u OFFSET 0) x
        WHERE (x.w).last_on IS NOT NULL
        $query$, relation));
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_measure_buckets_query(text) IS
    'rfm_measure_query() for the buckets of a relation with user_id and buckets.';

CREATE FUNCTION economy_internal.rfm_fill(
    query text, window_us bigint, as_of timestamptz, model economy.rfm_models,
    snapshot economy.rfm_snapshots,
    OUT bounds economy.score_bounds, OUT program bigint[], OUT segments text[],
    OUT written bigint, OUT oldest timestamptz
)
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_rfm_fill';
COMMENT ON FUNCTION economy_internal.rfm_fill(
    text, bigint, timestamptz, economy.rfm_models, economy.rfm_snapshots) IS
    'Folds the journal into the relation fresh (last_on, frequency, monetary), of those who bought '
    'by then, of a query for (bounds, program, segments), which has the last three arguments as '
    'its own, and writes the row of each user by them, and rfm_due: how many, and the moment of '
    'the oldest purchase.';

CREATE FUNCTION economy_internal.rfm_first(
    snapshot economy.rfm_snapshots, model economy.rfm_models,
    OUT scored economy.rfm_snapshots, OUT oldest timestamptz
)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    result record;
BEGIN
    DELETE FROM economy_internal.rfm_due;
    result := economy_internal.rfm_fill(
        format($query$
            SELECT b.bounds, p.program, p.segments
            FROM (%s) b
            CROSS JOIN LATERAL economy_internal.rfm_program(
                economy_internal.rfm_with_bounds($3, b.bounds)) p
            $query$, economy_internal.rfm_measure_query($query$
                SELECT least(($1 AT TIME ZONE 'UTC')::date - f.last_on, ($2).recency_clamp)
                           AS recency, f.frequency, f.monetary
                FROM fresh f
                $query$)),
        coalesce(model.window_days * 86400000000, 0), snapshot.as_of, model, snapshot);
    scored := economy_internal.rfm_with_bounds(snapshot, result.bounds);
    scored.program := result.program;
    scored.segments := result.segments;
    scored.changed := result.written;
    oldest := result.oldest;
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_first(economy.rfm_snapshots, economy.rfm_models) IS
    'The first refresh, of users that have no row yet: folds the journal, measures, and writes '
    'every row; the snapshot with that, and the moment of the oldest purchase.';

CREATE FUNCTION economy_internal.rfm_take_up(state economy.rfm_state, rebuild boolean)
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
BEGIN
    IF rebuild THEN
        SELECT min(t.created_at) INTO waiting FROM economy_internal.rfm_unfolded t
            WHERE t.xact >= coalesce(economy_internal.rfm_unsee(state), 0);
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
COMMENT ON FUNCTION economy_internal.rfm_take_up(economy.rfm_state, boolean) IS
    'Puts new purchases into the buckets, with rebuild after making anew what is damaged; '
    'the moment of the oldest of them.';

-- A full refresh is two things: a snapshot, which is in force at once, and after it
-- the scores, which may come in many transactions. Readers score a user by the
-- snapshot in force, whatever the row says; what else reads rows has the segment of
-- before until the row is reached.
CREATE FUNCTION economy_internal.rfm_begin(
    as_of timestamptz, rebuild boolean, taken bigint DEFAULT NULL
) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD'
    SET work_mem = '64MB' SET jit = off SET enable_hashjoin = on SET enable_mergejoin = on AS $$
DECLARE
    started  CONSTANT timestamptz := clock_timestamp();
    state    economy.rfm_state;
    snapshot economy.rfm_snapshots;
    model    economy.rfm_models;
    first    record;
    measured record;
    seen     bigint;
    oldest   timestamptz;
    next     bigint;
BEGIN
    PERFORM economy_internal.require_given('as_of', as_of IS NOT NULL);
    PERFORM economy_internal.require_given('rebuild', rebuild IS NOT NULL);
    IF NOT isfinite(as_of) THEN
        RAISE EXCEPTION 'as_of must be a finite time' USING ERRCODE = 'XE002';
    END IF;
    PERFORM set_config('work_mem', economy_internal.rfm_setting('economy.rfm_memory'), true);
    state := economy_internal.rfm_lock();
    PERFORM economy_internal.rfm_taken(taken);
    model := economy.rfm_model(economy_internal.rfm_setting('economy.rfm_model'));
    snapshot.model := to_jsonb(model);
    snapshot.rules := (SELECT jsonb_agg(to_jsonb(r)) FROM economy.rfm_rules() r);
    -- they were checked when they were set, but not against another model
    IF NOT EXISTS (SELECT FROM economy.rfm_snapshots s
                   WHERE s.snapshot_id = state.snapshot_id
                     AND s.rules = snapshot.rules AND s.model = snapshot.model) THEN
        PERFORM economy_internal.check_segment_rules(snapshot.rules, model);
    END IF;

    PERFORM economy_internal.report_progress('rfm_refresh', 0, 1);
    snapshot.snapshot_id :=
        coalesce((SELECT max(s.snapshot_id) FROM economy.rfm_snapshots s), 0) + 1;
    snapshot.as_of := as_of;
    snapshot.users := (SELECT count(*) FROM economy.accounts);
    snapshot.changed := 0;
    snapshot.started_at := economy.now();
    -- before the statements that take purchases up, so that none is passed over
    seen := pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
    PERFORM economy_internal.rfm_apply_reversals();
    IF state.snapshot_id IS NULL AND NOT EXISTS (SELECT FROM economy.user_segments) THEN
        SELECT * INTO first FROM economy_internal.rfm_first(snapshot, model);
        snapshot := first.scored;
        oldest := first.oldest;
    ELSE
        oldest := economy_internal.rfm_take_up(state, rebuild);
        -- as after the batches that have done the same
        IF rebuild OR taken IS NOT NULL THEN
            PERFORM economy_internal.rfm_await_all();
        END IF;
        -- EXECUTE, because the measuring is a text
        EXECUTE economy_internal.rfm_measure_buckets_query('economy.user_segments')
            INTO measured USING as_of, model;
        snapshot := economy_internal.rfm_with_bounds(snapshot, measured.bounds);
        SELECT p.program, p.segments INTO snapshot.program, snapshot.segments
            FROM economy_internal.rfm_program(snapshot) p;
        next := -9223372036854775808;
    END IF;
    snapshot.duration := clock_timestamp() - started;
    INSERT INTO economy.rfm_snapshots SELECT (snapshot).*;
    PERFORM economy.note_change(
        'rfm_snapshots', snapshot.snapshot_id::text, 'measure', session_user::text);
    PERFORM economy_internal.rfm_advance(
        snapshot.snapshot_id, as_of, seen, as_of - oldest, state.summarised);
    UPDATE economy.rfm_state
        SET next_user = next, written = snapshot.changed, spent = snapshot.duration;
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_begin(timestamptz, boolean, bigint) IS
    'Begin of a full refresh: takes up new purchases and freezes new bounds in a snapshot, '
    'which is in force from now on; rfm_write() writes the rows.';

CREATE FUNCTION economy_internal.rfm_write(max_users integer, OUT written bigint, OUT more boolean)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD'
    SET work_mem = '64MB' SET jit = off SET enable_hashjoin = on SET enable_mergejoin = on AS $$
DECLARE
    started  CONSTANT timestamptz := clock_timestamp();
    state    economy.rfm_state;
    snapshot economy.rfm_snapshots;
    last     bigint;
    told     bigint;
    awaited  text;
BEGIN
    state := economy_internal.rfm_lock();
    written := 0;
    more := false;
    IF state.next_user IS NULL THEN
        RETURN;
    END IF;
    SELECT * INTO snapshot FROM economy.rfm_snapshots s WHERE s.snapshot_id = state.snapshot_id;
    PERFORM economy_internal.report_progress(
        'rfm_refresh', state.written, greatest(snapshot.users, state.written));
    SELECT max(n.user_id), count(*) = max_users INTO last, more
        FROM (SELECT u.user_id FROM economy.user_segments u WHERE u.user_id >= state.next_user
              ORDER BY u.user_id LIMIT max_users) n;
    -- EXECUTE, and the bounds stand in the statement, so that it is planned for so many rows;
    -- they are bounds of both tables, since the planner carries no inequality over a join
    EXECUTE format($query$
        WITH assessed AS MATERIALIZED (
            SELECT * FROM (
                SELECT u.user_id, u.segment AS was, u.changes,
                       economy_internal.rfm_due_hour(u.next_change_at) AS due_hour,
                       economy_internal.rfm_assess(u.user_id, u.buckets, $1, $2, $3, u.frequency,
                                          u.monetary, u.r, u.f, u.m, u.segment,
                                          u.next_change_at) AS a
                FROM economy.user_segments u WHERE u.user_id BETWEEN %1$L AND %2$L OFFSET 0) x
            WHERE x.a IS NOT NULL
        ), written AS (
            UPDATE economy.user_segments u SET
                frequency = (c.a).frequency, monetary = (c.a).monetary,
                r = (c.a).r, f = (c.a).f, m = (c.a).m,
                segment = (c.a).segment, next_change_at = (c.a).next_change_at,
                segment_since = CASE WHEN c.was IS DISTINCT FROM (c.a).segment
                                     THEN $1 ELSE u.segment_since END,
                changes = u.changes + coalesce(c.was <> (c.a).segment, false)::integer
            FROM assessed c WHERE u.user_id = c.user_id AND u.user_id BETWEEN %1$L AND %2$L
            RETURNING 1
        ), remembered AS (
            INSERT INTO economy.segment_history
            SELECT c.user_id, c.changes + 1, c.was, (c.a).segment, $1, $4
            FROM assessed c WHERE c.was <> (c.a).segment
        )
        SELECT (SELECT count(*) FROM written),
               (SELECT count(economy_internal.publish_profile(
                           c.user_id, 'segment', c.was, (c.a).segment))
                FROM assessed c WHERE c.was <> (c.a).segment),
               (SELECT economy_internal.rfm_await(array_agg(n.user_id), array_agg(n.due_hour))
                FROM (SELECT c.user_id,
                             economy_internal.rfm_due_hour((c.a).next_change_at) AS due_hour
                      FROM assessed c
                      WHERE economy_internal.rfm_due_hour((c.a).next_change_at)
                            IS DISTINCT FROM c.due_hour) n)
        $query$, state.next_user, coalesce(last, state.next_user))
        INTO written, told, awaited
        USING state.as_of, snapshot.program, snapshot.segments, snapshot.snapshot_id;
    UPDATE economy.rfm_state s SET
            next_user = CASE WHEN more THEN last + 1 END,
            written = s.written + rfm_write.written,
            spent = s.spent + (clock_timestamp() - started)
        RETURNING * INTO state;
    IF NOT more THEN
        -- every row is as of then: nobody waits for an hour that is over
        DELETE FROM economy_internal.rfm_due d
            WHERE d.due_hour < economy_internal.rfm_due_hour(state.as_of);
    END IF;
    IF NOT more AND state.written > 0 THEN
        UPDATE economy.rfm_snapshots s SET changed = state.written, duration = state.spent
            WHERE s.snapshot_id = state.snapshot_id;
        PERFORM economy.note_change(
            'rfm_snapshots', state.snapshot_id::text, 'score', session_user::text);
    END IF;
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_write(integer) IS
    'The next rows of the full refresh that is going, of at most max_users users: '
    'writes those that the snapshot in force changed; more says that others are left.';

CREATE FUNCTION economy.rfm_refresh(
    as_of timestamptz DEFAULT economy.now(), rebuild boolean DEFAULT true
)
    RETURNS TABLE (snapshot_id bigint, users_scored bigint, users_changed bigint)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    PERFORM economy_internal.rfm_begin(as_of, rebuild);
    WHILE (SELECT s.more FROM economy_internal.rfm_write(100000) s) LOOP
    END LOOP;
    PERFORM economy_internal.report_progress(NULL, NULL, NULL);
    RETURN QUERY
        SELECT s.snapshot_id, s.users, s.changed
        FROM economy.rfm_snapshots s JOIN economy.rfm_state t USING (snapshot_id);
END
$$;
COMMENT ON FUNCTION economy.rfm_refresh(timestamptz, boolean) IS
    'Scores every user as of a moment: takes up new purchases, freezes new bounds in a snapshot, '
    'writes the rows that changed. With rebuild it reads the whole journal and puts right what is '
    'damaged. Visible at once at the commit; purchases go on meanwhile. '
    'The job does the same in many transactions.';

CREATE FUNCTION economy_internal.rfm_refresh_step(
    start boolean, max_users integer DEFAULT 20000,
    OUT users_changed bigint, OUT more boolean
)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    PERFORM economy_internal.require_given('start', start IS NOT NULL);
    PERFORM economy_internal.require_given('max_users', max_users IS NOT NULL);
    IF max_users < 1 THEN
        RAISE EXCEPTION 'max_users must be 1 or more' USING ERRCODE = 'XE002';
    END IF;
    IF start THEN
        PERFORM economy_internal.rfm_begin(
            economy.now(), economy_internal.segments_found_damaged());
        SELECT s.written, s.next_user IS NOT NULL INTO users_changed, more
            FROM economy.rfm_state s;
    ELSE
        SELECT s.written, s.more INTO users_changed, more
            FROM economy_internal.rfm_write(max_users) s;
    END IF;
    PERFORM economy_internal.report_progress(NULL, NULL, NULL);
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_refresh_step(boolean, integer) IS
    'The job''s part of a full refresh, a transaction each: begins one, '
    'or writes the rows of the next max_users users; more says that there are others. '
    'A refresh that was cut off goes on where it was.';
-- segment: the incremental refresh

CREATE FUNCTION economy_internal.rfm_renew(
    transaction bigint, due bigint[], as_of timestamptz, program bigint[], segments text[],
    never text,
    OUT user_id bigint, OUT since timestamptz, OUT scored boolean, OUT before text,
    OUT segment text, OUT changes integer, OUT due_hour timestamptz
) RETURNS SETOF record
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_rfm_renew';
COMMENT ON FUNCTION economy_internal.rfm_renew(
    bigint, bigint[], timestamptz, bigint[], text[], text) IS
    'Takes up the purchases of a transaction and later ones, and scores their users and those of '
    'due who are: since when it had waited, the segment before and now, the number of changes, '
    'and the hour by which rfm_due is to hold the user, if it does not.';

CREATE FUNCTION economy.rfm_refresh_incremental()
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
    awaited  text;
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
    WITH renewed AS MATERIALIZED (
        SELECT * FROM economy_internal.rfm_renew(
            economy_internal.rfm_unsee(state), due, as_of, snapshot.program, snapshot.segments,
            economy_internal.rfm_never_bought(snapshot))
    ), remembered AS (
        INSERT INTO economy.segment_history
        SELECT n.user_id, n.changes, n.before, n.segment, as_of, snapshot.snapshot_id
        FROM renewed n WHERE n.before <> n.segment
    )
    SELECT count(*) FILTER (WHERE n.scored),
           -- a reversal is taken up without a moment of its own
           min(n.since) FILTER (WHERE isfinite(n.since)),
           (SELECT count(economy_internal.publish_profile(
                       c.user_id, 'segment', c.before, c.segment))
            FROM renewed c WHERE c.before <> c.segment),
           (SELECT economy_internal.rfm_await(array_agg(w.user_id), array_agg(w.due_hour))
            FROM renewed w WHERE w.due_hour IS NOT NULL HAVING count(*) > 0)
    INTO users_scored, oldest, told, awaited FROM renewed n;
    users_changed := users_scored;
    PERFORM economy_internal.rfm_advance(
        snapshot.snapshot_id, as_of, seen, as_of - oldest, state.summarised);
    snapshot_id := snapshot.snapshot_id;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION economy.rfm_refresh_incremental() IS
    'Scores the users with new purchases, and those whose window slid or whose recency crossed a '
    'bound, by the newest snapshot; the first call is a full rfm_refresh().';
-- segment: many purchases, or users, in the batches of the jobs

-- Many purchases are taken up user by user, before the refresh that is to score them:
-- rows are made or put right, and what comes meanwhile is new to that refresh.

CREATE FUNCTION economy_internal.rfm_many(max_users integer, OUT purchases boolean, OUT due boolean)
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp SET enable_seqscan = off AS $$
DECLARE
    since bigint := (SELECT economy_internal.position_of(economy_internal.rfm_unsee(t))
                     FROM economy.rfm_state t);
BEGIN
    -- the bound stands in the statement, so that it is planned for what it finds
    EXECUTE format('SELECT count(*) > %s FROM (
            SELECT FROM economy.shop_transactions t WHERE t.position >= %s LIMIT %1$s + 1) n',
        5 * max_users::bigint, coalesce(since, 0)) INTO purchases;
    SELECT count(*) > max_users INTO due
    FROM (SELECT FROM economy_internal.rfm_awaited(economy.now()) LIMIT max_users + 1) n;
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_many(integer) IS
    'Whether more purchases wait than five times as many users have, and whether more users are '
    'due than that; it counts no further.';

CREATE FUNCTION economy_internal.rfm_taken(seen bigint) RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        UPDATE economy.rfm_state
        SET seen_before = seen, installation = economy_internal.rfm_installation()
        WHERE seen IS NOT NULL;
    END;
COMMENT ON FUNCTION economy_internal.rfm_taken(bigint) IS
    'Notes that every purchase of a transaction before this one is in the buckets; null: nothing.';

CREATE FUNCTION economy_internal.rfm_take(
    from_user bigint, max_users integer, OUT written bigint, OUT users bigint, OUT upto bigint
)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD'
    -- of few of many users
    SET work_mem = '64MB' SET jit = off SET enable_seqscan = off AS $$
DECLARE
    state economy.rfm_state := economy_internal.rfm_lock();
    never text;
BEGIN
    -- so many users, or as have 200,000 entries, or one
    SELECT max(n.user_id) FILTER (WHERE n.number = max_users OR n.entries > 200000), count(*)
    INTO upto, users
    FROM (SELECT m.user_id, m.seq, row_number() OVER w AS number, sum(m.seq) OVER w AS entries
          FROM (SELECT a.user_id, a.seq FROM economy.accounts a WHERE a.user_id >= from_user
                ORDER BY a.user_id LIMIT max_users) m
          WINDOW w AS (ORDER BY m.user_id ROWS UNBOUNDED PRECEDING)) n
    WHERE n.entries - n.seq <= 200000;
    upto := coalesce(upto, 9223372036854775807);
    SELECT economy_internal.rfm_never_bought(s) INTO never
    FROM economy.rfm_snapshots s WHERE s.snapshot_id = state.snapshot_id;
    PERFORM economy_internal.rfm_apply_reversals(from_user, upto);
    written := economy_internal.rfm_rebuild(never, from_user, upto);
    -- the row that the lock made before the first refresh is no state
    DELETE FROM economy.rfm_state s WHERE s.snapshot_id = 0;
    -- what is taken up is not scored
    UPDATE economy.rfm_state SET next_user = '-9223372036854775808';
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_take(bigint, integer) IS
    'Takes up the purchases of the next users from an id on, at most max_users: '
    'how many rows were written, of how many users, and up to which.';

CREATE FUNCTION economy_internal.rfm_rescore() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD'
    SET work_mem = '64MB' SET jit = off AS $$
DECLARE
    state    economy.rfm_state := economy_internal.rfm_lock();
    snapshot economy.rfm_snapshots;
    seen     bigint := pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
    -- never back in time: the rows describe one moment
    as_of    timestamptz := greatest(economy.now(), state.as_of);
    oldest   timestamptz;
BEGIN
    SELECT * INTO snapshot FROM economy.rfm_snapshots s WHERE s.snapshot_id = state.snapshot_id;
    PERFORM economy_internal.rfm_apply_reversals();
    oldest := economy_internal.rfm_take_up(state, false);
    PERFORM economy_internal.rfm_advance(
        state.snapshot_id, as_of, seen, as_of - oldest, state.summarised);
    UPDATE economy.rfm_state SET next_user = '-9223372036854775808', written = snapshot.changed,
                                 spent = snapshot.duration;
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_rescore() IS
    'Begin of an incremental refresh of many users: takes up new purchases; rfm_write() scores all '
    'rows by the snapshot in force, as of now.';

CREATE FUNCTION economy_internal.rfm_job_batch(
    full_one boolean, at jsonb, max_users integer DEFAULT 20000,
    OUT users_changed bigint, OUT next jsonb
)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    here  bigint := economy_internal.rfm_installation();
    first boolean;
    more  boolean := true;
    many  record;
BEGIN
    PERFORM economy_internal.open_tables(
        'rfm_state', 'shop_transactions', 'archived_keys', 'user_segments', 'accounts',
        'economy_internal.rfm_due');
    first := NOT EXISTS (SELECT FROM economy.rfm_state);
    users_changed := 0;
    -- one that was cut off in another installation knows nothing of this one's transactions
    IF at IS NULL OR (at ->> 'installation')::bigint <> here THEN
        SELECT * INTO many FROM economy_internal.rfm_many(max_users);
        IF many.purchases OR (full_one AND economy_internal.segments_found_damaged()) THEN
            next := jsonb_build_object(
                'installation', here, 'take', '-9223372036854775808', 'done', 0,
                'seen', pg_snapshot_xmin(pg_current_snapshot())::text);
            RETURN;
        ELSIF full_one OR first THEN
            SELECT s.users_changed, s.more INTO users_changed, more
            FROM economy_internal.rfm_refresh_step(true, max_users) s;
        ELSIF many.due THEN
            PERFORM economy_internal.rfm_rescore();
        ELSE
            SELECT i.users_changed, false INTO users_changed, more
            FROM economy.rfm_refresh_incremental() i;
        END IF;
    ELSIF at ? 'take' THEN
        PERFORM economy_internal.report_progress('rfm_take', (at ->> 'done')::bigint, greatest(
            (at ->> 'done')::bigint, (SELECT c.reltuples::bigint FROM pg_class c
                                      WHERE c.oid = 'economy.accounts'::regclass)));
        SELECT t.written,
               CASE WHEN t.upto = 9223372036854775807 THEN (at - 'take') || '{"begin": true}'
                    ELSE at || jsonb_build_object('take', (t.upto + 1)::text,
                                                  'done', (at ->> 'done')::bigint + t.users) END
        INTO users_changed, next
        FROM economy_internal.rfm_take((at ->> 'take')::bigint, max_users) t;
        PERFORM economy_internal.report_progress(NULL, NULL, NULL);
        RETURN;
    ELSIF at ? 'begin' AND (full_one OR first) THEN
        PERFORM economy_internal.rfm_begin(economy.now(), false, (at ->> 'seen')::bigint);
    ELSIF at ? 'begin' THEN
        PERFORM economy_internal.rfm_taken((at ->> 'seen')::bigint);
        PERFORM economy_internal.rfm_rescore();
    ELSE
        SELECT s.users_changed, s.more INTO users_changed, more
        FROM economy_internal.rfm_refresh_step(false, max_users) s;
    END IF;
    PERFORM economy_internal.report_progress(NULL, NULL, NULL);
    -- which rows are left is in rfm_state
    next := CASE WHEN more THEN jsonb '{}' END;
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_job_batch(boolean, jsonb, integer) IS
    'A transaction of the job rfm_refresh (full_one) or rfm_refresh_incremental, and where the '
    'next one begins, null when all is done: takes up many purchases user by user, '
    'begins a refresh, writes rows of at most max_users users.';
-- segment: what applications and monitors read

CREATE FUNCTION economy_internal.segment_seen(
    user_id bigint,
    OUT segment text, OUT r integer, OUT f integer, OUT m integer, OUT score numeric,
    OUT recency_days integer, OUT frequency bigint, OUT monetary bigint, OUT degenerate boolean,
    OUT segment_since timestamptz, OUT scored_at timestamptz, OUT snapshot_id bigint
) RETURNS SETOF record
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER ROWS 1
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    state    economy.rfm_state;
    snapshot economy.rfm_snapshots;
BEGIN
    PERFORM economy_internal.require_given('user_id', user_id IS NOT NULL);
    SELECT * INTO state FROM economy.rfm_state;
    SELECT * INTO snapshot FROM economy.rfm_snapshots s WHERE s.snapshot_id = state.snapshot_id;
    -- who never bought has no row, and is scored here, with no bucket at all
    RETURN QUERY
        SELECT (a.x).segment, (a.x).r::integer, (a.x).f::integer, (a.x).m::integer,
               (snapshot.model ->> 'recency_weight')::numeric * (a.x).r
                   + (snapshot.model ->> 'frequency_weight')::numeric * (a.x).f
                   + (snapshot.model ->> 'monetary_weight')::numeric * (a.x).m,
               -- where nothing clamps it, who had bought nothing by then has no recency
               nullif((a.x).recency_days,
                      CASE WHEN snapshot.model ->> 'recency_clamp' IS NULL THEN 1000000 END),
               (a.x).frequency, (a.x).monetary, snapshot.degenerate <> '{}',
               -- a row that the refresh has not reached yet will say the same
               CASE WHEN u.user_id >= state.next_user AND u.segment IS DISTINCT FROM (a.x).segment
                    THEN state.as_of ELSE u.segment_since END,
               state.as_of, snapshot.snapshot_id
        FROM economy.accounts k LEFT JOIN economy.user_segments u USING (user_id)
        CROSS JOIN LATERAL (
            SELECT economy_internal.rfm_assess(k.user_id, coalesce(u.buckets, ''), state.as_of,
                                      snapshot.program, snapshot.segments,
                                      NULL, NULL, NULL, NULL, NULL, NULL, NULL) AS x OFFSET 0) a
        WHERE k.user_id = segment_seen.user_id AND state.snapshot_id IS NOT NULL;
END
$$;
COMMENT ON FUNCTION economy_internal.segment_seen(bigint) IS
    'What segment() answers, under its snapshot.';

CREATE FUNCTION economy.segment(user_id bigint)
    RETURNS TABLE (
        segment text, r integer, f integer, m integer, score numeric, recency_days integer,
        frequency bigint, monetary bigint, degenerate boolean, segment_since timestamptz,
        scored_at timestamptz, snapshot_id bigint
    )
    LANGUAGE c STABLE PARALLEL SAFE ROWS 1 AS 'MODULE_PATHNAME', 'eco_segment';
COMMENT ON FUNCTION economy.segment(bigint) IS
    'A user''s segment, scores and what they come from, as of scored_at, the last refresh; '
    'no row for an unknown user or before the first refresh.';

CREATE FUNCTION economy_internal.segment_summary_seen(
    OUT segment text, OUT users bigint, OUT share numeric, OUT active bigint, OUT frequency numeric,
    OUT monetary numeric
) RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH snapshot AS (
            SELECT s.rules, s.p50, s.p60, s.p95, economy_internal.rfm_never_bought(s) AS never
            FROM economy.rfm_snapshots s JOIN economy.rfm_state t USING (snapshot_id)
        ), counted AS (
            -- a row that the first refresh has not reached is of somebody who was in no other
            SELECT coalesce(u.segment, s.never) AS segment, count(*) AS users,
                   count(*) FILTER (WHERE u.frequency > 0) AS active,
                   sum(u.frequency) AS frequency, sum(u.monetary) AS monetary
            FROM snapshot s CROSS JOIN economy.user_segments u GROUP BY 1
            UNION ALL
            SELECT s.never,
                   (SELECT count(*) FROM economy.accounts)
                       - (SELECT count(*) FROM economy.user_segments), 0, 0, 0
            FROM snapshot s
        ), listed AS (
            SELECT g.segment, min(g.position) AS position
            FROM snapshot s
            CROSS JOIN LATERAL economy.rfm_rule_ranges(s.rules, s.p50, s.p60, s.p95) g
            GROUP BY 1
        )
        -- what the job has not reached may be in a segment that only the rules of before had
        SELECT segment, coalesce(sum(c.users), 0)::bigint,
               round(coalesce(sum(c.users), 0) / nullif(sum(sum(c.users)) OVER (), 0), 4),
               coalesce(sum(c.active), 0)::bigint, coalesce(sum(c.frequency), 0),
               coalesce(sum(c.monetary), 0)
        FROM listed l FULL JOIN counted c USING (segment)
        GROUP BY segment, l.position ORDER BY l.position, segment;
    END;
COMMENT ON FUNCTION economy_internal.segment_summary_seen() IS
    'segment_summary(), once its tables are open.';

CREATE FUNCTION economy.segment_summary()
    RETURNS TABLE (
        segment text, users bigint, share numeric, active bigint, frequency numeric,
        monetary numeric
    )
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.open_tables(
            'accounts', 'rfm_snapshots', 'rfm_state', 'user_segments');
        SELECT * FROM economy_internal.segment_summary_seen();
    END;
COMMENT ON FUNCTION economy.segment_summary() IS
    'Size of each segment as of the last refresh: users, their share, those with a purchase in the '
    'window, purchases and their sum in it.';

CREATE FUNCTION economy_internal.rfm_freshness_seen(
    OUT snapshot_id bigint, OUT snapshot_as_of timestamptz, OUT as_of timestamptz,
    OUT stale_users bigint, OUT oldest_stale_age interval, OUT last_change_lag interval
)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, economy, pg_temp SET jit = off AS $$
DECLARE
    state  economy.rfm_state;
    now    CONSTANT timestamptz := economy.now();
    unseen bigint;
BEGIN
    SELECT * INTO state FROM economy.rfm_state;
    unseen := coalesce(economy_internal.rfm_unsee(state), 0);
    snapshot_id := state.snapshot_id;
    SELECT s.as_of INTO snapshot_as_of FROM economy.rfm_snapshots s
        WHERE s.snapshot_id = state.snapshot_id;
    as_of := state.as_of;
    last_change_lag := state.change_lag;
    -- EXECUTE, so that it is planned for the position of now: a monitor's session lives long,
    -- and a plan that it keeps may read the journal whole
    EXECUTE $query$
        SELECT count(DISTINCT s.user_id), $2 - min(s.at) FROM (
            SELECT t.user_id, t.created_at AS at FROM economy_internal.rfm_unfolded t
            WHERE t.position >= $3 AND t.xact >= $1
              AND ($1 = 0 OR t.xact < pg_snapshot_xmax(pg_current_snapshot())::text::bigint
                   OR t.xact = pg_current_xact_id_if_assigned()::text::bigint)
            UNION ALL
            SELECT u.user_id, u.next_change_at FROM economy_internal.rfm_awaited($2) u) s
        $query$ INTO stale_users, oldest_stale_age
        USING unseen, now, economy_internal.position_of(unseen);
END
$$;
COMMENT ON FUNCTION economy_internal.rfm_freshness_seen() IS
    'rfm_freshness(), once its tables are open.';

CREATE FUNCTION economy.rfm_freshness()
    RETURNS TABLE (
        snapshot_id bigint, snapshot_as_of timestamptz, as_of timestamptz, stale_users bigint,
        oldest_stale_age interval, last_change_lag interval
    )
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 1
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.open_tables(
            'shop_transactions', 'archived_keys', 'economy_internal.rfm_reversals',
            'economy_internal.rfm_due',
            'rfm_snapshots', 'rfm_state', 'user_segments');
        SELECT * FROM economy_internal.rfm_freshness_seen();
    END;
COMMENT ON FUNCTION economy.rfm_freshness() IS
    'How stale segments are: users whose row is no longer right and for how long the oldest of '
    'them, and how long the oldest thing that the last refresh took up had waited.';
-- segment: comparison of what the refreshes keep with what it comes from

CREATE FUNCTION economy_internal.audit_segments(
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
        WHERE h.known AND h.has_row AND (h.buckets <> h.right_buckets OR h.seq > h.newest)
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
COMMENT ON FUNCTION economy_internal.audit_segments(bigint, bigint) IS
    'Recomputes the rows of user_segments of a range of users, null for no end, '
    'from their purchases and the snapshot in force, and compares them with segment_history.';

CREATE FUNCTION economy_internal.audit_segment_state() RETURNS SETOF economy.finding
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
COMMENT ON FUNCTION economy_internal.audit_segment_state() IS
    'Compares rfm_state, rfm_snapshots and rfm_reversals with each other and the journal.';
-- segment: where something is recommended, and what can be

CREATE TABLE economy.recommendation_placements (
    placement          text     NOT NULL COLLATE "C"
        CONSTRAINT recommendation_placements_placement_check
        CHECK (octet_length(placement) BETWEEN 1 AND 64),
    version            integer  NOT NULL,
    policy             text     NOT NULL DEFAULT 'rules'
        CONSTRAINT recommendation_placements_policy_check
        CHECK (policy IN ('rules', 'thompson')),
    attribution_window interval NOT NULL DEFAULT '7 days'
        CONSTRAINT recommendation_placements_window_check
        CHECK (attribution_window BETWEEN '1 minute' AND '90 days'),
    half_life          interval NOT NULL DEFAULT '30 days'
        CONSTRAINT recommendation_placements_half_life_check
        CHECK (half_life BETWEEN '1 hour' AND '3650 days'),
    exploration        double precision NOT NULL DEFAULT 0.05
        CONSTRAINT recommendation_placements_exploration_check
        CHECK (exploration BETWEEN 0 AND 1),
    actor              text     NOT NULL,
    changed_at         timestamptz NOT NULL,
    CONSTRAINT recommendation_placements_pkey PRIMARY KEY (placement, version)
);
SELECT pg_catalog.pg_extension_config_dump(
    'economy.recommendation_placements', 'WHERE version > 0');
COMMENT ON TABLE economy.recommendation_placements IS
    'Places of the app that show a recommendation; the highest version of each is in force.';
COMMENT ON CONSTRAINT recommendation_placements_placement_check
    ON economy.recommendation_placements IS
    'placement must have 1 to 64 bytes';
COMMENT ON CONSTRAINT recommendation_placements_policy_check ON economy.recommendation_placements IS
    'policy must be rules or thompson';
COMMENT ON CONSTRAINT recommendation_placements_window_check ON economy.recommendation_placements IS
    'attribution_window must be from 1 minute to 90 days';
COMMENT ON CONSTRAINT recommendation_placements_half_life_check
    ON economy.recommendation_placements IS
    'half_life must be from 1 hour to 3650 days';
COMMENT ON CONSTRAINT recommendation_placements_exploration_check
    ON economy.recommendation_placements IS
    'exploration must be from 0 to 1';
COMMENT ON COLUMN economy.recommendation_placements.policy IS
    'rules: the first arm that can be shown; thompson: Thompson sampling over those.';
COMMENT ON COLUMN economy.recommendation_placements.attribution_window IS
    'A purchase of the product so long after the decision is its conversion; '
    'a day is 24 hours, a month 30 days.';
COMMENT ON COLUMN economy.recommendation_placements.half_life IS
    'thompson: age at which an outcome counts half.';
COMMENT ON COLUMN economy.recommendation_placements.exploration IS
    'thompson: share of decisions that are spread evenly over the arms.';

CREATE TABLE economy.recommendation_arms (
    placement  text    NOT NULL COLLATE "C",
    version    integer NOT NULL,
    segment    text    NOT NULL COLLATE "C"
        CONSTRAINT recommendation_arms_segment_check
        CHECK (octet_length(segment) BETWEEN 1 AND 64),
    position   integer NOT NULL,
    arm        text    NOT NULL COLLATE "C"
        CONSTRAINT recommendation_arms_arm_check CHECK (octet_length(arm) BETWEEN 1 AND 64),
    cta        text    NOT NULL
        CONSTRAINT recommendation_arms_cta_check CHECK (octet_length(cta) BETWEEN 1 AND 255),
    product_id text    COLLATE "C"
        CONSTRAINT recommendation_arms_product_id_check
        CHECK (octet_length(product_id) BETWEEN 1 AND 64),
    CONSTRAINT recommendation_arms_pkey PRIMARY KEY (placement, version, segment, arm)
);
SELECT pg_catalog.pg_extension_config_dump('economy.recommendation_arms', 'WHERE version > 0');
COMMENT ON TABLE economy.recommendation_arms IS
    'What can be recommended to a segment at a placement, in the order of position; '
    'the segment * is the fallback.';
COMMENT ON CONSTRAINT recommendation_arms_segment_check ON economy.recommendation_arms IS
    'segment must have 1 to 64 bytes';
COMMENT ON CONSTRAINT recommendation_arms_arm_check ON economy.recommendation_arms IS
    'arm must have 1 to 64 bytes';
COMMENT ON CONSTRAINT recommendation_arms_cta_check ON economy.recommendation_arms IS
    'cta must have 1 to 255 bytes';
COMMENT ON CONSTRAINT recommendation_arms_product_id_check ON economy.recommendation_arms IS
    'product_id must have 1 to 64 bytes';
COMMENT ON CONSTRAINT recommendation_arms_pkey ON economy.recommendation_arms IS
    'a segment has an arm of this name already';
COMMENT ON COLUMN economy.recommendation_arms.cta IS 'What the app shows: the call to action.';
COMMENT ON COLUMN economy.recommendation_arms.product_id IS
    'Product that the user must be able to buy; null needs none.';
INSERT INTO economy.recommendation_placements (placement, version, actor, changed_at)
    VALUES ('home', 0, 'economy', '2000-01-01 00:00:00+00');
INSERT INTO economy.recommendation_arms VALUES
    ('home', 0, 'AtRisk',      1, 'return',    'return_package',    'return_package'),
    ('home', 0, 'Whale',       1, 'limited',   'limited_package',   'limited_package'),
    ('home', 0, 'HighEngaged', 1, 'mission',   'mission_extension', NULL),
    ('home', 0, 'Medium',      1, 'value',     'value_package',     'value_package'),
    ('home', 0, 'Low',         1, 'bonus',     'daily_bonus',       NULL),
    ('home', 0, 'New',         1, 'starter',   'starter_package',   'starter_package'),
    ('home', 0, 'NoPurchase',  1, 'first_buy', 'first_purchase',    'first_purchase'),
    ('home', 0, '*',           1, 'daily',     'daily_reward',      NULL);

CREATE FUNCTION economy.set_recommendations(placement text, settings jsonb, arms jsonb, actor text)
    RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC'
    SET datestyle = 'ISO, YMD' SET intervalstyle = 'postgres' AS $$
DECLARE
    next_version integer;
    unknown      text;
    message      text;
    failed       text;
    at_column    text;
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.require_given('placement', placement IS NOT NULL);
    PERFORM economy_internal.require_given('settings', settings IS NOT NULL);
    PERFORM economy_internal.require_given('arms', arms IS NOT NULL);
    IF jsonb_typeof(settings) <> 'object' OR jsonb_typeof(arms) <> 'array'
       OR jsonb_array_length(arms) > 1000
       OR EXISTS (SELECT FROM jsonb_array_elements(arms) e WHERE jsonb_typeof(e) <> 'object') THEN
        RAISE EXCEPTION 'settings must be a JSON object, and arms an array of at most 1000'
            USING ERRCODE = 'XE607';
    END IF;
    SELECT x.k INTO unknown FROM (
        SELECT k FROM jsonb_object_keys(settings) k
        WHERE k NOT IN ('policy', 'attribution_window', 'half_life', 'exploration')
        UNION ALL
        SELECT k FROM jsonb_array_elements(arms) e, jsonb_object_keys(e) k
        WHERE k NOT IN ('segment', 'arm', 'cta', 'product_id')) x LIMIT 1;
    IF found THEN
        RAISE EXCEPTION 'unknown key "%"', unknown USING ERRCODE = 'XE607',
            HINT = 'Settings are columns of economy.recommendation_placements; '
                   'an arm has segment, arm, cta and product_id.';
    END IF;
    PERFORM economy_internal.open_tables('recommendation_placements', 'recommendation_arms');
    PERFORM economy_internal.lock_name('economy.set_recommendations:' || placement);
    SELECT coalesce(max(p.version), 0) + 1 INTO next_version
        FROM economy.recommendation_placements p
        WHERE p.placement = set_recommendations.placement;
    BEGIN
        INSERT INTO economy.recommendation_placements
            SELECT (jsonb_populate_record(
                NULL::economy.recommendation_placements,
                '{"policy": "rules", "attribution_window": "7 days", "half_life": "30 days", '
                '"exploration": 0.05}'
                || settings
                || jsonb_build_object('placement', placement, 'version', next_version,
                                      'actor', actor, 'changed_at', economy.now()))).*
            -- no row that this transaction sees conflicts; one that it cannot see raises 40001
            ON CONFLICT ON CONSTRAINT recommendation_placements_pkey DO NOTHING;
        INSERT INTO economy.recommendation_arms
            SELECT (jsonb_populate_record(
                NULL::economy.recommendation_arms,
                e.value || jsonb_build_object('placement', placement, 'version', next_version,
                                              'position', e.ordinality))).*
            FROM jsonb_array_elements(arms) WITH ORDINALITY e;
    EXCEPTION WHEN data_exception OR integrity_constraint_violation THEN
        GET STACKED DIAGNOSTICS
            message = MESSAGE_TEXT, failed = CONSTRAINT_NAME, at_column = COLUMN_NAME;
        -- the settings are looked through first, and then the arms: they share no key
        message := economy_internal.violation(
            'recommendation_placements', settings, message, failed, at_column);
        RAISE EXCEPTION 'recommendations of "%" are not valid', left(placement, 64)
            USING ERRCODE = 'XE607',
            DETAIL = economy_internal.violation('recommendation_arms', arms, message, '', '')
                     || '.',
            HINT = 'Settings are columns of economy.recommendation_placements; '
                   'an arm has segment, arm, cta and product_id.';
    END;
    PERFORM economy.note_change('recommendation_placements',
                                format('%s:%s', placement, next_version), 'set', actor);
    RETURN next_version;
END
$$;
COMMENT ON FUNCTION economy.set_recommendations(text, jsonb, jsonb, text) IS
    'Makes or replaces a placement: its settings, and its arms in the order of the array, '
    'with the segment * for the fallback. Returns its version.';
-- segment: what was recommended, and what came of it

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
    propensity   double precision NOT NULL
        CONSTRAINT recommendations_propensity_check CHECK (propensity > 0 AND propensity <= 1),
    day          date        NOT NULL,
    seq          bigint      NOT NULL,
    decided_at   timestamptz NOT NULL,
    matures_at   timestamptz NOT NULL,
    clicked_at   timestamptz,
    converted_at timestamptz,
    CONSTRAINT recommendations_pkey PRIMARY KEY (user_id, number)
);
CREATE INDEX recommendations_day_idx ON economy.recommendations (user_id, placement, day);
-- the condition holds of every row, and keeps whoever asks for the rows of a user from an index
-- that has all of the placement: a planner that takes the table for empty finds both as cheap
CREATE INDEX recommendations_matures_at_idx ON economy.recommendations (placement, matures_at)
    WHERE matures_at IS NOT NULL;
SELECT pg_catalog.pg_extension_config_dump('economy.recommendations', '');
COMMENT ON TABLE economy.recommendations IS
    'What recommend() decided to show, once for a user, placement, UTC day and arm, '
    'with what it was made of and the feedback; kept for economy.recommendation_retention.';
COMMENT ON COLUMN economy.recommendations.number IS
    'Counts the user''s decisions; the decision_id is D<user>-<number>.';
COMMENT ON COLUMN economy.recommendations.segment IS
    'The user''s segment at that moment; null before the first refresh.';
COMMENT ON COLUMN economy.recommendations.fallback IS
    'No arm of the user''s segment could be shown.';
COMMENT ON COLUMN economy.recommendations.propensity IS
    'Probability with which the policy chose this arm of those it could show, exact to 1e-8.';
COMMENT ON COLUMN economy.recommendations.day IS 'UTC day of the decision.';
COMMENT ON COLUMN economy.recommendations.seq IS
    'The user''s newest entry at the decision; a purchase after it can be its conversion.';
COMMENT ON COLUMN economy.recommendations.matures_at IS
    'End of the placement''s attribution window; a day of it is 24 hours.';
COMMENT ON COLUMN economy.recommendations.converted_at IS
    'Conversion by feedback; a purchase attributes itself, see recommendation_outcomes.';

CREATE VIEW economy.recommendation_outcomes AS
    SELECT d.user_id, d.number, d.placement, d.version, d.segment, d.arm, d.fallback, d.policy,
           d.propensity, d.day, d.decided_at, d.clicked_at,
           least(d.converted_at, b.bought_at) AS converted_at, d.matures_at
    FROM economy.recommendations d
    LEFT JOIN LATERAL (
        SELECT min(t.created_at) AS bought_at FROM economy_internal.shop_purchases t
        WHERE t.user_id = d.user_id AND t.product_id = d.product_id AND t.status = 'SUCCESS'
          AND t.seq > d.seq AND t.created_at < d.matures_at
          AND NOT EXISTS (SELECT FROM economy_internal.rfm_reversals r
                          WHERE r.user_id = t.user_id AND r.seq = t.seq)
          -- a purchase is the conversion of the last decision before it
          AND NOT EXISTS (SELECT FROM economy.recommendations l
                          WHERE l.user_id = d.user_id AND l.product_id = d.product_id
                            AND l.number > d.number AND l.seq < t.seq)) b
        ON d.product_id IS NOT NULL;
COMMENT ON VIEW economy.recommendation_outcomes IS
    'Decisions with what came of them: a click, and a conversion by feedback or by a purchase of '
    'the product within the placement''s window.';

CREATE FUNCTION economy.recommendation_feedback(decision_id text, kind text) RETURNS text
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    now   CONSTANT timestamptz := economy.now();
    known economy.recommendations;
BEGIN
    PERFORM economy_internal.require_given('decision_id', decision_id IS NOT NULL);
    PERFORM economy_internal.require_given('kind', kind IS NOT NULL);
    IF kind NOT IN ('click', 'conversion') THEN
        RAISE EXCEPTION 'kind must be click or conversion' USING ERRCODE = 'XE002';
    END IF;
    PERFORM economy_internal.open_tables('recommendations');
    IF decision_id ~ '^D[0-9]{1,16}-[0-9]{1,16}$' THEN
        SELECT * INTO known FROM economy.recommendations d
            WHERE d.user_id = substring(decision_id, '^D([0-9]+)')::bigint
              AND d.number = substring(decision_id, '([0-9]+)$')::bigint FOR UPDATE;
    END IF;
    IF known.user_id IS NULL THEN
        RAISE EXCEPTION 'decision "%" does not exist', left(decision_id, 64)
            USING ERRCODE = 'XE605', HINT = 'Decisions are made by economy.recommend().';
    END IF;
    IF (CASE kind WHEN 'click' THEN known.clicked_at ELSE known.converted_at END) IS NOT NULL THEN
        RETURN 'reuse';
    END IF;
    -- a clock that was set back makes no answer older than the question
    UPDATE economy.recommendations d SET
            clicked_at = coalesce(
                d.clicked_at, CASE kind WHEN 'click' THEN greatest(now, d.decided_at) END),
            converted_at = coalesce(
                d.converted_at, CASE kind WHEN 'conversion' THEN greatest(now, d.decided_at) END)
        WHERE d.user_id = known.user_id AND d.number = known.number;
    RETURN 'new';
END
$$;
COMMENT ON FUNCTION economy.recommendation_feedback(text, text) IS
    'Notes a click or a conversion of a decision, once: new, or reuse when it was known. '
    'A purchase of the recommended product needs no feedback.';

CREATE FUNCTION economy.recommendation_stats(since timestamptz DEFAULT NULL)
    RETURNS TABLE (
        placement text, segment text, arm text, shown bigint, clicks bigint, ctr numeric,
        conversions bigint, conversion_rate numeric, fallbacks bigint, fallback_rate numeric
    )
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp SET jit = off
    BEGIN ATOMIC
        SELECT economy_internal.open_tables(
            'recommendations', 'shop_transactions', 'archived_keys',
            'economy_internal.rfm_reversals',
            'recommendation_placements');
        SELECT o.placement, o.segment, o.arm, count(*),
               count(o.clicked_at), round(count(o.clicked_at)::numeric / count(*), 4),
               count(o.converted_at), round(count(o.converted_at)::numeric / count(*), 4),
               count(*) FILTER (WHERE o.fallback),
               round(count(*) FILTER (WHERE o.fallback)::numeric / count(*), 4)
        FROM economy.recommendation_outcomes o
        WHERE recommendation_stats.since IS NULL OR o.decided_at >= recommendation_stats.since
        GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
    END;
COMMENT ON FUNCTION economy.recommendation_stats(timestamptz) IS
    'Per placement, segment and arm: decisions, clicks, conversions by feedback or '
    'purchase, fallbacks, and their rates.';
-- segment: what Thompson sampling learned of decisions, and how old decisions go

-- An exposure is a user, placement, UTC day, segment and arm.

CREATE TABLE economy_internal.recommendation_progress (
    placement     text        NOT NULL COLLATE "C"
        CONSTRAINT recommendation_progress_pkey PRIMARY KEY,
    learned_until timestamptz NOT NULL,
    pruned_until  timestamptz NOT NULL
);
SELECT pg_catalog.pg_extension_config_dump('economy_internal.recommendation_progress', '');
COMMENT ON TABLE economy_internal.recommendation_progress IS
    'Up to which matures_at the job has counted the decisions of a '
    'placement, and removed old ones.';

CREATE TABLE economy_internal.recommendation_beliefs (
    placement text NOT NULL COLLATE "C",
    segment   text NOT NULL COLLATE "C",
    arm       text NOT NULL COLLATE "C",
    wins      double precision NOT NULL,
    losses    double precision NOT NULL,
    CONSTRAINT recommendation_beliefs_pkey PRIMARY KEY (placement, segment, arm)
);
SELECT pg_catalog.pg_extension_config_dump('economy_internal.recommendation_beliefs', '');
COMMENT ON TABLE economy_internal.recommendation_beliefs IS
    'Matured exposures of each arm, halved per half-life, '
    'as of recommendation_progress.learned_until.';
COMMENT ON COLUMN economy_internal.recommendation_beliefs.wins IS 'Exposures that converted.';
COMMENT ON COLUMN economy_internal.recommendation_beliefs.losses IS 'Exposures that did not.';

CREATE TABLE economy.recommendation_days (
    placement text NOT NULL COLLATE "C",
    segment   text NOT NULL COLLATE "C",
    day       date NOT NULL,
    arm       text NOT NULL COLLATE "C",
    wins      double precision NOT NULL,
    losses    double precision NOT NULL,
    CONSTRAINT recommendation_days_pkey PRIMARY KEY (placement, segment, day, arm)
);
SELECT pg_catalog.pg_extension_config_dump('economy.recommendation_days', '');
COMMENT ON TABLE economy.recommendation_days IS
    'What Thompson sampling knows from a UTC day on: recommendation_beliefs at its begin, '
    'until the job writes those of a later day.';
COMMENT ON COLUMN economy.recommendation_days.wins IS
    'Exposures that converted, halved per half-life.';
COMMENT ON COLUMN economy.recommendation_days.losses IS 'Exposures that did not.';

CREATE FUNCTION economy_internal.seconds(length interval) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC SELECT extract(epoch FROM length)::double precision; END;
COMMENT ON FUNCTION economy_internal.seconds(interval) IS
    'Length of an interval whose days have 24 hours and whose months 30 days.';

CREATE FUNCTION economy_internal.halved(
    amount double precision, age double precision, half_life double precision
) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        -- nothing that small is left, and no power of it underflows
        SELECT CASE WHEN amount < 1e-9 OR age > 100 * half_life THEN 0
                    ELSE amount * power(0.5::double precision, age / half_life) END;
    END;
COMMENT ON FUNCTION economy_internal.halved(double precision, double precision, double precision) IS
    'What is left of an amount of that age, in seconds, when it halves per half-life.';

CREATE FUNCTION economy_internal.recommendation_exposures(
    place text, after timestamptz, upto timestamptz,
    OUT segment text, OUT arm text, OUT matures_at timestamptz, OUT converted boolean
) RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp SET jit = off SET enable_seqscan = off
    BEGIN ATOMIC
        SELECT o.segment, o.arm, o.matures_at, coalesce(o.converted_at < o.matures_at, false)
        FROM economy.recommendation_outcomes o
        WHERE o.placement = place AND o.matures_at > after AND o.matures_at <= upto
          AND o.segment IS NOT NULL AND NOT o.fallback
          -- a new version of the placement may have shown it once more; with OFFSET 0 and without
          -- sequential scans each asks for its user's, whatever is known of the table, where a
          -- join may read all of the placement for each
          AND NOT EXISTS (SELECT FROM economy.recommendations f
                          WHERE f.user_id = o.user_id AND f.placement = o.placement
                            AND f.day = o.day AND f.segment = o.segment AND f.arm = o.arm
                            AND NOT f.fallback AND f.number < o.number OFFSET 0);
    END;
COMMENT ON FUNCTION economy_internal.recommendation_exposures(text, timestamptz, timestamptz) IS
    'Exposures of a placement that matured after one moment and up to another: '
    'one for a user, UTC day, segment and arm.';

CREATE FUNCTION economy.recommendation_posteriors(placement text, segment text, as_of timestamptz)
    RETURNS TABLE (
        arm text, "position" integer, product_id text, cta text, wins double precision,
        losses double precision
    )
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp SET jit = off
    BEGIN ATOMIC
        SELECT economy_internal.open_tables(
            'recommendation_arms', 'recommendation_placements', 'recommendations',
            'shop_transactions', 'archived_keys', 'economy_internal.rfm_reversals');
        -- only what had its whole window: wins do not come sooner than losses
        SELECT a.arm, a.position, a.product_id, a.cta,
               coalesce(sum(e.weight) FILTER (WHERE e.converted), 0),
               coalesce(sum(e.weight) FILTER (WHERE NOT e.converted), 0)
        FROM economy.recommendation_arms a
        JOIN LATERAL (
            SELECT p.* FROM economy.recommendation_placements p
            WHERE p.placement = recommendation_posteriors.placement
            ORDER BY p.version DESC LIMIT 1) p
            ON a.placement = p.placement AND a.version = p.version
        LEFT JOIN LATERAL (
            SELECT x.converted,
                   economy_internal.halved(1, economy_internal.seconds(as_of - x.matures_at),
                                  economy_internal.seconds(p.half_life)) AS weight
            FROM economy_internal.recommendation_exposures(
                recommendation_posteriors.placement, '-infinity', as_of) x
            WHERE x.segment = recommendation_posteriors.segment AND x.arm = a.arm) e ON true
        WHERE a.segment = recommendation_posteriors.segment
        GROUP BY a.arm, a.position, a.product_id, a.cta ORDER BY a.position, a.arm;
    END;
COMMENT ON FUNCTION economy.recommendation_posteriors(text, text, timestamptz) IS
    'The arms of a placement and segment, with the matured wins and losses of each, '
    'halved per half-life, counted anew from the decisions that are kept.';

CREATE FUNCTION economy_internal.recommendation_learn(place text, max_decisions integer)
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC'
    SET datestyle = 'ISO, YMD' SET jit = off AS $$
DECLARE
    today     CONSTANT timestamptz := date_trunc('day', economy.now(), 'UTC');
    half_life CONSTANT double precision := (
        SELECT economy_internal.seconds(p.half_life) FROM economy.recommendation_placements p
        WHERE p.placement = place ORDER BY p.version DESC LIMIT 1);
    since     timestamptz;
    upto      timestamptz;
    passed    double precision := 0;
    decisions bigint;
BEGIN
    SELECT p.learned_until INTO since FROM economy_internal.recommendation_progress p
        WHERE p.placement = place FOR UPDATE;
    IF since >= today THEN
        RETURN NULL;
    END IF;
    -- those of one moment are counted together
    SELECT count(*), CASE WHEN count(*) < max_decisions THEN today ELSE max(d.matures_at) END
        INTO decisions, upto
        FROM (SELECT r.matures_at FROM economy.recommendations r
              WHERE r.placement = place AND r.matures_at > since AND r.matures_at <= today
              ORDER BY r.matures_at LIMIT max_decisions) d;
    IF isfinite(since) THEN
        passed := economy_internal.seconds(upto - since);
    END IF;
    UPDATE economy_internal.recommendation_beliefs b SET
            wins = economy_internal.halved(b.wins, passed, half_life),
            losses = economy_internal.halved(b.losses, passed, half_life)
        WHERE b.placement = place;
    INSERT INTO economy_internal.recommendation_beliefs AS b
        SELECT place, e.segment, e.arm,
               coalesce(sum(w.weight) FILTER (WHERE e.converted), 0),
               coalesce(sum(w.weight) FILTER (WHERE NOT e.converted), 0)
        FROM economy_internal.recommendation_exposures(place, since, upto) e
        CROSS JOIN LATERAL (
            SELECT economy_internal.halved(
                1, economy_internal.seconds(upto - e.matures_at), half_life) AS weight) w
        GROUP BY e.segment, e.arm
        ON CONFLICT ON CONSTRAINT recommendation_beliefs_pkey DO UPDATE
            SET wins = b.wins + excluded.wins, losses = b.losses + excluded.losses;
    UPDATE economy_internal.recommendation_progress p
        SET learned_until = upto WHERE p.placement = place;
    IF upto = today THEN
        DELETE FROM economy_internal.recommendation_beliefs b
            WHERE b.placement = place AND b.wins + b.losses < 1e-9;
        INSERT INTO economy.recommendation_days AS d
            SELECT b.placement, b.segment, (today AT TIME ZONE 'UTC')::date, b.arm,
                   b.wins, b.losses
            FROM economy_internal.recommendation_beliefs b WHERE b.placement = place
            ON CONFLICT ON CONSTRAINT recommendation_days_pkey DO UPDATE
                SET wins = excluded.wins, losses = excluded.losses;
    END IF;
    RETURN decisions;
END
$$;
COMMENT ON FUNCTION economy_internal.recommendation_learn(text, integer) IS
    'Counts the next max_decisions decisions of a placement that matured before this UTC day, '
    'and publishes the day when there are no more; null when that was done.';

CREATE FUNCTION economy_internal.recommendation_forget(
    place text, before timestamptz, max_decisions integer
) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET jit = off SET enable_seqscan = off AS $$
DECLARE
    since      timestamptz;
    upto       timestamptz;
    decisions  bigint;
    who        bigint;
    newest_due bigint;
BEGIN
    SELECT p.pruned_until INTO since FROM economy_internal.recommendation_progress p
        WHERE p.placement = place FOR UPDATE;
    DELETE FROM economy.recommendation_days d
        WHERE d.placement = place AND d.day < (before AT TIME ZONE 'UTC')::date
          AND EXISTS (SELECT FROM economy.recommendation_days l
                      WHERE l.placement = d.placement AND l.segment = d.segment
                        AND l.day > d.day);
    SELECT count(*), CASE WHEN count(*) < max_decisions THEN before ELSE max(d.matures_at) END
        INTO decisions, upto
        FROM (SELECT r.matures_at FROM economy.recommendations r
              WHERE r.placement = place AND r.matures_at > since AND r.matures_at <= before
              ORDER BY r.matures_at LIMIT max_decisions) d;
    IF decisions = 0 THEN
        RETURN NULL;
    END IF;
    UPDATE economy_internal.recommendation_progress p
        SET pruned_until = upto WHERE p.placement = place;
    -- user by user: no plan reads others for each of them, whatever is known of the table
    FOR who, newest_due IN
        SELECT r.user_id, max(r.number) FROM economy.recommendations r
        WHERE r.placement = place AND r.matures_at > since AND r.matures_at <= upto
        GROUP BY r.user_id
    LOOP
        -- the newest stays, so that its number is not given again, until a later one is due
        DELETE FROM economy.recommendations d
            WHERE d.user_id = who AND d.number <= newest_due
              AND EXISTS (SELECT FROM economy_internal.recommendation_progress p
                          WHERE p.placement = d.placement AND p.pruned_until >= d.matures_at
                          OFFSET 0)
              AND d.number < (SELECT max(l.number) FROM economy.recommendations l
                              WHERE l.user_id = who);
    END LOOP;
    RETURN decisions;
END
$$;
COMMENT ON FUNCTION economy_internal.recommendation_forget(text, timestamptz, integer) IS
    'Removes the next max_decisions decisions of a placement that matured before a moment, '
    'those before them that were their users'' newest when it was their turn, '
    'and what was known on older days; null when there are no more decisions.';

CREATE FUNCTION economy.learn_recommendations(max_decisions integer DEFAULT 10000)
    RETURNS TABLE (decisions bigint, more boolean)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 1
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC'
    SET datestyle = 'ISO, YMD' AS $$
DECLARE
    retention CONSTANT integer := economy_internal.rfm_setting('economy.recommendation_retention');
    before    CONSTANT timestamptz := economy.now() - make_interval(hours => 24 * retention);
    place     economy.recommendation_placements;
BEGIN
    PERFORM economy_internal.require_positive('max_decisions', max_decisions);
    PERFORM economy_internal.open_tables(
        'shop_transactions', 'archived_keys', 'economy_internal.rfm_reversals',
        'recommendation_placements', 'recommendations', 'economy_internal.recommendation_progress',
        'economy_internal.recommendation_beliefs', 'recommendation_days');
    PERFORM economy_internal.lock_name('economy.learn_recommendations');
    more := true;
    FOR place IN
        SELECT DISTINCT ON (p.placement) p.* FROM economy.recommendation_placements p
        ORDER BY p.placement, p.version DESC
    LOOP
        INSERT INTO economy_internal.recommendation_progress
            VALUES (place.placement, '-infinity', '-infinity')
            ON CONFLICT ON CONSTRAINT recommendation_progress_pkey DO NOTHING;
        IF place.policy = 'thompson' THEN
            decisions := economy_internal.recommendation_learn(place.placement, max_decisions);
        END IF;
        decisions := coalesce(
            decisions,
            economy_internal.recommendation_forget(place.placement, before, max_decisions));
        IF decisions IS NOT NULL THEN
            RETURN NEXT;
            RETURN;
        END IF;
    END LOOP;
    decisions := 0;
    more := false;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION economy.learn_recommendations(integer) IS
    'One batch of the job that counts what came of decisions for Thompson sampling, '
    'and removes those older than economy.recommendation_retention: how many, '
    'and whether there is more to do.';
-- segment: what to show a user, by rules or by Thompson sampling

CREATE FUNCTION economy_internal.purchase_probe(user_id bigint, product_id text) RETURNS text
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_purchase_probe';
COMMENT ON FUNCTION economy_internal.purchase_probe(bigint, text) IS
    'The code that purchase() of one unit under a new key would answer now.';

CREATE FUNCTION economy_internal.product_offered(user_id bigint, product_id text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    IF product_id IS NULL THEN
        RETURN true;
    END IF;
    -- too little gold can change by the time of the click; stock is asked after it
    RETURN EXISTS (
            SELECT FROM economy.shop_products p
            WHERE p.product_id = product_offered.product_id
              AND (p.stock_slots = 0
                   OR EXISTS (SELECT FROM economy.shop_stock s
                              WHERE s.product_id = p.product_id AND s.remaining > 0)))
       AND economy_internal.purchase_probe(user_id, product_id) IN ('OK', 'INSUFFICIENT_GOLD');
END
$$;
COMMENT ON FUNCTION economy_internal.product_offered(bigint, text) IS
    'Whether the product is on sale, in stock, and the user may still buy it.';

CREATE FUNCTION economy.beta_quantile(p double precision, a double precision, b double precision)
    RETURNS double precision
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_beta_quantile_sql';
COMMENT ON FUNCTION economy.beta_quantile(double precision, double precision, double precision) IS
    'Inverse of the beta distribution.';

CREATE FUNCTION economy_internal.beta_shares(a double precision[], b double precision[])
    RETURNS double precision[]
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_beta_shares_sql';
COMMENT ON FUNCTION economy_internal.beta_shares(double precision[], double precision[]) IS
    'Probability of each of several beta variables, with shapes of 1 or more, to be the largest.';

CREATE FUNCTION economy_internal.draw_uniform(key text) RETURNS double precision
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    -- 52 bits of the hash, and a half: never 0 or 1
    RETURN (('x' || left(encode(sha256(convert_to(key, 'UTF8')), 'hex'), 13))::bit(52)::bigint
            + 0.5::double precision) / 4503599627370496;
END
$$;
COMMENT ON FUNCTION economy_internal.draw_uniform(text) IS
    'A number between 0 and 1 drawn by the hash of a text: the same everywhere.';

CREATE FUNCTION economy_internal.recommendation_draw(
    user_id bigint, placement text, version integer, day date, attempt bigint, arms text[],
    wins double precision[], losses double precision[], exploration double precision,
    OUT pick integer, OUT propensity double precision
)
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    n      CONSTANT integer := cardinality(arms);
    key    CONSTANT text := jsonb_build_array(
        user_id, placement, version, day - date '2000-01-01', attempt, arms)::text;
    shares double precision[];
    a      double precision[];
    b      double precision[];
BEGIN
    -- beyond a million of evidence only its ratio counts
    SELECT array_agg(1 + w * s ORDER BY i), array_agg(1 + l * s ORDER BY i) INTO a, b
        FROM unnest(wins, losses) WITH ORDINALITY v (w, l, i)
        CROSS JOIN LATERAL (SELECT least(1, 900000 / greatest(w + l, 1)) AS s) c;
    shares := economy_internal.beta_shares(a, b);
    IF economy_internal.draw_uniform(key || ':explore') < exploration THEN
        pick := 1 + floor(economy_internal.draw_uniform(key || ':which') * n)::integer;
    ELSE
        SELECT i INTO pick FROM generate_series(1, n) i
            ORDER BY economy.beta_quantile(
                economy_internal.draw_uniform(key || ':arm:' || arms[i]), a[i], b[i]) DESC, i
            LIMIT 1;
    END IF;
    -- an arm that is hopeless beyond double precision was chosen by luck all the same
    propensity := least(1, greatest(exploration / n + (1 - exploration) * shares[pick], 1e-300));
END
$$;
COMMENT ON FUNCTION economy_internal.recommendation_draw(
    bigint, text, integer, date, bigint, text[], double precision[], double precision[],
    double precision) IS
    'Thompson sampling: the place of the arm that a user gets in an attempt of a day, '
    'drawn by hashes of all that, and the probability of it.';

CREATE FUNCTION economy_internal.recommend_by_rules(
    who bigint, place economy.recommendation_placements, of_segment text
) RETURNS economy.recommendation_arms
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT r.* FROM economy.recommendation_arms r
        WHERE r.placement = place.placement AND r.version = place.version
          AND r.segment = of_segment AND economy_internal.product_offered(who, r.product_id)
        ORDER BY r.position, r.arm LIMIT 1;
    END;
COMMENT ON FUNCTION economy_internal.recommend_by_rules(
    bigint, economy.recommendation_placements, text) IS
    'The first arm of a segment at a placement that can be shown; null when there is none.';

CREATE FUNCTION economy_internal.recommend_by_sampling(
    who bigint, place economy.recommendation_placements, of_segment text, today date,
    OUT chosen economy.recommendation_arms, OUT propensity double precision, OUT drawn boolean
)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    last    economy.recommendations;
    attempt bigint;
    arms    text[];
    wins    double precision[];
    losses  double precision[];
    picked  text;
BEGIN
    propensity := 1;
    drawn := false;
    SELECT d.* INTO last FROM economy.recommendations d
        WHERE d.user_id = who AND d.placement = place.placement AND d.day = today
          AND NOT d.fallback ORDER BY d.number DESC LIMIT 1;
    IF last.version = place.version AND last.segment = of_segment
       AND economy_internal.product_offered(who, last.product_id) THEN
        -- the same arm all day, while it can be shown
        picked := last.arm;
        propensity := last.propensity;
    ELSE
        -- who had an arm that is gone draws anew, and not what is left of the draw before
        SELECT count(*) INTO attempt FROM economy.recommendations d
            WHERE d.user_id = who AND d.placement = place.placement AND d.day = today;
        SELECT array_agg(r.arm ORDER BY r.position, r.arm),
               array_agg(coalesce(b.wins, 0) ORDER BY r.position, r.arm),
               array_agg(coalesce(b.losses, 0) ORDER BY r.position, r.arm)
            INTO arms, wins, losses
            FROM economy.recommendation_arms r
            LEFT JOIN economy.recommendation_days b
                ON b.placement = r.placement AND b.segment = r.segment AND b.arm = r.arm
               AND b.day = (SELECT max(k.day) FROM economy.recommendation_days k
                            WHERE k.placement = place.placement AND k.segment = of_segment
                              AND k.day <= today)
            WHERE r.placement = place.placement AND r.version = place.version
              AND r.segment = of_segment AND economy_internal.product_offered(who, r.product_id);
        IF arms IS NULL THEN
            RETURN;
        END IF;
        drawn := true;
        SELECT arms[w.pick], w.propensity INTO picked, propensity
            FROM economy_internal.recommendation_draw(
                who, place.placement, place.version, today, attempt, arms, wins, losses,
                place.exploration) w;
    END IF;
    SELECT r.* INTO chosen FROM economy.recommendation_arms r
        WHERE r.placement = place.placement AND r.version = place.version
          AND r.segment = of_segment AND r.arm = picked;
END
$$;
COMMENT ON FUNCTION economy_internal.recommend_by_sampling(
    bigint, economy.recommendation_placements, text, date) IS
    'The arm of a segment at a placement that Thompson sampling has drawn for a user today, '
    'and whether it was drawn now; null when none can be shown.';

CREATE FUNCTION economy_internal.recommend_arm(
    who bigint, place economy.recommendation_placements, of_segment text, today date,
    OUT chosen economy.recommendation_arms, OUT propensity double precision, OUT drawn boolean
)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET jit = off AS $$
DECLARE
    sampled record;
BEGIN
    -- the fallback is by rules, whatever the policy
    IF place.policy = 'rules' OR of_segment = '*' THEN
        chosen := economy_internal.recommend_by_rules(who, place, of_segment);
        propensity := 1;
        drawn := false;
    ELSE
        SELECT * INTO sampled
            FROM economy_internal.recommend_by_sampling(who, place, of_segment, today);
        chosen := sampled.chosen;
        propensity := sampled.propensity;
        drawn := sampled.drawn;
    END IF;
END
$$;
COMMENT ON FUNCTION economy_internal.recommend_arm(
    bigint, economy.recommendation_placements, text, date) IS
    'The arm of a segment that a placement shows a user today, by its policy, '
    'and whether it was drawn now; null when none can be shown.';

CREATE FUNCTION economy.recommend(user_id bigint, placement text)
    RETURNS TABLE (
        decision_id text, cta text, segment text, fallback boolean, arm text, product_id text,
        propensity double precision
    )
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 1
    SET search_path = pg_catalog, economy, pg_temp SET jit = off AS $$
DECLARE
    now    CONSTANT timestamptz := economy.now();
    today  CONSTANT date := (now AT TIME ZONE 'UTC')::date;
    place  economy.recommendation_placements;
    choice record;
    newest bigint;
    number bigint;
BEGIN
    PERFORM economy_internal.require_given('user_id', user_id IS NOT NULL);
    PERFORM economy_internal.require_given('placement', placement IS NOT NULL);
    PERFORM economy_internal.open_tables(
        'recommendation_placements', 'recommendation_arms', 'recommendation_days',
        'recommendations', 'accounts', 'shop_products');
    SELECT * INTO place FROM economy.recommendation_placements p
        WHERE p.placement = recommend.placement ORDER BY p.version DESC LIMIT 1;
    IF NOT found THEN
        RAISE EXCEPTION 'placement "%" does not exist', placement USING ERRCODE = 'XE606',
            HINT = 'Placements are made by economy.set_recommendations().';
    END IF;
    SELECT k.seq INTO newest FROM economy.accounts k WHERE k.user_id = recommend.user_id;
    IF NOT found THEN
        RAISE EXCEPTION 'user % does not exist', user_id USING ERRCODE = 'XE202',
            HINT = 'Users are made by economy.register().';
    END IF;
    -- decisions of a user are numbered one by one: who meets another begins again
    LOOP
        SELECT s.segment INTO segment FROM economy.segment(user_id) s;
        SELECT * INTO choice FROM economy_internal.recommend_arm(user_id, place, segment, today);
        fallback := (choice.chosen).arm IS NULL;
        IF fallback THEN
            SELECT * INTO choice FROM economy_internal.recommend_arm(user_id, place, '*', today);
        END IF;
        arm := coalesce((choice.chosen).arm, 'none');
        cta := coalesce((choice.chosen).cta, 'none');
        product_id := (choice.chosen).product_id;
        propensity := choice.propensity;
        -- what was shown today is shown again, and stays one exposure
        SELECT d.number INTO number FROM economy.recommendations d
            WHERE d.user_id = recommend.user_id AND d.placement = recommend.placement
              AND d.day = today AND d.version = place.version
              AND d.segment IS NOT DISTINCT FROM recommend.segment AND d.arm = recommend.arm
              AND d.fallback = recommend.fallback AND NOT choice.drawn
            ORDER BY d.number DESC LIMIT 1;
        EXIT WHEN found;
        SELECT coalesce(max(d.number), 0) + 1 INTO number FROM economy.recommendations d
            WHERE d.user_id = recommend.user_id;
        INSERT INTO economy.recommendations
            VALUES (user_id, number, placement, place.version, segment, arm, cta, product_id,
                    fallback, place.policy, propensity, today, newest, now,
                    now + make_interval(secs => economy_internal.seconds(place.attribution_window)))
            -- above READ COMMITTED this raises 40001 when it cannot see the other one
            ON CONFLICT ON CONSTRAINT recommendations_pkey DO NOTHING;
        EXIT WHEN found;
    END LOOP;
    decision_id := format('D%s-%s', user_id, number);
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION economy.recommend(bigint, text) IS
    'What to show a user at a placement: an arm of the user''s segment whose product the user can '
    'buy, or a fallback, marked as such. The decision is kept; asked again on the same UTC day '
    'with the same answer, it is the same decision.';
-- segment: the figures of the report that tools/economy_report draws

CREATE FUNCTION economy_internal.segment_figures_seen() RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, economy, pg_temp SET timezone = 'UTC' SET jit = off
    BEGIN ATOMIC
        SELECT jsonb_build_object(
            'as_of', t.as_of,
            'snapshot', jsonb_build_object(
                'snapshot_id', s.snapshot_id, 'as_of', s.as_of, 'model', s.model ->> 'model',
                'users', s.users, 'active', s.active, 'p60', s.p60, 'p95', s.p95,
                'degenerate', s.degenerate),
            'segments', (
                SELECT jsonb_agg(to_jsonb(g)) FROM economy_internal.segment_summary_seen() g),
            'scores', (
                SELECT coalesce(jsonb_agg(to_jsonb(c) ORDER BY c.r DESC, c.f), '[]')
                FROM (SELECT u.r, u.f, count(*) AS users FROM economy.user_segments u
                      WHERE u.frequency > 0 GROUP BY u.r, u.f) c),
            -- orders of magnitude, each in three: from 1, 2 and 5
            'monetary', (
                SELECT coalesce(jsonb_agg(to_jsonb(b) ORDER BY b.least), '[]')
                FROM (SELECT CASE WHEN u.monetary > 0 THEN (
                                 power(10::numeric, length(u.monetary::text) - 1)
                                 * CASE WHEN left(u.monetary::text, 1) >= '5' THEN 5
                                        WHEN left(u.monetary::text, 1) >= '2' THEN 2
                                        ELSE 1 END)::bigint ELSE 0 END AS least,
                             count(*) AS users
                      FROM economy.user_segments u WHERE u.frequency > 0 GROUP BY 1) b),
            'moves', (
                SELECT coalesce(jsonb_agg(jsonb_build_object(
                           'from', m.from_segment, 'to', m.to_segment, 'changes', m.changes)
                           ORDER BY m.from_segment, m.to_segment), '[]')
                FROM (SELECT h.from_segment, h.to_segment, count(*) AS changes
                      FROM economy.segment_history h
                      WHERE h.changed_at > t.as_of - interval '30 days' GROUP BY 1, 2) m))
        FROM economy.rfm_state t JOIN economy.rfm_snapshots s USING (snapshot_id);
    END;
COMMENT ON FUNCTION economy_internal.segment_figures_seen() IS
    'segment_figures(), once its tables are open.';

CREATE FUNCTION economy.segment_figures() RETURNS jsonb
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.open_tables(
            'accounts', 'rfm_snapshots', 'rfm_state', 'segment_history', 'user_segments');
        SELECT economy_internal.segment_figures_seen();
    END;
COMMENT ON FUNCTION economy.segment_figures() IS
    'What economy_report draws, of one moment: the snapshot in force, segment sizes, users by '
    'recency and frequency and by monetary value, and movement between segments in 30 days; '
    'null before the first refresh.';
-- ops: access

-- What a level may call, and what a call may change: tables and sequences. Tests read
-- this list, and try everything that it does not say.
CREATE FUNCTION economy.access_list() RETURNS TABLE (level text, object text, changes text)
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
COMMENT ON FUNCTION economy.access_list() IS
    'What each access level may call, and the tables and sequences that such a call may change; '
    'operator includes monitor, admin includes all.';

CREATE FUNCTION economy_internal.levels_of(level text) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT CASE level WHEN 'app' THEN '{app}' WHEN 'monitor' THEN '{monitor}'
                          WHEN 'operator' THEN '{monitor,operator}'
                          WHEN 'admin' THEN '{app,monitor,operator,admin}' END::text[];
    END;
COMMENT ON FUNCTION economy_internal.levels_of(text) IS
    'The levels of access_list() that a level has; null when there is no such level.';

CREATE FUNCTION economy_internal.change_access(action text, role name, level text) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    item      record;
    direction text := CASE action WHEN 'grant' THEN 'TO' ELSE 'FROM' END;
BEGIN
    IF economy_internal.levels_of(level) IS NULL THEN
        RAISE EXCEPTION 'access level must be app, monitor, operator or admin'
            USING ERRCODE = 'XE801';
    END IF;
    IF role IS NULL OR NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = role) THEN
        RAISE EXCEPTION 'role "%" does not exist', role USING ERRCODE = 'XE801',
            HINT = 'Create it with CREATE ROLE; access is never given to PUBLIC.';
    END IF;
    -- whoever calls what runs with the caller's privileges needs the internal schema as well
    FOR item IN
        SELECT DISTINCT p.privilege, p.object
        FROM economy.access_list() a
        CROSS JOIN LATERAL (VALUES
            ('EXECUTE', a.object),
            ('USAGE', 'SCHEMA ' || substring(a.object FROM '^[A-Z]+ ([a-z_]+)')))
            p (privilege, object)
        WHERE a.level = ANY (economy_internal.levels_of(change_access.level))
    LOOP
        -- EXECUTE, because a GRANT takes no parameters
        EXECUTE format('%s %s ON %s %s %I', action, item.privilege, item.object, direction, role);
    END LOOP;
END
$$;
COMMENT ON FUNCTION economy_internal.change_access(text, name, text) IS
    'Common part of grant_access() and revoke_access().';

CREATE FUNCTION economy.grant_access(role name, level text) RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC SELECT economy_internal.change_access('grant', role, level); END;
COMMENT ON FUNCTION economy.grant_access(name, text) IS
    'Lets a role call what its level needs: app (play and buy), '
    'monitor (read figures; changes nothing), operator (run jobs and audits, '
    'read figures), admin (all). No level touches a table.';

CREATE FUNCTION economy.revoke_access(role name, level text) RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC SELECT economy_internal.change_access('revoke', role, level); END;
COMMENT ON FUNCTION economy.revoke_access(name, text) IS
    'Takes a level away again, with everything it shares with other '
    'levels, and the use of the schemas.';
-- audit: the invariants, checked online

CREATE TABLE economy_internal.audit_checkpoints (
    user_id           bigint NOT NULL CONSTRAINT audit_checkpoints_pkey PRIMARY KEY,
    seq               bigint NOT NULL,
    gold              bigint NOT NULL,
    experience_points bigint NOT NULL,
    hash              bytea  NOT NULL,
    damaged_seq       bigint
) WITH (fillfactor = 70);
CREATE INDEX audit_checkpoints_damaged_idx ON economy_internal.audit_checkpoints (user_id)
    WHERE damaged_seq IS NOT NULL;
SELECT pg_catalog.pg_extension_config_dump('economy_internal.audit_checkpoints', '');
COMMENT ON TABLE economy_internal.audit_checkpoints IS
    'Entry up to which each stream was found clean; the incremental sweep goes on there.';
COMMENT ON COLUMN economy_internal.audit_checkpoints.seq IS
    'That entry; 0 when the stream never was.';
COMMENT ON COLUMN economy_internal.audit_checkpoints.damaged_seq IS
    'The account''s seq when the incremental sweep last found the stream damaged: '
    'it looks again when there are new entries.';

CREATE TABLE economy.audit_runs (
    run_id      bigint      GENERATED ALWAYS AS IDENTITY CONSTRAINT audit_runs_pkey PRIMARY KEY,
    kind        text        NOT NULL
        CONSTRAINT audit_runs_kind_check CHECK (kind IN ('full', 'since', 'incremental')),
    since       timestamptz,
    started_at  timestamptz NOT NULL,
    finished_at timestamptz,
    next_user   bigint,
    users       bigint      NOT NULL,
    entries     bigint      NOT NULL,
    findings    bigint      NOT NULL,
    CONSTRAINT audit_runs_next_user_check CHECK (next_user IS NULL OR finished_at IS NULL)
);
CREATE UNIQUE INDEX audit_runs_open_key ON economy.audit_runs (kind) WHERE finished_at IS NULL;
SELECT pg_catalog.pg_extension_config_dump('economy.audit_runs', '');
SELECT pg_catalog.pg_extension_config_dump('economy.audit_runs_run_id_seq', '');
COMMENT ON TABLE economy.audit_runs IS 'History of audit sweeps.';
COMMENT ON COLUMN economy.audit_runs.finished_at IS
    'Null while the sweep is going; after a crash the next one goes on with it.';
COMMENT ON COLUMN economy.audit_runs.next_user IS
    'Where a sweep that is going goes on; null when it has seen all users.';
COMMENT ON COLUMN economy.audit_runs.findings IS
    'Findings of this sweep, new ones and those known before.';
COMMENT ON SEQUENCE economy.audit_runs_run_id_seq IS 'Numbers of audit_runs.';

CREATE TABLE economy.audit_findings (
    digest      bytea  NOT NULL,
    run_id      bigint NOT NULL,
    last_run_id bigint NOT NULL,
    gone_run_id bigint,
    user_id     bigint,
    kind        text   NOT NULL,
    expected    text,
    actual      text,
    entry       text,
    seq         bigint,
    CONSTRAINT audit_findings_pkey PRIMARY KEY (digest, run_id)
);
CREATE UNIQUE INDEX audit_findings_open_key ON economy.audit_findings (digest)
    WHERE gone_run_id IS NULL;
CREATE INDEX audit_findings_run_id_idx ON economy.audit_findings (run_id);
CREATE INDEX audit_findings_user_id_idx ON economy.audit_findings (user_id)
    WHERE gone_run_id IS NULL;
SELECT pg_catalog.pg_extension_config_dump('economy.audit_findings', '');
COMMENT ON TABLE economy.audit_findings IS
    'What the sweeps of audit_runs found: each finding once, for as long as it is there.';
COMMENT ON COLUMN economy.audit_findings.digest IS 'SHA-256 of the finding.';
COMMENT ON COLUMN economy.audit_findings.run_id IS 'The sweep that found it first.';
COMMENT ON COLUMN economy.audit_findings.last_run_id IS 'The newest sweep that found it.';
COMMENT ON COLUMN economy.audit_findings.gone_run_id IS
    'The sweep that looked and found it no more; null: it is open.';

CREATE FUNCTION economy_internal.segments_found_damaged() RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT EXISTS (SELECT FROM economy.audit_findings f
                       WHERE f.kind IN ('parity', 'orphan_row') AND f.gone_run_id IS NULL);
    END;
COMMENT ON FUNCTION economy_internal.segments_found_damaged() IS
    'Whether open findings are of what a refresh that rebuilds may put right.';

CREATE FUNCTION economy_internal.verify_new(user_id bigint) RETURNS SETOF economy.finding
    LANGUAGE c STABLE PARALLEL SAFE ROWS 1 AS 'MODULE_PATHNAME', 'eco_verify_new';
COMMENT ON FUNCTION economy_internal.verify_new(bigint) IS
    'verify_chain() for the entries after the user''s audit checkpoint.';

CREATE FUNCTION economy_internal.report_progress(task text, done bigint, total bigint) RETURNS void
    LANGUAGE c VOLATILE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'eco_report_progress';
COMMENT ON FUNCTION economy_internal.report_progress(text, bigint, bigint) IS
    'Shows in pg_stat_activity how far long work is; a null task puts the statement back.';

CREATE FUNCTION economy.progress()
    RETURNS TABLE (pid integer, task text, done bigint, total bigint, running_for interval)
    LANGUAGE sql STABLE PARALLEL RESTRICTED SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT a.pid, p.m[1], p.m[2]::bigint, p.m[3]::bigint, clock_timestamp() - a.query_start
        FROM pg_stat_activity a
        CROSS JOIN LATERAL regexp_match(
            a.query, '^economy progress: ([^ ]+) ([0-9]+) of ([0-9]+)$') p (m)
        WHERE a.state = 'active' AND a.datname = current_database() AND p.m IS NOT NULL;
    END;
COMMENT ON FUNCTION economy.progress() IS
    'Long work of this extension that runs now in this database, and how far it is.';

CREATE FUNCTION economy_internal.audit_record(
    run_id bigint, users bigint, entries bigint, findings economy.finding[]
) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    digests bytea[] := ARRAY(
        SELECT sha256(convert_to(
            jsonb_build_array(f.user_id, f.kind, f.expected, f.actual, f.entry, f.seq)::text,
            'UTF8'))
        FROM unnest(audit_record.findings) f);
BEGIN
    -- no index is named: that of open findings may be missing, which is a finding, too
    INSERT INTO economy.audit_findings AS k
            (digest, run_id, last_run_id, user_id, kind, expected, actual, entry, seq)
        SELECT DISTINCT f.digest, audit_record.run_id, audit_record.run_id, f.user_id, f.kind,
               f.expected, f.actual, f.entry, f.seq
        FROM unnest(audit_record.findings, digests)
            f (user_id, kind, expected, actual, entry, seq, digest)
        WHERE NOT EXISTS (SELECT FROM economy.audit_findings o
                          WHERE o.digest = f.digest AND o.gone_run_id IS NULL)
        -- another sweep may have just found it
        ON CONFLICT DO NOTHING;
    -- which this statement sees, as it does those that were known: none of them is gone
    UPDATE economy.audit_findings k SET last_run_id = audit_record.run_id
        WHERE k.digest = ANY (digests) AND k.gone_run_id IS NULL
          AND k.last_run_id < audit_record.run_id;
    UPDATE economy.audit_runs r SET
            users = r.users + audit_record.users,
            entries = r.entries + audit_record.entries,
            findings = r.findings + cardinality(audit_record.findings)
        WHERE r.run_id = audit_record.run_id;
END
$$;
COMMENT ON FUNCTION economy_internal.audit_record(bigint, bigint, bigint, economy.finding[]) IS
    'Writes findings of a sweep into audit_findings, each once while it is open, and counts them.';

CREATE FUNCTION economy_internal.audit_finish(run_id bigint) RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        UPDATE economy.audit_findings k SET gone_run_id = r.run_id
            FROM economy.audit_runs r
            WHERE r.run_id = audit_finish.run_id AND r.kind = 'full' AND k.gone_run_id IS NULL
              AND k.last_run_id < r.run_id;
        -- a stream that was damaged and is clean is for the incremental sweep again
        UPDATE economy_internal.audit_checkpoints c SET damaged_seq = NULL
            WHERE c.damaged_seq IS NOT NULL
              AND (SELECT r.kind = 'full' FROM economy.audit_runs r
                   WHERE r.run_id = audit_finish.run_id)
              AND NOT EXISTS (SELECT FROM economy.audit_findings k
                              WHERE k.user_id = c.user_id AND k.gone_run_id IS NULL);
        UPDATE economy.audit_runs r SET finished_at = clock_timestamp(), next_user = NULL
            WHERE r.run_id = audit_finish.run_id;
    END;
COMMENT ON FUNCTION economy_internal.audit_finish(bigint) IS
    'Ends a sweep; what a full one has not found any more is gone.';

CREATE TYPE economy_internal.audit_batch AS (
    from_user bigint,
    upto_user bigint,
    users     bigint,
    entries   bigint,
    findings  economy.finding[]
);
COMMENT ON TYPE economy_internal.audit_batch IS
    'Users that were looked at together, and what was found.';

-- What stops a check is a finding, and stops no other.
CREATE FUNCTION economy_internal.audit_failed(user_id bigint, what text, message text)
    RETURNS economy.finding
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC SELECT (user_id, 'sweep_failed', what, message, NULL, NULL)::economy.finding; END;
COMMENT ON FUNCTION economy_internal.audit_failed(bigint, text, text) IS
    'A finding for a check that ended with an error.';

CREATE FUNCTION economy_internal.audit_stream(user_id bigint) RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH found AS MATERIALIZED (
            SELECT f.*, row_number() OVER () AS n
            FROM economy.verify_chain(audit_stream.user_id) f
        )
        SELECT f.user_id, f.kind, f.expected, f.actual, f.entry, f.seq
        FROM found f WHERE f.n <= 1000
        UNION ALL
        SELECT audit_stream.user_id, 'more_findings', 'economy.verify_chain() tells all',
               format('%s findings', count(*)), NULL, NULL
        FROM found f
        HAVING count(*) > 1000;
    END;
COMMENT ON FUNCTION economy_internal.audit_stream(bigint) IS
    'verify_chain() of a user for a sweep: '
    'of many findings the first 1000, and how many there are.';

CREATE FUNCTION economy_internal.audit_each(users bigint[]) RETURNS SETOF economy.finding
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    who bigint;
BEGIN
    FOREACH who IN ARRAY users LOOP
        BEGIN
            RETURN QUERY SELECT f.* FROM economy_internal.audit_stream(who) f;
        EXCEPTION WHEN OTHERS THEN
            RETURN NEXT economy_internal.audit_failed(who, 'verify_chain() to end', SQLERRM);
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION economy_internal.audit_each(bigint[]) IS
    'Part of audit_streams(): user by user, an error in one of them is a finding.';

CREATE FUNCTION economy_internal.audit_streams(users bigint[]) RETURNS economy.finding[]
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    BEGIN
        RETURN ARRAY(SELECT f::economy.finding FROM unnest(users) u
                     CROSS JOIN LATERAL economy_internal.audit_stream(u) f);
    EXCEPTION WHEN OTHERS THEN
        NULL;   -- one by one
    END;
    RETURN ARRAY(SELECT f::economy.finding FROM economy_internal.audit_each(users) f);
END
$$;
COMMENT ON FUNCTION economy_internal.audit_streams(bigint[]) IS
    'audit_stream() of these users; an error in one of them is a finding.';

CREATE FUNCTION economy_internal.audit_pieces(part text, from_user bigint, upto_user bigint)
    RETURNS economy.finding[]
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    pieces   CONSTANT text[] := CASE part
        WHEN 'users' THEN ARRAY['effects', 'twice', 'orphans', 'rewards', 'units', 'segments',
                                'recommendations', 'anchored', 'parity']
        ELSE ARRAY['schema', 'stock', 'shop', 'config', 'keys', 'segment_state', 'anchors'] END;
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
COMMENT ON FUNCTION economy_internal.audit_pieces(text, bigint, bigint) IS
    'The checks of the users from one id to another (users), or of all else (rest); '
    'one that ends with an error is a finding.';

-- The ranges of all batches leave no id out: what is of a user that there is not
-- is found as well.
CREATE FUNCTION economy_internal.audit_next(
    from_user bigint, max_users integer, since timestamptz DEFAULT NULL
) RETURNS economy_internal.audit_batch
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET TimeZone = 'UTC'
    SET DateStyle = 'ISO, YMD' AS $$
DECLARE
    -- a batch has about so many entries, or one user, and ends when so much was found
    max_entries  CONSTANT bigint := 200000;
    max_findings CONSTANT integer := 10000;
    slice        CONSTANT integer := 20;
    batch        economy_internal.audit_batch;
    chosen       bigint[];
BEGIN
    batch.from_user := from_user;
    SELECT max(n.user_id) FILTER (WHERE n.number = max_users OR n.entries > max_entries)
        INTO batch.upto_user
        FROM (SELECT m.user_id, m.seq, row_number() OVER w AS number,
                     sum(m.seq) OVER w AS entries
              FROM (SELECT a.user_id, a.seq FROM economy.accounts a
                    WHERE a.user_id >= from_user ORDER BY a.user_id LIMIT max_users) m
              WINDOW w AS (ORDER BY m.user_id ROWS UNBOUNDED PRECEDING)) n
        WHERE n.entries - n.seq <= max_entries;
    batch.upto_user := coalesce(batch.upto_user, 9223372036854775807);
    chosen := ARRAY(
        SELECT a.user_id FROM economy.accounts a
        WHERE a.user_id BETWEEN from_user AND batch.upto_user AND (since IS NULL OR EXISTS (
            SELECT FROM economy.ledger l
            WHERE l.user_id = a.user_id AND l.seq = a.seq AND l.created_at >= since))
        ORDER BY a.user_id);
    batch.findings := '{}';
    FOR n IN 0 .. (cardinality(chosen) - 1) / slice LOOP
        batch.findings := batch.findings
            || economy_internal.audit_streams(chosen[n * slice + 1 : (n + 1) * slice]);
        IF cardinality(batch.findings) >= max_findings
           AND (n + 1) * slice < cardinality(chosen) THEN
            chosen := chosen[: (n + 1) * slice];
            batch.upto_user := chosen[(n + 1) * slice];
        END IF;
        EXIT WHEN (n + 1) * slice >= cardinality(chosen);
    END LOOP;
    SELECT count(*), coalesce(sum(a.seq - coalesce((
               SELECT sum(p.total) FROM economy.pruned_stats p WHERE p.user_id = a.user_id), 0)
               - coalesce((
               SELECT sum(m.entries) FROM economy.archives m WHERE m.user_id = a.user_id), 0)), 0)
    INTO batch.users, batch.entries
    FROM unnest(chosen) u (user_id) JOIN economy.accounts a USING (user_id);
    batch.findings := batch.findings
        || economy_internal.audit_pieces('users', from_user, batch.upto_user);
    RETURN batch;
END
$$;
COMMENT ON FUNCTION economy_internal.audit_next(bigint, integer, timestamptz) IS
    'Checks the streams, and all else that is of users, from an id on, of at most max_users users; '
    'since leaves out the streams without an entry since then.';

CREATE FUNCTION economy.audit_sweep(since timestamptz DEFAULT NULL) RETURNS SETOF economy.finding
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp SET TimeZone = 'UTC'
    SET DateStyle = 'ISO, YMD' AS $$
DECLARE
    -- on a standby, and in a read-only transaction, the answer is all there is
    recorded CONSTANT boolean := NOT current_setting('transaction_read_only')::boolean;
    batch    economy_internal.audit_batch := ('-9223372036854775808', NULL, 0, 0, '{}');
    run      bigint;
    done     bigint := 0;
    total    bigint;
BEGIN
    PERFORM economy_internal.open_tables('accounts');
    SELECT count(*) INTO total FROM economy.accounts;
    PERFORM economy_internal.report_progress('audit_sweep', 0, total);
    PERFORM economy_internal.open_all_tables();
    IF recorded THEN
        INSERT INTO economy.audit_runs AS r
                (kind, since, started_at, finished_at, users, entries, findings)
            VALUES (CASE WHEN audit_sweep.since IS NULL THEN 'full' ELSE 'since' END,
                    audit_sweep.since, clock_timestamp(), clock_timestamp(), 0, 0, 0)
            RETURNING r.run_id INTO run;
    END IF;
    LOOP
        PERFORM economy_internal.report_progress('audit_sweep', done, greatest(total, done));
        batch := economy_internal.audit_next(batch.from_user, 10000, since);
        IF recorded THEN
            PERFORM economy_internal.audit_record(run, batch.users, batch.entries, batch.findings);
        END IF;
        RETURN QUERY SELECT f.* FROM unnest(batch.findings) f;
        done := done + batch.users;
        EXIT WHEN batch.upto_user = 9223372036854775807;
        batch.from_user := batch.upto_user + 1;
    END LOOP;
    PERFORM economy_internal.report_progress('audit_rest', done, done);
    batch.findings := economy_internal.audit_pieces('rest', NULL, NULL);
    IF recorded THEN
        PERFORM economy_internal.audit_record(run, 0, 0, batch.findings);
        PERFORM economy_internal.audit_finish(run);
    END IF;
    RETURN QUERY SELECT f.* FROM unnest(batch.findings) f;
    PERFORM economy_internal.report_progress(NULL, NULL, NULL);
END
$$;
COMMENT ON FUNCTION economy.audit_sweep(timestamptz) IS
    'Checks the invariants and returns a row per finding; none means clean. '
    'since restricts the streams to users whose newest entry is at or after it. One transaction: '
    'for large databases there is the job. Recorded in audit_runs; progress in economy.progress().';

CREATE FUNCTION economy.audit_step(max_users integer DEFAULT 2000)
    RETURNS TABLE (users bigint, findings bigint)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 1
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    batch economy_internal.audit_batch;
    run   economy.audit_runs;
BEGIN
    PERFORM economy_internal.require_positive('max_users', max_users);
    PERFORM economy_internal.open_all_tables();
    PERFORM economy_internal.lock_name('economy.audit_step');
    SELECT * INTO run FROM economy.audit_runs r
        WHERE r.kind = 'full' AND r.finished_at IS NULL FOR UPDATE;
    IF NOT found THEN
        INSERT INTO economy.audit_runs AS r
                (kind, started_at, next_user, users, entries, findings)
            VALUES ('full', clock_timestamp(), '-9223372036854775808', 0, 0, 0)
            RETURNING * INTO run;
    END IF;
    IF run.next_user IS NULL THEN
        batch.findings := economy_internal.audit_pieces('rest', NULL, NULL);
        PERFORM economy_internal.audit_record(run.run_id, 0, 0, batch.findings);
        PERFORM economy_internal.audit_finish(run.run_id);
        RETURN QUERY SELECT 0::bigint, cardinality(batch.findings)::bigint;
        RETURN;
    END IF;
    batch := economy_internal.audit_next(run.next_user, max_users);
    PERFORM economy_internal.audit_record(run.run_id, batch.users, batch.entries, batch.findings);
    UPDATE economy.audit_runs r SET next_user =
        CASE WHEN batch.upto_user < 9223372036854775807
             THEN batch.upto_user + 1 END WHERE r.run_id = run.run_id;
    RETURN QUERY SELECT greatest(batch.users, 1), cardinality(batch.findings)::bigint;
END
$$;
COMMENT ON FUNCTION economy.audit_step(integer) IS
    'The next part of a full sweep, of at most max_users users: begins one, '
    'or goes on with the one that is going, also after a crash; '
    '0 users when it is done. What the job does.';

CREATE FUNCTION economy.audit_sweep_incremental(max_users integer DEFAULT 100000)
    RETURNS SETOF economy.finding
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp SET TimeZone = 'UTC'
    SET DateStyle = 'ISO, YMD' AS $$
DECLARE
    run       bigint;
    found_all economy.finding[];
    users     bigint;
    entries   bigint;
BEGIN
    PERFORM economy_internal.require_positive('max_users', max_users);
    PERFORM economy_internal.open_all_tables();
    -- two sweeps at once would only do the same work twice
    PERFORM economy_internal.lock_name('economy.audit_sweep_incremental');
    INSERT INTO economy.audit_runs AS r
            (kind, started_at, finished_at, users, entries, findings)
        VALUES ('incremental', clock_timestamp(), clock_timestamp(), 0, 0, 0)
        RETURNING r.run_id INTO run;
    WITH fresh AS MATERIALIZED (
        SELECT a.user_id, a.seq, a.gold, a.experience_points, a.head_hash,
               -- who is behind what was pruned begins at the first entry left
               a.seq - CASE WHEN coalesce(c.seq, 0) >= a.pruned_seq THEN coalesce(c.seq, 0)
                            ELSE coalesce((SELECT sum(p.total) FROM economy.pruned_stats p
                                           WHERE p.user_id = a.user_id), 0)
                                 + coalesce((SELECT sum(m.entries) FROM economy.archives m
                                             WHERE m.user_id = a.user_id), 0) END AS new_entries
        FROM economy.accounts a LEFT JOIN economy_internal.audit_checkpoints c USING (user_id)
        -- a damaged stream is looked at again when there is more of it: none keeps others waiting
        WHERE a.seq IS DISTINCT FROM coalesce(c.damaged_seq, c.seq, 0)
        ORDER BY a.user_id LIMIT max_users
    ), checked AS MATERIALIZED (
        SELECT f.user_id, f.seq, f.gold, f.experience_points, f.head_hash, f.new_entries,
               ARRAY(SELECT v::economy.finding
                     FROM economy_internal.verify_new(f.user_id) v LIMIT 1000) AS findings
        FROM fresh f
    ), clean AS (
        INSERT INTO economy_internal.audit_checkpoints AS c
            SELECT k.user_id, k.seq, k.gold, k.experience_points, k.head_hash, NULL
            FROM checked k WHERE cardinality(k.findings) = 0
            ON CONFLICT ON CONSTRAINT audit_checkpoints_pkey DO UPDATE SET
                seq = excluded.seq, gold = excluded.gold,
                experience_points = excluded.experience_points, hash = excluded.hash,
                damaged_seq = NULL
    ), damaged AS (
        INSERT INTO economy_internal.audit_checkpoints AS c
            SELECT k.user_id, 0, 0, 0, decode(repeat('00', 32), 'hex'), k.seq
            FROM checked k WHERE cardinality(k.findings) > 0
            ON CONFLICT ON CONSTRAINT audit_checkpoints_pkey DO UPDATE
                SET damaged_seq = excluded.damaged_seq
    )
    SELECT count(*), coalesce(sum(k.new_entries), 0),
           ARRAY(SELECT u::economy.finding
                 FROM checked c2 CROSS JOIN LATERAL unnest(c2.findings) u)
    INTO users, entries, found_all FROM checked k;
    PERFORM economy_internal.audit_record(run, users, entries, found_all);
    PERFORM economy_internal.audit_finish(run);
    RETURN QUERY SELECT f.* FROM unnest(found_all) f;
END
$$;
COMMENT ON FUNCTION economy.audit_sweep_incremental(integer) IS
    'Verifies only the entries since the last clean sweep of each user, '
    'for at most max_users users a call; audit_runs.users of the call is 0 when nothing is left. '
    'A damaged stream is looked at again when it has new entries, or by a full sweep.';

-- Readers

CREATE FUNCTION economy.audit_open(max integer DEFAULT 1000)
    RETURNS TABLE (
        user_id bigint, kind text, expected text, actual text, entry text, seq bigint,
        first_seen timestamptz, last_seen timestamptz
    )
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.require_limit('max', audit_open.max);
        SELECT economy_internal.open_tables('audit_findings', 'audit_runs');
        SELECT k.user_id, k.kind, k.expected, k.actual, k.entry, k.seq, r.started_at, l.started_at
        FROM economy.audit_findings k
        LEFT JOIN economy.audit_runs r ON r.run_id = k.run_id
        LEFT JOIN economy.audit_runs l ON l.run_id = k.last_run_id
        WHERE k.gone_run_id IS NULL
        ORDER BY k.run_id, k.user_id, k.seq, k.kind LIMIT max;
    END;
COMMENT ON FUNCTION economy.audit_open(integer) IS
    'Findings that are open: found, and not gone when a full sweep looked again. The oldest first.';

CREATE FUNCTION economy.audit_history(max integer DEFAULT 100)
    RETURNS TABLE (
        run_id bigint, kind text, started_at timestamptz, finished_at timestamptz, users bigint,
        entries bigint, findings bigint, new_findings bigint
    )
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.require_limit('max', audit_history.max);
        SELECT economy_internal.open_tables('audit_findings', 'audit_runs');
        SELECT r.run_id, r.kind, r.started_at, r.finished_at, r.users, r.entries, r.findings,
               (SELECT count(*) FROM economy.audit_findings k WHERE k.run_id = r.run_id)
        FROM economy.audit_runs r ORDER BY r.run_id DESC LIMIT max;
    END;
COMMENT ON FUNCTION economy.audit_history(integer) IS
    'The last sweeps, the newest first: finished_at is null for one that is going.';
-- anchor: the heads of all streams at one time, signed, to be kept outside

CREATE TABLE economy.anchors (
    anchor_id     bigint      NOT NULL CONSTRAINT anchors_pkey PRIMARY KEY,
    taken_at      timestamptz NOT NULL,
    next_user     bigint,
    users         bigint      NOT NULL,
    entries       bigint      NOT NULL,
    digest        bytea,
    digest_before bytea       NOT NULL,
    key_version   integer,
    signature     bytea
);
SELECT pg_catalog.pg_extension_config_dump('economy.anchors', '');
COMMENT ON TABLE economy.anchors IS
    'Anchors: signed digests of the heads of all streams and of the history of the configuration.';
COMMENT ON COLUMN economy.anchors.next_user IS
    'While it is being taken: where to go on; null when it is done.';
COMMENT ON COLUMN economy.anchors.entries IS 'Sum of the seqs of all heads.';
COMMENT ON COLUMN economy.anchors.digest IS
    'SHA-256 of the digests of anchor_buckets, in the order of bucket.';
COMMENT ON COLUMN economy.anchors.digest_before IS
    'Digest of the anchor before it: an anchor vouches for those before.';

CREATE TABLE economy.anchor_heads (
    user_id   bigint NOT NULL,
    anchor_id bigint NOT NULL,
    seq       bigint NOT NULL,
    hash      bytea  NOT NULL,
    CONSTRAINT anchor_heads_pkey PRIMARY KEY (user_id, anchor_id)
);
SELECT pg_catalog.pg_extension_config_dump('economy.anchor_heads', '');
COMMENT ON TABLE economy.anchor_heads IS
    'Newest entry of each stream at an anchor; a row stands until the next one of the user.';

CREATE TABLE economy.anchor_config (
    relation  text   NOT NULL COLLATE "C",
    key       text   NOT NULL COLLATE "C",
    anchor_id bigint NOT NULL,
    change_no bigint NOT NULL,
    hash      bytea  NOT NULL,
    CONSTRAINT anchor_config_pkey PRIMARY KEY (relation, key, anchor_id)
);
SELECT pg_catalog.pg_extension_config_dump('economy.anchor_config', '');
COMMENT ON TABLE economy.anchor_config IS
    'Newest of config_changes per key at an anchor; a row stands until the next one of the key.';

CREATE TABLE economy.anchor_buckets (
    anchor_id bigint NOT NULL,
    bucket    bigint NOT NULL,
    users     bigint NOT NULL,
    entries   bigint NOT NULL,
    gold      numeric NOT NULL,
    xp        numeric NOT NULL,
    digest    bytea  NOT NULL,
    CONSTRAINT anchor_buckets_pkey PRIMARY KEY (anchor_id, bucket)
);
SELECT pg_catalog.pg_extension_config_dump('economy.anchor_buckets', '');
COMMENT ON TABLE economy.anchor_buckets IS
    'Digests of an anchor, to find where one that does not agree differs.';
COMMENT ON COLUMN economy.anchor_buckets.bucket IS
    'user_id divided by 4096; the configuration has the least bigint.';
COMMENT ON COLUMN economy.anchor_buckets.digest IS
    'SHA-256 of user_id, seq and hash of each head, in the order of user_id.';

CREATE FUNCTION economy_internal.anchor_sign(
    anchor_id bigint, taken_at timestamptz, users bigint, entries bigint, digest bytea,
    digest_before bytea,
    OUT key_version integer, OUT signature bytea
)
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_anchor_sign';
COMMENT ON FUNCTION economy_internal.anchor_sign(
    bigint, timestamptz, bigint, bigint, bytea, bytea) IS
    'Signs an anchor with the active key.';

CREATE FUNCTION economy_internal.anchor_check(
    anchor_id bigint, taken_at timestamptz, users bigint, entries bigint, digest bytea,
    digest_before bytea, key_version integer, signature bytea
) RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_anchor_check';
COMMENT ON FUNCTION economy_internal.anchor_check(
    bigint, timestamptz, bigint, bigint, bytea, bytea, integer, bytea) IS
    'OK when the signature of an anchor verifies, or WRONG_SIGNATURE, UNKNOWN_KEY or KEY_RETIRED.';

CREATE FUNCTION economy_internal.anchor_document(anchor economy.anchors) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp SET TimeZone = 'UTC'
    BEGIN ATOMIC
        SELECT jsonb_build_object(
            'anchor_id', anchor.anchor_id, 'taken_at', anchor.taken_at,
            'users', anchor.users, 'entries', anchor.entries,
            'digest', encode(anchor.digest, 'hex'),
            'digest_before', encode(anchor.digest_before, 'hex'),
            'key_version', anchor.key_version, 'signature', encode(anchor.signature, 'hex'));
    END;
COMMENT ON FUNCTION economy_internal.anchor_document(economy.anchors) IS
    'An anchor as the document that is kept outside.';

-- One statement reads accounts, so that heads and digests are of one snapshot.
CREATE FUNCTION economy_internal.anchor_range(anchor_id bigint, from_user bigint, upto_user bigint)
    RETURNS bigint
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH head AS MATERIALIZED (
            SELECT a.user_id, a.seq, a.head_hash AS hash, a.gold, a.experience_points AS xp
            FROM economy.accounts a WHERE a.user_id BETWEEN from_user AND upto_user
        ), kept AS (
            INSERT INTO economy.anchor_heads
            SELECT h.user_id, anchor_range.anchor_id, h.seq, h.hash FROM head h
            LEFT JOIN LATERAL (
                SELECT k.seq, k.hash FROM economy.anchor_heads k WHERE k.user_id = h.user_id
                ORDER BY k.anchor_id DESC LIMIT 1) k ON true
            WHERE (k.seq, k.hash) IS DISTINCT FROM (h.seq, h.hash)
        ), counted AS (
            INSERT INTO economy.anchor_buckets
            SELECT anchor_range.anchor_id, h.user_id >> 12, count(*), sum(h.seq), sum(h.gold),
                   sum(h.xp),
                   sha256(string_agg(int8send(h.user_id) || int8send(h.seq) || h.hash,
                                     '' ORDER BY h.user_id))
            FROM head h GROUP BY 2
        )
        SELECT count(*) FROM head;
    END;
COMMENT ON FUNCTION economy_internal.anchor_range(bigint, bigint, bigint) IS
    'Takes the heads of the users from one id to another into an anchor; whole buckets.';

CREATE FUNCTION economy_internal.anchor_finish(anchor economy.anchors, keep integer)
    RETURNS economy.anchors
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    oldest bigint;
BEGIN
    INSERT INTO economy.anchor_config
        SELECT h.relation, h.key, anchor.anchor_id, h.change_no, h.hash
        FROM economy_internal.config_heads h
        LEFT JOIN LATERAL (
            SELECT k.change_no, k.hash FROM economy.anchor_config k
            WHERE k.relation = h.relation AND k.key = h.key
            ORDER BY k.anchor_id DESC LIMIT 1) k ON true
        WHERE (k.change_no, k.hash) IS DISTINCT FROM (h.change_no, h.hash);
    INSERT INTO economy.anchor_buckets
        SELECT anchor.anchor_id, '-9223372036854775808'::bigint, 0, 0, 0, 0,
               economy_internal.anchor_config_digest(anchor.anchor_id);
    SELECT sum(b.users), sum(b.entries), sha256(string_agg(b.digest, '' ORDER BY b.bucket))
        INTO anchor.users, anchor.entries, anchor.digest
        FROM economy.anchor_buckets b WHERE b.anchor_id = anchor.anchor_id;
    SELECT s.key_version, s.signature INTO anchor.key_version, anchor.signature
        FROM economy_internal.anchor_sign(anchor.anchor_id, anchor.taken_at, anchor.users,
                                 anchor.entries, anchor.digest, anchor.digest_before) s;
    anchor.next_user := NULL;
    UPDATE economy.anchors a SET
            next_user = NULL, users = anchor.users, entries = anchor.entries,
            digest = anchor.digest, key_version = anchor.key_version,
            signature = anchor.signature
        WHERE a.anchor_id = anchor.anchor_id;
    -- the last ones are kept, and of the heads what they need
    SELECT min(k.anchor_id) INTO oldest
        FROM (SELECT a.anchor_id FROM economy.anchors a
              ORDER BY a.anchor_id DESC LIMIT keep) k;
    DELETE FROM economy.anchor_buckets b WHERE b.anchor_id < oldest;
    DELETE FROM economy.anchors a WHERE a.anchor_id < oldest;
    DELETE FROM economy.anchor_heads h WHERE h.anchor_id < oldest AND EXISTS (
        SELECT FROM economy.anchor_heads n
        WHERE n.user_id = h.user_id AND n.anchor_id > h.anchor_id AND n.anchor_id <= oldest);
    DELETE FROM economy.anchor_config h WHERE h.anchor_id < oldest AND EXISTS (
        SELECT FROM economy.anchor_config n
        WHERE n.relation = h.relation AND n.key = h.key
          AND n.anchor_id > h.anchor_id AND n.anchor_id <= oldest);
    RETURN anchor;
END
$$;
COMMENT ON FUNCTION economy_internal.anchor_finish(economy.anchors, integer) IS
    'Takes the history of the configuration into an anchor, signs it, '
    'and deletes those that are not kept.';

CREATE FUNCTION economy_internal.anchor_config_digest(anchor_id bigint) RETURNS bytea
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT sha256(coalesce(string_agg(
            convert_to(c.relation || E'\n' || c.key || E'\n', 'UTF8')
                || int8send(c.change_no) || c.hash,
            '' ORDER BY c.relation, c.key), ''))
        FROM (SELECT DISTINCT ON (k.relation, k.key) k.* FROM economy.anchor_config k
              WHERE k.anchor_id <= anchor_config_digest.anchor_id
              ORDER BY k.relation, k.key, k.anchor_id DESC) c;
    END;
COMMENT ON FUNCTION economy_internal.anchor_config_digest(bigint) IS
    'Digest of the history of the configuration as an anchor holds it.';

CREATE FUNCTION economy.anchor_step(max_users integer DEFAULT 50000, keep integer DEFAULT 30)
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    anchor economy.anchors;
    upto   bigint;
    users  bigint;
BEGIN
    PERFORM economy_internal.require_given('max_users', max_users IS NOT NULL);
    PERFORM economy_internal.require_given('keep', keep IS NOT NULL);
    IF max_users < 1 OR keep < 1 THEN
        RAISE EXCEPTION 'max_users and keep must be 1 or more' USING ERRCODE = 'XE002';
    END IF;
    PERFORM economy_internal.open_tables(
        'accounts', 'anchors', 'anchor_heads', 'anchor_buckets', 'anchor_config',
        'economy_internal.config_heads');
    PERFORM economy_internal.lock_name('economy.anchor');
    SELECT * INTO anchor FROM economy.anchors a ORDER BY a.anchor_id DESC LIMIT 1 FOR UPDATE;
    IF anchor.next_user IS NULL OR anchor.signature IS NOT NULL THEN
        -- the first anchor goes on from 32 zeros
        INSERT INTO economy.anchors
                (anchor_id, taken_at, next_user, users, entries, digest_before)
            SELECT coalesce(anchor.anchor_id, 0) + 1, economy.now(),
                   '-9223372036854775808'::bigint, 0, 0,
                   coalesce(anchor.digest, decode(repeat('00', 32), 'hex'))
            RETURNING * INTO anchor;
    END IF;
    SELECT max(n.user_id) | 4095 INTO upto
        FROM (SELECT a.user_id FROM economy.accounts a WHERE a.user_id >= anchor.next_user
              ORDER BY a.user_id LIMIT max_users) n;
    IF upto IS NULL THEN
        anchor := economy_internal.anchor_finish(anchor, keep);
        RETURN 0;
    END IF;
    users := economy_internal.anchor_range(anchor.anchor_id, anchor.next_user, upto);
    IF upto = 9223372036854775807 THEN
        anchor := economy_internal.anchor_finish(anchor, keep);
        RETURN 0;
    END IF;
    UPDATE economy.anchors a SET next_user = upto + 1 WHERE a.anchor_id = anchor.anchor_id;
    RETURN users;
END
$$;
COMMENT ON FUNCTION economy.anchor_step(integer, integer) IS
    'Begins an anchor, or goes on with the one that is being taken, of about max_users users; '
    '0 when it is done, of which the last ones are kept. For the job.';

CREATE FUNCTION economy.anchor(keep integer DEFAULT 30) RETURNS jsonb
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    WHILE economy.anchor_step(50000, keep) > 0 LOOP
        NULL;
    END LOOP;
    RETURN economy.last_anchor();
END
$$;
COMMENT ON FUNCTION economy.anchor(integer) IS
    'Signs the newest entry of every stream, and the history of the configuration, '
    'and returns the anchor: keep it outside, verify_anchor() then finds a cut tail and a removed '
    'user. The last keep of them stay verifiable.';

CREATE FUNCTION economy.last_anchor() RETURNS jsonb
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.open_tables('anchors');
        SELECT economy_internal.anchor_document(a) FROM economy.anchors a
        WHERE a.signature IS NOT NULL ORDER BY a.anchor_id DESC LIMIT 1;
    END;
COMMENT ON FUNCTION economy.last_anchor() IS
    'The newest anchor, to keep outside; null before the first.';

-- What an anchor holds against the present: each stream still has that entry.
CREATE FUNCTION economy_internal.anchor_compare(
    anchor_id bigint, from_user bigint, upto_user bigint
) RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT h.user_id,
               CASE WHEN a.user_id IS NULL THEN 'orphan_row'
                    WHEN l.hash IS NULL AND h.seq > 0 THEN 'missing_entry'
                    ELSE 'wrong_hash' END,
               format('entry %s with hash %s, as anchor %s holds it',
                      h.seq, encode(h.hash, 'hex'), h.anchor_id),
               CASE WHEN a.user_id IS NULL THEN 'no account'
                    ELSE coalesce(encode(l.hash, 'hex'), 'nothing') END, NULL::text, h.seq
        FROM (SELECT DISTINCT ON (k.user_id) k.* FROM economy.anchor_heads k
              WHERE k.user_id BETWEEN from_user AND upto_user
                AND k.anchor_id <= anchor_compare.anchor_id
              ORDER BY k.user_id, k.anchor_id DESC) h
        LEFT JOIN economy.accounts a USING (user_id)
        LEFT JOIN LATERAL (SELECT e.hash FROM economy.ledger e
                           WHERE e.user_id = h.user_id AND e.seq = h.seq LIMIT 1) l ON h.seq > 0
        WHERE a.user_id IS NULL
           -- an entry that was pruned is behind the stream checkpoint, which is signed
           OR (h.seq > 0 AND l.hash IS DISTINCT FROM h.hash
               AND NOT (l.hash IS NULL AND h.seq < a.pruned_seq))
           -- before the first entry the head is who the user was at registration
           OR (h.seq = 0 AND a.seq = 0 AND a.head_hash <> h.hash) OR h.seq < 0;
    END;
COMMENT ON FUNCTION economy_internal.anchor_compare(bigint, bigint, bigint) IS
    'Streams of the users from one id to another that do not have the entry '
    'any more that an anchor holds.';

CREATE FUNCTION economy_internal.audit_anchored(
    from_user bigint DEFAULT '-9223372036854775808', upto_user bigint DEFAULT 9223372036854775807
) RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT f.* FROM economy_internal.anchor_compare(9223372036854775807, from_user, upto_user) f
        UNION ALL
        SELECT h.user_id, 'wrong_anchor', 'a head of an anchor that there is',
               format('anchor %s', h.anchor_id), NULL, h.seq
        FROM economy.anchor_heads h
        WHERE h.user_id BETWEEN from_user AND upto_user
          AND (h.anchor_id > (SELECT coalesce(max(a.anchor_id), 0) FROM economy.anchors a)
               OR h.anchor_id < 1)
        UNION ALL
        SELECT h.user_id, 'wrong_anchor', 'a head only where it is another than before',
               format('anchor %s', h.anchor_id), NULL, h.seq
        FROM (SELECT k.*, lag(k.hash) OVER (PARTITION BY k.user_id ORDER BY k.anchor_id)
                              AS hash_before
              FROM economy.anchor_heads k WHERE k.user_id BETWEEN from_user AND upto_user) h
        WHERE h.hash = h.hash_before;
    END;
COMMENT ON FUNCTION economy_internal.audit_anchored(bigint, bigint) IS
    'Streams against the newest heads of the anchors, of the users from one id to another.';

-- The digests of each anchor that is kept are computed anew from the heads.
CREATE FUNCTION economy_internal.anchor_inside(only_anchor bigint DEFAULT NULL)
    RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH anchor AS MATERIALIZED (
            SELECT * FROM economy.anchors a
            WHERE a.signature IS NOT NULL AND (only_anchor IS NULL OR a.anchor_id = only_anchor)
        ), head AS (
            SELECT h.user_id, h.seq, h.hash, h.anchor_id,
                   lead(h.anchor_id, 1, 9223372036854775807)
                       OVER (PARTITION BY h.user_id ORDER BY h.anchor_id) AS until
            FROM economy.anchor_heads h
        ), bucket AS MATERIALIZED (
            SELECT a.anchor_id, h.user_id >> 12 AS bucket, count(*) AS users,
                   sum(h.seq) AS entries,
                   sha256(string_agg(int8send(h.user_id) || int8send(h.seq) || h.hash,
                                     '' ORDER BY h.user_id)) AS digest
            FROM anchor a JOIN head h ON a.anchor_id >= h.anchor_id AND a.anchor_id < h.until
            GROUP BY 1, 2
            UNION ALL
            SELECT a.anchor_id, '-9223372036854775808'::bigint, 0, 0,
                   economy_internal.anchor_config_digest(a.anchor_id)
            FROM anchor a
        )
        SELECT NULL::bigint, 'wrong_anchor',
               CASE WHEN coalesce(k.bucket, b.bucket) = '-9223372036854775808'::bigint
                    THEN format('anchor %s: the configuration''s history',
                                coalesce(k.anchor_id, b.anchor_id))
                    ELSE format('anchor %s: users %s to %s with %s entries',
                                coalesce(k.anchor_id, b.anchor_id),
                                coalesce(k.bucket, b.bucket) << 12,
                                (coalesce(k.bucket, b.bucket) << 12) | 4095,
                                coalesce(k.entries, 0)) END,
               format('%s heads with %s entries, or others',
                      coalesce(b.users, 0), coalesce(b.entries, 0)), NULL::text, NULL::bigint
        FROM (SELECT * FROM economy.anchor_buckets c
              WHERE c.anchor_id IN (SELECT a.anchor_id FROM anchor a)) k
        FULL JOIN bucket b USING (anchor_id, bucket)
        WHERE (k.users, k.entries, k.digest) IS DISTINCT FROM (b.users, b.entries, b.digest)
        UNION ALL
        SELECT NULL, 'wrong_anchor', format('anchor %s: the digest of its buckets', a.anchor_id),
               'another', NULL, NULL
        FROM anchor a
        LEFT JOIN (SELECT b.anchor_id, sum(b.users) AS users, sum(b.entries) AS entries,
                          sha256(string_agg(b.digest, '' ORDER BY b.bucket)) AS digest
                   FROM economy.anchor_buckets b GROUP BY 1) b USING (anchor_id)
        WHERE (a.users, a.entries, a.digest) IS DISTINCT FROM (b.users, b.entries, b.digest);
    END;
COMMENT ON FUNCTION economy_internal.anchor_inside(bigint) IS
    'Anchors whose digests are not those of the heads that are kept with them.';

CREATE FUNCTION economy_internal.audit_anchors() RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT f.* FROM economy_internal.anchor_inside() f
        UNION ALL
        SELECT NULL::bigint, 'wrong_anchor',
               format('anchor %s, signed, behind the one before it', a.anchor_id), c.answer,
               NULL::text, NULL::bigint
        FROM (SELECT a.*, lag(a.anchor_id) OVER w AS id_before,
                     lag(a.digest) OVER w AS known_before,
                     lead(a.anchor_id) OVER w IS NOT NULL AS is_old
              FROM economy.anchors a WINDOW w AS (ORDER BY a.anchor_id)) a
        CROSS JOIN LATERAL (
            SELECT CASE WHEN a.signature IS NULL AND a.next_user IS NOT NULL AND NOT a.is_old
                        THEN 'OK'
                        ELSE economy_internal.anchor_check(
                            a.anchor_id, a.taken_at, a.users, a.entries, a.digest,
                            a.digest_before, a.key_version, a.signature) END) c (answer)
        WHERE c.answer NOT IN ('OK', 'KEY_RETIRED') OR a.id_before <> a.anchor_id - 1
           OR a.known_before IS DISTINCT FROM
              coalesce(CASE WHEN a.id_before IS NOT NULL THEN a.digest_before END, a.known_before)
           OR (a.next_user IS NULL) <> (a.signature IS NOT NULL)
        UNION ALL
        SELECT NULL, 'wrong_anchor', 'an anchor of its buckets',
               format('buckets of anchor %s', b.anchor_id), NULL, NULL
        FROM (SELECT DISTINCT b.anchor_id FROM economy.anchor_buckets b) b
        WHERE NOT EXISTS (SELECT FROM economy.anchors a WHERE a.anchor_id = b.anchor_id)
        UNION ALL
        SELECT NULL, 'wrong_config',
               format('change %s of %s %s, as anchor %s holds it',
                      k.change_no, k.relation, k.key, k.anchor_id),
               coalesce(encode(c.hash, 'hex'), 'nothing'), NULL, NULL
        FROM economy.anchor_config k
        LEFT JOIN economy.config_changes c USING (relation, key, change_no)
        WHERE c.hash IS DISTINCT FROM k.hash
           OR k.anchor_id > (SELECT coalesce(max(a.anchor_id), 0) FROM economy.anchors a)
           OR k.anchor_id < 1
        UNION ALL
        SELECT NULL, 'wrong_anchor',
               'a head of the configuration only where it is another than before',
               format('%s %s in anchor %s', k.relation, k.key, k.anchor_id), NULL, NULL
        FROM (SELECT c.*, lag(c.hash) OVER (PARTITION BY c.relation, c.key ORDER BY c.anchor_id)
                              AS hash_before
              FROM economy.anchor_config c) k
        WHERE k.hash = k.hash_before;
    END;
COMMENT ON FUNCTION economy_internal.audit_anchors() IS
    'Anchors against their signatures, each other and what is kept with them; '
    'the history of the configuration against them.';

CREATE FUNCTION economy_internal.read_anchor(anchor jsonb) RETURNS economy.anchors
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp SET TimeZone = 'UTC'
    SET DateStyle = 'ISO, YMD' AS $$
DECLARE
    given economy.anchors;
    wrong text;
BEGIN
    PERFORM economy_internal.require_given('anchor', anchor IS NOT NULL);
    BEGIN
        SELECT r.anchor_id, r.taken_at, r.users, r.entries, decode(r.digest, 'hex'),
               decode(r.digest_before, 'hex'), r.key_version, decode(r.signature, 'hex')
            INTO STRICT given.anchor_id, given.taken_at, given.users, given.entries,
                 given.digest, given.digest_before, given.key_version, given.signature
            FROM jsonb_to_record(anchor) r (
                anchor_id bigint, taken_at timestamptz, users bigint, entries bigint,
                digest text, digest_before text, key_version integer, signature text);
        -- what is written back is what was given, but for the text of the time
        SELECT format('Its member "%s" is missing or wrong.', m.key) INTO wrong
            FROM jsonb_each(economy_internal.anchor_document(given)) m
            WHERE m.value = 'null'
               OR CASE m.key WHEN 'taken_at' THEN anchor ->> 'taken_at' !~ '^[0-9]{4}'
                             ELSE m.value IS DISTINCT FROM anchor -> m.key END
               OR (m.key IN ('digest', 'digest_before', 'signature')
                   AND length(m.value #>> '{}') <> 64)
            ORDER BY 1 LIMIT 1;
    EXCEPTION WHEN data_exception OR datatype_mismatch OR feature_not_supported THEN
        wrong := format('%s.', SQLERRM);
    END;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'this is no anchor' USING ERRCODE = 'XE002', DETAIL = left(wrong, 200),
            HINT = 'Anchors are made by economy.anchor().';
    END IF;
    RETURN given;
END
$$;
COMMENT ON FUNCTION economy_internal.read_anchor(jsonb) IS
    'The anchor that a document says; XE002 when it says none.';

CREATE FUNCTION economy_internal.verify_anchor_seen(given economy.anchors)
    RETURNS SETOF economy.finding
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    inside economy.anchors;
    answer text;
BEGIN
    answer := economy_internal.anchor_check(
        given.anchor_id, given.taken_at, given.users, given.entries, given.digest,
        given.digest_before, given.key_version, given.signature);
    IF answer NOT IN ('OK', 'KEY_RETIRED') THEN
        RETURN NEXT (NULL, 'wrong_anchor', 'an anchor that a key of this database has signed',
                     answer, NULL, NULL)::economy.finding;
        RETURN;
    END IF;
    SELECT * INTO inside FROM economy.anchors a
        WHERE a.anchor_id = given.anchor_id AND a.signature IS NOT NULL;
    IF NOT found AND given.anchor_id < (SELECT min(a.anchor_id) FROM economy.anchors a) THEN
        RAISE EXCEPTION 'anchor % is not kept any more', given.anchor_id
            USING ERRCODE = 'XE002', HINT = 'A newer one vouches for it.';
    END IF;
    IF (inside.digest, inside.users, inside.entries)
       IS DISTINCT FROM (given.digest, given.users, given.entries) THEN
        RETURN NEXT (NULL, 'wrong_anchor',
                     format('anchor %s with digest %s', given.anchor_id,
                            encode(given.digest, 'hex')),
                     coalesce(encode(inside.digest, 'hex'), 'nothing'), NULL,
                     NULL)::economy.finding;
    END IF;
    RETURN QUERY SELECT f.* FROM economy_internal.anchor_inside(given.anchor_id) f;
    RETURN QUERY SELECT f.* FROM economy_internal.anchor_compare(
        given.anchor_id, '-9223372036854775808'::bigint, 9223372036854775807) f;
END
$$;
COMMENT ON FUNCTION economy_internal.verify_anchor_seen(economy.anchors) IS
    'verify_anchor(), once its tables are open.';

CREATE FUNCTION economy.verify_anchor(anchor jsonb) RETURNS SETOF economy.finding
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.open_tables(
            'anchors', 'anchor_heads', 'anchor_buckets', 'anchor_config', 'accounts',
            'shop_transactions', 'reward_audit', 'user_actions', 'gold_adjustments',
            'user_changes');
        SELECT * FROM economy_internal.verify_anchor_seen(economy_internal.read_anchor(anchor));
    END;
COMMENT ON FUNCTION economy.verify_anchor(jsonb) IS
    'Checks an anchor that was kept outside: its signature, and that every stream still '
    'has the entry that was its newest then. A row per finding; '
    'none means that nothing was cut off and nobody removed.';
-- checks: what the audit asks, of the users from one id to another, and of the rest

-- The state of all that is configuration. note_change() writes it down, and
-- audit_config() compares; seed_digest() holds the seeds.  Each star is in a subquery,
-- where it stands for the columns of the installation: a column that a DBA adds is
-- no configuration.
CREATE VIEW economy.config_states AS
    SELECT 'shop_products'::text COLLATE "C" AS relation, p.product_id::text COLLATE "C" AS key,
           to_jsonb(p) AS state
    FROM (SELECT * FROM economy.shop_products) p
    UNION ALL
    SELECT 'level_curves', c.curve, jsonb_agg(to_jsonb(c) - 'curve' ORDER BY c.level)
    FROM (SELECT * FROM economy.level_curves) c GROUP BY c.curve
    UNION ALL
    SELECT 'level_experiments', e.experiment,
           jsonb_agg(to_jsonb(e) - 'experiment' ORDER BY e.arm)
    FROM (SELECT * FROM economy.level_experiments) e GROUP BY e.experiment
    UNION ALL
    SELECT 'games', g.game, to_jsonb(g)
    FROM (SELECT * FROM economy.games) g WHERE NOT g.builtin
    UNION ALL
    SELECT 'rfm_models', m.model, to_jsonb(m)
    FROM (SELECT * FROM economy.rfm_models) m WHERE NOT m.builtin
    UNION ALL
    SELECT 'segment_rules', r.version::text, jsonb_build_object(
               'rules', jsonb_agg(to_jsonb(r) ORDER BY r.position),
               'change', (SELECT jsonb_agg(to_jsonb(c))
                          FROM (SELECT * FROM economy.segment_rule_changes) c
                          WHERE c.version = r.version))
    FROM (SELECT * FROM economy.segment_rules) r WHERE r.version > 0 GROUP BY r.version
    UNION ALL
    SELECT 'rfm_snapshots', s.snapshot_id::text, to_jsonb(s)
    FROM (SELECT * FROM economy.rfm_snapshots) s
    UNION ALL
    SELECT 'recommendation_placements', p.placement || ':' || p.version, jsonb_build_object(
               'placement', to_jsonb(p),
               'arms', (SELECT jsonb_agg(to_jsonb(a) ORDER BY a.segment, a.position, a.arm)
                        FROM (SELECT * FROM economy.recommendation_arms) a
                        WHERE a.placement = p.placement AND a.version = p.version))
    FROM (SELECT * FROM economy.recommendation_placements) p WHERE p.version > 0
    UNION ALL
    -- a digest of the material tells nothing of it
    SELECT 'signing_keys', k.version::text,
           to_jsonb(k) - 'material'
               || jsonb_build_object('material', encode(sha256(k.material), 'hex'))
    FROM (SELECT * FROM economy.signing_keys) k;
COMMENT ON VIEW economy.config_states IS
    'What config_changes keeps the history of: each key of a relation as one JSON document. '
    'Of signing keys a digest of the material.';

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
            SELECT * FROM change c WHERE c.is_newest
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
                OR max(k.version) <> max(k.version) FILTER (WHERE k.state = 'active'));
    END;
COMMENT ON FUNCTION economy_internal.audit_keys() IS
    'Signing keys that cannot be used, and an active one that is not the only or not the newest.';

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
            SELECT s.user_id, 'a segment' FROM economy.user_segments s
            WHERE s.user_id BETWEEN from_user AND upto_user
            UNION ALL
            SELECT DISTINCT h.user_id, 'a history of segments' FROM economy.segment_history h
            WHERE h.user_id BETWEEN from_user AND upto_user
            UNION ALL
            SELECT DISTINCT d.user_id, 'recommendations' FROM economy.recommendations d
            WHERE d.user_id BETWEEN from_user AND upto_user
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

CREATE FUNCTION economy_internal.audit_stock() RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT NULL::bigint, 'wrong_stock',
               format('%s units issued of %s', coalesce(issued.units, 0), product_id),
               format('%s left and %s sold', coalesce(stock.remaining, 0),
                      coalesce(sold.units, 0)), NULL::text, NULL::bigint
        FROM (SELECT c.product_id, sum(c.units) AS units
              FROM economy.shop_product_changes c WHERE c.action = 'stock' GROUP BY 1) issued
        FULL JOIN (SELECT s.product_id, sum(s.remaining) AS remaining
                   FROM economy.shop_stock s GROUP BY 1) stock USING (product_id)
        FULL JOIN (SELECT t.product_id, sum(t.stock_units) AS units
                   FROM economy_internal.shop_purchases t WHERE t.stock_units IS NOT NULL
                   GROUP BY 1) sold USING (product_id)
        WHERE coalesce(issued.units, 0) <> coalesce(stock.remaining, 0) + coalesce(sold.units, 0)
        UNION ALL
        -- a product that is unlimited again keeps its slots
        SELECT NULL, 'wrong_stock',
               format('%s stock slots of %s, from 0',
                      coalesce(nullif(p.stock_slots, 0), s.slots, 0),
                      coalesce(p.product_id, s.product_id)),
               format('%s, from %s to %s', coalesce(s.slots, 0), s.first, s.last), NULL, NULL
        FROM economy.shop_products p
        FULL JOIN (SELECT s.product_id, count(*) AS slots, min(s.slot) AS first,
                          max(s.slot) AS last
                   FROM economy.shop_stock s GROUP BY 1) s USING (product_id)
        WHERE p.product_id IS NULL OR s.first <> 0 OR s.last <> s.slots - 1
           OR (p.stock_slots > 0 AND p.stock_slots IS DISTINCT FROM s.slots);
    END;
COMMENT ON FUNCTION economy_internal.audit_stock() IS
    'Products whose issued stock is not what is left plus what was sold (I5), '
    'or whose slots are not those that it has.';

-- Every entry that changes a streak must follow from the one it goes on from: a
-- claim by the rule, paying what the formula says; a correction; a reversal that
-- gives the newest claim's date back, and with it the streak before that claim.
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
                   r.grace_used, r.freezes_used, r.gold_delta, r.xp_delta,
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
                   bool_or(v.streak_day IS NOT NULL) AS gave_back
            FROM economy.reward_audit v
            WHERE v.user_id BETWEEN from_user AND upto_user AND v.reverses IS NOT NULL
            GROUP BY v.user_id, v.reverses
        )
        SELECT c.user_id, 'wrong_reward',
               format('%s gold and %s XP for day %s', 1000 + 200 * (c.reward_day::bigint - 1),
                      50 + 25 * (c.reward_day::bigint - 1), c.reward_day),
               format('%s gold and %s XP', c.gold_delta, c.xp_delta),
               'R' || c.user_id || '-' || c.seq, c.seq
        FROM changes c
        WHERE c.is_claim
          AND (c.gold_delta <> 1000 + 200 * (c.reward_day::bigint - 1)
               OR c.xp_delta <> 50 + 25 * (c.reward_day::bigint - 1))
        UNION ALL
        SELECT c.user_id, 'duplicate_effect', format('a claim date after %s', c.date_before),
               c.claim_date::text, 'R' || c.user_id || '-' || c.seq, c.seq
        FROM changes c WHERE c.is_claim AND c.claim_date <= c.date_before
        UNION ALL
        SELECT c.user_id, 'duplicate_effect', format('one claim of %s', c.claim_date),
               format('%s claims', count(*)), 'R' || c.user_id || '-' || max(c.seq), max(c.seq)
        FROM states c LEFT JOIN taken t ON t.user_id = c.user_id AND t.reverses = c.seq
        WHERE c.is_claim
          AND (t.gave_back OR (t.gold = c.gold_delta AND t.xp = c.xp_delta)) IS NOT TRUE
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
            FROM (SELECT t.user_id, t.quantity::bigint AS n FROM economy.shop_transactions t
                  WHERE t.effect_code = 'streak_freeze'
                    AND t.user_id BETWEEN from_user AND upto_user
                  UNION ALL
                  SELECT r.user_id, -r.freezes_used FROM economy.reward_audit r
                  WHERE r.freezes_used <> 0 AND r.user_id BETWEEN from_user AND upto_user
                  UNION ALL
                  SELECT c.user_id, c.freezes FROM economy.archives c
                  WHERE c.freezes <> 0 AND c.user_id BETWEEN from_user AND upto_user) m
            GROUP BY m.user_id) f USING (user_id)
        WHERE a.user_id BETWEEN from_user AND upto_user
          AND a.streak_freezes <> coalesce(f.freezes, 0);
    END;
COMMENT ON FUNCTION economy_internal.audit_rewards(bigint, bigint) IS
    'Daily claims against the formula and each other, reversals against their rewards, '
    'streaks and freezes against the entries, of the users from one id to another.';

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
            FROM economy_internal.shop_purchases t,
                 LATERAL (SELECT max(n.created_at) AS last_at
                          FROM economy_internal.shop_purchases n
                          WHERE n.user_id = u.user_id AND n.product_id = u.product_id) m
            WHERE t.user_id = u.user_id AND t.product_id = u.product_id
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
        FROM (SELECT s.* FROM economy.shop_transactions s
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
                            AND k.seq = a.seq);
    END;
COMMENT ON FUNCTION economy_internal.audit_shop() IS
    'Keys that are unique over all users against the purchases (I4).';

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

-- The one list of what a damage test need not find, and the documents name.
CREATE FUNCTION economy.audit_unknown() RETURNS TABLE (relation text, "column" text, why text)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        VALUES
            ('audit_findings', '*', 'a record of what was done; nothing is computed from it'),
            ('audit_runs', '*', 'a record of what was done; nothing is computed from it'),
            ('capture_refusals', '*', 'a record of what was done; nothing is computed from it'),
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
            ('rollup_positions', 'seq', 'means the same between the same two actions'),
            ('rollup_positions', '*', 'of a user without actions it means the same as none'),
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
            ('rfm_reversals', '*', 'the function that reverses a purchase is to record it'),
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
-- ops: jobs, run by pg_cron

CREATE TABLE economy.job_runs (
    run_id     bigint      GENERATED ALWAYS AS IDENTITY CONSTRAINT job_runs_pkey PRIMARY KEY,
    job        text        NOT NULL COLLATE "C",
    state      text        NOT NULL CONSTRAINT job_runs_state_check
        CHECK (state IN ('running', 'done', 'failed', 'skipped', 'lost')),
    started_at timestamptz NOT NULL,
    ended_at   timestamptz,
    rows       bigint,
    batches    integer     NOT NULL DEFAULT 0,
    position   jsonb,
    error      text,
    CONSTRAINT job_runs_ended_check CHECK ((state = 'running') = (ended_at IS NULL))
);
CREATE INDEX job_runs_job_idx ON economy.job_runs (job, run_id);
CREATE UNIQUE INDEX job_runs_running_key ON economy.job_runs (job) WHERE state = 'running';
SELECT pg_catalog.pg_extension_config_dump('economy.job_runs', '');
SELECT pg_catalog.pg_extension_config_dump('economy.job_runs_run_id_seq', '');
COMMENT ON SEQUENCE economy.job_runs_run_id_seq IS 'Numbers of the runs.';
COMMENT ON TABLE economy.job_runs IS
    'Every run of a job in the last 30 days: when, '
    'how many rows it wrote or found, and what went wrong.';
COMMENT ON COLUMN economy.job_runs.state IS
    'running; done; failed: the batch that failed was rolled back, those before it stand; skipped: '
    'the run before it was still going; lost: killed, which the next run of the job finds.';
COMMENT ON COLUMN economy.job_runs.ended_at IS 'Null while it runs; when a lost run was found.';
COMMENT ON COLUMN economy.job_runs.rows IS 'What its batches so far wrote or found.';
COMMENT ON COLUMN economy.job_runs.batches IS 'Batches that were committed.';
COMMENT ON COLUMN economy.job_runs.position IS
    'Where the next batch begins; null before the first and after the last.';

CREATE FUNCTION economy_internal.jobs()
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
COMMENT ON FUNCTION economy_internal.jobs() IS
    'The jobs of job_list(), with the statement of one batch, which is given the position where '
    'it begins (null at first) and answers the number of rows and the position of the next batch '
    '(null when all is done).';

CREATE FUNCTION economy.job_list()
    RETURNS TABLE (job text, schedule text, command text, overdue interval)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT j.job, j.schedule, format('CALL economy.run_job(%L)', j.job), j.overdue
        FROM economy_internal.jobs() j;
    END;
COMMENT ON FUNCTION economy.job_list() IS
    'The jobs that schedule() makes: when, in UTC; the command that a scheduler runs; and how '
    'long after its last good run health() calls it overdue.';

CREATE FUNCTION economy_internal.begin_job(job text, free boolean) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    keep CONSTANT interval := '720 hours';
    last economy.job_runs;
    run  economy.job_runs;
BEGIN
    IF NOT EXISTS (SELECT FROM economy.job_list() l WHERE l.job = begin_job.job) THEN
        RAISE EXCEPTION 'job "%" does not exist', left(job, 64)
            USING ERRCODE = 'XE002', HINT = 'See economy.job_list().';
    END IF;
    PERFORM economy_internal.open_tables('job_runs');
    IF NOT free THEN
        INSERT INTO economy.job_runs (job, state, started_at, ended_at, error)
            VALUES (job, 'skipped', clock_timestamp(), clock_timestamp(),
                    'the run before is still going');
        RETURN NULL;
    END IF;
    DELETE FROM economy.job_runs r WHERE r.run_id IN (
        SELECT o.run_id
        FROM (SELECT j.run_id, j.started_at FROM economy.job_runs j
              WHERE j.job = begin_job.job AND j.state <> 'running'
              ORDER BY j.run_id LIMIT 1000) o
        WHERE o.started_at < clock_timestamp() - keep);
    UPDATE economy.job_runs r SET
            state = 'lost', ended_at = clock_timestamp(),
            error = 'it had not ended, and was not going, when the next run began'
        WHERE r.job = begin_job.job AND r.state = 'running';
    SELECT * INTO last FROM economy.job_runs r
        WHERE r.job = begin_job.job AND r.state <> 'skipped' ORDER BY r.run_id DESC LIMIT 1;
    INSERT INTO economy.job_runs (job, state, started_at, position)
        VALUES (job, 'running', clock_timestamp(),
                -- a run that was cut off goes on, unless by what it met where it was
                CASE WHEN last.state = 'lost' OR last.error ~ '^(40|55|57)'
                     THEN last.position END)
        RETURNING * INTO run;
    RETURN run.run_id;
END
$$;
COMMENT ON FUNCTION economy_internal.begin_job(text, boolean) IS
    'Begin of run_job(): notes a run, or, when the job is not free, that it is skipped, '
    'which is null; tells the run before when that is lost, goes on where one was cut off, '
    'and forgets runs of more than 30 days ago.';

CREATE FUNCTION economy_internal.do_job(run_id bigint) RETURNS text
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    run     economy.job_runs;
    number  bigint;
    next    jsonb;
    message text;
    code    text;
BEGIN
    PERFORM economy_internal.open_tables('job_runs');
    SELECT * INTO run FROM economy.job_runs r
        WHERE r.run_id = do_job.run_id AND r.state = 'running' FOR UPDATE;
    IF NOT found THEN
        RETURN 'lost';
    END IF;
    BEGIN
        -- EXECUTE, because the statement is that of the job
        EXECUTE (SELECT j.statement FROM economy_internal.jobs() j WHERE j.job = run.job)
            INTO number, next USING run.position;
    EXCEPTION WHEN OTHERS OR query_canceled THEN
        GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, code = RETURNED_SQLSTATE;
        message := format('%s: %s', code, message);
        next := run.position;
        RAISE WARNING 'job "%" failed', run.job USING DETAIL = message;
    END;
    UPDATE economy.job_runs r SET
            state = CASE WHEN message IS NOT NULL THEN 'failed'
                         WHEN next IS NOT NULL THEN 'running' ELSE 'done' END,
            ended_at = CASE WHEN message IS NOT NULL OR next IS NULL THEN clock_timestamp() END,
            rows = coalesce(r.rows + number, number, r.rows),
            batches = r.batches + (message IS NULL)::integer,
            position = next, error = message
        WHERE r.run_id = do_job.run_id RETURNING * INTO run;
    RETURN run.state;
END
$$;
COMMENT ON FUNCTION economy_internal.do_job(bigint) IS
    'One batch of a run, in the transaction in which it is noted: '
    'running when there is another one to do.';

CREATE PROCEDURE economy.run_job(job text, INOUT state text DEFAULT NULL)
    LANGUAGE c AS 'MODULE_PATHNAME', 'eco_run_job';
COMMENT ON PROCEDURE economy.run_job(text, text) IS
    'Runs a job of job_list(), batch after batch with a commit after each, unless it runs already; '
    'job_runs shows the run from its begin on, and at its end whether it is done, '
    'failed or skipped, which is also the answer. An error of the job does not raise.';

CREATE FUNCTION economy.job_history(job text DEFAULT NULL, max integer DEFAULT 100)
    RETURNS TABLE (
        run_id bigint, job text, state text, started_at timestamptz, ended_at timestamptz,
        rows bigint, batches integer, error text
    )
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.require_limit('max', job_history.max);
        SELECT economy_internal.open_tables('job_runs');
        SELECT r.run_id, r.job, r.state, r.started_at, r.ended_at, r.rows, r.batches, r.error
        FROM economy.job_runs r WHERE job_history.job IS NULL OR r.job = job_history.job
        ORDER BY r.run_id DESC LIMIT least(job_history.max, 10000);
    END;
COMMENT ON FUNCTION economy.job_history(text, integer) IS
    'The runs of a job, or of all, newest first, at most max (10,000) of them.';

CREATE FUNCTION economy_internal.cron_there() RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    home CONSTANT text := current_setting('cron.database_name', true);
BEGIN
    IF EXISTS (SELECT FROM pg_extension e WHERE e.extname = 'pg_cron') THEN
        RETURN;
    END IF;
    IF home <> current_database() THEN
        RAISE EXCEPTION 'pg_cron is not installed in this database' USING ERRCODE = 'XE802',
            DETAIL = format('It runs the jobs of the database "%s".', home),
            HINT = format(
                'There, for each row of economy.job_list(): '
                'SELECT cron.schedule_in_database(''economy %1$s: '' || job, schedule, '
                'command, %1$L); '
                'or set cron.database_name = %1$L, restart, and CREATE EXTENSION pg_cron here.',
                current_database());
    END IF;
    RAISE EXCEPTION 'pg_cron is not installed in this database' USING ERRCODE = 'XE802',
        HINT = format('Install it (Debian: postgresql-%s-cron), '
                      'add pg_cron to shared_preload_libraries, '
                      'set cron.database_name = %L, restart, and CREATE EXTENSION pg_cron; '
                      'or let another scheduler CALL economy.run_job().',
                      current_setting('server_version_num')::integer / 10000, current_database());
END
$$;
COMMENT ON FUNCTION economy_internal.cron_there() IS
    'Raises XE802 with what to do when pg_cron is not there.';

CREATE FUNCTION economy.schedule() RETURNS TABLE (job text, schedule text, command text)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    own text;
BEGIN
    PERFORM economy_internal.cron_there();
    FOR job, schedule, command IN
        SELECT l.job, l.schedule, l.command FROM economy.job_list() l
    LOOP
        -- EXECUTE, because pg_cron's objects are not there where it is not installed
        EXECUTE $query$
            SELECT j.schedule FROM cron.job j
            WHERE j.jobname = $1 AND j.database = current_database()
              AND j.username = current_user
            $query$ INTO own USING 'economy: ' || job;
        schedule := coalesce(own, schedule);
        EXECUTE 'SELECT cron.schedule($1, $2, $3)' USING 'economy: ' || job, schedule, command;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION economy.schedule() IS
    'Makes the pg_cron jobs of job_list(), or puts their commands right; '
    'a job that is there keeps its time. XE802 without pg_cron.';

CREATE FUNCTION economy.unschedule() RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    removed integer;
BEGIN
    PERFORM economy_internal.cron_there();
    -- EXECUTE, because pg_cron's objects are not there where it is not installed
    EXECUTE $query$
        SELECT count(cron.unschedule(j.jobid)) FROM cron.job j
        WHERE j.jobname LIKE 'economy: %' AND j.database = current_database()
        $query$ INTO removed;
    RETURN removed;
END
$$;
COMMENT ON FUNCTION economy.unschedule() IS
    'Removes the jobs that schedule() made and returns their number.';
-- demo: a small shop to try things in, and a synthetic workload

CREATE FUNCTION economy.seed_demo() RETURNS TABLE (external_id text, user_id bigint, gold bigint)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    p jsonb;
    u record;
    t timestamptz := economy.now();
BEGIN
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
         "effect_code": "mount_dragon"}
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
    'Fills a demo shop: 4 conversions, 5 items, 3 limited packages, invite code 5858, four users. '
    'Running it again changes nothing.';

CREATE FUNCTION economy.simulate(users integer, actions integer, seed bigint)
    RETURNS TABLE (state text, code text, results bigint)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    chunk CONSTANT integer := 10000;
    ids   bigint[];
    done  integer := 0;
    batch jsonb;
    tally jsonb := '{}';
    r     record;
BEGIN
    PERFORM economy_internal.require_given('users', users IS NOT NULL);
    PERFORM economy_internal.require_given('actions', actions IS NOT NULL);
    PERFORM economy_internal.require_given('seed', seed IS NOT NULL);
    IF users NOT BETWEEN 1 AND 10000000 OR actions NOT BETWEEN 0 AND 100000000 THEN
        RAISE EXCEPTION 'simulate() takes 1 to 10 million users and 0 to 100 million actions'
            USING ERRCODE = 'XE002';
    END IF;
    -- the same seed finds the same users again
    SELECT array_agg(economy.register(format('sim-%s-%s', seed, n)) ORDER BY n) INTO ids
        FROM generate_series(1, users) n;
    FOR batch IN
        SELECT jsonb_agg(jsonb_build_object(
            'user_id', ids[n], 'source', 'simulate', 'external_event_id', 'opening',
            'gold', 1000000))
        FROM generate_series(1, users) n GROUP BY n / chunk
    LOOP
        PERFORM economy.grant_rewards(batch);
    END LOOP;
    WHILE done < actions LOOP
        PERFORM economy_internal.report_progress('simulate', done, actions);
        WITH arrived AS (
            -- 1.5 % come late: such an action changes places with one of 4,096 further on
            SELECT n, CASE WHEN (hashint8extended(n & ~4096, seed + 7) & 1023) < 15
                            AND (n | 4096) <= actions AND (n # 4096) > 0
                           THEN n # 4096 ELSE n END AS sent
            FROM generate_series(done + 1, least(done + chunk, actions)) n
        ), repeated AS (
            -- and 1.5 % are retries of one of the hundred actions before
            SELECT n, CASE WHEN n > 100 AND (hashint8extended(n, seed + 5) & 1023) < 15
                           THEN n - 1 - (hashint8extended(n, seed + 6) & 63)::integer
                           ELSE sent END AS first
            FROM arrived
        ), refunds AS (
            -- 0.7 % give the stake of an action back, that of a hundred before
            SELECT p.n, p.first AS id, x.refund,
                   CASE WHEN x.refund THEN p.first - 100 ELSE p.first END AS first
            FROM repeated p
            CROSS JOIN LATERAL (
                SELECT (hashint8extended(p.first, seed + 8) & 1023) < 7
                   AND p.first > 100) x (refund)
        ), range (range) AS (
            VALUES (1048576.0::double precision)
        ), drawn AS (
            SELECT p.n, p.id, p.refund,
                   (hashint8extended(p.first, seed) & 1048575) / d.range AS who,
                   (hashint8extended(p.first, seed + 1) & 1048575) * 4 >> 20 AS game,
                   ((hashint8extended(p.first, seed + 2) & 1048575) + 0.5) / d.range AS radius,
                   hashint8extended(p.first, seed + 3) & 1048575 AS angle,
                   (hashint8extended(p.first, seed + 4) & 1048575) / d.range AS luck
            FROM refunds p CROSS JOIN range d
        ), action AS (
            SELECT p.n, p.id, p.refund, p.luck, 1 + p.game AS g,
                   -- activity is skewed: half of the actions come from a tenth of the users
                   1 + floor(users * power(p.who, 3.32))::integer AS u,
                   -- stakes are log-normal, around 20
                   greatest(1, least(5000, exp(
                       3 + sqrt(-2 * ln(p.radius)) * cos(6.283185307179586 * p.angle / d.range)))
                   )::bigint AS bet
            FROM drawn p CROSS JOIN range d
        )
        SELECT jsonb_agg(jsonb_build_object(
                   'user_id', ids[least(a.u, users)],
                   'game', (ARRAY['crash', 'gacha', 'rps', 'slot'])[a.g],
                   'action_type', CASE WHEN a.refund THEN 'REFUND' ELSE
                       (ARRAY['CRASH_JOIN', 'GACHA_SPIN', 'RPS_PLAY', 'SLOT_SPIN'])[a.g] END,
                   'action_id', format('sim-%s-%s', seed, a.id),
                   'bet', CASE WHEN a.refund THEN 0 ELSE a.bet END,
                   'outcome', CASE WHEN a.refund THEN 'draw' END,
                   -- every 200th user cheats
                   'win', CASE WHEN a.refund THEN a.bet
                               WHEN a.luck < CASE WHEN a.u % 200 = 0 THEN 0.65 ELSE 0.48 END
                               THEN a.bet * 2 ELSE 0 END)
               ORDER BY a.n)
        INTO batch FROM action a;
        FOR r IN
            SELECT s.state || ' ' || s.code AS kind, count(*) AS results
            FROM economy.record_actions(batch) s GROUP BY 1
        LOOP
            tally := jsonb_set(tally, ARRAY[r.kind],
                               to_jsonb(coalesce((tally ->> r.kind)::bigint, 0) + r.results));
        END LOOP;
        done := least(done + chunk, actions);
    END LOOP;
    PERFORM economy_internal.report_progress(NULL, NULL, NULL);
    RETURN QUERY
        SELECT split_part(t.key, ' ', 1), split_part(t.key, ' ', 2), t.value::bigint
        FROM jsonb_each_text(tally) t ORDER BY 1, 2;
END
$$;
COMMENT ON FUNCTION economy.simulate(integer, integer, bigint) IS
    'Plays a synthetic workload through the real functions and counts the results: '
    'skewed activity, log-normal stakes, 1.5 % retries, 1.5 % late arrivals, 0.7 % refunds, '
    'a cheat in every 200 users. The same seed plays the same actions.';
-- the schema itself, compared with what was installed

CREATE FUNCTION economy_internal.schema_description(OUT object text, OUT definition text)
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
        SELECT format('index %s of %s', i.indexrelid::regclass, c.relname),
               CASE WHEN i.indisvalid AND i.indisready THEN 'valid' ELSE 'invalid' END
               || CASE WHEN i.indisunique THEN ', unique' ELSE '' END
        FROM relation c JOIN pg_index i ON i.indrelid = c.oid
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
COMMENT ON FUNCTION economy_internal.schema_description() IS
    'The objects of the extension as they are: schemas, types, tables, columns, constraints, '
    'indexes, triggers, views and functions. audit_schema() compares it with what was installed.';

CREATE FUNCTION economy_internal.schema_privileges(
    OUT object text, OUT grantee name, OUT privilege text
) RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
    SET intervalstyle = postgres
    BEGIN ATOMIC
        WITH ours AS (
            SELECT n.oid, n.nspname, n.nspowner, n.nspacl FROM pg_namespace n
            WHERE n.nspname IN ('economy', 'economy_internal')
        ), listed AS MATERIALIZED (
            SELECT substring(l.object FROM '^[A-Z]+ (.*)')::regprocedure::oid AS oid
            FROM economy.access_list() l
        ), given AS (
            SELECT format('table %s.%s', n.nspname, c.relname) AS object, a.grantee,
                   a.privilege_type AS privilege, c.relowner AS owner
            FROM ours n JOIN pg_class c ON c.relnamespace = n.oid, aclexplode(c.relacl) a
            WHERE c.relkind IN ('r', 'p', 'v')
              -- to read tables is what a subscription needs; the keys sign
              AND (a.privilege_type <> 'SELECT' OR a.grantee = 0)
            UNION ALL
            SELECT format('column %s.%s.%s', n.nspname, c.relname, t.attname), a.grantee,
                   a.privilege_type, c.relowner
            FROM ours n JOIN pg_class c ON c.relnamespace = n.oid
            JOIN pg_attribute t ON t.attrelid = c.oid, aclexplode(t.attacl) a
            WHERE a.privilege_type <> 'SELECT' OR a.grantee = 0
            UNION ALL
            SELECT format('sequence %s.%s', n.nspname, c.relname), a.grantee, a.privilege_type,
                   c.relowner
            FROM ours n JOIN pg_class c ON c.relnamespace = n.oid, aclexplode(c.relacl) a
            WHERE c.relkind = 'S' AND a.privilege_type <> 'SELECT'
            UNION ALL
            SELECT 'schema ' || n.nspname, a.grantee, a.privilege_type, n.nspowner
            FROM ours n, aclexplode(n.nspacl) a
            WHERE a.privilege_type <> 'USAGE' OR a.grantee = 0
            UNION ALL
            SELECT format('function %s.%s(%s)', n.nspname, p.proname,
                          pg_get_function_identity_arguments(p.oid)),
                   a.grantee, a.privilege_type, p.proowner
            FROM ours n JOIN pg_proc p ON p.pronamespace = n.oid,
                 aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
            WHERE a.grantee = 0 OR p.oid NOT IN (SELECT l.oid FROM listed l)
        )
        SELECT g.object, coalesce(r.rolname, 'PUBLIC'), g.privilege
        FROM given g LEFT JOIN pg_roles r ON r.oid = g.grantee WHERE g.grantee <> g.owner;
    END;
COMMENT ON FUNCTION economy_internal.schema_privileges() IS
    'Privileges on objects of the schemas that no level of '
    'access_list() has, except to read tables.';

-- Where all is as installed, this answers nothing.
CREATE FUNCTION economy_internal.schema_strays(OUT expected text, OUT actual text)
    RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
    SET intervalstyle = postgres
    BEGIN ATOMIC
        WITH member AS (
            SELECT d.classid, d.objid
            FROM pg_depend d
            JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
            WHERE d.deptype = 'e' AND e.extname = 'economy'
        ), relation AS (
            SELECT c.*, format('%s %s.%s',
                               CASE c.relkind WHEN 'v' THEN 'view' WHEN 'S' THEN 'sequence'
                                              ELSE 'table' END,
                               c.relnamespace::regnamespace, c.relname) AS object
            FROM member m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND m.objid = c.oid
            WHERE c.relkind IN ('r', 'p', 'v', 'S')
        ), routine AS (
            SELECT p.*, format('function %s.%s(%s)', p.pronamespace::regnamespace, p.proname,
                               pg_get_function_identity_arguments(p.oid)) AS object
            FROM member m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid
        ), owned AS (
            SELECT c.object, c.relowner AS owner, c.relacl AS acl FROM relation c
            UNION ALL
            SELECT p.object, p.proowner, p.proacl FROM routine p
            UNION ALL
            SELECT format('column %s.%s', c.relname, a.attname), c.relowner, a.attacl
            FROM relation c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attacl IS NOT NULL
            UNION ALL
            SELECT format('schema %s', n.nspname), n.nspowner, n.nspacl
            FROM pg_namespace n
            WHERE n.nspname IN ('economy', 'economy_internal')
               OR n.oid IN (SELECT m.objid FROM member m
                            WHERE m.classid = 'pg_namespace'::regclass)
        )
        -- functions that run as their owner, and tables that are the owner's, have one owner
        SELECT format('%s: owned as the schema', o.object), pg_get_userbyid(o.owner)::text
        FROM owned o JOIN pg_namespace n ON n.nspname = 'economy' AND o.owner <> n.nspowner
        UNION ALL
        SELECT format('%s: not to be passed on by %s', o.object,
                      CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(g.grantee) END),
               g.privilege_type
        FROM owned o CROSS JOIN LATERAL aclexplode(o.acl) g
        WHERE g.is_grantable AND g.grantee <> o.owner
        UNION ALL
        SELECT format('new objects in schema %s: for their owner', n.nspname),
               format('%s for %s', g.privilege_type,
                      CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(g.grantee) END)
        FROM pg_default_acl d
        JOIN pg_namespace n ON n.oid = d.defaclnamespace
            AND n.nspname IN ('economy', 'economy_internal')
        CROSS JOIN LATERAL aclexplode(d.defaclacl) g
        WHERE g.grantee <> d.defaclrole
        UNION ALL
        SELECT format('%s: without rules', c.object), r.rulename
        FROM relation c JOIN pg_rewrite r ON r.ev_class = c.oid AND r.rulename <> '_RETURN'
        UNION ALL
        SELECT format('%s: without row security', c.object),
               CASE WHEN c.relforcerowsecurity THEN 'forced' ELSE 'enabled' END
        FROM relation c WHERE c.relrowsecurity OR c.relforcerowsecurity
        UNION ALL
        SELECT format('%s: without policies', c.object), p.polname
        FROM relation c JOIN pg_policy p ON p.polrelid = c.oid;
    END;
COMMENT ON FUNCTION economy_internal.schema_strays() IS
    'What the objects of the extension are not installed with: other owners, rules, row security, '
    'policies, privileges to be passed on.';

-- note_schema() puts it there, last of all.
CREATE FUNCTION economy_internal.schema_installed() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC SELECT '{}'::jsonb; END;
COMMENT ON FUNCTION economy_internal.schema_installed() IS
    'schema_description() when the extension was installed, or updated last.';

CREATE FUNCTION economy_internal.note_schema() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format($query$
        CREATE OR REPLACE FUNCTION economy_internal.schema_installed() RETURNS jsonb
            LANGUAGE sql IMMUTABLE PARALLEL SAFE
            SET search_path = pg_catalog, pg_temp
            BEGIN ATOMIC SELECT %L::jsonb; END
        $query$,
        -- all but what this writes
        (SELECT jsonb_object_agg(d.object, d.definition)
         FROM economy_internal.schema_description() d
         WHERE d.object NOT LIKE 'body of function economy_internal.schema_installed()%'));
END
$$;
COMMENT ON FUNCTION economy_internal.note_schema() IS
    'Takes the objects as they are for those that are installed: the last line of the script that '
    'installs or updates the extension.';

CREATE FUNCTION economy.audit_schema() RETURNS SETOF economy.finding
    LANGUAGE sql STABLE PARALLEL RESTRICTED SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp SET quote_all_identifiers = off
    SET intervalstyle = postgres
    BEGIN ATOMIC
        SELECT NULL::bigint, 'wrong_schema',
               format('%s: %s', e.key,
                      CASE WHEN k.is_digest THEN 'as installed' ELSE e.value END),
               CASE WHEN d.object IS NULL THEN 'none' WHEN k.is_digest THEN 'another'
                    ELSE d.definition END, NULL::text, NULL::bigint
        FROM jsonb_each_text(economy_internal.schema_installed()) e
        CROSS JOIN LATERAL (
            SELECT e.key LIKE 'function %' OR e.key LIKE 'body of %' AS is_digest) k
        LEFT JOIN economy_internal.schema_description() d ON d.object = e.key
        WHERE d.definition IS DISTINCT FROM e.value
          -- after pg_upgrade this is a digest of what another cluster wrote down
          AND NOT (e.key LIKE 'body of %'
                   AND e.key NOT LIKE '%, system '
                       || (SELECT y.system_identifier FROM pg_control_system() y))
        UNION ALL
        SELECT NULL, 'wrong_schema', format('%s: not for %s', p.object, p.grantee), p.privilege,
               NULL, NULL
        FROM economy_internal.schema_privileges() p
        UNION ALL
        SELECT NULL, 'wrong_schema', s.expected, s.actual, NULL, NULL
        FROM economy_internal.schema_strays() s
        UNION ALL
        -- entries in a table below a journal are in the journal, but its triggers do not see
        -- who changes them
        SELECT NULL, 'wrong_schema',
               format('table %s: guarded as economy.%s, whose entries it holds',
                      i.inhrelid::regclass, c.relname),
               'not always guarded', NULL, NULL
        FROM pg_inherits i
        JOIN pg_class c ON c.oid = i.inhparent AND c.relnamespace = 'economy'::regnamespace
        CROSS JOIN (SELECT 'economy_internal.forbid_change()'::regprocedure) g (guard)
        WHERE EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgfoid = g.guard)
          AND NOT EXISTS (SELECT FROM pg_trigger t
                          WHERE t.tgrelid = i.inhrelid AND t.tgfoid = g.guard
                            AND t.tgenabled = 'A');
    END;
COMMENT ON FUNCTION economy.audit_schema() IS
    'Objects of the extension that are not what was installed: changed, renamed, exchanged, '
    'missing or not always in force, and privileges that no level has. Added columns, '
    'indexes and constraints are no findings.';

-- What was changed would be taken for what is installed, and nobody be told of it any more.
CREATE FUNCTION economy_internal.begin_update() RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found_one text;
    n         bigint;
BEGIN
    PERFORM economy_internal.require_library();
    SELECT min(f.expected || ' is ' || f.actual), count(*) INTO found_one, n
        FROM economy.audit_schema() f;
    IF n > 0 THEN
        RAISE WARNING '% objects of economy are not as they were installed: %', n, found_one
            USING HINT = 'Look at audit_schema() before an update: afterwards those that it does '
                         'not make anew count as installed so.';
    END IF;
END
$$;
COMMENT ON FUNCTION economy_internal.begin_update() IS
    'The first line of a script that updates the extension: require_library(), and a warning when '
    'audit_schema() has findings.';
-- health: what an operator should know, one row per check

CREATE TYPE economy.health_item AS (
    item   text,
    state  text,
    detail text,
    hint   text
);
COMMENT ON TYPE economy.health_item IS
    'One check of health(): its name, ok, warn or bad, what was found, and what to do about it.';

-- Bad outweighs a warning.
CREATE FUNCTION economy_internal.health_state(bad boolean, warn boolean) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT CASE WHEN bad THEN 'bad' WHEN warn THEN 'warn' ELSE 'ok' END;
    END;
COMMENT ON FUNCTION economy_internal.health_state(boolean, boolean) IS
    'The state of a check; null counts as false.';

CREATE FUNCTION economy_internal.health_installation() RETURNS SETOF economy.health_item
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.open_tables('signing_keys');
        SELECT 'library',
               economy_internal.health_state(economy.library_version() <> e.extversion, false),
               format('library %s, objects %s', economy.library_version(), e.extversion),
               CASE WHEN economy.library_version() <> e.extversion
                    THEN 'Restart the server; then ALTER EXTENSION economy UPDATE '
                         'if the objects are the older ones.' END
        FROM pg_extension e WHERE e.extname = 'economy'
        UNION ALL
        SELECT 'schema', economy_internal.health_state(count(*) > 0, false),
               format('%s findings%s', count(*),
                      ', such as ' || left(min(f.expected || ' is ' || f.actual), 200)),
               CASE WHEN count(*) > 0 THEN 'SELECT * FROM economy.audit_schema().' END
        FROM economy.audit_schema() f
        UNION ALL
        SELECT 'signing key', economy_internal.health_state(false, k.is_old),
               coalesce('active since ' || k.created_at::date, 'none yet'),
               CASE WHEN k.is_old THEN 'SELECT economy.rotate_signing_key().' END
        FROM (SELECT min(k.created_at) AS created_at,
                     min(k.created_at) < clock_timestamp() - interval '9600 hours' AS is_old
              FROM economy.signing_keys k WHERE k.state = 'active') k
        UNION ALL
        SELECT 'test clock', economy_internal.health_state(false, c.at <> ''),
               CASE WHEN c.at <> '' THEN 'all rules see ' || c.at ELSE 'off' END,
               CASE WHEN c.at <> ''
                    THEN 'RESET economy.test_clock, or take it out of the configuration: '
                         'it is for tests.' END
        FROM (SELECT coalesce(current_setting('economy.test_clock', true), '')) c (at);
    END;
COMMENT ON FUNCTION economy_internal.health_installation() IS
    'Part of health(): library, schema, signing key, test clock.';

CREATE FUNCTION economy_internal.health_delivery() RETURNS SETOF economy.health_item
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT 'relay',
               economy_internal.health_state(
                   n.way = 'relay' AND r.pid IS NULL AND late.items > 0,
                   n.way = 'off'
                   OR (n.way = 'relay' AND (o.inline_because IS NOT NULL OR l.is_late))),
               CASE WHEN n.way = 'off' THEN 'economy.notify is off: nothing is sent'
                    WHEN n.way IS DISTINCT FROM 'relay' THEN 'events are sent inline'
                    WHEN r.pid IS NULL AND r.waiting = 0 AND o.inline_because IS NOT NULL
                    THEN 'events are sent inline: ' || o.inline_because
                    WHEN r.database IS NULL
                    THEN coalesce('events are sent inline: ' || o.inline_because,
                                  'nothing to send yet')
                    ELSE format('%s, %s waiting, last %s ms behind, %s overflows',
                                coalesce('process ' || r.pid,
                                         CASE WHEN late.items > 0 THEN 'not running'
                                              ELSE 'gone until the next event' END),
                                r.waiting, round(r.lag_ms::numeric), r.overflowed) END,
               CASE WHEN n.way = 'off'
                    THEN 'Set economy.notify to relay or inline; changes() tells what was not sent.'
                    WHEN n.way = 'relay' AND r.pid IS NULL AND late.items > 0
                    THEN 'See the server''s log, and whether max_worker_processes is used up.'
                    WHEN n.way = 'relay' AND o.inline_because IS NOT NULL
                    THEN 'Raise ' || o.setting || ': commits that send wait for each other.'
                    WHEN n.way = 'relay' AND l.is_late
                    THEN 'The machine is short of CPU, or a listener that is idle in a transaction '
                         'holds up the notification queue.' END
        FROM (SELECT current_setting('economy.notify', true),
                     current_setting('economy.relay_databases', true)::bigint) n (way, rings)
        LEFT JOIN economy.relay_status() r
            ON r.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
        -- what is prepared waits for its commit, and not for the relay
        CROSS JOIN LATERAL (
            SELECT CASE WHEN EXISTS (SELECT FROM pg_prepared_xacts p
                                     WHERE p.database = current_database())
                        THEN 0 ELSE r.waiting END) late (items)
        CROSS JOIN LATERAL (
            SELECT (late.items > 0 AND r.lag_ms > 10000) OR r.waiting > 10000) l (is_late)
        LEFT JOIN (VALUES
                ('no_worker', 'no worker process is to be had', 'max_worker_processes'),
                ('no_ring', 'other databases have all relays', 'economy.relay_databases'))
                o (reason, inline_because, setting)
            ON o.reason = CASE
                WHEN r.pid IS NULL AND r.unserved > 0 THEN 'no_worker'
                WHEN r.database IS NULL AND n.rings <= (SELECT count(*) FROM economy.relay_status())
                THEN 'no_ring' END
        UNION ALL
        SELECT 'notification queue', economy_internal.health_state(q.used > 0.5, q.used > 0.05),
               format('%s %% used', round(100 * q.used::numeric, 1)),
               CASE WHEN q.used > 0.05
                    THEN 'End the listener that is idle in a transaction (pg_stat_activity, '
                         'oldest xact_start, in any database): it keeps what was sent since.' END
        FROM pg_notification_queue_usage() q (used)
        UNION ALL
        -- to anybody else pg_stat_activity shows of others' sessions that they are there
        SELECT 'sessions', economy_internal.health_state(false, NOT o.sees_all),
               CASE WHEN o.sees_all THEN 'all are seen'
                    ELSE format('%s, who owns the extension, sees only its own', current_user) END,
               CASE WHEN NOT o.sees_all
                    THEN format('GRANT pg_read_all_stats TO %I: connections, oldest transaction, '
                                'pg_cron and progress() go by what it sees.', current_user) END
        FROM (SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')) o (sees_all)
        UNION ALL
        SELECT 'connections',
               economy_internal.health_state(c.used >= c.possible, c.used > 0.8 * c.possible),
               format('%s of %s', c.used, c.possible),
               CASE WHEN c.used > 0.8 * c.possible
                    THEN 'Raise max_connections, or put a pool before it: '
                         'apps and economy_tail come in last.' END
        FROM (SELECT count(*),
                     current_setting('max_connections')::integer
                         - current_setting('superuser_reserved_connections')::integer
                         - coalesce(current_setting('reserved_connections', true)::integer, 0)
              FROM pg_stat_activity a WHERE a.backend_type = 'client backend') c (used, possible)
        UNION ALL
        SELECT 'prepared transactions',
               economy_internal.health_state(p.oldest < clock_timestamp() - interval '24 hours',
                                    p.oldest < clock_timestamp() - interval '1 hour'),
               format('%s%s', p.number, ', the oldest of ' || p.oldest),
               CASE WHEN p.oldest < clock_timestamp() - interval '1 hour'
                    THEN 'COMMIT PREPARED or ROLLBACK PREPARED: it keeps its accounts locked, '
                         'VACUUM and the feed behind it.' END
        FROM (SELECT count(*) AS number, min(p.prepared) AS oldest FROM pg_prepared_xacts p) p
        UNION ALL
        SELECT 'oldest transaction',
               economy_internal.health_state(a.oldest < clock_timestamp() - interval '24 hours',
                                    a.oldest < clock_timestamp() - interval '1 hour'),
               coalesce('since ' || a.oldest, 'none'),
               CASE WHEN a.oldest < clock_timestamp() - interval '1 hour'
                    THEN 'End it (pg_stat_activity): VACUUM and the feed wait for it, '
                         'also from another database.' END
        FROM (SELECT min(a.xact_start) AS oldest FROM pg_stat_activity a
              WHERE a.backend_xid IS NOT NULL OR a.backend_xmin IS NOT NULL) a
        UNION ALL
        SELECT 'transaction ids',
               economy_internal.health_state(d.oldest > 1600000000, d.oldest > 1000000000),
               format('%s million since the last freeze', d.oldest / 1000000),
               CASE WHEN d.oldest > 1000000000
                    THEN 'VACUUM the database with the greatest age(datfrozenxid), '
                         'and find what holds its xmin.' END
        FROM (SELECT max(age(d.datfrozenxid)) AS oldest FROM pg_database d) d
        UNION ALL
        SELECT 'replication slots',
               economy_internal.health_state(
                   max(w.kept) > 16::numeric * 2 ^ 30
                   OR count(*) FILTER (WHERE s.wal_status IN ('unreserved', 'lost')) > 0,
                   max(w.kept) > 4::numeric * 2 ^ 30
                   OR count(*) FILTER (WHERE NOT s.active) > 0),
               concat_ws(', ',
                   format('%s not in use', count(*) FILTER (WHERE NOT s.active)),
                   'such as ' || min(s.slot_name) FILTER (WHERE NOT s.active),
                   pg_size_pretty(max(w.kept)) || ' of WAL kept',
                   'without its WAL: ' || string_agg(s.slot_name, ' ' ORDER BY s.slot_name)
                       FILTER (WHERE s.wal_status IN ('unreserved', 'lost'))),
               CASE WHEN count(*) FILTER (WHERE s.wal_status = 'lost') > 0
                    THEN 'pg_drop_replication_slot(), and make its standby or subscriber anew: '
                         'WAL that it needs is gone.'
                    WHEN max(w.kept) > 4::numeric * 2 ^ 30
                      OR count(*) FILTER (WHERE s.wal_status = 'unreserved' OR NOT s.active) > 0
                    THEN 'Let its standby or subscriber go on, or pg_drop_replication_slot(): '
                         'WAL is kept for it until the disk is full, '
                         'or max_slot_wal_keep_size is reached.' END
        FROM pg_replication_slots s
        CROSS JOIN LATERAL (
            SELECT pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                                        ELSE pg_current_wal_lsn() END, s.restart_lsn)) w (kept);
    END;
COMMENT ON FUNCTION economy_internal.health_delivery() IS
    'Part of health(): relay, notification queue, connections, '
    'and what holds back VACUUM and the feed.';

CREATE FUNCTION economy_internal.health_proof() RETURNS SETOF economy.health_item
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.open_tables(
            'audit_findings', 'audit_runs', 'economy_internal.rollup_queue',
            'economy_internal.rollup_state', 'user_actions', 'shop_transactions', 'archived_keys',
            'economy_internal.rfm_reversals', 'economy_internal.rfm_due', 'rfm_snapshots',
            'rfm_state', 'user_segments');
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
        FROM economy_internal.rfm_freshness_seen() f;
    END;
COMMENT ON FUNCTION economy_internal.health_proof() IS
    'Part of health(): audits, their findings, rollup, stale segments.';

CREATE FUNCTION economy_internal.health_jobs() RETURNS SETOF economy.health_item
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.open_tables('job_runs');
        SELECT 'job ' || l.job,
               economy_internal.health_state(
                   good.ended_at < clock_timestamp() - 3 * l.overdue
                   OR (last.state = 'failed' AND good.ended_at IS NULL),
                   d.is_overdue OR last.state IN ('failed', 'lost')),
               concat_ws('; ', coalesce('last done ' || good.ended_at, 'never done'),
                   CASE WHEN last.state = 'running'
                        THEN format('running since %s, %s batches', last.started_at, last.batches)
                        WHEN last.state IN ('failed', 'lost')
                        THEN format('%s %s: %s', last.state, last.ended_at, last.error) END),
               CASE WHEN last.state IN ('failed', 'lost')
                    THEN format('SELECT * FROM economy.job_history(%L).', l.job)
                    WHEN d.is_overdue
                    THEN format('If nothing runs it: SELECT * FROM economy.schedule(), '
                                'or let another scheduler CALL economy.run_job(%L).', l.job) END
        FROM economy.job_list() l
        LEFT JOIN LATERAL (
            SELECT r.ended_at FROM economy.job_runs r WHERE r.job = l.job AND r.state = 'done'
            ORDER BY r.run_id DESC LIMIT 1) good ON true
        LEFT JOIN LATERAL (
            SELECT r.* FROM economy.job_runs r WHERE r.job = l.job AND r.state <> 'skipped'
            ORDER BY r.run_id DESC LIMIT 1) last ON true
        CROSS JOIN LATERAL (
            SELECT coalesce(good.ended_at < clock_timestamp() - l.overdue, true)) d (is_overdue);
    END;
COMMENT ON FUNCTION economy_internal.health_jobs() IS
    'Part of health(): when each job of job_list() was done last.';

CREATE FUNCTION economy_internal.health_cron() RETURNS SETOF economy.health_item
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    home   CONSTANT text := current_setting('cron.database_name', true);
    answer economy.health_item := ROW('pg_cron', 'ok', NULL, NULL);
    jobs   bigint;
    idle   bigint;
    runs   boolean;
    last   record;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension e WHERE e.extname = 'pg_cron') THEN
        answer.detail := coalesce(
            'it runs the jobs of database ' || nullif(home, current_database()),
            'not installed here');
        RETURN NEXT answer;
        RETURN;
    END IF;
    -- the jobs of a standby are run by the primary
    runs := pg_is_in_recovery()
        OR (home = current_database()
            AND EXISTS (SELECT FROM pg_stat_activity a
                        WHERE a.backend_type = 'pg_cron launcher'));
    -- EXECUTE, because pg_cron's tables are not there where it is not installed
    EXECUTE $query$
        SELECT count(*), count(*) FILTER (WHERE NOT j.active) FROM cron.job j
        WHERE j.jobname LIKE 'economy: %' AND j.database = current_database()
        $query$ INTO jobs, idle;
    EXECUTE $query$
        SELECT d.status, d.return_message, d.start_time
        FROM cron.job_run_details d JOIN cron.job j USING (jobid)
        WHERE j.jobname LIKE 'economy: %' AND j.database = current_database()
        ORDER BY d.runid DESC LIMIT 1
        $query$ INTO last;
    answer.detail := format('%s jobs, last run %s', jobs, coalesce(
        last.status || coalesce(': ' || left(last.return_message, 200), ''), 'never'));
    IF jobs = 0 THEN
        answer.state := 'warn';
        answer.hint := 'SELECT * FROM economy.schedule(), unless another scheduler runs the jobs.';
    ELSIF runs IS NOT TRUE THEN
        answer.state := 'bad';
        answer.detail := answer.detail || '; it does not run here';
        answer.hint := 'It must be in shared_preload_libraries, and cron.database_name must be '
                       'this database; then restart.';
    ELSIF last.status = 'failed' THEN
        answer.state := 'bad';
        answer.hint := 'Where it cannot connect: cron.use_background_workers = on, '
                       'or let it in by cron.host and pg_hba.conf; then restart.';
    ELSIF last.status IS NULL OR idle > 0 THEN
        answer.state := 'warn';
        answer.hint := 'The first run is due within a minute. Else see cron.job, '
                       'whether the jobs are active, and the server''s log.';
    END IF;
    RETURN NEXT answer;
END
$$;
COMMENT ON FUNCTION economy_internal.health_cron() IS
    'Part of health(): whether pg_cron has the jobs, and how its last run ended.';

CREATE FUNCTION economy.health() RETURNS SETOF economy.health_item
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp SET "TimeZone" = 'UTC'
    SET "DateStyle" = 'ISO, YMD' AS $$
DECLARE
    part    text;
    message text;
BEGIN
    FOREACH part IN ARRAY ARRAY['installation', 'delivery', 'jobs', 'cron', 'proof'] LOOP
        -- what cannot be asked keeps nobody from the rest
        BEGIN
            -- EXECUTE, because the function is not the same each time
            RETURN QUERY EXECUTE format('SELECT * FROM economy_internal.health_%s()', part);
        EXCEPTION WHEN serialization_failure THEN
            RAISE;
        WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS message = MESSAGE_TEXT;
            RETURN QUERY SELECT part, 'bad', 'could not be checked: ' || message,
                                format('SELECT * FROM economy_internal.health_%s().', part);
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION economy.health() IS
    'One row per check, each ok, warn or bad, with what was found and what to do: '
    'library, schema, key, relay, notification queue, connections, old transactions, '
    'jobs, pg_cron, audits, segments.';
-- the last word: nothing for PUBLIC

REVOKE ALL ON SCHEMA economy, economy_internal FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA economy, economy_internal FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA economy, economy_internal FROM PUBLIC;
REVOKE ALL ON ALL ROUTINES IN SCHEMA economy, economy_internal FROM PUBLIC;

SELECT economy_internal.note_schema();
