# Webhooks' signatures against the published vectors, and that no secret is told: in no log, no
# error, no statistics of statements, no history.
use strict;
use warnings;

use Digest::SHA qw(hmac_sha256_base64 hmac_sha256_hex);
use FindBin;
use JSON::PP;
use MIME::Base64;
use lib "$FindBin::Bin/..";
use EconomyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $data = JSON::PP->new->decode(slurp_file("$FindBin::Bin/../../data/webhook_vectors.json"));
my $node = new_node('webhooks', conf => "log_statement = 'all'\nlog_error_verbosity = verbose\nlog_min_messages = debug1\n");
my $dbh = connect_to($node);

sub at { my ($epoch) = @_; $dbh->do("SET economy.test_clock = '" . POSIX::strftime('%Y-%m-%d %H:%M:%S+00', gmtime($epoch)) . "'"); return }

sub verdict
{
	my ($provider, $body, %headers) = @_;
	return value($dbh, 'SELECT reason FROM economy.verify_webhook(?, ?::jsonb, convert_to(?, ?))', $provider, JSON::PP->new->encode(\%headers), $body, 'UTF8');
}

$dbh->do(qq{SELECT economy.set_payment_provider('{"provider": "$_", "profile": "$_"}', 'tester')}) foreach qw(standard stripe);
sub add { my ($provider, $secret) = @_; return value($dbh, 'SELECT economy.add_payment_secret(?, ?, ?)', $provider, $secret, 'tester') }

