# What the relay tells and what not, in which order, and when it goes: settings
# that change meanwhile, an overflow, an entry that cannot be told, commands on
# databases while there is work left.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use EventTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('rules', conf => "shared_preload_libraries = 'economy'\neconomy.ring_size = 16\neconomy.node_id = 4095");
my $dbh = connect_to($node);
my $key = 0;

sub reward { my ($session, $user) = @_; return value($session, q{SELECT transaction_id FROM economy.grant_reward(?, 'rules', ?, 1)}, $user, ++$key) }
sub status { my ($field) = @_; return value($dbh, "SELECT sum($field) FROM economy.relay_status()") }
sub heard { my ($ear, $user) = @_; return join ' ', map { $_->{id} } grep { $_->{user} == $user } hear($ear) }

my ($ann, $bob, $carol) = map { add_user($dbh, $_) } qw(ann bob carol);
my $ear = listen_to($node);
my ($pid);
poll_until('a relay', sub { reward($dbh, $carol); ($pid) = relays($node, 'postgres') });
until_settled($ear, $dbh);
is(join(' ', map { value($dbh, 'SELECT ?::bigint >> 41', $_) } $ann, $bob, $carol), '4095 4095 4095', 'users of the last node');
is(join(' ', map { $_->{event}{source} } (hear($ear))[0]), '/economy/node/4095', 'whose events say so');

# from relay to inline: what is newer does not come first
kill STOP => $pid;
my @expected = map { reward($dbh, $ann) } 1 .. 3;
$dbh->do('SET economy.notify = inline');
push @expected, map { reward($dbh, $ann) } 1 .. 2;
is(heard($ear, $ann), '', 'inline waits for what waits for the relay');
kill CONT => $pid;
until_heard($ear, @expected);
is(heard($ear, $ann), "@expected", 'and comes after it');
poll_until('an idle ring', sub { status('waiting') == 0 });
kill STOP => $pid;
poll_until('inline again', sub { my $id = reward($dbh, $bob); heard($ear, $bob) =~ /\b\Q$id\E$/ });
pass('with nothing before it, it is sent with the commit');
$dbh->begin_work;
my $silent = reward($dbh, $bob);
$dbh->do('SET LOCAL economy.notify = off');
$dbh->commit;
unlike(heard($ear, $bob), qr/\b$silent$/, 'off at the commit sends nothing inline');
$dbh->do('SET economy.notify = relay');

# the entries of one call go one way, also when the relay gets done in the middle of it
my $gil = add_user($dbh, 'gil');
$dbh->do(q{SELECT economy.upsert_product(jsonb_build_object('product_id', 'rules_' || k, 'category', 'conversion', 'granted_gold', 1, 'global_key', k = 'once'), 'rules') FROM unnest('{any,once}'::text[]) k});
push @expected, reward($dbh, $ann);
my ($holder, $buyer) = map { connect_to($node) } 1 .. 2;
$holder->begin_work;
$holder->do(q{INSERT INTO economy_internal.shop_keys VALUES ('rules_once', 'k', ?, 1)}, undef, $ann);
$buyer->do('SET economy.notify = inline');
$buyer->do(sprintf(q{SELECT * FROM economy.purchases('{%1$s,%1$s,%1$s}', '{rules_any,rules_once,rules_any}', '{k1,k,k2}')}, $gil), { pg_async => DBD::Pg::PG_ASYNC() });
poll_until('a buyer that waits', sub { value($dbh, 'SELECT count(*) FROM pg_locks WHERE NOT granted') });
kill CONT => $pid;
$dbh->do('SET economy.notify = inline');
poll_until('an idle ring', sub { my $id = reward($dbh, $bob); heard($ear, $bob) =~ /\b\Q$id\E$/ });
$holder->rollback;
$buyer->pg_result;
is(value($dbh, q{SELECT string_agg(live::text, ' ' ORDER BY seq) FROM economy.shop_transactions WHERE user_id = ?}, $gil), 'true true true', 'none of them comes before the first');
until_settled($ear, $dbh);
is(heard($ear, $gil), "P$gil-1 P$gil-2 P$gil-3", 'all are told');
$_->disconnect foreach $holder, $buyer;
kill STOP => $pid;
$dbh->do('SET economy.notify = relay');

# what the ring had no room for is waited for too
$dbh->begin_work;
foreach (1 .. 10) { push @expected, reward($dbh, $ann); reward($dbh, $bob) }
$dbh->commit;
is(status('waiting'), 0, 'an empty ring, which was too small');
$dbh->do('SET economy.notify = inline');
push @expected, reward($dbh, $ann);
unlike(heard($ear, $ann), qr/\b$expected[-1]$/, 'inline waits for it');
$dbh->do('SET economy.notify = relay');

