# One cursor of changes() in data that was put back: as it was, by a copy of the
# stopped server's directory, which no name and no transaction id can tell; and to
# a point in time, which begins a timeline.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use EventTest;
use File::Path qw(rmtree);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::RecursiveCopy;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('copies', init => { has_archiving => 1, allows_streaming => 1 }, conf => "economy.notify = off\nautovacuum = off");
my $copy = PostgreSQL::Test::Utils::tempdir() . '/copy';
my $dbh = connect_to($node);
my $key = 0;

sub reward { my ($session, $user) = @_; return value($session, q{SELECT transaction_id FROM economy.grant_reward(?, 'copies', ?, 1)}, $user, ++$key) }
sub now { my ($session) = @_; return value($session, 'SELECT next_cursor FROM economy.changes()') }
sub told { my ($session, $cursor, $max) = @_; my ($events, $next, $code) = feed($session, $cursor, $max); return join ' ', ids(@$events), $code }
# a session of its own has given no cursor, and compares
sub told_afresh { my $session = connect_to($node); my $told = told($session, @_); $session->disconnect; return $told }
sub page { my ($cursor, $max) = @_; my $session = connect_to($node); my $next = value($session, 'SELECT next_cursor FROM economy.changes(?, ?) WHERE next_cursor IS NOT NULL', $cursor, $max); $session->disconnect; return $next }
sub burn { my ($n) = @_; $dbh->do('SELECT pg_current_xact_id()') foreach 1 .. $n; return }

sub stopped
{
	my ($code) = @_;

	$dbh->disconnect;
	$node->stop;
	$code->();
	$node->start;
	$dbh = connect_to($node);
	return;
}
sub keep { return stopped(sub { rmtree($copy); PostgreSQL::Test::RecursiveCopy::copypath($node->data_dir, $copy) }) }
sub put_back { return stopped(sub { rmtree($node->data_dir); PostgreSQL::Test::RecursiveCopy::copypath($copy, $node->data_dir); chmod 0700, $node->data_dir }) }

# nothing was told yet
my $empty = now($dbh);
keep();
is(told_afresh($empty), ' CAUGHT_UP', 'a restart alone changes nothing');
burn(20);
$empty = now($dbh);
my ($ann, $bob) = map { add_user($dbh, $_) } qw(ann bob);
my $first = reward($dbh, $ann);
is(told_afresh($empty), "$first CAUGHT_UP", 'a cursor from before the first entry');
put_back();
($ann, $bob) = map { add_user($dbh, $_) } qw(ann bob);
reward($dbh, $ann);
burn(20);
reward($dbh, $bob);
is(told_afresh($empty), ' RESYNC_REQUIRED', 'put back, a cursor that knows no entry, and sees one');

# the cursors of a life that is lost
reward($dbh, $_) foreach $ann, $bob, $ann;
my $before = now($dbh);
keep();
my ($told) = (feed($dbh, $before))[1];
reward($dbh, $_) foreach $bob, $ann;
my %lost = (
	'caught up' => (feed($dbh, $before))[1],
	'begun' => now($dbh),
	'within a page' => page($before, 1),
	'from the start' => page('start', 7));
burn(30);
$lost{'after transactions without entries'} = now($dbh);
my $quiet = $told;
is(told_afresh($lost{$_}) =~ /CAUGHT_UP$/, 1, "$_: good in its own life") foreach sort keys %lost;
put_back();
my @new = map { reward($dbh, $_) } $ann, $bob, $ann;
burn(40);
push @new, reward($dbh, $bob);
is(told_afresh($lost{$_}), ' RESYNC_REQUIRED', "$_: not of this life") foreach sort keys %lost;
is(told_afresh($before), "@new CAUGHT_UP", 'a cursor from before the copy is good in both');
is(told_afresh($quiet), "@new CAUGHT_UP", 'also one that was told nothing after it');

