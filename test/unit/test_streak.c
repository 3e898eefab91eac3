/*
 * test_streak.c
 *		The rule of the daily streak: every branch at its boundaries, and what
 *		holds for all small inputs.
 *
 * Day numbers here count from no day in particular; the rule must not care.
 */
#include <stdio.h>
#include <string.h>

#include "core/streak.h"
#include "unit.h"

static const EcoStreakPolicy policy = {7, 30, ECO_CAP_NONE, 7};

/* A streak in the middle of its life. */
static EcoStreak
streak_of(int32_t day, int32_t best, int32_t last_claim, int32_t last_grace, int32_t freezes)
{
	EcoStreak	streak;

	/* padding included: the rule must not depend on it */
	memset(&streak, 0x5a, sizeof(streak));
	streak.day = day;
	streak.best = best;
	streak.last_claim = last_claim;
	streak.last_grace = last_grace;
	streak.freezes = freezes;
	streak.excused_to = ECO_NO_DAY;
	return streak;
}

static bool
same(const EcoStreak *a, const EcoStreak *b)
{
	return a->day == b->day && a->best == b->best && a->last_claim == b->last_claim &&
		a->last_grace == b->last_grace && a->freezes == b->freezes && a->excused_to == b->excused_to;
}

/* The claim on `today` is `want` and leaves `expected`; `before` stays as it was. */
static void
claims(const char *what, const EcoStreakPolicy *by, EcoStreak before, int32_t today,
	   int32_t missed, int32_t missed_day, EcoClaim want, EcoStreak expected)
{
	EcoStreak	given = before;
	EcoStreak	after;
	EcoClaim	got;

	memset(&after, 0xa5, sizeof(after));
	got = eco_streak_claim(by, &given, today, today, missed, missed_day, &after);
	check(got == want && same(&after, &expected) && same(&given, &before), what);
	if (got != want || !same(&after, &expected))
		printf("# %s, want %s; day %d best %d claim %d grace %d freezes %d, want %d %d %d %d %d\n",
			   eco_claim_name(got), eco_claim_name(want),
			   after.day, after.best, after.last_claim, after.last_grace, after.freezes,
			   expected.day, expected.best, expected.last_claim, expected.last_grace, expected.freezes);
}

static void
test_first_claims(void)
{
	claims("the first claim ever", &policy, streak_of(0, 0, ECO_NO_DAY, ECO_NO_DAY, 0),
		   100, 0, ECO_NO_DAY, ECO_CLAIM_START, streak_of(1, 1, 100, ECO_NO_DAY, 0));
	claims("freezes are no matter then", &policy, streak_of(0, 0, ECO_NO_DAY, ECO_NO_DAY, 5),
		   100, 0, ECO_NO_DAY, ECO_CLAIM_START, streak_of(1, 1, 100, ECO_NO_DAY, 5));
	claims("what was missed before it is not asked", &policy, streak_of(0, 0, ECO_NO_DAY, ECO_NO_DAY, 5),
		   100, 4, 99, ECO_CLAIM_START, streak_of(1, 1, 100, ECO_NO_DAY, 5));
	claims("day 0 is a day", &policy, streak_of(0, 0, ECO_NO_DAY, ECO_NO_DAY, 0),
		   0, 0, ECO_NO_DAY, ECO_CLAIM_START, streak_of(1, 1, 0, ECO_NO_DAY, 0));
	claims("days before the origin are days", &policy, streak_of(0, 0, ECO_NO_DAY, ECO_NO_DAY, 0),
		   -2451545, 0, ECO_NO_DAY, ECO_CLAIM_START, streak_of(1, 1, -2451545, ECO_NO_DAY, 0));
}

static void
test_dates_that_do_not_advance(void)
{
	EcoStreak	held = streak_of(4, 9, 100, 97, 2);

	claims("the same date", &policy, held, 100, 0, ECO_NO_DAY, ECO_CLAIM_ALREADY, held);
	claims("the date before", &policy, held, 99, 0, ECO_NO_DAY, ECO_CLAIM_ALREADY, held);
	claims("a date long before", &policy, held, -5000, 0, ECO_NO_DAY, ECO_CLAIM_ALREADY, held);
	claims("the earliest date there is", &policy, held, -2451545, 0, ECO_NO_DAY, ECO_CLAIM_ALREADY, held);
	claims("over the origin", &policy, streak_of(4, 9, 1, ECO_NO_DAY, 0), -1, 0, ECO_NO_DAY,
		   ECO_CLAIM_ALREADY, streak_of(4, 9, 1, ECO_NO_DAY, 0));
}

