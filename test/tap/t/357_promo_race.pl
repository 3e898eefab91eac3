# Promo codes in up to 64 sessions at one moment: with stock, a budget, a limit for each user, refunds, and an
# admin who gives more uses. No code is used more often than it may be, none is left that could be, no
# gold is given that is not in the budget, and nobody waits in a circle; by sums that ask nothing of the
# extension.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('promo_race', conf => "deadlock_timeout = 100ms\nmax_connections = 120");
my $ROUNDS = 6;
my $run = 0;

# The codes of a statement; what is sent again above READ COMMITTED is tried until it is made.
sub codes
{
	my ($session, $sql, @args) = @_;

	foreach (1 .. 500)
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
	my $what = int rand 8;

	return codes($session, 'SELECT code FROM economy.purchase(?, ?, ?, 1, ?)', $user, 'axe', $name, '{"promo": "half"}') if $what < 4;
	return codes($session, 'SELECT code FROM economy.purchase(?, ?, ?, ?, ?)', $user, 'rare', $name, 1 + int rand 2, '{"promo": "Half"}') if $what < 6;
	return codes($session, q{SELECT 'MORE' FROM economy.upsert_promo_code(jsonb_build_object('code', 'HALF', 'max_uses', (SELECT max_uses + 1 FROM economy.promo_codes WHERE code = 'HALF')), ?)}, $name) if $what < 7 && $name =~ /-1$/ && $name =~ /k[0-5]-/;
	return codes($session, q{SELECT r.code FROM (SELECT u.seq FROM economy.promo_uses u WHERE u.user_id = ? ORDER BY random() LIMIT 1) u, economy.refund_purchase(?, format('P%s-%s', ?::bigint, u.seq), 'back', NULL, 'race', 'tester') r}, $user, $user, $user);
}

