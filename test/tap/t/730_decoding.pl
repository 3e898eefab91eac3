# Logical decoding of all tables, by test_decoding and by pgoutput, while prune, rollup
# and the segments' refresh run: what a reader of WAL puts together from inserts, updates
# and deletes is what stands in the tables.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use EventTest;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('decoded', init => { allows_streaming => 'logical' }, conf => "economy.notify = off\nshared_preload_libraries = 'economy'");
my $dbh = connect_to($node);
my @journals = qw(shop_transactions reward_audit user_actions gold_adjustments user_changes holding_changes shop_refunds);
is(value($dbh, 'SELECT count(DISTINCT journal) FROM economy.ledger'), 0, 'nothing stands in the journals');
is(value($dbh, q{SELECT count(*) FROM pg_attribute a WHERE a.attname = 'hash' AND a.attrelid IN (SELECT c.oid FROM pg_class c WHERE c.relnamespace IN ('economy'::regnamespace, 'economy_internal'::regnamespace) AND c.relkind = 'r')
  AND EXISTS (SELECT FROM pg_attribute p WHERE p.attrelid = a.attrelid AND p.attname = 'position')}), scalar @journals, 'these are all journals');
$dbh->do('CREATE PUBLICATION everything FOR TABLES IN SCHEMA economy, economy_internal');
value($dbh, q{SELECT pg_create_logical_replication_slot(?, ?)}, @$_) foreach [ 'text', 'test_decoding' ], [ 'binary', 'pgoutput' ];

# a writer of all journals, old actions and long texts among them
sub write_all
{
	my ($session, $n) = @_;
	my $user = add_user($session, "writer $n", 1000);

	$session->do(q{SET economy.test_clock = '2020-01-31 12:00:00+00'});
	value($session, q{SELECT code FROM economy.record_action(?, 'slot', 'T', ?, 1, 2, details => jsonb_build_object('long', (SELECT string_agg(md5(i::text || random()), '') FROM generate_series(1, 110) i)))}, $user, $_) foreach 1 .. 20;
	$session->do(q{SET economy.test_clock = ''});
	value($session, q{SELECT code FROM economy.purchase(?, 'potion', ?)}, $user, "k$_") foreach 1 .. 5;
	value($session, q{SELECT max(r.code) FROM economy.purchases_of(?, NULL, 2) p, economy.refund_purchase(?, p.transaction_id, 'k', NULL, 'r', 'tester') r}, $user, $user);
	value($session, q{SELECT code FROM economy.grant_reward(?, 'decoded', ?, 1)}, $user, $_) foreach 1 .. 5;
	value($session, q{SELECT r.code FROM economy.ledger l, economy.revoke_reward(l.user_id, l.transaction_id, 'r', 'tester') r WHERE l.user_id = ? AND l.journal = 'reward_audit' AND l.seq % 2 = 1}, $user);
	value($session, q{SELECT code FROM economy.update_profile(?, jsonb_build_object('about', repeat(?, 300)), ?, 'tester')}, $user, "text $_ ", "p$_") foreach 1 .. 2;
	value($session, q{SELECT code FROM economy.grant_items(?, '{"gem": 5}', 'r', ?)}, $user, "k$_") foreach 1 .. 2;
	value($session, q{SELECT code FROM economy.consume(?, 'gem', 'k')}, $user);
	value($session, q{SELECT code FROM economy.transfer(?, (SELECT min(user_id) FROM economy.users WHERE user_id <> ?), ?, 1, '{"gem": 1}')}, $user, $user, "k$_") foreach 1 .. 2;
	value($session, q{SELECT r.code FROM economy.hold_escrow(?, 'e', 1, '{"gem": 1}') h, economy.release_escrow(?, h.transaction_id) r}, $user, $user);
	$session->begin_work;
	value($session, q{SELECT code FROM economy.grant_reward(?, 'decoded', 'undone', 1)}, $user);
	$session->rollback;
	$session->do('BEGIN');
	value($session, q{SELECT code FROM economy.grant_reward(?, 'decoded', 'prepared', 1)}, $user);
	$session->do("PREPARE TRANSACTION 'decoded $n'");
	$session->do(($n % 2 ? 'COMMIT' : 'ROLLBACK') . " PREPARED 'decoded $n'");
	return;
}