static void
test_next_days(void)
{
	claims("the next day", &policy, streak_of(4, 9, 100, 97, 2), 101, 0, ECO_NO_DAY,
		   ECO_CLAIM_CONTINUE, streak_of(5, 9, 101, 97, 2));
	claims("a record", &policy, streak_of(9, 9, 100, ECO_NO_DAY, 0), 101, 0, ECO_NO_DAY,
		   ECO_CLAIM_CONTINUE, streak_of(10, 10, 101, ECO_NO_DAY, 0));
	claims("one short of the record", &policy, streak_of(8, 9, 100, ECO_NO_DAY, 0), 101, 0, ECO_NO_DAY,
		   ECO_CLAIM_CONTINUE, streak_of(9, 9, 101, ECO_NO_DAY, 0));
	claims("the date between did not exist", &policy, streak_of(4, 4, 100, ECO_NO_DAY, 1), 102, 0, ECO_NO_DAY,
		   ECO_CLAIM_CONTINUE, streak_of(5, 5, 102, ECO_NO_DAY, 1));
	claims("over the origin", &policy, streak_of(4, 4, -1, ECO_NO_DAY, 0), 0, 0, ECO_NO_DAY,
		   ECO_CLAIM_CONTINUE, streak_of(5, 5, 0, ECO_NO_DAY, 0));
	claims("nothing existed for longer than the dormancy", &policy, streak_of(4, 4, 100, 90, 0), 200, 0, ECO_NO_DAY,
		   ECO_CLAIM_CONTINUE, streak_of(5, 5, 200, 90, 0));
}

static void
test_grace(void)
{
	const EcoStreakPolicy daily = {1, 30, ECO_CAP_NONE, 7};

	claims("the first grace", &policy, streak_of(4, 4, 100, ECO_NO_DAY, 0), 102, 1, 101,
		   ECO_CLAIM_GRACE, streak_of(5, 5, 102, 101, 0));
	claims("7 days between the missed dates", &policy, streak_of(4, 4, 107, 101, 0), 109, 1, 108,
		   ECO_CLAIM_GRACE, streak_of(5, 5, 109, 108, 0));
	claims("6 days between them", &policy, streak_of(4, 4, 106, 101, 0), 108, 1, 107,
		   ECO_CLAIM_RESET, streak_of(1, 4, 108, 101, 0));
	claims("8 days between them", &policy, streak_of(4, 4, 108, 101, 0), 110, 1, 109,
		   ECO_CLAIM_GRACE, streak_of(5, 5, 110, 109, 0));
	claims("two missed dates are too many", &policy, streak_of(4, 4, 100, ECO_NO_DAY, 0), 103, 2, 102,
		   ECO_CLAIM_RESET, streak_of(1, 4, 103, ECO_NO_DAY, 0));
	claims("one missed date and one that did not exist, the missed one first", &policy,
		   streak_of(4, 4, 106, 100, 0), 109, 1, 107,
		   ECO_CLAIM_GRACE, streak_of(5, 5, 109, 107, 0));
	claims("a missed date is counted, not the claim's", &policy, streak_of(4, 4, 105, 100, 0), 108, 1, 106,
		   ECO_CLAIM_RESET, streak_of(1, 4, 108, 100, 0));
	claims("grace every day", &daily, streak_of(4, 4, 102, 101, 0), 104, 1, 103,
		   ECO_CLAIM_GRACE, streak_of(5, 5, 104, 103, 0));
	claims("a grace long ago", &policy, streak_of(4, 4, 2000000000, -2451545, 0), 2000000002, 1, 2000000001,
		   ECO_CLAIM_GRACE, streak_of(5, 5, 2000000002, 2000000001, 0));
	claims("a grace on day 0", &policy, streak_of(4, 4, 5, 0, 0), 7, 1, 6,
		   ECO_CLAIM_RESET, streak_of(1, 4, 7, 0, 0));
}

