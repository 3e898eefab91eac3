# The daily rollup beside writers: a late commit is not lost, two rollups count
# nothing twice, and a crash in the middle of everything leaves no difference.
use strict;
use warnings;

use DBD::Pg;
use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('play_rollup', conf => "fsync = on\nrestart_after_crash = on");
my $dbh = connect_to($node);
my $ann = add_user($dbh, 'ann', 1000);
my $bob = add_user($dbh, 'bob', 1000);

sub play { my ($s, $u, $id) = @_; return value($s, q{SELECT state FROM economy.record_action(?, 'slot', 'T', ?, 1, 2)}, $u, $id) }
sub rollup { return join ' ', $_[0]->selectrow_array('SELECT * FROM economy.rollup_stats()') }
sub rolled { return value($dbh, 'SELECT coalesce(sum(total), 0) FROM economy.user_game_stats_summary WHERE user_id = ?', $_[0]) }
sub parity { return $node->safe_psql('postgres', 'SELECT * FROM economy.stats_parity()') }

# --- a transaction that is open while the job runs --------------------------

my $writer = connect_to($node);
my $other = connect_to($node);
$writer->begin_work;
is(play($writer, $ann, 'late'), 'new', 'an action in an open transaction');
is(play($dbh, $bob, 'early'), 'new', 'a later one of another user is committed first');
is(rollup($dbh), '1 1 1', 'the rollup takes what is committed');
is(rollup($dbh), '0 0 0', 'once');
is(rolled($ann) . ' ' . rolled($bob), '0 1', 'the open one is not there');
$writer->commit;
is(rollup($dbh), '1 1 1', 'after its commit it is');
is(rolled($ann) . ' ' . rolled($bob), '1 1', 'both are counted');

# a writer with an old snapshot, and one that is prepared
$writer->do('BEGIN ISOLATION LEVEL REPEATABLE READ');
value($writer, 'SELECT count(*) FROM economy.accounts');
is(play($dbh, $bob, 'b2'), 'new', 'an action after its snapshot');
is(rollup($dbh), '1 1 1', 'is rolled up');
is(play($writer, $ann, 'a2'), 'new', 'the old snapshot writes');
$writer->do('COMMIT');
is(rollup($dbh), '1 1 1', 'and is rolled up after');
$writer->begin_work;
$writer->do('SET LOCAL economy.notify = off');
is(play($writer, $ann, 'a3'), 'new', 'an action');
$writer->do(q{PREPARE TRANSACTION 'late'});
is(rollup($dbh), '0 0 0', 'of a prepared transaction waits');
$dbh->do(q{COMMIT PREPARED 'late'});
is(rollup($dbh), '1 1 1', 'for its commit');
$writer->begin_work;
is(play($writer, $ann, 'a4'), 'new', 'an action');
is(rollup($dbh), '0 0 0', 'that is');
$writer->rollback;
is(rollup($dbh), '0 0 0', 'rolled back never comes');
is(parity(), '', 'parity');

# --- two rollups -------------------------------------------------------------

is(play($dbh, $ann, 'a5'), 'new', 'an action');
$writer->begin_work;
is(rollup($writer), '1 1 1', 'a rollup that is not committed');
my $pid = $other->{pg_pid};
$other->do('SELECT * FROM economy.rollup_stats()', { pg_async => DBD::Pg::PG_ASYNC() });
wait_until_blocked($node, 'postgres', $pid);
is(play($dbh, $bob, 'b3'), 'new', 'actions go on meanwhile');
$writer->commit;
$other->pg_result;
is(rolled($ann) . ' ' . rolled($bob), '4 3', 'the second begins where the first ended');
is(rollup($dbh), '0 0 0', 'nothing is left');
is(play($dbh, $ann, 'a6'), 'new', 'an action');
$writer->begin_work;
is(rollup($writer), '1 1 1', 'a rollup');
$other->do('SELECT * FROM economy.rollup_stats()', { pg_async => DBD::Pg::PG_ASYNC() });
wait_until_blocked($node, 'postgres', $pid);
$writer->rollback;
$other->pg_result;
is(rolled($ann), '5', 'that is rolled back leaves its work to the second');
is(parity(), '', 'parity');

