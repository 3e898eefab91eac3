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
            'user_changes', 'holding_changes', 'shop_refunds');
        SELECT * FROM economy_internal.verify_anchor_seen(economy_internal.read_anchor(anchor));
    END;
COMMENT ON FUNCTION economy.verify_anchor(jsonb) IS
    'Checks an anchor that was kept outside: its signature, and that every stream still '
    'has the entry that was its newest then. A row per finding; '
    'none means that nothing was cut off and nobody removed.';
