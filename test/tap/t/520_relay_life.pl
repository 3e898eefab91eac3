# When the relay comes, goes, and comes back: kills and crashes, several
# databases, no worker to be had, DROP DATABASE and DROP EXTENSION.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use EventTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('life', conf => <<'CONF');
shared_preload_libraries = 'economy'
economy.relay_databases = 2
restart_after_crash = on
CONF
my ($dbh, $ear);
my $key = 0;

sub reward { my ($session, $user) = @_; return value($session, q{SELECT transaction_id FROM economy.grant_reward(?, 'life', ?, 1)}, $user, ++$key) }
sub again { $ear = listen_to($node, 'postgres'); $dbh = connect_to($node); return }
sub log_since { my ($from) = @_; return substr(slurp_file($node->logfile), $from) }
sub until_alone { my ($database) = @_; poll_until("the relay of $database to end", sub { count_relays($node, $database) == 0 }); return }

# ended by pg_terminate_backend
again();
my $ann = add_user($dbh, 'ann', 100);
hears_exactly($ear, $dbh, [$ann], 'before');
my ($first) = relays($node, 'postgres');
value($dbh, 'SELECT pg_terminate_backend(?)', $first);
reward($dbh, $ann) foreach 1 .. 5;
hears_exactly($ear, $dbh, [$ann], 'ended by pg_terminate_backend: what follows is told', repeats => 1);
my ($second) = relays($node, 'postgres');
isnt($second, $first, 'by another relay');
foreach (1 .. 3)
{
	value($dbh, 'SELECT pg_terminate_backend(?)', $_) foreach relays($node, 'postgres');
	reward($dbh, $ann);
}
hears_exactly($ear, $dbh, [$ann], 'again and again', repeats => 1);

# a transaction that is open meanwhile
my $open = connect_to($node);
$open->begin_work;
my $bob = add_user($dbh, 'bob');
reward($open, $bob);
reward($dbh, $ann);
value($dbh, 'SELECT pg_terminate_backend(?)', $_) foreach relays($node, 'postgres');
$open->commit;
hears_exactly($ear, $dbh, [ $ann, $bob ], 'a transaction that was open meanwhile', repeats => 1);

# what the relay has taken out of the ring and keeps for later, goes with it
$open->begin_work;
reward($open, $bob);
$open->do(q{PREPARE TRANSACTION 'kept'});
$open->{AutoCommit} = 1 if !$open->{AutoCommit};
reward($dbh, $ann);
hears_exactly($ear, $dbh, [$ann], 'a prepared transaction waits', repeats => 1);
value($dbh, 'SELECT pg_terminate_backend(?)', $_) foreach relays($node, 'postgres');
reward($dbh, $ann);
hears_exactly($ear, $dbh, [$ann], 'its relay is ended, another comes', repeats => 1);
$dbh->do(q{COMMIT PREPARED 'kept'});
hears_exactly($ear, $dbh, [ $ann, $bob ], 'and tells it', repeats => 1);

# killed: the server restarts, with empty rings
$open->begin_work;
reward($open, $bob);
$open->do(q{PREPARE TRANSACTION 'crash'});
my ($victim) = relays($node, 'postgres');
kill KILL => $victim or die "kill: $!";
poll_until('the crash', sub { !eval { $dbh->do('SELECT 1') } });
poll_until('the server', sub { eval { connect_to($node)->disconnect; 1 } });
$_->disconnect foreach grep { defined } $dbh, $open, $ear->{dbh};
again();
my @before = replayed($dbh, $ann);
my $new = reward($dbh, $ann);
until_heard($ear, $new);
is(ids(hear($ear)), $new, 'after a crash: what is new is told, what was before is replayed');
is(scalar replayed($dbh, $ann), @before + 1, 'and nothing is missing');
$dbh->do(q{COMMIT PREPARED 'crash'});
my ($of_crash) = reverse replayed($dbh, $bob);
until_heard($ear, $of_crash);
like($of_crash, qr/^R$bob-/, 'what was prepared before the crash is told when it commits');
$new = reward($dbh, $ann);
until_heard($ear, $new);

