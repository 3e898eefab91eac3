-- Wilson intervals, binomial tails and the screen of win rates.
--
-- Run as superuser: statistics are planted directly, until the final ROLLBACK.
BEGIN;
SELECT no_plan();
-- as if no account had room for a game
CREATE FUNCTION pg_temp.write_rows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        DELETE FROM economy_internal.game_stats_more m WHERE m.user_id = OLD.user_id AND m.game = OLD.game;
        RETURN OLD;
    END IF;
    INSERT INTO economy.accounts (user_id, head_hash) VALUES (NEW.user_id, sha256('')) ON CONFLICT DO NOTHING;
    INSERT INTO economy_internal.game_stats_more
        VALUES (NEW.user_id, NEW.game, NEW.wins, NEW.losses, NEW.draws, NEW.max_win, NEW.bet_sum, NEW.win_sum, NEW.last_action_at);
    RETURN NEW;
END
$$;
CREATE TRIGGER write_rows INSTEAD OF INSERT OR DELETE ON economy.game_stats
    FOR EACH ROW EXECUTE FUNCTION pg_temp.write_rows();

SELECT ok(abs(w.lower - l) < 1e-12 AND abs(w.upper - u) < 1e-12, format('Wilson %s of %s: %s %s', wins, n, w.lower, w.upper))
FROM (VALUES (18, 20, 0.6989663547715128, 0.9721335187862319), (4, 200, 0.00780442641634947, 0.05028708690582643),
             (1, 1, 0.20654931437723745, 1), (0, 1, 0, 0.7934506856227626)) v (wins, n, l, u), economy.wilson_interval(wins, n) w;
SELECT is((SELECT w.upper FROM economy.wilson_interval(n, n) w), 1::double precision, n || ' of ' || n || ': upper is exactly 1') FROM unnest(ARRAY[1, 3, 30, 1000, 123456789, 9007199254740991]) n;
SELECT is((SELECT w.lower FROM economy.wilson_interval(0, n) w), 0::double precision, '0 of ' || n || ': lower is exactly 0') FROM unnest(ARRAY[1, 3, 30, 1000, 123456789, 9007199254740991]) n;
SELECT is((SELECT count(*) FROM generate_series(1, 60) n, generate_series(0, n) w, economy.wilson_interval(w, n) i
           WHERE NOT (i.lower >= 0 AND i.upper <= 1 AND i.lower <= w::float8 / n AND i.upper >= w::float8 / n AND i.lower < i.upper)), 0::bigint, 'the rate is inside, and the interval inside 0 to 1');
SELECT is((SELECT count(*) FROM generate_series(1, 40) n, generate_series(0, n) w, economy.wilson_interval(w, n) i, economy.wilson_interval(n - w, n) j
           WHERE abs(i.lower + j.upper - 1) > 1e-14), 0::bigint, 'wins and losses mirror each other');

