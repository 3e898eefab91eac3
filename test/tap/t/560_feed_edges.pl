# Reading the feed where it is hard: its first reader is cancelled, one
# transaction has very many entries, a standby has not come as far as its client.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use EventTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('edges', init => { allows_streaming => 1 }, conf => 'economy.notify = off');
my $dbh = connect_to($node);

sub now { my ($session) = @_; return value($session, 'SELECT next_cursor FROM economy.changes()') }
sub play
{
	my ($users, $from, $upto) = @_;
	return value($dbh, q{SELECT count(*) FROM economy.record_actions((SELECT jsonb_agg(jsonb_build_object('user_id', n % ? + 1, 'game', 'slot',
		'action_type', 'T', 'action_id', n::text)) FROM generate_series(?::int, ?) n))}, $users, $from, $upto);
}

# the ranges of pages that have no summary though a later one has
$dbh->do('CREATE EXTENSION pageinspect');
$dbh->do('ALTER TABLE economy.user_actions SET (autovacuum_enabled = off)');
$dbh->do(q{SELECT count(economy.register(n::text)) FROM generate_series(1, 3000) n});
my $gaps = q{WITH r AS (SELECT row_number() OVER () AS n, pages FROM brin_revmap_data(get_raw_page('economy.user_actions_position_idx', 1)) pages)
	SELECT count(*) FROM r WHERE pages = '(0,0)' AND n < (SELECT max(n) FROM r WHERE pages <> '(0,0)')};
# those that a summariser has begun and not ended
my $begun = q{SELECT count(*) FROM generate_series(2, pg_relation_size('economy.user_actions_position_idx') / 8192 - 1) page,
	brin_page_items(get_raw_page('economy.user_actions_position_idx', page::int), 'economy.user_actions_position_idx') WHERE placeholder};
my $summaries = q{SELECT count(*) FROM brin_revmap_data(get_raw_page('economy.user_actions_position_idx', 1)) pages WHERE pages <> '(0,0)'};

foreach my $part (0 .. 9) { play(3000, $part * 15000 + 1, ($part + 1) * 15000) }
my $hurried = connect_to($node);
my ($cancelled, $left) = (0, 0);
for (my $ms = 1; $ms <= 100 && value($dbh, $summaries) < 50; $ms++)
{
	$hurried->do("SET statement_timeout = '${ms}ms'");
	$cancelled++ if try_sql($hurried, q{SELECT count(*) FROM economy.changes('start', 1)}) eq '57014';
	$left += value($dbh, $gaps);
}
$hurried->disconnect;
note("$cancelled were cancelled");
is($left, 0, 'a reader that is cancelled leaves no gap of pages that every later one reads');
is(value($dbh, $begun), 0, 'nor a summary that is half made, behind which a scan finds nothing out');

# more than a window has room for, in several transactions
my ($seen, $state, $at) = (0, 'MORE', 'start');
while ($state eq 'MORE')
{
	(my $n, $state, $at) = $dbh->selectrow_array(q{SELECT count(DISTINCT (c.user_id, c.seq)) FILTER (WHERE c.code = 'EVENT'),
		max(c.code) FILTER (WHERE c.code <> 'EVENT'), max(c.next_cursor) FROM economy.changes(?, 10000) c}, undef, $at);
	$seen += $n;
}
is("$seen $state", '150000 CAUGHT_UP', 'each of them is told once');

# a page that is cancelled is there again
my $page = q{SELECT string_agg(user_id || '-' || seq, ' ') FROM economy.changes(?, 5)};
my $again = connect_to($node);
my $more = value($again, q{SELECT next_cursor FROM economy.changes('start', 1) WHERE code = 'MORE'});
my $first = value($dbh, $page, $more);
my $lost = 0;
for (my $ms = 8; $ms <= 256 && !$lost; $ms *= 2)
{
	value($again, q{SELECT next_cursor FROM economy.changes('start', 1) WHERE code = 'MORE'});
	$again->do("SET statement_timeout = '${ms}ms'");
	try_sql($again, "SELECT count(*) FROM economy.changes('$more', 10000)");
	$again->do('RESET statement_timeout');
	$lost++ if value($again, $page, $more) ne $first;
}
is($lost, 0, 'a page that was cancelled is told from its beginning');
$again->disconnect;

