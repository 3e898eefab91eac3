# The full refresh as the job does it, in many transactions: whoever looks between
# two of them is answered right, one that is killed goes on where it was, purchases
# go on meanwhile, and at the end there is what one transaction would have written.
use strict;
use warnings;

use DBD::Pg;
use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('rfm_job');
my $dbh = connect_to($node);
add_product($dbh, "p$_", category => 'conversion', granted_gold => 5, monetary => 10 ** $_) foreach 1 .. 5;
my @users = map { add_user($dbh, "user $_") } 1 .. 200;

sub run_job { return value($_[0], q{CALL economy.run_job('rfm_refresh', NULL)}) }
sub next_user { return value($dbh, 'SELECT next_user FROM economy.rfm_state') }
sub snapshots { return value($dbh, 'SELECT count(*) FROM economy.rfm_snapshots') }
sub step { return join ' ', $_[0]->selectrow_array('SELECT * FROM economy_internal.rfm_refresh_step(?, ?)', undef, @_[ 1, 2 ]) }
sub last_run { return join ' ', $dbh->selectrow_array(q{SELECT state, batches FROM economy.job_runs WHERE job = 'rfm_refresh' ORDER BY run_id DESC LIMIT 1}) }
sub answers { return value($dbh, q{SELECT string_agg(a.user_id || ' ' || s::text, E'\n' ORDER BY a.user_id) FROM economy.accounts a CROSS JOIN LATERAL economy.segment(a.user_id) s}) }
sub segments { return value($dbh, q{SELECT string_agg(user_id || ' ' || segment || r || f || m || frequency, ',' ORDER BY user_id) FROM economy.user_segments}) }

my $key = 0;
sub buy
{
	my ($s, $user, $product) = @_;
	return value($s, 'SELECT state FROM economy.purchase(?, ?, ?)', $user, "p$product", 'k' . ++$key);
}

# each user's answer is of the snapshot in force, its row of this one or of the one before
sub between
{
	my ($what) = @_;
	is(value($dbh, 'SELECT count(*) FROM economy_internal.audit_segments()') . value($dbh, 'SELECT count(*) FROM economy_internal.audit_segment_state()'), '00', "$what: the audit finds nothing");
	is(value($dbh, 'SELECT count(*) FROM economy_internal.audit_config()'), '0', "$what: nor in the snapshots");
	is(value($dbh, 'SELECT sum(users) FROM economy.segment_summary()'), scalar @users, "$what: everybody is in a segment");
	is(value($dbh, q{SELECT count(*) FROM economy.user_segments u CROSS JOIN LATERAL economy.segment(u.user_id) s
		WHERE u.user_id < (SELECT coalesce(next_user, 9223372036854775807) FROM economy.rfm_state) AND (u.segment, u.r, u.f, u.m, u.segment_since) IS DISTINCT FROM (s.segment, s.r, s.f, s.m, s.segment_since)}),
		'0', "$what: a row that was reached says what segment() does");
}

buy($dbh, $users[$_], 1 + $_ % 2) foreach 0 .. 149;
is(run_job($dbh), 'done', 'the first run');
is(next_user(), undef, 'which writes all rows at once');
between('after the first');

# --- step by step ------------------------------------------------------------------