# a restart, and COMMIT PREPARED before any event
$open = connect_to($node);
$open->begin_work;
reward($open, $bob);
$open->do(q{PREPARE TRANSACTION 'restart'});
$_->disconnect foreach $dbh, $open, $ear->{dbh};
$node->restart;
again();
$dbh->do(q{COMMIT PREPARED 'restart'});
my ($of_restart) = reverse replayed($dbh, $bob);
until_heard($ear, $of_restart);
is(ids(hear($ear)), $of_restart, 'what was prepared before a restart is told, though nothing else woke the relay');
until_heard($ear, reward($dbh, $ann));

# no client left
my $pid = (relays($node, 'postgres'))[0];
$_->disconnect foreach $dbh, $ear->{dbh};
until_alone('postgres');
again();
is(count_relays($node, 'postgres'), 0, 'no client left: the relay ends, and stays away');
reward($dbh, $ann);
until_settled($ear, $dbh);
is(count_relays($node, 'postgres'), 1, 'until the next event');
$_->disconnect foreach $dbh, $ear->{dbh};
$node->safe_psql('postgres', "SELECT count(*) FROM economy.grant_reward($ann, 'alone', '1', 1)");
until_alone('postgres');
again();

# two databases
my $name = fresh_database($node);
my $there = connect_to($node, $name);
my $their_ear = listen_to($node, $name);
my $carol = add_user($there, 'carol');
reward($there, $carol) foreach 1 .. 5;
reward($dbh, $ann);
hears_exactly($their_ear, $there, [$carol], 'another database has its own relay');
until_settled($ear, $dbh);
is(scalar(grep { $_->{user} == $carol && $_->{event}{type} eq 'reward_granted' && $_->{event}{data}{external_event_id} =~ /^\d$/ } hear($ear)), 0, 'and its own listeners');
is(join(' ', map { count_relays($node, $_) } 'postgres', $name), '1 1', 'one each');
is(value($dbh, 'SELECT count(*) FROM economy.relay_status()'), 2, 'both in relay_status()');

# more databases than rings
my $third = fresh_database($node);
my $inline = connect_to($node, $third);
my $inline_ear = listen_to($node, $third);
my $dave = add_user($inline, 'dave');
reward($inline, $dave) foreach 1 .. 3;
$inline->begin_work;
reward($inline, $dave);
$inline->do('SAVEPOINT s');
reward($inline, $dave);
$inline->do('ROLLBACK TO s');
$inline->commit;
hears_exactly($inline_ear, $inline, [$dave], 'a database more than economy.relay_databases is told inline');
is(count_relays($node, $third), 0, 'without a relay');
$_->disconnect foreach $there, $their_ear->{dbh};
until_alone($name);
poll_until('a ring for the third database', sub { reward($inline, $dave); count_relays($node, $third) == 1 });
hears_exactly($inline_ear, $inline, [$dave], 'when another is done, its ring goes over');
$there = connect_to($node, $name);
$their_ear = listen_to($node, $name);
reward($there, $carol);
until_heard($their_ear, (replayed($there, $carol))[-1]);
is(count_relays($node, $name), 0, 'and that other is told inline now');

# DROP EXTENSION
$inline->do('SET economy.allow_drop = on');
$inline->do('DROP EXTENSION economy CASCADE');
until_alone($third);
is(count_relays($node, $third), 0, 'DROP EXTENSION ends the relay');
is(value($dbh, q{SELECT count(*) FROM economy.relay_status() s JOIN pg_database d ON d.oid = s.database WHERE d.datname = ?}, $third), 0, 'which gives its ring up');
$inline->do('CREATE EXTENSION economy');
@{ $inline_ear->{heard} } = ();
my $erin = add_user($inline, 'erin');
reward($inline, $erin) foreach 1 .. 3;
hears_exactly($inline_ear, $inline, [$erin], 'CREATE EXTENSION again: events again', repeats => 1);
poll_until('the relay of the new extension', sub { reward($inline, $erin); count_relays($node, $third) == 1 });
$inline->do('BEGIN; SET LOCAL economy.allow_drop = on; DROP EXTENSION economy CASCADE; CREATE EXTENSION economy; COMMIT');
poll_until('events of the new extension', sub {
	my $user = value($inline, 'SELECT economy.register()');
	my $id = reward($inline, $user);
	select undef, undef, undef, 0.1;
	return scalar grep { $_->{id} eq $id } hear($inline_ear);
});
pass('also in one transaction');
$_->disconnect foreach $inline, $inline_ear->{dbh}, $there, $their_ear->{dbh};

