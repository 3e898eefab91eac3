# The ids of transactions begin anew after 2^32 of them, in a new epoch: what runs then is of
# the epoch before, for the feed, the relay and the lives of keys.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use EventTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('epoch', empty => 1, conf => "shared_preload_libraries = 'economy'\nautovacuum = off");

# a cluster that is about to use up its first epoch: nothing in it has an id that would be of the future then
$node->safe_psql($_, 'VACUUM FREEZE') foreach qw(template1 postgres);
$node->stop;
my $near = 2**32 - 200;
system_or_bail('pg_resetwal', '-x', $near, '-u', $near - 1000, $node->data_dir);
append_to_file(sprintf('%s/pg_xact/%04X', $node->data_dir, int($near / 2**20)), "\0" x 262144);
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION economy');

my $dbh = connect_to($node);
my $key = 0;
sub reward { my ($session, $user) = @_; return value($session, q{SELECT transaction_id FROM economy.grant_reward(?, 'epoch', ?, 1)}, $user, ++$key) }
sub epoch { my ($session) = @_; return value($session, 'SELECT pg_current_xact_id()::text::bigint >> 32') }
my ($ann, $bob) = map { add_user($dbh, $_, 1000) } qw(ann bob);
add_product($dbh, 'potion', price_gold => 1);
my $ear = listen_to($node);
my @ids = (reward($dbh, $ann));
until_heard($ear, @ids);

# a transaction of the old epoch that ends in the new one
my $old = connect_to($node);
$old->begin_work;
my $xid = value($old, 'SELECT pg_current_xact_id()::text::bigint');
cmp_ok($xid, '<', 2**32, 'a transaction of the old epoch');
my $before = reward($old, $bob);
push @ids, reward($dbh, $ann);
my $cursor = value($dbh, 'SELECT next_cursor FROM economy.changes()');
value($dbh, 'SELECT pg_current_xact_id()') foreach 1 .. 220;
is(epoch($dbh), 1, 'goes on in the new one');
push @ids, my $first = reward($dbh, $ann);
until_heard($ear, @ids);
my ($told, $middle, $code) = feed($dbh, $cursor);
is("$code " . ids(@$told), "CAUGHT_UP $first", 'the feed tells what is of the new epoch');
(my $none, $middle, $code) = feed($dbh, $middle);
is("$code @$none", 'CAUGHT_UP ', 'once');

# a key of the new epoch may sign in it
my $version = value($dbh, 'SELECT economy.rotate_signing_key()');
is(value($dbh, 'SELECT first_position - economy_internal.position_of(?) FROM economy.signing_keys WHERE version = ?', $xid, $version), 0, 'a key lives from the oldest transaction on');
my $bought = value($old, q{SELECT transaction_id FROM economy.purchase(?, 'potion', 'k')}, $bob);
is(value($old, 'SELECT t.receipt_signature_version FROM economy.shop_transactions t WHERE t.user_id = ?', $bob), $version, 'and signs in it');
$old->commit;
until_heard($ear, $before, $bought);
is(ids(grep { $_->{user} == $bob && $_->{seq} > 1 } hear($ear)), "$before $bought", 'the relay tells it at its end');
is(ids(grep { $_->{user} == $ann && $_->{seq} > 1 } hear($ear)), "@ids", 'and all that was between, once');
foreach my $from ($cursor, $middle)
{
	my ($late) = feed($dbh, $from);
	is(join(' ', grep { /^\w$bob-/ } map { $_->{id} } @$late), "$before $bought", 'so does the feed');
}
my ($all, $end) = feed($dbh, 'start');
is(join(' ', grep { /^R/ } map { $_->{id} } @$all), "$ids[0] $before @ids[ 1, 2 ]", 'from the start in the order of the transactions');
is_clean($node, 'postgres', 'in the new epoch');
$dbh->do('SELECT economy.rotate_signing_key()');
is(value($dbh, 'SELECT economy.retire_signing_key(?)', $version), 1, 'the key is retired');
is(value($dbh, q{SELECT string_agg(f::text, '; ') FROM economy.verify_chain(?) f}, $bob), undef, 'what it signed is of its time');
$_->disconnect foreach $ear->{dbh}, $old, $dbh;
$node->stop;
done_testing();
