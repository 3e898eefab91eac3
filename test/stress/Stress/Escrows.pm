# What users put aside, by what doc/reference.md says, written down once more: an escrow is
# closed once, and what it took is what it gave back, what another user got, and the fee.
package Stress::Escrows;

use strict;
use warnings;
use POSIX ();
use Stress::World;

my $ENDS = 'SAME_USER|ESCROW_NOT_FOUND|ESCROW_CLOSED|ESCROW_EXPIRED|EXCEEDS_ESCROW|IDEMPOTENCY_MISMATCH|IN_PROGRESS|USER_NOT_FOUND|USER_SUSPENDED|TRANSFERS_OFF|TRANSFER_DAILY_LIMIT|GOLD_OVERFLOW|ITEM_LIMIT';

# checker: a Stress::Checker, whose tables and log are read, and who is told
sub check
{
	my ($checker) = @_;
	my @entries = grep { $_->{journal} eq 'H' && $_->{operation} =~ /^(?:escrow_|round_open$)/ } @{ $checker->{tables}{entries} };
	my $self = bless { checker => $checker, hold => {}, close => {}, in => {} }, __PACKAGE__;

	$self->{hold}{ $_->{id} } = $_ foreach grep { $_->{operation} =~ /^(?:escrow_hold|round_open)$/ } @entries;
	foreach my $e (grep { $_->{operation} =~ /^escrow_(?:in|close)$/ } @entries)
	{
		my $of = $self->{ $e->{operation} eq 'escrow_in' ? 'in' : 'close' };
		$self->bad("$e->{id}: $e->{operation} of $e->{idempotency_key} is there twice") if $of->{ $e->{idempotency_key} };
		$of->{ $e->{idempotency_key} } = $e;
	}
	$self->check_hold($_) foreach map { $self->{hold}{$_} } sort keys %{ $self->{hold} };
	$self->bad("$_: it ended, and never began") foreach grep { !$self->{hold}{$_} } sort keys %{ $self->{close} };
	$self->bad("$_: somebody got it, and nobody gave it") foreach grep { !$self->{close}{$_} || $self->{close}{$_}{detail} !~ /"captured"/ } sort keys %{ $self->{in} };
	$self->check_list;
	$self->check_answers;
	return;
}

sub bad { my ($self, $text) = @_; $self->{checker}->bad('R', $text); return }

sub check_hold
{
	my ($self, $e) = @_;
	my $rate = $e->{operation} eq 'round_open' ? 0 : $Stress::World::FEE;
	my ($fee, $gold, $ttl) = $e->{detail} =~ /^\{"fee": (\d+), "gold": (\d+), "expires_at": "[^"]+", "ttl_seconds": (\d+), "fee_per_mille": $rate\}$/
	  or return $self->bad("$e->{id}: no escrow is said to be $e->{detail}");

	$self->bad("$e->{id}: $e->{gold_delta} was taken for $gold and a fee of $fee")
	  unless $e->{gold_delta} == -$gold - $fee && $fee == ($rate ? fee($gold) : 0);
	$e->{ends} = $e->{created_at} + 1e6 * $ttl;
	$self->check_end($e, $self->{close}{ $e->{id} }) if $self->{close}{ $e->{id} };
	return;
}

sub fee { my ($gold) = @_; return POSIX::ceil($gold * $Stress::World::FEE / 1000) }

# Nothing is left, and nothing is too much.
sub check_end
{
	my ($self, $e, $end) = @_;
	my ($how) = $end->{detail} =~ /"how": "(\w+)"/;
	my $in = $how eq 'captured' ? $self->{in}{ $e->{id} } : undef;
	my %left;

	$left{gold} = -$e->{gold_delta} - $end->{gold_delta} - ($in ? $in->{gold_delta} + fee($in->{gold_delta}) : 0);
	foreach my $one (map { Stress::Checker::carried($_) } grep { $_ } $e, $end, $in)
	{
		$left{ $one->[0] } = ($left{ $one->[0] } // 0) - $one->[1];
	}
	$self->bad("$e->{id}: of it $left{$_} $_ are left over") foreach grep { $left{$_} } sort keys %left;
	return $self->bad("$e->{id}: nobody got it") if $how eq 'captured' && !$in;
	$self->bad("$e->{id}: it ended $how at $end->{created_at}, its time was $e->{ends}")
	  if $how eq 'captured' ? $end->{created_at} >= $e->{ends} : $how eq 'expired' && $end->{created_at} < $e->{ends};
	return unless $in;
	my $is = join ' ', $in->{xact}, $in->{created_at}, $in->{detail};
	my $should = join ' ', $end->{xact}, $end->{created_at}, qq({"from": $e->{user_id}, "gold": $in->{gold_delta}, "escrow": "$e->{id}"});
	$self->bad("$e->{id}: '$is' arrived, and not '$should'") if $is ne $should;
	$self->bad("$e->{id}: its end says $end->{detail}")
	  if $end->{detail} ne sprintf '{"to": %d, "fee": %d, "how": "captured", "gold": %d, "escrow": "%s"}', $in->{user_id}, fee($in->{gold_delta}), $in->{gold_delta}, $e->{id};
	return;
}

# What is open is listed, and nothing else.
sub check_list
{
	my ($self) = @_;
	my %listed = map { ("H$_->{user_id}-$_->{seq}" => $_->{expires_at}) } @{ $self->{checker}{tables}{escrows} };

	foreach my $id (sort keys %{ $self->{hold} })
	{
		my $listed = delete $listed{$id};
		next if $self->{close}{$id} ? !defined $listed : defined $listed && $listed == ($self->{hold}{$id}{ends} // -1);
		$self->bad("$id is " . ($self->{close}{$id} ? 'closed' : 'open') . ', and listed ' . ($listed // 'nowhere'));
	}
	$self->bad("$_ is listed, and there is none") foreach sort keys %listed;
	return;
}

# What was acknowledged is there, and as it was asked for.
sub check_answers
{
	my ($self) = @_;

	foreach my $tx (@{ $self->{checker}{log} })
	{
		foreach my $op (grep { $_ && $_->{fn} =~ /^(?:release|pass)_escrow$/ && $_->{answered} } @{ $tx->{ops} })
		{
			$self->check_answer($tx, $op, $_) foreach @{ $op->{results} };
		}
	}
	return;
}

sub check_answer
{
	my ($self, $tx, $op, $r) = @_;
	my ($id) = $op->{args} =~ /'(H\d+-\d+)'/;
	my $end = $self->{close}{ $id // '' };
	my $says = "$op->{fn}($op->{args}) in $tx->{tx} says " . join ' ', map { $_ // '' } @$r{qw(state code transaction_id)};

	return $self->bad($says) unless $r->{code} =~ /^(?:OK|$ENDS)$/;
	return if $r->{code} ne 'OK' || $op->{fate} ne 'sure';
	return $self->bad("$says, and it is not closed") unless $end && $end->{id} eq $r->{transaction_id};
	my $how = $op->{fn} eq 'pass_escrow' ? 'captured' : $r->{state} eq 'new' ? 'released' : 'released|expired';
	$self->bad("$says, and it was closed as $end->{detail}") unless $end->{detail} =~ /"how": "(?:$how)"/;
	return;
}

1;
