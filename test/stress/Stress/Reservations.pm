# Stock that is held for users, by what doc/reference.md says, written down once more: a
# reservation is made once, has one row and goes one way, and nobody holds more than he may
# buy.  That what was issued is left, held or sold, check_stock() says.
package Stress::Reservations;

use strict;
use warnings;
use List::Util ();
use Stress::World;

my $PG_EPOCH = 946684800;
my $KEPT = 30 * 86400;    # how long one that is closed is remembered
my $AT_MOST = 16;         # that a user holds

# checker: a Stress::Checker, whose tables and log are read, and who is told; its still_held
# is how many the job would leave when all times are over
sub check
{
	my ($checker) = @_;
	my $self = of($checker);

	$self->check_row($_) foreach map { $self->{row}{$_} } sort keys %{ $self->{row} };
	$self->check_bought($_) foreach sort keys %{ $self->{bought} };
	$self->check_made($_) foreach sort keys %{ $self->{made} };
	$self->check_released($_) foreach sort keys %{ $self->{releases} };
	$self->check_limits;
	$self->bad("$checker->{still_held} are held when their time is over") if $checker->{still_held};
	return;
}

# What the log and the tables say, read once.
sub of
{
	my ($checker) = @_;
	return $checker->{reservations} if $checker->{reservations};
	my $self = $checker->{reservations} = bless { checker => $checker, row => {}, bought => {}, made => {}, releases => {}, named => {}, job => 0, busy => {} }, __PACKAGE__;

	foreach my $row (@{ $checker->{tables}{shop_reservations} })
	{
		my $name = "$row->{user_id} $row->{idempotency_key}";
		$self->bad("$name is there twice") if $self->{row}{$name};
		$self->{row}{$name} = $row;
	}
	foreach my $e (grep { $_->{journal} eq 'P' } @{ $checker->{tables}{entries} })
	{
		my $name = named($e) // next;
		push @{ $self->{bought}{"$e->{user_id} $name"} }, $e;
	}
	foreach my $key (grep { /^K / } keys %{ $checker->{attempts} })
	{
		$self->{made}{ $key =~ s/^K //r } = $checker->{attempts}{$key};
	}
	$self->read_log;
	return $self;
}

sub bad { my ($self, $text) = @_; $self->{checker}->bad('I5', "reservation $text"); return }
sub named { my ($of) = @_; return ($of->{context} // '') =~ /"reservation": "([^"]+)"/ ? $1 : undef }
sub epoch { my ($e) = @_; return $e->{created_at} / 1e6 + $PG_EPOCH }

sub read_log
{
	my ($self) = @_;

	foreach my $tx (@{ $self->{checker}{log} })
	{
		foreach my $op (grep { $_ && $_->{fate} ne 'none' } @{ $tx->{ops} })
		{
			$self->{job} = $tx->{clock} if $op->{fn} eq 'expire_reservations' && $tx->{clock} > $self->{job};
			# who may have given back what was over at that moment of his
			$self->{busy}{ $tx->{clock} } = List::Util::min($self->{busy}{ $tx->{clock} } // $op->{at}, $op->{at}) if $op->{fn} =~ /reserv|purchase/;
			push @{ $self->{releases}{"$1 $2"} }, { tx => $tx, op => $op, result => $op->{results}[0] } if $op->{fn} eq 'release_reservation' && $op->{args} =~ /^(\d+), '([^']+)'/;
			push @{ $self->{named}{"$_->{user} " . named($_)} }, { clock => $tx->{clock}, at => $op->{at} } foreach grep { $_->{kind} =~ /^[OP]$/ && defined named($_) } @{ $op->{intents} };
		}
	}
	return;
}

# Closed at that moment or later, the job may have forgotten it.
sub may_be_forgotten { my ($self, $clock) = @_; return $clock + $KEPT <= $self->{job} }
sub is_gone { my ($self, $name) = @_; return $self->may_be_forgotten($self->closed($name, map { $_->{tx}{clock} } @{ $self->{made}{$name} // [] })) }

# The earliest moment that one made then can have been closed at: by who has a clock that is behind, before.
sub closed { my ($self, $name, @clocks) = @_; return List::Util::min(@clocks, map({ $_->{clock} } @{ $self->{named}{$name} // [] }), map({ $_->{tx}{clock} } @{ $self->{releases}{$name} // [] })) // 0 }

# Whether an attempt asked for what there is.
sub is_of
{
	my ($a, $row) = @_;
	my $i = $a->{intent};
	return $i->{product} eq $row->{product_id} && $i->{quantity} == $row->{quantity} && $i->{ttl} == $row->{expires_at} - $row->{made_at};
}

sub is_new { my ($a) = @_; return $a->{fate} eq 'sure' && $a->{result} && $a->{result}{state} eq 'new' }

# It may have made one.
sub may_be_new { my ($a) = @_; return $a->{fate} ne 'none' && (!$a->{result} ? $a->{fate} eq 'maybe' : $a->{result}{state} eq 'new') }

sub check_row
{
	my ($self, $row) = @_;
	my $name = "$row->{user_id} $row->{idempotency_key}";
	my $state = $row->{state};
	my $says = join ' ', map { $_ // '-' } @$row{qw(state made_at expires_at closed_at due_at seq)};

	$self->bad("$name is of $row->{product_id}, which has no stock") unless ($Stress::World::PRODUCTS{ $row->{product_id} } // {})->{stock};
	$self->bad("$name was made by nobody") unless grep { may_be_new($_) && is_of($_, $row) && $_->{tx}{clock} == $row->{made_at} } @{ $self->{made}{$name} // [] };
	return $state eq 'held' && !defined $row->{closed_at} && !defined $row->{seq} && $row->{due_at} == $row->{expires_at} || $self->bad("$name is '$says'")
	  if $state eq 'held' || !defined $row->{closed_at};
	$self->bad("$name is '$says', and not kept for 30 days") if $row->{due_at} != $row->{closed_at} + $KEPT;
	if ($state eq 'used') { $self->check_use($name, $row) }
	elsif ($state eq 'released')
	{
		$self->bad("$name was released at $row->{closed_at} by nobody") unless grep { $_->{tx}{clock} == $row->{closed_at} && (!$_->{result} || $_->{result}{state} eq 'new') } @{ $self->{releases}{$name} // [] };
	}
	elsif ($state eq 'ordered')
	{
		my @orders = grep { (named($_) // '') eq $row->{idempotency_key} && $_->{user_id} == $row->{user_id} && $_->{made_at} == $row->{closed_at} && $_->{quantity} == $row->{quantity} && $_->{product_id} eq $row->{product_id} } @{ $self->{checker}{tables}{payment_orders} };
		$self->bad("$name was ordered at $row->{closed_at} by nobody") if @orders != 1 || defined $row->{seq};
	}
	elsif ($state ne 'expired' || $row->{closed_at} < $row->{expires_at}) { $self->bad("$name is '$says'") }
	return;
}

sub check_use
{
	my ($self, $name, $row) = @_;
	my $e = $self->{checker}{stream}{ $row->{user_id} }{ $row->{seq} // 0 };

	return $self->bad("$name was used by a purchase that is not there") unless $e && $e->{journal} eq 'P';
	my $is = join ' ', map { $_ // '-' } @$e{qw(product_id quantity stock_slot)}, named($e), epoch($e);
	my $should = join ' ', @$row{qw(product_id quantity stock_slot idempotency_key closed_at)};
	$self->bad("$name is '$should', used by $e->{id} of '$is'") if $is ne $should;
	$self->bad("$name was used at $row->{closed_at}, its time was over at $row->{expires_at}") if $row->{closed_at} >= $row->{expires_at};
	$self->bad("$name was used by $e->{id}, which is older") if $e->{seq} <= $row->{after_seq};
	return;
}

# A purchase that names one has used it, and no other has.
sub check_bought
{
	my ($self, $name) = @_;
	my $row = $self->{row}{$name} // {};

	foreach my $e (@{ $self->{bought}{$name} })
	{
		# of what is paid for, it was used by the order
		my $order = Stress::Orders::order_of($self->{checker}, $e);
		$self->bad("$name was bought by $e->{id}, and is " . ($row->{state} // 'not there') . ' P' . ($row->{user_id} // '') . '-' . ($row->{seq} // ''))
		  unless ($row->{seq} // 0) == $e->{seq} || $self->may_be_forgotten($order ? $order->{made_at} : epoch($e)) || $order && ($row->{state} // '') eq 'ordered';
		$self->bad("$name was bought by $e->{id}, and nobody made one of $e->{quantity} $e->{product_id}")
		  unless grep { may_be_new($_) && $_->{intent}{product} eq $e->{product_id} && $_->{intent}{quantity} == $e->{quantity} } @{ $self->{made}{$name} // [] };
	}
	return;
}

# One row per acknowledgement, and the other answers agree with it.
sub check_made
{
	my ($self, $name) = @_;
	my $row = $self->{row}{$name};
	my @attempts = @{ $self->{made}{$name} };
	my @new = grep { is_new($_) && !$self->may_be_forgotten($self->closed($name, $_->{tx}{clock})) } @attempts;

	$self->bad("$name was acknowledged as new " . @new . ' times') if @new > 1;
	foreach my $a (@new)
	{
		$self->bad("$name was acknowledged in $a->{tx}{tx} and is " . ($row ? 'another' : 'lost'))
		  unless $row && is_of($a, $row) && $a->{tx}{clock} == $row->{made_at};
	}
	foreach my $a (grep { $_->{fate} eq 'sure' && $_->{result} } @attempts)
	{
		my ($r, $intent) = @$a{qw(result intent)};
		my $says = "$name: the answer in $a->{tx}{tx} was " . join ' ', map { $_ // '' } @$r{qw(state code status until)};

		$self->bad($says) if $r->{state} eq 'new' && ($r->{status} ne 'held' || defined $r->{until} && $r->{until} != $a->{tx}{clock} + $intent->{ttl});
		next if $self->is_gone($name);
		$self->bad($says) if $r->{state} eq 'reuse' && !($row && is_of($a, $row) && $self->may_say($row, $r->{status}, $a->{tx}{clock}));
		$self->bad($says) if ($r->{code} // '') eq 'IDEMPOTENCY_MISMATCH' && !($row && !is_of($a, $row));
	}
	return;
}

# What it was for somebody with that clock, when it has become this.
sub may_say
{
	my ($self, $row, $status, $clock) = @_;
	return $status eq 'held' ? $row->{expires_at} > $clock : $row->{state} eq $status || $status eq 'expired' && $row->{expires_at} <= $clock;
}

# Whether it was surely made before a call began.
sub was_there
{
	my ($self, $name, $op) = @_;
	return grep { is_new($_) && $_->{tx}{ended} < $op->{at} } @{ $self->{made}{$name} // [] };
}

sub check_released
{
	my ($self, $name) = @_;
	my $row = $self->{row}{$name} // { state => 'not there' };
	my @sure = grep { $_->{op}{fate} eq 'sure' && $_->{result} } @{ $self->{releases}{$name} };
	my @new = grep { $_->{result}{state} eq 'new' && !$self->may_be_forgotten($_->{tx}{clock}) } @sure;

	$self->bad("$name was released " . @new . ' times') if @new > 1;
	$self->bad("$name was released in $_->{tx}{tx}, and is $row->{state}") foreach grep { $row->{state} ne 'released' || $row->{closed_at} != $_->{tx}{clock} } @new;
	return if $self->is_gone($name);
	foreach my $call (@sure)
	{
		my $r = $call->{result};
		my $says = "$name is $row->{state}, and release_reservation() in $call->{tx}{tx} said " . join ' ', map { $_ // '' } @$r{qw(state code status)};

		if ($r->{code} eq 'RESERVATION_NOT_FOUND') { $self->bad($says) if $self->was_there($name, $call->{op}) }
		elsif ($r->{code} eq 'RESERVATION_CLOSED') { $self->bad($says) unless $row->{state} eq 'ordered' || $row->{state} eq 'used' && $r->{detail} =~ /"P$row->{user_id}-$row->{seq}"/ }
		elsif ($r->{code} ne 'OK') { $self->bad($says) }
		elsif ($r->{state} eq 'reuse') { $self->bad($says) unless $row->{state} =~ /^(?:released|expired)$/ && $r->{status} eq $row->{state} }
	}
	return;
}

# Since when nobody can have closed one that was made: until then it was surely held.
sub held_until
{
	my ($self, $name, $a) = @_;
	my $over = $a->{tx}{clock} + $a->{intent}{ttl};

	return List::Util::min(9e99, map({ $_->{at} } @{ $self->{named}{$name} // [] }), map({ $_->{op}{at} } @{ $self->{releases}{$name} // [] }),
		map { $self->{busy}{$_} } grep { $_ >= $over } keys %{ $self->{busy} });
}

# Nobody was given more than he may buy with what he had then, or held too many.
sub check_limits
{
	my ($self) = @_;
	my %of;

	foreach my $name (sort keys %{ $self->{made} })
	{
		my ($user) = $name =~ /^(\d+)/;
		push @{ $of{$user} }, map { { a => $_, name => $name, until => $self->held_until($name, $_) } } grep { is_new($_) } @{ $self->{made}{$name} };
	}
	foreach my $user (sort { $a <=> $b } keys %of)
	{
		$self->check_limit($user, $_, @{ $of{$user} }) foreach @{ $of{$user} };
	}
	return;
}

sub check_limit
{
	my ($self, $user, $one, @of_user) = @_;
	my ($a, $product) = ($one->{a}, $one->{a}{intent}{product});
	my @held = grep { $_->{a}{tx}{ended} < $a->{op}{at} && $_->{until} > $a->{op}{done} && $_->{a}{tx}{clock} + $_->{a}{intent}{ttl} > $a->{tx}{clock} } @of_user;
	my $limit = Stress::Checker::limit_of($product);
	my $row = $self->{row}{ $one->{name} };
	my $units = $a->{intent}{quantity};

	$self->bad("$one->{name} was made when user $user held " . @held) if @held >= $AT_MOST;
	return unless defined $limit;
	$units += $_->{a}{intent}{quantity} foreach grep { $_->{a}{intent}{product} eq $product } @held;
	$units += $_->{journal} eq 'P' ? $_->{quantity} : -$_->{quantity}
	  foreach grep { $row && $_->{journal} =~ /^[BP]$/ && $_->{product_id} eq $product && $_->{seq} <= $row->{after_seq} } values %{ $self->{checker}{stream}{$user} };
	$self->bad("$one->{name}: with it user $user has $units of $product, at most $limit are allowed") if $units > $limit;
	return;
}

# Refusals of a purchase that names one.
sub is_refused
{
	my ($tx, $intent, $r, $product, $checker, $op) = @_;
	my $self = of($checker);
	my $name = named($intent) // return 0;
	my $of = "$intent->{user} $name";
	my $row = $self->{row}{$of};

	return 1 if $self->is_gone($of);
	return !$self->was_there($of, $op) if $r->{code} eq 'RESERVATION_NOT_FOUND';
	return grep { may_be_new($_) && ($intent->{key} !~ /^\Q$_->{intent}{product}\E\|/ || $_->{intent}{quantity} != $intent->{quantity}) } @{ $self->{made}{$of} // [] }
	  if $r->{code} eq 'RESERVATION_MISMATCH';
	return $row && ($row->{state} ne 'held' || $row->{expires_at} <= $tx->{clock});
}

# Those that a user may have had when he was refused another.
sub may_have
{
	my ($self, $tx, $user) = @_;
	return grep { $_->{intent}{user} == $user && may_be_new($_) && $_->{tx}{clock} + $_->{intent}{ttl} > $tx->{clock} } map { @$_ } values %{ $self->{made} };
}

sub has_many
{
	my ($tx, $intent, $r, $product, $checker) = @_;
	return $intent->{kind} eq 'K' && may_have(of($checker), $tx, $intent->{user}) >= $AT_MOST;
}

# With what he bought, at one time or another.
sub is_at_limit
{
	my ($tx, $intent, $r, $product, $checker, $op) = @_;
	my $id = $intent->{product};
	my $limit = Stress::Checker::limit_of($id) // return 0;
	my $units = $intent->{quantity};

	$units += $_->{intent}{quantity} foreach grep { $_->{intent}{product} eq $id } may_have(of($checker), $tx, $intent->{user});
	$units += $checker->units_during($intent->{user}, $id, $tx->{clock}, $op);
	$units += $_->{quantity} foreach grep { $_->{product_id} eq $id } Stress::Orders::of($checker)->may_be_there($intent->{user}, $op);
	return $units > $limit || Stress::Checker::rolled_back_units($tx, $intent, $id);
}

1;
