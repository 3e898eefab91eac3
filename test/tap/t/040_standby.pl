# Hot standby: readers answer there as on the primary, writers give 25006.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = new_node('primary', init => { allows_streaming => 1 },
	conf => 'wal_receiver_status_interval = 1s');
my $dbh = connect_to($primary);
my $ann = add_user($dbh, 'ann', 1000);
add_product($dbh, 'potion', price_gold => 100);
add_product($dbh, 'limited', price_gold => 100, stock => 1);
$dbh->do(q{SELECT economy.upsert_draw_table('{"table_id": "chest", "draft": {"hand": {}}}', 'tester'), economy.publish_draw_table('chest', 'tester')});
$dbh->do(q{SELECT economy.upsert_item('{"item_id": "gem", "kind": "currency"}', 'tester')});
$dbh->do(q{SELECT economy.upsert_product('{"product_id": "bundle", "category": "item", "price_gold": 1, "contents": {"gem": 5}}', 'tester')});
my $bundle = value($dbh, q{SELECT transaction_id FROM economy.purchase(?, 'bundle', 'k', 2)}, $ann);
my $first = value($dbh, q{SELECT transaction_id FROM economy.purchase(?, 'potion', 'k')}, $ann);
$dbh->do(q{SELECT economy.set_rate_limit('{"limit_id": "login", "burst": 9, "refill": 1, "period_seconds": 60}', 'tester')});
$dbh->do(q{SELECT economy.upsert_leaderboard('{"board": "xp", "figure": "xp", "period": "all"}', 'tester')});
$dbh->do(q{SELECT economy.publish_mission('{"mission": "won", "trigger": "reward", "target": 1, "gold": 3}', 'tester')});
my $reward = value($dbh, q{SELECT transaction_id FROM economy.grant_reward(?, 'test', 'e', 5, 5, items => '{"gem": 2}')}, $ann);
$dbh->do('SELECT economy.refresh_leaderboards()');

$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
sub catch_up { $primary->wait_for_catchup($standby, 'replay', $primary->lsn('flush')); return }

catch_up();
my $reader = connect_to($standby);
my @readers = (
	"SELECT * FROM economy.account($ann)", "SELECT * FROM economy.statement($ann)",
	"SELECT * FROM economy.products($ann, NULL, NULL, false)", "SELECT * FROM economy.purchases_of($ann)", "SELECT * FROM economy.holdings($ann)", "SELECT * FROM economy.escrows_of($ann)", "SELECT * FROM economy.debts_of($ann)", "SELECT * FROM economy.item_catalogue()", "SELECT * FROM economy.missions($ann)", "SELECT * FROM economy.mission_parity($ann)", "SELECT * FROM economy.leaderboard('xp')", "SELECT * FROM economy.rank_of('xp', $ann, 1)", "SELECT * FROM economy.leaderboard_of('xp', ARRAY[$ann]::bigint[])", 'SELECT * FROM economy.leaderboard_info()', 'SELECT * FROM economy.leaderboard_parity()', "SELECT * FROM economy.draw_table('chest')", "SELECT economy.holds($ann, 'gem')", "SELECT * FROM economy.profile($ann)",
	"SELECT * FROM economy.receipt($ann, '$first')", "SELECT * FROM economy.verify_receipt($ann, '$first')",
	"SELECT * FROM economy.receipt($ann, '$bundle')", "SELECT * FROM economy.verify_receipt($ann, '$bundle')",
	"SELECT * FROM economy.verify_chain($ann)", 'SELECT * FROM economy.audit_sweep()',
	"SELECT economy.user_id_of('ann')", "SELECT * FROM economy.streak_preview($ann)",
	"SELECT economy.level_for(700)", 'SELECT count(*) FROM economy.ledger',
	"SELECT success, state, code, gold_delta, gold, stock_remaining FROM economy.purchase($ann, 'limited', 'new', dry_run => true)",
	"SELECT success, state, code, gold_delta, items, detail FROM economy.purchase($ann, 'bundle', 'new', 3, dry_run => true)",
	"SELECT success, state, code, transaction_id FROM economy.purchase($ann, 'potion', 'k', dry_run => true)");
foreach my $sql (@readers)
{
	my $there = eval { $reader->selectall_arrayref($sql) };
	is_deeply($there, $dbh->selectall_arrayref($sql), $sql) or diag($@);
}
is(value($reader, 'SELECT (economy.verify_receipt(?, ?)).reason', $ann, $first), 'OK', 'the receipt is valid there');