# one transaction
my $read = q{SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'user_actions'};
my $begin = now($dbh);
my $many = 320000;
is(play(3000, 1000001, 1000000 + $many), $many, 'one transaction has many entries');
# the server's own summarisers can be cancelled between
my $server = connect_to($node);
for (my $ms = 1; $ms <= 100 && value($dbh, $begun) == 0; $ms++)
{
	$server->do("SET statement_timeout = '${ms}ms'");
	try_sql($server, q{SELECT brin_summarize_new_values('economy.user_actions_position_idx')});
}
$server->disconnect;
is(value($dbh, $begun), 1, 'another summariser has left one');
# what was read before counts as read when its sessions say so
poll_until('the other sessions to end', sub { value($dbh, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'}) == 1 });
$dbh->do('SELECT pg_stat_force_next_flush()');
my $reader = connect_to($node);
my ($cursor, $code, $told) = ($begin, 'MORE', 0);
my $before = value($dbh, $read);
while ($code eq 'MORE')
{
	(my $n, $code, $cursor) = $reader->selectrow_array(q{SELECT count(DISTINCT (c.user_id, c.seq)) FILTER (WHERE c.code = 'EVENT'),
		max(c.code) FILTER (WHERE c.code <> 'EVENT'), max(c.next_cursor) FROM economy.changes(?, 10000) c}, undef, $cursor);
	$told += $n;
}
$reader->do('SELECT pg_stat_force_next_flush()');
is("$told $code", "$many CAUGHT_UP", 'each is told once');
is(value($dbh, $begun), 0, 'and the summary that was half made is made');
my $rows = value($dbh, $read) - $before;
note("$rows rows read for $many");
# each once to summarise it, to find it and to tell it, and as often as the window was too
# wide, which other transactions of the moment decide; again for each page would be 16 times
cmp_ok($rows, '<', 6 * $many, 'and they are not read again for each part of them');
$reader->disconnect;

# a client of the primary that asks a standby
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('lagging');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby, 'replay', $node->lsn('flush'));
my $replica = connect_to($standby);
my $user = add_user($dbh, 'zoe', 100);
$node->wait_for_catchup($standby, 'replay', $node->lsn('flush'));
my $old = connect_to($node);
$old->do('BEGIN ISOLATION LEVEL REPEATABLE READ');
my $seq = value($old, 'SELECT seq FROM economy.account(?)', $user);
$replica->do('SELECT pg_wal_replay_pause()');
poll_until('the pause', sub { value($replica, 'SELECT pg_get_wal_replay_pause_state()') eq 'paused' });
value($dbh, q{SELECT state FROM economy.grant_reward(?, 'edges', ?, 1)}, $user, $_) foreach 1, 2;
my $replay = q{SELECT string_agg(code || ' ' || seq, ', ') FROM economy.replay(?, ?)};
my $next = $seq + 1;
is(value($replica, $replay, $user, $next), "CAUGHT_UP $next", 'a standby that lags has nothing to replay yet, and sends nobody back');
is(value($old, $replay, $user, $next), "CAUGHT_UP $next", 'nor does an older snapshot');
is(value($dbh, $replay, $user, $next + 5), 'RESYNC_REQUIRED ' . ($next + 1), 'the primary knows what there is not');
$replica->do('SELECT pg_wal_replay_resume()');
$node->wait_for_catchup($standby, 'replay', $node->lsn('flush'));
is(value($replica, $replay, $user, $next), 'EVENT ' . ($next + 1) . ', CAUGHT_UP ' . ($next + 1), 'then it has the rest');
$old->rollback if !$old->{AutoCommit};
$_->disconnect foreach $old, $replica, $dbh;
$standby->stop;
$node->stop;
done_testing();
