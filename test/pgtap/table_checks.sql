-- Every CHECK of every table, by itself: what it refuses, by its name, and at its border
-- what it lets pass.  The tables are empty copies, whose other columns are null.
BEGIN;
SELECT no_plan();
SET LOCAL client_min_messages = warning;
CREATE SCHEMA pgtap_checks;
DO $$
DECLARE
    t regclass;
    a name;
BEGIN
    FOR t IN SELECT DISTINCT c.conrelid::regclass FROM pg_constraint c JOIN pg_class k ON k.oid = c.conrelid
             WHERE c.contype = 'c' AND NOT k.relispartition AND k.relnamespace IN ('economy'::regnamespace, 'economy_internal'::regnamespace) LOOP
        EXECUTE format('CREATE TABLE pgtap_checks.%I (LIKE %s INCLUDING CONSTRAINTS)', (SELECT relname FROM pg_class WHERE oid = t), t);
        FOR a IN SELECT attname FROM pg_attribute WHERE attrelid = t AND attnum > 0 AND attnotnull AND NOT attisdropped LOOP
            EXECUTE format('ALTER TABLE pgtap_checks.%I ALTER COLUMN %I DROP NOT NULL', (SELECT relname FROM pg_class WHERE oid = t), a);
        END LOOP;
    END LOOP;
END
$$;

