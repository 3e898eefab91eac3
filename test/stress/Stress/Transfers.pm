# Gold and items between users, by what doc/concepts.md and doc/reference.md say, written
# down once more: two entries of one moment that name each other, a fee that nobody gets, and
# the rules as they were at a moment of the call.
package Stress::Transfers;

use strict;
use warnings;
use POSIX ();
use Stress::World;

# checker: a Stress::Checker, whose tables and log are read, and who is told
sub check
{
	my ($checker) = @_;
	my @entries = sort { $a->{user_id} <=> $b->{user_id} || $a->{seq} <=> $b->{seq} }
	  grep { $_->{journal} eq 'H' && $_->{operation} =~ /^(?:transfer_|escrow_(?:close|hold))/ } @{ $checker->{tables}{entries} };
	my $self = bless { checker => $checker, in => {}, sent => {} }, __PACKAGE__;

	foreach my $e (grep { $_->{operation} eq 'transfer_in' } @entries)
	{
		$self->bad("$e->{id}: the transfer $e->{idempotency_key} arrived twice") if $self->{in}{ $e->{idempotency_key} };
		$self->{in}{ $e->{idempotency_key} } = $e;
	}
	foreach my $e (@entries)
	{
		$self->check_age($e) if $e->{operation} =~ /^(?:transfer_out|escrow_hold)$/;
		if ($e->{operation} eq 'transfer_out') { $self->check_sent($e) }
		elsif ($e->{operation} eq 'escrow_close' && $e->{detail} =~ /"how": "captured", "gold": (\d+)/) { $self->check_rules($e, $1) }
	}
	$self->bad("$_: it arrived, and nobody sent it") foreach sort keys %{ $self->{in} };
	return;
}

sub bad { my ($self, $text) = @_; $self->{checker}->bad('R', $text); return }

# What one user sent another got, no more and no less, in the same transaction.
sub check_sent
{
	my ($self, $e) = @_;
	my $in = delete $self->{in}{ $e->{id} };
	my ($to, $fee, $gold, $note) = $e->{detail} =~ /^\{"to": (\d+), "fee": (\d+), "gold": (\d+)(, "note": "\w+")?, "transfer": "\Q$e->{id}\E"\}$/
	  or return $self->bad("$e->{id}: no transfer is said to be $e->{detail}");

	return $self->bad("$e->{id}: nobody got it") if !$in;
	my $is = join ' ', $in->{user_id}, $in->{gold_delta}, $in->{xact}, $in->{created_at}, Stress::Checker::items_carried($in), $in->{detail};
	my $should = join ' ', $to, $gold, $e->{xact}, $e->{created_at}, Stress::Checker::items_carried($e, -1), '{"from": ' . qq($e->{user_id}, "gold": $gold) . ($note // '') . qq(, "transfer": "$e->{id}"});
	$self->bad("$e->{id}: sent was '$should', and '$is' arrived") if $is ne $should;
	$self->bad("$e->{id}: $e->{gold_delta} was taken for $gold and a fee of $fee")
	  unless $e->{gold_delta} == -$gold - $fee && $fee == POSIX::ceil($gold * $Stress::World::FEE / 1000);
	$self->check_rules($e, $gold);
	return;
}

# Of an escrow when it is held: who passes it on may have a clock that is behind.
sub check_age
{
	my ($self, $e) = @_;
	my $age = $e->{created_at} - ($self->{checker}{user}{ $e->{user_id} } // { created_at => $e->{created_at} })->{created_at};

	$self->bad("$e->{id}: the sender was " . $age / 3600e6 . ' hours old') if $age < 3600e6 * $Stress::World::MINIMUM_AGE;
	return;
}

# Nobody sent more in a day than could be sent then.
sub check_rules
{
	my ($self, $e, $gold) = @_;
	my $checker = $self->{checker};
	my $of = $self->{sent}{ $e->{user_id} } //= { day => -1, gold => 0 };
	my $day = POSIX::floor($e->{created_at} / 86400e6);
	my ($call) = grep { $_->{fate} eq 'sure' && $_->{result} && $_->{result}{state} eq 'new' } @{ $checker->{attempts}{"H $e->{user_id} $e->{key}"} // [] };
	my @rules = grep { $_->{enabled} } $call ? Stress::Checker::at_moment($call->{op}, rules_of($checker)) : rules_of($checker);

	# a clock that goes back begins no other day
	@$of{qw(day gold)} = ($day, 0) if $gold > 0 && $day > $of->{day};
	$of->{gold} += $gold;
	$self->bad("$e->{id}: nothing could be sent then") unless @rules;
	my ($most) = sort { $b <=> $a } map { $_->{daily} } @rules;
	$self->bad("$e->{id}: the user sent $of->{gold} in a day") if $gold > 0 && @rules && $of->{gold} > $most;
	return;
}

# What the rules were said to be, from when on they may have been so, and by when surely.
sub rules_of
{
	my ($checker) = @_;

	return @{ $checker->{transfer_rules} } if $checker->{transfer_rules};
	my @states = { enabled => 1, daily => $Stress::World::DAILY_GOLD[0], from => 0, by => 0 };
	foreach my $tx (@{ $checker->{log} })
	{
		foreach my $op (grep { $_ && $_->{fn} eq 'set_transfer_rules' && $_->{fate} ne 'none' } @{ $tx->{ops} })
		{
			my ($daily) = $op->{args} =~ /"daily_gold": (\d+)/;
			push @states, { enabled => $op->{args} =~ /"enabled": true/ ? 1 : 0, daily => $daily, from => $op->{at}, by => $op->{fate} eq 'sure' ? $tx->{ended} : undef };
		}
	}
	$checker->{transfer_rules} = \@states;
	return @states;
}

# Refusals, as the checker's rules ask: whether they are right.

sub is_off
{
	my ($tx, $intent, $r, $product, $checker, $op) = @_;
	return $intent->{to} && grep { !$_->{enabled} } Stress::Checker::at_moment($op, rules_of($checker));
}

sub is_young
{
	my ($tx, $intent, $r, $product, $checker) = @_;
	my $user = $checker->{user}{ $intent->{user} } // return 0;
	my $from = $user->{created_at} / 1e6 + 946684800 + 3600 * $Stress::World::MINIMUM_AGE;
	my $said = substr(Stress::World::clock_text($from), 0, 19) =~ s/ /T/r;

	return $intent->{to} && $tx->{clock} < $from && ($r->{detail} // '') =~ /"allowed_at": "\Q$said\E/;
}

sub is_over_limit
{
	my ($tx, $intent, $r, $product, $checker, $op) = @_;
	my ($sent, $limit) = map { Stress::Checker::figure($r, $_) // return 0 } 'sent', 'limit';

	return ($intent->{sent} // 0) > 0 && $sent + $intent->{sent} > $limit && $sent <= $Stress::World::DAILY_GOLD[0]
	  && grep { $_->{daily} == $limit && $_->{enabled} } Stress::Checker::at_moment($op, rules_of($checker));
}

1;
