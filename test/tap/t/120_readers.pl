# Whoever reads while a table is rewritten reads all of it (I10): every function that
# changes nothing, found in access_list(), against a rewrite of every table.  Above READ
# COMMITTED 40001 is an answer as well, and one table at a time is rewritten, so that a
# function that reads a table which it has not opened has nothing else to hide behind.
use strict;
use warnings;

use DBD::Pg ':async';
use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('readers', conf => "autovacuum = off\nfsync = off\nmax_connections = 200\n");
$node->safe_psql('postgres', slurp_file("$FindBin::Bin/../../damage/setup.sql"));
my $dbh = connect_to($node);
$dbh->do(q{CREATE TABLE public.source AS SELECT 1 AS id, timestamptz '2026-05-20 12:00+00' AS ts, 5 AS amount});

# a finding that stays open, and a player who wins too often
$dbh->do(q{INSERT INTO economy.audit_findings (digest, run_id, last_run_id, kind) SELECT '\\x00', max(run_id), 1000000, 'planted' FROM economy.audit_runs});
$dbh->do(q{SELECT economy.record_action(economy.user_id_of('u1'), 'go', 'PLAY', 'w' || n, 1, 2) FROM generate_series(1, 30) n});
$dbh->do(q{SELECT economy.record_action(economy.user_id_of('u' || u), 'go', 'PLAY', 'l' || n, 1, 0) FROM generate_series(2, 6) u, generate_series(1, 40) n});
$dbh->do(q{CALL economy.run_job('rollup_stats')});

# and an archive, of which something is missing
$dbh->do('CREATE TABLE public.old_rewards (LIKE economy.reward_audit)');
$dbh->do(q{SET economy.test_clock = '2027-09-15 12:00+00'});
cmp_ok(value($dbh, q{SELECT entries FROM economy.archive('economy.reward_audit', 'public.old_rewards', '91 days')}), '>', 1, 'rewards are archived');
$dbh->do('RESET economy.test_clock');
$dbh->do(q{DELETE FROM public.old_rewards WHERE (user_id, seq) IN (SELECT user_id, min(seq) FROM public.old_rewards GROUP BY 1 LIMIT 1)});

my $user = value($dbh, q{SELECT economy.user_id_of('u1')});
my $purchase = value($dbh, "SELECT min(transaction_id) FROM economy.ledger WHERE user_id = $user AND journal = 'shop_transactions'");
my $model = value($dbh, q{SELECT economy.rfm_model('own')::text});
my $anchor = value($dbh, 'SELECT economy.last_anchor()::text');

# What a parameter is given: by its name, else by its type.
my %by_name = (
	user_id => $user, product_id => "'potion'", item_id => "'gem'", external_id => "'u1'", transaction_id => "'$purchase'", curve => "'steep'", timezone => "'utc'", name => "'utc'",
	placement => "'home'", board => "'xp'", user_ids => "ARRAY[$user]", server_seed => "'${\ ('ab' x 32)}'", table_id => "'chest'", definition => q{'{"entries": [{"entry": "a", "weight": 1}]}'}, segment => "'Often'", model => "'own'", game => "'go'", anchor => "'$anchor'", source => "'public.source'",
	query => "'SELECT id, ts, amount FROM public.source'", rules => q{'[]'}, given => 'true', kind => "'fixed'", further => 'NULL::bytea',
	recency => "'{1,2,3,4}'", frequency => "'{1,2,3,4}'", monetary => "'{1,2,3,4}'",
);
my %by_type = (
	'bigint' => 1, 'integer' => 1, 'numeric' => 1, 'double precision' => 0.5, 'text' => "'x'", 'timestamp with time zone' => "'2026-05-30 12:00+00'",
	'numeric[]' => "'{1,2,3,4}'", 'boolean[]' => "'{f,f,f}'",
	'bytea' => q{economy_internal.with_mission_progress(economy_internal.with_holding(economy_internal.with_units(economy_internal.with_streak(economy_internal.with_game(NULL, 'go', 1, 0, 0, 5, 2, 5, '2026-05-01 12:00+00'), 3, 3, '2026-05-01', NULL, NULL, '2026-05-01', 7, 'UTC'), 'potion', 2, 1, 1, 2, '2026-05-01'), 'gem', 5, false), 1, 0, 1, 0)},
	'economy.rfm_models' => "'$model'::economy.rfm_models",
);

