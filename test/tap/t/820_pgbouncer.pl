# Through pgbouncer in transaction mode, where every transaction may have another
# server session: nothing of economy may live in a session.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use DBI;
use EconomyTest;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($pgbouncer) = grep { -x } qw(/usr/sbin/pgbouncer /usr/bin/pgbouncer);

missing('pgbouncer') if !$pgbouncer;

my $node = new_node('pooled', conf => "shared_preload_libraries = 'economy'");
my $direct = connect_to($node);
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $dir = PostgreSQL::Test::Utils::tempdir();
my $user = value($direct, 'SELECT current_user');

append_to_file("$dir/users", qq{"$user" ""\n});
append_to_file("$dir/pgbouncer.ini", <<"INI");
[databases]
postgres = host=${\ $node->host} port=${\ $node->port} dbname=postgres user=$user
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $port
unix_socket_dir =
auth_type = trust
auth_file = $dir/users
pool_mode = transaction
default_pool_size = 3
ignore_startup_parameters = extra_float_digits
logfile = $dir/log
pidfile = $dir/pid
INI
system($pgbouncer, '-q', '-d', "$dir/pgbouncer.ini") == 0 or die "pgbouncer does not start\n";
END { my $status = $?; kill 'INT', slurp_file("$dir/pid") if $dir && -e "$dir/pid"; $? = $status }

sub pooled
{
	# prepared statements of the protocol do not survive a change of the server session
	my $dbh = DBI->connect("dbi:Pg:host=127.0.0.1;port=$port;dbname=postgres", $user, '',
		{ RaiseError => 1, PrintError => 0, AutoCommit => 1, AutoInactiveDestroy => 1, pg_server_prepare => 0 });

	return $dbh;
}

my $first;
for (1 .. 100) { last if $first = eval { pooled() }; select undef, undef, undef, 0.1 }
$first //= pooled();

add_product($direct, 'potion', price_gold => 10);
add_product($direct, 'rare', price_gold => 1, stock => 20);
my @users = map { add_user($direct, "u$_", 10000) } 1 .. 4;

# every call on a server session of its own choice
is(value($first, q{SELECT state FROM economy.purchase(?, 'potion', 'a')}, $users[0]), 'new', 'a purchase');
is(value(pooled(), q{SELECT state FROM economy.purchase(?, 'potion', 'a')}, $users[0]), 'reuse', 'its retry elsewhere');
is(value($first, q{SELECT code FROM economy.grant_reward(?, 'quest', 'q1', 5, 600)}, $users[0]), 'OK', 'a reward');
is(value($first, q{SELECT code FROM economy.claim_daily_reward(?)}, $users[0]), 'CLAIMED', 'a claim');
is(value($first, q{SELECT code FROM economy.record_action(?, 'slot', 'SLOT_SPIN', 's1', 10, 30)}, $users[0]), 'OK', 'an action');
$first->begin_work;
value($first, q{SELECT state FROM economy.purchase(?, 'potion', 'b')}, $users[0]);
$first->rollback;
is(value($first, q{SELECT state FROM economy.purchase(?, 'potion', 'b')}, $users[0]), 'new', 'what was rolled back is not there');

is(value($first, q{CALL economy.run_job('rollup_stats')}), 'done', 'a job, which commits');
is(try_sql($first, q{CALL economy.run_job('mischief')}), 'XE002', 'there is no such job');
is(value($direct, q{SELECT string_agg(job || ' ' || state, ', ') FROM economy.job_runs}), 'rollup_stats done', 'the run is recorded');
is(value($direct, q{SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' AND a.usename = current_user AND a.pid <> pg_backend_pid()}), 0,
	'no server session keeps a lock');

# more clients than server sessions
my $sold = 0;
my @pids;
foreach my $client (1 .. 8)
{
	my $pid = fork // die "fork: $!";
	if ($pid == 0)
	{
		my $dbh = pooled();
		for my $n (1 .. 30)
		{
			my $u = $users[ ($client + $n) % 4 ];
			# a key is of two clients, so half of the calls are duplicates
			my $key = join '-', int(($client + 1) / 2), $n;

			for (1 .. 100)
			{
				last if value($dbh, q{SELECT state FROM economy.purchase(?, 'potion', ?)}, $u, "p$key") ne 'in_progress';
				select undef, undef, undef, 0.01;
			}
			value($dbh, q{SELECT state FROM economy.purchase(?, 'rare', ?)}, $u, "r$key");
		}
		POSIX::_exit(0);
	}
	push @pids, $pid;
}
is((grep { waitpid($_, 0); $? } @pids), 0, 'all clients came through');
is(value($direct, q{SELECT sum(quantity) FROM economy.shop_transactions WHERE product_id = 'rare'}), 20, 'the stock is sold exactly');
is(value($direct, q{SELECT count(*) - count(DISTINCT (user_id, idempotency_key)) FROM economy.shop_transactions}), 0, 'no key twice');
cmp_ok(value($direct, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'}), '<=', 4,
	'by three server sessions');

# what was missed can be asked for through the pool, without LISTEN
is(value($first, q{SELECT code FROM economy.replay(?, 0, 10000) ORDER BY code <> 'CAUGHT_UP' LIMIT 1}, $users[0]), 'CAUGHT_UP', 'replay()');
is(value($first, q{SELECT code FROM economy.changes('start', 10000) ORDER BY code <> 'CAUGHT_UP' LIMIT 1}), 'CAUGHT_UP', 'changes()');
is_clean($node, 'postgres', 'at the end');

$_->disconnect foreach $first, $direct;
kill 'INT', slurp_file("$dir/pid");
$node->stop;
done_testing();
