# The rows that the ring hands to the relay: an event that is told from one is, byte for
# byte, the event that changes() and replay() tell of the entry, whatever the entry is and
# however it comes into the ring; and where there is no row, one is read.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use EventTest;
use JSON::PP qw(encode_json);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# a ring with room for 128 items and for 32 kB of rows
my $node = new_node('rows', conf => "shared_preload_libraries = 'economy'\neconomy.ring_size = 128");
my $dbh = connect_to($node);
my $ear = listen_to($node);
my $cursor = (feed($dbh, undef))[1];
my $key = 0;

add_product($dbh, 'potion', price_gold => 1);
add_product($dbh, 'sword', price_gold => 2, effect_code => 'a"b\\c' . "\x{1}" . 'd', stock => 1000);
add_product($dbh, 'lesson', price_gold => 0, granted_xp => 600);
add_product($dbh, 'gems', price_gold => 0, category => 'conversion', granted_gold => 7);
$dbh->do(q{SELECT economy.upsert_draw_table('{"table_id": "exam", "draft": {"entries": [{"entry": "passed", "weight": 1, "xp": 3000}]}}', 'tester'), economy.publish_draw_table('exam', 'tester')});
$dbh->do(q{SELECT economy.register_game(g) FROM unnest(ARRAY['slot', 'dice', 'go', 'rps']) g});

sub id { my ($call, @args) = @_; return value($dbh, "SELECT transaction_id FROM economy.$call", @args) }
sub long { my ($n) = @_; return '{"long": "' . ('x' x $n) . '"}' }
sub read_back { return value($dbh, 'SELECT read_back FROM economy.relay_status()') }
sub settled { poll_until('the ring to be empty', sub { !value($dbh, 'SELECT waiting FROM economy.relay_status()') }); return }
sub relay { my ($pid) = relays($node, 'postgres'); return $pid }

# All that is new was heard, each entry's events in their order, and as they are read;
# returns how many entries the relay has read for it.
sub told_as_read
{
	my ($name, $before) = @_;
	my ($events, $next) = feed($dbh, $cursor);
	my (%heard, @wrong);

	until_heard($ear, map { $_->{id} } @$events);
	settled();
	push @{ $heard{ $_->{user} } }, "$_->{channel} $_->{text}" foreach hear($ear);
	foreach my $user (sort keys %{ { map { $_->{user} => 1 } @$events } })
	{
		my @fed = map { "$_->{channel} $_->{text}" } grep { $_->{user} == $user } @$events;
		my ($first) = map { $_->{seq} } grep { $_->{user} == $user } @$events;
		my @replayed = map { "$_->[0] $_->[1]" } @{ $dbh->selectall_arrayref(q{SELECT type, event FROM economy.replay(?, ?, 10000) WHERE code = 'EVENT'}, undef, $user, $first - 1) };
		push @wrong, "changes(): @fed", "relay: @{ $heard{$user} // [] }" if "@fed" ne "@{ $heard{$user} // [] }";
		push @wrong, "changes(): @fed", "replay(): @replayed" if "@fed" ne "@replayed";
	}
	ok(@$events && !@wrong, "$name: " . @$events . ' events') or diag(map { substr("$_\n", 0, 3000) } @wrong);
	@{ $ear->{heard} } = ();
	$cursor = $next;
	return read_back() - $before;
}

