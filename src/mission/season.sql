-- mission: seasons (battle passes): tiers that users reach by an item, and tracks they hold

CREATE TABLE economy.seasons (
    season       text        NOT NULL COLLATE "C" CONSTRAINT seasons_pkey PRIMARY KEY
        CONSTRAINT seasons_season_check CHECK (season ~ '^[A-Za-z0-9_.-]{1,48}$'),
    xp_item      text        NOT NULL COLLATE "C" CONSTRAINT seasons_xp_item_key UNIQUE,
    starts_at    timestamptz NOT NULL,
    ends_at      timestamptz NOT NULL,
    claim_hours  integer     NOT NULL
        CONSTRAINT seasons_claim_hours_check CHECK (claim_hours BETWEEN 0 AND 8784),
    at_end       text        NOT NULL COLLATE "C"
        CONSTRAINT seasons_at_end_check CHECK (at_end IN ('claim', 'forfeit')),
    tracks       jsonb       NOT NULL,
    tiers        jsonb       NOT NULL,
    excess       jsonb,
    hidden       boolean     NOT NULL,
    position     integer     NOT NULL,
    texts        jsonb       NOT NULL
        CONSTRAINT seasons_texts_check CHECK (jsonb_typeof(texts) = 'object'
            AND NOT jsonb_path_exists(texts, 'strict $.* ? (@.type() != "object")')),
    published_at timestamptz NOT NULL,
    retired_at   timestamptz,
    closed_at    timestamptz,
    CONSTRAINT seasons_ends_at_check CHECK (ends_at > starts_at)
);
SELECT pg_catalog.pg_extension_config_dump('economy.seasons', '');
COMMENT ON TABLE economy.seasons IS
    'Seasons as they were published. Set by publish_season() and retire_season(), and closed by '
    'the job seasons.';
COMMENT ON CONSTRAINT seasons_season_check ON economy.seasons IS
    'season must have 1 to 48 letters of ASCII, digits, dots, dashes and underscores';
COMMENT ON CONSTRAINT seasons_xp_item_key ON economy.seasons IS
    'xp_item is that of another season';
COMMENT ON CONSTRAINT seasons_claim_hours_check ON economy.seasons IS
    'claim_hours must be from 0 to 8784';
COMMENT ON CONSTRAINT seasons_at_end_check ON economy.seasons IS
    'at_end must be claim or forfeit';
COMMENT ON CONSTRAINT seasons_texts_check ON economy.seasons IS
    'texts must be a JSON object of languages, each with an object';
COMMENT ON CONSTRAINT seasons_ends_at_check ON economy.seasons IS
    'ends_at must be after starts_at, and after now';
COMMENT ON COLUMN economy.seasons.xp_item IS
    'The item whose units are the season''s XP: what a user holds of it reaches tiers.';
COMMENT ON COLUMN economy.seasons.claim_hours IS
    'So many hours after the end the job claims the rest, or it is forfeited.';
COMMENT ON COLUMN economy.seasons.at_end IS
    'claim: what is reached can be claimed for ever, and is claimed for everybody claim_hours '
    'after the end; forfeit: it cannot be claimed from then on.';
COMMENT ON COLUMN economy.seasons.tracks IS
    'Rows of rewards, [{"track": "free"}, {"track": "premium", "item": "s7_premium"}]: open to '
    'everybody, or to who holds the item.';
COMMENT ON COLUMN economy.seasons.tiers IS
    'From tier 1 on the XP that reaches it, and the reward on each track: '
    '[{"xp": 100, "rewards": {"free": {"gold": 50}, "premium": {"items": {"dragon": 1}}}}].';
COMMENT ON COLUMN economy.seasons.excess IS
    'Further tiers: {"every": 500, "times": 20, "rewards": {"free": {"gold": 10}}}; null: none.';
COMMENT ON COLUMN economy.seasons.hidden IS
    'Whether season() shows it, unless it is named, only when the user has XP of it.';
COMMENT ON COLUMN economy.seasons.texts IS
    'What is shown, by language: {"en": {"name": "Season of fire"}}.';
COMMENT ON COLUMN economy.seasons.retired_at IS 'When it was ended before its time.';
COMMENT ON COLUMN economy.seasons.closed_at IS
    'When the job had claimed the rest for everybody; null: it has not, or has not to.';

CREATE FUNCTION economy_internal.season_claim_until(season economy.seasons) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT least(season.ends_at, season.retired_at)
               + make_interval(hours => season.claim_hours);
    END;
COMMENT ON FUNCTION economy_internal.season_claim_until(economy.seasons) IS
    'When the rest of a season is claimed, or forfeited.';