static void
test_freezes(void)
{
	claims("after grace, which is free", &policy, streak_of(4, 4, 100, ECO_NO_DAY, 1), 102, 1, 101,
		   ECO_CLAIM_GRACE, streak_of(5, 5, 102, 101, 1));
	claims("with some left", &policy, streak_of(4, 4, 100, 99, 5), 102, 1, 101,
		   ECO_CLAIM_FREEZE, streak_of(5, 5, 102, 99, 4));
	claims("more than missed", &policy, streak_of(4, 4, 100, ECO_NO_DAY, 5), 104, 3, 103,
		   ECO_CLAIM_FREEZE, streak_of(5, 5, 104, ECO_NO_DAY, 2));
	claims("as many as missed", &policy, streak_of(4, 4, 100, ECO_NO_DAY, 3), 104, 3, 103,
		   ECO_CLAIM_FREEZE, streak_of(5, 5, 104, ECO_NO_DAY, 0));
	claims("one less than missed", &policy, streak_of(4, 4, 100, ECO_NO_DAY, 2), 104, 3, 103,
		   ECO_CLAIM_RESET, streak_of(1, 4, 104, ECO_NO_DAY, 2));
	claims("a freeze and grace do not add up", &policy, streak_of(4, 4, 100, ECO_NO_DAY, 1), 103, 2, 102,
		   ECO_CLAIM_RESET, streak_of(1, 4, 103, ECO_NO_DAY, 1));
	claims("where grace is not there", &policy, streak_of(4, 4, 102, 101, 1), 104, 1, 103,
		   ECO_CLAIM_FREEZE, streak_of(5, 5, 104, 101, 0));
	claims("to the day before dormancy", &policy, streak_of(4, 4, 100, ECO_NO_DAY, 100), 129, 28, 128,
		   ECO_CLAIM_FREEZE, streak_of(5, 5, 129, ECO_NO_DAY, 72));
	claims("not into dormancy", &policy, streak_of(4, 4, 100, 99, 100), 130, 29, 129,
		   ECO_CLAIM_DORMANT, streak_of(1, 4, 130, ECO_NO_DAY, 100));
}

/* What one change of the zone has excused the next one does not take back. */
static void
test_excuses(void)
{
	EcoStreak	before = streak_of(3, 3, 10, ECO_NO_DAY, 0);
	EcoStreak	after;

	before.excused_to = 14;
	check(eco_streak_claim(&policy, &before, 11, 12, 0, ECO_NO_DAY, &after) == ECO_CLAIM_CONTINUE &&
		  after.excused_to == 14, "streak: a lesser excuse changes nothing");
	check(eco_streak_claim(&policy, &before, 11, 15, 0, ECO_NO_DAY, &after) == ECO_CLAIM_CONTINUE &&
		  after.excused_to == 15, "streak: a greater one counts");
	check(eco_streak_claim(&policy, &before, 11, 11, 0, ECO_NO_DAY, &after) == ECO_CLAIM_CONTINUE &&
		  after.excused_to == 14, "streak: and none leaves it");
}

static void
test_gaps(void)
{
	const EcoStreakPolicy short_one = {7, 2, ECO_CAP_NONE, 7};

	claims("a gap of 29", &policy, streak_of(4, 4, 100, 99, 0), 129, 28, 128,
		   ECO_CLAIM_RESET, streak_of(1, 4, 129, 99, 0));
	claims("a gap of 30", &policy, streak_of(4, 4, 100, 99, 0), 130, 29, 129,
		   ECO_CLAIM_DORMANT, streak_of(1, 4, 130, ECO_NO_DAY, 0));
	claims("a gap of 31", &policy, streak_of(4, 4, 100, 99, 0), 131, 30, 130,
		   ECO_CLAIM_DORMANT, streak_of(1, 4, 131, ECO_NO_DAY, 0));
	claims("dormant after two days", &short_one, streak_of(4, 4, 100, ECO_NO_DAY, 0), 102, 1, 101,
		   ECO_CLAIM_DORMANT, streak_of(1, 4, 102, ECO_NO_DAY, 0));
	claims("the whole calendar", &policy, streak_of(4, 4, -2451545, 0, 5), 2145031948, 31, 2145031947,
		   ECO_CLAIM_DORMANT, streak_of(1, 4, 2145031948, ECO_NO_DAY, 5));
	claims("a reset keeps the record", &policy, streak_of(40, 50, 100, 99, 0), 103, 2, 102,
		   ECO_CLAIM_RESET, streak_of(1, 50, 103, 99, 0));
}

