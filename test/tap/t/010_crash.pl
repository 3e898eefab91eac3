# A server that goes down under load: what was acknowledged is there exactly
# once, what was not known is settled by the retry, and the ledger is sound.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $workers = 6;
my $enough = 150;    # acknowledged purchases before the crash

my $node = new_node('crash', conf => "restart_after_crash = on\nfsync = on");
my $dbh = connect_to($node);
my @users = map { add_user($dbh, "user$_", 1_000_000) } 1 .. 3;
add_product($dbh, 'potion', price_gold => 3);
add_product($dbh, 'limited', price_gold => 1, stock => 100_000);
$dbh->disconnect;

# Buys until the connection is lost.  The file gets a line before a call
# (try) and one after it (ack), so the last try may lack its ack.
sub work
{
	my ($round, $number, $file) = @_;
	my $session = connect_to($node);

	for (my $i = 0;; $i++)
	{
		my $user = $users[ $i % @users ];
		my $product = $i % 2 ? 'potion' : 'limited';
		my $key = "$round-$number-$i";

		append_to_file($file, "try $user $product $key -\n");
		my $id = value($session, 'SELECT transaction_id FROM economy.purchase(?, ?, ?)',
			$user, $product, $key);
		append_to_file($file, "ack $user $product $key $id\n");
	}
	return;
}

sub under_load
{
	my ($round, $crash, $recover) = @_;
	my @files = map { PostgreSQL::Test::Utils::tempdir() . "/log$_" } 1 .. $workers;
	my @pids;

	for my $number (1 .. $workers)
	{
		append_to_file($files[ $number - 1 ], '');
		my $pid = fork() // die "fork: $!";
		if ($pid == 0)
		{
			eval { work($round, $number, $files[ $number - 1 ]) };
			POSIX::_exit(0);
		}
		push @pids, $pid;
	}
	$node->poll_query_until('postgres',
		"SELECT count(*) >= $enough FROM economy.shop_transactions WHERE idempotency_key LIKE '$round-%'")
	  or die 'the load does not run';
	$crash->();
	waitpid $_, 0 foreach @pids;
	$recover->() if $recover;
	return map { [ split ' ' ] } map { split /\n/, slurp_file($_) } @files;
}

sub settle
{
	my ($round, @log) = @_;
	my $session = connect_to($node);
	my %acked = map { ($_->[3] => $_) } grep { $_->[0] eq 'ack' } @log;
	my @unknown = grep { !$acked{ $_->[3] } } grep { $_->[0] eq 'try' } @log;
	my %stored;

	cmp_ok(scalar keys %acked, '>=', $enough / 2, "$round: purchases were acknowledged");
	push @{ $stored{ $_->[0] } }, $_->[1] foreach @{ $session->selectall_arrayref(
			"SELECT idempotency_key, 'P' || user_id || '-' || seq FROM economy.shop_transactions") };
	is(scalar(grep { @{ $stored{$_} // [] } != 1 || $stored{$_}[0] ne $acked{$_}[4] } keys %acked),
		0, "$round: every acknowledged purchase is there, exactly once");

	my @wrong = grep {
		my $first = $stored{ $_->[3] };
		my $again = row($session, 'SELECT state, transaction_id FROM economy.purchase(?, ?, ?)', @$_[ 1 .. 3 ]);
		$again->{state} ne ($first ? 'reuse' : 'new') || ($first && $again->{transaction_id} ne $first->[0]);
	} @unknown;
	is(scalar @wrong, 0, "$round: the retry settles the calls without an answer");
	@wrong = grep {
		value($session, 'SELECT state FROM economy.purchase(?, ?, ?)', @$_[ 1 .. 3 ]) ne 'reuse'
	} @unknown, values %acked;
	is(scalar @wrong, 0, "$round: from then on every key answers reuse");
	is_clean($node, 'postgres', $round);
	$session->disconnect;
	return;
}

settle('immediate', under_load('immediate', sub { $node->stop('immediate'); $node->start }));

settle('backend', under_load('backend', sub {
	my $pid = $node->safe_psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE query LIKE '%economy.purchase%' AND pid <> pg_backend_pid() LIMIT 1");
	kill 'KILL', $pid;
	# a psql that is refused may not read its query, which is an error of the pipe's
	for (1 .. 100)
	{
		last if eval { $node->poll_query_until('postgres', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)") };
	}
}));

settle('postmaster', under_load('postmaster', sub { $node->kill9 }, sub {
	# the orphans end by themselves; another server starts when the last one has
	my $file = $node->data_dir . '/postmaster.pid';
	my ($pid) = slurp_file($file) =~ /^(\d+)/;

	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		# a zombie that nobody reaps still answers signal 0
		my $stat = eval { slurp_file("/proc/$pid/stat") } // '';
		unlink $file, sprintf('%s/.s.PGSQL.%d.lock', $node->host, $node->port) if $stat =~ /\) Z /;
		last if $stat eq '' || $stat =~ /\) Z /;
		select undef, undef, undef, 0.1;
	}
	$node->start;
}));

$node->stop;
done_testing();
