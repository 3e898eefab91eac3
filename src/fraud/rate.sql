-- fraud: rate limits, by the generic cell rate algorithm

CREATE TABLE economy.rate_limits (
    limit_id       text    NOT NULL COLLATE "C" CONSTRAINT rate_limits_pkey PRIMARY KEY
        CONSTRAINT rate_limits_limit_id_check CHECK (octet_length(limit_id) BETWEEN 1 AND 64),
    burst          integer NOT NULL
        CONSTRAINT rate_limits_burst_check CHECK (burst BETWEEN 1 AND 1000000),
    refill         integer NOT NULL
        CONSTRAINT rate_limits_refill_check CHECK (refill BETWEEN 1 AND 1000000),
    period_seconds integer NOT NULL
        CONSTRAINT rate_limits_period_check CHECK (period_seconds BETWEEN 1 AND 31622400),
    -- so that no sum of times leaves the range of a timestamp
    CONSTRAINT rate_limits_sum_check
        CHECK (burst::bigint * period_seconds <= refill * 316224000::bigint)
);
SELECT pg_catalog.pg_extension_config_dump('economy.rate_limits', '');
COMMENT ON TABLE economy.rate_limits IS
    'How often something may be done: burst times at once, and refill times more in each '
    'period_seconds, evenly. Changed by set_rate_limit() and remove_rate_limit() only.';
COMMENT ON CONSTRAINT rate_limits_limit_id_check ON economy.rate_limits IS
    'limit_id must have 1 to 64 bytes';
COMMENT ON CONSTRAINT rate_limits_burst_check ON economy.rate_limits IS
    'burst must be from 1 to 1000000';
COMMENT ON CONSTRAINT rate_limits_refill_check ON economy.rate_limits IS
    'refill must be from 1 to 1000000';
COMMENT ON CONSTRAINT rate_limits_period_check ON economy.rate_limits IS
    'period_seconds must be from 1 to 31622400';
COMMENT ON CONSTRAINT rate_limits_sum_check ON economy.rate_limits IS
    'a burst must be there again within ten years';
COMMENT ON COLUMN economy.rate_limits.burst IS 'What a subject may take at once.';
COMMENT ON COLUMN economy.rate_limits.refill IS 'What comes back in period_seconds, evenly.';

-- Unlogged: a call writes no WAL, and after a crash each subject has its whole burst.
CREATE UNLOGGED TABLE economy_internal.rate_taken (
    limit_id text        NOT NULL COLLATE "C",
    subject  text        NOT NULL COLLATE "C",
    full_at  timestamptz NOT NULL,
    CONSTRAINT rate_taken_pkey PRIMARY KEY (limit_id, subject)
) WITH (fillfactor = 70);
SELECT pg_catalog.pg_extension_config_dump('economy_internal.rate_taken', '');
COMMENT ON TABLE economy_internal.rate_taken IS
    'What take_rate() gave: when a subject of a limit has its whole burst again, if it takes no '
    'more. Who has it is not here, or not for long.';

CREATE TYPE economy.rate_result AS (
    allowed     boolean,
    code        text,
    remaining   integer,
    retry_after interval,
    full_after  interval
);
COMMENT ON TYPE economy.rate_result IS 'Result of take_rate().';
COMMENT ON COLUMN economy.rate_result.allowed IS 'Whether it was taken.';
COMMENT ON COLUMN economy.rate_result.code IS
    'OK; RATE_LIMITED: not now; ABOVE_BURST: more than there ever is.';
COMMENT ON COLUMN economy.rate_result.remaining IS 'What could still be taken now.';
COMMENT ON COLUMN economy.rate_result.retry_after IS
    'After RATE_LIMITED: when so much will be there, if nobody takes any.';
COMMENT ON COLUMN economy.rate_result.full_after IS
    'When the whole burst will be there, if nobody takes any.';

-- The algorithm is that of ITU-T I.371, annex A, in its form by a theoretical arrival time, here
-- full_at. Times are microseconds from now on, so that settings of the session are no part of it.
-- It stands in one function, and looks for what is wrong with arguments only when something is:
-- each further function would cost as much as the whole rule.
CREATE FUNCTION economy.take_rate(limit_id text, subject text, quantity integer DEFAULT 1)
    RETURNS economy.rate_result
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    -- the plan that a session keeps is for an empty table, too
    SET search_path = pg_catalog, economy, pg_temp SET enable_seqscan = off AS $$
DECLARE
    rate    economy.rate_limits;
    step    bigint;
    burst   bigint;
    ahead   bigint;
    full_at timestamptz;
    answer  economy.rate_result;
    moment  timestamptz;
    present boolean;
