# economy.async_commit: which transactions commit without waiting for the disk, and
# that a crash which takes what was answered takes nothing that was told.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use EventTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# nothing but a commit that waits flushes WAL
my $node = new_node('async', conf => <<'CONF');
shared_preload_libraries = economy
fsync = on
autovacuum = off
checkpoint_timeout = 1h
bgwriter_lru_maxpages = 0
wal_writer_delay = 10s
restart_after_crash = on
economy.ring_size = 16
CONF
my $dbh = connect_to($node);
my ($ann, $bob) = map { add_user($dbh, $_, 1000) } qw(ann bob);
my $key = 0;

add_product($dbh, 'potion', price_gold => 1);
$dbh->do($_) foreach q{SELECT economy.register_game('slot')}, 'CREATE TABLE orders (n integer)', 'CREATE TABLE spins (id integer, player bigint, bet bigint, win bigint)',
  q{CREATE TRIGGER capture AFTER INSERT ON spins REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION economy.capture_actions('player', 'slot', 'id', 'bet', 'win', 'raise')},
  'CREATE ROLE app';

sub action { return value($_[1] // $dbh, q{SELECT transaction_id FROM economy.record_action(?, 'slot', 'SPIN', ?, 1, 2)}, $_[0] // $ann, 'a' . ++$key) }
sub reward { return value($dbh, q{SELECT transaction_id FROM economy.grant_reward(?, 'quest', ?, 1)}, $ann, 'r' . ++$key) }
sub purchase { return value($dbh, q{SELECT transaction_id FROM economy.purchase(?, 'potion', ?)}, $ann, 'p' . ++$key) }
sub order { return $dbh->do('INSERT INTO orders VALUES (1)') }

sub freeze_writer
{
	my $pid = value($dbh, q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'});
	kill STOP => $pid;
	return $pid;
}

sub in_vain { my ($work) = @_; return sub { $dbh->do("SAVEPOINT s"); $work->(); $dbh->do("ROLLBACK TO s") } }

# Whether the transaction has waited for the disk.
sub waits
{
	my (@work) = @_;
	my $before = value($dbh, 'SELECT pg_current_wal_insert_lsn()');

	if (@work == 1) { $work[0]->() }
	else
	{
		$dbh->begin_work;
		$_->() foreach @work;
		$dbh->commit;
	}
	return value($dbh, 'SELECT pg_current_wal_flush_lsn() > ?::pg_lsn', $before) ? 'waits' : 'does not';
}


my %one = (
	'an action' => \&action,
	'actions' => sub { $key++; value($dbh, q{SELECT count(*) FROM economy.record_actions((SELECT jsonb_agg(jsonb_build_object('user_id', u, 'game', 'slot', 'action_type', 'SPIN', 'action_id', ?::text, 'bet', 1, 'win', 0)) FROM unnest(?::bigint[]) u))}, "b$key", [ $ann, $bob ]) },
	'a reward' => \&reward,
	'rewards' => sub { value($dbh, q{SELECT count(*) FROM economy.grant_rewards(?, '{test,test}', ?, '{1,2}')}, [ $bob, $ann ], [ ('n' . ++$key) x 2 ]) },
	'a purchase' => \&purchase,
	'purchases' => sub { value($dbh, q{SELECT count(*) FROM economy.purchases(?, '{potion,potion}', ?)}, [ $bob, $ann ], [ ('m' . ++$key) x 2 ]) },
	'an adjustment' => sub { value($dbh, q{SELECT code FROM economy.adjust_gold(?, 1, ?, 'a test', 'tester')}, $ann, 'g' . ++$key) },
	'a user' => sub { $dbh->do('SELECT economy.register(NULL)') },
	'a product' => sub { add_product($dbh, 'p' . ++$key, price_gold => 1) },
	'a captured row' => sub { $dbh->do("INSERT INTO spins VALUES (" . ++$key . ", $ann, 1, 2)") },
	'an order' => \&order);

# what is called for the first time may write to the catalogs
$dbh->do('SET economy.notify = off');
foreach (1 .. 2) { $one{$_}->() foreach sort keys %one }
$dbh->do(qq{SELECT FROM economy.account($ann), economy.statement($ann), economy.replay($ann, 0, 10), economy.changes()});
freeze_writer();

my %fast = (none => {}, actions => { map { $_ => 1 } 'an action', 'actions' }, all => { map { $_ => 1 } 'an action', 'actions', 'a reward', 'rewards', 'a purchase', 'purchases', 'an adjustment' });
foreach my $class (qw(none actions all))
{
	$dbh->do("SET economy.async_commit = '$class'");
	is(waits($one{$_}), $fast{$class}{$_} ? 'does not' : 'waits', "$class: $_") foreach sort keys %one;
}
# a call that failed with its tables open leaves nothing that the next ones are taken for
my $given = reward();
foreach my $failed ("SELECT economy.revoke_reward($ann, '$given', 'r', 'a', 1000)",
	"DO \$\$ BEGIN PERFORM economy.revoke_reward($ann, '$given', 'r', 'a', 1000); EXCEPTION WHEN SQLSTATE 'XE002' THEN PERFORM pg_backend_pid(); END \$\$")
{
	is(try_sql($dbh, $failed), $failed =~ /^DO/ ? '' : 'XE002', 'a call that fails');
	is(waits(\&action), 'does not', "all: an action after $failed");
}
is(value($dbh, 'SHOW synchronous_commit'), 'on', 'what the session has set is as it was');

$dbh->do('SET economy.async_commit = actions');
is(waits(\&action, \&action), 'does not', 'two actions');
is(waits(sub { $dbh->do("SELECT FROM economy.account($ann), economy.statement($ann)") }, \&action, sub { $dbh->do("SELECT FROM economy.account($ann)") }), 'does not', 'an action, and reads');
is(waits(\&action, \&reward), 'waits', 'a reward after an action');
is(waits(\&reward, \&action), 'waits', 'an action after a reward');
is(waits(\&action, \&order), 'waits', 'an order after an action');
is(waits(\&order, \&action), 'waits', 'an action after an order');
is(waits(\&action, \&order, \&action), 'waits', 'an order between two');
is(waits(\&action, in_vain(\&order)), 'waits', 'a savepoint that was rolled back');
is(waits(\&action, $one{'a user'}), 'waits', 'a user after an action');
is(waits($one{'a user'}, \&action), 'waits', 'an action after a user');
is(waits(sub { $dbh->do('BEGIN'); action(); $dbh->do(q{PREPARE TRANSACTION 'p'}) }), 'waits', 'PREPARE TRANSACTION');
is(waits(sub { $dbh->do(q{COMMIT PREPARED 'p'}) }), 'waits', 'COMMIT PREPARED');
is(waits(\&action, sub { $dbh->do('SET LOCAL economy.async_commit = none') }), 'waits', 'the setting counts as it is at the commit');
is(waits(\&action), 'does not', 'one transaction leaves nothing for the next');

# NOTIFY with the commit would tell of what is not on disk
foreach my $sync (qw(on off))
{
	$dbh->do("SET synchronous_commit = $sync; SET economy.notify = inline");
	poll_until('no relay before it', sub { value($dbh, 'SELECT coalesce(sum(waiting), 0) FROM economy.relay_status()') == 0 });
	is(waits(\&action), 'waits', "NOTIFY at the commit, with synchronous_commit = $sync");
	$dbh->do('RESET synchronous_commit; SET economy.notify = off');
}

$dbh->do('SET economy.notify = inline; SET economy.notify_types = purchase_update');
is(waits(\&action), 'does not', 'NOTIFY at the commit, which has nothing to tell');
$dbh->do('RESET economy.notify_types; SET economy.notify = off');

# who may set it
$dbh->do('SET ROLE app');
is(try_sql($dbh, 'SET economy.async_commit = "all"'), '42501', 'an app may not set it');
$dbh->do('RESET ROLE');
is(try_sql($dbh, 'SET economy.async_commit = rewards'), '22023', 'a class that is none');

# A crash after what $tell has told; returns what it has told, and one action more that nobody was.
sub crash
{
	my ($tell) = @_;
	my ($last);

	my $writer = freeze_writer();
	my @told = $tell->();
	$last = action($bob);
	kill KILL => $writer;
	poll_until('the crash', sub { !$dbh->ping });
	poll_until('the server again', sub { $dbh = eval { connect_to($node) } });
	$dbh->do('SET economy.notify = off; SET economy.async_commit = actions');
	my %is_there = map { $_ => 1 } @{ $dbh->selectcol_arrayref('SELECT transaction_id FROM economy.ledger') };
	return (join(' ', grep { !$is_there{$_} } @told), $is_there{$last} ? 'is there' : 'is gone', scalar @told);
}

$dbh->do('SET economy.notify = off; SET economy.async_commit = actions');
my ($missing, $last, $n) = crash(sub { action(); action(); return });
is($last, 'is gone', 'a crash takes an action that was answered');
is_clean($node, 'postgres', 'and leaves a sound ledger');

# A number that replay() names is that of the entry for good: another one that got it after a
# crash would never be told to who goes on from there.
sub names_a_number
{
	my ($id, $ahead, $code) = @_;
	my ($seq) = $id =~ /-(\d+)$/;

	is(join(' ', $dbh->selectrow_array('SELECT code, seq FROM economy.replay(?, ?)', undef, $ann, $seq + $ahead)), "$code $seq", "$code, at the newest entry");
	return $id;
}

my %tell = (
	'the relay' => sub {
		my $ear = listen_to($node);
		$dbh->do('SET economy.notify = relay');
		my @ids = map { action() } 1 .. 5;
		until_heard($ear, @ids);
		$dbh->do('SET economy.notify = off');
		return @ids;
	},
	'the relay, by the journals' => sub {
		my $ear = listen_to($node);
		my ($pid);
		$dbh->do('SET economy.notify = relay');
		until_heard($ear, action());
		($pid) = relays($node, 'postgres');
		kill STOP => $pid;
		my @ids = map { action() } 1 .. 40;
		kill CONT => $pid;
		until_heard($ear, @ids);
		$dbh->do('SET economy.notify = off');
		cmp_ok(value($dbh, 'SELECT sum(fallbacks) FROM economy.relay_status()'), '>', 0, 'the journals were read');
		return @ids;
	},
	'replay()' => sub { my $id = action(); return grep { !m{/} } replayed($dbh, $ann) },
	'replay() of who is ahead' => sub { my $id = action(); return names_a_number($id, 1000, 'RESYNC_REQUIRED') },
	'replay() of who is there' => sub { my $id = action(); return names_a_number($id, 0, 'CAUGHT_UP') },
	'changes()' => sub { my $id = action(); my ($events) = feed($dbh, 'start'); return grep { !m{/} } map { $_->{id} } @$events },
	'a purchase after it' => sub { return (action(), action(), purchase()) });

foreach my $who (sort keys %tell)
{
	($missing, $last, $n) = crash($tell{$who});
	cmp_ok($n, '>', 0, "$who tells something");
	is($missing, '', "what $who told is there after the crash");
	is($last, 'is gone', 'and what came after it is not');
}
is_clean($node, 'postgres', 'after all of them');

$dbh->disconnect;
$node->stop;
done_testing();