static void
test_limits(void)
{
	claims("the last day there is", &policy, streak_of(INT32_MAX - 1, INT32_MAX - 1, 100, ECO_NO_DAY, 0), 101, 0, ECO_NO_DAY,
		   ECO_CLAIM_CONTINUE, streak_of(INT32_MAX, INT32_MAX, 101, ECO_NO_DAY, 0));
	claims("stays", &policy, streak_of(INT32_MAX, INT32_MAX, 100, ECO_NO_DAY, 0), 101, 0, ECO_NO_DAY,
		   ECO_CLAIM_CONTINUE, streak_of(INT32_MAX, INT32_MAX, 101, ECO_NO_DAY, 0));
	claims("also by a freeze", &policy, streak_of(INT32_MAX, INT32_MAX, 100, 99, INT32_MAX), 102, 1, 101,
		   ECO_CLAIM_FREEZE, streak_of(INT32_MAX, INT32_MAX, 102, 99, INT32_MAX - 1));
	claims("and ends", &policy, streak_of(INT32_MAX, INT32_MAX, 100, 99, 0), 102, 1, 101,
		   ECO_CLAIM_RESET, streak_of(1, INT32_MAX, 102, 99, 0));
	claims("the last date there is", &policy, streak_of(1, 1, INT32_MAX - 1, ECO_NO_DAY, 0), INT32_MAX, 0, ECO_NO_DAY,
		   ECO_CLAIM_CONTINUE, streak_of(2, 2, INT32_MAX, ECO_NO_DAY, 0));
	claims("and not after it", &policy, streak_of(2, 2, INT32_MAX, ECO_NO_DAY, 0), INT32_MAX, 0, ECO_NO_DAY,
		   ECO_CLAIM_ALREADY, streak_of(2, 2, INT32_MAX, ECO_NO_DAY, 0));
}

/* What holds for every input; the name of what does not, or NULL. */
static const char *
broken_law(int gap, int missed, int freezes, int grace)
{
	EcoStreak	before = streak_of(3, 5, 1000, grace == 0 ? ECO_NO_DAY : 1000 - grace, freezes);
	EcoStreak	after;
	int			missed_day = 1000 + gap - 1;
	EcoClaim	claim = eco_streak_claim(&policy, &before, 1000 + gap, 1000 + gap, missed, missed_day, &after);
	int			used = freezes - after.freezes;
	bool		goes_on = after.day == 4;
	bool		graced = after.last_grace == missed_day && claim == ECO_CLAIM_GRACE;

	if (gap <= 0)
		return claim == ECO_CLAIM_ALREADY && same(&before, &after) ? NULL :
			"a date that does not advance changes nothing";
	if (!goes_on && after.day != 1)
		return "the streak goes on or starts over";
	if (after.best != 5 || after.last_claim != 1000 + gap)
		return "the claim is noted";
	if (used != 0 && (used != missed || !goes_on))
		return "all missed dates are covered or no freeze is used";
	if (goes_on && missed > 0 && used != missed && !graced)
		return "a missed date is covered by something";
	if (graced && (missed != 1 || (grace != 0 && missed_day - (1000 - grace) < 7)))
		return "grace only for one date, in its time";
	if (used == 1 && missed == 1 && (grace == 0 || missed_day - (1000 - grace) >= 7))
		return "no freeze where grace is free";
	if (missed == 0 && !goes_on)
		return "without a missed date it goes on";
	if (gap >= 30 && missed > 0 &&
		(claim != ECO_CLAIM_DORMANT || goes_on || after.last_grace != ECO_NO_DAY || used != 0))
		return "a long gap is dormant";
	if (claim != ECO_CLAIM_DORMANT && !graced && after.last_grace != before.last_grace)
		return "nothing else moves the grace";
	return NULL;
}

static void
test_every_small_case(void)
{
	int			cases = 0;
	int			broken = 0;

	for (int gap = -2; gap <= 33; gap++)
		for (int missed = 0; missed < (gap > 0 ? gap : 1); missed++)
			for (int freezes = 0; freezes <= 6; freezes++)
				for (int grace = 0; grace <= 10; grace++)
				{
					const char *law = broken_law(gap, missed, freezes, grace);

					cases++;
					if (law == NULL)
						continue;
					broken++;
					printf("# gap %d, %d missed, %d freezes, grace %d before: not so: %s\n",
						   gap, missed, freezes, grace, law);
				}
	check(cases > 40000, "all small cases were tried");
	check_int(broken, 0, "the laws of the streak hold for all of them");
}

