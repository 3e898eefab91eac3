-- mission: what users are to do, counted from their entries

CREATE FUNCTION economy_internal.check_mission_condition(trigger text, condition jsonb)
    RETURNS void
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_check_mission_condition';
COMMENT ON FUNCTION economy_internal.check_mission_condition(text, jsonb) IS
    'Raises XE403 with what is wrong with a condition, and where, for entries of a trigger.';

CREATE FUNCTION economy_internal.mission_counts(trigger text, progress text, field text)
    RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_mission_counts_field';
COMMENT ON FUNCTION economy_internal.mission_counts(text, text, text) IS
    'Whether entries of a trigger have a field of that name that the progress can be of: sum and '
    'max of a number, or of details that may have one, distinct of any.';

CREATE FUNCTION economy_internal.mission_condition_of(
    trigger text, condition jsonb, user_id bigint, seq bigint
) RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_mission_condition_of';
COMMENT ON FUNCTION economy_internal.mission_condition_of(text, jsonb, bigint, bigint) IS
    'What a condition is of an entry; null: unknown. XE106 for no such entry.';

CREATE FUNCTION economy_internal.mission_period_at(period text, at timestamptz) RETURNS bigint
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_mission_period_at';
COMMENT ON FUNCTION economy_internal.mission_period_at(text, timestamptz) IS
    'The number of the period that a moment lies in: 0 of once; null of one that begins with an '
    'entry.';

CREATE FUNCTION economy_internal.mission_period_key(
    period text, version integer, number bigint
) RETURNS text
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_mission_period_key';
COMMENT ON FUNCTION economy_internal.mission_period_key(text, integer, bigint) IS
    'What a period is called: once, 2026-01-31, 2026-W05, of repeat 1.3, the version and the run, '
    'and of rolling 2026-01-31T12:30:00Z, its beginning.';

CREATE FUNCTION economy_internal.mission_period_starts(period text, number bigint)
    RETURNS timestamptz
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_mission_period_starts';
COMMENT ON FUNCTION economy_internal.mission_period_starts(text, bigint) IS
    'The first moment of a period; null of once and repeat.';

CREATE FUNCTION economy_internal.mission_period_ends(period text, number bigint)
    RETURNS timestamptz
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_mission_period_ends';
COMMENT ON FUNCTION economy_internal.mission_period_ends(text, bigint) IS
    'The moment at which a period ends; null of once and repeat.';

CREATE TABLE economy_internal.mission_progress_more (
    user_id  bigint NOT NULL,
    progress bytea  NOT NULL,
    CONSTRAINT mission_progress_more_pkey PRIMARY KEY (user_id)
) WITH (fillfactor = 70);
SELECT pg_catalog.pg_extension_config_dump('economy_internal.mission_progress_more', '');
COMMENT ON TABLE economy_internal.mission_progress_more IS
    'Progress in missions for which there is no room in accounts.sections, packed as it is there. '
    'Written by the functions of economy only.';

CREATE FUNCTION economy_internal.mission_progress_of(sections bytea, further bytea) RETURNS TABLE (
    number integer, period bigint, progress bigint, state integer, since bigint, kept bytea
)
    LANGUAGE c IMMUTABLE PARALLEL SAFE ROWS 10
    AS 'MODULE_PATHNAME', 'eco_mission_progress_of';
COMMENT ON FUNCTION economy_internal.mission_progress_of(bytea, bytea) IS
    'Progress in missions that stands in an account and its row of mission_progress_more, by the '
    'number of the mission''s version: state 0 is active, 1 completed, 2 claimed. since: of active '
    'progress the seq before which nothing was counted, else that of the entry that completed it; '
    '0: not known. kept: of active progress in distinct values these, packed. No row of one that '
    'is damaged.';

