# Journals as hash partitions by user (economy.journal_partitions): the direct way to the
# user's own partition, the guards on each, a dump into the same and into another layout,
# and what a DBA does to one partition beside a call.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my @journals = qw(gold_adjustments reward_audit shop_transactions user_actions user_changes holding_changes shop_refunds);
my $node = new_node('spread', empty => 1, init => { allows_streaming => 'logical' }, conf => <<'CONF');
shared_preload_libraries = economy
autovacuum = off
CONF
my $dir = PostgreSQL::Test::Utils::tempdir();

# A database with so many partitions; 0: none.
sub database_of
{
	my ($name, $parts) = @_;
	$node->safe_psql('template1', "CREATE DATABASE $name");
	$node->safe_psql('template1', "ALTER DATABASE $name SET economy.journal_partitions = $parts") if $parts;
	return $name;
}

database_of('four', 4);
like(($node->psql('four', 'SET economy.journal_partitions = 1; CREATE EXTENSION economy'))[2], qr/invalid value for parameter "economy.journal_partitions"/, 'one partition is none')
  if $node->safe_psql('four', 'CREATE EXTENSION economy; SELECT 1');
my $dbh = connect_to($node, 'four');
my ($ann, $bob, $eve) = map { add_user($dbh, $_, 1000) } qw(ann bob eve);
my %home;

add_product($dbh, 'potion', price_gold => 1);
add_product($dbh, 'crown', price_gold => 1, limit_once => 'true');
add_product($dbh, 'flash', price_gold => 1, stock => 100);
$dbh->do(q{SELECT economy.register_game('slot')});

sub buy { return row($_[0], 'SELECT * FROM economy.purchase(?, ?, ?)', @_[ 1 .. 3 ]) }
sub part { return value($dbh, "SELECT tableoid::regclass FROM economy.$_[0] WHERE user_id = ?", $_[1]) }

# where they live
foreach my $journal (@journals)
{
	is(value($dbh, q{SELECT count(*) FROM pg_inherits WHERE inhparent = ?::regclass}, "economy.$journal"), 4, "$journal has four");
	is(value($dbh, q{SELECT count(*) FROM pg_extension e, unnest(e.extconfig) c WHERE e.extname = 'economy' AND c::regclass::text ~ ?}, "economy_internal.${journal}_p[0-3]\$"), 4, 'all in dumps');
}
is($node->safe_psql('four', 'SELECT * FROM economy.audit_schema()'), '', 'nothing else than was installed');

# every way in: alone, in batches of many users, and again
my $users = $dbh->selectcol_arrayref(q{SELECT economy.register('user ' || i) FROM generate_series(1, 40) i});
is(value($dbh, q{SELECT count(*) FROM economy.grant_rewards((SELECT jsonb_agg(jsonb_build_object('user_id', u, 'source', 'quest', 'external_event_id', 'e', 'gold', 50)) FROM unnest(?::bigint[]) u)) r WHERE r.state = 'new'}, $users), 40, 'a batch of rewards');
is(value($dbh, q{SELECT count(*) FROM economy.purchases((SELECT jsonb_agg(jsonb_build_object('user_id', u, 'product_id', 'flash', 'idempotency_key', 'k')) FROM unnest(?::bigint[]) u)) r WHERE r.state = ?}, $users, $_), 40, "a batch of purchases, $_") foreach qw(new reuse);
is(value($dbh, q{SELECT count(*) FROM economy.record_actions((SELECT jsonb_agg(jsonb_build_object('user_id', u, 'game', 'slot', 'action_type', 'SPIN', 'action_id', 'a' || i, 'bet', 1, 'win', 2)) FROM unnest(?::bigint[]) u, generate_series(1, 5) i)) r WHERE r.state = 'new'}, $users), 200, 'a batch of actions');
is(value($dbh, q{SELECT count(DISTINCT tableoid) FROM economy.shop_transactions}), 4, 'they lie in all partitions');
is(buy($dbh, $ann, 'potion', $_)->{state}, 'new', "a purchase, $_") foreach 'a', 'b';
is(buy($dbh, $ann, 'potion', 'a')->{state}, 'reuse', 'and its retry');
is(value($dbh, q{SELECT count(*) FROM economy.replay(?, 0)}, $ann), value($dbh, q{SELECT count(*) FROM economy.statement(?, 0)}, $ann) + 1, 'a replay');
is_clean($node, 'four', 'used');

