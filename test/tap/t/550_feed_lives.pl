# One cursor of changes() in the other lives of the data: restored again, the
# extension made anew, a copy, a database of the same name; behind a clock that
# was set back, on a standby that lags, and beside a transaction that never ends.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use EventTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('lives', init => { allows_streaming => 1 }, conf => 'economy.notify = off');
my $dbh = connect_to($node);
my $key = 0;

sub reward { my ($session, $user) = @_; return value($session, q{SELECT transaction_id FROM economy.grant_reward(?, 'lives', ?, 1)}, $user, ++$key) }
sub now { my ($session) = @_; return value($session, 'SELECT next_cursor FROM economy.changes()') }
sub code { my ($session, $cursor) = @_; return (feed($session, $cursor))[2] }
sub told { my ($session, $cursor) = @_; my ($events, $next, $code) = feed($session, $cursor); return join ' ', ids(@$events), $code }

my $ann = add_user($dbh, 'ann');
my $bob = add_user($dbh, 'bob');
reward($dbh, $ann);
my $cursor = now($dbh);
my $new = reward($dbh, $ann);

# a copy of the database
$dbh->disconnect;
$node->safe_psql('template1', 'CREATE DATABASE twin TEMPLATE postgres');
$dbh = connect_to($node);
my $twin = connect_to($node, 'twin');
is(told($twin, $cursor), ' RESYNC_REQUIRED', 'a copy of the database is another one');
my $before = now($twin);
my $there = reward($twin, $bob);
is(told($twin, $before), "$there CAUGHT_UP", 'which tells what is new, with a cursor from before its first entry');
is(value($twin, 'SELECT max(number) FROM economy.installations'), 2, 'and is another installation');
is(told($dbh, $cursor), "$new CAUGHT_UP", 'while this one goes on');

# two copies of a database without an entry: in both the first is of installation 1,
# and the extension has one OID
$node->safe_psql('template1', 'CREATE DATABASE empty TEMPLATE template0');
$node->safe_psql('empty', 'CREATE EXTENSION economy');
$node->safe_psql('template1', "CREATE DATABASE $_ TEMPLATE empty") foreach qw(first second);
my ($one_copy, $other_copy) = map { connect_to($node, $_) } qw(first second);
my $nothing = now($one_copy);
my $dan = add_user($other_copy, 'dan');
reward($other_copy, $dan);
is(told($other_copy, $nothing), ' RESYNC_REQUIRED', 'a cursor of one is none of the other');
is(told($one_copy, $nothing), ' CAUGHT_UP', 'but of its own');
is(value($other_copy, 'SELECT max(number) FROM economy.installations'), 1, 'which begins like it');
$_->disconnect foreach $one_copy, $other_copy;

# dropped and made again
my $old = now($twin);
$twin->disconnect;
$node->safe_psql('template1', $_) foreach 'DROP DATABASE twin', 'CREATE DATABASE twin TEMPLATE template0';
$node->safe_psql('twin', 'CREATE EXTENSION economy');
$twin = connect_to($node, 'twin');
is(told($twin, $old), ' RESYNC_REQUIRED', 'a database of the same name');
$old = now($twin);
my $carol = add_user($twin, 'carol');
reward($twin, $carol);
is(told($twin, $old), "R$carol-1 CAUGHT_UP", 'its own cursor is good');
$twin->do('SET economy.allow_drop = on');
$twin->do($_) foreach 'DROP EXTENSION economy', 'CREATE EXTENSION economy';
is(told($twin, $old), ' RESYNC_REQUIRED', 'an extension made anew');
$twin->disconnect;

