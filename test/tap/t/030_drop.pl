# The extension does not go while a journal holds rows (XE102), whoever drops
# it and however; it goes when they are empty, or when the setting says so.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('drop', empty => 1);

$node->safe_psql('postgres', 'CREATE ROLE owner SUPERUSER LOGIN');
$node->safe_psql('postgres', 'SET ROLE owner; CREATE EXTENSION economy');
is(try_sql(connect_to($node), 'DROP EXTENSION economy'), '', 'empty journals do not hold it back');

# A session in a transaction that sees what there is now, whatever comes
sub older_than_now
{
	my ($level) = @_;
	my $dbh = connect_to($node);

	$dbh->do("BEGIN ISOLATION LEVEL $level");
	value($dbh, 'SELECT count(*) FROM pg_class');
	return $dbh;
}

my %fill = (
	purchase => q{SELECT economy.upsert_product('{"product_id": "gift", "category": "conversion", "granted_gold": 0}', 'tester');
		SELECT code FROM economy.purchase(economy.register('ann'), 'gift', 'k')},
	adjustment => q{SELECT code FROM economy.adjust_gold(economy.register('ann'), 1, 'k', 'a test', 'tester')},
	reward => q{SELECT code FROM economy.grant_reward(economy.register('ann'), 'test', 'k', 1)});

foreach my $journal (sort keys %fill)
{
	$node->safe_psql('postgres', 'SET ROLE owner; CREATE EXTENSION economy');
	$node->safe_psql('postgres', $fill{$journal});
	my $before = fingerprint($node);

	foreach my $drop ('DROP EXTENSION economy', 'DROP EXTENSION economy CASCADE', 'DROP OWNED BY owner CASCADE',
		'DROP EXTENSION plpgsql CASCADE')
	{
		my $fresh = connect_to($node);
		is(try_sql($fresh, $drop), 'XE102', "$journal: $drop in a session that never used it");
		is(try_sql($fresh, $drop), 'XE102', "$journal: $drop again");

		my $used = connect_to($node);
		value($used, 'SELECT economy.now()');
		is(try_sql($used, $drop), 'XE102', "$journal: $drop in a session that did");
		is(try_sql($used, "SET session_replication_role = replica; $drop"), 'XE102',
			"$journal: $drop as a replica");
	}
	foreach my $drop ('DROP SCHEMA economy CASCADE', 'DROP TABLE economy.shop_transactions CASCADE',
		'DROP EVENT TRIGGER economy_guard_drop', 'DROP TYPE economy.finding CASCADE')
	{
		isnt(try_sql(connect_to($node), $drop), '', "$journal: $drop");
	}
	is(fingerprint($node), $before, "$journal: nothing was lost");

	my $dbh = connect_to($node);
	$dbh->begin_work;
	$dbh->do('SET LOCAL economy.allow_drop = on');
	$dbh->do('DROP EXTENSION economy');
	$dbh->rollback;
	is(fingerprint($node), $before, "$journal: a drop that is rolled back");
	is(try_sql($dbh, 'DROP EXTENSION economy'), 'XE102', "$journal: and the setting is gone with it");
	is(try_sql($dbh, 'SET economy.allow_drop = on; DROP EXTENSION economy'), '', "$journal: allowed");
	is(value($dbh, q{SELECT count(*) FROM pg_namespace WHERE nspname IN ('economy', 'economy_internal')}),
		0, "$journal: nothing is left");
}

# An entry that commits while the drop waits for its table must still count, as one behind the
# snapshot of whoever drops.
$node->safe_psql('postgres', 'SET ROLE owner; CREATE EXTENSION economy');
my ($buyer, $dropper) = (connect_to($node), connect_to($node));
my $user = value($buyer, 'SELECT economy.register()');
my %older = map { ($_ => older_than_now($_)) } 'REPEATABLE READ', 'SERIALIZABLE';
$buyer->begin_work;
$buyer->do(q{SELECT economy.adjust_gold(?, 1, 'k', 'a test', 'tester')}, undef, $user);
my $pid = value($dropper, 'SELECT pg_backend_pid()');
$dropper->do('DROP EXTENSION economy', { pg_async => DBD::Pg::PG_ASYNC() });
wait_until_blocked($node, 'postgres', $pid);
$buyer->commit;
eval { $dropper->pg_result };
is($dropper->state, 'XE102', 'a drop that waited for the first entry');
foreach my $level (sort keys %older)
{
	is(try_sql($older{$level}, 'DROP EXTENSION economy CASCADE'), 'XE102', "$level: a drop that does not see it");
	$older{$level}->disconnect;
}
is_clean($node, 'postgres', 'after it');

# The same session goes on with a new incarnation of the extension.
$buyer->do('SET economy.allow_drop = on; DROP EXTENSION economy; CREATE EXTENSION economy');
$user = value($buyer, 'SELECT economy.register()');
is(value($buyer, q{SELECT state FROM economy.adjust_gold(?, 1, 'k', 'a test', 'tester')}, $user),
	'new', 'drop, create and use in one session');
is(value($buyer, 'SELECT count(*) FROM economy.installations i JOIN pg_extension e ON e.oid = i.extension'), 1,
	'which is recorded as the installation that it is');
add_product($buyer, 'gift', category => 'conversion', granted_gold => 1);
is(value($buyer, q{SELECT state FROM economy.purchase(?, 'gift', 'k')}, $user), 'new', 'with a purchase');
is_clean($node, 'postgres', 'in the new one');
$_->disconnect foreach $buyer, $dropper;

