#!/usr/bin/perl
# economy_report: the segments of the economy extension as one page of HTML that needs
# nothing else. The figures are those of economy.segment_figures(), which psql reads.
use strict;
use warnings;

use Getopt::Long qw(:config posix_default bundling no_auto_abbrev);
use JSON::PP;

use constant { EXIT_FAILED => 1, EXIT_ARGUMENTS => 2 };

my $help = <<'END';
economy_report prints the segments of the economy extension as a page of HTML that
needs nothing else: users by recency and frequency, segment sizes, users by monetary
value, and movement between segments in 30 days.

Usage: economy_report [OPTION]... [DBNAME | CONNINFO | URI] >segments.html

  -h, --host=HOST, -p, --port=PORT, -U, --username=ROLE, -d, --dbname=DB
                   as for psql, which it calls; so are the PG* variables and ~/.pgpass
      --json       print the figures instead
      --from=FILE  draw the figures that --json printed into a file, without a database
      --help       print this
      --version    print the version

Exit codes: 0 the page is printed; 1 the figures cannot be read or the page cannot be
written; 2 wrong arguments.
END

my %options;
my @connection;
my $connect = sub { push @connection, "--$_[0]=$_[1]" };
GetOptions(\%options, 'json', 'from=s', 'help', 'version|V',
	'host|h=s' => $connect, 'port|p=s' => $connect, 'username|U=s' => $connect, 'dbname|d=s' => $connect)
  or wrong();
print $help and exit if $options{help};
print 'economy_report @VERSION@', "\n" and exit if $options{version};
wrong('there is one argument too many') if @ARGV > ((grep { /^--dbname=/ } @connection) ? 0 : 1);
wrong('--from needs no database') if defined $options{from} && (@ARGV || @connection);
push @connection, "--dbname=$_" foreach @ARGV;

