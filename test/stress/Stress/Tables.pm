# What stands in the tables, read in one snapshot: as plain as SQL gives it.  An
# archived entry is one like the others, and says that it is archived.
package Stress::Tables;

use strict;
use warnings;
use Stress::World;

my $HEADER = "user_id, seq, gold_delta, xp_delta, gold, experience_points, xact, position, live::integer AS live, encode(hash, 'hex') AS hash,"
  . ' (extract(epoch FROM created_at) * 1000000)::bigint - 946684800000000 AS created_at';

# a journal's own fields, in the order of the documented encoding
our %FIELDS = (
	P => [qw(quantity stock_slot hash_algo_version receipt_signature_version monetary category status product_id idempotency_key effect_code context items)],
	R => [qw(reverses streak_day reward_day claim_date grace_used freezes_used best last_grace_on excused_to timezone streak_before source external_event_id actor reason details items)],
	A => [qw(bet win outcome game action_type action_id details)],
	G => [qw(idempotency_key actor reason)],
	U => [qw(field before after idempotency_key actor reason)],
	H => [qw(operation idempotency_key reason items context detail)],
	B => [qw(reverses quantity restocked asked monetary debt_gold purchase idempotency_key product_id policy actor reason detail items)]);
our %NUMBERS = map { $_ => 1 } qw(quantity stock_slot hash_algo_version receipt_signature_version monetary reverses
  streak_day reward_day claim_date grace_used freezes_used best last_grace_on excused_to streak_before bet win restocked asked debt_gold);
my %TABLE = (P => 'shop_transactions', R => 'reward_audit', A => 'user_actions', G => 'gold_adjustments', U => 'user_changes', H => 'holding_changes', B => 'shop_refunds');
my %KEY = (P => [qw(product_id idempotency_key)], R => [qw(source external_event_id)], A => [qw(game action_id)], G => ['idempotency_key'], U => [qw(field idempotency_key)], H => [qw(operation idempotency_key)], B => [qw(purchase idempotency_key)]);
my %EXPRESSION = (
	claim_date => "claim_date - DATE '2000-01-01' AS claim_date",
	last_grace_on => "last_grace_on - DATE '2000-01-01' AS last_grace_on",
	excused_to => "excused_to - DATE '2000-01-01' AS excused_to",
	grace_used => 'grace_used::integer AS grace_used',
	items => 'items::text AS items',
	context => 'context::text AS context', detail => 'detail::text AS detail', details => 'details::text AS details');

my %OTHER = (
	accounts => "user_id, seq, gold, experience_points, suspended::integer AS suspended, streak_freezes, pruned_seq, encode(head_hash, 'hex') AS head_hash",
	users => "user_id, external_id, timezone, profile::text AS profile,"
	  . ' (extract(epoch FROM created_at) * 1000000)::bigint - 946684800000000 AS created_at',
	game_stats => 'user_id, game, total, wins, losses, draws, max_win, bet_sum, win_sum',
	user_game_stats_summary => 'user_id, day::text AS day, game, total, wins, losses, draws, max_win, bet_sum, win_sum',
	pruned_actions => "user_id, seq, replace(key::text, '-', '') AS key",
	pruned_stats => 'user_id, game, total, wins, losses, draws, day::text AS day',
	stream_checkpoints => "user_id, seq, gold, experience_points, encode(hash, 'hex') AS hash",
	streaks => 'user_id, streak_day, best, last_seq, last_claim_on::text AS last_claim_on',
	shop_products => 'product_id, active::integer AS active, price_gold',
	shop_stock => 'product_id, slot, remaining',
	shop_product_changes => "change_id, product_id, action, actor, units, after ->> 'price_gold' AS price_gold",
	shop_debts => 'user_id, seq, gold',
	escrows => 'user_id, seq, (extract(epoch FROM expires_at) * 1000000)::bigint - 946684800000000 AS expires_at',
	fulfilments => 'user_id, seq, product_id, (extract(epoch FROM due_at) * 1000000)::bigint - 946684800000000 AS due_at, attempts, worker,'
	  . ' extract(epoch FROM fulfilled_at)::bigint AS fulfilled_at, extract(epoch FROM refunded_at)::bigint AS refunded_at',
	leaderboard_periods => 'board, first_day::text AS first_day, last_day::text AS last_day, users, (closed_at IS NOT NULL)::integer AS closed, (paid_at IS NOT NULL)::integer AS all_paid',
	leaderboard_scores => 'board, first_day::text AS first_day, user_id, place',
	leaderboard_refusals => 'board, first_day::text AS first_day, user_id, rank, code',
	shop_reservations => 'user_id, idempotency_key, product_id, quantity, stock_slot, after_seq, state, seq, '
	  . join(', ', map { "extract(epoch FROM $_)::bigint AS $_" } qw(made_at expires_at closed_at due_at)),
	payment_orders => 'user_id, product_id, idempotency_key, order_id, provider, quantity, amount, currency, terms::text AS terms, context::text AS context, state, is_open::integer AS is_open, stock_slot, seq, provider_ref, attempts, worker, '
	  . join(', ', map { "extract(epoch FROM $_)::bigint AS $_" } qw(made_at expires_at)),
	payment_order_history => 'order_id, step, extract(epoch FROM at)::bigint AS at, report, from_state, to_state, reporter, reason, detail::text AS detail',
	payment_webhooks => 'provider, webhook_id, code, order_id',
	mission_progress => 'user_id, mission, version, period, progress, state',
	mission_templates => 'mission, version, number, trigger, condition::text AS condition, progress, field, target, increment_cap, period, claim_hours, to_json(requires)::text AS requires, gold, xp, items::text AS items, '
	  . join(', ', map { "(extract(epoch FROM $_) * 1000000)::bigint - 946684800000000 AS $_" } qw(starts_at ends_at published_at retired_at)),
	seasons => 'season, (closed_at IS NOT NULL)::integer AS closed',
	draw_seeds => "user_id, seed_number, encode(hash, 'hex') AS hash, next_nonce, encode(server_seed, 'hex') AS server_seed",
	draw_table_versions => 'table_id, version, definition::text AS definition',
	user_holdings => 'user_id, item_id, balance, is_pass::integer AS is_pass',
	config_changes => 'relation, action, actor',
	signing_keys => "version, state, encode(material, 'hex') AS material",
	capture_refusals => 'source, user_id, game, action_id, code');