# Entries of every journal, with and without what may be null; an action of each game is
# one, so that the totals that are told are those that are read.
sub one_of_each
{
	my ($context) = @_;
	my $n = ++$key;
	my $user = add_user($dbh, "each $n", 100);
	my $odd = "\x{e9}\x{2603} \"\\/\x{1f}\n$n";

	id(q{purchase(?, 'potion', ?)}, $user, $odd);
	id(q{purchase(?, 'sword', ?, 3, ?)}, $user, 'k' x 255, $context);
	id(q{purchase(?, 'gems', ?, 2)}, $user, 'g');
	id(q{purchase(?, 'lesson', 'l')}, $user);
	my $reward = id(q{grant_reward(?, 'quest', ?, 5, 700)}, $user, $odd);
	id(q{grant_reward(?, 'quest', 'd', 1, 1, ?)}, $user, $context);
	id(q{revoke_reward(?, ?, 'a mistake', 'tester')}, $user, $reward);
	id(q{claim_daily_reward(?)}, $user);
	id(q{set_streak(?, 5, current_date, ?, 'tester')}, $user, $odd);
	id(q{record_action(?, 'slot', 'SPIN', ?, 2, 5)}, $user, $odd);
	id(q{record_action(?, 'dice', 'ROLL', 'l', 3, 0, NULL, ?)}, $user, $context);
	id(q{record_action(?, 'go', 'PLAY', 'd', 1, 1, 'draw')}, $user);
	id(q{record_action(?, 'rps', 'PLAY', 'xp', 1, 0, xp => 1200)}, $user);
	$dbh->do('SELECT economy.draw_commit(?)', undef, $user);
	id(q{draw(?, 'exam', 'passed', 'lucky')}, $user);
	id(q{spend(?, 1, 'tip', 'no xp')}, $user);
	id(q{adjust_gold(?, -3, ?, ?, 'tester')}, $user, $odd, 'r' x 200);
	$dbh->do('SELECT economy.set_timezone(?, ?)', undef, $user, 'Asia/Tokyo');
	$dbh->do('SELECT economy.update_profile(?, ?, ?)', undef, $user, '{"display_name": "\"A\"", "x": [1, null]}', $odd);
	$dbh->do(q{SELECT economy.update_profile(?, '{"x": null}', 'p2', 'tester')}, undef, $user);
	$dbh->do('SELECT economy.link_external_id(?, ?, ?)', undef, $user, "new $odd", $odd);
	$dbh->do(q{SELECT economy.unlink_external_id(?, 'u', 'tester')}, undef, $user);
	$dbh->do(q{SELECT economy.set_user_status(?, 'suspended', 'tester')}, undef, $user);
	return $user;
}

foreach my $way (qw(auto sql))
{
	$dbh->do("SET economy.row_access = $way");
	my $before = read_back();
	one_of_each('{"a": [1, 2, {"b": "\"\u00e9\""}]}');
	is(told_as_read("each, $way", $before), 0, 'and no row is read');
	one_of_each(long(2000));
	is(told_as_read("each, with details that are long, $way", $before), 3, 'and their rows are read');
}
$dbh->do('RESET economy.row_access');

# many of one transaction, of several users and journals, singly and in batches
my @crowd = map { add_user($dbh, "crowd $_", 100) } 1 .. 5;
told_as_read('the crowd', 0);
my $before = read_back();
$dbh->begin_work;
foreach my $round (1 .. 3)
{
	id(q{purchase(?, 'potion', ?)}, $_, 'c' . ++$key) foreach @crowd;
	value($dbh, q{SELECT count(*) FROM economy.purchases(?::bigint[], array_fill('potion'::text, ARRAY[10]), (SELECT array_agg('b' || ? || n) FROM generate_series(1, 10) n))}, [ (@crowd) x 2 ], "$round.");
	id(q{grant_reward(?, 'crowd', ?, 1, 300)}, $_, ++$key) foreach reverse @crowd;
}
value($dbh, q{SELECT count(*) FROM economy.record_actions((SELECT jsonb_agg(jsonb_build_object('user_id', u, 'game', g, 'action_type', 'T', 'action_id', 'x', 'bet', 1, 'win', 2)) FROM unnest(?::bigint[]) u, unnest(ARRAY['slot', 'go']) g))}, \@crowd);
$dbh->commit;
is(told_as_read('a transaction of many', $before), 0, 'and no row is read');

