-- account: seasons as a user has them

CREATE FUNCTION economy_internal.season_rewards(
    user_id bigint, season economy.seasons, at timestamptz
) RETURNS TABLE (
        tier integer, needs bigint, track text, item text, has bigint, reward jsonb,
        reached boolean, open boolean, claimed boolean, claimable boolean
    )
    LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 100
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    source_of_claims CONSTANT text := 'economy:season:' || season.season;
    -- the digests of all keys of one source are beside each other
    least_digest CONSTANT bigint :=
        (economy_internal.key_digest(source_of_claims, '') >> 32) << 32;
    can_claim    CONSTANT boolean := at >= season.starts_at
        AND (season.at_end = 'claim' OR at < economy_internal.season_claim_until(season));
    has_archived CONSTANT boolean := EXISTS (
        SELECT FROM economy.archived_keys a WHERE a.user_id = season_rewards.user_id);
BEGIN
    RETURN QUERY
        WITH held AS MATERIALIZED (
            SELECT h.item_id, h.balance FROM economy.user_holdings h
            WHERE h.user_id = season_rewards.user_id
        ), paid AS MATERIALIZED (
            SELECT r.external_event_id AS id FROM economy.reward_audit r
            WHERE r.user_id = season_rewards.user_id
              AND r.key_digest BETWEEN least_digest AND least_digest + 4294967295
              AND r.source = source_of_claims
        ), given AS MATERIALIZED (
            SELECT s.tier, s.xp, k.n, k.track ->> 'track' AS track, k.track ->> 'item' AS item,
                   s.rewards -> (k.track ->> 'track') AS reward,
                   (k.track ->> 'track') || ':' || s.tier AS id
            FROM economy_internal.season_tiers(season) s
            JOIN jsonb_array_elements(season.tracks) WITH ORDINALITY k (track, n)
                ON s.rewards ? (k.track ->> 'track')
        ), stands AS (
            SELECT g.*, coalesce(x.balance, 0) AS has,
                   g.item IS NULL OR coalesce(i.balance > 0, false) AS open,
                   p.id IS NOT NULL OR has_archived AND EXISTS (
                       SELECT FROM economy.archived_keys a
                       WHERE a.user_id = season_rewards.user_id AND a.product_id = ''
                         AND a.key = economy_internal.archive_key(
                             'R', source_of_claims, g.id)) AS claimed
            FROM given g
            LEFT JOIN held x ON x.item_id = season.xp_item
            LEFT JOIN held i ON i.item_id = g.item
            LEFT JOIN paid p ON p.id = g.id
        )
        SELECT s.tier, s.xp, s.track, s.item, s.has, s.reward, s.has >= s.xp, s.open, s.claimed,
               can_claim AND s.has >= s.xp AND s.open AND NOT s.claimed
        FROM stands s ORDER BY s.tier, s.n;
END
$$;
COMMENT ON FUNCTION economy_internal.season_rewards(bigint, economy.seasons, timestamptz) IS
    'The rewards of a season as they are for a user.';

