# Where something is used up: worker processes, relays, connections. What is
# committed is told all the same, by another way or later, and health() says so.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use EventTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $key = 0;
sub reward { my ($session, $user) = @_; return value($session, q{SELECT transaction_id FROM economy.grant_reward(?, 'limits', ?, 1)}, $user, ++$key) }
sub health { my ($session, $item) = @_; my $row = row($session, 'SELECT * FROM economy.health() WHERE item = ?', $item); return "$row->{state}: $row->{detail}" . (defined $row->{hint} ? " ($row->{hint})" : '') }

# one worker, which another database's relay has
my $node = new_node('workers', conf => "shared_preload_libraries = 'economy'\nmax_worker_processes = 1\nmax_logical_replication_workers = 0");
my $dbh = connect_to($node);
my $other = fresh_database($node);
my $tenant = connect_to($node, $other);
my $tenant_user = add_user($tenant, 'tenant');
my $tenant_ear = listen_to($node, $other);
like(health($dbh, 'relay'), qr/^ok: nothing to send yet$/, 'before the first event');
until_heard($tenant_ear, reward($tenant, $tenant_user));
is(count_relays($node, $other), 1, 'the other database has the only worker');
my $ann = add_user($dbh, 'ann');
my $ear = listen_to($node);
until_heard($ear, reward($dbh, $ann), reward($dbh, $ann));
hears_exactly($ear, $dbh, [$ann], 'no worker to be had: told inline');
is(count_relays($node, 'postgres'), 0, 'without a relay');
like(health($dbh, 'relay'), qr/^warn: events are sent inline: no worker process is to be had \(Raise max_worker_processes/, 'and health() says so');
cmp_ok(value($dbh, q{SELECT unserved FROM economy.relay_status() s JOIN pg_database d ON d.oid = s.database WHERE d.datname = 'postgres'}), '>=', 2, 'relay_status() counts them');
like(health($tenant, 'relay'), qr/^ok: process \d+, 0 waiting/, 'where there is a relay all is well');
$_->disconnect foreach $tenant, $tenant_ear->{dbh};
poll_until('the other relay to go', sub { count_relays($node, $other) == 0 });
# the postmaster may not know yet that the worker is free: only an event asks for it again
poll_until('a relay', sub { until_heard($ear, reward($dbh, $ann)); count_relays($node, 'postgres') == 1 });
until_heard($ear, reward($dbh, $ann));
hears_exactly($ear, $dbh, [$ann], 'with a worker that is free a relay comes');
like(health($dbh, 'relay'), qr/^ok: process \d+, 0 waiting/, 'and health() says so');
# what is prepared waits for nobody but its commit, also when the relay has gone meanwhile
$dbh->do('BEGIN');
my $prepared = reward($dbh, $ann);
$dbh->do(q{PREPARE TRANSACTION 'limits'});
like(health($dbh, 'relay'), qr/^ok: process \d+, 1 waiting/, 'prepared: it waits');
$_->disconnect foreach $dbh, $ear->{dbh};
$dbh = connect_to($node, $other);
poll_until('the relay to go', sub { value($dbh, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'economy relay' AND datname = 'postgres'}) == 0 });
$dbh->disconnect;
$dbh = connect_to($node);
like(health($dbh, 'relay'), qr/^ok: gone until the next event, 1 waiting/, 'nobody was there: the relay is gone, and all is well');
$ear = listen_to($node);
$dbh->do(q{COMMIT PREPARED 'limits'});
until_heard($ear, $prepared);
pass('COMMIT PREPARED brings another, which tells it');
$_->disconnect foreach $dbh, $ear->{dbh};
$node->stop;

# one ring
$node = new_node('rings', conf => "shared_preload_libraries = 'economy'\neconomy.relay_databases = 1");
$tenant = connect_to($node);
until_heard(my $first = listen_to($node), reward($tenant, add_user($tenant, 'tenant')));
$dbh = connect_to($node, $other = fresh_database($node));
$ann = add_user($dbh, 'ann');
$ear = listen_to($node, $other);
until_heard($ear, reward($dbh, $ann));
like(health($dbh, 'relay'), qr/^warn: events are sent inline: other databases have all relays \(Raise economy\.relay_databases/, 'no ring to be had: health() says so');
$_->disconnect foreach $dbh, $tenant, $ear->{dbh}, $first->{dbh};
$node->stop;

# no connection left: none for apps, then none at all
$node = new_node('connections', conf => "shared_preload_libraries = 'economy'");
$node->append_conf('postgresql.conf', "max_connections = 8\nsuperuser_reserved_connections = 2");
$node->restart;
$node->safe_psql('postgres', q{CREATE ROLE app LOGIN; SELECT economy.grant_access('app', 'app')});
my $app = sub { DBI->connect(sprintf('dbi:Pg:dbname=postgres;host=%s;port=%s', $node->host, $node->port), 'app', '', { RaiseError => 1, PrintError => 0, AutoCommit => 1 }) };
$dbh = connect_to($node);
$ann = add_user($dbh, 'ann');
like(health($dbh, 'connections'), qr/^ok: \d of 6$/, 'room for connections');
my @apps = ($app->(), $app->());
$ear = { dbh => $app->(), heard => [] };
$ear->{dbh}->do("LISTEN $_") foreach event_types();
push @apps, $app->() foreach 1 .. 2;
ok(!eval { $app->(); 1 }, 'no connection for apps is left');
like($@, qr/reserved for/, 'which the server says');
like(health($dbh, 'connections'), qr/^bad: 6 of 6 \(Raise max_connections/, 'and health()');
my @reserved = map { connect_to($node) } 1 .. 2;
ok(!eval { connect_to($node); 1 }, 'nor one for anybody');
like($@, qr/too many clients/, 'which the server says');
is(value($dbh, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'economy relay'}), 0, 'no relay yet');
my @ids = map { reward($_, $ann) } @apps[ 0, 1 ];
until_heard($ear, @ids);
is(value($dbh, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'economy relay'}), 1, 'the relay needs no connection');
value($dbh, q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'economy relay'});
push @ids, reward($apps[0], $ann);
until_heard($ear, @ids);
hears_exactly($ear, $dbh, [$ann], 'nor when it begins anew', repeats => 1);
my $bindir = `pg_config --bindir`;
chomp $bindir;
my $out = PostgreSQL::Test::Utils::tempdir() . '/tail';
my $pid = fork() // die "fork: $!";
if ($pid == 0)
{
	open STDOUT, '>', $out;
	open STDERR, '>', "$out.err";
	my $tail = ($ENV{ECONOMY_STAGE} // q{}) . "$bindir/economy_tail";
	exec $tail, '-h', $node->host, '-p', $node->port, '-d', 'postgres', '--json', '--since=start' or POSIX::_exit(127);
}
waitpid $pid, 0;
is($? >> 8, 1, 'economy_tail that has never been connected ends');
like(slurp_file("$out.err"), qr/too many clients/, 'with what the server says');
$_->disconnect foreach @reserved, @apps;
like(health($dbh, 'connections'), qr/^ok: 2 of 6$/, 'with connections that are free all is well');
push @ids, reward($dbh, $ann);
until_heard($ear, @ids);
is_clean($node, 'postgres', 'at the end');
$_->disconnect foreach $dbh, $ear->{dbh};
$node->stop;
done_testing();