CREATE FUNCTION economy_internal.mission_progress_sound(sections bytea, further bytea)
    RETURNS boolean
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_mission_progress_sound';
COMMENT ON FUNCTION economy_internal.mission_progress_sound(bytea, bytea) IS
    'Whether the progress in missions in an account can be read, and says that there is a row of '
    'mission_progress_more if, and only if, there is.';

CREATE FUNCTION economy_internal.with_mission_progress(
    sections bytea, number integer, period bigint, progress bigint, state integer,
    since bigint DEFAULT 0, kept bytea DEFAULT NULL
) RETURNS bytea
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_with_mission_progress';
COMMENT ON FUNCTION economy_internal.with_mission_progress(
    bytea, integer, bigint, bigint, integer, bigint, bytea) IS
    'An account''s sections with other progress in a mission, or without it when progress is '
    'null: for who corrects what the audit found to be wrong.';

CREATE FUNCTION economy_internal.with_further_mission_progress(
    further bytea, number integer, period bigint, progress bigint, state integer,
    since bigint DEFAULT 0, kept bytea DEFAULT NULL
) RETURNS bytea
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_with_further_mission_progress';
COMMENT ON FUNCTION economy_internal.with_further_mission_progress(
    bytea, integer, bigint, bigint, integer, bigint, bytea) IS
    'The same of mission_progress_more.progress.';

CREATE FUNCTION economy_internal.mission_replay(user_id bigint, reading integer) RETURNS TABLE (
    number integer, period bigint, progress bigint, state integer, since bigint, kept bytea,
    unearned boolean
)
    LANGUAGE c STABLE STRICT PARALLEL SAFE ROWS 10 AS 'MODULE_PATHNAME', 'eco_mission_replay';
COMMENT ON FUNCTION economy_internal.mission_replay(bigint, integer) IS
    'Progress in missions counted again from the user''s entries, and claims that are not earned. '
    'Reading 0: as it is made; 1 and 2: the least and the most that it can be, as a session hears '
    'of what is published after its commit.';

CREATE TABLE economy.mission_templates (
    mission       text    NOT NULL COLLATE "C"
        CONSTRAINT mission_templates_mission_check
            CHECK (mission ~ '^[A-Za-z0-9_.-]{1,48}$'),
    version       integer NOT NULL,
    number        integer NOT NULL
        CONSTRAINT mission_templates_number_key UNIQUE
        CONSTRAINT mission_templates_number_check CHECK (number BETWEEN 1 AND 99999),
    trigger       text    NOT NULL COLLATE "C"
        CONSTRAINT mission_templates_trigger_check
            CHECK (trigger IN ('purchase', 'action', 'reward', 'entry')),
    condition     jsonb,
    progress      text    NOT NULL COLLATE "C"
        CONSTRAINT mission_templates_progress_check
            CHECK (progress IN ('count', 'sum', 'max', 'distinct', 'streak')),
    field         text COLLATE "C",
    target        bigint  NOT NULL
        CONSTRAINT mission_templates_target_check CHECK (target BETWEEN 1 AND 9007199254740991),
    increment_cap bigint
        CONSTRAINT mission_templates_increment_cap_check CHECK (increment_cap > 0),
    period        text    NOT NULL COLLATE "C"
        CONSTRAINT mission_templates_period_check CHECK (
            period IN ('once', 'daily', 'weekly', 'repeat')
            OR period ~ '^repeat [1-9][0-9]{0,5}$'
            OR period ~ '^rolling [1-9][0-9]{0,3}$' AND substr(period, 9)::integer <= 8784),
    starts_at     timestamptz NOT NULL,
    ends_at       timestamptz,
    claim_hours   integer NOT NULL
        CONSTRAINT mission_templates_claim_hours_check CHECK (claim_hours BETWEEN 0 AND 8784),
    requires      text[]  NOT NULL COLLATE "C",
    gold          bigint  NOT NULL
        CONSTRAINT mission_templates_gold_check CHECK (gold BETWEEN 0 AND 9007199254740991),
    xp            bigint  NOT NULL
        CONSTRAINT mission_templates_xp_check CHECK (xp BETWEEN 0 AND 9007199254740991),
    items         jsonb
        CONSTRAINT mission_templates_items_check CHECK (economy_internal.amounts_sound(items)),
    auto_claim    boolean NOT NULL,
    hidden        boolean NOT NULL,
    position      integer NOT NULL,
    texts         jsonb   NOT NULL
        CONSTRAINT mission_templates_texts_check CHECK (jsonb_typeof(texts) = 'object'
            AND NOT jsonb_path_exists(texts, 'strict $.* ? (@.type() != "object")')),
    published_at  timestamptz NOT NULL,
    retired_at    timestamptz,
    CONSTRAINT mission_templates_pkey PRIMARY KEY (mission, version),
    CONSTRAINT mission_templates_version_check CHECK (version > 0),
    CONSTRAINT mission_templates_field_check
        CHECK ((progress IN ('count', 'streak')) = (field IS NULL)),
    CONSTRAINT mission_templates_streak_check
        CHECK (progress <> 'streak' OR period IN ('daily', 'weekly')),
    CONSTRAINT mission_templates_distinct_check CHECK (progress <> 'distinct' OR target <= 64),
    CONSTRAINT mission_templates_ends_at_check CHECK (ends_at > starts_at)
);
SELECT pg_catalog.pg_extension_config_dump('economy.mission_templates', '');
COMMENT ON TABLE economy.mission_templates IS
    'Missions as they were published, a row per version, which never changes but for its '
    'retirement. Set by publish_mission() and retire_mission() only.';
