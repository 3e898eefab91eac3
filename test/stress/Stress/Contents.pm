# Items in entries of the shop and of rewards, by what doc/concepts.md says, written down
# once more: a purchase moves quantity times what the product said at that moment, a reward
# what was asked for, and a reversal what is there, of what is left of the reward.
package Stress::Contents;

use strict;
use warnings;
use JSON::PP ();
use Stress::World;

# checker: a Stress::Checker, whose tables and log are read, and who is told; its
# check_holdings() tells of each entry that carries items what was held before
sub check
{
	my ($checker) = @_;

	check_purchase($checker, $_) foreach grep { $_->{journal} eq 'P' } @{ $checker->{tables}{entries} };
	foreach my $e (grep { $_->{journal} eq 'R' } @{ $checker->{tables}{entries} })
	{
		if (defined $e->{reverses}) { check_reversal($checker, $e) }
		else { $checker->bad('R', "$e->{id}: a reward took $_->[0]") foreach grep { $_->[1] <= 0 } Stress::Checker::carried($e) }
	}
	return;
}

# Items and what is added of each, as one text.
sub text_of
{
	my ($items) = @_;
	return join ' ', map { "$_:$items->{$_}" } sort grep { $items->{$_} } keys %$items;
}

sub moved_by { my ($e) = @_; return text_of({ map { ($_->[0] => $_->[1]) } Stress::Checker::carried($e) }) }

