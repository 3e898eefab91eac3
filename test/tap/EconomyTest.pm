# EconomyTest: throw-away servers that have the staged extension, and many
# sessions at once.
#
# ECONOMY_STAGE names the directory that scripts/stage installed into; the
# server finds the extension there by the settings that scripts/pg-config prints, so nothing is
# installed into /usr.  A server does not start as root: the runner
# (scripts/test) runs these files through setpriv as the user postgres, with a
# TESTDATADIR that this user can write.
package EconomyTest;

use strict;
use warnings;

# glibc fills freed memory with it, so that a use after free shows
BEGIN { $ENV{MALLOC_PERTURB_} //= 165 }

# PostgreSQL 15 names the place for files TESTDIR, 16 TESTDATADIR and TESTLOGDIR
BEGIN { $ENV{TESTDIR} //= $ENV{TESTDATADIR} if defined $ENV{TESTDATADIR} }

use DBI;
use Exporter 'import';
use File::Basename 'dirname';
use IO::Handle;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(new_node configure extensions_in connect_to fresh_database row value try_sql
  at_once is_clean missing keep_events fingerprint add_user add_product wait_until_blocked);

my $template = 0;
my @nodes;

# The time limit of a file is over, by its own clock or by the runner's. At once: a
# session that waits for the server would keep a safe handler waiting too.
my $ended = POSIX::SigAction->new(sub {
		print STDERR "$0: ended after ", time - $^T, " seconds\n";
		kill 'INT', grep { defined } map { $_->{_pid} } @nodes;
		POSIX::_exit(124);
});
POSIX::sigaction($_, $ended) foreach POSIX::SIGTERM(), POSIX::SIGALRM();
alarm($ENV{TAP_LIMIT} // 1200);

# A tool that scripts/setup installs is there in our runs; a packager may lack it.
sub missing
{
	my ($what) = @_;
	die "$what is not installed, run make setup\n" if $ENV{ECONOMY_STAGE};
	plan skip_all => "$what is not installed";
	return;
}

# A started server with the extension in database "postgres".
sub new_node
{
	my ($name, %params) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	push @nodes, $node;
	my %init = %{ $params{init} // {} };

	# not what the caller's locale says, which may be none
	$node->init(%init, extra => [ '--encoding=UTF8', '--no-locale', @{ $init{extra} // [] } ]);
	configure($node, $params{conf} // '');
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION economy')
	  unless $params{empty};
	return $node;
}

# The settings with which a server finds the extension below a directory.
sub extensions_in
{
	my ($stage) = @_;
	return scalar `@{[dirname(__FILE__)]}/../../scripts/pg-config --extensions $stage`;
}

sub configure
{
	my ($node, $conf) = @_;
	# none: what is installed is tested
	my $stage = $ENV{ECONOMY_STAGE} // '';
	my $extensions = $stage eq '' ? '' : extensions_in($stage);

	$node->append_conf('postgresql.conf', <<"CONF");
$extensions
max_connections = 100
max_prepared_transactions = 20
log_statement = none
$conf
CONF
	return;
}

# An own database with the extension, for what can happen only once in one.
sub fresh_database
{
	my ($node) = @_;
	my $name = 'fresh' . ++$template;

	$node->safe_psql('template1', "CREATE DATABASE $name");
	$node->safe_psql($name, 'CREATE EXTENSION economy');
	return $name;
}

# A session.  Errors die unless RaiseError => 0 is given.
sub connect_to
{
	my ($node, $database, %attributes) = @_;
	my $dsn = sprintf 'dbi:Pg:dbname=%s;host=%s;port=%s', $database // 'postgres',
	  $node->host, $node->port;

	return DBI->connect($dsn, '', '',
		{ AutoCommit => 1, RaiseError => 1, PrintError => 0, PrintWarn => 0,
			pg_server_prepare => 0, AutoInactiveDestroy => 1, %attributes });
}

sub row
{
	my ($dbh, $sql, @args) = @_;
	return $dbh->selectrow_hashref($sql, undef, @args);
}

sub value
{
	my ($dbh, $sql, @args) = @_;
	return ($dbh->selectrow_array($sql, undef, @args))[0];
}

# The SQLSTATE that the statement ends with; '' is success.
sub try_sql
{
	my ($dbh, $sql) = @_;
	return eval { $dbh->do($sql); 1 } ? '' : $dbh->state;
}

sub add_user
{
	my ($dbh, $name, $gold) = @_;
	my $id = value($dbh, 'SELECT economy.register(?)', $name);

	value($dbh, q{SELECT code FROM economy.adjust_gold(?, ?, 'opening', 'a test', 'tester')}, $id, $gold)
	  if $gold;
	return $id;
}

# add_product($dbh, 'sword', price_gold => 10, stock => 50, slots => 8)
sub add_product
{
	my ($dbh, $id, %columns) = @_;
	my $stock = delete $columns{stock};
	my $slots = delete $columns{slots} // 8;
	my %product = (product_id => $id, category => 'item', %columns);
	my @pairs = map { ($_, $product{$_}) } sort keys %product;

	value($dbh, 'SELECT product_id FROM economy.upsert_product(jsonb_object(?::text[]), ?)',
		\@pairs, 'tester');
	value($dbh, 'SELECT economy.add_stock(?, ?, ?, ?)', $id, $stock, 'tester', $slots)
	  if defined $stock;
	return $id;
}

# Runs $code->($number, $dbh) in $n sessions that all begin at the same moment,
# and returns what each returned: a list of references to lists of strings.
sub at_once
{
	my ($node, $database, $n, $code, @settings) = @_;
	my $gate = connect_to($node, $database);
	my (@readers, @pids, @results);

	$gate->do('SELECT pg_advisory_lock(1, 1)');
	for my $number (1 .. $n)
	{
		pipe(my $reader, my $writer) or die "pipe: $!";
		my $pid = fork() // die "fork: $!";

		if ($pid == 0)
		{
			# _exit: the parent's servers are not this process's to stop
			close $reader;
			my @answer = eval {
				my $dbh = connect_to($node, $database);
				$dbh->do($_) foreach @settings;
				$dbh->do('SELECT pg_advisory_lock_shared(1, 1)');
				$code->($number, $dbh);
			};
			@answer = ('died', "$@") if $@;
			print $writer join("\t", map { my $x = $_ // ''; $x =~ s/\s+/ /g; $x } @answer), "\n";
			$writer->flush;
			POSIX::_exit(0);
		}
		close $writer;
		push @readers, $reader;
		push @pids, $pid;
	}
	$node->poll_query_until($database // 'postgres', <<"SQL") or die 'sessions did not gather';
SELECT count(*) = $n FROM pg_locks
WHERE locktype = 'advisory' AND (classid, objid, objsubid) = (1, 1, 2) AND NOT granted
SQL
	$gate->disconnect;
	foreach my $reader (@readers)
	{
		my $line = <$reader> // '';
		chomp $line;
		push @results, [ split /\t/, $line, -1 ];
	}
	waitpid $_, 0 foreach @pids;
	return @results;
}

sub wait_until_blocked
{
	my ($node, $database, $pid) = @_;

	$node->poll_query_until($database,
		"SELECT cardinality(pg_blocking_pids($pid)) > 0")
	  or die "session $pid does not wait";
	return;
}

# No finding of the online audit, in a session that knows nothing yet.
sub is_clean
{
	my ($node, $database, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	is($node->safe_psql($database // 'postgres', 'SELECT * FROM economy.audit_sweep()'),
		'', "$name: no finding");
	is($node->safe_psql($database // 'postgres', <<'SQL'), '', "$name: every receipt verifies");
SELECT t.user_id, t.seq, c.reason
FROM economy.shop_transactions t,
     economy.verify_receipt(t.user_id, 'P' || t.user_id || '-' || t.seq) c
WHERE NOT c.valid
SQL
	keep_events($node->safe_psql($database // 'postgres', <<'SQL')) if $ENV{ECONOMY_EVENTS};
SELECT e.event
FROM economy.ledger l, economy_internal.entry_events(l.user_id, l.seq, l.transaction_id::"char") e
SQL
	return;
}

# Events that the test "events" validates.
sub keep_events
{
	my @events = @_;

	append_to_file("$ENV{ECONOMY_EVENTS}/tap-$$.jsonl", join '', map { "$_\n" } @events) if $ENV{ECONOMY_EVENTS} && @events;
	return;
}

# One text for all rows of all tables, but for the records of the audit and of the installation.
sub fingerprint
{
	my ($node, $database) = @_;

	return $node->safe_psql($database // 'postgres', <<'SQL');
SELECT string_agg(c.relname || ':' || md5(query_to_xml(
           format('SELECT t::text AS t FROM %s t ORDER BY 1', c.oid::regclass), true, false, '')::text),
           E'\n' ORDER BY c.relname)
FROM pg_class c
WHERE c.relnamespace IN ('economy'::regnamespace, 'economy_internal'::regnamespace) AND c.relkind = 'r' AND c.relname NOT LIKE 'audit%' AND c.relname <> 'installations'
SQL
}

1;