# direct, and the one partition alone: SQL would lock the indexes of the parent too
my $locks = q{SELECT string_agg(c.relname, ' ' ORDER BY c.relname) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation WHERE l.pid = pg_backend_pid() AND c.relname ~ '^(shop_transactions|reward_audit)'};
$dbh->begin_work;
buy($dbh, $ann, 'potion', 'c');
my $home = part('shop_transactions', $ann) =~ s/.*\.//r;
$dbh->rollback;
$dbh->begin_work;
buy($dbh, $ann, 'potion', 'c');
is(value($dbh, $locks), join(' ', 'shop_transactions', $home, "${home}_pkey", "${home}_position_idx", "${home}_user_id_key_digest_idx"), 'a call locks its own partition and the parent');
$dbh->rollback;
$dbh->do('SET economy.row_access = sql');
$dbh->begin_work;
buy($dbh, $ann, 'potion', 'c');
is(value($dbh, q{SELECT count(DISTINCT i.inhrelid) FROM pg_locks l JOIN pg_inherits i ON i.inhrelid = l.relation AND i.inhparent = 'economy.shop_transactions'::regclass WHERE l.pid = pg_backend_pid()}), 1, 'so by SQL');
$dbh->rollback;
$dbh->do('RESET economy.row_access');

# user code on the parent, or on one partition, runs
$dbh->do(q{CREATE TABLE seen (n bigint); CREATE FUNCTION seen() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.seen SELECT count(*) FROM public.seen; RETURN NULL; END $$});
foreach my $on ([ 'economy.shop_transactions', 'ROW' ], [ 'economy.shop_transactions', 'STATEMENT' ], [ "economy_internal.$home", 'ROW' ])
{
	$dbh->do('TRUNCATE seen');
	$dbh->do("CREATE TRIGGER seen AFTER INSERT ON $on->[0] FOR EACH $on->[1] EXECUTE FUNCTION seen()");
	is(buy($dbh, $ann, 'potion', "seen @$on")->{state}, 'new', "a trigger for each $on->[1] on $on->[0]");
	is(value($dbh, 'SELECT count(*) FROM seen'), 1, 'runs');
	is(value($dbh, q{SELECT count(*) FROM economy.purchases((SELECT jsonb_agg(jsonb_build_object('user_id', u, 'product_id', 'flash', 'idempotency_key', ?::text)) FROM unnest(?::bigint[]) u)) r WHERE r.state = 'new'}, "seen @$on", [ $ann, $bob ]), 2, 'in a batch');
	cmp_ok(value($dbh, 'SELECT count(*) FROM seen'), '>', 1, 'too');
	$dbh->do("DROP TRIGGER seen ON $on->[0]");
}
is_clean($node, 'four', 'after triggers');

# what a call that fails in a savepoint had open goes with the savepoint
$dbh->do(q{ALTER TABLE economy.reward_audit ADD CONSTRAINT unwanted CHECK (source <> 'unwanted')});
$dbh->do(q{CREATE FUNCTION fail(u bigint, n integer) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN
FOR i IN 1 .. n LOOP BEGIN PERFORM economy.grant_reward(u, 'unwanted', 'e', 1); EXCEPTION WHEN check_violation THEN CONTINUE; END; RAISE 'granted'; END LOOP;
RETURN (SELECT sum(used_bytes) FROM pg_backend_memory_contexts WHERE name = 'TopTransactionContext'); END $$});
$dbh->begin_work;
is(value($dbh, 'SELECT fail(?, 2000)', $ann), value($dbh, 'SELECT fail(?, 10)', $ann), 'failing calls in savepoints keep no memory');
$dbh->rollback;
$dbh->do('ALTER TABLE economy.reward_audit DROP CONSTRAINT unwanted; DROP FUNCTION fail');

