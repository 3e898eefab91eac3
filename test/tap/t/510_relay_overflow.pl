# A ring that is too small: the relay reads the journals instead, and nothing
# is lost, nor told twice, nor out of a user's order.  The relay is stopped by a
# signal while the ring overflows, so that it does.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use EventTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('overflow', conf => "shared_preload_libraries = 'economy'\neconomy.ring_size = 16");
my $dbh = connect_to($node);
my $other = connect_to($node);
is(value($dbh, 'SHOW economy.ring_size'), 16, 'a ring of 16');
my $key = 0;
my ($pid, $ear);

sub reward { my ($session, $user, $gold) = @_; return value($session, q{SELECT transaction_id FROM economy.grant_reward(?, 'overflow', ?, ?)}, $user, ++$key, $gold // 1) }
sub users { my ($name, $n) = @_; local $dbh->{AutoCommit} = 1; return map { value($dbh, 'SELECT economy.register(?)', "$name $_") } 1 .. $n }
sub batch { my ($session, $n, @users) = @_; $key++; return value($session, q{SELECT count(*) FROM economy.grant_rewards((SELECT jsonb_agg(jsonb_build_object('user_id', u, 'source', 'batch', 'external_event_id', ?::text || '-' || i, 'gold', 1)) FROM unnest(?::bigint[]) u, generate_series(1, ?::integer) i)) WHERE code = 'OK'}, $key, \@users, $n) }
sub status { return row($dbh, 'SELECT s.*, d.datname FROM economy.relay_status() s JOIN pg_database d ON d.oid = s.database WHERE d.datname = current_database()') }
sub hold { ($pid) = relays($node, 'postgres'); kill STOP => $pid or die "relay $pid: $!"; return }
sub let_go { kill CONT => $pid or die "relay $pid: $!"; return }
sub prepare { my ($session, $name) = @_; $session->do("PREPARE TRANSACTION '$name'"); $session->{AutoCommit} = 1 if !$session->{AutoCommit}; return }
# overflowed since the last call
my $overflowed = 0;
sub overflows { my $now = status()->{overflowed}; my $since = $now - $overflowed; $overflowed = $now; return $since }

$ear = listen_to($node, 'postgres');

# the very first transaction, with an id that is older than a finished one's
my @many = users('first', 40);
$dbh->begin_work;
value($dbh, 'SELECT pg_current_xact_id()');
value($other, 'SELECT economy.register(NULL)') foreach 1 .. 3;
is(batch($dbh, 2, @many), 80, 'the first transaction has more than the ring holds');
$dbh->commit;
hears_exactly($ear, $dbh, \@many, 'all of it is told');
is(overflows(), 1, 'though it did overflow');
cmp_ok(status()->{fallbacks}, '>=', 1, 'from the journals');

# many small transactions while the relay stands
my @users = users('small', 5);
hold();
reward($dbh, $users[ $_ % 5 ]) foreach 1 .. 100;
is(overflows(), 84, '100 transactions, 16 in the ring');
let_go();
hears_exactly($ear, $dbh, \@users, 'small transactions: all are told, in order, once');
reward($dbh, $_) foreach @users;
hears_exactly($ear, $dbh, \@users, 'small transactions: and those after them');
is(overflows(), 0, 'then the ring is in use again');

# entries of rolled-back transactions and savepoints are not in the journals
@users = users('rolled back', 3);
hold();
foreach my $i (1 .. 30)
{
	$dbh->begin_work;
	reward($dbh, $users[ $i % 3 ]);
	$dbh->do('SAVEPOINT s');
	reward($dbh, $users[ $i % 3 ]);
	$dbh->do($i % 2 ? 'ROLLBACK TO s' : 'RELEASE s');
	$i % 5 ? $dbh->commit : $dbh->rollback;
}
let_go();
hears_exactly($ear, $dbh, \@users, 'rolled back: only what was committed is told');
cmp_ok(overflows(), '>', 0, 'rolled back: it did overflow');

# transactions that were open or prepared before, and end after
my ($early, $prepared, $late, $cold, $busy) = @users = users('open', 5);
my @open = map { connect_to($node) } 1 .. 3;
$open[0]->begin_work;
reward($open[0], $early);
reward($open[0], $cold);
$open[1]->begin_work;
reward($open[1], $prepared);
prepare($open[1], 'open');
$open[2]->begin_work;
value($open[2], 'SELECT pg_current_xact_id()');
hold();
reward($dbh, $busy) foreach 1 .. 40;
let_go();
hears_exactly($ear, $dbh, [$busy], 'open transactions: the others do not wait for them');
reward($dbh, $busy) foreach 1 .. 20;
hears_exactly($ear, $dbh, [$busy], 'open transactions: nor later ones');
reward($open[0], $early);
$open[0]->commit;
hears_exactly($ear, $dbh, [ $early, $cold ], 'open transactions: told when they commit');
reward($open[2], $late);
reward($open[2], $busy);
$open[2]->commit;
reward($dbh, $busy);
hears_exactly($ear, $dbh, [ $late, $busy, $early ], 'open transactions: one that began before and posted after');
$dbh->do(q{COMMIT PREPARED 'open'});
hears_exactly($ear, $dbh, \@users, 'open transactions: and the prepared one');

# a prepared transaction that overflows itself
@users = users('prepared', 30);
$open[1]->begin_work;
batch($open[1], 1, @users);
prepare($open[1], 'big');
my ($bystander) = users('bystander', 1);
reward($dbh, $bystander) foreach 1 .. 5;
hears_exactly($ear, $dbh, [$bystander], 'a prepared transaction that is too large: the others go on');
$dbh->do(q{COMMIT PREPARED 'big'});
hears_exactly($ear, $dbh, [ @users, $bystander ], 'a prepared transaction that is too large: told in the end');
$open[1]->begin_work;
batch($open[1], 1, @users);
prepare($open[1], 'big');
$dbh->do(q{ROLLBACK PREPARED 'big'});
reward($dbh, $_) foreach @users;
hears_exactly($ear, $dbh, \@users, 'a prepared transaction that is too large: or rolled back');

# one that waits while no other is late
my ($lone) = users('lone', 1);
$open[0]->begin_work;
reward($open[0], $lone);
prepare($open[0], 'lone');
poll_until('the only one that waits for too long to be left to the journals', sub { status()->{waiting} == 0 });
$dbh->do(q{COMMIT PREPARED 'lone'});
hears_exactly($ear, $dbh, [$lone], 'the only one that waited for too long is told when it commits');

# two that wait: one for which there was room, and a newer one for which there was not
my ($slow, $quick, @wide) = users('waits', 22);
$open[0]->begin_work;
reward($open[0], $slow);
prepare($open[0], 'slow');
$open[1]->begin_work;
batch($open[1], 1, @wide);
prepare($open[1], 'wide');
overflows();
foreach (1 .. 40) { until_heard($ear, reward($dbh, $quick)) }
is(overflows(), 0, 'one that waits takes one place, however many are told behind it');
poll_until('what waits for too long to be left to the journals', sub { status()->{waiting} == 0 });
$dbh->do(q{COMMIT PREPARED 'slow'});
hears_exactly($ear, $dbh, [ $slow, $quick ], 'one that waited for too long is told when it commits');
$dbh->do(q{COMMIT PREPARED 'wide'});
hears_exactly($ear, $dbh, \@wide, 'and so is the newer one, after it');

# many pages
@users = users('pages', 30);
hold();
batch($dbh, 200, @users);
$dbh->begin_work;
batch($dbh, 10, @users);
$dbh->rollback;
batch($dbh, 1, $_) foreach reverse @users;
let_go();
hears_exactly($ear, $dbh, \@users, '6,000 entries of 30 users');

# steps that fail are done again, once its pause is over: nothing of what they had read is lost
@users = users('cancelled', 30);
foreach my $round (1 .. 8)
{
	hold();
	batch($dbh, 100, @users);
	my $sent = status()->{sent};
	let_go();
	for (1 .. 1000) { last if value($other, q{SELECT state = 'active' FROM pg_stat_activity WHERE pid = ?}, $pid) }
	# in the first step, or in one behind it
	for (1 .. 10_000) { last if $round <= 4 || status()->{sent} > $sent }
	select undef, undef, undef, 0.004 * ($round <= 4 ? $round : $round - 4);
	value($other, 'SELECT pg_cancel_backend(?)', $pid);
	# one that is cancelled at rest ends, and another takes over
	hears_exactly($ear, $dbh, \@users, "3,000 entries by steps of which one is cancelled, $round", repeats => 1);
}

# many sessions that post, roll back and hold up, while the relay is held again and again
@users = users('storm', 6);
my $storm = fork() // die "fork: $!";
if ($storm == 0)
{
	for (1 .. 60)
	{
		kill STOP => $pid;
		select undef, undef, undef, 0.05;
		kill CONT => $pid;
		select undef, undef, undef, 0.02;
	}
	POSIX::_exit(0);
}
my @results = at_once($node, 'postgres', 10, sub {
	my ($n, $s) = @_;
	foreach my $i (1 .. 60)
	{
		my @order = sort { $a <=> $b } @users[ $i % 6, ($i + $n) % 6 ];

		$s->begin_work;
		value($s, 'SELECT pg_current_xact_id()') if $n % 3 == 0;
		value($s, 'SELECT pg_sleep(random() * 0.02)') if $n % 2;
		value($s, q{SELECT code FROM economy.grant_reward(?, 'storm', ?, 1)}, $_, "$n-$i") foreach @order;
		value($s, 'SELECT pg_sleep(random() * 0.02)') if $n % 4 == 0;
		$i % 9 == 0 ? $s->rollback : $s->commit;
	}
	return 'done';
});
waitpid $storm, 0;
kill CONT => $pid;
is(scalar(grep { $_->[0] eq 'done' } @results), 10, 'a storm of transactions');
hears_exactly($ear, $dbh, \@users, 'all are told, in order, once');
cmp_ok(overflows(), '>', 0, 'though the ring was full many times');

my %times;
$times{ $_->{id} }++ foreach hear($ear);
is(join(' ', grep { $times{$_} > 1 } sort keys %times), '', 'in all of this nothing was told twice');

# the relay goes down while the ring is full
@users = users('down', 4);
hold();
reward($dbh, $users[ $_ % 4 ]) foreach 1 .. 60;
value($other, 'SELECT pg_terminate_backend(?)', $pid);
let_go();
hears_exactly($ear, $dbh, \@users, 'the relay is ended while the ring is full: nothing is lost', repeats => 1);
is_clean($node, 'postgres', 'at the end');

# a database with a role for those who connect
my $name = fresh_database($node);
$dbh->do('CREATE ROLE nobody');
$dbh->do("ALTER DATABASE $name SET role = nobody");
my $session = connect_to($node, $name);
$session->do('RESET ROLE; SET ROLE NONE');
my $listener = listen_to($node, $name);
my $rewarded = value($session, q{SELECT string_agg(economy.register(n::text)::text, ',') FROM generate_series(1, 40) n});
$session->do(qq{SELECT count(economy.grant_reward(u, 'overflow', 'role', 1)) FROM unnest('{$rewarded}'::bigint[]) u});
is(eval { until_heard($listener, map { "R$_-1" } split /,/, $rewarded); 'heard' } // $@, 'heard', 'the relay reads the journals whatever the role of the database');
$_->disconnect foreach $session, $listener->{dbh};

$_->disconnect foreach $dbh, $other, @open, $ear->{dbh};
$node->stop;
done_testing();
