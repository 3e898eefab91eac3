-- ops: access

-- What a level may call, and what a call may change: tables and sequences. Tests read
-- this list, and try everything that it does not say.
CREATE FUNCTION economy.access_list() RETURNS TABLE (level text, object text, changes text)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        VALUES
            ('app', 'FUNCTION economy.account(bigint)', ''),
            ('app', 'FUNCTION economy.asyncapi()', ''),
            ('app', 'FUNCTION economy.changes(text, integer)', ''),
            ('app', 'FUNCTION economy.claim_daily_reward(bigint)',
             'accounts mission_progress_more '
             'config_changes config_changes_change_id_seq config_heads reward_audit '
             'signing_keys'),
            ('app', 'FUNCTION economy.claim_all(bigint)',
             'accounts mission_progress_more '
             'config_changes config_changes_change_id_seq config_heads reward_audit '
             'signing_keys user_holdings_more'),
            ('app', 'FUNCTION economy.claim_mission(bigint, text, text)',
             'accounts mission_progress_more '
             'config_changes config_changes_change_id_seq config_heads reward_audit '
             'signing_keys user_holdings_more'),
            ('app', 'FUNCTION economy.missions(bigint)', ''),
            ('app', 'FUNCTION economy.season(bigint, text)', ''),
            ('app', 'FUNCTION economy.claim_season(bigint, text)',
             'accounts mission_progress_more '
             'config_changes config_changes_change_id_seq config_heads reward_audit '
             'signing_keys user_holdings_more'),
            ('app', 'FUNCTION economy.claim_tier(bigint, text, integer, text)',
             'accounts mission_progress_more '
             'config_changes config_changes_change_id_seq config_heads reward_audit '
             'signing_keys user_holdings_more'),
            ('app', 'FUNCTION economy.fulfil(bigint, text, text, jsonb)', 'fulfilments'),
            ('app', 'FUNCTION economy.game_stats_me(bigint)', ''),
            ('app', 'FUNCTION economy.grant_reward(bigint, text, text, bigint, bigint, jsonb, '
                 'jsonb)',
             'accounts mission_progress_more '
             'config_changes config_changes_change_id_seq config_heads reward_audit '
             'signing_keys user_holdings_more'),
            ('app', 'FUNCTION economy.grant_reward_code(bigint, text, text, bigint, bigint, jsonb, '
                 'jsonb)',
             'accounts mission_progress_more '
             'config_changes config_changes_change_id_seq config_heads reward_audit '
             'signing_keys user_holdings_more'),
            ('app', 'FUNCTION economy.grant_rewards(bigint[], text[], text[], bigint[], bigint[], '
                 'jsonb[], jsonb[])',
             'accounts mission_progress_more '
             'config_changes config_changes_change_id_seq config_heads reward_audit '
             'signing_keys user_holdings_more'),
            ('app', 'FUNCTION economy.grant_rewards(jsonb)',
             'accounts mission_progress_more '
             'config_changes config_changes_change_id_seq config_heads reward_audit '
             'signing_keys user_holdings_more'),
            ('app', 'FUNCTION economy.grant_items(bigint, jsonb, text, text, jsonb, boolean)',
             'accounts mission_progress_more '
             'holding_changes user_holdings_more'),
            ('app', 'FUNCTION economy.consume(bigint, text, text, bigint, text, jsonb, boolean)',
             'accounts mission_progress_more '
             'holding_changes user_holdings_more'),
            ('app', 'FUNCTION economy.item_catalogue(text, boolean)', ''),
            ('app', 'FUNCTION economy.draw(bigint, text, text, text, jsonb, boolean)',
             'accounts mission_progress_more '
             'draw_pity draw_prizes draw_seeds holding_changes user_holdings_more'),
            ('app', 'FUNCTION economy.draw_commit(bigint)',
             'config_changes config_changes_change_id_seq config_heads draw_seeds signing_keys'),
            ('app', 'FUNCTION economy.draw_reveal(bigint, bigint)',
             'config_changes config_changes_change_id_seq config_heads draw_seeds signing_keys'),
            ('app', 'FUNCTION economy.draw_table(text, integer)', ''),
            ('app', 'FUNCTION economy.verify_draw(text, text, bigint, jsonb, bigint)', ''),
            ('app', 'FUNCTION economy.holdings(bigint)', ''),
            ('app', 'FUNCTION economy.holds(bigint, text, bigint)', ''),
            ('app', 'FUNCTION economy.spend(bigint, bigint, text, text, jsonb, jsonb, boolean)',
             'accounts mission_progress_more '
             'holding_changes user_holdings_more'),
            ('app', 'FUNCTION economy.leaderboard(text, integer, bigint[], date)', ''),
            ('app', 'FUNCTION economy.leaderboard_info(text)', ''),
            ('app', 'FUNCTION economy.leaderboard_of(text, bigint[], date)', ''),
            ('app', 'FUNCTION economy.rank_of(text, bigint, integer, date)', ''),
            ('app', 'FUNCTION economy.transfer(bigint, bigint, text, bigint, jsonb, text, jsonb, '
                    'boolean)',
             'accounts mission_progress_more '
             'holding_changes user_holdings_more'),
            ('app', 'FUNCTION economy.hold_escrow(bigint, text, bigint, jsonb, interval, text, '
                    'jsonb, boolean)',
             'accounts mission_progress_more '
             'escrows holding_changes user_holdings_more'),
            ('app', 'FUNCTION economy.release_escrow(bigint, text, text)',
             'accounts mission_progress_more '
             'escrows holding_changes user_holdings_more'),
            ('app', 'FUNCTION economy.capture_escrow(bigint, text, bigint, bigint, jsonb, text)',
             'accounts mission_progress_more '
             'escrows holding_changes user_holdings_more'),
            ('app', 'FUNCTION economy.debts_of(bigint)', ''),
            ('app', 'FUNCTION economy.escrows_of(bigint, integer)', ''),
            ('app', 'FUNCTION economy.open_action(bigint, text, text, text, bigint, interval, '
                    'jsonb)',
             'accounts mission_progress_more escrows holding_changes'),
            ('app', 'FUNCTION economy.settle_action(bigint, text, text, bigint, text, jsonb, '
                    'bigint)',
             'accounts mission_progress_more escrows holding_changes game_stats_more '
             'user_actions user_holdings_more'),
            ('app', 'FUNCTION economy.void_action(bigint, text, text, text)',
             'accounts mission_progress_more escrows holding_changes user_holdings_more'),
            ('app', 'FUNCTION economy.open_actions(bigint, integer)', ''),
            ('app', 'FUNCTION economy.level_for(bigint, text)', ''),
            ('app', 'FUNCTION economy.level_of(bigint, bigint)', ''),
            ('app', 'FUNCTION economy.now()', ''),
            ('app', 'FUNCTION economy.purchase(bigint, text, text, integer, jsonb, boolean)',
             'accounts mission_progress_more '
             'config_changes config_changes_change_id_seq config_heads shop_keys '
             'fulfilments shop_stock shop_transactions shop_user_units_more signing_keys '
             'user_holdings_more shop_reservations payment_orders payment_order_history '
             'promo_stock promo_uses'),
            ('app', 'FUNCTION economy.purchase_code(bigint, text, text, integer, jsonb, boolean)',
             'accounts mission_progress_more '
             'config_changes config_changes_change_id_seq config_heads shop_keys '
             'fulfilments shop_stock shop_transactions shop_user_units_more signing_keys '
             'user_holdings_more shop_reservations payment_orders payment_order_history '
             'promo_stock promo_uses'),
            ('app', 'FUNCTION economy.promo_preview(bigint, text, text, integer)', ''),
            ('app', 'FUNCTION economy.purchases(bigint[], text[], text[], integer[], jsonb[])',
             'accounts mission_progress_more '
             'config_changes config_changes_change_id_seq config_heads shop_keys '
             'fulfilments shop_stock shop_transactions shop_user_units_more signing_keys '
             'user_holdings_more'),
            ('app', 'FUNCTION economy.purchases(jsonb)',
             'accounts mission_progress_more '
             'config_changes config_changes_change_id_seq config_heads shop_keys '
             'fulfilments shop_stock shop_transactions shop_user_units_more signing_keys '
             'user_holdings_more'),
            ('app', 'FUNCTION economy.receipt(bigint, text)', ''),
            ('app', 'FUNCTION economy.release_reservation(bigint, text)',
             'shop_reservations shop_stock'),
            ('app', 'FUNCTION economy.reserve(bigint, text, text, integer, interval, boolean)',
             'accounts shop_reservations shop_stock shop_user_units_more'),
            ('app', 'FUNCTION economy.orders_of(bigint, integer)', ''),
            ('app', 'FUNCTION economy.settlement_lease(text, integer, interval, text)',
             'payment_orders'),
            ('app', 'FUNCTION economy.settlement_report(uuid, text, text, text, bigint, text, '
                    'text)',
             'accounts mission_progress_more '
             'config_changes config_changes_change_id_seq config_heads fulfilments '
             'payment_orders payment_order_history rfm_reversals shop_debts shop_refunds '
             'shop_stock shop_transactions shop_user_units_more signing_keys '
             'user_holdings_more'),
            ('app', 'FUNCTION economy.webhook(text, jsonb, bytea)',
             'accounts mission_progress_more '
             'config_changes config_changes_change_id_seq config_heads fulfilments '
             'payment_orders payment_order_history payment_webhooks rfm_reversals shop_debts '
             'shop_refunds shop_stock shop_transactions shop_user_units_more signing_keys '
             'user_holdings_more'),
            ('app', 'FUNCTION economy.unfulfilled(text, integer, interval, text)', 'fulfilments'),
            ('app', 'FUNCTION economy.recommend(bigint, text)', 'recommendations'),
            ('app', 'FUNCTION economy.recommendation_feedback(text, text)', 'recommendations'),
            ('app', 'FUNCTION economy.record_action(bigint, text, text, text, bigint, bigint, '
                    'text, jsonb, bigint)',
             'accounts mission_progress_more '
             'game_stats_more user_actions'),
            ('app', 'FUNCTION economy.record_action_code(bigint, text, text, text, bigint, bigint, '
                    'text, jsonb, bigint)',
             'accounts mission_progress_more '
             'game_stats_more user_actions'),
            ('app', 'FUNCTION economy.record_actions(bigint[], text[], text[], text[], bigint[], '
                 'bigint[], text[], jsonb[], bigint[])', 'accounts mission_progress_more '
             'game_stats_more user_actions'),
            ('app', 'FUNCTION economy.record_actions(jsonb)',
             'accounts mission_progress_more '
             'game_stats_more user_actions'),
            ('app', 'FUNCTION economy.register(text, text, jsonb)',
             'accounts mission_progress_more '
             'config_changes config_changes_change_id_seq config_heads signing_keys '
             'user_id_seq users'),
            ('app', 'FUNCTION economy.register_user(text, text, jsonb)',
             'accounts mission_progress_more '
             'config_changes config_changes_change_id_seq config_heads signing_keys '
             'user_id_seq users'),
            ('app', 'FUNCTION economy.product(text, bigint)', ''),
            ('app', 'FUNCTION economy.products(bigint, text, text, boolean)', ''),
            ('app', 'FUNCTION economy.profile(bigint)', ''),
            ('app', 'FUNCTION economy.purchases_of(bigint, bigint, integer)', ''),
            ('app', 'FUNCTION economy.replay(bigint, bigint, integer)', ''),
            ('app', 'FUNCTION economy.segment(bigint)', ''),
            ('app', 'FUNCTION economy.set_timezone(bigint, text, text)',
             'accounts mission_progress_more '
             'user_changes users'),
            ('app', 'FUNCTION economy.statement(bigint, bigint, integer)', ''),
            ('app', 'FUNCTION economy.streak_preview(bigint, integer)', ''),
            ('app', 'FUNCTION economy.streak_reward(integer)', ''),
            ('app', 'FUNCTION economy.streak_state(bigint)', ''),
            ('app', 'FUNCTION economy.take_rate(text, text, integer)', 'rate_taken'),
            ('app', 'FUNCTION economy.timezone_name(text)', ''),
            ('app', 'FUNCTION economy.link_external_id(bigint, text, text, text)',
             'accounts mission_progress_more '
             'user_changes users'),
            ('app', 'FUNCTION economy.unlink_external_id(bigint, text, text)',
             'accounts mission_progress_more '
             'user_changes users'),
            ('app', 'FUNCTION economy.update_profile(bigint, jsonb, text, text)',
             'accounts mission_progress_more '
             'user_changes users'),
            ('app', 'FUNCTION economy.user_id_of(text)', ''),
            ('app', 'FUNCTION economy.verify_receipt(bigint, text)', ''),
            ('app', 'FUNCTION economy.verify_webhook(text, jsonb, bytea)', ''),
            ('monitor', 'FUNCTION economy.account(bigint)', ''),
            ('monitor', 'FUNCTION economy.asyncapi()', ''),
            ('monitor', 'FUNCTION economy.audit_schema()', ''),
            ('monitor', 'FUNCTION economy.beta_quantile(double precision, double precision, double '
                        'precision)', ''),
            ('monitor', 'FUNCTION economy.changes(text, integer)', ''),
            ('monitor', 'FUNCTION economy.debts_of(bigint)', ''),
            ('monitor', 'FUNCTION economy.escrows_of(bigint, integer)', ''),
            ('monitor', 'FUNCTION economy.open_actions(bigint, integer)', ''),
            ('monitor', 'FUNCTION economy.settlement_reconcile(text, jsonb, timestamptz, '
                        'timestamptz)', ''),
            ('monitor', 'FUNCTION economy.game_stats_me(bigint)', ''),
            ('monitor', 'FUNCTION economy.health()', ''),
            ('monitor', 'FUNCTION economy.job_history(text, integer)', ''),
            ('monitor', 'FUNCTION economy.audit_history(integer)', ''),
            ('monitor', 'FUNCTION economy.audit_open(integer)', ''),
            ('monitor', 'FUNCTION economy.audit_unknown()', ''),
            ('monitor', 'FUNCTION economy.job_list()', ''),
            ('monitor', 'FUNCTION economy.last_anchor()', ''),
            ('monitor', 'FUNCTION economy.verify_anchor(jsonb)', ''),
            ('monitor', 'FUNCTION economy.leaderboard(text, integer, bigint[], date)', ''),
            ('monitor', 'FUNCTION economy.leaderboard_info(text)', ''),
            ('monitor', 'FUNCTION economy.leaderboard_of(text, bigint[], date)', ''),
            ('monitor', 'FUNCTION economy.leaderboard_parity(text, boolean)', ''),
            ('monitor', 'FUNCTION economy.mission_parity(bigint)', ''),
            ('monitor', 'FUNCTION economy.mission_stats(text)', ''),
            ('monitor', 'FUNCTION economy.missions(bigint)', ''),
            ('monitor', 'FUNCTION economy.season(bigint, text)', ''),
            ('monitor', 'FUNCTION economy_internal.mission_period_key(text, integer, bigint)', ''),
            ('monitor', 'FUNCTION economy_internal.mission_progress_of(bytea, bytea)', ''),
            ('monitor', 'FUNCTION economy.rank_of(text, bigint, integer, date)', ''),
            ('monitor', 'FUNCTION economy.library_version()', ''),
            -- a default of others' arguments, which the caller evaluates
            ('monitor', 'FUNCTION economy.now()', ''),
            -- views that a role may be shown call them with its privileges
            ('monitor', 'FUNCTION economy_internal.games_of(bytea)', ''),
            ('monitor', 'FUNCTION economy_internal.holdings_of(bytea)', ''),
            ('monitor', 'FUNCTION economy_internal.streak_of(bytea)', ''),
            ('monitor', 'FUNCTION economy_internal.units_of(bytea)', ''),
            ('monitor', 'FUNCTION economy.item_catalogue(text, boolean)', ''),
            ('monitor', 'FUNCTION economy.draw_table(text, integer)', ''),
            ('monitor', 'FUNCTION economy.verify_draw(text, text, bigint, jsonb, bigint)', ''),
            ('monitor', 'FUNCTION economy.simulate_draws(jsonb, integer, text)', ''),
            ('monitor', 'FUNCTION economy.holdings(bigint)', ''),
            ('monitor', 'FUNCTION economy.holds(bigint, text, bigint)', ''),
            ('monitor', 'FUNCTION economy.product(text, bigint)', ''),
            ('monitor', 'FUNCTION economy.products(bigint, text, text, boolean)', ''),
            ('monitor', 'FUNCTION economy.progress()', ''),
            ('monitor', 'FUNCTION economy.recommendation_posteriors(text, text, timestamptz)', ''),
            ('monitor', 'FUNCTION economy.recommendation_stats(timestamptz)', ''),
            ('monitor', 'FUNCTION economy.relay_status()', ''),
            ('monitor', 'FUNCTION economy_internal.require_given(text, boolean)', ''),
            ('monitor', 'FUNCTION economy.rfm_bounds(text, regclass, timestamptz)', ''),
            ('monitor', 'FUNCTION economy.rfm_bounds_query(text, text, timestamptz)', ''),
            ('monitor', 'FUNCTION economy.rfm_freshness()', ''),
            ('monitor', 'FUNCTION economy_internal.rfm_measure(economy.rfm_models, text, '
                        'timestamptz)', ''),
            ('monitor', 'FUNCTION economy_internal.rfm_measure_query(text)', ''),
            ('monitor', 'FUNCTION economy_internal.rfm_measured(economy.rfm_models, bigint, '
                        'bigint, numeric[], numeric[], numeric[], boolean[], numeric[])', ''),
            ('monitor', 'FUNCTION economy.rfm_model(text)', ''),
            ('monitor', 'FUNCTION economy.rfm_rule_ranges(jsonb, numeric, numeric, numeric)', ''),
            ('monitor', 'FUNCTION economy.rfm_rules()', ''),
            ('monitor', 'FUNCTION economy.rfm_score(text, regclass, timestamptz)', ''),
            ('monitor', 'FUNCTION economy.rfm_score_query(text, text, timestamptz)', ''),
            ('monitor', 'FUNCTION economy_internal.rfm_score_expression(text, text, numeric[], '
                        'boolean, text)', ''),
            ('monitor', 'FUNCTION economy_internal.rfm_source(economy.rfm_models, text, '
                        'timestamptz)', ''),
            ('monitor', 'FUNCTION economy_internal.rfm_source_check(text)', ''),
            ('monitor', 'FUNCTION economy.segment(bigint)', ''),
            ('monitor', 'FUNCTION economy.segment_figures()', ''),
            ('monitor', 'FUNCTION economy.segment_summary()', ''),
            ('monitor', 'FUNCTION economy.statement(bigint, bigint, integer)', ''),
            ('monitor', 'FUNCTION economy.stats_parity(integer)', ''),
            ('monitor', 'FUNCTION economy.verify_chain(bigint)', ''),
            ('monitor', 'FUNCTION economy.verify_receipt(bigint, text)', ''),
            ('monitor', 'FUNCTION economy.wilson_interval(bigint, bigint)', ''),
            ('monitor', 'FUNCTION economy.win_rate_anomalies(text, double precision)', ''),
            ('operator', 'FUNCTION economy.anchor(integer)',
             'anchor_buckets anchor_config anchor_heads anchors config_changes '
             'config_changes_change_id_seq config_heads signing_keys'),
            ('operator', 'FUNCTION economy.anchor_step(integer, integer)',
             'anchor_buckets anchor_config anchor_heads anchors config_changes '
             'config_changes_change_id_seq config_heads signing_keys'),
            ('operator', 'FUNCTION economy.audit_step(integer)',
             'audit_checkpoints audit_findings audit_runs audit_runs_run_id_seq'),
            ('operator', 'FUNCTION economy.audit_sweep(timestamptz)',
             'audit_checkpoints audit_findings audit_runs audit_runs_run_id_seq'),
            ('operator', 'FUNCTION economy.archive(regclass, regclass, interval, integer)',
             'accounts mission_progress_more '
             'archive_state archived_hashes archived_keys archives audit_checkpoints '
             'config_changes config_changes_change_id_seq config_heads gold_adjustments '
             'installations reward_audit rollup_positions rollup_state signing_keys '
             'stream_checkpoints'),
            ('operator', 'FUNCTION economy.archive_entries(anyelement, interval, integer)',
             'accounts mission_progress_more '
             'archive_state archived_hashes archived_keys archives audit_checkpoints '
             'config_changes config_changes_change_id_seq config_heads gold_adjustments '
             'installations reward_audit rollup_positions rollup_state signing_keys '
             'stream_checkpoints'),
            ('operator', 'FUNCTION economy.verify_archive(regclass, regclass, bigint[])', ''),
            ('operator', 'FUNCTION economy_internal.archive_columns(text, regclass)', ''),
            ('operator', 'FUNCTION economy_internal.archive_entry(text, regclass)', ''),
            ('operator', 'FUNCTION economy_internal.archive_digest(anyelement)', ''),
            ('operator', 'FUNCTION economy_internal.archive_findings(regclass, regclass, bigint[], '
                         'boolean)', ''),
            ('operator', 'FUNCTION economy_internal.archive_journal(regclass)', ''),
            ('operator', 'FUNCTION economy_internal.archive_last(text)', ''),
            ('operator', 'FUNCTION economy_internal.archives_of(text, bigint[], boolean)', ''),
            ('operator', 'FUNCTION economy_internal.open_archives()', ''),
            ('operator', 'FUNCTION economy_internal.journal_letter(text)', ''),
            ('operator', 'FUNCTION economy_internal.require_archive(regclass, regclass)', ''),
            ('operator', 'FUNCTION economy.audit_sweep_incremental(integer)',
             'audit_checkpoints audit_findings audit_runs audit_runs_run_id_seq'),
            ('operator', 'FUNCTION economy.mission_dry_run(jsonb, timestamptz, timestamptz)', ''),
            ('operator', 'FUNCTION economy.learn_recommendations(integer)',
             'recommendation_beliefs recommendation_days recommendation_progress recommendations'),
            ('operator', 'FUNCTION economy.rfm_refresh_incremental()',
             'config_changes config_changes_change_id_seq config_heads rfm_due rfm_reversals '
             'rfm_snapshots rfm_state segment_history user_segments'),
            ('operator', 'FUNCTION economy.pay_leaderboard_prizes(integer)',
             'accounts mission_progress_more '
             'config_changes config_changes_change_id_seq config_heads '
             'leaderboard_periods leaderboard_refusals reward_audit signing_keys '
             'user_holdings_more'),
            ('operator', 'FUNCTION economy.refresh_leaderboards(integer)',
             'leaderboard_buckets leaderboard_periods leaderboard_queue leaderboard_refusals '
             'leaderboard_scores leaderboard_state rollup_state'),
            ('operator', 'FUNCTION economy.retry_leaderboard_prizes(text, date, bigint[])',
             'leaderboard_refusals'),
            ('operator', 'FUNCTION economy.rollup_stats(integer)',
             'leaderboard_queue leaderboard_state rollup_positions rollup_queue rollup_state '
             'user_game_stats_summary'),
            ('operator', 'PROCEDURE economy.run_job(text, text)',
             'accounts mission_progress_more '
             'anchor_buckets anchor_config anchor_heads anchors audit_checkpoints '
             'audit_findings audit_runs audit_runs_run_id_seq config_changes '
             'config_changes_change_id_seq config_heads escrows holding_changes installations '
             'job_runs job_runs_run_id_seq leaderboard_buckets leaderboard_periods '
             'leaderboard_queue leaderboard_refusals leaderboard_scores leaderboard_state '
             'pruned_actions '
             'pruned_stats rate_taken reward_audit rfm_due rfm_reversals rfm_snapshots rfm_state '
             'rollup_positions rollup_queue rollup_state segment_history shop_debts '
             'shop_reservations '
             'shop_stock signing_keys '
             'stream_checkpoints user_actions user_game_stats_summary user_holdings_more '
             'user_segments'),
            ('operator', 'FUNCTION economy.schedule()', ''),
            ('operator', 'FUNCTION economy.unschedule()', ''),
            ('admin', 'FUNCTION economy.add_payment_secret(text, text, text)',
             'config_changes config_changes_change_id_seq config_heads payment_secrets'),
            ('admin', 'FUNCTION economy.add_stock(text, bigint, text, integer)',
             'config_changes config_changes_change_id_seq config_heads shop_products shop_stock'),
            ('admin', 'FUNCTION economy.adjust_gold(bigint, bigint, text, text, text)',
             'accounts mission_progress_more '
             'gold_adjustments'),
            ('admin', 'FUNCTION economy.capture_actions()',
             'accounts mission_progress_more '
             'capture_refusals capture_refusals_refusal_id_seq game_stats_more '
             'user_actions'),
            ('admin', 'FUNCTION economy.prune(interval, integer)',
             'accounts audit_checkpoints config_changes config_changes_change_id_seq config_heads '
             'installations pruned_actions pruned_stats rollup_positions signing_keys '
             'stream_checkpoints user_actions'),
            ('admin', 'FUNCTION economy.register_game(text, jsonb)',
             'config_changes config_changes_change_id_seq config_heads games'),
            ('admin', 'FUNCTION economy.remove_rate_limit(text, text)',
             'config_changes config_changes_change_id_seq config_heads rate_limits'),
            ('admin', 'FUNCTION economy.remove_stock(text, text)',
             'config_changes config_changes_change_id_seq config_heads shop_products'),
            ('admin', 'FUNCTION economy.retire_payment_secret(text, integer, text)',
             'config_changes config_changes_change_id_seq config_heads payment_secrets'),
            ('admin', 'FUNCTION economy.retire_product(text, text)',
             'config_changes config_changes_change_id_seq config_heads shop_products'),
            ('admin', 'FUNCTION economy.retire_signing_key(integer)',
             'config_changes config_changes_change_id_seq config_heads draw_seeds signing_keys '
             'stream_checkpoints'),
            ('admin', 'FUNCTION economy.refund_purchase(bigint, text, text, integer, text, text, '
                      'text, boolean)',
             'accounts mission_progress_more '
             'fulfilments promo_stock promo_uses rfm_reversals shop_debts shop_refunds shop_stock '
             'shop_user_units_more user_holdings_more'),
            ('admin', 'FUNCTION economy.retire_promo_code(text, text)',
             'config_changes config_changes_change_id_seq config_heads promo_codes'),
            ('admin', 'FUNCTION economy.upsert_promo_code(jsonb, text)',
             'config_changes config_changes_change_id_seq config_heads promo_codes promo_stock'),
            ('admin', 'FUNCTION economy.settlement_reconcile(text, jsonb, timestamptz, '
                      'timestamptz)', ''),
            ('admin', 'FUNCTION economy.resolve_order(uuid, text, text, text)',
             'accounts mission_progress_more '
             'config_changes config_changes_change_id_seq config_heads fulfilments '
             'payment_orders payment_order_history rfm_reversals shop_debts shop_refunds '
             'shop_stock shop_transactions shop_user_units_more signing_keys '
             'user_holdings_more'),
            ('admin', 'FUNCTION economy.revoke_reward(bigint, text, text, text, bigint, bigint, '
                      'text, text, jsonb)',
             'accounts mission_progress_more '
             'reward_audit user_holdings_more'),
            ('admin', 'FUNCTION economy.rfm_refresh(timestamptz, boolean)',
             'config_changes config_changes_change_id_seq config_heads rfm_due rfm_reversals '
             'rfm_snapshots rfm_state segment_history user_segments'),
            ('admin', 'FUNCTION economy.rotate_signing_key()',
             'config_changes config_changes_change_id_seq config_heads signing_keys'),
            ('admin', 'FUNCTION economy.set_level_curve(text, bigint[], text)',
             'config_changes config_changes_change_id_seq config_heads level_curves'),
            ('admin', 'FUNCTION economy.set_daily_rewards(jsonb, text, integer)',
             'config_changes config_changes_change_id_seq config_heads daily_rewards'),
            ('admin', 'FUNCTION economy.set_default_level_curve(text, text)',
             'config_changes config_changes_change_id_seq config_heads level_experiments'),
            ('admin', 'FUNCTION economy.set_level_experiment(text, jsonb, boolean, text)',
             'config_changes config_changes_change_id_seq config_heads level_experiments'),
            ('admin', 'FUNCTION economy.set_payment_provider(jsonb, text)',
             'config_changes config_changes_change_id_seq config_heads payment_providers'),
            ('admin', 'FUNCTION economy.set_rate_limit(jsonb, text)',
             'config_changes config_changes_change_id_seq config_heads rate_limits'),
            ('admin', 'FUNCTION economy.set_recommendations(text, jsonb, jsonb, text)',
             'config_changes config_changes_change_id_seq config_heads recommendation_arms '
             'recommendation_placements'),
            ('admin', 'FUNCTION economy.set_rfm_model(jsonb, text)',
             'config_changes config_changes_change_id_seq config_heads rfm_models'),
            ('admin', 'FUNCTION economy.set_segment_rules(jsonb, text)',
             'config_changes config_changes_change_id_seq config_heads segment_rule_changes '
             'segment_rules'),
            ('admin', 'FUNCTION economy.set_streak(bigint, integer, date, text, text, text)',
             'accounts mission_progress_more '
             'reward_audit'),
            ('admin', 'FUNCTION economy.set_transfer_rules(jsonb, text)',
             'config_changes config_changes_change_id_seq config_heads transfer_rules'),
            ('admin', 'FUNCTION economy.set_user_status(bigint, text, text, text, text)',
             'accounts mission_progress_more '
             'user_changes'),
            ('admin', 'FUNCTION economy.publish_draw_table(text, text)',
             'config_changes config_changes_change_id_seq config_heads draw_prizes '
             'draw_table_versions draw_tables'),
            ('admin', 'FUNCTION economy.publish_mission(jsonb, text)',
             'config_changes config_changes_change_id_seq config_heads mission_templates'),
            ('admin', 'FUNCTION economy.publish_season(jsonb, text)',
             'config_changes config_changes_change_id_seq config_heads items seasons'),
            ('admin', 'FUNCTION economy.retire_season(text, text)',
             'config_changes config_changes_change_id_seq config_heads seasons'),
            ('admin', 'FUNCTION economy.retire_mission(text, text)',
             'config_changes config_changes_change_id_seq config_heads mission_templates'),
            ('admin', 'FUNCTION economy.upsert_draw_table(jsonb, text)',
             'config_changes config_changes_change_id_seq config_heads draw_tables'),
            ('admin', 'FUNCTION economy.upsert_item(jsonb, text)',
             'config_changes config_changes_change_id_seq config_heads items'),
            ('admin', 'FUNCTION economy.upsert_leaderboard(jsonb, text)',
             'config_changes config_changes_change_id_seq config_heads leaderboard_buckets '
             'leaderboard_periods leaderboards rollup_state'),
            ('admin', 'FUNCTION economy.upsert_product(jsonb, text)',
             'config_changes config_changes_change_id_seq config_heads shop_products');
    END;
