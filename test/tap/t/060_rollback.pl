# ROLLBACK, ROLLBACK TO SAVEPOINT and PL/pgSQL exception blocks around every
# function that writes: nothing stays behind, and the key is free again.  And
# the first signing key of a database, made in a transaction that fails.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('rollback', empty => 1);
# what a session remembers must survive a rollback too, so one does it all
my $database = fresh_database($node);
my $dbh = connect_to($node, $database);
my $ann = add_user($dbh, 'ann', 100_000);
my $bob = add_user($dbh, 'bob', 100);
add_product($dbh, 'potion', price_gold => 10);
add_product($dbh, 'capped', price_gold => 10, per_user_limit => 1);
add_product($dbh, 'limited', price_gold => 10, stock => 6, slots => 2);
$dbh->do('SELECT economy.rotate_signing_key()');
my $reward = value($dbh, q{SELECT transaction_id FROM economy.grant_reward(?, 'test', 'first', 50, 50)}, $ann);

sub escrow_of { my ($key) = @_; return "(SELECT 'H$ann-' || seq FROM economy.holding_changes WHERE user_id = $ann AND operation = 'escrow_hold' AND idempotency_key = '$key')" }

my @calls = (
	[ 'purchase', "SELECT state FROM economy.purchase($ann, 'potion', 'k')", 'new' ],
	[ 'purchase under a cap', "SELECT state FROM economy.purchase($ann, 'capped', 'k')", 'new' ],
	[ 'purchase of the last units', "SELECT state FROM economy.purchase($ann, 'limited', 'k', 6)", 'new' ],
	[ 'purchases', "SELECT string_agg(state, ' ') FROM economy.purchases('{$ann,$ann}', '{potion,potion}', '{batch,batch2}', '{1,2}')", 'new new' ],
	[ 'adjust_gold', "SELECT state FROM economy.adjust_gold($ann, 5, 'k', 'a test', 'tester')", 'new' ],
	[ 'grant_reward', "SELECT state FROM economy.grant_reward($ann, 'test', 'k', 5, 5)", 'new' ],
	[ 'grant_rewards', qq{SELECT state FROM economy.grant_rewards('[{"user_id": $ann, "source": "test", "external_event_id": "batch", "gold": 1}]')}, 'new' ],
	[ 'grant_rewards, arrays', "SELECT string_agg(state, ' ') FROM economy.grant_rewards('{$ann,$ann}', '{test,test}', '{batch2,batch3}', '{1,2}')", 'new new' ],
	[ 'revoke_reward', "SELECT state FROM economy.revoke_reward($ann, '$reward', 'a test', 'tester')", 'new' ],
	[ 'refund_purchase', "SELECT state FROM economy.refund_purchase($ann, (SELECT 'P$ann-' || min(seq) FROM economy.shop_transactions WHERE user_id = $ann AND product_id = 'limited'), 'k', 1, 'a test', 'tester', 'refuse', false)", 'new' ],
	[ 'claim_daily_reward', "SELECT code FROM economy.claim_daily_reward($ann)", 'CLAIMED' ],
	[ 'set_streak', qq{SELECT state FROM economy.set_streak($ann, 7, '2020-01-01', 'a test', 'tester', 'k')}, 'new' ],
	[ 'upsert_item', q{SELECT maximum FROM economy.upsert_item('{"item_id": "gem", "kind": "currency", "maximum": 9, "tradable": true}', 'tester')}, 9 ],
	[ 'upsert_item that is kept', q{SELECT maximum FROM economy.upsert_item('{"item_id": "key", "kind": "stack", "consumable": false, "maximum": 20}', 'tester')}, 20 ],
	[ 'upsert_leaderboard', q{SELECT board FROM economy.upsert_leaderboard('{"board": "wins", "figure": "wins", "period": "day"}', 'tester')}, 'wins' ],
	[ 'grant_items', qq{SELECT state FROM economy.grant_items($ann, '{"gem": 7}', 'r', 'k')}, 'new' ],
	[ 'consume', "SELECT state FROM economy.consume($ann, 'gem', 'k')", 'new' ],
	[ 'spend', qq{SELECT state FROM economy.spend($ann, 1, 'r', 'k', '{"gem": 1}')}, 'new' ],
	[ 'spend gold', "SELECT state FROM economy.spend($ann, 1, 'r', 'k2')", 'new' ],
	[ 'upsert_product of items', q{SELECT contents::text || price_items::text FROM economy.upsert_product('{"product_id": "bundle", "category": "item", "price_gold": 1, "contents": {"key": 2}, "price_items": {"gem": 1}}', 'tester')}, '{"key": 2}{"gem": 1}' ],
	[ 'purchase of items', "SELECT state FROM economy.purchase($ann, 'bundle', 'k')", 'new' ],
	[ 'purchases of items', "SELECT string_agg(state, ' ') FROM economy.purchases('{$ann,$ann}', '{bundle,potion}', '{items,items}')", 'new new' ],
	[ 'grant_reward of items', qq{SELECT state FROM economy.grant_reward($ann, 'test', 'items', items => '{"key": 3, "gem": 1}')}, 'new' ],
	[ 'grant_rewards of items', qq{SELECT state FROM economy.grant_rewards('{$ann}', '{test}', '{items2}', items => ARRAY['{"key": 1}'::jsonb])}, 'new' ],
	[ 'revoke_reward of items', "SELECT state FROM economy.revoke_reward($ann, (SELECT 'R$ann-' || seq FROM economy.reward_audit WHERE user_id = $ann AND external_event_id = 'items'), 'a test', 'tester')", 'new' ],
	[ 'upsert_draw_table', q{SELECT version FROM economy.upsert_draw_table('{"table_id": "chest", "draft": {"price": {"items": {"gem": 1}}, "pity": {"class": "a", "after": 1}, "entries": [{"entry": "a", "class": "a", "weight": 9007199254740991, "gold": 3, "limit": 1, "else": "b"}, {"entry": "b", "weight": 1}]}}', 'tester')}, 0 ],
	[ 'publish_draw_table', q{SELECT version FROM economy.publish_draw_table('chest', 'tester')}, 1 ],
	[ 'draw_commit', "SELECT state FROM economy.draw_commit($ann)", 'new' ],
	[ 'draw', "SELECT state FROM economy.draw($ann, 'chest', 'k', 'x')", 'new' ],
	[ 'draw_reveal', "SELECT state FROM economy.draw_reveal($ann, 1)", 'new' ],
	[ 'upsert_product, fulfilment', q{SELECT price_gold FROM economy.upsert_product('{"product_id": "letter", "category": "item", "price_gold": 1, "fulfilment": true}', 'tester')}, 1 ],
	[ 'purchase, fulfilment', "SELECT state FROM economy.purchase($ann, 'letter', 'k')", 'new' ],
	[ 'unfulfilled', q{SELECT count(*) FROM economy.unfulfilled('tester')}, 1 ],
	[ 'fulfil', "SELECT state FROM economy.fulfilments f, economy.fulfil(f.user_id, 'P' || f.user_id || '-' || f.seq, 'tester') WHERE f.user_id = $ann", 'new' ],
	[ 'set_daily_rewards', q{SELECT economy.set_daily_rewards('[{"gold": 7}]', 'tester')}, 1 ],
	[ 'publish_mission', q{SELECT version > 0 FROM economy.publish_mission('{"mission": "won", "trigger": "reward", "target": 1, "gold": 3}', 'tester')}, 1 ],
	[ 'publish_mission, another', q{SELECT version > 0 FROM economy.publish_mission('{"mission": "won2", "trigger": "reward", "target": 1, "items": {"gem": 1}}', 'tester')}, 1 ],
	[ 'grant_reward for a mission', "SELECT state FROM economy.grant_reward($ann, 'test', 'mission', 1)", 'new' ],
	[ 'claim_mission', "SELECT state FROM economy.claim_mission($ann, 'won')", 'new' ],
	[ 'claim_all', "SELECT count(*) FROM economy.claim_all($ann)", 1 ],
	[ 'retire_mission', q{SELECT retired_at IS NOT NULL FROM economy.retire_mission('won', 'tester')}, 1 ],
	[ 'set_transfer_rules', q{SELECT fee_per_mille FROM economy.set_transfer_rules('{"enabled": true, "fee_per_mille": 7}', 'tester')}, 7 ],
	[ 'transfer', qq{SELECT state FROM economy.transfer($ann, $bob, 'k', 5, '{"gem": 1}')}, 'new' ],
	[ 'transfer back', "SELECT state FROM economy.transfer($bob, $ann, 'k', 5)", 'new' ],
	[ 'hold_escrow', qq{SELECT state FROM economy.hold_escrow($ann, 'k', 5, '{"gem": 1}')}, 'new' ],
	[ 'capture_escrow', "SELECT state FROM economy.capture_escrow($ann, " . escrow_of('k') . ", $bob)", 'new' ],
	[ 'open_action', "SELECT state FROM economy.open_action($ann, 'slot', 'SPIN', 'round', 5)", 'new' ],
	[ 'open_action, another', "SELECT state FROM economy.open_action($ann, 'slot', 'SPIN', 'round 2', 5)", 'new' ],
	[ 'settle_action', "SELECT state FROM economy.settle_action($ann, 'slot', 'round', 7)", 'new' ],
	[ 'void_action', "SELECT state FROM economy.void_action($ann, 'slot', 'round 2')", 'new' ],
	[ 'hold_escrow of gold', "SELECT state FROM economy.hold_escrow($ann, 'k2', 5)", 'new' ],
	[ 'release_escrow', "SELECT state FROM economy.release_escrow($ann, " . escrow_of('k2') . ')', 'new' ],
	[ 'register', "SELECT economy.register('new') > 0", 1 ],
	[ 'register_user', "SELECT is_new FROM economy.register_user('new 2')", 1 ],
	[ 'set_timezone', "SELECT economy.set_timezone($ann, 'Asia/Tokyo')", 'Asia/Tokyo' ],
	[ 'set_user_status', "SELECT economy.set_user_status($ann, 'suspended', 'tester')", 'suspended' ],
	[ 'set_user_status back', "SELECT economy.set_user_status($ann, 'active', 'tester')", 'active' ],
	[ 'update_profile', qq{SELECT state FROM economy.update_profile($ann, '{"a": 1}', 'k')}, 'new' ],
	[ 'unlink_external_id', "SELECT state FROM economy.unlink_external_id($ann, 'k')", 'new' ],
	[ 'link_external_id', "SELECT state FROM economy.link_external_id($ann, 'ann2', 'k2')", 'new' ],
	[ 'upsert_product', q{SELECT price_gold FROM economy.upsert_product('{"product_id": "potion", "price_gold": 20}', 'tester')}, 20 ],
	[ 'upsert_product, a new one', q{SELECT price_gold FROM economy.upsert_product('{"product_id": "map", "category": "item", "price_gold": 0}', 'tester')}, 0 ],
	[ 'add_stock', q{SELECT economy.add_stock('limited', 1, 'tester')}, 1 ],
	[ 'add_stock, the first', q{SELECT economy.add_stock('potion', 10, 'tester')}, 10 ],
	[ 'purchase of new stock', "SELECT state FROM economy.purchase($ann, 'potion', 'k2', 3)", 'new' ],
	[ 'reserve', "SELECT state FROM economy.reserve($ann, 'potion', 'c')", 'new' ],
	[ 'purchase of what is reserved', qq{SELECT state FROM economy.purchase($ann, 'potion', 'c', 1, '{"reservation": "c"}')}, 'new' ],
	[ 'reserve again', "SELECT state FROM economy.reserve($ann, 'potion', 'c2')", 'new' ],
	[ 'release_reservation', "SELECT state FROM economy.release_reservation($ann, 'c2')", 'new' ],
	[ 'retire_product', q{SELECT active FROM economy.retire_product('map', 'tester')}, 0 ],
	[ 'set_rate_limit', q{SELECT burst FROM economy.set_rate_limit('{"limit_id": "login", "burst": 5, "refill": 1, "period_seconds": 60}', 'tester')}, 5 ],
	[ 'take_rate', q{SELECT remaining FROM economy.take_rate('login', 'an address', 2)}, 3 ],
	[ 'remove_rate_limit', q{SELECT economy.remove_rate_limit('login', 'tester')}, 1 ],
	[ 'set_payment_provider', q{SELECT provider FROM economy.set_payment_provider('{"provider": "bank", "profile": "stripe"}', 'tester')}, 'bank' ],
	[ 'set_payment_provider, a currency', q{SELECT currency FROM economy.set_payment_provider('{"provider": "bank", "currency": "EUR"}', 'tester')}, 'EUR' ],
	[ 'upsert_product, settlement', q{SELECT settlement FROM economy.upsert_product('{"product_id": "gold", "category": "conversion", "source_points": 99, "granted_gold": 5, "settlement": "bank"}', 'tester')}, 'bank' ],
	[ 'add_stock of what is ordered', q{SELECT economy.add_stock('gold', 3, 'tester')}, 3 ],
	[ 'purchase, an order', "SELECT state || ' ' || code FROM economy.purchase($ann, 'gold', 'order')", 'new PENDING' ],
	[ 'settlement_lease', q{SELECT count(*) FROM economy.settlement_lease('tester')}, 1 ],
	[ 'settlement_report of a payment', "SELECT state || ' ' || code FROM economy.settlement_report((SELECT order_id FROM economy.payment_orders WHERE user_id = $ann AND idempotency_key = 'order'), 'confirmed', 'tester')", 'new OK' ],
	[ 'settlement_report of one paid back', "SELECT state || ' ' || code FROM economy.settlement_report((SELECT order_id FROM economy.payment_orders WHERE user_id = $ann AND idempotency_key = 'order'), 'refunded', 'tester')", 'new OK' ],
	[ 'settlement_report of a conflict', "SELECT state || ' ' || code FROM economy.settlement_report((SELECT order_id FROM economy.payment_orders WHERE user_id = $ann AND idempotency_key = 'order'), 'failed', 'tester')", 'new CONFLICT' ],
	[ 'resolve_order', "SELECT state || ' ' || code FROM economy.resolve_order((SELECT order_id FROM economy.payment_orders WHERE user_id = $ann AND idempotency_key = 'order'), 'REFUNDED', 'a test', 'tester')", 'new OK' ],
	[ 'add_payment_secret', q{SELECT economy.add_payment_secret('bank', 'whsec_of_the_test', 'tester')}, 1 ],
	[ 'retire_payment_secret', q{SELECT economy.retire_payment_secret('bank', 1, 'tester')}, 1 ],
	[ 'rotate_signing_key', 'SELECT economy.rotate_signing_key()', 3 ],
	[ 'retire_signing_key', 'SELECT economy.retire_signing_key(1)', 1 ],
	[ 'set_level_curve', q{SELECT economy.set_level_curve('steep', '{0,10,100}')}, 3 ],
	[ 'set_default_level_curve', q{SELECT economy.set_default_level_curve('steep')}, 'linear' ],
	[ 'set_level_experiment', q{SELECT economy.set_level_experiment('e', '[{"arm": "a", "curve": "steep", "share": 5000}]')}, 1 ],
	[ 'seed_demo', 'SELECT count(*) FROM economy.seed_demo()', 4 ]);

