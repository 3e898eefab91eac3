# A cursor of changes() from before a crash misses nothing after it: ids of
# transactions that had ended in its snapshot are not given out again.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# nothing but a commit flushes what aborted transactions leave in WAL
my $node = new_node('feed_crash', conf => "wal_writer_delay = 10s\nfsync = on");
my $dbh = connect_to($node);
my $ann = add_user($dbh, 'ann', 100);
my $cursor = value($dbh, 'SELECT next_cursor FROM economy.changes()');

foreach (1 .. 50)
{
	$dbh->begin_work;
	$dbh->do('SELECT pg_current_xact_id()');
	$dbh->rollback;
}
$cursor = value($dbh, 'SELECT next_cursor FROM economy.changes(?)', $cursor);
$node->stop('immediate');
$node->start;

$dbh = connect_to($node);
value($dbh, q{SELECT state FROM economy.adjust_gold(?, 1, ?, 'a test', 'tester')}, $ann, "after$_") foreach 1 .. 60;
is_deeply($dbh->selectcol_arrayref(q{SELECT seq FROM economy.changes(?) WHERE code = 'EVENT'}, undef, $cursor),
	[ 2 .. 61 ], 'every entry after the crash is told');

$dbh->disconnect;
$node->stop;
done_testing();
