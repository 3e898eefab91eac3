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

# also when the last record ends just behind the header of a page, up to which
# the WAL writer has flushed
$node->append_conf('postgresql.conf', 'wal_writer_delay = 10ms');
$node->reload;
$dbh->do(<<'SQL');
DO $$
DECLARE
    at   integer;
    upto pg_lsn;
BEGIN
    -- what is called for the first time may write to the catalogs
    PERFORM economy.changes(), pg_current_wal_flush_lsn(), pg_sleep(0);
    LOOP
        upto := pg_current_wal_insert_lsn();
        at := (upto - '0/0') % 8192;
        IF at NOT IN (32, 40) THEN
            -- a record has 56 bytes and more; the one that crosses puts 8 on the next page
            PERFORM pg_logical_emit_message(false, '', repeat('x', CASE WHEN 8192 - at BETWEEN 64 AND 200 THEN 8192 - at + 8 - 51 ELSE 0 END));
        ELSIF pg_current_wal_flush_lsn() < upto - at::numeric THEN
            PERFORM pg_sleep(0.1);
        ELSE
            EXIT;
        END IF;
    END LOOP;
    PERFORM economy.changes();
    IF pg_current_wal_flush_lsn() < upto THEN
        RAISE EXCEPTION 'flushed up to %, and not to %', pg_current_wal_flush_lsn(), upto;
    END IF;
END
$$;
SQL
pass('the end of the last record is flushed, wherever it is');
foreach my $round (1 .. 3)
{
	$dbh->do('SELECT pg_switch_wal()');
	is(try_sql($dbh, 'SELECT count(*) FROM economy.changes()'), '', "also where a file begins, $round");
	value($dbh, q{SELECT state FROM economy.adjust_gold(?, 1, ?, 'a test', 'tester')}, $ann, "switched $round");
}

$dbh->disconnect;
$node->stop;
done_testing();