CREATE FUNCTION economy_internal.season_seen(user_id bigint, named text, at timestamptz)
    RETURNS TABLE (
        season text, state text, xp bigint, tier integer, next_xp bigint, claimable integer,
        starts_at timestamptz, ends_at timestamptz, claim_until timestamptz, at_end text,
        tracks jsonb, tiers jsonb, "position" integer, texts jsonb
    )
    LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 1
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    RETURN QUERY
        WITH held AS MATERIALIZED (
            SELECT h.item_id, h.balance FROM economy.user_holdings h
            WHERE h.user_id = season_seen.user_id
        ), shown AS MATERIALIZED (
            SELECT s, coalesce(h.balance, 0) AS xp, e.ends_at,
                   e.ends_at + make_interval(hours => s.claim_hours) AS claim_until
            FROM economy.seasons s
            CROSS JOIN LATERAL (SELECT least(s.ends_at, s.retired_at)) e (ends_at)
            LEFT JOIN held h ON h.item_id = s.xp_item
            WHERE EXISTS (SELECT FROM economy.accounts a WHERE a.user_id = season_seen.user_id)
              AND CASE WHEN named IS NOT NULL THEN s.season = named
                  ELSE at >= s.starts_at AND (NOT s.hidden OR h.balance > 0)
                       AND (at < e.ends_at + make_interval(hours => s.claim_hours)
                            OR s.at_end = 'claim' AND s.closed_at IS NULL) END
        ), track AS (
            SELECT (o.s).season, jsonb_agg(t.track || jsonb_build_object(
                       'open', NOT t.track ? 'item'
                           OR EXISTS (SELECT FROM held h
                                      WHERE h.item_id = t.track ->> 'item' AND h.balance > 0))
                       ORDER BY t.n) AS tracks
            FROM shown o
            CROSS JOIN LATERAL jsonb_array_elements((o.s).tracks) WITH ORDINALITY t (track, n)
            GROUP BY 1
        ), reward AS (
            SELECT (o.s).season, r.tier, bool_or(r.claimed) AS claimed,
                   count(*) FILTER (WHERE r.claimable) AS claimable,
                   jsonb_object_agg(r.track, r.reward || jsonb_build_object(
                       'claimed', r.claimed, 'claimable', r.claimable)) AS rewards
            FROM shown o
            CROSS JOIN LATERAL economy_internal.season_rewards(
                season_seen.user_id, o.s, season_seen.at) r
            GROUP BY 1, 2
        ), tier AS (
            SELECT (o.s).season, t.tier, t.xp, t.xp <= o.xp AS reached, r.claimed, r.claimable,
                   r.rewards, jsonb_array_length((o.s).tiers) AS tiers,
                   -- of those behind the last one these are enough
                   count(*) FILTER (WHERE t.xp <= o.xp) OVER (PARTITION BY (o.s).season) AS upto
            FROM shown o CROSS JOIN LATERAL economy_internal.season_tiers(o.s) t
            LEFT JOIN reward r ON r.season = (o.s).season AND r.tier = t.tier
        ), standing AS (
            SELECT t.season, max(t.upto)::integer AS tier,
                   min(t.xp) FILTER (WHERE NOT t.reached) AS next_xp,
                   coalesce(sum(t.claimable), 0)::integer AS claimable,
                   jsonb_agg(jsonb_build_object(
                       'tier', t.tier, 'xp', t.xp, 'reached', t.reached,
                       'rewards', coalesce(t.rewards, '{}')) ORDER BY t.tier)
                       FILTER (WHERE t.tier <= t.tiers OR t.tier <= t.upto + 1 OR t.claimed)
                       AS tiers
            FROM tier t GROUP BY t.season
        )
        SELECT (o.s).season,
               CASE WHEN at < (o.s).starts_at THEN 'coming' WHEN at < o.ends_at THEN 'running'
                    WHEN at < o.claim_until THEN 'ended' ELSE 'over' END,
               o.xp, n.tier, n.next_xp, n.claimable, (o.s).starts_at, o.ends_at, o.claim_until,
               (o.s).at_end, t.tracks, n.tiers, (o.s)."position", (o.s).texts
        FROM shown o JOIN track t ON t.season = (o.s).season
        JOIN standing n ON n.season = (o.s).season
        ORDER BY (o.s)."position", (o.s).season;
END
$$;
COMMENT ON FUNCTION economy_internal.season_seen(bigint, text, timestamptz) IS
    'season() at a moment, as one snapshot sees it.';

CREATE FUNCTION economy.season(user_id bigint, season text DEFAULT NULL)
    RETURNS TABLE (
        season text, state text, xp bigint, tier integer, next_xp bigint, claimable integer,
        starts_at timestamptz, ends_at timestamptz, claim_until timestamptz, at_end text,
        tracks jsonb, tiers jsonb, "position" integer, texts jsonb
    )
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 1
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.open_tables(
            'seasons', 'accounts', 'economy_internal.user_holdings_more', 'reward_audit',
            'archived_keys');
        SELECT * FROM economy_internal.season_seen(
            season.user_id, season.season, economy.now());
    END;
COMMENT ON FUNCTION economy.season(bigint, text) IS
    'A season as a user has it, or all that are going or can still be claimed: XP, the tier '
    'reached, what the next one needs, which tracks are open, and of each tier and track the '
    'reward, and whether it is claimed or can be. No row for an unknown user.';

