# A DBA at work while the clients play: rewrites tables, builds and drops indexes
# of their own kinds, triggers, constraints and columns.  None of it may show in an
# answer.  Each command waits for its lock only shortly, so that it never stands in
# a circle with two clients, and is taken back at the end.
package Stress::Ddl;

use strict;
use warnings;
use Time::HiRes ();

my @TABLES = (map({ "economy.$_" } qw(accounts users shop_products shop_stock shop_transactions shop_reservations reward_audit user_actions
  gold_adjustments holding_changes shop_refunds shop_debts escrows fulfilments items transfer_rules rate_limits payment_providers payment_orders payment_order_history payment_webhooks daily_rewards draw_tables draw_seeds signing_keys user_game_stats_summary games mission_templates)), 'economy_internal.mission_progress_more', 'economy_internal.game_stats_more', 'economy_internal.shop_user_units_more',
  'economy_internal.user_holdings_more', 'economy_internal.mission_progress_more', 'economy_internal.draw_pity', 'economy_internal.rollup_positions');

# Where an index may stand beside the extension's own.
my %KEYS = (
	'economy.shop_transactions'           => [ 'user_id, product_id, idempotency_key', 'idempotency_key' ],
	'economy.shop_reservations'           => [ 'user_id, idempotency_key', 'idempotency_key' ],
	'economy.reward_audit'                => [ 'user_id, source, external_event_id', 'external_event_id' ],
	'economy.user_actions'                => [ 'user_id, game, action_id', 'action_id' ],
	'economy.gold_adjustments'            => [ 'user_id, idempotency_key', 'idempotency_key' ],
	'economy.holding_changes'             => [ 'user_id, operation, idempotency_key', 'idempotency_key' ],
	'economy.shop_refunds'                => [ 'user_id, purchase, idempotency_key', 'idempotency_key' ],
	'economy.shop_products'               => [ 'product_id', 'product_id' ],
	'economy.fulfilments'                 => [ 'visible_at, product_id', 'product_id' ],
	'economy.items'                       => [ 'item_id', 'item_id' ],
	'economy.draw_tables'                 => [ 'table_id', 'table_id' ],
	'economy_internal.draw_pity'          => [ 'user_id, table_id', 'table_id' ],
	'economy.transfer_rules'              => [ 'rules', 'rules' ],
	'economy_internal.user_holdings_more' => [ 'user_id, item_id', 'item_id' ]);

# server, database, seed, stop: true when the clients have ended
sub run
{
	my (%p) = @_;
	my $self = bless { %p, number => 0, undo => [], done => 0 }, __PACKAGE__;

	srand($p{seed} * 7919);
	$self->connect;
	$self->{dbh}->do(q{CREATE COLLATION IF NOT EXISTS public.blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false)});
	$self->{parts} = $self->{dbh}->selectall_hashref(<<'SQL', [ 'journal', 'part' ]);
SELECT c.relname AS journal, i.inhrelid::regclass::text AS part FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhparent
WHERE c.relkind = 'p' AND c.relnamespace = 'economy'::regnamespace
SQL
	until ($p{stop}->())
	{
		$self->step;
		Time::HiRes::sleep(0.01 + rand 0.05);
	}
	# in the reverse order, and now waiting for whoever is left
	$self->{dbh}->do('RESET lock_timeout');
	$self->{dbh}->do($_) foreach reverse @{ $self->{undo} };
	$self->{dbh}->disconnect;
	return $self->{done};
}

sub connect
{
	my ($self) = @_;

	$self->{dbh} = $self->{server}->connect_to($self->{database});
	$self->{dbh}->do("SET $_") foreach 'client_min_messages = error', q{lock_timeout = '150ms'}, q{statement_timeout = '5s'};
	return;
}

sub pick { my (@from) = @_; return $from[ rand @from ] }