# Entries in a table below a journal are the journal's, and its name and schema are
# how they are found. Each in a session that never used the extension.
$node->safe_psql('postgres', 'CREATE TABLE public.below () INHERITS (economy.user_actions); CREATE TABLE public.lower () INHERITS (public.below)');
my $refused = sub {
	my ($sql, $name) = @_;
	my $dbh = connect_to($node);
	is(try_sql($dbh, $sql), 'XE102', "$name is refused");
	is(try_sql(connect_to($node), "SET session_replication_role = replica; $sql"), 'XE102', "$name is refused as a replica");
};
is(try_sql(connect_to($node), 'BEGIN; DROP TABLE public.lower; ROLLBACK'), '', 'an empty table below a journal may go');
is(try_sql(connect_to($node), 'BEGIN; ALTER TABLE public.below NO INHERIT economy.user_actions; ROLLBACK'), '', 'or leave it');
%older = map { ($_ => older_than_now('REPEATABLE READ')) } 'DROP TABLE public.lower', 'ALTER TABLE public.lower NO INHERIT public.below';
$node->safe_psql('postgres', q{SELECT economy.register_game('slot'); SELECT economy.record_action(economy.register('ben'), 'slot', 'T', 'a1', 0, 2);
	BEGIN; SET LOCAL session_replication_role = replica; ALTER TABLE economy.user_actions DISABLE TRIGGER ALL;
	WITH gone AS (DELETE FROM ONLY economy.user_actions RETURNING *) INSERT INTO public.lower SELECT * FROM gone;
	COMMIT});
foreach my $sql (sort keys %older)
{
	is(try_sql($older{$sql}, $sql), 'XE102', "$sql by one who does not see the entries");
	$older{$sql}->disconnect;
}
$refused->(@$_) foreach (
	[ 'DROP TABLE public.lower', 'the drop of a table with entries two below a journal' ],
	[ 'DROP TABLE public.below CASCADE', 'that of the one above' ],
	[ 'DROP EXTENSION economy CASCADE', 'that of the extension' ],
	[ 'ALTER TABLE public.lower NO INHERIT public.below', 'its parting' ],
	[ 'ALTER TABLE public.below NO INHERIT economy.user_actions', 'that of the one above' ],
	[ 'ALTER TABLE economy.user_actions RENAME TO old_actions', 'a new name of a journal' ],
	[ 'ALTER TABLE economy.accounts RENAME TO old_accounts', 'or another table' ],
	[ 'ALTER TABLE economy.ledger RENAME TO old_ledger', 'or a view' ],
	[ 'ALTER VIEW economy.ledger RENAME TO old_ledger', 'by its own command' ],
	[ 'ALTER SEQUENCE economy.user_id_seq RENAME TO old_seq', 'or a sequence' ],
	[ 'ALTER TABLE economy.user_actions SET SCHEMA public', 'another schema' ],
	[ 'ALTER SCHEMA economy RENAME TO bank', 'a new name of the schema' ],
	[ 'ALTER SCHEMA economy_internal RENAME TO bank', 'or of the internal one' ]);
is(try_sql(connect_to($node), "BEGIN; $_; ROLLBACK"), '', "$_ is not refused") foreach
	'ALTER TABLE economy.users ADD COLUMN country text', 'ALTER TABLE economy.users RENAME CONSTRAINT users_pkey TO own_pkey',
	'CREATE SCHEMA bank; ALTER SCHEMA bank RENAME TO bench', 'CREATE TABLE economy.mine (); ALTER TABLE economy.mine RENAME TO ours',
	'ALTER TABLE economy.user_actions OWNER TO owner', 'ALTER SCHEMA economy OWNER TO owner',
	'SET LOCAL economy.allow_drop = on; ALTER TABLE economy.user_actions RENAME TO old_actions',
	'CREATE TABLE public.more (LIKE economy.user_actions INCLUDING ALL); INSERT INTO public.more SELECT * FROM public.lower; ALTER TABLE public.more INHERIT economy.user_actions';

# pg_restore --disable-triggers leaves ordinary triggers
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->safe_psql('restored', 'CREATE EXTENSION economy');
my $dump = $node->basedir . '/data_only.dump';
$node->command_ok([ 'pg_dump', '-Fc', '--data-only', '-f', $dump, 'postgres' ], 'a dump of the data');
$node->command_ok([ 'pg_restore', '--data-only', '--disable-triggers', '-d', 'restored', '-t', 'user_actions', $dump ], 'a restore with --disable-triggers');
like($node->safe_psql('restored', 'SELECT expected, actual FROM economy.audit_schema()'), qr/^trigger \w+ of user_actions.*, always\|.*, not always$/m, 'is found');

# Where the extension is not, its names are anybody's, also beside a preloaded library
$node->safe_psql('postgres', 'CREATE DATABASE plain');
my $plain = connect_to($node, 'plain');
is(try_sql($plain, $_), '', "without the extension: $_") foreach q{LOAD 'economy'}, 'CREATE SCHEMA economy', 'CREATE TABLE economy.user_actions AS SELECT 1 AS n',
	'ALTER TABLE economy.user_actions RENAME TO mine', 'ALTER TABLE economy.mine RENAME TO user_actions', 'CREATE TABLE economy.below () INHERITS (economy.user_actions)', 'INSERT INTO economy.below VALUES (2)',
	'ALTER TABLE economy.below NO INHERIT economy.user_actions', 'DROP TABLE economy.below', 'DROP TABLE economy.user_actions', 'ALTER SCHEMA economy RENAME TO bench';
$plain->disconnect;

$node->stop;
done_testing();