foreach my $call (@calls)
{
	my ($name, $sql, $expected) = @$call;
	my $before = fingerprint($node, $database);

	$dbh->begin_work;
	is(value($dbh, $sql), $expected, "$name, to be rolled back");
	$dbh->rollback;
	is(fingerprint($node, $database), $before, "$name: ROLLBACK");

	$dbh->begin_work;
	foreach my $depth (1, 2)
	{
		$dbh->do("SAVEPOINT s$depth");
		is(value($dbh, $sql), $expected, "$name, in savepoint $depth") if $depth == 2;
	}
	$dbh->do('ROLLBACK TO SAVEPOINT s1');
	is(value($dbh, $sql), $expected, "$name, again after ROLLBACK TO SAVEPOINT");
	$dbh->do('ROLLBACK TO SAVEPOINT s1');
	$dbh->commit;
	is(fingerprint($node, $database), $before, "$name: ROLLBACK TO SAVEPOINT and COMMIT");

	$dbh->do("DO \$block\$ BEGIN PERFORM * FROM ($sql) call; RAISE EXCEPTION 'no'; EXCEPTION WHEN raise_exception THEN NULL; END \$block\$");
	is(fingerprint($node, $database), $before, "$name: exception block");

	is(try_sql($dbh, "$sql; SELECT 1 / 0"), '22012', "$name, then an error in the same message");
	is(fingerprint($node, $database), $before, "$name: failed message");

	is(value($dbh, $sql), $expected, "$name: as free as before");
	isnt(fingerprint($node, $database), $before, "$name: and now it is there");
}
is($node->safe_psql($database, 'SELECT * FROM economy.audit_sweep()'), '', 'no finding');

