# economy_tail: every committed event once and in order per user, whatever
# happens to the server, the relay or the notifications.
use strict;
use warnings;

use FindBin;
use IO::Select;
use IO::Socket::UNIX;
use JSON::PP;
use lib "$FindBin::Bin/..";
use EconomyTest;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $bindir = `pg_config --bindir`;
chomp $bindir;
my $tail = ($ENV{ECONOMY_STAGE} // q{}) . "$bindir/economy_tail";
my $deadline = $PostgreSQL::Test::Utils::timeout_default;
my $dir = PostgreSQL::Test::Utils::tempdir();
my $started = 0;
my %running;

my $node = new_node('tail', conf => "shared_preload_libraries = 'economy'\nfsync = on\nrestart_after_crash = on");
my @where = ('-h', $node->host, '-p', $node->port, 'postgres');

# Waits for a condition; false after the deadline.
sub eventually
{
	my ($code) = @_;

	for my $try (1 .. 20 * $deadline)
	{
		return 1 if $code->();
		select undef, undef, undef, 0.05;
	}
	return 0;
}

sub lines
{
	my ($file) = @_;
	return split /\n/, slurp_file($file);
}

# A running economy_tail with its output in files.
sub launch
{
	my (@args) = @_;
	my %t = (out => "$dir/out" . ++$started, err => "$dir/err$started", args => "@args");

	append_to_file($t{$_}, '') foreach qw(out err);
	$t{pid} = fork() // die "fork: $!";
	if ($t{pid} == 0)
	{
		open STDOUT, '>', $t{out};
		open STDERR, '>', $t{err};
		delete $ENV{PGAPPNAME};
		exec $tail, @args or POSIX::_exit(127);
	}
	$running{ $t{pid} } = 1;
	return \%t;
}

# One that has got as far as listening.
sub listener
{
	my $t = launch(@where, @_);

	eventually(sub { slurp_file($t->{err}) =~ /listening/ })
	  or die "economy_tail does not listen: " . slurp_file($t->{err});
	return $t;
}

# The exit code; it must end by itself or by a signal sent before.
sub ended
{
	my ($t) = @_;
	my $code = -1;

	eventually(sub { waitpid($t->{pid}, POSIX::WNOHANG()) > 0 && (($code = $? & 127 ? "signal $?" : $? >> 8), 1) })
	  or kill 'KILL', $t->{pid};
	delete $running{ $t->{pid} };
	return $code;
}

END { kill 'KILL', keys %running }

sub stop_it
{
	my ($t) = @_;
	kill 'TERM', $t->{pid};
	return ended($t);
}

sub events { return map { decode_json($_) } lines($_[0]{out}) }
sub ids { return join ' ', map { $_->{id} } events(@_) }

# Waits until the output of --json has these ids, in this order.
sub shows
{
	my ($t, $expected, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $enough = () = $expected =~ /\S+/g;

	eventually(sub { scalar(lines($t->{out})) >= $enough });
	return is(ids($t), $expected, $name);
}

# A way to the server on which what follows an error comes later: the server sends the two apart,
# and how they arrive is chance elsewhere. Returns the directory of its socket.
sub in_parts
{
	my $place = "$dir/parts";
	my $number = $node->port;

	mkdir $place or die "mkdir $place: $!";
	my $door = IO::Socket::UNIX->new(Local => "$place/.s.PGSQL.$number", Listen => 5) or die "listen: $!";
	my $pid = fork() // die "fork: $!";
	$running{$pid} = 1;
	return $place if $pid;
	while (my $client = $door->accept)
	{
		my $server = IO::Socket::UNIX->new(Peer => $node->host . "/.s.PGSQL.$number") or next;
		my $said = '';

		while (my @ready = IO::Select->new($client, $server)->can_read)
		{
			sysread $ready[0], my $bytes, 8192 or last;
			syswrite $server, $bytes and next if $ready[0] == $client;
			$said .= $bytes;
			# a message has a letter and then its length, which counts itself
			while (length $said > 4 && length $said > (my $length = unpack 'x N', $said))
			{
				my $message = substr $said, 0, $length + 1, '';
				syswrite $client, $message;
				select undef, undef, undef, 0.3 if $message =~ /^E/;
			}
		}
	}
	POSIX::_exit(0);
}

# The ids of all events of the journals, by user.
sub committed
{
	my ($dbh) = @_;
	my %ids;

	push @{ $ids{ $_->[0] } }, $_->[1] foreach @{ $dbh->selectall_arrayref(<<'SQL') };
SELECT l.user_id, e.event->>'id'
FROM economy.ledger l, economy_internal.entry_events(l.user_id, l.seq, l.transaction_id::"char") WITH ORDINALITY e (type, event, n)
ORDER BY l.user_id, l.seq, e.n
SQL
	return %ids;
}

my $dbh = connect_to($node);
my ($ann, $bob) = map { add_user($dbh, $_) } qw(ann bob);
add_product($dbh, 'potion', price_gold => 1);
sub reward { return value($dbh, q{SELECT transaction_id FROM economy.grant_reward(?, 'test', ?, 10, ?)}, @_) }

# live, filters, several events of one entry
{
	reward($ann, 'before', 1);
	my %of = (
		all => listener('--json'),
		start => listener('--json', '--since=start'),
		ann => listener('--json', '--user', $ann, '--since=0'),
		since => listener('--json', '--user', $ann, '--since', 1),
		both => listener('--json', '--user', $ann, '--user', $bob),
		type => listener('--json', '--type=profile_update', '--type', 'stats_delta'),
		text => listener('--user', $ann, '--since=1'),
		verify => listener('--json', '--verify'));
	reward($ann, 'level', 600);
	value($dbh, q{SELECT code FROM economy.record_action(?, 'rps', 'RPS_PLAY', 'round 1', 2, 4)}, $ann);
	$dbh->begin_work;
	$dbh->do('SAVEPOINT s');
	reward($bob, 'undone', 1);
	$dbh->do('ROLLBACK TO SAVEPOINT s');
	reward($bob, 'done', 1);
	$dbh->commit;
	value($dbh, q{SELECT code FROM economy.purchase(?, 'potion', 'k1')}, $bob);
	my $ann_new = "R$ann-2 R$ann-2/level A$ann-3 " . (grep { /^A$ann-3\// } @{ { committed($dbh) }->{$ann} })[0];
	my $bob_new = "R$bob-1 P$bob-2";
	shows($of{all}, "$ann_new $bob_new", 'all users, from now on');
	shows($of{verify}, "$ann_new $bob_new", 'the same from the journals');
	shows($of{start}, "R$ann-1 $ann_new $bob_new", 'all users, from the start');
	shows($of{ann}, "R$ann-1 $ann_new", 'one user from the start');
	shows($of{since}, $ann_new, 'one user since an entry');
	shows($of{both}, "$ann_new $bob_new", 'two users');
	shows($of{type}, $ann_new =~ s/R$ann-2 | A$ann-3(?= )//gr, 'two types');
	eventually(sub { lines($of{text}{out}) >= 4 });
	like((lines($of{text}{out}))[0], qr/^20[-0-9]+T[:.0-9]+Z user=$ann seq=2 reward_granted R$ann-2 \{"source":"test",.*\}$/, 'a line for people');
	is((lines($of{text}{out}))[1] =~ s/^\S+ //r, "user=$ann seq=2 profile_update R$ann-2/level "
		  . value($dbh, "SELECT event->'data' FROM economy.replay(?, 1) WHERE type = 'profile_update'", $ann), 'with the event\'s data');
	my ($first) = lines($of{ann}{out});
	is($first, value($dbh, 'SELECT event::text FROM economy.replay(?, 0) LIMIT 1', $ann), '--json is the event as it is');

	# what is no entry is told once, when it happens
	$dbh->do(q{SELECT economy_internal.publish_profile(?, 'segment', 'New', 'Loyal')}, undef, $ann);
	# and once if somebody sends it again
	eventually(sub { ids($of{all}) =~ /S$ann-3/ });
	my ($loose) = grep { /"id":"S$ann-3/ } lines($of{all}{out});
	$dbh->do('SELECT pg_notify(?, ?)', undef, 'profile_update', $loose) foreach 1 .. 2;
	$dbh->do(q{SELECT economy.set_timezone(?, 'Europe/Rome')}, undef, $ann);
	reward($ann, 'after', 1);
	eventually(sub { ids($of{$_}) =~ /R$ann-5/ }) foreach qw(all ann verify);
	is(scalar(grep { $_->{id} =~ /^S$ann-3\// } events($of{$_})), 1, "$_: a new segment is shown once") foreach qw(all ann);
	unlike(ids($of{verify}), qr/S/, '--verify: no journal says so');
	like(ids($of{$_}), qr/U$ann-4 R$ann-5/, "$_: a new time zone is an entry") foreach qw(all ann verify);
	is(stop_it($of{$_}), 0, "SIGTERM: $_") foreach sort keys %of;
	is(join('', map { grep { !/^economy_tail: listening$/ } lines($_->{err}) } values %of), '', 'nothing else to say');
}

# a cursor
{
	my $cursor = value($dbh, 'SELECT next_cursor FROM economy.changes()');
	my $id = reward($bob, 'cursor 1', 1);
	my $t = listener('--json', '--since', $cursor);
	shows($t, "$id " . reward($bob, 'cursor 2', 1), 'after a cursor');
	kill 'INT', $t->{pid};
	is(ended($t), 0, 'SIGINT');
	$t = listener('--json', '--since', $cursor =~ s/\|\d+/|1/r);
	like(slurp_file($t->{err}), qr/^\{"code":"RESYNC_REQUIRED","cursor":"\d[^"]+"\}$/m, 'a cursor of another cluster');
	shows($t, reward($bob, 'cursor 3', 1), 'and on from there');
	stop_it($t);
	$t = listener('--since', $cursor =~ s/\|\d+/|1/r);
	like((lines($t->{err}))[0], qr/^economy_tail: RESYNC_REQUIRED: the cursor .*; going on from 3\|\d{5}\S+$/, 'or a message');
	stop_it($t);
}

# notifications that are missing, and some that lie
{
	my %of = map { my $poll = $_; map { ("$poll $_" => listener('--json', "--poll=$poll", /user/ ? ('--user', $ann) : ())) } qw(all user) } 0, 1, 600;
	my @ids;

	$dbh->do('SET economy.notify = off');
	push @ids, reward($ann, "off $_", 1) foreach 1 .. 3;
	shows($of{"1 $_"}, "@ids", "$_: what was not notified is polled for") foreach qw(all user);
	select undef, undef, undef, 1;
	is(ids($of{$_}), '', "$_: unless there is no polling, or not yet") foreach '0 all', '0 user', '600 all', '600 user';
	$dbh->do('RESET economy.notify');
	push @ids, reward($ann, 'on', 1);
	shows($of{$_}, "@ids", "$_: a gap is filled") foreach sort keys %of;

	# of other shape, other people, long ago and far away
	my $next = 1 + value($dbh, 'SELECT seq FROM economy.account(?)', $ann);
	my $payload = value($dbh, 'SELECT event::text FROM economy.replay(?, ?)', $ann, $next - 2);
	$dbh->do('SELECT pg_notify(?, ?)', undef, 'reward_granted', $_)
	  foreach '', 'hello', '{}', "$payload x", $payload =~ s/"id"/"no"/r, $payload =~ s/"$ann"/"999"/r, $payload,
	  $payload =~ s/0+\d+(?=","datacontenttype)/00000000000000000001/r, $payload =~ s/0+\d+(?=","datacontenttype)/00000000000000009999/r;
	$dbh->do('SELECT pg_notify(?, ?)', undef, 'user_action', $payload);
	push @ids, reward($ann, 'lies', 1);
	shows($of{$_}, "@ids", "$_: notifications that lie show nothing") foreach sort keys %of;
	stop_it($_) foreach values %of;

	# the worst lie is the next entry
	my ($all, $user) = map { listener('--json', '--verify', @$_) } [], [ '--user', $ann ];
	$dbh->do('SELECT pg_notify(?, ?)', undef, 'reward_granted', $payload =~ s/0+\d+(?=","datacontenttype)/sprintf '%020d', $next + 1/er);
	my $true = reward($ann, 'the truth', 1);
	shows($all, $true, '--verify believes none of it');
	shows($user, $true, 'nor of one user');
	stop_it($_) foreach $all, $user;

	# without it the lie is shown, but hides nothing that the journals say
	my %credulous = map { $_ => listener('--json', '--poll=1', /user/ ? ('--user', $ann) : ()) } qw(all user);
	push @ids, reward($ann, 'before the lie', 1);
	eventually(sub { ids($credulous{$_}) =~ /\Q$ids[-1]\E/ }) foreach keys %credulous;
	$next = 1 + value($dbh, 'SELECT seq FROM economy.account(?)', $ann);
	foreach my $lie ($next .. $next + 20)
	{
		$dbh->do('SELECT pg_notify(?, ?)', undef, 'reward_granted',
			$payload =~ s/0+\d+(?=","datacontenttype)/sprintf '%020d', $lie/er =~ s/"id":"R$ann-\d+"/"id":"R$ann-$lie"/r);
	}
	my @true = map { reward($ann, "true $_", 3) } 1 .. 5;
	foreach my $name (sort keys %credulous)
	{
		ok(eventually(sub { my %three = map { $_->{id} => 1 } grep { $_->{data}{xp_delta} == 3 } events($credulous{$name}); !grep { !$three{$_} } @true }),
			"$name: forged numbers hide no event for good");
		my %times;
		$times{ $_->{id} }++ foreach grep { $_->{data}{xp_delta} == 3 } events($credulous{$name});
		is(scalar(grep { $_ > 1 } values %times), 0, "$name: and each is shown once");
	}
	stop_it($_) foreach values %credulous;

	# with references there is nothing to believe
	my $told = listener('--json', '--poll=0');
	push @ids, reward($ann, 'known', 1);
	shows($told, $ids[-1], 'a whole event');
	$dbh->do($_) foreach 'SET economy.notify = inline', 'SET economy.notify_payload = reference';
	push @ids, reward($ann, 'referred to', 1);
	shows($told, "$ids[-2] $ids[-1]", 'what is only referred to is read');
	ok((events($told))[-1]{data}{gold}, 'whole');
	$dbh->do($_) foreach 'RESET economy.notify', 'RESET economy.notify_payload';
	stop_it($told);
}

# more of a user than one answer holds
{
	my $gil = add_user($dbh, 'gil');

	value($dbh, q{SELECT count(*) FROM economy.grant_rewards((SELECT jsonb_agg(jsonb_build_object('user_id', ?::bigint, 'source', 'many', 'external_event_id', i::text, 'gold', 1)) FROM generate_series(1, 2100) i))}, $gil);
	my $t = listener('--json', '--user', $gil, '--since=start', '--poll=0');
	shows($t, join(' ', map { "R$gil-$_" } 1 .. 2100), 'each of very many');
	stop_it($t);
}

# nobody reads its output
{
	pipe(my $end, my $full) or die "pipe: $!";
	my $pid = fork() // die "fork: $!";

	if ($pid == 0)
	{
		open STDOUT, '>&', $full or POSIX::_exit(1);
		exec $tail, '--json', '--since=start', @where or POSIX::_exit(1);
	}
	close $full;
	value($dbh, q{SELECT count(*) FROM (SELECT economy.grant_reward(?, 'pipe', n::text, 1) FROM generate_series(1, 500) n) x}, $ann);
	# as long as it takes to fill the pipe, and then some
	select undef, undef, undef, 3;
	kill TERM => $pid;
	my $ended = eventually(sub { waitpid($pid, POSIX::WNOHANG()) > 0 });
	ok($ended, 'and SIGTERM ends it while nobody reads');
	kill KILL => $pid if !$ended;
}

# what happened while it was away, and nothing after it that would tell of a gap
{
	my @away = map { listener('--json', '--poll=0', @$_) } [], [ '--verify' ], [ '--user', $ann ], [ '--user', $bob ];
	my $first = reward($ann, 'there', 1);

	shows($_, $first, 'there') foreach @away[ 0 .. 2 ];
	kill 'STOP', $_->{pid} foreach @away;
	value($dbh, q{SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'economy_tail'});
	my $expected = join ' ', reward($ann, 'away', 1), reward($bob, 'away', 1), reward($ann, 'away too', 1);
	$node->poll_query_until('postgres', 'SELECT sum(waiting) = 0 FROM economy.relay_status()');
	kill 'CONT', $_->{pid} foreach @away;
	# of different users in no order
	foreach my $t (@away)
	{
		my $subject = $t->{args} =~ /--user (\d+)/ ? $1 : '\d+';
		my @expected = grep { /^R$subject-/ } split / /, $t->{args} =~ /--user $bob/ ? $expected : "$first $expected";
		eventually(sub { scalar(lines($t->{out})) >= @expected });
		is(join(' ', sort split / /, ids($t)), join(' ', sort @expected), "after being away: $t->{args}");
		is(stop_it($t), 0, 'SIGTERM');
	}
}

# entries that are not there any more
{
	my $cat = add_user($dbh, 'cat');
	$dbh->do(q{SET economy.test_clock = '2021-01-01 12:00+00'});
	value($dbh, q{SELECT code FROM economy.record_action(?, 'rps', 'RPS_PLAY', ?, 0, 4)}, $cat, $_) foreach 1 .. 5;
	$dbh->do('RESET economy.test_clock');
	$dbh->do('SELECT * FROM economy.rollup_stats()');
	is(value($dbh, 'SELECT users FROM economy.prune()'), 1, 'actions are pruned');
	my $json = listener('--json', '--user', $cat, '--since=2');
	my $text = listener('--user', $cat, '--since=start');
	my $ahead = listener('--json', '--user', $cat, '--since=1000');
	is((lines($json->{err}))[0], qq({"code":"RESYNC_REQUIRED","user_id":$cat,"after_seq":2,"seq":5,"gold":20,"experience_points":0}), 'pruned: an object');
	like((lines($text->{err}))[0], qr/RESYNC_REQUIRED: .* user $cat after seq 0 .* at seq 5 with 20 gold/, 'or a message');
	like((lines($ahead->{err}))[0], qr/"RESYNC_REQUIRED".*"after_seq":1000,"seq":5/, 'a database that was set back');
	my $id = reward($cat, 'after', 1);
	shows($_, $id, 'and on from there') foreach $json, $ahead;
	stop_it($_) foreach $json, $text, $ahead;
}

# an error and what ends it, one after the other: it is an error all the same
{
	my $t = launch('-h', in_parts(), @where[ 2 .. 4 ], '--json', '--poll=1');
	my $session = connect_to($node);

	ok(eventually(sub { slurp_file($t->{err}) =~ /listening/ }), 'a server whose messages come one by one') or diag(slurp_file($t->{err}));
	$session->do('BEGIN; LOCK TABLE economy.accounts IN ACCESS EXCLUSIVE MODE');
	my $ended = eventually(sub { value($dbh, q{SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE application_name = 'economy_tail' AND wait_event_type = 'Lock'}) });
	ok($ended, 'it waits, and its statement is ended');
	$session->do('ROLLBACK');
	$session->disconnect;
	ok(eventually(sub { 2 == (() = slurp_file($t->{err}) =~ /listening/g) }), 'it connects again');
	shows($t, reward($ann, 'in parts', 1), 'and goes on');
	is(slurp_file($t->{err}) =~ s/^LINE.*\n *\^\n//mr, "economy_tail: listening\neconomy_tail: the server says: ERROR:  canceling statement due to user request\neconomy_tail: listening\n", 'having said what the server says');
	is(stop_it($t), 0, 'SIGTERM');
}

# a database that is begun anew: numbers that were shown are those of other entries
{
	my $name = fresh_database($node);
	my $session = connect_to($node, $name);
	my $give = sub { return value($session, q{SELECT transaction_id FROM economy.grant_reward(?, 'anew', ?, 1)}, @_) };
	my $user = add_user($session, 'dora');
	my $old = join ' ', map { $give->($user, "old $_") } 1 .. 5;
	my $t = launch(@where[ 0 .. 3 ], '--json', '--poll=1', '--since=start', $name);
	shows($t, $old, 'the old entries');
	my $n = () = lines($t->{out});
	$session->do('BEGIN; SET LOCAL economy.allow_drop = on; DROP EXTENSION economy; CREATE EXTENSION economy; COMMIT');
	ok(eventually(sub { slurp_file($t->{err}) =~ /RESYNC_REQUIRED/ }), 'the extension is made anew: told');
	$session->disconnect;
	$session = connect_to($node, $name);
	is(add_user($session, 'emil'), $user, 'with a user of the same id');
	my $new = join ' ', map { $give->($user, "new $_") } 1 .. 3;
	ok(eventually(sub { scalar(lines($t->{out})) == $n + 3 }), 'the entries of the new one are shown') or diag(ids($t));
	$session->do('BEGIN; SET LOCAL economy.allow_drop = on; DROP EXTENSION economy; COMMIT');
	is(ended($t), 1, 'with no extension any more, not even its schema, it ends');
	like(slurp_file($t->{err}), qr/the server says: ERROR: .*does not exist/, 'and says why');
	# nor does it go on without the right to
	$dbh->do('CREATE ROLE watcher LOGIN');
	$dbh->do(q{SELECT economy.grant_access('watcher', 'monitor')});
	$t = listener('-U', 'watcher', '--poll=1');
	$dbh->do(q{SELECT economy.revoke_access('watcher', 'monitor')});
	is(ended($t), 1, 'with no right any more it ends');
	like(slurp_file($t->{err}), qr/the server says: ERROR:\s+permission denied/, 'and says why');
	$session->disconnect;
}

# arguments and connections
{
	my $password = 'geheim';
	my @wrong = ([ 2, '--bogus' ], [ 2, '--type=nothing' ], [ 2, '--user=x' ], [ 2, '--user=' ], [ 2, '--user=9223372036854775808' ],
		[ 2, '--since=5' ], [ 2, '--since=x' ], [ 2, '--user=1', '--since=1|2' ], [ 2, '--user=1', '--since=-1' ], [ 2, '--poll=-1' ], [ 2, '--poll=x' ], [ 2, '--poll=86401' ], [ 1, '-h', '/nowhere', '--poll=86400' ],
		[ 2, '--user=1', '--since=9223372036854775808' ], [ 1, '-h', '/nowhere', '--user=-9223372036854775808', '--since=9223372036854775807' ],
		[ 2, '--user=-9223372036854775809' ],
		[ 2, 'a', 'b' ], [ 2, '-d', 'a', 'b' ], [ 2, "postgres://u:$password\@[/" ], [ 2, "host=/nowhere password=$password x" ], [ 2, "host=/nowhere password=y $password" ], [ 2, "postgresql://u:$password\@[/" ], [ 2, 'nonsense=1' ], [ 2, '--since' ],
		[ 1, '-h', '/nowhere' ], [ 1, "host=/nowhere password=$password" ], [ 1, @where[ 0 .. 3 ], 'nobase' ], [ 1, @where, '-U', 'norole' ],
		[ 1, @where, '--user=999' ], [ 1, @where, '--user=999', '--since=start' ], [ 1, @where, '--since=1|2' ], [ 1, @where[ 0 .. 3 ], 'template1' ]);

	foreach my $case (@wrong)
	{
		my ($code, @args) = @$case;
		my $t = launch(@args);
		is(ended($t), $code, "exit $code: @args");
		like(slurp_file($t->{err}), qr/\w/, 'with a word why');
		unlike(slurp_file($t->{err}), qr/$password/, 'but not the password');
		is(slurp_file($t->{out}), '', 'and no output');
	}
	foreach my $case ([ '--help', qr/^Usage: .*--since/ms ], [ '--version', qr/^economy_tail \d+\.\d+/ ])
	{
		my $t = launch($case->[0]);
		is(ended($t), 0, $case->[0]);
		like(slurp_file($t->{out}), $case->[1], 'says it');
	}
	my $place = sprintf 'host=%s port=%d dbname=postgres', $node->host, $node->port;
	my $uri = sprintf 'postgres?host=%s&port=%d', $node->host, $node->port;
	my $name = getpwuid $<;
	my ($t);
	foreach my $secret ([ "$place password=$password" ], [ "$place sslpassword=$password" ], [ '-d', "$place sslpassword=$password" ], [ "--dbname=$place password=$password" ],
		[ "postgresql://$name:$password@/$uri" ], [ "postgres:///$uri&password=$password" ], [ '-d', "postgresql:///$uri&sslpassword=$password" ])
	{
		$t = launch(@$secret);
		ok(eventually(sub { slurp_file($t->{err}) =~ /listening/ }), "a connection string: @$secret") or diag(slurp_file($t->{err}));
		unlike(slurp_file("/proc/$t->{pid}/cmdline"), qr/$password/, 'ps does not show the password');
		is(stop_it($t), 0, 'ended');
	}
	# the later ones win, and nobody else's name or encoding counts
	$t = launch('-d', 'host=/nowhere port=1 user=nobody dbname=postgres', '--host', $node->host, '--port', $node->port, '--username', scalar getpwuid($<));
	ok(eventually(sub { slurp_file($t->{err}) =~ /listening/ }), 'options win over the connection string') or diag(slurp_file($t->{err}));
	is(stop_it($t), 0, 'which may be an option itself');
	local $ENV{PGCLIENTENCODING} = 'LATIN1';
	# what could command a terminal is shown as JSON escapes, from the first to the last
	$dbh->do(q{SELECT * FROM economy.grant_reward(?, 'odd' || chr(127) || chr(128) || chr(159) || chr(160), 'k', 1)}, undef, $ann);
	my $odd = listener('--user', $ann, '--since=start');
	ok(eventually(sub { slurp_file($odd->{out}) =~ /"source":"odd/ }), 'an odd name is told');
	like(slurp_file($odd->{out}), qr/"source":"odd\\u007f\\u0080\\u009f\xc2\xa0"/, 'and cannot command a terminal');
	is(stop_it($odd), 0, 'ended');
	open my $pipe, '-|', $tail, @where, '--user', $ann, '--since=start' or die;
	my $line = <$pipe>;
	close $pipe;
	like($line, qr/^\S+ user=$ann seq=1 /, 'a reader that goes away after a line gets it');
	system("$tail @where --user $ann --since=start > /dev/full 2> $dir/full") if -e '/dev/full';
	SKIP: {
		skip 'no /dev/full', 2 unless -e '/dev/full';
		is($? >> 8, 1, 'no room for output');
		like(slurp_file("$dir/full"), qr/cannot write/, 'says so');
	}
}

# the server goes down under load, twice; the relay alone; a backend alone
{
	my @users = map { add_user($dbh, "load $_", 1_000_000_000) } 1 .. 8;
	my $halt = "$dir/halt";
	my $known = value($dbh, 'SELECT next_cursor FROM economy.changes()');
	my %before = committed($dbh);
	my %of = (
		all => listener('--json', '--poll=1'),
		start => listener('--json', '--since=start'),
		cursor => listener('--json', '--since', $known, '--poll=1'),
		verify => listener('--json', '--verify'),
		one => listener('--json', '--user', $users[0]),
		two => listener('--json', '--user', $users[1], '--user', $users[2], '--since=0', '--poll=0'),
		one_verify => listener('--json', '--user', $users[3], '--verify'));
	my @pids;

	sub work
	{
		my ($number) = @_;

		for (my $i = 0; !-e $halt;)
		{
			eval {
				my $s = connect_to($node);
				while (!-e $halt)
				{
					my $user = $users[ ($number + $i++) % @users ];
					my $key = "$number $i";
					value($s, q{SELECT code FROM economy.purchase(?, 'potion', ?)}, $user, $key) if $i % 4 < 2;
					value($s, q{SELECT code FROM economy.grant_reward(?, 'load', ?, 1, 150)}, $user, $key) if $i % 4 == 2;
					value($s, q{SELECT code FROM economy.record_action(?, 'rps', 'RPS_PLAY', ?, 0, 1)}, $user, $key) if $i % 4 == 3;
				}
			};
			select undef, undef, undef, 0.05;
		}
		POSIX::_exit(0);
	}
	foreach my $number (1 .. 4)
	{
		my $pid = fork() // die "fork: $!";
		work($number) if $pid == 0;
		push @pids, $pid;
		$running{$pid} = 1;
	}

	my $progress = sub {
		my $s = connect_to($node);
		my $from = value($s, 'SELECT sum(seq) FROM economy.accounts');
		eventually(sub { value($s, 'SELECT sum(seq) FROM economy.accounts') > $from + 400 }) or die 'the load does not run';
	};
	# everybody is back, and hears of something before the next blow
	my $times = 1;
	my $recover = sub {
		$times++;
		foreach my $name (sort keys %of)
		{
			eventually(sub { (grep { /listening/ } lines($of{$name}{err})) >= $times })
			  or die "$name does not come back: " . slurp_file($of{$name}{err});
		}
		$progress->();
	};
	$progress->();
	foreach my $round (1 .. 2)
	{
		my $file = $node->data_dir . '/postmaster.pid';
		my ($pid) = slurp_file($file) =~ /^(\d+)/;

		$node->kill9;
		# the orphans end by themselves; a zombie's files are in the way
		eventually(sub { (eval { slurp_file("/proc/$pid/stat") } // ') Z ') =~ /\) Z / });
		unlink $file, sprintf('%s/.s.PGSQL.%d.lock', $node->host, $node->port);
		eventually(sub { $node->start(fail_ok => 1) }) or die 'the server does not start';
		$recover->();
		$dbh = connect_to($node);
		value($dbh, 'SELECT pg_terminate_backend(pid) FROM economy.relay_status()');
		$progress->();
		kill 'KILL', value($dbh, "SELECT pid FROM pg_stat_activity WHERE application_name = 'economy_tail' LIMIT 1");
		$recover->();
		$dbh = connect_to($node);
		value($dbh, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'economy_tail'");
		$recover->();
	}
	append_to_file($halt, '');
	waitpid $_, 0 foreach @pids;
	delete @running{@pids};

	my %all = committed($dbh);
	my %new = map { my $user = $_; ($user => [ @{ $all{$user} }[ scalar @{ $before{$user} // [] } .. $#{ $all{$user} } ]]) } @users;
	my %expected = (
		(map { ($_ => \%new) } qw(all cursor verify)), start => \%all,
		one => { $users[0] => $new{ $users[0] } },
		two => { map { ($_ => $all{$_}) } @users[ 1, 2 ] },
		one_verify => { $users[3] => $new{ $users[3] } });
	foreach my $name (sort keys %of)
	{
		my $t = $of{$name};
		my $n = 0;
		my %shown;

		$n += @$_ foreach values %{ $expected{$name} };
		eventually(sub { scalar(lines($t->{out})) >= $n });
		is(stop_it($t), 0, "$name: runs to the end");
		push @{ $shown{ $_->{subject} } }, $_->{id} foreach events($t);
		is(scalar(lines($t->{out})), $n, "$name: as many events as were committed ($n)");
		is_deeply(\%shown, $expected{$name}, "$name: exactly those, in order per user");
	}
	is_clean($node, 'postgres', 'load');
}

# it knows the types that there are
foreach my $type (@{ $dbh->selectcol_arrayref('SELECT name FROM economy.event_types WHERE version > 0') })
{
	IPC::Run::run([ $tail, "--type=$type", '--version' ], '<', \undef, '>', \my $out, '2>', \my $err);
	is($err, '', "it knows $type");
}

# no server: it waits, and ends when told to
{
	my $t = listener('--json', '--user', $ann);
	$dbh->disconnect;
	$node->stop('immediate');
	ok(eventually(sub { (grep { /no connection/ } lines($t->{err})) >= 3 }), 'tries again without a server');
	is(stop_it($t), 0, 'and ends between the tries');
}

done_testing();
