-- reward: grants, reversals, the daily streak

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
    items             jsonb,
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
COMMENT ON COLUMN economy.reward_audit.items IS
    'Items that it gave, or a reversal took back, as in holding_changes; null: none.';
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
    detail            jsonb,
    items             jsonb
);
COMMENT ON TYPE economy.grant_result IS
    'Result of grant_reward(), grant_rewards() and revoke_reward().';

CREATE FUNCTION economy.grant_reward(
    user_id bigint, source text, external_event_id text, gold bigint DEFAULT 0, xp bigint DEFAULT 0,
    details jsonb DEFAULT NULL, items jsonb DEFAULT NULL
) RETURNS economy.grant_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_grant_reward';
COMMENT ON FUNCTION economy.grant_reward(bigint, text, text, bigint, bigint, jsonb, jsonb) IS
    'Grants gold, XP and items ({"gem": 5}) once per (user, source, external_event_id); '
    'a retry returns the first result with state reuse, '
    'another amount is refused with IDEMPOTENCY_MISMATCH.';

CREATE FUNCTION economy.grant_reward_code(
    user_id bigint, source text, external_event_id text, gold bigint DEFAULT 0, xp bigint DEFAULT 0,
    details jsonb DEFAULT NULL, items jsonb DEFAULT NULL
) RETURNS text
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_grant_reward';
COMMENT ON FUNCTION economy.grant_reward_code(
    bigint, text, text, bigint, bigint, jsonb, jsonb) IS
    'grant_reward(), of whose result it returns the code alone.';

CREATE FUNCTION economy.grant_rewards(rewards jsonb) RETURNS SETOF economy.grant_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_grant_rewards';
COMMENT ON FUNCTION economy.grant_rewards(jsonb) IS
    'grant_reward() for an array of {user_id, source, external_event_id, gold, xp, '
    'details, items} in one transaction; a row per element in their order. '
    'A refused reward does not stop the others.';

CREATE FUNCTION economy.grant_rewards(
    user_ids bigint[], sources text[], external_event_ids text[], gold bigint[] DEFAULT NULL,
    xp bigint[] DEFAULT NULL, details jsonb[] DEFAULT NULL, items jsonb[] DEFAULT NULL
) RETURNS SETOF economy.grant_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_grant_rewards';
COMMENT ON FUNCTION economy.grant_rewards(
    bigint[], text[], text[], bigint[], bigint[], jsonb[], jsonb[]) IS
    'The same with arrays of as many elements each.';

CREATE FUNCTION economy_internal.grant_prizes(
    user_ids bigint[], sources text[], external_event_ids text[], gold bigint[], xp bigint[],
    details jsonb[], items jsonb[]
) RETURNS SETOF economy.grant_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_grant_prizes';
COMMENT ON FUNCTION economy_internal.grant_prizes(
    bigint[], text[], text[], bigint[], bigint[], jsonb[], jsonb[]) IS
    'grant_rewards() for the extension itself, of a source that is reserved.';

CREATE FUNCTION economy.revoke_reward(
    user_id bigint, transaction_id text, reason text, actor text, gold bigint DEFAULT NULL,
    xp bigint DEFAULT NULL, policy text DEFAULT 'refuse', idempotency_key text DEFAULT NULL,
    items jsonb DEFAULT NULL
) RETURNS economy.grant_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_revoke_reward';
COMMENT ON FUNCTION economy.revoke_reward(
    bigint, text, text, text, bigint, bigint, text, text, jsonb) IS
    'Takes a reward back, what is left of it or the given gold, XP and items: '
    'once without an idempotency_key, once for each one with, up to what the reward gave. '
    'Where the user has less, policy refuse answers INSUFFICIENT_GOLD or INSUFFICIENT_ITEMS, and '
    'take takes what is there '
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
    detail            jsonb,
    items             jsonb
);
COMMENT ON TYPE economy.claim_result IS 'Result of economy.claim_daily_reward().';

CREATE FUNCTION economy.claim_daily_reward(user_id bigint) RETURNS economy.claim_result
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'eco_claim_daily_reward';
COMMENT ON FUNCTION economy.claim_daily_reward(bigint) IS
    'Claims the reward of the user''s local day: CLAIMED, or ALREADY_CLAIMED with the stored '
    'result. Day d pays what set_daily_rewards() says, else 1000 + 200 (d - 1) gold and '
    '50 + 25 (d - 1) XP. Items that the user has no room for are not given, and are in detail.';

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

