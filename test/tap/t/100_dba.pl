# What a DBA may do to the tables while sessions run: triggers, columns,
# indexes, constraints.  Purchases stay right, and the DBA's objects work.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('dba');
my $dba = connect_to($node);
my $dbh = connect_to($node);    # one session all along: what it remembers must follow
my $ann = add_user($dbh, 'ann', 100_000);
add_product($dbh, 'potion', price_gold => 10);
add_product($dbh, 'limited', price_gold => 10, stock => 100);
my $n = 0;

sub buy
{
	my ($product) = @_;
	my $r = row($dbh, 'SELECT * FROM economy.purchase(?, ?, ?)', $ann, $product // 'potion', 'k' . ++$n);
	return "$r->{state} $r->{gold_delta}";
}

sub buys
{
	my ($name) = @_;
	is(buy(), 'new -10', "$name: a purchase");
	is(buy('limited'), 'new -10', "$name: a limited one");
	is($node->safe_psql('postgres', "SELECT * FROM economy.verify_chain($ann)"), '', "$name: the chain is sound");
	return;
}
buys('untouched');

# A trigger of the DBA's makes the code take the SQL way by itself.
$dba->do(q{CREATE TABLE public.fired (what text)});
$dba->do(q{CREATE FUNCTION public.fire() RETURNS trigger LANGUAGE plpgsql AS
	$$ BEGIN INSERT INTO public.fired VALUES (tg_table_name || ' ' || tg_when || ' ' || tg_op || ' ' || tg_level); RETURN coalesce(NEW, OLD); END $$});
sub fired
{
	my $all = value($dba, q{SELECT string_agg(what || ' ' || n, ', ' ORDER BY what) FROM (SELECT what, count(*) AS n FROM public.fired GROUP BY 1) f});
	$dba->do('TRUNCATE public.fired');
	return $all;
}
my @triggers = (
	[ 'AFTER INSERT', 'shop_transactions', 'ROW', 'shop_transactions AFTER INSERT ROW 2' ],
	[ 'BEFORE INSERT', 'shop_transactions', 'ROW', 'shop_transactions BEFORE INSERT ROW 2' ],
	[ 'AFTER INSERT', 'shop_transactions', 'STATEMENT', 'shop_transactions AFTER INSERT STATEMENT 2' ],
	[ 'AFTER UPDATE', 'accounts', 'ROW', 'accounts AFTER UPDATE ROW 2' ],
	[ 'BEFORE UPDATE', 'accounts', 'ROW', 'accounts BEFORE UPDATE ROW 2' ],
	[ 'AFTER UPDATE', 'accounts', 'STATEMENT', 'accounts AFTER UPDATE STATEMENT 2' ],
	[ 'AFTER UPDATE', 'shop_stock', 'ROW', 'shop_stock AFTER UPDATE ROW 1' ]);
foreach my $trigger (@triggers)
{
	my ($event, $table, $level, $expected) = @$trigger;
	my $name = "$event on $table for each \L$level";

	$dba->do("CREATE TRIGGER dba $event ON economy.$table FOR EACH $level EXECUTE FUNCTION public.fire()");
	buys($name);
	is(fired(), $expected, "$name: it fires");
	$dba->do("ALTER TABLE economy.$table DISABLE TRIGGER dba");
	buys("$name, disabled");
	is(fired(), undef, "$name: it is silent");
	$dba->do("ALTER TABLE economy.$table ENABLE TRIGGER dba");
	buys("$name, enabled");
	is(fired(), $expected, "$name: it fires again");
	$dba->do("DROP TRIGGER dba ON economy.$table");
	buys("$name, dropped");
	is(fired(), undef, "$name: it is gone");
}

# A trigger that raises, and one that swallows the row: no half entry.
my $before = fingerprint($node);
foreach my $body (q{RAISE EXCEPTION 'no' USING ERRCODE = 'DB001'}, 'RETURN NULL')
{
	foreach my $table (qw(shop_transactions accounts))
	{
		my $event = $table eq 'accounts' ? 'UPDATE' : 'INSERT';
		$dba->do("CREATE OR REPLACE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN $body; END \$\$");
		$dba->do("CREATE TRIGGER dba BEFORE $event ON economy.$table FOR EACH ROW EXECUTE FUNCTION public.refuse()");
		isnt(try_sql($dbh, "SELECT economy.purchase($ann, 'potion', 'refused')"), '', "$body on $table: is an error");
		$dba->do("DROP TRIGGER dba ON economy.$table");
		is(fingerprint($node), $before, "$body on $table: nothing is written");
	}
}
buys('after the refusals');

# Constraints hold in both ways, as soon as they are there.
foreach my $way ('auto', 'sql')
{
	$dbh->do("SET economy.row_access = $way");
	buys("$way, before the CHECK");
	foreach my $check ([ 'shop_transactions', q{idempotency_key NOT LIKE 'bad%'} ], [ 'accounts', 'gold > 50000' ])
	{
		my ($table, $condition) = @$check;
		my $call = $table eq 'accounts' ? "economy.adjust_gold($ann, -60000, 'bad$way', 'a test', 'tester')" :
		  "economy.purchase($ann, 'potion', 'bad$way')";

		$dba->do("ALTER TABLE economy.$table ADD CONSTRAINT dba CHECK ($condition)");
		$before = fingerprint($node);
		is(try_sql($dbh, "SELECT $call"), '23514', "$way: a CHECK on $table is enforced");
		is(fingerprint($node), $before, "$way: nothing is written against it");
		buys("$way, CHECK on $table");
		$dba->do("ALTER TABLE economy.$table DROP CONSTRAINT dba");
	}
	# a CHECK that calls a function which then changes
	$dba->do('CREATE OR REPLACE FUNCTION public.allowed(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT true $$');
	$dba->do('ALTER TABLE economy.shop_transactions ADD CONSTRAINT dba CHECK (public.allowed(idempotency_key))');
	buys("$way, CHECK with a function");
	$dba->do('CREATE OR REPLACE FUNCTION public.allowed(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT false $$');
	is(try_sql($dbh, "SELECT economy.purchase($ann, 'potion', 'changed$way')"), '23514', "$way: the function's new body counts");
	$dba->do('ALTER TABLE economy.shop_transactions DROP CONSTRAINT dba');
}
$dbh->do('RESET economy.row_access');

# An own unique index, a foreign key, columns.
my @changes = (
	[ 'a column', 'ALTER TABLE economy.shop_transactions ADD COLUMN note text' ],
	[ 'a column with a default', q{ALTER TABLE economy.shop_transactions ADD COLUMN origin text DEFAULT 'shop'},
		q{SELECT origin FROM economy.shop_transactions ORDER BY seq DESC LIMIT 1}, 'shop' ],
	[ 'no default any more', 'ALTER TABLE economy.shop_transactions ALTER COLUMN origin DROP DEFAULT',
		q{SELECT count(*) FROM economy.shop_transactions WHERE origin IS NULL}, 2 ],
	[ 'a generated column', 'ALTER TABLE economy.shop_transactions ADD COLUMN twice bigint GENERATED ALWAYS AS (gold_delta * 2) STORED',
		q{SELECT twice FROM economy.shop_transactions ORDER BY seq DESC LIMIT 1}, -20 ],
	[ 'fewer columns', 'ALTER TABLE economy.shop_transactions DROP COLUMN note, DROP COLUMN origin, DROP COLUMN twice' ],
	[ 'an account column', 'ALTER TABLE economy.accounts ADD COLUMN vip boolean' ],
	[ 'an account column with a default', q{ALTER TABLE economy.accounts ADD COLUMN grade text NOT NULL DEFAULT 'gold'},
		"SELECT grade FROM economy.accounts WHERE user_id = $ann", 'gold' ],
	[ 'its default gone', 'ALTER TABLE economy.accounts ALTER COLUMN grade DROP DEFAULT',
		"SELECT grade FROM economy.accounts WHERE user_id = $ann", 'gold' ],
	[ 'fewer account columns', 'ALTER TABLE economy.accounts DROP COLUMN vip, DROP COLUMN grade' ],
	[ 'an index', 'CREATE INDEX dba_created ON economy.shop_transactions (created_at)',
		'SET enable_seqscan = off; SELECT count(*) - 0 = (SELECT count(*) FROM economy.ledger l WHERE l.journal = $$shop_transactions$$) FROM economy.shop_transactions WHERE created_at > $$2000-01-01$$', 't' ],
	[ 'a concurrent index', 'CREATE INDEX CONCURRENTLY dba_product ON economy.shop_transactions (product_id)' ],
	[ 'an expression index', 'CREATE INDEX dba_lower ON economy.shop_transactions (lower(product_id))' ],
	[ 'a partial index', q{CREATE INDEX dba_partial ON economy.shop_transactions (seq) WHERE category = 'item'} ],
	[ 'an index on accounts', 'CREATE INDEX dba_gold ON economy.accounts (gold)',
		"SET enable_seqscan = off; SELECT count(*) FROM economy.accounts WHERE gold = (SELECT gold FROM economy.account($ann))", 1 ],
	[ 'no indexes', 'DROP INDEX economy.dba_created, economy.dba_product, economy.dba_lower, economy.dba_partial, economy.dba_gold' ],
	[ 'a rewritten key index', 'REINDEX INDEX economy.shop_transactions_key' ],
	[ 'a vacuumed table', 'VACUUM FULL economy.accounts' ],
	[ 'a foreign key', 'ALTER TABLE economy.shop_transactions ADD CONSTRAINT dba FOREIGN KEY (product_id) REFERENCES economy.shop_products' ],
	[ 'no foreign key', 'ALTER TABLE economy.shop_transactions DROP CONSTRAINT dba' ],
	[ 'row security', 'ALTER TABLE economy.accounts ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY' ],
	[ 'no row security', 'ALTER TABLE economy.accounts DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY' ]);
foreach my $change (@changes)
{
	my ($name, $ddl, $query, $expected) = @$change;

	$dba->do($ddl);
	buys($name);
	is($node->safe_psql('postgres', $query), $expected, "$name: $query") if $query;
	is(value($dbh, 'SELECT state FROM economy.purchase(?, ?, ?)', $ann, 'limited', "k$n"), 'reuse', "$name: a replay");
}
is_clean($node, 'postgres', 'after the changes');

# A unique index that was away lacks what was changed meanwhile: a snapshot of before still
# finds who had which external id.
my $zoe = add_user($dba, 'zoe');
my $past = connect_to($node);
$past->do($_) foreach 'BEGIN ISOLATION LEVEL REPEATABLE READ', 'SELECT 1';
$dba->do('ALTER TABLE economy.users DROP CONSTRAINT users_external_id_key');
value($dba, 'SELECT code FROM economy.unlink_external_id(?, ?)', $zoe, 'k');
$dba->do('ALTER TABLE economy.users ADD CONSTRAINT users_external_id_key UNIQUE (external_id)');
is(value($dba, q{SELECT indcheckxmin FROM pg_index WHERE indexrelid = 'economy.users_external_id_key'::regclass}), 1, 'an index without older versions');
is(value($past, q{SELECT economy.user_id_of('zoe')}), $zoe, 'which an older snapshot finds all the same');
$past->do('ROLLBACK');
is(value($past, q{SELECT economy.user_id_of('zoe')}), undef, 'and a new one no more');
$past->disconnect;

# An own unique constraint is an error of the DBA's making, and half of nothing.
$dba->do('CREATE UNIQUE INDEX dba_unique ON economy.shop_transactions (idempotency_key)');
$before = fingerprint($node);
is(try_sql($dbh, "SELECT economy.purchase($ann, 'limited', 'k1')"), '23505', 'an own unique index is enforced');
is(fingerprint($node), $before, 'an own unique index: nothing is written against it');
$dba->do('DROP INDEX economy.dba_unique');
is(value($dbh, "SELECT state FROM economy.purchase($ann, 'limited', 'k1')"), 'new', 'and its end is noticed');

# Who made the extension may be no superuser any more, and row security be forced on him:
# neither way asks for it.
$node->safe_psql('postgres', 'CREATE ROLE maker SUPERUSER');
$node->safe_psql('postgres', 'CREATE DATABASE made');
$node->safe_psql('made', 'SET SESSION AUTHORIZATION maker; CREATE EXTENSION economy; RESET SESSION AUTHORIZATION; ALTER ROLE maker NOSUPERUSER');
my $made = connect_to($node, 'made');
my $eve = add_user($made, 'eve', 100);
$node->safe_psql('made', "ALTER TABLE economy.$_ ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY") foreach qw(accounts gold_adjustments);
foreach my $way ('auto', 'sql')
{
	$made->do("SET economy.row_access = $way");
	is(value($made, 'SELECT gold FROM economy.account(?)', $eve), $way eq 'sql' ? 101 : 100, "$way, forced row security: an account");
	is_deeply(row($made, q{SELECT state, code FROM economy.adjust_gold(?, 1, ?, 'a test', 'tester')}, $eve, $way), { state => $_, code => 'OK' },
		"$way, forced row security: $_") foreach 'new', 'reuse';
}

# Nor does he see the sessions of others, which is said where they are counted.
my $seen = q{SELECT string_agg(item || ' ' || state || coalesce(': ' || hint, ''), ', ' ORDER BY item) FROM economy.health() WHERE item = 'sessions'};
is(value($made, $seen), 'sessions warn: GRANT pg_read_all_stats TO maker: connections, oldest transaction, pg_cron and progress() go by what it sees.',
	'health() tells of an owner who does not see the sessions of others');
$node->safe_psql('postgres', 'GRANT pg_read_all_stats TO maker');
is(value($made, $seen), 'sessions ok', 'until he does');
my $idle = connect_to($node);
$idle->do('BEGIN ISOLATION LEVEL REPEATABLE READ');
value($idle, 'SELECT 1');
isnt(value($made, q{SELECT detail FROM economy.health() WHERE item = 'oldest transaction'}), 'none', 'and finds their transactions');
$idle->disconnect;
$made->disconnect;

# All that among running sessions.
my @buyers = map { add_user($dbh, "buyer$_", 1_000_000) } 1 .. 5;
my @results = at_once($node, 'postgres', 5, sub {
	my ($number, $session) = @_;
	my %seen;

	if ($number == 1)
	{
		for my $round (1 .. 3)
		{
			$session->do($_) foreach
			  "ALTER TABLE economy.shop_transactions ADD COLUMN note$round text",
			  "ALTER TABLE economy.shop_transactions ADD COLUMN origin$round text DEFAULT 'shop'",
			  "CREATE INDEX CONCURRENTLY dba$round ON economy.shop_transactions (created_at)",
			  'CREATE TRIGGER dba AFTER UPDATE ON economy.accounts FOR EACH ROW EXECUTE FUNCTION public.fire()',
			  'DROP TRIGGER dba ON economy.accounts',
			  "DROP INDEX CONCURRENTLY economy.dba$round",
			  "CREATE UNIQUE INDEX dba_key$round ON economy.shop_transactions (user_id, product_id, idempotency_key)",
			  "ALTER TABLE economy.shop_transactions DROP COLUMN origin$round";
		}
		$session->do(q{INSERT INTO public.fired VALUES ('done')});
		return ('done', '');
	}
	for (my $i = 0; !value($session, q{SELECT count(*) FROM public.fired WHERE what = 'done'}) || $i < 50; $i++)
	{
		my $r = row($session, 'SELECT state, code FROM economy.purchase(?, ?, ?)', $buyers[ $number - 1 ], $i % 2 ? 'potion' : 'shield', "run$i");
		$seen{"$r->{state} $r->{code}"}++;
	}
	return (join(', ', sort keys %seen), '');
}) if add_product($dbh, 'shield', price_gold => 5);
is_deeply([ map { $_->[0] } @results ], [ 'done', ('new OK') x 4 ], 'changes among running sessions') or diag(explain(\@results));
is(value($dbh, q{SELECT count(*) FROM pg_index WHERE NOT indisvalid}), 0, 'all indexes are valid');
$dba->do('CREATE EXTENSION amcheck');
is(try_sql($dba, q{SELECT bt_index_check(indexrelid, true) FROM pg_index JOIN pg_class c ON c.oid = indexrelid JOIN pg_am a ON a.oid = c.relam WHERE a.amname = 'btree' AND indrelid IN
	('economy.shop_transactions'::regclass, 'economy.accounts'::regclass, 'economy.shop_stock'::regclass, 'economy.gold_adjustments'::regclass)}),
	'', 'all indexes have all entries');
is_clean($node, 'postgres', 'after changes among running sessions');

$_->disconnect foreach $dba, $dbh;
$node->stop;
done_testing();