COMMENT ON CONSTRAINT mission_templates_mission_check ON economy.mission_templates IS
    'mission must have 1 to 48 letters of ASCII, digits, dots, dashes and underscores';
COMMENT ON CONSTRAINT mission_templates_trigger_check ON economy.mission_templates IS
    'trigger must be purchase, action, reward or entry';
COMMENT ON CONSTRAINT mission_templates_progress_check ON economy.mission_templates IS
    'progress must be count, sum, max, distinct or streak';
COMMENT ON CONSTRAINT mission_templates_target_check ON economy.mission_templates IS
    'target must be from 1 to 2^53-1';
COMMENT ON CONSTRAINT mission_templates_increment_cap_check ON economy.mission_templates IS
    'increment_cap must be 1 or more';
COMMENT ON CONSTRAINT mission_templates_period_check ON economy.mission_templates IS
    'period must be once, daily, weekly, repeat, repeat 1 to repeat 999999, or rolling 1 to '
    'rolling 8784, hours';
COMMENT ON CONSTRAINT mission_templates_claim_hours_check ON economy.mission_templates IS
    'claim_hours must be from 0 to 8784';
COMMENT ON CONSTRAINT mission_templates_gold_check ON economy.mission_templates IS
    'gold must be from 0 to 2^53-1';
COMMENT ON CONSTRAINT mission_templates_xp_check ON economy.mission_templates IS
    'xp must be from 0 to 2^53-1';
COMMENT ON CONSTRAINT mission_templates_items_check ON economy.mission_templates IS
    'items must be an object of 1 to 16 items, each with a whole number from 1 to 2^53-1';
COMMENT ON CONSTRAINT mission_templates_texts_check ON economy.mission_templates IS
    'texts must be a JSON object of languages, each with an object';
COMMENT ON CONSTRAINT mission_templates_field_check ON economy.mission_templates IS
    'field is what sum, max and distinct are of, and count and streak have none';
COMMENT ON CONSTRAINT mission_templates_streak_check ON economy.mission_templates IS
    'a streak is of days or weeks: its period must be daily or weekly';
COMMENT ON CONSTRAINT mission_templates_distinct_check ON economy.mission_templates IS
    'the target of distinct must be from 1 to 64';