foreach my $level ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE')
{
	my @users = map { add_user($dbh, "$level $_", 100) } 1 .. 30;
	my @r = at_once($node, 'postgres', 12, sub {
		my ($n, $s) = @_;
		my %n;
		foreach my $i (1 .. 15)
		{
			if ($n % 3 == 0)
			{
				my $state = try_sql($s, 'SELECT * FROM economy.rollup_stats(7)');
				$n{$state}++ if $state ne '' && $state ne '40001';
			}
			else
			{
				my $user = $users[ ($n * 31 + $i * 7) % @users ];
				for (1 .. 50)
				{
					last if try_sql($s, "SELECT economy.record_action($user, 'slot', 'T', '$n-$i', 1, 2)") eq '';
				}
			}
		}
		return join ' ', %n;
	}, "SET default_transaction_isolation = '$level'");
	is_deeply([ grep { ($_->[0] // '') ne '' } @r ], [], "$level: actions and rollups at once");
	1 while value($dbh, 'SELECT users FROM economy.rollup_stats()') > 0;
	is(value($dbh, 'SELECT sum(total) FROM economy.user_game_stats_summary WHERE user_id = ANY (?)', \@users), 8 * 15, "$level: every action is in the days once");
	is(value($dbh, 'SELECT sum(total) FROM economy.game_stats WHERE user_id = ANY (?)', \@users), 8 * 15, "$level: and in the statistics");
	is(parity(), '', "$level: parity");
}
is_clean($node, 'postgres', 'beside writers');

# --- a crash in the middle of load and rollups --------------------------------

eval { $_->disconnect } foreach $writer, $other;
sub under_load
{
	my ($name, $crash) = @_;
	my @acked;
	my @pids;
	my $dir = PostgreSQL::Test::Utils::tempdir();

	for my $number (1 .. 6)
	{
		append_to_file("$dir/log$number", '');
		my $child = fork() // die "fork: $!";
		if ($child == 0)
		{
			eval {
				my $s = connect_to($node);
				for (my $i = 0;; $i++)
				{
					my $user = $i % 2 ? $ann : $bob;
					if ($number == 6) { value($s, 'SELECT users FROM economy.rollup_stats()') }
					elsif ($number == 5)
					{
						value($s, q{SELECT count(*) FROM economy.record_actions((SELECT jsonb_agg(jsonb_build_object(
							'user_id', CASE n % 2 WHEN 0 THEN ?::bigint ELSE ?::bigint END, 'game', 'crash', 'action_type', 'T', 'action_id', ? || n, 'win', 1))
							FROM generate_series(1, 50) n))}, $ann, $bob, "$name-$number-$i-");
						append_to_file("$dir/log$number", "$name-$number-$i-$_\n") foreach 1 .. 50;
					}
					else
					{
						play($s, $user, "$name-$number-$i");
						append_to_file("$dir/log$number", "$name-$number-$i\n");
					}
				}
			};
			POSIX::_exit(0);
		}
		push @pids, $child;
	}
	$node->poll_query_until('postgres', "SELECT count(*) >= 1500 FROM economy.user_actions WHERE action_id LIKE '$name-%'") or die 'the load does not run';
	$crash->();
	waitpid $_, 0 foreach @pids;
	@acked = map { split /\n/, slurp_file($_) } glob "$dir/log*";
	$dbh = connect_to($node);
	my %stored = map { ($_->[0] => $_->[1]) } @{ $dbh->selectall_arrayref('SELECT action_id, count(*) FROM economy.user_actions WHERE action_id LIKE ? GROUP BY 1', undef, "$name-%") };
	cmp_ok(scalar @acked, '>', 500, "$name: actions were acknowledged");
	is(scalar(grep { ($stored{$_} // 0) != 1 } @acked), 0, "$name: every one of them is there, once");
	is(parity(), '', "$name: parity before another rollup");
	1 while value($dbh, 'SELECT users FROM economy.rollup_stats()') > 0;
	is(parity(), '', "$name: parity after it");
	is(value($dbh, 'SELECT sum(total) FROM economy.user_game_stats_summary'), value($dbh, 'SELECT count(*) FROM economy.user_actions'), "$name: every action is in the days once");
	is_clean($node, 'postgres', $name);
	return;
}

$dbh->disconnect;
under_load('immediate', sub { $node->stop('immediate'); $node->start });
$dbh->disconnect;
under_load('backend', sub {
	my $victim = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE query LIKE '%economy.rollup_stats%' AND pid <> pg_backend_pid() LIMIT 1});
	kill 'KILL', $victim;
	# the server refuses sessions meanwhile
	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		my $s = eval { connect_to($node) };
		last if $s && (eval { value($s, 'SELECT count(*) FROM pg_stat_activity WHERE pid = ?', $victim) } // 1) == 0;
		select undef, undef, undef, 0.1;
	}
});

$dbh->disconnect;
$node->stop;
done_testing();