# one transaction that is told in several ways: of each way what it is for
my $erin = add_user($dbh, 'erin');
kill CONT => $pid;
until_heard($ear, $expected[-1]);
poll_until('an idle ring', sub { $dbh->do('SET economy.notify = inline'); my $id = reward($dbh, $bob); heard($ear, $bob) =~ /\b\Q$id\E$/ });
$dbh->begin_work;
my @mixed = map { $dbh->do("SET LOCAL economy.notify = $_"); (reward($dbh, $carol), reward($dbh, $erin)) } qw(inline relay off inline);
$dbh->commit;
until_heard($ear, @mixed[ 0 .. 3, 6, 7 ]);
until_settled($ear, $dbh);
is(heard($ear, $erin), join(' ', @mixed[ 1, 3, 7 ]), 'several ways in one transaction: each entry once, in order, but for what was off');
is(join(' ', grep { my $id = $_; grep { $id eq $_ } @mixed } split / /, heard($ear, $carol)), join(' ', @mixed[ 0, 2, 6 ]), 'also of another user');
$dbh->do('SET economy.notify = relay');
until_settled($ear, $dbh);
kill STOP => $pid;

# a bulk load that is not to be told, while the ring overflows
$dbh->do('SET economy.notify = off');
my @bulk = map { reward($dbh, $bob) } 1 .. 30;
$dbh->do('SET economy.notify = relay');
my @loud = map { reward($dbh, $ann) } 1 .. 40;
$dbh->do('SET economy.notify = off');
push @bulk, map { reward($dbh, $bob) } 1 .. 30;
$dbh->do('SET economy.notify = relay');
push @loud, map { reward($dbh, $ann) } 1 .. 40;
select undef, undef, undef, 0.2;
kill CONT => $pid;
until_heard($ear, @loud);
until_settled($ear, $dbh);
cmp_ok(status('overflowed'), '>', 0, 'the ring was full');
cmp_ok(status('fallbacks'), '>', 0, 'and the journals were read');
my %bulk = map { $_ => 1 } @bulk;
is(join(' ', grep { $bulk{$_} } split / /, heard($ear, $bob)), '', 'what was posted with notify off is not told');
is(heard($ear, $ann), "@expected @loud", 'the rest is, once, in order');
cmp_ok(status('lag_ms'), '>', 0, 'with a lag');
cmp_ok(status('max_lag_ms'), '>', 50, 'that includes what came by the journals');
my ($all) = feed($dbh, 'start');
is(scalar(grep { $bulk{ $_->{id} } } @$all), scalar @bulk, 'changes() has what was not told');

# one entry that cannot be told
kill STOP => $pid;
my @before = map { reward($dbh, $ann) } 1 .. 20;
$dbh->do(<<"SQL");
INSERT INTO economy.gold_adjustments (user_id, seq, gold_delta, xp_delta, gold, experience_points, created_at, xact, position, live, hash, idempotency_key, actor, reason)
SELECT $carol, 1000, 0, 0, 0, 0, '-infinity', pg_current_xact_id()::text::bigint, economy_internal.position_of(pg_current_xact_id()::text::bigint), true, sha256('bad'), 'bad', 'a', 'b'
SQL
push @before, map { reward($dbh, $ann) } 1 .. 20;
my $log = -s $node->logfile;
kill CONT => $pid;
until_heard($ear, @before);
is(join(' ', relays($node, 'postgres')), $pid, 'the relay tells what stands beside an entry that cannot be told');
until_settled($ear, $dbh);
my $said = () = slurp_file($node->logfile, $log) =~ /entry 1000 of user $carol cannot be told and is passed over: its time is impossible/g;
is($said, 1, 'and says so once');

# a relay that dies with a full ring repeats at most its last step
kill STOP => $pid;
@before = map { reward($dbh, $ann) } 1 .. 40;
$node->safe_psql('template1', "SELECT pg_terminate_backend($pid)");
kill CONT => $pid;
until_heard($ear, @before);
until_settled($ear, $dbh);
my %times;
$times{ $_->{id} }++ foreach hear($ear);
is(scalar(grep { $_ > 1 } values %times), 0, 'another relay goes on where it stood');

# a forgotten prepared transaction, larger than the ring
$dbh->begin_work;
my @prepared = map { reward($dbh, $bob) } 1 .. 20;
$dbh->do(q{PREPARE TRANSACTION 'forgotten'});
$dbh->{AutoCommit} = 1 if !$dbh->{AutoCommit};
my @fast = map { reward($dbh, $ann) } 1 .. 5;
until_heard($ear, @fast);
until_settled($ear, $dbh);
# whatever ended just before it was prepared is settled by now
foreach (1 .. 3) { push @fast, reward($dbh, $ann); until_heard($ear, $fast[-1]) }
my $fallbacks = status('fallbacks');
foreach (1 .. 10) { push @fast, reward($dbh, $ann); until_heard($ear, $fast[-1]) }
is(status('fallbacks'), $fallbacks, 'while it waits the ring serves the others');
$dbh->do(q{COMMIT PREPARED 'forgotten'});
until_heard($ear, @prepared);
is(join(' ', grep { my $id = $_; grep { $_ eq $id } @prepared } split / /, heard($ear, $bob)), "@prepared", 'then it is told');