COMMENT ON CONSTRAINT mission_templates_ends_at_check ON economy.mission_templates IS
    'ends_at must be after starts_at, and after now';
COMMENT ON COLUMN economy.mission_templates.number IS
    'What progress in accounts knows the version by.';
COMMENT ON COLUMN economy.mission_templates.trigger IS
    'The entries that it looks at: purchases, actions, rewards, or all of them.';
COMMENT ON COLUMN economy.mission_templates.condition IS
    'Which of these count; null: all of them.';
COMMENT ON COLUMN economy.mission_templates.increment_cap IS
    'The most that one entry counts; null: no limit.';
COMMENT ON COLUMN economy.mission_templates.period IS
    'once; or anew each day or week of ISO 8601, by UTC; repeat: after each claim, so many times; '
    'rolling: with the first progress behind the end of so many hours.';
COMMENT ON COLUMN economy.mission_templates.claim_hours IS
    'So many hours after the end of its period it may still be claimed.';
COMMENT ON COLUMN economy.mission_templates.requires IS
    'Missions that are completed before anything counts for this one.';
COMMENT ON COLUMN economy.mission_templates.auto_claim IS
    'Whether the job missions pays it, to who has not claimed it until then.';
COMMENT ON COLUMN economy.mission_templates.hidden IS
    'Whether missions() shows it only when the user has progress in it.';
COMMENT ON COLUMN economy.mission_templates.texts IS
    'What is shown, by language: {"en": {"name": "Three wins"}}.';

CREATE FUNCTION economy_internal.missions_changed() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'eco_missions_changed';
COMMENT ON FUNCTION economy_internal.missions_changed() IS
    'Trigger of mission_templates: tells every session that missions have changed.';
CREATE TRIGGER mission_templates_changed
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON economy.mission_templates
    FOR EACH STATEMENT EXECUTE FUNCTION economy_internal.missions_changed();
ALTER TABLE economy.mission_templates ENABLE ALWAYS TRIGGER mission_templates_changed;
COMMENT ON TRIGGER mission_templates_changed ON economy.mission_templates IS
    'Sessions keep missions compiled.';

CREATE FUNCTION economy_internal.mission_ends(
    mission economy.mission_templates, number bigint, progress bigint
) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT least(mission.ends_at, mission.retired_at,
                     economy_internal.mission_period_ends(
                         mission.period,
                         number + CASE mission.progress
                                  WHEN 'streak' THEN least(mission_ends.progress,
                                                           mission.target - 1)
                                  ELSE 0 END));
    END;
COMMENT ON FUNCTION economy_internal.mission_ends(economy.mission_templates, bigint, bigint) IS
    'When nothing counts any more for a period of a mission, or a streak that begins with it and '
    'has come so far; null: that is not known yet.';

CREATE FUNCTION economy_internal.mission_current(
    mission economy.mission_templates, at timestamptz, last bigint, state integer,
    progress bigint
) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT CASE
            WHEN mission.period ~ '^repeat' THEN CASE
                WHEN state = 2
                     AND last < coalesce(nullif(substr(mission.period, 8), '')::bigint, 999999999)
                THEN last + 1 ELSE coalesce(last, 1) END
            WHEN mission.period ~ '^rolling' THEN CASE
                WHEN at < economy_internal.mission_period_ends(mission.period, last)
                THEN last END
            WHEN mission.progress = 'streak' THEN CASE
                WHEN at < economy_internal.mission_ends(mission, last, mission_current.progress)
                THEN last
                ELSE economy_internal.mission_period_at(mission.period, at) END
            ELSE economy_internal.mission_period_at(mission.period, at) END;
    END;
COMMENT ON FUNCTION economy_internal.mission_current(
    economy.mission_templates, timestamptz, bigint, integer, bigint) IS
    'The period that a mission is in for a user whose last one that is known is this, in this '
    'state; null: it begins with the next entry that counts.';

