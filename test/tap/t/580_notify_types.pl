# economy.notify_types: what is sent, by the relay and at the commit, is what the setting
# lists, each type alone and each left out; what is read is everything.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use EventTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('types', conf => "shared_preload_libraries = 'economy'");
my $dbh = connect_to($node);
my $ear = listen_to($node);
my @types = event_types();
my $key = 0;

add_product($dbh, 'potion', price_gold => 1);
$dbh->do(q{SELECT economy.register_game('slot')});
$dbh->do(q{SELECT economy.publish_mission('{"mission": "buy", "trigger": "purchase", "target": 1}', 'tester')});

# One transaction per entry: of several in one the relay would read all.
sub work
{
	my ($user) = @_;
	$key++;
	return map { value($dbh, "SELECT transaction_id FROM economy.$_->[0]", $user, @$_[ 1 .. $#$_ ]) }
	  [ q{purchase(?, 'potion', ?)}, "p$key" ], [ q{grant_reward(?, 'quest', ?, 1, 500)}, "r$key" ], [ q{adjust_gold(?, 1, ?, 'a test', 'tester')}, "g$key" ],
	  [ q{spend(?, 1, 'revive', ?)}, "s$key" ], [ q{record_action(?, 'slot', 'SPIN', ?, 1, 2)}, "a$key" ],
	  [ q{refund_purchase(?, coalesce((SELECT p.transaction_id FROM economy.purchases_of(?, NULL, 1) p), 'none'), ?, NULL, 'a test', 'tester')}, $user, "b$key" ];
}

# What is heard of a user who does each thing twice, as types in order of their coming;
# the second time is heard when all of the first has come.
sub is_heard
{
	my ($how, @wanted) = @_;
	my %wanted = map { $_ => 1 } @wanted;
	my $user = add_user($dbh, 'u' . ++$key, 1000);
	my ($all, $heard);

	work($user) foreach 1 .. 2;
	my @rows = @{ $dbh->selectall_arrayref(q{SELECT type, event ->> 'id' FROM economy.replay(?, 0) WHERE code = 'EVENT'}, undef, $user) };
	my @expected = map { $_->[1] } grep { $wanted{ $_->[0] } } @rows;
	until_heard($ear, $expected[-1]);
	is(scalar(keys %{ { map { $_->[0] => 1 } @rows } }), scalar @types, 'replay() has all') if @wanted == 1;
	is(join(' ', map { $_->{id} } grep { $_->{user} == $user } hear($ear)), "@expected", "$how: @wanted");
	return;
}

my @choices = ((map { [$_] } @types), (map { my $t = $_; [ grep { $_ ne $t } @types ] } @types));

$dbh->do('SET economy.notify = inline');
is_heard('at the commit, all', @types);
foreach my $wanted (@choices)
{
	$dbh->do('SET economy.notify_types = ' . join ', ', @$wanted);
	is_heard('at the commit', @$wanted);
}

# an action and its statistics as one
sub is_as_one
{
	my ($how) = @_;
	my $user = add_user($dbh, 'o' . ++$key, 1000);
	my @ids = map { (work($user))[4] } 1 .. 2;

	until_heard($ear, $ids[1]);
	is(join(' ', map { "$_->{channel} " . join('/', @{ $_->{event}{data}{stats} // {} }{qw(wins_delta total)}) } grep { $_->{user} == $user && $_->{id} =~ /^A/ } hear($ear)), 'user_action 1/1 user_action 1/2', $how);
	return;
}

$dbh->do('RESET economy.notify_types; SET economy.notify_stats = with_action');
is_as_one('at the commit, as one');
is_heard('at the commit, as one', grep { $_ ne 'stats_delta' } @types);
$dbh->do('SET economy.notify_types = user_action');
is_as_one('at the commit, as one, without stats_delta');
$dbh->do('RESET economy.notify_stats');

# a change that is no entry
my $user = add_user($dbh, 'segment');
my $moved = sub { $dbh->do(q{SELECT economy_internal.publish_profile(?, 'segment', NULL, ?)}, undef, $user, $_[0]); return grep { $_->{id} =~ /^S$user-/ } hear($ear) };
$dbh->do('SET economy.notify_types = purchase_update, reward_granted, user_action, stats_delta');
is(scalar $moved->('Whale'), 0, 'a change of segment, without profile_update');
$dbh->do('SET economy.notify_types = profile_update');
is(scalar $moved->('Minnow'), 1, 'and with it');

# of several users in one transaction: who does first what is not sent keeps nothing of the others back
$dbh->do('SET economy.notify_types = user_action');
my @together = map { add_user($dbh, $_) } 'gets', 'plays';
$dbh->begin_work;
value($dbh, q{SELECT code FROM economy.grant_reward(?, 'quest', 'together', 1, 0)}, $together[0]);
my $played = value($dbh, q{SELECT transaction_id FROM economy.record_action(?, 'slot', 'SPIN', 'together', 0, 1)}, $together[1]);
$dbh->commit;
until_heard($ear, $played);
is(join(' ', map { $_->{id} } grep { $_->{user} == $together[0] || $_->{user} == $together[1] } hear($ear)), $played, 'of several users, what is sent');
$dbh->do('RESET economy.notify_types; RESET economy.notify');

# a session's setting is not the relay's
poll_until('a relay', sub { work($user); relays($node, 'postgres') });
$dbh->do('SET economy.notify_types = stats_delta');
is_heard('by the relay, whatever the session has', @types);
$dbh->do('RESET economy.notify_types');
foreach my $wanted (@choices)
{
	my ($pid) = relays($node, 'postgres');
	$dbh->do('ALTER DATABASE postgres SET economy.notify_types = ' . join ', ', @$wanted);
	$node->safe_psql('template1', "SELECT pg_terminate_backend($pid)");
	poll_until('the next relay', sub { my ($next) = relays($node, 'postgres'); $next && $next != $pid });
	is_heard('by the relay', @$wanted);
}

# what the relay tells as one
$dbh->do('ALTER DATABASE postgres RESET economy.notify_types');
$dbh->do('ALTER DATABASE postgres SET economy.notify_stats = with_action');
my ($before) = relays($node, 'postgres');
$node->safe_psql('template1', "SELECT pg_terminate_backend($before)");
poll_until('the next relay', sub { my ($next) = relays($node, 'postgres'); $next && $next != $before });
my $one = add_user($dbh, 'one', 1000);
my ($first, $second) = map { (work($one))[4] } 1 .. 2;
until_heard($ear, $second);
is(join(' ', map { "$_->{id} $_->{channel} " . ($_->{event}{data}{stats}{win_delta} // '') } grep { $_->{user} == $one && $_->{id} =~ /^A/ } hear($ear)), "$first user_action 2 $second user_action 2", 'by the relay, as one');
$dbh->do('ALTER DATABASE postgres RESET economy.notify_stats');

# several entries of one transaction
$dbh->do('ALTER DATABASE postgres SET economy.notify_types = stats_delta');
my ($pid) = relays($node, 'postgres');
$node->safe_psql('template1', "SELECT pg_terminate_backend($pid)");
poll_until('the next relay', sub { my ($next) = relays($node, 'postgres'); $next && $next != $pid });
my $group = add_user($dbh, 'group', 1000);
$dbh->begin_work;
my @done = map { work($group) } 1 .. 3;
$dbh->commit;
my @stats = map { "$_/stats" } grep { /^A/ } @done;
until_heard($ear, @stats);
is(join(' ', map { $_->{id} } grep { $_->{user} == $group } hear($ear)), "@stats", 'of a transaction of several entries');

# by a reload, while it runs
$dbh->do('ALTER DATABASE postgres RESET economy.notify_types');
($pid) = relays($node, 'postgres');
$node->safe_psql('template1', "SELECT pg_terminate_backend($pid)");
poll_until('the next relay', sub { my ($next) = relays($node, 'postgres'); $next && $next != $pid });
is_heard('all again', @types);
$dbh->do('ALTER SYSTEM SET economy.notify_types = purchase_update');
$dbh->do('SELECT pg_reload_conf()');
poll_until('the relay to have read it', sub {
	my @ids = work($group);
	my ($last) = work($group);
	until_heard($ear, $last);
	return !grep { $_->{id} eq $ids[1] } hear($ear);
});
is_heard('after a reload', 'purchase_update');

$_->disconnect foreach $dbh, $ear->{dbh};
$node->stop;
done_testing();
