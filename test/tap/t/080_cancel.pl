# Calls that are cut off while they wait for a lock: nothing is half done, and
# the next call of the same session works.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('cancel');
my $setup = connect_to($node);
my ($ann, $bob) = map { add_user($setup, $_, 100_000) } qw(ann bob);
add_product($setup, 'potion', price_gold => 10);
add_product($setup, 'limited', price_gold => 10, stock => 1000, slots => 1);

# what holds the lock, and what waits for it
my %waits = (
	'purchase for the account' => [ "SELECT economy.purchase($ann, 'potion', 'holder')", "SELECT state FROM economy.purchase($ann, 'potion', 'KEY')" ],
	'purchase for the stock' => [ "SELECT economy.purchase($bob, 'limited', 'holder')", "SELECT state FROM economy.purchase($ann, 'limited', 'KEY')" ],
	'purchases for an account' => [ "SELECT economy.purchase($bob, 'potion', 'holder')", "SELECT min(state) FROM economy.purchases('{$bob,$ann}', '{potion,potion}', '{KEY,KEY}')" ],
	'purchases for the stock' => [ "SELECT economy.purchase($bob, 'limited', 'holder')", "SELECT min(state) FROM economy.purchases('{$ann,$ann}', '{potion,limited}', '{KEY,KEY}')" ],
	'adjust_gold for the account' => [ "SELECT economy.adjust_gold($ann, 1, 'holder', 'a test', 'tester')", "SELECT state FROM economy.adjust_gold($ann, 1, 'KEY', 'a test', 'tester')" ],
	'grant_reward for the account' => [ "SELECT economy.adjust_gold($ann, 1, 'holder', 'a test', 'tester')", "SELECT state FROM economy.grant_reward($ann, 'test', 'KEY', 1)" ],
	'grant_rewards for an account' => [ "SELECT economy.adjust_gold($bob, 1, 'holder', 'a test', 'tester')", "SELECT min(state) FROM economy.grant_rewards('{$bob,$ann}', '{test,test}', '{KEY,KEY}', '{1,2}')" ],
	'set_user_status for the account' => [ "SELECT economy.purchase($ann, 'potion', 'holder')", "SELECT economy.set_user_status($ann, 'active', 'KEY')" ],
	'update_profile for the account' => [ "SELECT economy.purchase($ann, 'potion', 'holder')", qq{SELECT state FROM economy.update_profile($ann, '{"KEY": 1}', 'KEY')} ],
	'add_stock for the stock' => [ "SELECT economy.purchase($bob, 'limited', 'holder')", "SELECT economy.add_stock('limited', 5, 'KEY')" ],
	'purchase for its own key' => [ "SELECT economy.purchase($ann, 'potion', 'KEY')", "SELECT state FROM economy.purchase($ann, 'potion', 'KEY')", 'duplicate' ]);

my %cuts = (
	cancel => [ '57014', sub { kill 'INT', $_[0] } ],
	statement_timeout => [ '57014', undef, q{SET statement_timeout = '50ms'} ],
	lock_timeout => [ '55P03', undef, q{SET lock_timeout = '50ms'} ],
	terminate => [ '57P01', sub { kill 'TERM', $_[0] } ]);