# What is compared, where not all columns stand still; and how some are called.
my %columns = (health => 'item, state', changes => 'event', relay_status => 'database', now => 1);
my %called = (
	rfm_measure => "rfm_measure('$model'::economy.rfm_models, 'SELECT 1 AS recency, 1 AS frequency, 1 AS monetary', '2026-05-30 12:00+00')",
	rfm_source => "rfm_source('$model'::economy.rfm_models, 'SELECT id, ts, amount FROM public.source', '2026-05-30 12:00+00')",
	rfm_score_expression => "rfm_score_expression('recency', 'fixed', '{1,2,3,4}', false, 'all')",
	rfm_source_check => "rfm_source_check('SELECT id, ts, amount FROM public.source')",
	verify_archive => "verify_archive('economy.reward_audit', 'public.old_rewards')",
	archive_findings => "archive_findings('economy.reward_audit', 'public.old_rewards', NULL, false)", archive_journal => "archive_journal('economy.reward_audit')",
	require_archive => "require_archive('public.old_rewards', 'economy.reward_audit')",
	(map { $_ => "$_('reward_audit')" } qw(archive_last journal_letter)),
	(map { $_ => "$_('reward_audit', 'economy.reward_audit')" } qw(archive_columns archive_entry)),
	mission_dry_run => q{mission_dry_run('{"mission": "dry", "trigger": "action", "target": 1}', '2026-01-01 00:00+00')},
	settlement_reconcile => q{settlement_reconcile('stripe', '[{"provider_ref": "x", "report": "confirmed"}]')},
	verify_webhook => q{verify_webhook('stripe', '{"stripe-signature": "t=2000000000,v1=00"}', '')},
	changes => "changes('start', 10000)", replay => "replay($user, 0, 10000)", level_for => "level_for(1000, 'steep')",
);

