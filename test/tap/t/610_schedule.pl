# Jobs by a real pg_cron: made, run, recorded, removed; never two at once.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('schedule', conf => "shared_preload_libraries = 'pg_cron'\ncron.database_name = 'postgres'\ncron.use_background_workers = on\nmax_worker_processes = 20");
my $dbh = connect_to($node);
my $ann = add_user($dbh, 'ann', 100);

is(try_sql($dbh, 'SELECT * FROM economy.schedule()'), 'XE802', 'without pg_cron, schedule() says so');
like($dbh->errstr, qr/HINT:.*CREATE EXTENSION pg_cron/, 'and what to do');
is(try_sql($dbh, 'SELECT economy.unschedule()'), 'XE802', 'as unschedule() does');
$dbh->do('CREATE EXTENSION pg_cron');
$dbh->do(q{SELECT cron.schedule('not ours', '0 0 1 1 *', 'SELECT 1')});

my $wanted = 'audit_sweep 35 2 * * *, prune 15 3 * * *, rfm_refresh 5 2 * * *, rfm_refresh_incremental 7 * * * *, rollup_stats * * * * *';
my $jobs = q{SELECT string_agg(replace(jobname, 'economy: ', '') || ' ' || schedule, ', ' ORDER BY jobname) FROM cron.job WHERE jobname <> 'not ours' AND active};
is(value($dbh, q{SELECT string_agg(job || ' ' || schedule, ', ' ORDER BY job) FROM economy.schedule()}), $wanted, 'schedule() makes the jobs');
is(value($dbh, $jobs), $wanted, 'pg_cron has them');
my $ids = value($dbh, 'SELECT string_agg(jobid::text, chr(32) ORDER BY jobid) FROM cron.job');
is(value($dbh, 'SELECT count(*) FROM economy.schedule()'), 5, 'again');
is(value($dbh, 'SELECT string_agg(jobid::text, chr(32) ORDER BY jobid) FROM cron.job'), $ids, 'changes nothing');

# every job by hand
is(value($dbh, 'SELECT state FROM economy.record_action(?, ?, ?, ?, 1, 2)', $ann, 'slot', 'T', 'a1'), 'new', 'an action');
is(run_job($dbh, $_), 'done', "$_ runs") foreach qw(rfm_refresh rfm_refresh_incremental audit_sweep prune);
is(value($dbh, q{SELECT count(*) FROM economy.job_runs WHERE state = 'done' AND rows >= 0 AND error IS NULL AND ended_at >= started_at}), 4, 'each is recorded');
is(try_sql($dbh, q{CALL economy.run_job('mischief')}), 'XE002', 'no other statement');
is(try_sql($dbh, 'CALL economy.run_job(NULL)'), 'XE001', 'nor none');
is(try_sql($dbh, 'SELECT economy.do_job(1)'), 'XE002', 'a run that is over does not run again');
$dbh->begin_work;
is(try_sql($dbh, q{CALL economy.run_job('prune')}), '2D000', 'nor in a transaction, which could not show the run before its end');
$dbh->rollback;

# two at once
my ($lock, $other) = map { connect_to($node) } 1 .. 2;
$lock->begin_work;
$lock->do('LOCK TABLE economy.rfm_snapshots');
begin_job($other, 'rfm_refresh');
is(run_job($dbh, 'rfm_refresh'), 'skipped', 'a second one does not begin');
is(run_job($dbh, 'audit_sweep'), 'done', 'another job does');
is(value($dbh, q{SELECT state FROM economy.job_runs WHERE job = 'rfm_refresh' ORDER BY run_id DESC OFFSET 1 LIMIT 1}), 'running', 'which does not take it for lost');
$lock->rollback;
is($other->pg_result, 1, 'the first ends');
is(run_job($dbh, 'rfm_refresh'), 'done', 'after it, it runs');
is(value($dbh, q{SELECT error FROM economy.job_runs WHERE state = 'skipped'}), 'the run before is still going', 'all of it is recorded');

# a job whose session ends, and one that is called back
$lock->begin_work;
$lock->do('LOCK TABLE economy.rfm_snapshots');
begin_job($other, 'rfm_refresh');
my $pid = $other->{pg_pid};
value($dbh, 'SELECT pg_terminate_backend(?)', $pid);
$node->poll_query_until('postgres', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)");
$dbh->do(q{SET statement_timeout = '300ms'});
is(run_job($dbh, 'rfm_refresh'), 'failed', 'a run that takes too long');
$dbh->do('RESET statement_timeout');
$lock->rollback;
is(value($dbh, q{SELECT count(*) FROM economy.job_runs WHERE state = 'lost' AND ended_at IS NOT NULL}), 1, 'the run before it is told as lost');
like(value($dbh, q{SELECT error FROM economy.job_runs WHERE state = 'failed'}), qr/^57014: /, 'and the long one why it ended');
is(value($dbh, q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'}), 0, 'no lock stays');
is(run_job($dbh, 'rfm_refresh'), 'done', 'the next one runs');

# a job that fails
$dbh->do('ALTER TABLE economy.rfm_snapshots ADD CONSTRAINT broken CHECK (snapshot_id < 1) NOT VALID');
my $snapshots = value($dbh, 'SELECT count(*) FROM economy.rfm_snapshots');
is(run_job($dbh, 'rfm_refresh'), 'failed', 'a job that fails');
like(value($dbh, q{SELECT error FROM economy.job_runs WHERE state = 'failed' ORDER BY run_id DESC LIMIT 1}), qr/^23514: .*broken/, 'leaves its error');
is(value($dbh, 'SELECT count(*) FROM economy.rfm_snapshots'), $snapshots, 'and nothing else');

# the clock of pg_cron: the rollup comes every minute
$node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM economy.job_runs WHERE job = 'rollup_stats' AND state = 'done' AND rows = 1})
  or diag $node->safe_psql('postgres', 'SELECT * FROM cron.job_run_details');
is(value($dbh, q{SELECT count(*) FROM economy.job_runs WHERE job = 'rollup_stats' AND state = 'done' AND rows = 1}), 1, 'pg_cron runs the rollup');
is(value($dbh, 'SELECT total FROM economy.user_game_stats_summary WHERE user_id = ?', $ann), 1, 'which counts the action');

is(value($dbh, 'SELECT economy.unschedule()'), 5, 'unschedule() removes the jobs');
is(value($dbh, 'SELECT economy.unschedule()'), 0, 'once');
is(value($dbh, 'SELECT string_agg(jobname, chr(32)) FROM cron.job'), 'not ours', 'and no others');
$_->disconnect foreach $dbh, $lock;
$node->stop;
done_testing();

sub run_job
{
	my ($session, $job) = @_;
	return value($session, sprintf 'CALL economy.run_job(%s)', $session->quote($job));
}

# Runs it without waiting, until it is seen to run.
sub begin_job
{
	my ($session, $job) = @_;
	my $before = value($dbh, 'SELECT coalesce(max(run_id), 0) FROM economy.job_runs');

	$session->do("CALL economy.run_job('$job')", { pg_async => DBD::Pg::PG_ASYNC() });
	$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM economy.job_runs WHERE state = 'running' AND run_id > $before");
	return;
}