my %INTERNAL = (
	draw_pity => 'user_id, table_id, draws',
	rollup_positions => 'user_id, seq',
	shop_user_units => "user_id, product_id, units, day_units, week_units, month_units, last_on - DATE '2000-01-01' AS last_on");

sub load
{
	my ($dbh) = @_;
	my %t = (entries => []);

	$dbh->do('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
	foreach my $journal (sort keys %TABLE)
	{
		my @from = ("economy.$TABLE{$journal}", map { "public.archived_$_" } grep { $_ eq $TABLE{$journal} } @Stress::World::ARCHIVED);
		my $own = join ', ', map { $EXPRESSION{$_} // $_ } @{ $FIELDS{$journal} };
		my $signature = $journal eq 'P' ? ", encode(receipt_signature, 'hex') AS receipt_signature" : '';
		my @rows = map { @{ $dbh->selectall_arrayref("SELECT $HEADER, $own$signature, $_ AS archived FROM $from[$_]", { Slice => {} }) } } 0 .. $#from;
		foreach my $e (@rows)
		{
			$e->{journal} = $journal;
			$e->{id} = "$journal$e->{user_id}-$e->{seq}";
			$e->{key} = join '|', map { $_ // '' } @$e{ @{ $KEY{$journal} } };
		}
		push @{ $t{entries} }, @rows;
	}
	$t{$_} = $dbh->selectall_arrayref("SELECT $OTHER{$_} FROM economy.$_", { Slice => {} }) foreach keys %OTHER;
	$t{$_} = $dbh->selectall_arrayref("SELECT $INTERNAL{$_} FROM economy_internal.$_", { Slice => {} }) foreach keys %INTERNAL;
	push @{ $t{rounds} }, @{ $dbh->selectall_arrayref("SELECT 'rounds_$_' AS source, id, player, bet, win FROM public.rounds_$_", { Slice => {} }) } foreach 'raise', 'report';
	$dbh->do('COMMIT');
	return \%t;
}

# Entries by journal, user and key, reservations and orders: what a retry of that key would find.
sub by_key
{
	my ($t) = @_;
	my %found;

	# a change without a key is nobody's retry
	push @{ $found{"$_->{journal} $_->{user_id} $_->{key}"} }, $_
	  foreach grep { $_->{journal} ne 'U' || defined $_->{idempotency_key} } @{ $t->{entries} };
	push @{ $found{"K $_->{user_id} $_->{idempotency_key}"} }, $_ foreach @{ $t->{shop_reservations} // [] };
	push @{ $found{"O $_->{user_id} $_->{product_id}|$_->{idempotency_key}"} }, $_ foreach @{ $t->{payment_orders} // [] };
	return \%found;
}

1;