my $said = defined $options{from} ? read_all(open_file($options{from}), $options{from}) : ask();
my $figures = $said =~ /\S/ ? eval { JSON::PP->new->utf8->decode($said) } // failed('these are no figures') : undef;
# what is JSON may be no figures all the same
my $page = $options{json} ? JSON::PP->new->canonical->pretty->encode($figures // {})
  : eval { local $SIG{__WARN__} = sub { die @_ }; page($figures) } // failed('these are no figures');
# not through a layer that encodes, which forgets what failed
utf8::encode($page);
print {*STDOUT} $page and close STDOUT or failed("cannot write: $!");

sub wrong
{
	print STDERR map { "economy_report: $_\n" } @_, 'try --help';
	exit EXIT_ARGUMENTS;
}

sub failed
{
	print STDERR "economy_report: $_[0]\n";
	exit EXIT_FAILED;
}

sub open_file
{
	my ($name) = @_;

	open my $in, '<:raw', $name or failed("cannot read $name: $!");
	return $in;
}

sub read_all
{
	my ($in, $name) = @_;
	my $text = do { local $/ = undef; <$in> };

	close $in or failed("$name" . ($! ? ": $!" : q{ has failed (above)}));
	return $text // '';
}

# psql tells what is wrong.
sub ask
{
	local $ENV{PGCLIENTENCODING} = 'UTF8';
	local $ENV{PGAPPNAME} = $ENV{PGAPPNAME} // 'economy_report';
	open my $in, '-|:raw', 'psql', '-XqAtw', '-v', 'ON_ERROR_STOP=1',
	  '-c', 'SELECT economy.segment_figures()', @connection
	  or failed("psql: $!");
	return read_all($in, 'psql');
}

# A text that may stand in HTML.
sub text
{
	my ($text) = @_;
	my %entity = ('&' => '&amp;', '<' => '&lt;', '>' => '&gt;', '"' => '&quot;', "'" => '&#39;');

	return $text =~ s/([&<>"'])/$entity{$1}/gr;
}

sub most
{
	my $most = 1;

	foreach (@_) { $most = $_ if $_ > $most }
	return $most;
}

# A heat map; the darkest cells have light figures.
sub matrix
{
	my ($title, $row_title, $column_title, $rows, $columns, $values) = @_;
	my $most = most(map { @$_ } @$values);
	my ($width, $height) = (130 + 84 * @$columns, 60 + 40 * @$rows);
	my $svg = sprintf '<svg role="img" viewBox="0 0 %1$d %2$d" width="%1$d" height="%2$d"><title>%3$s</title>'
	  . '<text x="120" y="16" class="axis">%4$s &#8594;</text><text x="4" y="38" class="axis">%5$s &#8595;</text>',
	  $width, $height, map { text($_) } $title, $column_title, $row_title;

	$svg .= sprintf '<text x="%d" y="38" text-anchor="middle">%s</text>', 162 + 84 * $_, text($columns->[$_]) foreach 0 .. $#$columns;
	$svg .= sprintf '<text x="112" y="%d" text-anchor="end">%s</text>', 71 + 40 * $_, text($rows->[$_]) foreach 0 .. $#$rows;
	foreach my $y (0 .. $#$rows)
	{
		foreach my $x (0 .. $#$columns)
		{
			my $n = $values->[$y][$x];

			$svg .= sprintf '<rect x="%d" y="%d" width="80" height="36" fill="#1f6f8b" fill-opacity="%.3f"/>'
			  . '<text x="%d" y="%d" text-anchor="middle" class="%s">%s</text>',
			  122 + 84 * $x, 48 + 40 * $y, 0.04 + 0.96 * $n / $most,
			  162 + 84 * $x, 71 + 40 * $y, $n > $most * 0.8 ? 'light' : 'dark', $n;
		}
	}
	return "$svg</svg>";
}

# A bar chart of pairs of a label and a number.
sub bars
{
	my ($title, @bars) = @_;
	my $most = most(map { $_->[1] } @bars);
	my $svg = sprintf '<svg role="img" viewBox="0 0 640 %1$d" width="640" height="%1$d"><title>%2$s</title>',
	  10 + 28 * @bars, text($title);

	foreach my $n (0 .. $#bars)
	{
		my ($label, $value) = @{ $bars[$n] };
		my $width = sprintf '%.1f', 360 * $value / $most;

		$svg .= sprintf '<text x="172" y="%d" text-anchor="end">%s</text><rect x="180" y="%d" width="%s" height="20" fill="#1f6f8b"/>'
		  . '<text x="%.1f" y="%d">%s</text>',
		  20 + 28 * $n, text($label), 5 + 28 * $n, $width, 188 + $width, 20 + 28 * $n, $value;
	}
	return "$svg</svg>";
}

sub moment { return substr($_[0], 0, 10) . ' ' . substr($_[0], 11, 5) . ' UTC' }

sub about
{
	my ($figures) = @_;
	my $snapshot = $figures->{snapshot};
	my @flat = @{ $snapshot->{degenerate} };
	my $about = sprintf 'As of %s. Bounds of snapshot %s, made as of %s by the model %s: %s users, %s of them '
	  . 'with a purchase in the window. p60 is %s, p95 is %s.',
	  moment($figures->{as_of}), $snapshot->{snapshot_id}, moment($snapshot->{as_of}), $snapshot->{model},
	  $snapshot->{users}, $snapshot->{active}, map { $_ // 'not known' } @$snapshot{qw(p60 p95)};

	$about .= sprintf ' On %s all who were ranked have one value: they score 3 there.', join ' and ', @flat if @flat;
	return '<p>' . text($about) . '</p>';
}

sub body
{
	my ($figures) = @_;

	return '<p>There is no refresh yet: call <code>economy.rfm_refresh()</code>.</p>' unless defined $figures && %$figures;
	my @names = map { $_->{segment} } @{ $figures->{segments} };
	my %users = map { ("$_->{r} $_->{f}" => $_->{users}) } @{ $figures->{scores} };
	my %moved = map { (($_->{from} // '') . "\0" . ($_->{to} // '') => $_->{changes}) } @{ $figures->{moves} };

	return about($figures)
	  . '<h2>Recency and frequency</h2><p>Users with a purchase in the window, by score; 5 is the best.</p>'
	  . matrix('Users by recency and frequency score', 'recency', 'frequency',
		[ map { "R $_" } reverse 1 .. 5 ], [ map { "F $_" } 1 .. 5 ],
		[ map { my $r = $_; [ map { $users{"$r $_"} // 0 } 1 .. 5 ] } reverse 1 .. 5 ])
	  . '<h2>Segments</h2><p>Users in each segment, in the order of the rules.</p>'
	  . bars('Users by segment', map { [ @$_{qw(segment users)} ] } @{ $figures->{segments} })
	  . '<h2>Monetary value</h2><p>Users with a purchase in the window, by their sum in it, in minor units of money.</p>'
	  . bars('Users by monetary value', map { [ $_->{least} ? "$_->{least} and more" : '0', $_->{users} ] } @{ $figures->{monetary} })
	  . '<h2>Movement</h2><p>Changes of segment in the last 30 days, from the row to the column.</p>'
	  . matrix('Changes between segments', 'from', 'to', \@names, \@names,
		[ map { my $from = $_; [ map { $moved{"$from\0$_"} // 0 } @names ] } @names ]);
}

sub page
{
	return <<'HEAD' . body(@_) . "</body></html>\n";
<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Segments</title><style>
body{font:16px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b2a33}
h1,h2{line-height:1.2}svg{max-width:100%;height:auto}svg text{font:13px sans-serif;fill:#1b2a33}
svg text.light{fill:#fff}svg text.axis{fill:#5a6b75}
</style></head><body><h1>Segments</h1>
HEAD
}
