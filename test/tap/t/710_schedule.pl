# Jobs by a real pg_cron: made, run, recorded also when they are killed, removed;
# never two at once.
use strict;
use warnings;

use DBD::Pg;
use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# an ANALYZE in the background holds back what a rollup may read, and so the number of its batches
my $node = new_node('schedule', conf => "shared_preload_libraries = 'pg_cron'\ncron.database_name = 'postgres'\ncron.use_background_workers = on\nmax_worker_processes = 20\nrestart_after_crash = on\nautovacuum = off");
my $dbh = connect_to($node);
my $ann = add_user($dbh, 'ann', 100);
my $n_jobs = value($dbh, 'SELECT count(*) FROM economy.job_list()');

is(try_sql($dbh, 'SELECT * FROM economy.schedule()'), 'XE802', 'without pg_cron, schedule() says so');
like($dbh->errstr, qr/HINT:.*CREATE EXTENSION pg_cron/, 'and what to do');
my $major = int($dbh->{pg_server_version} / 10000);
like($dbh->errstr, qr/postgresql-$major-cron/, 'for this server');
is(try_sql($dbh, 'SELECT economy.unschedule()'), 'XE802', 'as unschedule() does');
$dbh->do('CREATE EXTENSION pg_cron');
$dbh->do(q{SELECT cron.schedule('not ours', '0 0 1 1 *', 'SELECT 1')});

my $wanted = 'anchor 55 2 * * *, audit_sweep 35 2 * * *, debts * * * * *, escrows * * * * *, expire_orders * * * * *, expire_reservations * * * * *, leaderboard_prizes */5 * * * *, leaderboards * * * * *, learn_recommendations 25 0 * * *, missions */5 * * * *, prune 15 3 * * *, rate_limits */5 * * * *, rfm_refresh 5 2 * * *, rfm_refresh_incremental 7 * * * *, rollup_stats * * * * *, seasons */5 * * * *';
my $jobs = q{SELECT string_agg(replace(jobname, 'economy: ', '') || ' ' || schedule, ', ' ORDER BY jobname) FROM cron.job WHERE jobname <> 'not ours' AND active};
is(value($dbh, q{SELECT string_agg(job || ' ' || schedule, ', ' ORDER BY job) FROM economy.schedule()}), $wanted, 'schedule() makes the jobs');
is(value($dbh, $jobs), $wanted, 'pg_cron has them');
my $ids = value($dbh, 'SELECT string_agg(jobid::text, chr(32) ORDER BY jobid) FROM cron.job');
is(value($dbh, 'SELECT count(*) FROM economy.schedule()'), $n_jobs, 'again');
is(value($dbh, 'SELECT string_agg(jobid::text, chr(32) ORDER BY jobid) FROM cron.job'), $ids, 'changes nothing');
value($dbh, q{SELECT cron.schedule('economy: prune', '30 4 * * 0', 'SELECT 1')});
is(value($dbh, q{SELECT schedule FROM economy.schedule() WHERE job = 'prune'}), '30 4 * * 0', 'a time of its own');
is(value($dbh, q{SELECT schedule || ' ' || command FROM cron.job WHERE jobname = 'economy: prune'}), q{30 4 * * 0 CALL economy.run_job('prune')}, 'stays, the command is put right');

# what an operator sees of pg_cron and the jobs
sub health { return value($dbh, q{SELECT state || ' ' || detail || ' ' || coalesce(hint, '') FROM economy.health() WHERE item = ?}, @_) }
like(health('pg_cron'), qr/^warn $n_jobs jobs, last run never .*within a minute/, 'that it never ran them');
is(value($dbh, q{SELECT count(*) FROM economy.health() WHERE item LIKE 'job %' AND state = 'warn' AND detail = 'never done'}), $n_jobs, 'that no job was ever done');
$dbh->do(q{INSERT INTO cron.job_run_details (jobid, runid, database, username, command, status, return_message) SELECT jobid, 0, database, username, command, 'failed', 'connection failed' FROM cron.job WHERE jobname = 'economy: prune'});
like(health('pg_cron'), qr/^bad $n_jobs jobs, last run failed: connection failed .*use_background_workers/, 'that it cannot connect');
$dbh->do(q{DELETE FROM cron.job_run_details WHERE runid = 0});

