# Judges a finished history: what the log acknowledged against what stands in
# the tables, by the rules of doc/ written down once more.  It calls nothing of
# the extension.
#
# I1 one entry per change, gapless   I2 balances         I3 hash chain
# I4 one effect per key              I5 stock and caps   I6 statistics
# I7 events can be read again        E  errors that may not happen
# B  what is taken back, in Stress::Refunds      M  missions, in Stress::Missions
# D  draws, in Stress::Draws      F  what is fulfilled, in Stress::Fulfilment
# L  leaderboards and their prizes, in Stress::Leaderboards
# R  results that contradict the rules; those of items of the shop and of rewards in
#    Stress::Contents, of transfers in Stress::Transfers, of escrows in Stress::Escrows,
#    of rounds in Stress::Rounds;
#    reservations (I5) in Stress::Reservations
# O  orders of outside money, in Stress::Orders      N  seasons, in Stress::Seasons
package Stress::Checker;

use strict;
use warnings;
use Digest::SHA ();
use POSIX ();
use Stress::Contents;
use Stress::Daily;
use Stress::Draws;
use Stress::Escrows;
use Stress::Fulfilment;
use Stress::Leaderboards;
use Stress::Missions;
use Stress::Orders;
use Stress::Refunds;
use Stress::Reservations;
use Stress::Rounds;
use Stress::Seasons;
use Stress::Tables;
use Stress::Transfers;
use Stress::World;

my $ZERO_HASH = '0' x 64;
my $PG_EPOCH = 946684800;
my $LAST_SECOND = 253402300799;    # of the year 9999

# log: transactions from Stress::Log; tables: from Stress::Tables; and, where
# they were collected: events (id => times seen), replayed (user => seqs),
# held (rows of what each user was told to hold at a moment), findings (texts of the
# extension's own audit), deadlocks (they may happen),
# full (the disk was), ddl (a DBA adds columns)
sub new
{
	my ($class, %p) = @_;
	return bless { %p, violations => [] }, $class;
}

