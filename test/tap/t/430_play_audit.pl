# Long work seen from another session, and the audit on a hot standby.
use strict;
use warnings;

use DBD::Pg;
use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('play_audit', init => { allows_streaming => 1 }, conf => 'wal_receiver_status_interval = 1s');
my $dbh = connect_to($node);
my $worker = connect_to($node);
my $gate = connect_to($node);
my $ann = add_user($dbh, 'ann', 100);
# old enough to be pruned
$dbh->do(q{SET economy.test_clock = '2020-01-01 12:00+00'});
$dbh->do("SELECT economy.record_action($ann, 'slot', 'T', '1', 1, 2)");
$dbh->do('RESET economy.test_clock');
$dbh->do('SELECT * FROM economy.rollup_stats()');

sub progress { return $dbh->selectall_arrayref('SELECT pid, task, done, total, running_for >= interval \'0\' AS so FROM economy.progress()', { Slice => {} }) }

# The sweep stands still where a table that it reads is locked, before it reads any.
foreach my $case ([ 'economy.shop_transactions', 'audit_sweep', 0, 1 ], [ 'economy.pruned_actions', 'audit_sweep', 0, 1 ],
	[ 'economy.stream_checkpoints', 'audit_sweep', 0, 1 ], [ 'economy.shop_stock', 'audit_sweep', 0, 1 ], [ 'economy.user_game_stats_summary', 'audit_sweep', 0, 1 ])
{
	my ($table, $task, $done, $total) = @$case;

	is_deeply(progress(), [], "$task: nothing runs yet");
	$gate->begin_work;
	$gate->do("LOCK TABLE $table IN ACCESS EXCLUSIVE MODE");
	$worker->do('SELECT * FROM economy.audit_sweep()', { pg_async => DBD::Pg::PG_ASYNC() });
	wait_until_blocked($node, 'postgres', $worker->{pg_pid});
	is_deeply(progress(), [ { pid => $worker->{pg_pid}, task => $task, done => $done, total => $total, so => 1 } ], "$task is seen from another session");
	$gate->rollback;
	$worker->pg_result;
	is_deeply(progress(), [], "$task: nothing after it");
}

# the simulation, by a lock on a later user
add_user($dbh, "sim-9-$_") foreach 1 .. 5;
value($dbh, 'SELECT count(*) FROM economy.simulate(5, 0, 9)');
$gate->begin_work;
$gate->do(q{SELECT FROM economy.accounts WHERE user_id = economy.user_id_of('sim-9-2') FOR UPDATE});
$worker->do('SELECT * FROM economy.simulate(5, 20000, 9)', { pg_async => DBD::Pg::PG_ASYNC() });
wait_until_blocked($node, 'postgres', $worker->{pg_pid});
is_deeply(progress(), [ { pid => $worker->{pg_pid}, task => 'simulate', done => 0, total => 20000, so => 1 } ], 'simulate is seen from another session');
$gate->rollback;
$worker->pg_result;
is_deeply(progress(), [], 'and is over');

