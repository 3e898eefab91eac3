# Draws judged by what doc/draws.md says, written down once more: nonces without a gap,
# seeds of their hashes, outcomes recomputed where a seed is revealed, prizes and pity.
package Stress::Draws;

use strict;
use warnings;
use Digest::SHA ();
use JSON::PP ();
use Stress::World;

# checker: a Stress::Checker, whose tables and log are read, and who is told
sub check
{
	my ($checker) = @_;
	my $t = $checker->{tables};
	my %versions = map { ("$_->{table_id} $_->{version}" => JSON::PP::decode_json($_->{definition})) } @{ $t->{draw_table_versions} };
	my %seeds = map { ("$_->{user_id} $_->{seed_number}" => { %$_, draws => 0 }) } @{ $t->{draw_seeds} };
	my %pity;

	foreach my $e (sort { $a->{user_id} <=> $b->{user_id} || $a->{seq} <=> $b->{seq} } grep { $_->{journal} eq 'H' && $_->{operation} eq 'draw' } @{ $t->{entries} })
	{
		my $d = JSON::PP::decode_json($e->{detail} // '{}');
		my $seed = $seeds{ "$e->{user_id} " . ($d->{seed_number} // '') };
		my $definition = $versions{ "$e->{reason} " . ($d->{version} // '') };

		if (!$seed) { $checker->bad('D', "$e->{id}: there is no such seed"); next }
		if (!$definition) { $checker->bad('D', "$e->{id}: there is no such version of $e->{reason}"); next }
		$checker->bad('D', "$e->{id}: the seed was shown as $d->{seed_hash}, it is $seed->{hash}") if $d->{seed_hash} ne $seed->{hash};
		$checker->bad('D', "$e->{id}: its nonce is $d->{nonce}, $seed->{draws} draws came before") if $d->{nonce} != $seed->{draws}++;
		my $before = $definition->{pity} ? $pity{"$e->{user_id} $e->{reason}"} // 0 : 0;
		$checker->bad('D', "$e->{id}: $d->{pity} draws without the class, there were $before") if $d->{pity} != $before;
		$pity{"$e->{user_id} $e->{reason}"} = $d->{outcome}{pity} if $definition->{pity};
		check_prize($checker, $e, $d, $definition);
		check_outcome($checker, $e, $d, $definition, $seed->{server_seed}) if $seed->{server_seed};
	}
	check_seeds($checker, \%seeds);
	check_pity($checker, \%pity);
	check_revealed($checker, \%seeds);
	check_told($checker);
	return;
}

# What its entry gives, less the price.
sub check_prize
{
	my ($checker, $e, $d, $definition) = @_;
	my ($entry) = grep { $_->{entry} eq ($d->{outcome}{entry} // '') } @{ $definition->{entries} // [] };
	my $price = $definition->{price} // {};
	my %items = %{ ($entry // {})->{items} // {} };
	my %carried = map { ($_->[0] => $_->[1]) } Stress::Checker::carried($e);
	my $gold = (($entry // {})->{gold} // 0) - ($price->{gold} // 0);

	$items{$_} -= $price->{items}{$_} foreach keys %{ $price->{items} // {} };
	my ($is, $ought) = map { my $h = $_; join ' ', map { "$_:$h->{$_}" } sort grep { $h->{$_} } keys %$h } \%carried, \%items;
	$checker->bad('D', "$e->{id}: $e->{gold_delta} gold and '$is', it ought to be $gold and '$ought'")
	  if $e->{gold_delta} != $gold || $is ne $ought || $e->{xp_delta} != (($entry // {})->{xp} // 0) || ($definition->{entries} && !$entry);
	return;
}

sub check_outcome
{
	my ($checker, $e, $d, $definition, $server_seed) = @_;
	my $ought = outcome($definition, numbers(pack('H*', $server_seed), "$d->{client_seed}:$d->{nonce}"), $d->{pity});
	my ($is, $is_ought) = map { JSON::PP->new->canonical->encode($_) } $d->{outcome}, $ought;

	$checker->bad('D', "$e->{id}: drawn was $is, it ought to be $is_ought") if $is ne $is_ought;
	return;
}

# Whole numbers below n, one after the other.
sub numbers
{
	my ($seed, $message) = @_;
	my ($block, @words) = (0);

	return sub {
		my ($n) = @_;
		my $beyond = (~0 % $n + 1) % $n;
		while (1)
		{
			@words = unpack 'Q>4', Digest::SHA::hmac_sha256($message . ($block++ ? ':' . ($block - 1) : ''), $seed) unless @words;
			my $x = shift @words;
			return $x % $n if $x <= ~0 - $beyond;
		}
	};
}

sub outcome
{
	my ($definition, $below, $pity) = @_;
	my $dice = $definition->{dice};

	return { dice => [ map { 1 + $below->($dice->{sides}) } 1 .. $dice->{count} ] } if $dice;
	my $rule = $definition->{pity};
	my $due = $rule && $pity >= $rule->{after};
	my @of = grep { !$due || ($_->{class} // '') eq $rule->{class} } @{ $definition->{entries} };
	my $sum = 0;
	$sum += $_->{weight} foreach @of;
	my $x = $below->($sum);
	my ($entry) = grep { ($x -= $_->{weight}) < 0 } @of;
	my %outcome = map { ($_ => $entry->{$_}) } grep { defined $entry->{$_} } 'entry', 'class';

	@outcome{qw(guaranteed pity)} = ($due ? JSON::PP::true : JSON::PP::false, ($entry->{class} // '') eq $rule->{class} ? 0 : $pity + 1) if $rule;
	return \%outcome;
}

sub check_seeds
{
	my ($checker, $seeds) = @_;
	my %last;

	$last{ $_->{user_id} } = $_->{seed_number} foreach sort { $a->{seed_number} <=> $b->{seed_number} } values %$seeds;
	foreach my $key (sort keys %$seeds)
	{
		my $s = $seeds->{$key};
		$checker->bad('D', "seed $key was drawn with $s->{draws} times, it counts $s->{next_nonce}") if $s->{draws} != $s->{next_nonce};
		$checker->bad('D', "there is no seed before $key") if $s->{seed_number} > 1 && !$seeds->{ "$s->{user_id} " . ($s->{seed_number} - 1) };
		$checker->bad('D', "seed $key has " . (defined $s->{server_seed} ? '' : 'not ') . 'ended') if defined $s->{server_seed} == ($last{ $s->{user_id} } == $s->{seed_number});
		$checker->bad('D', "seed $key is not that of its hash") if defined $s->{server_seed} && Digest::SHA::sha256_hex(pack 'H*', $s->{server_seed}) ne $s->{hash};
	}
	return;
}

sub check_pity
{
	my ($checker, $pity) = @_;
	my %kept = map { ("$_->{user_id} $_->{table_id}" => $_->{draws}) } @{ $checker->{tables}{draw_pity} };

	foreach my $key (sort keys %{ { %$pity, %kept } })
	{
		my ($is, $ought) = map { $_ // 'none' } $kept{$key}, $pity->{$key};
		$checker->bad('D', "draws of $key without the class: $is are kept, there were $ought") if $is ne $ought;
	}
	return;
}

# What was told to be revealed is, and what was shown before is of its hash.
sub check_revealed
{
	my ($checker, $seeds) = @_;

	foreach my $op (map { grep { $_ && $_->{fn} =~ /^draw_/ && $_->{fate} eq 'sure' && @{ $_->{results} } } @{ $_->{ops} } } @{ $checker->{log} })
	{
		my $r = $op->{results}[0];
		my ($user) = $op->{args} =~ /^(\d+)/;

		next if $r->{state} eq 'refused' && ($r->{code} eq 'USER_NOT_FOUND' ? $user > $Stress::World::USERS : $op->{fn} eq 'draw_reveal' && $r->{code} eq 'SEED_NOT_FOUND');
		my $s = $seeds->{"$user " . ($r->{seed_number} // '')};
		$checker->bad('D', "$op->{fn}($op->{args}) was answered $r->{state} $r->{code} with another seed than there is")
		  unless $s && $r->{state} ne 'refused' && $r->{seed_hash} eq $s->{hash} && $r->{draws} <= $s->{next_nonce}
		  && ($op->{fn} eq 'draw_commit' || $r->{draws} == $s->{next_nonce}
			&& ($r->{state} eq 'new' ? !length($r->{server_seed} // '') : !length($r->{server_seed} // '') || $r->{server_seed} eq ($s->{server_seed} // '')));
	}
	return;
}

# What who drew was told is what stands in the entry, which is what is recomputed.
sub check_told
{
	my ($checker) = @_;
	my %entry = map { ($_->{id} => $_) } grep { $_->{journal} eq 'H' && $_->{operation} eq 'draw' } @{ $checker->{tables}{entries} };
	my $json = JSON::PP->new->canonical;

	foreach my $r (map { @{ $_->{results} } } grep { $_ && $_->{fn} eq 'draw' && $_->{fate} eq 'sure' } map { @{ $_->{ops} } } @{ $checker->{log} })
	{
		my $e = $entry{ $r->{transaction_id} // '' };
		next unless $e && $r->{state} =~ /^(?:new|reuse)$/;    # told elsewhere
		my $d = JSON::PP::decode_json($e->{detail});
		my $is = join ' ', @$r{qw(seed_number seed_hash nonce)}, $json->encode(JSON::PP::decode_json($r->{outcome}));
		my $should = join ' ', @$d{qw(seed_number seed_hash nonce)}, $json->encode($d->{outcome});
		$checker->bad('D', "$e->{id} was told as '$is', the entry says '$should'") if $is ne $should;
	}
	return;
}

1;
