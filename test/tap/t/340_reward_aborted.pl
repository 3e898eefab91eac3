# Streams with entries that were rolled back leave dead rows behind, which an
# index scan notes while it passes. Freed memory is overwritten in this server
# (MALLOC_PERTURB_), so what is kept too short a time is missed at once.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

$ENV{MALLOC_PERTURB_} = 165;
my $node = new_node('reward_aborted', conf => 'restart_after_crash = on');
my $dbh = connect_to($node);
my @users = map { add_user($dbh, "user$_", 1000) } 1 .. 3;

add_product($dbh, 'toy', price_gold => 1);
foreach my $round (1 .. 5)
{
	foreach my $user (@users)
	{
		value($dbh, q{SELECT code FROM economy.grant_reward(?, 'kept', ?, 1, 100, '{"a": 1}')}, $user, $round);
		$dbh->begin_work;
		value($dbh, q{SELECT code FROM economy.grant_reward(?, 'undone', ?, 1)}, $user, $round);
		value($dbh, 'SELECT code FROM economy.claim_daily_reward(?)', $user);
		value($dbh, 'SELECT code FROM economy.purchase(?, ?, ?)', $user, 'toy', "undone $round");
		$dbh->rollback;
		value($dbh, 'SELECT code FROM economy.purchase(?, ?, ?)', $user, 'toy', $round);
	}
}
# batches and rejected level changes pass the same way
$dbh->begin_work;
$dbh->do(q{SELECT economy.set_level_curve('undone', ARRAY[0, 1, 2])});
$dbh->do(q{SELECT economy.set_level_experiment('undone', '[{"arm": "a", "curve": "undone", "share": 10000}]', true)});
$dbh->rollback;

foreach my $call ("SELECT count(*) FROM economy.verify_chain($users[0])", "SELECT count(*) FROM economy.verify_chain($users[1])",
	'SELECT count(*) FROM economy.audit_sweep()', 'SELECT count(*) FROM economy.audit_sweep_incremental()')
{
	my ($rc, $out, $err) = $node->psql('postgres', $call);
	is("$out$err", '0', "past rolled back entries: $call");
	$node->poll_query_until('postgres', 'SELECT true') or die 'the server does not come back';
}
($dbh) = (connect_to($node));
is(value($dbh, 'SELECT level FROM economy.account(?)', $users[0]), 2, 'account() after it');
is(value($dbh, q{SELECT count(*) FROM economy.grant_rewards((SELECT jsonb_agg(jsonb_build_object('user_id', u, 'source', 'batch', 'external_event_id', n::text))
	FROM unnest(?::bigint[]) u, generate_series(1, 20) n)) WHERE state = 'new'}, \@users), 60, 'and a batch');
is_clean($node, 'postgres', 'after all');

$dbh->disconnect;
$node->stop;
done_testing();
