# A throw-away server with a staged extension that can be killed and started
# again.  It listens on a socket in its own directory only, so that servers of
# several runs cannot meet.
package Stress::Server;

use strict;
use warnings;
use DBI;
use File::Basename 'dirname';
use File::Path ();
use File::Temp ();
use Time::HiRes ();

# However the program ends, its servers go.
my @running;
$SIG{$_} = sub { exit 1 } foreach qw(INT TERM HUP);
END { my $status = $?; $_->remove foreach grep { $_->{owner} == $$ } @running; $? = $status }

my $PG_CONFIG = dirname(__FILE__) . '/../../../scripts/pg-config';
chomp(our $BIN = `$PG_CONFIG --bindir`);
my $FREED = 16 * 1024 * 1024;    # bytes that free_disk() gives back

# stage, and optionally conf: lines for postgresql.conf; primary: the server that
# this one is a standby of; disk: MB of memory that are mounted for the tablespace
# "small", which fill_disk() fills; without the right to mount there is none
sub new
{
	my ($class, %p) = @_;
	my $base = File::Temp::tempdir('economy-stress.XXXXXX', TMPDIR => 1);
	my $self = bless { %p, base => $base, data => "$base/data", owner => $$, environment => $p{environment} // {} }, $class;

	push @running, $self;
	# PostgreSQL refuses to run as root
	$self->{as} = $> == 0 ? [qw(setpriv --reuid=postgres --regid=postgres --init-groups)] : [];
	if ($> == 0)
	{
		my ($uid, $gid) = (getpwnam 'postgres')[ 2, 3 ];
		chown $uid, $gid, $base;
	}
	chmod 0755, $base;
	$self->create or die "no data directory; see $base/commands.log\n";
	$self->configure;
	$self->start;
	$self->mount_disk if $self->{disk};
	return $self;
}

sub create
{
	my ($self) = @_;
	my $primary = $self->{primary}
	  or return $self->command("$BIN/initdb", '-D', $self->{data}, qw(-A trust -U postgres -E UTF8 --locale=C -N));
	return $self->command("$BIN/pg_basebackup", '-D', $self->{data}, '-h', $primary->{base}, qw(-p 5432 -U postgres -R -N -c fast));
}

# Runs a program as the server's user, quietly.
sub command
{
	my ($self, @command) = @_;
	my $log = "$self->{base}/commands.log";
	my $pid = fork() // die "fork: $!";

	if ($pid == 0)
	{
		open STDIN, '<', '/dev/null';
		open STDOUT, '>>', $log;
		open STDERR, '>&', \*STDOUT;
		chdir '/';
		$ENV{$_} = $self->{environment}{$_} foreach keys %{ $self->{environment} };
		exec @{ $self->{as} }, @command or exit 127;
	}
	waitpid $pid, 0;
	return $? == 0;
}

# A kill -9 of every process leaves the operating system's cache as it is, so
# nothing here depends on fsync.
sub configure
{
	my ($self) = @_;

	my $extensions = `$PG_CONFIG --extensions $self->{stage}`;

	open my $conf, '>>', "$self->{data}/postgresql.conf" or die "postgresql.conf: $!";
	print $conf <<"CONF";
listen_addresses = ''
unix_socket_directories = '$self->{base}'
port = 5432
$extensions
shared_preload_libraries = 'economy'
max_connections = 100
fsync = off
shared_buffers = 64MB
max_wal_size = 1GB
deadlock_timeout = 100ms
restart_after_crash = on
log_min_messages = warning
log_line_prefix = '%m [%p] %a '
CONF
	print $conf "$_\n" foreach @{ $self->{conf} // [] };
	close $conf;
	return;
}

sub start
{
	my ($self) = @_;
	$self->command("$BIN/pg_ctl", qw(start -w -t 120 -s -D), $self->{data}, '-l', "$self->{base}/server.log")
	  or die "the server does not start; see $self->{base}/server.log\n";
	return;
}

sub mount_disk
{
	my ($self) = @_;
	my $disk = "$self->{base}/disk";

	mkdir $disk;
	if ($> != 0 || system(qw(mount -t tmpfs -o), "size=$self->{disk}m,mode=0777", 'tmpfs', $disk) != 0)
	{
		print "no right to mount a small disk: none gets full\n";
		delete $self->{disk};
		return;
	}
	$self->{filler} = "$disk/filler";
	my $dbh = $self->connect_to('postgres');
	mkdir "$disk/small";
	chown +(getpwnam 'postgres')[ 2, 3 ], "$disk/small";
	$dbh->do("CREATE TABLESPACE small LOCATION '$disk/small'");
	$dbh->disconnect;
	return;
}

# Until no page is left.
sub fill_disk
{
	my ($self) = @_;
	open my $filler, '>>', $self->{filler} or die "$self->{filler}: $!";
	1 while syswrite $filler, "\0" x 4096;
	close $filler;
	return;
}

sub free_disk
{
	my ($self) = @_;
	my $size = -s $self->{filler} // 0;
	truncate $self->{filler}, $size > $FREED ? $size - $FREED : 0;
	return;
}

sub promote
{
	my ($self) = @_;
	$self->command("$BIN/pg_ctl", qw(promote -w -t 120 -s -D), $self->{data}) or die "no promotion; see $self->{base}/server.log\n";
	return;
}

sub stop
{
	my ($self) = @_;
	$self->command("$BIN/pg_ctl", qw(stop -w -s -m immediate -D), $self->{data});
	return;
}

sub processes
{
	my ($self) = @_;
	my ($postmaster) = $self->log_text("$self->{data}/postmaster.pid") =~ /^(\d+)/ or return;
	my @children = split ' ', `ps -o pid= --ppid $postmaster`;
	return ($postmaster, @children);
}

# The whole server dies at once, as when its machine loses the process tree.
sub kill_all
{
	my ($self) = @_;
	my @pids = $self->processes;

	kill 'STOP', $pids[0];    # it must not start anything meanwhile
	push @pids, $self->processes;
	kill 'KILL', @pids;
	foreach my $pid (@pids)
	{
		Time::HiRes::sleep(0.01) while $self->lives($pid);
	}
	# where nobody reaps it, the dead postmaster looks alive to the next one
	unlink "$self->{data}/postmaster.pid", "$self->{base}/.s.PGSQL.5432.lock";
	return;
}

# A zombie that nobody reaps still answers signal 0.
sub lives
{
	my ($self, $pid) = @_;
	my $stat = $self->log_text("/proc/$pid/stat");
	return $stat ne '' && $stat !~ /\) Z /;
}

sub log_text
{
	my ($self, $file) = @_;
	open my $in, '<', $file // "$self->{base}/server.log" or return '';
	local $/ = undef;
	return scalar(<$in>) // '';
}

# What no run may leave in the server's log.
sub complaints
{
	my ($self) = @_;
	my @lines = split /\n/, $self->log_text;
	# which the checkpointer and others try again, and warn of
	@lines = grep { !/No space left on device|WARNING:  could not write block/ } @lines if $self->{disk};
	my @bad = grep { /PANIC|TRAP|terminated by signal (?!9\b)|could not (?:read|write)|corrupt|leak/ } @lines;
	return @bad;
}

sub dsn
{
	my ($self, $database) = @_;
	return "dbi:Pg:dbname=$database;host=$self->{base};port=5432;user=postgres";
}

# A server that recovers lets nobody in for a while.
sub connect_to
{
	my ($self, $database) = @_;
	my $give_up = Time::HiRes::time() + 60;

	while (1)
	{
		my $dbh = eval {
			DBI->connect($self->dsn($database), '', '', {
					AutoCommit => 1, RaiseError => 1, PrintError => 0, PrintWarn => 0,
					pg_server_prepare => 0, AutoInactiveDestroy => 1 });
		};
		return $dbh if $dbh;
		die $@ if Time::HiRes::time() > $give_up;
		Time::HiRes::sleep(0.05);
	}
}

sub remove
{
	my ($self) = @_;

	@running = grep { $_ != $self } @running;
	$self->stop;
	system 'umount', "$self->{base}/disk" if $self->{disk};
	File::Path::remove_tree($self->{base});
	return;
}

1;
