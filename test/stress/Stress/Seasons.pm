# Seasons, by what doc/reference.md says, written down once more: a reward of a tier is paid once,
# to who has reached it on a track that is open, in the time of the season, and as it was published;
# and when that is over all that could be claimed is paid, or nothing any more.
package Stress::Seasons;

use strict;
use warnings;
use List::Util qw(min);
use Stress::World;

my $PG_EPOCH = 946684800;

# checker: a Stress::Checker, whose tables and log are read, and who is told
sub check
{
	my ($checker) = @_;
	my $self = of($checker);

	$self->follow($_, $checker->{stream}{$_}) foreach sort { $a <=> $b } keys %{ $checker->{stream} };
	foreach my $row (@{ $checker->{tables}{seasons} // [] })
	{
		my $s = $Stress::World::SEASONS{ $row->{season} };
		$self->bad("$row->{season} is " . ($row->{closed} ? '' : 'not ') . 'closed') if $row->{closed} ? $s->{at_end} eq 'forfeit' : $checker->{closed_at} && $s->{at_end} eq 'claim';
	}
	return;
}

# What the log says of the end of each season, read once.
sub of
{
	my ($checker) = @_;
	return $checker->{seasons} if $checker->{seasons};
	my $self = $checker->{seasons} = bless { checker => $checker, jobs => [], from => {} }, __PACKAGE__;

	foreach my $tx (@{ $checker->{log} })
	{
		foreach my $op (grep { $_ && $_->{fn} eq 'close_seasons' && $_->{fate} ne 'none' } @{ $tx->{ops} })
		{
			push @{ $self->{jobs} }, $tx->{clock};
			$self->{from}{$_} = min($self->{from}{$_} // $op->{at}, $op->{at}) foreach grep { $tx->{clock} >= until_of($_) } keys %Stress::World::SEASONS;
		}
	}
	return $self;
}

sub bad { my ($self, $text) = @_; $self->{checker}->bad('N', "season $text"); return }
sub named { my ($key) = @_; return $key =~ /^economy:season:(\w+)\|(\w+):(\d+)$/ }

sub starts_of { my ($name) = @_; return $Stress::World::BEGIN + 86400 * $Stress::World::SEASONS{$name}{starts_day} }
sub until_of { my ($name) = @_; my $s = $Stress::World::SEASONS{$name}; return $Stress::World::BEGIN + 86400 * $s->{ends_day} + 3600 * $s->{claim_hours} }
sub item_of { my ($s, $track) = @_; return (grep { $_->{track} eq $track } @{ $s->{tracks} })[0]{item} }

# What a tier needs, and gives by track; of the excess as many as there are.
sub tiers_of
{
	my ($s) = @_;
	my @tiers = @{ $s->{tiers} };
	my $excess = $s->{excess} or return @tiers;

	return (@tiers, map { { xp => $tiers[-1]{xp} + $_ * $excess->{every}, rewards => $excess->{rewards} } } 1 .. $excess->{times});
}

sub reward_of
{
	my ($name, $track, $tier) = @_;
	my $s = $Stress::World::SEASONS{ $name // '' } or return;
	my $t = $tier > 0 ? (tiers_of($s))[ $tier - 1 ] : undef;
	my $reward = $t && $t->{rewards}{$track} or return;

	return { needs => $t->{xp}, item => item_of($s, $track), gold => $reward->{gold} // 0, xp => $reward->{xp} // 0, items => Stress::Contents::text_of($reward->{items} // {}) };
}

# A user's entries in their order, each with what was held before it.
sub follow
{
	my ($self, $user, $stream) = @_;
	my (%has, %paid, %held_since, %before_end);

	foreach my $e (map { $stream->{$_} } sort { $a <=> $b } keys %$stream)
	{
		my ($name, $track, $tier) = named($e->{key} // '');
		if (defined $name && !defined $e->{reverses})
		{
			$self->check_paid($e, $name, $track, $tier, \%has);
			$paid{"$name $track $tier"} = 1;
		}
		$has{ $_->[0] } = $_->[2] foreach Stress::Checker::carried($e);
		$self->note_reached(\%has, \%before_end, $e);
	}
	return if !$self->{checker}{closed_at} || grep { $_ == $user } @Stress::World::SUSPENDABLE;
	foreach my $of (sort grep { !$paid{$_} } keys %before_end)
	{
		my ($name, $track, $tier) = split / /, $of;
		my $r = reward_of($name, $track, $tier);
		# what did not fit is left, and of what a user with so much gold gets, too
		next if $r->{items} ne '' || $user == $Stress::World::RICH || ($self->{checker}{account}{$user} // {})->{gold} > 2**52;
		$self->bad("$name: user $user has reached $track:$tier, and was never paid");
	}
	return;
}

# What was surely reached, on a track that was open, when the end began, and is so from then on.
sub note_reached
{
	my ($self, $has, $reached, $e) = @_;
	my @moved = map { $_->[0] } Stress::Checker::carried($e);

	return unless @moved;
	foreach my $name (grep { $Stress::World::SEASONS{$_}{at_end} eq 'claim' } keys %Stress::World::SEASONS)
	{
		my $s = $Stress::World::SEASONS{$name};
		next unless grep { my $id = $_; $id eq $s->{xp_item} || grep { ($_->{item} // '') eq $id } @{ $s->{tracks} } } @moved;
		my @tiers = tiers_of($s);
		my $in_time = $self->{checker}->span_of($e)->{by} < ($self->{from}{$name} // 9e999) && $e->{created_at} < 1e6 * (until_of($name) - $PG_EPOCH);
		foreach my $track (map { $_->{track} } @{ $s->{tracks} })
		{
			my $item = item_of($s, $track);
			foreach my $n (1 .. @tiers)
			{
				next unless $tiers[ $n - 1 ]{rewards}{$track};
				my $is = ($has->{ $s->{xp_item} } // 0) >= $tiers[ $n - 1 ]{xp} && (!defined $item || ($has->{$item} // 0) > 0);
				if (!$is) { delete $reached->{"$name $track $n"} }
				elsif ($in_time) { $reached->{"$name $track $n"} = 1 }
			}
		}
	}
	return;
}

# By what was there in front of it.
sub check_paid
{
	my ($self, $e, $name, $track, $tier, $has) = @_;
	my $r = reward_of($name, $track, $tier);
	my $s = $Stress::World::SEASONS{$name};

	return $self->bad("$name: $e->{id} pays $track:$tier, which there is not") unless $r;
	my ($is, $ought) = (join(' ', @$e{qw(gold_delta xp_delta)}, Stress::Contents::moved_by($e)), join ' ', @$r{qw(gold xp items)});
	$self->bad("$name: $e->{id} of $track:$tier paid '$is', and pays '$ought'") if $is ne $ought;
	my $xp = $has->{ $s->{xp_item} } // 0;
	$self->bad("$name: $e->{id} of $track:$tier was paid with $xp of $r->{needs} XP") if $xp < $r->{needs};
	$self->bad("$name: $e->{id} of $track:$tier was paid on a track that was closed") if defined $r->{item} && ($has->{ $r->{item} } // 0) <= 0;
	my $clock = $e->{created_at} / 1e6 + $PG_EPOCH;
	$self->bad("$name: $e->{id} of $track:$tier was paid before it began") if $clock < starts_of($name);
	$self->bad("$name: $e->{id} of $track:$tier was paid when it was over") if $s->{at_end} eq 'forfeit' && $clock >= until_of($name);
	return;
}

# Whether a job may have paid it, of which nobody is answered.
sub may_be_of_job
{
	my ($checker, $e) = @_;
	my $self = of($checker);
	my ($name) = named($e->{key}) or return 0;
	my $clock = $e->{created_at} / 1e6 + $PG_EPOCH;

	return 0 if $Stress::World::SEASONS{ $name }{at_end} ne 'claim' || $clock < until_of($name);
	return grep { $_ == $clock } @{ $self->{jobs} }, $checker->{closed_at} // ();
}

# Refusals, as the checker's rules ask: whether they are right.

sub is_unknown
{
	my ($tx, $intent, $r) = @_;
	my ($name, $track, $tier) = named($intent->{key}) or return 0;

	return $intent->{kind} eq 'N' && ($r->{code} eq 'SEASON_NOT_FOUND' ? !$Stress::World::SEASONS{$name} : $Stress::World::SEASONS{$name} && !reward_of($name, $track, $tier));
}

sub is_not_reached
{
	my ($tx, $intent, $r, $product, $checker) = @_;
	my ($name, $track, $tier) = named($intent->{key}) or return 0;
	my $of = reward_of($name, $track, $tier) or return 0;
	my ($xp, $needs) = map { Stress::Checker::figure($r, $_) // return 0 } 'xp', 'needs';

	return $needs == $of->{needs} && $xp < $needs && $checker->may_have_held($tx, $intent, $Stress::World::SEASONS{$name}{xp_item}, $xp);
}

# Somebody who has it had none before, or gave it back.
sub is_closed_track
{
	my ($tx, $intent, $r, $product, $checker, $op) = @_;
	my ($name, $track, $tier) = named($intent->{key}) or return 0;
	my $of = reward_of($name, $track, $tier) or return 0;
	my $item = $of->{item} // return 0;
	my @moves = grep { grep { $_->[0] eq $item } Stress::Checker::carried($_) } values %{ $checker->{stream}{ $intent->{user} } };
	my @before = sort { $a->{seq} <=> $b->{seq} } grep { $checker->span_of($_)->{by} < $op->{at} } @moves;
	# nothing that may take it away came after what surely gave it
	my ($given) = @before && (grep { $_->[0] eq $item } Stress::Checker::carried($before[-1]))[0][2] > 0 ? $before[-1] : undef;
	return !$given || grep { $_->{seq} > $given->{seq} && (grep { $_->[0] eq $item } Stress::Checker::carried($_))[0][1] < 0 } @moves;
}

sub is_over
{
	my ($tx, $intent, $r) = @_;
	my ($name) = named($intent->{key}) or return 0;
	my $s = $Stress::World::SEASONS{$name} or return 0;

	return $tx->{clock} < starts_of($name) if $r->{code} eq 'SEASON_NOT_STARTED';
	return $s->{at_end} eq 'forfeit' && $tx->{clock} >= until_of($name);
}

1;
