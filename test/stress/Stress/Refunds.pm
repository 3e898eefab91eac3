# Purchases that were taken back, and what is owed for them, by what doc/reference.md says, written
# down once more: a refund moves back what its units moved, never more units than were bought, and
# takes no more than is there; what is not there of gold is owed until it is collected, and only by
# who may.
package Stress::Refunds;

use strict;
use warnings;
use JSON::PP ();
use List::Util qw(max min sum0);
use Stress::World;

# checker: a Stress::Checker, whose tables and log are read, and who is told; its check_holdings()
# tells of each refund what was held before.  Its still_owed is how much the job would leave to who has
# gold, its told_owed what users were told to owe, if these were asked.
sub check
{
	my ($checker) = @_;
	my $self = of($checker);

	$self->check_refund($_) foreach map { @{ $self->{of}{$_} } } sort keys %{ $self->{of} };
	$self->check_debts;
	$self->check_calls;
	$self->check_told($checker->{told_owed}) if $checker->{told_owed};
	$self->bad("$checker->{still_owed} are owed by users who have gold, and the job leaves them") if $checker->{still_owed};
	return;
}

# What the tables say, read once: refunds of each purchase in their order, each with what was taken back before it.
sub of
{
	my ($checker) = @_;
	return $checker->{refunds} if $checker->{refunds};
	my $self = $checker->{refunds} = bless { checker => $checker, of => {} }, __PACKAGE__;

	foreach my $e (sort { $a->{seq} <=> $b->{seq} } grep { $_->{journal} eq 'B' } @{ $checker->{tables}{entries} })
	{
		my $others = $self->{of}{"P$e->{user_id}-$e->{reverses}"} //= [];
		$e->{before} = sum0 map { $_->{quantity} } @$others;
		push @$others, $e;
	}
	return $self;
}