CREATE FUNCTION economy_internal.season_pay(
    user_id bigint, season text, tiers integer[], tracks text[], rewards jsonb[]
) RETURNS SETOF economy.grant_result
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    RETURN QUERY
        WITH given AS (
            SELECT array_agg(season_pay.user_id) AS user_ids,
                   array_agg('economy:season:' || season) AS sources,
                   array_agg(r.track || ':' || r.tier ORDER BY r.n) AS ids,
                   array_agg(coalesce((r.reward ->> 'gold')::bigint, 0) ORDER BY r.n) AS gold,
                   array_agg(coalesce((r.reward ->> 'xp')::bigint, 0) ORDER BY r.n) AS xp,
                   array_agg(jsonb_build_object('season', season, 'track', r.track,
                                                'tier', r.tier) ORDER BY r.n) AS details,
                   array_agg(r.reward -> 'items' ORDER BY r.n) AS items
            FROM unnest(tiers, tracks, rewards) WITH ORDINALITY r (tier, track, reward, n)
        )
        SELECT p.* FROM given g
        CROSS JOIN LATERAL economy_internal.grant_prizes(
            g.user_ids, g.sources, g.ids, g.gold, g.xp, g.details, g.items) p
        WHERE g.user_ids IS NOT NULL;
END
$$;
COMMENT ON FUNCTION economy_internal.season_pay(bigint, text, integer[], text[], jsonb[]) IS
    'Pays rewards of a season, each once for a user, track and tier.';

CREATE FUNCTION economy_internal.season_is_busy(user_id bigint, season text) RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    -- of a longer name there is none
    RETURN CASE WHEN octet_length(season) <= 48
                THEN economy_internal.announce_key(
                    'R', user_id, 'economy:season:' || season, 'claim') END;
END
$$;
COMMENT ON FUNCTION economy_internal.season_is_busy(bigint, text) IS
    'Announces a claim of a season, of whichever tiers: null; or after how many milliseconds to '
    'try again, as another transaction is in one of this user.';

CREATE FUNCTION economy.claim_tier(user_id bigint, season text, tier integer, track text)
    RETURNS economy.grant_result
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    SET TimeZone = 'UTC' SET DateStyle = 'ISO, YMD' AS $$
DECLARE
    at     timestamptz;
    s      economy.seasons;
    claim  record;
    answer economy.grant_result;
BEGIN
    PERFORM economy_internal.require_given('user_id', user_id IS NOT NULL);
    PERFORM economy_internal.require_given('season', season IS NOT NULL);
    PERFORM economy_internal.require_given('tier', tier IS NOT NULL);
    PERFORM economy_internal.require_given('track', track IS NOT NULL);
    PERFORM economy_internal.open_tables(
        'seasons', 'accounts', 'reward_audit', 'level_curves', 'level_experiments', 'items',
        'economy_internal.user_holdings_more', 'archived_keys');
    answer.retry_after_ms := economy_internal.season_is_busy(user_id, season);
    IF answer.retry_after_ms IS NOT NULL THEN
        answer.success := false;
        answer.state := 'in_progress';
        answer.code := 'IN_PROGRESS';
        RETURN answer;
    END IF;
    -- what is read of the user afterwards stays as it is
    PERFORM FROM economy.accounts a WHERE a.user_id = claim_tier.user_id FOR NO KEY UPDATE;
    IF NOT found THEN
        RETURN economy_internal.refused(answer, 'USER_NOT_FOUND', NULL);
    END IF;
    at := economy.now();
    SELECT o.* INTO s FROM economy.seasons o WHERE o.season = claim_tier.season;
    IF NOT found THEN
        RETURN economy_internal.refused(answer, 'SEASON_NOT_FOUND', NULL);
    END IF;
    SELECT r.* INTO claim FROM economy_internal.season_rewards(user_id, s, at) r
        WHERE r.tier = claim_tier.tier AND r.track = claim_tier.track;
    IF NOT found THEN
        RETURN economy_internal.refused(answer, 'TIER_NOT_FOUND', NULL);
    END IF;
    IF NOT claim.claimed AND NOT claim.claimable THEN
        RETURN CASE
            WHEN at < s.starts_at THEN economy_internal.refused(
                answer, 'SEASON_NOT_STARTED', jsonb_build_object('starts_at', s.starts_at))
            WHEN NOT claim.reached THEN economy_internal.refused(
                answer, 'TIER_NOT_REACHED',
                jsonb_build_object('xp', claim.has, 'needs', claim.needs))
            WHEN NOT claim.open THEN economy_internal.refused(
                answer, 'TRACK_NOT_OPEN', jsonb_build_object('item', claim.item))
            ELSE economy_internal.refused(
                answer, 'SEASON_EXPIRED', jsonb_build_object(
                    'claim_until', economy_internal.season_claim_until(s))) END;
    END IF;
    SELECT p.* INTO STRICT answer
        FROM economy_internal.season_pay(
            user_id, season, ARRAY[tier], ARRAY[track], ARRAY[claim.reward]) p;
    RETURN answer;
