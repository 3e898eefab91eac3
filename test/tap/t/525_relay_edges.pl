# What is told when the extension, or the use of the database, is about to end
# or to begin, and in databases with settings of their own.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use EventTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

$PostgreSQL::Test::Utils::timeout_default = 60;

my $node = new_node('edges', conf => "shared_preload_libraries = 'economy'");
my $key = 0;

sub reward { my ($session, $user) = @_; return value($session, q{SELECT transaction_id FROM economy.grant_reward(?, 'edges', ?, 1)}, $user, ++$key) }
sub play { my ($session, $user) = @_; return value($session, q{SELECT transaction_id FROM economy.record_action(?, 'slot', 'T', ?)}, $user, ++$key) }
sub prepare { my ($session) = @_; $session->do(q{PREPARE TRANSACTION 'one'}); $session->{AutoCommit} = 1 if !$session->{AutoCommit}; return }
sub heard { my ($ear, $id) = @_; return eval { until_heard($ear, $id); 'heard' } // $@ }

# the transaction that creates the extension has the first entries
$node->safe_psql('template1', 'CREATE DATABASE fresh');
my $session = connect_to($node, 'fresh');
my $ear = listen_to($node, 'fresh');
$session->begin_work;
$session->do('CREATE EXTENSION economy');
my $ann = add_user($session, 'ann');
my $first = reward($session, $ann);
prepare($session);
select undef, undef, undef, 2;
is(ids(hear($ear)), '', 'created in a transaction that has not ended: nothing is told');
$session->do(q{COMMIT PREPARED 'one'});
is(heard($ear, $first), 'heard', 'its entries are told when it commits');
$session->do('SET economy.allow_drop = on');
$session->do('DROP EXTENSION economy CASCADE');
poll_until('the relay to end', sub { count_relays($node, 'fresh') == 0 });
$session->begin_work;
$session->do('CREATE EXTENSION economy');
reward($session, add_user($session, 'bob'));
prepare($session);
poll_until('a relay', sub { count_relays($node, 'fresh') == 1 });
$session->do(q{ROLLBACK PREPARED 'one'});
poll_until('the relay to end', sub { count_relays($node, 'fresh') == 0 });
pass('when it is rolled back, the relay ends');
$_->disconnect foreach $session, $ear->{dbh};

# a DROP DATABASE that fails, because of a prepared transaction
my $name = fresh_database($node);
$session = connect_to($node, $name);
$ear = listen_to($node, $name);
$ann = add_user($session, 'ann');
$session->begin_work;
my $kept = reward($session, $ann);
prepare($session);
poll_until('a relay', sub { count_relays($node, $name) == 1 });
my ($ret, $out, $err) = $node->psql('template1', "DROP DATABASE $name");
like($err, qr/prepared transaction/, 'a database with a prepared transaction is not dropped');
$session->do(q{COMMIT PREPARED 'one'});
is(heard($ear, $kept), 'heard', 'which is told when it commits');
$_->disconnect foreach $session, $ear->{dbh};
is($node->safe_psql('template1', "DROP DATABASE $name; SELECT 'dropped'"), 'dropped', 'afterwards it is');

# nobody may connect any more, and all who had are gone
$name = fresh_database($node);
$session = connect_to($node, $name);
reward($session, add_user($session, 'ann'));
poll_until('a relay', sub { count_relays($node, $name) == 1 });
my $from = -s $node->logfile;
$node->safe_psql('template1', "ALTER DATABASE $name ALLOW_CONNECTIONS false; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '$name'");
select undef, undef, undef, 4;
poll_until('the relay to end', sub { count_relays($node, $name) == 0 });
is(join("\n", grep { /not currently accepting/ } split /\n/, substr(slurp_file($node->logfile), $from)), '', 'connections are not allowed: the relay does not fail every second');
is($node->safe_psql('template1', "DROP DATABASE $name; SELECT 'dropped'"), 'dropped', 'and the database can be dropped');

# a database whose default is SERIALIZABLE: the relay only reads
$name = fresh_database($node);
$node->safe_psql('template1', "ALTER DATABASE $name SET default_transaction_isolation = 'serializable'");
$session = connect_to($node, $name);
my $other = connect_to($node, $name);
$ear = listen_to($node, $name);
$ann = add_user($session, 'ann');
$session->do('CREATE TABLE t (a integer)');
$session->do('INSERT INTO t VALUES (1)');
is(heard($ear, play($session, $ann)), 'heard', 'SERIALIZABLE: an event is told');
kill STOP => my $relay = (relays($node, $name))[0];
my $played = play($session, $ann);
$session->begin_work;
value($session, 'SELECT a FROM t');
$other->do('UPDATE t SET a = 2');
play($session, $ann);
kill CONT => $relay;
heard($ear, $played);
is(eval { $session->commit; 'committed' } // $session->state, 'committed', 'SERIALIZABLE: the relay is no party to a conflict');
$_->disconnect foreach $session, $other, $ear->{dbh};

$node->stop;
done_testing();
