# The log of a history: every invocation and its outcome, one line each,
# written before and after the call, so that it survives whatever happens to
# the server in between.
#
#	T tx iso auto clock        a transaction begins; tx is client.number.attempt
#	O tx op at fn args         an operation is about to be sent, at that second
#	I tx op el kind user key   an effect that it is to have, with its payload
#	R tx op el state code ...  a row of its result
#	D tx op at ms              the operation was answered, by that second
#	F tx op sqlstate message   it raised
#	L tx op                    the connection was lost before the answer
#	B tx from to               these operations were rolled back to a savepoint
#	E tx outcome at            committed, aborted or unknown
package Stress::Log;

use strict;
use warnings;
use IO::Handle;

sub new
{
	my ($class, $file) = @_;
	open my $out, '>>', $file or die "$file: $!";
	$out->autoflush(1);
	return bless { out => $out }, $class;
}

sub put
{
	my ($self, $kind, @fields) = @_;
	my $line = $kind;

	while (my ($name, $value) = splice @fields, 0, 2)
	{
		next unless defined $value;
		$value =~ s/[\t\n]+/ /g;
		$line .= "\t$name=$value";
	}
	print { $self->{out} } "$line\n" or die "cannot write the log: $!";
	return;
}

# All transactions of these files: a reference to a list of
# { tx, iso, auto, clock, outcome, ended, ops => [ { at, fn, args, intents, results, sqlstate, lost, undone, done, ms } ] }
sub read_files
{
	my (@files) = @_;
	my (@list, %by_name);

	foreach my $file (@files)
	{
		open my $in, '<', $file or die "$file: $!";
		while (my $line = <$in>)
		{
			chomp $line;
			my ($kind, @fields) = split /\t/, $line;
			my %f = map { split /=/, $_, 2 } @fields;
			my $tx = $by_name{ $f{tx} };

			if ($kind eq 'T')
			{
				push @list, $by_name{ $f{tx} } = { %f, ops => [], outcome => 'unknown' };
				next;
			}
			take_line($kind, $tx, \%f);
		}
	}
	return \@list;
}

sub take_line
{
	my ($kind, $tx, $f) = @_;
	my $op = defined $f->{op} ? $tx->{ops}[ $f->{op} ] : undef;

	if ($kind eq 'O') { $tx->{ops}[ $f->{op} ] = { %$f, intents => [], results => [] } }
	elsif ($kind eq 'I') { $op->{intents}[ $f->{el} ] = $f }
	elsif ($kind eq 'R') { $op->{results}[ $f->{el} ] = $f }
	elsif ($kind eq 'D') { @$op{qw(answered done ms)} = (1, @$f{qw(at ms)}) }
	elsif ($kind eq 'F') { @$op{qw(sqlstate message)} = @$f{qw(sqlstate message)} }
	elsif ($kind eq 'L') { $op->{lost} = 1 }
	elsif ($kind eq 'B') { $_->{undone} = 1 foreach grep { $_ } @{ $tx->{ops} }[ $f->{from} .. $f->{to} ] }
	elsif ($kind eq 'E') { @$tx{qw(outcome sqlstate ended)} = @$f{qw(outcome sqlstate at)} }
	else { die "log line of kind '$kind'" }
	return;
}

1;