foreach (([ 'auto', 64 ], [ 'sql', 20 ]))
{
	my ($way, $SESSIONS) = @$_;
	my $database = 'race' . ++$run;
	$node->safe_psql('template1', "CREATE DATABASE $database");
	$node->safe_psql($database, 'CREATE EXTENSION economy');
	my $dbh = connect_to($node, $database);
	my @users = map { add_user($dbh, "user $_", 100000) } 1 .. 24;

	add_product($dbh, 'axe', price_gold => 10);
	add_product($dbh, 'rare', price_gold => 16);
	$dbh->do(q{SELECT economy.add_stock('rare', 40, 'tester', 3)});
	$dbh->do(qq{SELECT economy.upsert_promo_code('{"code": "ONE", "kind": "percent", "value": 50, "max_uses": @{[$SESSIONS / 2]}}', 'tester'),
		economy.upsert_promo_code('{"code": "LAST", "kind": "amount", "value": 7, "budget_gold": 70, "max_per_user": null}', 'tester')});
	$dbh->do(q{SELECT economy.upsert_promo_code('{"code": "HALF", "kind": "percent", "value": 50, "max_quantity": 2, "max_uses": 40, "budget_gold": 260, "max_per_user": 4}', 'tester')});
	my @settings = ("SET economy.row_access = $way", 'SET economy.notify = off', 'SET synchronous_commit = off');

	# uses for half of those who ask at once, each user once; and a budget that is enough for ten
	my @once = at_once($node, $database, $SESSIONS, sub {
		my ($n, $session) = @_;
		my $user = add_user($session, "new $n", 100);

		return join ' ', codes($session, q{SELECT code FROM economy.purchase(?, 'axe', 'k', 1, '{"promo": "ONE"}')}, $user),
			codes($session, q{SELECT code FROM economy.purchase(?, 'axe', 'k2', 1, '{"promo": "LAST"}')}, $user);
	}, @settings);
	my %n;
	$n{$_}++ foreach map { split / / } map { ref $_ ? @$_ : $_ } @once;
	is($n{OK}, $SESSIONS / 2 + 10, "$way: uses for half of the sessions, and ten times seven gold");
	is_deeply([ @n{qw(PROMO_USED_UP PROMO_BUDGET)} ], [ $SESSIONS / 2, $SESSIONS - 10 ], "$way: and a refusal for the others") or diag(explain(\%n));

	my @r = at_once($node, $database, $SESSIONS, sub {
		my ($n, $session) = @_;
		my %codes;

		srand($n);
		$session->do('SET default_transaction_isolation = ' . $session->quote($n % 8 == 7 ? 'repeatable read' : 'read committed'));
		foreach my $round (1 .. $ROUNDS)
		{
			$codes{$_}++ foreach act($session, "k$n-$round", @users);
		}
		return join ' ', sort keys %codes;
	}, @settings);
	my %codes = map { $_ => 1 } map { split / / } map { ref $_ ? @$_ : $_ } @r;

	is(scalar @r, $SESSIONS, "$way: every session has an end");
	is(join(' ', grep { !/^(?:OK|MORE|SOLD_OUT|EXCEEDS_PURCHASE|IN_PROGRESS|PROMO_USED_UP|PROMO_BUDGET|PROMO_USER_LIMIT)$/ } sort keys %codes), '', "$way: and only such answers");
	is(value($dbh, <<'SQL'), 0, "$way: no code is used more often, or gives more, than it may");
SELECT count(*) FROM economy.promo_codes c LEFT JOIN (
    SELECT t.context #>> '{promo_use,code}' AS code, count(*) AS uses, sum((t.context #>> '{promo_use,gold}')::bigint) AS gold FROM economy.shop_transactions t
    WHERE t.context -> 'promo_use' IS NOT NULL AND NOT EXISTS (SELECT FROM economy.shop_refunds r WHERE r.user_id = t.user_id AND r.reverses = t.seq) GROUP BY 1) u USING (code)
WHERE c.max_uses <> coalesce(u.uses, 0) + (SELECT sum(s.remaining) FROM economy.promo_stock s WHERE s.name = c.code)
   OR c.budget_gold <> coalesce(u.gold, 0) + (SELECT sum(s.remaining) FROM economy.promo_stock s WHERE s.name = c.code || '/gold')
SQL
	is(value($dbh, <<'SQL'), 0, "$way: nor by a user");
SELECT count(*) FROM (SELECT t.user_id FROM economy.shop_transactions t WHERE t.context #>> '{promo_use,code}' = 'HALF'
    AND NOT EXISTS (SELECT FROM economy.shop_refunds r WHERE r.user_id = t.user_id AND r.reverses = t.seq) GROUP BY 1 HAVING count(*) > 4) x
SQL
	is(value($dbh, q{SELECT count(*) FROM economy.shop_transactions t WHERE t.context -> 'promo_use' IS NOT NULL AND t.gold_delta + (CASE t.product_id WHEN 'axe' THEN 10 ELSE 16 END) * t.quantity <> (t.context #>> '{promo_use,gold}')::bigint}), 0, "$way: the price is what was paid and what was off");
	is(value($dbh, q{SELECT (SELECT sum(remaining) FROM economy.shop_stock) + (SELECT sum(quantity) FROM economy.shop_transactions WHERE product_id = 'rare') - (SELECT coalesce(sum(restocked), 0) FROM economy.shop_refunds)}), 40, "$way: no unit is lost to who got no use");
	is(value($dbh, q{SELECT sum(r.gold_delta + t.gold_delta) FROM economy.shop_refunds r JOIN economy.shop_transactions t ON t.user_id = r.user_id AND t.seq = r.reverses}) // 0, 0, "$way: what came back is what was paid");
	is(value($dbh, q{SELECT sum(a.gold) FROM economy.accounts a}), value($dbh, q{SELECT sum(gold_delta) FROM economy.ledger}), "$way: the gold is that of the entries");
	cmp_ok(value($dbh, 'SELECT count(*) FROM economy.shop_refunds'), '>', 2, "$way: some were taken back");
	$dbh->disconnect;
	is($node->safe_psql('postgres', "SELECT pg_stat_force_next_flush(); SELECT sum(deadlocks) FROM pg_stat_database") =~ s/^\n//r, 0, "$way: no deadlock");
	is_clean($node, $database, $way);
}
done_testing();