# [name, statement] of all functions of access_list() that change nothing; archives_of() reads
# in the snapshot of archive_findings(), which has opened its tables
sub readers
{
	my @calls;
	foreach my $f (@{ $dbh->selectall_arrayref(<<'SQL', { Slice => {} }) })
SELECT p.pronamespace::regnamespace AS schema, p.proname AS name, ARRAY(SELECT concat_ws(' ', p.proargnames[n], p.proargtypes[n - 1]::regtype) FROM generate_series(1, p.pronargs - p.pronargdefaults) n) AS arguments
FROM pg_proc p
WHERE p.oid IN (SELECT substring(l.object, ' (.*)')::regprocedure FROM economy.access_list() l GROUP BY 1 HAVING max(l.changes) = '')
  AND p.prokind = 'f' AND p.proname NOT IN ('schedule', 'unschedule', 'archives_of')
ORDER BY p.proname
SQL
	{
		my $name = $f->{name};
		my $call = $called{$name} // sprintf '%s(%s)', $name, join ', ', map { argument($name, split / /, $_, 2) } @{ $f->{arguments} };
		push @calls, [ $name, sprintf 'SELECT coalesce(string_agg(r::text, chr(10) ORDER BY r::text COLLATE "C"), \'none\') FROM (SELECT %s FROM %s.%s) r',
			$columns{$name} // '*', $f->{schema}, $call ];
	}
	return @calls;
}

sub argument
{
	my ($function, $name, $type) = @_;
	my $value = $type =~ /rfm_models/ ? $by_type{$type} : $by_name{$name} // $by_type{$type};

	fail("a value for $function($name $type) stands here") unless defined $value;
	return $value // 'NULL';
}

# Another file, and rows of a later transaction: what an older snapshot does not see.
sub rewrite
{
	my ($session, @tables) = @_;

	foreach my $table (@tables)
	{
		my @steps = ('UNLOGGED', 'LOGGED');

		@steps = reverse @steps if value($session, "SELECT relpersistence FROM pg_class WHERE oid = '$table'::regclass") eq 'u';
		$session->do("ALTER TABLE $table SET $_") foreach @steps;
	}
	return;
}

# Of the economy, whose time stands still, the answer or the SQLSTATE.
sub answer
{
	my ($session, $statement) = @_;
	my $answer = eval { value($session, $statement) };

	return defined $answer ? $answer : 'error ' . $session->state . ' ' . ($session->errstr // '');
}

sub session
{
	my $session = connect_to($node);

	$session->do(q{SET economy.test_clock = '2026-09-15 12:00+00'});
	return $session;
}

my @tables = @{ $dbh->selectcol_arrayref(q{SELECT oid::regclass::text FROM pg_class WHERE relnamespace IN ('economy'::regnamespace, 'economy_internal'::regnamespace) AND relkind = 'r' ORDER BY relname}) };
my @readers = readers();
my $plain = session();
my %expected = map { $_->[0] => answer($plain, $_->[1]) } @readers;

cmp_ok(scalar @readers, '>', 40, scalar(@readers) . ' readers, ' . scalar(@tables) . ' tables');
is(join(' ', grep { $expected{$_} eq 'none' } sort keys %expected), 'audit_schema debts_of leaderboard_parity mission_parity progress relay_status rfm_rule_ranges stats_parity verify_anchor verify_chain', 'and has something to tell, or looks for faults');
is(join("\n", map { "$_: $expected{$_}" } grep { $expected{$_} =~ /^error/ } sort keys %expected), '', 'every reader answers');

# all of them wait for one who rewrites everything
sub behind_a_rewrite
{
	my @calls = @_;
	my $dba = connect_to($node);
	my @waiting = map { { name => $_->[0], statement => $_->[1], session => session() } } @calls;
	my $pids = join ',', map { $_->{session}->{pg_pid} } @waiting;

	$dba->begin_work;
	rewrite($dba, @tables);
	foreach my $w (@waiting)
	{
		$w->{handle} = $w->{session}->prepare($w->{statement}, { pg_async => PG_ASYNC });
		$w->{handle}->execute;
	}
	$node->poll_query_until('postgres', "SELECT bool_and(state <> 'active' OR cardinality(pg_blocking_pids(pid)) > 0) FROM pg_stat_activity WHERE pid IN ($pids)")
	  or die 'not all of them wait or have ended';
	my $blocked = value($plain, "SELECT count(*) FROM pg_stat_activity WHERE pid IN ($pids) AND state = 'active'");
	$dba->commit;
	foreach my $w (@waiting)
	{
		my $got = eval { $w->{handle}->pg_result; $w->{handle}->fetchrow_arrayref->[0] } // 'error ' . $w->{session}->state;
		is($got, $expected{ $w->{name} }, "$w->{name}() behind the rewrite");
		$w->{session}->disconnect;
	}
	return $blocked;
}

my $blocked = behind_a_rewrite(@readers);
cmp_ok($blocked, '>', 25, "$blocked readers waited");

# one table was rewritten after the snapshot
sub after_each_rewrite
{
	my @calls = @_;
	my (%again, %wrong);

	foreach my $table (@tables)
	{
		$plain->begin_work;
		$plain->do('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ');
		$plain->do('SELECT count(*) FROM pg_class');
		rewrite($dbh, $table);
		foreach my $r (@calls)
		{
			$plain->do('SAVEPOINT s');
			my $got = answer($plain, $r->[1]);
			$plain->do('ROLLBACK TO s');
			next if $got eq $expected{ $r->[0] };
			if ($got =~ /^error 40001/) { $again{ $r->[0] }++ }
			else { push @{ $wrong{ $r->[0] } }, $table }
		}
		$plain->rollback;
	}
	is(join(', ', map { "@{ $wrong{$_} }" } $_), '', "$_(): 40001 or the answer, whatever was rewritten") foreach grep { $wrong{$_} } sort keys %wrong;
	return (scalar keys %again, scalar keys %wrong);
}

my ($again, $wrong) = after_each_rewrite(@readers);
cmp_ok($again, '>', 25, "$again readers have said 40001");
is($wrong, 0, 'no reader reads what it has not opened');

# a proof locks what it reads, and not what telling the entries would read
foreach my $proof ("economy.verify_receipt($user, '$purchase')", "economy.verify_chain($user)", "economy_internal.prune_stream($user, 1)")
{
	$plain->begin_work;
	$plain->do("SELECT * FROM $proof");
	is(value($plain, q{SELECT string_agg(c.relname, ' ' ORDER BY c.relname) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
		WHERE l.pid = pg_backend_pid() AND c.relkind = 'r' AND c.relnamespace IN ('economy'::regnamespace, 'economy_internal'::regnamespace)
		AND c.relname IN ('shop_products', 'shop_stock', 'shop_user_units_more', 'game_stats_more', 'games', 'level_curves', 'level_experiments', 'user_segments')}),
		undef, "$proof locks no table for telling");
	$plain->rollback;
}

# audits find nothing, and what is noted of the configuration goes on from what was
my @writers = map { [ $_, "SELECT count(*) FROM economy.$_()" ] } qw(audit_sweep audit_sweep_incremental audit_step);
push @writers, [ 'register_game', q{SELECT economy.register_game('chess', '{"fee": 2}')} ];
%expected = (audit_sweep => 0, audit_sweep_incremental => 0, audit_step => 1, register_game => 'chess');
is(behind_a_rewrite(@writers), 4, 'audits and a change of the configuration waited');
is(value($plain, q{SELECT count(*) FROM economy.audit_findings WHERE kind <> 'planted' AND gone_run_id IS DISTINCT FROM run_id}), 0, 'no sweep found anything');
is(value($plain, 'SELECT count(*) FROM economy.audit_sweep()'), 0, 'nothing was noted wrongly');
($again, $wrong) = after_each_rewrite(@writers[ 0 .. 2 ]);
is($again, 3, 'each audit has said 40001');
is($wrong, 0, 'and has looked into nothing that it has not opened');

# those that look something up before they change it find what is there; all at once, none changes what another one reads
my $decision = value($dbh, q{SELECT format('D%s-%s', user_id, number) FROM economy.recommendations WHERE clicked_at IS NULL ORDER BY user_id, number LIMIT 1});
my $bought = value($dbh, "SELECT min(t.seq) FROM economy.shop_transactions t LEFT JOIN economy_internal.rfm_reversals r USING (user_id, seq) WHERE t.user_id = $user AND r.seq IS NULL");
my @changes = (
	[ recommend => "SELECT concat_ws(' ', arm, product_id, fallback) FROM economy.recommend($user, 'home')" ],
	[ recommendation_feedback => "SELECT economy.recommendation_feedback('$decision', 'click')" ],
	[ upsert_product => q{SELECT concat_ws(' ', price_gold, monetary) FROM economy.upsert_product('{"product_id": "voucher", "monetary": 7}', 'readers')} ],
	[ retire_product => q{SELECT economy.retire_product('odd', 'readers')::text} ],
	[ add_stock => q{SELECT economy.add_stock('freeze', 5, 'readers')} ],
	[ register_game => q{SELECT economy.register_game('slot', '{"fee": 2}')} ],
	[ set_default_level_curve => q{SELECT economy.set_default_level_curve('steep', 'readers')} ],
	[ set_level_experiment => q{SELECT economy.set_level_experiment('readers', '[{"arm": "a", "curve": "steep", "share": 1}]', false, 'readers')} ],
	[ set_daily_rewards => q{SELECT economy.set_daily_rewards('[{"gold": 7, "contents": {"gem": 1}}]', 'readers')} ],
	[ set_segment_rules => q{SELECT economy.set_segment_rules('[{"segment": "All"}]', 'readers')} ],
	[ set_rfm_model => q{SELECT concat_ws(' ', window_days, population) FROM economy.set_rfm_model('{"model": "own", "window_days": 61}', 'readers')} ],
	[ set_recommendations => q{SELECT economy.set_recommendations('door', '{}', '[]', 'readers')} ],
	[ refund_purchase => "SELECT concat_ws(' ', code, quantity, gold_delta) FROM economy.refund_purchase($user, 'P$user-$bought', 'readers', NULL, 'r', 'a', 'take_available')" ],
);
foreach my $change (@changes)
{
	$plain->begin_work;
	$expected{ $change->[0] } = answer($plain, $change->[1]);
	$plain->rollback;
}
is(join(' ', map { "$_: " . substr $expected{$_}, 0, 11 } grep { $expected{$_} =~ /^error/ } sort keys %expected), 'register_game: error XE002 retire_product: error XE302', 'what is refused');
($again, $wrong) = after_each_rewrite(@changes);
is($again, scalar @changes, 'each change has said 40001');
is($wrong, 0, 'none looks up what it has not opened');
s/^(error \w{5}).*/$1/s foreach values %expected;
is(behind_a_rewrite(@changes), scalar @changes, 'all changes waited');
is(value($plain, q{SELECT count(*) FROM economy.audit_sweep()}), 0, 'and are sound');

# nor do the jobs of the segments and recommendations, each with something to do
$dbh->do(q{SET economy.test_clock = '2026-09-15 11:00+00'});
$dbh->do("SELECT economy.purchase($user, 'gold_100', 'readers')");
$dbh->do(q{SELECT economy.set_recommendations('home', '{"policy": "thompson"}', '[{"segment": "*", "arm": "rest", "cta": "c4"}]', 'readers'), economy.set_segment_rules('[{"segment": "Some"}]', 'readers')});
$dbh->do(q{SELECT economy.recommend(u.user_id, 'home') FROM economy.users u});
$plain->do(q{SET economy.test_clock = '2026-11-15 12:00+00'});
my @jobs = map { [ $_->[0], "SELECT r::text FROM $_->[1] r" ] } (
	[ rfm_refresh => 'economy.rfm_refresh()' ],
	[ rfm_refresh_incremental => 'economy.rfm_refresh_incremental()' ],
	[ rfm_job_batch => 'economy_internal.rfm_job_batch(true, NULL)' ],
	[ rfm_take => 'economy_internal.rfm_take(0, 1000)' ],
	[ learn_recommendations => 'economy.learn_recommendations()' ]);
foreach my $job (@jobs)
{
	$plain->begin_work;
	$expected{ $job->[0] } = answer($plain, $job->[1]);
	$plain->rollback;
}
is(join(' ', map { $expected{ $_->[0] } } @jobs[ 0, 1, 4 ]), '(7,16,1) (6,1,1) (17,t)', 'each job has something to do');
($again, $wrong) = after_each_rewrite(@jobs);
is($again, scalar @jobs, 'each job has said 40001');
is($wrong, 0, 'and takes up nothing of what it has not opened');
done_testing();
