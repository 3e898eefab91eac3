# economy_settle against a provider that answers late, twice, wrongly, never, and in the wrong
# order: what it has confirmed is given once, nothing else is, and no order is forgotten.
use strict;
use warnings;

use Encode ();
use Digest::SHA qw(hmac_sha256_base64);
use FindBin;
use IO::Socket::INET;
use POSIX ();
use IPC::Run ();
use JSON::PP;
use MIME::Base64;
use lib "$FindBin::Bin/..";
use EconomyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $bindir = `pg_config --bindir`;
chomp $bindir;
my $settle = ($ENV{ECONOMY_STAGE} // q{}) . "$bindir/economy_settle";
plan skip_all => 'economy_settle is not built, for want of libcurl' unless -x $settle;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $secret = 'MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
my $json = JSON::PP->new->canonical;
sub to_file { my ($name, $text, $mode) = @_; open my $to, '>', "$dir/$name" or die $!; print {$to} $text; close $to; chmod $mode // 0600, "$dir/$name"; return "$dir/$name" }
my @keys = ('--secret-file=' . to_file('secret', "whsec_$secret\n"), '--header-file=' . to_file('headers', "Authorization: Bearer sesame\nX-Shop: 7\n"));

# --- the provider -----------------------------------------------------------------------

# What it answers to the first request of an order, the second, ...: the last goes on.
my %script = (
	ok => [ [ 200, 'confirmed' ] ],
	accepted => [ [ 202, '' ], [ 200, 'confirmed' ] ],
	created => [ [ 201, 'pending' ], [ 200, 'confirmed' ] ],
	refused => [ [ 422, 'confirmed' ] ],
	late_refusal => [ [ 202, '{}' ], [ 422, 'failed' ], [ 200, 'failed' ] ],
	busy => [ [ 429, '', 'Retry-After: 1' ], [ 200, 'confirmed' ] ],
	broken => [ [ 500, 'confirmed' ], [ 503, 'failed' ], [ 200, 'confirmed' ] ],
	late => [ [ 'sleep', 3 ], [ 200, 'confirmed' ] ],
	mute => [ ['close'], [ 200, 'confirmed' ] ],
	garbage => [ [ 200, '{"report": confirmed' ], [ 200, '["confirmed"]' ], [ 200, '{"report": "won"}' ], [ 200, "\0" . 'x' ], [ 200, 'confirmed' ] ],
	amount => [ [ 200, 'more' ] ],
	long => [ [ 200, '{"report": "confirmed", "x": "' . ('x' x 70000) . '"}' ], [ 200, 'confirmed' ] ],
	conflict => [ [ 409, '{"error": "in progress"}' ], [ 200, 'confirmed' ] ],
	key => [ [ 401, 'failed' ], [ 403, 'failed' ], [ 404, 'failed' ], [ 410, 'failed' ], [ 302, 'confirmed', 'Location: http://127.0.0.1:1/' ], [ 200, 'confirmed' ] ],
	lost => [ [ 200, '{"report": "voided", "reason": "' . ("\x{e9}" x 300) . '"}' ] ],
	never => [ [ 500, '' ] ],
	slow => [ [ 'sleep', 1, 200, 'confirmed' ] ]);

sub body_of
{
	my ($order, $what) = @_;

	return $what unless $what =~ /^(confirmed|pending|failed|more)$/;
	return $json->encode({ report => $what eq 'more' ? 'confirmed' : $what, provider_ref => "pay_$order->{order_id}",
		amount => $order->{amount} + ($what eq 'more' ? 1 : 0), currency => $order->{currency}, reason => 'as it is' });
}

# One request; the log has what came, and is how often an order was asked about.
sub serve
{
	my ($client, $log) = @_;
	my (%header, $body);
	my $first = <$client> // return;

	while (defined(my $line = <$client>))
	{
		last if $line =~ /^\r?\n$/;
		$header{ lc $1 } = $2 if $line =~ /^([^:]+):\s*(.*?)\r?\n$/;
	}
	read $client, $body, $header{'content-length'} // 0;
	my $order = $json->decode($body);
	my $times = grep { /"\Q$order->{order_id}\E"/ } split /\n/, -e $log ? slurp_file($log) : '';
	open my $to, '>>', $log or die $!;
	print {$to} $json->encode({ first => $first, header => \%header, body => $body, order => $order }) . "\n";
	close $to;
	my $answers = $script{ $order->{product_id} };
	my @answer = @{ $answers->[ $times < $#$answers ? $times : $#$answers ] };
	return if $answer[0] eq 'close';
	if ($answer[0] eq 'sleep')
	{
		sleep $answer[1];
		return if @answer == 2;
		splice @answer, 0, 2;
	}
	my $text = Encode::encode('UTF-8', body_of($order, $answer[1]));
	print {$client} join("\r\n", "HTTP/1.1 $answer[0] So", 'Content-Length: ' . length($text), 'Connection: close', grep { defined } $answer[2]) . "\r\n\r\n$text";
	return;
}

my $log = "$dir/requests";
my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 64, ReuseAddr => 1) or die "no socket: $@";
my $url = 'http://127.0.0.1:' . $listener->sockport . '/orders';
my $provider = fork // die $!;
if ($provider == 0)
{
	# nobody waits for what it may print, and it does not outlive the test
	my $test = getppid;
	open STDOUT, '>', '/dev/null';
	open STDERR, '>', "$dir/provider";
	local $SIG{CHLD} = 'IGNORE';
	$listener->timeout(1);
	while (getppid == $test)
	{
		my $client = $listener->accept or next;
		next if fork;
		binmode $client;
		serve($client, $log);
		close $client;
		POSIX::_exit(0);
	}
	POSIX::_exit(0);
}
close $listener;
sub requests { return map { $json->decode($_) } split /\n/, -e $log ? slurp_file($log) : '' }

# --- orders -----------------------------------------------------------------------------

my $node = new_node('settle');
my $dbh = connect_to($node);
my $user = add_user($dbh, 'ann');
$dbh->do(q{SELECT economy.set_payment_provider('{"provider": "bank", "profile": "standard", "currency": "EUR", "retry_base_s": 1, "retry_cap_s": 1, "max_attempts": 60}', 'tester')});
add_product($dbh, $_, category => 'conversion', source_points => 499, granted_gold => 100, monetary => 499, settlement => 'bank') foreach sort keys %script;
$dbh->do(q{CREATE ROLE worker LOGIN; SELECT economy.grant_access('worker', 'app')});
my @server = ('-h', $node->host, '-p', $node->port, '-U', 'worker', '-d', 'postgres');
sub order { my ($product, $key, $who) = @_; return value($dbh, 'SELECT detail -> \'order\' ->> \'order_id\' FROM economy.purchase(?, ?, ?)', $who // $user, $product, $key) }
sub state_of { my ($id) = @_; return value($dbh, 'SELECT state FROM economy.payment_orders WHERE order_id = ?', $id) }
sub gold { return value($dbh, 'SELECT sum(gold) FROM economy.accounts') }
# nobody waits for the ladder; of those that a worker has only when it is told so
sub due { my ($leased) = @_; $dbh->do(q{UPDATE economy.payment_orders SET due_at = now() WHERE due_at < 'infinity' AND (worker IS NULL OR ?)}, undef, $leased // 0); return }

# worker(ARGUMENT...): one that runs
sub worker
{
	my @args = @_;
	my $w = { out => '', err => '' };

	$w->{run} = IPC::Run::start([ $settle, '--provider=bank', "--url=$url", '--worker=till 1', @keys, @args, @server ], '<', \undef, '>', \$w->{out}, '2>', \$w->{err});
	return $w;
}
sub ended { my ($w) = @_; $w->{run}->finish; return $w->{run}->full_result(0) >> 8 }
sub until_true { my ($what) = @_; for (1 .. 600) { return 1 if $what->(); select undef, undef, undef, 0.05 } return 0 }

my %order = map { ($_ => order($_, "k $_")) } grep { $_ ne 'slow' } keys %script;
is(gold(), 0, 'nothing is given for orders');
my $w = worker('--max=3', '--timeout=1');
my %ends = (refused => 'FAILED', late_refusal => 'FAILED', amount => 'CONFLICT', lost => 'VOIDED', never => 'CREATED');
ok(until_true(sub { due(); !grep { $_ ne 'never' && state_of($order{$_}) ne ($ends{$_} // 'CONFIRMED') } keys %order }), 'the others end as the provider says')
  or diag(join ', ', map { "$_ " . state_of($order{$_}) } sort keys %order);
ok(until_true(sub { 2 < grep { $_->{order}{product_id} eq 'never' } requests() }), 'one that gets no answer is asked about again and again');
$w->{run}->signal('TERM');
is(ended($w), 0, 'SIGTERM ends it');
is(state_of($order{$_}), $ends{$_} // 'CONFIRMED', $_) foreach sort keys %order;
my $confirmed = grep { !$ends{$_} } keys %order;
is(gold(), 100 * $confirmed, 'each that is confirmed is given once');
like($w->{out}, qr/^order $order{ok}: HTTP 200, CONFIRMED OK$/m, 'it says what became of each');
like($w->{out}, qr/^order $order{amount}: HTTP 200, CONFLICT CONFLICT$/m, 'and what is for an operator');
like($w->{err}, qr/^economy_settle: the provider asks for 1 s without requests$/m, 'Retry-After');
unlike("$w->{out}$w->{err}", qr/sesame|$secret/, 'no secret is told');
is(value($dbh, q{SELECT string_agg(concat_ws(' ', h.report, h.reporter, h.reason), ', ' ORDER BY h.step) FROM economy.payment_order_history h WHERE h.order_id = ? AND h.report <> 'unknown'}, $order{late_refusal}),
	'ordered purchase, pending till 1, failed till 1 as it is', 'what is acknowledged fails by the words of the provider alone');
is(value($dbh, 'SELECT octet_length(h.reason) FROM economy.payment_order_history h WHERE h.order_id = ? ORDER BY h.step DESC LIMIT 1', $order{lost}), 126, 'a long reason is cut');

# what was asked
my %by;
push @{ $by{ $_->{order}{product_id} } }, $_ foreach requests();
my @of = map { @$_ } values %by;
is_deeply([ sort { $a cmp $b } map { $_->{header}{'idempotency-key'} } @of ], [ sort { $a cmp $b } map { $_->{order}{order_id} } @of ], 'an order is its own key, each time');
is(scalar(grep { $_->{first} !~ m{^POST /orders HTTP/1.1\r?\n$} || $_->{header}{authorization} ne 'Bearer sesame' || $_->{header}{'x-shop'} ne '7' || $_->{header}{'content-type'} ne 'application/json' } @of), 0, 'with the headers');
is(scalar(grep { $_->{header}{'webhook-signature'} ne 'v1,' . hmac_sha256_base64("$_->{header}{'webhook-id'}.$_->{header}{'webhook-timestamp'}.$_->{body}", decode_base64($secret)) . '=' || $_->{header}{'webhook-id'} ne $_->{order}{order_id} || abs($_->{header}{'webhook-timestamp'} - time) > 300 } @of), 0, 'and signed');
my $asked = $by{accepted}[1]{order};
like(delete $asked->{expires_at}, qr/^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, 'until when it is wanted');
is_deeply($asked, { order_id => $order{accepted}, user_id => "$user", product_id => 'accepted', quantity => 1, amount => 499, currency => 'EUR', state => 'PENDING', provider_ref => undef }, 'and what it is');
is(scalar @{ $by{$_} }, scalar @{ $script{$_} }, "$_ is asked about as often as is needed") foreach qw(accepted refused busy broken mute garbage key conflict);

# --- lives ------------------------------------------------------------------------------

# it is to end in the middle of a request: that is waited for, and reported
my $slow = order('slow', 'drained');
$w = worker('--timeout=10');
ok(until_true(sub { grep { $_->{order}{order_id} eq $slow } requests() }), 'asked');
$w->{run}->signal('TERM');
is(ended($w), 0, 'it ends');
is(state_of($slow), 'CONFIRMED', 'when it has reported');

# killed in the middle: the next one asks with the same key
$slow = order('slow', 'killed');
$w = worker('--timeout=10');
ok(until_true(sub { grep { $_->{order}{order_id} eq $slow } requests() }), 'asked');
$w->{run}->signal('KILL');
$w->{run}->finish;
is(state_of($slow), 'CREATED', 'killed before it could report');
$w = worker('--once');
is(ended($w) . ' ' . state_of($slow), '0 CREATED', 'while its lease goes on nobody asks');
due(1);
$w = worker('--once', '--quiet');
is(ended($w) . ' ' . state_of($slow) . $w->{out}, '0 CONFIRMED', 'the next one does, and ends when there is nothing to do');
is(scalar(grep { $_->{order}{order_id} eq $slow } requests()), 2, 'the provider was asked twice');
is(gold(), 100 * ($confirmed + 2), 'and gold is given once');

# the server restarts in the middle: it is reported by a new connection
$slow = order('slow', 'restarted');
$dbh->disconnect;
$w = worker('--timeout=10');
ok(until_true(sub { grep { $_->{order}{order_id} eq $slow } requests() }), 'asked');
$node->restart;
$dbh = connect_to($node);
ok(until_true(sub { state_of($slow) eq 'CONFIRMED' }), 'reported by a new connection');
my $next = order('ok', 'after');
ok(until_true(sub { state_of($next) eq 'CONFIRMED' }), 'and it goes on');
$w->{run}->signal('INT');
is(ended($w), 0, 'SIGINT ends it, too');

# many workers, many orders
my @many = map { my $who = add_user($dbh, "user $_"); map { order('ok', "many $_", $who) } 1 .. 10 } 1 .. 6;
my @workers = map { worker('--once', "--worker=till $_") } 1 .. 4;
is(join(' ', map { ended($_) } @workers), '0 0 0 0', 'four at once');
is(scalar(grep { state_of($_) ne 'CONFIRMED' } @many), 0, 'all are settled');
my %times;
$times{ $_->{order}{order_id} }++ foreach requests();
is(scalar(grep { $times{$_} != 1 } @many), 0, 'each by one of them');
is(gold(), 100 * ($confirmed + 4 + 60), 'and the gold is right');
is(value($dbh, 'SELECT count(*) FROM economy.audit_sweep()'), 0, 'nothing is wrong');

# --- arguments --------------------------------------------------------------------------

sub refused
{
	my ($args, $code, $says, $name) = @_;
	my $result = IPC::Run::run([ $settle, @$args ], '<', \undef, '>', \my $out, '2>', \my $err);
	my $got = $? >> 8;

	is($got, $code, "$name: code");
	like($err, $says, $name);
	unlike("$out$err", qr/sesame|$secret/, "$name: no secret");
	return;
}
my @needed = ('--provider=bank', "--url=$url");
refused([], 2, qr/--provider and --url must be given/, 'no arguments');
refused([ '--provider=bank', '--url=ftp://x' ], 2, qr/must begin with http/, 'another protocol');
refused([ '--provider=bank', '--url=http://a:sesame@x/' ], 2, qr/no password/, 'a password in the URL');
refused([ @needed, '--max=0' ], 2, qr/0 is not from 1 to 100/, 'no orders');
refused([ @needed, '--timeout=x' ], 2, qr/x is not from 1 to 300/, 'no number');
refused([ @needed, '--poll=3601' ], 2, qr/3601 is not from 1 to 3600/, 'a large one');
refused([ @needed, '--worker=' . 'w' x 256 ], 2, qr/1 to 255 bytes/, 'a long name');
refused([ @needed, '--secret-file=' . to_file('open', "whsec_$secret", 0644) ], 2, qr/can be read by others/, 'a secret that is none');
refused([ @needed, "--secret-file=$dir/none" ], 2, qr/No such file/, 'no file');
refused([ @needed, '--secret-file=' . to_file('short', 'whsec_AAAA') ], 2, qr/less than 16 bytes/, 'a short secret');
refused([ @needed, '--secret-file=' . to_file('wrong', 'whsec_%%%%') ], 2, qr/no secret/, 'no base64');
refused([ @needed, '--header-file=' . to_file('header', "sesame\n") ], 2, qr/no header/, 'no header');
refused([ @needed, '--header-file=' . to_file('many', "A: b\n" x 17) ], 2, qr/more than 16/, 'too many');
refused([ @needed, "--header-file=" . to_file('huge', 'A: ' . 'b' x 8192) ], 2, qr/more than 8192/, 'a large file');
refused([ @needed, 'dbname=x password=sesame port' ], 2, qr/connection string cannot be read/, 'a wrong connection string');
refused([ @needed, @server, 'another' ], 2, qr/one argument too many/, 'two databases');
refused([ @needed, '-h', $node->host, '-p', 1, '-d', 'postgres' ], 1, qr/no connection/, 'no server');
$dbh->do('CREATE ROLE stranger LOGIN');
refused([ @needed, @server[0 .. 3], '-U', 'stranger', '-d', 'postgres', '--once' ], 1, qr/permission denied/, 'no rights');
kill 'TERM', $provider;
waitpid $provider, 0;
done_testing();
