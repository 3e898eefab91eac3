# The documented publication: a subscriber gets everything, goes on when the publisher
# prunes and deletes old histories, and reads and verifies on its own.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $publisher = new_node('publisher', init => { allows_streaming => 'logical' });
my $subscriber = new_node('subscriber', empty => 1, init => { allows_streaming => 'logical' });
my $root = "$FindBin::Bin/../../..";
my ($publish, $subscribe) = slurp_file("$root/doc/operations.md") =~ /## Logical replication.*?```\n(CREATE PUBLICATION.*?)```.*?```\n(CREATE EXTENSION.*?)```/s
  or die 'the recipe is not there';
my $dbh = connect_to($publisher);

# a publisher with everything, some of it old
$dbh->do(q{SET economy.test_clock = '2020-01-31 12:00:00+00'});
value($dbh, 'SELECT count(*) FROM economy.simulate(20, 2000, 5)');
$dbh->do(q{SET economy.test_clock = ''});
value($dbh, 'SELECT count(*) FROM economy.seed_demo()');
value($dbh, 'SELECT users FROM economy.rollup_stats()');
value($dbh, 'SELECT snapshot_id FROM economy.rfm_refresh()');
value($dbh, 'SELECT count(*) FROM economy.audit_sweep()');

$publisher->safe_psql('postgres', $publish);
my $connection = $publisher->connstr('postgres') =~ tr{'}{}dr;
$subscribe =~ s/CONNECTION '[^']*'/CONNECTION '$connection'/;
$subscribe =~ s/ALTER DATABASE mydb/ALTER DATABASE postgres/;
$subscriber->safe_psql('postgres', $subscribe);
$subscriber->wait_for_subscription_sync($publisher, 'economy', 'postgres');

# the recipe names what CREATE EXTENSION fills
$subscriber->safe_psql('postgres', "SET default_transaction_read_only = off;\nCREATE DATABASE fresh");
$subscriber->safe_psql('fresh', 'CREATE EXTENSION economy');
my $filled = $subscriber->safe_psql('fresh', <<'SQL');
SELECT string_agg(oid::regclass::text, ', ' ORDER BY relname) FROM pg_class
WHERE relnamespace IN ('economy'::regnamespace, 'economy_internal'::regnamespace) AND relkind = 'r'
AND (xpath('/row/n/text()', query_to_xml(format('SELECT count(*) AS n FROM %s', oid::regclass), false, true, '')))[1]::text::bigint > 0
SQL
my ($emptied) = $subscribe =~ /TRUNCATE (.*?);/s;
is(join(', ', split /,\s+/, $emptied), $filled, 'the recipe empties what CREATE EXTENSION fills');

sub contents
{
	my ($node) = @_;
	return $node->safe_psql('postgres', <<'SQL');
SELECT string_agg(c.relname || ':' || md5(query_to_xml(format('SELECT t::text AS t FROM %s t ORDER BY t::text COLLATE "C"', c.oid::regclass), true, false, '')::text), E'\n' ORDER BY c.relname)
FROM pg_class c WHERE c.relnamespace IN ('economy'::regnamespace, 'economy_internal'::regnamespace) AND c.relkind = 'r'
SQL
}
sub same
{
	my ($name) = @_;
	$publisher->wait_for_catchup('economy');
	is(contents($subscriber), contents($publisher), "$name: both have the same");
	is($subscriber->safe_psql('postgres', q{SELECT v FROM economy.users u, economy.verify_chain(u.user_id) v}), '', "$name: every stream verifies there");
}
same('at first');

my $ann = value($dbh, q{SELECT economy.user_id_of('bob')});
is(value($dbh, q{SELECT state FROM economy.purchase(?, 'potion', 'k')}, $ann), 'new', 'a purchase');
value($dbh, 'SELECT count(*) FROM economy.simulate(20, 500, 6)');
same('what happens later');
is($subscriber->safe_psql('postgres', "SELECT gold, seq FROM economy.account($ann)"), join('|', $dbh->selectrow_array('SELECT gold, seq FROM economy.account(?)', undef, $ann)), 'an account is read there');

# a sweep there is in the way of none of the publisher
is($subscriber->safe_psql('postgres', 'SELECT * FROM economy.audit_sweep()'), '', 'a sweep there finds nothing');
value($dbh, 'SELECT count(*) FROM economy.audit_sweep()');
same('swept here and there');
like(($subscriber->psql('postgres', qq{SELECT economy.adjust_gold($ann, 1, 'k', 'r', 'a')}))[2], qr/read-only transaction/, 'a writing call there is refused');

# actions that are pruned go there, too
my $actions = value($dbh, 'SELECT count(*) FROM economy.user_actions');
is(value($dbh, q{CALL economy.run_job('rollup_stats')}), 'done', 'the rollup');
is(value($dbh, q{CALL economy.run_job('prune')}), 'done', 'the prune');
cmp_ok(value($dbh, 'SELECT count(*) FROM economy.user_actions'), '<', $actions, 'takes something');
same('pruned');
is($subscriber->safe_psql('postgres', q{SELECT subname FROM pg_stat_subscription_stats WHERE apply_error_count + sync_error_count > 0}), '', 'the subscription met no error');

# a DELETE of any table can be published: histories may be cut
my $tables = $dbh->selectcol_arrayref(q{SELECT oid::regclass::text FROM pg_class WHERE relnamespace IN ('economy'::regnamespace, 'economy_internal'::regnamespace) AND relkind = 'r' ORDER BY 1});
foreach my $table (@$tables)
{
	my $answer = try_sql($dbh, "BEGIN; ALTER TABLE $table DISABLE TRIGGER ALL; DELETE FROM $table");
	is($answer, '', "DELETE FROM $table is published");
	$dbh->do('ROLLBACK');
}
$dbh->do($_) foreach 'DELETE FROM economy.audit_findings', 'DELETE FROM economy.audit_runs', 'DELETE FROM economy.job_runs';
same('histories are cut');

$dbh->disconnect;
$subscriber->safe_psql('postgres', "SET default_transaction_read_only = off;\nDROP SUBSCRIPTION economy");
$_->stop foreach $subscriber, $publisher;
done_testing();
