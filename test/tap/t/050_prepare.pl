# PREPARE TRANSACTION around every function that writes.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('prepare');
my $dbh = connect_to($node);
my $other = connect_to($node);
$_->do('SET economy.notify = off') foreach $dbh, $other;
my $ann = add_user($dbh, 'ann', 100_000);
my $bob = add_user($dbh, 'bob', 100);
add_product($dbh, 'potion', price_gold => 10);
add_product($dbh, 'limited', price_gold => 10, stock => 10, slots => 2);
$dbh->do('SELECT economy.rotate_signing_key()') foreach 1 .. 2;
my $reward = value($dbh, q{SELECT transaction_id FROM economy.grant_reward(?, 'test', 'first', 50, 50)}, $ann);

sub escrow_of { my ($key) = @_; return "(SELECT 'H$ann-' || seq FROM economy.holding_changes WHERE user_id = $ann AND operation = 'escrow_hold' AND idempotency_key = '$key')" }

# name, call, and what the same call answers meanwhile and after COMMIT PREPARED
my @calls = (
	[ 'purchase', "SELECT state FROM economy.purchase($ann, 'potion', 'k')", 'in_progress', 'reuse' ],
	[ 'purchase of stock', "SELECT state FROM economy.purchase($ann, 'limited', 'k', 6)", 'in_progress', 'reuse' ],
	# a duplicate would wait for the account
	[ 'purchases', "SELECT string_agg(state, ' ') FROM economy.purchases('{$ann,$ann}', '{potion,limited}', '{batch,batch}')", undef, 'reuse reuse' ],
	[ 'adjust_gold', "SELECT state FROM economy.adjust_gold($ann, 5, 'k', 'a test', 'tester')", 'in_progress', 'reuse' ],
	[ 'grant_reward', "SELECT state FROM economy.grant_reward($ann, 'test', 'k', 5, 5)", 'in_progress', 'reuse' ],
	[ 'grant_rewards', qq{SELECT state FROM economy.grant_rewards('[{"user_id": $ann, "source": "test", "external_event_id": "batch", "gold": 1}]')}, undef, 'reuse' ],
	[ 'grant_rewards, arrays', "SELECT string_agg(state, ' ') FROM economy.grant_rewards('{$ann,$ann}', '{test,test}', '{batch2,batch3}', '{1,2}')", undef, 'reuse reuse' ],
	[ 'revoke_reward', "SELECT state FROM economy.revoke_reward($ann, '$reward', 'a test', 'tester')", undef, undef ],
	[ 'refund_purchase', "SELECT state FROM economy.refund_purchase($ann, (SELECT 'P$ann-' || min(seq) FROM economy.shop_transactions WHERE user_id = $ann AND product_id = 'limited'), 'k', 1, 'a test', 'tester')", 'in_progress', 'reuse' ],
	[ 'claim_daily_reward', "SELECT code FROM economy.claim_daily_reward($ann)", undef, 'ALREADY_CLAIMED' ],
	[ 'set_streak', qq{SELECT state FROM economy.set_streak($ann, 7, '2020-01-01', 'a test', 'tester', 'k')}, 'in_progress', 'reuse' ],
	[ 'upsert_item', q{SELECT maximum FROM economy.upsert_item('{"item_id": "gem", "kind": "currency", "maximum": 9, "tradable": true}', 'tester')}, undef, undef ],
	[ 'upsert_item that is kept', q{SELECT maximum FROM economy.upsert_item('{"item_id": "key", "kind": "stack", "consumable": false, "maximum": 20}', 'tester')}, undef, undef ],
	[ 'upsert_leaderboard', q{SELECT board FROM economy.upsert_leaderboard('{"board": "wins", "figure": "wins", "period": "day"}', 'tester')}, undef, undef ],
	[ 'grant_items', qq{SELECT state FROM economy.grant_items($ann, '{"gem": 7}', 'r', 'k')}, 'in_progress', 'reuse' ],
	[ 'consume', "SELECT state FROM economy.consume($ann, 'gem', 'k')", 'in_progress', 'reuse' ],
	[ 'spend', qq{SELECT state FROM economy.spend($ann, 1, 'r', 'k', '{"gem": 1}')}, 'in_progress', 'reuse' ],
	[ 'spend gold', "SELECT state FROM economy.spend($ann, 1, 'r', 'k2')", 'in_progress', 'reuse' ],
	[ 'upsert_product of items', q{SELECT contents::text || price_items::text FROM economy.upsert_product('{"product_id": "bundle", "category": "item", "price_gold": 1, "contents": {"key": 2}, "price_items": {"gem": 1}}', 'tester')}, undef, undef ],
	[ 'purchase of items', "SELECT state FROM economy.purchase($ann, 'bundle', 'k')", 'in_progress', 'reuse' ],
	[ 'purchases of items', "SELECT string_agg(state, ' ') FROM economy.purchases('{$ann,$ann}', '{bundle,potion}', '{items,items}')", undef, 'reuse reuse' ],
	[ 'grant_reward of items', qq{SELECT state FROM economy.grant_reward($ann, 'test', 'items', items => '{"key": 3, "gem": 1}')}, 'in_progress', 'reuse' ],
	[ 'grant_rewards of items', qq{SELECT state FROM economy.grant_rewards('{$ann}', '{test}', '{items2}', items => ARRAY['{"key": 1}'::jsonb])}, undef, 'reuse' ],
	[ 'revoke_reward of items', "SELECT state FROM economy.revoke_reward($ann, (SELECT 'R$ann-' || seq FROM economy.reward_audit WHERE user_id = $ann AND external_event_id = 'items'), 'a test', 'tester')", undef, 'reuse' ],
	[ 'upsert_draw_table', q{SELECT version FROM economy.upsert_draw_table('{"table_id": "chest", "draft": {"price": {"items": {"gem": 1}}, "pity": {"class": "a", "after": 1}, "entries": [{"entry": "a", "class": "a", "weight": 9007199254740991, "gold": 3, "limit": 1, "else": "b"}, {"entry": "b", "weight": 1}]}}', 'tester')}, undef, undef ],
	[ 'publish_draw_table', q{SELECT version FROM economy.publish_draw_table('chest', 'tester')}, undef, undef ],
	[ 'draw_commit', "SELECT seed_number FROM economy.draw_commit($ann)", undef, undef ],
	[ 'draw', "SELECT state FROM economy.draw($ann, 'chest', 'k', 'x')", 'in_progress', 'reuse' ],
	[ 'draw_reveal', "SELECT state FROM economy.draw_reveal($ann, 1)", undef, 'reuse' ],
	[ 'upsert_product, fulfilment', q{SELECT fulfilment FROM economy.upsert_product('{"product_id": "letter", "category": "item", "price_gold": 1, "fulfilment": true}', 'tester')}, undef, undef ],
	[ 'purchase, fulfilment', "SELECT state FROM economy.purchase($ann, 'letter', 'k')", 'in_progress', 'reuse' ],
	[ 'unfulfilled', q{SELECT count(*) FROM economy.unfulfilled('tester')}, undef, '0' ],
	[ 'set_daily_rewards', q{SELECT economy.set_daily_rewards('[{"gold": 7}]', 'tester')}, undef, undef ],
	[ 'publish_mission', q{SELECT version > 0 FROM economy.publish_mission('{"mission": "won", "trigger": "reward", "target": 1, "gold": 3}', 'tester')}, undef, undef ],
	[ 'publish_mission, another', q{SELECT version > 0 FROM economy.publish_mission('{"mission": "won2", "trigger": "reward", "target": 1, "items": {"gem": 1}}', 'tester')}, undef, undef ],
	[ 'grant_reward for a mission', "SELECT state FROM economy.grant_reward($ann, 'test', 'mission', 1)", 'in_progress', 'reuse' ],
	[ 'claim_mission', "SELECT state FROM economy.claim_mission($ann, 'won')", undef, 'reuse' ],
	[ 'claim_all', "SELECT count(*) FROM economy.claim_all($ann)", undef, '0' ],
	[ 'retire_mission', q{SELECT retired_at IS NOT NULL FROM economy.retire_mission('won', 'tester')}, undef, undef ],
	[ 'reserve', "SELECT state FROM economy.reserve($ann, 'limited', 'c')", undef, 'reuse' ],
	[ 'purchase of what is reserved', qq{SELECT state FROM economy.purchase($ann, 'limited', 'c', 1, '{"reservation": "c"}')}, 'in_progress', 'reuse' ],
	[ 'reserve again', "SELECT state FROM economy.reserve($ann, 'limited', 'c2')", undef, 'reuse' ],
	[ 'release_reservation', "SELECT state FROM economy.release_reservation($ann, 'c2')", undef, 'reuse' ],
	[ 'set_transfer_rules', q{SELECT fee_per_mille FROM economy.set_transfer_rules('{"enabled": true, "fee_per_mille": 7}', 'tester')}, undef, undef ],
	[ 'transfer', qq{SELECT state FROM economy.transfer($ann, $bob, 'k', 5, '{"gem": 1}')}, 'in_progress', 'reuse' ],
	[ 'transfer back', "SELECT state FROM economy.transfer($bob, $ann, 'k', 5)", 'in_progress', 'reuse' ],
	[ 'hold_escrow', qq{SELECT state FROM economy.hold_escrow($ann, 'k', 5, '{"gem": 1}')}, 'in_progress', 'reuse' ],
	[ 'capture_escrow', "SELECT state FROM economy.capture_escrow($ann, " . escrow_of('k') . ", $bob)", 'in_progress', 'reuse' ],
	[ 'open_action', "SELECT state FROM economy.open_action($ann, 'slot', 'SPIN', 'round', 5)", 'in_progress', 'reuse' ],
	[ 'open_action, another', "SELECT state FROM economy.open_action($ann, 'slot', 'SPIN', 'round 2', 5)", 'in_progress', 'reuse' ],
	[ 'settle_action', "SELECT state FROM economy.settle_action($ann, 'slot', 'round', 7)", 'in_progress', 'reuse' ],
	[ 'void_action', "SELECT state FROM economy.void_action($ann, 'slot', 'round 2')", 'in_progress', 'reuse' ],
	[ 'hold_escrow of gold', "SELECT state FROM economy.hold_escrow($ann, 'k2', 5)", 'in_progress', 'reuse' ],
	[ 'release_escrow', "SELECT state FROM economy.release_escrow($ann, " . escrow_of('k2') . ')', 'in_progress', 'reuse' ],
	[ 'register', "SELECT economy.register('new') > 0", undef, '1' ],
	[ 'register_user', "SELECT is_new FROM economy.register_user('new 2')", undef, '0' ],
	[ 'set_timezone', "SELECT economy.set_timezone($ann, 'Asia/Tokyo')", undef, undef ],
	[ 'set_user_status', "SELECT economy.set_user_status($ann, 'suspended', 'tester')", undef, undef ],
	[ 'set_user_status back', "SELECT economy.set_user_status($ann, 'active', 'tester')", undef, undef ],
	[ 'set_timezone with a key', "SELECT economy.set_timezone($ann, 'Europe/Rome', 'k')", undef, 'Europe/Rome' ],
	[ 'update_profile', qq{SELECT state FROM economy.update_profile($ann, '{"a": 1}', 'k')}, 'in_progress', 'reuse' ],
	[ 'unlink_external_id', "SELECT state FROM economy.unlink_external_id($ann, 'k')", 'in_progress', 'reuse' ],
	[ 'link_external_id', "SELECT state FROM economy.link_external_id($ann, 'ann2', 'k2')", 'in_progress', 'reuse' ],
	[ 'upsert_product', q{SELECT price_gold FROM economy.upsert_product('{"product_id": "potion", "price_gold": 20}', 'tester')}, undef, undef ],
	[ 'upsert_product, a new one', q{SELECT price_gold FROM economy.upsert_product('{"product_id": "map", "category": "item", "price_gold": 5}', 'tester')}, undef, undef ],
	[ 'add_stock', q{SELECT economy.add_stock('limited', 1, 'tester')}, undef, undef ],
	[ 'retire_product', q{SELECT active FROM economy.retire_product('map', 'tester')}, undef, undef ],
	[ 'set_rate_limit', q{SELECT burst FROM economy.set_rate_limit('{"limit_id": "login", "burst": 5, "refill": 1, "period_seconds": 60}', 'tester')}, undef, undef ],
	[ 'take_rate', q{SELECT remaining FROM economy.take_rate('login', 'an address', 2)}, undef, undef ],
	[ 'remove_rate_limit', q{SELECT economy.remove_rate_limit('login', 'tester')}, undef, undef ],
	[ 'set_payment_provider', q{SELECT provider FROM economy.set_payment_provider('{"provider": "bank", "profile": "stripe"}', 'tester')}, undef, undef ],
	[ 'set_payment_provider, a currency', q{SELECT currency FROM economy.set_payment_provider('{"provider": "bank", "currency": "EUR"}', 'tester')}, undef, undef ],
	[ 'upsert_product, settlement', q{SELECT settlement FROM economy.upsert_product('{"product_id": "gold", "category": "conversion", "source_points": 99, "granted_gold": 5, "settlement": "bank"}', 'tester')}, undef, undef ],
	[ 'add_stock of what is ordered', q{SELECT economy.add_stock('gold', 3, 'tester')}, undef, undef ],
	[ 'purchase, an order', "SELECT state || ' ' || code FROM economy.purchase($ann, 'gold', 'order')", undef, 'reuse PENDING' ],
	[ 'settlement_lease', q{SELECT count(*) FROM economy.settlement_lease('tester')}, undef, '0' ],
	[ 'settlement_report of a payment', "SELECT state || ' ' || code FROM economy.settlement_report((SELECT order_id FROM economy.payment_orders WHERE user_id = $ann AND idempotency_key = 'order'), 'confirmed', 'tester')", undef, 'reuse OK' ],
	[ 'settlement_report of one paid back', "SELECT state || ' ' || code FROM economy.settlement_report((SELECT order_id FROM economy.payment_orders WHERE user_id = $ann AND idempotency_key = 'order'), 'refunded', 'tester')", undef, 'reuse OK' ],
	[ 'settlement_report of a conflict', "SELECT state || ' ' || code FROM economy.settlement_report((SELECT order_id FROM economy.payment_orders WHERE user_id = $ann AND idempotency_key = 'order'), 'failed', 'tester')", undef, 'reuse CONFLICT' ],
	[ 'resolve_order', "SELECT state || ' ' || code FROM economy.resolve_order((SELECT order_id FROM economy.payment_orders WHERE user_id = $ann AND idempotency_key = 'order'), 'REFUNDED', 'a test', 'tester')", undef, 'reuse OK' ],
	[ 'add_payment_secret', q{SELECT economy.add_payment_secret('bank', 'whsec_of_the_test', 'tester')}, undef, undef ],
	[ 'retire_payment_secret', q{SELECT economy.retire_payment_secret('bank', 1, 'tester')}, undef, undef ],
	[ 'rotate_signing_key', 'SELECT economy.rotate_signing_key()', undef, undef ],
	[ 'retire_signing_key', 'SELECT economy.retire_signing_key(1)', undef, undef ],
	[ 'set_level_curve', q{SELECT economy.set_level_curve('steep', '{0,10,100}')}, undef, undef ],
	[ 'set_default_level_curve', q{SELECT economy.set_default_level_curve('steep')}, undef, undef ],
	[ 'set_level_experiment', q{SELECT economy.set_level_experiment('e', '[{"arm": "a", "curve": "steep", "share": 5000}]')}, undef, undef ]);