# nearly everybody gets into another segment
buy($dbh, $users[$_], 1 + $_ % 5) foreach (0 .. 149) x 2, 150 .. 199;
my $before = segments();
is(step($dbh, 1, 20), '0 1', 'a refresh begins');
is(snapshots(), '2', 'with its snapshot');
is(value($dbh, 'SELECT count(*) FROM economy.segment(?) s JOIN economy.rfm_state t USING (snapshot_id)', $users[199]), '1', 'which is in force');
between('after the first step');
my $answers = answers();
my ($steps, $more) = (0, 1);
while ($more)
{
	(undef, $more) = split / /, step($dbh, 0, 30);
	between('after step ' . ++$steps);
	is(answers(), $answers, 'everybody is answered the same before the row is reached and after, the next one too');
}
is($steps, 7, '200 users, 30 at a time');
is(next_user(), undef, 'all are reached');
isnt(segments(), $before, 'rows changed');
is(value($dbh, 'SELECT changed > 100 FROM economy.rfm_snapshots WHERE snapshot_id = 2'), '1', 'and were counted');
is(step($dbh, 0, 30), '0 0', 'a step more finds nothing to do');
my $after = segments();
is(value($dbh, 'SELECT users_changed FROM economy.rfm_refresh((SELECT as_of FROM economy.rfm_state))'), '0', 'one transaction finds nothing to change');
is(segments(), $after, 'all is the same');

# --- with purchases and other refreshes between two steps -----------------------------

buy($dbh, $users[$_], 5) foreach 0 .. 99;
step($dbh, 1, 50);
step($dbh, 0, 50);
cmp_ok(next_user(), '>', $users[0], 'some rows are reached, others are not');
buy($dbh, $_, 4) foreach @users[ 0, 1, 198, 199 ];
is(value($dbh, 'SELECT users_scored >= 4 FROM economy.rfm_refresh_incremental()'), '1', 'an incremental refresh takes new purchases of both');
between('with an incremental refresh in the middle');
my $held = connect_to($node);
$held->begin_work;
is(buy($held, $users[120], 3), 'new', 'a purchase that holds its account');
step($dbh, 0, 50) foreach 1 .. 4;
is(next_user(), undef, 'keeps no step waiting');
$held->commit;
between('at the end');
my $open = connect_to($node);
$open->begin_work;
step($dbh, 1, 50);
is(step($open, 0, 50) =~ / 1$/, 1, 'a step that is not committed');
is(buy($dbh, $users[0], 1), 'new', 'keeps no purchase waiting');
$open->rollback;
between('after it was rolled back');
is(value($dbh, 'SELECT users_changed >= 0 FROM economy.rfm_refresh()'), '1', 'a whole refresh in the middle of another one');
is(next_user(), undef, 'takes its place');
between('after it');

# --- other rules: whom no step has reached is still in a segment that has no rule any more

sub summary { return value($_[0], q{SELECT string_agg(segment || ' ' || users, ', ') FROM economy.segment_summary() WHERE users > 0}) }
{
	my $old = join ', ', sort split /, /, summary($dbh);
	my $rules = value($dbh, q{SELECT jsonb_agg(jsonb_strip_nulls(to_jsonb(r) - '{version,position}'::text[]) ORDER BY position) FROM economy.rfm_rules() r});
	$dbh->do(q{SELECT economy.set_segment_rules('[{"segment": "Everybody"}]', 'tap')});
	step($dbh, 1, 50);
	is(summary($dbh), $old, 'before a step: the segments of before, by name');
	between('under other rules');
	step($dbh, 0, 50);
	like(summary($dbh), qr/^Everybody 50, \w+ \d+/, 'after it: the new one first, and then what is left of those of before');
	between('after a step under them');
	step($dbh, 0, 50) foreach 1 .. 3;
	is(summary($dbh), 'Everybody 200', 'at the end: as the rules are');
	$dbh->do(q{SELECT economy.set_segment_rules(?, 'tap')}, undef, $rules);
	$dbh->do('SELECT economy.rfm_refresh()');
	between('after going back');
}

# --- many purchases at once: taken up user by user, and a kill goes on -------------------

