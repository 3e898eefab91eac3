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
                 THEN '(t.status <> ''SUCCESS'' OR $6 AND t.seq > f.scored_seq OR EXISTS (
                           SELECT FROM economy.fulfilments q WHERE q.user_id = t.user_id
                             AND q.seq = t.seq AND q.fulfilled_at IS NULL
                             AND q.refunded_at IS NULL))'
                 ELSE 'false' END, journal)
        USING after_user, cutoff, max_users, journal, part, scored;
END
$$;
COMMENT ON FUNCTION economy_internal.archive_due(text, bigint, timestamptz, integer, bigint) IS
    'Part of archive_entries(): the next users, and how many entries of the journal, at most part, '
    'are old enough in front of which one; less than 1 where none is.';

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

CREATE FUNCTION economy_internal.archive_stays(
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
            FROM (SELECT i.seq, i.delta AS n FROM economy_internal.item_entries i
                  WHERE i.user_id = n.user_id AND i.item_id = 'streak_freeze'
                    AND left(i.entry, 1) = CASE archive_freezes.journal
                        WHEN 'shop_transactions' THEN 'P' WHEN 'reward_audit' THEN 'R' END
                    AND i.seq >= n.from_seq AND i.seq < n.upto_seq) m
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
    -- a rollup whose snapshot is older would note again what is behind: it is to fail
    INSERT INTO economy_internal.rollup_state AS s (position, summarized, next_user)
        VALUES (0, 0, (SELECT min(q.user_id) FROM economy_internal.rollup_queue q))
        ON CONFLICT ON CONSTRAINT rollup_state_pkey DO UPDATE SET next_user = s.next_user;
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

-- An archive that was made before entries had items lacks them, and has none to keep.
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
        economy_internal.archive_entry(name, archive), name)
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
COMMENT ON FUNCTION economy.archive(regclass, regclass, interval, integer) IS
    'Moves a batch of entries of a journal that are older than that into a table of the same '
    'columns, ordinary or foreign, by archive_entries(), reads them there and compares them; '
    'more says that there are further users.';