sub run_job { my ($session, $job) = @_; return value($session, 'CALL economy.run_job(?)', $job) }
sub runs { return value($dbh, q{SELECT string_agg(state || coalesce(' ' || error, ''), ', ' ORDER BY run_id) FROM economy.job_runs WHERE job = ? AND run_id > ?}, @_) }
my $before;
sub from_here { $before = value($dbh, 'SELECT coalesce(max(run_id), 0) FROM economy.job_runs'); return }

# every job by hand
is(value($dbh, 'SELECT state FROM economy.record_action(?, ?, ?, ?, 1, 2)', $ann, 'slot', 'T', 'a1'), 'new', 'an action');
is(run_job($dbh, $_), 'done', "$_ runs") foreach qw(rfm_refresh rfm_refresh_incremental learn_recommendations audit_sweep anchor prune);
is(value($dbh, q{SELECT count(*) FROM economy.job_runs WHERE job NOT IN ('rollup_stats', 'leaderboards', 'leaderboard_prizes', 'expire_orders', 'expire_reservations', 'escrows', 'debts', 'rate_limits', 'missions', 'seasons') AND state = 'done' AND rows >= 0 AND error IS NULL AND ended_at >= started_at}), 6, 'each is recorded');
is(try_sql($dbh, q{CALL economy.run_job('mischief')}), 'XE002', 'no other statement');
is(value($dbh, 'SELECT count(*) FROM pg_locks WHERE locktype = ? AND pid = pg_backend_pid()', 'advisory'), 0, 'which holds nothing');
is(try_sql($dbh, 'CALL economy.run_job(NULL)'), 'XE001', 'nor none');
$dbh->do('CREATE ROLE watcher');
value($dbh, q{SELECT economy.grant_access('watcher', 'monitor')});
$dbh->do('SET ROLE watcher');
is(try_sql($dbh, q{CALL economy.run_job('prune')}), '42501', 'not with the access of a monitor');
is(value($dbh, q{SELECT count(*) FROM economy.job_history('prune')}), 1, 'who may see the runs');
$dbh->do('RESET ROLE');
value($dbh, q{SELECT economy.grant_access('watcher', 'operator')});
$dbh->do('SET ROLE watcher');
is(run_job($dbh, 'prune'), 'done', 'but with that of an operator');
is(value($dbh, 'SELECT current_user'), 'watcher', 'who stays who it is');
$dbh->do('RESET ROLE');
$dbh->do('CREATE TABLE seen (level text)');
$dbh->do(q{CREATE FUNCTION seen() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.seen VALUES (current_setting('transaction_isolation')); RETURN NULL; END $$});
$dbh->do('CREATE TRIGGER seen AFTER INSERT OR UPDATE ON economy.job_runs FOR EACH STATEMENT EXECUTE FUNCTION seen()');
foreach my $level ('repeatable read', 'serializable')
{
	$dbh->do("SET default_transaction_isolation = '$level'");
	is(run_job($dbh, 'rfm_refresh_incremental'), 'done', "in a session at $level");
}
$dbh->do('RESET default_transaction_isolation');
is(value($dbh, q{SELECT string_agg(DISTINCT level, ', ') FROM seen}), 'read committed', 'it works at read committed');
$dbh->do('DROP FUNCTION seen() CASCADE');

# in a transaction it cannot note anything before its end
from_here();
foreach my $begin ('BEGIN', 'BEGIN; SAVEPOINT s', 'SELECT 1')
{
	is(try_sql($dbh, "$begin; CALL economy.run_job('prune')"), '25001', "not after $begin");
	like($dbh->errstr, qr/run_job\(\) cannot run inside a transaction block/, 'which the message says');
	$dbh->do('ROLLBACK');
}
$dbh->do(q{CREATE FUNCTION within() RETURNS void LANGUAGE plpgsql AS $$ DECLARE state text; BEGIN CALL economy.run_job('prune', state); END $$});
is(try_sql($dbh, 'SELECT within()'), '25001', 'nor in a function');
is(runs('prune', $before), undef, 'and nothing is noted');

