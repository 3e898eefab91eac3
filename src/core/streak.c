/*
 * streak.c
 *		The rule of the daily streak.
 */
#include "core/streak.h"

#define GOLD_FIRST_DAY	1000
#define GOLD_PER_DAY	200
#define XP_FIRST_DAY	50
#define XP_PER_DAY		25

static bool
grace_available(const EcoStreakPolicy *policy, const EcoStreak *streak,
				int32_t missed_day)
{
	return streak->last_grace == ECO_NO_DAY ||
		missed_day - streak->last_grace >= policy->grace_days;
}

int32_t
eco_streak_booked(int32_t in_user_zone, int32_t in_claim_zone)
{
	return in_user_zone < in_claim_zone ? in_user_zone : in_claim_zone;
}

int32_t
eco_streak_missed(const EcoStreakPolicy *policy, const EcoStreak *streak, int32_t today,
				  bool (*exists) (int32_t date, void *arg), void *arg, int32_t *missed_day)
{
	int32_t		missed = 0;
	int32_t		covered = streak->last_claim;

	*missed_day = ECO_NO_DAY;
	if (streak->last_claim == ECO_NO_DAY)
		return 0;
	if (covered < streak->excused_to)
		covered = streak->excused_to;
	for (int64_t date = (int64_t) covered + 1;
		 date < today && missed <= policy->dormancy_days; date++)
		if (exists((int32_t) date, arg))
		{
			missed++;
			*missed_day = (int32_t) date;
		}
	return missed;
}

EcoClaim
eco_streak_claim(const EcoStreakPolicy *policy, const EcoStreak *before,
				 int32_t today, int32_t in_user_zone, int32_t missed, int32_t missed_day,
				 EcoStreak *after)
{
	EcoClaim	claim;

	*after = *before;
	if (before->last_claim == ECO_NO_DAY)
		claim = ECO_CLAIM_START;
	else if (today <= before->last_claim)
		return ECO_CLAIM_ALREADY;
	else if (missed == 0)
		claim = ECO_CLAIM_CONTINUE;
	else if (today - before->last_claim >= policy->dormancy_days)
	{
		claim = ECO_CLAIM_DORMANT;
		after->last_grace = ECO_NO_DAY;
	}
	else if (missed == 1 && grace_available(policy, before, missed_day))
	{
		claim = ECO_CLAIM_GRACE;
		after->last_grace = missed_day;
	}
	else if (missed <= before->freezes)
	{
		claim = ECO_CLAIM_FREEZE;
		after->freezes -= missed;
	}
	else
		claim = ECO_CLAIM_RESET;

	if (claim == ECO_CLAIM_CONTINUE || claim == ECO_CLAIM_FREEZE ||
		claim == ECO_CLAIM_GRACE)
	{
		if (after->day < INT32_MAX)
			after->day++;
	}
	else
		after->day = 1;
	if (after->best < after->day)
		after->best = after->day;
	after->last_claim = today;
	if (in_user_zone > today && in_user_zone > after->excused_to)
		after->excused_to = in_user_zone;
	return claim;
}

const char *
eco_claim_name(EcoClaim claim)
{
	static const char *const names[] = {
		"START", "CONTINUE", "FREEZE", "GRACE", "RESET", "DORMANT",
		"ALREADY_CLAIMED"
	};

	return names[claim];
}

int32_t
eco_streak_reward_day(const EcoStreakPolicy *policy, int32_t day)
{
	if (policy->cap == ECO_CAP_HOLD && day > policy->cap_day)
		return policy->cap_day;
	if (policy->cap == ECO_CAP_CYCLE)
		return (day - 1) % policy->cap_day + 1;
	return day;
}

int32_t
eco_streak_calendar_day(int32_t last_day, int32_t continues_at, int32_t day)
{
	if (day <= last_day)
		return day;
	return continues_at + (day - last_day - 1) % (last_day - continues_at + 1);
}

int64_t
eco_streak_gold(int32_t day)
{
	return GOLD_FIRST_DAY + GOLD_PER_DAY * ((int64_t) day - 1);
}

int64_t
eco_streak_xp(int32_t day)
{
	return XP_FIRST_DAY + XP_PER_DAY * ((int64_t) day - 1);
}