-- tails against exact sums
CREATE FUNCTION pg_temp.exact_tail(wins int, n int, p numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
    WITH RECURSIVE term (k, value) AS (
        SELECT 0, (1 - p) ^ n
        UNION ALL SELECT k + 1, value * (n - k) / (k + 1) * p / (1 - p) FROM term WHERE k < n)
    SELECT coalesce(sum(value), 0) FROM term WHERE k >= wins $$;
SELECT is((SELECT string_agg(format('%s of %s at %s: %s, not %s', w, n, p, economy_internal.binomial_tail(w, n, p::float8), pg_temp.exact_tail(w, n, p)), ', ')
           FROM generate_series(1, 24) n, generate_series(0, n) w, unnest(ARRAY[0.01, 0.25, 0.48, 0.5, 0.75, 0.99]::numeric(60, 50)[]) p
           WHERE abs(economy_internal.binomial_tail(w, n, p::float8) / pg_temp.exact_tail(w, n, p)::float8 - 1) > 1e-11), NULL, 'all tails of up to 24 games');
SELECT is((SELECT string_agg(format('%s of %s at %s: %s, not %s', w, n, p, economy_internal.binomial_tail(w, n, p::float8), pg_temp.exact_tail(w, n, p)), ', ')
           FROM (VALUES (200, 60, 0.25), (200, 100, 0.48), (200, 150, 0.48), (200, 2, 0.001), (500, 325, 0.48), (500, 240, 0.48), (500, 400, 0.48), (1000, 650, 0.48), (1000, 480, 0.48)) v (n, w, p)
           CROSS JOIN LATERAL (SELECT p::numeric(400, 380)) x (exact)
           WHERE abs(economy_internal.binomial_tail(w, n, p::float8)::numeric / pg_temp.exact_tail(w, n, x.exact) - 1) > 1e-9), NULL, 'and of many games, far out');
SELECT is(economy_internal.binomial_tail(wins, n, p), want::double precision, format('%s of %s at %s', wins, n, p))
FROM (VALUES (0, 5, 0.3, 1), (0, 5, 0, 1), (5, 5, 1, 1), (1, 5, 0, 0), (1, 1, 0.25, 0.25)) v (wins, n, p, want);
SELECT is((SELECT count(*) FROM generate_series(1, 1000) w WHERE economy_internal.binomial_tail(w, 1000, 0.48) > economy_internal.binomial_tail(w - 1, 1000, 0.48)), 0::bigint, 'tails never rise with the wins');
SELECT ok((SELECT t BETWEEN 0.49 AND 0.51 FROM economy_internal.binomial_tail(500000000, 1000000000, 0.5) t), 'a thousand million games');
SELECT throws_ok(call, code, message, call)
FROM (VALUES ('SELECT economy.wilson_interval(NULL, 1)', 'XE001', 'wins must not be null'), ('SELECT economy.wilson_interval(1, NULL)', 'XE001', 'n must not be null'),
    ('SELECT economy.wilson_interval(0, 0)', 'XE002', 'wins must be from 0 to n, and n at least 1'), ('SELECT economy.wilson_interval(-1, 5)', 'XE002', 'wins must be from 0 to n, and n at least 1'),
    ('SELECT economy.wilson_interval(6, 5)', 'XE002', 'wins must be from 0 to n, and n at least 1'), ('SELECT economy_internal.binomial_tail(1, 2, NULL)', 'XE001', 'p must not be null'),
    ('SELECT economy_internal.binomial_tail(1, 2, -0.1)', 'XE002', 'p must be from 0 to 1'), ('SELECT economy_internal.binomial_tail(1, 2, 1.1)', 'XE002', 'p must be from 0 to 1'),
    ('SELECT economy_internal.binomial_tail(1, 2, ''NaN'')', 'XE002', 'p must be from 0 to 1'), ('SELECT economy_internal.binomial_tail(3, 2, 0.5)', 'XE002', 'wins must be from 0 to n, and n at least 1')) v (call, code, message);

-- 20 cheats at 0.65 with 1,000 games each among 5,000 honest players.  Wins
-- come from a generator with a seed: by the normal approximation for honest
-- ones with 500 to 1,500 games, and game by game for the cheats.
SELECT economy.register_game('pgtap luck') AS x \gset
CREATE FUNCTION pg_temp.plant(seed int, honest int, cheats int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM economy.game_stats WHERE game = 'pgtap luck';
    INSERT INTO economy.game_stats
        SELECT -u, 'pgtap luck', n, w, n - w, 0, 0, 0, 0, pg_catalog.now()
        FROM (SELECT u, n, least(n, greatest(0, round(n * 0.48 + sqrt(n * 0.48 * 0.52) * z)))::bigint AS w
              FROM (SELECT u, 20 + (hashint8extended(u, seed) & 1023) AS n,
                           sqrt(-2 * ln(((hashint8extended(u, seed + 1) & 1048575) + 0.5) / 1048576.0::float8)) * cos(6.283185307179586 * (hashint8extended(u, seed + 2) & 1048575) / 1048576.0::float8) AS z
                    FROM generate_series(1, honest) u) p) q;
    INSERT INTO economy.game_stats
        SELECT -1000000 - u, 'pgtap luck', 1000, w, 1000 - w, 0, 0, 0, 0, pg_catalog.now()
        FROM (SELECT u, count(*) FILTER (WHERE (hashint8extended(u * 1000 + g, seed + 3) & 1048575) < 0.65 * 1048576) AS w
              FROM generate_series(1, cheats) u, generate_series(1, 1000) g GROUP BY u) c;
END
$$;
CREATE FUNCTION pg_temp.screen(seed int, honest int DEFAULT 5000, cheats int DEFAULT 20, q float8 DEFAULT 0.01) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.plant(seed, honest, cheats);
    SELECT count(*) FILTER (WHERE user_id < -1000000) || ' cheats, ' || count(*) FILTER (WHERE user_id > -1000000) || ' honest' FROM economy.win_rate_anomalies('pgtap luck', q) $$;
SELECT is(pg_temp.screen(seed), '20 cheats, 0 honest', 'the planted cheats are found, and nobody else: seed ' || seed) FROM unnest(ARRAY[1, 2, 3, 5, 8]) seed;
SELECT is(pg_temp.screen(seed, 5000, 0), '0 cheats, 0 honest', 'nobody among honest players: seed ' || seed) FROM unnest(ARRAY[1, 2, 3]) seed;
SELECT pg_temp.plant(1, 5000, 20) AS x \gset
SELECT is((SELECT count(*) FROM economy.win_rate_anomalies('pgtap luck') a WHERE a.games = 1000 AND abs(a.win_rate - a.wins / 1000.0::float8) < 1e-15 AND a.lower > a.population_rate AND a.upper > a.win_rate
           AND a.p_value = economy_internal.binomial_tail(a.wins, a.games, a.population_rate) AND a.p_value < 1e-6), 20::bigint, 'the columns');
SELECT is((SELECT DISTINCT population_rate FROM economy.win_rate_anomalies('pgtap luck')), (SELECT sum(wins)::float8 / sum(wins + losses) FROM economy.game_stats WHERE game = 'pgtap luck'), 'the rate of the population');
SELECT ok((SELECT bool_and(user_id = sorted) FROM (SELECT user_id, first_value(user_id) OVER (ORDER BY p_value, user_id ROWS BETWEEN CURRENT ROW AND CURRENT ROW) AS sorted FROM economy.win_rate_anomalies('pgtap luck')) s), 'ordered by p');
SELECT is_empty($$SELECT * FROM economy.win_rate_anomalies('pgtap luck', 0)$$, 'q = 0 finds nobody');
SELECT is_empty('SELECT * FROM economy.win_rate_anomalies(''pgtap no such game'')', 'a game that nobody played');
SELECT is_empty('SELECT * FROM economy.win_rate_anomalies(NULL)', 'and no game');
-- Benjamini-Hochberg, against its definition
SELECT results_eq(format($$SELECT user_id FROM economy.win_rate_anomalies('pgtap luck', %s) ORDER BY 1$$, q), format($$
    WITH p AS (SELECT user_id, wins + losses AS n, wins, economy_internal.binomial_tail(wins, wins + losses, (SELECT sum(wins)::float8 / sum(wins + losses) FROM economy.game_stats WHERE game = 'pgtap luck')) AS p
               FROM economy.game_stats WHERE game = 'pgtap luck'),
         o AS (SELECT *, rank() OVER (ORDER BY p) AS r, count(*) OVER () AS m FROM p)
    SELECT user_id FROM o WHERE p <= (SELECT max(p) FROM o WHERE p <= %s * r / m)
      AND (economy.wilson_interval(wins, n)).lower > (SELECT sum(wins)::float8 / sum(wins + losses) FROM economy.game_stats WHERE game = 'pgtap luck') ORDER BY 1$$, q), 'as defined, at q = ' || q)
FROM unnest(ARRAY[0.0001, 0.01, 0.2, 0.9]) q;
-- 19 games are too few, whatever they are; 20 are enough; draws do not count
DELETE FROM economy.game_stats WHERE game = 'pgtap luck' AND user_id < -1000000;
INSERT INTO economy.game_stats VALUES (-1000001, 'pgtap luck', 19, 19, 0, 0, 0, 0, 0, pg_catalog.now()), (-1000002, 'pgtap luck', 20, 20, 0, 0, 0, 0, 0, pg_catalog.now()),
    (-1000003, 'pgtap luck', 1019, 19, 0, 1000, 0, 0, 0, pg_catalog.now()), (-1000004, 'pgtap luck', 1030, 30, 0, 1000, 0, 0, 0, pg_catalog.now()), (-1000005, 'pgtap luck', 50, 0, 50, 0, 0, 0, 0, pg_catalog.now());
SELECT results_eq($$SELECT user_id, games FROM economy.win_rate_anomalies('pgtap luck') ORDER BY 1$$, 'VALUES (-1000004::bigint, 30::bigint), (-1000002, 20)', 'at least 20 decided games; who loses too much is none');
DELETE FROM economy.game_stats WHERE game = 'pgtap luck' AND user_id > -1000000;
SELECT is_empty($$SELECT * FROM economy.win_rate_anomalies('pgtap luck') WHERE user_id = -1000005$$, 'nor among so few');
-- small populations as the definition says, in every column and in order: few games count in the rate,
-- and at a high q some are significant whose interval reaches down to it
CREATE TEMP TABLE world AS SELECT w, q FROM generate_series(1, 40) w CROSS JOIN unnest(ARRAY[0.01, 0.2, 0.5, 0.9, 1]) q ORDER BY w, q;
CREATE TEMP TABLE player AS
    SELECT w, -2000000 - (hashint8extended(u * 100 + w, 1) & 65535) * 100 - u AS user_id, wins, losses, u % 3 AS draws
    FROM generate_series(1, 40) w CROSS JOIN generate_series(1, 25) u
    CROSS JOIN LATERAL (SELECT CASE WHEN u % 4 = 0 THEN hashint8extended(u, w) & 15 ELSE 18 + (hashint8extended(u, w) & 3) END AS n) g
    CROSS JOIN LATERAL (SELECT (g.n * (0.2 + 0.8 * (hashint8extended(u, w + 100) & 1023) / 1023.0))::bigint AS wins) x CROSS JOIN LATERAL (SELECT g.n - x.wins AS losses) y;
SELECT economy.register_game('pgtap world ' || w) AS x FROM generate_series(1, 40) w \g /dev/null
INSERT INTO economy.game_stats SELECT user_id, 'pgtap world ' || w, wins + losses + draws, wins, losses, draws, 0, 0, 0, pg_catalog.now() FROM player;
CREATE TEMP TABLE wanted AS
    WITH tested AS (
        SELECT p.w, p.user_id, p.wins + p.losses AS games, p.wins, r.rate, economy_internal.binomial_tail(p.wins, p.wins + p.losses, r.rate) AS p, (economy.wilson_interval(p.wins, p.wins + p.losses)).*
        FROM player p JOIN (SELECT w, sum(wins)::float8 / sum(wins + losses) AS rate FROM player GROUP BY w) r USING (w) WHERE p.wins + p.losses >= 20
    )
    SELECT t.w, o.q, t.user_id, t.games, t.wins, t.wins::float8 / t.games AS win_rate, t.lower, t.upper, t.rate, t.p, t.lower > t.rate AS beyond
    FROM tested t JOIN world o USING (w)
    -- significant: so many are at least as unlikely that their share of q covers one of them or of those after it
    WHERE t.p <= (SELECT max(u.p) FROM tested u WHERE u.w = t.w AND u.p <= o.q * (SELECT count(*) FROM tested v WHERE v.w = t.w AND v.p <= u.p) / (SELECT count(*) FROM tested v WHERE v.w = t.w));
SELECT results_eq('SELECT o.w, o.q, a.* FROM world o CROSS JOIN LATERAL (SELECT x.* FROM economy.win_rate_anomalies(''pgtap world '' || o.w, o.q) x) a', 'SELECT w, q, user_id, games, wins, win_rate, lower, upper, rate, p FROM wanted o WHERE beyond ORDER BY w, q, p, user_id', 'forty worlds')
FROM (SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)) c;
SELECT cmp_ok((SELECT count(*) FROM wanted WHERE beyond = b), '>', 20::bigint, 'with many, beyond the rate: ' || b) FROM unnest(ARRAY[true, false]) b;
-- one who is tested, as unlikely as q itself
SELECT economy.register_game('pgtap border') AS x \gset
INSERT INTO economy.game_stats SELECT -3000000 - u, 'pgtap border', n, w, n - w, 0, 0, 0, 0, pg_catalog.now() FROM (VALUES (1, 20, 15), (2, 19, 8), (3, 19, 8), (4, 19, 9)) v (u, n, w);
SET LOCAL extra_float_digits = 1;
SELECT p AS p FROM economy_internal.binomial_tail(15, 20, 40 / 77.0::float8) p \gset
SELECT is((SELECT count(*) FROM economy.win_rate_anomalies('pgtap border', q)), n, 'at q = ' || q) FROM (VALUES (:'p'::float8, 1::bigint), (:'p'::float8 * (1 - 1e-9), 0)) v (q, n);
SELECT is((:'p'::float8 BETWEEN 0.011 AND 0.049, (SELECT count(*) FROM economy.win_rate_anomalies('pgtap border')))::text, '(t,0)', 'a false discovery rate of 1 % unless it is said');
SELECT * FROM finish();
ROLLBACK;
