-- Seasons: publish_season(), retire_season(), season(), claim_tier(), claim_season(), the job and the audit.
BEGIN;
SELECT no_plan();
-- more by hand: psql -v steps=5000
\if :{?steps} \else
\set steps 150
\endif

SELECT set_config('economy.test_clock', '2031-03-05 12:00:00+00', true) AS x \gset
CREATE TEMP TABLE player AS SELECT w, economy.register('pgtap season ' || w) AS id FROM unnest(ARRAY['a', 'b', 'c', 'd']) w;
SELECT count(*) AS x FROM player p, economy.adjust_gold(p.id, 100000, 'open', 'pgtap', 'pgtap') \gset
SELECT count(*) AS x FROM economy.upsert_item('{"item_id": "pgtap_hat", "kind": "stack"}', 'pgtap') \gset
SELECT count(*) AS x FROM unnest(ARRAY['pgtap_xp', 'pgtap_xp2', 'pgtap_xp3', 'pgtap_premium', 'pgtap_plus']) i, economy.upsert_item(jsonb_build_object('item_id', i, 'kind', 'stack', 'consumable', false), 'pgtap') \gset
SELECT count(*) AS x FROM economy.upsert_item('{"item_id": "pgtap_pass", "kind": "pass"}', 'pgtap') \gset
SELECT count(*) AS x FROM economy.upsert_item('{"item_id": "pgtap_coin", "kind": "currency", "tradable": true, "consumable": false}', 'pgtap') \gset
SELECT count(*) AS x FROM economy.upsert_item('{"item_id": "pgtap_few", "kind": "stack", "maximum": 99, "consumable": false}', 'pgtap') \gset
SELECT count(*) AS x FROM economy.upsert_item('{"item_id": "pgtap_old", "kind": "stack", "active": false, "consumable": false}', 'pgtap') \gset
SELECT count(*) AS x FROM unnest(ARRAY['{"product_id": "pgtap_premium", "category": "item", "price_gold": 500, "contents": {"pgtap_premium": 1}}', '{"product_id": "pgtap_skip", "category": "item", "price_gold": 10, "contents": {"pgtap_xp": 100}}']::jsonb[]) p,
    economy.upsert_product(p, 'pgtap') \gset
CREATE FUNCTION pg_temp.id(who text) RETURNS bigint LANGUAGE sql AS $$ SELECT p.id FROM player p WHERE p.w = who $$;
CREATE FUNCTION pg_temp.at(clock text) RETURNS void LANGUAGE sql AS $$ SELECT set_config('economy.test_clock', clock, true) $$;
CREATE TEMP SEQUENCE key;
CREATE FUNCTION pg_temp.give(who text, item text, n bigint) RETURNS text LANGUAGE sql AS
    $$ SELECT r.code FROM economy.grant_items(pg_temp.id(who), jsonb_build_object(item, n), 'pgtap', 'k' || nextval('key')) r $$;
CREATE FUNCTION pg_temp.claim(who text, season text, tier integer, track text) RETURNS text LANGUAGE sql AS
    $$ SELECT concat_ws(' ', c.state, c.code, c.gold_delta, c.xp_delta, c.items -> 0 ->> 'delta', c.detail) FROM economy.claim_tier(pg_temp.id(who), season, tier, track) c $$;
CREATE FUNCTION pg_temp.all_of(who text, season text) RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(concat_ws(' ', c.track, c.tier, c.state, c.code, c.gold_delta), ', ') FROM economy.claim_season(pg_temp.id(who), season) c $$;
-- XP, tier, what the next one needs; of each reward !claimed, *claimable
CREATE FUNCTION pg_temp.shown(who text, season text DEFAULT NULL) RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(concat_ws(' ', s.season, s.state, s.xp, 'tier', s.tier, coalesce(s.next_xp::text, 'end'), 'due', s.claimable,
              (SELECT string_agg(k ->> 'track', '+' ORDER BY n) FROM jsonb_array_elements(s.tracks) WITH ORDINALITY t (k, n) WHERE (k ->> 'open')::boolean),
              (SELECT string_agg((t ->> 'tier') || CASE WHEN (t ->> 'reached')::boolean THEN '^' ELSE '' END
                      || coalesce((SELECT string_agg(left(r.key, 1) || CASE WHEN (r.value ->> 'claimed')::boolean THEN '!' ELSE '' END || CASE WHEN (r.value ->> 'claimable')::boolean THEN '*' ELSE '' END, '' ORDER BY r.key)
                          FROM jsonb_each(t -> 'rewards') r), ''), ' ' ORDER BY n) FROM jsonb_array_elements(s.tiers) WITH ORDINALITY e (t, n))), ', ')
       FROM economy.season(pg_temp.id(who), season) s WHERE s.season LIKE 'pgtap%' $$;

