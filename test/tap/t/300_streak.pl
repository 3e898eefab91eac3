# The daily streak against the published vectors and against a second
# implementation: this file's, written from the rule's words, with the C
# library's calendar in place of PostgreSQL's. Both are held against the plain
# rule in core/ and against claim_daily_reward() itself.
#
# ECONOMY_TEST_SEED repeats a run; ECONOMY_TEST_CLAIMS sets its length.
use strict;
use warnings;

use Cwd 'abs_path';
use File::Basename 'dirname';
use FindBin;
use JSON::PP 'decode_json';
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::Local 'timegm';

use lib "$FindBin::Bin/..";
use EconomyTest;

my $root = "$FindBin::Bin/../../..";
my $vectors = "$root/test/data/streak_vectors.json";
my $seed = $ENV{ECONOMY_TEST_SEED} // (time ^ ($$ << 8)) % 1_000_000_007;
my $claims_wanted = $ENV{ECONOMY_TEST_CLAIMS} // 100_000;

my $node = new_node('streak');
my $dbh = connect_to($node);

# --- the second implementation ---------------------------------------------

# Number of the day that the clocks of a zone show, by the C library.
my $zone_now = '';
my %date_cache;

sub local_date
{
	my ($at, $zone) = @_;

	return $date_cache{$zone}{$at} //= do {
		if ($zone_now ne $zone)
		{
			$ENV{TZ} = $zone_now = $zone;
			POSIX::tzset();
		}
		my (undef, undef, undef, $mday, $mon, $year) = localtime $at;
		timegm(0, 0, 0, $mday, $mon, $year + 1900) / 86400;
	};
}

# A date exists where some clock of the zone shows it.
my %exists_cache;

sub date_exists
{
	my ($date, $zone) = @_;

	return $exists_cache{$zone}{$date} //=
	  (grep { local_date($date * 86400 + $_ * 3600, $zone) == $date } -16 .. 40) ? 1 : 0;
}

sub newcomer
{
	my ($zone) = @_;
	return { day => 0, best => 0, last => undef, grace => undef, excused => undef, freezes => 0, zone => $zone, claimed_in => undef };
}