# what a savepoint takes back goes with its rows, and what follows has its own
$before = read_back();
$dbh->begin_work;
sub spend { my ($user, $n) = @_; id(q{purchase(?, 'potion', ?)}, $user, 's' . ++$key) foreach 1 .. $n; return }
spend($crowd[0], 2);
$dbh->do('SAVEPOINT a');
spend($_, 3) foreach @crowd[ 0, 1 ];
$dbh->do('SAVEPOINT b');
id(q{grant_reward(?, 'saved', ?, 1)}, $crowd[1], ++$key);
$dbh->do('RELEASE b');
$dbh->do('ROLLBACK TO a');
id(q{grant_reward(?, 'saved', ?, 1)}, $_, ++$key) foreach @crowd[ 1, 0 ];
$dbh->do('SAVEPOINT c');
spend($crowd[2], 2);
$dbh->do('RELEASE c');
spend($crowd[2], 1);
$dbh->commit;
is(told_as_read('savepoints', $before), 0, 'and no row is read');

# the statistics that an action is handed over with are those right after it, whatever came
# later; nothing is read for them
sub totals
{
	my ($user) = @_;
	return join ' ', map { join '/', @{ $_->{event}{data} }{qw(game total wins losses draws max_win)} } grep { $_->{user} == $user && $_->{channel} eq 'stats_delta' } hear($ear);
}

sub play
{
	my ($user, @rounds) = @_;
	return map { id(q{record_action(?, ?, 'T', ?, ?, ?, NULL, ?)}, $user, $_->[0], 't' . ++$key, @$_[ 1 .. 3 ]) } @rounds;
}

sub play_many
{
	my ($user, @rounds) = @_;
	my @objects = map { { user_id => $user, game => $_->[0], action_type => 'T', action_id => 't' . ++$key, bet => $_->[1], win => $_->[2] } } @rounds;
	return @{ $dbh->selectcol_arrayref('SELECT transaction_id FROM economy.record_actions(?)', undef, encode_json(\@objects)) };
}

