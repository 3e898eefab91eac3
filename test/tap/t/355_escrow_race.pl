# Escrows from 32 sessions among five users at one moment: held, passed on, traded both ways,
# given back and expired.  Nobody waits in a circle, each is closed once, and what was there is
# there, less the fees of what was passed on.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('escrow_race', conf => "deadlock_timeout = 100ms\nmax_connections = 120");
my ($SESSIONS, $ROUNDS) = (32, 25);
my $run = 0;

sub code { my ($session, $sql, @args) = @_; return value($session, "SELECT code FROM economy.$sql", @args) }

# One that is open, of any of the users.
sub any_of { my ($session, $user) = @_; return value($session, 'SELECT e.escrow_id FROM economy.escrows_of(?) e ORDER BY random() LIMIT 1', $user) }

# What a session does in a round; the codes.
sub act
{
	my ($session, $name, @users) = @_;
	my ($one, $other) = @users[ rand @users, rand @users ];
	my $gems = int rand 3;
	my @codes = code($session, 'hold_escrow(?, ?, ?, ?, ?)', $one, $name, 1 + int rand 30, $gems ? qq({"gem": $gems}) : undef, int(rand 2) ? '1 second' : '1 hour');
	my $mine = any_of($session, $one);
	my $theirs = any_of($session, $other);
	my $what = int rand 8;

	if ($what < 3) { push @codes, code($session, 'capture_escrow(?, ?, ?)', $one, $mine, $other) if $mine }
	elsif ($what < 4) { push @codes, code($session, 'capture_escrow(?, ?, ?, 1)', $one, $mine, $other) if $mine }
	elsif ($what < 6) { push @codes, code($session, 'release_escrow(?, ?)', $other, $theirs) if $theirs }
	elsif ($what < 7) { $session->do('SELECT * FROM economy_internal.expire_escrows()') }
	elsif ($mine && $theirs)
	{
		$session->begin_work;
		push @codes, code($session, 'capture_escrow(?, ?, ?)', $one, $mine, $other), code($session, 'capture_escrow(?, ?, ?)', $other, $theirs, $one);
		$session->commit;
	}
	return @codes;
}

foreach my $way ('auto', 'sql, partitions')
{
	my ($access) = $way =~ /^(\w+)/;
	my $database = 'race' . ++$run;
	$node->safe_psql('template1', "CREATE DATABASE $database");
	$node->safe_psql($database, ($way =~ /partitions/ ? 'SET economy.journal_partitions = 4; ' : '') . 'CREATE EXTENSION economy');
	my $dbh = connect_to($node, $database);
	my @users = map { add_user($dbh, "user $_", 300) } 1 .. 5;

	$dbh->do(q{SELECT economy.upsert_item('{"item_id": "gem", "kind": "stack", "tradable": true}', 'tester')});
	$dbh->do(q{SELECT economy.set_transfer_rules('{"enabled": true, "fee_per_mille": 10}', 'tester')});
	$dbh->do(q{SELECT economy.grant_items(?, '{"gem": 50}', 'opening', 'o')}, undef, $_) foreach @users;
	my @r = at_once($node, $database, $SESSIONS, sub {
		my ($n, $session) = @_;
		my %codes;

		srand($n);
		foreach my $round (1 .. $ROUNDS)
		{
			$codes{$_}++ foreach act($session, "k$n-$round", @users);
		}
		return join ' ', sort keys %codes;
	}, "SET economy.row_access = $access", 'SET economy.notify = off', 'SET synchronous_commit = off');
	my %codes = map { $_ => 1 } map { split / / } map { ref $_ ? @$_ : $_ } @r;

	is(scalar @r, $SESSIONS, "$way: every session has an end");
	is(join(' ', grep { !/^(?:OK|SAME_USER|INSUFFICIENT_GOLD|INSUFFICIENT_ITEMS|IDEMPOTENCY_MISMATCH|IN_PROGRESS|ESCROW_CLOSED|ESCROW_EXPIRED)$/ } sort keys %codes), '', "$way: and only such answers");
	# on a fast machine no second has passed: what is left of the short ones
	$dbh->do(q{SELECT set_config('economy.test_clock', to_char((clock_timestamp() + interval '10 seconds') AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || '+00', false)});
	$dbh->do('SELECT * FROM economy_internal.expire_escrows(NULL, 1000)');
	$dbh->do('RESET economy.test_clock');
	$dbh->do('SELECT economy.release_escrow(user_id, escrow_id) FROM economy.accounts, economy.escrows_of(user_id)');
	my $ends = $dbh->selectall_hashref(q{SELECT detail ->> 'how' AS how, count(*) AS n, sum((detail ->> 'fee')::bigint) AS fees FROM economy.holding_changes WHERE operation = 'escrow_close' GROUP BY 1}, 'how');
	cmp_ok($ends->{$_}{n} // 0, '>', 0, "$way: some were $_") foreach qw(captured released expired);
	is(value($dbh, q{SELECT count(*) FILTER (WHERE operation = 'escrow_hold') - count(*) FILTER (WHERE operation = 'escrow_close') FROM economy.holding_changes}), 0, "$way: each has one end");
	is(value($dbh, 'SELECT count(*) FROM economy.escrows'), 0, "$way: none is open");
	is(value($dbh, 'SELECT sum(gold) FROM economy.accounts'), 1500 - $ends->{captured}{fees}, "$way: the gold is what it was, less fees");
	is(value($dbh, q{SELECT sum(balance) FROM economy.user_holdings WHERE item_id = 'gem'}), 250, "$way: and so are the items");
	$dbh->disconnect;
	is($node->safe_psql('postgres', "SELECT pg_stat_force_next_flush(); SELECT sum(deadlocks) FROM pg_stat_database") =~ s/^\n//r, 0, "$way: no deadlock");
	is_clean($node, $database, $way);
}
done_testing();