my $n = 0;
foreach my $way ('auto', 'sql')
{
	foreach my $what (sort keys %waits)
	{
		my ($holds, $waits, $is_duplicate) = @{ $waits{$what} };
		foreach my $cut (sort keys %cuts)
		{
			my ($expected, $send, $setting) = @{ $cuts{$cut} };
			my $name = "$what, $cut, $way";
			my $key = 'k' . ++$n;

			# a duplicate waits for its key by looking again, not in a lock queue
			next if $is_duplicate && $cut eq 'lock_timeout';

			my ($holder, $waiter) = (connect_to($node), connect_to($node));
			my $pid = value($waiter, 'SELECT pg_backend_pid()');
			my ($first, $second) = map { s/KEY/$key/gr } $holds, $waits;
			my $before = fingerprint($node);

			$waiter->do("SET economy.row_access = $way");
			$waiter->do('SET economy.duplicate_wait = 60000');
			$waiter->do(q{SELECT economy.purchase(?, 'potion', 'holder', dry_run => true)}, undef, $ann);
			$holder->begin_work;
			$holder->do($first);
			$waiter->do($setting) if $setting;
			$waiter->do($second, { pg_async => DBD::Pg::PG_ASYNC() });
			if ($send)
			{
				if ($is_duplicate)
				{
					$node->poll_query_until('postgres',
						"SELECT state = 'active' FROM pg_stat_activity WHERE pid = $pid");
				}
				else
				{
					wait_until_blocked($node, 'postgres', $pid);
				}
				$send->($pid);
			}
			eval { $waiter->pg_result };
			like($waiter->state, $cut eq 'terminate' ? qr/^(57P01|08006|08000|22000)$/ : qr/^$expected$/, "$name: is cut off");
			$holder->rollback;
			is(fingerprint($node), $before, "$name: nothing is there");

			$waiter = connect_to($node) if $cut eq 'terminate';
			$waiter->do('RESET ALL');
			like(eval { value($waiter, $second) } // $@, qr/^(new|active|\d+)$/, "$name: the next call works");
			is($node->safe_psql('postgres', "SELECT * FROM economy.verify_chain($ann)"), '', "$name: the chain is sound");
			$_->disconnect foreach $holder, $waiter;
		}
	}
}

# In a transaction that catches it, the cut-off call is as if it never was; also where it
# is cut off in a savepoint of its own, in which it waits for stock.
my ($holder, $waiter) = (connect_to($node), connect_to($node));
my $carol = add_user($setup, 'carol', 1_000);
foreach my $case (map { my $way = $_; map { [ $way, @$_ ] } [ 'account', $ann, 'potion' ], [ 'stock', $carol, 'limited' ] } 'auto', 'sql')
{
	my ($way, $what, $who, $product) = @$case;
	my $name = "exception block, $what, $way";

	$waiter->do("SET economy.row_access = $way");
	$holder->begin_work;
	$holder->do("SELECT economy.purchase($who, '$product', 'held-$what-$way')");
	$waiter->begin_work;
	$waiter->do("SELECT economy.purchase($bob, 'potion', 'bob-$what-$way')");
	$waiter->do(q{SET LOCAL lock_timeout = '20ms'});
	$waiter->do(qq{DO \$\$ BEGIN PERFORM economy.purchase($ann, '$product', 'ann-$what-$way'); EXCEPTION WHEN lock_not_available THEN NULL; END \$\$});
	$waiter->do("SELECT economy.purchase($bob, 'potion', 'bob-after-$what-$way')");
	is($waiter->commit, 1, "$name: the transaction goes on");
	$holder->commit;
	is(value($waiter, "SELECT state FROM economy.purchase($ann, '$product', 'ann-$what-$way')"), 'new', "$name: the key is free");
	is(value($waiter, "SELECT state FROM economy.purchase($bob, 'potion', 'bob-$_$what-$way')"), 'reuse', "$name: the rest is there") foreach '', 'after-';
}

# Two transactions in each other's way: one is told 40P01, and both add up.
$holder->begin_work;
$waiter->begin_work;
$holder->do("SELECT economy.adjust_gold($ann, 1, 'crossed1', 'a test', 'tester')");
$waiter->do("SELECT economy.adjust_gold($bob, 1, 'crossed1', 'a test', 'tester')");
$holder->do("SELECT economy.adjust_gold($bob, 1, 'crossed2', 'a test', 'tester')", { pg_async => DBD::Pg::PG_ASYNC() });
my $error = try_sql($waiter, "SELECT economy.adjust_gold($ann, 1, 'crossed2', 'a test', 'tester')");
$waiter->rollback;
eval { $holder->pg_result };
is(join(',', sort grep { $_ } $error, $holder->state), '40P01', 'a deadlock is one transaction told so');
$holder->rollback;
$_->disconnect foreach $holder, $waiter, $setup;
is_clean($node, 'postgres', 'at the end');

$node->stop;
done_testing();
