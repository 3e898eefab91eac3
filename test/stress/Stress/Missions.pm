# Missions, by what doc/reference.md says, written down once more: what users have of them follows
# from their entries in order and from what was published, and each claim pays once what was earned.
# Who publishes or retires does so at a clock that nobody has come to, so that each entry is surely on
# one side of it.
package Stress::Missions;

use strict;
use warnings;
use JSON::PP ();
use List::Util qw(max min);
use POSIX ();
use Time::Local qw(timegm);
use Stress::World;

my $PG_EPOCH = 946684800;
my $NEVER = 9e18;

# checker: a Stress::Checker, whose tables and log are read, and who is told; its mission_parity, if any, are
# rows of mission and text that mission_parity() gave
sub check
{
	my ($checker) = @_;
	my $self = $checker->{missions} = bless { checker => $checker, templates => [], required => {}, unclear => {}, done => {} }, __PACKAGE__;
	my %has;

	push @{ $has{ $_->{user_id} } }, $_ foreach @{ $checker->{tables}{mission_progress} };
	$self->read_templates;
	$self->find_unclear;
	foreach my $user (sort { $a <=> $b } keys %{ { %{ $checker->{stream} }, %has } })
	{
		my $records = $self->follow($checker->{stream}{$user} // {});
		$self->compare($user, $records, $has{$user} // []);
	}
	$self->bad("mission_parity() found $_->{text}") foreach grep { !$self->{unclear}{ $_->{mission} // '' } } @{ $checker->{mission_parity} // [] };
	return;
}

sub bad { my ($self, $text) = @_; $self->{checker}->bad('M', $text); return }

sub read_templates
{
	my ($self) = @_;

	foreach my $row (sort { $a->{number} <=> $b->{number} } @{ $self->{checker}{tables}{mission_templates} })
	{
		my %t = %$row;
		$t{condition} = JSON::PP->new->allow_nonref->decode($t{condition}) if defined $t{condition};
		$t{requires} = JSON::PP::decode_json($t{requires});
		$t{$_} //= $NEVER foreach qw(ends_at retired_at increment_cap);
		$t{over} = min(@t{qw(ends_at retired_at)});
		$t{letter} = { purchase => 'P', action => 'A', reward => 'R' }->{ $t{trigger} };
		push @{ $self->{templates} }, \%t;
		$self->{by_name}{ $t{mission} }{ $t{version} } = \%t;
		$self->{required}{$_} = 1 foreach @{ $t{requires} };
		push @{ $self->{of}{$_} }, \%t foreach grep { !defined $t{letter} || $_ eq $t{letter} } qw(P A R G U H B);
	}
	return;
}

# Whether an entry may have been made on the other side of a publication, or an end, than its moment says.
sub find_unclear
{
	my ($self) = @_;
	my $checker = $self->{checker};
	my ($last, %by) = (0);

	foreach my $tx (@{ $checker->{log} })
	{
		foreach my $op (grep { $_ && $_->{fn} =~ /^(?:publish|retire)_mission$/ && $_->{fate} ne 'none' } @{ $tx->{ops} })
		{
			my ($mission, $clock) = $op->{args} =~ /^(\S+) at (\d+)/ or next;
			my $by = $op->{fate} eq 'sure' ? $tx->{ended} : 9e99;
			# from then on nobody may have made an entry of that moment before
			foreach my $other (@{ $checker->{log} })
			{
				next if $other->{clock} < $clock || !grep { $_ && $_->{at} < $by && @{ $_->{intents} } } @{ $other->{ops} };
				$self->{unclear}{$mission} = 1;
				last;
			}
		}
	}
	foreach my $t (@{ $self->{templates} })
	{
		$self->{unclear}{ $t->{mission} } = 1 if grep { $self->{unclear}{$_} } @{ $t->{requires} };
	}
	return;
}

# By the calendar.
sub period_of { my ($t, $at) = @_; my $day = POSIX::floor($at / 86400e6) + $PG_EPOCH / 86400; return $t->{period} eq 'daily' ? $day : $t->{period} eq 'weekly' ? POSIX::floor(($day + 3) / 7) : 0 }

sub key_of
{
	my ($t, $period) = @_;

	return 'once' if $t->{period} eq 'once';
	return "$t->{version}.$period" if $t->{period} =~ /^repeat/;
	return POSIX::strftime('%Y-%m-%dT%H:%M:%SZ', gmtime($period + $PG_EPOCH)) if $t->{period} =~ /^rolling/;
	return POSIX::strftime('%Y-%m-%d', gmtime $period * 86400) if $t->{period} eq 'daily';
	return POSIX::strftime('%G-W%V', gmtime(($period * 7 - 3) * 86400));
}

# When nothing counts any more for a period.
sub ends_of
{
	my ($t, $period) = @_;
	return min($t->{over}, 1e6 * ($period + 3600 * $1)) if $t->{period} =~ /^rolling (\d+)/;
	my $day = $t->{period} eq 'daily' ? $period + 1 : $t->{period} eq 'weekly' ? ($period + 1) * 7 - 3 : return $t->{over};
	return min($t->{over}, 1e6 * ($day * 86400 - $PG_EPOCH));
}

# The number that a key names of a version, or none.
sub number_of
{
	my ($t, $key) = @_;

	return 0 if $t->{period} eq 'once';
	return $key =~ /^$t->{version}\.(\d+)$/ ? $1 : undef if $t->{period} =~ /^repeat/;
	return $key =~ /^(\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+)Z$/ ? timegm($6, $5, $4, $3, $2 - 1, $1) - $PG_EPOCH : undef if $t->{period} =~ /^rolling/;
	return (grep { key_of($t, $_) eq $key } map { period_of($t, 1e6 * ($Stress::World::BEGIN + 86400 * $_ - $PG_EPOCH)) } 0 .. $Stress::World::DAYS)[0];
}

# The record of a mission that an entry of that moment was counted in, if it was.
sub record_of
{
	my ($records, $t, $at) = @_;
	my ($last) = sort { $b->{period} <=> $a->{period} } grep { $_->{of} == $t } values %$records;

	return $last if $t->{period} =~ /^repeat/;
	return $last && $at >= 1e6 * $last->{period} && $at < 1e6 * ($last->{period} + 3600 * $1) ? $last : undef if $t->{period} =~ /^rolling (\d+)/;
	return $records->{ "$t->{number} " . period_of($t, $at) };
}

# The record that an entry is to be counted in, or none: runs follow each other when they are claimed, and nothing begins
# before what has begun, when a clock was set back; of days and weeks, before the next one.
sub record_for
{
	my ($self, $records, $t, $e) = @_;
	my $r = record_of($records, $t, $e->{created_at});
	my $next = $t->{period} =~ /^rolling/ ? POSIX::floor($e->{created_at} / 1e6) : $t->{period} =~ /^repeat/ ? 1 : period_of($t, $e->{created_at});

	if ($r && $t->{period} =~ /^repeat ?(\d*)/ && $r->{state} eq 'claimed')
	{
		return if length $1 && $r->{period} >= $1;
		$self->{forgotten}{"$e->{user_id} $t->{mission} " . key_of($t, $r->{period})} = 1;
		delete $records->{"$t->{number} $r->{period}"};
		$next = $r->{period} + 1;
		undef $r;
	}
	my $by_calendar = $t->{period} =~ /^(?:daily|weekly)/;
	return $r if $r || grep { $_->{of} == $t && ($by_calendar ? $_->{period} == $next + 1 : $_->{period} >= $next) } values %$records;
	# what was made before it was unlocked, or had begun, did not count, and is not taken back
	my $since = @{ $t->{requires} } || $t->{period} =~ /^(?:repeat|rolling)/ ? $e->{seq} : 0;
	return $records->{"$t->{number} $next"} = { of => $t, period => $next, progress => 0, state => 'active', since => $since };
}

sub is_open { my ($t, $at) = @_; return $at >= $t->{starts_at} && $at < $t->{over} }

sub fact
{
	my ($e, $path) = @_;

	return max(-$e->{gold_delta}, 0) if $path eq 'event.gold_spent';
	return $e->{gold} if $path eq 'user.gold';
	return $e->{product_id} if $path eq 'event.product';
	return $e->{ $1 } if $path =~ /^event\.(\w+)$/;
	die "no fact is called $path";
}

# What an entry adds to a mission; 0: it does not count.
sub increment
{
	my ($t, $e) = @_;

	if ($t->{condition})
	{
		my ($path, $value) = @{ $t->{condition}{eq} };
		return 0 if (fact($e, $path) // '') ne $value;
	}
	# or a mission would begin another one
	return 0 if ($e->{operation} // '') =~ /^(?:escrow_hold|escrow_close|round_open)$/;
	return 0 if $t->{period} =~ /^repeat/ && ($e->{source} // '') =~ /^economy:mission:/;
	my $n = $t->{progress} eq 'count' ? 1 : fact($e, $t->{field}) // return 0;
	return 1 if $t->{progress} eq 'distinct';
	return min(max($n, 0), $t->{increment_cap}, $t->{target});
}

# A mission that requires one means the versions that were not over when it was published.
sub opens
{
	my ($of, $next) = @_;
	return $of->{period} eq 'once' && ($of->{over} == $NEVER || $of->{over} + 3600e6 * $of->{claim_hours} > $next->{published_at});
}

sub is_unlocked
{
	my ($t, $records) = @_;

	foreach my $name (@{ $t->{requires} })
	{
		return 0 unless grep { $_->{of}{mission} eq $name && $_->{state} ne 'active' && !$_->{just_now} && opens($_->{of}, $t) } values %$records;
	}
	return 1;
}

# What a user has of missions after his entries.
sub follow
{
	my ($self, $stream) = @_;
	my %records;

	foreach my $e (map { $stream->{$_} } sort { $a <=> $b } keys %$stream)
	{
		my $changed = 0;
		if (defined $e->{reverses}) { $changed = $self->take_back(\%records, $e, $stream->{ $e->{reverses} }) }
		else
		{
			$changed = $self->claim(\%records, $e) if ($e->{source} // '') =~ /^economy:mission:/;
			$changed += $self->count(\%records, $e);
		}
		$self->forget(\%records, $e) if $changed;
	}
	return \%records;
}

sub count
{
	my ($self, $records, $e) = @_;
	my $changed = 0;

	foreach my $t (grep { is_open($_, $e->{created_at}) } @{ $self->{of}{ $e->{journal} } // [] })
	{
		my $n = increment($t, $e) or next;
		next unless is_unlocked($t, $records);
		my $r = $self->record_for($records, $t, $e);
		next if !$r || $r->{state} ne 'active';
		$n = 0 if $t->{progress} eq 'distinct' && $r->{values}{ fact($e, $t->{field}) }++;
		$r->{progress} = $t->{progress} eq 'max' ? max($r->{progress}, $n) : min($r->{progress} + $n, $t->{target});
		@$r{qw(state just_now)} = ('completed', 1) if $r->{progress} >= $t->{target};
		push @{ $self->{done}{"$e->{user_id} $t->{mission} " . key_of($t, $r->{period})} }, $e if $r->{just_now};
		$changed = 1;
	}
	return $changed;
}

# An entry that is taken back as a whole counts no more where it is under way, but as the greatest.
sub take_back
{
	my ($self, $records, $e, $x) = @_;
	my $changed = 0;

	return 0 unless $x && $x->{gold_delta} == -$e->{gold_delta} && $x->{xp_delta} == -$e->{xp_delta} && ($x->{quantity} // 0) == ($e->{quantity} // 0);
	foreach my $t (grep { $_->{progress} ne 'max' && is_open($_, $x->{created_at}) } @{ $self->{of}{ $x->{journal} } // [] })
	{
		my $n = increment($t, $x) or next;
		my $r = record_of($records, $t, $x->{created_at});
		next unless $r && $r->{state} eq 'active' && $x->{seq} >= $r->{since};
		$n = 0 if $t->{progress} eq 'distinct' && --$r->{values}{ fact($x, $t->{field}) };
		$r->{progress} = max($r->{progress} - $n, 0);
		$changed = 1;
	}
	return $changed;
}

# A reward of a mission: of a version that there is, in time, once it is completed, and as it was published.
sub claim
{
	my ($self, $records, $e) = @_;
	my ($mission) = $e->{source} =~ /^economy:mission:(.*)/;
	my $version = JSON::PP::decode_json($e->{details} // '{}')->{version} // 0;
	my $t = $self->{by_name}{$mission}{$version};

	return 0 if $self->{unclear}{$mission};
	if (!$t) { $self->bad("$e->{id} pays version $version of $mission, which there is not"); return 0 }
	my $is = join ' ', @$e{qw(gold_delta xp_delta)}, Stress::Contents::moved_by($e);
	my $ought = join ' ', @$t{qw(gold xp)}, Stress::Contents::text_of(JSON::PP::decode_json($t->{items} // '{}'));
	$self->bad("$e->{id}: $mission paid '$is', and pays '$ought'") if $is ne $ought;
	my ($r) = grep { $_->{of} == $t && key_of($t, $_->{period}) eq $e->{external_event_id} } values %$records;
	if (!$r || $r->{state} ne 'completed')
	{
		$self->bad("$e->{id}: $mission $e->{external_event_id} was claimed, and is " . ($r ? "$r->{state} with $r->{progress} of $t->{target}" : 'not begun'));
		return 0;
	}
	my $until = ends_of($t, $r->{period});
	$self->bad("$e->{id}: $mission $e->{external_event_id} was claimed when its time was over") if $until != $NEVER && $e->{created_at} >= $until + 3600e6 * $t->{claim_hours};
	$r->{state} = 'claimed';
	return 1;
}

# With an entry that counts goes what nobody can do anything with any more.
sub forget
{
	my ($self, $records, $e) = @_;

	foreach my $of (keys %$records)
	{
		my $r = $records->{$of};
		my $t = $r->{of};
		delete $r->{just_now};
		my $ends = ends_of($t, $r->{period});
		next if $ends == $NEVER || $t->{period} eq 'once' && $self->{required}{ $t->{mission} };
		# of what is claimed it is known as long that it was completed
		$ends += 3600e6 * $t->{claim_hours} if $r->{state} ne 'active';
		next if $e->{created_at} < $ends;
		$self->{forgotten}{"$e->{user_id} $t->{mission} " . key_of($t, $r->{period})} = 1;
		delete $records->{$of};
	}
	return;
}

sub compare
{
	my ($self, $user, $records, $rows) = @_;
	my %is = map { ("$_->{mission} $_->{version} $_->{period}" => "$_->{state} $_->{progress}") } @$rows;
	my %ought = map { ("$_->{of}{mission} $_->{of}{version} " . key_of($_->{of}, $_->{period}) => "$_->{state} $_->{progress}") } values %$records;

	foreach my $of (sort keys %{ { %is, %ought } })
	{
		my ($is, $ought) = map { $_->{$of} // 'nothing' } \%is, \%ought;
		$self->bad("user $user has of $of: $is, the entries make $ought") if $is ne $ought && !$self->{unclear}{ (split / /, $of)[0] };
	}
	return;
}

# Refusals, as the checker's rules ask: whether they are right.

sub named { my ($intent) = @_; return $intent->{kind} eq 'M' ? $intent->{key} =~ /^economy:mission:([^|]+)\|(.*)/ : () }

# None that was surely completed before, and has not left since.
sub is_not_completed
{
	my ($tx, $intent, $r, $product, $checker, $op) = @_;
	my ($mission, $period) = named($intent) or return 0;
	my $self = $checker->{missions};
	my $of = "$intent->{user} $mission $period";
	my ($progress, $target) = map { Stress::Checker::figure($r, $_) // return 0 } 'progress', 'target';

	return 1 if $self->{unclear}{$mission};
	return $progress < $target && grep({ $_->{target} == $target } values %{ $self->{by_name}{$mission} // {} })
	  && ($self->{forgotten}{$of} || !grep { $checker->span_of($_)->{by} < $op->{at} } @{ $self->{done}{$of} // [] });
}

sub is_expired
{
	my ($tx, $intent, $r, $product, $checker) = @_;
	my ($mission, $period) = named($intent) or return 0;
	my $self = $checker->{missions};
	my $clock = 1e6 * ($tx->{clock} - $PG_EPOCH);

	return 1 if $self->{unclear}{$mission};
	foreach my $t (values %{ $self->{by_name}{$mission} // {} })
	{
		my $number = number_of($t, $period) // next;
		my $ends = ends_of($t, $number);
		return 1 if $ends != $NEVER && $clock >= $ends + 3600e6 * $t->{claim_hours};
	}
	return 0;
}

sub is_unknown { my ($tx, $intent) = @_; return ((named($intent))[0] // '') eq 'nothing' }

1;