-- publication
CREATE FUNCTION pg_temp.wrong(season jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    says text;
BEGIN
    PERFORM economy.publish_season('{"season": "pgtap.bad", "xp_item": "pgtap_xp3", "ends_at": "2031-05-01T00:00:00Z", "tiers": [{"xp": 10, "rewards": {"free": {"gold": 1}}}]}' || season, 'pgtap');
    RETURN 'nothing';
EXCEPTION WHEN SQLSTATE 'XE405' THEN
    GET STACKED DIAGNOSTICS says = PG_EXCEPTION_DETAIL;
    RETURN says;
END
$$;
SELECT is(pg_temp.wrong(given::jsonb), says, left(given, 80)) FROM (VALUES
    ('{"goal": 1}', '"goal" is no such column that can be set.'),
    ('{"retired_at": null}', '"retired_at" is no such column that can be set.'),
    ('{"season": "a b"}', 'season must have 1 to 48 letters of ASCII, digits, dots, dashes and underscores.'),
    ('{"starts_at": "tomorrow"}', 'starts_at must be a text in ISO 8601 with time zone, such as 2026-01-31T12:00:00Z.'),
    ('{"ends_at": null}', 'ends_at must be a text in ISO 8601 with time zone, such as 2026-01-31T12:00:00Z.'),
    ('{"ends_at": "2031-03-05T12:00:00Z"}', 'ends_at must be after starts_at, and after now.'),
    ('{"starts_at": "2031-02-05T12:00:00Z", "ends_at": "2031-03-05T12:00:00Z"}', 'ends_at must be after starts_at, and after now.'),
    ('{"starts_at": "2031-05-02T12:00:00Z"}', 'ends_at must be after starts_at, and after now.'),
    ('{"claim_hours": -1}', 'claim_hours must be from 0 to 8784.'),
    ('{"claim_hours": 8785}', 'claim_hours must be from 0 to 8784.'),
    ('{"claim_hours": "x"}', 'claim_hours: invalid input syntax for type integer: "x".'),
    ('{"at_end": "burn"}', 'at_end must be claim or forfeit.'),
    ('{"hidden": null}', 'hidden must not be null.'),
    ('{"texts": {"en": 1}}', 'texts must be a JSON object of languages, each with an object.'),
    ('{"xp_item": null}', 'xp_item must not be null.'),
    ('{"xp_item": "pgtap_none"}', '"pgtap_none" must be an item in units that is given, and neither consumable nor tradable.'),
    ('{"xp_item": "pgtap_hat"}', '"pgtap_hat" must be an item in units that is given, and neither consumable nor tradable.'),
    ('{"xp_item": "pgtap_pass"}', '"pgtap_pass" must be an item in units that is given, and neither consumable nor tradable.'),
    ('{"xp_item": "pgtap_coin"}', '"pgtap_coin" must be an item in units that is given, and neither consumable nor tradable.'),
    ('{"xp_item": "pgtap_old"}', '"pgtap_old" must be an item in units that is given, and neither consumable nor tradable.'),
    ('{"tracks": [{"track": "free", "item": "pgtap_coin"}]}', '"pgtap_coin" must be an item in units that is given, and neither consumable nor tradable.'),
    ('{"tracks": []}', 'tracks must be an array of 1 to 4 tracks.'),
    ('{"tracks": null}', 'tracks must be an array of 1 to 4 tracks.'),
    ('{"tracks": {"track": "free"}}', 'tracks must be an array of 1 to 4 tracks.'),
    ('{"tracks": [{"track": "free"}, {"track": "b"}, {"track": "c"}, {"track": "d"}, {"track": "e"}]}', 'tracks must be an array of 1 to 4 tracks.'),
    ('{"tracks": ["free"]}', 'track 1 must have a track, 1 to 48 letters of ASCII, digits, dots, dashes and underscores, and an item or none.'),
    ('{"tracks": [{"track": "free"}, {"track": "a:b"}]}', 'track 2 must have a track, 1 to 48 letters of ASCII, digits, dots, dashes and underscores, and an item or none.'),
    ('{"tracks": [{"track": "free", "name": "x"}]}', 'track 1 must have a track, 1 to 48 letters of ASCII, digits, dots, dashes and underscores, and an item or none.'),
    ('{"tracks": [{"track": "free", "item": 1}]}', 'track 1 must have a track, 1 to 48 letters of ASCII, digits, dots, dashes and underscores, and an item or none.'),
    ('{"tracks": [{"track": "free"}, {"track": "free"}]}', 'track free is there twice.'),
    ('{"tiers": []}', 'tiers must be an array of 1 to 1000 tiers.'),
    ('{"tiers": null}', 'tiers must be an array of 1 to 1000 tiers.'),
    ('{"tiers": [1]}', 'tier 1 must have xp, a whole number from 1 to 2^53-1, and rewards, an object of tracks.'),
    ('{"tiers": [{"xp": 0, "rewards": {}}]}', 'tier 1 must have xp, a whole number from 1 to 2^53-1, and rewards, an object of tracks.'),
    ('{"tiers": [{"xp": 1.5, "rewards": {}}]}', 'tier 1 must have xp, a whole number from 1 to 2^53-1, and rewards, an object of tracks.'),
    ('{"tiers": [{"xp": 1}, {"xp": 2, "rewards": {}}]}', 'tier 1 must have xp, a whole number from 1 to 2^53-1, and rewards, an object of tracks.'),
    ('{"tiers": [{"xp": 1, "rewards": {}, "gold": 1}]}', 'tier 1 must have xp, a whole number from 1 to 2^53-1, and rewards, an object of tracks.'),
    ('{"tiers": [{"xp": 5, "rewards": {}}, {"xp": 5, "rewards": {}}]}', 'tier 2 must need more xp than the one before.'),
    ('{"tiers": [{"xp": 5, "rewards": {"gold": {"gold": 1}}}]}', 'tier 1: there is no track "gold".'),
    ('{"tiers": [{"xp": 5, "rewards": {"free": {}}}]}', 'tier 1: a reward must have gold, xp or items, of 1 to 2^53-1 each.'),
    ('{"tiers": [{"xp": 5, "rewards": {"free": {"gold": 0}}}]}', 'tier 1: a reward must have gold, xp or items, of 1 to 2^53-1 each.'),
    ('{"tiers": [{"xp": 5, "rewards": {"free": {"gold": 9007199254740992}}}]}', 'tier 1: a reward must have gold, xp or items, of 1 to 2^53-1 each.'),
    ('{"tiers": [{"xp": 5, "rewards": {"free": {"gems": 1}}}]}', 'tier 1: a reward must have gold, xp or items, of 1 to 2^53-1 each.'),
    ('{"tiers": [{"xp": 5, "rewards": {"free": {"gold": 1, "items": {}}}}]}', 'tier 1: a reward must have gold, xp or items, of 1 to 2^53-1 each.'),
    ('{"tiers": [{"xp": 5, "rewards": {"free": {"gold": 1, "items": null}}}]}', 'tier 1: a reward must have gold, xp or items, of 1 to 2^53-1 each.'),
    ('{"tiers": [{"xp": 5, "rewards": {"free": {"items": {"pgtap_none": 1}}}}]}', 'tier 1: item "pgtap_none" does not exist.'),
    ('{"tiers": [{"xp": 1, "rewards": {"free": {"items": {"pgtap_hat": 1}}}}, {"xp": 2, "rewards": {"free": {"items": {"pgtap_xp3": 1}}}}]}', 'tier 2: items must not have the XP of the season.'),
    ('{"excess": {"every": 5, "times": 1, "rewards": {"free": {"items": {"pgtap_xp3": 1}}}}}', 'excess: items must not have the XP of the season.'),
    ('{"excess": 5}', 'excess must have every (XP) and times, whole numbers from 1, and rewards.'),
    ('{"excess": {"every": 5, "rewards": {}}}', 'excess must have every (XP) and times, whole numbers from 1, and rewards.'),
    ('{"excess": {"every": 5, "times": 0, "rewards": {}}}', 'excess must have every (XP) and times, whole numbers from 1, and rewards.'),
    ('{"excess": {"every": 5, "times": 1, "rewards": {}, "upto": 5}}', 'excess must have every (XP) and times, whole numbers from 1, and rewards.'),
    ('{"excess": {"every": 5, "times": 1, "rewards": {"none": {"gold": 1}}}}', 'excess: there is no track "none".'),
    ('{"excess": {"every": 5, "times": 1000, "rewards": {}}}', 'tiers and times of excess must be 1000 together, and 2^53-1 XP reach the last one.'),
    ('{"excess": {"every": 9007199254740991, "times": 1, "rewards": {}}}', 'tiers and times of excess must be 1000 together, and 2^53-1 XP reach the last one.'),
    ('{"xp_item": "pgtap_few", "excess": {"every": 45, "times": 2, "rewards": {}}}', 'more than the maximum of pgtap_few.')) v (given, says);
SELECT is(pg_temp.wrong(jsonb_build_object('tiers', (SELECT jsonb_agg(jsonb_build_object('xp', n, 'rewards', '{}'::jsonb)) FROM generate_series(1, 1001) n))), 'tiers must be an array of 1 to 1000 tiers.', 'and not more');
SELECT is(pg_temp.wrong(jsonb_build_object('tracks', '[{"track": "free"}, {"track": "b"}, {"track": "c"}]'::jsonb, 'tiers', (SELECT jsonb_agg(jsonb_build_object('xp', n, 'rewards', format('{"free": %1$s, "b": %1$s, "c": %1$s}', '{"gold": 9007199254740991, "xp": 9007199254740991, "items": {"pgtap_hat": 9007199254740991}}')::jsonb)) FROM generate_series(1, 1000) n))),
    'tiers must have 262144 bytes as text.', 'of a size');
SELECT throws_like($$SELECT economy.publish_season('[]', 'pgtap')$$, '%must be a JSON object with a season', 'a season has a name');
SELECT throws_ok($$SELECT economy.retire_season('pgtap.none', 'pgtap')$$, 'XE406', 'there is no season "pgtap.none"', 'one that was never published cannot be retired');
SELECT throws_ok($$SELECT economy.publish_season('{"season": "pgtap", "xp_item": "pgtap_xp", "ends_at": "2031-05-01T00:00:00Z", "tiers": [{"xp": 1, "rewards": {}}]}', '')$$, 'XE002', NULL, 'there is an actor');
\set season '{"season": "pgtap", "xp_item": "pgtap_xp", "starts_at": "2031-03-06T00:00:00Z", "ends_at": "2031-05-01T00:00:00Z", "claim_hours": 24, "at_end": "forfeit", "tracks": [{"track": "free"}, {"track": "premium", "item": "pgtap_premium"}], "tiers": [{"xp": 100, "rewards": {"free": {"gold": 50}, "premium": {"gold": 10, "items": {"pgtap_hat": 2}}}}, {"xp": 250, "rewards": {"premium": {"xp": 30}}}, {"xp": 300, "rewards": {}}], "excess": {"every": 100, "times": 3, "rewards": {"free": {"gold": 5}}}}'
SELECT is(p.season, 'pgtap', 'one that is') FROM economy.publish_season(:'season', 'ann') p;
SELECT is(pg_temp.wrong('{"xp_item": "pgtap_xp"}'), 'xp_item is that of another season.', 'XP is of one season');

-- what users are promised stays
CREATE FUNCTION pg_temp.change(season jsonb) RETURNS text LANGUAGE sql AS $$ SELECT pg_temp.wrong('{"season": "pgtap", "xp_item": "pgtap_xp", "tiers": [{"xp": 100, "rewards": {"free": {"gold": 50}, "premium": {"gold": 10, "items": {"pgtap_hat": 2}}}}, {"xp": 250, "rewards": {"premium": {"xp": 30}}}, {"xp": 300, "rewards": {}}]}' || season) $$;
SELECT is(pg_temp.change(given::jsonb), says, left(given, 80)) FROM (VALUES
    ('{"xp_item": "pgtap_xp2"}', 'xp_item is fixed when a season is published.'),
    ('{"starts_at": "2031-03-07T00:00:00Z"}', 'starts_at is fixed when a season is published.'),
    ('{"tracks": [{"track": "free"}, {"track": "premium"}]}', 'tracks is fixed when a season is published.'),
    ('{"tiers": [{"xp": 100, "rewards": {"free": {"gold": 51}}}]}', 'tiers is fixed when a season is published.'),
    ('{"excess": null}', 'excess is fixed when a season is published.'),
    ('{"ends_at": "2031-04-30T00:00:00Z"}', 'it can end later, not earlier.'),
    ('{"claim_hours": 23}', 'claim_hours can become more, not less.')) v (given, says);
SELECT is(p.hidden, false, 'what takes nothing away changes') FROM economy.publish_season('{"season": "pgtap", "texts": {"en": {"name": "Seven"}}, "position": 3, "claim_hours": 48, "ends_at": "2031-05-01T12:00:00Z"}', 'bob') p;
SELECT is((SELECT concat_ws(' ', s.texts, s.position, s.claim_hours, to_char(s.ends_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')) FROM economy.seasons s WHERE s.season = 'pgtap'), '{"en": {"name": "Seven"}} 3 48 2031-05-01 12:00:00', 'and nothing else');
SELECT is(e.at_end, 'claim', 'what would be forfeited is claimed') FROM economy.publish_season('{"season": "pgtap.two", "xp_item": "pgtap_xp2", "ends_at": "2031-04-01T00:00:00Z", "at_end": "forfeit", "claim_hours": 24, "hidden": true, "tiers": [{"xp": 10, "rewards": {"free": {"gold": 1}}}]}', 'ann') p,
    economy.publish_season('{"season": "pgtap.two", "at_end": "claim"}', 'ann') e WHERE p.at_end = 'forfeit';
SELECT throws_like($$SELECT economy.publish_season('{"season": "pgtap.two", "at_end": "forfeit"}', 'ann')$$, '%is not valid', 'and not the other way round');
SELECT throws_like(format('SELECT economy.upsert_item(%L, %L)', jsonb_build_object('item_id', i, k, true), 'pgtap'), format('item "%s" is not valid', i), i || ' cannot be ' || k)
FROM unnest(ARRAY['pgtap_xp', 'pgtap_premium']) i, unnest(ARRAY['consumable', 'tradable']) k;
SELECT is(i.maximum, 1::bigint, 'what else there is of it can change') FROM economy.upsert_item('{"item_id": "pgtap_premium", "maximum": 1, "texts": {"en": {"name": "Premium"}}}', 'pgtap') i;
SELECT is((SELECT string_agg(concat_ws(' ', c.key, c.action, c.actor), ', ' ORDER BY c.change_id) FROM economy.config_changes c WHERE c.relation = 'seasons' AND c.key LIKE 'pgtap%'),
    'pgtap publish ann, pgtap change bob, pgtap.two publish ann, pgtap.two change ann', 'all of it is recorded');

-- before it begins
SELECT is(pg_temp.shown('a'), NULL, 'one that has not begun is not shown, nor one that is hidden');
SELECT is(pg_temp.give('a', 'pgtap_xp', 120), 'OK', 'XP of one that has not begun');
SELECT is(pg_temp.shown('a', 'pgtap'), 'pgtap coming 120 tier 1 250 due 0 free 1^fp 2p 3', 'is shown to who asks for it');
SELECT is(pg_temp.claim('a', 'pgtap', 1, 'free'), 'refused SEASON_NOT_STARTED {"starts_at": "2031-03-06T00:00:00+00:00"}', 'and not claimed');
SELECT is(pg_temp.all_of('a', 'pgtap'), NULL, 'in no way');
SELECT is(pg_temp.shown('a', 'pgtap.none'), NULL, 'there is no other');
SELECT is_empty($$SELECT * FROM economy.season(-1)$$, 'nor another user');

-- claims
SELECT pg_temp.at('2031-03-06 00:00:00+00');
SELECT is(pg_temp.shown('a'), 'pgtap running 120 tier 1 250 due 1 free 1^f*p 2p 3', 'it has begun');
SELECT is(pg_temp.shown('b'), 'pgtap running 0 tier 0 100 due 0 free 1fp 2p 3', 'nobody else has any XP');
SELECT is(pg_temp.claim('a', 'pgtap', 1, 'free'), 'new OK 50 0', 'it is paid');
SELECT is(pg_temp.claim('a', 'pgtap', 1, 'free'), 'reuse OK 50 0', 'once');
SELECT is(pg_temp.claim('a', 'pgtap', 1, 'premium'), 'refused TRACK_NOT_OPEN {"item": "pgtap_premium"}', 'on a track that is open');
SELECT is(pg_temp.claim('a', 'pgtap', 2, 'premium'), 'refused TIER_NOT_REACHED {"xp": 120, "needs": 250}', 'of a tier that is reached');
SELECT is(pg_temp.claim('a', 'pgtap', n, t), 'refused TIER_NOT_FOUND', format('there is no reward of tier %s on %s', n, t)) FROM (VALUES (0, 'free'), (2, 'free'), (3, 'free'), (7, 'free'), (4, 'premium'), (1, 'gold')) v (n, t);
SELECT is(pg_temp.claim('a', 'pgtap.none', 1, 'free'), 'refused SEASON_NOT_FOUND', 'of a season that there is');
SELECT is(c.code, 'USER_NOT_FOUND', 'for a user that there is') FROM economy.claim_tier(-1, 'pgtap', 1, 'free') c;
SELECT is(pg_temp.all_of('a', 'pgtap.none'), 'refused SEASON_NOT_FOUND', 'all of them too');
SELECT is(c.code, 'USER_NOT_FOUND', 'of a user that there is') FROM economy.claim_season(-1, 'pgtap') c;
SELECT is((SELECT concat_ws(' ', r.source, r.external_event_id, r.gold_delta, r.details) FROM economy.reward_audit r WHERE r.user_id = pg_temp.id('a') ORDER BY r.seq DESC LIMIT 1),
    'economy:season:pgtap free:1 50 {"tier": 1, "track": "free", "season": "pgtap"}', 'it is a reward');
SELECT throws_ok($$SELECT economy.grant_reward(pg_temp.id('b'), 'economy:season:pgtap', 'free:1', 1)$$, 'XE401', NULL, 'nobody else can grant it');
SELECT is(p.code, 'OK', 'a tier is skipped') FROM economy.purchase(pg_temp.id('a'), 'pgtap_skip', 'skip', 4) p;
SELECT is(pg_temp.shown('a'), 'pgtap running 520 tier 5 600 due 2 free 1^f!p 2^p 3^ 4^f* 5^f* 6f', 'further ones come behind the last');
SELECT is(p.code, 'OK', 'premium is bought') FROM economy.purchase(pg_temp.id('a'), 'pgtap_premium', 'premium') p;
SELECT is(pg_temp.shown('a'), 'pgtap running 520 tier 5 600 due 4 free+premium 1^f!p* 2^p* 3^ 4^f* 5^f* 6f', 'and opens what is reached');
SELECT is(pg_temp.claim('a', 'pgtap', 1, 'premium'), 'new OK 10 0 2', 'one of it is claimed');
SELECT is(r.code, 'OK', 'premium is refunded') FROM economy.purchase(pg_temp.id('a'), 'pgtap_premium', 'premium') p, economy.refund_purchase(pg_temp.id('a'), p.transaction_id, 'back', 1, 'why', 'pgtap') r;
SELECT is(pg_temp.shown('a'), 'pgtap running 520 tier 5 600 due 2 free 1^f!p! 2^p 3^ 4^f* 5^f* 6f', 'which closes what is not claimed');
SELECT is(pg_temp.claim('a', 'pgtap', 1, 'premium'), 'reuse OK 10 0 2', 'and takes nothing else');
SELECT is(pg_temp.claim('a', 'pgtap', 2, 'premium'), 'refused TRACK_NOT_OPEN {"item": "pgtap_premium"}', 'the rest is not paid');
SELECT is(pg_temp.all_of('a', 'pgtap'), 'free 4 new OK 5, free 5 new OK 5', 'all that is open');
SELECT is(pg_temp.all_of('a', 'pgtap'), NULL, 'which is all');
SELECT is(r.code, 'OK', 'a skip is refunded in part') FROM economy.purchase(pg_temp.id('a'), 'pgtap_skip', 'skip', 4) p, economy.refund_purchase(pg_temp.id('a'), p.transaction_id, 'some', 3, 'why', 'pgtap') r;
SELECT is(pg_temp.shown('a'), 'pgtap running 220 tier 1 250 due 0 free 1^f!p! 2p 3 4f! 5f!', 'what is claimed stays so');
SELECT is(pg_temp.claim('a', 'pgtap', 5, 'free'), 'reuse OK 5 0', 'and is not paid again');
SELECT is(r.code, 'OK', 'a claim is taken back') FROM economy.claim_tier(pg_temp.id('a'), 'pgtap', 5, 'free') c, economy.revoke_reward(pg_temp.id('a'), c.transaction_id, 'why', 'pgtap') r;
SELECT is(pg_temp.claim('a', 'pgtap', 5, 'free'), 'reuse OK 5 0', 'and not paid again either');
SELECT is(pg_temp.give('b', 'pgtap_xp', 9007199254740991), 'OK', 'all XP there can be');
SELECT is(pg_temp.shown('b'), 'pgtap running 9007199254740991 tier 6 end due 4 free 1^f*p 2^p 3^ 4^f* 5^f* 6^f*', 'reach the last tier');
SELECT isnt(s, NULL, 'who is suspended') FROM economy.set_user_status(pg_temp.id('b'), 'suspended', 'pgtap', 'off', 'why') s;
SELECT is(pg_temp.claim('b', 'pgtap', 1, 'free'), 'refused USER_SUSPENDED', 'is not paid');
SELECT isnt(s, NULL, 'until he is not') FROM economy.set_user_status(pg_temp.id('b'), 'active', 'pgtap', 'on', 'why') s;
SELECT is(i.maximum, 3::bigint, 'there is a limit') FROM economy.upsert_item('{"item_id": "pgtap_hat", "maximum": 3}', 'pgtap') i;
SELECT is(string_agg(pg_temp.give('b', i, 2), ' '), 'OK ITEM_LIMIT', 'to what can be held') FROM unnest(ARRAY['pgtap_hat', 'pgtap_hat']) i;
SELECT is(pg_temp.give('b', 'pgtap_premium', 1), 'OK', 'with a track more');
SELECT is(pg_temp.all_of('b', 'pgtap'), 'free 1 new OK 50, premium 1 refused ITEM_LIMIT, premium 2 new OK 0, free 4 new OK 5, free 5 new OK 5, free 6 new OK 5', 'a refusal stops no other');
SELECT is(pg_temp.shown('b'), 'pgtap running 9007199254740991 tier 6 end due 1 free+premium 1^f!p* 2^p! 3^ 4^f! 5^f! 6^f!', 'and is due as before');

-- the end
SELECT is(pg_temp.shown('b'), 'pgtap ended 9007199254740991 tier 6 end due 1 free+premium 1^f!p* 2^p! 3^ 4^f! 5^f! 6^f!', 'after the end there is time to claim') FROM pg_temp.at('2031-05-01 12:00:00+00');
SELECT throws_like($$SELECT economy.publish_season('{"season": "pgtap", "claim_hours": 100}', 'ann')$$, '%is not valid', 'what has ended does not change');
SELECT is(r.retired_at, NULL, 'nor can it be ended') FROM economy.retire_season('pgtap', 'bob') r;
SELECT is(pg_temp.give('c', 'pgtap_xp', 150) || pg_temp.give('d', 'pgtap_xp2', 10), 'OKOK', 'XP that comes late');
SELECT is(pg_temp.claim('c', 'pgtap', 1, 'free'), 'new OK 50 0', 'counts') FROM pg_temp.at('2031-05-03 11:59:59+00');
SELECT is(pg_temp.claim('b', 'pgtap', 1, 'premium'), 'refused SEASON_EXPIRED {"claim_until": "2031-05-03T12:00:00+00:00"}', 'then it is forfeited') FROM pg_temp.at('2031-05-03 12:00:00+00');
SELECT is(pg_temp.claim('c', 'pgtap', 1, 'free'), 'reuse OK 50 0', 'what was claimed is so');
SELECT is(pg_temp.all_of('b', 'pgtap'), NULL, 'nothing is due');
SELECT is(pg_temp.shown('c', 'pgtap'), 'pgtap over 150 tier 1 250 due 0 free 1^f!p 2p 3', 'who asks sees it');
SELECT is(pg_temp.shown('d'), 'pgtap.two over 10 tier 1 end due 1 free 1^f*', 'what is claimed at the end can be claimed until it is');
SELECT is(pg_temp.claim('d', 'pgtap.two', 1, 'free'), 'new OK 1 0', 'by who comes first');
SELECT is(r.retired_at IS NOT NULL, true, 'one is retired') FROM economy.publish_season('{"season": "pgtap.three", "xp_item": "pgtap_xp3", "ends_at": "2031-12-01T00:00:00Z", "at_end": "forfeit", "claim_hours": 1, "tiers": [{"xp": 10, "rewards": {"free": {"gold": 1}}}]}', 'ann') p, economy.retire_season(p.season, 'bob') r;
SELECT is(pg_temp.give('d', 'pgtap_xp3', 10), 'OK', 'its XP');
SELECT is(pg_temp.shown('d', 'pgtap.three'), 'pgtap.three ended 10 tier 1 end due 1 free 1^f*', 'can be claimed');
SELECT is(pg_temp.claim('d', 'pgtap.three', 1, 'free'), 'refused SEASON_EXPIRED {"claim_until": "2031-05-03T13:00:00+00:00"}', 'as after its end') FROM pg_temp.at('2031-05-03 13:00:00+00');
SELECT is(r.retired_at AT TIME ZONE 'UTC', '2031-05-03 12:00:00'::timestamp, 'again changes nothing') FROM economy.retire_season('pgtap.three', 'bob') r;

-- a random player against a model of it
CREATE TEMP TABLE rule (tier integer, needs bigint, track text, gold bigint, PRIMARY KEY (tier, track));
INSERT INTO rule SELECT n, n * n * 3, t, 10 * n + length(t) FROM generate_series(1, 12) n, unnest(ARRAY['free', 'premium', 'plus']) t WHERE (n + length(t)) % 3 > 0;
INSERT INTO rule SELECT 12 + n, 432 + n * 40, 'plus', 7 FROM generate_series(1, 5) n;
SELECT count(*) AS x FROM economy.upsert_item('{"item_id": "pgtap_xp4", "kind": "currency", "consumable": false}', 'pgtap') \gset
SELECT count(*) AS x FROM economy.upsert_product('{"product_id": "pgtap_four", "category": "item", "price_gold": 2, "contents": {"pgtap_xp4": 45, "pgtap_plus": 1}}', 'pgtap') \gset
SELECT is(p.at_end, 'claim', 'a season of many tiers') FROM economy.publish_season(jsonb_build_object('season', 'pgtap.four', 'xp_item', 'pgtap_xp4', 'ends_at', '2031-07-01T00:00:00Z',
    'tracks', '[{"track": "free"}, {"track": "premium", "item": "pgtap_premium"}, {"track": "plus", "item": "pgtap_plus"}]'::jsonb,
    'tiers', (SELECT jsonb_agg(jsonb_build_object('xp', n * n * 3, 'rewards', coalesce((SELECT jsonb_object_agg(r.track, jsonb_build_object('gold', r.gold)) FROM rule r WHERE r.tier = n), '{}')) ORDER BY n) FROM generate_series(1, 12) n),
    'excess', '{"every": 40, "times": 5, "rewards": {"plus": {"gold": 7}}}'::jsonb), 'ann') p;
CREATE TEMP TABLE had (w text, tier integer, track text, PRIMARY KEY (w, tier, track));
CREATE TEMP TABLE bought (transaction_id text, w text, left_of bigint);
CREATE FUNCTION pg_temp.due(who text) RETURNS TABLE (tier integer, track text, gold bigint) LANGUAGE sql AS $$
    SELECT r.tier, r.track, r.gold FROM rule r
    WHERE r.needs <= coalesce((SELECT h.quantity FROM economy.holdings(pg_temp.id(who)) h WHERE h.item_id = 'pgtap_xp4'), 0)
      AND (r.track = 'free' OR economy.holds(pg_temp.id(who), 'pgtap_' || r.track))
      AND NOT EXISTS (SELECT FROM had h WHERE h.w = who AND h.tier = r.tier AND h.track = r.track)
$$;
CREATE FUNCTION pg_temp.walk(steps integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    who      text;
    op       integer;
    one      record;
    expected text;
    actual   text;
    rule_now rule;
    is_due   boolean;
    is_had   boolean;
BEGIN
    PERFORM setseed(0.25);
    FOR i IN 1 .. steps LOOP
        who := (ARRAY['a', 'b', 'c', 'd'])[1 + floor(random() * 4)];
        op := floor(random() * 8);
        expected := NULL;
        actual := NULL;
        IF op = 0 THEN
            PERFORM pg_temp.give(who, 'pgtap_xp4', 1 + floor(random() * 60)::bigint);
        ELSIF op = 1 THEN
            INSERT INTO bought SELECT p.transaction_id, who, 2 FROM economy.purchase(pg_temp.id(who), 'pgtap_four', 'w' || i, 2) p WHERE p.success;
        ELSIF op = 2 THEN
            SELECT b.* INTO one FROM bought b WHERE b.left_of > 0 ORDER BY random() LIMIT 1;
            IF found THEN
                UPDATE bought b SET left_of = b.left_of - 1
                    FROM economy.refund_purchase(pg_temp.id(one.w), one.transaction_id, 'w' || i, 1, 'why', 'pgtap') r
                    WHERE b.transaction_id = one.transaction_id AND r.success;
            END IF;
        ELSIF op = 3 THEN
            PERFORM pg_temp.give(who, 'pgtap_premium', 1);
        ELSIF op < 7 THEN
            SELECT r.* INTO rule_now FROM rule r ORDER BY random() LIMIT 1;
            is_due := EXISTS (SELECT FROM pg_temp.due(who) d WHERE d.tier = rule_now.tier AND d.track = rule_now.track);
            is_had := EXISTS (SELECT FROM had h WHERE h.w = who AND h.tier = rule_now.tier AND h.track = rule_now.track);
            expected := CASE WHEN is_had THEN 'reuse OK ' || rule_now.gold WHEN is_due THEN 'new OK ' || rule_now.gold ELSE 'refused' END;
            SELECT concat_ws(' ', c.state, CASE WHEN c.success THEN c.code END, c.gold_delta) INTO actual FROM economy.claim_tier(pg_temp.id(who), 'pgtap.four', rule_now.tier, rule_now.track) c;
            IF is_due THEN
                INSERT INTO had VALUES (who, rule_now.tier, rule_now.track);
            END IF;
        ELSIF random() < 0.3 THEN
            SELECT string_agg(concat_ws(' ', d.tier, d.track, d.gold), ', ' ORDER BY d.tier, d.track) INTO expected FROM pg_temp.due(who) d;
            SELECT string_agg(concat_ws(' ', c.tier, c.track, c.gold_delta), ', ' ORDER BY c.tier, c.track) INTO actual FROM economy.claim_season(pg_temp.id(who), 'pgtap.four') c WHERE c.success AND c.state = 'new';
            INSERT INTO had SELECT who, d.tier, d.track FROM pg_temp.due(who) d;
        END IF;
        IF expected IS DISTINCT FROM actual THEN
            RETURN format('step %s, %s of %s: %s expected, not %s', i, op, who, expected, actual);
        END IF;
        SELECT string_agg(concat_ws(' ', d.tier, d.track), ', ' ORDER BY d.tier, d.track) INTO expected FROM pg_temp.due(who) d;
        SELECT string_agg(concat_ws(' ', t ->> 'tier', r.key), ', ' ORDER BY (t ->> 'tier')::integer, r.key) INTO actual
            FROM economy.season(pg_temp.id(who), 'pgtap.four') s, jsonb_array_elements(s.tiers) t, jsonb_each(t -> 'rewards') r WHERE (r.value ->> 'claimable')::boolean;
        IF expected IS DISTINCT FROM actual THEN
            RETURN format('step %s, %s of %s: %s should be due, not %s', i, op, who, expected, actual);
        END IF;
    END LOOP;
    RETURN format('%s claims', (SELECT count(*) FROM had) > 40);
END
$$;
SELECT is(pg_temp.walk(:steps), 't claims', 'each claim is what a model says');
SELECT is((SELECT sum(r.gold_delta)::bigint FROM economy.reward_audit r JOIN player p ON p.id = r.user_id WHERE r.source = 'economy:season:pgtap.four'), (SELECT sum(r.gold)::bigint FROM had JOIN rule r USING (tier, track)), 'and is paid once');
SELECT is_empty($$SELECT f.* FROM player p, economy.verify_chain(p.id) f$$, 'the entries are sound');
SELECT is_empty($$SELECT f.* FROM economy_internal.audit_holdings() f JOIN player p ON p.id = f.user_id$$, 'and XP is what they add up to');

-- what the audit finds
CREATE FUNCTION pg_temp.found() RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(concat_ws(' ', p.w, f.kind, f.expected, '|', f.actual), ', ' ORDER BY f.expected COLLATE "C") FROM economy_internal.audit_seasons() f JOIN player p ON p.id = f.user_id $$;
SELECT is(pg_temp.found(), NULL, 'it is clean');
CREATE FUNCTION pg_temp.found_after(damage text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    says text;
BEGIN
    SET LOCAL session_replication_role = replica;
    ALTER TABLE economy.reward_audit DISABLE TRIGGER ALL;
    ALTER TABLE economy.holding_changes DISABLE TRIGGER ALL;
    ALTER TABLE economy.shop_transactions DISABLE TRIGGER ALL;
    EXECUTE damage;
    says := pg_temp.found();
    RAISE EXCEPTION '%', coalesce(says, 'nothing') USING ERRCODE = 'XX999';
EXCEPTION WHEN SQLSTATE 'XX999' THEN
    RETURN sqlerrm;
END
$$;
SELECT is(pg_temp.found_after(format($$UPDATE economy.reward_audit SET %s WHERE source = 'economy:season:pgtap' AND external_event_id = '%s' AND user_id = pg_temp.id('a')$$, v.change, v.id)), says, says) FROM (VALUES
    ('gold_delta = 51', 'free:1', 'a wrong_season season pgtap free:1: {"gold": 50} | season pgtap free:1: 51 gold, 0 XP, items {}'),
    ('xp_delta = 1', 'free:1', 'a wrong_season season pgtap free:1: {"gold": 50} | season pgtap free:1: 50 gold, 1 XP, items {}'),
    ('items = NULL', 'premium:1', 'a wrong_season season pgtap premium:1: {"gold": 10, "items": {"pgtap_hat": 2}} | season pgtap premium:1: 10 gold, 0 XP, items {}'),
    ($$external_event_id = 'free:9'$$, 'free:1', 'a wrong_season a reward of a season that was published | season pgtap free:9: 50 gold, 0 XP, items {}'),
    ($$source = 'economy:season:pgtap.none'$$, 'free:1', 'a wrong_season a reward of a season that was published | season pgtap.none free:1: 50 gold, 0 XP, items {}'),
    ($$created_at = '2031-03-05 23:59:59+00'$$, 'free:1', 'a wrong_season season pgtap free:1 claimed from 2031-03-06 00:00:00+00 to 2031-05-03 12:00:00+00 | 2031-03-05 23:59:59+00'),
    ($$created_at = '2031-05-03 13:00:00+00'$$, 'free:1', 'a wrong_season season pgtap free:1 claimed from 2031-03-06 00:00:00+00 to 2031-05-03 12:00:00+00 | 2031-05-03 13:00:00+00')) v (change, id, says);
SELECT is(pg_temp.found_after($$UPDATE economy.holding_changes SET items = '[{"item": "pgtap_xp", "delta": 99, "balance": 99}]' WHERE user_id = pg_temp.id('a') AND seq = (SELECT min(h.seq) FROM economy.holding_changes h WHERE h.user_id = pg_temp.id('a'))$$),
    'a wrong_season 100 of pgtap_xp held at the claim | 99', 'a tier that was not reached');
SELECT is(pg_temp.found_after($$DELETE FROM economy.shop_transactions WHERE user_id = pg_temp.id('a') AND product_id = 'pgtap_premium'$$), 'a wrong_season 1 of pgtap_premium held at the claim | 0', 'a track that was not open');

-- the end for everybody
CREATE FUNCTION pg_temp.close(max_users integer DEFAULT 100, max_claims integer DEFAULT 2000) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    step record;
    says text := '';
BEGIN
    SELECT * INTO step FROM economy_internal.close_seasons(NULL, max_users, max_claims);
    FOR i IN 1 .. 100 LOOP
        says := says || ' ' || step.claimed || CASE WHEN step.next = '{}' THEN ' closed' ELSE '' END;
        EXIT WHEN step.next IS NULL;
        SELECT * INTO step FROM economy_internal.close_seasons(step.next, max_users, max_claims);
    END LOOP;
    RETURN ltrim(says);
END
$$;
-- others may have seasons too, which are none of this test's business
UPDATE economy.seasons s SET closed_at = economy.now() WHERE s.season NOT LIKE 'pgtap%' AND s.closed_at IS NULL;
SELECT is(pg_temp.give('c', 'pgtap_xp2', 10) || pg_temp.give('b', 'pgtap_xp2', 9), 'OKOK', 'one has something to claim, another one nothing');
SAVEPOINT trigger;
CREATE FUNCTION pg_temp.not_c() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this one'; END $$;
SELECT format('CREATE TRIGGER pgtap AFTER INSERT ON economy.reward_audit FOR EACH ROW WHEN (NEW.user_id = %s) EXECUTE FUNCTION pg_temp.not_c()', pg_temp.id('c')) \gexec
SELECT is(pg_temp.give('b', 'pgtap_xp2', 1), 'OK', 'another one, too');
SELECT is(pg_temp.close(), '1 0 closed 0', 'a trigger of the app that refuses one user stops no other') FROM pg_temp.at('2031-05-04 00:00:00+00');
SELECT is(pg_temp.claim('b', 'pgtap.two', 1, 'free'), 'reuse OK 1 0', 'who has it');
ROLLBACK TO trigger;
SELECT is(pg_temp.close(), '1 0 closed 0', 'a season whose time is over is closed') FROM pg_temp.at('2031-05-04 00:00:00+00');
SELECT is((SELECT string_agg(s.season, ', ' ORDER BY s.season) FROM economy.seasons s WHERE s.closed_at IS NOT NULL AND s.season LIKE 'pgtap%'), 'pgtap.two', 'and none that is forfeited, or is not over');
SELECT is((SELECT concat_ws(' ', c.action, c.actor) FROM economy.config_changes c WHERE c.relation = 'seasons' AND c.key = 'pgtap.two' ORDER BY c.change_id DESC LIMIT 1), 'close economy:seasons', 'which is recorded');
SAVEPOINT clock;
SELECT pg_temp.at(to_char((s.ends_at - interval '1 minute') AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS+00')) FROM economy.seasons s WHERE s.season = 'pgtap.two' \g /dev/null
SELECT throws_ok('SELECT economy.publish_season(''{"season": "pgtap.two", "ends_at": "2031-07-01T00:00:00Z"}'', ''ann'')', 'XE405', 'season "pgtap.two" is not valid', 'a clock that is set back does not open it again');
ROLLBACK TO clock;
SELECT doesnt_match(coalesce(pg_temp.shown('c'), ''), 'pgtap.two', 'it is not shown any more');
SELECT is(pg_temp.shown('c', 'pgtap.two'), 'pgtap.two over 10 tier 1 end due 0 free 1^f!', 'but to who asks');
SELECT is(pg_temp.claim('c', 'pgtap.two', 1, 'free'), 'reuse OK 1 0', 'and was claimed');
SELECT is(pg_temp.give('b', 'pgtap_xp2', 1) || ' ' || pg_temp.claim('b', 'pgtap.two', 1, 'free'), 'OK new OK 1 0', 'what comes later can be claimed');
SELECT is(pg_temp.close(), '0', 'nothing else is to be done');
SELECT is(r.retired_at IS NOT NULL, true, 'the season of many tiers ends') FROM economy.retire_season('pgtap.four', 'bob') r;
SELECT pg_temp.at('2031-05-11 12:00:00+00');
SELECT cmp_ok(pg_temp.give('d', 'pgtap_xp4', 200), '=', 'OK', 'one more gets XP');
CREATE TEMP TABLE still AS SELECT p.w, d.* FROM player p, pg_temp.due(p.w) d;
SELECT is(count(DISTINCT w) > 1, true, 'some have something to claim') FROM still;
SELECT isnt(u, NULL, 'one of them is suspended') FROM economy.set_user_status(pg_temp.id('d'), 'suspended', 'pgtap', 'gone', 'why') u;
SELECT matches(pg_temp.close(1, 1), '^([0-9]+ )+0 closed 0$', 'it is claimed user by user');
INSERT INTO had SELECT w, tier, track FROM still WHERE w <> 'd';
SELECT is((SELECT sum(r.gold_delta)::bigint FROM economy.reward_audit r JOIN player p ON p.id = r.user_id WHERE r.source = 'economy:season:pgtap.four'), (SELECT sum(r.gold)::bigint FROM had JOIN rule r USING (tier, track)), 'all but his');
SELECT isnt(u, NULL, 'who was suspended') FROM economy.set_user_status(pg_temp.id('d'), 'active', 'pgtap', 'back', 'why') u;
SELECT is((SELECT count(*) FROM economy.claim_season(pg_temp.id('d'), 'pgtap.four') c WHERE c.state = 'new'), (SELECT count(*) FROM still WHERE w = 'd'), 'still can claim');
SELECT is(pg_temp.found(), NULL, 'it is clean');

-- a trigger that keeps a season or a mission from being what is answered
CREATE FUNCTION pg_temp.not_kept() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF current_setting('pgtap.how') = 'none' THEN RETURN NULL; END IF; NEW.position := 77; RETURN NEW; END $$;
SELECT economy.upsert_item('{"item_id": "pgtap_xp9", "kind": "stack", "consumable": false}', 'ann') IS NULL AS x \gset
SELECT count(*) AS x FROM (VALUES ('old')) v (m), economy.publish_mission(jsonb_build_object('mission', 'pgtap.' || m, 'trigger', 'action', 'target', 1), 'ann'),
    economy.publish_season('{"season": "pgtap.kept", "xp_item": "pgtap_xp9", "ends_at": "2031-09-01T00:00:00Z", "tiers": [{"xp": 10, "rewards": {"free": {"gold": 1}}}]}', 'ann') \gset
CREATE TRIGGER pgtap BEFORE INSERT OR UPDATE ON economy.seasons FOR EACH ROW EXECUTE FUNCTION pg_temp.not_kept();
CREATE TRIGGER pgtap BEFORE INSERT OR UPDATE ON economy.mission_templates FOR EACH ROW EXECUTE FUNCTION pg_temp.not_kept();
SELECT throws_ok(format('SELECT economy.%s FROM set_config(''pgtap.how'', %L, true)', c, how), 'XE103', format('a row of economy.%s would be kept in another way than was asked for', tab), how || ' ' || left(c, 60))
FROM unnest(ARRAY['none', 'another']) how, (VALUES
    ('seasons', 'publish_season(''{"season": "pgtap.kept", "position": 5}'', ''ann'')'), ('seasons', 'retire_season(''pgtap.kept'', ''ann'')'),
    ('mission_templates', 'publish_mission(''{"mission": "pgtap.new", "trigger": "action", "target": 1}'', ''ann'')'),
    ('mission_templates', 'publish_mission(''{"mission": "pgtap.old", "trigger": "action", "target": 2}'', ''ann'')'), ('mission_templates', 'retire_mission(''pgtap.old'', ''ann'')')) t (tab, c);
SELECT * FROM finish();
ROLLBACK;
