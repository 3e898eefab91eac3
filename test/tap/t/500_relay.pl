# The relay: what it tells and what it must not tell. Rollbacks, savepoints,
# prepared transactions, order per user, channels, settings, permissions.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use EventTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('relay', conf => "shared_preload_libraries = 'economy'");
my $dbh = connect_to($node);
my $other = connect_to($node);
is(value($dbh, 'SHOW economy.notify'), 'relay', 'preloaded, the relay is the default');
is(value($dbh, 'SELECT count(*) FROM economy.relay_status()'), 0, 'no relay before the first event');
is(count_relays($node, 'postgres'), 0, 'nor a process');

my $ear = listen_to($node, 'postgres');
my $ann = add_user($dbh, 'ann');
my $bob = add_user($dbh, 'bob');
my $key = 0;
my $queued;

sub gold { my ($session, $user) = @_; return value($session, q{SELECT transaction_id FROM economy.adjust_gold(?, 1, ?, 'r', 'a')}, $user, 'k' . ++$key) }
sub heard_of { my ($user) = @_; return ids(grep { $_->{user} == $user } until_settled($ear, $dbh)) }
sub forget { until_settled($ear, $dbh); @{ $ear->{heard} } = (); return }

# a transaction, whose id is older than one that has ended
$dbh->begin_work;
value($dbh, 'SELECT pg_current_xact_id()');
value($other, 'SELECT pg_current_xact_id()');
gold($dbh, $ann);
$dbh->commit;
is(heard_of($ann), "G$ann-1", 'an entry is told, and starts the relay');
is(count_relays($node, 'postgres'), 1, 'which is one process');
my $status = row($dbh, 'SELECT s.*, a.backend_type, a.application_name, a.datname FROM economy.relay_status() s JOIN pg_stat_activity a USING (pid)');
is("$status->{backend_type}, $status->{application_name}, $status->{datname}", 'economy relay, economy relay, postgres', 'seen in pg_stat_activity');
forget();
$dbh->begin_work;
gold($dbh, $ann);
gold($dbh, $ann);
gold($dbh, $bob);
is(ids(until_settled($ear, $other)), '', 'nothing before the commit');
$dbh->commit;
is(heard_of($ann), "G$ann-2 G$ann-3", 'after it all of it, in order');
is(heard_of($bob), "G$bob-1", 'of the other user too');
forget();
$dbh->begin_work;
gold($dbh, $ann);
$dbh->rollback;
is(heard_of($ann), '', 'nothing of a rollback');
$dbh->begin_work;
gold($dbh, $ann);
eval { $dbh->do('SELECT 1/0') };
$dbh->rollback;
is(heard_of($ann), '', 'nor of an error');

# savepoints: [ what is done ], which of the calls remain
my @nestings = (
	[ 'rolled back to', 'a s x -s b', 'ab' ],
	[ 'released', 'a s b /s c', 'abc' ],
	[ 'released, then rolled back outside', 'a s b t c /t x -s d', 'ad' ],
	[ 'nested, the inner rolled back', 'a s b t x -t c /s d', 'abcd' ],
	[ 'nested, the outer rolled back', 'a s x t x x -s b', 'ab' ],
	[ 'released and set again', 'a s b /s s x -s c', 'abc' ],
	[ 'rolled back twice', 'a s x -s x -s b /s c', 'abc' ],
	[ 'three levels released, the first rolled back', 's x t x u x /u /t -s a', 'a' ],
	[ 'everything within', 's a /s', 'a' ],
	[ 'nothing left', 's x -s', '' ]);
foreach my $nesting (@nestings)
{
	my ($name, $steps, $kept) = @$nesting;
	my $user = add_user($dbh, "savepoints $name");
	my %name_of;

	$dbh->begin_work;
	foreach my $step (split / /, $steps)
	{
		if ($step =~ /^-(.)/) { $dbh->do("ROLLBACK TO $1") }
		elsif ($step =~ m{^/(.)}) { $dbh->do("RELEASE $1") }
		elsif ($step =~ /^[stu]$/) { $dbh->do("SAVEPOINT $step") }
		else { $name_of{"$step-$key"} = row($dbh, q{SELECT * FROM economy.grant_reward(?, 'savepoint', ?, 1)}, $user, $step . ++$key) }
	}
	$dbh->commit;
	my @mine = grep { $_->{user} == $user } until_settled($ear, $dbh);
	is(join('', map { substr $_->{event}{data}{external_event_id}, 0, 1 } @mine), $kept, "savepoints: $name");
	is(ids(@mine), join(' ', map { "R$user-$_" } 1 .. length $kept), 'in order, without a gap');
}
my $deep = add_user($dbh, 'deep');
$dbh->do(<<"SQL");
DO \$\$
BEGIN
    FOR i IN 1 .. 50 LOOP
        BEGIN
            PERFORM economy.grant_reward($deep, 'deep', i::text, 1);
            IF i % 2 = 0 THEN RAISE EXCEPTION 'no'; END IF;
        EXCEPTION WHEN raise_exception THEN NULL;
        END;
    END LOOP;
