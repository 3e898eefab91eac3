# One history from an empty world to the verdict: clients and a reader of the
# feed as processes, then the settling of what nobody was answered, then the
# checker.
package Stress::Run;

use strict;
use warnings;
use File::Copy ();
use File::Path ();
use POSIX ();
use Stress::Checker;
use Stress::Client;
use Stress::Ddl;
use Stress::Leaderboards;
use Stress::Log;
use Stress::Tables;
use Stress::World;
use Time::HiRes ();

# what has left its journal
my $GONE = join ' UNION ALL ', q{SELECT 'A' || user_id || '-' || seq FROM economy.pruned_actions},
  map { sprintf q{SELECT '%s' || user_id || '-' || seq FROM public.archived_%s}, { shop_transactions => 'P', reward_audit => 'R', gold_adjustments => 'G' }->{$_}, $_ } @Stress::World::ARCHIVED;

# server, plan, and optionally ddl: a DBA works meanwhile; during: code that is run while the clients play;
# once: SQL for the first session of every client; resync: the feed may have to
# begin again for other reasons than a prune; full: the database is on the small disk, which gets full;
# async: actions commit without waiting for the disk
sub new
{
	my ($class, %p) = @_;
	my $self = bless {%p}, $class;

	$self->{driver} = $$;
	$self->{database} = "seed$p{plan}{seed}";
	$self->{dir} = "$p{server}{base}/logs$p{plan}{seed}";
	mkdir $self->{dir};
	return $self;
}

# The database that every history begins with a copy of, its journals in so many partitions.
sub prepare
{
	my ($server, $partitions) = @_;
	my $dbh = $server->connect_to('postgres');

	$dbh->do('CREATE DATABASE world');
	$dbh->do("ALTER DATABASE world SET economy.journal_partitions = $partitions") if $partitions;
	my $world = $server->connect_to('world');
	$world->do('CREATE EXTENSION economy');
	$world->do('CREATE FUNCTION public.ddl_nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$');
	Stress::World::create($world);
	$world->disconnect;
	$dbh->disconnect;
	return;
}

sub play
{
	my ($self) = @_;
	my $server = $self->{server};
	my $dbh = $server->connect_to('postgres');

	wait_until($dbh, "NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = 'world' AND backend_type = 'client backend')");
	# PostgreSQL 15 copies a sequence in the default way with the claim that its
	# next values are in WAL, which is so for the original alone
	$dbh->do("CREATE DATABASE $self->{database} TEMPLATE world STRATEGY file_copy" . ($self->{full} ? ' TABLESPACE small' : ''));
	$dbh->do("ALTER DATABASE $self->{database} SET economy.async_commit = actions") if $self->{async};
	$dbh->disconnect;
	my $feed = $self->in_process(sub { $self->read_feed });
	my @clients = map { my $n = $_; $self->in_process(sub { $self->client($n)->run }) } 1 .. $self->{plan}{clients};
	my $dba = $self->{ddl} && $self->in_process(sub { $self->dba });
	$self->{during}->($self) if $self->{during};
	$self->{died} = grep { waitpid($_, 0); $? } @clients;
	$self->touch('ddl_stop');
	$self->{died} += grep { waitpid($_, 0); $? } $dba || ();
	$self->touch('feed_stop');
	waitpid $feed, 0;
	$self->{died}++ if $?;
	return;
}

sub touch
{
	my ($self, $name) = @_;
	open my $file, '>', "$self->{dir}/$name" or die "$name: $!";
	close $file;
	return;
}

# For the processes: somebody has said so, or the driver is gone.
sub is_over
{
	my ($self, $name) = @_;
	return -e "$self->{dir}/$name" || getppid() != $self->{driver};
}

sub in_process
{
	my ($self, $code) = @_;
	my $pid = fork() // die "fork: $!";

	if ($pid == 0)
	{
		eval { $code->(); 1 } or print STDERR "stress: $@";
		POSIX::_exit($@ ? 1 : 0);
	}
	return $pid;
}

