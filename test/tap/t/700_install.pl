# Where it cannot be installed, and a library of another release: the error says what
# to do.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('install', conf => "shared_preload_libraries = 'economy'");

# encodings
foreach my $encoding (qw(LATIN1 SQL_ASCII EUC_JP))
{
	$node->safe_psql('postgres', "CREATE DATABASE \L$encoding\E ENCODING '$encoding' LOCALE 'C' TEMPLATE template0");
	my $dbh = connect_to($node, lc $encoding);
	is(try_sql($dbh, 'CREATE EXTENSION economy'), 'XE803', "not in a database in $encoding");
	like($dbh->errstr, qr/HINT:.*ENCODING 'UTF8'/, 'which says what to do');
	is(value($dbh, q{SELECT count(*) FROM pg_namespace WHERE nspname IN ('economy', 'economy_internal')}), 0, 'and leaves nothing');
}
$node->safe_psql('postgres', q{CREATE DATABASE utf8 ENCODING 'UTF8' LOCALE 'C.UTF-8' TEMPLATE template0});
is(try_sql(connect_to($node, 'utf8'), 'CREATE EXTENSION economy'), '', 'in UTF8 with another locale');

# only a superuser makes it, also in a database of one's own
$node->safe_psql('postgres', 'CREATE ROLE builder LOGIN');
$node->safe_psql('postgres', q{CREATE DATABASE built OWNER builder ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0});
my $builder = connect_to($node, 'built');
$builder->do('SET SESSION AUTHORIZATION builder');
is(try_sql($builder, 'CREATE EXTENSION economy'), '42501', 'not by the owner of a database');
like($builder->errstr, qr/permission denied to create extension/, 'who is no superuser');
$builder->disconnect;

# a dump does not get into another encoding either
my $dump = $node->basedir . '/plain.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, 'postgres' ], 'a dump');
$node->psql('postgres', "DROP DATABASE latin1; CREATE DATABASE latin1 ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
my ($out, $err) = run_command([ 'psql', '-X', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('latin1'), '-f', $dump ]);
like($err, qr/UTF8 databases only/, 'is not restored into one in LATIN1');

# the library that was preloaded is older than the files that were installed since
my $stage = $ENV{ECONOMY_STAGE} // '';
chomp(my $sharedir = `pg_config --sharedir`);
my ($control) = slurp_file("$stage$sharedir/extension/economy.control");
my ($version) = $control =~ /^default_version *= *'(.*)'/m;
my $newer = $node->basedir . '/newer';
my $files = "$newer$sharedir/extension";
system('mkdir', '-p', $files) == 0 && symlink("$stage/usr/lib", "$newer/usr/lib") or die;
append_to_file("$files/economy.control", $control =~ s/\Q$version\E/9.9.9/r);
my $script = slurp_file("$stage$sharedir/extension/economy--$version.sql");
append_to_file("$files/economy--9.9.9.sql", $script);
# one from before, which a newer library knows, and how to come from there to the newer one
append_to_file("$files/economy--0.0.10.sql", $script);
append_to_file("$files/economy--0.0.10--$version.sql", 'SELECT economy_internal.begin_update(); SELECT economy_internal.note_schema();');
append_to_file("$files/economy--$version--9.9.9.sql", 'SELECT economy_internal.begin_update(); SELECT economy_internal.note_schema();');
$node->append_conf('postgresql.conf', extensions_in($newer));
$node->restart;
$node->safe_psql('postgres', 'CREATE DATABASE later');
my $dbh = connect_to($node, 'later');
is(try_sql($dbh, 'CREATE EXTENSION economy'), 'XE804', 'objects of a newer release under the library that is loaded');
like($dbh->errstr, qr/is of version \Q$version\E, not 9\.9\.9.*HINT:.*Restart the server/s, 'restart, it says');
is(try_sql($dbh, q{CREATE EXTENSION economy VERSION '0.0.10'}), '', 'those of an older one it knows');
is(try_sql($dbh, q{ALTER EXTENSION economy UPDATE TO '9.9.9'}), 'XE804', 'they become none of a newer release');
is(value($dbh, q{SELECT extversion FROM pg_extension WHERE extname = 'economy'}), '0.0.10', 'and stay as they were');
# what was changed before is told once more, and counts as installed from then on
$dbh->do('ALTER TABLE economy.games DROP CONSTRAINT games_rules_check');
my $warned = '';
{
	local $SIG{__WARN__} = sub { $warned .= shift };
	local $dbh->{PrintWarn} = 1;
	is(try_sql($dbh, qq{ALTER EXTENSION economy UPDATE TO '$version'}), '', 'but of its own');
}
like($warned, qr/1 objects of economy are not as they were installed: constraint games_rules_check of games/, 'with a warning of what was changed');
is(value($dbh, 'SELECT count(*) FROM economy.audit_schema()'), 0, 'which is what is there now');

# numbers are compared as numbers: 0.10 is newer than 0.2, whose text is greater
{
	my ($major, $minor, $patch) = split /\./, $version;
	my $power = '1' . '0' x length $minor;
	$dbh->do(q{BEGIN; UPDATE pg_extension SET extversion = ? WHERE extname = 'economy'}, undef, "$major.$power.0");
	is(try_sql($dbh, 'SELECT economy_internal.require_library()'), 'XE804', "objects of $power under a library of $minor");
	$dbh->do('ROLLBACK');
}

# the same found by a call
$dbh = connect_to($node);
is(value($dbh, 'SELECT economy.library_version()'), $version, 'a session asks for the release');
$dbh->do(q{BEGIN; UPDATE pg_extension SET extversion = '9.9.9' WHERE extname = 'economy'; ALTER TABLE economy.accounts RENAME COLUMN streak_freezes TO gone});
is(try_sql($dbh, q{SELECT economy.adjust_gold(1, 1, 'k', 'r', 'a')}), 'XE105', 'a call that finds other objects');
like($dbh->errstr, qr/HINT:.*version \Q$version\E, the extension of version 9\.9\.9\. Restart the server/, 'says so too');
$dbh->do('ROLLBACK; BEGIN; ALTER TABLE economy.accounts RENAME COLUMN streak_freezes TO gone');
is(try_sql($dbh, q{SELECT economy.adjust_gold(1, 1, 'k', 'r', 'a')}), 'XE105', 'of its own release');
like($dbh->errstr, qr/HINT:.*audit_schema/, 'it is something else');
$dbh->do('ROLLBACK');

$dbh->disconnect;
$node->stop;
done_testing();