sub step
{
	my ($self) = @_;
	my $table = pick(@TABLES, map { sort keys %$_ } values %{ $self->{parts} });
	my $n = ++$self->{number};
	my @kinds = (
		sub { ("VACUUM FULL $table") },
		sub { ("CLUSTER $table USING " . ($table =~ s/.*\.//r) . "_pkey") },
		sub { ("REINDEX TABLE CONCURRENTLY $table") },
		sub { ("REINDEX INDEX CONCURRENTLY ${table}_pkey") },
		sub { ("VACUUM ANALYZE $table") },
		# a volatile default writes the table anew
		sub { ("ALTER TABLE $table ADD COLUMN ddl$n text DEFAULT random()::text", "ALTER TABLE $table DROP COLUMN ddl$n") },
		sub { ("ALTER TABLE $table ADD COLUMN ddl$n integer", "ALTER TABLE $table DROP COLUMN ddl$n") },
		sub { ("ALTER TABLE $table ADD CONSTRAINT ddl$n CHECK (tableoid <> 0) NOT VALID", "ALTER TABLE $table DROP CONSTRAINT ddl$n") },
		sub { ("CREATE TRIGGER ddl$n AFTER INSERT OR UPDATE ON $table FOR EACH ROW EXECUTE FUNCTION public.ddl_nothing()", "DROP TRIGGER ddl$n ON $table") },
		sub { ("CREATE TRIGGER ddl$n BEFORE INSERT ON $table FOR EACH STATEMENT EXECUTE FUNCTION public.ddl_nothing()", "DROP TRIGGER ddl$n ON $table") },
		sub { ("CREATE TABLE public.ddl$n (user_id bigint REFERENCES economy.accounts)", "DROP TABLE public.ddl$n") },
		sub { ("ALTER TABLE $table SET (fillfactor = " . pick(50, 70, 100) . ')') },
		map({ my $kind = $_; sub { $self->foreign_index($n, $kind) } } 0 .. 3),
		map({ sub { $self->take_back } } 1 .. 5));
	my ($command, $undo) = pick(@kinds)->() or return;
	$self->do($command) or return;
	push @{ $self->{undo} }, $undo if $undo;
	return;
}

# An index that leads by a key's columns and orders or compares in another way.
sub foreign_index
{
	my ($self, $n, $kind) = @_;
	my $table = pick(sort keys %KEYS);
	my ($key, $text) = @{ $KEYS{$table} };
	(my $blind = $key) =~ s/\Q$text\E/$text COLLATE public.blind/;
	(my $pattern = $key) =~ s/\Q$text\E/$text text_pattern_ops DESC/;
	my $columns = ($blind, $pattern, $key, $key)[$kind];
	my $tail = ('', '', " INCLUDE ($text)", " WHERE length($text) % 2 = 0")[$kind];

	my @parts = sort keys %{ $self->{parts}{ $table =~ s/.*\.//r } // {} };
	my $on = @parts ? pick(@parts) : $table;
	my $schema = $on =~ s/\..*//r;

	return ("CREATE INDEX CONCURRENTLY ddl$n ON $on ($columns)$tail", "DROP INDEX IF EXISTS $schema.ddl$n");
}

sub take_back
{
	my ($self) = @_;
	my $undo = $self->{undo};

	return unless @$undo;
	my ($command) = splice @$undo, rand @$undo, 1;
	push @$undo, $command unless $self->do($command);
	return;
}

# False when it did not get its lock in time.
sub do
{
	my ($self, $command) = @_;

	$self->connect unless $self->{dbh}->ping > 0;
	return ++$self->{done} if eval { $self->{dbh}->do($command); 1 };
	my $state = $self->{dbh}->state;
	# 0A000: functions that use a table's row type keep it from being rewritten; 22023, 42809, 42P16:
	# a table and its partitions may not be asked everything
	die "DDL: $command: $state $@" unless $state =~ /^(?:55P03|57014|40P01|57P01|0A000|22023|42809|42P16|08...)$/;
	# what was built concurrently and did not come to its end is left invalid
	eval { $self->{dbh}->do("DROP INDEX IF EXISTS $2.$1") } if $command =~ /^CREATE INDEX CONCURRENTLY (\w+) ON (\w+)/;
	$self->drop_leftovers if $command =~ /^REINDEX/;
	return 0;
}

sub drop_leftovers
{
	my ($self) = @_;
	my $names = $self->{dbh}->selectcol_arrayref(<<'SQL');
SELECT i.indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE NOT i.indisvalid AND c.relnamespace IN ('economy'::regnamespace, 'economy_internal'::regnamespace) AND c.relname ~ '_cc(new|old)\d*$'
SQL
	eval { $self->{dbh}->do("DROP INDEX $_") } foreach @$names;
	return;
}

1;
