# Entries that go into a table of another server, beside clients that call again, through
# a crash and through a dump: none is lost, none has its effect again, all is proved.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('archive');
my $dir = PostgreSQL::Test::Utils::tempdir();
my $dbh = connect_to($node);
my $port = $node->port;
my $host = $node->host;

# who registered and was given something long ago
$dbh->do(q{SET economy.test_clock = '2020-01-01 12:00+00'});
$dbh->do(q{SELECT count(economy.register('u' || n)) FROM generate_series(1, 20) n});
$dbh->do(q{SELECT count(r) FROM economy.grant_rewards(
    (SELECT jsonb_agg(jsonb_build_object('user_id', u.user_id, 'source', 's', 'external_event_id', n::text, 'gold', 1))
     FROM economy.users u, generate_series(1, 30) n)) r});
add_product($dbh, 'medal', price_gold => 0, limit_once => 'true');
$dbh->do(q{SELECT count(economy.purchase(u.user_id, 'medal', 'k')) FROM economy.users u});
add_product($dbh, 'toy', price_gold => 1);
$dbh->do(q{SELECT count(economy.purchase(u.user_id, 'toy', 'k')) FROM economy.users u});
$dbh->do(q{SET economy.test_clock = '2021-01-01 12:00+00'});
my $gold = value($dbh, 'SELECT sum(gold) FROM economy.accounts');
my $whole = value($dbh, q{SELECT md5(string_agg(r::text, ',' ORDER BY user_id, seq)) FROM economy.reward_audit r});

sub together
{
	my ($archive) = @_;

	return value($dbh, qq{SELECT md5(string_agg(r::text, ',' ORDER BY user_id, seq)) FROM (
	    SELECT * FROM economy.reward_audit UNION ALL SELECT * FROM $archive) r});
}

# the other server
$node->safe_psql('postgres', 'CREATE DATABASE far');
my $columns = value($dbh, q{SELECT string_agg(quote_ident(attname) || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum)
    FROM pg_attribute WHERE attrelid = 'economy.reward_audit'::regclass AND attnum > 0});
$node->safe_psql('far', "CREATE TABLE public.rewards ($columns, PRIMARY KEY (user_id, seq))");
$dbh->do('CREATE EXTENSION postgres_fdw');
$dbh->do("CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$host', port '$port', dbname 'far')");
$dbh->do('CREATE USER MAPPING FOR CURRENT_USER SERVER far');
$dbh->do("CREATE FOREIGN TABLE public.far_rewards ($columns) SERVER far OPTIONS (schema_name 'public', table_name 'rewards')");

# beside clients that send everything again and again
my @clients = map {
	my $file = "$dir/again$_.sql";
	my $out = '';
	my $user = value($dbh, 'SELECT user_id FROM economy.users ORDER BY user_id OFFSET ? LIMIT 1', $_);

	append_to_file($file, join("\n", map { "SELECT state || ' ' || code FROM economy.grant_reward($user, 's', '$_', 1, 0);" } (1 .. 30) x 20));
	my $client = IPC::Run::start([ 'psql', '-qXAt', '-d', $node->connstr('postgres'), '-f', $file ], '>', \$out);
	[ $client, \$out ]
} 0, 10, 19;
my ($entries, $more) = (0, 1);
while ($more)
{
	my ($users, $n, $damaged);

	($users, $n, $damaged, $more) = $dbh->selectrow_array(q{SELECT users, entries, damaged, more FROM economy.archive('economy.reward_audit', 'far_rewards', '90 days', 1)});
	$entries += $n;
	die 'damaged' if $damaged;
}
is($entries, 20 * 29, 'all but the last reward of each user are archived');
foreach (@clients)
{
	my ($client, $out) = @$_;

	ok($client->finish, 'a client ends');
	my %answers = map { ($_ => 1) } split /\n/, $$out;
	is(join(', ', grep { !/^(?:reuse OK|refused RESYNC_REQUIRED|in_progress IN_PROGRESS)$/ } sort keys %answers), '', 'no retry was new');
}
is(value($dbh, 'SELECT sum(gold) FROM economy.accounts'), $gold, 'no gold was made');
is(together('far_rewards'), $whole, 'both together are the journal');
is(value($dbh, q{SELECT count(*) FROM economy.verify_archive('economy.reward_audit', 'far_rewards')}), 0, 'the foreign table is proved');
is(value($dbh, q{SELECT count(*) FROM economy.shop_transactions t, economy.verify_receipt(t.user_id, 'P' || t.user_id || '-' || t.seq) v WHERE NOT v.valid}), 0, 'receipts go on');
is_clean($node, 'postgres', 'after the archive');

