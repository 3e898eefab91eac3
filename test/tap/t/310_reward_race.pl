# Rewards from many real sessions at one moment: one effect per event and per
# date, whatever way rows are reached; and what a crash leaves of grants.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('reward_race', conf => "deadlock_timeout = 100ms\nmax_connections = 120");
my $dbh = connect_to($node);
my $run = 0;

sub account { return join ' ', $dbh->selectrow_array('SELECT seq, gold, experience_points FROM economy.account(?)', undef, $_[0]) }
sub counts { my ($column, @rows) = @_; my %n; $n{ $_->[$column] // '' }++ foreach @rows; return \%n }

foreach my $way ('auto', 'sql')
{
	my @settings = ("SET economy.row_access = $way");

	# 50 claims of one date
	my $ann = add_user($dbh, 'ann' . ++$run);
	my @r = at_once($node, 'postgres', 50, sub {
		my $c = row($_[1], 'SELECT * FROM economy.claim_daily_reward(?)', $ann);
		return @$c{qw(code state transaction_id streak_day gold)};
	}, @settings, q{SET economy.test_clock = '2031-01-01 12:00+00'});
	is_deeply(counts(0, @r), { CLAIMED => 1, ALREADY_CLAIMED => 49 }, "$way: 50 sessions claim, one gets it");
	is_deeply(counts(1, @r), { new => 1, reuse => 49 }, "$way: the others get the stored result");
	is_deeply(counts(2, @r), { "R$ann-1" => 50 }, "$way: of the same transaction");
	is(account($ann), '1 1000 50', "$way: paid once");

	# with a purchase, a grant and a claim of the same user between each other
	add_product($dbh, "toy$run", price_gold => 1);
	my $bob = add_user($dbh, "bob$run", 100);
	@r = at_once($node, 'postgres', 45, sub {
		my ($n, $s) = @_;
		return (value($s, "SELECT state || ' ' || code FROM economy.purchase(?, ?, ?)", $bob, "toy$run", "k$n")) if $n % 3 == 0;
		return (value($s, "SELECT state || ' ' || code FROM economy.grant_reward(?, 'race', ?, 2, 3)", $bob, "e$n")) if $n % 3 == 1;
		return (value($s, "SELECT state || ' ' || code FROM economy.claim_daily_reward(?)", $bob));
	}, @settings, q{SET economy.test_clock = '2031-01-01 12:00+00'});
	is_deeply(counts(0, @r), { 'new OK' => 30, 'new CLAIMED' => 1, 'reuse ALREADY_CLAIMED' => 14 }, "$way: purchases, grants and claims of one user");
	is(account($bob), '32 1115 95', "$way: every one of them once");

	# one event from 20 sessions that wait for each other
	my $cid = add_user($dbh, "cid$run");
	@r = at_once($node, 'postgres', 20, sub {
		my $g = row($_[1], q{SELECT * FROM economy.grant_reward(?, 'race', 'one', 5, 600, '{"a": 1}')}, $cid);
		return @$g{qw(state transaction_id level leveled_up)};
	}, @settings, q{SET economy.duplicate_wait = '60s'});
	is_deeply(counts(0, @r), { new => 1, reuse => 19 }, "$way: one event from 20 sessions");
	is_deeply([ map { counts($_, @r) } 1 .. 3 ], [ { "R$cid-1" => 20 }, { 2 => 20 }, { 1 => 20 } ], "$way: the same answer for all");
	is(account($cid), '1 5 600', "$way: one effect");

	# and from 20 that do not
	@r = at_once($node, 'postgres', 20, sub {
		my $g = row($_[1], q{SELECT * FROM economy.grant_reward(?, 'race', 'two', 5)}, $cid);
		return @$g{qw(state code retry_after_ms)};
	}, @settings);
	my $states = counts(0, @r);
	is($states->{new}, 1, "$way: one is new");
	is(($states->{new} // 0) + ($states->{reuse} // 0) + ($states->{in_progress} // 0), 20, "$way: the others know it, or that it is under way");
	is(account($cid), '2 10 600', "$way: one effect");

	# one event, different amounts: the first decides
	@r = at_once($node, 'postgres', 20, sub {
		my ($n, $s) = @_;
		my $g = row($s, q{SELECT * FROM economy.grant_reward(?, 'race', 'three', ?)}, $cid, $n);
		return @$g{qw(code gold_delta)};
	}, @settings, q{SET economy.duplicate_wait = '60s'});
	is_deeply(counts(0, @r), { OK => 1, IDEMPOTENCY_MISMATCH => 19 }, "$way: one event with 20 amounts");

	# 20 sessions take one reward back, in two amounts
	my $dot = add_user($dbh, "dot$run");
	value($dbh, q{SELECT code FROM economy.grant_reward(?, 'race', 'r', 100, 10)}, $dot);
	@r = at_once($node, 'postgres', 20, sub {
		my ($n, $s) = @_;
		my $g = row($s, q{SELECT * FROM economy.revoke_reward(?, ?, 'race', 'tester', ?)}, $dot, "R$dot-1", $n % 2 ? 100 : 60);
		return @$g{qw(state code)};
	}, @settings, q{SET economy.duplicate_wait = '60s'});
	is_deeply(counts(0, @r), { new => 1, reuse => 9, refused => 10 }, "$way: one reward is taken back once");
	like(account($dot), qr/^2 (?:0|40) 0$/, "$way: in one of the amounts");

	# 64 sessions take parts of one reward, each with its own key: as many as there is
	my $flo = add_user($dbh, "flo$run");
	value($dbh, q{SELECT code FROM economy.grant_reward(?, 'race', 'r', 105, 1000)}, $flo);
	@r = at_once($node, 'postgres', 64, sub {
		my ($n, $s) = @_;
		my $g = row($s, q{SELECT * FROM economy.revoke_reward(?, ?, 'race', 'tester', 10, 1, 'refuse', ?)}, $flo, "R$flo-1", "k$n");
		return @$g{qw(state code)};
	}, @settings);
	is_deeply(counts(1, @r), { OK => 10, EXCEEDS_REWARD => 54 }, "$way: 64 parts of a reward, ten of them are there");
	is(account($flo), '11 5 990', "$way: no part too many");

	# 64 sessions claim a date and take the claim back: it is paid once at a time
	my $gus = add_user($dbh, "gus$run", 5000);
	@r = at_once($node, 'postgres', 64, sub {
		my ($n, $s) = @_;
		my ($paid, $back) = (0, 0);
		foreach my $again (1 .. 5)
		{
			my $c = row($s, 'SELECT * FROM economy.claim_daily_reward(?)', $gus);
			$paid++ if $c->{state} eq 'new';
			next if $n % 2;
			my $g = row($s, q{SELECT * FROM economy.revoke_reward(?, ?, 'race', 'tester', NULL, NULL, 'refuse', ?)}, $gus, $c->{transaction_id}, "k$n-$again");
			$back++ if $g->{state} eq 'new';
		}
		return ($paid, $back);
	}, @settings, q{SET economy.test_clock = '2031-01-01 12:00+00'});
	my ($paid, $back) = (0, 0);
	foreach my $r (@r) { $paid += $r->[0]; $back += $r->[1] }
	cmp_ok($back, '>', 1, "$way: a date is given back ($back times) and claimed again ($paid times)");
	is($paid, value($dbh, q{SELECT count(*) FROM economy.reward_audit WHERE user_id = ? AND source = 'economy:daily_streak'}, $gus), "$way: every claim was answered once");
	is(account($gus), join(' ', 1 + $paid + $back, 5000 + 1000 * ($paid - $back), 50 * ($paid - $back)), "$way: paid as often as it was not taken back");
	cmp_ok($paid - $back, '<=', 1, "$way: and once at most");

	# batches over the same users in opposite orders do not meet in a deadlock
	my @many = map { add_user($dbh, "many$run-$_") } 1 .. 20;
	@r = at_once($node, 'postgres', 10, sub {
		my ($n, $s) = @_;
		my @order = $n % 2 ? @many : reverse @many;
		my $batch = '[' . join(',', map { qq({"user_id": $_, "source": "batch", "external_event_id": "$n", "gold": 1}) } @order) . ']';
		return (value($s, q{SELECT count(*) FROM economy.grant_rewards(?::jsonb) WHERE state = 'new'}, $batch));
	}, @settings);
	is_deeply(counts(0, @r), { 20 => 10 }, "$way: ten batches over the same users");
	@r = at_once($node, 'postgres', 10, sub {
		my ($n, $s) = @_;
		my @order = $n % 2 ? @many : reverse @many;
		return (value($s, q{SELECT count(*) || ' ' || count(DISTINCT (r.transaction_id)) || ' ' || count(*) FILTER (WHERE r.code = 'OK')
			FROM economy.grant_rewards(?, array_fill('same'::text, ARRAY[20]), array_fill('key'::text, ARRAY[20]), array_fill(1::bigint, ARRAY[20])) r}, \@order));
	}, @settings);
	is_deeply(counts(0, @r), { '20 20 20' => 10 }, "$way: ten batches with the same keys all have an answer");
	is(value($dbh, 'SELECT count(*) FROM economy.accounts WHERE user_id = ANY (?) AND (seq, gold) = (11, 11)', \@many), 20, "$way: all of all, and these once");

	# the last freezes that may be held
	add_product($dbh, "freeze$run", price_gold => 0, effect_code => 'streak_freeze');
	my $eve = add_user($dbh, "eve$run");
	@r = at_once($node, 'postgres', 20, sub {
		my ($n, $s) = @_;
		return (value($s, 'SELECT code FROM economy.purchase(?, ?, ?)', $eve, "freeze$run", "k$n"));
	}, @settings);
	is_deeply(counts(0, @r), { OK => 5, USER_LIMIT => 15 }, "$way: 20 sessions buy a freeze, five are held");
}
is_clean($node, 'postgres', 'after the races');

# --- transactions that end otherwise ---------------------------------------

my $fay = add_user($dbh, 'fay');
my $grant = sub { return value($_[0], q{SELECT state || ' ' || transaction_id FROM economy.grant_reward(?, 'end', ?, ?, 1)}, $fay, @_[ 1, 2 ]) };
my $claim = sub { return value($_[0], q{SELECT code || ' ' || streak_day FROM economy.claim_daily_reward(?)}, $fay) };
$dbh->do(q{SET economy.test_clock = '2031-01-01 12:00+00'});

$dbh->begin_work;
is($grant->($dbh, 'rolled back', 5), "new R$fay-1", 'a grant');
is($claim->($dbh), 'CLAIMED 1', 'and a claim');
$dbh->rollback;
is(account($fay), '0 0 0', 'are gone with ROLLBACK');
is($grant->($dbh, 'rolled back', 6), "new R$fay-1", 'the event is free');
$dbh->begin_work;
$dbh->do('SAVEPOINT a');
$claim->($dbh);
$dbh->do('ROLLBACK TO SAVEPOINT a');
is($claim->($dbh), 'CLAIMED 1', 'a claim rolled back to a savepoint is made again');
$dbh->do('SAVEPOINT b');
is($grant->($dbh, 'inner', 1), "new R$fay-3", 'a grant in an inner transaction');
$dbh->do('RELEASE SAVEPOINT b');
$dbh->commit;
is(account($fay), '3 1007 52', 'what was kept is there');

$dbh->begin_work;
# a transaction that notifies cannot be prepared
$dbh->do('SET LOCAL economy.notify = off');
$dbh->do(q{SET LOCAL economy.test_clock = '2031-01-02 12:00+00'});
is($claim->($dbh), 'CLAIMED 2', 'a claim');
is($grant->($dbh, 'prepared', 9), "new R$fay-5", 'and a grant');
$dbh->do(q{PREPARE TRANSACTION 'rewards'});
my $other = connect_to($node);
is(value($other, q{SELECT state FROM economy.grant_reward(?, 'end', 'prepared', 9, 1)}, $fay), 'in_progress', 'prepared: the event is under way');

# a crash with one transaction prepared, one committed and one open
my $open = connect_to($node);
my $gus = add_user($dbh, 'gus');
is(value($dbh, q{SELECT code FROM economy.grant_reward(?, 'end', 'committed', 3, 500)}, $gus), 'OK', 'committed before the crash');
$open->begin_work;
value($open, q{SELECT code FROM economy.grant_reward(?, 'end', 'open', 4)}, $gus);
value($open, q{SELECT code FROM economy.claim_daily_reward(?)}, $gus);
$node->stop('immediate');
eval { $_->disconnect } foreach $dbh, $other, $open;
$node->start;
$dbh = connect_to($node);
is(account($gus), '1 3 500', 'after a crash: what was committed');
is(value($dbh, q{SELECT state FROM economy.grant_reward(?, 'end', 'committed', 3, 500)}, $gus), 'reuse', 'is known');
is(value($dbh, q{SELECT state FROM economy.grant_reward(?, 'end', 'open', 4)}, $gus), 'new', 'what was open never was');
is(value($dbh, q{SELECT state FROM economy.grant_reward(?, 'end', 'prepared', 9, 1)}, $fay), 'in_progress', 'what was prepared still is');
$dbh->do(q{COMMIT PREPARED 'rewards'});
is(account($fay), '5 2216 128', 'and counts when it is committed');
is(value($dbh, q{SELECT transaction_id FROM economy.grant_reward(?, 'end', 'prepared', 9, 1)}, $fay), "R$fay-5", 'as what it was');
$dbh->do(q{SET economy.test_clock = '2031-01-02 13:00+00'});
is(value($dbh, 'SELECT code FROM economy.claim_daily_reward(?)', $fay), 'ALREADY_CLAIMED', 'its claim too');
is_clean($node, 'postgres', 'after the crash');

$dbh->disconnect;
$node->stop;
done_testing();
