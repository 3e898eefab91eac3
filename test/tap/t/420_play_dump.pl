# Statistics through pg_dump and a restore: nothing is counted twice, also not
# by a capture trigger on a table of the app, and not what was pruned; and two
# databases that play the same seed have the same statistics.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $old = new_node('play_old');
my $new = new_node('play_new', empty => 1);
my $dir = PostgreSQL::Test::Utils::tempdir();
my $dbh = connect_to($old);

$dbh->do(q{SET economy.test_clock = '2031-01-01 12:00+00'});
my ($ann, $bob) = map { add_user($dbh, $_, 1000) } qw(ann bob);
add_product($dbh, 'toy', price_gold => 1);
$dbh->do(q{SELECT economy.register_game('chess', '{"board": 8}')});
$dbh->do(<<'SQL');
CREATE SCHEMA app;
CREATE TABLE app.spins (spin_id int PRIMARY KEY, player bigint, stake int, payout int);
CREATE TRIGGER capture AFTER INSERT ON app.spins REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT
    EXECUTE FUNCTION economy.capture_actions('player', 'slot', 'spin_id', 'stake', 'payout', 'report', 'prefix=');
CREATE TABLE public.zpins (spin_id int PRIMARY KEY, player bigint, stake int, payout int);
CREATE TRIGGER capture AFTER INSERT ON public.zpins REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT
    EXECUTE FUNCTION economy.capture_actions('player', 'gacha', 'spin_id', 'stake', 'payout', 'prefix=');
SQL
$dbh->do("INSERT INTO app.spins SELECT n, CASE n % 2 WHEN 0 THEN $ann ELSE $bob END, 1, n % 4 FROM generate_series(1, 100) n");
$dbh->do("INSERT INTO public.zpins SELECT n, $ann, 0, 1 FROM generate_series(1, 100) n");
$dbh->do("INSERT INTO app.spins VALUES (101, $ann, 1000000, 0), (102, -1, 1, 1)");
$dbh->do("SELECT economy.record_action($bob, 'chess', 'MOVE', '1', 1, 2, 'draw', '{\"e\": 4}')");
$dbh->do("SELECT economy.purchase($ann, 'toy', 'k')");
$dbh->do("SELECT economy.record_action($ann, 'rps', 'RPS_PLAY', '1')");
$dbh->do('SELECT * FROM economy.rollup_stats()');
$dbh->do(q{SET economy.test_clock = '2031-06-01 12:00+00'});
is(value($dbh, q{SELECT users || ' ' || damaged FROM economy.prune()}), '2 0', 'old actions are pruned');
my ($pruned) = $dbh->selectrow_array("SELECT seq FROM economy.pruned_actions WHERE user_id = $ann AND key = economy_internal.action_key('slot', '2')");
$dbh->do("SELECT economy.record_action($ann, 'rps', 'RPS_PLAY', '2', 0, 4)");
$dbh->do('SELECT * FROM economy.rollup_stats()');
$dbh->do("SELECT economy.record_action($bob, 'rps', 'RPS_PLAY', '3', 0, 5)");
is_clean($old, 'postgres', 'before the dump');
my $before = fingerprint($old);

sub check_copy
{
	my ($database, $name) = @_;
	my $s = connect_to($new, $database);

	$s->do(q{SET economy.test_clock = '2031-06-01 13:00+00'});
	is(fingerprint($new, $database), $before, "$name: every row of every table, and none counted twice");
	is($new->safe_psql($database, 'SELECT * FROM economy.stats_parity()'), '', "$name: parity");
	is_clean($new, $database, $name);
	is(value($s, 'SELECT count(*) FROM app.spins') . ' ' . value($s, 'SELECT count(*) FROM public.zpins'), '102 100', "$name: the app's own rows");
	is(value($s, 'SELECT economy.game_stats_me(?)::text', $ann), value($dbh, 'SELECT economy.game_stats_me(?)::text', $ann), "$name: the document");
	is(value($s, q{SELECT state FROM economy.record_action(?, 'rps', 'RPS_PLAY', '3', 0, 5)}, $bob), 'reuse', "$name: ids are known");
	is(value($s, q{SELECT concat_ws(' ', code, transaction_id) FROM economy.record_action(?, 'slot', 'CAPTURE', '2', 1, 2)}, $ann), "RESYNC_REQUIRED A$ann-$pruned", "$name: those of pruned actions too");
	$s->do($_) foreach 'CREATE TABLE app.copy AS SELECT * FROM app.spins', 'TRUNCATE app.spins', 'INSERT INTO app.spins SELECT * FROM app.copy WHERE spin_id <= 100';
	is(value($s, 'SELECT economy.game_stats_me(?)::text', $ann), value($dbh, 'SELECT economy.game_stats_me(?)::text', $ann), "$name: the app's rows again count nothing");
	$s->do("INSERT INTO app.spins VALUES (200, $bob, 1, 5)");
	is(value($s, q{SELECT state FROM economy.record_action(?, 'slot', 'CAPTURE', '200', 1, 5)}, $bob), 'reuse', "$name: the capture goes on");
	is(value($s, 'SELECT users FROM economy.rollup_stats()'), 1, "$name: the rollup too, where it was");
	is(value($s, q{SELECT max(refusal_id) FROM economy.capture_refusals}), 2, "$name: no refusal was added");
	$s->do("INSERT INTO app.spins VALUES (201, -1, 1, 5)");
	is(value($s, q{SELECT max(refusal_id) FROM economy.capture_refusals}), 3, "$name: their numbers continue");
	is(try_sql($s, 'DELETE FROM economy.user_actions'), 'XE101', "$name: the journal is append-only");
	is($new->safe_psql($database, 'SELECT * FROM economy.stats_parity()'), '', "$name, after use: parity");
	is_clean($new, $database, "$name, after use");
	$s->disconnect;
	return;
}

