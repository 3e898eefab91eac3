-- Users: registration, time zones, status.
\set SHOW_CONTEXT never
SELECT economy.register('regress identity', 'europe/berlin', '{"name": "R"}') AS u \gset
SELECT economy.register('regress identity', 'Asia/Tokyo') = :u AS same;
SELECT external_id, timezone, profile FROM economy.users WHERE user_id = :u;
SELECT gold, experience_points, level, xp_into_level, xp_to_next, seq, streak_day, last_claim_on FROM economy.account(:u);
SELECT economy.user_id_of('regress identity') = :u AS found, economy.user_id_of('regress nobody');
SELECT economy.register('');
SELECT economy.register('regress bad', 'Foo3');
SELECT economy.register('regress bad', NULL);
SELECT economy.register('regress bad', 'UTC', '[]');
SELECT economy.user_id_of('regress bad');

SELECT economy.set_timezone(:u, 'america/new_york');
SELECT economy.set_timezone(:u, 'us/pacific');
SELECT economy.set_timezone(:u, '<A>3');
SELECT economy.set_timezone(-1, 'UTC');
SELECT timezone FROM economy.users WHERE user_id = :u;
SELECT name, economy.timezone_name(name) FROM unnest(ARRAY['utc', 'Etc/GMT+5', 'asia/kathmandu']) name;

SELECT economy.set_user_status(:u, 'suspended', 'ann');
SELECT state, code FROM economy.purchase(:u, 'regress_any', 'k');
SELECT economy.set_user_status(:u, 'active', 'bob');
SELECT state, code FROM economy.purchase(:u, 'regress_any', 'k');
SELECT economy.set_user_status(:u, 'banned', 'ann');
SELECT economy.set_user_status(-1, 'active', 'ann');
SELECT seq, field, before, after, actor FROM economy.user_changes WHERE user_id = :u ORDER BY seq;

SET economy.test_clock = '2031-01-31 12:00:00+00';
SELECT economy.now() = '2031-01-31 12:00:00+00' AS stopped;
SET economy.test_clock = 'noon';
RESET economy.test_clock;
SELECT economy.now() >= now() AS runs;
