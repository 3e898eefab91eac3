-- What a call changes is what access_list() says, for every function of every level,
-- called with arguments that do something; a monitor changes nothing.
BEGIN;
SELECT plan(10);

CREATE ROLE pgtap_app;
CREATE ROLE pgtap_monitor;
CREATE ROLE pgtap_operator;
CREATE ROLE pgtap_admin;
SELECT economy.grant_access(role, replace(role, 'pgtap_', '')) FROM (VALUES ('pgtap_app'), ('pgtap_monitor'), ('pgtap_operator'), ('pgtap_admin')) v (role) \g /dev/null

-- an economy in which everything has happened once, some of it long ago
SET LOCAL economy.test_clock = '2020-01-31 12:00:00+00';
SELECT economy.register('pgtap calls') AS u \gset
SELECT FROM economy.adjust_gold(:u, 100000, 'open', 'r', 'a') \g /dev/null
SELECT FROM economy.upsert_product('{"product_id": "pgtap_x", "category": "item", "price_gold": 1}', 'pgtap') \g /dev/null
SELECT economy.add_stock('pgtap_x', 900, 'pgtap') \g /dev/null
SELECT economy.register_game('pgtap_game') \g /dev/null
SELECT FROM economy.purchase(:u, 'pgtap_x', 'k0') \g /dev/null
SELECT FROM economy.grant_reward(:u, 'pgtap', 'e0', 5, 5) \g /dev/null
SELECT economy.register('pgtap calls of old') AS old \gset
SELECT FROM economy.grant_reward(:old, 'pgtap', 'e0', 5, 5) \g /dev/null
SELECT FROM economy.grant_reward(:old, 'pgtap', 'e00', 5, 5) \g /dev/null
SELECT FROM economy.adjust_gold(:u, 1, 'open 2', 'r', 'a') \g /dev/null
SELECT FROM economy.upsert_item('{"item_id": "pgtap_gem", "kind": "currency", "tradable": true}', 'a') \g /dev/null
SELECT FROM economy.set_level_curve('pgtap_all', '{0, 10}') \g /dev/null
SELECT FROM economy.set_transfer_rules('{"enabled": true}', 'a') \g /dev/null
SELECT FROM economy.set_payment_provider('{"provider": "pgtap_pay", "profile": "stripe"}', 'a') \g /dev/null
SELECT FROM economy.upsert_promo_code('{"code": "PGTAP_PROMO", "kind": "percent", "value": 10, "max_uses": 9}', 'a') \g /dev/null
SELECT FROM economy.set_rate_limit('{"limit_id": "pgtap_rate", "burst": 9, "refill": 1, "period_seconds": 1}', 'a') \g /dev/null
SELECT FROM economy.add_payment_secret('pgtap_pay', 'whsec_of_pgtap_pay', 'a') \g /dev/null
SELECT FROM economy.grant_items(:u, '{"pgtap_gem": 9}', 'r', 'i0') \g /dev/null
SELECT FROM economy.upsert_draw_table('{"table_id": "pgtap_chest", "draft": {"price": {"items": {"pgtap_gem": 1}}, "pity": {"class": "rare", "after": 2}, "entries": [{"entry": "a", "class": "rare", "weight": 9007199254740991, "items": {"pgtap_gem": 2}, "limit": 9, "else": "b"}, {"entry": "b", "weight": 1, "items": {"pgtap_gem": 2}}]}}', 'a'),
            economy.publish_draw_table('pgtap_chest', 'a'), economy.draw_commit(:u) \g /dev/null
SELECT FROM economy.upsert_leaderboard('{"board": "pgtap_xp", "figure": "xp", "period": "all"}', 'a') \g /dev/null
-- a day that is closed, and a prize
SELECT FROM economy.upsert_leaderboard('{"board": "pgtap_day", "figure": "wins", "period": "day", "prizes": [{"upto": 1, "gold": 1}]}', 'a') \g /dev/null
INSERT INTO economy.leaderboard_periods (board, first_day, last_day, users, closed_at, checksum, prizes)
    SELECT b.board, '2001-01-01', '2001-01-01', 1, pg_catalog.now(), -:u, b.prizes FROM economy.leaderboards b WHERE b.board = 'pgtap_day';