# restored over and over, with ids above and below those here
my $dir = PostgreSQL::Test::Utils::tempdir();
my $from = $node;
foreach my $life (2 .. 4)
{
	command_ok([ 'pg_dump', '-Fc', '-d', $from->connstr('postgres'), '-f', "$dir/dump$life" ], "life $life: a dump");
	my $to = new_node("life$life", empty => 1, conf => 'economy.notify = off');
	$to->safe_psql('postgres', "SELECT pg_current_xact_id() FROM generate_series(1, 10)") if $life == 3;
	command_ok([ 'pg_restore', '-d', $to->connstr('postgres'), "$dir/dump$life" ], "life $life: restored");
	my $session = connect_to($to);
	is(told($session, $cursor), ' RESYNC_REQUIRED', "life $life: a cursor of the one before");
	my ($history) = feed($session, 'start');
	my $here = now($session);
	my $fresh = reward($session, $ann);
	is(told($session, $here), "$fresh CAUGHT_UP", "life $life: what is new is told");
	my ($all) = feed($session, 'start', 2);
	is(ids(@$all), ids(@$history) . " $fresh", "life $life: the start is the first entry of the first life, the order that of all lives");
	is(value($session, 'SELECT max(number) FROM economy.installations'), $life, "life $life: numbered");
	is(value($session, 'SELECT count(*) FROM economy.verify_chain(?)', $ann), 0, "life $life: the chain goes on");
	$cursor = now($session);
	$session->disconnect;
	$from->stop if $from != $node;
	$from = $to;
}
$from->stop;

# restored actions that are pruned were told
$dbh->do(q{SET economy.test_clock = '2020-01-01 12:00:00+00'});
my $mover = add_user($dbh, 'mover');
value($dbh, q{SELECT code FROM economy.record_action(?, 'slot', 'T', ?, 0, 1)}, $mover, $_) foreach 1 .. 3;
$dbh->do('RESET economy.test_clock');
command_ok([ 'pg_dump', '-Fc', '-d', $node->connstr('postgres'), '-f', "$dir/actions" ], 'a dump that ends with actions');
my $there_now = new_node('actions', empty => 1, conf => 'economy.notify = off');
command_ok([ 'pg_restore', '-d', $there_now->connstr('postgres'), "$dir/actions" ], 'is restored');
my ($session, $other_session) = map { connect_to($there_now) } 1 .. 2;
my %moved = (told => (feed($session, 'start'))[1], begun => now($session));
like($moved{told}, qr/\|A$mover-3\|/, 'the newest entry is a restored action');
# the entry at a checkpoint stays, so that of the cursor is not the last one that is due
$session->do(q{SET economy.test_clock = '2020-01-01 12:00:00+00'});
value($session, q{SELECT code FROM economy.record_action(?, 'slot', 'T', '4', 0, 1)}, $mover);
$session->do('RESET economy.test_clock');
reward($session, $mover);
1 while value($session, 'SELECT users FROM economy.rollup_stats()') > 0;
$session->do('SELECT * FROM economy.prune()');
is(value($session, 'SELECT min(seq) FROM economy.user_actions WHERE user_id = ?', $mover), 4, 'and pruned');
foreach my $when (sort keys %moved)
{
	is(told($other_session, $moved{$when}), "A$mover-4 A$mover-4/stats R$mover-5 CAUGHT_UP", "$when: what is new is told");
}
$_->disconnect foreach $session, $other_session;
$there_now->stop;

# pruned, while a transaction is open elsewhere
$dbh->do(q{SET economy.test_clock = '2020-01-01 12:00:00+00'});
my $gamer = add_user($dbh, 'gamer', 10);
my $untold = now($dbh);
value($dbh, q{SELECT code FROM economy.record_action(?, 'slot', 'T', ?, 0, 1)}, $gamer, $_) foreach 1 .. 3;
$dbh->do('RESET economy.test_clock');
reward($dbh, $gamer);
my $stalled = connect_to($node, 'template1');
$stalled->begin_work;
value($stalled, 'SELECT pg_current_xact_id()');
reward($dbh, $ann);
$cursor = now($dbh);
1 while value($dbh, 'SELECT users FROM economy.rollup_stats()') > 0;
$dbh->do('SELECT * FROM economy.prune()');
cmp_ok(value($dbh, 'SELECT count(*) FROM economy.pruned_actions'), '>', 0, 'some actions were pruned');
$new = reward($dbh, $bob);
is(told($dbh, $cursor), "$new CAUGHT_UP", 'an open transaction elsewhere spoils no cursor of before the prune');
my $after = now($dbh);
$new = reward($dbh, $bob);
is(told($dbh, $after), "$new CAUGHT_UP", 'nor one of after it');
is(told($dbh, $untold), ' RESYNC_REQUIRED', 'one that was not told of the pruned actions is spoiled');
$stalled->rollback;
is(told($dbh, $cursor) =~ /CAUGHT_UP$/, 1, 'also when it has ended');