# no entry was told since the copy, and transactions passed
$before = now($dbh);
keep();
burn(30);
$quiet = (feed($dbh, $before))[1];
put_back();
@new = map { reward($dbh, $_) } $ann, $bob;
burn(40);
push @new, reward($dbh, $bob);
is(told_afresh($quiet), ' RESYNC_REQUIRED', 'what stands where the lost life had nothing was not told');
is(told_afresh($before), "@new CAUGHT_UP", 'and is, to one from before');

# a commit that came later than its place
my $writer = connect_to($node);
$writer->begin_work;
my $late = reward($writer, $ann);
reward($dbh, $bob);
$before = now($dbh);
$writer->commit;
is(told_afresh($before), "$late CAUGHT_UP", 'a late commit stands before the newest entry');
my $after = (feed($dbh, $before))[1];
my $next = reward($dbh, $bob);
is(told_afresh($after), "$next CAUGHT_UP", 'and spoils no cursor that was told of it');
$writer->begin_work;
$late = reward($writer, $ann);
$next = reward($dbh, $bob);
$before = now($dbh);
my $soon = reward($dbh, $bob);
$writer->commit;
my $within = page($before, 1);
is(told_afresh($within), "$soon CAUGHT_UP", 'a page that ends at it, before the newest entry that was told');
$writer->disconnect;

# and one that is far behind
burn(1100);
my $far = now($dbh);
like($far, qr/\|$soon\|/, 'a cursor finds its newest entry, however many transactions had none since');
is(told_afresh($far), ' CAUGHT_UP', 'and holds by it');

# the newest entry is pruned
$dbh->do(q{SET economy.test_clock = '2020-01-01 12:00:00+00'});
my $gamer = add_user($dbh, 'gamer');
my $action = sub { value($dbh, q{SELECT code FROM economy.record_action(?, 'slot', 'T', ?, 0, 1)}, $gamer, @_) };
$action->(1);
my $untold = now($dbh);
$action->($_) foreach 2 .. 3;
my $pruned = now($dbh);
like($pruned, qr/\|A$gamer-3\|/, 'a cursor names an action');
$action->(4);
$dbh->do('RESET economy.test_clock');
my $last = reward($dbh, $gamer);
my $behind = reward($dbh, $ann);
my ($all) = feed($dbh, 'start');
my %place = map { my $id = $all->[$_]{id}; ($id => $_) } 0 .. $#$all;
# an action is one entry, of two events
my $entries = sub { my ($id) = @_; return scalar grep { $_->{id} !~ m{/} && $place{ $_->{id} } <= $place{$id} } @$all };
my %reading = map { $_ => page('start', $entries->("A$gamer-$_")) } 2 .. 4;
my $pair = page($untold, 4);
like($pair, qr/\|R$gamer-5\|/, 'a page ends behind the actions');
1 while value($dbh, 'SELECT users FROM economy.rollup_stats()') > 0;
$dbh->do('SELECT * FROM economy.prune()');
is(value($dbh, 'SELECT count(*) FROM economy.user_actions WHERE user_id = ? AND seq = 3', $gamer), 0, 'which is pruned');
is(told_afresh($untold), ' RESYNC_REQUIRED', 'one that was not told of all that was pruned is spoiled');
like(told_afresh($pruned), qr/^A$gamer-4 .*$last $behind CAUGHT_UP$/, 'one that was is not');
is(told_afresh($pair), "$behind CAUGHT_UP", 'within a pair, behind all that was pruned');
like(told_afresh($reading{$_}), qr/^(A$gamer-4 .*)?$last $behind CAUGHT_UP$/, "one that reads from the start and stands at action $_ goes on with what is left") foreach 2 .. 4;
(my $forged = $pruned) =~ s/\|\d+\|A$gamer-3\|/|1|A$gamer-3|/;
is(told_afresh($forged), ' RESYNC_REQUIRED', 'but not something older than what was');
keep();
$last = reward($dbh, $ann);
burn(5);
my $here = now($dbh);
put_back();
$dbh->do(q{SET economy.test_clock = '2020-01-01 12:00:00+00'});
$action->(5);
$dbh->do('RESET economy.test_clock');
reward($dbh, $gamer);
1 while value($dbh, 'SELECT users FROM economy.rollup_stats()') > 0;
burn(20);
$dbh->do('SELECT * FROM economy.prune()');
is(told_afresh($here), ' RESYNC_REQUIRED', 'put back and pruned');

