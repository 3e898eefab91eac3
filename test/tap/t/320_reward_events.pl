# What listeners hear of rewards: reward_granted and profile_update as
# CloudEvents, after the commit, once, in the order of seq.
use strict;
use warnings;

use FindBin;
use JSON::PP;
use lib "$FindBin::Bin/..";
use EconomyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('reward_events');
my $dbh = connect_to($node);
my $ear = connect_to($node);
$ear->do("LISTEN $_") foreach qw(reward_granted profile_update);

# Everything that was sent: [channel, payload as text, decoded].
sub heard
{
	my @all;

	$ear->do('SELECT 1');
	while (my $n = $ear->pg_notifies)
	{
		push @all, [ $n->[0], $n->[2], JSON::PP->new->decode($n->[2]) ];
	}
	return @all;
}

$dbh->do(q{SET economy.notify = inline});
$dbh->do(q{SET economy.test_clock = '2031-01-01 12:00:00.000123+02'});
my $ann = add_user($dbh, 'ann');
heard();

# a grant that does not reach a level
value($dbh, q{SELECT code FROM economy.grant_reward(?, 'quest "1"', ?, 7, 499, '{"secret": "details stay in the journal"}')}, $ann, "caf\x{e9}\n");
my @events = heard();
is(scalar @events, 1, 'a grant is one event');
is($events[0][0], 'reward_granted', 'on its channel');
my %envelope = %{ $events[0][2] };
my $data = delete $envelope{data};
is_deeply(\%envelope, { specversion => '1.0', id => "R$ann-1", source => '/economy/node/0', type => 'reward_granted', subject => "$ann",
		time => '2031-01-01T10:00:00.000123Z', sequence => sprintf('%020d', 1), datacontenttype => 'application/json' }, 'a CloudEvent');
ok(!ref $data->{leveled_up} || !$data->{leveled_up}, 'leveled_up is false');
like($events[0][1], qr/"leveled_up":\s*false/, 'as a JSON boolean');
like($events[0][1], qr/"gold":\s*7\b/, 'gold is a JSON number');
delete $data->{leveled_up};
is_deeply($data, { source => 'quest "1"', external_event_id => "caf\x{e9}\n", streak_day => undef, seq => 1, gold_delta => 7, xp_delta => 499,
		gold => 7, experience_points => 499, level => 1 }, 'with the delta and the resulting balances');
unlike($events[0][1], qr/secret/, 'details are not in it');

# one that does
value($dbh, q{SELECT code FROM economy.grant_reward(?, 'quest', '2', 0, 1001)}, $ann);
@events = heard();
is_deeply([ map { $_->[0] } @events ], [ 'reward_granted', 'profile_update' ], 'a level reached is an event of its own');
is(!!$events[0][2]{data}{leveled_up} . $events[0][2]{data}{level}, '14', 'also told by the grant');
%envelope = %{ $events[1][2] };
$data = delete $envelope{data};
is_deeply(\%envelope, { specversion => '1.0', id => "R$ann-2/level", source => '/economy/node/0', type => 'profile_update', subject => "$ann",
		time => '2031-01-01T10:00:00.000123Z', sequence => sprintf('%020d', 2), datacontenttype => 'application/json' }, 'a CloudEvent with an id of its own');
is_deeply($data, { field => 'level', before => 1, after => 4, seq => 2, gold => 7, experience_points => 1500 }, 'from which level to which');

# a claim, its repeat, a reversal
value($dbh, 'SELECT code FROM economy.claim_daily_reward(?)', $ann);
@events = heard();
is_deeply([ map { [ $_->[0], @{ $_->[2]{data} }{qw(source external_event_id streak_day gold_delta xp_delta gold level)} ] } @events ],
	[ [ 'reward_granted', 'economy:daily_streak', '2031-01-01', 1, 1000, 50, 1007, 4 ] ], 'a claim');
