# The programs of doc/clients.md: they run, miss nothing and show nothing twice
# over a crash of the server.
use strict;
use warnings;

use FindBin;
use JSON::PP;
use lib "$FindBin::Bin/..";
use EconomyTest;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $deadline = $PostgreSQL::Test::Utils::timeout_default;
my $dir = PostgreSQL::Test::Utils::tempdir();
my $doc = slurp_file("$FindBin::Bin/../../../doc/clients.md");
my %running;

END { kill 'KILL', values %running }

sub eventually
{
	my ($code) = @_;

	for my $try (1 .. 20 * $deadline)
	{
		return 1 if $code->();
		select undef, undef, undef, 0.05;
	}
	return 0;
}

# The document's only block in this language, as a file.
sub program
{
	my ($language) = @_;
	my @blocks = $doc =~ /^```$language\n(.*?)^```$/msg;

	is(scalar @blocks, 1, "doc/clients.md has a program in $language");
	append_to_file("$dir/listen.$language", $blocks[0]);
	return "$dir/listen.$language";
}

my $node = new_node('clients', conf => "shared_preload_libraries = 'economy'\nfsync = on");
my $dbh = connect_to($node);
my $ann = add_user($dbh, 'ann');
my $rewards = 0;

sub reward { return value($dbh, q{SELECT code FROM economy.grant_reward(?, 'test', ?, 1, 300)}, $ann, ++$rewards) }

# The ids of all events of the user, in order.
sub committed
{
	return join ' ', map { $_->[0] } @{ $dbh->selectall_arrayref(
			q{SELECT event->>'id' FROM economy.replay(?, 0, 10000) WHERE code = 'EVENT'}, undef, $ann) };
}

sub shown
{
	my ($out) = @_;
	return join ' ', map { decode_json($_)->{id} } split /\n/, slurp_file($out);
}

sub ok_client
{
	my ($name, @command) = @_;
	my ($out, $err) = map { "$dir/$name.$_" } qw(out err);

	append_to_file($_, '') foreach $out, $err;
	$running{$name} = fork() // die "fork: $!";
	if ($running{$name} == 0)
	{
		@ENV{qw(PGHOST PGPORT PGUSER PGDATABASE)} = ($node->host, $node->port, scalar getpwuid($<), 'postgres');
		open STDOUT, '>', $out;
		open STDERR, '>', $err;
		exec @command, $ann, 0 or POSIX::_exit(127);
	}
	ok(eventually(sub { slurp_file($err) =~ /listening/ }), "$name: listens") or diag slurp_file($err);
	my $past = committed();
	is(shown($out), $past, "$name: what was before");

	reward() foreach 1 .. 3;
	eventually(sub { length shown($out) >= length committed() });
	is(shown($out), committed(), "$name: what comes, several events of an entry too");

	# a gap, and what is no event
	$dbh->do('SET economy.notify = off');
	reward();
	$dbh->do('RESET economy.notify');
	$dbh->do('SELECT pg_notify(?, ?)', undef, 'reward_granted', $_) foreach 'x', '[]', '{"id": 1}', 'null';
	reward();
	eventually(sub { length shown($out) >= length committed() });
	is(shown($out), committed(), "$name: a gap is filled");

	$node->stop('immediate');
	$node->start;
	$dbh = connect_to($node);
	reward() foreach 1 .. 3;
	eventually(sub { length shown($out) >= length committed() });
	is(shown($out), committed(), "$name: over a crash, each once");
	kill 'KILL', $running{$name};
	waitpid delete $running{$name}, 0;
	return;
}

reward() foreach 1 .. 2;
my ($python) = grep { -x && system("$_ -c 'import psycopg2' 2>/dev/null") == 0 } '/usr/bin/python3';
my $file = program('python');
die "python3-psycopg2 is not installed, run make setup\n" if !$python && $ENV{ECONOMY_STAGE};
SKIP: {
	skip 'python3-psycopg2 is not installed', 1 unless $python;
	ok_client('python', $python, $file);
}

# found by NODE_PATH, or in the checkout
local $ENV{NODE_PATH} = join ':', $ENV{NODE_PATH} // (), ($ENV{ECONOMY_ROOT} // '.') . '/node_modules';
$file = program('js');
SKIP: {
	skip 'node has no module pg (npm install pg; set NODE_PATH)', 1 unless system("node -e 'require(\"pg\")' 2>/dev/null") == 0;
	ok_client('node', 'node', $file);
}

$dbh->disconnect;
$node->stop;
done_testing();