-- a table, its CHECK without the table's name, columns, what it refuses of them, and what it does not
CREATE TEMP TABLE asked (tab text, name text, columns text, refused text, passed text);
INSERT INTO asked VALUES
    ('accounts', 'gold', 'gold', $$-1 ; 9007199254740992$$, $$0 ; 9007199254740991$$),
    ('accounts', 'xp', 'experience_points', $$-1 ; 9007199254740992$$, $$0 ; 9007199254740991$$),
    ('accounts', 'seq', 'seq', $$-1$$, $$0 ; 9223372036854775807$$),
    ('accounts', 'pruned_seq', 'seq, pruned_seq', $$5, -1 ; 5, 6$$, $$5, 0 ; 5, 5$$),
    ('accounts', 'streak_freezes', 'streak_freezes', $$-1$$, $$0$$),
    ('accounts', 'head_hash', 'head_hash', $$'' ; substr(sha256(''), 2) ; sha256('') || 'x'$$, $$sha256('')$$),
    ('accounts', 'sections', 'sections', $$'' ; decode(repeat('00', 3073), 'hex')$$, $$decode('00', 'hex') ; decode(repeat('00', 3072), 'hex') ; NULL$$),
    ('audit_runs', 'kind', 'kind', $$'Full' ; ''$$, $$'full' ; 'since' ; 'incremental'$$),
    ('audit_runs', 'next_user', 'next_user, finished_at', $$1, '2031-01-01'$$, $$1, NULL ; NULL, '2031-01-01' ; NULL, NULL$$),
    ('config_changes', 'change_no', 'change_no', $$0 ; -1$$, $$1$$),
    ('config_changes', 'hash', 'hash', $$'' ; substr(sha256(''), 2) ; sha256('') || 'x'$$, $$sha256('')$$),
    ('daily_rewards', 'contents', 'contents', $$'{}' ; '[]' ; '{"a": 0}' ; '{"a": 1.5}'$$, $$'{"a": 1}' ; NULL$$),
    ('daily_rewards', 'continues', 'reward_day, continues_at', $$2, 0 ; 2, 3$$, $$2, 1 ; 2, 2 ; 2, NULL$$),
    ('daily_rewards', 'day', 'reward_day', $$0 ; 367$$, $$1 ; 366$$),
    ('daily_rewards', 'gold', 'gold', $$-1 ; 9007199254740992$$, $$0 ; 9007199254740991$$),
    ('daily_rewards', 'xp', 'xp', $$-1 ; 9007199254740992$$, $$0 ; 9007199254740991$$),
    ('event_types', 'name', 'name', $$'' ; 'Purchase' ; '1st' ; '_a' ; 'a-b' ; repeat('a', 64) ; E'a\nb'$$, $$'a' ; 'a_1' ; repeat('a', 63)$$),
    ('event_types', 'sample', 'version, sample', $$1, NULL$$, $$0, NULL ; 1, '{}'$$),
    ('event_types', 'version', 'version, sample', $$-1, '{}'$$, $$0, '{}'$$),
    ('game_stats_more', 'total', 'wins, losses, draws', $$-1, 0, 0 ; 0, -1, 0 ; 0, 0, -1 ; 9223372036854775807, 0, 1 ; 9223372036854775807, 1, 0 ; 1, 9223372036854775807, 9223372036854775807$$, $$0, 0, 0 ; 9223372036854775805, 1, 1$$),
    ('games', 'game', 'game', $$'' ; repeat('g', 65) ; repeat(E'\u20ac', 22)$$, $$'g' ; repeat('g', 64) ; repeat(E'\u20ac', 21)$$),
    ('games', 'rules', 'rules', $$'[]' ; '1' ; 'null'$$, $$'{}'$$),
    ('invite_codes', 'code', 'code', $$'' ; repeat('c', 65)$$, $$'c' ; repeat('c', 64)$$),
    ('fulfilments', 'attempts', 'attempts', $$-1$$, $$0$$),
    ('fulfilments', 'done', 'fulfilled_at, refunded_at, visible_at', $$NULL, NULL, 'infinity' ; now(), NULL, now() ; NULL, now(), now()$$, $$NULL, NULL, now() ; now(), NULL, 'infinity' ; NULL, now(), 'infinity'$$),
    ('fulfilments', 'refunded', 'fulfilled_at, refunded_at, visible_at', $$now(), now(), 'infinity'$$, $$now(), NULL, 'infinity'$$),
    ('shop_debts', 'gold', 'gold', $$0 ; -1$$, $$1$$),
    ('shop_refunds', 'asked', 'asked, quantity, restocked', $$2, 1, 0 ; 1, 2, 0$$, $$2, 2, 0 ; NULL, 2, 0$$),
    ('shop_refunds', 'debt', 'debt_gold, policy', $$1, 'refuse'$$, $$0, 'refuse' ; 1, 'take_available'$$),
    ('shop_refunds', 'debt_gold', 'debt_gold, policy', $$-1, 'take_available'$$, $$0, 'take_available'$$),
    ('shop_refunds', 'monetary', 'monetary', $$-1$$, $$0$$),
    ('shop_refunds', 'policy', 'policy', $$'take' ; ''$$, $$'refuse' ; 'take_available'$$),
    ('shop_refunds', 'purchase', 'user_id, seq, reverses, purchase', $$1, 3, 3, 'P1-3' ; 1, 3, 0, 'P1-0' ; 1, 3, 2, 'P1-1' ; 2, 3, 2, 'P1-2'$$, $$1, 3, 2, 'P1-2' ; 1, 3, 1, 'P1-1'$$),
    ('shop_refunds', 'quantity', 'quantity, restocked', $$0, 0$$, $$1, 0$$),
    ('shop_refunds', 'restocked', 'restocked, quantity', $$1, 2 ; -1, 2 ; 3, 2$$, $$0, 2 ; 2, 2$$),
    ('fulfilments', 'note', 'note', $$'[]' ; '1'$$, $$'{}' ; NULL$$),
    ('shop_reservations', 'quantity', 'quantity, state, closed_at', $$0, 'released', now() ; -1, 'released', now()$$, $$1, 'released', now()$$),
    ('shop_reservations', 'after_seq', 'after_seq, seq, state, closed_at', $$-1, NULL, 'released', now()$$, $$0, NULL, 'released', now() ; 1, NULL, 'released', now()$$),
    ('shop_reservations', 'state', 'state, closed_at', $$'Held', now() ; '', now()$$, $$'held', NULL ; 'released', now() ; 'expired', now()$$),
    ('shop_reservations', 'time', 'made_at, expires_at, state, closed_at', $$'2031-01-02', '2031-01-02', 'released', now() ; '2031-01-03', '2031-01-02', 'released', now()$$, $$'2031-01-01', '2031-01-02', 'released', now()$$),
    ('shop_reservations', 'held', 'state, closed_at, expires_at, due_at', $$'held', now(), '2031-01-02', '2031-01-02' ; 'held', NULL, '2031-01-02', '2031-01-03' ; 'released', NULL, '2031-01-02', '2031-01-02'$$, $$'held', NULL, '2031-01-02', '2031-01-02' ; 'released', now(), '2031-01-02', '2031-03-02'$$),
    ('shop_reservations', 'used', 'state, closed_at, after_seq, seq', $$'used', now(), 0, NULL ; 'released', now(), 0, 1 ; 'used', now(), 2, 2$$, $$'used', now(), 0, 1 ; 'released', now(), 0, NULL$$),
    ('holding_changes', 'operation', 'operation', $$'Grant' ; ''$$, $$'grant' ; 'draw' ; 'consume' ; 'spend' ; 'transfer_out' ; 'transfer_in' ; 'escrow_hold' ; 'escrow_close' ; 'escrow_in' ; 'debt'$$),
    ('mission_templates', 'mission', 'mission', $$'' ; repeat('m', 49) ; 'a b' ; 'a:b' ; E'a\n'$$, $$'m' ; repeat('m', 48) ; 'A.b-c_1'$$),
    ('mission_templates', 'version', 'version', $$0 ; -1$$, $$1$$),
    ('mission_templates', 'number', 'number', $$0 ; 100000$$, $$1 ; 99999$$),
    ('mission_templates', 'trigger', 'trigger', $$'Action' ; ''$$, $$'action' ; 'purchase' ; 'reward' ; 'entry'$$),
    ('mission_templates', 'progress', 'progress, field, period', $$'Count', 'a', 'daily' ; 'least', 'a', 'daily'$$, $$'count', NULL, 'once' ; 'sum', 'a', 'once' ; 'max', 'a', 'once' ; 'distinct', 'a', 'once' ; 'streak', NULL, 'daily'$$),
    ('mission_templates', 'streak', 'progress, field, period', $$'streak', NULL, 'once' ; 'streak', NULL, 'repeat' ; 'streak', NULL, 'rolling 24'$$, $$'streak', NULL, 'daily' ; 'streak', NULL, 'weekly' ; 'count', NULL, 'once'$$),
    ('mission_templates', 'field', 'progress, field', $$'count', 'a' ; 'sum', NULL ; 'distinct', NULL ; 'streak', 'a'$$, $$'count', NULL ; 'max', 'a'$$),
    ('mission_templates', 'distinct', 'progress, field, target', $$'distinct', 'a', 65$$, $$'distinct', 'a', 64 ; 'max', 'a', 65$$),
    ('mission_templates', 'target', 'target', $$0 ; 9007199254740992$$, $$1 ; 9007199254740991$$),
    ('mission_templates', 'increment_cap', 'increment_cap', $$0 ; -1$$, $$1 ; NULL$$),
    ('mission_templates', 'period', 'period', $$'Daily' ; 'monthly' ; 'repeat 0' ; 'repeat 1000000' ; 'rolling' ; 'rolling 8785' ; 'rolling 01'$$, $$'once' ; 'daily' ; 'weekly' ; 'repeat' ; 'repeat 1' ; 'repeat 999999' ; 'rolling 1' ; 'rolling 8784'$$),
    ('mission_templates', 'ends_at', 'starts_at, ends_at', $$'2031-01-01', '2031-01-01' ; '2031-01-02', '2031-01-01'$$, $$'2031-01-01', '2031-01-02' ; '2031-01-01', NULL$$),
    ('mission_templates', 'claim_hours', 'claim_hours', $$-1 ; 8785$$, $$0 ; 8784$$),
    ('mission_templates', 'gold', 'gold', $$-1 ; 9007199254740992$$, $$0 ; 9007199254740991$$),
    ('mission_templates', 'xp', 'xp', $$-1 ; 9007199254740992$$, $$0 ; 9007199254740991$$),
    ('mission_templates', 'items', 'items', $$'{}' ; '[]' ; '{"a": 0}' ; '{"a": 1.5}'$$, $$'{"a": 1}' ; NULL$$),
    ('mission_templates', 'texts', 'texts', $$'[]' ; '{"en": "a"}'$$, $$'{}' ; '{"en": {}}'$$),
    ('seasons', 'season', 'season', $$'' ; repeat('s', 49) ; 'a b' ; 'a:b' ; E'a\n'$$, $$'s' ; repeat('s', 48) ; 'A.b-c_1'$$),
    ('seasons', 'claim_hours', 'claim_hours', $$-1 ; 8785$$, $$0 ; 8784$$),
    ('seasons', 'at_end', 'at_end', $$'' ; 'Claim'$$, $$'claim' ; 'forfeit'$$),
    ('seasons', 'texts', 'texts', $$'[]' ; '{"en": "a"}'$$, $$'{}' ; '{"en": {}}'$$),
    ('seasons', 'ends_at', 'starts_at, ends_at', $$'2031-01-01', '2031-01-01' ; '2031-01-02', '2031-01-01'$$, $$'2031-01-01', '2031-01-02'$$),
    ('items', 'item_id', 'item_id', $$'' ; repeat('i', 65) ; repeat(E'\u20ac', 22)$$, $$'i' ; repeat('i', 64) ; repeat(E'\u20ac', 21)$$),
    ('items', 'kind', 'kind', $$'Stack' ; ''$$, $$'stack' ; 'currency'$$),
    ('items', 'maximum', 'maximum', $$0 ; -1 ; 9007199254740992$$, $$1 ; 9007199254740991 ; NULL$$),
    ('items', 'texts', 'texts', $$'[]' ; '1' ; '{"en": "a"}' ; '{"en": []}' ; '{"en": [{}]}' ; '{"en": {}, "de": null}'$$, $$'{}' ; '{"en": {}}' ; '{"en": {"name": "a", "more": [1]}, "de": {}}'$$),
    ('items', 'extra', 'extra', $$'[]' ; '1' ; 'null'$$, $$'{}'$$),
    ('items', 'pass', 'kind, consumable', $$'pass', true$$, $$'pass', false ; 'stack', true ; 'currency', false$$),
    ('job_runs', 'state', 'state, ended_at', $$'Done', '2031-01-01' ; '', '2031-01-01'$$, $$'running', NULL ; 'done', '2031-01-01' ; 'failed', '2031-01-01' ; 'skipped', '2031-01-01' ; 'lost', '2031-01-01'$$),
    ('job_runs', 'ended', 'state, ended_at', $$'running', '2031-01-01' ; 'done', NULL ; 'lost', NULL$$, $$'running', NULL ; 'done', '2031-01-01'$$),
    ('leaderboards', 'board', 'board', $$'' ; repeat('b', 65)$$, $$'b' ; repeat('b', 64)$$),
    ('leaderboards', 'figure', 'figure', $$'Wins' ; ''$$, $$'wins' ; 'max_win' ; 'win_sum' ; 'bet_sum' ; 'net' ; 'total' ; 'win_rate'$$),
    ('leaderboards', 'period', 'period', $$'year' ; ''$$, $$'all' ; 'day' ; 'week' ; 'month'$$),
    ('leaderboards', 'min_games', 'min_games', $$0 ; -1$$, $$1$$),
    ('leaderboards', 'audience', 'audience', $$'' ; 'All'$$, $$'all' ; 'active'$$),
    ('leaderboards', 'keep', 'keep', $$0 ; -1$$, $$1 ; NULL$$),
    ('leaderboards', 'prizes', 'prizes', $$'{}' ; 'null' ; '1'$$, $$'[]'$$),
    ('leaderboards', 'texts', 'texts', $$'[]' ; '1' ; '{"en": "a"}'$$, $$'{}' ; '{"en": {}}'$$),
    ('leaderboards', 'extra', 'extra', $$'[]' ; '1' ; 'null'$$, $$'{}'$$),
    ('leaderboards', 'season', 'period, first_day, last_day', $$'season', NULL, NULL ; 'season', '2031-01-01', NULL ; 'season', NULL, '2031-01-01' ; 'season', '2031-01-02', '2031-01-01' ; 'season', '2031-01-01', 'infinity' ; 'season', '-infinity', '2031-01-01' ; 'day', '2031-01-01', '2031-01-01' ; 'day', NULL, '2031-01-01'$$, $$'season', '2031-01-01', '2031-01-01' ; 'day', NULL, NULL$$),
    ('leaderboards', 'item', 'figure, item_id, period', $$'wins', 'gem', 'all' ; 'item', NULL, 'all'$$, $$'wins', NULL, 'all' ; 'item', 'gem', 'all'$$),
    ('leaderboards', 'state', 'figure, period, game, min_games', $$'xp', 'day', NULL, 1 ; 'xp', 'all', 'slot', 1 ; 'streak', 'all', NULL, 2$$, $$'xp', 'all', NULL, 1 ; 'wins', 'day', 'slot', 2$$),
    ('leaderboards', 'ends', 'period, prizes', $$'all', '[{}]'$$, $$'all', '[]' ; 'day', '[{}]'$$),
    ('leaderboard_periods', 'users', 'users', $$-1$$, $$0$$),
    ('leaderboard_periods', 'days', 'first_day, last_day', $$'2031-01-02', '2031-01-01'$$, $$'2031-01-01', '2031-01-01' ; '-infinity', 'infinity'$$),
    ('leaderboard_periods', 'closed', 'closed_at, checksum, prizes, paid_at', $$'2031-01-01', NULL, '[]', NULL ; '2031-01-01', 1, NULL, NULL ; NULL, 1, NULL, NULL ; NULL, NULL, '[]', NULL ; NULL, NULL, NULL, '2031-01-01'$$, $$NULL, NULL, NULL, NULL ; '2031-01-01', 1, '[]', NULL ; '2031-01-01', 1, '[]', '2031-01-01'$$),
    ('leaderboard_refusals', 'rank', 'rank', $$0 ; -1$$, $$1$$),
    ('leaderboard_buckets', 'users', 'users', $$-1$$, $$0$$),
    ('leaderboard_state', 'only_row', 'only_row', $$false$$, $$true$$),
    ('level_curves', 'curve', 'curve', $$'' ; 'linear' ; repeat('c', 65)$$, $$'c' ; 'Linear' ; repeat('c', 64)$$),
    ('level_curves', 'level', 'level', $$0 ; -1$$, $$1$$),
    ('level_curves', 'xp', 'xp', $$-1 ; 9007199254740992$$, $$0 ; 9007199254740991$$),
    ('level_experiments', 'arm', 'arm', $$'' ; repeat('a', 65)$$, $$'a' ; repeat('a', 64)$$),
    ('level_experiments', 'experiment', 'experiment', $$'' ; repeat('e', 65)$$, $$'e' ; repeat('e', 64)$$),
    ('level_experiments', 'share', 'share', $$-1 ; 10001$$, $$0 ; 10000$$),
    ('recommendation_arms', 'arm', 'arm', $$'' ; repeat('a', 65)$$, $$'a' ; repeat('a', 64)$$),
    ('recommendation_arms', 'cta', 'cta', $$'' ; repeat('c', 256)$$, $$'c' ; repeat('c', 255)$$),
    ('draw_pity', 'draws', 'draws', $$-1$$, $$0$$),
    ('draw_prizes', 'given', 'given', $$-1$$, $$0$$),
    ('draw_seeds', 'next_nonce', 'next_nonce', $$-1$$, $$0$$),
    ('draw_seeds', 'seed_number', 'seed_number', $$0$$, $$1$$),
    ('draw_seeds', 'server_seed', 'server_seed, sealed, key_version', $$NULL, repeat('s', 47)::bytea, 1 ; NULL, '', 1 ; 's', repeat('s', 48)::bytea, 0 ; 's', '', 1$$, $$NULL, repeat('s', 48)::bytea, 1 ; 's', '', 0 ; '', '', 0$$),
    ('draw_table_versions', 'version', 'version', $$0$$, $$1$$),
    ('draw_tables', 'extra', 'extra', $$'[]' ; '1' ; 'null'$$, $$'{}'$$),
    ('draw_tables', 'table_id', 'table_id', $$'' ; repeat('t', 65)$$, $$'t' ; repeat('t', 64)$$),
    ('draw_tables', 'texts', 'texts', $$'[]' ; '{"en": "a"}'$$, $$'{}' ; '{"en": {}}'$$),
    ('draw_tables', 'version', 'version, definition', $$0, '{}' ; 1, NULL ; -1, '{}'$$, $$0, NULL ; 1, '{}'$$),
    ('recommendation_arms', 'product_id', 'product_id', $$'' ; repeat('p', 65)$$, $$'p' ; repeat('p', 64) ; NULL$$),
    ('recommendation_arms', 'segment', 'segment', $$'' ; repeat('s', 65)$$, $$'s' ; repeat('s', 64)$$),
    ('recommendation_placements', 'exploration', 'exploration', $$-0.001 ; 1.001 ; 'NaN'$$, $$0 ; 1$$),
    ('recommendation_placements', 'half_life', 'half_life', $$'59 minutes 59.999999 seconds' ; '3650 days 1 microsecond'$$, $$'1 hour' ; '3650 days'$$),
    ('recommendation_placements', 'placement', 'placement', $$'' ; repeat('p', 65)$$, $$'p' ; repeat('p', 64)$$),
    ('recommendation_placements', 'policy', 'policy', $$'Rules' ; ''$$, $$'rules' ; 'thompson'$$),
    ('recommendation_placements', 'window', 'attribution_window', $$'59.999999 seconds' ; '90 days 1 microsecond'$$, $$'1 minute' ; '90 days'$$),
    ('recommendations', 'propensity', 'propensity', $$0 ; -0.1 ; 1.001 ; 'NaN'$$, $$1e-300 ; 1$$),
    ('reward_audit', 'streak_day', 'streak_day', $$-1$$, $$0 ; NULL$$),
    ('rfm_models', 'clamp', 'recency_clamp', $$0 ; 36501$$, $$1 ; 36500$$),
    ('rfm_models', 'window', 'window_days', $$0 ; 36501$$, $$1 ; 36500 ; NULL$$),
    ('rfm_models', 'model', 'model', $$'' ; repeat('m', 65)$$, $$'m' ; repeat('m', 64)$$),
    ('rfm_models', 'population', 'population', $$'All' ; ''$$, $$'active' ; 'all'$$),
    ('rfm_state', 'only_row', 'only_row', $$false$$, $$true$$),
    ('rollup_state', 'only_row', 'only_row', $$false$$, $$true$$),
    ('segment_rules', 'frequency_from', 'frequency_from', $$-1$$, $$0$$),
    ('segment_rules', 'frequency_to', 'frequency_from, frequency_to', $$3, 2$$, $$3, 3 ; 3, NULL ; NULL, 1$$),
    ('segment_rules', 'recency_from', 'recency_from', $$-1$$, $$0$$),
    ('segment_rules', 'recency_to', 'recency_from, recency_to', $$3, 2$$, $$3, 3 ; 3, NULL ; NULL, 1$$),
    ('segment_rules', 'segment', 'segment', $$'' ; repeat('s', 65)$$, $$'s' ; repeat('s', 64)$$),
    ('shop_products', 'contents', 'contents', $$'{}' ; '[]' ; '"gem"' ; '{"gem": 0}' ; '{"gem": 1.5}' ; '{"gem": "1"}' ; '{"gem": 9007199254740992}' ; '{"": 1}'$$, $$'{"gem": 1, "key": 9007199254740991}' ; NULL$$),
    ('shop_products', 'price_items', 'price_items', $$'{}' ; '1' ; '{"gem": -1}' ; '{"gem": null}'$$, $$'{"gem": 1}' ; NULL$$),
    ('shop_products', 'amounts', 'category, price_gold, granted_gold', $$'conversion', 1, 0 ; 'item', 0, 1$$, $$'conversion', 0, 1 ; 'item', 1, 0$$),
    ('shop_products', 'category', 'category', $$'Item' ; ''$$, $$'item' ; 'conversion'$$),
    ('shop_products', 'counted', 'counted, per_user_limit', $$false, 1$$, $$true, 1 ; true, NULL ; false, NULL$$),
    ('shop_products', 'effect_code', 'effect_code', $$'' ; repeat('e', 65)$$, $$'e' ; repeat('e', 64) ; NULL$$),
    ('shop_products', 'extra', 'extra', $$'[]' ; '1' ; 'null'$$, $$'{}'$$),
    ('shop_products', 'limit_period', 'limit_period, per_user_limit', $$'Day', 1 ; 'year', 1$$, $$'ever', 1 ; 'day', 1 ; 'week', 1 ; 'month', 1$$),
    ('shop_products', 'limits', 'limit_once, per_user_limit', $$true, 1$$, $$true, NULL ; false, 1 ; false, NULL$$),
    ('shop_products', 'per_user_limit', 'per_user_limit', $$0 ; -1$$, $$1 ; NULL$$),
    ('shop_products', 'period', 'starts_at, ends_at', $$'2031-01-01', '2031-01-01' ; '2031-01-02', '2031-01-01'$$, $$'2031-01-01', '2031-01-01 00:00:00.000001' ; NULL, '2031-01-01' ; '2031-01-01', NULL$$),
    ('shop_products', 'tags', 'tags', $$ARRAY[''] ; ARRAY['a', NULL] ; ARRAY[ARRAY['a'], ARRAY['b']] ; array_fill('t'::text, ARRAY[17]) ; ARRAY[repeat('t', 513)]$$, $$'{}' ; array_fill('t'::text, ARRAY[16]) ; ARRAY[repeat('t', 512)]$$),
    ('shop_products', 'texts', 'texts', $$'[]' ; '1' ; '{"en": "a"}' ; '{"en": []}' ; '{"en": [{}]}' ; '{"en": {}, "de": null}'$$, $$'{}' ; '{"en": {}}' ; '{"en": {"name": "a", "more": [1]}, "de": {}}'$$),
    ('shop_products', 'product_id', 'product_id', $$'' ; repeat('p', 65)$$, $$'p' ; repeat('p', 64)$$),
    ('shop_products', 'renewal', 'limit_period, per_user_limit', $$'day', NULL ; 'month', NULL$$, $$'ever', NULL ; 'day', 1$$),
    ('shop_products', 'stock_slots', 'stock_slots', $$-1 ; 65$$, $$0 ; 64$$),
    ('shop_stock', 'remaining', 'remaining', $$-1$$, $$0$$),
    ('shop_transactions', 'quantity', 'quantity', $$0 ; -1$$, $$1$$),
    ('shop_transactions', 'status', 'status', $$'success' ; ''$$, $$'SUCCESS' ; 'PENDING'$$),
    ('shop_user_units_more', '', 'day_units, week_units, month_units, units', $$0, 0, 0, 0 ; -1, 1, 1, 1 ; 1, -1, 1, 1 ; 1, 1, -1, 1 ; 2, 1, 2, 2 ; 2, 2, 1, 2 ; 2, 0, 0, 1 ; 1, 2, 1, 1 ; 1, 1, 2, 1$$, $$1, 1, 1, 1 ; 1, 2, 3, 3 ; 1, 3, 2, 3 ; 0, 0, 0, 1 ; 0, 0, 2, 3 ; 1, 0, 1, 1$$),
    ('shop_user_units_more', 'last_on', 'last_on', $$'infinity' ; '-infinity'$$, $$'4713-01-01 BC' ; '2031-01-01'$$),
    ('signing_keys', 'state', 'state', $$'Active' ; ''$$, $$'next' ; 'active' ; 'verify_only'$$),
    ('signing_keys', 'last_position', 'state, retired_at, last_position', $$'retired', '2031-01-01', NULL ; 'active', NULL, 1$$, $$'retired', '2031-01-01', 1 ; 'active', NULL, NULL$$),
    ('signing_keys', 'retired_at', 'state, retired_at, last_position', $$'retired', NULL, 1 ; 'verify_only', '2031-01-01', NULL$$, $$'retired', '2031-01-01', 1 ; 'verify_only', NULL, NULL$$),
    ('signing_keys', 'version', 'version', $$0 ; -1$$, $$1$$),
    ('user_actions', 'outcome', 'outcome', $$'Win' ; ''$$, $$'win' ; 'loss' ; 'draw'$$),
    ('user_changes', 'field', 'field', $$'Status' ; 'gold'$$, $$'external_id' ; 'timezone' ; 'profile' ; 'status'$$),
    ('user_changes', 'gold_delta', 'gold_delta', $$1 ; -1$$, $$0$$),
    ('user_changes', 'xp_delta', 'xp_delta', $$1 ; -1$$, $$0$$),
    ('payment_providers', 'provider', 'provider', $$'' ; repeat('p', 65) ; repeat(E'\u20ac', 22)$$, $$'p' ; repeat('p', 64) ; repeat(E'\u20ac', 21)$$),
    ('payment_providers', 'profile', 'profile', $$'Stripe' ; ''$$, $$'stripe' ; 'standard'$$),
    ('payment_orders', 'quantity', 'quantity', $$0 ; -1$$, $$1$$),
    ('payment_orders', 'amount', 'amount', $$0 ; 9007199254740992$$, $$1 ; 9007199254740991$$),
    ('payment_orders', 'attempts', 'attempts', $$-1$$, $$0$$),
    ('payment_orders', 'state', 'state, is_open, due_at, seq', $$'created', false, 'infinity', NULL ; '', false, 'infinity', NULL$$, $$'CREATED', true, now(), NULL ; 'CHARGED_BACK', false, 'infinity', 1$$),
    ('payment_orders', 'seq', 'state, is_open, due_at, seq', $$'CONFIRMED', false, 'infinity', NULL ; 'REFUNDED', false, 'infinity', NULL ; 'PENDING', true, now(), 1 ; 'EXPIRED', false, 'infinity', 1$$, $$'CONFIRMED', false, 'infinity', 1 ; 'VOIDED', false, 'infinity', NULL ; 'CONFLICT', true, 'infinity', NULL ; 'CONFLICT', false, 'infinity', 1$$),
    ('payment_orders', 'open', 'state, is_open, due_at, seq', $$'CREATED', false, now(), NULL ; 'FAILED', true, 'infinity', NULL ; 'CONFLICT', true, 'infinity', 1 ; 'CONFLICT', false, 'infinity', NULL$$, $$'PENDING', true, now(), NULL ; 'FAILED', false, 'infinity', NULL$$),
    ('payment_orders', 'stock', 'state, is_open, due_at, stock_slot', $$'FAILED', false, 'infinity', 0$$, $$'FAILED', false, 'infinity', NULL ; 'CREATED', true, now(), 0$$),
    ('payment_orders', 'due', 'state, is_open, due_at, worker', $$'FAILED', false, now(), NULL ; 'FAILED', false, 'infinity', 'w'$$, $$'FAILED', false, 'infinity', NULL ; 'CREATED', true, now(), 'w' ; 'CREATED', true, 'infinity', NULL$$),
    ('payment_orders', 'time', 'made_at, expires_at', $$'2031-01-02', '2031-01-02' ; '2031-01-03', '2031-01-02'$$, $$'2031-01-01', '2031-01-02'$$),
    ('payment_orders', 'provider_ref', 'provider_ref', $$'' ; repeat('r', 256)$$, $$'r' ; repeat('r', 255) ; NULL$$),
    ('payment_order_history', 'step', 'step, from_state', $$0, 'CREATED' ; -1, 'CREATED'$$, $$1, NULL ; 2, 'CREATED'$$),
    ('payment_order_history', 'first', 'step, from_state', $$1, 'CREATED' ; 2, NULL$$, $$1, NULL ; 2, 'CREATED'$$),
    ('shop_products', 'settlement', 'settlement, category, source_points, global_key, price_items', $$'', 'conversion', 1, false, NULL ; repeat('p', 65), 'conversion', 1, false, NULL$$, $$'p', 'conversion', 1, false, NULL ; repeat('p', 64), 'conversion', 1, false, NULL$$),
    ('shop_products', 'settled', 'settlement, category, source_points, global_key, price_items', $$'p', 'item', 1, false, NULL ; 'p', 'conversion', 0, false, NULL ; 'p', 'conversion', 1, true, NULL ; 'p', 'conversion', 1, false, '{"a": 1}'$$, $$NULL, 'item', 0, true, '{"a": 1}' ; 'p', 'conversion', 1, false, NULL$$),
    ('payment_providers', 'currency', 'currency', $$'eur' ; 'EURO' ; '' ; E'EUR\n'$$, $$'EUR' ; NULL$$),
    ('payment_providers', 'expiry_s', 'expiry_s', $$59 ; 2592001$$, $$60 ; 2592000$$),
    ('payment_providers', 'retry_base_s', 'retry_base_s, retry_cap_s', $$0, 86400 ; 3601, 86400$$, $$1, 86400 ; 3600, 86400$$),
    ('payment_providers', 'retry_cap_s', 'retry_base_s, retry_cap_s', $$1, 86401$$, $$1, 86400$$),
    ('payment_providers', 'retry', 'retry_base_s, retry_cap_s', $$2, 1$$, $$2, 2$$),
    ('payment_providers', 'max_attempts', 'max_attempts', $$0 ; 101$$, $$1 ; 100$$),
    ('payment_secrets', 'version', 'version', $$0 ; -1$$, $$1$$),
    ('payment_secrets', 'state', 'state, retired_at', $$'Active', NULL ; '', NULL$$, $$'active', NULL ; 'retired', now()$$),
    ('payment_secrets', 'retired_at', 'state, retired_at', $$'active', now() ; 'retired', NULL$$, $$'active', NULL ; 'retired', now()$$),
    ('promo_codes', 'code', 'code', $$'AB' ; 'abc' ; 'A B' ; repeat('A', 41)$$, $$'ABC' ; repeat('A', 40) ; 'A-_9'$$),
    ('promo_codes', 'kind', 'kind', $$'half' ; ''$$, $$'percent' ; 'amount' ; 'bonus'$$),
    ('promo_codes', 'value', 'kind, value', $$'amount', 0 ; 'amount', 9007199254740992$$, $$'amount', 1 ; 'amount', 9007199254740991$$),
    ('promo_codes', 'percent', 'kind, value', $$'percent', 101$$, $$'percent', 100 ; 'amount', 101$$),
    ('promo_codes', 'products', 'products', $$'[]' ; '"a"' ; '[1]' ; '{}' ; 'null'$$, $$'["a"]' ; NULL$$),
    ('promo_codes', 'max_quantity', 'max_quantity', $$0 ; 1000001$$, $$1 ; 1000000$$),
    ('promo_codes', 'max_per_user', 'max_per_user', $$0$$, $$1 ; NULL$$),
    ('promo_codes', 'max_uses', 'max_uses', $$0 ; 9007199254740992$$, $$1 ; 9007199254740991 ; NULL$$),
    ('promo_codes', 'budget_gold', 'budget_gold', $$0 ; 9007199254740992$$, $$1 ; 9007199254740991 ; NULL$$),
    ('promo_codes', 'period', 'starts_at, ends_at', $$'2031-01-02', '2031-01-02' ; '2031-01-03', '2031-01-02'$$, $$'2031-01-01', '2031-01-02' ; NULL, '2031-01-02'$$),
    ('promo_stock', 'remaining', 'remaining', $$-1$$, $$0$$),
    ('promo_uses', 'gold', 'gold', $$0$$, $$1$$),
    ('rate_limits', 'limit_id', 'limit_id, burst, refill, period_seconds', $$'', 1, 1, 1 ; repeat('p', 65), 1, 1, 1$$, $$'p', 1, 1, 1 ; repeat('p', 64), 1, 1, 1$$),
    ('rate_limits', 'burst', 'burst, refill, period_seconds', $$0, 1, 1 ; 1000001, 1, 1$$, $$1, 1, 1 ; 1000000, 1, 1$$),
    ('rate_limits', 'refill', 'burst, refill, period_seconds', $$1, 0, 1 ; 1, 1000001, 1$$, $$1, 1, 1 ; 1, 1000000, 1$$),
    ('rate_limits', 'period', 'burst, refill, period_seconds', $$1, 1, 0 ; 1, 1, 31622401$$, $$1, 1, 1 ; 1, 1, 31622400$$),
    ('rate_limits', 'sum', 'burst, refill, period_seconds', $$11, 1, 31622400 ; 1000000, 1, 317$$, $$10, 1, 31622400 ; 1000000, 1, 316$$),
    ('transfer_rules', 'age', 'minimum_age_hours', $$-1 ; 876001$$, $$0 ; 876000$$),
    ('transfer_rules', 'daily', 'daily_gold', $$-1 ; 9007199254740992$$, $$0 ; 9007199254740991 ; NULL$$),
    ('transfer_rules', 'fee', 'fee_per_mille', $$-1 ; 1001$$, $$0 ; 1000$$),
    ('transfer_rules', 'rules', 'rules', $$'All' ; ''$$, $$'all'$$),
    ('user_holdings_more', 'balance', 'balance', $$-1 ; 9007199254740992$$, $$0 ; 9007199254740991$$),
    ('users', 'external_id', 'external_id', $$'' ; repeat('e', 256) ; repeat(E'\u20ac', 86)$$, $$'e' ; repeat('e', 255) ; repeat(E'\u20ac', 85) ; NULL$$),
    ('users', 'profile', 'profile', $$'[]' ; '1' ; 'null' ; jsonb_build_object('a', repeat('x', 4088))$$, $$'{}' ; jsonb_build_object('a', repeat('x', 4087))$$);