COMMENT ON FUNCTION economy.access_list() IS
    'What each access level may call, and the tables and sequences that such a call may change; '
    'operator includes monitor, admin includes all.';

CREATE FUNCTION economy_internal.levels_of(level text) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT CASE level WHEN 'app' THEN '{app}' WHEN 'monitor' THEN '{monitor}'
                          WHEN 'operator' THEN '{monitor,operator}'
                          WHEN 'admin' THEN '{app,monitor,operator,admin}' END::text[];
    END;
COMMENT ON FUNCTION economy_internal.levels_of(text) IS
    'The levels of access_list() that a level has; null when there is no such level.';

CREATE FUNCTION economy_internal.change_access(action text, role name, level text) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    item      record;
    direction text := CASE action WHEN 'grant' THEN 'TO' ELSE 'FROM' END;
BEGIN
    IF economy_internal.levels_of(level) IS NULL THEN
        RAISE EXCEPTION 'access level must be app, monitor, operator or admin'
            USING ERRCODE = 'XE801';
    END IF;
    IF role IS NULL OR NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = role) THEN
        RAISE EXCEPTION 'role "%" does not exist', role USING ERRCODE = 'XE801',
            HINT = 'Create it with CREATE ROLE; access is never given to PUBLIC.';
    END IF;
    -- whoever calls what runs with the caller's privileges needs the internal schema as well
    FOR item IN
        SELECT DISTINCT p.privilege, p.object
        FROM economy.access_list() a
        CROSS JOIN LATERAL (VALUES
            ('EXECUTE', a.object),
            ('USAGE', 'SCHEMA ' || substring(a.object FROM '^[A-Z]+ ([a-z_]+)')))
            p (privilege, object)
        WHERE a.level = ANY (economy_internal.levels_of(change_access.level))
    LOOP
        -- EXECUTE, because a GRANT takes no parameters
        EXECUTE format('%s %s ON %s %s %I', action, item.privilege, item.object, direction, role);
    END LOOP;
END
$$;
COMMENT ON FUNCTION economy_internal.change_access(text, name, text) IS
    'Common part of grant_access() and revoke_access().';

CREATE FUNCTION economy.grant_access(role name, level text) RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC SELECT economy_internal.change_access('grant', role, level); END;
COMMENT ON FUNCTION economy.grant_access(name, text) IS
    'Lets a role call what its level needs: app (play and buy), '
    'monitor (read figures; changes nothing), operator (run jobs and audits, '
    'read figures), admin (all). No level touches a table.';

CREATE FUNCTION economy.revoke_access(role name, level text) RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC SELECT economy_internal.change_access('revoke', role, level); END;
COMMENT ON FUNCTION economy.revoke_access(name, text) IS
    'Takes a level away again, with everything it shares with other '
    'levels, and the use of the schemas.';