# nor does one that is older than what was pruned, and ends behind a cursor of after the prune
my $oldest = connect_to($node, 'template1');
$oldest->begin_work;
value($oldest, 'SELECT pg_current_xact_id()');
$dbh->do(q{SET economy.test_clock = '2020-01-01 12:00:00+00'});
my $younger = add_user($dbh, 'younger gamer', 10);
value($dbh, q{SELECT code FROM economy.record_action(?, 'slot', 'T', ?, 0, 1)}, $younger, $_) foreach 1 .. 3;
$dbh->do('RESET economy.test_clock');
reward($dbh, $younger);
1 while value($dbh, 'SELECT users FROM economy.rollup_stats()') > 0;
is(value($dbh, 'SELECT actions FROM economy.prune()'), 2, 'more are pruned');
$after = now($dbh);
$oldest->rollback;
is(told($dbh, $after), ' CAUGHT_UP', 'the cursor of after it has missed nothing');

# pruned, of a transaction that was open when the cursor was given
my $late_gamer = add_user($dbh, 'late gamer', 10);
my $late = connect_to($node);
$late->do(q{SET economy.test_clock = '2020-01-01 12:00:00+00'});
$late->begin_work;
value($late, q{SELECT code FROM economy.record_action(?, 'slot', 'T', ?, 0, 1)}, $late_gamer, $_) foreach 1 .. 2;
reward($dbh, $bob);
$untold = now($dbh);
$late->commit;
1 while value($dbh, 'SELECT users FROM economy.rollup_stats()') > 0;
$dbh->do('SELECT * FROM economy.prune()');
is(value($dbh, 'SELECT count(*) FROM economy.pruned_actions WHERE user_id = ?', $late_gamer), 1, 'its first action was pruned');
is(told($dbh, $untold), ' RESYNC_REQUIRED', 'the cursor that does not know it is spoiled');

# pruned, of a transaction of which a page has told a part
my $half_gamer = add_user($dbh, 'half gamer', 10);
$untold = now($dbh);
$late->begin_work;
$late->do(q{SET LOCAL economy.test_clock = '2020-01-01 12:00:00+00'});
value($late, q{SELECT code FROM economy.record_action(?, 'slot', 'T', ?, 0, 1)}, $half_gamer, "half $_") foreach 1 .. 4;
$late->commit;
my $page = $late->selectall_arrayref('SELECT code, event, next_cursor FROM economy.changes(?, 1)', undef, $untold);
is($page->[-1][0], 'MORE', 'a page ends within a transaction');
my $within = $page->[-1][2];
1 while value($dbh, 'SELECT users FROM economy.rollup_stats()') > 0;
$dbh->do('SELECT * FROM economy.prune()');
is(value($dbh, 'SELECT count(*) FROM economy.pruned_actions WHERE user_id = ?', $half_gamer), 3, 'of which more is pruned than was told');
is(told($dbh, $within), ' RESYNC_REQUIRED', 'the cursor that knows a part of it is spoiled');
is(told($late, $within), ' RESYNC_REQUIRED', 'also in the session that was given it');
$late->disconnect;