sub claim_date
{
	my ($user, $policy, $at) = @_;
	my $moment = $at - 3600 * $policy->{offset};
	my $new = local_date($moment, $user->{zone});
	# before the first claim there is no zone that a move could be pending from
	my $old = local_date($moment, $user->{claimed_in} // $user->{zone});

	return $old < $new ? $old : $new;
}

# What a claim is; changes the user, and says what the rule in core/ is asked.
sub claim
{
	my ($user, $policy, $at) = @_;
	my $date = claim_date($user, $policy, $at);
	my $there = local_date($at - 3600 * $policy->{offset}, $user->{zone});
	my %asked = (%$user, today => $date, there => $there, missed => 0, missed_day => undef);
	my ($outcome, $used, $goes_on) = (undef, 0, 0);

	if (!defined $user->{last})
	{
		$outcome = 'START';
	}
	elsif ($date <= $user->{last})
	{
		return { outcome => 'ALREADY_CLAIMED', date => $user->{last}, asked => \%asked };
	}
	else
	{
		my @missed = grep { date_exists($_, $user->{claimed_in}) && $_ > ($user->{excused} // $user->{last}) }
		  $user->{last} + 1 .. $date - 1;

		$asked{missed} = @missed;
		$asked{missed_day} = $missed[-1];
		if (!@missed)
		{
			($outcome, $goes_on) = ('CONTINUE', 1);
		}
		elsif ($date - $user->{last} >= $policy->{dormancy})
		{
			$outcome = 'DORMANT';
			$user->{grace} = undef;
		}
		elsif (@missed == 1
			&& (!defined $user->{grace} || $missed[0] - $user->{grace} >= $policy->{grace}))
		{
			($outcome, $goes_on) = ('GRACE', 1);
			$user->{grace} = $missed[0];
		}
		elsif ($user->{freezes} >= @missed)
		{
			($outcome, $goes_on, $used) = ('FREEZE', 1, scalar @missed);
		}
		else
		{
			$outcome = 'RESET';
		}
	}
	$user->{freezes} -= $used;
	$user->{day} = $goes_on ? $user->{day} + 1 : 1;
	$user->{best} = $user->{day} if $user->{day} > $user->{best};
	$user->{last} = $date;
	$user->{excused} = $there if $there > $date && $there > ($user->{excused} // $date);
	$user->{claimed_in} = $user->{zone};

	my $paid = $user->{day};
	$paid = $policy->{cap_day} if $policy->{cap} eq 'hold' && $paid > $policy->{cap_day};
	$paid = ($paid - 1) % $policy->{cap_day} + 1 if $policy->{cap} eq 'cycle';
	return { outcome => $outcome, date => $date, used => $used, asked => \%asked,
		gold => 1000 + 200 * ($paid - 1), xp => 50 + 25 * ($paid - 1) };
}

# --- the plain rule -------------------------------------------------------

my $rule_driver = build_rule_driver();

# A program around eco_streak_claim(): a claim per line in, its answer out.
sub build_rule_driver
{
	my $source = "$root/src/core/streak.c";
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my $cc = $ENV{CC} // 'cc';

	-e $source or die "the rule's source, $source, is not there\n";
	append_to_file("$dir/driver.c", <<'C');
#include <stdio.h>
#include "core/streak.h"
int
main(void)
{
	EcoStreakPolicy policy = {7, 30, ECO_CAP_NONE, 7};
	EcoStreak	before, after;
	int			today, there, missed, missed_day;

	while (scanf("%d %d %d %d %d %d %d %d %d %d %d %d", &policy.grace_days, &policy.dormancy_days,
				 &before.day, &before.best, &before.last_claim, &before.last_grace, &before.freezes,
				 &before.excused_to, &today, &there, &missed, &missed_day) == 12)
	{
		EcoClaim	claim = eco_streak_claim(&policy, &before, today, there, missed, missed_day, &after);

		printf("%s %d %d %d %d %d %d\n", eco_claim_name(claim), after.day, after.best,
			   after.last_claim, after.last_grace, after.freezes, after.excused_to);
	}
	return 0;
}
C
	system($cc, '-O1', "-I$root/src", '-o', "$dir/driver", "$dir/driver.c", $source) == 0
	  or die 'the driver of the rule does not build';
	return "$dir/driver";
}

my $no_day = -2**31;

# The line that asks the rule, and the line it must answer.
sub rule_question
{
	my ($policy, $asked) = @_;
	return join ' ', $policy->{grace}, $policy->{dormancy}, @$asked{qw(day best)}, $asked->{last} // $no_day,
	  $asked->{grace} // $no_day, $asked->{freezes}, $asked->{excused} // $no_day,
	  @$asked{qw(today there missed)}, $asked->{missed_day} // $no_day;
}

sub rule_answer
{
	my ($outcome, $user) = @_;
	return join ' ', $outcome, @$user{qw(day best)}, $user->{last} // $no_day, $user->{grace} // $no_day, $user->{freezes}, $user->{excused} // $no_day;
}

sub ask_rule
{
	my ($questions) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();

	append_to_file("$dir/in", join '', map { "$_\n" } @$questions);
	my @answers = split /\n/, `$rule_driver < $dir/in`;
	return \@answers;
}

# --- the vectors ----------------------------------------------------------

sub iso { return POSIX::strftime('%Y-%m-%d', gmtime($_[0] * 86400)) }

sub epoch
{
	my ($text) = @_;
	my ($y, $mo, $d, $h, $mi, $s) = $text =~ /^(\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+)Z$/ or die $text;
	return timegm($s, $mi, $h, $d, $mo - 1, $y);
}

{
	my $data = decode_json(slurp_file($vectors));
	my %policy = (grace => $data->{policy}{grace_days}, dormancy => $data->{policy}{dormancy_days},
		offset => $data->{policy}{day_offset_hours}, cap => 'none', cap_day => 7);

	cmp_ok(@{ $data->{vectors} }, '>', 0, 'there are vectors');
	$dbh->do("SET economy.streak_grace_days = $policy{grace}");
	$dbh->do("SET economy.streak_dormancy_days = $policy{dormancy}");
	$dbh->do("SET economy.streak_day_offset = $policy{offset}");
	foreach my $vector (@{ $data->{vectors} })
	{
		my $id = value($dbh, 'SELECT economy.register(NULL, ?)', $vector->{tz});
		my $user = newcomer($vector->{tz});
		my (@want, @end_to_end, @second, @questions, @answers);

		foreach my $step (@{ $vector->{steps} })
		{
			if (ref $step eq 'HASH')
			{
				value($dbh, 'SELECT economy.set_timezone(?, ?)', $id, $step->{set_timezone});
				$user->{zone} = $step->{set_timezone};
				next;
			}
			my ($at, $outcome, $date, $day) = @$step;
			my $amounts = '';
			$amounts = ' ' . join ' ', 1000 + 200 * ($day - 1), 50 + 25 * ($day - 1);
			push @want, "$at $outcome $date $day$amounts";

			$dbh->do("SET economy.test_clock = '$at'");
			my $foreseen = value($dbh, 'SELECT next_outcome FROM economy.streak_state(?)', $id);
			my $r = row($dbh, 'SELECT * FROM economy.claim_daily_reward(?)', $id);
			push @end_to_end, "$at $foreseen $r->{claim_date} $r->{streak_day} $r->{gold_delta} $r->{xp_delta}"
			  . ($r->{code} eq ($foreseen eq 'ALREADY_CLAIMED' ? $foreseen : 'CLAIMED') ? '' : " but $r->{code}")
			  . (!!$r->{grace_used} == !!value($dbh, 'SELECT grace_used FROM economy.reward_audit WHERE user_id = ? ORDER BY seq DESC LIMIT 1', $id) ? '' : ' grace');

			my $c = claim($user, \%policy, epoch($at));
			push @second, "$at $c->{outcome} " . iso($c->{date}) . " $user->{day}$amounts";
			push @questions, rule_question(\%policy, $c->{asked});
			push @answers, "$outcome $day " . iso($user->{last});
		}
		is_deeply(\@end_to_end, \@want, "$vector->{name}: claim_daily_reward()");
		is_deeply(\@second, \@want, "$vector->{name}: this file");
		my @got = map { my @f = split; "$f[0] $f[1] " . iso($f[3]) } @{ ask_rule(\@questions) };
		is_deeply(\@got, \@answers, "$vector->{name}: the rule in core/");
	}
	$dbh->do('RESET ALL');
}

# --- random histories -----------------------------------------------------

my @places = (
	[ '2011-12-20T00:00:00Z', [ qw(Pacific/Apia Pacific/Fakaofo Pacific/Auckland Pacific/Pago_Pago UTC) ] ],
	[ '1993-08-10T00:00:00Z', [ qw(Pacific/Kwajalein Pacific/Majuro Pacific/Honolulu Asia/Tokyo) ] ],
	[ '2026-03-01T00:00:00Z', [ qw(America/New_York Asia/Kathmandu Antarctica/Troll Africa/Casablanca Australia/Lord_Howe Pacific/Kiritimati) ] ],
	[ '2026-10-20T00:00:00Z', [ qw(America/New_York America/Havana Antarctica/Troll Asia/Kathmandu Pacific/Pago_Pago Africa/Cairo) ] ],
	[ '2026-03-25T00:00:00Z', [ qw(Europe/Berlin Australia/Lord_Howe Pacific/Chatham America/Santiago UTC) ] ]);

sub pick { return $_[ int rand @_ ] }

sub pause
{
	my $r = rand;
	return 3600 + rand(40) * 3600 if $r < 0.70;
	return 86400 + rand(60) * 3600 if $r < 0.90;
	return 86400 * (2 + rand 6) if $r < 0.96;
	return 86400 * (28 + rand 4) if $r < 0.98;
	return -rand(30) * 3600;
}

sub random_history
{
	my $place = pick(@places);
	my ($from, $zones) = @$place;
	my $at = epoch($from) + int rand 12 * 86400;
	my @steps;
	my %policy = (grace => 7, dormancy => 30, offset => 0, cap => 'none', cap_day => 7);

	%policy = (grace => 1 + int rand 9, dormancy => 2 + int rand 30, offset => int rand 24,
		cap => pick(qw(none hold cycle)), cap_day => 1 + int rand 9)
	  if rand() < 0.4;
	my $zone = pick(@$zones);
	my $restless = rand() < 0.5 ? 0.25 : 0.01;

	foreach (1 .. 50)
	{
		my %step = (at => $at);

		$step{move} = pick(@$zones) if rand() < $restless;
		$step{buy} = 1 + int rand 3 if rand() < 0.08;
		push @steps, \%step;
		$at += int pause();
		# the seconds around a quarter of an hour: midnight of some zone
		$at = $at - $at % 900 - pick(0, 0, 1) if rand() < 0.5;
	}
	return { policy => \%policy, zone => $zone, steps => \@steps };
}

note "seed $seed";
srand $seed;

add_product($dbh, 'freeze', price_gold => 0, effect_code => 'streak_freeze');
$dbh->do(<<'SQL');
CREATE TABLE steps (history int, step int, at timestamptz, first_zone text, move text, buy int,
	policy text[], PRIMARY KEY (history, step));
CREATE TABLE answers (history int, step int, line text, next_at bigint);
CREATE PROCEDURE play() LANGUAGE plpgsql AS $$
DECLARE
	s record;
	id bigint;
	foreseen economy.streak_status;
	c economy.claim_result;
	bought text;
BEGIN
	FOR h IN 1 .. (SELECT max(history) FROM steps) LOOP
		FOR s IN SELECT * FROM steps WHERE history = h ORDER BY step LOOP
			IF s.step = 1 THEN
				id := economy.register(NULL, s.first_zone);
				PERFORM set_config('economy.streak_grace_days', s.policy[1], false),
					set_config('economy.streak_dormancy_days', s.policy[2], false),
					set_config('economy.streak_day_offset', s.policy[3], false),
					set_config('economy.streak_cap', s.policy[4], false),
					set_config('economy.streak_cap_day', s.policy[5], false);
			END IF;
			PERFORM set_config('economy.test_clock', to_char(s.at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00'), false);
			IF s.move IS NOT NULL THEN PERFORM economy.set_timezone(id, s.move); END IF;
			bought := '';
			IF s.buy IS NOT NULL THEN
				SELECT p.code INTO bought FROM economy.purchase(id, 'freeze', s.step::text, s.buy) p;
			END IF;
			SELECT * INTO foreseen FROM economy.streak_state(id);
			SELECT * INTO c FROM economy.claim_daily_reward(id);
			INSERT INTO answers SELECT h, s.step, concat_ws(' ', bought, foreseen.next_outcome, c.code, c.claim_date, c.streak_day,
					c.gold_delta, c.xp_delta, c.grace_used, c.freezes_used, a.streak_freezes, foreseen.streak_day, k.best),
				extract(epoch FROM c.next_claim_at)
				FROM economy.accounts a, economy.streaks k WHERE a.user_id = id AND k.user_id = id;
		END LOOP;
		COMMIT;
	END LOOP;
END $$;
SQL
my @histories = map { random_history() } 1 .. POSIX::ceil($claims_wanted / 50);
$dbh->do('COPY steps FROM STDIN');
foreach my $h (1 .. @histories)
{
	my ($p, $n) = ($histories[ $h - 1 ]{policy}, 0);
	foreach my $s (@{ $histories[ $h - 1 ]{steps} })
	{
		$dbh->pg_putcopydata(join("\t", $h, ++$n, POSIX::strftime('%Y-%m-%d %H:%M:%S+00', gmtime $s->{at}),
				$histories[ $h - 1 ]{zone}, $s->{move} // '\N', $s->{buy} // '\N',
				'{' . join(',', @$p{qw(grace dormancy offset cap cap_day)}) . '}') . "\n");
	}
}
$dbh->pg_putcopyend;
$dbh->do('CALL play()');
my $played = $dbh->selectall_arrayref('SELECT line, next_at FROM answers ORDER BY history, step');

my (@differ, @wrong_next, @questions, @rule_answers, %seen);
my $n = 0;
foreach my $history (@histories)
{
	my $policy = $history->{policy};
	my $user = newcomer($history->{zone});
	my $stored;

	foreach my $step (@{ $history->{steps} })
	{
		my $bought = '';

		$user->{zone} = $step->{move} if $step->{move};
		if ($step->{buy})
		{
			$bought = $user->{freezes} + $step->{buy} > 5 ? 'USER_LIMIT' : 'OK';
			$user->{freezes} += $step->{buy} if $bought eq 'OK';
		}
		my %before = %$user;
		my $c = claim($user, $policy, $step->{at});
		my $alive = $c->{outcome} =~ /^(?:CONTINUE|GRACE|FREEZE|ALREADY_CLAIMED)$/;
		my $code = 'ALREADY_CLAIMED';

		if ($c->{outcome} ne 'ALREADY_CLAIMED')
		{
			$code = 'CLAIMED';
			$stored = join ' ', iso($c->{date}), $user->{day}, @$c{qw(gold xp)},
			  $c->{outcome} eq 'GRACE' ? 't' : 'f', $c->{used};
		}
		my $line = join ' ', $bought, $c->{outcome}, $code, $stored, $user->{freezes}, $alive ? $before{day} : 0, $user->{best};
		my ($got, $next) = @{ $played->[ $n++ ] };
		push @differ, [ $n, $step, $policy, $got, $line ] if $got ne $line;
		# after a move a further date may be there at once
		push @wrong_next, [ $n, $step, $policy, $next ]
		  if $next < $step->{at} || claim_date($user, $policy, $next) <= $user->{last}
		  || ($next > $step->{at} && claim_date($user, $policy, $next - 1) > $user->{last});
		$seen{ $c->{outcome} }++;
		push @questions, rule_question($policy, $c->{asked});
		push @rule_answers, rule_answer($c->{outcome}, $user);
	}
}
is($n, scalar @$played, "$n claims of " . @histories . " random histories, seed $seed");
is(scalar @differ, 0, "claim_daily_reward() and the second implementation agree (seed $seed)")
  or diag explain @differ[ 0 .. ($#differ < 2 ? $#differ : 2) ];
is(scalar @wrong_next, 0, "no claim before next_claim_at, and one at it (seed $seed)")
  or diag explain @wrong_next[ 0 .. ($#wrong_next < 2 ? $#wrong_next : 2) ];
cmp_ok($seen{$_} // 0, '>', $n / 1000, "$_ happened often enough to mean something (" . ($seen{$_} // 0) . ')')
  foreach qw(START CONTINUE FREEZE GRACE RESET DORMANT ALREADY_CLAIMED);
{
	my $got = ask_rule(\@questions);
	my @wrong = grep { ($got->[$_] // '') ne $rule_answers[$_] } 0 .. $#questions;
	is(scalar @wrong, 0, "the rule in core/ and the second implementation agree on $n claims (seed $seed)")
	  or diag "$questions[ $wrong[0] ]: $got->[ $wrong[0] ], want $rule_answers[ $wrong[0] ]";
}
is_clean($node, 'postgres', 'after all of them');

$dbh->disconnect;
$node->stop;
done_testing();
