# Refunds from 24 sessions among five users at one moment, beside purchases of one and of many,
# reservations, workers, debts that are collected and missions: nobody waits in a circle, nothing is
# taken back twice, and what is there adds up, by sums that ask nothing of the extension.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('refund_race', conf => "deadlock_timeout = 100ms\nmax_connections = 120\neconomy.collect_debts = on");
my ($SESSIONS, $ROUNDS) = (24, 30);
my $run = 0;

# The codes of a statement; what is sent again above READ COMMITTED is tried until it is made.
sub codes
{
	my ($session, $sql, @args) = @_;

	foreach (1 .. 200)
	{
		my $codes = eval { $session->selectcol_arrayref($sql, undef, @args) };
		return @$codes if $codes;
		die $@ unless $session->state eq '40001';
	}
	die 'it was never made';
}

# What a session does in a round; the codes.
sub act
{
	my ($session, $name, @users) = @_;
	my $user = $users[ rand @users ];
	my $what = int rand 9;

	return codes($session, 'SELECT code FROM economy.purchase(?, ?, ?, ?)', $user, 'chest', $name, 1 + int rand 3) if $what < 2;
	return codes($session, q{SELECT code FROM economy.purchases(ARRAY[?, ?]::bigint[], '{once,chest}', ARRAY[?, ?])}, $user, $user, $name, $name) if $what < 3;
	return codes($session, 'SELECT code FROM economy.purchase(?, ?, ?)', $user, (qw(once pack))[ rand 2 ], $name) if $what < 5;
	return codes($session, q{SELECT f.code FROM economy.unfulfilled(?, 2, '1 second') u, economy.fulfil(u.user_id, u.transaction_id, ?) f}, $name, $name) if $what < 6;
	return (codes($session, q{SELECT code FROM economy.reserve(?, 'chest', ?, 1, '1 second')}, $user, $name),
		codes($session, 'SELECT collected::text FROM economy_internal.collect_debts()')) if $what < 7;
	# two of them, or one twice, with few keys, so that others send the same
	return codes($session, <<'SQL', $user, 'r' . int(rand 2), int(rand 3), int(rand 2), $user);
SELECT r.code FROM (SELECT p.transaction_id, $2::text AS key, $3::integer AS n, $4::integer AS take FROM economy.purchases_of($1, NULL, 12) p ORDER BY random() LIMIT 2) p,
    economy.refund_purchase($5, p.transaction_id, p.key || p.n, nullif(p.n, 0), 'race', 'tester', CASE p.take WHEN 1 THEN 'take_available' ELSE 'refuse' END) r
SQL
}