foreach my $call (@calls)
{
	my ($name, $sql, $meanwhile, $after) = @$call;
	my $before = fingerprint($node);

	$dbh->begin_work;
	my $said = value($dbh, $sql);
	$dbh->do(q{PREPARE TRANSACTION 't'});
	$dbh->{AutoCommit} = 1 if !$dbh->{AutoCommit};
	is(value($other, $sql), $meanwhile, "$name: prepared, a duplicate meanwhile") if defined $meanwhile;
	is(fingerprint($node), $before, "$name: prepared, nothing is seen");
	$other->do(q{ROLLBACK PREPARED 't'});
	is(fingerprint($node), $before, "$name: rolled back, nothing is there");

	$dbh->begin_work;
	is(value($dbh, $sql), $said, "$name: is as free as before");
	$dbh->do(q{PREPARE TRANSACTION 't'});
	$dbh->{AutoCommit} = 1 if !$dbh->{AutoCommit};
	$other->do(q{COMMIT PREPARED 't'});
	isnt(fingerprint($node), $before, "$name: committed, it is there");
	is(value($other, $sql), $after, "$name: the same call after it") if defined $after;
}
is(value($other, q{SELECT state FROM economy.purchase(?, 'potion', 'after')}, $ann), 'new', 'the other session buys');
is(value($dbh, q{SELECT state FROM economy.purchase(?, 'potion', 'after2')}, $ann), 'new', 'this session buys');
# a change of segment is told by NOTIFY, which cannot be prepared
foreach my $way (qw(relay off))
{
	$dbh->begin_work;
	$dbh->do("SET LOCAL economy.notify = $way");
	value($dbh, q{SELECT state FROM economy.grant_reward(?, 'test', 'segments', 5, 5)}, $ann);
	value($dbh, q{SELECT economy_internal.publish_profile(?, 'segment', 'Regulars', 'Whales')}, $ann);
	is(try_sql($dbh, q{PREPARE TRANSACTION 'segments'}), $way eq 'off' ? '' : '0A000', "a change of segment, $way: prepared or refused");
	$dbh->rollback if $way ne 'off';
	is(value($other, 'SELECT count(*) FROM pg_prepared_xacts'), $way eq 'off' ? 1 : 0, "$way: nothing is left of what was refused");
	is(value($other, q{SELECT count(*) FROM economy.reward_audit WHERE external_event_id = 'segments'}), 0, "$way: nor half done");
}
$dbh->{AutoCommit} = 1 if !$dbh->{AutoCommit};
$dbh->do(q{COMMIT PREPARED 'segments'});
is(value($other, q{SELECT count(*) FROM economy.reward_audit WHERE external_event_id = 'segments'}), 1, 'with economy.notify = off it is done');

