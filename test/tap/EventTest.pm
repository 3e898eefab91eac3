# EventTest: what listening sessions hear.
#
# The relay sends when it is scheduled to, so nothing here counts on a time:
# what must be heard is waited for, and what must not be heard is looked for
# after something that was put behind it has come.
package EventTest;

use strict;
use warnings;

use EconomyTest;
use Exporter 'import';
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep time);

our @EXPORT = qw(event_types listen_to hear until_heard until_settled poll_until ids
  replayed feed hears_exactly relays count_relays);

my $json = JSON::PP->new;
my $marks = 0;

sub event_types { return qw(purchase_update reward_granted profile_update user_action stats_delta holding_update purchase_refunded mission_update) }

# A session that listens to all types, or to the channels given.
sub listen_to
{
	my ($node, $database, @channels) = @_;
	my $dbh = connect_to($node, $database);

	$dbh->do("LISTEN $_") foreach @channels ? @channels : event_types();
	return { dbh => $dbh, heard => [] };
}

# Everything heard since listen_to(): hashes of channel, text, event, id, user, seq.
sub hear
{
	my ($ear) = @_;

	$ear->{dbh}->do('SELECT') if $ear->{dbh}{Active};
	while (my $n = $ear->{dbh}->pg_notifies)
	{
		my $event = $json->decode($n->[2]);

		# a reference is the number of an entry, which no schema of a whole event allows
		keep_events($n->[2]) if $event->{specversion} && keys %{ $event->{data} } > 1;
		push @{ $ear->{heard} }, { channel => $n->[0], text => $n->[2], event => $event,
			id => $event->{id}, user => $event->{subject}, seq => $event->{data}{seq} };
	}
	return @{ $ear->{heard} };
}

sub poll_until
{
	my ($what, $code) = @_;
	my $give_up = time + $PostgreSQL::Test::Utils::timeout_default;

	until ($code->())
	{
		die "waited in vain: $what" if time > $give_up;
		usleep(20_000);
	}
	return;
}

sub until_heard
{
	my ($ear, @ids) = @_;

	poll_until("to hear @ids", sub {
		my %heard = map { $_->{id} => 1 } hear($ear);
		return !grep { !$heard{$_} } @ids;
	});
	return;
}

# What was put into the relay's ring before this call has been told after it.
# The marks themselves are taken out.
sub until_settled
{
	my ($ear, $dbh) = @_;
	my $user = value($dbh, q{SELECT economy.register('the mark')});
	my $id = value($dbh, q{SELECT transaction_id FROM economy.adjust_gold(?, 1, ?, 'a mark', 'tester')},
		$user, join('-', $$, ++$marks));

	until_heard($ear, $id);
	@{ $ear->{heard} } = grep { $_->{user} != $user } @{ $ear->{heard} };
	return @{ $ear->{heard} };
}

sub ids { return join ' ', map { $_->{id} } @_ }

# The ids of a user's events in the order of replay().
sub replayed
{
	my ($dbh, $user) = @_;
	my ($after, $code, @ids) = (0, 'MORE');

	while ($code eq 'MORE')
	{
		my $rows = $dbh->selectall_arrayref('SELECT code, seq, event FROM economy.replay(?, ?, 5000)', undef, $user, $after);

		($code, $after) = @{ pop @$rows };
		push @ids, map { $json->decode($_->[2])->{id} } @$rows;
	}
	die "replay of $user: $code" if $code ne 'CAUGHT_UP';
	return @ids;
}

# The feed since a cursor: its events as hashes, the next cursor, the last code.
sub feed
{
	my ($dbh, $cursor, $max) = @_;
	my ($code, @events) = ('MORE');

	while ($code eq 'MORE')
	{
		my $rows = $dbh->selectall_arrayref('SELECT code, user_id, seq, type, event, next_cursor FROM economy.changes(?, ?)', undef, $cursor, $max // 1000);
		my $last = pop @$rows;

		($code, $cursor) = @$last[ 0, 5 ];
		push @events, map { { code => $_->[0], user => $_->[1], seq => $_->[2], channel => $_->[3], text => $_->[4], id => $json->decode($_->[4])->{id} } } @$rows;
	}
	return (\@events, $cursor, $code);
}

# Each user's events were heard in order, none missing; each once, or after
# their order of first hearing when repeats are allowed.
sub hears_exactly
{
	my ($ear, $dbh, $users, $name, %options) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @wrong;

	my %expected = map { $_ => [ replayed($dbh, $_) ] } @$users;
	eval { until_heard($ear, map { @{ $expected{$_} } } @$users); 1 } or push @wrong, substr $@, 0, 300;
	my %heard;
	foreach my $event (hear($ear))
	{
		next if $event->{id} =~ /^U/;
		push @{ $heard{ $event->{user} } }, $event->{id};
	}
	foreach my $user (@$users)
	{
		my %seen;
		my @got = @{ $heard{$user} // [] };

		@got = grep { !$seen{$_}++ } @got if $options{repeats};
		push @wrong, "user $user: @got\n  instead of @{ $expected{$user} }" if "@got" ne "@{ $expected{$user} }";
	}
	ok(!@wrong, $name) or diag(map { substr("$_\n", 0, 2000) } @wrong);
	return;
}

# Pids of the relays of a database, seen from another one.
sub relays
{
	my ($node, $database) = @_;

	return split /\n/, $node->safe_psql('template1',
		"SELECT pid FROM pg_stat_activity WHERE backend_type = 'economy relay' AND datname = '$database'");
}

sub count_relays { return scalar relays(@_) }

1;