foreach my $format ([ 'plain', 'psql', '-qX', '-v', 'ON_ERROR_STOP=1' ], [ 'custom', 'pg_restore', '--exit-on-error', '--jobs=4' ],
	[ 'directory', 'pg_restore', '--exit-on-error', '--single-transaction' ])
{
	my ($name, @restore) = @$format;

	command_ok([ 'pg_dump', "-F$name", '-d', $old->connstr('postgres'), '-f', "$dir/$name" ], "pg_dump, $name");
	$new->safe_psql('template1', "CREATE DATABASE $name");
	command_ok([ @restore, '-d', $new->connstr($name), $name eq 'plain' ? ('-f', "$dir/$name") : "$dir/$name" ], "restore, $name");
	check_copy($name, $name);
}

# The data alone, into a schema whose trigger is live: the ids are known by then,
# or the rows find no user; either way nothing counts twice.
foreach my $case ([ 'young', 0 ], [ 'pruned', 1 ])
{
	my ($name, $prune) = @$case;
	my $from = fresh_database($old);
	my $s = connect_to($old, $from);
	my $tables = <<'SQL';
CREATE TABLE public.spins (spin_id int PRIMARY KEY, player bigint, stake int, payout int);
CREATE TRIGGER capture AFTER INSERT ON public.spins REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT
    EXECUTE FUNCTION economy.capture_actions('player', 'gacha', 'spin_id', 'stake', 'payout', 'prefix=');
SQL

	$s->do($tables);
	$s->do(q{SET economy.test_clock = '2031-01-01 12:00+00'});
	my $eve = add_user($s, 'eve', 1000);
	$s->do("INSERT INTO public.spins SELECT n, $eve, 1, n % 3 FROM generate_series(1, 50) n");
	$s->do('SELECT * FROM economy.rollup_stats()');
	$s->do(q{SET economy.test_clock = '2031-06-01 12:00+00'});
	$s->do('SELECT * FROM economy.prune()') if $prune;
	my $document = value($s, 'SELECT economy.game_stats_me(?)::text', $eve);
	$s->disconnect;

	$new->safe_psql('template1', "CREATE DATABASE $name");
	$new->safe_psql($name, "CREATE EXTENSION economy; $tables");
	command_ok([ 'pg_dump', '--data-only', '-Fc', '-d', $old->connstr($from), '-f', "$dir/$name" ], "$name: pg_dump --data-only");
	command_ok([ 'pg_restore', '--exit-on-error', '-d', $new->connstr($name), "$dir/$name" ], "$name: restore below a live trigger");
	is($new->safe_psql($name, "SELECT economy.game_stats_me($eve)"), $document, "$name: nothing is counted twice");
	is($new->safe_psql($name, "SELECT seq FROM economy.accounts WHERE user_id = $eve"), 51, "$name: no entry is added");
	is($new->safe_psql($name, 'SELECT count(*) FROM economy.user_actions'), $prune ? 1 : 50, "$name: the actions are those that were left");
	is($new->safe_psql($name, 'SELECT count(*) FROM public.spins'), 50, "$name: the app has all its rows");
	is_clean($new, $name, $name);
}

# --- one seed, two databases ---------------------------------------------------

my @results;
foreach my $database (map { fresh_database($old) } 1 .. 2)
{
	my $s = connect_to($old, $database);
	# ids that differ must not matter
	add_user($s, 'someone', 5) foreach 1 .. @results;
	my $tally = $s->selectall_arrayref('SELECT * FROM economy.simulate(150, 21000, 4711)');
	push @results, { tally => $tally, stats => $s->selectall_arrayref(<<'SQL') };
SELECT u.external_id, g.game, g.total, g.wins, g.losses, g.draws, g.max_win, g.bet_sum, g.win_sum, a.gold, a.seq
FROM economy.users u JOIN economy.game_stats g USING (user_id) JOIN economy.accounts a USING (user_id) ORDER BY 1, 2
SQL
	is_deeply($s->selectall_arrayref('SELECT state, code FROM economy.simulate(150, 21000, 4711)'), [ [ 'reuse', 'OK' ] ], "$database: the same seed again is known")
	  if !grep { $_->[0] eq 'refused' } @$tally;
	is($old->safe_psql($database, 'SELECT * FROM economy.stats_parity()'), '', "$database: parity");
	is($old->safe_psql($database, 'SELECT * FROM economy.audit_sweep()'), '', "$database: no finding");
	$s->disconnect;
}
is_deeply($results[0], $results[1], 'the same seed plays the same in two databases');
cmp_ok(scalar @{ $results[0]{stats} }, '>', 300, 'by many users and games');

$dbh->disconnect;
$_->stop foreach $old, $new;
done_testing();
