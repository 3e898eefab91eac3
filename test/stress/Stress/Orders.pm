# Orders of outside money, by what doc/reference.md says, written down once more: what is ordered
# is given once, when somebody has said that it is paid, and is lost never; what it holds is held
# until then, or until it is given up.  Each step is one that the table there allows, and somebody
# reported it: the history has as many of a kind as were acknowledged.
package Stress::Orders;

use strict;
use warnings;
use JSON::PP ();
use List::Util qw(max min sum0);
use Stress::World;

my $PG_EPOCH = 946684800;
my $AT_MOST = 16;    # that a user has open
my @REPORTS = qw(pending confirmed voided failed expired refunded charged_back unknown);
# by state, what each report makes of it; a dot changes nothing
my %STEP = (
	CREATED => [qw(PENDING CONFIRMED VOIDED FAILED EXPIRED CONFLICT CONFLICT .)],
	PENDING => [qw(. CONFIRMED VOIDED FAILED EXPIRED CONFLICT CONFLICT .)],
	CONFIRMED => [qw(. . CONFLICT CONFLICT CONFLICT REFUNDED CHARGED_BACK .)],
	(map { ($_ => [qw(. CONFLICT . . . CONFLICT CONFLICT .)]) } qw(VOIDED FAILED EXPIRED)),
	REFUNDED => [qw(. . CONFLICT CONFLICT CONFLICT . CONFLICT .)],
	CHARGED_BACK => [qw(. . CONFLICT CONFLICT CONFLICT CONFLICT . .)],
	CONFLICT => [ ('.') x 8 ]);
my %NAMED = map { ($_ => 1) } qw(AMOUNT CURRENCY PROVIDER_REF PROVIDER_REF_USED STATE);
# what keeps a purchase or a refund from being made, and of which product, user or purchase it may
my %CANNOT = (
	USER_SUSPENDED => sub { my ($self, $o) = @_; grep { $_ == $o->{user_id} } @Stress::World::SUSPENDABLE },
	GOLD_OVERFLOW => sub { my ($self, $o) = @_; $o->{user_id} == $Stress::World::RICH || grep { $_->{gold} > 2**52 } values %{ $self->{checker}{stream}{ $o->{user_id} } } },
	(map { ($_ => sub { my ($self, $o) = @_; product_of($o)->{contents} }) } qw(ITEM_LIMIT ITEM_INACTIVE INSUFFICIENT_ITEMS)),
	SOLD_OUT => sub { my ($self, $o) = @_; product_of($o)->{stock} },
	LEASED => sub { my ($self, $o) = @_; product_of($o)->{fulfilment} },
	RESYNC_REQUIRED => sub { my ($self, $o) = @_; my $e = $self->purchase_of($o); $e && $e->{seq} < $self->{checker}{account}{ $o->{user_id} }{pruned_seq} });