value($dbh, 'SELECT code FROM economy.claim_daily_reward(?)', $ann);
value($dbh, q{SELECT code FROM economy.grant_reward(?, 'quest', '2', 0, 1001)}, $ann);
value($dbh, q{SELECT code FROM economy.grant_reward(?, 'quest', '2', 0, 1002)}, $ann);
value($dbh, q{SELECT code FROM economy.grant_reward(-5, 'quest', '2', 0, 1002)});
is(scalar heard(), 0, 'repeats and refusals are no events');
value($dbh, q{SELECT code FROM economy.revoke_reward(?, ?, 'oops', 'tester')}, $ann, "R$ann-2");
@events = heard();
is_deeply([ map { [ $_->[0], @{ $_->[2]{data} }{qw(source external_event_id gold_delta xp_delta gold experience_points before after)} ] } @events ],
	[ [ 'reward_granted', 'economy:reversal', "R$ann-2", 0, -1001, 1007, 549, undef, undef ],
		[ 'profile_update', undef, undef, undef, undef, 1007, 549, 4, 2 ] ], 'a reversal, and the level it costs');
ok(!$events[0][2]{data}{leveled_up}, 'a level down is no level up');

# only what is committed, in the order of seq
$dbh->begin_work;
value($dbh, q{SELECT code FROM economy.grant_reward(?, 'tx', '1', 1)}, $ann);
is(scalar heard(), 0, 'nothing before the commit');
$dbh->do('SAVEPOINT s');
value($dbh, q{SELECT code FROM economy.grant_reward(?, 'tx', '2', 1)}, $ann);
$dbh->do('ROLLBACK TO SAVEPOINT s');
value($dbh, q{SELECT code FROM economy.grant_reward(?, 'tx', '3', 1)}, $ann);
$dbh->commit;
is(join(' ', map { $_->[2]{id} . ':' . $_->[2]{data}{external_event_id} } heard()), "R$ann-5:1 R$ann-6:3", 'then what was kept, in order');
$dbh->begin_work;
value($dbh, q{SELECT code FROM economy.grant_reward(?, 'tx', '4', 1)}, $ann);
$dbh->rollback;
is(scalar heard(), 0, 'nothing of a rollback');

# a batch
my $bob = add_user($dbh, 'bob');
value($dbh, 'SELECT count(*) FROM economy.grant_rewards(?::jsonb)', encode_json([
	map { { user_id => $_ % 2 ? $ann + 0 : $bob + 0, source => 'batch', external_event_id => "$_", xp => 100 } } 1 .. 12 ]));
@events = heard();
is(scalar(grep { $_->[0] eq 'reward_granted' } @events), 12, 'a batch is an event per reward');
foreach my $user ($ann, $bob)
{
	my @seqs = map { $_->[2]{data}{seq} } grep { $_->[0] eq 'reward_granted' && $_->[2]{subject} == $user } @events;
	is_deeply(\@seqs, [ $seqs[0] .. $seqs[0] + 5 ], 'in the order of seq, none missing');
}
is_deeply([ map { [ @{ $_->[2]{data} }{qw(before after)} ] } grep { $_->[0] eq 'profile_update' && $_->[2]{subject} == $bob } @events ], [ [ 1, 2 ] ],
	'and the level it reached');

# the level of the event is the user's own
$dbh->do(q{SELECT economy.set_level_curve('steep', ARRAY[0, 1, 2, 3])});
$dbh->do(q{SELECT economy.set_level_experiment('all', '[{"arm": "a", "curve": "steep", "share": 10000}]', true)});
my $cid = add_user($dbh, 'cid');
value($dbh, q{SELECT code FROM economy.grant_reward(?, 'quest', '1', 0, 2)}, $cid);
@events = heard();
is_deeply([ map { $_->[2]{data}{level} // $_->[2]{data}{after} } @events ], [ 3, 3 ], 'levels are on the curve of the user\'s experiment');
$dbh->do(q{SELECT economy.set_level_experiment('all', '[]')});

# the longest texts, in the characters that JSON writes longest
value($dbh, q{SELECT code FROM economy.grant_reward(?, repeat(chr(1), 64), repeat(chr(1), 255), 9007199254740000, 9007199254740000)}, $bob);
@events = heard();
is($events[0][2]{data}{external_event_id}, "\x01" x 255, 'the longest texts come whole');
cmp_ok(length $events[0][1], '<', 8000, 'below the limit of NOTIFY');
is($events[0][2]{data}{gold}, 9007199254740000, 'and large numbers exactly');

$dbh->do('SET economy.notify = off');
value($dbh, q{SELECT code FROM economy.grant_reward(?, 'quiet', '1', 0, 5000)}, $ann);
is(scalar heard(), 0, 'off is silent');

$_->disconnect foreach $dbh, $ear;
$node->stop;
done_testing();