is_clean($node, 'postgres', 'at the end');

# NOTIFY cannot be prepared, so economy.notify = inline leaves such entries to replay().
my $inline = connect_to($node);
$inline->do('SET economy.notify = inline');
foreach my $sql ("SELECT state FROM economy.purchase($ann, 'potion', 'inline')",
	"SELECT state FROM economy.grant_reward($ann, 'test', 'inline', 5, 5)",
	qq{SELECT state FROM economy.update_profile($ann, '{"a": 2}', 'inline')})
{
	$inline->begin_work;
	is(value($inline, $sql), 'new', "inline: $sql");
	is(try_sql($inline, q{PREPARE TRANSACTION 't'}), '', 'inline: is prepared');
	$inline->{AutoCommit} = 1 if !$inline->{AutoCommit};
	is(try_sql($inline, q{COMMIT PREPARED 't'}), '', 'inline: and committed');
	is(value($inline, $sql), 'reuse', 'inline: it is there');
}

# A prepared purchase outlives the server.
$dbh->begin_work;
$dbh->do("SELECT economy.purchase($ann, 'limited', 'long', 2)");
$dbh->do("SELECT economy.unlink_external_id($ann, 'long')");
$dbh->do("SELECT economy.set_user_status($ann, 'suspended', 'tester', 'long')");
$dbh->do(q{PREPARE TRANSACTION 'long'});
$_->disconnect foreach $dbh, $other, $inline;
$node->stop('immediate');
$node->start;
$dbh = connect_to($node);
is(value($dbh, "SELECT state FROM economy.purchase($ann, 'limited', 'long', 2)"), 'in_progress', 'after a crash: still in progress');
$dbh->do(q{COMMIT PREPARED 'long'});
is(value($dbh, "SELECT state FROM economy.purchase($ann, 'limited', 'long', 2)"), 'reuse', 'after a crash: committed');
is(value($dbh, "SELECT code FROM economy.purchase($ann, 'limited', 'longer')"), 'USER_SUSPENDED', 'after a crash: suspended');
is(value($dbh, 'SELECT economy.user_id_of(?)', 'ann2'), undef, 'after a crash: unlinked');
is(value($dbh, q{SELECT string_agg(event->'data'->>'field' || ' ' || coalesce(event->'data'->>'after', 'none'), ', ' ORDER BY seq) FROM economy.replay(?, (SELECT seq - 2 FROM economy.account(?)))
		WHERE code = 'EVENT'}, $ann, $ann), 'external_id none, status suspended', 'after a crash: and told');
$dbh->disconnect;
is($node->safe_psql('postgres', 'SELECT * FROM economy.audit_sweep()'), '', 'after a crash: no finding');

$node->stop;
done_testing();