foreach my $way ('auto', 'sql, partitions')
{
	my ($access) = $way =~ /^(\w+)/;
	my $database = 'race' . ++$run;
	$node->safe_psql('template1', "CREATE DATABASE $database");
	$node->safe_psql($database, ($way =~ /partitions/ ? 'SET economy.journal_partitions = 4; ' : '') . 'CREATE EXTENSION economy');
	my $dbh = connect_to($node, $database);
	my @users = map { add_user($dbh, "user $_", 300) } 1 .. 5;

	$dbh->do(q{SELECT economy.upsert_item('{"item_id": "key", "kind": "stack"}', 'tester')});
	$dbh->do(q{SELECT economy.upsert_product(p, 'tester') FROM jsonb_array_elements('[
		{"product_id": "chest", "category": "item", "price_gold": 7, "monetary": 3, "contents": {"key": 2}, "per_user_limit": 25, "limit_period": "day"},
		{"product_id": "once", "category": "item", "price_gold": 5, "limit_once": true, "fulfilment": true},
		{"product_id": "pack", "category": "conversion", "granted_gold": 40, "granted_xp": 10}]') p});
	$dbh->do(q{SELECT economy.add_stock('chest', 60, 'tester', 8)});
	$dbh->do(q{SELECT economy.publish_mission('{"mission": "buys", "trigger": "purchase", "target": 1000, "gold": 1}', 'tester')});
	my @r = at_once($node, $database, $SESSIONS, sub {
		my ($n, $session) = @_;
		my %codes;

		srand($n);
		$session->do('SET default_transaction_isolation = ' . $session->quote(('read committed', 'repeatable read', 'serializable')[ $n % 3 ]));
		foreach my $round (1 .. $ROUNDS)
		{
			$codes{$_}++ foreach act($session, "k$n-$round", @users);
		}
		return join ' ', sort keys %codes;
	}, "SET economy.row_access = $access", 'SET economy.notify = off', 'SET synchronous_commit = off');
	my %codes = map { $_ => 1 } map { split / / } map { ref $_ ? @$_ : $_ } @r;

	is(scalar @r, $SESSIONS, "$way: every session has an end");
	is(join(' ', grep { !/^(?:\d+|OK|SOLD_OUT|USER_LIMIT|LIMIT_ONCE|RESERVATION_LIMIT|INSUFFICIENT_GOLD|INSUFFICIENT_ITEMS|EXCEEDS_PURCHASE|IDEMPOTENCY_MISMATCH|IN_PROGRESS|LEASED|REFUNDED)$/ } sort keys %codes), '', "$way: and only such answers");
	cmp_ok(value($dbh, 'SELECT count(*) FROM economy.shop_refunds'), '>', 20, "$way: some were taken back");
	is(value($dbh, <<'SQL'), 0, "$way: no purchase more than was bought");
SELECT count(*) FROM economy.shop_transactions t JOIN (SELECT user_id, reverses, sum(quantity) AS n FROM economy.shop_refunds GROUP BY 1, 2) r ON r.user_id = t.user_id AND r.reverses = t.seq WHERE r.n > t.quantity
SQL
	is(value($dbh, q{SELECT count(*) - count(DISTINCT (user_id, purchase, idempotency_key)) FROM economy.shop_refunds}), 0, "$way: each key once");
	is(value($dbh, q{SELECT sum(a.gold) FROM economy.accounts a}), value($dbh, q{SELECT sum(gold_delta) FROM economy.ledger}), "$way: the gold is that of the entries");
	is(value($dbh, <<'SQL'), 60, "$way: the stock is what it was, less what is sold and held");
SELECT (SELECT sum(remaining) FROM economy.shop_stock) + (SELECT coalesce(sum(quantity), 0) FROM economy.shop_reservations WHERE state = 'held')
    + (SELECT sum(quantity) FROM economy.shop_transactions WHERE product_id = 'chest') - (SELECT coalesce(sum(restocked), 0) FROM economy.shop_refunds)
SQL
	is(value($dbh, <<'SQL'), 0, "$way: nobody has twice what is had once");
SELECT count(*) FROM (SELECT t.user_id FROM economy.shop_transactions t WHERE t.product_id = 'once' AND NOT EXISTS (SELECT FROM economy.shop_refunds r WHERE r.user_id = t.user_id AND r.reverses = t.seq) GROUP BY 1 HAVING count(*) > 1) x
SQL
	is(value($dbh, <<'SQL'), 0, "$way: nothing is done of what was taken back before");
SELECT count(*) FROM economy.fulfilments f JOIN economy.shop_refunds r ON r.user_id = f.user_id AND r.reverses = f.seq WHERE (f.fulfilled_at IS NULL) = (f.refunded_at IS NULL) OR f.refunded_at IS NOT NULL AND r.detail ->> 'fulfilment' <> 'cancelled'
SQL
	is(value($dbh, <<'SQL'), value($dbh, 'SELECT coalesce(sum(gold), 0) FROM economy.shop_debts'), "$way: what is owed is what was not there, less what was collected");
SELECT (SELECT coalesce(sum(debt_gold), 0) FROM economy.shop_refunds) + (SELECT coalesce(sum(gold_delta), 0) FROM economy.holding_changes WHERE operation = 'debt')
SQL
	$dbh->disconnect;
	is($node->safe_psql('postgres', "SELECT pg_stat_force_next_flush(); SELECT sum(deadlocks) FROM pg_stat_database") =~ s/^\n//r, 0, "$way: no deadlock");
	is_clean($node, $database, $way);
}
done_testing();
