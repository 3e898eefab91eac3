# A player who tries every zone at every hour of 30 days has at most 32 claims;
# and one who sets the clock before the library is loaded has set nothing.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/..";
use EconomyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('streak_attack');
my $dbh = connect_to($node);

$dbh->do(<<'SQL');
CREATE TABLE zones AS SELECT * FROM unnest(ARRAY['Pacific/Kiritimati', 'Pacific/Apia', 'Pacific/Chatham', 'Pacific/Auckland', 'Australia/Lord_Howe',
	'Asia/Tokyo', 'Asia/Kathmandu', 'Europe/Moscow', 'Antarctica/Troll', 'Africa/Casablanca', 'UTC', 'America/St_Johns', 'America/New_York',
	'America/Los_Angeles', 'Pacific/Marquesas', 'Pacific/Honolulu', 'Pacific/Pago_Pago']) WITH ORDINALITY z (zone, place);
CREATE TABLE tally (claims int);
CREATE PROCEDURE attack(first timestamptz, day_offset text, tactic text) LANGUAGE plpgsql AS $$
DECLARE
	id bigint := economy.register(NULL, CASE tactic WHEN 'rising' THEN 'Pacific/Pago_Pago' ELSE 'Pacific/Kiritimati' END);
	z text;
	n int := 0;
BEGIN
	PERFORM set_config('economy.streak_day_offset', day_offset, false);
	FOR hour IN 0 .. 30 * 24 - 1 LOOP
		PERFORM set_config('economy.test_clock', to_char((first + make_interval(hours => hour)) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00'), false);
		FOREACH z IN ARRAY ARRAY(SELECT zone FROM zones ORDER BY CASE tactic WHEN 'rising' THEN place WHEN 'falling' THEN -place
				ELSE hashtext(zone || hour) END) LOOP
			PERFORM economy.set_timezone(id, z);
			IF (SELECT state FROM economy.claim_daily_reward(id)) = 'new' THEN n := n + 1; END IF;
		END LOOP;
		COMMIT;
	END LOOP;
	DELETE FROM tally;
	INSERT INTO tally VALUES (n);
END $$;
SQL
foreach my $attack (
	[ '2026-03-01 00:00+00', 0, 'rising' ], [ '2026-03-01 00:00+00', 0, 'falling' ], [ '2026-10-20 12:30+00', 0, 'any' ],
	[ '2026-10-20 10:00+00', 0, 'rising' ], [ '2011-12-15 00:00+00', 0, 'any' ], [ '2026-03-15 07:00+00', 5, 'rising' ])
{
	$dbh->do('CALL attack(?, ?, ?)', undef, @$attack);
	my $n = value($dbh, 'SELECT claims FROM tally');
	ok($n >= 29 && $n <= 32, "@$attack: $n claims in 30 days");
}
is_clean($node, 'postgres', 'after the attacks');

# settings that a player tries before the library is there to refuse them
$dbh->do('CREATE ROLE player LOGIN');
$dbh->do(q{SELECT economy.grant_access('player', 'app')});
my $ann = add_user($dbh, 'ann');
foreach my $how ('SET', 'PGOPTIONS')
{
	local $ENV{PGOPTIONS} = $how eq 'PGOPTIONS' ? '-c economy.test_clock=2050-01-01T00:00:00Z -c economy.streak_max_freezes=100' : '';
	my ($rc, $out) = $node->psql('postgres',
		($how eq 'SET' ? q{SET economy.test_clock = '2050-01-01 00:00:00+00';} : '')
		  . q{SELECT economy.now() > '2049-12-31';}, extra_params => [ '-U', 'player', '-qAt' ], on_error_stop => 0);
	is($out // '', 'f', "$how: the clock is the server's");
}
my ($rc, $out, $err) = $node->psql('postgres', qq{SELECT code FROM economy.claim_daily_reward($ann);
	SELECT code FROM economy.grant_reward($ann, 'app', '1', 1);
	SELECT count(*) FROM economy.streak_preview($ann, 3);
	SELECT streak_day FROM economy.streak_state($ann);
	SELECT code FROM economy.revoke_reward($ann, 'R$ann-1', 'r', 'a');
	SELECT economy.set_level_curve('c', ARRAY[0, 1]);
	SELECT economy.set_level_experiment('e', '[]');
	SELECT count(*) FROM economy.reward_audit;
	SELECT count(*) FROM economy.streaks;
	UPDATE economy.accounts SET sections = NULL;}, extra_params => [ '-U', 'player', '-qAt' ], on_error_stop => 0);
is($out, "CLAIMED\nOK\n3\n1", 'a player claims, is granted, looks');
is(scalar(() = $err =~ /permission denied/g), 6, 'and does nothing else');

$dbh->disconnect;
$node->stop;
done_testing();