END \$\$
SQL
is(scalar(grep { $_->{user} == $deep } until_settled($ear, $dbh)), 25, 'blocks with exceptions tell what they kept');
$dbh->begin_work;
$dbh->do('SAVEPOINT s');
$dbh->do(q{SELECT economy.set_timezone(?, 'Asia/Tokyo')}, undef, $deep);
$dbh->do('ROLLBACK TO s');
$dbh->do(q{SELECT economy.set_timezone(?, 'Europe/Paris')}, undef, $deep);
$dbh->do('SAVEPOINT s');
$dbh->do(q{SELECT economy.set_user_status(?, 'suspended', 'tester')}, undef, $deep);
$dbh->do('SAVEPOINT t');
$dbh->do(q{SELECT economy.set_user_status(?, 'active', 'tester')}, undef, $deep);
$dbh->do('RELEASE s');
$dbh->commit;
is(join(', ', map { join ' ', @{ $_->{event}{data} }{qw(field before after)} } grep { $_->{user} == $deep && $_->{id} =~ /^U/ } until_settled($ear, $dbh)),
	'timezone UTC Europe/Paris, status active suspended, status suspended active', 'changes of a user are told with their transaction');
$dbh->begin_work;
$dbh->do(q{SELECT economy.set_timezone(?, 'Asia/Tokyo')}, undef, $deep);
$dbh->rollback;
forget();

# prepared transactions
$dbh->begin_work;
gold($dbh, $ann);
$dbh->do(q{PREPARE TRANSACTION 'one'});
$dbh->{AutoCommit} = 1 if !$dbh->{AutoCommit};
is(heard_of($ann), '', 'prepared: not told');
gold($other, $bob);
is(heard_of($bob), "G$bob-2", 'prepared: others are');
select undef, undef, undef, 0.2;
my $batches = value($dbh, 'SELECT batches FROM economy.relay_status()');
select undef, undef, undef, 0.5;
is(value($dbh, 'SELECT batches FROM economy.relay_status()'), $batches, 'a look at what waits is no batch');
$other->do(q{COMMIT PREPARED 'one'});
until_heard($ear, "G$ann-4");
is(heard_of($ann), "G$ann-4", 'committed by another session: told');
$dbh->begin_work;
gold($dbh, $ann);
$dbh->do(q{PREPARE TRANSACTION 'one'});
$dbh->{AutoCommit} = 1 if !$dbh->{AutoCommit};
$other->do(q{ROLLBACK PREPARED 'one'});
gold($dbh, $ann);
is(heard_of($ann), "G$ann-4 G$ann-5", 'rolled back: not told, and the next one is');
forget();

# many sessions, few users
my @users = map { add_user($dbh, "many $_") } 1 .. 5;
my @results = at_once($node, 'postgres', 12, sub {
	my ($n, $s) = @_;
	foreach my $i (1 .. 30)
	{
		my @order = sort { $a <=> $b } @users[ $i % 5, ($i + $n) % 5 ];
		$s->begin_work;
		value($s, q{SELECT code FROM economy.grant_reward(?, 'order', ?, 1, 300)}, $_, "$n-$i-" . ++$key) foreach @order;
		$i % 7 == 0 ? $s->rollback : $s->commit;
	}
	return 'done';
});
is(scalar(grep { $_->[0] eq 'done' } @results), 12, 'many sessions post');
hears_exactly($ear, $dbh, \@users, 'every user\'s events are told in order, each once');
forget();
value($dbh, q{SELECT count(*) FROM economy.grant_rewards((SELECT jsonb_agg(jsonb_build_object('user_id', u, 'source', 'batch', 'external_event_id', i::text, 'gold', 1)) FROM unnest(?::bigint[]) u, generate_series(1, 1000) i))}, \@users);
is(scalar until_settled($ear, $dbh), 5000, 'a batch that is more than one of the relay\'s');
forget();

