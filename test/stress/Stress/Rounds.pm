# Game actions in two steps, by what doc/reference.md says, written down once more: a round that
# was settled has one action, of its bet, and one that was voided, or whose time was over, none.
package Stress::Rounds;

use strict;
use warnings;

# checker: a Stress::Checker, whose tables and log are read, and who is told
sub check
{
	my ($checker) = @_;
	my $self = bless { checker => $checker }, __PACKAGE__;
	my $rounds = rounds($checker);

	foreach my $name (sort keys %$rounds)
	{
		my ($open, $end) = @{ $rounds->{$name} }{qw(open end)};
		my ($action) = @{ $checker->{by_key}{"A $name"} // [] };

		if (!$end || $end->{reason} ne 'settle')
		{
			$self->bad("$open->{id} is " . ($end ? "closed as $end->{reason}" : 'open') . ", and $action->{id} is recorded") if $action;
			$self->bad("$open->{id}: no round ends as $end->{reason}") if $end && $end->{reason} !~ /^(?:lost|expiry)$/;
		}
		elsif (!$action) { $self->bad("$open->{id} is settled, and nothing is recorded") }
		else { $self->check_action($open, $end, $action) }
	}
	$self->bad("$_->{id} is recorded of a round that nobody opened") foreach grep { $_->{key} =~ /^slot\|round\d/ && !$rounds->{"$_->{user_id} $_->{key}"} }
	  sort { $a->{id} cmp $b->{id} } grep { $_->{journal} eq 'A' } map { values %$_ } values %{ $checker->{stream} };
	$self->check_voided($_) foreach @{ $checker->{log} };
	return;
}

sub bad { my ($self, $text) = @_; $self->{checker}->bad('R', $text); return }

# "user game|id" => what opened and what closed it
sub rounds
{
	my ($checker) = @_;
	my (%rounds, %close);

	return $checker->{rounds} if $checker->{rounds};
	my @entries = grep { $_->{journal} eq 'H' } @{ $checker->{tables}{entries} };
	$close{ $_->{idempotency_key} } = $_ foreach grep { $_->{operation} eq 'escrow_close' } @entries;
	foreach my $e (grep { $_->{operation} eq 'round_open' } @entries)
	{
		my ($game, $id) = $e->{idempotency_key} =~ /^\["(\w+)", "([\w-]+)"\]$/;
		$rounds{"$e->{user_id} $game|$id"} = { open => $e, end => $close{ $e->{id} } };
	}
	return $checker->{rounds} = \%rounds;
}

# The bet, given back and taken again in one transaction.
sub check_action
{
	my ($self, $open, $end, $action) = @_;
	my ($type) = $open->{context} =~ /"action_type": "(\w+)"/;
	my $is = join ' ', $action->{bet}, $action->{seq};
	my $should = join ' ', -$open->{gold_delta}, $end->{seq} + 1;

	$self->bad("$open->{id}: '$is' is recorded, and not '$should'") if $is ne $should;
	return if $action->{pruned};
	$self->bad("$open->{id}: $action->{action_type} is recorded, opened was $type") if $action->{action_type} ne $type;
	$self->bad("$open->{id} and $action->{id} are not of one transaction") if $action->{xact} != $end->{xact} || $action->{created_at} != $end->{created_at};
	return;
}

# What was acknowledged is so.
sub check_voided
{
	my ($self, $tx) = @_;

	foreach my $op (grep { $_ && $_->{fn} eq 'void_action' && $_->{answered} && $_->{fate} eq 'sure' } @{ $tx->{ops} })
	{
		my ($r) = @{ $op->{results} };
		my ($user, $id) = $op->{args} =~ /^(\d+), 'slot', '([\w-]+)'/;
		my $intent = { user => $user, key => "slot|$id" };
		my $end = (rounds($self->{checker})->{"$user slot|$id"} // {})->{end};
		my $fits = $r->{code} eq 'OK' ? $end && $end->{id} eq $r->{transaction_id} && $end->{reason} =~ ($r->{state} eq 'new' ? qr/^lost$/ : qr/^(?:lost|expiry)$/)
		  : $r->{code} eq 'ROUND_NOT_FOUND' ? is_unknown($tx, $intent, $r, {}, $self->{checker}, $op)
		  : $r->{code} eq 'ROUND_CLOSED' ? is_closed($tx, $intent, $r, {}, $self->{checker}, $op)
		  : $r->{state} eq 'in_progress' ? 1
		  : $r->{code} eq 'USER_NOT_FOUND' ? $user > $Stress::World::USERS : $r->{code} eq 'GOLD_OVERFLOW';
		$self->bad("void_action($op->{args}) in $tx->{tx} says $r->{state} $r->{code}, it is " . ($end ? "closed as $end->{reason}" : 'open')) unless $fits;
	}
	return;
}

# Nobody had opened it for sure before the call.
sub is_unknown
{
	my ($tx, $intent, $r, $product, $checker, $op) = @_;
	my ($game, $id) = split /\|/, $intent->{key};

	return !grep { $_->{fate} eq 'sure' && $_->{result} && $_->{result}{state} eq 'new' && $_->{tx} != $tx && $_->{tx}{ended} < $op->{at} }
	  @{ $checker->{attempts}{"H $intent->{user} round_open|[\"$game\", \"$id\"]"} // [] };
}

# Told is how it was closed; a call of the same transaction may have closed it and been taken back.
sub is_closed
{
	my ($tx, $intent, $r, $product, $checker, $op) = @_;
	my $end = (rounds($checker)->{"$intent->{user} $intent->{key}"} // {})->{end};
	my ($how, $reason) = ($r->{detail} // '') =~ /"how": "(\w+)", "reason": "(\w+)"/;

	return 1 if grep { $_ && $_ != $op && $_->{fn} =~ /^(?:settle_action|void_action)$/ && ($_->{undone} || $op->{undone}) } @{ $tx->{ops} };
	return 1 if $op->{fate} ne 'sure';
	return $end && $end->{reason} eq $reason && $end->{detail} =~ /"how": "$how"/ && ($op->{fn} eq 'void_action') == ($reason eq 'settle');
}

1;