END
$$;
COMMENT ON FUNCTION economy.claim_tier(bigint, text, integer, text) IS
    'Pays the reward of a tier that the user has reached, on a track that is open, once: a reward '
    'of the source economy:season:<season> with <track>:<tier> as its id. Again it answers what '
    'it answered, with state reuse. Refuses USER_NOT_FOUND, SEASON_NOT_FOUND, TIER_NOT_FOUND, '
    'SEASON_NOT_STARTED, TIER_NOT_REACHED, TRACK_NOT_OPEN, SEASON_EXPIRED, and as grant_reward() '
    'does.';

CREATE FUNCTION economy_internal.season_claim(
    user_id bigint, season economy.seasons, at timestamptz
) RETURNS TABLE (
        tier integer, track text, success boolean, state text, code text, transaction_id text,
        gold_delta bigint, xp_delta bigint, gold bigint, experience_points bigint, items jsonb
    )
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    RETURN QUERY
        WITH due AS MATERIALIZED (
            SELECT r.tier, r.track, r.reward, row_number() OVER () AS n
            FROM economy_internal.season_rewards(season_claim.user_id, season, at) r
            WHERE r.claimable
        )
        SELECT d.tier, d.track, p.success, p.state, p.code, p.transaction_id, p.gold_delta,
               p.xp_delta, p.gold, p.experience_points, p.items
        FROM economy_internal.season_pay(
            season_claim.user_id, season.season, ARRAY(SELECT d.tier FROM due d ORDER BY d.n),
            ARRAY(SELECT d.track FROM due d ORDER BY d.n),
            ARRAY(SELECT d.reward FROM due d ORDER BY d.n)) WITH ORDINALITY p
        JOIN due d ON d.n = p.ordinality
        ORDER BY d.n;
END
$$;
COMMENT ON FUNCTION economy_internal.season_claim(bigint, economy.seasons, timestamptz) IS
    'Claims all of a season that a user can claim, whose account the caller has locked.';

CREATE FUNCTION economy.claim_season(user_id bigint, season text) RETURNS TABLE (
        tier integer, track text, success boolean, state text, code text, transaction_id text,
        gold_delta bigint, xp_delta bigint, gold bigint, experience_points bigint, items jsonb
    )
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 10
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    s economy.seasons;
BEGIN
    PERFORM economy_internal.require_given('user_id', user_id IS NOT NULL);
    PERFORM economy_internal.require_given('season', season IS NOT NULL);
    PERFORM economy_internal.open_tables(
        'seasons', 'accounts', 'reward_audit', 'level_curves', 'level_experiments', 'items',
        'economy_internal.user_holdings_more', 'archived_keys');
    IF economy_internal.season_is_busy(user_id, season) IS NOT NULL THEN
        success := false;
        state := 'in_progress';
        code := 'IN_PROGRESS';
        RETURN NEXT;
        RETURN;
    END IF;
    PERFORM FROM economy.accounts a WHERE a.user_id = claim_season.user_id FOR NO KEY UPDATE;
    IF NOT found THEN
        code := 'USER_NOT_FOUND';
    ELSE
        SELECT o.* INTO s FROM economy.seasons o WHERE o.season = claim_season.season;
        code := CASE WHEN NOT found THEN 'SEASON_NOT_FOUND' END;
    END IF;
    IF code IS NOT NULL THEN
        success := false;
        state := 'refused';
        RETURN NEXT;
        RETURN;
    END IF;
    RETURN QUERY SELECT * FROM economy_internal.season_claim(user_id, s, economy.now());
END
$$;
COMMENT ON FUNCTION economy.claim_season(bigint, text) IS
    'claim_tier() for every tier and track that the user can claim, a row for each. A row that has '
    'no tier is IN_PROGRESS, USER_NOT_FOUND or SEASON_NOT_FOUND.';

