# Levels survive a dump and pg_upgrade, a role that lost its level can be dropped before
# and after, and nothing that was granted has become an initial privilege of the
# extension, which a dump would leave out.
use strict;
use warnings;

use File::Basename qw(basename dirname);
use File::Path 'make_path';
use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $old = new_node('old');
my %role = (app => 'shop', monitor => 'watcher', operator => 'scheduler', admin => 'boss');

$old->safe_psql('postgres', join '', map { "CREATE ROLE $role{$_} LOGIN; SELECT economy.grant_access('$role{$_}', '$_');" } sort keys %role);
$old->safe_psql('postgres', q{CREATE ROLE gone; SELECT economy.grant_access('gone', 'admin'); SELECT economy.revoke_access('gone', 'admin'); DROP ROLE gone});
$old->safe_psql('postgres', q{CREATE ROLE leaving; SELECT economy.grant_access('leaving', 'monitor'); SELECT economy.grant_access('leaving', 'app'); SELECT economy.revoke_access('leaving', 'app'); SELECT economy.revoke_access('leaving', 'monitor')});
$old->safe_psql('postgres', 'SELECT FROM economy.seed_demo(); SELECT FROM economy.simulate(20, 1000, 1); SELECT economy.rollup_stats(); SELECT economy.rfm_refresh()');
my $held = fingerprint($old);

sub is_in_order
{
	my ($node, $name) = @_;
	my $dbh = connect_to($node);

	is(value($dbh, <<'SQL'), undef, "$name: no initial privilege names a role");
SELECT string_agg(i.objoid::text, ' ') FROM pg_init_privs i, aclexplode(i.initprivs) a JOIN pg_roles r ON r.oid = a.grantee
WHERE NOT r.rolsuper AND i.objoid IN (SELECT d.objid FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid WHERE e.extname = 'economy')
SQL
	foreach my $level (sort keys %role)
	{
		is(value($dbh, <<'SQL', $level, $role{$level}, $role{$level}), undef, "$name: $level has what it had, and no more");
SELECT string_agg(p.oid::regprocedure::text, ', ') FROM pg_proc p
LEFT JOIN economy.access_list() l ON l.level = ANY (economy_internal.levels_of(?)) AND substring(l.object FROM '^[A-Z]+ (.*)')::regprocedure = p.oid
WHERE p.pronamespace IN ('economy'::regnamespace, 'economy_internal'::regnamespace) AND has_function_privilege(?, p.oid, 'EXECUTE') <> (l.object IS NOT NULL)
   OR NOT has_schema_privilege(?, 'economy', 'USAGE')
SQL
	}
	is(value($dbh, q{SELECT string_agg(f::text, E'\n') FROM economy.audit_schema() f}), undef, "$name: the schema is what was installed");
	is(fingerprint($node), $held, "$name: all rows are the same");
	is_clean($node, 'postgres', $name);
	$dbh->disconnect;
	return;
}
is_in_order($old, 'at first');

# dump, and restore in another cluster
my $restored = new_node('restored', empty => 1);
my ($roles, $dump) = map { $old->basedir . "/$_" } qw(roles.sql dump);
$old->command_ok([ 'pg_dumpall', '--roles-only', '-f', $roles ], 'the roles are dumped');
$old->command_ok([ 'pg_dump', '-Fc', '-f', $dump, 'postgres' ], 'and the database');
$restored->command_checks_all([ 'psql', '-X', '-f', $roles, 'postgres' ], 0, [qr//], [qr//], 'the roles are restored');
$restored->command_ok([ 'pg_restore', '-d', 'postgres', $dump ], 'and the database');
is_in_order($restored, 'restored');
# what the documents warn of, and what they say instead
$old->command_ok([ 'pg_dump', '-n', 'economy', '-f', $old->basedir . '/schema.sql', 'postgres' ], 'pg_dump -n economy');
unlike(slurp_file($old->basedir . '/schema.sql'), qr/COPY economy|CREATE EXTENSION/, 'leaves everything out');
$old->command_ok([ 'pg_dump', '-Fc', '-e', 'economy', '-t', 'economy.*', '-t', 'economy_internal.*', '-f', "$dump.own", 'postgres' ], 'pg_dump of the extension and its tables');
$restored->safe_psql('postgres', 'CREATE DATABASE own');
$restored->command_ok([ 'pg_restore', '-d', 'own', "$dump.own" ], 'is restored');
is(fingerprint($restored, 'own'), $held, 'and has everything');
$restored->safe_psql('postgres', 'DROP DATABASE own');

is(try_sql(connect_to($restored), 'DROP ROLE leaving'), '', 'a role that lost its levels can be dropped there');
isnt(try_sql(connect_to($restored), 'DROP ROLE shop'), '', 'one that has one cannot');
is(try_sql(connect_to($restored), q{SELECT economy.revoke_access('shop', 'app')}), '', 'before it is taken away');
is(try_sql(connect_to($restored), 'DROP ROLE shop'), '', 'then it can');

# pg_upgrade. It looks for the libraries with LOAD, which since 18 takes $libdir for the
# server's own directory whatever the path, so a staged one is put into a copy of the server.
sub programs
{
	my ($stage, $root) = @_;
	my ($bin, $lib, $share) = map { my $dir = `pg_config --$_`; chomp $dir; $dir } qw(bindir pkglibdir sharedir);

	return $bin if $stage eq '';
	make_path("$root$bin", "$root$lib", dirname("$root$share"));
	system_or_bail('cp', '-rL', "$bin/.", "$root$bin");
	symlink $share, "$root$share" or die "$root$share: $!";
	-e "$root$lib/" . basename($_) or symlink $_, "$root$lib/" . basename($_) or die "$_: $!" foreach glob("$stage$lib/*.so"), glob("$lib/*");
	return "$root$bin";
}

my $new = PostgreSQL::Test::Cluster->new('new');
$new->init(extra => [ '--encoding=UTF8', '--no-locale' ]);
configure($new, '');
$old->stop;
my $bin = programs($ENV{ECONOMY_STAGE} // '', $new->basedir . '/server');
my @upgrade = ('pg_upgrade', '--no-sync', '-b', $bin, '-B', $bin, '-d', $old->data_dir, '-D', $new->data_dir, '-s', $new->host, '-p', $old->port, '-P', $new->port);
chdir $new->basedir or die;
command_ok([ @upgrade, '--check' ], 'pg_upgrade finds nothing against it');
command_ok(\@upgrade, 'and does it');
$new->start;
is_in_order($new, 'upgraded');
is(try_sql(connect_to($new), 'DROP ROLE leaving'), '', 'a role that lost its levels can be dropped after it');
my $dbh = connect_to($new);
is(value($dbh, q{SELECT state FROM economy.purchase(economy.user_id_of('bob'), 'potion', 'upgraded')}), 'new', 'and it goes on');
$dbh->disconnect;
is_clean($new, 'postgres', 'after it');

$_->stop foreach $new, $restored;
done_testing();