sub dba
{
	my ($self) = @_;
	my $done = Stress::Ddl::run(server => $self->{server}, database => $self->{database}, seed => $self->{plan}{seed},
		stop => sub { $self->is_over('ddl_stop') });

	open my $out, '>', "$self->{dir}/ddl" or die "ddl: $!";
	print $out "$done\n";
	close $out;
	return;
}

sub client
{
	my ($self, $n) = @_;
	return Stress::Client->new(
		number => $n, plan => $self->{plan}, dsn => $self->{server}->dsn($self->{database}),
		log => Stress::Log->new("$self->{dir}/client$n.log"), once => $self->{once},
		stop => sub { $self->is_over('clients_stop') });
}

# Reads economy.changes() while others write, and appends the ids of events.
sub read_feed
{
	my ($self) = @_;
	my ($cursor, $dbh) = ('start');
	open my $out, '>', "$self->{dir}/feed" or die "feed: $!";

	until ($self->is_over('feed_stop'))
	{
		$dbh = undef if $dbh && !$dbh->ping;
		$dbh //= eval { $self->{server}->connect_to($self->{database}) };
		$cursor = eval { $self->pull_feed($dbh, $cursor, $out) } // $cursor if $dbh;
		Time::HiRes::sleep(0.05);
	}
	print $out "cursor $cursor\n";
	close $out;
	return;
}

# One page; the cursor moves on only after its events are written down.
sub pull_feed
{
	my ($self, $dbh, $cursor, $out) = @_;
	my $rows = $dbh->selectall_arrayref(q{SELECT code, event ->> 'id', next_cursor FROM economy.changes(?, 500)}, undef, $cursor);

	if ($rows->[-1][0] eq 'RESYNC_REQUIRED')
	{
		print $out "resync\n";
		return wantarray ? ('start', '') : 'start';
	}
	print $out "$_->[1]\n" foreach grep { $_->[0] eq 'EVENT' } @$rows;
	return wantarray ? ($rows->[-1][2], $rows->[-1][0]) : $rows->[-1][2];
}