sub bad { my ($self, $text) = @_; $self->{checker}->bad('B', $text); return }
sub refunds_of { my ($checker, $purchase) = @_; return @{ of($checker)->{of}{$purchase} // [] } }
sub units_of { my ($checker, $purchase) = @_; return sum0 map { $_->{quantity} } refunds_of($checker, $purchase) }

# The purchase that an effect is to take back.
sub purchase_of
{
	my ($checker, $intent) = @_;
	my ($user, $seq) = $intent->{key} =~ /^P(\d+)-(\d+)\|/ or return;
	my $p = $user == $intent->{user} ? $checker->{stream}{$user}{$seq} : undef;

	return $p && $p->{journal} eq 'P' ? $p : undef;
}

# What units are of an amount of the whole: up to the last of them, less up to the one before.
sub share
{
	my ($p, $whole, $before, $units) = @_;
	use integer;
	return $whole * ($before + $units) / $p->{quantity} - $whole * $before / $p->{quantity};
}

sub check_refund
{
	my ($self, $e) = @_;
	my $checker = $self->{checker};
	my $p = $checker->{stream}{ $e->{user_id} }{ $e->{reverses} };

	return $self->bad("$e->{id} takes back what is no purchase") unless $p && $p->{journal} eq 'P' && $p->{seq} < $e->{seq};
	$self->bad("$e->{id} takes back $p->{id} of $p->{product_id} as $e->{purchase} of $e->{product_id}") if $e->{purchase} ne $p->{id} || $e->{product_id} ne $p->{product_id};
	my $upto = $e->{before} + $e->{quantity};
	return $self->bad("$e->{id}: $upto units of $p->{id} are taken back, $p->{quantity} were bought") if $upto > $p->{quantity};
	$self->bad("$e->{id}: all that was left was asked for, and $e->{quantity} units after $e->{before} were taken back of $p->{quantity}") if !defined $e->{asked} && $upto != $p->{quantity};
	$self->check_moved($e, $p);
	$self->bad("$e->{id}: $e->{restocked} of $e->{quantity} units went back to the stock") if $e->{restocked} && !defined $p->{stock_slot} || $e->{restocked} !~ /^(?:0|$e->{quantity})$/;
	return;
}

# Gold, XP, items and value: what was paid comes back, and of what was given all that is there.
sub check_moved
{
	my ($self, $e, $p) = @_;
	my (%moves, %rest);
	my $part = sub { share($p, $_[0], @$e{qw(before quantity)}) };

	foreach my $of ([ gold => 'gold_delta' ], [ experience_points => 'xp_delta' ])
	{
		my ($name, $delta) = @$of;
		my $moved = $part->($p->{$delta});
		my $taken = $moved > 0 ? min($moved, $e->{$name} - $e->{$delta}) : $moved;
		$self->bad("$e->{id}: its $delta is $e->{$delta}, $p->{id} moved $moved") if $e->{$delta} != -$taken;
		$rest{ $name eq 'gold' ? 'debt_gold' : 'debt_xp' } = $moved - $taken if $moved > $taken;
	}
	$self->bad("$e->{id}: it owes $e->{debt_gold}, and ought to owe " . ($rest{debt_gold} // 0)) if $e->{debt_gold} != ($rest{debt_gold} // 0);
	$self->bad("$e->{id}: a value of $e->{monetary} was taken back") if $e->{monetary} != $part->($p->{monetary});
	foreach my $one (Stress::Checker::carried($p))
	{
		my ($id, $moved) = ($one->[0], $part->($one->[1]));
		my $taken = $moved > 0 ? min($moved, $self->{checker}{there}{ $e->{id} }{$id} // 0) : $moved;
		$moves{$id} = -$taken;
		$rest{already_used}{$id} = $moved - $taken if $moved > $taken;
	}
	my ($is, $ought) = (Stress::Contents::moved_by($e), Stress::Contents::text_of(\%moves));
	$self->bad("$e->{id}: it moved '$is', taking $p->{id} back moves '$ought'") if $is ne $ought;
	$self->bad("$e->{id}: something is left to be taken, which was to be refused") if $e->{policy} eq 'refuse' && %rest;
	my $detail = JSON::PP::decode_json($e->{detail} // '{}');
	delete $detail->{fulfilment};    # Stress::Fulfilment
	($is, $ought) = map { JSON::PP->new->canonical->encode($_) } $detail, \%rest;
	$self->bad("$e->{id}: it says '$is' of what was not there, and it was '$ought'") if $is ne $ought;
	return;
}

# An acknowledged refund is that of the call.
sub check_asked
{
	my ($checker, $key, $e, $a) = @_;
	my ($intent, $r) = @$a{qw(intent result)};
	my $p = of($checker) && purchase_of($checker, $intent) or return;
	my $is = join ' ', @$e{qw(policy restocked actor reason)};
	my $ought = join ' ', $intent->{policy}, $intent->{restock} && defined $p->{stock_slot} ? $e->{quantity} : 0, @$intent{qw(actor reason)};
	my $left = $p->{quantity} - $e->{before} - $e->{quantity};

	$checker->bad('B', "key '$key': asked for was '$ought', the refund is '$is'") if $is ne $ought;
	$checker->bad('B', "key '$key': $r->{quantity} units and $r->{quantity_left} left were acknowledged, it were $e->{quantity} and $left")
	  if $r->{quantity} != $e->{quantity} || $r->{quantity_left} != $left;
	return;
}

# What is owed is what was not there, less what was collected: as much as there was.
sub check_debts
{
	my ($self) = @_;
	my $checker = $self->{checker};
	my %listed = map { ("B$_->{user_id}-$_->{seq}" => $_->{gold}) } @{ $checker->{tables}{shop_debts} };

	$self->{owed} = {};
	foreach my $user (sort { $a <=> $b } keys %{ $checker->{stream} })
	{
		my $stream = $checker->{stream}{$user};
		foreach my $e (map { $stream->{$_} } sort { $a <=> $b } keys %$stream)
		{
			$self->{owed}{ $e->{id} } = $e->{debt_gold} if $e->{journal} eq 'B' && $e->{debt_gold} > 0;
			$self->collect($e) if $e->{journal} eq 'H' && $e->{operation} eq 'debt';
		}
	}
	foreach my $id (sort keys %{ { %{ $self->{owed} }, %listed } })
	{
		my ($is, $ought) = map { $_->{$id} // 0 } \%listed, $self->{owed};
		$self->bad("$id: $is are owed, the entries leave $ought") if $is != $ought;
	}
	return;
}

sub collect
{
	my ($self, $e) = @_;
	my ($owed, $taken, $refund) = ($self->{owed}{ $e->{reason} }, -$e->{gold_delta}, $e->{reason});

	return $self->bad("$e->{id} collects of $refund, for which nothing is owed") unless $owed && $refund =~ /^B$e->{user_id}-/;
	$self->bad("$e->{id} collects of $refund under the name '$e->{idempotency_key}', $owed are owed") if $e->{idempotency_key} ne "$refund:$owed";
	$self->bad("$e->{id} collects $taken of $owed, " . ($e->{gold} + $taken) . ' were there') if $taken != min($owed, $e->{gold} + $taken);
	$self->{owed}{$refund} -= $taken;
	push @{ $self->{collected}{ $e->{xact} } }, $e;
	return;
}

# Only who may has collected, and as often as he says.
sub check_calls
{
	my ($self) = @_;
	my $checker = $self->{checker};
	my (%known, %maybe);

	foreach my $tx (@{ $checker->{log} })
	{
		foreach my $op (grep { $_ && $_->{fn} eq 'collect_debts' && $_->{fate} ne 'none' } @{ $tx->{ops} })
		{
			my $r = $op->{answered} ? $op->{results}[0] : undef;
			my $may = $op->{args} =~ /, on$/;

			$maybe{ $tx->{clock} } = 1 if $may && ($op->{fate} eq 'maybe' || !$r);
			next unless $r && $op->{fate} eq 'sure';
			my $n = @{ $self->{collected}{ $r->{xact} // '' } // [] };
			$known{ $r->{xact} } = $may if defined $r->{xact};
			$self->bad("collect_debts() in $tx->{tx} says $r->{collected}, and has made $n entries") if $r->{collected} != $n;
			$self->bad("collect_debts() in $tx->{tx} has failed for $r->{failed}") if $r->{failed} && !$checker->{full} && !$checker->{deadlocks};
		}
	}
	foreach my $e (map { @$_ } values %{ $self->{collected} // {} })
	{
		$self->bad("$e->{id} was collected by nobody who may")
		  unless exists $known{ $e->{xact} } ? $known{ $e->{xact} } : $maybe{ $e->{created_at} / 1e6 + 946684800 };
	}
	return;
}

# Users are told what they owe, the oldest first.
sub check_told
{
	my ($self, $told) = @_;
	my $stream = $self->{checker}{stream};
	my (%is, %ought);

	push @{ $is{ $_->{user_id} } }, "$_->{refund} of $_->{purchase} at $_->{at}: $_->{gold}" foreach @$told;
	foreach my $id (sort { ($a =~ /-(\d+)/)[0] <=> ($b =~ /-(\d+)/)[0] } grep { $self->{owed}{$_} } keys %{ $self->{owed} })
	{
		my ($user, $seq) = $id =~ /^B(\d+)-(\d+)$/;
		my $e = $stream->{$user}{$seq};
		push @{ $ought{$user} }, "$id of $e->{purchase} at $e->{created_at}: $self->{owed}{$id}";
	}
	foreach my $user (sort { $a <=> $b } keys %{ { %is, %ought } })
	{
		my ($is, $ought) = map { join ', ', @{ $_->{$user} // [] } } \%is, \%ought;
		$self->bad("user $user was told to owe '$is', and owes '$ought'") if $is ne $ought;
	}
	return;
}

# Refusals, as the checker's rules ask: whether they are right.

# Units of a purchase that may have been taken back at a moment of a call.
sub may_be_taken_back
{
	my ($checker, $p, $op) = @_;
	my @all = refunds_of($checker, $p->{id});
	my @spans = map { $checker->span_of($_) } @all;

	# those that were there before it began, and any more in their order that began before it ended
	return map { my $n = $_; sum0 map { $_->{quantity} } @all[ 0 .. $n - 1 ] }
	  grep { my $n = $_; !grep({ $spans[$_]{by} < $op->{at} } $n .. $#all) && !grep({ $spans[$_]{from} > $op->{done} } 0 .. $n - 1) } 0 .. @all;
}

# Whether the transaction itself has another refund of it, which it may have taken back.
sub has_another
{
	my ($tx, $intent) = @_;
	my ($purchase) = split /\|/, $intent->{key};
	return grep { $_ != $intent && $_->{kind} eq 'B' && $_->{user} == $intent->{user} && $_->{key} =~ /^\Q$purchase\E\|/ } map { @{ $_->{intents} } } grep { $_ } @{ $tx->{ops} };
}

# How much a refund may have to move of an amount of the whole purchase.
sub parts
{
	my ($tx, $intent, $checker, $op, $p, $whole) = @_;
	my @before = has_another($tx, $intent) ? 0 .. $p->{quantity} - 1 : may_be_taken_back($checker, $p, $op);

	return map { share($p, $whole, $_, $intent->{asked} // $p->{quantity} - $_) } @before;
}

# There is none of the name, or not yet.
sub is_unknown
{
	my ($tx, $intent, $r, $product, $checker, $op) = @_;
	my $p = purchase_of($checker, $intent);

	return $intent->{kind} eq 'B' && !($p && $checker->span_of($p)->{by} < $op->{at});
}

sub exceeds
{
	my ($tx, $intent, $r, $product, $checker, $op) = @_;
	my ($bought, $back) = map { Stress::Checker::figure($r, $_) // return 0 } 'bought', 'refunded';
	my $p = purchase_of($checker, $intent);

	return 0 if $p && $bought != $p->{quantity} || ($intent->{asked} // 1) <= $bought - $back;
	return !$p || has_another($tx, $intent) || grep { $_ == $back } may_be_taken_back($checker, $p, $op);
}

sub is_short
{
	my ($tx, $intent, $r, $product, $checker, $op) = @_;
	my ($gold, $xp) = map { Stress::Checker::figure($r, $_) // return 0 } 'needed', 'needed_xp';
	my $p = purchase_of($checker, $intent) or return 1;

	return $intent->{policy} eq 'refuse' && ($r->{gold} < $gold || $xp > 0)
	  && grep({ max($_, 0) == $gold } parts($tx, $intent, $checker, $op, $p, $p->{gold_delta})) && grep { max($_, 0) == $xp } parts($tx, $intent, $checker, $op, $p, $p->{xp_delta});
}

sub overflows
{
	my ($tx, $intent, $r, $product, $checker, $op) = @_;
	my $p = purchase_of($checker, $intent) or return 1;
	return grep { $r->{gold} - $_ > $Stress::World::MAX_AMOUNT } parts($tx, $intent, $checker, $op, $p, $p->{gold_delta});
}

# What is not there of an item, or has no room.
sub is_of_item
{
	my ($tx, $intent, $r, $product, $checker, $op) = @_;
	my $p = purchase_of($checker, $intent) or return 1;
	my ($id) = ($r->{detail} // '') =~ /"item": "([^"]+)"/ or return 0;
	my $held = Stress::Checker::figure($r, 'held') // return 0;
	my @parts = map { parts($tx, $intent, $checker, $op, $p, $_->[1]) } grep { $_->[0] eq $id } Stress::Checker::carried($p);
	my $since = Stress::World::is_pass($id) && $held ? $tx->{clock} : 0;

	return 0 unless $checker->may_have_held($tx, $intent, $id, $since + $held);
	return grep { $held - $_ > $Stress::World::MAX_AMOUNT } @parts if $r->{code} eq 'ITEM_LIMIT';
	my $needed = Stress::Checker::figure($r, 'needed') // return 0;
	return $intent->{policy} eq 'refuse' && $held < $needed && grep { $_ == $needed } @parts;
}

# Another one has it, or may have.
sub is_leased
{
	my ($tx, $intent, $r, $product, $checker, $op) = @_;
	my ($purchase) = split /\|/, $intent->{key};
	return $intent->{kind} eq 'B' && $checker->{fulfilment}->may_be_leased($purchase, $tx->{clock}, $op);
}

sub is_archived
{
	my ($checker, $intent, $r) = @_;
	my $p = purchase_of($checker, $intent);
	return $p && $p->{archived} && ($r->{detail} // '') =~ /"reason": "archived"/;
}

1;