# a run that is not over: its work waits for a lock
my $holder = connect_to($node);
my $other;
sub begin_run
{
	$holder->do('BEGIN; LOCK TABLE economy.rfm_snapshots IN ACCESS EXCLUSIVE MODE');
	$other = connect_to($node);
	$other->do(q{CALL economy.run_job('rfm_refresh')}, { pg_async => DBD::Pg::PG_ASYNC() });
	wait_until_blocked($node, 'postgres', $other->{pg_pid});
	return;
}
from_here();
begin_run();
is(runs('rfm_refresh', $before), 'running', 'a run that is not over is seen');
is(value($dbh, q{SELECT count(*) FROM economy.job_runs WHERE state = 'running' AND ended_at IS NULL AND rows IS NULL}), 1, 'and has no end yet');
# one that begins waits for the table, too
$dbh->do(q{SET lock_timeout = '30s'});
is(eval { run_job($dbh, 'rfm_refresh') } // $@, 'skipped', 'a second one does not begin');
$dbh->do('RESET lock_timeout');
is(run_job($dbh, 'prune'), 'done', 'another job does');
$holder->do('ROLLBACK');
is(scalar $other->pg_result, 1, 'the first one ends');
is(run_job($dbh, 'rfm_refresh'), 'done', 'after it, it runs');
is(runs('rfm_refresh', $before), 'done, skipped the run before is still going, done', 'all of it is recorded');

# cancelled
from_here();
begin_run();
value($dbh, 'SELECT pg_cancel_backend(?)', $other->{pg_pid});
$other->pg_result;
is(runs('rfm_refresh', $before), 'failed 57014: canceling statement due to user request', 'a run that is cancelled leaves its end');
is(value($other, 'SELECT count(*) FROM pg_locks WHERE locktype = ? AND pid = pg_backend_pid()', 'advisory'), 0, 'and holds nothing');
$holder->do('ROLLBACK');

# killed: the session, and the whole server with it
my $lost = 'lost it had not ended, and was not going, when the next run began';
from_here();
begin_run();
value($dbh, 'SELECT pg_terminate_backend(?)', $other->{pg_pid});
$node->poll_query_until('postgres', 'SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = ' . $other->{pg_pid} . ')');
is(runs('rfm_refresh', $before), 'running', 'of a session that is terminated nobody knows yet');
$holder->do('ROLLBACK');
is(run_job($dbh, 'rfm_refresh'), 'done', 'the next run is not kept from its work');
is(runs('rfm_refresh', $before), "$lost, done", 'and tells');
begin_run();
kill 'KILL', $other->{pg_pid};
select undef, undef, undef, 0.05 while eval { $dbh->do('SELECT 1') };
$node->poll_query_until('postgres', 'SELECT 1', '1') or die 'the server does not come back';
$dbh = connect_to($node);
is(run_job($dbh, 'rfm_refresh'), 'done', 'after a crash, too');
is(runs('rfm_refresh', $before), "$lost, done, $lost, done", 'all of it is recorded');

# batch after batch: users in fifties, some of them after the run was killed
from_here();
my $play = q{SELECT count(*) FROM economy.record_actions((SELECT jsonb_agg(jsonb_build_object('user_id', user_id, 'game', 'slot', 'action_type', 'T', 'action_id', 'batch'))
	FROM economy.users WHERE external_id LIKE ?))};
value($dbh, 'SELECT count(*) FROM economy.simulate(5000, 0, 3)');
value($dbh, $play, 'sim-3-%');
$other = connect_to($node);
is(run_job($other, 'rollup_stats'), 'done', 'a rollup of more users than a batch has');
is(value($dbh, q{SELECT batches = 3 AND rows > 1000 AND position IS NULL FROM economy.job_runs WHERE run_id > ? AND job = 'rollup_stats'}, $before), 1, 'takes several, and adds up their rows');
value($dbh, 'SELECT count(*) FROM economy.simulate(5000, 0, 4)');
value($dbh, $play, 'sim-4-%');
my $due = q{SELECT count(*) FROM economy.accounts a JOIN economy_internal.rollup_positions p USING (user_id) WHERE a.seq > p.seq};
from_here();
$dbh->do('CREATE TABLE gate (n integer)');
$dbh->do(q{CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF (SELECT batches FROM economy.job_runs WHERE state = 'running' AND job = 'rollup_stats') = 1 THEN PERFORM FROM public.gate WHERE n = 1 FOR UPDATE; END IF; RETURN NULL; END $$});
$dbh->do('CREATE TRIGGER gate AFTER INSERT ON economy_internal.rollup_positions FOR EACH STATEMENT EXECUTE FUNCTION gate()');
$dbh->do('INSERT INTO gate VALUES (1)');
$holder = connect_to($node);
$holder->do('BEGIN; SELECT FROM gate FOR UPDATE');
$other = connect_to($node);
$other->do(q{CALL economy.run_job('rollup_stats')}, { pg_async => DBD::Pg::PG_ASYNC() });
wait_until_blocked($node, 'postgres', $other->{pg_pid});
is(value($dbh, q{SELECT batches || state || (rows > 0) FROM economy.job_runs WHERE run_id > ?}, $before), '1runningtrue', 'a run in its second batch says so');
cmp_ok(value($dbh, q{SELECT count(*) FROM economy_internal.rollup_positions}), '>', 5000, 'and the first batch is there for all to see');
is(value($dbh, q{SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE a.pid = ? AND l.relation = 'economy.accounts'::regclass AND l.mode = 'RowExclusiveLock'}, $other->{pg_pid}), 0, 'it holds no account');
value($dbh, 'SELECT pg_terminate_backend(?)', $other->{pg_pid});
$node->poll_query_until('postgres', 'SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = ' . $other->{pg_pid} . ')');
$holder->do('ROLLBACK');
is(run_job($dbh, 'rollup_stats'), 'done', 'killed between, the next run goes on');
is(value($dbh, q{SELECT string_agg(state, ' ' ORDER BY run_id) FROM economy.job_runs WHERE run_id > ?}, $before), 'lost done', 'as is recorded');
is(value($dbh, 'SELECT count(*) FROM economy.stats_parity()'), 0, 'and nothing is counted twice');
is(value($dbh, $due), 0, 'or left');
$dbh->do('DROP FUNCTION gate() CASCADE');

# where a batch begins is kept: not in the list of jobs, so that of a run that is put in by hand
from_here();
$dbh->do(q{INSERT INTO economy.job_runs (job, state, started_at, ended_at, batches, position, error) VALUES
	('prune', 'failed', now(), now(), 3, '{"user_id": 7}', '57014: canceling statement due to statement timeout'), ('rollup_stats', 'failed', now(), now(), 3, '{"user_id": 7}', '23514: broken')});
my @run = map { value($dbh, 'SELECT economy_internal.begin_job(?, true)', $_) } qw(prune rollup_stats);
is(value($dbh, 'SELECT position FROM economy.job_runs WHERE run_id = ?', $run[0]), '{"user_id": 7}', 'a run that timed out is taken up where it ended');
is(value($dbh, 'SELECT position FROM economy.job_runs WHERE run_id = ?', $run[1]), undef, 'one that met something bad there begins anew');
is(value($dbh, 'SELECT economy_internal.do_job(?)', $_), 'done', 'it ends') foreach @run;
is(value($dbh, 'SELECT economy_internal.do_job(?)', $run[0]), 'lost', 'once');

# a time limit ends a batch, not what was done
from_here();
$holder = connect_to($node);
$holder->do('BEGIN; LOCK TABLE economy.user_segments');
$dbh->do(q{SET statement_timeout = '2s'});
is(run_job($dbh, 'rfm_refresh'), 'failed', 'a statement timeout');
$dbh->do('RESET statement_timeout');
$holder->disconnect;
like(runs('rfm_refresh', $before), qr/^failed 57014: canceling statement due to statement timeout$/, 'is the error of the run');
is(run_job($dbh, 'rfm_refresh'), 'done', 'and of no other');

# runs are kept for 30 days
$dbh->do(q{UPDATE economy.job_runs SET started_at = started_at - interval '721 hours' WHERE job = 'prune'});
value($dbh, q{SELECT count(*) FROM economy.job_runs WHERE job = 'prune'}) > 1 or die;
is(run_job($dbh, 'prune'), 'done', 'a run');
is(value($dbh, q{SELECT count(*) FROM economy.job_runs WHERE job = 'prune'}), 1, 'forgets those of more than 30 days ago');
isnt(value($dbh, q{SELECT count(*) FROM economy.job_runs WHERE job = 'rfm_refresh'}), 1, 'of that job');

# many at once
from_here();
my @ended = map { @$_ } at_once($node, 'postgres', 8, sub { my ($n, $s) = @_; return join ' ', map { run_job($s, 'audit_sweep') } 1 .. 25 });
my %ended;
$ended{$_}++ foreach map { split / / } @ended;
is_deeply([ sort keys %ended ], [qw(done skipped)], 'of many at once, each is done or skipped');
is(value($dbh, q{SELECT string_agg(DISTINCT state, ' ' ORDER BY state) || ' ' || count(*) FROM economy.job_runs WHERE job = 'audit_sweep' AND run_id > ?}, $before), 'done skipped 200', 'and recorded');
is(value($dbh, q{SELECT count(*) FROM economy.job_runs a JOIN economy.job_runs b USING (job) WHERE a.run_id > ? AND a.state = 'done' AND b.state = 'done'
	AND b.run_id > a.run_id AND b.started_at < a.ended_at}, $before), 0, 'never two at work');

# a job that fails
from_here();
$dbh->do('ALTER TABLE economy.rfm_snapshots ADD CONSTRAINT broken CHECK (snapshot_id < 2) NOT VALID');
my $snapshots = value($dbh, 'SELECT count(*) FROM economy.rfm_snapshots');
is(run_job($dbh, 'rfm_refresh'), 'failed', 'a job that fails');
like(runs('rfm_refresh', $before), qr/^failed 23514: .*broken/, 'leaves its error');
$node->psql('postgres', q{CALL economy.run_job('rfm_refresh')}, stderr => \my $warning);
like($warning, qr/WARNING:  job "rfm_refresh" failed\nDETAIL:  23514: .*broken/, 'and tells who looks on');
is(value($dbh, 'SELECT count(*) FROM economy.rfm_snapshots'), $snapshots, 'and nothing else');

# another database: pg_cron makes its jobs from where it is
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION economy');
my $there = connect_to($node, 'other');
is(try_sql($there, 'SELECT * FROM economy.schedule()'), 'XE802', 'in another database, schedule() says so');
like($there->errstr, qr/database "postgres".*cron\.schedule_in_database/s, 'and what to do');
value($dbh, q{SELECT cron.schedule_in_database('economy other: ' || job, schedule, command, 'other') FROM economy.job_list() WHERE job = 'rollup_stats'});

# the clock of pg_cron: the rollup comes every minute
from_here();
is(value($dbh, 'SELECT state FROM economy.record_action(?, ?, ?, ?, 1, 2)', $ann, 'slot', 'T', 'a2'), 'new', 'another action');
my $rolled = q{SELECT count(*) FROM economy.job_runs WHERE job = 'rollup_stats' AND state = 'done' AND rows = 1 AND run_id > };
$node->poll_query_until('postgres', "$rolled $before", '1')
  or diag $node->safe_psql('postgres', 'SELECT * FROM cron.job_run_details');
is(value($dbh, "$rolled $before"), 1, 'pg_cron runs the rollup');
is(value($dbh, 'SELECT total FROM economy.user_game_stats_summary WHERE user_id = ?', $ann), 2, 'which counts the action');

$node->poll_query_until('other', q{SELECT count(*) > 0 FROM economy.job_runs WHERE job = 'rollup_stats' AND state = 'done'})
  or diag $node->safe_psql('postgres', 'SELECT * FROM cron.job_run_details');
cmp_ok(value($there, q{SELECT count(*) FROM economy.job_runs WHERE job = 'rollup_stats' AND state = 'done'}), '>', 0, 'and that of another database');
$there->disconnect;

like(health('pg_cron'), qr/^ok $n_jobs jobs, last run succeeded/, 'health() says that it works');
like(health('job rollup_stats'), qr/^ok last done/, 'and that the job is done');
$holder->disconnect;
$dbh->disconnect;
$node->adjust_conf('postgresql.conf', 'cron.database_name', q{'other'});
$node->restart;
$dbh = connect_to($node);
like(health('pg_cron'), qr/^bad $n_jobs jobs, last run succeeded.*; it does not run here .*cron\.database_name/, 'that it runs the jobs of another database');
$dbh->disconnect;
$node->adjust_conf('postgresql.conf', 'cron.database_name', q{'postgres'});
$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', q{''});
$node->restart;
$dbh = connect_to($node);
like(health('pg_cron'), qr/^bad $n_jobs jobs, last run succeeded.*; it does not run here .*shared_preload_libraries/, 'that it is not loaded');
$dbh->disconnect;
$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', q{'pg_cron'});
$node->restart;
$dbh = connect_to($node);
is(value($dbh, 'SELECT economy.unschedule()'), $n_jobs, 'unschedule() removes the jobs');
is(value($dbh, 'SELECT economy.unschedule()'), 0, 'once');
like(health('pg_cron'), qr/^warn 0 jobs.*schedule\(\)/, 'which health() warns of');
is(value($dbh, 'SELECT string_agg(jobname, chr(32) ORDER BY jobid) FROM cron.job'), 'not ours economy other: rollup_stats', 'and no others');

$dbh->disconnect;
$node->stop;
done_testing();