# guards
my $rows = "economy_internal.$home";
my ($empty) = @{ $dbh->selectcol_arrayref(q{SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'economy.user_changes'::regclass}) };
is(try_sql($dbh, $_->[0]), $_->[1], $_->[0]) foreach [ "DELETE FROM $rows", 'XE101' ], [ "UPDATE $rows SET gold = 0", 'XE101' ], [ "TRUNCATE $rows", 'XE101' ], [ 'TRUNCATE economy.shop_transactions', 'XE101' ], [ 'DELETE FROM economy.shop_transactions', 'XE101' ],
  [ "ALTER TABLE economy.shop_transactions DETACH PARTITION $rows", 'XE102' ], [ "ALTER TABLE economy.user_changes DETACH PARTITION $empty", 'XE102' ], [ "ALTER TABLE economy.user_changes DETACH PARTITION $empty CONCURRENTLY", 'XE102' ],
  [ "DROP TABLE $rows", '2BP01' ], [ "ALTER TABLE $rows RENAME TO p", 'XE102' ], [ "ALTER TABLE $rows SET SCHEMA public", 'XE102' ], [ 'DROP EXTENSION economy CASCADE', 'XE102' ], [ "SET session_replication_role = replica; DELETE FROM $rows", 'XE101' ], [ 'SET session_replication_role = replica; DROP EXTENSION economy CASCADE', 'XE102' ];
$dbh->do('RESET session_replication_role');
$dbh->begin_work;
$dbh->do("ALTER TABLE $rows DISABLE TRIGGER ALL");
like(value($dbh, q{SELECT string_agg(expected, ' ') FROM economy.audit_schema()}), qr/table \Q$rows\E: guarded/, 'a partition without its guard is a finding');
$dbh->rollback;
$dbh->begin_work;
$dbh->do('SET LOCAL economy.allow_drop = on');
$dbh->do("ALTER TABLE economy.shop_transactions DETACH PARTITION $rows");
like(value($dbh, q{SELECT string_agg(expected || ': ' || actual, ' ') FROM economy.audit_schema()}), qr/partition \Q$rows\E of economy.shop_transactions.*: none/, 'one that is detached, too');
is(try_sql($dbh, "SELECT economy.purchase($ann, 'potion', 'gone')"), 'XE105', 'and its users buy nothing');
$dbh->rollback;
is(buy($dbh, $ann, 'potion', 'back')->{state}, 'new', 'until it is back');