sub is_told_of
{
	my ($name, $user, $last, $expected, $read) = @_;
	until_heard($ear, "$last/stats");
	settled();
	is(totals($user), $expected, $name);
	is(read_back() - $before, $read // 0, 'and so many rows are read');
	$before = read_back();
	return;
}

my @rounds = ([ 'slot', 1, 3 ], [ 'go', 1, 0 ], [ 'slot', 2, 2 ], [ 'slot', 5, 9 ], [ 'go', 0, 4 ]);
my $after = 'slot/1/1/0/0/3 go/1/0/1/0/0 slot/2/1/0/1/3 slot/3/2/0/1/9 go/2/1/1/0/4';
my $spilled = add_user($dbh, 'spilled', 1000);
$dbh->do(q{SELECT economy.register_game(repeat(chr(97 + g), 64)) FROM generate_series(0, 15) g});
play($spilled, map { [ chr(97 + $_) x 64, 1, 1 ] } 0 .. 15);
ok(value($dbh, 'SELECT count(*) FROM economy_internal.game_stats_more WHERE user_id = ?', $spilled), 'statistics in rows of their own');
told_as_read('many games', 0);
$before = read_back();
foreach my $how ([ 'singly', \&play ], [ 'in a batch', \&play_many ])
{
	foreach my $way (qw(auto sql))
	{
		my $user = add_user($dbh, "totals $how->[0] $way", 1000);

		$dbh->do("SET economy.row_access = $way");
		kill STOP => relay() or die 'no relay';
		my @ids = $how->[1]->($user, @rounds);
		kill CONT => relay();
		is_told_of("totals, $how->[0], $way", $user, $ids[-1], $after);
	}
	my @at = $how->[1]->($spilled, [ 'p' x 64, 1, 7 ], [ 'p' x 64, 2, 1 ]);
	my @then = $how->[0] eq 'singly' ? ("2/1/0/1/7", "3/1/1/1/7") : ("4/2/1/1/7", "5/2/2/1/7");
	is_told_of("totals of a game in a row of its own, $how->[0]", $spilled, $at[-1], join ' ', map { "p" x 64 . "/$_" } @then);
	@{ $ear->{heard} } = ();
}
$dbh->do('RESET economy.row_access');

my $player = add_user($dbh, 'player', 1000);
$dbh->begin_work;
$dbh->do('SAVEPOINT a');
play($player, [ 'slot', 1, 100 ]);
$dbh->do('ROLLBACK TO a');
my ($kept) = play($player, [ 'slot', 1, 2 ], [ 'slot', 1, 0 ]);
$dbh->do('SAVEPOINT b');
my ($newest) = play($player, [ 'slot', 1, 5 ]);
$dbh->commit;
is_told_of('not of what a savepoint took back', $player, $newest, 'slot/1/1/0/0/2 slot/2/1/1/0/2 slot/3/2/1/0/5');
@{ $ear->{heard} } = ();

# one that is too large is read, with the statistics of when it is told
kill STOP => relay();
($newest) = reverse play($player, [ 'slot', 1, 1, long(1500) ], [ 'slot', 1, 0 ]);
kill CONT => relay();
is_told_of('totals of now, of an action that is read', $player, $newest, 'slot/5/2/2/1/5 slot/5/2/2/1/5', 1);
@{ $ear->{heard} } = ();

$dbh->do('SET economy.notify = inline');
($newest) = (play($player, [ 'slot', 1, 1 ]))[0];
is_told_of('inline', $player, $newest, 'slot/6/2/2/2/5');
$dbh->begin_work;
($newest) = reverse play($player, [ 'slot', 1, 1 ], [ 'slot', 1, 1 ]);
$dbh->commit;
is_told_of('several, inline', $player, $newest, 'slot/6/2/2/2/5 slot/7/2/2/3/5 slot/8/2/2/4/5');
$dbh->do('RESET economy.notify');
@{ $ear->{heard} } = ();

# whoever holds the tables that statistics stand in does not keep the relay waiting
kill STOP => relay();
($newest) = reverse play($player, [ 'go', 1, 1 ], [ 'go', 2, 3 ]);
my $holder = connect_to($node);
$holder->begin_work;
$holder->do('LOCK economy.accounts, economy.user_actions, economy_internal.game_stats_more');
kill CONT => relay();
is_told_of('while the tables are held', $player, $newest, 'go/1/0/0/1/1 go/2/1/0/1/3');
$holder->rollback;
$holder->disconnect;
@{ $ear->{heard} } = ();
$cursor = (feed($dbh, undef))[1];

# more than the relay tells in a step, as one item without rows
my $heap = add_user($dbh, 'heap', 10000);
told_as_read('the heap', 0);
$before = read_back();
my $queued = value($dbh, 'SELECT queued FROM economy.relay_status()');
$dbh->begin_work;
value($dbh, q{SELECT count(*) FROM economy.purchases(array_fill(?::bigint, ARRAY[2500]), array_fill('potion'::text, ARRAY[2500]), (SELECT array_agg('h' || n) FROM generate_series(1, 2500) n), NULL, array_fill(?::jsonb, ARRAY[2500]))}, $heap, long(1000));
$dbh->commit;
is(value($dbh, 'SELECT queued FROM economy.relay_status()') - $queued, 1, 'entries of a user in a row, to be read, are one item');
is(told_as_read('more than a step', $before), 2500, 'all read');

# in the commit itself
$dbh->do('SET economy.notify = inline');
$before = read_back();
one_of_each($_) foreach '{"a": 1}', long(2000);
is(told_as_read('inline', $before), 0, 'and nothing comes from the relay');
$dbh->do('RESET economy.notify');

# more than there is room for, while the relay does not look; its items go round the ring
my $pid = relay();
foreach my $round (1 .. 4)
{
	my $bytes = $round % 2 ? 700 : 100;

	$before = read_back();
	kill STOP => $pid or die "relay $pid: $!";
	id(q{grant_reward(?, 'round', ?, 1, 1, ?)}, $crowd[ $_ % 5 ], ++$key, long($bytes + $_ % 7)) foreach 1 .. 60;
	is(value($dbh, 'SELECT waiting FROM economy.relay_status()'), 60, "round $round: all wait");
	kill CONT => $pid or die "relay $pid: $!";
	my $read = told_as_read("round $round", $before);
	$bytes < 256 ? is($read, 0, 'and no row is read') : ok($read > 0 && $read < 60, 'and the rows that had no room are read') || diag($read);
}

# a batch of more rows than the ring has room for: the relay tells the first from what it has
$before = read_back();
$dbh->begin_work;
value($dbh, q{SELECT count(*) FROM economy.grant_rewards((SELECT jsonb_agg(jsonb_build_object('user_id', ?::bigint, 'source', 'batch', 'external_event_id', ? || n, 'gold', 1)) FROM generate_series(1, 1000) n))}, $heap, ++$key . '-');
$dbh->commit;
my $read = told_as_read('a batch', $before);
ok($read > 500 && $read < 1000, 'a batch has no more rows than the ring could take') or diag($read);

# a relay that ends leaves what waits to the next one, rows too
$pid = relay();
$before = read_back();
kill STOP => $pid or die "relay $pid: $!";
id(q{purchase(?, 'potion', ?)}, $crowd[ $_ % 5 ], 'k' . ++$key) foreach 1 .. 20;
$dbh->do('SELECT pg_terminate_backend(?)', undef, $pid);
kill CONT => $pid or die "relay $pid: $!";
poll_until('the next relay', sub { my $next = relay(); $next && $next != $pid });
is(told_as_read('the next relay', $before), 0, 'and no row is read');

# what is prepared by one session and committed by another
$dbh->begin_work;
id(q{purchase(?, 'sword', ?, 2)}, $_, 'p' . ++$key) foreach @crowd;
$dbh->do(q{PREPARE TRANSACTION 'rows'});
$dbh->{AutoCommit} = 1 if !$dbh->{AutoCommit};
my $other = connect_to($node);
id(q{adjust_gold(?, 1, ?, 'a test', 'tester')}, $heap, ++$key);
$other->do(q{COMMIT PREPARED 'rows'});
told_as_read('what was prepared', 0);

# what waits and is rolled back leaves no row to another entry of its number
$dbh->begin_work;
id(q{purchase(?, 'sword', ?, 7)}, $crowd[0], 'rolled back');
$dbh->do(q{PREPARE TRANSACTION 'gone'});
$dbh->{AutoCommit} = 1 if !$dbh->{AutoCommit};
$other->do(q{ROLLBACK PREPARED 'gone'});
id(q{purchase(?, 'potion', ?)}, $crowd[0], 'instead');
told_as_read('what was rolled back', 0);


# what cannot be told from its row is read, and passed over when that does not help; what
# stands beside it is told
$pid = relay();
kill STOP => $pid or die "relay $pid: $!";
my @beside = (id(q{purchase(?, 'potion', ?)}, $crowd[0], 'x' . ++$key), id(q{grant_reward(?, 'odd', 'o', 1)}, $crowd[1]), id(q{purchase(?, 'potion', ?)}, $crowd[1], 'x' . ++$key));
my $log = -s $node->logfile;
$other->do(q{ALTER TABLE economy.level_experiments DISABLE TRIGGER USER;
	INSERT INTO economy.level_experiments (experiment, arm, curve, share, enabled) VALUES ('e', 'a', 'no such curve', 10000, true)});
kill CONT => $pid or die "relay $pid: $!";
until_heard($ear, @beside[ 0, 2 ]);
settled();
is(ids(hear($ear)), "@beside[0, 2]", 'one that cannot be told');
my @said = slurp_file($node->logfile, $log) =~ /(WARNING: .*)/g;
like("@said", qr/^WARNING:  entry \d+ of user $crowd[1] cannot be told and is passed over: level curve "no such curve" does not exist$/, 'is said once, and why');
$other->do('DELETE FROM economy.level_experiments');
@{ $ear->{heard} } = ();
$cursor = (feed($dbh, undef))[1];
one_of_each('{"a": 1}');
told_as_read('with that mended', 0);

$_->disconnect foreach $dbh, $other, $ear->{dbh};
$node->stop;
done_testing();