-- Nothing finds who holds an item but the accounts themselves, and an index of them would cost
-- every entry of everybody; the end of a season reads them once.
CREATE FUNCTION economy_internal.season_holders(
    item text, least_balance bigint, after bigint, max_accounts integer,
    OUT users bigint[], OUT upto bigint, OUT accounts bigint
)
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, economy, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
    SET jit = off
    BEGIN ATOMIC
        SELECT array_agg(a.user_id ORDER BY a.user_id) FILTER (WHERE a.balance >= least_balance),
               max(a.user_id), count(*)
        FROM (SELECT c.user_id,
                     coalesce((SELECT p.balance FROM economy_internal.holdings_of(c.sections) p
                               WHERE p.item_id = item LIMIT 1),
                              (SELECT m.balance FROM economy_internal.user_holdings_more m
                               WHERE m.user_id = c.user_id AND m.item_id = item)) AS balance
              FROM economy.accounts c WHERE c.user_id > after
              ORDER BY c.user_id LIMIT max_accounts) a;
    END;
COMMENT ON FUNCTION economy_internal.season_holders(text, bigint, bigint, integer) IS
    'Of so many accounts behind one, those that hold so much of an item.';

CREATE FUNCTION economy_internal.close_seasons(
    after jsonb DEFAULT NULL, max_users integer DEFAULT 100, max_claims integer DEFAULT 2000,
    OUT claimed bigint, OUT next jsonb
)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    max_accounts CONSTANT integer := 5000;
    at           CONSTANT timestamptz := economy.now();
    s            economy.seasons;
    page         record;
    who          bigint;
    place        bigint;
    looked       integer := 0;
    all_of_page  boolean := true;
BEGIN
    claimed := 0;
    PERFORM economy_internal.open_tables(
        'seasons', 'accounts', 'reward_audit', 'level_curves', 'level_experiments', 'items',
        'economy_internal.user_holdings_more', 'archived_keys', 'config_changes');
    SELECT o.* INTO s FROM economy.seasons o
        WHERE o.at_end = 'claim' AND o.closed_at IS NULL
          AND economy_internal.season_claim_until(o) <= at
        ORDER BY o.season LIMIT 1;
    IF NOT found THEN
        RETURN;
    END IF;
    place := CASE WHEN after ->> 'season' = s.season THEN (after ->> 'user_id')::bigint
                  ELSE -9223372036854775808 END;
    SELECT h.* INTO page FROM economy_internal.season_holders(
        s.xp_item, (s.tiers -> 0 ->> 'xp')::bigint, place, max_accounts) h;
    FOREACH who IN ARRAY coalesce(page.users, '{}') LOOP
        all_of_page := looked < max_users AND claimed < max_claims;
        EXIT WHEN NOT all_of_page;
        -- nobody waits for those of this batch because it waits for another
        PERFORM FROM economy.accounts a WHERE a.user_id = who FOR NO KEY UPDATE SKIP LOCKED;
        all_of_page := found OR looked = 0;
        EXIT WHEN NOT all_of_page;
        PERFORM FROM economy.accounts a WHERE a.user_id = who FOR NO KEY UPDATE;
        BEGIN
            claimed := claimed + (
                SELECT count(*) FROM economy_internal.season_claim(who, s, at) c
                WHERE c.state = 'new');
        EXCEPTION WHEN serialization_failure THEN
            RAISE;
        WHEN OTHERS THEN
            -- whoever has a damaged account, or a trigger of the app, stops nobody else
            RAISE WARNING 'season "%" could not be claimed for user %', s.season, who
                USING DETAIL = format('%s: %s', SQLSTATE, SQLERRM);
        END;
        place := who;
        looked := looked + 1;
    END LOOP;
    place := CASE WHEN all_of_page THEN coalesce(page.upto, place) ELSE place END;
    next := jsonb_build_object('season', s.season, 'user_id', place);
    -- with nobody's account locked: who changes a season may hold this lock for long
    IF looked = 0 AND page.accounts < max_accounts THEN
        PERFORM economy_internal.lock_name('economy.seasons');
        UPDATE economy.seasons o SET closed_at = at
            WHERE o.season = s.season AND o.closed_at IS NULL
              AND economy_internal.season_claim_until(o) <= at;
        next := NULL;
        IF found THEN
            PERFORM economy.note_change('seasons', s.season, 'close', 'economy:seasons');
            next := '{}';
        END IF;
    END IF;
END
$$;
COMMENT ON FUNCTION economy_internal.close_seasons(jsonb, integer, integer) IS
    'Claims for everybody what can be claimed of a season whose time is over, of some accounts '
    'behind a place; next is the place of the last one, or null when no season is left. What is '
    'refused can still be claimed. What the job does.';
