# pg_repack beside buyers of a product that is sold once to each user: nobody owns
# it twice, and no call gets a serialization failure.  ECONOMY_REPACK_RUNS says how
# often; and a key lock that was waited for ends with its transaction.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $RUNS = $ENV{ECONOMY_REPACK_RUNS} // 6;
my $USERS = 3000;

my $node = new_node('repack', conf => "autovacuum = off\n");
my $dbh = connect_to($node);

# a duplicate waits for the first call, which is rolled back
{
	my $ann = add_user($dbh, 'ann', 1000);
	add_product($dbh, 'potion', price_gold => 10);
	my $first = connect_to($node);
	$first->begin_work;
	is(value($first, "SELECT state FROM economy.purchase($ann, 'potion', 'k')"), 'new', 'the first call');
	my ($out, $err) = ('', '');
	my $second = IPC::Run::start(
		# not by its input, which it would get when it is waited for
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', q{SET economy.duplicate_wait = '30s'},
			'-c', "SELECT state FROM economy.purchase($ann, 'potion', 'k')",
			'-c', q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()} ],
		'<', '/dev/null', '>', \$out, '2>', \$err, IPC::Run::timeout(60));
	sleep 1;
	$first->rollback;
	IPC::Run::finish($second);
	is("$out$err", "new\n0\n", 'the duplicate that waited does it, and holds no lock when its transaction is over');
}

$dbh->do('CREATE EXTENSION pg_repack');
add_product($dbh, 'once', price_gold => 1, limit_once => 'true');
my @tables = qw(shop_transactions accounts shop_products);
my $script = PostgreSQL::Test::Utils::tempdir() . '/buy.sql';
# several clients come for a user at about the same time: one who waits for the
# table with a snapshot from before must find what another has just bought
$dbh->do('CREATE SEQUENCE comers');
append_to_file($script, "\\set k random(1, 1000000000)\nSELECT code FROM economy.purchase(:first + nextval('comers') / 6 % $USERS, 'once', 'k' || :k);\n");

my ($failed, $repacked) = (0, 0);
foreach my $run (1 .. $RUNS)
{
	my $first = value($dbh, "SELECT min(economy.register('repack $run ' || i)) FROM generate_series(1, $USERS) i");
	$dbh->do("SELECT economy.adjust_gold($first + i, 1000, 'open', 'a test', 'tester') FROM generate_series(0, $USERS - 1) i");
	$dbh->do("SELECT setval('comers', 1)");
	my ($out, $err) = ('', '');
	my $bench = IPC::Run::start(
		[ 'pgbench', '-n', '-c', 12, '-j', 2, '-T', 2, '--failures-detailed', '-D', "first=$first", '-f', $script, $node->connstr('postgres') ],
		'>', \$out, '2>', \$err, IPC::Run::timeout(120));
	foreach my $table (@tables)
	{
		my ($repack_out, $repack_err);
		$repacked += IPC::Run::run([ 'pg_repack', '-h', $node->host, '-p', $node->port, '-d', 'postgres', '-t', "economy.$table", '--no-order', '-D' ],
			'>', \$repack_out, '2>', \$repack_err, IPC::Run::timeout(60));
	}
	IPC::Run::finish($bench);
	my ($serialization) = $out =~ /number of serialization failures: (\d+)/;
	next if $bench->result(0) == 0 && defined $serialization && $serialization == 0 && $err !~ /ERROR/;
	$failed++;
	diag("run $run: $out$err");
}
ok($repacked > 0, "$repacked tables were repacked");
is($failed, 0, "no call failed in $RUNS runs");
is(value($dbh, "SELECT count(*) FROM (SELECT FROM economy.shop_transactions WHERE product_id = 'once' GROUP BY user_id HAVING count(*) > 1) t"), 0, 'nobody owns it twice');
ok(value($dbh, "SELECT count(*) FROM economy.shop_transactions WHERE product_id = 'once'") > $RUNS * 100, 'many own it');
is_clean($node, 'postgres', 'after all of it');

done_testing();