/* A week's cap, over many weeks. */
static void
test_weeks(void)
{
	const EcoStreakPolicy hold = {7, 30, ECO_CAP_HOLD, 7};
	const EcoStreakPolicy cycle = {7, 30, ECO_CAP_CYCLE, 7};
	bool		hold_right = true;
	bool		cycle_right = true;

	for (int32_t day = 1; day < 100; day++)
	{
		hold_right &= eco_streak_reward_day(&hold, day) == (day < 7 ? day : 7);
		cycle_right &= eco_streak_reward_day(&cycle, day) == (day % 7 == 0 ? 7 : day % 7);
	}
	check(hold_right, "hold stays at the seventh day");
	check(cycle_right, "cycle starts over after it");
}

static void
test_caps(void)
{
	const EcoStreakPolicy none = {7, 30, ECO_CAP_NONE, 3};
	const EcoStreakPolicy hold = {7, 30, ECO_CAP_HOLD, 3};
	const EcoStreakPolicy cycle = {7, 30, ECO_CAP_CYCLE, 3};
	const EcoStreakPolicy hold_first = {7, 30, ECO_CAP_HOLD, 1};
	const EcoStreakPolicy cycle_first = {7, 30, ECO_CAP_CYCLE, 1};
	static const int32_t held[] = {1, 2, 3, 3, 3, 3, 3};
	static const int32_t cycled[] = {1, 2, 3, 1, 2, 3, 1};

	for (int32_t day = 1; day <= 7; day++)
	{
		check(eco_streak_reward_day(&none, day) == day, "no cap pays every day its own");
		check(eco_streak_reward_day(&hold, day) == held[day - 1], "hold stays at the cap day");
		check(eco_streak_reward_day(&cycle, day) == cycled[day - 1], "cycle starts over");
		check(eco_streak_reward_day(&hold_first, day) == 1, "hold at day 1");
		check(eco_streak_reward_day(&cycle_first, day) == 1, "a cycle of one day");
	}
	check(eco_streak_reward_day(&none, INT32_MAX) == INT32_MAX, "no cap at the last day");
	check(eco_streak_reward_day(&hold, INT32_MAX) == 3, "hold at the last day");
	check(eco_streak_reward_day(&cycle, INT32_MAX) == 1, "cycle at the last day: 2147483647 = 3 * 715827882 + 1");
}

static void
test_calendar(void)
{
	static const int32_t anew[] = {1, 2, 3, 1, 2, 3, 1};
	static const int32_t from_second[] = {1, 2, 3, 2, 3, 2, 3};

	for (int32_t day = 1; day <= 7; day++)
	{
		check(eco_streak_calendar_day(7, 7, day) == day, "each day of a calendar");
		check(eco_streak_calendar_day(3, 3, day) == (day < 3 ? day : 3), "its last day stays");
		check(eco_streak_calendar_day(3, 1, day) == anew[day - 1], "a calendar begins anew");
		check(eco_streak_calendar_day(3, 2, day) == from_second[day - 1], "a calendar goes on from its second day");
		check(eco_streak_calendar_day(1, 1, day) == 1, "a calendar of one day");
	}
	check(eco_streak_calendar_day(366, 366, INT32_MAX) == 366, "the last day at the last day");
	check(eco_streak_calendar_day(3, 1, INT32_MAX) == 1, "and anew: 2147483647 = 3 * 715827882 + 1");
}

static void
test_amounts(void)
{
	check(eco_streak_gold(1) == 1000 && eco_streak_xp(1) == 50, "day 1");
	check(eco_streak_gold(2) == 1200 && eco_streak_xp(2) == 75, "day 2");
	check(eco_streak_gold(7) == 2200 && eco_streak_xp(7) == 200, "day 7");
	check(eco_streak_gold(365) == 73800 && eco_streak_xp(365) == 9150, "day 365");
	check(eco_streak_gold(INT32_MAX) == INT64_C(429496730200), "the gold of the last day does not wrap");
	check(eco_streak_xp(INT32_MAX) == INT64_C(53687091200), "nor do its XP");
}

static void
test_names(void)
{
	static const char *const names[] = {"START", "CONTINUE", "FREEZE", "GRACE", "RESET", "DORMANT", "ALREADY_CLAIMED"};

	for (int claim = ECO_CLAIM_START; claim <= ECO_CLAIM_ALREADY; claim++)
		check(strcmp(eco_claim_name((EcoClaim) claim), names[claim]) == 0, "the name of a claim");
}

void
test_streak(void)
{
	test_first_claims();
	test_dates_that_do_not_advance();
	test_next_days();
	test_grace();
	test_freezes();
	test_excuses();
	test_gaps();
	test_limits();
	test_every_small_case();
	test_caps();
	test_weeks();
	test_calendar();
	test_amounts();
	test_names();
}
