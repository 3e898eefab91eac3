# The feed beside who works on its tables.  An index that a REINDEX CONCURRENTLY left half
# made, of a table that somebody has a lock on, has no page yet: nobody reads it.  A lock that
# is VACUUM's is not waited for, and one that has to be says nothing of the entries behind it.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use DBD::Pg qw(:async);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('reindex', conf => 'economy.notify = off');
my ($dbh, $other) = map { connect_to($node) } 1 .. 2;
my $act = q{SELECT state FROM economy.record_action(1, 'slot', 'T', ?, 0, 1)};
my $read = q{SELECT string_agg(event ->> 'type' || ' ' || user_id, ', ' ORDER BY event ->> 'id') FROM economy.changes('start') WHERE code = 'EVENT' AND event ->> 'type' = 'user_action'};

$dbh->do(q{SELECT economy.register('ann')});
foreach my $table (qw(user_actions shop_transactions reward_audit gold_adjustments user_changes))
{
	$other->do('BEGIN');
	$other->do("LOCK TABLE economy.$table IN ROW EXCLUSIVE MODE");
	$dbh->do(q{SET lock_timeout = '50ms'});
	is(try_sql($dbh, "REINDEX INDEX CONCURRENTLY economy.${table}_position_idx"), '55P03', "$table: a REINDEX CONCURRENTLY gives up");
	$dbh->do('RESET lock_timeout');
	$other->do('ROLLBACK');
}
is(value($dbh, q{SELECT count(*) FROM pg_index WHERE NOT indisvalid}), 5, 'five indexes are left over');
is(value($dbh, $act, 'a1'), 'new', 'entries are made');
is(value($dbh, $read), 'user_action 1', 'and read');
is(value($dbh, $act, 'a2'), 'new', 'and more of them');
is(value($dbh, $read), 'user_action 1, user_action 1', 'and read');
is(value($dbh, q{SELECT actions FROM economy.rollup_stats()}), 2, 'and rolled up');
is(value($dbh, q{SELECT count(*) FROM economy.audit_sweep()}), 0, 'and proved');

# who has the lock that is needed to summarise ranges does so himself
$other->do('BEGIN');
$other->do("LOCK TABLE economy.$_ IN SHARE UPDATE EXCLUSIVE MODE") foreach qw(user_actions shop_transactions reward_audit gold_adjustments user_changes);
$dbh->do(q{SET lock_timeout = '50ms'});
is(try_sql($dbh, q{SELECT * FROM economy.changes('start')}), '', 'beside VACUUM nobody waits');
$dbh->do('RESET lock_timeout');
$other->do('ROLLBACK');

# a reader that waits in the middle of its page, and does not wait for ever: the page is read again
my $ids = q{SELECT string_agg(event ->> 'id', ' ') FROM economy.changes(?, ?) WHERE code = 'EVENT'};
my $next = q{SELECT max(next_cursor) FROM economy.changes(?, ?)};
my %give_up = (
	'55P03' => sub { $dbh->do(q{SET lock_timeout = '50ms'}) },
	'57014' => sub { $dbh->do(q{SET statement_timeout = '200ms'}) },
	'40P01' => sub {
		$other->do('SET deadlock_timeout = 600000');
		$other->do('LOCK TABLE economy.user_actions IN ACCESS EXCLUSIVE MODE', { pg_async => PG_ASYNC });
		wait_until_blocked($node, 'postgres', $other->{pg_pid});
		$dbh->do('SET deadlock_timeout = 10');
	});
foreach my $state (sort keys %give_up)
{
	my $start = value($dbh, 'SELECT next_cursor FROM economy.changes()');
	is(value($dbh, $act, "$state $_"), 'new', "$state: an action") foreach 1 .. 2;
	# the newest entry is looked at again: of another journal, so that nothing is in its way
	value($dbh, q{SELECT code FROM economy.adjust_gold(1, 1, ?, 'a test', 'tester')}, $state);
	# or the one below would find other statistics, and say at once that the table has changed
	$other->do('REINDEX INDEX economy.user_actions_pkey');
	my $all = value($dbh, $ids, $start, 10);
	my $within = value($dbh, $next, $start, 1);
	$dbh->do('BEGIN');
	$dbh->do('LOCK TABLE economy.user_actions IN ACCESS SHARE MODE');
	$other->do('BEGIN');
	# of a window that was read only the events are still to be told
	$other->do('REINDEX INDEX economy.user_actions_pkey');
	$give_up{$state}->();
	is(eval { $dbh->selectall_arrayref('SELECT * FROM economy.changes(?, 10)', undef, $within); 'read' } // $dbh->state, $state, "$state: a page that is not ready in time is an error");
	$dbh->do('ROLLBACK');
	$other->pg_result if $state eq '40P01';
	$other->do('ROLLBACK');
	$dbh->do("RESET $_") foreach qw(lock_timeout statement_timeout deadlock_timeout);
	is(join(' ', value($dbh, $ids, $start, 1), value($dbh, $ids, $within, 10)), $all, "$state: and its entries are told");
}

# nor is a file that cannot be opened a fault of the entry
$dbh->disconnect;
$other->disconnect;
$node->restart;
$dbh = connect_to($node);
my $begin = value($dbh, 'SELECT next_cursor FROM economy.changes()');
value($dbh, q{SELECT code FROM economy.adjust_gold(1, 1, 'file', 'a test', 'tester')});
is(value($dbh, $act, 'file'), 'new', 'an action');
value($dbh, q{SELECT code FROM economy.adjust_gold(1, 1, 'behind', 'a test', 'tester')});
my $file = $node->data_dir . '/' . value($dbh, q{SELECT pg_relation_filepath('economy.accounts_pkey')});
$dbh->disconnect;
$node->restart;
$dbh = connect_to($node);
my $page = value($dbh, $next, $begin, 1);
rename $file, "$file.away" or die "rename: $!";
is(eval { value($dbh, $ids, $page, 10) } // $dbh->state, '58P01', 'a file that is away is an error');
rename "$file.away", $file or die "rename: $!";
like(value($dbh, $ids, $page, 10), qr{^A1-(\d+) A1-\1/stats G1-\d+$}, 'with it the page is told');
$dbh->disconnect;
$node->stop('fast');
done_testing();