# pruned in another order than they were made: a cursor is spoiled by the newest of them
my ($first, $second) = map { add_user($dbh, $_, 10) } 'first gamer', 'second gamer';
foreach my $turn ([ $first, '2020-01-02' ], [ $second, '2020-01-01' ])
{
	my ($user, $day) = @$turn;
	$untold = now($dbh);
	$dbh->do("SET economy.test_clock = '$day 12:00:00+00'");
	value($dbh, q{SELECT code FROM economy.record_action(?, 'slot', 'T', ?, 0, 1)}, $user, $_) foreach 1 .. 3;
	$dbh->do('RESET economy.test_clock');
	reward($dbh, $bob);
}
1 while value($dbh, 'SELECT users FROM economy.rollup_stats()') > 0;
foreach my $user ($second, $first)
{
	$dbh->do(q{SELECT * FROM economy.prune('90 days', 1)});
	is(value($dbh, 'SELECT count(*) FROM economy.user_actions WHERE user_id = ?', $user), 1, "user $user is pruned in turn");
	is(told($dbh, $untold), ' RESYNC_REQUIRED', 'a cursor between the two is spoiled');
}

# replay: what is left is left, whatever was pruned before it
is(value($dbh, 'SELECT code FROM economy.replay(?, 0)', $gamer), 'RESYNC_REQUIRED', 'entries after 0 are gone');
my ($pruned, $seq) = $dbh->selectrow_array('SELECT max(p.seq), a.seq FROM economy.pruned_actions p JOIN economy.accounts a USING (user_id) WHERE a.user_id = ? GROUP BY 2', undef, $gamer);
is(join(' ', map { $_->[0] } @{ $dbh->selectall_arrayref('SELECT code FROM economy.replay(?, ?)', undef, $gamer, $pruned) })  =~ /^EVENT.*CAUGHT_UP$/ ? 1 : 0, 1, 'those after the last one pruned are all there');

# one bad entry
$cursor = now($dbh);
my $good = reward($dbh, $ann);
$dbh->do(<<"SQL");
INSERT INTO economy.gold_adjustments (user_id, seq, gold_delta, xp_delta, gold, experience_points, created_at, xact, position, live, hash, idempotency_key, actor, reason)
SELECT $bob, 1000, 0, 0, 0, 0, '-infinity', pg_current_xact_id()::text::bigint, economy_internal.position_of(pg_current_xact_id()::text::bigint), true, sha256('bad'), 'bad', 'a', 'b'
SQL
$new = reward($dbh, $ann);
{
	my @warnings;
	local $SIG{__WARN__} = sub { push @warnings, @_ };
	local $dbh->{PrintWarn} = 1;
	is(told($dbh, $cursor), "$good $new CAUGHT_UP", 'an entry that cannot be told is passed over');
	is(scalar(grep { /entry 1000 of user $bob cannot be told/ } @warnings), 1, 'with one warning');
}
$dbh->do('SET session_replication_role = replica');
$dbh->do('ALTER TABLE economy.reward_audit DISABLE TRIGGER ALL');
foreach my $column (q{created_at = 'infinity'}, q{created_at = '10000-01-01'}, q{created_at = '0001-12-31 BC'}, q{source = repeat('x', 9000)})
{
	my $session = connect_to($node);
	my $one = add_user($session, $column);
	$session->begin_work;
	reward($session, $one);
	my $damaged = reward($session, $one);
	my $last = reward($session, $one);
	$session->commit;
	$dbh->do("UPDATE economy.reward_audit SET $column WHERE user_id = $one AND seq = 2");
	is(join(' ', replayed($session, $one)), "R$one-1 $last", "$column: replay() passes it over and tells the others");
	$dbh->do("DELETE FROM economy.reward_audit WHERE user_id = $one AND seq = 2");
	$session->disconnect;
}
$dbh->do('ALTER TABLE economy.reward_audit ENABLE ALWAYS TRIGGER reward_audit_append_only');
$dbh->do('RESET session_replication_role');
cmp_ok(value($dbh, 'SELECT count(*) FROM economy.audit_sweep() f WHERE f.user_id = ?', $bob), '>', 0, 'and audit_sweep() finds it');

