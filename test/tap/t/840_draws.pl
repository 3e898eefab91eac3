# The programs of doc/draws.md: of what was drawn and revealed they find the very same.
use strict;
use warnings;

use FindBin;
use JSON::PP;
use lib "$FindBin::Bin/..";
use EconomyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $doc = slurp_file("$FindBin::Bin/../../../doc/draws.md");

# The document's only block in this language, as a file.
sub program
{
	my ($language) = @_;
	my @blocks = $doc =~ /^```$language\n(.*?)^```$/msg;

	is(scalar @blocks, 1, "doc/draws.md has a program in $language");
	append_to_file("$dir/verify.$language", $blocks[0]);
	return "$dir/verify.$language";
}

my %programs = (python => [ 'python3', program('python') ], js => [ 'node', program('js') ]);
my $node = new_node('draws');
my $dbh = connect_to($node);
my $ann = add_user($dbh, 'ann', 100000);
my %definitions = (
	chest => '{"price": {"gold": 2}, "pity": {"class": "rare", "after": 3}, "entries": [{"entry": "a", "class": "rare", "weight": 1, "gold": 9}, {"entry": "b", "weight": 9007199254740000}, {"entry": "c", "weight": 900}]}',
	plain => '{"entries": [{"entry": "a", "weight": 1}, {"entry": "b", "weight": 2, "class": "x"}, {"entry": "c", "weight": 3}]}',
	dice => '{"dice": {"count": 9, "sides": 1000000}}', die => '{"dice": {}}', reels => '{"reels": [["a", "b", "c"], ["\u017c\u00f3\u0142w", "x"], ["1"]]}',
	sample => '{"sample": {"count": 20, "of": 52}}', one => '{"sample": {}}', crash => '{"crash": {"edge": 10000}}', fair => '{"crash": {}}', hand => '{"hand": {}}');
foreach my $id (sort keys %definitions)
{
	$dbh->do(q{SELECT economy.upsert_draw_table(jsonb_build_object('table_id', ?::text, 'draft', ?::jsonb), 'tester'), economy.publish_draw_table(?, 'tester')}, undef, $id, $definitions{$id}, $id);
}
my $hash = value($dbh, 'SELECT seed_hash FROM economy.draw_commit(?)', $ann);
my @seeds = ('lucky', 'x' x 64, "zażółć \x{1F3B2}", '0');
my @drawn = map { { table => $_ } } (sort(keys %definitions), ('chest') x 5);
foreach my $n (0 .. $#drawn)
{
	$drawn[$n]{seed} = $seeds[ $n % @seeds ];
	($drawn[$n]{nonce}, $drawn[$n]{outcome}) = $dbh->selectrow_array('SELECT nonce, outcome FROM economy.draw(?, ?, ?, ?)', undef, $ann, $drawn[$n]{table}, "k$n", $drawn[$n]{seed});
	$drawn[$n]{pity} = value($dbh, q{SELECT detail ->> 'pity' FROM economy.holding_changes WHERE user_id = ? AND operation = 'draw' AND idempotency_key = ?}, $ann, "k$n");
	is($drawn[$n]{nonce}, $n, "draw $n has its nonce");
}
cmp_ok((sort { $b <=> $a } map { $_->{pity} } @drawn)[0], '==', 3, 'pity was due');
# whoever rolls back knows no seed that is drawn with
foreach my $way ('auto', 'sql')
{
	$dbh->do("SET economy.row_access = $way");
	$dbh->begin_work;
	is(value($dbh, 'SELECT server_seed FROM economy.draw_reveal(?, 1)', $ann), undef, "$way: the transaction that ends a seed is not told it");
	$dbh->do('SAVEPOINT s');
	is(value($dbh, 'SELECT server_seed FROM economy.draw_reveal(?, 1)', $ann), undef, "$way: nor within a savepoint");
	$dbh->rollback;
}
is(value($dbh, 'SELECT server_seed FROM economy.draw_reveal(?, 1)', $ann), undef, 'nor when it commits');
$dbh->do('RESET economy.row_access');
my $server_seed = value($dbh, 'SELECT server_seed FROM economy.draw_reveal(?, 1)', $ann);
foreach my $language (sort keys %programs)
{
	foreach my $d (@drawn)
	{
		my ($out, $err) = ('', '');
		my @call = (@{ $programs{$language} }, $server_seed, $d->{seed}, $d->{nonce}, $definitions{ $d->{table} }, $d->{pity});

		utf8::encode($_) foreach grep { utf8::is_utf8($_) } @call;
		IPC::Run::run(\@call, '>', \$out, '2>', \$err);
		my ($said, $outcome) = split /\n/, $out;
		is($said, $hash, "$language: the hash that was committed to") or diag($err);
		is_deeply(eval { decode_json($outcome) }, decode_json(utf8::is_utf8($d->{outcome}) ? do { my $o = $d->{outcome}; utf8::encode($o); $o } : $d->{outcome}), "$language: $d->{table}, nonce $d->{nonce}") or diag("$out$err");
	}
}
is_clean($node, 'postgres', 'the economy');
$node->stop;
done_testing();