# A savepoint is rolled back, the work around it is not.
$dbh->begin_work;
$dbh->do("SELECT economy.purchase($ann, 'shield', 'outer')");
$dbh->do('SAVEPOINT s');
$dbh->do("SELECT economy.purchase($ann, 'shield', 'inner'), economy.adjust_gold($ann, 7, 'inner', 'a test', 'tester')");
$dbh->do('ROLLBACK TO SAVEPOINT s');
is(value($dbh, "SELECT state FROM economy.purchase($ann, 'shield', 'outer')"), 'reuse', 'the outer purchase is there');
is(value($dbh, "SELECT state FROM economy.purchase($ann, 'shield', 'inner')"), 'new', 'the inner one is free');
$dbh->commit;
is($node->safe_psql($database, 'SELECT * FROM economy.audit_sweep()'), '', 'no finding after a partial rollback');

# Entries that were rolled back leave dead index entries, which the next reader
# passes and marks.  The live entry takes the same seq in another journal: in
# the same one its insertion would already mark the dead one.
my @others = map { add_user($dbh, "other$_", 1000) } 1 .. 3;
foreach my $reader ("SELECT count(*) FROM economy.verify_chain($ann)", 'SELECT count(*) FROM economy.audit_sweep()',
	"SELECT count(*) FROM economy.statement($ann) WHERE seq < 0",
	"SELECT count(*) FROM economy.purchase($ann, 'capped', 'x') WHERE success")
{
	foreach my $user ($ann, @others)
	{
		for my $i (1 .. 12)
		{
			my $key = "$i " . length $reader;
			my @entries = ("economy.adjust_gold($user, 1, '$key', 'a test', 'tester')",
				"economy.purchase($user, 'capped', '$key')", "economy.grant_reward($user, 'test', '$key', 1)");

			$dbh->begin_work;
			$dbh->do("SELECT $entries[ $i % 3 ]");
			$dbh->rollback;
			$dbh->do("SELECT $entries[ 2 * ($i % 2) ]");
		}
	}
	my $session = connect_to($node, $database);
	is(eval { value($session, $reader) } // $@, 0, "$reader over dead entries");
	is(eval { value($session, $reader) } // $@, 0, "$reader again");
	$session->disconnect;
}
$node->safe_psql($database, 'CREATE EXTENSION amcheck');
is($node->safe_psql($database, q{SELECT count(bt_index_check(indexrelid, true)) > 0 FROM pg_index i JOIN pg_class c ON c.oid = indexrelid
	JOIN pg_am a ON a.oid = c.relam WHERE c.relnamespace IN ('economy'::regnamespace, 'economy_internal'::regnamespace) AND a.amname = 'btree'}), 't', 'the indexes are whole');
is($node->safe_psql($database, 'SELECT * FROM economy.audit_sweep()'), '', 'no finding over dead entries');
$dbh->disconnect;

# The first purchase of a database makes the first signing key.
my $buy = q{SELECT transaction_id FROM economy.purchase(1, 'gift', ?)};
my %fail = (
	'ROLLBACK' => sub {
		my ($s) = @_;
		$s->begin_work;
		value($s, $buy, 'lost');
		$s->rollback;
	},
	'ROLLBACK, two purchases' => sub {
		my ($s) = @_;
		$s->begin_work;
		value($s, $buy, $_) foreach 'lost', 'lost2';
		$s->rollback;
	},
	'ROLLBACK TO SAVEPOINT' => sub {
		my ($s) = @_;
		$s->begin_work;
		$s->do('SAVEPOINT s');
		value($s, $buy, 'lost');
		$s->do('ROLLBACK TO SAVEPOINT s');
		value($s, $buy, 'lost');
		$s->commit;
	},
	'a released savepoint in one rolled back' => sub {
		my ($s) = @_;
		$s->begin_work;
		$s->do('SAVEPOINT a');
		$s->do('SAVEPOINT b');
		value($s, $buy, 'lost');
		$s->do('RELEASE SAVEPOINT b');
		$s->do('ROLLBACK TO SAVEPOINT a');
		$s->commit;
	},
	'an exception block' => sub {
		$_[0]->do(q{DO $$ BEGIN PERFORM economy.purchase(1, 'gift', 'lost'); RAISE EXCEPTION 'no';
			EXCEPTION WHEN raise_exception THEN NULL; END $$});
	},
	'an error in the same statement' => sub {
		try_sql($_[0], q{SELECT 1 / (SELECT gold - gold FROM economy.purchase(1, 'gift', 'lost'))});
	},
	'a CHECK that refuses the account' => sub {
		my ($s) = @_;
		$s->do('ALTER TABLE economy.accounts ADD CONSTRAINT dba CHECK (gold < 5)');
		is(try_sql($s, q{SELECT economy.purchase(1, 'gift', 'lost')}), '23514', 'the CHECK refuses');
		$s->do('ALTER TABLE economy.accounts DROP CONSTRAINT dba');
	},
	'a CHECK that refuses the account, dropped elsewhere' => sub {
		my ($s, $db) = @_;
		$s->do('ALTER TABLE economy.accounts ADD CONSTRAINT dba CHECK (gold < 5 OR gold > 5)');
		is(try_sql($s, q{SELECT economy.purchase(1, 'gift', 'lost')}), '23514', 'the CHECK refuses');
		is(value($s, q{SELECT gold FROM economy.purchase(1, 'gift', 'two', 2)}), 10, 'and lets another pass');
		$node->safe_psql($db, 'ALTER TABLE economy.accounts DROP CONSTRAINT dba');
	},
	'a CHECK that refuses the entry' => sub {
		my ($s) = @_;
		$s->do('ALTER TABLE economy.shop_transactions ADD CONSTRAINT dba CHECK (gold < 5 OR gold > 5)');
		is(try_sql($s, q{SELECT economy.purchase(1, 'gift', 'lost')}), '23514', 'the CHECK refuses');
		is(value($s, q{SELECT gold FROM economy.purchase(1, 'gift', 'two', 2)}), 10, 'and lets another pass');
		$s->do('ALTER TABLE economy.shop_transactions DROP CONSTRAINT dba');
	},
	'a rotation rolled back' => sub {
		my ($s) = @_;
		value($s, $buy, 'before');
		$s->begin_work;
		$s->do('SELECT economy.rotate_signing_key()');
		value($s, $buy, 'lost');
		$s->rollback;
	},
	'a disconnected first session' => sub {
		my ($s, $db) = @_;
		my $gone = connect_to($node, $db);
		$gone->begin_work;
		value($gone, $buy, 'lost');
		$gone->disconnect;
		$node->poll_query_until($db, 'SELECT NOT EXISTS (SELECT FROM pg_locks WHERE mode = $$ShareRowExclusiveLock$$)');
	},
	'PREPARE TRANSACTION' => sub {
		my ($s) = @_;
		$s->do('SET economy.notify = off');
		$s->do('BEGIN');
		value($s, $buy, 'lost');
		$s->do(q{PREPARE TRANSACTION 't'});
		$s->do(q{ROLLBACK PREPARED 't'});
	});
foreach my $way ('auto', 'sql')
{
	foreach my $name (sort keys %fail)
	{
		my $db = fresh_database($node);
		my $s = connect_to($node, $db);
		$s->do("SET economy.row_access = $way");
		$s->do('SELECT economy.register()');
		add_product($s, 'gift', category => 'conversion', granted_gold => 5);
		$fail{$name}->($s, $db);
		my $id = eval { value($s, $buy, 'kept') } // $@;
		is(eval { value($s, q{SELECT reason FROM economy.verify_receipt(1, ?)}, $id) } // $@, 'OK',
			"first key, $name, $way: the next receipt is valid in the session");
		is($node->safe_psql($db, "SELECT reason FROM economy.verify_receipt(1, '$id')"), 'OK',
			"first key, $name, $way: and in another");
		is_clean($node, $db, "first key, $name, $way");
		$s->disconnect;
	}
}

# Whoever posts records the installation.  Rolled back with a savepoint, the record is
# made again by the next entry: without it positions begin anew in the next life.
foreach my $way ('ROLLBACK TO SAVEPOINT a', 'RELEASE SAVEPOINT b; ROLLBACK TO SAVEPOINT a', 'ROLLBACK TO SAVEPOINT b')
{
	my $fresh = fresh_database($node);
	my $session = connect_to($node, $fresh);
	my $user = add_user($session, 'ann', 0);

	is(value($session, 'SELECT count(*) FROM economy.installations'), 0, "$way: no entry, no installation");
	$session->begin_work;
	$session->do('SAVEPOINT a');
	$session->do('SAVEPOINT b');
	$session->do(q{SELECT economy.adjust_gold(?, 1, 'gone', 'a test', 'tester')}, undef, $user);
	$session->do($way);
	is(value($session, 'SELECT count(*) FROM economy.installations'), 0, "$way: gone with its entry");
	$session->do(q{SELECT economy.adjust_gold(?, 1, 'stays', 'a test', 'tester')}, undef, $user);
	$session->commit;
	is(value($session, q{SELECT string_agg(i.number::text, ',') FROM economy.installations i}), 1, "$way: recorded by the entry that stays");
	is(value($session, 'SELECT count(*) FROM economy.installations i JOIN economy.gold_adjustments g USING (xact)'), 1,
		"$way: in its transaction");
	is($node->safe_psql($fresh, 'SELECT * FROM economy.audit_sweep()'), '', "$way: no finding");
	$session->disconnect;
}

# The same of a whole transaction, also of one that was prepared and that another session
# ends: here another end of a transaction would stand for that one.
foreach my $way ('ROLLBACK', 'ROLLBACK PREPARED', 'COMMIT PREPARED')
{
	my $fresh = fresh_database($node);
	my $session = connect_to($node, $fresh);
	my $user = add_user($session, 'ann', 0);

	$session->do($_) foreach 'BEGIN', "SELECT economy.adjust_gold($user, 1, 'first', 'a test', 'tester')", $way =~ /PREPARED/ ? q{PREPARE TRANSACTION 'first'} : $way;
	$node->safe_psql($fresh, "$way 'first'") if $way =~ /PREPARED/;
	is($node->safe_psql($fresh, 'SELECT count(*) FROM economy.installations'), $way =~ /COMMIT/ ? 1 : 0, "$way: the installation comes and goes with the entry");
	$session->do(q{SELECT economy.adjust_gold(?, 1, 'stays', 'a test', 'tester')}, undef, $user);
	is(value($session, q{SELECT string_agg(i.number::text, ',') FROM economy.installations i JOIN economy.gold_adjustments g USING (xact)}), 1, "$way: recorded, once");
	is(value($session, 'SELECT count(*) FROM economy.installations'), 1, "$way: and by no other");
	is($node->safe_psql($fresh, 'SELECT * FROM economy.audit_sweep()'), '', "$way: no finding");
	$session->disconnect;
}

# A duplicate that waited for its key and is rolled back leaves the key free to others,
# as long as its session lives on.
foreach my $name ('purchase', 'adjust_gold')
{
	my ($holder, $waiter, $third) = map { connect_to($node, $database) } 1 .. 3;
	my $pid = value($waiter, 'SELECT pg_backend_pid()');
	my $call = $name eq 'purchase' ? "SELECT state FROM economy.purchase($ann, 'potion', 'waited for')" :
	  "SELECT state FROM economy.adjust_gold($ann, 1, 'waited for', 'a test', 'tester')";

	$waiter->do(q{SET economy.duplicate_wait = '60s'});
	$holder->begin_work;
	$waiter->begin_work;
	is(value($holder, $call), 'new', "$name: the first call");
	$waiter->do($call, { pg_async => DBD::Pg::PG_ASYNC() });
	# its key is asked for once its journal is open, and from then on again and again
	$node->poll_query_until($database, "SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $pid AND locktype = 'relation' AND mode = 'RowExclusiveLock')");
	$node->safe_psql($database, 'SELECT pg_sleep(0.2)');
	$holder->rollback;
	is($waiter->pg_result, 1, "$name: the duplicate that waited");
	$waiter->rollback;
	is(value($third, $call), 'new', "$name: and was rolled back leaves the key free");
	$_->disconnect foreach $holder, $waiter, $third;
}

$node->stop;
done_testing();
