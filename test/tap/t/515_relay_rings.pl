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
$watch->disconnect;
$node->stop('immediate');
done_testing();