sub finish_feed
{
	my ($self, $dbh) = @_;
	my ($cursor) = reverse grep { s/^cursor // } $self->lines('feed');
	my (%events, %before);
	my %gone = map { ($_ => 1) } @{ $dbh->selectcol_arrayref($GONE) };

	open my $out, '>>', "$self->{dir}/feed" or die "feed: $!";
	for (my $code = ''; $code ne 'CAUGHT_UP';) { ($cursor, $code) = $self->pull_feed($dbh, $cursor, $out) }
	close $out;
	foreach my $line (grep { !/^cursor / } $self->lines('feed'))
	{
		if ($line ne 'resync') { $events{$line}++; next }
		# a prune or an archive may have overtaken the reader, which is told so rather too often than never
		die "the feed wants a resync, and nothing has gone\n" unless $self->{resync} || %gone;
		$before{$_} = 1 foreach keys %events;
		%events = ();
		$self->{resyncs}++;
	}
	# that a mission is completed is told as long as there is progress of it
	my @lost = grep { !$events{$_} && !$gone{s{/.*}{}r} && !m{/mission/} } sort keys %before;
	die "@lost[0 .. ($#lost < 9 ? $#lost : 9)] were told and are lost\n" if @lost;
	return \%events;
}

sub lines
{
	my ($self, $name) = @_;
	open my $in, '<', "$self->{dir}/$name" or die "$name: $!";
	chomp(my @lines = <$in>);
	return @lines;
}

# Where actions do not wait for the disk, their answers promise nothing: what a crash
# may have taken counts as unknown, and whoever was told of it by the feed knows it.
sub logs
{
	my ($self) = @_;
	my $log = Stress::Log::read_files(sort glob "$self->{dir}/*.log");

	@$_{qw(was outcome)} = ($_->{outcome}, 'unknown') foreach grep { $self->{async} && $_->{outcome} eq 'committed' && is_light($_) } @$log;
	return $log;
}

# A transaction that has changed nothing but by recording actions.
sub is_light
{
	my ($tx) = @_;
	my @ops = grep { $_ && !$_->{undone} } @{ $tx->{ops} };

	return 0 unless grep { $_->{fn} =~ /^record_actions?$/ } @ops;
	return !grep { $_->{fn} !~ /^(?:record_actions?|read|misuse)$/ } @ops;
}

sub wait_until
{
	my ($dbh, $condition) = @_;
	my $give_up = Time::HiRes::time() + 60;

	until (($dbh->selectrow_array("SELECT $condition"))[0])
	{
		die "never: $condition\n" if Time::HiRes::time() > $give_up;
		Time::HiRes::sleep(0.02);
	}
	return;
}

# Everything from the end of the clients to the violations.
sub judge
{
	my ($self) = @_;
	my $dbh = $self->{server}->connect_to($self->{database});

	# sessions without a client may still be at work
	wait_until($dbh, "NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()"
		. " AND backend_type = 'client backend' AND pid <> pg_backend_pid())");
	my @violations = $self->settle($dbh);
	push @violations, $self->retry_archived($dbh);
	my %facts = $self->collect($dbh);
	$dbh->disconnect;
	push @violations, Stress::Checker->new(%facts)->check;
	push @violations, "S $self->{died} processes of the driver died" if $self->{died};
	push @violations, map { "S server log: $_" } $self->{server}->complaints;
	$self->{facts} = \%facts;
	return @violations;
}

# A call without an answer is settled by its key: the retry finds the effect, or
# has it now; from then on the key is used.
sub settle
{
	my ($self, $dbh) = @_;
	my $log = $self->logs;
	my @open = grep { $_->{outcome} eq 'unknown' } @$log;
	my $before = @open ? Stress::Tables::by_key(Stress::Tables::load($dbh)) : {};
	my $settler = Stress::Client->new(number => 0, settings => [], clock_of => 0, dbh => $dbh, clock => -1,
		log => Stress::Log->new("$self->{dir}/settle.log"));
	my @violations;

	foreach my $tx (@open)
	{
		foreach my $op (grep { $_ && @{ $_->{intents} } && !$_->{undone} && !defined $_->{sqlstate} } @{ $tx->{ops} })
		{
			$self->{settled}++;
			push @violations, $self->settle_operation($settler, $tx, $op, $before);
		}
	}
	$dbh->do('RESET economy.test_clock');
	return @violations;
}

sub settle_operation
{
	my ($self, $settler, $tx, $op, $before) = @_;
	my $sql = $op->{fn} =~ /^capture_(raise|report)$/
	  ? "WITH i AS (INSERT INTO public.spins_$1 VALUES $op->{args} RETURNING 1) SELECT pg_current_xact_id_if_assigned() AS xact FROM (SELECT count(*) FROM i) c"
	  : $op->{fn} =~ /^settle_(raise|report)$/ ? Stress::World::settle_sql($1, $op->{args})
	  : "SELECT pg_current_xact_id_if_assigned() AS xact, r.* FROM economy." . ($op->{fn} =~ s/^(?:redeem|order)$/purchase/r) . "($op->{args}) r";
	my (@violations, @answers);

	foreach my $round (1, 2)
	{
		my $name = sprintf '0.%d.%d', ++$self->{settle_number}, $round;
		$settler->attempt({ iso => 'rc', auto => 0, clock => $tx->{clock}, end => 'commit',
				steps => [ [ op => { fn => $op->{fn}, args => $op->{args}, intents => [ map { strip($_) } @{ $op->{intents} } ], sql => $sql } ] ] }, $name);
		$answers[$round] = $settler->{answers};
	}
	foreach my $n (0 .. $#{ $op->{intents} })
	{
		my $intent = $op->{intents}[$n];
		my ($first, $second) = map { $answers[$_][$n] // '' } 1, 2;
		my $journal = $intent->{kind} =~ /[CNSV]/ ? 'R' : $intent->{kind};
		my $is_there = $before->{"$journal $intent->{user} $intent->{key}"};

		$self->{taken}++ if $self->{async} && $tx->{was} && ($op->{results}[$n]{state} // '') eq 'new' && !$is_there;

		push @violations, "I4 retry of $tx->{tx} $intent->{key} is new, but its entry was there" if $first eq 'new' && $is_there;
		push @violations, "I4 retry of $tx->{tx} $intent->{key} is new a second time" if $second eq 'new' && $first =~ /new|reuse/;
	}
	return @violations;
}

sub strip
{
	my ($intent) = @_;
	my %i = %$intent;
	delete @i{qw(tx op el)};
	return \%i;
}

# What was archived is not had again: a retry of its call says so.
sub retry_archived
{
	my ($self, $dbh) = @_;
	my $tables = Stress::Tables::load($dbh);
	my $by_key = Stress::Tables::by_key({ entries => [ grep { $_->{archived} } @{ $tables->{entries} } ] });
	my (@violations, %asked);

	foreach my $op (grep { $_ && $_->{fn} =~ /^(?:purchase|redeem|order|grant_reward|adjust_gold|set_streak|revoke_reward)$/ } map { @{ $_->{ops} } } @{ $self->logs })
	{
		my $intent = $op->{intents}[0];
		my $key = ($intent->{kind} =~ /[SV]/ ? 'R' : $intent->{kind} eq 'O' ? 'P' : $intent->{kind}) . " $intent->{user} $intent->{key}";
		my $entry = ($by_key->{$key} // [])->[0] or next;
		next if $asked{"$op->{fn} $op->{args}"}++;
		my $fn = $op->{fn} =~ s/^(?:redeem|order)$/purchase/r;
		my $r = $dbh->selectrow_hashref("SELECT state, code, transaction_id, detail ->> 'reason' AS reason FROM economy.$fn($op->{args})");
		my $is = join ' ', map { $_ // '' } @$r{qw(state code transaction_id reason)};
		push @violations, "I4 $entry->{id} is archived, and a retry says '$is'" if $is ne "refused RESYNC_REQUIRED $entry->{id} archived";
	}
	$self->{retried} = keys %asked;
	return @violations;
}

# What the checker judges.
sub collect
{
	my ($self, $dbh) = @_;
	my ($replayed, %facts);

	# whose XP are on the boards
	$facts{closed_at} = close_seasons($dbh);
	Stress::Leaderboards::close_all($dbh);
	$facts{findings} = $dbh->selectcol_arrayref('SELECT f::text FROM economy.audit_sweep() f');
	push @{ $facts{findings} }, @{ $dbh->selectcol_arrayref('SELECT p::text FROM economy.stats_parity() p') };
	push @{ $facts{findings} }, @{ $dbh->selectcol_arrayref("SELECT v::text FROM economy.verify_archive('economy.$_', 'public.archived_$_') v") } foreach @Stress::World::ARCHIVED;
	$facts{events} = eval { $self->finish_feed($dbh) } or push @{ $facts{findings} }, "feed: $@";
	$replayed = $dbh->selectall_arrayref(<<'SQL');
SELECT a.user_id, coalesce(string_agg(DISTINCT lpad(r.seq::text, 10), ' ' ORDER BY lpad(r.seq::text, 10)) FILTER (WHERE r.code = 'EVENT'), '')
FROM economy.accounts a, economy.replay(a.user_id, a.pruned_seq, 10000) r GROUP BY 1
SQL
	$facts{replayed} = { map { ($_->[0] => join ' ', split ' ', $_->[1]) } @$replayed };
	$facts{held} = eval { told_to_hold($dbh) } or push @{ $facts{findings} }, "holdings(): $@";
	# the newest seeds are judged as well
	$dbh->do('SELECT economy.draw_reveal(s.user_id, max(s.seed_number)) FROM economy.draw_seeds s GROUP BY s.user_id');
	$facts{still_ordered} = eval { ordered_at_last($dbh) } // "unknown: $@";
	$facts{still_held} = eval { held_at_last($dbh) } // "unknown: $@";
	$facts{mission_parity} = $dbh->selectall_arrayref('SELECT mission, p::text AS text FROM economy.mission_parity() p', { Slice => {} });
	$facts{still_owed} = eval { owed_at_last($dbh) } // "unknown: $@";
	$facts{told_owed} = eval { told_to_owe($dbh) } or push @{ $facts{findings} }, "debts_of(): $@";
	$facts{handed} = eval { handed_at_last($dbh) } or push @{ $facts{findings} }, "unfulfilled(): $@";
	$facts{tables} = Stress::Tables::load($dbh);
	$facts{log} = $self->logs;
	$facts{deadlocks} = $self->{plan}{crossing};
	$facts{full} = $self->{full};
	$facts{ddl} = $self->{ddl};
	return %facts;
}

# What users hold when all is over, but some passes; agrees: holds() knows no less and no more.
sub told_to_hold
{
	my ($dbh) = @_;

	$dbh->do(sprintf "SET economy.test_clock = '%s'", Stress::World::clock_text($Stress::World::END));
	my $rows = $dbh->selectall_arrayref(<<'SQL', { Slice => {} });
SELECT a.user_id, h.item_id, coalesce(h.quantity, extract(epoch FROM h.ends_at)::bigint) AS balance,
    CASE WHEN h.kind = 'pass' THEN economy.holds(a.user_id, h.item_id)
         ELSE economy.holds(a.user_id, h.item_id, h.quantity) AND NOT economy.holds(a.user_id, h.item_id, h.quantity + 1) END AS agrees
FROM economy.accounts a, economy.holdings(a.user_id) h
SQL
	$dbh->do('RESET economy.test_clock');
	return $rows;
}

# What waits for a worker when every lease is over; it is not handed out for good.
sub handed_at_last
{
	my ($dbh) = @_;

	$dbh->do('BEGIN');
	$dbh->do(sprintf "SET LOCAL economy.test_clock = '%s'", Stress::World::clock_text($Stress::World::END + 86400 * 2));
	my $handed = $dbh->selectcol_arrayref(q{SELECT transaction_id FROM economy.unfulfilled('judge', 1000000)});
	$dbh->do('ROLLBACK');
	return $handed;
}

# How many debts the job leaves of those who have gold; nothing is collected for good.
sub owed_at_last
{
	my ($dbh) = @_;

	$dbh->do('BEGIN');
	$dbh->do(sprintf "SET LOCAL economy.test_clock = '%s'", Stress::World::clock_text($Stress::World::END + 86400 * 2));
	$dbh->do('SET LOCAL economy.collect_debts = on');
	$dbh->do('SELECT economy_internal.collect_debts(NULL, 1000000)');
	my ($owed) = $dbh->selectrow_array('SELECT count(*) FROM economy.shop_debts d JOIN economy.accounts a USING (user_id) WHERE a.gold > 0');
	$dbh->do('ROLLBACK');
	return $owed;
}

sub told_to_owe
{
	my ($dbh) = @_;
	return $dbh->selectall_arrayref(<<'SQL', { Slice => {} });
SELECT a.user_id, d.refund, d.purchase, d.gold, (extract(epoch FROM d.created_at) * 1000000)::bigint - 946684800000000 AS at
FROM economy.accounts a, economy.debts_of(a.user_id) WITH ORDINALITY d (refund, purchase, gold, created_at, n) ORDER BY a.user_id, d.n
SQL
}

# How many reservations the job leaves when all times are over; nothing is given back for good.
sub held_at_last
{
	my ($dbh) = @_;

	$dbh->do('BEGIN');
	$dbh->do(sprintf "SET LOCAL economy.test_clock = '%s'", Stress::World::clock_text($Stress::World::END + 86400 * 2));
	$dbh->do('SELECT economy_internal.expire_reservations(1000000, NULL)');
	my ($held) = $dbh->selectrow_array(q{SELECT count(*) FROM economy.shop_reservations WHERE state = 'held'});
	$dbh->do('ROLLBACK');
	return $held;
}

# Runs the job until no season is left; at which clock.
sub close_seasons
{
	my ($dbh) = @_;
	my ($at, $next) = ($Stress::World::END + 3600);

	$dbh->do(sprintf "SET economy.test_clock = '%s'", Stress::World::clock_text($at));
	do { ($next) = $dbh->selectrow_array('SELECT next FROM economy_internal.close_seasons(?)', undef, $next) } while defined $next;
	$dbh->do('RESET economy.test_clock');
	return $at;
}

# How many orders wait for their payment when all times are over; nothing is given back for good.
sub ordered_at_last
{
	my ($dbh) = @_;

	$dbh->do('BEGIN');
	$dbh->do(sprintf "SET LOCAL economy.test_clock = '%s'", Stress::World::clock_text($Stress::World::END + 86400 * 5));
	$dbh->do('SELECT economy_internal.expire_orders(1000000, NULL)');
	my ($ordered) = $dbh->selectrow_array(q{SELECT count(*) FROM economy.payment_orders WHERE state IN ('CREATED', 'PENDING')});
	$dbh->do('ROLLBACK');
	return $ordered;
}

# Prints violations, not too many, and where the logs went.
sub report
{
	my ($self, $place, @violations) = @_;

	return unless @violations;
	print map { "\t$_\n" } @violations > 20 ? (@violations[ 0 .. 19 ], 'and more') : @violations;
	print "\tlogs in ", $self->keep_logs($place), "\n";
	return;
}

# Copies the logs out of the server's directory.
sub keep_logs
{
	my ($self, $place) = @_;

	File::Path::make_path($place);
	File::Copy::copy($_, $place) foreach glob "$self->{dir}/*";
	return $place;
}

# Per function: how often it was sent and what became of it.
sub tally
{
	my ($rows, $log) = @_;

	foreach my $tx (@$log)
	{
		foreach my $op (grep { $_ } @{ $tx->{ops} })
		{
			my $row = $rows->{ $op->{fn} } //= {};
			push @{ $row->{ms} }, $op->{ms} if $op->{answered};
			$row->{sent}++;
			$row->{failed}++ if defined $op->{sqlstate};
			$row->{unknown}++ if !defined $op->{sqlstate} && !$op->{undone} && $tx->{outcome} eq 'unknown';
			$row->{ $_->{state} // 'new' }++ foreach grep { $_ } @{ $op->{results} };
		}
	}
	return;
}

sub summary
{
	my ($rows) = @_;
	my $text = sprintf "%-24s %7s %7s %7s %7s %7s %7s %7s %8s %8s\n", qw(function sent ok reuse refused busy failed unknown p50/ms p99/ms);

	foreach my $fn (sort keys %$rows)
	{
		my $row = $rows->{$fn};
		my @ms = sort { $a <=> $b } @{ $row->{ms} // [0] };
		$text .= sprintf "%-24s %7d %7d %7d %7d %7d %7d %7d %8.2f %8.2f\n", $fn, $row->{sent},
		  map({ $row->{$_} // 0 } qw(new reuse refused in_progress failed unknown)), $ms[ @ms / 2 ], $ms[ 0.99 * @ms ];
	}
	return $text;
}

sub remove
{
	my ($self) = @_;
	my $dbh = $self->{server}->connect_to('postgres');
	$dbh->do("DROP DATABASE IF EXISTS $self->{database} WITH (FORCE)");
	$dbh->disconnect;
	return;
}

1;
