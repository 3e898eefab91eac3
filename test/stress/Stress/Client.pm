# Plays one client's transactions on a connection of its own, and logs them.
package Stress::Client;

use strict;
use warnings;
use DBD::Pg ();
use DBI;
use Socket ();
use Stress::World;
use Time::HiRes ();

my $RETRIES = 10;    # of a transaction, on 40001 and 40P01

# number, plan, dsn, log, stop (optional: called between transactions, true ends)
sub new
{
	my ($class, %p) = @_;
	return bless {%p}, $class;
}

sub connect_to
{
	my ($dsn, $name) = @_;
	return DBI->connect("$dsn;application_name=$name", $ENV{PGUSER} // '', '', {
			AutoCommit => 1, RaiseError => 1, PrintError => 0, PrintWarn => 0,
			pg_server_prepare => 0, AutoInactiveDestroy => 1 });
}

# While a crashed server recovers, connecting fails; that may take a while.
sub session
{
	my ($self) = @_;
	my $give_up = Time::HiRes::time() + 60;

	until ($self->{dbh})
	{
		$self->{dbh} = eval {
			my $dbh = connect_to($self->{dsn}, "client$self->{number}");
			$dbh->do('SET client_min_messages = error');
			$dbh->do($_) foreach @{ $self->{settings} }, @{ delete $self->{once} // [] };
			$dbh;
		};
		last if $self->{dbh};
		return if $self->{stop} && $self->{stop}->();
		die "client $self->{number} cannot connect: $@" if Time::HiRes::time() > $give_up;
		Time::HiRes::sleep(0.05);
	}
	$self->{clock} = -1 if $self->{clock_of} != $self->{dbh};
	$self->{clock_of} = $self->{dbh};
	return $self->{dbh};
}

sub run
{
	my ($self) = @_;
	my $number = 0;

	@$self{qw(settings clock_of)} = ([ $self->{plan}->settings($self->{number}) ], 0);
	foreach my $tx (@{ $self->{plan}->client($self->{number}) })
	{
		$number++;
		last if $self->{stop} && $self->{stop}->();
		$self->transaction($tx, "$self->{number}.$number");
	}
	$self->{dbh}->disconnect if $self->{dbh};
	return;
}

sub transaction
{
	my ($self, $tx, $name) = @_;

	for my $attempt (1 .. $RETRIES)
	{
		my ($outcome, $state) = $self->attempt($tx, "$name.$attempt");
		my $again = $outcome eq 'unknown' ? $tx->{retry_lost} : $outcome eq 'aborted' && $state =~ /^(?:40001|40P01)$/;
		return unless $again;
		# only the first attempt is cut off on purpose
		$tx = undisturbed($tx) if $outcome eq 'unknown';
	}
	return;
}

sub undisturbed
{
	my ($tx) = @_;
	my @steps = map { my ($what, $op) = @$_; [ $what, $op ? { %$op, drop_after => undef, timeout => undef } : () ] } @{ $tx->{steps} };
	return { %$tx, steps => \@steps, end => $tx->{end} =~ /^drop/ ? 'commit' : $tx->{end} };
}

# One attempt from begin to end; returns its outcome and the SQLSTATE that it
# ended with.
sub attempt
{
	my ($self, $tx, $name) = @_;
	my $log = $self->{log};
	my $dbh = $self->session or return ('aborted', '');
	my ($outcome, $state, $message) = ('aborted', '', '');

	@$self{qw(tx_name lost sent seen)} = ($name, 0, 0, {});
	$tx = $self->chosen($tx);
	$log->put('T', tx => $name, iso => $tx->{iso}, auto => $tx->{auto}, clock => $tx->{clock});
	if (eval { $self->begin($tx); 1 } && eval { $self->steps($tx); 1 })
	{
		$outcome = $self->finish($tx);
	}
	if ($outcome eq 'aborted')
	{
		$state = $self->{state} || $self->note_error;
		# lost before anything that commits was sent is not unknown
		$outcome = 'unknown' if $self->{lost} && $self->{sent};
		eval { $self->{dbh}->do('ROLLBACK') } unless $tx->{auto} || $self->{lost};
	}
	$log->put('E', tx => $name, outcome => $outcome, sqlstate => $self->{lost} ? '' : $state, at => Time::HiRes::time());
	$self->give_up_connection if $self->{lost};
	$self->{state} = '';
	return ($outcome, $state);
}

# The transaction with what its operations leave to the moment that it begins.
sub chosen
{
	my ($self, $tx) = @_;
	my @steps;

	foreach my $step (@{ $tx->{steps} })
	{
		my ($what, $op) = @$step;
		if ($op && $op->{choose})
		{
			my ($sql, $else) = @{ $op->{choose} };
			my $target = eval { ($self->{dbh}->selectrow_array($sql))[0] } // $else;
			if ($op->{make}) { push @steps, [ $what, { %$op, %{ $op->{make}->($target) } } ]; next }
			my @intents = map { { %$_, key => $_->{key} =~ s/TARGET/$target/r } } @{ $op->{intents} };
			$op = { %$op, intents => \@intents, map { ($_ => $op->{$_} =~ s/TARGET/$target/r) } 'args', 'sql' };
		}
		push @steps, [ $what, $op ? $op : () ];
	}
	return { %$tx, steps => \@steps };
}

sub begin
{
	my ($self, $tx) = @_;
	my $level = { rc => 'READ COMMITTED', rr => 'REPEATABLE READ', ser => 'SERIALIZABLE' }->{ $tx->{iso} };

	if ($self->{clock} != $tx->{clock})
	{
		$self->{dbh}->do(sprintf "SET economy.test_clock = '%s'", Stress::World::clock_text($tx->{clock}));
		$self->{clock} = $tx->{clock};
	}
	$self->{dbh}->do("BEGIN ISOLATION LEVEL $level") unless $tx->{auto};
	return;
}

# Dies when the transaction is to end here.
sub steps
{
	my ($self, $tx) = @_;
	my ($number, $first, $failed) = (0, undef, 0);

	foreach my $step (@{ $tx->{steps} })
	{
		my ($what, $op) = @$step;
		if ($what eq 'op')
		{
			next if $failed;    # the rest of a failed savepoint
			next if $self->operation($tx, $op, $number++);
			die 'the transaction ends' if $self->{lost} || !defined $first || $self->{state} =~ /^40/;
			$failed = 1;
		}
		elsif ($what eq 'savepoint')
		{
			$self->{dbh}->do('SAVEPOINT s');
			$first = $number;
		}
		else
		{
			$failed = 1 if $what eq 'rollback_to';
			$self->{dbh}->do($failed ? 'ROLLBACK TO SAVEPOINT s' : 'RELEASE SAVEPOINT s');
			$self->{log}->put('B', tx => $self->{tx_name}, from => $first, to => $number - 1) if $failed && $number > $first;
			$self->forget($first) if $failed;
			($first, $failed) = (undef, 0);
		}
	}
	return;
}

# Captured actions that a rollback to the savepoint took back.
sub forget
{
	my ($self, $first) = @_;
	my $seen = $self->{seen};
	delete @$seen{ grep { $seen->{$_} >= $first } keys %$seen };
	return;
}

# True when it was answered; otherwise it has been logged what went wrong.
sub operation
{
	my ($self, $tx, $op, $number) = @_;
	my ($log, $dbh, $name) = @$self{qw(log dbh tx_name)};
	my ($rows, $began);

	$self->{state} = '';
	$log->put('O', tx => $name, op => $number, at => Time::HiRes::time(), fn => $op->{fn}, args => $op->{args},
		actor => $op->{actor}, units => $op->{units}, external_id => $op->{external_id});
	$self->log_intents($op, $number);
	$began = Time::HiRes::time();
	my $answered = eval {
		$dbh->do("SET statement_timeout = $op->{timeout}") if $op->{timeout};
		$self->{sent} = $tx->{auto};
		$rows = defined $op->{drop_after} ? $self->dropped($op) : $dbh->selectall_arrayref($op->{sql}, { Slice => {} });
		$rows = $self->captured($op, $number, $rows->[0]{xact}) if $op->{fn} =~ /^(?:capture|settle)_(?:raise|report)$/;
		1;
	};
	my $ms = 1000 * (Time::HiRes::time() - $began);
	$self->{state} = $self->note_error unless $answered;
	$answered &&= $self->reset_timeout($tx) if $op->{timeout} && !$self->{lost};
	$self->{answers} = [ map { $_->{state} } @{ $rows // [] } ];
	if ($answered)
	{
		my $el = 0;
		$log->put('R', tx => $name, op => $number, el => $el++, map { ($_, $rows->[ $el - 1 ]{$_}) } sort keys %$_) foreach @$rows;
		$log->put('D', tx => $name, op => $number, at => Time::HiRes::time(), ms => sprintf '%.2f', $ms);
		return 1;
	}
	$self->{lost}
	  ? $log->put('L', tx => $name, op => $number)
	  : $log->put('F', tx => $name, op => $number, sqlstate => $self->{state}, message => $self->{message});
	return 0;
}

# A trigger answers nothing, so the entries are looked up, under the lock of
# their accounts.  Those of this transaction that were not there before are new.
sub captured
{
	my ($self, $op, $number, $xact) = @_;
	my $ids = join ', ', map { "($_->{user}, '" . ($_->{key} =~ s/.*\|//r) . "')" } @{ $op->{intents} };
	my $found = $self->{dbh}->selectall_arrayref(<<"SQL", { Slice => {} });
SELECT user_id, action_id, 'A' || user_id || '-' || seq AS transaction_id, xact, gold_delta, gold, bet, win, action_type
FROM economy.user_actions WHERE game = 'chess' AND (user_id, action_id) IN ($ids)
SQL
	my %entry = map { ("$_->{user_id} chess|$_->{action_id}" => $_) } @$found;
	my @rows;

	foreach my $intent (@{ $op->{intents} })
	{
		my $place = "$intent->{user} $intent->{key}";
		my $e = $entry{$place};
		my %row = (state => 'refused', code => 'CAPTURE');

		if ($e && $e->{bet} == $intent->{bet} && $e->{win} == $intent->{win} && $e->{action_type} eq $intent->{type})
		{
			my $is_new = $e->{xact} == $xact && !defined $self->{seen}{$place};
			$self->{seen}{$place} //= $number;
			%row = (state => $is_new ? 'new' : 'reuse', map { ($_ => $e->{$_}) } qw(transaction_id xact gold_delta gold));
		}
		push @rows, \%row;
	}
	return \@rows;
}

sub log_intents
{
	my ($self, $op, $number) = @_;
	my $el = 0;

	foreach my $intent (@{ $op->{intents} })
	{
		$self->{log}->put('I', tx => $self->{tx_name}, op => $number, el => $el++, map { ($_, $intent->{$_}) } sort keys %$intent);
	}
	return;
}

# False when it took the transaction down, which COMMIT would not tell.
sub reset_timeout
{
	my ($self, $tx) = @_;
	# in a failed transaction this waits for the rollback
	return 0 if $self->{state} ne '' && !$tx->{auto};
	return 1 if eval { $self->{dbh}->do('SET statement_timeout = 0'); 1 };
	my $state = $self->note_error;
	return 1 if $tx->{auto};
	$self->{state} = $state;
	return 0;
}

# Sends the statement and breaks the connection without reading an answer.
sub dropped
{
	my ($self, $op) = @_;

	$self->{dbh}->do($op->{sql}, { pg_async => DBD::Pg::PG_ASYNC() });
	Time::HiRes::sleep($op->{drop_after});
	$self->break_connection;
	die "dropped\n";
}

sub break_connection
{
	my ($self) = @_;
	# on a copy of the descriptor, so that libpq can close its own in peace
	open my $socket, '+<&', $self->{dbh}{pg_socket} or die "dup: $!";
	shutdown $socket, Socket::SHUT_RDWR();
	close $socket;
	$self->{lost} = 1;
	return;
}

# What the last error was, and whether the connection survived it.
sub note_error
{
	my ($self) = @_;
	my $dbh = $self->{dbh};
	my $state = $dbh->state || '';

	$self->{message} = substr(($dbh->errstr // "$@") . '', 0, 300);
	$self->{lost} = 1 if $state =~ /^(?:08|57P0[123])/ || $dbh->ping <= 0;
	return $state;
}

sub finish
{
	my ($self, $tx) = @_;

	return 'committed' if $tx->{auto};
	if ($tx->{end} eq 'rollback')
	{
		return 'aborted' if eval { $self->{dbh}->do('ROLLBACK'); 1 };
		$self->{state} = $self->note_error;
		return 'aborted';
	}
	if ($tx->{end} eq 'drop')
	{
		$self->break_connection;
		return 'aborted';
	}
	$self->{sent} = 1;
	if ($tx->{end} eq 'drop_commit')
	{
		eval { $self->{dbh}->do('COMMIT', { pg_async => DBD::Pg::PG_ASYNC() }) };
		$self->break_connection;
		return 'unknown';
	}
	return 'committed' if eval { $self->{dbh}->do('COMMIT'); 1 };
	$self->{state} = $self->note_error;
	return 'aborted';
}

sub give_up_connection
{
	my ($self) = @_;
	my $dbh = delete $self->{dbh};

	eval { $dbh->disconnect } if $dbh;
	return;
}

1;