# steps that fail are said once, and told when they can be; another time it is said again
$node->safe_psql('template1', q{ALTER DATABASE postgres SET lock_timeout = '50ms'});
value($dbh, 'SELECT pg_terminate_backend(?)', $_) foreach relays($node, 'postgres');
until_heard($ear, reward($dbh, $carol));
my $locker = connect_to($node);
foreach my $time (1, 2)
{
	poll_until('a relay', sub { ($pid) = relays($node, 'postgres') });
	$log = -s $node->logfile;
	$locker->begin_work;
	$locker->do('LOCK TABLE economy.user_actions');
	until_heard($ear, reward($dbh, $carol));
	pass('what was handed over is told while a table of others is locked');
	# what is too large for that is read
	my $troubled = value($dbh, q{SELECT transaction_id FROM economy.grant_reward(?, 'rules', ?, 1, 0, jsonb_build_object('long', repeat('x', 2000)))}, $carol, "long $time");
	my %failed;
	poll_until('three steps that fail', sub {
		my $at = value($dbh, q{SELECT state_change FROM pg_stat_activity WHERE pid = ? AND state = 'idle in transaction (aborted)'}, $pid);
		$failed{$at}++ if defined $at;
		return keys %failed >= 3;
	});
	my $errors = () = slurp_file($node->logfile, $log) =~ /canceling statement due to lock timeout/g;
	is($errors, 1, "a relay in trouble says so once, $time");
	$locker->rollback;
	until_heard($ear, $troubled);
	until_settled($ear, $dbh);
	is(join(' ', grep { $_ eq $troubled } split / /, heard($ear, $carol)), $troubled, 'and tells it when it can');
	is(join(' ', relays($node, 'postgres')), $pid, 'without another one');
}

# also one that fails in the middle of reading: the next one opens anew what it reads
kill STOP => $pid;
my $reading = value($dbh, q{SELECT transaction_id FROM economy.grant_reward(?, 'rules', 'reading', 1, 0, jsonb_build_object('long', repeat('x', 2000)))}, $carol);
$locker->begin_work;
# which lets the table be opened
$locker->do(q{DO $$ DECLARE i regclass; BEGIN
	FOR i IN SELECT indexrelid FROM pg_index WHERE indrelid = 'economy.reward_audit'::regclass LOOP EXECUTE format('ALTER INDEX %s SET TABLESPACE pg_default', i); END LOOP; END $$});
$log = -s $node->logfile;
kill CONT => $pid;
poll_until('a step that fails', sub { slurp_file($node->logfile, $log) =~ /canceling statement due to lock timeout/ });
$locker->rollback;
until_heard($ear, $reading);
until_settled($ear, $dbh);
is(join(' ', grep { $_ eq $reading } split / /, heard($ear, $carol)), $reading, 'a step that failed while it read is told by the next one');
is(join(' ', relays($node, 'postgres')), $pid, 'of the same relay');
$locker->disconnect;
$node->safe_psql('template1', 'ALTER DATABASE postgres RESET lock_timeout');

# commands on the database while something waits: nobody is connected to it
$node->safe_psql('template1', "CREATE DATABASE tenant");
$node->safe_psql('tenant', 'CREATE EXTENSION economy');
my $tenant = connect_to($node, 'tenant');
my $dave = add_user($tenant, 'dave');
my $name = 'tenant';
foreach my $command ('CREATE DATABASE tenants TEMPLATE tenant', 'ALTER DATABASE tenant RENAME TO moved', 'ALTER DATABASE moved RENAME TO tenant')
{
	$tenant->begin_work;
	reward($tenant, $dave) foreach 1 .. 30;
	$tenant->commit;
	poll_until('a relay of the tenant', sub { count_relays($node, $name) });
	my ($other) = connect_to($node);
	$other->begin_work;
	value($other, 'SELECT pg_current_xact_id()');
	$tenant->disconnect;
	is($node->psql('template1', $command), 0, "$command does not wait for the relay in vain");
	$other->rollback;
	$other->disconnect;
	$name = $1 if $command =~ /TO (\w+)/;
	$tenant = connect_to($node, $name);
}
my $tenant_ear = listen_to($node, 'tenant');
my $again = reward($tenant, $dave);
until_heard($tenant_ear, $again);
pass('and there is a relay again');
$_->{dbh}->disconnect foreach $ear, $tenant_ear;
$_->disconnect foreach $dbh, $tenant;
$node->stop;
done_testing();