CREATE FUNCTION economy_internal.season_items(tracks jsonb) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT coalesce(array_agg(t ->> 'item') FILTER (WHERE t ->> 'item' IS NOT NULL), '{}')
        FROM jsonb_array_elements(CASE jsonb_typeof(tracks) WHEN 'array' THEN tracks END) t;
    END;
COMMENT ON FUNCTION economy_internal.season_items(jsonb) IS 'The items that tracks name.';

-- PL/pgSQL, here and where a user's season is read: plans of SQL are made at each call
CREATE FUNCTION economy_internal.season_tiers(season economy.seasons)
    RETURNS TABLE (tier integer, xp bigint, rewards jsonb)
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE ROWS 100
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    last CONSTANT integer := jsonb_array_length(season.tiers);
    top  CONSTANT bigint := season.tiers -> -1 ->> 'xp';
BEGIN
    RETURN QUERY
        SELECT t.n::integer, (t.tier ->> 'xp')::bigint, t.tier -> 'rewards'
        FROM jsonb_array_elements(season.tiers) WITH ORDINALITY t (tier, n)
        UNION ALL
        SELECT last + k, top + k * (season.excess ->> 'every')::bigint,
               season.excess -> 'rewards'
        FROM generate_series(1, (season.excess ->> 'times')::integer) k;
END
$$;
COMMENT ON FUNCTION economy_internal.season_tiers(economy.seasons) IS
    'The tiers of a season, those of its excess too.';

-- One who can use XP up loses what he has reached, and one who can give it away reaches it twice.
CREATE FUNCTION economy_internal.season_item_stays() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    counts text := (SELECT min(s.season) FROM economy.seasons s
                    WHERE s.xp_item = NEW.item_id
                       OR NEW.item_id = ANY (economy_internal.season_items(s.tracks)));
BEGIN
    IF counts IS NOT NULL THEN
        RAISE EXCEPTION 'season % counts it: it can be neither consumable nor tradable', counts
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION economy_internal.season_item_stays() IS
    'Trigger of items: refuses to let an item that a season counts be used up or given away.';
CREATE TRIGGER items_of_seasons BEFORE UPDATE ON economy.items
    FOR EACH ROW WHEN (NEW.consumable OR NEW.tradable)
    EXECUTE FUNCTION economy_internal.season_item_stays();
ALTER TABLE economy.items ENABLE ALWAYS TRIGGER items_of_seasons;
COMMENT ON TRIGGER items_of_seasons ON economy.items IS
    'Items that a season counts stay neither consumable nor tradable.';

