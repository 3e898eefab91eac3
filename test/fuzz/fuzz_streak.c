/*
 * fuzz_streak.c
 *		The streak rule over chains of claims: what must hold for every claim,
 *		whatever the policy and however long the gaps.
 */
#include "core/streak.h"
#include "fuzz.h"

#define DATE_MIN (-2451545)		/* PostgreSQL's dates, from 2000-01-01 */
#define DATE_MAX 2145031948

static void
check_claim(const EcoStreakPolicy *policy, const EcoStreak *before, const EcoStreak *after,
			EcoClaim claim, int32_t today, int32_t missed)
{
	int32_t		reward_day = eco_streak_reward_day(policy, after->day);

	CHECK(after->day >= 1 && after->best >= after->day && after->best >= before->best);
	CHECK(after->day == 1 || after->day == before->day + 1 || after->day == INT32_MAX);
	CHECK(after->last_claim == today);
	CHECK(after->freezes >= 0 && after->freezes <= before->freezes);
	CHECK(before->freezes - after->freezes == (claim == ECO_CLAIM_FREEZE ? missed : 0));
	CHECK(missed > 0 || claim == ECO_CLAIM_CONTINUE || claim == ECO_CLAIM_START);
	CHECK(reward_day >= 1 && reward_day <= after->day);
	CHECK(policy->cap == ECO_CAP_NONE || reward_day <= policy->cap_day);
	CHECK(eco_streak_gold(reward_day) == 1000 + 200 * ((int64_t) reward_day - 1));
	CHECK(eco_streak_xp(reward_day) == 50 + 25 * ((int64_t) reward_day - 1));
	CHECK(eco_claim_name(claim) != NULL);
	/* grace is used at most once in its period */
	if (claim == ECO_CLAIM_GRACE)
		CHECK(missed == 1 && (before->last_grace == ECO_NO_DAY ||
							  after->last_grace - before->last_grace >= policy->grace_days));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Input		in = {data, size};
	EcoStreakPolicy policy = {
		.grace_days = 1 + take_byte(&in),
		.dormancy_days = 2 + take_byte(&in),
		.cap = (EcoStreakCap) (take_byte(&in) % 3),
		.cap_day = 1 + take_byte(&in),
	};
	EcoStreak	streak = {.last_claim = ECO_NO_DAY, .last_grace = ECO_NO_DAY,.freezes = take_byte(&in),.excused_to = ECO_NO_DAY};
	EcoStreak	after;
	int64_t		today = DATE_MIN + (int64_t) ((uint64_t) take_int(&in) % ((uint64_t) DATE_MAX - DATE_MIN));

	while (in.left > 0)
	{
		int64_t		step = take_byte(&in);
		int64_t		gap;
		int32_t		missed;
		int32_t		ahead;
		EcoClaim	claim;

		/* mostly days, sometimes ages, sometimes backwards */
		if (step >= 250)
			step = take_int(&in) % 4000000;
		else
			step = step % 12 - 1;
		if (today + step < DATE_MIN || today + step > DATE_MAX)
			continue;
		today += step;
		gap = streak.last_claim == ECO_NO_DAY ? 0 : today - streak.last_claim - 1;
		/* two clocks are at most two dates apart */
		ahead = today + 2 <= DATE_MAX ? take_byte(&in) % 3 : 0;
		missed = gap <= 0 ? 0 : (int32_t) (gap - (take_byte(&in) % 4 == 0));
		claim = eco_streak_claim(&policy, &streak, (int32_t) today, (int32_t) today + ahead, missed, (int32_t) today - 1, &after);
		if (claim == ECO_CLAIM_ALREADY)
		{
			CHECK(today <= streak.last_claim && memcmp(&streak, &after, sizeof(after)) == 0);
			continue;
		}
		CHECK(streak.last_claim == ECO_NO_DAY || today > streak.last_claim);
		check_claim(&policy, &streak, &after, claim, (int32_t) today, missed);
		CHECK(after.excused_to >= streak.excused_to);
		CHECK(ahead == 0 ? after.excused_to == streak.excused_to : after.excused_to >= today + ahead);
		streak = after;
	}
	return 0;
}