sub batch { return $_[0]->selectrow_array('SELECT * FROM economy_internal.rfm_job_batch(?, ?, ?)', undef, @_[ 1 .. 3 ]) }
sub first_rows
{
	is(value($dbh, 'SELECT count(*) FROM economy.user_segments WHERE segment IS NULL'), 90, 'rows before the first snapshot');
	is(value($dbh, 'SELECT count(*) FROM economy.segment(?)', $users[0]), 0, 'answer nothing');
	is(value($dbh, 'SELECT count(*) FROM economy_internal.audit_segments()') . value($dbh, 'SELECT count(*) FROM economy_internal.audit_segment_state()'), '00', 'and are no finding');
	return;
}
sub waiting { return value($dbh, 'SELECT count(*) FROM economy_internal.rfm_unfolded') }
{
	buy($dbh, $users[$_], 1 + $_ % 5) foreach 0 .. 199;
	my $known = snapshots();
	my ($changed, $at) = batch($dbh, 1, undef, 30);
	like($at, qr/"take"/, 'more purchases than five times as many as users: a refresh takes them up first');
	is(waiting(), 200, 'which it has not begun');
	(my $n, my $killed) = (0, 0);
	while ($at =~ /"take"/)
	{
		$n++;
		($changed, my $next) = batch($dbh, 1, $at, 30);
		cmp_ok($changed, '<=', 30, "batch $n writes $changed rows, of at most 30 users");
		# what is said again of a batch that was cut off, and what is bought meanwhile
		is((batch($dbh, 1, $at, 30))[0], 0, 'again: nothing is left to write') if $n == 2;
		buy($dbh, $users[0], 2) if $n == 3;
		is(snapshots(), $known, 'and there is no snapshot of it');
		like($next, $n < 7 ? qr/"done": @{[ 30 * $n ]}\b/ : qr/"begin": true/, 'how many users are done');
		between("after batch $n");
		$at = $next;
	}
	is($n, 7, 'each of them of 30 users');
	is(waiting(), 1, 'all but the one since are taken up');
	like($at, qr/"begin"/, 'then it begins');
	(undef, $at) = batch($dbh, 1, $at, 30);
	is(snapshots() - $known, 1, 'with its snapshot');
	is(waiting(), 0, 'and what has come since');
	between('after its begin');
	$n = 0;
	while (defined $at)
	{
		(undef, $at) = batch($dbh, 1, $at, 30);
		$n++;
	}
	is($n, 7, 'and writes rows of 30 users each');
	between('after it');
	my $rows = segments();
	is(value($dbh, 'SELECT users_changed FROM economy.rfm_refresh((SELECT as_of FROM economy.rfm_state))'), '0', 'one transaction finds nothing to change');
	is(segments(), $rows, 'all is the same');

	# the incremental job: the same, by the snapshot in force
	buy($dbh, $users[$_], 1 + $_ % 3) foreach 0 .. 199;
	$known = snapshots();
	($n, $at) = (0, undef);
	do { (undef, $at) = batch($dbh, 0, $at, 30); $n++; between("incremental batch $n") if $n % 3 == 1 } while (defined $at);
	is($n, 16, 'the incremental job takes as many batches');
	is(snapshots(), $known, 'and no snapshot');
	is(waiting(), 0, 'all is taken up');
	between('after the incremental job');
	is(value($dbh, 'SELECT users_changed FROM economy.rfm_refresh_incremental()'), '0', 'nothing is left for one transaction');
	# many users whose rows change by the day
	$dbh->do(q{UPDATE economy.user_segments SET next_change_at = '-infinity'});
	$dbh->do('SELECT economy_internal.rfm_await_all()');
	($n, $at) = (0, undef);
	do { (undef, $at) = batch($dbh, 0, $at, 30); $n++ } while (defined $at);
	is($n, 8, 'many that are due, without a purchase: a batch that begins, and 30 users each');
	between('after them');

	# a restore: a position of another installation is none
	buy($dbh, $users[$_], 1) foreach 0 .. 199;
	(undef, $at) = batch($dbh, 1, undef, 30);
	(my $foreign = $at) =~ s/"installation": -?\d+/"installation": 1/;
	like((batch($dbh, 1, $foreign =~ s/"take": "[^"]*"/"take": "9223372036854775807"/r, 30))[1], qr/"take": "-9223372036854775808"/, 'a position of another installation begins again');

	# the first refresh of all, and one of a damaged table
	$dbh->do('TRUNCATE economy.user_segments, economy.segment_history');
	$dbh->do('DELETE FROM economy.rfm_state');
	($n, $at) = (0, undef);
	do
	{
		(undef, $at) = batch($dbh, 0, $at, 30);
		$n++;
		first_rows() if $n == 4;
		between('with rows of no segment yet') if $n == 10;
	} while (defined $at);
	is($n, 16, 'the first refresh in batches, whichever job is the first');
	between('after it');
	isnt(value($dbh, 'SELECT count(*) FROM economy.user_segments WHERE segment IS NOT NULL'), 0, 'everybody has a segment');
}

# --- a job that is killed ---------------------------------------------------------

buy($dbh, $users[$_], 1 + $_ % 5) foreach 0 .. 199;
my $snapshots = snapshots();
$open->begin_work;
$open->do('LOCK TABLE economy.segment_history IN EXCLUSIVE MODE');
my $job = connect_to($node);
my $pid = $job->{pg_pid};
$job->do(q{CALL economy.run_job('rfm_refresh')}, { pg_async => DBD::Pg::PG_ASYNC() });
wait_until_blocked($node, 'postgres', $pid);
is(snapshots(), $snapshots + 1, 'the first batch is committed, the second is at work');
cmp_ok(next_user(), '<', 0, 'no row is reached');
is(value($dbh, 'SELECT pg_terminate_backend(?, 60000)', $pid), '1', 'it is killed');
$open->rollback;
between('after the kill');
is(last_run(), 'running 1', 'its run looks as if it was going');
is(value($dbh, 'SELECT users_scored >= 0 FROM economy.rfm_refresh_incremental()'), '1', 'the incremental refresh goes on meanwhile');
between('with an incremental refresh after the kill');
is(run_job($dbh), 'done', 'the next run');
is(last_run(), 'done 1', 'goes on with the rows');
is(snapshots(), $snapshots + 1, 'of the same snapshot');
is(next_user(), undef, 'all are reached');
between('at the end');
$after = segments();
is(value($dbh, 'SELECT users_changed FROM economy.rfm_refresh((SELECT as_of FROM economy.rfm_state))'), '0', 'one transaction finds nothing to change');
is(segments(), $after, 'all is the same');
is(run_job($dbh), 'done', 'another run');
is(snapshots(), $snapshots + 3, 'begins with another snapshot');

# --- buyers beside it -----------------------------------------------------------------

my @r = at_once($node, 'postgres', 8, sub {
	my ($n, $s) = @_;
	my %failed;
	foreach my $i (1 .. 40)
	{
		my $failed = $n ? try_sql($s, "SELECT economy.purchase($users[($n * 31 + $i * 7) % @users], 'p" . (1 + $i % 5) . "', 'at once $n $i')")
		  : try_sql($s, 'SELECT * FROM economy_internal.rfm_refresh_step(' . ($i % 10 == 1 ? 'true' : 'false') . ', 25)');
		$failed{$failed}++ if $failed ne '';
	}
	return join ' ', %failed;
});
is_deeply([ grep { ($_->[0] // '') ne '' } @r ], [], 'steps and purchases at once');
between('after it');
is(run_job($dbh), 'done', 'a run after it');
between('at the end');
is(value($dbh, 'SELECT sum(purchases) FROM economy.rfm_days'), value($dbh, 'SELECT count(*) FROM economy.shop_transactions'), 'each purchase is counted once');
is(try_sql($dbh, 'SELECT * FROM economy_internal.rfm_refresh_step(NULL)'), 'XE001', 'start must be given');
is(try_sql($dbh, 'SELECT * FROM economy_internal.rfm_refresh_step(false, 0)'), 'XE002', 'and max_users be 1 or more');
is_clean($node, 'postgres', 'at the end');
$dbh->disconnect;
$node->stop;
done_testing();