# the newest entry is not as it was
$dbh->do($_) foreach 'SET session_replication_role = replica', 'ALTER TABLE economy.reward_audit DISABLE TRIGGER ALL';
reward($dbh, $bob);
my $damaged = now($dbh);
is(told_afresh($damaged), ' CAUGHT_UP', 'a cursor of an entry');
$dbh->do(q{UPDATE economy.reward_audit SET hash = sha256('x') WHERE user_id = ? AND seq = (SELECT seq FROM economy.accounts WHERE user_id = ?)}, undef, $bob, $bob);
is(told_afresh($damaged), ' RESYNC_REQUIRED', 'with another hash');
$damaged = now($dbh);
$dbh->do(q{DELETE FROM economy.reward_audit WHERE user_id = ? AND seq = (SELECT seq FROM economy.accounts WHERE user_id = ?)}, undef, $bob, $bob);
is(told_afresh($damaged), ' RESYNC_REQUIRED', 'or none');

# a standby of the life that goes on, which does not know yet
keep();
my @lost_ids = map { reward($dbh, $_) } $ann, $bob;
my $lost = now($dbh);
put_back();
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('copies_standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby, 'replay', $node->lsn('flush'));
my $reader = connect_to($standby);
is(told($reader, $lost), ' CAUGHT_UP', 'a standby of the new life that has not come as far as the cursor');
burn(20);
$next = reward($dbh, $bob);
$node->wait_for_catchup($standby, 'replay', $node->lsn('flush'));
is(told($reader, $lost), ' RESYNC_REQUIRED', 'finds it when it has, in the same session too');
$_->disconnect foreach $reader, $dbh;
$standby->stop;

# to a point in time, which is another timeline
$dbh = connect_to($node);
$node->backup('pitr');
my $past = reward($dbh, $ann);
my %cursor = (before => now($dbh));
my $kept = reward($dbh, $bob);
my $target = value($dbh, 'SELECT pg_current_wal_insert_lsn()');
my $time = value($dbh, 'SELECT clock_timestamp()');
reward($dbh, $ann);
$cursor{after} = now($dbh);
burn(10);
$dbh->do('SELECT pg_switch_wal()');
$dbh->disconnect;
$node->stop;
foreach my $to ([ 'lsn', $target ], [ 'time', $time ])
{
	my $restored = PostgreSQL::Test::Cluster->new("pitr_$to->[0]");
	$restored->init_from_backup($node, 'pitr', has_restoring => 1, standby => 0);
	$restored->append_conf('postgresql.conf', "recovery_target_$to->[0] = '$to->[1]'\nrecovery_target_action = promote\narchive_mode = off");
	$restored->start;
	$restored->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'no promotion';
	my $session = connect_to($restored);
	is(value($session, 'SELECT count(*) FROM economy.verify_chain(?)', $ann) . ' ' . value($session, 'SELECT seq FROM economy.accounts WHERE user_id = ?', $bob), '0 ' . ($kept =~ /-(\d+)$/)[0], "$to->[0]: restored up to the target, and sound");
	foreach my $when (sort keys %cursor)
	{
		my ($events, $go_on, $code) = feed($session, $cursor{$when});
		is(@$events . " $code", '0 RESYNC_REQUIRED', "$to->[0]: a cursor from $when the target");
		my $fresh = reward($session, $ann);
		is(told($session, $go_on), "$fresh CAUGHT_UP", "$to->[0]: and one to go on with");
	}
	my ($history) = feed($session, 'start');
	is((scalar grep { $_->{id} eq $past } @$history) . (scalar grep { $_->{id} eq $kept } @$history), '11', "$to->[0]: the start has all that was before the target");
	my $now = now($session);
	my $more = reward($session, $bob);
	is(told($session, $now), "$more CAUGHT_UP", "$to->[0]: the new timeline's own cursor is good");
	$session->disconnect;
	$restored->stop;
}
done_testing();
