# What workers have to do for purchases, by what doc/reference.md says, written down once
# more: every purchase of a product with fulfilment waits, nobody is handed what another one
# still has, and it is fulfilled once.  The order is that of the attempts, which count how
# often a purchase was handed out; a moment is that of the test clock of whoever calls.
package Stress::Fulfilment;

use strict;
use warnings;
use Stress::World;

# checker: a Stress::Checker, whose tables and log are read, and who is told; its handed, if
# any, is what is handed out when every lease is over
sub check
{
	my ($checker) = @_;
	my %entry = map { ($_->{id} => $_) } grep { $_->{journal} eq 'P' } @{ $checker->{tables}{entries} };
	my %row = map { ("P$_->{user_id}-$_->{seq}" => $_) } @{ $checker->{tables}{fulfilments} };
	my $self = $checker->{fulfilment} = bless { checker => $checker, entry => \%entry, row => \%row, handed => {}, done => {}, unanswered => 0 }, __PACKAGE__;

	$self->check_rows;
	$self->read_log;
	$self->check_handed($_) foreach sort keys %row;
	$self->check_done($_) foreach sort keys %row;
	$self->check_refunds($_) foreach sort keys %row;
	$self->check_answers;
	$self->check_left($checker->{handed}) if $checker->{handed};
	return;
}