CREATE FUNCTION economy_internal.check_season(given jsonb) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH track AS (
            SELECT t.track, t.n
            FROM jsonb_array_elements(CASE jsonb_typeof(given -> 'tracks')
                                      WHEN 'array' THEN given -> 'tracks' END)
                WITH ORDINALITY t (track, n)
        ), tier AS MATERIALIZED (
            SELECT t.tier, t.n,
                   CASE WHEN economy_internal.amounts_sound(
                            jsonb_build_object('xp', t.tier -> 'xp'))
                        THEN (t.tier -> 'xp')::numeric END AS xp
            FROM jsonb_array_elements(CASE jsonb_typeof(given -> 'tiers')
                                      WHEN 'array' THEN given -> 'tiers' END)
                WITH ORDINALITY t (tier, n)
        ), excess AS (
            SELECT CASE WHEN economy_internal.amounts_sound((given -> 'excess') - 'rewards')
                        THEN (given #> '{excess,every}')::numeric END AS every,
                   CASE WHEN economy_internal.amounts_sound((given -> 'excess') - 'rewards')
                        THEN (given #> '{excess,times}')::numeric END AS times
            WHERE jsonb_typeof(given -> 'excess') = 'object'
        ), reward AS MATERIALIZED (
            SELECT p.part, p.n, r.key AS track, r.value AS reward
            FROM (SELECT 'tier ' || t.n AS part, t.n, t.tier AS body FROM tier t
                  UNION ALL
                  SELECT 'excess', 1000000, given -> 'excess') p
            CROSS JOIN LATERAL jsonb_each(CASE jsonb_typeof(p.body -> 'rewards')
                                          WHEN 'object' THEN p.body -> 'rewards' END) r
        ), says (place, n, says) AS (
            SELECT 0, 0::bigint, format('%s is no such column that can be set', to_json(k))
            FROM jsonb_object_keys(given) k
            WHERE k NOT IN ('season', 'xp_item', 'starts_at', 'ends_at', 'claim_hours', 'at_end',
                            'tracks', 'tiers', 'excess', 'hidden', 'position', 'texts')
            UNION ALL
            -- the session's settings must not decide what moment is meant
            SELECT 1, 0, format('%s must be a text in ISO 8601 with time zone, '
                                'such as 2026-01-31T12:00:00Z', k)
            FROM unnest(ARRAY['starts_at', 'ends_at']) k
            WHERE given ? k AND NOT coalesce(
                jsonb_typeof(given -> k) = 'string'
                AND given ->> k ~ ('^[0-9]{4,6}-[0-9]{2}-[0-9]{2}[T ]'
                    '[0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?'
                    '(Z|[+-][0-9]{2}(:?[0-9]{2}(:[0-9]{2})?)?)$'), false)
            UNION ALL
            SELECT 2, 0, 'tracks must be an array of 1 to 4 tracks'
            WHERE (SELECT count(*) FROM track) NOT BETWEEN 1 AND 4
            UNION ALL
            SELECT 3, t.n, format('track %s must have a track, 1 to 48 letters of ASCII, digits, '
                                  'dots, dashes and underscores, and an item or none', t.n)
            FROM track t
            WHERE NOT coalesce(
                CASE WHEN jsonb_typeof(t.track) = 'object' AND t.track - 'track' - 'item' = '{}'
                     THEN jsonb_typeof(t.track -> 'track') = 'string'
                          AND t.track ->> 'track' ~ '^[A-Za-z0-9_.-]{1,48}$'
                          AND jsonb_typeof(coalesce(t.track -> 'item', '""')) = 'string' END, false)
            UNION ALL
            SELECT 4, max(t.n), format('track %s is there twice', min(t.track ->> 'track'))
            FROM track t GROUP BY t.track -> 'track' HAVING count(*) > 1
            UNION ALL
            -- what can be used up or given away would be counted less, or twice
            SELECT 5, u.n, format('%s must be an item in units that is given, and neither '
                                  'consumable nor tradable', to_json(u.item))
            FROM (SELECT 0 AS n, given ->> 'xp_item' AS item
                  UNION ALL
                  SELECT t.n, t.track ->> 'item' FROM track t) u
            WHERE u.item IS NOT NULL
              AND NOT EXISTS (SELECT FROM economy.items i
                              WHERE i.item_id = u.item AND i.kind <> 'pass' AND i.active
                                AND NOT i.consumable AND NOT i.tradable
                                AND i.item_id <> 'streak_freeze')
            UNION ALL
            SELECT 6, 0, 'tiers must be an array of 1 to 1000 tiers'
            WHERE (SELECT count(*) FROM tier) NOT BETWEEN 1 AND 1000
            UNION ALL
            SELECT 7, t.n, format('tier %s must have xp, a whole number from 1 to 2^53-1, and '
                                  'rewards, an object of tracks', t.n)
            FROM tier t
            WHERE NOT coalesce(
                CASE WHEN jsonb_typeof(t.tier) = 'object' AND t.tier - 'xp' - 'rewards' = '{}'
                     THEN t.xp IS NOT NULL
                          AND jsonb_typeof(t.tier -> 'rewards') = 'object' END, false)
            UNION ALL
            SELECT 8, t.n, format('tier %s must need more xp than the one before', t.n)
            FROM (SELECT o.n, o.xp, lag(o.xp) OVER (ORDER BY o.n) AS before FROM tier o) t
            WHERE t.xp <= t.before
            UNION ALL
            SELECT 9, 0, 'excess must have every (XP) and times, whole numbers from 1, and rewards'
            WHERE jsonb_typeof(coalesce(given -> 'excess', 'null')) <> 'null'
              AND NOT coalesce(
                  CASE WHEN jsonb_typeof(given -> 'excess') = 'object'
                       THEN (given -> 'excess') - 'rewards' - 'every' - 'times' = '{}'
                            AND jsonb_typeof(given #> '{excess,rewards}') = 'object'
                            AND (SELECT e.every IS NOT NULL AND e.times IS NOT NULL
                                 FROM excess e) END, false)
            UNION ALL
            SELECT 10, 0, 'tiers and times of excess must be 1000 together, and 2^53-1 XP reach '
                          'the last one'
            FROM (SELECT count(*) AS tiers, max(t.xp) AS xp FROM tier t) t CROSS JOIN excess e
            WHERE t.tiers + e.times > 1000 OR t.xp + e.every * e.times > 9007199254740991
            UNION ALL
            SELECT 11, 0, format('more than the maximum of %s', i.item_id)
            FROM economy.items i
            WHERE i.item_id = given ->> 'xp_item'
              AND i.maximum < (SELECT max(t.xp) FROM tier t)
                              + coalesce((SELECT e.every * e.times FROM excess e), 0)
            UNION ALL
            SELECT 12, r.n, format('%s: there is no track %s', r.part, to_json(r.track))
            FROM reward r
            WHERE NOT EXISTS (SELECT FROM track t WHERE t.track ->> 'track' = r.track)
            UNION ALL
            SELECT 13, r.n, format('%s: a reward must have gold, xp or items, of 1 to 2^53-1 each',
                                   r.part)
            FROM reward r
            WHERE NOT coalesce(
                CASE WHEN jsonb_typeof(r.reward) = 'object'
                          AND r.reward - 'gold' - 'xp' - 'items' = '{}' AND r.reward <> '{}'
                     THEN (r.reward - 'items' = '{}'
                           OR economy_internal.amounts_sound(r.reward - 'items'))
                          AND (NOT r.reward ? 'items'
                               OR economy_internal.amounts_sound(r.reward -> 'items')) END, false)
            UNION ALL
            SELECT 14, r.n, format('%s: item %s does not exist', r.part, to_json(k))
            FROM reward r
            CROSS JOIN LATERAL jsonb_object_keys(CASE jsonb_typeof(r.reward -> 'items')
                                                 WHEN 'object' THEN r.reward -> 'items' END) k
            WHERE NOT EXISTS (SELECT FROM economy.items i WHERE i.item_id = k)
            UNION ALL
            -- an event has 8000 bytes, and tells of each item its balance too
            -- it would reach tiers of its own, which the end of the season would not see
            SELECT 14, r.n, format('%s: items must not have the XP of the season', r.part)
            FROM reward r
            WHERE CASE jsonb_typeof(r.reward -> 'items')
                  WHEN 'object' THEN r.reward -> 'items' ? (given ->> 'xp_item') END
            UNION ALL
            SELECT 15, r.n, format('%s: items must have 3072 bytes as text', r.part)
            FROM reward r
            WHERE octet_length((r.reward -> 'items')::text) > 3072
            UNION ALL
            SELECT 16, 0, 'tiers must have 262144 bytes as text'
            WHERE octet_length((given -> 'tiers')::text) > 262144
        )
        SELECT s.says FROM says s ORDER BY s.place, s.n, s.says LIMIT 1;
    END;
COMMENT ON FUNCTION economy_internal.check_season(jsonb) IS
    'What is wrong with a season given to publish_season(), beyond what the constraints of '
    'seasons say; null when nothing is.';

CREATE FUNCTION economy_internal.check_season_change(
    was economy.seasons, becomes economy.seasons, at timestamptz
) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        WITH says (place, says) AS (
            SELECT 0, 'it has ended'
            WHERE at >= least(was.ends_at, was.retired_at) OR was.closed_at IS NOT NULL
            UNION ALL
            SELECT 1, format('%s is fixed when a season is published', k)
            FROM unnest(ARRAY['starts_at', 'xp_item', 'tracks', 'tiers', 'excess']) k
            WHERE to_jsonb(was) -> k IS DISTINCT FROM to_jsonb(becomes) -> k
            UNION ALL
            SELECT 2, 'it can end later, not earlier' WHERE becomes.ends_at < was.ends_at
            UNION ALL
            SELECT 3, 'claim_hours can become more, not less'
            WHERE becomes.claim_hours < was.claim_hours
            UNION ALL
            SELECT 4, 'what is claimed at the end cannot be forfeited then'
            WHERE was.at_end = 'claim' AND becomes.at_end <> 'claim'
        )
        SELECT s.says FROM says s ORDER BY s.place, s.says LIMIT 1;
    END;
COMMENT ON FUNCTION economy_internal.check_season_change(
    economy.seasons, economy.seasons, timestamptz) IS
    'Why a published season cannot become another one; null when nothing is taken from users.';

CREATE FUNCTION economy.publish_season(season jsonb, actor text) RETURNS economy.seasons
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    SET TimeZone = 'UTC' SET DateStyle = 'ISO, YMD' AS $$
DECLARE
    old_row   economy.seasons;
    new_row   economy.seasons;
    written   economy.seasons;
    id        text := season ->> 'season';
    at        timestamptz;
    wrong     text;
    failed    text;
    at_column text;
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.require_given('season', season IS NOT NULL);
    IF jsonb_typeof(season) <> 'object' OR id IS NULL THEN
        RAISE EXCEPTION 'season must be a JSON object with a season' USING ERRCODE = 'XE405';
    END IF;
    PERFORM economy_internal.open_tables('seasons', 'items', 'config_changes');
    PERFORM economy_internal.lock_name('economy.seasons');
    at := economy.now();
    -- who changes one of these items waits, and finds it changed: then it knows the season
    UPDATE economy.items i SET active = i.active
        WHERE i.item_id = season ->> 'xp_item'
           OR i.item_id = ANY (economy_internal.season_items(season -> 'tracks'));
    SELECT * INTO old_row FROM economy.seasons s WHERE s.season = id FOR NO KEY UPDATE;
    wrong := economy_internal.check_season(
        CASE WHEN old_row.season IS NULL THEN '{"tracks": [{"track": "free"}], "tiers": []}'
             ELSE jsonb_build_object('tracks', old_row.tracks, 'tiers', old_row.tiers) END
        || season);
    IF wrong IS NULL THEN
        BEGIN
            new_row := old_row;
            IF old_row.season IS NULL THEN
                new_row := jsonb_populate_record(
                    NULL::economy.seasons,
                    '{"claim_hours": 168, "at_end": "claim", "tracks": [{"track": "free"}],
                      "hidden": false, "position": 0, "texts": {}}'
                        || jsonb_build_object('starts_at', at, 'published_at', at));
            END IF;
            new_row := jsonb_populate_record(new_row, season);
            wrong := CASE WHEN new_row.ends_at <= at
                          THEN 'ends_at must be after starts_at, and after now'
                          WHEN old_row.season IS NOT NULL
                          THEN economy_internal.check_season_change(old_row, new_row, at) END;
            IF old_row.season IS NULL THEN
                INSERT INTO economy.seasons AS s SELECT (new_row).* RETURNING s.* INTO written;
            ELSE
                UPDATE economy.seasons s SET
                    ends_at = new_row.ends_at, claim_hours = new_row.claim_hours,
                    at_end = new_row.at_end, hidden = new_row.hidden,
                    position = new_row.position, texts = new_row.texts
                WHERE s.season = id RETURNING s.* INTO written;
            END IF;
            -- what is not valid is refused below
            IF wrong IS NULL THEN
                PERFORM economy_internal.require_kept(
                    'seasons', written IS NOT DISTINCT FROM new_row);
            END IF;
        EXCEPTION
            WHEN unique_violation OR data_exception OR check_violation OR not_null_violation THEN
                GET STACKED DIAGNOSTICS
                    wrong = MESSAGE_TEXT, failed = CONSTRAINT_NAME, at_column = COLUMN_NAME;
                wrong := economy_internal.violation('seasons', season, wrong, failed, at_column);
        END;
    END IF;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'season "%" is not valid', left(id, 64)
            USING ERRCODE = 'XE405', DETAIL = wrong || '.',
            HINT = 'The keys are the column names of economy.seasons.';
    END IF;
    PERFORM economy.note_change(
        'seasons', id, CASE WHEN old_row.season IS NULL THEN 'publish' ELSE 'change' END, actor);
    RETURN new_row;
END
$$;
COMMENT ON FUNCTION economy.publish_season(jsonb, text) IS
    'Publishes a season; keys are the column names of seasons. Of one that is published only '
    'changes that take nothing from users: texts, position, hidden, a later end, more claim_hours, '
    'at_end claim. Recorded with actor. XE405 for one that is not valid.';

CREATE FUNCTION economy.retire_season(season text, actor text) RETURNS economy.seasons
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    row_now economy.seasons;
    written economy.seasons;
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.require_given('season', season IS NOT NULL);
    PERFORM economy_internal.open_tables('seasons', 'config_changes');
    PERFORM economy_internal.lock_name('economy.seasons');
    SELECT * INTO row_now FROM economy.seasons s
        WHERE s.season = retire_season.season FOR NO KEY UPDATE;
    IF row_now.season IS NULL THEN
        RAISE EXCEPTION 'there is no season "%"', left(season, 64) USING ERRCODE = 'XE406';
    END IF;
    IF least(row_now.ends_at, row_now.retired_at) <= economy.now() THEN
        RETURN row_now;
    END IF;
    row_now.retired_at := economy.now();
    UPDATE economy.seasons s SET retired_at = row_now.retired_at WHERE s.season = row_now.season
        RETURNING s.* INTO written;
    PERFORM economy_internal.require_kept('seasons', written IS NOT DISTINCT FROM row_now);
    PERFORM economy.note_change('seasons', row_now.season, 'retire', actor);
    RETURN row_now;
END
$$;
COMMENT ON FUNCTION economy.retire_season(text, text) IS
    'Ends a season now: what is reached can be claimed as after its end. Of one that has ended '
    'nothing changes. Recorded with actor. XE406 for no such season.';