# items of the ring, of which one is told in two steps; the last entry is of another journal
my $heap = add_user($dbh, 'heap');
$queued = value($dbh, 'SELECT queued FROM economy.relay_status()');
$dbh->begin_work;
value($dbh, q{SELECT count(*) FROM economy.grant_rewards((SELECT jsonb_agg(jsonb_build_object('user_id', ?::bigint, 'source', 'heap', 'external_event_id', i::text, 'gold', 1)) FROM generate_series(1, 2000) i))}, $heap);
gold($dbh, $heap);
gold($dbh, $bob);
$dbh->commit;
cmp_ok(value($dbh, 'SELECT queued FROM economy.relay_status()') - $queued, '<', 12, 'entries of a user in a row are queued as few items');
until_heard($ear, "G$heap-2001");
is(ids(grep { $_->{user} == $heap } until_settled($ear, $dbh)), join(' ', map({ "R$heap-$_" } 1 .. 2000), "G$heap-2001"), 'more of a user than the relay tells at once, each once, in order');
forget();

# more that waits than the relay looks at at once, before what it can tell
my $crowd = $dbh->selectcol_arrayref(q{SELECT economy.register('crowd ' || n) FROM generate_series(1, 5000) n});
$dbh->begin_work;
value($dbh, q{SELECT count(*) FROM economy.grant_rewards((SELECT jsonb_agg(jsonb_build_object('user_id', u, 'source', 'crowd', 'external_event_id', 'c', 'gold', 1)) FROM unnest(?::bigint[]) u))}, $crowd);
$dbh->do(q{PREPARE TRANSACTION 'crowd'});
$dbh->{AutoCommit} = 1 if !$dbh->{AutoCommit};
until_heard($ear, my $behind = gold($dbh, $ann));
is(heard_of($ann), $behind, 'what is posted behind many that wait is told');
$other->do(q{COMMIT PREPARED 'crowd'});
until_heard($ear, map { "R$_-1" } @$crowd);
my %crowd = map { ("R$_-1" => 1) } @$crowd;
is(scalar(grep { $crowd{ $_->{id} } } until_settled($ear, $dbh)), 5000, 'and they, when they may be, each once');
forget();

# the lag is that of the oldest, in milliseconds
my ($held) = relays($node, 'postgres');
kill STOP => $held or die "relay $held: $!";
gold($dbh, $ann);
select undef, undef, undef, 2;
gold($dbh, $bob);
kill CONT => $held;
until_settled($ear, $dbh);
my $lag = value($dbh, 'SELECT max_lag_ms FROM economy.relay_status()');
cmp_ok($lag, '>', 1999, 'the lag is that of the oldest one of those told together');
cmp_ok($lag, '<', 1000 * (1 + time - $^T), 'in milliseconds');
forget();

# counters
$status = row($dbh, 'SELECT * FROM economy.relay_status()');
cmp_ok($status->{sent}, '>=', 5000, 'the relay counts what it sent');
cmp_ok($status->{queued}, '>', 0, 'what was queued');
cmp_ok($status->{batches}, '<', $status->{sent}, 'in fewer transactions');
is("$status->{overflowed} $status->{fallbacks} $status->{waiting}", '0 0 0', 'nothing overflowed, nothing waits');
cmp_ok($status->{max_lag_ms}, '>=', $status->{lag_ms}, 'and the lag');

# channels per user
$other->do("LISTEN economy_user_$ann");
$dbh->do('SET economy.notify_user_channels = on');
gold($dbh, $ann);
until_settled($ear, $dbh);
$other->do('SELECT');
ok(!$other->pg_notifies, 'a session\'s own setting is not the relay\'s');
$node->append_conf('postgresql.conf', 'economy.notify_user_channels = on');
$node->reload;
poll_until('the channel of a user', sub {
	gold($dbh, $bob);
	gold($dbh, $ann);
	until_settled($ear, $dbh);
	$other->do('SELECT');
	my $n = $other->pg_notifies;
	return 0 if !$n;
	is($n->[0], "economy_user_$ann", 'a user\'s events come on the channel of the user');
	like($n->[2], qr/"subject":"$ann"/, 'and no others');
	return 1;
});
$node->append_conf('postgresql.conf', 'economy.notify_user_channels = off');
$node->reload;
$other->do('UNLISTEN *');
forget();