my %writers = (
	purchase => "SELECT economy.purchase($ann, 'potion', 'new')",
	'purchase of items' => "SELECT economy.purchase($ann, 'bundle', 'new')",
	'purchase, a known key' => "SELECT economy.purchase($ann, 'potion', 'k')",
	purchases => "SELECT economy.purchases('{$ann}', '{potion}', '{new}')",
	adjust_gold => "SELECT economy.adjust_gold($ann, 1, 'new', 'a test', 'tester')",
	register => "SELECT economy.register('new')",
	reserve => "SELECT economy.reserve($ann, 'limited', 'new')",
	release_reservation => "SELECT economy.release_reservation($ann, 'new')",
	unfulfilled => q{SELECT economy.unfulfilled('worker')},
	settlement_lease => q{SELECT economy.settlement_lease('worker')},
	settlement_report => q{SELECT economy.settlement_report('00000000-0000-0000-0000-000000000000', 'confirmed', 'worker')},
	resolve_order => q{SELECT economy.resolve_order('00000000-0000-0000-0000-000000000000', 'VOIDED', 'a test', 'tester')},
	fulfil => "SELECT economy.fulfil($ann, 'P1-2', 'worker')",
	hold_escrow => "SELECT economy.hold_escrow($ann, 'new', 1)",
	release_escrow => "SELECT economy.release_escrow($ann, 'H$ann-1')",
	capture_escrow => "SELECT economy.capture_escrow($ann, 'H$ann-1', 2)",
	draw => "SELECT economy.draw($ann, 'chest', 'new', 'x')",
	draw_commit => "SELECT economy.draw_commit($ann)",
	draw_reveal => "SELECT economy.draw_reveal($ann, 1)",
	register_user => "SELECT economy.register_user('new')",
	set_timezone => "SELECT economy.set_timezone($ann, 'Asia/Tokyo')",
	set_user_status => "SELECT economy.set_user_status($ann, 'suspended', 'tester')",
	update_profile => qq{SELECT economy.update_profile($ann, '{"a": 1}', 'new')},
	link_external_id => "SELECT economy.link_external_id($ann, 'new', 'new')",
	unlink_external_id => "SELECT economy.unlink_external_id($ann, 'new')",
	upsert_product => q{SELECT economy.upsert_product('{"product_id": "potion", "price_gold": 1}', 'tester')},
	add_stock => q{SELECT economy.add_stock('limited', 1, 'tester')},
	retire_product => q{SELECT economy.retire_product('potion', 'tester')},
	set_rate_limit => q{SELECT limit_id FROM economy.set_rate_limit('{"limit_id": "login", "burst": 5, "refill": 1, "period_seconds": 60}', 'tester')},
	take_rate => q{SELECT code FROM economy.take_rate('login', 'an address')},
	remove_rate_limit => q{SELECT economy.remove_rate_limit('login', 'tester')},
	set_payment_provider => q{SELECT provider FROM economy.set_payment_provider('{"provider": "bank", "profile": "stripe"}', 'tester')},
	add_payment_secret => q{SELECT economy.add_payment_secret('bank', 'whsec_of_the_test', 'tester')},
	retire_payment_secret => q{SELECT economy.retire_payment_secret('bank', 1, 'tester')},
	rotate_signing_key => 'SELECT economy.rotate_signing_key()',
	retire_signing_key => 'SELECT economy.retire_signing_key(1)',
	grant_reward => "SELECT economy.grant_reward($ann, 'test', 'new', 1)",
	'grant_reward of items' => qq{SELECT economy.grant_reward($ann, 'test', 'new', items => '{"gem": 1}')},
	grant_rewards => "SELECT economy.grant_rewards('{$ann}', '{test}', '{new}')",
	revoke_reward => "SELECT economy.revoke_reward($ann, '$reward', 'a test', 'tester')",
	refund_purchase => "SELECT economy.refund_purchase($ann, 'P$ann-1', 'new', 1, 'a test', 'tester')",
	claim_daily_reward => "SELECT economy.claim_daily_reward($ann)",
	publish_mission => q{SELECT economy.publish_mission('{"mission": "new", "trigger": "action", "target": 1}', 'tester')},
	retire_mission => q{SELECT economy.retire_mission('won', 'tester')},
	claim_mission => "SELECT economy.claim_mission($ann, 'won')",
	claim_all => "SELECT economy.claim_all($ann)",
	seed_demo => 'SELECT economy.seed_demo()');
