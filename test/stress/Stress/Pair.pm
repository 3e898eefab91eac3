# A primary and its synchronous standby, as one server for clients: they go to
# whichever accepts writes.
package Stress::Pair;

use strict;
use warnings;
use parent 'Stress::Server';
use Time::HiRes ();

sub new
{
	my ($class, $primary, $standby) = @_;
	return bless { primary => $primary, standby => $standby, base => $standby->{base} }, $class;
}

sub dsn
{
	my ($self, $database) = @_;
	my $hosts = join ',', map { $_->{base} } @$self{qw(primary standby)};
	return "dbi:Pg:dbname=$database;host=$hosts;port=5432;user=postgres;target_session_attrs=read-write";
}

# From now on a commit is answered when the standby has it.
sub replicate
{
	my ($self) = @_;
	my $dbh = $self->{primary}->connect_to('postgres');

	$dbh->do(q{ALTER SYSTEM SET synchronous_standby_names = '*'});
	$dbh->do('SELECT pg_reload_conf()');
	until (($dbh->selectrow_array(q{SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync' AND state = 'streaming'}))[0])
	{
		Time::HiRes::sleep(0.05);
	}
	$dbh->disconnect;
	return;
}

# Kills the primary and promotes the standby.
sub fail_over
{
	my ($self, $wait) = @_;

	Time::HiRes::sleep($wait);
	$self->{primary}->kill_all;
	$self->{standby}->promote;
	my $dbh = $self->{standby}->connect_to('postgres');
	($self->{promoted_at}) = $dbh->selectrow_array(q{SELECT pg_snapshot_xmax(pg_current_snapshot())::text});
	$dbh->disconnect;
	return;
}

# How many entries the promoted server has made.
sub entries_since
{
	my ($self, $database) = @_;
	my $dbh = $self->{standby}->connect_to($database);
	my ($n) = $dbh->selectrow_array('SELECT count(*) FROM economy.ledger WHERE xact >= ?', undef, $self->{promoted_at});

	$dbh->disconnect;
	return $n;
}

sub complaints
{
	my ($self) = @_;
	return map { $_->complaints } @$self{qw(primary standby)};
}

sub remove { return }

1;