BEGIN
    IF limit_id IS NULL OR subject IS NULL OR quantity IS NULL THEN
        PERFORM economy_internal.require_given('limit_id', limit_id IS NOT NULL);
        PERFORM economy_internal.require_given('subject', subject IS NOT NULL);
        PERFORM economy_internal.require_given('quantity', quantity IS NOT NULL);
    ELSIF octet_length(subject) NOT BETWEEN 1 AND 255 THEN
        RAISE EXCEPTION 'subject must have 1 to 255 bytes' USING ERRCODE = 'XE002';
    ELSIF quantity < 0 THEN
        RAISE EXCEPTION 'quantity must not be negative' USING ERRCODE = 'XE002',
            HINT = '0 takes nothing, and tells how much is there.';
    -- where an unlogged table cannot even be read
    ELSIF pg_is_in_recovery() THEN
        RAISE EXCEPTION 'cannot execute take_rate() during recovery'
            USING ERRCODE = 'read_only_sql_transaction';
    END IF;
    PERFORM economy_internal.open_tables('rate_limits', 'economy_internal.rate_taken');
    SELECT * INTO rate FROM economy.rate_limits l WHERE l.limit_id = take_rate.limit_id;
    IF NOT found THEN
        RAISE EXCEPTION 'rate limit "%" does not exist', left(limit_id, 64)
            USING ERRCODE = 'XE812', HINT = 'economy.set_rate_limit() makes one.';
    END IF;
    -- in which one comes back; rounded up: never more than refill in a period
    step := (rate.period_seconds * 1000000::bigint + rate.refill - 1) / rate.refill;
    burst := step * rate.burst;
    FOR attempt IN 1 .. 100 LOOP
        IF quantity BETWEEN 1 AND rate.burst THEN
            SELECT t.full_at INTO full_at FROM economy_internal.rate_taken t
                WHERE t.limit_id = take_rate.limit_id AND t.subject = take_rate.subject
                FOR NO KEY UPDATE;
        ELSE
            SELECT t.full_at INTO full_at FROM economy_internal.rate_taken t
                WHERE t.limit_id = take_rate.limit_id AND t.subject = take_rate.subject;
        END IF;
        present := found;
        -- behind the lock: somebody may have been waited for
        moment := economy.now();
        -- more than a burst ahead is a clock that was set back, or a limit that was higher
        ahead := least(burst,
            greatest((extract(epoch FROM full_at - moment) * 1000000)::bigint, 0));
        IF quantity > rate.burst THEN
            answer.code := 'ABOVE_BURST';
        ELSIF ahead + step * quantity > burst THEN
            answer.code := 'RATE_LIMITED';
            answer.retry_after :=
                interval '1 microsecond' * (ahead + step * quantity - burst);
        ELSE
            answer.code := 'OK';
            ahead := ahead + step * quantity;
        END IF;
        answer.allowed := answer.code = 'OK';
        answer.remaining := (burst - ahead) / step;
        answer.full_after := interval '1 microsecond' * ahead;
        IF quantity = 0 OR NOT answer.allowed THEN
            RETURN answer;
        ELSIF present THEN
            UPDATE economy_internal.rate_taken t SET full_at = moment + answer.full_after
                WHERE t.limit_id = take_rate.limit_id AND t.subject = take_rate.subject;
        ELSE
            INSERT INTO economy_internal.rate_taken
                VALUES (limit_id, subject, moment + answer.full_after) ON CONFLICT DO NOTHING;
        END IF;
        -- not when another was faster
        IF found THEN
            RETURN answer;
        END IF;
    END LOOP;
    RAISE EXCEPTION 'what is taken of rate limit "%" would not be kept', left(limit_id, 64)
        USING ERRCODE = 'XE103',
        HINT = 'Look for a BEFORE trigger or a rule on economy_internal.rate_taken that '
               'suppresses rows.';
END
$$;
COMMENT ON FUNCTION economy.take_rate(text, text, integer) IS
    'Takes quantity of what a rate limit leaves to a subject, any text: a user, a device, an '
    'address. 0 takes nothing and tells what is there. RATE_LIMITED when so much is not there now, '
    'ABOVE_BURST when it never is; then nothing is taken. What is rolled back was not taken. XE812 '
    'for an unknown limit.';