# what is read follows what is new, without statistics, beside an open transaction
$dbh->do('SELECT count(economy.register(n::text)) FROM generate_series(1, 500) n');
my $pages = sub {
	my ($sql, @args) = @_;
	my $count = 'SELECT sum(heap_blks_hit + heap_blks_read) FROM pg_statio_user_tables WHERE relname IN (SELECT relname FROM pg_class WHERE relnamespace IN (\'economy\'::regnamespace, \'economy_internal\'::regnamespace))';
	$dbh->do('SELECT pg_stat_force_next_flush()');
	my $from = value($dbh, $count);
	$dbh->selectall_arrayref($sql, undef, @args);
	$dbh->do('SELECT pg_stat_force_next_flush()');
	return value($dbh, $count) - $from;
};
$stalled->begin_work;
value($stalled, 'SELECT pg_current_xact_id()');
my %cost;
foreach my $round (1, 2, 4)
{
	my $begin = now($dbh);
	my $n = 6000 * $round;
	$dbh->do(qq{DO \$\$ BEGIN FOR i IN 1..$n / 20 LOOP PERFORM economy.grant_reward(500 - (i * 20 + k) % 480, 'burst', '$round-' || i || '-' || k, 1) FROM generate_series(1, 20) k; COMMIT; END LOOP; END \$\$});
	my ($events, $next) = ([], $begin);
	$cost{$round} = 0;
	my $code = 'MORE';
	while ($code eq 'MORE')
	{
		my $page;
		$cost{$round} += $pages->('SELECT 1 FROM economy.changes(?, 1000)', $next);
		($code, $next) = $dbh->selectrow_array('SELECT code, next_cursor FROM economy.changes(?, 1000) WHERE next_cursor IS NOT NULL', undef, $next);
	}
	reward($dbh, $ann);
	$cost{"one $round"} = $pages->('SELECT 1 FROM economy.changes(?)', $next);
	note("backlog $n: $cost{$round} pages; then one entry: " . $cost{"one $round"});
}
cmp_ok($cost{4}, '<', 2.6 * $cost{2}, 'a backlog of twice the size is read in twice the pages');
cmp_ok($cost{2}, '<', 2.6 * $cost{1}, 'which it was before');
cmp_ok($cost{'one 4'}, '<', 1000, 'one new entry costs no more for what was inserted before it');
$stalled->rollback;

# a standby that has not come as far as the cursor
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('lagging');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
my $reader = connect_to($standby);
$node->wait_for_catchup($standby, 'replay', $node->lsn('flush'));
my $early = now($dbh);
$reader->do('SELECT pg_wal_replay_pause()');
poll_until('the pause', sub { value($reader, 'SELECT pg_get_wal_replay_pause_state()') eq 'paused' });
$first = reward($dbh, $ann);
$cursor = now($dbh);
$second = reward($dbh, $ann);
my ($events, $next, $code) = feed($reader, $cursor);
is(@$events . " $code", '0 CAUGHT_UP', 'a lagging standby has nothing to tell yet');
is($next, $cursor, 'and leaves the cursor where it was');
my $third = reward($dbh, $ann);
my $pair = value($dbh, 'SELECT next_cursor FROM economy.changes(?, 2) WHERE code = ?', $early, 'MORE');
is((feed($reader, $pair))[1], $pair, 'so it does when its client comes from the middle of a page');
$reader->do('SELECT pg_wal_replay_resume()');
$node->wait_for_catchup($standby, 'replay', $node->lsn('flush'));
is(told($reader, $next), "$second $third CAUGHT_UP", 'then it tells what followed, and nothing twice');
is(told($reader, $pair), "$third CAUGHT_UP", 'and the rest of the page');
$_->disconnect foreach $reader, $dbh, $stalled;
$standby->stop;
$node->stop;
done_testing();