# The violations, as texts that begin with what is violated.
sub check
{
	my ($self) = @_;

	$self->index_tables;
	$self->index_log;
	$self->restore_pruned;
	$self->check_keys;
	$self->check_transactions;
	$self->check_streams;
	$self->check_holdings;
	$self->check_held;
	Stress::Contents::check($self);
	Stress::Draws::check($self);
	Stress::Transfers::check($self);
	Stress::Escrows::check($self);
	Stress::Rounds::check($self);
	Stress::Refunds::check($self);
	Stress::Missions::check($self);
	Stress::Seasons::check($self);
	Stress::Fulfilment::check($self);
	Stress::Leaderboards::check($self);
	$self->check_users;
	$self->check_signatures;
	$self->check_stock;
	$self->check_caps;
	$self->check_units;
	Stress::Reservations::check($self);
	Stress::Orders::check($self);
	$self->check_global_keys;
	$self->check_rounds;
	$self->check_statistics;
	$self->check_claims;
	$self->check_freezes;
	$self->check_reversals;
	$self->check_admin;
	$self->check_results;
	$self->check_errors;
	$self->check_events;
	$self->bad('A', "the audit found: $_") foreach @{ $self->{findings} // [] };
	return @{ $self->{violations} };
}

sub bad
{
	my ($self, $what, $text) = @_;
	push @{ $self->{violations} }, "$what $text";
	return;
}

sub index_tables
{
	my ($self) = @_;
	my $t = $self->{tables};

	$self->{account}{ $_->{user_id} } = $_ foreach @{ $t->{accounts} };
	$self->{user}{ $_->{user_id} } = $_ foreach @{ $t->{users} };
	$self->{by_key} = Stress::Tables::by_key($t);
	foreach my $e (@{ $t->{entries} })
	{
		my $others = $self->{stream}{ $e->{user_id} } //= {};
		$self->bad('I1', "user $e->{user_id} has two entries with seq $e->{seq}") if $others->{ $e->{seq} };
		$others->{ $e->{seq} } = $e;
	}
	return;
}

my %JOURNAL = (P => 'P', R => 'R', C => 'R', S => 'R', V => 'R', A => 'A', G => 'G', U => 'U', H => 'H', D => 'H', K => 'K', O => 'O', B => 'B', M => 'R', N => 'R');

# Every intent with what became of it: sure (acknowledged), maybe, or none.
sub index_log
{
	my ($self) = @_;

	foreach my $tx (@{ $self->{log} })
	{
		foreach my $op (grep { $_ } @{ $tx->{ops} })
		{
			my $fate = $tx->{outcome} eq 'aborted' || $op->{undone} || defined $op->{sqlstate} ? 'none'
			  : $tx->{outcome} eq 'committed' ? 'sure' : 'maybe';
			my $n = 0;

			$op->{fate} = $fate;
			# what is claimed with all is known from the answer alone
			if ($op->{fn} eq 'claim_all')
			{
				my ($user) = $op->{args} =~ /^(\d+)/;
				my @rows = grep { $_ && $_->{mission} } @{ $op->{results} };
				push @{ $self->{claims_of_all}{$user} }, { tx => $tx, op => $op, fate => $fate, intent => { kind => 'M', user => $user } } if !$op->{answered} && $fate eq 'maybe';
				$op->{intents} = [ map { { kind => 'M', user => $user, key => "economy:mission:$_->{mission}|$_->{period}" } } @rows ];
				$op->{results} = \@rows;
			}
			if ($op->{fn} eq 'claim_season')
			{
				my ($user, $name) = $op->{args} =~ /^(\d+), '(\w+)'/;
				my @rows = grep { $_ && $_->{tier} } @{ $op->{results} };
				push @{ $self->{claims_of_all}{$user} }, { tx => $tx, op => $op, fate => $fate, intent => { kind => 'N', user => $user } } if !$op->{answered} && $fate eq 'maybe';
				$op->{intents} = [ map { { kind => 'N', user => $user, key => "economy:season:$name|$_->{track}:$_->{tier}", items => (Stress::Seasons::reward_of($name, @$_{qw(track tier)}) // {})->{items} // '' } } @rows ];
				$op->{results} = \@rows;
			}
			foreach my $intent (@{ $op->{intents} })
			{
				my $result = $op->{answered} || @{ $op->{results} } ? $op->{results}[$n] : undef;
				$n++;
				$self->index_attempt({ tx => $tx, op => $op, intent => $intent, result => $result, fate => $fate });
			}
		}
	}
	return;
}

sub index_attempt
{
	my ($self, $a) = @_;
	my ($intent, $result) = @$a{qw(intent result)};
	my $key = $intent->{key};

	if ($intent->{kind} eq 'C')
	{
		# a claim's key is its date, known from the answer alone
		push @{ $self->{claims_without_answer}{ $intent->{user} } }, $a if !$result && $a->{fate} eq 'maybe';
		return unless $result && $result->{claim_date};
		# claimed again after it was given back, it has another name
		my ($seq) = $result->{transaction_id} =~ /-(\d+)$/;
		my $e = $self->{stream}{ $intent->{user} }{$seq};
		# of a date to which the streak was set, the answer is that correction
		if ($e && ($e->{source} // '') =~ /^economy:(?:daily_streak|set_streak)$/) { $key = $e->{key} }
		else { $key .= $result->{claim_date} }
	}
	push @{ $self->{attempts}{"$JOURNAL{$intent->{kind}} $intent->{user} $key"} }, $a;
	return;
}

# Pruned actions are gone from the journal.  Their keys and seqs are kept, and
# the log still knows the rest.
sub restore_pruned
{
	my ($self) = @_;
	my %pruned = map { ("$_->{user_id} $_->{key}" => $_) } @{ $self->{tables}{pruned_actions} };
	my %committed = map { ($_->{xact} => 1) } @{ $self->{tables}{entries} };
	my %day = map { my $r = $_; map { ("$r->{user_id} $r->{game} $r->{day} $_->[0]" => 1) } grep { $r->{ $_->[1] } } [ 1, 'wins' ], [ -1, 'losses' ], [ 0, 'draws' ] }
	  @{ $self->{tables}{pruned_stats} };

	foreach my $key (grep { /^A/ } keys %{ $self->{attempts} })
	{
		my ($user, $game, $id) = $key =~ /^A (\d+) ([^|]+)\|(.*)/;
		my $row = delete $pruned{"$user " . action_key($game, $id)} or next;
		my $name = "A$user-$row->{seq}";
		my @makers = grep { $_->{fate} eq 'sure' && $_->{result} && $_->{result}{state} eq 'new' && $_->{result}{transaction_id} eq $name } @{ $self->{attempts}{$key} };

		# without an acknowledged maker it is one of those without an answer; a
		# retry of one that was rolled back has its seq, and so its name
		@makers = likeliest(\%committed, grep { $_->{fate} eq 'maybe' && fits_name($_, $name) } @{ $self->{attempts}{$key} }) unless @makers;
		# of several the one that can have been pruned of its day
		@makers = sort { ($day{ day_of($b, $user, $game) } // 0) <=> ($day{ day_of($a, $user, $game) } // 0) } @makers if @makers > 1;
		$self->bad('I4', "key '$key' was pruned and is there again") if $self->{by_key}{$key};
		if (@makers) { $self->restore($key, $user, $row->{seq}, @makers) }
		else { $self->bad('I4', "nobody was answered for $name, which was pruned") }
	}
	$self->bad('I4', "the pruned action of $_ is in no log") foreach sort keys %pruned;
	return;
}

sub day_of
{
	my ($maker, $user, $game) = @_;
	my $intent = $maker->{intent};
	return "$user $game " . POSIX::strftime('%Y-%m-%d', gmtime $maker->{tx}{clock}) . ' ' . ($intent->{win} <=> $intent->{bet});
}

sub fits_name
{
	my ($a, $name) = @_;
	my $r = $a->{result} or return 1;
	return $r->{state} eq 'new' && $r->{transaction_id} eq $name;
}

# Whose transaction left other entries made this one too; else who was told its
# name comes before who was told nothing.
sub likeliest
{
	my ($committed, @makers) = @_;
	my @named = grep { $_->{result} } @makers;
	my @proven = grep { $committed->{ $_->{result}{xact} // '' } } @named;

	return @proven ? @proven : (@named, grep { !$_->{result} } @makers);
}

# Half a SHA-256 over the encoding of game and action id.
sub action_key
{
	my ($game, $id) = @_;
	my $text = "\0" x 32 . "\x01K" . join '', map { "\x02" . pack('N', length $_) . $_ } $game, $id;
	return substr Digest::SHA::sha256_hex($text), 0, 32;
}

sub restore
{
	my ($self, $key, $user, $seq, $maker, @others) = @_;
	my ($intent, $result) = @$maker{qw(intent result)};
	my ($game) = split /\|/, $intent->{key};
	my $known = $result && !@others;
	my $e = {
		journal => 'A', pruned => 1, user_id => $user, seq => $seq, id => "A$user-$seq", key => $intent->{key},
		gold_delta => $intent->{win} - $intent->{bet}, xp_delta => $intent->{xp} // 0, game => $game,
		bet => $intent->{bet}, win => $intent->{win}, action_type => $intent->{type},
		outcome => $intent->{win} > $intent->{bet} ? 'win' : $intent->{win} < $intent->{bet} ? 'loss' : 'draw',
		xact => $known ? $result->{xact} : undef,
		gold => $known ? $result->{gold} : undef,
		created_at => 1e6 * ($maker->{tx}{clock} - $PG_EPOCH) };

	$self->bad('I1', "user $user has an entry with the seq $seq of a pruned one") if $self->{stream}{$user}{$seq};
	$self->{stream}{$user}{$seq} = $e;
	$self->{by_key}{$key} = [$e];
	return;
}

# I4: one effect per key, every acknowledged one there, none that nobody asked for.
sub check_keys
{
	my ($self) = @_;
	my %keys = map { $_ => 1 } keys %{ $self->{attempts} }, keys %{ $self->{by_key} };

	foreach my $key (sort keys %keys)
	{
		my @entries = @{ $self->{by_key}{$key} // [] };
		my @attempts = @{ $self->{attempts}{$key} // [] };
		my @new = grep { $_->{fate} eq 'sure' && $_->{result} && $_->{result}{state} eq 'new' } @attempts;

		next if $key =~ /\bopening$/;    # made before the log began
		next if $key =~ /^K /;    # Stress::Reservations
		next if $key =~ /^O |^B \d+ \S+\|order [0-9a-f-]{36}$/ || $key =~ /^P \d+ (\w+)\|/ && Stress::Orders::is_settled($1);    # Stress::Orders
		next if $key =~ /^H \d+ (?:transfer_in|escrow_close|escrow_in|debt)\|/;    # Stress::Transfers, Stress::Escrows, Stress::Refunds
		next if $key =~ /^R \d+ economy:leaderboard\|/;    # Stress::Leaderboards
		$self->bad('I4', "key '$key' has " . @entries . ' effects') if @entries > 1;
		$self->bad('I4', "key '$key' was acknowledged as new " . @new . ' times') if @new > 1;
		if (@new && !@entries) { $self->bad('I4', "key '$key' was acknowledged in $new[0]{tx}{tx} and is lost") }
		elsif (@new) { $self->compare($key, $entries[0], $new[0]) }
		elsif (@entries) { $self->explain($key, $entries[0], @attempts) }
		$self->check_answers($key, $entries[0], @attempts);
	}
	return;
}

# An acknowledged entry is what the answer said, for the operation that asked.
sub compare
{
	my ($self, $key, $e, $a) = @_;
	my ($intent, $r) = @$a{qw(intent result)};

	foreach my $field (qw(gold_delta xp_delta gold experience_points xact))
	{
		$self->bad('I4', "key '$key': $field was acknowledged as $r->{$field}, the entry has " . ($e->{$field} // 'null'))
		  if defined $r->{$field} && defined $e->{$field} && $r->{$field} != $e->{$field};
	}
	$self->check_given($key, $e, $a) unless $intent->{kind} eq 'B';
	Stress::Contents::check_moment($self, $key, $e, $a) if $intent->{kind} eq 'P';
	Stress::Contents::check_asked($self, $key, $e, $a) if $intent->{kind} eq 'V';
	Stress::Refunds::check_asked($self, $key, $e, $a) if $intent->{kind} eq 'B';
	Stress::Daily::check_moment($self, $key, $e, $a) if $intent->{kind} eq 'C';
	$self->bad('I4', "key '$key': items were acknowledged as " . ($r->{items} // 'none') . ", the entry has " . ($e->{items} // 'none'))
	  if ($r->{items} // '') ne ($e->{items} // '');
	$self->bad('I4', "key '$key' was acknowledged as $r->{transaction_id}, the entry is $e->{id}") if $r->{transaction_id} ne $e->{id};
	$self->bad('I4', "key '$key': the entry is not what $a->{tx}{tx} asked for") unless payload_fits($intent, $e);
	$self->bad('I1', "key '$key': created_at is not the clock of $a->{tx}{tx}")
	  unless $e->{created_at} == 1e6 * ($a->{tx}{clock} - $PG_EPOCH);
	return;
}

sub payload_fits
{
	my ($intent, $e) = @_;
	my $kind = $intent->{kind};

	return $e->{quantity} == $intent->{quantity} && ($e->{context} // '') eq ($intent->{context} // '') if $kind eq 'P';
	return $e->{gold_delta} == $intent->{gold} && $e->{xp_delta} == $intent->{xp} && $intent->{items} eq Stress::Contents::moved_by($e) if $kind eq 'R';
	return !defined $intent->{gold} || $e->{gold_delta} == $intent->{gold} && $e->{xp_delta} == $intent->{xp} && $intent->{items} eq Stress::Contents::moved_by($e) if $kind eq 'N';
	return $e->{gold_delta} == $intent->{gold} && $e->{xp_delta} == 0 if $kind eq 'G';
	return ($e->{asked} // '') eq ($intent->{asked} // '') if $kind eq 'B';
	return $e->{bet} == $intent->{bet} && $e->{win} == $intent->{win} && $e->{xp_delta} == ($intent->{xp} // 0)
	  && $e->{gold_delta} == $e->{win} - $e->{bet} && ($intent->{of_round} || $e->{action_type} eq $intent->{type}) if $kind eq 'A';
	return $e->{streak_day} == $intent->{day} && ($e->{claim_date} // '') eq $intent->{last} if $kind eq 'S';
	return $e->{gold_delta} == $intent->{gold} && $e->{xp_delta} == 0 && $e->{reason} eq $intent->{reason}
	  && ($e->{context} // '') eq ($intent->{context} // '')
	  && $intent->{items} eq Stress::Contents::moved_by($e)
	  && (!$intent->{to} || $intent->{held} || ($e->{detail} // '') eq said_of_transfer($e, $intent)) if $kind eq 'H';
	return $e->{reason} eq $intent->{reason} && ($e->{context} // '') eq ($intent->{context} // '') && $e->{detail} =~ /"client_seed": "\Q$intent->{seed}\E"/ if $kind eq 'D';
	return ($e->{after} // '') eq $intent->{after} if $kind eq 'U' && defined $intent->{after};
	return patched($e->{before}, $intent) eq $e->{after} if $kind eq 'U';
	return 1;
}

# The items of an entry, each with what was added and the balance after it.
sub carried
{
	my ($e) = @_;
	my @carried;

	return unless defined $e->{items};
	push @carried, [ $1, $2, $3 ] while $e->{items} =~ /\{"item": "([^"]+)", "delta": (-?\d+), "balance": (-?\d+)\}/g;
	return @carried;
}

sub items_carried
{
	my ($e, $sign) = @_;
	return join ' ', map { "$_->[0]:" . $_->[1] * ($sign // 1) } sort { $a->[0] cmp $b->[0] } carried($e);
}

# As jsonb writes it: short names first.
sub said_of_transfer
{
	my ($e, $intent) = @_;
	my $fee = POSIX::ceil($intent->{sent} * $Stress::World::FEE / 1000);
	my $note = defined $intent->{note} ? qq(, "note": "$intent->{note}") : '';
	return qq({"to": $intent->{to}, "fee": $fee, "gold": $intent->{sent}$note, "transfer": "$e->{id}"});
}

# Profiles of flat members with numbers, as jsonb writes them: short names first.
sub patched
{
	my ($profile, $intent) = @_;
	my %members = $profile =~ /"(\w+)": (\d+)/g;

	delete $members{ $intent->{member} };
	$members{ $intent->{member} } = $intent->{value} if $intent->{value} ne 'null';
	return '{' . join(', ', map { qq("$_": $members{$_}) } sort { length $a <=> length $b || $a cmp $b } keys %members) . '}';
}

# An entry without an acknowledged "new" was made by a call without an answer.
sub explain
{
	my ($self, $key, $e, @attempts) = @_;
	push @attempts, @{ $self->{claims_without_answer}{ $e->{user_id} } // [] } if $key =~ /^R \d+ economy:daily_streak\|/;
	push @attempts, @{ $self->{claims_of_all}{ $e->{user_id} } // [] } if $key =~ /^R \d+ economy:(?:mission|season):/;
	return if $key =~ /^R \d+ economy:season:/ && Stress::Seasons::may_be_of_job($self, $e);

	foreach my $a (@attempts)
	{
		next if $a->{fate} ne 'maybe' || !payload_fits($a->{intent}, $e);
		next if $e->{created_at} != 1e6 * ($a->{tx}{clock} - $PG_EPOCH);
		my $r = $a->{result} or return;
		next if defined $e->{xact} && defined $r->{xact} && $r->{xact} != $e->{xact};
		return if $r->{state} eq 'new' && $r->{transaction_id} eq $e->{id};
	}
	$self->bad('I4', "key '$key': nobody was answered for $e->{id}, and no call without an answer made it");
	return;
}

# The other answers for the key agree with the entry.
sub check_answers
{
	my ($self, $key, $e, @attempts) = @_;
	my %touched;    # transactions that had an effect of the key and took it back

	$touched{ $_->{tx}{tx} } = 1 foreach grep { $_->{fate} eq 'none' || $_->{fate} eq 'maybe' } @attempts;
	foreach my $a (grep { $_->{fate} eq 'sure' && $_->{result} } @attempts)
	{
		my ($r, $intent) = @$a{qw(result intent)};
		my $state = $r->{state} . ' ' . ($r->{code} // '');

		next if $touched{ $a->{tx}{tx} };
		if ($state eq 'refused CAPTURE')
		{
			# a pruned action's row is taken for what it is, a repetition
			$self->bad('I4', "key '$key' was captured in $a->{tx}{tx}, but is neither recorded nor reported")
			  unless ($e && $e->{pruned}) || ($intent->{policy} eq 'report' && $self->was_refused($intent));
		}
		elsif ($r->{state} eq 'reuse')
		{
			$self->bad('I4', "key '$key' was answered reuse $r->{transaction_id}, the entry is " . ($e ? $e->{id} : 'not there'))
			  unless $e && $e->{id} eq $r->{transaction_id}
			  && ($e->{journal} eq 'U' || $intent->{kind} eq 'S' || $e->{gold_delta} == $r->{gold_delta} && (!defined $e->{gold} || $e->{gold} == $r->{gold}))
			  && ($e->{items} // '') eq ($r->{items} // '');
			$self->bad('I4', "key '$key' was answered reuse in $a->{tx}{tx}, which asked for something else")
			  if $e && !payload_fits($intent, $e);
		}
		elsif ($state eq 'refused IDEMPOTENCY_MISMATCH')
		{
			my $differs = $e && ($intent->{kind} eq 'V' || !payload_fits($intent, $e));
			$self->bad('I4', "key '$key' was refused as a mismatch in $a->{tx}{tx} without one") unless $differs;
		}
	}
	return;
}

sub was_refused
{
	my ($self, $intent) = @_;
	my ($game, $id) = split /\|/, $intent->{key}, 2;
	$self->{refusals} //= { map { ("$_->{user_id} $_->{game} $_->{action_id}" => 1) } @{ $self->{tables}{capture_refusals} } };
	return $self->{refusals}{"$intent->{user} $game $id"};
}

# A transaction without an answer to its COMMIT has all of its effects or none.
sub check_transactions
{
	my ($self) = @_;
	my %made;

	foreach my $key (grep { !/^[KO] / } keys %{ $self->{attempts} })
	{
		foreach my $a (@{ $self->{attempts}{$key} })
		{
			my $r = $a->{result};
			next unless $a->{fate} eq 'maybe' && $r && ($r->{state} // '') eq 'new';
			my $e = ($self->{by_key}{$key} // [])->[0];
			next if $e && !defined $e->{xact};    # pruned, and nobody knows whose it was
			my $is_there = $e && $e->{id} eq $r->{transaction_id} && $e->{xact} == $r->{xact};
			push @{ $made{ $a->{tx}{tx} }[ $is_there ? 1 : 0 ] }, $r->{transaction_id};
		}
	}
	foreach my $tx (sort grep { $made{$_}[0] && $made{$_}[1] } keys %made)
	{
		$self->bad('I4', "transaction $tx is half done: @{ $made{$tx}[1] } are there, @{ $made{$tx}[0] } are not");
	}
	return;
}

# I1, I2, I3
sub check_streams
{
	my ($self) = @_;
	my %users = map { $_ => 1 } keys %{ $self->{stream} }, keys %{ $self->{account} };

	foreach my $user (sort { $a <=> $b } keys %users)
	{
		my $account = $self->{account}{$user};
		if (!$account) { $self->bad('I1', "user $user has entries and no account"); next }
		$self->check_stream($user, $account, $self->{stream}{$user} // {});
	}
	return;
}

sub check_stream
{
	my ($self, $user, $account, $stream) = @_;
	my ($gold, $xp, $hash) = (0, 0, $self->first_hash($user));

	$self->bad('I1', "user $user has entries after the account's seq $account->{seq}") if grep { $_ > $account->{seq} } keys %$stream;
	foreach my $seq (1 .. $account->{seq})
	{
		my $e = $stream->{$seq};
		if (!$e)
		{
			$self->bad('I1', "user $user lacks the entry with seq $seq");
			($gold, $xp, $hash) = (undef, undef, undef);
			next;
		}
		$gold = $self->next_balance($e, 'gold', $gold);
		$xp = $self->next_balance($e, 'experience_points', $xp, 'xp_delta');
		$hash = $self->next_hash($e, $hash, $account->{pruned_seq});
	}
	foreach my $field ([ gold => $gold ], [ experience_points => $xp ], [ head_hash => $hash ])
	{
		my ($name, $value) = @$field;
		$self->bad($name eq 'head_hash' ? 'I3' : 'I2', "account $user: $name is $account->{$name}, its newest entry has $value")
		  if defined $value && $value ne $account->{$name};
	}
	return;
}

# I2 of items: each user's balances follow from one another, and what is held is what
# the newest entries say.
sub check_holdings
{
	my ($self) = @_;
	my %rows;

	foreach my $row (@{ $self->{tables}{user_holdings} })
	{
		my $others = $rows{ $row->{user_id} } //= {};
		$self->bad('I2', "user $row->{user_id} holds $row->{item_id} twice") if $others->{ $row->{item_id} };
		$others->{ $row->{item_id} } = $row;
	}
	foreach my $user (sort { $a <=> $b } keys %{ { %rows, %{ $self->{stream} } } })
	{
		my $stream = $self->{stream}{$user} // {};
		my $held = $self->{held_by}{$user} = { balance => {} };

		$self->follow_holdings($held, $stream->{$_}) foreach sort { $a <=> $b } grep { $stream->{$_}{journal} eq 'H' || defined $stream->{$_}{items} || defined $stream->{$_}{reverses} || $stream->{$_}{freezes_used} } keys %$stream;
		$self->compare_holdings($user, $held, $rows{$user} // {});
	}
	return;
}

sub follow_holdings
{
	my ($self, $held, $e) = @_;
	my $second = POSIX::ceil($e->{created_at} / 1e6) + $PG_EPOCH;
	my @carried = carried($e);

	$self->check_shape($e, @carried) if $e->{journal} eq 'H';
	# what a claim uses, or gives back, moves before its items do
	$held->{balance}{streak_freeze} = ($held->{balance}{streak_freeze} // 0) - $e->{freezes_used} if $e->{freezes_used};
	$self->{there}{ $e->{id} } = there_before($held, $second) if defined $e->{reverses};
	foreach my $one (@carried)
	{
		my ($id, $delta, $balance) = @$one;
		my $before = $held->{balance}{$id} // 0;
		my $begins = Stress::World::is_pass($id) && $before < $second ? $second : $before;

		$self->bad('I2', "$e->{id}: $id is $balance after $before and a change of $delta") if $balance != $begins + $delta;
		$self->bad('I2', "$e->{id}: $id $balance is out of range") if $balance < 0 || $balance > $Stress::World::MAX_AMOUNT;
		$self->check_carried($e, $second, @$one);
		$held->{balance}{$id} = $balance;
		$held->{was}{$id}{$balance} = 1;
	}
	$held->{was}{streak_freeze}{ $held->{balance}{streak_freeze} } = 1 if $e->{freezes_used};
	return;
}

sub check_shape
{
	my ($self, $e, @carried) = @_;
	my %sign = map { ($_->[1] <=> 0) => 1 } @carried;
	# what a draw gives, Stress::Draws says
	my $shape = $e->{operation} eq 'draw' ? 'grant 0 1 1' : join ' ', $e->{operation}, $e->{gold_delta} <=> 0, @carried > 1 ? 'many' : scalar @carried, sort keys %sign;

	$self->bad('R', "$e->{id}: no entry of a change of holdings is '$shape'")
	  unless $shape =~ /^(?:grant 0 (?:1|many) 1|consume 0 1 -1|debt -1 0|spend -1 0|spend -?[01] (?:1|many) -1|transfer_out -1 0|transfer_out -?[01] (?:1|many) -1|transfer_in 1 0|transfer_in [01] (?:1|many) 1|escrow_hold -1 0|escrow_hold -?[01] (?:1|many) -1|escrow_in 1 0|escrow_in [01] (?:1|many) 1|round_open -1 0|escrow_close [01] 0|escrow_close [01] (?:1|many) 1)$/
	  && ($e->{gold_delta} <= 0 || $e->{operation} =~ /^(?:draw|transfer_in|escrow_in|escrow_close)$/) && ($e->{xp_delta} == 0 || $e->{operation} eq 'draw');
	return;
}

# What a reversal finds: units, of a pass the time that is left.
sub there_before
{
	my ($held, $second) = @_;
	my %there;

	foreach my $id (keys %Stress::World::ITEMS)
	{
		my $balance = $held->{balance}{$id} // 0;
		$there{$id} = !Stress::World::is_pass($id) ? $balance : $balance > $second ? $balance - $second : 0;
	}
	return \%there;
}

# What the catalogue allows.
sub check_carried
{
	my ($self, $e, $second, $id, $delta, $balance) = @_;
	my $item = $Stress::World::ITEMS{$id};

	return $self->bad('R', "$e->{id}: there is no item $id") unless $item;
	# a reversal takes back what was given, also what is kept; an escrow gives back above the maximum
	return if defined $e->{reverses} || ($e->{operation} // '') eq 'escrow_close';
	return $self->check_taken($e, $id) if $delta < 0;
	my ($most) = sort { $b <=> $a } $self->most_of($id, $second);
	my $has = $balance - ($item->{kind} eq 'pass' ? $second : 0);
	$self->bad('R', "$e->{id}: $has of $id were given, at most $most are allowed") if $has > $most;
	return;
}

sub check_taken
{
	my ($self, $e, $id) = @_;
	my $is_transfer = ($e->{operation} // '') =~ /^(?:transfer_out|escrow_hold)$/;
	$self->bad('R', "$e->{id}: $id was taken, which is kept") unless $is_transfer ? is_tradable($id) : is_consumable($id);
	return;
}

sub is_tradable
{
	my ($id) = @_;
	my $item = $Stress::World::ITEMS{$id} // {};
	return ($item->{kind} // '') ne 'pass' && ($item->{tradable} // 'false') eq 'true';
}

sub is_consumable
{
	my ($id) = @_;
	my $item = $Stress::World::ITEMS{$id} // {};
	return ($item->{kind} // '') ne 'pass' && ($item->{consumable} // 'true') eq 'true';
}

# What the maximum of an item was, at one time or another; no pass goes beyond the year 9999.
sub most_of
{
	my ($self, $id, $second) = @_;
	my $item = $Stress::World::ITEMS{$id};
	my $most = $item->{maximum} // $Stress::World::MAX_AMOUNT;

	return map { $_->{maximum} } $self->states_of($id) if $item->{varies};
	return $item->{kind} eq 'pass' && $most > $LAST_SECOND - $second ? $LAST_SECOND - $second : $most;
}

# What an item was said to be, from when on it may have been so, and by when it was surely.
sub states_of
{
	my ($self, $id) = @_;

	return @{ $self->{states}{$id} } if $self->{states}{$id};
	my @states = { maximum => $Stress::World::ITEMS{$id}{maximum}, active => 1, from => 0, by => 0 };
	foreach my $tx (@{ $self->{log} })
	{
		foreach my $op (grep { $_ && $_->{fn} eq 'upsert_item' && $_->{fate} ne 'none' && $_->{args} =~ /"\Q$id\E"/ } @{ $tx->{ops} })
		{
			my ($maximum) = $op->{args} =~ /"maximum": (\d+)/;
			push @states, { maximum => $maximum, active => $op->{args} =~ /"active": true/ ? 1 : 0, from => $op->{at}, by => $op->{fate} eq 'sure' ? $tx->{ended} : undef };
		}
	}
	$self->{states}{$id} = \@states;
	return @states;
}

# What it may have been at a moment of a call: not what comes later, nor what was
# surely something else before.
sub states_during
{
	my ($self, $id, $op) = @_;
	return () unless ($Stress::World::ITEMS{$id} // {})->{varies};
	return at_moment($op, $self->states_of($id));
}

sub at_moment
{
	my ($op, @states) = @_;
	my @over = grep { defined $_->{by} && $_->{by} < $op->{at} } @states;

	return grep { my $s = $_; $s->{from} <= $op->{done} && !grep { defined $s->{by} && $_->{from} > $s->{by} } @over } @states;
}

# An item that changes was given as it was at a moment of the call.
sub check_given
{
	my ($self, $key, $e, $a) = @_;

	foreach my $one (grep { $_->[1] > 0 && ($Stress::World::ITEMS{ $_->[0] } // {})->{varies} } carried($e))
	{
		my ($id, $delta, $balance) = @$one;
		$self->bad('R', "key '$key': $balance of $id were given in $a->{tx}{tx}, when it was not so")
		  unless grep { $_->{active} && $balance <= $_->{maximum} } $self->states_during($id, $a->{op});
	}
	return;
}

sub compare_holdings
{
	my ($self, $user, $held, $rows) = @_;
	my %items = map { $_ => 1 } keys %$rows, keys %{ $held->{balance} };

	foreach my $id (sort keys %items)
	{
		my ($row, $balance) = ($rows->{$id}, $held->{balance}{$id});
		my $is = $row ? $row->{balance} : 0;

		$self->bad('I2', "user $user holds $is of $id, the entries say " . ($balance // 'nothing'))
		  unless defined $balance && $is == $balance;
		$self->bad('I2', "user $user holds $id as what it is not") if $row && $row->{is_pass} != (Stress::World::is_pass($id) ? 1 : 0);
	}
	return;
}

# What users are told to hold is what they hold at that moment.
sub check_held
{
	my ($self) = @_;
	my $held = $self->{held} or return;
	my (%told, %expected);

	foreach my $row (@$held)
	{
		$told{"$row->{user_id} $row->{item_id}"} = $row->{balance};
		$self->bad('R', "user $row->{user_id} was told to hold $row->{balance} of $row->{item_id}, and another thing by holds()") unless $row->{agrees};
	}
	foreach my $user (keys %{ $self->{held_by} })
	{
		my $balance = $self->{held_by}{$user}{balance};
		$expected{"$user $_"} = $balance->{$_} foreach grep { $balance->{$_} > (Stress::World::is_pass($_) ? $Stress::World::END : 0) } keys %$balance;
	}
	foreach my $of (sort keys %{ { %told, %expected } })
	{
		my ($is, $should) = map { $_->{$of} // 0 } \%told, \%expected;
		$self->bad('R', "user and item $of: told to hold $is, the entries say $should") if $is != $should;
	}
	return;
}

# A chain begins with who the user was at registration.
sub first_hash
{
	my ($self, $user) = @_;
	my $now = $self->{user}{$user} or return;
	my %was = map { ($_ => $now->{$_}) } qw(external_id timezone);

	foreach my $e (reverse $self->changes($user))
	{
		$was{ $e->{field} } = $e->{before} if exists $was{ $e->{field} };
	}
	return Digest::SHA::sha256_hex(pack('H*', $ZERO_HASH) . "\x01I" . number($user) . text($was{external_id}) . text($was{timezone}) . number($now->{created_at}));
}

# What was changed about a user, in order.
sub changes
{
	my ($self, $user) = @_;
	my $stream = $self->{stream}{$user} // {};
	return map { $stream->{$_} } sort { $a <=> $b } grep { $stream->{$_}{journal} eq 'U' } keys %$stream;
}

# A user is what the newest change says.
sub check_users
{
	my ($self) = @_;

	foreach my $user (sort { $a <=> $b } keys %{ $self->{user} })
	{
		my $account = $self->{account}{$user} or next;
		my %is = (%{ $self->{user}{$user} }, status => $account->{suspended} ? 'suspended' : 'active');
		my %last = map { ($_->{field} => $_) } $self->changes($user);

		$last{status} //= { after => 'active' };
		foreach my $field (sort keys %last)
		{
			my ($now, $said) = map { $_ // 'null' } $is{$field}, $last{$field}{after};
			$self->bad('R', "user $user: $field is $now, the last change says $said") if $now ne $said;
		}
	}
	return;
}

sub next_balance
{
	my ($self, $e, $name, $before, $delta_name) = @_;
	my $delta = $e->{ $delta_name // 'gold_delta' };
	my $after = $e->{$name} // (defined $before ? $before + $delta : undef);

	return unless defined $after;
	$self->bad('I2', "$e->{id}: $name is $after after $before and a change of $delta") if defined $before && $before + $delta != $after;
	$self->bad('I2', "$e->{id}: $name $after is out of range") if $after < 0 || $after > $Stress::World::MAX_AMOUNT;
	return $after;
}

# The hash, where both the entry and the one before it are still there.
sub next_hash
{
	my ($self, $e, $before, $pruned_seq) = @_;

	$self->bad('I1', "$e->{id} has left its journal, but only entries before $pruned_seq may") if ($e->{pruned} || $e->{archived}) && $e->{seq} >= $pruned_seq;
	return if $e->{pruned};
	$self->bad('I3', "$e->{id}: the hash is not that of the entry after the one before")
	  if defined $before && entry_hash($e, $before) ne $e->{hash};
	return $e->{hash};
}

# The encoding of doc/concepts.md, version 1.
sub entry_hash
{
	my ($e, $before) = @_;
	my $text = "\x01$e->{journal}";

	$text .= number($e->{$_}) foreach qw(user_id seq gold_delta xp_delta gold experience_points created_at xact position live);
	foreach my $field (@{ $Stress::Tables::FIELDS{ $e->{journal} } })
	{
		my $value = $e->{$field};
		# they came later: where there are none, there is no such field
		last if $field eq 'items' && $e->{journal} =~ /^[PR]$/ && !defined $value;
		$text .= !defined $value ? "\0" : $Stress::Tables::NUMBERS{$field} ? number($value) : text($value);
	}
	return Digest::SHA::sha256_hex(pack('H*', $before) . $text);
}

sub number { return "\x01" . pack 'q>', $_[0] }
sub text { return defined $_[0] ? "\x02" . pack('N', length $_[0]) . $_[0] : "\0" }

sub check_signatures
{
	my ($self) = @_;
	my %keys = map { ($_->{version} => $_) } @{ $self->{tables}{signing_keys} };

	foreach my $e (grep { $_->{journal} eq 'P' } @{ $self->{tables}{entries} })
	{
		my $key = $keys{ $e->{receipt_signature_version} };
		if (!$key) { $self->bad('I3', "$e->{id} is signed with a key that is not there"); next }
		next if $key->{state} eq 'retired';
		$self->bad('I3', "$e->{id}: the signature is wrong")
		  if Digest::SHA::hmac_sha256_hex(pack('H*', $e->{hash}), pack('H*', $key->{material})) ne $e->{receipt_signature};
	}
	$self->bad('R', 'there is not one active signing key')
	  if %keys && 1 != grep { $_->{state} eq 'active' } values %keys;
	return;
}

# I5: issued = sold + left + held for somebody
sub check_stock
{
	my ($self) = @_;
	my (%issued, %left, %sold);
	my %held = Stress::Orders::held($self);

	foreach my $change (grep { $_->{action} eq 'stock' } @{ $self->{tables}{shop_product_changes} })
	{
		$issued{ $change->{product_id} } += $change->{units};
	}
	foreach my $slot (@{ $self->{tables}{shop_stock} })
	{
		$left{ $slot->{product_id} } += $slot->{remaining};
		$self->bad('I5', "$slot->{product_id}: slot $slot->{slot} holds $slot->{remaining}") if $slot->{remaining} < 0;
	}
	foreach my $e (grep { $_->{journal} eq 'P' } @{ $self->{tables}{entries} })
	{
		$sold{ $e->{product_id} } += $e->{quantity};
		$sold{ $e->{product_id} } -= $_->{restocked} foreach Stress::Refunds::refunds_of($self, $e->{id});
		$self->bad('I5', "$e->{id}: stock_slot says the opposite of the product")
		  if defined $e->{stock_slot} != defined $Stress::World::PRODUCTS{ $e->{product_id} }{stock};
	}
	$held{ $_->{product_id} } += $_->{quantity} foreach grep { $_->{state} eq 'held' } @{ $self->{tables}{shop_reservations} };
	foreach my $product (grep { $Stress::World::PRODUCTS{$_}{stock} } sort keys %Stress::World::PRODUCTS)
	{
		my ($in, $out, $rest, $kept) = map { $_->{$product} // 0 } \%issued, \%sold, \%left, \%held;
		$self->bad('I5', "$product: $in units were issued, $out are sold and not back, $rest left and $kept held") if $in != $out + $rest + $kept;
	}
	return;
}

# Nobody ever had more than the limit of what was not taken back by then.
sub check_caps
{
	my ($self) = @_;
	my %most;

	foreach my $stream (values %{ $self->{stream} })
	{
		my (%units, %place);
		foreach my $e (map { $stream->{$_} } sort { $a <=> $b } grep { $stream->{$_}{journal} =~ /^[BP]$/ } keys %$stream)
		{
			my $place = $e->{journal} eq 'P' ? place_of($e->{user_id}, $e->{product_id}, $e->{created_at} / 1e6 + $PG_EPOCH) : $place{ $e->{reverses} } // next;
			$units{$place} += $e->{journal} eq 'P' ? $e->{quantity} : -$e->{quantity};
			next if $e->{journal} eq 'B';
			$place{ $e->{seq} } = $place;
			$most{$place} = $units{$place} if $units{$place} > ($most{$place} // 0);
			push @{ $self->{bought}{$place} }, $e;
		}
	}
	foreach my $place (sort keys %most)
	{
		my ($user, $product, $period) = split / /, $place, 3;
		my $limit = limit_of($product);
		next if Stress::Orders::is_settled($product);    # what is paid late is given beyond it
		$self->bad('I5', "user $user bought $most{$place} of $product in the period '$period', at most $limit are allowed") if defined $limit && $most{$place} > $limit;
	}
	return;
}

# When the call that made an entry began, and by when it was surely there.
sub span_of
{
	my ($self, $e) = @_;
	my ($call) = grep { $_->{fate} eq 'sure' && $_->{result} && ($_->{result}{state} // '') eq 'new' } @{ $self->{attempts}{"$e->{journal} $e->{user_id} $e->{key}"} // [] };
	return $call ? { from => $call->{op}{at}, by => $call->{tx}{ended} } : { from => 0, by => 9e99 };
}

# The most units of a product that a user can have had in a period at a moment of a call: all that may
# have been bought by then, less what was surely taken back.
sub units_during
{
	my ($self, $user, $product, $clock, $op) = @_;
	my $units = 0;

	foreach my $e (@{ $self->{bought}{ place_of($user, $product, $clock) } // [] })
	{
		next if $self->span_of($e)->{from} > $op->{done};
		$units += $e->{quantity};
		$units -= $_->{quantity} foreach grep { $self->span_of($_)->{by} < $op->{at} } Stress::Refunds::refunds_of($self, $e->{id});
	}
	return $units;
}

# I6: units of what has a limit, in the account or in rows, are those of the entries that were not
# taken back.  A period's are 0 when it is over and left out; none are kept of who bought before a limit.
sub check_units
{
	my ($self) = @_;
	my %kept = map { ("$_->{user_id} $_->{product_id}" => $_) } @{ $self->{tables}{shop_user_units} };
	my $left = $self->left_units;

	foreach my $of (sort keys %{ { %kept, %$left } })
	{
		my ($row, $of_it) = ($kept{$of}, $left->{$of} // { units => {} });
		my ($user, $product) = split / /, $of, 2;
		my $last = $of_it->{last};
		my %sum = map { ($_ => 0) } qw(ever day week month);

		if (!$row)
		{
			$self->bad('I6', "units of $of are kept nowhere") if defined $last && ($Stress::World::PRODUCTS{$product} // {})->{per_user_limit};
			next;
		}
		foreach my $day (defined $last ? keys %{ $of_it->{units} } : ())
		{
			$sum{$_} += $of_it->{units}{$day} foreach grep { Stress::World::number_of($_, $day) eq Stress::World::number_of($_, $last) } keys %sum;
		}
		$sum{$_} = 0 foreach grep { $row->{"${_}_units"} == 0 } qw(day week month);
		my $is = join ' ', @$row{qw(units day_units week_units month_units last_on)};
		my $should = defined $last ? join ' ', @sum{qw(ever day week month)}, $last - $PG_EPOCH / 86400 : '';
		$self->bad('I6', "units of $of are '$is', its entries make '$should'") if $is ne $should;
	}
	return;
}

# Of users and products the units of each day that are left, and the last day that counts.
sub left_units
{
	my ($self) = @_;
	my %left;

	foreach my $user (keys %{ $self->{stream} })
	{
		my $stream = $self->{stream}{$user};
		foreach my $e (map { $stream->{$_} } sort { $a <=> $b } grep { $stream->{$_}{journal} =~ /^[BP]$/ } keys %$stream)
		{
			my $of = $left{"$user $e->{product_id}"} //= { units => {} };
			my $p = $e->{journal} eq 'P' ? $e : $stream->{ $e->{reverses} } // next;
			my $day = utc_day($p);
			$of->{units}{$day} += $e->{journal} eq 'P' ? $e->{quantity} : -$e->{quantity};
			$of->{last} = $day if $e->{journal} eq 'P' && $day > ($of->{last} // $day - 1);
			# who takes back looks at what is left
			($of->{last}) = sort { $b <=> $a } grep { $of->{units}{$_} } keys %{ $of->{units} } if $e->{journal} eq 'B';
		}
	}
	return \%left;
}

# The day of an entry, by UTC, since 1970.
sub utc_day
{
	my ($e) = @_;
	return POSIX::floor($e->{created_at} / 86400e6) + $PG_EPOCH / 86400;
}

sub place_of
{
	my ($user, $product, $epoch) = @_;
	return join ' ', $user, $product, Stress::World::period_of($product, $epoch);
}

# A global key is one user's.
sub check_global_keys
{
	my ($self) = @_;
	my %of;

	$of{ $_->{key} }{ $_->{user_id} } = 1 foreach grep { $_->{journal} eq 'P' && $_->{product_id} eq 'code' } @{ $self->{tables}{entries} };
	foreach my $key (sort keys %of)
	{
		my @users = sort { $a <=> $b } keys %{ $of{$key} };
		$self->bad('I4', "the global key '$key' was used by users @users") if @users > 1;
	}
	$self->{redeemed} = \%of;
	return;
}

# I4: a row with a capture trigger is one round of one user.  With raise the table
# and the ledger say the same.
sub check_rounds
{
	my ($self) = @_;
	my %paid;

	foreach my $e (grep { $_->{journal} eq 'A' && $_->{key} =~ /^chess\|rounds_/ } map { values %$_ } values %{ $self->{stream} })
	{
		push @{ $paid{ $e->{key} =~ s/^chess\|//r } }, $e;
	}
	foreach my $row (@{ $self->{tables}{rounds} })
	{
		my $name = "$row->{source}:$row->{id}";
		my @entries = @{ delete $paid{$name} // [] };
		my $is = join ', ', map { "$_->{user_id} $_->{bet} $_->{win}" } @entries;
		my $settled = defined $row->{win} ? "$row->{player} $row->{bet} $row->{win}" : '';
		my @refused = grep { $_->{action_id} eq $name } @{ $self->{tables}{capture_refusals} };

		$self->bad('I4', "round $name was recorded for several users: $is") if @entries > 1;
		$self->bad('I4', "round $name is '$settled', recorded is '$is'")
		  if $row->{source} eq 'rounds_raise' ? $is ne $settled : $settled eq '' ? $is ne '' : !(@refused || $is eq $settled);
	}
	$self->bad('I4', "round $_ was recorded and is not there") foreach sort keys %paid;
	return;
}

sub limit_of
{
	my ($product) = @_;
	my $p = $Stress::World::PRODUCTS{$product} // {};
	return $p->{limit_once} ? 1 : $p->{per_user_limit};
}

# I6: from the entries, pruned ones included
sub check_statistics
{
	my ($self) = @_;
	my (%all, %days);
	my %position = map { ($_->{user_id} => $_->{seq}) } @{ $self->{tables}{rollup_positions} };

	foreach my $stream (values %{ $self->{stream} })
	{
		foreach my $e (grep { $_->{journal} eq 'A' } values %$stream)
		{
			my $day = POSIX::strftime('%Y-%m-%d', gmtime($e->{created_at} / 1e6 + $PG_EPOCH));
			count_action($all{"$e->{user_id} $e->{game}"} //= {}, $e);
			count_action($days{"$e->{user_id} $e->{game} $day"} //= {}, $e) if $e->{seq} <= ($position{ $e->{user_id} } // 0);
		}
	}
	$self->compare_statistics('game_stats', \%all, map { [ "$_->{user_id} $_->{game}", $_ ] } @{ $self->{tables}{game_stats} });
	$self->compare_statistics('user_game_stats_summary', \%days,
		map { [ "$_->{user_id} $_->{game} $_->{day}", $_ ] } @{ $self->{tables}{user_game_stats_summary} });
	return;
}

my @FIGURES = qw(total wins losses draws max_win bet_sum win_sum);

sub count_action
{
	my ($sum, $e) = @_;

	$sum->{$_} //= 0 foreach @FIGURES;
	$sum->{total}++;
	$sum->{ { win => 'wins', loss => 'losses', draw => 'draws' }->{ $e->{outcome} } }++;
	$sum->{max_win} = $e->{win} if $e->{win} > $sum->{max_win};
	$sum->{bet_sum} += $e->{bet};
	$sum->{win_sum} += $e->{win};
	return;
}

sub compare_statistics
{
	my ($self, $table, $expected, @rows) = @_;
	my %stored = map { @$_ } @rows;
	my %places = map { $_ => 1 } keys %$expected, keys %stored;

	foreach my $place (sort keys %places)
	{
		my ($should, $is) = map { my $row = $_; join ' ', map { $row->{$_} // '-' } @FIGURES } $expected->{$place}, $stored{$place};
		$self->bad('I6', "$table of $place: $is, the entries add up to $should") if $should ne $is;
	}
	return;
}

# One claim per local date, and each follows from the one before.
sub check_claims
{
	my ($self) = @_;
	my %streak = map { ($_->{user_id} => $_) } @{ $self->{tables}{streaks} };

	foreach my $user (sort { $a <=> $b } keys %{ $self->{stream} })
	{
		my $stream = $self->{stream}{$user};
		my $s = { day => 0, best => 0, freezes => 0, paid => {}, claims => {} };

		foreach my $e (map { $stream->{$_} } sort { $a <=> $b } keys %$stream)
		{
			my ($freezes) = map { $_->[1] } grep { $_->[0] eq 'streak_freeze' } carried($e);
			$self->follow_claim($s, $e) if ($e->{source} // '') eq 'economy:daily_streak';
			$self->follow_correction($s, $e) if ($e->{source} // '') eq 'economy:set_streak';
			follow_reversal($s, $e) if defined $e->{reverses};
			$self->follow_return($s, $e) if defined $e->{reverses} && defined $e->{streak_day};
			$s->{freezes} += $freezes // 0;
		}
		my $row = $streak{$user};
		my $stored = $row ? "$row->{streak_day} $row->{best} $row->{last_seq}" : '';
		my $expected = $s->{before} || $s->{returns} ? join ' ', @$s{qw(day best)}, $s->{seq} // 0 : '';
		$self->bad('I6', "streak of user $user is '$stored', its claims make '$expected'") if $stored ne $expected;
	}
	return;
}

# What is set counts from its date on; a pending grace of later is none.
sub follow_correction
{
	my ($self, $s, $e) = @_;
	my $before = {%$s};

	@$s{qw(day last excused)} = ($e->{streak_day}, $e->{claim_date}, undef);
	$s->{best} = $s->{day} if $s->{day} > $s->{best};
	$s->{graced} = undef if !defined $s->{last} || defined $s->{graced} && $s->{graced} >= $s->{last};
	my $left = join ' ', $s->{best}, $s->{graced} // '', $s->{seq} // '', 0, 0;
	my $says = join ' ', $e->{best}, $e->{last_grace_on} // '', $e->{streak_before} // '', $e->{gold_delta}, $e->{xp_delta};
	$self->bad('R', "$e->{id}: the streak after the correction is '$says', the entries make '$left'") if $says ne $left;
	@$s{qw(before seq)} = ($before, $e->{seq});
	return;
}

# A claim of which nothing is left was not paid.
sub follow_reversal
{
	my ($s, $e) = @_;
	my $claim = $s->{claims}{ $e->{reverses} } or return;

	$claim->{$_} += $e->{$_} foreach qw(gold_delta xp_delta);
	$claim->{items}{ $_->[0] } += $_->[1] foreach carried($e);
	delete $s->{paid}{ $claim->{date} } if defined $e->{streak_day} || !grep { $_ } @$claim{qw(gold_delta xp_delta)}, values %{ $claim->{items} };
	return;
}

# The newest claim was taken back whole: the streak is what it was before.
sub follow_return
{
	my ($self, $s, $e) = @_;
	my $before = $s->{before};

	return $self->bad('R', "$e->{id}: gives back the date of $e->{reverses}, which is not the newest claim")
	  if ($s->{seq} // 0) != $e->{reverses};
	%$s = (%$before, freezes => $s->{freezes} - ($e->{freezes_used} // 0), returns => 1);
	my $is = join ' ', $e->{streak_day}, $e->{best}, $e->{claim_date} // '', $e->{streak_before} // '', $e->{freezes_used};
	my $should = join ' ', @$s{qw(day best)}, $s->{last} // '', $s->{seq} // '', -$before->{returned};
	$self->bad('R', "$e->{id}: the streak after it is '$is', before the claim it was '$should'") if $is ne $should;
	return;
}

# What a claim makes of the streak when these dates were missed.
sub decide
{
	my ($s, $gap, @missed) = @_;
	my %d = (day => $s->{day} + 1, grace => 0, freezes_used => 0, graced => $s->{graced});

	if (@missed)
	{
		if ($gap >= 30) { @d{qw(day graced)} = (1, undef) }
		elsif (@missed == 1 && (!defined $s->{graced} || $missed[0] - $s->{graced} >= 7)) { @d{qw(grace graced)} = (1, $missed[0]) }
		elsif (@missed <= $s->{freezes}) { $d{freezes_used} = @missed }
		else { $d{day} = 1 }
	}
	$d{says} = join ' ', @d{qw(day grace freezes_used)};
	return \%d;
}

sub follow_claim
{
	my ($self, $s, $e) = @_;
	my $before = {%$s};
	my ($date, $last) = ($e->{claim_date}, $s->{last});
	my $covered = $s->{excused} // $last;
	my $gap = defined $last ? $date - $last : 1;
	my @between = defined $last ? ($covered > $last ? $covered : $last) + 1 .. $date - 1 : ();
	my $is = join ' ', @$e{qw(streak_day grace_used freezes_used)};
	# dates that entries in an archive paid may count as missed: archived are entries here that
	# are younger than the 30 days after which nothing is counted
	my @decisions = map { my $gone = $_; decide($s, $gap, grep { !$s->{paid}{$_} || $gone && $s->{paid}{$_}{archived} } @between) } 0, 1;
	my ($decision) = grep { $_->{says} eq $is } @decisions;
	$decision //= $decisions[0];
	my ($day, $freezes_used) = @$decision{qw(day freezes_used)};

	$self->bad('I4', "$e->{id}: claim date $date does not come after $last") if $gap < 1;
	$self->bad('I4', "$e->{id}: claim date $date was paid before") if $s->{paid}{$date};
	$self->bad('R', "$e->{id}: its date is that of no time zone") unless possible_date($e);
	$self->bad('R', "$e->{id}: the claim is '$is', the rule says '$decision->{says}'") if $is ne $decision->{says};
	Stress::Daily::check_claim($self, $e, $day);
	$s->{graced} = $decision->{graced};
	$s->{freezes} -= $freezes_used;
	$s->{best} = $day if $day > $s->{best};
	$self->bad('R', "$e->{id}: excused to $e->{excused_to}") if defined $e->{excused_to} && $e->{excused_to} != ($s->{excused} // -1)
	  && ($e->{excused_to} <= $date || $e->{excused_to} > $date + 2);
	my $left = join ' ', $s->{best}, $s->{graced} // '', $s->{seq} // '';
	my $says = join ' ', $e->{best}, $e->{last_grace_on} // '', $e->{streak_before} // '';
	$self->bad('R', "$e->{id}: the streak after it is '$says', the claims make '$left'") if $says ne $left;
	$before->{returned} = $freezes_used;
	$s->{before} = $before;
	@$s{qw(day last excused seq)} = ($day, $date, $e->{excused_to}, $e->{seq});
	$s->{paid}{$date} = $e;
	$s->{claims}{ $e->{seq} } = { date => $date, gold_delta => $e->{gold_delta}, xp_delta => $e->{xp_delta}, items => { map { ($_->[0] => $_->[1]) } carried($e) } };
	return;
}

# The user's zone changes during the run, so any of them may count.
sub possible_date
{
	my ($e) = @_;
	my $hours = ($e->{created_at} / 1e6) / 3600;
	my ($first, $last) = map { POSIX::floor(($hours + $_) / 24) } -11, 14;
	return $e->{claim_date} >= $first && $e->{claim_date} <= $last;
}

sub check_freezes
{
	my ($self) = @_;
	my %held;

	foreach my $e (@{ $self->{tables}{entries} })
	{
		$held{ $e->{user_id} } += $_->[1] foreach grep { $_->[0] eq 'streak_freeze' } carried($e);
		$held{ $e->{user_id} } -= $e->{freezes_used} // 0;
	}
	foreach my $account (values %{ $self->{account} })
	{
		my $held = $held{ $account->{user_id} } // 0;
		$self->bad('I6', "account $account->{user_id} holds $account->{streak_freezes} freezes, its entries leave $held")
		  if $held != $account->{streak_freezes};
	}
	return;
}

# A reward is taken back once for each key, and never more than it gave.
sub check_reversals
{
	my ($self) = @_;
	my (%gold, %xp);

	foreach my $e (grep { $_->{journal} eq 'R' && defined $_->{reverses} } @{ $self->{tables}{entries} })
	{
		my $reward = $self->{stream}{ $e->{user_id} }{ $e->{reverses} };
		my $name = "R$e->{user_id}-$e->{reverses}";
		$self->bad('I4', "$e->{id} reverses $name under another name")
		  if $e->{source} ne "economy:reversal:$name" && ($e->{source} ne 'economy:reversal' || $e->{external_event_id} ne $name);
		$gold{$name} -= $e->{gold_delta};
		$xp{$name} -= $e->{xp_delta};
		$self->bad('R', "$e->{id} takes back more than the reward gave")
		  unless $reward && $reward->{journal} eq 'R' && !defined $reward->{reverses}
		  && $gold{$name} <= $reward->{gold_delta} && $xp{$name} <= $reward->{xp_delta}
		  && $e->{gold_delta} <= 0 && $e->{xp_delta} <= 0;
	}
	return;
}

# Calls of admins left their actor: once when acknowledged, at most once else.
sub check_admin
{
	my ($self) = @_;
	my (%times);
	my $t = $self->{tables};

	$times{ $_->{actor} }++ foreach @{ $t->{shop_product_changes} }, grep({ $_->{relation} =~ /^(?:items|transfer_rules|daily_rewards)$/ || $_->{relation} =~ /^(?:draw_tables|mission_templates)$/ && $_->{action} eq 'publish' } @{ $t->{config_changes} }), grep { $_->{journal} eq 'U' && defined $_->{actor} } @{ $t->{entries} };
	delete $times{setup};
	foreach my $op (map { grep { $_ && $_->{actor} } @{ $_->{ops} } } @{ $self->{log} })
	{
		next unless $op->{fn} =~ /^(?:add_stock|upsert_product|retire_product|upsert_item|publish_draw_table|publish_mission|set_transfer_rules|set_daily_rewards|set_user_status)$/;
		$self->{traced}{ $op->{actor} }{ $op->{fate} }++;
	}
	foreach my $actor (sort keys %{ $self->{traced} })
	{
		my ($sure, $maybe) = map { $self->{traced}{$actor}{$_} // 0 } qw(sure maybe);
		my $n = delete $times{$actor} // 0;
		$self->bad('I4', "admin call of $actor was acknowledged $sure times and left $n traces") if $n < $sure || $n > $sure + $maybe;
	}
	$self->bad('I4', "admin call of $_ is in no log") foreach sort keys %times;
	$self->check_registered;
	return;
}

sub check_registered
{
	my ($self) = @_;
	my %had;

	foreach my $u (@{ $self->{tables}{users} })
	{
		my @ids = ($u->{external_id}, map { @$_{qw(before after)} } grep { $_->{field} eq 'external_id' } $self->changes($u->{user_id}));
		$had{$_}{ $u->{user_id} } = 1 foreach grep { defined } @ids;
	}

	my (%new, %unknown);
	foreach my $op (map { grep { $_ && $_->{fn} eq 'register' && $_->{fate} ne 'none' } @{ $_->{ops} } } @{ $self->{log} })
	{
		my $r = $op->{results}[0];
		$unknown{ $op->{external_id} }++ if $op->{fate} eq 'maybe' || !defined $r->{is_new};
		next unless $op->{fate} eq 'sure' && $r;
		$self->bad('I4', "$op->{external_id} was registered as $r->{user_id}, who never had it") unless $had{ $op->{external_id} }{ $r->{user_id} };
		$new{ $r->{user_id} }++ if $r->{is_new};
	}
	$self->bad('I4', "user $_ was new $new{$_} times") foreach sort grep { $new{$_} > 1 || $_ <= $Stress::World::USERS } keys %new;
	foreach my $u (grep { $_->{user_id} > $Stress::World::USERS && !$new{ $_->{user_id} } } @{ $self->{tables}{users} })
	{
		$self->bad('I4', "user $u->{user_id} is there, and was new for nobody") unless grep { $had{$_}{ $u->{user_id} } } keys %unknown;
	}
	$self->bad('I1', "user $_->{user_id} has no account") foreach grep { !$self->{account}{ $_->{user_id} } } @{ $self->{tables}{users} };
	return;
}

# What every answer must be by the rules, whoever else was at it.
sub check_results
{
	my ($self) = @_;

	$self->{prices}{sword}{ $_->{price_gold} } = 1
	  foreach grep { $_->{product_id} eq 'sword' && defined $_->{price_gold} } @{ $self->{tables}{shop_product_changes} };
	$self->check_price($_) foreach grep { $_->{journal} eq 'P' } @{ $self->{tables}{entries} };
	foreach my $tx (@{ $self->{log} })
	{
		foreach my $op (grep { $_ && @{ $_->{results} } } @{ $tx->{ops} })
		{
			$self->check_job($tx, $op);
			$self->check_batch($tx, $op);
			foreach my $n (0 .. $#{ $op->{intents} })
			{
				my $r = $op->{results}[$n];
				my $place = "$op->{fn} in $tx->{tx}";
				$self->check_refusal($place, $tx, $op->{intents}[$n], $r, $op) if $r->{state} eq 'refused';
				$self->bad('R', "$place: level $r->{level} of $r->{experience_points} XP")
				  if defined $r->{level} && $r->{state} eq 'new' && $r->{level} != int($r->{experience_points} / 500) + 1;
			}
		}
	}
	return;
}

# The entries that a batch makes for a user follow one another, in its order.
sub check_batch
{
	my ($self, $tx, $op) = @_;
	my %last;

	return unless $op->{fn} =~ /^(?:purchases|grant_rewards)$/;
	foreach my $r (grep { $_->{state} eq 'new' } @{ $op->{results} })
	{
		my ($user, $seq) = $r->{transaction_id} =~ /^[PR](\d+)-(\d+)$/;
		my $before = $last{$user};
		$self->bad('R', "$op->{fn} in $tx->{tx}: $r->{transaction_id} with $r->{gold} gold comes after $before->[0] with $before->[1]")
		  if $before && ($seq != $before->[0] + 1 || $r->{gold} != $before->[1] + $r->{gold_delta});
		$last{$user} = [ $seq, $r->{gold} ];
	}
	return;
}

sub check_price
{
	my ($self, $e) = @_;
	my $p = $Stress::World::PRODUCTS{ $e->{product_id} };
	my $per_unit = $e->{gold_delta} / $e->{quantity};
	return if $p->{settlement};    # Stress::Orders
	my ($expected) = ($e->{context} // '') =~ /"expected_price": (\d+)/;
	my $clock = $e->{created_at} / 1e6 + $PG_EPOCH;
	my $fits = $p->{category} eq 'conversion' ? $per_unit == $p->{granted_gold}
	  : $p->{varies} ? $self->{prices}{sword}{ -$per_unit } : $per_unit == -$p->{price_gold};

	$self->bad('R', "$e->{id}: a unit of $e->{product_id} cost " . -$per_unit) unless $fits;
	$self->bad('R', "$e->{id}: $e->{quantity} of $e->{product_id} gave $e->{xp_delta} XP") if $e->{xp_delta} != ($p->{granted_xp} // 0) * $e->{quantity};
	$self->bad('R', "$e->{id}: expected_price was $expected") if defined $expected && $p->{category} eq 'item' && $expected != -$per_unit;
	$self->bad('R', "$e->{id}: $e->{product_id} was not on sale") unless on_sale($p, $clock);
	return;
}

sub on_sale
{
	my ($p, $clock) = @_;
	return 1 unless $p->{starts_day};
	my ($from, $to) = map { $Stress::World::BEGIN + 86400 * $_ } @$p{qw(starts_day ends_day)};
	return $clock >= $from && $clock < $to;
}

# Sweeps and parity must find nothing at any moment.
sub check_job
{
	my ($self, $tx, $op) = @_;
	return unless $op->{fn} =~ /^(?:audit_sweep|audit_sweep_incremental|stats_parity)$/;
	my @found = map { $_->{value} // '' } grep { $_ } @{ $op->{results} };
	$self->bad('A', "$op->{fn} in $tx->{tx} found $_") foreach @found;
	return;
}

my %REFUSAL = (
	USER_NOT_FOUND => sub { grep { ($_ // 0) > $Stress::World::USERS } @{ $_[1] }{qw(user to)} },
	PRODUCT_NOT_FOUND => sub { 0 },
	UNLIMITED_STOCK => sub { $_[1]{kind} eq 'K' && !$_[3]{stock} },
	ORDER_LIMIT => \&Stress::Orders::are_many,
	ORDER_CLOSED => sub { $_[1]{kind} eq 'O' },    # Stress::Orders
	SETTLED_ALONE => sub { $_[1]{kind} eq 'O' && $_[5]{fn} eq 'purchases' },
	RESERVATION_LIMIT => \&Stress::Reservations::has_many,
	(map { ($_ => \&Stress::Reservations::is_refused) } qw(RESERVATION_NOT_FOUND RESERVATION_MISMATCH RESERVATION_CLOSED)),
	GAME_NOT_FOUND => sub { $_[1]{key} =~ /^golf/ },
	USER_SUSPENDED => sub { return 0 if $_[1]{kind} eq 'B'; my ($u, $of) = ($_[1]{user}, figure($_[2], 'user_id')); $u = $of if $_[1]{to} && grep { $_ == ($of // 0) } @{ $_[1] }{qw(user to)}; grep { $_ == $u } @Stress::World::SUSPENDABLE },
	SAME_USER => sub { $_[1]{user} == ($_[1]{to} // 0) },
	TRANSFERS_OFF => \&Stress::Transfers::is_off,
	TRANSFER_TOO_YOUNG => \&Stress::Transfers::is_young,
	TRANSFER_DAILY_LIMIT => \&Stress::Transfers::is_over_limit,
	ITEM_NOT_TRADABLE => sub { my $id = named($_[2]); $_[1]{to} && !is_tradable($id) && $_[4]->asked_of(@_[ 1, 5 ], $id) },
	CAPTURE => sub { 1 },    # check_answers()
	EXTERNAL_ID_TAKEN => sub { my $of = $_[4]->linkers->{ $_[1]{after} // '' } // {}; $_[1]{kind} eq 'U' && grep { $_ != $_[1]{user} } keys %$of },
	ALREADY_LINKED => sub { $_[1]{kind} eq 'U' && ($_[1]{after} // '') ne '' },
	NOT_LINKED => sub { $_[1]{kind} eq 'U' && ($_[1]{after} // 'x') eq '' },
	REWARD_NOT_FOUND => sub { $_[1]{kind} eq 'V' },
	MISSION_NOT_COMPLETED => \&Stress::Missions::is_not_completed,
	MISSION_EXPIRED => \&Stress::Missions::is_expired,
	(map { ($_ => \&Stress::Seasons::is_unknown) } qw(SEASON_NOT_FOUND TIER_NOT_FOUND)),
	(map { ($_ => \&Stress::Seasons::is_over) } qw(SEASON_NOT_STARTED SEASON_EXPIRED)),
	TIER_NOT_REACHED => \&Stress::Seasons::is_not_reached,
	TRACK_NOT_OPEN => \&Stress::Seasons::is_closed_track,
	MISSION_NOT_FOUND => \&Stress::Missions::is_unknown,
	ROUND_NOT_FOUND => \&Stress::Rounds::is_unknown,
	ROUND_CLOSED => \&Stress::Rounds::is_closed,
	EXCEEDS_REWARD => \&Stress::Contents::exceeds,
	PURCHASE_NOT_FOUND => \&Stress::Refunds::is_unknown,
	EXCEEDS_PURCHASE => \&Stress::Refunds::exceeds,
	LEASED => \&Stress::Refunds::is_leased,
	IDEMPOTENCY_MISMATCH => sub { 1 },    # check_answers()
	RESYNC_REQUIRED => sub { $_[1]{kind} eq 'B' ? Stress::Refunds::is_archived(@_[ 4, 1, 2 ]) : $_[1]{kind} eq 'A' || $_[5]{fn} eq 'open_action' ? $_[4]->{account}{ $_[1]{user} }{pruned_seq} > 0 : $_[4]->is_archived(@_[ 0 .. 2 ]) },
	PRICE_CHANGED => sub { ($_[1]{context} // '') =~ /expected_price/ && $_[3]{varies} },
	NOT_ON_SALE => sub { $_[3]{varies} || !on_sale($_[3], $_[0]{clock}) },
	SOLD_OUT => sub { $_[3]{stock} && ($_[2]{stock_remaining} // 0) < $_[1]{quantity} },
	GOLD_OVERFLOW => sub { $_[1]{kind} eq 'B' ? Stress::Refunds::overflows(@_) : $_[1]{to} ? $_[1]{to} == (figure($_[2], 'user_id') // 0) : (($_[2]{gold} // $Stress::World::MAX_AMOUNT) + 3 * 2**52) > $Stress::World::MAX_AMOUNT },
	INSUFFICIENT_GOLD => \&is_short,
	ITEM_NOT_FOUND => sub { my $id = named($_[2]); $id eq 'nothing' && $_[4]->asked_of(@_[ 1, 5 ], $id) },
	ITEM_INACTIVE => sub { my $id = named($_[2]); grep({ $_ > 0 } $_[4]->asked_of(@_[ 1, 5 ], $id)) && grep { !$_->{active} } $_[4]->states_during($id, $_[5]) },
	ITEM_NOT_CONSUMABLE => sub { my $id = named($_[2]); !is_consumable($id) && grep { $_ < 0 } $_[4]->asked_of(@_[ 1, 5 ], $id) },
	SEED_NOT_COMMITTED => sub { $_[1]{kind} eq 'D' && $_[1]{user} > $Stress::World::USERS },
	ITEM_LIMIT => \&is_full,
	INSUFFICIENT_ITEMS => \&lacks_items,
	KEY_USED => sub { grep { $_ != $_[1]{user} } keys %{ $_[4]->{redeemed}{ $_[1]{key} } // {} } },
	LIMIT_ONCE => \&is_at_limit,
	USER_LIMIT => \&is_at_limit);

# What was archived, its entry's name told; and what is in front of that is not taken back.
sub is_archived
{
	my ($self, $tx, $intent, $r) = @_;
	return $self->is_archived_claim($tx, $intent, $r) if $intent->{kind} eq 'C';
	my ($target) = $intent->{key} =~ /^economy:reversal(?::|\|)R\d+-(\d+)/;
	my $journal = $intent->{kind} eq 'O' ? 'P' : $JOURNAL{ $intent->{kind} };
	my ($e) = @{ $self->{by_key}{"$journal $intent->{user} $intent->{key}"} // [] };

	return 1 if $e && $e->{archived} && $r->{transaction_id} eq $e->{id};
	return $intent->{kind} eq 'V' && $target < $self->{account}{ $intent->{user} }{pruned_seq};
}

# A claim of a date that had come at that moment, told by its name.
sub is_archived_claim
{
	my ($self, $tx, $intent, $r) = @_;
	my ($seq) = ($r->{transaction_id} // '') =~ /^R\d+-(\d+)$/ or return 0;
	my $e = $self->{stream}{ $intent->{user} }{$seq};

	return $e && $e->{archived} && $r->{transaction_id} eq $e->{id} && ($e->{source} // '') eq 'economy:daily_streak'
	  && possible_date({ claim_date => $e->{claim_date}, created_at => 1e6 * ($tx->{clock} - $PG_EPOCH) });
}

# Who wanted which external id.
sub linkers
{
	my ($self) = @_;
	my %of;

	return $self->{linkers} if $self->{linkers};
	foreach my $intent (map { @{ $_->{intents} } } grep { $_ && $_->{fn} eq 'link_external_id' } map { @{ $_->{ops} } } @{ $self->{log} })
	{
		$of{ $intent->{after} }{ $intent->{user} } = 1;
	}
	return $self->{linkers} = \%of;
}

sub is_short
{
	my ($tx, $intent, $r, $product) = @_;
	my ($price) = ($r->{detail} // '') =~ /"price_gold": (\d+)/;

	return Stress::Refunds::is_short(@_) if $intent->{kind} eq 'B';
	return $r->{gold} < $price * $intent->{quantity} if $intent->{kind} eq 'P';
	return $r->{gold} < $intent->{bet} if $intent->{kind} eq 'A';
	return $r->{gold} + $intent->{gold} < 0 if $intent->{kind} =~ /[DGH]/;
	return $intent->{kind} eq 'V';
}

# The item that a refusal names, and what was to be added to it.
sub named { my ($r) = @_; return ($r->{detail} // '') =~ /"item": "([^"]+)"/ ? $1 : '' }
sub asked_of { my ($self, $intent, $op, $id) = @_; return Stress::Contents::asked_of($self, $intent, $op, $id) }

sub figure { my ($r, $name) = @_; return ($r->{detail} // '') =~ /"$name": (-?\d+)/ ? $1 : undef }

# A reversal takes what is kept as well, and of a pass the time that is left of it.
sub lacks_items
{
	my ($tx, $intent, $r, $product, $self, $op) = @_;
	return Stress::Refunds::is_of_item(@_) if $intent->{kind} eq 'B';
	my $id = named($r);
	my ($held, $needed) = map { figure($r, $_) // return 0 } 'held', 'needed';
	my $back = $intent->{kind} eq 'V';
	my $since = $back && Stress::World::is_pass($id) && $held ? $tx->{clock} : 0;

	return $held < $needed && ($back || ($intent->{to} ? is_tradable($id) : is_consumable($id))) && $self->may_have_held($tx, $intent, $id, $since + $held)
	  && grep { $back ? $needed <= -$_ : $needed == -$_ } $self->asked_of($intent, $op, $id);
}

# Of a pass it is the seconds from now on.
sub is_full
{
	my ($tx, $intent, $r, $product, $self, $op) = @_;
	return Stress::Refunds::is_of_item(@_) if $intent->{kind} eq 'B';
	my $id = named($r);
	my ($held, $most) = map { figure($r, $_) // return 0 } 'held', 'at_most';
	my $since = Stress::World::is_pass($id) && $held ? $tx->{clock} : 0;
	# an item that is not given any more is still traded
	my @maxima = $Stress::World::ITEMS{$id}{varies} ? map({ $_->{active} || $intent->{to} ? $_->{maximum} : () } $self->states_during($id, $op)) : $self->most_of($id, $tx->{clock});

	# what is sent is to be added to what the other has
	my @added = map { $intent->{to} ? -$_ : $_ } $self->asked_of($intent, $op, $id);
	return grep({ $_ > 0 && $held + $_ > $most } @added) && grep({ $_ == $most } @maxima)
	  && $self->may_have_held($tx, { %$intent, user => $intent->{to} // $intent->{user} }, $id, $since + $held);
}

# At one time or another, or by a change that the transaction itself made and took back.
sub may_have_held
{
	my ($self, $tx, $intent, $id, $balance) = @_;
	my $user = $intent->{user};

	return 1 if $balance == 0 || $self->{held_by}{$user}{was}{$id}{$balance};
	return grep { $_ != $intent && $_->{kind} =~ /^[BCDHMNPRV]$/ && $_->{user} == $user && Stress::Contents::may_move($_, $id) } map { @{ $_->{intents} } } grep { $_ } @{ $tx->{ops} };
}

# At a moment of the call.
sub is_at_limit
{
	my ($tx, $intent, $r, $product, $self, $op) = @_;
	return Stress::Reservations::is_at_limit(@_) if $intent->{kind} eq 'K';
	return Stress::Orders::is_at_limit(@_) if $intent->{kind} eq 'O';
	my ($name) = $intent->{key} =~ /^(\w+)\|/;
	my $limit = limit_of($name);

	return 1 if ($product->{effect_code} // '') eq 'streak_freeze';
	return defined $limit && $self->units_during($intent->{user}, $name, $tx->{clock}, $op) + $intent->{quantity} > $limit
	  || rolled_back_units($tx, $intent, $name);
}

# It may have been at the limit by purchases, also of the same batch, that it took back itself.
sub rolled_back_units
{
	my ($tx, $intent, $product) = @_;
	return grep { $_ != $intent && $_->{kind} =~ /^[OP]$/ && $_->{user} == $intent->{user} && $_->{key} =~ /^\Q$product\E\|/ } map { @{ $_->{intents} } } grep { $_ } @{ $tx->{ops} };
}

sub check_refusal
{
	my ($self, $place, $tx, $intent, $r, $op) = @_;
	my ($product) = $intent->{kind} =~ /^[OP]$/ ? $intent->{key} =~ /^(\w+)\|/ : $intent->{product};
	my $rule = $REFUSAL{ $r->{code} };

	$self->bad('R', "$place: refused with $r->{code} for key '$intent->{key}' of user $intent->{user}")
	  unless $rule && $rule->($tx, $intent, $r, $product ? $Stress::World::PRODUCTS{$product} : {}, $self, $op);
	return;
}

# SQLSTATEs that may come, and when.
sub check_errors
{
	my ($self) = @_;

	foreach my $tx (@{ $self->{log} })
	{
		foreach my $op (grep { $_ && defined $_->{sqlstate} } @{ $tx->{ops} })
		{
			next if $self->may_fail($tx, $op);
			$self->bad('E', "$op->{fn} in $tx->{tx} ($tx->{iso}) raised $op->{sqlstate}: $op->{message}");
		}
		$self->bad('E', "COMMIT of $tx->{tx} ($tx->{iso}) raised $tx->{sqlstate}")
		  if $tx->{outcome} eq 'aborted' && !grep({ $_ && defined $_->{sqlstate} } @{ $tx->{ops} })
		  && ($tx->{sqlstate} // '') !~ /^(?:|57014|57P0\d|08.*)$/ && !($tx->{sqlstate} eq '40001' && $tx->{iso} ne 'rc') && !($tx->{sqlstate} eq '53100' && $self->{full});
		$self->bad('R', "misuse in $tx->{tx} raised nothing: $_->{args}") foreach grep { $_ && $_->{fn} eq 'misuse' && $_->{answered} } @{ $tx->{ops} };
	}
	return;
}

sub may_fail
{
	my ($self, $tx, $op) = @_;
	my $state = $op->{sqlstate};

	return 1 if $state eq '57014' || $state =~ /^(?:57P|08)/;
	return $tx->{iso} ne 'rc' if $state eq '40001';
	return $self->{deadlocks} if $state eq '40P01';
	return $self->{full} if $state eq '53100';
	return 1 if $op->{fn} eq 'misuse' && $state =~ /^XE/;
	return 1 if $op->{fn} =~ /^(?:capture|settle)_raise$/ && $state eq 'XE502';
	return 1 if $op->{fn} eq 'revoke_reward' && $state eq 'XE002' && $op->{message} =~ /cannot take more/;
	return 1 if $op->{fn} eq 'pass_escrow' && $state eq 'XE002' && $op->{message} =~ /nothing is captured/;
	return 1 if $op->{fn} eq 'add_stock' && $state eq 'XE303' && $op->{units} < 0;
	return 1 if $op->{fn} =~ /^set_/ && $state eq 'XE202';
	# one requires another, that is retired or is to be
	return 1 if $op->{fn} =~ /^(?:publish|retire)_mission$/ && $state eq 'XE403';
	# a column of the DBA's that the archive does not have
	return 1 if $op->{fn} eq 'archive' && $state eq '42703' && $self->{ddl};
	return 0;
}

# I7: every entry was told in the feed, none twice, and replay() has all.
sub check_events
{
	my ($self) = @_;
	my (%told, $events, $replayed) = ();
	($events, $replayed) = @$self{qw(events replayed)};

	if ($events)
	{
		foreach my $id (sort keys %$events)
		{
			my ($entry) = split m{/}, $id;
			$told{$entry} = 1;
			$self->bad('I7', "the feed has the event $id $events->{$id} times") if $events->{$id} > 1;
		}
		foreach my $e (@{ $self->{tables}{entries} })
		{
			$self->bad('I7', "the feed lacks $e->{id}") unless $told{ $e->{id} } || $e->{archived};
		}
	}
	foreach my $user (sort keys %{ $replayed // {} })
	{
		my $account = $self->{account}{$user} or next;    # reported as I1
		my $expected = join ' ', $account->{pruned_seq} + 1 .. $account->{seq};
		$self->bad('I7', "replay of user $user is not every entry after $account->{pruned_seq}") if $replayed->{$user} ne $expected;
	}
	return;
}

1;