INSERT INTO asked SELECT 'rfm_models', n || '_kind', n || '_kind', $$'Fixed' ; ''$$, $$'fixed' ; 'quantile' ; 'quantile_plus_one'$$ FROM unnest(ARRAY['recency', 'frequency', 'monetary']) n;
INSERT INTO asked SELECT 'rfm_models', n || '_weight', n || '_weight', $$-0.0001 ; 1.0001 ; 'NaN'$$, $$0 ; 1$$ FROM unnest(ARRAY['recency', 'frequency', 'monetary']) n;
INSERT INTO asked SELECT 'segment_rules', 'monetary_' || n, 'monetary_' || n, $$'p61' ; 'P60' ; '' ; '-1' ; '1.5' ; '12345678901234567' ; 'p60 '$$, $$'p60' ; 'p95' ; '0' ; '1234567890123456' ; NULL$$ FROM unnest(ARRAY['from', 'below']) n;
INSERT INTO asked SELECT 'shop_products', n, n, $$-1 ; 9007199254740992$$, $$0 ; 9007199254740991$$ FROM unnest(ARRAY['price_gold', 'granted_gold', 'monetary', 'source_points', 'granted_xp']) n;
-- the header that every journal has
INSERT INTO asked SELECT j, v.name, v.col, v.refused, v.passed
FROM unnest(ARRAY['shop_transactions', 'reward_audit', 'user_actions', 'gold_adjustments', 'user_changes', 'holding_changes', 'shop_refunds']) j,
     (VALUES ('gold', 'gold', '-1', '0'), ('xp', 'experience_points', '-1', '0'), ('seq', 'seq', '0', '1')) v (name, col, refused, passed);