INSERT INTO economy.leaderboard_scores VALUES (:u, 'pgtap_day', '2001-01-01', -1);
INSERT INTO economy_internal.leaderboard_buckets VALUES ('pgtap_day', '2001-01-01', -9223372036854775808, 1);
INSERT INTO economy.leaderboard_refusals VALUES ('pgtap_day', '2000-01-01', :u, 1, '{"gold": 1}', 'USER_SUSPENDED', pg_catalog.now());
CREATE TABLE public.pgtap_rewards (LIKE economy.reward_audit);
CREATE TABLE public.pgtap_adjustments (LIKE economy.gold_adjustments);
GRANT SELECT, INSERT ON pgtap_rewards, pgtap_adjustments TO PUBLIC;
SELECT FROM economy.publish_mission('{"mission": "pgtap.one", "trigger": "action", "target": 1, "gold": 1}', 'a') one, economy.publish_mission('{"mission": "pgtap.two", "trigger": "action", "target": 1, "items": {"pgtap_gem": 1}}', 'a') two \g /dev/null
SELECT FROM unnest(ARRAY['pgtap_xp', 'pgtap_xp2']) i, economy.upsert_item(jsonb_build_object('item_id', i, 'kind', 'stack', 'consumable', false), 'pgtap') x,
    economy.publish_season(jsonb_build_object('season', i, 'xp_item', i, 'ends_at', '2100-01-01T00:00:00Z', 'tiers', '[{"xp": 1, "rewards": {"free": {"gold": 1}}}, {"xp": 2, "rewards": {"free": {"items": {"pgtap_gem": 1}}}}]'::jsonb), 'a') s,
    economy.grant_items(:u, jsonb_build_object(i, 5), 'pgtap', 'season ' || i) g \g /dev/null
SELECT FROM economy.record_action(:u, 'pgtap_game', 'SPIN', 'a0', 1, 2) \g /dev/null
SELECT FROM economy.record_action(:u, 'pgtap_game', 'SPIN', 'a00', 1, 2) \g /dev/null
SET LOCAL economy.test_clock = '';
SELECT economy.anchor() \g /dev/null
SELECT economy.set_recommendations('pgtap', '{}', (SELECT jsonb_agg(jsonb_build_object('segment', r.segment, 'arm', 'a', 'cta', 'c', 'product_id', 'pgtap_x'))
                                                   FROM (SELECT DISTINCT segment FROM economy.rfm_rules()) r), 'pgtap') \g /dev/null
SELECT economy.rfm_refresh() \g /dev/null
SELECT economy.rotate_signing_key() - 1 AS old_key \gset
SELECT decision_id AS d FROM economy.recommend(:u, 'home') \gset
CREATE TABLE public.pgtap_source AS SELECT 1 AS id, pg_catalog.now() AS ts, 5 AS amount;
GRANT SELECT ON pgtap_source TO PUBLIC;
-- left over from before: the incremental refresh and the rollup have something to do
SELECT FROM economy.purchase(:u, 'pgtap_x', 'k00') \g /dev/null
SELECT FROM economy.reserve(:u, 'pgtap_x', 'c0') \g /dev/null
SELECT FROM economy.upsert_product('{"product_id": "pgtap_mail", "category": "item", "price_gold": 1, "fulfilment": true}', 'pgtap') \g /dev/null
SELECT transaction_id AS mail FROM economy.purchase(:u, 'pgtap_mail', 'k0') \gset
SELECT FROM economy.purchase(:u, 'pgtap_mail', 'k1') \g /dev/null
SELECT FROM economy.set_payment_provider('{"provider": "pgtap_pay", "currency": "EUR"}', 'a') \g /dev/null
SELECT FROM economy.upsert_product('{"product_id": "pgtap_pack", "category": "conversion", "source_points": 1, "granted_gold": 1, "settlement": "pgtap_pay"}', 'a') \g /dev/null
SELECT detail -> 'order' ->> 'order_id' AS paid FROM economy.purchase(:u, 'pgtap_pack', 'k0') \gset
SELECT detail -> 'order' ->> 'order_id' AS hooked FROM economy.purchase(:u, 'pgtap_pack', 'k1') \gset
SELECT detail -> 'order' ->> 'order_id' AS unclear FROM economy.purchase(:u, 'pgtap_pack', 'k2') \gset
SELECT FROM economy.settlement_report(:'unclear', 'refunded', 'w') \g /dev/null
SELECT transaction_id AS escrow FROM economy.hold_escrow(:u, 'h1', 1, '{"pgtap_gem": 1}') \gset
SELECT transaction_id AS other_escrow FROM economy.hold_escrow(:u, 'h2', 1) \gset
SELECT count(*) AS x FROM unnest(ARRAY['o0', 'o9']) o, economy.open_action(:u, 'crash', 'B', o, 1) \gset

