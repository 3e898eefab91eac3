/*
 * test_streak.c
 *		The rule of the daily streak and what its days pay.
 */
#include <stdio.h>
#include <string.h>

#include "core/streak.h"
#include "unit.h"

static const EcoStreakPolicy policy = {7, 30, ECO_CAP_NONE, 7};

struct streak_case
{
	const char *name;
	EcoStreak	before;
	int32_t		today;
	int32_t		missed;
	int32_t		missed_day;
	EcoClaim	claim;
	EcoStreak	after;
};

static const struct streak_case cases[] = {
	{"the first claim", {0, 0, ECO_NO_DAY, ECO_NO_DAY, 0, ECO_NO_DAY}, 100, 0, 0, ECO_CLAIM_START, {1, 1, 100, ECO_NO_DAY, 0, ECO_NO_DAY}},
	{"the next day", {1, 1, 100, ECO_NO_DAY, 0, ECO_NO_DAY}, 101, 0, 0, ECO_CLAIM_CONTINUE, {2, 2, 101, ECO_NO_DAY, 0, ECO_NO_DAY}},
	{"the same day", {1, 1, 100, ECO_NO_DAY, 3, ECO_NO_DAY}, 100, 0, 0, ECO_CLAIM_ALREADY, {1, 1, 100, ECO_NO_DAY, 3, ECO_NO_DAY}},
	{"a day before, after a change of zone", {5, 9, 100, 90, 3, ECO_NO_DAY}, 99, 0, 0, ECO_CLAIM_ALREADY, {5, 9, 100, 90, 3, ECO_NO_DAY}},
	{"best stays", {2, 9, 100, ECO_NO_DAY, 0, ECO_NO_DAY}, 101, 0, 0, ECO_CLAIM_CONTINUE, {3, 9, 101, ECO_NO_DAY, 0, ECO_NO_DAY}},
	{"a date that did not exist was not missed", {2, 2, 100, ECO_NO_DAY, 0, ECO_NO_DAY}, 102, 0, 0, ECO_CLAIM_CONTINUE, {3, 3, 102, ECO_NO_DAY, 0, ECO_NO_DAY}},
	{"one missed date, grace", {4, 4, 100, ECO_NO_DAY, 0, ECO_NO_DAY}, 102, 1, 101, ECO_CLAIM_GRACE, {5, 5, 102, 101, 0, ECO_NO_DAY}},
	{"grace is there again after 7 days", {4, 4, 100, 94, 0, ECO_NO_DAY}, 102, 1, 101, ECO_CLAIM_GRACE, {5, 5, 102, 101, 0, ECO_NO_DAY}},
	{"not after 6", {4, 4, 100, 95, 0, ECO_NO_DAY}, 102, 1, 101, ECO_CLAIM_RESET, {1, 4, 102, 95, 0, ECO_NO_DAY}},
	{"two missed dates", {4, 4, 100, ECO_NO_DAY, 0, ECO_NO_DAY}, 103, 2, 102, ECO_CLAIM_RESET, {1, 4, 103, ECO_NO_DAY, 0, ECO_NO_DAY}},
	{"grace goes before a freeze", {4, 4, 100, ECO_NO_DAY, 1, ECO_NO_DAY}, 102, 1, 101, ECO_CLAIM_GRACE, {5, 5, 102, 101, 1, ECO_NO_DAY}},
	{"freezes for every missed date", {4, 4, 100, ECO_NO_DAY, 5, ECO_NO_DAY}, 104, 3, 103, ECO_CLAIM_FREEZE, {5, 5, 104, ECO_NO_DAY, 2, ECO_NO_DAY}},
	{"too few freezes are kept", {4, 4, 100, ECO_NO_DAY, 2, ECO_NO_DAY}, 104, 3, 103, ECO_CLAIM_RESET, {1, 4, 104, ECO_NO_DAY, 2, ECO_NO_DAY}},
	{"29 days are a reset", {4, 4, 100, 98, 0, ECO_NO_DAY}, 129, 28, 128, ECO_CLAIM_RESET, {1, 4, 129, 98, 0, ECO_NO_DAY}},
	{"30 days are dormancy", {4, 4, 100, 98, 0, ECO_NO_DAY}, 130, 29, 129, ECO_CLAIM_DORMANT, {1, 4, 130, ECO_NO_DAY, 0, ECO_NO_DAY}},
	{"dormancy keeps the freezes", {4, 4, 100, 98, 50, ECO_NO_DAY}, 130, 29, 129, ECO_CLAIM_DORMANT, {1, 4, 130, ECO_NO_DAY, 50, ECO_NO_DAY}},
	{"the longest streak does not wrap", {INT32_MAX, INT32_MAX, 100, ECO_NO_DAY, 0, ECO_NO_DAY}, 101, 0, 0, ECO_CLAIM_CONTINUE,
	{INT32_MAX, INT32_MAX, 101, ECO_NO_DAY, 0, ECO_NO_DAY}},
};

static bool
same(const EcoStreak *a, const EcoStreak *b)
{
	return a->day == b->day && a->best == b->best && a->last_claim == b->last_claim &&
		a->last_grace == b->last_grace && a->freezes == b->freezes && a->excused_to == b->excused_to;
}

static void
claims(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		EcoStreak	after;
		EcoClaim	claim = eco_streak_claim(&policy, &cases[i].before, cases[i].today, cases[i].today,
											 cases[i].missed, cases[i].missed_day, &after);

		check_str(eco_claim_name(claim), eco_claim_name(cases[i].claim), cases[i].name);
		check(same(&after, &cases[i].after), "and the streak after it");
	}
}

static void
rewards(void)
{
	EcoStreakPolicy hold = policy;
	EcoStreakPolicy cycle = policy;
	bool		none_right = true;
	bool		hold_right = true;
	bool		cycle_right = true;

	hold.cap = ECO_CAP_HOLD;
	cycle.cap = ECO_CAP_CYCLE;
	for (int32_t day = 1; day < 100; day++)
	{
		none_right &= eco_streak_reward_day(&policy, day) == day;
		hold_right &= eco_streak_reward_day(&hold, day) == (day < 7 ? day : 7);
		cycle_right &= eco_streak_reward_day(&cycle, day) == (day % 7 == 0 ? 7 : day % 7);
	}
	check(none_right, "without a cap each day pays its own");
	check(hold_right, "hold stays at the cap day");
	check(cycle_right, "cycle starts over after it");
	check_int(eco_streak_gold(1), 1000, "gold of day 1");
	check_int(eco_streak_gold(7), 2200, "gold of day 7");
	check_int(eco_streak_xp(1), 50, "XP of day 1");
	check_int(eco_streak_xp(7), 200, "XP of day 7");
	check_int(eco_streak_gold(INT32_MAX), INT64_C(1000) + INT64_C(200) * (INT32_MAX - INT64_C(1)), "gold of the last day there is");
	check_int(eco_streak_xp(INT32_MAX), INT64_C(50) + INT64_C(25) * (INT32_MAX - INT64_C(1)), "XP of it");
}

void
test_streak(void)
{
	claims();
	rewards();
}