UPDATE asked SET name = concat_ws('_', tab, nullif(name, ''), 'check');

SELECT set_eq('SELECT tab || '' '' || name FROM asked', $$SELECT k.relname || ' ' || c.conname FROM pg_constraint c JOIN pg_class k ON k.oid = c.conrelid
    WHERE c.contype = 'c' AND NOT k.relispartition AND k.relnamespace IN ('economy'::regnamespace, 'economy_internal'::regnamespace)$$, 'every CHECK is asked');
-- the constraint that refuses a row, or none
CREATE FUNCTION pg_temp.refuses(tab text, columns text, given text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    name text;
BEGIN
    EXECUTE format('INSERT INTO pgtap_checks.%I (%s) VALUES (%s)', tab, columns, given);
    RETURN 'none';
EXCEPTION WHEN check_violation THEN
    GET STACKED DIAGNOSTICS name = CONSTRAINT_NAME;
    RETURN name;
END
$$;
SELECT is(pg_temp.refuses(tab, columns, given), name, format('%s of %s: %s', columns, tab, given)) FROM asked, unnest(string_to_array(refused, ' ; ')) given;
SELECT is(pg_temp.refuses(tab, columns, given), 'none', format('%s of %s may be %s', columns, tab, given)) FROM asked, unnest(string_to_array(passed, ' ; ')) given;
SELECT * FROM finish();
ROLLBACK;
