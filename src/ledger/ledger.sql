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
        CONSTRAINT accounts_sections_check CHECK (octet_length(sections) BETWEEN 1 AND 3072),
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
COMMENT ON COLUMN economy.accounts.streak_freezes IS
    'Units of the item streak_freeze that are held: what entries gave minus what was used up.';
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

CREATE FUNCTION economy_internal.lock_name(name text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'eco_lock_name';
COMMENT ON FUNCTION economy_internal.lock_name(text) IS
    'Takes a lock on a name until the end of the transaction, '
    'of a class that no user can take; waits for it.';

CREATE FUNCTION economy_internal.try_lock_name(name text) RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'eco_try_lock_name';
COMMENT ON FUNCTION economy_internal.try_lock_name(text) IS
    'lock_name() that does not wait: false when another transaction has the lock.';

CREATE FUNCTION economy_internal.announce_key(
    journal "char", user_id bigint, first text, second text
) RETURNS integer
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_announce_key';
COMMENT ON FUNCTION economy_internal.announce_key("char", bigint, text, text) IS
    'Announces the key of an entry in the journal with that letter, as calls with a key do, until '
    'the end of the transaction: null; or after how many milliseconds to try again, as another '
    'transaction is in that very call.';

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
    'Makes the summaries that a journal, or each of its partitions, lacks in its index on '
    'position, but for the last range, which is being filled.';

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