CREATE FUNCTION economy_internal.mission_opens(
    mission economy.mission_templates, next economy.mission_templates
) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT mission.period = 'once'
               AND coalesce(least(mission.ends_at, mission.retired_at)
                            + make_interval(hours => mission.claim_hours) > next.published_at,
                            true);
    END;
COMMENT ON FUNCTION economy_internal.mission_opens(
    economy.mission_templates, economy.mission_templates) IS
    'Whether a mission that requires this one may have meant this version of it.';

CREATE FUNCTION economy_internal.mission_room(missions economy.mission_templates[])
    RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        -- a number has 3 bytes, a period as many, and seven bits of progress one each; two
        -- periods may stand beside each other, and those that can still be claimed
        SELECT coalesce(sum(
            (6 + CASE WHEN m.target < 32 THEN 1 WHEN m.target < 4096 THEN 2
                      WHEN m.target < 524288 THEN 3 WHEN m.target < 67108864 THEN 4
                      ELSE 8 END
             -- and the entry that has completed it, or since which one that was locked counts
             + 5
             -- and values that differ, each with how often it was counted
             + CASE m.progress WHEN 'distinct' THEN 2 + 20 * m.target
                               -- the last period's entries
                               WHEN 'streak' THEN 6 ELSE 0 END
             -- a second has two bytes more
             + CASE WHEN m.period LIKE 'rolling %' THEN 2 ELSE 0 END)
            * CASE WHEN m.period = 'daily' THEN 1 + (m.claim_hours + 23) / 24
                   WHEN m.period = 'weekly' THEN 1 + (m.claim_hours + 167) / 168
                   WHEN m.period LIKE 'rolling %'
                   THEN 1 + (m.claim_hours - 1) / substr(m.period, 9)::integer + 1
                   ELSE 1 END), 0)
        FROM unnest(missions) m;
    END;
COMMENT ON FUNCTION economy_internal.mission_room(economy.mission_templates[]) IS
    'Bytes that a user''s progress in missions has at most.';

CREATE FUNCTION economy_internal.check_mission(given jsonb) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH says (place, says) AS (
            SELECT 0, format('%s is no such column that can be set', to_json(k))
            FROM jsonb_object_keys(given) k
            WHERE k NOT IN ('mission', 'trigger', 'condition', 'progress', 'field', 'target',
                            'increment_cap', 'period', 'starts_at', 'ends_at', 'claim_hours',
                            'requires', 'gold', 'xp', 'items', 'auto_claim', 'hidden', 'position',
                            'texts')
            UNION ALL
            -- the session's settings must not decide what moment is meant
            SELECT 1, format('%s must be a text in ISO 8601 with time zone, '
                             'such as 2026-01-31T12:00:00Z', k)
            FROM unnest(ARRAY['starts_at', 'ends_at']) k
            WHERE jsonb_typeof(given -> k) <> 'null' AND NOT coalesce(
                jsonb_typeof(given -> k) = 'string'
                AND given ->> k ~ ('^[0-9]{4,6}-[0-9]{2}-[0-9]{2}[T ]'
                    '[0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?'
                    '(Z|[+-][0-9]{2}(:?[0-9]{2}(:[0-9]{2})?)?)$'), false)
            UNION ALL
            SELECT 2, 'requires must be an array of at most 8 missions'
            WHERE given ? 'requires' AND NOT coalesce(
                jsonb_typeof(given -> 'requires') = 'array'
                AND jsonb_array_length(CASE jsonb_typeof(given -> 'requires')
                                       WHEN 'array' THEN given -> 'requires' END) <= 8, false)
            UNION ALL
            SELECT 3, format('item %s does not exist', to_json(k))
            FROM jsonb_object_keys(CASE jsonb_typeof(given -> 'items')
                                   WHEN 'object' THEN given -> 'items' ELSE '{}' END) k
            WHERE NOT EXISTS (SELECT FROM economy.items i WHERE i.item_id = k)
            UNION ALL
            -- an event has 8000 bytes, and tells of each item its balance too
            SELECT 4, 'items must have 3072 bytes as text'
            WHERE octet_length((given -> 'items')::text) > 3072
        )
        SELECT s.says FROM says s ORDER BY s.place, s.says LIMIT 1;
    END;
