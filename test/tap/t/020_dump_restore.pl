# pg_dump and a restore into an empty cluster: the same ledger, receipts that
# verify, a working extension, and nothing counted twice.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $old = new_node('old');
my $new = new_node('new', empty => 1);
my $dir = PostgreSQL::Test::Utils::tempdir();

my $dbh = connect_to($old);
$dbh->do('SELECT * FROM economy.seed_demo()');
my ($alice, $bob, $carol) = map { value($dbh, 'SELECT economy.user_id_of(?)', $_) } qw(alice bob carol);
sub buy { return row($_[0], 'SELECT * FROM economy.purchase(?, ?, ?, ?)', @_[ 1 .. 4 ]) }
is(buy($dbh, $alice, 'gold_550', "a$_", 1)->{state}, 'new', "purchase a$_") foreach 1 .. 3;
is(buy($dbh, $bob, 'founder_pack', 'b1', 1)->{state}, 'new', 'a limited product');
$dbh->do('SELECT economy.rotate_signing_key()');
is(buy($dbh, $carol, 'potion', 'c1', 2)->{state}, 'new', 'a purchase with another key');
$dbh->do(q{SELECT economy.grant_reward(?, 'test', 'e1', 70, 700, '{"a": 1}')}, undef, $alice);
$dbh->do('SELECT economy.claim_daily_reward(?)', undef, $bob);
$dbh->do(q{SELECT economy.unlink_external_id(?, 'u')}, undef, $carol);
$dbh->do(q{SELECT economy.link_external_id(?, 'carol2', 'l')}, undef, $carol);
$dbh->do(q{SELECT economy.update_profile(?, '{"\u20ac": "\u00e9"}', 'p')}, undef, $carol);
$dbh->do(q{SELECT economy.set_user_status(?, 'suspended', 'tester')}, undef, $carol);
$dbh->do(q{SELECT economy.set_level_curve('steep', '{0,100,1000}')});
$dbh->disconnect;
is_clean($old, 'postgres', 'before the dump');

my $before = fingerprint($old);
my $ledger = 'SELECT * FROM economy.ledger ORDER BY user_id, seq';

sub check_copy
{
	my ($database, $name) = @_;
	my $session = connect_to($new, $database);

	is(fingerprint($new, $database), $before, "$name: every row of every table");
	is($new->safe_psql($database, $ledger), $old->safe_psql('postgres', $ledger), "$name: the ledger");
	is_clean($new, $database, $name);

	my $again = buy($session, $bob, 'founder_pack', 'b1', 1);
	is("$again->{state} $again->{transaction_id}", "reuse P$bob-2", "$name: old keys are known");
	is(buy($session, $carol, 'potion', 'c2', 1)->{code}, 'USER_SUSPENDED', "$name: status is kept");
	is(value($session, q{SELECT state FROM economy.link_external_id(?, 'carol2', 'l')}, $carol), 'reuse', "$name: keys of changes are known");
	is(buy($session, $bob, 'founder_pack', 'b2', 1)->{stock_remaining}, 0, "$name: stock goes on");
	is(buy($session, $alice, 'founder_pack', 'a9', 1)->{code}, 'SOLD_OUT', "$name: and ends where it should");
	is(value($session, 'SELECT code FROM economy.claim_daily_reward(?)', $bob),
		'ALREADY_CLAIMED', "$name: the claim is known");
	my $newest = value($session, 'SELECT max(user_id) FROM economy.users');
	cmp_ok(add_user($session, 'erin', 500), '>', $newest, "$name: user ids continue");
	add_product($session, 'map', price_gold => 5, stock => 3);
	$session->do(q{SELECT economy.set_user_status(?, 'active', 'tester')}, undef, $carol);
	is(buy($session, $carol, 'map', 'c3', 1)->{state}, 'new', "$name: new products sell");
	is(value($session, 'SELECT economy.rotate_signing_key()'), 3, "$name: key versions continue");
	is(buy($session, $carol, 'map', 'c4', 1)->{state}, 'new', "$name: and sign");
	is(try_sql($session, 'DELETE FROM economy.shop_transactions'), 'XE101', "$name: journals are append-only");
	is(try_sql($session, 'DROP EXTENSION economy'), 'XE102', "$name: and guarded");
	is_clean($new, $database, "$name, after use");
	$session->disconnect;
	return;
}

command_ok([ 'pg_dump', '-d', $old->connstr('postgres'), '-f', "$dir/plain.sql" ], 'pg_dump, plain');
$new->safe_psql('template1', 'CREATE DATABASE plain');
command_ok([ 'psql', '-qX', '-v', 'ON_ERROR_STOP=1', '-d', $new->connstr('plain'), '-f', "$dir/plain.sql" ],
	'restore with psql');
check_copy('plain', 'plain');

command_ok([ 'pg_dump', '-Fc', '-d', $old->connstr('postgres'), '-f', "$dir/custom" ], 'pg_dump, custom');
$new->safe_psql('template1', 'CREATE DATABASE parallel');
command_ok([ 'pg_restore', '--exit-on-error', '--jobs=4', '-d', $new->connstr('parallel'), "$dir/custom" ],
	'pg_restore --jobs=4');
check_copy('parallel', 'parallel');

command_ok([ 'pg_dump', '-Fd', '--jobs=2', '-d', $old->connstr('postgres'), '-f', "$dir/directory" ],
	'pg_dump, directory, --jobs=2');
$new->safe_psql('template1', 'CREATE DATABASE directory');
command_ok([ 'pg_restore', '--exit-on-error', '--single-transaction', '-d', $new->connstr('directory'), "$dir/directory" ],
	'pg_restore --single-transaction');
check_copy('directory', 'directory');

is(fingerprint($old), $before, 'the source is as it was');
$_->stop foreach $old, $new;
done_testing();