until_alone($_) foreach $third, $name;

# DROP DATABASE waits 5 seconds at most for others to leave
my $from = -s $node->logfile;
foreach my $way ('', ' WITH (FORCE)')
{
	foreach my $round (1 .. 4)
	{
		my $gone = fresh_database($node);
		my $last = connect_to($node, $gone);

		add_user($last, 'last', 5);
		poll_until('the relay', sub { count_relays($node, $gone) == 1 }) if $round > 1;
		kill TERM => $_ foreach $round > 2 ? relays($node, $gone) : ();
		$last->disconnect;
		is(eval { $node->safe_psql('template1', "DROP DATABASE $gone$way"); 'dropped' } // $@, 'dropped', "DROP DATABASE$way right after the last event, $round");
	}
}
# a relay that failed would be started again every second
select undef, undef, undef, 3;
my @failures = grep { /FATAL|ERROR/ && !/terminating/ } split /\n/, log_since($from);
cmp_ok(scalar @failures, '<=', 8, 'no relay looks for a dropped database for ever') or diag(@failures);
$from = -s $node->logfile;
select undef, undef, undef, 2.5;
is(join("\n", grep { /FATAL|ERROR/ } split /\n/, log_since($from)), '', 'and there is silence in the log');
my $kept = fresh_database($node);
my $tenant = connect_to($node, $kept);
my $tenant_ear = listen_to($node, $kept);
my $frank = add_user($tenant, 'frank', 5);
my ($ret, $out, $err) = $node->psql('template1', "DROP DATABASE $kept");
like($err, qr/is being accessed by other users/, 'a database in use is not dropped');
reward($tenant, $frank) foreach 1 .. 3;
hears_exactly($tenant_ear, $tenant, [$frank], 'and its events go on');
$_->disconnect foreach $tenant, $tenant_ear->{dbh};
$node->safe_psql('template1', "ALTER DATABASE $kept RENAME TO renamed; CREATE DATABASE copied TEMPLATE renamed");
pass('a database that nobody uses any more can be renamed and copied');
is(value($dbh, 'SELECT count(*) FROM economy.relay_status() s WHERE s.pid IS NOT NULL'), 1, 'the relay of this database is the only one left');
is_clean($node, 'postgres', 'at the end');
$_->disconnect foreach $dbh, $ear->{dbh};
$node->stop;

# no worker to be had: the launcher of logical replication has the only one
my $poor = new_node('poor', conf => "shared_preload_libraries = 'economy'\nmax_worker_processes = 1\nmax_logical_replication_workers = 1");
$dbh = connect_to($poor);
$ear = listen_to($poor);
$ann = add_user($dbh, 'ann', 5);
reward($dbh, $ann) foreach 1 .. 3;
hears_exactly($ear, $dbh, [$ann], 'max_worker_processes is exhausted: told inline');
is(count_relays($poor, 'postgres'), 0, 'without a relay');
$_->disconnect foreach $dbh, $ear->{dbh};
$poor->stop;

# not preloaded
my $plain = new_node('plain');
$dbh = connect_to($plain);
$ear = listen_to($plain);
$ann = add_user($dbh, 'ann', 5);
is(value($dbh, 'SHOW economy.notify'), 'inline', 'not preloaded: inline is the default');
reward($dbh, $ann) foreach 1 .. 3;
$dbh->do('SET economy.notify = relay');
reward($dbh, $ann);
hears_exactly($ear, $dbh, [$ann], 'and relay is inline too');
is(value($dbh, 'SELECT count(*) FROM economy.relay_status()'), 0, 'relay_status() has nothing');
is(value($dbh, q{SELECT count(*) FROM pg_settings WHERE name IN ('economy.ring_size', 'economy.relay_databases')}), 0, 'and there are no settings of the ring');
$_->disconnect foreach $dbh, $ear->{dbh};
$plain->stop;
done_testing();