my $before = fingerprint($primary);
foreach my $name (sort keys %writers)
{
	is(try_sql($reader, $writers{$name}), '25006', "$name on the standby");
	is(try_sql($dbh, "BEGIN READ ONLY; $writers{$name}"), '25006', "$name in a read-only transaction");
	$dbh->do('ROLLBACK');
}
is(try_sql($reader, q{CALL economy.run_job('prune')}), '25006', 'a job on the standby');
is(fingerprint($primary), $before, 'nothing was written');

# what an operator sees there, and when one is left behind
sub health { my ($session, $item) = @_; return value($session, q{SELECT state || ': ' || detail || coalesce(' (' || hint || ')', '') FROM economy.health() WHERE item = ?}, $item) }
is(value($reader, q{SELECT string_agg(item || ' ' || detail, ', ') FROM economy.health() WHERE state = 'bad'}), undef, 'health() answers on a standby');
is(value($reader, 'SELECT count(*) FROM economy.health()'), value($dbh, 'SELECT count(*) FROM economy.health()'), 'with all its rows');
value($reader, q{SELECT FROM pg_create_physical_replication_slot('there', true)});
like(health($reader, 'replication slots'), qr/^warn: 1 not in use, such as there, \d+ \w+ of WAL kept \(Let its standby/, 'also about a slot of the standby');
value($reader, q{SELECT FROM pg_drop_replication_slot('there')});
like(health($dbh, 'replication slots'), qr/^ok: 0 not in use/, 'no slot');
value($dbh, q{SELECT FROM pg_create_physical_replication_slot('left', true)});
like(health($dbh, 'replication slots'), qr/^warn: 1 not in use, such as left, \d+ \w+ of WAL kept \(Let its standby/, 'a slot that nobody uses');
$primary->append_conf('postgresql.conf', "max_slot_wal_keep_size = 1MB");
$primary->reload;
foreach (1 .. 3)
{
	$primary->safe_psql('postgres', 'SELECT pg_logical_emit_message(true, chr(65), chr(65)), pg_switch_wal()');
	catch_up();
	$primary->safe_psql('postgres', 'CHECKPOINT');
}
like(health($dbh, 'replication slots'), qr/^bad: 1 not in use, such as left, without its WAL: left \(pg_drop_replication_slot/, 'one whose WAL is gone');
value($dbh, q{SELECT FROM pg_drop_replication_slot('left')});

# What the session on the standby remembers follows the primary.
$dbh->do('SELECT economy.rotate_signing_key()');
my $second = value($dbh, q{SELECT transaction_id FROM economy.purchase(?, 'limited', 'k2')}, $ann);
$dbh->do('ALTER TABLE economy.shop_transactions ADD COLUMN note text');
my $third = value($dbh, q{SELECT transaction_id FROM economy.purchase(?, 'potion', 'k3')}, $ann);
catch_up();
foreach my $id ($first, $second, $third)
{
	is(value($reader, 'SELECT (economy.verify_receipt(?, ?)).reason', $ann, $id), 'OK', "receipt $id in the old session");
}
is(value($reader, q{SELECT code FROM economy.purchase(?, 'limited', 'k4', dry_run => true)}, $ann), 'SOLD_OUT',
	'stock is seen to be gone');
$dbh->do('SELECT economy.retire_signing_key(1)');
catch_up();
is(value($reader, 'SELECT (economy.verify_receipt(?, ?)).reason', $ann, $first), 'KEY_RETIRED', 'a retired key is forgotten there too');
is(value($reader, 'SELECT (economy.verify_receipt(?, ?)).reason', $ann, $second), 'OK', 'the other is not');

# The standby takes over.
$dbh->disconnect;
$primary->stop('immediate');
$standby->promote;
is(value($reader, q{SELECT state FROM economy.purchase(?, 'potion', 'k')}, $ann), 'reuse', 'promoted: old keys are known');
is(value($reader, q{SELECT state FROM economy.purchase(?, 'potion', 'k5')}, $ann), 'new', 'promoted: purchases work');
is($standby->safe_psql('postgres', 'SELECT * FROM economy.audit_sweep()'), '', 'promoted: no finding');
$reader->disconnect;

$standby->stop;
done_testing();