# a rewrite of the partition, or of all, beside a call
foreach my $what ("CLUSTER $rows USING ${home}_pkey", q{ALTER TABLE economy.shop_transactions ADD COLUMN z text DEFAULT random()::text}, "ALTER TABLE $rows SET TABLESPACE pg_default; CLUSTER $rows USING ${home}_user_id_key_digest_idx")
{
	my $dba = connect_to($node, 'four');
	my $level = 'read committed';

	buy($dbh, $ann, 'crown', 'first');
	foreach my $level ('read committed', 'repeatable read')
	{
		$dba->begin_work;
		$dba->do($what);
		my ($pid, $answer) = waiting(sub { my $s = shift; $s->do("SET default_transaction_isolation = '$level'"); return eval { buy($s, $ann, 'crown', "second $level")->{code} } // $s->state });
		wait_until_blocked($node, 'four', $pid);
		$dba->commit;
		is($answer->(), $level eq 'read committed' ? 'LIMIT_ONCE' : '40001', "$what, $level");
		$dba->do('ALTER TABLE economy.shop_transactions DROP COLUMN z') if $what =~ /ADD COLUMN/;
	}
	$dba->disconnect;
}
is_clean($node, 'four', 'rewritten');

# A session that will wait: its pid, and what it answers.
sub waiting
{
	my ($code) = @_;
	pipe(my $reader, my $writer) or die "pipe: $!";
	my $child = fork() // die "fork: $!";

	if ($child == 0)
	{
		my $s = connect_to($node, 'four');
		$writer->autoflush(1);
		print $writer value($s, 'SELECT pg_backend_pid()'), "\n";
		print $writer $code->($s) // '', "\n";
		POSIX::_exit(0);
	}
	chomp(my $pid = <$reader>);
	return ($pid, sub { chomp(my $line = <$reader>); waitpid $child, 0; return $line });
}

# the feed
is(value($dbh, q{SELECT count(*) FROM economy.changes('start', 10000) WHERE type = 'purchase_update'}), value($dbh, q{SELECT count(*) FROM economy.shop_transactions}), 'the feed has all of them');

# a job leaves the range that is being filled without a summary, which a writer would keep
is(value($dbh, q{SELECT count(*) FROM economy.record_actions((SELECT jsonb_agg(jsonb_build_object('user_id', ?::bigint, 'game', 'slot', 'action_type', 'SPIN', 'action_id', 's' || i, 'bet', 0, 'win', 0)) FROM generate_series(1, 3000) i)) r WHERE r.state = 'new'}, $ann), 3000, 'many actions');
my $actions = part('user_actions', $ann);
cmp_ok(value($dbh, q{SELECT pg_relation_size(?::regclass) / current_setting('block_size')::integer}, $actions), '>', 32, 'more than one range');
$dbh->do('SELECT FROM economy.rollup_stats()');
is(value($dbh, q{SELECT brin_summarize_new_values((? || '_position_idx')::regclass)}, $actions), 1, 'the last one has no summary');

# dumps
my $ledger = 'SELECT * FROM economy.ledger ORDER BY user_id, seq';
command_ok([ 'pg_dump', '-Fc', '-d', $node->connstr('four'), '-f', "$dir/parts" ], 'a dump');
command_ok([ 'pg_dump', '-Fc', '--load-via-partition-root', '-d', $node->connstr('four'), '-f', "$dir/root" ], 'one by the parents');
foreach my $to ([ 'again', 4, 'parts' ], [ 'plain', 0, 'root' ], [ 'eight', 8, 'root' ])
{
	my ($name, $parts, $dump) = @$to;
	database_of($name, $parts);
	command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr($name), "$dir/$dump" ], "restored: $name");
	is($node->safe_psql($name, $ledger), $node->safe_psql('four', $ledger), 'the ledger');
	is_clean($node, $name, $name);
	my $s = connect_to($node, $name);
	is(buy($s, $ann, 'potion', 'a')->{state}, 'reuse', 'old keys are known');
	is(buy($s, $ann, 'potion', 'z')->{state}, 'new', 'new ones are not');
	is(try_sql($s, 'TRUNCATE economy.shop_transactions'), 'XE101', 'it is guarded');
	is_clean($node, $name, "$name, after use");
	$s->disconnect;
}
database_of('wrong' . ($_ || 'plain'), $_), command_fails([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('wrong' . ($_ || 'plain')), "$dir/parts" ], "a dump of four is none for $_") foreach 0, 2, 8;

# a publication by the parents fills a database of another layout
$node->safe_psql('four', 'CREATE PUBLICATION spread FOR TABLES IN SCHEMA economy, economy_internal WITH (publish_via_partition_root)');
$node->safe_psql('four', q{SELECT pg_create_logical_replication_slot('spread', 'pgoutput')});
database_of('reader', 0);
$node->safe_psql('reader', 'CREATE EXTENSION economy');
my @filled = split /\n/, $node->safe_psql('reader', <<'SQL');
SELECT oid::regclass FROM pg_class WHERE relnamespace IN ('economy'::regnamespace, 'economy_internal'::regnamespace) AND relkind = 'r'
AND (xpath('/row/n/text()', query_to_xml(format('SELECT count(*) AS n FROM %s', oid::regclass), false, true, '')))[1]::text::bigint > 0
SQL
$node->safe_psql('reader', "SET session_replication_role = replica; TRUNCATE " . join(', ', @filled));
my $connection = $node->connstr('four') =~ tr{'}{}dr;
$node->safe_psql('reader', "CREATE SUBSCRIPTION spread CONNECTION '$connection' PUBLICATION spread WITH (create_slot = false, slot_name = 'spread')");
$node->wait_for_subscription_sync($node, 'spread', 'reader');
is(buy($dbh, $bob, 'potion', 'published')->{state}, 'new', 'a purchase is published');
$node->wait_for_catchup('spread');
is($node->safe_psql('reader', $ledger), $node->safe_psql('four', $ledger), 'the subscriber has the ledger in plain tables');
is($node->safe_psql('reader', 'SELECT v FROM economy.users u, economy.verify_chain(u.user_id) v'), '', 'and it verifies');
$node->safe_psql('reader', 'DROP SUBSCRIPTION spread');

$dbh->disconnect;
$node->stop;
done_testing();
