# An index that a REINDEX CONCURRENTLY left half made, of a table that somebody has a
# lock on, has no page yet.  Nobody reads it.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
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
$_->disconnect foreach $dbh, $other;
$node->stop('fast');
done_testing();
