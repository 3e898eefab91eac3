# Refreshes of scores and segments beside buyers: a late commit is counted, and
# once, two refreshes do not overlap, and purchases go on meanwhile.
use strict;
use warnings;

use DBD::Pg;
use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('rfm');
my $dbh = connect_to($node);
my $ann = add_user($dbh, 'ann');
my $bob = add_user($dbh, 'bob');
add_product($dbh, 'gem', category => 'conversion', granted_gold => 5, monetary => 100);

# the first purchase of a database makes its signing key, under a lock
value($dbh, q{SELECT state FROM economy.purchase(?, 'gem', 'first')}, $bob);

sub buy { my ($s, $u, $key) = @_; return value($s, q{SELECT state FROM economy.purchase(?, 'gem', ?)}, $u, $key) }
sub full { return value($_[0], 'SELECT snapshot_id FROM economy.rfm_refresh()') }
sub incremental { return join ' ', ($_[0]->selectrow_array('SELECT * FROM economy.rfm_refresh_incremental()'))[ 1, 2 ] }
sub counted { return value($dbh, 'SELECT coalesce(sum(purchases), 0) FROM economy.rfm_days WHERE user_id = ?', $_[0]) }

# buckets against the journal
sub wrong
{
	return $node->safe_psql('postgres', <<'SQL');
SELECT user_id, day, j.n, j.m, b.purchases, b.monetary
FROM (SELECT user_id, (created_at AT TIME ZONE 'UTC')::date AS day, count(*) AS n, sum(monetary) AS m FROM economy.shop_transactions GROUP BY 1, 2) j
FULL JOIN economy.rfm_days b USING (user_id, day) WHERE (j.n, j.m) IS DISTINCT FROM (b.purchases, b.monetary)
SQL
}

# --- late commits ---------------------------------------------------------------

is(full($dbh), '1', 'a first refresh');
my $writer = connect_to($node);
my $other = connect_to($node);
$writer->begin_work;
is(buy($writer, $ann, 'late'), 'new', 'a purchase in an open transaction');
is(buy($dbh, $bob, 'early'), 'new', 'a later one of another user is committed first');
is(incremental($dbh), '1 1', 'the refresh takes what is committed');
is(incremental($dbh), '0 0', 'once');
is(counted($ann) . counted($bob), '02', 'the open one is not there');
$writer->commit;
is(incremental($dbh), '1 1', 'after its commit it is');
is(incremental($dbh), '0 0', 'once');
is(counted($ann) . counted($bob), '12', 'both are counted');

$writer->begin_work;
is(buy($writer, $ann, 'a2'), 'new', 'a purchase');
is(full($dbh), '2', 'that a full refresh does not see');
is(counted($ann), '1', 'is not there');
is(buy($dbh, $bob, 'b2'), 'new', 'another user buys');
is(incremental($dbh), '1 1', 'and is refreshed');
$writer->commit;
is(incremental($dbh), '1 1', 'the first one comes with its commit');
is(counted($ann) . counted($bob), '23', 'both are counted');

$writer->begin_work;
$writer->do('SET LOCAL economy.notify = off');
is(buy($writer, $ann, 'a3'), 'new', 'a purchase');
$writer->do(q{PREPARE TRANSACTION 'late'});
is(incremental($dbh), '0 0', 'of a prepared transaction waits');
is(buy($dbh, $bob, 'b3'), 'new', 'transactions go on');
is(incremental($dbh), '1 1', 'and are refreshed');
$dbh->do(q{COMMIT PREPARED 'late'});
is(incremental($dbh), '1 1', 'it comes with its commit');
$writer->begin_work;
is(buy($writer, $ann, 'a4'), 'new', 'a purchase');
is(incremental($writer), '1 1', 'its own transaction refreshes');
$writer->do('SAVEPOINT s');
is(buy($writer, $ann, 'a5'), 'new', 'another one');
is(incremental($writer), '1 1', 'is refreshed');
$writer->do('ROLLBACK TO s');
is(buy($writer, $ann, 'a6'), 'new', 'and one after a rollback');
is(incremental($writer), '1 1', 'too');
$writer->commit;
is(incremental($dbh), '0 0', 'nothing is left');
is(wrong(), '', 'the buckets are those of the journal');
$writer->begin_work;
is(buy($writer, $ann, 'a7'), 'new', 'a purchase that is');
$writer->rollback;
is(incremental($dbh), '0 0', 'rolled back never comes');

# --- two refreshes, and old snapshots ---------------------------------------------