# the settings, at reload
sub alter { my ($way) = @_; $node->safe_psql('postgres', "ALTER SYSTEM SET economy.notify = $way"); $node->reload; poll_until("economy.notify = $way", sub { value($dbh, 'SHOW economy.notify') eq $way }); return }
alter('off');
gold($dbh, $ann);
my $cid = add_user($dbh, 'cid');
$queued = value($dbh, 'SELECT queued FROM economy.relay_status()');
alter('inline');
my $inline = gold($dbh, $bob);
until_heard($ear, $inline);
is(ids(hear($ear)), $inline, 'off tells nothing, inline tells');
is((grep { $_->{id} eq $inline } hear($ear))[0]{channel}, 'profile_update', 'on the same channel');
is(value($dbh, 'SELECT queued FROM economy.relay_status()'), $queued, 'without the relay');
$other->do("LISTEN economy_user_$bob");
$dbh->do("SET economy.$_") foreach 'notify_payload = reference', 'notify_user_channels = on';
$inline = gold($dbh, $bob);
until_heard($ear, $inline);
my ($referred) = grep { $_->{id} eq $inline } hear($ear);
my ($whole) = value($dbh, 'SELECT event::text FROM economy.replay(?, ?)', $bob, $referred->{seq} - 1);
is($referred->{text}, $whole =~ s/"data":\{.*/"data":{"seq":$referred->{seq}}}/r, 'a reference is the envelope and the number of the entry');
$other->do('SELECT');
is(join(' ', @{ $other->pg_notifies // [] }[ 0, 2 ]), "economy_user_$bob $referred->{text}", 'also on the channel of the user');
$dbh->do("RESET economy.$_") foreach qw(notify_payload notify_user_channels);
$other->do('UNLISTEN *');
is(try_sql($dbh, q{SELECT economy_internal.publish_profile(-1, 'segment', NULL, 'Whale')}), '', 'a change of nobody');
$dbh->do(q{SELECT economy_internal.publish_profile(?, 'segment', NULL, 'Whale')}, undef, $bob);
poll_until('a change that is no entry', sub { grep { $_->{id} =~ /^S/ } hear($ear) });
my ($loose, @more) = grep { $_->{id} =~ /^S/ } hear($ear);
is(scalar @more, 0, 'one change that is told');
like("$loose->{channel} $loose->{id}", qr{^profile_update S$bob-$referred->{seq}/segment/\d+$}, 'a change that is no entry is told with the account as it is');
is($loose->{text} =~ s/^.*"data"://r =~ s/"gold":\d+/"gold":0/r, qq({"field":"segment","before":null,"after":"Whale","seq":$referred->{seq},"gold":0,"experience_points":0}}), 'and without deltas');
$dbh->begin_work;
my $prepared = gold($dbh, $cid);
$dbh->do(q{PREPARE TRANSACTION 'inline'});
$dbh->{AutoCommit} = 1 if !$dbh->{AutoCommit};
$other->do(q{COMMIT PREPARED 'inline'});
$inline = gold($dbh, $cid);
until_heard($ear, $inline);
is(ids(grep { $_->{user} == $cid } hear($ear)), $inline, 'inline: what was prepared is not told');
is(join(' ', replayed($dbh, $cid)), "$prepared $inline", 'but replayed');
alter('relay');
forget();
my $relayed = gold($dbh, $ann);
is(heard_of($ann), $relayed, 'back to the relay');

# what an app may call
$dbh->do('CREATE ROLE app LOGIN');
$dbh->do('CREATE ROLE monitor LOGIN');
$dbh->do(q{SELECT economy.grant_access('app', 'app')});
$dbh->do(q{SELECT economy.grant_access('monitor', 'monitor')});
$dbh->do('SET ROLE app');
foreach my $call ("economy_internal.publish_profile($ann, 'gold', '1', '2')", "economy_internal.entry_events($ann, 1, 'G')",
	'economy_internal.position_of(1)', 'economy.relay_status()')
{
	is(try_sql($dbh, "SELECT * FROM $call"), '42501', "an app cannot call $call");
}
is(try_sql($dbh, "SELECT * FROM economy.$_"), '42501', "nor read $_") foreach qw(event_types installations);
foreach my $setting ('notify = off', 'notify_user_channels = on')
{
	is(try_sql($dbh, "SET economy.$setting"), '42501', "nor set $setting");
}
is(try_sql($dbh, "SELECT * FROM economy.$_"), '', "it can call $_") foreach "replay($ann, 0)", 'changes()', 'asyncapi()';
$dbh->do('SET ROLE monitor');
is(try_sql($dbh, "SELECT * FROM economy.$_"), '', "a monitor can call $_") foreach 'relay_status()', 'changes()', 'asyncapi()';
is(try_sql($dbh, "SELECT * FROM economy.replay($ann, 0)"), '42501', 'and cannot call replay()');
$dbh->do('RESET ROLE');
is(try_sql($dbh, "SET economy.$_"), '55P02', "$_ needs a restart") foreach 'ring_size = 100', 'relay_databases = 2';
is_clean($node, 'postgres', 'at the end');

$_->disconnect foreach $dbh, $other, $ear->{dbh};
$node->stop;
done_testing();