COMMENT ON FUNCTION economy_internal.check_mission(jsonb) IS
    'What is wrong with a mission given to publish_mission(), beyond what the constraints of '
    'mission_templates say; null when nothing is.';

CREATE FUNCTION economy_internal.check_new_mission(new_row economy.mission_templates)
    RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH others AS MATERIALIZED (
            SELECT t FROM economy.mission_templates t
            -- what can have progress: of those that are over also what others require
            WHERE t.number <> new_row.number
              AND (coalesce(least(t.ends_at, t.retired_at)
                            + make_interval(hours => t.claim_hours) > economy.now(), true)
                   OR t.mission = ANY (new_row.requires)
                   OR EXISTS (SELECT FROM economy.mission_templates r
                              WHERE t.mission = ANY (r.requires)))
        ), says (place, says) AS (
            SELECT 0, format('%s is no %s that entries of the trigger have',
                             to_json(new_row.field),
                             CASE new_row.progress WHEN 'distinct' THEN 'field' ELSE 'number' END)
            WHERE NOT economy_internal.mission_counts(new_row.trigger, new_row.progress,
                                                      new_row.field)
            UNION ALL
            -- of one that is over it is not known any more who had completed it
            SELECT 1, format('mission %s, which it requires, is not published with the period '
                             'once, or has ended', to_json(r))
            FROM unnest(new_row.requires) r
            WHERE NOT EXISTS (SELECT FROM economy.mission_templates t
                              WHERE t.mission = r AND t.retired_at IS NULL AND t.period = 'once'
                                AND t.mission <> new_row.mission
                                AND coalesce(t.ends_at > new_row.published_at, true))
            UNION ALL
            SELECT 2, format('mission %s requires it, which needs the period once', b.mission)
            FROM economy.mission_templates b
            WHERE new_row.mission = ANY (b.requires) AND b.retired_at IS NULL
              AND new_row.period <> 'once'
            UNION ALL
            SELECT 3, 'what it requires would require it'
            FROM (WITH RECURSIVE needs (mission) AS (
                      SELECT r FROM unnest(new_row.requires) r
                      UNION
                      SELECT r FROM needs n
                      JOIN economy.mission_templates t
                          ON t.mission = n.mission AND t.retired_at IS NULL
                      CROSS JOIN LATERAL unnest(t.requires) r
                  ) SELECT n.mission FROM needs n) n
            WHERE n.mission = new_row.mission
            UNION ALL
            SELECT 4, format('progress in all missions together would need %s bytes of a user, '
                             'and 24000 is the most', r.room)
            FROM (SELECT economy_internal.mission_room(array_agg(o.t)) AS room
                  FROM (SELECT t FROM others UNION ALL SELECT new_row) o (t)) r
            WHERE r.room > 24000
        )
        SELECT s.says FROM says s ORDER BY s.place, s.says LIMIT 1;
    END;
COMMENT ON FUNCTION economy_internal.check_new_mission(economy.mission_templates) IS
    'What is wrong with a new version beside the other missions; null when nothing is.';

CREATE FUNCTION economy_internal.refuse_mission(mission text, wrong text, hint text)
    RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'mission "%" is not valid', left(mission, 64)
        USING ERRCODE = 'XE403', DETAIL = rtrim(wrong, '.') || '.',
        HINT = coalesce(nullif(hint, ''),
                        'The keys are the column names of economy.mission_templates.');
END
$$;
COMMENT ON FUNCTION economy_internal.refuse_mission(text, text, text) IS
    'Raises XE403 for a mission.';