sub is_settled { my ($id) = @_; return ($Stress::World::PRODUCTS{ $id // '' } // {})->{settlement} }
sub product_of { my ($o) = @_; return $Stress::World::PRODUCTS{ $o->{product_id} } // {} }

# checker: a Stress::Checker, whose tables and log are read, and who is told; its still_ordered
# is how many wait yet when the job has run after all times
sub check
{
	my ($checker) = @_;
	my $self = of($checker);

	$self->check_order($_) foreach map { $self->{order}{$_} } sort keys %{ $self->{order} };
	$self->check_purchases;
	$self->check_refunds;
	$self->check_references;
	$self->check_asked($_) foreach sort keys %{ { %{ $self->{asked} }, %{ $self->{by_key} } } };
	$self->check_reports;
	$self->check_webhooks;
	$self->check_leases;
	$self->check_limits;
	$self->bad("$checker->{still_ordered} wait for their payment when their time is over") if $checker->{still_ordered};
	return;
}

# What the log and the tables say, read once.
sub of
{
	my ($checker) = @_;
	return $checker->{orders} if $checker->{orders};
	my $self = $checker->{orders} = bless { checker => $checker, order => {}, by_key => {}, paid => {}, asked => {}, calls => [], jobs => [] }, __PACKAGE__;

	foreach my $row (@{ $checker->{tables}{payment_orders} // [] })
	{
		my $o = { %$row, name => "$row->{user_id} $row->{product_id}|$row->{idempotency_key}", steps => [], calls => [] };
		$self->bad("$o->{name} is there twice") if $self->{by_key}{ $o->{name} };
		$self->{order}{ $o->{order_id} } = $self->{by_key}{ $o->{name} } = $o;
		$self->{paid}{"$o->{provider} $o->{provider_ref}"} = $o if defined $o->{provider_ref};
	}
	foreach my $h (sort { $a->{step} <=> $b->{step} } @{ $checker->{tables}{payment_order_history} // [] })
	{
		my $o = $self->{order}{ $h->{order_id} };
		if ($o) { push @{ $o->{steps} }, { %$h, said => JSON::PP::decode_json($h->{detail} // '{}') } }
		else { $self->bad("$h->{order_id} has steps, and is not there") }
	}
	foreach my $key (grep { /^O / } keys %{ $checker->{attempts} })
	{
		$self->{asked}{ $key =~ s/^O //r } = $checker->{attempts}{$key};
	}
	$self->read_log;
	return $self;
}

sub bad { my ($self, $text) = @_; $self->{checker}->bad('O', "order $text"); return }
sub purchase_of { my ($self, $o) = @_; return defined $o->{seq} ? $self->{checker}{stream}{ $o->{user_id} }{ $o->{seq} } : undef }
sub bought { my ($self, $name) = @_; return @{ $self->{checker}{by_key}{"P $name"} // [] } }

# The arguments of a call, as they are written.
sub arguments { my ($op) = @_; return map { $_ eq 'NULL' ? undef : s/^'(.*)'$/$1/r } split /, /, $op->{args} }

sub read_log
{
	my ($self) = @_;

	foreach my $tx (@{ $self->{checker}{log} })
	{
		foreach my $op (grep { $_ && $_->{fate} ne 'none' } @{ $tx->{ops} })
		{
			my $fn = $op->{fn};
			my $call = { tx => $tx, op => $op, fn => $fn, fate => $op->{fate}, at => $tx->{clock}, result => $op->{answered} ? $op->{results}[0] : undef };

			if ($fn eq 'settlement_report') { @$call{qw(order_id report reporter provider_ref amount currency reason)} = arguments($op) }
			elsif ($fn eq 'webhook') { read_webhook($call) }
			elsif ($fn eq 'resolve_order') { $call->{report} = 'resolved'; @$call{qw(order_id resolution reason reporter)} = arguments($op) }
			elsif ($fn eq 'expire_orders') { push @{ $self->{jobs} }, $call; next }
			elsif ($fn eq 'settlement_lease') { push @{ $self->{leases} }, $call; next }
			else { next }
			push @{ $self->{calls} }, $call;
			push @{ $self->{order}{ $call->{order_id} }{calls} }, $call if $self->{order}{ $call->{order_id} };
		}
	}
	return;
}

sub read_webhook
{
	my ($call) = @_;
	my ($provider, $headers, $body) = $call->{op}{args} =~ /^'(\w+)', '(.*?)', convert_to\('(.*)', 'UTF8'\)$/;
	my ($message, $named) = map { JSON::PP::decode_json($_) } $body, $headers;

	@$call{qw(order_id report provider_ref amount currency reason)} = @$message{qw(order_id report provider_ref amount currency reason)};
	@$call{qw(provider reporter webhook_id)} = ($provider, "webhook $provider", $message->{id});
	$call->{forged} = $message->{id} =~ /^forged/;
	return;
}

# The state after a report, as the table has it.
sub next_state
{
	my ($state, $report) = @_;
	my ($n) = grep { $REPORTS[$_] eq $report } 0 .. $#REPORTS;
	my $next = $STEP{$state}[ $n // return '' ];
	return $next eq '.' ? $state : $next;
}

# Each row is what its steps have made of it.
sub check_order
{
	my ($self, $o) = @_;
	my ($steps, $state, $given, $holds) = ($o->{steps}, '', undef, product_of($o)->{stock} ? 1 : 0);

	return $self->bad("$o->{name} has no steps") unless @$steps;
	$o->{became} = {};
	$o->{reference} = undef;
	foreach my $n (0 .. $#$steps)
	{
		my $h = $steps->[$n];
		my $before = { %$o, is => $state, given => $given };
		return $self->bad("$o->{name}: step $h->{step} comes after $n") if $h->{step} != $n + 1;
		return $self->bad("$o->{name}: step $h->{step} is from " . ($h->{from_state} // 'nothing') . ", it was '$state'") if ($h->{from_state} // '') ne $state;
		$self->check_first($o, $h) if $n == 0;
		$self->check_step($o, $before, $h) if $n > 0;
		$state = $h->{to_state};
		$o->{became}{$state} = 1;
		$given //= $h if $state eq 'CONFIRMED';
		$holds = 0 if $state !~ /^(?:CREATED|PENDING|CONFLICT)$/;
	}
	@$o{qw(given holds)} = ($given, $holds);
	$self->bad("$o->{name} is $o->{state}, its steps make it $state") if $o->{state} ne $state;
	$self->bad("$o->{name} is $o->{state} and holds " . ($o->{stock_slot} // 'nothing')) if $holds != (defined $o->{stock_slot} ? 1 : 0);
	$self->bad("$o->{name} is $o->{state} and " . ($o->{is_open} ? 'open' : 'closed')) if $o->{is_open} != ($state =~ /^(?:CREATED|PENDING)$/ || $state eq 'CONFLICT' && !$given ? 1 : 0);
	$self->check_given($o);
	return;
}

# As it was placed.
sub check_first
{
	my ($self, $o, $h) = @_;
	my @fixed = qw(user_id product_id idempotency_key provider quantity amount currency);
	my ($is, $said) = map { my $of = $_; join ' ', map { $of->{$_} } @fixed } $o, $h->{said};

	$self->bad("$o->{name} is '$is', placed was '$said'") if $is ne $said;
	$self->bad("$o->{name} began as '$h->{report} $h->{to_state} $h->{reporter}' at $h->{at}, it was made at $o->{made_at}")
	  if "$h->{report} $h->{to_state} $h->{reporter}" ne 'ordered CREATED purchase' || $h->{at} != $o->{made_at};
	$self->bad("$o->{name} waits for " . ($o->{expires_at} - $o->{made_at}) . ' seconds') if $o->{expires_at} - $o->{made_at} != ($Stress::World::PROVIDERS{ $o->{provider} } // {})->{expiry_s};
	return;
}

# One that the rules allow.  What a report contradicts makes a conflict, and nothing else does.
sub check_step
{
	my ($self, $o, $before, $h) = @_;
	my $from = $before->{is};
	my $says = "$o->{name}: step $h->{step}, $h->{report} of $h->{reporter}, makes $from $h->{to_state}";

	return $self->check_resolved($o, $before, $h, $says) if $h->{report} eq 'resolved';
	my $ought = $h->{report} eq 'unknown' ? '' : next_state($from, $h->{report});
	my ($why) = ($h->{reason} // '') =~ /^([A-Z_]+)(?:: |$)/;
	my @against = $self->contradictions($o, $h);

	push @against, 'STATE' if $ought eq 'CONFLICT';
	push @against, 'PROVIDER_REF_USED' if $self->is_of_another($o, $h->{said}{provider_ref});
	$o->{reference} //= $h->{said}{provider_ref} unless $self->is_of_another($o, $h->{said}{provider_ref});
	return $self->bad("$says, which no report does") if $ought eq '';
	return $self->bad("$says, and contradicts @against") if $h->{to_state} ne 'CONFLICT' && @against;
	return $self->bad("$says, and ought to make $ought") if $h->{to_state} ne 'CONFLICT' && $h->{to_state} ne $ought;
	return if $h->{to_state} ne 'CONFLICT';
	return $self->bad("$says for no reason") unless defined $why;
	return if grep { $_ eq $why } @against;
	return $self->bad("$says by $why, and it contradicts nothing") if $NAMED{$why} || $ought !~ /^(?:CONFIRMED|REFUNDED|CHARGED_BACK)$/;
	$self->bad("$says by $why, which nothing kept from being done") unless $CANNOT{$why} && $CANNOT{$why}->($self, $o);
	return;
}

# Whether a payment is that of another order; of that one no other has become it.
sub is_of_another { my ($self, $o, $ref) = @_; return defined $ref && ($self->{paid}{"$o->{provider} $ref"} // $o) != $o }

# What a report says that the order is not.
sub contradictions
{
	my ($self, $o, $said) = @_;
	my $of = $said->{said} // $said;

	return grep { defined } defined $of->{amount} && $of->{amount} != $o->{amount} ? 'AMOUNT' : undef,
	  defined $of->{currency} && $of->{currency} ne $o->{currency} ? 'CURRENCY' : undef,
	  defined $of->{provider_ref} && defined $o->{reference} && $of->{provider_ref} ne $o->{reference} ? 'PROVIDER_REF' : undef;
}

# What an operator may say of a conflict.
sub check_resolved
{
	my ($self, $o, $before, $h, $says) = @_;
	my $may = $before->{given} ? 'CONFIRMED|REFUNDED|CHARGED_BACK' : 'CONFIRMED|VOIDED';

	$self->bad("$says, which was no conflict") if $before->{is} ne 'CONFLICT';
	$self->bad("$says, and its purchase was " . ($before->{given} ? 'made' : 'not made')) unless $h->{to_state} =~ /^(?:$may)$/;
	return;
}

# Paid, it is bought, once; not paid, it is not.
sub check_given
{
	my ($self, $o) = @_;
	my ($given, $e) = ($o->{given}, $self->purchase_of($o));

	return $self->bad("$o->{name} was never paid, and is bought as P$o->{user_id}-$o->{seq}") if defined $o->{seq} && !$given;
	return unless $given;
	return $self->bad("$o->{name} is paid since step $given->{step}, and is not bought") unless $e && $e->{journal} eq 'P';
	my $is = join ' ', "$e->{user_id} $e->{key}", @$e{qw(quantity created_at)}, $e->{context} // '';
	my $ought = join ' ', $o->{name}, $o->{quantity}, 1e6 * ($given->{at} - $PG_EPOCH), $o->{context} // '';
	$self->bad("$o->{name} is bought as '$is', ordered and paid was '$ought'") if $is ne $ought;
	my $terms = JSON::PP::decode_json($o->{terms});
	($is, $ought) = (join(' ', @$e{qw(gold_delta monetary xp_delta)}), join ' ', map { ($terms->{$_} // 0) * $o->{quantity} } qw(granted_gold monetary granted_xp));
	$self->bad("$o->{name}: $e->{id} gave '$is', promised was '$ought'") if $is ne $ought;
	return unless $o->{state} =~ /^(?:REFUNDED|CHARGED_BACK)$/;
	my $back = Stress::Refunds::units_of($self->{checker}, $e->{id});
	$self->bad("$o->{name} is $o->{state}, and $back of $o->{quantity} are taken back") if $back != $o->{quantity};
	return;
}

# What is sold for outside money is of one order each.
sub check_purchases
{
	my ($self) = @_;

	foreach my $e (grep { $_->{journal} eq 'P' && is_settled($_->{product_id}) } @{ $self->{checker}{tables}{entries} })
	{
		my $o = $self->{by_key}{"$e->{user_id} $e->{key}"};
		$self->bad("of $e->{id} says " . ($o ? "$o->{state} P$o->{user_id}-" . ($o->{seq} // '') : 'nothing')) unless $o && ($o->{seq} // 0) == $e->{seq};
	}
	return;
}

# Taken back for an order is what its step says, by whoever reported it.
sub check_refunds
{
	my ($self) = @_;
	my %seen;

	foreach my $e (grep { $_->{journal} eq 'B' && $_->{idempotency_key} =~ /^order [0-9a-f-]{36}$/ } @{ $self->{checker}{tables}{entries} })
	{
		my ($id) = $e->{idempotency_key} =~ /^order (.*)/;
		my $o = $self->{order}{$id} // { name => $id, steps => [], user_id => 0 };
		my $is = join ' ', @$e{qw(purchase created_at actor policy)}, $e->{asked} // '', $e->{reason};
		my @may = map { join ' ', "P$o->{user_id}-" . ($o->{seq} // ''), 1e6 * ($_->{at} - $PG_EPOCH), $_->{reporter}, 'take_available', '', ($_->{reason} // '') ne '' ? $_->{reason} : lc $_->{to_state} }
		  grep { $_->{to_state} =~ /^(?:REFUNDED|CHARGED_BACK)$/ } @{ $o->{steps} };
		$self->bad("$o->{name}: $e->{id} is '$is', its steps say '@may'") unless grep { $_ eq $is } @may;
		$self->bad("$o->{name} was taken back by $seen{$id} and $e->{id}") if $seen{$id};
		$seen{$id} = $e->{id};
	}
	return;
}

# A payment is of one order, and somebody has said so.
sub check_references
{
	my ($self) = @_;
	my %of;

	foreach my $o (map { $self->{order}{$_} } sort keys %{ $self->{order} })
	{
		my $ref = $o->{provider_ref};
		my @said = grep { ($_->{provider_ref} // '') eq ($ref // '-') && $_->{report} ne 'unknown' && !$_->{forged} } @{ $o->{calls} };
		my @known = grep { $_->{fate} eq 'sure' && defined $_->{provider_ref} && $_->{report} ne 'unknown' && $_->{result} && $_->{result}{state} eq 'new' && !$self->is_of_another($o, $_->{provider_ref}) } @{ $o->{calls} };

		$self->bad("$o->{name} has the payment $ref, which nobody said") if defined $ref && !@said;
		$self->bad("$o->{name} has no payment, $known[0]{provider_ref} was said in $known[0]{tx}{tx}") if !defined $ref && @known;
		next unless defined $ref;
		$self->bad("$o->{name} and $of{\"$o->{provider} $ref\"} have one payment") if $of{"$o->{provider} $ref"};
		$of{"$o->{provider} $ref"} = $o->{name};
	}
	return;
}

# Each acknowledgement is of the order, and the other answers agree with it.
sub check_asked
{
	my ($self, $name) = @_;
	my $o = $self->{by_key}{$name};
	my @attempts = @{ $self->{asked}{$name} // [] };
	my @new = grep { $_->{fate} eq 'sure' && $_->{result} && $_->{result}{state} eq 'new' } @attempts;
	my %touched = map { ($_->{tx}{tx} => 1) } grep { $_->{fate} ne 'sure' } @attempts;

	$self->bad("$name was acknowledged as new " . @new . ' times') if @new > 1;
	foreach my $a (@new)
	{
		$self->bad("$name was acknowledged in $a->{tx}{tx} and is " . ($o ? 'another' : 'lost')) unless $o && $o->{made_at} == $a->{tx}{clock} && is_of($a, $o);
		$self->check_offer($o, $a) if $o;
	}
	$self->bad("$name was ordered by nobody") if $o && !@new && !grep { $_->{fate} eq 'maybe' && $o->{made_at} == $_->{tx}{clock} && is_of($_, $o) } @attempts;
	foreach my $a (grep { $_->{fate} eq 'sure' && $_->{result} && !$touched{ $_->{tx}{tx} } } @attempts)
	{
		my $r = $a->{result};
		my $says = "$name was answered in $a->{tx}{tx} " . join ' ', map { $_ // '' } @$r{qw(state code transaction_id gold_delta)};
		my $fits = $o && is_of($a, $o);

		if ($r->{state} eq 'new') { $self->bad($says) unless $r->{code} eq 'PENDING' && $r->{gold_delta} == 0 && told($o, $r, 'CREATED') }
		elsif ($r->{state} eq 'reuse' && $r->{code} eq 'PENDING') { $self->bad($says) unless $fits && $r->{gold_delta} == 0 && told($o, $r, 'CREATED|PENDING|CONFLICT') }
		elsif ($r->{state} eq 'reuse') { my $e = $fits && $self->purchase_of($o); $self->bad($says) unless $e && $r->{transaction_id} eq $e->{id} && $r->{gold_delta} == $e->{gold_delta} && $r->{gold} == $e->{gold} && ($r->{items} // '') eq ($e->{items} // '') && $r->{detail} =~ /"charge_outside": false/ }
		elsif ($r->{code} eq 'ORDER_CLOSED') { $self->bad($says) unless $fits && told($o, $r, 'VOIDED|FAILED|EXPIRED') }
		elsif ($r->{code} eq 'IDEMPOTENCY_MISMATCH') { $self->bad($says) unless $o && !$fits }
	}
	return;
}

sub is_of { my ($a, $o) = @_; return $a->{intent}{quantity} == $o->{quantity} && ($a->{intent}{context} // '') eq ($o->{context} // '') }

# The order that an answer tells of, in a state that it was in.
sub told
{
	my ($o, $r, $states) = @_;
	my ($id, $state, $amount) = map { ($r->{detail} // '') =~ /"$_": "?([^",}]+)/ ? $1 : '' } qw(order_id state amount);
	return $o && $id eq $o->{order_id} && $amount == $o->{amount} && $state =~ /^(?:$states)$/ && $o->{became}{$state};
}

# It costs, and is promised, what was offered at a moment of the call.
sub check_offer
{
	my ($self, $o, $a) = @_;
	my $terms = JSON::PP::decode_json($o->{terms});
	my $is = join ' ', $o->{amount} / $o->{quantity}, map { $terms->{$_} // 0 } qw(granted_gold monetary granted_xp);
	my @may = map { my $of = $_; join ' ', map { $of->{$_} // 0 } qw(source_points granted_gold monetary granted_xp) }
	  map { { %{ product_of($o) }, %{ $_->{product} } } } Stress::Checker::at_moment($a->{op}, Stress::Contents::states_of($self->{checker}, $o->{product_id}));

	$self->bad("$o->{name} is offered for '$is', the product was '@may' in $a->{tx}{tx}") unless grep { $_ eq $is } @may;
	return;
}

# As many steps of a kind as were acknowledged, and no more than may have been made.
sub check_reports
{
	my ($self) = @_;
	my (%steps, %sure, %maybe);

	foreach my $o (values %{ $self->{order} })
	{
		foreach my $h (grep { $_->{report} !~ /^ordered$/ } @{ $o->{steps} })
		{
			my $reason = ($h->{reason} // '') =~ s/^[A-Z_]+(?:: |$)//r;
			if ($h->{reporter} eq 'expire_orders') { $self->check_expired($o, $h) }
			else { $steps{ join '|', $o->{order_id}, @$h{qw(report to_state reporter at)}, $reason, map { $_ // '' } @{ $h->{said} }{qw(provider_ref amount currency webhook_id)} }++ }
		}
	}
	foreach my $call (@{ $self->{calls} })
	{
		my $of = sub { return join '|', $call->{order_id}, $call->{report}, $_[0], $call->{reporter}, $call->{at}, map { $_ // '' } @$call{qw(reason provider_ref amount currency webhook_id)} };

		if ($call->{fate} eq 'sure' && $call->{result}) { $self->check_answer($call); $sure{ $of->($call->{result}{order_state}) }++ if $call->{result}{state} eq 'new' }
		elsif (!$call->{forged}) { $maybe{ $of->($_) }++ foreach keys %STEP }
	}
	foreach my $of (sort keys %{ { %steps, %sure } })
	{
		my ($n, $known, $open) = map { $_->{$of} // 0 } \%steps, \%sure, \%maybe;
		$self->bad("$of was acknowledged $known times, $open calls were not answered, and it has $n such steps") if $n < $known || $n > $known + $open;
	}
	return;
}

# By a job at that moment, when its time was over.
sub check_expired
{
	my ($self, $o, $h) = @_;

	$self->bad("$o->{name}: step $h->{step} gives up at $h->{at} what waits until $o->{expires_at}") if $h->{at} < $o->{expires_at};
	$self->bad("$o->{name} was given up at $h->{at} by nobody") unless $h->{report} eq 'expired' && grep { $_->{at} == $h->{at} && (!$_->{result} || $_->{result}{orders}) } @{ $self->{jobs} };
	return;
}

# What was answered to a report is of the order as it was at one time.
sub check_answer
{
	my ($self, $call) = @_;
	my ($r, $o) = ($call->{result}, $self->{order}{ $call->{order_id} });
	my $says = "$call->{order_id}: $call->{fn}() of $call->{report} in $call->{tx}{tx} says " . join ' ', map { $_ // '' } @$r{qw(state code order_state purchase detail)};

	return $self->bad($says) if $call->{forged} xor $r->{code} eq 'WRONG_SIGNATURE';
	return if $call->{forged};
	return $self->check_not_found($call, $o, $says) if $r->{code} eq 'ORDER_NOT_FOUND';
	return $self->bad("$says, and is not there") unless $o;
	my $bought = defined $o->{seq} ? "P$o->{user_id}-$o->{seq}" : '';
	return $self->bad($says) if defined $r->{purchase} ? $r->{purchase} ne $bought : ($r->{order_state} // '') =~ /^(?:CONFIRMED|REFUNDED|CHARGED_BACK)$/;
	return $self->bad("$says, it was never so") unless $o->{became}{ $r->{order_state} // '' };
	return $self->check_resolution($call, $o, $says) if $call->{fn} eq 'resolve_order';
	return if $call->{fn} eq 'webhook' && $r->{state} eq 'reuse';    # check_webhooks()
	return $self->bad($says) if $r->{state} !~ /^(?:new|reuse)$/ || $r->{code} ne ($r->{order_state} eq 'CONFLICT' ? 'CONFLICT' : 'OK');
	return $self->bad($says) if $r->{state} eq 'new' && $call->{report} eq 'unknown';
	return if $r->{state} eq 'new';
	my @against = $self->contradictions($o, $call);
	$self->bad("$says, and it changes that") if next_state($r->{order_state}, $call->{report}) ne $r->{order_state};
	$self->bad("$says, and contradicts @against") if @against && $r->{order_state} ne 'CONFLICT' && $call->{report} ne 'unknown';
	return;
}

sub check_not_found
{
	my ($self, $call, $o, $says) = @_;
	my @made = $o ? grep { $_->{fate} eq 'sure' && $_->{result} && $_->{result}{state} eq 'new' } @{ $self->{asked}{ $o->{name} } // [] } : ();
	my $other = $o && defined $call->{provider} && $call->{provider} ne $o->{provider};

	$self->bad("$says, and it is there") if !$other && grep { $_->{tx}{ended} < $call->{op}{at} } @made;
	return;
}

# Refused when it is none, or cannot be so.
sub check_resolution
{
	my ($self, $call, $o, $says) = @_;
	my ($r, $wanted) = ($call->{result}, $call->{resolution});

	if ($r->{code} eq 'OK') { $self->bad($says) if $r->{order_state} ne $wanted }
	elsif ($r->{code} eq 'NO_CONFLICT') { $self->bad($says) if $r->{order_state} =~ /^(?:CONFLICT|$wanted)$/ }
	elsif ($r->{code} eq 'RESOLUTION_NOT_POSSIBLE') { $self->bad($says) if $r->{order_state} ne 'CONFLICT' || (defined $r->{purchase} ? $wanted ne 'VOIDED' : $wanted =~ /^(?:CONFIRMED|VOIDED)$/) }
	else { $self->bad($says) unless $r->{order_state} eq 'CONFLICT' && $CANNOT{ $r->{code} } && $CANNOT{ $r->{code} }->($self, $o) }
	return;
}

# One id has one effect for ever; what is not of the provider none.
sub check_webhooks
{
	my ($self) = @_;
	my (%row, %new, %steps);

	foreach my $w (@{ $self->{checker}{tables}{payment_webhooks} // [] })
	{
		my $of = "$w->{provider} $w->{webhook_id}";
		$self->bad("webhook $of is kept twice") if $row{$of};
		$row{$of} = $w;
		$self->bad("webhook $of is kept, and was sent by nobody") unless grep { $_->{fn} eq 'webhook' && !$_->{forged} && "$_->{provider} $_->{webhook_id}" eq $of } @{ $self->{calls} };
	}
	foreach my $h (grep { defined $_->{said}{webhook_id} } map { @{ $_->{steps} } } values %{ $self->{order} })
	{
		$self->bad("webhook $h->{reporter} $h->{said}{webhook_id} has made two steps") if $steps{"$h->{reporter} $h->{said}{webhook_id}"}++;
	}
	foreach my $call (grep { $_->{fn} eq 'webhook' && !$_->{forged} && $_->{fate} eq 'sure' && $_->{result} } @{ $self->{calls} })
	{
		my $r = $call->{result};
		my $of = "$call->{provider} $call->{webhook_id}";
		my $w = $row{$of};

		if (!$w) { $self->bad("webhook $of was taken in $call->{tx}{tx}, and is not kept"); next }
		$self->bad("webhook $of was new twice") if $r->{state} eq 'new' && $new{$of}++;
		next if $r->{code} eq 'ORDER_NOT_FOUND';    # judged again
		$self->bad("webhook $of was answered $r->{code} in $call->{tx}{tx}, and kept as $w->{code}") if $r->{code} ne $w->{code};
	}
	return;
}

# Each attempt is one, and comes when the one before is over: its lease, or what a worker told and the time until the next.
sub check_leases
{
	my ($self) = @_;
	my (%handed, %unanswered);

	foreach my $call (@{ $self->{leases} // [] })
	{
		if (!$call->{op}{answered}) { $unanswered{any} = 1; next }
		my ($worker, $max, $lease, $provider) = arguments($call->{op});
		my ($minutes) = $lease =~ /^(\d+)/;
		my @rows = grep { $_->{order_id} } @{ $call->{op}{results} };
		$self->bad("settlement_lease() in $call->{tx}{tx}: " . @rows . " rows of at most $max") if @rows > $max;
		foreach my $r (@rows)
		{
			my $o = $self->{order}{ $r->{order_id} } or next;
			my ($is, $ought) = map { my $of = $_; join ' ', map { $of->{$_} } qw(user_id product_id quantity provider amount currency) } $r, $o;
			$self->bad("$o->{name} was handed out in $call->{tx}{tx} as '$is'") if $is ne $ought || defined $provider && $provider ne $o->{provider};
			$self->bad("$o->{name} was handed out in $call->{tx}{tx} as $r->{state}") if $r->{state} !~ /^(?:CREATED|PENDING)$/ || !$o->{became}{ $r->{state} };
			$self->bad("$o->{name} was leased until $r->{until} in $call->{tx}{tx} at $call->{at} for $lease") if $r->{until} != $call->{at} + 60 * $minutes;
			push @{ $handed{ $o->{order_id} }{ $r->{attempts} } }, { %$call, until => $r->{until} };
		}
	}
	foreach my $o (map { $self->{order}{$_} } sort keys %{ $self->{order} })
	{
		$self->check_handed($o, $handed{ $o->{order_id} } // {}, $unanswered{any});
	}
	return;
}

sub check_handed
{
	my ($self, $o, $handed, $unanswered) = @_;
	my $provider = $Stress::World::PROVIDERS{ $o->{provider} };
	my $before;

	$self->bad("$o->{name} had $o->{attempts} attempts") if $o->{attempts} > $provider->{max_attempts};
	foreach my $n (1 .. $o->{attempts})
	{
		my @known = grep { $_->{fate} eq 'sure' } @{ $handed->{$n} // [] };
		$self->bad("$o->{name} was handed out " . @known . " times as attempt $n") if @known > 1;
		$self->bad("$o->{name}: nobody was handed attempt $n") unless @{ $handed->{$n} // [] } || $unanswered;
		my ($one) = @known;
		if ($one && $before)
		{
			# who told of it gave the lease back
			my @free = ($before->{until}, map { $_->{at} + 0.5 * $provider->{retry_base_s} * 2**($n - 2) } grep { $_->{op}{at} < ($one->{op}{done} // 9e99) } @{ $o->{calls} });
			$self->bad("$o->{name} was handed out in $one->{tx}{tx} at $one->{at}, before " . min(@free)) if $one->{at} < min(@free);
		}
		$before = $one;
	}
	$self->bad("$o->{name} has $o->{attempts} attempts, and was handed out as attempt $_") foreach grep { $_ > $o->{attempts} && grep { $_->{fate} eq 'sure' } @{ $handed->{$_} } } sort { $a <=> $b } keys %$handed;
	return;
}

# From when on, at the earliest, an order may have given back what it holds or gave.
sub open_until
{
	my ($self, $o) = @_;
	my @ends = grep { $_->{report} =~ /^(?:voided|failed|expired|refunded|charged_back|resolved)$/ } @{ $o->{calls} };
	my $purchase = defined $o->{seq} ? "P$o->{user_id}-$o->{seq}" : '-';
	my @back = map { $_->{op} } grep { $_->{intent}{key} =~ /^\Q$purchase\E\|/ } map { @{ $self->{checker}{attempts}{$_} } } grep { /^B $o->{user_id} \Q$purchase\E\|/ } keys %{ $self->{checker}{attempts} };

	return min(9e99, map({ $_->{op}{at} } @ends, grep { $_->{at} >= $o->{expires_at} } @{ $self->{jobs} }), map { $_->{at} } @back);
}

# Who was given an order had not as many as a user may, and no more of the product.
sub check_limits
{
	my ($self) = @_;
	my %of;

	foreach my $o (values %{ $self->{order} })
	{
		my ($a) = grep { $_->{fate} eq 'sure' && $_->{result} && $_->{result}{state} eq 'new' } @{ $self->{asked}{ $o->{name} } // [] } or next;
		push @{ $of{ $o->{user_id} } }, { o => $o, a => $a, until => $self->open_until($o), paid => min(9e99, map { $_->{op}{at} } grep { $_->{report} =~ /^(?:confirmed|resolved)$/ } @{ $o->{calls} }) };
	}
	foreach my $user (sort { $a <=> $b } keys %of)
	{
		foreach my $one (@{ $of{$user} })
		{
			my $o = $one->{o};
			my @held = grep { $_->{a}{tx}{ended} < $one->{a}{op}{at} && $_->{until} > $one->{a}{op}{done} } @{ $of{$user} };
			my $limit = Stress::Checker::limit_of($o->{product_id}) // 9e99;
			my $units = sum0 $o->{quantity}, map { $_->{o}{quantity} } grep { $_->{o}{product_id} eq $o->{product_id} } @held;
			my $open = grep { $_->{paid} > $one->{a}{op}{done} } @held;

			$self->bad("$o->{name} was placed when user $user had $open open ones") if $open >= $AT_MOST;
			$self->bad("$o->{name}: with it user $user has $units of $o->{product_id}, at most $limit are allowed") if $units > $limit;
		}
	}
	return;
}

sub order_of { my ($checker, $e) = @_; return of($checker)->{by_key}{"$e->{user_id} $e->{key}"} }

# What orders hold of each product.
sub held
{
	my ($checker) = @_;
	my %held;

	$held{ $_->{product_id} } += $_->{quantity} foreach grep { defined $_->{stock_slot} } @{ $checker->{tables}{payment_orders} // [] };
	return %held;
}

# Refusals, as the checker's rules ask: whether they are right.

# Those of a user that may have been there at a moment of a call.
sub may_be_there
{
	my ($self, $user, $op) = @_;

	return grep { my $o = $_; my @asked = @{ $self->{asked}{ $o->{name} } // [] }; $o->{user_id} == $user && grep { $_->{op} != $op && $_->{op}{at} < $op->{done} } @asked } values %{ $self->{order} };
}

sub are_many
{
	my ($tx, $intent, $r, $product, $checker, $op) = @_;
	my $mine = grep { $_ != $intent && $_->{kind} eq 'O' && $_->{user} == $intent->{user} } map { @{ $_->{intents} } } grep { $_ } @{ $tx->{ops} };
	return ($intent->{kind} eq 'O' || $intent->{kind} eq 'K' && $product->{settlement}) && $mine + of($checker)->may_be_there($intent->{user}, $op) >= $AT_MOST;
}

# With what was bought, and not taken back before.
sub is_at_limit
{
	my ($tx, $intent, $r, $product, $checker, $op) = @_;
	my ($id) = $intent->{key} =~ /^(\w+)\|/;
	my $limit = Stress::Checker::limit_of($id) // return 0;
	my $units = sum0 map { $_->{quantity} } grep { $_->{product_id} eq $id } of($checker)->may_be_there($intent->{user}, $op);

	return $units + $intent->{quantity} > $limit || Stress::Checker::rolled_back_units($tx, $intent, $id);
}

1;
