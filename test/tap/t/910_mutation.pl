# The runner of planted defects: a name that is none is refused before anything is built.
use strict;
use warnings;

use FindBin;
use Test::More;

my $run = "$FindBin::Bin/../../mutation/run";

foreach my $names ('no_such_mutant', 'no_such_mutant.sed', 'account_lock_dropped no_such_mutant')
{
	my $said = `bash $run $names 2>&1`;

	is($? >> 8, 2, "$names: refused");
	is($said, "mutation: no_such_mutant is no mutant, see test/mutation/mutants\n", "$names: by name");
}
done_testing();
