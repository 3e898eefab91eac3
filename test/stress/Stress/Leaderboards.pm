# Leaderboards and their prizes, by what doc/reference.md says, written down once more: who is
# where follows from the statistics of the days, ranks from the places, and prizes from the
# ranks; each winner has one reward, or one refusal, and nobody else has any.
package Stress::Leaderboards;

use strict;
use warnings;
use Stress::World;
use Time::HiRes ();

# checker: a Stress::Checker, whose tables are read, and who is told
sub check
{
	my ($checker) = @_;
	my $tables = $checker->{tables};
	my $self = bless { checker => $checker, given => {}, refused => {}, places => {} }, __PACKAGE__;

	push @{ $self->{given}{"$_->{external_event_id} $_->{user_id}"} }, $_ foreach grep { $_->{journal} eq 'R' && $_->{source} eq 'economy:leaderboard' } @{ $tables->{entries} };
	$self->{refused}{"$_->{board}:$_->{first_day} $_->{user_id}"} = $_ foreach @{ $tables->{leaderboard_refusals} };
	$self->{places}{"$_->{board}:$_->{first_day}"}{ $_->{user_id} } = $_->{place} foreach @{ $tables->{leaderboard_scores} };
	foreach my $period (@{ $tables->{leaderboard_periods} })
	{
		my $places = delete $self->{places}{"$period->{board}:$period->{first_day}"} // {};
		$self->check_places($period, $places);
		$self->check_prizes($period, $places) if $period->{closed};
	}
	$self->bad("$_ has places, and is no period") foreach sort keys %{ $self->{places} };
	$self->bad("a prize of $_ was paid to nobody who has won it") foreach sort keys %{ $self->{given} };
	$self->bad("a prize of $_ was refused to nobody who has won it") foreach sort keys %{ $self->{refused} };
	return;
}

sub bad { my ($self, $text) = @_; $self->{checker}->bad('L', $text); return }

# The figure of each user who is to be on the board.
sub figures
{
	my ($self, $board, $period) = @_;
	my ($tables, %of) = ($self->{checker}{tables});

	return { map { ($_->{user_id} => $_->{experience_points}) } grep { $_->{experience_points} > 0 } @{ $tables->{accounts} } } if $board->{figure} eq 'xp';
	$of{ $_->{user_id} } += $_->{ $board->{figure} } foreach grep { $_->{day} ge $period->{first_day} && $_->{day} le $period->{last_day} } @{ $tables->{user_game_stats_summary} };
	return \%of;
}

# What was done after a day was closed does not count: clients are not all at one time.
sub check_places
{
	my ($self, $period, $places) = @_;
	my $board = $Stress::World::BOARDS{ $period->{board} };
	my $figures = $self->figures($board, $period);
	my $name = "$period->{board}:$period->{first_day}";

	$self->bad("$name is not closed") if !$period->{closed} && $board->{period} ne 'all' && $period->{last_day} lt Stress::World::clock_text($Stress::World::END);
	$self->bad("$name counts $period->{users} users, " . keys(%$places) . ' have places') if $period->{users} != keys %$places;
	foreach my $user (sort keys %{ { %$figures, %$places } })
	{
		my ($is, $should) = (defined $places->{$user} ? -$places->{$user} : undef, $figures->{$user});
		my $fits = $board->{period} eq 'day' ? !defined $is || defined $should && $is <= $should : defined $is && defined $should && $is == $should;
		$self->bad("$name: user $user has " . ($is // 'no place') . ', and should have ' . ($should // 'none')) unless $fits;
	}
	return;
}

# One reward, or one refusal, for each rank that a tier has something for.
sub check_prizes
{
	my ($self, $period, $places) = @_;
	my $board = $Stress::World::BOARDS{ $period->{board} };
	my $name = "$period->{board}:$period->{first_day}";
	my ($in_front, $rank, $before) = (0, 0);

	$self->bad("$name is closed, and not all of its prizes are paid") if !$period->{all_paid};
	foreach my $user (sort { $places->{$a} <=> $places->{$b} || $a <=> $b } keys %$places)
	{
		$rank = $in_front + 1 if !defined $before || $places->{$user} != $before;
		($before, $in_front) = ($places->{$user}, $in_front + 1);
		my ($tier) = grep { defined $_->{upto} ? $rank <= $_->{upto} : ($rank - 1) * 100 < $_->{percent} * keys %$places } @{ $board->{prizes} // [] };
		$self->check_prize("$name $user", $rank, $tier, -$places->{$user}) if $tier;
	}
	return;
}

sub check_prize
{
	my ($self, $of, $rank, $tier, $figure) = @_;
	my @given = @{ delete $self->{given}{$of} // [] };
	my $refused = delete $self->{refused}{$of};
	my ($board, $day) = $of =~ /^(\w+):(\S+)/;
	my $should = join ' ', $tier->{gold} // 0, $tier->{xp} // 0, qq({"rank": $rank, "board": "$board", "figure": $figure, "first_day": "$day"});

	$self->bad("the prize of $of was paid " . @given . ' times' . ($refused ? " and refused with $refused->{code}" : '')) if @given + !!$refused != 1;
	foreach my $e (@given)
	{
		my $is = join ' ', @$e{qw(gold_delta xp_delta details)};
		$self->bad("$e->{id}: the prize of $of was paid as '$is', and is '$should'") if $is ne $should;
	}
	return if !$refused;
	$self->bad("the prize of $of, rank $rank, was refused as that of rank $refused->{rank}") if $refused->{rank} != $rank;
	$self->bad("the prize of $of was refused with $refused->{code}") if $refused->{code} !~ /^(?:USER_SUSPENDED|GOLD_OVERFLOW)$/;
	return;
}

# All that there is is counted, what has ended is closed, and all prizes are paid.
sub close_all
{
	my ($dbh) = @_;
	my $open = sprintf q{SELECT count(*) FROM economy.leaderboard_periods WHERE closed_at IS NULL AND last_day < '%s'}, substr Stress::World::clock_text($Stress::World::END + 86400), 0, 10;

	$dbh->do(sprintf "SET economy.test_clock = '%s'", Stress::World::clock_text($Stress::World::END + 86400));
	foreach my $turn (1 .. 500)
	{
		refresh($dbh);
		last if !($dbh->selectrow_array($open))[0];
		Time::HiRes::sleep(0.02);    # somebody's transaction that ran at the end may not be over
	}
	1 while ($dbh->selectrow_array('SELECT more FROM economy.pay_leaderboard_prizes()'))[0];
	refresh($dbh);
	$dbh->do('RESET economy.test_clock');
	return;
}

sub refresh
{
	my ($dbh) = @_;

	1 while ($dbh->selectrow_array('SELECT users FROM economy.rollup_stats()'))[0];
	1 while ($dbh->selectrow_array('SELECT more FROM economy.refresh_leaderboards()'))[0];
	return;
}

1;