# a sweep that fails leaves nothing behind
$gate->begin_work;
$gate->do('LOCK TABLE economy.shop_stock IN ACCESS EXCLUSIVE MODE');
$worker->do('SELECT * FROM economy.audit_sweep()', { pg_async => DBD::Pg::PG_ASYNC() });
wait_until_blocked($node, 'postgres', $worker->{pg_pid});
$worker->pg_cancel;
$gate->rollback;
# the client hears of the error before the transaction has ended
ok($node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM economy.progress()'), 'a cancelled sweep is not seen');
is(value($worker, 'SELECT count(*) FROM economy.audit_sweep()'), 0, 'the session goes on');

# a statement that goes on behind the work is no work any more
foreach my $work ('economy.audit_sweep()', 'economy.simulate(5, 3, 9)')
{
	$gate->begin_work;
	$gate->do('SELECT pg_advisory_xact_lock(9)');
	$worker->do("WITH work AS MATERIALIZED (SELECT count(*) AS n FROM $work) SELECT pg_advisory_xact_lock(9 + 0 * n) FROM work", { pg_async => DBD::Pg::PG_ASYNC() });
	wait_until_blocked($node, 'postgres', $worker->{pg_pid});
	is_deeply(progress(), [], "$work is over before its statement is");
	$gate->rollback;
	$worker->pg_result;
}

# two at once: who comes second goes on where the first one was
my $last = 'SELECT users FROM economy.audit_runs ORDER BY run_id DESC LIMIT 1';
$dbh->do('UPDATE economy.audit_runs SET finished_at = clock_timestamp(), next_user = NULL WHERE finished_at IS NULL');
foreach my $case ([ 'SELECT users FROM economy.audit_step(1)', q{SELECT count(*) FROM economy.audit_runs WHERE kind = 'full' AND finished_at IS NULL}, 1, 'one sweep in steps' ],
	[ 'SELECT count(*) FROM economy.audit_sweep_incremental()', $last, 0, 'a stream is looked at once' ],
	[ 'SELECT economy.anchor_step(1)', 'SELECT count(*) FROM economy.anchors', 1, 'one anchor is taken' ])
{
	my ($call, $what, $answer, $name) = @$case;

	$gate->begin_work;
	value($gate, $call);
	my $second = connect_to($node);
	$second->do($call, { pg_async => DBD::Pg::PG_ASYNC() });
	wait_until_blocked($node, 'postgres', $second->{pg_pid});
	$gate->commit;
	is(eval { $second->pg_result; 1 } ? '' : $second->errstr, '', "$name: the second one does not fail");
	is(value($dbh, $what), $answer, $name);
	$second->disconnect;
}
value($dbh, 'SELECT economy.anchor() IS NULL');
is(value($dbh, 'SELECT count(*) FROM economy.audit_sweep()'), 0, 'and all is sound');

# who may look
$dbh->do($_) foreach 'CREATE ROLE looker LOGIN', q{SELECT economy.grant_access('looker', 'monitor')}, 'CREATE ROLE nobody_special';
$gate->begin_work;
$gate->do('LOCK TABLE economy.shop_stock IN ACCESS EXCLUSIVE MODE');
$worker->do('SELECT * FROM economy.audit_sweep()', { pg_async => DBD::Pg::PG_ASYNC() });
wait_until_blocked($node, 'postgres', $worker->{pg_pid});
$dbh->do('SET ROLE looker');
is(progress()->[0]{task}, 'audit_sweep', 'a monitor sees it');
$dbh->do('SET ROLE nobody_special');
is(try_sql($dbh, 'SELECT * FROM economy.progress()'), '42501', 'another role does not');
$dbh->do('RESET ROLE');
$gate->rollback;
$worker->pg_result;

# --- on a standby and in read-only transactions ---------------------------------

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('play_standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
sub catch_up { $node->wait_for_catchup($standby, 'replay', $node->lsn('flush')); return }
catch_up();
my $reader = connect_to($standby);
my $runs = value($dbh, 'SELECT count(*) FROM economy.audit_runs');

is_deeply($reader->selectall_arrayref('SELECT * FROM economy.audit_sweep()'), [], 'the standby is clean');
is_deeply($reader->selectall_arrayref('SELECT * FROM economy.stats_parity()'), [], 'its statistics are right');
$dbh->do('UPDATE economy.accounts SET gold = gold + 1 WHERE user_id = ?', undef, $ann);
$dbh->do(q{UPDATE economy.accounts a SET sections = economy_internal.with_game(a.sections, g.game, g.wins, g.losses, g.draws, 99, g.bet_sum, g.win_sum, g.last_action_at)
	FROM economy.game_stats g WHERE g.user_id = a.user_id AND a.user_id = ?}, undef, $ann);
catch_up();
is_deeply($reader->selectall_arrayref('SELECT kind, user_id FROM economy.audit_sweep() ORDER BY 1'), [ [ 'parity', $ann ], [ 'wrong_balance', $ann ] ], 'the standby finds damage');
is(value($reader, 'SELECT count(*) FROM economy.stats_parity()'), 1, 'and a difference');
$dbh->do('BEGIN READ ONLY');
is_deeply($dbh->selectall_arrayref('SELECT kind FROM economy.audit_sweep() ORDER BY 1'), [ ['parity'], ['wrong_balance'] ], 'so does a read-only transaction');
$dbh->do('COMMIT');
is(value($dbh, 'SELECT count(*) FROM economy.audit_runs'), $runs, 'neither records it');
is(value($dbh, 'SELECT count(*) FROM economy.audit_sweep()'), 2, 'another one');
is(value($dbh, 'SELECT findings FROM economy.audit_runs ORDER BY run_id DESC LIMIT 1'), 2, 'does');
is(value($dbh, 'SELECT count(*) FROM economy.audit_findings WHERE run_id = (SELECT max(run_id) FROM economy.audit_runs)'), 2, 'with its findings');

my %readers = (
	game_stats_me => "SELECT economy.game_stats_me($ann)::text",
	win_rate_anomalies => q{SELECT count(*) FROM economy.win_rate_anomalies('slot')},
	wilson_interval => 'SELECT economy.wilson_interval(18, 20)::text',
	progress => 'SELECT count(*) FROM economy.progress()');
is(value($reader, $readers{$_}), value($dbh, $readers{$_}), "$_ on the standby") foreach sort keys %readers;
my %writers = (
	record_action => "SELECT economy.record_action($ann, 'slot', 'T', 'new')",
	'record_action, a known id' => "SELECT economy.record_action($ann, 'slot', 'T', '1', 1, 2)",
	record_actions => q{SELECT * FROM economy.record_actions('[]')},
	register_game => q{SELECT economy.register_game('new')},
	rollup_stats => 'SELECT * FROM economy.rollup_stats()',
	prune => 'SELECT * FROM economy.prune()',
	simulate => 'SELECT * FROM economy.simulate(1, 1, 1)',
	prune_stream => "SELECT economy_internal.prune_stream($ann, 1)",
	'prune_stream, nothing to do' => "SELECT economy_internal.prune_stream($ann, 0)",
	audit_sweep_incremental => 'SELECT * FROM economy.audit_sweep_incremental()');
foreach my $name (sort keys %writers)
{
	is(try_sql($reader, $writers{$name}), '25006', "$name on the standby");
	is(try_sql($dbh, "BEGIN READ ONLY; $writers{$name}"), '25006', "$name in a read-only transaction");
	$dbh->do('ROLLBACK');
}

$_->disconnect foreach $reader, $dbh, $worker, $gate;
$_->stop foreach $standby, $node;
done_testing();