CREATE FUNCTION economy_internal.put_mission(
    mission jsonb, OUT new_row economy.mission_templates, OUT retired integer
)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET TimeZone = 'UTC' SET DateStyle = 'ISO, YMD' AS $$
DECLARE
    old_row   economy.mission_templates;
    written   economy.mission_templates;
    id        text := mission ->> 'mission';
    wrong     text;
    hint      text;
    failed    text;
    at_column text;
BEGIN
    IF jsonb_typeof(mission) <> 'object' OR id IS NULL THEN
        RAISE EXCEPTION 'mission must be a JSON object with a mission' USING ERRCODE = 'XE403';
    END IF;
    PERFORM economy_internal.open_tables('mission_templates', 'items', 'config_changes');
    -- one change of any at a time: they have their numbers, and their room, together
    PERFORM economy_internal.lock_name('economy.missions');
    SELECT * INTO old_row FROM economy.mission_templates t
        WHERE t.mission = id ORDER BY t.version DESC LIMIT 1;
    wrong := economy_internal.check_mission(mission);
    IF wrong IS NULL THEN
        BEGIN
            new_row := jsonb_populate_record(
                NULL::economy.mission_templates,
                '{"progress": "count", "period": "once", "claim_hours": 24, "requires": [],
                  "gold": 0, "xp": 0, "auto_claim": false, "hidden": false,
                  "position": 0, "texts": {}}' || mission);
            new_row.version := coalesce(old_row.version, 0) + 1;
            new_row.number := coalesce((SELECT max(t.number) FROM economy.mission_templates t), 0)
                              + 1;
            new_row.published_at := economy.now();
            new_row.starts_at := greatest(new_row.starts_at, new_row.published_at);
            -- which entry begins a window, or a streak, is known when all sessions have heard of
            -- the mission
            IF new_row.period LIKE 'rolling%' OR new_row.progress = 'streak' THEN
                new_row.starts_at := greatest(new_row.starts_at,
                                              new_row.published_at + make_interval(mins => 1));
            END IF;
            IF old_row.retired_at IS NULL AND old_row.version IS NOT NULL THEN
                UPDATE economy.mission_templates t SET retired_at = new_row.published_at
                    WHERE t.mission = id AND t.version = old_row.version RETURNING t.* INTO written;
                PERFORM economy_internal.require_kept(
                    'mission_templates', written.retired_at = new_row.published_at);
            END IF;
            -- of two at once above READ COMMITTED, neither of which sees the other: 40001
            INSERT INTO economy.mission_templates AS t SELECT (new_row).* ON CONFLICT DO NOTHING
                RETURNING t.* INTO written;
            PERFORM economy_internal.require_kept(
                'mission_templates', written IS NOT DISTINCT FROM new_row);
            PERFORM economy_internal.check_mission_condition(new_row.trigger, new_row.condition);
            wrong := economy_internal.check_new_mission(new_row);
        EXCEPTION
            WHEN SQLSTATE 'XE403' OR SQLSTATE 'XE002' OR SQLSTATE 'XE003' THEN
                GET STACKED DIAGNOSTICS
                    wrong = MESSAGE_TEXT, failed = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
                wrong := concat_ws(': ', wrong, nullif(failed, ''));
            WHEN data_exception OR check_violation OR not_null_violation THEN
                GET STACKED DIAGNOSTICS
                    wrong = MESSAGE_TEXT, failed = CONSTRAINT_NAME, at_column = COLUMN_NAME;
                wrong := economy_internal.violation('mission_templates', mission, wrong, failed,
                                                    at_column);
        END;
    END IF;
    IF wrong IS NOT NULL THEN
        PERFORM economy_internal.refuse_mission(id, wrong, hint);
    END IF;
    IF old_row.retired_at IS NULL THEN
        retired := old_row.version;
    END IF;
