# Transfers from 32 sessions among five users at one moment, beside purchases of the same
# users: nobody waits in a circle, and no gold or item is made or lost; with journals that are
# partitions, too.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('transfer_race', conf => "deadlock_timeout = 100ms\nmax_connections = 120");
my ($SESSIONS, $ROUNDS) = (32, 40);
my $run = 0;

foreach my $way ('auto', 'sql', 'auto, partitions')
{
	my ($access) = $way =~ /^(\w+)/;
	my $database = 'race' . ++$run;
	$node->safe_psql('template1', "CREATE DATABASE $database");
	$node->safe_psql($database, ($way =~ /partitions/ ? 'SET economy.journal_partitions = 4; ' : '') . 'CREATE EXTENSION economy');
	my $dbh = connect_to($node, $database);
	my @users = map { add_user($dbh, "user $_", 300) } 1 .. 5;

	add_product($dbh, 'potion', price_gold => 1);
	$dbh->do(q{SELECT economy.upsert_item('{"item_id": "gem", "kind": "stack", "tradable": true}', 'tester')});
	$dbh->do(q{SELECT economy.set_transfer_rules('{"enabled": true, "fee_per_mille": 10}', 'tester')});
	$dbh->do(q{SELECT economy.grant_items(?, '{"gem": 50}', 'opening', 'o')}, undef, $_) foreach @users;
	my @r = at_once($node, $database, $SESSIONS, sub {
		my ($n, $session) = @_;
		my ($made, $fees, $bought) = (0, 0, 0);

		srand($n);
		foreach my $round (1 .. $ROUNDS)
		{
			my ($from, $to) = @users[ rand @users, rand @users ];
			my $gems = int rand 3;
			my $p = row($session, 'SELECT code, detail FROM economy.transfer(?, ?, ?, ?, ?)', $from, $to, "k$n-$round", 1 + int rand 40, $gems ? qq({"gem": $gems}) : undef);
			die "answered $p->{code}" unless $p->{code} =~ /^(?:OK|SAME_USER|INSUFFICIENT_GOLD|INSUFFICIENT_ITEMS)$/;
			if ($p->{code} eq 'OK') { $made++; $fees += $1 if $p->{detail} =~ /"fee": (\d+)/ }
			next if $round % 4;
			$bought++ if value($session, 'SELECT code FROM economy.purchase(?, ?, ?)', $to, 'potion', "k$n-$round") eq 'OK';
		}
		return ($made, $fees, $bought);
	}, "SET economy.row_access = $access", 'SET economy.notify = off', 'SET synchronous_commit = off');
	my ($made, $fees, $bought) = (0, 0, 0);
	foreach my $r (@r) { $made += $r->[0]; $fees += $r->[1]; $bought += $r->[2] }

	is(scalar @r, $SESSIONS, "$way: every session has an end");
	cmp_ok($made, '>', $SESSIONS * $ROUNDS / 4, "$way: $made transfers, $bought purchases");
	is(value($dbh, q{SELECT count(*) FROM pg_inherits WHERE inhparent = 'economy.holding_changes'::regclass}), $way =~ /partitions/ ? 4 : 0, "$way: as it says");
	is(value($dbh, 'SELECT sum(gold) FROM economy.accounts'), 1500 - $fees - $bought, "$way: the gold is what it was, less fees and prices");
	is(value($dbh, q{SELECT sum(balance) FROM economy.user_holdings WHERE item_id = 'gem'}), 250, "$way: and so are the items");
	is(value($dbh, q{SELECT count(*) FROM economy.holding_changes WHERE operation LIKE 'transfer%'}), 2 * $made, "$way: two entries each");
	$dbh->disconnect;
	is($node->safe_psql('postgres', "SELECT pg_stat_force_next_flush(); SELECT sum(deadlocks) FROM pg_stat_database") =~ s/^\n//r, 0, "$way: no deadlock");
	is_clean($node, $database, $way);
}
done_testing();
