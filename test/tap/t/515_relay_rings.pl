# Who gets which ring: nobody waits for a lock of the catalogs while he holds
# up the others.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use EventTest;
use DBD::Pg qw(:async);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

$PostgreSQL::Test::Utils::timeout_default = 60;

my $node = new_node('rings', conf => "shared_preload_libraries = 'economy'\neconomy.relay_databases = 1");
my $key = 0;

sub reward { my ($session, $user, %attributes) = @_; return $session->do("SELECT economy.grant_reward($user, 'rings', '${\++$key}', 1)", \%attributes) }

# the only ring belongs to a database with work for a relay, and without one
my $owner = fresh_database($node);
my $session = connect_to($node, $owner);
my $user = add_user($session, 'owner');
$session->begin_work;
reward($session, $user);
$session->do(q{PREPARE TRANSACTION 'open'});
$session->disconnect;
$node->restart;
$session = connect_to($node, $owner);
reward($session, add_user($session, 'another'));
poll_until('its relay', sub { count_relays($node, $owner) == 1 });
$session->disconnect;
my ($ret, $out, $err) = $node->psql('template1', "DROP DATABASE $owner");
like($err, qr/prepared transaction/, 'a database with a prepared transaction is not dropped');
poll_until('its relay to end', sub { count_relays($node, $owner) == 0 });

my ($one, $two, $watch) = map { connect_to($node) } 1 .. 3;
my ($ann, $bob) = map { add_user($watch, $_) } qw(ann bob);
my $waiting = q{SELECT count(*) FROM pg_locks WHERE relation = 'pg_catalog.pg_database'::regclass AND NOT granted};
is(value($watch, $waiting), 0, 'nobody waits yet');
foreach my $s ($one, $two) { $s->begin_work; reward($s, $ann); $s->rollback }
$one->begin_work;
$one->do('LOCK TABLE pg_catalog.pg_database IN ACCESS EXCLUSIVE MODE');
reward($one, $ann);
reward($two, $bob, pg_async => PG_ASYNC);
poll_until('the other session to wait', sub { value($watch, $waiting) == 1 });
$one->do('COMMIT', { pg_async => PG_ASYNC });
is(eval { poll_until('the commit', sub { $one->pg_ready }); 'committed' } // $@, 'committed', 'a session with a lock on pg_database commits its events');
is(eval { poll_until('the other commit', sub { $two->pg_ready }); 'committed' } // $@, 'committed', 'and so does one that waited for it');

# a handle that still has an answer to give must not outlive its server:
# DBD::Pg faults on it at the end of the program
foreach my $s ($one, $two) { $s->pg_result; $s->disconnect }

# a ring whose database is gone is another's to have, whatever was left in it
is(count_relays($node, 'postgres'), 0, 'the only ring is still that of the other database');
$node->safe_psql($owner, q{ROLLBACK PREPARED 'open'});
$node->safe_psql('template1', "DROP DATABASE $owner");
poll_until('a relay here', sub { reward($watch, $ann); count_relays($node, 'postgres') == 1 });
pass('until that is dropped');

# of what was posted in a database that is gone, nothing is told in the one that gets its ring
$watch->disconnect;
poll_until('the relay here to end', sub { count_relays($node, 'postgres') == 0 });
$owner = fresh_database($node);
$session = connect_to($node, $owner);
$user = add_user($session, 'owner');
$session->begin_work;
reward($session, $_) foreach map { add_user($session, "more $_") } 1 .. 40;
reward($session, $user);
$session->do(q{PREPARE TRANSACTION 'open'});
$session->{AutoCommit} = 1 if !$session->{AutoCommit};
poll_until('its relay', sub { count_relays($node, $owner) == 1 });
$session->disconnect;
poll_until('its relay to end', sub { count_relays($node, $owner) == 0 });
$node->safe_psql($owner, q{SET economy.notify = off; COMMIT PREPARED 'open'});
is(value(my $dropper = connect_to($node, 'template1'), 'SELECT 1'), 1, 'a session that drops it');
is(value(connect_to($node), q{SELECT sum(waiting) || ' ' || sum(queued) FROM economy.relay_status()}), '41 41', 'all of it waits for a relay');
$dropper->do("DROP DATABASE $owner");
my $log = -s $node->logfile;
is(try_sql($dropper, 'SELECT 1/0'), '22012', 'and fails afterwards');
select undef, undef, undef, 2;
is(join("\n", grep { /FATAL/ } split /\n/, slurp_file($node->logfile, $log)), '', 'nobody looks for what was dropped');
$dropper->disconnect;
$watch = connect_to($node);
my $ear = listen_to($node);
my $same = value($watch, 'SELECT user_id FROM economy.accounts WHERE user_id = ? AND seq > 0', $user);
is($same, $ann, 'a user here has the number of one that is gone, and entries');
until_heard($ear, value($watch, q{SELECT transaction_id FROM economy.grant_reward(?, 'rings', 'last', 1)}, $ann));
until_settled($ear, $watch);
is(scalar(hear($ear)), 1, 'only what is new is told');
is(count_relays($node, 'postgres'), 1, 'by the relay');
cmp_ok(value($watch, 'SELECT queued FROM economy.relay_status()'), '<', 41, 'which counts from the beginning');
$ear->{dbh}->disconnect;
$watch->disconnect;
$node->stop('immediate');
done_testing();
