# economy.changes(): the feed of all users.  Open transactions at every moment
# between two calls: nothing is lost, nothing comes twice, no user's order turns.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use EventTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('feed', init => { allows_streaming => 1 }, conf => "economy.notify = off\nwal_receiver_status_interval = 1s");
my $dbh = connect_to($node);
my @s = map { connect_to($node) } 1 .. 4;
my $key = 0;

sub reward { my ($session, $user, $gold) = @_; return value($session, q{SELECT transaction_id FROM economy.grant_reward(?, 'feed', ?, 1)}, $user, ++$key) }
sub prepare { my ($session, $name) = @_; $session->do("PREPARE TRANSACTION '$name'"); $session->{AutoCommit} = 1 if !$session->{AutoCommit}; return }
sub now { my ($session) = @_; return value($session // $dbh, 'SELECT next_cursor FROM economy.changes()') }
# reads on from $cursor and moves it
my $cursor;
sub news { my ($session, $max) = @_; (my $events, $cursor, my $code) = feed($session // $dbh, $cursor, $max); die $code if $code ne 'CAUGHT_UP'; return ids(@$events) }

# cursors
my $ann = add_user($dbh, 'ann');
my $bob = add_user($dbh, 'bob');
my $first = reward($dbh, $ann);
my $row = row($dbh, 'SELECT * FROM economy.changes()');
is(join(' ', map { $_ // 'null' } @$row{qw(code user_id seq type event)}), 'CAUGHT_UP null null null null', 'a null cursor begins now');
$cursor = $row->{next_cursor};
is(news(), '', 'with nothing yet');
reward($dbh, $ann);
reward($dbh, $bob);
is(news(), "R$ann-2 R$bob-1", 'what follows comes');
is(news(), '', 'once');
$cursor = 'start';
is(news(), "R$ann-1 R$ann-2 R$bob-1", 'start begins with the first entry');
my ($epoch, $old) = now() =~ /^(3\|.*\|.*)\|(.*)$/;
like($epoch, qr/^3\|\d+\.1\|\d+\.\d+\.1\|\d+\|R$bob-1\|[0-9a-f]{16}$/, 'a cursor names its version, cluster, timeline, database, installation and newest entry');
my ($here) = $epoch =~ /^(.*?\|.*?\|.*?)\|/;
foreach my $garbage ('', 'x', '|', '||', "$epoch", "$epoch|", "$epoch|x", "$epoch|9:8:", "$epoch|10:20:15|", "$epoch|10:20:|10:30:", "$epoch|10:20:|10:30:|1", "$epoch|10:20:|10:30:|1|1", "1|10:20:", "2" . substr("$epoch|$old", 1), "$here|$old", "$here||R$bob-1||$old", "$here|1|X|0011223344556677|$old", "$here|1|R1-1|001122334455667|$old", "$here|1|R1-1|001122334455667G|$old", "$epoch|10:20:|10:30:|1|x|1",
	"$epoch|10:20:|10:30:||1|1", "$epoch|10:20:|10:30:|1||1", "$epoch|10:20:|10:30:|1|1x|1", "$here|1x|R1-1|0011223344556677|$old", "$here|1|R1-1|00112233445566777|$old", "$here|||0011223344556677|$old",
	"$epoch|10:20:|10:30:|1|1|99999999999999999999", "$epoch|10:20:|10:30:|1|1|1|1", "$epoch|10:20:12,11", "$epoch|18446744073709551616:18446744073709551616:", "$epoch|10:20:9", "$epoch|$old'; SELECT 1 --", "x" x 10_000)
{
	is((eval { $dbh->selectall_arrayref('SELECT * FROM economy.changes(?)', undef, $garbage); 1 }) ? '' : $dbh->state, 'XE002', 'no cursor: ' . substr $garbage, 0, 40);
}
like($dbh->errstr, qr/HINT:  Pass next_cursor of the last row .*, null to begin now, or start to begin with the first entry[.]/, 'and a word of what would be one');
foreach my $max (0, -1, 10_001)
{
	is(try_sql($dbh, "SELECT * FROM economy.changes(NULL, $max)"), 'XE002', "max $max");
}
is(try_sql($dbh, 'SELECT * FROM economy.changes(NULL, NULL)'), 'XE001', 'max null');
my @here = split /[|.]/, $epoch;
foreach my $foreign ((map { my @there = @here; $there[$_]++; "3|$there[1].$there[2]|$there[3].$there[4].$there[5]||||$old" } 1 .. 5), "${here}0" . substr("$epoch|$old", length $here), "$epoch|99999999:99999999:", "$epoch|3:3:|99999999:99999999:|1|1|1", "$epoch|$old|3:3:|1|1|1",
	"$epoch|3:9000000000000000000:", "$epoch|3:3:|9000000000000000000:9000000000000000000:|1|1|1")
{
	my $answer = $dbh->selectall_arrayref('SELECT code, next_cursor FROM economy.changes(?)', undef, $foreign);
	is(scalar(@$answer) . $answer->[0][0], '1RESYNC_REQUIRED', "not of this cluster: $foreign");
	$cursor = $answer->[0][1];
	is(news(), '', 'and a cursor to go on with');
}

# a late commit below the cursor
$cursor = now();
$s[0]->begin_work;
my $late = reward($s[0], $ann);
my $soon = reward($dbh, $bob);
is(news(), $soon, 'late commit: the other does not wait');
is(news(), '', 'late commit: nothing yet');
$s[0]->commit;
is(news(), $late, 'late commit: it comes, though its id is below the cursor');
is(news(), '', 'late commit: once');

# a stalled writer elsewhere
$s[3]->begin_work;
value($s[3], 'SELECT pg_current_xact_id()');
my $other_database = fresh_database($node);
my $elsewhere = connect_to($node, $other_database);
$elsewhere->begin_work;
value($elsewhere, 'SELECT economy.register()');
foreach my $i (1 .. 3)
{
	my $told = reward($dbh, $i == 2 ? $bob : $ann);
	is(news(), $told, "a stalled writer holds up nothing, $i");
}
$_->rollback foreach $s[3], $elsewhere;
$elsewhere->disconnect;

# per-user order: transactions that took their id early and post late
my @early = @s[ 0 .. 2 ];
foreach my $order ([ 0, 1, 2 ], [ 2, 1, 0 ], [ 1, 2, 0 ], [ 2, 0, 1 ])
{
	my (@expected, @got);

	foreach my $session (@early) { $session->begin_work; value($session, 'SELECT pg_current_xact_id()') }
	foreach my $i (@$order)
	{
		push @expected, reward($dbh, $ann), reward($early[$i], $ann);
		push @got, news();
		$early[$i]->commit;
		push @got, news();
	}
	is(join(' ', grep { $_ ne '' } @got), "@expected", "ids taken early, posted in the order @$order: the order of seq");
}
# all of it at once, with one that goes on
$s[3]->begin_work;
value($s[3], 'SELECT pg_current_xact_id()');
foreach my $session (@early) { $session->begin_work; value($session, 'SELECT pg_current_xact_id()') }
my @expected;
foreach my $i (2, 0, 1) { push @expected, reward($dbh, $ann), reward($early[$i], $ann); $early[$i]->commit }
push @expected, reward($dbh, $ann);
is(news(), "@expected", 'many of a user at once, while an older transaction goes on');
push @expected, my $last = reward($s[3], $ann);
is(news(), '', 'which posts');
$s[3]->commit;
is(news(), $last, 'and commits');

# pages
my @users = map { add_user($dbh, "page $_") } 1 .. 4;
$cursor = now();
my @all = map { my $u = $_; map { reward($dbh, $u) } 1 .. 3 } @users;
$s[0]->begin_work;
my $in_page = reward($s[0], $users[0]);
my @pages;
foreach my $page (1 .. 20)
{
	my $rows = $dbh->selectall_arrayref('SELECT code, seq, event, next_cursor FROM economy.changes(?, 2)', undef, $cursor);
	my $end = pop @$rows;
	push @pages, map { $_->[2] =~ /"id":"(.*?)"/ } @$rows;
	$cursor = $end->[3];
	is(scalar @$rows, 2, "page $page") if $end->[0] eq 'MORE';
	# behind the page, before it, and again
	$s[0]->commit if $page == 2;
	push @all, $in_page if $page == 2;
	push @all, reward($dbh, $users[ ($page * 3) % 4 ]) if $page < 6;
	last if $end->[0] eq 'CAUGHT_UP' && $page > 10;
}
is(join(' ', sort @pages), join(' ', sort @all), 'pages: whatever commits between them, nothing is lost and nothing comes twice');
foreach my $user (@users)
{
	is(join(' ', grep { /^R$user-/ } @pages), join(' ', replayed($dbh, $user)), "pages: the order of user $user");
}

# what was committed during the pages is told before the feed has caught up
$cursor = now();
my @made = map { reward($dbh, $users[0]) } 1 .. 3;
my @told;
foreach my $max (2, 10)
{
	my $rows = $dbh->selectall_arrayref('SELECT code, event, next_cursor FROM economy.changes(?, ?)', undef, $cursor, $max);
	(my $code, undef, $cursor) = @{ pop @$rows };
	push @told, map({ $_->[1] =~ /"id":"(.*?)"/ } @$rows), $code;
	push @made, reward($dbh, $users[1]) if $max == 2;
}
is("@told", "@made[0, 1] MORE @made[2, 3] CAUGHT_UP", 'pages: CAUGHT_UP says that nothing committed is left');
is(news(), '', 'and nothing comes twice');

# so is what an older transaction has posted, which stands before all that was told
$cursor = now();
$s[0]->begin_work;
my $older = reward($s[0], $users[2]);
@made = map { reward($dbh, $users[0]) } 1 .. 3;
@told = ();
foreach my $max (2, 10)
{
	my $rows = $dbh->selectall_arrayref('SELECT code, event, next_cursor FROM economy.changes(?, ?)', undef, $cursor, $max);
	(my $code, undef, $cursor) = @{ pop @$rows };
	push @told, map({ $_->[1] =~ /"id":"(.*?)"/ } @$rows), $code;
	$s[0]->commit if $max == 2;
}
is("@told", "@made[0, 1] MORE $made[2] $older CAUGHT_UP", 'pages: nor is one of before the page left');
is(news(), '', 'which comes once');

# prepared transactions, and savepoints
$s[0]->begin_work;
my $prepared = reward($s[0], $ann);
prepare($s[0], 'feed');
is(news(), '', 'prepared: not yet');
$soon = reward($dbh, $bob);
is(news(), $soon, 'prepared: others come');
$dbh->do(q{COMMIT PREPARED 'feed'});
is(news(), $prepared, 'prepared: when it commits');
$s[0]->begin_work;
reward($s[0], $ann);
prepare($s[0], 'feed');
news();
$dbh->do(q{ROLLBACK PREPARED 'feed'});
is(news(), '', 'prepared: not when it is rolled back');
$s[0]->begin_work;
$s[0]->do('SAVEPOINT a');
reward($s[0], $ann);
$s[0]->do('ROLLBACK TO a');
my $kept = reward($s[0], $ann);
$s[0]->do('SAVEPOINT b');
my $deeper = reward($s[0], $ann);
is(news(), '', 'savepoints: nothing before the commit');
$s[0]->do('RELEASE b');
is(news(), '', 'savepoints: nor when one is released');
$s[0]->commit;
is(news(), "$kept $deeper", 'savepoints: then what is left');

# the reader's own transaction
$cursor = now();
$s[0]->begin_work;
value($s[0], 'SELECT pg_current_xact_id()');
reward($dbh, $bob);
my $before = $cursor;
my $mine = reward($s[0], $ann);
is(news($s[0]), (reverse replayed($dbh, $bob))[0], 'the reader\'s own entry is no news before its commit');
my $after = reward($s[0], $ann);
is(news($s[0]), '', 'nor later');
$s[0]->commit;
is(news($s[0]), "$mine $after", 'then it comes');
$s[0]->begin_work;
value($s[0], 'SELECT pg_current_xact_id()');
reward($dbh, $bob);
$mine = reward($s[0], $ann);
news($s[0]);
$s[0]->rollback;
is(news(), '', 'and never when it is rolled back');
$s[0]->do('BEGIN ISOLATION LEVEL REPEATABLE READ');
$before = now($s[0]);
my $unseen = reward($dbh, $bob);
$cursor = $before;
is(news($s[0]), '', 'under one snapshot there is no news');
$s[0]->do('COMMIT');
is(news($s[0]), $unseen, 'after it there is');
$s[0]->do('BEGIN ISOLATION LEVEL REPEATABLE READ');
now($s[0]);
reward($dbh, $bob);
$cursor = now();
is(value($s[0], 'SELECT code FROM economy.changes(?)', $cursor), 'CAUGHT_UP', 'a snapshot of before the cursor has missed nothing');
$s[0]->do('COMMIT');

# many sessions, and a reader that asks all the time
@users = map { add_user($dbh, "crowd $_") } 1 .. 5;
$cursor = now();
my $crowd = fork() // die "fork: $!";
if ($crowd == 0)
{
	at_once($node, 'postgres', 8, sub {
		my ($n, $session) = @_;
		foreach my $i (1 .. 60)
		{
			$session->begin_work;
			value($session, 'SELECT pg_current_xact_id()') if $n % 2;
			value($session, 'SELECT pg_sleep(random() * 0.01)');
			$session->do('SAVEPOINT s') if $n % 3 == 0;
			value($session, q{SELECT code FROM economy.grant_reward(?, 'crowd', ?, 1)}, $users[ ($n + $i) % 5 ], "$n-$i");
			value($session, 'SELECT pg_sleep(random() * 0.01)') if $n % 4 == 0;
			$i % 10 == 0 ? $session->rollback : $session->commit;
		}
		return 'done';
	});
	POSIX::_exit(0);
}
my (%got, $reads);
my $done = 0;
for (;;)
{
	$done ||= waitpid($crowd, POSIX::WNOHANG()) != 0;
	my $ended = $done;
	my ($events, $next) = feed($dbh, $cursor, 1 + $reads++ % 7);
	$cursor = $next;
	push @{ $got{ $_->{user} } }, $_->{id} foreach @$events;
	last if $ended;
}
foreach my $user (@users)
{
	is(join(' ', @{ $got{$user} // [] }), join(' ', replayed($dbh, $user)), "a crowd: user $user complete and in order");
}
cmp_ok($reads, '>', 20, 'over many reads');

# each page by a session that has kept no reader of the one before
{
	my @sessions = map { connect_to($node) } 1 .. 2;
	my $at = now();
	my @posted = map { reward($dbh, $users[0]) } 1 .. 5;
	my @told;
	foreach my $page (1 .. 10)
	{
		my $rows = $sessions[ $page % 2 ]->selectall_arrayref('SELECT code, seq, event, next_cursor FROM economy.changes(?, 1)', undef, $at);
		my $end = pop @$rows;
		push @told, map { $_->[2] =~ /"id":"(.*?)"/ } @$rows;
		$at = $end->[3];
		last if $end->[0] eq 'CAUGHT_UP';
	}
	is("@told", "@posted", 'another session goes on behind the last entry');
	$cursor = $at;
	$_->disconnect foreach @sessions;
}

# a session that begins anew within its pages, and comes back to them
{
	my $at = now();
	my @posted = map { reward($dbh, $users[0]) } 1 .. 3;
	my $within = value($dbh, 'SELECT next_cursor FROM economy.changes(?, 1) WHERE code = ?', $at, 'MORE');
	my $begun = now();
	my $newer = reward($dbh, $users[1]);
	is(ids(@{ (feed($dbh, $begun))[0] }), $newer, 'what is new since it began anew');
	is(ids(@{ (feed($dbh, $within, 1))[0] }), "@posted[1, 2] $newer", 'and the rest of the pages, from where it left them');
	is(ids(@{ (feed($dbh, $at))[0] }), "@posted $newer", 'or all of them again');
	$cursor = now();
}

# pruned actions: told before, gone afterwards, and a cursor from before says so
$dbh->do(q{SET economy.test_clock = '2020-01-01 12:00:00+00'});
my $gamer = add_user($dbh, 'gamer', 10);
value($dbh, q{SELECT code FROM economy.record_action(?, 'slot', 'T', ?, 0, 1)}, $gamer, $_) foreach 1 .. 3;
$dbh->do('RESET economy.test_clock');
$before = $cursor;
my $page = value($dbh, 'SELECT next_cursor FROM economy.changes(?, 1) WHERE next_cursor IS NOT NULL', $before);
is(news(), join(' ', "G$gamer-1", map { ("A$gamer-$_", "A$gamer-$_/stats") } 2 .. 4), 'an action is two events');
value($dbh, q{SELECT code FROM economy.grant_reward(?, 'later', '1', 1)}, $gamer);
1 while value($dbh, 'SELECT users FROM economy.rollup_stats()') > 0;
$dbh->begin_work;
$dbh->do('SELECT * FROM economy.prune()');
$dbh->rollback;
is((feed($dbh, $before))[2], 'CAUGHT_UP', 'a prune that is rolled back');
$dbh->do('SELECT * FROM economy.prune()');
is(news(), "R$gamer-5", 'a cursor that was told of the pruned actions goes on');
foreach my $old ($before, $page)
{
	my ($events, $next, $code) = feed($dbh, $old);
	is("@$events$code", 'RESYNC_REQUIRED', 'an older one says that some are missing');
	is((feed($dbh, $next))[2], 'CAUGHT_UP', 'and from there it goes on');
}
my ($left) = feed($dbh, 'start', 10_000);
unlike(ids(@$left), qr/A$gamer-2/, 'the beginning is the first entry that is left');
like(ids(@$left), qr/R$gamer-5/, 'and then the others');
is(value($dbh, 'SELECT code FROM economy.replay(?, 0)', $gamer), 'RESYNC_REQUIRED', 'their user\'s replay from the beginning says so');

# a dump in another cluster, and in another database of this one
my $dir = PostgreSQL::Test::Utils::tempdir();
$cursor = now();
my $there = new_node('elsewhere', empty => 1, conf => 'economy.notify = off');
my $log = command_ok([ 'pg_dump', '-d', $node->connstr('postgres'), '-f', "$dir/dump.sql" ], 'a dump');
foreach my $place ([ $there, 'postgres' ], [ $node, 'copy' ])
{
	my ($server, $database) = @$place;
	$server->safe_psql('template1', "CREATE DATABASE $database") if $database ne 'postgres';
	command_ok([ 'psql', '-qX', '-v', 'ON_ERROR_STOP=1', '-d', $server->connstr($database), '-f', "$dir/dump.sql" ], "restored into $database of " . $server->name);
	my $session = connect_to($server, $database);
	# older than all that was restored, if one believes it
	$session->do(q{SET economy.test_clock = '2001-01-01 00:00:00+00'});
	my $users_before = value($session, 'SELECT count(*) FROM economy.ledger');
	cmp_ok($users_before, '>', 100, 'with its entries');
	my $foreign = now();
	is(value($session, 'SELECT code FROM economy.changes(?)', $foreign), 'RESYNC_REQUIRED', 'a cursor of another cluster or database');
	$cursor = now($session);
	is(news($session), '', 'what was restored is no news');
	my $fresh = reward($session, $ann);
	is(news($session), $fresh, 'what is new is, though no clock has moved');
	$cursor = 'start';
	my @history = split / /, news($session, 7);
	is($history[-1], $fresh, 'from the start it is the last');
	is(join(' ', grep { m{^[A-Z]$ann-\d+$} } @history), join(' ', replayed($session, $ann)), 'behind what was restored');
	is(scalar(grep { !m{/} } @history), value($session, 'SELECT count(*) FROM economy.ledger'), 'which is all there, once');
	is((reverse replayed($session, $ann))[0], $fresh, 'replay() has both');
	cmp_ok(scalar replayed($session, $ann), '>', 10, 'the old and the new');
	$session->disconnect;
}
$there->stop;

# on a standby: transactions of the primary are open there too
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('feed_standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
my $reader = connect_to($standby);
sub catch_up { $node->wait_for_catchup($standby, 'replay', $node->lsn('flush')); return }
catch_up();
$cursor = now($reader);
$s[0]->begin_work;
$late = reward($s[0], $ann);
$soon = reward($dbh, $bob);
# its running transactions go into the WAL
$dbh->do('CHECKPOINT');
catch_up();
is(news($reader), $soon, 'on a standby: the other does not wait');
$s[0]->commit;
catch_up();
is(news($reader), $late, 'on a standby: a late commit is not lost');
$s[0]->begin_work;
value($s[0], 'SELECT pg_current_xact_id()');
@expected = (reward($dbh, $ann));
push @expected, reward($s[0], $ann);
catch_up();
my @got = (news($reader));
$s[0]->commit;
push @expected, reward($dbh, $ann);
catch_up();
push @got, news($reader);
is("@got", "@expected", 'on a standby: an id taken early, in the order of seq');
my $on_primary = now();
catch_up();
$cursor = $on_primary;
reward($dbh, $bob);
catch_up();
is(news($reader), (reverse replayed($dbh, $bob))[0], 'on a standby: a cursor of the primary is good');

# promoted: what it has not received may have been told
$before = now($reader);
$_->disconnect foreach $dbh, @s;
$node->stop('immediate');
$standby->promote;
is(value($reader, 'SELECT code FROM economy.changes(?)', $before), 'RESYNC_REQUIRED', 'promoted: another timeline');
$cursor = value($reader, 'SELECT next_cursor FROM economy.changes(?)', $before);
my $new = reward($reader, $ann);
is(news($reader), $new, 'promoted: and on from there');
$reader->disconnect;
$standby->stop;
done_testing();