# a crash before the commit, and after it
$dbh->do(q{SELECT count(economy.grant_reward(u.user_id, 's', 'later', 1, 0)) FROM economy.users u});
$dbh->do(q{SELECT count(economy.grant_reward(u.user_id, 's', 'later 2', 1, 0)) FROM economy.users u});
$whole = value($dbh, q{SELECT md5(string_agg(r::text, ',' ORDER BY user_id, seq)) FROM (SELECT * FROM economy.reward_audit UNION ALL SELECT * FROM far_rewards) r});
$dbh->do('CREATE TABLE near_rewards (LIKE economy.reward_audit)');
foreach my $commits (0, 1)
{
	$dbh->begin_work;
	$dbh->do(q{SET LOCAL economy.test_clock = '2022-01-01 12:00+00'});
	is(value($dbh, q{SELECT entries FROM economy.archive('economy.reward_audit', 'near_rewards', '90 days')}), 40, 'another archive');
	$dbh->commit if $commits;
	$node->stop('immediate');
	eval { $dbh->disconnect };
	$node->start;
	$dbh = connect_to($node);
	is(value($dbh, 'SELECT count(*) FROM near_rewards'), $commits ? 40 : 0, 'a crash ' . ($commits ? 'keeps' : 'undoes') . ' all of it');
	is(together('(SELECT * FROM far_rewards UNION ALL SELECT * FROM near_rewards) a'), $whole, 'nothing is lost or doubled');
	is_clean($node, 'postgres', 'after the crash');
}
$dbh->do('CREATE VIEW all_rewards AS SELECT * FROM far_rewards UNION ALL SELECT * FROM near_rewards');
is(value($dbh, q{SELECT count(*) FROM economy.verify_archive('economy.reward_audit', 'all_rewards')}), 0, 'both tables are proved by a view of them');
is(value($dbh, q{SELECT count(*) FROM economy.verify_archive('economy.reward_audit', 'near_rewards') WHERE kind = 'missing_entry'}), 20, 'and one alone lacks what is in the other');

# an operator: what hangs on his table runs as he
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE op LOGIN;
SELECT economy.grant_access('op', 'operator');
GRANT CREATE ON SCHEMA public TO op;
CREATE TABLE public.op_adjustments (LIKE economy.gold_adjustments);
ALTER TABLE public.op_adjustments ADD COLUMN who text DEFAULT current_user;
ALTER TABLE public.op_adjustments OWNER TO op;
SQL
$dbh->do(q{SET economy.test_clock = '2022-06-01 12:00+00'});
$dbh->do(q{SELECT economy.adjust_gold(user_id, 1, 'k' || n, 'r', 'a') FROM economy.users, generate_series(1, 2) n});
$dbh->do(q{SET economy.test_clock = '2023-01-01 12:00+00'});
$dbh->do('SET ROLE op');
is(value($dbh, q{SELECT entries FROM economy.archive('economy.gold_adjustments', 'public.op_adjustments', '90 days')}), 20, 'an operator archives');
is(value($dbh, q{SELECT string_agg(DISTINCT who, ' ') FROM public.op_adjustments}), 'op', 'as himself');
is(value($dbh, q{SELECT count(*) FROM economy.verify_archive('economy.gold_adjustments', 'public.op_adjustments')}), 0, 'and proves it');
is(try_sql($dbh, q{DELETE FROM economy.archives}), '42501', 'and writes nothing else');
$dbh->do('RESET ROLE');

# what may be bought once stays bought, also where the index forgets what has gone
sub offered
{
	my ($in, $name) = @_;
	my $asked = q{SELECT string_agg(DISTINCT concat_ws(' ', p.code, p.may_buy, p.user_limit_remaining), ', ') FROM economy.users u, economy.%s p WHERE p.product_id = 'medal'};

	is(value($in, sprintf($asked, $_)), 'LIMIT_ONCE f 0', "$name: $_") foreach q{products(u.user_id)}, q{product('medal', u.user_id)};
	is(value($in, q{SELECT string_agg(DISTINCT p.code, ' ') FROM economy.users u, economy.purchase(u.user_id, 'medal', 'another') p}), 'LIMIT_ONCE', "$name: purchase()");
}
$dbh->do('CREATE TABLE near_purchases (LIKE economy.shop_transactions)');
is(value($dbh, q{SELECT entries FROM economy.archive('economy.shop_transactions', 'near_purchases', '90 days')}), 20, 'purchases are archived');
offered($dbh, 'archived');
$dbh->do('VACUUM (INDEX_CLEANUP ON) economy.shop_transactions');
offered($dbh, 'vacuumed');

# a dump
command_ok([ 'pg_dump', '-Fc', '-d', $node->connstr('postgres'), '-f', "$dir/dump" ], 'pg_dump');
$node->safe_psql('template1', 'CREATE DATABASE copy');
command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('copy'), "$dir/dump" ], 'pg_restore');
is_clean($node, 'copy', 'the copy');
my $copy = connect_to($node, 'copy');
offered($copy, 'the copy');
is(value($copy, q{SELECT count(*) FROM economy.verify_archive('economy.reward_audit', 'all_rewards')}), 0, 'the copy proves the archive');
is(value($copy, q{SELECT string_agg(DISTINCT r.code, ' ') FROM economy.users u, economy.grant_reward(u.user_id, 's', '7', 1, 0) r}), 'RESYNC_REQUIRED', 'and knows what had its effect');
$_->disconnect foreach $copy, $dbh;
done_testing();