CREATE TYPE economy.streak_reward AS (gold bigint, xp bigint, items jsonb);
COMMENT ON TYPE economy.streak_reward IS 'Reward of a day of the streak.';
CREATE FUNCTION economy.streak_reward(day integer) RETURNS economy.streak_reward
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_streak_reward_sql';
COMMENT ON FUNCTION economy.streak_reward(integer) IS
    'What day >= 1 of a streak pays: by set_daily_rewards(), else by the formula: '
    '1000 + 200 (day - 1) gold, 50 + 25 (day - 1) XP.';

CREATE FUNCTION economy.streak_preview(user_id bigint, days integer DEFAULT 7)
    RETURNS TABLE (
        claim_date date, outcome text, streak_day integer, gold bigint, xp bigint, items jsonb
    )
    LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 7 AS 'MODULE_PATHNAME', 'eco_streak_preview';
COMMENT ON FUNCTION economy.streak_preview(bigint, integer) IS
    'The rewards of the coming days (1 to 366), gold, XP and items, if the user claims on each '
    'of them.';

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

CREATE TABLE economy.daily_rewards (
    reward_day   bigint NOT NULL
        CONSTRAINT daily_rewards_pkey PRIMARY KEY
        CONSTRAINT daily_rewards_day_check CHECK (reward_day BETWEEN 1 AND 366),
    gold         bigint NOT NULL
        CONSTRAINT daily_rewards_gold_check CHECK (gold BETWEEN 0 AND 9007199254740991),
    xp           bigint NOT NULL
        CONSTRAINT daily_rewards_xp_check CHECK (xp BETWEEN 0 AND 9007199254740991),
    contents     jsonb
        CONSTRAINT daily_rewards_contents_check CHECK (economy_internal.amounts_sound(contents)),
    continues_at bigint,
    CONSTRAINT daily_rewards_continues_check CHECK (continues_at BETWEEN 1 AND reward_day)
);
SELECT pg_catalog.pg_extension_config_dump('economy.daily_rewards', '');
COMMENT ON TABLE economy.daily_rewards IS
    'The calendar of daily rewards, a row per day; without rows the formula pays. '
    'Set by set_daily_rewards() only.';
COMMENT ON CONSTRAINT daily_rewards_day_check ON economy.daily_rewards IS
    'there must be 1 to 366 days';
COMMENT ON CONSTRAINT daily_rewards_gold_check ON economy.daily_rewards IS
    'gold must be from 0 to 2^53-1';
COMMENT ON CONSTRAINT daily_rewards_xp_check ON economy.daily_rewards IS
    'xp must be from 0 to 2^53-1';
COMMENT ON CONSTRAINT daily_rewards_contents_check ON economy.daily_rewards IS
    'contents must be an object of 1 to 16 items, each with a whole number from 1 to 2^53-1';
COMMENT ON CONSTRAINT daily_rewards_continues_check ON economy.daily_rewards IS
    'continues_at must be from 1 to the last day, or null for the last day itself';
COMMENT ON COLUMN economy.daily_rewards.contents IS
    'Items and amounts, {"chest": 1}; null: none.';
COMMENT ON COLUMN economy.daily_rewards.continues_at IS
    'Of the last day: the day that comes after it; 1 begins anew, null is the last day again.';