CREATE FUNCTION economy.set_rate_limit(rate jsonb, actor text) RETURNS economy.rate_limits
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    id        CONSTANT text := rate ->> 'limit_id';
    old_row   economy.rate_limits;
    new_row   economy.rate_limits;
    wrong     text;
    failed    text;
    at_column text;
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.require_given('rate', rate IS NOT NULL);
    IF jsonb_typeof(rate) <> 'object' OR id IS NULL THEN
        RAISE EXCEPTION 'rate must be a JSON object with a limit_id' USING ERRCODE = 'XE811';
    END IF;
    PERFORM economy_internal.open_tables('rate_limits', 'config_changes');
    -- one change of a limit at a time, also of one that does not exist yet
    PERFORM economy_internal.lock_name('economy.rate_limit:' || id);
    SELECT * INTO old_row FROM economy.rate_limits l WHERE l.limit_id = id FOR NO KEY UPDATE;
    SELECT format('%s is no such column', to_json(k)) INTO wrong
        FROM jsonb_object_keys(set_rate_limit.rate) k
        WHERE k NOT IN ('limit_id', 'burst', 'refill', 'period_seconds')
        ORDER BY k COLLATE "C" LIMIT 1;
    IF wrong IS NULL THEN
        BEGIN
            new_row := jsonb_populate_record(old_row, rate);
            IF old_row.limit_id IS NULL THEN
                INSERT INTO economy.rate_limits SELECT (new_row).*;
            ELSE
                UPDATE economy.rate_limits l SET
                    burst = new_row.burst, refill = new_row.refill,
                    period_seconds = new_row.period_seconds
                WHERE l.limit_id = id;
            END IF;
        EXCEPTION WHEN data_exception OR check_violation OR not_null_violation THEN
            GET STACKED DIAGNOSTICS
                wrong = MESSAGE_TEXT, failed = CONSTRAINT_NAME, at_column = COLUMN_NAME;
            wrong := economy_internal.violation('rate_limits', rate, wrong, failed, at_column);
        END;
    END IF;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'rate limit "%" is not valid', left(id, 64)
            USING ERRCODE = 'XE811', DETAIL = wrong || '.',
            HINT = 'The keys are the column names of economy.rate_limits.';
    END IF;
    PERFORM economy.note_change('rate_limits', id,
        CASE WHEN old_row.limit_id IS NULL THEN 'create' ELSE 'change' END, actor);
    RETURN new_row;
END
$$;
COMMENT ON FUNCTION economy.set_rate_limit(jsonb, text) IS
    'Makes a rate limit, or changes the given columns of one; keys are the column names of '
    'rate_limits. Recorded with actor, before and after. XE811 for one that is not valid.';

CREATE FUNCTION economy.remove_rate_limit(limit_id text, actor text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.require_given('limit_id', limit_id IS NOT NULL);
    PERFORM economy_internal.open_tables('rate_limits', 'config_changes');
    PERFORM economy_internal.lock_name('economy.rate_limit:' || limit_id);
    DELETE FROM economy.rate_limits l WHERE l.limit_id = remove_rate_limit.limit_id;
    IF NOT found THEN
        RETURN false;
    END IF;
    PERFORM economy.note_change('rate_limits', limit_id, 'remove', actor);
    RETURN true;
END
$$;
COMMENT ON FUNCTION economy.remove_rate_limit(text, text) IS
    'Removes a rate limit: take_rate() does not know it any more. Recorded with actor and before. '
    'False when there is none.';

CREATE FUNCTION economy_internal.forget_rates(
    after jsonb DEFAULT NULL, max integer DEFAULT 2000, OUT forgotten bigint, OUT next jsonb
)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    -- in the order of the key, whatever the statistics say
    SET enable_seqscan = off SET enable_sort = off SET jit = off AS $$
DECLARE
    looked integer := 0;
    last   economy_internal.rate_taken;
BEGIN
    PERFORM economy_internal.open_tables('rate_limits', 'economy_internal.rate_taken');
    forgotten := 0;
    FOR last IN
        SELECT t.* FROM economy_internal.rate_taken t
        WHERE after IS NULL OR (t.limit_id, t.subject) > (after ->> 'limit_id', after ->> 'subject')
        ORDER BY t.limit_id, t.subject LIMIT max
    LOOP
        looked := looked + 1;
        next := jsonb_build_object('limit_id', last.limit_id, 'subject', last.subject);
        CONTINUE WHEN last.full_at > economy.now()
            AND EXISTS (SELECT FROM economy.rate_limits l WHERE l.limit_id = last.limit_id);
        -- who is taking now keeps nobody waiting
        PERFORM FROM economy_internal.rate_taken t
            WHERE t.limit_id = last.limit_id AND t.subject = last.subject
              AND t.full_at = last.full_at FOR UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT found;
        DELETE FROM economy_internal.rate_taken t
            WHERE t.limit_id = last.limit_id AND t.subject = last.subject;
        forgotten := forgotten + 1;
    END LOOP;
    IF looked < max THEN
        next := NULL;
    END IF;
END
$$;
COMMENT ON FUNCTION economy_internal.forget_rates(jsonb, integer) IS
    'Removes what subjects have taken and have back, of at most max behind a place, and of limits '
    'that are gone; next is the place of the last one, or null. What the job does.';