# What so many units of a product that is so move.
sub moves
{
	my ($product, $quantity) = @_;
	my %items = map { ($_ => $quantity * $product->{contents}{$_}) } keys %{ $product->{contents} // {} };

	$items{$_} -= $quantity * $product->{price_items}{$_} foreach keys %{ $product->{price_items} // {} };
	$items{streak_freeze} += $quantity if ($product->{effect_code} // '') eq 'streak_freeze';
	return \%items;
}

# What a product was said to be, from when on it may have been so, and by when it was surely.
sub states_of
{
	my ($checker, $id) = @_;
	my $product = $Stress::World::PRODUCTS{$id} // {};
	my @states = { product => $product, from => 0, by => 0 };

	return @states unless $product->{offered};
	return @{ $checker->{offers}{$id} } if $checker->{offers}{$id};
	foreach my $tx (@{ $checker->{log} })
	{
		foreach my $op (grep { $_ && $_->{fn} eq 'upsert_product' && $_->{fate} ne 'none' && $_->{args} =~ /"\Q$id\E"/ } @{ $tx->{ops} })
		{
			my ($json) = $op->{args} =~ /^'(.*?)'/;
			push @states, { product => JSON::PP::decode_json($json), from => $op->{at}, by => $op->{fate} eq 'sure' ? $tx->{ended} : undef };
		}
	}
	$checker->{offers}{$id} = \@states;
	return @states;
}

# What an item may have been asked to change by in this call.
sub asked_of
{
	my ($checker, $intent, $op, $item) = @_;

	if ($intent->{kind} =~ /^[OP]$/)
	{
		my ($id) = $intent->{key} =~ /^(\w+)\|/;
		return grep { defined } map { moves($_->{product}, $intent->{quantity})->{$item} } Stress::Checker::at_moment($op, states_of($checker, $id));
	}
	if ($intent->{kind} eq 'V')
	{
		my ($reward) = reward_of($checker, $intent) or return;
		return map { -$_ } given_by($reward)->{$item} // ();
	}
	my %asked = map { split /:/ } split / /, $intent->{items} // '';
	return $asked{$item} // ();
}

# Whether the effect that a call was to have may have changed what its user holds of an item.
sub may_move
{
	my ($intent, $item) = @_;
	my ($id) = $intent->{kind} eq 'P' ? $intent->{key} =~ /^(\w+)\|/ : ();
	my $product = $Stress::World::PRODUCTS{ $id // '' } // {};

	return 1 if $intent->{kind} =~ /^[BCMV]$/ || $product->{offered};
	return exists moves($product, 1)->{$item} if defined $id;
	return ($intent->{items} // '') =~ /(?:^| )\Q$item\E:/;
}

sub check_purchase
{
	my ($checker, $e) = @_;
	my $is = moved_by($e);

	$checker->bad('R', "$e->{id}: $e->{quantity} of $e->{product_id} moved '$is', which no product of then does")
	  unless grep { $is eq text_of(moves($_->{product}, $e->{quantity})) } states_of($checker, $e->{product_id});
	return;
}

# A product that changes was bought as it was at a moment of the call.
sub check_moment
{
	my ($checker, $key, $e, $a) = @_;
	my $is = moved_by($e);

	return unless ($Stress::World::PRODUCTS{ $e->{product_id} } // {})->{offered};
	$checker->bad('R', "key '$key': '$is' was moved in $a->{tx}{tx}, when the product was another")
	  unless grep { $is eq text_of(moves($_->{product}, $e->{quantity})) } Stress::Checker::at_moment($a->{op}, states_of($checker, $e->{product_id}));
	return;
}

# The reward that an effect is to reverse.
sub reward_of
{
	my ($checker, $intent) = @_;
	my ($user, $seq) = $intent->{key} =~ /^economy:reversal(?::|\|)R(\d+)-(\d+)/ or return;
	my $reward = $checker->{stream}{$user}{$seq};

	return $reward && $reward->{journal} eq 'R' ? $reward : ();
}

sub given_by { my ($e) = @_; return { map { ($_->[0] => $_->[1]) } grep { $_->[1] > 0 } Stress::Checker::carried($e) } }

# What is left of a reward in front of a reversal.
sub left_of
{
	my ($checker, $reward, $seq) = @_;
	my %left = %{ given_by($reward) };

	foreach my $e (grep { ($_->{reverses} // 0) == $reward->{seq} && $_->{seq} < $seq } values %{ $checker->{stream}{ $reward->{user_id} } })
	{
		$left{ $_->[0] } += $_->[1] foreach Stress::Checker::carried($e);
	}
	return \%left;
}

# It takes of each item what was asked for, or is there, and never more than is left.
sub check_reversal
{
	my ($checker, $e) = @_;
	my $reward = $checker->{stream}{ $e->{user_id} }{ $e->{reverses} } or return;    # told elsewhere
	my $details = JSON::PP::decode_json($e->{details} // '{}');
	my %taken = map { ($_->[0] => -$_->[1]) } Stress::Checker::carried($e);
	my $left = left_of($checker, $reward, $e->{seq});
	my ($asked, $debt) = map { $_ // {} } @$details{qw(items debt_items)};
	my $there = $checker->{there}{ $e->{id} } // {};

	foreach my $item (sort keys %{ { %taken, %$asked, %$debt } })
	{
		my ($n, $wanted, $owed) = map { $_->{$item} // 0 } \%taken, $asked, $debt;
		$checker->bad('R', "$e->{id}: took $n of $item of " . ($left->{$item} // 0) . ' that were left')
		  if $n < 0 || $wanted > ($left->{$item} // 0);
		$checker->bad('R', "$e->{id}: took $n of $item and left $owed, asked for were $wanted") if $n + $owed != $wanted;
		next if !exists $there->{$item};
		my $most = $there->{$item} < $wanted ? $there->{$item} : $wanted;
		$checker->bad('R', "$e->{id}: took $n of $item, $most were there to be taken") if $n != $most;
	}
	$checker->bad('R', "$e->{id}: took " . -$e->{gold_delta} . " gold and left $details->{debt_gold}, asked for were $details->{gold}")
	  if $details->{debt_gold} - $e->{gold_delta} != $details->{gold} || $details->{debt_xp} - $e->{xp_delta} != $details->{xp};
	return;
}

# An acknowledged reversal took what this call asked for, and by its policy.
sub check_asked
{
	my ($checker, $key, $e, $a) = @_;
	my $intent = $a->{intent};
	my $reward = $checker->{stream}{ $e->{user_id} }{ $e->{reverses} } or return;
	my $details = JSON::PP::decode_json($e->{details} // '{}');
	my $left = left_of($checker, $reward, $e->{seq});
	my ($is, $ought) = (text_of($details->{items} // {}), $intent->{taken} // text_of($left));

	$checker->bad('R', "key '$key': asked for were '$ought', the reversal says '$is'") if $is ne $ought;
	$checker->bad('R', "key '$key': $details->{$_} $_ of $intent->{$_} were asked for")
	  foreach grep { defined $intent->{$_} && $details->{$_} != $intent->{$_} } qw(gold xp);
	$checker->bad('R', "key '$key': something is owed, which was to be refused")
	  if $intent->{policy} eq 'refuse' && (keys %{ $details->{debt_items} // {} } || $details->{debt_gold} || $details->{debt_xp});
	return;
}

# Refused because too much was asked for, or because nothing is left.
sub exceeds
{
	my ($tx, $intent, $r, $product, $checker) = @_;
	my $reward = reward_of($checker, $intent) or return 0;
	my $d = JSON::PP::decode_json($r->{detail} // '{}');
	my ($asked, $left, $given) = ($d->{items} // {}, $d->{left_items} // {}, given_by($reward));

	return 0 if grep { ($left->{$_} // 0) > ($given->{$_} // 0) } keys %$left;
	return 1 if $d->{gold} > $d->{left_gold} || $d->{xp} > $d->{left_xp} || grep { $asked->{$_} > ($left->{$_} // 0) } keys %$asked;
	return !$d->{left_gold} && !$d->{left_xp} && !grep { $_ } values %$left;
}

1;