add_product($dbh, 'potion', price_gold => 1, stock => 1000);
$dbh->do(q{SELECT economy.upsert_item('{"item_id": "gem", "kind": "stack", "tradable": true}', 'tester')});
$dbh->do(q{SELECT economy.set_transfer_rules('{"enabled": true}', 'tester')});
my @pids;
foreach my $writer (1 .. 3)
{
	my $pid = fork() // die "fork: $!";
	if ($pid == 0)
	{
		my $session = connect_to($node);
		POSIX::_exit(eval { write_all($session, $writer * 10 + $_) foreach 1 .. 5; 1 } ? 0 : (print(STDERR $@), 1)[1]);
	}
	push @pids, $pid;
}

# and a reader beside them, and the jobs
my (%rows, %accounts, %n, @odd);
sub decode
{
	foreach my $line (map { $_->[0] } @{ $dbh->selectall_arrayref(q{SELECT data FROM pg_logical_slot_get_changes('text', NULL, NULL)}) })
	{
		my ($table, $verb, $data) = $line =~ /^table economy(?:_internal)?\.(\w+): (INSERT|UPDATE|DELETE): (.*)$/s or next;
		my ($user, $seq) = $data =~ /\buser_id\[bigint\]:(-?\d+).*?\bseq\[bigint\]:(\d+)/s;

		$n{$verb}++;
		push @odd, $line if $data =~ /no-tuple-data/;
		if (grep { $_ eq $table } @journals)
		{
			push @odd, "$table: $verb" if $verb eq 'UPDATE' || ($verb eq 'DELETE' && $table ne 'user_actions');
			$rows{"$table $user $seq"} = $data =~ /\bhash\[bytea\]:'\\x([0-9a-f]{64})'/ ? $1 : 'none' if $verb eq 'INSERT';
			delete $rows{"$table $user $seq"} // push @odd, "$table $user $seq was not there" if $verb eq 'DELETE';
		}
		$accounts{$user} = join ' ', $seq, map { $data =~ /\b$_\[bigint\]:(\d+)/ } qw(gold experience_points) if $table eq 'accounts' && $verb ne 'DELETE';
	}
	return;
}
while (@pids)
{
	decode();
	value($dbh, 'SELECT users FROM economy.rollup_stats()');
	value($dbh, 'SELECT snapshot_id FROM economy.rfm_refresh()');
	$dbh->do('SELECT * FROM economy.prune()');
	@pids = grep { my $done = waitpid($_, POSIX::WNOHANG()); is($? >> 8, 0, 'a writer ended well') if $done; !$done } @pids;
}
1 while value($dbh, 'SELECT users FROM economy.rollup_stats()') > 0;
$dbh->do('SELECT * FROM economy.prune()');
value($dbh, 'SELECT count(*) FROM economy.audit_sweep()');
decode();

cmp_ok($n{DELETE} // 0, '>', 100, 'actions were pruned');
is(join("\n", @odd), '', 'journals are inserted into, actions deleted, and every change names its row');
my %stored = map { ("$_->[0] $_->[1] $_->[2]" => $_->[3]) } map { @{ $dbh->selectall_arrayref("SELECT '$_', user_id, seq, encode(hash, 'hex') FROM economy.$_") } } @journals;
is(join(' ', sort keys %rows), join(' ', sort keys %stored), 'the journals are what was decoded');
is(join(' ', grep { $rows{$_} ne $stored{$_} } sort keys %stored), '', 'with their hashes');
is(scalar(grep { my $journal = $_; !grep { /^$journal / } keys %stored } @journals), 0, 'every journal has some');
my %there = map { ($_->[0] => "$_->[1] $_->[2] $_->[3]") } @{ $dbh->selectall_arrayref('SELECT user_id, seq, gold, experience_points FROM economy.accounts') };
is(join(' ', map { "$_:$accounts{$_}" } sort keys %accounts), join(' ', map { "$_:$there{$_}" } sort keys %there), 'and the accounts as last decoded');

my %kinds = map { ($_->[0] => $_->[1]) } @{ $dbh->selectall_arrayref(<<'SQL') };
SELECT chr(get_byte(data, 0)), count(*) FROM pg_logical_slot_get_binary_changes('binary', NULL, NULL, 'proto_version', '1', 'publication_names', 'everything') GROUP BY 1
SQL
is(join(' ', map { $kinds{$_} // 0 } qw(I U D)), join(' ', map { $n{$_} // 0 } qw(INSERT UPDATE DELETE)), 'pgoutput says as much: inserts, updates, deletes');
is_clean($node, 'postgres', 'at the end');
$dbh->disconnect;
$node->stop;
done_testing();