-- HMAC-SHA256, by its definition
CREATE FUNCTION pg_temp.hmac_of(key text, message text) RETURNS text LANGUAGE sql AS $$
    SELECT encode(sha256(p.outer_pad || sha256(p.inner_pad || convert_to(message, 'UTF8'))), 'hex')
    FROM (SELECT string_agg(set_byte(decode('00', 'hex'), 0, get_byte(k.key, n) # 92), '' ORDER BY n) AS outer_pad, string_agg(set_byte(decode('00', 'hex'), 0, get_byte(k.key, n) # 54), '' ORDER BY n) AS inner_pad
          FROM (SELECT convert_to(hmac_of.key, 'UTF8') || decode(repeat('00', 64 - length(hmac_of.key)), 'hex')) k (key), generate_series(0, 63) n) p $$;
CREATE TEMP TABLE call (n integer GENERATED ALWAYS AS IDENTITY, object text, statement text);
INSERT INTO call (object, statement)
SELECT object, replace(statement, ':u', :'u') FROM (VALUES
    ('account', 'SELECT * FROM economy.account(:u)'),
    ('asyncapi', 'SELECT economy.asyncapi()'),
    ('changes', 'SELECT * FROM economy.changes(''start'', 1000)'),
    ('changes', 'SELECT * FROM economy.changes(NULL, 1000)'),
    ('claim_daily_reward', 'SELECT * FROM economy.claim_daily_reward(:u)'),
    ('game_stats_me', 'SELECT * FROM economy.game_stats_me(:u)'),
    ('record_action', 'SELECT * FROM economy.record_action(:u, ''pgtap_game'', ''SPIN'', ''a1'', 1, 2)'),
    ('record_action_code', 'SELECT economy.record_action_code(:u, ''pgtap_game'', ''SPIN'', ''a3'', 1, 2)'),
    ('record_actions', format('SELECT * FROM economy.record_actions(%L)', '[{"user_id": :u, "game": "pgtap_game", "action_type": "SPIN", "action_id": "a2", "bet": 1, "win": 2}]')),
    ('record_actions', 'SELECT * FROM economy.record_actions(''{:u}'', ''{pgtap_game}'', ''{SPIN}'', ''{a3}'', ''{1}'', ''{2}'')'),
    ('grant_reward', 'SELECT * FROM economy.grant_reward(:u, ''pgtap'', ''e1'', 1, 1)'),
    ('grant_reward_code', 'SELECT economy.grant_reward_code(:u, ''pgtap'', ''e3'', 1, 1)'),
    ('grant_rewards', format('SELECT * FROM economy.grant_rewards(%L)', '[{"user_id": :u, "source": "pgtap", "external_event_id": "e2", "gold": 1}]')),
    ('grant_rewards', 'SELECT * FROM economy.grant_rewards(''{:u}'', ''{pgtap}'', ''{e3}'', ''{1}'')'),
    ('level_for', 'SELECT * FROM economy.level_for(1000, ''linear'')'),
    ('level_of', 'SELECT * FROM economy.level_of(:u, 1000)'),
    ('now', 'SELECT economy.now()'),
    ('purchase', 'SELECT * FROM economy.purchase(:u, ''pgtap_x'', ''k1'')'),
    ('purchase', 'SELECT * FROM economy.purchase(:u, ''pgtap_x'', ''k1'')'),
    ('purchase', 'SELECT * FROM economy.purchase(:u, ''pgtap_x'', ''k2'', dry_run => true)'),
    ('purchase_code', 'SELECT economy.purchase_code(:u, ''pgtap_x'', ''k5'')'),
    ('purchases', format('SELECT * FROM economy.purchases(%L)', '[{"user_id": :u, "product_id": "pgtap_x", "idempotency_key": "k3"}]')),
    ('purchases', 'SELECT * FROM economy.purchases(''{:u}'', ''{pgtap_x}'', ''{k4}'')'),
    ('product', 'SELECT * FROM economy.product(''pgtap_x'', :u)'),
    ('products', 'SELECT * FROM economy.products(:u)'),
    ('profile', 'SELECT * FROM economy.profile(:u)'),
    ('purchases_of', 'SELECT * FROM economy.purchases_of(:u)'),
    ('reserve', 'SELECT * FROM economy.reserve(:u, ''pgtap_x'', ''c1'', 2)'),
    ('release_reservation', 'SELECT * FROM economy.release_reservation(:u, ''c0'')'),
    ('unfulfilled', 'SELECT * FROM economy.unfulfilled(''w'', 1)'),
    ('orders_of', 'SELECT * FROM economy.orders_of(:u)'),
    ('settlement_reconcile', 'SELECT * FROM economy.settlement_reconcile(''pgtap_pay'', ''[]'')'),
    ('settlement_lease', 'SELECT * FROM economy.settlement_lease(''w'', 1)'),
    ('settlement_report', format('SELECT * FROM economy.settlement_report(%L, ''confirmed'', ''w'')', :'paid')),
    ('purchase', 'SELECT * FROM economy.purchase(:u, ''pgtap_pack'', ''k3'')'),
    ('webhook', (SELECT format('SELECT * FROM economy.webhook(''pgtap_pay'', %L, %L)', jsonb_build_object('stripe-signature', format('t=%s,v1=%s', w.at, pg_temp.hmac_of('whsec_of_pgtap_pay', w.at || '.' || w.body))), w.body)
                 FROM (SELECT extract(epoch FROM pg_catalog.now())::bigint AS at, format('{"report": "confirmed", "order_id": "%s"}', :'hooked') AS body) w)),
    ('fulfil', format('SELECT * FROM economy.fulfil(%s, %L, ''w'')', :u, :'mail')),
    ('grant_items', 'SELECT * FROM economy.grant_items(:u, ''{"pgtap_gem": 3}'', ''r'', ''i1'')'),
    ('consume', 'SELECT * FROM economy.consume(:u, ''pgtap_gem'', ''i1'')'),
    ('spend', 'SELECT * FROM economy.spend(:u, 1, ''r'', ''i1'', ''{"pgtap_gem": 1}'')'),
    ('transfer', 'SELECT * FROM economy.transfer(:u, economy.user_id_of(''pgtap calls of old''), ''t1'', 1, ''{"pgtap_gem": 1}'')'),
    ('hold_escrow', 'SELECT * FROM economy.hold_escrow(:u, ''e1'', 1, ''{"pgtap_gem": 1}'')'),
    ('capture_escrow', format('SELECT * FROM economy.capture_escrow(%s, %L, economy.user_id_of(''pgtap calls of old''))', :u, :'escrow')),
    ('release_escrow', format('SELECT * FROM economy.release_escrow(%s, %L)', :u, :'other_escrow')),
    ('debts_of', 'SELECT * FROM economy.debts_of(:u)'),
    ('escrows_of', 'SELECT * FROM economy.escrows_of(:u)'),
    ('open_action', 'SELECT * FROM economy.open_action(:u, ''crash'', ''B'', ''o1'', 1)'),
    ('settle_action', 'SELECT * FROM economy.settle_action(:u, ''crash'', ''o0'', 2)'),
    ('void_action', 'SELECT * FROM economy.void_action(:u, ''crash'', ''o9'')'),
    ('open_actions', 'SELECT * FROM economy.open_actions(:u)'),
    ('holdings', 'SELECT * FROM economy.holdings(:u)'),
    ('draw', 'SELECT * FROM economy.draw(:u, ''pgtap_chest'', ''d1'', ''x'')'),
    ('draw_commit', format('SELECT * FROM economy.draw_commit(%s)', :'old')),
    ('draw_reveal', 'SELECT * FROM economy.draw_reveal(:u, 1)'),
    ('draw_table', 'SELECT * FROM economy.draw_table(''pgtap_chest'')'),
    ('verify_draw', format('SELECT economy.verify_draw(%L, ''x'', 0, %L)', repeat('ab', 32), '{"hand": {}}')),
    ('simulate_draws', format('SELECT economy.simulate_draws(%L, 10)', '{"entries": [{"entry": "a", "weight": 1}]}')),
    ('item_catalogue', 'SELECT * FROM economy.item_catalogue()'),
    ('leaderboard', 'SELECT * FROM economy.leaderboard(''pgtap_xp'')'),
    ('leaderboard_info', 'SELECT * FROM economy.leaderboard_info()'),
    ('leaderboard_of', 'SELECT * FROM economy.leaderboard_of(''pgtap_xp'', ''{:u}'')'),
    ('rank_of', 'SELECT * FROM economy.rank_of(''pgtap_xp'', :u)'),
    ('missions', 'SELECT * FROM economy.missions(:u)'),
    ('claim_mission', 'SELECT * FROM economy.claim_mission(:u, ''pgtap.one'')'),
    ('claim_all', 'SELECT * FROM economy.claim_all(:u)'),
    ('mission_parity', 'SELECT * FROM economy.mission_parity()'),
    ('mission_stats', 'SELECT * FROM economy.mission_stats()'),
    ('season', 'SELECT * FROM economy.season(:u)'),
    ('claim_tier', 'SELECT * FROM economy.claim_tier(:u, ''pgtap_xp'', 2, ''free'')'),
    ('claim_season', 'SELECT * FROM economy.claim_season(:u, ''pgtap_xp'')'),
    ('mission_progress_of', 'SELECT * FROM economy_internal.mission_progress_of(decode(''01'', ''hex''), NULL)'),
    ('mission_period_key', 'SELECT economy_internal.mission_period_key(''daily'', 1, 1)'),
    ('leaderboard_parity', 'SELECT * FROM economy.leaderboard_parity()'),
    ('holds', 'SELECT economy.holds(:u, ''pgtap_gem'')'),
    ('receipt', 'SELECT * FROM economy.receipt(:u, ''P:u-2'')'),
    ('recommend', 'SELECT * FROM economy.recommend(:u, ''pgtap'')'),
    ('recommendation_feedback', format('SELECT economy.recommendation_feedback(%L, ''click'')', :'d')),
    ('register', 'SELECT economy.register(''pgtap new'')'),
    ('register_user', 'SELECT * FROM economy.register_user(''pgtap newer'')'),
    ('replay', 'SELECT * FROM economy.replay(:u, 0)'),
    ('segment', 'SELECT * FROM economy.segment(:u)'),
    ('set_timezone', 'SELECT economy.set_timezone(:u, ''Asia/Tokyo'')'),
    ('statement', 'SELECT * FROM economy.statement(:u)'),
    ('streak_preview', 'SELECT * FROM economy.streak_preview(:u, 7)'),
    ('streak_reward', 'SELECT * FROM economy.streak_reward(3)'),
    ('streak_state', 'SELECT * FROM economy.streak_state(:u)'),
    ('timezone_name', 'SELECT economy.timezone_name(''utc'')'),
    ('update_profile', 'SELECT * FROM economy.update_profile(:u, ''{"a": 1}'', ''k1'')'),
    ('unlink_external_id', 'SELECT * FROM economy.unlink_external_id(:u, ''k1'')'),
    ('link_external_id', 'SELECT * FROM economy.link_external_id(:u, ''pgtap calls'', ''k2'')'),
    ('user_id_of', 'SELECT economy.user_id_of(''pgtap calls'')'),
    ('verify_webhook', 'SELECT * FROM economy.verify_webhook(''pgtap_pay'', ''{}'', '''')'),
    ('verify_receipt', 'SELECT * FROM economy.verify_receipt(:u, ''P:u-2'')'),
    ('audit_schema', 'SELECT * FROM economy.audit_schema()'),
    ('beta_quantile', 'SELECT economy.beta_quantile(0.5, 2, 3)'),
    ('health', 'SELECT * FROM economy.health()'),
    ('job_history', 'SELECT * FROM economy.job_history()'),
    ('job_list', 'SELECT * FROM economy.job_list()'),
    ('library_version', 'SELECT economy.library_version()'),
    ('progress', 'SELECT * FROM economy.progress()'),
    ('recommendation_posteriors', 'SELECT * FROM economy.recommendation_posteriors(''pgtap'', ''New'', pg_catalog.now())'),
    ('recommendation_stats', 'SELECT * FROM economy.recommendation_stats()'),
    ('relay_status', 'SELECT * FROM economy.relay_status()'),
    ('require_given', 'SELECT economy_internal.require_given(''x'', true)'),
    ('games_of', 'SELECT * FROM economy_internal.games_of(decode(''01'', ''hex''))'),
    ('streak_of', 'SELECT * FROM economy_internal.streak_of(decode(''01'', ''hex''))'),
    ('holdings_of', 'SELECT * FROM economy_internal.holdings_of(decode(''01'', ''hex''))'),
    ('units_of', 'SELECT * FROM economy_internal.units_of(decode(''01'', ''hex''))'),
    ('rfm_bounds', 'SELECT * FROM economy.rfm_bounds(''standard'', ''pgtap_source'', pg_catalog.now())'),
    ('rfm_bounds_query', 'SELECT * FROM economy.rfm_bounds_query(''standard'', ''SELECT id, ts, amount FROM public.pgtap_source'', pg_catalog.now())'),
    ('rfm_freshness', 'SELECT * FROM economy.rfm_freshness()'),
    ('rfm_measure', 'SELECT * FROM economy_internal.rfm_measure(economy.rfm_model(''standard''), ''SELECT 1 AS recency, 1 AS frequency, 1 AS monetary'', pg_catalog.now())'),
    ('rfm_measure_query', 'SELECT * FROM economy_internal.rfm_measure_query(''SELECT 1'')'),
    ('rfm_measured', 'SELECT * FROM economy_internal.rfm_measured(economy.rfm_model(''standard''), 1, 1, ''{1,2,3,4}'', ''{1,2,3,4}'', ''{1,2,3,4}'', ''{f,f,f}'', ''{1,2}'')'),
    ('rfm_model', 'SELECT * FROM economy.rfm_model(''standard'')'),
    ('segment_figures', 'SELECT economy.segment_figures()'),
    ('rfm_rule_ranges', 'SELECT * FROM economy.rfm_rule_ranges((SELECT jsonb_agg(to_jsonb(r)) FROM economy.rfm_rules() r), 1, 2, 1)'),
    ('rfm_rules', 'SELECT * FROM economy.rfm_rules()'),
    ('rfm_score', 'SELECT * FROM economy.rfm_score(''standard'', ''pgtap_source'', pg_catalog.now())'),
    ('rfm_score_expression', 'SELECT economy_internal.rfm_score_expression(''recency'', ''quantile'', ''{1,2,3,4}'', false, ''all'')'),
    ('rfm_score_query', 'SELECT * FROM economy.rfm_score_query(''standard'', ''SELECT id, ts, amount FROM public.pgtap_source'', pg_catalog.now())'),
    ('rfm_source', 'SELECT * FROM economy_internal.rfm_source(economy.rfm_model(''standard''), ''SELECT id, ts, amount FROM public.pgtap_source'', pg_catalog.now())'),
    ('rfm_source_check', 'SELECT economy_internal.rfm_source_check(''SELECT id, ts, amount FROM public.pgtap_source'')'),
    ('segment_summary', 'SELECT * FROM economy.segment_summary()'),
    ('stats_parity', 'SELECT * FROM economy.stats_parity()'),
    ('verify_chain', 'SELECT * FROM economy.verify_chain(:u)'),
    ('wilson_interval', 'SELECT * FROM economy.wilson_interval(1, 2)'),
    ('win_rate_anomalies', 'SELECT * FROM economy.win_rate_anomalies(''pgtap_game'')'),
    ('audit_open', 'SELECT * FROM economy.audit_open()'),
    ('audit_history', 'SELECT * FROM economy.audit_history()'),
    ('audit_unknown', 'SELECT * FROM economy.audit_unknown()'),
    ('anchor', 'SELECT economy.anchor()'),
    ('last_anchor', 'SELECT economy.last_anchor()'),
    ('verify_anchor', 'SELECT economy.verify_anchor(economy.last_anchor())'),
    ('anchor_step', 'SELECT economy.anchor_step()'),
    ('audit_step', 'SELECT * FROM economy.audit_step()'),
    ('audit_sweep', 'SELECT * FROM economy.audit_sweep()'),
    ('audit_sweep_incremental', 'SELECT * FROM economy.audit_sweep_incremental()'),
    ('mission_dry_run', 'SELECT * FROM economy.mission_dry_run(''{"mission": "pgtap.four", "trigger": "entry", "target": 1}'', ''-infinity'')'),
    ('learn_recommendations', 'SELECT * FROM economy.learn_recommendations()'),
    ('rfm_refresh_incremental', 'SELECT * FROM economy.rfm_refresh_incremental()'),
    ('rollup_stats', 'SELECT * FROM economy.rollup_stats()'),
    ('refresh_leaderboards', 'SELECT * FROM economy.refresh_leaderboards()'),
    ('pay_leaderboard_prizes', 'SELECT * FROM economy.pay_leaderboard_prizes()'),
    ('retry_leaderboard_prizes', 'SELECT economy.retry_leaderboard_prizes(''pgtap_day'')'),
    ('prune', 'SELECT * FROM economy.prune(''1 day'')'),
    ('archive', 'SELECT * FROM economy.archive(''economy.reward_audit'', ''pgtap_rewards'', ''90 days'')'),
    ('archive', 'SELECT * FROM economy.archive(''economy.gold_adjustments'', ''pgtap_adjustments'', ''90 days'')'),
    ('archive_entries', 'SELECT * FROM economy.archive_entries(NULL::economy.reward_audit, ''90 days'')'),
    ('archive_entries', 'SELECT * FROM economy.archive_entries(NULL::economy.gold_adjustments, ''90 days'')'),
    ('verify_archive', 'SELECT * FROM economy.verify_archive(''economy.reward_audit'', ''pgtap_rewards'')'),
    ('archive_columns', 'SELECT economy_internal.archive_columns(''reward_audit'', ''economy.reward_audit'')'),
    ('archive_entry', 'SELECT economy_internal.archive_entry(''reward_audit'', ''economy.reward_audit'')'),
    ('archive_digest', 'SELECT economy_internal.archive_digest(NULL::economy.reward_audit) FROM generate_series(1, 0)'),
    ('archive_journal', 'SELECT economy_internal.archive_journal(''economy.reward_audit'')'),
    ('archive_last', 'SELECT economy_internal.archive_last(''reward_audit'')'),
    ('archives_of', 'SELECT * FROM economy_internal.archives_of(''reward_audit'', NULL, true)'),
    ('open_archives', 'SELECT economy_internal.open_archives()'),
    ('archive_findings', 'SELECT * FROM economy_internal.archive_findings(''economy.reward_audit'', ''pgtap_rewards'', NULL, false)'),
    ('journal_letter', 'SELECT economy_internal.journal_letter(''reward_audit'')'),
    ('require_archive', 'SELECT economy_internal.require_archive(''pgtap_rewards'', ''economy.reward_audit'')'),
    ('rfm_refresh', 'SELECT * FROM economy.rfm_refresh()'),
    -- these two cannot be called in a transaction, or without pg_cron
    ('run_job', NULL), ('schedule', NULL), ('unschedule', NULL),
    -- a trigger
    ('capture_actions', NULL),
    ('add_stock', 'SELECT economy.add_stock(''pgtap_x'', 5, ''a'')'),
    ('remove_stock', 'SELECT economy.remove_stock(''pgtap_x'', ''a'')'),
    ('adjust_gold', 'SELECT * FROM economy.adjust_gold(:u, 5, ''k5'', ''r'', ''a'')'),
    ('register_game', 'SELECT economy.register_game(''pgtap_game_2'')'),
    ('retire_product', 'SELECT economy.retire_product(''pgtap_x'', ''a'')'),
    ('retire_signing_key', format('SELECT economy.retire_signing_key(%s)', :'old_key')),
    ('refund_purchase', 'SELECT * FROM economy.refund_purchase(:u, ''P:u-2'', ''b1'', NULL, ''r'', ''a'')'),
    ('resolve_order', format('SELECT * FROM economy.resolve_order(%L, ''CONFIRMED'', ''r'', ''a'')', :'unclear')),
    ('revoke_reward', 'SELECT * FROM economy.revoke_reward(:u, ''R:u-3'', ''r'', ''a'')'),
    ('rotate_signing_key', 'SELECT economy.rotate_signing_key()'),
    ('set_level_curve', 'SELECT economy.set_level_curve(''pgtap'', ''{0, 10, 20}'')'),
    ('set_daily_rewards', 'SELECT economy.set_daily_rewards(''[{"gold": 1}]'', ''a'')'),
    ('set_default_level_curve', 'SELECT economy.set_default_level_curve(''pgtap_all'')'),
    ('set_level_experiment', 'SELECT economy.set_level_experiment(''pgtap'', ''[{"arm": "a", "curve": "linear", "share": 1}]'', true)'),
    ('set_recommendations', 'SELECT economy.set_recommendations(''pgtap 2'', ''{}'', ''[]'', ''a'')'),
    ('set_rfm_model', 'SELECT economy.set_rfm_model(''{"model": "pgtap"}'', ''a'')'),
    ('set_segment_rules', 'SELECT economy.set_segment_rules((SELECT jsonb_agg(to_jsonb(r) - ''version'' - ''position'') FROM economy.rfm_rules() r), ''a'')'),
    ('set_streak', 'SELECT * FROM economy.set_streak(:u, 3, ''2001-01-01'', ''r'', ''a'', ''k'')'),
    ('set_payment_provider', 'SELECT economy.set_payment_provider(''{"provider": "pgtap_new", "profile": "stripe"}'', ''a'')'),
    ('upsert_promo_code', 'SELECT economy.upsert_promo_code(''{"code": "PGTAP_PROMO", "max_uses": 10}'', ''a'')'),
    ('retire_promo_code', 'SELECT economy.retire_promo_code(''PGTAP_PROMO'', ''a'')'),
    ('promo_preview', 'SELECT * FROM economy.promo_preview(:u, ''pgtap_x'', ''PGTAP_PROMO'')'),
    ('set_rate_limit', 'SELECT economy.set_rate_limit(''{"limit_id": "pgtap_rate", "burst": 8}'', ''a'')'),
    ('remove_rate_limit', 'SELECT economy.remove_rate_limit(''pgtap_rate'', ''a'')'),
    ('take_rate', 'SELECT economy.take_rate(''pgtap_rate'', ''u1'')'),
    ('add_payment_secret', 'SELECT economy.add_payment_secret(''pgtap_pay'', ''whsec_of_the_calls'', ''a'')'),
    ('retire_payment_secret', 'SELECT economy.retire_payment_secret(''pgtap_pay'', 1, ''a'')'),
    ('set_transfer_rules', 'SELECT economy.set_transfer_rules(''{"fee_per_mille": 1}'', ''a'')'),
    ('set_user_status', 'SELECT economy.set_user_status(:u, ''suspended'', ''a'')'),
    ('upsert_draw_table', format('SELECT economy.upsert_draw_table(%L, ''a'')', '{"table_id": "pgtap_chest", "draft": {"hand": {}}}')),
    ('publish_draw_table', 'SELECT economy.publish_draw_table(''pgtap_chest'', ''a'')'),
    ('publish_mission', 'SELECT economy.publish_mission(''{"mission": "pgtap.three", "trigger": "action", "target": 1}'', ''a'')'),
    ('retire_mission', 'SELECT economy.retire_mission(''pgtap.two'', ''a'')'),
    ('publish_season', 'SELECT economy.publish_season(''{"season": "pgtap_xp", "position": 4}'', ''a'')'),
    ('retire_season', 'SELECT economy.retire_season(''pgtap_xp2'', ''a'')'),
    ('upsert_item', 'SELECT economy.upsert_item(''{"item_id": "pgtap_z", "kind": "stack"}'', ''a'')'),
    ('upsert_leaderboard', 'SELECT economy.upsert_leaderboard(''{"board": "pgtap_z", "figure": "wins", "period": "day"}'', ''a'')'),
    ('upsert_product', 'SELECT economy.upsert_product(''{"product_id": "pgtap_z", "category": "item", "price_gold": 1}'', ''a'')')) v (object, statement);

-- every row of every table, and every sequence
CREATE FUNCTION pg_temp.contents() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    r      record;
    one    text;
    result jsonb := '{}';
BEGIN
    FOR r IN SELECT c.relname, c.relkind, c.relnamespace::regnamespace AS schema FROM pg_class c WHERE c.relnamespace IN ('economy'::regnamespace, 'economy_internal'::regnamespace) AND c.relkind IN ('r', 'p', 'm', 'S') AND NOT c.relispartition LOOP
        EXECUTE format(CASE r.relkind WHEN 'S' THEN 'SELECT (last_value, is_called)::text FROM %s.%I'
                                      ELSE 'SELECT md5(string_agg(t::text, chr(10) ORDER BY t::text COLLATE "C")) FROM %s.%I t' END, r.schema, r.relname) INTO one;
        result := result || jsonb_build_object(r.relname, one);
    END LOOP;
    RETURN result;
END
$$;
CREATE TEMP TABLE outcome (level text, object text, statement text, changed text[], error text);
CREATE FUNCTION pg_temp.call_as(level text, object text, statement text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    before  jsonb := pg_temp.contents();
    message text;
BEGIN
    PERFORM set_config('role', 'pgtap_' || level, true);
    BEGIN
        EXECUTE statement;
    EXCEPTION WHEN OTHERS THEN
        message := sqlstate || ' ' || sqlerrm;
    END;
    PERFORM set_config('role', 'none', true);
    INSERT INTO outcome SELECT level, object, statement, ARRAY(
            SELECT a.key FROM jsonb_each_text(pg_temp.contents()) a WHERE a.value IS DISTINCT FROM before ->> a.key ORDER BY 1), message;
END
$$;

SELECT set_eq($$SELECT substring(object FROM E'economy\\w*\\.(\\w+)\\(') FROM economy.access_list()$$, 'SELECT object FROM call', 'there is a call of every function of every level');
-- each level in its turn, and all that its role may call
SELECT pg_temp.call_as(l.level, c.object, c.statement)
FROM (VALUES (1, 'monitor'), (2, 'app'), (3, 'operator'), (4, 'admin')) l (n, level)
JOIN call c ON c.statement IS NOT NULL AND EXISTS (SELECT FROM economy.access_list() a
    WHERE a.level = l.level AND substring(a.object FROM E'economy\\w*\\.(\\w+)\\(') = c.object)
ORDER BY l.n, c.n \g /dev/null

SELECT is((SELECT string_agg(format('%s as %s: %s', statement, level, error), E'\n') FROM outcome WHERE error IS NOT NULL), NULL, 'every call does what it is for');
SELECT is((SELECT string_agg(format('%s: %s', statement, changed), E'\n') FROM outcome WHERE level = 'monitor' AND changed <> '{}'), NULL, 'what a monitor calls changes nothing');
SELECT is((SELECT string_agg(DISTINCT object, ', ') FROM economy.access_list() WHERE level = 'monitor' AND changes <> ''), NULL, 'which the list says');
SELECT is((SELECT string_agg(format('%s as %s: %s', statement, level, changed), E'\n') FROM outcome o
           WHERE NOT changed <@ (SELECT string_to_array(string_agg(a.changes, ' '), ' ') FROM economy.access_list() a WHERE a.object ~ format(E'economy\\w*\\.%s\\(', o.object))), NULL,
    'no call changes what the list does not say');
SELECT is((SELECT string_agg(DISTINCT a.object, ', ') FROM economy.access_list() a, unnest(string_to_array(a.changes, ' ')) t
           WHERE to_regclass('economy.' || t) IS NULL AND to_regclass('economy_internal.' || t) IS NULL), NULL, 'which names tables and sequences that are there');
SELECT is((SELECT string_agg(a.relname, ', ') FROM pg_class a JOIN pg_class b USING (relname)
           WHERE a.relnamespace = 'economy'::regnamespace AND b.relnamespace = 'economy_internal'::regnamespace), NULL, 'by names of one schema alone');
SELECT is((SELECT string_agg(DISTINCT a.object, ', ') FROM economy.access_list() a
           WHERE a.changes <> '' AND NOT EXISTS (SELECT FROM outcome o WHERE a.object ~ format(E'economy\\w*\\.%s\\(', o.object) AND o.changed <> '{}')
             AND EXISTS (SELECT FROM outcome o WHERE a.object ~ format(E'economy\\w*\\.%s\\(', o.object))), NULL, 'and what changes something is seen to');

-- Called with what has no default, every function either refuses by its own name or
-- gets as far as its arguments: who evaluates a default is the caller.
CREATE FUNCTION pg_temp.refusal(level text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text;
BEGIN
    PERFORM set_config('role', 'pgtap_' || level, true);
    BEGIN
        EXECUTE statement;
        RAISE EXCEPTION USING ERRCODE = 'XT000';
    EXCEPTION WHEN OTHERS THEN
        message := CASE sqlstate WHEN '42501' THEN sqlerrm END;
    END;
    PERFORM set_config('role', 'none', true);
    RETURN message;
END
$$;
CREATE TEMP TABLE refusal AS
    SELECT l.level, p.oid::regprocedure AS function, p.proname, p.pronamespace::regnamespace::text AS schema, has_function_privilege('pgtap_' || l.level, p.oid, 'EXECUTE') AS may,
           pg_temp.refusal(l.level, format('%s %s.%I(%s)', CASE p.prokind WHEN 'p' THEN 'CALL' ELSE 'SELECT' END, p.pronamespace::regnamespace, p.proname,
               (SELECT string_agg('NULL::' || replace(format_type(t, NULL), 'anyelement', 'economy.reward_audit'), ', ' ORDER BY n) FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY u (t, n) WHERE n <= p.pronargs - p.pronargdefaults))) AS said
    FROM unnest(ARRAY['monitor', 'app', 'operator', 'admin']) l (level), pg_proc p
    WHERE p.oid IN (SELECT substring(a.object FROM '^[A-Z]+ (.*)')::regprocedure FROM economy.access_list() a) AND p.prorettype <> 'trigger'::regtype;
SELECT is((SELECT string_agg(format('%s as %s: %s', function, level, said), E'\n') FROM refusal WHERE may AND said IS NOT NULL), NULL, 'who may call a function may call what it calls');
SELECT is((SELECT string_agg(format('%s as %s: %s', function, level, said), E'\n') FROM refusal
           WHERE NOT may AND said IS DISTINCT FROM CASE WHEN schema <> 'economy' AND level = 'app' THEN 'permission denied for schema ' || schema ELSE format('permission denied for %s %s', CASE proname WHEN 'run_job' THEN 'procedure' WHEN 'archive_digest' THEN 'aggregate' ELSE 'function' END, proname) END), NULL,
    'who may not is told so, and not of another one');
SELECT * FROM finish();
ROLLBACK;
