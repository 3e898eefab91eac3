# Many real sessions at one moment on one key, one last unit, one user's cap,
# one first signing key: one effect each, and nobody is turned away wrongly.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('race', conf => 'deadlock_timeout = 100ms');
my $dbh = connect_to($node);
my $run = 0;

sub buy
{
	my ($session, $user, $product, $key, $quantity) = @_;
	my $r = row($session, 'SELECT * FROM economy.purchase(?, ?, ?, ?)', $user, $product, $key, $quantity // 1);

	return @$r{qw(state code transaction_id retry_after_ms)};
}

sub tally { my %n; $n{ $_->[0] eq 'refused' ? $_->[1] : $_->[0] }++ foreach @_; return \%n }

sub race
{
	my ($n, $settings, $code) = @_;
	return at_once($node, 'postgres', $n, $code, @$settings);
}

my %settings = (
	'auto' => [],
	'auto, waiting' => [q{SET economy.duplicate_wait = '60s'}],
	'sql' => ['SET economy.row_access = sql'],
	'sql, waiting' => [ 'SET economy.row_access = sql', q{SET economy.duplicate_wait = '60s'} ]);

foreach my $n (10, 50)
{
	foreach my $way (sort keys %settings)
	{
		my $name = "$n sessions, $way";
		my $waiting = $way =~ /waiting/;
		my $id = ++$run;
		my $ann = add_user($dbh, "ann$id", 1000);
		my $product = add_product($dbh, "p$id", price_gold => 10);

		# one key
		my @r = race($n, $settings{$way}, sub { buy($_[1], $ann, $product, 'k') });
		my $tally = tally(@r);
		my ($new) = grep { $_->[0] eq 'new' } @r;
		is($tally->{new}, 1, "$name: one key, one effect");
		is(($tally->{reuse} // 0) + ($tally->{in_progress} // 0), $n - 1, "$name: all others are duplicates") or diag(explain($tally));
		is($tally->{in_progress} // 0, 0, "$name: all of them waited for the answer") if $waiting;
		is(scalar(grep { $_->[0] eq 'reuse' && $_->[2] ne $new->[2] } @r), 0, "$name: with one transaction id");
		is(scalar(grep { $_->[0] eq 'in_progress' && ($_->[3] < 150 || $_->[3] > 300) } @r), 0, "$name: with a pause to take");
		is(value($dbh, 'SELECT gold FROM economy.account(?)', $ann), 990, "$name: charged once");

		# one key of adjust_gold and of grant_reward
		@r = race($n, $settings{$way}, sub {
			my $r = row($_[1], q{SELECT state, code, transaction_id FROM economy.adjust_gold(?, 10, 'k', 'a test', 'tester')}, $ann);
			@$r{qw(state code transaction_id)};
		});
		is(tally(@r)->{new}, 1, "$name: one adjustment");
		@r = race($n, $settings{$way}, sub {
			my $r = row($_[1], q{SELECT state, code, transaction_id FROM economy.grant_reward(?, 'test', 'k', 10)}, $ann);
			@$r{qw(state code transaction_id)};
		});
		is(tally(@r)->{new}, 1, "$name: one reward");
		is(value($dbh, 'SELECT gold FROM economy.account(?)', $ann), 1010, "$name: each counted once");
		next if $waiting;

		# the last unit, a user each
		my @users = map { add_user($dbh, "buyer$id-$_", 100) } 1 .. $n;
		add_product($dbh, "last$id", price_gold => 10, stock => 1);
		@r = race($n, $settings{$way}, sub { buy($_[1], $users[ $_[0] - 1 ], "last$id", 'k') });
		is_deeply(tally(@r), { new => 1, SOLD_OUT => $n - 1 }, "$name: the last unit");

		# as many units as buyers: whoever finds a slot taken finds another
		add_product($dbh, "enough$id", price_gold => 10, stock => $n);
		@r = race($n, $settings{$way}, sub { buy($_[1], $users[ $_[0] - 1 ], "enough$id", 'k') });
		is_deeply(tally(@r), { new => $n }, "$name: units for all");
		is(value($dbh, 'SELECT sum(remaining) FROM economy.shop_stock WHERE product_id = ?', "enough$id"), 0, "$name: and no more");

		# several units at once, gathered from the slots
		add_product($dbh, "several$id", price_gold => 1, stock => 3 * $n, slots => 4);
		@r = race($n, $settings{$way}, sub { buy($_[1], $users[ $_[0] - 1 ], "several$id", 'k', 3) });
		is_deeply(tally(@r), { new => $n }, "$name: three units for all");

		# fewer units than buyers, each of whom tries until it is told SOLD_OUT
		add_product($dbh, "flash$id", price_gold => 0, stock => 2 * $n + 1);
		@r = race($n, $settings{$way}, sub {
			my ($number, $session) = @_;
			my $bought = 0;
			$bought++ while (buy($session, $users[ $number - 1 ], "flash$id", "k$bought"))[0] eq 'new';
			return ($bought);
		});
		my $sold = 0;
		$sold += $_->[0] foreach @r;
		is($sold, 2 * $n + 1, "$name: everything is sold, nothing twice");

		# one user's cap, limit_once and purse
		my $eve = add_user($dbh, "eve$id", 80);
		add_product($dbh, "capped$id", price_gold => 1, per_user_limit => 5);
		@r = race($n, $settings{$way}, sub { buy($_[1], $eve, "capped$id", "k$_[0]") });
		is_deeply(tally(@r), { new => 5, USER_LIMIT => $n - 5 }, "$name: one user's cap");
		add_product($dbh, "daily$id", price_gold => 1, per_user_limit => 5, limit_period => 'day');
		@r = race($n, $settings{$way}, sub { buy($_[1], $eve, "daily$id", "k$_[0]") });
		is_deeply(tally(@r), { new => 5, USER_LIMIT => $n - 5 }, "$name: one user's cap of a day");
		add_product($dbh, "store$id", category => 'conversion', granted_gold => 1, global_key => 'true');
		@r = race($n, $settings{$way}, sub {
			my ($number, $session) = @_;
			my @answer;

			for (1 .. 1000)
			{
				@answer = buy($session, $users[ $number - 1 ], "store$id", 'k' . int($number / 2));
				last if $answer[0] ne 'in_progress';
			}
			return @answer;
		});
		my $keys = 1 + int($n / 2);
		is_deeply(tally(@r), { new => $keys, KEY_USED => $n - $keys }, "$name: two users with one key of all");
		add_product($dbh, "once$id", price_gold => 1, limit_once => 'true');
		@r = race($n, $settings{$way}, sub { buy($_[1], $eve, "once$id", "k$_[0]") });
		is_deeply(tally(@r), { new => 1, LIMIT_ONCE => $n - 1 }, "$name: limit_once");
		add_product($dbh, "dear$id", price_gold => 20);
		@r = race($n, $settings{$way}, sub { buy($_[1], $eve, "dear$id", "k$_[0]") });
		is_deeply(tally(@r), { new => 3, INSUFFICIENT_GOLD => $n - 3 }, "$name: one user's purse");

		# one registration
		@r = race($n, $settings{$way}, sub { (value($_[1], 'SELECT economy.register(?)', "same$id"), '') });
		is(scalar(keys %{ { map { $_->[0] => 1 } @r } }), 1, "$name: one registration");
		@r = race($n, $settings{$way}, sub { @{ row($_[1], 'SELECT is_new, user_id FROM economy.register_user(?)', "new$id") }{qw(is_new user_id)} });
		is_deeply([ scalar(grep { $_->[0] } @r), scalar(keys %{ { map { $_->[1] => 1 } @r } }) ], [ 1, 1 ], "$name: one of them is told that the user is new");
		@r = race($n, $settings{$way}, sub { (value($_[1], 'SELECT code FROM economy.claim_daily_reward(?)', $eve), '') });
		is_deeply(tally(@r), { CLAIMED => 1, ALREADY_CLAIMED => $n - 1 }, "$name: one claim");
		is_clean($node, 'postgres', $name);
	}
}

# Stock that is added and evened out while it is sold: it adds up, and whoever
# is told SOLD_OUT could not have been served.
my @users = map { add_user($dbh, "mixed$_", 0) } 1 .. 10;
add_product($dbh, 'mixed', price_gold => 0, stock => 40);
my @r = race(10, [], sub {
	my ($number, $session) = @_;
	my $bought = 0;
	for my $i (1 .. 30)
	{
		value($session, q{SELECT economy.add_stock('mixed', 1, 'tester')}) if $number <= 3 && $i % 3 == 0;
		$bought++ if (buy($session, $users[ $number - 1 ], 'mixed', "k$i"))[0] eq 'new';
	}
	return ($bought, '');
});
my $bought = 0;
$bought += $_->[0] foreach @r;
is($bought + value($dbh, q{SELECT sum(remaining) FROM economy.shop_stock WHERE product_id = 'mixed'}), 40 + 3 * 10,
	'stock sold while it is added adds up');

# At the higher levels 40001 is the only new outcome, and a retry settles it.
foreach my $level ('REPEATABLE READ', 'SERIALIZABLE')
{
	my $ann = add_user($dbh, "ann $level", 1000);
	add_product($dbh, "p $level", price_gold => 10, stock => 50);
	@r = race(10, ["SET default_transaction_isolation = '$level'"], sub {
		my ($number, $session) = @_;
		my %seen;
		for my $i (1 .. 5)
		{
			my @answer;
			until (@answer)
			{
				@answer = eval { buy($session, $ann, "p $level", "$number-$i") };
				$seen{ $session->state }++ if !@answer;
			}
			$seen{ $answer[0] }++;
		}
		return join(',', grep { $_ ne '40001' } sort keys %seen), $seen{new} // 0;
	});
	is(scalar(grep { $_->[0] ne 'new' || $_->[1] != 5 } @r), 0, "$level: 40001, and then what was asked for") or diag(explain(\@r));
	is(value($dbh, 'SELECT gold FROM economy.account(?)', $ann), 500, "$level: the balance");
}
is_clean($node, 'postgres', 'at the end');

# The last unit, over and over: who saw it must look again under its lock.
add_product($dbh, 'one', price_gold => 0, stock => 1, slots => 1);
foreach my $way ('auto', 'sql')
{
	my @buyers = map { add_user($dbh, "one-$way-$_") } 1 .. 6;

	@r = at_once($node, 'postgres', 6, sub {
		my ($number, $s) = @_;
		my $new = 0;
		for my $i (1 .. 150)
		{
			next if (buy($s, $buyers[ $number - 1 ], 'one', "$way-$i"))[0] ne 'new';
			$new++;
			value($s, q{SELECT economy.add_stock('one', 1, 'tester')});
		}
		return $new ? 'sold' : 'none';
	}, "SET economy.row_access = $way");
	is(scalar(grep { $_->[0] eq 'died' } @r), 0, "the last unit, $way: nobody sells it twice") or diag(explain(\@r));
	is(value($dbh, q{SELECT sum(remaining) FROM economy.shop_stock WHERE product_id = 'one'}), 1, "the last unit, $way: one is left");
}

# The first purchase holds up nobody who holds an account.
{
	my $db = fresh_database($node);
	my ($s1, $s2) = map { connect_to($node, $db) } 1 .. 2;
	my ($x, $y) = map { add_user($s1, $_, 100) } qw(x y);

	add_product($s1, 'potion', price_gold => 1);
	$_->begin_work foreach $s1, $s2;
	$s2->do(q{SET LOCAL lock_timeout = '5s'});
	is((buy($s1, $x, 'potion', 'first'))[0], 'new', 'the first purchase of a database');
	value($s2, q{SELECT state FROM economy.adjust_gold(?, 1, 'k', 'a test', 'tester')}, $y);
	is(eval { (buy($s2, $y, 'potion', 'second'))[0] } // $s2->state, 'new', 'another before it has ended');
	$_->commit foreach $s2, $s1;
	is_clean($node, $db, 'first purchases');
	$_->disconnect foreach $s1, $s2;
}

# Who made the first key hears of the next one, also where he has signed nothing yet.
{
	my $db = fresh_database($node);
	my ($s1, $s2) = map { connect_to($node, $db) } 1 .. 2;
	my $ann = add_user($s1, 'ann', 100);

	add_product($s2, 'potion', price_gold => 1);
	is(value($s2, 'SELECT economy.rotate_signing_key()'), 2, 'a key after the first');
	is((buy($s1, $ann, 'potion', 'k'))[0], 'new', 'a purchase');
	is(value($s2, 'SELECT receipt_signature_version FROM economy.shop_transactions'), 2, 'by who made the first one is signed with it');
	$_->disconnect foreach $s1, $s2;
}

# Ten first users of a database make one signing key, as do ten first purchases
# where a dump left it out.
foreach my $way ('auto', 'sql')
{
	my $db = fresh_database($node);
	my $session = connect_to($node, $db);
	my @buyers = map { $_->[0] } at_once($node, $db, 10, sub { value($_[1], 'SELECT economy.register()') }, "SET economy.row_access = $way");

	is(value($session, 'SELECT count(*) FROM economy.signing_keys'), 1, "first users, $way: one key");
	$session->do('DELETE FROM economy.signing_keys');
	add_product($session, 'gift', category => 'conversion', granted_gold => 1);
	@r = at_once($node, $db, 10, sub { buy($_[1], $buyers[ $_[0] - 1 ], 'gift', 'k') }, "SET economy.row_access = $way");
	is_deeply(tally(@r), { new => 10 }, "first purchases, $way: all succeed");
	is(value($session, 'SELECT count(*) FROM economy.signing_keys'), 1, "first purchases, $way: one key");

	# and rotations among purchases
	@r = at_once($node, $db, 10, sub {
		my ($number, $s) = @_;
		my %seen;
		for my $i (1 .. 10)
		{
			value($s, 'SELECT economy.rotate_signing_key()') if $number == 1;
			$seen{ (buy($s, $buyers[ $number - 1 ], 'gift', "r$i"))[0] }++;
		}
		return (join(',', %seen), '');
	}, "SET economy.row_access = $way");
	is(scalar(grep { $_->[0] ne 'new,10' } @r), 0, "rotations among purchases, $way") or diag(explain(\@r));
	is(value($session, q{SELECT count(*) FROM economy.signing_keys WHERE state = 'active'}), 1, "rotations, $way: one active key");
	is($node->safe_psql($db, 'SELECT kind, left(expected, 14), actual FROM economy.audit_sweep()'), 'wrong_config|signing_keys 1|',
		"first purchases, $way: the key that was left out is the only finding");
	$session->disconnect;
}

$dbh->disconnect;
$node->stop;
done_testing();