END
$$;
COMMENT ON FUNCTION economy_internal.put_mission(jsonb) IS
    'What publish_mission() writes, but for its record: the new version, and the one that was '
    'retired for it, or null. XE403 for a mission that is not valid.';

CREATE FUNCTION economy.publish_mission(mission jsonb, actor text)
    RETURNS economy.mission_templates
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    id      text := mission ->> 'mission';
    new_row economy.mission_templates;
    put     record;
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.require_given('mission', mission IS NOT NULL);
    SELECT * INTO STRICT put FROM economy_internal.put_mission(mission);
    new_row := put.new_row;
    IF put.retired IS NOT NULL THEN
        PERFORM economy.note_change('mission_templates', id || ':' || put.retired, 'retire', actor);
    END IF;
    PERFORM economy.note_change('mission_templates', id || ':' || new_row.version, 'publish',
                                actor);
    RETURN new_row;
END
$$;
COMMENT ON FUNCTION economy.publish_mission(jsonb, text) IS
    'Publishes a mission, or the next version of one, whose last one is retired: progress begins '
    'anew. Keys are the column names of mission_templates. A version never changes. Recorded with '
    'actor. XE403 for one that is not valid.';

CREATE FUNCTION economy.retire_mission(mission text, actor text) RETURNS economy.mission_templates
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    row_now economy.mission_templates;
    written economy.mission_templates;
    needs   text;
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.require_given('mission', mission IS NOT NULL);
    PERFORM economy_internal.open_tables('mission_templates', 'config_changes');
    PERFORM economy_internal.lock_name('economy.missions');
    SELECT * INTO row_now FROM economy.mission_templates t
        WHERE t.mission = retire_mission.mission ORDER BY t.version DESC LIMIT 1;
    IF row_now.mission IS NULL THEN
        RAISE EXCEPTION 'there is no mission "%"', left(mission, 64) USING ERRCODE = 'XE404';
    END IF;
    IF row_now.retired_at IS NOT NULL THEN
        RETURN row_now;
    END IF;
    needs := (SELECT min(t.mission) FROM economy.mission_templates t
              WHERE row_now.mission = ANY (t.requires) AND t.retired_at IS NULL);
    IF needs IS NOT NULL THEN
        PERFORM economy_internal.refuse_mission(
            row_now.mission, format('mission "%s" requires it', needs),
            'Retire that one first, or publish it without.');
    END IF;
    row_now.retired_at := economy.now();
    UPDATE economy.mission_templates t SET retired_at = row_now.retired_at
        WHERE t.mission = row_now.mission AND t.version = row_now.version
        RETURNING t.* INTO written;
    PERFORM economy_internal.require_kept(
        'mission_templates', written IS NOT DISTINCT FROM row_now);
    PERFORM economy.note_change('mission_templates', row_now.mission || ':' || row_now.version,
                                'retire', actor);
    RETURN row_now;
END
$$;
COMMENT ON FUNCTION economy.retire_mission(text, text) IS
    'Ends a mission: nothing counts for it any more, and what is completed can be claimed for its '
    'claim_hours. Of one that is retired nothing changes. Recorded with actor. XE404 for no such '
    'mission, XE403 for one that others require.';

CREATE VIEW economy.mission_progress AS
    SELECT a.user_id, t.mission, t.version,
           economy_internal.mission_period_key(t.period, t.version, p.period) AS period,
           p.progress, t.target,
           (ARRAY['active', 'completed', 'claimed'])[p.state + 1] AS state
    FROM economy.accounts a
    LEFT JOIN economy_internal.mission_progress_more m USING (user_id)
    CROSS JOIN LATERAL economy_internal.mission_progress_of(a.sections, m.progress) p
    JOIN economy.mission_templates t ON t.number = p.number;
COMMENT ON VIEW economy.mission_progress IS
    'How far users are in missions, as they have it. What is over leaves with the next '
    'entry that counts.';