is(buy($dbh, $ann, 'a8'), 'new', 'a purchase');
$writer->begin_work;
is(incremental($writer), '1 1', 'a refresh that is not committed');
my $pid = $other->{pg_pid};
$other->do('SELECT * FROM economy.rfm_refresh_incremental()', { pg_async => DBD::Pg::PG_ASYNC() });
wait_until_blocked($node, 'postgres', $pid);
is(buy($dbh, $ann, 'a9'), 'new', 'purchases of the same user go on meanwhile');
$writer->commit;
$other->pg_result;
is(incremental($dbh), '0 0', 'the second took what came after the first');
is(wrong(), '', 'each purchase once');
foreach my $level ('REPEATABLE READ', 'SERIALIZABLE')
{
	$writer->do("BEGIN ISOLATION LEVEL $level");
	value($writer, 'SELECT count(*) FROM economy.accounts');
	is(buy($dbh, $bob, "old $level"), 'new', 'a purchase after its snapshot');
	is(incremental($dbh), '1 1', 'and a refresh');
	is(try_sql($writer, 'SELECT * FROM economy.rfm_refresh_incremental()'), '40001', "$level: an older snapshot cannot refresh");
	$writer->do('ROLLBACK');
	$writer->do("BEGIN ISOLATION LEVEL $level");
	is(buy($writer, $bob, "own $level"), 'new', 'a purchase');
	is(incremental($writer), '1 1', "$level: a new one can");
	is(try_sql($writer, 'COMMIT'), '', 'and commits');
}
is(wrong(), '', 'each purchase once');

# a full refresh that runs blocks nobody and is not seen
$writer->begin_work;
is(full($writer), '3', 'a full refresh');
is(buy($dbh, $ann, 'a10'), 'new', 'a purchase is not blocked');
is(value($dbh, 'SELECT snapshot_id FROM economy.segment(?)', $ann), '2', 'and the old snapshot is what is seen');
is(value($dbh, 'SELECT max(snapshot_id) FROM economy.rfm_snapshots'), '2', 'with nothing of the new one');
$writer->commit;
is(value($dbh, 'SELECT snapshot_id FROM economy.segment(?)', $ann), '3', 'until its commit');

# --- the event -------------------------------------------------------------------

