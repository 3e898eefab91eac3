# A notification queue that is full, since a listener is idle in a transaction: nobody's
# purchase is lost or held up, and all is told when there is room. The queue is full with
# 8 GB, so this runs only when asked: ECONOMY_FULL_QUEUE=1, 9 GB of disk, some minutes.
# Nothing asks for the queue's usage while the relay has to find out that there is room.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use EventTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'ECONOMY_FULL_QUEUE=1 fills 8 GB' if !$ENV{ECONOMY_FULL_QUEUE};

# whoever finds room deletes 8 GB in many files
$PostgreSQL::Test::Utils::timeout_default = 900;

my $node = new_node('full', conf => "shared_preload_libraries = 'economy'\neconomy.ring_size = 64\nautovacuum = off");
my $dbh = connect_to($node);
my $key = 0;
sub buy { my ($session, $user) = @_; return value($session, q{SELECT transaction_id FROM economy.purchase(?, 'potion', ?)}, $user, ++$key) }
sub health { my ($item) = @_; return value($dbh, 'SELECT state FROM economy.health() WHERE item = ?', $item) }
sub usage { return value($dbh, 'SELECT pg_notification_queue_usage()') }

my $ear = listen_to($node);
add_product($dbh, 'potion', price_gold => 1);
my ($ann, $bob) = map { add_user($dbh, $_, 1000) } qw(ann bob);
my @ids = (buy($dbh, $ann));
until_heard($ear, @ids);

# an own database that sends inline, with somebody whose segment will be corrected
my $other = fresh_database($node);
my $plain = connect_to($node, $other);
$plain->do('SET economy.notify = inline');
add_product($plain, 'potion', price_gold => 1);
my ($carol, $dave) = map { add_user($plain, $_, 100) } qw(carol dave);
buy($plain, $_) foreach $carol, $dave, $dave;
$plain->do('SELECT * FROM economy.rfm_refresh()');
$plain->do(q{UPDATE economy.user_segments SET segment = 'elsewhere' WHERE user_id = ?}, undef, $carol);

# a listener in another database keeps what is sent from now on
$node->safe_psql('postgres', 'CREATE DATABASE elsewhere');
my $idle = connect_to($node, 'elsewhere');
$idle->do('LISTEN filler');
$idle->begin_work;
value($idle, 'SELECT 1');
my $state = '';
for (my $n = 0; $state eq ''; $n += 50_000)
{
	$state = try_sql($dbh, "SELECT count(pg_notify('filler', $n + i || repeat('x', 7980))) FROM generate_series(1, 50000) i");
}
is($state, '54000', 'the queue takes no more');
do { $state = try_sql($dbh, q{SELECT pg_notify('filler', repeat('x', 7000) || clock_timestamp())}) } while $state eq '';
is($state, '54000', 'not one');
is(health('notification queue'), 'bad', 'which health() says');

# with the relay
push @ids, map { buy($dbh, $ann) } 1 .. 5;
is(value($dbh, 'SELECT gold FROM economy.account(?)', $ann), 994, 'with the relay a purchase is made');
push @ids, map { buy($dbh, $ann) } 1 .. 100;
cmp_ok(value($dbh, 'SELECT sum(overflowed) FROM economy.relay_status()'), '>', 0, 'also with a ring that is full');
is(count_relays($node, 'postgres'), 1, 'the relay waits');

# inline: while the relay has something to tell it goes that way; else it is not sent
my @warnings;
{
	local $SIG{__WARN__} = sub { push @warnings, @_ };
	local $plain->{PrintWarn} = 1;
	is(buy($plain, $carol), "P$carol-3", 'inline a purchase is made');
}
is(scalar(grep { /the queue of NOTIFY is full: events are not sent/ } @warnings), 1, 'with a warning that it is not sent');
is(join(' ', replayed($plain, $carol)), "G$carol-1 P$carol-2 P$carol-3", 'and can be replayed');

# what is no entry is not sent either, and stops no refresh
{
	local $SIG{__WARN__} = sub { push @warnings, @_ };
	local $plain->{PrintWarn} = 1;
	@warnings = ();
	is(try_sql($plain, 'SELECT * FROM economy.rfm_refresh()'), '', 'segments are refreshed');
}
is(value($plain, 'SELECT count(*) FROM economy.segment_history WHERE user_id = ? AND from_segment = ?', $carol, 'elsewhere'), 1, 'with a change of segment');
is(scalar(grep { /the queue of NOTIFY is full: events are not sent/ } @warnings), 1, 'which is not sent, with one warning');

# room again
$idle->rollback;
$idle->disconnect;
push @ids, buy($dbh, $bob);
until_heard($ear, @ids);
hears_exactly($ear, $dbh, [ $ann, $bob ], 'with room all is told, once and in order');
poll_until('the queue to be empty', sub { usage() < 0.01 });
is(health('notification queue'), 'ok', 'and health() says so');
is_clean($node, 'postgres', 'at the end');
$_->disconnect foreach $dbh, $ear->{dbh}, $plain;
$node->stop;
done_testing();
