# What a daily claim pays, by what doc/concepts.md says, written down once more: the day of one
# calendar, or the formula's, and of its items what there was room for.
package Stress::Daily;

use strict;
use warnings;
use JSON::PP ();
use Stress::World;

# Gold, XP and items of a day of the streak, as one text; of no calendar the formula.
sub reward_of
{
	my ($calendar, $day) = @_;
	return join ' ', 1000 + 200 * ($day - 1), 50 + 25 * ($day - 1), '' unless $calendar;

	my @days = @{ $calendar->{days} };
	my $from = $calendar->{continues_at} // @days;
	my $n = $day <= @days ? $day : $from + ($day - @days - 1) % (@days - $from + 1);
	my $reward = $days[ $n - 1 ];
	return join ' ', $reward->{gold} // 0, $reward->{xp} // 0, Stress::Contents::text_of($reward->{contents} // {});
}

sub not_given { my ($e) = @_; return JSON::PP::decode_json($e->{details} // '{}')->{not_given} // {} }

# The same of an entry: what it gave, and what there was no room for.
sub reward_in
{
	my ($e) = @_;
	my %items = %{ not_given($e) };

	$items{ $_->[0] } += $_->[1] foreach Stress::Checker::carried($e);
	return join ' ', $e->{gold_delta}, $e->{xp_delta}, Stress::Contents::text_of(\%items);
}

# What the calendar was said to be, from when on it may have been so, and by when surely.
sub calendars_of
{
	my ($checker) = @_;

	return @{ $checker->{calendars} } if $checker->{calendars};
	my @states = { calendar => undef, from => 0, by => 0 };
	foreach my $tx (@{ $checker->{log} })
	{
		foreach my $op (grep { $_ && $_->{fn} eq 'set_daily_rewards' && $_->{fate} ne 'none' } @{ $tx->{ops} })
		{
			my ($json) = $op->{args} =~ /^'(.*?)'/;
			my ($calendar) = grep { Stress::World::days_of($_) eq $json } @Stress::World::CALENDARS;
			push @states, { calendar => $calendar, from => $op->{at}, by => $op->{fate} eq 'sure' ? $tx->{ended} : undef };
		}
	}
	$checker->{calendars} = \@states;
	return @states;
}

# A claim paid the day of its streak by a calendar that there was, and gave what there was room for.
sub check_claim
{
	my ($checker, $e, $day) = @_;
	my $is = reward_in($e);

	$checker->bad('R', "$e->{id}: the claim is paid '$is', which is day $day of no calendar")
	  unless grep { $is eq reward_of($_->{calendar}, $day) } calendars_of($checker);
	my ($missing, %balance) = (not_given($e), map { ($_->[0] => $_->[2]) } Stress::Checker::carried($e));
	foreach my $id (grep { !Stress::World::is_pass($_) && !$Stress::World::ITEMS{$_}{varies} } sort keys %$missing)
	{
		my $most = $Stress::World::ITEMS{$id}{maximum};
		$checker->bad('R', "$e->{id}: $missing->{$id} of $id were not given, though there was room")
		  if !defined $most || defined $balance{$id} && $balance{$id} != $most;
	}
	return;
}

# An acknowledged one paid by the calendar of a moment of the call.
sub check_moment
{
	my ($checker, $key, $e, $a) = @_;
	my $is = reward_in($e);

	return if ($e->{source} // '') ne 'economy:daily_streak';
	$checker->bad('R', "key '$key': '$is' was paid in $a->{tx}{tx}, when the calendar was another")
	  unless grep { $is eq reward_of($_->{calendar}, $e->{streak_day}) } Stress::Checker::at_moment($a->{op}, calendars_of($checker));
	return;
}

1;