CREATE FUNCTION economy_internal.check_daily_rewards(rewards jsonb) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH days AS (
            SELECT d.reward, d.n
            FROM jsonb_array_elements(CASE jsonb_typeof(rewards) WHEN 'array' THEN rewards END)
                WITH ORDINALITY d (reward, n)
        ), says AS (
            SELECT 0::bigint AS n, 'it must be a JSON array of days' AS says
            WHERE jsonb_typeof(rewards) <> 'array'
            UNION ALL
            SELECT d.n, 'it must be a JSON object' FROM days d
            WHERE jsonb_typeof(d.reward) <> 'object'
            UNION ALL
            SELECT d.n, format('%s is no such column that can be set', to_json(k))
            FROM days d CROSS JOIN LATERAL jsonb_object_keys(
                CASE jsonb_typeof(d.reward) WHEN 'object' THEN d.reward ELSE '{}' END) k
            WHERE k NOT IN ('gold', 'xp', 'contents')
            UNION ALL
            SELECT d.n, format('item %s does not exist', to_json(k))
            FROM days d CROSS JOIN LATERAL jsonb_object_keys(
                CASE jsonb_typeof(d.reward -> 'contents') WHEN 'object' THEN d.reward -> 'contents'
                                                          ELSE '{}' END) k
            WHERE NOT EXISTS (SELECT FROM economy.items i WHERE i.item_id = k)
            UNION ALL
            -- an event has 8000 bytes, and tells of each item its balance too
            SELECT d.n, 'contents must have 3072 bytes as text' FROM days d
            WHERE octet_length((d.reward -> 'contents')::text) > 3072
        )
        SELECT CASE s.n WHEN 0 THEN s.says ELSE format('day %s: %s', s.n, s.says) END
        FROM says s ORDER BY s.n, s.says LIMIT 1;
    END;
COMMENT ON FUNCTION economy_internal.check_daily_rewards(jsonb) IS
    'What is wrong with what is given to set_daily_rewards(), beyond what the constraints of '
    'daily_rewards say; null when nothing is.';

CREATE FUNCTION economy.set_daily_rewards(
    rewards jsonb, actor text, continues_at integer DEFAULT NULL
) RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    ndays     integer := 0;
    ndays_was bigint;
    each_day  record;
    nth       integer;
    wrong     text;
    failed    text;
    at_column text;
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.open_tables('daily_rewards', 'items', 'config_changes');
    -- one change at a time, also of a calendar that does not exist yet
    PERFORM economy_internal.lock_name('economy.daily_rewards');
    wrong := economy_internal.check_daily_rewards(rewards);
    IF wrong IS NULL THEN
        ndays := coalesce(jsonb_array_length(rewards), 0);
        wrong := CASE WHEN ndays = 0 AND continues_at IS NOT NULL
                      THEN 'continues_at is of a calendar that has days' END;
    END IF;
    IF wrong IS NULL THEN
        DELETE FROM economy.daily_rewards;
        GET DIAGNOSTICS ndays_was = ROW_COUNT;
        BEGIN
            FOR each_day IN
                SELECT e.n, e.reward
                FROM jsonb_array_elements(rewards) WITH ORDINALITY e (reward, n) ORDER BY e.n
            LOOP
                nth := each_day.n;
                -- of two at once above READ COMMITTED, neither of which sees the other: 40001
                INSERT INTO economy.daily_rewards
                    SELECT r.* FROM jsonb_populate_record(
                        NULL::economy.daily_rewards,
                        '{"gold": 0, "xp": 0}' || each_day.reward || jsonb_build_object(
                            'reward_day', nth,
                            'continues_at', CASE WHEN nth = ndays
                                                 THEN set_daily_rewards.continues_at END)) r
                    ON CONFLICT ON CONSTRAINT daily_rewards_pkey DO NOTHING;
            END LOOP;
        EXCEPTION WHEN data_exception OR check_violation OR not_null_violation THEN
            GET STACKED DIAGNOSTICS
                wrong = MESSAGE_TEXT, failed = CONSTRAINT_NAME, at_column = COLUMN_NAME;
            wrong := format('day %s: %s', nth, economy_internal.violation(
                'daily_rewards', rewards -> (nth - 1), wrong, failed, at_column));
        END;
    END IF;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'the daily rewards are not valid'
            USING ERRCODE = 'XE901', DETAIL = wrong || '.',
            HINT = 'A day is {"gold": 1000, "xp": 50, "contents": {"chest": 1}}; the first is 1.';
    END IF;
    IF ndays > 0 OR ndays_was > 0 THEN
        PERFORM economy.note_change(
            'daily_rewards', 'all', CASE WHEN ndays = 0 THEN 'reset' ELSE 'set' END, actor);
    END IF;
    RETURN ndays;
END
$$;
COMMENT ON FUNCTION economy.set_daily_rewards(jsonb, text, integer) IS
    'Sets the whole calendar of daily rewards, [{"gold", "xp", "contents"}] from day 1 on, and '
    'which of its days comes after the last, that one itself unless it is given; null or an empty '
    'array: the formula again. Recorded with actor, before and after. Returns the number of days. '
    'XE901 for what is not valid.';

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
