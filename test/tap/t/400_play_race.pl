# Game actions from many real sessions at one moment, through both ways to the
# rows: every accepted action is counted, and each exactly once.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('play_race', conf => "deadlock_timeout = 100ms\nmax_connections = 120");
my $dbh = connect_to($node);
my $run = 0;

sub counts { my ($column, @rows) = @_; my %n; $n{ $_->[$column] // '' }++ foreach @rows; return \%n }
sub stats { return join ' ', $dbh->selectrow_array('SELECT total, wins, losses, bet_sum, win_sum, max_win FROM economy.game_stats WHERE user_id = ? AND game = ?', undef, @_) }
sub account { return join ' ', $dbh->selectrow_array('SELECT seq, gold FROM economy.account(?)', undef, $_[0]) }

foreach my $way ('auto', 'sql')
{
	my @settings = ("SET economy.row_access = $way");
	my @wait = (@settings, q{SET economy.duplicate_wait = '60s'});

	# 20 sessions, 20 actions each, one user
	my $ann = add_user($dbh, 'ann' . ++$run, 1000);
	my @r = at_once($node, 'postgres', 20, sub {
		my ($n, $s) = @_;
		my %seen;
		$seen{ value($s, q{SELECT state || ' ' || code FROM economy.record_action(?, 'slot', 'SLOT_SPIN', ?, 1, ?)}, $ann, "$n-$_", $_ % 2 ? 3 : 0) }++ foreach 1 .. 20;
		return join ', ', map { "$_ $seen{$_}" } sort keys %seen;
	}, @settings);
	is_deeply(counts(0, @r), { 'new OK 20' => 20 }, "$way: 400 actions of one user from 20 sessions");
	is(stats($ann, 'slot'), '400 200 200 400 600 3', "$way: are all counted");
	is(account($ann), '401 1200', "$way: and paid");

	# gold for half of the bets only: accepted and counted are the same number
	my $bob = add_user($dbh, "bob$run", 100);
	@r = at_once($node, 'postgres', 20, sub {
		my ($n, $s) = @_;
		return (value($s, q{SELECT code FROM economy.record_action(?, 'slot', 'SLOT_SPIN', ?, 10)}, $bob, "a$n"));
	}, @settings);
	is_deeply(counts(0, @r), { OK => 10, INSUFFICIENT_GOLD => 10 }, "$way: 20 sessions bet 10 of 100");
	is(stats($bob, 'slot'), '10 0 10 100 0 0', "$way: ten are counted");
	is(account($bob), '11 0', "$way: the gold is gone, and not more");

	# one action from 20 sessions that wait for each other
	my $cid = add_user($dbh, "cid$run", 100);
	@r = at_once($node, 'postgres', 20, sub {
		my $a = row($_[1], q{SELECT * FROM economy.record_action(?, 'rps', 'RPS_PLAY', 'one', 5, 9, NULL, '{"a": 1}')}, $cid);
		return @$a{qw(state transaction_id gold total)};
	}, @wait);
	is_deeply(counts(0, @r), { new => 1, reuse => 19 }, "$way: one action from 20 sessions");
	is_deeply([ map { counts($_, @r) } 1 .. 3 ], [ { "A$cid-2" => 20 }, { 104 => 20 }, { 1 => 20 } ], "$way: the same answer for all");
	is(stats($cid, 'rps'), '1 1 0 5 9 9', "$way: counted once");

	# from 20 that do not wait
	@r = at_once($node, 'postgres', 20, sub {
		my $a = row($_[1], q{SELECT * FROM economy.record_action(?, 'rps', 'RPS_PLAY', 'two', 5)}, $cid);
		return ($a->{state}, ($a->{retry_after_ms} // 0) > 0);
	}, @settings);
	my $states = counts(0, @r);
	is($states->{new}, 1, "$way: one is new");
	is(($states->{new} // 0) + ($states->{reuse} // 0) + ($states->{in_progress} // 0), 20, "$way: the others know it, or that it is under way");
	is(scalar(grep { ($_->[0] eq 'in_progress') != !!$_->[1] } @r), 0, "$way: and then when to ask again");
	is(stats($cid, 'rps'), '2 1 1 10 9 9', "$way: counted once");

	# with other payloads: the first decides
	@r = at_once($node, 'postgres', 20, sub {
		my ($n, $s) = @_;
		return (value($s, q{SELECT code FROM economy.record_action(?, 'rps', 'RPS_PLAY', 'three', 0, ?)}, $cid, $n));
	}, @wait);
	is_deeply(counts(0, @r), { OK => 1, IDEMPOTENCY_MISMATCH => 19 }, "$way: one action with 20 wins");

	# batches that share ids, in opposite orders of users, with single calls between
	my @many = map { add_user($dbh, "many$run-$_", 100) } 1 .. 20;
	@r = at_once($node, 'postgres', 20, sub {
		my ($n, $s) = @_;
		return (value($s, q{SELECT count(*) FROM unnest(?::bigint[]) u, economy.record_action(u, 'slot', 'T', 'shared', 1, 2) a WHERE a.state IN ('new', 'reuse')}, [ sort { $a <=> $b } @many ]))
		  if $n % 5 == 0;
		my @order = $n % 2 ? @many : reverse @many;
		my $batch = '[' . join(',', map { my $u = $_; map { qq({"user_id": $u, "game": "slot", "action_type": "T", "action_id": "$_", "bet": 1, "win": 2}) } "own$n", 'shared' } @order) . ']';
		return (value($s, q{SELECT count(*) FROM economy.record_actions(?::jsonb) WHERE state IN ('new', 'reuse')}, $batch));
	}, @wait);
	is_deeply(counts(0, @r), { 40 => 16, 20 => 4 }, "$way: batches over the same users, with single calls");
	is(value($dbh, q{SELECT count(*) FROM economy.game_stats s JOIN economy.accounts a USING (user_id) WHERE a.user_id = ANY (?) AND (s.total, s.wins, a.seq, a.gold) = (17, 17, 18, 117)}, \@many),
		20, "$way: 16 of their own and one shared, each once");

	# actions, purchases, claims, adjustments, rollups and a capture trigger, all of one user
	add_product($dbh, "toy$run", price_gold => 1);
	my $dan = add_user($dbh, "dan$run", 1000);
	$dbh->do("CREATE TABLE spins$run (id int, player bigint, bet int, win int)");
	$dbh->do("CREATE TRIGGER capture AFTER INSERT ON spins$run REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION economy.capture_actions('player', 'gacha', 'id', 'bet', 'win')");
	@r = at_once($node, 'postgres', 42, sub {
		my ($n, $s) = @_;
		my $way_of = $n % 6;
		return (value($s, q{SELECT state || ' ' || code FROM economy.record_action(?, 'gacha', 'GACHA_SPIN', ?, 1, 2)}, $dan, "k$n")) if $way_of == 0;
		return (value($s, q{SELECT state || ' ' || code FROM economy.purchase(?, ?, ?)}, $dan, "toy$run", "k$n")) if $way_of == 1;
		return (value($s, q{SELECT state || ' ' || code FROM economy.adjust_gold(?, 2, ?, 'r', 'a')}, $dan, "k$n")) if $way_of == 2;
		return (value($s, q{SELECT string_agg(DISTINCT state || ' ' || code, '') FROM economy.record_actions(jsonb_build_array(
			jsonb_build_object('user_id', ?::bigint, 'game', 'gacha', 'action_type', 'T', 'action_id', 'b' || ?, 'win', 1),
			jsonb_build_object('user_id', ?::bigint, 'game', 'gacha', 'action_type', 'T', 'action_id', 'c' || ?, 'win', 1)))}, $dan, $n, $dan, $n)) if $way_of == 3;
		if ($way_of == 4)
		{
			$s->do("INSERT INTO spins$run SELECT $n * 10 + i, $dan, 0, 1 FROM generate_series(1, 3) i");
			return 'captured';
		}
		value($s, 'SELECT users FROM economy.rollup_stats()') for 1 .. 3;
		return 'rolled up';
	}, @settings);
	is_deeply(counts(0, @r), { 'new OK' => 28, captured => 7, 'rolled up' => 7 }, "$way: all sorts of calls for one user");
	is(stats($dan, 'gacha'), '42 42 0 7 49 2', "$way: its 42 actions are counted");
	is(account($dan), '57 1049', "$way: and everything is paid");
	1 while value($dbh, 'SELECT users FROM economy.rollup_stats()') > 0;
	is(value($dbh, 'SELECT sum(total) FROM economy.user_game_stats_summary WHERE user_id = ?', $dan), 42, "$way: rolled up once");
	is($node->safe_psql('postgres', 'SELECT * FROM economy.stats_parity()'), '', "$way: parity");
}
is_clean($node, 'postgres', 'after the races');

# actions of prepared transactions
my $eve = add_user($dbh, 'eve', 100);
$dbh->begin_work;
$dbh->do('SET LOCAL economy.notify = off');
is(value($dbh, q{SELECT state FROM economy.record_action(?, 'slot', 'T', 'p', 1, 5)}, $eve), 'new', 'an action');
$dbh->do(q{PREPARE TRANSACTION 'action'});
is(value($dbh, q{SELECT state FROM economy.record_action(?, 'slot', 'T', 'p', 1, 5)}, $eve), 'in_progress', 'prepared: it is under way');
is(value($dbh, 'SELECT count(*) FROM economy.game_stats WHERE user_id = ?', $eve), 0, 'and not yet counted');
$dbh->do(q{COMMIT PREPARED 'action'});
is(value($dbh, q{SELECT state || ' ' || total FROM economy.record_action(?, 'slot', 'T', 'p', 1, 5)}, $eve), 'reuse 1', 'committed: it is counted');
is($node->safe_psql('postgres', 'SELECT * FROM economy.stats_parity()'), '', 'parity');

$dbh->disconnect;
$node->stop;
done_testing();