my $eve = add_user($dbh, 'eve');
my $listener = connect_to($node);
$listener->do('LISTEN profile_update');
is(buy($dbh, $eve, 'e1'), 'new', 'a first purchase');
incremental($dbh);
my $note;
for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
{
	last if ($note = $listener->pg_notifies) && $note->[2] =~ /"subject":"$eve"/;
	select undef, undef, undef, 0.1 unless $note;
}
like($note->[2] // '', qr/"id":"S$eve-1\/segment\/\d+".*"field":"segment","before":"NoPurchase","after":"(New|Medium|Whale)"/, 'a new segment is told');

# --- many at once ------------------------------------------------------------------

foreach my $level ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE')
{
	my @users = map { add_user($dbh, "$level $_") } 1 .. 20;
	my @r = at_once($node, 'postgres', 9, sub {
		my ($n, $s) = @_;
		my %n;
		foreach my $i (1 .. 20)
		{
			if ($n % 3 == 0)
			{
				my $state = try_sql($s, $i % 5 ? 'SELECT * FROM economy.rfm_refresh_incremental()' : 'SELECT * FROM economy.rfm_refresh()');
				$n{$state}++ if $state ne '' && ($state ne '40001' || $level eq 'READ COMMITTED');
			}
			else
			{
				my $user = $users[ ($n * 31 + $i * 7) % @users ];
				for (1 .. 50)
				{
					last if try_sql($s, "SELECT economy.purchase($user, 'gem', '$n-$i')") eq '';
				}
			}
		}
		return join ' ', %n;
	}, "SET default_transaction_isolation = '$level'");
	is_deeply([ grep { ($_->[0] // '') ne '' } @r ], [], "$level: purchases and refreshes at once");
	incremental($dbh);
	is(value($dbh, 'SELECT sum(purchases) FROM economy.rfm_days WHERE user_id = ANY (?)', \@users), 6 * 20, "$level: every purchase once");
	is(wrong(), '', "$level: the buckets are those of the journal");
}

# --- the journal's index is brought up, and finds the same ---------------------------

$dbh->do(q{SELECT count(*) FROM generate_series(1, 4000) n, LATERAL economy.purchase(?::bigint, 'gem', 'many' || n) p}, undef, $bob);
incremental($dbh);
cmp_ok(value($dbh, 'SELECT summarised FROM economy.rfm_state'), '>', 0, 'full ranges of the journal are summarised');
is(buy($dbh, $ann, 'after'), 'new', 'a purchase after that');
is(incremental($dbh), '1 1', 'is found');
$writer->do('BEGIN; LOCK TABLE economy.shop_transactions IN SHARE UPDATE EXCLUSIVE MODE');
$dbh->do(q{SELECT count(*) FROM generate_series(1, 4000) n, LATERAL economy.purchase(?::bigint, 'gem', 'vacuum' || n) p}, undef, $bob);
my $summarised = value($dbh, 'SELECT summarised FROM economy.rfm_state');
is(buy($dbh, $ann, 'vacuum'), 'new', 'while a VACUUM holds the journal');
is(incremental($dbh), '2 2', 'a refresh does not wait for it');
is(value($dbh, 'SELECT summarised FROM economy.rfm_state'), $summarised, 'and has summarised nothing');
$writer->do('ROLLBACK');
is(incremental($dbh), '0 0', 'the next one');
is(value($dbh, q{SELECT summarised > ? AND summarised % 32 = 0 AND summarised <= pg_relation_size('economy.shop_transactions') / 8192 FROM economy.rfm_state}, $summarised), '1', 'goes on from there, to the last full range');
is(wrong(), '', 'each purchase once');
is_clean($node, 'postgres', 'at the end');
$dbh->begin_work;
$dbh->do("DELETE FROM economy.segment_history WHERE user_id = $bob");
$dbh->do("DELETE FROM economy.user_segments WHERE user_id = $bob");
is(value($dbh, q{SELECT string_agg(kind || ' ' || expected, ', ') FROM economy_internal.audit_segments()}), 'parity every purchase of before the last refresh', 'a row that is gone is missed');
$dbh->rollback;

# --- more than fits into memory -------------------------------------------------------

$node->safe_psql('postgres', <<'SQL');
SELECT economy.register('many' || i) FROM generate_series(1, 300) i;
INSERT INTO economy.shop_transactions (user_id, seq, gold_delta, xp_delta, gold, experience_points, created_at, xact, position, key_digest, live, monetary, quantity,
        receipt_signature_version, hash_algo_version, hash, receipt_signature, category, status, product_id, idempotency_key)
SELECT u.user_id, n, 1, 0, n, 0, timestamptz '2026-01-01' + n * interval '7 hours', pg_current_xact_id()::text::bigint,
       (SELECT economy_internal.position_of(pg_current_xact_id()::text::bigint)),
       economy_internal.key_digest('gem', 'n' || n), false, n, 1,
       1, 1, h, h, 'conversion', 'SUCCESS', 'gem', 'n' || n
FROM economy.users u, generate_series(1, 300) n, sha256('h') h WHERE u.external_id LIKE 'many%' ORDER BY n, hashint8(u.user_id);
UPDATE economy.accounts SET seq = 300, gold = 300 WHERE user_id IN (SELECT user_id FROM economy.users WHERE external_id LIKE 'many%');
SQL
$dbh->do(q{SET economy.rfm_memory = '1MB'});
my $files = q{SELECT temp_files FROM pg_stat_database WHERE datname = 'postgres'};
my $before = value($dbh, $files);
is((split ' ', incremental($dbh))[1], '300', '90,000 purchases of 32 bytes in 1 MB');
$dbh->do('RESET economy.rfm_memory');
ok($node->poll_query_until('postgres', "SELECT ($files) > $before"), 'which went to disk');
is(wrong(), '', 'each is counted once, over runs on disk');
$before = value($dbh, $files);
$dbh->do(q{SET economy.rfm_memory = '1MB'});
full($dbh);
$dbh->do('RESET economy.rfm_memory');
ok($node->poll_query_until('postgres', "SELECT ($files) > $before"), 'so does a full refresh');

# --- progress, and a dump elsewhere ---------------------------------------------------

$writer->begin_work;
$writer->do('LOCK TABLE economy.segment_history IN EXCLUSIVE MODE');
$other->do('SELECT * FROM economy.rfm_refresh()', { pg_async => DBD::Pg::PG_ASYNC() });
wait_until_blocked($node, 'postgres', $pid);
like(value($dbh, 'SELECT task FROM economy.progress() LIMIT 1') // '', qr/rfm_refresh/, 'a refresh shows its progress');
$writer->rollback;
$other->pg_result;
is(value($dbh, 'SELECT query FROM pg_stat_activity WHERE pid = ?', $pid), 'SELECT * FROM economy.rfm_refresh()', 'and puts the statement back');
$node->safe_psql('postgres', 'CREATE DATABASE copy');
is($node->safe_psql('postgres', "SELECT state FROM economy.purchase($ann, 'gem', 'before the dump')"), 'new', 'a purchase that no refresh has seen');
my $dump = $node->safe_psql('postgres', 'SELECT 1') && PostgreSQL::Test::Utils::tempdir() . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr('postgres') ], 'a dump');
$node->command_ok([ 'pg_restore', '-d', $node->connstr('copy'), $dump ], 'restored');
is($node->safe_psql('copy', 'SELECT count(*) FROM economy_internal.audit_segments()'), '0', 'the audit of the copy finds nothing');
is($node->safe_psql('copy', 'SELECT users_scored FROM economy.rfm_refresh_incremental()'), '1', 'what waited there is counted');
is($node->safe_psql('copy', "SELECT frequency FROM economy.segment($ann)"), $node->safe_psql('postgres', "SELECT count(*) FROM economy.shop_transactions WHERE user_id = $ann"), 'with all before');
is($node->safe_psql('copy', 'SELECT users_scored, users_changed FROM economy.rfm_refresh_incremental()'), '0|0', 'once');
is($node->safe_psql('copy', 'SELECT count(*) FROM economy_internal.audit_segments()'), '0', 'and right');
is($node->safe_psql('copy', "SELECT state FROM economy.purchase($ann, 'gem', 'copy')"), 'new', 'a purchase there');
is($node->safe_psql('copy', 'SELECT users_scored FROM economy.rfm_refresh_incremental()'), '1', 'is counted');

$dbh->disconnect;
$node->stop;
done_testing();