sub bad { my ($self, $text) = @_; $self->{checker}->bad('F', $text); return }
sub is_over { my ($row) = @_; return defined $row->{fulfilled_at} || defined $row->{refunded_at} }
sub waits { my ($e) = @_; return ($Stress::World::PRODUCTS{ $e->{product_id} } // {})->{fulfilment} }

# None is forgotten, and none waits that nobody bought.
sub check_rows
{
	my ($self) = @_;
	my ($entry, $row) = @$self{qw(entry row)};

	foreach my $id (sort grep { waits($entry->{$_}) } keys %$entry)
	{
		my ($e, $r) = ($entry->{$id}, $row->{$id});
		if (!$r) { $self->bad("$id is forgotten"); next }
		$self->bad("$id of $e->{product_id} waits as one of $r->{product_id}") if $e->{product_id} ne $r->{product_id};
		$self->bad("$id waits since another moment than that of its purchase") if $e->{created_at} != $r->{due_at};
		$self->bad("$id is archived, and nobody has fulfilled it") if $e->{archived} && !is_over($r);
	}
	$self->bad("$_ waits, and nobody bought it") foreach sort grep { !$entry->{$_} || !waits($entry->{$_}) } keys %$row;
	return;
}

# Who was handed what, and who said that it is done.
sub read_log
{
	my ($self) = @_;

	foreach my $tx (@{ $self->{checker}{log} })
	{
		foreach my $op (grep { $_ && $_->{fn} =~ /^(?:un)?fulfil/ && $_->{fate} ne 'none' } @{ $tx->{ops} })
		{
			my %by = (op => $op, at => $tx->{clock}, name => $tx->{tx}, ended => $tx->{ended}, fate => $op->{fate}, worker => $op->{args} =~ /'(w\d)'/ ? $1 : '');
			if (!$op->{answered}) { $self->{unanswered}++; push @{ $self->{lost} }, \%by if $op->{fn} eq 'fulfil' }
			elsif ($op->{fn} eq 'fulfil') { push @{ $self->{done}{ $_->{transaction_id} } }, { %by, answer => $_ } foreach @{ $op->{results} } }
			else { $self->read_handed(\%by, grep { $_->{transaction_id} } @{ $op->{results} }) }
		}
	}
	return;
}

# One call hands out no more than was asked for, of that product, the longest first.
sub read_handed
{
	my ($self, $by, @rows) = @_;
	my ($max, $lease, $product) = $by->{op}{args} =~ /'w\d', (\d+), '(\d+) minutes', (\S+)/;
	my $until = $by->{at} + 60 * $lease;
	my @due = map { ($self->{row}{ $_->{transaction_id} } // {})->{due_at} // 0 } @rows;

	$self->bad("unfulfilled() in $by->{name}: " . @rows . " rows of at most $max") if @rows > $max;
	$self->bad("unfulfilled() in $by->{name}: not the longest first") if grep { $due[$_] > $due[ $_ + 1 ] } 0 .. $#due - 1;
	foreach my $r (@rows)
	{
		my $e = $self->{entry}{ $r->{transaction_id} };
		push @{ $self->{handed}{ $r->{transaction_id} }{ $r->{attempts} } }, { %$by, until => $r->{until}, quantity => $r->{quantity} };
		$self->bad("$r->{transaction_id} was leased to $r->{until} in $by->{name}, asked for was $until") if $r->{until} != $until;
		$self->bad("$r->{transaction_id} of $r->{product_id} was handed out in $by->{name}, asked for was $product")
		  if $product ne 'NULL' && $product ne "'$r->{product_id}'";
		next unless $e;    # check_rows(), or taken back
		my ($is, $should) = map { my $of = $_; join ' ', map { $of->{$_} // '' } qw(product_id effect_code context items) } $r, $e;
		$is = $should if $e->{archived} && !defined $r->{quantity};
		$self->bad("$r->{transaction_id} was handed out in $by->{name} as '$is', bought was '$should'") if $is ne $should;
		next unless defined $r->{quantity};
		my @left = map { $e->{quantity} - $_ } Stress::Refunds::may_be_taken_back($self->{checker}, $e, $by->{op});
		$self->bad("$r->{transaction_id} was handed out in $by->{name} as $r->{quantity} units, left may have been @left") unless grep { $_ == $r->{quantity} } @left;
	}
	return;
}

# Each attempt is one, and begins when the lease of the one before is over.
sub check_handed
{
	my ($self, $id) = @_;
	my ($row, $handed) = ($self->{row}{$id}, $self->{handed}{$id} // {});
	my $before = { until => $row->{due_at} / 1e6 + 946684800, name => 'its purchase' };

	foreach my $n (1 .. $row->{attempts})
	{
		my @known = grep { $_->{fate} eq 'sure' } @{ $handed->{$n} // [] };
		$self->bad("$id was handed out " . @known . " times as attempt $n, in " . join ' and ', map { $_->{name} } @known) if @known > 1;
		$self->bad("$id: nobody was handed attempt $n") unless @{ $handed->{$n} // [] } || $self->{unanswered};
		my ($one) = @known;
		$self->bad("$id was handed out in $one->{name} at $one->{at}, before $before->{until}, the end of that of $before->{name}")
		  if $one && $before && $one->{at} < $before->{until};
		$before = $one;
	}
	$self->bad("$id has $row->{attempts} attempts, and was handed out as attempt $_")
	  foreach grep { $_ > $row->{attempts} && grep { $_->{fate} eq 'sure' } @{ $handed->{$_} } } sort { $a <=> $b } keys %$handed;
	return;
}

# The attempt that is the newest at that moment, when it is known whose it is.
sub holder
{
	my ($self, $id, $attempts) = @_;
	my @known = @{ ($self->{handed}{$id} // {})->{$attempts} // [] };
	return @known == 1 && $known[0]{fate} eq 'sure' ? $known[0] : undef;
}

# Fulfilled once, by who says so, and not in front of whom had it.
sub check_done
{
	my ($self, $id) = @_;
	my $row = $self->{row}{$id};
	my @new = grep { $_->{answer}{state} eq 'new' } @{ $self->{done}{$id} // [] };
	my @sure = grep { $_->{fate} eq 'sure' } @new;

	$self->bad("$id was fulfilled " . @sure . ' times, in ' . join ' and ', map { $_->{name} } @sure) if @sure > 1;
	if (!defined $row->{fulfilled_at})
	{
		$self->bad("$id was fulfilled in $sure[0]{name}, and waits") if @sure;
		return;
	}
	$self->bad("$id is fulfilled and taken back") if defined $row->{refunded_at};
	my @lost = grep { $_->{op}{args} =~ /'\Q$id\E'/ } @{ $self->{lost} // [] };
	$self->bad("$id is fulfilled by $row->{worker} at $row->{fulfilled_at}, which nobody said")
	  unless grep { $_->{worker} eq $row->{worker} && $_->{at} == $row->{fulfilled_at} } @sure ? @sure : (@new, @lost);
	foreach my $one (@sure)
	{
		my $holder = $self->holder($id, $row->{attempts});
		$self->bad("$id was fulfilled after $one->{answer}{attempts} attempts, it has $row->{attempts}") if $one->{answer}{attempts} != $row->{attempts};
		$self->bad("$id was fulfilled in $one->{name} by $one->{worker} while $holder->{worker} had it")
		  if $holder && $holder->{worker} ne $one->{worker} && $one->{at} < $holder->{until};
	}
	return;
}

# What is taken back is not done, what is done is told to who takes it back, and who has it has what is left.
sub check_refunds
{
	my ($self, $id) = @_;
	my ($row, $e) = ($self->{row}{$id}, $self->{entry}{$id});
	my $checker = $self->{checker};
	my ($left, $back) = (($e // return)->{quantity});

	foreach my $refund (Stress::Refunds::refunds_of($checker, $id))
	{
		my ($says) = ($refund->{detail} // '') =~ /"fulfilment": "(\w+)"/;
		$left -= $refund->{quantity};
		$says //= 'nothing';
		$self->bad("$id was taken back by $refund->{id} as $says, $left were left") unless $says =~ ($left ? qr/^(?:fulfilled|reduced)$/ : qr/^(?:fulfilled|cancelled)$/);
		$self->bad("$id was taken back by $refund->{id} as fulfilled, which it is not") if $says eq 'fulfilled' && !defined $row->{fulfilled_at};
		$back = $refund if $says eq 'cancelled';
		$self->check_refund($id, $refund, $says);
	}
	my ($is, $should) = map { $_ // 'never' } $row->{refunded_at}, $back && $back->{created_at} / 1e6 + 946684800;
	$self->bad("$id was taken back at $is, and should be at $should") if $is ne $should;
	return;
}

# Nobody had it, and whoever gets it, or has got it for a time that is not over, gets what is left.
sub check_refund
{
	my ($self, $id, $refund, $says) = @_;
	my $span = $self->{checker}->span_of($refund);
	my $at = $refund->{created_at} / 1e6 + 946684800;
	my @handed = grep { $_->{fate} eq 'sure' } map { @$_ } values %{ $self->{handed}{$id} // {} };
	my @done = grep { $_->{fate} eq 'sure' && $_->{answer}{state} eq 'new' } @{ $self->{done}{$id} // [] };

	$self->bad("$id was taken back by $refund->{id} as fulfilled, before it was in $_->{name}") foreach grep { $says eq 'fulfilled' && $_->{op}{at} > $span->{by} } @done;
	return if $says eq 'fulfilled';
	$self->bad("$id was taken back by $refund->{id} as $says, after it was fulfilled in $_->{name}") foreach grep { $_->{ended} < $span->{from} } @done;
	$self->bad("$id was taken back by $refund->{id} while $_->{worker} had it, since $_->{name}") foreach grep { $_->{ended} < $span->{from} && $_->{until} > $at } @handed;
	# one with a time that was not over then was handed out after it
	foreach my $one (grep { $_->{until} > $at || $_->{op}{at} > $span->{by} } @handed)
	{
		$self->bad("$id was handed out in $one->{name} after it was taken back by $refund->{id}") if $says eq 'cancelled';
		my $most = $self->{entry}{$id}{quantity} - $refund->{before} - $refund->{quantity};
		$self->bad("$id was handed out in $one->{name} as $one->{quantity} units, $refund->{id} has left $most") if defined $one->{quantity} && $one->{quantity} > $most;
	}
	return;
}

# Whether a worker may have it for longer than that moment.
sub may_be_leased
{
	my ($self, $id, $clock, $op) = @_;
	my $row = $self->{row}{$id} or return 0;
	return $self->{unanswered} > 0 || grep { $_->{until} > $clock && $_->{op}{at} <= $op->{done} } map { @$_ } values %{ $self->{handed}{$id} // {} };
}

# The other answers.
sub check_answers
{
	my ($self) = @_;

	foreach my $id (sort keys %{ $self->{done} })
	{
		foreach my $one (grep { $_->{fate} eq 'sure' && $_->{answer}{state} ne 'new' } @{ $self->{done}{$id} })
		{
			my ($r, $row) = ($one->{answer}, $self->{row}{$id});
			my $says = "fulfil() in $one->{name} says '" . join(' ', grep { length } map { $_ // '' } @$r{qw(state code worker fulfilled)}) . "' of $id";

			if ($r->{state} eq 'reuse') { $self->bad($says) unless $row && defined $row->{fulfilled_at} && $r->{worker} eq $row->{worker} && $r->{fulfilled} == $row->{fulfilled_at} }
			elsif ($r->{code} eq 'LEASED') { $self->bad($says) unless $row && $self->was_leased($id, $one) }
			elsif ($r->{code} eq 'REFUNDED') { $self->bad($says) unless $row && ($row->{refunded_at} // 0) == ($r->{until} // -1) }
			elsif ($r->{code} eq 'NOTHING_TO_FULFIL') { $self->bad($says) if $row && $self->was_there($id, $one) }
			else { $self->bad($says) }
		}
	}
	return;
}

# Another one has it, and until when it says.
sub was_leased
{
	my ($self, $id, $one) = @_;
	my $r = $one->{answer};
	my @of = @{ ($self->{handed}{$id} // {})->{ $r->{attempts} } // [] };

	return 0 if $r->{attempts} == 0 || $r->{worker} eq $one->{worker} || !defined $r->{until} || $r->{until} <= $one->{at};
	return $self->{unanswered} > 0 if !@of;
	return grep { $_->{worker} eq $r->{worker} && $_->{until} == $r->{until} } @of;
}

# Whether its purchase was over when the call began.
sub was_there
{
	my ($self, $id, $one) = @_;

	$self->{bought} //= { map { my $tx = $_; map { ($_->{transaction_id} => $tx->{ended}) } grep { $_->{transaction_id} && ($_->{state} // '') eq 'new' } map { @{ $_->{results} } }
		  grep { $_ && $_->{fate} eq 'sure' && $_->{fn} =~ /^(?:purchase|redeem)/ } @{ $tx->{ops} } } @{ $self->{checker}{log} } };
	return ($self->{bought}{$id} // $one->{op}{done}) < $one->{op}{at};
}

# When every lease is over, all that is neither fulfilled nor taken back is handed out, and nothing else.
sub check_left
{
	my ($self, $handed) = @_;
	my %left = map { ($_ => 1) } @$handed;

	foreach my $id (sort keys %{ $self->{row} })
	{
		my $is = delete $left{$id} // 0;
		my $row = $self->{row}{$id};
		my $state = defined $row->{refunded_at} ? 'taken back' : 'fulfilled';
		$self->bad("$id is " . ($is ? "handed out, and is $state" : 'not fulfilled, and handed out to nobody')) if $is == is_over($row);
	}
	$self->bad("$_ is handed out, and waits for nobody") foreach sort keys %left;
	return;
}

1;
