# What a session has set must not show in what is stored, hashed, answered or
# drawn: one sequence of calls, of every function that a level may call, plays in
# two databases under the same clock, in one of them under hostile settings.  A
# plain session then reads both, and they are the same.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use POSIX 'strftime';
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('settings', empty => 1, conf => 'shared_preload_libraries = economy', init => { extra => [ '--encoding=UTF8', '--no-locale' ] });

# since PostgreSQL 16 it has another name
my $PARALLEL = $node->safe_psql('postgres', q{SELECT name FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query')});

# 2026-03-20 00:30 UTC
my $BEGIN = 1773966600;

# beside those of hostile.sql
my @HOSTILE = (
	q{array_nulls = off}, q{quote_all_identifiers = on}, q{lock_timeout = '10s'}, q{idle_in_transaction_session_timeout = 0}, q{enable_seqscan = off},
	qq{$PARALLEL = on}, q{constraint_exclusion = on}, q{economy.async_commit = 'all'}, q{economy.notify_types = stats_delta}, q{plan_cache_mode = force_custom_plan});
my @PLANTED = (
	'CREATE FUNCTION planted.count_planted(bigint, bigint) RETURNS bigint LANGUAGE sql AS $$ SELECT 666::bigint $$',
	'CREATE OPERATOR planted.+ (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = planted.count_planted)',
	'CREATE OPERATOR planted.- (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = planted.count_planted)');

# A name and a statement; what it answers is kept as rows, not as text.
my @CALLS = grep { /\S/ && !/^#/ } split /\n/, <<'SQL';
economy.register('ann', 'Europe/Berlin', '{"nick": "A"}')
economy.register('bob', 'Australia/Lord_Howe')
economy.register(NULL)
economy.register_user('ann')
economy.register_user('cay', 'Asia/Tokyo', '{"n": 1.50}')
economy.user_id_of('ann')
economy.timezone_name('asia/tokyo')
economy.upsert_product('{"product_id": "potion", "category": "item", "price_gold": 3}', 'admin')
economy.upsert_product('{"product_id": "season", "category": "item", "price_gold": 4, "starts_at": "2026-03-01T00:00:00Z", "ends_at": "2026-05-01T00:00:00+00:00"}', 'admin')
economy.upsert_product('{"product_id": "pack", "category": "conversion", "granted_gold": 500, "monetary": 499}', 'admin')
economy.upsert_product('{"product_id": "rare", "category": "item", "price_gold": 2, "per_user_limit": 3}', 'admin')
economy.upsert_product('{"product_id": "old", "category": "item", "price_gold": 2}', 'admin')
economy.add_stock('rare', 50, 'admin', 1)
economy.upsert_item('{"item_id": "gem", "kind": "currency", "maximum": 100, "tradable": true}', 'admin')
economy.set_transfer_rules('{"enabled": true, "fee_per_mille": 15, "daily_gold": 20, "minimum_age_hours": 1}', 'admin')
economy.upsert_item('{"item_id": "vip", "kind": "pass"}', 'admin')
economy.set_payment_provider('{"provider": "bank", "profile": "standard"}', 'admin')
economy.set_rate_limit('{"limit_id": "login", "burst": 5, "refill": 2, "period_seconds": 90061}', 'admin')
economy.take_rate('login', 'an address', 2)
economy.take_rate('login', 'an address', 4)
economy.remove_rate_limit('login', 'admin')
economy.add_payment_secret('bank', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'admin')
economy.upsert_leaderboard('{"board": "wins", "figure": "wins", "period": "day", "prizes": [{"upto": 1, "gold": 5}]}', 'admin')
economy.upsert_leaderboard('{"board": "season", "figure": "win_rate", "period": "season", "first_day": "2026-03-01", "last_day": "2027-03-02"}', 'admin')
economy.retire_product('old', 'admin')
economy.adjust_gold(1, 1000, 'opening', 'opening', 'admin')
economy.adjust_gold(2, 50, 'opening', 'opening', 'admin')
economy.purchase(1, 'potion', 'k1', 2, '{"device": "x"}')
economy.purchase(1, 'potion', 'k1', 2, '{"device": "x"}')
economy.purchase(1, 'potion', 'k1', 3)
economy.purchase(1, 'season', 'k2')
economy.purchase(2, 'pack', 'k3')
economy.purchase(1, 'rare', 'k4', 2)
economy.purchase(1, 'rare', 'k5', 2)
economy.purchase(2, 'old', 'k6')
economy.purchase(2, 'potion', 'k7', 1, '{}', true)
economy.grant_items(1, '{"gem": 50, "vip": 86400}', 'welcome', 'k1', '{"n": 1.50}')
economy.grant_items(1, '{"vip": 86400, "gem": 50}', 'welcome', 'k1', '{"n": 1.50}')
economy.grant_items(2, '{"gem": 101}', 'welcome', 'k1')
economy.upsert_item('{"item_id": "token", "kind": "stack"}', 'admin')
economy.upsert_product('{"product_id": "bundle", "category": "item", "price_gold": 2, "contents": {"gem": 3, "vip": 3600}, "price_items": {"token": 1}}', 'admin')
economy.purchase(1, 'bundle', 'k1bundle')
economy.grant_reward(1, 'quest', 'e1items', 1, 0, '{"n": 1.50}', '{"token": 4, "vip": 600}')
economy.grant_reward(1, 'quest', 'e1items', 1, 0, '{"n": 1.50}', '{"vip": 600, "token": 4}')
economy.purchase(1, 'bundle', 'k1bundle', 2)
economy.purchases('{1,2,1}', '{bundle,bundle,bundle}', '{k1bundle,k1bundle,k2bundle}', '{2,1,1}')
economy.grant_rewards('[{"user_id": 1, "source": "quest", "external_event_id": "e2items", "items": {"gem": 200}}, {"user_id": 2, "source": "quest", "external_event_id": "e2items", "items": {"token": 1, "gem": 2}}]')
economy.grant_rewards('{1,2}', '{quest,quest}', '{e3items,e2items}', items => ARRAY['{"token": 1}', '{"gem": 2, "token": 1}']::jsonb[])
economy.revoke_reward(1, (SELECT l.transaction_id FROM economy.ledger l JOIN economy.reward_audit r USING (user_id, seq) WHERE r.external_event_id = 'e1items'), 'wrong', 'admin', 0, 0, 'refuse', 'r1', '{"token": 1}')
economy.revoke_reward(1, (SELECT l.transaction_id FROM economy.ledger l JOIN economy.reward_audit r USING (user_id, seq) WHERE r.external_event_id = 'e1items'), 'wrong', 'admin', policy => 'take')
economy.revoke_reward(1, (SELECT l.transaction_id FROM economy.ledger l JOIN economy.reward_audit r USING (user_id, seq) WHERE r.external_event_id = 'e3items'), 'wrong', 'admin', idempotency_key => 'r2', items => '{}')
economy.product('bundle', 1)
economy.upsert_draw_table('{"table_id": "chest", "draft": {"price": {"gold": 1}, "pity": {"class": "rare", "after": 2}, "entries": [{"entry": "a", "class": "rare", "weight": 9007199254740991, "gold": 7, "items": {"vip": 60}, "limit": 1, "else": "b"}, {"entry": "b", "weight": 1, "items": {"vip": 60}}]}, "extra": {"n": 1.50}}', 'admin')
economy.publish_draw_table('chest', 'admin')
economy.verify_draw('000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f', 'lucky', 1, '{"crash": {"edge": 10000}}')
economy.simulate_draws('{"pity": {"class": "rare", "after": 2}, "entries": [{"entry": "a", "weight": 3, "gold": 1, "items": {"vip": 60}}, {"entry": "b", "class": "rare", "weight": 1}]}', 1000, 's')
economy.draw_commit(1)
economy.draw(1, 'chest', 'k1', 'lucky', '{"n": 1.50}')
economy.draw(1, 'chest', 'k1', 'lucky', '{"n": 1.50}')
economy.draw_reveal(1, 1)
economy.consume(1, 'gem', 'k2', 3)
economy.consume(1, 'gem', 'k2', 4)
economy.spend(1, 1, 'revive', 'k3', '{"gem": 7}')
economy.spend(1, 1, 'revive', 'k4', dry_run => true)
economy.transfer(1, 2, 'k5', 7, '{"gem": 2}', 'a note', '{"n": 1.50}')
economy.set_transfer_rules('{"minimum_age_hours": 0}', 'admin')
economy.transfer(1, 2, 'k5', 7, '{"gem": 2}', 'a note', '{"n": 1.50}')
economy.transfer(1, 2, 'k5', 7, '{"gem": 2}', 'a note', '{"n": 1.5}')
economy.transfer(1, 2, 'k6', 14)
economy.transfer(2, 1, 'k7', 13, dry_run => true)
economy.hold_escrow(1, 'k8', 7, '{"gem": 2}', '1 mon 1 day 01:30:00.5', 'trade', '{"n": 1.50}')
economy.hold_escrow(1, 'k8', 7, '{"gem": 2}', '31 days 01:30:01', 'trade', '{"n": 1.50}')
economy.hold_escrow(1, 'k9', 7, dry_run => true)
economy.hold_escrow(1, 'k9', 7)
economy.escrows_of(1)
economy.open_action(1, 'slot', 'SPIN', 'o1', 1, '1 hour', '{"n": 1.50}')
economy.open_actions(1)
economy.settle_action(1, 'slot', 'o1', 2)
economy.void_action(1, 'slot', 'o1')
economy.orders_of(1)
economy.settlement_lease('w', 1)
economy.settlement_report('00000000-0000-0000-0000-000000000000', 'confirmed', 'w')
economy.settlement_reconcile('bank', '[{"provider_ref": "x", "report": "confirmed"}]')
economy.resolve_order('00000000-0000-0000-0000-000000000000', 'VOIDED', 'r', 'a')
economy.webhook('bank', '{}', '')
economy.upsert_item('{"item_id": "season_xp", "kind": "stack", "consumable": false}', 'a')
economy.publish_season('{"season": "s", "xp_item": "season_xp", "starts_at": "2026-01-01T00:00:00Z", "ends_at": "2099-01-02T03:04:05Z", "tiers": [{"xp": 1, "rewards": {"free": {"gold": 1}}}, {"xp": 2, "rewards": {"free": {"xp": 3}}}]}', 'a')
economy.grant_items(1, '{"season_xp": 2}', 'r', 'season')
economy.season(1, 's')
economy.claim_tier(1, 's', 1, 'free')
economy.claim_season(1, 's')
economy.season(1, 's')
economy.retire_season('s', 'a')
economy.debts_of(1)
economy.capture_escrow(1, (SELECT min('H1-' || seq) FROM economy.holding_changes WHERE user_id = 1 AND operation = 'escrow_hold' AND idempotency_key = 'k8'), 2, 5, note => 'a note')
economy.release_escrow(1, (SELECT min('H1-' || seq) FROM economy.holding_changes WHERE user_id = 1 AND operation = 'escrow_hold' AND idempotency_key = 'k9'))
economy.verify_receipt(1, 'P1-2')
economy.verify_webhook('bank', '{"webhook-id": "a", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA"}', '')
economy.retire_payment_secret('bank', 1, 'admin')
economy.receipt(1, 'P1-2')
economy.grant_reward(1, 'quest', 'e1', 10, 600, '{"n": 1.50}')
economy.grant_reward(1, 'quest', 'e1', 10, 600, '{"n": 1.50}')
economy.grant_rewards('[{"user_id": 2, "source": "quest", "external_event_id": "e2", "gold": 5, "xp": 700}, {"user_id": 9, "source": "quest", "external_event_id": "e2"}]')
economy.grant_rewards('{2,1,2}', '{quest,quest,quest}', '{e3,e1,e2}', '{5,10,5}', '{9,600,700}', ARRAY['{"n": 1.50}', '{"n": 1.50}', NULL]::jsonb[])
economy.refund_purchase(1, (SELECT min(transaction_id) FROM economy.ledger WHERE user_id = 1 AND journal = 'shop_transactions'), 'b1', 1, 'wrong', 'admin')
economy.refund_purchase(1, (SELECT min(transaction_id) FROM economy.ledger WHERE user_id = 1 AND journal = 'shop_transactions'), 'b2', NULL, 'wrong', 'admin', 'take_available', false)
economy.revoke_reward(1, (SELECT min(transaction_id) FROM economy.ledger WHERE user_id = 1 AND journal = 'reward_audit'), 'wrong', 'admin')
economy.set_level_curve('steep', '{0,10,100}')
economy.set_level_experiment('trial', '[{"arm": "a", "curve": "steep", "share": 100}]', true)
economy.level_for(50, 'steep')
economy.level_of(1, 50)
economy.set_default_level_curve('steep', 'admin')
economy.level_of(2, 50)
economy.set_default_level_curve('linear', 'admin')
economy.claim_daily_reward(1)
economy.claim_daily_reward(2)
economy.streak_state(1)
economy.streak_preview(1, 5)
economy.streak_reward(3)
economy.set_daily_rewards('[{"gold": 10, "xp": 1, "contents": {"vip": 60, "gem": 101}}, {"gold": 5}]', 'admin', 1)
economy.claim_daily_reward(3)
economy.claim_daily_reward(3)
economy.streak_preview(2, 4)
economy.streak_reward(4)
economy.set_daily_rewards(NULL, 'admin')
economy.set_timezone(1, 'Asia/Kathmandu')
economy.update_profile(1, '{"nick": "B", "size": 1.50, "since": "2026-03-01"}', 'u1')
economy.link_external_id(3, 'cy', 'u2')
economy.unlink_external_id(3, 'u3')
economy.set_user_status(3, 'suspended', 'admin')
economy.purchase(3, 'potion', 'k8')
economy.register_game('slot')
economy.purchase_code(1, 'potion', 'k1code')
economy.purchases('[{"user_id": 1, "product_id": "potion", "idempotency_key": "k1many"}, {"user_id": 2, "product_id": "rare", "idempotency_key": "k1many"}]')
economy.grant_reward_code(1, 'quest', 'e1code', 10, 600, '{"n": 1.50}')
economy.record_action_code(1, 'slot', 'SPIN', 'a1code', 5, 9)
economy.publish_mission('{"mission": "spins", "trigger": "action", "condition": {"gt": ["event.win", 1]}, "progress": "sum", "field": "event.win", "target": 18, "period": "daily", "ends_at": "2040-01-31T12:00:00+02", "gold": 3, "items": {"vip": 60}}', 'admin')
economy.publish_mission('{"mission": "weekly", "trigger": "entry", "target": 1, "period": "weekly", "xp": 2, "texts": {"en": {"n": 1.50}}}', 'admin')
economy.record_action(1, 'slot', 'SPIN', 'a1xp', 5, 9, xp => 700)
economy.record_action(1, 'slot', 'SPIN', 'a1', 5, 9)
economy.record_action(1, 'slot', 'SPIN', 'a1', 5, 9)
economy.record_actions('[{"user_id": 2, "game": "slot", "action_type": "SPIN", "action_id": "a2", "bet": 2, "win": 0}, {"user_id": 1, "game": "slot", "action_type": "SPIN", "action_id": "a3", "bet": 1, "win": 2}]')
economy.record_actions('{2,1}', '{slot,slot}', '{SPIN,SPIN}', '{a4,a1}', '{1,5}', '{2,9}', NULL, ARRAY['{"n": 1.50}', NULL]::jsonb[])
economy.game_stats_me(1)
economy.missions(1)
economy.claim_mission(1, 'spins')
economy.claim_all(1)
economy.claim_all(2)
economy.mission_parity()
economy.mission_dry_run('{"mission": "dry", "trigger": "action", "condition": {"gt": ["event.win", 1]}, "progress": "sum", "field": "event.win", "target": 9, "period": "daily", "gold": 3}', '2026-03-01 00:00:00+00')
economy.mission_stats()
economy.retire_mission('weekly', 'admin')
economy.upsert_promo_code('{"code": "Spring", "kind": "percent", "value": 34, "max_uses": 1, "starts_at": "2026-03-01T00:00:00Z", "ends_at": "2040-05-01T00:00:00+02:00"}', 'admin')
economy.promo_preview(1, 'potion', 'sprinG')
economy.purchase(1, 'potion', 'k1promo', context => '{"promo": "spring"}')
economy.retire_promo_code('SPRING', 'admin')
economy.rollup_stats()
economy.stats_parity()
economy.refresh_leaderboards()
economy.leaderboard('wins', 5)
economy.leaderboard_info('wins')
economy.leaderboard_of('wins', '{1,2}')
economy.rank_of('wins', 1, 2)
economy.leaderboard_parity('wins')
economy.pay_leaderboard_prizes()
economy.retry_leaderboard_prizes('wins', '2026-03-04')
economy.win_rate_anomalies('slot')
economy.wilson_interval(3, 10)
economy.set_rfm_model('{"model": "mine"}', 'admin')
economy.rfm_refresh()
economy.rfm_refresh_incremental()
economy.rfm_freshness()
economy.rfm_rules()
economy.rfm_model('standard')
economy.segment(1)
economy.segment_summary()
economy.set_recommendations('home', '{"policy": "thompson", "exploration": 0.5}', '[{"segment": "*", "arm": "potion", "cta": "x", "product_id": "potion"}, {"segment": "*", "arm": "rare", "cta": "y", "product_id": "rare"}, {"segment": "*", "arm": "none", "cta": "z"}]', 'admin')
economy.recommend(1, 'home')
economy.recommend(2, 'home')
economy.recommendation_feedback('D1-1', 'click')
economy.recommendation_stats()
economy.account(1)
economy.statement(1)
economy.products(1)
economy.product('sword', 1)
economy.purchases_of(1)
economy.reserve(1, 'rare', 'c1', 1, '0.5 days')
economy.reserve(1, 'rare', 'c1', 1, '12:00')
economy.reserve(1, 'rare', 'c1', 1, '13:00')
economy.release_reservation(1, 'c1')
economy.unfulfilled('worker', 1, '1 minute')
economy.fulfil(1, 'P1-2', 'worker', '{"n": 1.50}')
economy.holdings(1)
economy.item_catalogue()
economy.draw_table('chest')
economy.draw_table('chest', 1)
economy.holds(1, 'gem')
economy.profile(1)
economy.replay(1, 0)
economy.verify_chain(1)
economy.audit_sweep()
economy.audit_sweep_incremental()
economy.rotate_signing_key()
economy.purchase(1, 'potion', 'k9')
economy.purchases('[{"user_id": 2, "product_id": "potion", "idempotency_key": "b1", "context": {"device": "x", "n": 1.50}}, {"user_id": 9, "product_id": "potion", "idempotency_key": "b1"}, {"user_id": 1, "product_id": "rare", "idempotency_key": "b1", "quantity": "2"}]')
economy.purchases('{1,2,1}', '{potion,season,potion}', '{b2,b2,k9}')
economy.prune('90 days')
economy.set_segment_rules((SELECT jsonb_agg(to_jsonb(r) - 'version'::text - 'position'::text ORDER BY r.position) FROM economy.rfm_rules() r), 'admin')
economy.segment_figures()
economy.rfm_bounds('standard', 'public.orders', '2026-03-25 00:00+00')
economy.rfm_score('standard', 'public.orders', '2026-03-25 00:00+00')
economy.recommendation_posteriors('home', '*', '2026-03-25 00:00+00')
economy.beta_quantile(0.5, 2, 3)
economy.asyncapi()
economy.set_streak(2, 4, '2026-03-24', 'clock', 'admin', 's1')
economy.learn_recommendations()
economy.remove_stock('rare', 'admin')
economy.audit_schema()
economy.library_version()
economy.audit_unknown()
economy.audit_open()
economy.audit_history()
economy.job_list()
economy.job_history()
economy.progress()
economy.changes()
economy_internal.games_of((SELECT a.sections FROM economy.accounts a WHERE a.user_id = 1))
economy_internal.streak_of((SELECT a.sections FROM economy.accounts a WHERE a.user_id = 1))
economy_internal.holdings_of((SELECT a.sections FROM economy.accounts a WHERE a.user_id = 1))
economy_internal.mission_progress_of((SELECT a.sections FROM economy.accounts a WHERE a.user_id = 1), NULL)
economy_internal.mission_period_key('weekly', 1, 5)
economy_internal.units_of((SELECT a.sections FROM economy.accounts a WHERE a.user_id = 1))
economy.archive('economy.reward_audit', 'public.old_rewards', '91 days')
economy.verify_archive('economy.reward_audit', 'public.old_rewards')
economy_internal.archive_last('reward_audit')
SQL

sub play
{
	my ($database, $hostile) = @_;
	my (%failed, $dbh);

	$node->safe_psql('postgres', "CREATE DATABASE $database TEMPLATE template0");
	$node->safe_psql($database, 'CREATE EXTENSION economy');
	$node->safe_psql($database, q{SET TimeZone = 'UTC'; CREATE TABLE public.spins (at timestamptz, raw bytea, player bigint, bet bigint, win bigint);
		CREATE TRIGGER capture AFTER INSERT ON public.spins REFERENCING NEW TABLE AS n FOR EACH STATEMENT
		EXECUTE FUNCTION economy.capture_actions('player', 'slot', 'at', 'bet', 'win', 'raise')});
	$node->safe_psql($database, q{CREATE TABLE public.orders (id bigint, ts timestamptz, amount bigint);
		INSERT INTO public.orders SELECT n % 7, TIMESTAMPTZ '2026-03-01 12:00+00' + n * interval '5 hours', n * 10 FROM generate_series(1, 100) n});
	if ($hostile)
	{
		$node->safe_psql($database, $_) foreach slurp_file("$FindBin::Bin/../../hostile.sql"), join ';', @PLANTED;
		$node->safe_psql('postgres', "ALTER DATABASE $database SET $_") foreach @HOSTILE;
	}
	$dbh = connect_to($node, $database);
	$dbh->do(q{SET client_min_messages = error});
	$dbh->do('CREATE TABLE public.old_rewards (LIKE economy.reward_audit)');
	foreach my $n (0 .. $#CALLS)
	{
		# three hours a call, so that dates, days and zones matter
		# three months later there is something to archive
		my $later = $CALLS[$n] =~ /archive/ ? 100 * 86400 : 0;
		$dbh->do(strftime(q{SET economy.test_clock = '%Y-%m-%d %H:%M:%S+00'}, gmtime($BEGIN + $n * 3 * 3600 + $later)));
		eval { $dbh->do("CREATE TABLE public.answer_$n AS SELECT * FROM $CALLS[$n]"); 1 }
		  or $dbh->do("CREATE TABLE public.answer_$n AS SELECT " . $dbh->quote($dbh->state) . '::pg_catalog.text AS sqlstate');
	}
	# the same row, sent again by another session, is one action
	$dbh->do(q{INSERT INTO public.spins VALUES (to_timestamp(1774000000.5), decode('00ff5c', 'hex'), 1, 3, 4)});
	$dbh->disconnect;
	return;
}

# Everything, as a plain session reads it.
sub told
{
	my ($database) = @_;
	my $dbh = connect_to($node, $database);
	my %told;

	$dbh->do("SET $_") foreach q{DateStyle = 'ISO'}, q{TimeZone = 'UTC'}, q{IntervalStyle = 'postgres'}, q{bytea_output = 'hex'}, 'extra_float_digits = 1',
	  'standard_conforming_strings = on', q{default_transaction_isolation = 'read committed'}, 'search_path = pg_catalog', "$PARALLEL = off", 'quote_all_identifiers = off', 'array_nulls = on';
	$dbh->do(q{SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED});
	# what is drawn, or says when and in which transaction
	my $without = q{ - ARRAY['hash', 'head_hash', 'xact', 'position', 'receipt_signature', 'signature', 'material', 'secret', 'installation', 'started_at', 'ended_at', 'finished_at',
		'since', 'prev_hash', 'chain', 'digest', 'anchor', 'links', 'links_before', 'archived', 'registered', 'event', 'next_cursor', 'pruned_xact',
		'pruned_by', 'first_position', 'last_position', 'system', 'database', 'extension', 'cluster', 'seen_before', 'pid', 'transaction', 'duration', 'spent',
		'sealed', 'seed_hash', 'server_seed', 'next_seed_hash'] #- '{detail,seed_hash}'};
	foreach my $n (0 .. $#CALLS)
	{
		$told{"answer $n of $CALLS[$n]"} = join "\n", @{ $dbh->selectcol_arrayref("SELECT (to_jsonb(t)$without)::text FROM public.answer_$n t ORDER BY 1") };
	}
	my $tables = $dbh->selectcol_arrayref(q{SELECT c.oid::regclass::text FROM pg_class c WHERE c.relnamespace IN ('economy'::regnamespace, 'economy_internal'::regnamespace) AND c.relkind = 'r' ORDER BY 1});
	my $of_keys = join '', map { " #- '{before,$_}' #- '{after,$_}'" } qw(material first_position last_position duration);
	foreach my $table (@$tables)
	{
		# the state of a level curve is an array, whose elements have none of these
		my $row = $table =~ /config_changes/ ? "CASE WHEN 'array' IN (jsonb_typeof(t.before), jsonb_typeof(t.after)) THEN to_jsonb(t)$without ELSE to_jsonb(t)$without$of_keys END" : "to_jsonb(t)$without";
		$told{"table $table"} = join "\n", @{ $dbh->selectcol_arrayref("SELECT ($row)::text FROM $table t ORDER BY 1") };
	}
	$told{findings} = join "\n", @{ $dbh->selectcol_arrayref('SELECT f::text FROM economy.audit_sweep() f') };
	# a later session sends the captured row again
	$dbh->do(q{INSERT INTO public.spins VALUES (to_timestamp(1774000000.5), decode('00ff5c', 'hex'), 1, 3, 4)});
	$told{captured} = value($dbh, q{SELECT count(*) FROM economy.user_actions WHERE bet = 3 AND win = 4});
	$told{called} = $dbh->selectcol_arrayref(q{SELECT DISTINCT substring(object FROM 'economy\w*\.(\w+)') FROM economy.access_list() WHERE object ~ '^FUNCTION'});
	$dbh->disconnect;
	return \%told;
}

play('plain', 0);
play('hostile', 1);
my ($plain, $hostile) = (told('plain'), told('hostile'));
my $called = delete $plain->{called};
delete $hostile->{called};
is($plain->{findings}, '', 'the plain one is sound');
is($plain->{captured}, 1, 'a captured row counts once');
is($hostile->{$_}, $plain->{$_}, $_) foreach sort keys %$plain;
unlike($plain->{$_}, qr/sqlstate/, "$_ is answered") foreach grep { /^answer/ } sort keys %$plain;

# what works on pg_cron and on keys, what signs all the rest, what is no call of its own (but a
# part of archive(), say), and clocks
my %ELSEWHERE = map { $_ => 1 } qw(now anchor anchor_step audit_step last_anchor verify_anchor health relay_status require_given rfm_bounds_query rfm_measure rfm_measure_query rfm_measured rfm_rule_ranges
  rfm_score_expression rfm_score_query rfm_source rfm_source_check schedule unschedule retire_signing_key capture_actions run_job
  archive_entries archive_findings archive_journal archive_columns archive_entry archive_digest archives_of open_archives journal_letter require_archive);
my @missing = grep { my $f = $_; !$ELSEWHERE{$f} && !grep { /economy\w*\.$f\(/ } @CALLS } @$called;
is("@missing", '', 'every function that a level may call is called');

$node->stop;
done_testing();