# the rule of the vectors is the rule of RFC 4231
foreach my $v (@{ $data->{rfc4231_hmac_sha256} })
{
	my $mac = hmac_sha256_hex($v->{data} // pack('H*', $v->{data_hex}), pack('H*', $v->{key_hex}));
	is(substr($mac, 0, length($v->{mac} // $v->{mac_first_16_bytes})), $v->{mac} // $v->{mac_first_16_bytes}, 'a vector of RFC 4231');
}

my $s = $data->{standard};
$dbh->do($_) foreach slurp_file("$FindBin::Bin/../../../doc/operations.md") =~ /^(SET log_\w+ = .*);$/mg;
is(value($dbh, 'SHOW log_statement') . value($dbh, 'SHOW log_min_error_statement'), 'nonepanic', 'what the document says');
is(add('standard', $s->{secret}), 1, 'the secret');
is(add('standard', $s->{secret} =~ s/^whsec_//r), 1, 'without its prefix');
is(try_sql($dbh, q{SELECT economy.add_payment_secret('standard', '', 'tester')}), 'XE701', 'an empty one');
sub standard { my ($signature, %change) = @_; return verdict('standard', $change{body} // $s->{payload}, 'webhook-id' => $change{id} // $s->{id}, 'webhook-timestamp' => '' . ($change{at} // $s->{timestamp}), 'webhook-signature' => $signature) }
at($s->{timestamp});
is(standard($s->{signature}), 'OK', 'the signature');
is(standard($s->{empty_payload_signature}, body => ''), 'OK', 'of an empty payload');
is(standard($_), 'OK', "valid: $_") foreach @{ $s->{valid} };
is(standard($_), 'WRONG_SIGNATURE', "invalid: $_") foreach @{ $s->{invalid} };
foreach my $at (@{ $s->{invalid_timestamps} })
{
	my $sent = $at =~ /^now([+-]\d+)$/ ? $s->{timestamp} + $1 : $at;
	my $signature = 'v1,' . hmac_sha256_base64("$s->{id}.$sent.$s->{payload}", MIME::Base64::decode_base64($s->{secret} =~ s/^whsec_//r)) . '=';
	is(standard($signature, at => $sent), $at =~ /^now-/ ? 'TOO_OLD' : $at =~ /^now\+/ ? 'TOO_NEW' : 'HEADER_NOT_VALID', "invalid time: $at");
	next unless $at =~ /^now/;
	at($s->{timestamp} + ($at =~ /-/ ? -1 : 1));
	is(standard($signature, at => $sent), 'OK', 'valid a second nearer');
	at($s->{timestamp});
}
my %all = ('webhook-id' => $s->{id}, 'webhook-timestamp' => "$s->{timestamp}", 'webhook-signature' => $s->{signature});
foreach my $missing (sort keys %all)
{
	is(verdict('standard', $s->{payload}, map { ($_ => $all{$_}) } grep { $_ ne $missing } keys %all), 'HEADER_MISSING', "without $missing");
}

my $p = $data->{stripe};
is(add('stripe', $p->{secret}), 1, "Stripe's secret");
is(verdict('stripe', $p->{payload}, 'Stripe-Signature' => "t=$p->{timestamp},v1=$p->{v1}"), 'OK', "Stripe's signature");
is(verdict('stripe', "$p->{payload} ", 'Stripe-Signature' => "t=$p->{timestamp},v1=$p->{v1}"), 'WRONG_SIGNATURE', 'of another payload');
at($p->{timestamp} + $p->{tolerance_s} + 1);
is(verdict('stripe', $p->{payload}, 'Stripe-Signature' => "t=$p->{timestamp},v1=$p->{v1}"), 'TOO_OLD', 'too old');
at($p->{timestamp} - 100 * $p->{tolerance_s});
is(verdict('stripe', $p->{payload}, 'Stripe-Signature' => "t=$p->{timestamp},v1=$p->{v1}"), 'OK', 'past only');

# in a transaction that sees the database as it was: secrets and providers are those of now
my $operator = connect_to($node);
at($s->{timestamp});
foreach my $level ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE')
{
	my $name = lc $level;
	my $says = sub { return verdict($name, $s->{payload}, %all) };
	my $version;

	$dbh->do("BEGIN ISOLATION LEVEL $level");
	$dbh->do('SELECT FROM economy.payment_secrets');
	is($says->(), 'PROVIDER_NOT_FOUND', "$name: no provider yet");
	$operator->do('SELECT economy.set_payment_provider(?::jsonb, ?)', undef, qq({"provider": "$name", "profile": "standard"}), 'tester');
	is($says->(), 'NO_SECRET', 'one is made');
	$version = value($operator, 'SELECT economy.add_payment_secret(?, ?, ?)', $name, $s->{secret}, 'tester');
	is($says->(), 'OK', 'a secret is added');
	$operator->do('SELECT economy.retire_payment_secret(?, ?, ?)', undef, $name, $version, 'tester');
	is($says->(), 'NO_SECRET', 'and retired: nothing is signed with it from now on');
	$dbh->do('COMMIT');
}
$operator->disconnect;

# a canary: added, refused by a constraint, refused as none, retired
$dbh->do('RESET economy.test_clock');
my $canary = 'whsec_' . MIME::Base64::encode_base64('canarycanarycanary', '');
my $hex = unpack('H*', 'canarycanarycanary');
add('standard', $canary);
my @told;
$dbh->do(q{ALTER TABLE economy.payment_secrets ADD CONSTRAINT none CHECK (version < 3) NOT VALID});
foreach ([ 'standard', $canary =~ s/5$/6/r ], [ 'standard', "$canary?" ], [ 'stripe', "$canary\n" ])
{
	local $dbh->{PrintError} = 0;
	push @told, eval { add(@$_); 'added' } // $@;
	$dbh->do('ROLLBACK') unless $dbh->{AutoCommit};
}
is(join(' ', grep { /canary|Y2FuYXJ5|$hex/i } @told), '', 'no error tells it');
like(join(' ', @told), qr/constraint refuses.*none of the profile standard.*none of the profile stripe/s, 'each was refused');
is(value($dbh, q{SELECT economy.retire_payment_secret('standard', 2, 'tester')}), 1, 'it is retired');
is(value($dbh, q{SELECT count(*) FROM economy.config_changes c WHERE c::text ~* ('canary|Y2FuYXJ5|' || ?)}, $hex), 0, 'nor does the history');
is(value($dbh, q{SELECT count(*) FROM economy.payment_secrets s WHERE s::text ~* ?}, $hex), 0, 'nothing is left of it');
my $log = slurp_file($node->logfile);
like($log, qr/XE701/, 'the log has the errors');
unlike($log, qr/Y2FuYXJ5|canarycanary|$hex/i, 'and no secret');
is_clean($node, 'postgres', 'at the end');
$dbh->disconnect;
$node->stop;
done_testing();
