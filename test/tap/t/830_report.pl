# economy_report: a page that is well-formed and needs nothing else, with the figures of
# the database, to the letter; nothing of what an operator names can break out of it.
use strict;
use warnings;

use FindBin;
use JSON::PP;
use lib "$FindBin::Bin/..";
use EconomyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $bindir = `pg_config --bindir`;
chomp $bindir;
my $report = ($ENV{ECONOMY_STAGE} // q{}) . "$bindir/economy_report";
my $dir = PostgreSQL::Test::Utils::tempdir();

# report(ARGUMENT...): what it prints, and what it says of errors, and its exit code
sub report
{
	my @args = @_;
	my $result = IPC::Run::run([ $report, @args ], '<', \undef, '>', \my $out, '2>', \my $err);

	return ($out, $err, $? >> 8);
}

sub draw
{
	my ($figures) = @_;
	my $file = "$dir/figures";

	open my $to, '>', $file or die "$file: $!";
	print {$to} JSON::PP->new->utf8->encode($figures);
	close $to or die "$file: $!";
	my ($out, $err, $code) = report("--from=$file");
	is("$code $err", '0 ', 'drawn');
	return $out;
}

# --- the page, of figures that are given ----------------------------------------------

my %figures = (
	as_of => '2099-05-01T10:00:00.5+00:00',
	snapshot => { snapshot_id => 7, as_of => '2099-04-30T23:59:00+00:00', model => 'a<b', users => 30, active => 27, p60 => undef, p95 => 200, degenerate => [ 'recency', 'monetary' ] },
	segments => [ { segment => 'a&', users => 3 }, { segment => "\x{fc}'", users => 7 }, { segment => 'c', users => 0 } ],
	scores => [ { r => 5, f => 1, users => 10 }, { r => 5, f => 2, users => 8 }, { r => 1, f => 5, users => 9 } ],
	monetary => [ { least => 0, users => 1 }, { least => 5000000000000000000, users => 2 } ],
	moves => [ { from => undef, to => 'c', changes => 9 }, { from => 'a&', to => 'c', changes => 5 }, { from => 'gone', to => 'c', changes => 9 } ]);
my $page = draw(\%figures);

like($page, qr{\A<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">.*</body></html>\n\z}s, 'a page');
like($page, qr{<p>As of 2099-05-01 10:00 UTC\. Bounds of snapshot 7, made as of 2099-04-30 23:59 UTC by the model a&lt;b: 30 users, 27 of them with a purchase in the window\. p60 is not known, p95 is 200\. On recency and monetary all who were ranked have one value: they score 3 there\.</p>}, 'says what it shows');
unlike($page, qr/src=|href=|url[(]|\@import|<script|http/, 'nothing is loaded from elsewhere');
is(() = $page =~ /<svg /g, 4, 'four drawings');
my %drawing = map { m{<title>(.*?)</title>} ? ($1 => $_) : () } $page =~ m{<svg .*?</svg>}gs;
is($drawing{'Users by segment'}, qq{<svg role="img" viewBox="0 0 640 94" width="640" height="94"><title>Users by segment</title><text x="172" y="20" text-anchor="end">a&amp;</text><rect x="180" y="5" width="154.3" height="20" fill="#1f6f8b"/><text x="342.3" y="20">3</text><text x="172" y="48" text-anchor="end">\xc3\xbc&#39;</text><rect x="180" y="33" width="360.0" height="20" fill="#1f6f8b"/><text x="548.0" y="48">7</text><text x="172" y="76" text-anchor="end">c</text><rect x="180" y="61" width="0.0" height="20" fill="#1f6f8b"/><text x="188.0" y="76">0</text></svg>}, 'bars');
like($drawing{'Users by monetary value'}, qr{>0</text>.*>5000000000000000000 and more</text>}, 'orders of magnitude');
my $heat = $drawing{'Users by recency and frequency score'};
like($heat, qr{^<svg role="img" viewBox="0 0 550 260" width="550" height="260"><title>[^<]*</title><text x="120" y="16" class="axis">frequency &#8594;</text><text x="4" y="38" class="axis">recency &#8595;</text><text x="162" y="38" text-anchor="middle">F 1</text>}, 'a matrix');
like($heat, qr{<text x="112" y="71" text-anchor="end">R 5</text><text x="112" y="111" text-anchor="end">R 4</text>}, 'the best above');
is(join(' ', $heat =~ /class="(light|dark)">/g), join(' ', 'light', ('dark') x 23, 'light'), 'a cell is light beyond four fifths of the greatest');
is(join(' ', $heat =~ /class="(?:light|dark)">(\d+)/g), '10 8' . ' 0' x 22 . ' 9', 'in its place');
like($heat, qr{<rect x="122" y="48" width="80" height="36" fill="#1f6f8b" fill-opacity="1\.000"/><text x="162" y="71" text-anchor="middle" class="light">10</text><rect x="206" y="48" width="80" height="36" fill="#1f6f8b" fill-opacity="0\.808"/><text x="246" y="71" text-anchor="middle" class="dark">8</text>}, 'cells');
is(join(' ', $drawing{'Changes between segments'} =~ /class="(?:light|dark)">(\d+)/g), '0 0 5 0 0 0 0 0 0', 'movement between the segments that there are');
$figures{snapshot}{degenerate} = [];
$figures{$_} = [] foreach qw(segments scores monetary moves);
$page = draw(\%figures);
unlike($page, qr/they score 3/, 'of values that differ');
is(() = $page =~ /fill-opacity="0\.040"/g, 25, 'figures of nobody');

# --- the figures, of a database ---------------------------------------------------------

my $node = new_node('report');
my @where = ('-h', $node->host, '-p', $node->port, 'postgres');
my $dbh = connect_to($node);
$dbh->do('CREATE ROLE board LOGIN');
$dbh->do('CREATE ROLE game LOGIN');
$dbh->do(q{SELECT economy.grant_access('board', 'monitor'), economy.grant_access('game', 'app')});
my ($out, $err, $code) = report(@where);
is("$code $err", '0 ', 'before the first refresh');
like($out, qr/There is no refresh yet/, 'a page that says so');
is((report('--json', @where))[0], "{}\n", 'and no figures');

$dbh->do(q{SELECT economy.upsert_product('{"product_id": "p", "category": "conversion", "granted_gold": 1, "monetary": 70}', 'tap')});
my $ann = add_user($dbh, 'ann');
$dbh->do(q{SELECT economy.purchase(?, 'p', 'k')}, undef, $ann);
$dbh->do(q{SELECT economy.set_segment_rules('[{"segment": "<script>alert(1)</script>"}]', 'tap')});
$dbh->do('SELECT economy.rfm_refresh()');
($out, $err, $code) = report('-U', 'board', @where);
is("$code $err", '0 ', 'to a monitor');
unlike($out, qr/<script/, 'a name is no markup');
like($out, qr{&lt;script&gt;alert\(1\)&lt;/script&gt;</text>}, 'but a name');
like($out, qr{>50 and more</text>}, 'of what was bought');
my ($json) = report('--json', @where);
is_deeply(JSON::PP->new->utf8->decode($json), JSON::PP->new->utf8->decode(value($dbh, 'SELECT economy.segment_figures()')), 'the figures themselves');
open my $to, '>', "$dir/saved" or die;
print {$to} $json;
close $to or die;
is((report("--from=$dir/saved"))[0], $out, 'which can be drawn later');

# --- how psql is called, by one that says so ------------------------------------------------

{
	mkdir "$dir/bin";
	open my $psql, '>', "$dir/bin/psql" or die;
	print {$psql} qq(#!/bin/sh\nprintf '{"encoding": "%s", "name": "%s", "arguments": "%s"}' "\$PGCLIENTENCODING" "\$PGAPPNAME" "\$*"\n);
	close $psql or die;
	chmod 0755, "$dir/bin/psql";
	local $ENV{PATH} = "$dir/bin:$ENV{PATH}";
	local $ENV{PGCLIENTENCODING} = 'LATIN1';
	local $ENV{PGAPPNAME};
	delete $ENV{PGAPPNAME};
	is_deeply(JSON::PP->new->utf8->decode((report('--json', '-h', 'h', '--port=5', '-U', 'u', 'd'))[0]), { encoding => 'UTF8', name => 'economy_report',
		arguments => '-XqAtw -v ON_ERROR_STOP=1 -c SELECT economy.segment_figures() --host=h --port=5 --username=u --dbname=d' }, 'psql is asked, in UTF-8, and never for a password');
	local $ENV{PGAPPNAME} = 'mine';
	is(JSON::PP->new->utf8->decode((report('--json', '--dbname=d'))[0])->{name}, 'mine', 'under the name that the caller gives');
	is_deeply([ report('--json', '--dbname=d', 'e') ], [ '', "economy_report: there is one argument too many\neconomy_report: try --help\n", 2 ], 'one database');
	is_deeply([ report("--from=$dir/saved", '-h', 'h') ], [ '', "economy_report: --from needs no database\neconomy_report: try --help\n", 2 ], 'or none');
}

# --- arguments and errors -----------------------------------------------------------------

foreach my $case ([ 2, '--bogus' ], [ 2, '--js' ], [ 2, 'a', 'b' ], [ 2, '-d', 'a', 'b' ], [ 2, '--from' ], [ 2, "--from=$dir/saved", 'postgres' ],
	[ 1, "--from=$dir/none" ], [ 1, '--from=/dev/null/x' ], [ 1, "--from=$FindBin::Bin/830_report.pl" ],
	[ 1, '-h', '/nowhere' ], [ 1, @where[ 0 .. 3 ], 'nobase' ], [ 1, '-U', 'game', @where ], [ 1, @where[ 0 .. 3 ], 'template1' ])
{
	my ($want, @args) = @$case;

	($out, $err, $code) = report(@args);
	is("$code $out", "$want ", "exit $want: @args");
	like($err, qr/^economy_report: \w/m, 'with a word why');
}
foreach my $wrong ('[]', '"x"', '1', 'null', '{"segments": []}', JSON::PP->new->canonical->encode({ %figures, segments => [ { segment => 'x', users => 'many' } ] }))
{
	open my $out_of, '>', "$dir/wrong" or die;
	print {$out_of} $wrong;
	close $out_of or die;
	is_deeply([ report("--from=$dir/wrong") ], [ '', "economy_report: these are no figures\n", 1 ], "no figures: $wrong");
}
is((report('-U', 'board', sprintf 'host=%s port=%d dbname=postgres', $node->host, $node->port))[2], 0, 'a connection string');
foreach my $case ([ '--help', qr/^Usage: .*--from/ms ], [ '--version', qr/^economy_report \d+\.\d+\.\d+\n\z/ ], [ '-V', qr/^economy_report \d/ ])
{
	($out, $err, $code) = report($case->[0]);
	is("$code $err", '0 ', $case->[0]);
	like($out, $case->[1], 'says it');
}
SKIP: {
	skip 'no /dev/full', 4 unless -e '/dev/full';
	foreach my $printed ('', '--json')
	{
		system "$report $printed --from=$dir/saved > /dev/full 2> $dir/full";
		is($? >> 8, 1, "no room for output $printed");
		like(slurp_file("$dir/full"), qr/cannot write/, 'says so');
	}
}
$dbh->disconnect;
done_testing();
